"""Each rule has one planted fault that it finds, and a good wheel breaks none."""

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from geowheel.audit.platform import platform_facts
from geowheel.audit.registry import RULES
from geowheel.audit.rules import rules_of
from geowheel.binary.elf import Relro
from geowheel.binary.macho import read_macho
from geowheel.binary.symbols import Symbols
from geowheel.wheel.reading import Member
from tests.support.binaries import elf, pe
from tests.support.macho_files import ARM64, X86_64, make_fat, make_macho, version_min
from tests.unit.audit.test_policy import BUNDLED, OWN, content
from tests.unit.binary import test_macho

TODAY = datetime.date(2026, 11, 28)
GUARDED = dict.fromkeys(("__stack_chk_fail", "__memcpy_chk"), ("GLIBC_2.4", "libc.so.6"))
NEW = {"pidfd_open": ("GLIBC_2.36", "libc.so.6")}
MANY = dict.fromkeys(map(str, range(30)), ("", ""))
METADATA = "Metadata-Version: 2.4\nName: a\nVersion: 1\nRequires-Dist: numpy >=1.25\n\n"


def found(tree: Path, **about: Any) -> dict[str, set[str]]:
    """The rules that a wheel breaks, with the words."""
    binaries = {OWN: elf("libc.so.6", "libz-0123abcd.so.1", runpath=("$ORIGIN/../a.libs",)),
                BUNDLED: replace(elf("libc.so.6"), soname="libz-0123abcd.so.1")}  # fmt: skip
    binaries = about.pop("whole", binaries | about.pop("binaries", {}))
    module = Symbols(imported=GUARDED, exported=frozenset({"PyInit__a"}), frames=0.9)
    symbols = {
        path: module if path.startswith("a/") else replace(module, exported=frozenset())
        for path in binaries
    }
    symbols |= about.pop("symbols", {})
    for path, data in {
        **dict.fromkeys(binaries, b"\x7fELF"), "a-1.dist-info/licenses/zlib/LICENSE": b"free",
        **about.pop("files", {}),
    }.items():  # fmt: skip
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    about = {"metadata": METADATA, **about}
    wheel = replace(content(tree, binaries, **about), symbols=symbols)
    marks = {rule.id: {mark.words for mark in rule.look(wheel)} for rule in RULES}
    return {rule: words for rule, words in marks.items() if words}


def own(**flags: Any) -> dict[str, Any]:
    return {"binaries": {OWN: replace(elf("libc.so.6", "libz-0123abcd.so.1",
                                          runpath=("$ORIGIN/../a.libs",)), **flags)}}  # fmt: skip


def taking(names: dict[str, tuple[str, str]], *exported: str, **about: Any) -> dict[str, Any]:
    """A module that takes these names; what else its code says may be among the rest."""
    more = {name: about.pop(name) for name in ("numpy", "free", "named") if name in about}
    symbols = Symbols(imported=names, exported=frozenset({"PyInit__a", *exported}), **more)
    return {"symbols": {OWN: symbols}, **about}


def python(*names: str, **about: Any) -> dict[str, Any]:
    return taking(GUARDED | dict.fromkeys(("PyFrame_New", *names), ("", "")), **about)


def only(path: str, binary: Any, platform: str, **about: Any) -> dict[str, Any]:
    """A wheel with that file alone, and with the tag of a platform."""
    tag = f"cp312-cp312-{platform}"
    return {"whole": {path: binary}, "filename": f"a-1-{tag}.whl", "tags": (tag,), **about}


FREE = {"filename": "a-1-cp314-cp314t-manylinux_2_28_x86_64.whl",
        "tags": ("cp314-cp314t-manylinux_2_28_x86_64",)}  # fmt: skip
ABI3 = {"filename": "a-1-cp311-abi3-manylinux_2_28_x86_64.whl",
        "tags": ("cp311-abi3-manylinux_2_28_x86_64",)}  # fmt: skip
MODE = Member(
    path=OWN, size=1, packed=1, sha256="", recorded="", executable=True, mode=0o4757,
)  # fmt: skip


DLL = replace(pe("KERNEL32.dll", "python312.dll"), control_flow_guard=True)
FAT = make_fat(  # Intel's code needs no signature
    (X86_64, make_macho(version_min((10, 9, 0)), machine=X86_64, signed=False)),
    (ARM64, make_macho(version_min((11, 0, 0)))),
)
MUSL = elf("libc.musl-x86_64.so.1")
WEAK = ("", "libc.so.6")
LIBQ = "a.libs/libq-01234567.so.1"


@pytest.mark.parametrize(
    "about",
    [
        {},
        python("_Py_Dealloc", "_PyUnicode_IsWhitespace", numpy="1.25",
               named={"libm.so.6", "libz.so.1"}),
        python("_Py_DecRefShared", free=True, **FREE),
        only("a/_a.cp312-win_amd64.pyd", DLL, "win_amd64", members=(MODE,)),
        only(OWN, read_macho(FAT), "macosx_10_9_universal2", files={OWN: FAT}),
        only("a/_a.cpython-312-x86_64-linux-musl.so", MUSL, "musllinux_1_2_x86_64"),
    ],
)  # fmt: skip
def test_a_good_wheel_breaks_none(tmp_path: Path, about: dict[str, Any]) -> None:
    assert found(tmp_path, **about) == {}


@pytest.mark.parametrize(
    ("rule", "about"),
    [
        ("free-threaded", python("_Py_Dealloc", free=True, **FREE)),
        ("free-threaded", python("_Py_DecRefShared")),
        ("gil", python("_Py_DecRefShared", **FREE)),
        ("one-wheel", taking({**GUARDED, "PyLong_FromLong": ("", "")})),
        ("numpy-floor", python(numpy="2.0")),
        ("frame-pointers", {"symbols": {OWN: Symbols(imported=GUARDED, frames=0.1)}}),
        ("tag", only("a/_a.cpython-312t-x86_64-linux-gnu.so", elf(), "manylinux_2_28_x86_64")),
        ("tag", only("a/_a.pyd", pe("python313.dll"), "win_amd64")),
        ("tag", only("a/_a.pyd", pe("python312t.dll"), "win_amd64")),
        ("tag", only("a/_a.so", MUSL, "manylinux_2_28_i686")),
        ("tag", {"binaries": {"a/_b.cpython-311-x86_64-linux-gnu.so": elf()}, **ABI3}),
        ("closed", only("a/_a.so", MUSL, "manylinux_2_28_x86_64")),
        ("two-versions", {"binaries": {"a.libs/libz-01234567.so.2": elf("libc.so.6")}}),
        ("idle-library", {"binaries": {LIBQ: elf("libc.so.6")}}),
        ("dangling-plugin", taking(GUARDED, named={"libduckdb.so"})),
        ("bind-now", own(bind_now=False)),
        ("relro", own(relro=Relro.NONE)),
        ("executable-stack", own(executable_stack=True)),
        ("text-relocations", own(text_relocations=True)),
        ("debug-sections", own(debug=True)),
        ("cpu", own(cpu="x86-64-v3")),
        ("cpu", own(cpu="armv8.3-a")),
        ("cpu-used", own(cpu_used="x86-64-v4")),
        ("rpath", own(runpath=("$ORIGIN/../a.libs", "/opt/lib"))),
        ("closed", own(needed=("libc.so.6", "libq.so.1", "libz-0123abcd.so.1"))),
        # Policies allow these, and no policy allows libcurl.
        ("lent-library", own(needed=("libc.so.6", "libz.so.1", "libz-0123abcd.so.1"))),
        ("lent-library", own(needed=("libc.so.6", "libexpat.so.1", "libz-0123abcd.so.1"))),
        ("closed", own(needed=("libc.so.6", "libcurl.so.4", "libz-0123abcd.so.1"))),
        ("tag", own(machine="EM_AARCH64")),
        ("tag", own(versions={"libc.so.6": ("GLIBC_2.36",)})),
        ("stack-protector", taking(MANY | {"__memcpy_chk": ("", "")})),
        ("fortify", taking({"strcpy": ("", ""), "__stack_chk_fail": ("", "")})),
        ("visibility", taking(GUARDED, "helper")),
        ("private-api", taking({**GUARDED, "_PyType_Lookup": ("", "")})),
        ("stable-abi", taking({**GUARDED, "PyFrame_New": ("", "")}, **ABI3)),
        ("stable-abi", taking({**GUARDED, "PyType_GetModuleByDef": ("", "")}, **ABI3)),
        ("permissions", {"members": (MODE,)}),
        ("aslr", {"binaries": {"a/x.dll": replace(pe(), dynamic_base=False)}}),
        ("dep", {"binaries": {"a/x.dll": replace(pe(), nx=False)}}),
        ("cfg", {"binaries": {"a/x.dll": pe()}}),
        ("leftover", {"files": {"a/x.o": b"\x7fELF\0"}}),
        ("build-path", {"files": {OWN: b"\0/home/someone/checkout/x.c\0"}}),
        ("ca-path", {"files": {BUNDLED: b"\0/etc/pki/tls/certs/ca-bundle.crt\0"}}),
        ("unowned", {"binaries": {"a.libs/libgcc_s-01234567.so.1": elf("libc.so.6")}}),
        ("license", {"binaries": {LIBQ: elf("libc.so.6")}}),
    ],
)
def test_its_fault_is_found(tmp_path: Path, rule: str, about: dict[str, Any]) -> None:
    assert rule in found(tmp_path, **about)


def test_arm64_code_is_signed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    whole = test_macho.FULL
    (tmp_path / OWN).write_bytes(whole)
    macho = read_macho(whole)
    (part,) = macho.slices
    wheel = content(tmp_path, {OWN: macho})
    rule = next(rule for rule in RULES if rule.id == "signature")
    assert [mark.member for mark in rule.look(wheel)] == []
    assert part.signature_at is not None
    at = part.signature_at[0] - 1
    (tmp_path / OWN).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert [mark.member for mark in rule.look(wheel)] == [OWN]


def test_the_floor_names_symbol_package_and_systems(tmp_path: Path) -> None:
    binaries = {BUNDLED: elf("libc.so.6", versions={"libc.so.6": ("GLIBC_2.36", "GLIBC_2.4")})}
    symbols = {BUNDLED: Symbols(imported={**GUARDED, **NEW})}
    wheel = replace(content(tmp_path, binaries), symbols=symbols)
    facts = platform_facts(wheel, TODAY)
    first = facts.steps[0]
    assert facts.consistent == ("manylinux_2_36_x86_64",)
    assert first.symbols == (("GLIBC_2.36", "pidfd_open", BUNDLED),)
    assert {"Ubuntu 22.04", "RHEL, UBI, AlmaLinux, Rocky 9"} <= {*first.adds}
    assert facts.external == {"libc.so.6": ("GLIBC_2.36", "GLIBC_2.4")}
    assert "Debian 13" in facts.systems


@pytest.mark.parametrize(
    ("needed", "imported", "more", "tag"),
    [
        ("libc.so.6", {}, {}, "manylinux_2_5_x86_64"),
        ("libexpat.so.1", {}, {}, "manylinux_2_12_x86_64"),
        ("libz.so.1", {"crc32_combine_op": ("", "")}, {}, "manylinux_2_37_x86_64"),
        ("libz.so.1", {"_tr_tally": ("", "")}, {}, "linux_x86_64"),
        ("libcurl.so.4", {}, {}, "linux_x86_64"),
        ("libc.so.6", {"PyFPE_jbuf": ("", "")}, {}, "linux_x86_64"),
        ("libc.so.6", {"__issignaling": ("", "")}, {}, "manylinux_2_24_x86_64"),
        ("libc.so.6", {"__issignalingl": WEAK}, {}, "manylinux_2_5_x86_64"),
        ("libc.so.6", {}, {"cpu": "x86-64-v2"}, "linux_x86_64"),
        ("ld64.so.1", {}, {"machine": "EM_S390"}, "manylinux_2_17_s390x"),
        ("libc.musl-x86_64.so.1", {}, {}, "musllinux_1_2_x86_64"),
    ],
)
def test_the_tag_is_the_oldest_that_policies_allow(
    tmp_path: Path, needed: str, imported: dict[str, Any], more: dict[str, Any], tag: str
) -> None:
    weak = frozenset(name for name, at in imported.items() if at is WEAK)
    symbols = {OWN: Symbols(imported=imported, weak=weak)}
    wheel = replace(content(tmp_path, {OWN: replace(elf(needed), **more)}), symbols=symbols)
    assert platform_facts(wheel, TODAY).consistent == (tag,)


def test_every_rule_of_the_table_has_somebody_who_looks() -> None:
    with pytest.raises(KeyError):
        rules_of({})

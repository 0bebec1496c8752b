"""What the audit reads of wheels beside what other tools say: every fact that both state.

`PYTHONPATH=src python benchmarks/agreement.py FILE.whl...`, on Linux with binutils and LLVM.
`auditwheel show` and abi3audit are asked about wheels, readelf about ELF files, pefile about
those for Windows, llvm-readobj and llvm-nm about those for macOS. Prints a Markdown table of how
often they agree, then each disagreement; fails where there is one.
"""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pefile
from abi3audit._audit import AuditError
from abi3audit._audit import audit as abi3audit
from abi3audit._extract import SharedObjectExtractor, SharedObjectSpec
from abi3info.models import PyVersion

from geowheel.audit.abi import STABLE, abi_facts
from geowheel.audit.content import WheelContent, opened_wheel
from geowheel.audit.platform import platform_facts
from geowheel.binary.elf import Elf, Relro
from geowheel.binary.macho import MachO, PathUse
from geowheel.binary.pe import Pe
from geowheel.machine.console import Console

TOOLS: Final = Path(sys.executable).parent
Fact = tuple[str, str, Any, Any]
"""Who else says it, what it is about, what the audit says, what the other says."""
pefile.MAX_SYMBOL_NAME_LENGTH = 1 << 16  # templates have longer names than it takes for whole


def main() -> int:
    """Compare and print; 1 where something differs."""
    counts, wrong, today = Counter[str](), list[str](), datetime.date.today()
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            console = Console(logs=Path(folder) / "logs", quiet=True)
            with console.quiet_step("audit") as step, opened_wheel(Path(name), step) as content:
                for other, about, ours, theirs in compared(content, today):
                    counts[other] += 1
                    if ours != theirs:
                        counts[f"{other} differs"] += 1
                        wrong.append(
                            f"{content.wheel.filename} {about}: {ours!r}, {other} {theirs!r}"
                        )
    sys.stdout.write("| other tool | facts compared | differ |\n| --- | --- | --- |\n")
    for other in sorted(name for name in counts if not name.endswith(" differs")):
        sys.stdout.write(f"| {other} | {counts[other]} | {counts[f'{other} differs']} |\n")
    sys.stdout.writelines(f"{line[:1000]}\n" for line in ("", *wrong))
    return int(bool(wrong))


def compared(content: WheelContent, today: datetime.date) -> Iterator[Fact]:
    """Yield every fact of a wheel that another tool states as well."""
    if content.of(Elf):
        yield from beside_auditwheel(content, today)
    for path, binary in content.binaries.items():
        readers: dict[type[Any], Any] = {Elf: beside_readelf, Pe: beside_pefile, MachO: beside_llvm}
        yield from readers[type(binary)](content, path, binary)
        if content.is_module(path):
            yield from beside_abi3audit(content, path)


def said(*command: str | Path) -> str:
    """What a tool prints."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return done.stdout


def beside_auditwheel(content: WheelContent, today: datetime.date) -> Iterator[Fact]:
    """The tag, what the wheel takes from the system with which versions, and why no older tag."""
    told = json.loads(said(TOOLS / "auditwheel", "show", "--json", content.path) or "{}")
    if "overall_tag" not in told:
        return
    facts = platform_facts(content, today)
    who = "auditwheel show"
    yield who, "tag", set(facts.consistent), {told["overall_tag"]}
    # It lists bundled libraries as well, and never the loader itself.
    theirs = {k: set(v) for k, v in told["versioned_symbols"].items() if k in facts.external}
    ours = {k: set(v) for k, v in facts.external.items() if v and not k.startswith("ld")}
    yield who, "versions", ours, {k: v for k, v in theirs.items() if not k.startswith("ld")}
    yield (
        who,
        "needs newer processors",
        any(elf.cpu not in ("", "x86-64") for elf in content.of(Elf).values()),
        told["unsupported_isa"],
    )


def beside_abi3audit(content: WheelContent, path: str) -> Iterator[Fact]:
    """Which names are not in the stable ABI, and which are newer than the tag."""
    try:
        (each,) = SharedObjectExtractor(SharedObjectSpec(str(content.tree / path)))
        found = abi3audit(each, assume_minimum_abi3=PyVersion(3, 2))
    except (AuditError, ValueError):  # it reads no files of some processors
        return
    # A module's own functions are among what it names.
    outside = {s.name for s in found.non_abi3_symbols} - content.symbols[path].exported
    yield "abi3audit", f"{path} outside", {*abi_facts(content).obstacles.get(path, ())}, outside
    newest = max((STABLE[n] for n in content.symbols[path].imported if n in STABLE), default=(3, 2))
    computed = (found.computed.major, found.computed.minor)
    yield "abi3audit", f"{path} CPython", max(newest, (3, 2)), computed


def beside_readelf(content: WheelContent, path: str, elf: Elf) -> Iterator[Fact]:
    """The dynamic section, segments, versions, symbols, sections and notes."""
    file, symbols = content.tree / path, content.symbols[path]
    text = said("readelf", "-W", "-h", "-l", "-d", "-S", "-V", "-n", "--dyn-syms", file)
    dynamic = dict[str, list[str]]()
    for tag, value in re.findall(r"^ 0x[0-9a-f]+ \((\w+)\)\s+(.*)$", text, re.MULTILINE):
        dynamic.setdefault(tag, []).append(value)

    def names(tag: str) -> list[str]:
        return [m[1] for v in dynamic.get(tag, ()) if (m := re.search(r"\[(.*)\]$", v))]

    def paths(tag: str) -> list[str]:
        return [each for name in names(tag)[-1:] if name for each in name.split(":")]

    flags = " ".join((*dynamic.get("FLAGS", ()), *dynamic.get("FLAGS_1", ()))).split()
    stack = re.search(r"^  GNU_STACK .* ([RWE ]{3}) 0x", text, re.MULTILINE)
    sections = {*re.findall(r"^  \[ *\d+\] (\S+)", text, re.MULTILINE)}
    bind_now = "BIND_NOW" in dynamic or "BIND_NOW" in flags or "NOW" in flags
    who = "readelf"
    yield who, f"{path} NEEDED", list(elf.needed), names("NEEDED")
    yield who, f"{path} SONAME", elf.soname, next(iter(names("SONAME")), None)
    yield who, f"{path} RPATH", list(elf.rpath), paths("RPATH")
    yield who, f"{path} RUNPATH", list(elf.runpath), paths("RUNPATH")
    yield who, f"{path} BIND_NOW", elf.bind_now, bind_now
    yield who, f"{path} TEXTREL", elf.text_relocations, "TEXTREL" in dynamic or "TEXTREL" in flags
    yield who, f"{path} RELRO", elf.relro is not Relro.NONE, "  GNU_RELRO " in text
    yield who, f"{path} stack", elf.executable_stack, stack is None or "E" in stack[1]
    yield who, f"{path} .symtab", elf.symbols, ".symtab" in sections
    yield (
        who,
        f"{path} debug",
        elf.debug,
        any(s.startswith((".debug_", ".zdebug_")) for s in sections),
    )
    needed = re.findall(r"x86 ISA needed: (.*)", text)
    levels = re.findall(r"x86-64-\w+", needed[-1]) if needed else []
    yield (
        who,
        f"{path} ISA",
        elf.cpu,
        {"x86-64-baseline": "x86-64"}.get(*levels[-1:] * 2) if levels else "",
    )
    versions = dict[str, set[str]]()
    library = ""
    for line in text.partition("Version needs section")[2].splitlines():
        if found := re.search(r"File: (\S+)", line):
            library = found[1]
        elif found := re.search(r"Name: (\S+)\s+Flags", line):
            versions.setdefault(library, set()).add(found[1])
    relr = {"GLIBC_ABI_DT_RELR"}
    yield (
        who,
        f"{path} versions",
        {k: {*v} - relr for k, v in elf.versions.items() if {*v} - relr},
        {k: v - relr for k, v in versions.items() if v - relr},
    )
    unique = text.replace("<OS specific>: 10", "UNIQUE")  # in files that do not say OSABI GNU
    rows = [line.split() for line in unique.splitlines() if re.match(r" +\d+: [0-9a-f]+ ", line)]
    taken, given = set[str](), set[str]()
    for row in rows:
        if len(row) < 8:
            continue
        place, name = row[-2:] if not re.fullmatch(r"\(\d+\)", row[-1]) else row[-3:-1]
        plain = name.partition("@")[0]
        if place == "UND":
            taken.add(plain)
        elif (
            place != "ABS"
            and row[4] in ("GLOBAL", "WEAK", "UNIQUE")
            and row[5] in ("DEFAULT", "PROTECTED")
        ):
            given.add(plain)
    yield who, f"{path} imports", _differ(symbols.imported.keys(), taken), ((), ())
    yield who, f"{path} exports", _differ(symbols.exported, given), ((), ())


def _differ(ours: Any, theirs: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(sorted({*ours} - {*theirs})[:9]), tuple(sorted({*theirs} - {*ours})[:9])


def beside_pefile(content: WheelContent, path: str, pe: Pe) -> Iterator[Fact]:
    """The headers' flags, libraries and functions."""
    image = pefile.PE(str(content.tree / path), max_symbol_exports=1 << 16)
    symbols, flags, who = content.symbols[path], image.OPTIONAL_HEADER, "pefile"
    listed = getattr(image, "DIRECTORY_ENTRY_IMPORT", [])
    later = getattr(image, "DIRECTORY_ENTRY_DELAY_IMPORT", [])
    given = getattr(image, "DIRECTORY_ENTRY_EXPORT", None)
    libraries = [entry.dll.decode() for entry in listed]
    yield who, f"{path} imports", list(pe.needed), list(dict.fromkeys(libraries))
    yield (
        who,
        f"{path} delayed",
        list(pe.delayed),
        list(dict.fromkeys(e.dll.decode() for e in later)),
    )
    yield who, f"{path} machine", pe.machine, pefile.MACHINE_TYPE[image.FILE_HEADER.Machine]
    for name, ours in {
        "DYNAMIC_BASE": pe.dynamic_base, "HIGH_ENTROPY_VA": pe.high_entropy,
        "NX_COMPAT": pe.nx, "GUARD_CF": pe.control_flow_guard,
    }.items():  # fmt: skip
        theirs = getattr(flags, f"IMAGE_DLLCHARACTERISTICS_{name}")
        yield who, f"{path} {name}", ours, bool(theirs)
    taken = {f.name.decode() for entry in listed for f in entry.imports if not f.import_by_ordinal}
    names = {symbol.name.decode() for symbol in given.symbols if symbol.name} if given else set()
    yield who, f"{path} functions", _differ(symbols.imported, taken), ((), ())
    yield who, f"{path} exports", _differ(symbols.exported, names), ((), ())
    yield who, f"{path} COFF symbols", pe.symbols, image.FILE_HEADER.NumberOfSymbols > 0


def beside_llvm(content: WheelContent, path: str, macho: MachO) -> Iterator[Fact]:
    """Libraries, search paths, deployment targets and symbols of each slice."""
    file, symbols = content.tree / path, content.symbols[path]
    dump = said("llvm-objdump", "--macho", "--private-headers", "--arch=all", file)
    who = "llvm"
    commands = re.split(r"^Load command \d+$", dump, flags=re.MULTILINE)[1:]
    rows = [
        dict(re.findall(r"^\s*(\w+) (\S.*?)(?: \(offset \d+\))?$", c, re.MULTILINE))
        for c in commands
    ]
    loads = [kind.value for kind in PathUse if kind.loads]
    libraries = [row["name"] for row in rows if row["cmd"] in loads]
    yield who, f"{path} libraries", list(macho.libraries), list(dict.fromkeys(libraries))
    rpaths = [row["path"] for row in rows if row["cmd"] == "LC_RPATH"]
    yield who, f"{path} rpaths", list(macho.rpaths), list(dict.fromkeys(rpaths))
    minima = [row.get("minos") or row.get("version") for row in rows
              if row["cmd"] in ("LC_BUILD_VERSION", "LC_VERSION_MIN_MACOSX")]  # fmt: skip
    ours = [".".join(map(str, part.minimum[:2])) for part in macho.slices if part.minimum]
    yield who, f"{path} target", ours, [".".join(m.split(".")[:2]) for m in minima if m]
    listed = said("llvm-nm", "--extern-only", "--arch=all", "--format=bsd", file)
    found = re.findall(
        r"^(?:[0-9a-f]{16}| {16}) (\w) _?(\S+)(?: \(indirect for .*)?$", listed, re.MULTILINE
    )
    taken = {name for kind, name in found if kind == "U"}
    given = {name for kind, name in found if kind not in "Uw"}
    yield who, f"{path} imports", _differ(symbols.imported, taken), ((), ())
    yield who, f"{path} exports", _differ(symbols.exported, given), ((), ())


if __name__ == "__main__":
    sys.exit(main())

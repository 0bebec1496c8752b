"""Where a wheel runs: its tag, what it takes from the system, and what forces its floor."""

import datetime
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from packaging.tags import parse_tag

from geowheel.binary.elf import OLDEST_CPUS, Elf
from geowheel.binary.macho import MachO
from geowheel.binary.pe import Pe
from geowheel.wheel.tag_check import tag_faults
from geowheel.wheel.tags import macos_tag, parse_platform_tag
from geowheel.wheel.user_systems import Family, UserSystem, load_user_systems, platforms

from .content import MUSL, WheelContent
from .rules import Look, Mark

_OLDEST, _NONE = (2, 5), (99, 0)
"""The glibc of the oldest policy, and one that no policy has."""
_KINDS: Final = {"manylinux": Family.GLIBC, "musllinux": Family.MUSL, "macosx": Family.MACOS}
_LOADERS: Final = ("ld-linux", "ld-musl-", "ld64.so.")
_NO_PYTHON: Final = ("PyFPE_jbuf", "PyUnicodeUCS2_")
"""What no CPython of today exports; PEP 513 forbids both."""


@dataclass(frozen=True, kw_only=True)
class FloorStep:
    """What asks for one version of glibc or macOS, and what a wheel without it would win."""

    policy: str
    """`manylinux_2_34`"""
    symbols: tuple[tuple[str, str, str], ...]
    """Version, symbol (empty where there is none) and path of the file that asks for it."""
    without: str
    """The policy that the rest of the wheel fits."""
    adds: tuple[str, ...]
    """Systems in support that this one excludes and that one does not."""


@dataclass(frozen=True, kw_only=True)
class PlatformFacts:
    """What the compiled files say of the systems that they run on."""

    consistent: tuple[str, ...]
    """The platform tags that the content allows, one for each architecture; `any` without any."""
    systems: tuple[str, ...]
    """Those in support on which pip takes the wheel, by its own tags."""
    external: Mapping[str, tuple[str, ...]]
    """What comes from the system, with the versions of symbols that it has to have."""
    steps: tuple[FloorStep, ...]
    """Of a wheel for Linux or macOS, the newest first."""


def platform_facts(content: WheelContent, today: datetime.date) -> PlatformFacts:
    """Return them; `today` decides which systems are in support."""
    external: dict[str, set[str]] = {}
    for walk in content.walks:
        for path, binary in walk.binaries.items():
            for library in {*walk.loader.wanted(path, binary)} - walk.links[path].keys():
                versions = binary.versions.get(library, ()) if isinstance(binary, Elf) else ()
                external.setdefault(library, set()).update(versions)
    tags = {tag.platform for text in content.wheel.tags for tag in parse_tag(text)}
    steps = tuple(floor_steps(content, today))
    return PlatformFacts(
        consistent=tuple(sorted(_consistent(content, steps))) or ("any",),
        systems=tuple(
            system.name for system in _in_support(today)
            if "any" in tags
            or any(tags & {*platforms(system.base, each)} for each in system.architectures)
        ),
        external={name: tuple(sorted(found)) for name, found in sorted(external.items())},
        steps=steps,
    )  # fmt: skip


def _in_support(today: datetime.date) -> list[UserSystem]:
    every = load_user_systems().systems
    return [s for s in every if s.end_of_life is None or s.end_of_life >= today]


def _consistent(content: WheelContent, steps: Sequence[FloorStep]) -> Iterator[str]:
    for architecture in {a for b in content.of(Elf).values() for a in b.architectures}:
        oldest = _named(_kind(content), _lowest(_policies(architecture, content.musl)))
        yield f"{steps[0].policy if steps else oldest}_{architecture}"
    every = content.of(MachO).values()
    machos = [m for m in every if {part.platform for part in m.slices} <= {"", "macOS"}]
    tags = {
        each: macos_tag(max(macho.minimum(each) or (0,) for macho in machos), each)
        for each in ("arm64", "x86_64")
        if machos and all(each in macho.architectures for macho in machos)
    }
    if len(tags) == 2:  # macosx_10_9_universal2 is macOS 11 on Apple's processors
        arm, intel = tags["arm64"], tags["x86_64"]
        newest = arm if arm.version > max(intel.version, (11, 0)) else intel
        tags = {"": replace(newest, architecture="universal2")}
    yield from map(str, tags.values())
    names = {a for pe in content.of(Pe).values() for a in pe.architectures}
    yield from ("win32" if name == "x86" else f"win_{name}" for name in names)


Policies = tuple[tuple[tuple[int, int], Any], ...]
"""auditwheel's, each behind its version of glibc or musl."""


@functools.cache  # data of auditwheel
def _policies(architecture: str, musl: bool) -> Policies:
    """Return the policies for a processor; none for one, or on a machine, without them."""
    try:
        from auditwheel.architecture import Architecture
        from auditwheel.libc import Libc
        from auditwheel.policy import WheelPolicies

        # Nothing in a file says which musl it needs: the last policy is taken, as auditwheel does.
        libc, last = (Libc.MUSL, "musllinux_1_2") if musl else (Libc.GLIBC, None)
        found = WheelPolicies(libc=libc, musl_policy=last, arch=Architecture(architecture))
    except (ImportError, ValueError):
        return ()
    tags = ((parse_platform_tag(policy.name), policy) for policy in found)
    return tuple((tag.version, policy) for tag, policy in tags if tag and any(tag.version))


def _lent(policies: Policies) -> frozenset[str]:
    """Return the libraries that a policy lets a wheel take from the system."""
    return frozenset(name for _, policy in policies for name in policy.whitelist)


def _lowest(policies: Policies, fits: Callable[[Any], bool] = lambda _: True) -> tuple[int, int]:
    """Return the C library of the oldest policy that fits; where none is known at all, any does."""
    found = (version for version, policy in policies if fits(policy))
    return min(found, default=_NONE if policies else _OLDEST)


def _kind(content: WheelContent) -> str:
    return "macosx" if content.of(MachO) else "musllinux" if content.musl else "manylinux"


def floor_steps(content: WheelContent, today: datetime.date) -> Iterator[FloorStep]:
    """Yield what forces the floor of a wheel for Linux or macOS, from the newest system down."""
    binaries = (b for b in content.binaries.values() if not isinstance(b, Pe))
    architecture = next((a for binary in binaries for a in binary.architectures), "")
    kind, policies = _kind(content), _policies(architecture, content.musl)
    macos = kind == "macosx"
    oldest = macos_tag((0,), architecture).version if macos else _lowest(policies)
    needs: dict[tuple[int, int], set[tuple[str, str, str]]] = {}
    for level, need in _needs(content, architecture, policies):
        needs.setdefault(level, set()).add(need)
    levels, systems = sorted(needs, reverse=True), _in_support(today)
    for level, lower in itertools.pairwise([*levels, oldest]):
        if level > oldest:
            yield FloorStep(
                policy=_named(kind, level),
                symbols=tuple(sorted(needs[level])),
                without=_named(kind, lower),
                adds=tuple(
                    system.name for system in systems
                    if architecture in system.architectures and system.base.family is _KINDS[kind]
                    if lower <= system.base.version < level
                ),
            )  # fmt: skip


def _needs(
    content: WheelContent, architecture: str, policies: Policies
) -> Iterator[tuple[tuple[int, int], tuple[str, str, str]]]:
    """Yield what a wheel's files ask for: a C library or a macOS, with version, symbol and path."""
    for walk in content.walks:
        for path, binary in walk.binaries.items():
            if isinstance(binary, MachO) and (minimum := binary.minimum(architecture)):
                shown = f"macOS {minimum[0]}.{minimum[1]}"
                yield macos_tag(minimum, architecture).version, (shown, "", path)
            if isinstance(binary, Elf):
                external = {*walk.loader.wanted(path, binary)} - walk.links[path].keys()
                for level, *need in _elf_needs(content, path, binary, external, policies):
                    yield level, (need[0], need[1], path)


def _elf_needs(
    content: WheelContent, path: str, elf: Elf, external: set[str], policies: Policies
) -> Iterator[tuple[tuple[int, int], str, str]]:
    """Yield what one file asks of the system, as auditwheel judges it: the C library of the oldest
    policy that has it, and what it is by version, library or processor, and by symbol."""
    symbols = content.symbols[path]
    imported, wanted = symbols.imported, symbols.imported.keys() - symbols.weak
    found = () if content.musl else elf.versions.items()
    versions = {version for library, every in found if library in external for version in every}
    named = {(version, name) for name, (version, _) in imported.items() if version in versions}
    # Some have no symbol: GLIBC_ABI_DT_RELR.
    named |= {(version, "") for version in versions - {version for version, _ in named}}
    of = {version: _lowest(policies, functools.partial(_has, version)) for version in versions}
    yield from ((of[version], version, name) for version, name in named)
    for library in external:
        if not library.startswith(_LOADERS):
            yield _lowest(policies, functools.partial(_lends, library)), library, ""
        for name in {n for _, p in policies for n in p.blacklist.get(library, ())} & wanted:
            yield _lowest(policies, functools.partial(_lends, library, name=name)), library, name
    never = (name for name in imported if name.startswith(_NO_PYTHON))
    for text in (*never, *{elf.cpu} - OLDEST_CPUS):
        yield _NONE, text, ""


def _has(version: str, policy: Any) -> bool:
    """Return whether a policy has a symbol's version, such as GLIBC_2.28."""
    family, _, number = version.partition("_")
    return number in policy.symbol_versions.get(family, {number})


def _lends(library: str, policy: Any, *, name: str = "") -> bool:
    """Return whether a policy lends a library, and that symbol of it."""
    return library in policy.whitelist and name not in policy.blacklist.get(library, ())


def _named(kind: str, version: tuple[int, int]) -> str:
    return "{}_{}_{}".format(kind, *version) if version < _NONE else "linux"


def _missing(content: WheelContent, *, lent: bool) -> Iterator[Mark]:
    """Return what neither the wheel nor every system has; with `lent`, what a policy allows."""
    words = "the system, and slim images lack it" if lent else "somewhere: the wheel has none"
    musl = content.musl and any("-musllinux" in tag for tag in content.wheel.tags)
    for walk in content.walks:
        for path, library in walk.missing:
            allowed = _lent(_policies(walk.binaries[path].architectures[0], musl))
            if (library in allowed) is lent and not (musl and library.startswith(MUSL)):
                yield Mark(f"takes {library} from {words}", path)


def _high(content: WheelContent) -> Iterator[Mark]:
    """Yield the newest step, where a wheel without it would run on more systems."""
    step = next(floor_steps(content, content.day), None)
    if step and step.adds:
        symbols, files = ({row[at] for row in step.symbols} - {""} for at in (1, 2))
        names = f"{len(symbols)} symbols in " if symbols else ""
        yield Mark(
            f"{step.policy} is forced by {names}{len(files)} files: without them it is "
            f"{step.without}, which adds {'; '.join(step.adds)}"
        )


LOOKS: Final[Mapping[str, Look]] = {
    "tag": lambda content: (Mark(f.what) for f in tag_faults(content.wheel, content.binaries)),
    "closed": functools.partial(_missing, lent=False),
    "lent-library": functools.partial(_missing, lent=True),
    "floor": _high,
}

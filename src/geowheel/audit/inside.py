"""Rules about what lies in a wheel, and what does not."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from geowheel.binary.pe import Pe
from geowheel.errors import some
from geowheel.wheel.leaks import strings
from geowheel.wheel.leftovers import unused

from .content import WheelContent
from .rules import Look, Mark

_HOMES: Final = (
    "/home/", "/Users/", "/root/", "/tmp/pip-", "/builddir/", "/project/build", "/__w/", "/io/",
    "/github/workspace/", "/private/var/folders/", "C:\\Users\\", "C:/Users/", "D:\\a\\", "D:/a/",
    "C:\\vcpkg\\", "C:/vcpkg/",
)  # fmt: skip
_HOME: Final = re.compile(
    rf"(?<![\w}}])(?:{'|'.join(map(re.escape, _HOMES))})[\w.+-]+[/\\][^\s:;,\"']+"
)
_BUNDLES: Final = ("/etc/pki/tls/", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/ca-bundle.pem")
"""Where Red Hat, Debian and SUSE have their CA bundle: none of them has all three."""
_LICENSE: Final = re.compile(r"licen[cs]e|copying|copyright|notice", re.IGNORECASE)
_HEAD: Final = 1 << 20  # bytes of a text that are looked at
_PROJECTS: Final = {
    "charset": "iconv", "crypto": "openssl", "mfhdf": "hdf", "openjp2": "openjpeg",
    "sharpyuv": "webp", "ssl": "openssl", "sz": "aec", "turbojpeg": "jpeg",
}  # fmt: skip
"""Libraries that are called otherwise than the project whose license they are under."""
_NO_NOTICE: Final = (
    "libgcc", "libgomp", "libgfortran", "libquadmath", "libstdc++", "msvcp", "vcruntime",
    "libgeowheel-",
)  # fmt: skip
"""Compilers' runtimes, whose terms ask for no notice (GCC Runtime Library Exception), and ours."""


def _leftovers(content: WheelContent) -> Iterator[Mark]:
    own = {m.path for m in content.wheel.members if not content.is_prebuilt(m.path)}
    for fault in unused(content.tree, own):
        yield Mark(fault.what, fault.where)


def _unstripped(content: WheelContent) -> Iterator[Mark]:
    for path, binary in content.binaries.items():
        if binary.leftovers:
            yield Mark(f"still has {' and '.join(binary.leftovers)}, which no loader reads", path)


def _machine_paths(content: WheelContent) -> Iterator[Mark]:
    for path, texts in _texts(content, _HOMES):
        if found := dict.fromkeys(match[0] for match in map(_HOME.search, texts) if match):
            yield Mark(f"holds a path of the machine that made it: {some(found, 1)}", path)


def _foreign_bundles(content: WheelContent) -> Iterator[Mark]:
    for path, texts in _texts(content, _BUNDLES):
        found = {place for text in texts for place in _BUNDLES if place in text}
        if len(found) == 1:
            yield Mark(f"looks for certificates in {found.pop()}, which other systems lack", path)


def _texts(content: WheelContent, parts: tuple[str, ...]) -> Iterator[tuple[str, set[str]]]:
    """Yield each compiled file with its strings that hold one of `parts`."""
    wanted = [part.encode() for part in parts]
    return ((path, set(strings(content.tree / path, wanted))) for path in content.binaries)


def _twice(content: WheelContent) -> Iterator[Mark]:
    names: dict[str, list[str]] = {}
    for path in content.bundled:
        names.setdefault(content.library(path).casefold(), []).append(path)
    for name, paths in names.items():
        if len(paths) > 1:
            yield Mark(f"{name} is in it as {some(PurePosixPath(p).name for p in paths)}", paths[0])


def _idle(content: WheelContent) -> Iterator[Mark]:
    """Yield bundled libraries that no other file needs, and whose name no file holds as a text."""
    links = [links for walk in content.walks for links in walk.links.values()]
    loaded = {found for each in links for found in each.values()}
    texts = [file for file in content.tree.rglob("*") if file.suffix in (".py", ".json", ".pth")]
    said = b"".join(map(_head, texts))
    for path in sorted({*content.bundled} - loaded):
        name = PurePosixPath(path).name.encode()
        if name not in said and not content.is_module(path) and "/plugin" not in path:
            yield Mark("nothing in the wheel loads it", path)


def _dangling(content: WheelContent) -> Iterator[Mark]:
    """Yield names of libraries among a file's own data that neither the wheel nor a system has."""
    here = {content.library(path).casefold() for path in content.binaries}
    for walk in content.walks:
        for path, binary in walk.binaries.items():
            linked = {PurePosixPath(n).name for n in (*walk.loader.wanted(path, binary), path)}
            lost = [
                name
                for name in content.symbols[path].named - linked
                if content.library(name).casefold() not in here
                and not walk.loader.is_system(walk.loader.key(name))
            ]
            # A module for Windows has its own name among the texts.
            if lost and not (isinstance(binary, Pe) and content.is_module(path)):
                yield Mark(f"may open {some(sorted(lost), 4)} at run time", path)


def _unowned(content: WheelContent) -> Iterator[Mark]:
    """Yield what a bundle has and the SBOM does not; one mark for a wheel without an SBOM."""
    if content.bundled and not content.packages:
        yield Mark(f"no SBOM says where its {len(content.bundled)} bundled libraries are from")
        return
    owned = {path for package in content.packages for path in package.files}
    for path in content.bundled:
        if path not in owned and not content.library(path).startswith(_NO_NOTICE[-1]):
            yield Mark("no package of the SBOM owns it", path)


def _unlicensed(content: WheelContent) -> Iterator[Mark]:
    """Yield bundled libraries that no license file of the wheel is of, or names."""
    files = [f for f in content.tree.rglob("*") if f.is_file() and _LICENSE.search(f.as_posix())]
    said = b"\n".join(path.as_posix().encode() + b"\0" + _head(path) for path in files).lower()
    for path in content.bundled:
        library = content.library(path)
        stem = re.sub(r"_(c|cpp|hl|cxx)$", "", library.removeprefix("lib").casefold())
        names = {content.owner(path).partition(" ")[0].casefold(), _PROJECTS.get(stem, stem)}
        names |= {re.sub(r"[_-]?\d*_?$", "", name) for name in names}
        words = "|".join(re.escape(name) for name in names if len(name) > 1).encode()
        known = re.search(rb"(?<![a-z0-9])(?:lib)?(?:" + words + rb")(?![a-z])", said)
        if not known and not library.startswith(_NO_NOTICE):
            yield Mark(f"no license file is of {library}, or names it", path)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD) + b"\0"


LOOKS: Final[Mapping[str, Look]] = {
    "leftover": _leftovers,
    "debug-sections": _unstripped,
    "build-path": _machine_paths,
    "ca-path": _foreign_bundles,
    "two-versions": _twice,
    "idle-library": _idle,
    "dangling-plugin": _dangling,
    "unowned": _unowned,
    "license": _unlicensed,
}

"""What only developers need, and what no loader reads: none of it belongs into a wheel."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from geowheel.binary.closure import Binary
from geowheel.errors import BuildError, Fault

KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys((".h", ".hh", ".hpp", ".hxx", ".inl"), "a header"),
    **dict.fromkeys((".a", ".lib"), "a static library"),
    **dict.fromkeys((".o", ".obj"), "an object file"),
    ".la": "a libtool archive",
    ".pc": "a pkg-config file",
}
_ONLY_WHEN_BUNDLED: Final = ("a header", "a pkg-config file")
"""A host may bring its own: some packages are compiled against (NumPy, pybind11)."""


def check_leftovers(tree: Path, binaries: Mapping[str, Binary], own: Collection[str]) -> None:
    """Raise BuildError naming each file that has no business in a wheel.

    `binaries` are the compiled files of `tree` as they are now, `own` the paths of the host's own.
    """
    paths = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file())
    if faults := [*_unused(paths, own), *_unstripped(binaries)]:
        raise BuildError(faults)


def _unused(paths: Collection[str], own: Collection[str]) -> Iterator[Fault]:
    for path in paths:
        kind = KINDS.get(PurePosixPath(path).suffix.lower())
        if kind is None or (path in own and kind in _ONLY_WHEN_BUNDLED):
            continue
        yield Fault(
            what=f"is {kind}, which nobody needs at run time",
            where=path,
            cause="a folder of the native stack holds more than its data, or the host's build "
            "packed what it had made on the way",
            fix=f'leave it out: exclude = ["{path}"] in [tool.geowheel] for the native stack\'s, '
            "the build backend's own setting for the host's",
        )


def _unstripped(binaries: Mapping[str, Binary]) -> Iterator[Fault]:
    for path, binary in sorted(binaries.items()):
        if binary.leftovers:
            yield Fault(
                what=f"still has {' and '.join(binary.leftovers)}, which no loader reads",
                where=path,
                cause="it was changed after strip, or strip does not know this kind of file",
                fix="see what `strip --strip-unneeded` says of it",
            )

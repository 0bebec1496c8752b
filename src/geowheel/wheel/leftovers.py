"""What only developers need, and what no loader reads: none of it belongs into a wheel."""

import glob
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from geowheel.binary.closure import Binary
from geowheel.errors import BuildError, Fault

KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys((".h", ".hh", ".hpp", ".hxx", ".inl"), "a header"),
    **dict.fromkeys((".o", ".obj"), "an object file"),
    ".la": "a libtool archive",
    ".pc": "a pkg-config file",
}
_ARCHIVES: Final = (b"!<arch>\n", b"!<thin>\n")  # as ar begins them, for Windows too
_ONLY_WHEN_BUNDLED: Final = ("a header", "a pkg-config file")
"""A host may bring its own: some packages are compiled against (NumPy, pybind11)."""


def check_leftovers(tree: Path, binaries: Mapping[str, Binary], own: Collection[str]) -> None:
    """Raise BuildError naming each file that has no business in a wheel.

    `binaries` are the compiled files of `tree` as they are now, `own` the paths of the host's own.
    """
    if faults := [*unused(tree, own), *_unstripped(binaries)]:
        raise BuildError(faults)


def _kind(file: Path) -> str | None:
    """Return what a file is by its content; texts, which have no mark, by their name."""
    with file.open("rb") as opened:
        head = opened.read(1 << 10)
    if head.startswith(_ARCHIVES):
        return "a static library"
    kind = KINDS.get(file.suffix.lower())
    # A shape of Wavefront's is an .obj as well, and a text.
    return None if (kind == "an object file") != (b"\0" in head) else kind


def unused(tree: Path, own: Collection[str]) -> Iterator[Fault]:
    for file in sorted(file for file in tree.rglob("*") if file.is_file()):
        path, kind = file.relative_to(tree).as_posix(), _kind(file)
        is_own = path in own
        # A license may have any name (COPYING.LIB), and nothing else lies in dist-info.
        if kind is None or ".dist-info/" in path or (is_own and kind in _ONLY_WHEN_BUNDLED):
            continue
        setting = f'exclude = ["{glob.escape(path)}"] in [tool.geowheel]'
        if is_own:
            setting = "the build backend has a setting for it"
        yield Fault(
            what=f"is {kind}, which nobody needs at run time",
            where=path,
            cause="the host's build packed what it had made on the way"
            if is_own
            else "a folder of the native stack holds more than its data",
            fix=f"leave it out: {setting}",
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

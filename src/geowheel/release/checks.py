"""What is looked at before a file is published: by the tools of the extra `release`, and by us.

twine, check-wheel-contents, pydistcheck and abi3audit run as they are, with settings for wheels
that bundle libraries; what they cannot know of such wheels is looked at here.
"""

import email.parser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename

from geowheel.binary.formats import read_binaries
from geowheel.errors import Fault, GeowheelError, IntegrityError, MachineError
from geowheel.machine.archives import unpack_gz
from geowheel.machine.console import Step
from geowheel.machine.environments import tool_environment, tool_path
from geowheel.machine.process import tail
from geowheel.wheel.reading import same_version, unpack_wheel
from geowheel.wheel.tag_check import tag_faults

TOOLS: Final = (
    "twine", "check-wheel-contents", "pydistcheck", "abi3audit", "pypi-simple", "requests",
)  # fmt: skip
_TIMEOUT: Final = 600

# A folder of bundled libraries (NAME.libs, NAME.dylibs) is no package and holds "modules" that are
# none (W004), and it is one more entry at the top level (W009).
_BUNDLING: Final = "W004,W009"
# Debug sections are looked for by our own reader, for each system's format: pydistcheck starts up
# to 14 programs for each library, half a minute for one wheel.
_OWN: Final = "compiled-objects-have-debug-symbols"
_MEMBERS: Final = 10_000  # GDAL's and PROJ's data are files by the hundred
# hatchling puts .gitignore into every sdist; other files of a checkout say too much about a person.
_NOT_IN_SDISTS: Final = ("!*/.DS_Store", "!*/.env", "!*/.netrc", "!*/.pypirc", "!*/.travis.yml")
_INSTALLED: Final = "4GB"  # the budget is the stage `size`'s


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The distribution that a file has to belong to."""

    name: str
    version: str
    limit_mb: float
    """The largest file that the index takes."""


def check_tools() -> dict[str, str]:
    """Return the tools and their versions; empty text for one that is not installed."""
    return {name: _version(name) for name in (*TOOLS, "geowheel")}


def require_tools() -> None:
    """Raise MachineError, naming the extra, when one of the tools is not there."""
    if missing := [name for name in TOOLS if not _version(name)]:
        raise MachineError(
            f"not installed: {', '.join(missing)}",
            cause="they are in geowheel's extra `release`",
            fix='pip install "geowheel[release]"',
        )


def findings(
    path: Path, expected: Expected, *, environ: Mapping[str, str], step: Step
) -> list[Fault]:
    """Return everything that is wrong with a file that is to be published; none: it may be."""
    with step.elsewhere("check") as scratch:
        by_tools = list(_tool_faults(path, expected, environ, scratch, step))
        if path.name.endswith(".whl"):
            return by_tools + list(_wheel_faults(path, expected, scratch / "wheel"))
        return by_tools + list(_sdist_faults(path, expected, scratch / "sdist"))


def _tool_faults(
    path: Path, expected: Expected, environ: Mapping[str, str], scratch: Path, step: Step
) -> Iterator[Fault]:
    # In an empty folder: none of them may find a configuration of somebody else's.
    place = scratch / "empty"
    place.mkdir()
    for argv in _commands(path, expected):
        name = Path(argv[0]).name
        result = step.run(
            argv, env=tool_environment(environ, NO_COLOR="1"), cwd=place, check=False,
            timeout=_TIMEOUT,
        )  # fmt: skip
        if result.returncode != 0:
            said = tail((result.stdout + result.stderr).strip()) or "  no output"
            yield Fault(
                what=f"{name} does not accept it:\n{said}",
                where=path.name,
                fix=f"the whole output is in {result.log}",
            )


def _commands(path: Path, expected: Expected) -> Iterator[list[str]]:
    yield [str(tool_path("twine")), "check", "--strict", str(path)]
    if path.name.endswith(".whl"):
        bundles = [] if path.name.endswith("-any.whl") else ["--ignore", _BUNDLING]
        yield [str(tool_path("check-wheel-contents")), "--no-config", *bundles, str(path)]
    if "-abi3-" in path.name:
        yield [str(tool_path("abi3audit")), "--strict", str(path)]
    names = () if path.name.endswith(".whl") else _NOT_IN_SDISTS
    yield [
        str(tool_path("pydistcheck")),
        *(part for name in names for part in ("--expected-files", name)),
        "--ignore", _OWN,
        "--max-allowed-files", str(_MEMBERS),
        "--max-allowed-size-compressed", f"{int(expected.limit_mb * 1e6)}B",
        "--max-allowed-size-uncompressed", _INSTALLED,
        str(path),
    ]  # fmt: skip


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _wheel_faults(path: Path, expected: Expected, tree: Path) -> Iterator[Fault]:
    """Compare RECORD with every byte; look at names, versions, tags and metadata."""
    tree.mkdir()
    try:
        wheel = unpack_wheel(path, tree)
        yield from _identity_faults(path.name, wheel.name, wheel.version, expected)
        yield from _metadata_faults(path.name, wheel.metadata)
        yield from tag_faults(wheel, read_binaries(tree))
    except GeowheelError as error:
        yield from error.faults


def _sdist_faults(path: Path, expected: Expected, tree: Path) -> Iterator[Fault]:
    try:
        name, stated = parse_sdist_filename(path.name)
        text, strays = _read_sdist(path, tree)
    except (InvalidSdistFilename, IntegrityError, OSError, UnicodeDecodeError) as error:
        yield Fault(what=f"cannot be read as an sdist: {error}", where=path.name)
        return
    yield from _identity_faults(path.name, name, str(stated), expected)
    if strays:
        yield Fault(
            what=f"has members outside its one folder: {', '.join(strays[:3])}",
            where=path.name,
            cause="an sdist is one folder NAME-VERSION (PEP 625, PEP 721)",
        )
    if text is None:
        yield Fault(what="has no PKG-INFO", where=path.name)
        return
    found = email.parser.Parser().parsestr(text, headersonly=True)
    yield from _identity_faults(
        path.name, canonicalize_name(found["Name"] or ""), found["Version"] or "", expected
    )
    yield from _metadata_faults(path.name, text)


def _read_sdist(path: Path, tree: Path) -> tuple[str | None, list[str]]:
    """Return the text of PKG-INFO, if there is one, and the members that lie where none may."""
    folder = path.name.removesuffix(".tar.gz")
    files, links = unpack_gz(path, tree)
    strays = [name for name in (*files, *links) if name.partition("/")[0] != folder]
    about = f"{folder}/PKG-INFO"
    return (tree / about).read_text("utf-8") if about in files else None, strays


def _identity_faults(where: str, name: str, stated: str, expected: Expected) -> Iterator[Fault]:
    if canonicalize_name(name) != canonicalize_name(expected.name):
        yield Fault(what=f"is of {name}, the release is of {expected.name}", where=where)
    if not same_version(stated, expected.version):
        yield Fault(
            what=f"is of version {stated}, the release is {expected.version}",
            where=where,
            cause="the version was changed after it was made",
            fix="make it anew",
        )


def _metadata_faults(where: str, text: str) -> Iterator[Fault]:
    found: Message = email.parser.Parser().parsestr(text)
    if not found["Requires-Python"]:
        yield Fault(
            what="its metadata has no Requires-Python: pip would take it for any Python",
            where=where,
            fix="set requires-python in [project]",
        )

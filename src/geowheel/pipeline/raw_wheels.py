"""Raw wheels that were made elsewhere: what `geowheel repair-wheel RAW DEST` is asked to do.

cibuildwheel calls its repair-wheel-command with `{wheel}` and `{dest_dir}`
(https://cibuildwheel.pypa.io/en/stable/options/#repair-wheel-command).
"""

import re
from pathlib import Path
from typing import Final

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from geowheel.digest import Artefact, sha256_file
from geowheel.errors import UsageError
from geowheel.project.project import Project
from geowheel.targets import Platform
from geowheel.wheel.reading import parse_filename
from geowheel.wheel.tags import is_raw_tag, raw_platform_tag

from .runs import Request

_CPYTHON: Final = re.compile(r"cp3(\d{1,2})")


def request_for(project: Project, raw: Path, destination: Path) -> Request:
    """Repair `raw` into `destination`, for the interpreter that its name states.

    Raises UsageError when there is no such file, or when it is not a raw wheel of this platform and
    of a configured Python; BuildError when its name is not a wheel's.
    """
    if not raw.is_file():
        raise UsageError("there is no such wheel", where=str(raw))
    parse_filename(raw.name)
    tags = parse_wheel_filename(raw.name)[3]
    platform = _platform(project, raw, tags)
    return Request(
        project=project,
        goals=("repair",),
        targets=(project.target(_python(project, raw, tags), platform),),
        interpreter=None,
        raw=Artefact(path=raw.resolve(), sha256=sha256_file(raw)),
        destination=destination,
    )


def _platform(project: Project, raw: Path, tags: frozenset[Tag]) -> Platform:
    """Return the platform that the wheel's own tag states: its system's tool repairs it."""
    stated = sorted({tag.platform for tag in tags})
    for platform in Platform:
        if any(is_raw_tag(platform, tag) for tag in stated):
            return platform
    machine = project.machine.platform
    wanted = raw_platform_tag(machine)
    cause = f"its platform tag is {', '.join(stated)}, a raw wheel's is such as {wanted}"
    if any(tag.startswith(("manylinux", "musllinux")) for tag in stated):
        cause += ": it was repaired already"
    elif "any" in stated:
        cause += ": the build backend made a pure wheel, for one without compiled modules"
    raise UsageError(
        "this is not a raw wheel of a platform that geowheel knows",
        where=raw.name,
        cause=cause,
        fix="give the wheel as the build backend made it; a pure host is built by "
        "`geowheel build`, which tags it",
    )


def _python(project: Project, raw: Path, tags: frozenset[Tag]) -> str:
    """Return the version whose payload the wheel gets."""
    stated = {(tag.interpreter, tag.abi) for tag in tags}
    found = ((_CPYTHON.fullmatch(name), "t" * abi.endswith("t")) for name, abi in stated)
    versions = {f"3.{match[1]}{threaded}" for match, threaded in found if match}
    any_python = all(abi in ("none", "abi3") for _, abi in stated)
    if project.config.places.has_bindings and (len(versions) != 1 or any_python):
        raise UsageError(
            "the wheel has to be of one CPython, since osgeo's modules are",
            where=raw.name,
            cause=f"its tags are {', '.join(sorted('-'.join(pair) for pair in stated))}",
            fix='build it for one interpreter, or set layout = "none" if it needs no osgeo',
        )
    if not versions or (any_python and not versions <= set(project.config.pythons)):
        return project.config.pythons[0]  # layout none: the payload is the same for each
    return max(versions, key=lambda version: int(version.removesuffix("t").partition(".")[2]))

"""`reproduce`: builds everything twice, as differently as the machine allows, and compares.

What is varied is from https://reproducible-builds.org/docs/env-variations/.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from geowheel.digest import sha256_file
from geowheel.errors import BuildError, Fault
from geowheel.machine.console import Console, Step
from geowheel.machine.environments import EPOCH, tool_environment, tool_path
from geowheel.machine.files import scratch
from geowheel.project.files import host_files, stage_checkout
from geowheel.project.project import CACHE_VARIABLE, Project
from geowheel.stages.build import HOST_VERSION_VARIABLE
from geowheel.wheel.reading import parse_filename

from .comparing import UNKNOWN, Difference, compare

_SOURCES: Final = Path(__file__).resolve().parents[2]
_MADE: Final = (".geowheel", "cache", "dist", "sdist")
_COMPARED: Final = (
    ".geowheel/*/build/[!.]*/*.whl", "dist/*.whl", "sdist/*.tar.gz", "cache/channels/*/*/*.conda",
)  # fmt: skip
"""Raw and repaired wheels, sdists, packages of the distro channel."""
_CONTENT: Final = re.compile(r"_h[0-9a-f]{7}(?=\.conda$)")  # in the name of a package
_LATER: Final = "+26h"  # another day, and what servers sign still holds
_NOT: Final = "NOT VARIED: no bwrap, or it may make no namespaces"
_STARTED: Final = (sys.executable, "-I", "-S", Path(__file__).with_name("started.py"))
_SETTINGS: Final = (
    {"LC_ALL": "C.UTF-8", "TZ": "UTC0", "PYTHONHASHSEED": "1"},
    {"LC_ALL": "tr_TR.UTF-8", "TZ": "FAR-13:30", "PYTHONHASHSEED": "4242"},
)


class Variant(NamedTuple):
    """Where and how one of the two builds runs."""

    root: Path  # the checkout, as the build sees it
    made: Path  # where what it makes lies for us
    environ: Mapping[str, str]
    start: Sequence[str | Path]


def reproduce(project: Project, options: Sequence[str], console: Console) -> dict[str, Any]:
    """Build twice with these options of `repair`, and compare; the result as plain values.

    Downloads are shared, everything else is made twice. Raises BuildError where anything differs.
    """
    kept, environ = project.work / "reproduce", project.machine.environ
    shutil.rmtree(kept, ignore_errors=True)
    with scratch(project.work) as folder:
        place = folder.resolve()
        stage_checkout(host_files(project.root, environ), place / "source", environ)
        ways, varied = _ways(place, environ)
        console.table("varied", ["what", "first", "second"], varied)
        for number, way in enumerate(ways, 1):
            title = f"{number} of 2, in {way.root}"
            with console.step("build", title, logs=f"reproduce/{number}") as step:
                build(project, way, options, step)
        with console.step("compare", "what both made", logs="reproduce/compare") as step:
            same, faults = _compare(ways, kept, tool_environment(environ), step)
        console.result(f"identical: {len(same)} files, packages and these:")
        for name, sha256 in same.items():
            if not name.endswith(".conda"):
                console.result(f"  {sha256}  {name}")
    if faults:
        raise BuildError(faults)
    return {"varied": varied, "identical": same}


def plain_way(place: Path, environ: Mapping[str, str]) -> Variant:
    """Return how to build the checkout in `place`/source as anybody would."""
    root = place / "1"
    for name in _MADE:
        (root / name).mkdir(parents=True)
    start = (*_STARTED, "022", str(_cores()), place / "source", root)
    return Variant(root, root, {**environ, **_SETTINGS[0]}, start)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _ways(
    place: Path, environ: Mapping[str, str]
) -> tuple[tuple[Variant, Variant], list[list[str]]]:
    """Return the two builds of the checkout, and a table of what is different between them."""
    way, far = plain_way(place, environ), place / "a-much-longer-name-of-a-folder"
    second, temporary, made = far / "two", far / "temporary", place / "made"
    for folder in (second, temporary, *(made / name for name in _MADE)):
        folder.mkdir(parents=True)
    own = os.getuid() if hasattr(os, "getuid") else 0
    user = "4321" if own != 4321 else "4322"
    # Another user in a user namespace (user_namespaces(7)): the files are still theirs. A tmpfs
    # lists what is newest first, other file systems go by a hash of the name.
    apart: list[str | Path] = [
        "bwrap", "--dev-bind", "/", "/", "--unshare-user", "--uid", user, "--gid", user,
        "--unshare-uts", "--hostname", "elsewhere", "--tmpfs", second, "--tmpfs", temporary,
        *(word for name in _MADE for word in ("--bind", made / name, second / name)), "--",
    ]  # fmt: skip
    if shutil.which("bwrap") is None or subprocess.run([*apart, "true"], check=False).returncode:
        apart, made = [], second
    clock = ["faketime", "-f", _LATER] if shutil.which("faketime") else []
    cores = _cores()
    two = (*apart, *clock, *_STARTED, "077", "1", place / "source", second)
    other = {**environ, **_SETTINGS[1], "TMPDIR": str(temporary)}
    return (way, Variant(second, made, other, two)), [
        ["folder", str(way.root), str(second)],
        ["user", str(own), user if apart else _NOT],
        ["host name", "its own", "elsewhere" if apart else _NOT],
        ["file order", "the disk's", "a tmpfs's: of sources, of the backend" if apart else _NOT],
        ["umask", "022", "077"],
        ["cores", str(cores), "1" if cores > 1 else "NOT VARIED"],
        ["clock", "its own", _LATER if clock else "NOT VARIED, only later: no faketime here"],
        *([name, value, _SETTINGS[1][name]] for name, value in _SETTINGS[0].items()),
    ]


def build_wheel(project: Project, way: Variant, options: Sequence[str], step: Step) -> Path:
    """Make and repair the wheel in a copy of the checkout, with a cache of its own; where it is."""
    cache, own = project.machine.cache, way.made / "cache"
    # What was downloaded before; each file is hashed when it is used.
    (cache / "store").mkdir(parents=True, exist_ok=True)
    own.mkdir(exist_ok=True)
    (own / "store").symlink_to(cache / "store")
    copy = os.link if cache.stat().st_dev == own.stat().st_dev else shutil.copy2
    for debs in cache.glob("channels/*.work/debs"):
        shutil.copytree(debs, own / debs.relative_to(cache), copy_function=copy)
    environ = {**way.environ, CACHE_VARIABLE: str(way.root / "cache"), "PYTHONPATH": str(_SOURCES)}
    wheel: list[str | Path] = ["--root", way.root, "--host", project.home, *options]
    python = (sys.executable, "-m", "geowheel", "repair")
    step.run([*way.start, *python, *wheel], env=environ, cwd=way.made)
    return next(way.made.glob("dist/*.whl"))


def build(project: Project, way: Variant, options: Sequence[str], step: Step) -> None:
    """Make the wheel, and the sdist."""
    version = parse_filename(build_wheel(project, way, options, step).name)[1]
    sdist: list[str | Path] = ["--out-dir", way.root / "sdist", way.root / project.home]
    uv = (tool_path("uv"), "build", "--sdist", "--no-config", "--python", sys.executable)
    more = {"SOURCE_DATE_EPOCH": str(EPOCH), HOST_VERSION_VARIABLE: version}
    step.run([*way.start, *uv, *sdist], env=tool_environment(way.environ, **more), cwd=way.made)


def _compare(
    ways: Sequence[Variant], kept: Path, env: Mapping[str, str], step: Step
) -> tuple[dict[str, str], list[Fault]]:
    """Return the sha256 of what is the same by its name, and what is not; that is kept."""
    same: dict[str, str] = {}
    faults: list[Fault] = []
    for pattern in _COMPARED:
        made = [{_CONTENT.sub("", path.name): path for path in way.made.glob(pattern)}
                for way in ways]  # fmt: skip
        for key in sorted({*made[0], *made[1]}):
            paths = [each[key] for each in made if key in each]
            name = paths[0].name
            step.now(name)
            alone = Difference(member="the file", where="made by one of them only", why=UNKNOWN)
            found = compare(*paths) if paths[1:] else (alone,)
            if not found:
                same[name] = sha256_file(paths[0])
                continue
            places = [kept / str(number) / path.name for number, path in enumerate(paths, 1)]
            for path, place in zip(paths, places, strict=True):
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
            if paths[1:] and shutil.which("diffoscope", path=env.get("PATH")):
                report = kept / f"{name}.diffoscope.txt"
                step.run(["diffoscope", "--text", report, *places], env=env, cwd=kept, check=False)
            fix = f"what differs is in {kept}"
            faults += [Fault(what=str(each), where=name, fix=fix) for each in found]
    return same, faults

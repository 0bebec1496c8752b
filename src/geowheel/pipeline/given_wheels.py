"""Repaired wheels that were made elsewhere: what `geowheel test --wheel FILE` is asked to judge.

They take the place of what `repair` would make, so nothing upstream of it runs. Where the ledger
has the record of the wheel's own repair, the verdict is the very one of that run.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from geowheel.contents.bill import read_sbom
from geowheel.digest import Artefact, TreeEntry, sha256_file
from geowheel.errors import ChannelError, Fault, GeowheelError, IntegrityError, UsageError
from geowheel.machine.archives import open_zip
from geowheel.machine.console import Step
from geowheel.machine.environments import tool_environment
from geowheel.machine.interpreters import Interpreter
from geowheel.machine.process import tail
from geowheel.project.project import Project
from geowheel.records.facts import Owner, RepairFacts
from geowheel.records.ledger import Ledger, Record
from geowheel.targets import PYTHON_VERSION, Platform, Target
from geowheel.wheel.reading import read_wheel
from geowheel.wheel.tags import parse_platform_tag


def find_given(
    project: Project, place: Path, pythons: Sequence[str], platforms: Sequence[Platform]
) -> dict[Target, Artefact]:
    """Return the repaired wheels of the host that `place` is, or that lie in the folder `place`.

    For the targets that are asked for; without any, for all configured pythons on this machine's
    platform. Raises UsageError when nothing is there, or nothing for a python that is asked for, or
    two wheels for one target.
    """
    found: dict[Target, Artefact] = {}
    for path in _wheels(project, place):
        for target in _targets(project, path, platforms or [project.machine.platform]):
            if pythons and target.python not in pythons:
                continue
            if target in found:
                raise UsageError(
                    f"two wheels are for {target}: {found[target].path.name} and {path.name}",
                    where=str(place),
                    fix="name one of them with --wheel FILE",
                )
            if faults := faults_of_wheel(project, path, str(target)):
                raise IntegrityError(faults)
            found[target] = Artefact(path=path, sha256=sha256_file(path))
    missing = [p for p in pythons if not any(target.python == p for target in found)]
    if missing or not found:
        asked = ", ".join(missing or project.config.pythons)
        raise UsageError(
            f"no repaired wheel of {project.host.name} for Python {asked}",
            where=str(place),
            cause="it is for other interpreters, or for another platform than this machine's",
            fix="name a file of dist/, or say --platform",
        )
    return found


def faults_of_wheel(project: Project, path: Path, subject: str) -> Sequence[Fault]:
    """Return what keeps a file from being a wheel of the host for a target: it is read whole."""
    try:
        read_wheel(path)
        if is_of_host(project, path) and subject in map(str, _targets(project, path, Platform)):
            return ()
        return (Fault(what=f"no wheel of {project.host.name} for {subject}", where=str(path)),)
    except GeowheelError as error:
        return error.faults


def record_of(wheel: Artefact, target: Target, ledger: Ledger) -> Record[RepairFacts]:
    """Return the record of the wheel's own repair, or one made from what the wheel says of itself.

    Raises IntegrityError when it cannot be read.
    """
    output = TreeEntry(path=wheel.path.name, sha256=wheel.sha256, size=wheel.path.stat().st_size)
    own = (r.facts for r in ledger.records(RepairFacts, str(target)) if r.about == wheel.sha256)
    return Record(
        stage="repair", subject=str(target), host=ledger.host, key=output.sha256, components={},
        trees={}, upstream={}, content=output.sha256, outputs=(output,),
        facts=next(own, None) or _facts(wheel.path), passed=True, seconds=0.0, created="",
        home=ledger.home, folder=wheel.path.parent,
    )  # fmt: skip


def take_from_index(
    wheel: Artefact, index: str, interpreter: Interpreter | None, project: Project, step: Step
) -> Artefact:
    """Take the wheel as pip gets it from an index, for the interpreter that it is to run in.

    pip chooses among what the index has of that version, and accepts no other bytes than the
    given wheel's. Raises ChannelError with what pip said.
    """
    name, version, *_ = parse_wheel_filename(wheel.path.name)
    folder = project.work / "index" / wheel.sha256[:16]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{name}=={version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    chosen = () if interpreter is None else ("--python", interpreter.executable)
    plain = {k: v for k, v in project.machine.environ.items() if not k.startswith("PIP_")}
    # By a variable: other users of the machine can read arguments, and the URL may have a login.
    env = tool_environment(plain, PIP_INDEX_URL=index, PIP_CONFIG_FILE=os.devnull)
    result = step.run(
        [sys.executable, "-m", "pip", *chosen, "download", "--no-deps",
         "--only-binary", ":all:", "--require-hashes", "--disable-pip-version-check",
         "--no-cache-dir", "--progress-bar", "off", "--dest", folder, "-r", wanted],
        env=env, cwd=folder, check=False,
    )  # fmt: skip
    got = folder / wheel.path.name
    if result.returncode != 0 or not got.is_file():
        raise ChannelError(
            f"pip did not get {wheel.path.name} from there:\n{tail(result.stdout + result.stderr)}",
            where=index,
            cause="it was not uploaded, other bytes were, or pip prefers another wheel",
            fix=f"the whole output is in {result.log}",
        )
    return Artefact(path=got, sha256=wheel.sha256)


def _facts(wheel: Path) -> RepairFacts:
    tags = parse_wheel_filename(wheel.name)[3]
    with open_zip(wheel) as archive:
        packages = read_sbom(archive)
    return RepairFacts(
        tag=".".join(sorted({tag.platform for tag in tags})),
        owners=tuple(
            Owner(name=p.name, version=p.version, files=p.files) for p in packages if p.files
        ),
    )


def _wheels(project: Project, place: Path) -> list[Path]:
    """Return the wheels of the host at a place; a file has to be one."""
    if not place.exists():
        raise UsageError("there is no such wheel", where=str(place))
    if place.is_file() and not is_of_host(project, place):
        raise UsageError(f"this is not a wheel of {project.host.name}", where=str(place))
    if place.is_file():
        return [place.resolve()]
    return sorted(p.resolve() for p in place.rglob("*.whl") if is_of_host(project, p))


def is_of_host(project: Project, path: Path) -> bool:
    """Return whether a wheel's name is the host's: dist/ may hold those of several."""
    try:
        name = parse_wheel_filename(path.name)[0]
    except InvalidWheelFilename:
        return False
    return name == canonicalize_name(project.host.name)


def _targets(project: Project, wheel: Path, platforms: Iterable[Platform]) -> list[Target]:
    """Return the targets, of these platforms, that pip would install the wheel for."""
    tags = parse_wheel_filename(wheel.name)[3]
    targets = project.targets(platforms)
    return [t for t in targets if any(_fits(tag, t.python, t.platform) for tag in tags)]


def _fits(tag: Tag, python: str, platform: Platform) -> bool:
    threaded, minor = python.endswith("t"), int(python.removesuffix("t").partition(".")[2])
    stated = parse_platform_tag(tag.platform)
    if stated is None or not stated.is_for(platform) or not stated.published:
        return False
    if tag.abi == "abi3" and PYTHON_VERSION.fullmatch(f"3.{tag.interpreter[3:]}"):
        return int(tag.interpreter[3:]) <= minor and not threaded
    same = tag.abi == "none" or tag.abi.endswith("t") == threaded
    return same and tag.interpreter in (f"cp3{minor}", "py3")

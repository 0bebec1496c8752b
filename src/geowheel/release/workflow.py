"""The workflow of GitHub Actions, written from the same configuration as everything else.

Every step that does work is a session of nox, the one that a person runs on a laptop; the rest
fetches sources, interpreters, caches and artifacts. workflow.yml is the template, in the syntax of
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
from packaging.utils import canonicalize_name

from geowheel.errors import ConfigError, UsageError
from geowheel.locks.build_lock import FILE_NAME as BUILD_LOCK
from geowheel.machine.console import Console
from geowheel.machine.files import write
from geowheel.project.config import Bindings, Workflow
from geowheel.project.places import Layout
from geowheel.project.project import Project
from geowheel.stages.context import stable_pythons
from geowheel.targets import Platform, parse_platform

from .index import simple_of
from .pins import Pins, pins_of

USUAL: Final = Platform.LINUX_64
"""The platform whose runner does what is done once."""
FOLDER: Final = Path(".github", "workflows")
LOGINS: Final[Mapping[str, Mapping[str, str]]] = {
    "s3": {
        "AWS_ACCESS_KEY_ID": "secrets.AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY": "secrets.AWS_SECRET_ACCESS_KEY",
        "AWS_REGION": "vars.AWS_REGION || 'us-east-1'",
        "AWS_ENDPOINT_URL": "vars.AWS_ENDPOINT_URL || format('https://s3.{0}.amazonaws.com', "
        "vars.AWS_REGION || 'us-east-1')",
    },
    "gs": {"GOOGLE_SERVICE_ACCOUNT_KEY": "secrets.GOOGLE_SERVICE_ACCOUNT_KEY"},
    "az": {
        "AZURE_STORAGE_ACCOUNT_NAME": "vars.AZURE_STORAGE_ACCOUNT_NAME",
        "AZURE_STORAGE_ACCOUNT_KEY": "secrets.AZURE_STORAGE_ACCOUNT_KEY",
    },
}
"""By the scheme of a shared ledger's URL, the variables that obstore reads, and their contexts:
https://developmentseed.org/obstore/latest/authentication/"""
OLDEST_PYTHON: Final = (3, 11)
"""The oldest Python that runs geowheel; wheels are made for older ones as well."""


@dataclass(frozen=True, kw_only=True)
class WorkflowFacts:
    """The facts of a project that decide its workflow."""

    name: str
    home: str
    """The host's folder, relative to the root."""
    pythons: tuple[str, ...]
    builder: str
    """The Python that makes wheels of the stable ABI; empty where there are none."""
    platforms: tuple[Platform, ...]
    bindings: Mapping[Platform, str]
    """How bindings are made, on platforms whose runner says it."""
    locks: tuple[str, ...]
    """Paths of the locks, and of what pins the tools."""
    workflow: Workflow
    simple: str
    """The simple API of the index that it publishes to."""
    ledger: str
    """The URL of the shared ledger; empty without one that runners reach."""

    @property
    def logins(self) -> Mapping[str, str]:
        """How jobs log in to the shared ledger: variables, and where GitHub keeps their values."""
        return LOGINS.get(self.ledger.partition("://")[0], {})

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that the build is given."""
        named = (name for name, value in self.logins.items() if value.startswith("secrets."))
        return ("GEOWHEEL_SHARED_LEDGER", *named) if self.ledger else ()

    @property
    def file(self) -> Path:
        """The workflow that runs by itself, and publishes."""
        return FOLDER / self.workflow.file

    @property
    def called(self) -> Path:
        """The one that it calls, which builds and attests."""
        return self.file.with_name(f"{self.file.stem}-build{self.file.suffix}")


def facts_of(project: Project, pins: Pins, console: Console) -> WorkflowFacts:
    """Read the facts of a project; leave out a platform that no wheel can be made on, and say so.

    Raises ConfigError when none is left.
    """
    config, manifest = project.config, project.manifest
    named = [parse_platform(name) for name in config.release.platforms or ()]
    platforms: list[Platform] = []
    bindings: dict[Platform, str] = {}
    for platform in named or list(manifest.platforms_of(config.environment)):
        asked = pins.runner(platform).bindings
        prebuilt = asked is Bindings.PREBUILT and config.bindings is Bindings.COMPILED
        if prebuilt and config.layout is not Layout.TOPLEVEL:
            console.warn(
                f"{platform} is left out: nothing there compiles, and layout {config.layout} "
                "cannot have the channel's own bindings"
            )
            continue
        platforms.append(platform)
        if prebuilt:
            bindings[platform] = Bindings.PREBUILT
    if not platforms:
        raise ConfigError(
            "there is no platform to make wheels on", where=str(manifest.path),
            fix="name platforms in it that have a runner: `geowheel pins` shows them",
        )  # fmt: skip
    return WorkflowFacts(
        name=project.host.name,
        home=project.home,
        pythons=config.pythons,
        builder=next(iter(stable_pythons(config)), ""),
        platforms=tuple(platforms),
        bindings=bindings,
        locks=_locks(project),
        workflow=config.workflow,
        simple=simple_of(config.workflow.upload, config.release.simple),
        ledger=shared if "://" in (shared := config.shared_ledger or "") else "",
    )


def _locks(project: Project) -> tuple[str, ...]:
    paths = [project.manifest.lock_path, project.folder / BUILD_LOCK]
    paths += [project.root / "noxfile.py", *project.root.glob("ci/requirements/tools.txt")]
    root = project.root
    return tuple(p.relative_to(root).as_posix() for p in paths if p.is_relative_to(root))


def workflow(project: Project, *, check: bool, console: Console) -> dict[str, Any]:
    """Write the workflow, or with `check` compare it; where it is, and whether it was current.

    Raises ConfigError with the difference when a checked one is not current; UsageError instead of
    replacing a file that was not generated for this host.
    """
    pins = pins_of(project)
    facts = facts_of(project, pins, console)
    texts = generate(facts, pins)
    before = {
        path: goal.read_text(encoding="utf-8") if (goal := project.root / path).is_file() else ""
        for path in texts
    }
    if check and before != texts:
        lines = [
            line
            for path, text in texts.items()
            for line in difflib.unified_diff(
                before[path].splitlines(), text.splitlines(), f"{path} as it is",
                f"{path} as it would be", lineterm="", n=1,
            )
        ]  # fmt: skip
        raise ConfigError(
            "the workflow is not what would be generated\n" + "\n".join(lines),
            where=str(project.root / facts.file),
            cause="the configuration or a pin changed, or somebody edited the file",
            fix="run `geowheel workflow` and commit it",
        )
    for path, text in before.items():
        if text and not text.startswith(_first_line(facts) + "\n"):
            raise UsageError(
                "this file was written for another host, or by hand",
                where=str(project.root / path),
                fix="remove it, or name another one: file = ... in [tool.geowheel.workflow]",
            )
    for path, text in texts.items():
        if before[path] != text:
            write(project.root / path, text)
        state = "current" if before[path] == text else "written"
        console.result(f"{path.as_posix()}: {state}")
    return {"path": str(project.root / facts.file), "current": before == texts}


def generate(facts: WorkflowFacts, pins: Pins) -> dict[Path, str]:
    """Return the text of both workflows; raise ConfigError where what they need has no pin."""
    environment = jinja2.Environment(
        block_start_string="[%", block_end_string="%]", comment_start_string="[#",
        comment_end_string="#]", variable_start_string="[[", variable_end_string="]]",
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    # YAML 1.2 contains JSON: what is quoted so means itself, whatever stands in it.
    environment.filters["quoted"] = lambda value: json.dumps(value, ensure_ascii=False)
    folder, project = files("geowheel.release"), canonicalize_name(facts.name)
    template = environment.from_string(folder.joinpath("workflow.yml").read_text("utf-8"))
    containers = any(pins.runner(platform).container for platform in facts.platforms)
    render = partial(
        template.render,
        first_line=_first_line(facts),
        facts=facts,
        pins=pins,
        rows=[_row(facts, pins, platform) for platform in facts.platforms],
        containers=containers,
        usual=pins.runner(USUAL).os,
        target_python=_target_python(facts, pins),
        locks=", ".join(f"'{path}'" for path in facts.locks),
        uses=pins.uses,
        served=folder.joinpath("served.py").read_text(encoding="utf-8").strip(),
        page=lambda simple: f"{simple.rstrip('/')}/{project}/",
        command=partial(_command, facts, pins),
        building=facts.called.as_posix(),
    )
    return {
        path: render(called=path == facts.called, name=path.stem)
        for path in (facts.file, facts.called)
    }


def _first_line(facts: WorkflowFacts) -> str:
    source = Path(facts.home, "pyproject.toml").as_posix()
    return f"# Generated from [tool.geowheel] of {source} and the pins"


def _row(facts: WorkflowFacts, pins: Pins, platform: Platform) -> dict[str, str]:
    """Return what the jobs know of a platform."""
    runner, bindings = pins.runner(platform), facts.bindings.get(platform)
    return {
        "os": runner.os,
        "platform": platform,
        "container": pins.image(runner.container) if runner.container else "",
        "interpreter": f"python{pins.tool('python')}" if runner.container else "python",
        "options": f"--bindings {bindings}" if bindings else "",
    }


def _target_python(facts: WorkflowFacts, pins: Pins) -> str:
    """Return the version of the target's interpreter, which runs geowheel as well where it can.

    Beside it the one that makes the wheels, which are to have the same bytes in all jobs.
    """
    versions = (python.removesuffix("t").split(".") for python in facts.pythons)
    old = any((int(major), int(minor)) < OLDEST_PYTHON for major, minor in versions)
    own = pins.tool("python") if old else ""
    wanted = [*filter(None, [facts.builder, "${{ matrix.python }}", own])]
    return "\n".join([*wanted, ""]) if wanted[1:] else wanted[0]  # the last one is `python`


def _command(facts: WorkflowFacts, pins: Pins, session: str, options: str, python: str) -> str:
    """Return how a step runs a session: all that does work is one."""
    start = " ".join(facts.workflow.nox)
    start = start.replace("{nox}", pins.tool("nox")).replace("{python}", python)
    return f"{start} -s {facts.workflow.prefix}{session}" + (f" -- {options}" if options else "")

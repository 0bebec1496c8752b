"""The workflow of GitHub Actions, written from the same configuration as everything else.

Every step that does work is a session of nox, the one that a person runs on a laptop; the rest
fetches sources, interpreters, caches and artefacts. The syntax is that of
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from geowheel.errors import ConfigError, UsageError
from geowheel.locks.build_lock import FILE_NAME as BUILD_LOCK
from geowheel.machine.console import Console
from geowheel.project.config import Bindings, Workflow
from geowheel.project.places import Layout
from geowheel.project.project import Project
from geowheel.targets import Platform, parse_platform

from .pins import Pins, pins_of
from .yaml_text import (
    Noted,
    Value,
    to_yaml,
)

Job: TypeAlias = Mapping[str, Value]
"""A job, or a part of one."""
USUAL: Final = Platform.LINUX_64
"""Whose runner does what is done once."""
FOLDER: Final = Path(".github", "workflows")
OLDEST_PYTHON: Final = (3, 11)
"""The oldest that runs geowheel; wheels are made for older ones as well."""
# Of each job, in minutes. A wheel takes one of two cores about a minute, its lab ten; the rest is
# for runners that are slower, and for the first run, which has no cache.
_TIMEOUTS: Final = {
    "checks": 120, "build": 60, "test": 90, "collect": 20,
    "staging": 15, "probes": 45, "publish": 15,
}  # fmt: skip
_UPLOADED: Final = ".geowheel/upload"
_DOWNLOADED: Final = ".geowheel/download"
_TARGET: Final = "${{ matrix.platform }}-${{ matrix.python }}"
_GIVEN: Final = ("--frozen", "--wheel", "dist")
_ON_A_TAG: Final = "startsWith(github.ref, 'refs/tags/')"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What of a project decides the workflow."""

    name: str
    home: str
    """The host's folder, relative to the root."""
    pythons: tuple[str, ...]
    platforms: tuple[Platform, ...]
    bindings: Mapping[Platform, str]
    """How bindings come about, on platforms where it is said."""
    locks: tuple[str, ...]
    """Paths of the locks, and of what pins the tools."""
    workflow: Workflow

    @property
    def file(self) -> Path:
        return FOLDER / self.workflow.file


def facts_of(project: Project, pins: Pins, console: Console) -> Facts:
    """The facts of a project; a platform that no wheel can be made on is left out, and said.

    Raises ConfigError when none is left.
    """
    config, manifest = project.config, project.manifest
    named = [parse_platform(name) for name in config.release.platforms or ()]
    platforms: list[Platform] = []
    bindings: dict[Platform, str] = {}
    for platform in named or list(manifest.platforms_of(config.environment)):
        asked = pins.runner(platform).bindings
        prebuilt = asked == Bindings.PREBUILT and config.bindings is Bindings.COMPILED
        if prebuilt and config.layout is not Layout.TOPLEVEL:
            console.warn(
                f"{platform} is left out: nothing there compiles, and layout {config.layout} "
                "cannot have the channel's own bindings"
            )
            continue
        platforms.append(platform)
        if prebuilt:
            bindings[platform] = asked
    if not platforms:
        raise ConfigError(
            "there is no platform to make wheels on", where=str(manifest.path),
            fix="name platforms in it that have a runner: `geowheel pins` shows them",
        )  # fmt: skip
    return Facts(
        name=project.host.name,
        home=project.home,
        pythons=config.pythons,
        platforms=tuple(platforms),
        bindings=bindings,
        locks=_locks(project),
        workflow=config.workflow,
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
    goal = project.root / facts.file
    text = generate(facts, pins)
    before = goal.read_text(encoding="utf-8") if goal.is_file() else ""
    if check and before != text:
        lines = difflib.unified_diff(
            before.splitlines(), text.splitlines(), "as it is", "as it would be", lineterm="", n=1
        )
        raise ConfigError(
            "the workflow is not what would be generated\n" + "\n".join(lines),
            where=str(goal),
            cause="the configuration or a pin changed, or somebody edited the file",
            fix="run `geowheel workflow` and commit it",
        )
    if before and not before.startswith(_first_line(facts) + "\n"):
        raise UsageError(
            "this file was written for another host, or by hand", where=str(goal),
            fix="remove it, or name another one: file = ... in [tool.geowheel.workflow]",
        )  # fmt: skip
    if before != text:
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.write_text(text, encoding="utf-8", newline="\n")
    console.result(f"{facts.file.as_posix()}: {'current' if before == text else 'written'}")
    return {"path": str(goal), "current": before == text}


def generate(facts: Facts, pins: Pins) -> str:
    """The workflow's text; raises ConfigError where something that it needs has no pin."""
    writer = _Writer(facts=facts, pins=pins)
    blocks = [_first_line(facts) + "\n# by `geowheel workflow`; do not edit.\n"]
    blocks += [to_yaml({name: value}) for name, value in writer.head().items()]
    blocks.append(
        "jobs:\n" + "\n".join(_below(to_yaml({n: job})) for n, job in writer.jobs().items())
    )
    return "\n".join(blocks)


def _first_line(facts: Facts) -> str:
    source = Path(facts.home, "pyproject.toml").as_posix()
    return f"# Generated from [tool.geowheel] of {source} and the pins"


def _below(text: str) -> str:
    return "".join(f"  {line}" if line.strip() else line for line in text.splitlines(True))


@dataclass(frozen=True, kw_only=True)
class _Writer:
    """Makes the parts of one workflow; each method returns plain values."""

    facts: Facts
    pins: Pins

    def head(self) -> dict[str, Value]:
        branches = list(self.facts.workflow.branches)
        return {
            "name": "wheels",
            "on": {
                "push": {"branches": branches, "tags": ["**"]},
                "pull_request": {},
                "workflow_dispatch": {},
            },
            "permissions": {"contents": "read"},
            # A newer push makes an older run pointless; a release runs to its end.
            "concurrency": {
                "group": "${{ github.workflow }}-${{ github.ref }}",
                "cancel-in-progress": f"${{{{ !{_ON_A_TAG} }}}}",
            },
            "defaults": {"run": {"shell": "bash"}},
            # Below the work folder, which is ignored: caches of actions are by path.
            "env": {"GEOWHEEL_CACHE": ".geowheel/cache"},
        }

    def jobs(self) -> dict[str, Job]:
        """The jobs by name, in the order in which they run."""
        to = self.facts.workflow
        return {
            "checks": self.checks(),
            "build": self.build(),
            "test": self.test(),
            "collect": self.collect(),
            "staging": self.publishing(
                "staging", needs="collect", environment="staging", index=to.staging_upload
            ),
            "probes": self.probes(),
            "publish": self.publishing(
                "publish", needs="probes", environment="release", index=to.upload
            ),
        }

    # ------------------------------------------------------------------------ jobs

    def checks(self) -> Job:
        """The noxfile's own checks, and whether the locks still fit."""
        return self._job("checks", [
            *self._sources(), self._setup_python(self.pins.tool("python")), self._setup_pixi(),
            self._cached("checks"),
            *(self._nox(name) for name in self.facts.workflow.checks),
            self._nox("lock", "--check"),
        ])  # fmt: skip

    def build(self) -> Job:
        """A wheel for each target, on a runner of its platform and with an old libc."""
        options = ["--frozen", *(["${{ matrix.options }}"] if self.facts.bindings else [])]
        setup, python = self._target_python(), "python"
        if self._containers():  # an image of manylinux has every interpreter, by its name
            setup, python = {"if": "matrix.container == ''", **setup}, "${{ matrix.interpreter }}"
        return self._job("build", [
            *self._sources(), setup, self._setup_pixi(), self._cached("build", _TARGET),
            self._nox("wheel-${{ matrix.python }}", *options, python=python),
            self._nox("export", _UPLOADED, python=python), self._upload(f"built-{_TARGET}"),
        ], matrix=True, container=True)  # fmt: skip

    def test(self) -> Job:
        """The very wheel, on a machine that did not make it."""
        return self._job("test", [
            *self._sources(), self._target_python(), self._cached("test", _TARGET),
            self._download(f"built-{_TARGET}", _DOWNLOADED), self._nox("collect", _DOWNLOADED),
            self._nox("size", *_GIVEN),
            self._nox("test-${{ matrix.python }}", *_GIVEN),
            self._nox("lab-${{ matrix.python }}", *_GIVEN),
            self._nox("export", _UPLOADED), self._upload(f"tested-{_TARGET}"),
        ], needs=["build"], matrix=True)  # fmt: skip

    def collect(self) -> Job:
        """One release of what all jobs made, and what stands against it.

        A host that publishes an sdist (`release.sdist`) gets it made there, as on a laptop.
        """
        tried = self._nox("release", "--dry-run", "--index", self.facts.workflow.upload)
        return self._job("collect", [
            *self._sources(history=True), self._setup_python(self.pins.tool("python")),
            self._cached("collect"),
            self._download("tested-*", _DOWNLOADED), self._nox("collect", f"{_DOWNLOADED}/*"),
            {"if": _ON_A_TAG, **tried},
            self._upload("release", "dist/*.whl\ndist/*.tar.gz\n"),
        ], needs=["checks", "test"])  # fmt: skip

    def probes(self) -> Job:
        """What pip gets from the staging index, in the place of what lies in dist/."""
        index = self.facts.workflow.staging_index
        return self._job("probes", [
            *self._sources(), self._target_python(), self._cached("probes", _TARGET),
            self._download("release", "dist"),
            self._nox("test-${{ matrix.python }}", *_GIVEN, "--index", index),
        ], needs=["staging"], matrix=True)  # fmt: skip

    def publishing(self, name: str, *, needs: str, environment: str, index: str) -> Job:
        """Upload as a trusted publisher: a token for this one job, from the run's own identity.

        https://docs.pypi.org/trusted-publishers/. No step of the project's runs beside that token.
        """
        return self._job(name, [
            self._download("release", "dist"),
            # A run that died in the upload is run again: what is there already is skipped.
            self._uses("pypa/gh-action-pypi-publish", {
                "repository-url": index, "packages-dir": "dist", "skip-existing": True,
            }),
        ], needs=[needs], more={
            "if": _ON_A_TAG, "environment": environment, "permissions": {"id-token": "write"},
        })  # fmt: skip

    # ------------------------------------------------------------------------ parts

    def _job(
        self,
        name: str,
        steps: Sequence[Job],
        *,
        needs: Sequence[str] = (),
        matrix: bool = False,
        container: bool = False,
        more: Job | None = None,
    ) -> Job:
        job: dict[str, Value] = {"name": f"{name} {_TARGET}"} if matrix else {}
        if needs:
            job["needs"] = list(needs)
        job |= more or {}
        job["runs-on"] = "${{ matrix.os }}" if matrix else self.pins.runner(USUAL).os
        job["timeout-minutes"] = _TIMEOUTS[name]
        if matrix:
            job["strategy"] = {"fail-fast": False, "matrix": self._matrix(container=container)}
        if container and self._containers():
            # As the user that the runner is, who owns the checkout: git refuses anybody else's.
            # https://github.com/actions/checkout/issues/47
            job["container"] = {"image": "${{ matrix.container }}", "options": "--user 1001"}
        return {**job, "steps": list(steps)}

    def _matrix(self, *, container: bool) -> Job:
        """Runner images and interpreters are the axes; what a platform needs beside goes along."""
        rows: list[Value] = []
        for platform in self.facts.platforms:
            row: dict[str, Value] = {"os": self.pins.runner(platform).os, "platform": platform}
            rows.append(row | (self._making(platform) if container else {}))
        return {
            "os": [self.pins.runner(platform).os for platform in self.facts.platforms],
            "python": list(self.facts.pythons),
            "include": rows,
        }

    def _making(self, platform: Platform) -> dict[str, Value]:
        """What the job that makes wheels knows of a platform."""
        row: dict[str, Value] = {}
        if containers := self._containers():
            image = containers.get(platform)
            row["container"] = "" if image is None else self.pins.image(image)
            row["interpreter"] = "python" if image is None else f"python{self.pins.tool('python')}"
        if self.facts.bindings:
            bindings = self.facts.bindings.get(platform)
            row["options"] = f"--bindings {bindings}" if bindings else ""
        return row

    def _containers(self) -> dict[Platform, str]:
        found = {
            platform: self.pins.runner(platform).container for platform in self.facts.platforms
        }
        return {platform: image for platform, image in found.items() if image}

    # ------------------------------------------------------------------------ steps

    def _nox(self, session: str, *arguments: str, python: str = "python") -> Job:
        """A step that does work."""
        known = {"{nox}": self.pins.tool("nox"), "{python}": python}
        words = list(self.facts.workflow.nox)
        for name, value in known.items():
            words = [word.replace(name, value) for word in words]
        words += ["-s", self.facts.workflow.prefix + session]
        return {"run": " ".join([*words, *(["--", *arguments] if arguments else [])])}

    def _uses(self, action: str, settings: Job) -> Job:
        reference, version = self.pins.uses(action)
        return {"uses": Noted(reference, version), "with": settings}

    def _sources(self, *, history: bool = False) -> list[Job]:
        settings: dict[str, Value] = {"persist-credentials": False}
        if history:  # tags, and how far the last one is away
            settings["fetch-depth"] = 0
        return [self._uses("actions/checkout", settings)]

    def _setup_python(self, version: str) -> Job:
        return self._uses("actions/setup-python", {"python-version": version})

    def _target_python(self) -> Job:
        """The target's interpreter, which runs geowheel as well where it can."""
        versions = ["${{ matrix.python }}"]
        if any(_number(python) < OLDEST_PYTHON for python in self.facts.pythons):
            versions.append(self.pins.tool("python"))  # the last one is `python`
        return self._setup_python("\n".join([*versions, ""]) if versions[1:] else versions[0])

    def _setup_pixi(self) -> Job:
        version = f"v{self.pins.tool('pixi')}"
        return self._uses("prefix-dev/setup-pixi", {"pixi-version": version, "run-install": False})

    def _cached(self, *parts: str) -> Job:
        """Downloads and tools; never what a stage made."""
        start = "-".join(["geowheel", "${{ runner.os }}", "${{ runner.arch }}", *parts])
        files = ", ".join(f"'{path}'" for path in self.facts.locks)
        return self._uses("actions/cache", {
            "path": ".geowheel/cache",
            "key": f"{start}-${{{{ hashFiles({files}) }}}}",
            "restore-keys": f"{start}-",
        })  # fmt: skip

    def _upload(self, name: str, path: str = _UPLOADED) -> Job:
        return self._uses("actions/upload-artifact", {
            "name": name, "path": path, "if-no-files-found": "error", "include-hidden-files": True,
            "compression-level": 0,
        })  # fmt: skip

    def _download(self, name: str, path: str) -> Job:
        which = "pattern" if "*" in name else "name"
        return self._uses("actions/download-artifact", {which: name, "path": path})


def _number(python: str) -> tuple[int, ...]:
    return tuple(int(part) for part in python.split("."))

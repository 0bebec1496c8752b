"""Pins: the versions, commits and digests that the generated workflow and a laptop both use.

They are facts with a source, in one file: the project's own, or the one that geowheel came with.
`geowheel pins` shows them and says which are by a name alone. Renovate keeps them up to date: see
renovate.json.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeVar

from geowheel.errors import (
    ConfigError,
    Fault,
    MachineError,
)
from geowheel.locks.pixi import find_pixi
from geowheel.machine.console import Console, Step
from geowheel.project.config import Bindings
from geowheel.project.project import Project
from geowheel.targets import Platform, parse_platform

SHIPPED: Final = "pins.toml"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
Name = TypeVar("Name", bound=str)
Pin = TypeVar("Pin")


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A program by its version."""

    version: str
    source: str

    @property
    def exact(self) -> str:
        """What nobody can change afterwards; a version number is none."""
        return ""


@dataclass(frozen=True, kw_only=True)
class Action:
    """An action of GitHub's: `owner/name`, the tag of its release, and the tag's commit."""

    version: str
    commit: str = ""
    source: str

    @property
    def exact(self) -> str:
        return self.commit


@dataclass(frozen=True, kw_only=True)
class Image:
    """A container image: its tag, and the digest of what the tag meant."""

    version: str
    digest: str = ""
    source: str

    @property
    def exact(self) -> str:
        return self.digest


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Where wheels of a platform are made and tested."""

    os: str
    """The runner image, as `runs-on` names it."""
    container: str = ""
    """The image in which wheels are made, for an old libc; they are tested outside of it."""
    bindings: str = ""
    """How bindings come about there, where nothing there compiles them."""
    source: str


@dataclass(frozen=True, kw_only=True)
class Pins:
    """All pins of a project."""

    path: Path
    """Where they were read from."""
    tools: Mapping[str, Tool]
    actions: Mapping[str, Action]
    images: Mapping[str, Image]
    runners: Mapping[Platform, Runner]

    def uses(self, action: str) -> str:
        """How a step names an action: by its commit with the version as a comment, if it has one.

        Raises ConfigError for an action that has no pin.
        """
        pin = self._find("actions", self.actions, action)
        return (
            f"{action}@{pin.commit}  # {pin.version}" if pin.commit else f"{action}@{pin.version}"
        )

    def image(self, name: str) -> str:
        """How a job names a container image; raises ConfigError where it has no pin."""
        pin = self._find("images", self.images, name)
        return f"{name}@{pin.digest}" if pin.digest else f"{name}:{pin.version}"

    def tool(self, name: str) -> str:
        """A tool's version; raises ConfigError where it has no pin."""
        return self._find("tools", self.tools, name).version

    def runner(self, platform: Platform) -> Runner:
        """Raises ConfigError where the platform has none."""
        return self._find("runners", self.runners, platform)

    def _find(self, table: str, pins: Mapping[Name, Pin], name: Name) -> Pin:
        if name not in pins:
            raise ConfigError(
                f"[{table}] has no pin of {name}",
                where=str(self.path),
                fix=f'add [{table}."{name}"] with a version and its source',
            )
        return pins[name]


def pins_of(project: Project) -> Pins:
    """The project's own pins where it has some, else those that geowheel came with.

    Raises ConfigError as `parse_pins` does.
    """
    own = project.root / project.config.workflow.pins
    if own.is_file():
        return parse_pins(own.read_text(encoding="utf-8"), own)
    text = files("geowheel.release").joinpath(SHIPPED).read_text(encoding="utf-8")
    return parse_pins(text, Path(SHIPPED))


def parse_pins(text: str, path: Path) -> Pins:
    """The pins in a file's text; raises ConfigError with everything that is wrong with them."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not valid TOML: {error}", where=str(path)) from None
    faults: list[Fault] = []
    found: dict[str, dict[str, Any]] = {}
    for table, kind in (
        ("tools", Tool),
        ("actions", Action),
        ("images", Image),
        ("runners", Runner),
    ):
        found[table] = {}
        for name, values in data.pop(table, {}).items():
            try:
                found[table][name] = kind(**values)
            except TypeError:
                keys = ", ".join(field.name for field in fields(kind))
                what = f"[{table}] {name}: the keys are {keys}"
                faults.append(Fault(what=what, where=str(path)))
    faults += [Fault(what=f"unknown table [{name}]", where=str(path)) for name in data]
    faults += [Fault(what=what, where=str(path)) for what in _misshapen(found)]
    if faults:
        raise ConfigError(faults)
    runners = {parse_platform(name): pin for name, pin in found.pop("runners").items()}
    return Pins(path=path, runners=runners, **found)


def _misshapen(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, action in found["actions"].items():
        if action.commit and not _COMMIT.fullmatch(action.commit):
            yield f"[actions] {name}: {action.commit!r} is no commit of 40 hexadecimal digits"
    for name, image in found["images"].items():
        if image.digest and not _DIGEST.fullmatch(image.digest):
            yield f"[images] {name}: {image.digest!r} is no digest sha256:..."
    for name, runner in found["runners"].items():
        if runner.bindings not in ("", *Bindings):
            yield f"[runners] {name}: bindings is one of {', '.join(Bindings)}"
        if runner.container and runner.container not in found["images"]:
            yield f"[runners] {name}: [images] has no pin of {runner.container}"
    for table, pins in found.items():
        for name, pin in pins.items():
            if not pin.source:
                yield f"[{table}] {name}: it has no source"


def show(project: Project, console: Console) -> dict[str, Any]:
    """A table of the pins and of what is at hand on this machine; the same as plain values."""
    pins = pins_of(project)
    with console.quiet_step("pins") as step:
        here = dict(_here(project, step))
    rows = [
        {"kind": kind, "name": str(name), "version": pin.version, "exact": pin.exact,
         "source": pin.source, "here": here.get(name, "")}
        for kind, table in (("tool", pins.tools), ("action", pins.actions), ("image", pins.images))
        for name, pin in table.items()
    ]  # fmt: skip
    console.result(f"pins of {pins.path}")
    for row in rows:
        console.result(f"{row['name']} {_beside(row)}: by {_by(row)}")
        console.result(f"    {row['source']}")
    loose = [row["name"] for row in rows if row["kind"] != "tool" and not row["exact"]]
    if loose:
        console.warn(
            f"only by the name of a version, which its owner can move: {', '.join(loose)}; "
            "`git ls-remote --tags https://github.com/OWNER/NAME` has the commits"
        )
    return {"pins": rows, "loose": loose, "path": str(pins.path)}


def _beside(row: Mapping[str, str]) -> str:
    here, version = row["here"], row["version"]
    fits = here == version or here.startswith(f"{version}.")
    return version if not here or fits else f"{version} (here {here})"


def _by(row: Mapping[str, str]) -> str:
    if not row["exact"]:
        return "version"
    kind = "digest" if row["kind"] == "image" else "commit"
    return f"{kind} {row['exact'].removeprefix('sha256:')[:12]}"


def _here(project: Project, step: Step) -> Iterator[tuple[str, str]]:
    """Versions of the tools on this machine, of those that are here."""
    yield "python", "{}.{}.{}".format(*sys.version_info)
    with suppress(importlib.metadata.PackageNotFoundError):
        yield "nox", importlib.metadata.version("nox")
    try:
        pixi = find_pixi(project.machine.environ, step)
    except MachineError:  # GEOWHEEL_PIXI names something else: said where pixi is needed
        return
    if pixi is not None:
        yield "pixi", str(pixi.version)

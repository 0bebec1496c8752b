"""Pins: the versions, commits and digests that the generated workflow and a laptop both use.

They are facts with a source, in one file: the project's own, or the one that geowheel came with.
`geowheel pins` shows them and says which are by a name alone. Renovate keeps them up to date: see
renovate.json.
"""

import importlib.metadata
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec

from geowheel.errors import ConfigError, MachineError
from geowheel.locks.pixi import find_pixi
from geowheel.machine.console import Console, Step
from geowheel.machine.files import text_of
from geowheel.project.config import Bindings
from geowheel.project.project import Project
from geowheel.targets import Platform

SHIPPED: Final = "pins.toml"
Source = Annotated[str, msgspec.Meta(min_length=1)]
"""Where a pin was taken from; every pin says so."""
Name = TypeVar("Name", bound=str)
Found = TypeVar("Found")


class Pin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool, an action (`owner/name`) or a container image, by its version or tag."""

    version: str
    commit: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{40})?$")] = ""
    """The commit that the tag of an action was put on."""
    digest: Annotated[str, msgspec.Meta(pattern="^(sha256:[0-9a-f]{64})?$")] = ""
    """The image that the tag of a container meant."""
    source: Source

    @property
    def exact(self) -> str:
        """What nobody can change afterwards; a version number is none."""
        return self.commit or self.digest


class JobRunner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where wheels of a platform are made and tested."""

    os: str
    """The runner image, as `runs-on` names it."""
    container: str = ""
    """The image in which wheels are made, for an old libc; they are tested outside of it."""
    bindings: Bindings | None = None
    """How bindings come about there, where nothing there compiles them."""
    source: Source


class Pins(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All pins of a project."""

    tools: dict[str, Pin]
    actions: dict[str, Pin]
    images: dict[str, Pin]
    runners: dict[Platform, JobRunner]
    path: Path = Path()
    """Where they were read from."""

    def uses(self, action: str) -> str:
        """Return how a step names an action: by its commit with the version as a comment.

        Raises ConfigError for an action that has no pin.
        """
        pin = self._find("actions", self.actions, action)
        return (
            f"{action}@{pin.commit}  # {pin.version}" if pin.commit else f"{action}@{pin.version}"
        )

    def image(self, name: str) -> str:
        """Return how a job names a container image; raises ConfigError where it has no pin."""
        return f"{name}@{self._find('images', self.images, name).digest}"

    def tool(self, name: str) -> str:
        """Return a tool's version; raises ConfigError where it has no pin."""
        return self._find("tools", self.tools, name).version

    def runner(self, platform: Platform) -> JobRunner:
        """Return the runner of a platform; raises ConfigError where it has none."""
        return self._find("runners", self.runners, platform)

    def _find(self, table: str, pins: Mapping[Name, Found], name: Name) -> Found:
        if name not in pins:
            raise ConfigError(
                f"[{table}] has no pin of {name}",
                where=str(self.path),
                fix=f'add [{table}."{name}"] with a version and its source',
            )
        return pins[name]


def pins_of(project: Project) -> Pins:
    """Return the project's own pins where it has some, else those that geowheel came with.

    Raises ConfigError as `parse_pins` does.
    """
    own = project.root / project.config.workflow.pins
    if own.is_file():
        return parse_pins(own.read_text(encoding="utf-8"), own)
    return parse_pins(text_of("release", SHIPPED), Path(SHIPPED))


def parse_pins(text: str, path: Path) -> Pins:
    """Read the pins in a file's text; raises ConfigError with what is wrong."""
    try:
        found = msgspec.toml.decode(text, type=Pins)
    except msgspec.DecodeError as error:  # a value of another kind is a DecodeError as well
        raise ConfigError(str(error), where=str(path)) from None
    if floating := next((name for name, pin in found.images.items() if not pin.digest), None):
        tag = f"{floating}:{found.images[floating].version}"
        raise ConfigError(
            f"[images] {tag} floats: it may mean another image tomorrow", where=str(path),
            fix=f"add the digest that `docker buildx imagetools inspect {tag}` shows",
        )  # fmt: skip
    for platform, runner in found.runners.items():
        if runner.container and runner.container not in found.images:
            what = f"[runners] {platform}: [images] has no pin of {runner.container}"
            raise ConfigError(what, where=str(path))
    return msgspec.structs.replace(found, path=path)


def show(project: Project, console: Console) -> dict[str, Any]:
    """Show the pins and what is at hand on this machine; return the same as plain values."""
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
    """Yield versions of the tools on this machine, of those that are here."""
    yield "python", "{}.{}.{}".format(*sys.version_info)
    with suppress(importlib.metadata.PackageNotFoundError):
        yield "nox", importlib.metadata.version("nox")
    try:
        pixi = find_pixi(project.machine.environ, step)
    except MachineError:  # GEOWHEEL_PIXI names something else: said where pixi is needed
        return
    if pixi is not None:
        yield "pixi", str(pixi.version)

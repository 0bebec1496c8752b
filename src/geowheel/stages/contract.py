"""What a stage is: `inputs` decides and changes nothing, `run` acts and sees only inputs."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, cast

from geowheel.digest import Tree, digest
from geowheel.records.stage import Outcome, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geowheel.machine.console import Step
    from geowheel.prefix.store import Store
    from geowheel.records.ledger import Records

    from .context import Context

_AMBIENT = "ambient"


def ambient() -> Any:
    """Declare a field that is no content, such as a cache folder: it has no part in the key."""
    return field(metadata={_AMBIENT: True}, default=None)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Base of a stage's inputs: one field for each component of its key."""

    store: Store = ambient()
    cache: Path = ambient()
    environ: Mapping[str, str] = ambient()

    def components(self) -> dict[str, str]:
        """Return name and digest of each component."""
        return {
            f.name.replace("_", " "): digest(getattr(self, f.name))
            for f in fields(self)
            if not f.metadata.get(_AMBIENT)
        }

    def trees(self) -> dict[str, dict[str, str]]:
        """Return the files of components that are trees, to name one that changed."""
        every = {f.name.replace("_", " "): getattr(self, f.name) for f in fields(self)}
        return {name: value.paths() for name, value in every.items() if isinstance(value, Tree)}


class StageModule(Protocol):
    """The two functions of a stage, and a third where its row says `rechecks`."""

    def inputs(self, context: Context, upstream: Records, /) -> Inputs:
        """Decide; read-only and fast."""
        ...

    def run(self, inputs: Any, folder: Path, step: Step, /) -> Outcome[Any]:
        """Act: make everything inside `folder`, from `inputs` alone."""
        ...

    def check(self, inputs: Any, step: Step, /) -> None:
        """See to what is beside, when a stage is asked for by name and its record is reused."""
        ...


def load(stage: Stage) -> StageModule:
    """Return a stage's functions: what decides is in one module, what acts is imported late."""
    inputs = import_module("geowheel.stages.inputs")

    def act(name: str, *given: Any) -> Any:
        return getattr(import_module(f"geowheel.stages.{stage.name}"), name)(*given)

    functions = {name: partial(act, name) for name in ("run", "check")}
    return cast("StageModule", SimpleNamespace(inputs=getattr(inputs, stage.name), **functions))

"""The stage table: the pipeline, in order. Only the standard library is imported here.

A stage is one row below and one module `geowheel.stages.<name>` with two functions, `inputs` and
`run` (see `geowheel.stages.contract`). `geowheel.pipeline.loop` holds the one loop over them.
"""

from collections.abc import Collection, Iterable
from typing import Final

from geowheel.records.stage import Scope, Stage

STAGES: Final = (
    Stage(
        name="fetch",
        summary="download, check and place the native stack that is locked",
        scope=Scope.PLATFORM,
        tools=("py-rattler",),
        shut_in=False,  # it has the network
        rechecks=True,
        interpreter=False,
    ),
    Stage(
        name="bindings",
        summary="compile osgeo's extension modules, or take the channel's own",
        upstream=("fetch",),
    ),
    Stage(
        name="vendor",
        summary="put osgeo, data, plugins, programs and bootstrap together",
        upstream=("fetch", "bindings"),
    ),
    Stage(
        name="build",
        summary="make the raw wheel by the host's own build backend",
        upstream=("fetch", "vendor"),
        tools=("pyproject-hooks", "pip"),
    ),
    Stage(
        name="repair",
        summary="bundle the native libraries; the wheel goes to dist/",
        upstream=("fetch", "vendor", "build"),
        tools=("cyclonedx-python-lib", "license-expression"),
        interpreter=False,
    ),
    Stage(
        name="size",
        summary="check the wheel against the size budget",
        upstream=("fetch", "repair"),
        verdict=True,
        interpreter=False,
    ),
    Stage(
        name="test",
        summary="install into a clean environment, probe GDAL, run the host's tests",
        upstream=("fetch", "repair"),
        tools=("pip",),
        verdict=True,
        runs_wheel=True,
    ),
    Stage(
        name="lab",
        summary="try the wheel beside other libraries, poisoned, damaged, moved, alone",
        upstream=("fetch", "repair"),
        tools=("pip",),
        shut_in=False,  # its cases make sandboxes of their own
        verdict=True,
        runs_wheel=True,
    ),
)

WHEEL: Final = ("size", "test")
"""What `wheel` asks for: a wheel that its own tests accept. The lab is asked for by name."""


def find(name: str) -> Stage:
    """Return the row of that name; raises KeyError."""
    return {stage.name: stage for stage in STAGES}[name]


def needed(goals: Iterable[str], given: Collection[str] = ()) -> tuple[Stage, ...]:
    """Return the goals and all that is upstream of them, in the table's order.

    Stages whose result is `given` are left out, and what only they need.
    """
    wanted: set[str] = set()
    waiting = list(goals)
    while waiting:
        name = waiting.pop()
        if name not in wanted and name not in given:
            wanted.add(name)
            waiting += find(name).upstream
    return tuple(stage for stage in STAGES if stage.name in wanted)

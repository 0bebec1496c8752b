"""Calling a host's own build backend (PEP 517)."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyproject_hooks import (
    BackendUnavailable,
    BuildBackendHookCaller,
    HookMissing,
    UnsupportedOperation,
)

from geowheel.errors import BuildError
from geowheel.locks.build_lock import marker_environment, unmet
from geowheel.machine.console import Step
from geowheel.targets import Target

from .inputs import BuildInputs


def build_wheel(
    inputs: BuildInputs, staged: Path, goal: Path, python: Path, env: Mapping[str, str], step: Step
) -> Path:
    """Return the wheel that the backend makes of `staged`, in the new folder `goal`.

    `python` is that of an environment with the backend. Raises BuildError when there is no such
    backend, when it asks for what is not locked, when it fails, or when it makes no wheel or
    several.
    """

    def runner(
        cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        step.run(cmd, env={**env, **(extra_environ or {})}, cwd=Path(cwd or staged))

    goal.mkdir()
    system, where = inputs.build_system, str(inputs.host_files.root / "pyproject.toml")
    hooks = BuildBackendHookCaller(
        str(staged), system.backend, system.backend_path or None, runner=runner,
        python_executable=str(python),
    )  # fmt: skip
    try:
        # What the backend warns of comes a second time, as warnings of this process.
        with warnings.catch_warnings(record=True, action="always") as caught:
            asked = hooks.get_requires_for_build_wheel(inputs.config_settings)
            if missing := _missing(inputs, asked):
                raise BuildError(
                    f"{system.backend} also asks for {', '.join(missing)}",
                    where=where,
                    cause="a backend may name more build requirements when it is called (PEP 517)",
                    fix=f"add requires = {json.dumps(missing)} to [tool.geowheel.build], then run "
                    "`geowheel lock` if there is a lock",
                )
            hooks.build_wheel(str(goal), inputs.config_settings)
    except (BackendUnavailable, HookMissing, UnsupportedOperation) as error:
        raise BuildError(
            f"{system.backend} cannot build a wheel: {type(error).__name__} {error}".rstrip(),
            where=where,
            cause="[build-system] build-backend names no PEP 517 backend that is installed, or "
            "[tool.geowheel.build] sources leaves its file out",
            fix="correct build-backend or sources, or add its package to requires and run "
            "`geowheel lock`",
        ) from None
    if first := dict.fromkeys(str(each.message).strip().partition("\n")[0] for each in caught):
        step.say(f"the backend warns: {'; '.join(first)}")
    wheels = sorted(goal.glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(f"{system.backend} made {len(wheels)} wheels instead of one")
    return wheels[0]


def _missing(inputs: BuildInputs, asked: Sequence[str]) -> list[str]:
    """Return the requirements that hold for this interpreter and are not installed."""
    found = inputs.interpreter
    target = Target(python=found.python, platform=inputs.platform)
    here = {**marker_environment(target), "python_full_version": found.version}
    return unmet(asked, {download.name for download in inputs.requirements}, here)

"""Calling a host's own build backend (PEP 517)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pyproject_hooks import (
    BackendUnavailable,
    BuildBackendHookCaller,
    HookMissing,
    UnsupportedOperation,
)

from geowheel.errors import BuildError
from geowheel.machine.console import Step

from .inputs import BuildInputs


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A backend, the interpreter that has it installed, and the environment that it runs in."""

    inputs: BuildInputs
    python: Path
    env: Mapping[str, str]
    step: Step

    def build_wheel(self, staged: Path, goal: Path) -> Path:
        """Return the wheel that the backend makes of `staged`, in the new folder `goal`.

        Raises BuildError when there is no such backend, when it asks for what is not locked, when
        it fails, or when it makes no wheel or several.
        """
        goal.mkdir()
        hooks, settings = self._hooks(staged), self.inputs.config_settings
        backend = self.inputs.build_system.backend
        try:
            # What the backend warns of comes a second time, as warnings of this process.
            with warnings.catch_warnings(record=True, action="always") as caught:
                self._check_met(hooks.get_requires_for_build_wheel(settings))
                hooks.build_wheel(str(goal), settings)
        except (BackendUnavailable, HookMissing, UnsupportedOperation) as error:
            raise BuildError(
                f"{backend} cannot build a wheel: {type(error).__name__} {error}".rstrip(),
                where=str(self.inputs.host_files.root / "pyproject.toml"),
                cause="[build-system] build-backend names no PEP 517 backend that is installed",
                fix="correct build-backend, or add its package to requires and run `geowheel lock`",
            ) from None
        first = dict.fromkeys(str(each.message).strip().partition("\n")[0] for each in caught)
        if first:
            self.step.say(f"the backend warns: {'; '.join(first)}")
        wheels = sorted(goal.glob("*.whl"))
        if len(wheels) != 1:
            raise BuildError(f"{backend} made {len(wheels)} wheels instead of one")
        return wheels[0]

    def _hooks(self, staged: Path) -> BuildBackendHookCaller:
        def runner(
            cmd: Sequence[str],
            cwd: str | None = None,
            extra_environ: Mapping[str, str] | None = None,
        ) -> None:
            env = {**self.env, **(extra_environ or {})}
            self.step.run(cmd, env=env, cwd=Path(cwd or staged))

        system = self.inputs.build_system
        return BuildBackendHookCaller(
            str(staged), system.backend, system.backend_path or None, runner=runner,
            python_executable=str(self.python),
        )  # fmt: skip

    def _check_met(self, wanted: Sequence[str]) -> None:
        """Raise BuildError for requirements of this interpreter that are not installed."""
        found = self.inputs.interpreter
        target = {"python_version": found.python, "python_full_version": found.version}
        locked = {download.name for download in self.inputs.requirements}
        missing = [
            str(requirement)
            for requirement in map(Requirement, wanted)
            if canonicalize_name(requirement.name) not in locked
            and (requirement.marker is None or requirement.marker.evaluate(target))
        ]
        if missing:
            raise BuildError(
                f"{self.inputs.build_system.backend} also asks for {', '.join(missing)}",
                where=str(self.inputs.host_files.root / "pyproject.toml"),
                cause="a backend may name more build requirements when it is called (PEP 517)",
                fix=f"add requires = {json.dumps(missing)} to [tool.geowheel.build], then run "
                "`geowheel lock` if there is a lock",
            )

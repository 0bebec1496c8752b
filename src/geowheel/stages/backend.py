"""Calling a host's own build backend (PEP 517)."""

from __future__ import annotations

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
from geowheel.machine.interpreters import Interpreter
from geowheel.project.pyproject import BuildSystem


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A backend, the interpreter that has it installed, and the environment that it runs in."""

    system: BuildSystem
    python: Path
    interpreter: Interpreter
    """What `python` is: for the markers of what the backend asks for."""
    locked: frozenset[str]
    """Normalised names of the build requirements that are installed."""
    env: Mapping[str, str]
    checkout: Path
    settings: Mapping[str, str | tuple[str, ...]]
    """PEP 517's config settings."""
    step: Step

    def build_wheel(self, staged: Path, goal: Path) -> Path:
        """Return the wheel that the backend makes of `staged`, in the new folder `goal`.

        Raises BuildError when there is no such backend, when it asks for what is not locked, when
        it fails, or when it makes no wheel or several.
        """
        goal.mkdir()
        hooks = self._hooks(staged)
        try:
            if missing := self._unmet(hooks.get_requires_for_build_wheel(self.settings)):
                raise self._asks_for(missing)
            hooks.build_wheel(str(goal), self.settings)
        except (BackendUnavailable, HookMissing, UnsupportedOperation) as error:
            raise BuildError(
                f"{self.system.backend} cannot build a wheel: "
                f"{type(error).__name__} {error}".rstrip(),
                where=str(self.checkout / "pyproject.toml"),
                cause="[build-system] build-backend names no PEP 517 backend that is installed",
                fix="correct build-backend, or add its package to requires and run `geowheel lock`",
            ) from None
        wheels = sorted(goal.glob("*.whl"))
        if len(wheels) != 1:
            raise BuildError(f"{self.system.backend} made {len(wheels)} wheels instead of one")
        return wheels[0]

    def _hooks(self, staged: Path) -> BuildBackendHookCaller:
        def runner(
            cmd: Sequence[str],
            cwd: str | None = None,
            extra_environ: Mapping[str, str] | None = None,
        ) -> None:
            env = {**self.env, **(extra_environ or {})}
            self.step.run(cmd, env=env, cwd=Path(cwd or staged))

        system = self.system
        return BuildBackendHookCaller(
            str(staged), system.backend, system.backend_path or None, runner=runner,
            python_executable=str(self.python),
        )  # fmt: skip

    def _unmet(self, wanted: Sequence[str]) -> list[str]:
        """Return the requirements that hold for this interpreter and are not installed."""
        target = {
            "python_version": self.interpreter.python,
            "python_full_version": self.interpreter.version,
        }
        return [
            str(requirement)
            for requirement in map(Requirement, wanted)
            if canonicalize_name(requirement.name) not in self.locked
            and (requirement.marker is None or requirement.marker.evaluate(target))
        ]

    def _asks_for(self, missing: Sequence[str]) -> BuildError:
        names = ", ".join(f'"{text}"' for text in missing)
        return BuildError(
            f"{self.system.backend} also asks for {', '.join(missing)}",
            where=str(self.checkout / "pyproject.toml"),
            cause="a backend may name more build requirements when it is called (PEP 517)",
            fix=f"add requires = [{names}] to [tool.geowheel.build], then run `geowheel lock` if "
            "there is a lock",
        )

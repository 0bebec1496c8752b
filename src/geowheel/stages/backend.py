"""Calling a host's own build backend (PEP 517), with a version from git where it wants one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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

# Requirements that say that the version comes from git, and the module that prints it. It is run in
# the checkout, since a staged copy has no history, and its answer handed over in this variable
# (https://setuptools-scm.readthedocs.io/en/latest/overrides/), which both know.
_FROM_GIT: Final = {"setuptools-scm": ("setuptools_scm",), "hatch-vcs": ("hatchling", "version")}
_PRETEND: Final = "SETUPTOOLS_SCM_PRETEND_VERSION"


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
    step: Step

    def build_wheel(self, staged: Path, goal: Path) -> Path:
        """Return the wheel that the backend makes of `staged`, in the new folder `goal`.

        Raises BuildError when there is no such backend, when it asks for what is not locked, when
        it fails, or when it makes no wheel or several.
        """
        goal.mkdir()
        hooks = self._hooks(staged)
        try:
            if missing := self._unmet(hooks.get_requires_for_build_wheel()):
                raise self._asks_for(missing)
            hooks.build_wheel(str(goal))
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


def takes_version_from_git(system: BuildSystem) -> bool:
    """Return whether git has a part in the version of what the backend makes."""
    return bool(_version_printer(system))


def version_from_git(
    system: BuildSystem, python: Path, *, env: Mapping[str, str], checkout: Path, step: Step
) -> dict[str, str]:
    """The variable that tells the backend the checkout's version, which a copy cannot say."""
    printed = step.run([python, "-m", *_version_printer(system)], env=env, cwd=checkout).stdout
    return {_PRETEND: printed.strip().splitlines()[-1]}


def _version_printer(system: BuildSystem) -> tuple[str, ...]:
    names = [canonicalize_name(Requirement(text).name) for text in system.requires]
    return next((_FROM_GIT[name] for name in names if name in _FROM_GIT), ())

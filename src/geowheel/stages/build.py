"""build: the raw wheel, by the host's own PEP 517 backend in a staged copy with the payload."""

from __future__ import annotations

import shutil
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

from geowheel.binary.wheel import parse_filename, unpack_wheel, write_wheel
from geowheel.config import BuildSystem
from geowheel.console import Step
from geowheel.context import Context
from geowheel.digest import Tree
from geowheel.environments import isolated_environment
from geowheel.errors import BuildError, Fault
from geowheel.host_files import git_description, host_files, stage
from geowheel.interpreters import Interpreter
from geowheel.ledger import Made, Record
from geowheel.native.build_lock import Download
from geowheel.native.store import Store
from geowheel.python_environments import make_environment

from .contract import Inputs, Outcome, ambient
from .fetch import download_wanted
from .vendor import PAYLOAD, packages_between

GDAL_VERSION_VARIABLE = "GEOWHEEL_GDAL_VERSION"
# Requirements that say that the version comes from git, and the module that prints it. It is run in
# the checkout, since a staged copy has no history, and its answer handed over in this variable
# (https://setuptools-scm.readthedocs.io/en/latest/overrides/), which both know.
_FROM_GIT: Final = {
    "setuptools-scm": ("setuptools_scm",),
    "hatch-vcs": ("hatchling", "version"),
}
_PRETEND = "SETUPTOOLS_SCM_PRETEND_VERSION"


@dataclass(frozen=True, kw_only=True)
class BuildInputs(Inputs):
    """The host's files, the payload, and the environment that the backend runs in."""

    host_files: Tree
    payload: Made
    build_system: BuildSystem
    requirements: tuple[Download, ...]
    interpreter: Interpreter
    tag: str
    gdal_version: str
    import_package: str
    git: str
    store: Store = ambient()
    environ: Mapping[str, str] = ambient()


def inputs(context: Context, upstream: Mapping[str, Record]) -> BuildInputs:
    """From the host's files and the payload."""
    project, target = context.project, context.target
    environ = project.machine.environ
    system = project.host.build_system
    vendor = upstream["vendor"]
    architecture = target.platform.architecture
    return BuildInputs(
        host_files=host_files(project.folder, environ),
        payload=vendor.made(PAYLOAD),
        build_system=system,
        requirements=context.locks.build.requirements("build", target),
        interpreter=context.interpreter,
        tag=f"{target.interpreter_tag}-{target.interpreter_tag}-linux_{architecture}",
        gdal_version=context.locks.stack.gdal_version,
        import_package=project.config.import_package,
        git=git_description(project.folder, environ) if _version_printer(system) else "",
        store=context.store,
        environ=environ,
    )


def run(inputs: BuildInputs, folder: Path, step: Step) -> Outcome:
    """Stage, call the backend, check what came out, tag it for interpreter and platform."""
    work = folder / "work"
    staged = work / "host"
    staged.mkdir(parents=True)
    stage(inputs.host_files, staged)
    _add_payload(inputs, staged)
    wanted = [download_wanted(d) for d in inputs.requirements]
    inputs.store.obtain(wanted, step)
    python = make_environment(
        inputs.interpreter, work / "environment", [inputs.store.path(w) for w in wanted],
        environ=inputs.environ, step=step,
    )  # fmt: skip
    made = _call_backend(inputs, staged, work / "made", python, step)
    tree = work / "tree"
    unpack_wheel(made, tree)
    _check_payload(inputs, tree, made)
    _, version, _, _ = parse_filename(made.name)
    stem = "-".join(made.name.split("-")[:2])  # as the backend spells it: `my_host-1.0`
    _mark_as_compiled(tree)
    raw = write_wheel(tree, folder, filename=f"{stem}-{inputs.tag}.whl", level=0)
    shutil.rmtree(work)
    return Outcome(facts={"wheel": raw.path.name, "version": version})


def _version_printer(system: BuildSystem) -> tuple[str, ...]:
    names = [canonicalize_name(Requirement(text).name) for text in system.requires]
    return next((_FROM_GIT[name] for name in names if name in _FROM_GIT), ())


def _add_payload(inputs: BuildInputs, staged: Path) -> None:
    # A host that keeps its packages below src/ gets the payload there.
    root = staged / "src" if (staged / "src").is_dir() else staged
    payload = inputs.payload.folder
    below = "" if root == staged else "src/"
    _check_host_package(inputs, root)
    kept = {p for p in packages_between(inputs.import_package) if (root / p).is_file()}
    clashes = [
        entry.path
        for entry in inputs.host_files.entries
        if entry.path.startswith(below)
        and entry.path.removeprefix(below) not in kept
        and (payload / entry.path.removeprefix(below)).is_file()
    ]
    if clashes:
        raise BuildError(
            f"the host already has {', '.join(clashes[:3])}{', ...' if clashes[3:] else ''}, which "
            "the payload brings as well",
            where=str(inputs.host_files.root),
            cause="an osgeo package was copied into the host by hand",
            fix="remove it from the host: geowheel puts it there",
        )

    def kept_in(folder: str, names: list[str]) -> list[str]:
        place = Path(folder).relative_to(payload)
        return [name for name in names if (place / name).as_posix() in kept]

    shutil.copytree(payload, root, dirs_exist_ok=True, ignore=kept_in)


def _check_host_package(inputs: BuildInputs, root: Path) -> None:
    home, dot, _ = inputs.import_package.partition(".")
    if dot and not (root / home).is_dir():
        raise BuildError(
            f"the host has no package {home!r}, below which {inputs.import_package} is to lie",
            where=str(inputs.host_files.root),
            cause="[tool.geowheel] import-package names another package, or its files are ignored "
            "by git",
            fix="name the host's own import package; it is looked for in src/ where there is one, "
            "else beside pyproject.toml",
        )


def _call_backend(inputs: BuildInputs, staged: Path, goal: Path, python: Path, step: Step) -> Path:
    goal.mkdir()
    env = isolated_environment(inputs.environ, **{GDAL_VERSION_VARIABLE: inputs.gdal_version})
    if inputs.git:
        env[_PRETEND] = _git_version(inputs, python, step)
    # The environment's own programs (cmake, ninja) come first, as in an activated environment.
    env["PATH"] = f"{python.parent}:{env.get('PATH', '')}"

    def runner(
        cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        step.run(cmd, env={**env, **(extra_environ or {})}, cwd=Path(cwd or staged))

    system = inputs.build_system
    hooks = BuildBackendHookCaller(
        str(staged), system.backend, system.backend_path or None, runner=runner,
        python_executable=str(python),
    )  # fmt: skip
    try:
        missing = _unmet(hooks.get_requires_for_build_wheel(), inputs)
        if missing:
            raise BuildError(
                f"{system.backend} also asks for {', '.join(missing)}",
                cause="a backend may name more build requirements when it is called (PEP 517)",
                fix="add them to [build-system] requires, then run `nox -s lock`",
            )
        hooks.build_wheel(str(goal))
    except (BackendUnavailable, HookMissing, UnsupportedOperation) as error:
        raise BuildError(
            f"{system.backend} cannot build a wheel: {type(error).__name__} {error}".rstrip(),
            where=str(inputs.host_files.root / "pyproject.toml"),
            cause="[build-system] build-backend names no PEP 517 backend that is installed",
            fix="correct build-backend, or add its package to requires and run `nox -s lock`",
        ) from None
    wheels = sorted(goal.glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(f"{system.backend} made {len(wheels)} wheels instead of one")
    return wheels[0]


def _unmet(requirements: Sequence[str], inputs: BuildInputs) -> list[str]:
    locked = {download.name for download in inputs.requirements}
    parsed = [Requirement(text) for text in requirements]
    target = {
        "python_version": inputs.interpreter.python,
        "python_full_version": inputs.interpreter.version,
    }
    return [
        str(r)
        for r in parsed
        if canonicalize_name(r.name) not in locked
        and (r.marker is None or r.marker.evaluate(target))
    ]


def _git_version(inputs: BuildInputs, python: Path, step: Step) -> str:
    result = step.run(
        [python, "-m", *_version_printer(inputs.build_system)],
        env=isolated_environment(inputs.environ), cwd=inputs.host_files.root,
    )  # fmt: skip
    return result.stdout.strip().splitlines()[-1]


def _check_payload(inputs: BuildInputs, tree: Path, made: Path) -> None:
    wanted = [
        p.relative_to(inputs.payload.folder).as_posix()
        for p in sorted(inputs.payload.folder.rglob("*"))
        if p.is_file()
    ]
    present = {p.relative_to(tree).as_posix() for p in tree.rglob("*") if p.is_file()}
    missing = [path for path in wanted if path not in present]
    if missing:
        raise BuildError(
            [
                Fault(
                    what=f"{inputs.build_system.backend} left {len(missing)} of {len(wanted)} "
                    f"payload files out of {made.name}: {', '.join(missing[:5])}"
                    + (", ..." if missing[5:] else ""),
                    where=str(inputs.host_files.root / "pyproject.toml"),
                    cause="the backend includes only the files that its own configuration names",
                    fix=_include_hint(inputs.build_system.backend),
                )
            ]
        )


def _mark_as_compiled(tree: Path) -> None:
    """The payload holds extension modules, whatever the backend believes: PEP 427's platlib."""
    for path in tree.glob("*.dist-info/WHEEL"):
        text = path.read_text(encoding="utf-8")
        path.write_text(
            text.replace("Root-Is-Purelib: true", "Root-Is-Purelib: false"), encoding="utf-8"
        )


def _include_hint(backend: str) -> str:
    hints = {
        "setuptools": "find packages with [tool.setuptools.packages.find] and set "
        '[tool.setuptools.package-data] "*" = ["**/*"]',
        "hatchling": "name the packages in [tool.hatch.build.targets.wheel] packages",
        "scikit_build_core": "name the packages in [tool.scikit-build] wheel.packages",
        "poetry": 'add them to [tool.poetry] include, with format = "wheel"',
        "mesonpy": "install them with py.install_sources in meson.build",
    }
    return next(
        (hint for name, hint in hints.items() if backend.startswith(name)),
        "see how that backend includes data files",
    )

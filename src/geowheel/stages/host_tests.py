"""The host's own tests, run against the installed wheel and nothing else."""

import json
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

from geowheel.digest import Tree
from geowheel.machine.archives import open_zip
from geowheel.machine.console import Step
from geowheel.machine.environments import isolated_environment
from geowheel.machine.process import tail
from geowheel.project.files import stage
from geowheel.project.places import PACKAGE_INIT
from geowheel.records.facts import HostTests

from .environments import imported_by_all
from .inputs import TestInputs

_TESTS: Final = {"test", "tests"}


def run_host_tests(
    inputs: TestInputs, environment: Path, python: Path, step: Step
) -> HostTests | None:
    """Return how the configured command ended; None where there is none.

    It fails where a package of the wheel was imported from anywhere but the environment.
    """
    if inputs.host_files is None:
        return None
    place = environment.parent
    with open_zip(inputs.wheel.path) as archive:
        installed = set(archive.namelist())
    host = stage(without_installed(inputs.host_files, installed), place / "host")
    watch = _watch(environment, inputs, installed)
    argv = [part.replace("{host}", str(host)) for part in inputs.command]
    if argv[0] == "python":
        argv[0] = str(python)
    result = step.run(
        argv,
        env=isolated_environment(inputs.environ)
        # `pytest` is the clean environment's, as in an activated one.
        | {"PATH": os.pathsep.join([str(python.parent), inputs.environ.get("PATH", "")])},
        cwd=host,
        check=False,
        timeout=inputs.timeout_seconds,
    )
    strays = sorted(set(watch.read_text("utf-8").splitlines())) if watch.is_file() else []
    said = [f"not the wheel's, but imported: {', '.join(strays[:5])}"] if strays else []
    said += [f"in the sandbox it {what}" for what in result.refused]
    return HostTests(
        command=inputs.command,
        passed=result.returncode == 0 and not strays,
        detail="\n".join([*said, tail(result.stdout + result.stderr)]),
        log=str(result.log),
    )


def without_installed(tree: Tree, installed: Collection[str]) -> Tree:
    """Return the host's files but for those that the wheel installs: tests would import them.

    They lie at the root or in a folder such as `src`. Tests that are in the wheel stay.
    """
    kept = [
        entry
        for entry in tree.entries
        if not ({entry.path, entry.path.partition("/")[2]} & set(installed))
        or _TESTS & set(entry.path.split("/"))
    ]
    return replace(tree, entries=tuple(kept))


def _watch(environment: Path, inputs: TestInputs, installed: Collection[str]) -> Path:
    """Have every Python of the environment note what it imports from elsewhere, and where to."""
    packages = [
        name.removesuffix(f"/{PACKAGE_INIT}").replace("/", ".")
        for name in sorted(installed)
        if name.endswith(f"/{PACKAGE_INIT}")
    ]
    module = imported_by_all(environment, inputs.interpreter, "watch")
    module.with_suffix(".json").write_text(json.dumps(packages), encoding="utf-8")
    return module.with_suffix(".txt")

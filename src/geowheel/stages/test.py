"""test: the wheel in a clean environment, as a user gets it: probes, then the host's tests."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from geowheel.console import Step
from geowheel.context import Context
from geowheel.digest import Artefact, Tree
from geowheel.environments import isolated_environment
from geowheel.host_files import host_files, stage
from geowheel.interpreters import Interpreter
from geowheel.ledger import Record
from geowheel.native.build_lock import Download
from geowheel.native.store import Store
from geowheel.places import Layout
from geowheel.process import tail
from geowheel.python_environments import make_environment, pip_install

from .contract import Inputs, Outcome, ambient
from .fetch import download_wanted
from .repair import only_wheel


@dataclass(frozen=True, kw_only=True)
class TestInputs(Inputs):
    """The wheel, what it must be able to do, and the host's own tests."""

    wheel: Artefact
    interpreter: Interpreter
    requirements: tuple[Download, ...]
    layout: Layout
    import_package: str
    gdal_version: str
    drivers: tuple[str, ...]
    command: tuple[str, ...]
    host_files: Tree
    timeout_seconds: int
    store: Store = ambient()
    environ: Mapping[str, str] = ambient()


def inputs(context: Context, upstream: Mapping[str, Record]) -> TestInputs:
    """From the repaired wheel and the configuration."""
    project = context.project
    test = project.config.test
    environ = project.machine.environ
    return TestInputs(
        wheel=only_wheel(upstream["repair"]),
        interpreter=context.interpreter,
        requirements=context.locks.build.requirements("test", context.target),
        layout=project.config.layout,
        import_package=project.config.import_package,
        gdal_version=context.locks.stack.gdal_version,
        drivers=project.config.drivers,
        command=test.command,
        host_files=host_files(project.folder, environ),
        timeout_seconds=test.timeout_seconds,
        store=context.store,
        environ=environ,
    )


def run(inputs: TestInputs, folder: Path, step: Step) -> Outcome:
    """Install with pip, probe, run the host's tests; a verdict unless the tools themselves fail."""
    wanted = [download_wanted(d) for d in inputs.requirements]
    inputs.store.obtain(wanted, step)
    # Outside the checkout: nothing in it may be imported, or found by a path, by accident.
    with step.elsewhere("test") as place:
        python = make_environment(
            inputs.interpreter, place / "environment", [inputs.store.path(w) for w in wanted],
            environ=inputs.environ, step=step,
        )  # fmt: skip
        pip_install(python, inputs.wheel.path, environ=inputs.environ, step=step, cwd=place)
        probes = _probe(inputs, python, place, step)
        host = _host_tests(inputs, python, place, step)
    failed = [probe for probe in probes if probe["passed"] is False]
    good = sum(1 for probe in probes if probe["passed"])
    step.say(
        f"{good} of {len(probes)} probes passed"
        + (f", host's tests {'passed' if host['passed'] else 'FAILED'}" if host else "")
    )
    facts = {"sha256": inputs.wheel.sha256, "probes": probes, "host": host}
    (folder / "test.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    passed = good > 0 and not failed and (not host or bool(host["passed"]))
    return Outcome(facts=facts, passed=passed)


def _probe(inputs: TestInputs, python: Path, place: Path, step: Step) -> list[dict[str, Any]]:
    script = place / "probes.py"
    text = files("geowheel.resources").joinpath("probes.py").read_text(encoding="utf-8")
    script.write_text(text, encoding="utf-8")
    asked = json.dumps(
        {
            "layout": inputs.layout,
            "package": inputs.import_package,
            "version": inputs.gdal_version,
            "drivers": inputs.drivers,
        }
    )
    result = step.run(
        [python, "-I", script, asked, place / "probes.json"],
        env=isolated_environment(inputs.environ), cwd=place, check=False,
        timeout=inputs.timeout_seconds,
    )  # fmt: skip
    try:
        probes: list[dict[str, Any]] = json.loads((place / "probes.json").read_text("utf-8"))
    except (OSError, ValueError):
        detail = tail(result.stderr) or "no output"
        return [
            {
                "name": "all probes",
                "passed": False,
                "detail": f"ended with exit code {result.returncode} and no report:\n{detail}",
            }
        ]
    if result.returncode != 0:
        probes.append(
            {
                "name": "clean exit",
                "passed": False,
                "detail": f"exit code {result.returncode}:\n{tail(result.stderr)}",
            }
        )
    return probes


def _host_tests(inputs: TestInputs, python: Path, place: Path, step: Step) -> dict[str, Any] | None:
    if not inputs.command:
        return None
    host = place / "host"
    stage(inputs.host_files, host)
    argv = [part.replace("{host}", str(host)) for part in inputs.command]
    if argv[0] == "python":
        argv[0] = str(python)
    result = step.run(
        argv,
        env=isolated_environment(inputs.environ)
        # `pytest` is the clean environment's, as in an activated one.
        | {"PATH": os.pathsep.join([str(python.parent), inputs.environ.get("PATH", "")])},
        cwd=place,
        check=False,
        timeout=inputs.timeout_seconds,
    )
    return {
        "command": list(inputs.command),
        "passed": result.returncode == 0,
        "detail": tail(result.stdout + result.stderr),
        "log": str(result.log),
    }

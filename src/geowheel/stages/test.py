"""test: the wheel in a clean environment, as a user gets it: probes, then the host's tests."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from geowheel import systems
from geowheel.contents.drivers import (
    Driver,
    facts,
    not_in_wheel,
    probe_words,
    read_drivers,
)
from geowheel.machine.console import Step
from geowheel.machine.environments import isolated_environment
from geowheel.machine.process import Result, tail
from geowheel.prefix.linker import read_native_manifest
from geowheel.project.files import stage
from geowheel.records.stage import Outcome

from .environments import make_environment, pip_install
from .fetch import download_wanted
from .inputs import TestInputs


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
        pip_install(
            inputs.interpreter, place / "environment", inputs.wheel.path,
            environ=inputs.environ, step=step,
        )  # fmt: skip
        probes = _probe(inputs, python, place, step)
        rows, drivers = _probe_drivers(inputs, python, place, step)
        probes += rows
        offered, more = _drivers_of_stack(inputs, python, place, step)
        probes += more
        host = _host_tests(inputs, python, place, step)
    failed = [probe for probe in probes if probe["passed"] is False]
    step.say(
        f"probes: {probe_words(probes)}"
        + (f", host's tests {'passed' if host['passed'] else 'FAILED'}" if host else "")
        + (f", under {inputs.interpreter.emulator}" if inputs.interpreter.emulator else "")
    )
    manifest = read_native_manifest(inputs.prefix.folder.parent)
    offers = not_in_wheel(drivers, offered, manifest, inputs.left_out) if drivers else ()
    found = {
        "sha256": inputs.wheel.sha256,
        "probes": probes,
        "host": host,
        "emulator": inputs.interpreter.emulator,
        **facts(drivers, offers),
    }
    (folder / "test.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    passed = (
        any(probe["passed"] for probe in probes)
        and not failed
        and (not host or bool(host["passed"]))
    )
    return Outcome(facts=found, passed=passed)


def _probe(inputs: TestInputs, python: Path, place: Path, step: Step) -> list[dict[str, Any]]:
    asked = {
        "layout": inputs.layout,
        "package": inputs.import_package,
        "version": inputs.gdal_version,
    }
    run = _run_script("probes", asked, inputs, python, place, step)
    if run.report is None:
        return [_no_report("all probes", run.result)]
    probes: list[dict[str, Any]] = run.report
    if run.result.returncode != 0:
        probes.append(_crashed("clean exit", run.result))
    return probes


def _probe_drivers(
    inputs: TestInputs, python: Path, place: Path, step: Step
) -> tuple[list[dict[str, Any]], tuple[Driver, ...]]:
    """A row for each driver and plugin, and the drivers that the wheel has."""
    asked = {"package": inputs.import_package, "drivers": inputs.drivers}
    run = _run_script("driver_probes", asked, inputs, python, place, step)
    if run.report is None:
        return [_no_report("all drivers", run.result)], ()
    rows: list[dict[str, Any]] = run.report["rows"]
    if run.result.returncode != 0:  # the last row names what the process ended in
        rows.append(_crashed("clean exit after the drivers", run.result))
    return rows, read_drivers(run.report["drivers"])


def _drivers_of_stack(
    inputs: TestInputs, python: Path, place: Path, step: Step
) -> tuple[tuple[Driver, ...], list[dict[str, Any]]]:
    """The drivers of the prefix's libgdal and plugins; where they cannot be listed, a row says so.

    That is no fault of the wheel, which does not have what cannot be loaded there.
    """
    prefix, system = inputs.prefix.folder, systems.of(inputs.platform)
    asked = {
        "library": str(system.gdal_library(prefix)),
        "plugins": str(prefix / system.LAYOUT.plugins),
    }
    run = _run_script("driver_probes", asked, inputs, python, place, step)
    if run.report is None or run.result.returncode != 0:
        row = _no_report("drivers of the native stack", run.result)
        return (), [row | {"passed": None, "detail": f"not run: {row['detail']}"}]
    return read_drivers(run.report["drivers"]), []


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A script of ours that ended; None for a report that is not there or cannot be read."""

    result: Result
    report: Any


def _run_script(
    name: str,
    asked: Mapping[str, object],
    inputs: TestInputs,
    python: Path,
    place: Path,
    step: Step,
) -> _Run:
    script, report = place / f"{name}.py", place / f"{name}.json"
    text = files("geowheel.probes").joinpath(script.name).read_text(encoding="utf-8")
    script.write_text(text, encoding="utf-8")
    report.unlink(missing_ok=True)
    result = step.run(
        [python, "-I", script, json.dumps(asked), report],
        env=isolated_environment(inputs.environ), cwd=place, check=False,
        timeout=inputs.timeout_seconds,
    )  # fmt: skip
    try:
        return _Run(result=result, report=json.loads(report.read_text("utf-8")))
    except (OSError, ValueError):
        return _Run(result=result, report=None)


def _no_report(name: str, result: Result) -> dict[str, Any]:
    detail = tail(result.stderr) or "no output"
    return {
        "name": name,
        "passed": False,
        "detail": f"ended with exit code {result.returncode} and no report:\n{detail}",
    }


def _crashed(name: str, result: Result) -> dict[str, Any]:
    detail = f"exit code {result.returncode}:\n{tail(result.stderr)}"
    return {"name": name, "passed": False, "detail": detail}


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

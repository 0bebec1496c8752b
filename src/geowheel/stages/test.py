"""test: the wheel in a clean environment, as a user gets it: probes, then the host's tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
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
from geowheel.lab.running import call_probe, copy_probes
from geowheel.machine.console import Step
from geowheel.machine.environments import isolated_environment
from geowheel.machine.process import Result, tail
from geowheel.prefix.linker import read_native_manifest
from geowheel.project.files import stage
from geowheel.records.stage import Outcome

from .environments import make_environment, pip_install
from .fetch import download_wanted
from .inputs import TestInputs

_Call = Callable[[str, Mapping[str, object]], tuple[Result, Any]]
"""Runs a function of the probes with what it is asked: how it ended, and its report."""


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
        copy_probes(place)

        def call(function: str, asked: Mapping[str, object]) -> tuple[Result, Any]:
            return call_probe(
                python, function, {**asked, "package": inputs.import_package},
                place / function.replace(":", "-"), step,
                environ=inputs.environ, timeout=inputs.timeout_seconds,
            )  # fmt: skip

        probes = _probe(call, inputs)
        rows, drivers = _probe_drivers(call, inputs)
        offered, more = _drivers_of_stack(call, inputs)
        probes += rows + more
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


def _probe(call: _Call, inputs: TestInputs) -> list[dict[str, Any]]:
    asked = {"layout": inputs.layout, "version": inputs.gdal_version}
    result, report = call("wheel:probe", asked)
    if report is None:
        return [_no_report("all probes", result)]
    probes: list[dict[str, Any]] = report
    if result.returncode != 0:
        probes.append(_crashed("clean exit", result))
    return probes


def _probe_drivers(
    call: _Call, inputs: TestInputs
) -> tuple[list[dict[str, Any]], tuple[Driver, ...]]:
    """A row for each driver and plugin, and the drivers that the wheel has."""
    result, report = call("drivers:probe_wheel", {"drivers": inputs.drivers})
    if report is None:
        return [_no_report("all drivers", result)], ()
    rows: list[dict[str, Any]] = report["rows"]
    if result.returncode != 0:  # the last row names what the process ended in
        rows.append(_crashed("clean exit after the drivers", result))
    return rows, read_drivers(report["drivers"])


def _drivers_of_stack(
    call: _Call, inputs: TestInputs
) -> tuple[tuple[Driver, ...], list[dict[str, Any]]]:
    """The drivers of the prefix's libgdal and plugins; where they cannot be listed, a row says so.

    That is no fault of the wheel, which does not have what cannot be loaded there.
    """
    prefix, system = inputs.prefix.folder, systems.of(inputs.platform)
    asked = {
        "library": str(prefix / system.gdal_library),
        "plugins": str(prefix / system.layout.plugins),
    }
    result, report = call("drivers:list_library", asked)
    if report is None or result.returncode != 0:
        row = _no_report("drivers of the native stack", result)
        return (), [row | {"passed": None, "detail": f"not run: {row['detail']}"}]
    return read_drivers(report["drivers"]), []


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

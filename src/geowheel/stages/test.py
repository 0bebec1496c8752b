"""test: the wheel in a clean environment, as a user gets it: probes, then the host's tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geowheel import systems
from geowheel.binary.system_libraries import system_libraries
from geowheel.contents.drivers import STACK, Driver, Probe, not_in_wheel, probe_words
from geowheel.lab.running import call_probe, copy_probes
from geowheel.machine.console import Step
from geowheel.machine.process import Result, tail
from geowheel.prefix.linker import read_native_manifest
from geowheel.records.facts import TestFacts
from geowheel.records.stage import Outcome
from geowheel.targets import System

from .environments import install_wheel
from .host_tests import run_host_tests
from .inputs import TestInputs

_Call = Callable[[str, Mapping[str, object], Any], tuple[Result, Any]]
"""Runs a function of the probes with what it is asked: how it ended, and its report of a kind."""


def run(inputs: TestInputs, folder: Path, step: Step) -> Outcome[TestFacts]:
    """Install with pip, probe, run the host's tests; a verdict unless the tools themselves fail."""
    # Outside the checkout: nothing in it may be imported, or found by a path, by accident.
    with step.elsewhere("test") as place:
        python = install_wheel(inputs, place / "environment", step)
        copy_probes(place)

        def call(function: str, asked: Mapping[str, object], kind: Any) -> tuple[Result, Any]:
            return call_probe(
                python, function, {**asked, "package": inputs.import_package},
                place / function.replace(":", "-"), step,
                environ=inputs.environ, timeout=inputs.timeout_seconds, kind=kind,
            )  # fmt: skip

        parts: list[Callable[[_Call, TestInputs], Any]]
        parts = [_probe, _probe_drivers, _drivers_of_stack]
        probes, (rows, drivers), (offered, more) = step.side_by_side(
            lambda part: part(call, inputs), parts
        )
        probes += rows + more
        host = run_host_tests(inputs, place / "environment", python, step)
    step.say(
        f"probes: {probe_words(probes)}"
        + "".join(f", {probe.name}" for probe in probes if "the GIL" in probe.name)
        + (f", host's tests {'passed' if host.passed else 'FAILED'}" if host else "")
        + (f", under {inputs.interpreter.emulator}" if inputs.interpreter.emulator else "")
    )
    manifest = read_native_manifest(inputs.prefix.folder.parent)
    facts = TestFacts(
        sha256=inputs.wheel.sha256,
        probes=tuple(probes),
        host=host,
        emulator=inputs.root or inputs.interpreter.emulator,
        drivers=drivers,
        not_in_wheel=not_in_wheel(drivers, offered, manifest, inputs.left_out) if drivers else (),
    )
    facts.write(folder)
    passed = (
        any(probe.passed for probe in probes)
        and all(probe.passed is not False for probe in probes)
        and (host is None or host.passed)
    )
    return Outcome(facts=facts, passed=passed)


@dataclass(frozen=True, kw_only=True)
class DriverReport:
    """What the functions of `geowheel.probes.drivers` report."""

    rows: tuple[Probe, ...] = ()
    drivers: tuple[Driver, ...] = ()


def _probe(call: _Call, inputs: TestInputs) -> list[Probe]:
    asked = {"layout": inputs.layout, "version": inputs.gdal_version, "may_set": inputs.may_set}
    result, report = call("wheel:probe", asked, list[Probe])
    if report is None:
        return [_no_report("all probes", result)]
    return [*report, *_crashed("clean exit", result)]


def _probe_drivers(call: _Call, inputs: TestInputs) -> tuple[list[Probe], tuple[Driver, ...]]:
    """Return a row for each driver and plugin, and the drivers that the wheel has."""
    runtimes = sorted(system_libraries(System.LINUX))
    asked = {"drivers": inputs.drivers, "runtimes": runtimes}
    result, report = call("drivers:probe_wheel", asked, DriverReport)
    if report is None:
        return [_no_report("all drivers", result)], ()
    # The last row names what the process ended in.
    return [*report.rows, *_crashed("clean exit after the drivers", result)], report.drivers


def _drivers_of_stack(call: _Call, inputs: TestInputs) -> tuple[tuple[Driver, ...], list[Probe]]:
    """Return the drivers of the prefix's libgdal and plugins; a row says why none can be listed.

    That is no fault of the wheel, which does not have what cannot be loaded there.
    """
    prefix, system = inputs.prefix.folder, systems.of(inputs.platform)
    asked = {
        "library": str(prefix / system.gdal_library),
        "plugins": str(prefix / system.layout.plugins),
    }
    result, report = call("drivers:list_library", asked, DriverReport)
    if report is None or result.returncode != 0:
        # A libgdal that was lowered in the wheel may not load here as it was.
        why = (result.stderr.strip().splitlines() or ["no output"])[-1].partition(" (required")[0]
        return (), [Probe(name=STACK, passed=None, detail=f"its libgdal cannot be listed: {why}")]
    return report.drivers, []


def _no_report(name: str, result: Result) -> Probe:
    detail = tail(result.stderr) or "no output"
    return Probe(
        name=name,
        passed=False,
        detail=f"ended with exit code {result.returncode} and no report:\n{detail}",
    )


def _crashed(name: str, result: Result) -> list[Probe]:
    """Return a row for a process that wrote its report and then failed; none for others."""
    if result.returncode == 0:
        return []
    detail = f"exit code {result.returncode}:\n{tail(result.stderr)}"
    return [Probe(name=name, passed=False, detail=detail)]

"""The commands: each takes what was asked for and calls the module that does it.

Those modules are imported when they are needed: `geowheel --help` waits for none of them.
"""

import argparse
import datetime
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from geowheel.digest import Artefact
from geowheel.errors import MachineError, UsageError
from geowheel.machine.console import Console
from geowheel.machine.credentials import shown
from geowheel.machine.interpreters import ask_interpreter
from geowheel.project.project import Project, open_project, this_machine
from geowheel.records.stage import Scope
from geowheel.stages import WHEEL, find
from geowheel.targets import PYTHON_VERSION, Platform, Target, parse_platform

_LATER: Final = ("repair", "size", "test", "lab")
"""Bare, these mean the targets already built here, each as it was built."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One parsed command line."""

    options: argparse.Namespace
    environ: Mapping[str, str]
    console: Console
    root: Path
    parser: argparse.ArgumentParser

    def project(self) -> Project:
        return open_project(
            root=self.root,
            host=self.options.host,
            machine=this_machine(self.environ),
            channel=self.options.channel,
            frozen=self.options.frozen,
            bindings=getattr(self.options, "bindings", None),
            sandbox=getattr(self.options, "sandbox", None),
            file_system=self.options.file_system,
        )


def write_json(data: object) -> None:
    """Write data on standard output, for programs."""
    sys.stdout.write(shown(json.dumps(data, indent=1).replace("\x7f", "\\u007f")) + "\n")


def run_goals(goals: tuple[str, ...]) -> Callable[[Call], dict[str, Any]]:
    def command(call: Call) -> dict[str, Any]:
        from geowheel.pipeline.runs import run

        return run(_request(call, goals), call.console)

    return command


def plan(call: Call) -> dict[str, Any]:
    from geowheel.pipeline.runs import show_plan

    return show_plan(_request(call, WHEEL), call.console)


def matrix(call: Call) -> dict[str, Any]:
    from .matrix import matrix

    return matrix(call.project(), call.console)


def repair_wheel(call: Call) -> dict[str, Any]:
    from geowheel.pipeline.raw_wheels import request_for
    from geowheel.pipeline.runs import run

    raw, destination = call.options.raw.absolute(), call.options.destination.absolute()
    return run(request_for(call.project(), raw, destination), call.console)


def reproduce(call: Call) -> dict[str, Any]:
    from geowheel.reproducing.reproduce import reproduce

    project = call.project()
    pythons = call.options.python or _usual_pythons(project, ("repair",))
    return reproduce(project, [f"--python={name}" for name in pythons], call.console)


def rebuild(call: Call) -> dict[str, Any]:
    from geowheel.reproducing.rebuild import rebuild

    return rebuild(call.project(), call.options.wheel_file.absolute(), call.console)


def env(call: Call) -> dict[str, Any]:
    from geowheel.pipeline.as_made import first_made
    from geowheel.pipeline.runs import Request, build_environment

    project, target = first_made(call.project())
    found = build_environment(
        Request(project=project, goals=("fetch",), targets=(target,), interpreter=None),
        call.console,
        compiling=call.options.toolchain,
    )
    if unknown := [name for name in call.options.names if name not in found]:
        raise UsageError(
            f"no such variable: {', '.join(unknown)}", fix=f"use some of {', '.join(found)}"
        )
    if not call.options.json:
        lines = [found[name] for name in call.options.names] or [
            f"export {name}={shlex.quote(value)}" for name, value in found.items()
        ]
        with call.console.screen.clear():
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
    return found


def lock(call: Call) -> dict[str, Any]:
    from geowheel.locks.locking import lock

    return lock(
        call.project(),
        check=call.options.check,
        asked=call.options.upgrade,
        new_format=call.options.upgrade_format,
        console=call.console,
    )


def init(call: Call) -> dict[str, Any]:
    from geowheel.adoption import Wishes, adopt

    options = call.options
    wishes = Wishes(
        name=options.name,
        import_package=options.import_package,
        layout=options.layout,
        environment=options.environment,
        pythons=tuple(dict.fromkeys(options.python)),
    )
    ask = partial(_ask, call.console) if sys.stdin.isatty() else None
    return adopt(
        call.root,
        wishes,
        ask=(lambda: True) if options.yes else ask,
        only_show=options.show,
        console=call.console,
    )


def _ask(console: Console) -> bool:
    with console.screen.clear():
        sys.stderr.write("Write these? [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def channel(call: Call) -> dict[str, Any]:
    from geowheel.locks.channels import distro_suite
    from geowheel.locks.in_use import distro_channel

    project = call.project()
    suite = distro_suite(project.channel) or ""
    name = f"distro:{suite}" if suite else "distro"
    platforms = [parse_platform(name) for name in call.options.platform]
    for platform in platforms or [project.machine.platform]:
        channel = distro_channel(project, platform, call.console, suite, refresh=True)
    call.console.result(f"use it with `geowheel wheel --channel {name}`, or from {channel.folder}")
    return {"name": channel.name, "folder": str(channel.folder)}


def status(call: Call) -> dict[str, Any]:
    from geowheel.release.states import states

    from .housekeeping import status

    project = call.project()
    return status(project, call.console, states(project))


def report(call: Call) -> dict[str, Any]:
    from geowheel.release.report.writing import covered, report

    against, project = call.options.against, call.project()
    path = None if against is None else against.absolute()
    return report(project, call.console, against=path, coverage=covered(project))


def clean(call: Call) -> dict[str, Any]:
    from .housekeeping import clean

    return clean(call.project(), everything=call.options.all, console=call.console)


def audit(call: Call) -> dict[str, Any]:
    from geowheel.audit.advisories import read_advisories
    from geowheel.audit.command import audit, explain_rule
    from geowheel.audit.images import advise
    from geowheel.audit.outside import Outside
    from geowheel.project.pyproject import read_audit_policy

    options = call.options
    _one_audit({name for name in _AUDITS if getattr(options, name)})
    if options.explain is not None:
        return explain_rule(options.explain, call.console)
    if options.images is not None:
        return advise(options.images, datetime.date.today(), call.console)
    policy = read_audit_policy((call.root / options.host).resolve())
    report, machine = options.vulnerabilities, this_machine(call.environ)
    advisories = () if report is None else read_advisories(report)
    outside = Outside(
        console=call.console, environ=call.environ, cache=machine.cache, advisories=advisories
    )
    if options.published is not None:
        from geowheel.release.decayed import audit_published

        index, name = options.published
        return audit_published(index, name, policy, outside, call.root / "dist")
    named = [path.absolute() for path in options.wheels]
    wheels = named or sorted((call.root / "dist").glob("*.whl"))
    sarif = None if options.sarif is None else options.sarif.absolute()
    folders = () if named else (call.root, (call.root / options.host).resolve())
    return audit(wheels, policy, call.console, outside=outside, sarif=sarif, project=folders)


_AUDITS: Final = {
    "wheels": "FILE", "sarif": "--sarif", "vulnerabilities": "--vulnerabilities",
    "published": "--published", "images": "--images", "explain": "--explain",
}  # fmt: skip


def _one_audit(given: set[str]) -> None:
    """Raise UsageError for options of which one would be left out without a word."""
    together = {"wheels", "sarif", "vulnerabilities"}, {"published", "vulnerabilities"}
    if len(given) > 1 and not any(given <= each for each in together):
        names = " and ".join(title for name, title in _AUDITS.items() if name in given)
        fix = "run `geowheel audit` once for each; `geowheel audit --help` says what each does"
        raise UsageError(f"{names} do not go together", fix=fix)


def coverage(call: Call) -> dict[str, Any]:
    from geowheel.release.coverage.table import coverage, names_of, show
    from geowheel.wheel.user_systems import load_user_systems

    systems = load_user_systems().named(call.options.system)
    rows = coverage(call.options.names or names_of(call.project()), systems)
    return show(rows, call.options.date or datetime.date.today(), call.console)


def export(call: Call) -> dict[str, Any]:
    from geowheel.release.handover.exports import export

    request = _request(call, ("repair",))
    return export(request, call.options.folder.absolute(), call.console)


def collect(call: Call) -> dict[str, Any]:
    from geowheel.release.handover.collect import collect

    folders = [folder.absolute() for folder in call.options.folders]
    return collect(call.project(), folders, call.console)


def release(call: Call) -> dict[str, Any]:
    from geowheel.release.act import release
    from geowheel.release.subject import open_subject

    options = call.options
    subject = open_subject(root=call.root, host=options.host, machine=this_machine(call.environ))
    return release(
        subject, call.console,
        index=options.index, dry_run=options.dry_run, push=options.push,
    )  # fmt: skip


def doctor(call: Call) -> dict[str, Any]:
    from .doctor import doctor

    folder = (call.root / call.options.host).resolve()
    machine = this_machine(call.environ)
    return doctor(call.project, folder, machine, call.console, every=call.options.all)


def explain(call: Call) -> dict[str, Any]:
    from .explain import explain

    return explain(call.options.logs, call.console)


def root(call: Call) -> dict[str, Any]:
    from geowheel.distro.roots import make_root

    machine = this_machine(call.environ)
    name = make_root(call.options.name, machine.cache, machine.environ, call.console)
    call.console.result(f"use it with `geowheel test --root {name}`")
    return {"name": name}


def cache(call: Call) -> dict[str, Any]:
    from geowheel.machine.cache import prune, show

    folder = this_machine(call.environ).cache
    if call.options.action == "list":
        return show(folder, call.console)
    return prune(
        folder, older_than=call.options.older_than, remove=call.options.yes, console=call.console
    )


def workflow(call: Call) -> dict[str, Any]:
    from geowheel.release.workflow import workflow

    return workflow(call.project(), check=call.options.check, console=call.console)


def pins(call: Call) -> dict[str, Any]:
    from geowheel.release.pins import show

    return show(call.project(), call.console)


def schema(call: Call) -> dict[str, Any]:
    from geowheel.project.schema import pyproject_schema, tool_schema

    schema = pyproject_schema() if call.options.pyproject else tool_schema()
    write_json(schema)
    return schema


def completion(call: Call) -> dict[str, Any]:
    from .completion import script

    sys.stdout.write(script(call.parser, call.options.shell))
    return {}


def _request(call: Call, goals: tuple[str, ...]) -> Any:
    from geowheel.lab.cases import Choice
    from geowheel.pipeline.runs import Request
    from geowheel.records.shared import open_shared

    project = call.project()
    asked = [parse_platform(name) for name in call.options.platform]
    interpreter, pythons = _pythons(call, project)
    given = _given(call, project, pythons, asked)
    targets = list(given) if given or pythons else _built(project, goals, asked)
    targets = targets or [
        project.target(python, platform)
        for platform in asked or [project.machine.platform]
        for python in pythons or _usual_pythons(project, goals)
    ]
    return Request(
        project=project,
        goals=goals,
        targets=tuple(dict.fromkeys(targets)),
        widely=goals == WHEEL and not (asked or pythons or given),
        interpreter=interpreter,
        verify=call.options.verify,
        keep_work=call.options.keep_work,
        shared=open_shared(
            project.config.shared_ledger,
            call.environ,
            project.root,
            read_only=call.options.cache_read_only,
        ),
        lab=Choice(cases=tuple(call.options.case), seed=call.options.seed),
        given=given,
        index=call.options.index,
        as_made=_is_later(goals) and not given,
        # A wheel that was given stays where it is.
        destination=next((wheel.path.parent for wheel in given.values()), None),
    )


def _is_later(goals: tuple[str, ...]) -> bool:
    """Return whether one later stage is asked for by its name; `wheel` asks for two of them."""
    return len(goals) == 1 and goals[0] in _LATER


def _given(
    call: Call, project: Project, pythons: Sequence[str], platforms: Sequence[Platform]
) -> dict[Target, Artefact]:
    """Return the repaired wheels that --wheel names; empty without it."""
    named = call.options.wheel or ("dist" if project.file_system else None)
    if named is not None:
        from geowheel.pipeline.given_wheels import find_given

        place = (call.root / named).resolve()
        return find_given(project, place, pythons, platforms)
    if call.options.index is not None:
        raise UsageError("--index is about a wheel that is given", fix="name it with --wheel FILE")
    return {}


def _pythons(call: Call, project: Project) -> tuple[Path | None, list[str]]:
    """Return the interpreter if one was named by path, and the versions asked for; bare: none."""
    named: list[str] = call.options.python
    if call.options.all:
        return None, list(project.config.pythons)
    paths = [name for name in named if not PYTHON_VERSION.fullmatch(name)]
    versions = list(dict.fromkeys(name for name in named if name not in paths))
    # `build-3.12 -- --python PATH` names the version and its interpreter.
    if len(paths) == 1 and len(versions) <= 1:
        path = Path(paths[0]).absolute()
        answer = ask_interpreter(path, environ=call.environ)
        if isinstance(answer, str):
            raise MachineError(answer, where=str(path), fix="name an interpreter: --python PATH")
        return path, versions or [answer.python]
    return None, named


def _usual_pythons(project: Project, goals: tuple[str, ...]) -> list[str]:
    """Return what a bare command means."""
    configured = list(project.config.pythons)
    if goals == ("build",):
        return configured
    running = "{}.{}".format(*sys.version_info)
    if find(goals[0]).scope is Scope.PLATFORM and running not in configured:
        return configured[:1]
    return [running]


def _built(project: Project, goals: tuple[str, ...], asked: Sequence[Platform]) -> list[Target]:
    """Return, for a later stage by its name, the targets that have a raw wheel here.

    Of every platform, but for stages that run what is in the wheel.
    """
    from geowheel.records.facts import BuildFacts
    from geowheel.records.ledger import Ledger

    if not _is_later(goals):
        return []
    every = [project.machine.platform] if find(goals[0]).runs_wheel else list(Platform)
    ledger = Ledger(folder=project.work, host=project.host.name)
    targets = project.targets(asked or every)
    return [target for target in targets if ledger.latest(BuildFacts, str(target))]

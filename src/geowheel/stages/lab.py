"""lab: the wheel where it must hold: beside other libraries, poisoned, damaged, moved, alone."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from geowheel.errors import MachineError
from geowheel.lab.cases import Choice
from geowheel.lab.judging import CaseResult, CaseVerdict
from geowheel.lab.running import Workbench, run_cases
from geowheel.machine.console import Step
from geowheel.machine.sandbox import SandboxKind, find_enclosure
from geowheel.records.facts import LabFacts
from geowheel.records.stage import Outcome

from .environments import install_wheel, make_environment
from .inputs import LabInputs


def run(inputs: LabInputs, folder: Path, step: Step) -> Outcome[LabFacts]:
    """Make two environments, then run every case; a verdict unless the tools themselves fail."""
    with tempfile.TemporaryDirectory(prefix="geowheel-lab-") as scratch:
        lab = _prepare(inputs, Path(scratch).resolve(), step)
        cases = inputs.chosen(bubblewrap=lab.bubblewrap is not None)
        step.say(f"{len(cases)} cases, seed {inputs.seed} (the same again: --seed {inputs.seed})")
        verdicts = run_cases(lab, cases, step)
        _keep_crashes(lab, folder, verdicts)
    facts = LabFacts(
        sha256=inputs.wheel.sha256,
        seed=inputs.seed,
        whole=Choice(cases=inputs.cases).whole,
        cases=tuple(verdicts),
    )
    facts.write(folder)
    count = Counter(verdict.result for verdict in verdicts)
    step.say(", ".join(f"{count[result]} {result}" for result in CaseResult))
    return Outcome(
        facts=facts, passed=count[CaseResult.PASSED] > 0 and not count[CaseResult.FAILED]
    )


def _prepare(inputs: LabInputs, place: Path, step: Step) -> Workbench:
    """Return the clean environment as a user makes it, by pip; the peers' beside it."""
    neighbours = inputs.store.obtain(inputs.neighbours, step)
    python = install_wheel(inputs, place / "clean", step)
    peers = None
    if neighbours:
        peers = make_environment(
            inputs.interpreter, place / "peers", [*neighbours, inputs.wheel],
            environ=inputs.environ, step=step,
        )  # fmt: skip
    bubblewrap = None
    with suppress(MachineError):  # containers and some systems forbid it
        found = find_enclosure(SandboxKind.BWRAP, environ=inputs.environ)
        bubblewrap = None if inputs.root else Path(found.program)  # a root has none
    return Workbench(
        clean=python, peers=peers, wheel=inputs.wheel.path, import_package=inputs.import_package,
        layout=inputs.layout, prefix=inputs.prefix.folder, bubblewrap=bubblewrap,
        place=place, environ=inputs.environ,
    )  # fmt: skip


def _keep_crashes(lab: Workbench, folder: Path, verdicts: Sequence[CaseVerdict]) -> None:
    """Keep the damaged files of failed cases beside lab.json: they are what a report needs."""
    if all(verdict.result is not CaseResult.FAILED for verdict in verdicts):
        return
    for path in sorted(lab.place.glob("case-*/damaged-*")):
        kept = folder / "crashes" / path.parent.name / path.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)

"""lab: the wheel where it must hold: beside other libraries, poisoned, damaged, moved, alone."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from geowheel import systems
from geowheel.console import Step
from geowheel.context import Context
from geowheel.digest import Artefact
from geowheel.host.places import Layout
from geowheel.lab.cases import SERVER, Case, Choice, Offer, select
from geowheel.lab.groups import every_case
from geowheel.lab.judging import Result, Verdict
from geowheel.lab.running import Lab, run_cases
from geowheel.ledger import Made, Record
from geowheel.machine.environments import isolated_environment
from geowheel.machine.interpreters import Interpreter
from geowheel.machine.python_environments import make_environment, pip_install
from geowheel.native.build_lock import LAB, Download
from geowheel.native.store import Store
from geowheel.targets import Platform

from .contract import Inputs, Outcome, ambient
from .fetch import PREFIX, download_wanted
from .repair import only_wheel


@dataclass(frozen=True, kw_only=True)
class LabInputs(Inputs):
    """The wheel, its neighbours, the prefix as the reference, and which cases are asked for."""

    wheel: Artefact
    prefix: Made
    interpreter: Interpreter
    requirements: tuple[Download, ...]
    """Of the clean environment: those of the host's tests."""
    neighbours: tuple[Download, ...]
    """The peers and all that they need."""
    peers: tuple[str, ...]
    lacking: Mapping[str, str]
    platform: Platform
    layout: Layout
    import_package: str
    seed: int
    cases: tuple[str, ...]
    bubblewrap: bool
    bubblewrap_path: Path | None = ambient()
    store: Store = ambient()
    environ: Mapping[str, str] = ambient()

    def chosen(self, *, bubblewrap: bool) -> tuple[Case, ...]:
        """The cases asked for; raises UsageError when a pattern matches none."""
        offer = Offer(
            bindings=self.layout is not Layout.NONE,
            peers=self.peers,
            lacking=self.lacking,
            server=any(download.name == SERVER for download in self.neighbours),
            bubblewrap=bubblewrap,
            emulated=bool(self.interpreter.emulator),
            other_gdal=str(self.prefix.folder / systems.of(self.platform).LAYOUT.libraries),
            seed=self.seed,
        )
        return select(every_case(offer), self.cases)


def inputs(context: Context, upstream: Mapping[str, Record]) -> LabInputs:
    """From the repaired wheel, the build lock and the command line."""
    config = context.project.config
    wheel = only_wheel(upstream["repair"])
    build, choice = context.locks.build, context.lab
    found, without = build.offered(LAB, context.target)
    peers, lacking = installable(config.lab.peers, {d.name for d in found}, without)
    environ = context.project.machine.environ
    bubblewrap = shutil.which("bwrap", path=environ.get("PATH", ""))
    made = LabInputs(
        wheel=wheel,
        prefix=upstream["fetch"].made(PREFIX),
        interpreter=context.interpreter,
        requirements=build.requirements("test", context.target),
        neighbours=found,
        peers=peers,
        lacking=lacking,
        platform=context.target.platform,
        layout=config.layout,
        import_package=config.import_package,
        # Other orders and other damage for each wheel, the same for the same wheel.
        seed=int(wheel.sha256[:6], 16) if choice.seed is None else choice.seed,
        cases=choice.cases,
        bubblewrap=bubblewrap is not None,
        bubblewrap_path=Path(bubblewrap) if bubblewrap else None,
        store=context.store,
        environ=environ,
    )
    made.chosen(bubblewrap=True)  # a pattern that matches nothing is said before any work
    return made


def installable(
    configured: Sequence[str], locked: set[str], without: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The peers that can be installed, and the others with the reason.

    What a peer needs may be what has no wheel; then none is installed: whose it is, is not known.
    """
    names = [str(canonicalize_name(Requirement(peer).name)) for peer in configured]
    if needed := [name for name in without if name not in names]:
        return (), dict.fromkeys(names, f"{', '.join(needed)}: no wheel for this target")
    lacking = {
        name: "no wheel for this target" if name in without else "no solution in the build lock"
        for name in names
        if name not in locked
    }
    return tuple(name for name in names if name in locked), lacking


def run(inputs: LabInputs, folder: Path, step: Step) -> Outcome:
    """Two environments, then every case; a verdict unless the tools themselves fail."""
    with tempfile.TemporaryDirectory(prefix="geowheel-lab-") as scratch:
        lab = _prepare(inputs, Path(scratch).resolve(), step)
        cases = inputs.chosen(bubblewrap=lab.bubblewrap is not None)
        step.say(f"{len(cases)} cases, seed {inputs.seed} (the same again: --seed {inputs.seed})")
        verdicts = run_cases(lab, cases, step)
        _keep_crashes(lab, folder, verdicts)
    facts = {
        "sha256": inputs.wheel.sha256,
        "seed": inputs.seed,
        "whole": Choice(cases=inputs.cases).whole,
        "cases": [asdict(verdict) for verdict in verdicts],
    }
    (folder / "lab.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    count = Counter(verdict.result for verdict in verdicts)
    step.say(", ".join(f"{count[result]} {result}" for result in Result))
    return Outcome(facts=facts, passed=count[Result.PASSED] > 0 and not count[Result.FAILED])


def _prepare(inputs: LabInputs, place: Path, step: Step) -> Lab:
    """The clean environment as a user makes it, by pip; the peers' beside it."""
    clean, neighbours = (
        [download_wanted(d) for d in downloads]
        for downloads in (inputs.requirements, inputs.neighbours)
    )
    inputs.store.obtain([*clean, *neighbours], step)
    python = make_environment(
        inputs.interpreter, place / "clean", [inputs.store.path(w) for w in clean],
        environ=inputs.environ, step=step,
    )  # fmt: skip
    pip_install(
        inputs.interpreter, place / "clean", inputs.wheel.path, environ=inputs.environ, step=step
    )
    peers = None
    if neighbours:
        peers = make_environment(
            inputs.interpreter, place / "peers",
            [*(inputs.store.path(w) for w in neighbours), inputs.wheel.path],
            environ=inputs.environ, step=step,
        )  # fmt: skip
    lab = Lab(
        clean=python, peers=peers, wheel=inputs.wheel.path, import_package=inputs.import_package,
        prefix=inputs.prefix.folder, bubblewrap=inputs.bubblewrap_path, place=place,
        environ=inputs.environ,
    )  # fmt: skip
    return lab if _usable(lab, step) else replace(lab, bubblewrap=None)


def _usable(lab: Lab, step: Step) -> bool:
    """Whether bubblewrap may make namespaces here: containers and some systems forbid it."""
    if lab.bubblewrap is None:
        return False
    result = step.run(
        [lab.bubblewrap, "--dev-bind", "/", "/", "--unshare-all", "--proc", "/proc", lab.clean,
         "-c", ""],
        env=isolated_environment(lab.environ), cwd=lab.place, check=False,
    )  # fmt: skip
    return result.returncode == 0


def _keep_crashes(lab: Lab, folder: Path, verdicts: Sequence[Verdict]) -> None:
    """The damaged files of failed cases stay beside lab.json: they are what a report needs."""
    if all(verdict.result is not Result.FAILED for verdict in verdicts):
        return
    for path in sorted(lab.place.glob("case-*/damaged-*")):
        kept = folder / "crashes" / path.parent.name / path.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)

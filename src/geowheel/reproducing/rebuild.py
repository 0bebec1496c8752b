"""`rebuild`: builds a wheel again from this checkout, and says whether the same bytes come out.

What comes of it is written beside the wheel as an in-toto statement, with the predicate "link":
https://github.com/in-toto/attestation/blob/main/spec/predicates/link.md
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from geowheel import __version__
from geowheel.contents.bill import SbomPackage, read_recipe, read_sbom
from geowheel.digest import sha256_file, toolkit_digest
from geowheel.errors import BuildError, Fault
from geowheel.machine.archives import open_zip
from geowheel.machine.console import Console
from geowheel.machine.files import scratch, to_json, write
from geowheel.pipeline.given_wheels import find_given
from geowheel.project.files import git_description, host_files, stage_checkout
from geowheel.project.project import Project

from .comparing import compare
from .reproduce import build_wheel, plain_way

STATEMENT: Final = "https://in-toto.io/Statement/v1"
LINK: Final = "https://in-toto.io/attestation/link/v0.3"
SHOWN: Final = 10  # differences that one message names
_FROM_OTHERS: Final = (
    "check out the commit that it was made from, with its locks; where no lock was committed, the "
    "channel has other packages today"
)


def rebuild(project: Project, wheel: Path, console: Console) -> dict[str, Any]:
    """Build in a copy of the checkout, compare, write the statement; the result as plain values.

    Downloads are shared, everything else is made anew. Raises BuildError with what differs, the
    packages first; UsageError for a wheel of another project or platform.
    """
    target, given = next(iter(find_given(project, wheel, [], []).items()))
    environ, recorded = project.machine.environ, _recipe(wheel)
    # One of the stable ABI is the same by whatever Python makes it here.
    options = [] if "-abi3-" in wheel.name else [f"--python={target.python}"]
    with scratch(project.work) as folder:
        place = folder.resolve()
        stage_checkout(host_files(project.root, environ), place / "source", environ)
        way = plain_way(place, environ)
        with console.step("rebuild", f"{wheel.name}, in {way.root}", logs="rebuild") as step:
            build_wheel(project, way, options, step)
        made = next(way.made.glob("dist/*.whl"))
        before = _packages(wheel)
        faults = [
            *_recipes_that_differ(recorded, _recipe(made)),
            *_packages_that_differ(before, _packages(made)),
            *_that_differ(wheel, made),
        ]
        sha256 = sha256_file(made)
    statement = wheel.with_name(f"{wheel.name}.rebuild.json")
    write(
        statement, to_json(_statement(project, given.sha256, wheel.name, sha256, before, recorded))
    )
    console.result(f"statement: {statement}")
    if faults:
        raise BuildError(faults)
    console.result(f"identical: {wheel.name}\n  sha256 {sha256}")
    return {"wheel": str(wheel), "sha256": sha256, "statement": str(statement)}


def _packages(wheel: Path) -> tuple[SbomPackage, ...]:
    with open_zip(wheel) as archive:
        return read_sbom(archive)


def _recipe(wheel: Path) -> dict[str, str]:
    with open_zip(wheel) as archive:
        return read_recipe(archive)


def _recipes_that_differ(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Fault]:
    for name in sorted({*was, *now}) if was else ():
        if was.get(name) != now.get(name):
            what = f"{name}: {was.get(name, 'nothing')} -> {now.get(name, 'nothing')}"
            yield Fault(what=what, where="what the wheel says of how it was made", fix=_FROM_OTHERS)


def _packages_that_differ(
    before: Sequence[SbomPackage], after: Sequence[SbomPackage]
) -> Iterator[Fault]:
    was, now = ({p.name: (p.purl, p.sha256) for p in each} for each in (before, after))
    differing = [name for name in sorted({*was, *now}) if was.get(name) != now.get(name)]
    if differing:
        words = [f"{was.get(n, ('none',))[0]} -> {now.get(n, ('none',))[0]}" for n in differing]
        what = f"it is made of other packages: {'; '.join(words[:SHOWN])}"
        yield Fault(what=what, where="the SBOM", fix=_FROM_OTHERS)


def _that_differ(wheel: Path, made: Path) -> Iterator[Fault]:
    if wheel.name != made.name:
        yield Fault(what=f"{made.name} came out", where=wheel.name)
    for difference in itertools.islice(compare(wheel, made), SHOWN):
        yield Fault(what=str(difference), where=wheel.name)


def _statement(
    project: Project,
    sha256: str,
    name: str,
    rebuilt: str,
    packages: Sequence[SbomPackage],
    recorded: Mapping[str, str],
) -> dict[str, Any]:
    commit = git_description(project.root, project.machine.environ) or ""
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": sha256}}],
        "predicateType": LINK,
        "predicate": {
            "name": "rebuild",
            "command": ["geowheel", "rebuild", name],
            "materials": [
                {"name": p.name, "uri": p.purl, "digest": {"sha256": p.sha256}}
                for p in packages
                if p.sha256
            ],
            "byproducts": {"identical": rebuilt == sha256, "sha256": rebuilt},
            "environment": {
                **recorded,
                "geowheel": __version__, "sources": toolkit_digest(), "commit": commit,
                "platform": str(project.machine.platform),
            },
        },
    }  # fmt: skip

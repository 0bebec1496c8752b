"""`audit --published`: which wheels on an index need a new build, and what a new build changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from geowheel.audit.command import decay
from geowheel.audit.outside import Outside
from geowheel.audit.registry import RULES
from geowheel.audit.rules import check_policy
from geowheel.contents.bill import read_sbom
from geowheel.digest import sha256_file
from geowheel.errors import AuditError, BuildError, ChannelError, Fault, UsageError
from geowheel.machine.archives import open_zip
from geowheel.project.config import AuditPolicy
from geowheel.wheel.reading import parse_filename, read_wheel

from .index import Index, Published, digest_of, find_index, published

_COLUMNS = ("wheel", "a new build is needed for", "relock", "the new build in dist/ changes")


def audit_published(
    index: str, asked: str, policy: AuditPolicy, outside: Outside, dist: Path
) -> dict[str, Any]:
    """Judge what decays in the wheels of a project that are out; what was found as plain values.

    `index` is a name or a URL as for a release, or that of a simple API; `asked` a project's name,
    for its newest version, or a requirement. A wheel in `dist` that would take the place of one is
    compared with it.

    Raises AuditError, with the same values in its note, where one needs a new build; UsageError
    where there is none; ChannelError where the index fails.
    """
    place, told = find_index(index, None, outside.environ), list[dict[str, Any]]()
    check_policy(policy, RULES)
    with outside.console.quiet_step("published") as step, step.elsewhere("published") as folder:
        for file in _wheels(place, asked, outside.environ):
            step.now(f"downloading {file.filename}")
            path = folder / file.filename
            sha256 = digest_of(place, file, outside.environ, goal=path)
            if sha256 != (file.sha256 or sha256):
                raise ChannelError("it has other bytes than the index says", where=file.url)
            bad = decay(path, policy, outside)
            relock = sorted({finding.relock for finding in bad} - {""})
            row = {"wheel": file.filename, "findings": [*map(asdict, bad)], "relock": relock}
            told.append(row | (_new_build(path, dist, relock) if bad else {}))
            path.unlink()
    outside.console.table(f"{asked} on {place.name}", _COLUMNS, [*map(_row, told)])
    rebuild = [row for row in told if row["findings"]]
    commands = {finding["command"] for row in rebuild for finding in row["findings"]} - {""}
    # One solution for all that is let go of.
    first = ", ".join(sorted(commands)).replace("`, `geowheel lock", "")
    again = "`geowheel wheel --all`, and this again, which says what the new builds change"
    fix = f"{first}, {again}" if first else again
    faults = [Fault(what=f"{len(rebuild)} of {len(told)} wheels need a new build", fix=fix)]
    if outside.certifi is None:
        faults.append(Fault(what="the newest certifi cannot be had: no root was judged"))
    summary = {"index": place.name, "simple": place.simple, "wheels": told}
    if faults := faults[not rebuild :]:
        raise AuditError(faults).with_facts(summary)
    return summary


def _row(told: Mapping[str, Any]) -> list[str]:
    because = (f"{f['package']}: {f['words'].partition(': `')[0]}" for f in told["findings"])
    more = (f"{text}, WHICH WAS NOT RELOCKED" for text in told.get("beyond", ()))
    cells = dict.fromkeys(because), told["relock"], [*told.get("relocked", ()), *more]
    return [told["wheel"], *map("\n".join, cells)]


def _wheels(index: Index, asked: str, environ: Mapping[str, str]) -> list[Published]:
    """Return the wheels that pip would take: the newest version's, or all that are asked for."""
    try:
        wanted = Requirement(asked)
    except InvalidRequirement as error:
        what = f"{asked!r} is neither a project's name nor a requirement: {error}"
        raise UsageError(what, fix='such as gdal, or "gdal>=3.12"') from None
    versions: dict[Version, list[Published]] = {}
    for file in published(index, wanted.name, environ).values():
        with suppress(BuildError):  # an sdist
            version = Version(parse_filename(file.filename)[1])
            versions.setdefault(version, []).extend(() if file.yanked else (file,))
    fitting = sorted(wanted.specifier.filter(v for v, files in versions.items() if files))
    if not fitting:
        cause = f"it has {', '.join(map(str, sorted(versions)))}" if versions else ""
        raise UsageError(f"the index has no wheel of {asked}", where=index.simple, cause=cause)
    return [f for v in (fitting if wanted.specifier else fitting[-1:]) for f in versions[v]]


def _new_build(old: Path, dist: Path, relock: Sequence[str]) -> dict[str, Any]:
    """Compare with the wheel in `dist` for the same Pythons and systems; nothing where none is.

    A package is the same by its version and build, whatever a repair made of its files' bytes. Of
    files that are no package's the bytes count.
    """
    project, _, _, tags = parse_filename(old.name)
    for new in sorted(dist.glob("*.whl"), reverse=True):
        if parse_filename(new.name)[::3] != (project, tags) or sha256_file(new) == sha256_file(old):
            continue
        (before, own), (after, own_after) = _parts(old), _parts(new)
        changed = {
            name: f"{name} {was} -> {now}"
            for name in sorted({*before, *after})
            for was, now in [(before.get(name, "none"), after.get(name, "none"))]
            if was != now
        }
        files = sorted(path for path in {*own, *own_after} if own.get(path) != own_after.get(path))
        beyond = [*(text for name, text in changed.items() if name not in relock), *files]
        relocked = [text for name, text in changed.items() if name in relock]
        return {"new": new.name, "relocked": relocked, "beyond": beyond}
    return {}


def _parts(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return version and build of a wheel's packages, and the digests of files of no package."""
    with open_zip(path) as archive:
        found = read_sbom(archive)
    packages = {package.name: package.purl.partition("@")[2] for package in found}
    owned, wheel = {file for p in found for file in p.files}, read_wheel(path)
    own = {member.path: member.sha256 for member in wheel.members if member.path not in owned}
    return packages, {k: v for k, v in own.items() if not k.startswith(f"{wheel.dist_info}/")}

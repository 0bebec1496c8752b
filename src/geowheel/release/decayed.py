"""`audit --published`: which wheels on an index need a new build, and what a new build changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from geowheel.audit import trust
from geowheel.audit.command import judged
from geowheel.audit.outside import Outside
from geowheel.audit.registry import rule_named
from geowheel.contents.bill import SbomPackage, read_sbom
from geowheel.digest import sha256_file
from geowheel.errors import AuditError, BuildError, Fault, UsageError
from geowheel.machine.archives import open_zip
from geowheel.project.config import AuditLevel, AuditPolicy
from geowheel.wheel.reading import parse_filename, read_wheel

from .index import Index, Published, download, find_index, published

_COLUMNS = ("wheel", "new build", "because of", "relock", "the new one in dist/")


def audit_published(
    index: str, asked: str, policy: AuditPolicy, outside: Outside, dist: Path
) -> dict[str, Any]:
    """Judge what decays in the wheels of a project that are out; facts and findings as values.

    `index` is a name or a URL as for a release, or that of a simple API; `asked` a project's name,
    for its newest version, or a requirement. A wheel in `dist` that would take the place of one is
    compared with it.

    Raises AuditError, with the same values in its note, where one needs a new build; UsageError
    where there is none; ChannelError where the index fails.
    """
    place, told = find_index(index, None, outside.environ), list[dict[str, Any]]()
    rules = [*map(rule_named, trust.LOOKS)]
    with outside.console.quiet_step("published") as step, step.elsewhere("published") as folder:
        for file in _wheels(place, asked, outside.environ):
            step.now(f"downloading {file.filename}")
            path = folder / file.filename
            download(place, file, path, outside.environ)
            found = [*judged(path, rules, policy, outside)]
            bad = [finding for finding in found if finding.level is AuditLevel.ERROR]
            relock = sorted({finding.relock for finding in bad} - {""})
            new = _replacement(path, dist) if bad else None
            changes = difference(path, new, relock) if new else {}
            row = {"wheel": file.filename, "rebuild": bool(bad), "relock": relock}
            told.append(
                {**row, "findings": [*map(asdict, found)], "new": new and new.name} | changes
            )
            path.unlink()
    outside.console.table(f"{asked} on {place.name}", _COLUMNS, [*map(_row, told)])
    rebuild = [row for row in told if row["rebuild"]]
    names = sorted({name for row in rebuild for name in row["relock"]})
    first = f"`geowheel lock{''.join(f' --upgrade {name}' for name in names)}`, " if names else ""
    fix = f"{first}`geowheel wheel --all`, and this again, which says what the new builds change"
    faults = [Fault(what=f"{len(rebuild)} of {len(told)} wheels need a new build", fix=fix)]
    if outside.certifi is None:
        faults.append(Fault(what="the newest certifi cannot be had: no root was judged"))
    summary = {"index": place.name, "simple": place.simple, "wheels": told}
    if faults := faults[not rebuild :]:
        error = AuditError(faults)
        error.add_note(json.dumps(summary))
        raise error
    return summary


def _wheels(index: Index, asked: str, environ: Mapping[str, str]) -> list[Published]:
    """The wheels that pip would take: of the newest version, or of all that are asked for."""
    try:
        wanted = Requirement(asked)
    except InvalidRequirement as error:
        what = f"{asked!r} is no name of a project, nor a requirement: {error}"
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


def _row(told: Mapping[str, Any]) -> list[str]:
    bad = [found for found in told["findings"] if found["level"] is AuditLevel.ERROR]
    because = dict.fromkeys(f"{f['package']}: {f['words'].partition(': `')[0]}" for f in bad)
    more = "".join(f"\nBEYOND WHAT IS RELOCKED: {text}" for text in told.get("beyond", ()))
    new = "differs in " + (", ".join(told["changed"]) or "no package") if told["new"] else ""
    need = "needed" if bad else "no"
    return [told["wheel"], need, "\n".join(because), "\n".join(told["relock"]), new + more]


# --- the new build --------------------------------------------------------------------------------


def _replacement(path: Path, dist: Path) -> Path | None:
    """Another wheel in `dist` of the same project, for the same Pythons and systems."""
    name, _, _, tags = parse_filename(path.name)
    for each in sorted(dist.glob("*.whl"), reverse=True):
        try:
            other, _, _, its_tags = parse_filename(each.name)
        except BuildError:
            continue
        if (other, its_tags) == (name, tags) and sha256_file(each) != sha256_file(path):
            return each
    return None


def difference(old: Path, new: Path, relocked: Sequence[str]) -> dict[str, list[str]]:
    """What `changed` in the packages of a wheel, by their SBOMs, and what is `beyond` `relocked`.

    A package is the same by its version and build, whatever a repair made of its files' bytes. Of
    files that are no package's the bytes count.
    """
    (before, own), (after, own_after) = _parts(old), _parts(new)
    changed = {
        name: f"{name} {was.version if was else 'none'} -> {now.version if now else 'none'}"
        for name in sorted({*before, *after})
        for was, now in [(before.get(name), after.get(name))]
        if was is None or now is None or was.purl != now.purl
    }
    files = sorted(path for path in {*own, *own_after} if own.get(path) != own_after.get(path))
    others = [text for name, text in changed.items() if name not in relocked]
    return {"changed": [*changed.values()], "beyond": [*others, *files]}


def _parts(path: Path) -> tuple[dict[str, SbomPackage], dict[str, str]]:
    """The packages of a wheel by their names, and the digests of files that are no package's."""
    with open_zip(path) as archive:
        packages = {package.name: package for package in read_sbom(archive)}
    owned, wheel = {file for p in packages.values() for file in p.files}, read_wheel(path)
    own = {member.path: member.sha256 for member in wheel.members if member.path not in owned}
    return packages, {k: v for k, v in own.items() if not k.startswith(f"{wheel.dist_info}/")}

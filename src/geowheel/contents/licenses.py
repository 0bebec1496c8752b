"""Licenses of what a wheel bundles: the gate, and the texts in dist-info/licenses (PEP 639)."""

import fnmatch
import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from license_expression import ExpressionError, Licensing

from geowheel.errors import BuildError
from geowheel.locks.assets import Package
from geowheel.machine.console import Step
from geowheel.prefix.linker import LICENSES

from .restricted import Restricted, license_faults, unaccepted
from .ways import LoadWay, brought_by

FOLDER: Final = "licenses/bundled"
SUMMARY: Final = "SUMMARY.md"
COPYLEFT: Final = ("GPL-*", "AGPL-*")
"""Refused unless the configuration says otherwise: what it asks of the whole that it is part of."""
OLDEST_METADATA: Final = (2, 4)  # the first version with License-File (PEP 639)


@dataclass(frozen=True, kw_only=True)
class LicenseGate:
    """What the configuration says of licenses."""

    refuse: tuple[str, ...] | None
    """Patterns of license identifiers; None: those of copyleft, and only where it matters."""
    accept: tuple[str, ...]
    """Patterns of package names."""
    locked: bool
    """Whether the native stack is from a committed lock. Another one is not for release, so there
    the usual patterns only warn; patterns that the configuration names always refuse."""

    def check(
        self,
        packages: Mapping[Package, Iterable[str]],
        ways: Mapping[str, list[LoadWay]],
        step: Step,
    ) -> tuple[Restricted, ...]:
        """Return all that are under copyleft or a refused license; `packages` have their files, or
        those that they are linked into.

        Raises BuildError, or warns, for those that are not accepted.
        """
        refuse = COPYLEFT if self.refuse is None else self.refuse
        refused = [p.name for p in packages if refused_in(p.license or "", refuse)]
        found = tuple(
            Restricted(name=package.name, version=package.version, terms=", ".join(sorted(terms)),
                       brought_by=brought_by(files, ways))
            for package, files in sorted(packages.items(), key=lambda item: item[0].name)
            if (terms := refused_in(package.license or "", (*COPYLEFT, *refuse)))
        )  # fmt: skip
        unsettled = unaccepted(found, self.accept)
        strict = self.locked or self.refuse is not None
        fatal = [item for item in unsettled if strict and item.name in refused]
        if fatal:
            raise BuildError(license_faults(fatal))
        for fault in license_faults(unsettled):
            step.console.warn(str(fault))
        return found


def refused_in(expression: str, refuse: Sequence[str]) -> frozenset[str]:
    """Return the refused licenses that no choice in the expression avoids; empty where one does.

    What is no expression (older conda packages say `BSD 3-Clause`) counts as one license's name.
    """
    if not expression:
        return frozenset()
    try:
        parsed = Licensing().parse(expression)
    except ExpressionError:
        parsed = None
    if parsed is None:
        return _refused([expression], refuse)
    return _unavoidable(parsed, refuse)


def _unavoidable(part: Any, refuse: Sequence[str]) -> frozenset[str]:
    """Judge a parsed expression: AND joins what its parts cannot avoid, OR takes its best part."""
    arguments = getattr(part, "args", ())
    if not arguments or not hasattr(part, "operator"):
        return _refused([str(getattr(part, "key", part))], refuse)
    below = [_unavoidable(argument, refuse) for argument in arguments]
    if part.operator.strip().upper() == "OR":
        return min(below, key=len)
    return frozenset().union(*below)


def _refused(names: Iterable[str], refuse: Sequence[str]) -> frozenset[str]:
    return frozenset(
        name
        for name in names
        if any(_is_under(name.upper(), pattern.upper()) for pattern in refuse)
    )


def _is_under(name: str, pattern: str) -> bool:
    """Return whether it is of the family; an exception allows what its license would not.

    libgcc's and libgomp's, for one: GPL-3.0-only WITH GCC-exception-3.1.
    """
    meant = " WITH " not in name or " WITH " in pattern
    return meant and fnmatch.fnmatch(name, pattern)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The license texts that were added to a wheel."""

    packages: int
    without: tuple[str, ...]
    """Packages that bring no text."""


def add_license_texts(packages: Iterable[Package], kept: Path, dist_info: Path) -> Texts:
    """Copy each package's texts below dist-info/licenses, write the summary, name them in METADATA.

    `kept` holds them by package name, as the linker left them. A text that several packages share
    is there once.
    """
    goal = dist_info / FOLDER
    goal.mkdir(parents=True)
    known: dict[bytes, str] = {}
    rows: list[tuple[Package, list[str]]] = []
    for package in sorted(packages, key=lambda p: p.name):
        folder = kept / LICENSES / package.name
        names = []
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            content = hashlib.sha256(path.read_bytes()).digest()
            relative = f"{package.name}/{path.relative_to(folder).as_posix()}"
            if content not in known:
                known[content] = relative
                (goal / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, goal / relative)
            names.append(known[content])
        rows.append((package, list(dict.fromkeys(names))))
    (goal / SUMMARY).write_text(_summary(rows), encoding="utf-8")
    files = sorted(path.relative_to(dist_info / "licenses").as_posix()
                   for path in goal.rglob("*") if path.is_file())  # fmt: skip
    metadata = dist_info / "METADATA"
    metadata.write_text(with_license_files(metadata.read_text("utf-8"), files), encoding="utf-8")
    return Texts(
        packages=len(rows), without=tuple(package.name for package, names in rows if not names)
    )


def _summary(rows: Iterable[tuple[Package, list[str]]]) -> str:
    lines = [
        "# Licenses of what this wheel bundles",
        "",
        "Each package of the native stack with a file in this wheel, or linked into one, under the",
        "license that it states. The texts lie beside this file.",
        "",
        "| package | version | license | texts |",
        "| --- | --- | --- | --- |",
    ]
    for package, names in rows:
        texts = ", ".join(names) or "none in the package"
        license = (package.license or "not stated").replace("|", "\\|")
        lines.append(f"| {package.name} | {package.version} | {license} | {texts} |")
    return "\n".join(lines) + "\n"


def with_license_files(metadata: str, files: Sequence[str]) -> str:
    """Return METADATA with a License-File for each file, and a version that has them (PEP 639)."""
    head, blank, body = metadata.partition("\n\n")
    lines = [
        f"Metadata-Version: {'.'.join(map(str, _at_least(line.partition(':')[2].strip())))}"
        if line.lower().startswith("metadata-version:")
        else line
        for line in head.rstrip("\n").split("\n")
    ]
    lines += [f"License-File: {name}" for name in files]
    return "\n".join(lines) + ("\n\n" + body if blank else "\n")


def _at_least(version: str) -> tuple[int, ...]:
    return max(tuple(map(int, version.split("."))), OLDEST_METADATA)

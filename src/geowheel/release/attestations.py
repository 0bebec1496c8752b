"""What an index says of who published a file: its attestations (PEP 740), held against the file.

pypi-attestations checks the signatures. It brings sigstore along, so it is in no extra: where it is
not installed, one line says that they were not checked; the rest is compared all the same.
"""

import base64
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from geowheel.errors import Fault
from geowheel.machine.console import Step
from geowheel.machine.environments import tool_environment
from geowheel.machine.files import from_json
from geowheel.machine.git import ask_git

from .index import Index, Published, page_of, published
from .journal import ReleaseFile

PROGRAM: Final = "pypi-attestations"
_KIND: Final = "application/vnd.pypi.integrity.v1+json"
_REMOTE: Final = re.compile(r"(?:\w+://)?(?:[\w.-]+@)?([\w.-]+)[:/](.+?)(?:\.git)?/?\s*")


class _Subject(msgspec.Struct):
    name: str
    digest: dict[str, str]


class _Statement(msgspec.Struct):
    subject: tuple[_Subject, ...]


class _Envelope(msgspec.Struct):
    statement: str


class _Attestation(msgspec.Struct):
    envelope: _Envelope


class _Bundle(msgspec.Struct):
    attestations: tuple[_Attestation, ...]
    publisher: dict[str, Any]


class _Provenance(msgspec.Struct):
    attestation_bundles: tuple[_Bundle, ...]


def distrusted(
    index: Index, name: str, files: Sequence[ReleaseFile], folder: Path,
    environ: Mapping[str, str], step: Step,
) -> list[Fault]:  # fmt: skip
    """Return what is wrong with the attestations of what is published from dist/, `folder`.

    Raises ChannelError where the index cannot be asked.
    """
    there = published(index, name, environ)
    marked = [file for file in files if (p := there.get(file.filename)) and p.provenance]
    if not marked:
        step.say(f"{index.name} has no attestations of them")
        return []
    program = _program(environ)
    faults = [
        Fault(
            what=what, where=f"{file.filename} on {index.name}",
            cause="somebody else published this file, or the index is not what it was",
            fix="yank it there, find out who published it, then release a new version",
        )
        for file in marked
        for what in _wrong(index, there[file.filename], file, folder, environ, program, step)
    ]  # fmt: skip
    if not faults:
        step.say(f"attestations of {len(marked)} of {len(files)} files are for these bytes")
    if program is None:
        step.console.warn(
            f"their signatures were NOT CHECKED: no {PROGRAM} here; `pipx install {PROGRAM}`, "
            "then `geowheel release` again"
        )
    return faults


def _program(environ: Mapping[str, str]) -> str | None:
    beside, path = str(Path(sys.executable).parent), environ.get("PATH", "")
    return shutil.which(PROGRAM, path=os.pathsep.join([beside, path]))


def _wrong(
    index: Index, found: Published, file: ReleaseFile, folder: Path,
    environ: Mapping[str, str], program: str | None, step: Step,
) -> Iterator[str]:  # fmt: skip
    """Yield what is wrong with one file's, the signatures last."""
    data = page_of(index, found.provenance, environ, accept=_KIND)
    if data is None:
        yield f"the index names attestations at {found.provenance}, and serves none"
        return
    try:
        bundles = from_json(data, _Provenance).attestation_bundles
        pairs = [(b.publisher, _statement(a)) for b in bundles for a in b.attestations]
    except (msgspec.MsgspecError, ValueError) as error:
        yield f"its attestations cannot be read: {str(error).splitlines()[0]}"
        return
    ours = _repository(folder, environ)
    for publisher, statement in pairs:
        said = {(s.name, s.digest.get("sha256", "")) for s in statement.subject}
        if said != {(file.filename, file.sha256)}:
            other = "; ".join(f"{name} {sha256}" for name, sha256 in sorted(said))
            yield f"its attestation is of other bytes: {other or 'none'}"
            return
        theirs = f"https://{str(publisher.get('kind')).lower()}.com/{publisher.get('repository')}"
        if (ours or theirs).lower() != theirs.lower():
            yield f"it was published from {theirs}, not from {ours}"
            return
        ours = ours or theirs
    if not pairs:
        yield "its list of attestations is empty"
    elif program:
        yield from _unsigned(program, data, ours, folder / file.filename, environ, step)


def _statement(attestation: _Attestation) -> _Statement:
    return from_json(base64.b64decode(attestation.envelope.statement, validate=True), _Statement)


def _unsigned(
    program: str, data: bytes, ours: str, path: Path, environ: Mapping[str, str], step: Step
) -> Iterator[str]:
    with step.elsewhere("provenance") as place:
        (place / "provenance.json").write_bytes(data)
        # Offline: with the roots of trust that it brings along.
        done = step.run(
            [program, "verify", "pypi", "--offline", "--provenance-file", "provenance.json",
             "--repository", ours, path.absolute()],
            env=tool_environment(environ), cwd=place, check=False,
        )  # fmt: skip
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        yield f"{PROGRAM} refuses it: {said[-1]}"


def _repository(folder: Path, environ: Mapping[str, str]) -> str:
    """Return the URL of this checkout's repository; empty where it has no remote `origin`."""
    remote = ask_git(folder, environ, "remote", "get-url", "origin")
    match = _REMOTE.fullmatch(remote) if remote else None
    return f"https://{match[1]}/{match[2]}" if match else ""

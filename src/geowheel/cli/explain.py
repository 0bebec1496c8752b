"""The command `explain`: the known failures in a log, with cause and remedy, from `failures.toml`.

The same table speaks by itself below an error whose text, or the log that it names, has one.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from geowheel.errors import ExplainError, UsageError
from geowheel.machine.console import Console
from geowheel.machine.files import table_of

_LARGEST: Final = 32_000_000  # bytes of a log that are read
_LONGEST: Final = 300  # characters of a line that are shown
_HIDDEN: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Escape sequences (ECMA-48) and control characters: logs of CI are coloured."""
_LOG: Final = re.compile(r"output is in (.+?\.log)\b")
_GROUP: Final = re.compile(r"\{(\w+)\}")
_ERROR: Final = re.compile(r"\b(?:\w*error|fatal|failed|cannot)\b", re.IGNORECASE)
_TOLD: Final = ("cause", "remedy", "command")

Sentence = Annotated[str, Meta(pattern=r"^\S[^\n]*\S$")]


class KnownFailure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of failures.toml; `{name}` in a text stands for a named group of the signature.

    The line that is shown is where the signature begins to fit, or where its group `line` does.
    """

    signature: Annotated[str, Meta(min_length=8)]
    cause: Sentence
    remedy: Sentence
    command: Sentence
    source: Annotated[str, Meta(pattern=r"^https://\S+$")]
    """Where the failure is described in public."""

    def __post_init__(self) -> None:
        texts = " ".join(getattr(self, key) for key in _TOLD)
        if unknown := set(_GROUP.findall(texts)) - set(re.compile(self.signature).groupindex):
            raise ValueError(f"{{{unknown.pop()}}} is no group of {self.signature}")


def known_failures() -> dict[str, KnownFailure]:
    """Return the table that geowheel ships, by the failures' names, in its order."""
    return table_of("cli", "failures.toml", dict[str, KnownFailure])


def explained(text: str) -> Iterator[dict[str, Any]]:
    """Yield each known failure of a log once, where it stands first, in the table's order."""
    lines = _HIDDEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
    whole = "\n".join(lines)
    for name, row in known_failures().items():
        if found := re.search(row.signature, whole):
            number = whole.count(
                "\n", 0, found.start("line" if "line" in found.re.groupindex else 0)
            )
            told = {key: _GROUP.sub(partial(_filled, found), getattr(row, key)) for key in _TOLD}
            line = lines[number].strip()[:_LONGEST]
            yield {"name": name, "line": line, "number": number + 1, **told, "source": row.source}


def _filled(found: re.Match[str], group: re.Match[str]) -> str:
    return found[group[1]] or ""


def explain_error(message: str, console: Console) -> list[dict[str, Any]]:
    """Show cause and remedy below an error of a stage, where its text or its log has a failure."""
    logs = (read_log(path) for name in _LOG.findall(message) if (path := Path(name)).is_file())
    found = next(filter(None, (list(explained(text)) for text in (message, *logs))), [])
    for row in found[:1]:
        console.line(f"  known failure {row['name']}: {row['cause']}")
        console.line(f"  remedy: {row['remedy']}: `{row['command']}`")
    return found


def explain(files: Sequence[Path], console: Console) -> dict[str, Any]:
    """Show the known failures of logs, or of standard input; the same as plain values.

    Raises ExplainError where nothing in them is known, UsageError where there is no log.
    """
    texts = {str(path): read_log(path) for path in files} or {"standard input": _standard_input()}
    found = [(name, row) for name, text in texts.items() for row in explained(text)]
    if not found:
        raise _nothing_known(texts)
    for name, row in found:
        console.result(f"{row['name']}: {name}, line {row['number']}\n    {row['line']}")
        shown = row | {"command": f"`{row['command']}`"}
        for title in (*_TOLD, "source"):
            console.result(f"  {title:<8} {shown[title]}")
    return {"explained": [{"log": name, **row} for name, row in found]}


def _nothing_known(texts: dict[str, str]) -> ExplainError:
    lines = enumerate(_HIDDEN.sub("", next(iter(texts.values()))).splitlines(), 1)
    errors = ((number, line.strip()[:_LONGEST]) for number, line in lines if _ERROR.search(line))
    seen = next(
        (f"; line {number} speaks first of an error: {line}" for number, line in errors), ""
    )
    return ExplainError(
        f"no known failure in it{seen}",
        where=", ".join(texts),
        cause=f"the table of {len(known_failures())} failures has no signature for this one",
        fix="`geowheel doctor` checks this machine; `geowheel build --keep-work` leaves a failed "
        "stage to look into",
    )


def read_log(path: Path) -> str:
    """Return a log as text, in any encoding; UsageError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return _text(file.read(_LARGEST))
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}", where=str(path),
            fix="name a log, such as one below .geowheel/logs, or pipe one in",
        ) from None  # fmt: skip


def _standard_input() -> str:
    text = "" if sys.stdin is None or sys.stdin.isatty() else _text(sys.stdin.buffer.read(_LARGEST))
    if not text.strip():
        raise UsageError(
            "there is nothing to explain: no file is named, and standard input is empty",
            fix="`geowheel explain FILE`, or pipe what a command prints into `geowheel explain`",
        )
    return text


def _text(data: bytes) -> str:
    """Return a log's text; PowerShell's `>` writes UTF-16 with a byte order mark."""
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    return data.decode("utf-16" if wide else "utf-8-sig", "replace")

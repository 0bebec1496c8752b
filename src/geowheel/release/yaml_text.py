"""YAML as text, always the same for the same values: what a workflow needs, and no more.

Written by hand, as no library of geowheel's own writes YAML with comments. Strings are plain where
no reader could take them for anything else, else quoted as JSON, which YAML 1.2 contains.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

_PLAIN: Final = re.compile(r"[A-Za-z$./][\w$./+=(){}@-]*( [\w$./+=(){}@&|!<>*-]+)*", re.ASCII)
_LINES: Final = re.compile(r"(?:[!-~][ -~]*\n)+")
# What YAML 1.1 takes for a boolean or nothing.
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


@dataclass(frozen=True)
class Noted:
    """A value with a comment behind it."""

    value: str
    note: str


Value: TypeAlias = "str | bool | int | Noted | Mapping[str, Value] | Sequence[Value]"


def to_yaml(values: Mapping[str, Value]) -> str:
    """A block mapping, every line of it ended."""
    return "".join(f"{line}\n" for line in _mapping(values))


def _mapping(values: Mapping[str, Value]) -> list[str]:
    lines: list[str] = []
    for name, value in values.items():
        lines += _entry(f"{_scalar(name)}:", value)
    return lines


def _entry(start: str, value: Value) -> list[str]:
    """A key or a hyphen, and what belongs to it."""
    if isinstance(value, Noted):
        return [f"{start} {_scalar(value.value)}" + (f"  # {value.note}" if value.note else "")]
    if isinstance(value, str) and _LINES.fullmatch(value):
        return [f"{start} |", *_indented(value.rstrip("\n").split("\n"))]
    if isinstance(value, str | bool | int):
        return [f"{start} {_scalar(value)}"]
    if isinstance(value, Mapping):
        return [start, *_indented(_mapping(value))] if value else [f"{start} {{}}"]
    if all(isinstance(item, str) for item in value):
        return [f"{start} [{', '.join(_item(item) for item in value)}]"]
    return [start, *_indented(line for item in value for line in _listed(item))]


def _listed(item: Value) -> list[str]:
    """An item of a block sequence: a mapping begins beside its hyphen."""
    if not isinstance(item, Mapping):
        return _entry("-", item)
    first, *others = _mapping(item)
    return [f"- {first}", *_indented(others)]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" if line else "" for line in lines]


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else _quoted(text)


def _item(value: object) -> str:
    """In a flow sequence, brackets and commas mean something."""
    text = _scalar(value)
    bare = not text.startswith('"')
    return _quoted(text) if bare and re.search(r"[{}\[\],]", text) else text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

"""The configuration as JSON Schema for editors, and as the key table of docs/configuration.md.

Both come from the dataclasses of `geowheel.host.config` alone. Draft 7, as the JSON Schema Store
and validate-pyproject want it for the table of a tool.

`python -m geowheel.host.schema FILE` renews the key table in FILE.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import itertools
import json
import sys
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, dataclass
from pathlib import Path
from typing import Any, Final

from geowheel.errors import ConfigError

from .config import TABLE, Config

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
IDENTITY: Final = "urn:geowheel:tool-geowheel"
"""A name, no place: nothing is ever fetched from it."""
EVERY_OTHER_TABLE: Final = "https://json.schemastore.org/pyproject.json"
BEGIN: Final = "<!-- keys: written by `nox -s docs` from src/geowheel/host/config.py; edit that -->"
END: Final = "<!-- end of keys -->"

_SIMPLE: Final[Mapping[type, str]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
}


def tool_schema(_tool_name: str = "geowheel") -> dict[str, Any]:
    """Schema of `[tool.geowheel]`: pythons, layout, size budget, tests of the wheel.

    An entry point of the group `validate_pyproject.tool_schema` calls it with the table's name:
    https://validate-pyproject.readthedocs.io/en/latest/dev-guide.html
    """
    return {"$schema": DRAFT, "$id": IDENTITY, **_table(Config, TABLE)}


def pyproject_schema() -> dict[str, Any]:
    """Schema of a whole pyproject.toml: the Schema Store's for every table, and ours."""
    table = tool_schema()
    tool = {"type": "object", "properties": {"geowheel": table}}
    return {
        "$schema": table.pop("$schema"),
        # An editor that is given a schema uses no other one.
        "allOf": [{"$ref": EVERY_OTHER_TABLE}],
        "type": "object",
        "properties": {"tool": tool},
    }


def key_table() -> str:
    """The Markdown table of all keys."""
    rows = [f"| `{k.name}` | {k.default} | {k.meaning} |" for k in _keys(Config, "")]
    return "\n".join(["| key | default | meaning |", "| --- | --- | --- |", *rows])


def with_key_table(text: str, where: Path) -> str:
    """The text of a document with its key table renewed.

    Raises ConfigError when the two comments that the table stands between are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(
            "the key table has no place in it",
            where=str(where),
            fix=f"put two lines where it belongs: {BEGIN} and {END}",
        )
    return f"{before}{BEGIN}\n\n{key_table()}\n\n{END}{after}"


def enum_docs(kind: type[enum.Enum]) -> dict[str, str]:
    """The meaning of each member by its value: the string that follows it in the source.

    Python keeps no docstrings of members. Without the source there are none.
    """
    try:
        source = textwrap.dedent(inspect.getsource(kind))
    except OSError:
        return {}
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    body = definition.body
    for statement, following in itertools.pairwise(body):
        match statement, following:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[str(kind[name].value)] = _sentence(inspect.cleandoc(text))
    return found


# ---------------------------------------------------------------------------- schema


def _table(kind: type[Any], title: str) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    properties = {
        _key(f): {"title": _key(f), **_property(hints[f.name], f, f"{title}.{_key(f)}")}
        for f in dataclasses.fields(kind)
    }
    required = [_key(f) for f in dataclasses.fields(kind) if _required(f)]
    return {
        "title": f"[{title}]",
        "description": _sentence(inspect.cleandoc(kind.__doc__ or "")),
        "type": "object",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        "properties": properties,
    }


def _property(kind: Any, field: Field[Any], title: str) -> dict[str, Any]:
    pattern = field.metadata.get("pattern")
    made = _value(kind, title, pattern.pattern if pattern else None)
    made["description"] = _one_line(field.metadata["doc"])
    default = _default(field)
    # A table's default is that of its keys; None is a key that is left out.
    if default is not None and not dataclasses.is_dataclass(default):
        made["default"] = default
    return made


def _value(kind: Any, title: str, pattern: str | None) -> dict[str, Any]:
    """The schema of one type; raises TypeError for a type that no schema is known for."""
    kind = _without_none(kind)
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is tuple:
        return {"type": "array", "items": _value(arguments[0], title, pattern)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _value(arguments[1], title, pattern)}
    if dataclasses.is_dataclass(kind):
        return _table(typing.cast("type[Any]", kind), title)
    if isinstance(kind, type) and issubclass(kind, enum.StrEnum):
        return _choice(kind)
    if kind not in _SIMPLE:
        raise TypeError(f"{title}: no schema is known for {kind}")
    # JSON Schema finds a pattern anywhere in the text, our reader wants the whole of it.
    return {"type": _SIMPLE[kind], **({"pattern": f"^(?:{pattern})$"} if pattern else {})}


def _choice(kind: type[enum.StrEnum]) -> dict[str, Any]:
    docs = enum_docs(kind)
    # Constants with a description each: the Schema Store's form of an enumeration, that editors
    # show the meaning of.
    return {
        "type": "string",
        "oneOf": [
            {"const": value, **({"description": docs[value]} if value in docs else {})}
            for value in map(str, kind)
        ],
    }


# ---------------------------------------------------------------------------- key table


@dataclass(frozen=True, kw_only=True)
class _Key:
    """One row of the key table, in Markdown."""

    name: str
    default: str
    meaning: str


def _keys(kind: type[Any], prefix: str) -> Iterator[_Key]:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name, described = f"{prefix}{_key(field)}", _without_none(hints[field.name])
        inner = typing.get_args(described)
        if dataclasses.is_dataclass(described):
            yield from _keys(typing.cast("type[Any]", described), f"{name}.")
        elif inner and dataclasses.is_dataclass(inner[0]):  # an array of tables
            yield from _keys(typing.cast("type[Any]", inner[0]), f"{name}[].")
        elif len(inner) > 1 and dataclasses.is_dataclass(inner[1]):  # tables by name
            yield from _keys(typing.cast("type[Any]", inner[1]), f"{name}.NAME.")
        else:
            yield _Key(name=name, default=_default_cell(field), meaning=_meaning(described, field))


def _default_cell(field: Field[Any]) -> str:
    if _required(field):
        return "required"
    default = _default(field)
    return "none" if default is None else f"`{json.dumps(default)}`"


def _meaning(kind: Any, field: Field[Any]) -> str:
    text = _one_line(field.metadata["doc"])
    if isinstance(kind, type) and issubclass(kind, enum.StrEnum):
        docs = enum_docs(kind)
        text += ": " + ", ".join(
            f'`"{value}"`' + (f" ({_lower_first(docs[value])})" if value in docs else "")
            for value in map(str, kind)
        )
    return text.replace("|", r"\|")


# ---------------------------------------------------------------------------- fields


def _key(field: Field[Any]) -> str:
    return field.name.replace("_", "-")


def _required(field: Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _default(field: Field[Any]) -> Any:
    """As JSON has it; None for a required field and for one that may stay unset."""
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING or value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, enum.Enum):  # fastjsonschema writes defaults as Python source
        return str(value.value)
    if isinstance(value, tuple):
        return [str(item) if isinstance(item, enum.Enum) else item for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _without_none(kind: Any) -> Any:
    if not isinstance(kind, types.UnionType):
        return kind
    (inner,) = (part for part in typing.get_args(kind) if part is not type(None))
    return inner


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _sentence(text: str) -> str:
    """The first paragraph on one line, without the period of a single sentence."""
    line = _one_line(text.partition("\n\n")[0])
    return line.removesuffix(".") if ". " not in line else line


def _lower_first(text: str) -> str:
    """For the middle of a sentence; a name in capitals stays as it is."""
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def main(arguments: Sequence[str]) -> int:
    """Renew the key table of every document named; says which one changed."""
    for name in arguments:
        path = Path(name)
        old = path.read_text(encoding="utf-8")
        new = with_key_table(old, path)
        if new != old:
            path.write_text(new, encoding="utf-8")
            sys.stderr.write(f"{path}: the key table was renewed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

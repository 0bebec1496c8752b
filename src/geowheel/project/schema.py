"""The configuration as JSON Schema, for editors and for docs/configuration.md.

It comes from the dataclasses of `geowheel.project.config` alone. Draft 7, as the JSON Schema Store
and validate-pyproject want it for the table of a tool.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Mapping
from dataclasses import Field
from typing import Any, Final

from .config import TABLE, Config

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
IDENTITY: Final = "urn:geowheel:tool-geowheel"
"""A name, no place: nothing is ever fetched from it."""
EVERY_OTHER_TABLE: Final = "https://json.schemastore.org/pyproject.json"

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

"""The configuration as JSON Schema, for editors and for docs/configuration.md.

It comes from the dataclasses of `geowheel.project.config` alone. Draft 7, as the JSON Schema Store
and validate-pyproject want it for the table of a tool.
"""

import ast
import dataclasses
import enum
import inspect
import itertools
import re
import textwrap
import types
import typing
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from .config import TABLE, Config

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
IDENTITY: Final = "urn:geowheel:tool-geowheel"
"""A name, no place: nothing is ever fetched from it."""
EVERY_OTHER_TABLE: Final = "https://json.schemastore.org/pyproject.json"

_SIMPLE: Final = {bool: "boolean", int: "integer", float: "number", str: "string"}


def tool_schema(_tool_name: str = "geowheel") -> dict[str, Any]:
    """Return the schema of `[tool.geowheel]`: pythons, layout, size budget, tests of the wheel.

    An entry point of the group `validate_pyproject.tool_schema` calls it with the table's name:
    https://validate-pyproject.readthedocs.io/en/latest/dev-guide.html
    """
    return {"$schema": DRAFT, "$id": IDENTITY, **_table(Config, TABLE)}


def pyproject_schema() -> dict[str, Any]:
    """Return the schema of a pyproject.toml: the Schema Store's for every table, and ours."""
    table = tool_schema()
    tool = {"type": "object", "properties": {"geowheel": table}}
    return {
        "$schema": table.pop("$schema"),
        # An editor that is given a schema uses no other one.
        "allOf": [{"$ref": EVERY_OTHER_TABLE}],
        "type": "object",
        "properties": {"tool": tool},
    }


def docs_of(kind: type[Any]) -> dict[str, str]:
    """Return the meaning of each field or member by its name: the string after it in the source.

    Python keeps no docstrings of those. Without the source there are none.
    """
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except OSError:
        return {}
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for pair in itertools.pairwise(definition.body):
        match pair:
            case (
                ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = _sentence(text)
    return found


def without_none(kind: Any) -> Any:
    """Return the type of a key's value where the key is given."""
    if not isinstance(kind, types.UnionType) or types.NoneType not in typing.get_args(kind):
        return kind
    return next(part for part in typing.get_args(kind) if part is not types.NoneType)


def _table(kind: type[Any], title: str) -> dict[str, Any]:
    hints, docs = typing.get_type_hints(kind), docs_of(kind)
    properties: dict[str, Any] = {}
    required = []
    for field in dataclasses.fields(kind):
        key = field.name.replace("_", "-")
        made = _value(hints[field.name], f"{title}.{key}", field.metadata.get("pattern"))
        properties[key] = {"title": key, **made, "description": docs.get(field.name, "")}
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(key)
        # A table's default is that of its keys; None is a key that is left out.
        elif default is not None and default is not dataclasses.MISSING:
            properties[key]["default"] = msgspec.json.decode(msgspec.json.encode(default))
    return {
        "title": f"[{title}]",
        "description": _sentence(kind.__doc__ or ""),
        "type": "object",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        "properties": properties,
    }


def _value(kind: Any, title: str, pattern: re.Pattern[str] | None) -> dict[str, Any]:
    """Return the schema of one type, whose texts have to be the pattern as a whole."""
    kind = without_none(kind)
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return {"anyOf": [_value(each, title, pattern) for each in arguments]}
    if typing.get_origin(kind) is tuple:
        return {"type": "array", "items": _value(arguments[0], title, pattern)}
    if typing.get_origin(kind) is Mapping:
        return {"type": "object", "additionalProperties": _value(arguments[1], title, pattern)}
    if dataclasses.is_dataclass(kind):
        return _table(typing.cast("type[Any]", kind), title)
    if issubclass(kind, enum.StrEnum):
        docs = docs_of(kind)
        # Constants with a description each: the Schema Store's form of an enumeration, that
        # editors show the meaning of.
        choices = [
            {"const": str(member), "description": docs.get(member.name, "")} for member in kind
        ]
        return {"type": "string", "oneOf": choices}
    # JSON Schema finds a pattern anywhere in the text.
    whole = {"pattern": f"^(?:{pattern.pattern})$"} if pattern else {}
    return {"type": _SIMPLE[kind], **whole}


def _sentence(text: str) -> str:
    """Return the first paragraph on one line, without the period of a single sentence."""
    line = " ".join(text.partition("\n\n")[0].split())
    return line.removesuffix(".") if ". " not in line else line

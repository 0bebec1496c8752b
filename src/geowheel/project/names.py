"""A distribution's name, where its build backend reads it."""

import ast
import configparser
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NAMING_FILES: Final = ("setup.py", "setup.cfg")
GDAL: Final = "gdal"
"""The distribution of GDAL's own bindings, which the wheel has in itself."""


def table_at(data: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return the table below `keys`; an empty one where any of them is missing or no table."""
    for key in keys:
        inner = data.get(key)
        if not isinstance(inner, Mapping):
            return {}
        data = inner
    return data


def naming_texts(folder: Path) -> dict[str, str]:
    """Return the text of the files beside pyproject.toml that may name the distribution."""
    paths = [folder / name for name in NAMING_FILES if (folder / name).is_file()]
    return {path.name: path.read_text(encoding="utf-8", errors="replace") for path in paths}


def distribution_name(pyproject: Mapping[str, Any], texts: Mapping[str, str]) -> str | None:
    """Return the name in pyproject.toml, setup.cfg or setup.py; None where none is written out."""
    poetry = table_at(pyproject, "tool", "poetry")
    named = pyproject.get("project", {}).get("name") or poetry.get("name")
    by_setup_cfg = setup_cfg(texts).get("metadata", "name", fallback=None)
    found = [named, by_setup_cfg, *_of_setup_py(texts)]
    return next((name for name in found if name and isinstance(name, str)), None)


def required(listed: Mapping[str, Iterable[str]], name: str, asked: Iterable[str]) -> list[str]:
    """Return what the distribution `name` requires and what is asked for, but for itself and GDAL.

    `listed` has the requirements of each extra, and below the empty name those without one:
    `name[test]` stands for what it has for `test`. Raises KeyError for an extra that it lacks.
    """
    own, found = canonicalize_name(name), dict[str, str]()
    texts = [*listed[""], *asked]
    for text in texts:  # grows
        if text not in found:
            one = Requirement(text)
            found[text] = canonicalize_name(one.name)
            for extra in sorted(one.extras) if found[text] == own else ():
                texts += listed[canonicalize_name(extra)]
    return [text for text, of in found.items() if of not in (own, GDAL)]


def setup_cfg(texts: Mapping[str, str]) -> configparser.ConfigParser:
    """Return what setup.cfg says: nothing where it cannot be read, which setuptools reports."""
    parser = configparser.ConfigParser(interpolation=None)
    with suppress(configparser.Error):
        parser.read_string(texts.get("setup.cfg", ""))
    return parser


def _of_setup_py(texts: Mapping[str, str]) -> Iterator[str]:
    """Yield `name="..."` of what is passed to setup, or kept in a dict for it: nothing is run."""
    try:
        tree = ast.parse(texts.get("setup.py", ""))
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="setup" | "dict") | ast.Attribute(attr="setup")):
                values = [keyword.value for keyword in node.keywords if keyword.arg == "name"]
            case ast.Dict(keys=keys):
                pairs = zip(keys, node.values, strict=True)
                values = [v for k, v in pairs if isinstance(k, ast.Constant) and k.value == "name"]
            case _:
                continue
        for value in values:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value

"""The shape of the tree: a name for each class, modules of a size, tests at the front door."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = [path for path in sorted((ROOT / "tests").rglob("*.py")) if "data" not in path.parts]
LONGEST = 450  # lines
NAMING = re.compile("(The|An?|What|Where|How|Whether|Each|Every|All|One|Th[oe]se|Its|For|Of|By)\\b")


def test_modules_and_classes_have_a_shape() -> None:
    names = Counter(
        node.name
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert [path for path, length in lengths.items() if length > LONGEST] == []


def without_verb(text: str) -> Iterator[str]:
    """Functions whose docstrings are names of things, not sentences; a property's may be one."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or "Do"
            field = any("property" in ast.unparse(item) for item in node.decorator_list)
            if not field and (NAMING.match(text) or not text[0].isupper()):
                yield node.name


def test_docstrings_of_functions_are_sentences() -> None:
    # What probes say of themselves is shown as their names, and the bootstrap's are in wheels.
    paths = [path for path in SOURCES if path.parent.name not in ("probes", "inside")]
    found = {path: list(without_verb(path.read_text(encoding="utf-8"))) for path in paths}
    assert {path: names for path, names in found.items() if names} == {}
    assert list(without_verb('def planted():\n    """The planted one."""\n')) == ["planted"]


def private(text: str) -> Iterator[str]:
    """The private names of geowheel's modules that a test reaches into."""
    modules: set[str] = set()
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("geowheel"):
            modules |= {alias.asname or alias.name for alias in node.names}
            yield from (a.name for a in node.names if a.name.startswith("_") and "__" not in a.name)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in modules:
                if attribute.startswith("_") and not attribute.startswith("__"):
                    yield f"{name}.{attribute}"
            case ast.Call(
                func=ast.Attribute(attr="setattr"),
                args=[ast.Name(id=name), ast.Constant(value=str(attribute)), *_],
            ) if name in modules and attribute.startswith("_"):
                yield f"{name}.{attribute}"


def test_every_test_comes_in_by_the_front_door() -> None:
    found = {path: list(private(path.read_text(encoding="utf-8"))) for path in TESTS}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "text",
    [
        "from geowheel.locks import _hidden",
        "from geowheel.locks import pixi\npixi._hidden()",
        'from geowheel.locks import pixi\nmonkeypatch.setattr(pixi, "_hidden", 1)',
    ],
)
def test_the_back_door_is_seen(text: str) -> None:
    assert list(private(text))

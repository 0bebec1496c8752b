"""A run with nothing to do decides and stops: it has no part in what only acts needs.

What is imported at the top of a module counts, here by reading the sources; what a real run imports
is in tests/integration/test_wheel.py.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import geowheel
from geowheel.stages import STAGES

SOURCES = Path(geowheel.__file__).parent
DECIDES = ("geowheel.cli", "geowheel.pipeline.runs", "geowheel.stages.inputs")
ONLY_ACTS = {
    "asyncio", "auditwheel", "cyclonedx", "delocate", "delvewheel", "elftools", "filelock",
    "license_expression", "macholib", "packageurl", "pefile", "pip", "rattler", "rich", "shtab",
    "twine", "uv", "zstandard",
}  # fmt: skip


def file_of(name: str) -> Path | None:
    """The source of one of our modules; None for everybody else's, and for what is no module."""
    path = SOURCES.joinpath(*name.split(".")[1:])
    found = [path / "__init__.py", path.with_suffix(".py")]
    return next((p for p in found if name.split(".")[0] == "geowheel" and p.is_file()), None)


def imported(path: Path) -> Iterator[str]:
    """Absolute names of what the import of a module imports: not in functions, nor for types."""
    package = ["geowheel", *path.relative_to(SOURCES).parent.parts]
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *filter(None, [node.module])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def closure(names: Iterator[str]) -> dict[str, str]:
    """Every module that is imported, and who imports it first."""
    waiting = [(name, "a run") for name in names]
    found: dict[str, str] = {}
    while waiting:
        name, by = waiting.pop(0)
        if name in found:
            continue
        path = file_of(name)
        if path is not None or not name.startswith("geowheel"):
            found[name] = by
        if path is not None:
            waiting += [(each, name) for each in imported(path)]
    return found


def test_a_run_with_nothing_to_do_imports_nothing_that_only_acts() -> None:
    found = closure(iter(DECIDES))
    assert "geowheel.locks.in_use" in found and "packaging.pylock" in found  # it does look
    heavy = {name: by for name, by in found.items() if name.partition(".")[0] in ONLY_ACTS}
    assert heavy == {}
    acting = {f"geowheel.stages.{stage.name}" for stage in STAGES}
    assert acting.isdisjoint(found)
    tops = {n.partition(".")[0] for n in closure(iter(["geowheel.stages", "geowheel.nox"]))}
    assert tops - sys.stdlib_module_names == {"geowheel", "nox"}

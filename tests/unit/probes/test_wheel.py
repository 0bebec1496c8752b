"""The probes: their reference for the transform, and the report that they write."""

import ast
import unittest
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import pytest

from geowheel.probes import ours, wheel


def sample() -> type[unittest.TestCase]:
    """Probes of every ending; made here, so that pytest does not take them for its own."""

    class Sample(unittest.TestCase):
        def test_01_good(self) -> None:
            pass

        def test_02_bad_one(self) -> None:
            self.assertEqual(1, 2)

        def test_03_broken(self) -> None:
            raise RuntimeError("no driver")

        def test_04_left_out(self) -> None:
            self.skipTest("NumPy is not installed")

    return Sample


def report_of(kind: type[unittest.TestCase]) -> list[dict[str, object]]:
    report = wheel.ProbeRows()
    unittest.defaultTestLoader.loadTestsFromTestCase(kind).run(report)
    return report.rows


def test_the_report_has_a_row_for_each_probe() -> None:
    rows = report_of(sample())
    assert [(row["name"], row["passed"]) for row in rows] == [
        ("good", True), ("bad one", False), ("broken", False), ("left out", None),
    ]  # fmt: skip
    details = [str(row["detail"]) for row in rows]
    assert details[0] == ""
    assert "1 != 2" in details[1]
    assert "RuntimeError: no driver" in details[2]
    assert details[3] == "not run: NumPy is not installed"


def test_a_probe_that_cannot_even_start_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"package": "no_such_package", "layout": "private", "version": "3.12.1"}
    monkeypatch.setattr(wheel, "ASKED", asked)
    rows = report_of(wheel.OsgeoProbes)
    assert len(rows) == len(unittest.defaultTestLoader.getTestCaseNames(wheel.OsgeoProbes))
    assert not any(row["passed"] for row in rows)
    failed = [str(row["detail"]) for row in rows if row["passed"] is False]
    assert failed and all("no_such_package" in detail for detail in failed)


SCRIPTS = [*files("geowheel.probes").iterdir(), *files("geowheel.inside").iterdir()]


@pytest.mark.parametrize("script", [s for s in SCRIPTS if s.name.endswith(".py")],
                         ids=lambda script: script.name)  # fmt: skip
def test_what_runs_in_a_users_interpreter_is_old_syntax(script: Traversable) -> None:
    text = script.read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    assert "from __future__ import annotations" in text or script.name == "__init__.py"


@pytest.mark.parametrize(
    ("more", "is_good"),
    [
        (["site/pyproj.libs/libproj-9.so.25"], True),
        (["usr/lib/libproj.so.25"], False),
        (["site/pyogrio.libs/libproj-9.so.25"], False),
        (["site/pyogrio/libgdal.so"], False),
    ],
)
def test_what_the_host_imports_may_have_a_proj_of_its_own(
    more: list[str], is_good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {name: str(tmp_path / f"site/pyogrio.libs/lib{name}.so") for name in ("gdal", "proj")}
    monkeypatch.setattr(ours, "bundle", lambda _: own)
    monkeypatch.setattr(ours, "home", lambda _: str(tmp_path / "site" / "pyogrio"))
    monkeypatch.setattr(
        ours, "loaded", lambda: {*own.values(), *map(str, map(tmp_path.joinpath, more))}
    )
    asked = {"package": "pyogrio"}
    if is_good:
        ours.own_libraries(asked)
    else:
        with pytest.raises(AssertionError, match="lib"):
            ours.own_libraries(asked)

"""Which pixi is used; no program is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from geowheel.console import Step
from geowheel.errors import MachineError
from geowheel.native.pixi import OLDEST, Pixi, find_pixi
from geowheel.process import Result

from .hosts import make_step, result


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("never run")
    path.chmod(0o755)
    return path


def answering(tmp_path: Path, said: str = f"pixi {OLDEST}.0\n") -> Step:
    """A step in which every program says this of its version."""

    def run(argv: Sequence[str | Path], **_: Any) -> Result:
        assert Path(argv[0]).is_absolute()
        return replace(result(argv), stdout=said)

    return make_step(tmp_path, run)


def path_of(found: Pixi | None) -> Path | None:
    return None if found is None else found.path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with one pixi on PATH and one beside it."""
    program(tmp_path / "bin" / "pixi")
    program(tmp_path / "own" / "pixi-next")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("named", "path", "expected"),
    [
        (None, "{here}/bin", "bin/pixi"),
        ("", "{here}/bin", "bin/pixi"),
        (None, "bin", "bin/pixi"),
        (None, "", None),
        ("none", "{here}/bin", None),
        ("{here}/own/pixi-next", "{here}/bin", "own/pixi-next"),
        ("own/pixi-next", "{here}/bin", "own/pixi-next"),
        ("pixi-next", "{here}/own", "own/pixi-next"),
    ],
)
def test_the_pixi_that_is_named_or_on_path(
    here: Path, named: str | None, path: str, expected: str | None
) -> None:
    environ = {"PATH": path.format(here=here)}
    if named is not None:
        environ["GEOWHEEL_PIXI"] = named.format(here=here)
    found = path_of(find_pixi(environ, answering(here)))
    assert found == (here / expected if expected else None)


@pytest.mark.parametrize("named", ["no-such-pixi", "own/no-such-pixi", "{here}/own", "own"])
def test_a_name_of_no_program_is_an_error(here: Path, named: str) -> None:
    environ = {"PATH": f"{here}/bin", "GEOWHEEL_PIXI": named.format(here=here)}
    with pytest.raises(MachineError, match="is not a pixi of"):
        find_pixi(environ, answering(here))


@pytest.mark.parametrize("said", ["pixi 0.67.9\n", "pixi, version 1.2.3\n", ""])
def test_an_old_or_unrelated_pixi_is_an_error_only_where_it_is_named(here: Path, said: str) -> None:
    environ = {"PATH": f"{here}/bin"}
    assert find_pixi(environ, answering(here, said)) is None
    with pytest.raises(MachineError, match="is not a pixi of"):
        find_pixi(environ | {"GEOWHEEL_PIXI": "pixi"}, answering(here, said))

"""What a row would do if something were wrong: each fault is seen."""

from collections.abc import Callable
from pathlib import Path

import pytest

from geowheel.errors import GeowheelError
from tests.support.attack import attack


@attack("planted: a traceback", range(3))
def traceback(_: int, __: Path) -> None:
    raise KeyError("planted")


@attack("planted: a write outside, by way of a link", range(2))
def writes(number: int, folder: Path) -> None:
    (folder / "link").symlink_to(folder.parents[1] / "outside")
    (folder / "link" / f"{number}").write_text("planted")


@attack("planted: memory", range(1), refused=0)
def memory(_: int, __: Path) -> None:
    bytearray(b"planted" * 50_000_000)


@attack("planted: an exit", range(2))
def ends(_: int, __: Path) -> None:
    raise SystemExit(3)


@attack("planted: accepts one of two", range(2))
def accepts(number: int, _: Path) -> None:
    if number:
        raise GeowheelError("refused")


@pytest.mark.attack
@pytest.mark.parametrize(
    ("row", "said"),
    [
        (traceback, "0: Traceback.*KeyError: 'planted'"),
        (writes, "0: written outside its folder: .'open /.*/outside/0'"),
        (memory, r"0: \d{3} MB"),
        (ends, "exit 3"),
        (accepts, r"\['0'\] should have been refused"),
    ],
)
def test_a_planted_fault_is_seen(row: Callable[..., None], said: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=f"(?s){said}"):
        row(tmp_path, lambda *_: None)

"""Tables: nothing is lost and no word is split, at any width of a terminal."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geowheel.machine.tables import table_lines

WORD = st.text("abz-09._/`é—", min_size=1, max_size=30)
LINE = st.lists(WORD, max_size=8).map(" ".join)
CELL = st.lists(LINE, min_size=1, max_size=3).map("\n".join)
NAME = st.lists(WORD, min_size=1, max_size=2).map(" ".join)
WIDTH = st.integers(20, 200)


@dataclass(frozen=True)
class Made:
    """A table of any content."""

    columns: list[str]
    rows: list[list[str]]

    @property
    def cells(self) -> list[str]:
        return [cell for row in self.rows for cell in row]


@st.composite
def tables(draw: st.DrawFn) -> Made:
    columns = draw(st.lists(NAME, min_size=1, max_size=5))
    row = st.lists(CELL, min_size=len(columns), max_size=len(columns))
    return Made(columns, draw(st.lists(row, max_size=4)))


@given(made=tables(), width=WIDTH)
def test_words_are_whole_and_lines_fit(made: Made, width: int) -> None:
    lines = table_lines("title", made.columns, made.rows, width)
    longest = max((len(word) for cell in made.cells for word in cell.split()), default=0)
    margin = 6 + max(map(len, made.columns))
    assert all(len(line) <= max(width, margin + longest) for line in lines[2:])
    assert not any(line != line.rstrip() for line in lines)
    assert {word for cell in made.cells for word in cell.split()} <= set(" ".join(lines).split())


COLUMNS = ["what", "found", "next"]
ROWS = [["one", "first line\nsecond", "do this"], ["two-three", "", "a\nb\nc"]]


def test_columns() -> None:
    assert table_lines("title", COLUMNS, ROWS, 100) == [
        "", "title", "  what       found       next", "  ---------  ----------  -------",
        "  one        first line  do this", "             second", "  two-three              a",
        "                         b", "                         c",
    ]  # fmt: skip
    assert table_lines("title", COLUMNS, ROWS, 99) == [
        "", "title", "  one", "    found  first line", "           second", "    next   do this",
        "  two-three", "    next   a", "           b", "           c",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [1, 20, 99, 100, None])
def test_without_rows_nothing_is_made_up(width: int | None) -> None:
    lines = table_lines("dist/", ["wheel", "size"], [], width)
    columns = ["  wheel  size", "  -----  ----"]
    assert lines == ["", "dist/", *([] if width is not None and width < 100 else columns)]

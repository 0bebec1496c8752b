"""Tables: nothing is lost and no word is split, at any width of a terminal."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geowheel.machine.tables import NARROW, table_lines

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

    @property
    def sizes(self) -> list[int]:
        """How wide each column is."""
        by_column = zip(self.columns, *self.rows, strict=True)
        return [max(len(text) for cell in each for text in cell.split("\n")) for each in by_column]

    @property
    def rule(self) -> list[str]:
        return ["-" * size for size in self.sizes]

    @property
    def width(self) -> int:
        """Of the table in columns, with two blanks before each."""
        return sum(2 + size for size in self.sizes)


@st.composite
def tables(draw: st.DrawFn) -> Made:
    columns = draw(st.lists(NAME, min_size=1, max_size=5))
    row = st.lists(CELL, min_size=len(columns), max_size=len(columns))
    return Made(columns, draw(st.lists(row, max_size=4)))


def in_columns(made: Made, width: int | None) -> bool:
    """Where a table is expected to fit: the rest is a list."""
    return width is None or (width >= NARROW and made.width <= width)


@given(made=tables(), width=st.none() | WIDTH)
def test_every_word_of_every_cell_is_whole_and_in_its_order(made: Made, width: int | None) -> None:
    lines = table_lines("title", made.columns, made.rows, width)
    assert lines[:2] == ["", "title"]
    if in_columns(made, width):
        assert _read_columns(made, lines[2:]) == [made.columns, made.rule, *made.rows]
    else:
        words = [word for row in made.rows for word in _listed(made, row)]
        assert " ".join(lines[2:]).split() == words


def _listed(made: Made, row: list[str]) -> list[str]:
    """The words that a list has of a row: of the first cell, then of the others, each named."""
    rest = zip(made.columns[1:], row[1:], strict=True)
    return " ".join([row[0], *(f"{name} {cell}" for name, cell in rest if cell)]).split()


def _read_columns(made: Made, lines: list[str]) -> list[list[str]]:
    """The cells again, by the places of the columns and the heights of the rows."""
    found = []
    for row in [made.columns, made.rule, *made.rows]:
        height = max(cell.count("\n") + 1 for cell in row)
        shown, lines = lines[:height], lines[height:]
        cells, start = [], 0
        for cell, size in zip(row, made.sizes, strict=True):
            texts = [line[start + 2 : start + 2 + size].rstrip() for line in shown]
            assert all(line[start : start + 2].strip() == "" for line in shown)
            start += 2 + size
            own = cell.count("\n") + 1
            assert not any(texts[own:])
            cells.append("\n".join(texts[:own]))
        assert all(line[start:] == "" for line in shown)
        found.append(cells)
    assert lines == []
    return found


@given(made=tables(), width=WIDTH)
def test_no_line_is_wider_than_the_terminal_unless_a_word_is(made: Made, width: int) -> None:
    lines = table_lines("title", made.columns, made.rows, width)
    longest = max((len(word) for cell in made.cells for word in cell.split()), default=0)
    margin = 6 + max(map(len, made.columns))
    assert all(len(line) <= max(width, margin + longest) for line in lines[2:])
    assert not any(line != line.rstrip() for line in lines)


COLUMNS = ["what", "found", "next"]
ROWS = [["one", "first line\nsecond", "do this"], ["two-three", "", "a\nb\nc"]]


def test_columns() -> None:
    assert table_lines("title", COLUMNS, ROWS, 100) == [
        "",
        "title",
        "  what       found       next",
        "  ---------  ----------  -------",
        "  one        first line  do this",
        "             second",
        "  two-three              a",
        "                         b",
        "                         c",
    ]


def test_a_list_names_what_a_cell_is_and_leaves_out_empty_ones() -> None:
    assert table_lines("title", COLUMNS, ROWS, 99) == [
        "",
        "title",
        "  one",
        "    found  first line",
        "           second",
        "    next   do this",
        "  two-three",
        "    next   a",
        "           b",
        "           c",
    ]


def test_a_list_breaks_between_words_only() -> None:
    row = ["x", "install gcc-aarch64-linux-gnu or-another/very/long/path.whl now"]
    assert table_lines("t", ["a", "fix"], [row], 24)[2:] == [
        "  x",
        "    fix  install",
        "         gcc-aarch64-linux-gnu",
        "         or-another/very/long/path.whl",
        "         now",
    ]


@pytest.mark.parametrize("width", [1, 20, 99, 100, None])
def test_without_rows_nothing_is_made_up(width: int | None) -> None:
    lines = table_lines("dist/", ["wheel", "size"], [], width)
    columns = ["  wheel  size", "  -----  ----"]
    assert lines == ["", "dist/", *([] if width is not None and width < 100 else columns)]

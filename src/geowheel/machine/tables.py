"""Tables as plain text: in columns where they fit, else as a list. No word is ever split."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import Final

NARROW: Final = 100  # columns: below that a table is a list
_GAP: Final = "  "


def table_lines(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    """Return a table's lines; `width` is the terminal's, None where a program reads the text.

    A cell may have several lines. Below 100 columns, and where the table is wider than the
    terminal, each row is a list of its cells with the names of the columns.
    """
    cells = [[cell.split("\n") for cell in row] for row in (columns, *rows)]
    widths = [
        max(len(line) for cell in column for line in cell) for column in zip(*cells, strict=True)
    ]
    total = sum(widths) + len(_GAP) * len(widths)
    if width is not None and (width < NARROW or total > width):
        return ["", title, *_list_lines(columns, rows, width)]
    rule = _GAP + _GAP.join("-" * size for size in widths)
    head, *body = [_columns(row, widths) for row in cells]
    return ["", title, *head, rule, *chain.from_iterable(body)]


def _columns(row: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """Return one row, as tall as its tallest cell."""
    return [
        "".join(f"{_GAP}{text:<{size}}" for text, size in zip(line, widths, strict=True)).rstrip()
        for line in zip_longest(*row, fillvalue="")
    ]


def _list_lines(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield each row as its first cell, and below it the others beside their columns' names."""
    margin = max((len(name) for name in columns[1:]), default=0)
    for row in rows:
        yield from _wrapped(row[0], _GAP, width)
        for name, cell in zip(columns[1:], row[1:], strict=True):
            if cell:
                yield from _wrapped(cell, f"{_GAP * 2}{name:<{margin}}{_GAP}", width)


def _wrapped(text: str, begin: str, width: int) -> Iterator[str]:
    """Yield the lines of a cell, wrapped between words."""
    for line in text.split("\n"):
        yield from textwrap.wrap(
            line,
            width,
            initial_indent=begin,
            subsequent_indent=" " * len(begin),
            break_long_words=False,
            break_on_hyphens=False,
        ) or [begin.rstrip()]
        begin = " " * len(begin)

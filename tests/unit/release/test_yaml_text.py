"""YAML that is written by hand says what it was given, to an independent reader."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from geowheel.release.yaml_text import Noted, to_yaml

# What a workflow may hold: lines of printable text, numbers that a reader keeps.
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), max_size=6
)
LINES = st.lists(TEXTS, min_size=1, max_size=3).map(lambda x: "".join(f"b{text}\n" for text in x))
SCALARS = TEXTS | LINES | LINES.map(str.rstrip) | st.booleans() | st.integers(-(2**31), 2**31)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(TEXTS, min_size=1, max_size=3)
        | st.lists(st.dictionaries(TEXTS, inner, min_size=1, max_size=3), min_size=1, max_size=2)
        | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=8,
)


def read(text: str) -> Any:
    """As YAML 1.2, by a library that geowheel does not use."""
    return YAML(typ="safe", pure=True).load(io.StringIO(text))


@settings(max_examples=60)
@given(st.dictionaries(TEXTS, VALUES, min_size=1))
def test_a_reader_gets_the_same_values(values: dict[str, Any]) -> None:
    assert read(to_yaml(values)) == values


def test_several_lines_are_a_block() -> None:
    assert to_yaml({"path": "a\nb\n"}) == "path: |\n  a\n  b\n"


def test_words_that_mean_something_are_quoted() -> None:
    text = to_yaml({"on": "yes", "a": "3.12", "b": "${{ x }}", "c": "a: b", "d": "a #b"})
    assert text.splitlines() == [
        '"on": "yes"', 'a: "3.12"', "b: ${{ x }}", 'c: "a: b"', 'd: "a #b"',
    ]  # fmt: skip


def test_a_note_is_a_comment() -> None:
    assert to_yaml({"uses": Noted("a/b@1", "v1")}) == "uses: a/b@1  # v1\n"
    assert to_yaml({"uses": Noted("a/b@v1", "")}) == "uses: a/b@v1\n"


def test_lists_and_empty_mappings() -> None:
    values: dict[str, Any] = {
        "a": ["x", "3.11", "{y}"],
        "b": {},
        "c": [{"d": 1, "e": True}, {"f": "g"}],
    }
    assert to_yaml(values) == (
        'a: [x, "3.11", "{y}"]\nb: {}\nc:\n  - d: 1\n    e: true\n  - f: g\n'
    )

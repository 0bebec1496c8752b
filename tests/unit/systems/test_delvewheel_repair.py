"""Repairing for Windows, apart from delvewheel: circles, and what the bootstrap is told."""

from graphlib import TopologicalSorter

from hypothesis import given
from hypothesis import strategies as st

from geowheel.systems.delvewheel_repair import circles

GRAPHS = st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.sampled_from("abcdefgh")))


@given(GRAPHS)
def test_without_those_that_keep_their_names_is_no_circle(graph: dict[str, set[str]]) -> None:
    kept = circles(graph)
    TopologicalSorter({n: graph[n] - {*kept} for n in graph if n not in kept}).prepare()
    assert kept == circles(dict(reversed(graph.items())))


def test_without_a_circle_every_library_is_renamed() -> None:
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c"}}) == ["a", "c"]

"""Digests are of content: values, files and trees; never of places or times."""

import enum
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geowheel.digest import digest, read_entry, read_tree, sha256_bytes, sha256_file

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Point:
    x: int
    y: int
    said: str = field(default="", compare=False)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Knows that where it lies is no content."""

    folder: Path
    content: str

    def digest(self) -> str:
        return self.content


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=5), st.randoms())
def test_the_order_of_mapping_keys_is_irrelevant(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert digest(dict(items)) == digest(value)


@given(VALUES, VALUES)
def test_different_values_have_different_digests(left: object, right: object) -> None:
    if left != right:
        assert digest(left) != digest(right)


def test_kinds_that_python_takes_for_equal_are_told_apart() -> None:
    assert len({digest(value) for value in (1, 1.0, True, "1", (1,))}) == 5


@pytest.mark.parametrize(
    "value",
    [Path("/a"), (1, Path("a")), {"a": Path("a")}, [{"a": (Path("a"),)}], b"a", object(), len,
     {Path("/a"): "a"}, {1: "a"}],
    ids=["bare", "tuple", "mapping", "deep", "bytes", "object", "function", "key", "number"],
)  # fmt: skip
def test_what_has_no_plain_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        digest(value)


def test_every_field_that_is_compared_counts() -> None:
    point = Point(x=1, y=2)
    assert digest(point) == digest(Point(x=1, y=2))
    assert digest(point) != digest(replace(point, x=2))
    assert digest(point) != digest(Point(x=2, y=1))
    assert digest(point) == digest(Point(x=1, y=2, said="otherwise")), "equal values, one digest"
    here, there = (Placed(folder=Path(place), content="c") for place in ("here", "there"))
    assert digest(here) == digest(there) == "c"
    assert digest((1, here)) == digest((1, there))
    assert digest((1, here)) != digest((1, replace(here, content="d")))


def test_files_and_bytes_have_the_same_sha256(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert sha256_file(path) == sha256_bytes(b"abc") == known


def fill(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "b.sh").write_text("b")
    (folder / "sub" / "b.sh").chmod(0o755)
    (folder / "link").symlink_to("a.txt")
    (folder / "to-folder").symlink_to("sub")
    return folder


def test_a_tree_lists_files_and_links_in_order(tmp_path: Path) -> None:
    tree = read_tree(fill(tmp_path))
    assert [entry.path for entry in tree.entries] == ["a.txt", "link", "sub/b.sh", "to-folder"]
    assert [entry.link for entry in tree.entries] == [None, "a.txt", None, "sub"]
    assert [entry.executable for entry in tree.entries] == [False, False, True, False]


def test_the_digest_of_a_tree_ignores_its_root_and_times(tmp_path: Path) -> None:
    here, there = fill(tmp_path / "here"), fill(tmp_path / "there" / "deep")
    os.utime(there / "a.txt", (1, 1))
    (there / "a.txt").chmod(0o600)
    assert digest(read_tree(here)) == digest(read_tree(there))


def without(path: Path) -> Path:
    path.unlink()
    return path


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "a.txt").write_text("A"),
    "mode": lambda root: (root / "a.txt").chmod(0o755),
    "link": lambda root: without(root / "link").symlink_to("sub/b.sh"),
    "file for link": lambda root: without(root / "link").write_text("a.txt"),
    "name": lambda root: (root / "a.txt").rename(root / "c.txt"),
    "more": lambda root: (root / "c.txt").touch(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_digest_of_a_tree_sees(change: Callable[[Path], object], tmp_path: Path) -> None:
    before = digest(read_tree(fill(tmp_path)))
    change(tmp_path)
    assert digest(read_tree(tmp_path)) != before


def test_the_target_of_a_link_is_not_followed(tmp_path: Path) -> None:
    before = read_entry(fill(tmp_path), "link")
    (tmp_path / "a.txt").write_text("something else")
    assert read_entry(tmp_path, "link") == before
    assert read_entry(tmp_path, "link").size == 0
    (tmp_path / "no text").symlink_to(os.fsdecode(b"caf\xe9"))
    assert read_entry(tmp_path, "no text").sha256 == sha256_bytes(b"caf\xe9")


def test_only_the_named_paths_count(tmp_path: Path) -> None:
    tree = read_tree(fill(tmp_path), ["sub/b.sh", "a.txt"])
    (tmp_path / "link").unlink()
    assert tree == read_tree(tmp_path, ["a.txt", "sub/b.sh"])
    assert tree.paths() == {"a.txt": sha256_bytes(b"a"), "sub/b.sh": sha256_bytes(b"b")}
    with pytest.raises(FileNotFoundError):
        read_tree(tmp_path, ["missing"])

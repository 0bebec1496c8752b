import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.hosts import make_package

from geowheel.digest import read_tree, sha256_bytes
from geowheel.errors import IntegrityError
from geowheel.locks.assets import Package
from geowheel.prefix.linker import NativeManifest, PlacedPackage, Placing, read_native_manifest
from geowheel.prefix.overwriting import prefixed_strings
from geowheel.targets import Platform

PLACEHOLDER = "/opt/placehold_placehold_placehold"
PREFIX = "/usr/lib/native"

# C strings of a library: other text, and paths below the placeholder, one or several of them.
words = st.binary(max_size=12).map(lambda data: data.replace(b"\0", b"0"))
paths = st.lists(words, min_size=1, max_size=3).map(
    lambda parts: b":".join(PLACEHOLDER.encode() + b"/" + part for part in parts)
)
strings = st.lists(st.one_of(words, paths, st.tuples(words, paths).map(b"".join)), max_size=8)


def with_prefix(data: bytes) -> bytes:
    result = bytearray(data)
    for offset, string in prefixed_strings(data, PLACEHOLDER, PREFIX):
        result[offset : offset + len(string)] = string
    return bytes(result)


@given(strings=strings, terminated=st.booleans())
def test_a_binary_keeps_its_length_and_strings(strings: list[bytes], terminated: bool) -> None:
    data = b"\0".join(strings) + (b"\0" if terminated else b"")
    result = with_prefix(data)
    assert (result != data) == (PLACEHOLDER.encode() in data)
    assert len(result) == len(data)
    # Each string begins where it began, with its own text, and padding is nothing but NUL.
    offset = 0
    for string in strings:
        expected = string.replace(PLACEHOLDER.encode(), PREFIX.encode())
        slot = result[offset : offset + len(string)]
        assert slot == expected.ljust(len(string), b"\0")
        offset += len(string) + 1


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32-le"])
def test_wide_characters_are_found_too(encoding: str) -> None:
    before, after = (f"x{path}/share\0y\0" for path in (PLACEHOLDER, PREFIX))
    padding = "\0" * (len(PLACEHOLDER) - len(PREFIX))
    result = with_prefix(before.encode(encoding))
    assert result.decode(encoding) == after.replace("\0y", f"\0{padding}y")


@given(data=st.binary(max_size=200))
def test_bytes_without_a_placeholder_stay_as_they_are(data: bytes) -> None:
    assert not list(prefixed_strings(data, PLACEHOLDER, PREFIX))


def test_a_prefix_that_does_not_fit_into_a_binary_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than the placeholder"):
        list(prefixed_strings(b"/p/lib\0", "/p", PREFIX))


def package(name: str) -> Package:
    return make_package(name, version="1.0", build="h0")


@dataclass(frozen=True)
class Workshop:
    """A prefix, and packages that are unpacked beside it."""

    folder: Path
    placing: Placing

    @property
    def prefix(self) -> Path:
        return self.placing.prefix

    def unpack(
        self,
        name: str,
        files: Mapping[str, bytes] | None = None,
        *,
        links: Mapping[str, str] | None = None,
        entries: Sequence[Mapping[str, Any]] | None = None,
    ) -> Path:
        """A package as it lies unpacked; `entries` replaces what paths.json would truly say."""
        tree = self.folder / name
        (tree / "info").mkdir(parents=True)
        true = []
        for path, data in (files or {}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
            true.append({"_path": path, "path_type": "hardlink", "sha256": sha256_bytes(data)})
        for path, target in (links or {}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).symlink_to(target)
            true.append({"_path": path, "path_type": "softlink"})
        said = {"paths": true if entries is None else entries, "paths_version": 1}
        (tree / "info" / "paths.json").write_text(json.dumps(said))
        index = {"name": name, "version": "1.0", "build": "h0"}
        (tree / "info" / "index.json").write_text(json.dumps(index))
        return tree

    def place(self, name: str, *, consume: bool = False) -> PlacedPackage:
        tree = self.folder / name
        digests = read_tree(tree).paths() if consume else None
        return self.placing.place(package(name), tree, digests=digests)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return workshop_for(Platform.LINUX_64, tmp_path)


def workshop_for(platform: Platform, folder: Path) -> Workshop:
    prefix = folder / "prefix"
    prefix.mkdir()
    return Workshop(folder, Placing(prefix=prefix, prefix_string=PREFIX, platform=platform))


def entry(path: str, data: bytes, **more: str) -> dict[str, str]:
    return {"_path": path, "path_type": "hardlink", "sha256": sha256_bytes(data), **more}


@pytest.mark.parametrize("folder", ["info/licenses", "info"])
def test_license_texts_are_kept_beside_the_prefix(workshop: Workshop, folder: str) -> None:
    tree = workshop.unpack("a", {"lib/a": b"x"})
    name = "LICENSE.txt"
    (tree / folder).mkdir(exist_ok=True)
    (tree / folder / name).write_bytes(b"terms")
    workshop.place("a")
    kept = workshop.folder / "licenses" / "a"
    assert {path.name for path in kept.iterdir()} == {name}
    assert (kept / name).read_bytes() == b"terms"


@pytest.mark.parametrize(
    ("change", "license", "said"),
    [
        ({"license": "MIT"}, None, None),
        ({"license": "MIT"}, "MIT", None),
        ({"license": ""}, None, None),
        ({"version": "1.0.0"}, None, None),  # conda takes these for one
        ({"license": "MIT"}, "ISC", "license is MIT and not ISC"),
        ({}, "ISC", "license is None and not ISC"),
        ({"name": "b"}, None, "name is b and not a"),
        ({"version": "1.1"}, None, "version is 1.1 and not 1.0"),
        ({"version": "?"}, None, "index.json is damaged"),
        ({"build": "h1"}, None, "build is h1 and not h0"),
        ({"name": 5}, None, "index.json is damaged"),
        (None, None, "info/index.json cannot be read"),
    ],
)
def test_what_a_package_says_of_itself(
    workshop: Workshop, change: dict[str, Any] | None, license: str | None, said: str | None
) -> None:
    tree = workshop.unpack("a", {"lib/a": b"x"})
    path, locked = tree / "info" / "index.json", replace(package("a"), license=license)
    index = json.loads(path.read_text())
    path.unlink() if change is None else path.write_text(json.dumps(index | change))
    if said is None:
        found = workshop.placing.place(locked, tree).package
        assert found.license == ((change or {}).get("license") or None)
        return
    with pytest.raises(IntegrityError, match=rf"a 1\.0 h0.*{re.escape(said)}"):
        workshop.placing.place(locked, tree)


@pytest.mark.parametrize("path", ["info", "info/licenses", "info/licenses/x", "info/LICENSE",
                                  "info/paths.json", "info/index.json"])  # fmt: skip
@pytest.mark.parametrize("to", ["links", "pipe"])
def test_info_holds_files_alone(workshop: Workshop, path: str, to: str) -> None:
    """Whoever unpacked it: a link would publish a file of the user, a pipe would never end."""
    tree = workshop.unpack("a", {"lib/a": b"x"})
    own = tree / path
    if to == "links":
        secret = workshop.folder / "secret"
        own.rename(secret) if own.exists() else (secret / "deep").mkdir(parents=True)
        (secret / "deep" / "key").write_bytes(b"k") if path == "info/licenses" else None
        own.parent.mkdir(exist_ok=True)
        own.symlink_to(secret)
    elif path in ("info", "info/licenses"):
        return
    else:
        own.unlink(missing_ok=True)
        own.parent.mkdir(exist_ok=True)
        os.mkfifo(own)
    with pytest.raises(IntegrityError, match=rf"a 1\.0 h0: {path}"):
        workshop.place("a")
    assert not [p for p in workshop.folder.glob("licenses/**/*") if p.is_file()]


@pytest.mark.parametrize("consume", [True, False])
def test_files_are_placed(workshop: Workshop, consume: bool) -> None:
    library = b"\x7fELF\0" + PLACEHOLDER.encode() + b"/share\0"
    script = f"#!{PLACEHOLDER}/bin/sh\n".encode()
    holder = {"prefix_placeholder": PLACEHOLDER}
    tree = workshop.unpack(
        "a", {"lib/a.so": library, "bin/run": script, "data": b"x"}, links={"lib/b.so": "a.so"},
        entries=[
            entry("lib/a.so", library, file_mode="binary", **holder),
            entry("bin/run", script, file_mode="text", **holder),
            entry("data", b"x"),
            {"_path": "lib/b.so", "path_type": "softlink", "sha256": sha256_bytes(library)},
        ],
    )  # fmt: skip
    (tree / "bin/run").chmod(0o700)
    (tree / "data").chmod(0o600)
    placed = workshop.place("a", consume=consume)
    assert [file.path for file in placed.files] == ["bin/run", "data", "lib/a.so", "lib/b.so"]
    assert (workshop.prefix / "bin/run").read_text() == f"#!{PREFIX}/bin/sh\n"
    assert len((workshop.prefix / "lib/a.so").read_bytes()) == len(library)
    assert (workshop.prefix / "lib/b.so").readlink() == Path("a.so")
    assert (workshop.prefix / "bin/run").stat().st_mode & 0o777 == 0o755
    assert (workshop.prefix / "data").stat().st_mode & 0o777 == 0o644
    for file in placed.files:
        data = (workshop.prefix / file.path).read_bytes() if file.link is None else b"a.so"
        assert file.sha256 == sha256_bytes(data)
        assert file.size == (len(data) if file.link is None else 0)
    assert (tree / "data").exists() is not consume
    for path in tree.rglob("lib/*.so"):  # a cache is never edited
        assert consume or path.is_symlink() or path.read_bytes() == library
    assert consume or (tree / "bin/run").read_bytes() == script
    assert (workshop.prefix / "data").stat().st_nlink == 1


@pytest.mark.parametrize("holders", [("lib/a.so",), ("lib/a.so", "lib/b.so")])
def test_one_file_under_two_names_becomes_two(workshop: Workshop, holders: tuple[str, ...]) -> None:
    library = b"\x7fELF\0" + PLACEHOLDER.encode() + b"/share\0"
    names = ("lib/a.so", "lib/b.so")
    holder = {"prefix_placeholder": PLACEHOLDER, "file_mode": "binary"}
    entries = [entry(name, library, **(holder if name in holders else {})) for name in names]
    tree = workshop.unpack("a", {"lib/a.so": library}, entries=entries)
    (tree / "lib/b.so").hardlink_to(tree / "lib/a.so")
    placed = workshop.place("a")
    for file in placed.files:
        path = workshop.prefix / file.path
        assert (PLACEHOLDER.encode() in path.read_bytes()) == (file.path not in holders)
        assert file.sha256 == sha256_bytes(path.read_bytes())
        assert path.stat().st_nlink == 1
    assert not list(workshop.folder.glob(".placing"))


def test_an_empty_file_may_be_said_to_hold_the_placeholder(workshop: Workshop) -> None:
    more = {"prefix_placeholder": PLACEHOLDER, "file_mode": "binary"}
    workshop.unpack("a", {"x": b""}, entries=[entry("x", b"", **more)])
    assert workshop.place("a").files[0].size == 0


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "", "."])
def test_a_path_that_leaves_the_prefix_is_refused(workshop: Workshop, path: str) -> None:
    workshop.unpack("a", entries=[{"_path": path, "path_type": "hardlink"}])
    with pytest.raises(IntegrityError, match=r"a 1\.0 h0: path '.*' leaves the prefix"):
        workshop.place("a")


@pytest.mark.parametrize("target", ["../../x", "/etc/passwd", "../lib/../../x"])
def test_a_link_that_leaves_the_prefix_is_refused(workshop: Workshop, target: str) -> None:
    workshop.unpack("a", links={"lib/x": target})
    with pytest.raises(IntegrityError, match=r"a 1\.0 h0: the link lib/x -> .* leaves the prefix"):
        workshop.place("a")
    assert not (workshop.prefix / "lib/x").is_symlink()


@pytest.mark.parametrize("target", ["y", "../share/y", "..y", "../..y", "."])
def test_a_link_that_stays_inside_is_placed(workshop: Workshop, target: str) -> None:
    workshop.unpack("a", links={"lib/x": target})
    workshop.place("a")
    workshop.placing.manifest()
    assert (workshop.prefix / "lib/x").readlink() == Path(target)


def test_a_link_that_leaves_by_way_of_another_is_refused(workshop: Workshop) -> None:
    workshop.unpack("a", links={"here": "."})
    workshop.unpack("b", links={"out": "here/.."})
    workshop.place("a")
    with pytest.raises(IntegrityError, match=r"b 1\.0 h0: the link out -> here/\.\. leaves"):
        workshop.place("b")


def test_a_link_that_leaves_by_way_of_a_later_one_is_refused(workshop: Workshop) -> None:
    workshop.unpack("a", links={"out": "here/.."})
    workshop.unpack("b", links={"here": "."})
    workshop.unpack("c", {"out/evil": b"x"})
    workshop.place("a")
    workshop.place("b")
    with pytest.raises(IntegrityError, match=r"a 1\.0 h0: the link out"):
        workshop.placing.manifest()
    with pytest.raises(IntegrityError, match=r"c 1\.0 h0: out/evil leaves the prefix through a l"):
        workshop.place("c")
    assert not (workshop.folder / "evil").exists()


def test_a_file_behind_a_link_of_the_unpacked_package_is_not_read(workshop: Workshop) -> None:
    (workshop.folder / "secret").mkdir()
    (workshop.folder / "secret/key").write_bytes(b"k")
    tree = workshop.unpack("a", entries=[entry("way/key", b"k")])
    (tree / "way").symlink_to(workshop.folder / "secret")
    with pytest.raises(IntegrityError, match="way/key leaves the prefix through a link"):
        workshop.place("a")


def test_an_altered_file_is_named_with_both_digests(workshop: Workshop) -> None:
    workshop.unpack("a", {"lib/x": b"altered"}, entries=[entry("lib/x", b"as built")])
    with pytest.raises(IntegrityError) as caught:
        workshop.place("a")
    for text in ("a 1.0 h0: lib/x", sha256_bytes(b"altered"), sha256_bytes(b"as built")):
        assert text in str(caught.value)
    assert not (workshop.prefix / "lib/x").exists()


def test_a_file_that_is_not_there_is_named(workshop: Workshop) -> None:
    workshop.unpack("a", entries=[entry("lib/x", b"")])
    with pytest.raises(IntegrityError, match=r"a 1\.0 h0: lib/x cannot be read: No such file"):
        workshop.place("a")


def test_a_placeholder_that_is_too_short_is_refused_by_name(workshop: Workshop) -> None:
    data = b"/opt/x/lib\0"
    more = {"prefix_placeholder": "/opt/x", "file_mode": "binary"}
    workshop.unpack("a", {"x": data}, entries=[entry("x", data, **more)])
    with pytest.raises(IntegrityError, match=r"a 1\.0 h0: x: the prefix .* is longer"):
        workshop.place("a")


@pytest.mark.parametrize(
    ("first", "second", "platform"),
    [
        ({"files": {"x": b"1"}}, {"files": {"x": b"2"}}, Platform.LINUX_64),
        ({"files": {"x": b"1"}}, {"links": {"x": "y"}}, Platform.LINUX_64),
        ({"links": {"x": "y"}}, {"files": {"x": b"1"}}, Platform.LINUX_64),
        ({"links": {"x": "y"}}, {"links": {"x": "z"}}, Platform.LINUX_64),
        ({"files": {"x": b"1"}}, {"files": {"x/y": b"2"}}, Platform.LINUX_64),
        ({"files": {"x/y": b"1"}}, {"files": {"x": b"2"}}, Platform.LINUX_64),
        ({"files": {"x": b"1"}}, {"files": {"X": b"2"}}, Platform.WIN_64),
        ({"files": {"L/x": b"1"}}, {"files": {"l/X": b"2"}}, Platform.OSX_64),
        ({"files": {"x": b"1"}}, {"files": {"x": b"2", "X": b"2"}}, Platform.OSX_ARM64),
    ],
)
def test_of_two_packages_with_other_content_the_first_ones_stays(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], platform: Platform
) -> None:
    workshop = workshop_for(platform, tmp_path)
    workshop.unpack("a", **first)
    workshop.unpack("b", **second)
    (kept,) = workshop.place("a").files
    nested = "x/y" in str((first, second))
    before = [path for path in sorted(workshop.prefix.rglob("*")) if not path.is_dir()]
    assert workshop.place("b", consume=True).files == ()
    assert [path for path in sorted(workshop.prefix.rglob("*")) if not path.is_dir()] == before
    manifest = workshop.placing.manifest()
    (path,) = manifest.contested
    assert path == (next(iter(second["files"])) if nested else kept.path)
    assert manifest.contested[path] == ("another package" if nested else "a", "b")
    manifest.refuse_contested(["z"])
    with pytest.raises(IntegrityError, match=rf"{path} is brought by a.* and b"):
        manifest.refuse_contested(["z", path])


def test_what_differs_only_by_case_is_two_files_on_linux(workshop: Workshop) -> None:
    workshop.unpack("a", {"x": b"1", "X": b"2"})
    assert len(workshop.place("a").files) == 2
    assert not workshop.placing.manifest().contested


def test_what_two_packages_bring_alike_belongs_to_the_first(workshop: Workshop) -> None:
    content: dict[str, Any] = {"files": {"x": b"1"}, "links": {"y": "x"}}
    workshop.unpack("a", **content)
    workshop.unpack("b", **content)
    placed = (workshop.place("a"), workshop.place("b", consume=True))
    assert [len(item.files) for item in placed] == [2, 0]


def test_an_empty_folder_is_made_and_owned_by_nobody(workshop: Workshop) -> None:
    tree = workshop.unpack("a", entries=[{"_path": "var/empty", "path_type": "directory"}])
    (tree / "var/empty").mkdir(parents=True)
    assert workshop.place("a").files == ()
    assert (workshop.prefix / "var/empty").is_dir()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "info/paths.json cannot be read"),
        ("{", "info/paths.json is damaged"),
        ('{"files": []}', "info/paths.json is damaged"),
        ('{"paths": [{"sha256": "0"}]}', "info/paths.json is damaged"),
        ('{"paths": 3}', "info/paths.json is damaged"),
    ],
)
def test_a_bad_manifest_is_refused(workshop: Workshop, text: str | None, expected: str) -> None:
    path = workshop.unpack("a") / "info" / "paths.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(IntegrityError, match=rf"a 1\.0 h0.*{expected}"):
        workshop.place("a")


def test_the_manifest_is_read_as_it_was_written(workshop: Workshop) -> None:
    workshop.unpack("libgdal-core", {"lib/x": b"1"}, links={"lib/y": "x"})
    manifest = NativeManifest(
        platform=Platform.LINUX_64, prefix_string=PREFIX, packages=(workshop.place("libgdal-core"),)
    )
    manifest.write(workshop.folder)
    again = read_native_manifest(workshop.folder)
    assert again == manifest
    assert {path: owner.name for path, owner in again.owners.items()} == {
        "lib/x": "libgdal-core",
        "lib/y": "libgdal-core",
    }
    assert again.gdal_version == "1.0"

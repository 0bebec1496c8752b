"""Where a version comes from, and that an edit of it changes nothing else."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from geowheel.errors import ConfigError
from geowheel.host.config import Follows, Release
from geowheel.release import versions
from geowheel.release.versions import (
    Origin,
    VersionSource,
    version_of,
    version_source,
    versions_of_tags,
    with_version,
)

from .hosts import make_project

OWN = Release()
GDAL = Release(version=Follows.GDAL)
HATCH = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
SETUPTOOLS = (
    '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
)
DYNAMIC = '[project]\nname = "a"\ndynamic = ["version"]\n'
FOLLOWS = '[tool.hatch.version]\nsource = "env"\nvariable = "GEOWHEEL_HOST_VERSION"\n'


def source(folder: Path, text: str, release: Release = OWN, **files: str) -> VersionSource:
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_bytes(text.encode())
    for name, content in files.items():
        (folder / f"{name}.py").write_bytes(content.encode())
    return version_source(folder / "pyproject.toml", release)


@pytest.mark.parametrize(
    ("text", "release", "origin", "version"),
    [
        ('[project]\nname = "a"\nversion = "1.2"\n', OWN, Origin.TABLE, "1.2"),
        (HATCH + DYNAMIC + '[tool.hatch.version]\npath = "a.py"\n', OWN, Origin.FILE, "3.4.5"),
        (HATCH + DYNAMIC + "[tool.hatch.version]\npath = 'a.py'\npattern = 'b = (?P<version>.*)'\n",
         OWN, Origin.FILE, "7"),
        (HATCH + DYNAMIC + '[tool.hatch.version]\nsource = "vcs"\n', OWN, Origin.GIT, None),
        (SETUPTOOLS.replace("[\"", '["setuptools_scm", "') + DYNAMIC, OWN, Origin.GIT, None),
        (SETUPTOOLS + DYNAMIC + '[tool.setuptools.dynamic]\nversion = {file = "c.py"}\n', OWN,
         Origin.FILE, "0.1"),
        (HATCH + DYNAMIC + FOLLOWS, GDAL, Origin.GDAL, None),
        (HATCH + DYNAMIC + FOLLOWS.replace("HOST", "GDAL"), OWN, Origin.GDAL, None),
        (SETUPTOOLS + DYNAMIC, GDAL, Origin.GDAL, None),
    ],
)  # fmt: skip
def test_every_source_is_found(
    tmp_path: Path, text: str, release: Release, origin: Origin, version: str | None
) -> None:
    files = {"a": '"""A."""\n__version__ = "3.4.5"\nb = 7\n', "c": "0.1\n"}
    found = source(tmp_path, text, release, **files)
    assert (found.origin, found.version) == (origin, version)


@pytest.mark.parametrize(
    ("text", "release", "words"),
    [
        (HATCH + DYNAMIC, OWN, "does not know where"),
        (SETUPTOOLS + DYNAMIC, OWN, "does not know where"),
        (HATCH + DYNAMIC + '[tool.hatch.version]\nsource = "env"\nvariable = "X"\n', OWN,
         "does not know where"),
        (HATCH + DYNAMIC + '[tool.hatch.version]\npath = "none.py"\n', OWN, "no such file"),
        (HATCH + DYNAMIC + '[tool.hatch.version]\npath = "a.py"\n', OWN, "no version in it"),
        (HATCH + DYNAMIC + '[tool.hatch.version]\npath = "a.py"\npattern = "("\n', OWN,
         "no version in it"),
        ('[project]\nname = "a"\nversion = "one"\n', OWN, "is no version"),
        ('[project]\nname = "a"\nversion = "1.2"\n', GDAL, "two sources"),
        (HATCH + DYNAMIC + FOLLOWS, OWN, "is only set with"),
        (HATCH + DYNAMIC + FOLLOWS.replace("HOST", "GDAL"), replace(GDAL, post=1),
         "no post number"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_said(
    tmp_path: Path, text: str, release: Release, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        source(tmp_path, text, release, a="nothing\n")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('version = "0"\n[project]\nname = "a"\nversion = "1.2"  # why\n[b]\nversion = "1.2"\n',
         'version = "0"\n[project]\nname = "a"\nversion = "2.0"  # why\n[b]\nversion = "1.2"\n'),
        ("[project]\r\nname = 'a'\r\nversion='1.2'\r\n",
         "[project]\r\nname = 'a'\r\nversion='2.0'\r\n"),
        ('project = { name = "a", version = "1.2" }\n',
         'project = { name = "a", version = "2.0" }\n'),
        ('project.name = "a"\nproject."version" = "1.2"',
         'project.name = "a"\nproject."version" = "2.0"'),
        ('x = """\nversion = "1.2"\n"""\n[project]\nversion = "1.2"\n',
         'x = """\nversion = "1.2"\n"""\n[project]\nversion = "2.0"\n'),
    ],
)  # fmt: skip
def test_the_table_changes_in_one_place(tmp_path: Path, before: str, after: str) -> None:
    change = with_version(source(tmp_path, before), Version("2.0"), tmp_path)
    assert change is not None
    assert (change.path, change.before, change.after) == ("pyproject.toml", before, after)


def test_a_version_in_an_odd_spelling_is_left_to_a_person(tmp_path: Path) -> None:
    found = source(tmp_path, '[project]\nversion = """1.2"""\n')
    with pytest.raises(ConfigError, match="no place that can be edited") as caught:
        with_version(found, Version("2.0"), tmp_path)
    assert 'version = "2.0" in [project] by hand' in str(caught.value)


def test_a_files_version_changes_and_its_line_ends_stay(tmp_path: Path) -> None:
    text = HATCH + DYNAMIC + '[tool.hatch.version]\npath = "a.py"\n'
    found = source(tmp_path, text, a='import b\r\n__version__ = "v1.2"\r\nOTHER = "1.2"\r\n')
    change = with_version(found, Version("2.0"), tmp_path)
    assert change is not None
    assert change.after == 'import b\r\n__version__ = "v2.0"\r\nOTHER = "1.2"\r\n'
    assert with_version(found, Version("1.2"), tmp_path) is None


@pytest.mark.parametrize(
    ("table", "post", "after"),
    [
        ('[tool.geowheel.release]\nversion = "gdal"\n', 0,
         '[tool.geowheel.release]\nversion = "gdal"\npost = 2\n'),
        ('[tool.geowheel.release]\npost = 1\nversion = "gdal"\n', 1,
         '[tool.geowheel.release]\npost = 2\nversion = "gdal"\n'),
        ('[tool.geowheel]\nrelease = { version = "gdal" }\n', 0,
         '[tool.geowheel]\nrelease = { version = "gdal", post = 2 }\n'),
    ],
)  # fmt: skip
def test_the_post_number_has_its_place(tmp_path: Path, table: str, post: int, after: str) -> None:
    text = HATCH + DYNAMIC + FOLLOWS + table
    found = source(tmp_path, text, replace(GDAL, post=post))
    change = with_version(found, Version("3.12.1.post2"), tmp_path)
    assert change is not None and change.after == HATCH + DYNAMIC + FOLLOWS + after


def test_tags_are_read_as_setuptools_scm_reads_them() -> None:
    tags = ["v1.2.0", "terrain-1.10", "nightly", "1.3.0rc1+dirty"]
    assert versions_of_tags(tags) == [Version("1.2.0"), Version("1.10"), Version("1.3.0rc1")]


def test_what_the_wheels_will_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follows = DYNAMIC_HOST + '[tool.geowheel.release]\nversion = "gdal"\npost = 1\n'
    assert version_of(make_project(tmp_path / "a", more=follows), "3.12.1") == "3.12.1.post1"
    tagged = make_project(tmp_path / "b", more='[tool.hatch.version]\nsource = "vcs"\n')
    with pytest.raises(ConfigError, match="HEAD has no tag"):
        version_of(tagged, "3.12.1")
    monkeypatch.setattr(versions, "git_tags", lambda *_, **__: ["v1.9", "v1.10", "last"])
    assert version_of(tagged, "3.12.1") == "1.10"
    (tmp_path / "b" / "a.py").write_text("VERSION = 'v1.0-RC1'\n")
    named = make_project(tmp_path / "b", more='[tool.hatch.version]\npath = "a.py"\n')
    assert version_of(named, "3.12.1") == "1.0rc1"


DYNAMIC_HOST = '[tool.hatch.version]\nsource = "env"\nvariable = "GEOWHEEL_HOST_VERSION"\n'
KEYS = st.sampled_from(
    [
        'name = "a"',
        '# version = "1.2"',
        'description = "version = 1.2"',
        "keywords = ['version']",
        "",
    ]
)
OTHERS = st.sampled_from(['[tool.x]\nversion = "1.2"', "[[tool.y]]\nversion = '1.2'", "# end", ""])


@given(st.lists(KEYS, unique=True), st.lists(OTHERS, unique=True), st.sampled_from(["\n", "\r\n"]))
def test_whatever_is_around_it_only_the_version_changes(
    keys: list[str], others: list[str], end: str
) -> None:
    text = "\n".join(["[project]", *keys, 'version = "1.2"', *others, ""]).replace("\n", end)
    path = Path("pyproject.toml")
    found = VersionSource(
        origin=Origin.TABLE, pyproject=path, path=path, text=text, version="1.2", release=OWN
    )
    change = with_version(found, Version("1.3"), Path())
    assert change is not None
    before, after = tomllib.loads(text), tomllib.loads(change.after)
    assert after.pop("project") == {**before.pop("project"), "version": "1.3"}
    assert after == before
    assert sum(a != b for a, b in zip(text, change.after, strict=True)) == 1

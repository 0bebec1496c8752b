"""entry_points.txt: the host's own and GDAL's commands in one file."""

import configparser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geowheel.errors import BuildError
from geowheel.project.entry_points import add_entry_points, console_scripts, merged

OURS = {"ogr2ogr": "p:ogr2ogr", "gdalinfo": "p:gdalinfo"}
NAME = st.from_regex(r"[A-Za-z0-9_][\w.-]{0,8}", fullmatch=True).filter(str.isascii)
REFERENCE = st.from_regex(r"[a-z_]{1,8}(\.[a-z_]{1,8})?:[a-z_]{1,8}", fullmatch=True)
COMMANDS = st.dictionaries(NAME, REFERENCE, max_size=5)


def test_what_the_host_has_stays() -> None:
    text = (
        "# made by hand\n[terrain.readers]\ntif = terrain:read [numpy]\n\n"
        "[console_scripts]\nTerrain=terrain.cli:main\n"
    )
    made = merged(text, OURS)
    assert merged(made, OURS) == made, "the same command twice is no clash"
    assert made == (
        "[console_scripts]\nTerrain = terrain.cli:main\ngdalinfo = p:gdalinfo\n"
        "ogr2ogr = p:ogr2ogr\n\n[terrain.readers]\ntif = terrain:read [numpy]\n"
    )
    assert console_scripts("[console_scripts]\nA%s.py = m:f\na%s.py = m:g\n") == {
        "A%s.py": "m:f", "a%s.py": "m:g",
    }  # fmt: skip


@pytest.mark.parametrize("group", ["console_scripts", "gui_scripts"])
def test_a_clash_names_both(group: str) -> None:
    with pytest.raises(BuildError, match="the host's command gdalinfo = mine:main") as caught:
        merged(f"[{group}]\ngdalinfo = mine:main\n", OURS, "host-1.0.dist-info/entry_points.txt")
    text = str(caught.value)
    assert "GDAL's gdalinfo = p:gdalinfo" in text
    assert "host-1.0.dist-info/entry_points.txt" in text and "programs" in text


@pytest.mark.parametrize("text", ["gdalinfo = a:b\n", "[a]\nx = 1\nx = 2\n", "[a]\n[a]\n"])
def test_a_damaged_file_is_named(text: str) -> None:
    with pytest.raises(BuildError, match=r"not an entry_points\.txt"):
        merged(text, OURS)


@pytest.mark.parametrize(
    ("text", "kept"), [("", "a:b"), ("[pyinstaller40]\nhook-dirs = c:d\n", "c:d")]
)
def test_a_hook_of_the_host_stays(tmp_path: Path, text: str, kept: str) -> None:
    (tmp_path / "entry_points.txt").write_text(text)
    add_entry_points(tmp_path, {}, "a:b", {})
    made = (tmp_path / "entry_points.txt").read_text()
    assert made == f"[pyinstaller40]\nhook-dirs = {kept}\n"


@given(COMMANDS, COMMANDS)
def test_configparser_reads_both(theirs: dict[str, str], ours: dict[str, str]) -> None:
    theirs = {name: reference for name, reference in theirs.items() if name not in ours}
    text = merged(merged("", theirs), ours)
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    assert console_scripts(text) == theirs | ours
    assert dict(parser["console_scripts"]) == theirs | ours if theirs | ours else text == ""

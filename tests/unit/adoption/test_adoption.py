"""`geowheel init` on folders: what it finds, shows, asks and writes."""

import io
import json
import sys
from pathlib import Path

import pytest

from geowheel.adoption import facts as facts_module
from geowheel.adoption import shown
from geowheel.adoption.facts import read_facts
from geowheel.cli import main
from geowheel.errors import ConfigError, UsageError
from geowheel.project.edits import Change, write
from geowheel.project.places import Layout
from geowheel.project.pyproject import read_host

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "my-host"
version = "1.0"
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A project that does not know geowheel."""
    folder = tmp_path / "host"
    (folder / "src" / "my_host").mkdir(parents=True)
    (folder / "src" / "my_host" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def init(folder: Path, *arguments: str) -> int:
    return main(["init", "--root", str(folder), *arguments])


class Terminal:
    """A person at the keyboard."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer


def test_yes_writes_and_again_changes_nothing(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(host, "--yes") == 0
    read = read_host(host)
    assert (read.name, read.config.layout) == ("my-host", Layout.PRIVATE)
    before = everything(host)
    assert sorted(before) == [
        "noxfile.py", "pixi.toml", "pyproject.toml", "src/my_host/__init__.py",
    ]  # fmt: skip
    assert init(host, "--yes") == 0
    assert everything(host) == before
    captured = capsys.readouterr()
    assert "nothing has to be written\n" in captured.out
    assert captured.err == ""


def test_without_a_terminal_it_shows_writes_nothing_and_ends_with_2(
    host: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    before = everything(host)
    assert init(host) == UsageError.exit_code == 2
    assert everything(host) == before
    captured = capsys.readouterr()
    assert f"new file {host / 'noxfile.py'}\n" in captured.out
    assert "+[tool.geowheel]\n" in captured.out
    assert captured.err == (
        "\nerror: nothing was written: there is no terminal to ask on\n"
        "  next: add --yes to write this; --show only looks\n"
    )


@pytest.mark.parametrize(("answer", "writes"), [("y\n", True), ("Yes\n", True), ("\n", False),
                                                ("n\n", False), ("", False)])  # fmt: skip
def test_a_terminal_is_asked_once(
    host: Path,
    answer: str,
    writes: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert init(host) == 0
    assert (host / "noxfile.py").exists() is writes
    captured = capsys.readouterr()
    assert captured.err == "Write these? [y/N] "
    assert ("nothing was written\n" in captured.out) is not writes


def test_show_only_looks(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(host)
    assert init(host, "--show", "--json") == 0
    assert everything(host) == before
    summary = json.loads(capsys.readouterr().out)
    assert summary["planned"] == ["pyproject.toml", "pixi.toml", "noxfile.py"]
    assert summary["written"] == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"[project", "not valid TOML"), (b"\xff\xfe", "not UTF-8"), (b"tool = 3", "must be a table"),
     (b"project = []", "must be a table")],
)  # fmt: skip
def test_an_unreadable_pyproject_is_left_alone(
    host: Path, content: bytes, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (host / "pyproject.toml").write_bytes(content)
    before = everything(host)
    assert init(host, "--yes") == ConfigError.exit_code
    assert everything(host) == before
    text = capsys.readouterr().err
    assert expected in text and str(host / "pyproject.toml") in text


def test_a_noxfile_stays_with_what_to_add(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (host / "noxfile.py").write_bytes(b"# \xff\r\nimport nox\r\n")
    assert init(host, "--yes") == 0
    assert (host / "noxfile.py").read_bytes() == b"# \xff\r\nimport nox\r\n"
    captured = capsys.readouterr()
    assert 'sessions(prefix="geowheel-")' in captured.out
    assert captured.err == ""


def facts(folder: Path) -> facts_module.ProjectFacts:
    return read_facts(folder, version="0.1.0", running="3.12")


def test_packages_are_found_and_what_git_ignores(host: Path) -> None:
    for place in ("src/company/maps", "python/rusty", "beside", "src/no-name", "src/my_host/inner",
                  "lib/low"):  # fmt: skip
        (host / place).mkdir(parents=True)
        (host / place / "__init__.py").touch()
    (host / "lib/low/fast.pyx").write_text("import sys\nfrom osgeo import gdal\n")
    assert facts(host).imports_osgeo == "lib/low/fast.pyx"
    found = facts(host).packages
    assert found == {
        "src": ("company.maps", "my_host"), "": ("beside",), "python": ("rusty",), "lib": ("low",),
    }  # fmt: skip
    (host.parent / ".git").mkdir()
    (host.parent / ".gitignore").write_text("/dist/\n.nox/\n")
    (host / ".gitignore").write_text("/.geowheel/\n")
    in_git = facts(host)
    assert in_git.in_git
    assert in_git.ignored == {".nox", ".geowheel"}


PIXI = """\
[workspace]
name = "w"
channels = ["conda-forge"]
platforms = ["linux-64"]
[dependencies]
python = "*"
[feature.gis.dependencies]
libgdal-core = "*"
libgdal-netcdf = "*"
[feature.gis.pypi-dependencies]
requests = "*"
[environments]
default = ["gis"]
gis = ["gis"]
all = { features = ["gis"], solve-group = "x" }
bare = { features = [], no-default-feature = true }
"""


HEADERS = "libstdcxx-devel_linux-64"


def test_pixi_environments_are_read_and_not_touched(host: Path) -> None:
    (host.parent / "pixi.toml").write_text(PIXI)
    found = facts(host).pixi
    assert found is not None and found.path == host.parent / "pixi.toml"
    assert [(e.name, e.feature, e.missing) for e in found.environments] == [
        ("default", None, ("ca-certificates", HEADERS)),
        ("gis", "gis", ("ca-certificates", HEADERS)),
        ("all", "gis", ("ca-certificates", HEADERS)),
        ("bare", None, ("libgdal-core", "ca-certificates", HEADERS)),
    ]
    assert [e.plugins for e in found.environments] == [
        ("libgdal-netcdf",), ("libgdal-netcdf",), ("libgdal-netcdf",), (),
    ]  # fmt: skip
    assert init(host, "--yes", "--environment", "gis") == 0
    assert (host.parent / "pixi.toml").read_text() == PIXI
    assert not (host / "pixi.toml").exists()
    assert read_host(host).config.environment == "gis"


def test_what_an_environment_has_is_seen_in_the_lock(host: Path, conda_forge_lock: Path) -> None:
    text = PIXI.partition("[feature")[0] + 'gdal = "*"\n'
    (host / "pixi.toml").write_text(text)
    (host / "pixi.lock").write_bytes(conda_forge_lock.read_bytes())
    found = facts(host).pixi
    assert found is not None
    assert [(e.name, e.missing) for e in found.environments] == [("default", (HEADERS,))]
    (host / "pixi.lock").write_text("nonsense")
    found = facts(host).pixi
    assert found is not None and found.environments[0].missing, "a broken lock is not init's affair"


NEW = Change(path="a/b/new.txt", before=None, after="new\n")
EDIT = Change(path="old.txt", before="old", after="old\nmore\n")


def test_an_edit_is_shown_as_a_diff_and_a_new_file_whole() -> None:
    folder = Path("/srv")
    assert list(shown(NEW, folder)) == ["", "new file /srv/a/b/new.txt", "  new"]
    text = "\n".join(shown(EDIT, folder))
    assert "appended to /srv/old.txt" in text
    assert "\n   old\n  +more" in text


def test_modes_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "real.txt").chmod(0o640)
    (tmp_path / "old.txt").symlink_to("real.txt")
    write([EDIT], tmp_path, command="geowheel init")
    assert (tmp_path / "old.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == EDIT.after
    assert (tmp_path / "real.txt").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_all_or_nothing(tmp_path: Path, fails_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old.txt").write_text("old")
    before = everything(tmp_path)
    placed: list[Path] = []
    replace = Path.replace

    def failing(self: Path, target: Path) -> Path:
        if self.suffix == ".new":
            if len(placed) == fails_at:
                raise OSError(28, "No space left on device")
            placed.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="No space left"):
        write(
            [EDIT, NEW, Change(path="c.txt", before=None, after="")],
            tmp_path,
            command="geowheel init",
        )
    assert everything(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]


@pytest.mark.parametrize("change", [EDIT, Change(path="old.txt", before=None, after="x")])
def test_a_file_that_changed_meanwhile_is_not_written_over(tmp_path: Path, change: Change) -> None:
    (tmp_path / "old.txt").write_text("edited")
    with pytest.raises(UsageError, match="changed while"):
        write([NEW, change], tmp_path, command="geowheel init")
    assert everything(tmp_path) == {"old.txt": b"edited"}

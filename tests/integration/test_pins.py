"""`pins --update` against a real git repository: what it resolves, and what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from geowheel.release.pins import parse_pins
from tests.unit.hosts import write_host

from .fixture_channel import SOURCES

PINS = """\
[tools.python]
version = "3.12"
source = "a"

[actions."a/plain"]
version = "v1.0.0"
source = "somebody said so"
"""


@dataclass(frozen=True, kw_only=True)
class Home:
    """A project, and a git server of files whose repositories stand in for GitHub's."""

    root: Path
    served: Path
    home: Path

    @property
    def pins(self) -> Path:
        return self.root / "ci" / "pins.toml"

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"]
        return subprocess.run(
            ["git", "-C", self.served / "a" / "plain", *identity, *arguments],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip

    def release(self, tag: str, *, annotated: bool = False) -> str:
        """A commit with a tag; the commit."""
        self.git("commit", "-q", "--allow-empty", "-m", tag)
        self.git("tag", *(["-a", "-m", tag] if annotated else []), tag)
        return self.git("rev-parse", "HEAD")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": str(SOURCES),
                   "COLUMNS": "200"}  # fmt: skip
        return subprocess.run(
            [sys.executable, "-m", "geowheel", *arguments, "--root", self.root],
            env=environ, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(root=tmp_path / "root", served=tmp_path / "served", home=tmp_path / "home")
    write_host(made.root, pythons=["3.12"])
    made.pins.parent.mkdir()
    made.pins.write_text(PINS, encoding="utf-8")
    (made.served / "a" / "plain").mkdir(parents=True)
    made.git("init", "-q")
    made.home.mkdir()
    # As a user behind a mirror has it: https://git-scm.com/docs/git-config, url.<base>.insteadOf.
    config = f'[url "file://{made.served}/"]\n\tinsteadOf = https://github.com/\n'
    (made.home / ".gitconfig").write_text(config, encoding="utf-8")
    return made


def test_a_version_becomes_its_commit(home: Home) -> None:
    first, _ = home.release("v1.0.0"), home.release("v2.0.0")
    assert "only by the name of a version" in " ".join(home.run("pins").stderr.split())
    done = home.run("pins", "--update")
    assert done.returncode == 0, done.stderr
    pin = parse_pins(home.pins.read_text("utf-8"), home.pins).actions["a/plain"]
    assert (pin.version, pin.commit) == ("v1.0.0", first)
    assert pin.source == "refs/tags/v1.0.0 of https://github.com/a/plain, by git ls-remote"
    before = home.pins.read_bytes()
    assert "nothing changed" in home.run("pins", "--update").stderr
    assert home.pins.read_bytes() == before
    assert "only by the name" not in home.run("pins").stderr


def test_the_newest_release_when_it_is_asked_for(home: Home) -> None:
    for tag in ("v1.0.0", "v1", "v9.0.0-beta.1", "latest", "v10.0.0"):
        home.release(tag)
    newest = home.release("v10.1.0", annotated=True)
    home.release("v2.0.1")
    done = home.run("pins", "--upgrade")
    assert done.returncode == 0, done.stderr
    pin = parse_pins(home.pins.read_text("utf-8"), home.pins).actions["a/plain"]
    assert (pin.version, pin.commit) == ("v10.1.0", newest)


def test_a_tag_that_was_moved_is_refused(home: Home) -> None:
    home.release("v1.0.0")
    assert home.run("pins", "--update").returncode == 0
    before = home.pins.read_bytes()
    home.git("commit", "-q", "--allow-empty", "-m", "other")
    home.git("tag", "-f", "v1.0.0")
    done = home.run("pins", "--update")
    assert done.returncode == 6
    assert re.search(r"a/plain v1\.0\.0 is commit \w{40}, and the pin says \w{40}", done.stderr)
    assert "somebody moved the tag" in done.stderr
    assert home.pins.read_bytes() == before


def test_a_version_that_is_not_there_is_refused(home: Home) -> None:
    home.release("v3.0.0")
    done = home.run("pins", "--update")
    assert done.returncode == 6 and "a/plain has no tag v1.0.0" in done.stderr


def test_without_a_route_the_pins_stay(home: Home) -> None:
    (home.home / ".gitconfig").write_text(
        f'[url "file://{home.served}/nowhere/"]\n\tinsteadOf = https://github.com/\n', "utf-8"
    )
    before = home.pins.read_bytes()
    done = home.run("pins", "--update")
    assert done.returncode == 5 and "git cannot read its tags" in done.stderr
    assert "the pins stay as they are" in done.stderr
    assert home.pins.read_bytes() == before

"""docs/adopt.md, word by word, as an ordinary user of a bare Debian: each command is run, in order.

A new command of the page is run as well, unless NOT_RUN says why it cannot be. The shell is one: a
folder or a variable that a command of the page sets is there for the next.
"""

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.adopters import COMPILING
from tests.support.debian_root import PERSON, DebianRoot
from tests.support.files import write_files
from tests.support.project_copy import REPOSITORY, copy_repository

PAGE = (REPOSITORY / "docs" / "adopt.md").read_text(encoding="utf-8")
HOME = Path(f"/home/{PERSON}")
# Where the person is when a section begins that is not about the folder of the one before.
FOLDERS = {
    "In an existing project": HOME / "existing",
    "From a script around auditwheel": HOME / "new",
    "Take it away": HOME / "new",
}
_CIBUILDWHEEL = "cibuildwheel runs it, which needs a container engine"
_LEFT = "of the script that geowheel replaces"
NOT_RUN = {
    "pipx install geowheel && geowheel fetch": _CIBUILDWHEEL,
    "$(sh -c 'geowheel env GDAL_CONFIG || true')": _CIBUILDWHEEL,
    "geowheel repair-wheel {wheel} {dest_dir}": _CIBUILDWHEEL,
    "geowheel repair-wheel RAW dist/": "RAW stands for a wheel: test_own_extensions.py has one",
    "pip wheel .": _LEFT,
    "auditwheel repair": _LEFT,
    "pip install": "a word of a sentence about the users of the wheel",
    "pixi add": "`init` says the whole command: test_adoption.py",
}
# conda-forge, which a test must not depend on: they work, or say what the page says then.
NEED_CONDA_FORGE = ("nox -s lock", "nox -s wheel")
WITHOUT_CONDA_FORGE = "nox -s wheel -- --channel distro"

_TOKEN = re.compile(
    r"^#+ (?P<title>[^\n]+)$|^```(?P<kind>\w+)\n(?P<block>.*?)^```$|`(?P<span>[^`]+)`",
    re.MULTILINE | re.DOTALL,
)
_PROGRAM = re.compile(
    r"(?:export |\w+=\S*\$\(|\$\(sh -c ')?"
    r"(?:nox|geowheel|pipx?|pixi|uv|python3|apt-get|auditwheel|cibuildwheel|git|\w+=\S+)(?: |$)"
)


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of the page, and the title that it stands below."""

    section: str
    text: str


def commands() -> Iterator[Command]:
    """Each line of a shell's block; what TOML calls; and once what else stands in a sentence."""
    tokens = list(_TOKEN.finditer(PAGE))
    section, seen = "", {line for token in tokens for line in _lines(token)}
    for token in tokens:
        section = token["title"] or section
        lines = _lines(token)
        span = " ".join((token["span"] or "").split())
        if _is_command(span) and span not in seen:
            seen.add(span)
            lines = [span]
        yield from (Command(section=section, text=line) for line in lines)


def _lines(token: re.Match[str]) -> list[str]:
    if token["kind"] == "toml":
        return list(_texts(tomllib.loads(token["block"])))
    return token["block"].splitlines() if token["kind"] == "sh" else []


def _is_command(span: str) -> bool:
    return " " in span and _PROGRAM.match(span) is not None


def _texts(table: Any) -> Iterator[str]:
    if isinstance(table, dict):
        for value in table.values():
            yield from _texts(value)
    else:
        yield str(table)


TO_RUN = [command for command in commands() if command.text not in NOT_RUN]
LAST = "Take it away"

# A command in the shell as the one before left it.
_SHELL = """\
if [ -f ~/.shell ]; then . ~/.shell; fi
{ %s
}
status=$?
{ declare -px; printf 'cd %%q\\n' "$PWD"; } > ~/.shell
exit $status"""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Somebody who does what the page says, and notes what came of it."""

    root: DebianRoot
    done: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)
    sections: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    """The command that failed: what comes after it means nothing."""

    def does(self, command: Command) -> subprocess.CompletedProcess[str]:
        text = command.text
        if command.section not in self.sections and command.section in FOLDERS:
            self.types(f"cd {FOLDERS[command.section]}")
        self.sections.append(command.section)
        user = PERSON
        if text.startswith("apt-get "):  # as root, as the page has it; and it asks
            user, text = "root", f"yes | {text}"
        elif text.startswith("geowheel init"):  # which asks on a terminal only
            text = f"echo y | script -qec {shlex.quote(text)} /dev/null"
        self.done[command.text] = self.types(text, user=user)
        return self.done[command.text]

    def types(self, line: str, user: str = PERSON) -> subprocess.CompletedProcess[str]:
        return self.root.run(_SHELL % line, user=user, env={"COLUMNS": "200"})

    def file(self, path: Path) -> Path:
        return Path(f"{self.root.path}{path}")


OWN_NOXFILE = """\
# /// script
# dependencies = ["nox", "geowheel"]
# ///
import nox

@nox.session(python=False)
def build(session):
    session.log("own build")
"""


@pytest.fixture(scope="module")
def reader(debian_root: DebianRoot, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """An ordinary user with an unpacked archive of this repository and an existing project."""
    folder = tmp_path_factory.mktemp("read")
    copy_repository(folder / "geowheel")
    shutil.rmtree(folder / "geowheel" / ".git")
    files = COMPILING["scikit-build-core"] | {"noxfile.py": OWN_NOXFILE}
    write_files(folder / "existing", files)
    for name in ("geowheel", "existing"):
        debian_root.copy_in(folder / name, str(HOME / name))
    return Reader(root=debian_root)


def test_what_is_not_run_is_on_the_page() -> None:
    texts = {command.text for command in commands()}
    assert texts >= NOT_RUN.keys()
    assert {*NEED_CONDA_FORGE, WITHOUT_CONDA_FORGE} <= texts


def test_the_machine_is_bare(reader: Reader) -> None:
    lacking = "for p in gcc git pip pip3 pipx uv nox; do command -v $p; done; python3 -m ensurepip"
    done = reader.types(lacking)
    assert done.stdout == "" and "No module named ensurepip" in done.stderr, done.stdout


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("command", [
    pytest.param(command, id=command.text.replace("/", ":"))
    for command in TO_RUN if command.section != LAST
])  # fmt: skip
def test_a_command_of_the_page(reader: Reader, command: Command) -> None:
    assert not reader.stuck, f"not reached: {reader.stuck[0]}"
    reader.stuck.append(command.text)
    done = reader.does(command)
    written = done.stdout + done.stderr
    if command.text in NEED_CONDA_FORGE and done.returncode != 0:
        assert "cannot read conda-forge" in written and f"`{WITHOUT_CONDA_FORGE}`" in written
    else:
        assert done.returncode == 0, written
    reader.stuck.clear()


def test_a_new_package_ends_as_a_tested_wheel(reader: Reader) -> None:
    done = reader.done[WITHOUT_CONDA_FORGE]
    (wheel,) = reader.file(HOME / "new" / "dist").glob("my_package-0.1.0-*.whl")
    assert f"dist/{wheel.name}" in done.stdout
    assert "host's tests passed" in done.stdout + done.stderr
    (said,) = (done for text, done in reader.done.items() if text.startswith("geowheel init --n"))
    _, _, following = said.stdout.partition("next:")
    told = [
        " ".join(line.split("  ")[1].split()) for line in following.splitlines() if line.strip()
    ]
    page = [c.text for c in TO_RUN if c.section.startswith("From an empty folder")]
    assert told == [text for text in page if text.startswith("nox ")]


def test_the_nox_of_venv_and_of_pipx_say_nothing_of_pip(reader: Reader) -> None:
    for nox in ("~/geowheel-env/bin/nox", "~/.local/bin/nox"):
        done = reader.types(f"cd ~/new && {nox} -s plan")
        assert done.returncode == 0, done.stderr
        assert "bindings" in done.stdout and "Requirement" not in done.stdout + done.stderr
    assert not reader.file(HOME / "new" / ".nox").exists()


def test_a_noxfile_of_ones_own_gets_what_the_page_shows(reader: Reader) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    told = reader.done["geowheel init"].stdout
    assert all(line in told for line in block.splitlines())
    noxfile = reader.file(HOME / "existing" / "noxfile.py")
    assert noxfile.read_text() == OWN_NOXFILE
    noxfile.write_text(OWN_NOXFILE + block)
    listed = reader.types("cd ~/existing && nox -l").stdout
    assert "- geowheel-wheel ->" in listed and "* build" in listed


def test_what_geowheel_made_for_itself_can_be_taken_away(reader: Reader) -> None:
    (command,) = (command for command in TO_RUN if command.section == LAST)
    made = [".cache/geowheel", "geowheel-env", "new/.geowheel"]
    assert all(reader.file(HOME / name).is_dir() for name in made)
    assert reader.does(command).returncode == 0
    assert not any(reader.file(HOME / name).exists() for name in made)

"""The bash completions in a real bash: what Tab offers."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project_copy import REPOSITORY

# What readline does on Tab: words and cursor in COMP_*, answers in COMPREPLY.
PRESS_TAB = """
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*"
function=$(complete -p geowheel | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
"$function" geowheel "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "geowheel.bash"
    made = subprocess.run(
        [sys.executable, "-m", "geowheel", "completion", "bash"],
        env={"PYTHONPATH": str(REPOSITORY / "src")}, capture_output=True, check=True,
    )  # fmt: skip
    path.write_bytes(made.stdout)
    return path


def tab(script: Path, *words: str) -> list[str]:
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "--norc", "-c", PRESS_TAB, "bash", script, *words],
        cwd=script.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def test_commands_options_choices_and_folders(script: Path) -> None:
    assert tab(script, "geowheel", "wh") == ["wheel"]
    assert sorted(tab(script, "geowheel", "c")) == [
        "cache", "channel", "clean", "collect", "completion", "coverage",
    ]  # fmt: skip
    assert "--python" in tab(script, "geowheel", "wheel", "--p")
    assert tab(script, "geowheel", "completion", "b") == ["bash"]
    (script.parent / "hosts").mkdir()
    (script.parent / "host.txt").touch()
    assert tab(script, "geowheel", "wheel", "--host", "ho") == ["hosts"]

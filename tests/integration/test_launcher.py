"""ci/nox.py, ci/invoke.py and the making of the tool environment, as a person meets them."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / "ci"
PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
TOO_OLD = sorted(path for n in range(6, 11) for path in PYENV.glob(f"3.{n}.*/bin/python3"))

# What ci/environment.py is asked for: the python of a group, from another requirements folder.
ENSURE = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("environment", sys.argv[1])
environment = importlib.util.module_from_spec(spec)
spec.loader.exec_module(environment)
try:
    print(environment.ensure("tiny", requirements=pathlib.Path(sys.argv[2])))
except environment.ToolEnvironmentError as error:
    sys.exit(str(error))
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    """A folder with the group `tiny`: one small package, pinned as the real ones are."""
    folder = tmp_path / "requirements"
    folder.mkdir()
    pinned = (CI / "requirements" / "tools.txt").read_text()
    entry = re.search(r"^packaging==.*?(?=^[\w.-]+==)", pinned, re.MULTILINE | re.DOTALL)
    assert entry
    (folder / "tiny.txt").write_text(entry[0])
    return folder


@pytest.fixture
def start(tmp_path: Path, requirements: Path) -> Start:
    """Starts one `ensure("tiny")`, in a session of its own, with a cache of this test's own."""

    def run(**environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-I", "-c", ENSURE, CI / "environment.py", requirements],
            env={**os.environ, "GEOWHEEL_CACHE": str(tmp_path / "cache"), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return run


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate()
    return process.returncode, stdout.strip(), stderr


def wait_for(pattern: str, folder: Path) -> Path:
    """The first file that matches, as soon as it is there."""
    for _ in range(3000):
        found = next(folder.glob(pattern), None)
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"no {pattern} appeared in {folder}")


def works(python: str) -> bool:
    code = "import packaging, sys; sys.exit(sys.prefix == sys.base_prefix)"
    return subprocess.run([python, "-I", "-c", code], check=False).returncode == 0


@pytest.mark.pypi
def test_it_is_made_once(start: Start) -> None:
    code, python, said = finish(start())
    assert code == 0, said
    assert said.startswith("making the tool environment (once): 1 packages\n")
    assert works(python)
    assert finish(start()) == (0, python, "")


@pytest.mark.pypi
def test_two_at_once_do_the_work_once(start: Start) -> None:
    both = [start(), start()]
    ends = [finish(process) for process in both]
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert len({python for _, python, _ in ends}) == 1
    assert "".join(said for _, _, said in ends).count("(once)") == 1
    assert works(ends[0][1])


@pytest.mark.pypi
@pytest.mark.parametrize("children_too", [True, False], ids=["all killed", "pip goes on alone"])
@pytest.mark.parametrize("moment", ["tools/*/pyvenv.cfg", "tools/*/lib/*/site-packages/pip"])
def test_killed_then_again(start: Start, tmp_path: Path, moment: str, children_too: bool) -> None:
    first = start()
    wait_for(moment, tmp_path / "cache")
    if children_too:
        os.killpg(first.pid, signal.SIGKILL)
    else:
        # What it started goes on, holding the lock: the second run has to wait for it.
        first.kill()
    first.communicate()
    assert not list((tmp_path / "cache").glob("tools/*/geowheel-complete.json"))
    code, python, said = finish(start())
    assert code == 0, said
    assert "making the tool environment" in said
    assert works(python)


def test_an_unreachable_index_is_explained(start: Start, tmp_path: Path) -> None:
    code, _, said = finish(
        start(
            PIP_INDEX_URL="http://127.0.0.1:9/simple",
            PIP_CONFIG_FILE=os.devnull,
            PIP_FIND_LINKS=str(tmp_path),
            PIP_NO_CACHE_DIR="1",
            PIP_RETRIES="1",
        )
    )
    assert code == 1
    assert "likely cause: the package index cannot be reached" in said
    assert "PIP_INDEX_URL" in said
    (log,) = (tmp_path / "cache" / "tools").glob("*.log")
    assert f"log: {log}" in said
    assert "Traceback" not in said


@pytest.mark.pypi
def test_another_file_than_the_pinned_one_is_refused(start: Start, requirements: Path) -> None:
    pinned = requirements / "tiny.txt"
    pinned.write_text(re.sub(r"sha256:\w{64}", f"sha256:{'0' * 64}", pinned.read_text()))
    code, _, said = finish(start())
    assert code == 1
    assert "DO NOT MATCH THE HASHES" in said
    assert "offers other files than the pinned ones" in said


@pytest.mark.parametrize("path", TOO_OLD, ids=[path.parents[1].name for path in TOO_OLD])
@pytest.mark.parametrize("launcher", ["nox.py", "invoke.py"])
def test_an_old_python_is_told_so(path: Path, launcher: str) -> None:
    done = subprocess.run([path, CI / launcher, "-l"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: geowheel needs Python 3.11 or newer to run; this is 3.")
    assert "Traceback" not in done.stderr


@pytest.mark.pypi
def test_control_c_leaves_no_traceback_and_no_survivors(tmp_path: Path) -> None:
    shutil.copytree(CI, tmp_path / "ci", ignore=shutil.ignore_patterns("__pycache__"))
    process = subprocess.Popen(
        [sys.executable, tmp_path / "ci" / "nox.py", "--version"],
        env={**os.environ, "GEOWHEEL_CACHE": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for("tools/*/pyvenv.cfg", tmp_path / "cache")
    os.killpg(process.pid, signal.SIGINT)
    code, _, said = finish(process)
    assert code == 130
    assert said.splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in said
    # What was signalled with it may take a moment to go.
    with pytest.raises(ProcessLookupError):
        while True:
            os.killpg(process.pid, 0)
            time.sleep(0.05)


@pytest.mark.pypi
@pytest.mark.parametrize(
    ("launcher", "flags", "code", "words"),
    [
        ("nox.py", ["--version"], 0, r"20\d\d\.[\d.]+\s*$"),
        ("nox.py", ["--help"], 0, "--noxfile"),
        ("nox.py", ["-f", "nothing.py", "-l"], 2, r"nothing\.py"),
        ("invoke.py", ["--help"], 0, "--search-root"),
    ],
)
@pytest.mark.parametrize("isolated", [[], ["-I"]], ids=["plain", "isolated"])
def test_a_launcher_is_the_tool_and_is_never_mistaken_for_it(
    launcher: str, flags: list[str], code: int, words: str, isolated: list[str]
) -> None:
    """In ci/ and with ci/ on the path, where `import nox` could find this repository's nox.py."""
    done = subprocess.run(
        [sys.executable, *isolated, CI / launcher, *flags], cwd=CI, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{CI}:{ROOT / 'src'}"}, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert re.search(words, done.stdout + done.stderr)

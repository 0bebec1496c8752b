"""ci/environment.py: where the tool environment lies, what pip sees, and what its failures mean."""

import errno
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from tests.support.files import load_script

ROOT = Path(__file__).resolve().parents[3]
REQUIREMENTS = ROOT / "ci" / "requirements"
PINNED = "one==1.0 \\\n    --hash=sha256:ab\ntwo==2.0 ; sys_platform == 'win32' \\\n"


environment = load_script(ROOT / "ci" / "environment.py")
"""As noxfile.py loads it."""
Make = Callable[..., Any]


@pytest.fixture
def make_plan(tmp_path: Path) -> Make:
    """A plan for requirements of this text, in a folder of this name."""

    def make(text: str = PINNED, *, folder: str = "a") -> Any:
        path = tmp_path / folder / "tools.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return environment.make_plan(path, {"GEOWHEEL_CACHE": str(tmp_path / "cache")})

    return make


def ensure(plan: Any) -> Any:
    environ = {"GEOWHEEL_CACHE": str(plan.folder.parents[1])}
    return environment.ensure("tools", requirements=plan.requirements.parent, environ=environ)


@pytest.mark.parametrize(
    ("system", "environ", "folder"),
    [
        ("linux", {"HOME": "/home/me"}, "/home/me/.cache/geowheel"),
        ("linux", {"HOME": "/home/me", "XDG_CACHE_HOME": "/big"}, "/big/geowheel"),
        ("linux", {"HOME": "/home/me", "XDG_CACHE_HOME": "big"}, "/home/me/.cache/geowheel"),
        ("linux", {"HOME": "/home/me", "GEOWHEEL_CACHE": "/own"}, "/own"),
        ("darwin", {"HOME": "/Users/me"}, "/Users/me/Library/Caches/geowheel"),
        ("win32", {"LOCALAPPDATA": "/c/Local"}, "/c/Local/geowheel"),
    ],
)
def test_the_cache_folder(system: str, environ: Mapping[str, str], folder: str) -> None:
    assert environment.cache_folder(environ, system) == Path(folder)


def test_checkouts_share_an_environment(make_plan: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(folder="a")
    assert plan.folder == make_plan(folder="b").folder
    assert plan.packages == 2
    assert not plan.folder.parents[1].exists(), "deciding changes nothing"
    assert plan.folder != make_plan(PINNED.replace("1.0", "1.1")).folder
    monkeypatch.setattr(sys, "version", sys.version + " rebuilt")
    assert plan.folder != make_plan().folder


def test_only_the_marker_makes_it_whole(make_plan: Make) -> None:
    plan = make_plan()
    plan.python.parent.mkdir(parents=True)
    plan.python.touch()
    assert not plan.complete()
    plan.marker.touch()
    os.utime(plan.marker, (0, 0))
    assert plan.complete() and ensure(plan) == plan.python
    assert not plan.lock.exists()
    assert plan.marker.stat().st_mtime > 0, "its use is what `cache prune` goes by"
    plan.python.unlink()  # its interpreter was removed from the machine
    assert not plan.complete()


def test_missing_requirements_are_named(tmp_path: Path) -> None:
    with pytest.raises(environment.ToolEnvironmentError, match=r"nothing\.txt cannot be read"):
        environment.ensure("nothing", requirements=tmp_path, environ={"HOME": "/home/me"})


def test_pip_sees_mirrors_but_nothing_that_misdirects_it() -> None:
    kept = {"PIP_INDEX_URL": "https://mirror.invalid/simple", "HTTPS_PROXY": "x", "PATH": "/bin"}
    dropped = {
        "PIP_TARGET": "/x",
        "PIP_USER": "1",
        "PIP_NO_BINARY": ":all:",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PYTHONPATH": "/x",
        "PYTHONHOME": "/x",
        "VIRTUAL_ENV": "/x",
    }
    assert environment.pip_environment(kept | dropped) == kept


@pytest.mark.parametrize(
    ("line", "cause", "fix"),
    [
        (
            "WARNING: Retrying (...) after connection broken by 'NewConnectionError(...: "
            "[Errno -3] Temporary failure in name resolution')': /simple/nox/",
            "the package index cannot be reached",
            "PIP_INDEX_URL",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on "
            "device",
            "the disk is full",
            "GEOWHEEL_CACHE",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "other files than the pinned ones",
            "tools.txt",
        ),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] ...", "TLS", ""),
        ("ERROR: [Errno 13] Permission denied: '/x'", "may not write", "GEOWHEEL_CACHE"),
        ("", "the index in use lacks this version", ""),
    ],
)
def test_a_failure_of_pip_is_explained(make_plan: Make, line: str, cause: str, fix: str) -> None:
    plan = make_plan()
    # pip ends with this whatever went wrong before.
    log = f"Collecting nox\n{line}\nERROR: No matching distribution found for nox==2026.10.20\n"
    said = environment.explain_pip(log, plan)
    assert len(said.splitlines()[0]) < 150
    assert cause in said
    assert fix in said
    assert str(plan.log) in said


def test_an_unknown_failure_shows_the_last_lines(make_plan: Make) -> None:
    said = environment.explain_pip("one\n\ntwo\nthree\nfour\n", make_plan())
    assert "two\n    three\n    four" in said
    assert "one\n" not in said


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "this user may not write there"),
        (errno.EROFS, "mounted read-only"),
    ],
)
def test_a_folder_that_cannot_be_written_is_explained(
    make_plan: Make, monkeypatch: pytest.MonkeyPatch, number: int, cause: str
) -> None:
    plan = make_plan()
    refuse = Mock(side_effect=OSError(number, "no", "a place"))
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(environment.ToolEnvironmentError) as caught:
        ensure(plan)
    assert cause in str(caught.value)
    assert "GEOWHEEL_CACHE" in str(caught.value)
    assert str(plan.folder.parent) in str(caught.value)


def test_a_python_without_ensurepip_names_the_package(
    make_plan: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find(name)
    )
    plan = make_plan()
    with pytest.raises(environment.ToolEnvironmentError) as caught:
        ensure(plan)
    assert "lacks the module ensurepip" in str(caught.value)
    assert re.search(r"next: .*(python|install)", str(caught.value))
    assert not (tmp_path / "cache").exists()


def test_launching_is_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[list[str], dict[str, str]]] = []

    def become(argv: list[str], env: dict[str, str]) -> int:
        became.append((argv, env))
        return 5

    monkeypatch.setattr(environment, "ensure", lambda: Path("/tools/bin/python"))
    monkeypatch.setattr(environment, "_become", become)
    monkeypatch.setenv("GEOWHEEL_CACHE", "relative")
    monkeypatch.setattr(sys, "executable", "/opt/with space/python3.99")
    monkeypatch.setattr(sys, "argv", ["ci/invoke.py", "status"])
    monkeypatch.setattr(environment.time, "time", lambda: 1234.5)
    found: dict[str, str] = {}
    monkeypatch.setattr(environment.shutil, "which", found.get)
    assert environment.launch("-m", "invoke", "--help") == 5
    ((argv, env),) = became
    # -I: `import nox` must not find ci/nox.py in the folder it starts in, nor on PYTHONPATH.
    assert argv == ["/tools/bin/python", "-I", "-m", "invoke", "--help"]
    # How a person types a session, whichever of the two was started; and since when that waits.
    assert env["GEOWHEEL_LAUNCHER"] == "'/opt/with space/python3.99' ci/nox.py"
    assert env["GEOWHEEL_STARTED"] == "1234.5"
    found["python3.99"] = "/opt/with space/python3.99"
    environment.launch("nox")
    assert became[-1][1]["GEOWHEEL_LAUNCHER"] == "python3.99 ci/nox.py"
    assert env["GEOWHEEL_CACHE"] == str(Path("relative").absolute())


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        (["-s", "wheel"], True),
        (["-s", "tests"], True),
        (["-s", "wheel-3.13"], False),
        (["-s", "wheel", "--", "--platform", "win-64"], False),
        (["-s", "doctor"], False),
        (["-l"], False),
    ],
)
def test_a_wheel_that_cannot_be_made_is_refused_before_anything_is_installed(
    monkeypatch: pytest.MonkeyPatch, asked: list[str], refused: bool
) -> None:
    monkeypatch.setattr(environment.sys, "version_info", (3, 99, 0, "final", 0))
    if not refused:
        environment.refuse_early(asked, "python3 ci/nox.py -s ")
        return
    with pytest.raises(environment.ToolEnvironmentError) as caught:
        environment.refuse_early(asked, "python3 ci/nox.py -s ")
    text = str(caught.value)
    assert text.startswith("no wheel is configured for Python 3.99, which runs this\n")
    assert "`python3 ci/nox.py -s wheel-3.1" in text


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (b"", "making the environment"),
        (b"Looking in links: x\nCollecting a==1\nCollecting b==2\n", "downloading package 2 of 9"),
        (b"Collecting a==1\nInstalling collected packages: a\n", "installing 9 packages"),
    ],
)
def test_pips_log_says_what_it_is_at(log: bytes, words: str) -> None:
    assert environment.doing(log, 9) == words


def test_launching_reports_and_does_not_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = environment.ToolEnvironmentError("no disk\n  next: buy one")
    monkeypatch.setattr(environment, "ensure", Mock(side_effect=error))
    assert environment.launch("nox") == 1
    assert capsys.readouterr().err == "error: no disk\n  next: buy one\n"
    monkeypatch.setattr(environment, "ensure", Mock(side_effect=KeyboardInterrupt))
    assert environment.launch("nox") == 130
    assert "interrupted" in capsys.readouterr().err


def pins(group: str) -> dict[str, str]:
    text = (REQUIREMENTS / f"{group}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("group", ["tools", "development"])
def test_every_requirement_is_pinned_with_hashes_and_without_places(group: str) -> None:
    text = (REQUIREMENTS / f"{group}.txt").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) >= len(pins(group)) > 20
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--(extra-)?index-url|--find-links|file:", text)
    assert "uv pip compile" in text.splitlines()[1]
    assert pins("tools").items() <= pins("development").items()


@pytest.mark.parametrize("group", ["tools", "development"])
def test_every_direct_requirement_says_why_and_is_pinned(group: str) -> None:
    lines = (REQUIREMENTS / f"{group}.in").read_text(encoding="utf-8").splitlines()
    direct = [line for line in lines if line and not line.startswith(("#", "-r "))]
    for line in direct:
        requirement, hash_sign, why = line.partition("#")
        name = re.match(r"[\w-]+", requirement)
        assert hash_sign and why.strip(), line
        assert name and name[0] in pins(group), line

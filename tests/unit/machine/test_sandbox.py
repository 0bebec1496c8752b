"""The command lines of the sandboxes, which of them is taken, and what a refusal is called."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from geowheel.errors import MachineError
from geowheel.machine.sandbox import Enclosure, SandboxKind, find_enclosure
from geowheel.targets import System

IMAGE = f"quay.io/a/b@sha256:{'0' * 64}"


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A root file system, an input that a link leads to, and a folder for the output."""
    for name in ("root/usr/bin", "root/etc/ssl", "in", "out"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "root/bin").symlink_to("usr/bin")
    (tmp_path / "link").symlink_to("in")
    return tmp_path


def command(place: Path, kind: SandboxKind, program: str) -> str:
    """The command line for `cc`, with NAME=1 in its environment."""
    made = Enclosure(
        kind=kind, program=program, image=IMAGE, system=place / "root",
        readable=(place / "link", place / "gone"), writable=(place / "out",),
    )  # fmt: skip
    return shlex.join(made.command(["cc", "a b.c"], {"NAME": "1", "PATH": "/bin"}, place / "out"))


@pytest.mark.parametrize(
    ("kind", "program", "wanted"),
    [
        (SandboxKind.BWRAP, "/usr/bin/bwrap", [
            "/usr/bin/bwrap --unshare-all --die-with-parent --new-session --cap-drop ALL ",
            "--ro-bind-try {place}/root/usr /usr --symlink usr/bin /bin ",
            "--ro-bind-try {place}/root/etc/ssl /etc/ssl ",
            "--ro-bind-try {place}/in {place}/in --symlink in {place}/link ",
            "--bind-try {place}/out {place}/out ",
            "--dir /tmp ",
            "--remount-ro / --chdir {place}/out -- cc 'a b.c'",
        ]),
        (SandboxKind.UNSHARE, "", ["unshared.py 1 {place}/out cc 'a b.c'"]),
        (SandboxKind.CONTAINER, "/usr/bin/podman", [
            "/usr/bin/podman run --rm ",
            "--network=none --cap-drop=ALL --security-opt=no-new-privileges --read-only ",
            "--userns=keep-id ", "--env=NAME=1 ",
            "--volume={place}/link:{place}/link:ro --volume={place}/out:{place}/out:rw ",
            "{image} cc 'a b.c'",
        ]),
        (SandboxKind.SEATBELT, "/usr/bin/sandbox-exec", [
            "/usr/bin/sandbox-exec -p '(version 1)(allow default)(deny network*)",
            '(deny file-write*)(allow file-write* (subpath "/dev") (subpath "{place}/out"))',
            " cc 'a b.c'",
        ]),
        (SandboxKind.NONE, "", ["cc 'a b.c'"]),
    ],
)  # fmt: skip
def test_a_command_sees_what_is_declared(
    places: Path, kind: SandboxKind, program: str, wanted: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("os.getuid", lambda: 1000, raising=False)
    # As it does for another user's folder on PATH.
    monkeypatch.setattr(Path, "exists", lambda _: (_ for _ in ()).throw(PermissionError()))
    said = command(places, kind, program)
    for part in wanted:
        assert part.format(place=places, image=IMAGE) in said
    assert "gone" not in said
    monkeypatch.setattr("os.getuid", lambda: 0)
    assert "keep-id" not in command(places, kind, program)  # podman refuses it to root


@pytest.mark.parametrize(
    ("asked", "on_path", "forbidden", "found"),
    [
        ("auto", ("bwrap",), (), "bwrap"),
        ("auto", ("bwrap",), ("bwrap",), "unshare (bwrap: no permission)"),
        ("auto", (), (), "unshare (bwrap: no bwrap on PATH)"),
        (
            "auto",
            (),
            ("unshared",),
            "none (bwrap: no bwrap on PATH; unshare: no permission): "
            "commands can reach the network and every file",
        ),
        ("unshare", ("bwrap",), (), "unshare"),
        ("container", ("docker",), (), "container"),
        ("none", (), (), "none: commands can reach the network and every file"),
        ("bwrap", (), (), "no sandbox by bwrap: no bwrap on PATH"),
        ("bwrap", ("bwrap",), ("bwrap",), "no sandbox by bwrap: no permission"),
        ("container", (), (), "no sandbox by container: no podman and no docker on PATH"),
    ],
)
def test_the_best_that_works_is_taken(
    tmp_path: Path, asked: str, on_path: Sequence[str],
    forbidden: Sequence[str], found: str,
) -> None:  # fmt: skip
    for name in on_path:
        (tmp_path / name).touch(mode=0o755)

    def attempt(argv: Sequence[str], _: Mapping[str, str]) -> str:
        return "no permission" if any(name in " ".join(argv[:4]) for name in forbidden) else ""

    try:
        made = find_enclosure(
            SandboxKind(asked), environ={"PATH": str(tmp_path)}, image=IMAGE, attempt=attempt
        )
        assert str(made) == found
    except MachineError as error:
        assert found in str(error) and "--sandbox auto" in str(error)


def test_a_system_without_one_is_said_to_have_none() -> None:
    assert str(find_enclosure(SandboxKind.AUTO, environ={}, on=System.WINDOWS)).startswith("none: ")


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("geowheel: no network here: a.example:443\nOSError: [Errno 101] Network is unreachable",
         "reached for the network: a.example:443"),
        ("curl: (6) Could not resolve host: a.example", "reached for the network: a.example"),
        ("fatal: unable to access 'https://a.example/b/': Could not resolve host: a.example",
         "reached for the network: a.example"),
        ("OSError: [Errno 101] Network is unreachable",
         "reached for the network: OSError: [Errno 101] Network is unreachable"),
        ("OSError: [Errno 30] Read-only file system: '/tmp/x'",
         "wrote outside its output: /tmp/x"),
        ("touch: cannot touch '/root/x': Read-only file system",
         "wrote outside its output: /root/x"),
        ("/bin/sh: 1: cannot create /usr/x: Read-only file system",
         "wrote outside its output: /usr/x"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '{place}/in/a'",
         "read what is not declared: {place}/in/a"),
        ("cat: {place}/in/a: No such file or directory",
         "read what is not declared: {place}/in/a"),
        ("a.c:1:10: fatal error: {place}/in/a: No such file or directory",
         "read what is not declared: {place}/in/a"),
        ("No such file or directory: '../in/a'", "read what is not declared: {place}/in/a"),
        ("cat: ../beside: No such file or directory",
         "read what is not declared: {place}/in/beside"),
        ("No such file or directory: 'never'", ""),
        ("No such file or directory: '{place}/in/never'",
         "wrote or read what is not declared: {place}/in/never"),
        ("No such file or directory: '{place}/never/never'", ""),
        ("error: expected ';' before '}}'", ""),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(places: Path, said: str, refused: str) -> None:
    (places / "in/a").touch()
    (places / "in/beside").touch()  # beside the project, of which `out` is a copy
    out = places / "out"
    made = Enclosure(kind=SandboxKind.BWRAP, readable=(out,), source=places / "in/host")
    found = made.refused(said.format(place=places), out, failed=True)
    assert "; ".join(found) == refused.format(place=places)
    assert Enclosure().refused(said, out, failed=True) == ()


def test_of_a_command_that_goes_on_only_the_network_counts(tmp_path: Path) -> None:
    said = "geowheel: no network here: a.example:443\ncat: /etc/shadow: No such file or directory"
    made = Enclosure(kind=SandboxKind.BWRAP)
    assert made.refused(said, tmp_path, failed=False) == ("reached for the network: a.example:443",)

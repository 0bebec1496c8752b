"""The sandbox of a stage: its commands see what the stage declares, and reach no network.

One wrapper of a command line for each way; what runs in it knows nothing of that. What each way
gives is in the docstrings of `SandboxKind`, which docs/sandbox.md and the schema repeat.
"""

import enum
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from geowheel.errors import MachineError
from geowheel.targets import System


class SandboxKind(enum.StrEnum):
    """What shuts in the commands of every stage after fetch; but for auto, the weakest first."""

    AUTO = "auto"
    """bwrap where it works here, else unshare; sandbox-exec on macOS; none where nothing works."""
    NONE = "none"
    """No sandbox: all that there is on Windows."""
    SEATBELT = "sandbox-exec"
    """macOS: no network, and only the stage's own folders can be written; every file can be
    read."""
    UNSHARE = "unshare"
    """The kernel's namespaces alone: no network, and only the stage's own folders can be written;
    but every file of this machine that the user can read can be read."""
    BWRAP = "bwrap"
    """bubblewrap: no network, no capabilities; the system, the tools and the declared inputs can be
    read, and only the stage's own folders be written."""
    CONTAINER = "container"
    """podman or docker with the image of sandbox-image: as bwrap, with the image's system."""

    @property
    def strength(self) -> int:
        """By which a run that asks for one kind takes what another kind made."""
        return max(1, list(SandboxKind).index(self))


IMAGE: Final = re.compile(r"[\w./:-]+@sha256:[0-9a-f]+")
"""An image that is pinned by its digest."""
# What every program may read: programs and libraries, and of /etc what names users, certificates
# and alternatives. No host names: there is no network.
_SYSTEM: Final = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "nix", "gnu")
_ETC: Final = (
    "etc/alternatives", "etc/ca-certificates", "etc/crypto-policies", "etc/debian_version",
    "etc/fonts", "etc/group", "etc/ld.so.cache", "etc/ld.so.conf", "etc/ld.so.conf.d",
    "etc/localtime", "etc/mime.types", "etc/nsswitch.conf", "etc/os-release", "etc/passwd",
    "etc/pki", "etc/ssl", "etc/timezone",
)  # fmt: skip
_UNSHARED: Final = Path(__file__).with_name("unshared.py")
_AUTO: Final = {
    System.LINUX: (SandboxKind.BWRAP, SandboxKind.UNSHARE),
    System.MACOS: (SandboxKind.SEATBELT,),
}
_NO_NETWORK: Final = re.compile(
    "no network here|Network is unreachable|name resolution|Name or service not known|[Cc]ould not "
    "resolve|nodename nor servname|No address associated|dns error"
)
_ADDRESS: Final = re.compile(
    r"no network here: (\S+)|\b(?:https?|ftp|git|ssh)://([^\s'\"/]+)|host='([^']+)'"
    r"|[Rr]esolve (?:host:? |proxy:? )?'?([\w.-]+\.\w+)"
)
_NO_FILE: Final = re.compile("Read-only file system|No such file or directory|Operation not perm")
_PATH: Final = re.compile(r"(?<![\w./~:-])(?:/(?![\s/])|(?:\.\.?/)+)[^\s'\":,;()\]]+")
_WENT_ON: Final = "geowheel: no network here: "
"""As geowheel.probes.denied says it, whatever becomes of the command."""

REFUSED: Final = (
    "the sandbox shows what is declared, and has no network: see [tool.geowheel.build] requires "
    "and reads; or `geowheel wheel --sandbox none`"
)
Try = Callable[[Sequence[str], Mapping[str, str]], str]
"""Runs a command that does nothing; empty, or why it could not."""


@dataclass(frozen=True, kw_only=True)
class Enclosure:
    """One way to shut commands in, and what those of one stage may see."""

    kind: SandboxKind = SandboxKind.NONE
    program: str = ""
    image: str = ""
    system: Path = Path("/")
    """The root file system whose programs and libraries are seen."""
    passed_over: tuple[str, ...] = ()
    """Why it is no better kind."""
    stage: str = ""
    source: Path | None = None
    """The project, of which commands see a copy."""
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()

    def __str__(self) -> str:
        reasons = f" ({'; '.join(self.passed_over)})" if self.passed_over else ""
        open = ": commands can reach the network and every file" * (not self.is_closed)
        return f"{self.kind}{reasons}{open}"

    @property
    def is_closed(self) -> bool:
        return self.kind is not SandboxKind.NONE

    def of(
        self, stage: str, readable: Iterable[Path], writable: Iterable[Path],
        source: Path | None = None,
    ) -> Self:  # fmt: skip
        """Return the same for one stage."""
        if not self.is_closed:
            return self
        own = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[1])
        return replace(
            self, stage=stage, source=source, readable=(*own, *readable), writable=tuple(writable)
        )

    def command(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, *more: Path
    ) -> tuple[str, ...]:
        """Return the command that runs `argv` in it; `more` may be written as well."""
        if not self.is_closed:
            return tuple(argv)
        write = [path for path in (*self.writable, *more) if os.access(path, os.F_OK)]
        asked = (*self.readable, *_tools(env), *_histories(cwd))
        read = [path for path in asked if os.access(path, os.F_OK)]  # PATH may name others' folders
        places = sorted((p, p in write) for p in {*read, *write})  # what lies in another after it
        match self.kind:
            case SandboxKind.BWRAP:
                return (*self._bubblewrap(places, env, cwd), *argv)
            case SandboxKind.UNSHARE:
                own = (sys.executable, "-I", "-S", str(_UNSHARED))
                return (*own, str(len(write)), *map(str, write), *argv)
            case SandboxKind.CONTAINER:
                return (*self._container(places, env, cwd), *argv)
            case _:
                return (self.program, "-p", _profile(write), *argv)

    def _bubblewrap(
        self, places: Sequence[tuple[Path, bool]], env: Mapping[str, str], cwd: Path
    ) -> Iterator[str]:
        yield from (self.program, "--unshare-all", "--die-with-parent", "--new-session")
        yield from ("--cap-drop", "ALL", "--hostname", "geowheel", "--proc", "/proc")
        yield from ("--dev", "/dev")
        for name in (*_SYSTEM, *_ETC):
            path = self.system / name
            if path.is_symlink():
                yield from ("--symlink", str(path.readlink()), f"/{name}")
            else:
                yield from ("--ro-bind-try", str(path), f"/{name}")
        seen = [Path("/", name) for name in _SYSTEM]
        for place, writable in places:
            real = place.resolve()
            if writable or not any(real.is_relative_to(path) for path in seen):
                # -try: a kept command is given again when the run's temporary folder is gone.
                yield from ("--bind-try" if writable else "--ro-bind-try", str(real), str(real))
                seen.append(real)
            for link, goal in _links(place):
                if not any(link.is_relative_to(path) for path in seen):
                    yield from ("--symlink", goal, str(link))
                    seen.append(link)
        # They are there, and closed: what is written there fails by its own name.
        for name in {"/tmp", env.get("HOME", "/"), env.get("TMPDIR", "/tmp")}:
            if not any(Path(name).is_relative_to(path) for path in seen):
                yield from ("--dir", name)
        yield from ("--remount-ro", "/", "--chdir", str(cwd), "--")

    def _container(
        self, places: Sequence[tuple[Path, bool]], env: Mapping[str, str], cwd: Path
    ) -> Iterator[str]:
        yield from (self.program, "run", "--rm", "--interactive=false", "--pull=never")
        yield from ("--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges")
        yield from ("--read-only", f"--workdir={cwd}", "--hostname=geowheel")
        if hasattr(os, "getuid"):
            yield f"--user={os.getuid()}:{os.getgid()}"
            if Path(self.program).name == "podman" and os.getuid() != 0:
                yield "--userns=keep-id"  # root's podman refuses it
        yield from (f"--env={name}={value}" for name, value in env.items())
        for place, writable in places:
            if not any(place.is_relative_to(f"/{name}") for name in _SYSTEM):
                yield f"--volume={place}:{place}:{'rw' if writable else 'ro'}"
        yield self.image

    def refused(self, said: str, cwd: Path, *, failed: bool) -> tuple[str, ...]:
        """Return what the sandbox kept a command from, by what the command said.

        Of one that went on all the same, only the network counts: there may be no such file.
        """
        found: dict[str, None] = {}
        lines = said.splitlines() if self.is_closed else []
        if not failed:
            lines = [line for line in lines if line.startswith(_WENT_ON)]
        asked = [number for number, line in enumerate(lines) if _NO_NETWORK.search(line)]
        near = "\n".join(line for n in asked for line in lines[max(0, n - 12) : n + 1])
        addresses = [next(filter(None, each)) for each in _ADDRESS.findall(near)]
        for address in addresses or [lines[number].strip() for number in asked[:1]]:
            found[f"reached for the network: {address}"] = None
        system = (Path("/", name) for name in (*_SYSTEM, *_ETC, "proc", "dev"))
        shown = (*system, *self.readable, *self.writable)
        for line in filter(_NO_FILE.search, lines):
            for name in _PATH.findall(line)[-1:]:  # before it, who says so
                path = Path(os.path.normpath(cwd / name))
                beside = path  # of what lies there beside the copy
                if self.source:
                    beside = Path(os.path.normpath(self.source / os.path.relpath(path, cwd)))
                hidden = [p for p in (path, beside) if not any(map(p.is_relative_to, shown))]
                if "No such" not in line:
                    found[f"wrote outside its output: {path}"] = None
                elif there := [p for p in hidden if os.access(p, os.F_OK)]:
                    found[f"read what is not declared: {there[0]}"] = None
                elif path in hidden and path.parent.is_dir():
                    found[f"wrote or read what is not declared: {path}"] = None
        return tuple(found)


def _links(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the links by which a path leads to where it is, and where each leads."""
    for place in (*reversed(path.parents), path):
        if place.is_symlink():
            yield place, str(place.readlink())
            goal = place.parent / place.readlink() / path.relative_to(place)
            yield from _links(Path(os.path.normpath(goal)))
            return


def _tools(env: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders on PATH, with the libraries beside them, and Rust's tools."""
    for entry in map(Path, env.get("PATH", os.defpath).split(os.pathsep)):
        if entry.is_absolute() and entry.parent != Path("/"):
            yield entry
            yield from (entry.parent / name for name in ("lib", "lib64", "libexec", "include"))
            if entry.name == "bin" and entry.parent.name != ".local":
                yield entry.parent / "share"
    home = Path(env.get("HOME", "/"))
    yield from (home / ".rustup", *(home / ".cargo" / name for name in ("registry", "git")))


def _histories(cwd: Path) -> Iterator[Path]:
    """Yield where a staged copy has the objects of its history (gitrepository-layout(5))."""
    for place in (cwd, *cwd.parents):
        shared = place / ".git" / "objects" / "info" / "alternates"
        if shared.is_file():
            yield from map(Path, shared.read_text("utf-8", "surrogateescape").splitlines())
            return


def _profile(write: Iterable[Path]) -> str:
    """Return the profile for sandbox-exec: later rules come before earlier ones."""
    own = " ".join(f'(subpath "{path.resolve()}")' for path in write)
    return (
        '(version 1)(allow default)(deny network*)(allow network* (local ip "localhost:*") '
        '(remote ip "localhost:*") (remote unix-socket))(deny file-write*)'
        f'(allow file-write* (subpath "/dev") {own})'
    )


def find_enclosure(
    asked: SandboxKind,
    *,
    environ: Mapping[str, str],
    on: System = System.LINUX,
    image: str = "",
    system: Path = Path("/"),
    attempt: Try | None = None,
) -> Enclosure:
    """Return what can be had here; each is tried once, with a command that does nothing.

    Raises MachineError where the one that is asked for does not work here.
    """
    wanted = _AUTO.get(on, ()) if asked is SandboxKind.AUTO else (asked,)
    reasons: list[str] = []
    for kind in wanted:
        names = ("podman", "docker") if kind is SandboxKind.CONTAINER else (str(kind),)
        found = (shutil.which(name, path=environ.get("PATH", os.defpath)) for name in names)
        program = next(filter(None, found), "")
        made = Enclosure(
            kind=kind, program=program, image=image, system=system, passed_over=tuple(reasons)
        )
        if kind is SandboxKind.NONE:
            return made
        if kind is SandboxKind.CONTAINER and not image:
            reasons.append("container: [tool.geowheel] sandbox-image names no image")
        elif not program and kind is not SandboxKind.UNSHARE:
            reasons.append(f"{kind}: no {' and no '.join(names)} on PATH")
        elif said := (attempt or _attempt)(made.command(["sh", "-c", ":"], {}, Path("/")), environ):
            reasons.append(f"{kind}: {said}")
        else:
            return made
    if asked is SandboxKind.AUTO:
        return Enclosure(passed_over=tuple(reasons))
    raise MachineError(
        f"no sandbox by {reasons[0]}",
        cause="many containers, and Ubuntu's AppArmor, forbid user namespaces; of a container, "
        "the image has to be pulled first",
        fix="apt install bubblewrap, or allow it here; or `geowheel wheel --sandbox auto`: the "
        "best that works here, or none",
    )


def _attempt(command: Sequence[str], environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            command, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=30, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = [f"exit code {done.returncode}", *done.stderr.strip().splitlines()]
    return said[-1] if done.returncode else ""

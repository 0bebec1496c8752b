"""A bare root file system of the Debian release that this machine is not, to run commands in.

It holds Python, apt and an ordinary user, as a newcomer's machine does before the first command:
no git, no venv, no compiler, nothing of this checkout. What a page asks for is installed there by
the test, with apt, as the page says.
"""

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from geowheel.machine.environments import tool_environment

PERSON = "person"
OLDEST = "bullseye"
"""The oldest release that Debian's mirrors still have: glibc 2.31, GCC 10, Python 3.9."""
OTHER_SUITE = {"bookworm": "trixie", "trixie": "bookworm"}
# Settings of this machine's apt that decide whether a mirror can be reached and used.
_APT = re.compile(r"Acquire::(https?::(?!.*Example)|Check-|Retries|ForceIPv).+")
_HANDED = "/run/handed"

# Proc, devices and what is handed over; then the command, as the user, in its folder.
_ENTER = f"""
root=$1 user=$2 folder=$3 handed=$4; shift 4
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mkdir "$root{_HANDED}"
while [ "$handed" -gt 0 ]; do
    if [ -d "$1" ]; then mkdir "$root$2"; else touch "$root$2"; fi
    mount --bind "$1" "$root$2"
    handed=$((handed - 1)); shift 2
done
exec chroot --userspec="$user" "$root" sh -c 'cd "$1" && shift && exec "$@"' _ "$folder" "$@"
"""


class CannotMakeRootError(Exception):
    """This machine lacks what a root file system is made with; says what."""


@dataclass(frozen=True, kw_only=True)
class DebianRoot:
    """A root file system that belongs to one test."""

    path: Path
    suite: str
    handed: Mapping[str, str] = field(repr=False)
    """Variables that the network here needs: proxies, certificates, the package index."""

    def run(
        self,
        command: str | Sequence[str | Path],
        *,
        user: str = PERSON,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 1500,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command line of a shell, or a list, to its end; root may use apt."""
        home = "/root" if user == "root" else f"/home/{user}"
        variables = {
            "HOME": home,
            "USER": user,
            "PATH": "/usr/local/bin:/usr/bin:/bin" + ":/usr/sbin:/sbin" * (user == "root"),
            "LANG": "C.UTF-8",
        }
        # A variable that names a file here, such as PIP_CERT, names the same file there.
        files = {k: v for k, v in self.handed.items() if v.startswith("/") and Path(v).exists()}
        moved = {name: f"{_HANDED}/{name}" for name in files}
        variables = {**variables, **self.handed, **moved, **(env or {})}
        pairs = [part for name, path in files.items() for part in (path, f"{_HANDED}/{name}")]
        line = ["bash", "-c", command] if isinstance(command, str) else list(map(str, command))
        return subprocess.run(
            [
                *_unshared(), "--pid", "--fork", "--kill-child", "sh", "-ec", _ENTER, "_",
                self.path, user, cwd or home, str(len(files)), *pairs,
                "env", "-i", *(f"{name}={value}" for name, value in variables.items()), *line,
            ],
            capture_output=True, text=True, check=False, timeout=timeout,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def copy_in(self, path: Path, dest: str, *, user: str = PERSON) -> None:
        """A file or folder of this machine as `dest` there, owned by `user`."""
        target = f"{self.path}{dest}"
        subprocess.run(
            [*_unshared(), "cp", "-a", "--no-preserve=ownership", path, target], check=True
        )
        done = self.run(["chown", "-R", f"{user}:", dest], user="root", cwd="/")
        assert done.returncode == 0, done.stderr

    def remove(self) -> None:
        """The files may belong to users that exist only in there."""
        subprocess.run([*_unshared(), "rm", "-rf", "--one-file-system", self.path], check=True)


def make_archive(archive: Path, suite: str = "") -> str:
    """Makes a tar file of a release's root, of the other one's without a name; returns the name."""
    here = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    suite = suite or OTHER_SUITE.get(here, "trixie")
    command = [
        *_unshared(), "mmdebstrap", "--mode=root", "--variant=minbase", "--include=python3",
        # apt's lists stay, as on a machine whose person has just run `apt update`.
        "--skip=cleanup/apt/lists", *(f"--aptopt={line}" for line in _apt_options()),
        f"--customize-hook=chroot \"$1\" useradd --create-home --shell /bin/bash {PERSON}",
        suite, str(archive), *_mirrors(suite),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CannotMakeRootError(f"{error.filename} is not on PATH") from error
    if done.returncode:
        raise CannotMakeRootError(f"{shlex.join(command)} failed:\n{done.stderr}")
    return suite


def unpack(archive: Path, suite: str, folder: Path) -> DebianRoot:
    """A root of one's own from that tar file."""
    folder.mkdir()
    tar = ["tar", "-x", "--numeric-owner", "--exclude=./dev/*", "-f", str(archive)]
    subprocess.run([*_unshared(), *tar], cwd=folder, check=True)
    return DebianRoot(path=folder, suite=suite, handed=_network(os.environ))


def _unshared() -> list[str]:
    """With mounts of its own; somebody who is not root is root of a user namespace."""
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    return ["unshare", *own, "--mount"]


def _network(environ: Mapping[str, str]) -> dict[str, str]:
    """What lets a tool reach the network from here, out of the environment and of pip's files."""
    here = {"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TEMP", "TMP", "LC_ALL"}
    named = tool_environment(environ)
    kept = {k: v for k, v in named.items() if k not in here and not k.startswith("XDG_")}
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    for name, value in re.findall(r"^global\.([\w-]+)='(.*)'$", listed, re.MULTILINE):
        kept.setdefault("PIP_" + name.upper().replace("-", "_"), value)
    return kept


def _apt_options() -> list[str]:
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True)
    return [line for line in dump.stdout.splitlines() if _APT.fullmatch(line)]


def _mirrors(suite: str) -> list[str]:
    """This machine's mirrors of Debian, for that release; none where it is not a Debian."""
    wanted = "$(ORIGIN) deb $(REPO_URI) $(CODENAME) $(COMPONENT)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", wanted, "Created-By: Packages"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    here = "|".join(OTHER_SUITE)
    found = re.findall(rf"^Debian (deb \S+ )(?:{here})(\S*) main$", listed, re.MULTILINE)
    return [f"{uri}{suite}{pocket} main" for uri, pocket in found]

"""apt with a state of its own: the machine's sources, keys and proxies, but not its packages.

The architecture need not be the machine's: dpkg is not told of it, only this apt is.

Works without root and with it, and leaves the system's lists, caches and hooks alone.
"""

import os
import platform as platforms
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geowheel.digest import sha256_file
from geowheel.errors import ChannelError, IntegrityError, MachineError
from geowheel.machine.console import Step, megabytes
from geowheel.machine.process import Result, tail

from .debian import Deb, parse_debs, parse_print_uris

UPDATE_TIMEOUT: Final = 600.0
"""Seconds. apt itself gives up on a dead mirror after two minutes."""
QUERY_TIMEOUT: Final = 120.0
DOWNLOAD_TIMEOUT: Final = 3600.0

# Read after the machine's own configuration (apt.conf(5): a file given with -c comes last), whose
# hooks would touch the system: docker-clean empties its cache, appstream refreshes its own.
_SETTINGS: Final = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "@ARCHITECTURE@";
APT::Architectures { "@ARCHITECTURE@"; };
APT::Get::Show-Versions "false";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
"""
_LINE: Final = re.compile(r"(?P<before>deb\s+(?:\[[^]]*\]\s+)?\S+\s+)(?P<suites>\S+)(?P<after>.*)")
_STANZA: Final = re.compile(
    r"(?P<before>(?s:.*\n)?Suites:\s*)(?P<suites>.*)(?P<after>(?s:\n.*)?)", re.IGNORECASE
)
_STABLE: Final = ("oldstable", "stable", "testing", "unstable", "sid")


@dataclass(frozen=True, kw_only=True)
class Apt:
    """A private apt state below `state`, and how to run its programs."""

    state: Path
    architecture: str
    """As the distribution names it: `arm64`."""
    environ: Mapping[str, str]
    step: Step

    def update(self) -> Result:
        """Refresh the package lists; what was out of reach is in the result, older lists stay."""
        return self._run("apt-get", "update", "-q", check=False, timeout=UPDATE_TIMEOUT)

    def show(self, names: Sequence[str]) -> dict[str, Deb]:
        """Return the candidate versions of the named packages; an unknown one is left out."""
        if not names:
            return {}
        command = ("show", "--no-all-versions", *names)
        return parse_debs(self._run("apt-cache", *command, check=False).stdout)

    def install_names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return what apt would install for `names` on a machine without any package.

        Raises BuildError with apt's words when their dependencies cannot be met.
        """
        command = ("install", "--print-uris", "-qq", "-y", *names)
        return parse_print_uris(self._run("apt-get", *command).stdout)

    def download(self, debs: Iterable[Deb], folder: Path) -> None:
        """Put the missing ones of `debs` into `folder` under their `file_name`, checked.

        apt checks each file against the index that the distribution signed, and so do we.
        Raises ChannelError naming the packages that no source gave, IntegrityError for other bytes.
        """
        wanted = {deb.name: deb for deb in debs}.values()
        missing = [deb for deb in wanted if not is_whole(deb, folder / deb.file_name)]
        if not missing:
            return
        incoming = folder / "incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir(parents=True)
        size = sum(deb.size for deb in missing)
        title = f"{len(missing)} packages, {megabytes(size)}"
        self.step.say(f"downloading {title}")
        with self.step.progress(title, size) as advance, _watched(incoming, advance):
            command = ("download", "-q", *(f"{deb.name}={deb.version}" for deb in missing))
            result = self._run(
                "apt-get", *command, check=False, cwd=incoming, timeout=DOWNLOAD_TIMEOUT
            )
        _take(missing, incoming, folder, result)
        shutil.rmtree(incoming)

    def _run(
        self,
        program: str,
        *arguments: str,
        check: bool = True,
        cwd: Path | None = None,
        timeout: float = QUERY_TIMEOUT,
    ) -> Result:
        environ = {**self.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        command, place = [program, *_options(self.state), *arguments], cwd or self.state
        return self.step.run(command, env=environ, cwd=place, check=check, timeout=timeout)


def open_apt(
    state: Path, architecture: str, environ: Mapping[str, str], step: Step, *, suite: str = ""
) -> Apt:
    """Make or reopen the state below `state`, of the machine's own suite or of another one.

    Raises ChannelError where the machine has no source of its distribution.
    """
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    settings = _SETTINGS.replace("@ARCHITECTURE@", architecture)
    environment = {**environ, "LC_ALL": "C.UTF-8"}
    dump = step.run(["apt-config", "dump"], env=environment, cwd=state, check=False).stdout
    # Icons, translations and command names of every package: some 10 MB that are not read here.
    others = set(re.findall(r"^Acquire::IndexTargets::deb::([^:]+)::MetaKey ", dump, re.MULTILINE))
    for name in sorted(others - {"Packages"}):
        settings += f'Acquire::IndexTargets::deb::{name}::DefaultEnabled "false";\n'
    sources = state / "sources.list.d"
    shutil.rmtree(sources, ignore_errors=True)
    if suite:
        sources.mkdir()
        own = platforms.freedesktop_os_release().get("VERSION_CODENAME", "")
        found = dict(_sources(suite, own, Path("/etc/apt")))
        if not found:
            raise ChannelError(
                f"the machine has no package source to take {suite} from",
                where="/etc/apt",
                cause="no source there is of this distribution, with the section main",
                fix="add the distribution's own source: sources.list(5)",
            )
        for name, text in found.items():
            (sources / name).write_text(text, encoding="utf-8")
        settings += f'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "{sources}";\n'
    (state / "apt.conf").write_text(settings, encoding="utf-8")
    return Apt(state=state, architecture=architecture, environ=environ, step=step)


def _sources(suite: str, own: str, folder: Path) -> Iterator[tuple[str, str]]:
    for path in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))):
        if path.suffix in (".list", ".sources") and path.is_file():
            text = of_suite(suite, own, path.read_text(encoding="utf-8"), path.suffix)
            if text:
                yield path.name, text


def of_suite(suite: str, own: str, text: str, kind: str) -> str:
    """Return a machine's package sources with another suite; empty where none is its own.

    `own` is the machine's suite, which its sources may call stable; `kind` is `.list` or
    `.sources`, the two forms of sources.list(5). Mirrors and keys stay.
    """
    blocks = text.splitlines() if kind == ".list" else re.split(r"\n(?:[ \t]*\n)+", text)
    form = _LINE if kind == ".list" else _STANZA
    found = (form.fullmatch(block.strip()) for block in blocks if "main" in block.split())
    named = {
        name + pocket: suite + pocket
        for name in (own, *_STABLE)
        for pocket in ("", "-updates", "-security")  # not -backports
    }
    made = [
        match["before"] + " ".join(suites) + match["after"]
        for match in found
        if match and (suites := [named[n] for n in match["suites"].split() if n in named])
    ]
    return ("\n" if kind == ".list" else "\n\n").join([*made, ""])


def _options(state: Path) -> Iterator[str]:
    yield f"--config-file={state / 'apt.conf'}"
    for name, value in {
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Cache::archives": state / "cache" / "archives",
        "Dir::Cache::pkgcache": state / "cache" / "pkgcache.bin",
        "Dir::Cache::srcpkgcache": "",  # as large as pkgcache, and of no use beside it
    }.items():
        yield f"--option={name}={value}"


def update_or_keep(apt: Apt, wanted: str) -> Deb:
    """Refresh the lists and return the package that is `wanted`.

    When no source answers, the lists of an earlier run are used and the person is told so. Raises
    ChannelError when there are none, or when the sources do not have the package.
    """
    result = apt.update()
    complaints = [
        line
        for line in f"{result.stdout}\n{result.stderr}".splitlines()
        if line[:2] in ("E:", "W:", "Er")
    ]
    failed = result.returncode != 0 or any("Failed to fetch" in line for line in complaints)
    found = apt.show([wanted]).get(wanted)
    if found is not None:
        if failed:
            apt.step.say(
                "not every package source answered; going on with the lists that are there"
            )
        return found
    words = tail("\n".join(complaints), 8)
    raise_for_disk(words, apt.state)
    # Debian's mirrors have every architecture; Ubuntu's archive has amd64 alone.
    ports = "" if apt.architecture == "amd64" else " (Ubuntu has them on ports.ubuntu.com)"
    if failed or not any((apt.state / "lists").glob("*_Packages*")):
        raise ChannelError(
            "apt-get update reached no package source" + (f":\n{words}" if words else ""),
            where="/etc/apt",
            cause="no network, a proxy that apt does not know of, or no source that is configured "
            f"for {apt.architecture}{ports}",
            fix=f"make 'apt-get update' work, then run this again; its output is in {result.log}",
        )
    raise ChannelError(
        f"{wanted} is in none of the package sources of this machine for {apt.architecture}",
        where="/etc/apt",
        cause="the section with it is not enabled (main on Debian, universe on Ubuntu), or the "
        f"sources are those of other architectures{ports}",
        fix="add it to the sources (Ubuntu: add-apt-repository universe), then run this again",
    )


def is_whole(deb: Deb, path: Path) -> bool:
    """Return whether the package is at `path` with the bytes that the index names."""
    try:
        return path.stat().st_size == deb.size and sha256_file(path) == deb.sha256
    except FileNotFoundError:
        return False


def raise_for_disk(text: str, folder: Path) -> None:
    """Raise MachineError when a tool's words say that the disk is full."""
    if re.search(r"No space left on device|enough free space|Disk quota exceeded", text):
        raise disk_full(folder)


def disk_full(folder: Path) -> MachineError:
    """Return the error for a disk without room."""
    return MachineError(
        "the disk is full",
        where=str(folder),
        cause="the distro channel needs about 300 MB while it is made, 200 MB when it is done",
        fix="free some space or use another folder, then run this again: it goes on from there",
    )


def _take(missing: Sequence[Deb], incoming: Path, folder: Path, result: Result) -> None:
    """Move what was downloaded to its place, if all of it is there and right."""
    # apt writes the epoch into the file's name, the archive does not.
    found = {path.name.partition("_")[0]: path for path in incoming.glob("*.deb")}
    absent = [deb.name for deb in missing if deb.name not in found]
    for deb in missing:
        if deb.name not in absent:
            path = found[deb.name]
            if not is_whole(deb, path):
                raise IntegrityError(
                    f"{deb.file_name} has sha256 {sha256_file(path)}, the index says {deb.sha256}",
                    cause="the mirror or a proxy gave other bytes than the distribution signed",
                    fix="run this again, or use another mirror",
                )
            path.replace(folder / deb.file_name)
    if absent:
        words = tail(result.stderr.strip() or result.stdout.strip(), 8)
        raise_for_disk(words, folder)
        raise ChannelError(
            f"{len(absent)} of {len(missing)} packages were not downloaded: "
            f"{', '.join(absent[:6])}{' ...' if len(absent) > 6 else ''}\n{words}",
            cause="the mirror is out of step with its index, or the connection broke",
            fix=f"run this again, what has arrived is kept; the output is in {result.log}",
        )


@contextmanager
def _watched(folder: Path, advance: Callable[[float], None]) -> Iterator[None]:
    """Count the bytes that arrive below `folder`: apt draws no bar without a terminal."""
    done = threading.Event()

    def watch() -> None:
        seen = 0
        while not done.wait(0.25):
            size = _size_below(folder)
            if size > seen:
                advance(size - seen)
                seen = size

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _size_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # apt renames files when they are complete
            total += path.stat().st_size if path.is_file() else 0
    return total


def require_tools(environ: Mapping[str, str], names: Sequence[str]) -> None:
    """Raise MachineError when a program is not on PATH."""
    missing = [
        name for name in names if shutil.which(name, path=environ.get("PATH", os.defpath)) is None
    ]
    if missing:
        raise MachineError(
            f"{' and '.join(missing)} not found on PATH",
            cause="the distro channel is made with apt's and dpkg's own programs",
            fix="use --channel conda-forge, a mirror's URL or a folder on this machine",
        )

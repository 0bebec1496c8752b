"""Makes, once, the private tool environment that everything else runs in.

Versions and hashes are pinned in requirements/; the environment lies in the user's cache, shared by
all checkouts. Only the standard library is imported, and no module is expected beside this one:
noxfile.py loads it by its place, since this folder must not come onto sys.path (nox.py lies in it).
"""
# No `from __future__ import annotations`: CPython 3.6 must come as far as the check of its version.

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is where an older one is told so
    sys.exit(
        "error: geowheel needs Python 3.11 or newer to run; this is {}.{} ({}).\n"
        "  next: run it with a newer one, for example: python3.12 {}\n"
        "  (wheels can be made for other Python versions than the one that runs it)".format(
            *sys.version_info[:2], sys.executable, " ".join(sys.argv)
        )
    )

import contextlib
import errno
import hashlib
import importlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

REPOSITORY = Path(__file__).resolve().parent.parent
REQUIREMENTS = REPOSITORY / "ci" / "requirements"
_SILENCE = 4.0  # seconds between two lines where the output is no terminal

# pip obeys its configuration (mirrors, proxies, certificates) but for what changes where it
# installs and what.
_PIP_IGNORED = frozenset({
    "PIP_BREAK_SYSTEM_PACKAGES", "PIP_CONSTRAINT", "PIP_DRY_RUN", "PIP_EDITABLE",
    "PIP_IGNORE_INSTALLED", "PIP_IGNORE_REQUIRES_PYTHON", "PIP_LOG", "PIP_NO_BINARY", "PIP_NO_DEPS",
    "PIP_ONLY_BINARY", "PIP_PREFIX", "PIP_PYTHON", "PIP_QUIET", "PIP_REPORT", "PIP_REQUIREMENT",
    "PIP_REQUIRE_VIRTUALENV", "PIP_ROOT", "PIP_SRC", "PIP_TARGET", "PIP_USER", "PIP_VERBOSE",
})  # fmt: skip


class ToolEnvironmentError(Exception):
    """The tool environment cannot be made; the text says why and what to do."""


class Plan(NamedTuple):
    """Where a tool environment lies and what it is made from."""

    base: Path
    """The interpreter that it is made with."""
    requirements: Path
    packages: int
    folder: Path

    @property
    def python(self) -> Path:
        if sys.platform == "win32":
            return self.folder / "Scripts" / "python.exe"
        return self.folder / "bin" / "python"

    @property
    def marker(self) -> Path:
        """Written last: the environment is whole."""
        return self.folder / "geowheel-complete.json"

    @property
    def log(self) -> Path:
        return self.folder.with_name(self.folder.name + ".log")

    @property
    def lock(self) -> Path:
        """Beside the folder, and never removed: whoever waits for it holds it open."""
        return self.folder.with_name(self.folder.name + ".lock")

    def complete(self) -> bool:
        return self.marker.is_file() and self.python.exists()


def ensure(
    group: str = "tools",
    *,
    requirements: Path = REQUIREMENTS,
    environ: Mapping[str, str] | None = None,
) -> Path:
    """The python of the environment that holds `group` ("tools", "development" or "docs").

    Made if it is not there yet. Raises ToolEnvironmentError.
    """
    said = os.environ if environ is None else environ
    plan = make_plan(requirements / f"{group}.txt", said)
    try:
        if not plan.complete():
            _make(plan, said)
        _say_used(plan.marker)
    except OSError as error:
        raise ToolEnvironmentError(explain_os_error(error, plan.folder)) from error
    return plan.python


def _say_used(marker: Path) -> None:
    """For `geowheel cache prune`, which goes by age; at most once a day."""
    with contextlib.suppress(OSError):  # a cache that is only readable works as well
        if time.time() - marker.stat().st_mtime > 86400:
            os.utime(marker)


def make_plan(requirements: Path, environ: Mapping[str, str]) -> Plan:
    """Decides where the environment for these requirements lies; changes nothing."""
    try:
        pinned = requirements.read_bytes()
    except OSError as error:
        raise ToolEnvironmentError(
            f"{requirements} cannot be read: {error.strerror}\n"
            f"  next: git restore {requirements.name}, in {requirements.parent}"
        ) from error
    base = base_interpreter()
    parts = (
        hashlib.sha256(pinned).hexdigest(),
        hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        sys.version,
        str(sysconfig.get_config_var("EXT_SUFFIX")),
        str(base),
    )
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return Plan(
        base=base,
        requirements=requirements,
        packages=len(re.findall(rb"^[A-Za-z0-9][^\s=]*==", pinned, re.MULTILINE)),
        folder=cache_folder(environ, sys.platform) / "tools" / f"{requirements.stem}-{key}",
    )


def base_interpreter() -> Path:
    """The interpreter itself, where this runs in a virtual environment of it."""
    version = "{}.{}".format(*sys.version_info[:2])
    named = [
        # In a virtual environment, CPython 3.11 may name a file here that does not exist.
        Path(getattr(sys, "_base_executable", "") or sys.executable),
        Path(sys.base_prefix, "bin", f"python{version}"),
        Path(sys.base_prefix, "python.exe"),
    ]
    found = next((path for path in named if path.is_file()), Path(sys.executable))
    # python, python3 and python3.12 are one interpreter, and share one environment.
    return found.resolve()


def cache_folder(environ: Mapping[str, str], system: str) -> Path:
    """Where geowheel keeps what it can make again, on the system that sys.platform names."""
    named = environ.get("GEOWHEEL_CACHE")
    if named:
        return Path(named).absolute()
    home = Path(environ.get("HOME") or Path.home())
    if system == "win32":
        local = environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "geowheel"
    if system == "darwin":
        return home / "Library" / "Caches" / "geowheel"
    xdg = Path(environ.get("XDG_CACHE_HOME", ""))
    # The XDG base directory specification: a relative path is to be ignored.
    return (xdg if xdg.is_absolute() else home / ".cache") / "geowheel"


def pip_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What venv and pip see: the user's environment, without what would misdirect them."""
    return {
        name: value
        for name, value in environ.items()
        if name not in _PIP_IGNORED
        and not name.startswith("PYTHON")
        and name not in ("VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    }


def explain_pip(log: str, plan: Plan) -> str:
    """What went wrong in pip, with the likely cause and the next step, from its output."""
    for pattern, cause, fix in _PIP_FAULTS:
        # The part of a line that says it: pip puts one message into the quotes of another.
        found = re.search(rf"""[^\n'">]*(?:{pattern})[^\n'">]*""", log)
        if found:
            return _report(
                "the tool environment cannot be made: " + found.group(0).strip(": ("),
                cause,
                fix.format(folder=plan.folder.parent, requirements=plan.requirements),
                plan.log,
            )
    last = [line for line in log.splitlines() if line.strip()][-3:]
    return _report(
        "the tool environment cannot be made; the last lines of pip:\n    " + "\n    ".join(last),
        "",
        "read the whole output, then run the same command again",
        plan.log,
    )


# The first that matches; the general ones come last, since pip ends most failures with them.
_PIP_FAULTS = (
    (
        "No space left on device|Disk quota exceeded",
        "the disk is full",
        "free some space, or name another folder with GEOWHEEL_CACHE (now {folder})",
    ),
    (
        "DO NOT MATCH THE HASHES",
        "the package index offers other files than the pinned ones",
        "compare PIP_INDEX_URL and pip's configuration with {requirements}",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED|SSLError",
        "a proxy that opens TLS, or an outdated list of certificates",
        "name the certificates that your network needs with PIP_CERT",
    ),
    (
        "Temporary failure in name resolution|Name or service not known|getaddrinfo failed"
        "|Connection refused|Network is unreachable|No route to host"
        "|ProxyError|ConnectTimeout|Read timed out|Connection reset|Connection aborted",
        "the package index cannot be reached",
        "check the network; name a mirror with PIP_INDEX_URL or a proxy with HTTPS_PROXY",
    ),
    (
        "Permission denied",
        "this user may not write there",
        "name a folder of your own with GEOWHEEL_CACHE (now {folder})",
    ),
    (
        "No matching distribution found",
        "the index in use lacks this version, or has no wheel of it for this machine (musl, 32-bit "
        "and PyPy have few)",
        "check PIP_INDEX_URL and pip's configuration, or use CPython 3.11 to 3.14 on glibc, macOS "
        "or Windows",
    ),
)


def explain_os_error(error: OSError, folder: Path) -> str:
    """A failure to write, in words."""
    causes = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "this user's quota is used up",
        errno.EACCES: "this user may not write there",
        errno.EPERM: "this user may not write there",
        errno.EROFS: "it lies on a file system that is mounted read-only",
    }
    place = error.filename or folder
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return _report(
        f"the tool environment cannot be made: {place}: {error.strerror or error}",
        causes.get(error.errno or 0, ""),
        ("free some space, or " if full else "")
        + f"name another folder with GEOWHEEL_CACHE (now {folder.parent})",
    )


def _make(plan: Plan, environ: Mapping[str, str]) -> None:
    _check_machine()
    plan.folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(plan.lock) as lock:
        if plan.complete():  # another run made it while this one waited
            return
        _say(f"making the tool environment (once): {plan.packages} packages")
        if plan.folder.exists():
            shutil.rmtree(plan.folder)  # what an interrupted run left
        start = time.monotonic()
        with plan.log.open("wb") as log:
            env = pip_environment(environ)
            _run([plan.base, "-I", "-m", "venv", plan.folder], plan, env, log, lock)
            _run(
                [
                    plan.python, "-I", "-m", "pip", "install", "--require-hashes",
                    "--only-binary", ":all:", "--disable-pip-version-check", "--no-input",
                    "--no-warn-script-location", "--progress-bar", "off", "-r", plan.requirements,
                ],
                plan, env, log, lock,
            )  # fmt: skip
        scratch = plan.marker.with_suffix(".part")
        seconds = round(time.monotonic() - start, 1)
        scratch.write_text(json.dumps({"requirements": plan.requirements.stem, "s": seconds}))
        scratch.replace(plan.marker)


def _check_machine() -> None:
    """Raises ToolEnvironmentError for what no amount of installing by us can mend."""
    if sys.implementation.name != "cpython":
        raise ToolEnvironmentError(
            _report(
                f"geowheel runs on CPython, this is {sys.implementation.name} ({sys.executable})",
                "",
                "run it with CPython 3.11 or newer",
            )
        )
    # An empty folder that a distribution left behind is found as well, but has no location.
    specs = {name: importlib.util.find_spec(name) for name in ("venv", "ensurepip")}
    missing = [name for name, spec in specs.items() if not (spec and spec.has_location)]
    if missing:
        hints = _of_geowheel("machine.hints")
        version = "{}.{}".format(*sys.version_info[:2])
        command = hints.install(hints.Need.VENV, on=hints.this_machine(), python=version)
        raise ToolEnvironmentError(
            _report(
                f"Python {version} ({sys.executable}) lacks the module {' and '.join(missing)}",
                "the distribution packages it apart",
                command,
            )
        )


def _of_geowheel(module: str) -> Any:
    """A module of the checkout's own sources that needs nothing but the standard library."""
    sources = str(REPOSITORY / "src")
    sys.path.insert(0, sources)
    try:
        return importlib.import_module(f"geowheel.{module}")
    finally:
        sys.path.remove(sources)


def _run(argv: list[str | Path], plan: Plan, env: Mapping[str, str], log: Any, lock: int) -> None:
    """One command, its output in the log, the lock in its hands.

    The child inherits the lock: should this process be killed, the next run waits until the child
    has ended too, instead of writing into the same folder beside it.
    """
    inherited: dict[str, Any] = {} if sys.platform == "win32" else {"pass_fds": (lock,)}
    # -I keeps the folder it starts in off sys.path.
    child = subprocess.Popen(
        [str(part) for part in argv],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        **inherited,
    )
    with child, _shown(plan) as show:
        while child.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=0.5)
            show()
    if child.returncode != 0:
        if shutil.disk_usage(plan.folder.parent).free < 2**20:  # the log ends before saying so
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(plan.folder))
        text = plan.log.read_text(encoding="utf-8", errors="replace")
        raise ToolEnvironmentError(explain_pip(text, plan))


@contextlib.contextmanager
def _shown(plan: Plan) -> Iterator[Callable[[], None]]:
    """Yields what says how far it is: in one line of a terminal, elsewhere every four seconds."""
    begun = said = time.monotonic()
    rewrites = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def show() -> None:
        nonlocal said
        now = time.monotonic()
        text = f"  {doing(plan.log.read_bytes(), plan.packages)}, {now - begun:.0f} s"
        if rewrites:
            sys.stderr.write(f"\r\x1b[K{text[:79]}")
            sys.stderr.flush()
        elif now - said >= _SILENCE:
            _say(text)
            said = now

    try:
        yield show
    finally:
        if rewrites:
            sys.stderr.write("\r\x1b[K")


def doing(log: bytes, packages: int) -> str:
    """What venv or pip is at, by its log."""
    if b"\nInstalling collected packages" in log:
        return f"installing {packages} packages"
    found = len(re.findall(rb"^Collecting ", log, re.MULTILINE))
    return f"downloading package {found} of {packages}" if found else "making the environment"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Holds the lock file `path`; the kernel lets go of it however its holders end."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _lock(descriptor, wait=False):
            _say("another run is making the tool environment: waiting for it")
            _lock(descriptor, wait=True)
        yield descriptor
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, wait: bool) -> bool:
        while True:
            os.lseek(descriptor, 0, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                return True
            except OSError:
                if not wait:
                    return False
                time.sleep(0.2)
else:
    import fcntl

    def _lock(descriptor: int, *, wait: bool) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True


def refuse_early(arguments: Sequence[str], session: str) -> None:
    """Raises ToolEnvironmentError where a wheel is asked for that this machine cannot make."""
    spelling = _of_geowheel("machine.spelling").Spelling(session=session)
    fault = _of_geowheel("machine.obstacles").of_sessions(arguments, REPOSITORY)
    if fault:
        raise ToolEnvironmentError(spelling.of(str(fault)))


def launch(*arguments: str) -> int:
    """Becomes `python ARGUMENTS` of the tool environment; an exit code if it cannot."""
    began = time.time()
    # How a person has to spell a session.
    name = Path(sys.executable).name
    python3 = name if shutil.which(name) else sys.executable
    launcher = shlex.join([python3, str(Path(sys.argv[0]).with_name("nox.py"))])
    try:
        refuse_early(arguments, f"{launcher} -s ")
        python = ensure()
    except ToolEnvironmentError as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted; the next run makes the tool environment anew")
        return 130
    # -I: neither the folder this was started in nor PYTHONPATH may offer another nox (ci/nox.py).
    argv = [str(python), "-I", *arguments]
    env = dict(os.environ)
    env.update(GEOWHEEL_LAUNCHER=launcher, GEOWHEEL_STARTED=str(began))
    if env.get("GEOWHEEL_CACHE"):  # nox changes its folder
        env["GEOWHEEL_CACHE"] = str(Path(env["GEOWHEEL_CACHE"]).absolute())
    sys.stdout.flush()
    sys.stderr.flush()
    return _become(argv, env)


if sys.platform == "win32":

    def _become(argv: list[str], env: dict[str, str]) -> int:
        # exec returns to the shell at once here, before the program has ended.
        child = subprocess.Popen(argv, env=env)
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # the child got it too, and ends by itself
                return child.wait()
else:

    def _become(argv: list[str], env: dict[str, str]) -> NoReturn:
        os.execve(argv[0], argv, env)


def _report(what: str, cause: str, fix: str, log: Path | None = None) -> str:
    lines = [what]
    if cause:
        lines.append(f"  likely cause: {cause}")
    lines.append(f"  next: {fix}")
    if log:
        lines.append(f"  log: {log}")
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()

"""Uploads with twine, file by file: never twice, and never over other bytes."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from geowheel.errors import BuildError, ChannelError, GeowheelError, ReleaseError
from geowheel.machine.console import Step
from geowheel.machine.credentials import shown
from geowheel.machine.environments import tool_environment, tool_path
from geowheel.machine.process import Result, tail

from .index import Index, digest_of, published
from .journal import ReleaseFile
from .plan import other_bytes

_TIMEOUT: Final = 3600
_WAITS: Final = (0, 1, 2, 4, 8, 15, 30, 60, 60)
"""Seconds before each question for what was uploaded: an index may show it late."""
_SHOWN: Final = 6  # lines of twine's
_STATUS: Final = re.compile(r"HTTPError: (\d{3})\b")
_NO_CREDENTIALS: Final = re.compile(r"Credential not found|[Tt]rusted publishing (?:failed|error)")
_AWAY: Final = re.compile(r"Connection|Max retries|Timeout|RemoteDisconnected|SSLError")
# What twine and keyring read of a user's own: names of variables, and how some begin. The place of
# the upload is said by us alone, never by TWINE_REPOSITORY_URL.
_OURS: Final = ("TWINE_REPOSITORY", "TWINE_REPOSITORY_URL", "TWINE_NON_INTERACTIVE")
_PREFIXES: Final = ("TWINE_", "KEYRING_", "PYTHON_KEYRING_", "ACTIONS_ID_TOKEN_")
_NAMES: Final = (
    "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "DISPLAY", "GITHUB_ACTIONS",
    "GITLAB_CI", "CIRCLECI", "BUILDKITE", "APPDATA", "LOCALAPPDATA", "USERPROFILE",
    "PYPI_ID_TOKEN", "TESTPYPI_ID_TOKEN", "CURL_CA_BUNDLE",
)  # fmt: skip


def there(
    index: Index, name: str, file: ReleaseFile, environ: Mapping[str, str], served: bool = False
) -> bool:
    """Return whether the index has the file; with `served`, by the bytes that it hands out as well.

    Raises ReleaseError when it has other bytes by that name, ChannelError when it cannot be asked.
    """
    found = published(index, name, environ).get(file.filename)
    if found is None:
        return False
    for really in (False, True)[: 1 + served]:
        sha256 = digest_of(index, found, environ, served=really)
        if sha256 != file.sha256:
            raise ReleaseError([other_bytes(file, sha256, index.name)])
    return True


def upload(
    index: Index, name: str, file: ReleaseFile, path: Path, environ: Mapping[str, str], step: Step
) -> None:
    """Publish one file that the index does not have.

    What counts is what the index hands out afterwards: an answer that got lost is no failure, and
    a good answer is no success. Raises ReleaseError or ChannelError with the reason.
    """
    place = ["--repository", index.section] if index.section else ["--repository-url", index.upload]
    result = step.run(
        [tool_path("twine"), "upload", "--non-interactive", "--disable-progress-bar", *place, path],
        env=twine_environment(index, environ), cwd=path.parent, check=False, timeout=_TIMEOUT,
    )  # fmt: skip
    failed = result.returncode != 0
    # What twine says comes first, then what the index does.
    reason = failure_of(index, file, result) if failed else None
    for seconds in _WAITS[:1] if failed else _WAITS:
        step.now(f"what {index.name} serves")
        time.sleep(seconds)
        try:
            if there(index, name, file, environ, served=True):
                if failed:
                    step.say(f"{file.filename}: is there, though twine says otherwise")
                return
        except ChannelError as error:
            reason = reason or error
    raise reason or ChannelError(
        f"the index took it, and does not serve it {sum(_WAITS) / 60:.0f} minutes later",
        where=f"{file.filename} to {index.name}",
        cause="it shows new files late, keeps them for somebody's approval, or lost it",
        fix="look at its page there; then run it again: nothing is published twice",
    )


def twine_environment(index: Index, environ: Mapping[str, str]) -> dict[str, str]:
    """Return proxies, certificates and the variables that lead twine and keyring to credentials."""
    kept = {
        name: value
        for name, value in environ.items()
        if (name in _NAMES or name.startswith(_PREFIXES)) and name not in _OURS
    }
    if index.user is not None:  # also where they were a part of the URL
        kept |= {"TWINE_USERNAME": index.user[0], "TWINE_PASSWORD": index.user[1]}
    return tool_environment(environ, **kept, NO_COLOR="1")


def failure_of(index: Index, file: ReleaseFile, result: Result) -> GeowheelError:
    """Return what twine's words mean."""
    said = shown(result.stdout + result.stderr).strip()  # twine colours whatever it is told
    words = " ".join(said.replace("│", " ").split())  # twine may wrap them, and frame them
    found = _STATUS.search(words)
    status = int(found[1]) if found else 0
    where = f"{file.filename} to {index.name}"
    if status in (401, 403) or _NO_CREDENTIALS.search(words):
        return ChannelError(
            f"the index refuses to take it:\n{tail(said, _SHOWN)}",
            where=where,
            cause="the credentials are missing, wrong, or not allowed to publish this project",
            fix="TWINE_USERNAME and TWINE_PASSWORD (for PyPI: __token__ and a token), a section in "
            "~/.pypirc, or a keyring; then again: it goes on where it stopped",
        )
    if status == 409 or (status == 400 and "already exist" in words):
        return ReleaseError(
            f"the index has a file of this name, but does not show it:\n{tail(said, _SHOWN)}",
            where=where,
            cause="it was deleted there, whose names stay taken, or its pages are out of date",
            fix="run it again in some minutes, or release a new version",
        )
    if status >= 500 or _AWAY.search(words):
        return ChannelError(
            f"the index went away:\n{tail(said, _SHOWN)}",
            where=where,
            cause="the server or the network failed in the middle of it",
            fix="run it again: it goes on with this file, nothing is published twice",
        )
    return BuildError(
        f"twine failed with exit code {result.returncode}:\n{tail(said)}",
        where=where,
        fix=f"the whole output is in {result.log}",
    )

"""What stands against a wheel here, known before anything is downloaded.

Only the standard library is imported, since ci/environment.py asks before anything is installed.
"""

import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from geowheel.errors import Fault

from . import hints

_MADE_HERE: Final = re.compile(
    r"(?:tests|bindings|vendor|build|repair|size|test|lab|wheel)(-3\.\d+t?)?"
)
_ELSEWHERE: Final = {"--platform", "--wheel", "--channel", "--all", "--python", "--help"}


def not_configured(
    on: hints.OperatingSystem, python: str, pythons: Sequence[str], have: Callable[[str], bool]
) -> Fault | None:
    """Say that no wheel is configured for the Python that runs; None where one is.

    `pythons` are the configured ones; `have` says whether this machine has one of a version.
    """
    if python in pythons or not pythons:
        return None
    here = [version for version in pythons if have(version)]
    words = f"this machine has {', '.join(here)}" if here else "this machine has none of them"
    chosen = here[-1] if here else pythons[-1]
    get = "" if here else f"{hints.interpreters(on=on, python=chosen)}; then "
    return Fault(
        what=f"no wheel is configured for Python {python}, which runs this",
        cause=f"pythons in [tool.geowheel] are {', '.join(pythons)}; {words}",
        fix=f"{get}`geowheel wheel --python {chosen}`; or add {python} to pythons",
    )


def of_sessions(arguments: Sequence[str], root: Path) -> Fault | None:
    """Say what stands against the wheel of nox sessions; geowheel itself looks again."""
    asked, _, options = "\n".join(arguments).partition("\n--\n")
    words = options.split("\n")
    made = [found for word in asked.split("\n") if (found := _MADE_HERE.fullmatch(word))]
    if _ELSEWHERE & set(words) or all(found[1] for found in made):
        return None
    host = words[words.index("--host") + 1] if "--host" in words[:-1] else "hosts/gdal"
    running, pythons = "{}.{}".format(*sys.version_info[:2]), configured_pythons(root / host)
    here = hints.this_machine()
    return not_configured(here, running, pythons, lambda v: bool(shutil.which(f"python{v}")))


def configured_pythons(host: Path) -> list[str]:
    """Return the versions that a host configures; a broken configuration is told elsewhere."""
    try:
        data = tomllib.loads((host / "pyproject.toml").read_text(encoding="utf-8"))
        return [str(version) for version in data["tool"]["geowheel"]["pythons"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []

"""The package index that the user has set for pip, told to uv, which does not read pip.conf."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .environments import tool_environment

# pip's keys, and the variable of uv with the same meaning
# (https://docs.astral.sh/uv/reference/environment/). More indexes stand one a line in pip.conf.
_SETTINGS: Final = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
}
_OF_UV: Final = (".config/uv/uv.toml", "AppData/Roaming/uv/uv.toml")
_OF_SYSTEM: Final = Path("/etc/uv/uv.toml")


def index_environment(environ: Mapping[str, str], **extra: str) -> dict[str, str]:
    """Return the environment for uv, with the index of pip.conf where uv itself has none set."""
    env = tool_environment(environ, **extra)
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or "/")
    told = any(name.startswith(("UV_DEFAULT_INDEX", "UV_INDEX")) and env[name] for name in env)
    if told or any(path.is_file() for path in (*(home / name for name in _OF_UV), _OF_SYSTEM)):
        return env
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"], env=env,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return env | uv_settings(listed.stdout)


def uv_settings(listed: str) -> dict[str, str]:
    """Return uv's variables for what `pip config list` prints: `global.index-url='https://...'`."""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = _SETTINGS.get(key.rpartition(".")[2])
        if name and value.startswith(("'", '"')):
            found[name] = " ".join(str(ast.literal_eval(value)).split())
    return found

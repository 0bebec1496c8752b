"""What a wheel says of how it was made: written into its SBOM, and compared by `rebuild`.

Nothing of it is of one machine alone: where the same comes out, the same is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from geowheel import __version__
from geowheel.digest import digest
from geowheel.project.config import Config

from .zig import Zig

if TYPE_CHECKING:
    from .context import Context

_SAID: Final = (
    "import_package", "layout", "bindings", "abi", "toolchain", "plugins", "programs", "exclude",
    "data", "floor",
)  # fmt: skip


def recipe(context: Context, repair_tools: Mapping[str, str]) -> dict[str, str]:
    """Return the lock, the configuration, the interpreter and the versions of the tools."""
    config, locks, tools = context.project.config, context.locks, context.toolchain
    packages = sorted(package.sha256 for package in locks.stack.packages)
    backend = () if context.raw else locks.build.requirements("build", context.built_by)
    found = {
        "geowheel": __version__,
        "native stack": digest(packages),
        # Of the stable ABI: what it is for, as the same bytes come out by any that is newer.
        "interpreter": f"CPython {context.made_for.python}",
        # The bytes of the machine's own programs are in the key alone.
        **{name: v for name, v in repair_tools.items() if len(v) != len(digest(""))},
        **{asset.name: asset.version for asset in backend},
    }
    if tools is not None:
        found["compiler"] = str(tools.asset) if isinstance(tools, Zig) else tools.version
    usual = Config(pythons=())
    for name in _SAID:
        if (value := getattr(config, name)) != getattr(usual, name):
            text = msgspec.json.encode(value, order="deterministic").decode()
            found[f"[tool.geowheel] {name}"] = text
    # A digest alone: not everybody may be to know it.
    if any(given := (config.build.environment, config.build.config_settings)):
        found["[tool.geowheel.build]"] = digest(given)
    return dict(sorted(found.items()))

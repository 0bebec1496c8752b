"""What `geowheel --help` and `geowheel COMMAND --help` say beside the options."""

from collections.abc import Mapping
from typing import Final

from geowheel.command_table import COMMANDS

from .parsing import Parser

SHELLS: Final = ("bash", "zsh", "fish", "tcsh")
EPILOG: Final = """\
examples:
  geowheel doctor             what this machine lacks
  geowheel plan               what `wheel` would do, and why
  geowheel wheel              everything, for the Python that runs this
  geowheel COMMAND --help     the options of one command

exit codes: 2 usage, 3 configuration, 4 lock, 5 channel, 6 integrity, 7 machine, 8 build, 9 size,
10 test, 11 release, 12 audit, 13 nothing explained, 70 unforeseen, 130 interrupted
"""

_EXAMPLES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "wheel": (
        ("geowheel wheel --python 3.13", "for another configured Python"),
        ("geowheel wheel --all", "for every configured Python"),
        ("geowheel wheel --frozen", "in CI: from the committed lock or not at all"),
        ("geowheel wheel --channel distro", "from this distribution's own packages"),
        ("geowheel wheel --platform win-64 --bindings prebuilt", "another platform's, assembled"),
    ),
    "build": (
        ("geowheel build --keep-work", "a failed stage's folder is kept, to look into"),
    ),
    "fetch": (
        ("geowheel fetch --platform osx-arm64 --platform win-64", "for other platforms"),
    ),
    "matrix": (("geowheel matrix --json", "the same for a program"),),
    "test": (
        ("geowheel test --python 3.13", "the repaired wheel of that Python"),
        ("geowheel test --wheel dist", "wheels that another machine made"),
    ),
    "lock": (
        ("geowheel lock", "what is locked stays, where it still fits"),
        ("geowheel lock --upgrade libgdal-core", "the newest libgdal-core that fits"),
        ("geowheel lock --upgrade", "the newest of everything"),
        ("geowheel lock --check", "in CI: compare, write nothing"),
    ),
    "coverage": (
        ("geowheel coverage", "of the wheels in dist/"),
        ("geowheel coverage --system debian --json", "the same for a program, of some systems"),
        ("geowheel coverage gdal-3.12-cp312-cp312-manylinux_2_28_x86_64.whl", "of a planned one"),
    ),
    "reproduce": (
        ("geowheel reproduce --python 3.12", "wheel, sdist and packages of that Python, twice"),
    ),
    "rebuild": (
        ("geowheel rebuild dist/gdal-3.13.3-cp311-abi3-manylinux_2_28_x86_64.whl",
         "whether this checkout makes that wheel"),
    ),
    "audit": (
        ("geowheel audit", "the wheels in dist/"),
        ("geowheel audit FILE.whl", "any wheel, whoever made it"),
        ("geowheel audit --vulnerabilities grype.json", "what is known against its packages"),
        ("geowheel audit --published pypi gdal", "which wheels that are out need a new build"),
        ("geowheel audit --images manylinux_2_28", "which image to build in, by its digest"),
        ("geowheel audit --explain bind-now", "what a rule is about, and what to do"),
        ("geowheel audit --sarif dist/audit.sarif", "for a code scanning service"),
    ),
    "cache": (
        ("geowheel cache list", "what is kept, how large it is, when it was last used"),
        ("geowheel cache prune", "what would go: not used for 90 days"),
        ("geowheel cache prune --older-than 30 --yes", "remove what was not used for a month"),
    ),
    "export": (("geowheel export dist/export", "every wheel that is built here"),),
    "collect": (("geowheel collect artifacts", "of every folder in it that was exported"),),
    "release": (
        ("geowheel release --dry-run", "every check, and what would be published; no upload"),
        ("geowheel release --index testpypi", "to another index than the configured one"),
        ("geowheel release --push", "the tag is pushed as well, else only said how"),
    ),
    "report": (
        ("geowheel report", "dist/report.html, and the same facts as dist/report.json"),
        ("geowheel report --against old/report.json", "sizes compared with that release"),
    ),
    "workflow": (
        ("geowheel workflow --check", "in CI: whether it is what would be generated"),
    ),
    "doctor": (("geowheel doctor --json", "the same for a program"),),
    "explain": (
        ("geowheel explain build.log", "cause, remedy and command of each known failure in it"),
        ("pip install gdal 2>&1 | geowheel explain", "of what another command prints"),
    ),
    "schema": (
        ("geowheel schema --pyproject > .pyproject.schema.json", "for an editor: see the docs"),
    ),
    "completion": (
        ("source <(geowheel completion bash)", "in ~/.bashrc"),
        ("geowheel completion fish > ~/.config/fish/completions/geowheel.fish", "for fish"),
    ),
}  # fmt: skip


class Overview(Parser):
    """The parser of `geowheel` itself, whose help shows the commands in groups."""

    def format_help(self) -> str:
        width = max(len(command.name) for command in COMMANDS) + 2
        blocks = [f"usage: {self.prog} COMMAND [options]", self.description or ""]
        for group in dict.fromkeys(command.group for command in COMMANDS):
            rows = (c for c in COMMANDS if c.group == group)
            blocks.append(
                "\n".join([f"{group}:", *(f"  {c.name:<{width}}{c.summary}" for c in rows)])
            )
        blocks.append(f"options:\n  {'-h, --help':<{width}}this\n  {'--version':<{width}}which one")
        return "\n\n".join([*blocks, self.epilog or ""])


def examples_of(command: str) -> str | None:
    """Return the last part of a command's help; None where it has no examples."""
    rows = _EXAMPLES.get(command, ())
    width = max((len(example) for example, _ in rows), default=0) + 3
    return "\n".join(["examples:", *(f"  {e:<{width}}{m}" for e, m in rows)]) if rows else None

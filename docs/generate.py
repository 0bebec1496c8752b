"""Renews the parts of the documentation that the source says: `python3 ci/nox.py -s docs` runs it.

A page has such a part between `<!-- generated: NAME -->` and `<!-- end -->`. The parts are
committed, so that the pages are whole wherever Markdown is read.
"""

import argparse
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from auditwheel.architecture import Architecture
from auditwheel.libc import Libc
from auditwheel.policy import WheelPolicies

from geowheel import cli, errors, nox
from geowheel.audit.abi import STABLE, abi_table
from geowheel.audit.registry import RULES
from geowheel.binary.system_libraries import has_library
from geowheel.cli import command_help
from geowheel.cli.arguments import parser
from geowheel.command_table import COMMANDS
from geowheel.machine.spelling import STANDALONE, VERSIONED
from geowheel.project.config import TABLE
from geowheel.project.schema import tool_schema
from geowheel.targets import System

DOCS: Final = Path(__file__).parent
PAGES: Final = (*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md")
_PART: Final = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_AND: Final = "\nand the "


def renewed(text: str) -> str:
    """The text of a page with every generated part as the source has it now."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}", text)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join([_row(*head), _row(*("---" for _ in head)), *(_row(*row) for row in rows)])


# ---------------------------------------------------------------------------- configuration


def keys(table: Mapping[str, Any] | None = None, title: str = TABLE) -> str:
    """The keys of `[tool.geowheel]`, then those of each table in it."""
    table = table or tool_schema()
    # A key may be a text or a table.
    kinds = {k: v.get("anyOf", [v])[-1] for k, v in table["properties"].items()}
    inner = {name: kind for name, kind in kinds.items() if "properties" in kind}
    rows = [
        (f"`{name}`", _default(name, value, table), _meaning(value))
        for name, value in table["properties"].items()
        if "properties" not in value
    ]
    own = f"### `[{title}]`\n\n{_table(('key', 'default', 'meaning'), rows)}"
    return "\n\n".join([own, *(keys(value, f"{title}.{name}") for name, value in inner.items())])


def _default(name: str, value: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    if name in table.get("required", ()):
        return "required"
    return f"`{json.dumps(value['default'])}`" if "default" in value else "none"


def _meaning(value: Mapping[str, Any]) -> str:
    choices = [
        f'`"{choice["const"]}"`: {choice["description"]}' if "description" in choice
        else f'`"{choice["const"]}"`'
        for choice in value.get("oneOf", ())
    ]  # fmt: skip
    return "<br>".join([value["description"], *choices])


# ---------------------------------------------------------------------------- commands


def commands() -> str:
    """Every command with its options and examples, those that many take only once."""
    found = next(a.choices for a in parser()._actions if isinstance(a.choices, dict))
    project = _options(found["status"])
    stage = {k: v for k, v in _options(found["fetch"]).items() if k not in project}
    blocks = [
        "## Options of every command that reads a project", _option_table(project),
        "## Options of every stage", _option_table(stage),
    ]  # fmt: skip
    group = ""
    for command in COMMANDS:
        if command.group != group:
            group = command.group
            blocks.append(f"## {group[:1].upper()}{group[1:]}")
        parts = {"project": project, "stage": stage}
        blocks += _command(command.name, found[command.name], parts)
    return "\n\n".join(blocks)


def every_command() -> str:
    """Every command with its line."""
    return _table(("command", "what it does"), ((f"`{c.name}`", c.summary) for c in COMMANDS))


def _command(
    name: str, command: argparse.ArgumentParser, shared: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    own = _options(command)
    taken = [title for title, options in shared.items() if options.items() <= own.items()]
    known = {option for title in taken for option in shared[title]}
    links = {
        "project": "[options of a project](#options-of-every-command-that-reads-a-project)",
        "stage": "[options of a stage](#options-of-every-stage)",
    }
    yield f"### `{name}`"
    summary = command.description or ""
    yield f"{summary if summary.startswith('osgeo') else summary[:1].upper() + summary[1:]}."
    if taken:
        yield f"It takes the {_AND.join(links[title] for title in taken)}."
    if rest := {k: v for k, v in own.items() if k not in known}:
        yield _option_table(rest)
    if examples := command_help._EXAMPLES.get(name):
        width = max(len(line) for line, _ in examples) + 3
        lines = [f"{line:<{width}}# {meaning}" for line, meaning in examples]
        yield "\n".join(["```sh", *lines, "```"])


def _options(command: argparse.ArgumentParser) -> dict[str, str]:
    """What a command takes, as it is written, and what that means."""
    return {
        _written(action): (action.help or "") % {**vars(action), "prog": command.prog}
        for action in command._actions
        if "--help" not in action.option_strings
    }


def _written(action: argparse.Action) -> str:
    named = action.metavar or ""
    value = named if isinstance(named, str) else " ".join(named)
    if not value and action.choices:
        value = "|".join(map(str, action.choices))
    if not value and action.nargs != 0:
        value = action.dest.upper()
    return " ".join([*action.option_strings[-1:], *([value] if value else [])])


def _option_table(options: Mapping[str, str]) -> str:
    return _table(("option", "meaning"), ((f"`{k}`", v) for k, v in options.items()))


# ---------------------------------------------------------------------------- the rest


def exit_codes() -> str:
    """The kinds of errors, by their codes."""
    rows = [
        ("0", "", "Done."),
        ("1", "", "What a nox session, or ci/nox.py, ends with for every error."),
        *(
            (str(kind.exit_code), f"`{kind.__name__}`", inspect.getdoc(kind) or "")
            for kind in sorted(errors.GeowheelError.__subclasses__(), key=lambda k: k.exit_code)
        ),
        (str(cli.INTERRUPTED), "", "Interrupted by Ctrl-C or SIGTERM."),
        (str(cli.BROKEN_PIPE), "", "What reads the output, such as `head`, ended first."),
    ]
    return _table(("code", "class", "meaning"), rows)


def rules() -> str:
    """Every rule of the audit."""
    head = ("rule", "level", "in what others compiled", "a wheel that keeps it", "remedy")
    return _table(head, ((f"`{r.id}`", r.level, r.prebuilt, r.title, r.remedy) for r in RULES))


def lent() -> str:
    """What the manylinux policies lend that not every system has."""
    rows: dict[str, list[str]] = {}
    for policy in WheelPolicies(libc=Libc.GLIBC, arch=Architecture.x86_64):
        names = sorted(n for n in policy.whitelist if not has_library(System.LINUX, n))
        if names:
            rows.setdefault(", ".join(f"`{name}`" for name in names), []).append(policy.name)
    cells = [(f"{each[-1]} to {each[0]}" if each[1:] else each[0], n) for n, each in rows.items()]
    return _table(("policies", "libraries"), cells)


def pythons() -> str:
    """What a module can be compiled for, CPython by CPython."""
    head = (
        "CPython", "supported", "the full C API", "the stable ABI", "names in it", "free-threaded",
        "its stable ABI",
    )  # fmt: skip
    rows = []
    for version, (first, last, free, stable) in abi_table().items():
        text, tag = "{}.{}".format(*version), "cp{}{}".format(*version)
        names = sum(added <= version for added in STABLE.values())
        abi3 = f"`{tag}-abi3`: {text} and newer"
        cells = (f"{first} to {last}", f"`{tag}-{tag}`: {text} alone", abi3, str(names))
        rows.append((text, *cells, free or "none", stable or "none"))
    return _table(head, rows)


def sessions() -> str:
    """What a noxfile gets."""
    named = {"alone": sorted(STANDALONE), "versioned": VERSIONED}
    alone, versioned = (", ".join(f"`{name}`" for name in names) for names in named.values())
    return f"""\
- one for each [command](commands.md) but {alone}
- one for each configured Python, such as `wheel-3.12`,
  of {versioned}"""


def api() -> str:
    """The one public function of `geowheel.nox`."""
    arguments = "\n".join(
        f"    {p.name}: {p.annotation} = {p.default!r},"
        for p in inspect.signature(nox.sessions).parameters.values()
    )
    code = f"```python\nsessions(\n    *,\n{arguments}\n) -> None\n```"
    return f"{code}\n\n{inspect.getdoc(nox.sessions)}"


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "keys": keys,
    "commands": commands,
    "exit-codes": exit_codes,
    "list": every_command,
    "rules": rules,
    "lent": lent,
    "pythons": pythons,
    "sessions": sessions,
    "api": api,
}

if __name__ == "__main__":
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = renewed(before)
        if after != before:
            page.write_text(after, encoding="utf-8")

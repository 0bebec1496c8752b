"""entry_points.txt of a wheel: the host's own entry points, and what is added to them.

The file is one for configparser, as the specification says:
https://packaging.python.org/en/latest/specifications/entry-points/
"""

import configparser
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from geowheel.errors import BuildError, Fault

FILE_NAME: Final = "entry_points.txt"
CONSOLE: Final = "console_scripts"
_HOOKS: Final = "pyinstaller40"
_COMMANDS: Final = (CONSOLE, "gui_scripts")  # both become programs in one folder


def console_scripts(text: str, where: str = FILE_NAME) -> dict[str, str]:
    """Return the console commands of an entry_points.txt: name to `module:function`."""
    parsed = _parse(text, where)
    return dict(parsed[CONSOLE]) if parsed.has_section(CONSOLE) else {}


def merged(
    text: str, commands: Mapping[str, str], where: str = FILE_NAME, scripts: Collection[str] = ()
) -> str:
    """Return an entry_points.txt with `commands` added, ordered alike for every host's tool.

    Of `scripts`, which are files of their own, it only has to be free.

    Raises BuildError where the host has another command of such a name, or the text is damaged.
    """
    parsed = _parse(text, where)
    if faults := [
        _clash(name, f"the host's command {name} = {theirs}", commands[name], where)
        for group in _COMMANDS
        if parsed.has_section(group)
        for name, theirs in parsed[group].items()
        if name in commands and (group != CONSOLE or theirs != commands[name])
    ]:
        raise BuildError(faults)
    return _with(parsed, CONSOLE, {n: c for n, c in commands.items() if n not in scripts})


def _with(parsed: configparser.RawConfigParser, group: str, entries: Mapping[str, str]) -> str:
    if not parsed.has_section(group):
        parsed.add_section(group)
    parsed[group].update(entries)
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {parsed[group][name]}\n" for name in sorted(names))
        for group in sorted(parsed.sections())
        if (names := list(parsed[group]))
    ]
    return "\n".join(groups)


def add_entry_points(
    dist_info: Path, commands: Mapping[str, str], hook: str, scripts: Mapping[str, str]
) -> None:
    """Write the commands and PyInstaller's hook into an unpacked wheel.

    Those of `scripts` become files with that text, the others entry points. Where the host has a
    hook itself, that one stays: a distribution has one. Raises BuildError for a command that the
    host has already, as an entry point or as a script.
    """
    data = dist_info.with_suffix(".data")
    if faults := [
        _clash(path.name, f"the host's script {path.name}", commands[path.name], data.name)
        for path in sorted((data / "scripts").glob("*"))
        if path.name in commands
    ]:
        raise BuildError(faults)
    file = dist_info / FILE_NAME
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    where = f"{dist_info.name}/{FILE_NAME}"
    parsed = _parse(merged(text, commands, where, scripts), where)
    own = parsed[_HOOKS] if parsed.has_section(_HOOKS) else {}
    file.write_text(_with(parsed, _HOOKS, {"hook-dirs": hook, **own}), encoding="utf-8")
    for name, script in scripts.items():
        (data / "scripts").mkdir(parents=True, exist_ok=True)
        (data / "scripts" / name).write_text(script, encoding="utf-8")
        (data / "scripts" / name).chmod(0o755)


def _parse(text: str, where: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(delimiters=("=",), default_section="")
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their case
    try:
        parser.read_file(io.StringIO(text), source=where)
    except configparser.Error as error:
        raise BuildError(
            f"not an entry_points.txt: {' '.join(str(error).split())}",
            where=where,
            cause="the build backend wrote it wrongly, or a name is in it twice",
        ) from error
    return parser


def _clash(name: str, theirs: str, ours: str, where: str) -> Fault:
    return Fault(
        what=f"{theirs} and GDAL's {name} = {ours} have one name",
        where=where,
        cause="[tool.geowheel] programs installs GDAL's as a console command",
        fix="give the host's another name, or leave GDAL's out: programs takes patterns of the "
        "ones to install",
    )

"""`--keep-work`: what a failed stage leaves behind for somebody to look into.

A folder with the stage's own files (`work`), what its commands were given in temporary folders,
and a script that stands where the failed command stood, in the environment that it had.
"""

import shlex
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

WORK: Final = "work"
ENTER: Final = "enter.sh"
ELSEWHERE: Final = "elsewhere"
"""A link to the stage's folder outside the checkout."""
PREFIX: Final = "geowheel-kept-"


@dataclass(frozen=True, kw_only=True)
class FailedCommand:
    """A command that failed, and where it ran."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    returncode: int


class Kept:
    """Collects, while a stage runs, what its failure could be looked into with; thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._failed: list[FailedCommand] = []
        self._guard = threading.Lock()

    def failed(self, command: FailedCommand) -> None:
        """Remember a command that failed.

        Folders that it was given below the system's temporary one are copied: their maker removes
        them as soon as the command has ended (pyproject_hooks hands its hooks one).
        """
        temporary = Path(tempfile.gettempdir())
        with self._guard:
            argv = list(command.argv)
            for number, argument in enumerate(argv):
                path = Path(argument)
                if path.is_dir() and path.is_absolute() and path.parent == temporary:
                    copy = self.folder / f"argument-{len(self._failed)}-{number}"
                    shutil.copytree(path, copy, symlinks=True, dirs_exist_ok=True)
                    argv[number] = str(copy)
            self._failed.append(replace(command, argv=tuple(argv)))

    def keep(self, folder: Path) -> None:
        """Keep a folder outside the checkout, until `remove_kept`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / ELSEWHERE).symlink_to(folder)

    @property
    def place(self) -> Path:
        """The folder outside the checkout, or where a link to it would be."""
        return (self.folder / ELSEWHERE).resolve()

    @property
    def empty(self) -> bool:
        """Nothing ran that could be looked into."""
        return not self._failed and not (self.folder / ELSEWHERE).is_symlink()

    def leave(self) -> list[str]:
        """Write the script; what to tell a person, line by line."""
        self.folder.mkdir(parents=True, exist_ok=True)
        script = self.folder / ENTER
        command = _the_one(self._failed)
        script.write_text(_script(self.folder, command), encoding="utf-8")
        # Its environment may name a proxy or an index with a password.
        script.chmod(0o700)
        lines = [f"kept for you to look into: {self.folder}", f"  sh {shlex.quote(str(script))}"]
        if command is not None:
            lines[-1] += "         a shell where the failed command ran, in its environment"
            lines.append(f"  sh {shlex.quote(str(script))} again   that command once more")
        return [*lines, "  `geowheel clean` removes it, and so does the next run of this stage"]


def remove_kept(folder: Path) -> None:
    """Remove a scratch folder, with what it links to outside the checkout; or a file.

    Raises OSError when it cannot be removed: nobody may say then that it is gone.
    """
    link = folder / ELSEWHERE
    if link.is_symlink() and (target := link.readlink()).name.startswith(PREFIX):
        shutil.rmtree(target, ignore_errors=True)
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def _the_one(failed: Sequence[FailedCommand]) -> FailedCommand | None:
    """Return the command that explains a failure: the last that ended by itself.

    The others were killed because of it.
    """
    by_itself = [command for command in failed if command.returncode > 0]
    return next(iter([*reversed(by_itself), *failed]), None)


def _script(folder: Path, command: FailedCommand | None) -> str:
    if command is None:
        return f"#!/bin/sh\ncd {shlex.quote(str(folder))} && exec /bin/sh -i\n"
    settings = " \\\n    ".join(
        shlex.quote(f"{name}={value}") for name, value in sorted(command.env.items())
    )
    return f"""#!/bin/sh
# `sh {ENTER}` opens a shell where a command of geowheel failed, in the environment that it had;
# `sh {ENTER} again` runs that command once more.
cd {shlex.quote(str(command.cwd))} || exit
if [ "$1" = again ]; then
    set -- {shlex.join(command.argv)}
else
    set -- TERM="$TERM" /bin/sh -i
fi
exec env -i \\
    {settings} \\
    "$@"
"""

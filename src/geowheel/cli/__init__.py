"""The command line: parse, dispatch, and the one place where errors are caught and shown."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from geowheel.errors import (
    BuildError,
    GeowheelError,
    LockError,
    UnforeseenError,
    UsageError,
    WheelTestError,
)
from geowheel.machine.console import Console
from geowheel.machine.credentials import shown
from geowheel.machine.files import of_the_system, temporary_folder, write
from geowheel.machine.spelling import read_spelling

from .arguments import parser
from .commands import Call, write_json
from .explain import explain_error

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE: Final = 141  # 128 + SIGPIPE
_OF_A_STAGE: Final = (BuildError, LockError, WheelTestError)
"""Errors that repeat what a tool said."""


def entry() -> NoReturn:
    """Run the program `geowheel`: `main`, and an end that nothing can spoil."""
    # As Ctrl-C: what was started, in sessions of its own, is ended, and nothing half-made stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        try:
            code = main()
        except SystemExit as shown:  # --help
            code = int(shown.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:  # `| head` has seen enough
        code = BROKEN_PIPE
    # Not sys.exit: py-rattler's threads, left from a channel that did not answer, have aborted the
    # interpreter while it was taken down. All that is ours is closed by now.
    os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code (see `geowheel.errors` for the kinds).

    Without a command: the help, and the exit code of a usage error.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    spelling = read_spelling(words, os.environ)
    asked = parser()
    try:
        options = asked.parse_args(words)
    except UsageError as wrong:
        sys.stderr.write(f"error: {shown(spelling.of(str(wrong)))}\n")
        return UsageError.exit_code
    if "run" not in options:
        asked.print_help(sys.stderr)
        return UsageError.exit_code
    root = Path(options.root).resolve()
    console = Console(
        logs=root / ".geowheel" / "logs", quiet=options.quiet, json=options.json, spelling=spelling
    )
    call = Call(options=options, environ=dict(os.environ), console=console, root=root, parser=asked)
    command: Callable[[Call], dict[str, Any]] = options.run
    try:
        with console.screen.during(options.command), temporary_folder():
            summary = command(call)
    except BrokenPipeError:  # nobody is there to be told
        raise
    except Exception as raised:  # noqa: BLE001 - here ends what nobody foresaw
        error = _as_told(raised, console)
        # An error is shown under --quiet as well.
        aloud = Console(logs=console.logs, spelling=spelling)
        aloud.line()
        aloud.line(f"error: {error}", style="red")
        known = explain_error(str(error), aloud) if isinstance(error, _OF_A_STAGE) else []
        if options.json:
            notes = [json.loads(note) for note in getattr(error, "__notes__", [])]
            told = {"explained": known} if known else {}
            write_json({"error": str(error), **told, **(notes[0] if notes else {})})
        return error.exit_code
    except KeyboardInterrupt:
        console.line("interrupted; the next run goes on where this one stopped", style="yellow")
        return INTERRUPTED
    if options.json:
        write_json(summary)
    return 0


def _as_told(raised: Exception, console: Console) -> GeowheelError:
    """Return an error as it is shown: in the system's words, or with the place of its traceback."""
    if isinstance(raised, GeowheelError | OSError):
        return raised if isinstance(raised, GeowheelError) else of_the_system(raised)
    log, text = console.logs / "unforeseen.log", "".join(traceback.format_exception(raised))
    with suppress(OSError):
        write(log, shown(text))
    return UnforeseenError(
        f"geowheel did not foresee this: {type(raised).__name__} {str(raised)[:200]!r}",
        fix=f"tell its maintainers, with {log}",
    )

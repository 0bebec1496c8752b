"""Starts nox in the tool environment; options of geowheel that stand before `--` get an answer."""

import argparse
import os
import shlex
import sys
from typing import NoReturn

from nox.__main__ import main


def say_where_options_go(_: argparse.ArgumentParser, message: str) -> NoReturn:
    """In place of nox's usage: what is wrong, and the same command as it has to be typed."""
    _before, unknown, words = message.partition("unrecognized arguments: ")
    told = sys.argv[3:]  # without the noxfile, which ci/nox.py names
    if unknown and words.split()[0] in told:
        first = told.index(words.split()[0])
        asked, options = told[:first], [word for word in told[first:] if word != "--"]
        if "-s" in options:  # the session stands behind its options
            place = options.index("-s")
            asked += options[place : place + 2]
            del options[place : place + 2]
        launcher = os.environ.get("GEOWHEEL_LAUNCHER", "nox")
        right = shlex.join([*asked, "--", *options])
        message += "\n  likely cause: the options of a session stand after --"
        message += f"\n  next: {launcher} {right}"
    sys.stderr.write(f"error: {message}\n")
    sys.exit(2)


if __name__ == "__main__":
    setattr(argparse.ArgumentParser, "error", say_where_options_go)  # noqa: B010 - typed
    main()

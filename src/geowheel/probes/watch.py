"""In the environment of the host's tests: notes packages of the wheel that come from elsewhere.

Every Python that starts there imports it (a .pth file), and says so beside it when it ends.
"""

from __future__ import annotations

import atexit
import json
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))


def note() -> None:
    """Append a line for each package of the wheel that was imported from another place."""
    place = os.path.splitext(os.path.realpath(__file__))[0]
    with open(place + ".json", encoding="utf-8") as file:
        packages = json.load(file)
    for name in packages:
        found = getattr(sys.modules.get(name), "__file__", None)
        if found and not os.path.realpath(found).startswith(HERE + os.sep):
            with open(place + ".txt", "a", encoding="utf-8") as file:
                file.write("%s from %s\n" % (name, found))


atexit.register(note)

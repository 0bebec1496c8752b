"""One function, in a process of its own: `probe.py ASKED REPORT`, both files of JSON.

ASKED names the function, as `module:function`, and holds what it has to know. What the function
returns is written to REPORT. An exception is a failure: its traceback is the detail. Without a
report the process did not get that far.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from typing import Any


class Failed(AssertionError):
    """Another process did not end well."""

    def __init__(self, returncode: int, said: str) -> None:
        super().__init__("exit code %d:\n%s" % (returncode, said))
        self.returncode = returncode
        self.said = said


def again(
    asked: dict[str, Any],
    function: str,
    *wrapper: str,
    site: str | None = None,
    variables: dict[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Another process for another function: in `wrapper`, with more `variables`, or with `site` as
    its only packages.

    Returns its report; raises Failed with its output where it failed.
    """
    folder = tempfile.mkdtemp(prefix="again-", dir=asked["folder"])
    inner = {**asked, **more, "function": function, "folder": folder, "site": site}
    inner["variables"] = variables or {}
    paths = [os.path.join(folder, name) for name in ("asked.json", "report.json")]
    with open(paths[0], "w", encoding="utf-8") as file:
        json.dump(inner, file)
    # -S: nothing of this environment is found, only `site`.
    flags = ["-I", "-S"] if site else ["-I"]
    process = subprocess.run(
        [*wrapper, sys.executable, *flags, os.path.abspath(__file__), *paths],
        env={**os.environ, **(variables or {})},
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if process.returncode != 0:
        raise Failed(process.returncode, process.stderr)
    with open(paths[1], encoding="utf-8") as file:
        report: dict[str, Any] = json.load(file)
    return report


def main(asked_path: str, report_path: str) -> None:
    with open(asked_path, encoding="utf-8") as file:
        asked = {**json.load(file), "report": report_path}
    above, package = os.path.split(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, above)
    if asked.get("site"):
        sys.path.insert(0, asked["site"])
    module, _, name = asked["function"].partition(":")
    report = getattr(importlib.import_module("%s.%s" % (package, module)), name)(asked) or {}
    with open(report_path, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

"""Where site-packages may lie: elsewhere, read-only, in a zip; and how long an import takes."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from typing import Any

from . import ours, probe

ROUNDS = 9
LIMIT = 0.150  # seconds that the wheel's import may take over that of bare osgeo
IMPORT = """
import sys, time
sys.path.insert(0, sys.argv[1])
start = time.perf_counter()
__import__(sys.argv[2])
sys.stdout.write(repr(time.perf_counter() - start))
"""


def relocated(asked: dict[str, Any]) -> None:
    """Site-packages was moved to a folder with spaces and letters of other alphabets."""
    expected = ours.work(asked)
    site = os.path.join(asked["folder"], "a folder with späces", "网络 и ещё", "site-packages")
    ours.copy_site(asked, site)
    probe.again(asked, "sites:works_there", site=site, expected=expected)


def read_only(asked: dict[str, Any]) -> dict[str, Any]:
    """Nothing can be written below site-packages."""
    expected = ours.work(asked)
    site = os.path.join(asked["folder"], "read-only")
    ours.copy_site(asked, site)
    wrapper: list[str] = []
    if asked["bwrap"]:
        wrapper = [asked["bwrap"], "--dev-bind", "/", "/", "--ro-bind", site, site]
    elif os.getuid() == 0:
        return {"skipped": "root may write everywhere, and there is no bwrap (bubblewrap)"}
    else:
        _folders(site, 0o555)
    probe.again(asked, "sites:works_there", *wrapper, site=site, expected=expected, closed=True)
    if not wrapper:
        _folders(site, 0o755)  # so that it can be removed
    return {}


def works_there(asked: dict[str, Any]) -> None:
    """In the process that has `site` only: the same numbers, from there."""
    if asked.get("closed"):
        try:
            with open(os.path.join(asked["site"], "written"), "w", encoding="utf-8"):
                raise AssertionError("the case itself was not set up: the folder can be written")
        except OSError:
            pass
    assert ours.work(asked) == asked["expected"]
    ours.own_data(asked)
    ours.own_libraries(asked)
    for path in ours.bundle(asked).values():
        assert path.startswith(os.path.realpath(asked["site"])), path


def zipped(asked: dict[str, Any]) -> dict[str, Any]:
    """A wheel on sys.path cannot work, and says so in an ImportError."""
    sys.path.insert(0, asked["wheel"])
    try:
        importlib.import_module(ours.entry(asked))
    except ImportError as error:
        # In layout none an extension module of the host may be asked for before the bootstrap.
        said = "zip" in str(error) or not ours.has_osgeo(asked)
        assert said, "the error does not say why: %s" % error
        return {"detail": str(error)[:200]}
    raise AssertionError("a wheel was imported from a zip file")


def import_time(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the shortest of several imports, with and without what the bootstrap does."""
    whole, bare = (os.path.join(asked["folder"], name) for name in ("whole", "bare"))
    for site in (whole, bare):
        ours.copy_site(asked, site)
    # Without the bootstrap it is osgeo as its own sdist makes it.
    bootstrap = os.path.join(bare, *asked["package"].split("."), "_geowheel.py")
    os.unlink(bootstrap)
    with open(bootstrap, "w", encoding="utf-8") as file:
        file.write("def configure(): return False\n")
    times: dict[str, list[float]] = {whole: [], bare: []}
    for _ in range(ROUNDS):
        for site, taken in times.items():
            taken.append(_import(asked, site))
    more = min(times[whole]) - min(times[bare])
    words = "%.0f ms, of which %.0f ms are the bootstrap's" % (min(times[whole]) * 1e3, more * 1e3)
    assert more < LIMIT, "importing takes " + words
    return {"detail": words}


def _import(asked: dict[str, Any], site: str) -> float:
    process = subprocess.run(
        [sys.executable, "-I", "-S", "-c", IMPORT, site, ours.entry(asked)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(process.stdout)


def _folders(site: str, mode: int) -> None:
    for folder, _, _ in os.walk(site, topdown=False):
        os.chmod(folder, mode)

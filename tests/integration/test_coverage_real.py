"""What `coverage` says, against real pips: of today for every system, old ones on this machine."""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from geowheel.release.coverage.table import Coverage, coverage
from geowheel.release.coverage.wheel_names import parse_names
from geowheel.wheel.user_systems import Base, UserPlace, load_user_systems, platforms
from tests.support.files import write_zip

pytestmark = pytest.mark.integration

TABLE = load_user_systems()

# Names of every kind, none for every system.
NAMES = (
    *(f"gdal-3.12.1-cp{v}-cp{v}-manylinux_2_28_x86_64.whl" for v in (39, 311, 312, 313)),
    *(f"gdal-3.12.1-cp{v}-cp{v}-manylinux_2_36_x86_64.whl" for v in (310, 312, 314)),
    "gdal-3.12.1-2-cp313-cp313-manylinux_2_28_x86_64.whl",
    "gdal-3.12.1-10-cp313-cp313-manylinux_2_28_x86_64.whl",
    "gdal-3.12.0-cp36-cp36m-manylinux1_x86_64.manylinux_2_5_x86_64.whl",
    "gdal-3.12.0-cp39-abi3-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
    "gdal-3.12.1-cp314-cp314-manylinux_2_36_aarch64.whl",
    "gdal-3.13.0rc1-cp312-cp312-manylinux_2_28_x86_64.whl",
    "gdal-3.13.0rc1-cp311-cp311-musllinux_1_2_aarch64.whl",
    "gdal-3.12.1-cp312-cp312-musllinux_1_2_x86_64.whl",
    "gdal-3.12.1-cp312-cp312-macosx_10_13_universal2.whl",
    "gdal-3.12.1-cp313-cp313-macosx_14_0_arm64.whl",
    "gdal-3.12.1-cp314-cp314-macosx_11_0_arm64.whl",
    "gdal-3.12.1-cp311-cp311-macosx_10_9_x86_64.whl",
    "gdal-3.12.1-cp312-cp312-win_amd64.whl",
    "gdal-3.12.1-cp314-cp314-win_arm64.whl",
    "gdal-3.12.1-cp313-cp313t-manylinux_2_28_x86_64.whl",
)


def write_wheel(folder: Path, name: str) -> None:
    """A wheel of that name with nothing but metadata."""
    (wheel,) = parse_names([name])
    info = f"{wheel.project}-{wheel.version}.dist-info"
    tags = "".join(f"Tag: {tag}\n" for tag in sorted(map(str, wheel.tags)))
    metadata = f"Metadata-Version: 2.1\nName: {wheel.project}\nVersion: {wheel.version}\n"
    files = {
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: false\n{tags}",
        f"{info}/RECORD": "".join(f"{info}/{file},,\n" for file in ("METADATA", "WHEEL", "RECORD")),
    }
    write_zip(folder / name, files)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for name in NAMES:
        write_wheel(folder, name)
    return folder


@dataclass(frozen=True, kw_only=True)
class Pip:
    """A pip, run by an interpreter, that sees nothing but a folder of wheels."""

    interpreter: str
    path: str | None = None
    """The folder of another pip than the interpreter's own."""

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
        program = [f"{self.path}/pip"] if self.path else ["-m", "pip"]
        return subprocess.run(
            [self.interpreter, *program, "--isolated", "--disable-pip-version-check", *arguments],
            env={**own, "PIP_CONFIG_FILE": os.devnull}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def picks(self, wheels: Path, to: Path, options: Sequence[str] = ()) -> str | None:
        """The file that `pip download` takes; None when it says that nothing matches."""
        to.mkdir(parents=True)
        result = self.run(
            "download", "gdal", "--no-index", "--find-links", str(wheels), "--no-deps",
            "--only-binary=:all:", "--no-cache-dir", "--dest", str(to), *options,
        )  # fmt: skip
        if result.returncode:
            assert "No matching distribution found for gdal" in result.stderr, result.stderr
            return None
        (found,) = to.iterdir()
        return found.name

    def tags(self) -> list[str]:
        """What `pip debug` says that it accepts on this machine, best first."""
        result = self.run("debug", "--verbose")
        assert result.returncode == 0, result.stderr
        _, _, text = result.stdout.partition("Compatible tags: ")
        return [line.strip() for line in text.splitlines()[1:] if line.startswith("  ")]


TODAY = Pip(interpreter=sys.executable)


def options_of(place: UserPlace) -> list[str]:
    """pip's own options for a foreign system: it takes platforms literally, so all are named."""
    python = place.interpreter.python.replace(".", "")
    abi = f"cp{python}m" if python in ("36", "37") else f"cp{python}"
    own = (f for f in platforms(place.system.base, place.architecture))
    known = (f for f in own if TABLE.known(f, place.interpreter.pip))
    return [
        "--implementation", "cp", "--python-version", python, "--abi", abi,
        *(option for name in known for option in ("--platform", name)),
    ]  # fmt: skip


def chosen_places() -> list[UserPlace]:
    """Every system and architecture, one interpreter each, in turn; what is alike only once."""
    found: dict[tuple[Base, str, str, str], UserPlace] = {}
    for number, system in enumerate(TABLE.systems):
        interpreter = system.interpreters[number % len(system.interpreters)]
        for architecture in system.architectures:
            place = UserPlace(system=system, architecture=architecture, interpreter=interpreter)
            key = (system.base, architecture, interpreter.python, interpreter.pip)
            found.setdefault(key, place)
    return list(found.values())


def row_of(place: UserPlace) -> Coverage:
    rows = coverage(NAMES, TABLE.named([place.system.name]))
    wanted = (place.system.name, place.architecture, place.interpreter.python)
    (row,) = (row for row in rows if (row.system, row.architecture, row.python) == wanted)
    return row


def test_pip_picks_what_the_table_says_on_every_system(wheels: Path, tmp_path: Path) -> None:
    """`pip download --platform ...`, which takes the platforms that we say a system has."""
    places = chosen_places()
    assert len({place.system.name for place in places}) >= 40

    def ask(numbered: tuple[int, UserPlace]) -> str | None:
        number, place = numbered
        return TODAY.picks(wheels, tmp_path / str(number), options_of(place))

    with ThreadPoolExecutor(max_workers=2) as pool:
        answers = list(pool.map(ask, enumerate(places)))
    wrong = [
        (place.system.name, place.architecture, place.interpreter.python, row.wheel, answer)
        for place, answer in zip(places, answers, strict=True)
        if (row := row_of(place)).wheel != answer
    ]
    assert wrong == []
    assert len(set(answers)) >= 10, "the names are too alike to tell systems apart"
    assert None in answers

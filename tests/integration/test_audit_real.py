"""The audit of wheels from the package index agrees with auditwheel, readelf's facts and nm's."""

import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from geowheel.audit.content import opened_wheel
from geowheel.audit.platform import platform_facts
from geowheel.binary.elf import Elf
from tests.support.hosts import make_step

pytestmark = [pytest.mark.integration, pytest.mark.pypi]
TOOLS = Path(sys.executable).parent


@pytest.mark.parametrize("name", ["shapely==2.2.0", "pyproj==3.8.0"])
def test_it_says_what_others_say(tmp_path: Path, name: str) -> None:
    download = [
        sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
        "--python-version", "3.12", "--platform", "manylinux_2_28_x86_64",
        "-d", str(tmp_path), name,
    ]  # fmt: skip
    subprocess.run(download, check=True)
    (path,) = tmp_path.glob("*.whl")
    environ = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
    show = [str(TOOLS / "auditwheel"), "show", str(path)]
    said = subprocess.run(show, env=environ, capture_output=True, text=True, check=True).stdout
    flat = " ".join(said.split())
    with opened_wheel(path, make_step(tmp_path)) as content:
        facts = platform_facts(content, datetime.date(2026, 11, 28))
        assert f'following platform tag: "{facts.consistent[0]}"' in flat
        versions = {
            library: {*re.findall(r"'([^']+)'", text)}
            for library, text in re.findall(r"(\S+) with versions \{([^}]*)\}", flat)
        }
        # auditwheel lists bundled libraries as well, and never the loader itself.
        assert {k: v for k, v in versions.items() if k in facts.external} == {
            library: {*found}
            for library, found in facts.external.items()
            if found and not library.startswith("ld-linux")
        }
        assert content.of(Elf)
        for member in content.of(Elf):
            with (content.tree / member).open("rb") as file:
                table = ELFFile(file).get_section_by_name(".dynsym")
                assert isinstance(table, SymbolTableSection)
                rows = list(table.iter_symbols())
            undefined = {row.name for row in rows if row["st_shndx"] == "SHN_UNDEF" and row.name}
            assert undefined == content.symbols[member].imported.keys()

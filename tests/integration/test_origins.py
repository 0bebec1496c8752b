"""Where everything in a real wheel comes from: its SBOM, its licenses, and what is refused."""

import email.parser
import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.metadata import Metadata

from tests.support.project_copy import PYTHON, Built, ProjectCopy

CYMINI = "tests/data/hosts/cymini"


@dataclass(frozen=True, kw_only=True)
class Described:
    """A wheel's own description of itself, and its files."""

    archive: zipfile.ZipFile
    info: str
    """The name of its .dist-info."""

    def text(self, name: str) -> str:
        return self.archive.read(f"{self.info}/{name}").decode("utf-8")

    @property
    def sbom(self) -> str:
        return self.text("sboms/geowheel.cdx.json")

    def named_files(self) -> dict[str, str]:
        """Path to sha256 of every file that the SBOM names below a package."""
        components: list[dict[str, Any]] = json.loads(self.sbom)["components"]
        return {
            file["name"]: digest["content"]
            for component in components
            for file in component["components"]
            for digest in file["hashes"]
            if digest["alg"] == "SHA-256"
        }


@pytest.fixture
def described(built: Built) -> Iterator[Described]:
    with zipfile.ZipFile(built.wheel) as archive:
        (info,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        yield Described(archive=archive, info=info)


def test_the_sbom_is_valid_and_names_every_binary(described: Described) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(described.sbom) is None
    named, members = described.named_files(), described.archive.namelist()
    digests = {
        name: hashlib.sha256(described.archive.read(name)).hexdigest()
        for name in members
        if (".libs/" in name or "/_plugins/" in name) and "geowheel" not in name
    }
    assert len(digests) > 100
    assert {name: named.get(name) for name in digests} == digests
    # The host has no file of its own: what is not bundled is geowheel's, or about the wheel.
    # So are the scripts that start GDAL's programs.
    own = (described.info, f"{described.info.partition('.dist-info')[0]}.data/scripts/")
    ours = {name for name in set(members) - set(named) if not name.startswith(own)}
    (shim,) = (name for name in ours if name.startswith("gdal.libs/"))  # of the floor
    assert ours - {shim} == {
        "osgeo/_geowheel.py", "osgeo/_geowheel.json", "osgeo_utils/_geowheel_programs.py",
        "osgeo/_pyinstaller/hook-osgeo._geowheel.py",
    }  # fmt: skip


def test_the_license_texts_that_the_metadata_name_are_there(described: Described) -> None:
    fields = email.parser.HeaderParser().parsestr(described.text("METADATA"))
    named = fields.get_all("License-File") or []
    assert len(named) > 50
    for name in named:
        assert described.text(f"licenses/{name}").strip(), name
    inside = [n for n in described.archive.namelist() if n.startswith(f"{described.info}/licenses")]
    assert len(inside) == len(named), "each text is named"
    metadata = Metadata.from_email(described.text("METADATA"), validate=True)
    assert metadata.name == "GDAL"
    assert str(metadata.version) == described.info.removesuffix(".dist-info").split("-")[1]


STRAY = """
import os, subprocess
from pathlib import Path
found = starting("-L", asked("--libs"))
with open("stray.c", "w") as file:
    file.write("int stray(void) { return 7; }")
library = os.path.realpath(os.path.join(found[0], "libstray.so.1"))
subprocess.check_call(["gcc", "-shared", "-fPIC", "-Wl,-soname,libstray.so.1", "stray.c",
                       "-o", library])
with open("user.c", "w") as file:
    file.write('''#include <Python.h>
int stray(void);
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_user", 0, -1, 0};
PyMODINIT_FUNC PyInit__user(void) { stray(); return PyModule_Create(&module); }
''')
more = [Extension("cymini._user", ["user.c"], extra_link_args=[library])]
"""


def cymini(project: ProjectCopy) -> ProjectCopy:
    return replace(project, host=CYMINI)


def test_a_library_in_the_prefix_that_no_package_owns_is_refused(second: ProjectCopy) -> None:
    """A build that installs into the prefix: auditwheel finds the library there, nobody owns it."""
    setup = second.root / CYMINI / "setup.py"
    text = setup.read_text(encoding="utf-8")
    text = text.replace("\nsetup(\n    ext_modules=cythonize(", f"\n{STRAY}\n"
                        "setup(\n    ext_modules=more + cythonize(")  # fmt: skip
    setup.write_text(text, encoding="utf-8")
    # In a sandbox it could not: the prefix is read-only there.
    result = cymini(second).run("repair", "--python", PYTHON, "--sandbox", "none")
    assert result.returncode == 8, result.stderr
    said = " ".join(result.stderr.split())
    assert "cymini.libs/libstray-" in said
    assert "no package of the native stack owns lib/libstray.so.1" in said
    assert not list(second.root.glob("dist/cymini*"))


def test_a_path_of_the_checkout_in_a_data_file_is_refused(second: ProjectCopy) -> None:
    folder = second.root / CYMINI
    planted = f"{second.root}/share/tables"
    (folder / "src" / "cymini" / "where.cfg").write_text(f"[data]\nat = {planted}\n", "utf-8")
    project = folder / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    project.write_text(f'{text}\n[tool.setuptools.package-data]\ncymini = ["*.cfg"]\n', "utf-8")
    result = cymini(second).run("repair", "--python", PYTHON)
    assert result.returncode == 8, result.stderr
    said = " ".join(result.stderr.split())
    assert "cymini/where.cfg" in said
    assert f"holds a path of this machine: at = {planted}" in said
    assert not list(second.root.glob("dist/cymini*"))

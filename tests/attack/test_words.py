"""What is read from outside is of its schema, or is refused as what it is; text harms no screen."""

import copy
import io
import json
import random
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import requests
import tomli_w

from geowheel.contents.bill import read_sbom
from geowheel.digest import sha256_bytes
from geowheel.errors import GeowheelError
from geowheel.locks.build_lock import GROUPS, read_build_lock
from geowheel.locks.channels import configured_channels, parse_channel, read_mirrors
from geowheel.locks.native_stack import native_stack
from geowheel.locks.pixi_lock import check_satisfies, locked_channels, read_lock, records
from geowheel.machine.credentials import shown
from geowheel.prefix.linker import Placing, read_native_manifest
from geowheel.project.manifest import find_manifest
from geowheel.project.project import Machine
from geowheel.project.pyproject import read_host
from geowheel.records.ledger import read_any_record
from geowheel.release.handover.exports import read_export
from geowheel.release.index import Index, published
from geowheel.release.journal import read_journal
from geowheel.release.report.earlier import read_wheels
from geowheel.release.subject import open_subject
from geowheel.targets import Platform, Target
from tests.support.attack import attack
from tests.support.damage import damaged
from tests.support.hosts import make_package

SHA = sha256_bytes(b"12345")
DEEP = "[" * 100_000 + "]" * 100_000
WIDE = "9" * 5000
HARD = (DEEP, WIDE, "null", '"\\ud800"', '"\\u0000"', "1e999", '"' + WIDE + '"')
HOLE = ("x[[a]]>=1",)
ODD: Sequence[Any] = (
    5, -1, True, 1e308, "", "x", "\0", "\n", "a/../../b", "/etc/passwd", "\u202e\x1b[2J", "é" * 300,
    [], [5], ["x"], [[]], {}, {"x": 5}, {"": {}}, ["x; [[", "a[b"], "x[[a]]>=1", "1" * 5000,
    "https://u:p@h/t/T/x", "file:///etc/passwd",
)  # fmt: skip
PLATFORM = Platform.LINUX_64


def mutants(whole: Any, oddities: Sequence[Any] = (*ODD, ...)) -> Iterator[Any]:
    """The data with something odd in each place in turn, and without each of its entries."""
    places: list[list[Any]] = [[]]
    for place in places:
        at = whole
        for key in place:
            at = at[key]
        keys = list(at) if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ()
        places += [[*place, key] for key in keys]
    for *above, last in places[1:]:
        for odd in oddities:
            made = copy.deepcopy(whole)
            at = made
            for key in above:
                at = at[key]
            if odd is ...:
                del at[last]
            else:
                at[last] = odd
            yield made


def texts(whole: Any) -> list[str]:
    """The same as JSON, and with what is hard to read in each place: see `HARD`."""
    made = [json.dumps(mutant) for mutant in mutants(whole)]
    hard = [json.dumps(m).replace('"x[[a]]>=1"', h) for h in HARD for m in mutants(whole, HOLE)]
    text = json.dumps(whole)
    return [*made, *hard, *HARD, "", "\ufeff{}", *(text[:at] for at in range(0, len(text), 9))]


HOST: dict[str, Any] = {
    "build-system": {"requires": ["hatchling"], "build-backend": "b", "backend-path": ["."]},
    "project": {
        "name": "host", "version": "1.0", "requires-python": ">=3.11", "dependencies": ["numpy"],
        "dynamic": ["version"], "scripts": {"x": "host:main"},
    },
    "tool": {
        "geowheel": {
            "pythons": ["3.12"], "plugins": ["libgdal-hdf5"], "layout": "toplevel",
            "test": {"requires": ["pytest"]}, "build": {"requires": ["cython"]},
            "release": {"index": "pypi", "tag": "v{version}", "platforms": ["linux-64"]},
            "licenses": {"accept": {"x": "y"}}, "budget": {"wheel-mb": 60},
        },
        "hatch": {"version": {"source": "vcs", "path": "x"}},
        "setuptools": {"dynamic": {"version": {"attr": "x"}}},
        "pixi": {
            "workspace": {
                "name": "host", "channels": ["conda-forge", {"channel": "x", "priority": 1}],
                "platforms": ["linux-64", {"platform": "osx-arm64", "macos": "13.0"}],
            },
            "dependencies": {"libgdal-core": ">=3.10", "x": {"version": "*", "build": "h*"}},
            "system-requirements": {"libc": {"family": "glibc", "version": "2.28"}, "linux": "5"},
            "target": {"linux-64": {"dependencies": {"y": "*"}}},
            "feature": {"f": {"dependencies": {"z": "*"}, "platforms": ["linux-64"]}},
            "environments": {"e": {"features": ["f"], "solve-group": "g"}, "d": ["f"]},
        },
    },
}  # fmt: skip


def machine(folder: Path, **environ: str) -> Machine:
    return Machine(platform=PLATFORM, environ={"HOME": str(folder), **environ}, cache=folder)


def tables(whole: Any) -> list[str]:
    """As TOML, with what no writer writes."""
    made = [tomli_w.dumps(mutant) for mutant in mutants(whole) if isinstance(mutant, dict)]
    text = tomli_w.dumps(whole)
    odd = [DEEP, WIDE, '"\\u0000"', "1979-05-27T07:32:00Z", "nan", "[{" * 900]
    return [*made, *(f"{text}\nodd = {o}\n" for o in odd), f"[[tool.geowheel]]\n{text}"]


@attack("pyproject.toml", tables(HOST)[::8], refused=100)
def test_pyproject(text: str, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(text, "utf-8")
    refusals = list[GeowheelError]()

    def look(what: Any, *arguments: Any) -> Any:
        try:
            return what(*arguments)
        except GeowheelError as error:
            refusals.append(error)

    look(lambda: open_subject(root=folder, host=Path(), machine=machine(folder)))
    look(read_host, folder)
    if manifest := look(find_manifest, folder):
        for environment in manifest.environments:
            for platform in manifest.platforms_of(environment):
                spec = manifest.environment(environment, platform)
                look(configured_channels, spec.channels, folder)
                look(check_satisfies, [make_package("libgdal-core").record()], spec, folder)
        look(manifest.only_for_pixi)
    if refusals:
        raise refusals[0]


LOCK: dict[str, Any] = {
    "lock-version": "1.0", "created-by": "geowheel", "dependency-groups": [*GROUPS, "sdist"],
    "tool": {"geowheel": {"solved-from": "x"}},
    "packages": [
        {
            "name": "numpy", "version": "2.0", "marker": "'test' in dependency_groups",
            "wheels": [{"url": "https://x.invalid/numpy-2.0-py3-none-any.whl", "size": 5,
                        "hashes": {"sha256": SHA}}],
        },
        {
            "name": "gdal", "version": "3.10.3", "marker": "'sdist' in dependency_groups",
            "sdist": {"url": "https://x.invalid/gdal-3.10.3.tar.gz",
                      "hashes": {"sha256": SHA.upper()}},
        },
    ],
}  # fmt: skip
PIXI = """\
version: 6
environments:
  default:
    channels:
    - url: https://c.invalid/x/
    packages:
      linux-64:
      - conda: https://c.invalid/x/linux-64/libgdal-core-3.10.3-h0.conda
      - conda: https://c.invalid/x/noarch/ca-certificates-1-h0.conda
packages:
- conda: https://c.invalid/x/linux-64/libgdal-core-3.10.3-h0.conda
  sha256: abababababababababababababababababababababababababababababababab
  depends:
  - __glibc >=2.17
  license: MIT
  size: 5
- conda: https://c.invalid/x/noarch/ca-certificates-1-h0.conda
  sha256: abababababababababababababababababababababababababababababababab
"""


@attack("build locks", [t for t in tables(LOCK) if "\0" not in t], refused=150)
def test_build_locks(text: str, folder: Path) -> None:
    path = folder / "pylock.geowheel.toml"
    path.write_text(text, "utf-8")
    lock = read_build_lock(path)
    assert isinstance(lock.solved_from, str)
    for asset in (
        lock.gdal_sdist,
        *lock.requirements("test", Target(python="3.12", platform=PLATFORM)),
    ):
        place = (folder / asset.sha256[:2] / asset.sha256 / asset.file_name).resolve()
        assert place.is_relative_to(folder) and len(place.parts) - len(folder.parts) == 3


@attack("pixi.lock, flipped and cut", range(1500), refused=700)
def test_pixi_locks(seed: int, folder: Path) -> None:
    path = folder / "pixi.lock"
    path.write_bytes(damaged(PIXI.encode(), seed))
    lock = read_lock(path)
    locked_channels(lock, "default")
    every = records(lock, "default", PLATFORM, path)
    for package in native_stack(every, PLATFORM, (), path).packages:
        assert package.file_name and "/" not in package.file_name


PATHS = {"paths_version": 1, "paths": [
    {"_path": "lib/a", "path_type": "hardlink", "sha256": SHA, "size_in_bytes": 5,
     "file_mode": "text", "prefix_placeholder": "/opt/placehold"},
    {"_path": "lib/b", "path_type": "softlink"},
]}  # fmt: skip
SBOM = {"components": [{"name": "a", "version": "1", "purl": "pkg:x/a", "licenses": [
    {"expression": "MIT"}, {"license": {"id": "x", "name": "y"}}],
    "components": [{"name": "lib/a", "type": "file"}]}]}  # fmt: skip
PAGE = {"meta": {"api-version": "1.1"}, "name": "host", "versions": ["1.0"], "files": [
    {"filename": "host-1.0.tar.gz", "url": "../x/host-1.0.tar.gz", "hashes": {"sha256": SHA},
     "size": 5, "requires-python": ">=3", "yanked": False, "upload-time": "2026-01-01T00:00:00Z"},
]}  # fmt: skip
RECORD = {
    "stage": "size", "subject": "cp312-linux-64", "host": "host", "key": SHA,
    "components": {"a": "b"},
    "trees": {"a": {"b": SHA}}, "upstream": {"repair": SHA}, "content": SHA, "passed": True,
    "outputs": [{"path": "size.json", "sha256": SHA, "size": 5}], "facts": {"sha256": SHA},
    "seconds": 1.5, "created": "2026-01-01T00:00:00Z", "format": 7, "home": "x",
}  # fmt: skip
EXPORT = {
    "format": 2,
    "stages": {"cp312-linux-64": {"fetch": {"key": SHA, "seconds": 1.0, "created": "x"}}},
    "state": {"toolkit": "1", "sources": SHA, "host": "h", "home": ".", "config": SHA,
              "files": {"a": SHA}, "locks": {"linux-64": SHA}},
    "origin": {"platform": "linux-64", "system": "x", "git": "y", "native": {"a": "b"},
               "committed": True, "ci": {"a": "b"}},
}  # fmt: skip
REPORT = {"format": 1, "host": "host", "wheels": [
    {"target": "cp312-linux-64", "version": "1", "compressed": 5, "inside": {"installed": 5},
     "before": {"version": "1", "compressed": 5, "installed": 5}}]}  # fmt: skip


@attack("paths.json of packages", texts(PATHS), refused=200)
def test_paths(text: str, folder: Path) -> None:
    (folder / "unpacked" / "info").mkdir(parents=True)
    (folder / "unpacked" / "lib").mkdir()
    (folder / "unpacked" / "lib" / "a").write_bytes(b"12345")
    (folder / "unpacked" / "info" / "paths.json").write_text(text, "utf-8")
    about = {"name": "x", "version": "1", "build": "0"}
    (folder / "unpacked" / "info" / "index.json").write_text(json.dumps(about), "utf-8")
    (folder / "prefix").mkdir()
    placing = Placing(prefix=folder / "prefix", prefix_string="/p", platform=PLATFORM)
    placing.place(make_package("x"), folder / "unpacked")
    placing.manifest().write(folder)
    read_native_manifest(folder)


@attack("SBOMs", texts(SBOM), refused=0)
def test_sboms(text: str, folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.whl", "w") as archive:
        archive.writestr("x-1.dist-info/sboms/geowheel.cdx.json", text)
    with zipfile.ZipFile(folder / "x.whl") as archive:
        for package in read_sbom(archive):
            json.dumps([package.name, *package.files])


@attack("answers of an index", texts(PAGE), refused=200)
def test_answers(text: str, _: Path) -> None:
    def ask(_: Index, url: str, *__: object, **___: object) -> requests.Response:
        answer = requests.Response()
        answer.url, answer.raw = url, io.BytesIO(text.encode())
        answer.headers["content-type"] = "application/vnd.pypi.simple.v1+json"
        return answer

    with patch("geowheel.release.index.ask", ask):
        index = Index(name="x", upload="https://x.invalid/", simple="https://x.invalid/simple/")
        for file in published(index, "host", {}).values():
            assert file.sha256 is None or len(file.sha256) == 64
            assert file.url.startswith(("http://", "https://"))


@attack(
    "records, exports and reports",
    [*texts(RECORD), *texts(EXPORT), *texts(REPORT)][::4],
    refused=300,
)
def test_records(text: str, folder: Path) -> None:
    place = folder / "cp312-linux-64" / "size" / SHA[:16]
    place.mkdir(parents=True)
    for name in ("record.json", "host-abc.json"):
        (place / name).write_text(text, "utf-8")
    read_any_record(place)
    read_journal(place, "host", "abc")
    refusals = list[GeowheelError]()
    for what in (lambda: read_export(place / "record.json"),
                 lambda: read_wheels(place / "record.json", host="host")):  # fmt: skip
        try:
            what()
        except GeowheelError as error:
            refusals.append(error)
    if len(refusals) == 2:
        raise refusals[0]


LETTERS = [*"/:@?#%[]t\\", "http", "://", "u:p@", "%40", "%2f", "?token=", "T0K3N-abc1", "\0", "\n",
           "::1", "é", "\u202e", "\x1b[", "https://h/", "file:"]  # fmt: skip


@attack("URLs of channels and mirrors", range(1500), refused=400)
def test_urls(seed: int, folder: Path) -> None:
    random_ = random.Random(seed)
    url = "https://u:S3CR3T-99@" + "".join(random_.choices(LETTERS, k=random_.randint(0, 9)))
    (folder / "x").mkdir()
    try:
        pairs = read_mirrors(machine(folder, GEOWHEEL_MIRRORS=f"https://c/={url}"), folder).pairs
        channel = parse_channel(url if seed % 2 else url[20:], folder)
        assert "S3CR3T-99" not in channel.url
        said = [repr(pairs), channel.url]
    except GeowheelError as error:
        said = [str(error)]
    for text in (*said, url):
        seen = shown(text)
        assert "S3CR3T-99" not in seen
        assert all(letter.isprintable() or letter in "\n\t" for letter in seen)
    if seed % 3 == 0:
        parse_channel(url, folder)

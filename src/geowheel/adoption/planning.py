"""From facts to what is to be written. Pure: nothing is read or changed here."""

import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from keyword import iskeyword
from typing import Final, TypeAlias

from packaging.dependency_groups import resolve_dependency_groups

from geowheel.errors import ConfigError, UsageError
from geowheel.project.edits import Change
from geowheel.project.names import table_at
from geowheel.project.places import Layout
from geowheel.project.pyproject import host_from, names_gdal
from geowheel.targets import GDAL_PACKAGE

from . import templates
from .detection import BUILDABLE, TEST_GROUPS, Host, detect, extras_for_tests, own_data
from .facts import GITIGNORE, NOXFILE, PIXI, PYPROJECT, ProjectFacts, Wishes

# May lie in a folder that is to become a project; everything else has an owner already.
_NO_PROJECT: Final = re.compile(
    r"\..*|(README|LICEN[CS]E|COPYING)[^/]*|noxfile\.py|pixi\.(toml|lock)"
)
# As docs/layouts.md has it.
_CONFIGURE: Final = """\
At the top of {package}/__init__.py, before an extension module of the project is imported, add:
    try:
        from ._geowheel import configure
    except ModuleNotFoundError:  # not built by geowheel: the system's GDAL and its data
        pass
    else:
        configure()"""
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")  # PEP 508


@dataclass(frozen=True, kw_only=True)
class AdoptionPlan:
    """Everything that `init` would do and say."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    """What stays as it is, and what is left to the reader; each may have several lines."""
    commands: Mapping[str, str]
    """What to go on with, and what each is for."""


_Part: TypeAlias = list[Change | str]
"""What one concern adds to the plan: changes, and notes."""


def plan(facts: ProjectFacts, wishes: Wishes) -> AdoptionPlan:
    """Return what is missing for a wheel with GDAL inside.

    Raises ConfigError when pyproject.toml, a [tool.geowheel] in it included, cannot be followed or
    appended to, and UsageError when something has to be chosen first.
    """
    environment = _environment(facts, wishes)
    if PYPROJECT not in facts.texts:
        host, own = _new_project(facts, wishes, environment)
    elif "geowheel" in facts.pyproject.get("tool", {}):
        host, own = _configured(facts, wishes)
    else:
        host, own = _adopted(facts, wishes, environment)
    nox, prefix = _nox(facts)
    pixi, layout = _pixi(facts, host, environment), _part_of_layout(facts, host)
    parts = [*own, *pixi, *nox, *_gitignore(facts), *layout]
    return AdoptionPlan(
        changes=tuple(part for part in parts if isinstance(part, Change)),
        notes=tuple(part for part in parts if isinstance(part, str)),
        commands=_commands(facts, host, prefix),
    )


def appended(text: str, addition: str, *, blank_line: bool = True) -> str:
    """Return `text` as it is, with `addition` after it in the line ends that `text` has."""
    newline = "\r\n" if re.match(r"[^\n]*\r\n", text) else "\n"
    start = text if not text or text.endswith("\n") else text + newline
    if blank_line and start and not start.endswith(newline * 2):
        start += newline
    return start + addition.replace("\n", newline)


def _adopted(facts: ProjectFacts, wishes: Wishes, environment: str) -> tuple[Host, _Part]:
    """Plan for a project that does not know geowheel yet."""
    if wishes.name is not None:
        raise UsageError(
            "--name is for a new project; this one has a name",
            where=str(facts.folder / PYPROJECT),
            fix="leave --name out, or run it in an empty folder",
        )
    host = detect(facts, wishes)
    before = facts.texts[PYPROJECT]
    depends = table_at(facts.pyproject, "project").get("dependencies", [])
    build = templates.build_table(host.build_requires, host.sources, host.switches)
    table = _table(facts, host, environment) + build
    after = appended(before, table + _suggestion(facts, host.name))
    _check_appended(facts, before, after)
    part: _Part = [Change(path=PYPROJECT, before=before, after=after)]
    if any(map(names_gdal, _texts(depends))) and host.layout is not Layout.NONE:
        part.append(
            "The project depends on GDAL, which pip compiles against the system's. The wheel has a "
            "GDAL of its own: take it out of [project] dependencies once your code uses that one."
        )
    if host.compiles and wishes.layout is None:
        part.append(
            f"The project compiles extension modules ({host.compiles}); they are taken to link "
            'libgdal, so layout = "none". If they do not, and GDAL\'s own bindings are wanted: '
            "--layout private."
        )
    if facts.imports_osgeo and host.layout is Layout.NONE:
        part.append(
            f'{facts.imports_osgeo} imports osgeo, which a wheel of layout "none" lacks. Either '
            "--layout private, which brings a copy of osgeo on the very libgdal that the extension "
            f"modules link: import it from {host.package}._vendor.osgeo. Or leave osgeo to what "
            "users install: it has another libgdal, and objects of the two must not be mixed."
        )
    return host, part


def _check_appended(facts: ProjectFacts, before: str, after: str) -> None:
    """Check that the new file says what the old one did, and a table that geowheel accepts."""
    path = facts.folder / PYPROJECT
    table = after[len(before) :].strip()
    try:
        data = tomllib.loads(after)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"[tool.geowheel] cannot be appended: {error}",
            where=str(path),
            cause="`tool` is written as an inline table or with dotted keys, which TOML does not "
            "allow to extend",
            fix=f"write it as [tool.NAME] tables, or add this by hand:\n{table}",
        ) from None
    host_from(data, path, facts.texts)


def _configured(facts: ProjectFacts, wishes: Wishes) -> tuple[Host, _Part]:
    """Check a project that has the table, which stays as it is."""
    config = host_from(facts.pyproject, facts.folder / PYPROJECT, facts.texts)
    said = [wishes.import_package, wishes.layout, *wishes.pythons, wishes.environment, wishes.name]
    if any(said):
        raise UsageError(
            "[tool.geowheel] is there, and is never altered",
            where=str(config.path),
            cause="an option was given that says something about it",
            fix="edit the table by hand, or leave the options out",
        )
    host = Host(
        name=config.name,
        package=config.config.import_package.removesuffix("._vendor.osgeo"),
        layout=config.config.layout,
        pythons=config.config.pythons,
    )
    return host, ["pyproject.toml: [tool.geowheel] is there and sound; it stays."]


def _new_project(facts: ProjectFacts, wishes: Wishes, environment: str) -> tuple[Host, _Part]:
    """Plan a project from nothing."""
    strangers = [name for name in facts.entries if not _NO_PROJECT.fullmatch(name)]
    if strangers:
        raise UsageError(
            f"there is no pyproject.toml, but the folder has {', '.join(strangers[:5])}",
            where=str(facts.folder),
            fix="write pyproject.toml with [build-system] and [project] first; or make an empty "
            "folder for a new project and run `geowheel init` there",
        )
    host = _new_host(facts, wishes)
    table = _table(facts, host, environment)
    if host.layout is Layout.TOPLEVEL:
        files = {PYPROJECT: templates.new_gdal_pyproject(host.name, table)}
    else:
        home = f"src/{host.package}"
        files = {
            PYPROJECT: templates.new_pyproject(host.name, host.package, table),
            f"{home}/__init__.py": templates.new_init(host.name),
            f"{home}/_osgeo.py": templates.OSGEO_HELPER,
            f"tests/test_{host.package}.py": templates.new_test(host.package),
        }
    host_from(tomllib.loads(files[PYPROJECT]), facts.folder / PYPROJECT)
    return host, [_new(path, text) for path, text in files.items()]


def _new_host(facts: ProjectFacts, wishes: Wishes) -> Host:
    name = wishes.name or facts.folder.name
    layout = wishes.layout or Layout.PRIVATE
    package = wishes.import_package or re.sub(r"[-_.]+", "_", name).lower()
    fits = _NAME.fullmatch(name) and package.isidentifier() and not iskeyword(package)
    if not fits or package in ("osgeo", "osgeo_utils"):
        raise UsageError(
            f"{name!r} does not do as the name of a distribution with a package {package!r}",
            where=str(facts.folder),
            cause="the folder's name is taken where none is given" if not wishes.name else "",
            fix="give one of letters, digits and hyphens: --name my-package",
        )
    if layout is Layout.NONE:
        raise UsageError(
            'layout "none" is for a project that compiles extension modules of its own',
            where=str(facts.folder),
            fix="make that project first, then run `geowheel init` in it",
        )
    return Host(
        name=name,
        package="osgeo" if layout is Layout.TOPLEVEL else package,
        layout=layout,
        pythons=wishes.pythons or BUILDABLE,
    )


def _table(facts: ProjectFacts, host: Host, environment: str) -> str:
    private = host.layout is Layout.PRIVATE
    known = facts.pixi.environments if facts.pixi else ()
    return templates.tool_table(
        pythons=host.pythons,
        layout=host.layout,
        package=f"{host.package}._vendor.osgeo" if private else host.package,
        environment=environment,
        plugins=[name for item in known if item.name == environment for name in item.plugins],
        data=own_data(facts, host),
    )


def _suggestion(facts: ProjectFacts, name: str) -> str:
    """Return a table for the project's own tests, where it has some; what they need it may name."""
    if not facts.tests:
        return ""
    extras, groups = extras_for_tests(facts), table_at(facts.pyproject, "dependency-groups")
    requires = ["pytest", *(f"{name}[{extra}]" for extra in extras[:1])]
    for group in (g for g in TEST_GROUPS if g in groups and not extras):
        with suppress(ExceptionGroup):  # a table that no tool can read
            requires = list(resolve_dependency_groups(groups, group))
    return templates.suggested_tests(requires, facts.tests)


def _texts(listed: object) -> list[str]:
    """Return the strings of a list; what could end the comment that they go into is left out."""
    found = listed if isinstance(listed, list) else []
    return [text for text in found if isinstance(text, str) and text.isprintable()]


def _environment(facts: ProjectFacts, wishes: Wishes) -> str:
    """Return the pixi environment with the native stack; raises UsageError when it is unclear."""
    configured = facts.pyproject.get("tool", {}).get("geowheel")
    if isinstance(configured, Mapping):
        return str(configured.get("environment", "default"))
    known = facts.pixi.environments if facts.pixi else ()
    names = [environment.name for environment in known] or ["default"]
    if wishes.environment is not None:
        return wishes.environment
    ready = [item.name for item in known if GDAL_PACKAGE not in item.missing]
    if "default" in ready:
        return "default"
    candidates = ready or names
    if len(candidates) == 1:
        return candidates[0]
    raise UsageError(
        f"which pixi environment holds the native stack is unclear: {', '.join(candidates)}",
        where=str(facts.pixi.path if facts.pixi else facts.folder),
        cause=f"{'several of them have' if ready else 'none of them has'} libgdal-core",
        fix=f"name it: --environment {candidates[0]}",
    )


def _pixi(facts: ProjectFacts, host: Host, environment: str) -> _Part:
    """Return the manifest; raises UsageError when it has no such environment."""
    if facts.pixi is None and environment == "default":
        return [_new(PIXI, templates.pixi(host.name))]
    where = str(facts.pixi.path if facts.pixi else facts.folder)
    known = {item.name: item for item in facts.pixi.environments} if facts.pixi else {}
    if environment not in known:
        raise UsageError(
            f"no pixi environment {environment!r}",
            where=where,
            cause="" if known else "there is no pixi.toml and no [tool.pixi]",
            fix=f"use one of {', '.join(known)}" if known else "leave it out: one is made",
        )
    used = f"{where}: environment {environment!r} is used as it is."
    found = known[environment]
    if not found.missing:
        return [used]
    feature = f"--feature {found.feature} " if found.feature else ""
    command = f"pixi add {feature}{' '.join(found.missing)}"
    return [f"{used} It lacks something; run:\n    {command}"]


def _nox(facts: ProjectFacts) -> tuple[_Part, str]:
    """Return the noxfile, and the prefix that sessions have."""
    if NOXFILE not in facts.texts:
        return [_new(NOXFILE, templates.noxfile(facts.version))], ""
    text = facts.texts[NOXFILE]
    if "geowheel.nox" in text:
        match = re.search(r"""prefix\s*=\s*["']([^"']*)""", text)
        return ["noxfile.py calls geowheel already; it stays."], match[1] if match else ""
    if "# /// script" in text:
        requirement = templates.toml_string(templates.geowheel_requirement(facts.version))
        dependencies = f"To the dependencies at its top: {requirement}"
    else:
        block = templates.script_metadata(facts.version)
        dependencies = (
            "At its top, from which nox makes the environment that the noxfile runs in (whatever "
            "else it imports has to be named there as well):\n" + _indented(block)
        )
    call = f'from geowheel.nox import sessions\n\nsessions(prefix="{templates.PREFIX}")\n'
    note = (
        "noxfile.py is yours and stays as it is. To have the sessions in it, add this.\n"
        f"{dependencies.rstrip()}\nAt its end:\n{_indented(call)}"
    )
    return [note.rstrip()], templates.PREFIX


def _gitignore(facts: ProjectFacts) -> _Part:
    is_new = PYPROJECT not in facts.texts
    if not (is_new or facts.in_git or GITIGNORE in facts.texts):
        return []
    wanted = (*templates.IGNORED, "__pycache__") if is_new else templates.IGNORED
    # A pattern that covers one of them in other words is not seen: twice ignored does no harm.
    # A folder called dist may be a package's; bytecode lies everywhere.
    lines = [
        f"{'' if name == '__pycache__' else '/'}{name}/\n"
        for name in wanted
        if name not in facts.ignored
    ]
    if not lines:
        return []
    before = facts.texts.get(GITIGNORE)
    after = appended(before or "", "".join(lines), blank_line=False)
    return [Change(path=GITIGNORE, before=before, after=after)]


def _part_of_layout(facts: ProjectFacts, host: Host) -> _Part:
    """Return how the host gets at its GDAL."""
    if PYPROJECT not in facts.texts or host.layout is Layout.TOPLEVEL:
        return []
    if host.layout is Layout.PRIVATE:
        use = f"    from {host.package}._vendor.osgeo import gdal"
        return [
            f"In {host.package}, the wheel's GDAL is used as (a checkout does not have it: "
            f"docs/layouts.md):\n{use}"
        ]
    return [_CONFIGURE.format(package=host.package)]


def _commands(facts: ProjectFacts, host: Host, prefix: str) -> dict[str, str]:
    wheel = f"nox -s {prefix}wheel"
    if facts.running not in host.pythons:
        wheel += f"-{host.pythons[-1]}"
    distro = f"{wheel} -- --channel distro"
    return {
        f"nox -s {prefix}plan": "what would run and why",
        f"nox -s {prefix}lock": "solve; commit pixi.lock and pylock.geowheel.toml",
        wheel: "a tested wheel in dist/",
        distro: "the same where conda-forge cannot be reached (Debian, Ubuntu)",
    }


def _new(path: str, text: str) -> Change:
    return Change(path=path, before=None, after=text)


def _indented(text: str) -> str:
    return "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())

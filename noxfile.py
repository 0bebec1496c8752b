"""The sessions of this repository: geowheel's own for hosts/gdal, and the toolkit's checks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import nox

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "src"))

from geowheel.nox import sessions  # noqa: E402

nox.options.sessions = ["lint", "types"]


def environment(group: str = "tools") -> Path:
    """The python of the private tool environment, made when it is not there."""
    spec = importlib.util.spec_from_file_location("environment", HERE / "ci" / "environment.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        python: Path = module.ensure(group)
    except module.ToolEnvironmentError as error:
        sys.exit(f"error: {error}")
    return python


def development(session: nox.Session, *arguments: str) -> None:
    """Run a module of the development environment on the checkout."""
    python = environment("development")
    session.run(str(python), "-m", *arguments, external=True, env={"PYTHONPATH": str(HERE / "src")})


sessions(host="hosts/gdal", root=HERE, python=environment)


@nox.session(python=False, default=False)
def tests(session: nox.Session) -> None:
    """the unit tests and one real build, in under 5 minutes (-- --all: everything, 25 to 45)"""
    # Two at a time: much of what a test does is waiting, for an index or for one slow tool. Each
    # module stays in one worker, and the long ones, tests/integration, come before tests/unit.
    options = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    asked = [word for word in session.posargs if word != "--all"]
    if "--all" in session.posargs:
        session.log("all tests: 25 to 45 minutes on two cores; they need what .ci/run installs")
    elif not any(Path(word.partition("::")[0]).exists() for word in asked):
        session.log("unit tests and one build of hosts/gdal: 2 to 5 minutes on two cores")
        asked += ["tests/integration/test_first_hour.py", "tests/unit"]
    development(session, "pytest", *options, *asked)


@nox.session(python=False, default=False)
def attack(session: nox.Session) -> None:
    """hostile input and bad days, seeded, with memory and time of each row (under 3 minutes)"""
    options = ["-n", "2", "--dist", "worksteal", "--durations=3", "-q"]
    development(session, "pytest", *options, "tests/attack", *session.posargs)


@nox.session(python=False)
def lint(session: nox.Session) -> None:
    """ruff's checks and formatting; the layers; the workflow is what would be generated"""
    development(session, "ruff", "check", str(HERE))
    development(session, "ruff", "format", "--check", str(HERE))
    layers = str(environment("development").with_name("lint-imports"))
    session.run(layers, external=True, env={"PYTHONPATH": str(HERE / "src")})
    arguments = ["workflow", "--check", "--quiet", "--root", str(HERE), "--host", "hosts/gdal"]
    session.run(
        str(environment("development")), "-m", "geowheel", *arguments, external=True,
        env={"PYTHONPATH": str(HERE / "src")},
    )  # fmt: skip


@nox.session(python=False)
def types(session: nox.Session) -> None:
    """mypy, strict"""
    development(session, "mypy")


@nox.session(python=False, default=False)
def docs(session: nox.Session) -> None:
    """the documentation as a site, build/docs; a warning or a dead link is an error"""
    generate, source, site = HERE / "docs" / "generate.py", HERE / "docs", HERE / "build" / "docs"
    sources = {"PYTHONPATH": str(HERE / "src")}
    session.run(str(environment()), str(generate), external=True, env=sources)
    # -E: a page that did not change is read again, since only then its warnings are said again.
    sphinx = ["-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html"]
    trees = ["-d", str(site.with_name("doctrees"))]
    session.run(
        str(environment("docs")), *sphinx, *trees, str(source), str(site), external=True
    )  # fmt: skip
    session.log(f"read it: {site / 'index.html'}")


@nox.session(python=False, default=False)
def benchmark_wheel(session: nox.Session) -> None:
    """what the default wheel costs, against the plain way (takes minutes; -- 3.12)"""
    script = str(HERE / "benchmarks" / "wheel.py")
    sources = {"PYTHONPATH": str(HERE / "src")}
    session.run(str(environment()), script, *session.posargs, external=True, env=sources)


@nox.session(python=False, default=False)
def benchmark_import(session: nox.Session) -> None:
    """what the bootstrap adds to the import of osgeo (needs a wheel in dist/)"""
    script = str(HERE / "benchmarks" / "import.py")
    session.run(str(environment()), script, *session.posargs, external=True)


@nox.session(python=False, default=False)
def benchmark_throughput(session: nox.Session) -> None:
    """what a wheel costs at work, against the distribution's python3-gdal (takes minutes)"""
    script = str(HERE / "benchmarks" / "throughput.py")
    session.run(str(environment()), script, *session.posargs, external=True)


@nox.session(python=False, default=False)
def benchmark_fetch(session: nox.Session) -> None:
    """what fetch takes for five platforms from a warm store, on a channel made for it"""
    script = str(HERE / "benchmarks" / "fetch.py")
    sources = {"PYTHONPATH": str(HERE / "src")}
    session.run(str(environment("development")), script, external=True, env=sources)


@nox.session(python=False, default=False)
def benchmark(session: nox.Session) -> None:
    """what a wheel costs against the plain recipe: a table, a plot in build/ (takes minutes)"""
    script = str(HERE / "benchmarks" / "recipe.py")
    sources = {"PYTHONPATH": str(HERE / "src")}
    session.run(str(environment()), script, *session.posargs, external=True, env=sources)


@nox.session(python=False, default=False)
def benchmark_ledger(session: nox.Session) -> None:
    """what a shared ledger saves six targets over three workers (takes minutes)"""
    session.run(str(environment()), str(HERE / "benchmarks" / "ledger.py"), external=True)


@nox.session(python=False, default=False)
def benchmark_repair(session: nox.Session) -> None:
    """what repairing large wheels for macOS and Windows takes here"""
    script = str(HERE / "benchmarks" / "repair.py")
    sources = {"PYTHONPATH": str(HERE / "src")}
    session.run(str(environment("development")), script, external=True, env=sources)

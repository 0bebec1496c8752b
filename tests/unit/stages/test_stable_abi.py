"""One wheel for several Pythons: when, for which, and what makes it."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.hosts import make_context, make_interpreter, make_locks, make_project

from geowheel.digest import Artefact
from geowheel.errors import ConfigError, MachineError
from geowheel.machine.interpreters import Interpreter
from geowheel.project.config import Abi, Bindings
from geowheel.project.places import Layout
from geowheel.stages.context import Context, Tools, stable_python
from geowheel.stages.recipe import recipe

RAW = Artefact(path=Path("raw.whl"), sha256="0" * 64)


def context(tmp_path: Path, gdal: str, python: str, abi: Abi = Abi.AUTO) -> Context:
    project = make_project(tmp_path)
    config = replace(project.config, pythons=("3.13", "3.14t", "3.10", "3.12", "3.11"), abi=abi)
    project = replace(project, host=replace(project.host, config=config))
    locks = make_locks()
    (package,) = locks.stack.packages
    stack = replace(locks.stack, packages=(replace(package, version=gdal),))
    made = make_context(project)
    return replace(
        made, target=replace(made.target, python=python), locks=replace(locks, stack=stack),
        tools=Tools(interpreter=make_interpreter(python), toolchain=None),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gdal", "python", "abi", "stable"),
    [
        ("3.13.3", "3.13", Abi.AUTO, "3.11"),
        ("3.11.0", "3.11", Abi.ABI3, "3.11"),
        ("3.10.3", "3.13", Abi.AUTO, ""),  # SWIG 4.0
        ("3.13.3", "3.10", Abi.AUTO, ""),  # the limited API has no buffers there
        ("3.13.3", "3.13", Abi.VERSION, ""),
        ("3.13.3", "3.14t", Abi.AUTO, ""),  # PEP 803's abi3t waits for SWIG
    ],
)
def test_when_the_stable_abi_is_used(
    tmp_path: Path, gdal: str, python: str, abi: Abi, stable: str
) -> None:
    found = context(tmp_path, gdal, python, abi)
    assert found.stable == stable
    assert found.made_for.python == (stable or python)


def test_it_is_asked_for_in_vain(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"GDAL 3.10.3 cannot use the stable ABI"):
        _ = context(tmp_path, "3.10.3", "3.12", Abi.ABI3).stable
    project = context(tmp_path, "3.13.3", "3.12").project
    for other in (
        replace(project, asked_bindings=Bindings.PREBUILT),
        replace(project, host=replace(
            project.host, config=replace(project.config, layout=Layout.NONE))),
    ):  # fmt: skip
        assert stable_python(other, "3.13.3", "3.12") == ""


def test_the_oldest_python_there_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(python: str, **_: object) -> Interpreter:
        if python == "3.11":
            raise MachineError("CPython 3.11 is not on this machine")
        return make_interpreter(python)

    monkeypatch.setattr("geowheel.stages.context.find_interpreter", find)
    found = context(tmp_path, "3.13.3", "3.13")
    assert (found.builder.python, found.built_by.python) == ("3.12", "3.12")
    assert found.made_for.interpreter_tag == "cp311"
    # A machine with other Pythons makes the same bytes.
    assert recipe(replace(found, raw=RAW), {})["interpreter"] == "CPython 3.11"
    assert context(tmp_path, "3.10.3", "3.13").builder.python == "3.13"

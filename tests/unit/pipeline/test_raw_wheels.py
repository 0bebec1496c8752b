"""What `geowheel repair-wheel` makes of the names of raw wheels."""

from pathlib import Path

import pytest
from tests.support.hosts import RUNNING, make_project

from geowheel.errors import BuildError, UsageError
from geowheel.pipeline.raw_wheels import request_for
from geowheel.project.project import Project
from geowheel.targets import Platform

TAG = "cp" + RUNNING.replace(".", "")
NONE = 'layout = "none"\nimport-package = "pkg"\n'


def ask(project: Project, name: str) -> str:
    """The python whose payload the wheel gets."""
    raw = project.root / name
    raw.write_bytes(b"wheel")
    request = request_for(project, raw, project.root / "wheelhouse")
    assert request.goals == ("repair",)
    assert request.raw is not None and request.raw.path == raw
    assert request.wheels == project.root / "wheelhouse"
    (target,) = request.targets
    return target.python


def test_the_interpreter_is_in_the_name(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert ask(project, f"x-1-{TAG}-{TAG}-linux_x86_64.whl") == RUNNING
    assert ask(project, "x-1-cp398-cp398-linux_x86_64.whl") == "3.98"
    assert ask(make_project(tmp_path, more=NONE), "x-1-cp398-cp398-linux_x86_64.whl") == "3.98"


@pytest.mark.parametrize("tags", ["cp36-abi3", "py3-none", "cp398.cp399-abi3"])
def test_without_bindings_any_configured_python_will_do(tmp_path: Path, tags: str) -> None:
    project = make_project(tmp_path, more=NONE)
    assert ask(project, f"x-1-{tags}-linux_x86_64.whl") in project.config.pythons


@pytest.mark.parametrize("tags", ["cp311-abi3", "py3-none", "cp398.cp399-cp398.cp399"])
def test_bindings_are_of_one_python(tmp_path: Path, tags: str) -> None:
    with pytest.raises(UsageError, match="has to be of one CPython"):
        ask(make_project(tmp_path), f"x-1-{tags}-linux_x86_64.whl")


@pytest.mark.parametrize(
    ("platform", "cause"),
    [
        ("manylinux_2_28_x86_64", "it was repaired already"),
        ("manylinux2014_x86_64", "it was repaired already"),
        ("musllinux_1_2_x86_64", "it was repaired already"),
        ("any", "made a pure wheel"),
        ("linux_armv7l", "its platform tag is linux_armv7l, a raw wheel's is such as linux_x86"),
        ("macosx_11_0_universal2", "its platform tag is macosx_11_0_universal2"),
        ("win32", "its platform tag is win32"),
    ],
)
def test_other_platforms_are_refused(tmp_path: Path, platform: str, cause: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(make_project(tmp_path), f"x-1-{TAG}-{TAG}-{platform}.whl")
    assert cause in str(caught.value)


@pytest.mark.parametrize(
    ("tag", "platform"),
    [
        ("linux_x86_64", Platform.LINUX_64), ("linux_aarch64", Platform.LINUX_AARCH64),
        ("macosx_10_13_x86_64", Platform.OSX_64), ("macosx_13_0_arm64", Platform.OSX_ARM64),
        ("win_amd64", Platform.WIN_64), ("win_arm64", Platform.WIN_ARM64),
    ],
)  # fmt: skip
def test_the_tag_names_the_platform(tmp_path: Path, tag: str, platform: Platform) -> None:
    raw = tmp_path / f"x-1-{TAG}-{TAG}-{tag}.whl"
    raw.write_bytes(b"wheel")
    (target,) = request_for(make_project(tmp_path), raw, tmp_path).targets
    assert target.platform is platform


def test_a_wheel_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such wheel"):
        request_for(make_project(tmp_path), tmp_path / "x-1-py3-none-any.whl", tmp_path)
    for more in ("", NONE):
        with pytest.raises(UsageError, match=r"not configured for Python 3\.97"):
            ask(make_project(tmp_path, more=more), "x-1-cp397-cp397-linux_x86_64.whl")


@pytest.mark.parametrize("name", ["x.whl", "x-1-linux_x86_64.whl", "x.zip"])
def test_a_name_that_is_no_wheels(tmp_path: Path, name: str) -> None:
    with pytest.raises(BuildError, match="not a wheel's file name"):
        ask(make_project(tmp_path), name)

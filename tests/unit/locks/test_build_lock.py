import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from packaging.tags import Tag, parse_tag

from geowheel.digest import digest
from geowheel.errors import ChannelError, LockError
from geowheel.locks import build_lock, build_solving
from geowheel.locks.build_solving import solve_build_lock
from geowheel.machine.console import Console
from geowheel.machine.environments import tool_environment
from geowheel.machine.process import Result
from geowheel.targets import Platform, Target, parse_target

LINUX = Target(python="3.12", platform=Platform.LINUX_64)
TARGETS = [Target(python=p, platform=s) for p in ("3.11", "3.12", "3.13") for s in Platform]


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        (Platform.LINUX_64, ("linux", "posix", "Linux", "x86_64")),
        (Platform.LINUX_AARCH64, ("linux", "posix", "Linux", "aarch64")),
        (Platform.OSX_64, ("darwin", "posix", "Darwin", "x86_64")),
        (Platform.OSX_ARM64, ("darwin", "posix", "Darwin", "arm64")),
        (Platform.WIN_64, ("win32", "nt", "Windows", "AMD64")),
        (Platform.WIN_ARM64, ("win32", "nt", "Windows", "ARM64")),
    ],
)
def test_markers_are_of_the_target(platform: Platform, expected: tuple[str, ...]) -> None:
    found = build_lock.marker_environment(Target(python="3.12", platform=platform))
    assert (
        found["sys_platform"], found["os_name"], found["platform_system"], found["platform_machine"]
    ) == expected  # fmt: skip
    assert (found["python_version"], found["implementation_name"]) == ("3.12", "cpython")


@pytest.mark.parametrize(
    ("tag", "platforms"),
    [
        ("cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64", {Platform.LINUX_64}),
        ("cp312-cp312-manylinux_2_28_aarch64", {Platform.LINUX_AARCH64}),
        ("cp312-cp312-manylinux_2_34_x86_64", set()),
        ("cp312-cp312-musllinux_1_2_x86_64", set()),
        ("cp312-cp312-manylinux1_x86_64", {Platform.LINUX_64}),
        ("cp38-abi3-manylinux2010_x86_64", {Platform.LINUX_64}),
        ("cp313-abi3-manylinux2014_x86_64", set()),
        ("cp312-cp312t-manylinux2014_x86_64", set()),
        ("pp310-pypy310_pp73-manylinux2014_x86_64", set()),
        ("cp312-cp312-macosx_11_0_arm64", {Platform.OSX_ARM64}),
        ("cp312-cp312-macosx_10_13_x86_64", {Platform.OSX_64}),
        ("cp312-cp312-macosx_10_9_universal2", {Platform.OSX_64, Platform.OSX_ARM64}),
        ("cp312-cp312-macosx_11_0_universal2", {Platform.OSX_ARM64}),
        ("cp312-cp312-macosx_10_14_x86_64", set()),
        ("cp312-cp312-macosx_11_0_x86_64", set()),
        ("cp312-cp312-musllinux_1_2_aarch64", set()),
        ("cp312-cp312-win32", set()),
        ("cp312-cp312-macosx_14_0_arm64", set()),
        ("cp312-cp312-win_amd64", {Platform.WIN_64}),
        ("cp312-cp312-win_arm64", {Platform.WIN_ARM64}),
        ("cp312-none-any", set(Platform)),
        ("py3-none-any", set(Platform)),
        ("py2.py3-none-any", set(Platform)),
        ("py310-none-any", set(Platform)),
        ("py313-none-any", set()),
        ("py3-none-manylinux2014_x86_64", {Platform.LINUX_64}),
        ("py3-none-win_amd64", {Platform.WIN_64}),
    ],
)
def test_a_wheel_fits_where_an_installer_would_take_it(tag: str, platforms: set[Platform]) -> None:
    fitting = {
        platform
        for platform in Platform
        if parse_tag(tag) & set(build_lock.target_tags(Target(python="3.12", platform=platform)))
    }
    assert fitting == platforms


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_tags_are_in_order_of_preference_and_unlike(target: Target) -> None:
    tags = build_lock.target_tags(target)
    assert len(tags) == len(set(tags))
    own = next(i for i, tag in enumerate(tags) if tag.abi == target.interpreter_tag)
    stable = next(i for i, tag in enumerate(tags) if tag.abi == "abi3")
    pure = tags.index(Tag("py3", "none", "any"))
    assert own < stable < pure


def test_a_free_threaded_python_takes_its_own_wheels() -> None:
    target = Target(python="3.14t", platform=Platform.LINUX_64)
    assert parse_target("cp314t-linux-64") == target and str(target) == "cp314t-linux-64"
    tags = set(build_lock.target_tags(target))
    for name, wanted in {"cp314-cp314t": True, "cp314-cp314": False, "cp311-abi3": False}.items():
        assert bool(parse_tag(f"{name}-manylinux_2_17_x86_64") & tags) is wanted, name
    assert build_lock.marker_environment(target)["python_version"] == "3.14"


ARM_MAC = Target(python="3.12", platform=Platform.OSX_ARM64)
INTEL_MAC = Target(python="3.12", platform=Platform.OSX_64)


@pytest.mark.parametrize("target", [ARM_MAC, INTEL_MAC], ids=str)
def test_an_older_macos_goes_before_a_newer_one_that_is_only_allowed(target: Target) -> None:
    machine = target.platform.architecture
    tags = build_lock.target_tags(target, macos=("11.0", "14.0"))
    wanted, allowed = (
        Tag("cp312", "cp312", f"macosx_{version}_0_{machine}") for version in (11, 14)
    )
    assert tags.index(wanted) < tags.index(Tag("cp312", "abi3", f"macosx_11_0_{machine}"))
    assert tags.index(Tag("cp312", "abi3", f"macosx_11_0_{machine}")) < tags.index(allowed)
    assert len(tags) == len(set(tags))
    assert Tag("cp312", "cp312", f"macosx_15_0_{machine}") not in tags


def wheel(
    name: str, version: str = "1.0", tag: str = "py3-none-any", **more: Any
) -> dict[str, Any]:
    file = f"{name.replace('-', '_')}-{version}-{tag}.whl"
    return {"url": f"https://i.invalid/{file}", "hashes": {"sha256": "0" * 64}, **more}


def package(
    name: str, *wheels: Mapping[str, Any], version: str = "1.0", **more: Any
) -> dict[str, Any]:
    described = {"name": name, "version": version, **more}
    return described | ({"wheels": list(wheels)} if wheels else {})


def write(folder: Path, *packages: Mapping[str, Any]) -> build_lock.BuildLock:
    path = folder / "pylock.geowheel.toml"
    data = {
        "lock-version": "1.0",
        "created-by": "test",
        "dependency-groups": ["bindings", "build", "test", "sdist"],
        "packages": list(packages),
        "tool": {"geowheel": {"solved-from": "x"}},
    }
    path.write_text(tomli_w.dumps(data))
    return build_lock.read_build_lock(path)


def group(*names: str) -> str:
    return " or ".join(f"'{name}' in dependency_groups" for name in names)


def test_a_group_takes_its_own_and_the_best_wheel_of_the_target(tmp_path: Path) -> None:
    lock = write(
        tmp_path,
        package(
            "numpy",
            wheel("numpy", tag="cp312-cp312-manylinux_2_17_x86_64"),
            wheel("numpy", tag="cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64", size=7),
            wheel("numpy", tag="cp313-cp313-manylinux_2_28_x86_64"),
            wheel("numpy", tag="cp312-cp312-win_amd64"),
            marker=group("bindings", "test"),
        ),
        package("backend", wheel("backend"), marker=group("build")),
        package("on-windows", wheel("on-windows"),
                marker=f"sys_platform == 'win32' and ({group('test')})"),
    )  # fmt: skip
    (numpy,) = lock.requirements("bindings", LINUX)
    assert (
        numpy.file_name == "numpy-1.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
    )
    assert (numpy.size, numpy.sha256) == (7, "0" * 64)
    assert [d.name for d in lock.requirements("build", LINUX)] == ["backend"]
    assert [d.name for d in lock.requirements("test", LINUX)] == ["numpy"]
    on_windows = lock.requirements("test", replace(LINUX, platform=Platform.WIN_64))
    assert [d.name for d in on_windows] == ["numpy", "on-windows"]
    assert lock.solved_from == "x"


def test_a_file_with_and_without_its_size_is_one_file(tmp_path: Path) -> None:
    # An index said the size of the same file in the one answer and not in the other.
    lock = write(
        tmp_path,
        package("pluggy", wheel("pluggy"), marker=group("build")),
        package(
            "pluggy", wheel("pluggy", size=7), marker=f"python_version > '3' and {group('test')}"
        ),
    )
    both = {download for name in ("build", "test") for download in lock.requirements(name, LINUX)}
    assert [download.name for download in sorted(both)] == ["pluggy"]


ACCELERATE = {
    ARM_MAC: ("macosx_11_0_arm64", "macosx_14_0_arm64"),
    INTEL_MAC: ("macosx_10_13_x86_64", "macosx_14_0_x86_64"),
}


@pytest.mark.parametrize("target", [ARM_MAC, INTEL_MAC], ids=str)
def test_what_a_build_takes_is_for_the_targets_floor(tmp_path: Path, target: Target) -> None:
    old, new = ACCELERATE[target]
    both = package(
        "numpy",
        *(wheel("numpy", tag=f"cp312-cp312-{platform}") for platform in (new, old)),
        marker=group("bindings", "build"),
    )
    lock = write(tmp_path, both)
    for macos in ((), ("13.0",), ("11.0", "14.0")):
        for name in ("bindings", "build"):
            (numpy,) = replace(lock, macos=macos).requirements(name, target)
            assert numpy.file_name == f"numpy-1.0-cp312-cp312-{old}.whl"


@pytest.mark.parametrize("target", [ARM_MAC, INTEL_MAC], ids=str)
def test_a_wheel_for_a_newer_macos_only_is_named(tmp_path: Path, target: Target) -> None:
    _, new = ACCELERATE[target]
    marker = group("bindings", "build", "test")
    pure = package("backend", wheel("backend"), marker=group("build"))
    lock = write(
        tmp_path, pure, package("numpy", wheel("numpy", tag=f"cp312-cp312-{new}"), marker=marker)
    )
    oldest = "11.0" if target is ARM_MAC else "10.13"
    with pytest.raises(LockError) as caught:
        lock.requirements("build", target)
    (fault,) = caught.value.faults
    assert fault.what == (
        f"numpy 1.0 has no wheel for macOS {oldest}, only numpy-1.0-cp312-cp312-{new}.whl"
    )
    assert fault.where == str(lock.path) and "[tool.geowheel.floor] macos" in fault.fix
    (numpy,) = replace(lock, macos=(oldest, "14.0")).requirements("bindings", target)
    assert new in numpy.file_name
    with pytest.raises(LockError, match=r"macOS 13\.0"):  # tests run there
        replace(lock, macos=(oldest, "14.0")).requirements("test", target)
    lock = write(tmp_path, package("numpy", wheel("numpy", tag="cp312-cp312-win_amd64"),
                                   marker=marker))  # fmt: skip
    with pytest.raises(LockError, match="build requirements of"):
        lock.requirements("build", target)


def test_a_name_in_a_url_is_unescaped_and_an_sdist_no_wheel(tmp_path: Path) -> None:
    made = wheel("torch")
    made["url"] = "https://i.invalid/torch-2.0%2Bcpu-py3-none-any.whl"
    lock = write(tmp_path, package("torch", made, version="2.0+cpu", marker=group("test")))
    (torch,) = lock.requirements("test", LINUX)
    assert torch.file_name == "torch-2.0+cpu-py3-none-any.whl"
    sdist = {"url": "https://i.invalid/x-1.0.tar.gz", "hashes": {"sha256": "0" * 64}}
    lock = write(tmp_path, package("x", sdist=sdist, marker=group("test")))
    with pytest.raises(LockError, match=r"x 1\.0 has no wheel for cp312-linux-64"):
        lock.requirements("test", LINUX)
    with pytest.raises(LockError, match="no sdist of GDAL in it"):
        _ = lock.gdal_sdist


@pytest.mark.parametrize(
    "broken",
    [
        {"path": "x-1.0-py3-none-any.whl", "hashes": {"sha256": "0" * 64}},
        {"url": "https://i.invalid/x-1.0-py3-none-any.whl", "hashes": {"md5": "0" * 32}},
    ],
)
def test_what_cannot_be_verified_is_refused(tmp_path: Path, broken: Mapping[str, Any]) -> None:
    lock = write(tmp_path, package("x", broken, marker=group("test")))
    with pytest.raises(LockError, match=r"x 1\.0: its? .*(not a URL|64 hexadecimal digits)"):
        lock.requirements("test", LINUX)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "there is no build lock"),
        ("not toml", "not a valid pylock file"),
        ("# \xff", "not a valid pylock file"),
        ('lock-version = "1.0"\n', "not a valid pylock file"),
        ('lock-version = "9.0"\ncreated-by = "x"\npackages = []\n', "not a valid pylock file"),
    ],
)
def test_a_build_lock_that_cannot_be_used(tmp_path: Path, text: str | None, expected: str) -> None:
    path = tmp_path / "pylock.geowheel.toml"
    if text is not None:
        path.write_text(text, encoding="latin-1")  # which is not always UTF-8
    with pytest.raises(LockError, match=expected) as caught:
        build_lock.read_build_lock(path)
    assert str(path) in str(caught.value) and caught.value.faults[0].fix.endswith(
        "run `geowheel lock`"
    )


WANTED = build_lock.Requirements(
    gdal_version="3.10.3",
    pythons=("3.11", "3.12"),
    platforms=(Platform.LINUX_64, Platform.OSX_ARM64),
    build=("backend",),
    test=("tests",),
)
GDAL = package(
    "gdal", version="3.10.3",
    sdist={"url": "https://i.invalid/gdal-3.10.3.tar.gz", "hashes": {"sha256": "1" * 64}},
)  # fmt: skip
NUMPY = package(
    "numpy",
    *(
        wheel("numpy", tag=f"{python}-{python}-{platform}")
        for python in ("cp311", "cp312", "cp313")
        for platform in ("manylinux2014_x86_64", "macosx_11_0_arm64", "win_amd64")
    ),
)


@dataclass(kw_only=True)
class FakeUv:
    """Answers like `uv pip compile`: what is locked for a first requirement."""

    console: Console
    answers: Mapping[str, Sequence[Mapping[str, Any]]]
    error: str = ""
    unsolvable: str = "nothing"
    log: Path = Path("uv.log")
    settings: dict[str, str] = field(default_factory=dict)
    argv: list[tuple[str, ...]] = field(default_factory=list)

    def run(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, check: bool
    ) -> Result:
        assert not check and "SECRET" not in env
        asked, *more = (cwd / "requirements.in").read_text().split()
        self.settings[asked] = (cwd / "uv.toml").read_text()
        self.argv.append(tuple(map(str, argv)))
        error = self.error or ("no such wheel" if self.unsolvable in (asked, *more) else "")
        if not error:
            data = {"lock-version": "1.0", "created-by": "uv", "packages": self.answers[asked]}
            (cwd / "pylock.toml").write_text(tomli_w.dumps(data))
        return Result(returncode=2 if error else 0, stdout="", stderr=error, log=self.log)

    def side_by_side(self, work: Callable[[str], Any], items: Sequence[str]) -> list[Any]:
        return list(map(work, items))


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeUv:
    monkeypatch.setattr(build_solving, "tool_path", lambda name: Path("/tools") / name)
    monkeypatch.setattr(build_solving, "index_environment", tool_environment)  # pip is not asked
    return FakeUv(
        console=Console(logs=tmp_path / "logs"),
        answers={
            "numpy>=2": [NUMPY],
            "backend": [package("backend", wheel("backend"))],
            "tests": [package("tests", wheel("tests")), NUMPY],
            "gdal==3.10.3": [GDAL],
        },
    )


def solve(uv: FakeUv, path: Path, wanted: build_lock.Requirements = WANTED) -> build_lock.BuildLock:
    solve_build_lock(wanted, path, environ={"SECRET": "x"}, step=uv)  # type: ignore[arg-type]
    return build_lock.read_build_lock(path)


def test_groups_are_merged_and_what_no_target_can_use_left_out(uv: FakeUv, tmp_path: Path) -> None:
    lock = solve(uv, tmp_path / "lock" / "pylock.geowheel.toml")
    assert [p.name for p in lock.pylock.packages] == ["backend", "gdal", "numpy", "tests"]
    numpy = lock.pylock.packages[2]
    assert str(numpy.marker) == '"bindings" in dependency_groups or "test" in dependency_groups'
    assert len(numpy.wheels or ()) == 4  # two pythons, two platforms
    assert lock.solved_from == digest(WANTED)
    assert lock.gdal_sdist.sha256 == "1" * 64
    assert [p.name for p in (tmp_path / "lock").iterdir()] == ["pylock.geowheel.toml"]


def test_newer_macos_said(uv: FakeUv, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uv.answers = {
        **uv.answers,
        "backend": [package("backend", wheel("backend", tag="py3-none-macosx_14_0_arm64"),
                            wheel("backend", tag="py3-none-manylinux2014_x86_64"))],
    }  # fmt: skip
    lock = solve(uv, tmp_path / "lock.toml")
    assert "backend 1.0 has no wheel for cp311-osx-arm64" in capsys.readouterr().err
    (backend,) = (p for p in lock.pylock.packages if p.name == "backend")
    assert len(backend.wheels or ()) == 2
    before = (tmp_path / "lock.toml").read_bytes()
    solve_build_lock(
        WANTED, tmp_path / "lock.toml", environ={"SECRET": "x"}, step=uv,  # type: ignore[arg-type]
        macos={Platform.OSX_ARM64: ("11.0", "14.0")},
    )  # fmt: skip
    assert "no wheel" not in capsys.readouterr().err
    assert (tmp_path / "lock.toml").read_bytes() == before


def test_the_oldest_python_counts_and_gdal_is_never_built(uv: FakeUv, tmp_path: Path) -> None:
    wanted = replace(WANTED, pythons=("3.12", "3.9", "3.11"))
    solve(uv, tmp_path / "lock.toml", wanted)
    for argv in uv.argv:
        assert argv[argv.index("--python-version") + 1] == "3.9"
        assert "--universal" in argv and "--config-file" not in argv
    assert tomllib.loads(uv.settings["backend"]) == {"no-build": True}
    (static,) = tomllib.loads(uv.settings["gdal==3.10.3"])["dependency-metadata"]
    assert static == {"name": "gdal", "version": "3.10.3", "requires-dist": []}
    solve(uv, tmp_path / "a.toml")
    uv.answers = {name: list(reversed(found)) for name, found in uv.answers.items()}
    solve(uv, tmp_path / "b.toml")
    assert (tmp_path / "a.toml").read_bytes() == (tmp_path / "b.toml").read_bytes()


PEERS = replace(WANTED, peers=("pyproj", "fiona"))


def with_peers(uv: FakeUv) -> None:
    tests = [package("tests", wheel("tests")), NUMPY]
    pyproj = package("pyproj", wheel("pyproj", tag="cp311-cp311-manylinux2014_x86_64"))
    lab = [*tests, pyproj, package("trustme", wheel("trustme"))]
    uv.answers = {**uv.answers, "pyproj": lab}


def test_peers_are_a_group(uv: FakeUv, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_peers(uv)
    lock = solve(uv, tmp_path / "lock.toml", PEERS)
    assert "lab" in (lock.pylock.dependency_groups or ())
    linux = [Target(python=python, platform=Platform.LINUX_64) for python in ("3.11", "3.12")]
    found = [lock.offered("lab", target) for target in linux]
    assert [d.name for d in found[0][0]] == ["numpy", "pyproj", "tests", "trustme"]
    assert [d.name for d in found[1][0]] == ["numpy", "tests", "trustme"]
    assert (found[0][1], found[1][1]) == ((), ("pyproj",))
    assert "pyproj" not in capsys.readouterr().err  # the lab itself says so


def test_without_peers_the_lock_has_no_group_for_the_lab(uv: FakeUv, tmp_path: Path) -> None:
    lock = solve(uv, tmp_path / "lock.toml")
    assert lock.pylock.dependency_groups == ["bindings", "build", "test", "sdist"]
    assert lock.offered("lab", LINUX) == ((), ())
    assert digest(PEERS) != digest(WANTED)


def test_a_peer_left_out(uv: FakeUv, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_peers(uv)
    uv.unsolvable = "fiona"
    lock = solve(uv, tmp_path / "lock.toml", PEERS)
    assert "pyproj" in {package.name for package in lock.pylock.packages}
    assert "the lab goes without fiona: no solution for fiona" in capsys.readouterr().err


def test_markers_and_versions_hold_together_with_their_groups(uv: FakeUv, tmp_path: Path) -> None:
    marker = "sys_platform == 'darwin' or python_version < '3.12'"
    uv.answers = {**uv.answers, "tests": [package("tests", wheel("tests"), marker=marker)]}
    lock = solve(uv, tmp_path / "lock.toml")

    def has(python: str, platform: Platform, name: str = "test") -> bool:
        return bool(lock.requirements(name, Target(python=python, platform=platform)))

    assert has("3.11", Platform.LINUX_64) and has("3.12", Platform.OSX_ARM64)
    assert not has("3.12", Platform.LINUX_64)
    assert "tests" not in [d.name for d in lock.requirements("build", LINUX)]
    old = package("shared", wheel("shared", "1.0"), version="1.0")
    new = package("shared", wheel("shared", "2.0"), version="2.0")
    uv.answers = {**uv.answers, "backend": [old], "tests": [new]}
    lock = solve(uv, tmp_path / "lock.toml")
    assert [d.version for d in lock.requirements("build", LINUX)] == ["1.0"]
    assert [d.version for d in lock.requirements("test", LINUX)] == ["2.0"]
    windows = package("pywin32", wheel("pywin32", tag="cp312-cp312-win_amd64"),
                      marker="sys_platform == 'win32'")  # fmt: skip
    uv.answers = {**uv.answers, "tests": [windows]}
    lock = solve(uv, tmp_path / "lock.toml")
    assert "pywin32" not in [p.name for p in lock.pylock.packages]


def test_a_target_left_out(uv: FakeUv, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lock.toml"
    only = package("tests", wheel("tests", tag="py3-none-macosx_11_0_arm64"))
    uv.answers = {**uv.answers, "tests": [only]}
    solve(uv, path)
    said = " ".join(capsys.readouterr().err.split())
    assert "tests 1.0 has no wheel for cp311-linux-64, cp312-linux-64" in said
    path.unlink()
    none = package("tests", wheel("tests", tag="py3-none-win_amd64"))
    uv.answers = {**uv.answers, "tests": [none]}
    with pytest.raises(LockError, match=r"tests 1\.0 has no wheel for cp311-linux-64, "):
        solve(uv, path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("asked", "offered", "words"),
    [
        ("tests", {"path": "tests-1.0-py3-none-any.whl", "hashes": {"sha256": "0" * 64}},
         "comes from no index"),
        ("gdal==3.10.3", wheel("gdal", "3.10.3"), r"the index has no sdist of GDAL 3\.10\.3"),
    ],
)  # fmt: skip
def test_what_an_index_may_not_offer(
    uv: FakeUv, tmp_path: Path, asked: str, offered: Mapping[str, Any], words: str
) -> None:
    name, _, version = asked.partition("==")
    uv.answers = {**uv.answers, asked: [package(name, offered, version=version or "1.0")]}
    with pytest.raises(LockError, match=words):
        solve(uv, tmp_path / "lock.toml")


@pytest.mark.parametrize(
    ("said", "kind", "expected"),
    [
        ("error: Failed to fetch: `https://i.invalid/x`", ChannelError, "cannot be reached"),
        ("dns error: no such host", ChannelError, "UV_DEFAULT_INDEX"),
        ("No solution found: numpy>=2 is not there", LockError, "no solution for numpy>=2"),
    ],
)
def test_uvs_words_are_passed_on_with_its_log(
    uv: FakeUv, tmp_path: Path, said: str, kind: type[Exception], expected: str
) -> None:
    uv.error = said
    with pytest.raises(kind) as caught:
        solve(uv, tmp_path / "lock.toml")
    assert expected in str(caught.value)
    assert said in str(caught.value) and "uv.log" in str(caught.value)
    assert not (tmp_path / "lock.toml").exists()

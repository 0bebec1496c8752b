"""The checks before an upload, by the genuine tools: each fault is planted in a good file."""

import sysconfig
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from geowheel.machine.console import Console
from geowheel.release.checks import Expected, findings
from geowheel.wheel.writing import write_wheel
from tests.support.files import write_files, write_tar
from tests.support.fixture_channel import TAG

LINUX = f"{TAG}-{TAG}-manylinux_2_36_x86_64"
EXPECTED = Expected(name="My_Host", version="1.0", limit_mb=100)
METADATA = (
    "Metadata-Version: 2.1\nName: my-host\nVersion: 1.0\nRequires-Python: >=3.11\n"
    "Description-Content-Type: text/markdown\n\n# Host\n"
)


def module() -> tuple[str, bytes]:
    """An extension module of the running Python."""
    (path,) = Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("_socket.*.so")
    return path.name, path.read_bytes()


def wheel(
    folder: Path,
    tag: str = LINUX,
    *,
    metadata: str = METADATA,
    more: Mapping[str, bytes] | None = None,
    pure: str = "false",
    name: str = "my_host-1.0",
) -> Path:
    tree = folder / "tree"
    info = f"{name}.dist-info"
    files = {
        "my_host/__init__.py": b"HOST = 1\n",
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: {pure}\nTag: {tag}\n".encode(),
        f"{info}/RECORD": b"",
        **(more or {}),
    }
    write_files(tree, files)
    return write_wheel(tree, folder, filename=f"{name}-{tag}.whl").path


def sdist(folder: Path, *, pkg_info: str | None = METADATA, stray: str = "") -> Path:
    files = {"my_host-1.0/pyproject.toml": "[project]\n", "my_host-1.0/.gitignore": "dist\n"}
    files |= {"my_host-1.0/PKG-INFO": pkg_info} if pkg_info is not None else {}
    files |= {stray: "x"} if stray else {}
    return write_tar(folder / "my_host-1.0.tar.gz", files)


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., list[str]]:
    def look(path: Path, expected: Expected = EXPECTED) -> list[str]:
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        with Console(logs=tmp_path / "logs").step("check", "") as step:
            return [str(f) for f in findings(path, expected, environ=environ, step=step)]

    return look


def test_good_files_have_no_findings(tmp_path: Path, look: Callable[..., list[str]]) -> None:
    name, data = module()
    libraries = {
        "my_host.libs/libnss3-5f3fc428.so": data + b"\0"
    }  # looks like a module at a wrong place
    assert look(wheel(tmp_path, more={f"my_host/{name}": data, **libraries})) == []
    (tmp_path / "pure").mkdir()
    assert look(wheel(tmp_path / "pure", "py3-none-any", pure="true")) == []
    assert look(sdist(tmp_path)) == []


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (f"{TAG}-{TAG}-linux_x86_64", "not a platform tag that an index takes"),
        (f"{TAG}-{TAG}-manylinux_2_36_aarch64", "is for x86_64, the tag is manylinux_2_36_aarch64"),
        (f"{TAG}-{TAG}-macosx_11_0_x86_64", "is compiled for linux, the tag is macosx_11_0_x86_64"),
        (f"{TAG}-{TAG}-win_amd64", "is compiled for linux, the tag is win_amd64"),
        (f"{TAG}-{TAG}-manylinux_2_1_x86_64", "needs GLIBC_2."),
        ("cp399-cp399-manylinux_2_36_x86_64", "the tags are of cp399"),
        ("py3-none-any", "the tag says any platform"),
    ],
)
def test_untrue_tags(tmp_path: Path, look: Callable[..., list[str]], tag: str, text: str) -> None:
    name, data = module()
    found = "\n".join(look(wheel(tmp_path, tag, more={f"my_host/{name}": data})))
    assert text in found


def test_the_stable_abi_is_kept(tmp_path: Path, look: Callable[..., list[str]]) -> None:
    tag = f"{TAG}-abi3-manylinux_2_36_x86_64"
    found = "\n".join(look(wheel(tmp_path, tag, more={"my_host/_socket.abi3.so": module()[1]})))
    assert "abi3audit does not accept it" in found


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        (METADATA.replace("Requires-Python: >=3.11\n", ""), "no Requires-Python"),
        (METADATA.partition("Description")[0], "twine does not accept it"),
    ],
)
def test_metadata(tmp_path: Path, look: Callable[..., list[str]], metadata: str, text: str) -> None:
    assert text in "\n".join(look(wheel(tmp_path, metadata=metadata)))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("my_host/__pycache__/x.pyc", "W001"),
        ("my_host/a file.txt", "path-contains-spaces"),
        ("tests/__init__.py", "W005"),
    ],
)
def test_contents(tmp_path: Path, look: Callable[..., list[str]], path: str, text: str) -> None:
    assert text in "\n".join(look(wheel(tmp_path, more={path: b"\n"})))


def test_another_name_version_or_limit(tmp_path: Path, look: Callable[..., list[str]]) -> None:
    made = wheel(tmp_path, more={"my_host/big.bin": bytes(range(256)) * 40})
    other = Expected(name="other", version="1.1", limit_mb=0.001)
    found = "\n".join(look(made, other))
    assert "is of my-host, the release is of other" in found
    assert "is of version 1.0, the release is 1.1" in found
    assert "distro-too-large-compressed" in found
    made = wheel(tmp_path)
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr("my_host/late.py", "")
    assert "my_host/late.py" in "\n".join(look(made))


def test_sdists(tmp_path: Path, look: Callable[..., list[str]]) -> None:
    assert "has no PKG-INFO" in "\n".join(look(sdist(tmp_path, pkg_info=None)))
    assert "leads out of its folder" in "\n".join(look(sdist(tmp_path, stray="../evil.py")))
    secret = sdist(tmp_path, stray="my_host-1.0/.pypirc")
    assert "unexpected file 'my_host-1.0/.pypirc'" in "\n".join(look(secret))
    (tmp_path / "my_host-1.0.tar.gz").write_bytes(b"no archive")
    assert "cannot be read as an sdist" in "\n".join(look(tmp_path / "my_host-1.0.tar.gz"))

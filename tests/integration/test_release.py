"""Releases to a real index: pypiserver on loopback, with the genuine tools in between."""

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from geowheel.cli import main
from geowheel.wheel.writing import write_wheel
from tests.support.files import write_files
from tests.support.fixture_channel import Sandbox
from tests.support.pypi_server import PASSWORD, PypiServer
from tests.support.release_projects import ROOTS, Planted, Releasable, planted_host, pure_project

INDEX_FAILED = 5
VERIFIER = "pypi-attestations==0.0.30"  # from the package index; nothing else needs it here
TIDY = ["tidy_project-1.0-py3-none-any.whl", "tidy_project-1.0.tar.gz"]


@pytest.fixture
def pure(tmp_path: Path) -> Releasable:
    return pure_project(tmp_path / "tidy", tmp_path / "home")


@pytest.fixture
def host(locked: Sandbox) -> Planted:
    return planted_host(locked)


def install(index: PypiServer, name: str, folder: Path) -> None:
    """As a user does; `folder` is where it goes."""
    subprocess.run(
        [sys.executable, "-m", "pip", "--isolated", "install", "--no-cache-dir", "--quiet",
         "--no-deps", "--disable-pip-version-check", "--index-url", f"{index.url}/simple",
         "--target", folder, name],
        check=True,
    )  # fmt: skip


def test_published_then_nothing_to_do(pure: Releasable, index: PypiServer, tmp_path: Path) -> None:
    first = pure.released("--index", index.url, "--json")
    assert list(index.files()) == TIDY
    assert index.files() == pure.dist()
    assert pure.git("rev-list", "-n1", "v1.0") == pure.git("rev-parse", "HEAD")
    assert "git push origin refs/tags/v1.0" in first.err
    summary = json.loads(first.out)
    assert [file["filename"] for file in summary["files"]] == TIDY
    before = {path.name: path.stat().st_mtime_ns for path in index.folder.iterdir()}
    again = pure.released("--index", index.url)
    assert "nothing to do" in again.out
    assert before == {path.name: path.stat().st_mtime_ns for path in index.folder.iterdir()}
    install(index, "tidy-project==1.0", tmp_path / "site")
    assert (tmp_path / "site" / "tidy.py").read_text() == "TIDY = True\n"


def provenance(name: str, sha256: str, repository: str = "owner/tidy") -> str:
    """Attestations of one file, signed by nobody."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1", "predicate": None,
        "predicateType": "https://docs.pypi.org/attestations/publish/v1",
        "subject": [{"name": name, "digest": {"sha256": sha256}}],
    }  # fmt: skip
    text = base64.b64encode(json.dumps(statement).encode()).decode()
    material = {"certificate": "Tm8=", "transparency_entries": [{}]}
    attestation = {
        "version": 1, "verification_material": material,
        "envelope": {"statement": text, "signature": "Tm8="},
    }  # fmt: skip
    publisher = {"kind": "GitHub", "repository": repository, "workflow": "wheels.yml"}
    bundle = {"publisher": publisher, "attestations": [attestation]}
    return json.dumps({"version": 1, "attestation_bundles": [bundle]})


def test_attestations_of_other_bytes_or_of_others_are_named(
    pure: Releasable, index: PypiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pure.git("remote", "add", "origin", "git@github.com:owner/tidy.git")
    assert "has no attestations of them" in pure.released("--index", index.url).err
    name = TIDY[0]
    sha256 = hashlib.sha256(index.files()[name]).hexdigest()
    file = index.control / f"{name}.provenance"
    for said, wrong in {
        "its attestation is of other bytes: tidy": provenance(name, "0" * 64),
        "it was published from https://github.com/eve/tidy, not from https://github.com/owner/tidy":
            provenance(name, sha256, "eve/tidy"),
        "its attestations cannot be read: ": "{}",
        "its list of attestations is empty": '{"attestation_bundles": []}',
    }.items():  # fmt: skip
        file.write_text(wrong)
        assert f"{name} on {index.url}: {said}" in pure.blocked("--index", index.url).err
    file.write_text(provenance(name, sha256))
    assert "signatures were NOT CHECKED" in pure.released("--index", index.url).err
    uv, place = str(Path(sys.executable).with_name("uv")), tmp_path / "verifier"
    subprocess.run([uv, "venv", "-q", "--no-config", place], check=True)
    subprocess.run(
        [uv, "pip", "install", "-q", "--no-config", "--python", place, VERIFIER], check=True
    )
    monkeypatch.setenv("PATH", f"{place / 'bin'}:{os.environ['PATH']}")
    assert "pypi-attestations refuses it: " in pure.blocked("--index", index.url).err


def test_a_dry_run_neither_tags_nor_uploads(pure: Releasable, index: PypiServer) -> None:
    ended = pure.released("--index", index.url, "--dry-run", "--json")
    assert index.files() == {}
    assert pure.git("tag") == ""
    summary = json.loads(ended.out)
    assert not summary["published"] and summary["index"] == index.url
    sums = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=pure.root / "dist", capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert [line.split(":")[0] for line in sums.stdout.splitlines()] == TIDY
    for file in summary["files"]:
        assert file["sha256"] in ended.out and file["filename"] in ended.out


def test_every_reason_at_once_in_a_dirty_clone(pure: Releasable) -> None:
    (pure.root / "new.py").write_text("")
    (pure.root / "CHANGELOG.md").write_text("# Changelog\n")
    (pure.root / "dist").mkdir()
    (pure.root / "dist" / "stranger-1.0-py3-none-any.whl").write_bytes(b"")
    pure.git("switch", "--quiet", "--create", "side")
    ended = pure.blocked("--dry-run")
    for text in (
        "new.py", "HEAD is on side", "no section for 1.0", "dist/stranger-1.0-py3-none-any.whl",
        "no index is named",
    ):  # fmt: skip
        assert text in ended.flat
    assert list(pure.dist()) == ["stranger-1.0-py3-none-any.whl"]


def test_killed_in_an_upload_then_the_rest(pure: Releasable, index: PypiServer) -> None:
    (index.control / "hold-2").touch()
    with pure.start("--index", index.url) as process:
        index.wait("held")
        process.send_signal(signal.SIGKILL)
    assert list(index.files()) == TIDY[:1]
    first = (index.folder / TIDY[0]).stat().st_mtime_ns
    built = pure.dist()
    index.stop()  # the upload that was held never arrives
    (index.control / "hold-2").unlink()
    index.start()
    again = pure.released("--index", index.url)
    assert f"1 of 1: {TIDY[1]}" in again.err
    assert index.files() == built == pure.dist()
    assert (index.folder / TIDY[0]).stat().st_mtime_ns == first


def test_killed_while_the_upload_goes_on_without_us(pure: Releasable, index: PypiServer) -> None:
    (index.control / "hold-1").touch()
    with pure.start("--index", index.url) as process:
        index.wait("held")
        process.send_signal(signal.SIGKILL)
    (index.control / "hold-1").unlink()  # twine, which we started, is still there
    pure.released("--index", index.url)
    assert index.files() == pure.dist()


def test_a_server_that_dies_in_the_middle(pure: Releasable, index: PypiServer) -> None:
    (index.control / "die-2").touch()
    ended = pure.release("--index", index.url)
    assert ended.code == INDEX_FAILED, ended.err
    assert "nothing is published twice" in ended.flat
    assert list(index.files()) == TIDY[:1]
    index.start()
    pure.released("--index", index.url)
    assert index.files() == pure.dist()


def test_an_answer_that_got_lost_is_found_on_the_index(pure: Releasable, index: PypiServer) -> None:
    (index.control / "lose-2").touch()
    assert pure.release("--index", index.url).code == INDEX_FAILED
    assert index.files() == pure.dist()
    index.start()
    again = pure.released("--index", index.url)
    assert "nothing to do" in again.out


def test_wrong_credentials_are_said_and_never_shown(pure: Releasable, index: PypiServer) -> None:
    wrong = "not-the-password-7"
    ended = pure.release("--index", index.url, TWINE_PASSWORD=wrong)
    assert ended.code == INDEX_FAILED
    assert "credentials are missing, wrong" in ended.flat
    assert wrong not in ended.err + ended.out + pure.said()
    assert index.files() == {}
    again = pure.released("--index", index.url)
    assert PASSWORD not in again.err + pure.said()


def test_credentials_in_a_url_or_in_pypirc(pure: Releasable, index: PypiServer) -> None:
    nobody = {"TWINE_USERNAME": "", "TWINE_PASSWORD": ""}
    (pure.home / ".pypirc").write_text(
        "[distutils]\nindex-servers = ours\n"
        f"[ours]\nrepository = {index.url}\nusername = releaser\npassword = {PASSWORD}\n"
    )
    pure.released("--index", "ours", **nobody)
    (pure.home / ".pypirc").unlink()
    for path in index.folder.iterdir():
        path.unlink()
    with_user = index.url.replace("http://", f"http://releaser:{PASSWORD}@")
    ended = pure.released("--index", with_user, **nobody)
    assert index.files() == pure.dist()
    assert PASSWORD not in ended.err + pure.said()


def test_a_file_that_is_there_already(pure: Releasable, index: PypiServer) -> None:
    pure.released("--index", index.url, "--dry-run")
    shutil.copy(pure.root / "dist" / TIDY[0], index.folder)
    ended = pure.released("--index", index.url)
    assert f"1 of 1: {TIDY[1]}" in ended.err


def test_a_file_of_that_name_with_other_bytes_blocks(pure: Releasable, index: PypiServer) -> None:
    (index.folder / TIDY[0]).write_bytes(b"something else")
    ended = pure.blocked("--index", index.url)
    assert "has a file of this name with other bytes" in ended.flat
    assert list(index.files()) == TIDY[:1]
    assert pure.git("tag") == ""


def test_the_tag_is_pushed_on_demand(pure: Releasable, index: PypiServer, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "remote"], check=True)
    pure.git("remote", "add", "origin", str(tmp_path / "remote"))
    pure.released("--index", index.url, "--push")
    assert "refs/tags/v1.0" in pure.git("ls-remote", "origin")


def test_a_host_with_a_committed_lock(host: Planted, index: PypiServer, tmp_path: Path) -> None:
    host.project.released("--index", index.url)
    assert list(index.files()) == [wheel.name for wheel in host.wheels]
    install(index, "host==1.0", tmp_path / "site")
    assert (tmp_path / "site" / "host" / "__init__.py").is_file()
    again = host.project.release("--index", index.url)
    assert "nothing to do" in again.out


def test_a_root_that_was_dropped_blocks(host: Planted, index: PypiServer) -> None:
    kept = host.project.home / "cache" / "certifi" / "2026.1.1.pem"  # as if it were the newest
    kept.parent.mkdir(parents=True)
    end = "-----END CERTIFICATE-----\n"
    kept.write_text(ROOTS.read_text(encoding="utf-8").partition(end)[0] + end, encoding="utf-8")
    said = host.project.blocked("--index", index.url).err
    assert "distrusted-root: certifi 2026.1.1 does not trust ISRG Root X2" in said
    assert not index.files()


def shipped(folder: Path, tree: Path, version: str, packages: dict[str, str], own: str) -> None:
    """A wheel of geowheel's kind: its SBOM, a bundle of certificates, a module of its own."""
    info, folder_of = f"out-{version}.dist-info", {"ca-certificates": "out/cacert.pem"}
    rows = [
        {"name": name, "version": number, "purl": f"pkg:conda/{name}@{number}",
         "components": [{"name": folder_of.get(name, f"out.libs/{name}.so")}]}
        for name, number in packages.items()
    ]  # fmt: skip
    write_files(tree, {
        "out/__init__.py": own, "out/cacert.pem": ROOTS.read_text(encoding="utf-8") * 10,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: out\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "", f"{info}/sboms/geowheel.cdx.json": json.dumps({"components": rows}),
    })  # fmt: skip
    write_wheel(tree, folder, filename=f"out-{version}-py3-none-any.whl")


def test_what_is_out_says_whether_it_needs_a_new_build(
    pure: Releasable,
    index: PypiServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GEOWHEEL_CACHE", pure.environ["GEOWHEEL_CACHE"])
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    kept = pure.home / "cache" / "certifi" / "2026.1.1.pem"
    end = "-----END CERTIFICATE-----\n"
    trusted = ROOTS.read_text(encoding="utf-8").partition(end)[0] + end
    write_files(kept.parent, {kept.name: trusted})
    before = {"libtiff": "4.7.0", "ca-certificates": "2026.8.1", "zlib": "1.3"}
    shipped(index.folder, pure.home / "old", "0.9", before, "OLD = 1\n")
    shipped(index.folder, pure.home / "out", "1.0", before, "OUT = 1\n")
    report, root = str(ROOTS.with_name("osv-libtiff.json")), str(pure.root)

    def audit(name: str, code: int) -> Any:
        place = f"{index.url}/simple"
        argv = ["--published", place, name, "--vulnerabilities", report, "--json", "--root", root]
        assert main(["audit", *argv]) == code
        return json.loads(capsys.readouterr().out)

    said = audit("out", 12)
    (wheel,) = said["wheels"]
    assert wheel["wheel"] == "out-1.0-py3-none-any.whl" and "new" not in wheel
    assert wheel["relock"] == ["ca-certificates", "libtiff"]
    assert {(f["rule"], f["package"]) for f in wheel["findings"]} == {
        ("distrusted-root", "ca-certificates 2026.8.1"), ("vulnerability", "libtiff 4.7.0"),
    }  # fmt: skip
    assert "1 of 1 wheels need a new build" in said["error"]
    assert "`geowheel lock --upgrade ca-certificates --upgrade libtiff`" in said["error"]
    assert len(audit("out>=0.9", 12)["wheels"]) == 2
    mended = {"libtiff": "99.0", "ca-certificates": "2026.11.1", "zlib": "1.3"}
    dist = pure.root / "dist"
    shipped(dist, pure.home / "new", "1.1", mended, "OUT = 1\n")
    (wheel,) = audit("out", 12)["wheels"]
    assert wheel["relocked"] == ["ca-certificates 2026.8.1 -> 2026.11.1", "libtiff 4.7.0 -> 99.0"]
    assert wheel["beyond"] == []
    shipped(dist, pure.home / "more", "1.1", mended | {"zlib": "1.4"}, "OUT = 2\n")
    assert audit("out", 12)["wheels"][0]["beyond"] == ["zlib 1.3 -> 1.4", "out/__init__.py"]
    kept.write_text(ROOTS.read_text(encoding="utf-8"), encoding="utf-8")
    shipped(index.folder, pure.home / "new", "1.1", mended, "OUT = 1\n")
    assert [w["findings"] for w in audit("out", 0)["wheels"]] == [[]]
    assert "no wheel of none" in audit("none", 2)["error"]
    assert "neither a project's name" in audit("=", 2)["error"]


def test_what_is_wrong_with_a_host_is_said_together(host: Planted, index: PypiServer) -> None:
    pyproject = host.project.root / "pyproject.toml"
    with pyproject.open("a") as file:
        file.write('[tool.geowheel.release]\nchannels = ["conda-forge"]\n')
    host.project.commit()
    ended = host.project.blocked("--index", index.url, "--dry-run")
    assert "which releases do not allow" in ended.flat
    assert "stack is not" not in ended.flat
    project = host.project
    for name in ("pixi.lock", "conda-lock.yml"):
        (project.root / name).unlink()
    project.commit()
    ended = project.blocked("--index", index.url, "--dry-run")
    assert "there is no lock" in ended.flat
    assert "not built from the host's files as they are now" in ended.flat
    assert "its native stack is not the one that is locked now" in ended.flat


def test_missing_tools_are_named_with_their_extra(pure: Releasable, index: PypiServer) -> None:
    without = pure.root.parent / "without"
    without.mkdir()
    # Nothing of them can be imported, as in an environment without the extra.
    (without / "sitecustomize.py").write_text(
        "import importlib.metadata as m\nreal = m.version\n"
        "def version(name):\n"
        "    if name == 'twine':\n        raise m.PackageNotFoundError(name)\n"
        "    return real(name)\nm.version = version\n"
    )
    path = f"{without}:{pure.environ['PYTHONPATH']}"
    ended = pure.blocked("--index", index.url, PYTHONPATH=path)
    assert "geowheel[release]" in ended.flat
    assert index.files() == {}

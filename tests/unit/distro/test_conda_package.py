"""The .conda writer: the same bytes from the same content, whoever writes them and where."""

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from geowheel.distro.conda_package import (
    EPOCH,
    PREFIX_PLACEHOLDER,
    LicenseText,
    PackageMetadata,
    read_payload,
    with_content_build,
    write_package,
)
from geowheel.targets import Platform

METADATA = PackageMetadata(
    name="libthing",
    version="1.2",
    build="debian12_1",
    subdir=Platform.LINUX_64,
    depends=("libzlib >=1.2",),
    license="MIT",
    summary="a thing",
    licenses=(LicenseText(name="libthing1.copyright", text=b"do as you like\n"),),
    extra={"origin": {"distribution": "debian-12"}},
)


def make_tree(root: Path, *, backwards: bool = False) -> Path:
    files = {
        "bin/tool": b"#!/bin/sh\n",
        "lib/libthing.so.1.2": b"\x7fELF",
        "share/a": b"",
        "share/prefix.txt": PREFIX_PLACEHOLDER.encode() + b"/share\n",
    }
    names = sorted(files, reverse=backwards)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(files[name])
    (root / "bin/tool").chmod(0o700 if backwards else 0o755)
    (root / "lib/libthing.so.1").symlink_to("libthing.so.1.2")
    return root


def write(tree: Path, folder: Path, metadata: PackageMetadata = METADATA) -> Path:
    folder.mkdir(exist_ok=True)
    payload = read_payload(tree, with_placeholder=["share/prefix.txt"])
    return write_package(payload, metadata, folder)


def members(package: Path, kind: str) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """The tar members of the `pkg` or `info` part."""
    with zipfile.ZipFile(package) as archive:
        data = archive.read(f"{kind}-{package.stem}.tar.zst")
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {
            info.name: (info, file.read() if (file := tar.extractfile(info)) else b"")
            for info in tar
            if not info.issym()
        } | {info.name: (info, b"") for info in tar if info.issym()}


def test_same_bytes_in_another_folder_and_order_of_creation(tmp_path: Path) -> None:
    one = write(make_tree(tmp_path / "one"), tmp_path / "out1")
    two = write(make_tree(tmp_path / "two", backwards=True), tmp_path / "out2")
    assert one.name == two.name == "libthing-1.2-debian12_1.conda"
    assert one.read_bytes() == two.read_bytes()


def test_umask_owner_and_time_leave_no_trace(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        package = write(make_tree(tmp_path / "tree"), tmp_path / "out")
    finally:
        os.umask(old)
    infos = [info for kind in ("pkg", "info") for info, _ in members(package, kind).values()]
    assert {(i.uid, i.gid, i.uname, i.gname, i.mtime) for i in infos} == {(0, 0, "", "", EPOCH)}
    modes = {name: info.mode for name, (info, _) in members(package, "pkg").items()}
    assert modes == {
        "bin/tool": 0o755,
        "lib/libthing.so.1": 0o777,
        "lib/libthing.so.1.2": 0o644,
        "share/a": 0o644,
        "share/prefix.txt": 0o644,
    }
    assert package.stat().st_mode & 0o777 == 0o644


def test_what_a_package_says_of_itself(tmp_path: Path) -> None:
    package = write(make_tree(tmp_path / "tree"), tmp_path / "out")
    info = members(package, "info")
    paths = {e["_path"]: e for e in json.loads(info["info/paths.json"][1])["paths"]}
    assert list(paths) == sorted(members(package, "pkg"))
    assert paths["lib/libthing.so.1"]["path_type"] == "softlink"
    assert paths["lib/libthing.so.1"]["sha256"] == paths["lib/libthing.so.1.2"]["sha256"]
    assert paths["share/a"]["size_in_bytes"] == 0
    assert paths["share/prefix.txt"]["prefix_placeholder"] == PREFIX_PLACEHOLDER
    assert paths["share/prefix.txt"]["file_mode"] == "text"
    assert "file_mode" not in paths["bin/tool"]
    index = json.loads(info["info/index.json"][1])
    assert index["arch"] == "x86_64"
    assert index["platform"] == "linux"
    assert index["depends"] == ["libzlib >=1.2"]
    assert index["timestamp"] == EPOCH * 1000
    about = json.loads(info["info/about.json"][1])
    assert about["extra"] == {"origin": {"distribution": "debian-12"}}
    assert info["info/licenses/libthing1.copyright"][1] == b"do as you like\n"


def test_the_build_string_follows_content_and_metadata(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    first = with_content_build(METADATA, read_payload(tree))
    assert first.build.startswith("debian12_1_h")
    assert first == with_content_build(METADATA, read_payload(make_tree(tmp_path / "other")))
    (tree / "share" / "a").write_text("changed")
    changed = with_content_build(METADATA, read_payload(tree))
    other = PackageMetadata(name="libthing", version="1.2", build="debian12_1", subdir=None)
    builds = {first.build, changed.build, with_content_build(other, read_payload(tree)).build}
    assert len(builds) == 3


def test_what_cannot_be_packed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="share/a does not hold"):
        read_payload(make_tree(tmp_path / "tree"), with_placeholder=["share/a"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "dangling").symlink_to("elsewhere")
    (file,) = read_payload(tmp_path / "other").files
    assert file.entry() == {"_path": "dangling", "path_type": "softlink"}

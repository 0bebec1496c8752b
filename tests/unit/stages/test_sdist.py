import io
import tarfile
from pathlib import Path

import pytest

from geowheel.errors import IntegrityError
from geowheel.locks.assets import Asset
from geowheel.locks.channels import Mirrors
from geowheel.prefix.store import Store
from geowheel.stages.bindings import unpack_sdist

SDIST = Asset(name="gdal", version="1", url="https://x.invalid/GDAL-1.tar.gz", sha256="ab" * 32)


def store_with(tmp_path: Path, *members: tuple[str, bytes | None, str]) -> Store:
    """A store that holds SDIST with members: name, content (None: a symbolic link), link."""
    store = Store(folder=tmp_path / "store", mirrors=Mirrors())
    path = store.path(SDIST)
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content, link in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, link
            else:
                info.size = len(content)
            archive.addfile(info, None if content is None else io.BytesIO(content))
    return store


def test_the_one_top_folder_is_found(tmp_path: Path) -> None:
    store = store_with(tmp_path, ("GDAL-1/PKG-INFO", b"x", ""), ("GDAL-1/a/b.cpp", b"code", ""))
    found = unpack_sdist(store, SDIST, tmp_path / "out")
    assert found == tmp_path / "out" / "GDAL-1"
    assert (found / "a" / "b.cpp").read_bytes() == b"code"


@pytest.mark.parametrize(
    "member",
    [
        ("../evil", b"x", ""), ("/tmp-evil", b"x", ""), ("GDAL-1/../../evil", b"x", ""),
        ("GDAL-1/link", None, "/etc"),
    ],
)  # fmt: skip
def test_nothing_leaves_the_folder(tmp_path: Path, member: tuple[str, bytes | None, str]) -> None:
    store = store_with(tmp_path, ("GDAL-1/PKG-INFO", b"x", ""), member)
    with pytest.raises(IntegrityError, match=r"leads out of its folder|is a link"):
        unpack_sdist(store, SDIST, tmp_path / "out")
    assert not list(tmp_path.rglob("*evil"))


def test_two_top_folders_are_no_sdist(tmp_path: Path) -> None:
    store = store_with(tmp_path, ("a/PKG-INFO", b"x", ""), ("b/PKG-INFO", b"x", ""))
    with pytest.raises(IntegrityError, match="not an sdist"):
        unpack_sdist(store, SDIST, tmp_path / "out")

"""`lock`: what it makes of the locks that are there."""

from pathlib import Path

import pytest
from tests.support.hosts import make_project

from geowheel.locks.build_lock import FILE_NAME
from geowheel.locks.locking import usable_build_lock

EMPTY = b'lock-version = "1.0"\ncreated-by = "test"\npackages = []\n'


@pytest.mark.parametrize("content", [None, b"not toml", b"# \xff", b"packages = 3\n", EMPTY[:30]])
def test_an_unusable_build_lock_is_none(tmp_path: Path, content: bytes | None) -> None:
    project = make_project(tmp_path)
    if content is not None:
        (project.folder / FILE_NAME).write_bytes(content)
    assert usable_build_lock(project) is None
    (project.folder / FILE_NAME).write_bytes(EMPTY)
    assert usable_build_lock(project) is not None

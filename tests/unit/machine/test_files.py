"""Files that appear whole or not at all."""

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import msgspec
import pytest

from geowheel.machine import files


def test_a_file_is_replaced_whole_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    files.write(path, "ä\n")
    files.write(path, b"\0")
    assert path.read_bytes() == b"\0"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    files.write(path, "old")
    with pytest.raises(type(error)), files.whole(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("data", [b"", b"{", b'"\xff"', b"[" * 100_000, b"3", b"\0"])
def test_what_is_no_such_json_is_one_kind_of_error(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        files.from_json(data, list[str])


def test_several_threads_may_be_the_first_to_read_a_type() -> None:
    """Unguarded, msgspec ends the whole process with a segmentation fault."""
    before, together = sys.getswitchinterval(), Barrier(4)

    def read(kind: type) -> object:
        together.wait()
        return files.from_json(b'{"rows": [{"numbers": {"a": [1]}}]}', kind)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(50):
                row = msgspec.defstruct("Row", [("numbers", dict[str, list[int]])])
                kind = msgspec.defstruct("Rows", [("rows", list[row])])  # type: ignore[valid-type]
                assert len(set(map(str, pool.map(read, [kind] * 4)))) == 1
    finally:
        sys.setswitchinterval(before)


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with files.whole(tmp_path / "made") as part:
        part.mkdir()
        (part / "a").touch()
        assert not (tmp_path / "made").exists()
    assert (tmp_path / "made" / "a").is_file()


def test_what_killed_runs_left_is_removed_and_what_is_at_work_stays(tmp_path: Path) -> None:
    left = tmp_path / f"{files.SCRATCH}left"
    (left / "closed" / "in").mkdir(parents=True)
    (left / "closed").chmod(0o500)
    (tmp_path / f"{files.SCRATCH}link").symlink_to(tmp_path / "theirs")
    (tmp_path / "theirs").mkdir()
    with files.scratch(tmp_path) as one, files.scratch(tmp_path) as other:
        assert one.is_dir() and other.is_dir() and not left.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{files.SCRATCH}link", "theirs"]


def test_all_that_a_command_writes_elsewhere_is_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with files.temporary_folder():
        tempfile.mkdtemp()
        (folder,) = tmp_path.iterdir()
        assert folder.name.startswith(files.SCRATCH) and files.temporary_root() == tmp_path
    assert list(tmp_path.iterdir()) == [] and tempfile.tempdir == str(tmp_path)

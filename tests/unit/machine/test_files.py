"""Files that appear whole or not at all."""

from pathlib import Path

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


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with files.whole(tmp_path / "made") as part:
        part.mkdir()
        (part / "a").touch()
        assert not (tmp_path / "made").exists()
    assert (tmp_path / "made" / "a").is_file()

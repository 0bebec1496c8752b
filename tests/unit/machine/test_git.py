"""What is known of a repository without asking git."""

from pathlib import Path

from geowheel.machine.git import forget_reading, was_read


def test_it_is_known_whether_a_history_was_read(tmp_path: Path) -> None:
    head = tmp_path / "HEAD"
    assert not was_read(head), "there is none"
    for path in (head, tmp_path / "config"):
        path.write_text("text")
    forget_reading(head)
    unread = was_read(head)
    head.read_text()
    assert was_read(head)
    assert unread is (head.stat().st_atime_ns == 0), "only where the file system does not tell"

"""The reader of changelogs: whether a version has a section that says something."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geowheel.errors import ConfigError
from geowheel.release.changelog import has_section

WHOLE = """\
# Changelog

## [Unreleased]

### Added

## [1.2.0] - 2026-11-21

### Fixed

- A fault.

## 1.1.0 (2026-01-02)

<!-- nothing yet -->

### Added

## v1.0

First release.

```
## 0.9
```

~~~
## 0.8
~~~

<!--
## 0.7
text
-->

[Unreleased]: https://example.org/compare/v1.2.0...HEAD
"""


def changelog(folder: Path, text: str) -> Path:
    path = folder / "CHANGELOG.md"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("1.2.0", True),
        ("1.2", True),
        ("1.0.0", True),
        ("1.1.0", False),
        ("0.9", False),
        ("0.8", False),
        ("0.7", False),
        ("1.2.0.post1", False),
    ],
)
def test_an_empty_section_counts_for_none(tmp_path: Path, version: str, found: bool) -> None:
    assert has_section(changelog(tmp_path, WHOLE), version) is found


def test_what_is_no_changelog_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no changelog"):
        has_section(tmp_path / "CHANGELOG.md", "1.0")
    path = tmp_path / "CHANGELOG.md"
    path.write_bytes("## 1.0\nGrüße".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        has_section(path, "1.0")
    assert has_section(changelog(tmp_path, "## 1.0\n\n```\nx = 1\n```\n"), "1.0")


@given(text=st.text())
def test_any_text_is_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "CHANGELOG.md"
    path.write_bytes(text.encode("utf-8", errors="replace"))
    assert has_section(path, "1.0") in (True, False)

"""The changelog: what is read, what is refused by file and line, and that nothing is ever lost."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geowheel.errors import ConfigError
from geowheel.release.changelog import (
    GROUPS,
    Changelog,
    parse_changelog,
    read_changelog,
    released,
)

PATH = Path("CHANGELOG.md")
DATE = datetime.date(2026, 11, 21)
TEXT = """\
# Changelog

The format is that of Keep a Changelog.

## [Unreleased]

### Added

- A thing, see [the docs](docs/a.md).

```
## not a heading
```

### Fixed

- Another.

## [1.1.0] - 2026-03-04 [YANKED]

Taken back.

## [1.0.0] - 2026-01-02

<!--
## [0.9.0] - 2025-01-01
-->

### Added

- The beginning.

[Unreleased]: https://forge.invalid/a/b/compare/v1.1.0...HEAD
[1.1.0]: https://forge.invalid/a/b/compare/v1.0.0...v1.1.0
"""


def parse(text: str) -> Changelog:
    return parse_changelog(text, PATH)


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return [str(fault) for fault in caught.value.faults]


def test_entries_groups_dates_and_links() -> None:
    found = parse(TEXT)
    assert [entry.version for entry in found.entries] == ["Unreleased", "1.1.0", "1.0.0"]
    assert found.unreleased is not None and not found.unreleased.is_empty
    assert list(found.unreleased.groups) == ["Added", "Fixed"]
    assert "## not a heading" in found.unreleased.groups["Added"]
    assert found.unreleased.line == 5
    yanked = found.entry("1.1")
    assert yanked is not None and yanked.yanked
    assert (yanked.introduction, yanked.date) == ("Taken back.", datetime.date(2026, 3, 4))
    first = found.entry("v1.0.0")
    assert first is not None and first.text.endswith("- The beginning.")
    assert found.entry("0.9.0") is None
    assert found.links["unreleased"].endswith("v1.1.0...HEAD")
    assert [str(version) for version in found.versions] == ["1.1.0", "1.0.0"]


def test_this_projects_own_changelog_is_one() -> None:
    own = read_changelog(Path(__file__).parents[2] / "CHANGELOG.md")
    assert own.unreleased is not None and "Added" in own.unreleased.groups


def test_unreleased_becomes_a_version_and_its_link_goes_on() -> None:
    after = released(parse(TEXT), "1.2.0", DATE)
    assert "## [Unreleased]\n\n## [1.2.0] - 2026-11-21\n\n### Added\n\n- A thing" in after
    assert "[Unreleased]: https://forge.invalid/a/b/compare/v1.2.0...HEAD\n" in after
    assert "[1.2.0]: https://forge.invalid/a/b/compare/v1.1.0...v1.2.0\n[1.1.0]:" in after
    again = parse(after)
    before = parse(TEXT).unreleased
    moved = again.entry("1.2.0")
    assert before is not None and moved is not None and again.unreleased is not None
    assert (moved.text, moved.date) == (before.text, DATE)
    assert again.unreleased.is_empty


@pytest.mark.parametrize(
    "link", ["https://forge.invalid/a/b", "https://forge.invalid/compare/main...HEAD"]
)
def test_a_link_that_is_not_understood_stays(link: str) -> None:
    text = f"## [Unreleased]\n- A\n## [1.0] - 2026-01-01\n\n[unreleased]: {link}"
    assert released(parse(text), "1.1", DATE).endswith(f"\n[unreleased]: {link}")


def test_windows_line_ends_stay_and_a_missing_last_one_too() -> None:
    text = TEXT.replace("\n", "\r\n").rstrip()
    after = released(parse(text), "1.2.0", DATE)
    assert after.count("\n") == after.count("\r\n")
    assert after.endswith("v1.1.0")
    last = "## 1.0 - 2026-01-01\n[Unreleased]: /compare/1.0...HEAD"
    assert released(parse(f"## Unreleased\nA\n{last}"), "1.1", DATE) == (
        "## Unreleased\n\n## 1.1 - 2026-11-21\nA\n## 1.0 - 2026-01-01\n"
        "[Unreleased]: /compare/1.1...HEAD\n[1.1]: /compare/1.0...1.1"
    )


@pytest.mark.parametrize(
    "text",
    [
        "# Changelog\n",
        "## [Unreleased]\n",
        "## [Unreleased]\n\n### Added\n\n<!-- write\n- here -->\n\n## [1.0] - 2026-01-01\n- A\n",
    ],
)
def test_nothing_to_release_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="nothing is unreleased"):
        released(parse(text), "1.2.0", DATE)


def test_a_version_is_released_once() -> None:
    with pytest.raises(ConfigError, match=r"CHANGELOG\.md:19: 1\.1 is in it already"):
        released(parse(TEXT), "1.1", DATE)


@pytest.mark.parametrize(
    "heading",
    ["[1.0.0]", "[1.0.0] 2026-01-01", "[1.0.0] - 01.02.2026", "[1.0.0] - 2026-02-30", "Notes",
     "[1.0.0] - 20260101", "[one] - 2026-01-01", "[Unreleased] - 2026-01-01", ""],
)  # fmt: skip
def test_a_malformed_heading_is_named_by_line(heading: str) -> None:
    (fault,) = faults(f"# Changelog\n\n## {heading}\n\n- A\n")
    assert fault.startswith("CHANGELOG.md:3: ")
    assert "## [1.2.0] - 2026-11-21" in fault


def test_every_fault_is_said_at_once() -> None:
    text = (
        "##[Unreleased]\n## [1.0] - 2026-01-01\n### Fixd\n### Fixed\n### Fixed\n"
        "## [1.0.0] - 2026-01-02\n## Unreleased\n"
    )
    found = " ".join(faults(text))
    assert "CHANGELOG.md:1: '##[Unreleased]' is no heading" in found
    assert "CHANGELOG.md:3: unknown group 'Fixd'; did you mean 'Fixed'?" in found
    assert "CHANGELOG.md:5: a second group 'Fixed'" in found
    assert "CHANGELOG.md:6: a second entry of 1.0.0; the first is in line 2" in found
    assert "CHANGELOG.md:7: Unreleased comes after a version" in found


def test_a_kind_of_change_of_the_projects_own_is_no_fault() -> None:
    assert parse("## [Unreleased]\n### Performance\n- A\n").entries[0].groups == {
        "Performance": "- A"
    }


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no changelog"):
        read_changelog(tmp_path / "CHANGELOG.md")
    (tmp_path / "CHANGELOG.md").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_changelog(tmp_path / "CHANGELOG.md")


END = st.sampled_from(["\n", "\r\n", "\r"])
LINE = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12
) | st.sampled_from(
    ["## [Unreleased]", "## [1.0] - 2026-01-01", "## 0.9 - 2025-01-01", "### Added", "### Odd",
     "```", "~~~~", "<!--", "-->", "[unreleased]: /compare/1.0...HEAD", "[a]: b", "- item", "",
     "  ## x", "## [2.0.dev1] - 2026-02-02 [YANKED]"]
)  # fmt: skip
ANY = st.lists(st.tuples(LINE, END)).map(lambda rows: "".join(a + b for a, b in rows))
BODY = st.lists(
    st.sampled_from([*(f"### {name}" for name in GROUPS), "- item", "", "text"]), unique=True
)
SOUND = st.builds(
    lambda bodies, end, links: end.join(
        ["# Changelog", "", "## [Unreleased]", "- x"]
        + [
            line
            for number, body in enumerate(bodies)
            for line in (f"## [{9 - number}.0] - 2026-01-0{9 - number}", *body)
        ]
        + (["[unreleased]: /compare/v9.0...HEAD", ""] if links else [""])
    ),
    st.lists(BODY, max_size=4),
    END,
    st.booleans(),
)


@given(ANY)
def test_any_text_is_read_whole_or_refused_by_line(text: str) -> None:
    try:
        found = parse(text)
    except ConfigError as error:
        assert all(fault.where.startswith("CHANGELOG.md:") for fault in error.faults)
        return
    assert found.text == text


@given(SOUND)
def test_releasing_only_adds(text: str) -> None:
    before = parse(text)
    after = released(before, "10.0", DATE)
    found = parse(after)
    entry, old = found.entry("10.0"), before.unreleased
    assert entry is not None and old is not None and found.unreleased is not None
    assert (entry.groups, entry.introduction) == (old.groups, old.introduction)
    assert found.unreleased.is_empty
    assert [e.text for e in found.entries[2:]] == [e.text for e in before.entries[1:]]
    assert [e.version for e in found.entries[2:]] == [e.version for e in before.entries[1:]]
    end = "\r\n" if "\r\n" in text else ("\r" if "\r" in text else "\n")
    undone = after.replace(f"{end}{end}## [10.0] - 2026-11-21", "", 1)
    if before.versions and before.links:
        assert "/compare/v10.0...HEAD" in undone
        undone = undone.replace(f"[10.0]: /compare/v9.0...v10.0{end}", "")
        undone = undone.replace("v10.0...HEAD", "v9.0...HEAD")
    assert undone == text, "nothing else changed"

"""The documentation says what the source says: generated parts, links, messages, variables."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.files import load_script

from geowheel.command_table import COMMANDS

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
SOURCES = (*(ROOT / "src").rglob("*.py"), *(ROOT / "ci").glob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(ROOT / "hosts").glob("*/*.md")])
LONGEST = 120
generate = load_script(DOCS / "generate.py")


def test_every_promise_is_shown_by_a_test_that_exists() -> None:
    rows = re.findall(r"^\| .+ \| (tests/.+) \|$", read(ROOT / "SECURITY.md"), re.MULTILINE)
    named = [test.partition("::") for row in rows for test in row.split(", ")]
    assert len(rows) > 10
    assert [(p, t) for p, _, t in named if f"def {t}(" not in read(ROOT / p)] == []


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(text: str) -> str:
    """A page without its code."""
    return re.sub(r"^ *```.*?^ *```$|^ {4}.*?$", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", [*DOCS.glob("*.md"), ROOT / "README.md"], ids=name)
def test_generated_parts_are_current(path: Path) -> None:
    assert generate.renewed(read(path)) == read(path), "run `python3 ci/nox.py -s docs`"


def test_every_part_has_its_page_and_is_renewed() -> None:
    parts = re.findall(r"<!-- generated: ([a-z-]+) -->", "".join(map(read, generate.PAGES)))
    assert sorted(parts) == sorted(generate.PARTS)
    stale = "a\n<!-- generated: exit-codes -->\nold\n<!-- end -->\nb\n"
    made = generate.renewed(stale)
    assert made.startswith("a\n") and made.endswith("\nb\n") and "old" not in made
    assert "| 11 | `ReleaseError` |" in made and generate.renewed(made) == made


def anchors(text: str) -> set[str]:
    """Those that Git hosts and MyST give headings."""
    titles = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead(path: Path, text: str) -> Iterator[str]:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        file, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = path.parent / file if file else path
        if not target.exists() or (
            anchor and anchor not in anchors(text if target == path else read(target))
        ):
            yield link


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_no_link_within_the_repository_is_dead(path: Path) -> None:
    assert [*dead(path, read(path))] == []


def test_a_dead_link_is_found() -> None:
    text = "# A title\n[a](#a-title) [b](#none) [c](release.md#none) [d](none.md) [e](release.md)\n"
    assert [*dead(DOCS / "start.md", text)] == ["#none", "release.md#none", "none.md"]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_lines_are_short(path: Path) -> None:
    lines = [line for line in prose(read(path)).splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > LONGEST] == []


def texts(source: str) -> Iterator[str]:
    """Every string of the source, with NUL where an f-string has a value."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def source_texts() -> str:
    return "\n".join(text for path in SOURCES for text in texts(read(path)))


QUOTED = re.findall(r"^\| `([^`]+)` \|", read(DOCS / "troubleshooting.md"), re.MULTILINE)


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_is_in_the_source(message: str, source_texts: str) -> None:
    pattern = r"[^\n]*".join(map(re.escape, message.split("...")))
    assert re.search(pattern, source_texts), message


def test_another_message_would_not_be(source_texts: str) -> None:
    assert len(QUOTED) >= 20
    assert "no interpreter was looked up" not in source_texts


def test_every_variable_of_geowheels_is_documented() -> None:
    variables = {
        found for path in SOURCES for found in re.findall(r"\bGEOWHEEL_[A-Z_]+\b", read(path))
    }
    documented = read(DOCS / "environment.md")
    assert {v for v in variables if f"`{v}`" not in documented} == set()
    assert len(variables) >= 8


def test_the_recipe_of_a_stage_names_no_command_that_there_is() -> None:
    name = re.search(r'name="(\w+)"', (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert name is not None and name[1] not in {command.name for command in COMMANDS}

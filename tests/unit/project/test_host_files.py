"""The host's files where there is no git, and staging them."""

from pathlib import Path

import pytest
from tests.support.hosts import NO_TOOLS, make_project

from geowheel.digest import digest, read_tree
from geowheel.project import files as host_files


def fill(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return folder


def found(folder: Path) -> list[str]:
    return [entry.path for entry in host_files.host_files(folder, NO_TOOLS).entries]


@pytest.mark.parametrize(
    "left_out",
    [
        "vendored/.git/HEAD", ".geowheel/cp312-linux-64/build/a/record.json", ".nox/a", ".tox/a",
        ".venv/bin/python", "dist/a.whl", "pkg/__pycache__/a.cpython-312.pyc", "pkg/old.pyc",
        ".mypy_cache/a", ".ruff_cache/a", ".pytest_cache/a", ".pixi/envs/default/a",
    ],
)  # fmt: skip
def test_what_no_build_needs_is_left_out(tmp_path: Path, left_out: str) -> None:
    assert found(fill(tmp_path, "pyproject.toml", left_out)) == ["pyproject.toml"]


def listed(monkeypatch: pytest.MonkeyPatch, **answers: str) -> None:
    """Stand in for git: what it tracks, what else there is, and what it ignores."""

    def ask(_folder: Path, _environ: object, *arguments: str) -> str | None:
        kinds = {"--cached": "tracked", "--ignored": "ignored", "--others": "others"}
        kind = next((kinds[each] for each in kinds if each in arguments), "said")
        return answers.get(kind, "")

    monkeypatch.setattr(host_files, "ask_git", ask)
    monkeypatch.setattr(host_files, "do_git", ask)
    monkeypatch.setattr(host_files, "top_of_checkout", lambda folder, _: folder)


def test_everything_else_counts_where_there_is_no_git(tmp_path: Path) -> None:
    fill(tmp_path, ".gitignore", "distance/a.py", "pkg/nox.py", "data/a")
    (tmp_path / "link").symlink_to("data")
    assert found(tmp_path) == [".gitignore", "data/a", "distance/a.py", "link", "pkg/nox.py"]
    assert host_files.git_description(tmp_path, NO_TOOLS) == ""


def test_where_git_answers_its_list_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "b.py", "pyproject.toml", "ignored.log", "dist/kept on purpose", ".geowheel/a")
    fill(tmp_path, "pkg/__init__.py", "pkg/generated.py", "pkg/old.pyc", "dist/new.whl")
    (tmp_path / "link").symlink_to("nowhere")
    listed(
        monkeypatch,
        tracked="pyproject.toml\0dist/kept on purpose\0gone.py\0link\0pkg/__init__.py\0",
        others="b.py\0.geowheel/a\0dist/new.whl\0",
        ignored="pkg/generated.py\0pkg/old.pyc\0",
    )
    assert found(tmp_path) == [
        "b.py", "dist/kept on purpose", "link", "pkg/__init__.py", "pkg/generated.py",
        "pyproject.toml",
    ]  # fmt: skip
    listed(monkeypatch, said="v1.0-0-gabc\n")
    assert host_files.git_description(tmp_path, {}) == "v1.0-0-gabc"


def test_what_links_and_build_files_lead_to_counts(tmp_path: Path) -> None:
    host = tmp_path / "a" / "host"
    fill(tmp_path, "LICENSE", "a/VERSION", "a/shared/one", "a/shared/two", "a/unrelated", "far/x")
    fill(host, "module.py").joinpath("pyproject.toml").write_text(
        'a = {"../VERSION" = "x", "../shared/" = "y"}  # ../no-such ../.. \n'
    )
    (host / "LICENSE").symlink_to("../../LICENSE")
    (host / "far").symlink_to(tmp_path / "far")
    (host / "loop").symlink_to("..")
    assert found(host) == [
        "../../LICENSE", "../VERSION", "../shared/one", "../shared/two", "LICENSE", "far/x", "loop",
        "module.py", "pyproject.toml",
    ]  # fmt: skip
    place = host_files.stage(host_files.host_files(host, NO_TOOLS), tmp_path / "staged")
    assert place == tmp_path / "staged" / "a" / "host"
    assert (place / "LICENSE").read_text() == "LICENSE"
    assert (place / "far" / "x").read_text() == "far/x" and not (place / "far").is_symlink()
    before = digest(host_files.host_files(host, NO_TOOLS))
    (tmp_path / "LICENSE").write_text("another one")
    assert digest(host_files.host_files(host, NO_TOOLS)) != before


def test_sources_bound_what_a_build_is_of(tmp_path: Path) -> None:
    fill(tmp_path, "pyproject.toml", "src/pkg/a.py", "CHANGES.txt", "tests/a.py")
    tree = host_files.host_files(tmp_path, NO_TOOLS, ("src/*",))
    assert [entry.path for entry in tree.entries] == ["pyproject.toml", "src/pkg/a.py"]
    tree = host_files.host_files(tmp_path, NO_TOOLS, ("!tests/*", "!CHANGES.txt", "tests/a.py"))
    assert [entry.path for entry in tree.entries] == [
        "pyproject.toml",
        "src/pkg/a.py",
        "tests/a.py",
    ]


def test_staging_copies_content_modes_and_links(tmp_path: Path) -> None:
    checkout = fill(tmp_path / "checkout", "a.py", "sub/run.sh", "dist/old.whl")
    (checkout / "sub" / "run.sh").chmod(0o755)
    (checkout / "link").symlink_to("sub/run.sh")
    tree, staged = host_files.host_files(checkout, NO_TOOLS), tmp_path / "staged"
    host_files.stage(tree, staged)
    assert digest(read_tree(staged)) == digest(tree)
    assert not (staged / "dist").exists()
    assert not (checkout / "a.py").samefile(staged / "a.py")


@pytest.mark.parametrize(
    ("more", "same"),
    [
        ('[tool.geowheel.test]\ncommand = ["pytest"]\n', True),
        ("# a comment\n", True),
        ('[tool.setuptools]\npackages = ["a"]\n', False),
    ],
)
def test_a_change_of_our_table_is_no_change_of_the_hosts_files(
    tmp_path: Path, more: str, same: bool
) -> None:
    before = make_project(tmp_path).host_files().digest()
    assert (make_project(tmp_path, more=more).host_files().digest() == before) is same

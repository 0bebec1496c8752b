import json
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import Mock

import pytest

from geowheel.errors import ChannelError, ConfigError, MachineError, UsageError
from geowheel.locks.channels import (
    Mirrors,
    configured_channels,
    folder_channel,
    named_channel,
    parse_channel,
    read_mirrors,
)
from geowheel.locks.pixi_config import pixis_mirrors
from geowheel.locks.solving import unreachable
from geowheel.project.project import Machine
from geowheel.targets import Platform

FORGE = "https://conda.anaconda.org/conda-forge/"
NOWHERE = Path("no-workspace")


@pytest.fixture(autouse=True)
def no_pixi_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home of one's own: pixi's settings are read from there."""
    home = tmp_path / "home"
    for name in ("HOME", "XDG_CONFIG_HOME", "PIXI_HOME"):
        monkeypatch.setenv(name, str(home))
    home.mkdir()
    return home


def machine(environ: Mapping[str, str]) -> Machine:
    return Machine(platform=Platform.LINUX_64, environ=environ, cache=Path("no-cache"))


def channel_folder(folder: Path) -> Path:
    (folder / "noarch").mkdir(parents=True)
    (folder / "noarch" / "repodata.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{FORGE}noarch/x", ("https://m.invalid/cf/noarch/x", "/srv/cf/noarch/x")),
        ("https://conda.anaconda.org/bioconda/x", ("https://m.invalid/all/bioconda/x",)),
        ("https://conda.anaconda.org/conda-forge-x/a", ("https://m.invalid/all/conda-forge-x/a",)),
        ("https://elsewhere.invalid/x", ("https://elsewhere.invalid/x",)),
        ("https://conda.anaconda.org.evil.invalid/x", ("https://conda.anaconda.org.evil.invalid/x",)),
    ],
)  # fmt: skip
def test_the_longest_prefix_counts_and_ends_at_a_slash(url: str, expected: tuple[str, ...]) -> None:
    mirrors = Mirrors(
        pairs=(
            ("https://conda.anaconda.org", "https://m.invalid/all/"),
            (FORGE.rstrip("/"), "https://m.invalid/cf"),
            (FORGE, "/srv/cf/"),
        )
    )
    assert mirrors.of(url) == expected
    assert mirrors.changes(url) is (expected != (url,))


def test_a_url_escapes_what_a_file_name_does_not() -> None:
    mirrors = Mirrors(pairs=((FORGE, "/srv/m"), (FORGE, "https://m.invalid/x")))
    assert mirrors.of(f"{FORGE}noarch/x-1%212.0-0.conda") == (
        "/srv/m/noarch/x-1!2.0-0.conda",
        "https://m.invalid/x/noarch/x-1%212.0-0.conda",
    )


def test_the_variable_names_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"{FORGE}=mirror {FORGE}=https://m.invalid/c=b https://x.invalid=file:///srv/a%20b"
    assert read_mirrors(machine({"GEOWHEEL_MIRRORS": text}), NOWHERE).pairs == (
        (FORGE, str(tmp_path / "mirror")),
        (FORGE, "https://m.invalid/c=b"),
        ("https://x.invalid", "/srv/a b"),
    )


@pytest.mark.parametrize("text", ["x", "conda-forge=/srv", f"{FORGE}=", "=/srv", f"{FORGE} =/srv"])
def test_a_variable_that_is_no_mirror_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not URL=PLACE"):
        read_mirrors(machine({"GEOWHEEL_MIRRORS": text}), NOWHERE)


def test_pixis_own_mirrors_come_after_the_variables(no_pixi_settings: Path) -> None:
    write_mirrors(no_pixi_settings / "config.toml", "https://one.invalid/", "https://two.invalid")
    expected = ("https://one.invalid/x", "https://two.invalid/x")
    environ = {"PIXI_HOME": str(no_pixi_settings)}
    assert read_mirrors(machine(environ), NOWHERE).of(f"{FORGE}x") == expected
    first = read_mirrors(machine({**environ, "GEOWHEEL_MIRRORS": f"{FORGE}=/srv/m"}), NOWHERE)
    assert first.of(f"{FORGE}x") == ("/srv/m/x", *expected)


def write_mirrors(file: Path, *places: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'[mirrors]\n"{FORGE.rstrip("/")}" = {json.dumps(places)}\n')
    return file


def test_pixis_files_are_read_in_pixis_order(tmp_path: Path) -> None:
    """crates/pixi_config: the project's file over PIXI_HOME's over the one of XDG_CONFIG_HOME."""
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    workspace = tmp_path / "project"

    def place() -> str:
        ((url, found, file),) = pixis_mirrors(machine(environ), workspace)
        assert (url, found) == (FORGE, str(file))
        return found

    for file in ("xdg/pixi/config.toml", ".pixi/config.toml", "project/.pixi/config.toml"):
        path = tmp_path / file
        write_mirrors(path, str(path))
        assert place() == str(path)
    environ["PIXI_NO_CONFIG"] = "true"
    assert place() == str(workspace / ".pixi" / "config.toml")
    (workspace / ".pixi" / "config.toml").unlink()
    assert not pixis_mirrors(machine(environ), workspace)
    del environ["PIXI_NO_CONFIG"]
    environ["PIXI_HOME"] = str(tmp_path / "xdg" / "pixi")
    assert place() == str(tmp_path / "xdg/pixi/config.toml")
    environ["PIXI_CONFIG_FILE"] = str(tmp_path / ".pixi" / "config.toml")
    assert place() == environ["PIXI_CONFIG_FILE"]


@pytest.mark.parametrize(
    ("folder", "url"),
    [
        ("channel", "https://channel.invalid/"),
        ("My Channel_2", "https://my-channel-2.invalid/"),
        ("--x--", "https://x.invalid/"),
        ("日本", "https://local.invalid/"),
    ],
)
def test_a_folders_name_never_resolves(tmp_path: Path, folder: str, url: str) -> None:
    path = channel_folder(tmp_path / folder)
    found = folder_channel(path)
    assert (found.url, found.folder) == (url, path)
    local = Mirrors().plus((found,))
    assert local.of(f"{url}noarch/x.conda") == (str(path / "noarch/x.conda"),)
    assert folder_channel(path, "distro-x").url == "https://distro-x.invalid/"


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ChannelError, match=r"repodata\.json"):
        folder_channel(tmp_path)
    folders: Mapping[str, Path] = {
        name: channel_folder(tmp_path / name / "channel") for name in ("a", "b")
    }
    with pytest.raises(ConfigError, match="two folder channels have the name channel"):
        configured_channels([str(path) for path in folders.values()], tmp_path)
    found = folder_channel(channel_folder(tmp_path / "c"))
    mirrors = Mirrors(pairs=((FORGE, "/srv/m"),)).plus((found, named_channel("conda-forge")))
    assert mirrors.of(f"{FORGE}x") == ("/srv/m/x",)
    assert mirrors.of(f"{found.url}x") == (str(tmp_path / "c" / "x"),)


def test_the_state_follows_the_index(tmp_path: Path) -> None:
    found = folder_channel(channel_folder(tmp_path / "c"))
    before = found.state(Platform.LINUX_64)
    assert found.state(Platform.LINUX_64) == before
    (tmp_path / "c/noarch/repodata.json").write_text('{"packages": {}}')
    assert found.state(Platform.LINUX_64) != before
    assert named_channel("conda-forge").state(Platform.LINUX_64) == "remote"
    states = {platform: found.state(platform) for platform in Platform}
    (tmp_path / "c/linux-aarch64").mkdir()
    (tmp_path / "c/linux-aarch64/repodata.json").write_text("{}")
    assert {p for p in Platform if found.state(p) != states[p]} == {Platform.LINUX_AARCH64}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("conda-forge", FORGE),
        ("conda-forge/label/x", f"{FORGE}label/x/"),
        ("https://x.invalid/a", "https://x.invalid/a/"),
        ("https://x.invalid/a/", "https://x.invalid/a/"),
        ("c", "https://c.invalid/"),
        ("./c", "https://c.invalid/"),
        ("sub/../c", "https://c.invalid/"),
    ],
)
def test_a_channel_is_a_name_a_url_or_a_folder(tmp_path: Path, text: str, url: str) -> None:
    channel_folder(tmp_path / "c")
    (tmp_path / "sub").mkdir()
    assert parse_channel(text, tmp_path).url == url


@pytest.mark.parametrize("text", ["./nowhere", "/nowhere", "a/b", "..\\x", "file:///nowhere"])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ChannelError, match="there is no such folder"):
        parse_channel(text, tmp_path)


@pytest.mark.parametrize("text", ["http://[bad", "https://"])
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not the URL of a channel"):
        named_channel(text)


def test_a_manifests_channels_may_be_folders_written_as_paths(tmp_path: Path) -> None:
    channel_folder(tmp_path / "conda-forge")
    texts = ["conda-forge", "./conda-forge", (tmp_path / "conda-forge").as_uri()]
    by_name, by_path = configured_channels(texts[:2], tmp_path)
    assert (by_name.folder, by_path.folder) == (None, tmp_path / "conda-forge")
    (by_url,) = configured_channels(texts[2:], tmp_path)
    assert by_url == by_path


@pytest.mark.parametrize("elsewhere", [False, True])
def test_where_distro_is_advised(monkeypatch: pytest.MonkeyPatch, elsewhere: bool) -> None:
    error = MachineError("fedora is neither Debian nor Ubuntu") if elsewhere else None
    read = Mock(side_effect=error)
    monkeypatch.setattr("geowheel.distro.channel.read_distribution", read)
    text = str(unreachable([named_channel("conda-forge")], ["no route to host"]))
    assert ("`geowheel wheel --channel distro`" in text) is not elsewhere
    assert ("`geowheel wheel --channel DIR|URL`" in text) is elsewhere

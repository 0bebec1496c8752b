"""What a release rests on: the journal, the index by name and by answer, subjects and tags."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import requests
from tests.support.hosts import make_step, result, write_host

from geowheel.errors import (
    BuildError,
    ChannelError,
    ConfigError,
    GeowheelError,
    ReleaseError,
    UsageError,
)
from geowheel.machine.credentials import shown
from geowheel.project.project import Machine
from geowheel.project.pyproject import is_pure, read_toml
from geowheel.release import index as index_module
from geowheel.release.index import Index, Published, digest_of, find_index, published
from geowheel.release.journal import ReleaseFile, every_built, read_journal
from geowheel.release.subject import open_subject
from geowheel.release.upload import failure_of, there, twine_environment, upload
from geowheel.targets import Platform

WHEEL = hashlib.sha256(b"the wheel").hexdigest()
FILE = ReleaseFile(filename="host-1.0-py3-none-any.whl", sha256="ab" * 32, size=5)
INDEX = Index(name="ours", upload="https://a.invalid/", simple="https://a.invalid/simple/")


def machine(tmp_path: Path, **environ: str) -> Machine:
    return Machine(platform=Platform.LINUX_64, environ=environ, cache=tmp_path / "cache")


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    journal = read_journal(tmp_path, "my-host", "c0ffee")
    assert not journal.path.exists()
    made = journal.with_built((FILE,)).with_checked("k")
    assert read_journal(tmp_path, "my-host", "c0ffee") == made
    assert every_built(tmp_path) == {FILE.sha256}
    assert [path.name for path in tmp_path.iterdir()] == ["my-host-c0ffee.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 2}'])
def test_a_journal_that_cannot_be_read_is_empty(tmp_path: Path, text: str) -> None:
    journal = read_journal(tmp_path, "host", "c0ffee").with_checked("k")
    journal.path.write_text(text)
    assert read_journal(tmp_path, "host", "c0ffee") == replace(journal, checked=())


PYPIRC = """\
[distutils]
index-servers = inner testpypi
[inner]
repository = https://inner.invalid/upload
username = ada
password = from-the-file
[testpypi]
username = __token__
"""


def test_known_indexes_have_a_simple_api_of_their_own(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    pypi = find_index("pypi", None, environ)
    assert pypi.upload == "https://upload.pypi.org/legacy/"
    assert pypi.simple == "https://pypi.org/simple/"
    assert find_index("https://upload.pypi.org/legacy", None, environ).simple == pypi.simple
    assert find_index("http://127.0.0.1:80", None, environ).simple == "http://127.0.0.1:80/simple/"
    other = find_index("http://127.0.0.1:80", "http://127.0.0.1:81/+simple", environ)
    assert other.simple == "http://127.0.0.1:81/+simple/"
    with pytest.raises(UsageError, match="no index is called 'pipy'"):
        find_index("pipy", None, {"HOME": str(tmp_path)})
    found = find_index("https://ada:p%40ss@a.invalid:8/x", None, {"HOME": "/nowhere"})
    assert found.upload == found.name == "https://a.invalid:8/x"
    assert found.user == ("ada", "p@ss")
    assert "p@ss" not in repr(found) and "p%40ss" not in repr(found)


def test_a_section_of_pypirc_is_found_by_name_and_by_url(tmp_path: Path) -> None:
    (tmp_path / ".pypirc").write_text(PYPIRC)
    environ = {"HOME": str(tmp_path)}
    named = find_index("inner", None, environ)
    assert (named.upload, named.section) == ("https://inner.invalid/upload", "inner")
    assert named.user == ("ada", "from-the-file")
    assert find_index("https://inner.invalid/upload/", None, environ).section == "inner"
    assert find_index("testpypi", None, environ).section == "testpypi"
    shell = {**environ, "TWINE_USERNAME": "bob", "TWINE_PASSWORD": "of-the-shell"}
    assert find_index("inner", None, shell).user == ("bob", "of-the-shell")


def test_twine_gets_credentials_but_never_another_place() -> None:
    environ = {
        "PATH": "/bin", "TWINE_REPOSITORY_URL": "https://other.invalid", "TWINE_CERT": "c.pem",
        "ACTIONS_ID_TOKEN_REQUEST_URL": "u", "SECRET": "s", "HTTPS_PROXY": "p",
    }  # fmt: skip
    found = twine_environment(replace(INDEX, user=("ada", "word")), environ)
    assert found["TWINE_USERNAME"] == "ada" and found["TWINE_PASSWORD"] == "word"
    assert found["TWINE_CERT"] == "c.pem" and found["ACTIONS_ID_TOKEN_REQUEST_URL"] == "u"
    assert found["HTTPS_PROXY"] == "p"
    assert not {"TWINE_REPOSITORY_URL", "SECRET"} & set(found)


JSON = "application/vnd.pypi.simple.v1+json"


def answering(monkeypatch: pytest.MonkeyPatch, body: str, kind: str) -> None:
    def ask(_: Index, url: str, *__: object, **___: object) -> requests.Response:
        answer = requests.Response()
        answer.url, answer.headers["content-type"] = url, kind
        answer.raw = io.BytesIO(body.encode())
        return answer

    monkeypatch.setattr(index_module, "ask", ask)


def link(sha256: str = FILE.sha256) -> str:
    place = f"../../packages/{FILE.filename}#sha256={sha256}"
    return f'<a href="{place}">{FILE.filename}</a><a>none</a>'


def test_both_forms_of_the_simple_api_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"https://a.invalid/packages/{FILE.filename}"
    want = Published(filename=FILE.filename, sha256=FILE.sha256, url=url)
    answering(monkeypatch, link(), "text/html")
    assert published(INDEX, "Host", {}) == {FILE.filename: want}
    data = {
        "meta": {"api-version": "1.0"}, "name": "host",
        "files": [{"filename": FILE.filename, "url": f"../../packages/{FILE.filename}",
                   "hashes": {"sha256": FILE.sha256}}],
    }  # fmt: skip
    answering(monkeypatch, json.dumps(data), JSON)
    assert published(INDEX, "Host", {}) == {FILE.filename: want}
    answering(monkeypatch, '<a href="x.whl#md5=1">x</a>', "text/html")
    (file,) = published(INDEX, "host", {}).values()
    assert file.sha256 is None
    answering(monkeypatch, "content", "application/octet-stream")
    assert digest_of(INDEX, file, {}).startswith("ed7002b439e9ac84")


@pytest.mark.parametrize("body", ["", "[]", '{"files": [{}]}'])
def test_an_answer_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    answering(monkeypatch, body, JSON)
    with pytest.raises(ChannelError, match="the index's answer cannot be read"):
        published(INDEX, "host", {})


def test_other_bytes_by_the_same_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, link("0" * 64), "text/html")
    with pytest.raises(ReleaseError, match="with other bytes"):
        there(INDEX, "host", FILE, {})
    answering(monkeypatch, link(), "text/html")
    assert there(INDEX, "host", FILE, {})
    answering(monkeypatch, "", "text/html")
    assert not there(INDEX, "host", FILE, {})


@pytest.mark.parametrize(
    ("code", "page", "body", "said"),
    [
        (0, link(WHEEL), b"the wheel", ""),
        (1, link(WHEEL), b"the wheel", ""),  # the answer got lost
        (0, "", b"", "the index took it, and does not serve it 3 minutes later"),
        (1, "", b"", "twine failed with exit code 1"),
        (0, link(WHEEL), b"other bytes", "with other bytes"),  # but says these
        (0, link("0" * 64), b"other bytes", "with other bytes"),
        (1, link("0" * 64), b"other bytes", "with other bytes"),
    ],
)
def test_an_upload_is_what_the_index_serves_afterwards(
    code: int, page: str, body: bytes, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)

    def ask(_: Index, url: str, __: object, *, accept: str) -> requests.Response:
        answer = requests.Response()
        answer.url, answer.headers["content-type"] = url, "text/html"
        late = sum(waited) < 5 and not code  # an index may show late what it has
        answer.raw = io.BytesIO(body if accept == "*/*" else b"" if late else page.encode())
        return answer

    monkeypatch.setattr(index_module, "ask", ask)
    step = make_step(tmp_path, lambda *_, **__: result(returncode=code))
    file, outcome = replace(FILE, sha256=WHEEL), ""
    try:
        upload(INDEX, "host", file, tmp_path / "a.whl", environ={}, step=step)
    except GeowheelError as error:
        outcome = str(error)
    assert said in outcome and bool(said) == bool(outcome)


def test_an_index_that_is_no_server_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on this machine's disk is no index, and a secret in a URL is never said."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(ChannelError, match="cannot be reached"):
        published(replace(INDEX, simple="file:///etc/"), "host", {})
    away = requests.ConnectionError("nothing answers at http://ada:s3cret@a.invalid/simple/")
    monkeypatch.setattr(requests, "get", Mock(side_effect=away))
    secret = replace(INDEX, simple="http://ada:s3cret@a.invalid/simple/")
    with pytest.raises(ChannelError, match="nothing answers") as caught:
        published(secret, "host", {})
    assert "s3cret" not in shown(str(caught.value))


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        ("HTTPError: 403 Forbidden from https://a.invalid/", ChannelError, "credentials are"),
        ("HTTPError: 401 Unauthorized from https://a.invalid/", ChannelError, "TWINE_USERNAME"),
        ("HTTPError: 400 Bad Request ReleaseFile already exists", ReleaseError, "does not show it"),
        ("ConnectionError: Connection aborted.", ChannelError, "nothing is published twice"),
        ("HTTPError: 502 Bad Gateway", ChannelError, "went away"),
        (
            "\x1b[31mERROR \x1b[0m NonInteractive: Credential not found for password.",
            ChannelError,
            "are missing",
        ),
        ("InvalidDistribution: host-403-401.whl", BuildError, "twine failed with exit code 1"),
    ],
)
def test_what_twine_says_has_a_meaning(said: str, kind: type[Exception], text: str) -> None:
    failure = failure_of(INDEX, FILE, result(returncode=1, stderr=said))
    assert type(failure) is kind
    assert text in str(failure) and "\x1b" not in str(failure)


@pytest.mark.parametrize(
    ("table", "pure"),
    [
        ("", True),
        ('[tool.geowheel.release]\nindex = "pypi"\n', True),
        ('[tool.geowheel]\npythons = ["3.12"]\n', False),
        ("[tool.geowheel]\nlayout = 'none'\n", False),
    ],
)
def test_a_project_that_asks_for_no_gdal_is_pure(tmp_path: Path, table: str, pure: bool) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(f'[project]\nname = "tidy"\n{table}')
    assert is_pure(read_toml(path)) is pure


def test_a_pure_project_is_opened_with_its_settings(tmp_path: Path) -> None:
    text = '[project]\nname = "tidy"\n[tool.geowheel.release]\nindex = "pypi"\n'
    (tmp_path / "pyproject.toml").write_text(text)
    subject = open_subject(root=tmp_path, host=Path(), machine=machine(tmp_path))
    assert subject.project is None and subject.publishes_sdist
    assert subject.settings.index == "pypi"
    write_host(tmp_path)
    asked = machine(tmp_path, GEOWHEEL_CHANNEL="distro")
    subject = open_subject(root=tmp_path, host=Path(), machine=asked)
    assert subject.project is not None and subject.project.channel is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('idnex = "pypi"', "did you mean index"),
        ('platforms = ["linux"]', "'linux' is not known"),
        ('verdicts = ["taste"]', "'taste' is not known"),
        ('tag = "release"', "has no {version}"),
    ],
)
def test_settings_are_checked(tmp_path: Path, line: str, text: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(f'[project]\nname = "tidy"\n[tool.geowheel.release]\n{line}\n')
    with pytest.raises(ConfigError, match=text):
        open_subject(root=tmp_path, host=Path(), machine=machine(tmp_path))
    write_host(tmp_path, more=f"[tool.geowheel.release]\n{line}\n")
    with pytest.raises(ConfigError, match=text):
        open_subject(root=tmp_path, host=Path(), machine=machine(tmp_path))


def test_tags_of_several_hosts_differ(tmp_path: Path) -> None:
    write_host(tmp_path / "hosts" / "one", name="My_Host")
    below = open_subject(root=tmp_path, host=Path("hosts/one"), machine=machine(tmp_path))
    assert below.tag("1.0", tmp_path) == "my-host-v1.0"
    assert below.tag("1.0", below.folder) == "v1.0"
    settings = replace(below.settings, tag="release/{version}")
    assert replace(below, settings=settings).tag("1.0", tmp_path) == "release/1.0"

"""What is secret in a URL is told apart once, and is nowhere to be seen afterwards."""

import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geowheel.errors import BuildError
from geowheel.locks.pixi import unwrapped
from geowheel.machine.credentials import (
    advice,
    known_secrets,
    logins,
    parse_url,
    public_url,
    refuse_secrets,
    shown,
    without_login,
)

SECRET, TOKEN = "s3cr3t-pw", "T0K3N-abc"


@pytest.mark.parametrize(
    ("url", "clean", "secrets"),
    [
        (f"http://user:{SECRET}@h.org:80/t/{TOKEN}/x", "http://h.org:80/x", {SECRET, TOKEN}),
        (f"https://u@er:{SECRET}@h.org/a/t/{TOKEN}/x/", "https://h.org/a/x/", {SECRET, TOKEN}),
        (f"http://u:{SECRET}%40@[::1]:8080/%74/{TOKEN}", "http://[::1]:8080", {f"{SECRET}@"}),
        (f"https://{TOKEN}@h.org/x#{SECRET}", "https://h.org/x", {TOKEN}),
        (f"https://h.org/x?token={TOKEN}", "https://h.org/x", {TOKEN}),
        ("ssh://git@h.org/x", "ssh://h.org/x", set()),
        ("https://conda.anaconda.org/t/", "https://conda.anaconda.org/t/", set()),
        ("file:///srv/a", "file:///srv/a", set()),
    ],
)
def test_a_url_is_taken_apart(url: str, clean: str, secrets: set[str]) -> None:
    found = parse_url(url, conda=True)
    assert found.url == clean and secrets <= set(found.secrets)
    assert bool(found.secrets) == bool(secrets)
    assert not any(secret in repr(found) for secret in secrets)
    seen = shown(f"at {url}: 401, {url}")
    assert not any(secret in seen for secret in (SECRET, TOKEN)) or "#" in url
    assert "user" not in seen


@pytest.mark.parametrize(
    "url",
    [
        "h.org",
        f"http://u:{SECRET}/x@h.org/",
        "http://a b/",
        "http://h\\@b/",
        "https:///x",
        "x://a:b",
    ],
)
def test_what_is_no_url_is_refused_and_not_said(url: str) -> None:
    with pytest.raises(ValueError, match=r"not valid|not a URL") as caught:
        parse_url(url)
    assert url not in str(caught.value) and SECRET not in str(caught.value)
    assert SECRET not in shown(url)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "s3://b/k", "https://u@h/x", "http://h/x?a=b"]
)
def test_a_locked_url_is_one_for_everybody(url: str) -> None:
    with pytest.raises(ValueError, match="its URL"):
        public_url(url)


def test_an_index_sorts_projects_by_their_letter() -> None:
    url = "https://files.example.org/packages/source/t/tomli/tomli-2.tar.gz"
    assert public_url(url) == url


def test_what_an_index_hands_out_is_asked_for_with_the_login_that_the_user_gave() -> None:
    index = f"http://user:{SECRET}@h.org/pypi/t/{TOKEN}/simple"
    environ = {"UV_INDEX": f"corp={index}", "OTHER": index}
    url = without_login(f"http://h.org/pypi/t/{TOKEN}/files/x.whl#sha256=ab", environ)
    assert url == "http://h.org/pypi/files/x.whl"
    asked = f"http://user:{SECRET}@h.org/pypi/t/{TOKEN}/"
    assert list(logins("", environ)) == [("http://h.org/pypi/", asked)]
    assert without_login("https://o.org/x.whl", environ) == "https://o.org/x.whl"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("at https://ada:pw@h.org/c: 401", "at https://***@h.org/c: 401"),
        ("https://token@h.org/c and http://a:b@i/", "https://***@h.org/c and http://***@i/"),
        ("http://a,http://u:p@b/x?y=z", "http://a,http://***@b/x?y=***"),
        ("user:pw@h.org/x", "***@h.org/x"),
        ("/opt/bin/python, a@b.org, http://h.org:80/x@1, http://127.0.0.1:80: no", None),
        ("pkg:conda/x@1, http://[::1]:80/, http://h: no", None),
    ],
)
def test_what_is_shown_has_none(text: str, seen: str | None) -> None:
    assert shown(text) == (text if seen is None else seen)


def test_what_is_known_is_found_in_every_form(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine h login u\n  password n3trc/word\n", "utf-8")
    mirrors = f"https://a/=https://u:secret@b/ https://c/=https://u:{SECRET}@h/t/{TOKEN}/c"
    environ = {"HOME": str(tmp_path), "UV_INDEX_A_PASSWORD": "w0rd+of/mine",
               "GEOWHEEL_MIRRORS": mirrors, "TOKENIZERS": "true"}  # fmt: skip
    assert {"n3trc/word", "w0rd+of/mine", "secret", SECRET, TOKEN} <= known_secrets(environ)
    wheel = tmp_path / "dist" / "a.whl"
    wheel.parent.mkdir()
    for text, holds in {
        "n3trc/word": True, "n3trc%2fword": True, "w0rd%2Bof%2Fmine": True, "u:secret@b": True,
        "%73" + SECRET[1:]: True, f'"{TOKEN}"': True, "a secret is true": False,
    }.items():  # fmt: skip
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("pkg/x.py", f"x = {text}")
        if holds:
            with pytest.raises(BuildError, match=r"a\.whl: pkg/x\.py: holds a password"):
                refuse_secrets(wheel.parent, environ)
        else:
            refuse_secrets(wheel.parent, environ)


@pytest.mark.parametrize(
    ("name", "around"),
    [
        ("libminizip.so", (b"\x7fELF", struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 9, 9, 0))),
        ("a.tar.gz", (b"\x1f\x8b\x08", b"")),
        ("b.tar.gz", (b"no gzip", b"")),
    ],
)
def test_what_looks_like_an_archive_is_read_as_it_is(
    tmp_path: Path, name: str, around: tuple[bytes, bytes]
) -> None:
    path, environ = tmp_path / name, {"HOME": "/none", "AWS_SECRET_ACCESS_KEY": SECRET}
    path.write_bytes(b"nothing".join(around))
    refuse_secrets(tmp_path, environ)
    path.write_bytes(SECRET.encode().join(around))
    with pytest.raises(BuildError, match="holds a password"):
        refuse_secrets(tmp_path, environ)


def test_a_damaged_member_hides_no_other(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("damaged", "damaged" * 9)
        archive.writestr("pkg/x.py", f"x = {SECRET}\n" * 9)
    data = bytearray((tmp_path / "a.whl").read_bytes())
    data[len("damaged") + 30] ^= 0xFF
    (tmp_path / "a.whl").write_bytes(data)
    with pytest.raises(BuildError, match=r"a\.whl: pkg/x\.py: holds a password"):
        refuse_secrets(tmp_path, {"HOME": "/none", "AWS_SECRET_ACCESS_KEY": SECRET})


@given(st.text(min_size=1), st.text(st.characters(categories=["L", "N", "P"]), min_size=3))
def test_no_password_survives(before: str, password: str) -> None:
    from urllib.parse import quote

    secret = f"{quote(password, safe='')}-1x"
    text = f"{before} http://u:{secret}@h.org/t/{secret}/x?k={secret}"
    assert secret not in shown(text).removeprefix(before)


def test_a_refusal_is_told_from_a_number() -> None:
    def fix(text: str) -> str:
        return advice(text, "cause", "another")["fix"]

    assert fix("package-4.401-h0, 404 Not Found") == "another"
    assert "pixi auth login h.org`" in fix("(401 Unauthorized) for url (https://u:pw@h.org:8443/c)")
    assert "pixi auth login h.org`" in fix("h.org:80 answered 403 Forbidden")
    assert "pixi auth login HOST`" in fix("401 Unauthorized")
    wrapped = "HTTP status client error (401 Unauthorized) for\n     │ url (http://h.org/x)"
    assert "login h.org`" in fix(unwrapped(wrapped))
    assert "SSL_CERT_FILE" in fix("invalid peer certificate: UnknownIssuer")

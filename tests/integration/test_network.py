"""Proxies and credentials, with real loopback servers: the solver, the store, uv and pixi."""

import base64
import json
import os
import shutil
import ssl
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from geowheel.locks.pixi_lock import lock_format
from tests.support.fixture_channel import Sandbox, Server

USER, SECRET = "ada", "s3cret-enough"
SOLVERS = ["py-rattler", "pixi"]


class Proxy(Server):
    """A forward proxy that knows every host: all of them have the same files."""

    def __init__(self, root: Path) -> None:
        self.hosts: Counter[str] = Counter()
        super().__init__(root)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        self.hosts[parts.hostname or ""] += 1
        handler.path = parts.path
        super().answer(handler)


class Guarded(Server):
    """Wants a name and a password for everything; keeps who came with what."""

    def __init__(self, root: Path) -> None:
        self.let_in = 0
        self.refused = 0
        super().__init__(root)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = "Basic " + base64.b64encode(f"{USER}:{SECRET}".encode()).decode()
        if handler.headers.get("Authorization") == wanted:
            self.let_in += 1
            super().answer(handler)
            return
        self.refused += 1
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Basic realm="packages"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    made = Proxy(server.root)
    yield made
    made.close()


@pytest.fixture
def guarded(server: Server) -> Iterator[Guarded]:
    made = Guarded(server.root)
    yield made
    made.close()


@pytest.fixture(params=SOLVERS)
def project(request: pytest.FixtureRequest, sandbox: Sandbox) -> Sandbox:
    """A host without a lock, for either solver."""
    if request.param == "py-rattler":
        return sandbox
    pixi = request.getfixturevalue("pixi_cli")
    return replace(sandbox, extra={"GEOWHEEL_PIXI": str(pixi)})


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
def test_everything_goes_through_the_proxy(project: Sandbox, proxy: Proxy, variable: str) -> None:
    """The hosts exist nowhere: only the proxy can have answered."""
    behind = replace(
        project,
        channel="http://conda.example.invalid/channel",
        extra={**project.extra, variable: proxy.url, "NO_PROXY": "",
               "UV_DEFAULT_INDEX": "http://pypi.example.invalid/simple"},
    )  # fmt: skip
    behind.write()
    behind.good("lock")
    assert proxy.hosts["conda.example.invalid"] and proxy.hosts["pypi.example.invalid"]
    proxy.hosts.clear()
    behind.good("fetch")
    # Five packages, GDAL's sdist and the wheels that the host asks for.
    assert proxy.hosts["conda.example.invalid"] >= 5
    assert proxy.asked(".conda") and proxy.asked(".tar.gz")
    assert proxy.hosts["pypi.example.invalid"] >= 3


def test_no_proxy_is_respected(project: Sandbox) -> None:
    dead = {"HTTP_PROXY": "http://127.0.0.1:1", "UV_HTTP_RETRIES": "0"}
    project.good("lock", **dead, NO_PROXY="127.0.0.1")
    project.good("fetch", **dead, NO_PROXY="127.0.0.1")
    shutil.rmtree(project.cache)
    shutil.rmtree(project.root / ".geowheel")
    assert project.run("fetch", **dead, NO_PROXY="").code == 5, "the planted dead proxy counts"
    assert project.run("lock", "--upgrade", **dead, NO_PROXY="").code == 5


def netrc(home: Path, host: str) -> dict[str, str]:
    path = home / ".netrc"
    path.write_text(f"machine {host} login {USER} password {SECRET}\n", encoding="utf-8")
    path.chmod(0o600)
    return {}


def netrc_elsewhere(home: Path, host: str) -> dict[str, str]:
    netrc(home, host)
    (home / ".netrc").rename(home / "netrc of mine")
    return {"NETRC": str(home / "netrc of mine")}


def auth_file(home: Path, host: str) -> dict[str, str]:
    path = home / "auth.json"
    login = {"BasicHTTP": {"username": USER, "password": SECRET}}
    path.write_text(json.dumps({host: login}), encoding="utf-8")
    return {"RATTLER_AUTH_FILE": str(path)}


def pixis_own(home: Path, host: str) -> dict[str, str]:
    """Where `pixi auth login` keeps it when the system has no keyring."""
    path = home / ".rattler" / "credentials.json"
    path.parent.mkdir()
    login = {"BasicHTTP": {"username": USER, "password": SECRET}}
    path.write_text(json.dumps({host: login}), encoding="utf-8")
    return {}


KINDS = [netrc, netrc_elsewhere, auth_file, pixis_own]


@pytest.mark.parametrize("give", KINDS, ids=lambda kind: kind.__name__)
def test_credentials_are_used(
    project: Sandbox, guarded: Guarded, give: Callable[[Path, str], dict[str, str]]
) -> None:
    private = replace(project, channel=f"{guarded.url}/channel")
    private.write()
    private = replace(private, extra={**private.extra, **give(project.home, "127.0.0.1")})
    locked = private.good("lock")
    assert SECRET not in private.pixi_lock.read_text()
    fetched = private.good("fetch")
    assert guarded.asked(".conda") and guarded.let_in
    assert SECRET not in locked.err + fetched.err + _logs(private)


def test_without_credentials_the_login_is_named(project: Sandbox, guarded: Guarded) -> None:
    private = replace(project, channel=f"{guarded.url}/channel")
    private.write()
    result = private.run("lock")
    assert result.code == 5, result.err
    assert "401" in result.err and "pixi auth login 127.0.0.1" in result.flat
    assert "Traceback" not in result.err


def test_the_store_says_how_to_log_in_and_keeps_a_secret(locked: Sandbox, guarded: Guarded) -> None:
    secret = guarded.url.replace("//", f"//{USER}:wrong-{SECRET}@")
    result = locked.run("fetch", GEOWHEEL_MIRRORS=f"{locked.channel}={secret}/channel")
    assert result.code == 5, result.err
    assert "401" in result.err and "pixi auth login 127.0.0.1" in result.flat
    assert SECRET not in result.err + _logs(locked)


def test_uv_reads_netrc_for_the_python_index(sandbox: Sandbox, guarded: Guarded) -> None:
    index = {"UV_DEFAULT_INDEX": f"{guarded.url}/simple", "UV_HTTP_RETRIES": "0"}
    refused = sandbox.run("lock", **index)
    assert refused.code != 0 and "401" in refused.err
    netrc(sandbox.home, "127.0.0.1")
    sandbox.good("lock", **index)
    assert sandbox.run("fetch", **index).code == 0, "the store downloads from there as well"


def test_pixis_own_login_serves_both(sandbox: Sandbox, guarded: Guarded, pixi_cli: Path) -> None:
    login = subprocess.run(
        [pixi_cli, "auth", "login", "127.0.0.1", "--username", USER, "--password", SECRET],
        env=sandbox.environ | {"PIXI_HOME": str(sandbox.home / "pixi")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert login.returncode == 0, login.stderr
    private = replace(sandbox, channel=f"{guarded.url}/channel")
    private.write()
    for solver in ("none", os.fspath(pixi_cli)):
        private.pixi_lock.unlink(missing_ok=True)
        private.good("lock", GEOWHEEL_PIXI=solver)
        assert lock_format(private.pixi_lock) == 7


class Encrypted(Server):
    """Speaks TLS, with a certificate of its own making for one host."""

    def __init__(self, root: Path, place: Path, host: str) -> None:
        self.pem = place / "server.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "2", "-subj", f"/CN={host}",
             "-addext", f"subjectAltName=DNS:{host}",
             "-addext", "basicConstraints=critical,CA:FALSE",
             "-keyout", self.pem, "-out", place / "certificate.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
        self.certificate = place / "certificate.pem"
        super().__init__(root)

    def _listen(self, port: int) -> ThreadingHTTPServer:
        http = super()._listen(port)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.pem)
        http.socket = context.wrap_socket(http.socket, server_side=True)
        return http


@pytest.mark.parametrize(
    ("host", "trusted", "why"),
    [("localhost", False, "self-signed certificate"), ("other.invalid", True, "Hostname mismatch")],
)
def test_a_refused_certificate_is_said_as_such(
    locked: Sandbox, server: Server, tmp_path: Path, host: str, trusted: bool, why: str
) -> None:
    tls = Encrypted(server.root, tmp_path, host)
    place = f"https://localhost:{tls.port}/channel"
    mirror = {"GEOWHEEL_MIRRORS": f"{locked.channel}={place}"}
    trust = {"SSL_CERT_FILE": str(tls.certificate)}
    for command in (["fetch"], ["lock", "--upgrade"]):
        result = locked.run(*command, **mirror, **(trust if trusted else {}))
        said = why if command == ["fetch"] else "invalid peer certificate"
        result.refused(5, f"localhost:{tls.port}", said, "set SSL_CERT_FILE")
        assert "did not answer" not in result.err
    if not trusted:
        locked.good("fetch", **mirror, **trust)
    tls.close()


def _logs(project: Sandbox) -> str:
    logs = (project.root / ".geowheel" / "logs").rglob("*.log")
    return "\n".join(path.read_text(encoding="utf-8") for path in logs)


PASSWORD, TOKEN = "p%40ss-w0rd-9", "T0K3N-abc"


class Tokened(Guarded):
    """Wants a token in the path as well."""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = base64.b64encode(f"{USER}:{unquote(PASSWORD)}".encode()).decode()
        token, begins = handler.headers.get("Authorization"), f"/t/{TOKEN}/"
        if token == f"Basic {wanted}" and handler.path.startswith(begins):
            handler.path = handler.path[len(begins) - 1 :]
            self.let_in += 1
            Server.answer(self, handler)
        else:
            self.refused += 1
            handler.send_error(401)


@pytest.mark.parametrize("way", ["--channel", "GEOWHEEL_CHANNEL", "GEOWHEEL_MIRRORS", "pixi"])
def test_what_a_url_has_in_confidence_is_nowhere_afterwards(
    sandbox: Sandbox, server: Server, way: str, request: pytest.FixtureRequest
) -> None:
    guarded = Tokened(server.root)
    secret = f"{guarded.url}/t/{TOKEN}".replace("//", f"//{USER}:{PASSWORD}@", 1)
    public = f"{guarded.url}/channel"
    mirror = {"GEOWHEEL_MIRRORS": f"{public}={secret}/channel"}
    if way == "pixi":
        mirror["GEOWHEEL_PIXI"] = str(request.getfixturevalue("pixi_cli"))
    environ = {"GEOWHEEL_CHANNEL": f"{secret}/channel"} if way == "GEOWHEEL_CHANNEL" else mirror
    option = ["--channel", f"{secret}/channel"] if way == "--channel" else []
    private = replace(sandbox, channel=public, extra={**({} if option else environ),
                      "UV_DEFAULT_INDEX": f"{secret}/simple", "UV_HTTP_RETRIES": "0"})  # fmt: skip
    private.write()
    said = ""
    if way in ("GEOWHEEL_MIRRORS", "pixi"):
        said += private.good("lock").err + private.good("lock", "--check").err
    for _ in range(2):
        for command in (["fetch"], ["fetch", "--verify"], ["doctor", "--json"], ["plan"]):
            result = private.run(*command, *(option if command[0] != "doctor" else []))
            assert result.code == 0 or command[0] == "doctor", result.err
            said += result.out + result.err
        shutil.rmtree(private.cache)
    assert guarded.let_in > 20
    guarded.close()
    said += private.run("fetch", "--verify", *option).err
    places = [path for at in (private.root, private.cache, private.home / "geowheel") for path in
              at.rglob("*") if path.is_file()]  # fmt: skip
    texts = [said.encode(), *(path.read_bytes() for path in places)]
    for word in (PASSWORD, unquote(PASSWORD), TOKEN):
        assert [len(text) for text in texts if word.encode() in text] == []


@pytest.mark.parametrize("place", ["pixi.toml", "pyproject.toml", "pixi.lock", "build lock"])
def test_a_login_in_what_is_committed_is_refused_by_name(locked: Sandbox, place: str) -> None:
    paths = {"pixi.lock": locked.pixi_lock, "build lock": locked.build_lock}
    path = paths.get(place, locked.root / place)
    secret = f"http://{USER}:{PASSWORD}@127.0.0.1"
    text = path.read_text().replace("http://127.0.0.1", secret)
    path.write_text(text + (f'x = "{secret}"\n' if place == "pyproject.toml" else ""))
    for command in ("fetch", "lock"):
        result = locked.run(command)
        result.refused(3, str(path), "has a URL with a login", "netrc")
        assert PASSWORD not in result.err + result.out

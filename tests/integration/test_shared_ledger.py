"""The shared ledger in real servers on loopback: what one clone made, another takes."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.fixture_channel import Sandbox

NGINX = """
user {user}; daemon off; master_process off; pid {base}/pid; error_log {base}/errors;
events {{}}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path {base}/body; proxy_temp_path {base}/p; fastcgi_temp_path {base}/f;
  uwsgi_temp_path {base}/u; scgi_temp_path {base}/s;
  server {{
    listen 127.0.0.1:{port}; root {base}/data; dav_methods PUT; create_full_put_path on;
  }}
}}
"""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A server, the variables by which geowheel uses it, and where it keeps its files."""

    process: subprocess.Popen[bytes]
    environ: Mapping[str, str]
    files: Path


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def nginx(base: Path) -> Shared:
    program, port = shutil.which("nginx") or "/usr/sbin/nginx", free_port()
    files = base / "data"
    files.mkdir()
    (base / "nginx.conf").write_text(NGINX.format(base=base, port=port, user=base.owner()))
    process = subprocess.Popen([program, "-c", base / "nginx.conf", "-e", base / "first"])
    variables = {"GEOWHEEL_SHARED_LEDGER": f"http://127.0.0.1:{port}/ledger"}
    return started(Shared(process=process, environ=variables, files=files), port)


def versitygw(base: Path) -> Shared:
    program, port, files = shutil.which("versitygw"), free_port(), base / "data"
    if program is None:
        pytest.skip("NOT RUN: no versitygw on PATH (docs/ledger.md says how to get it)")
    (files / "bucket").mkdir(parents=True)
    login = {"ROOT_ACCESS_KEY_ID": "access", "ROOT_SECRET_ACCESS_KEY": "s3cret-key"}
    process = subprocess.Popen(
        [program, "--quiet", "--port", f"127.0.0.1:{port}", "posix", files], env=login
    )
    variables = {
        "GEOWHEEL_SHARED_LEDGER": "s3://bucket/ledger",
        "AWS_ACCESS_KEY_ID": "access",
        "AWS_SECRET_ACCESS_KEY": "s3cret-key",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    return started(Shared(process=process, environ=variables, files=files), port)


def started(server: Shared, port: int) -> Shared:
    deadline = time.monotonic() + 30
    while True:
        assert server.process.poll() is None, "it ended at once"
        assert time.monotonic() < deadline, "it never listened"
        with closing(socket.socket()) as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.05)


@pytest.fixture(params=[nginx, versitygw])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    base = tmp_path / "server"
    base.mkdir()
    server: Shared = request.param(base)
    yield server
    server.process.terminate()
    server.process.wait(30)


def clone(project: Sandbox, base: Path) -> Sandbox:
    """The same project, in another folder, with an empty cache and home."""
    (base / "home").mkdir(parents=True)
    ignore = shutil.ignore_patterns(".geowheel", "dist")
    shutil.copytree(project.root, base / "project", ignore=ignore)
    return replace(project, root=base / "project", cache=base / "cache", home=base / "home")


def test_a_second_clone_takes_what_the_first_one_made(
    shared: Shared, locked: Sandbox, tmp_path: Path
) -> None:
    first = replace(locked, extra=shared.environ)
    first.good("fetch")
    locked.server.reset()
    second = clone(first, tmp_path / "second")
    said = second.good("fetch", "--cache-read-only").err
    assert "from the shared ledger: fetch" in said and not locked.server.asked(".conda")
    assert second.native() == first.native()

    (archive,) = shared.files.rglob("*.tar.zst")
    archive.write_bytes(archive.read_bytes()[:-1])
    said = clone(first, tmp_path / "third").good("fetch", "--cache-read-only").err
    assert "is not taken: its archive is damaged" in said and locked.server.asked(".conda")

    shared.process.kill()
    shared.process.wait(30)
    fourth = clone(first, tmp_path / "fourth")
    said = fourth.good("fetch").err
    assert said.count("everything is made here") == 1 and "s3cret" not in said
    assert fourth.native() == first.native()

"""Small conda channels and a Python package index, and a loopback server that can misbehave."""

import asyncio
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import rattler

from geowheel.distro import conda_package
from geowheel.targets import Platform

SOURCES = Path(__file__).resolve().parents[2] / "src"
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
TAG = f"cp{RUNNING.replace('.', '')}"
GDAL = "3.10.3"
PLATFORMS = (Platform.LINUX_64, Platform.OSX_ARM64)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A tiny conda package."""

    name: str
    version: str = "1.0"
    build: str = "h0"
    depends: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    with_placeholder: tuple[str, ...] = ()
    noarch: bool = False


def stack(*, gdal: str = GDAL) -> list[Sample]:
    """A native stack in small: data, a plugin, both kinds of placeholder, links, the CA bundle."""
    holder = conda_package.PREFIX_PLACEHOLDER.encode()
    return [
        Sample(
            name="libgdal-core",
            version=gdal,
            depends=("libproj >=9", "libz", "__glibc >=2.17"),
            files={"lib/libgdal.so.36": b"\x7fELF gdal\0" + holder + b"/share/gdal\0tail"},
            links={"lib/libgdal.so": "libgdal.so.36"},
            with_placeholder=("lib/libgdal.so.36",),
        ),
        Sample(
            name="libgdal-hdf5",
            version=gdal,
            depends=(f"libgdal-core {gdal}.*",),
            files={"lib/gdalplugins/gdal_HDF5.so": b"\x7fELF hdf5"},
        ),
        Sample(
            name="libproj",
            version="9.5.0",
            files={
                "lib/libproj.so.25": b"\x7fELF proj",
                "share/proj/proj.db": b"SQLite",
                "bin/proj-config": b"#!" + holder + b"/bin/sh\necho " + holder + b"\n",
            },
            with_placeholder=("bin/proj-config",),
        ),
        Sample(name="libz", version="1.3", files={"lib/libz.so.1": b"\x7fELF z" * 5000}),
        Sample(name="ca-certificates", version="2026.1", files={"ssl/cacert.pem": b"PEM"},
               noarch=True),
        Sample(name="python", version="3.12.1", files={"bin/python": b"not of the stack"}),
    ]  # fmt: skip


def write_samples(
    channel: Path, samples: Sequence[Sample], platforms: Sequence[Platform] = PLATFORMS
) -> None:
    """Write and index a channel; Linux's needs are left out elsewhere."""
    for platform in platforms:
        for sample in samples:
            write_sample(channel, sample, None if sample.noarch else platform)
    index(channel)


def write_sample(channel: Path, sample: Sample, platform: Platform | None) -> Path:
    """One package of a channel, which has to be indexed afterwards."""
    subdir = channel / str(platform or "noarch")
    subdir.mkdir(parents=True, exist_ok=True)
    tree = channel.parent / f".tree-{channel.name}" / subdir.name / sample.name / sample.version
    for name, data in sample.files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    for name, target in sample.links.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).unlink(missing_ok=True)
        (tree / name).symlink_to(target)
    on_linux = platform is None or platform.startswith("linux")
    metadata = conda_package.PackageMetadata(
        name=sample.name, version=sample.version, build=sample.build, subdir=platform,
        depends=tuple(d for d in sample.depends if on_linux or d.split()[0] != "__glibc"),
        license="MIT",
    )  # fmt: skip
    payload = conda_package.read_payload(tree, with_placeholder=sample.with_placeholder)
    return conda_package.write_package(payload, metadata, subdir)


def index(channel: Path) -> None:
    """Make or renew repodata.json."""
    (channel / "noarch").mkdir(exist_ok=True)
    asyncio.run(rattler.index.index_fs(channel, force=True, max_parallel=1))


def write_index(root: Path) -> None:
    """A simple index (PEP 691) with the wheels that a host needs, and GDAL's sdist."""
    files: dict[str, list[Path]] = {}
    place = root / "files"
    place.mkdir(parents=True)
    macos = "macosx_11_0_arm64"
    platforms = (
        "manylinux_2_17_x86_64", "manylinux_2_17_aarch64", macos, "macosx_14_0_arm64",
        "macosx_10_13_x86_64", "macosx_14_0_x86_64", "win_amd64",
    )  # fmt: skip
    for version in ("2.1.0", "2.2.0"):
        for tag in (TAG, "cp399"):
            for platform in platforms:
                files.setdefault("numpy", []).append(
                    _wheel(place, "numpy", version, f"{tag}-{tag}-{platform}")
                )
    files["tiny-backend"] = [_wheel(place, "tiny-backend", "1.0", "py3-none-any")]
    files["tiny-test"] = [_wheel(place, "tiny-test", "1.0", "py3-none-any", "numpy>=2")]
    files["only-macos"] = [_wheel(place, "only-macos", "1.0", f"py3-none-{macos}")]
    files["only-sdist"] = [_sdist(place, "only-sdist", "1.0")]
    files["gdal"] = [_sdist(place, "gdal", version) for version in (GDAL, "3.11.0")]
    for name, paths in files.items():
        page = root / "simple" / name / "index.json"
        page.parent.mkdir(parents=True)
        page.write_text(json.dumps(_page(name, paths)), encoding="utf-8")


def _page(name: str, paths: Sequence[Path]) -> dict[str, Any]:
    return {
        "meta": {"api-version": "1.1"},
        "name": name,
        "versions": sorted({path.name.split("-")[1].removesuffix(".tar.gz") for path in paths}),
        "files": [
            {
                "filename": path.name,
                "url": f"../../files/{path.name}",
                "hashes": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
                "size": path.stat().st_size,
                "core-metadata": path.suffix == ".whl",
            }
            for path in paths
        ],
    }


def _metadata(name: str, version: str, *requires: str) -> str:
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"


def _wheel(folder: Path, name: str, version: str, tag: str, *requires: str) -> Path:
    plain = name.replace("-", "_")
    path = folder / f"{plain}-{version}-{tag}.whl"
    text = _metadata(name, version, *requires)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{plain}-{version}.dist-info/METADATA", text)
        archive.writestr(f"{plain}-{version}.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
    path.with_name(path.name + ".metadata").write_text(text, encoding="utf-8")
    return path


def _sdist(folder: Path, name: str, version: str) -> Path:
    path = folder / f"{name.replace('-', '_')}-{version}.tar.gz"
    data = _metadata(name, version).encode()
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(f"{name}-{version}/PKG-INFO")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return path


@dataclass(kw_only=True)
class Fault:
    """What the server does instead of what it should."""

    status: int | None = None
    altered: bool = False
    hang_up: bool = False
    """Close the connection without a word."""
    cut_after: int | None = None
    """Close the connection after so many bytes."""
    hold_after: int | None = None
    """Send so many bytes, then nothing more until `release` is set."""
    drips: bool = False
    """Then a byte now and then."""
    more: int = 0
    """Send so many bytes that do not belong to the file."""
    times: int = 1_000_000
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


class Server:
    """Serves a folder over HTTP/1.1 on a loopback port; counts, and misbehaves when told to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.counts: Counter[str] = Counter()
        self.faults: dict[str, Fault] = {}
        self._guard = threading.Lock()
        self._http = self._listen(0)
        self.port: int = self._http.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fault(self, ending: str, fault: Fault) -> Fault:
        """Misbehave for every path with this ending."""
        self.faults[ending] = fault
        return fault

    def reset(self) -> None:
        """Behave again, count from nothing."""
        for fault in self.faults.values():
            fault.release.set()
        with self._guard:
            self.faults.clear()
            self.counts.clear()

    def asked(self, ending: str) -> Counter[str]:
        """How often each path with this ending was asked for."""
        with self._guard:
            return Counter({p: n for p, n in self.counts.items() if p.endswith(ending)})

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Nobody listens on the port."""
        self.close()
        try:
            yield
        finally:
            self._http = self._listen(self.port)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0]
        with self._guard:
            self.counts[path] += 1
            fault = next((f for end, f in self.faults.items() if path.endswith(end)), Fault())
            fault.times -= 1
            active = fault if fault.times >= 0 else Fault()
        file = self.root / path.lstrip("/")
        if path.startswith("/simple/"):
            file = file / "index.json"
        if active.hang_up:
            handler.close_connection = True
            return
        if active.status is not None or not file.is_file():
            _send(handler, active.status or 404, b"", "text/plain")
            return
        data = file.read_bytes()
        if active.altered:
            data = data[:-1] + bytes([data[-1] ^ 1])
        data += b"x" * active.more
        kind = "application/octet-stream"
        if file.name == "index.json":
            kind = "application/vnd.pypi.simple.v1+json"
        stop = active.cut_after if active.cut_after is not None else active.hold_after
        _send(handler, 200, data, kind, stop=stop)
        if active.hold_after is not None:
            active.reached.set()
            while active.drips and not active.release.wait(0.02):
                handler.wfile.write(b"x")
            active.release.wait(60)
        if stop is not None:
            handler.close_connection = True

    def _listen(self, port: int) -> ThreadingHTTPServer:
        class Http(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True
            block_on_close = False

        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                try:
                    server.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                """Tests count requests themselves."""

        http = Http(("127.0.0.1", port), Handler)
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        return http


def _send(
    handler: BaseHTTPRequestHandler, status: int, data: bytes, kind: str, *, stop: int | None = None
) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data if stop is None else data[:stop])
        handler.wfile.flush()


PYPROJECT = """\
[build-system]
requires = ["tiny-backend"]
build-backend = "tiny_backend"
[project]
name = "host"
requires-python = ">=3.11"
[tool.geowheel]
pythons = ["{python}"]
plugins = ["libgdal-hdf5"]
{extra}
[tool.geowheel.test]
requires = ["tiny-test"]
"""

PIXI = """\
[workspace]
name = "host"
channels = ["{channel}"]
platforms = {platforms}
[dependencies]
libgdal-core = "*"
libgdal-hdf5 = "*"
ca-certificates = "*"
{extra}
"""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def flat(self) -> str:
        """What it said on either stream, on one line."""
        return " ".join(f"{self.out} {self.err}".split())

    def refused(self, code: int, *texts: str) -> None:
        """Assert that it is an error of that kind, which says all this."""
        assert self.code == code, self.err
        assert "Traceback" not in self.err
        assert "next: " in self.err
        for text in texts:
            assert text in self.flat, f"{text!r} is not in:\n{self.err}"


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """A host project with a home, a cache and a way to run geowheel there as a user does."""

    root: Path
    cache: Path
    home: Path
    server: Server
    channel: str
    """URL of the channel that pixi.toml names."""
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        own = {
            "HOME": str(self.home),
            "PYTHONPATH": str(SOURCES),
            "PYTHONDONTWRITEBYTECODE": "1",
            "GEOWHEEL_CACHE": str(self.cache),
            "GEOWHEEL_PIXI": "none",
            "UV_DEFAULT_INDEX": f"{self.server.url}/simple",
            "UV_CACHE_DIR": str(self.home / "uv"),
            "NO_PROXY": "127.0.0.1",
            "COLUMNS": "300",
        }
        return kept | own | dict(self.extra)

    @property
    def pixi_lock(self) -> Path:
        return self.root / "pixi.lock"

    @property
    def conda_lock(self) -> Path:
        return self.root / "conda-lock.yml"

    @property
    def build_lock(self) -> Path:
        return self.root / "pylock.geowheel.toml"

    def write(
        self,
        *,
        channel: str | None = None,
        platforms: Sequence[str] = PLATFORMS,
        pixi: str = "",
        extra: str = "",
    ) -> None:
        """pyproject.toml and pixi.toml."""
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "pyproject.toml").write_text(PYPROJECT.format(python=RUNNING, extra=extra))
        names = json.dumps([str(platform) for platform in platforms])
        text = PIXI.format(channel=channel or self.channel, platforms=names, extra=pixi)
        (self.root / "pixi.toml").write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text that has to be there, everywhere."""
        path = self.root / name
        text = path.read_text()
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new))

    def command(self, *arguments: str) -> list[str]:
        name, *rest = arguments
        return [sys.executable, "-m", "geowheel", name, "--root", str(self.root), *rest]

    def start(self, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        """Start it and go on."""
        return subprocess.Popen(
            self.command(*arguments), env=self.environ | extra, cwd=self.root, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, **extra: str) -> Result:
        """Run it to its end."""
        with self.start(*arguments, **extra) as process:
            out, err = process.communicate()
        return Result(code=process.returncode, out=out, err=err)

    def good(self, *arguments: str, **extra: str) -> Result:
        """Run what has to succeed."""
        result = self.run(*arguments, **extra)
        assert result.code == 0, result.err
        return result

    def prefix(self) -> Path:
        """The prefix of the one fetch that was done."""
        (found,) = self.root.glob(".geowheel/linux-64/fetch/*/prefix")
        return found

    def native(self) -> dict[str, Any]:
        """What native.json says."""
        data: dict[str, Any] = json.loads((self.prefix().parent / "native.json").read_text())
        return data

    def left_behind(self) -> list[str]:
        """Half-made things: parts in the store, scratch folders and entries in the ledger."""
        parts = list(self.cache.rglob("*.part"))
        folders = self.root.glob(".geowheel/linux-64/fetch/*")
        return [str(p) for p in [*parts, *(f for f in folders if f.is_dir())]]

    def stored(self, ending: str = ".conda") -> set[str]:
        """Names of the files in the store."""
        files = (self.cache / "store").glob("??/*/*") if self.cache.exists() else []
        names = {path.name for path in files if not path.name.endswith((".part", ".lock"))}
        return {name for name in names if name.endswith(ending)}

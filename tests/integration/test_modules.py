"""Libraries that open modules by a path of the system, compiled here, through the real repair."""

import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.test_auditwheel_repair import EXTENSION, PLATFORM, TAG, gcc
from tests.support.private_hosts import Installed
from tests.support.repair_bench import Bench, pack

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="glibc's $ORIGIN"),
]

OPENS = """
#include <dlfcn.h>
#include <stdio.h>
int a_answer(void) {
    char path[200];
    snprintf(path, sizeof path, "/usr/lib/ogdi/4.1/lib%%s.so", "vrf");
    void *module = dlopen(path, RTLD_NOW);
    int (*ask)(void) = module ? dlsym(module, "ask") : 0;
    return ask ? ask() : -1;
}
const char *closed(void) { return "/usr/lib/x86_64-linux-gnu/sasl2"; }
const char *other(void) { return "%s"; }
"""
EXT = (
    "int a_answer(void); void *PyInit__ext(void) { return 0; } int ask(void) { return a_answer(); }"
)


def bench_of(folder: Path, other: str) -> Bench:
    lib = folder / "prefix/lib"
    gcc(lib / "libvpf.so.4", "int v_answer(void) { return 42; }", "-Wl,-soname,libvpf.so.4")
    needs = (lib / "libvpf.so.4",)
    gcc(
        lib / "ogdi/4.1/libvrf.so",
        "int v_answer(void); int ask(void) { return v_answer(); }",
        *needs,
    )
    gcc(lib / "liba.so.2", OPENS % other, "-Wl,-soname,liba.so.2")
    gcc(folder / "raw/tree" / EXTENSION, EXT, lib / "liba.so.2")
    (folder / "raw/tree/pkg/__init__.py").write_text("")
    raw = pack(folder / "raw/tree", folder / "raw", TAG, name="Pkg")
    return Bench(folder=folder, lib=lib, raw=raw, platform=PLATFORM, plugins="pkg/plugins")


def test_modules_are_bundled_where_their_library_finds_them(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, "no path")
    repaired = bench.repaired
    bundled = {item.source: item.path for item in repaired.bundled}
    assert bundled["ogdi/4.1/libvrf.so"] == "Pkg.libs/ogdi/4.1/libvrf.so"
    assert {"libvpf.so.4", "liba.so.2"} < set(bundled)
    (tmp_path / "prefix").rename(tmp_path / "gone")
    code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).ask())"
    command = [sys.executable, "-c", code, str(repaired.tree / EXTENSION)]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"42\n"
    assert {item.written.partition("/")[0] for item in repaired.code} == {"$ORIGIN", ""}
    assert (
        b"/usr/lib/x86_64-linux-gnu/sasl2"
        not in (repaired.tree / bundled["liba.so.2"]).read_bytes()
    )


def test_a_path_that_nobody_knows_is_refused_until_it_is_accepted(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, "/usr/lib/toys/plugin.so")
    said = bench.refused()
    assert "liba.so.2 would load code from /usr/lib/toys/plugin.so" in said
    assert "tool.geowheel.modules.accept" in said
    accepted = replace(bench, accept_code=("/usr/lib/toys/*",)).repaired
    assert "/usr/lib/toys/plugin.so" in {item.written for item in accepted.code}


# MySQL's protocol: a greeting of version 10 that asks for the plugin, and a refusal.
GREETING = (
    b"\x0a9.7.0\0\1\0\0\x0012345678\0\x08\x82\xff\2\0\x08\0\x15" + bytes(10)
    + b"123456789012\0caching_sha2_password\0"
)  # fmt: skip
REFUSAL = b"\xff\x15\4#28000no"
LOGIN = """
import sys
from osgeo import gdal
gdal.OpenEx("MYSQL:geo,host=127.0.0.1,port=%s,user=u,password=s" % sys.argv[1])
print(*{line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if "sha2" in line})
"""


def test_mysqls_login_is_the_wheels_own(three_hosts: Installed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            with server.accept()[0] as peer:
                peer.sendall(len(GREETING).to_bytes(4, "little") + GREETING)
                peer.recv(9999)
                peer.sendall(len(REFUSAL).to_bytes(3, "little") + b"\2" + REFUSAL)

        threading.Thread(target=refuse, daemon=True).start()
        done = three_hosts.run("-c", LOGIN, server.getsockname()[1])
    (loaded,) = map(Path, done.stdout.split())
    assert loaded.is_relative_to(three_hosts.site) and loaded.name == "caching_sha2_password.so"

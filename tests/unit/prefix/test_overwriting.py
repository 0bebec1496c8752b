"""Paths of a build that no package registers: overwritten where they stand, and nothing else."""

import pytest

from geowheel.prefix.overwriting import build_paths

WINDOWS = "C:/Windows/geowheel"
UNIX = "/usr/lib/geowheel-native-prefix"
BUILT = r"D:\bld\openssl_split_1785913002379\_h_env"


def changed(data: bytes, prefix: str = WINDOWS) -> bytes:
    result = bytearray(data)
    for offset, new in build_paths(data, prefix):
        result[offset : offset + len(new)] = new
    assert len(result) == len(data)
    return bytes(result)


def padded(prefix: str, old: str) -> str:
    return prefix.ljust(len(old), "/")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le"])
@pytest.mark.parametrize("odd", [b"", b"x"])
@pytest.mark.parametrize(
    "built",
    [BUILT, "D:/bld/bld/rattler-build_libgdal-split_1788235611/h_env", "C:/b/x/host_env_placehold_",
     "D:/a/1/s/x_178/_h_env"],
)  # fmt: skip
def test_a_build_path_leads_nowhere(encoding: str, odd: bytes, built: str) -> None:
    text = 'm: "{0}\\Library\\ssl"\0file:///{0}/etc;{0}/lib\0\0'
    data = b"\1\2" + odd + text.format(built).encode(encoding)
    assert changed(data).decode("latin-1").replace("\0", "") == (
        (b"\1\2" + odd).decode() + text.format(padded(WINDOWS, built)).replace("\0", "")
    )


def test_folders_of_filters_that_all_users_may_make() -> None:
    old = b"C:/ProgramData/hdf5/lib/plugin\0%ALLUSERSPROFILE%\\hdf5\\lib\\plugin\0"
    new = b"C:/Windows/geowheel/lib/plugin\0C:/Windows/geowheel///\\lib\\plugin\0"
    assert changed(old) == new
    builds = "/home/conda/feedstock_root/x_178/_build_env", "/home/conda/x_17/_h_env"
    text, homes = "-I{}/lib file://{}/lib", [padded(UNIX, builds[0]), padded("/usr/lib", builds[1])]
    assert changed(text.format(*builds).encode(), UNIX).decode() == text.format(*homes)
    assert changed(b"/a:/usr/local/hdf5/lib/plugin\0", UNIX) == b"/a:/usr/lib////////lib/plugin\0"


@pytest.mark.parametrize(
    "data",
    [
        b"/src/h_env.c",
        b"get_env/x",
        b"D:/x/my_env/lib",
        b"/usr/local/lib/plugin",
        b"_env",
        b"/_h_env",
    ],
)
def test_all_else_stays(data: bytes) -> None:
    assert changed(data, UNIX) == data

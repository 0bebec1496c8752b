"""What pip is told, as uv's variables."""

from geowheel.machine.indexes import uv_settings


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

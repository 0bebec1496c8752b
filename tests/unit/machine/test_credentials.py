"""Messages name the way to log in, and no secret."""

import pytest

from geowheel.locks.pixi import unwrapped
from geowheel.machine.credentials import login, redact, refused


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://ada:pw@h.org/c: 401", "at https://***@h.org/c: 401"),
        ("https://token@h.org/c and http://a:b@i/", "https://***@h.org/c and http://***@i/"),
        ("https://conda.h.org/t/to-ken-1/main/linux-64", "https://conda.h.org/t/***/main/linux-64"),
        ("/opt/tools/bin/python, a@b.org, https://h.org/x@1", None),
    ],
)
def test_secrets_in_urls_are_not_shown(text: str, shown: str | None) -> None:
    assert redact(text) == (text if shown is None else shown)


def test_a_refusal_is_told_from_a_number() -> None:
    assert refused("answered 401 Unauthorized") and refused("(403 Forbidden)")
    assert not refused("package-4.401-h0, 404 Not Found")
    assert "pixi auth login h.org`" in login("error (401) for url (https://ada:pw@h.org:8443/c)")
    assert "pixi auth login HOST`" in login("401 Unauthorized")
    wrapped = "HTTP status client error (401 Unauthorized) for\n     │ url (http://h.org/x)"
    assert "login h.org`" in login(unwrapped(wrapped))

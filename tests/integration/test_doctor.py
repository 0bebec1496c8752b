"""`doctor` with real programs, a real channel and a real index: answering, gone, and not needed."""

import json
from typing import Any

from tests.support.fixture_channel import RUNNING, Fault, Result, Sandbox

CHANNEL, INDEX = "channel 127.0.0.1", "Python package index"


def checks(result: Result) -> dict[str, dict[str, Any]]:
    """By name, the channel under a name without its port."""
    found = {check["name"]: check for check in json.loads(result.out)["checks"]}
    name = next((name for name in found if name.startswith("channel ")), None)
    return found | ({CHANNEL: found[name]} if name else {})


def states(sandbox: Sandbox, *arguments: str, **environ: str) -> dict[str, str]:
    result = sandbox.run("doctor", "--json", *arguments, **environ)
    assert "Traceback" not in result.err
    found = checks(result)
    wrong = [check for check in found.values() if check["state"] == "missing"]
    assert result.code == 7 or not wrong, result.err
    return {name: check["state"] for name, check in found.items()}


def test_channel_and_index_answer_and_almost_nothing_is_read(locked: Sandbox) -> None:
    found = states(locked)
    assert found[CHANNEL] == found[INDEX] == found["locks"] == found["compilers"] == "ok"
    assert found[f"Python {RUNNING}"] == "ok"
    assert not locked.server.asked(".conda")
    assert not locked.cache.exists() and not (locked.root / ".geowheel").exists()
    with locked.server.stopped():
        found = states(locked)
        assert found[CHANNEL] == found[INDEX] == "missing"
    locked.good("fetch")
    with locked.server.stopped():
        found = states(locked)
        assert found[CHANNEL] == found[INDEX] == "warn"
        assert locked.run("fetch").code == 0, "doctor was right"


def test_a_server_that_says_nothing_is_not_waited_for(locked: Sandbox) -> None:
    held = locked.server.fault("repodata.json.zst", Fault(hold_after=0))
    result = locked.run("doctor", "--json")
    held.release.set()
    assert "sent 0 bytes in 5 s" in checks(result)[CHANNEL]["found"]


def test_a_mirror_is_asked_and_the_plain_index_will_do(locked: Sandbox) -> None:
    real = locked.channel
    locked.edit("pixi.toml", real, "https://conda.example.invalid/main")
    for name in ("pixi.lock",):
        locked.edit(name, real, "https://conda.example.invalid/main")
    locked.server.fault("repodata.json.zst", Fault(status=404))
    mirror = f"https://conda.example.invalid/main={real}"
    found = states(locked, GEOWHEEL_MIRRORS=mirror)
    assert found["channel https://conda.example.invalid/main"] == "ok"
    assert locked.server.asked("linux-64/repodata.json")


def test_compilers_that_are_not_there_and_a_stale_lock(locked: Sandbox) -> None:
    locked.edit("pyproject.toml", f'["{RUNNING}"]', f'["{RUNNING}", "3.14"]')
    result = locked.run("doctor", "--json", CC="no-such-cc")
    assert result.code == 7
    found = checks(result)
    assert "no-such-cc is not on PATH" in found["compilers"]["found"]
    assert "install" in found["compilers"]["fix"]
    assert found["locks"]["state"] == "missing", "the pythons were edited since"

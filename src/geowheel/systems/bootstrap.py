"""The bootstrap module as a wheel of one system carries it: no wheel has another system's code."""

from typing import Final

from geowheel.machine.files import text_of
from geowheel.targets import System

_FUNCTIONS: Final = "# geowheel: what the system needs\n"
_CALL: Final = "    # geowheel: before loading\n"
_FRAGMENTS: Final = {System.WINDOWS: "bootstrap_windows.py"}


def bootstrap_text(system: System) -> str:
    """Return the text of `_geowheel.py`: `inside/bootstrap.py`, with the system's own functions."""
    text = text_of("inside", "bootstrap.py")
    if system not in _FRAGMENTS:
        return text.replace(f"{_FUNCTIONS}\n\n", "").replace(_CALL, "")
    functions = text_of("inside", _FRAGMENTS[system]).partition(_FUNCTIONS)[2].strip("\n")
    text = text.replace(_FUNCTIONS, f"{functions}\n")
    return text.replace(_CALL, "    _before_loading(bundle)\n")

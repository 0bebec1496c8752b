"""ziglang's compiler: real binaries for systems that this machine is not."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def zig(*arguments: str | Path, text: str = "") -> None:
    """Run `zig`, with the C source `text` on standard input where the arguments name `-`.

    Its caches are kept from test to test: the first link for a system takes seconds.
    """
    cache = Path(tempfile.gettempdir()) / "geowheel-tests-zig"
    subprocess.run(
        [sys.executable, "-m", "ziglang", *arguments],
        input=text, text=True, capture_output=True, check=True,
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)},
    )  # fmt: skip

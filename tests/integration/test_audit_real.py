"""The audit of wheels from the package index agrees with other tools on every fact of both."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.pypi]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "platform"),
    [
        ("shapely==2.2.0", "manylinux_2_28_x86_64"),
        ("cryptography==50.0.2", "manylinux_2_28_x86_64"),
        ("pyproj==3.8.0", "musllinux_1_2_x86_64"),
        ("shapely==2.2.0", "win_amd64"),
    ],
)
def test_it_says_what_others_say(tmp_path: Path, name: str, platform: str) -> None:
    """With auditwheel, abi3audit, readelf and pefile; LLVM, for macOS, is not on every machine."""
    download = [
        sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
        "--python-version", "3.12", "--platform", platform, "-d", str(tmp_path), name,
    ]  # fmt: skip
    subprocess.run(download, check=True)
    compare = [
        sys.executable,
        str(ROOT / "benchmarks" / "agreement.py"),
        *map(str, tmp_path.glob("*.whl")),
    ]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(compare, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| other tool | facts compared |" in done.stdout

"""Tasks for people: `invoke status`, `invoke release`; every command is one, with its options."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "src"))

from geowheel.invoke import namespace as tasks  # noqa: E402

namespace = tasks(host="hosts/gdal", root=HERE)

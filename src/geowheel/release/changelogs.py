"""Whether the changelog has an entry for a version; geowheel.release.changelog will say that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Noted:
    """What the changelog says of one version."""

    path: Path
    there: bool
    """There is a changelog."""
    entry: bool
    dated: bool


def read_noted(path: Path, version: str) -> Noted:
    """The entry `## [VERSION] - DATE` of https://keepachangelog.com/en/1.1.0/."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Noted(path=path, there=False, entry=False, dated=False)
    heading = rf"(?m)^## \[?{re.escape(version)}\]?(?P<date> - \d{{4}}-\d{{2}}-\d{{2}})?"
    found = re.search(rf"{heading}(?P<yanked> \[YANKED\])?\s*$", text) if version else None
    return Noted(
        path=path,
        there=True,
        entry=found is not None,
        dated=found is not None and found["date"] is not None,
    )

"""What is known outside a wheel and may speak against it: today's roots, and vulnerabilities."""

import datetime
import hashlib
import re
import ssl
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from geowheel.errors import GeowheelError
from geowheel.machine.archives import read_member
from geowheel.machine.console import Console
from geowheel.machine.environments import tool_environment
from geowheel.machine.files import write

from .advisories import Advisory

_FRESH: Final = 24 * 60 * 60
"""Seconds that a downloaded bundle counts as the newest."""
_CERTIFICATE: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----[!-~\s]*?-----END CERTIFICATE-----", re.ASCII
)


@dataclass(frozen=True, kw_only=True)
class Outside:
    """Asked for once, for all wheels of a run."""

    console: Console
    environ: Mapping[str, str]
    cache: Path
    advisories: tuple[Advisory, ...] = ()
    day: datetime.date = field(default_factory=datetime.date.today)

    @cached_property
    def certifi(self) -> tuple[str, frozenset[str]] | None:
        """Version and roots, by sha256, of the newest certifi of pip's index, asked once a day.

        None, with a warning, where the index cannot be asked.
        """
        folder = self.cache / "certifi"
        kept = sorted(folder.glob("*.pem"), key=lambda path: path.stat().st_mtime)
        if not kept or time.time() - kept[-1].stat().st_mtime > _FRESH:
            try:
                kept.append(self._downloaded(folder))
            except (GeowheelError, OSError) as error:
                self.console.warn(f"the newest certifi cannot be had: no root is judged\n{error}")
                return None
        return kept[-1].stem, frozenset(roots_of(kept[-1].read_text(encoding="utf-8")))

    def _downloaded(self, folder: Path) -> Path:
        with self.console.quiet_step("certifi") as step, step.elsewhere("certifi") as scratch:
            step.run(
                [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
                 "--no-cache-dir", "--disable-pip-version-check", "--dest", scratch, "certifi"],
                env=tool_environment(self.environ), cwd=scratch,
            )  # fmt: skip
            (wheel,) = scratch.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                text = read_member(archive, "certifi/cacert.pem").decode("utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{wheel.name.split('-')[1]}.pem"
        write(path, text)
        return path


def roots_of(pem: str) -> dict[str, str]:
    """Return the names of the authorities in a bundle, by the sha256 of each certificate.

    Raises ssl.SSLError for what is no certificate. Text around them, in whatever letters, is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata="\n".join(_CERTIFICATE.findall(pem)))
    subjects: Any = [told["subject"] for told in context.get_ca_certs()]
    parts = [dict(pair for group in subject for pair in group) for subject in subjects]
    names = [
        named.get("commonName") or named.get("organizationalUnitName") or str(named)
        for named in parts
    ]
    ders = context.get_ca_certs(binary_form=True)
    return {hashlib.sha256(der).hexdigest(): name for der, name in zip(ders, names, strict=True)}

"""What a lock names: files with a digest, and conda packages, which say more about themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from geowheel.digest import Sha256, parse_sha256
from geowheel.errors import LockError
from geowheel.machine.credentials import ELSEWHERE, public_url

if TYPE_CHECKING:
    from rattler import RepoDataRecord


@dataclass(frozen=True, kw_only=True, order=True)
class Asset:
    """One file that a lock names: of the Python package index, or of a conda channel."""

    name: str
    """Of the package."""
    version: str
    url: str
    sha256: Sha256
    size: int | None = field(default=None, compare=False)
    """In bytes, where it is said: an index may say it in one answer and not in the next, so the
    same file can stand in a lock with and without."""

    def __post_init__(self) -> None:
        """Raise ValueError for a URL that not everybody may know, or for what is not a digest."""
        parse_sha256(self.sha256)
        public_url(self.url, conda=self.url.endswith((".conda", ".tar.bz2")))
        if self.file_name in ("", ".", "..") or re.search(r"[/\\\x00-\x1f]", self.file_name):
            raise ValueError("its URL names no file")

    @property
    def file_name(self) -> str:
        return unquote(urlsplit(self.url).path).rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, kw_only=True, order=True)
class Package(Asset):
    """One locked conda package."""

    build: str
    subdir: str
    license: str | None
    depends: tuple[str, ...]

    @property
    def channel_url(self) -> str:
        """The channel's own URL, with a slash at its end."""
        return self.url.rsplit("/", 2)[0] + "/"

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.build}"

    @classmethod
    def of(cls, record: RepoDataRecord, where: str = "") -> Package:
        """Take what is needed from py-rattler's record; raises LockError for what is not usable."""
        try:
            return cls(
                name=record.name.normalized,
                version=str(record.version),
                build=str(record.build),
                subdir=record.subdir,
                url=record.url,
                sha256=(record.sha256 or b"").hex(),
                size=record.size,
                license=record.license,
                depends=tuple(record.depends),
            )
        except ValueError as error:
            raise LockError(f"{record.file_name}: {error}", where=where, fix=ELSEWHERE) from None

    def record(self) -> RepoDataRecord:
        """Make py-rattler's record of this package."""
        from rattler import BuildString, PackageRecord, RepoDataRecord

        about = PackageRecord(
            self.name, self.version, BuildString(self.build), 0, self.subdir,
            depends=list(self.depends), sha256=bytes.fromhex(self.sha256),
            size=self.size, license=self.license,
        )  # fmt: skip
        return RepoDataRecord(about, self.file_name, self.url, self.channel_url)

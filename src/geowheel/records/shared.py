"""The shared ledger: records and outputs in a store that several machines read and write.

Below HOST/STAGE/KEY lie `record.json` and `CONTENT.tar.zst`, the files that it names. The archive
is written first, under the digest of its content: whoever finds a record finds its files.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec
from msgspec import structs

from geowheel.digest import digest, open_regular, read_tree
from geowheel.errors import BuildError, ConfigError, IntegrityError
from geowheel.machine.archives import unpack_tar
from geowheel.machine.bounds import TEXT, WINDOW
from geowheel.machine.console import Console
from geowheel.machine.credentials import parse_place, refuse_secrets
from geowheel.machine.files import from_json

from .facts import FACTS
from .ledger import FORMAT, Entry, Record, encoded

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

VARIABLE: Final = "GEOWHEEL_SHARED_LEDGER"
NONE: Final = "none"
SCHEMES: Final = ("s3", "gs", "az", "https", "http")
_CLIENT: Final[ClientConfig] = {
    "allow_http": True,  # where the URL, or the variable of an S3 endpoint, says http
    "connect_timeout": "5s",
    "read_timeout": "15s",
    "timeout": "30m",  # of a whole transfer, which obstore ends after 30 s otherwise
    "user_agent": "geowheel",
}
_RETRIES: Final[RetryConfig] = {"max_retries": 1}
_HEADERS: Final = 4096  # bytes that a member of a tar may take beside its content


def open_shared(
    configured: str | None, environ: Mapping[str, str], root: Path, *, read_only: bool
) -> SharedLedger | None:
    """Return the store that the variable or the configuration names; None without one.

    Raises ConfigError for a URL of another kind.
    """
    text = environ.get(VARIABLE) or configured or NONE
    if text == NONE:
        return None
    if "://" not in text:
        return SharedLedger(str(root / text), text, environ, read_only=read_only)
    where = VARIABLE if environ.get(VARIABLE) else "shared-ledger in [tool.geowheel]"
    address = parse_place(text, where)
    if address.url.partition("://")[0] not in SCHEMES:
        raise ConfigError(
            f"no shared ledger can be at {address.url}", where=where,
            fix=f"name a folder, or a URL of {', '.join(SCHEMES)}",
        )  # fmt: skip
    if address.secrets and text == configured:
        raise ConfigError(
            "its URL has a login, and is committed", where=where, fix=f"name it in {VARIABLE}"
        )
    return SharedLedger(text, address.url, environ, read_only=read_only)


class SharedLedger:
    """A store of entries; what does not answer costs one warning, and is not asked again."""

    def __init__(
        self, location: str, place: str, environ: Mapping[str, str], *, read_only: bool
    ) -> None:
        self.place = place
        """As a person may see it."""
        self._location, self._environ = location, environ
        self._reads, self._writes = True, not read_only

    def find(self, entry: Entry, console: Console) -> Record[Any] | None:
        """Return the record that the store has of an entry, whose files are not here yet."""
        data, facts = BytesIO(), FACTS[entry.stage]
        if not self._get(f"{_folder(entry)}/record.json", data, TEXT, console):
            return None
        try:
            record: Record[Any] = from_json(data.getvalue(), Record[facts])  # type: ignore[valid-type]
            same = (record.stage, record.host, record.key, record.components) == (
                entry.stage, entry.ledger.host, entry.key, entry.components,
            )  # fmt: skip
            if not same or not record.passed or record.format != FORMAT:
                raise msgspec.DecodeError("it is of something else")
        except msgspec.DecodeError as error:
            self._refuse(entry, f"its record cannot be used: {error}", console)
            return None
        if record.sandbox.strength < entry.wanted.strength:
            return None
        return structs.replace(
            record, subject=entry.subject, home=entry.ledger.home, shared=self.place,
            folder=entry.folder,
        )  # fmt: skip

    def take(self, entry: Entry, record: Record[Any], console: Console) -> Record[Any] | None:
        """Bring a record that was found into the ledger, its files hashed; None where one lies."""
        size = sum(output.size for output in record.outputs)
        limit = size + _HEADERS * (len(record.outputs) + 4)
        with tempfile.TemporaryFile() as archive, entry.scratch() as folder:
            if not self._get(_archive(entry, record), archive, limit, console):
                return None
            archive.seek(0)
            try:
                _unpack(archive, folder, record, limit)
            except (tarfile.TarError, OSError, ValueError, IntegrityError) as error:
                self._refuse(entry, f"its archive is damaged: {error}", console)
                return None
            return entry.place(folder, record)

    def give(self, entry: Entry, record: Record[Any], console: Console) -> None:
        """Hand a record that was made here to the store, unless it is only read."""
        if not self._writes:
            return
        try:
            refuse_secrets(record.folder, self._environ)
        except BuildError as error:
            console.warn(f"not given to the shared ledger: {error}")
            return

        async def send() -> None:
            store = self._open()
            with tempfile.TemporaryDirectory() as folder:
                packed = Path(folder, "packed")
                _pack(packed, record)
                # Over plain HTTP there is one way to send a file, and that is whole.
                whole_file = False if self._location.startswith("http") else None
                await store.put_async(_archive(entry, record), packed, use_multipart=whole_file)
            await store.put_async(f"{_folder(entry)}/record.json", encoded(record))

        if not self._ask(send, console, "takes nothing: what is made here is not shared"):
            self._writes = False

    def _get(self, path: str, goal: IO[bytes], limit: int, console: Console) -> bool:
        """Write an object of `limit` bytes at most; False where there is none."""

        async def fetch() -> None:
            found = await self._open().get_async(path)
            async for block in found.stream():
                if goal.write(block) and goal.tell() > limit:
                    raise OSError(f"{path} has more than {limit:,} bytes")

        if not self._reads:
            return False
        try:
            there = self._ask(fetch, console, "is not used: everything is made here")
        except FileNotFoundError:
            return False
        if not there:
            self._reads = self._writes = False
        return there

    def _ask(self, work: Callable[[], Any], console: Console, then: str) -> bool:
        import asyncio  # a run that shares nothing has none

        from obstore.exceptions import BaseError

        try:
            asyncio.run(work())
        except FileNotFoundError:
            raise
        except (BaseError, OSError, ValueError) as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            console.warn(f"the shared ledger at {self.place} {then}\n{said[0]}")
            return False
        return True

    def _open(self) -> ObjectStore:
        from obstore.store import LocalStore, from_url

        if "://" not in self._location:
            return LocalStore(self._location, mkdir=True)
        return from_url(self._location, client_options=_CLIENT, retry_config=_RETRIES)

    def _refuse(self, entry: Entry, why: str, console: Console) -> None:
        console.warn(
            f"{_folder(entry)} in the shared ledger at {self.place} is not taken: {why}\n"
            f"{entry.stage} is made here instead"
        )


def _folder(entry: Entry) -> str:
    return f"{entry.ledger.host}/{entry.stage}/{entry.key}"


def _archive(entry: Entry, record: Record[Any]) -> str:
    return f"{_folder(entry)}/{record.content}.tar.zst"


def _pack(goal: Path, record: Record[Any]) -> None:
    """Write the files of a record as a tar that is the same on every machine."""
    import zstandard

    with (
        goal.open("wb") as file,
        zstandard.ZstdCompressor(threads=-1).stream_writer(file) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for output in record.outputs:
            member = tarfile.TarInfo(output.path)
            member.mode = 0o755 if output.executable else 0o644
            if output.link is not None:
                member.type, member.linkname = tarfile.SYMTYPE, output.link
                archive.addfile(member)
                continue
            member.size = output.size
            with open_regular(record.folder / output.path) as content:
                archive.addfile(member, content)


def _unpack(archive: IO[bytes], goal: Path, record: Record[Any], limit: int) -> None:
    """Unpack what has to be the record's files; raises TarError with the name of what is not."""
    import zstandard

    known = {output.path: output for output in record.outputs}

    def expect(member: tarfile.TarInfo) -> None:
        said = known.get(member.name)
        if said is None or (member.isreg() and member.size != said.size):
            raise tarfile.ReadError(f"{member.name} is not in its record")

    try:
        with zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(archive) as stream:
            _, links = unpack_tar(stream, limit, goal, expect)
    except zstandard.ZstdError as error:
        raise tarfile.ReadError(f"it cannot be unpacked: {error}") from None
    for path, target in links.items():
        (goal / path).parent.mkdir(parents=True, exist_ok=True)
        (goal / path).symlink_to(target)
    tree = read_tree(goal)
    found = {entry.path: entry for entry in tree.entries}
    if wrong := [path for path in sorted(known) if found.get(path) != known[path]]:
        raise tarfile.ReadError(f"{wrong[0]} is not the file that its record names")
    if digest(tree) != record.content:
        raise tarfile.ReadError("its record names another content")

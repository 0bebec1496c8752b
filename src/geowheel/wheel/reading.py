"""Wheels, read and checked as frozen values.

The format is PEP 427's, as the packaging guide keeps it up to date
(https://packaging.python.org/en/latest/specifications/binary-distribution-format/).
"""

import base64
import csv
import email.parser
import hashlib
import io
import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import Final
from unicodedata import normalize

from packaging.tags import parse_tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from geowheel.errors import BuildError, Fault, IntegrityError
from geowheel.machine.archives import is_unsafe, open_zip, read_member, unpacked
from geowheel.machine.bounds import MEMBERS

_PARTS: Final = ("METADATA", "WHEEL", "RECORD")
_BETTER: Final = ("sha384", "sha512", "sha3_256", "sha3_384", "sha3_512", "blake2b", "blake2s")
# File systems of these platforms take names that differ only by case for one.
_FOLDING: Final = re.compile(r"[-.](win|macosx)")
# Devices, and names that Windows refuses (learn.microsoft.com/windows/win32/fileio/naming-a-file).
_NOT_WINDOWS: Final = re.compile(
    r"(?:^|/)(?:con(?:in\$|out\$)?|prn|aux|nul|(?:com|lpt)[\d¹²³]) *(?:[./]|$)"
    r"|[. ](?:/|$)|[<>\"|?*]"
)
UNSIGNED: Final = ("RECORD", "RECORD.jws", "RECORD.p7s")
# What lies there is installed beside what lies at the root, where search paths count from.
_BESIDE: Final = re.compile(r"^[^/]+\.data/(?:plat|pure)lib/")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file of a wheel."""

    path: str
    size: int
    """Bytes, once unpacked."""
    packed: int
    """Bytes in the wheel."""
    sha256: str
    recorded: str
    """Its digest as RECORD has it, by the algorithm that its line names."""
    executable: bool
    mode: int
    """The bits of its permissions, as the wheel has them."""


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel whose parts agree with each other."""

    filename: str
    name: str
    """Normalised, as PEP 503 says."""
    version: str
    build: str
    """The build tag, or nothing."""
    tags: tuple[str, ...]
    """`cp312-cp312-linux_x86_64` and the like, sorted."""
    dist_info: str
    """The name of the .dist-info folder, which keeps the spelling of name and version."""
    pure: bool
    metadata: str
    """The text of METADATA."""
    members: tuple[Member, ...]
    """Every file, in the order in which it lies in the wheel."""

    @property
    def installed_size(self) -> int:
        """Bytes of all files, once installed and before anything is compiled."""
        return sum(member.size for member in self.members)


def read_wheel(path: Path) -> Wheel:
    """Return the wheel at `path`, every byte of it compared with its RECORD.

    Raises IntegrityError when it is damaged or differs from its RECORD, BuildError when its name,
    METADATA, WHEEL and RECORD contradict each other or a path leads out of it, each with all
    faults found; OSError when it cannot be read.
    """
    return _read(path, None)


def unpack_wheel(path: Path, folder: Path) -> Wheel:
    """Read and check as `read_wheel` does, and leave the files below `folder`, which is made.

    Those of .data/platlib and .data/purelib go where an installer puts them: to the root. Files
    get mode 0755 where the wheel says executable, else 0644.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return _read(path, folder)


def _read(path: Path, folder: Path | None) -> Wheel:
    name, version, build, tags = parse_filename(path.name)
    members, dist_info, texts = _content(path, folder)
    _check_record(members, texts["RECORD"], dist_info=dist_info, where=str(path))
    metadata, wheel = headers_of(texts["METADATA"]), headers_of(texts["WHEEL"])
    faults = [
        *identity_faults(name, version, metadata.get("Name"), metadata.get("Version"), "METADATA"),
        *identity_faults(name, version, *split_dist_info(dist_info), dist_info),
    ]
    if not str(wheel.get("Wheel-Version", "")).startswith("1."):
        faults.append(Fault(what="WHEEL does not say Wheel-Version 1.x", where=path.name))
    # Some backends write a compressed set, `py2.py3-none-any`, where each tag has its line.
    listed = {str(tag) for text in wheel.get_all("Tag", []) for tag in parse_tag(text)}
    if listed != set(tags):
        faults.append(Fault(what="WHEEL lists other tags than the file name", where=path.name))
    if faults:
        raise BuildError(faults)
    return Wheel(
        filename=path.name,
        name=name,
        version=version,
        build=build,
        tags=tags,
        dist_info=dist_info,
        pure=str(wheel.get("Root-Is-Purelib", "")).lower() == "true",
        metadata=texts["METADATA"],
        members=members,
    )


def _content(path: Path, folder: Path | None) -> tuple[tuple[Member, ...], str, dict[str, str]]:
    """Return members, .dist-info folder and its texts; the files go below `folder`, if given."""
    with open_zip(path) as archive, ThreadPoolExecutor(os.cpu_count()) as pool:
        infos = _files(archive, path)
        dist_info = find_dist_info({info.filename for info in infos}, path.name, _PARTS)
        texts = {part: read_member(archive, f"{dist_info}/{part}").decode() for part in _PARTS}
        rows = _record_rows(texts["RECORD"], str(path))
        taken = pool.map(lambda info: _take(archive, info, folder, rows), infos)
        return tuple(taken), dist_info, texts


def headers_of(text: str) -> Message:
    """Return the headers of METADATA or WHEEL; the description after them may be long."""
    return email.parser.HeaderParser().parsestr(re.split(r"\r?\n\r?\n", text, maxsplit=1)[0])


def parse_filename(filename: str) -> tuple[str, str, str, tuple[str, ...]]:
    """Return the normalised name, version, build tag and sorted tags that a file name states.

    Raises BuildError when it is not a wheel's file name.
    """
    try:
        name, version, build, tags = parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise BuildError(str(error), where=filename, cause="not a wheel's file name") from error
    return name, str(version), "".join(map(str, build)), tuple(sorted(map(str, tags)))


def with_platform(filename: str, platform_tag: str) -> str:
    """Return the wheel's file name with `platform_tag` in the place of all its platform tags."""
    parse_filename(filename)
    return f"{filename.rpartition('-')[0]}-{platform_tag}.whl"


def _files(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    names = [info.filename for info in infos]
    if _FOLDING.search(path.name):
        names = [normalize("NFC", name.casefold()) for name in names]
    places = [_BESIDE.sub("", name) for name in names]
    folders = {str(parent) for name in (*names, *places) for parent in PurePosixPath(name).parents}
    faults = [
        Fault(what=f"unsafe member {info.orig_filename!r}", where=path.name)
        for info, name, place in zip(infos, names, places, strict=True)
        if {name, place} & folders
        or _unsafe(info)
        or (place != name and ".dist-info/" in place.lower())
        or ("-win" in path.name and _NOT_WINDOWS.search(place))
    ]
    counts = Counter(places)
    twice = sorted(name for name, count in counts.items() if count > 1)
    faults += [Fault(what=f"{name} is in it twice", where=path.name) for name in twice]
    if faults:
        raise BuildError(faults)
    return infos


def _unsafe(info: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return is_unsafe(info.orig_filename) or kind not in (0, stat.S_IFREG)


def _take(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    folder: Path | None,
    rows: Mapping[str, tuple[str, str]],
) -> Member:
    """Return a member, hashed; its file goes below `folder`, if given."""
    algorithm = rows.get(info.filename, ("", ""))[0].partition("=")[0]
    executable = bool((info.external_attr >> 16) & 0o100)
    path = Path(os.devnull) if folder is None else folder / _BESIDE.sub("", info.filename)
    if folder is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    content = hashlib.sha256()
    # PEP 427: sha256 or better.
    recorded = hashlib.new(algorithm) if algorithm in _BETTER else content
    with path.open("wb" if folder is None else "xb") as sink:
        for block in unpacked(archive, info):
            content.update(block)
            if recorded is not content:
                recorded.update(block)
            sink.write(block)
    if folder is not None:
        path.chmod(0o755 if executable else 0o644)
    return Member(
        path=info.filename,
        size=info.file_size,
        packed=info.compress_size,
        sha256=content.hexdigest(),
        recorded=record_digest(recorded.hexdigest(), recorded.name),
        executable=executable,
        mode=(info.external_attr >> 16) & 0o7777,
    )


def find_dist_info(paths: Collection[str], where: str, parts: Iterable[str]) -> str:
    """Return the one .dist-info folder; raises BuildError, also for a part that it lacks."""
    found = sorted({path.partition("/")[0] for path in paths if ".dist-info/" in path.lower()})
    found = [name for name in found if name.lower().endswith(".dist-info")]
    if len(found) != 1:
        raise BuildError(
            f"a wheel holds one .dist-info folder, here are {', '.join(found) or 'none'}",
            where=where,
        )
    if missing := [part for part in parts if f"{found[0]}/{part}" not in paths]:
        raise BuildError(
            [Fault(what=f"{found[0]}/{part} is missing", where=where) for part in missing]
        )
    return found[0]


def split_dist_info(dist_info: str) -> tuple[str, str]:
    """Return name and version, as a .dist-info folder's own name has them."""
    name, _, version = dist_info.removesuffix(".dist-info").partition("-")
    return name, version


def same_version(one: str, other: str) -> bool:
    """Return whether two texts are one version; false for others, such as Unreleased."""
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def identity_faults(
    name: str, version: str, other: str | None, other_version: str | None, where: str
) -> Iterator[Fault]:
    """Yield where METADATA contradicts the name of the wheel's file."""
    if canonicalize_name(other or "") != name:
        yield Fault(what=f"names the distribution {other!r}, the file name {name!r}", where=where)
    if not same_version(other_version or "", version):
        yield Fault(what=f"has version {other_version!r}, the file name {version}", where=where)


def _check_record(members: Iterable[Member], text: str, *, dist_info: str, where: str) -> None:
    rows = _record_rows(text, where)
    faults = []
    for member in members:
        if member.path in {f"{dist_info}/{name}" for name in UNSIGNED}:
            rows.pop(member.path, None)
            continue
        wanted = rows.pop(member.path, None)
        if wanted is None:
            faults.append(Fault(what=f"{member.path} is not in RECORD", where=where))
        elif wanted[0] != member.recorded or wanted[1] not in ("", str(member.size)):
            faults.append(Fault(what=f"{member.path} differs from its RECORD line", where=where))
    faults += [Fault(what=f"{name} is in RECORD only", where=where) for name in rows]
    if faults:
        raise IntegrityError(faults)


def _record_rows(text: str, where: str) -> dict[str, tuple[str, str]]:
    if text.count("\n") > MEMBERS:
        raise IntegrityError(f"RECORD has more than {MEMBERS:,} lines", where=where)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as error:
        raise IntegrityError(f"RECORD cannot be read: {error}", where=where) from error
    found = {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}
    if len(found) != len(rows):
        fault = "RECORD has lines of other than three fields, or two for one file"
        raise IntegrityError(fault, where=where)
    return found


def record_digest(digest: str, algorithm: str = "sha256") -> str:
    """Return a hexadecimal digest as RECORD has it: urlsafe base64 without padding (PEP 376)."""
    encoded = base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=")
    return f"{algorithm}={encoded.decode('ascii')}"

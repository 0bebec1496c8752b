"""What packages of Debian and Ubuntu say about themselves, and what conda calls it. No tool is run.

Sources of the rules: Debian Policy, chapters 5 (control files, versions) and 7 (relations);
DEP-5 for copyright files; conda's VersionOrder for versions; os-release(5).
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from geowheel.digest import Sha256, parse_sha256
from geowheel.errors import MachineError


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A release of a distribution: `debian` `12`, or `ubuntu` `24.04`."""

    id: str
    version: str
    """Its number on the machine that has it; the suite's name where one was named."""
    suite: str = ""
    """`trixie`; empty: what the machine's own package sources have."""

    def __str__(self) -> str:
        return f"{self.id}-{self.version}"

    @property
    def build_prefix(self) -> str:
        """What build strings start with: `debian12`, `ubuntu24.04`."""
        return sanitised(f"{self.id}{self.version}", keep=".")


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One alternative of a dependency: `zlib1g (>= 1:1.2.11)`."""

    name: str
    operator: str = ""
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Deb:
    """A binary package as the archive's signed index describes it."""

    name: str
    version: str
    section: str
    file: str
    """Path below the mirror."""
    size: int
    """Of the .deb, in bytes."""
    sha256: Sha256
    source: str = ""
    home: str = ""
    summary: str = ""
    depends: tuple[tuple[Relation, ...], ...] = ()
    """All must hold, by one of the alternatives each."""
    provides: frozenset[str] = frozenset()

    @property
    def file_name(self) -> str:
        """As the archive spells it: NAME_VERSION_ARCHITECTURE.deb, without the epoch."""
        return self.file.rpartition("/")[2]


def distribution_of(os_release: Mapping[str, str], suite: str = "") -> Distribution:
    """Return the distribution that os-release names, or a suite of it: os-release(5).

    Raises MachineError unless it is Debian, Ubuntu or says that it is like one of them.
    """
    name = os_release.get("ID", "linux")
    if not {name, *os_release.get("ID_LIKE", "").split()} & {"debian", "ubuntu"}:
        raise MachineError(
            f"a distro channel cannot be made on {os_release.get('PRETTY_NAME', name)}",
            where="/etc/os-release",
            cause="only packages of Debian and Ubuntu can be converted",
            fix="use --channel conda-forge, a mirror's URL or a folder",
        )
    # testing and unstable have no VERSION_ID
    version = os_release.get("VERSION_ID") or os_release.get("VERSION_CODENAME") or "rolling"
    return Distribution(id=name, version=suite or version, suite=suite)


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Yield the paragraphs of a control file: fields in lower case, lines joined by newlines."""
    for block in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        last = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                if last:
                    fields[last] += "\n" + line.strip()
            elif ":" in line:
                key, _, value = line.partition(":")
                last = key.strip().lower()
                fields[last] = value.strip()
        if fields:
            yield fields


_RELATION: Final = re.compile(
    r"""\s*(?P<name>[^\s:(\[<]+)(?::[\w-]+)?           # name, architecture qualifier
        \s*(?:\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s)]+)\s*\))?""",
    re.VERBOSE,
)


def parse_relations(text: str) -> tuple[tuple[Relation, ...], ...]:
    """Return a Depends or Provides field: all of the outer, one of each inner."""
    groups = []
    for part in filter(None, map(str.strip, text.replace("\n", " ").split(","))):
        alternatives = []
        for choice in part.split("|"):
            if match := _RELATION.match(choice):
                alternatives.append(Relation(**match.groupdict(default="")))
        if alternatives:
            groups.append(tuple(alternatives))
    return tuple(groups)


def parse_debs(text: str) -> dict[str, Deb]:
    """Return `apt-cache show --no-all-versions`, by package name."""
    debs: dict[str, Deb] = {}
    for fields in paragraphs(text):
        if "filename" not in fields or "sha256" not in fields:
            continue  # a purely virtual or locally installed package
        depends = ", ".join(filter(None, (fields.get("pre-depends"), fields.get("depends"))))
        deb = Deb(
            name=fields["package"],
            version=fields["version"],
            section=fields.get("section", ""),
            file=fields["filename"],
            size=int(fields["size"]),
            sha256=parse_sha256(fields["sha256"]),
            source=fields.get("source", fields["package"]),
            home=fields.get("homepage", ""),
            summary=fields.get("description", fields.get("description-en", "")).partition("\n")[0],
            depends=parse_relations(depends),
            provides=frozenset(
                relation.name
                for group in parse_relations(fields.get("provides", ""))
                for relation in group
            ),
        )
        debs.setdefault(deb.name, deb)
    return debs


def parse_print_uris(text: str) -> tuple[str, ...]:
    """Return the package names in the output of `apt-get install --print-uris`, sorted."""
    names = set()
    for line in text.splitlines():
        if line.startswith("'") and len(parts := line.rsplit("' ", 1)) == 2:
            names.add(parts[1].partition("_")[0])
    return tuple(sorted(names))


def resolve(alternatives: Sequence[Relation], debs: Mapping[str, Deb]) -> Deb | None:
    """Return what answers a dependency: by name in their order, else by what it provides."""
    for relation in alternatives:
        if relation.name in debs:
            return debs[relation.name]
    for relation in alternatives:
        for deb in debs.values():
            if relation.name in deb.provides:
                return deb
    return None


def closure(
    walked: Iterable[str],
    alone: Iterable[str],
    debs: Mapping[str, Deb],
    leaves_out: Callable[[Deb], bool],
) -> dict[str, Deb]:
    """Return the packages to convert, by name: `walked` with what they need, and `alone` without.

    `debs` holds the candidates that apt chose, so that alternatives are decided as apt does.
    """
    kept = {name: debs[name] for name in alone if name in debs}
    queue = deque(name for name in walked if name in debs)
    while queue:
        deb = debs[queue.popleft()]
        if deb.name in kept:
            continue
        kept[deb.name] = deb
        for alternatives in deb.depends:
            needed = resolve(alternatives, debs)
            if needed is not None and not leaves_out(needed):
                queue.append(needed.name)
    return dict(sorted(kept.items()))


def conda_name(deb: str) -> str:
    """Return a .deb's name in conda's alphabet, without Debian's mark of 64-bit time."""
    name = re.sub(r"(?<=\d)t64(?=$|-)", "", deb.lower())
    return re.sub(r"[^a-z0-9_.-]", "", name.replace("+", "x"))


def split_version(version: str) -> tuple[str, str]:
    """Return upstream version and revision of a Debian version, without the epoch.

    A native package's suffix for a stable release (`20250419~deb12u2`) counts as its revision.
    """
    _, separator, rest = version.partition(":")
    upstream, dash, revision = (rest if separator else version).rpartition("-")
    if dash:
        return upstream, revision
    match = re.fullmatch(r"(.+?)[~+]((?:deb|ubuntu|build)\w*(?:[.~+]\w+)*)", revision)
    return (match[1], match[2]) if match else (revision, "")


def conda_version(version: str) -> str:
    """Return the upstream part of a Debian version as a version that conda accepts.

    Marks of repacking (`+dfsg`, `+ds1`, `+repack`) go, `1.2+really1.1` is 1.1, a `~` before letters
    joins them (`1.0~rc1` is `1.0rc1`, which conda too sorts before 1.0).
    """
    upstream, _ = split_version(version)
    upstream = upstream.rpartition("+really")[2].lower()
    upstream = re.sub(
        r"[.+~-](?:dfsg|ds|repack(?:ed)?|debian)(?:[.+~-]?\d+)*(?=$|[.+~-])", "", upstream
    )
    upstream = re.sub(r"~+(?=[a-z])", "", upstream)
    parts = [part for part in re.split(r"[^a-z0-9]+", upstream) if part]
    return ".".join(parts if parts and parts[0][0].isdigit() else ["0", *parts])


def sanitised(text: str, *, keep: str = "") -> str:
    """Replace every run of other characters than letters, digits and `keep` by an underscore."""
    return re.sub(rf"[^A-Za-z0-9{re.escape(keep)}]+", "_", text).strip("_")


def parse_copyright(text: str, licenses: Mapping[str, str]) -> frozenset[str]:
    """Return the SPDX terms, all of which hold, of a copyright file; none for free text.

    Every license that a Files paragraph names counts, except those of the packaging (`debian/*`).
    """
    if not text.lstrip().lower().startswith("format"):
        return frozenset()
    terms: set[str] = set()
    for fields in paragraphs(text):
        patterns = fields.get("files", "").split()
        short = fields.get("license", "").partition("\n")[0].strip()
        if short and patterns and not all(pattern.startswith("debian/") for pattern in patterns):
            expression = license_expression(short, licenses)
            terms.update([expression] if "(" in expression else expression.split(" AND "))
    return frozenset(terms)


def license_expression(short: str, licenses: Mapping[str, str]) -> str:
    """Return a DEP-5 short name, `GPL-2+ or Expat` for one, in SPDX's words.

    A name that SPDX does not know becomes a LicenseRef. Alternatives stand in brackets.
    """
    words = re.split(r"\s*,?\s+(and/or|and|or)\s+", short.strip().rstrip("."), flags=re.IGNORECASE)
    names = [_license(name, licenses) for name in words[::2]]
    operators = ["OR" if "or" in word.lower() else "AND" for word in words[1::2]]
    text = names[0]
    for operator, name in zip(operators, names[1:], strict=True):
        text += f" {operator} {name}"
    return f"({text})" if "OR" in operators else text


def _license(name: str, licenses: Mapping[str, str]) -> str:
    name = name.strip(" ,")
    if name in licenses:
        return licenses[name]
    try:
        return str(canonicalize_license_expression(name))
    except InvalidLicenseExpression:
        return "LicenseRef-" + (re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-") or "unnamed")

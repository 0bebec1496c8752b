"""From .deb packages to one conda package: unpack, move to conda's layout, set rpaths, write.

What is decided (`recipes`, `CondaLayout.place`) is apart from what acts (`convert`).
"""

import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

import certifi

from geowheel.binary.elf import is_elf, read_elf
from geowheel.project.config import LIBSTDCXX
from geowheel.systems.lowering import Lowering, oldest_floor
from geowheel.targets import GDAL_PACKAGE

from .conda_package import (
    PREFIX_PLACEHOLDER,
    LicenseText,
    PackageMetadata,
    read_payload,
    walk,
    with_content_build,
    write_package,
)
from .debian import Deb, parse_copyright, sanitised
from .recipes import CA_CERTIFICATES, Recipe
from .state import Contents
from .tables import Architecture, Table

PLUGIN_FOLDER: Final = "lib/gdalplugins"

_LIBRARY: Final = re.compile(r".+\.so(?:\.[\w.+-]+)?")
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END", re.DOTALL)
_COMMON_LICENSE: Final = re.compile(r"/usr/share/common-licenses/([\w.+-]*\w)")

Run = Callable[[Sequence[str | Path]], object]
"""Runs a command to its end and raises BuildError when it fails."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What came of a recipe."""

    files: tuple[Path, ...]
    """The .conda files: the recipe's own, and the driver packages found in it."""
    contents: Contents


@dataclass(frozen=True, kw_only=True)
class CondaLayout:
    """Where a file of a .deb goes in conda's layout."""

    table: Table
    architecture: Architecture

    def place(self, path: str) -> str | None:
        """Return the place in the prefix of `path`, relative to the .deb's root; None: left out."""
        parts = path.split("/")
        if parts[0] == "usr":
            parts = parts[1:]
        match parts:
            case ["lib", self.architecture.multiarch, *rest] | ["lib", *rest] if rest:
                return self._library(rest[:-1], rest[-1])
            case ["bin", name]:
                return f"bin/{name}"
            case ["include", folder, *rest] if rest and folder in self.table.layout.headers:
                return posixpath.join("include", self.table.layout.headers[folder], *rest)
            case ["include", self.architecture.multiarch, "c++", version, *rest] if rest:
                return posixpath.join("include/c++", version, self.architecture.multiarch, *rest)
            case ["include", self.architecture.multiarch, folder, "pyconfig.h"]:
                return posixpath.join("include", *parts[1:])
            case ["include", folder, *rest] if rest and (
                folder == "c++" or folder.startswith("python3.")
            ):
                return "/".join(parts)
            case ["share", folder, *rest] if rest and folder in self.table.layout.share:
                return "/".join(parts)
            case _:
                return None

    def _library(self, folders: list[str], name: str) -> str | None:
        folder = "/".join(folders)
        if folders[:1] == ["gdalplugins"]:
            return f"{PLUGIN_FOLDER}/{name}"
        if folder == "pkgconfig":
            return f"lib/pkgconfig/{name}" if name in self.table.layout.pkgconfig else None
        left_out = folders[:1] and folders[0] in self.table.layout.left_out
        if name != "libstdc++.a" and (left_out or not _LIBRARY.fullmatch(name)):
            return None
        if name.startswith(("libstdc++.", "libgcc_s.so")):  # to link with, never to load
            return f"lib/{LIBSTDCXX}/{name}"
        return posixpath.join("lib", "" if folder in self.table.layout.flat else folder, name)


@dataclass(frozen=True, kw_only=True)
class Converter:
    """The tools and texts that every conversion uses."""

    layout: CondaLayout
    run: Run
    patchelf: Path
    debs: Path
    """The folder of the downloaded .debs."""
    common_licenses: Mapping[str, bytes]
    """Texts that copyright files refer to below /usr/share/common-licenses."""
    floors: Sequence[Lowering]
    """The manylinux policies, the oldest first."""

    def convert(self, recipe: Recipe, work: Path, out: Path) -> Conversion:
        """Make the recipe's packages in `out`, using the empty folder `work`.

        Raises BuildError when a tool fails, OSError when the disk is full. A .deb of which nothing
        has a place in a prefix gives an empty package: others name it in their dependencies.
        """
        roots = {deb.name: work / deb.name for deb in recipe.debs}
        for deb in recipe.debs:
            self.run(["dpkg-deb", "-x", self.debs / deb.file_name, roots[deb.name]])
        tree = work / "tree"
        tree.mkdir()
        if recipe.name == CA_CERTIFICATES:
            _place_certificates(roots[CA_CERTIFICATES], tree)
        else:
            self._place(recipe, roots, tree)
        placeholders = self._rewrite_paths(tree)
        contents = self._relocate(tree)
        metadata = self._metadata(recipe, roots)
        out.mkdir(parents=True, exist_ok=True)
        drivers = [
            write_package(read_payload(split), with_content_build(driver, read_payload(split)), out)
            for driver, split in self._drivers(recipe, metadata, contents.needs, tree, work)
        ]
        payload = read_payload(tree, with_placeholder=placeholders)
        own = write_package(payload, with_content_build(metadata, payload), out)
        return Conversion(files=(own, *drivers), contents=contents)

    def _place(self, recipe: Recipe, roots: Mapping[str, Path], tree: Path) -> None:
        """Move the files that have a place, then make the links that lead to one."""
        links: dict[str, str] = {}
        for deb in recipe.debs:
            root = roots[deb.name]
            for path in walk(root):
                place = self._place_of(deb, root, path)
                if place is None:
                    continue
                if (root / path).is_symlink():
                    links.setdefault(place, _link_target(root, path))
                else:
                    _move(root / path, tree / place)
        for place, target in links.items():
            goal = self.layout.place(target)
            if goal is not None and goal != place and not os.path.lexists(tree / place):
                _link(tree / place, posixpath.relpath(goal, posixpath.dirname(place)))
        _drop_dangling(tree)

    def _place_of(self, deb: Deb, root: Path, path: str) -> str | None:
        place = self.layout.place(path)
        if place is None or not place.startswith("bin/"):
            return place
        # Programs in Python would need a package of the distribution's own python.
        program = not (root / path).is_symlink() and is_elf(root / path)
        taken = place == "bin/gdal-config" or program
        return place if taken and deb.name in self.layout.table.layout.programs else None

    def _rewrite_paths(self, tree: Path) -> tuple[str, ...]:
        """Write the placeholder into gdal-config and the pkg-config files; returns their names."""
        names = [
            "bin/gdal-config",
            *(f"lib/pkgconfig/{n}" for n in self.layout.table.layout.pkgconfig),
        ]
        found = tuple(name for name in names if (tree / name).is_file())
        for name in found:
            text = (tree / name).read_text(encoding="utf-8")
            changed = rewrite_prefix(text, self.layout.architecture.multiarch, self.layout.table)
            (tree / name).write_text(changed, encoding="utf-8")
        return found

    def _relocate(self, tree: Path) -> Contents:
        """Set every rpath, add the links by soname that ldconfig would make."""
        needs: set[str] = set()
        by_rpath: dict[str, list[Path]] = {}
        for path in sorted(_elves(tree)):
            elf = read_elf(tree / path)
            needs.update(elf.needed)
            if elf.needed:  # else it is static, or needs nobody
                by_rpath.setdefault(rpath_for(path), []).append(tree / path)
            folder, _, name = path.rpartition("/")
            if folder == "lib" and elf.soname and not (tree / folder / elf.soname).exists():
                _link(tree / folder / elf.soname, name)
        for rpath, files in sorted(by_rpath.items()):
            self.run([self.patchelf, "--force-rpath", "--set-rpath", rpath, *files])
        libraries = (tree / "lib").iterdir() if (tree / "lib").is_dir() else ()
        provides = sorted(path.name for path in libraries if not path.is_dir())
        loaded = (tree / path for path in _elves(tree) if LIBSTDCXX not in path)
        floor, newest = oldest_floor(loaded, self.floors)
        return Contents(
            provides=tuple(provides), needs=tuple(sorted(needs)), floor=floor, newest=newest
        )

    def _metadata(self, recipe: Recipe, roots: Mapping[str, Path]) -> PackageMetadata:
        texts = dict(_copyrights(recipe, roots))
        table = self.layout.table
        terms: set[str] = set()
        for name, text in texts.items():
            unknown = {f"LicenseRef-Debian-{sanitised(name, keep='.-')}"}
            terms |= parse_copyright(text, table.licenses) or unknown
        licenses = [
            LicenseText(name=f"{name}.copyright", text=t.encode()) for name, t in texts.items()
        ]
        referred = {match for text in texts.values() for match in _COMMON_LICENSE.findall(text)}
        for name in sorted(referred & self.common_licenses.keys()):
            licenses.append(LicenseText(name=f"common/{name}", text=self.common_licenses[name]))
        lead = recipe.debs[0]
        return PackageMetadata(
            name=recipe.name,
            version=recipe.version,
            build=recipe.build,
            subdir=recipe.subdir,
            depends=recipe.depends,
            license=" AND ".join(sorted(terms)),
            summary=lead.summary,
            home=lead.home,
            licenses=tuple(licenses),
            extra=_origin(recipe),
        )

    def _drivers(
        self,
        recipe: Recipe,
        metadata: PackageMetadata,
        needs: Sequence[str],
        tree: Path,
        work: Path,
    ) -> Iterator[tuple[PackageMetadata, Path]]:
        """Yield the driver packages that this libgdal really has, with the tree of each.

        A driver in a loadable file is moved out of `tree`; a built-in one gets an empty package.
        """
        if recipe.name != GDAL_PACKAGE:
            return
        built_in = built_in_formats((tree / "bin" / "gdal-config").read_text(encoding="utf-8"))
        core = f"{GDAL_PACKAGE} =={recipe.version}"
        for name, plugin in self.layout.table.plugins.items():
            split = work / name
            loadable = [n for n in sorted(plugin.files) if (tree / PLUGIN_FOLDER / n).is_file()]
            for file in loadable:
                _move(tree / PLUGIN_FOLDER / file, split / PLUGIN_FOLDER / file)
            split.mkdir(exist_ok=True)
            driver = replace(metadata, name=name, depends=(core,))
            if loadable:
                yield replace(driver, depends=(core, *metadata.depends)), split
            elif plugin.is_built_in(built_in, needs):
                summary = f"Nothing but the name: the driver is built into {GDAL_PACKAGE}"
                yield replace(driver, summary=summary, license="", licenses=()), split


def rpath_for(path: str) -> str:
    """Return the rpath that leads from a file of the prefix to lib/: `$ORIGIN`, `$ORIGIN/..`."""
    way = posixpath.relpath("lib", posixpath.dirname(path))
    return "$ORIGIN" if way == "." else f"$ORIGIN/{way}"


def rewrite_prefix(text: str, multiarch: str, table: Table) -> str:
    """Put the placeholder's folders in the place of the distribution's, as in gdal.pc.

    The libraries that a static build would need are dropped: they are not in the channel.
    """
    text = re.sub(r"^CONFIG_DEP_LIBS=.*$", 'CONFIG_DEP_LIBS=""', text, flags=re.MULTILINE)
    text = re.sub(r"^Libs\.private:.*\n", "", text, flags=re.MULTILINE)
    text = text.replace(f"/usr/lib/{multiarch}", f"{PREFIX_PLACEHOLDER}/lib")
    for folder, goal in table.layout.headers.items():
        text = text.replace(
            f"/usr/include/{folder}",
            posixpath.join(PREFIX_PLACEHOLDER, "include", goal).rstrip("/"),
        )
    return re.sub(r"(?<![\w/.])((?:-[LI])?)/usr(?![\w.-])", rf"\1{PREFIX_PLACEHOLDER}", text)


def built_in_formats(gdal_config: str) -> frozenset[str]:
    """Return gdal-config's compiled drivers in lower case (autotools wrote them so)."""
    match = re.search(r'^CONFIG_FORMATS="([^"]*)"', gdal_config, re.MULTILINE)
    return frozenset(match[1].lower().split()) if match else frozenset()


def certificate_bundle(certificates: Mapping[str, bytes], trusted: bytes) -> bytes:
    """Return the certificates as ca-certificates' postinst and update-ca-certificates join them.

    In the byte order of their names (`sort` in the C locale that dpkg's scripts have), each ended
    by a newline. Those that are not in `trusted` are left out, and named in the first line.
    """
    known = _keys(trusted)
    kept = {name: text for name, text in sorted(certificates.items()) if _keys(text) <= known}
    dropped = ", ".join(PurePosixPath(n).stem for n in sorted(certificates.keys() - kept.keys()))
    head = f"# certifi {certifi.__version__} does not trust them: {dropped}\n" if dropped else ""
    return head.encode() + b"".join(text.removesuffix(b"\n") + b"\n" for text in kept.values())


def _keys(text: bytes) -> set[bytes]:
    """Return the certificates in a text, however their lines are broken."""
    return {b"".join(each.split()) for each in _CERTIFICATE.findall(text)}


def read_common_licenses(root: Path) -> dict[str, bytes]:
    """Read usr/share/common-licenses of an unpacked base-files, its links (GPL) resolved."""
    folder = root / "usr" / "share" / "common-licenses"
    texts = {}
    for path in sorted(folder.iterdir()):
        target = folder / path.readlink().name if path.is_symlink() else path
        if target.is_file() and not target.is_symlink():
            texts[path.name] = target.read_bytes()
    return texts


def _place_certificates(root: Path, tree: Path) -> None:
    source = root / "usr" / "share" / "ca-certificates"
    found = {p.relative_to(source).as_posix(): p.read_bytes() for p in source.rglob("*.crt")}
    (tree / "ssl").mkdir()
    bundle = tree / "ssl" / "cacert.pem"
    bundle.write_bytes(certificate_bundle(found, certifi.contents().encode()))
    bundle.chmod(0o644)
    _link(tree / "ssl" / "cert.pem", "cacert.pem")


def _copyrights(recipe: Recipe, roots: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Yield the copyright file of each .deb, or of the one that its doc folder links to."""
    for deb in recipe.debs:
        folder = roots[deb.name] / "usr" / "share" / "doc" / deb.name
        owner = folder.readlink().name if folder.is_symlink() else deb.name
        if owner in roots:
            path = roots[owner] / "usr" / "share" / "doc" / owner / "copyright"
            if path.is_file() and not path.is_symlink():
                yield owner, path.read_text(encoding="utf-8", errors="replace")


def _origin(recipe: Recipe) -> dict[str, object]:
    debs = [
        {"file": deb.file_name, "sha256": deb.sha256, "source": deb.source, "version": deb.version}
        for deb in recipe.debs
    ]
    return {"origin": {"distribution": str(recipe.distribution), "debs": debs}}


def _elves(root: Path) -> Iterator[str]:
    return (p for p in walk(root) if not (root / p).is_symlink() and is_elf(root / p))


def _link_target(root: Path, path: str) -> str:
    """Return where a link leads, relative to the root of the .deb."""
    target = str((root / path).readlink())
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(path), target)).lstrip("/")


def _move(source: Path, goal: Path) -> None:
    goal.parent.mkdir(parents=True, exist_ok=True)
    source.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
    source.rename(goal)


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _drop_dangling(tree: Path) -> None:
    """Remove the links whose target is in another package or left out."""
    for path in [tree / name for name in walk(tree)]:
        if path.is_symlink() and not path.exists():
            path.unlink()

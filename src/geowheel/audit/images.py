"""The images that Linux wheels are built in: which one fits a floor, and which float."""

import datetime
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from geowheel.errors import UsageError
from geowheel.machine.console import Console
from geowheel.machine.files import table_of
from geowheel.wheel.tags import PlatformTag, parse_platform_tag

from .rules import Look, Mark

_CONFIGURATIONS: Final = (
    ".github/workflows/*.y*ml", ".gitlab-ci.yml", ".circleci/config.yml", "azure-pipelines.yml",
    ".cirrus.yml", "pyproject.toml", "cibuildwheel.toml", "*Dockerfile*", "*Containerfile*",
)  # fmt: skip
"""Where projects name images; of pyproject.toml that is [tool.cibuildwheel]."""
_NAMED: Final = re.compile(
    r"""(?:^[ \t-]*(?:(?:[\w-]*(?:image|IMAGE)|container)[ \t]*[:=]|FROM(?: +--\S+)*(?= ))[ \t]*"""
    r"""["']?(?:docker://)?|docker://|(?=\b(?:quay|ghcr|docker)\.io/))([^\s"'#{}\[\],$]++)(?!{)"""
)
# By a digest, or a variable with one; by cibuildwheel itself; GitHub's runners, and no image.
_PINNED: Final = re.compile(
    r".+@(?:sha256:([0-9a-f]{64})?)?|.*Dockerfile|m\w+linux\w+|scratch|(ubuntu|macos|windows)-.+"
)
_STAGE: Final = re.compile(r"^FROM .* (?:AS|as) (\S+)", re.MULTILINE)
LOOKS: Final[Mapping[str, Look]] = {"floating-image": lambda _: ()}
"""No wheel breaks this rule, only a project: see `floating`."""


def base_images() -> Iterator[tuple[PlatformTag, datetime.date, tuple[str, ...]]]:
    """Yield the images of images.toml: what they are for, the last day of support, and the image
    with its digest, C library, base and compiler."""
    kind = dict[str, tuple[str, str, str, datetime.date, str]]
    for name, (libc, base, compiler, until, each) in table_of("audit", "images.toml", kind).items():
        for entry in each.split():
            if tag := parse_platform_tag(f"{name}_{entry.partition('@')[0]}"):
                yield tag, until, (f"quay.io/pypa/{name}_{entry}", libc, base, compiler)


def advise(floor: str, today: datetime.date, console: Console) -> dict[str, Any]:
    """Show, for each architecture, the newest image whose C library is no newer than a floor.

    Where there is one in support, it is that. `floor` is `manylinux_2_28`, `2.28` or a whole tag;
    raises UsageError for anything else, or what is older than every image.
    """
    text = re.sub(r"^(\d+)\.(\d+)$", r"manylinux_\1_\2", floor)
    wanted = parse_platform_tag(text) or parse_platform_tag(f"{text}_any")
    fitting = [
        (until >= today, tag.version, [tag.architecture, *facts, str(until)])
        for tag, until, facts in base_images()
        if wanted and tag.kind == wanted.kind and tag.version <= wanted.version
        if wanted.architecture in ("", "any", tag.architecture)
    ]
    if not fitting:
        fix = "such as manylinux_2_28, 2.28 or musllinux_1_2"
        raise UsageError(f"no image of pypa is for the floor {floor!r}", fix=fix)
    chosen = {row[0]: [*row, "" if held else "OVER"] for held, _, row in sorted(fitting)}
    columns = ["for", "image", "C library", "base", "compiler", "support until", ""]
    console.table(f"to build for {floor}", columns, [*chosen.values()])
    return {name: row[1] for name, row in chosen.items()}


def floating(folder: Path) -> Iterator[Mark]:
    """Yield the images that a project's configuration names without a digest."""
    for path in sorted(path for form in _CONFIGURATIONS for path in folder.glob(form)):
        text = path.read_text("utf-8", "replace")
        stages = _STAGE.findall(text)
        for number, line in enumerate(text.splitlines(), 1):
            for image in _NAMED.findall("" if line.lstrip().startswith("#") else line):
                if image not in stages and not _PINNED.fullmatch(image):
                    words = f"line {number} names {image} without a digest"
                    yield Mark(words, path.relative_to(folder).as_posix(), names=(image,))

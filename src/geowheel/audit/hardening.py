"""Rules about what a compiler and a linker could have made safer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from geowheel.project.config import AuditLevel

from .content import WheelContent
from .rules import Mark, Rule


def _lazy(content: WheelContent) -> Iterator[Mark]:
    for path, elf in content.elves.items():
        if not elf.bind_now:
            yield Mark("functions are looked up at their first call", path)


RULES: Final = (
    Rule(
        id="bind-now",
        title="functions are bound when a library is loaded",
        level=AuditLevel.ERROR,
        prebuilt=AuditLevel.WARN,
        why="What is bound later stays writable: whoever can write there calls what he likes. A "
        "symbol that is missing shows at the first call, not at the import.",
        remedy="link with -Wl,-z,now",
        look=_lazy,
    ),
)

"""What the walk over a wheel's binaries asks of a format and of its system's dynamic loader.

Only that differs between ELF, Mach-O and PE; the walk itself is in `geowheel.binary.closure`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from geowheel.errors import Fault


class Binary(Protocol):
    """What every format says of itself; Elf, MachO and Pe say more."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """As `Platform.architecture` names them (`x86_64`, `aarch64`, `arm64`, `amd64`), or as the
        format does where no platform has it; more than one only in a fat Mach-O file."""
        ...

    @property
    def needed(self) -> tuple[str, ...]:
        """The libraries that have to be loaded with it, as it names them."""
        ...

    @property
    def leftovers(self) -> tuple[str, ...]:
        """Parts that no loader reads and strip takes away, by the format's own names."""
        ...


B_contra = TypeVar("B_contra", bound=Binary, contravariant=True)


class Loader(Protocol[B_contra]):
    """How the loader of one system finds libraries. Paths are relative to the wheel's root."""

    @property
    def title(self) -> str:
        """`ld.so`, `dyld`, `the Windows loader`."""
        ...

    def key(self, path: str) -> str:
        """By what two paths or names are the same: Windows has one case."""
        ...

    def is_system(self, library: str) -> bool:
        """Whether it comes from the system, which always has it."""
        ...

    def places(
        self, path: str, binary: B_contra, library: str, inherited: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Where a library that the file at `path` needs is looked for, in this order.

        `inherited` are the folders that the file's own loaders passed on.
        """
        ...

    def passed_on(self, path: str, binary: B_contra, inherited: tuple[str, ...]) -> tuple[str, ...]:
        """The folders that are searched for what the file loads in turn, nearest first."""
        ...

    def strays(self, path: str, binary: B_contra) -> Iterator[tuple[str, Fault]]:
        """Each way in which the file looks for libraries outside the wheel, and what is wrong."""
        ...

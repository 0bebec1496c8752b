"""Where the parts of a payload lie in the wheel, whatever the layout."""

import enum
import posixpath
from dataclasses import dataclass
from typing import Final

PACKAGE_INIT: Final = "__init__.py"


class Layout(enum.StrEnum):
    """Where the bindings sit in the host's wheel."""

    TOPLEVEL = "toplevel"
    """`osgeo` as such."""
    PRIVATE = "private"
    """A copy below the host's own package, whose modules import each other and nobody else's."""
    NONE = "none"
    """Nowhere: the host's own extension modules link libgdal, and call `configure()`."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Paths in the wheel, relative to its root and with slashes."""

    layout: Layout
    import_package: str
    """`osgeo`, `terrain._vendor.osgeo`, or in layout none the host's own package."""
    gdal_data: str
    proj_data: str

    @property
    def package(self) -> str:
        """The folder of the import package."""
        return self.import_package.replace(".", "/")

    @property
    def bootstrap(self) -> str:
        """The module that points the bundled libraries to the bundled data."""
        return f"{self.package}/_geowheel.py"

    @property
    def bundle(self) -> str:
        """What the bootstrap reads: where the libraries and the data lie."""
        return f"{self.package}/_geowheel.json"

    @property
    def ca_bundle(self) -> str:
        return f"{self.package}/_data/cacert.pem"

    @property
    def plugins(self) -> str:
        return f"{self.package}/_plugins"

    @property
    def programs(self) -> str:
        """GDAL's own programs, which console commands start."""
        return f"{self.package}/_programs"

    @property
    def launcher(self) -> str:
        """The module of the console commands.

        Not in osgeo, where there is another place: importing that would load GDAL before the
        program loads it.
        """
        return f"{self.utilities if self.has_bindings else self.package}/_geowheel_programs.py"

    @property
    def hook(self) -> str:
        """What PyInstaller is told, in the folder that the bootstrap names to it."""
        return f"{self.package}/_pyinstaller/hook-{self.import_package}._geowheel.py"

    @property
    def utilities(self) -> str:
        """osgeo_utils, beside osgeo."""
        return posixpath.join(posixpath.dirname(self.package), "osgeo_utils")

    @property
    def has_bindings(self) -> bool:
        return self.layout is not Layout.NONE

    @property
    def host_package(self) -> str | None:
        """The folder of the host's own that has to be in the wheel; None where none has to."""
        if self.layout is Layout.TOPLEVEL:
            return None
        return self.package if self.layout is Layout.NONE else self.package.partition("/")[0]

    @property
    def packages_between(self) -> tuple[str, ...]:
        """`__init__.py` between the host's package and osgeo: `terrain/_vendor/__init__.py`.

        A host may bring its own, which then stays.
        """
        if self.layout is not Layout.PRIVATE:
            return ()
        parts = self.package.split("/")
        return tuple("/".join([*parts[:end], PACKAGE_INIT]) for end in range(2, len(parts)))


ALL: Final = ("*",)


def patterns_of(configured: tuple[str, ...] | None, layout: Layout) -> tuple[str, ...]:
    """Return what is asked for; by default everything at the top level and nothing else.

    Private hosts in one environment would overwrite each other's `gdalinfo`.
    """
    if configured is not None:
        return configured
    return ALL if layout is Layout.TOPLEVEL else ()

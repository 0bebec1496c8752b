"""bindings: GDAL's SWIG wrappers, compiled for one interpreter against the prefix."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from geowheel import systems
from geowheel.binary.elf import read_elf
from geowheel.errors import BuildError, IntegrityError, MachineError
from geowheel.locks.assets import Asset
from geowheel.machine import hints
from geowheel.machine.archives import open_zip, unpack_gz
from geowheel.machine.console import Step
from geowheel.machine.environments import isolated_environment
from geowheel.prefix.linker import Placing
from geowheel.prefix.store import Store
from geowheel.prefix.unpacking import unpack_package
from geowheel.records.facts import BindingsFacts
from geowheel.records.stage import Outcome
from geowheel.systems import compilers
from geowheel.systems.contract import Toolchain
from geowheel.targets import System

from .inputs import MODULES, BindingsInputs, PrebuiltInputs
from .zig import open_toolchain

# A text in C that is the name of a module and nothing else.
_MODULE_NAME: Final = re.compile(r'"(osgeo(?:_utils)?(?:\.\w+)*)"')
ARRAY = "gdal_array"  # the one wrapper that needs NumPy's headers
PREFIX: Final = "native"
"""The prefix in the folder of the compilers: a link."""
STABLE_ABI: Final = Path(compilers.__file__).with_name("stable_abi")
"""Headers in the place of those that the stable ABI lacks."""


def run(
    inputs: BindingsInputs | PrebuiltInputs, folder: Path, step: Step
) -> Outcome[BindingsFacts]:
    """Compile the wrappers side by side, link each into a module; or take the channel's own."""
    modules = folder / MODULES
    modules.mkdir()
    if isinstance(inputs, PrebuiltInputs):
        _take(inputs, folder / "work", modules, step)
        return Outcome(facts=BindingsFacts(prebuilt=str(inputs.package)))
    if inputs.platform.system is System.LINUX and not inputs.lowered:
        from geowheel.systems.auditwheel_repair import policy_of  # only where needed

        # Said before anything is compiled, and not by `repair`.
        library = systems.of(inputs.platform).gdal_library
        policy_of([read_elf(inputs.prefix.folder / library)], inputs.platform, library)
    if inputs.import_package is None or inputs.toolchain is None:
        step.say('none: layout = "none"')
        return Outcome(facts=BindingsFacts())
    work = folder / "work"
    _link_headers(inputs, work)
    toolchain = open_toolchain(
        inputs.toolchain, inputs.store, cache=inputs.cache, prefix=work / PREFIX,
        work=work, step=step, keeps=True,
    )  # fmt: skip
    _compile(inputs, toolchain, inputs.import_package, work, modules, step)
    return Outcome(
        facts=BindingsFacts(
            compiler=toolchain.version, libc=toolchain.libc, libstdcxx=toolchain.libstdcxx
        )
    )


def _link_headers(inputs: BindingsInputs, work: Path) -> None:
    """Give what lies elsewhere a name in the folder of the compilers: `native`, `python`, `stable`.

    So no path of this machine gets into a module, and a compiler knows the same source again.
    """
    work.mkdir()
    (work / PREFIX).symlink_to(inputs.prefix.folder)
    headers = work / PREFIX / systems.of(inputs.platform).layout.headers
    (work / "python").symlink_to(_python_headers(inputs, headers))
    (work / "stable").symlink_to(STABLE_ABI)


def _take(inputs: PrebuiltInputs, work: Path, modules: Path, step: Step) -> None:
    """Take osgeo from the channel's package: its modules and the Python that SWIG made for them."""
    package = inputs.package
    (archive,) = inputs.store.obtain([package], step)
    system = systems.of(inputs.target.platform)
    unpacked, prefix = work / "unpacked", work / "prefix"
    prefix.mkdir(parents=True)
    digests = unpack_package(archive.path, unpacked, package)
    string, platform = system.layout.prefix_string, inputs.target.platform
    placing = Placing(prefix=prefix.resolve(), prefix_string=string, platform=platform)
    placing.place(package, unpacked, digests=digests)
    osgeo = prefix / system.site_packages(inputs.target) / "osgeo"
    found = sorted(path for path in osgeo.glob("_*") if path.suffix in (".so", ".pyd"))
    suffix = system.extension_suffix(inputs.target)
    if not found or any(not path.name.endswith(suffix) for path in found):
        names = ", ".join(path.name for path in found[:3]) or "no extension module"
        raise BuildError(
            f"{package} has {names} where bindings for {inputs.target} end with {suffix}",
            where=package.url,
            cause="the package is of another interpreter or platform than its record says",
            fix="lock another build of it",
        )
    shutil.copytree(osgeo, modules, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.pyc"))
    step.say(f"{len(found)} modules of {package}, prebuilt")
    shutil.rmtree(work)


def _compile(
    inputs: BindingsInputs,
    toolchain: Toolchain,
    import_package: str,
    work: Path,
    modules: Path,
    step: Step,
) -> None:
    inputs.store.obtain([inputs.gdal_sdist, *inputs.requirements], step)
    source = unpack_sdist(inputs.store, inputs.gdal_sdist, work / "gdal")
    numpy = _numpy_headers(inputs, work)
    wrappers = sorted((source / "extensions").glob("*_wrap.c*"))
    if not wrappers:
        raise BuildError(
            f"no SWIG wrappers in GDAL {inputs.gdal_sdist.version}'s sdist",
            where=inputs.gdal_sdist.file_name,
            cause="its layout is not one that geowheel knows (extensions/*_wrap.cpp)",
        )
    for wrapper in wrappers:
        text = wrapper.read_bytes().decode("utf-8", "surrogateescape")
        own = with_own_imports(text, import_package)
        wrapper.write_bytes(own.encode("utf-8", "surrogateescape"))
    # SWIG keeps one type table a process under this name: one of our own, or classes of another
    # package's osgeo would be handed out (studied with two GDALs in one process).
    # And nothing is printed about objects that live until the interpreter ends: GDAL's setup.py.
    defines = [f"SWIG_TYPE_TABLE={type_table(import_package)}", "SWIG_PYTHON_SILENT_MEMLEAK"]
    if inputs.stable:
        defines.append(f"Py_LIMITED_API=0x03{int(inputs.stable.partition('.')[2]):02x}0000")
    step.say(f"{len(wrappers)} modules with {toolchain.describe()}")
    largest_first = sorted(wrappers, key=lambda path: -path.stat().st_size)
    with step.progress("compile", len(wrappers)) as advance:

        def make(wrapper: Path) -> None:
            _module(wrapper, inputs, toolchain, work, numpy, modules, defines, step)
            advance(1)

        step.side_by_side(make, largest_first)
    shutil.rmtree(work)


def type_table(import_package: str) -> str:
    """Return a C identifier for an import package: another one for every other package."""
    encoded = {".": "_0", "_": "__"}
    return "".join(
        encoded.get(letter, letter if letter.isascii() else f"_u{ord(letter):x}_")
        for letter in import_package
    )


def with_own_imports(wrapper: str, import_package: str) -> str:
    """Return a wrapper's C source that asks for its own package's modules, not for osgeo's.

    GDAL 3.13 takes NumPy's types as its own by PyImport_ImportModule("osgeo.gdal_array").
    """
    above = import_package.removesuffix("osgeo")
    return _MODULE_NAME.sub(lambda found: f'"{above}{found[1]}"', wrapper)


def unpack_sdist(store: Store, sdist: Asset, folder: Path) -> Path:
    """Unpack GDAL's sdist below `folder`; raises IntegrityError unless it has one top folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = store.path(sdist)
    _, links = unpack_gz(path, folder)
    if links:
        raise IntegrityError(f"not an sdist: {min(links)} is a link", where=str(path))
    found = [entry for entry in folder.iterdir() if (entry / "PKG-INFO").is_file()]
    if len(found) != 1:
        raise IntegrityError("not an sdist: it has no single folder with PKG-INFO", where=str(path))
    return found[0]


def _numpy_headers(inputs: BindingsInputs, work: Path) -> Path:
    wheel = next(d for d in inputs.requirements if d.name == "numpy")
    goal = work / "numpy-headers"
    with open_zip(inputs.store.path(wheel)) as archive:
        headers = [name for name in archive.namelist() if "/include/numpy/" in name]
        archive.extractall(goal, headers)
    return goal / headers[0].partition("/include/")[0] / "include"


def _python_headers(inputs: BindingsInputs, headers: Path) -> Path:
    """Return where Python.h is: for the stable ABI that of the channel, where it has one.

    For one Python the channel's where the machine has none. Raises MachineError where neither has.
    """
    found = inputs.interpreter
    version = "3.*" if inputs.stable else "none" if found.headers else found.python
    locked = sorted(headers.glob(f"python{version}/Python.h"))
    if not locked and not found.headers:
        raise MachineError(
            f"{found.title} lacks its headers: no Python.h in {found.include}",
            cause="neither the machine has them nor the native stack's channel",
            fix=hints.install(hints.Need.HEADERS, on=hints.this_machine(), python=found.python),
        )
    return locked[-1].parent if locked else found.include


def _module(
    wrapper: Path,
    inputs: BindingsInputs,
    toolchain: Toolchain,
    work: Path,
    numpy: Path,
    modules: Path,
    defines: Sequence[str],
    step: Step,
) -> None:
    name = wrapper.name.partition("_wrap.")[0]
    layout = systems.of(inputs.platform).layout
    includes = [Path(PREFIX, layout.headers), Path("python")]
    if name == ARRAY:
        includes += [numpy.relative_to(work)]
    if inputs.stable:  # its datetime.h comes before CPython's
        includes.insert(0, Path("stable"))
    object_file = Path(f"{name}.o")
    env = isolated_environment(inputs.environ)
    step.run(
        compilers.compile_command(
            toolchain,
            wrapper.relative_to(work),
            object_file,
            includes=includes,
            defines=defines,
        ),
        env=env, cwd=work,
    )  # fmt: skip
    suffix = ".abi3.so" if inputs.stable else inputs.interpreter.extension_suffix
    output = modules / f"_{name}{suffix}"
    step.run(
        compilers.link_command(
            toolchain, [object_file], output,
            libraries=Path(PREFIX, layout.link_libraries),
        ),
        env=env, cwd=work,
    )  # fmt: skip

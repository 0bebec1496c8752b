"""build: the raw wheel: by the host's own backend in a staged copy, and the payload added to it.

The payload is put into the wheel and not into the staged copy: so no backend has to be told to
include it, no ignore file keeps it out, and a raw wheel that was made elsewhere (by cibuildwheel,
by hand) gets it in the same way.
"""

import filecmp
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from packaging.version import Version

from geowheel import systems
from geowheel.binary.formats import strangers
from geowheel.contents.programs import shell_scripts
from geowheel.digest import digest
from geowheel.errors import BuildError
from geowheel.machine.console import Step
from geowheel.machine.environments import isolated_environment, unused_build_variables
from geowheel.machine.files import copy_checked
from geowheel.machine.git import ask_git, forget_reading, was_read
from geowheel.prefix.wrappers import build_variables, reachable, with_programs
from geowheel.project.entry_points import add_entry_points
from geowheel.project.files import stage_checkout, words_of_build_files
from geowheel.project.places import PACKAGE_INIT, Places
from geowheel.records.facts import BuildFacts
from geowheel.records.stage import Outcome
from geowheel.systems import compilers
from geowheel.targets import System
from geowheel.wheel.reading import parse_filename, unpack_wheel
from geowheel.wheel.writing import write_wheel

from .backend import build_wheel
from .environments import make_environment
from .inputs import BuildInputs, RawWheelInputs
from .zig import Zig, open_toolchain

_DATABASE = "proj.db"
_HOST, _HEAD = "host", Path(".git", "HEAD")
GDAL_VERSION_VARIABLE = "GEOWHEEL_GDAL_VERSION"
HOST_VERSION_VARIABLE = "GEOWHEEL_HOST_VERSION"
"""The version that the wheel is to have, where it follows GDAL's."""


def run(inputs: BuildInputs | RawWheelInputs, folder: Path, step: Step) -> Outcome[BuildFacts]:
    """Have the wheel made, add the payload, tag it for interpreter and platform."""
    work, unused = folder / "work", tuple[str, ...]()
    work.mkdir()
    tree = work / "tree"
    if isinstance(inputs, RawWheelInputs):
        made = work / inputs.raw.path.name
        copy_checked(inputs.raw.path, made, inputs.raw.sha256)
        unpack_wheel(made, tree)
    else:
        # Not in the work folder: hatchling excludes nothing where a .gitignore of the copy matches
        # its own place, and many name .geowheel/ or build/.
        with step.elsewhere("host") as place:
            made = _by_backend(inputs, place, step)
            unused = () if was_read(place / _HOST / _HEAD) else ("git",)
            unpack_wheel(made, tree)
            _without_paths(tree, _mapped(inputs, place))
    if faults := list(strangers(tree, inputs.platform)):
        raise BuildError(faults)
    added = _add_payload(inputs.payload.folder, inputs.places, tree, made)
    step.say(f"{made.name}, {added} files of the payload added")
    for dist_info in tree.glob("*.dist-info"):
        bootstrap = f"{inputs.places.import_package}._geowheel"
        scripts = {}
        if inputs.platform.system is System.LINUX:
            version = "3.*" if inputs.abi_tag == "abi3" else f"3.{inputs.abi_tag[3:]}"
            scripts = shell_scripts(inputs.commands, inputs.places, version)
        add_entry_points(dist_info, inputs.commands, f"{bootstrap}:hook_dirs", scripts)
    _mark_as_compiled(tree)
    step.now("packing the raw wheel")
    write_wheel(tree, folder, filename=_raw_name(inputs, made.name), level=0)
    shutil.rmtree(work)
    host_files = digest(inputs.host_files) if isinstance(inputs, BuildInputs) else ""
    facts = BuildFacts(version=parse_filename(made.name)[1], host_files=host_files)
    return Outcome(facts=facts, unused=unused)


def _raw_name(inputs: BuildInputs | RawWheelInputs, made: str) -> str:
    """Return the made wheel's name with the target's tags.

    Bindings are of one interpreter. In layout none the backend knows what its extensions are of:
    they may use the stable ABI (`cp311-abi3`).
    """
    # As the backend spells it, with its build number: `my_host-1.0-7`.
    stem, python, abi, _ = made.removesuffix(".whl").rsplit("-", 3)
    if inputs.places.has_bindings:
        if inputs.abi_tag == "abi3" and abi not in ("none", "abi3"):
            raise BuildError(
                f"the host's own modules are for {python}-{abi} alone",
                where=made,
                cause="the bindings use the stable ABI, and one wheel would be for every Python",
                fix='set [tool.geowheel] abi = "version" for a wheel of each, or have the host use '
                "the stable ABI as well",
            )
        newer = abi == "abi3" and int(python[3:]) > int(inputs.interpreter_tag[3:])
        python, abi = python if newer else inputs.interpreter_tag, inputs.abi_tag
    return f"{stem}-{python}-{abi}-{inputs.platform_tag}.whl"


def _by_backend(inputs: BuildInputs, work: Path, step: Step) -> Path:
    staged = stage_checkout(inputs.host_files, work / _HOST, inputs.environ)
    if inputs.git and (work / _HOST / ".git" / "shallow").exists():
        step.say("this clone is shallow: a version from git may be wrong (fetch the whole history)")
    wheels = inputs.store.obtain(inputs.requirements, step)
    python = make_environment(
        inputs.interpreter, work / "environment", wheels, environ=inputs.environ, step=step
    )
    env = _environment(inputs, work, python, step)
    words = words_of_build_files(staged) - env.keys()
    of_machine = () if isinstance(inputs.toolchain, Zig) else ("CC", "CXX")
    used = {*inputs.variables, *of_machine}
    if unused := unused_build_variables(inputs.environ, used, words):
        step.say(
            f"not used, though it is set here: {', '.join(unused)} (the wheel has to be the same "
            "elsewhere: [tool.geowheel.build] environment gives variables to the backend)"
        )
    forget_reading(work / _HOST / _HEAD)
    made = build_wheel(inputs, staged, work / "made", python, env, step)
    _check_version(inputs, made)
    return made


def _check_version(inputs: BuildInputs, made: Path) -> None:
    version = parse_filename(made.name)[1]
    if inputs.host_version and Version(version) != Version(inputs.host_version):
        raise BuildError(
            f"the wheel has version {version} instead of {inputs.host_version}",
            where=made.name,
            cause='[tool.geowheel.release] version = "gdal", and the build backend does not read '
            f"{HOST_VERSION_VARIABLE}",
            fix='with hatchling: source = "env", variable = "GEOWHEEL_HOST_VERSION" in '
            '[tool.hatch.version]; or version = "own"',
        )


def _environment(inputs: BuildInputs, work: Path, python: Path, step: Step) -> dict[str, str]:
    """Return what a backend needs to find GDAL, and to make the same bytes in any folder."""
    native = reachable(inputs.prefix.folder.parent, inputs.cache)
    variables = build_variables(native, inputs.gdal_version, systems.of(inputs.platform))
    mapped = {**_mapped(inputs, work), inputs.interpreter.include: "python"}
    if inputs.toolchain is not None:
        toolchain = open_toolchain(
            inputs.toolchain, inputs.store, cache=inputs.cache, prefix=inputs.prefix.folder,
            work=work / "toolchain", step=step,
        )  # fmt: skip
        variables = compilers.backend_variables(toolchain, mapped, variables)
    env = isolated_environment(inputs.environ, **variables)
    root = inputs.host_files.root
    dated = ask_git(root, inputs.environ, "log", "-1", "--format=%ct") if inputs.git else None
    temporary = work / "temporary"
    temporary.mkdir()
    # The environment's own programs (cmake, ninja) come first, as in an activated environment.
    path = f"{python.parent}:{with_programs(variables, env.get('PATH', ''))}"
    made = env | {
        "PATH": path,
        # scikit-build-core and meson-python build in a temporary folder: one of a mapped name.
        "TMPDIR": str(temporary),
        GDAL_VERSION_VARIABLE: inputs.gdal_version,
        **({HOST_VERSION_VARIABLE: inputs.host_version} if inputs.host_version else {}),
        # Whatever looks for a repository finds the copy's own, or none.
        "GIT_CEILING_DIRECTORIES": str(work),
        # Of the commit: a version from git may hold it as a date.
        **({"SOURCE_DATE_EPOCH": dated.strip()} if dated else {}),
    }
    own = {
        name: f"{made[name]} {value}" if name.endswith("FLAGS") and name in made else value
        for name, value in inputs.variables.items()
    }
    return made | own


def _mapped(inputs: BuildInputs, work: Path) -> dict[Path, str]:
    """Return names for the folders of this machine that a build may write into what it makes."""
    home = inputs.environ.get("HOME", "/")
    cargo = Path(inputs.variables.get("CARGO_HOME", f"{home}/.cargo"))
    native = reachable(inputs.prefix.folder.parent, inputs.cache)
    return {work: "build", native: "native", cargo: "cargo"}


def _deepest_package(places: Places, tree: Path, made: Path) -> str:
    """Return the host's folder that the payload lies in; the root in layout toplevel.

    It is the deepest one with an `__init__.py`: what is above may be a namespace, which other
    distributions share. Raises BuildError where there is none.
    """
    if places.host_package is None:
        return ""
    if not places.has_bindings and (tree / places.package).is_dir():
        return places.package
    parts = places.package.split("/")
    for end in range(len(parts), 0, -1):
        if (tree / Path(*parts[:end]) / PACKAGE_INIT).is_file():
            return "/".join(parts[:end])
    found = [p.parent.relative_to(tree).as_posix() for p in sorted(tree.rglob(PACKAGE_INIT))]
    raise BuildError(
        f"the wheel has no package {places.host_package!r} with an {PACKAGE_INIT}, which "
        f"{places.import_package} is to lie in; it has {', '.join(found[:5]) or 'none'}",
        where=made.name,
        cause="[tool.geowheel] import-package names another package or a namespace, or its files "
        "are ignored by git, or the build backend left them out",
        fix="name the host's own import package, and see that the backend packs it",
    )


def _add_payload(payload: Path, places: Places, tree: Path, made: Path) -> int:
    """Copy what is not there; the number of files. Raises BuildError where another file is."""
    package = _deepest_package(places, tree, made)
    shared = {path for path in places.packages_between if not path.startswith(f"{package}/")}
    every = (path.relative_to(payload) for path in sorted(payload.rglob("*")) if path.is_file())
    wanted = [path for path in every if path.as_posix() not in shared]
    there = {path for path in wanted if (tree / path).exists()}
    clashes = [
        path.as_posix()
        for path in sorted(there)
        if path.as_posix() not in places.packages_between
        and not filecmp.cmp(payload / path, tree / path, shallow=False)
    ]
    if clashes:
        raise BuildError(
            f"the host already has {', '.join(clashes[:3])}{', ...' if clashes[3:] else ''}, which "
            "the payload brings as well",
            where=made.name,
            cause="GDAL's files were copied into the host by hand, or it has a folder of that name",
            fix="remove it from the host: geowheel puts it there; or set another place "
            "([tool.geowheel] import-package, data)",
        )
    strays = {path.relative_to(tree) for path in tree.rglob(_DATABASE)} - set(wanted)
    if strays and any(path.name == _DATABASE for path in wanted):
        stray = min(strays)
        raise BuildError(
            f"the host has a {_DATABASE} of its own, {stray}, beside the payload's",
            where=made.name,
            cause="PROJ's data were copied into the host: which of the two is used would depend on "
            "who asks",
            fix=f'leave it out, or set [tool.geowheel.data] proj = "{stray.parent.as_posix()}" and '
            "leave that folder to geowheel",
        )
    for path in wanted:
        if path not in there:
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(payload / path, tree / path)
    return len(wanted) - len(there)


def _without_paths(tree: Path, mapped: Mapping[Path, str]) -> None:
    """Put the names of folders into texts that the build wrote, as compilers do it by themselves.

    Cython writes paths into its C, which setuptools may pack; maturin into its SBOM.
    """
    for path in tree.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        named = data
        for folder, name in mapped.items() if b"\0" not in data else ():
            named = named.replace(os.fsencode(folder), f"/{name}".encode())
        if named != data:
            path.write_bytes(named)


def _mark_as_compiled(tree: Path) -> None:
    """Say in WHEEL that the payload is compiled, whatever the backend believes (PEP 427)."""
    for path in tree.glob("*.dist-info/WHEEL"):
        text = path.read_text("utf-8").replace("Root-Is-Purelib: true", "Root-Is-Purelib: false")
        path.write_text(text, "utf-8")

"""What the commands of a stage may see in a sandbox: what the stage's inputs name."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from geowheel.digest import Artefact, Tree
from geowheel.locks.assets import Asset
from geowheel.machine.interpreters import Interpreter
from geowheel.records.ledger import MadeFolder
from geowheel.systems.contract import Toolchain

from .contract import Inputs
from .inputs import BindingsInputs
from .zig import Zig, kept_at, unpacked_at


def readable(inputs: Inputs) -> Iterator[Path]:
    """Yield every place on disk that a stage's inputs are about, there or not."""
    yield inputs.cache / "links"  # each leads to a prefix
    for field in fields(inputs):
        yield from _places(getattr(inputs, field.name), inputs)


def writable(inputs: Inputs) -> Iterator[Path]:
    """Yield what is written beside the stage's own folders: the compiler's caches."""
    for value in (getattr(inputs, field.name) for field in fields(inputs)):
        if isinstance(value, Zig):
            runtimes, modules = kept_at(value, inputs.cache)
            yield from (runtimes, modules) if isinstance(inputs, BindingsInputs) else (runtimes,)


def source_of(inputs: Inputs) -> Path | None:
    """Return the host's folder, of which the stage's commands see a copy."""
    found = (getattr(inputs, field.name) for field in fields(inputs))
    return next((value.root for value in found if isinstance(value, Tree)), None)


def _places(value: Any, inputs: Inputs) -> Iterator[Path]:
    match value:
        case MadeFolder():
            yield value.folder.parent  # with what lies beside it, such as gdal-config
        case Artefact():
            yield value.path
        case Asset():
            yield inputs.store.path(value)
        case Zig():
            yield unpacked_at(value, inputs.cache)
        case Toolchain():
            yield from (value.cc, value.cxx)
        case Interpreter():
            yield from _installation(value)
        case Path():
            yield value
        case tuple():
            for each in value:
                yield from _places(each, inputs)
        case Mapping():
            for each in value.values():
                yield from _places(each, inputs)
        case _:
            pass


def _installation(interpreter: Interpreter) -> Iterator[Path]:
    """Yield the folders of an interpreter: where it is named, where it is, its headers."""
    yield interpreter.include
    for program in (interpreter.executable, interpreter.executable.resolve()):
        place = program.parents[1]
        yield program
        if place != Path("/usr"):
            yield place.parent if place.name == "usr" else place

"""Vendored copies of osgeo and osgeo_utils that import each other, and no other package's GDAL.

GDAL's sources say `from osgeo import gdal`: in a copy below a host's package that would find the
GDAL of somebody else, or none. Their imports are made relative here, at the places that the parser
names; every other character, and every line number, stays. What cannot be made relative is refused
with its file and line.
"""

import ast
import io
import itertools
import re
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from geowheel.errors import BuildError, Fault

PACKAGES: Final = ("osgeo", "osgeo_utils")
# Asked for by these names when an import from the package failed: another GDAL's, at the top level.
_EXTENSIONS: Final = frozenset({"_gdal", "_gdal_array", "_gdalconst", "_gnm", "_ogr", "_osr"})
_IMPORTERS: Final = frozenset({"import_module", "__import__"})
_FINDERS: Final = frozenset(
    {"find_loader", "find_spec", "get_loader", "resolve_name", "run_module"}
)
_FIND_SPEC: Final = frozenset({"find_spec", "util.find_spec", "importlib.util.find_spec"})
_NAMES: Final = frozenset({"__module__", "__name__", "__package__"})
_OWN: Final = "\0"  # begins the value of an expression that begins with __package__ or __name__
_FOLDER_NAME: Final = frozenset(
    {
        "basename(dirname(__file__))",
        "basename(dirname(abspath(__file__)))",
        "basename(dirname(realpath(__file__)))",
        "basename(abspath(dirname(__file__)))",
        "Path(__file__).parent.name",
        "Path(__file__).resolve().parent.name",
    }
)
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_FROM: Final = re.compile(r"from(?:[ \t\f]|\\\r?\n)+")


@dataclass(frozen=True, kw_only=True)
class _Edit:
    """Text to put in place of a part of the source."""

    start: int
    end: int
    text: str


def make_private(folder: Path) -> int:
    """Rewrite osgeo and osgeo_utils in `folder` and verify them; the number of files changed.

    Raises BuildError naming file and line of every import that cannot be made relative.
    """
    faults: list[Fault] = []
    changed: dict[Path, bytes] = {}
    for path in sorted(_sources(folder)):
        name = PurePosixPath(path.relative_to(folder).as_posix())
        before = path.read_bytes()
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(before).readline)
            source = before.decode(encoding)
            after = rewritten(source, name)
            verify(after, name)
        except BuildError as error:
            faults += error.faults
        except (SyntaxError, UnicodeDecodeError) as error:
            faults.append(_unreadable(name, error))
        else:
            if after != source:
                changed[path] = after.encode(encoding)
    if faults:
        raise BuildError(faults)
    for path, content in changed.items():
        path.write_bytes(content)
    return len(changed)


def rewritten(source: str, path: PurePosixPath) -> str:
    """Return a module's source with its imports of osgeo and osgeo_utils made relative.

    `path` is relative to the folder of both: `osgeo_utils/samples/ogr2ogr.py`.

    Raises BuildError for what cannot be rewritten, SyntaxError for what is not Python.
    """
    found = _Analysis(source, path)
    if found.faults:
        raise BuildError(found.faults)
    for edit in sorted(found.edits, key=lambda edit: -edit.start):
        source = source[: edit.start] + edit.text + source[edit.end :]
    return source


def verify(source: str, path: PurePosixPath) -> None:
    """Raise BuildError when a module still asks for osgeo or osgeo_utils by an absolute name."""
    found = _Analysis(source, path)
    lines = sorted({source.count("\n", 0, edit.start) + 1 for edit in found.edits})
    left = [
        Fault(what="an absolute import of osgeo is left after rewriting", where=f"{path}:{line}")
        for line in lines
    ]
    if found.faults or left:
        raise BuildError([*found.faults, *left])


def _sources(folder: Path) -> Iterator[Path]:
    for package in PACKAGES:
        for pattern in ("*.py", "*.pyi"):
            yield from (folder / package).rglob(pattern)


def _unreadable(path: PurePosixPath, error: SyntaxError | UnicodeDecodeError) -> Fault:
    line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
    return Fault(
        what=f"cannot be read as Python: {error}",
        where=f"{path}{line}",
        cause="its imports have to be made relative for a private copy",
        fix=f'leave it out: exclude = ["*/{path}"] in [tool.geowheel]',
    )


def _is_vendored(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


class _Analysis:
    """Finds what to change in one module, and what cannot be changed."""

    def __init__(self, source: str, path: PurePosixPath) -> None:
        self.edits: list[_Edit] = []
        self.faults: list[Fault] = []
        self._source = source
        self._path = path
        # One dot is the module's own package, one more for each package above it.
        self._dots = "." * len(path.parts)
        self._starts = [0, *(m.end() for m in re.finditer(r"\r\n|\r|\n", source))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in GDAL's samples
            tree = ast.parse(source)
        self._importers = _IMPORTERS | _other_names(tree)
        self._called: set[ast.AST] = set()
        self._values: dict[ast.AST, dict[str, ast.expr]] = {}
        self._visit(tree, tree)

    def _visit(self, node: ast.AST, scope: ast.AST) -> None:
        if isinstance(node, ast.Import):
            self._import(node)
        elif isinstance(node, ast.ImportFrom):
            self._import_from(node)
        elif isinstance(node, ast.Call):
            self._call(node, scope)
        elif isinstance(node, ast.Subscript):
            self._subscript(node, scope)
        elif isinstance(node, ast.Compare):
            self._compare(node)
        elif isinstance(node, ast.Name | ast.Attribute):
            self._mention(node)
        inner = node if isinstance(node, _FUNCTIONS) else scope
        for child in ast.iter_child_nodes(node):
            self._visit(child, inner)

    # --- statements

    def _import(self, node: ast.Import) -> None:
        if not any(_is_vendored(alias.name) for alias in node.names):
            return
        statements: list[str] = []
        for vendored, group in itertools.groupby(node.names, lambda a: _is_vendored(a.name)):
            if vendored:
                statements += [self._relative(alias) for alias in group]
            else:
                statements.append("import " + ", ".join(map(ast.unparse, group)))
        keyword, rest = "; ".join(statements).split(" ", 1)
        # A statement over several lines stays as long as it was.
        lines = (node.end_lineno or node.lineno) - node.lineno
        self._replace(node, f"{keyword} " + "\\\n" * lines + rest)

    def _relative(self, alias: ast.alias) -> str:
        parent, _, name = alias.name.rpartition(".")
        if alias.asname or not parent:
            renamed = f" as {alias.asname}" if alias.asname else ""
            return f"from {self._dots}{parent} import {name}{renamed}"
        # `import osgeo.gdal` loads osgeo.gdal and binds osgeo.
        top = alias.name.partition(".")[0]
        loaded = f"from {self._dots}{alias.name} import __name__ as {top}"
        return f"{loaded}; from {self._dots} import {top}"

    def _import_from(self, node: ast.ImportFrom) -> None:
        if node.level or not _is_vendored(node.module or ""):
            return
        keyword = _FROM.match(self._source, self._offset(node.lineno, node.col_offset))
        if keyword is None:
            self._fault(node, "an import that is written in an unknown way")
        else:
            self.edits.append(_Edit(start=keyword.end(), end=keyword.end(), text=self._dots))

    # --- expressions

    def _call(self, node: ast.Call, scope: ast.AST) -> None:
        name = _last_name(node.func)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        values = [self._fold(value, scope) for value in arguments]
        if len(values) == 1 and ast.unparse(node.func) in _FIND_SPEC:
            if _is_vendored(values[0] or ""):
                self._ask_relatively(arguments[0], values[0] or "")
        elif name in _FINDERS or (name == "get" and _is_modules(node.func)):
            if any(_is_vendored(value or "") for value in values):
                self._fault(node, f"{ast.unparse(node)} looks osgeo up by an absolute name")
        elif name in self._importers:
            self._called.add(node.func)
            self._dynamic(node, arguments, values)

    def _dynamic(
        self, node: ast.Call, arguments: Sequence[ast.expr], values: Sequence[str | None]
    ) -> None:
        wanted = values[0] if values else None
        if wanted is None:
            self._fault(node, f"{ast.unparse(node)} imports a module whose name is computed")
        elif wanted.startswith("."):
            package = values[1] if len(values) > 1 else None
            if package is None or not package.startswith(_OWN):
                self._fault(node, f"{ast.unparse(node)} is relative to an unknown package")
        elif wanted in _EXTENSIONS or _is_vendored(wanted):
            if len(values) > 1 or _last_name(node.func) == "__import__":
                self._fault(node, f"{ast.unparse(node)} imports osgeo by an absolute name")
                return
            name = f"osgeo.{wanted}" if wanted in _EXTENSIONS else wanted
            self._ask_relatively(arguments[0], name)

    def _ask_relatively(self, argument: ast.expr, name: str) -> None:
        """Rewrite `'osgeo.gdal'`, the only argument of a function that takes a package too."""
        lines = (argument.end_lineno or 0) - argument.lineno
        self._replace(argument, f"{self._dots + name!r}, package=__package__" + "\n" * lines)

    def _compare(self, node: ast.Compare) -> None:
        """Rewrite `x.__module__ == 'osgeo.gdal'`, by which GDAL 3.13 tells modules apart."""
        sides = [node.left, *node.comparators]
        if not any(_last_name(side) in _NAMES for side in sides):
            return
        own = ".".join(self._path.parent.parts)
        for side in sides:
            value = side.value if isinstance(side, ast.Constant) else None
            if not isinstance(value, str) or not _is_vendored(value):
                continue
            if value != own and not value.startswith(f"{own}."):
                self._fault(node, f"{ast.unparse(node)} compares with another package's name")
                continue
            lines = (side.end_lineno or 0) - side.lineno
            below = f" + {value.removeprefix(own)!r}" if value != own else ""
            self._replace(side, f"(__package__{below}" + "\n" * lines + ")")

    def _subscript(self, node: ast.Subscript, scope: ast.AST) -> None:
        modules = _last_name(node.value) == "modules"
        if modules and _is_vendored(self._fold(node.slice, scope) or ""):
            self._fault(node, f"{ast.unparse(node)} looks osgeo up by an absolute name")

    def _mention(self, node: ast.Name | ast.Attribute) -> None:
        if _last_name(node) in self._importers and node not in self._called:
            self._fault(node, f"{ast.unparse(node)} is handed on, so what it imports is unknown")

    def _fold(self, node: ast.expr, scope: ast.AST, depth: int = 9) -> str | None:
        """Return the text that an expression gives, as far as it is known without running it."""
        if not depth:  # a name that is defined by itself
            return None
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.Name):
            if node.id in ("__package__", "__name__"):
                return _OWN
            if scope not in self._values:  # one walk of a scope, not one for each name in it
                self._values[scope] = _only_values(scope)
            value = self._values[scope].get(node.id)
            return None if value is None else self._fold(value, scope, depth - 1)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return _joined([self._fold(side, scope, depth - 1) for side in (node.left, node.right)])
        if isinstance(node, ast.JoinedStr):
            return _joined([self._fold(part, scope, depth - 1) for part in node.values])
        if isinstance(node, ast.FormattedValue) and node.conversion == -1 and not node.format_spec:
            return self._fold(node.value, scope, depth - 1)
        spelled = re.sub(r"\b(?:os\.path|pathlib|path)\.", "", ast.unparse(node))
        return self._path.parent.name if spelled in _FOLDER_NAME else None

    # --- places

    def _offset(self, line: int, column: int) -> int:
        start = self._starts[line - 1]
        # The parser counts bytes of UTF-8.
        end = self._starts[line] if line < len(self._starts) else len(self._source)
        return start + len(self._source[start:end].encode()[:column].decode())

    def _replace(self, node: ast.expr | ast.stmt, text: str) -> None:
        end = self._offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        start = self._offset(node.lineno, node.col_offset)
        self.edits.append(_Edit(start=start, end=end, text=text))

    def _fault(self, node: ast.expr | ast.stmt, what: str) -> None:
        self.faults.append(
            Fault(
                what=what,
                where=f"{self._path}:{node.lineno}",
                cause="a private copy of osgeo may only import itself, by relative names",
                fix=f'leave it out: exclude = ["*/{self._path}"] in [tool.geowheel]; '
                "or report this GDAL version",
            )
        )


def _joined(parts: Sequence[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) else None


def _last_name(node: ast.AST) -> str:
    """Return `import_module` of `importlib.import_module`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_modules(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and _last_name(function.value) == "modules"


def _other_names(tree: ast.AST) -> set[str]:
    """Return importlib's functions by their other names: `import import_module as load`."""
    return {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "importlib"
        for alias in node.names
        if alias.asname and alias.name in _IMPORTERS
    }


def _only_values(scope: ast.AST) -> dict[str, ast.expr]:
    """Return what names stand for that a function or module gives a value in one place only."""
    bound: Counter[str] = Counter()
    values: dict[str, ast.expr] = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound[node.id] += 1
        elif isinstance(node, ast.arg):
            bound[node.arg] += 1
        elif isinstance(node, ast.alias):
            bound.update({node.name, node.asname or node.name})
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name):
                values[target.id] = node.value
    return {name: value for name, value in values.items() if bound[name] == 1}

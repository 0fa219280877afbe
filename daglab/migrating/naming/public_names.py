"""The names that `from module import *` binds, read from the module's file, which is not run."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.machinery
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daglab.migrating import edits

LARGEST = 1 << 22  # bytes of a module that is read
DEEPEST = 12  # modules that star imports lead through
MORE = "*"  # stands among a module's names for those that can't be told
UNKNOWN = frozenset({MORE})
Roots = tuple[str, ...]


@dataclass(frozen=True)
class Module:
    """A module by its dotted name, and the file it lies in."""

    name: str
    file: Path

    @property
    def package(self) -> str:
        """What its relative imports start from."""
        return self.name if self.file.name == "__init__.py" else self.name.rpartition(".")[0]


def roots(folder: Path) -> Roots:
    """Where a notebook's modules are looked for: its own folder, the next .venv above it, and daglab's own Python."""
    places = [folder]
    for above in (folder, *folder.parents):
        own = sorted((above / ".venv" / "lib").glob("python3*/site-packages"))
        if own:
            places += own
            break
        if (above / ".git").exists():
            break
    ours = [Path(each) for each in sys.path[1:] if each and Path(each).is_dir()]
    return tuple(dict.fromkeys(str(each) for each in [*places, *ours]))


@functools.lru_cache(maxsize=1024)
def of(name: str, within: Roots, depth: int = 0) -> frozenset[str]:
    """The names of a module by its dotted name; MORE is among them where it may have others, too.

    That is so for a module that is not there, is compiled, or makes its names up as it runs.
    """
    if name == "os.path":
        name = "posixpath"
    module = _found(name, within) if depth <= DEEPEST else None
    if module is None:
        return _of_the_standard_library(name)
    tree = _tree(module.file)
    return UNKNOWN if tree is None else _Reading(module, within, depth).of(tree)


def _of_the_standard_library(name: str) -> frozenset[str]:
    """The names of a module that is compiled, such as math."""
    if name not in sys.stdlib_module_names:
        return UNKNOWN
    spec = importlib.machinery.BuiltinImporter.find_spec(name) or importlib.machinery.PathFinder.find_spec(name)
    if spec is None or not (spec.origin == "built-in" or _in_standard_library(spec.origin)):
        return UNKNOWN
    if str(spec.origin).endswith(".py"):  # it would be found as a file; nothing that is Python is imported
        return UNKNOWN
    module = importlib.import_module(name)
    return frozenset(getattr(module, "__all__", [each for each in dir(module) if not each.startswith("_")]))


def _in_standard_library(file: str | None) -> bool:
    import sysconfig

    places = {sysconfig.get_path(each) for each in ("stdlib", "platstdlib")}
    return file is not None and any(Path(place) in Path(file).parents for place in places if place)


def _found(name: str, within: Roots) -> Module | None:
    """The file of a module, where the import path has it first; nothing is imported to find it."""
    parts = name.split(".")
    for root in within:
        base = Path(root, *parts)
        for file in (base / "__init__.py", base.parent / f"{base.name}.py"):
            try:
                if file.is_file() and file.stat().st_size <= LARGEST:
                    return Module(name, file)
            except (OSError, ValueError):
                continue
    return None


def _tree(file: Path) -> ast.Module | None:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(file.read_bytes())
    except (*edits.TOO_MUCH, OSError):
        return None


class _Reading:
    """A module's top level, statement by statement: what it binds, and what `__all__` comes to."""

    def __init__(self, module: Module, within: Roots, depth: int) -> None:
        self.module, self.within, self.depth = module, within, depth
        self.bound: set[str] = set()
        self.values: dict[str, set[str]] = {}  # collections of texts by name
        self.modules: dict[str, str] = {}  # modules by the name they are bound to
        self.functions: dict[str, ast.AST] = {}

    def of(self, tree: ast.Module) -> frozenset[str]:
        for statement in _statements(tree.body):
            self.read(statement)
        if "__all__" in self.values:
            return frozenset(self.values["__all__"])
        return frozenset(name for name in self.bound if not name.startswith("_"))

    def read(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self.assign(target, node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self.assign(node.target, node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self.more(node.target.id, self.texts(node.value))
        elif isinstance(node, ast.Import):
            self.import_(node)
        elif isinstance(node, ast.ImportFrom):
            self.import_from(node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self.bound.add(node.name)
            self.functions[node.name] = node
        elif isinstance(node, ast.Delete):
            self.bound -= {each.id for each in node.targets if isinstance(each, ast.Name)}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            self.call(node.value)
        else:
            self.bound |= _stored(node)

    def assign(self, target: ast.expr, value: ast.expr) -> None:
        self.bound |= _stored(target)
        if isinstance(target, ast.Name):
            told = self.texts(value)
            if told != UNKNOWN or target.id == "__all__":
                self.values[target.id] = told

    def more(self, name: str, told: set[str]) -> None:
        if name in self.values:
            self.values[name] = self.values[name] | told

    def call(self, node: ast.Call) -> None:
        """`__all__.extend(...)` and its like, and a function of the module's own that adds those of another."""
        made = node.func
        if isinstance(made, ast.Attribute) and isinstance(made.value, ast.Name) and node.args:
            name, first = made.value.id, node.args[0]
            if made.attr in ("extend", "update"):
                self.more(name, self.texts(first))
            elif made.attr in ("append", "add"):
                self.more(name, self.texts(ast.List([first], ast.Load())))
            elif made.attr == "remove" and isinstance(first, ast.Constant):
                self.values[name] = self.values.get(name, set()) - {str(first.value)}
        elif isinstance(made, ast.Name) and made.id in self.functions and "__all__" in self.values:
            used = {each.id for each in ast.walk(self.functions[made.id]) if isinstance(each, ast.Name)}
            if "__all__" in used:
                for each in node.args:
                    self.more("__all__", self.texts(ast.Attribute(each, "__all__", ast.Load())))

    def import_(self, node: ast.Import) -> None:
        for alias in node.names:
            first = alias.name.partition(".")[0]
            self.bound.add(alias.asname or first)
            self.modules[alias.asname or first] = alias.name if alias.asname else first

    def import_from(self, node: ast.ImportFrom) -> None:
        source = self.source(node)
        if node.level == 1 and node.module and self.module.file.name == "__init__.py":
            self.bound.add(node.module.partition(".")[0])  # a package has its modules once they are imported
        for alias in node.names:
            if alias.name == "*":
                self.bound |= UNKNOWN if source is None else of(source, self.within, self.depth + 1)
                continue
            name = alias.asname or alias.name
            self.bound.add(name)
            if source is not None:
                self.modules[name] = f"{source}.{alias.name}"
            if alias.name == "__all__" and source is not None:
                self.values[name] = set(of(source, self.within, self.depth + 1))

    def source(self, node: ast.ImportFrom) -> str | None:
        if not node.level:
            return node.module
        parts = self.module.package.split(".") if self.module.package else []
        base = parts[: len(parts) - node.level + 1]
        return ".".join([*base, *([node.module] if node.module else [])]) if base else None

    def texts(self, node: ast.expr) -> set[str]:
        """The texts of a collection, MORE for what can't be told without running something."""
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return set().union(*[self.element(each) for each in node.elts])
        if isinstance(node, ast.BinOp):
            left, right = self.texts(node.left), self.texts(node.right)
            return left - (right - UNKNOWN) if isinstance(node.op, ast.Sub) else left | right
        if isinstance(node, ast.Name):
            return self.values.get(node.id, set(UNKNOWN))
        if isinstance(node, ast.Attribute) and node.attr == "__all__":
            return self.of_module(node.value)
        if isinstance(node, ast.Call):
            return self.called(node)
        if isinstance(node, ast.ListComp) and "globals" in ast.dump(node.generators[0].iter):
            return {each for each in self.bound - set(self.modules) if not each.startswith("_")}
        return set(UNKNOWN)

    def called(self, node: ast.Call) -> set[str]:
        """`list(names)`, `names.copy()`, and the standard library's own `_get_exports_list(module)`."""
        made, first = node.func, node.args[0] if node.args else None
        name = made.id if isinstance(made, ast.Name) else made.attr if isinstance(made, ast.Attribute) else ""
        if isinstance(made, ast.Attribute) and name == "copy":
            return self.texts(made.value)
        if name == "_get_exports_list" and first is not None:
            return self.of_module(first)
        if isinstance(made, ast.Name) and name in ("list", "set", "tuple", "sorted", "frozenset"):
            return set() if first is None else self.texts(first)
        return set(UNKNOWN)

    def element(self, node: ast.expr) -> set[str]:
        if isinstance(node, ast.Starred):
            return self.texts(node.value)
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        return {node.value} if is_text else set(UNKNOWN)  # type: ignore[attr-defined]

    def of_module(self, node: ast.expr) -> set[str]:
        """The names of a module that an expression names."""
        dotted, parts = node, []
        while isinstance(dotted, ast.Attribute):
            parts.append(dotted.attr)
            dotted = dotted.value
        if not isinstance(dotted, ast.Name) or dotted.id not in self.modules:
            return set(UNKNOWN)
        name = ".".join([self.modules[dotted.id], *reversed(parts)])
        return set(of(name, self.within, self.depth + 1))


def _stored(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module's own scope, those within if, try, with and loops too."""
    for node in body:
        if isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While)):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                continue
            yield from _statements(node.body)
            yield from _statements(getattr(node, "orelse", []))
            for handler in getattr(node, "handlers", []):
                yield from _statements(handler.body)
            yield from _statements(getattr(node, "finalbody", []))
            if isinstance(node, (ast.For, ast.With)):
                heads = [node.target] if isinstance(node, ast.For) else [each.optional_vars for each in node.items]
                for head in heads:
                    if head is not None:
                        yield ast.copy_location(ast.Assign([head], ast.Constant(None)), node)
        else:
            yield node

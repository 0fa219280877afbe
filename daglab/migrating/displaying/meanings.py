"""What the names in a notebook's code stand for: `HTML` or `display.HTML`, as imported, is `IPython.display.HTML`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from daglab.migrating import cells, edits

# Where IPython and ipywidgets keep the same things under other names.
_SAME = (
    ("IPython.core.display_functions.", "IPython.display."),
    ("IPython.core.display.", "IPython.display."),
    ("IPython.lib.display.", "IPython.display."),
    ("IPython.core.getipython.", "IPython."),
    ("IPython.core.interactiveshell.", "IPython."),
    ("IPython.terminal.interactiveshell.", "IPython."),
    ("ipywidgets.widgets.", "ipywidgets."),
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
BUILTINS = {"display": "IPython.display.display", "get_ipython": "IPython.get_ipython"}  # there without an import
# What `import *` brings of these modules, as far as it matters here.
STARS = {
    "IPython.display": [
        "Audio",
        "Code",
        "FileLink",
        "FileLinks",
        "GeoJSON",
        "HTML",
        "IFrame",
        "Image",
        "JSON",
        "Javascript",
        "Latex",
        "Markdown",
        "Math",
        "Pretty",
        "ProgressBar",
        "SVG",
        "Video",
        "YouTubeVideo",
        "clear_output",
        "display",
        "update_display",
    ],
    "ipywidgets": [
        "BoundedFloatText",
        "BoundedIntText",
        "Checkbox",
        "ColorPicker",
        "DatePicker",
        "Dropdown",
        "FileUpload",
        "FloatRangeSlider",
        "FloatSlider",
        "FloatText",
        "HBox",
        "HTML",
        "IntRangeSlider",
        "IntSlider",
        "IntText",
        "Label",
        "Password",
        "RadioButtons",
        "Select",
        "SelectMultiple",
        "Text",
        "Textarea",
        "ToggleButton",
        "ToggleButtons",
        "VBox",
        "fixed",
        "interact",
        "interact_manual",
    ],
}


def same(dotted: str) -> str:
    """One name for what has several."""
    for old, new in _SAME:
        if dotted.startswith(old):
            return new + dotted.removeprefix(old)
    return dotted


def imported(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """The names that an import binds, and what each stands for; nothing for a relative one."""
    if isinstance(node, ast.Import):
        return {
            alias.asname or alias.name.split(".")[0]: same(alias.name) if alias.asname else alias.name.split(".")[0]
            for alias in node.names
        }
    if node.level or not node.module:
        return {}
    found = {alias.asname or alias.name: same(f"{node.module}.{alias.name}") for alias in node.names}
    if found.pop("*", None):
        module = same(f"{node.module}.").removesuffix(".")
        found |= {name: f"{module}.{name}" for name in STARS.get(module, ())}
    return found


def each(
    drafted: Iterable[cells.Cell], known: dict[str, str] | None = None
) -> Iterator[tuple[cells.Cell, ast.Module | None, dict[ast.AST, str]]]:
    """Cells from the first on, each with its tree and what `of` tells of it; None and nothing for what is no Python."""
    known = dict(BUILTINS) if known is None else known
    for cell in drafted:
        tree = edits.parsed(cell.code) if cell.kind == "code" else None
        yield cell, tree, of(tree, known) if tree else {}


def of(tree: ast.AST, known: dict[str, str]) -> dict[ast.AST, str]:
    """What the names and dotted names of a cell stand for; `known` goes in as it is before the cell, out as after.

    A name that a function or the notebook binds to something of its own stands for nothing.
    """
    found: dict[ast.AST, str] = {}
    for statement in getattr(tree, "body", ()):
        stored: set[str] = set()
        stack: list[tuple[ast.AST, frozenset[str]]] = [(statement, frozenset())]
        while stack:
            node, own = stack.pop()
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                known.update(imported(node))
                continue
            if isinstance(node, (ast.Name, ast.Attribute)) and (meaning := _dotted(node, known, own)):
                found[node] = meaning
                continue
            if not own:
                stored |= bound(node)
            inner = own | _locals(node) if isinstance(node, _FUNCTIONS) else own
            stack += [(child, inner) for child in reversed(edits.children(node))]
        for name in stored:
            known.pop(name, None)
    return found


def _dotted(node: ast.Name | ast.Attribute, known: Mapping[str, str], own: frozenset[str]) -> str | None:
    if not isinstance(node.ctx, ast.Load):
        return None
    names: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        names.append(inner.attr)
        inner = inner.value
    if not isinstance(inner, ast.Name) or inner.id in own or inner.id not in known:
        return None
    return same(".".join([known[inner.id], *reversed(names)]))


def bound(node: ast.AST) -> set[str]:
    """The names that a node by itself binds, but for those of imports."""
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, (ast.Store, ast.Del)) else set()
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    return {node.name} if isinstance(node, ast.ExceptHandler) and node.name else set()


def _locals(function: ast.AST) -> frozenset[str]:
    """The names that a function binds for itself, those of functions within it too; `\\0` stands for being in one."""
    found = {"\0"}
    shared: set[str] = set()
    for node in edits.walk(function):
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Global):
            shared.update(node.names)
        elif node is not function:
            found |= bound(node)
    return frozenset(found - shared)


def mentioned(drafted: Iterable[cells.Cell], *words: str) -> bool:
    """Whether the code of any cell has one of these words at all, which is known without reading it as Python."""
    return any(word in cell.code for cell in drafted if cell.kind == "code" for word in words)


def names(tree: ast.AST) -> Iterator[str]:
    """All names that a cell's code has, once for each time."""
    for node in edits.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield from node.names
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)

"""Cells that change what a name of another cell holds: in place, so that marimo sees no new binding."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from daglab.migrating import edits
from daglab.migrating.naming import bindings, scopes

# Methods that change their object, as far as lists, dicts, sets, frames, arrays, models and axes go.
_CHANGING = frozenset(
    {"append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "update", "add", "discard"}
    | {"setdefault", "popitem", "appendleft", "popleft", "rotate", "fit", "partial_fit", "fit_transform", "train"}
    | {"compile", "load_state_dict", "add_module", "fill", "put", "resize", "setflags", "seed", "shuffle", "step"}
    | {"plot", "scatter", "bar", "barh", "hist", "imshow", "legend", "axhline", "axvline", "fill_between", "grid"}
    | {"set", "set_title", "set_xlabel", "set_ylabel", "set_xlim", "set_ylim", "set_index_names", "add_trace"}
    | {"update_layout", "update_traces", "add_node", "add_edge", "add_nodes_from", "add_edges_from", "write"}
    | {"writerow", "writerows", "put_nowait", "subtract", "move_to_end", "intersection_update", "difference_update"}
)
# Those draw on what axes hold; frames have them too, and stay as they are.
_DRAWING = frozenset({"plot", "scatter", "bar", "barh", "hist", "boxplot"})
_FRAMES = ("pandas", "polars", "geopandas")
# Functions that change what they are given first.
_ON_FIRST = frozenset({"shuffle", "heappush", "heappop", "heapify", "insort", "insort_left", "insort_right", "setattr"})


def frames(trees: Iterable[ast.Module]) -> set[str]:
    """The names that hold nothing but what comes from pandas or polars: tables, columns, numbers of them."""
    modules: set[str] = set()
    values: dict[str, list[ast.expr]] = {}
    stores: Counter[str] = Counter()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            modules |= {each.asname or each.name for each in node.names if each.name in _FRAMES}
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            values.setdefault(node.targets[0].id, []).append(node.value)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            stores[node.id] += 1
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            stores[node.name] += 1
        elif isinstance(node, ast.arg):
            stores[node.arg] += 1
    left = {name for name, given in values.items() if stores[name] == len(given)}
    while True:
        kept = {name for name in left if all(_from(each, modules | left) for each in values[name])}
        if kept == left:
            return left
        left = kept


def _from(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is a chain of calls, attributes and places that starts at one of the names."""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute) and node.attr in _DRAWING:
            return False
        if not isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
            return False
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id in names


def changed(found: bindings.Binding, frames: AbstractSet[str] = frozenset()) -> set[str]:
    """The names of the notebook whose objects a cell changes at once, as far as its text tells."""
    names: set[str] = set()
    for statement in found.tree.body:
        for node in _at_once(statement):
            drawn = isinstance(node, ast.Call) and scopes.last_name(node.func) in _DRAWING
            names |= _changed_by(node) - (frames if drawn else frozenset())
    return names & {mention.name for mention in found.mentions if mention.unit is None} - found.bound


def _at_once(node: ast.AST) -> Iterable[ast.AST]:
    """All nodes that are evaluated when the cell runs."""
    yield node
    for child in edits.children(node):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            yield from _at_once(child)


def _changed_by(node: ast.AST) -> set[str]:
    if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
        return scopes.roots([node])
    if not isinstance(node, ast.Call):
        return set()
    called = scopes.last_name(node.func)
    if isinstance(node.func, ast.Attribute):
        inplace = any(
            each.arg == "inplace" and isinstance(each.value, ast.Constant) and each.value.value is True
            for each in node.keywords
        )
        if inplace or called in _CHANGING - {"shuffle", "seed"}:
            return scopes.roots([node.func])
    return scopes.roots(node.args[:1]) if called in _ON_FIRST else set()

"""Names of variables in texts: `eval("x + 1")`, `globals()[f"x{i}"]`, and those that no text tells."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence

from daglab.migrating.naming import bindings, scopes

_WORD = re.compile(r"[^\W\d]\w*")
# Their text arguments name variables when they run.
_TEXTS = frozenset({"eval", "exec", "query", "sql", "execute"})
_SPACES = frozenset({"globals", "locals", "vars"})
_ALL = _SPACES | {"eval", "exec", "dir"}


def settle(found: Sequence[bindings.Binding | None]) -> None:
    """Say of each cell which names its texts mean; where any may be meant, the texts of all cells count."""
    known = [each for each in found if each is not None]
    every = []
    for each in known:
        each.texts, any_name = _named(each.tree)
        if any_name:
            every.append(each)
    if not every:
        return
    bound = {name for each in known for name in each.bound}
    said = {word for each in known for word in _said(each.tree)}
    meant = {name for name in bound if name in said or name.rstrip("0123456789") in said}
    for each in every:
        parts = _parts(each.tree)
        each.texts |= meant | {name for name in bound if any(name.startswith(it) or name.endswith(it) for it in parts)}
        each.computed = any(_computes(node) for node in ast.walk(each.tree))


def _named(tree: ast.Module) -> tuple[set[str], bool]:
    """Words in texts that name variables when they run, and whether any variable may be named so."""
    found: set[str] = set()
    every = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = scopes.last_name(node.func)
            bare = isinstance(node.func, ast.Name)
            given = [each.value for each in node.args if isinstance(each, ast.Constant)]
            texts = [each for each in given if isinstance(each, str)]
            if name in _TEXTS:
                for text in texts:
                    found.update(re.findall(r"@(\w+)", text) if name == "query" else _WORD.findall(text))
                found |= _in_fstrings(node.args)
            every = every or (bare and name in _ALL and not texts and not (node.args and name in ("vars", "dir")))
    return found, every


def _in_fstrings(nodes: Iterable[ast.AST]) -> set[str]:
    return {
        word
        for node in nodes
        if isinstance(node, ast.JoinedStr)
        for part in node.values
        if isinstance(part, ast.Constant)
        for word in _WORD.findall(str(part.value))
    }


def _said(tree: ast.Module) -> set[str]:
    """All words of all texts."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {word for text in texts for word in _WORD.findall(text)}


def _parts(tree: ast.Module) -> set[str]:
    """What f-strings that make a single word have outside of their braces."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [str(each.value) for each in node.values if isinstance(each, ast.Constant)]
            if all(re.fullmatch(r"\w+", part) for part in parts):
                found.update(parts)
    return found


def _computes(node: ast.AST) -> bool:
    """Whether the text that names a variable here is made when it runs."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
        return len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Constant)
    if isinstance(node, ast.Subscript):
        return _space(node.value) and not isinstance(node.slice, ast.Constant)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _space(node.func.value):
        return node.func.attr in ("get", "pop", "update") and not isinstance((*node.args, node)[0], ast.Constant)
    return False


def _space(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and not node.args and scopes.last_name(node.func) in _SPACES

"""Changes to Python text at places that the syntax tree names; all else, comments too, stays as it was written."""

from __future__ import annotations

import ast
import functools
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

TEXTS, LONG = 4096, 20_000  # of how many is remembered whether they are Python, and of how many characters at most
_PLAIN = {"id", "ctx", "attr", "arg", "op", "ops", "asname", "module", "level", "type_comment", "kind"}
TOO_MUCH = (SyntaxError, ValueError, RecursionError, MemoryError)  # what ast.parse and compile raise for a text


@dataclass(frozen=True)
class Edit:
    """Characters `start` to `end` of a text become `new`; an insertion has both alike."""

    start: int
    end: int
    new: str


def parsed(code: str) -> ast.Module | None:
    """The tree of a cell's code, a top-level await or return included where Python takes it; None for no Python.

    It is the caller's own: no other has its nodes.
    """
    if not (_compiles(code) if len(code) < LONG else _compiles.__wrapped__(code)):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes
        try:
            return ast.parse(code)
        except TOO_MUCH:
            return None


@functools.lru_cache(maxsize=TEXTS)  # every stage asks it of every cell
def _compiles(code: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(code, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except TOO_MUCH:
            return False
    return True


def children(node: ast.AST) -> list[ast.AST]:
    """What `ast.iter_child_nodes` gives but for operators and contexts, in a fraction of its time."""
    found: list[ast.AST] = []
    kind: Any = type(node)
    for name in _fields(kind):
        value: Any = getattr(node, name, None)
        if isinstance(value, list):
            found += [each for each in value if isinstance(each, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def walk(node: ast.AST) -> list[ast.AST]:
    """What `ast.walk` gives, in its order, but for operators and contexts."""
    found = [node]
    for each in found:  # which grows meanwhile
        found += children(each)
    return found


@functools.cache
def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """Where nodes of a kind may have nodes within."""
    return () if kind is ast.Constant else tuple(name for name in kind._fields if name not in _PLAIN)


def apply(code: str, edits: Iterable[Edit]) -> str:
    """The text with all edits, which must not overlap; of two insertions at one place the first stands first."""
    pieces, at = [], 0
    for edit in sorted(edits, key=lambda each: (each.start, each.end)):
        pieces += [code[at : edit.start], edit.new]
        at = edit.end
    return "".join([*pieces, code[at:]])


class Places:
    """Where nodes of a tree stand in its text, in characters; not what is in an f-string before Python 3.12."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.lines = code.split("\n")  # as Python counts them: a form feed begins none
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def at(self, line: int, column: int) -> int:
        """The character at a line from 1 and a column in bytes of UTF-8."""
        text = self.lines[line - 1]
        within = column if text.isascii() else len(text.encode()[:column].decode(errors="replace"))
        return self.starts[line - 1] + within

    def span(self, node: ast.AST) -> tuple[int, int]:
        """From which character to which a node goes."""
        begin = self.at(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        return begin, self.at(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=4)  # a cell is asked about many times in a row
def _places(code: str) -> Places:
    return Places(code)


def span(code: str, node: ast.AST) -> tuple[int, int]:
    """From which character of the text to which a node goes, as `Places` tells it."""
    return _places(code).span(node)


def replaced(code: str, tree: ast.Module, new: Mapping[ast.expr, str]) -> str:
    """The text with expressions of its tree replaced; none of them may lie within another.

    Before Python 3.12 the tree does not tell where what is in an f-string stands: the whole f-string is written anew.
    """
    edits: list[Edit] = []

    def walk(node: ast.AST) -> None:
        if node in new:
            edits.append(Edit(*span(code, node), new[node]))  # type: ignore[index]
        elif isinstance(node, ast.JoinedStr) and sys.version_info < (3, 12):
            inner = {each for each in ast.walk(node) if each in new}
            if inner:
                edits.append(Edit(*span(code, node), ast.unparse(_Replacing(new).visit(node))))
        else:
            for child in ast.iter_child_nodes(node):
                walk(child)

    walk(tree)
    return apply(code, edits)


class _Replacing(ast.NodeTransformer):
    """A tree with some expressions replaced by what a text says."""

    def __init__(self, new: Mapping[ast.expr, str]) -> None:
        self.new = new

    def visit(self, node: ast.AST) -> ast.AST:
        if node in self.new:
            text: str = self.new[node]  # type: ignore[index]
            return ast.parse(text, mode="eval").body
        visited: ast.AST = self.generic_visit(node)
        return visited

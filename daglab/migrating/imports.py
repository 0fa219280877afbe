"""Modules that rewritten code needs.

Whoever writes code into a cell writes `daglab__mo.md(...)`, whatever the notebook calls its own things; `settle`, the
last stage, puts the names in that are free by then, and imports them once.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterable, Sequence

from daglab.migrating import cells, edits

PREFIX = "daglab__"
# Name by which it is used -> the line that imports it.
LINES = {
    "DisplayHandle": "from IPython.display import DisplayHandle",
    "asyncio": "import asyncio",
    "cProfile": "import cProfile",
    "contextlib": "import contextlib",
    "display": "from IPython.display import display",
    "get_ipython": "from IPython import get_ipython",
    "helpers": "from daglab import helpers",
    "io": "import io",
    "json": "import json",
    "logging": "import logging",
    "mo": "import marimo as mo",
    "os": "import os",
    "pathlib": "import pathlib",
    "pstats": "import pstats",
    "plt": "import matplotlib.pyplot as plt",
    "runpy": "import runpy",
    "shlex": "import shlex",
    "sqlalchemy": "import sqlalchemy",
    "statistics": "import statistics",
    "subprocess": "import subprocess",
    "sys": "import sys",
    "time": "import time",
    "timeit": "import timeit",
    "traceback": "import traceback",
    "types": "import types",
    "update_display": "from IPython.display import update_display",
}
_USED = re.compile(rf"\b{PREFIX}(\w+)\b")


def wanted(drafted: Iterable[cells.Cell]) -> set[str]:
    """The names that must come to mean these modules; markdown needs marimo's."""
    each = list(drafted)
    found = {name for cell in each if cell.kind == "code" for name in _USED.findall(cell.code) if name in LINES}
    return found | ({"mo"} if any(cell.kind != "code" for cell in each) else set())


def is_placeholder(code: str) -> bool:
    """Whether a notebook's own code has a name that `settle` would take for one of daglab's."""
    return PREFIX in code and _named(code) != code


def settle(draft: cells.Draft) -> cells.Draft:
    """Put the names in, and a first cell before the others that imports them.

    By then nothing in the notebook is called like one of `wanted` but by the very same import, which is taken out
    where it stands: its cell may come after one that needs it, and depend on that.
    """
    # What has no cell at all gets the one that every notebook of marimo's begins with.
    lines = sorted(LINES[name] for name in (wanted(draft.cells) if draft.cells else {"mo"}))
    settled = [_settled(cell, lines) if cell.kind == "code" else cell for cell in draft.cells]
    first = [cells.Cell("\n".join(lines), hidden=False)] if lines else []
    kept = [cell for cell, was in zip(settled, draft.cells, strict=True) if cell.code.strip() or not was.code.strip()]
    return dataclasses.replace(draft, cells=(*first, *kept))


def _settled(cell: cells.Cell, lines: Sequence[str]) -> cells.Cell:
    """A cell with the modules' names in it, and without these imports."""
    code = _named(cell.code)
    tree = edits.parsed(code) if lines and "import" in code else None
    changes = []
    for node in tree.body if tree else ():
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            rest = [alias for alias in node.names if _line(node, alias) not in lines]
            if len(rest) < len(node.names):
                changes.append(_change(code, node, rest))
    return dataclasses.replace(cell, code=edits.apply(code, changes))


def _named(code: str) -> str:
    """The code with the modules' names; what looks like a placeholder in a text is the notebook's own."""
    tree = edits.parsed(code) if PREFIX in code else None
    if tree is None:
        return code
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id.startswith(PREFIX)]
    new: dict[ast.expr, str] = {node: node.id.removeprefix(PREFIX) for node in found}
    return edits.replaced(code, tree, {node: name for node, name in new.items() if name in LINES})


def _line(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    """One import of a statement, by itself."""
    single = type(node)(**{**{name: getattr(node, name) for name in node._fields}, "names": [alias]})
    return ast.unparse(single)


def _change(code: str, node: ast.Import | ast.ImportFrom, rest: list[ast.alias]) -> edits.Edit:
    """A statement with the rest of its imports; without any, its line goes, when nothing else stands on it."""
    start, end = edits.span(code, node)
    if rest:
        left = type(node)(**{**{name: getattr(node, name) for name in node._fields}, "names": rest})
        return edits.Edit(start, end, ast.unparse(left))
    line, stop = code.rfind("\n", 0, start) + 1, code.find("\n", end)
    stop = len(code) if stop < 0 else stop + 1
    if code[line:start].strip() or code[end:stop].strip():
        return edits.Edit(start, end, "pass")
    return edits.Edit(line, stop, "")

"""`from __future__ import ...`, which marimo's cells can't hold: what it means for annotations is written out."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator

from daglab.migrating import cells, edits
from daglab.migrating.naming import bindings, renaming


def apply(draft: cells.Draft) -> cells.Draft:
    """The draft without such imports; in IPython they hold for all cells below, too, where annotations become texts."""
    made: list[cells.Cell] = []
    notes: list[cells.Note] = []
    quoting = False
    for cell in draft.cells:
        if cell.kind != "code" or not (quoting or "__future__" in cell.code):
            made.append(cell)
            continue
        code = bindings.lines(cell.code)
        tree = edits.parsed(code)
        said = [node for node in tree.body if _is_future(node)] if tree is not None else []
        quoting = quoting or any(alias.name == "annotations" for node in said for alias in node.names)  # type: ignore[attr-defined]
        if tree is None or not (said or quoting):
            made.append(cell)
            continue
        places = edits.Places(code)
        changes = [renaming.gone(code, *places.span(node)) for node in said]
        changes += [_quoted(places, each) for each in (_annotations(tree) if quoting else ())]
        if said:
            more = "; annotations below are texts instead" if quoting else ", and Python 3 does so anyway"
            text = f"Took away `from __future__ import`, which a cell can't hold{more}."
            notes.append(cells.Note("name", text, next(iter(cell.origins), None)))
        code = edits.apply(code, changes) if changes else cell.code
        if edits.parsed(code) is not None and ast.parse(code).body:
            made.append(dataclasses.replace(cell, code=code))
    return cells.with_notes(dataclasses.replace(draft, cells=tuple(made)), *notes)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _annotations(tree: ast.Module) -> Iterator[ast.expr]:
    """All annotations that Python would evaluate, and no text yet."""
    for node in ast.walk(tree):
        found = []
        if isinstance(node, ast.arg):
            found = [node.annotation]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found = [node.returns]
        elif isinstance(node, ast.AnnAssign):
            found = [node.annotation]
        for each in found:
            if each is not None and not isinstance(each, ast.Constant):
                yield each


def _quoted(places: edits.Places, node: ast.expr) -> edits.Edit:
    return edits.Edit(*places.span(node), repr(ast.unparse(node)))

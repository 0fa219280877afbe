"""A marimo notebook's cells with calls at their beginning and end, which tell what each of them prints and shows."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from daglab.migrating import cells, edits

KINDS = ("cell", "function", "class_definition")


@dataclass(frozen=True)
class Found:
    """A cell of a marimo notebook's file: "cell", "function" or "class_definition", and its text without spaces."""

    kind: str
    text: str


@dataclass(frozen=True)
class Probed:
    """A notebook's text with the calls in it, `daglab__begin(N)` and `daglab__end(N, VALUE)`; N counts `found`."""

    text: str
    found: tuple[Found, ...]


def probe(text: str) -> Probed | None:
    """Put the calls in, all else stays; None for what is no marimo notebook that this Python can read."""
    tree = edits.parsed(text)
    if tree is None:
        return None
    found: list[Found] = []
    changes: list[edits.Edit] = []
    for node in tree.body:
        kind = _kind(node)
        if kind and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and kind == "cell":
            begin, end, probing = _probed(text, node, len(found))
            changes += probing
            found.append(Found(kind, _bare(text[begin:end])))
        elif kind:
            found.append(Found(kind, _bare(text[slice(*edits.span(text, node))])))
    return Probed(edits.apply(text, changes), tuple(found))


def places(found: Sequence[Found], draft: cells.Draft) -> list[int | None]:
    """Which of the draft's cells each found one is, by order and text; None for one that is none of them."""
    wanted = [_bare(cell.code) for cell in draft.cells]
    if len(found) == len(wanted):
        return list(range(len(wanted)))
    at: list[int | None] = [None] * len(found)
    matcher = difflib.SequenceMatcher(None, [each.text for each in found], wanted, autojunk=False)
    for block in matcher.get_matching_blocks():
        for n in range(block.size):
            at[block.a + n] = block.b + n
    return at


def _kind(node: ast.stmt) -> str | None:
    for each in getattr(node, "decorator_list", ()):
        name = each.func if isinstance(each, ast.Call) else each
        if isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name) and name.value.id == "app":
            return name.attr if name.attr in KINDS else None
    return None


def _probed(text: str, node: ast.FunctionDef | ast.AsyncFunctionDef, number: int) -> tuple[int, int, list[edits.Edit]]:
    """Where a cell's own code stands, and the calls that go into it."""
    first, indent = _start(text, node.body[0]), " " * node.body[0].col_offset
    changes = [edits.Edit(first, first, f"daglab__begin({number})\n{indent}")]
    own = node.body[:-1] if isinstance(node.body[-1], ast.Return) else node.body
    if not own:
        changes.append(edits.Edit(first, first, f"daglab__end({number})\n{indent}"))
        return first, first, changes
    last = own[-1]
    begin, end = edits.span(text, last)
    if isinstance(last, ast.Expr) and not text[end:].lstrip(" \t").startswith(";"):
        begin, end_of_value = edits.span(text, last.value)
        changes.append(edits.Edit(begin, begin, f"daglab__end({number}, ("))
        changes.append(edits.Edit(end_of_value, end_of_value, "))"))
    else:
        changes.append(edits.Edit(end, end, f"\n{indent}daglab__end({number})"))
    return first, end, changes


def _start(text: str, node: ast.stmt) -> int:
    """Where a statement begins, its decorators included."""
    for each in getattr(node, "decorator_list", ())[:1]:
        return text.rindex("@", 0, edits.span(text, each)[0])
    return edits.span(text, node)[0]


def _bare(code: str) -> str:
    return "".join(code.split())

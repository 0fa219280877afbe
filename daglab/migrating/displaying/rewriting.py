"""One cell's code being rewritten, call by call, from the inside out."""

from __future__ import annotations

import ast
import sys
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from daglab.migrating import edits


@dataclass
class Source:
    """Code, where the nodes of its tree stand, and the edits so far."""

    code: str
    made: list[edits.Edit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.places = edits.Places(self.code)
        self.span = self.places.span

    def text(self, node: ast.AST) -> str:
        """The text of a node, with the edits within it."""
        begin, end = self.span(node)
        inside = []
        for edit in reversed(self.made):
            if not begin <= edit.start <= edit.end <= end:
                if edit.end <= begin:
                    break
                continue
            inside.append(edits.Edit(edit.start - begin, edit.end - begin, edit.new))
        return edits.apply(self.code[begin:end], reversed(inside))

    def replace(self, node: ast.AST, new: str) -> None:
        """Put `new`, made of the texts of what is within, in a node's place."""
        begin, end = self.span(node)
        while self.made and begin <= self.made[-1].start and self.made[-1].end <= end:
            self.made.pop()
        self.made.append(edits.Edit(begin, end, new))

    def edited(self) -> str:
        """The code with all edits."""
        return edits.apply(self.code, self.made)

    def without(self, statement: ast.stmt, new: str = "") -> edits.Edit:
        """The edit that takes a statement out, its line too if it has one of its own, else it becomes `pass`."""
        begin, end = self.span(statement)
        first = self.places.starts[statement.lineno - 1]
        number = bisect_left(self.places.starts, end)
        last = min(self.places.starts[number] if self.places.starts[number] > end else end, len(self.code))
        rest = self.code[end:last].strip()
        if statement.col_offset == 0 and self.code[first:begin] == "" and (not rest or rest.startswith("#")):
            return edits.Edit(first, last, new and f"{new}\n")
        return edits.Edit(begin, end, new or "pass")


def upwards(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes, what is within before what is around; nothing within an f-string whose parts have no places."""
    stack = [(tree, False)]
    while stack:
        node, done = stack.pop()
        if done:
            yield node
        elif not (isinstance(node, ast.JoinedStr) and sys.version_info < (3, 12)):
            stack.append((node, True))
            stack += [(child, False) for child in reversed(edits.children(node))]


def arguments(call: ast.Call, parameters: str) -> dict[str, ast.expr] | None:
    """A call's arguments by the names of `parameters`; None for those it has not, for `*` and `**`."""
    names = parameters.split()
    if len(call.args) > len(names) or any(isinstance(each, ast.Starred) for each in call.args):
        return None
    found = dict(zip(names, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg not in names or keyword.arg in found:
            return None
        found[keyword.arg] = keyword.value
    return found


def literal(node: ast.expr | None) -> object:
    """The value of a literal; Ellipsis where there is none."""
    if node is None:
        return ...
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, *edits.TOO_MUCH):
        return ...

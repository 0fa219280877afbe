"""Names that `from module import *` brings in, named one by one, since marimo must see who defines what."""

from __future__ import annotations

import ast
import builtins
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from daglab.migrating import cells, edits, glances, imports
from daglab.migrating.naming import public_names

WIDEST = 100  # characters of an import on one line
# What a kernel has besides Python's own names.
GIVEN = frozenset(dir(builtins)) | {
    "display",
    "get_ipython",
    "In",
    "Out",
    "exit",
    "quit",
    "_",
    "__",
    "___",
    "_ih",
    "_oh",
}


@dataclass(frozen=True)
class Star:
    """A star import: its cell's index and place there, the module, and the names that this is known to have."""

    index: int
    node: ast.ImportFrom
    module: str
    names: frozenset[str]

    @property
    def is_whole(self) -> bool:
        """Whether all of the module's names are known."""
        return public_names.MORE not in self.names


def apply(draft: cells.Draft) -> cells.Draft:
    """Replace each star import by the names that the notebook uses and the module has.

    A module's names are read from its file. What is bound nowhere must come from a module that can't be read; of
    several such modules the last is taken, and a person asked.
    """
    trees = {index: edits.parsed(cell.code) for index, cell in enumerate(draft.cells) if cell.kind == "code"}
    within = public_names.roots(draft.original.path.resolve().parent)
    stars = [
        Star(index, node, node.module or "", public_names.of(node.module or "", within))
        for index, tree in trees.items()
        if tree is not None
        for node in _stars(tree)
    ]
    if not stars:
        return draft
    sights = [glances.at(tree) for tree in trees.values() if tree is not None]
    bound = frozenset().union(*[each.bound for each in sights])
    used = frozenset().union(*[each.used for each in sights], _in_texts(trees))
    chosen = _chosen(stars, used, bound)
    notes = [note for star in stars for note in _notes(draft.cells[star.index], star, chosen[star], stars, used)]
    notes += [_computed(draft.cells[index]) for index, tree in trees.items() if tree is not None and _evaluates(tree)]
    changed = list(draft.cells)
    for index in {star.index for star in stars}:
        code = draft.cells[index].code
        own = [star for star in stars if star.index == index]
        new = [edits.Edit(*edits.span(code, star.node), _import(star, chosen[star], bound)) for star in own]
        changed[index] = dataclasses.replace(draft.cells[index], code=edits.apply(code, new))
    return cells.with_notes(dataclasses.replace(draft, cells=tuple(changed)), *notes)


def _stars(tree: ast.Module) -> Iterator[ast.ImportFrom]:
    """Those of the notebook's own scope; Python has no others. What is relative fails in a notebook anyhow."""
    for node in edits.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and node.names[0].name == "*":
            yield node


def _chosen(stars: list[Star], used: frozenset[str], bound: frozenset[str]) -> dict[Star, frozenset[str]]:
    """The names that each star import is to bring in."""
    known = frozenset().union(*[star.names for star in stars])
    open_ = {
        name
        for name in used - bound - known - GIVEN
        if not name.startswith(imports.PREFIX) and not (name.startswith("__") and name.endswith("__"))
    }
    unsure = [star for star in stars if not star.is_whole]
    chosen = {star: star.names & used for star in stars}
    if unsure:
        chosen[unsure[-1]] |= {name for name in open_ if not name.startswith("_")}
    return chosen


def _import(star: Star, names: frozenset[str], bound: frozenset[str]) -> str:
    if not names:  # what the import does besides is done as before
        first = star.module.partition(".")[0]
        return f"_ = __import__({star.module!r})" if first in bound else f"import {star.module}"
    line = f"from {star.module} import {', '.join(sorted(names))}"
    if len(line) <= WIDEST:
        return line
    return f"from {star.module} import (\n" + "".join(f"    {name},\n" for name in sorted(names)) + ")"


def _notes(
    cell: cells.Cell, star: Star, names: frozenset[str], stars: list[Star], used: frozenset[str]
) -> Iterator[cells.Note]:
    number = cell.origins[0] if cell.origins else None
    before = f"`from {star.module} import *`"
    told = ", ".join(f"`{name}`" for name in sorted(names))
    yield cells.Note("name", f"{before} names what is used of it: {told or 'nothing'}.", number)
    guessed = sorted(names - star.names)
    unsure = [each.module for each in stars if not each.is_whole]
    if guessed and len(set(unsure)) > 1:
        others = ", ".join(dict.fromkeys(unsure))
        text = f"Which of the modules {others} has {', '.join(guessed)} can't be told: {star.module} was taken."
        yield cells.Note("name", text, number, needs_person=True)
    if star.names == public_names.UNKNOWN and (hidden := sorted(used & SHADOWED)):
        text = f"{star.module} is not installed here: if it has its own {', '.join(hidden)}, import these, too."
        yield cells.Note("name", text, number, needs_person=True)


# Of Python's own names those that modules for numbers and for files have, too.
SHADOWED = frozenset({"abs", "all", "any", "divmod", "max", "min", "open", "pow", "round", "sum"})


def _in_texts(trees: dict[int, ast.Module | None]) -> frozenset[str]:
    """Names in texts that the notebook evaluates as Python."""
    found: set[str] = set()
    for tree in trees.values():
        for call in _evaluations(tree) if tree is not None else ():
            text = call.args[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                inner = edits.parsed(text.value.strip())
                found |= glances.at(inner).used if inner is not None else set()
    return frozenset(found)


def _evaluations(tree: ast.Module) -> Iterator[ast.Call]:
    for node in edits.walk(tree):
        is_named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if is_named and node.args and node.func.id in ("eval", "exec"):  # type: ignore[attr-defined]
            yield node  # type: ignore[misc]


def _evaluates(tree: ast.Module) -> bool:
    """Whether a text is evaluated that stands nowhere."""
    return any(not isinstance(call.args[0], ast.Constant) for call in _evaluations(tree))


def _computed(cell: cells.Cell) -> cells.Note:
    text = "A text is evaluated here: what it uses of a star import must be imported by name."
    return cells.Note("name", text, cell.origins[0] if cell.origins else None, needs_person=True)

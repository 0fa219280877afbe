"""Imports that only say again what an earlier cell has said: they go, as marimo wants each name bound once."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Collection, Iterable, Sequence

from daglab.migrating import cells, edits, imports
from daglab.migrating.naming import bindings, calls, renaming, scopes, spoken

Meaning = tuple[str, ...]


Found = list[bindings.Binding | None]


def apply(draft: cells.Draft, reserved: Collection[str]) -> tuple[cells.Draft, Found]:
    """The draft without imports that change nothing; `reserved` are names of imports that daglab may add.

    A cell of which nothing but comments is left goes altogether. What each cell binds and reads comes with it.
    """
    kept = calls.kept(cell.code for cell in draft.cells if _runs(cell))
    found = [bindings.read(bindings.lines(cell.code), kept) if _runs(cell) else None for cell in draft.cells]
    known = _added(draft, found, reserved)
    fixed = _written_by_functions(found)
    modules: set[str] = set()
    words = {word for cell in draft.cells for word in cell.code.split()}
    made: list[cells.Cell] = []
    left: Found = []
    notes: list[cells.Note] = []
    for cell, each in zip(draft.cells, found, strict=True):
        if each is None:
            made.append(cell)
            left.append(None)
            continue
        said = _said(each)
        again = {name for name, meaning in said.items() if known.get(name) == meaning and name not in fixed}
        code = _without(bindings.lines(cell.code), each.tree, again, modules, words) if again else None
        for name in each.bound | {mention.name for mention in each.mentions if mention.how == "delete"}:
            known[name] = said.get(name)
        modules |= _modules(each.tree)
        if code is None:
            made.append(cell)
            left.append(each)
            continue
        notes.append(
            cells.Note("name", f"Imported above already: {', '.join(sorted(again))}.", next(iter(cell.origins), None))
        )
        if ast.parse(code).body:
            made.append(dataclasses.replace(cell, code=code))
            left.append(bindings.read(code, kept))
    spoken.settle(left)
    return cells.with_notes(dataclasses.replace(draft, cells=tuple(made)), *notes), left


def _runs(cell: cells.Cell) -> bool:
    return cell.kind == "code" and not cell.disabled


def _added(
    draft: cells.Draft, found: Sequence[bindings.Binding | None], reserved: Collection[str]
) -> dict[str, Meaning | None]:
    """What daglab's own first cell imports, but for what the notebook itself imports in time, and only that."""
    added: dict[str, Meaning | None] = {}
    for name in reserved & imports.LINES.keys():
        meaning = next(m for n, m in scopes.imported(ast.parse(imports.LINES[name]).body[0]) if n == name)
        added[name] = meaning
        for cell, each in zip(draft.cells, found, strict=True):
            if f"{imports.PREFIX}{name}" in cell.code and not (each and _said(each).get(name) == meaning):
                break
            if each is None or name not in each.bound:
                continue
            if _said(each).get(name) == meaning and _only(found, name, meaning):
                del added[name]
            break
    return added


def _only(found: Iterable[bindings.Binding | None], name: str, meaning: Meaning) -> bool:
    return all(each is None or name not in each.bound or _said(each).get(name) == meaning for each in found)


def _written_by_functions(found: Iterable[bindings.Binding | None]) -> set[str]:
    return {
        mention.name
        for each in found
        if each is not None
        for mention in each.mentions
        if mention.unit is not None and mention.how in ("bind", "delete")
    }


def _said(each: bindings.Binding) -> dict[str, Meaning]:
    """The names that a cell binds by imports at its top only, always to the same."""
    top = {alias for node in each.tree.body if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names}
    other = {
        mention.name for mention in each.mentions if mention.how not in ("read", "global") and mention.node not in top
    }
    return {
        name: next(iter(meanings))
        for name, meanings in each.imports.items()
        if len(meanings) == 1 and name not in other
    }


def _modules(tree: ast.Module) -> set[str]:
    return {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}


def _without(code: str, tree: ast.Module, again: set[str], modules: set[str], words: set[str]) -> str:
    """The code without these imports; a submodule that was not imported yet still is, by a name of its own."""
    places = edits.Places(code)
    made = []
    for node in tree.body:
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        kept = []
        for alias in node.names:
            if (alias.asname or alias.name.split(".")[0]) not in again:
                kept.append(alias)
            elif (
                isinstance(node, ast.Import)
                and alias.asname is None
                and alias.name not in {*modules, alias.name.split(".")[0]}
            ):
                kept.append(ast.alias(alias.name, _own_name(alias.name, words)))
        if len(kept) == len(node.names) and all(one is other for one, other in zip(kept, node.names, strict=True)):
            continue
        begin, end = places.span(node)
        if kept:
            made.append(edits.Edit(begin, end, ast.unparse(_with(node, kept))))
        else:
            made.append(renaming.gone(code, begin, end))
    return edits.apply(code, made)


def _with(node: ast.Import | ast.ImportFrom, kept: list[ast.alias]) -> ast.stmt:
    if isinstance(node, ast.Import):
        return ast.Import(names=kept)
    return ast.ImportFrom(module=node.module, names=kept, level=node.level)


def _own_name(module: str, words: set[str]) -> str:
    made = module.replace(".", "_")
    while made in words:
        made += "_"
    words.add(made)
    return made

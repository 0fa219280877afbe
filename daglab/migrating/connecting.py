"""The cells of `scaffold` that connect to a deployment, show a target, launch it and follow its run."""

from __future__ import annotations

import ast
import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from daglab import errors, files
from daglab.authoring import scaffolds
from daglab.migrating import cells, edits, glances

TEMPLATE = "minimal"
LEFT_OUT = "exploration"  # the heading under which people are to write cells of their own


def apply(draft: cells.Draft, root: Path, target: scaffolds.Target, path: Path | str) -> cells.Draft:
    """The draft, all of whose names are settled, below the cells that a scaffolded notebook for the target has.

    `path` is the notebook's own, within the project at `root`. What the cells call by a name of the notebook's is
    called otherwise. Raises InvalidInput for a path outside of the project, and as `scaffolds.notebook` does.
    """
    own = files.inside(root, root / path)
    if own is None:
        raise errors.InvalidInput(
            f"{path} lies outside of the project {root}, whose deployment it is to connect to.",
            "Name a place within the project with --to.",
        )
    title = draft.original.title or draft.original.path.stem
    wishes = scaffolds.Wishes(TEMPLATE, title=title)
    added = _cells(scaffolds.notebook(root, target, str(own), wishes))
    added, renamed = _apart(added, draft.cells)
    notes = [cells.Note("dagster", f"Cells to connect, to launch {target.name} and to follow its run stand above.")]
    for name, other in renamed.items():
        notes.append(cells.Note("dagster", f"`{name}` is the notebook's own: the added cells say `{other}`."))
    return cells.with_notes(dataclasses.replace(draft, cells=(*added, *draft.cells)), *notes)


def _cells(notebook: str) -> list[cells.Cell]:
    """The cells of a marimo notebook's file, from the top."""
    lines = notebook.split("\n")
    found = []
    for node in ast.parse(notebook).body:
        if isinstance(node, ast.With):
            found.append(cells.Cell(_block(lines, node.lineno, node.end_lineno)))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name != LEFT_OUT:
            kind = next((each for each in node.decorator_list if "app" in ast.unparse(each)), None)
            if kind is None or not ast.unparse(kind).startswith("app.cell"):
                continue
            hidden = "hide_code=True" in ast.unparse(kind)
            last = node.body[-1]
            end = last.lineno - 1 if isinstance(last, ast.Return) else node.end_lineno
            if code := _block(lines, node.lineno, end):
                found.append(cells.Cell(code, hidden=hidden))
    return found


def _block(lines: Sequence[str], head: int, end: int | None) -> str:
    """The lines below a block's head, which starts at line `head` from 1, to line `end`."""
    first = head
    while not lines[first - 1].rstrip().endswith(":"):
        first += 1
    return textwrap.dedent("\n".join(lines[first:end])).strip("\n")


def _apart(added: Sequence[cells.Cell], there: Sequence[cells.Cell]) -> tuple[list[cells.Cell], dict[str, str]]:
    """The added cells without imports that are there, and with names that the others do not use; which were changed."""
    trees = [tree for cell in there if cell.kind == "code" and (tree := edits.parsed(cell.code)) is not None]
    imported = {line for tree in trees for _, line in _imports(tree)}
    sights = [glances.at(tree) for tree in trees]
    taken = frozenset().union(*[each.bound | each.used for each in sights])
    parsed = [(cell, ast.parse(cell.code)) for cell in added]
    own: set[str] = set()
    for _, tree in parsed:
        lines = [(node, line) for node, line in _imports(tree) if line in imported]
        kept = ast.Module([node for node in tree.body if node not in [each for each, _ in lines]], [])
        own |= glances.at(kept).bound
    renamed = {name: _free(name, taken | own) for name in sorted(own & taken) if not name.startswith("_")}
    changed = [dataclasses.replace(cell, code=_changed(cell.code, tree, imported, renamed)) for cell, tree in parsed]
    return [cell for cell in changed if cell.code], renamed


def _free(name: str, taken: frozenset[str] | set[str]) -> str:
    other = f"DAGLAB_{name}" if name.isupper() else f"daglab_{name}"
    while other in taken:
        other += "_"
    return other


def _changed(code: str, tree: ast.Module, imported: set[str], renamed: dict[str, str]) -> str:
    new: list[edits.Edit] = []
    gone = [node for node, line in _imports(tree) if line in imported]
    for node, line in _imports(tree):
        name = line.rpartition(" ")[2]
        if node in gone:
            start, end = edits.span(code, node)
            new.append(edits.Edit(start, end + (code[end : end + 1] == "\n"), ""))
        elif name in renamed:
            plain = line if " as " in line else f"{line} as {name}"
            new.append(edits.Edit(*edits.span(code, node), f"{plain.rpartition(' ')[0]} {renamed[name]}"))
    without = edits.apply(code, new).strip("\n")
    again = ast.parse(without)
    names = [node for node in ast.walk(again) if isinstance(node, ast.Name) and node.id in renamed]
    return edits.replaced(without, again, {node: renamed[node.id] for node in names}) if names else without


def _imports(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """The imports of one name at the top of a cell, as they are written out."""
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)) and len(node.names) == 1:
            yield node, ast.unparse(node)

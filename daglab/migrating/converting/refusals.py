"""What becomes of cells that marimo refuses: put right where that keeps their meaning, else kept as text."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from daglab.migrating import cells, edits, imports, texts

BRANCH, ORDER, SELF_IMPORT = "MR002", "MR003", "MR001"
_NOT_ALONE = "# It needs cells above."
_BRANCHES = re.compile(r"^(?:if|try|match)\b", re.MULTILINE)
SEVERAL = ("MB002", "MB003")  # more than one cell takes part


@dataclass(frozen=True)
class Refusal:
    """A rule's code, what marimo says, and the cells concerned, by their places from 0."""

    code: str
    message: str
    places: tuple[int, ...]


def answered(draft: cells.Draft, refused: Sequence[Refusal]) -> cells.Draft:
    """The draft without what was refused; the same draft when nothing could be done about it."""
    if (joined := _joined(draft, [each.places for each in refused if each.code in SEVERAL])) is not None:
        return joined  # the places of the others have changed: marimo is asked again
    drafted = list(draft.cells)
    notes: list[cells.Note] = []
    gone: dict[int, str] = {}
    for each in refused:
        for place in each.places[1:] if each.code in SEVERAL and len(each.places) > 1 else each.places:
            better = _put_right(drafted[place], each.code)
            if better is not None:
                drafted[place] = better
            else:
                gone.setdefault(place, each.message)
    moved = [place for each in refused if each.code == ORDER for place in each.places]
    for place in moved:
        gone.pop(place, None)
    for place, why in gone.items():
        notes += _notes(drafted[place], why)
    kept = [_kept(cell, gone[place]) if place in gone else cell for place, cell in enumerate(drafted)]
    if moved:
        better_order = _moved(kept, moved)
        kept = better_order if better_order != kept else _no_definitions(kept, moved)
    made = cells.with_notes(dataclasses.replace(draft, cells=tuple(kept)), *notes)
    return _shown(made) if gone else made


def _joined(draft: cells.Draft, together: Sequence[Sequence[int]]) -> cells.Draft | None:
    """The draft with each run of cells that marimo can't tell apart as one cell, in which all is as it was."""
    spans: list[tuple[int, int]] = []
    for low, high in sorted((min(places), max(places)) for places in together if len(set(places)) > 1):
        if spans and low <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(high, spans[-1][1]))
        else:
            spans.append((low, high))
    if not spans or (_uses_mo(draft) and not _has_marimo(draft)):
        return None
    drafted, notes = list(draft.cells), []
    for low, high in reversed(spans):
        run = [cell for cell in drafted[low : high + 1] if cell.kind == "code"]
        others = [cell for cell in drafted[low : high + 1] if cell.kind != "code"]
        origins = tuple(dict.fromkeys(number for cell in run for number in cell.origins))
        code = "\n".join([*(_showing(cell.code) for cell in run[:-1]), run[-1].code])
        if edits.parsed(code) is None:
            return None
        drafted[low : high + 1] = [*others, dataclasses.replace(run[-1], code=code, origins=origins)]
        named = ", ".join(map(str, origins))
        said = f"One cell of what were cells {named}: marimo can't run them one by one."
        notes += [cells.Note("merge", said, number) for number in origins[:1]]
    return imports.settle(cells.with_notes(dataclasses.replace(draft, cells=tuple(drafted)), *notes))


def _showing(code: str) -> str:
    """Code that shows its last expression though more follows."""
    tree = edits.parsed(code)
    if tree is None or not tree.body or not isinstance(tree.body[-1], ast.Expr) or code.rstrip().endswith(";"):
        return code
    start, end = edits.span(code, tree.body[-1])
    at = code.rfind("\n", 0, start) + 1
    if code[at:start].strip():  # it does not stand on a line of its own
        return code
    shown = f"_shown = {code[start:end]}{code[end:]}\nif _shown is not None:\n    daglab__mo.output.append(_shown)"
    return code[:start] + shown


def _has_marimo(draft: cells.Draft) -> bool:
    return any("import marimo as mo" in cell.code.split("\n") for cell in draft.cells if cell.kind == "code")


def _uses_mo(draft: cells.Draft) -> bool:
    return any(_names(cell.code) & {"mo"} for cell in draft.cells if cell.kind == "code")


def without_empty(draft: cells.Draft) -> cells.Draft:
    """The draft with cells of comments alone shown as text: marimo refuses them as empty."""
    drafted, notes = [], []
    for cell in draft.cells:
        if not cell.code.strip():
            continue
        if cell.kind == "code" and _is_empty(cell.code):
            drafted.append(dataclasses.replace(cell, kind="text", why="it holds only comments"))
            notes += [cells.Note("text", "Kept as text: it holds only comments.", each) for each in cell.origins]
        else:
            drafted.append(cell)
    if len(drafted) == len(draft.cells) and not notes:
        return draft
    return _shown(cells.with_notes(dataclasses.replace(draft, cells=tuple(drafted)), *notes))


def foreseen(draft: cells.Draft) -> cells.Draft:
    """The draft with what marimo is known to refuse put right: to ask it a second time costs as much as the first."""
    drafted = [_put_right(cell, BRANCH) or cell if _ends_in_value(cell) else cell for cell in draft.cells]
    return dataclasses.replace(draft, cells=tuple(drafted))


def _ends_in_value(cell: cells.Cell) -> bool:
    """Whether a cell's last statement has a branch that ends in what marimo takes for something to be shown."""
    if cell.kind != "code" or not _BRANCHES.search(cell.code):
        return False
    tree = edits.parsed(cell.code)
    if tree is None or not tree.body or not isinstance(tree.body[-1], (ast.If, ast.Try, ast.Match)):
        return False
    ends = [branch[-1] for branch in _branches(tree.body[-1]) if branch]
    return any(isinstance(end, ast.Expr) and not isinstance(end.value, ast.Call) for end in ends)


def _is_empty(code: str) -> bool:
    if not re.fullmatch(r"(?:[ \t\f]*(?:#[^\n]*|pass[ \t]*)?(?:\n|$))*", code.strip()):
        return False
    tree = edits.parsed(code)
    return tree is not None and all(isinstance(node, ast.Pass) for node in tree.body)


def _notes(cell: cells.Cell, why: str) -> Iterator[cells.Note]:
    for origin in cell.origins or (None,):
        yield cells.Note("check", f"Kept as text: marimo refuses it: {why}", origin, True)


def _kept(cell: cells.Cell, why: str) -> cells.Cell:
    if cell.kind != "code":
        return cell
    return dataclasses.replace(cell, kind="text", why=f"marimo refuses it: {why.rstrip('.')}", hidden=False)


def _shown(draft: cells.Draft) -> cells.Draft:
    """Cells kept as text as markdown; as comments where the notebook calls something of its own `mo`."""
    if _has_marimo(draft) or not _uses_mo(draft):
        return imports.settle(texts.show(draft))
    shown = [
        dataclasses.replace(cell, kind="code", code=_commented(cell)) if cell.kind == "text" else cell
        for cell in draft.cells
    ]
    return dataclasses.replace(draft, cells=tuple(shown))


def _commented(cell: cells.Cell) -> str:
    lines = [f"Kept as text: {cell.why}.", *cell.code.split("\n")]
    return "\n".join(["_kept = None", *(f"# {line}".rstrip() for line in lines)])


def _put_right(cell: cells.Cell, code: str) -> cells.Cell | None:
    """A cell that means the same and is not refused, None where there is none."""
    if cell.kind != "code":
        return None
    if code == BRANCH:
        return _assigned(cell)
    return None


def _assigned(cell: cells.Cell) -> cells.Cell | None:
    """What stands at the end of a branch is not shown, by Jupyter neither: it is assigned to a name without meaning."""
    tree = edits.parsed(cell.code)
    if tree is None or not tree.body:
        return None
    ends = [branch[-1] for branch in _branches(tree.body[-1]) if branch and isinstance(branch[-1], ast.Expr)]
    starts = {edits.span(cell.code, each)[0] for each in ends}
    changed = edits.apply(cell.code, [edits.Edit(start, start, "_ = ") for start in sorted(starts)])
    return dataclasses.replace(cell, code=changed) if starts else None


def _branches(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        branch = getattr(node, name, [])
        if name == "orelse" and len(branch) == 1 and isinstance(branch[0], ast.If) and isinstance(node, ast.If):
            yield from _branches(branch[0])
        else:
            yield branch
    for each in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield each.body


def _moved(drafted: list[cells.Cell], places: Collection[int]) -> list[cells.Cell]:
    """Definitions below the ones that they need."""
    made = {name: place for place, cell in enumerate(drafted) if cell.kind == "code" for name in _defined(cell.code)}
    after: Mapping[int, int] = {
        place: max((made[name] for name in _names(drafted[place].code) if name in made), default=place)
        for place in places
    }
    order = sorted(range(len(drafted)), key=lambda place: (max(after.get(place, place), place), place in after, place))
    return [drafted[place] for place in order]


def _no_definitions(drafted: Sequence[cells.Cell], places: Collection[int]) -> list[cells.Cell]:
    """What a class needs stands above it already: with a comment below it, marimo does not take it for importable."""
    return [
        dataclasses.replace(cell, code=f"{cell.code.rstrip()}\n\n{_NOT_ALONE}")
        if place in places and cell.kind == "code" and not cell.code.endswith(_NOT_ALONE)
        else cell
        for place, cell in enumerate(drafted)
    ]


def _defined(code: str) -> set[str]:
    tree = edits.parsed(code)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in (tree.body if tree else ()) if isinstance(node, kinds)}


def _names(code: str) -> set[str]:
    tree = edits.parsed(code)
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} if tree else set()

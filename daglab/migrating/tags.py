"""What the tags of cells ask for: parameters, hidden code, cells to skip, errors that are expected."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from daglab.migrating import cells, edits, parameters
from daglab.migrating.displaying import meanings, shown
from daglab.migrating.displaying.rewriting import Source

_HIDDEN = {f"{what}{sep}{part}" for what in ("hide", "remove") for sep in "-_" for part in ("input", "cell", "code")}
_OUTPUT = {"hide-output", "hide_output", "remove-output", "remove_output", "remove-stdout", "remove-stderr"}
_SKIPPED = {"skip", "skip-execution", "skip_execution"}
_RAISING = {"raises-exception", "raises_exception", "nbval-raises-exception", "expect-error", "expect_error"}


def apply(draft: cells.Draft) -> cells.Draft:
    """Give the cells what their tags and metadata ask for."""
    originals = {each.number: each for each in draft.original.cells}
    draft = parameters.apply(draft)
    everywhere: dict[str, int] = {}
    if any(_SKIPPED & {tag for tag in each.tags if isinstance(tag, str)} for each in draft.original.cells):
        for names in _names_by_cell(draft.cells):
            for name in names:
                everywhere[name] = everywhere.get(name, 0) + 1
    made: list[cells.Cell] = []
    notes: list[cells.Note] = []
    for cell in draft.cells:
        found = [originals[number] for number in cell.origins if number in originals]
        tags = {tag for each in found for tag in each.tags if isinstance(tag, str)}
        new, said = _asked(cell, tags, [each.metadata for each in found], everywhere)
        made.append(new)
        notes += [cells.Note("tag", text, found[0].number if found else None, needed) for text, needed in said]
    done = cells.with_notes(dataclasses.replace(draft, cells=tuple(made)), *dict.fromkeys(notes))
    return cells.with_notes(done, *_of_the_notebook(draft.original))


def _names_by_cell(drafted: Sequence[cells.Cell]) -> list[set[str]]:
    trees = [edits.parsed(cell.code) if cell.kind == "code" else None for cell in drafted]
    return [set(meanings.names(tree)) if tree else set() for tree in trees]


Said = list[tuple[str, bool]]


def _asked(
    cell: cells.Cell, tags: set[str], metadata: Sequence[Mapping[str, Any]], everywhere: Mapping[str, int]
) -> tuple[cells.Cell, Said]:
    """A cell as its tags want it, and what is to be said of it."""
    said: Said = []
    if cell.kind == "code" and (tags & _HIDDEN or any(_source_hidden(each) for each in metadata)):
        cell = dataclasses.replace(cell, hidden=True)
        said.append(("Its code is hidden, as in Jupyter.", False))
    if cell.kind == "code" and (tags & _OUTPUT or any(_outputs_hidden(each) for each in metadata)):
        said.append(("Its output was hidden or folded in Jupyter; marimo shows it.", False))
    if cell.kind == "code" and tags & _SKIPPED:
        return _skipped(cell, min(tags & _SKIPPED), everywhere, said)
    if cell.kind == "code" and tags & _RAISING:
        code = caught(cell.code)
        said.append(
            ("An error is expected: it is shown, and the run goes on.", False)
            if code
            else ("An error is expected, but the cell can't be put into a try; the run ends there.", True)
        )
        cell = dataclasses.replace(cell, code=code or cell.code)
    if "nbval-skip" in tags:
        said.append(("nbval skips it; it is run here, as Jupyter does.", False))
    return cell, said


def _source_hidden(metadata: Mapping[str, Any]) -> bool:
    return (
        _part(metadata, "jupyter", "source_hidden") is True
        or metadata.get("hide_input") is True
        or metadata.get("cellView") == "form"
    )


def _outputs_hidden(metadata: Mapping[str, Any]) -> bool:
    return _part(metadata, "jupyter", "outputs_hidden") is True or metadata.get("collapsed") is True


def _part(metadata: Mapping[str, Any], first: str, second: str) -> object:
    inner = metadata.get(first)
    return inner.get(second) if isinstance(inner, Mapping) else None


def _skipped(cell: cells.Cell, tag: str, everywhere: Mapping[str, int], said: Said) -> tuple[cells.Cell, Said]:
    """A cell that is not run is disabled; what binds names of other cells is text, or they would not run either."""
    tree = edits.parsed(cell.code)
    bound = {name for node in edits.walk(tree) for name in _binds(node)} if tree else set()
    shared = sorted(name for name in bound if everywhere.get(name, 0) > 1)
    if shared:
        said.append((f"Kept as text: its tag {tag} says not to run it, and other cells have {shared[0]} too.", True))
        return dataclasses.replace(cell, kind="text", why=f"its tag {tag} says not to run it"), said
    said.append((f"Disabled: its tag {tag} says not to run it.", False))
    return dataclasses.replace(cell, disabled=True), said


def _binds(node: ast.AST) -> set[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return meanings.bound(node)


def caught(code: str) -> str | None:
    """The code with errors shown instead of raised; None where Python does not take it so."""
    tree = edits.parsed(code)
    if tree is None or not tree.body:
        return None
    last = tree.body[-1]
    name = ""
    if isinstance(last, ast.Expr) and not shown.never(last.value) and not shown.hidden(code):
        name = shown.free("_shown", code)
        source = Source(code)
        begin, end = source.span(last)
        text = code[begin:end]
        code = code[:begin] + f"{name} = " + (f"({text})" if "\n" in text else text) + code[end:]
        tree = edits.parsed(code)
    body = indented(code, tree) if tree else None
    if body is None:
        return None
    before, after = (f"{name} = None\n", f"\n{name}") if name else ("", "")
    return f"{before}try:\n{body}\nexcept Exception:\n    daglab__traceback.print_exc(){after}"


def indented(code: str, tree: ast.Module) -> str | None:
    """The code one step to the right, but for what lies within a text; None where that does not come to the same."""
    within: set[int] = set()
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))):
            within.update(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
        else:
            stack += edits.children(node)
    lines = code.rstrip().split("\n")
    body = "\n".join(
        line if number in within or not line.strip() else f"    {line}" for number, line in enumerate(lines, 1)
    )
    again = edits.parsed(f"try:\n{body}\nexcept Exception:\n    pass")
    try:
        same = again is not None and ast.dump(ast.Module(again.body[0].body, [])) == ast.dump(ast.Module(tree.body, []))  # type: ignore[attr-defined]
    except RecursionError:
        return None
    return body if same else None


def _of_the_notebook(original: cells.Jupyter) -> list[cells.Note]:
    notes = []
    if isinstance(original.metadata.get("papermill"), Mapping):
        notes.append(cells.Note("tag", "papermill's record of its last run is left out."))
    slides = sum(1 for each in original.cells if _part(each.metadata, "slideshow", "slide_type") not in (None, "", "-"))
    if slides:
        notes.append(
            cells.Note("tag", f"{slides} cells say how they are slides; marimo's slides are a layout of its own.")
        )
    return notes

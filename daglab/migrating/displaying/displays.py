"""What Jupyter shows by `display(...)` and its like, shown by marimo."""

from __future__ import annotations

import ast
import dataclasses

from daglab.migrating import cells, edits
from daglab.migrating.displaying import interactive, meanings, media, plots, shown, widgets
from daglab.migrating.displaying.rewriting import Source, literal, upwards

_DISPLAY = "IPython.display."
_TEXT = "daglab__mo.md"
# Calls that only ready Jupyter for something that marimo does by itself.
_READYING = {
    "IPython.display.set_matplotlib_formats",
    "altair.data_transformers.disable_max_rows",
    "altair.renderers.enable",
    "bokeh.io.output_notebook",
    "bokeh.plotting.output_notebook",
    "matplotlib_inline.backend_inline.set_matplotlib_formats",
    "plotly.offline.init_notebook_mode",
}
_WAITING = {
    "input": "asks a question; an export and a run without a person wait for the answer, or fail",
    "getpass.getpass": "asks a question; an export and a run without a person wait for the answer, or fail",
    "exit": "ends the kernel",
    "quit": "ends the kernel",
}


_JUPYTERS = ("IPython", "ipywidgets", "matplotlib_inline")
_WORDS = (
    "display",
    "IPython",
    "altair",
    "bokeh",
    "colab",
    "exit",
    "getpass",
    "input",
    "matplotlib_inline",
    "plotly",
    "quit",
)


def apply(draft: cells.Draft) -> cells.Draft:
    """Turn what is IPython's, ipywidgets' and the inline backend's into marimo's, cell by cell."""
    for step in (interactive.magics_again, interactive.remembered, widgets.apply, _rewritten, plots.apply, shown.apply):
        draft = step(draft)
    return _texts(_unneeded(draft))


def _texts(draft: cells.Draft) -> cells.Draft:
    """Cells that show a plain text by `mo.md` and do nothing else are what marimo takes them for: its text cells."""
    if not any(_TEXT in cell.code for cell in draft.cells):
        return draft
    made = []
    for cell in draft.cells:
        text = _only_text(cell) if cell.kind == "code" and cell.code.lstrip().startswith(_TEXT) else None
        made.append(cell if text is None else dataclasses.replace(cell, code=text, kind="markdown", hidden=True))
    return dataclasses.replace(draft, cells=tuple(made))


def _only_text(cell: cells.Cell) -> str | None:
    tree = edits.parsed(cell.code)
    only = tree.body[0] if tree and len(tree.body) == 1 else None
    call = only.value if isinstance(only, ast.Expr) else None
    if not isinstance(call, ast.Call) or len(call.args) != 1 or call.keywords or shown.hidden(cell.code):
        return None
    text = literal(call.args[0]) if ast.unparse(call.func) == _TEXT else None
    return text if isinstance(text, str) and text.strip() else None


def _rewritten(draft: cells.Draft) -> cells.Draft:
    """Calls of IPython's functions and objects replaced by marimo's."""
    if not meanings.mentioned(draft.cells, *_WORDS):
        return draft
    read = _attributed(draft)
    made: list[cells.Cell] = []
    notes: list[cells.Note] = []
    for cell, tree, found in meanings.each(draft.cells):
        if tree is None:
            made.append(cell)
            continue
        code, said = _calls(cell.code, tree, found, read)
        number = cell.origins[0] if cell.origins else None
        notes += [cells.Note("display", text, number, needed) for text, needed in dict.fromkeys(said)]
        made.append(dataclasses.replace(cell, code=code))
    return cells.with_notes(dataclasses.replace(draft, cells=tuple(made)), *notes)


def _attributed(draft: cells.Draft) -> set[str]:
    """Names of which the notebook reads attributes: what they hold must stay what it is."""
    return {
        node.value.id
        for cell in draft.cells
        if cell.kind == "code" and (tree := edits.parsed(cell.code))
        for node in edits.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


Said = list[tuple[str, bool]]


def _calls(code: str, tree: ast.Module, found: dict[ast.AST, str], read: set[str]) -> tuple[str, Said]:
    """The code with its calls rewritten, and what is to be said of them."""
    source = Source(code)
    said: Said = []
    kept = _kept(tree, read)
    statements = {node.value: node for node in edits.walk(tree) if isinstance(node, ast.Expr)}
    called = {node.func for node in edits.walk(tree) if isinstance(node, ast.Call)}
    for node in upwards(tree):
        if isinstance(node, ast.Call):
            name = found.get(node.func, node.func.id if isinstance(node.func, ast.Name) else "")
            if name in _READYING and node in statements:
                source.made.append(source.without(statements[node]))
                said.append((f"Dropped {name.rpartition('.')[2]}(): marimo shows it without.", False))
            elif node not in kept or name == f"{_DISPLAY}display":
                _call(source, node, name, said)
        elif node not in called and found.get(node) == f"{_DISPLAY}display":
            source.replace(node, "daglab__mo.output.append")
    return source.edited(), said


def _kept(tree: ast.Module, read: set[str]) -> set[ast.AST]:
    """Calls whose result has its attributes read: `Image(...).data`."""
    kept: set[ast.AST] = set()
    for node in edits.walk(tree):
        if isinstance(node, ast.Attribute) or (
            isinstance(node, ast.Assign)
            and any(isinstance(each, ast.Name) and each.id in read for each in node.targets)
        ):
            kept.add(node.value)
    return kept


def _call(source: Source, call: ast.Call, name: str, said: Said) -> None:
    if name in _WAITING:
        said.append((f"{name}() {_WAITING[name]}.", True))
    elif name.startswith("google.colab."):
        said.append((f"{name} is there in Google Colab alone: take it out.", True))
    elif name in ("bokeh.plotting.show", "bokeh.io.show") and len(call.args) == 1:
        source.replace(call, f"daglab__mo.output.append({source.text(call.args[0])})")
    elif name.startswith(_DISPLAY):
        _ipython(source, call, name.removeprefix(_DISPLAY), said)


def _ipython(source: Source, call: ast.Call, name: str, said: Said) -> None:
    """A call of something in IPython.display."""
    if name == "display":
        _display(source, call, said)
    elif name == "update_display":
        source.replace(call.func, "daglab__update_display")
        said.append(
            ("update_display() replaces all that the cell shows in marimo: look whether something is missing.", True)
        )
    elif name == "clear_output":
        source.replace(call, "daglab__mo.output.clear()")
        said.append(("clear_output() became mo.output.clear(), which leaves printed text.", False))
    elif name in media.UNSHOWN:
        said.append((f"{name}(...) {media.UNSHOWN[name]}.", True))
    elif text := media.rewritten(source, call, name):
        source.replace(call, text)
        said.append((f"{name}(...) became {text[len('daglab__') :].partition('(')[0]}.", False))


def _display(source: Source, call: ast.Call, said: Said) -> None:
    """`display(x)` appends to the cell's output; several things at once are stacked, as Jupyter does."""
    if any(keyword.arg not in ("metadata", "include", "exclude") for keyword in call.keywords):
        if isinstance(call.func, ast.Name):
            source.replace(call.func, "daglab__display")
        if any(keyword.arg == "display_id" for keyword in call.keywords):
            # Neither IPython nor marimo gives a handle where the notebook runs as a script.
            source.replace(call, f"({source.text(call)} or daglab__DisplayHandle())")
        said.append(("display(...) with options is left to IPython, which marimo stands in for.", False))
    elif len(call.args) == 1 and not isinstance(call.args[0], ast.Starred) and not call.keywords:
        source.replace(call.func, "daglab__mo.output.append")
        said.append(("display() became mo.output.append.", False))
    elif call.args:
        each = ", ".join(source.text(argument) for argument in call.args)
        source.replace(call, f"daglab__mo.output.append(daglab__mo.vstack([{each}]))")
        said.append(("display() became mo.output.append.", False))


def _unneeded(draft: cells.Draft) -> cells.Draft:
    """Imports of IPython's and ipywidgets' names that nothing uses any more are dropped; so is a cell left empty."""
    if all(cell.code.strip() for cell in draft.cells) and not meanings.mentioned(draft.cells, *_JUPYTERS):
        return draft
    read = list(meanings.each(draft.cells))
    used: set[str] = set()
    for _, _, found in read:
        for meaning in found.values():
            while meaning and meaning not in used:
                used.add(meaning)
                meaning = meaning.rpartition(".")[0]
    made: list[cells.Cell] = []
    notes: list[cells.Note] = []
    for cell, tree, _ in read:
        code = _without_imports(cell.code, tree, used) if tree else cell.code
        number = cell.origins[0] if cell.origins else None
        if tree and code != cell.code:
            notes.append(cells.Note("display", "Dropped an import of IPython or ipywidgets that nothing uses.", number))
        if tree and not code.strip():
            notes.append(cells.Note("display", "Dropped the cell: nothing in it is needed in marimo.", number))
            continue
        made.append(dataclasses.replace(cell, code=code))
    return cells.with_notes(dataclasses.replace(draft, cells=tuple(made)), *notes)


def _without_imports(code: str, tree: ast.Module, used: set[str]) -> str:
    source = Source(code)
    for node in edits.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)) or getattr(node, "level", None):
            continue
        left = [alias for alias in node.names if _needed(node, alias, used)]
        if len(left) < len(node.names):
            names = ", ".join(f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in left)
            module = f"from {node.module} " if isinstance(node, ast.ImportFrom) else ""
            source.made.append(source.without(node, f"{module}import {names}" if left else ""))
    return source.edited()


def _needed(node: ast.Import | ast.ImportFrom, alias: ast.alias, used: set[str]) -> bool:
    module = alias.name if isinstance(node, ast.Import) else node.module or ""
    if module.split(".")[0] not in _JUPYTERS:
        return True
    single = ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(module, [alias], 0)
    bound = meanings.imported(single)
    if alias.name == "*":
        return not bound or bool(used & set(bound.values()))
    return bool(used & set(bound.values()))

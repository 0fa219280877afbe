"""papermill's parameters as `mo.cli_args()`: each keeps its value, and takes another from the command line."""

from __future__ import annotations

import ast
import dataclasses

from daglab.migrating import cells, edits
from daglab.migrating.displaying.rewriting import Source, literal

_ARGUMENTS = "daglab__mo.cli_args()"
_NAMED = ("parameters", "injected-parameters")


def apply(draft: cells.Draft) -> cells.Draft:
    """Rewrite the cells with these tags; what papermill put in is the value that the parameters have."""
    tags = {each.number: each.tags for each in draft.original.cells}
    places = {
        name: [at for at, cell in enumerate(draft.cells) if cell.kind == "code" and _has(cell, name, tags)]
        for name in _NAMED
    }
    made: list[cells.Cell | None] = list(draft.cells)
    notes: list[cells.Note] = []
    injected: dict[str, str] = {}
    if places["parameters"]:
        mine = {name for at in places["parameters"] for name in _assigned(draft.cells[at].code)}
        for at in places["injected-parameters"]:
            cell = draft.cells[at]
            values = {name: text for name, text in _assigned(cell.code).items() if name in mine}
            injected |= values
            rest = _without(cell.code, set(values))
            made[at] = dataclasses.replace(cell, code=rest) if rest else None
            notes.append(cells.Note("tag", "What papermill put in became the parameters' own values.", _number(cell)))
    for at in sorted({*places["parameters"], *places["injected-parameters"]}):
        cell_ = made[at]
        if cell_ is None:
            continue
        code, left = _parametrized(cell_.code, injected)
        made[at] = dataclasses.replace(cell_, code=code)
        if code != cell_.code:
            text = (
                "Parameters: each takes a value from the command line, as `daglab export NOTEBOOK -P name=value` does."
            )
            notes.append(cells.Note("tag", text, _number(cell_)))
        for name in left:
            notes.append(
                cells.Note(
                    "tag",
                    f"{name} takes no value from the command line: read it from mo.cli_args() by hand.",
                    _number(cell_),
                    True,
                )
            )
    done = tuple(cell for cell in made if cell is not None)
    return cells.with_notes(dataclasses.replace(draft, cells=done), *notes)


def _has(cell: cells.Cell, tag: str, tags: dict[int, tuple[str, ...]]) -> bool:
    return any(tag in tags.get(number, ()) for number in cell.origins)


def _number(cell: cells.Cell) -> int | None:
    return cell.origins[0] if cell.origins else None


def _simple(node: ast.stmt) -> tuple[str, ast.expr] | None:
    """The name and the value of `name = value` and `name: type = value`."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        return node.target.id, node.value
    return None


def _assigned(code: str) -> dict[str, str]:
    tree = edits.parsed(code)
    source = Source(code)
    return {found[0]: source.text(found[1]) for node in (tree.body if tree else ()) if (found := _simple(node))}


def _without(code: str, names: set[str]) -> str:
    """The code without these assignments; nothing if only comments are left."""
    tree = edits.parsed(code)
    if tree is None:
        return code
    source = Source(code)
    rest = 0
    for node in tree.body:
        found = _simple(node)
        if found and found[0] in names:
            source.made.append(source.without(node))
        else:
            rest += 1
    return source.edited() if rest else ""


def _parametrized(code: str, injected: dict[str, str]) -> tuple[str, list[str]]:
    """The code with each name's last assignment reading the command line, and the names that don't."""
    tree = edits.parsed(code)
    if tree is None:
        return code, []
    source = Source(code)
    last = {found[0]: (node, found[1]) for node in tree.body if (found := _simple(node))}
    for name, (node, value) in last.items():
        text = injected.get(name, source.text(value))
        if "\n" in text and not text.startswith(("(", "[", "{", '"', "'")):
            text = f"({text})"
        before, new = _read(name, text, literal(value) if name not in injected else _value(text))
        begin, end = source.span(value)
        start = source.span(node)[0]
        if before and source.places.at(node.lineno, 0) == start:
            source.made += [edits.Edit(start, start, before), edits.Edit(begin, end, new)]
        elif not before:
            source.made.append(edits.Edit(begin, end, new))
        else:
            source.made.append(edits.Edit(begin, end, f"{_ARGUMENTS}.get({name!r}, {text})"))
    left = [
        each.id
        for node in tree.body
        if isinstance(node, ast.Assign) and not _simple(node)
        for target in node.targets
        for each in ast.walk(target)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store) and each.id not in last
    ]
    return source.edited(), left


def _value(text: str) -> object:
    try:
        return literal(ast.parse(text, mode="eval").body)
    except edits.TOO_MUCH:
        return ...


def _read(name: str, text: str, value: object) -> tuple[str, str]:
    """A line to go before, if any, and the expression that gives the parameter; `text` is its own value.

    marimo makes numbers of what looks like one, `True` of `true`, `""` of an option without a value, and a list of an
    option that is there more than once.
    """
    given = f'{_ARGUMENTS}.get("{name}", {text})'
    if isinstance(value, bool):
        return "", f'{given} in (True, "")'
    if isinstance(value, float):
        return "", f"float({given})"
    if isinstance(value, str):
        return "", f"str({given})"
    if isinstance(value, (list, tuple, dict)):
        kept = f"_{name}"
        if isinstance(value, dict):
            return f'{kept} = {_ARGUMENTS}.get("{name}")  # JSON\n', (
                f"daglab__json.loads(str({kept})) if {kept} else {text}"
            )
        several = f'{kept} = {_ARGUMENTS}.get_all("{name}")  # once or more, or a list in JSON\n'
        new = f'daglab__json.loads({kept}[0]) if str({kept}[0] if {kept} else "").startswith("[") else {kept} or {text}'
        return several, f"tuple({new})" if isinstance(value, tuple) else new
    return "", given

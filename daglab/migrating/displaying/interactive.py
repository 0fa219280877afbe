"""What IPython's shell adds to Python: `get_ipython()`, its history, and showing more than the last expression."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator, Mapping

from daglab.migrating import cells, edits
from daglab.migrating.displaying import meanings, shown
from daglab.migrating.displaying.rewriting import Source, literal, upwards
from daglab.migrating.magic import magics

_SHELL = "IPython.get_ipython"
_INTERACTIVITY = re.compile(r"ast_node_interactivity\s*=\s*[\"']?(all|last_expr_or_assign|last_expr|last|none)\b")
_REMEMBERED = re.compile(r"(?<![\w.])(_{1,3}|_i?\d+|Out|In|_i{1,3}|_[ido]h)(?!\w)")
_HISTORY = re.compile(r"_{1,3}|_\d+|Out|In|_i{1,3}|_i\d+|_ih|_oh|_dh")


def magics_again(draft: cells.Draft) -> cells.Draft:
    """`get_ipython().run_line_magic("time", "f()")` and its like as the magics that they are, then as Python."""
    if not meanings.mentioned(draft.cells, "get_ipython"):
        return draft
    made: list[cells.Cell] = []
    for cell, tree, found in meanings.each(draft.cells):
        if tree is None or _SHELL not in found.values():
            made.append(cell)
            continue
        code = _with_magics(cell.code, tree, found)
        if code != cell.code:
            alone = cells.Draft(draft.original, (dataclasses.replace(cell, code=code),))
            done = magics.apply(alone)
            if all(each.kind != "code" or edits.parsed(each.code) for each in done.cells):
                made += done.cells
                needed = tuple(each for each in done.requirements if each not in draft.requirements)
                draft = dataclasses.replace(
                    cells.with_notes(draft, *done.notes),
                    requirements=(*draft.requirements, *needed),
                    files={**draft.files, **done.files},
                )
                continue
        made.append(cell)
    return _shells(dataclasses.replace(draft, cells=tuple(made)))


def _with_magics(code: str, tree: ast.Module, found: Mapping[ast.AST, str]) -> str:
    """The code with IPython's own spelling for each call of the shell that stands alone, or is assigned."""
    source = Source(code)
    for statement in tree.body:
        if isinstance(statement, (ast.Expr, ast.Assign)) and isinstance(statement.value, ast.Call):
            spelled = _spelled(statement.value, found)
            if spelled is None or (spelled.startswith("%%") and len(tree.body) > 1):
                continue
            assigned = isinstance(statement, ast.Assign)
            if assigned and not spelled.startswith(("!", "%")):
                continue
            if not assigned and spelled.startswith("!!"):
                spelled = spelled[1:]
            source.replace(statement.value, spelled.replace("!!", "!", 1) if assigned else spelled)
    return source.edited()


def _spelled(call: ast.Call, found: Mapping[ast.AST, str]) -> str | None:
    method = call.func
    if not isinstance(method, ast.Attribute) or not isinstance(method.value, ast.Call) or call.keywords:
        return None
    if found.get(method.value.func) != _SHELL:
        return None
    texts = [literal(each) for each in call.args]
    if not texts or not all(isinstance(each, str) for each in texts):
        return None
    words = [str(each) for each in texts]
    single = not any("\n" in each for each in words)
    if method.attr in ("run_line_magic", "magic") and single:
        return f"%{' '.join(words).lstrip('%')}".rstrip()
    if method.attr in ("system", "getoutput") and single and len(words) == 1:
        return f"{'!' if method.attr == 'system' else '!!'}{words[0]}"
    if method.attr == "run_cell_magic" and len(words) == 3 and "\n" not in words[0] + words[1]:
        return f"%%{words[0]} {words[1]}".rstrip() + f"\n{words[2]}"
    return None


def _shells(draft: cells.Draft) -> cells.Draft:
    """What is left of `get_ipython()`."""
    made: list[cells.Cell] = []
    notes: list[cells.Note] = []
    for cell, tree, found in meanings.each(draft.cells):
        if tree is None or _SHELL not in found.values():
            made.append(cell)
            continue
        source = Source(cell.code)
        guarded = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in ast.walk(node)}
        statements = {id(node.value): node for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        asked: set[ast.AST] = set()
        for node in upwards(tree):
            if found.get(node) == _SHELL and isinstance(node, ast.Name) and id(node) not in guarded:
                name = "daglab__get_ipython" if node.id == "get_ipython" else node.id
                source.replace(node, name)
                asked.add(node)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
                if found.get(node.value.func) == _SHELL and node.attr == "user_ns":
                    source.replace(node, "globals()")
                    asked.discard(node.value.func)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and id(node) in statements:
                inner = node.func.value
                if (
                    node.func.attr == "set_next_input"
                    and isinstance(inner, ast.Call)
                    and found.get(inner.func) == _SHELL
                ):
                    source.replace(node, "None")
                    asked.discard(inner.func)
        if asked:
            said = "get_ipython() gives None in marimo, where no IPython runs: take out what asks it."
            notes.append(cells.Note("display", said, _number(cell), True))
        made.append(dataclasses.replace(cell, code=source.edited()))
    return cells.with_notes(dataclasses.replace(draft, cells=tuple(made)), *notes)


def remembered(draft: cells.Draft) -> cells.Draft:
    """What reads IPython's history gets a name for what it reads; what IPython was told to show is shown."""
    return _interactive(_history(draft))


def _interactive(draft: cells.Draft) -> cells.Draft:
    """`ast_node_interactivity`: from the cell after it on, "all" shows every expression of a cell."""
    if not any("ast_node_interactivity" in each.source for each in draft.original.cells):
        return draft
    mode = "last_expr"
    made: list[cells.Cell] = []
    notes: list[cells.Note] = []
    sources = {each.number: each.source for each in draft.original.cells}
    for cell in draft.cells:
        tree = edits.parsed(cell.code) if cell.kind == "code" else None
        if tree is None or not tree.body:
            made.append(cell)
            continue
        code = cell.code if mode == "last_expr" else _shown(cell.code, tree, mode)
        if code != cell.code:
            notes.append(cells.Note("display", f'Shows what ast_node_interactivity = "{mode}" shows.', _number(cell)))
        told = [found for number in cell.origins for found in _INTERACTIVITY.findall(sources.get(number, ""))]
        if told:
            mode = told[-1]
            code = _untold(code)
        made.append(dataclasses.replace(cell, code=code))
    return cells.with_notes(dataclasses.replace(draft, cells=tuple(made)), *notes)


def _untold(code: str) -> str:
    """The cell without the line that tells IPython."""
    tree = edits.parsed(code)
    if tree is None:
        return code
    source = Source(code)
    for node in tree.body:
        if isinstance(node, ast.Assign) and all(
            isinstance(each, ast.Attribute) and each.attr == "ast_node_interactivity" for each in node.targets
        ):
            source.made.append(source.without(node))
    return source.edited()


def _shown(code: str, tree: ast.Module, mode: str) -> str:
    last = tree.body[-1]
    if mode == "none":
        return f"{code.rstrip()};" if isinstance(last, ast.Expr) and not shown.hidden(code) else code
    if shown.hidden(code):
        return code
    if mode == "last_expr_or_assign":
        target = last.targets[0] if isinstance(last, ast.Assign) else getattr(last, "target", None)
        return f"{code.rstrip()}\n{target.id}" if isinstance(target, ast.Name) else code
    if mode != "all" or any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body):
        return code
    source = Source(code)
    for node in tree.body[:-1]:
        if (
            isinstance(node, ast.Expr)
            and not shown.never(node.value)
            and source.places.at(node.lineno, 0) == source.span(node)[0]
        ):
            if _displays(node.value) or shown.is_part(node.value):
                continue
            new = shown.appended(code, source, node.value)
            source.replace(node, new)
    return source.edited()


def _displays(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "display"


def _number(cell: cells.Cell) -> int | None:
    return cell.origins[0] if cell.origins else None


@dataclasses.dataclass
class _Past:
    """What IPython remembers: `counts` are the cells' places by execution count; `gave` those that gave something."""

    originals: list[cells.Original | None]
    used: set[str]
    counts: dict[int, int]
    gave: list[int] = dataclasses.field(default_factory=list)
    named: dict[int, str] = dataclasses.field(default_factory=dict)

    def answer(self, what: str) -> str | None:
        """The text that stands for a piece of history; None where nothing tells."""
        place = re.fullmatch(r"(Out|In)\[(-?\d+)\]", what)
        at: int | None = None
        if place:
            at = self.counts.get(int(place[2]))
            if at is not None and place[1] == "In":
                original = self.originals[at]
                return repr(original.source) if original else None
        elif set(what) == {"_"} and len(what) <= len(self.gave):
            at = self.gave[-len(what)]
        return self._name(at) if at is not None and at in self.gave else None

    def _name(self, at: int) -> str:
        if at not in self.named:
            original = self.originals[at]
            count = original.execution_count if original else None
            name = f"out_{count if isinstance(count, int) else at + 1}"
            while name in self.used:
                name += "_"
            self.used.add(name)
            self.named[at] = name
        return self.named[at]


def _history(draft: cells.Draft) -> cells.Draft:
    """`_`, `Out[3]` and `_3` read what an earlier cell's last expression gave, which gets a name: `out_3`."""
    if not any(_REMEMBERED.search(cell.code) for cell in draft.cells if cell.kind == "code"):
        return draft
    trees = [edits.parsed(cell.code) if cell.kind == "code" else None for cell in draft.cells]
    used = {name for tree in trees if tree for name in meanings.names(tree)}
    if not any(_HISTORY.fullmatch(name) for name in used):
        return draft
    bound = {name for tree in trees if tree for node in ast.walk(tree) for name in _binds(node)}
    numbered = {each.number: each for each in draft.original.cells}
    originals = [numbered.get(cell.origins[0]) if cell.origins else None for cell in draft.cells]
    past = _Past(originals, used, _counts(draft))
    results = {each.number for each in draft.original.cells if _result(each)}
    sources = [Source(cell.code) for cell in draft.cells]
    notes: list[cells.Note] = []
    for at, (cell, tree) in enumerate(zip(draft.cells, trees, strict=True)):
        if tree is None:
            continue
        notes += _told(sources[at], tree, bound, past, _number(cell))
        if _gives(tree, cell.code) and (not results or results & set(cell.origins)):
            past.gave.append(at)
    for at, name in past.named.items():
        _keep(sources[at], trees[at], name)
    made = [dataclasses.replace(cell, code=source.edited()) for cell, source in zip(draft.cells, sources, strict=True)]
    return cells.with_notes(dataclasses.replace(draft, cells=tuple(made)), *dict.fromkeys(notes))


def _counts(draft: cells.Draft) -> dict[int, int]:
    numbers = {each.number: each.execution_count for each in draft.original.cells}
    found = {numbers.get(cell.origins[0]): at for at, cell in enumerate(draft.cells) if cell.origins}
    return {count: at for count, at in found.items() if isinstance(count, int)}


def _gives(tree: ast.Module, code: str) -> bool:
    last = tree.body[-1] if tree.body else None
    return isinstance(last, ast.Expr) and not shown.never(last.value) and not shown.hidden(code)


def _keep(source: Source, tree: ast.Module | None, name: str) -> None:
    """Give what a cell's last expression gives a name, and show it still."""
    if tree is not None:
        text = source.text(tree.body[-1])
        source.replace(tree.body[-1], f"{name} = ({text})\n{name}" if "\n" in text else f"{name} = {text}\n{name}")


def _told(source: Source, tree: ast.Module, bound: set[str], past: _Past, number: int | None) -> Iterator[cells.Note]:
    """Put names for the history that a cell reads; what can't be had is said."""
    whole = {node.value for node in ast.walk(tree) if isinstance(node, ast.Subscript) and _asked(node, bound)}
    for node in upwards(tree):
        what = None if node in whole else _asked(node, bound)
        if what is None:
            continue
        found = past.answer(what)
        if found is None:
            yield cells.Note(
                "name", f"{what} is IPython's history, which marimo has not: name what it stands for.", number, True
            )
        else:
            source.replace(node, found)
            yield cells.Note("name", f"{what} became {found[:40]}.", number)


def _binds(node: ast.AST) -> Iterator[str]:
    yield from meanings.bound(node)
    if isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name for alias in node.names)


def _result(original: cells.Original) -> bool:
    return any(each.get("output_type") in ("execute_result", "pyout") for each in original.outputs)


def _asked(node: ast.AST, bound: set[str]) -> str | None:
    """How a piece of history is asked for: "_", "Out[3]", "In[3]"; None for what is none."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Load):
        name, place = node.value.id, literal(node.slice)
        if name in ("Out", "_oh", "In", "_ih") and name not in bound and type(place) is int:
            return f"{'Out' if name in ('Out', '_oh') else 'In'}[{place}]"
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load) or node.id in bound:
        return None
    if not _HISTORY.fullmatch(node.id):
        return None
    for name, number in (("Out", node.id[1:]), ("In", node.id[2:])):
        if number.isdecimal():
            return f"{name}[{number}]"
    return node.id

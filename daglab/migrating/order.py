"""What depends on cells having been run in another order than they stand in, by their execution counts."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from daglab.migrating import cells, edits, glances

# Magics that bind no name, or whose cell is Python besides.
_BINDS_NOTHING = re.compile(
    r"%%?(alias_magic|autoreload|autosave|capture|cd|colors|conda|config|debug|env|history|load_ext|ls|matplotlib|pdb|pip"
    r"|precision|prun|psearch|pwd|set_env|time|timeit|who|whos|writefile|xmode)\b"
)
_PYTHON_CELL = re.compile(r"%%(time|timeit|capture|prun)\b[^\n]*\n?")
_CAPTURED = re.compile(r"%%capture[ \t]+(?:--\S+[ \t]+)*([A-Za-z_]\w*)")
_ASSIGNED = re.compile(r"^([\w, \t]+=[ \t]*)[!%][^\n]*$", re.MULTILINE)
_TIMED = re.compile(r"^([ \t]*)%(?:time|timeit)[ \t]+(?!-)", re.MULTILINE)
_MAGIC_LINE = re.compile(r"^([ \t]*)(?![ \t])(?:[%!?][^\n]*|[^\n#'\"]*\?)$", re.MULTILINE)
_KERNELS = re.compile(r"_+\d*|_i+\d*|_ih|_oh|_dh|_exit_code|In|Out|display|get_ipython|exit|quit|__\w+__")
_CHANGING = frozenset(
    {
        "add",
        "append",
        "clear",
        "discard",
        "extend",
        "insert",
        "pop",
        "remove",
        "reverse",
        "setdefault",
        "sort",
        "update",
    }
)


@dataclass(frozen=True)
class Step:
    """A code cell: where it stands (its number), when it ran (None: never), and what it does to names."""

    number: int
    count: int | None
    sight: glances.Glance
    changed: frozenset[str]
    catches: bool

    @property
    def writes(self) -> frozenset[str]:
        """What it binds, or changes in place."""
        return self.sight.bound | self.changed


def apply(draft: cells.Draft) -> cells.Draft:
    """Say what is not the same from top to bottom; the cells stay as they are.

    Without execution counts, and where cells ran in the order in which they stand, there is nothing to say.
    """
    codes = [each for each in draft.original.cells if each.kind == "code" and each.source.strip()]
    if not any(each.execution_count for each in codes):
        return draft
    steps = [step for step in map(_step, codes) if step is not None]
    notes = [*_never_run(codes, steps), *_unbound(steps, codes), *_other_values(steps), *_run_again(steps)]
    return cells.with_notes(draft, *sorted(notes, key=lambda note: note.cell or 0))


def _step(original: cells.Original) -> Step | None:
    tree = edits.parsed(python(original.source))
    if tree is None:
        return None
    captured = _CAPTURED.match(original.source.lstrip())
    sight = glances.at(tree)
    if captured:
        sight = glances.Glance(sight.bound | {captured[1]}, sight.read, sight.later, sight.used, sight.deleted)
    # A cell that catches NameError, or ended with one, means it.
    catches = "NameError" in original.source or any(each.get("ename") == "NameError" for each in original.outputs)
    return Step(original.number, original.execution_count or None, sight, frozenset(_changed(tree)), catches)


def python(source: str) -> str:
    """A Jupyter cell without its magics, as far as a glance needs it."""
    text = source.lstrip() if source.lstrip().startswith("%%") else source
    if text.startswith("%%"):
        if not _PYTHON_CELL.match(text):
            return ""
        text = _PYTHON_CELL.sub("", text, count=1)
    text = _ASSIGNED.sub(r"\1None", text)
    text = _TIMED.sub(r"\1", text)
    return text if edits.parsed(text) is not None else _MAGIC_LINE.sub(r"\1pass", text)


def _changed(tree: ast.Module) -> Iterator[str]:
    """Names of data that a cell changes in place: `df["a"] = 1`, `box.v = 1`, `rows.append(1)`."""
    for node in edits.walk(tree):
        base: ast.AST | None = None
        if isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
            base = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
            base = node.func.value
        while isinstance(base, (ast.Subscript, ast.Attribute)):
            base = base.value
        if isinstance(base, ast.Name):
            yield base.id


def _never_run(codes: Sequence[cells.Original], steps: Sequence[Step]) -> Iterator[cells.Note]:
    by_number = {step.number: step for step in steps}
    below: set[str] = set()  # what is read by the cells below
    for each in reversed(codes):
        step = by_number.get(each.number)
        if not each.execution_count:
            hit = sorted(step.writes & below) if step else []
            text = "The notebook was saved without this cell having been run; now it runs"
            text += f", and cells below see its {_listed(hit)}." if hit else "."
            yield cells.Note("order", text, each.number, needs_person=bool(hit))
        if step:
            below |= step.sight.used


def _unbound(steps: Sequence[Step], codes: Sequence[cells.Original]) -> Iterator[cells.Note]:
    """Names that nothing above binds."""
    hidden = any(_binds_more(each.source) for each in codes) or len(steps) < len(codes)
    binders: dict[str, list[Step]] = {}
    for step in steps:
        for name in step.sight.bound:
            binders.setdefault(name, []).append(step)
    seen: set[str] = set()
    for step in steps:
        for name in sorted(step.sight.read - seen):
            if hasattr(builtins, name) or _KERNELS.fullmatch(name) or step.catches or step.count is None:
                continue
            below = [each.number for each in binders.get(name, ()) if each.number > step.number]
            if below:
                where = f"bound only below, by {_cells(below)}"
                text = f"It reads `{name}`, which is {where}: from top to bottom there is none yet (NameError)."
            elif name in step.sight.bound:
                text = f"It reads `{name}` before it binds it itself, and no cell above does (NameError)."
            elif not hidden:
                text = f"It reads `{name}`, which no cell binds (any more): from top to bottom this is a NameError."
            else:
                continue
            yield cells.Note("order", text, step.number, needs_person=True)
        seen |= step.sight.bound


def _binds_more(source: str) -> bool:
    """Whether a cell may bind names that can't be seen in it."""
    lines = [line.strip() for line in source.split("\n")]
    return "import *" in source or any(line.startswith("%") and not _BINDS_NOTHING.match(line) for line in lines)


def _other_values(steps: Sequence[Step]) -> Iterator[cells.Note]:
    """Names that are read from another cell, from top to bottom, than they were when the notebook was run."""
    ran = sorted((step for step in steps if step.count), key=lambda step: step.count or 0)
    if [step.number for step in ran] == sorted(step.number for step in ran):
        return
    then = _sources(ran)
    now = _sources(steps)
    told: set[str] = set()
    for step in ran:
        for name in sorted(step.sight.read):
            before, after = then[step.number].get(name), now[step.number].get(name)
            if before is None or after is None or before is after:
                continue
            told.add(name)
            yield cells.Note("order", _told(step, name, before, after), step.number, needs_person=True)
    shared = frozenset().union(*[step.sight.read | step.sight.later for step in steps])
    wrote, writes = _writers(ran), _writers(steps)
    for name in sorted(shared - told):
        last, lowest = wrote.get(name), writes.get(name)
        if last is not None and lowest is not None and last is not lowest and lowest.count:
            text = f"It ran after cell {lowest.number}, and both {_verb(last, name)} `{name}`: "
            text += f"from top to bottom cell {lowest.number} does so last."
            yield cells.Note("order", text, last.number, needs_person=True)


def _told(step: Step, name: str, before: Step, after: Step) -> str:
    when = "after" if before.number > step.number else "before"
    text = f"It ran after cell {before.number} and reads `{name}`, which cell {before.number} {_verb(before, name)}s"
    if when == "after":
        text += " below"
    return f"{text}: from top to bottom it sees that of cell {after.number}."


def _verb(step: Step, name: str) -> str:
    return "bind" if name in step.sight.bound else "change"


def _sources(steps: Sequence[Step]) -> dict[int, dict[str, Step]]:
    """For each cell's number, from which cell each name that it reads comes when they run in this order."""
    held: dict[str, Step] = {}
    found: dict[int, dict[str, Step]] = {}
    for step in steps:
        found[step.number] = {name: held[name] for name in step.sight.read if name in held}
        for name in step.writes:
            held[name] = step
    return found


def _writers(steps: Sequence[Step]) -> dict[str, Step]:
    """The last cell that writes each name."""
    return {name: step for step in steps for name in step.writes}


def _run_again(steps: Sequence[Step]) -> Iterator[cells.Note]:
    """Cells that change what they read, where numbers are missing before their own: they may have run several times."""
    counts = {step.count for step in steps if step.count}
    for step in steps:
        own = sorted(step.sight.read & step.sight.bound)
        if own and step.count and step.count > 1 and step.count - 1 not in counts:
            text = f"It makes {_listed(own)} anew from what it was, and the count before its own is missing: "
            yield cells.Note("order", text + "it may have been run more than once; now it runs once.", step.number)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:5]) + (" and others" if len(names) > 5 else "")


def _cells(numbers: Sequence[int]) -> str:
    return ("cell " if len(numbers) == 1 else "cells ") + ", ".join(map(str, numbers[:5]))

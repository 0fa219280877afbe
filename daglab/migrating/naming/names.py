"""Each name defined once, to the same end: temporaries made local, data renamed along the flow, cells merged."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from daglab.migrating import cells, edits, imports
from daglab.migrating.naming import bindings, calls, flow, merging, renaming, repeats, scopes, versions

_WORD = re.compile(r"[^\W\d]\w*")
_PICKLES = frozenset({"pickle", "cPickle", "dill", "joblib", "multiprocessing", "ProcessPoolExecutor", "Pool"})
_ASKS_NAMES = re.compile(r"\.__(?:qual)?name__|\b(?:agg|aggregate|tools)\b")


@dataclass
class _Work:
    """The cells that run and are Python, with their places in the draft and their texts.

    `asks_names` says that functions may be asked for their names.
    """

    draft: cells.Draft
    places: list[int]
    texts: list[str]
    notebook: versions.Notebook
    settled: merging.Settled
    asks_names: bool
    notes: list[cells.Note] = field(default_factory=list)

    def number(self, cell: int) -> int | None:
        """The Jupyter number of a cell."""
        return next(iter(self.draft.cells[self.places[cell]].origins), None)


def apply(draft: cells.Draft) -> cells.Draft:
    """Give each name one cell that binds it, as marimo wants, so that the notebook still runs to the same end."""
    try:
        return _applied(draft)
    except edits.TOO_MUCH:
        text = "Its code is nested too deeply to be looked at: rename by hand what is bound twice."
        return cells.with_notes(draft, cells.Note("name", text, needs_person=True))


def _applied(draft: cells.Draft) -> cells.Draft:
    reserved: set[str] = set()
    wanted = imports.wanted(draft.cells)
    while True:
        reserved |= wanted
        work = _work(*repeats.apply(draft, reserved), reserved)
        made = _rewritten(work)
        wanted = imports.wanted(made)
        if wanted <= reserved:
            break
    return cells.with_notes(dataclasses.replace(work.draft, cells=_placed(work, made)), *_noted(work), *work.notes)


def _work(draft: cells.Draft, found: repeats.Found, reserved: set[str]) -> _Work:
    places = [place for place, each in enumerate(found) if each is not None]
    texts = [bindings.lines(draft.cells[place].code) for place in places]
    notebook = _notebook(draft, texts, [each for each in found if each is not None], reserved)
    asks = any(_ASKS_NAMES.search(text) for text in texts)
    return _Work(draft, places, texts, notebook, merging.settle(notebook), asks)


def _notebook(
    draft: cells.Draft, texts: Sequence[str], found: Sequence[bindings.Binding], reserved: set[str]
) -> versions.Notebook:
    cell_words = [set(_WORD.findall(text)) for text in texts]
    words: set[str] = set()
    for cell in draft.cells:
        if cell.kind == "code":
            words.update(_WORD.findall(cell.code))
    return versions.Notebook(found, flow.follow(found), set(reserved), words, cell_words)


def _rewritten(work: _Work) -> list[cells.Cell]:
    """The new cell of each group."""
    new: list[dict[bindings.Mention, str]] = [{} for _ in work.texts]
    grouping, plan = work.settled.grouping, work.settled.plan
    heads: dict[int, list[versions.CopyIn]] = {}
    tails: dict[int, list[str]] = {}
    for name, history in plan.histories.items():
        for cell, mention in work.notebook.mentions[name]:
            version = history.at(grouping.of[cell]) if mention.unit is None else history.units[mention.unit]
            new[cell][mention] = history.called(version)
        for version, copied in history.copied.items():
            if version in history.aliases:
                tails.setdefault(history.starts[version], []).extend(_copy(copied))
            else:
                heads.setdefault(history.starts[version], []).append(copied)
    return [
        _cell(work, members, [new[index] for index in members], (heads.get(group, []), tails.get(group, [])))
        for group, members in enumerate(grouping.members)
    ]


def _cell(
    work: _Work,
    members: Sequence[int],
    new: Sequence[dict[bindings.Mention, str]],
    around: tuple[Sequence[versions.CopyIn], Sequence[str]],
) -> cells.Cell:
    old = [work.draft.cells[work.places[index]] for index in members]
    pieces = []
    for index, names in zip(members, new, strict=True):
        text, tree = renaming.renamed(work.texts[index], work.notebook.found[index], names)
        said = {new: each.name for each, new in names.items() if new != each.name and _says_its_name(work, each.node)}
        if said:
            text = renaming.named_as_before(text, tree, said)
            tree = ast.parse(text)
        pieces.append((text, tree))
    if len(pieces) == 1:
        unchanged = pieces[0][0] == work.texts[members[0]]
        body = old[0].code if unchanged else pieces[0][0]
    else:
        body = merging.joined(pieces)
    origins = tuple(dict.fromkeys(number for cell in old for number in cell.origins))
    hidden = all(cell.hidden for cell in old)
    copies, body = renaming.without_copies([(each.old, each.new, each.guarded) for each in around[0]], body)
    head = renaming.lines([line for place in copies for line in _copy(around[0][place])])
    return dataclasses.replace(old[0], code=head + merging.ended(body, around[1]), origins=origins, hidden=hidden)


def _says_its_name(work: _Work, node: ast.AST) -> bool:
    """Whether a class or a function must be called as before by itself, too; what is pickled is found by its name."""
    if not isinstance(node, renaming.DEFINED) or not _PICKLES.isdisjoint(work.notebook.words):
        return False
    return isinstance(node, ast.ClassDef) or work.asks_names or bool(scopes.decorators(node) - calls.TAME)


def _copy(copied: versions.CopyIn) -> list[str]:
    line = f"{copied.new} = {copied.old}"
    return ["try:", f"    {line}", "except NameError:", "    pass"] if copied.guarded else [line]


def _placed(work: _Work, made: Sequence[cells.Cell]) -> tuple[cells.Cell, ...]:
    """The new cells where the last of their old ones stood: what stood between merged cells stands before them."""
    last = {work.places[members[-1]]: made[at] for at, members in enumerate(work.settled.grouping.members)}
    gone = set(work.places)
    placed: list[cells.Cell] = []
    for place, cell in enumerate(work.draft.cells):
        if place in last:
            placed.append(last[place])
        elif place not in gone:
            placed.append(cell)
    return tuple(placed)


def _noted(work: _Work) -> list[cells.Note]:
    """What was done to each cell."""
    renames: dict[int, dict[str, str]] = {}
    local: dict[int, set[str]] = {}
    changed: dict[int, dict[str, str]] = {}
    grouping = work.settled.grouping
    for name, history in work.settled.plan.histories.items():
        for version, group in enumerate(history.starts):
            called, cell = history.called(version), grouping.members[group][0]
            if version in history.aliases:
                changed.setdefault(cell, {})[history.called(version - 1)] = called
            elif version in history.local and called != name:
                local.setdefault(cell, set()).add(name)
            elif called != name:
                renames.setdefault(cell, {})[name] = called
    notes = [
        cells.Note("name", f"Bound here too, and renamed from here on: {_pairs(names)}.", work.number(cell))
        for cell, names in sorted(renames.items())
    ]
    notes += [
        cells.Note("name", f"Made local, as no other cell reads it: {', '.join(sorted(names))}.", work.number(cell))
        for cell, names in sorted(local.items())
    ]
    notes += [
        cells.Note("mutation", f"Changed in place; later cells read the new name: {_pairs(names)}.", work.number(cell))
        for cell, names in sorted(changed.items())
    ]
    for group, members in enumerate(grouping.members):
        if len(members) > 1:
            notes.append(_merged(work, members, work.settled.reasons.get(group, [])))
    return [*notes, *_computed(work)]


def _computed(work: _Work) -> list[cells.Note]:
    """Cells that name variables by texts made when they run, where variables are called otherwise by now."""
    found = []
    for index, each in enumerate(work.notebook.found):
        if each.computed:
            group = work.settled.grouping.of[index]
            other = {
                name: history.called(history.at(group))
                for name, history in work.settled.plan.histories.items()
                if history.at(group) >= 0 and name not in each.bound and history.called(history.at(group)) != name
            }
            if other:
                text = "It names variables by a text made when it runs; some are called otherwise by now"
                found.append(cells.Note("name", f"{text}: {_pairs(other)}.", work.number(index), needs_person=True))
    return found


def _pairs(names: dict[str, str]) -> str:
    return ", ".join(f"{old} to {new}" for old, new in sorted(names.items()))


def _merged(work: _Work, members: Iterable[int], reasons: Sequence[str]) -> cells.Note:
    numbers = [str(number) for number in map(work.number, members) if number is not None]
    why = "; ".join(reasons[:3]) + (" and more" if len(reasons) > 3 else "")
    return cells.Note("merge", f"Cells {', '.join(numbers)} are one now: {why}.", int(numbers[0]) if numbers else None)

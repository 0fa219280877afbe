"""Cells that must become one, as few as can be, so that marimo runs the rest in the order of the document."""

from __future__ import annotations

import ast
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daglab.migrating import edits
from daglab.migrating.displaying import rewriting, shown
from daglab.migrating.naming import mutations, scopes, versions

# Calls that show nothing, as their value is None.
_SILENT = frozenset({"print", "append", "extend", "show", "sort", "reverse", "seed", "filterwarnings", "simplefilter"})
_DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Settled:
    """The groups of cells, what each name is called in them, and why cells were merged, by group."""

    grouping: versions.Grouping
    plan: versions.Plan
    reasons: dict[int, list[str]]


def settle(notebook: versions.Notebook) -> Settled:
    """Merge runs of neighbouring cells until each name can be told apart and no cell runs before its turn."""
    members = [[index] for index in range(len(notebook.found))]
    said: list[tuple[int, int, str]] = []
    while True:
        grouping = versions.Grouping.made(notebook, members)
        plan = versions.plan(notebook, grouping)
        merges = plan.merges or _out_of_order(notebook, grouping, plan)
        wider = [(low, high, why) for low, high, why in merges if low < high]
        if not wider:
            return Settled(grouping, _with_edges(notebook, grouping, plan), _reasons(grouping, said))
        said += [(members[low][0], members[high][-1], why) for low, high, why in wider]
        members = _joined(members, wider)


def _with_edges(notebook: versions.Notebook, grouping: versions.Grouping, plan: versions.Plan) -> versions.Plan:
    """Where a cell changes what another cell's name holds, the cells after it read another name for it."""
    aliases = []
    frames = mutations.frames(found.tree for found in notebook.found)
    for group, cells in enumerate(grouping.members):
        names = set().union(*(mutations.changed(notebook.found[cell], frames) for cell in cells))
        for name in sorted(names):
            if name in plan.histories and _followed(notebook, grouping, plan.histories[name], group):
                aliases.append((name, group))
    if not aliases:
        return plan
    edged = versions.plan(notebook, grouping, aliases)
    return plan if edged.merges or _out_of_order(notebook, grouping, edged) else edged


def _followed(notebook: versions.Notebook, grouping: versions.Grouping, history: versions.History, group: int) -> bool:
    """Whether a later cell reads at once what this group changed, and may do so by another name."""
    version = history.at(group)
    if version < 0 or history.starts[version] == group or history.pinned or history.name in notebook.reserved:
        return False
    mentions = notebook.mentions[history.name]
    kinds = (ast.alias, ast.FunctionDef, ast.AsyncFunctionDef)
    if any(isinstance(each.node, kinds) or (each.unit is not None and each.how != "read") for _, each in mentions):
        return False
    readers = {grouping.of[cell] for cell, mention in mentions if mention.unit is None}
    copied = version + 1 in history.copied and history.starts[version + 1] > group
    return copied or any(reader > group and history.at(reader) == version for reader in readers)


def _joined(members: Sequence[list[int]], merges: Iterable[tuple[int, int, str]]) -> list[list[int]]:
    ends: dict[int, int] = {}
    for low, high, _ in merges:
        ends[low] = max(high, ends.get(low, low))
    joined: list[list[int]] = []
    until = -1
    for index, cells in enumerate(members):
        if index <= until:
            joined[-1] = [*joined[-1], *cells]
        else:
            joined.append(list(cells))
        until = max(until, ends.get(index, -1))
    return joined


def _reasons(grouping: versions.Grouping, said: Iterable[tuple[int, int, str]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for low, _, why in said:
        kept = found.setdefault(grouping.of[low], [])
        if why not in kept:
            kept.append(why)
    return found


def _out_of_order(
    notebook: versions.Notebook, grouping: versions.Grouping, plan: versions.Plan
) -> list[tuple[int, int, str]]:
    """The merges without which marimo would run a cell that does something before or after its turn."""
    if not plan.backward:
        return []
    children, edges = _edges(notebook, grouping, plan)
    merges = _cycles(edges, plan, len(grouping.members))
    if merges:
        return merges
    open_ends = {(later, earlier) for earlier, later, _, sure in plan.backward if sure}
    order = _sorted({each for each in edges if each not in open_ends}, len(grouping.members))
    turns = {group: turn for turn, group in enumerate(order)}
    doing = [group for group in range(len(grouping.members)) if not _defines_only(notebook, grouping.members[group])]
    late, latest = set(), -1
    for group in reversed(doing):
        if latest != -1 and turns[group] > latest:
            late.add(group)
        latest = turns[group] if latest == -1 else min(latest, turns[group])
    if not late:
        return []
    return [
        (earlier, later, f"{name} is bound below the code that uses it")
        for earlier, later, name, sure in plan.backward
        if not sure and (earlier in late or late & _reached(children, earlier))
    ]


def _edges(
    notebook: versions.Notebook, grouping: versions.Grouping, plan: versions.Plan
) -> tuple[dict[int, set[int]], set[tuple[int, int]]]:
    edges = {(later, earlier) for earlier, later, _, _ in plan.backward}
    for name, history in plan.histories.items():
        for cell, mention in notebook.mentions[name]:
            group = grouping.of[cell]
            version = history.at(group) if mention.unit is None else history.units[mention.unit]
            if version >= 0:
                edges.add((history.starts[version], group))
        for version in history.copied:
            if version:
                edges.add((history.starts[version - 1], history.starts[version]))
        for cell in notebook.phantoms.get(name, ()):
            edges.update(
                (start, grouping.of[cell]) for at, start in enumerate(history.starts) if history.called(at) == name
            )
    edges = {(one, other) for one, other in edges if one != other}
    children: dict[int, set[int]] = {}
    for one, other in edges:
        children.setdefault(one, set()).add(other)
    return children, edges


def _sorted(edges: set[tuple[int, int]], size: int) -> list[int]:
    """As marimo sorts: what needs nothing more, in the order of the document."""
    children: dict[int, list[int]] = {}
    waits = [0] * size
    for one, other in edges:
        children.setdefault(one, []).append(other)
        waits[other] += 1
    heap = [group for group in range(size) if not waits[group]]
    order = []
    while heap:
        group = heapq.heappop(heap)
        order.append(group)
        for child in children.get(group, ()):
            waits[child] -= 1
            if not waits[child]:
                heapq.heappush(heap, child)
    return order


def _cycles(edges: set[tuple[int, int]], plan: versions.Plan, size: int) -> list[tuple[int, int, str]]:
    stuck = set(range(size)) - set(_sorted(edges, size))
    found = [
        (earlier, later, f"{name} is bound below the code that uses it, and needs it")
        for earlier, later, name, _ in plan.backward
        if earlier in stuck and later in stuck
    ]
    return found[:1] if found else []


def _reached(children: dict[int, set[int]], start: int) -> set[int]:
    seen, waiting = {start}, [start]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in seen:
                seen.add(child)
                waiting.append(child)
    return seen


def _defines_only(notebook: versions.Notebook, members: Iterable[int]) -> bool:
    """Whether a cell only defines functions and classes, so that nobody sees when it runs."""
    return all(defines(statement) for cell in members for statement in notebook.found[cell].tree.body)


def defines(statement: ast.stmt) -> bool:
    """Whether a statement only makes a function or a class, of nothing but literals."""
    if isinstance(statement, _DEFINED):
        arguments = statement.args
        given = [*arguments.defaults, *(each for each in arguments.kw_defaults if each is not None)]
        return not statement.decorator_list and all(isinstance(each, ast.Constant) for each in given)
    if isinstance(statement, ast.ClassDef):
        outer = [*statement.bases, *(each.value for each in statement.keywords)]
        tame = not statement.decorator_list and all(isinstance(each, ast.Name) for each in outer)
        return tame and not statement.keywords and all(defines(each) for each in statement.body)
    return isinstance(statement, ast.Pass) or _is_text(statement)


def _is_text(statement: ast.stmt) -> bool:
    """Whether it is a docstring."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def joined(pieces: Sequence[tuple[str, ast.Module]]) -> str:
    """Cells' texts as one; what one of them shows stays shown."""
    shows = [_shows(text, tree) for text, tree in pieces]
    if not any(shows[:-1]):
        return "\n\n".join(text.rstrip() for text, _ in pieces)
    every = "\n".join(text for text, _ in pieces)
    texts = [_appending(text, tree, every) if does else text for (text, tree), does in zip(pieces, shows, strict=True)]
    return "\n\n".join(text.rstrip() for text in texts)


def _appending(text: str, tree: ast.Module, every: str) -> str:
    """A cell whose last expression is shown beside others; `every` is the code that it stands in."""
    source = rewriting.Source(text)
    last = tree.body[-1]
    begin, end = source.span(last)
    made = shown.appended(every, source, last.value)  # type: ignore[attr-defined]
    line = text.rfind("\n", 0, begin) + 1
    before = text[:begin].rstrip(" \t;") + "\n" if text[line:begin].strip() else text[:begin]
    return before + made + text[end:]


def _shows(text: str, tree: ast.Module) -> bool:
    """Whether a cell shows its last expression: not a `;` after it, not what is None for sure."""
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        return False
    value = last.value
    if isinstance(value, ast.Call) and scopes.last_name(value.func) in _SILENT:
        return False
    if isinstance(value, ast.Constant) and value.value is None:
        return False
    _, end = edits.span(text, last)
    return not text[end:].lstrip().startswith(";")


def ended(text: str, lines: Sequence[str]) -> str:
    """The text with lines at its end, but above its last expression, which stays what the cell shows."""
    if not lines:
        return text
    tree = ast.parse(text)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        return "\n".join([text.rstrip(), *lines])
    begin, _ = edits.span(text, last)
    alone = not text[text.rfind("\n", 0, begin) + 1 : begin].strip()
    return text[:begin] + ("\n".join([*lines, ""]) if alone else "; ".join([*lines, ""])) + text[begin:]

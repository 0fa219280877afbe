"""Which of a name's bindings each mention of it means, and what each binding is called in the new notebook."""

from __future__ import annotations

import ast
import bisect
import builtins
import dataclasses
import keyword
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from daglab.migrating import imports
from daglab.migrating.naming import bindings, flow, scopes

BUILTINS = frozenset(dir(builtins)) - {"_"}
# What can be made local; an import's or a class's name shows elsewhere.
_PLAIN = (ast.Name, ast.FunctionDef, ast.AsyncFunctionDef, ast.MatchAs, ast.MatchStar, ast.MatchMapping)
BEFORE = -1  # the version that is there before the first binding: a builtin, or an import that daglab adds


@dataclass
class Notebook:
    """The cells that run, by their place, and what each does; `reserved` are names that daglab's own imports need.

    `words` is every word in the code; `there` are the mentions by cell and name.
    """

    found: Sequence[bindings.Binding]
    flow: flow.Flow
    reserved: set[str]
    words: set[str]
    cell_words: Sequence[set[str]]
    there: dict[tuple[int, str], list[bindings.Mention]] = field(default_factory=dict)
    mentions: dict[str, list[tuple[int, bindings.Mention]]] = field(default_factory=dict)
    texts: dict[str, set[int]] = field(default_factory=dict)
    phantoms: dict[str, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, each in enumerate(self.found):
            for mention in each.mentions:
                self.mentions.setdefault(mention.name, []).append((index, mention))
                self.there.setdefault((index, mention.name), []).append(mention)
            for name in each.texts:
                self.texts.setdefault(name, set()).add(index)
            for name in each.phantoms:
                self.phantoms.setdefault(name, set()).add(index)

    def imports_only(self, name: str) -> bool:
        """Whether a name that daglab needs is bound by the very import that it would add."""
        line = imports.LINES.get(name, "")
        meaning = {each for node in ast.parse(line).body for each in scopes.imported(node)}
        kept = [each for each in self.found if name in each.bound]
        return bool(kept) and all({(name, every) for every in each.imports.get(name, ())} == meaning for each in kept)

    def runs_outside(self, unit: bindings.Unit, members: Iterable[int]) -> bool:
        """Whether a unit may run in another cell than these."""
        return bool(self.flow.runs.get(unit, set()) - set(members))


@dataclass(frozen=True)
class CopyIn:
    """A cell's first line: `new` begins as `old` is; `guarded` where that may not be bound."""

    new: str
    old: str
    guarded: bool


@dataclass
class History:
    """One name's bindings: `starts` are the groups at which each version begins, `aliases` those that only begin
    after their group, as another name for the same object.
    """

    name: str
    starts: list[int] = field(default_factory=list)
    aliases: set[int] = field(default_factory=set)
    base: bool = False
    units: dict[bindings.Unit, int] = field(default_factory=dict)
    pinned: set[int] = field(default_factory=set)
    names: dict[int, str] = field(default_factory=dict)
    copied: dict[int, CopyIn] = field(default_factory=dict)
    local: set[int] = field(default_factory=set)

    def at(self, group: int) -> int:
        """The version that code in a group means."""
        version = bisect.bisect_right(self.starts, group) - 1
        return version - 1 if version in self.aliases and self.starts[version] == group else version

    def root(self, version: int) -> int:
        """The version that made the object."""
        while version in self.aliases:
            version -= 1
        return version

    def called(self, version: int) -> str:
        """What a version is called in the new notebook."""
        return self.names.get(version, self.name)


@dataclass
class Plan:
    """All histories, the runs of groups that must become one cell, and edges against the order of the document."""

    histories: dict[str, History]
    merges: list[tuple[int, int, str]] = field(default_factory=list)
    backward: list[tuple[int, int, str, bool]] = field(default_factory=list)


def is_local(name: str) -> bool:
    """Whether marimo keeps a name to its cell."""
    return name == "__" or (name.startswith("_") and not name.startswith("__"))


@dataclass
class Grouping:
    """Which cells are one: `of` by cell, `members` by group."""

    of: list[int]
    members: list[list[int]]
    passages: list[flow.Passage]

    @classmethod
    def made(cls, notebook: Notebook, members: list[list[int]]) -> Grouping:
        """From the cells of each group, in order."""
        of = [0] * len(notebook.found)
        passages = []
        for group, cells in enumerate(members):
            passage = flow.Passage()
            for cell in cells:
                of[cell] = group
                passage = passage.then(notebook.flow.passages[cell])
            passages.append(passage)
        return cls(of, members, passages)


def plan(notebook: Notebook, grouping: Grouping, aliases: Iterable[tuple[str, int]] = ()) -> Plan:
    """What each name is called where; `aliases` are names and the groups after which they get another one."""
    made = Plan({})
    extra: dict[str, list[int]] = {}
    for name, group in aliases:
        extra.setdefault(name, []).append(group)
    for name in notebook.mentions:
        history = _history(notebook, grouping, name, extra.get(name, ()))
        if history.starts:
            made.histories[name] = history
            _resolve(notebook, grouping, history, made)
        else:
            made.merges += _only_deleted(notebook, grouping, name)
    if made.merges:
        return made
    taken: set[str] = set()
    for history in made.histories.values():
        _name(notebook, grouping, history, taken)
    _backward(notebook, grouping, made)
    return made


def _history(notebook: Notebook, grouping: Grouping, name: str, aliases: Iterable[int]) -> History:
    binding = ("bind", "declare", "delete", "global")
    binders = {grouping.of[cell] for cell, mention in notebook.mentions[name] if mention.how in binding}
    binders = binders if any(each.how in ("bind", "declare") for _, each in notebook.mentions[name]) else set()
    cells = {cell for cell, _ in notebook.mentions[name]} | notebook.phantoms.get(name, set())
    last = max(grouping.of[cell] for cell in cells)
    hows = {(mention.how, mention.unit) for cell, mention in notebook.mentions[name] if grouping.of[cell] == last}
    if hows == {("delete", None)} and len(binders) == 2:
        binders.discard(last)  # a plain `del` after all else may stay as it is
    history = History(name, base=name in BUILTINS or (name in notebook.reserved and not notebook.imports_only(name)))
    for group in sorted({*binders, *aliases}):
        if group not in binders:
            history.aliases.add(len(history.starts))
        history.starts.append(group)
    return history


def _resolve(notebook: Notebook, grouping: Grouping, history: History, made: Plan) -> None:
    """The version that each function means: one for all the places at which it may run, or the cells are merged."""
    writers = {mention.unit for _, mention in notebook.mentions[history.name] if mention.how != "read"}
    for cell, mention in notebook.mentions[history.name]:
        if mention.unit is None or mention.unit in history.units:
            continue
        group = grouping.of[cell]
        own = notebook.found[cell].means_own_class(mention)
        ran = {group} if own else {grouping.of[each] for each in notebook.flow.runs.get(mention.unit, ())}
        versions = {history.root(history.at(each)) for each in ran}
        versions -= set() if history.base else {BEFORE}
        if not versions or mention.unit in writers:  # marimo takes what declares it global for its definition
            versions.add(history.root(history.at(group)))
        if versions == {BEFORE} and not history.base:
            versions = {0}
        if len(versions) > 1:
            _spans(history, versions, made, group, ran)
        history.units[mention.unit] = _nearest(history, min(versions), group)
    _deleted_builtin(notebook, grouping, history, made)
    named = {grouping.of[cell] for cell in notebook.texts.get(history.name, ())}
    for cell in notebook.texts.get(history.name, ()):
        for unit in {each.unit for each in notebook.found[cell].mentions if each.unit is not None}:
            named |= {grouping.of[each] for each in notebook.flow.runs.get(unit, ())}
    pinned = history.pinned = {history.at(group) for group in named} - {BEFORE}
    if len(pinned) > 1:
        why = f"a text names {history.name} when it runs"
        made.merges.append((history.starts[min(pinned)], history.starts[max(pinned)], why))


def _deleted_builtin(notebook: Notebook, grouping: Grouping, history: History, made: Plan) -> None:
    """After `del list` the builtin is there again: only one name for all of it keeps that."""
    mentions = notebook.mentions[history.name]
    if history.base and any(mention.how == "delete" for _, mention in mentions):
        first = min(grouping.of[cell] for cell, _ in mentions)
        if first < history.starts[-1]:
            made.merges.append((first, history.starts[-1], f"{history.name} is Python's own again when it is deleted"))


def _spans(history: History, versions: set[int], made: Plan, group: int, ran: set[int]) -> None:
    low, high = min(versions), max(versions)
    first = history.starts[low] if low != BEFORE else min(group, *ran)
    why = f"a function uses {history.name}, which is bound anew between calls"
    made.merges.append((first, history.starts[high], why))


def _nearest(history: History, version: int, group: int) -> int:
    """Of a version and its other names for the same object the last that a group can read."""
    best = version
    for index in sorted(history.aliases):
        if history.root(index) == version and index <= history.at(group):
            best = index
    return best


def _name(notebook: Notebook, grouping: Grouping, history: History, taken: set[str]) -> None:
    outside, before, later = _readers(notebook, grouping, history)
    following = False
    public: list[int] = []
    for version in reversed(range(len(history.starts))):
        group = history.starts[version]
        read = version in outside or following or version in history.pinned
        following = version in history.aliases or _inherits(grouping, history, version, read or version in later)
        if following:
            guarded = version not in history.aliases and _unsure(grouping, history, version)
            history.copied[version] = CopyIn("", "", guarded)
        if read or not _keep_local(notebook, grouping, history, version, group):
            public.append(version)
    public.reverse()
    _public(notebook, history, public, before, taken)
    for version, copied in list(history.copied.items()):
        old = history.called(version - 1) if version else history.name
        if old == history.called(version):
            del history.copied[version]
        else:
            history.copied[version] = dataclasses.replace(copied, new=history.called(version), old=old)


def _readers(notebook: Notebook, grouping: Grouping, history: History) -> tuple[set[int], set[int], set[int]]:
    """The versions read outside of their groups, the groups that mean what was before, and versions read later."""
    outside: set[int] = set()
    later: set[int] = set()
    before: set[int] = {grouping.of[cell] for cell in notebook.phantoms.get(history.name, ())}
    for cell, mention in notebook.mentions[history.name]:
        group = grouping.of[cell]
        version = history.at(group) if mention.unit is None else history.units[mention.unit]
        if version == BEFORE:
            if history.base:
                before.add(group)
            elif mention.unit is None:
                outside.add(0)
        elif history.starts[version] != group or version in history.aliases:
            outside.add(version)
        elif mention.unit and notebook.runs_outside(mention.unit, grouping.members[group]):
            later.add(version)
    return outside if is_local(history.name) else outside | later, before, later


def _inherits(grouping: Grouping, history: History, version: int, read: bool) -> bool:
    """Whether a version begins as the one before it."""
    if version == 0 and not history.base:
        return False
    passage = grouping.passages[history.starts[version]]
    return history.name in passage.needs or (read and history.name not in passage.sure)


def _unsure(grouping: Grouping, history: History, version: int) -> bool:
    """Whether the version before may not be bound when this one begins."""
    while version > 0:
        version -= 1
        if version in history.aliases:
            continue
        passage = grouping.passages[history.starts[version]]
        if history.name in passage.gone:
            return True
        if history.name in passage.sure:
            return False
        if not _inherits(grouping, history, version, True):
            return True
    return not history.base


def _keep_local(notebook: Notebook, grouping: Grouping, history: History, version: int, group: int) -> bool:
    """Make a version that nobody else reads local to its cell, where the name allows that; whether it is."""
    name = history.name
    here = [mention for cell in grouping.members[group] for mention in notebook.there.get((cell, name), ())]
    if any(mention.how == "global" for mention in here):
        return False  # marimo loses a local name that a function declares global
    if is_local(name):
        if any(name in notebook.found[cell].attributes for cell in grouping.members[group]):
            return False  # a method's name is its class's own, for marimo
        history.local.add(version)
        history.names[version] = name
        return True
    if name.startswith("_") or len(history.starts) == 1:
        return False
    plain = all(isinstance(mention.node, _PLAIN) for mention in here if mention.how != "read")
    if not plain or any(f"_{name}" in notebook.cell_words[cell] for cell in grouping.members[group]):
        return False
    history.local.add(version)
    history.names[version] = f"_{name}"
    return True


def _public(notebook: Notebook, history: History, public: list[int], before: set[int], taken: set[str]) -> None:
    name = history.name
    hidden = is_local(name)
    plain = None
    if not hidden and (name not in notebook.reserved or notebook.imports_only(name)):
        wanted = [each for each in public if each in history.pinned] or public[:1]
        for version in wanted[:1]:
            first = {history.starts[0]} if 0 in history.copied and history.base else set()
            early = any(group < history.starts[version] for group in before | first)
            copies = version == 0 and version in history.copied and bool(before - {history.starts[0]})
            if version in history.pinned or not (early or copies):
                plain = version
    for version in public:
        if version == plain:
            history.names[version] = name
        else:
            history.names[version] = fresh(notebook, name, taken, hidden)


def fresh(notebook: Notebook, name: str, taken: set[str], hidden: bool = False) -> str:
    """A name like this one that stands nowhere in the notebook."""
    stem = (name.strip("_") or "value") if hidden else name
    if not stem.isidentifier():
        stem = f"value_{stem}"
    number = 0 if hidden else 1
    while True:
        made = f"{stem}_{number}" if number else stem
        free = made not in notebook.words and made not in notebook.reserved and made not in BUILTINS
        if free and made not in taken and not keyword.iskeyword(made):
            taken.add(made)
            return made
        number += 1


def _deletes_first(notebook: Notebook, grouping: Grouping, history: History) -> list[tuple[int, int, str]]:
    """marimo runs a cell that deletes a name, above where it binds it, after all that read it."""
    met: dict[int, str] = {}
    for cell, mention in notebook.mentions[history.name]:
        if mention.how in ("bind", "delete", "declare"):
            met.setdefault(grouping.of[cell], mention.how)
    found: list[tuple[int, int, str]] = []
    for version, group in enumerate(history.starts):
        if met.get(group) == "delete" and version not in history.copied:
            readers = {
                grouping.of[cell]
                for cell, each in notebook.mentions[history.name]
                if (history.units[each.unit] if each.unit else history.at(grouping.of[cell])) == version
            }
            if version + 1 in history.copied:
                readers.add(history.starts[version + 1])
            why = f"{history.name} is deleted above where it is bound"
            found += [(min(group, each), max(group, each), why) for each in readers - {group}]
    return found


def _only_deleted(notebook: Notebook, grouping: Grouping, name: str) -> list[tuple[int, int, str]]:
    """marimo runs a cell that deletes what no cell binds after all that read it."""
    deletes = [grouping.of[cell] for cell, mention in notebook.mentions[name] if mention.how == "delete"]
    last = max(grouping.of[cell] for cell, _ in notebook.mentions[name])
    return [(each, last, f"{name} is deleted, and mentioned below") for each in deletes[:1] if each < last]


def _backward(notebook: Notebook, grouping: Grouping, made: Plan) -> None:
    """Reads of what only a later cell binds."""
    for name, history in made.histories.items():
        for cell, mention in notebook.mentions[name]:
            group = grouping.of[cell]
            if mention.unit is not None:
                version = history.units[mention.unit]
                if version >= 0 and history.starts[version] > group:
                    made.backward.append((group, history.starts[version], name, False))
            elif history.at(group) == BEFORE and not history.base:
                sure = any(event.name == name for step in notebook.found[cell].steps for event in step.events)
                made.backward.append((group, history.starts[0], name, sure))
        made.merges += _deletes_first(notebook, grouping, history)
        for cell in notebook.phantoms.get(name, ()):
            for version, start in enumerate(history.starts):
                if start > grouping.of[cell] and history.called(version) == name:
                    made.backward.append((grouping.of[cell], start, name, False))

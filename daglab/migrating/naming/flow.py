"""What happens to names from the first cell to the last: which functions may run where, what is surely bound.

Cells run in the order of the document. What is not known is taken for possible: a function may run wherever something
that may hold it is mentioned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from daglab.migrating.naming import bindings

Units = frozenset[bindings.Unit]
NONE: Units = frozenset()


@dataclass
class Passage:
    """One cell, or several as one: `needs` may be read before it is bound there, `sure` is bound at its end.

    `gone` may have been deleted in it.
    """

    needs: set[str] = field(default_factory=set)
    sure: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    def then(self, other: Passage) -> Passage:
        """Both, one after the other."""
        needs = self.needs | (other.needs - (self.sure - self.gone))
        return Passage(needs, (self.sure - other.gone) | other.sure, (self.gone - other.sure) | other.gone)


@dataclass
class Flow:
    """`passages` by cell; `runs` are the cells in which a unit may run."""

    passages: list[Passage]
    runs: dict[bindings.Unit, set[int]]


def follow(found: Sequence[bindings.Binding | None]) -> Flow:
    """Go through the cells in their order."""
    walk = _Walk()
    passages = []
    for index, each in enumerate(found):
        walk.begin(index)
        if each is not None:
            walk.block(each.steps, True)
        passages.append(walk.passage)
    return Flow(passages, walk.runs)


class _Walk:
    """What names may hold, step by step."""

    def __init__(self) -> None:
        self.holds: dict[str, Units] = {}
        self.linked: dict[str, set[str]] = {}
        self.escaped: Units = NONE
        self.runs: dict[bindings.Unit, set[int]] = {}
        self.cell = 0
        self.passage = Passage()
        self.results: dict[tuple[str, ...], Units] = {}

    def begin(self, cell: int) -> None:
        """The next cell; what was given away may run in it at any time."""
        self.cell, self.passage = cell, Passage()
        if self.escaped:
            self._run(self.escaped)

    def block(self, steps: Iterable[bindings.Step], straight: bool) -> bool:
        """A row of steps, `straight` where each runs once; whether it ends there for good (`raise`, `break`)."""
        dead = False
        for step in steps:
            self._step(step, straight)
            dead = dead or step.kind == "dead"
        return dead

    def _step(self, step: bindings.Step, straight: bool) -> None:
        self._events(step, straight)
        if not step.branches:
            return
        before, ends = set(self.passage.sure), []
        for branch in step.branches:
            for _ in range(2 if step.kind == "loop" and (self.holds or step.made) else 1):
                self.passage.sure = set(before)
                dead = self.block(branch, False)
            if not dead:
                ends.append(self.passage.sure)
            if step.kind == "try":
                before -= self.passage.gone
        if step.kind in ("loop", "if"):
            self.passage.sure = before.intersection(*ends)
            self.passage.sure |= step.surely - self.passage.gone
        else:
            self.passage.sure = set.intersection(*ends) if ends else before

    def _events(self, step: bindings.Step, straight: bool) -> None:
        flowing: Units = frozenset(step.made)
        bound: list[tuple[str, bool]] = []
        kept = bool(step.receivers) or any(event.how != "read" for event in step.events)
        self._run(frozenset(step.run if kept and not step.calls else [*step.run, *step.made]))
        for event in step.events:
            if event.how == "read":
                if event.name not in self.passage.sure:
                    self.passage.needs.add(event.name)
                flowing |= self._mentioned(event, step.alias)
            elif event.how == "delete":
                if event.name not in self.passage.sure:
                    self.passage.needs.add(event.name)
                self.passage.sure.discard(event.name)
                self.passage.gone.add(event.name)
                bound.append((event.name, False))
            else:
                if event.how == "bind":
                    self.passage.sure.add(event.name)
                    if straight:
                        self.passage.gone.discard(event.name)
                bound.append((event.name, event.how == "bind" and straight))
        self._flows(step, flowing, bound)

    def _mentioned(self, event: bindings.Event, alias: bool) -> Units:
        held = self.holds.get(event.name, NONE)
        if not held:
            return NONE
        if not alias:
            self._run(held)
        if event.flow == bindings.NOTHING:
            return NONE
        return held if event.flow == bindings.VALUE else self._handed_out(held)

    def _flows(self, step: bindings.Step, flowing: Units, bound: list[tuple[str, bool]]) -> None:
        names = {name for name, _ in bound}
        for name, strong in bound:
            if strong and name not in step.receivers:
                self.holds[name] = flowing
                self._unlink(name)
            elif flowing:
                self._give(name, flowing)
        if flowing:
            for name in step.receivers:
                self._give(name, flowing)
            if step.hands:
                self.escaped |= flowing
        reads = {event.name for event in step.events if event.how == "read" and event.flow == bindings.VALUE}
        for name in names:
            for other in reads - names:
                self.linked.setdefault(name, set()).add(other)
                self.linked.setdefault(other, set()).add(name)

    def _unlink(self, name: str) -> None:
        for other in self.linked.pop(name, ()):
            self.linked.get(other, set()).discard(name)

    def _give(self, name: str, units: Units) -> None:
        """A name, and all that may share an object with it, may hold these now."""
        waiting, seen = [name], set()
        while waiting:
            each = waiting.pop()
            if each not in seen:
                seen.add(each)
                self.holds[each] = self.holds.get(each, NONE) | units
                waiting += self.linked.get(each, ())

    def _handed_out(self, units: Units) -> Units:
        """What calls of these may give back."""
        found: set[bindings.Unit] = set()
        waiting, seen = list(units), set()
        while waiting:
            unit = waiting.pop()
            if unit in seen:
                continue
            seen.add(unit)
            if unit.leaks:
                found.add(unit)
            for name in unit.reads:
                held = self.holds.get(name, NONE)
                if name in unit.values:
                    found |= held
                waiting += held
        return frozenset(found)

    def _run(self, units: Units) -> None:
        """These, and all that they may call, may run in this cell, now."""
        waiting, seen = list(units), set()
        sure = self.passage.sure
        while waiting:
            unit = waiting.pop()
            if unit in seen:
                continue
            seen.add(unit)
            self.runs.setdefault(unit, set()).add(self.cell)
            self.passage.needs |= unit.names - sure
            for name in unit.names:
                waiting += self.holds.get(name, NONE)
            for name in unit.writes:
                given = frozenset({unit}) if unit.leaks else NONE
                given = given.union(*(self.holds.get(value, NONE) for value in unit.values))
                if given:
                    self._give(name, given)

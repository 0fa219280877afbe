"""All that is counted, in one pass over the months: cells by command and target, for each stretch of time."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daglab.figures import cells, days, lines, months

STEPS = {"minute": 16, "hour": 13, "day": 10}  # letters of a time that name it
AFTER_ALL = "~"  # comes after every letter of a time
Cells = dict[days.Key, cells.Cell]


@dataclass
class Month:
    """How many `events` and `sums` of days a month's file holds, and what was not counted of it.

    `unread` is why the system did not give the file; the unreadable lines are kept where `raw` is a list.
    """

    events: int = 0
    sums: int = 0
    newer: int = 0
    unreadable: int = 0
    unread: str | None = None
    raw: list[bytes] | None = None


@dataclass
class Ledger:
    """Cells by command and target in each slot, and with a `step` one cell more for each minute, hour or day of it.

    Slots are what lies between two `bounds` (texts as `months.text` makes them, in their order): slot 0 is what comes
    before the first one. Where the ledger is `divided`, each step is a place of its own, else each slot is.
    """

    bounds: Sequence[str] = ()
    step: str | None = None
    divided: bool = False
    places: dict[tuple[int, str], Cells] = field(default_factory=dict)
    times: dict[tuple[int, str], cells.Cell] = field(default_factory=dict)
    months: dict[str, Month] = field(default_factory=dict)

    def read(self, path: Path) -> None:
        """Count what a month's file holds. One that can't be read is noted."""
        month = self.months.setdefault(path.stem, Month())
        try:
            self.count(path.stem, months.lines(months.blocks(path)), month)
        except FileNotFoundError:  # it was moved meanwhile
            pass
        except OSError as error:
            month.unread = error.strerror or str(error)

    # One loop that calls little: the bound is on what counting costs beside reading JSON.
    def count(self, name: str, found: Iterable[bytes | None], month: Month) -> None:  # noqa: C901, PLR0912, PLR0915
        """Count the lines of the month `name`, as 2026-11; what can't be, is counted in `month`."""
        low = high = ""
        here: Cells = {}
        time: cells.Cell | None = None
        parse, check, read = lines.parse, lines.event, 0
        for raw in found:
            if raw == b"":
                continue
            try:
                line = parse(raw or b"")
                if "kind" in line:
                    self._take(days.read(line, name))
                    month.sums += 1
                    continue
                at, command, target, error, seconds, requests, failed, milliseconds, usage, special = check(line, name)
            except lines.NewerError:
                month.newer += 1
                continue
            except lines.UNREADABLE:
                month.unreadable += 1
                if month.raw is not None and raw is not None:
                    month.raw.append(raw)
                continue
            if not low <= at < high:
                low, high, here, time = self._place(at)
            key = command, target
            cell = here.get(key)
            if cell is None:
                cell = here[key] = cells.Cell()
            read += 1
            for each in (cell,) if time is None else (cell, time):
                each.seconds.known.append(seconds)
                if at > each.last:
                    each.last = at
                if requests:
                    each.requests += requests
                    each.request_errors += failed
                if milliseconds:
                    each.timed().known.extend(milliseconds)
                if error is not None or usage or special is not None:
                    _add(each, at, key, error, usage, special)
        month.events += read

    def _take(self, sums: tuple[str, days.Key, cells.Cell]) -> None:
        at, key, cell = sums
        _, _, here, time = self._place(at)
        here.setdefault(key, cells.Cell()).add(cell)
        if time is not None:
            time.add(cell)

    def slot(self, slots: Iterable[int]) -> Cells:
        """The cells of several slots, together."""
        wanted = set(slots)
        found = [here for (slot, _), here in sorted(self.places.items()) if slot in wanted]
        return found[0] if len(found) == 1 else together(found)

    def _place(self, at: str) -> tuple[str, str, Cells, cells.Cell | None]:
        """The times that have the same place as this one, from and to, its cells, and the one of the time."""
        slot = bisect.bisect_right(self.bounds, at)
        low = self.bounds[slot - 1] if slot else ""
        high = self.bounds[slot] if slot < len(self.bounds) else AFTER_ALL
        begin = at[: STEPS[self.step]] if self.step else ""
        here = self.places.setdefault((slot, begin if self.divided else ""), {})
        time = self.times.setdefault((slot, begin), cells.Cell()) if self.step and not self.divided else None
        return (max(low, begin), min(high, begin + AFTER_ALL), here, time)


def together(found: Iterable[Cells]) -> Cells:
    """The cells of several places as those of one."""
    into: Cells = {}
    for here in found:
        for key, cell in here.items():
            known = into.get(key)
            if known is None:
                known = into[key] = cells.Cell()
            known.add(cell)
    return into


def _add(
    cell: cells.Cell,
    at: str,
    key: days.Key,
    error: str | None,
    usage: Sequence[lines.Used],
    special: lines.Special | None,
) -> None:
    """What few events have."""
    more = cell.rest()
    if error is not None:
        cell.failed += 1
        more.errors[error] = more.errors.get(error, 0) + 1
    for name, labels, amount in usage:
        more.usage.setdefault((name, labels), cells.Amount()).take(amount)
    if special is None:
        return
    size, launched, ok, failed, seconds, ran = special
    if key[0] == cells.EXPORT:
        more.bytes += size
        more.exported((at, key[1], error is None, size))
        return
    runs = more.runs
    runs.launched += launched
    runs.ok += ok
    runs.failed += failed
    if seconds:
        runs.seconds.known.extend(seconds)
    counted = more.ran
    for name in ran:
        known = counted.get(name)
        if known is None:
            known = counted[name] = [0, 0]
        known[0] += 1
        known[1] += error is not None

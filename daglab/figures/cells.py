"""What is counted of the events of one command and target, in one stretch of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from daglab.figures import values

LAUNCHING = frozenset(("run", "runs retry", "helpers.run"))  # the commands that launch runs on a deployment
EXPORT, IN_PROCESS = "export", "helpers.run_inprocess"
SPECIAL = LAUNCHING | {EXPORT, IN_PROCESS}  # those of which more is counted
HISTORY = 10  # exports that are told one by one
Labels = tuple[tuple[str, str], ...]


class Amount:
    """How much of something was used: `n` times, whole numbers added up, and floats."""

    __slots__ = ("floats", "n", "whole")

    def __init__(self) -> None:
        self.n = 0
        self.whole = 0
        self.floats: list[float] = []

    def take(self, amount: float) -> None:
        """Count one."""
        self.n += 1
        if type(amount) is int:
            self.whole += amount
        else:
            self.floats.append(amount)

    def add(self, more: Amount) -> None:
        """Take in what another one holds."""
        self.n += more.n
        self.whole += more.whole
        self.floats += more.floats

    def total(self) -> float:
        """All of it: a whole number where all were, else rounded once."""
        return values.total(self.whole, self.floats)


@dataclass
class Runs:
    """Runs: how many were launched (or made in this process), how many of them ended well and not, and their times."""

    launched: int = 0
    ok: int = 0
    failed: int = 0
    seconds: values.Values = field(default_factory=values.Values)

    def add(self, more: Runs) -> None:
        """Take in what another one holds."""
        self.launched += more.launched
        self.ok += more.ok
        self.failed += more.failed
        self.seconds.add(more.seconds)


@dataclass
class More:
    """What few events have: errors by code, usage by name and labels, runs.

    `ran` is how often an asset (`asset:orders`) or a job (`job:report`) was run, and how often of these in vain.
    `exports` has the newest among it, as (at, notebook, ok, bytes).
    """

    errors: Counter[str] = field(default_factory=Counter)
    usage: dict[tuple[str, Labels], Amount] = field(default_factory=dict)
    runs: Runs = field(default_factory=Runs)
    ran: dict[str, list[int]] = field(default_factory=dict)
    bytes: int = 0
    exports: list[tuple[str, str | None, bool, int]] = field(default_factory=list)

    def add(self, more: More) -> None:
        """Take in what another one holds."""
        self.errors.update(more.errors)
        for key, amount in more.usage.items():
            self.usage.setdefault(key, Amount()).add(amount)
        self.runs.add(more.runs)
        for name, (n, failed) in more.ran.items():
            self.run(name, n, failed)
        self.bytes += more.bytes
        self.exported(*more.exports)

    def run(self, name: str, n: int, failed: int) -> None:
        """Count an asset or a job that was run so often, and of these so often in vain."""
        known = self.ran.setdefault(name, [0, 0])
        known[0] += n
        known[1] += failed

    def exported(self, *more: tuple[str, str | None, bool, int]) -> None:
        """Keep these exports, as long as they may be among the newest."""
        self.exports.extend(more)
        if len(self.exports) > 10 * HISTORY:
            self.exports = self.newest()

    def newest(self) -> list[tuple[str, str | None, bool, int]]:
        """The newest exports, the last one first."""
        return sorted(self.exports, key=lambda each: each[0], reverse=True)[:HISTORY]


class Cell:
    """The events of one command and target: their seconds, the failed ones, their requests; `more` where there is.

    `last` is the time of the newest, as `months.text` makes it.
    """

    __slots__ = ("failed", "last", "milliseconds", "more", "request_errors", "requests", "seconds")

    def __init__(self) -> None:
        self.last = ""
        self.seconds = values.Values()
        self.failed = 0
        self.requests = 0
        self.request_errors = 0
        self.milliseconds: values.Values | None = None
        self.more: More | None = None

    @property
    def n(self) -> int:
        """How many events."""
        return len(self.seconds)

    def timed(self) -> values.Values:
        """The milliseconds of its requests, to add to."""
        if self.milliseconds is None:
            self.milliseconds = values.Values()
        return self.milliseconds

    def rest(self) -> More:
        """What few events have, to add to."""
        if self.more is None:
            self.more = More()
        return self.more

    def add(self, other: Cell) -> None:
        """Take in what another one holds."""
        self.seconds.add(other.seconds)
        self.failed += other.failed
        self.last = max(self.last, other.last)
        self.requests += other.requests
        self.request_errors += other.request_errors
        if other.milliseconds:
            self.timed().add(other.milliseconds)
        if other.more:
            self.rest().add(other.more)


def labels(given: Mapping[str, Any]) -> Labels:
    """Labels as texts in the order of their names: what is counted together has the same."""
    return tuple(sorted((name, _label(value)) for name, value in given.items()))


def _label(value: object) -> str:
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)

"""Numbers of which exact sums, means and quantiles are to be told, also where only their sum is left."""

from __future__ import annotations

import itertools
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from daglab import performance

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Values:
    """Numbers: those that are `known` one by one, and the sums of `others` more.

    The sum of several floats is exact: a list of floats whose exact sum it is (`exact_sum`).
    """

    __slots__ = ("known", "others", "sums")

    def __init__(self) -> None:
        self.known = array("d")
        self.others = 0
        self.sums: list[float] = []

    def __len__(self) -> int:
        return len(self.known) + self.others

    def add(self, more: Values) -> None:
        """Take in what another one holds."""
        self.known.extend(more.known)
        self.others += more.others
        self.sums.extend(more.sums)

    def exact_sum(self) -> list[float]:
        """Floats whose exact sum is that of all numbers, the greatest first; none for zero."""
        return exact_sum(itertools.chain(self.known, self.sums))

    def total(self) -> float:
        """Their sum, rounded once."""
        return math.fsum(itertools.chain(self.known, self.sums))

    def mean(self) -> float | None:
        """Their mean, rounded once; None of none."""
        return self.total() / len(self) if len(self) else None

    def document(self) -> dict[str, Any]:
        """`n`, `sum`, `mean`, and of those that are known (`measured`) the quantiles."""
        counted = Counter(self.known)  # times are rounded, and so many are the same
        ordered = _Ordered(counted)
        told = {name: performance.quantile(ordered, share) for name, share in SHARES.items()}
        whole = self.total()
        mean = whole / len(self) if len(self) else None
        return {"n": len(self), "sum": whole, "mean": mean, **told, "measured": len(self.known)}


class _Ordered(Sequence[float]):
    """Counted numbers as the ordered sequence that they stand for."""

    def __init__(self, counted: Counter[float]) -> None:
        self.values = sorted(counted)
        self.ends = list(itertools.accumulate(counted[value] for value in self.values))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, place: Any) -> Any:
        import bisect

        return self.values[bisect.bisect_right(self.ends, place)]


def exact_sum(numbers: Iterable[float]) -> list[float]:
    """Floats whose exact sum is that of the numbers, the greatest first; none for zero."""
    left, found = list(numbers), []
    while rest := math.fsum(left):
        found.append(rest)
        left.append(-rest)
    return found


def total(whole: int, floats: Iterable[float]) -> int | float:
    """A whole number and floats together: whole where there are no floats, else rounded once."""
    floats = list(floats)
    if not floats:
        return whole
    while whole:
        part = float(whole)
        floats.append(part)
        whole -= int(part)
    return math.fsum(floats)

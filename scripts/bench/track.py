"""What tracking an operation costs: microseconds for each, beside the same loop without, in turn in one run.

The bounds: 10 for an operation that is measured, 200 for one that is kept among the events, too. Beside them, what
tracemalloc would cost a function that allocates 1,000 objects. Prints a table and, with --json, one JSON document.
"""

from __future__ import annotations

import functools
import json
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pairs

from daglab import performance

ROUNDS = 40
OPERATIONS = 2000  # a round
RECORDED = 200


def nothing() -> None:
    """What is measured; the loop and this call are the base."""


def alone() -> None:
    """Measured, and that is all."""
    with performance.track("operation"):
        nothing()


def inside() -> None:
    """One inside of three others: the cost of all four."""
    with performance.track("one"), performance.track("two"), performance.track("three"), performance.track("four"):
        nothing()


decorated = performance.track("operation")(nothing)


def recorded(root: Path) -> None:
    """Measured and kept."""
    with performance.track("operation", functools.partial(performance.record, root)):
        nothing()


def allocate() -> list[str]:
    """Ask for 1,000 pieces of memory."""
    return [str(number) for number in range(1000)]


def tracked() -> None:
    """The same, measured."""
    with performance.track("operation"):
        allocate()


def traced() -> None:
    """The same, under tracemalloc."""
    tracemalloc.start()
    try:
        allocate()
    finally:
        tracemalloc.stop()


def each(function: Callable[[], object], times: int) -> float:
    """Microseconds a call."""
    started = time.perf_counter()
    for _ in range(times):
        function()
    return 1e6 * (time.perf_counter() - started) / times


def compare(base: Callable[[], object], ours: Callable[[], object], times: int, rounds: int) -> dict[str, float]:
    """The medians of both, and of what ours costs more, over so many rounds after one that does not count."""
    each(base, times)
    each(ours, times)
    rows = [(each(base, times), each(ours, times)) for _ in range(rounds)]
    return {
        "us": statistics.median(ours for _, ours in rows),
        "base_us": statistics.median(base for base, _ in rows),
        "added_us": statistics.median(ours - base for base, ours in rows),
    }


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Each case."""
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        (Path(folder) / ".daglab").mkdir()
        keep = functools.partial(recorded, Path(folder))
        return {
            "measured": compare(nothing, alone, OPERATIONS, rounds),
            "a decorated function": compare(nothing, decorated, OPERATIONS, rounds),
            "four in each other": compare(nothing, inside, OPERATIONS, rounds),
            "measured and recorded": compare(nothing, keep, RECORDED, rounds),
            "1,000 objects, measured": compare(allocate, tracked, RECORDED, rounds),
            "1,000 objects, tracemalloc": compare(allocate, traced, RECORDED, rounds),
        }


def main() -> None:
    """Print the figures."""
    options = pairs.arguments(__doc__, ROUNDS).parse_args()
    figures = measure(options.rounds)
    if options.json:
        print(json.dumps({"rounds": options.rounds, "cases": figures}, indent=2))
        return
    width = max(map(len, figures))
    print(f"{'case':{width}}        us   base us  added us")
    for name, row in figures.items():
        print(f"{name:{width}}  {row['us']:8.2f}  {row['base_us']:8.2f}  {row['added_us']:8.2f}")


if __name__ == "__main__":
    main()

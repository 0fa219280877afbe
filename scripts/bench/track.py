"""What tracking an operation costs: microseconds for each, beside the same figures taken by hand, in turn in one run.

The bounds: 10 for an operation that is measured, 200 for one that is kept among the events, too. Below, what
tracemalloc would cost a function that allocates 1,000 objects. Prints a table and, with --json, one JSON document.
"""

from __future__ import annotations

import functools
import resource
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
    """What is measured."""


def by_hand() -> tuple[float, ...]:
    """What a script would do itself: the clocks and the peak, before and after."""
    before = time.time(), time.perf_counter(), time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    nothing()
    return *before, time.perf_counter(), time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


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


def timed(base: Callable[[], object], ours: Callable[[], object], times: int, rounds: int) -> pairs.Row:
    """Ours beside the base, over so many rounds after one that does not count."""
    each(base, times)
    each(ours, times)
    return pairs.seconds([(each(base, times), each(ours, times)) for _ in range(rounds)], "us")


def compare(base: Callable[[], object], ours: Callable[[], object], times: int, rounds: int) -> pairs.Row:
    """As `timed`, with the memory that both ask for."""
    row = timed(base, ours, times, rounds)
    return {**row, "peak_kib": pairs.allocated(ours), "base_peak_kib": pairs.allocated(base)}


def measure(rounds: int) -> dict[str, pairs.Row]:
    """Each case."""
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        (Path(folder) / ".daglab").mkdir()
        keep = functools.partial(recorded, Path(folder))
        return {
            "measured": compare(by_hand, alone, OPERATIONS, rounds),
            "a decorated function": compare(by_hand, decorated, OPERATIONS, rounds),
            "four in each other": compare(by_hand, inside, OPERATIONS, rounds),
            "measured and recorded": compare(by_hand, keep, RECORDED, rounds),
            "1,000 objects, measured": compare(allocate, tracked, RECORDED, rounds),
            "1,000 objects, tracemalloc": timed(allocate, traced, RECORDED, rounds),
        }


def main() -> None:
    """Print the figures."""
    options = pairs.arguments(__doc__, ROUNDS).parse_args()
    pairs.show(measure(options.rounds), options)


if __name__ == "__main__":
    main()

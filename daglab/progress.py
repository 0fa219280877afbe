"""How far a long work is: one line on a terminal that is written over, elsewhere a plain line now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from daglab import output, scales, screen

TERMINAL_SECONDS, PLAIN_SECONDS = 0.2, 10.0  # between two lines


@contextlib.contextmanager
def shown(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """What is given is told how many objects are done by now; `total` is how many there are, where that is known.

    The first number that it is told is where the work began: an earlier try may have done some.
    """
    terminal = sys.stderr.isatty()
    pause = TERMINAL_SECONDS if terminal else PLAIN_SECONDS
    began, first, last = time.monotonic(), None, time.monotonic()

    def tell(done: int) -> None:
        nonlocal first, last
        now = time.monotonic()
        if first is None:
            first = done
        if now - last >= pause:
            last = now
            text = line(label, done, total, done - first, now - began)
            if terminal:
                screen.passing(text)
            else:
                output.note(text)

    try:
        yield tell
    finally:
        if terminal:
            screen.passing("")


def line(label: str, done: int, total: int | None, fresh: int, seconds: float) -> str:
    """The line; `fresh` of those that are done took so many seconds."""
    rate = fresh / seconds if seconds > 0 else 0.0
    said = [f"{label}: {done:,}" + (f" of {total:,}" if total else ""), f"{rate:,.0f}/s"]
    if total and rate and total > done:
        said.append(f"{scales.figure((total - done) / rate, 's')} left")
    return ", ".join(said)

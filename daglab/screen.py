"""The terminal as a screen that is drawn anew, and left as it was."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from daglab import output

Lines = Callable[[int], Sequence[str]]  # for a width in columns


@contextlib.contextmanager
def shown() -> Iterator[Callable[[Lines], None]]:
    """What is given draws lines: on a terminal in place of those before, on a second screen that is left at the end;
    elsewhere one block after the other.
    """
    drawn = is_terminal()
    if drawn:
        output.raw("\x1b[?1049h\x1b[?25l")
    try:
        yield _redraw if drawn else _print
    finally:
        if drawn:
            output.raw("\x1b[?25h\x1b[?1049l")


def is_terminal() -> bool:
    """Whether stdout is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM") not in (None, "", "dumb")


def hold(draw: Callable[[Lines], None], lines: Lines, seconds: float) -> None:
    """Draw, and for so many seconds draw anew as soon as the terminal has another size."""
    resized, deadline = threading.Event(), time.monotonic() + seconds
    before = signal.signal(signal.SIGWINCH, lambda *_: resized.set())
    try:
        draw(lines)
        output.flush()
        while resized.wait(max(0.0, deadline - time.monotonic())):
            resized.clear()
            if is_terminal():
                draw(lines)
    finally:
        signal.signal(signal.SIGWINCH, before)


def passing(text: str) -> None:
    """Show a line on stderr, a terminal, that the next one takes the place of; an empty one takes it away."""
    output.replaceable(output.cut(output.one_line(text), output.width() - 1))


def _print(lines: Lines) -> None:
    output.text("\n".join(lines(output.width())))
    output.raw("\n")  # a blank line between two blocks


def _redraw(lines: Lines) -> None:
    columns, rows = shutil.get_terminal_size()
    found = [output.cut(output.one_line(line), columns) for line in lines(max(columns, 20))]
    if len(found) > rows:
        found = [*found[: rows - 1], "…"]
    output.raw("\x1b[H" + "\x1b[K\r\n".join(found) + "\x1b[K\x1b[J")

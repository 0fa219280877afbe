"""The terminal as a screen that is drawn anew, and left as it was."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
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
    deadline = time.monotonic() + seconds
    with _signals() as signalled:
        draw(lines)
        output.flush()
        while (left := deadline - time.monotonic()) > 0 and select.select([signalled], [], [], left)[0]:
            if signal.SIGWINCH in os.read(signalled, 4096) and is_terminal():
                draw(lines)


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """A pipe that has a byte for each signal that comes, the terminal's other size among them.

    No `threading.Event`: the very code that a signal interrupts may hold its lock. And whichever thread gets the
    signal, who waits for the pipe wakes up.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    handler = signal.signal(signal.SIGWINCH, lambda *_: None)  # it is ignored otherwise
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGWINCH, handler)
        os.close(reader)
        os.close(writer)


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

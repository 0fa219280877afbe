"""A terminal that is drawn anew, and how far a long work is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from daglab import progress, screen


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """stdout and stderr as a terminal of 20 columns and three rows, which is read as text."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((20, 3)))
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)  # the streams themselves are others in a test


def test_without_a_terminal_one_block_follows_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    with screen.shown() as draw:
        draw(lambda width: ["a", "b"])
        draw(lambda width: ["c"])
    assert capsys.readouterr().out == "a\nb\n\nc\n\n"


@pytest.mark.parametrize("term", [None, "", "dumb"])
def test_a_terminal_that_can_t_be_drawn_on_is_none(
    terminal: None, monkeypatch: pytest.MonkeyPatch, term: str | None
) -> None:
    assert screen.is_terminal()
    monkeypatch.setenv("TERM", term) if term is not None else monkeypatch.delenv("TERM")
    assert not screen.is_terminal()


def test_a_screen_is_cut_to_its_size_and_left_as_it_was(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    def lines(width: int) -> list[str]:
        return ["x" * (width + 5), "two\nlines", "c", "d"]

    with screen.shown() as draw:
        draw(lines)
    said = capsys.readouterr().out
    start, end = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
    assert said.startswith(start)
    assert said.endswith(end)
    lines = said.removeprefix(start).removesuffix(end).removeprefix("\x1b[H").removesuffix("\x1b[K\x1b[J")
    first, *rest = lines.split("\x1b[K\r\n")
    assert len(first) == 20
    assert rest == ["two lines", "…"]


def test_what_is_held_is_drawn_anew_when_the_terminal_has_another_size(terminal: None) -> None:
    drawn: list[int] = []

    def draw(lines: screen.Lines) -> None:
        drawn.append(len(lines(20)))
        if len(drawn) < 3:
            os.kill(os.getpid(), signal.SIGWINCH)
        else:
            raise KeyError

    before = signal.getsignal(signal.SIGWINCH)
    with pytest.raises(KeyError):
        screen.hold(draw, lambda width: ["x"], 5)
    assert drawn == [1, 1, 1]
    assert signal.getsignal(signal.SIGWINCH) is before


FLOOD = """
import signal, threading
from daglab import screen
def flood():
    for _ in range(900):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGWINCH)
        over.wait(0.001)
over = threading.Event()
def draw(lines):
    threading.Thread(target=flood, daemon=True).start()
screen.hold(draw, lambda width: [], 1)
over.set()
"""


def test_another_size_at_any_moment_does_not_hold_it_up() -> None:
    """In a process of its own: one that waits for itself would not end."""
    subprocess.run([sys.executable, "-c", FLOOD], timeout=60, check=True)


def test_a_signal_that_another_thread_gets_draws_anew(terminal: None) -> None:
    """By then who holds it waits, and is no more than woken by a byte in the pipe."""
    drawn: list[int] = []

    def draw(lines: screen.Lines) -> None:
        drawn.append(1)
        if len(drawn) == 2:
            raise KeyError
        threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGWINCH)).start()

    with pytest.raises(KeyError):
        screen.hold(draw, lambda width: ["x"], 5)


def test_without_a_terminal_another_size_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def draw(lines: screen.Lines) -> None:
        drawn.append(1)
        os.kill(os.getpid(), signal.SIGWINCH)

    screen.hold(draw, lambda width: ["x"], 0)
    assert drawn == [1]


@pytest.mark.parametrize(
    ("done", "total", "fresh", "seconds", "line"),
    [
        (1200, 6000, 1200, 10.0, "copied: 1,200 of 6,000, 120/s, 40 s left"),
        (1200, None, 1200, 10.0, "copied: 1,200, 120/s"),
        (6000, 6000, 10, 1.0, "copied: 6,000 of 6,000, 10/s"),
        (5, 10, 0, 3.0, "copied: 5 of 10, 0/s"),
        (5, 10, 5, 0.0, "copied: 5 of 10, 0/s"),
    ],
)
def test_a_line_says_how_far_how_fast_and_how_long_yet(
    done: int, total: int | None, fresh: int, seconds: float, line: str
) -> None:
    assert progress.line("copied", done, total, fresh, seconds) == line


def clock(monkeypatch: pytest.MonkeyPatch, *times: float) -> None:
    left = iter(times)
    monkeypatch.setattr(time, "monotonic", lambda: next(left))


def test_progress_is_a_plain_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock(monkeypatch, 0, 0, 1, 11, 12, 22)
    with progress.shown("copied", 300) as tell:
        for done in (100, 210, 220, 232):
            tell(done)
    # The first hundred were there before: the rate counts what is new.
    assert capsys.readouterr().err == "copied: 210 of 300, 10/s, 9 s left\ncopied: 232 of 300, 6/s, 11.33 s left\n"


def test_progress_on_a_terminal_is_one_line_that_is_taken_away(
    terminal: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock(monkeypatch, 0, 0, 0.1, 0.3)
    with progress.shown("copied", None) as tell:
        tell(0)
        tell(3)
    assert capsys.readouterr().err == "\rcopied: 3, 10/s\x1b[K\r\x1b[K"

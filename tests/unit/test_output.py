"""What a terminal, a pipe and a script get to see."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from pathlib import Path
from typing import Any

import click
import pytest

from daglab import output

ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m\x00\r\x08\x7f\u202eevil\u2066"


@pytest.fixture
def command_line() -> Any:
    """The context of a command, as every command runs in one."""
    with click.Context(click.Command("test")) as context:
        yield context


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes stdout a terminal of so many columns; None for no terminal."""

    def set_columns(columns: int | None) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: columns is not None)
        monkeypatch.setattr(output, "width", lambda: columns)

    return set_columns


def width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def test_what_a_terminal_acts_on_is_made_visible() -> None:
    shown = output.plain(ESCAPES)
    assert shown.isprintable()
    assert shown.startswith(r"\x1b[2J\x1b]0;title\x07\x9b31m\x00\r\x08\x7f\u202eevil\u2066")
    assert output.plain("two\nlines\tand é 🎉") == "two\nlines\tand é 🎉"


def test_every_control_character_but_newline_and_tab_is_made_visible() -> None:
    control = [chr(number) for number in range(0x2100) if unicodedata.category(chr(number)) == "Cc"]
    assert [c for c in control if output.plain(c) == c] == ["\t", "\n"]
    bidi = [chr(number) for number in range(0x110000) if unicodedata.bidirectional(chr(number)) in BIDI]
    assert [c for c in bidi if output.plain(c) == c] == []


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_a_document_is_json_that_no_terminal_acts_on(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    result = {"ok": True, "text": ESCAPES + "é 🎉\n\t\\", "path": Path("x"), "lone": "\ud800", ESCAPES: [1, None, 1.5]}
    output.document(result)
    raw = capfdbinary.readouterr().out
    assert json.loads(raw) == {**result, "path": "x"}
    assert "é 🎉" in raw.decode()
    assert all(c.isprintable() or c == "\n" for c in raw.decode())


def test_everything_that_is_said_is_plain(command_line: Any, capfd: pytest.CaptureFixture[str]) -> None:
    output.data(ESCAPES)
    output.table([[ESCAPES, 1]], ["Name", "Number"])
    output.note(ESCAPES)
    output.warn(ESCAPES)
    output.error(ESCAPES, ESCAPES)
    captured = capfd.readouterr()
    assert all(c.isprintable() or c == "\n" for c in captured.out + captured.err)
    assert captured.out.count("evil") == 2
    assert captured.err.count("evil") == 4


def test_quiet_leaves_errors_and_data(command_line: Any, capfd: pytest.CaptureFixture[str]) -> None:
    output.set_meta("quiet")
    for say in (output.note, output.warn, output.data):
        say("text")
    output.error("what", "how")
    assert capfd.readouterr() == ("text\n", "Error: what\nHint: how\n")


def test_without_quiet_all_is_said(command_line: Any, capfd: pytest.CaptureFixture[str]) -> None:
    output.note("note")
    output.warn("warn")
    output.error("what", None)
    assert capfd.readouterr() == ("", "note\nWarning: warn\nError: what\n")


@pytest.mark.parametrize(
    ("variables", "terminal", "coloured"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": ""}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colour(
    variables: dict[str, str],
    terminal: bool,
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import sys

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    output.error("what", "how")
    output.warn("hm")
    error = capsys.readouterr().err
    assert ("\x1b[31m" in error) is coloured
    assert error.count("\x1b[0m") == (3 if coloured else 0)


def test_a_table_without_terminal_is_whole(columns: Any, capfd: pytest.CaptureFixture[str]) -> None:
    columns(None)
    output.table([["name", "x" * 500]], ["Name", "Description"])
    assert "x" * 500 in capfd.readouterr().out


@pytest.mark.parametrize("text", ["x" * 90, "日本語" * 30, "é" * 90, "e\u0301" * 90, "🎉" * 60, "a日" * 40])
@pytest.mark.parametrize("limit", [20, 21, 40, 80])
def test_a_table_on_a_terminal_fits(columns: Any, capfd: pytest.CaptureFixture[str], text: str, limit: int) -> None:
    columns(limit)
    output.table([["n", text], ["short", "s"]], ["Name", "Description"])
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 4
    cut = next(line for line in lines if line.startswith("n "))
    assert cut.endswith("…")
    for line in lines:
        seen = "".join(c for c in line if not unicodedata.combining(c))
        assert width(seen) <= limit
    assert limit - 1 <= width("".join(c for c in cut if not unicodedata.combining(c)))


def test_a_cell_is_one_line_as_it_is(columns: Any, capfd: pytest.CaptureFixture[str]) -> None:
    columns(None)
    output.table([["a\nb\tc", "007"], ["1e3", None], ["", "-"]], ["Key", "Value"])
    lines = [line.rstrip() for line in capfd.readouterr().out.splitlines()]
    assert lines == ["Key    Value", "-----  -------", "a b c  007", "1e3    None", "       -"]
    output.table([["007"], ["1e3"], ["2.50"]], ["Key"])
    assert [line.rstrip() for line in capfd.readouterr().out.splitlines()] == ["Key", "-----", "007", "1e3", "2.50"]


def test_no_rows_are_no_table(capfd: pytest.CaptureFixture[str]) -> None:
    output.table([], ["Key"])
    assert capfd.readouterr() == ("", "")


def test_a_line_is_put_in_place_of_the_one_before(command_line: Any, capfd: pytest.CaptureFixture[str]) -> None:
    output.replaceable("1 of 2")
    output.replaceable("2 of 2")
    assert capfd.readouterr() == ("", "\r1 of 2\x1b[K\r2 of 2\x1b[K")
    output.set_meta("quiet")
    output.replaceable("3")
    assert capfd.readouterr() == ("", "")


def test_pieces_are_printed_as_they_are(command_line: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for text in ("no end", " of a line\n", "\x1b[2J"):
        output.piece(text)
    assert capfd.readouterr().out == "no end of a line\n\\x1b[2J"


def test_a_reader_that_does_not_read_keeps_nobody_waiting(command_line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    monkeypatch.setattr(output, "_hasty", [])
    with open(write, "w", encoding="utf-8") as stderr, open(read, "rb") as reader:
        monkeypatch.setattr(sys, "stderr", stderr)
        output.drop_when_full()
        for number in range(40):
            output.note(f"{number} {'x' * 4000}")
        stderr.close()
        lines = reader.read().split(b"\n")
    assert lines[0].startswith(b"0 xxx")
    assert 1 < len(lines) < 40


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0.5", 0.5), ("90s", 90), ("5m", 300), ("2h", 7200), ("1w", 604800)],
)
def test_a_span_of_time_is_seconds_or_has_its_unit(text: str, seconds: float) -> None:
    assert output.Seconds().convert(text, None, None) == seconds

"""What a cell printed, what two exports have in common, and which values an export declares."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daglab.page import console, content, harmless, results
from tests.marimo_pages import element, page, stream
from tests.static_pages import shown


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "\x1b[1;31mred\x1b[22m less\x1b[0m plain",
            '<span class="ansi-bold ansi-red">red</span><span class="ansi-red"> less</span> plain',
        ),
        (
            "\x1b[44;93mboth\x1b[49mone\x1b[39mnone",
            '<span class="ansi-on-blue ansi-yellow">both</span><span class="ansi-yellow">one</span>none',
        ),
        ("\x1b[31m\x1b[38;5;208mout of 256\x1b[48:2:1:2:3mx", "out of 256x"),
        ("\x1b[2Ka\x1b]0;title\x07b\x1b[9999mc\x1b[>d\x1b1", "abc\N{REPLACEMENT CHARACTER}1"),
    ],
)
def test_colours_are_kept_and_what_else_a_terminal_does_is_left_out(text: str, html: str) -> None:
    assert harmless.html(console.coloured(text), "") == html


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("plain\n", "plain\n"),
        ("0%\r50%\r100%\nend", "100%\nend"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("kept\r", "kept"),
    ],
)
def test_a_line_that_is_written_over_shows_what_is_left_of_it(text: str, left: str) -> None:
    assert console.overwritten(text) == left


def test_the_console_keeps_its_order_streams_together_and_pictures_between() -> None:
    picture = {"type": "media", "name": "media", "text": "data:image/png;base64,AA", "mimetype": "image/png"}
    printed = [stream("a"), stream("b"), stream("?", "stdin"), picture, stream("c", "strange")]
    read = shown({"code": "", "console": printed})
    assert read.text == "ab Asked for ? c"
    assert read.names.count("pre") == 3
    assert read.names.index("img") < len(read.names) - 1 - read.names[::-1].index("pre")


def digest(**cell: Any) -> str:
    return content.digest(page({"code": "x", **cell}))


def random_id(first: str) -> str:
    return f'<b id="m{first * 10}">#m{first * 10}</b> at 0x{first * 8} marimo_{first}/__marimo__cell_'


def test_what_is_random_in_an_execution_changes_nothing_and_what_refers_to_what_does() -> None:
    assert digest(html=random_id("1")) == digest(html=random_id("2"))
    assert digest(html="#m1111111111 #m2222222222") != digest(html="#m1111111111 #m1111111111")
    assert digest(html="A" * 600) != digest(html="A" * 599 + "B")
    assert digest(html="x") != digest(html="x", code="y")


def test_into_which_pieces_a_console_falls_changes_nothing() -> None:
    parts, whole = [stream("a"), stream("e", "stderr"), stream("b")], [stream("ab"), stream("e", "stderr")]
    assert digest(console=parts) == digest(console=whole)
    assert digest(console=whole) != digest(console=[stream("ab", "stderr"), stream("e")])
    picture = {"type": "media", "name": "media", "text": "data:image/png;base64,AA", "mimetype": "image/png"}
    assert digest(console=[*whole, picture]) != digest(console=whole)


def declared(data: object) -> str:
    from html import escape

    return f"<b {results.MARK}='{escape(json.dumps(data))}'></b>"


ROWS = declared({"name": "rows", "value": [1, None]})


@pytest.mark.parametrize(
    "cell",
    [
        {"html": ROWS},
        {"html": element("callout-output", html=ROWS)},
        {"html": f"<iframe srcdoc='{ROWS.replace('&', '&amp;').replace(chr(39), '&#39;')}'></iframe>"},
        {"outputs": [{"type": "data", "data": {"application/json": json.dumps({"a": [f"text/html:{ROWS}"]})}}]},
        {"outputs": [{"type": "data", "data": {"application/vnd.marimo+mimebundle": {"text/html": ROWS}}}]},
    ],
)
def test_a_declared_value_is_found_wherever_an_output_holds_it(cell: dict[str, Any]) -> None:
    assert results.declared(page(cell)) == {"rows": [1, None]}


def test_the_later_cell_s_value_counts() -> None:
    first, second = ({"html": declared({"name": "rows", "value": value})} for value in (1, 2))
    assert results.declared(page(first, second)) == {"rows": 2}


@pytest.mark.parametrize(
    "data",
    [
        5,
        {"name": "rows"},
        {"value": 1},
        {"name": "", "value": 1},
        {"name": "x" * 201, "value": 1},
        {"name": "a\nb", "value": 1},
        {"name": "rows", "value": float("nan")},
        {"name": "rows", "value": "\ud800"},
    ],
)
def test_what_is_no_value_under_a_name_is_left_out(data: object) -> None:
    assert results.declared(page({"html": declared(data)})) == {}


def test_an_export_without_the_mark_is_not_even_read() -> None:
    assert results.declared("no page of marimo's") == {}

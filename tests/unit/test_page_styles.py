"""Styles of outputs: those in attributes, and those in style sheets of their own."""

from __future__ import annotations

import re

import pytest

from daglab.page import body, notebook
from tests.marimo_pages import page


def html_of(html: str) -> str:
    return body.render(notebook.read(page({"html": html, "code": ""})))


def styled(html: str) -> dict[str, str]:
    """The styles of what an output shows, by the text of the element."""
    return {text: style for style, text in re.findall(r'<\w+[^>]* style="([^"]*)"[^>]*>([^<]*)<', html_of(html))}


def test_a_style_sheet_of_an_output_is_written_into_what_it_means() -> None:
    """As pandas writes them for `df.style`."""
    sheet = """<style type="text/css">
    /* #T_1 td { color: red } */
    #T_1 th.col_heading, #T_1 caption { color: purple; }
    #T_1_row0_col0, #T_1_row1_col0 { background-color: #023858; color: #f1f1f1 }
    #T_1_row1_col0 { color: #123456; position: fixed; background: url(https://a.example/x) }
    #T_1 .row0 { font-weight: bold } .row0 { margin: 9px } td { margin: 8px } body { margin: 7px }
    #T_1 ~ p { margin: 6px } #T_1 > td { margin: 5px } #T_1:hover { margin: 4px } #elsewhere { margin: 3px }
    </style>"""
    table = """<table id="T_1"><caption>cap</caption><tr><th class="col_heading level0">head</th><th>other</th></tr>
    <tr><td id="T_1_row0_col0" class="data row0">a</td><td id="T_1_row1_col0" style="color: lime">b</td></tr></table>
    <p id="p">beside</p>"""
    assert styled(sheet + table) == {
        "cap": "color: purple",
        "head": "color: purple",
        "a": "background-color: #023858; color: #f1f1f1; font-weight: bold",
        "b": "background-color: #023858; color: #f1f1f1; color: #123456; color: lime",
    }
    assert styled(f"<style>@media print {{ p {{ color: red }} }} #p {{ color: red }}</style>{table}") == {
        "b": "color: lime"
    }


@pytest.mark.long
def test_a_hostile_style_sheet_is_read_in_bounded_time_and_space() -> None:
    rules = "".join("#t td {" + "color: red;" * 20 + "}" for _ in range(20_000)) + "#t {" * 100_000 + "/*" * 100_000
    table = "<table id=t>" + "<tr><td>x</td></tr>" * 5_000 + "</table>"
    assert len(html_of(f"<style>{rules}</style>{table}")) < 100_000_000


@pytest.mark.parametrize("value", ["#123456", "#12345678", "#001122"])
def test_a_colour_of_digits_is_a_colour(value: str) -> None:
    assert f'style="color: {value}"' in html_of(f"<p style='color: {value}'>x</p>")
    assert "style" not in html_of("<p style='width: 999999px'>x</p><p style='width: #fff 1e999999px'>y</p>")

"""What stands in the static page for marimo's elements, plain controls, embedded things, tables and plots."""

from __future__ import annotations

import base64
import sys
from typing import Any

import pytest

from daglab.page import body, notebook, outputs, plots, source, tables
from tests.marimo_pages import element, page
from tests.static_pages import of_data, of_html

PNG = "data:image/png;base64,AAAA"


def drawn(html: str) -> str:
    return body.render(notebook.read(page({"html": html, "code": ""})))


def table_of(mime: str, content: str) -> str:
    return of_html(element("table", data=f"data:{mime}," + content)).text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (element("checkbox", initial_value=False, label="cb"), "Checkbox cb : off"),
        (element("button", label="Go", initial_value=3), "Button Go"),
        (element("range-slider", initial_value=[0, 2], steps=[1, 5, 9]), "Range : 1 to 9 (of 1, 5, 9)"),
        (element("slider", initial_value=7, steps=[1, 5]), "Slider (of 1, 5)"),
        (element("number", initial_value=None, start=1, stop=None), "Number : empty (1 to any)"),
        (element("code-editor", initial_value="a\nb", language="sql", disabled=True), "Code : a b (sql, disabled)"),
        (element("dropdown", initial_value={}, options=[*range(60)]), "Dropdown (of %s and 10 more)"),
        (element("file-browser", initial_value={"a": 1}), "File browser"),
        (element("date", initial_value={"a": 1}, start="x", stop="y"), 'Date : {"a": 1}'),
        (element("progress", title="T", subtitle="s", progress=True), "Spinner T s : done"),
        (element("progress", title="T", progress=4), "Progress T : 4"),
        (element("download", data="./@file/1-x", filename="x.csv"), "Download : x.csv (not in this file)"),
        ("<input type=hidden value=token>", ""),
        ("<input type=radio>", "Radio : off"),
        ("<input type=submit value=Send>", "Button Send"),
        ("<input type=password value=pw>", "Input : " + "\u2022" * 8),
        ("<input aria-label=Age placeholder=years>", "Input Age : years"),
        ("<select></select>", "Choice"),
    ],
)
def test_a_control_says_its_value_and_what_it_could_say(html: str, text: str) -> None:
    assert of_html(html).text == text.replace("%s", ", ".join(map(str, range(50))))


def test_a_download_is_in_the_file_as_bytes_whatever_it_says_it_is() -> None:
    html = drawn(element("download", data="data:text/html,<b>", filename="x.html", label="Get"))
    assert 'href="data:application/octet-stream;base64,PGI+"' in html
    assert 'download="x.html"' in html
    assert "text/html" not in html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (element("form", "<p>in</p>", label="F", submit_button_label="Send"), "Form F in Button Send"),
        (element("dict", "<p>in</p>", label="D"), "Group D in"),
        (element("dict", "<b>in</b>"), "in"),
        (element("carousel", "<p>a</p><p>b</p>"), "Slide 1 of 2 a Slide 2 of 2 b"),
        (element("routes", "<p>a</p><p>b</p>", routes=["/home"]), "Page /home a Page b"),
        (element("accordion", "<p>in</p>"), "Part 1 in"),
        (element("json-output", json_data={"a": 1}, name="conf"), 'conf { "a": 1 }'),
        (element("mime-renderer", mime="text/plain", data="x <b>"), "x <b>"),
        (
            element(
                "nav-menu",
                items=[{"label": "L", "href": "https://a.example/"}, {"label": "M", "items": [{"label": "N"}]}],
            ),
            "Menu L M N",
        ),
        (element("sidebar", "<p>in</p>"), "Sidebar in"),
        (
            element("image-comparison", before_src=PNG, after_src="./@file/2-a.png"),
            "Image comparison Before After Image after (not in this file: ./@file/2-a.png)",
        ),
        (
            element("matplotlib", chart_base64="https://a.example/p.png"),
            "Image Plot (not in this file: https://a.example/p.png )",
        ),
        (
            element("matrix", initial_value=[[1, 2], [3]], column_labels=["a", "b"], label="M"),
            "Matrix M (2 rows) a b 1 2 3 None",
        ),
        (element("matrix", initial_value=[[1, 2]], column_labels=["only"]), "Matrix (1 row) 1 2 1 2"),
        (element("chatbot", initial_value={"messages": [{"role": "user", "content": "hi"}, 5]}), "Chat user: hi"),
        (element("chatbot", initial_value=[]), "Chat No message yet."),
        (element("outline"), "Outline The table of contents is in the interactive page."),
        (element("lazy", "<p>in</p>"), "Lazy in It loads only when it is looked at in a running notebook."),
        (element("anywidget", model_id="x"), "Widget A script draws this widget, in the interactive page."),
        (element("error", why="no"), "Error no"),
        (element("unheard-of", thing="said", long="x" * 300), "marimo-unheard-of thing: said"),
        (element("unheard-of"), "marimo-unheard-of A script draws this element, in the interactive page."),
        ("<marimo-tex>||[a^2||]</marimo-tex>", "a^2"),
        ("<marimo-tex>a^2</marimo-tex>", "a^2"),
        ("<iconify-icon icon='lucide:x'></iconify-icon>", "[lucide:x]"),
        ("<canvas>words</canvas>", "words[a drawing made by a script]"),
        (
            "<object data='https://a.example/f'>else</object>",
            "Embedded file (not in this file: https://a.example/f ) else",
        ),
        (
            "<iframe src='https://a.example/' title='Map'></iframe>",
            "Embedded page Map (not in this file: https://a.example/ )",
        ),
        (
            "<iframe title=T srcdoc='<script>x</script>'></iframe>",
            "Embedded page T A script draws this page, in the interactive page.",
        ),
        ("<audio><source src='x.mp3'></audio>", "Audio (not in this file: x.mp3)"),
        (
            "<img src='data:text/html,x' alt=A>",
            "Image A (not in this file: in a form that is not shown (data:text/html,x))",
        ),
    ],
)
def test_an_element_of_marimos_or_an_embedded_thing_is_said_in_words(html: str, text: str) -> None:
    assert of_html(html).text == text


def test_what_is_in_the_file_is_shown_as_it_is() -> None:
    assert f'<img alt="" src="{PNG}">' in drawn(f"<img class=x src='{PNG}' onerror=x>")
    assert '<video src="data:video/mp4;base64,AA" controls="">' in drawn(
        "<video autoplay><source src='data:video/mp4;base64,AA'></video>"
    )
    assert "img" in of_html(f"<iframe srcdoc='<img src={PNG}>'></iframe>").names
    assert "A script draws" not in of_html(f"<iframe srcdoc='<img src={PNG}>'></iframe>").text
    assert of_data(image__png="AAAA").names[-1] == "img"


def test_what_wraps_elements_is_a_block_where_these_are() -> None:
    assert "<span><b>x</b></span>" in drawn(element("ui-element", "<b>x</b>"))
    assert "<div><p>x</p></div>" in drawn(element("ui-element", "<p>x</p>"))


def test_a_table_says_what_it_knows_of_rows_that_are_not_in_the_file() -> None:
    text = of_html(element("table", total=3, columns=["a", ["b", "int"]])).text
    assert text == "Table Columns: a, b 3 rows. The rows are not in the export."


def test_a_cell_of_a_table_may_hold_something_rich_and_a_column_name_its_rows() -> None:
    cell = {"mimetype": "text/html", "data": "<i>rich</i>"}
    given = {"row_headers": [["day", "str"]], "banner_text": "Cut by marimo."}
    html = drawn(element("table", data=[{"day": "Mo", "value": cell, "_marimo_row_id": 7}], **given))
    assert '<th scope="row">Mo</th>' in html
    assert "<i>rich</i>" in html
    assert "_marimo_row_id" not in html
    assert "Cut by marimo." in html


@pytest.mark.parametrize(
    ("mime", "content", "text"),
    [
        ("application/json", "%5B%7B%22a%22%3A1%7D%5D", "(1 row) a 1"),
        ("application/json;base64", base64.b64encode(b'{"a": [1, 2], "b": [3]}').decode(), "(2 rows) a b 1 3 2 None"),
        ("application/json;base64", "A", "Table The rows are not in the export."),
        ("text/plain", "x", "Table The rows are not in the export."),
        ("text/csv", "a%0A" + "x" * 200_000, "Table The rows are not in the export."),
    ],
)
def test_rows_are_read_from_the_address_of_data(mime: str, content: str, text: str) -> None:
    assert table_of(mime, content) == text


def test_values_are_written_as_people_read_them() -> None:
    assert tables.plain(3.0) == "3.0"
    assert tables.plain(1e300) == "1e+300"
    assert tables.plain("x" * 2_001) == "x" * 2_000 + "\u2026 (cut, 2,001 characters)"
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert tables.plain(deep) == "\u2026"
    wide = tables.table([], [{f"c{number}": number for number in range(101)}])
    assert "(1 row, 100 of 101 columns)" in outputs.markup.text_of(wide)


@pytest.mark.parametrize(
    ("forms", "text"),
    [
        ({"text/latex": "a^2"}, "a^2"),
        ({"text/csv": "a\n1\n"}, "(1 row) a 1"),
        ({"image/svg+xml": "no drawing"}, "no drawing"),
        ({"application/json": "null"}, "None"),
        ({"application/json": "{broken"}, "{broken"),
        ({"text/plain": ["a list"]}, '[ "a list" ]'),
        (
            {
                "application/json": [
                    "text/plain+tuple:[1, 2]",
                    "text/plain+frozenset:[1]",
                    "text/plain+str:s",
                    "text/plain",
                ]
            },
            '[ (1, 2), frozenset({1}), "s", "text/plain" ]',
        ),
        ({"application/vnd.marimo+mimebundle": {"text/plain": "in", "__metadata__": {}}}, "in"),
    ],
)
def test_each_form_of_an_output_is_shown(forms: dict[str, Any], text: str) -> None:
    assert of_data(**forms).text == text


def test_a_drawing_stands_without_what_is_around_it() -> None:
    read = of_data(**{"image/svg+xml": "<?xml version='1.0'?><p>no</p><svg><rect/></svg>"})
    assert "rect" in read.names
    assert read.text == ""


@pytest.mark.parametrize("rich", [[], ["text/html:<i>x</i>"]])
def test_a_structure_without_end_is_cut_and_says_so(rich: list[str]) -> None:
    many = of_data(application__json=[*rich, *range(6_000)]).text
    assert many.endswith(f"Cut: {1_000 + len(rich):,} values left out, with what is within.")
    deep: Any = ["core"]
    for _ in range(45):
        deep = [deep]
    text = of_data(application__json=[*rich, deep]).text
    assert "core" not in text
    assert text.endswith("Cut: 1 value left out, with what is within.")


def test_a_plot_of_very_many_traces_says_what_is_left_out() -> None:
    text = of_html(element("plotly", figure={"data": [{"type": "bar", "y": [1]}] * 22})).text
    assert "trace 20" in text
    assert "trace 21" not in text
    assert text.endswith("2 traces more are not shown.")


@pytest.mark.parametrize(
    "packed",
    [
        {"dtype": "x9", "bdata": "AAAA"},
        {"dtype": "i2", "bdata": "A"},
        {"dtype": "i2", "bdata": 5},
        {"dtype": "i2", "bdata": "AAAA", "shape": "1, 2"},
    ],
)
def test_numbers_that_can_t_be_unpacked_are_no_column(packed: dict[str, Any]) -> None:
    text = outputs.markup.text_of(plots.plotly({"data": [{"x": ["a"], "y": packed}]}))
    assert text.endswith("(1 row)xa")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"url": "https://a.example/d.json"}, "The data lies elsewhere: https://a.example/d.json"),
        ({"url": "data:text/csv,a%0A1"}, "Data (1 row) a 1"),
        (
            {"url": "data:application/vnd.apache.arrow.file,abc"},
            "The data is in the file as application/vnd.apache.arrow.file (3 bytes), not shown here.",
        ),
        (
            {"url": "data:a/b;base64,A"},
            "The data is in the file as a form that can't be read (0 bytes), not shown here.",
        ),
    ],
)
def test_a_chart_says_where_its_data_is(data: dict[str, Any], text: str) -> None:
    spec = {"mark": {"type": "bar"}, "title": ["Two", {"text": "lines"}], "data": data}
    shown = of_html(element("vega", spec=spec)).text
    assert shown.startswith("Plot (Vega, bar) Two lines")
    assert shown.endswith(text)


def test_a_chart_of_charts_names_what_each_draws() -> None:
    count = {"mark": "bar", "encoding": {"x": {"field": "day"}, "y": {"aggregate": "count", "title": "orders"}, "z": 5}}
    spec = {"hconcat": [count, {"spec": {"mark": "line"}}], "marks": [{"type": "rule"}], "datasets": {"d": [{"a": 1}]}}
    text = of_html(element("vega", spec=spec)).text
    assert text.startswith("Plot (Vega, bar, line, rule) x: day y: orders (count) ")
    assert text.endswith("Data: d d (1 row) a 1")


def test_code_is_coloured_where_that_can_be_and_plain_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 'class="' in source.highlighted("x = '<'")
    assert source.highlighted("#" * 200_001) == "#" * 200_001
    monkeypatch.setitem(sys.modules, "pygments", None)
    assert source.highlighted("x = '<\x00'") == "x = &#x27;&lt;\N{REPLACEMENT CHARACTER}&#x27;"

"""What the static page shows of outputs, without marimo: made-up sessions in the form that it writes."""

from __future__ import annotations

import base64
import json
import re
import struct
from typing import Any

import pytest

from daglab import errors
from daglab.page import body, notebook
from tests.marimo_pages import element, page, stream
from tests.static_pages import Reader, of_data, of_html, shown

MARKDOWN = '<span class="markdown prose"><span class="paragraph">{}</span></span>'


def test_a_cell_shows_its_code_output_console_and_name() -> None:
    console = [stream("a \x1b[31mred\x1b[0m word"), stream("careful", "stderr")]
    html = body.render(notebook.read(page({"code": "x = 1", "name": "load", "html": "<b>hi</b>", "console": console})))
    assert '<section class="cell" id="cell-1" aria-label="Cell 1 (load)">' in html
    assert "<b>hi</b>" in html
    assert '<span class="ansi-red">red</span>' in html
    assert Reader(html).text == "Code of cell 1 (load) x = 1 hi a red word Printed to stderr careful"


def test_code_is_folded_marked_where_the_notebook_hides_it_and_absent_where_the_export_leaves_it_out() -> None:
    assert '<details class="code"><summary>' in body.render(notebook.read(page({"code": "x"})))
    assert '<details class="code hidden"><summary>' in body.render(notebook.read(page({"code": "x", "hide": True})))
    assert "secret" not in body.render(notebook.read(page({"code": "secret"}, view={"showAppCode": False})))


def test_code_is_shown_letter_for_letter() -> None:
    code = "\n\n  if a < b & c:\n\tprint('<b>', \"\\u00e9\")  # \n\n"
    found = re.search(
        r'<pre class="source"><code>(.*)</code></pre>', body.render(notebook.read(page({"code": code}))), re.S
    )
    assert found
    assert "".join(Reader(found[1]).words) == code


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (element("slider", initial_value=5, label=MARKDOWN.format("S"), start=0, stop=10), "Slider S : 5 (0 to 10)"),
        (element("slider", initial_value=1, label=None, start=0, stop=2, steps=[1, 5, 9]), "Slider : 5 (of 1, 5, 9)"),
        (element("range-slider", initial_value=[2, 5], start=0, stop=9, steps=[]), "Range : 2 to 5 (0 to 9)"),
        (element("dropdown", initial_value=["a"], options=["a", "b"]), "Dropdown : a (of a, b)"),
        (element("multiselect", initial_value=[], options=["a"]), "Choice : nothing chosen (of a)"),
        (element("checkbox", initial_value=True, label="cb"), "Checkbox cb : on"),
        (element("text", initial_value="pw", kind="password"), "Text : " + "\u2022" * 8),
        (element("stat", value="5", label="st", caption="c", direction="decrease"), "st 5 \u25bc c"),
        (element("callout-output", html="<p>x</p>", kind="warn"), "Warning x"),
        (element("accordion", "<div>in</div>", labels=["One"]), "One in"),
        (element("tabs", "<div>a</div><div>b</div>", tabs=["A", "B"]), "Tab A a Tab B b"),
        (element("progress", title="T", total=3, progress=2), "Progress T : 2 of 3"),
        (element("mermaid", diagram="A-->B"), "Diagram (Mermaid) A-->B"),
        (element("unheard-of", "its text", thing=1), "marimo-unheard-of its text"),
        ('<marimo-tex class="arithmatex">||(a^2 &lt; b||)</marimo-tex>', "a^2 < b"),
        ("<iframe srcdoc='&lt;p&gt;inside&lt;/p&gt;'></iframe>", "Embedded page inside"),
        ("<img src='https://a.example/x.png' alt='chart'>", "Image chart (not in this file: https://a.example/x.png )"),
        ("<input type=checkbox checked>", "Checkbox : on"),
        ("<select><option>a<option selected>b</select>", "Choice : b (of a, b)"),
        ("<textarea>words <b></textarea>", "Text : words <b>"),
    ],
)  # fmt: skip
def test_what_a_script_would_draw_is_said_in_words(html: str, text: str) -> None:
    assert of_html(html).text == text


def test_a_table_shows_its_rows_and_says_how_many_there_are() -> None:
    rows = [{"a": number, "b": f"<{number}>", "hid": 1} for number in range(10)]
    arguments = {"field_types": [["a", ["integer", "i"]], ["b", ["string", "s"]]], "hidden_columns": ["hid"]}
    for data in (rows, json.dumps(rows)):
        read = of_html(element("table", data=data, total_rows=200, label=MARKDOWN.format("Mine"), **arguments))
        assert read.text.startswith("Mine (10 of 200 rows) a b 0 <0> 1 <1>")
        assert read.names.count("tr") == 11


def test_a_table_given_as_csv_and_one_that_is_not_in_the_file() -> None:
    url = "data:text/csv;base64," + base64.b64encode(b'a,b\n1,"x,y"\n').decode()
    assert of_html(element("data-explorer", data=url)).text == "(1 row) a b 1 x,y"
    assert "30 rows. The rows are not in the export." in of_html(element("dataframe", total=30)).text
    assert "not in the export" in of_html(element("table", data="./@file/1-x.csv")).text


def test_html_in_a_drawing_leaves_its_text_where_it_stood() -> None:
    box = '<foreignObject x="10" y="-20.5" width="40" height="30">{}</foreignObject>'
    inside = "<body onload=x()><div>a <b>label</b><script>no()</script></svg></div></body>"
    drawn = body.render(notebook.read(page({"html": f"<svg>{box.format(inside)}<rect/></svg>", "code": ""})))
    assert '<text x="30" y="-5.5" text-anchor="middle" dominant-baseline="central">a label</text>' in drawn
    assert ("foreign" in drawn.lower(), "onload" in drawn, "no()" in drawn) == (False, False, False)
    bare = of_html("<svg><foreignObject x='1e9' width='<'>bare</foreignObject></svg>")
    assert "bare" in bare.text


def test_a_long_table_is_cut_and_says_so() -> None:
    read = of_html(element("table", data=[{"a": number} for number in range(1500)], total_rows=1500))
    assert "(1,000 of 1,500 rows)" in read.text
    assert read.names.count("tr") == 1001


def test_a_plot_without_a_picture_shows_what_it_draws_and_its_data() -> None:
    packed = {"dtype": "i2", "bdata": base64.b64encode(struct.pack("<2h", 7, -8)).decode()}
    figure = {
        "data": [{"type": "bar", "name": "sales", "x": ["a", "b"], "y": packed}],
        "layout": {"title": {"text": "Orders"}, "xaxis": {"title": {"text": "day"}}},
    }
    text = of_html(element("plotly", figure=figure)).text
    assert text.startswith("Plot (plotly, bar) Orders x: day")
    assert text.endswith("Data: sales sales (2 rows) x y a 7 b -8")
    spec = {"mark": "line", "encoding": {"x": {"field": "t", "title": "time"}}, "data": {"values": [{"t": 4}]}}
    text = of_data(**{"application__vnd.vegalite.v5+json": json.dumps(spec)}).text
    assert text.startswith("Plot (Vega, line) x: time (t)")
    assert text.endswith("(1 row) t 4")


@pytest.mark.parametrize("as_text", [True, False])
def test_the_best_form_of_a_bundle_is_shown(as_text: bool) -> None:
    forms = {"text/plain": "plain", "image/png": "data:image/png;base64,AAAA", "text/html": "<i>rich</i>"}

    def bundle(**changes: Any) -> list[str]:
        value = {**forms, **changes}
        data = {"application/vnd.marimo+mimebundle": json.dumps(value) if as_text else value}
        return shown({"outputs": [{"type": "data", "data": data}], "code": ""}).names[2:]

    assert bundle() == ["i"]
    assert bundle(**{"text/html": ""}) == ["img"]
    assert bundle(**{"application/vnd.plotly.v1+json": {}}) == ["img"]  # its HTML is a script
    assert bundle(**{"text/html": "", "image/png": ""}) == ["pre"]


def test_structures_are_shown_as_python_writes_them() -> None:
    value = ["text/plain+float:2.5", "text/plain+set:[1]", {"text/plain+int:2": None}, True, 'q"', []]
    assert of_data(application__json=json.dumps(value)).text == '[ 2.5, {1}, { 2: None }, True, "q\\"", [] ]'
    rich = of_data(application__json=json.dumps({"a": ["text/html:<i>rich</i>"]}))
    assert "i" in rich.names
    assert rich.text == '"a" : 0 : rich'


def test_errors_and_tracebacks_are_shown() -> None:
    trace = '<pre>Traceback:\n  File "/tmp/marimo_1/__marimo__cell_Ce00_.py", line 1\nOops: &lt;no&gt;</pre>'
    console = [stream(trace, "stderr", "application/vnd.marimo+traceback")]
    outputs = [{"type": "error", "ename": "exception", "evalue": "<no>", "traceback": None}]
    text = shown({"outputs": outputs, "console": console, "code": ""}).text
    assert text == 'Error <no> Traceback: File "cell 1", line 1 Oops: <no>'


@pytest.mark.parametrize(
    "html",
    [
        "<a " * 50_000,
        "<div>" * 50_000,
        "</b>" * 50_000,
        "<!--" * 50_000,
        "<table>" * 5_000,
        "<svg>" * 50_000,
        "&#" + "9" * 50_000,
        "<p style='" + "x:url(" * 50_000 + "'>",
        "\ud800<b title='\udfff'>\x00\x1b",
        element("table", data='[{"a": "\\ud800"}]'),
        element("json-output", json_data="[" * 5_000),
        "<marimo-table data-data='[[[' data-total-rows=x>",
        element("accordion", labels={"a": 1}),
        element("plotly", figure=[1]) + element("plotly", figure={"data": [1, {"x": 5}], "layout": 7}),
        element("vega", spec={"layer": [3, {"encoding": 4, "data": [5]}], "datasets": 6, "title": [{}]}),
        element("nav-menu", items=[1, {"label": 2, "items": 3}]),
        element("slider", initial_value={"a": 1}, steps=3, options=4),
    ],
)
def test_whatever_an_output_holds_it_is_shown_somehow(html: str) -> None:
    body.render(notebook.read(page({"html": html}))).encode()
    of_html(html)


@pytest.mark.parametrize("value", ["[" * 100_000, '{"a": NaN', "\ud800", 5, None, {"a": [1]}, ["text/html:<b>"]])
@pytest.mark.parametrize(
    "mime", ["application/json", "application/vnd.marimo+mimebundle", "text/html", "image/png", "x"]
)
def test_whatever_form_an_output_has_it_is_shown_somehow(mime: str, value: Any) -> None:
    shown({"outputs": [{"type": "data", "data": {mime: value}}]})


def test_elements_in_elements_without_end_are_cut_and_their_text_stays() -> None:
    assert "deep" in of_html("<div>" * 10_000 + "deep").text
    nested = "core"
    for _ in range(8):
        nested = element("callout-output", html=nested, kind="x")
    assert of_html(nested).text == "core"


def test_long_text_is_cut_and_says_so() -> None:
    text = shown({"console": [stream("x" * 1_000_007)]}).text
    assert text.endswith("Cut here: 7 characters more are not shown.")


@pytest.mark.long
def test_html_of_very_many_elements_is_cut_and_says_so() -> None:
    assert re.search(r"Cut here: [\d,]+ characters of HTML more are not shown\.$", of_html("<b>" * 200_100).text)


def test_what_is_not_marimos_is_refused() -> None:
    with pytest.raises(errors.InvalidInput):
        notebook.read("<html></html>")

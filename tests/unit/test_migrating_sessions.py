"""marimo's session record: one output a cell, nothing of a stranger's that could run, and bounds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from daglab.migrating import cells
from daglab.migrating.converting import conversions
from daglab.migrating.keeping import sessions, shown_outputs


def display(data: dict[str, Any]) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": data}


def record(
    outputs: dict[int, list[dict[str, Any]]], drafted: list[cells.Cell], count: int = 3
) -> tuple[dict[str, Any], tuple[cells.Note, ...]]:
    originals = tuple(cells.Original(n, "code", "", outputs=tuple(outputs.get(n, ()))) for n in range(1, count + 1))
    draft = cells.Draft(cells.Jupyter(Path("x.ipynb"), "4.5", originals), tuple(drafted))
    codes = tuple(cell.code for cell in drafted)
    made = conversions.Conversion("t", codes, header_hash="h", marimo_version="0.25.2", draft=draft)
    text, notes = sessions.record(made, draft)
    return json.loads(text), notes


def test_outputs_go_where_their_cells_went() -> None:
    outputs = {number: [display({"text/plain": f"out {number}"})] for number in (1, 2, 3)}
    drafted = [cells.Cell("import a"), cells.Cell("b", origins=(1,)), cells.Cell("c", origins=(1, 2))]
    found, notes = record(outputs, drafted)
    assert found["metadata"] == {"marimo_version": "0.25.2", "script_metadata_hash": "h"}
    assert [cell["code_hash"] for cell in found["cells"]] == [
        hashlib.md5(code.encode()).hexdigest() for code in ("import a", "b", "c")
    ]
    assert [len(cell["outputs"]) for cell in found["cells"]] == [0, 0, 1]
    html = found["cells"][2]["outputs"][0]["data"]["text/html"]
    assert html.index("out 1") < html.index("out 2")
    assert [(note.kind, note.cell) for note in notes] == [("output", 3)]


def test_a_text_that_marimo_does_not_draw_at_once_is_in_the_record() -> None:
    """As is one whose form is not that of marimo's text cells."""
    texts = ['**b** """', 'mo.md(r"""x""")']
    found, _ = record({}, [cells.Cell(text, "markdown", origins=(n,)) for n, text in enumerate(texts, 1)])
    assert [bool(cell["outputs"]) for cell in found["cells"]] == [True, False]
    assert '<strong>b</strong> "' in found["cells"][0]["outputs"][0]["data"]["text/markdown"].replace("&quot;", '"')


def test_a_text_that_is_a_text_cell_now_is_not_told_to_be_lost() -> None:
    code = 'mo.md(r"""x""")'
    _, notes = record({1: [display({"text/markdown": "x"})]}, [cells.Cell(code, "markdown", origins=(1,))])
    assert not notes


def test_cells_alike_are_told_of() -> None:
    outputs = {number: [display({"text/plain": "x"})] for number in (1, 2)}
    _, notes = record(outputs, [cells.Cell("df", origins=(1,)), cells.Cell("df", origins=(2,))], 2)
    assert [note.cell for note in notes] == [1]


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>attack</script>",
        "<img src=x onerror=attack>",
        "<svg onload=attack><script>attack</script></svg>",
        "<a href='javascript:attack'>x</a>",
        "<iframe srcdoc='<script>attack</script>'></iframe>",
        "<marimo-mime-renderer data-data='attack'></marimo-mime-renderer>",
        "<style>@import 'attack'</style>",
        "<p style='background: url(https://attack)'>x</p>",
        "<form action='https://attack'><button>x</button></form>",
        "<scr<script>ipt>attack</script>",
    ],
)
@pytest.mark.parametrize("mime", ["text/html", "text/markdown"])
def test_nothing_of_a_strangers_runs(hostile: str, mime: str) -> None:
    made = shown_outputs.shown([display({mime: f"<b>kept</b>\n{hostile}"})], "p")
    text = json.dumps(made.output)
    assert "kept" in text
    for word in ("<script", "onerror", "onload", "javascript:", "srcdoc", "mime-renderer", "<style", "url(", "<form"):
        assert word not in text


def test_a_drawing_is_an_image_and_a_formula_is_text() -> None:
    drawing = shown_outputs.shown([display({"image/svg+xml": "<svg onload='x'/>"})], "p").output
    assert "data:image/svg+xml;base64," in json.dumps(drawing)
    assert "onload" not in json.dumps(drawing)
    formula = shown_outputs.shown([display({"text/latex": "$</marimo-tex><script>$"})], "p").output
    assert "<script" not in json.dumps(formula)


def test_what_was_a_script_gives_way_to_what_can_be_shown() -> None:
    forms = {"text/html": "<div><script>draw()</script></div>", "image/png": "aGk=", "text/plain": "<Figure>"}
    assert shown_outputs.shown([display(forms)], "p").output == {
        "type": "data",
        "data": {"image/png": "data:image/png;base64,aGk="},
    }
    widget = shown_outputs.shown([display({shown_outputs.WIDGET: {}, "text/plain": "IntSlider()"})], "p")
    assert widget.output == {"type": "data", "data": {"text/html": "<pre class='text-xs'>IntSlider()</pre>"}}
    assert widget.remarks


def test_bounds_hold() -> None:
    long = shown_outputs.shown([{"output_type": "stream", "name": "stdout", "text": "x" * 3_000_000}] * 2, "p")
    assert sum(len(line["text"]) for line in long.console) < shown_outputs.LONGEST_CONSOLE + 100
    assert long.remarks
    huge = shown_outputs.shown([display({"text/plain": "y" * 6_000_000}), display({"text/plain": "small"})], "p")
    assert len(json.dumps(huge.output or "")) < shown_outputs.LONGEST_OUTPUT
    assert huge.remarks


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"output_type": 5},
        {"output_type": "stream"},
        {"output_type": "stream", "text": [1, None, "x"]},
        {"output_type": "error"},
        {"output_type": "error", "traceback": 7, "ename": []},
        {"output_type": "display_data", "data": []},
        display({"text/html": None}),
        display({"image/png": "not base64 <"}),
        display({"text/plain": "\ud800"}),
        display({shown_outputs.PLOTLY: "{"}),
        display({"application/vnd.vegalite.v99999999999+json": {}}),
        display({"text/markdown": "\ue0001234567890\ue001 $x$"}),
        display({"application/x-unknown": "z"}),
    ],
)
def test_odd_outputs_raise_nothing(odd: dict[str, Any]) -> None:
    json.dumps(shown_outputs.shown([odd], "p").output).encode()


def test_the_record_lies_where_marimo_looks() -> None:
    assert sessions.path(Path("a/b.py")) == Path("a/__marimo__/session/b.py.json")


def test_what_is_too_large_all_together_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LARGEST", 2_000)
    outputs = {number: [display({"text/plain": "x" * size})] for number, size in ((1, 600), (2, 1_900), (3, 500))}
    found, notes = record(outputs, [cells.Cell(code, origins=(n,)) for n, code in enumerate("abc", 1)])
    assert [bool(cell["outputs"]) for cell in found["cells"]] == [True, False, True]
    assert [(note.cell, note.text) for note in notes] == [(2, "Its outputs are left out: all together are too large.")]


def test_a_picture_of_a_cell_that_is_text_now_is_told_to_be_lost() -> None:
    code = 'mo.md(r"""x""")'
    _, notes = record({1: [display({"image/png": "aGk="})]}, [cells.Cell(code, "markdown", origins=(1,))])
    assert [note.text[:26] for note in notes] == ["What it showed is not kept"]

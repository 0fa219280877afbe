"""marimo's session record in a real browser: `marimo edit` shows what Jupyter had shown, and has run nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab.migrating import cells
from daglab.migrating.converting import conversions
from daglab.migrating.keeping import sessions
from tests.integration.conftest import Browser

pytestmark = pytest.mark.long

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR4nGP4z8CAB+GTG8HSALfKY52fTcuYAAAAAElFTkSuQmCC"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><circle cx="9" cy="9" r="5"/></svg>'
TRACEBACK = ["\x1b[31mZeroDivisionError\x1b[0m  Traceback (most recent call last)", "Cell In[1], line 1\n----> 1 1/0"]
ATTACK = (
    "<b>htmlkept</b><script>document.title = 'attacked'</script><img src=x onerror=\"document.title = 'attacked'\">"
    "<svg onload=\"document.title = 'attacked'\"></svg><iframe srcdoc='<script>top.document.title=1</script>'></iframe>"
    "<marimo-mime-renderer data-mime='&quot;text/html&quot;' data-data='&quot;<img src=x"
    " onerror=document.title=1>&quot;'></marimo-mime-renderer>"
)
CHART = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
    "data": {"values": [{"a": "vegalabel", "b": 3}]},
    "mark": "bar",
    "encoding": {"x": {"field": "a", "type": "nominal"}, "y": {"field": "b", "type": "quantitative"}},
}
FIGURE = {
    "data": [{"type": "bar", "x": ["p"], "y": [1]}],
    "layout": {"width": 300, "height": 200, "title": {"text": "plotlytitle"}},
}


def bundle(**data: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": {k.replace("__", "/"): v for k, v in data.items()}}


def forms(data: dict[str, Any]) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": data}


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


ERROR = {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "by zero", "traceback": TRACEBACK}
NOTEBOOK: list[tuple[str, str, list[dict[str, Any]]]] = [
    ("markdown", "# Heading\n\nSome *words* and $x^2$.\n\n|th|\n|--|\n|tablecell|", []),
    ("code", "print(1)", [stream("printed\x1b[31mred\x1b[0m\n10%\r99%\n"), stream("warned\n", "stderr")]),
    ("code", "a = 1; a", [bundle(text__html="<table><tr><td>framed</td></tr></table>", text__plain="not this")]),
    ("code", "b = 2; b", [bundle(image__png=PNG, text__plain="<Figure>")]),
    ("code", "c = 3; c", [forms({"image/svg+xml": SVG})]),
    (
        "code",
        "d = 4; d",
        [bundle(text__plain="<first> & text"), bundle(image__png=PNG), bundle(text__latex="$\\beta$")],
    ),
    ("code", "1 / 0", [ERROR]),
    ("code", "2 / 0", [bundle(text__plain="beforehand"), ERROR]),
    ("code", "e = 5; e", [bundle(text__markdown="**boldwords**")]),
    ("code", "f = 6; f", [bundle(application__json={"jsonkey": [1, 2]})]),
    ("code", "g = 7; g", [forms({"application/vnd.vegalite.v5+json": CHART, "text/html": "<script></script>"})]),
    ("code", "h = 8; h", [forms({"application/vnd.plotly.v1+json": FIGURE})]),
    ("code", "i = 9; i", [bundle(text__html=ATTACK)]),
    ("markdown", "Hidden " + ATTACK, []),
    ("code", "open('was-run', 'w')", []),
]


@pytest.mark.slow
def test_old_outputs_are_shown_and_nothing_runs(tmp_path: Path, browser: Browser, served: Callable[..., str]) -> None:
    drafted = [cells.Cell(code, kind, (number,)) for number, (kind, code, _) in enumerate(NOTEBOOK, 1)]
    originals = tuple(
        cells.Original(number, kind, code, outputs=tuple(outputs))
        for number, (kind, code, outputs) in enumerate(NOTEBOOK, 1)
    )
    jupyter = cells.Jupyter(Path("old.ipynb"), "4.5", originals)
    draft = cells.Draft(jupyter, (cells.Cell("import marimo as mo"), *drafted), requirements=("pandas>=2",))
    (made,) = conversions.convert([draft], [sys.executable], dict(os.environ), ["old.py"])
    assert made.flaw is None
    assert made.draft is not None
    notebook = tmp_path / "old.py"
    notebook.write_text(made.text, encoding="utf-8")
    text, notes = sessions.record(made, made.draft)
    assert not notes
    sessions.path(notebook).parent.mkdir(parents=True)
    sessions.path(notebook).write_text(text, encoding="utf-8")

    browser.open(served(notebook, "edit"))
    browser.resize(1200, 5200)
    shown = ("printedred", "99%", "warned", "framed", "<first> & text", "beforehand", "boldwords", "jsonkey")
    for each in (*shown, "Heading", "tablecell", "by zero", "----> 1 1/0", "htmlkept", "plotlytitle"):
        browser.wait_for(each)
    assert "10%" not in browser.text()
    assert "not this" not in browser.text()
    sources = browser.run("return [...document.images].map((each) => [each.src, each.naturalWidth])")
    assert [width for source, width in sources if source.startswith("data:image/png")] == [10, 10]
    assert [width for source, width in sources if source.startswith("data:image/svg")] == [30]
    browser.wait_until(lambda: browser.run("return document.querySelector('.vega-embed') !== null"), "the chart")
    browser.wait_until(lambda: browser.run("return document.querySelector('marimo-tex') !== null"), "the formula")
    assert browser.run("return document.title") not in ("attacked", "1")
    assert not (tmp_path / "was-run").exists()
    if os.environ.get("SHOT"):
        browser.shoot(Path(os.environ["SHOT"]), 1200, 5200)
    assert json.loads(text)["metadata"]["script_metadata_hash"]

"""What marimo really writes: the page of it, the values that a notebook declares in it, and its hash."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from daglab.page import body, content, notebook, results
from tests.marimo_pages import element, page, stream

NOTEBOOK = """
import marimo
app = marimo.App(app_title="Kinds")

@app.cell
def _():
    import marimo as mo, sys
    from daglab import helpers
    return helpers, mo, sys

@app.cell
def _(helpers, mo):
    mo.vstack([helpers.result("rows", 42), mo.hstack([helpers.result("na<me", {"a": [1.5, None, "<b>"]})])])
    return

@app.cell
def _(helpers):
    helpers.result("twice", 1)
    return

@app.cell
def _(helpers):
    [helpers.result("twice", 2), 3]
    return

@app.cell
def _(helpers, mo):
    mo.accordion({"folded": mo.callout(helpers.result("inside", "x"))})
    return

@app.cell
def _(mo):
    mo.vstack([
        mo.ui.table([{"a": number, "b": "text"} for number in range(30)], label="Numbers"),
        mo.ui.slider(0, 10, value=5, label="Speed"), mo.ui.dropdown(["one", "two"], value="one"),
        mo.ui.array([mo.ui.text("typed")]), mo.ui.tabs({"First": "in tab"}), mo.stat(7, label="Stat"),
        mo.md("Hi {name}").batch(name=mo.ui.number(1, 5)).form(), mo.ui.dictionary({"k": mo.ui.checkbox()}),
        mo.md(r"Formula $a^2$ and **bold**"), mo.mermaid("graph LR; A-->B"), mo.iframe("<p>framed</p>"),
        mo.download(b"abc", filename="x.txt"), mo.image("https://a.example/x.png", alt="far"),
        mo.carousel(["s1", "s2"]),
    ])
    return

@app.cell
def _(mo, sys):
    for _ in mo.status.progress_bar(range(3), title="Busy"):
        pass
    print("out"); print("err", file=sys.stderr)
    return

@app.cell
def _():
    object()
    return

@app.cell
def _():
    1 / 0
    return
"""
READ = (
    "Numbers (10 of 30 rows)", "Slider Speed: 5 (0 to 10)", "Dropdown: one (of one, two)", "Text: typed", "Tab First",
    "in tab", "Stat", "Number: 1 (1 to 5)", "Checkbox: off", "a^2", "bold", "A-->B", "framed", "x.txt", "far (not in",
    "Slide 2 of 2", "Progress Busy: 3 of 3", "out", "err", "ZeroDivisionError: division by zero", "rows: 42",
)  # fmt: skip


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same notebook exported twice, and once with another output; all at the same time."""
    folder = tmp_path_factory.mktemp("exports")
    sources = {"first": NOTEBOOK, "second": NOTEBOOK, "other": NOTEBOOK.replace('"typed"', '"taped"')}
    running = []
    for name, source in sources.items():
        file = folder / name / "kinds.py"
        file.parent.mkdir()
        file.write_text(source)
        command = [
            sys.executable,
            "-m",
            "marimo",
            "export",
            "html",
            str(file),
            "-o",
            str(folder / f"{name}.html"),
            "-f",
        ]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])}
        running.append(subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    for process in running:
        process.wait(timeout=180)
    return {name: (folder / f"{name}.html").read_text() for name in sources}


def test_every_output_of_a_real_export_can_be_read(exports: dict[str, str]) -> None:
    html = body.render(notebook.read(exports["first"]))
    text = re.sub(r"\s+", " ", re.sub(r"</(?:th|td|div|summary)>", " ", html))
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", text)).replace("&gt;", ">")
    assert [words for words in READ if words not in text] == []
    assert not re.findall(r"marimo-[a-z-]+", html)  # no element of marimo's is unknown


def test_declared_values_come_out_of_a_real_export(exports: dict[str, str]) -> None:
    found = results.declared(exports["first"])
    assert found == {"rows": 42, "na<me": {"a": [1.5, None, "<b>"]}, "twice": 2, "inside": "x"}


def test_two_executions_that_show_the_same_have_the_same_hash(exports: dict[str, str]) -> None:
    first, second = (notebook.read(exports[name]) for name in ("first", "second"))
    assert first.cells != second.cells  # there is something random in them
    assert content.digest(exports["first"]) == content.digest(exports["second"])
    assert content.digest(exports["first"]) != content.digest(exports["other"])


def test_the_hash_follows_what_is_shown_and_nothing_else() -> None:
    ids = ["3fb910c7-57a5-e637-9f50-6ba474a29792", "74303d4d-4ca7-f337-97b7-293a2b05a159"]
    base = {"code": "x = 0xdeadbeef01", "html": f"<p id={ids[0]}>a</p>{element('x', model_id='0' * 32)}"}
    digest = content.digest(page(base))
    other_ids = {**base, "html": f"<p id={ids[1]}>a</p>{element('x', model_id='f' * 32)}"}
    assert content.digest(page(other_ids)) == digest
    assert content.digest(page({**base, "name": "named"}, version="0.26.0")) == digest
    for change in ({"code": "x = 0xdeadbeef02"}, {"html": "<p>b</p>"}, {"console": [stream("x")]}):
        assert content.digest(page({**base, **change})) != digest
    picture = [{"type": "data", "data": {"image/png": "data:image/png;base64," + "A" * 900}}]
    changed = [{"type": "data", "data": {"image/png": "data:image/png;base64," + "A" * 899 + "B"}}]
    assert content.digest(page({"outputs": picture})) != content.digest(page({"outputs": changed}))


def test_which_id_belongs_to_which_still_counts() -> None:
    one, two = "3fb910c7-57a5-e637-9f50-6ba474a29792", "74303d4d-4ca7-f337-97b7-293a2b05a159"
    same, different = (page({"html": f"{one} {last}"}) for last in (one, two))
    assert content.digest(same) != content.digest(different)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3fb910c7-57a5-e637-9f50-6ba474a29792", "74303d4d-4ca7-f337-97b7-293a2b05a159"),
        ("model_id: " + "0" * 32, "model_id: " + "f" * 32),
        ("T_01234", "T_abcde"),
        ('"m0123456789"', '"mabcdef0123"'),
        ("altair-viz-" + "0" * 32, "altair-viz-" + "f" * 32),
        ("<A at 0x7f0011223344>", "<A at 0x7f5566778899>"),
    ],
)
def test_a_random_id_does_not_count_wherever_it_stands(one: str, other: str) -> None:
    """At the beginning of a text and of a line, and after a tab; but that two are the same counts."""

    def digest(*ids: str) -> str:
        return content.digest(page({"console": [stream("{}\n{}\t{} x".format(*ids))]}))

    assert digest(one, one, one) == digest(other, other, other)
    assert digest(one, other, one) == digest(other, one, other)
    assert digest(one, other, one) != digest(one, one, other)


def test_into_which_pieces_a_stream_falls_does_not_count() -> None:
    whole, pieces = [stream("ab"), stream("c", "stderr")], [stream("a"), stream("c", "stderr"), stream("b")]
    assert content.digest(page({"console": whole})) == content.digest(page({"console": pieces}))


@pytest.mark.parametrize(
    "attribute",
    ["{", "5", "[]", '{"name": "n"}', '{"name": 5, "value": 1}', '{"name": "n", "value": NaN}', "[" * 9_000,
     '{"name": "", "value": 1}', '{"name": "a\\u001bb", "value": 1}', '{"name": "n", "value": "\\ud800"}'],
)  # fmt: skip
def test_what_is_no_declared_value_is_left_out(attribute: str) -> None:
    html = f"<p data-daglab-result='{attribute}'></p>"
    assert results.declared(page({"html": html}, {"code": "data-daglab-result"})) == {}

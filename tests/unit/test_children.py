"""The parts of daglab's children that need no process of their own: what a transform gives back, what a cell shows."""

from __future__ import annotations

import json
import os
import socket
import struct
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from daglab import errors
from daglab.children import comparison, converter, exporter, tokens, transformer
from daglab.helpers import in_process

OBJECT = {"id": "a", "properties": {"t": "x"}, "vector": None, "vectors": {}}


def answered(function: Any, **given: Any) -> dict[str, Any]:
    module: Any = ModuleType("transform")
    module.transform = function
    found: dict[str, Any] = json.loads(transformer.answer({"objects": [{**OBJECT, **given}]}, module, "transform.py"))
    return found


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (3, "transform gives back a int, and neither a dict nor None"),
        ({"id": "b", "properties": {}}, "its id is 'b', and was a"),
        ({"id": "a", "properties": None}, "its properties are nothing, and not a dict"),
        ({"id": "a", "properties": {}, "more": 1}, "it has more beside id, properties, vector and vectors"),
        ({"id": "a", "properties": {}, "vectors": [1]}, "its vectors are a list, and not a dict"),
        ({"id": "a", "properties": {"t": {1}}}, "its properties can't be written as JSON"),
        ({"id": "a", "properties": {}, "vector": "text"}, "a vector is a str, and not a list of numbers"),
        ({"id": "a", "properties": {}, "vector": [1, "x"]}, "a vector holds something that is no number"),
        ({"id": "a", "properties": {}, "vector": [float("inf")]}, "a vector holds a number that is not finite"),
    ],
)
def test_what_is_no_object_is_told_with_its_id(made: Any, said: str) -> None:
    found = answered(lambda _: made)
    assert found["problem"].startswith(said)
    assert found["id"] == "a"
    assert isinstance(found["line"], int)


def test_vectors_go_there_and_back() -> None:
    packed, many = transformer.packed([0.5, 1]), transformer.packed([[1.0], [2.0]])
    given = {"vector": packed, "vectors": {"m": many}}
    [kept] = answered(lambda each: each, **given)["objects"]
    assert (kept["vector"], kept["vectors"]) == (True, {"m": True})
    [changed] = answered(lambda each: {**each, "vector": [2], "vectors": {"m": []}}, **given)["objects"]
    assert transformer.unpacked(changed["vector"]) == [2.0]
    assert changed["vectors"] == {"m": None}
    assert transformer.unpacked(many) == [[1.0], [2.0]]
    assert answered(lambda _: None)["objects"] == [None]


def test_a_transform_that_raises_or_leaves_is_told_with_its_line() -> None:
    def leave(_: Any) -> None:
        raise SystemExit(3)

    assert answered(leave)["problem"] == "SystemExit: 3"
    assert answered(lambda each: each["nothing"])["problem"] == "KeyError: 'nothing'"
    module: Any = ModuleType("transform")
    module.transform_schema = lambda _: None
    found = json.loads(transformer.answer({"schema": {}}, module, "transform.py"))
    assert found["problem"] == "transform_schema gives back nothing, and not a dict"
    module.transform_schema = lambda schema: {**schema, "x": 1}
    assert json.loads(transformer.answer({"schema": {"a": 1}}, module, "t.py")) == {"schema": {"a": 1, "x": 1}}


def test_an_encoding_is_looked_for_once() -> None:
    asked: list[str] = []

    def encoding_for_model(model: str) -> Any:
        asked.append(model)
        return SimpleNamespace(name="e", encode=lambda text, **_: list(text))

    tiktoken, found = SimpleNamespace(encoding_for_model=encoding_for_model), {}  # type: ignore[var-annotated]
    assert tokens.count(tiktoken, found, "m", "abc") == [3, "e"]
    assert tokens.count(tiktoken, found, "m", "ab") == [2, "e"]
    assert tokens.count(tiktoken, found, None, "ab") == "no model is named"
    assert asked == ["m"]


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def watch(told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> comparison.Watch:
    """What looks at cells, which prints nothing."""
    found = comparison.Watch(lambda **line: told.append(line))
    monkeypatch.setattr(found.printed, "take", lambda: {"stdout": "", "stderr": ""})
    return found


def test_what_a_cell_shows_is_told_at_its_end(watch: comparison.Watch, told: list[dict[str, Any]]) -> None:
    watch.begin(1)
    watch.show("first")
    assert watch.end(1, 7) == 7
    watch.begin(2)
    assert watch.end(2) is None
    watch.begin(3)
    watch.begin(4)  # mo.stop ended the one before
    watch.failed(ValueError("no"))
    lines = {line["cell"]: line for line in told if "cell" in line}
    assert [each["text"] for each in lines[1]["shown"]] == ["'first'", "7"]
    assert (lines[2]["shown"], lines[2]["ended"]) == ([], True)
    assert (lines[3]["ended"], lines[3]["error"]) == (False, None)
    assert (lines[4]["stopped"], lines[4]["error"]) == (True, {"type": "ValueError", "text": "no"})


def test_a_stack_is_what_is_in_it_and_what_is_replaced_is_not_shown(
    watch: comparison.Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = pytest.importorskip("IPython.core.display_functions")
    for module in (own, pytest.importorskip("IPython.display")):
        monkeypatch.setattr(module, "display", own.display)  # put back at the end
    marimo = SimpleNamespace(output=SimpleNamespace(), vstack=lambda items, **_: object())
    watch.listen(marimo)
    watch.begin(1)
    marimo.output.append("gone")
    marimo.output.replace(marimo.vstack([1, 2]))
    assert [each["text"] for each in watch.shown] == ["1", "2"]
    watch.show(marimo.vstack([1], gap=1))
    assert len(watch.shown) == 3
    marimo.output.clear()
    assert watch.shown == []


def test_what_does_not_show_itself_is_told_as_a_flaw(watch: comparison.Watch) -> None:
    watch.formatter = None
    assert watch.described(Odd()) == {"text": None, "data": {}, "flaw": "RuntimeError"}
    assert watch.described([1]) == {"text": "[1]", "data": {}}


def test_a_control_is_its_html_and_its_value() -> None:
    class Slider:
        text = "<a>\n\n</a>"
        value = 3

    assert comparison.marimo_text(Slider()) == {"kind": "Slider", "html": "<a> </a>", "value": "3"}
    assert comparison.marimo_text(Odd()) == {"kind": "Odd"}


def test_outputs_that_jupyter_has_recorded() -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "a"},
        {"output_type": "error", "ename": "E", "evalue": "why"},
        {"output_type": "display_data", "data": {"text/plain": "x", "application/json": {"a": 1}}},
    ]
    found = comparison.heard(outputs)
    assert (found["stdout"], found["stderr"], found["error"]) == ("a", "", {"type": "E", "text": "why"})
    assert found["shown"] == [{"text": "x", "data": {"application/json": '{"a": 1}'}}]


def test_a_run_in_this_process_is_shown_with_why_it_failed() -> None:
    good = in_process.InProcess("a", True, 1.0, {}, (("s", 0.5),))
    bad = in_process.InProcess("<b>", False, 1.0, {}, (), ("s: ValueError: <no>",))
    assert "SUCCESS" in good.html()
    assert "<ul>" not in good.html()
    assert "<li>s: ValueError: &lt;no&gt;</li>" in bad.html()
    assert "not recorded in Dagster: SUCCESS" in str(good)
    assert str(bad).endswith("s: ValueError: <no>")


def test_no_assets_are_no_run() -> None:
    with pytest.raises(errors.InvalidInput, match="There is no asset to run"):
        in_process.run_inprocess(None, [], "shop")  # type: ignore[arg-type]


class Shown:
    """As one of marimo's own."""

    text = "<b>3</b>"


Shown.__module__ = "marimo._output.hypertext"


def test_what_is_marimos_own_is_told_as_that(watch: comparison.Watch) -> None:
    found = watch.described(Shown())
    assert (found["text"], found["data"]) == (None, {})
    assert found["marimo"] == comparison.marimo_text(Shown())


def test_an_original_without_a_kernel_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(comparison.importlib.util, "find_spec", lambda _: None)
    comparison.run_original({}, lambda **line: told.append(line))
    assert len(told) == 1
    assert "pip install nbclient ipykernel" in told[0]["flaw"]


# --- what marimo makes of a notebook


APP = """import functools
import marimo

app = marimo.App()


@functools.cache
def helper(
    a={"x": 1},
):
    return a


@app.cell
def _(a: dict[str, int] = {"b": 2}):
    # a comment
    c = a
    return (c,)


@app.function
def double(x):
    return 2 * x
"""


def test_cells_are_read_by_hand_as_marimo_reads_them() -> None:
    by_hand = [code for code, _ in converter.parsed_by_hand(APP)]
    assert by_hand == ["# a comment\nc = a", "def double(x):\n    return 2 * x"]
    assert by_hand == [code for code, _ in converter.parsed(APP)]


def test_another_number_of_cells_is_a_flaw() -> None:
    with pytest.raises(ValueError, match="marimo makes 2 cells of 1"):
        converter.read_back({"cells": [{"code": "1"}], "header": None}, {"text": APP})


@pytest.mark.parametrize("said", ["", "no json", '{"other": 1}'])
def test_a_check_that_breaks_off_leaves_no_text(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[dict[str, Any]] = [{"text": "a", "issues": []}, {"text": "b", "issues": []}]
    converter.check({}, answers)
    assert [each["text"] for each in answers] == ["a", "b"]
    monkeypatch.setattr(converter, "command", lambda *_: ("KeyError: 'x'", said))
    converter.check({"b.py": 1}, answers)
    assert answers[0] == {"text": "a", "issues": []}
    assert answers[1]["text"] == ""
    assert answers[1]["flaw"] == "`marimo check` breaks off: KeyError: 'x'"


# --- orders for exports


@pytest.mark.parametrize("torn", [b"", b"\0", struct.pack("!I", 9), struct.pack("!I", 9) + b"{}"])
def test_a_torn_order_is_the_end(torn: bytes) -> None:
    here, there = socket.socketpair()
    with open(os.devnull, "rb") as file, here, there:
        if torn:
            socket.send_fds(here, [torn], [file.fileno()] * exporter.DESCRIPTORS)
        here.shutdown(socket.SHUT_WR)
        assert exporter.receive(there) is None


def test_an_order_comes_whole() -> None:
    here, there = socket.socketpair()
    body = json.dumps({"words": ["a"] * 1000}).encode()
    with open(os.devnull, "rb") as file, here, there:
        socket.send_fds(here, [struct.pack("!I", len(body)) + body], [file.fileno()] * exporter.DESCRIPTORS)
        order, descriptors = exporter.receive(there) or ({}, [])
        for each in descriptors:
            os.close(each)
    assert order == {"words": ["a"] * 1000}
    assert len(descriptors) == exporter.DESCRIPTORS

"""ipywidgets as marimo's controls: start values against ipywidgets itself."""

from __future__ import annotations

import datetime
import random
from pathlib import Path
from typing import Any

import pytest

from daglab.migrating import cells, texts
from daglab.migrating.displaying import displays, interacts

ipywidgets = pytest.importorskip("ipywidgets")


def draft(*codes: str) -> cells.Draft:
    originals = tuple(cells.Original(number, "code", code) for number, code in enumerate(codes, 1))
    return displays.apply(texts.begin(cells.Jupyter(Path("x.ipynb"), "4.5", originals)))


def made(*codes: str) -> list[str]:
    return [cell.code.replace("daglab__", "") for cell in draft(*codes).cells]


def value(code: str) -> Any:
    """What a control gives at first, as the migrated notebook reads it."""
    import marimo

    names: dict[str, Any] = {"mo": marimo, "datetime": datetime}
    parts = made("import ipywidgets", f"w = ipywidgets.{code}", "v = w.value")
    assert "ipywidgets" not in "".join(parts)
    for part in parts:
        exec(part, names)
    return names["v"]


CONTROLS = [
    "IntSlider()",
    "IntSlider(min=5)",
    "IntSlider(value=50, max=10)",
    "IntSlider(3, 1, 10, description='n')",
    "IntSlider(value=-3, min=-10, max=10, step=2, readout=False)",
    "FloatSlider()",
    "FloatSlider(value=2, min=0, max=4)",
    "FloatSlider(min=-2, max=-1)",
    "IntRangeSlider(value=(2, 5))",
    "FloatRangeSlider(value=[1, 2], min=0, max=3)",
    "IntText()",
    "IntText(value=7)",
    "FloatText(value=7)",
    "BoundedIntText(value=7, min=0, max=5)",
    "BoundedFloatText()",
    "Checkbox()",
    "Checkbox(True, description='x')",
    "ToggleButton(value=True)",
    "Text()",
    "Text('a', placeholder='b')",
    "Textarea(value='x\\ny')",
    "Password(value='z')",
    "Dropdown(options=['a', 'b'])",
    "Dropdown(options=['a', 'b'], value='b')",
    "Dropdown(options=[1, 2], value=2)",
    "Dropdown(options=[('a', 1), ('b', 2)], value=2)",
    "Dropdown(options={'a': 1, 'b': None})",
    "Dropdown(options=['a'], value=None)",
    "RadioButtons(options=['a', 'b'])",
    "RadioButtons(options=[1.5, 2.5], value=2.5)",
    "ToggleButtons(options=['a', 'b'], value='b')",
    "Select(options=['a', 'b'])",
    "SelectMultiple(options=['a', 'b', 'c'], value=('c', 'a'))",
    "SelectMultiple(options=['a'])",
    "DatePicker(value=datetime.date(2024, 1, 2))",
]


@pytest.mark.parametrize("code", CONTROLS)
def test_a_control_starts_with_ipywidgets_own_value(code: str) -> None:
    expected = eval(f"ipywidgets.{code}.value")
    found = value(code)
    assert (found, type(found)) == (expected, type(expected))


def test_generated_sliders_start_with_ipywidgets_own_value() -> None:
    chance = random.Random(9)
    for _ in range(60):
        kind = chance.choice(["IntSlider", "FloatSlider", "BoundedIntText", "BoundedFloatText"])
        low, high = sorted(chance.sample(range(-20, 20), 2))
        parts = [f"min={low}", f"max={high}"]
        if chance.random() < 0.7:
            parts.append(f"value={chance.randint(-30, 30)}")
        if chance.random() < 0.5:
            parts.append(f"step={chance.randint(1, 4)}")
        code = f"{kind}({', '.join(parts)})"
        expected = eval(f"ipywidgets.{code}.value")
        assert (value(code), type(value(code))) == (expected, type(expected)), code


@pytest.mark.parametrize(
    "abbreviation",
    [
        3,
        -3,
        0,
        2.5,
        -2.5,
        True,
        "x",
        (0, 10),
        (1, 4),
        (0, 10, 3),
        (0.0, 1.0),
        (0, 1.5, 0.5),
        ["a", "b"],
        [1, 2],
        {"a": 1},
    ],
)
@pytest.mark.parametrize("default", [..., "same"])
def test_abbreviations_start_as_interact_starts_them(abbreviation: Any, default: Any) -> None:
    import marimo

    if default == "same":
        default = 1 if isinstance(abbreviation, (tuple, dict)) else abbreviation
        default = default[1] if isinstance(default, list) else default
    empty = ipywidgets.interactive.widget_from_abbrev.__globals__["empty"]
    expected = ipywidgets.interactive.widget_from_abbrev(abbreviation, empty if default is ... else default).value
    text = interacts.abbreviated(abbreviation, default)
    assert text is not None
    assert eval(text, {"daglab__mo": marimo}).value == expected


def test_a_control_is_read_in_another_cell_than_it_is_made_in() -> None:
    assert made("from ipywidgets import IntSlider", "x = 1\nw = IntSlider(value=3)\nw\ny = w.value\ny") == [
        "x = 1\nw = mo.ui.slider(start=0, stop=100, step=1, value=3)\nw;",
        "y = w.value\ny",
    ]
    assert [cell.origins for cell in draft("import ipywidgets as w", "s = w.Text()\nprint(s.value)").cells] == [
        (2,),
        (2,),
    ]


def test_a_range_in_an_f_string_is_still_a_pair() -> None:
    names: dict[str, Any] = {"mo": pytest.importorskip("marimo")}
    for part in made("import ipywidgets as w", "r = w.IntRangeSlider(value=(2, 5))", "text = f'{r.value}'"):
        exec(part, names)
    assert names["text"] == "(2, 5)"


def test_a_function_that_reads_is_called_in_another_cell() -> None:
    parts = made("import ipywidgets as w", "s = w.Text('a')\ndef f():\n    return s.value\nprint(f())")
    assert parts[1:] == ["print(f())"]


@pytest.mark.parametrize(
    "use",
    [
        "s.observe(print)",
        "s.value = 'b'",
        "f(s)",
        "s = 3",
        "w.HBox([s, w.Button()])",
        "w.Tab([s])",
        "w.jslink((s, 'value'), (s, 'value'))",
        "print(s.description)",
        "def g(s): return s",
    ],
)
def test_a_control_used_in_another_way_stays_and_is_told(use: str) -> None:
    made_ = draft("import ipywidgets as w", "s = w.Text('a')", use)
    assert made_.cells[1].code == "s = w.Text('a')"
    assert any(note.needs_person and note.kind == "widget" for note in made_.notes)


@pytest.mark.parametrize(
    "code", ["s = w.IntSlider(value=x)", "s = w.Dropdown(options=x)", "s = w.DatePicker()", "s = w.Play()"]
)
def test_a_control_whose_start_is_not_known_stays(code: str) -> None:
    assert made("import ipywidgets as w", code)[1] == code


def test_boxes_become_stacks_when_all_in_them_does() -> None:
    parts = made("import ipywidgets as w", "a = w.Text('')\nb = w.Checkbox(False)", "display(w.VBox([a, b]))")
    assert parts[1] == "mo.vstack([a, b])"


def test_a_box_may_hold_what_is_made_in_it_and_other_boxes() -> None:
    code = "w.VBox([w.Label('name'), w.HBox([a, w.Checkbox(True)]), w.HTML('<b>x</b>')])"
    assert made("import ipywidgets as w", "a = w.Text('')", code) == [
        "a = mo.ui.text(value='')",
        "mo.vstack([mo.md('name'), mo.hstack([a, mo.ui.checkbox(value=True)]), mo.Html('<b>x</b>')])",
    ]


def test_interact_becomes_controls_and_a_call() -> None:
    parts = made(
        "from ipywidgets import interact, fixed",
        "def f(x, y, z=2):\n    return x + y + z\ninteract(f, x=(0, 10), y=fixed(4));\nlast = 1",
    )
    names: dict[str, Any] = {"mo": pytest.importorskip("marimo")}
    for part in parts[:-2]:
        exec(part, names)
    assert parts[-2:] == ["f(y=4, **f_controls.value)", "last = 1"]
    assert eval(parts[-2], names) == 5 + 4 + 2


@pytest.mark.parametrize(
    "code",
    [
        "interact(f, x=range(3))",
        "interact(f, **{})",
        "interact(f, y=3)",
        "interact(g, x=3)",
        "interact(f)",
        "interact(f, x=(5, 1))",
        "interact(f, x=3); y = 2",
        "if 1:\n    interact(f, x=3)",
        "h = interact(f, x=3)",
    ],
)
def test_an_interact_that_is_not_known_stays_and_is_told(code: str) -> None:
    made_ = draft("from ipywidgets import interact", "def f(x):\n    return x", code)
    assert made_.cells[-1].code == code
    assert any(note.needs_person for note in made_.notes)


@pytest.mark.parametrize(
    "code",
    [
        "w.IntSlider(**given)",
        "w.IntSlider(value=True)",
        "w.IntSlider(value=1.5)",
        "w.IntSlider(min=5, max=1)",
        "w.IntRangeSlider()",
        "w.IntRangeSlider(value=(1, 2, 3))",
        "w.IntRangeSlider(value=(1, 'b'))",
        "w.IntRangeSlider(value=(5, 2))",
        "w.IntRangeSlider(value=(2, 500))",
        "w.Checkbox(value=x)",
        "w.Checkbox(1)",
        "w.Text(value='a', unheard=1)",
        "w.Dropdown(['a'])",
        "w.Dropdown(options=[('a', 1), 'b'])",
        "w.Dropdown(options='ab')",
        "w.Dropdown(options=[])",
        "w.Dropdown(options={1: 2})",
        "w.Dropdown(options=['a'], value='b')",
        "w.Dropdown(options=[1], value=True)",
        "w.Dropdown(options=['a'], value=x)",
        "w.SelectMultiple(options=x)",
        "w.SelectMultiple(options=['a'], value=x)",
        "w.SelectMultiple(options=['a'], value=['b'])",
        "w.DatePicker(value=None)",
        "w.VBox(children)",
        "w.VBox([a], unheard=1)",
        "w.HTML()",
    ],
)
def test_arguments_without_a_counterpart_leave_a_control_as_it_is(code: str) -> None:
    found = draft("import ipywidgets as w", f"s = {code}")
    assert found.cells[-1].code == f"s = {code}"
    assert any(note.needs_person for note in found.notes)


@pytest.mark.parametrize(
    ("abbreviation", "default"),
    [
        (True, "x"),
        ("x", 1),
        ((5, 1), ...),
        ((0, 10, 0), ...),
        ((0, 10), 11),
        ((0, 10), 1.5),
        ((0, 10), True),
        ((1, 2, 3, 4), ...),
        (("a", "b"), ...),
        ([], ...),
        (["a"], "b"),
        (None, ...),
    ],
)
def test_abbreviations_that_interact_would_refuse_or_start_otherwise_are_not_taken(
    abbreviation: object, default: object
) -> None:
    assert interacts.abbreviated(abbreviation, default) is None


def test_a_decorator_makes_controls_too_and_a_button_a_form() -> None:
    parts = made("from ipywidgets import interact", "@interact(x=2)\ndef f(x, y=True):\n    return x\nlast = 1")
    assert parts[0].startswith("def f(x, y=True):\n    return x\n")
    assert "'x': mo.ui.slider(" in parts[0]
    assert "'y': mo.ui.checkbox(value=True)" in parts[0]
    assert parts[1:] == ["f(**f_controls.value)", "last = 1"]
    parts = made("from ipywidgets import interact_manual", "f_controls = 1", "interact_manual(lambda x: x, x=2)")
    assert parts[-1] == "(lambda x: x)(**controls.value) if controls.value is not None else None"
    assert ".form()" in parts[-2]


def test_a_parameter_may_be_a_control_itself() -> None:
    parts = made("from ipywidgets import *", "def f(x):\n    return x", "interact(f, x=IntSlider(value=3))")
    assert "'x': mo.ui.slider(start=0, stop=100, step=1, value=3)" in parts[-2]
    for code in ("interact(f, x=IntRangeSlider(value=(2, 5)))", "interact(f, x=Play())"):
        assert made("from ipywidgets import *", "def f(x):\n    return x", code)[-1] == code


@pytest.mark.parametrize("own", ["*x", "**x", "x, /"])
def test_a_function_of_other_parameters_is_not_taken_apart(own: str) -> None:
    code = "interact(f, x=3)"
    assert made("from ipywidgets import interact", f"def f({own}):\n    return x", code)[-1] == code

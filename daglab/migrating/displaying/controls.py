"""ipywidgets' controls as marimo's, one by one: the same start value, limits and label."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from daglab.migrating.displaying.rewriting import arguments, literal

# What marimo's controls have no counterpart for, and which changes no value.
_LOOKS = (
    "layout style disabled continuous_update readout readout_format description_tooltip tooltip orientation indent"
    " button_style icon rows"
)
_NUMBERS = "value min max step"


@dataclass(frozen=True)
class Control:
    """The text of marimo's control, and what turns its value into what ipywidgets gives: "tuple" or nothing."""

    text: str
    read: str = ""


Spelled = Callable[[ast.AST], str]  # the text of a node
Writer = Callable[[Spelled, ast.Call], "Control | None"]


def control(spelled: Spelled, call: ast.Call, name: str) -> Control | None:
    """marimo's counterpart of `ipywidgets.NAME(...)`; None where it has none for these arguments."""
    write = _WRITERS.get(name)
    return write(spelled, call) if write and not any(keyword.arg is None for keyword in call.keywords) else None


def known(call: ast.Call, name: str) -> bool:
    """Whether marimo has a counterpart of `ipywidgets.NAME(...)` for these arguments."""
    return control(lambda _: "", call, name) is not None


def _given(call: ast.Call, parameters: str) -> dict[str, ast.expr] | None:
    """The arguments that matter; all of them have names, but for a first one that is the value or the options."""
    return arguments(call, f"{parameters} description {_LOOKS}")


def _written(kind: str, parts: Mapping[str, str], label: str) -> str:
    inside = ", ".join(f"{name}={text}" for name, text in parts.items() if text)
    return f"daglab__mo.ui.{kind}({inside}{', ' if inside and label else ''}{label})"


def _label(spelled: Spelled, given: Mapping[str, ast.expr]) -> str:
    return f"label={spelled(given['description'])}" if "description" in given else ""


def slider(kind: str, value: float, low: float, high: float, step: float | None = None, label: str = "") -> str:
    """A slider, or a field, whose numbers are known."""
    parts = {"start": repr(low), "stop": repr(high), "step": repr(step) if step else "", "value": repr(value)}
    return _written(kind, parts, label)


def _number(kind: str, number: type, low: float | None, high: float | None, step: float | None) -> Writer:
    """A writer for sliders and fields of numbers, all of them literals: ipywidgets moves the value into the limits."""

    def written(spelled: Spelled, call: ast.Call) -> Control | None:
        given = _given(call, _NUMBERS)
        if given is None:
            return None
        values: dict[str, float | None] = {"min": low, "max": high, "step": step, "value": None}
        for name in _NUMBERS.split():
            if name in given:
                found = literal(given[name])
                if isinstance(found, bool) or not isinstance(found, (int, number)):
                    return None
                values[name] = number(found)
        least, most = values["min"], values["max"]
        value = values["value"] if values["value"] is not None else number(0)
        if least is not None and most is not None:
            if least > most:
                return None
            value = min(max(value, least), most)
        parts = {
            "start": "" if least is None else repr(least),
            "stop": "" if most is None else repr(most),
            "step": repr(values["step"]) if values["step"] else "",
            "value": repr(value),
        }
        return Control(_written(kind, parts, _label(spelled, given)))

    return written


def _range(number: type, low: float, high: float, step: float) -> Writer:
    def written(spelled: Spelled, call: ast.Call) -> Control | None:
        given = _given(call, _NUMBERS)
        found = {name: literal(given[name]) for name in _NUMBERS.split() if name in given} if given else {}
        values = found.pop("value", ...)
        least, most, by = (found.get(name, default) for name, default in (("min", low), ("max", high), ("step", step)))
        if given is None or not isinstance(values, (tuple, list)) or len(values) != 2:
            return None
        every = [least, most, by, *values]
        if not all(isinstance(each, (int, number)) and not isinstance(each, bool) for each in every):
            return None
        least, most, by, first, last = (number(each) for each in every)
        if not least <= first <= last <= most:
            return None
        parts = {"start": repr(least), "stop": repr(most), "step": repr(by), "value": repr([first, last])}
        return Control(_written("range_slider", parts, _label(spelled, given)), "tuple")

    return written


def _switch(kind: str) -> Writer:
    def written(spelled: Spelled, call: ast.Call) -> Control | None:
        given = _given(call, "value")
        value = literal(given["value"]) if given and "value" in given else False
        if given is None or not isinstance(value, bool):
            return None
        return Control(_written(kind, {"value": repr(value)}, _label(spelled, given)))

    return written


def _text(kind: str, extra: str = "") -> Writer:
    def written(spelled: Spelled, call: ast.Call) -> Control | None:
        given = _given(call, "value placeholder")
        if given is None:
            return None
        parts = {name: spelled(given[name]) for name in ("value", "placeholder") if name in given}
        return Control(_written(kind, parts | ({"kind": extra} if extra else {}), _label(spelled, given)))

    return written


def options(found: object) -> dict[str, object] | None:
    """Labels and values of options as ipywidgets reads them: a dict, pairs, or values; None for what is none."""
    if isinstance(found, dict):
        pairs = list(found.items())
    elif isinstance(found, (list, tuple)):
        whole = all(isinstance(each, (tuple, list)) and len(each) == 2 for each in found)
        if not whole and any(isinstance(each, (tuple, list)) for each in found):
            return None
        pairs = [(each[0], each[1]) for each in found] if whole else [(str(each), each) for each in found]
    else:
        return None
    made = {label: value for label, value in pairs if isinstance(label, str) and label != "--"}
    return made if len(made) == len(pairs) and made else None


def choice(kind: str, labels: Mapping[str, object], value: object, label: str = "") -> str | None:
    """A control to choose one of the options; without a value, the first, as ipywidgets does."""
    if value is ...:
        chosen: str | None = next(iter(labels))
    else:
        chosen = next((each for each, one in labels.items() if type(one) is type(value) and one == value), None)
        if chosen is None and value is not None:
            return None
    plain = all(isinstance(one, str) and one == each for each, one in labels.items())
    parts = {"options": repr(list(labels)) if plain else repr(dict(labels)), "value": repr(chosen)}
    return _written(kind, parts, label)


def _choice(kind: str) -> Writer:
    def written(spelled: Spelled, call: ast.Call) -> Control | None:
        given = _given(call, "options value") if not call.args else None
        labels = options(literal(given["options"])) if given and "options" in given else None
        if given is None or labels is None:
            return None
        value = literal(given["value"]) if "value" in given else ...
        if "value" in given and value is ...:
            return None
        text = choice(kind, labels, value, _label(spelled, given))
        return Control(text) if text else None

    return written


def _several(spelled: Spelled, call: ast.Call) -> Control | None:
    given = _given(call, "options value") if not call.args else None
    labels = options(literal(given["options"])) if given and "options" in given else None
    if given is None or labels is None:
        return None
    values = literal(given["value"]) if "value" in given else ()
    if not isinstance(values, (list, tuple)):
        return None
    chosen = [each for value in values for each, one in labels.items() if type(one) is type(value) and one == value]
    if len(chosen) != len(values):
        return None
    parts = {"options": repr(dict(labels)), "value": repr(chosen)}
    return Control(_written("multiselect", parts, _label(spelled, given)), "tuple")


def _date(spelled: Spelled, call: ast.Call) -> Control | None:
    given = _given(call, "value")
    if not given or "value" not in given or literal(given["value"]) is None:
        return None  # without one marimo's is today
    return Control(_written("date", {"value": spelled(given["value"])}, _label(spelled, given)))


_WRITERS: dict[str, Writer] = {
    "BoundedFloatText": _number("number", float, 0.0, 100.0, None),
    "BoundedIntText": _number("number", int, 0, 100, 1),
    "Checkbox": _switch("checkbox"),
    "DatePicker": _date,
    "Dropdown": _choice("dropdown"),
    "FloatRangeSlider": _range(float, 0.0, 10.0, 0.1),
    "FloatSlider": _number("slider", float, 0.0, 10.0, 0.1),
    "FloatText": _number("number", float, None, None, None),
    "IntRangeSlider": _range(int, 0, 100, 1),
    "IntSlider": _number("slider", int, 0, 100, 1),
    "IntText": _number("number", int, None, None, 1),
    "Password": _text("text", '"password"'),
    "RadioButtons": _choice("radio"),
    "Select": _choice("dropdown"),
    "SelectMultiple": _several,
    "Text": _text("text"),
    "Textarea": _text("text_area"),
    "ToggleButton": _switch("switch"),
    "ToggleButtons": _choice("radio"),
}

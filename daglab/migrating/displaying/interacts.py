"""`interact(f, x=(0, 10))` as marimo's: a cell with controls, and a cell that calls the function with their values."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from daglab.migrating.displaying import controls
from daglab.migrating.displaying.rewriting import Source, literal

INTERACT = {"ipywidgets.interact": False, "ipywidgets.interact_manual": True}


@dataclass(frozen=True)
class Interact:
    """The text of the controls, by the parameters' names, and that of what is given as it is; `manual`: by a button."""

    function: str
    controls: Mapping[str, str]
    fixed: Mapping[str, str]
    manual: bool

    def texts(self, name: str) -> tuple[str, str]:
        """The code that makes the controls, and shows them, and the code that calls the function."""
        each = "".join(f"\n        {parameter!r}: {text}," for parameter, text in self.controls.items())
        form = ".form()" if self.manual else ""
        made = f"{name} = daglab__mo.ui.dictionary(\n    {{{each}\n    }}\n){form}\n{name}"
        fixed = "".join(f"{parameter}={text}, " for parameter, text in self.fixed.items())
        call = f"{self.function}({fixed}**{name}.value)"
        return made, f"{call} if {name}.value is not None else None" if self.manual else call


def read(
    source: Source,
    call: ast.Call,
    found: Mapping[ast.AST, str],
    function: ast.FunctionDef | ast.Lambda,
    text: str,
) -> Interact | None:
    """What `interact` makes of these arguments; None for what has no counterpart here."""
    own = function.args
    if own.vararg or own.kwarg or own.posonlyargs:
        return None
    names = [each.arg for each in (*own.args, *own.kwonlyargs)]
    first = len(own.args) - len(own.defaults)
    defaults = {each.arg: value for each, value in zip(own.args[first:], own.defaults, strict=True)}
    defaults |= {each.arg: value for each, value in zip(own.kwonlyargs, own.kw_defaults, strict=True) if value}
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if not set(given) <= set(names):
        return None
    made: dict[str, str] = {}
    fixed: dict[str, str] = {}
    for name in names:
        value = given.get(name, defaults.get(name))
        if value is None:
            return None
        meaning = found.get(value.func, "") if isinstance(value, ast.Call) else ""
        if isinstance(value, ast.Call) and meaning == "ipywidgets.fixed" and len(value.args) == 1:
            fixed[name] = source.text(value.args[0])
            continue
        new = _control(source, value, meaning, literal(defaults.get(name)) if name in given else ...)
        if new is None:
            return None
        made[name] = new
    return Interact(text, made, fixed, INTERACT[found[call.func]]) if made else None


def _control(source: Source, value: ast.expr, meaning: str, default: object) -> str | None:
    if isinstance(value, ast.Call):
        known = controls.control(source.text, value, meaning.removeprefix("ipywidgets."))
        return known.text if known and not known.read and default is ... else None
    return abbreviated(literal(value), default)


def abbreviated(value: object, default: object = ...) -> str | None:
    """The control for `x=value`, as ipywidgets chooses it; `default` is the function's own, which it starts with."""
    if isinstance(value, (bool, str)):
        start = value if default is ... else default
        if type(start) is not type(value):
            return None
        return f"daglab__mo.ui.{'checkbox' if isinstance(value, bool) else 'text'}(value={start!r})"
    if isinstance(value, (int, float)):
        low, high = (-value, 3 * value) if value > 0 else (3 * value, -value) if value else (value, value + 1)
        return _slider(low, high, None, value if default is ... else default)
    if isinstance(value, tuple) and len(value) in (2, 3) and all(_real(each) for each in value):
        return _slider(value[0], value[1], value[2] if len(value) == 3 else None, default)
    labels = controls.options(value) if isinstance(value, (list, dict)) else None
    return controls.choice("dropdown", labels, default) if labels else None


def _real(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _slider(low: float, high: float, step: float | None, value: object) -> str | None:
    """A slider; without a value it starts in the middle, on a step where there is one."""
    if low > high or (step is not None and step <= 0):
        return None
    number = int if all(isinstance(each, int) for each in (low, high, step) if each is not None) else float
    if value is ...:
        middle = low + (high - low) // 2 if number is int else low + (high - low) / 2
        value = low + int((middle - low) / step) * step if step else middle
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
        return None
    if number is int and not isinstance(value, int):
        return None
    by = number(step) if step else (1 if number is int else 0.1)
    return controls.slider("slider", number(value), number(low), number(high), by)

"""Single values of run config as parameters: what a template holds, and the config with other values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from daglab import errors, parse

Value = str | int | float | bool


def parameters(config: str) -> dict[str, Value]:
    """The single values in run config, YAML, by their place: `{"ops.model.config.rate": 0.1}`.

    Raises `DaglabError` for what is no YAML.
    """
    return dict(_leaves(parse.run_config(config, "run config"), ""))


def with_parameters(config: str, values: Mapping[str, Value]) -> dict[str, Any]:
    """The run config with other values at their places. Raises `DaglabError` for a place that is not there."""
    body = parse.run_config(config, "run config")
    for place, value in values.items():
        *parents, name = place.split(".")
        inner: Any = body
        for parent in parents:
            inner = inner.get(parent) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or name not in inner:
            raise errors.InvalidInput(f"The run config has no value at {place}.", "`parameters` names what there is.")
        inner[name] = value
    return body


def parameter_controls(config: str) -> Any:
    """A control for each single value in run config, as one `mo.ui.dictionary`. Needs marimo."""
    import marimo

    def control(value: Value) -> Any:
        if isinstance(value, bool):
            return marimo.ui.switch(value)
        return marimo.ui.text(value) if isinstance(value, str) else marimo.ui.number(value=value)

    return marimo.ui.dictionary({place: control(value) for place, value in parameters(config).items()})


def _leaves(value: Mapping[str, Any], place: str) -> Iterator[tuple[str, Value]]:
    """Places are written with dots, so what lies below a key with one, or below a number, is left to the editor."""
    for key, inner in value.items():
        if not isinstance(key, str) or "." in key:
            continue
        name = f"{place}.{key}" if place else key
        if isinstance(inner, dict):
            yield from _leaves(inner, name)
        elif isinstance(inner, (str, int, float)):
            yield name, inner

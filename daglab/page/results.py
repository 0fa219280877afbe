"""The values that a notebook declares with `daglab.helpers.result`, read from its export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from daglab import errors, json_values
from daglab.page import controls, markup, notebook, outputs, tables
from daglab.page.markup import Node

MARK = "data-daglab-result"
LONGEST_NAME = 200  # characters, as helpers.result has it
DEEPEST = 12  # HTML in attributes of HTML


def declared(html: str) -> dict[str, Any]:
    """The values by name, of an HTML that marimo wrote; of two of the same name the later cell's.

    It is data that a notebook may have made up; what is no JSON value under a name is left out. Raises InvalidInput
    when this is not an HTML of marimo's, or not all of it.
    """
    if MARK not in html:
        return {}
    found: dict[str, Any] = {}
    for cell in notebook.read(html).cells:
        for forms in cell.outputs:
            for text in _texts(forms):
                found.update(_values(markup.parse(text), 0))
    return found


def _texts(value: Any, level: int = 0) -> Iterator[str]:
    """The HTML in an output, or in a structure that is one."""
    if isinstance(value, str) and MARK in value:
        loaded = tables.loaded(value)
        if isinstance(loaded, (dict, list)) and level < DEEPEST:
            yield from _texts(loaded, level + 1)
        else:
            found = outputs.LEAF.match(value)
            yield value[found.end() :] if found else value
    elif isinstance(value, (dict, list)) and level < DEEPEST:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item, level + 1)


def _values(content: list[Node | str], level: int) -> Iterator[tuple[str, Any]]:
    for item in content:
        for element in markup.elements(item) if isinstance(item, Node) else ():
            if MARK in element.attributes:
                yield from _value(tables.loaded(element.attributes[MARK]))
            if level < DEEPEST:
                for text in _inner(element):
                    yield from _values(markup.parse(text), level + 1)


def _inner(element: Node) -> Iterator[str]:
    """HTML that an element of marimo's, or a frame, holds in its attributes."""
    if any(MARK in value for name, value in element.attributes.items() if name != MARK):
        yield from _texts([*controls.arguments(element).values()])
        yield from _texts(element.attributes.get("srcdoc"))


def _value(data: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(data, Mapping) or "value" not in data:
        return
    name, value = data.get("name"), data["value"]
    if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable() and _is_json(value):
        yield name, value


def _is_json(value: Any) -> bool:
    """Python reads NaN, and halves of letters, where JSON has none."""
    try:
        json_values.checked({"value": value}, "result")
    except errors.DaglabError:
        return False
    return True

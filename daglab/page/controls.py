"""Controls in a line of words: what they are called, what they say, what they could say."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from daglab.page import markup, tables
from daglab.page.markup import Node

MOST_OPTIONS = 50
KINDS = {
    "marimo-button": "Button",
    "marimo-checkbox": "Checkbox",
    "marimo-code-editor": "Code",
    "marimo-date": "Date",
    "marimo-date-range": "Dates",
    "marimo-datetime": "Date and time",
    "marimo-download": "Download",
    "marimo-dropdown": "Dropdown",
    "marimo-file": "File upload",
    "marimo-file-browser": "File browser",
    "marimo-microphone": "Microphone",
    "marimo-multiselect": "Choice",
    "marimo-number": "Number",
    "marimo-progress": "Progress",
    "marimo-radio": "Choice",
    "marimo-range-slider": "Range",
    "marimo-refresh": "Refresh",
    "marimo-slider": "Slider",
    "marimo-switch": "Switch",
    "marimo-text": "Text",
    "marimo-text-area": "Text",
}
INLINE = frozenset(KINDS)
ON_OFF = {True: "on", False: "off"}
FULL = "\u2022" * 8


def arguments(node: Node) -> dict[str, Any]:
    """What marimo gives an element: its `data-` attributes, which hold JSON. What is none stands as text."""
    found = {}
    for name, value in node.attributes.items():
        if name.startswith("data-"):
            loaded = tables.loaded(value)
            found[name.removeprefix("data-")] = value if loaded is None and value != "null" else loaded
    return found


def text(node: Node, name: str) -> str:
    """An argument that is text, empty where it is not."""
    value = tables.loaded(node.attributes.get(f"data-{name}", ""))
    return value if isinstance(value, str) else ""


def html(node: Node, name: str) -> list[Node | str]:
    """An argument that is HTML, as labels are."""
    return inline(markup.parse(text(node, name)))


def inline(content: list[Node | str]) -> list[Node | str]:
    """Without the paragraph around it that marimo makes of a label."""
    for _ in range(2):
        if len(content) == 1 and isinstance(content[0], Node) and content[0].name == "span":
            content = content[0].children
    return content


def control(node: Node) -> Node:
    """A control of marimo's: `Slider S: 5 (0 to 10)`."""
    given = arguments(node)
    if node.name == "marimo-progress":
        return _progress(given)
    if node.name == "marimo-download":
        return _download(given, html(node, "label"))
    value, detail = _value(node.name, given), _detail(node.name, given)
    return line(KINDS[node.name], html(node, "label"), value, detail)


def line(kind: str, label: markup.Content, value: Node | str | None, detail: str = "") -> Node:
    """A control in a line."""
    label = markup.made("span", label)
    says = markup.text_of(label).strip()
    return markup.made(
        "span",
        markup.made("span", kind, class_="kind"),
        [" ", label] if says else None,
        [": ", markup.made("strong", value, class_="value")] if value not in (None, "") else None,
        f" ({detail})" if detail else None,
        class_="control",
    )


def _value(name: str, given: Mapping[str, Any]) -> Node | str | None:
    value = given.get("initial-value")
    if name in ("marimo-button", "marimo-file", "marimo-file-browser", "marimo-microphone", "marimo-refresh"):
        return None
    if name in ("marimo-checkbox", "marimo-switch"):
        return ON_OFF.get(value is True, "")
    if name == "marimo-slider" and isinstance(steps := given.get("steps"), list) and steps:
        return tables.plain(steps[value]) if isinstance(value, int) and 0 <= value < len(steps) else None
    if name in ("marimo-range-slider", "marimo-date-range") and isinstance(value, list):
        return " to ".join(tables.plain(_step(end, given)) for end in value[:2])
    if name in ("marimo-code-editor", "marimo-text-area") and isinstance(value, str) and "\n" in value:
        return markup.made("code", value, class_="lines")
    if given.get("kind") == "password" and value:
        return FULL
    if isinstance(value, list):
        return ", ".join(tables.plain(item) for item in value[:MOST_OPTIONS]) or "nothing chosen"
    if isinstance(value, dict):
        return tables.plain(value) if value else None
    return "empty" if value in (None, "") else tables.plain(value)


def _step(value: Any, given: Mapping[str, Any]) -> Any:
    steps = given.get("steps")
    is_index = isinstance(steps, list) and isinstance(value, int) and 0 <= value < len(steps)
    return steps[value] if is_index and isinstance(steps, list) else value


def _detail(name: str, given: Mapping[str, Any]) -> str:
    parts = []
    start, stop, steps, options = (given.get(key) for key in ("start", "stop", "steps", "options"))
    if isinstance(steps, list) and steps:
        parts.append(f"of {_listed(steps)}")
    elif "date" not in name and (start is not None or stop is not None):
        parts.append(f"{_end(start)} to {_end(stop)}")
    if isinstance(options, list) and options:
        parts.append(f"of {_listed(options)}")
    if isinstance(given.get("language"), str):
        parts.append(given["language"])
    if given.get("disabled") is True:
        parts.append("disabled")
    return ", ".join(parts)


def _end(value: Any) -> str:
    return "any" if value is None else tables.plain(value)


def _listed(values: list[Any]) -> str:
    more = f" and {len(values) - MOST_OPTIONS:,} more" if len(values) > MOST_OPTIONS else ""
    return ", ".join(tables.plain(value) for value in values[:MOST_OPTIONS]) + more


def _progress(given: Mapping[str, Any]) -> Node:
    done, total = given.get("progress"), given.get("total")
    title = " ".join(tables.plain(given[key]) for key in ("title", "subtitle") if given.get(key))
    if isinstance(done, bool) or done is None:
        return line("Spinner", title, "done" if done else None)
    return line("Progress", title, f"{tables.plain(done)} of {tables.plain(total)}" if total else tables.plain(done))


def _download(given: Mapping[str, Any], label: list[Node | str]) -> Node:
    name, data = tables.plain(given.get("filename") or "download"), given.get("data")
    found = tables.from_url(data) if isinstance(data, str) else None
    if not found:
        return line("Download", label, name, "not in this file")
    # As bytes, whatever it says it is: a browser saves it and does nothing else.
    content = base64.b64encode(found[1]).decode()
    link = markup.made("a", name, href=f"data:application/octet-stream;base64,{content}", download=name)
    return line("Download", label, link, f"{len(found[1]):,} bytes")


def html_input(node: Node) -> Node:
    """An input of plain HTML."""
    given = node.attributes
    kind = given.get("type", "text").lower()
    if kind == "hidden":
        return markup.made("span")
    if kind in ("checkbox", "radio"):
        return line(kind.capitalize(), [], ON_OFF["checked" in given])
    if kind in ("submit", "button", "reset"):
        return line("Button", given.get("value", kind), None)
    shown = (
        FULL if kind == "password" and given.get("value") else given.get("value") or given.get("placeholder") or "empty"
    )
    return line("Input", given.get("aria-label", ""), shown)


def html_select(node: Node) -> Node:
    """A list to choose from, in plain HTML."""
    options = [element for element in markup.elements(node) if element.name == "option"]
    names = [markup.text_of(option).strip() for option in options]
    chosen = [name for name, option in zip(names, options, strict=True) if "selected" in option.attributes] or names[:1]
    return line("Choice", [], ", ".join(chosen), f"of {_listed([*names])}" if names else "")


def html_textarea(node: Node) -> Node:
    """A text to be written, in plain HTML."""
    return line("Text", [], markup.made("code", markup.text_of(node), class_="lines"))

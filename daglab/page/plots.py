"""Plots that only a script can draw, as a stand-in: what is drawn of what, and the data as a table."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from daglab.page import markup, tables
from daglab.page.markup import Node

MOST_ROWS = 50
MOST_TRACES = 20
MOST_LAYERS = 50
COLUMNS = (
    "x",
    "y",
    "z",
    "labels",
    "values",
    "text",
    "lat",
    "lon",
    "locations",
    "r",
    "theta",
    "open",
    "high",
    "low",
    "close",
)
# plotly's types, as struct knows them
NUMBERS = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "f4": "f", "f8": "d", "i8": "q", "u8": "Q"}


def plotly(figure: Any) -> Node:
    """A plotly figure: its title, axes, and the data of every trace."""
    figure = figure if isinstance(figure, dict) else {}
    layout = _mapping(figure.get("layout"))
    traces = [trace for trace in _list(figure.get("data")) if isinstance(trace, dict)]
    axes = [
        f"{name.removesuffix('axis')}: {title}"
        for name, axis in layout.items()
        if "axis" in name and isinstance(axis, dict) and (title := _title(axis))
    ]
    kinds = dict.fromkeys(str(trace.get("type", "scatter")) for trace in traces)
    parts = [_tables(index, trace) for index, trace in enumerate(traces[:MOST_TRACES], start=1)]
    if len(traces) > MOST_TRACES:
        parts.append(markup.note(f"{len(traces) - MOST_TRACES:,} traces more are not shown."))
    return _stand_in("plotly", _title(layout), [*kinds], axes, parts)


def vega(spec: Any) -> Node:
    """A Vega or Vega-Lite chart: its title, marks, what is drawn as what, and its data."""
    spec = spec if isinstance(spec, dict) else {}
    layers = [*_layers(spec)][:MOST_LAYERS]
    marks = dict.fromkeys(mark for layer in layers if (mark := _mark(layer.get("mark"))))
    marks |= dict.fromkeys(str(mark.get("type")) for mark in _list(spec.get("marks")) if isinstance(mark, dict))
    axes = dict.fromkeys(axis for layer in layers for axis in _encodings(_mapping(layer.get("encoding"))))
    parts = [_vega_data(name, data) for name, data in _sources(spec, layers).items()]
    return _stand_in("Vega", _text(spec.get("title")), [*marks], [*axes], parts)


def _stand_in(kind: str, title: str, marks: list[str], axes: list[str], parts: list[Node]) -> Node:
    name = f"Plot ({', '.join([kind, *marks])})"
    return markup.made(
        "div",
        markup.made("p", markup.made("strong", name, class_="kind"), f" {title}" if title else None),
        markup.made("ul", [markup.made("li", axis) for axis in axes]) if axes else None,
        markup.note("A script draws it, in the interactive page. Here is its data."),
        parts,
        class_="stand-in plot",
        role="group",
        aria_label=f"{name} {title}".strip(),
    )


def _details(caption: str, rows: tables.Rows, total: int) -> Node:
    # Drawn to be looked at, a plot's data is often long.
    data = tables.table([caption] if caption else [], rows, total=total, most=MOST_ROWS)
    return markup.made("details", markup.made("summary", f"Data: {caption}" if caption else "Data"), data)


def _tables(index: int, trace: Mapping[str, Any]) -> Node:
    columns = {name: values for name in COLUMNS if (values := _values(trace.get(name)))}
    length = max((len(values) for values in columns.values()), default=0)
    rows = [
        {name: values[at] if at < len(values) else None for name, values in columns.items()}
        for at in range(min(length, MOST_ROWS))
    ]
    name = tables.plain(trace.get("name")) if trace.get("name") else f"trace {index}"
    return _details(name, rows, length)


def _values(column: Any) -> list[Any]:
    """A column of a trace; plotly packs numbers into base64."""
    if isinstance(column, list):
        return column
    packed = _mapping(column)
    code = NUMBERS.get(str(packed.get("dtype")))
    data = packed.get("bdata")
    if not code or not isinstance(data, str) or "shape" in packed:
        return []
    try:
        content = base64.b64decode(data)
    except (binascii.Error, ValueError):
        return []
    size = struct.calcsize(f"<{code}")
    return [value for (value,) in struct.iter_unpack(f"<{code}", content[: len(content) // size * size])]


def _layers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The spec and all charts in it, however they are put together."""
    waiting = [spec]
    while waiting:
        layer = waiting.pop()
        yield layer
        inner = [part for key in ("layer", "hconcat", "vconcat", "concat") for part in _list(layer.get(key))]
        inner.append(layer.get("spec"))
        waiting.extend(part for part in reversed(inner) if isinstance(part, dict))


def _encodings(encoding: Mapping[str, Any]) -> Iterator[str]:
    for channel, shown in encoding.items():
        if not isinstance(shown, dict):
            continue
        what = " of ".join(_text(shown[key]) for key in ("aggregate", "timeUnit", "field") if _text(shown.get(key)))
        title = _text(shown.get("title"))
        if what or title:
            yield f"{channel}: {title or what}" + (f" ({what})" if title and what and what != title else "")


def _sources(spec: Mapping[str, Any], layers: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The data of a chart by its name. What lies at an address is not in the file."""
    found: dict[str, Any] = dict(_mapping(spec.get("datasets")))
    for layer in layers:
        for index, data in enumerate(_list(layer.get("data")) or [layer.get("data")]):
            data = _mapping(data)
            name = _text(data.get("name")) or (f"data {index + 1}" if index else "")
            if "values" in data:
                found.setdefault(name, data["values"])
            elif isinstance(data.get("url"), str):
                found.setdefault(name, data["url"])
    return dict([*found.items()][:MOST_TRACES])


def _vega_data(name: str, data: Any) -> Node:
    name = "" if name.startswith("data-") else name  # a hash
    rows = tables.read(data)
    if rows is not None:
        return _details(name, rows, len(rows))
    if isinstance(data, str) and data.startswith("data:"):
        mime, content = tables.from_url(data) or ("a form that can't be read", b"")
        return markup.note(
            f"{name} The data is in the file as {mime} ({len(content):,} bytes), not shown here.".strip()
        )
    return markup.note(f"The data lies elsewhere: {tables.plain(data)}")


def _mark(mark: Any) -> str:
    return _text(_mapping(mark).get("type")) if isinstance(mark, dict) else _text(mark)


def _title(owner: Mapping[str, Any]) -> str:
    title = owner.get("title")
    return markup.text_of(markup.parse(_text(_mapping(title).get("text") if isinstance(title, dict) else title)))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return _text(value.get("text"))
    if isinstance(value, list):
        return " ".join(_text(part) for part in value)
    return value[: tables.LONGEST_CELL] if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

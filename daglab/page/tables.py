"""Rows of data as an HTML table with a caption, cut where it says so."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from daglab.page import markup
from daglab.page.markup import Node

MOST_ROWS = 1_000
MOST_COLUMNS = 100
LONGEST_CELL = 2_000  # characters
DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w=-]+)*),", re.ASCII)

Rows = Sequence[Mapping[str, Any]]


def table(
    caption: Sequence[Node | str],
    rows: Rows,
    *,
    names: Sequence[str] = (),
    headers: Sequence[str] = (),
    total: int | None = None,
    most: int = MOST_ROWS,
    cell: Callable[[Any], Node | str] | None = None,
) -> Node:
    """A table. `names` are the columns (default: as the rows have them), `headers` those that name a row.

    `total` is how many rows there are where the notebook ran; the caption says where these are fewer. `cell` makes what
    stands in a cell of a value.
    """
    names = [*names] or [*dict.fromkeys(str(name) for row in rows[:most] for name in row)]
    shown, columns = rows[:most], names[:MOST_COLUMNS]
    head = markup.made("tr", [markup.made("th", "" if name in headers else name, scope="col") for name in columns])
    body = [
        markup.made(
            "tr",
            [
                markup.made("th", (cell or plain)(row.get(name)), scope="row")
                if name in headers
                else markup.made(
                    "td", (cell or plain)(row.get(name)), class_="number" if _is_number(row.get(name)) else None
                )
                for name in columns
            ],
        )
        for row in shown
    ]
    said = _said(len(shown), max(total or 0, len(rows)), len(columns), len(names))
    return markup.made(
        "table",
        markup.made("caption", caption, " " if caption else None, markup.made("span", said, class_="count")),
        markup.made("thead", head),
        markup.made("tbody", body),
    )


def plain(value: Any) -> str:
    """A value as the text of a cell, or of a line."""
    if value is None:
        return "None"
    text = value if isinstance(value, str) else _json(value)
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}\u2026 (cut, {len(text):,} characters)"


def from_url(url: str) -> tuple[str, bytes] | None:
    """The MIME type and the content of a data URL; None for what is none, or is damaged."""
    found = DATA_URL.match(url)
    if not found:
        return None
    content = url[found.end() :]
    if not found[2].endswith(";base64"):
        return found[1] or "text/plain", unquote_to_bytes(content)
    try:
        return found[1] or "text/plain", base64.b64decode(unquote_to_bytes(content))
    except (binascii.Error, ValueError):
        return None


def read(data: Any) -> Rows | None:
    """Rows of what marimo gives a table: rows, columns by name, JSON of these, or a data URL; None for all else."""
    if isinstance(data, str):
        data = _decoded(data)
    if isinstance(data, dict) and data and all(isinstance(column, list) for column in data.values()):
        length = max(len(column) for column in data.values())
        return [{str(key): column[at] for key, column in data.items() if at < len(column)} for at in range(length)]
    if not isinstance(data, list):
        return None
    return [row if isinstance(row, dict) else {"value": row} for row in data]


def _decoded(text: str) -> Any:
    if not text.startswith("data:"):
        return loaded(text)
    mime, content = from_url(text) or ("", b"")
    decoded = content.decode("utf-8", "replace")
    if mime == "text/csv":
        try:
            return [*csv.DictReader(io.StringIO(decoded, newline=""), restkey="", restval=None)]
        except csv.Error:
            return None
    return loaded(decoded) if mime == "application/json" else None


def loaded(text: str) -> Any:
    """JSON that somebody else wrote; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _json(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"{value:.1f}"
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "\u2026"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _said(rows: int, total: int, columns: int, all_columns: int) -> str:
    said = f"{rows:,} of {total:,} rows" if rows < total else f"{total:,} {'row' if total == 1 else 'rows'}"
    if columns < all_columns:
        said += f", {columns} of {all_columns:,} columns"
    return f"({said})"

"""Tables as text: the cells of CSV files, as a person's spreadsheet and a script both read them, and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the beginning of one


def cell(value: Any) -> str:
    """A value as the text of a cell: lists with commas, mappings as `k=v`, nothing for None.

    Text that a spreadsheet would take for a formula has an apostrophe before it; numbers stay as they are. A NUL, which
    ends a text for some readers and which Python 3.10 can't write into CSV, is the sign of what can't be shown.
    """
    if isinstance(value, Mapping):
        value = ", ".join(f"{key}={each}" for key, each in value.items())
    elif isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    if value is None or isinstance(value, (bool, int, float)):
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = str(value).replace("\0", "\ufffd")
    return f"'{text}" if text.startswith(FORMULA) else text


def markdown(headers: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table, `None.` for one without rows; nothing in a cell is markup, and numbers have six digits."""
    lines = ["| " + " | ".join(map(plain, row)) + " |\n" for row in rows]
    above = [f"| {' | '.join(map(plain, headers))} |\n", f"| {' | '.join('---' for _ in headers)} |\n"]
    return "".join([*above, *lines]) if lines else "None.\n"


def plain(value: object) -> str:
    """A value as a line of Markdown in which nothing is markup."""
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
    return "".join(f"\\{letter}" if letter in "\\|`*_<>[]" else letter for letter in text)

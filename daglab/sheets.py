"""Cells of CSV files, as a person's spreadsheet and a script both read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the beginning of one


def cell(value: Any) -> str:
    """A value as the text of a cell: lists with commas, mappings as `k=v`, nothing for None.

    Text that a spreadsheet would take for a formula has an apostrophe before it; numbers stay as they are.
    """
    if isinstance(value, Mapping):
        value = ", ".join(f"{key}={each}" for key, each in value.items())
    elif isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    if value is None or isinstance(value, (bool, int, float)):
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text

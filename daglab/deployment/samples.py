"""A few made-up rows in the shape of a table's columns, to try a notebook out with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from daglab.deployment import materializations

ROWS = 3
_WHOLE = re.compile(r"\b(u?(big|small|tiny|medium)?int(eger)?\d*|long|short|number|(big)?serial)\b")
_FRACTION = re.compile(r"\b(float\d*|double|decimal|numeric|real)\b")


def rows(columns: Sequence[materializations.Column]) -> list[dict[str, Any]]:
    """The rows; each value is of the kind that the name of its column's type says, text where it says nothing."""
    return [{column.name: _value(column, number) for column in columns} for number in range(1, ROWS + 1)]


def _value(column: materializations.Column, number: int) -> Any:
    kind = column.type.lower()
    if "bool" in kind:
        return number % 2 == 1
    if _FRACTION.search(kind):
        return number + 0.5
    if "time" in kind:
        return f"2026-01-0{number}T12:00:00"
    if "date" in kind:
        return f"2026-01-0{number}"
    if _WHOLE.search(kind):
        return number
    return f"{column.name} {number}"

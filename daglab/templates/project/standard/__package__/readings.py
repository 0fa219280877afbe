"""What the assets compute, as plain functions over plain rows: easy to test, easy to use from a notebook."""

from statistics import mean
from typing import Any

Row = dict[str, Any]


def typed(rows: list[Row]) -> list[Row]:
    """The readings with numbers for text. What has no number where one belongs is left out."""
    found = []
    for row in rows:
        try:
            found.append({**row, "celsius": float(row["celsius"])})
        except ValueError:
            continue
    return found


def of(rows: list[Row], **wanted: str) -> list[Row]:
    """The readings with these values, such as `day="2026-01-05"`."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def summary(rows: list[Row]) -> Row:
    """How many readings there are, and their lowest, mean and highest temperature (None for no reading)."""
    values = [row["celsius"] for row in rows]
    if not values:
        return {"readings": 0, "lowest": None, "mean": None, "highest": None}
    middle = round(mean(values), 2)
    return {"readings": len(values), "lowest": min(values), "mean": middle, "highest": max(values)}

"""What the assets compute, as plain functions over plain rows: easy to test, easy to use from a notebook."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent.parent / "data"

Row = dict[str, Any]


def read(path: Path = DATA / "orders.csv") -> list[Row]:
    """The rows of the file as they are: every value is text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def clean(rows: list[Row]) -> list[Row]:
    """Typed rows, one for each order. What has no customer, or no number where one belongs, is left out."""
    orders: dict[int, Row] = {}
    for row in rows:
        order = _typed(row)
        if order is not None:
            orders[order["order_id"]] = order
    return list(orders.values())


def _typed(row: Row) -> Row | None:
    customer = row["customer"].strip().upper()
    if not customer:
        return None
    try:
        quantity, unit_price = int(row["quantity"]), float(row["unit_price"])
    except ValueError:
        return None
    return {
        "order_id": int(row["order_id"]),
        "day": row["day"],
        "customer": customer,
        "product": row["product"],
        "quantity": quantity,
        "amount": round(quantity * unit_price, 2),
    }


def by_customer(orders: list[Row]) -> list[Row]:
    """One row for each customer, the one who spent most first."""
    found: dict[str, list[Row]] = defaultdict(list)
    for order in orders:
        found[order["customer"]].append(order)
    summary = [
        {"customer": customer, "orders": len(rows), "amount": total(rows)} for customer, rows in found.items()
    ]
    return sorted(summary, key=lambda row: (-row["amount"], row["customer"]))


def of_day(orders: list[Row], day: str) -> list[Row]:
    """The orders of one day (`2026-01-05`)."""
    return [order for order in orders if order["day"] == day]


def total(orders: list[Row]) -> float:
    """What the orders are worth together."""
    return round(sum(order["amount"] for order in orders), 2)

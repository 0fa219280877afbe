"""Which copies of exports are over, and what pages lead to: against a slow reckoning of the same."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from daglab.exported import export_copies

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)


def a_copy(number: int, size: int, days: int | None) -> export_copies.Copy:
    until = None if days is None else NOW + timedelta(days=days)
    return export_copies.Copy(f"id{number}", export_copies.LOCAL, f"{number}.html", size, "", NOW, until)


@pytest.mark.parametrize("seed", range(300))
def test_the_choice_is_the_smallest_that_does(seed: int) -> None:
    """Oldest first, one by one, until what is left fits: reckoned anew after each."""
    dice = random.Random(seed)
    days = [None, -1, 0, 1]
    copies = [a_copy(number, dice.randrange(9), dice.choice(days)) for number in range(dice.randrange(9))]
    linked = {copy.place for copy in copies if dice.random() < 0.3}
    most = dice.randrange(30)
    left = [copy for copy in copies if copy.until is None or copy.until > NOW or copy.place in linked]
    while most and sum(copy.bytes for copy in left) > most:
        going = next((copy for copy in left if copy.place not in linked), None)
        if going is None:
            break
        left.remove(going)
    choice = export_copies.choose(copies, NOW, most, linked)
    assert set(choice.over) == set(copies) - set(left)
    assert not {copy.place for copy in choice.over} & linked
    assert {copy.place for copy in choice.linked} <= linked
    assert {copy.place for copy in choice.linked} >= {
        copy.place for copy in copies if copy.until is not None and copy.until <= NOW and copy.place in linked
    }


def line(identity: str, **more: Any) -> dict[str, Any]:
    return {"v": 1, "id": identity, "ok": True, **more}


def done(*targets: str, **more: Any) -> list[dict[str, Any]]:
    return [{"target": target, **more} for target in targets]


A, B = ("asset:a", None), ("asset:b", "p")


@pytest.mark.parametrize(
    ("lines", "unfinished", "expected"),
    [
        ([line("1", attached=done("asset:a")), line("2", attached=done("asset:a"))], [], {A: ("2", ())}),
        ([line("1", attached=done("asset:b", partition="p"))], [], {B: ("1", ())}),
        ([line("1", attached=done("asset:b"), partition="p")], [], {B: ("1", ())}),  # as it was written before
        ([line("1", targets=["asset:a", "job:j"])], [], {A: (None, ("1",))}),
        ([line("1", targets=["asset:a"]), line("2", targets=["asset:a"], ok=False)], [], {A: (None, ("1",))}),
        (
            [line("1", attached=done("asset:a")), line("2", targets=["asset:a"], attach="unknown")],
            [],
            {A: ("1", ("2",))},
        ),
        (
            [line("1", targets=["asset:a"], attach="unknown"), line("2", attached=done("asset:a"))],
            [],
            {A: ("2", ())},
        ),
        ([line("1", pending=[{"step": "attach", "target": "asset:b", "partition": "p"}])], [], {B: (None, ("1",))}),
        (
            [line("1", attached=done("asset:a"))],
            [{"id": "2", "steps": [{"step": "attach", "target": "asset:a"}, {"step": "upload", "target": "asset:b"}]}],
            {A: ("1", ("2",))},
        ),
        ([line("1", targets=["asset:b"], partitions=["p", "q"])], [], {B: (None, ("1",))}),
    ],
)
def test_what_pages_lead_to(lines: Any, unfinished: Any, expected: Any) -> None:
    found = export_copies.attached(lines, unfinished)
    assert {aim: (page.attached, page.perhaps) for aim, page in found.items() if aim in (A, B)} == expected


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [7], [{}], [[]], {"target": []}, [{"target": 7}], True])
def test_hostile_lines_lead_nowhere(value: Any) -> None:
    names = ("attached", "targets", "partition", "partitions", "attach", "pending", "upload", "output", "address")
    hostile = {"id": "1", "ok": True, **dict.fromkeys(names, value)}
    steps = [{"step": "attach", "target": value, "partition": value}]
    found = export_copies.attached([hostile], [{"id": "1", "steps": steps}])
    assert all(isinstance(target, str) for target, _ in found)
    assert export_copies.places(hostile) <= {"x"}
    export_copies.make(hostile, hostile, export_copies.CLOUD, "x", None, None)

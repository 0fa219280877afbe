"""What an event carries of the runs that its command has launched."""

from __future__ import annotations

from typing import Any

import pytest

from daglab.launching import outcomes


def run(status: str, **more: Any) -> dict[str, Any]:
    return {"run_id": "r", "status": status, "assets": ["a"], "duration_s": 1.23456, **more}


def test_what_ended_is_counted_and_what_was_found_is_not_ours() -> None:
    entries = [
        run("SUCCESS"),
        run("SUCCESS", assets=["b/c", "a"], duration_s=None),
        run("FAILURE"),
        run("CANCELED", duration_s=0.5),
        run("LAUNCHED", assets=[]),
        run("STARTED", duration_s=9.0),
        run("NOT_LAUNCHED", run_id=None, assets=["never"]),
        run("SUCCESS", existing=True, assets=["before"]),
    ]
    assert outcomes.of({"runs": entries}) == {
        "launched": 6,
        "succeeded": 2,
        "failed": 2,
        "run_seconds": [1.235, 1.235, 0.5],
        "assets": ["a", "b/c"],
    }


def test_a_run_that_is_only_known_by_its_id() -> None:
    [entry] = [{"run_id": "r", "status": "LAUNCHED", "url": "u"}]
    assert outcomes.of({"runs": [entry]}) == {
        "launched": 1,
        "succeeded": 0,
        "failed": 0,
        "run_seconds": [],
        "assets": [],
    }


def test_assets_are_bounded() -> None:
    entries = [run("SUCCESS", assets=[f"a{number}" for number in range(5000)])]
    assert len(outcomes.of({"runs": entries})["assets"]) == outcomes.MOST_ASSETS


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"backfill_id": None, "status": "NOT_LAUNCHED", "counts": {}}, (0, 0, 0)),
        ({"backfill_id": "b", "status": "LAUNCHED", "counts": {}}, (1, 0, 0)),
        ({"backfill_id": "b", "status": "REQUESTED", "counts": {"SUCCESS": 1, "STARTED": 1}}, (1, 0, 0)),
        ({"backfill_id": "b", "status": "COMPLETED_SUCCESS", "counts": {"SUCCESS": 2}}, (1, 1, 0)),
        ({"backfill_id": "b", "status": "COMPLETED", "counts": {"SUCCESS": 1, "FAILURE": 1}}, (1, 0, 1)),
        ({"backfill_id": "b", "status": "CANCELED", "counts": {}}, (1, 0, 1)),
        ({"backfill_id": "b", "status": "COMPLETED_SUCCESS", "counts": {}, "existing": True}, (0, 0, 0)),
    ],
)
def test_a_backfill_counts_as_one(entry: dict[str, Any], expected: tuple[int, int, int]) -> None:
    of_a_failed_run = run("FAILURE")  # which is shown
    result = {"backfill": {"url": None, "error": None, **entry}, "runs": [of_a_failed_run]}
    assert tuple(outcomes.of(result).values()) == expected

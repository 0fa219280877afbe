"""What became of a command's launches, in the figures that its event carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daglab.deployment import runs
from daglab.launching import backfills

MOST_ASSETS = 100  # that an event names


def of(result: Mapping[str, Any]) -> dict[str, Any]:
    """`launched`, and of these how many `succeeded` and `failed`; `run_seconds` of each that ended, `assets`.

    `result` is the command's document. What a launch key has found was not launched by this command; a backfill counts
    as one. A run that the command did not follow to its end has neither succeeded nor failed.
    """
    if backfill := result.get("backfill"):
        return _of_backfill(backfill)
    launched = [entry for entry in result["runs"] if entry["run_id"] and not entry.get("existing")]
    ended = [entry["status"] for entry in launched if entry["status"] in runs.ENDED]
    good = ended.count("SUCCESS")
    took = [entry.get("duration_s") for entry in launched if entry["status"] in runs.ENDED]
    names = dict.fromkeys(name for entry in launched for name in entry.get("assets") or ())
    return {
        "launched": len(launched),
        "succeeded": good,
        "failed": len(ended) - good,
        "run_seconds": [round(seconds, 3) for seconds in took if seconds is not None],
        "assets": list(names)[:MOST_ASSETS],
    }


def _of_backfill(entry: Mapping[str, Any]) -> dict[str, Any]:
    launched = bool(entry["backfill_id"]) and not entry.get("existing")
    found = backfills.Backfill(entry["backfill_id"], entry["status"], 0, entry["counts"], entry["error"], entry["url"])
    good = launched and found.is_good
    return {"launched": int(launched), "succeeded": int(good), "failed": int(launched and found.is_over and not good)}

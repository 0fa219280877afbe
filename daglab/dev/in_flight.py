"""Runs that are under way when the environment stops, and those that a killed one has left as if they were."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection

import requests

from daglab import errors, output, web
from daglab.deployment import dagster_api, run_logs, run_records, runs
from daglab.launching import cancellation

STATUSES = ("QUEUED", "STARTING", "STARTED", "CANCELING")
LOOK_SECONDS = 0.2


def api(url: str, timeout: float) -> dagster_api.DagsterApi:
    """The Dagster beside us: no token is sent to it, and no proxy stands between."""
    http = requests.Session()
    http.trust_env = False
    http.auth = web.Identity()
    return dagster_api.DagsterApi(url, web.Session(http, timeout, retries=0))


def find(there: dagster_api.DagsterApi, *, before: float | None = None) -> list[run_records.Record]:
    """The runs under way, and those that wait; with `before`, a `time.time`, those where nothing has happened since."""
    found = run_records.search(there, statuses=STATUSES)
    return [run for run in found if before is None or (run.updated or 0) < before]


def end(there: dagster_api.DagsterApi, seconds: float, pids: Collection[int] | None = None) -> None:
    """Name the runs under way and ask them to end; those that have not within `seconds` are marked as cancelled.

    Only those that run in one of the processes `pids`, None for all. What can't be done is said: the environment stops
    all the same.
    """
    try:
        left = [run for run in find(there) if pids is None or _pid(there, run) in pids]
        for run in left:
            output.note(f"The run {run.id} ({named(run)}) is under way, and is asked to end.")
            with contextlib.suppress(web.AnswerLost):  # whether it has heard is seen below
                cancellation.ask(there, run.id, "SAFE_TERMINATE")
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            known = runs.status(there, [run.id for run in left])
            left = [run for run in left if not known[run.id].has_ended]
        for run in left:
            mark(there, run)
    except errors.DaglabError as error:
        output.warn(f"Runs under way could not be asked to end: {error.message}")


def _pid(there: dagster_api.DagsterApi, run: run_records.Record) -> int | None:
    """The process that works at a run, as its first events tell (Dagster 1.5 to 1.13); None before it has begun."""
    for event in next(run_logs.follow(there, run.id, None)):
        if told := re.search(r"process for run \(pid: (\d+)\)", event.message):
            return int(told[1])
    return None


def mark(there: dagster_api.DagsterApi, run: run_records.Record) -> None:
    """Mark a run as cancelled whose process is gone, or is about to be."""
    refused = cancellation.ask(there, run.id, "MARK_AS_CANCELED_IMMEDIATELY")
    if refused:
        output.warn(f"The run {run.id} ({named(run)}) stays {run.status}: {refused}")
    else:
        output.note(f"The run {run.id} ({named(run)}) is marked as cancelled.")


def named(run: run_records.Record) -> str:
    """What a run is of."""
    return run.job or ", ".join(run.assets) or "no job"

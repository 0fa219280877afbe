"""Runs: how they stand, and following them to their end."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

from daglab import errors
from daglab.deployment import dagster_api

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

ENDED = ("SUCCESS", "FAILURE", "CANCELED")  # whatever else a version may call a status is taken as running
DELETED = "DELETED"  # daglab's own word for a run that is not there (any more)
OVER = (*ENDED, DELETED)
PATIENCE = 60.0  # seconds for a webserver to start again while runs are followed; 5,000 assets take 36
FEW = 10  # of more runs the steps are not asked about each time

STATUS_QUERY = """
query Status($ids: [String]!, $steps: Boolean!) {
  runsOrError(filter: { runIds: $ids }) {
    __typename
    ... on Runs {
      results {
        runId status startTime endTime canTerminate
        stepStats @include(if: $steps) { stepKey status startTime endTime }
      }
    }
    ... on InvalidPipelineRunsFilterError { message }
    ... on PythonError { message }
  }
}
"""

DAEMONS_QUERY = """
query Daemons { instance { runQueuingSupported daemonHealth { allDaemonStatuses { daemonType healthy } } } }
"""


@dataclass(frozen=True)
class Step:
    """A step of a run; times are seconds since 1970, None where it has not come to that."""

    key: str
    status: str | None
    started: float | None
    ended: float | None

    @property
    def seconds(self) -> float | None:
        """How long it took, None before its end."""
        return None if self.started is None or self.ended is None else self.ended - self.started


@dataclass(frozen=True)
class Run:
    """A run as it stands; times are seconds since 1970, None where it has not come to that."""

    id: str
    status: str
    started: float | None = None
    ended: float | None = None
    steps: tuple[Step, ...] = ()
    can_terminate: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether it is in a terminal state."""
        return self.status in ENDED

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be seen of it."""
        return self.status in OVER

    @property
    def seconds(self) -> float | None:
        """How long it took, None before its end."""
        return None if self.started is None or self.ended is None else self.ended - self.started


def status(api: dagster_api.DagsterApi, ids: Sequence[str]) -> dict[str, Run]:
    """The runs with these ids as they stand. Raises `InvalidInput` for one that is not there (any more)."""
    found = parse_status(dagster_api.query(api, STATUS_QUERY, {"ids": list(ids), "steps": True}))
    if missing := [run_id for run_id in ids if run_id not in found]:
        raise unknown(missing)
    return found


def exists(api: dagster_api.DagsterApi, run_id: str) -> bool:
    """Whether there is a run of this id."""
    return run_id in parse_status(dagster_api.query(api, STATUS_QUERY, {"ids": [run_id], "steps": False}))


def unknown(ids: Sequence[str]) -> errors.InvalidInput:
    """The error for runs that are not there (any more)."""
    return errors.InvalidInput(
        f"Dagster does not know the run {', '.join(ids)}.", "It may have been deleted; the id may be wrong."
    )


@dagster_api.reading("runsOrError")
def parse_status(data: Mapping[str, Any]) -> dict[str, Run]:
    """The runs by id in the answer to `STATUS_QUERY`."""
    results = dagster_api.expect(data, "runsOrError", "Runs")["results"]
    return {result["runId"]: parse_run(result) for result in results}


def follow(api: dagster_api.DagsterApi, ids: Sequence[str], *, timeout: float, interval: float) -> Iterator[list[Run]]:
    """Those of the runs that have changed, each time they were asked about, until all have ended.

    They are asked about together, every `interval` seconds; `ids` may be added to in between. A deployment that does
    not answer is waited for: it may be starting again.

    Raises `TimedOut` when some have not ended after `timeout` seconds; they go on. Raises `OutcomeUnknown` at the end
    when some are not there (any more).
    """
    deadline = time.monotonic() + timeout
    impatient = until(api, deadline)
    known: dict[str, Run] = {}
    while waiting := [run_id for run_id in ids if run_id not in known or not known[run_id].is_over]:
        look_at = functools.partial(_looks, impatient, waiting)
        found = patiently(look_at, f"The run {', '.join(waiting)}", interval=interval, deadline=deadline)
        changed = [run for run in _with_past(found, known) if run != known.get(run.id)]
        known.update((run.id, run) for run in changed)
        yield changed
        going = [run_id for run_id in ids if run_id not in known or not known[run_id].is_over]
        left = deadline - time.monotonic()
        if going and left <= 0:
            raise _too_late(api, going, known, timeout)
        if going:
            time.sleep(min(interval, left))
    if lost := [run.id for run in known.values() if run.status == DELETED]:
        raise _gone(lost)


def _with_past(found: Sequence[Run], known: Mapping[str, Run]) -> list[Run]:
    """What was seen of a run stays true when it is deleted."""
    return [
        dataclasses.replace(known[run.id], status=DELETED) if run.status == DELETED and run.id in known else run
        for run in found
    ]


def patiently(ask: Callable[[], Answer], what: str, *, interval: float, deadline: float = math.inf) -> Answer:
    """The answer to `ask`, which is asked again while the deployment does not answer: it may be starting again.

    Raises the last error after `PATIENCE`, and `TimedOut` at the deadline, which is of `time.monotonic`; `what` says
    in it what was asked about.
    """
    since: float | None = None
    while True:
        try:
            return ask()
        except errors.Unreachable as error:
            now = time.monotonic()
            if now >= deadline:
                raise errors.TimedOut(f"{what} could not be asked about: {error.message}", error.hint) from error
            if since is None:
                log.warning("Dagster does not answer, and is waited for: %s", error.message)
                since = now
            if now - since >= PATIENCE:
                raise
        time.sleep(min(interval, deadline - now))


def _too_late(
    api: dagster_api.DagsterApi, ids: Sequence[str], known: Mapping[str, Run], timeout: float
) -> errors.TimedOut:
    if len(ids) == 1:
        [run_id] = ids
        status = known[run_id].status if run_id in known else "not known"
        message, page = f"The run {run_id} is {status} after {timeout:g} s; it goes on.", url(api, run_id)
    else:
        message, page = (
            f"{len(ids)} runs have not ended after {timeout:g} s and go on: {', '.join(ids)}.",
            f"{api.url}/runs",
        )
    return errors.TimedOut(message, f"Wait on with `daglab runs wait {' '.join(ids)} --timeout SECONDS`; see {page}.")


def waits_in_vain(api: dagster_api.DagsterApi) -> bool:
    """Whether no daemon takes runs out of the queue; False where there is no way to know."""
    queues, health = _daemons(api)
    return queues and health.get("QUEUED_RUN_COORDINATOR") is False


def are_daemons_healthy(api: dagster_api.DagsterApi) -> bool:
    """Whether each daemon does its work, as far as there is a way to know."""
    return False not in _daemons(api)[1].values()


def is_daemon_healthy(api: dagster_api.DagsterApi, kind: str) -> bool | None:
    """Whether the daemon of this kind (BACKFILL) does its work; None where there is no way to know."""
    return _daemons(api)[1].get(kind)


def _daemons(api: dagster_api.DagsterApi) -> tuple[bool, Mapping[str, bool]]:
    try:
        return parse_daemons(dagster_api.query(api, DAEMONS_QUERY))
    except errors.DaglabError as error:
        log.info("the daemons can't be asked about: %s", error.message)
        return False, {}


@dagster_api.reading("instance")
def parse_daemons(data: Mapping[str, Any]) -> tuple[bool, Mapping[str, bool]]:
    """Whether runs are queued, and the health of each kind of daemon, in the answer to `DAEMONS_QUERY`."""
    instance = data["instance"]
    told = instance["daemonHealth"]["allDaemonStatuses"]  # `healthy` may be null
    health = {
        dagster_api.text(each["daemonType"]): each["healthy"] for each in told if isinstance(each["healthy"], bool)
    }
    return instance["runQueuingSupported"] is True, health


def document(run: Run) -> dict[str, Any]:
    """What is known of a run, in JSON: times as ISO 8601 with zone, seconds for durations."""
    return {
        "status": run.status,
        "started_at": timestamp(run.started),
        "ended_at": timestamp(run.ended),
        "duration_s": run.seconds,
        "steps": [
            {
                "key": step.key,
                "status": step.status,
                "started_at": timestamp(step.started),
                "ended_at": timestamp(step.ended),
                "duration_s": step.seconds,
            }
            for step in run.steps
        ],
    }


def url(api: dagster_api.DagsterApi, run_id: str) -> str:
    """The run's page in Dagster."""
    return f"{api.url}/runs/{run_id}"


def timestamp(seconds: float | None) -> str | None:
    """A time in seconds since 1970 as ISO 8601 with zone."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def until(api: dagster_api.DagsterApi, deadline: float) -> dagster_api.DagsterApi:
    """The deployment, with nothing waited for beyond `deadline`."""
    return dataclasses.replace(api, session=dataclasses.replace(api.session, deadline=deadline))


def look(api: dagster_api.DagsterApi, run_id: str) -> Run:
    """One run as it stands. Raises `OutcomeUnknown` when it is not there (any more)."""
    [run] = _looks(api, [run_id])
    if run.status == DELETED:
        raise _gone([run_id])
    return run


def _looks(api: dagster_api.DagsterApi, ids: Sequence[str]) -> list[Run]:
    """The runs as they stand, DELETED for one that is not there; of many, the steps of those alone that have ended."""
    few = len(ids) <= FEW
    found = parse_status(dagster_api.query(api, STATUS_QUERY, {"ids": list(ids), "steps": few}))
    if not few and (ended := [run.id for run in found.values() if run.has_ended]):
        found.update(parse_status(dagster_api.query(api, STATUS_QUERY, {"ids": ended, "steps": True})))
    return [found.get(run_id, Run(run_id, DELETED)) for run_id in ids]


def _gone(ids: Sequence[str]) -> errors.OutcomeUnknown:
    return errors.OutcomeUnknown(
        f"Dagster does not know the run {', '.join(ids)} any more.",
        "Somebody has deleted it: ask, and launch it again.",
    )


def parse_run(result: Mapping[str, Any]) -> Run:
    """A run in an answer."""
    text, seconds = dagster_api.text, dagster_api.seconds_or_none
    steps = tuple(
        Step(
            text(step["stepKey"]),
            dagster_api.text_or_none(step["status"]),
            seconds(step["startTime"]),
            seconds(step["endTime"]),
        )
        for step in result.get("stepStats") or []
    )
    times = seconds(result["startTime"]), seconds(result["endTime"])
    return Run(text(result["runId"]), text(result["status"]), *times, steps, result.get("canTerminate") is True)

"""Runs: how they stand, following one to its end, ending one, and why it failed."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from daglab import dagster_api, errors, web

log = logging.getLogger(__name__)

ENDED = ("SUCCESS", "FAILURE", "CANCELED")  # whatever else a version may call a status is taken as running

STATUS_QUERY = """
query Status($ids: [String]!) {
  runsOrError(filter: { runIds: $ids }) {
    __typename
    ... on Runs {
      results {
        runId status startTime endTime canTerminate
        stepStats { stepKey status startTime endTime }
      }
    }
    ... on InvalidPipelineRunsFilterError { message }
    ... on PythonError { message }
  }
}
"""

FAILURES_QUERY = """
query Failures($id: ID!, $cursor: String) {
  logsForRun(runId: $id, afterCursor: $cursor, limit: 1000) {
    __typename
    ... on EventConnection {
      cursor hasMore
      events {
        __typename
        ... on ExecutionStepFailureEvent { stepKey message error { message causes { message } } }
        ... on RunFailureEvent { message error { message causes { message } } }
      }
    }
    ... on RunNotFoundError { message }
    ... on PythonError { message }
  }
}
"""

TERMINATE_MUTATION = """
mutation Terminate($id: String!, $policy: TerminateRunPolicy) {
  terminateRun(runId: $id, terminatePolicy: $policy) {
    __typename
    ... on TerminateRunSuccess { run { runId } }
    ... on TerminateRunFailure { message }
    ... on Error { message }
  }
}
"""

DAEMONS_QUERY = """
query Daemons { instance { runQueuingSupported daemonHealth { allDaemonStatuses { daemonType healthy } } } }
"""

# How a run is ended, and for how long each is tried: a run that is STARTING can't be asked to end, and one that is
# asked may have to clean up. Marking is the last resort: what was starting may do its work all the same, and report
# a start or a success later (Dagster 1.13). So it has to stay CANCELED for a while, and it is told as what it is.
ENDINGS = (("SAFE_TERMINATE", 60.0), ("MARK_AS_CANCELED_IMMEDIATELY", 20.0))
SETTLING = 5.0
MOST_REFUSALS = 3


@dataclass(frozen=True)
class Step:
    """A step of a run; times are seconds since 1970, None where it has not come to that."""

    key: str
    status: str | None
    started: float | None
    ended: float | None


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
    def seconds(self) -> float | None:
        """How long it took, None before its end."""
        return None if self.started is None or self.ended is None else self.ended - self.started


@dataclass(frozen=True)
class Failure:
    """Why a step failed (`step` is None for the run itself): the exception raised, and those that caused it."""

    step: str | None
    error: str
    causes: tuple[str, ...]


def status(api: dagster_api.DagsterApi, ids: Sequence[str]) -> dict[str, Run]:
    """The runs with these ids as they stand. Raises `InvalidInput` for one that is not there (any more)."""
    found = parse_status(dagster_api.query(api, STATUS_QUERY, {"ids": list(ids)}))
    missing = [run_id for run_id in ids if run_id not in found]
    if missing:
        raise errors.InvalidInput(
            f"Dagster does not know the run {', '.join(missing)}.", "It may have been deleted; the id may be wrong."
        )
    return found


@dagster_api.reading("runsOrError")
def parse_status(data: Mapping[str, Any]) -> dict[str, Run]:
    """The runs by id in the answer to `STATUS_QUERY`."""
    results = dagster_api.expect(data, "runsOrError", "Runs")["results"]
    return {result["runId"]: _run(result) for result in results}


def follow(api: dagster_api.DagsterApi, run_id: str, *, timeout: float, interval: float) -> Iterator[Run]:
    """The run each time that something about it has changed, up to its end, asked for every `interval` seconds.

    Raises `TimedOut` when it has not ended after `timeout` seconds; the run goes on. Raises `OutcomeUnknown` when
    it is not there (any more).
    """
    deadline = time.monotonic() + timeout
    impatient = _until(api, deadline)
    last = None
    while True:
        try:
            run = _look(impatient, run_id)
        except errors.Unreachable as error:
            if time.monotonic() < deadline:
                raise
            raise errors.TimedOut(
                f"The run {run_id} could not be asked about for {timeout:g} s: {error.message}", error.hint
            ) from error
        if run != last:
            yield run
        if run.has_ended:
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise errors.TimedOut(
                f"The run {run_id} is {run.status} after {timeout:g} s; it goes on.",
                f"Look at {url(api, run_id)}, or give it more time with --timeout.",
            )
        last = run
        time.sleep(min(interval, left))


def cancel(api: dagster_api.DagsterApi, run_id: str, *, interval: float = 1.0) -> tuple[Run, bool]:
    """End a run; how it ended, and whether it is no more than marked as CANCELED, while its process may go on.

    It may have ended by itself meanwhile. Raises `TimedOut` when it goes on after some 80 seconds.
    """
    for policy, seconds in ENDINGS:
        run, refusal = _end(api, run_id, policy, seconds, interval)
        if run.has_ended:
            return run, run.status == "CANCELED" and policy != "SAFE_TERMINATE"
    because = f": {refusal}" if refusal else ""
    raise errors.TimedOut(
        f"The run {run_id} is {run.status} and could not be cancelled{because}.", f"End it at {url(api, run_id)}."
    )


def waits_in_vain(api: dagster_api.DagsterApi) -> bool:
    """Whether no daemon takes runs out of the queue; False where there is no way to know."""
    try:
        return parse_daemons(dagster_api.query(api, DAEMONS_QUERY))
    except errors.DaglabError as error:
        log.info("the daemons can't be asked about: %s", error.message)
        return False


@dagster_api.reading("instance")
def parse_daemons(data: Mapping[str, Any]) -> bool:
    """Whether the daemon that takes runs out of the queue is not healthy, in the answer to `DAEMONS_QUERY`."""
    instance = data["instance"]
    health = {each["daemonType"]: each["healthy"] for each in instance["daemonHealth"]["allDaemonStatuses"]}
    return instance["runQueuingSupported"] is True and health.get("QUEUED_RUN_COORDINATOR") is False


def failures(api: dagster_api.DagsterApi, run_id: str) -> list[Failure]:
    """Why a run failed: each failed step with its exception, else what the run itself says."""
    found: list[Failure] = []
    cursor = None
    while True:
        data = dagster_api.query(api, FAILURES_QUERY, {"id": run_id, "cursor": cursor})
        page, following = parse_failures(data)
        found += page
        if following in (None, cursor):
            return [failure for failure in found if failure.step] or found
        cursor = following


@dagster_api.reading("logsForRun")
def parse_failures(data: Mapping[str, Any]) -> tuple[list[Failure], str | None]:
    """The failures in the answer to `FAILURES_QUERY`, and the cursor of the next page, None for the last one."""
    page = dagster_api.expect(data, "logsForRun", "EventConnection")
    kinds = ("ExecutionStepFailureEvent", "RunFailureEvent")
    found = [_failure(event) for event in page["events"] if event["__typename"] in kinds]
    return found, page["cursor"] if page["hasMore"] else None


def url(api: dagster_api.DagsterApi, run_id: str) -> str:
    """The run's page in Dagster."""
    return f"{api.url}/runs/{run_id}"


def timestamp(seconds: float | None) -> str | None:
    """A time in seconds since 1970 as ISO 8601 with zone."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def _until(api: dagster_api.DagsterApi, deadline: float) -> dagster_api.DagsterApi:
    """The deployment, with nothing waited for beyond `deadline`."""
    return dataclasses.replace(api, session=dataclasses.replace(api.session, deadline=deadline))


def _look(api: dagster_api.DagsterApi, run_id: str) -> Run:
    run = parse_status(dagster_api.query(api, STATUS_QUERY, {"ids": [run_id]})).get(run_id)
    if run is None:
        raise errors.OutcomeUnknown(
            f"Dagster does not know the run {run_id} any more.",
            "Somebody has deleted it: ask, and launch it again.",
        )
    return run


def _end(
    api: dagster_api.DagsterApi, run_id: str, policy: str, seconds: float, interval: float
) -> tuple[Run, str | None]:
    """How the run stands when it has ended, the time is up or it is refused too often; and the last refusal."""
    deadline = time.monotonic() + seconds
    api, forced = _until(api, deadline), policy != "SAFE_TERMINATE"
    refusals: list[str] = []
    accepted: float | None = None
    while True:
        run, now = _look(api, run_id), time.monotonic()
        settled = accepted is None or not forced or now - accepted >= SETTLING
        if (run.has_ended and settled) or now >= deadline or len(refusals) >= MOST_REFUSALS:
            return run, refusals[-1] if refusals else None
        if not run.has_ended and (forced or (run.can_terminate and accepted is None)):
            refusal = _terminate(api, run_id, policy)
            accepted = accepted if refusal else now
            refusals += [refusal] if refusal else []
        time.sleep(min(interval, deadline - now))


def _terminate(api: dagster_api.DagsterApi, run_id: str, policy: str) -> str | None:
    """Ask Dagster to end the run; why it does not, None when it does or its answer is lost."""
    try:
        data = dagster_api.mutate(api, "terminateRun", TERMINATE_MUTATION, {"id": run_id, "policy": policy})
        dagster_api.expect(data, "terminateRun", "TerminateRunSuccess")
    except web.AnswerLost as lost:
        log.info("%s", lost.message)
    except (dagster_api.Refused, dagster_api.ServerFailed) as refused:
        return refused.message
    return None


def _run(result: Mapping[str, Any]) -> Run:
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


def _failure(event: Mapping[str, Any]) -> Failure:
    """Dagster wraps the user's exception in its own; some failures of its own have no cause."""
    error = event.get("error") or {"message": event.get("message")}
    messages = [dagster_api.shorten(str(cause["message"]).strip()) for cause in error.get("causes") or []]
    own = dagster_api.shorten(str(error.get("message") or "no reason given").strip())
    return Failure(event.get("stepKey"), messages[0] if messages else own, tuple(messages[1:]))

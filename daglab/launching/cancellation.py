"""Ending a run: asking it to, and what to do when it does not listen."""

from __future__ import annotations

import functools
import logging
import time

from daglab import errors, web
from daglab.deployment import dagster_api, runs

log = logging.getLogger(__name__)

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

# How a run is ended, and for how long each is tried: a run that is STARTING can't be asked to end, and one that is
# asked may have to clean up. Marking is the last resort: what was starting may do its work all the same, and report
# a start or a success later (Dagster 1.13). So it has to stay CANCELED for a while, and it is told as what it is.
ENDINGS = (("SAFE_TERMINATE", 60.0), ("MARK_AS_CANCELED_IMMEDIATELY", 20.0))
SETTLING = 5.0
MOST_REFUSALS = 3


def cancel(
    api: dagster_api.DagsterApi, run_id: str, *, interval: float = 1.0, force: bool = False
) -> tuple[runs.Run, bool]:
    """End a run; how it ended, and whether it is no more than marked as CANCELED, while its process may go on.

    `force` marks it at once. It may have ended by itself meanwhile. Raises `TimedOut` when it goes on all the same,
    after some 80 seconds.
    """
    for policy, seconds in ENDINGS[force:]:
        run, refusal = _end(api, run_id, policy, seconds, interval)
        if run.has_ended:
            return run, run.status == "CANCELED" and policy != "SAFE_TERMINATE"
    because = f": {refusal}" if refusal else ""
    raise errors.TimedOut(
        f"The run {run_id} is {run.status} and could not be cancelled{because}.", f"End it at {runs.url(api, run_id)}."
    )


def _end(
    api: dagster_api.DagsterApi, run_id: str, policy: str, seconds: float, interval: float
) -> tuple[runs.Run, str | None]:
    """How the run stands when it has ended, the time is up or it is refused too often; and the last refusal."""
    deadline = time.monotonic() + seconds
    api, forced = runs.until(api, deadline), policy != "SAFE_TERMINATE"
    look = functools.partial(runs.look, api, run_id)
    refusals: list[str] = []
    asked: float | None = None
    lost = False
    while True:
        run = runs.patiently(look, f"The run {run_id}", interval=interval, deadline=deadline)
        now = time.monotonic()
        settled = asked is None or not forced or now - asked >= SETTLING
        if (run.has_ended and settled) or now >= deadline or len(refusals) >= MOST_REFUSALS:
            return run, refusals[-1] if refusals else None
        # A question that was lost is asked again where the run goes on: to be asked twice does it no harm.
        unheard = asked is None or (lost and run.status == "STARTED" and now - asked >= SETTLING)
        if not run.has_ended and (forced or (run.can_terminate and unheard)):
            refusal, lost = _ask(api, run_id, policy)
            asked = asked if refusal else now
            refusals += [refusal] if refusal else []
        time.sleep(min(interval, deadline - now))


def _ask(api: dagster_api.DagsterApi, run_id: str, policy: str) -> tuple[str | None, bool]:
    """As `ask`, and whether the answer was lost."""
    try:
        return ask(api, run_id, policy), False
    except web.AnswerLost as lost:
        log.info("%s", lost.message)
        return None, True


def ask(api: dagster_api.DagsterApi, run_id: str, policy: str) -> str | None:
    """Ask Dagster to end the run; why it does not, None when it does.

    Raises `AnswerLost` where that is not known, and `NotAuthorised` where nobody may end runs.
    """
    try:
        data = dagster_api.mutate(api, "terminateRun", TERMINATE_MUTATION, {"id": run_id, "policy": policy})
        dagster_api.expect(data, "terminateRun", "TerminateRunSuccess")
    except (dagster_api.Refused, dagster_api.ServerFailed) as refused:
        if "do not have permission" in refused.message:  # the one mutation that has no UnauthorizedError for it
            raise errors.NotAuthorised(refused.message, "The deployment may be read-only.") from None
        return refused.message
    return None

"""Running a run again: all of it, or from where it failed; once and only once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from daglab import dagster_api, errors, launches, run_records, runs, web

PARENT_TAG = "dagster/parent_run_id"
STRATEGIES = {"from-failure": "FROM_FAILURE", "all": "ALL_STEPS"}

RETRY_MUTATION = """
mutation Retry($params: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId status } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on Error { message }
  }
}
"""


def retry(api: dagster_api.DagsterApi, run_id: str, how: str) -> launches.Launched:
    """Launch a run again, `how` is from-failure or all; when the answer is lost, the new run is looked for.

    No version takes a tag of ours for it, but Dagster tags it with the run that it repeats. Raises `OutcomeUnknown`
    when no new one appears for as long as an answer may take.
    """
    before = _retries(api, run_id)
    params = {"parentRunId": run_id, "strategy": STRATEGIES[how]}
    try:
        return parse_retry(dagster_api.mutate(api, "launchRunReexecution", RETRY_MUTATION, {"params": params}))
    except web.AnswerLost as lost:
        deadline = time.monotonic() + api.session.timeout
        while True:
            if new := [record for record in _retries(api, run_id).values() if record.id not in before]:
                return launches.Launched(new[0].id, new[0].status)
            if time.monotonic() >= deadline:
                raise errors.OutcomeUnknown(
                    f"{lost.message} No run that repeats {run_id} has appeared so far.",
                    f"Look for the tag {PARENT_TAG}={run_id} among the runs at {api.url}/runs before you try again.",
                    result={"launch": "unknown", "runs": []},
                ) from lost
            time.sleep(0.5)


def parse_retry(data: Mapping[str, Any]) -> launches.Launched:
    """The run in the answer to `RETRY_MUTATION`. Raises `AnswerLost` when it does not say what was done."""
    return launches.parse_launched(data, "launchRunReexecution")


def _retries(api: dagster_api.DagsterApi, run_id: str) -> dict[str, run_records.Record]:
    found = run_records.search(api, tags={PARENT_TAG: run_id}, limit=runs.FEW)
    return {record.id: record for record in found}

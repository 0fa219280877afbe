"""Running a run again: all of it, or from where it failed; once and only once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daglab import web
from daglab.deployment import dagster_api, run_records, runs
from daglab.launching import launches

PARENT_TAG = "dagster/parent_run_id"
NOT_LAUNCHED = (*launches.NOT_LAUNCHED, "RunNotFoundError", "PipelineRunNotFoundError")
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

    def find() -> launches.Launched | None:
        new = (record for record in _retries(api, run_id).values() if record.id not in before)
        return next((launches.Launched(record.id, record.status) for record in new), None)

    try:
        return parse_retry(dagster_api.mutate(api, "launchRunReexecution", RETRY_MUTATION, {"params": params}))
    except (web.AnswerLost, dagster_api.ServerFailed, dagster_api.Refused) as error:
        if isinstance(error, dagster_api.Refused) and error.kind in NOT_LAUNCHED:
            raise
        tag = f"{PARENT_TAG}={run_id}"
        hint = f"`daglab runs list --tag {tag}` shows whether it was made; don't try again before."
        unknown: dict[str, Any] = {"launch": "unknown", "runs": []}
        return launches.look_for(api, error, find, "run", tag=tag, hint=hint, unknown=unknown)


def parse_retry(data: Mapping[str, Any]) -> launches.Launched:
    """The run in the answer to `RETRY_MUTATION`. Raises `AnswerLost` when it does not say what was done."""
    return launches.parse_launched(data, "launchRunReexecution")


def _retries(api: dagster_api.DagsterApi, run_id: str) -> dict[str, run_records.Record]:
    found = run_records.search(api, tags={PARENT_TAG: run_id}, limit=runs.FEW)
    return {record.id: record for record in found}

"""Runs: what to launch, launching it once and only once, following it, and why it failed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from daglab import dagster_api, entities, errors, web

LAUNCH_TAG = "daglab/launch_id"
ENDED = ("SUCCESS", "FAILURE", "CANCELED")  # whatever else a version may call a status is taken as running

VALIDATE_QUERY = """
query Validate($pipeline: PipelineSelector!, $config: RunConfigData) {
  isPipelineConfigValid(pipeline: $pipeline, mode: "default", runConfigData: $config) {
    __typename
    ... on PipelineConfigValidationValid { pipelineName }
    ... on RunConfigValidationInvalid {
      errors {
        message
        stack {
          entries {
            __typename
            ... on EvaluationStackPathEntry { fieldName }
            ... on EvaluationStackListItemEntry { listIndex }
          }
        }
      }
    }
    ... on InvalidSubsetError { message }
    ... on PipelineNotFoundError { message }
    ... on PythonError { message }
  }
}
"""

LAUNCH_MUTATION = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId status } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on Error { message }
  }
}
"""

BY_TAG_QUERY = """
query RunByTag($tags: [ExecutionTag!]) {
  runsOrError(filter: { tags: $tags }, limit: 1) {
    __typename
    ... on Runs { results { runId } }
    ... on InvalidPipelineRunsFilterError { message }
    ... on PythonError { message }
  }
}
"""

STATUS_QUERY = """
query Status($ids: [String]!) {
  runsOrError(filter: { runIds: $ids }) {
    __typename
    ... on Runs {
      results {
        runId status startTime endTime
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


@dataclass(frozen=True)
class Target:
    """What a run executes: a job, or some assets through the job that Dagster keeps for them."""

    job: str
    repository: str
    location: str
    assets: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Step:
    """A step of a run; times are seconds since 1970, None where it has not come to that."""

    key: str
    status: str
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


def job_target(job: entities.Job) -> Target:
    """What launches a job."""
    return Target(job.name, job.repository, job.location)


def assets_target(assets: Sequence[entities.Asset]) -> Target:
    """What launches some assets in one run.

    Raises `InvalidInput` for an asset that Dagster can't execute, and for assets that no one run can hold.
    """
    external = [asset.name for asset in assets if not asset.executable]
    if external:
        raise errors.InvalidInput(
            f"{', '.join(external)} can't be materialized: it is external to Dagster.", "Select its downstream assets."
        )
    places = {(asset.location, asset.repository) for asset in assets}
    common = set.intersection(*(set(asset.jobs) for asset in assets))
    implicit = sorted(job for job in common if job.startswith("__ASSET_JOB"))
    if len(places) > 1 or not implicit:
        where = ", ".join(f"{asset.name} in {asset.location}" for asset in assets)
        raise errors.InvalidInput(f"These assets can't share one run: {where}.", "Launch them one after another.")
    first = assets[0]
    return Target(implicit[0], first.repository, first.location, tuple(asset.key for asset in assets))


def check_config(api: dagster_api.DagsterApi, target: Target, config: Mapping[str, Any]) -> None:
    """Ask Dagster whether the run config is valid. Raises `InvalidInput` that lists everything wrong with it."""
    data = dagster_api.query(api, VALIDATE_QUERY, {"pipeline": _selector(target, "pipelineName"), "config": config})
    answer = data.get("isPipelineConfigValid") or {}
    if answer.get("__typename") != "RunConfigValidationInvalid":
        dagster_api.expect(data, "isPipelineConfigValid", "PipelineConfigValidationValid")
        return
    problems = "; ".join(_config_problem(error) for error in answer["errors"])
    raise errors.InvalidInput(
        f"The run config is not valid: {problems}", "Give it with --run-config FILE (YAML or JSON)."
    )


def launch(
    api: dagster_api.DagsterApi,
    target: Target,
    config: Mapping[str, Any],
    tags: Mapping[str, str],
    *,
    launch_id: str | None = None,
) -> str:
    """Launch one run and give back its id; never two, even when the answer is lost.

    The run carries the tag `daglab/launch_id`, and a lost answer is settled by asking for it, for as long as
    an answer may take. Raises `OutcomeUnknown` with the launch id when that finds nothing.
    """
    launch_id = launch_id or str(uuid.uuid4())
    every = {**tags, LAUNCH_TAG: launch_id}
    params = {
        "selector": _selector(target, "jobName"),
        "runConfigData": config,
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in every.items()]},
    }
    try:
        data = dagster_api.mutate(api, LAUNCH_MUTATION, {"params": params})
        run = dagster_api.expect(data, "launchRun", "LaunchRunSuccess")["run"]
        return str(run["runId"])
    except web.AnswerLost as lost:
        return _settle(api, launch_id, lost)
    except dagster_api.Refused as refused:
        # A PythonError may come after the run was made: then the run is there, and tells the rest.
        found = _by_tag(api, launch_id) if refused.kind == "PythonError" else None
        if found is None:
            raise
        return found


def status(api: dagster_api.DagsterApi, ids: Sequence[str]) -> dict[str, Run]:
    """The runs with these ids as they stand. Raises `InvalidInput` for one that is not there (any more)."""
    found = parse_status(dagster_api.query(api, STATUS_QUERY, {"ids": list(ids)}))
    missing = [run_id for run_id in ids if run_id not in found]
    if missing:
        raise errors.InvalidInput(
            f"Dagster does not know the run {', '.join(missing)}.", "It may have been deleted; the id may be wrong."
        )
    return found


def parse_status(data: Mapping[str, Any]) -> dict[str, Run]:
    """The runs by id in the answer to `STATUS_QUERY`."""
    results = dagster_api.expect(data, "runsOrError", "Runs")["results"]
    return {result["runId"]: _run(result) for result in results}


def follow(api: dagster_api.DagsterApi, run_id: str, *, timeout: float, interval: float) -> Iterator[Run]:
    """The run each time that something about it has changed, up to its end, asked for every `interval` seconds.

    Raises `TimedOut` when it has not ended after `timeout` seconds; the run goes on.
    """
    deadline = time.monotonic() + timeout
    last = None
    while True:
        run = status(api, [run_id])[run_id]
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


def failures(api: dagster_api.DagsterApi, run_id: str) -> list[Failure]:
    """Why a run failed: each failed step with its exception, else what the run itself says."""
    found: list[Failure] = []
    cursor = None
    while True:
        data = dagster_api.query(api, FAILURES_QUERY, {"id": run_id, "cursor": cursor})
        page = dagster_api.expect(data, "logsForRun", "EventConnection")
        found += parse_failures(page["events"])
        if not page["hasMore"]:
            break
        cursor = page["cursor"]
    return [failure for failure in found if failure.step] or found


def parse_failures(events: Sequence[Mapping[str, Any]]) -> list[Failure]:
    """The failures among a run's events."""
    kinds = ("ExecutionStepFailureEvent", "RunFailureEvent")
    return [_failure(event) for event in events if event["__typename"] in kinds]


def url(api: dagster_api.DagsterApi, run_id: str) -> str:
    """The run's page in Dagster."""
    return f"{api.url}/runs/{run_id}"


def timestamp(seconds: float | None) -> str | None:
    """A time in seconds since 1970 as ISO 8601 with zone."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def _settle(api: dagster_api.DagsterApi, launch_id: str, lost: web.AnswerLost) -> str:
    """The run that a lost answer was about: a slow server may make it as late as an answer may come."""
    deadline = time.monotonic() + api.session.timeout
    while True:
        try:
            found = _by_tag(api, launch_id)
        except errors.Unreachable:
            found = None
        if found is not None:
            return found
        if time.monotonic() >= deadline:
            raise errors.OutcomeUnknown(
                f"{lost.message} No run carries the tag {LAUNCH_TAG}={launch_id} so far.",
                f"Look for that tag among the runs at {api.url}/runs before you launch again.",
                result={"launch": "unknown", "launch_id": launch_id, "runs": []},
            ) from lost
        time.sleep(0.5)


def _by_tag(api: dagster_api.DagsterApi, launch_id: str) -> str | None:
    data = dagster_api.query(api, BY_TAG_QUERY, {"tags": [{"key": LAUNCH_TAG, "value": launch_id}]})
    results = dagster_api.expect(data, "runsOrError", "Runs")["results"]
    return str(results[0]["runId"]) if results else None


def _selector(target: Target, job_field: str) -> dict[str, Any]:
    """Dagster's selector; checking config calls the job pipelineName, launching calls it jobName."""
    selector: dict[str, Any] = {
        job_field: target.job,
        "repositoryName": target.repository,
        "repositoryLocationName": target.location,
    }
    if target.assets:
        selector["assetSelection"] = [{"path": list(key)} for key in target.assets]
    return selector


def _config_problem(error: Mapping[str, Any]) -> str:
    """One problem with the place it is at; Dagster's own `path` is always empty, its stack is not."""
    entries = error["stack"]["entries"]
    place = ".".join(str(entry.get("fieldName", entry.get("listIndex"))) for entry in entries)
    message = dagster_api.shorten(str(error["message"]).strip())
    return f"at {place}: {message}" if place else message


def _run(result: Mapping[str, Any]) -> Run:
    steps = tuple(
        Step(step["stepKey"], step["status"], step["startTime"], step["endTime"])
        for step in result.get("stepStats") or []
    )
    return Run(result["runId"], result["status"], result["startTime"], result["endTime"], steps)


def _failure(event: Mapping[str, Any]) -> Failure:
    """Dagster wraps the user's exception in its own; some failures of its own have no cause."""
    error = event.get("error") or {"message": event.get("message")}
    messages = [dagster_api.shorten(str(cause["message"]).strip()) for cause in error.get("causes") or []]
    own = dagster_api.shorten(str(error.get("message") or "no reason given").strip())
    return Failure(event.get("stepKey"), messages[0] if messages else own, tuple(messages[1:]))

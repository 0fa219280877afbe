"""Launches: what a run shall execute, whether its config is valid, and launching it once and only once."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daglab import dagster_api, entities, errors, web

log = logging.getLogger(__name__)

LAUNCH_TAG = "daglab/launch_id"
# Dagster's reasons not to launch; after any other error the run may be there all the same.
NOT_LAUNCHED = (
    "RunConfigValidationInvalid",
    "PipelineNotFoundError",
    "InvalidSubsetError",
    "InvalidStepError",
    "InvalidOutputError",
    "RunConflict",
    "PresetNotFoundError",
    "ConflictingExecutionParamsError",
    "NoModeProvidedError",
)

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


@dataclass(frozen=True)
class Target:
    """What a run executes: a job, or some assets through the job that Dagster keeps for them."""

    job: str
    repository: str
    location: str
    assets: tuple[tuple[str, ...], ...] = ()


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
    try:
        json.dumps(config, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.InvalidInput(
            f"The run config holds a value that JSON can't: {error}.", "Give it as text."
        ) from None
    variables = {"pipeline": _selector(target, "pipelineName"), "config": config}
    problems = parse_config_problems(dagster_api.query(api, VALIDATE_QUERY, variables))
    if problems:
        raise errors.InvalidInput(
            f"The run config is not valid: {'; '.join(problems)}", "Give it with --run-config FILE (YAML or JSON)."
        )


@dagster_api.reading("isPipelineConfigValid")
def parse_config_problems(data: Mapping[str, Any]) -> list[str]:
    """What is wrong with the config in the answer to `VALIDATE_QUERY`; nothing for a valid one."""
    answer = data.get("isPipelineConfigValid")
    if isinstance(answer, dict) and answer.get("__typename") == "RunConfigValidationInvalid":
        return [_config_problem(error) for error in answer["errors"]] or ["no reason given"]
    dagster_api.expect(data, "isPipelineConfigValid", "PipelineConfigValidationValid")
    return []


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
        return parse_launch(dagster_api.mutate(api, LAUNCH_MUTATION, {"params": params}))
    except web.AnswerLost as lost:
        return _settle(api, launch_id, lost)
    except dagster_api.ServerFailed as failed:
        # It may have failed after it had made the run: then the run is there, and tells the rest.
        return _settle(api, launch_id, failed)
    except dagster_api.Refused as refused:
        if refused.kind in NOT_LAUNCHED:
            raise
        return _settle(api, launch_id, refused)


def parse_launch(data: Mapping[str, Any]) -> str:
    """The run's id in the answer to `LAUNCH_MUTATION`. Raises `AnswerLost` when it does not say what was done."""
    try:
        with dagster_api.reading("launchRun"):
            return _id(dagster_api.expect(data, "launchRun", "LaunchRunSuccess")["run"])
    except dagster_api.ServerFailed:
        raise
    except errors.Unreachable as unclear:
        raise web.AnswerLost(unclear.message, "It may have been carried out.") from unclear


def _settle(api: dagster_api.DagsterApi, launch_id: str, error: errors.DaglabError) -> str:
    """The run of a launch that ended with `error`, if there is one.

    After a lost answer a slow server may make it as late as an answer may come; after an error that the server
    answered it is there at once or not at all.
    """
    deadline = time.monotonic() + api.session.timeout
    while True:
        try:
            found = _by_tag(api, launch_id)
        except errors.DaglabError as unanswered:
            said = f"Asking for its run failed, too: {unanswered.message}"
        else:
            if found is not None:
                log.warning("The run %s was made, although: %s", found, error.message)
                return found
            if not isinstance(error, web.AnswerLost):
                raise error
            said = f"No run carries the tag {LAUNCH_TAG}={launch_id} so far."
        if time.monotonic() >= deadline:
            raise errors.OutcomeUnknown(
                f"{error.message} {said}",
                f"Look for the tag {LAUNCH_TAG}={launch_id} among the runs at {api.url}/runs before you launch again.",
                result={"launch": "unknown", "launch_id": launch_id, "runs": []},
            ) from error
        time.sleep(0.5)


def _by_tag(api: dagster_api.DagsterApi, launch_id: str) -> str | None:
    data = dagster_api.query(api, BY_TAG_QUERY, {"tags": [{"key": LAUNCH_TAG, "value": launch_id}]})
    with dagster_api.reading("runsOrError"):
        results = dagster_api.expect(data, "runsOrError", "Runs")["results"]
        return _id(results[0]) if results else None


def _id(run: Mapping[str, Any]) -> str:
    run_id = run["runId"]
    if not isinstance(run_id, str) or not run_id:
        raise TypeError("runId is no text")
    return run_id


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

"""Telling an asset check whether a notebook was good: an evaluation that is checked before and read back after.

Dagster stores evaluations of any name and shows those of checks that the deployment's code defines, so the name is
looked up before the notebook runs. The mutation knows no evaluations: the ways are `instance` and `rest`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from daglab import errors, parse
from daglab.attaching import attach, observations, reports
from daglab.deployment import dagster_api
from daglab.settings import config

WAYS = ("instance", "rest")
OPERATION = "report_asset_check"  # for the sandbox, and in the address

CHECKS_QUERY = """
query Checks($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    __typename
    ... on AssetNode {
      assetChecksOrError {
        __typename
        ... on AssetChecks { checks { name } }
        ... on AssetCheckNeedsMigrationError { message }
        ... on AssetCheckNeedsUserCodeUpgrade { message }
        ... on AssetCheckNeedsAgentUpgradeError { message }
      }
    }
    ... on AssetNotFoundError { message }
  }
}
"""

EVALUATIONS_QUERY = """
query Evaluations($key: AssetKeyInput!, $name: String!, $limit: Int!) {
  assetCheckExecutions(assetKey: $key, checkName: $name, limit: $limit) {
    __typename
    evaluation {
      success
      metadataEntries { __typename label ... on TextMetadataEntry { text } }
    }
  }
}
"""


@dagster_api.reading("assetNodeOrError")
def parse_checks(data: Mapping[str, Any]) -> list[str]:
    """The names of an asset's checks in the answer to `CHECKS_QUERY`."""
    node = dagster_api.expect(data, "assetNodeOrError", "AssetNode")
    return [str(check["name"]) for check in dagster_api.expect(node, "assetChecksOrError", "AssetChecks")["checks"]]


@dagster_api.reading("assetCheckExecutions")
def parse_evaluations(data: Mapping[str, Any]) -> dict[str, tuple[bool, str]]:
    """daglab's own evaluations in the answer to `EVALUATIONS_QUERY`, by id: whether it passed, and the way it came."""
    found = {}
    for execution in data["assetCheckExecutions"]:
        evaluation = execution["evaluation"] or {"metadataEntries": []}
        entries = {entry["label"]: entry for entry in evaluation["metadataEntries"]}
        way = "instance" if any(entry["__typename"] == "PathMetadataEntry" for entry in entries.values()) else "rest"
        if isinstance(identity := entries.get(observations.ID_LABEL, {}).get("text"), str):
            found[identity] = (bool(evaluation["success"]), way)
    return found


def permit(api: dagster_api.DagsterApi) -> None:
    """Raise `NotAuthorised` when the sandbox does not allow it. Nothing is sent."""
    dagster_api.permit(api, OPERATION)


def require(api: dagster_api.DagsterApi, assets: Sequence[tuple[str, ...]], name: str) -> None:
    """Raise `InvalidInput` unless each of the assets has a check of this name."""
    for asset in assets:
        there = parse_checks(dagster_api.query(api, CHECKS_QUERY, {"key": {"path": list(asset)}}))
        if name in there:
            continue
        defined = f"Its checks: {', '.join(there)}." if there else "It has none."
        raise errors.InvalidInput(
            f"{'/'.join(asset)} has no asset check {name}, and Dagster shows evaluations of defined checks only.",
            parse.did_you_mean(name, there) or f"{defined} Define it in the deployment's code, with @asset_check.",
        )


def report(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    evaluation: observations.Evaluation,
    *,
    via: str | None,
    python: str,
) -> str:
    """Report the evaluation and read it back: by which way. Raises as `attach.attach` does."""
    permit(api)
    ways = [way for way in WAYS if via in (None, way)]
    if not ways:
        raise errors.InvalidInput(f"--via {via} can't report to an asset check.", "Use --via instance or --via rest.")
    for way in ways:
        try:
            doubt = _report(api, settings, evaluation, way, python, asked_for=via is not None)
        except reports.NothingWritten:
            if way == ways[-1]:
                raise
            continue
        _read_back(api, evaluation, doubt)
        return way
    raise AssertionError("some way was taken, or the last one refused")


def find(
    api: dagster_api.DagsterApi, evaluation: observations.Evaluation, begun_at: datetime | None = None
) -> str | None:
    """By which way Dagster got the evaluation of that id; None when it has none. What may be under way is waited for.

    Raises `OutcomeUnknown` where it can't be found out.
    """
    deadline = attach.settled_by(begun_at)
    while True:
        try:
            found = _newest(api, evaluation, attach.MANY)
        except errors.DaglabError as error:
            raise errors.OutcomeUnknown(
                f"It can't be found out whether {evaluation.check} was told: {error.message}", attach.BEFORE_AGAIN
            ) from error
        if evaluation.id in found or time.monotonic() >= deadline:
            return found[evaluation.id][1] if evaluation.id in found else None
        time.sleep(0.5)


def _report(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    evaluation: observations.Evaluation,
    way: str,
    python: str,
    *,
    asked_for: bool,
) -> str | None:
    if way == "instance":
        event = {
            "asset_key": evaluation.asset,
            "description": evaluation.description,
            "check": evaluation.check,
            "passed": evaluation.passed,
            "entries": [vars(entry) for entry in evaluation.entries],
        }
        return reports.by_instance(api, settings, event, python, asked_for=asked_for)
    body = {
        "check_name": evaluation.check,
        "passed": evaluation.passed,
        "metadata": {entry.label: entry.value for entry in evaluation.entries},
    }
    return reports.by_rest(api, OPERATION, evaluation.asset, body, "evaluation")


def _newest(
    api: dagster_api.DagsterApi, evaluation: observations.Evaluation, limit: int
) -> dict[str, tuple[bool, str]]:
    variables = {"key": {"path": list(evaluation.asset)}, "name": evaluation.check, "limit": limit}
    return parse_evaluations(dagster_api.query(api, EVALUATIONS_QUERY, variables))


def _read_back(api: dagster_api.DagsterApi, evaluation: observations.Evaluation, doubt: str | None) -> None:
    deadline = time.monotonic() + attach.READ_BACK_TIMEOUT
    while True:
        try:
            if evaluation.id in _newest(api, evaluation, attach.NEWEST):
                return
            unread = "it is not among the newest evaluations"
        except errors.DaglabError as error:
            unread = error.message.rstrip(".")
        if time.monotonic() >= deadline:
            why = "; ".join(part for part in (doubt, unread) if part)
            raise errors.OutcomeUnknown(
                f"The evaluation of {evaluation.check} can't be read back: {why}.", attach.BEFORE_AGAIN
            )
        time.sleep(0.5)

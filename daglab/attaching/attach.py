"""Attaching an export to an asset: as an observation with metadata, checked before and read back after.

Only code can write a URL that can be clicked, so `instance` goes first: a child of the project's Python reports to
the instance of DAGSTER_HOME, after proof that the server shows the same one. `rest` stores text, and `graphql` a
description alone. `compute` attaches nothing: the asset's own code does, when it next runs. After a write whose outcome
is unknown no second way is tried: what can be read back is attached, the rest is unknown.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from daglab import errors, parse, web
from daglab.attaching import observations, reports
from daglab.deployment import dagster_api, entities, partitions
from daglab.settings import config

# What each way is for the sandbox.
OPERATIONS = {
    "instance": "report_asset_observation",
    "rest": "report_asset_observation",
    "graphql": "reportRunlessAssetEvents",
}
READ_BACK_TIMEOUT = 15.0
# What was under way when a process was killed may still be written: its keeper gives its children 7 seconds.
SETTLED_AFTER = 8.0
BROKEN_OFF_FOR = 150.0  # so long after it was begun, nothing of it can still be under way
NEWEST, MANY = 20, 1000  # so many observations are looked at for a fresh one, and for one that may be older at first
BEFORE_AGAIN = "Look at the asset's page before you attach again."

OBSERVATIONS_QUERY = """
query Observations($key: AssetKeyInput!, $limit: Int) {
  assetNodeOrError(assetKey: $key) {
    __typename
    ... on AssetNode {
      assetObservations(limit: $limit) {
        partition description
        metadataEntries {
          __typename label
          ... on UrlMetadataEntry { url }
          ... on PathMetadataEntry { path }
          ... on TextMetadataEntry { text }
        }
      }
    }
    ... on AssetNotFoundError { message }
  }
}
"""

REPORT_MUTATION = """
mutation Report($params: ReportRunlessAssetEventsParams!) {
  reportRunlessAssetEvents(eventParams: $params) {
    __typename
    ... on ReportRunlessAssetEventsSuccess { assetKey { path } }
    ... on UnauthorizedError { message }
    ... on PythonError { message }
  }
}
"""


def permit(api: dagster_api.DagsterApi, via: str | None) -> None:
    """Raise `NotAuthorised` when the sandbox allows none of the ways that may be taken. Nothing is sent."""
    if via != observations.COMPUTE and not _allowed(api, via):
        dagster_api.permit(api, OPERATIONS[via or observations.WAYS[0]])


def _allowed(api: dagster_api.DagsterApi, via: str | None) -> list[str]:
    """The ways that may be tried, in their order."""
    allowed = api.session.allowed
    return [way for way in observations.WAYS if via in (None, way) and (allowed is None or OPERATIONS[way] in allowed)]


def targets(api: dagster_api.DagsterApi, settings: config.Config, aim: parse.AttachTarget) -> list[observations.Target]:
    """The assets and partitions that an export is to be attached to; none for a job without assets.

    Dagster stores observations of misspelt keys and partitions, so both are checked here. Raises `InvalidInput`.
    """
    dagster = settings.dagster
    where = {"repository": dagster.repository_name, "location": dagster.repository_location_name}
    if aim.job is None:
        found = entities.require_assets(api, [aim.asset])
        if aim.partition is not None:
            _check_partition(api, found[0], aim.partition)
        return [observations.Target(aim.asset, aim.partition)]
    job = entities.find_job(api, aim.job, **where)
    assets = entities.assets(api)
    here = [asset for asset in assets if (asset.location, asset.repository) == (job.location, job.repository)]
    return [observations.Target(asset.key) for asset in here if job.name in asset.jobs]


def _check_partition(api: dagster_api.DagsterApi, asset: entities.Asset, partition: str) -> None:
    there = partitions.keys(api, asset)
    if partition not in there:
        near = parse.did_you_mean(partition, there) if len(there) <= partitions.MANY else None
        hint = near or (f"It has {len(there)}, the last one is {there[-1]}." if there else "It has none: leave it out.")
        raise errors.InvalidInput(f"{asset.name} has no partition {partition}.", hint)


def page(api: dagster_api.DagsterApi, key: tuple[str, ...]) -> str:
    """Where people see it: the asset's page in Dagster."""
    return f"{api.url}/assets/{reports.path(key)}?view=events"


def attach(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    observation: observations.Observation,
    *,
    via: str | None,
    python: str,
) -> observations.Attached:
    """Report the observation and read it back; `python` is the one that has the deployment's Dagster.

    Without `via` the instance is taken where that is proven right, else REST, and GraphQL where that can't be reached.
    Raises `NothingWritten` when the way asked for can't be used, `OutcomeUnknown` when the observation may be there
    and can't be read back, and what refuses it otherwise.
    """
    ways = _allowed(api, via)
    if not ways:
        permit(api, via)
    for way in ways:
        try:
            doubt = _report(api, settings, observation, way, python, asked_for=via is not None)
        except (reports.NothingWritten, reports.NoWay):
            if via or way == ways[-1]:
                raise
            continue
        return observations.Attached(way, *_read_back(api, observation, doubt))
    raise AssertionError("some way was taken, or the last one refused")


def _report(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    observation: observations.Observation,
    way: str,
    python: str,
    *,
    asked_for: bool,
) -> str | None:
    """Report by one of the ways: why it is not known whether it was written, None when it was."""
    if way == "graphql":
        return _by_graphql(api, observation)
    if way == "instance":
        event = {
            "asset_key": observation.asset,
            "description": observation.description,
            "partition": observation.partition,
            "entries": [vars(entry) for entry in observation.entries],
        }
        return reports.by_instance(api, settings, event, python, asked_for=asked_for)
    body: dict[str, Any] = {"description": observation.description, "metadata": observation.metadata}
    if observation.partition is not None:
        body["partition"] = observation.partition
    return reports.by_rest(api, OPERATIONS["rest"], observation.asset, body, "observation")


def find(
    api: dagster_api.DagsterApi, observation: observations.Observation, begun_at: datetime | None = None
) -> observations.Attached | None:
    """The observation of that id, where Dagster has it; `via` is as it looks. None for sure, or it raises.

    `begun_at` is when something began to write it and broke off: what may be under way yet is waited for. Raises
    `OutcomeUnknown` where nobody can tell, because Dagster does not answer.
    """
    deadline = settled_by(begun_at)
    limit: int | None = MANY
    while True:
        try:
            found = _newest(api, observation, limit)
        except dagster_api.Refused:  # the asset is gone, and with it what was attached
            return None
        except errors.DaglabError as error:
            raise errors.OutcomeUnknown(
                f"It can't be found out whether {observation.id} is attached: {error.message}", BEFORE_AGAIN
            ) from error
        for entries in found:
            if _is(entries, observation):
                return observations.Attached(_way(entries), *_link(entries, observation.link))
        if limit is not None and len(found) >= limit:
            limit = None
        elif time.monotonic() >= deadline:
            return None
        else:
            time.sleep(0.5)


def settled_by(begun_at: datetime | None) -> float:
    """Until when (as time.monotonic) something may still be written that was begun then, and was broken off."""
    left = 0.0 if begun_at is None else BROKEN_OFF_FOR - (datetime.now(timezone.utc) - begun_at).total_seconds()
    return time.monotonic() + min(max(left, 0.0), SETTLED_AFTER)


def _way(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The way that an observation must have come: only one writes paths, and one writes no entries at all."""
    if any(entry.get("__typename") == "PathMetadataEntry" for entry in entries.values()):
        return "instance"
    return "rest" if observations.ID_LABEL in entries else "graphql"


def _newest(
    api: dagster_api.DagsterApi, observation: observations.Observation, limit: int | None
) -> list[dict[str, dict[str, Any]]]:
    variables = {"key": {"path": list(observation.asset)}, "limit": limit}
    return parse_observations(dagster_api.query(api, OBSERVATIONS_QUERY, variables))


@dagster_api.reading("assetNodeOrError")
def parse_observations(data: Mapping[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """The latest observations in the answer to `OBSERVATIONS_QUERY`, newest first: entries by label.

    Below the empty label are the observation's own description and partition.
    """
    node = dagster_api.expect(data, "assetNodeOrError", "AssetNode")
    return [
        {
            **{dagster_api.text(entry["label"]): entry for entry in observation["metadataEntries"]},
            "": {
                "description": dagster_api.text_or_none(observation.get("description")) or "",
                "partition": dagster_api.text_or_none(observation.get("partition")),
            },
        }
        for observation in node["assetObservations"]
    ]


def _by_graphql(api: dagster_api.DagsterApi, observation: observations.Observation) -> str | None:
    """Dagster's mutation, which takes no metadata: all of it goes into the description."""
    params: dict[str, Any] = {
        "eventType": "ASSET_OBSERVATION",
        "assetKey": {"path": list(observation.asset)},
        "description": observation.full_description,
    }
    if observation.partition is not None:
        params["partitionKeys"] = [observation.partition]
    try:
        data = dagster_api.mutate(api, OPERATIONS["graphql"], REPORT_MUTATION, {"params": params})
        dagster_api.expect(data, "reportRunlessAssetEvents", "ReportRunlessAssetEventsSuccess")
    except (web.AnswerLost, dagster_api.ServerFailed) as lost:
        return lost.message.rstrip(".")
    return None


def _read_back(
    api: dagster_api.DagsterApi, observation: observations.Observation, doubt: str | None
) -> tuple[str | None, str | None]:
    """The link of the observation as Dagster shows it; only what can be read back is attached."""
    deadline = time.monotonic() + READ_BACK_TIMEOUT
    while True:
        try:
            found = _newest(api, observation, NEWEST)
            unread = "it is not among the newest observations"
        except errors.DaglabError as error:
            found, unread = [], error.message.rstrip(".")
        for entries in found:
            if _is(entries, observation):
                return _link(entries, observation.link)
        if time.monotonic() >= deadline:
            why = "; ".join(part for part in (doubt, unread) if part)
            raise errors.OutcomeUnknown(f"The observation {observation.id} can't be read back: {why}.", BEFORE_AGAIN)
        time.sleep(0.5)


def _is(entries: Mapping[str, Mapping[str, Any]], observation: observations.Observation) -> bool:
    """Whether this is the one that was reported, by its id in an entry, or on a line of the description.

    One that was attached again with a new link has more after a plus.
    """
    own, said = entries[""], f"{observations.ID_LABEL}: "
    told = [line.removeprefix(said) for line in own["description"].splitlines() if line.startswith(said)]
    known = [*told, str(entries.get(observations.ID_LABEL, {}).get("text"))]
    return observation.id in [each.partition("+")[0] for each in known] + known and (
        own["partition"] == observation.partition
    )


def _link(entries: Mapping[str, Mapping[str, Any]], link: str | None) -> tuple[str | None, str | None]:
    for entry in entries.values():
        if link and link in (entry.get("url"), entry.get("text")):
            return link, str(entry.get("__typename", ""))
    if link and link in entries[""]["description"]:
        return link, "description"
    return None, None

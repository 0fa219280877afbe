"""Attaching an export to an asset: as an observation with metadata, checked before and read back after.

Only code can write a URL that can be clicked, so `instance` goes first: a child of the project's Python reports to
the instance of DAGSTER_HOME, after proof that the server shows the same one. `rest` stores text, and `graphql` a
description alone. `compute` attaches nothing: the asset's own code does, when it next runs. After a write whose outcome
is unknown no second way is tried: what can be read back is attached, the rest is unknown.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from daglab import config, dagster_api, entities, errors, observations, parse, partitions, processes, web
from daglab.dev import record

# What each way is for the sandbox.
OPERATIONS = {
    "instance": "report_asset_observation",
    "rest": "report_asset_observation",
    "graphql": "reportRunlessAssetEvents",
}
CHILD = Path(__file__).parent / "children" / "observation.py"
CHILD_TIMEOUT = 120.0  # seconds; importing dagster takes 2 to 5 on an idle machine
READ_BACK_TIMEOUT = 15.0
BEFORE_AGAIN = "Look at the asset's page before you attach again."

NEWEST_RUN_QUERY = """
query NewestRun {
  runsOrError(limit: 1) {
    __typename
    ... on Runs { results { runId } }
    ... on InvalidPipelineRunsFilterError { message }
    ... on PythonError { message }
  }
}
"""

OBSERVATIONS_QUERY = """
query Observations($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    __typename
    ... on AssetNode {
      assetObservations(limit: 20) {
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


class NothingWritten(errors.NotSetUp):
    """This way can't be used here, and nothing was written."""


class NoWay(errors.Unreachable):
    """What answers is not the endpoint that was asked for, and nothing was written."""


def permit(api: dagster_api.DagsterApi, via: str | None) -> None:
    """Raise `NotAuthorised` when the sandbox allows none of the ways that may be taken. Nothing is sent."""
    if via != observations.COMPUTE and not _allowed(api, via):
        dagster_api.permit(api, OPERATIONS[via or observations.WAYS[0]])


def _allowed(api: dagster_api.DagsterApi, via: str | None) -> list[str]:
    """The ways that may be tried, in their order."""
    allowed = api.session.allowed
    return [way for way in observations.WAYS if via in (None, way) and (allowed is None or OPERATIONS[way] in allowed)]


def targets(api: dagster_api.DagsterApi, settings: config.Config, target: parse.AttachTarget) -> list[tuple[str, ...]]:
    """The keys of the assets that an export is to be attached to; none for a job without assets.

    Dagster stores observations of misspelt keys and partitions, so both are checked here. Raises `InvalidInput`.
    """
    dagster = settings.dagster
    where = {"repository": dagster.repository_name, "location": dagster.repository_location_name}
    if target.job is None:
        found = entities.require_assets(api, [target.asset])
        if target.partition is not None:
            _check_partition(api, found[0], target.partition)
        return [target.asset]
    job = entities.find_job(api, target.job, **where)
    assets = entities.assets(api)
    here = [asset for asset in assets if (asset.location, asset.repository) == (job.location, job.repository)]
    return [asset.key for asset in here if job.name in asset.jobs]


def _check_partition(api: dagster_api.DagsterApi, asset: entities.Asset, partition: str) -> None:
    there = partitions.keys(api, asset)
    if partition not in there:
        near = parse.did_you_mean(partition, there) if len(there) <= partitions.MANY else None
        hint = near or (f"It has {len(there)}, the last one is {there[-1]}." if there else "It has none: leave it out.")
        raise errors.InvalidInput(f"{asset.name} has no partition {partition}.", hint)


def page(api: dagster_api.DagsterApi, key: tuple[str, ...]) -> str:
    """Where people see it: the asset's page in Dagster."""
    return f"{api.url}/assets/{_path(key)}?view=events"


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
        except (NothingWritten, NoWay):
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
    if way == "instance":
        return _by_instance(api, settings, observation, python, asked_for=asked_for)
    return _by_rest(api, observation) if way == "rest" else _by_graphql(api, observation)


@dagster_api.reading("runsOrError")
def parse_newest_run(data: Mapping[str, Any]) -> str | None:
    """The id of the newest run in the answer to `NEWEST_RUN_QUERY`; None where there was none yet."""
    results = dagster_api.expect(data, "runsOrError", "Runs")["results"]
    return str(results[0]["runId"]) if results else None


@dagster_api.reading("assetNodeOrError")
def parse_observations(data: Mapping[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """The latest observations in the answer to `OBSERVATIONS_QUERY`, newest first: entries by label.

    Below the empty label are the observation's own description and partition.
    """
    node = dagster_api.expect(data, "assetNodeOrError", "AssetNode")
    return [
        {
            **{entry["label"]: entry for entry in observation["metadataEntries"]},
            "": {"description": observation.get("description") or "", "partition": observation.get("partition")},
        }
        for observation in node["assetObservations"]
    ]


def _by_instance(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    observation: observations.Observation,
    python: str,
    *,
    asked_for: bool,
) -> str | None:
    """Report from the project's Python, after proof that its instance is the one that the server shows.

    Gives back why it is not known whether it was written, None when it was.
    """
    if not asked_for and not parse.is_loopback(api.url):
        raise NothingWritten(f"{api.url} is not on this machine.", "Name the way with --via.")
    home = os.environ.get("DAGSTER_HOME") or home_of_dev(settings, api.url)
    if not home:
        raise NothingWritten("DAGSTER_HOME is not set.", "Set it to the folder that the deployment runs with.")
    asked_at = int(time.time())
    # A run's id is unique, so two instances that have the same newest run are one.
    newest = parse_newest_run(dagster_api.query(api, NEWEST_RUN_QUERY))
    if newest is None:
        raise NothingWritten(
            "The deployment has no run yet, so nothing proves that DAGSTER_HOME is its own.",
            "Materialize something first, or use --via rest.",
        )
    request = {
        "asset_key": observation.asset,
        "description": observation.description,
        "partition": observation.partition,
        "newest_run": newest,
        "asked_at": asked_at,
        "entries": [vars(entry) for entry in observation.entries],
    }
    environ = processes.without_secrets(os.environ, settings.token_variables)
    environ.update(DAGSTER_HOME=home, DAGLAB_OBSERVATION=json.dumps(request))
    return _judge(processes.run([python, CHILD], timeout=CHILD_TIMEOUT, env=environ))


def home_of_dev(settings: config.Config, url: str) -> str | None:
    """The folder of the Dagster that `daglab dev` runs for this project, if that is the deployment."""
    found = record.read(settings.root).get("dagster") if record.is_running(settings.root) else None
    return str(found["home"]) if isinstance(found, dict) and found.get("url") == url and found.get("home") else None


def _judge(finished: processes.Finished) -> str | None:
    """What the child did; without a word about writing it wrote nothing."""
    said: dict[str, Any] = {}
    for line in finished.stdout.splitlines():
        with contextlib.suppress(ValueError):
            word = json.loads(line)
            said.update(word if isinstance(word, dict) else {})
    if said.get("written"):
        return None
    last = (finished.stderr.strip().splitlines() or [f"it ended with {finished.returncode} and no word"])[-1]
    reason = f"it was not done after {CHILD_TIMEOUT:g} s" if finished.timed_out else last.strip()
    if said.get("writing"):
        return f"the report to the Dagster instance broke off ({reason})"
    raise NothingWritten(
        f"The Dagster instance can't be used: {str(said.get('refused') or reason).rstrip('.')}.",
        "Set DAGSTER_HOME and dagster.python to the deployment's own, or use --via rest.",
    )


def _by_rest(api: dagster_api.DagsterApi, observation: observations.Observation) -> str | None:
    """Dagster's REST endpoint, which takes JSON's own types alone, and just this content type.

    Gives back why it is not known whether it was written, None when it was.
    """
    metadata = {entry.label: entry.value for entry in observation.entries}
    body: dict[str, Any] = {"description": observation.description, "metadata": metadata}
    if observation.partition is not None:
        body["partition"] = observation.partition
    if {".", ".."} & set(observation.asset):  # a path with these leads elsewhere, whatever is done to it
        raise errors.InvalidInput("The asset's key has a part that can't stand in an address.", "Use --via graphql.")
    url = f"{api.url}/report_asset_observation/{_path(observation.asset)}"
    try:
        response = web.send(api.session, "POST", url, operation="report_asset_observation", json=body)
    except web.AnswerLost as lost:
        return lost.message.rstrip(".")
    except errors.NotAuthorised as refused:
        raise errors.NotAuthorised(
            refused.message, f"Does the webserver run with --read-only? Otherwise: {refused.hint}"
        ) from None
    answer = _json(response)
    if response.status_code == 200:
        return None if isinstance(answer, dict) else f"{parse.display_url(url)} answered, but not as Dagster does"
    if response.status_code >= 500:
        return f"{parse.display_url(url)} answered {response.status_code}"
    raise _refused(url, response.status_code, answer)


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


def _path(key: tuple[str, ...]) -> str:
    return "/".join(quote(part, safe="") for part in key)


def _refused(url: str, status: int, answer: Any) -> errors.DaglabError:
    """An answer that says that nothing was written: Dagster's own words, or somebody else's status."""
    said = answer.get("error") if isinstance(answer, dict) else None
    if said:
        hint = "Dagster's own log may say more; nothing was attached."
        return errors.InvalidInput(f"Dagster refused the observation: {dagster_api.shorten(str(said))}", hint)
    return NoWay(
        f"{parse.display_url(url)} answered {status}, so nothing was attached.",
        "Is this Dagster's own webserver, and does the proxy before it let /report_asset_observation through? "
        "--via graphql goes another way.",
    )


def _json(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _read_back(
    api: dagster_api.DagsterApi, observation: observations.Observation, doubt: str | None
) -> tuple[str | None, str | None]:
    """The link of the observation as Dagster shows it; only what can be read back is attached."""
    deadline = time.monotonic() + READ_BACK_TIMEOUT
    key = {"path": list(observation.asset)}
    while True:
        try:
            found = parse_observations(dagster_api.query(api, OBSERVATIONS_QUERY, {"key": key}))
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
    """Whether this is the one that was reported: its id stands in an entry, or on a line of the description."""
    own = entries[""]
    known = entries.get(observations.ID_LABEL, {}).get("text") == observation.id
    told = f"{observations.ID_LABEL}: {observation.id}" in own["description"].splitlines()
    return (known or told) and own["partition"] == observation.partition


def _link(entries: Mapping[str, Mapping[str, Any]], link: str | None) -> tuple[str | None, str | None]:
    for entry in entries.values():
        if link and link in (entry.get("url"), entry.get("text")):
            return link, str(entry["__typename"])
    if link and link in entries[""]["description"]:
        return link, "description"
    return None, None

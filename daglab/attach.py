"""Attaching an export to an asset: as an observation with metadata, checked before and read back after.

Only code can write a URL that can be clicked, so `instance` goes first: a child of the project's Python reports to
the instance of DAGSTER_HOME, after proof that the server shows the same one. `rest` stores text. After a write
whose outcome is unknown no second way is tried.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from daglab import config, dagster_api, entities, errors, parse, processes, web

WAYS = ("instance", "rest")
ID_LABEL = "daglab/export_id"
CHILD = Path(__file__).parent / "children" / "observation.py"
CHILD_TIMEOUT = 120.0  # seconds; importing dagster takes 2 to 5 on an idle machine
READ_BACK_TIMEOUT = 15.0

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


@dataclass(frozen=True)
class Entry:
    """One piece of metadata. `kind` is a maker of dagster.MetadataValue: url, path, text, int, timestamp."""

    label: str
    kind: str
    value: str | int | float


@dataclass(frozen=True)
class Observation:
    """What is attached: the asset, the id to find it again by, the link, and the entries."""

    asset: tuple[str, ...]
    id: str
    link: str | None
    entries: tuple[Entry, ...]
    partition: str | None = None

    @property
    def description(self) -> str:
        """A line for where only text is shown."""
        return f"Notebook export: {self.link}" if self.link else "Notebook export"


@dataclass(frozen=True)
class Attached:
    """What was read back: the way taken, the link, and Dagster's type of it (UrlMetadataEntry can be clicked)."""

    via: str
    link: str | None
    link_type: str | None


class NothingWritten(errors.NotSetUp):
    """This way can't be taken here, and nothing was written."""


def check(api: dagster_api.DagsterApi, settings: config.Config, key: tuple[str, ...]) -> None:
    """Make sure that the asset exists: Dagster stores observations of misspelt keys, too. Raises `InvalidInput`."""
    place = settings.dagster
    entities.find_assets(api, [key], repository=place.repository_name, location=place.repository_location_name)


def attach(
    api: dagster_api.DagsterApi, settings: config.Config, observation: Observation, *, via: str | None
) -> Attached:
    """Report the observation and read it back.

    Without `via` the instance is taken where that is proven right, else REST. Raises `NothingWritten`
    when the way asked for can't be taken, and `OutcomeUnknown` when it may or may not be there.
    """
    way = via or "instance"
    if way == "instance":
        try:
            _by_instance(api, settings, observation, chosen=via is not None)
        except NothingWritten:
            if via:
                raise
            way = "rest"
    if way == "rest":
        _by_rest(api, observation)
    return Attached(way, *_read_back(api, observation))


def parse_observations(data: Mapping[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """The latest observations in the answer to `OBSERVATIONS_QUERY`, newest first: entries by label."""
    node = dagster_api.expect(data, "assetNodeOrError", "AssetNode")
    return [
        {entry["label"]: entry for entry in observation["metadataEntries"]} for observation in node["assetObservations"]
    ]


def _by_instance(
    api: dagster_api.DagsterApi, settings: config.Config, observation: Observation, *, chosen: bool
) -> None:
    """Report from the project's Python, after proof that its instance is the one that the server shows."""
    if not chosen and not parse.is_loopback(api.url):
        raise NothingWritten(f"{api.url} is not on this machine.", "Name the way with --via.")
    if not os.environ.get("DAGSTER_HOME"):
        raise NothingWritten("DAGSTER_HOME is not set.", "Set it to the folder that the deployment runs with.")
    request = {
        "asset_key": observation.asset,
        "description": observation.description,
        "partition": observation.partition,
        "newest_run": _newest_run(api),
        "entries": [vars(entry) for entry in observation.entries],
    }
    environ = processes.without_secrets(os.environ, settings.token_variables)
    environ["DAGLAB_OBSERVATION"] = json.dumps(request)
    finished = processes.run([settings.python, CHILD], timeout=CHILD_TIMEOUT, env=environ)
    _judge(finished)


def _newest_run(api: dagster_api.DagsterApi) -> str:
    """The proof: a run's id is unique, so two instances with the same newest run are one."""
    results = dagster_api.expect(dagster_api.query(api, NEWEST_RUN_QUERY), "runsOrError", "Runs")["results"]
    if not results:
        raise NothingWritten(
            "The deployment has no run yet, so nothing proves that DAGSTER_HOME is its own.",
            "Materialize something first, or use --via rest.",
        )
    return str(results[0]["runId"])


def _judge(finished: processes.Finished) -> None:
    """What the child did; without a word about writing it wrote nothing."""
    said: dict[str, Any] = {}
    for line in finished.stdout.splitlines():
        if line.startswith("{"):
            said.update(json.loads(line))
    if said.get("written"):
        return
    if said.get("writing"):
        raise errors.OutcomeUnknown(
            "The report to the Dagster instance broke off.", "Look at the asset's page before you attach again."
        )
    tail = finished.stderr.strip().splitlines()[-1:] or ["no reason given"]
    raise NothingWritten(
        f"The Dagster instance can't be used: {said.get('refused') or tail[0]}.",
        "Set DAGSTER_HOME and dagster.python to the deployment's own, or use --via rest.",
    )


def _by_rest(api: dagster_api.DagsterApi, observation: Observation) -> None:
    """Dagster's REST endpoint, which takes JSON's own types alone, and just this content type."""
    path = "/".join(quote(part, safe="") for part in observation.asset)
    body: dict[str, Any] = {
        "description": observation.description,
        "metadata": {entry.label: entry.value for entry in observation.entries},
    }
    if observation.partition:
        body["partition"] = observation.partition
    url = f"{api.url}/report_asset_observation/{path}"
    try:
        response = web.send(api.session, "POST", url, mutation=True, json=body)
    except web.AnswerLost:
        return  # reading it back tells
    if response.status_code != 200:
        raise errors.Unreachable(
            f"{parse.display_url(url)} answered {response.status_code}, so nothing is known to be attached.",
            "Is this Dagster's own webserver? See its log.",
        )


def _read_back(api: dagster_api.DagsterApi, observation: Observation) -> tuple[str | None, str | None]:
    """The link of the observation as Dagster shows it; only what can be read back is attached."""
    deadline = time.monotonic() + READ_BACK_TIMEOUT
    key = {"path": list(observation.asset)}
    while True:
        for entries in parse_observations(dagster_api.query(api, OBSERVATIONS_QUERY, {"key": key})):
            if entries.get(ID_LABEL, {}).get("text") == observation.id:
                return _link(entries, observation.link)
        if time.monotonic() >= deadline:
            raise errors.OutcomeUnknown(
                f"The observation {observation.id} can't be read back from {api.url}.",
                "Look at the asset's page before you attach again.",
            )
        time.sleep(0.5)


def _link(entries: Mapping[str, Mapping[str, Any]], link: str | None) -> tuple[str | None, str | None]:
    for entry in entries.values():
        if link and link in (entry.get("url"), entry.get("text")):
            return link, str(entry["__typename"])
    return None, None

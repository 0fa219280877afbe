"""Attaching an export to an asset: as an observation with metadata, checked before and read back after.

Only code can write a URL that can be clicked, so `instance` goes first: a child of the project's Python reports to
the instance of DAGSTER_HOME, after proof that the server shows the same one. `rest` stores text. After a write
whose outcome is unknown no second way is tried: what can be read back is attached, the rest is unknown.
"""

from __future__ import annotations

import contextlib
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
    value: str


@dataclass(frozen=True)
class Observation:
    """What is attached: the asset, the id to find it again by, the link, and the entries."""

    asset: tuple[str, ...]
    id: str
    link: str | None
    entries: tuple[Entry, ...]

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
    """The instance can't be used here, and nothing was written to it."""


def check(api: dagster_api.DagsterApi, key: tuple[str, ...]) -> None:
    """Make sure that the asset exists: Dagster stores observations of misspelt keys, too. Raises `InvalidInput`."""
    entities.require_assets(api, [key])


def page(api: dagster_api.DagsterApi, key: tuple[str, ...]) -> str:
    """Where people see it: the asset's page in Dagster."""
    return f"{api.url}/assets/{_path(key)}?view=events"


def attach(
    api: dagster_api.DagsterApi, settings: config.Config, observation: Observation, *, via: str | None, python: str
) -> Attached:
    """Report the observation and read it back; `python` is the one that has the deployment's Dagster.

    Without `via` the instance is taken where that is proven right, else REST. Raises `NothingWritten`
    when the instance was asked for and can't be used, `OutcomeUnknown` when the observation may be there and
    can't be read back, and what refuses it otherwise.
    """
    way = via or "instance"
    doubt = None
    if way == "instance":
        try:
            doubt = _by_instance(api, settings, observation, python, asked_for=via is not None)
        except NothingWritten:
            if via:
                raise
            way = "rest"
    if way == "rest":
        doubt = _by_rest(api, observation)
    return Attached(way, *_read_back(api, observation, doubt))


@dagster_api.reading("runsOrError")
def parse_newest_run(data: Mapping[str, Any]) -> str | None:
    """The id of the newest run in the answer to `NEWEST_RUN_QUERY`; None where there was none yet."""
    results = dagster_api.expect(data, "runsOrError", "Runs")["results"]
    return str(results[0]["runId"]) if results else None


@dagster_api.reading("assetNodeOrError")
def parse_observations(data: Mapping[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """The latest observations in the answer to `OBSERVATIONS_QUERY`, newest first: entries by label."""
    node = dagster_api.expect(data, "assetNodeOrError", "AssetNode")
    return [
        {entry["label"]: entry for entry in observation["metadataEntries"]} for observation in node["assetObservations"]
    ]


def _by_instance(
    api: dagster_api.DagsterApi, settings: config.Config, observation: Observation, python: str, *, asked_for: bool
) -> str | None:
    """Report from the project's Python, after proof that its instance is the one that the server shows.

    Gives back why it is not known whether it was written, None when it was.
    """
    if not asked_for and not parse.is_loopback(api.url):
        raise NothingWritten(f"{api.url} is not on this machine.", "Name the way with --via.")
    if not os.environ.get("DAGSTER_HOME"):
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
        "newest_run": newest,
        "asked_at": asked_at,
        "entries": [vars(entry) for entry in observation.entries],
    }
    environ = processes.without_secrets(os.environ, settings.token_variables)
    environ["DAGLAB_OBSERVATION"] = json.dumps(request)
    return _judge(processes.run([python, CHILD], timeout=CHILD_TIMEOUT, env=environ))


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


def _by_rest(api: dagster_api.DagsterApi, observation: Observation) -> str | None:
    """Dagster's REST endpoint, which takes JSON's own types alone, and just this content type.

    Gives back why it is not known whether it was written, None when it was.
    """
    metadata = {entry.label: entry.value for entry in observation.entries}
    body = {"description": observation.description, "metadata": metadata}
    url = f"{api.url}/report_asset_observation/{_path(observation.asset)}"
    try:
        response = web.send(api.session, "POST", url, mutation=True, json=body)
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


def _path(key: tuple[str, ...]) -> str:
    return "/".join(quote(part, safe="") for part in key)


def _refused(url: str, status: int, answer: Any) -> errors.DaglabError:
    """An answer that says that nothing was written: Dagster's own words, or somebody else's status."""
    said = answer.get("error") if isinstance(answer, dict) else None
    if said:
        hint = "Dagster's own log may say more; nothing was attached."
        return errors.InvalidInput(f"Dagster refused the observation: {dagster_api.shorten(str(said))}", hint)
    return errors.Unreachable(
        f"{parse.display_url(url)} answered {status}, so nothing was attached.",
        "Is this Dagster's own webserver, and does the proxy before it let /report_asset_observation through?",
    )


def _json(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _read_back(
    api: dagster_api.DagsterApi, observation: Observation, doubt: str | None
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
            if entries.get(ID_LABEL, {}).get("text") == observation.id:
                return _link(entries, observation.link)
        if time.monotonic() >= deadline:
            why = "; ".join(part for part in (doubt, unread) if part)
            raise errors.OutcomeUnknown(f"The observation {observation.id} can't be read back: {why}.", BEFORE_AGAIN)
        time.sleep(0.5)


def _link(entries: Mapping[str, Mapping[str, Any]], link: str | None) -> tuple[str | None, str | None]:
    for entry in entries.values():
        if link and link in (entry.get("url"), entry.get("text")):
            return link, str(entry["__typename"])
    return None, None

"""How a deployment stands: its version, its code locations, its daemons, and the runs under way. Two round trips."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Mapping
from typing import Any

from daglab.deployment import dagster_api, run_records, runs
from daglab.settings import config, config_keys

STANDING_QUERY = """
query Standing {
  version
  workspaceOrError {
    __typename
    ... on Workspace {
      locationEntries { name locationOrLoadError { __typename ... on PythonError { message causes { message } } } }
    }
    ... on PythonError { message }
  }
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
}
"""
UNDER_WAY = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
MOST_RUNS = 50


def connect(settings: config.Config, timeout: float) -> dagster_api.DagsterApi:
    """The deployment, asked once and for no longer than `timeout` seconds in all. Raises `NotSetUp`."""
    graphql = config_keys.Graphql(timeout=timeout, max_retries=0)
    hasty = dataclasses.replace(settings, dagster=dataclasses.replace(settings.dagster, graphql=graphql))
    return runs.until(dagster_api.connect(hasty), time.monotonic() + timeout)


def standing(api: dagster_api.DagsterApi) -> dict[str, Any]:
    """How it stands, in JSON: `version, locations, daemons, runs, more_runs`. Raises `DaglabError`.

    `runs` are the newest 50 under way, `more_runs` says whether there are others.
    """
    found = parse_standing(dagster_api.query(api, STANDING_QUERY))
    under_way = list(itertools.islice(run_records.search(api, statuses=UNDER_WAY, limit=MOST_RUNS + 1), MOST_RUNS + 1))
    shown = [run_records.document(api, record) for record in under_way[:MOST_RUNS]]
    return {**found, "runs": shown, "more_runs": len(under_way) > MOST_RUNS}


@dagster_api.reading("workspaceOrError")
def parse_standing(data: Mapping[str, Any]) -> dict[str, Any]:
    """The version, the locations and the daemons in the answer to `STANDING_QUERY`."""
    entries = dagster_api.expect(data, "workspaceOrError", "Workspace")["locationEntries"]
    daemons = data["instance"]["daemonHealth"]["allDaemonStatuses"]
    return {
        "version": str(data["version"]),
        "locations": [_location(entry) for entry in entries],
        "daemons": [
            {"name": str(each["daemonType"]), "required": each["required"] is True, "healthy": each["healthy"] is True}
            for each in daemons
        ],
    }


def _location(entry: Mapping[str, Any]) -> dict[str, Any]:
    found = entry["locationOrLoadError"] or {}
    loaded = found.get("__typename") == "RepositoryLocation"
    root = [found, *(found.get("causes") or [])][-1]
    error = None if loaded else dagster_api.shorten(str(root.get("message") or "it is still loading").strip())
    return {"name": str(entry["name"]), "loaded": loaded, "error": error}

"""Backfills: many partitions at once, as the deployment's own daemon works them off."""

from __future__ import annotations

import functools
import itertools
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from daglab import errors, web
from daglab.deployment import dagster_api, runs
from daglab.launching import launches

FINISHED = ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")
# Dagster's reasons not to make one; after any other error it may be there all the same.
NOT_LAUNCHED = (*launches.NOT_LAUNCHED, "PartitionSetNotFoundError", "PartitionKeysNotFoundError")
BACKFILL_TAG = "dagster/backfill"
PAGE = 100

# No member's own fields are asked for that 1.5 has not.
LAUNCH_MUTATION = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on Error { message }
  }
}
"""
STATUS_QUERY = """
query BackfillStatus($id: String!) {
  version
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill {
      id status numPartitions
      error { message causes { message } }
      partitionStatusCounts { runStatus count }
      assetBackfillData {
        assetBackfillStatuses {
          __typename
          ... on AssetPartitionsStatusCounts {
            numPartitionsTargeted numPartitionsInProgress numPartitionsMaterialized numPartitionsFailed
          }
          ... on UnpartitionedAssetStatus { inProgress materialized failed }
        }
      }
    }
    ... on BackfillNotFoundError { message }
    ... on PythonError { message }
  }
}
"""
LIST_QUERY = """
query Backfills($cursor: String, $limit: Int) {
  partitionBackfillsOrError(cursor: $cursor, limit: $limit) {
    __typename
    ... on PartitionBackfills { results { id status tags { key value } } }
    ... on PythonError { message }
  }
}
"""
CANCEL_MUTATION = """
mutation CancelBackfill($id: String!) {
  cancelPartitionBackfill(backfillId: $id) {
    __typename
    ... on CancelBackfillSuccess { backfillId }
    ... on Error { message }
  }
}
"""
PARAMETERS_QUERY = """
query BackfillParameters { __type(name: "LaunchBackfillParams") { inputFields { name } } }
"""


@dataclass(frozen=True)
class Wanted:
    """What a backfill makes: `assets`, or the partition set of a job, for the partitions `keys`."""

    keys: tuple[str, ...]
    assets: tuple[tuple[str, ...], ...] = ()
    partition_set: str = ""
    repository: str = ""
    location: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Backfill:
    """A backfill as it stands; `counts` are the partitions of all its assets by status, `error` is the daemon's own."""

    id: str
    status: str
    partitions: int
    counts: Mapping[str, int]
    error: str | None
    url: str

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in FINISHED

    @property
    def is_good(self) -> bool:
        """Whether everything was made."""
        done = self.counts.get("SUCCESS", 0)
        return self.status in ("COMPLETED", "COMPLETED_SUCCESS") and done == sum(self.counts.values())


@dataclass(frozen=True)
class Listed:
    """A backfill as it is listed."""

    id: str
    status: str
    tags: Mapping[str, str]


def check(api: dagster_api.DagsterApi, wanted: Wanted) -> None:
    """Raise `NotSetUp` where no daemon would work the backfill off, or this version takes no run config for one."""
    if runs.is_daemon_healthy(api, "BACKFILL") is False:
        raise errors.NotSetUp(
            "The daemon that works off backfills does not run: nothing would be made.",
            "Start it beside the webserver with `dagster-daemon run`; `daglab dev` starts both. "
            "--single-run makes one ranged run instead.",
        )
    if wanted.body and "runConfigData" not in parse_parameters(dagster_api.query(api, PARAMETERS_QUERY)):
        raise errors.NotSetUp(
            "This version of Dagster takes no run config for a backfill.",
            "Use Dagster 1.10 or newer, launch the partitions one by one, or make one ranged run with --single-run.",
        )


def launch(api: dagster_api.DagsterApi, wanted: Wanted, *, launch_id: str | None = None) -> str:
    """Make one backfill, never two, and give back its id; a lost answer is settled by the tag `daglab/launch_id`.

    Raises `OutcomeUnknown` with the launch id when that finds nothing.
    """
    launch_id = launch_id or str(uuid.uuid4())
    tags = {**wanted.tags, launches.LAUNCH_TAG: launch_id}
    params: dict[str, Any] = {
        "partitionNames": list(wanted.keys),
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }
    if wanted.assets:
        params["assetSelection"] = [{"path": list(key)} for key in wanted.assets]
    else:
        place = {"repositoryName": wanted.repository, "repositoryLocationName": wanted.location}
        params["selector"] = {"partitionSetName": wanted.partition_set, "repositorySelector": place}
    if wanted.body:
        params["runConfigData"] = wanted.body
    try:
        data = dagster_api.mutate(api, "launchPartitionBackfill", LAUNCH_MUTATION, {"params": params})
        return parse_launch(data)
    except (web.AnswerLost, dagster_api.ServerFailed, dagster_api.Refused) as error:
        if isinstance(error, dagster_api.Refused) and error.kind in NOT_LAUNCHED:
            raise
        return launches.settle(api, launch_id, error, lambda: by_tag(api, launch_id), "backfill")


def parse_launch(data: Mapping[str, Any]) -> str:
    """The id in the answer to `LAUNCH_MUTATION`. Raises `AnswerLost` when it does not say what was done."""
    with launches.telling("launchPartitionBackfill"):
        found = dagster_api.expect(data, "launchPartitionBackfill", "LaunchBackfillSuccess")
        return dagster_api.text(found["backfillId"])


def by_tag(api: dagster_api.DagsterApi, launch_id: str, *, most: int | None = PAGE) -> str | None:
    """The id of the backfill that was made with this launch id, None where there is none (yet).

    It is looked for among the `most` newest ones, None for all: one that was made just now is there.
    """
    every = itertools.islice(search(api), most)
    return next((each.id for each in every if each.tags.get(launches.LAUNCH_TAG) == launch_id), None)


def search(api: dagster_api.DagsterApi) -> Iterator[Listed]:
    """The backfills, the newest first; Dagster can't be asked for those with a tag."""
    cursor = None
    while True:
        page = parse_page(dagster_api.query(api, LIST_QUERY, {"cursor": cursor, "limit": PAGE}))
        yield from page
        if len(page) < PAGE or page[-1].id == cursor:
            return
        cursor = page[-1].id


def look(api: dagster_api.DagsterApi, backfill_id: str) -> Backfill:
    """A backfill as it stands. Raises `OutcomeUnknown` when it is not there (any more)."""
    try:
        return parse_status(api, dagster_api.query(api, STATUS_QUERY, {"id": backfill_id}))
    except dagster_api.Refused as refused:
        if refused.kind != "BackfillNotFoundError":
            raise
        raise errors.OutcomeUnknown(
            f"Dagster does not know the backfill {backfill_id} any more.", "Look at the backfills in Dagster."
        ) from None


def follow(api: dagster_api.DagsterApi, backfill_id: str, *, timeout: float, interval: float) -> Iterator[Backfill]:
    """The backfill each time that something about it has changed, up to its end.

    Raises `TimedOut` when it is not over after `timeout` seconds; it goes on.
    """
    deadline = time.monotonic() + timeout
    ask = functools.partial(look, runs.until(api, deadline), backfill_id)
    last: Backfill | None = None
    while True:
        found = runs.patiently(ask, f"The backfill {backfill_id}", interval=interval, deadline=deadline)
        if found != last:
            yield found
        if found.is_over:
            return
        last = found
        left = deadline - time.monotonic()
        if left <= 0:
            raise errors.TimedOut(
                f"The backfill {backfill_id} is {found.status} after {timeout:g} s; it goes on.",
                f"Look at {found.url}; without a --launch-key the same command makes a second."
                + ("" if found.counts.keys() - {"NOT_STARTED"} else " Nothing of it has begun: does the daemon run?"),
            )
        time.sleep(min(interval, left))


def document(found: Backfill) -> dict[str, Any]:
    """A backfill in JSON."""
    return {
        "backfill_id": found.id,
        "status": found.status,
        "counts": dict(found.counts),
        "url": found.url,
        "error": found.error,
    }


def cancel(api: dagster_api.DagsterApi, backfill_id: str, *, timeout: float = 90.0) -> Backfill:
    """End a backfill with its runs, and wait until it is over. Raises `TimedOut` when it goes on."""
    data = dagster_api.mutate(api, "cancelPartitionBackfill", CANCEL_MUTATION, {"id": backfill_id})
    dagster_api.expect(data, "cancelPartitionBackfill", "CancelBackfillSuccess")
    *_, last = follow(api, backfill_id, timeout=timeout, interval=1.0)
    return last


@dagster_api.reading("partitionBackfillOrError")
def parse_status(api: dagster_api.DagsterApi, data: Mapping[str, Any]) -> Backfill:
    """The backfill in the answer to `STATUS_QUERY`."""
    found = dagster_api.expect(data, "partitionBackfillOrError", "PartitionBackfill")
    counts: dict[str, int] = {}
    for each in found.get("partitionStatusCounts") or []:
        counts[dagster_api.text(each["runStatus"])] = counts.get(each["runStatus"], 0) + int(each["count"])
    for asset in (found.get("assetBackfillData") or {}).get("assetBackfillStatuses") or []:
        for status, count in _of_asset(asset).items():
            counts[status] = counts.get(status, 0) + count
    error = found.get("error") or {}
    backfill_id = dagster_api.text(found["id"])
    return Backfill(
        backfill_id,
        dagster_api.text(found["status"]),
        int(found.get("numPartitions") or 0),
        {status: count for status, count in counts.items() if count},
        dagster_api.shorten(str(error["message"]).strip()) if error.get("message") else None,
        _url(api, str(data.get("version") or ""), backfill_id),
    )


@dagster_api.reading("partitionBackfillsOrError")
def parse_page(data: Mapping[str, Any]) -> list[Listed]:
    """The backfills in the answer to `LIST_QUERY`."""
    results = dagster_api.expect(data, "partitionBackfillsOrError", "PartitionBackfills")["results"]
    text = dagster_api.text
    return [
        Listed(
            text(each["id"]),
            text(each["status"]),
            {text(tag["key"]): text(tag["value"]) for tag in each.get("tags") or []},
        )
        for each in results
    ]


@dagster_api.reading("__type")
def parse_parameters(data: Mapping[str, Any]) -> set[str]:
    """The names in the answer to `PARAMETERS_QUERY`."""
    return {dagster_api.text(each["name"]) for each in data["__type"]["inputFields"]}


def _of_asset(status: Mapping[str, Any]) -> dict[str, int]:
    """How many partitions of an asset are how far; an asset without partitions counts as one."""
    if "numPartitionsTargeted" in status:
        done, failed, going = (
            int(status[f"numPartitions{what}"] or 0) for what in ("Materialized", "Failed", "InProgress")
        )
        total = int(status["numPartitionsTargeted"] or 0)
    else:
        done, failed, going = (int(bool(status.get(what))) for what in ("materialized", "failed", "inProgress"))
        total = 1
    return {"SUCCESS": done, "FAILURE": failed, "STARTED": going, "NOT_STARTED": max(total - done - failed - going, 0)}


def _url(api: dagster_api.DagsterApi, version: str, backfill_id: str) -> str:
    """Its page, which has moved: seen in 1.5 and in 1.8."""
    old = re.match(r"1\.[5-7]\.", version)
    return f"{api.url}/{'overview/backfills' if old else 'runs/b'}/{backfill_id}"

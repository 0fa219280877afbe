"""Runs as Dagster has them on record: listing them, one in full, and what changed from one to another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daglab import errors
from daglab.deployment import dagster_api, metadata, runs

_FIELDS = """
    runId status jobName startTime endTime updateTime
    assetSelection { path }
    assets { key { path } }
    repositoryOrigin { repositoryName repositoryLocationName }
    tags { key value }
"""
LIST_QUERY = f"""
query Runs($filter: RunsFilter, $cursor: String, $limit: Int) {{
  runsOrError(filter: $filter, cursor: $cursor, limit: $limit) {{
    __typename
    ... on Runs {{ results {{ {_FIELDS} }} }}
    ... on InvalidPipelineRunsFilterError {{ message }}
    ... on PythonError {{ message }}
  }}
}}
"""
DETAIL_QUERY = f"""
query Run($id: ID!) {{
  runOrError(runId: $id) {{
    __typename
    ... on Run {{
      {_FIELDS}
      runConfigYaml parentRunId rootRunId canTerminate
      stepStats {{ stepKey status startTime endTime }}
      assetMaterializations {{ assetKey {{ path }} partition {metadata.FIELDS} }}
    }}
    ... on RunNotFoundError {{ message }}
    ... on PythonError {{ message }}
  }}
}}
"""
PAGE = 100
SHORTEST_PREFIX = 6
SEARCHED = 500  # the newest runs, among which the beginning of an id is looked for
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Record:
    """A run as it is listed. `job` is None for assets launched by themselves; times are seconds since 1970."""

    id: str
    status: str
    job: str | None
    location: str | None
    assets: tuple[str, ...]
    tags: Mapping[str, str]
    started: float | None
    ended: float | None
    updated: float | None

    @property
    def partition(self) -> str | None:
        """The key of the partition that it is for."""
        return self.tags.get("dagster/partition")


@dataclass(frozen=True)
class Materialization:
    """What a run made: the asset as `a/b`, the partition, and the metadata by label."""

    asset: str
    partition: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Detail:
    """A run in full. `config` is YAML; `parent` is the run that it is a retry of."""

    record: Record
    run: runs.Run
    config: str
    parent: str | None
    materializations: tuple[Materialization, ...]


def search(
    api: dagster_api.DagsterApi,
    *,
    statuses: Sequence[str] = (),
    job: str | None = None,
    asset: str | None = None,
    tags: Mapping[str, str] | None = None,
    since: float | None = None,
    limit: int | None = None,
) -> Iterator[Record]:
    """The runs that are asked for, the newest first; `since` is when something last happened to one.

    Dagster can't be asked for the runs of an asset, so for these all are read, a page at a time.
    """
    asked: dict[str, Any] = {
        "statuses": list(statuses) or None,
        "pipelineName": job,
        "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()] or None,
        "updatedAfter": since,
    }
    chosen = {key: value for key, value in asked.items() if value is not None}
    cursor, found = None, 0
    while True:
        page = min(PAGE, limit - found) if limit and not asset else PAGE
        records = parse_list(dagster_api.query(api, LIST_QUERY, {"filter": chosen, "cursor": cursor, "limit": page}))
        for record in records:
            if asset is None or asset in record.assets:
                yield record
                found += 1
                if found == limit:
                    return
        if len(records) < page:
            return
        cursor = records[-1].id


@dagster_api.reading("runsOrError")
def parse_list(data: Mapping[str, Any]) -> list[Record]:
    """The runs in the answer to `LIST_QUERY`."""
    return [_record(result) for result in dagster_api.expect(data, "runsOrError", "Runs")["results"]]


def find(api: dagster_api.DagsterApi, text: str) -> str:
    """The id of a run: given in full, as the beginning of one of the newest runs' ids, or as the address of its page.

    Raises `InvalidInput` where no run, or more than one, is meant.
    """
    wanted = text.rstrip("/").rpartition("/runs/")[2].partition("?")[0]
    if _ID.fullmatch(wanted):
        return wanted
    if len(wanted) < SHORTEST_PREFIX or not re.fullmatch(r"[\w-]+", wanted):
        raise errors.InvalidInput(
            f"{text!r} is no run's id.",
            f"Give the id, at least its first {SHORTEST_PREFIX} letters: `daglab runs list`.",
        )
    matches = [record.id for record in search(api, limit=SEARCHED) if record.id.startswith(wanted)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise errors.InvalidInput(f"Several runs begin with {wanted}: {', '.join(matches)}.", "Give more of the id.")
    raise errors.InvalidInput(
        f"None of the newest {SEARCHED} runs begins with {wanted}.", "`daglab runs list` shows them; give the whole id."
    )


def detail(api: dagster_api.DagsterApi, run_id: str) -> Detail:
    """A run in full. Raises `InvalidInput` when it is not there."""
    try:
        return parse_detail(dagster_api.query(api, DETAIL_QUERY, {"id": run_id}))
    except dagster_api.Refused as refused:
        if refused.kind != "RunNotFoundError":
            raise
        raise runs.unknown([run_id]) from None


@dagster_api.reading("runOrError")
def parse_detail(data: Mapping[str, Any]) -> Detail:
    """The run in the answer to `DETAIL_QUERY`."""
    found = dagster_api.expect(data, "runOrError", "Run")
    made = tuple(
        Materialization(
            "/".join(event["assetKey"]["path"]),
            dagster_api.text_or_none(event.get("partition")),
            metadata.values(event.get("metadataEntries") or ()),
        )
        for event in found.get("assetMaterializations") or []
        if event.get("assetKey")
    )
    return Detail(
        _record(found),
        runs.parse_run(found),
        dagster_api.text(found.get("runConfigYaml") or ""),
        dagster_api.text_or_none(found.get("parentRunId")),
        made,
    )


def document(api: dagster_api.DagsterApi, record: Record) -> dict[str, Any]:
    """A listed run in JSON."""
    took = None if record.started is None or record.ended is None else record.ended - record.started
    return {
        "run_id": record.id,
        "status": record.status,
        "job": record.job,
        "location": record.location,
        "assets": list(record.assets),
        "partition": record.partition,
        "tags": dict(record.tags),
        "url": runs.url(api, record.id),
        "started_at": runs.timestamp(record.started),
        "ended_at": runs.timestamp(record.ended),
        "updated_at": runs.timestamp(record.updated),
        "duration_s": took,
    }


def compare(one: Detail, other: Detail) -> dict[str, Any]:
    """What is different, from `one` to `other`: status, config, each step's seconds and their ratio, metadata."""
    return {
        "status": [one.record.status, other.record.status],
        "duration_s": [one.run.seconds, other.run.seconds],
        "config": _config_changes(one.config, other.config),
        "steps": _steps(one.run, other.run),
        "metadata": _metadata_changes(_made(one), _made(other)),
    }


def _config_changes(one: str, other: str) -> list[str]:
    """The lines of a unified difference; none where both configs say the same."""
    import difflib

    return [
        line.rstrip("\n") for line in difflib.unified_diff(one.splitlines(), other.splitlines(), "a", "b", lineterm="")
    ]


def _steps(one: runs.Run, other: runs.Run) -> list[dict[str, Any]]:
    first, second = ({step.key: step for step in run.steps} for run in (one, other))
    rows = []
    for key in dict.fromkeys([*first, *second]):
        pair = [first.get(key), second.get(key)]
        took = [step.seconds if step else None for step in pair]
        ratio = took[1] / took[0] if took[0] and took[1] is not None else None
        status = [step.status if step else None for step in pair]
        rows.append({"key": key, "status": status, "duration_s": took, "ratio": ratio})
    return rows


def _made(detail: Detail) -> dict[tuple[str, str | None], Mapping[str, Any]]:
    return {(each.asset, each.partition): each.metadata for each in detail.materializations}


def _metadata_changes(
    one: Mapping[tuple[str, str | None], Mapping[str, Any]], other: Mapping[tuple[str, str | None], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Each value that is not the same; of an asset that only one of them made, all."""
    changes = []
    for key in dict.fromkeys([*one, *other]):
        first, second = one.get(key, {}), other.get(key, {})
        for label in dict.fromkeys([*first, *second]):
            if first.get(label) != second.get(label):
                values = [first.get(label), second.get(label)]
                changes.append({"asset": key[0], "partition": key[1], "label": label, "values": values})
    return changes


def _record(result: Mapping[str, Any]) -> Record:
    text, text_or_none, seconds = dagster_api.text, dagster_api.text_or_none, dagster_api.seconds_or_none
    job = text_or_none(result.get("jobName"))
    keys = [*(result.get("assetSelection") or []), *(asset["key"] for asset in result.get("assets") or [])]
    return Record(
        text(result["runId"]),
        text(result["status"]),
        None if job is None or job.startswith("__ASSET_JOB") else job,
        text_or_none((result.get("repositoryOrigin") or {}).get("repositoryLocationName")),
        tuple(dict.fromkeys("/".join(map(text, key["path"])) for key in keys)),
        {text(tag["key"]): text(tag["value"]) for tag in result.get("tags") or []},
        *(seconds(result.get(name)) for name in ("startTime", "endTime", "updateTime")),
    )

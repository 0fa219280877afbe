"""The inverted indexes of a collection's properties: how they are, rebuilt by a task of the server, and that task.

They are told since 1.38, and can be rebuilt since 1.39. The server takes one task of a property at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daglab.weaviate import rest

FILTERABLE, SEARCHABLE, RANGE = "filterable", "searchable", "rangeFilters"
FLAGS = {FILTERABLE: "indexFilterable", SEARCHABLE: "indexSearchable", RANGE: "indexRangeFilters"}
READY, PENDING, INDEXING, FAILED, CANCELLED = "ready", "pending", "indexing", "failed", "cancelled"
WAND, BLOCKMAX = "wand", "blockmax"
FINISHED = "FINISHED"
REPAIR_FILTERABLE, CHANGE_ALGORITHM = "repair-filterable", "change-algorithm"
# Tasks that 1.39.0 numbers by shard instead of by property: at a restart it keeps what the last of them has made.
ONE_AT_A_TIME = (REPAIR_FILTERABLE, CHANGE_ALGORITHM)
ENDED = (FINISHED, "FAILED", "CANCELLED")
# What the server tells as filterable, and has no bucket to rebuild; a type with a capital refers to a collection.
_NO_BUCKET = ("blob", "geoCoordinates", "phoneNumber", "object", "object[]")


@dataclass(frozen=True)
class Index:
    """An index of a property; `task` drives it where it is not simply ready, `progress` is 0 to 1."""

    property: str
    kind: str  # filterable, searchable, rangeFilters
    status: str  # ready, pending, indexing, failed, cancelled
    data_type: str
    algorithm: str | None = None  # of a searchable one: wand, blockmax
    task: str | None = None
    progress: float | None = None
    tokenization: str | None = None  # that it is to have, else that it has


@dataclass(frozen=True)
class Task:
    """A task of the server's. `status` is STARTED, PREPARING, SWAPPING, and then one of `ENDED`."""

    id: str
    status: str
    progress: float
    problem: str | None
    collection: str
    kind: str  # repair-filterable, rebuild-searchable
    properties: tuple[str, ...]


def listed(cluster: rest.Cluster, name: str) -> tuple[Index, ...]:
    """The indexes of a collection, by property. Raises `Missing` before 1.38."""
    path = f"schema/{rest.segment(name)}/indexes"
    properties = rest.member(cluster, rest.get(cluster, path), "properties", list)
    found = [_index(each, one) for each in properties for one in rest.rows(cluster, each.get("indexes"), "indexes")]
    return tuple(sorted(found, key=lambda each: (each.property, each.kind)))


def of_schema(schema: Mapping[str, Any]) -> tuple[Index, ...]:
    """The indexes that a schema asks for, taken as ready: for servers that do not tell."""
    blockmax = (schema.get("invertedIndexConfig") or {}).get("usingBlockMaxWAND")
    algorithm = BLOCKMAX if blockmax else WAND
    found = [
        Index(str(each["name"]), kind, READY, str(each["dataType"][0]), algorithm if kind == SEARCHABLE else None)
        for each in schema.get("properties") or ()
        for kind, flag in FLAGS.items()
        if each.get(flag)
    ]
    return tuple(sorted(found, key=lambda each: (each.property, each.kind)))


def has_bucket(index: Index) -> bool:
    """Whether there is anything on disk to rebuild."""
    return index.kind != FILTERABLE or not (index.data_type in _NO_BUCKET or index.data_type[:1].isupper())


def path(name: str, index: Index) -> str:
    """Where an index is, below /v1."""
    return f"schema/{rest.segment(name)}/properties/{rest.segment(index.property)}/index/{index.kind}"


def start(cluster: rest.Cluster, method: str, path: str, body: Mapping[str, Any] | None) -> str | None:
    """Have the server begin what a request to `path` asks for; the id of its task, None where it needs none.

    Raises `Refused` where the property has a task already, or the server is not set to do it.
    """
    sent = None if body is None else dict(body)
    found = rest.change(cluster, method, path, "rebuildIndex", sent, repeatable=method == "PUT")
    task = found.get("taskId") if isinstance(found, dict) else None
    return str(task) if task else None


def tasks(cluster: rest.Cluster) -> dict[str, Task]:
    """The index tasks that the server knows of, by their ids; it forgets those that ended long ago."""
    found = rest.member(cluster, {"tasks": rest.get(cluster, "tasks") or {}}, "tasks", dict)
    return {each["id"]: _task(cluster, each) for each in rest.rows(cluster, found.get("reindex"), "reindex", "id")}


def _index(each: Mapping[str, Any], one: Mapping[str, Any]) -> Index:
    return Index(
        property=str(each.get("name", "")),
        kind=str(one.get("type", "")),
        status=str(one.get("status", "")),
        data_type=str(each.get("dataType", "")),
        algorithm=one.get("algorithm"),
        task=one.get("taskId"),
        progress=one.get("progress"),
        tokenization=one.get("targetTokenization") or one.get("tokenization"),
    )


def _task(cluster: rest.Cluster, each: Mapping[str, Any]) -> Task:
    units = rest.rows(cluster, each.get("units"), "units")
    done = sum(float(unit.get("progress") or 0) for unit in units) / len(units) if units else 0.0
    said = [each.get("error"), *(unit.get("error") for unit in units)]
    problem = "; ".join(dict.fromkeys(str(text) for text in said if text))
    about = rest.member(cluster, {"payload": each.get("payload") or {}}, "payload", dict)
    return Task(
        id=str(each["id"]),
        status=str(each.get("status", "")),
        progress=done,
        problem=problem or None,
        collection=str(about.get("collection", "")),
        kind=str(about.get("migrationType", "")),
        properties=tuple(str(name) for name in about.get("properties") or ()),
    )

"""The objects of a Weaviate over REST: read in the order of their ids, written and deleted in batches."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from daglab.weaviate import rest, verbatim

MINUS_NOTHING = re.compile(rb"[\[:,]-0[,\]}]")

_READ_ONLY = "read-only"


@dataclass(frozen=True)
class Page:
    """Objects in the order of their ids, how many bytes they came in, and the server's clock (Unix seconds).

    `texts` are the vectors, where they were left as they came.
    """

    objects: list[dict[str, Any]]
    size: int
    at: float | None
    texts: verbatim.Texts | None = None


def page(
    cluster: rest.Cluster,
    name: str,
    after: str,
    limit: int,
    *,
    tenant: str | None = None,
    vectors: bool,
    as_text: bool = False,
) -> Page:
    """The next objects behind the id `after` (empty: from the beginning), in the order of their ids.

    The list is no snapshot: what is inserted behind the place that was read meanwhile is not in it. `as_text` leaves
    marks in the places of vectors, for who only hands them on. Raises `rest.TooLarge` as the session's limit says.
    """
    response = rest.answer(
        cluster,
        "GET",
        "objects",
        query={
            "class": name,
            "after": after,
            "limit": limit,
            "tenant": tenant,
            "include": "vector" if vectors else None,
        },
    )
    content, texts = verbatim.taken_out(response.content) if as_text else (response.content, None)
    found = rest.member(cluster, _read(cluster, content, "objects"), "objects", list)
    if any(not isinstance(each, dict) or not isinstance(each.get("id"), str) for each in found):
        raise rest.Failed(f"{cluster.name} lists objects without ids.", rest.NO_WEAVIATE)
    return Page(found, len(response.content), _clock(response), texts)


def fetch(cluster: rest.Cluster, name: str, uuid: str, *, tenant: str | None = None) -> dict[str, Any] | None:
    """One object with its vectors; None where there is none."""
    try:
        path = f"objects/{rest.segment(name)}/{rest.segment(uuid)}"
        return rest.get(cluster, path, include="vector", tenant=tenant)  # type: ignore[no-any-return]
    except rest.Missing:
        return None


def put_objects(cluster: rest.Cluster, body: bytes) -> list[str | None]:
    """Write a batch, which is `{"objects": [...]}` as JSON; for each what is wrong with it, None for nothing.

    An object that is there is replaced. A good answer (200) says nothing of the single objects: each is looked at.
    Raises `Refused` and `Failed` where the batch was refused as a whole.
    """
    response = rest.answer(cluster, "POST", "batch/objects", operation="putObjects", repeatable=True, data=body)
    return _results(cluster, response, "batch/objects")


def put_references(cluster: rest.Cluster, references: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Add references (`from`, `to`, `tenant`); for each what is wrong. What is there already is there twice then."""
    response = rest.answer(cluster, "POST", "batch/references", operation="putReferences", body=list(references))
    results = _results(cluster, response, "batch/references")
    refused = next((each for each in results if each and _READ_ONLY in each), None)
    # Of references of a read-only shard, a server calls the first one refused and all others written (1.30 to 1.39).
    return [refused if each is None else each for each in results] if refused else results


def delete_objects(cluster: rest.Cluster, name: str, ids: Sequence[str], *, tenant: str | None = None) -> int:
    """Delete the objects with these ids; how many there were. Raises `Failed` when one could not be deleted."""
    match = {"class": name, "where": {"path": ["id"], "operator": "ContainsAny", "valueTextArray": list(ids)}}
    found = rest.change(
        cluster, "DELETE", "batch/objects", "deleteObjects", {"match": match, "output": "minimal"}, tenant=tenant
    )
    results = rest.member(cluster, found, "results", dict)
    if results.get("failed"):
        raise rest.Failed(f"{cluster.name} could not delete {results['failed']} objects of {name}.", "Try again.")
    return int(results.get("successful", 0))


def _results(cluster: rest.Cluster, response: Any, path: str) -> list[str | None]:
    found = _read(cluster, verbatim.left_out(response.content), path)  # what was sent comes back beside each result
    if not isinstance(found, list):
        raise rest.Failed(f"{cluster.name} answers /v1/{path} without results.", rest.NO_WEAVIATE)
    return [_result(each) for each in found]


def _read(cluster: rest.Cluster, content: bytes, path: str) -> Any:
    """JSON in which -0 stays what it is, where Python's own way makes an integer of it."""
    try:
        return json.loads(content, parse_int=_integer if MINUS_NOTHING.search(content) else None)
    except (ValueError, RecursionError):
        raise rest.Failed(
            f"{cluster.name} answers /v1/{path} with something that is no JSON.", rest.NO_WEAVIATE
        ) from None


def _integer(text: str) -> int | float:
    return -0.0 if text == "-0" else int(text)


def _result(each: Any) -> str | None:
    """What is wrong with one of a batch. Without a word of success it is not taken for one."""
    result = each.get("result") if isinstance(each, dict) else None
    if not isinstance(result, dict):
        return "no result was told"
    said = [str(one.get("message", one)) for one in (result.get("errors") or {}).get("error") or []]
    if said or result.get("status", "SUCCESS") != "SUCCESS":
        return "; ".join(said) or str(result.get("status"))
    return None


def _clock(response: Any) -> float | None:
    try:
        return parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except ValueError:
        return None

"""What has to be seen of a collection before a plan: about ten requests, whatever its size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from daglab import errors
from daglab.weaviate import api, objects, rest, schemas, tenants
from daglab.weaviate.improving import indexes, plans, replication
from daglab.weaviate.measuring import listener

Value = TypeVar("Value")


def survey(cluster: rest.Cluster, name: str) -> plans.Picture:
    """Look at a collection. Raises `Missing` where there is none, and as `rest.get` does."""
    schema = api.schema(cluster, name)
    name = str(schema["class"])  # an alias leads to it
    nodes = api.nodes(cluster, name)
    there = api.tenants(cluster, name) if schemas.is_multi_tenant(schema) else None
    replicas, hindrance = _replicas(cluster, name, nodes)
    tombstones, segments = _listened(cluster, name)
    return plans.Picture(
        cluster=cluster.name,
        name=name,
        version=api.version(cluster),
        schema=schema,
        nodes=nodes,
        objects=api.counts(cluster, [name])[name] if there is None else _loaded(nodes),
        tenants=there,
        replicas=replicas,
        indexes=_known(lambda: indexes.listed(cluster, name)),
        hindrance=hindrance,
        moving=[] if hindrance else _known(lambda: replication.operations(cluster, name)) or [],
        dimensions=_dimensions(cluster, schema, there),
        tombstones=tombstones,
        segments=segments,
        rebuilt=_rebuilt(_known(lambda: indexes.tasks(cluster)) or {}, name),
    )


def _rebuilt(tasks: Mapping[str, indexes.Task], name: str) -> list[tuple[str, str]]:
    """The kinds of tasks of which a second one loses what the first has made, with their properties."""
    of = [each for each in tasks.values() if each.collection == name and each.kind in indexes.ONE_AT_A_TIME]
    return sorted({(each.kind, prop) for each in of for prop in each.properties})


def _known(ask: Callable[[], Value]) -> Value | None:
    try:
        return ask()
    except rest.Missing:
        return None


def _replicas(cluster: rest.Cluster, name: str, nodes: list[api.Node]) -> tuple[dict[str, tuple[str, ...]], str | None]:
    """Where each shard is, and why none can be moved; from the nodes themselves where the server tells no more."""
    try:
        return replication.replicas(cluster, name), None
    except rest.Missing:
        hindrance = "This server is too old to move replicas."
    except errors.NotSetUp as error:
        hindrance = f"{error.message} {error.hint}"
    found: dict[str, list[str]] = {}
    for node in nodes:
        for shard in node.shards:
            found.setdefault(shard.name, []).append(node.name)
    return {shard: tuple(of) for shard, of in sorted(found.items())}, hindrance


def _loaded(nodes: list[api.Node]) -> int:
    """The objects of loaded tenants, replicas once, as the nodes tell them."""
    told: dict[str, int] = {}
    for shard in (shard for node in nodes for shard in node.shards):
        told[shard.name] = max(told.get(shard.name, 0), shard.objects or 0)
    return sum(told.values())


def _dimensions(
    cluster: rest.Cluster, schema: Mapping[str, Any], there: Mapping[str, str] | None
) -> dict[str | None, int]:
    """How long each vector of one object is; nothing of multi-vectors, of which each object has another number."""
    tenant = None
    if there is not None:
        tenant = next((name for name, status in there.items() if status == tenants.ACTIVE), None)
        if tenant is None:
            return {}
    query = {"class": schema["class"], "limit": 1, "include": "vector", "tenant": tenant}
    found = rest.member(cluster, rest.get(cluster, "objects", **query), "objects", list)
    each = found[0] if found else {}
    single = {None: each.get("vector"), **(each.get("vectors") or {})}
    return {name: length for name, length in objects.lengths(each).items() if not isinstance(single[name][0], list)}


def _listened(cluster: rest.Cluster, name: str) -> tuple[float | None, float | None]:
    """Tombstones and segments, where a listener is configured and tells of them: one that is silent is no error."""
    if cluster.metrics is None:
        return None, None
    try:
        found = listener.fetch(cluster.metrics, cluster.session.timeout).get(name)
    except errors.DaglabError:
        return None, None
    return (found.tombstones, found.segments) if found else (None, None)

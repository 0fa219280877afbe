"""What a Weaviate has and what it is told: collections, counts, nodes, tenants, aliases; each beside its parser."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daglab import parse, web
from daglab.weaviate import rest

MOST_COUNTED = 100  # collections in one query
MOST_TENANTS = 100  # that a server changes in one request
READY, READONLY = "READY", "READONLY"
HEALTHY = "HEALTHY"  # a node
SILENT = ("UNAVAILABLE", "TIMEOUT")  # what is said of a node that tells nothing itself
CREATE = "createCollection"


@dataclass(frozen=True)
class Shard:
    """A shard on a node. `objects` is what is flushed to disk, up to a minute old; None for one that is not loaded."""

    collection: str
    name: str
    node: str
    objects: int | None
    loaded: bool
    indexing: str | None  # READY, INDEXING, READONLY
    queue: int | None  # vectors that wait for their index
    compressed: bool | None


@dataclass(frozen=True)
class Node:
    """A node of a cluster, with its shards where they were asked for."""

    name: str
    status: str  # HEALTHY, UNHEALTHY, UNAVAILABLE, TIMEOUT
    version: str | None
    shards: tuple[Shard, ...] = ()


def version(cluster: rest.Cluster) -> tuple[int, int, int]:
    """The server's version, such as (1, 39, 0)."""
    text = str(rest.member(cluster, rest.get(cluster, "meta"), "version", str))
    numbers = [int(part) if part.isdecimal() else 0 for part in text.partition("-")[0].split(".")]
    major, minor, patch, *_ = (*numbers, 0, 0, 0)
    return major, minor, patch


def schemas(cluster: rest.Cluster) -> dict[str, dict[str, Any]]:
    """Every collection's schema by its name, in the order of names."""
    listed = rest.member(cluster, rest.get(cluster, "schema"), "classes", list, "class")
    return {each["class"]: _whole(cluster, each) for each in sorted(listed, key=lambda each: str(each["class"]))}


def schema(cluster: rest.Cluster, name: str) -> dict[str, Any]:
    """A collection's schema. Raises `Missing`, with the nearest names."""
    try:
        found = rest.get(cluster, f"schema/{rest.segment(name)}")
    except rest.Missing:
        found = None
    if isinstance(found, dict) and found.get("class"):
        return _whole(cluster, found)
    names = list(schemas(cluster))
    hint = parse.did_you_mean(name, names) or (
        f"There are {', '.join(names[:20])}." if names else "There is none in this cluster."
    )
    raise rest.Missing(f"There is no collection {name!r} in {cluster.name}.", hint)


def exists(cluster: rest.Cluster, name: str) -> bool:
    """Whether there is such a collection, under just this name (not an alias)."""
    try:
        found = rest.get(cluster, f"schema/{rest.segment(name)}")
    except rest.Missing:
        return False
    return isinstance(found, dict) and found.get("class") == name


def create(cluster: rest.Cluster, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Make a collection; its schema as the server completed it."""
    rest.change(cluster, "POST", "schema", CREATE, dict(schema), repeatable=False)
    return _whole(cluster, rest.get(cluster, f"schema/{rest.segment(schema['class'])}"))


def permit_create(cluster: rest.Cluster) -> None:
    """Raises `NotAuthorised` where the sandbox lets no collection be made: before there is a journal of it."""
    web.permit(cluster.session, CREATE)


def delete(cluster: rest.Cluster, name: str) -> None:
    """Delete a collection and all of its objects; nothing where there is none."""
    rest.change(cluster, "DELETE", f"schema/{rest.segment(name)}", "deleteCollection")


def counts(cluster: rest.Cluster, names: Sequence[str]) -> dict[str, int]:
    """How many objects there are, exactly, in each of these collections, which have no tenants.

    By Aggregate: what `GET /objects` calls `totalResults` is the length of a page, and `/nodes` lags behind. Raises
    `Failed` when one can't be counted: a count that could not be read is never 0.
    """
    found = {}
    for start in range(0, len(names), MOST_COUNTED):
        some = names[start : start + MOST_COUNTED]
        parts = " ".join(f"c{number}: {name} {{meta {{count}}}}" for number, name in enumerate(some))
        data = aggregate(cluster, parts)
        found.update({name: _count(cluster, data, f"c{number}", name) for number, name in enumerate(some)})
    return found


def tenant_counts(cluster: rest.Cluster, name: str, tenants: Sequence[str]) -> dict[str, int]:
    """How many objects there are, exactly, in each of these tenants, which are active. Raises as `counts` does."""
    found = {}
    for start in range(0, len(tenants), MOST_COUNTED):
        some = tenants[start : start + MOST_COUNTED]
        parts = " ".join(
            f"c{number}: {name}(tenant: {json.dumps(tenant)}) {{meta {{count}}}}" for number, tenant in enumerate(some)
        )
        data = aggregate(cluster, parts)
        found.update({each: _count(cluster, data, f"c{number}", each) for number, each in enumerate(some)})
    return found


def aggregate(cluster: rest.Cluster, parts: str) -> dict[str, Any]:
    """What the fields `parts` of a GraphQL `Aggregate` give. Raises `Failed` with the server's own words."""
    found = rest.graphql(cluster, f"{{Aggregate {{{parts}}}}}")
    return rest.member(cluster, found, "Aggregate", dict)  # type: ignore[no-any-return]


def nodes(cluster: rest.Cluster, collection: str | None = None, *, shards: bool = True) -> list[Node]:
    """The nodes with their shards, of all collections or of one."""
    path = f"nodes/{rest.segment(collection)}" if collection else "nodes"
    found = rest.get(cluster, path, output="verbose" if shards else "minimal")
    return [_node(cluster, each) for each in rest.member(cluster, found, "nodes", list, "name")]


def set_shard_status(cluster: rest.Cluster, name: str, shard: str, status: str) -> None:
    """Make a shard READONLY or READY, on all nodes that have it."""
    path = f"schema/{rest.segment(name)}/shards/{rest.segment(shard)}"
    rest.change(cluster, "PUT", path, "updateShardStatus", {"status": status})


def tenants(cluster: rest.Cluster, name: str) -> dict[str, str]:
    """Each tenant's activity status by its name: ACTIVE, INACTIVE, OFFLOADED, and on the way between them.

    What older versions call HOT, COLD and FROZEN has the newer names.
    """
    listed = rest.rows(cluster, rest.get(cluster, f"schema/{rest.segment(name)}/tenants"), "tenants", "name")
    found = {str(each["name"]): _activity(each) for each in listed}
    return dict(sorted(found.items()))


def tenant(cluster: rest.Cluster, name: str, tenant: str) -> str | None:
    """The activity status of one tenant; None where there is none of that name."""
    try:
        found = rest.get(cluster, f"schema/{rest.segment(name)}/tenants/{rest.segment(tenant)}")
    except rest.Missing:
        return None
    return _activity(rest.rows(cluster, [found or {}], "tenant")[0])


def _activity(tenant: Mapping[str, Any]) -> str:
    status = str(tenant.get("activityStatus") or "ACTIVE")
    newer = {"HOT": "ACTIVE", "COLD": "INACTIVE", "FROZEN": "OFFLOADED", "FREEZING": "OFFLOADING"}
    return {**newer, "UNFREEZING": "ONLOADING"}.get(status, status)


def create_tenants(cluster: rest.Cluster, name: str, names: Iterable[str], inactive: Collection[str] = ()) -> None:
    """Make tenants, active ones but for those that are to be `inactive`; those that are there stay."""
    statuses = {each: "INACTIVE" if each in inactive else "ACTIVE" for each in names}
    _send_tenants(cluster, "POST", name, "createTenants", statuses)


def set_tenants(cluster: rest.Cluster, name: str, statuses: Mapping[str, str]) -> None:
    """Make tenants ACTIVE, INACTIVE or OFFLOADED; returns when it is asked for, not when it is done."""
    _send_tenants(cluster, "PUT", name, "updateTenants", statuses)


def delete_tenants(cluster: rest.Cluster, name: str, names: Sequence[str]) -> None:
    """Delete tenants with all of their objects; nothing where there are none."""
    if names:
        rest.change(cluster, "DELETE", f"schema/{rest.segment(name)}/tenants", "deleteTenants", list(names))


def _send_tenants(cluster: rest.Cluster, method: str, name: str, what: str, statuses: Mapping[str, str]) -> None:
    body = [{"name": tenant, "activityStatus": status} for tenant, status in statuses.items()]
    for start in range(0, len(body), MOST_TENANTS):
        some = body[start : start + MOST_TENANTS]
        rest.change(cluster, method, f"schema/{rest.segment(name)}/tenants", what, some)


def aliases(cluster: rest.Cluster, collection: str | None = None) -> dict[str, str]:
    """Which collection each alias leads to. Raises `Missing` before 1.32."""
    found = rest.get(cluster, "aliases", **{"class": collection})
    listed = rest.member(cluster, found, "aliases", list, "alias", "class") if found else []
    return {str(each["alias"]): str(each["class"]) for each in listed}


def known_aliases(cluster: rest.Cluster, collection: str | None = None) -> dict[str, str] | None:
    """As `aliases`; None before 1.32, which has none."""
    try:
        return aliases(cluster, collection)
    except rest.Missing:
        return None


def set_alias(cluster: rest.Cluster, alias: str, collection: str) -> None:
    """Have an alias lead to a collection, a new one or one that is there; in one step. Raises `Missing` before 1.32."""
    if alias in aliases(cluster):
        rest.change(cluster, "PUT", f"aliases/{rest.segment(alias)}", "updateAlias", {"class": collection})
    else:
        rest.change(cluster, "POST", "aliases", "createAlias", {"alias": alias, "class": collection}, repeatable=False)


def _count(cluster: rest.Cluster, data: Mapping[str, Any], key: str, name: str) -> int:
    try:
        found = data[key][0]["meta"]["count"]
    except (KeyError, IndexError, TypeError):
        found = None
    if type(found) is not int:
        raise rest.Failed(f"The objects of {name} in {cluster.name} could not be counted.", "Its own log says why.")
    return found


def _whole(cluster: rest.Cluster, schema: Any) -> dict[str, Any]:
    """A schema, whose parts are of the kinds that all who read it expect."""
    rest.member(cluster, schema, "class", str)
    for each in rest.rows(cluster, schema.get("properties"), "properties", "name"):
        kinds = each.get("dataType") or []
        rest.rows(
            cluster,
            [{"dataType": kind} for kind in kinds] if isinstance(kinds, list) else kinds,
            "dataType",
            "dataType",
        )
    for part in ("multiTenancyConfig", "replicationConfig", "shardingConfig", "invertedIndexConfig"):
        rest.member(cluster, {part: schema.get(part) or {}}, part, dict)
    rest.member(cluster, {"factor": (schema.get("replicationConfig") or {}).get("factor") or 1}, "factor", int)
    named = rest.member(cluster, {"vectorConfig": schema.get("vectorConfig") or {}}, "vectorConfig", dict)
    rest.rows(cluster, list(named.values()), "vectorConfig")
    return schema  # type: ignore[no-any-return]


def _node(cluster: rest.Cluster, each: Mapping[str, Any]) -> Node:
    name = str(each.get("name", ""))
    shards = tuple(_shard(name, shard) for shard in rest.rows(cluster, each.get("shards"), "shards", "name"))
    return Node(name, str(each.get("status", "")), _text(each.get("version")), shards)


def _shard(node: str, each: Mapping[str, Any]) -> Shard:
    loaded = each.get("loaded") is not False
    return Shard(
        collection=str(each.get("class", "")),
        name=str(each.get("name", "")),
        node=node,
        objects=_number(each.get("objectCount") or 0) if loaded else None,
        loaded=loaded,
        indexing=_text(each.get("vectorIndexingStatus")),
        queue=_number(each.get("vectorQueueLength")),
        compressed=each.get("compressed") if isinstance(each.get("compressed"), bool) else None,
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> int | None:
    return value if type(value) is int else None

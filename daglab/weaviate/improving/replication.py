"""Replicas of shards on the nodes of a cluster: where they are, and moved by the server from one node to another.

Since 1.31, and only where REPLICA_MOVEMENT_ENABLED is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daglab import errors
from daglab.weaviate import rest

MOVE, COPY = "MOVE", "COPY"
READY, CANCELLED = "READY", "CANCELLED"
ENDED = (READY, CANCELLED)
PATH = "replication/replicate"
_NOT_IMPLEMENTED = 501


@dataclass(frozen=True)
class Operation:
    """A move or a copy: REGISTERED, HYDRATING, FINALIZING, INTEGRATING, DEHYDRATING, and then one of `ENDED`."""

    id: str
    shard: str
    source: str
    target: str
    kind: str
    state: str
    problem: str | None


def replicas(cluster: rest.Cluster, name: str) -> dict[str, tuple[str, ...]]:
    """The nodes that have each shard of a collection. Raises `Missing` before 1.31, `NotSetUp` where it is off."""
    found = _asked(cluster, "replication/sharding-state", collection=name)
    state = rest.member(cluster, found, "shardingState", dict)
    shards = rest.member(cluster, state, "shards", list, "shard")
    return {each["shard"]: tuple(map(str, _listed(cluster, each, "replicas"))) for each in shards}


def operations(cluster: rest.Cluster, name: str) -> list[Operation]:
    """The moves and copies of a collection's replicas, also those that have ended. Raises as `replicas` does."""
    found = _asked(cluster, f"{PATH}/list", collection=name)
    return [_operation(cluster, each) for each in rest.rows(cluster, found, "operations")]


def operation(cluster: rest.Cluster, id: str) -> Operation:  # noqa: A002 (it is called so there)
    """One move or copy. Raises `Missing` for one that there is not any more."""
    return _operation(cluster, rest.rows(cluster, [rest.get(cluster, f"{PATH}/{rest.segment(id)}")], "operation")[0])


def request(name: str, shard: str, source: str, target: str) -> dict[str, Any]:
    """The body that asks for a move."""
    return {"collection": name, "shard": shard, "sourceNode": source, "targetNode": target, "type": MOVE}


def begin(cluster: rest.Cluster, body: Mapping[str, Any]) -> str:
    """Have the server begin a move; its id. It is never asked for twice. Raises `Refused` as the server does."""
    found = rest.change(cluster, "POST", PATH, "replicate", dict(body), repeatable=False)
    return str(rest.member(cluster, found, "id", str))


def _asked(cluster: rest.Cluster, path: str, **query: Any) -> Any:
    try:
        return rest.get(cluster, path, **query)
    except rest.Failed as error:
        if error.status != _NOT_IMPLEMENTED:
            raise
        hint = "Set REPLICA_MOVEMENT_ENABLED=true on every node, and start them again."
        raise errors.NotSetUp(f"Replicas can't be moved in {cluster.name}: it is switched off.", hint) from None


def _listed(cluster: rest.Cluster, each: Mapping[str, Any], name: str) -> list[Any]:
    """A list of anything, none for none. Raises `Failed` for what is no list."""
    value = each.get(name) or []
    if not isinstance(value, list):
        raise rest.Failed(f"{cluster.name} answers with {name!r} that no Weaviate has.", rest.NO_WEAVIATE)
    return value


def _operation(cluster: rest.Cluster, each: Mapping[str, Any]) -> Operation:
    status = rest.member(cluster, {"status": each.get("status") or {}}, "status", dict)
    said = [str(one.get("message", one)) for one in rest.rows(cluster, status.get("errors"), "errors")]
    return Operation(
        id=str(each.get("id", "")),
        shard=str(each.get("shard", "")),
        source=str(each.get("sourceNode", "")),
        target=str(each.get("targetNode", "")),
        kind=str(each.get("type", "")),
        state=str(status.get("state", "")),
        problem=said[-1] if said else None,
    )

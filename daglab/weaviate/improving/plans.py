"""What makes a collection better, and why: from what was seen of it to actions, advice, and what goes by itself; pure.

An action is something that a server can be asked for; whether this one can do it now is said with what it would need.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from daglab.weaviate import api
from daglab.weaviate.improving import balances, indexes, replication

AUTO, REINDEX, REBALANCE, COMPACT = "auto", "reindex", "rebalance", "compact"
OPERATIONS = (AUTO, REINDEX, REBALANCE, COMPACT)
REBUILD_SINCE, MOVE_SINCE = (1, 39, 0), (1, 31, 0)
MOVE_SETTING = "REPLICA_MOVEMENT_ENABLED=true"
WORST_IMBALANCE = 0.2  # of what nodes bear, before `auto` moves anything; then to the half of it
TRUSTED = 0.95  # of the objects: when nodes tell of less, shards are taken as equal, as a hash makes them
MOST_TENANTS = 100  # named in one request
LOSS = (
    "Weaviate (seen in 1.39.0) keeps one property's index that was rebuilt like this at a restart, and loses another's "
    "that was rebuilt since the last one. Restart the nodes, then say --restarted."
)


@dataclass(frozen=True)
class Picture:
    """What was seen of a collection; None is what the server does not tell.

    `objects` are counted, or where there are tenants what their nodes tell of the loaded ones. `replicas` are where
    each shard is; `hindrance` says why none can be moved. `tombstones` and `segments` are of one node's listener.
    `rebuilt` are the kinds of tasks (of `indexes.ONE_AT_A_TIME`) and their properties that the server remembers.
    """

    cluster: str
    name: str
    version: tuple[int, int, int]
    schema: Mapping[str, Any]
    nodes: Sequence[api.Node]
    objects: int | None
    tenants: Mapping[str, str] | None
    replicas: Mapping[str, tuple[str, ...]]
    indexes: Sequence[indexes.Index] | None
    hindrance: str | None = None
    moving: Sequence[replication.Operation] = ()
    dimensions: Mapping[str | None, int] = field(default_factory=dict)
    tombstones: float | None = None
    segments: float | None = None
    rebuilt: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Action:
    """Something that a server is asked for. `hindrance` says why this one can't do it now.

    `task` is one that the server works on already: then there is nothing to send, and it is only followed.
    """

    kind: str  # reindex, rebalance
    what: str
    reason: str
    figures: Mapping[str, Any]
    version: tuple[int, int, int]
    setting: str | None
    hindrance: str | None
    method: str
    path: str
    body: Mapping[str, Any] | None
    task: str | None = None


def actions(picture: Picture, operation: str, *, restarted: bool = False) -> list[Action]:
    """What an operation comes to: `auto` takes what is not well, the others all that they can.

    `restarted` says that all nodes were, since the last index was rebuilt.
    """
    found = []
    if operation in (AUTO, REINDEX):
        found += _reindexing(picture, every=operation == REINDEX, restarted=restarted)
    if operation in (AUTO, REBALANCE):
        found += _rebalancing(picture, every=operation == REBALANCE)
    return found


def is_tidy(picture: Picture) -> bool:
    """Whether there is nothing to compact: no objects, or no tombstones told and few segments on the only node."""
    if picture.objects == 0 and not picture.tenants:
        return True
    if len(picture.nodes) != 1 or picture.tombstones is None or picture.segments is None:
        return False
    buckets = (2 + len(indexes.of_schema(picture.schema))) * max(len(picture.replicas), 1)
    return picture.tombstones == 0 and picture.segments <= 8 * buckets


def spread(picture: Picture) -> tuple[dict[str, float], str, float]:
    """What each node bears, in what (objects, shards), and the imbalance of it."""
    weights, unit = _weights(picture)
    bears = balances.loads(picture.replicas, weights, [node.name for node in picture.nodes])
    return bears, unit, balances.imbalance(bears)


def version_text(version: Sequence[int]) -> str:
    """A version as it is written: 1.39.0."""
    return ".".join(str(part) for part in version)


def _reindexing(picture: Picture, *, every: bool, restarted: bool) -> list[Action]:
    there = indexes.of_schema(picture.schema) if picture.indexes is None else picture.indexes
    urgent = sorted(there, key=lambda each: each.status == indexes.READY)
    found = [made for each in urgent if indexes.has_bucket(each) for made in _of_index(picture, each, every=every)]
    return _without_loss(found, set() if restarted else set(picture.rebuilt))


def _without_loss(found: Sequence[Action], rebuilt: set[tuple[str, str]]) -> list[Action]:
    """The actions, of which each kind that loses is done for one property at most between two restarts."""
    safe = []
    for each in found:
        kind, name = _risky(each), str(each.figures["property"])
        if kind and each.hindrance is None:
            lost = any(one == kind and of != name for one, of in rebuilt)
            rebuilt.add((kind, name))
            safe.append(dataclasses.replace(each, hindrance=LOSS) if lost else each)
        else:
            safe.append(each)
    return safe


def _risky(action: Action) -> str | None:
    """The kind of task that an action makes, where it is one of those that lose another property's index."""
    if "algorithm" in (action.body or {}):
        return indexes.CHANGE_ALGORITHM
    is_filterable = action.figures["index"] == indexes.FILTERABLE
    return indexes.REPAIR_FILTERABLE if is_filterable and action.method == "POST" else None


def _of_index(picture: Picture, index: indexes.Index, *, every: bool) -> list[Action]:
    what = f"the {index.kind} index of {index.property}"
    path = indexes.path(picture.name, index)
    make = functools.partial(_action, picture, index)
    if index.status in (indexes.PENDING, indexes.INDEXING):
        return [make(f"Follow {what}", "The server works on it already.", "", "", None, index.task)]
    broken = index.status in (indexes.FAILED, indexes.CANCELLED)
    if broken and not _is_in_schema(picture.schema, index):
        body = {"tokenization": index.tokenization} if index.kind == indexes.SEARCHABLE else {}
        return [make(f"Make {what}", f"Its last task has {index.status}.", "PUT", path, body)]
    if index.algorithm == indexes.WAND and (every or picture.objects):
        reason = "It has the old form, WAND: BlockMax answers BM25 queries faster, and WAND is deprecated."
        return [make(f"Turn {what} into BlockMax", reason, "PUT", path, {"algorithm": "blockmax"})]
    if not broken and not every:
        return []
    reason = f"Its last task: {index.status}." if broken else "It is asked for; it was ready as it is."
    return [
        make(f"Rebuild {what}{some}", f"{reason}{left_out}", "POST", f"{path}/rebuild{query}", None)
        for some, left_out, query in _tenants(picture)
    ]


def _tenants(picture: Picture) -> list[tuple[str, str, str]]:
    """What a rebuild is told of tenants: nothing but where one is inactive, whose shard the server would not find.

    Then it is told the active ones, some in each request.
    """
    inactive = [tenant for tenant, status in (picture.tenants or {}).items() if status == "INACTIVE"]
    if not inactive:
        return [("", "", "")]
    active = [tenant for tenant, status in (picture.tenants or {}).items() if status == "ACTIVE"]
    parts = [active[start : start + MOST_TENANTS] for start in range(0, len(active), MOST_TENANTS)]
    left_out = f" The {len(inactive):,} inactive tenants are left out."
    return [(f" in {len(some)} tenants", left_out, "?" + urlencode({"tenants": ",".join(some)})) for some in parts]


def _action(
    picture: Picture,
    index: indexes.Index,
    what: str,
    reason: str,
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    task: str | None = None,
) -> Action:
    figures = {"property": index.property, "index": index.kind, "status": index.status, "objects": picture.objects}
    if index.algorithm:
        figures["algorithm"] = index.algorithm
    hindrance = _too_old(picture, REBUILD_SINCE)
    if not hindrance and method == "PUT" and "INACTIVE" in (picture.tenants or {}).values():
        hindrance = "It concerns all tenants, and some are inactive: activate them first."
    return Action(REINDEX, what, reason, figures, REBUILD_SINCE, None, hindrance, method, path, body, task)


def _is_in_schema(schema: Mapping[str, Any], index: indexes.Index) -> bool:
    flag = indexes.FLAGS[index.kind]
    return any(each["name"] == index.property and each.get(flag) for each in schema.get("properties") or ())


def _rebalancing(picture: Picture, *, every: bool) -> list[Action]:
    if under_way := [each for each in picture.moving if each.state not in replication.ENDED]:
        return [_moving(picture, each) for each in under_way]
    bears, unit, ratio = spread(picture)
    if len(picture.nodes) < 2 or (ratio <= WORST_IMBALANCE and not every):
        return []
    weights, _ = _weights(picture)
    movable = {shard: there for shard, there in picture.replicas.items() if _is_movable(picture, shard)}
    names = [node.name for node in picture.nodes if node.status == api.HEALTHY]
    goal = 0.0 if every else WORST_IMBALANCE / 2
    done = balances.moves(movable, weights, names, goal) if set(bears) == set(names) else []
    later = balances.imbalance(balances.loads(balances.after(picture.replicas, done), weights, names))
    reason = f"The nodes bear {_said(bears)} {unit}: imbalance {ratio:.2f}, after all moves {later:.2f}."
    return [_move(picture, each, unit, reason) for each in done]


def _move(picture: Picture, move: balances.Move, unit: str, reason: str) -> Action:
    figures = {"shard": move.shard, "source": move.source, "target": move.target, unit: round(move.weight)}
    what = f"Move shard {move.shard} from {move.source} to {move.target}"
    body = replication.request(picture.name, move.shard, move.source, move.target)
    hindrance = _too_old(picture, MOVE_SINCE) or picture.hindrance
    return Action(REBALANCE, what, reason, figures, MOVE_SINCE, MOVE_SETTING, hindrance, "POST", replication.PATH, body)


def _moving(picture: Picture, each: replication.Operation) -> Action:
    what = f"Follow the {each.kind.lower()} of shard {each.shard} from {each.source} to {each.target}"
    figures = {"shard": each.shard, "source": each.source, "target": each.target, "state": each.state}
    reason = "The server works on it already; until it is done nothing else is moved."
    return Action(REBALANCE, what, reason, figures, MOVE_SINCE, MOVE_SETTING, None, "", "", None, each.id)


def _weights(picture: Picture) -> tuple[dict[str, float], str]:
    """What each shard weighs, and in what: its objects, or 1 where the nodes do not tell of most of the objects.

    A node tells of what is flushed to disk, up to a minute old. What is not loaded weighs as the mean of the others.
    """
    told: dict[str, int] = {}
    for shard in (shard for node in picture.nodes for shard in node.shards):
        if shard.objects is not None:
            told[shard.name] = max(told.get(shard.name, 0), shard.objects)
    if not told or sum(told.values()) < max(TRUSTED * (picture.objects or 0), 1):
        return dict.fromkeys(picture.replicas, 1.0), "shards"
    mean = sum(told.values()) / len(told)
    return {shard: float(told.get(shard, mean)) for shard in picture.replicas}, "objects"


def _is_movable(picture: Picture, shard: str) -> bool:
    """Not a tenant that is not active: its shard is closed."""
    return picture.tenants is None or picture.tenants.get(shard) == "ACTIVE"


def _too_old(picture: Picture, since: tuple[int, int, int]) -> str | None:
    if picture.version >= since:
        return None
    return f"It needs Weaviate {version_text(since[:2])}; this is {version_text(picture.version)}."


def _said(bears: Mapping[str, float]) -> str:
    return ", ".join(f"{node} {load:,.0f}" for node, load in sorted(bears.items()))

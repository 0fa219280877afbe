"""How collections stand: their objects, tenants, shards and vectors, from few requests for all of them together."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeVar

from daglab import errors
from daglab.weaviate import api, objects, rest, schemas, together

Value = TypeVar("Value")

ACTIVE = "ACTIVE"
MOST_VECTORS = 50  # collections whose first vectors are asked for in one query: they are 1 MB


@dataclass(frozen=True)
class Vector:
    """A vector that objects have: `name` is None for the one without, `dimensions` where no object has told them.

    `index` is how it is indexed: hnsw, flat, dynamic.
    """

    name: str | None
    dimensions: int | None
    index: str


@dataclass(frozen=True)
class Measure:
    """The figures of a collection; None is what could not be had.

    `objects` are counted exactly, replicas once; of a collection with tenants those of the active ones, and
    `uncounted` tenants could not be looked into. `problem` says why they could not be counted at all.
    """

    name: str
    objects: int | None
    problem: str | None
    tenants: Mapping[str, int] | None  # how many have each activity status; None where there are no tenants
    uncounted: int
    shards: int | None
    unloaded: int | None  # shards that are loaded when they are needed
    absent: int | None  # shards that no node has told of
    statuses: Mapping[str, int]  # how many shards have each: READY, READONLY, INDEXING
    replicas: int
    nodes: tuple[str, ...]
    vectors: tuple[Vector, ...]
    queue: int | None  # vectors that wait for their index, replicas once
    compressed: bool | None  # None also where only some shards are


@dataclass(frozen=True)
class Found:
    """What one look found: the nodes (None where they were not told, and `problem` says why), and each collection."""

    nodes: list[api.Node] | None
    problem: str | None
    measures: list[Measure]


def collect(cluster: rest.Cluster, names: Sequence[str] | None = None) -> list[Measure]:
    """The figures of these collections, or of all, in the order of names.

    Raises `Missing` for a name that there is not, and as `rest.get` does where the cluster does not answer. That one
    collection can't be counted is told in its `problem`, and the others are there all the same.
    """
    return look(cluster, names).measures


def look(
    cluster: rest.Cluster,
    names: Sequence[str] | None = None,
    *,
    known: Mapping[str, Sequence[Vector]] | None = None,
    vectors: bool = True,
    strict: bool = True,
) -> Found:
    """As `collect`, with the nodes; vectors that are `known` from an earlier look are not asked for again.

    Where it is not `strict`, names that there are not are left out.
    """
    first = together.each({"schemas": lambda: api.schemas(cluster), "nodes": lambda: api.nodes(cluster)})
    chosen = _chosen(cluster, _given(first["schemas"]), names, strict=strict)
    tenants = _tenants(cluster, [name for name, schema in chosen.items() if schemas.is_multi_tenant(schema)])
    counted = _counted(cluster, chosen, tenants)
    last = together.each(
        {
            "lengths": lambda: _dimensions(cluster, chosen, tenants, known or {}) if vectors else {},
            "nodes": lambda: api.nodes(cluster, shards=False),
        }
    )
    nodes, problem = _nodes_of(first["nodes"], last["nodes"])
    lengths = _given(last["lengths"])
    made = [
        _measure(cluster, schema, nodes, tenants.get(name), counted[name], lengths.get(name, {}))
        for name, schema in chosen.items()
    ]
    return Found(nodes, problem, made)


def _chosen(
    cluster: rest.Cluster, every: Mapping[str, dict[str, Any]], names: Sequence[str] | None, *, strict: bool
) -> dict[str, dict[str, Any]]:
    """The schemas of these collections; a name that is an alias gives the collection that it leads to."""
    if names is None:
        return dict(every)
    found = {}
    for name in names if strict else [name for name in names if name in every]:
        schema = every.get(name) or api.schema(cluster, name)
        found[str(schema["class"])] = schema
    return dict(sorted(found.items()))


def _nodes_of(before: Any, after: Any) -> tuple[list[api.Node] | None, str | None]:
    """The nodes that were there until the end. Not every key may ask for them: the rest is told without.

    From a cluster that has lost a node, an Aggregate gives the objects of the other nodes, and no error.
    """
    for each in (before, after):
        if isinstance(each, errors.DaglabError):
            return None, each.message
    left = {each.name: each for each in _given(after)}
    return [
        dataclasses.replace(left[each.name], shards=each.shards) for each in _given(before) if each.name in left
    ], None


def _tenants(cluster: rest.Cluster, names: Iterable[str]) -> dict[str, Mapping[str, str] | Exception]:
    """Each tenant's status, by collection; there is no request for several collections at once."""
    return together.each({name: _later(api.tenants, cluster, name) for name in names})


def _counted(
    cluster: rest.Cluster,
    chosen: Mapping[str, Any],
    tenants: Mapping[str, Mapping[str, str] | Exception],
) -> dict[str, int | Exception]:
    """How many objects each collection has; of those with tenants, the active ones."""
    plain = [name for name in chosen if name not in tenants]
    work: dict[str, Callable[[], int]] = {
        name: _later(_tenants_counted, cluster, name, there) for name, there in tenants.items()
    }
    found: dict[str, int | Exception] = together.each(work)
    try:
        found.update(api.counts(cluster, plain))
    except errors.DaglabError:  # of one of them: which one, and the others
        singly = together.each({name: _later(api.counts, cluster, [name]) for name in plain})
        found.update({name: each if isinstance(each, Exception) else each[name] for name, each in singly.items()})
    for each in found.values():
        if isinstance(each, Exception) and not isinstance(each, errors.DaglabError):
            raise each
    return found


def _tenants_counted(cluster: rest.Cluster, name: str, there: Mapping[str, str] | Exception) -> int:
    statuses = _given(there)
    active = [tenant for tenant, status in statuses.items() if status == ACTIVE]
    return sum(api.tenant_counts(cluster, name, active).values())


def _dimensions(
    cluster: rest.Cluster,
    chosen: Mapping[str, Any],
    tenants: Mapping[str, Mapping[str, str] | Exception],
    known: Mapping[str, Sequence[Vector]],
) -> dict[str, dict[str | None, int]]:
    """How long the vectors of one object of each collection are; nothing for what can't be asked."""
    found: dict[str, dict[str | None, int]] = {}
    asked: dict[str, str] = {}
    for name, schema in chosen.items():
        before = {each.name: each.dimensions for each in known.get(name, ()) if each.dimensions is not None}
        indexes = schemas.vector_indexes(schema)
        if set(before) == set(indexes):
            found[name] = before
        elif field := _field(name, indexes, tenants.get(name)):
            asked[name] = field
    names = list(asked)
    groups = [names[start : start + MOST_VECTORS] for start in range(0, len(names), MOST_VECTORS)]
    answers = together.each({number: _later(_lengths, cluster, asked, some) for number, some in enumerate(groups)})
    for each in answers.values():
        found.update({} if isinstance(each, Exception) else each)
    return found


def _field(name: str, indexes: Mapping[str | None, str], tenants: Mapping[str, str] | Exception | None) -> str | None:
    """The part of a query that asks for the vectors of one object; None where there is nobody to ask."""
    named = " ".join(each for each in indexes if each is not None)
    wanted = " ".join([*(["vector"] if None in indexes else []), *([f"vectors {{{named}}}"] if named else [])])
    if not wanted or isinstance(tenants, Exception):
        return None
    if tenants is None:
        return f"{name}(limit: 1) {{_additional {{{wanted}}}}}"
    tenant = next((tenant for tenant, status in tenants.items() if status == ACTIVE), None)
    return f"{name}(limit: 1, tenant: {json.dumps(tenant)}) {{_additional {{{wanted}}}}}" if tenant else None


def _lengths(cluster: rest.Cluster, asked: Mapping[str, str], names: Sequence[str]) -> dict[str, dict[str | None, int]]:
    parts = " ".join(f"c{number}: {asked[name]}" for number, name in enumerate(names))
    try:
        found = rest.member(cluster, rest.graphql(cluster, f"{{Get {{{parts}}}}}"), "Get", dict)
    except errors.DaglabError:
        if len(names) == 1:
            return {}
        singly = together.each({name: _later(_lengths, cluster, asked, [name]) for name in names})
        return {name: each[name] for name, each in singly.items() if isinstance(each, dict) and name in each}
    return {name: _told(found.get(f"c{number}")) for number, name in enumerate(names)}


def _told(found: Any) -> dict[str | None, int]:
    """The length of each vector of the first object."""
    first = found[0] if isinstance(found, list) and found else None
    there = first.get("_additional") if isinstance(first, dict) else None
    return objects.lengths(there) if isinstance(there, dict) else {}


def _measure(
    cluster: rest.Cluster,
    schema: Mapping[str, Any],
    nodes: Sequence[api.Node] | None,
    tenants: Mapping[str, str] | Exception | None,
    counted: int | Exception,
    lengths: Mapping[str | None, int],
) -> Measure:
    name = str(schema["class"])
    statuses = tenants if isinstance(tenants, Mapping) else {}
    made = Measure(
        name=name,
        objects=None if isinstance(counted, Exception) else counted,
        problem=str(counted) if isinstance(counted, Exception) else None,
        tenants=None if tenants is None else dict(Counter(statuses.values())),
        uncounted=sum(status != ACTIVE for status in statuses.values()),
        shards=None,
        unloaded=None,
        absent=None,
        statuses={},
        replicas=int((schema.get("replicationConfig") or {}).get("factor") or 1),
        nodes=(),
        vectors=tuple(
            Vector(vector, lengths.get(vector), index) for vector, index in schemas.vector_indexes(schema).items()
        ),
        queue=None,
        compressed=None,
    )
    if nodes is None:
        return made
    active = {tenant for tenant, status in statuses.items() if status == ACTIVE}
    there = _shards(cluster, nodes, name, active)
    expected = max(_expected(schema), len(active | {each.name for each in there}) if active else 0)
    gone = {each.name for each in nodes if each.status in api.SILENT}
    return _whole(dataclasses.replace(made, **_of_shards(there, expected, gone)))


def _shards(cluster: rest.Cluster, nodes: Sequence[api.Node], name: str, active: Set[str]) -> list[api.Shard]:
    """The shards of a collection; asked for again where an active tenant has none, that may be a moment old."""
    found = [each for node in nodes for each in node.shards if each.collection == name]
    if active - {each.name for each in found}:
        there = {node.name for node in nodes}
        with contextlib.suppress(errors.DaglabError):
            found = [each for node in api.nodes(cluster, name) if node.name in there for each in node.shards]
    return found


def _whole(made: Measure) -> Measure:
    """A measure whose objects are all counted; the count of only some shards is none."""
    if not made.absent or made.problem:
        return made
    problem = f"No node that answers has {made.absent} of the {made.shards} shards of {made.name}: not all is counted."
    return dataclasses.replace(made, objects=None, problem=problem)


def _of_shards(there: Sequence[api.Shard], expected: int, gone: Set[str]) -> dict[str, Any]:
    """What the shards come to: each is there once, on however many nodes it lies; `gone` are nodes that were lost since
    they told of theirs, while objects were counted.
    """
    copies: dict[str, list[api.Shard]] = {}
    for each in there:
        copies.setdefault(each.name, []).append(each)
    loaded = [some for some in ([each for each in copy if each.loaded] for copy in copies.values()) if some]
    queues = [[each.queue for each in some if each.queue is not None] for some in loaded]
    compressed = {each.compressed for some in loaded for each in some}
    return {
        "shards": max(len(copies), expected),
        "unloaded": len(copies) - len(loaded),
        "absent": max(0, expected - len({each.name for each in there if each.node not in gone})),
        "statuses": dict(Counter(_worst([each.indexing for each in copy]) for copy in copies.values())),
        "nodes": tuple(sorted({each.node for each in there})),
        "queue": sum(max(some) for some in queues if some) if any(queues) else None,
        "compressed": compressed.pop() if len(compressed) == 1 else None,
    }


def _worst(statuses: Sequence[str | None]) -> str:
    """What a shard is as a whole, from its copies: what is not READY counts."""
    return next((each for each in sorted(each or "" for each in statuses) if each not in ("", api.READY)), api.READY)


def _expected(schema: Mapping[str, Any]) -> int:
    """How many shards there must be: a node that is down does not tell of its own. Of tenants, nobody knows."""
    count = (schema.get("shardingConfig") or {}).get("actualCount")
    return count if isinstance(count, int) and not schemas.is_multi_tenant(schema) else 0


def _later(function: Callable[..., Value], *values: Any) -> Callable[[], Value]:
    return lambda: function(*values)


def _given(found: Any) -> Any:
    """What was found. Raises the exception that was found instead."""
    if isinstance(found, Exception):
        raise found
    return found

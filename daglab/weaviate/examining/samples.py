"""A few objects of a collection, from all over its ids, and what is wrong with them."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daglab.weaviate import objects, rest, schemas, store

MOST = 200  # objects that are looked at; all where there are no more
PAGE = 20  # that follow one another
MOST_TENANTS = 10
MOST_REFERENCES = 500  # that are followed
LAST = 1 << 128


@dataclass(frozen=True)
class Sample:
    """Objects with their vectors, by tenant (None where there are none), and whether these are all there are."""

    objects: Mapping[str | None, list[dict[str, Any]]]
    is_all: bool

    @property
    def size(self) -> int:
        """How many there are in it."""
        return sum(map(len, self.objects.values()))


@dataclass
class Faults:
    """What is wrong: how many lack a vector, its lengths (by name, None is the one without), what leads nowhere."""

    lacking: dict[str | None, int] = field(default_factory=dict)
    lengths: dict[str | None, Counter[int]] = field(default_factory=dict)
    followed: int = 0
    dangling: list[tuple[str, str, str]] = field(default_factory=list)  # id, property, beacon


def take(cluster: rest.Cluster, name: str, tenants: Sequence[str] | None, draw: random.Random) -> Sample:
    """Objects of a collection; of one with tenants, of some of these, which are active."""
    if tenants is None:
        found, is_all = spread(cluster, name, None, MOST, draw)
        return Sample({None: found}, is_all)
    chosen = sorted(draw.sample(list(tenants), min(len(tenants), MOST_TENANTS)))
    most = max(MOST // max(len(chosen), 1), PAGE)
    taken = {tenant: spread(cluster, name, tenant, most, draw) for tenant in chosen}
    is_all = len(chosen) == len(tenants) and all(whole for _, whole in taken.values())
    return Sample({tenant: listed for tenant, (listed, _) in taken.items()}, is_all)


def spread(
    cluster: rest.Cluster, name: str, tenant: str | None, most: int, draw: random.Random
) -> tuple[list[dict[str, Any]], bool]:
    """Up to `most` objects, a few behind each of several ids that are drawn; whether these are all there are.

    Ids may lie close together (those that begin with the time): where nothing is behind one, the next is drawn before.
    """
    first = store.page(cluster, name, "", most, tenant=tenant, vectors=True).objects
    if len(first) < most:
        return first, True
    found = {str(each["id"]): each for each in first[:PAGE]}
    low, high = uuid.UUID(str(first[0]["id"])).int, LAST
    for _ in range(200):
        if len(found) >= most or high - low < 2:
            break
        place = draw.randrange(low, high)
        listed = store.page(cluster, name, str(uuid.UUID(int=place)), PAGE, tenant=tenant, vectors=True).objects
        if not listed:
            high = place
        found.update({str(each["id"]): each for each in listed})
    return list(found.values())[:most], False


def faults(cluster: rest.Cluster, schema: Mapping[str, Any], all_schemas: Mapping[str, Any], sample: Sample) -> Faults:
    """What is wrong with the objects of a sample. Raises as following references does."""
    found = Faults()
    listed = [each for some in sample.objects.values() for each in some]
    lengths = [objects.lengths(each) for each in listed]
    made = schemas.vectorized(schema)
    for vector in schemas.vector_indexes(schema):
        has = [each[vector] for each in lengths if vector in each]
        if has or vector in made:
            found.lacking[vector] = len(listed) - len(has)
            found.lengths[vector] = Counter(has)
    referring = schemas.references(schema)
    for tenant, some in sample.objects.items():
        _follow(cluster, some, referring, all_schemas, tenant, found)
    return found


def lacking_copies(
    cluster: rest.Cluster, name: str, sample: Iterable[tuple[str, str | None]], nodes: Mapping[str | None, list[str]]
) -> dict[str, int]:
    """How many of these objects (id, tenant) each node lacks, though it has their shard; `nodes` are those by tenant.

    One that no node has was deleted meanwhile. Raises as asking does.
    """
    lacks: Counter[str] = Counter()
    for each, tenant in sample:
        has = {node: has_copy(cluster, name, each, node, tenant) for node in nodes.get(tenant, [])}
        if any(has.values()):
            lacks.update([node for node, copy in has.items() if copy is False])
    return dict(lacks)


def has_copy(cluster: rest.Cluster, name: str, uuid: str, node: str, tenant: str | None) -> bool | None:
    """Whether a node has its copy of an object; None where it has no replica of the shard."""
    path = f"objects/{rest.segment(name)}/{rest.segment(uuid)}"
    try:
        rest.get(cluster, path, node_name=node, tenant=tenant)
    except rest.Missing:
        return False
    except rest.Failed as error:
        if "does not exist locally" in error.message:
            return None
        raise
    return True


def _follow(
    cluster: rest.Cluster,
    listed: Sequence[Mapping[str, Any]],
    referring: Mapping[str, Sequence[str]],
    all_schemas: Mapping[str, Any],
    tenant: str | None,
    found: Faults,
) -> None:
    """Look whether what objects refer to is there."""
    wanted = [
        (str(each["id"]), prop, beacon, _target(beacon, referring[prop]))
        for each in listed
        for prop in referring
        for beacon in objects.beacons(each, prop, {})
    ][: max(MOST_REFERENCES - found.followed, 0)]
    found.followed += len(wanted)
    there: set[tuple[str, str]] = set()
    for name in sorted({target[0] for *_, target in wanted} & set(all_schemas)):
        ids = sorted({target[1] for *_, target in wanted if target[0] == name})
        within = tenant if schemas.is_multi_tenant(all_schemas[name]) else None
        there |= {(name, each) for each in existing(cluster, name, ids, within)}
    found.dangling += [(each, prop, beacon) for each, prop, beacon, target in wanted if target not in there]


def _target(beacon: str, collections: Sequence[str]) -> tuple[str, str]:
    """The collection and the id that a beacon leads to; an old one names no collection."""
    name, slash, rest_of = beacon.removeprefix(objects.BEACON).partition("/")
    return (name, rest_of.lower()) if slash else (collections[0], name.lower())


def existing(cluster: rest.Cluster, name: str, ids: Sequence[str], tenant: str | None) -> set[str]:
    """Which of these ids are there."""
    found: set[str] = set()
    for start in range(0, len(ids), 100):
        some = ids[start : start + 100]
        within = f"tenant: {json.dumps(tenant)}, " if tenant is not None else ""
        where = f'{{operator: ContainsAny, path: ["id"], valueText: {json.dumps(some)}}}'
        query = f"{{Get {{{name}({within}limit: {len(some)}, where: {where}) {{_additional {{id}}}}}}}}"
        listed = rest.rows(cluster, rest.member(cluster, rest.graphql(cluster, query), "Get", dict).get(name), name)
        found |= {str(rest.member(cluster, each, "_additional", dict).get("id")) for each in listed}
    return found

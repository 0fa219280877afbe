"""Whether a Weaviate cluster and its collections are well: a check asks, and judges what it was told.

To add a check: a function that is given the look (and the name of a collection) and gives a finding, and its row in
`OF_CLUSTER` or `OF_COLLECTION`. One that could not be asked is degraded, with what kept it from being asked: what can't
be read is never taken for good.
"""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daglab import errors, scales
from daglab.checks import findings
from daglab.weaviate import api, rest, schemas, tenants
from daglab.weaviate.examining import judgements, samples, vitals
from daglab.weaviate.measuring import listener

log = logging.getLogger(__name__)

SECOND_LOOK = 1.0  # seconds between two looks at what should become less
MOST_COUNTED = 100  # tenants of a collection that a count is asked of
COPIES = 20  # objects that are looked up on each node
COPIES_IN_DOUBT = 100  # where the nodes tell different figures


@dataclass(frozen=True)
class Diagnosis:
    """How a collection is, or the cluster (name None): the checks by their names."""

    name: str | None
    checks: Mapping[str, findings.Finding]

    @property
    def status(self) -> str:
        """The worst of the checks: healthy, degraded or down."""
        statuses = {each.status for each in self.checks.values()}
        return next((each for each in (findings.DOWN, findings.DEGRADED) if each in statuses), "healthy")


def of_cluster(look: vitals.Look) -> Diagnosis:
    """How the cluster is, whatever collection is looked at."""
    return Diagnosis(None, {name: _found(functools.partial(each, look)) for name, each in OF_CLUSTER.items()})


def of_collection(look: vitals.Look, name: str) -> Diagnosis:
    """How a collection is; nothing is raised, so that the next one is looked at."""
    checks = {}
    for check, each in OF_COLLECTION.items():
        kind = findings.down if check == "availability" else findings.degraded
        checks[check] = _found(functools.partial(each, look, name), kind)
    return Diagnosis(name, checks)


def overall(found: Sequence[Diagnosis]) -> str:
    """The worst: healthy, degraded or down."""
    statuses = {each.status for each in found}
    return next((each for each in (findings.DOWN, findings.DEGRADED) if each in statuses), "healthy")


def _found(
    check: Callable[[], findings.Finding], kind: Callable[[str, str], findings.Finding] = findings.degraded
) -> findings.Finding:
    try:
        return check()
    except errors.DaglabError as error:
        return kind(f"It can't be told: {error.message}", error.hint or "Its server's log says more.")
    except Exception as bug:  # one check must not keep the others from being told
        log.debug("a check failed", exc_info=True)
        return kind(f"The check itself failed: {type(bug).__name__}.", "Please report this bug in daglab.")


def cluster_nodes(look: vitals.Look) -> findings.Finding:
    """The cluster is ready, and all its nodes are healthy."""
    ready, found = vitals.is_ready(look), []
    try:
        found = vitals.nodes(look)
    except rest.Failed:  # 1.30 tells of no node while one that has gone is still listed
        if ready:
            raise
    return judgements.nodes(ready, found)


def consensus(look: vitals.Look) -> findings.Finding:
    """The nodes agree on the schema, and have one version."""
    synchronized, members = vitals.raft(look)
    drifted = judgements.drift(vitals.schemas(look), vitals.leading_schemas(look))
    if not drifted and len({each.applied for each in members}) > 1:  # one may be a moment behind
        time.sleep(SECOND_LOOK)
        look.answers.pop("raft", None)
        synchronized, members = vitals.raft(look)
    return judgements.consensus(synchronized, members, vitals.nodes(look), drifted)


def resources(look: vitals.Look) -> findings.Finding:
    """The nodes have disk and memory left, as far as that is told."""
    pressed = judgements.pressed(vitals.nodes(look), vitals.works(look))
    return judgements.resources(pressed, vitals.memory(look))


def aliases(look: vitals.Look) -> findings.Finding:
    """Each alias leads to a collection."""
    found = vitals.aliases(look)
    if found is None:
        return findings.skipped("The server has no aliases (1.32 and newer).")
    return judgements.aliases(found, vitals.schemas(look))


def leftovers(look: vitals.Look) -> findings.Finding:
    """No collection is half a copy that nobody is at, and no journal tells of one that is gone."""
    return judgements.leftovers(vitals.works(look), list(vitals.schemas(look)), is_busy=vitals.is_busy(look))


def availability(look: vitals.Look, name: str) -> findings.Finding:
    """The collection answers a count, and the nodes that have it are there."""
    active = active_tenants(look, name)
    if active is None:
        counted = api.counts(look.cluster, [name])[name]
        said = scales.counted(counted, "object")
    else:
        some = active[:MOST_COUNTED]
        counted = sum(api.tenant_counts(look.cluster, name, some).values())
        said = f"{scales.counted(counted, 'object')} in {len(some)} of {len(vitals.tenants(look, name))} tenants"
    return judgements.availability(said, vitals.is_ready(look), vitals.nodes(look))


def shards(look: vitals.Look, name: str) -> findings.Finding:
    """All shards can be read and written."""
    schema = vitals.schemas(look)[name]
    works = [each for each in vitals.works(look) if each.collection == name]
    wanted = None if schemas.is_multi_tenant(schema) else _number(schema, "shardingConfig", "actualCount")
    return judgements.shards(name, vitals.shards(look, name), wanted, works)


def tenants_of(look: vitals.Look, name: str) -> findings.Finding:
    """No tenant is stuck on its way, or in another state than a killed work has found it in."""
    if active_tenants(look, name) is None:
        return findings.skipped("The collection has no tenants.")
    works = [each for each in vitals.works(look) if each.collection == name]
    there = vitals.tenants(look, name)
    return judgements.tenants(name, there, {each.name for each in vitals.shards(look, name)}, works)


def replicas(look: vitals.Look, name: str) -> findings.Finding:
    """Each shard has as many replicas as it should, and they hold the same objects."""
    factor = _number(vitals.schemas(look)[name], "replicationConfig", "factor") or 1
    found = vitals.shards(look, name)
    if factor == 1:
        return findings.skipped("There is one replica of each shard (replicationConfig.factor is 1).")
    few, differing = judgements.replicas_missing(found, factor), judgements.replicas_differing(found)
    draw = random.Random()  # noqa: S311 (no secret)
    sample = _sample(look, name)
    nodes = judgements.holding(found, sample.objects)
    listed = [(str(each["id"]), tenant) for tenant in nodes for each in sample.objects[tenant]]
    chosen = draw.sample(listed, min(len(listed), COPIES_IN_DOUBT if differing else COPIES))
    lacking = samples.lacking_copies(look.cluster, name, chosen, nodes)
    return judgements.replicas(factor, few, differing, lacking, len(chosen))


def queue(look: vitals.Look, name: str) -> findings.Finding:
    """What waits for its vector index is not much, and becomes less."""
    before = judgements.waiting(vitals.shards(look, name))
    again = None
    if any(before.values()):
        if "nodes again" not in look.answers:
            time.sleep(SECOND_LOOK)
        again = judgements.waiting(vitals.shards(look, name, "nodes again"))
    return judgements.queue(before, again, look.limits.queue)


def integrity(look: vitals.Look, name: str) -> findings.Finding:
    """Objects, sampled: each has its vector, of the one length, and what it refers to is there."""
    sample = _sample(look, name)
    all_schemas = vitals.schemas(look)
    return judgements.integrity(samples.faults(look.cluster, all_schemas[name], all_schemas, sample), sample)


def performance(look: vitals.Look, name: str) -> findings.Finding:
    """Queries are quick enough, by the Prometheus listener."""
    found = vitals.figures(look)
    if found is None:
        return findings.skipped("No Prometheus listener is configured (metrics beside url in weaviate.clusters).")
    figures = found.get(name)
    taken = listener.quantile(figures.queries, 0.95) if figures else None
    return judgements.performance(taken, look.limits.query_ms)


def active_tenants(look: vitals.Look, name: str) -> list[str] | None:
    """The tenants that can be read; None for a collection without."""
    if not schemas.is_multi_tenant(vitals.schemas(look)[name]):
        return None
    return [tenant for tenant, status in vitals.tenants(look, name).items() if status == tenants.ACTIVE]


def existing(look: vitals.Look, name: str) -> str:
    """The collection of that name, or that an alias of it leads to. Raises `Missing`, with the nearest names."""
    there = vitals.schemas(look)
    if name in there:
        return name
    try:
        leads = (vitals.aliases(look) or {}).get(name)
    except errors.DaglabError:  # aliases are asked of the leader, and there may be none
        leads = None
    if leads in there:
        return str(leads)
    raise rest.Missing(f"There is no collection {name!r} in {look.cluster.name}.", judgements.nearest(name, there))


def _sample(look: vitals.Look, name: str) -> samples.Sample:
    draw = random.Random()  # noqa: S311 (no secret)
    return look.once(f"sample {name}", lambda: samples.take(look.cluster, name, active_tenants(look, name), draw))


def _number(schema: Mapping[str, Any], section: str, key: str) -> int | None:
    value = (schema.get(section) or {}).get(key)
    return value if type(value) is int else None


OF_CLUSTER: dict[str, Callable[[vitals.Look], findings.Finding]] = {
    "nodes": cluster_nodes,
    "schema": consensus,
    "resources": resources,
    "aliases": aliases,
    "leftovers": leftovers,
}
OF_COLLECTION: dict[str, Callable[[vitals.Look, str], findings.Finding]] = {
    "availability": availability,
    "shards": shards,
    "tenants": tenants_of,
    "replicas": replicas,
    "queue": queue,
    "integrity": integrity,
    "performance": performance,
}

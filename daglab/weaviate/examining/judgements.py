"""What is to be said of what a Weaviate has told; nothing is asked here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from daglab import parse, scales
from daglab.checks import findings
from daglab.weaviate import api
from daglab.weaviate import tenants as tenant_states
from daglab.weaviate.examining import samples, vitals

MOST_NAMED = 5
FULL = 0.9  # of the memory that a node may have
BESIDE = "_daglab_"  # in the name of a collection that a copy makes beside another
FINE = (api.READY, "INDEXING", "LOADING", "LAZY_LOADING")  # one that is loaded when it is asked for is no fault
ON_THE_WAY = ("ONLOADING", "OFFLOADING")


def named(names: Iterable[str]) -> str:
    """A few of some names."""
    listed = list(dict.fromkeys(names))
    more = len(listed) - MOST_NAMED
    return ", ".join(listed[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def nearest(name: str, there: Iterable[str]) -> str:
    """Which name was meant, or which there are."""
    listed = list(there)
    return parse.did_you_mean(name, listed) or (f"There are {named(listed)}." if listed else "There is none.")


def how_to_end(work: vitals.Work) -> str:
    """The command that ends a killed work: but for a migration, it is the one that began it."""
    given, name = work.work, work.collection
    to = f" --target {given.get('target')}"
    if work.kind == "migrate":
        other = f" --as {given['as']}" if given.get("as", name) != name else ""
        return f"`daglab collections migrate {name}{to}{other} --resume` ends it, `--abort` instead undoes it."
    words = {
        "copy": f"copy {name} {given.get('to')}{to if given.get('target') != given.get('source') else ''}",
        "backup": f"backup {name} --output {given.get('output')}",
        "restore": f"restore {given.get('file')} --as {name}",
    }
    return f"`daglab collections {words.get(work.kind, work.kind)}` ends it."


def nodes(ready: bool, found: Sequence[api.Node]) -> findings.Finding:
    """The cluster is ready, and its nodes are healthy."""
    ill = [f"{each.name} {each.status}" for each in found if each.status != api.HEALTHY]
    if not ready:
        detail = f"It says that it is not ready (503){'; ' + named(ill) if ill else ''}."
        return findings.down(detail, "Start the nodes that are not there; their own logs say why.")
    if ill:
        well = len(found) - len(ill)
        hint = "Start that node, or look at its log: `daglab collections health` tells when it is back."
        return findings.degraded(f"{well} of {len(found)} nodes are HEALTHY; {named(ill)}.", hint)
    versions = named(each.version or "?" for each in found)
    return findings.ok(f"ready, {scales.counted(len(found), 'node')} HEALTHY, Weaviate {versions}")


def drift(local: Mapping[str, Any], leading: Mapping[str, Any]) -> list[str]:
    """The collections that the node that was asked has otherwise than the leader."""
    return sorted(name for name in {*local, *leading} if local.get(name) != leading.get(name))


def consensus(
    synchronized: bool, members: Sequence[vitals.Raft], found: Sequence[api.Node], drifted: Sequence[str]
) -> findings.Finding:
    """All nodes follow one leader, know the same changes of the schema, and have one version."""
    wrong = []
    if drifted:
        wrong.append(f"the node that was asked has another schema than the leader of {named(drifted)}")
    leaders = sorted({each.leader for each in members if each.leader})
    if len(leaders) != 1:
        wrong.append(f"the nodes follow {named(leaders)}" if leaders else "no node knows of a leader")
    if gone := [each.name for each in members if each.status != api.HEALTHY or not each.is_ready]:
        wrong.append(f"{named(gone)} can't be asked, or does not know all")
    applied = {each.applied for each in members if each.name not in gone}
    if len(applied) > 1:
        wrong.append("the nodes know different changes: " + _each(members))
    versions = sorted({each.version for each in found if each.version})
    if len(versions) > 1:
        wrong.append(f"the nodes have versions {named(versions)}")
    if wrong:
        hint = "Nodes that are behind catch up when they can reach the leader; upgrade all to one version."
        return findings.degraded(f"{'; '.join(wrong).capitalize()}.", hint)
    if not synchronized:
        return findings.degraded("The nodes say that they are not synchronized.", "Look again; their logs say more.")
    return findings.ok(f"synchronized, leader {leaders[0]}, change {next(iter(applied), '?')}")


def _each(members: Sequence[vitals.Raft]) -> str:
    return ", ".join(f"{each.name} {each.applied}" for each in members)


def pressed(found: Sequence[api.Node], works: Sequence[vitals.Work]) -> list[str]:
    """The nodes all of whose shards are read-only, those of several collections: so the server does when disk or
    memory is short. Which shards a migration has frozen does not count."""
    frozen = {(work.collection, shard) for work in works for shard in work.frozen}
    short = []
    for node in found:
        counted = [each for each in node.shards if each.loaded and (each.collection, each.name) not in frozen]
        collections = {each.collection for each in counted}
        if len(collections) > 1 and all(each.indexing == api.READONLY for each in counted):
            short.append(node.name)
    return short


def resources(short: Sequence[str], memory: tuple[int, int] | None) -> findings.Finding:
    """Disk and memory. `memory` is what a node uses, and may use, in bytes."""
    if short:
        return findings.degraded(
            f"All shards of {named(short)} are READONLY, as a server makes them when disk or memory is short.",
            "Make room there (DISK_USE_READONLY_PERCENTAGE, MEMORY_READONLY_PERCENTAGE); then `--fix --force`.",
        )
    if memory is None:
        return findings.skipped("Weaviate does not tell how full its disk is; of memory only its listener does.")
    used, most = memory
    said = f"{scales.figure(used, 'bytes')} of memory are used"
    if most and used > FULL * most:
        hint = "Give it more (GOMEMLIMIT), have vectors compressed, or make tenants inactive."
        return findings.degraded(f"{said}, of {scales.figure(most, 'bytes')} that it may use.", hint)
    limit = f" of {scales.figure(most, 'bytes')}" if most else ""
    return findings.ok(f"{said}{limit}; how full its disk is, Weaviate does not tell")


def aliases(found: Mapping[str, str], there: Mapping[str, Any]) -> findings.Finding:
    """Each alias leads to a collection."""
    lost = [f"{alias} to {collection}" for alias, collection in found.items() if collection not in there]
    if lost:
        hint = "Have it lead to another: PUT /v1/aliases/ALIAS, or `daglab collections migrate --alias`."
        return findings.degraded(f"Aliases lead to nothing: {named(lost)}.", hint)
    return findings.ok(f"{scales.counted(len(found), 'alias', 'aliases')}")


def leftovers(works: Sequence[vitals.Work], there: Sequence[str], *, is_busy: bool) -> findings.Finding:
    """What killed works have left."""
    ended = [each for each in works if not each.running]
    gone = [each for each in ended if each.needs_source and each.collection not in there]
    if gone:
        what = named(f"{each.kind} of {each.collection}" for each in gone)
        return findings.degraded(
            f"A journal tells of a collection that is gone: {what}.", "`daglab collections health --fix` removes it."
        )
    if ended:
        what = named(f"{each.kind} of {each.collection}" for each in ended)
        return findings.degraded(f"Begun, and not ended: {what}.", how_to_end(ended[0]))
    beside = [name for name in there if BESIDE in name]
    if beside and not is_busy:
        hint = f"If no copy runs elsewhere: `daglab collections rm {beside[0]}`."
        return findings.degraded(f"A copy has left {named(beside)}.", hint)
    busy = named(f"{each.kind} of {each.collection}" for each in works)
    running = f"; running: {busy}" if busy else ""
    return findings.ok(f"nothing is left of copies and migrations{running}")


def availability(said: str, ready: bool, found: Sequence[api.Node]) -> findings.Finding:
    """The collection was counted."""
    ill = [f"{each.name} {each.status}" for each in found if each.status != api.HEALTHY]
    if not ready:
        return findings.down(f"{said}, but the cluster says that it is not ready (503).", "Start the missing nodes.")
    if ill:
        return findings.degraded(f"{said}; {named(ill)}.", "Start that node; its own log says why it is gone.")
    return findings.ok(said)


def shards(name: str, found: Sequence[api.Shard], wanted: int | None, works: Sequence[vitals.Work]) -> findings.Finding:
    """No shard is read-only or shut down, but for a migration that is running."""
    held = {shard for work in works if work.running for shard in work.frozen}
    bad = [each for each in found if (each.indexing or "") not in FINE and each.name not in held]
    there = {each.name for each in found}
    if wanted is not None and len(there) < wanted:
        missing = wanted - len(there)
        return findings.down(f"{missing} of {wanted} shards are on no node that answers.", "Start the missing nodes.")
    killed = [work for work in works if not work.running and set(work.frozen) & {each.name for each in bad}]
    if killed:
        what = f"A migration to {killed[0].work.get('target')} was killed and has left {name} READONLY"
        hint = f"{how_to_end(killed[0])} `daglab collections health {name} --fix` has it written to until then."
        return findings.degraded(f"{what}: {_where(bad)}.", hint)
    if bad:
        hint = f"`daglab collections health {name} --fix` makes what is READONLY READY; look first whether disk or "
        hint += "memory of the node is short (DISK_USE_READONLY_PERCENTAGE)."
        return findings.degraded(f"{_where(bad)}.", hint)
    unloaded = sum(not each.loaded for each in found)
    said = [
        scales.counted(len(there), "shard"),
        f"{scales.counted(unloaded, 'replica')} not loaded" if unloaded else "",
    ]
    said.append(f"{len(held & there)} held READONLY by a migration that is running" if held & there else "")
    return findings.ok(", ".join(filter(None, said)))


def _where(bad: Sequence[api.Shard]) -> str:
    places: dict[tuple[str, str], list[str]] = {}
    for each in bad:
        places.setdefault((each.name, each.indexing or "in no known state"), []).append(each.node)
    return named(f"shard {shard} is {status} on {named(nodes)}" for (shard, status), nodes in places.items())


def tenants(
    name: str, states: Mapping[str, str], loaded: Iterable[str], works: Sequence[vitals.Work]
) -> findings.Finding:
    """No tenant is on its way, without a shard though it is active, or left in another state by a killed work."""
    displaced = misplaced(states, works)
    if displaced:
        work = next(each for each in works if not each.running and each.tenants)
        which = named(f"{tenant} {states[tenant]} (was {before})" for tenant, before in displaced.items())
        hint = f"`daglab collections health {name} --fix` puts them back; {how_to_end(work)}"
        return findings.degraded(f"A {work.kind} was killed and has left tenants in another state: {which}.", hint)
    way = [f"{tenant} {status}" for tenant, status in states.items() if status in ON_THE_WAY]
    hint = f"If it stays so: `daglab collections health {name} --fix` activates what was on its way to that."
    if way:
        return findings.degraded(f"On their way, or stuck: {named(way)}.", hint)
    if homeless := shardless(states, loaded):
        return findings.degraded(f"Active, and on no node that answers: {named(homeless)}.", hint)
    active = sum(status == tenant_states.ACTIVE for status in states.values())
    return findings.ok(f"{active} of {scales.counted(len(states), 'tenant')} active")


def misplaced(states: Mapping[str, str], works: Sequence[vitals.Work]) -> dict[str, str]:
    """The tenants that a killed work has left in another state than it found them in, with that."""
    wanted = {tenant: before for work in works if not work.running for tenant, before in work.tenants.items()}
    return {tenant: before for tenant, before in wanted.items() if states.get(tenant, before) != before}


def shardless(states: Mapping[str, str], loaded: Iterable[str]) -> list[str]:
    """The tenants that are active, and of which no node has a shard."""
    there = set(loaded)
    return [tenant for tenant, status in states.items() if status == tenant_states.ACTIVE and tenant not in there]


def replicas_missing(found: Sequence[api.Shard], factor: int) -> dict[str, int]:
    """The shards with fewer replicas on nodes that answer than there should be, with how many there are."""
    numbers: dict[str, int] = {}
    for each in found:
        numbers[each.name] = numbers.get(each.name, 0) + 1
    return {name: number for name, number in numbers.items() if number < factor}


def replicas_differing(found: Sequence[api.Shard]) -> dict[str, dict[str, int]]:
    """The shards whose replicas, on disk, hold different numbers of objects: by node."""
    counts: dict[str, dict[str, int]] = {}
    for each in found:
        if each.objects is not None:
            counts.setdefault(each.name, {})[each.node] = each.objects
    return {name: by_node for name, by_node in counts.items() if len(set(by_node.values())) > 1}


def holding(found: Sequence[api.Shard], tenants: Iterable[str | None]) -> dict[str | None, list[str]]:
    """The nodes that have the objects of each tenant, where several have. Of objects without one (None), the nodes
    that have all shards: in which of them an object is, a server does not tell."""
    names = {each.name for each in found}
    has: dict[str, set[str]] = {}
    for each in found:
        has.setdefault(each.node, set()).add(each.name)
    nodes = {
        tenant: sorted(node for node, shards in has.items() if ({tenant} if tenant is not None else names) <= shards)
        for tenant in tenants
    }
    return {tenant: listed for tenant, listed in nodes.items() if len(listed) > 1}


def replicas(
    factor: int,
    few: Mapping[str, int],
    differing: Mapping[str, Mapping[str, int]],
    lacking: Mapping[str, int],
    looked: int,
) -> findings.Finding:
    """Numbers on disk may be a minute old; whether each node has its copies of a few objects is exact."""
    wrong = []
    if few:
        wrong.append("too few replicas: " + named(f"{name} has {number} of {factor}" for name, number in few.items()))
    if lacking:
        which = named(f"{node} lacks {number}" for node, number in lacking.items())
        wrong.append(f"of {looked} objects that were looked up on each node, {which}")
    told = named(f"{name} ({_counts(by_node)})" for name, by_node in differing.items())
    on_disk = f"on disk the replicas differ: {told}" if told else ""
    if wrong:
        hint = "Start the missing nodes; replicas are repaired as objects are read with consistency ALL, and by "
        hint += "themselves where replicationConfig.asyncEnabled is set."
        return findings.degraded(f"{'; '.join(filter(None, [*wrong, on_disk])).capitalize()}.", hint)
    if on_disk and not looked:
        hint = "Look again in a minute: numbers on disk are up to so old while something is written."
        return findings.degraded(f"{on_disk.capitalize()}.", hint)
    said = f"{factor} replicas of each shard"
    said += f"; {scales.counted(looked, 'object')} looked up, and on all of them" if looked else ""
    return findings.ok(f"{said}; {on_disk}, as numbers that are a minute old may" if on_disk else said)


def _counts(by_node: Mapping[str, int]) -> str:
    return ", ".join(f"{node} {number}" for node, number in by_node.items())


def waiting(found: Sequence[api.Shard]) -> dict[tuple[str, str], int | None]:
    """How many vectors wait in each replica, by shard and node; None where it is not told."""
    return {(each.name, each.node): each.queue for each in found if each.loaded}


def queue(
    before: Mapping[tuple[str, str], int | None], again: Mapping[tuple[str, str], int | None] | None, most: int
) -> findings.Finding:
    """The queues, at one look and a second later (None where there was nothing to wait for)."""
    if any(number is None for number in before.values()):
        return findings.degraded("A node does not tell how many vectors wait.", "Its own log says more.")
    now = before if again is None else again
    total = sum(number or 0 for number in now.values())
    said = f"{scales.counted(total, 'vector')} wait for the index"
    full = [f"{shard} on {node}: {number}" for (shard, node), number in now.items() if (number or 0) > most]
    if full:
        hint = "Write more slowly, or give the nodes more processors; the limit is weaviate.max_queue."
        return findings.degraded(f"More than {most} vectors wait for the index: {named(full)}.", hint)
    stuck = [shard for shard, number in now.items() if number and number >= (before.get(shard) or 0)]
    if again is not None and stuck and total:
        hint = "Look again: what is written to all the time always has some; else the node's log says why."
        which = named(f"{shard} on {node}" for shard, node in stuck)
        return findings.degraded(f"{said}, and it does not become less: {which}.", hint)
    return findings.ok(said)


def integrity(found: samples.Faults, sample: samples.Sample) -> findings.Finding:
    """The objects of a sample; how many were looked at is said, too."""
    looked = f"{scales.counted(sample.size, 'object')} looked at{' (all)' if sample.is_all else ''}"
    wrong = []
    for vector, number in found.lacking.items():
        if number:
            wrong.append(f"{number} without {_called(vector)}")
    for vector, lengths in found.lengths.items():
        if len(lengths) > 1:
            told = ", ".join(f"{number} of {length}" for length, number in lengths.most_common())
            wrong.append(f"{_called(vector)} has different lengths ({told})")
    if found.dangling:
        uuid, prop, beacon = found.dangling[0]
        wrong.append(f"{len(found.dangling)} of {found.followed} references lead nowhere ({uuid}.{prop} to {beacon})")
    if wrong:
        hint = "Write those objects again with their vectors, and delete or correct references: PUT "
        hint += "/v1/objects/CLASS/ID/references/PROPERTY; nothing is changed by --fix."
        return findings.degraded(f"{looked}: {'; '.join(wrong)}.", hint)
    more = f", {scales.counted(found.followed, 'reference')} followed" if found.followed else ""
    return findings.ok(f"{looked}{more}")


def _called(vector: str | None) -> str:
    return "a vector" if vector is None else f"the vector {vector}"


def performance(seconds: float | None, most: float) -> findings.Finding:
    """How long 95 of 100 queries have taken at most."""
    if seconds is None:
        return findings.skipped("The listener has seen no query of it since the server began.")
    said = f"95 of 100 queries took up to {seconds * 1000:.0f} ms since the server began"
    if seconds * 1000 > most:
        hint = "`daglab collections optimize NAME --analyze` says what may help; the limit is weaviate.max_query_ms."
        return findings.degraded(f"{said}; {most:g} ms are allowed.", hint)
    return findings.ok(said)

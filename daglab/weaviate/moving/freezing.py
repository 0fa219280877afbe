"""A collection made read-only for a while, and writable again: whoever is killed meanwhile has noted it before.

A server refuses to write, change and delete objects and references in a shard that is READONLY. It does not refuse that
tenants are made, deleted, or made inactive, and a shard that is loaded again (a tenant made active, a server that was
restarted) is writable: so whether all was read-only to the end is looked at (`is_whole`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence, Set

from daglab import errors
from daglab.weaviate import api, journals, rest, schemas, tenants, transfers

LONGEST = 60.0  # seconds until all nodes say that a shard is read-only
SETTLING = 10.0  # seconds until all nodes are well, and tell of a shard that they have
LOOK_SECONDS = 0.05


def freeze(journal: journals.Journal, side: transfers.Side, only: Iterable[str] | None = None) -> dict[str, str]:
    """Make all shards that are loaded read-only, or `only` these; which there are, each with its status before.

    They are noted before the first is. Raises `Failed` where a node can't be asked, `TimedOut` when it does not follow.
    """
    chosen = None if only is None else set(only)
    there = _all_told(side, chosen)
    wanted = {name: _one(each) for name, each in there.items() if chosen is None or name in chosen}
    before = journals.frozen_shards(journal.lines)
    if set(wanted) - set(before):
        journal.note(journals.FROZEN, shards={**wanted, **before})
    put(side, [name for name, status in wanted.items() if status != api.READONLY], api.READONLY)
    return wanted


def thaw(journal: journals.Journal, side: transfers.Side) -> list[str]:
    """Make what a freeze has made read-only writable again, but for what was read-only before; which shards."""
    before = journals.frozen_shards(journal.lines)
    if not before:
        return []
    frozen = [name for name, status in before.items() if status != api.READONLY]
    if api.exists(side.cluster, side.name):
        # Those that are writable, too: a killed freeze may have told a server what a node of it has not done yet. And
        # those that no node tells of just now: one that comes back does what it was told meanwhile.
        states = tenants_of(side)
        put(side, [name for name in frozen if not states or states.get(name) == tenants.ACTIVE], api.READY)
    journal.note(journals.THAWED, shards=len(frozen))
    return frozen


def is_whole(side: transfers.Side, states: Mapping[str, str]) -> bool:
    """Whether all is read-only still, and no tenant was made, deleted or (in)activated since it had these `states`."""
    there = statuses(side)
    if any(set(each) != {api.READONLY} for each in there.values()):
        return False
    return _is_all(side, there, None) and tenants_of(side) == states


def tenants_of(side: transfers.Side) -> dict[str, str]:
    """The state of each tenant; none for a collection without."""
    if not schemas.is_multi_tenant(api.schema(side.cluster, side.name)):
        return {}
    return api.tenants(side.cluster, side.name)


def statuses(side: transfers.Side) -> dict[str, list[str]]:
    """Each shard that is loaded (a tenant that is active), with what each node that has it says of it.

    Raises `Failed` where a node does not answer, for a moment's while: what it has may be written to.
    """
    deadline = time.monotonic() + SETTLING
    while True:
        found = api.nodes(side.cluster, side.name)
        ill = next((node for node in found if node.status != api.HEALTHY), None)
        if ill is None:
            return _told(found)
        if time.monotonic() > deadline:
            raise rest.Failed(
                f"The node {ill.name} of {side.cluster.name} is {ill.status}: its shards can't be made read-only.",
                "Try again when it is there.",
            )
        time.sleep(LOOK_SECONDS)  # under load, a node that is well is told of as UNHEALTHY at times


def _told(nodes: Iterable[api.Node]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node in nodes:
        for shard in node.shards:
            found.setdefault(shard.name, []).append(shard.indexing or api.READY)
    return found


def _all_told(side: transfers.Side, only: Set[str] | None) -> dict[str, list[str]]:
    """The statuses of all replicas: those of a tenant that was made active come a moment later."""
    deadline = time.monotonic() + SETTLING
    while not _is_all(side, there := statuses(side), only):
        if time.monotonic() > deadline:
            raise rest.Failed(
                f"Not all replicas of {side.name} are told of in {side.cluster.name}: what is not can't be read-only.",
                "Is a node gone? Try again when it is back: `daglab collections health` names what is missing.",
            )
        time.sleep(LOOK_SECONDS)
    return there


def _is_all(side: transfers.Side, there: Mapping[str, Sequence[str]], only: Set[str] | None) -> bool:
    """Whether all nodes have told of all shards: of a node that is lost, a cluster may soon say nothing any more."""
    schema = api.schema(side.cluster, side.name)
    if schemas.is_multi_tenant(schema):
        states = api.tenants(side.cluster, side.name)
        wanted = {each for each, state in states.items() if state == tenants.ACTIVE and (only is None or each in only)}
        told = len(wanted)
    else:
        wanted, told = set(there), int((schema.get("shardingConfig") or {}).get("actualCount") or 1)
    copies = int((schema.get("replicationConfig") or {}).get("factor") or 1)
    return len(wanted) >= told and all(len(there.get(each, ())) >= copies for each in wanted)


def _one(statuses: Sequence[str]) -> str:
    """The status of a shard: READONLY where all nodes say so."""
    return next((each for each in statuses if each != api.READONLY), api.READONLY)


def put(side: transfers.Side, shards: Iterable[str], status: str) -> None:
    """Give shards a status, and wait until all nodes say so; what is gone meanwhile (a tenant) is left.

    Raises `TimedOut` where a node does not follow, and as `rest.change` does.
    """
    waiting = set(shards)
    for name in sorted(waiting):
        try:
            api.set_shard_status(side.cluster, side.name, name, status)
        except (rest.Missing, rest.Refused, rest.Failed):
            if _is_there(side, name):
                raise
    deadline = time.monotonic() + LONGEST
    while waiting:
        silent_too = status != api.READONLY
        there = _told(api.nodes(side.cluster, side.name)) if silent_too else statuses(side)
        done = {name for name, found in there.items() if _is_done(found, status)}
        waiting = waiting & set(there) - done
        if waiting and time.monotonic() > deadline:
            raise errors.TimedOut(
                f"{side.name}: the shard {min(waiting)} did not become {status} on every node.",
                "Is its disk or memory short (DISK_USE_READONLY_PERCENTAGE)? Its server's log says why.",
            )
        if waiting:
            time.sleep(LOOK_SECONDS)


def _is_done(found: Sequence[str], status: str) -> bool:
    """Whether all replicas are read-only, or none is any more."""
    return set(found) == {api.READONLY} if status == api.READONLY else api.READONLY not in found


def _is_there(side: transfers.Side, shard: str) -> bool:
    """Whether a shard is there: one of a collection always is, one of a tenant while that is active."""
    states = tenants_of(side)
    return not states or states.get(shard) == tenants.ACTIVE

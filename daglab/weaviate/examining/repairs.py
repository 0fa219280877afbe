"""What of a Weaviate's faults can be put right without a risk: what that would be, and doing it.

A shard is made READY again, a tenant is put back or activated, and the journal of a work whose collection is gone is
taken away. No object, no schema and no alias is ever changed.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from daglab import errors, scales
from daglab.weaviate import api, journals, rest, schemas, tenants, transfers
from daglab.weaviate.examining import diagnoses, judgements, vitals
from daglab.weaviate.moving import freezing

UNREAD = "what is wrong with it can't be told"


@dataclass(frozen=True)
class Repair:
    """A fault that can be put right: of a collection, which (`what` says what will be done), and how."""

    collection: str
    fault: str  # the same for the same fault in a later look
    what: str
    do: Callable[[], None]
    afterwards: str | None = None  # what has to follow


@dataclass(frozen=True)
class Refusal:
    """A fault that looks like one that can be put right, and is left alone: why."""

    collection: str
    what: str
    why: str


@dataclass(frozen=True)
class Plan:
    """What would be done, and what would not."""

    repairs: list[Repair]
    refused: list[Refusal]


def plan(look: vitals.Look, names: Iterable[str], *, force: bool) -> Plan:
    """What can be put right of these collections. With `force`, also shards of a node that looks short of disk."""
    found = Plan([], [])
    for name in names:
        for some in (_shards, _tenants):
            try:
                some(look, name, found, force)
            except errors.DaglabError as error:
                found.refused.append(Refusal(name, UNREAD, error.message))
    _journals(look, found)
    return found


def do(repair: Repair) -> str | None:
    """Put one right; why that did not work, None where it did."""
    try:
        repair.do()
    except errors.DaglabError as error:
        return error.message
    return None


def _shards(look: vitals.Look, name: str, found: Plan, force: bool) -> None:
    works = [each for each in vitals.works(look) if each.collection == name]
    held = {shard for work in works if work.running for shard in work.frozen}
    short = [] if force else judgements.pressed(vitals.nodes(look), vitals.works(look))
    readonly: dict[str, list[str]] = {}
    for each in vitals.shards(look, name):
        if each.indexing == api.READONLY:
            readonly.setdefault(each.name, []).append(each.node)
    killed = {shard: work for work in works if not work.running for shard in work.frozen}
    for shard, nodes in readonly.items():
        where = f"shard {shard} of {name}, READONLY on {judgements.named(nodes)}"
        if shard in held:
            found.refused.append(Refusal(name, where, "A migration that is running holds it."))
        elif full := [node for node in nodes if node in short]:
            why = f"All shards of {judgements.named(full)} are READONLY: its disk or memory seems short. Make room, "
            found.refused.append(Refusal(name, where, f"{why}then add --force."))
        elif shard not in killed:
            found.repairs.append(
                Repair(name, f"shard {shard}", f"make READY: {where}", functools.partial(ready, look, name, [shard]))
            )
    for work in {id(work): work for work in killed.values()}.values():
        frozen = [shard for shard in work.frozen if shard in readonly]
        if frozen and not any(node in short for shard in frozen for node in readonly[shard]):
            found.repairs.append(_thaw(look, name, work, frozen))


def _thaw(look: vitals.Look, name: str, work: vitals.Work, frozen: list[str]) -> Repair:
    def thaw() -> None:
        with _journal(look, work) as journal:
            ready(look, name, frozen)
            journal.note(journals.THAWED, shards=len(frozen))

    what = f"make READY: {scales.counted(len(frozen), 'shard')} of {name}, which a killed migration has frozen"
    return Repair(name, f"frozen {work.folder.name}", what, thaw, judgements.how_to_end(work))


def _tenants(look: vitals.Look, name: str, found: Plan, force: bool) -> None:
    if name not in vitals.schemas(look) or not schemas.is_multi_tenant(vitals.schemas(look)[name]):
        return
    states = vitals.tenants(look, name)
    works = [each for each in vitals.works(look) if each.collection == name]
    for work in works:
        before = judgements.misplaced(states, [work])
        if before:
            found.repairs.append(_put_back(look, name, work, before))
    loaded = {each.name for each in vitals.shards(look, name)}
    homeless = judgements.shardless(states, loaded)
    complete = all(each.status == api.HEALTHY for each in vitals.nodes(look))
    for tenant, status in states.items():
        if status == "ONLOADING" or (tenant in homeless and complete):
            what = f"activate: tenant {tenant} of {name}, {status}"
            found.repairs.append(
                Repair(name, f"tenant {tenant}", what, functools.partial(activate, look, name, tenant))
            )
        elif status == "OFFLOADING":
            why = "Only its server can end that; its log says why it takes long."
            found.refused.append(Refusal(name, f"tenant {tenant} of {name} is {status}", why))


def _put_back(look: vitals.Look, name: str, work: vitals.Work, before: dict[str, str]) -> Repair:
    def put_back() -> None:
        with _journal(look, work) as journal:
            there = journals.owed(journal.lines)
            tenants.put_states(look.cluster, name, {each: before[each] for each in before if each in there})
            for tenant in before:
                journal.note(journals.PUT_BACK, tenant=tenant)

    which = judgements.named(f"{tenant} {state}" for tenant, state in before.items())
    what = f"put back: tenants of {name} as a killed {work.kind} has found them: {which}"
    return Repair(name, f"tenants {work.folder.name}", what, put_back, judgements.how_to_end(work))


def _journals(look: vitals.Look, found: Plan) -> None:
    """A work whose collection is gone can't be resumed, and there is nothing to undo at its source."""
    try:
        there = vitals.leading_schemas(look)  # not the node's own: it may not know of it yet
        works = vitals.works(look)
    except errors.DaglabError:
        return
    for work in works:
        is_gone = work.needs_source and work.collection not in there
        if is_gone and not work.running and look.only in (None, work.collection):
            found.repairs.append(_forget(look, work))


def _forget(look: vitals.Look, work: vitals.Work) -> Repair:
    def forget() -> None:
        with _journal(look, work) as journal:
            journals.finish(journal)

    what = f"remove the journal {work.folder.name}: {work.collection}, which it is of, is gone"
    return Repair(work.collection, f"journal {work.folder.name}", what, forget)


@contextlib.contextmanager
def _journal(look: vitals.Look, work: vitals.Work) -> Iterator[journals.Journal]:
    """The journal of a killed work, held. Raises `Taken` where somebody is at it, or has ended it, by now."""
    if not journals.is_there(look.root, work.work):  # to open it would begin a new one
        raise errors.Taken(f"That {work.kind} of {work.collection} was ended meanwhile.", "Look again.")
    with journals.opened(look.root, work.work) as journal:
        yield journal


def ready(look: vitals.Look, name: str, shards: Iterable[str]) -> None:
    """Make shards READY. Raises as `freezing.put` does."""
    freezing.put(transfers.Side(look.cluster, name), shards, api.READY)


def activate(look: vitals.Look, name: str, tenant: str) -> None:
    """Make a tenant active, also one that says it is on its way. Raises as `tenants.activate` does."""
    with contextlib.suppress(rest.Refused):  # it may have arrived by now
        api.set_tenants(look.cluster, name, {tenant: tenants.ACTIVE})
    tenants.activate(look.cluster, name, tenant)


def names_of(look: vitals.Look) -> list[str]:
    """The collections that are looked at. Raises `Missing` for one that there is not."""
    return [diagnoses.existing(look, look.only)] if look.only else list(vitals.schemas(look))

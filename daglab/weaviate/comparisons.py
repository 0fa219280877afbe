"""Whether two collections hold the same: counted, then object by object along both cursors, in the order of ids."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from daglab.weaviate import api, cursors, objects, rest, schemas, store, transfers
from daglab.weaviate.measuring import measures

Key = TypeVar("Key", str, tuple[int, str])

MOST_LISTED = 100  # ids of each kind of difference; all are counted

Readable = Callable[[str, str], AbstractContextManager[None]]  # a tenant and its state: it is active meanwhile


@dataclass
class Difference:
    """How many objects each side has, and which of them are `missing`, `extra` or `changed` in the second.

    The lists hold `(tenant, id)`, the first hundred of each kind; `compared` is how many were the same.
    """

    source: int = 0
    target: int = 0
    compared: int = 0
    missing: list[tuple[str | None, str]] = field(default_factory=list)
    extra: list[tuple[str | None, str]] = field(default_factory=list)
    changed: list[tuple[str | None, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"missing": 0, "extra": 0, "changed": 0})

    @property
    def is_none(self) -> bool:
        """Whether both are the same."""
        return not any(self.counts.values()) and self.source == self.target

    def add(self, tenant: str | None, uuid: str, one: str | None, other: str | None) -> None:
        """Count an object by its digest on both sides, None where it is not."""
        self.source += one is not None
        self.target += other is not None
        if one == other:
            self.compared += 1
        else:
            self._note("extra" if one is None else "missing" if other is None else "changed", tenant, uuid)

    def _note(self, kind: str, tenant: str | None, uuid: str) -> None:
        self.counts[kind] += 1
        listed: list[tuple[str | None, str]] = getattr(self, kind)
        if len(listed) < MOST_LISTED:
            listed.append((tenant, uuid))


def compare(
    source: transfers.Side,
    target: transfers.Side,
    tell: Callable[[int], None] | None = None,
    readable: Readable | None = None,
) -> Difference:
    """Compare all objects by the hash of id, properties and vectors. Raises as reading them does.

    Raises `Failed` where a shard is on no node that answers: what is left of both may well be the same. What an object
    of a tenant refers to and is not there is no difference: no server takes such a reference. `readable` has a
    tenant of the source active meanwhile, where more than that is to be done with it.
    """
    for side in (source, target):
        counted(side)
    found = _compared(source, target, tell, readable)
    for side in (source, target):
        counted(side)
    return found


def counted(side: transfers.Side) -> int | None:
    """How many objects there are by Aggregate; None where tenants are inactive. Raises `Failed` where some are lacking.

    A cluster that has lost a node lists, and counts, what the others have, and says no word of the rest.
    """
    [found] = measures.look(side.cluster, [side.name], vectors=False).measures
    if found.problem:
        raise rest.Failed(found.problem, "Try again when all nodes are there.")
    return None if found.uncounted else found.objects


def _compared(
    source: transfers.Side,
    target: transfers.Side,
    tell: Callable[[int], None] | None,
    readable: Readable | None,
) -> Difference:
    schema = api.schema(source.cluster, source.name)
    referring = schemas.references(schema)
    renamed = {source.name: target.name}
    found = Difference()
    for tenant, has in _tenants(source, target, schema, readable):
        left = _digests(source, tenant, referring, renamed) if has[0] else iter(())
        right = _digests(target, tenant, referring, {}) if has[1] else iter(())
        for uuid, one, other in joined(left, right):
            if tenant and referring and one and other and one != other:
                other = one if _lead_nowhere(source, target, tenant, uuid, referring) else other
            found.add(tenant, uuid, one, other)
            if tell and found.compared % 1000 == 0:
                tell(found.compared)
    return found


def document(found: Difference) -> dict[str, Any]:
    """A comparison as JSON: how many there are, how many differ, and the first hundred of each kind."""
    listed = {kind: [{"tenant": tenant, "id": uuid} for tenant, uuid in getattr(found, kind)] for kind in found.counts}
    figures = {"source": found.source, "target": found.target, "same": found.compared}
    return {"ok": found.is_none, **figures, "differences": found.counts, **listed}


def _tenants(
    source: transfers.Side, target: transfers.Side, schema: Mapping[str, Any], readable: Readable | None
) -> Iterator[tuple[str | None, tuple[bool, bool]]]:
    """Each tenant of either side, with whether the one and the other have it; it is active there meanwhile."""
    if not schemas.is_multi_tenant(schema):
        yield None, (True, True)
        return
    ours, theirs = (api.tenants(side.cluster, side.name) for side in (source, target))
    for tenant in sorted({*ours, *theirs}):
        with contextlib.ExitStack() as active:
            if tenant in ours:
                own = readable or functools.partial(transfers.readable, source, journal=None)
                active.enter_context(own(tenant, ours[tenant]))
            if tenant in theirs:
                active.enter_context(transfers.readable(target, tenant, theirs[tenant], None))
            yield tenant, (tenant in ours, tenant in theirs)


def _lead_nowhere(
    source: transfers.Side, target: transfers.Side, tenant: str, uuid: str, referring: Mapping[str, Any]
) -> bool:
    """Whether two objects are the same but for references of the first that lead to nothing."""
    one = store.fetch(source.cluster, source.name, uuid, tenant=tenant)
    other = store.fetch(target.cluster, target.name, uuid, tenant=tenant)
    if one is None or other is None:
        return False
    for prop in referring:
        listed = objects.beacons(one, prop, {})
        kept = [{"beacon": beacon} for beacon in listed if _leads(source, tenant, beacon)]
        one.setdefault("properties", {})[prop] = kept
    return objects.digest(one, referring, {source.name: target.name}) == objects.digest(other, referring)


def _leads(side: transfers.Side, tenant: str, beacon: str) -> bool:
    name, _, uuid = beacon.removeprefix(objects.BEACON).partition("/")
    of_tenant = tenant if schemas.is_multi_tenant(api.schema(side.cluster, name)) else None
    return store.fetch(side.cluster, name, uuid, tenant=of_tenant) is not None


def _digests(
    side: transfers.Side, tenant: str | None, referring: Mapping[str, Any], renamed: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for page in cursors.pages(side.cluster, side.name, tenant=tenant, vectors=True):
        for each in page.objects:
            yield str(each["id"]), objects.digest(each, referring, renamed)


def joined(
    left: Iterator[tuple[Key, str]], right: Iterator[tuple[Key, str]]
) -> Iterator[tuple[Key, str | None, str | None]]:
    """The digests of both, which are in the order of their keys (ids), side by side; None where one has none."""
    one, other = next(left, None), next(right, None)
    while one or other:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None  # noqa: S101 (for the type checker)
            yield one[0], one[1], None
            one = next(left, None)
        elif one is None or other[0] < one[0]:
            yield other[0], None, other[1]
            other = next(right, None)
        else:
            yield one[0], one[1], other[1]
            one, other = next(left, None), next(right, None)

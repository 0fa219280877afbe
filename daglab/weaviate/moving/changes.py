"""What has changed in a collection since the last pass over it, written into another one; in constant memory.

A pass keeps a file for each tenant: 24 bytes for each object that the target may have, in the order of ids, with the
time of its last update. The next pass reads ids and times of the source in the same order, and joins both: what is new
or has another time is copied, what is gone is deleted. A killed pass leaves a file that is right as far as it goes:
what is being written stands in it before it is written.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from daglab import errors, web
from daglab.weaviate import batches, cursors, objects, rest, store, transfers

RECORD = struct.Struct(">16sq")  # an id, and its time in ms: 0 when it is not known, negative when it is not sure
UNSURE_SECONDS = 2.0  # before the server's clock: a second update may have the same time
FEW = 20  # objects of a page that are fetched one by one
MOST_DELETED = 500  # of a request
MOST_LISTED = 100  # failures; all are counted
TRIES = 4  # to write the references of a page
_NOWHERE = "not found for tenant"  # what a server says of a reference to an object that is not there (yet)
_FOREVER = b"\xff" * 17  # behind every id


@dataclass
class Changes:
    """What a pass found: objects `read`, new ones and `changed` ones, `again` copied to be sure, `deleted` ones.

    `dangling` references of tenants lead to nothing, which no server takes. `failed` lists the first hundred that were
    not written, `failures` counts them all. `left` are tenants that could not be read to their end, for the next pass.
    """

    read: int = 0
    new: int = 0
    changed: int = 0
    again: int = 0
    deleted: int = 0
    references: int = 0
    dangling: int = 0
    failures: int = 0
    failed: list[batches.Failure] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def found(self) -> int:
        """How many objects were not as the last pass had left them."""
        return self.new + self.changed + self.deleted


@dataclass(frozen=True)
class Way:
    """From where to where, how large batches are, where the files lie, and who is told how many were read."""

    source: transfers.Side
    target: transfers.Side
    folder: Path
    pace: batches.Pace
    referring: Mapping[str, Any]
    made: Sequence[str | None]  # vectors that the target would make itself
    tell: Callable[[int], None]


def known(folder: Path, tenant: str | None) -> Path:
    """The file of a tenant: what the target may have of it, by the last pass."""
    name = "objects" if tenant is None else hashlib.sha256(tenant.encode()).hexdigest()[:32]
    return folder / f"{name}.ids"


def forget(folder: Path, tenant: str) -> None:
    """Keep nothing of a tenant that is gone."""
    for path in (known(folder, tenant), _part(known(folder, tenant))):
        path.unlink(missing_ok=True)


def follow(way: Way, tenant: str | None, found: Changes) -> None:
    """Have the target's objects be as the source's are, of one tenant; adds to `found` what there was to do.

    Raises as `cursors.pages` and `batches.write` do; the next call goes on from there.
    """
    path = known(way.folder, tenant)
    part = _part(path)
    _mend(path, part)
    with open(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600), "rb") as old, part.open("wb") as new:
        _walk(way, tenant, _Records(old), new, found)
    os.replace(part, path)


def _walk(way: Way, tenant: str | None, old: _Records, new: BinaryIO, found: Changes) -> None:
    after = ""
    while True:
        full = old.first is None  # from here on all is new: read with vectors at once
        for page in cursors.pages(way.source.cluster, way.source.name, tenant=tenant, after=after, vectors=full):
            _page(way, tenant, page, after, full, old, new, found)
            after = page.objects[-1]["id"]
            way.tell(len(page.objects))
            if full != (old.first is None):
                break
        else:
            break
    for gone in old.lacking(_FOREVER, {}, {}):
        _delete(way, tenant, gone, found)


def _page(
    way: Way,
    tenant: str | None,
    page: store.Page,
    after: str,
    full: bool,
    old: _Records,
    new: BinaryIO,
    found: Changes,
) -> None:
    """One page: what is gone before its end is deleted, what is new or changed is copied, and all of it noted."""
    there = {UUID(each["id"]).bytes: each for each in page.objects}
    before: dict[bytes, int] = {}
    for gone in old.lacking(max(there), there, before):
        _delete(way, tenant, gone, found)
    wanted = {uid: each for uid, each in there.items() if before.get(uid) != _time(each)}
    times = {uid: 0 if uid in wanted else _time(each) for uid, each in there.items()}
    place = new.seek(0, os.SEEK_END)
    _note(new, place, times)
    if wanted:
        copied = _copied(way, tenant, page, after, full, wanted, found)
        _note(new, place, {**times, **copied})
    found.read += len(there)
    found.new += len(there) - len(before)
    found.changed += sum(before[uid] != 0 and abs(before[uid]) != _time(wanted[uid]) for uid in wanted if uid in before)
    found.again += sum(before[uid] in (0, -_time(wanted[uid])) for uid in wanted if uid in before)


def _copied(
    way: Way,
    tenant: str | None,
    page: store.Page,
    after: str,
    full: bool,
    wanted: Mapping[bytes, Mapping[str, Any]],
    found: Changes,
) -> dict[bytes, int]:
    """Copy objects of a page with their vectors; the time of each as it was copied, negative where it is not sure."""
    times = {}
    for some, at in _with_vectors(way, tenant, page, after, full, wanted):
        unwritten = _write(way, tenant, some, found)
        for each in some:
            sure = each["id"] not in unwritten and at is not None and _time(each) < (at - UNSURE_SECONDS) * 1000
            times[UUID(each["id"]).bytes] = _time(each) if sure else -_time(each)
    return times


def _with_vectors(
    way: Way, tenant: str | None, page: store.Page, after: str, full: bool, wanted: Mapping[bytes, Mapping[str, Any]]
) -> Iterator[tuple[list[dict[str, Any]], float | None]]:
    """The wanted objects of a page with their vectors, and the server's clock when they were read."""
    source = way.source
    if full:
        yield page.objects, page.at
    elif len(wanted) <= FEW:
        fetched = (store.fetch(source.cluster, source.name, each["id"], tenant=tenant) for each in wanted.values())
        yield [each for each in fetched if each is not None], page.at
    else:
        last = page.objects[-1]["id"]
        for again in cursors.pages(source.cluster, source.name, tenant=tenant, after=after, vectors=True):
            yield [each for each in again.objects if UUID(each["id"]).bytes in wanted], again.at
            if again.objects[-1]["id"] >= last:
                return


def _write(way: Way, tenant: str | None, found: Sequence[Mapping[str, Any]], changes: Changes) -> set[str]:
    """Write objects with what they refer to; the ids of those that were not written as they are.

    An object that is written loses its references, so that they are added after; twice is as once, for both together.
    """
    lacking = [each for each in found if objects.lacking(each, way.made)]
    kept = [each for each in found if each not in lacking] if lacking else found
    sent = [objects.outgoing(each, way.target.name, tenant=tenant, without=way.referring) for each in kept]
    for attempt in range(TRIES):
        failed = batches.write(way.target.cluster, sent, way.pace)
        unwritten = {one.id for one in failed}
        written = [each for each in kept if each["id"] not in unwritten]
        try:
            refused = _refer(way, tenant, written)
            break
        except (rest.Failed, errors.OutcomeUnknown):
            if attempt + 1 == TRIES:
                raise
            time.sleep(web.delay(attempt))
    failed += [batches.Failure(str(each["id"]), "it has no vector, and the server would make one") for each in lacking]
    changes.references += sum(len(objects.beacons(each, prop, {})) for each in written for prop in way.referring)
    changes.references -= len(refused)
    dangling = [each for each in refused if _NOWHERE in each.reason]
    failed += [each for each in refused if _NOWHERE not in each.reason]
    changes.dangling += len(dangling)
    changes.failures += len(failed)
    changes.failed += failed[: MOST_LISTED - len(changes.failed)]
    return {each.id for each in failed + dangling}


def _refer(way: Way, tenant: str | None, written: Sequence[Mapping[str, Any]]) -> list[batches.Failure]:
    """Add what objects refer to; what failed, by the id of the object that refers."""
    if not way.referring or not written:
        return []
    renamed = {way.source.name: way.target.name}
    failed = transfers.add_references(way.target, tenant, written, way.referring, renamed)
    return [batches.Failure(each.id.split("/")[1], f"it refers to {each.reason}") for each in failed]


def _delete(way: Way, tenant: str | None, gone: Sequence[bytes], found: Changes) -> None:
    ids = [str(UUID(bytes=each)) for each in gone]
    store.delete_objects(way.target.cluster, way.target.name, ids, tenant=tenant)
    found.deleted += len(ids)


def _time(each: Mapping[str, Any]) -> int:
    return int(each.get("lastUpdateTimeUnix") or 0)


def _note(new: BinaryIO, place: int, times: Mapping[bytes, int]) -> None:
    """Write the records of a page at its place; they are in the file when this returns, whoever is killed after."""
    new.seek(place)
    new.write(b"".join(RECORD.pack(uid, when) for uid, when in sorted(times.items())))
    new.flush()


class _Records:
    """The records of a file in their order; `first` is the next one, None behind the last."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.first: tuple[bytes, int] | None = None
        self._next()

    def lacking(self, last: bytes, there: Mapping[bytes, Any], before: dict[bytes, int]) -> Iterator[list[bytes]]:
        """The ids up to `last` that are not `there`, some at a time; the others go into `before` with their times."""
        gone: list[bytes] = []
        while self.first is not None and self.first[0] <= last:
            uid, when = self.first
            if uid in there:
                before[uid] = when
            else:
                gone.append(uid)
            if len(gone) == MOST_DELETED:
                yield gone
                gone = []
            self._next()
        if gone:
            yield gone

    def _next(self) -> None:
        record = self._file.read(RECORD.size)
        self.first = RECORD.unpack(record) if len(record) == RECORD.size else None


def _part(path: Path) -> Path:
    return path.with_suffix(".part")


def _mend(path: Path, part: Path) -> None:
    """Where a pass was killed: what it has noted, and behind that what the one before had."""
    if not part.exists():
        return
    with part.open("r+b") as new:
        new.truncate(new.seek(0, os.SEEK_END) // RECORD.size * RECORD.size)
        end = new.seek(0, os.SEEK_END)
        if end:
            new.seek(end - RECORD.size)
        last = RECORD.unpack(new.read(RECORD.size))[0] if end else b""
        if path.exists():
            with path.open("rb") as old:
                while record := old.read(RECORD.size):
                    if record[:16] > last:
                        new.write(record)
    os.replace(part, path)

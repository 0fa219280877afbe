"""The objects of a collection written into another one: tenant by tenant, objects first, then what they refer to.

Faithful: ids, every property, every vector as it is stored; nothing is vectorized anew. Times are the server's own. The
place that was reached is noted after each page, so that a killed transfer goes on behind it: to write an object twice
comes to the same as once.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daglab import errors, web
from daglab.weaviate import api, batches, cursors, journals, objects, rest, schemas, store, tenants

# What a transformation makes of a page: an object, or None, for each.
Change = Callable[[Sequence[dict[str, Any]]], Sequence["dict[str, Any] | None"]]
Tell = Callable[["Tally"], None]

MOST_REFERENCES = 1000  # of a request
MANY_FAILED = 1000  # objects, after which it is looked at whether more fail than are written
MOST_FAILED = 10_000  # objects that are listed: beyond, memory would not be bounded


@dataclass(frozen=True)
class Side:
    """A collection in a cluster."""

    cluster: rest.Cluster
    name: str


def sides(source: Side, target: Side) -> dict[str, dict[str, str]]:
    """From where to where, as JSON."""
    pairs = {"source": source, "target": target}
    return {name: {"cluster": side.cluster.name, "collection": side.name} for name, side in pairs.items()}


@dataclass
class Tally:
    """How far a transfer has come: objects `read`, `written`, `dropped` on purpose, and those that `failed`.

    `gone` are tenants of the source that were deleted before they were read to their end.
    """

    read: int = 0
    written: int = 0
    dropped: int = 0
    references: int = 0
    failed: list[batches.Failure] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


class TooManyFailed(errors.NotGood):
    """So many objects were refused that it makes no sense to go on."""


def objects_of(
    source: Side, target: Side, journal: journals.Journal, pace: batches.Pace, tell: Tell, change: Change | None = None
) -> Tally:
    """Write all objects of `source` into `target`, without their references; tenants are made there, active ones.

    Begins where the journal says that an earlier try has come to. A tenant of the source is active while it is read,
    then as it was; give `tenants.put_states` the target and the source's `api.tenants` when all is written. Raises as
    `cursors.pages` and `batches.write` do, and `TooManyFailed`.
    """
    schema = api.schema(source.cluster, source.name)
    there = api.schema(target.cluster, target.name)
    referring = schemas.references(there if change else schema)
    tally = _tally(journal, "objects")
    for tenant, after in _places(source, target, schema, journal, "objects", tally):
        with _while_there(source, tenant, tally):
            for page in cursors.pages(
                source.cluster, source.name, tenant=tenant, after=after, vectors=True, as_text=change is None
            ):
                found = page.objects
                kept = [each for each in (change(found) if change else found) if each is not None]
                failed = _unfit(kept, there)
                unfit = {each.id for each in failed}
                sent = [
                    objects.outgoing(each, target.name, tenant=tenant, without=referring)
                    for each in kept
                    if each["id"] not in unfit
                ]
                failed += batches.write(target.cluster, sent, pace, page.texts)
                tally.read += len(found)
                tally.dropped += len(found) - len(kept)
                tally.written += len(kept) - len(failed)
                tally.failed += failed
                _note(journal, "objects", tenant, found[-1]["id"], tally, failed)
                tell(tally)
                refuse_many(target, tally.failed, tally.written)
    journal.note("objects", done=True, **_figures(tally))
    return tally


def references_of(
    source: Side, target: Side, journal: journals.Journal, tally: Tally, tell: Tell, change: Change | None = None
) -> None:
    """Write what the objects of `source` refer to, once they are all in `target`; to itself under its new name.

    To add a reference twice makes two of it. So it is noted what is about to be added; where it may have been, by an
    earlier try or because an answer was lost, what is there is taken away first.
    """
    schema = api.schema(source.cluster, source.name)
    renamed = {source.name: target.name}
    referring = schemas.references(api.schema(target.cluster, target.name) if change else schema)
    if not referring:
        return
    doubt = journal.last("references") or {}
    earlier = _tally(journal, "references")
    tally.references, tally.failed = earlier.references, [*tally.failed, *earlier.failed]
    for tenant, after in _places(source, target, schema, journal, "references", tally):
        with _while_there(source, tenant, tally):
            if doubt.get("tenant") == tenant and doubt.get("upto"):
                _forget(target, tenant, after, str(doubt["upto"]), list(referring))
            for page in cursors.pages(source.cluster, source.name, tenant=tenant, after=after, vectors=bool(change)):
                found = [each for each in (change(page.objects) if change else page.objects) if each is not None]
                last = str(page.objects[-1]["id"])
                journal.note("references", tenant=tenant, after=after, upto=last, **_figures(tally))
                failed = write_references(target, tenant, after, found, referring, renamed) if found else []
                tally.references += sum(
                    len(objects.beacons(each, name, renamed)) for each in found for name in referring
                )
                tally.references -= len(failed)
                tally.failed += failed
                after = last
                _note(journal, "references", tenant, after, tally, failed)
                tell(tally)
    journal.note("references", done=True, **_figures(tally))


def _unfit(kept: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> list[batches.Failure]:
    """Objects that would not be the same in a collection with this schema."""
    made, hashed = schemas.vectorized(schema), schemas.hashed(schema)
    failed = []
    for each in kept:
        if objects.lacking(each, made):
            failed.append(batches.Failure(str(each["id"]), "it has no vector, and the server would make one"))
        elif any((each.get("properties") or {}).get(name) is not None for name in hashed):
            reason = f"its {' and '.join(hashed)} is a hash (blobHash), and the server would hash it again"
            failed.append(batches.Failure(str(each["id"]), reason))
    return failed


def put_back(source: Side, journal: journals.Journal) -> None:
    """Put tenants of the source that a transfer was killed in into their own states: for who does not resume it."""
    states = journals.owed(journal.lines)
    tenants.put_states(source.cluster, source.name, states)
    for tenant in states:
        journal.note(journals.PUT_BACK, tenant=tenant)


def write_references(
    target: Side,
    tenant: str | None,
    after: str,
    found: Sequence[Mapping[str, Any]],
    referring: Collection[str],
    renamed: Mapping[str, str],
    *,
    in_doubt: bool = False,
) -> list[batches.Failure]:
    """Add what objects refer to, which come next behind the id `after`; those references that could not be.

    Where an answer is lost, or an earlier try leaves it `in_doubt`, what is there is taken away first.
    """
    for attempt in range(batches.TRIES):
        try:
            if in_doubt:
                _forget(target, tenant, after, str(found[-1]["id"]), referring)
            failed = add_references(target, tenant, found, referring, renamed)
            return _really(target, tenant, after, found, referring, renamed, failed) if failed else []
        except (web.AnswerLost, rest.Failed):
            if attempt + 1 == batches.TRIES:
                raise
            in_doubt = True
            time.sleep(web.delay(attempt))
    raise AssertionError


def add_references(
    target: Side,
    tenant: str | None,
    found: Sequence[Mapping[str, Any]],
    referring: Iterable[str],
    renamed: Mapping[str, str],
) -> list[batches.Failure]:
    """Add what objects refer to; those that could not be."""
    of_tenant = {} if tenant is None else {"tenant": tenant}
    wanted = [
        {"from": f"{objects.BEACON}{target.name}/{each['id']}/{prop}", "to": beacon, **of_tenant}
        for each in found
        for prop in referring
        for beacon in objects.beacons(each, prop, renamed)
    ]
    failed = []
    for attempt in range(batches.TRIES):
        again = []
        for start in range(0, len(wanted), MOST_REFERENCES):
            some = wanted[start : start + MOST_REFERENCES]
            for each, problem in zip(some, _added(target, some), strict=True):
                if problem and batches.passes(problem) and attempt + 1 < batches.TRIES:
                    again.append(each)
                elif problem:
                    said = f"{each['to']}: {problem}"
                    failed.append(batches.Failure(each["from"].removeprefix(objects.BEACON), said))
        if not again:
            break
        time.sleep(web.delay(attempt))
        wanted = again
    return failed


def _added(target: Side, some: Sequence[Mapping[str, Any]]) -> list[str | None]:
    results = store.put_references(target.cluster, some)
    if len(results) != len(some):
        what = f"{target.cluster.name} answered for {len(results)} of {len(some)} references."
        raise rest.Failed(what, "Is something in between?")
    return results


def _really(
    target: Side,
    tenant: str | None,
    after: str,
    found: Sequence[Mapping[str, Any]],
    referring: Collection[str],
    renamed: Mapping[str, str],
    said: Sequence[batches.Failure],
) -> list[batches.Failure]:
    """The references that are not there: of a read-only shard, too, a server refuses one and calls others good."""
    upto = str(found[-1]["id"])
    there: Counter[tuple[str, str, str]] = Counter()
    for page in cursors.pages(target.cluster, target.name, tenant=tenant, after=after, vectors=False):
        there.update(
            (str(each["id"]), name, to)
            for each in page.objects
            for name in referring
            for to in objects.beacons(each, name, {})
        )
        if page.objects[-1]["id"] >= upto:
            break
    reasons = {each.id: each.reason for each in said}
    failed = []
    for each in found:
        for name in referring:
            wanted = Counter(objects.beacons(each, name, renamed))
            for to, times in wanted.items():
                ident = f"{target.name}/{each['id']}/{name}"
                reason = reasons.get(ident, f"{to}: it is not there, though the server called it good")
                lost = times - there[str(each["id"]), name, to]
                failed += [batches.Failure(ident, reason)] * lost
    return failed


def _forget(target: Side, tenant: str | None, after: str, upto: str, referring: Collection[str]) -> None:
    """Write the objects of `target` behind `after`, up to the id `upto`, anew without what they refer to.

    A server that is told to have a property refer to nothing adds no references to it any more.
    """
    pace = batches.pace(10, 100)
    for page in cursors.pages(target.cluster, target.name, tenant=tenant, after=after, vectors=True, as_text=True):
        sent = [
            objects.outgoing(each, target.name, tenant=tenant, without=referring)
            for each in page.objects
            if str(each["id"]) <= upto and any(name in (each.get("properties") or {}) for name in referring)
        ]
        for each in batches.write(target.cluster, sent, pace, page.texts):
            raise rest.Failed(f"The references of {each.id} could not be taken away: {each.reason}", "Try again.")
        if page.objects[-1]["id"] >= upto:
            return


def _places(
    source: Side, target: Side, schema: Mapping[str, Any], journal: journals.Journal, stage: str, tally: Tally
) -> Iterator[tuple[str | None, str]]:
    """Each tenant (None where there are none) with the id that was reached in it, those that come meanwhile, too.

    A tenant is active meanwhile; it is noted before it is made so, and it is there on the target, active.
    """
    last = journal.last(stage) or {}
    if last.get("done"):
        return
    if not schemas.is_multi_tenant(schema):
        yield None, str(last.get("after") or "")
        return
    over = {line.get("tenant") for line in journal.lines if line.get("stage") == stage and line.get("over")}
    while listed := {
        name: state for name, state in api.tenants(source.cluster, source.name).items() if name not in over
    }:
        tenants.make(target.cluster, target.name, listed)
        states = {**listed, **journals.owed(journal.lines)}
        for tenant in listed:
            over.add(tenant)
            with _while_there(source, tenant, tally), readable(source, tenant, states[tenant], journal):
                yield tenant, str(last.get("after") or "") if tenant == last.get("tenant") else ""
            journal.note(stage, tenant=tenant, over=True, **_figures(tally))


@contextlib.contextmanager
def readable(side: Side, tenant: str, status: str, journal: journals.Journal | None) -> Iterator[None]:
    """A tenant that is active meanwhile; with a journal, that is `owed` until it is as it was."""

    def note(tenant: str, status: str) -> None:
        if journal:
            journal.note(journals.ACTIVATED, tenant=tenant, status=status)

    active = contextlib.ExitStack()
    active.enter_context(tenants.readable(side.cluster, side.name, tenant, status, note))
    try:
        yield
    finally:
        active.close()
        if journal and status != tenants.ACTIVE:
            journal.note(journals.PUT_BACK, tenant=tenant)


@contextlib.contextmanager
def _while_there(source: Side, tenant: str | None, tally: Tally) -> Iterator[None]:
    """Leave a tenant that is deleted meanwhile."""
    try:
        yield
    except (rest.Refused, rest.Missing):
        if tenant is None or api.tenant(source.cluster, source.name, tenant) is not None:
            raise
        tally.gone.append(tenant)


def refuse_many(target: Side, failed: Sequence[batches.Failure], written: int) -> None:
    """Raise `TooManyFailed` where more objects have failed than are `written`, or more than can be listed."""
    if len(failed) >= MOST_FAILED or (len(failed) >= MANY_FAILED and len(failed) > written):
        raise TooManyFailed(
            f"{target.cluster.name} has refused {len(failed)} objects of {target.name}, the last one so: "
            f"{failed[-1].reason}",
            "What it says has to be put right first; then the work can be resumed or begun anew.",
        )


def _note(
    journal: journals.Journal,
    stage: str,
    tenant: str | None,
    after: str,
    tally: Tally,
    failed: Sequence[batches.Failure],
) -> None:
    said = [vars(each) for each in failed]
    journal.note(stage, tenant=tenant, after=after, **_figures(tally), failed=said)


def _figures(tally: Tally) -> dict[str, int]:
    return {name: getattr(tally, name) for name in ("read", "written", "dropped", "references")}


def _tally(journal: journals.Journal, stage: str) -> Tally:
    """What an earlier try had come to."""
    last = journal.last(stage) or {}
    failed = [
        batches.Failure(str(each["id"]), str(each["reason"]))
        for line in journal.lines
        if line.get("stage") == stage
        for each in line.get("failed") or ()
    ]
    read, written, dropped, references = (int(last.get(name) or 0) for name in _figures(Tally()))
    return Tally(read, written, dropped, references, failed)

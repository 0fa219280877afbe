"""Collections brought back from files: made anew, objects first, then what they refer to, then compared with the file.

The file is read whole before anything is sent. How far it has come is noted after each portion, so that a killed one is
gone on with by the same command, and the same file.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daglab import errors
from daglab.weaviate import (
    api,
    batches,
    comparisons,
    cursors,
    journals,
    objects,
    placement,
    rest,
    schemas,
    tenants,
    transfers,
)
from daglab.weaviate.keeping import archive_lines

KIND = "restore"
PORTION, PORTION_BYTES = 500, 4_000_000  # objects, and about how many bytes of them, that are in memory at a time
_Digest = tuple[tuple[int, str], str]  # the place of its tenant and its id, the hash of an object


@dataclass(frozen=True)
class Plan:
    """What is brought back, from where, as what."""

    path: Path
    head: archive_lines.Head
    end: archive_lines.End
    name: str
    schema: dict[str, Any]

    @property
    def renamed(self) -> dict[str, str]:
        """The name that references to the collection itself have to have."""
        return {self.head.collection: self.name}


@dataclass
class Outcome:
    """How many objects and references were written, which ones the server did not take, and how both sides differ.

    `settings` are those of the schema that the server has made otherwise; `states` the tenants whose state it refused.
    """

    resumed: bool = False
    objects: int = 0
    references: int = 0
    failed: list[batches.Failure] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    difference: comparisons.Difference = field(default_factory=comparisons.Difference)

    @property
    def is_good(self) -> bool:
        """Whether all that the file has is there, and nothing else."""
        return not self.failed and not self.states and self.difference.is_none


def planned(path: Path, name: str | None = None) -> Plan:
    """What a file holds, for the collection `name` or the one that it is of. Reads it whole, and nothing else.

    Raises `Broken` for a file that is not as it was written, `InvalidInput` for a name that Weaviate does not take.
    """
    head, end = archive_lines.check(path)
    wanted = name or head.collection
    schemas.check_name(wanted)
    return Plan(path, head, end, wanted, schemas.portable(head.schema, wanted))


def is_begun(cluster: rest.Cluster, plan: Plan, root: Path) -> bool:
    """Whether an earlier try has begun this very work."""
    return journals.is_there(root, _work(cluster, plan))


def refuse(cluster: rest.Cluster, plan: Plan) -> None:
    """Raise where it can't be restored there: `Taken` where it is, `InvalidInput` where the cluster can't take it."""
    placement.refuse_taken(cluster, plan.name, "It is left as it is: take another name by --as, or rm it.")
    placement.check(cluster, plan.schema)


def restore(
    cluster: rest.Cluster, plan: Plan, pace: batches.Pace, *, root: Path, tell: Callable[[str, int], None]
) -> Outcome:
    """Bring a collection back. `tell` is given what is being done and how many objects of the file that has come to.

    Raises `Taken` where there is such a collection and where somebody else is at it, and as writing it does. What the
    server refuses of single objects is in the outcome, but for `TooManyFailed`.
    """
    with journals.opened(root, _work(cluster, plan)) as journal:
        found = Outcome(resumed=_made(cluster, plan, journal))
        made = api.schema(cluster, plan.name)
        found.settings = _otherwise(plan.schema, made)
        _objects(cluster, plan, journal, pace, made, found, tell)
        _references(cluster, plan, journal, found, tell)
        found.difference = _compared(cluster, plan, tell)
        found.states = _put_states(cluster, plan)
        journals.finish(journal)
    return found


def _work(cluster: rest.Cluster, plan: Plan) -> dict[str, str]:
    path = os.path.realpath(plan.path)
    return {
        "kind": KIND,
        "collection": plan.name,
        "target": cluster.url,
        "file": path,
        "of": plan.head.collection,
        "sha256": plan.end.sha256,
    }


def _made(cluster: rest.Cluster, plan: Plan, journal: journals.Journal) -> bool:
    """Have the collection made, empty, with its tenants; whether an earlier try had begun to fill it."""
    last = journal.last("made")
    is_there = api.exists(cluster, plan.name)
    if last and is_there:
        return True
    if not is_there or journal.last("making") is None:
        try:
            refuse(cluster, plan)
        except errors.DaglabError:
            journals.finish(journal)
            raise
        journal.note("making")
        try:
            api.create(cluster, plan.schema)
        except rest.Refused:
            journals.finish(journal)  # what is there now is somebody else's
            raise
    elif any(page.objects for page in _first_pages(cluster, plan)):
        raise errors.Taken(f"{plan.name} is there, and somebody else has filled it.", "Take another name by --as.")
    if plan.head.tenants:
        _make_tenants(cluster, plan.name, plan.head.tenants)
    journal.note("made")
    for stage in ("objects", "references"):
        journal.note(stage, read=0, written=0)
    return False


def _first_pages(cluster: rest.Cluster, plan: Plan) -> Iterator[Any]:
    """A page, if any, of a collection that was made without tenants; one with tenants has none yet."""
    if plan.head.tenants is None:
        yield from itertools.islice(cursors.pages(cluster, plan.name, vectors=False), 1)


def _make_tenants(cluster: rest.Cluster, name: str, states: Mapping[str, str]) -> None:
    """Make tenants, active where they are to be, inactive elsewhere: a server with many has few of them in memory."""
    api.create_tenants(cluster, name, states, {each for each, state in states.items() if state != tenants.ACTIVE})


def _objects(
    cluster: rest.Cluster,
    plan: Plan,
    journal: journals.Journal,
    pace: batches.Pace,
    made: Mapping[str, Any],
    found: Outcome,
    tell: Callable[[str, int], None],
) -> None:
    """Write the objects, without what they refer to."""
    referring, vectors = schemas.references(plan.schema), schemas.vectorized(made)
    last = _last(journal, "objects", found)
    read, found.objects = int(last["read"]), int(last["written"])
    with contextlib.closing(_portions(cluster, plan, read)) as portions:
        for tenant, _, portion in portions:
            bare = {str(each["id"]) for each in portion if objects.lacking(each, vectors)}
            sent = [
                objects.outgoing(each, plan.name, tenant=tenant, without=referring)
                for each in portion
                if each["id"] not in bare
            ]
            failed = [batches.Failure(each, "it has no vector, and the server would make one") for each in sorted(bare)]
            failed += batches.write(cluster, sent, pace)
            read += len(portion)
            found.objects += len(portion) - len(failed)
            found.failed += failed
            journal.note("objects", read=read, written=found.objects, failed=[vars(each) for each in failed])
            tell("Restoring", read)
            transfers.refuse_many(transfers.Side(cluster, plan.name), found.failed, found.objects)


def _references(
    cluster: rest.Cluster, plan: Plan, journal: journals.Journal, found: Outcome, tell: Callable[[str, int], None]
) -> None:
    """Write what the objects refer to, now that they are all there.

    To add a reference twice makes two of it: so those of the portion that an earlier try was at are taken away first.
    """
    referring = schemas.references(plan.schema)
    if not referring:
        return
    last = _last(journal, "references", found)
    read, found.references = int(last["read"]), int(last["written"])
    in_doubt = bool(last.get("begun"))
    target = transfers.Side(cluster, plan.name)
    journal.note("references", read=read, written=found.references, begun=True)
    with contextlib.closing(_portions(cluster, plan, read)) as portions:
        for tenant, after, portion in portions:
            failed = transfers.write_references(
                target, tenant, after, portion, list(referring), plan.renamed, in_doubt=in_doubt
            )
            in_doubt = False
            read += len(portion)
            wanted = sum(len(objects.beacons(each, prop, {})) for each in portion for prop in referring)
            found.references += wanted - len(failed)
            found.failed += failed
            told = [vars(each) for each in failed]
            journal.note("references", read=read, written=found.references, begun=True, failed=told)
            tell("Restoring references", read)
            transfers.refuse_many(target, found.failed, found.objects)


def _last(journal: journals.Journal, stage: str, found: Outcome) -> dict[str, Any]:
    """The last line of a stage since the collection was made; what has failed in it until then goes to `found`."""
    lines: list[dict[str, Any]] = []
    for line in journal.lines:
        if line.get("stage") == "made":
            lines = []
        elif line.get("stage") == stage:
            lines.append(line)
    found.failed += [batches.Failure(**each) for line in lines for each in line.get("failed") or ()]
    return lines[-1]


def _portions(
    cluster: rest.Cluster, plan: Plan, read: int
) -> Generator[tuple[str | None, str, list[dict[str, Any]]], None, None]:
    """The objects of the file after those that are `read`, a portion of one tenant at a time.

    Each with its tenant, which is active meanwhile, and the id of the object before it there ("" for the first).
    """
    source = archive_lines.found_in(plan.path, max(0, read - 1))
    before = next(source)[0] if read else {}
    for tenant, group in itertools.groupby(source, lambda each: each[0].get("tenant")):
        with _readable(cluster, plan, tenant):
            after = str(before["id"]) if before and before.get("tenant") == tenant else ""
            portion: list[dict[str, Any]] = []
            size = 0
            for found, length in group:
                portion.append(found)
                size += length
                if len(portion) >= PORTION or size >= PORTION_BYTES:
                    yield tenant, after, portion
                    after = str(portion[-1]["id"])
                    portion, size = [], 0
            if portion:
                yield tenant, after, portion


def _readable(cluster: rest.Cluster, plan: Plan, tenant: str | None) -> contextlib.AbstractContextManager[None]:
    if tenant is None or not plan.head.tenants:
        return contextlib.nullcontext()
    active = plan.head.tenants[tenant] == tenants.ACTIVE
    return tenants.readable(cluster, plan.name, tenant, tenants.ACTIVE if active else tenants.INACTIVE)


def _compared(cluster: rest.Cluster, plan: Plan, tell: Callable[[str, int], None]) -> comparisons.Difference:
    """Compare the file with what is there now, object by object: both are in the order of tenants and ids."""
    found = comparisons.Difference()
    places = list(plan.head.tenants) if plan.head.tenants is not None else [None]
    with contextlib.closing(_there(cluster, plan, places)) as there:
        for (place, uuid), one, other in comparisons.joined(_kept(plan, places), there):
            found.add(places[place], uuid, one, other)
            tell("Comparing", found.source)
    return found


def _kept(plan: Plan, places: Sequence[str | None]) -> Iterator[_Digest]:
    numbers, referring = {each: number for number, each in enumerate(places)}, schemas.references(plan.schema)
    for each, _ in archive_lines.found_in(plan.path):
        yield (numbers[each.get("tenant")], str(each["id"])), objects.digest(each, referring, plan.renamed)


def _there(cluster: rest.Cluster, plan: Plan, places: Sequence[str | None]) -> Generator[_Digest, None, None]:
    referring = schemas.references(plan.schema)
    for number, tenant in enumerate(places):
        with _readable(cluster, plan, tenant):
            for page in cursors.pages(cluster, plan.name, tenant=tenant, vectors=True):
                for each in page.objects:
                    yield (number, str(each["id"])), objects.digest(each, referring)


def _put_states(cluster: rest.Cluster, plan: Plan) -> dict[str, str]:
    """Have the tenants in the states that the file has them in; those that could not be, and why."""
    if not plan.head.tenants:
        return {}
    there, failed = api.tenants(cluster, plan.name), {}
    for state in sorted(set(plan.head.tenants.values())):
        others = [each for each, wanted in plan.head.tenants.items() if wanted == state != there.get(each)]
        for start in range(0, len(others), api.MOST_TENANTS):
            some = others[start : start + api.MOST_TENANTS]
            try:
                api.set_tenants(cluster, plan.name, dict.fromkeys(some, state))
            except (rest.Refused, rest.Missing) as error:
                failed.update(dict.fromkeys(some, error.message))
    return failed


def _otherwise(wanted: Any, made: Any, path: str = "") -> list[str]:
    """The paths of a schema at which the server has made something else; what it has added does not count."""
    if isinstance(wanted, Mapping) and isinstance(made, Mapping):
        return [
            each
            for key, value in wanted.items()
            for each in _otherwise(value, made.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(wanted, list) and all(isinstance(each, Mapping) and "name" in each for each in wanted):
        by_name = {each.get("name"): each for each in made or () if isinstance(each, Mapping)}
        return [
            told for each in wanted for told in _otherwise(each, by_name.get(each["name"]), f"{path}.{each['name']}")
        ]
    return [] if wanted == made or (not wanted and not made) else [path]

"""A migration under way: what it is, what it has done so far, and one pass of it over all tenants."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from daglab import errors
from daglab.weaviate import api, batches, comparisons, journals, rest, schemas, tenants, transfers
from daglab.weaviate.moving import changes, freezing

ONLINE, OFFLINE = "online", "offline"
MOST_FAILURES = 1000  # that a pass goes on with
TRIES = 4  # to read a tenant that others make active and inactive
_TOLD = ("read", "new", "changed", "again", "deleted", "references", "dangling")
Show = Callable[[str, "int | None"], AbstractContextManager[Callable[[int], None]]]


@dataclass
class Report:
    """What was done so far: `stages` with their seconds and figures, and what there is at the end."""

    began: float = field(default_factory=time.monotonic)
    stages: list[dict[str, Any]] = field(default_factory=list)
    failed: list[batches.Failure] = field(default_factory=list)
    read: int = 0
    written: int = 0
    deleted: int = 0
    references: int = 0
    frozen_seconds: float | None = None
    difference: comparisons.Difference | None = None
    alias: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON: seconds, counts of objects."""
        seconds = time.monotonic() - self.began
        return {
            "objects": self.difference.target if self.difference else None,
            "written": self.written,
            "deleted": self.deleted,
            "references": self.references,
            "failed": [vars(each) for each in self.failed],
            "passes": [each for each in self.stages if each["stage"] == "pass"],
            "stages": self.stages,
            "verification": comparisons.document(self.difference) if self.difference else None,
            "frozen_seconds": None if self.frozen_seconds is None else round(self.frozen_seconds, 3),
            "alias": self.alias,
            "seconds": round(seconds, 3),
            "objects_per_second": round(self.read / seconds) if seconds > 0 else None,
        }


@dataclass(frozen=True)
class Move:
    """A collection on its way: `strategy` is online or offline; `alias` is to lead to it at the end."""

    source: transfers.Side
    target: transfers.Side
    journal: journals.Journal
    pace: batches.Pace
    show: Show
    strategy: str = ONLINE
    verify: bool = True
    alias: str | None = None
    report: Report = field(default_factory=Report)


def over(move: Move, *, last: bool = False) -> changes.Changes:
    """One pass over all tenants; what changed. Tenants that are not active are looked at first and last only."""
    found = changes.Changes()
    with stage(move, "pass") as said, _shown(move, "last pass" if last else "copied") as tell:
        schema = _follow_schema(move)
        way = changes.Way(
            move.source,
            move.target,
            move.journal.folder,
            move.pace,
            schemas.references(schema),
            schemas.vectorized(api.schema(move.target.cluster, move.target.name)),
            tell,
        )
        if schemas.is_multi_tenant(schema):
            _tenants(move, way, found, last=last)
        else:
            changes.follow(way, None, found)
        said.update({name: getattr(found, name) for name in _TOLD})
        said["frozen"] = last
    report = move.report
    report.read = max(report.read, found.read)
    report.written += found.new + found.changed
    report.deleted += found.deleted
    report.references += found.references
    if found.failures > MOST_FAILURES or found.failures == found.read > 0:
        refuse_failed(move, found)
    return found


def _follow_schema(move: Move) -> dict[str, Any]:
    """The source's schema; properties that it has got meanwhile are made in the target, too."""
    schema = api.schema(move.source.cluster, move.source.name)
    there = {each["name"] for each in api.schema(move.target.cluster, move.target.name).get("properties") or ()}
    for each in schemas.portable(schema, move.target.name).get("properties") or ():
        if each["name"] not in there:
            path = f"schema/{rest.segment(move.target.name)}/properties"
            rest.change(move.target.cluster, "POST", path, "createProperty", each, repeatable=False)
    return schema


def _tenants(move: Move, way: changes.Way, found: changes.Changes, *, last: bool) -> None:
    states = api.tenants(move.source.cluster, move.source.name)
    there = api.tenants(move.target.cluster, move.target.name)
    for tenant in [each for each in there if each not in states]:
        if there[tenant] != tenants.ACTIVE:  # as an earlier try has put it
            tenants.activate(move.target.cluster, move.target.name, tenant)
        found.deleted += api.tenant_counts(move.target.cluster, move.target.name, [tenant])[tenant]
        api.delete_tenants(move.target.cluster, move.target.name, [tenant])
        changes.forget(way.folder, tenant)
    api.create_tenants(move.target.cluster, move.target.name, [each for each in states if each not in there])
    for tenant, status in states.items():
        if status != tenants.ACTIVE and not last and changes.known(way.folder, tenant).exists():
            continue
        if there.get(tenant, tenants.ACTIVE) != tenants.ACTIVE:
            tenants.activate(move.target.cluster, move.target.name, tenant)
        _tenant(move, way, found, tenant, status, last=last)


def _tenant(move: Move, way: changes.Way, found: changes.Changes, tenant: str, status: str, *, last: bool) -> None:
    """One tenant; again where it was not active in between.

    Left for the next pass where it is so now, or gone, or was not active at each try.
    """
    for attempt in range(TRIES):
        try:
            with readable(move, tenant, status, last=last):
                changes.follow(way, tenant, found)
            return
        except (rest.Refused, rest.Missing, errors.TimedOut) as error:
            now = api.tenants(move.source.cluster, move.source.name).get(tenant)
            is_last_try = attempt + 1 == TRIES
            if now != tenants.ACTIVE or (is_last_try and tenants.SLEEPS in error.message):
                found.left.append(tenant)
                return
            if is_last_try:
                raise
            status = now


@contextlib.contextmanager
def readable(move: Move, tenant: str, status: str, *, last: bool) -> Iterator[None]:
    """A tenant that is active meanwhile, and read-only in the last pass; its state before is in the journal."""
    with transfers.readable(move.source, tenant, status, move.journal):
        if last and status != tenants.ACTIVE:
            freezing.freeze(move.journal, move.source, [tenant])
        yield


@contextlib.contextmanager
def stage(move: Move, name: str) -> Iterator[dict[str, Any]]:
    """What is done inside is a stage of the report, with its seconds and the figures that it is given."""
    said: dict[str, Any] = {"stage": name}
    began = time.monotonic()
    try:
        yield said
    finally:
        said["seconds"] = round(time.monotonic() - began, 3)
        move.report.stages.append(said)


@contextlib.contextmanager
def _shown(move: Move, label: str) -> Iterator[Callable[[int], None]]:
    """Told how many more objects were read."""
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        show(done)

    with move.show(label, move.report.read or None) as show:
        yield tell


def restore(move: Move) -> None:
    """Thaw the source, and give its tenants the states that they had."""
    freezing.thaw(move.journal, move.source)
    if journals.owed(move.journal.lines) and api.exists(move.source.cluster, move.source.name):
        transfers.put_back(move.source, move.journal)


def refuse_failed(move: Move, found: changes.Changes) -> None:
    """Raise `NotGood` where objects could not be written."""
    move.report.failed = found.failed
    if found.failures:
        first = found.failed[0]
        raise errors.NotGood(
            f"{move.target.cluster.name} does not take {found.failures} objects; {first.id}: {first.reason}",
            "Put that right and --resume, or --abort. The source is as it was.",
        )

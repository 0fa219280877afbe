"""What a copy of a collection is, all that is checked before anything is made, and where an earlier try has come to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daglab import errors, files, json_lines
from daglab.settings import config
from daglab.weaviate import (
    api,
    batches,
    comparisons,
    journals,
    placement,
    protection,
    rest,
    schemas,
    tenants,
    transfers,
)

KIND = "copy"
FIGURES = ("objects", "read", "dropped", "references", "source_count", "target_count", "source_changed")

Show = Callable[[str, "int | None"], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True)
class Copy:
    """What is to be copied, and how: `schema` is what the destination gets, `script` the hash of the transform file."""

    source: transfers.Side
    target: transfers.Side
    schema: Mapping[str, Any]
    schema_only: bool = False
    overwrite: bool = False
    unprotect: bool = False
    script: str | None = None
    change: transfers.Change | None = None

    @property
    def work(self) -> dict[str, Any]:
        """What it is, for its journal. A same copy in another way is the same work, and is refused while this is on."""
        source, target = self.source, self.target
        where = {"source": source.cluster.url, "target": target.cluster.url, "to": target.name}
        return {"kind": KIND, "collection": source.name, **where}

    @property
    def options(self) -> dict[str, Any]:
        """The way that it is done in, which has to stay the same when it is gone on with."""
        return {"transform": self.script, "overwrite": self.overwrite, "schema_only": self.schema_only}

    @property
    def beside(self) -> str:
        """The collection that an overwriting copy is made in first."""
        return f"{self.target.name}_daglab_{journals.name_of(self.work)[-8:]}"


@dataclass
class Outcome:
    """What came of a copy. `source_count` and `target_count` are exact, at its end."""

    objects: int = 0
    read: int = 0
    dropped: int = 0
    references: int = 0
    failed: list[batches.Failure] = field(default_factory=list)
    resumed: int | None = None  # objects that were written before
    source_count: int | None = None
    target_count: int | None = None
    source_changed: bool = False
    replaced: bool = False


def source_of(cluster: rest.Cluster, name: str) -> tuple[transfers.Side, dict[str, Any]]:
    """The collection to copy, under its own name where `name` is an alias, and its schema. Raises `Missing`."""
    schema = api.schema(cluster, name)
    return transfers.Side(cluster, str(schema["class"])), schema


def check_name(source: transfers.Side, target: transfers.Side) -> None:
    """Raises `InvalidInput` for a name that Weaviate does not take, `WrongUsage` for the collection itself."""
    name = target.name
    schemas.check_name(name)
    if name == source.name and target.cluster.url == source.cluster.url:
        raise errors.WrongUsage(f"{name} can't be copied to itself.", "Give another name, or --target CLUSTER.")


def check_free(copy: Copy, settings: config.Config) -> bool:
    """Whether a destination is there that is to be overwritten. Raises `Taken` for one that is not to be."""
    cluster, name = copy.target.cluster, copy.target.name
    if not copy.overwrite:
        placement.refuse_taken(cluster, name, "--overwrite replaces it, once all is copied.")
        return False
    if not api.exists(cluster, name):
        return False
    protection.refuse(settings, [name], unprotect=copy.unprotect)
    if name in {each for listed in _foreign_references(copy).values() for each in listed}:
        raise errors.InvalidInput(
            f"{copy.source.name} refers to objects of {name}, and can't take its place.", "Copy to another name."
        )
    return True


def refuse_others(root: Path, copy: Copy) -> None:
    """Raises `Taken` where another copy that did not end has its place in this one's destination.

    The journal of one whose place has gone is taken away: what comes there now is not its own.
    """
    for each in journals.unfinished(root, KIND):
        folder = Path(each["folder"])
        if folder.name == journals.name_of(copy.work) or any(each[key] != copy.work[key] for key in ("target", "to")):
            continue
        into = _into(json_lines.read(folder / journals.NAME), each["to"])
        if api.exists(copy.target.cluster, into):
            raise errors.Taken(
                f"A copy of {each['collection']} to {each['to']} was begun, and did not end.",
                f"Go on with it by the same command, or delete {into} first.",
            )
        with files.held(folder / journals.LOCK, 0.5):
            known = {side.cluster.url: side.cluster for side in (copy.source, copy.target)}
            if cluster := known.get(each["source"]):
                lines = json_lines.read(folder / journals.NAME)
                _put_back(transfers.Side(cluster, each["collection"]), journals.Journal(folder, each, lines))
            shutil.rmtree(folder, ignore_errors=True)


def begin(
    copy: Copy, journal: journals.Journal, settings: config.Config, confirm: Callable[[str], None] = lambda name: None
) -> bool:
    """Take up the copy where an earlier try has come to, or note that it begins; whether it goes on.

    `confirm` is called with the name of the collection that is to be replaced, and raises what stops that.
    Raises as the checks do, `InvalidInput` when it was begun in another way, and then nothing is changed.
    """
    begun = journal.last("options")
    if begun and not _is_void(copy, journal):
        _refuse_other_way(copy, journal, begun)
        _refuse_foreign(copy, journal)
        return True
    if begun:
        _put_back(copy.source, journal)
    try:
        overwrites = check_free(copy, settings)
        if copy.overwrite and api.exists(copy.target.cluster, copy.beside):
            raise errors.InvalidInput(
                f"There is a collection {copy.beside}, of a copy whose journal is gone.",
                f"It may hold all that {copy.target.name} has to have: look at both, then delete it: "
                f"daglab collections rm {copy.beside}",
            )
        if overwrites:
            confirm(copy.target.name)
    except BaseException:
        journals.finish(journal)
        raise
    journals.begin_anew(journal)
    into = copy.beside if overwrites else copy.target.name
    count, _ = count_of(copy.source, active_only=True)
    journal.note("options", **copy.options, into=into, before=count)
    return False


def place(copy: Copy, journal: journals.Journal) -> transfers.Side:
    """The collection that is written first: the destination, or one beside it."""
    return transfers.Side(copy.target.cluster, str((journal.last("options") or {})["into"]))


def needs_no_source(root: Path, copy: Copy) -> bool:
    """Whether all that an earlier try has to copy is copied and proven, and still there."""
    lines = json_lines.read(root / journals.FOLDER / journals.name_of(copy.work) / journals.NAME)
    is_proven = any(line.get("stage") == "verified" for line in lines)
    return is_proven and api.exists(copy.target.cluster, _into(lines, copy.target.name))


def differences(found: comparisons.Difference) -> str:
    """How two collections differ, with an id of each kind."""
    examples = {"missing": found.missing, "extra": found.extra, "changed": found.changed}
    said = [f"{found.counts[kind]:,} {kind} ({listed[0][1]})" for kind, listed in examples.items() if listed]
    return ", ".join(said) or f"{found.source:,} and {found.target:,} objects"


def count_of(
    side: transfers.Side, *, active_only: bool = False, journal: journals.Journal | None = None
) -> tuple[int, int]:
    """How many objects a collection has, exactly, and in how many tenants they could not be counted.

    Without `active_only`, tenants that are not active are made so meanwhile, and nothing is left uncounted; with a
    journal, they are owed to the source until they are as they were.
    """
    count, states = tenants.counted(side.cluster, side.name)
    inactive = sorted(tenant for tenant, status in states.items() if status != tenants.ACTIVE)
    if active_only:
        return count, len(inactive)
    for tenant in inactive:
        with transfers.readable(side, tenant, states[tenant], journal):
            count += sum(api.tenant_counts(side.cluster, side.name, [tenant]).values())
    return count, 0


def _foreign_references(copy: Copy) -> dict[str, list[str]]:
    """What the source refers to beside itself; in the same cluster, its objects lie in the destination then."""
    found = schemas.references(api.schema(copy.source.cluster, copy.source.name))
    return {name: [each for each in listed if each != copy.source.name] for name, listed in found.items()}


def _into(lines: Sequence[Mapping[str, Any]], otherwise: str) -> str:
    """The collection that is written first, as the lines of a journal say."""
    return next((str(line["into"]) for line in reversed(lines) if line.get("stage") == "options"), otherwise)


def _put_back(source: transfers.Side, journal: journals.Journal) -> None:
    """Put the tenants of a source back into the states that a try whose place has gone has found them in."""
    states = (journal.last("tenants") or {}).get("states") or journals.owed(journal.lines)
    if states and api.exists(source.cluster, source.name):
        tenants.put_states(source.cluster, source.name, states)


def _is_void(copy: Copy, journal: journals.Journal) -> bool:
    """Whether what an earlier try has made has gone, so that it begins anew."""
    into = place(copy, journal)
    if journal.last("kept"):
        return not api.exists(copy.target.cluster, copy.target.name)
    if not api.exists(into.cluster, into.name):
        return True
    if journal.last("made"):
        return False
    # Killed while it was made: by us it is empty, else it is somebody else's.
    return journal.last("making") is None or not _is_empty(into)


def _is_empty(side: transfers.Side) -> bool:
    if schemas.is_multi_tenant(api.schema(side.cluster, side.name)):
        return not api.tenants(side.cluster, side.name)
    return not count_of(side)[0]


def _refuse_foreign(copy: Copy, journal: journals.Journal) -> None:
    """Raises `InvalidInput` where the collection is not what the earlier try has left: it was made anew by somebody."""
    into, done = place(copy, journal), journal.last("objects")
    if not done or copy.script or journal.last("verified"):
        return
    if schemas.is_multi_tenant(api.schema(into.cluster, into.name)):
        states = (journal.last("tenants") or {}).get("states") or {}
        is_same = set(states) <= set(api.tenants(into.cluster, into.name))
    else:
        is_same = count_of(into)[0] >= int(done["written"])
    if not is_same:
        raise errors.InvalidInput(
            f"{into.name} lacks what an earlier try had written there.",
            f"Was it made anew meanwhile? Begin anew: daglab collections rm {into.name}",
        )


def _refuse_other_way(copy: Copy, journal: journals.Journal, begun: Mapping[str, Any]) -> None:
    names = {"transform": "--transform, or its file", "overwrite": "--overwrite", "schema_only": "--schema-only"}
    differing = [said for key, said in names.items() if begun.get(key) != copy.options[key]]
    if differing:
        hint = f"Go on as it was begun, or begin anew: daglab collections rm {begun['into']}"
        if journal.last("replacing") and not journal.last("kept"):
            hint = f"Go on as it was begun: {copy.target.name} is being replaced, and all is in {begun['into']}."
        raise errors.InvalidInput(
            f"A copy of {copy.source.name} to {copy.target.name} was begun in another way: "
            f"{', '.join(differing)} was different.",
            hint,
        )

"""Collections kept in files: schema, tenants with their states, objects with vectors and references.

What is written so far stands beside its goal, `.NAME.part`, and the journal knows the last whole member of it; the file
has its name once it was read back whole. It is no snapshot: what others write meanwhile may be in it or not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import daglab
from daglab import errors, files
from daglab.weaviate import api, comparisons, cursors, journals, rest, schemas, tenants, transfers
from daglab.weaviate.keeping import archive_lines

KIND = "backup"
OLDEST = 86_400  # seconds: what was begun longer ago is not gone on with, but begun anew
MOST_TOLD = 100  # of the changes
_SETTLED = {"ONLOADING": "ACTIVE", "OFFLOADING": "OFFLOADED"}  # where a tenant is going to


@dataclass(frozen=True)
class Written:
    """A file that was written: how many `objects` and `tenants` are in it, its size and its sum.

    `began` is when its first object was read, `resumed` whether an earlier try had begun it, and `changed` says what
    others had changed by the end.
    """

    path: Path
    collection: str
    objects: int
    tenants: int | None
    bytes: int
    sha256: str
    began: str
    resumed: bool
    changed: tuple[str, ...]


def document(found: Written) -> dict[str, Any]:
    """What was written, as JSON."""
    return {
        "name": found.collection,
        "file": str(found.path),
        "objects": found.objects,
        "tenants": found.tenants,
        "bytes": found.bytes,
        "sha256": found.sha256,
        "began": found.began,
        "resumed": found.resumed,
        "changed_meanwhile": list(found.changed),
    }


@dataclass
class _Place:
    """How far a file has come: its part up to `offset`, the sum of that, the place in the collection."""

    path: str
    head: dict[str, Any]
    offset: int = 0
    chain: str = archive_lines.START.hex()
    objects: int = 0
    tenant: str | None = None
    after: str = ""
    before: int | None = None  # objects of the tenant when its first page was read
    here: int = 0  # objects of it in the file
    done: bool = False
    changed: list[str] = field(default_factory=list)
    told: int = 0  # of these, that the journal has


def write(
    cluster: rest.Cluster,
    name: str,
    path: Path,
    *,
    root: Path,
    force: bool = False,
    tell: Callable[[int], None] = lambda _: None,
) -> Written:
    """Write the collection `name` into the file `path`, or into one with its name and the time in the folder `path`.

    A try of less than a day ago that did not end is gone on with. The project's `root` has the journal. A file that is
    there is replaced with `force`. `tell` is given how many objects are written by now. Raises `Taken` for a file that
    is there, and where somebody else is at it; `InvalidInput` where the disk is full, and then what is written is kept;
    and as reading the collection does.
    """
    schema = api.schema(cluster, name)
    name = str(schema["class"])
    given = Path(os.path.realpath(path))
    work = {"kind": KIND, "collection": name, "source": cluster.url, "output": str(given)}
    if not journals.is_there(root, work):
        _refuse_taken(given, force)
    with journals.opened(root, work) as journal:
        place, resumed = _place(cluster, schema, journal, given)
        goal = Path(place.path)
        part = goal.with_name(f".{goal.name}.part")
        if place.done and _is_named(part, goal, place.offset):
            head, end = archive_lines.check(goal)
        else:
            _refuse_taken(goal, force or (place.done and _is_same(part, goal)))
            with _open_part(part) as descriptor, _room(part):
                if place.offset > os.fstat(descriptor).st_size:  # a machine that crashed may have lost some of it
                    place, resumed = _begun(cluster, schema, journal, goal), False
                os.ftruncate(descriptor, place.offset)
                os.lseek(descriptor, 0, os.SEEK_END)
                if not place.done:
                    _write(cluster, schema, journal, place, descriptor, tell)
                os.fsync(descriptor)
                head, end = _read_back(part, journal)
                _name(part, goal, force)
        journals.finish(journal)
    many = None if head.tenants is None else len(head.tenants)
    size = goal.stat().st_size
    return Written(goal, name, end.objects, many, size, end.sha256, head.made_at, resumed, tuple(end.changed))


def _write(
    cluster: rest.Cluster,
    schema: Mapping[str, Any],
    journal: journals.Journal,
    place: _Place,
    descriptor: int,
    tell: Callable[[int], None],
) -> None:
    head = archive_lines.Head(**place.head)
    if not place.offset:
        _append(descriptor, place, archive_lines.head_member(head))
        _note(journal, place)
    for tenant, status in _left(head, place):
        with _while_there(cluster, head, place, tenant), _readable(cluster, head, journal, tenant, status):
            _write_objects(cluster, head, journal, place, descriptor, tenant, tell)
    _compare(cluster, schema, head, place)
    # Raises where a node is lost, whose objects nobody lists.
    comparisons.counted(transfers.Side(cluster, head.collection))
    end = archive_lines.End(place.objects, place.chain, place.changed[:MOST_TOLD])
    _append(descriptor, place, archive_lines.end_member(end))
    place.done = True
    _note(journal, place)


def _write_objects(
    cluster: rest.Cluster,
    head: archive_lines.Head,
    journal: journals.Journal,
    place: _Place,
    descriptor: int,
    tenant: str | None,
    tell: Callable[[int], None],
) -> None:
    """Write those of a tenant (None where there are none) from the place on."""
    name = head.collection
    if place.before is None:
        place.before = _count(cluster, name, tenant)
    for page in cursors.pages(cluster, name, tenant=tenant, after=place.after, vectors=True):
        lines = page.objects if tenant is None else [{**each, "tenant": tenant} for each in page.objects]
        _append(descriptor, place, archive_lines.member(lines))
        place.objects += len(lines)
        place.here += len(lines)
        place.after = str(lines[-1]["id"])
        _note(journal, place)
        tell(place.objects)
    now = _count(cluster, name, tenant)
    if not place.before == place.here == now:
        what = f"the tenant {tenant}" if tenant else name
        place.changed.append(f"{what} had {place.before} objects, then {now}; {place.here} are in the file")


def _left(head: archive_lines.Head, place: _Place) -> Iterator[tuple[str | None, str]]:
    """Each tenant that is still to be read, and the state that it is to have; None where there are none."""
    if head.tenants is None:
        yield None, tenants.ACTIVE
        return
    for tenant, status in head.tenants.items():
        if place.tenant is not None and tenant < place.tenant:
            continue
        if tenant != place.tenant:
            place.tenant, place.after, place.before, place.here = tenant, "", None, 0
        yield tenant, status


def _readable(
    cluster: rest.Cluster, head: archive_lines.Head, journal: journals.Journal, tenant: str | None, status: str
) -> contextlib.AbstractContextManager[None]:
    if tenant is None:
        return contextlib.nullcontext()
    return transfers.readable(transfers.Side(cluster, head.collection), tenant, status, journal)


@contextlib.contextmanager
def _while_there(cluster: rest.Cluster, head: archive_lines.Head, place: _Place, tenant: str | None) -> Iterator[None]:
    """Leave a tenant that is deleted meanwhile, and tell of it."""
    try:
        yield
    except (rest.Refused, rest.Missing, rest.Failed, errors.TimedOut):
        if tenant is None or tenant in api.tenants(cluster, head.collection):
            raise
        place.changed.append(f"the tenant {tenant} was deleted; {place.here} of its objects are in the file")


def _compare(cluster: rest.Cluster, schema: Mapping[str, Any], head: archive_lines.Head, place: _Place) -> None:
    """Tell what else has changed by the end: the schema, tenants that came."""
    now = api.schema(cluster, head.collection)
    if _digest(now) != _digest(schema):
        place.changed.append(f"the schema of {head.collection} was changed; the file has it as it was before")
    if head.tenants is not None:
        come = api.tenants(cluster, head.collection).keys() - head.tenants.keys()
        place.changed += [f"the tenant {each} was made, and is not in the file" for each in sorted(come)]


def _count(cluster: rest.Cluster, name: str, tenant: str | None) -> int:
    if tenant is None:
        return api.counts(cluster, [name])[name]
    return api.tenant_counts(cluster, name, [tenant])[tenant]


def _place(
    cluster: rest.Cluster, schema: Mapping[str, Any], journal: journals.Journal, given: Path
) -> tuple[_Place, bool]:
    """Where an earlier try has come to, or where one begins; and whether it is the former."""
    begun, last = None, None
    changed: list[str] = []
    for line in journal.lines:
        if line.get("stage") == "begun_at":
            begun, last, changed = line, None, []
        elif line.get("stage") == "place":
            last = line
            changed += line["changed"]
    if begun and last and begun["schema"] == _digest(schema) and 0 <= time.time() - begun["at"] < OLDEST:
        known = {key: last[key] for key in _FIGURES}
        return _Place(begun["path"], begun["head"], **known, changed=changed, told=len(changed)), True
    named = f"{schema['class']}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}.jsonl.gz"
    return _begun(cluster, schema, journal, given / named if given.is_dir() else given), False


def _begun(cluster: rest.Cluster, schema: Mapping[str, Any], journal: journals.Journal, goal: Path) -> _Place:
    """Begin: the head is settled here, so that tenants are put back as they were before the first try."""
    name = str(schema["class"])
    there = api.tenants(cluster, name) if schemas.is_multi_tenant(schema) else None
    states = None if there is None else {each: _SETTLED.get(status, status) for each, status in there.items()}
    if states is not None:
        states.update({each: state for each, state in journals.owed(journal.lines).items() if each in states})
    version = ".".join(map(str, api.version(cluster)))
    made_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    head = archive_lines.Head(name, schemas.portable(schema), states, version, daglab.__version__, made_at)
    journal.note("begun_at", at=time.time(), path=str(goal), schema=_digest(schema), head=vars(head))
    return _Place(str(goal), dict(vars(head)))


_FIGURES = ("offset", "chain", "objects", "tenant", "after", "before", "here", "done")


def _note(journal: journals.Journal, place: _Place) -> None:
    journal.note("place", **{key: getattr(place, key) for key in _FIGURES}, changed=place.changed[place.told :])
    place.told = len(place.changed)


def _append(descriptor: int, place: _Place, member: bytes) -> None:
    rest = memoryview(member)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    place.offset += len(member)
    place.chain = archive_lines.summed(bytes.fromhex(place.chain), member).hex()


def _digest(schema: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(schemas.portable(schema), sort_keys=True).encode()).hexdigest()


def _read_back(part: Path, journal: journals.Journal) -> tuple[archive_lines.Head, archive_lines.End]:
    """What is on the disk. Where that is not what was written, nothing of it is kept."""
    try:
        return archive_lines.check(part)
    except archive_lines.Broken as error:
        part.unlink()
        journals.finish(journal)
        raise errors.InvalidInput(f"The disk has not kept what was written: {error.message}", "Try again.") from None


def _refuse_taken(goal: Path, force: bool) -> None:
    if force or goal.is_dir() or not os.path.lexists(goal):
        if files.is_special(goal) and not goal.is_dir():
            raise errors.InvalidInput(f"{goal} is not an ordinary file.", "Name a file that may be replaced.")
        return
    raise errors.Taken(f"{goal} is there already.", "It is left as it is: name another file, or add --force.")


@contextlib.contextmanager
def _open_part(part: Path) -> Iterator[int]:
    """The descriptor of the part, which nobody else writes meanwhile. Raises `Taken` where somebody does."""
    files.make_folder(part.parent)
    while True:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            if not files.try_lock(descriptor):
                raise errors.Taken(f"Somebody else writes {part}.", "Try again when they have done.")
            if files.is_still_at(part, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _room(part: Path) -> Iterator[None]:
    """A disk that is full, or a file that gets too large, is told; what is written stays for the next try."""
    try:
        yield
    except OSError as error:
        raise errors.InvalidInput(
            f"{part} can't be written: {error.strerror or error}.",
            "Make room; the same command then goes on where this one was. Or delete that file, and begin elsewhere.",
        ) from error


def _name(part: Path, goal: Path, force: bool) -> None:
    """Give a file that is whole its name. Raises `Taken` where somebody was quicker."""
    if force:
        os.replace(part, goal)
    else:
        if not _is_same(part, goal):
            try:
                os.link(part, goal)
            except FileExistsError:
                _refuse_taken(goal, force)
        os.unlink(part)
    files.sync_folder(goal.parent)


def _is_same(part: Path, goal: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samefile(part, goal)
    return False


def _is_named(part: Path, goal: Path, size: int) -> bool:
    """Whether a killed one had given the file its name already."""
    return not os.path.lexists(part) and goal.is_file() and goal.stat().st_size == size

"""The copies of exports that stand, on disk and in clouds: whose time is over, and which pages of Dagster lead to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LOCAL, CLOUD = "local", "cloud"
Aim = tuple[str, str | None]  # what an export is attached to (`asset:a/b`), and the partition of it


@dataclass(frozen=True)
class Copy:
    """The newest export at a place: `place` is a path from the project's root, or the address of an object.

    `bytes` and `sha256` are those that are on record; `export_id` is what the object in a cloud is marked with, and
    `output` the path that it was exported to.
    """

    id: str
    where: str
    place: str
    bytes: int
    sha256: str
    at: datetime | None
    until: datetime | None
    export_id: str = ""
    output: str = ""


@dataclass(frozen=True)
class Page:
    """What the page of an asset leads to: the export that was attached last, for all that is on record.

    `perhaps` are those that nobody knows of, and the newest good one that was made for the asset and not attached: its
    own code does so when it next runs.
    """

    attached: str | None = None
    perhaps: tuple[str, ...] = ()

    @property
    def ids(self) -> set[str]:
        """All of these."""
        return {*([self.attached] if self.attached else []), *self.perhaps}


@dataclass(frozen=True)
class Choice:
    """Which copies are to go, and which would be but are kept, for a page of Dagster leads to them."""

    over: tuple[Copy, ...] = ()
    linked: tuple[Copy, ...] = ()


def make(
    line: Mapping[str, Any],
    about: Mapping[str, Any],
    where: str,
    place: str,
    at: datetime | None,
    until: datetime | None,
) -> Copy:
    """The copy that an export's line tells of; `about` is the line, or what it says of the upload."""
    size, sha256, mark = about.get("bytes"), about.get("sha256"), about.get("export_id")
    return Copy(
        id=line["id"],
        where=where,
        place=place,
        bytes=size if type(size) is int and size > 0 else 0,
        sha256=sha256 if isinstance(sha256, str) else "",
        at=at,
        until=until,
        export_id=mark if isinstance(mark, str) else line["id"],
        output=output if isinstance(output := line.get("output"), str) else "",
    )


def choose(copies: Sequence[Copy], now: datetime, most_bytes: int = 0, linked: Collection[str] = ()) -> Choice:
    """Choose those whose time is over, and of the others the oldest as long as all have more than `most_bytes` (0: no
    bound) together. A place in `linked` stays; `copies` are the oldest first.
    """
    over = [copy for copy in copies if copy.until is not None and copy.until <= now]
    left = [copy for copy in copies if copy.until is None or copy.until > now]
    going = [copy for copy in over if copy.place not in linked]
    excess = sum(copy.bytes for copy in copies) - sum(copy.bytes for copy in going) - most_bytes
    for copy in left if most_bytes else ():
        if excess > 0:
            over.append(copy)
            if copy.place not in linked:
                going.append(copy)
                excess -= copy.bytes
    return Choice(tuple(going), tuple(copy for copy in over if copy.place in linked))


def name(aim: Aim) -> str:
    """As people write it: `asset:a/b@PARTITION`."""
    return aim[0] if aim[1] is None else f"{aim[0]}@{aim[1]}"


def attached(lines: Iterable[Mapping[str, Any]], unfinished: Iterable[Mapping[str, Any]]) -> dict[Aim, Page]:
    """By the record, what the pages of assets lead to. `unfinished` are ids with intents of which nobody knows."""
    open_ids = {each["id"] for each in unfinished if any(step.get("step") == "attach" for step in each["steps"])}
    sure: dict[Aim, str] = {}
    perhaps: dict[Aim, list[str]] = {}
    newest: dict[Aim, str] = {}
    for line in lines:
        identity, done = str(line.get("id")), aims(line)
        for aim in done:
            sure[aim] = identity
            perhaps.pop(aim, None)
            newest.pop(aim, None)
        for aim in _pending(line):
            perhaps.setdefault(aim, []).append(identity)
        for aim in targets(line):
            if line.get("attach") == "unknown" or identity in open_ids:
                perhaps.setdefault(aim, []).append(identity)
            elif line.get("ok") is True and aim not in done:
                newest[aim] = identity
    for aim, identity in _begun(unfinished):
        perhaps.setdefault(aim, []).append(identity)
    found = {}
    for aim in {**sure, **perhaps, **newest}:
        others = [*perhaps.get(aim, ()), *([newest[aim]] if aim in newest else [])]
        found[aim] = Page(sure.get(aim), tuple(dict.fromkeys(others)))
    return found


def _begun(unfinished: Iterable[Mapping[str, Any]]) -> list[tuple[Aim, str]]:
    """What ids were about to be attached to."""
    steps = ((step, each["id"]) for each in unfinished for step in each["steps"] if step.get("step") == "attach")
    return [(aim, identity) for step, identity in steps if (aim := _aim(step, None))]


def aims(line: Mapping[str, Any]) -> list[Aim]:
    """What an export was attached to, and that is on record."""
    done = line.get("attached")
    found = (
        (_aim(each, line.get("partition")) for each in done if isinstance(each, dict)) if isinstance(done, list) else ()
    )
    return [aim for aim in found if aim]


def targets(line: Mapping[str, Any]) -> list[Aim]:
    """The assets, and partitions of them, that an export was made for: more of these than are true, never fewer."""
    named, partitions = line.get("targets"), line.get("partitions")
    names = [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
    listed = [each for each in partitions if isinstance(each, str)] if isinstance(partitions, list) else []
    one = line.get("partition")
    own = dict.fromkeys([*listed, one if isinstance(one, str) else None])
    return [(name, each) for name in names if name.startswith("asset:") for each in own]


def _pending(line: Mapping[str, Any]) -> list[Aim]:
    """What an export was perhaps attached to: nobody knows."""
    steps = line.get("pending")
    begun = (each for each in steps if isinstance(each, dict)) if isinstance(steps, list) else ()
    found = (_aim(each, None) for each in begun if each.get("step") == "attach")
    return [aim for aim in found if aim]


def places(line: Mapping[str, Any]) -> set[str]:
    """Where the copies of an export are, or were to be, by its line or that of an intent."""
    upload = line.get("upload")
    found = (line.get("output"), line.get("address"), upload.get("address") if isinstance(upload, dict) else None)
    return {each for each in found if isinstance(each, str)}


def _aim(each: Mapping[str, Any], partition: object) -> Aim | None:
    target, own = each.get("target"), each.get("partition", partition)
    return (target, own if isinstance(own, str) else None) if isinstance(target, str) else None

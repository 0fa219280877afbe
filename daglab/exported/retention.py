"""Taking away exports whose time is over, or that are too many, on disk and in clouds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from daglab import errors, files
from daglab.exported import evidence, export_copies, export_record, latest
from daglab.exporting import export_locks
from daglab.storage import objects


@dataclass
class Outcome:
    """What went: id, place, where, and bytes; what stays and why; what could not go, and the first error of that."""

    removed: list[dict[str, Any]] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    error: errors.DaglabError | None = None

    @property
    def bytes(self) -> int:
        """How much room that makes."""
        return sum(each["bytes"] for each in self.removed)

    def fail(self, place: str, error: errors.DaglabError) -> None:
        """One that could not go."""
        self.failed.append({"place": place, "why": error.message})
        self.error = self.error or error


def concerned(root: Path, now: datetime, most_bytes: int) -> tuple[export_copies.Copy, ...]:
    """The copies that would go if no page led to any of them: more when of those some stay, and it is by size."""
    if most_bytes and sum(copy.bytes for copy in export_record.copies(root)) > most_bytes:
        return tuple(export_record.copies(root))
    return export_copies.choose(export_record.copies(root), now).over


def expire(
    root: Path,
    now: datetime,
    most_bytes: int,
    linked: latest.Linked,
    *,
    folders: Collection[Path] = (),
    dry_run: bool = False,
) -> Outcome:
    """Delete what is over, the HTML in the project and the objects in clouds, and note it in the record.

    What is in `linked` stays. An object goes only where it is marked as this export's, and has its size and checksum.
    A file goes only in the project or in one of the `folders`: it bears no mark, and somebody else may have written the
    record. What can't be deleted is told, and the rest goes all the same. With `dry_run`, nothing is done but looked.
    """
    outcome = Outcome()
    copies = export_record.copies(root)
    choice = export_copies.choose(copies, now, most_bytes, linked.places)
    for copy in choice.linked:
        outcome.kept.append({"place": copy.place, "why": f"it is the latest attachment of {linked.places[copy.place]}"})
    ids = {copy.place: copy.id for copy in copies}
    gone = export_record.expire(root, now, dry_run=dry_run, most_bytes=most_bytes, linked=linked.places.keys())
    for path, size in zip(gone.removed, gone.sizes, strict=True):
        outcome.removed.append({"id": ids.get(path), "where": export_copies.LOCAL, "place": path, "bytes": size})
    outcome.kept += [{"place": path, "why": "it was changed since it was made"} for path in gone.changed]
    for path, why in gone.failed:
        outcome.fail(path, errors.NotGood(f"{path} can't be deleted: {why}", "Look at its permissions."))
    for copy in choice.over:
        if copy.where != export_copies.CLOUD:
            continue
        if not _may_go(copy, (root, *folders)):
            why = "it lies outside of the project: `exports expire --folder FOLDER` names the folder"
            outcome.kept.append({"place": copy.place, "why": why})
        else:
            _expire(root, copy, outcome, dry_run=dry_run)
    return outcome


def _may_go(copy: export_copies.Copy, folders: Collection[Path]) -> bool:
    """Whether it is in a cloud, where objects are marked, or a file below one of the folders."""
    if not copy.place.startswith("file:"):
        return True
    try:
        place, key = evidence.located(copy)
    except errors.DaglabError:
        return True  # looking at it tells what is wrong
    return any(files.inside(folder, Path(place.prefix, key)) is not None for folder in folders)


def _expire(root: Path, copy: export_copies.Copy, outcome: Outcome, *, dry_run: bool) -> None:
    try:
        state = evidence.look(copy) if dry_run else _take_away(root, copy)
    except errors.Taken:
        outcome.kept.append({"place": copy.place, "why": "it is being exported again"})
    except evidence.OutOfSight:  # it is so for ever, and no failure of each night
        why = "it was uploaded to a presigned address, which lets nobody delete"
        outcome.kept.append({"place": copy.place, "why": why})
    except errors.DaglabError as error:
        outcome.fail(copy.place, error)
    else:
        if state == evidence.SAME:
            about = {"id": copy.id, "where": copy.where, "place": copy.place, "bytes": copy.bytes}
            outcome.removed.append(about)
        elif state == evidence.CHANGED:
            why = "it is not what was uploaded, or not marked as this export's"
            outcome.kept.append({"place": copy.place, "why": why})


def _take_away(root: Path, copy: export_copies.Copy) -> str:
    """Delete an object that is as it was uploaded; what it was. Nobody here exports it meanwhile."""
    place, key = evidence.located(copy)
    with export_locks.held(root, root / copy.output):
        if copy not in export_record.copies(root):  # uploaded again, or taken away, since it was chosen
            return evidence.GONE
        state = evidence.look(copy)
        if state == evidence.SAME:
            export_record.intend(root, copy.id, "delete", address=copy.place)
            objects.delete(place, key)
        kept = {"kept": "changed"} if state == evidence.CHANGED else {}
        export_record.amend(root, copy.id, removed={"address": copy.place, **kept})
    return state

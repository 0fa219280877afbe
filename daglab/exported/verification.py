"""The record against what there is: on disk, in clouds, and what lies there that the record does not know."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from daglab import errors, files
from daglab.exported import evidence, export_copies, export_record
from daglab.settings import config
from daglab.storage import objects, places

BLOCK = 1 << 20  # bytes
KINDS = ("missing", "changed", "unfinished", "orphan", "expired")


@dataclass
class Outcome:
    """How many were compared, by where; what differs: `kind, id, place, detail`; which places could not be read.

    `out_of_sight` was uploaded to presigned addresses, where nobody can look.
    """

    compared: dict[str, int] = field(default_factory=lambda: {export_copies.LOCAL: 0, export_copies.CLOUD: 0})
    differences: list[dict[str, Any]] = field(default_factory=list)
    unread: list[dict[str, Any]] = field(default_factory=list)
    out_of_sight: list[str] = field(default_factory=list)
    error: errors.DaglabError | None = None

    def add(self, kind: str, place: str, detail: str, identity: str | None = None) -> None:
        """One more that differs."""
        self.differences.append({"kind": kind, "id": identity, "place": place, "detail": detail})

    def fail(self, place: str, error: errors.DaglabError) -> None:
        """A place that could not be read."""
        self.unread.append({"place": place, "code": error.code, "why": error.message})
        self.error = self.error or error

    def count(self, kind: str) -> int | None:
        """How many differ in this way; None where that could not be read, which is not the same as none."""
        in_clouds = {"missing", "changed", "orphan"}
        found = sum(each["kind"] == kind for each in self.differences)
        return None if self.unread and kind in in_clouds else found


def verify(settings: config.Config, now: datetime) -> Outcome:
    """Compare the record with what there is. Nothing is changed.

    An orphan is an HTML below the configured place, or in a folder of one that the record names, that the record does
    not know. Raises `InvalidInput` where the record itself can't be read.
    """
    root = settings.root
    export_record.check_readable(root)
    outcome = Outcome()
    copies = export_record.copies(root)
    pages = export_record.attached(root)
    linked = export_record.places_of(root, set().union(*(page.ids for page in pages.values())))
    for copy in copies:
        is_there = _local(root, copy, outcome) if copy.where == export_copies.LOCAL else _cloud(copy, outcome)
        if is_there and copy.until is not None and copy.until <= now and copy.place not in linked:
            outcome.add("expired", copy.place, f"its time was over at {copy.until.isoformat()}", copy.id)
    _unfinished(root, outcome)
    known = {copy.place for copy in copies if copy.where == export_copies.CLOUD}
    for place in _below(settings, copies):
        _orphans(place, known | _begun(root), outcome)
    return outcome


def _local(root: Path, copy: export_copies.Copy, outcome: Outcome) -> bool:
    if files.inside(root, root / copy.place) is None:
        outcome.add("changed", copy.place, "the record has it inside of the project, and it leads out", copy.id)
        return False
    outcome.compared[export_copies.LOCAL] += 1
    try:
        digest = _digest(root / copy.place)
    except FileNotFoundError:
        outcome.add("missing", copy.place, "the HTML is gone", copy.id)
        return False
    except OSError as error:
        outcome.add("changed", copy.place, f"the HTML can't be read: {error.strerror or error}", copy.id)
        return False
    if digest != copy.sha256:
        outcome.add("changed", copy.place, "the HTML was changed since it was made", copy.id)
        return False
    return True


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with files.open_own(path) as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _cloud(copy: export_copies.Copy, outcome: Outcome) -> bool:
    try:
        state = evidence.look(copy)
    except evidence.OutOfSight:
        outcome.out_of_sight.append(copy.place)
        return False
    except errors.DaglabError as error:
        outcome.fail(copy.place, error)
        return False
    outcome.compared[export_copies.CLOUD] += 1
    if state == evidence.GONE:
        outcome.add("missing", copy.place, "the object is gone", copy.id)
    elif state == evidence.CHANGED:
        outcome.add("changed", copy.place, "the object is not what was uploaded", copy.id)
    return state == evidence.SAME


def _unfinished(root: Path, outcome: Outcome) -> None:
    for each in export_record.unfinished(root):
        _add_steps(outcome, each["id"], each["steps"])
    for line in export_record.read(root):
        pending = line.get("pending")
        steps = [step for step in pending if isinstance(step, dict)] if isinstance(pending, list) else []
        if steps:
            _add_steps(outcome, line["id"], steps)
        elif line.get("attach") == "unknown":
            outcome.add("unfinished", str(line.get("output")), "nobody knows whether it was attached", line["id"])


def _add_steps(outcome: Outcome, identity: str, steps: Sequence[dict[str, Any]]) -> None:
    for step in steps:
        about = next((step[name] for name in ("address", "target", "output") if isinstance(step.get(name), str)), "")
        export = step.get("export")
        if not about and isinstance(export, dict):  # the first step tells of all of it
            about = str(export.get("output"))
        outcome.add("unfinished", about, f"nobody knows what came of the {step.get('step')}", identity)


def _begun(root: Path) -> set[str]:
    """The addresses that something was about to be uploaded to."""
    lines = [step for each in export_record.unfinished(root) for step in each["steps"]]
    for line in export_record.read(root):
        pending = line.get("pending")
        lines += [step for step in pending if isinstance(step, dict)] if isinstance(pending, list) else []
    return {line["address"] for line in lines if isinstance(line.get("address"), str)}


def _below(settings: config.Config, copies: Sequence[export_copies.Copy]) -> Iterator[places.Place]:
    """The place of the config, and the folders of the objects on record that are not below it."""
    configured = places.from_config(settings)
    found = [configured] if configured else []
    for copy in copies:
        if copy.where == export_copies.CLOUD:
            try:
                place, key = evidence.located(copy)
            except errors.DaglabError:  # said when it was looked at
                continue
            folder = place if place.scheme == "file" else _folder(place, key)
            if not any(_holds(each, folder) for each in found):
                found.append(folder)
    yield from found


def _folder(place: places.Place, key: str) -> places.Place:
    return places.Place(place.scheme, place.bucket, key.rpartition("/")[0], place.account)


def _holds(place: places.Place, other: places.Place) -> bool:
    if (place.scheme, place.bucket, place.account) != (other.scheme, other.bucket, other.account):
        return False
    beginning = place.prefix.rstrip("/")
    return not beginning or other.prefix == beginning or other.prefix.startswith(f"{beginning}/")


def _orphans(place: places.Place, known: set[str], outcome: Outcome) -> None:
    try:
        for found in objects.listing(place):
            address = places.address(place, found.key)
            if address not in known and found.key.endswith(evidence.SUFFIXES):
                outcome.add("orphan", address, "the record does not know it; it is left alone")
    except errors.DaglabError as error:
        outcome.fail(places.address(place, place.prefix if place.bucket else ""), error)

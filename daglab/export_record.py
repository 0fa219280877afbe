"""The record of exports, `.daglab/exports.jsonl`: what was made, where it is, until when; and taking away what is over.

One JSON line an export, version 1; a line with `expired` says that the export of that id was taken away (or is left
alone, with `kept`). Only what the record says daglab made is ever deleted.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from daglab import errors, exports, files

log = logging.getLogger(__name__)

FILE = Path(".daglab", "exports.jsonl")


@dataclass(frozen=True)
class Expired:
    """What was taken away, paths from the project's root; and what was to be, but has changed since it was made."""

    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def append(root: Path, export: exports.Export, outcome: Mapping[str, Any]) -> None:
    """Append the export to the project's record, where the project has a .daglab/ of its own.

    `outcome` says where people find it, what it was attached to and how, and when it expires. Paths inside the
    project are relative to `root`, so that the record survives a move. The file is made for its owner alone, since a
    link may be a signed one. A record that can't be written is a warning: the export stands all the same.
    """
    line = {"v": 1, **exports.document(export), **outcome}
    for key, path in (("notebook", export.notebook), ("output", export.output)):
        line[key] = (files.inside(root, path) or path).as_posix()
    _append(root, line)


def read(root: Path) -> list[dict[str, Any]]:
    """The exports in the record of the project, oldest first; what is no export of this version is left out."""
    return _exports(_lines(root))


def _exports(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line.get("v") == 1 and isinstance(line.get("id"), str)]


def _lines(root: Path) -> list[dict[str, Any]]:
    """Every line; none of a record that can't be read, for no export is to fail over it."""
    try:
        return files.read_lines(root / FILE)
    except (OSError, errors.DaglabError):
        return []


def newest(root: Path, target: str, partition: str | None = None) -> dict[str, Any] | None:
    """The newest good export that was made for a target (`asset:orders`) and partition; None for none."""
    found: dict[str, Any] | None = None
    for line in read(root):
        targets = line.get("targets")
        if line.get("ok") and isinstance(targets, list) and target in targets and line.get("partition") == partition:
            found = line
    return found


def expires_at(export: exports.Export, days: int) -> str | None:
    """When an export that is kept for so many days expires, as ISO 8601; None for never (0 days)."""
    return (export.exported_at + timedelta(days=days)).isoformat() if days else None


def expire(root: Path, now: datetime, keep: Path | None = None) -> Expired:
    """Delete the exports of the project whose time is over, and note it in the record.

    An export goes only where it lies inside the project, as an ordinary file with just the bytes that the record has,
    and no newer export of the same place is still to be kept. `keep` stays whatever the record says: it was just
    written, perhaps over an older one, and the record may not know of it.
    """
    removed: list[str] = []
    changed: list[str] = []
    for line in _over(root, now):
        place = files.inside(root, root / line["output"])
        path = root / line["output"]
        if place is None or (keep is not None and place == files.inside(root, keep)):
            continue
        try:
            state = _unlink(path, str(line.get("sha256")))
        except OSError as error:
            log.warning("The export %s has expired and can't be deleted: %s.", path, error.strerror or error)
            continue
        note: dict[str, Any] = {"v": 1, "expired": line["id"], "at": now.isoformat()}
        _append(root, {**note, "kept": "changed"} if state == "changed" else note)
        if state != "gone":
            (removed if state == "removed" else changed).append(place.as_posix())
    return Expired(tuple(removed), tuple(changed))


def _over(root: Path, now: datetime) -> Iterator[dict[str, Any]]:
    """The newest export of each place, where that has expired and was not dealt with."""
    lines = _lines(root)
    dealt_with = {expired for line in lines if isinstance(expired := line.get("expired"), str)}
    newest = {line["output"]: line for line in _exports(lines) if isinstance(line.get("output"), str)}
    for line in newest.values():
        until = _time(line.get("expires_at"))
        if until is not None and until <= now and line["id"] not in dealt_with and not os.path.isabs(line["output"]):
            yield line


def _unlink(path: Path, sha256: str) -> str:
    """`removed`, `gone` when it was not there any more, `changed` when it is not what was made, and stays."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return "changed"
    except FileNotFoundError:
        return "gone"
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        return "changed"
    path.unlink()
    return "removed"


def _time(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found.replace(tzinfo=timezone.utc) if found and found.tzinfo is None else found


def _append(root: Path, line: Mapping[str, Any]) -> None:
    if not (root / FILE.parent).is_dir() or files.inside(root, root / FILE.parent) is None:
        return
    try:
        files.append_line(root / FILE, line, mode=0o600)
    except OSError as error:
        log.warning("The export is not recorded in %s: %s.", root / FILE, error.strerror or error)

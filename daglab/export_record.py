"""The record of exports, `.daglab/exports.jsonl`: what was made, where it is, until when; and taking away what is over.

One JSON line an export, version 1; a line with `expired` says that the export of that id was taken away (or is left
alone, with `kept`). Only what the record says daglab made is ever deleted.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from daglab import exports, files, json_lines

log = logging.getLogger(__name__)

FILE = Path(".daglab", "exports.jsonl")
_FIRST = datetime.min.replace(tzinfo=timezone.utc) + timedelta(days=2)
_LAST = datetime.max.replace(tzinfo=timezone.utc) - timedelta(days=2)


@dataclass(frozen=True)
class Expired:
    """What was taken away, paths from the project's root, and how many bytes each had.

    `changed` was to be, but is not what was made any more; `failed` could not be deleted: path and reason.
    """

    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    sizes: tuple[int, ...] = ()


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


def expired(root: Path) -> set[str]:
    """The ids of the exports that were taken away, or are left alone for good, because they have expired."""
    return _dealt_with(_lines(root))


def _dealt_with(lines: list[dict[str, Any]]) -> set[str]:
    return {expired for line in lines if isinstance(expired := line.get("expired"), str)}


def _exports(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line.get("v") == 1 and isinstance(line.get("id"), str)]


def _lines(root: Path) -> list[dict[str, Any]]:
    """Every line; none of a record that can't be read, for no export is to fail over it. What is left out is said."""
    left_out: list[int] = []
    try:
        lines = json_lines.read(root / FILE, left_out)
    except OSError as error:
        _warn_once(root, f"it can't be read: {error.strerror or error}")
        return []
    if left_out:
        _warn_once(root, f"{len(left_out)} of its lines can't be read, the first is line {left_out[0]}")
    return lines


@functools.cache
def _warn_once(root: Path, what: str) -> None:
    """One command reads the record several times."""
    log.warning("%s: %s. What can't be read is left out; `daglab doctor --deep` names it.", root / FILE, what)


def standing(root: Path) -> list[dict[str, Any]]:
    """The newest export of each place in the project that was not taken away, the oldest first.

    What has expired and is still there is among them. Somebody else may have written the record: but for `id` and
    `output`, which are text, a value may be of any kind.
    """
    lines = _lines(root)
    gone = {expired for line in lines if isinstance(expired := line.get("expired"), str) and not line.get("kept")}
    found: dict[str, dict[str, Any]] = {}
    for line in _exports(lines):
        if isinstance(output := line.get("output"), str):
            found.pop(output, None)
            found[output] = line
    return [line for line in found.values() if line["id"] not in gone]


def is_over(line: Mapping[str, Any], now: datetime) -> bool:
    """Whether the time of an export is over."""
    until = time_of(line.get("expires_at"))
    return until is not None and until <= now


def newest(root: Path, target: str, partition: str | None = None) -> dict[str, Any] | None:
    """The newest good export that was made for a target (`asset:orders`) and partition; None for none."""
    found: dict[str, Any] | None = None
    for line in read(root):
        targets = line.get("targets")
        if line.get("ok") and isinstance(targets, list) and target in targets and line.get("partition") == partition:
            found = line
    return found


def last_good(root: Path) -> datetime | None:
    """When the last good export was made; None for none. No more of the record is read than it takes."""
    try:
        for text in json_lines.backwards(root / FILE):
            line = json_lines.parsed(text) or {}
            at = time_of(line.get("exported_at"))
            if at is not None and line.get("ok") is True and _exports([line]):
                return at
    except OSError:
        return None
    return None


def expires_at(export: exports.Export, days: int) -> str | None:
    """When an export that is kept for so many days expires, as ISO 8601; None for never (0 days)."""
    return (export.exported_at + timedelta(days=days)).isoformat() if days else None


def expire(root: Path, now: datetime, keep: Path | None = None, *, dry_run: bool = False) -> Expired:
    """Delete the exports of the project whose time is over, and note it in the record.

    An export goes only where it lies inside the project, as an ordinary file with just the bytes that the record has,
    and no newer export of the same place is still to be kept. `keep` stays whatever the record says: it was just
    written, perhaps over an older one, and the record may not know of it. With `dry_run`, nothing is deleted or noted.
    """
    removed: list[str] = []
    changed: list[str] = []
    failed: list[tuple[str, str]] = []
    sizes: list[int] = []
    for line in _over(root, now):
        place = files.inside(root, root / line["output"])
        path = root / line["output"]
        if place is None or (keep is not None and place == files.inside(root, keep)):
            continue
        try:
            state, size = _look(path, str(line.get("sha256")))
            if state == "same" and not dry_run:
                path.unlink(missing_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            log.warning("The export %s has expired and can't be deleted: %s.", path, reason)
            failed.append((place.as_posix(), reason))
            continue
        if not dry_run:
            note: dict[str, Any] = {"v": 1, "expired": line["id"], "at": now.isoformat()}
            _append(root, {**note, "kept": "changed"} if state == "changed" else note)
        if state == "same":
            removed.append(place.as_posix())
            sizes.append(size)
        elif state == "changed":
            changed.append(place.as_posix())
    return Expired(tuple(removed), tuple(changed), tuple(failed), tuple(sizes))


def _over(root: Path, now: datetime) -> Iterator[dict[str, Any]]:
    """The newest export of each place, where that has expired and was not dealt with."""
    lines = _lines(root)
    dealt_with = _dealt_with(lines)
    newest = {line["output"]: line for line in _exports(lines) if isinstance(line.get("output"), str)}
    for line in newest.values():
        if is_over(line, now) and line["id"] not in dealt_with and not os.path.isabs(line["output"]):
            yield line


def _look(path: Path, sha256: str) -> tuple[str, int]:
    """`same` and its bytes; `gone` when it is not there any more, `changed` when it is not what was made, and stays."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return "changed", 0
    except FileNotFoundError:
        return "gone", 0
    content = path.read_bytes()
    return ("same" if hashlib.sha256(content).hexdigest() == sha256 else "changed"), len(content)


def time_of(text: object) -> datetime | None:
    """The time that a record's text stands for, with a zone; None for what is none.

    It is one that every zone can tell: the first and the last day of all give way to the next to them.
    """
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if found is None:
        return None
    return min(max(found if found.tzinfo else found.replace(tzinfo=timezone.utc), _FIRST), _LAST)


def _append(root: Path, line: Mapping[str, Any]) -> None:
    if not (root / FILE.parent).is_dir() or files.inside(root, root / FILE.parent) is None:
        return
    try:
        json_lines.append(root / FILE, line, mode=0o600)
    except OSError as error:
        log.warning("The export is not recorded in %s: %s.", root / FILE, error.strerror or error)

"""The record of exports, `.daglab/exports.jsonl`: what was made, where it is, until when; and taking away what is over.

Its lines are told in `export_lines`. Only what the record says daglab made is ever deleted.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from daglab import errors, files, json_lines
from daglab.exported import export_copies, export_lines
from daglab.exporting import export_locks, exports

log = logging.getLogger(__name__)

FILE = Path(".daglab", "exports.jsonl")
READ_IT = "`daglab doctor --deep` names each bad line; `daglab doctor --fix` ends a torn last one."
_FIRST = datetime.min.replace(tzinfo=timezone.utc) + timedelta(days=2)
_LAST = datetime.max.replace(tzinfo=timezone.utc) - timedelta(days=2)


@dataclass(frozen=True)
class Expired:
    """What was taken away, paths from the project's root, and how many bytes each had.

    `changed` was to be, but is not what was made any more; `failed` could not be deleted: path and reason. `attached`
    was to be, but the page of an asset leads there.
    """

    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    sizes: tuple[int, ...] = ()
    attached: tuple[str, ...] = ()


def append(root: Path, export: exports.Export, outcome: Mapping[str, Any]) -> None:
    """Append the export to the project's record, where the project has a .daglab/ of its own.

    `outcome` says where people find it, what it was attached to and how, and when it expires. Paths inside the
    project are relative to `root`, so that the record survives a move. The file is made for its owner alone, since a
    link may be a signed one. A record that can't be written is a warning: the export stands all the same.
    """
    line = {"v": 1, **exports.document(export), **outcome}
    line.update(notebook=relative(root, export.notebook), output=relative(root, export.output))
    _append(root, line)


def append_failure(root: Path, members: Mapping[str, Any]) -> None:
    """Append a notebook that left no HTML and was reported: an export that is not `ok`, and has no output."""
    _append(root, {"v": 1, **members})


def relative(root: Path, path: Path) -> str:
    """A path as it is recorded: from the project's root where it lies inside, so that the record survives a move."""
    return (files.inside(root, path) or path).as_posix()


def intend(root: Path, identity: str, step: str, /, **members: Any) -> None:
    """Put on record that a step outside of the project is about to be taken for the export of that id.

    The step is one of export_lines.STEPS; `members` say what is known by then. The line is on the disk when this
    returns. Without a .daglab/ of the project's own nothing is recorded. Raises `InvalidInput` when there is one, and
    the line can't be written: then the step must not be taken.
    """
    if step not in export_lines.STEPS:
        raise ValueError(f"{step!r} is none of {', '.join(export_lines.STEPS)}")
    _append_surely(root, members, {"intent": identity, "step": step}, f"the {step}")


def amend(root: Path, identity: str, /, **members: Any) -> None:
    """Record later facts of an export: readers see its line with them, in place of what it said of the same name.

    It closes the intents that they tell the outcome of (`signed` that of "sign"); with `closed` those of these steps
    alone, as those of what was given up before anything was done. Raises `InvalidInput` as `intend` does.
    """
    _append_surely(root, members, {"amends": identity}, "what was done")


def unfinished(root: Path) -> list[dict[str, Any]]:
    """Ids with intents of which nobody knows what came, oldest first: `{"id", "steps": [the lines of the intents]}`.

    An export line closes all intents of its id before it, an amendment those that it tells the outcome of, and
    `expired` that of deleting.
    """
    return export_lines.unfinished(_lines(root))


def read(root: Path) -> list[dict[str, Any]]:
    """The exports in the record of the project, oldest first, amended; what is none of this version is left out."""
    return export_lines.exports(_lines(root))


def check_readable(root: Path) -> None:
    """Raise `InvalidInput` where the record is there and can't be read: what is told of it would be wrong."""
    left_out: list[int] = []
    try:
        json_lines.read(root / FILE, left_out)
    except OSError as error:
        raise errors.InvalidInput(f"{root / FILE} can't be read: {error.strerror or error}.", READ_IT) from error
    if left_out:
        raise errors.InvalidInput(
            f"{len(left_out)} lines of {root / FILE} can't be read, the first is line {left_out[0]}.", READ_IT
        )


def history(root: Path, identity: str) -> list[dict[str, Any]]:
    """The lines that are about an export, as they were written."""
    kinds = ("id", "intent", "amends", "expired")
    return [line for line in _lines(root) if line.get("v") == 1 and identity in (line.get(kind) for kind in kinds)]


def expired(root: Path) -> set[str]:
    """The ids of the exports that were taken away, or are left alone for good, because they have expired."""
    return export_lines.dealt_with(_lines(root))


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
    gone = export_lines.taken(lines)
    found: dict[str, dict[str, Any]] = {}
    for line in export_lines.exports(lines):
        if isinstance(output := line.get("output"), str):
            found.pop(output, None)
            found[output] = line
    return [line for line in found.values() if line["id"] not in gone]


def is_over(line: Mapping[str, Any], now: datetime) -> bool:
    """Whether the time of an export is over."""
    until = time_of(line.get("expires_at"))
    return until is not None and until <= now


def newest(root: Path, target: str, partition: str | None = None) -> dict[str, Any] | None:
    """The newest good export for a target (`asset:orders`) and partition that was not taken away; None for none."""
    lines = _lines(root)
    taken = export_lines.taken(lines)
    found: dict[str, Any] | None = None
    for line in export_lines.exports(lines):
        is_in_cloud = isinstance(line.get("upload"), dict)
        is_gone = isinstance(line.get("removed"), dict) if is_in_cloud else line["id"] in taken
        if line.get("ok") and not is_gone and _is_for(line, target, partition):
            found = line
    return found


def _is_for(line: Mapping[str, Any], target: str, partition: str | None) -> bool:
    """Whether an export was made for it; `aimed` has each asset with its partition, of an older line all have one."""
    targets, aimed = line.get("targets"), line.get("aimed")
    own = (
        [each[1] for each in aimed if isinstance(each, list) and each[:1] == [target] and len(each) == 2]
        if (isinstance(aimed, list))
        else []
    )
    if own:
        return partition in own
    return isinstance(targets, list) and target in targets and line.get("partition") == partition


def last_good(root: Path) -> datetime | None:
    """When the last good export was made; None for none. No more of the record is read than it takes."""
    try:
        for text in json_lines.backwards(root / FILE):
            line = json_lines.parsed(text) or {}
            at = time_of(line.get("exported_at"))
            if at is not None and line.get("ok") is True and export_lines.exports([line]):
                return at
    except OSError:
        return None
    return None


def expires_at(export: exports.Export, days: int) -> str | None:
    """When an export that is kept for so many days expires, as ISO 8601; None for never (0 days)."""
    return (export.exported_at + timedelta(days=days)).isoformat() if days else None


def copies(root: Path) -> list[export_copies.Copy]:
    """The newest export of each place in the project and in clouds that is still to be there, the oldest first.

    Somebody else may have written the record: no place has been looked at.
    """
    lines = _lines(root)
    dealt_with = export_lines.dealt_with(lines)
    found: dict[str, export_copies.Copy | None] = {}
    make = export_copies.make
    for line in export_lines.exports(lines):
        removed, upload = line.get("removed"), line.get("upload")
        times = time_of(line.get("exported_at")), time_of(line.get("expires_at"))
        if isinstance(output := line.get("output"), str) and not os.path.isabs(output):
            found.pop(output, None)
            found[output] = None if line["id"] in dealt_with else make(line, line, export_copies.LOCAL, output, *times)
        if isinstance(upload, dict) and isinstance(address := upload.get("address"), str):
            found.pop(address, None)
            is_gone = isinstance(removed, dict) and removed.get("address") == address
            found[address] = None if is_gone else make(line, upload, export_copies.CLOUD, address, *times)
    return [copy for copy in found.values() if copy]


def attached(root: Path) -> dict[export_copies.Aim, export_copies.Page]:
    """By the record, what the pages of assets lead to."""
    lines = _lines(root)
    return export_copies.attached(export_lines.exports(lines), export_lines.unfinished(lines))


def places_of(root: Path, ids: Collection[str]) -> set[str]:
    """Where the copies of these exports are, or may be: paths from the project's root, and addresses."""
    lines = _lines(root)
    steps = [step for each in export_lines.unfinished(lines) if each["id"] in ids for step in each["steps"]]
    about = [*(line for line in export_lines.exports(lines) if line["id"] in ids), *steps]
    return {place for line in about for place in export_copies.places(line)}


def expire(
    root: Path,
    now: datetime,
    keep: Collection[Path] = (),
    *,
    dry_run: bool = False,
    most_bytes: int = 0,
    linked: Collection[str] | None = None,
) -> Expired:
    """Delete the HTML of exports whose time is over, or that are too many, and note it in the record.

    All copies on record are to have `most_bytes` together at most (0: no bound), the oldest go first; those in clouds
    count, and stay. What an asset's page leads to (`linked`, places; default: by the record) stays, and so do those in
    `keep`, whatever the record says: they were just written, perhaps over older ones, and it may not know of them.

    An export goes only where it lies inside the project, as an ordinary file with just the bytes that the record has,
    no newer export of the same place is still to be kept, and none is under way. With `dry_run`, nothing is done.
    """
    if linked is None:
        linked = places_of(root, set().union(*(page.ids for page in attached(root).values())))
    own = {place.as_posix() for path in keep if (place := files.inside(root, path))}
    places = {*linked, *own}
    choice = export_copies.choose(copies(root), now, most_bytes, places)
    removed: list[tuple[str, int]] = []
    changed: list[str] = []
    failed: list[tuple[str, str]] = []
    for copy in choice.over:
        if (
            copy.where != export_copies.LOCAL
            or (place := files.inside(root, root / copy.place)) is None
            or place.as_posix() in own
        ):
            continue
        try:
            state, size = _look(root / copy.place, copy.sha256) if dry_run else _take_away(root, copy, now)
        except errors.Taken:  # it is being exported again
            continue
        except (OSError, errors.DaglabError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            log.warning("The export %s has expired and can't be deleted: %s.", root / copy.place, reason.rstrip("."))
            failed.append((place.as_posix(), reason))
            continue
        removed += [(place.as_posix(), size)] if state == "same" else []
        changed += [place.as_posix()] if state == "changed" else []
    kept = [copy.place for copy in choice.linked if copy.where == export_copies.LOCAL and copy.place in linked]
    return Expired(
        tuple(path for path, _ in removed),
        tuple(changed),
        tuple(failed),
        tuple(size for _, size in removed),
        tuple(kept),
    )


def _take_away(root: Path, copy: export_copies.Copy, now: datetime) -> tuple[str, int]:
    """Delete an HTML that is as it was made; what it was, and its bytes. Nobody exports it meanwhile."""
    with export_locks.held(root, root / copy.place):
        if copy not in copies(root):  # exported again, or taken away, since it was chosen
            return "gone", 0
        state, size = _look(root / copy.place, copy.sha256)
        if state == "same":
            intend(root, copy.id, "delete", output=copy.place)
            (root / copy.place).unlink(missing_ok=True)
        note: dict[str, Any] = {"v": 1, "expired": copy.id, "at": now.isoformat()}
        _append(root, {**note, "kept": "changed"} if state == "changed" else note)
    return state, size


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


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


def _append(root: Path, line: Mapping[str, Any]) -> None:
    if not _has_record(root):
        return
    try:
        json_lines.append(root / FILE, line, mode=0o600, whole=export_lines.WHOLE)
    except OSError as error:
        log.warning("The export is not recorded in %s: %s.", root / FILE, error.strerror or error)


def _append_surely(root: Path, members: Mapping[str, Any], kind: Mapping[str, Any], what: str) -> None:
    """Append a line that has to be on the disk before anything else is done; `members` don't make it another kind."""
    if not _has_record(root):
        return
    others = {name: each for name, each in members.items() if name not in export_lines.KINDS}
    line = {"v": 1, **kind, "at": _now(), **others}
    try:
        json_lines.append(root / FILE, line, mode=0o600, whole=export_lines.WHOLE)
        descriptor = os.open(root / FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise errors.InvalidInput(
            f"{what.capitalize()} can't be recorded in {root / FILE}: {error.strerror or error}.",
            "daglab does nothing outside of the project that is not on record. Make room, or look at its permissions.",
        ) from error


def _has_record(root: Path) -> bool:
    """Whether the project has a .daglab/ of its own."""
    return (root / FILE.parent).is_dir() and files.inside(root, root / FILE.parent) is not None

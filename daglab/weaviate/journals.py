"""The journal of a long work on a collection: what it is, how far it has come; so that a killed one can be resumed.

JSON lines in `.daglab/collections/<kind>-<collection>-<hash>/journal.jsonl`, beside what else the work has to keep. The
folder is there as long as the work is not over, and holds a lock while somebody is at it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daglab import errors, files, json_lines

FOLDER = Path(".daglab", "collections")
NAME, LOCK = "journal.jsonl", "lock"
FROZEN, THAWED = "frozen", "thawed"  # stages: a source made read-only, and writable again
ACTIVATED, PUT_BACK = "activated", "put back"  # a tenant of the source made active, and in its state again


@dataclass(frozen=True)
class Journal:
    """A work under way: its folder, what it is (`work`), and its lines so far."""

    folder: Path
    work: Mapping[str, Any]
    lines: list[dict[str, Any]]

    def last(self, stage: str) -> dict[str, Any] | None:
        """The last line of a stage."""
        return next((line for line in reversed(self.lines) if line.get("stage") == stage), None)

    def note(self, stage: str, **said: Any) -> None:
        """Add a line, which is on disk when this returns. Raises `InvalidInput` where it can't be: the disk is full."""
        line = {"stage": stage, **said}
        try:
            json_lines.append(self.folder / NAME, line, mode=0o600)
        except OSError as error:
            raise errors.InvalidInput(
                f"The journal {self.folder / NAME} can't be written: {error.strerror or error}.",
                "Make room on the disk, and give the same command again.",
            ) from error
        self.lines.append(line)


@contextlib.contextmanager
def opened(root: Path, work: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal of a work, such as `{"kind": "copy", "collection": ..., "source": url, ...}`, new or an older one.

    It is kept until `finish`. Raises `Taken` while somebody else is at the same work, and as `Journal.note` does.
    """
    folder = root / FOLDER / name_of(work)
    files.make_folder(folder)
    with files.held(folder / LOCK, 0.5):
        lines = json_lines.read(folder / NAME)
        journal = Journal(folder, dict(work), lines)
        if not lines:
            try:
                journal.note("begun", work=dict(work))
            except errors.DaglabError:
                finish(journal)  # nothing was begun; an empty journal would say that something was
                raise
        yield journal


def begin_anew(journal: Journal) -> None:
    """Forget how far a work has come: what it had made has gone."""
    (journal.folder / NAME).unlink(missing_ok=True)
    journal.lines.clear()
    journal.note("begun", work=dict(journal.work))


def finish(journal: Journal) -> None:
    """The work is over: nothing is left of its journal."""
    shutil.rmtree(journal.folder, ignore_errors=True)
    for above in (journal.folder.parent, journal.folder.parent.parent):
        with contextlib.suppress(OSError):
            os.rmdir(above)  # where nothing else is in it


def unfinished(root: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """What each work that is not over is (its `work`), with its last `stage` and the `folder` of its journal.

    `running` is whether somebody is at it right now, `frozen` whether its source was made read-only and is not yet
    writable again.
    """
    found = []
    for path in sorted((root / FOLDER).glob(f"*/{NAME}")):
        lines = json_lines.read(path)
        work = lines[0].get("work") if lines else None
        if isinstance(work, dict) and kind in (None, work.get("kind")):
            state = {"frozen": is_frozen(lines), "running": _is_held(path.parent / LOCK)}
            found.append({**work, "stage": lines[-1].get("stage"), "folder": str(path.parent), **state})
    return found


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of the journal in a folder; none where it is gone meanwhile."""
    return json_lines.read(folder / NAME)


def frozen_shards(lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The shards that a work has made read-only and not yet thawed, each with its status before."""
    for line in reversed(lines):
        if line.get("stage") == THAWED:
            return {}
        if line.get("stage") == FROZEN:
            return dict(line.get("shards") or {})
    return {}


def is_frozen(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a work has made its source read-only, and not yet thawed it."""
    return any(status != "READONLY" for status in frozen_shards(lines).values())


def owed(lines: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The tenants that a work has made active and not put back, each with its state before."""
    found: dict[str, str] = {}
    for line in lines:
        if line.get("stage") == ACTIVATED:
            found[str(line.get("tenant"))] = str(line.get("status"))
        elif line.get("stage") == PUT_BACK:
            found.pop(str(line.get("tenant")), None)
    return found


def name_of(work: Mapping[str, Any]) -> str:
    """The name of a work's folder: the same for the same work."""
    identity = hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()[:12]
    return f"{work['kind']}-{work['collection']}-{identity}"


def is_there(root: Path, work: Mapping[str, Any]) -> bool:
    """Whether this very work was begun and not ended."""
    return (root / FOLDER / name_of(work) / NAME).exists()


def refuse_unfinished(root: Path, work: Mapping[str, Any], hint: str) -> None:
    """Raise `Taken` where this very work was begun and not ended."""
    if is_there(root, work):
        raise errors.Taken(f"This {work['kind']} of {work['collection']} was begun, and did not end.", hint)


def _is_held(path: Path) -> bool:
    try:
        descriptor = files.open_lock(path)
    except OSError:
        return False
    try:
        return not files.try_lock(descriptor)
    finally:
        os.close(descriptor)

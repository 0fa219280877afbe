"""What `clean` takes away, by category: found first, so that it can be shown, and deleted after."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from daglab import errors, files
from daglab.exported import export_record
from daglab.figures import retention
from daglab.upkeep import leftovers, tree, untouched

LOG_DAYS = 7
ARCHIVE = Path(".daglab", "archive")
BLOCK = 1 << 20  # bytes
CATEGORIES = ("exports", "cache", "temporary", "locks", "logs", "events", "notebooks")


@dataclass(frozen=True)
class Wishes:
    """What is to go: `before` is a time in seconds since 1970 that caches, logs and notebooks were last changed at."""

    now: datetime
    before: float | None = None
    notebooks_dir: str | None = None
    is_modified: Callable[[Path], bool] = lambda _: True  # as long as nobody can say otherwise
    archive: bool = False
    retention_days: int = 0  # of events; 0 is for ever


@dataclass
class Outcome:
    """What went, by category: paths and bytes; what was archived first, what stays and why, what could not go."""

    removed: list[dict[str, Any]] = field(default_factory=list)
    archived: list[str] = field(default_factory=list)
    kept: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """How much room that makes."""
        return sum(each["bytes"] for each in self.removed)

    @property
    def categories(self) -> list[dict[str, Any]]:
        """Each category with its number and bytes, in their order."""
        found = {name: [each for each in self.removed if each["category"] == name] for name in CATEGORIES}
        return [
            {"category": name, "n": sum(each["n"] for each in its), "bytes": sum(each["bytes"] for each in its)}
            for name, its in found.items()
        ]

    def add(self, category: str, path: str, size: int, n: int = 1) -> None:
        """One more that goes."""
        self.removed.append({"category": category, "path": path, "bytes": size, "n": n})

    def keep(self, path: str, why: str) -> None:
        """One that stays."""
        self.kept.append({"path": path, "why": why})

    def fail(self, path: str, why: str) -> None:
        """One that could not go."""
        self.failed.append({"path": path, "why": why})


def look(root: Path, wishes: Wishes) -> Outcome:
    """What would go. Nothing is changed."""
    outcome = Outcome()
    _add_exports(outcome, export_record.expire(root, wishes.now, dry_run=True))
    for found in _leftovers(root, wishes):
        outcome.add(found.category, found.path, found.bytes)
    _fold_events(outcome, root, wishes, dry_run=True)
    return outcome


def carry_out(root: Path, wishes: Wishes) -> Outcome:
    """Take it away; what can't be deleted is told, and the rest goes all the same."""
    outcome = Outcome()
    _add_exports(outcome, export_record.expire(root, wishes.now))
    for found in list(_leftovers(root, wishes)):
        try:
            if wishes.archive and found.category == "logs":
                outcome.archived.append(_archived(root, found))
            leftovers.remove(root, found)
            outcome.add(found.category, found.path, found.bytes)
        except leftovers.Changed:
            outcome.keep(found.path, "changed meanwhile")
        except errors.Taken:
            outcome.keep(found.path, "in use")
        except errors.DaglabError as error:
            outcome.fail(found.path, error.message)
        except OSError as error:
            outcome.fail(found.path, error.strerror or str(error))
    leftovers.remove_empty_folders(root, leftovers.CACHE)
    _fold_events(outcome, root, wishes)
    return outcome


def compressed(root: Path, path: str, name: str) -> Path:
    """Put a gzipped copy of a file of the project into `.daglab/archive/`; where it lies, once it was read back.

    Raises `InvalidInput` when it can't be written, `NotGood` when it does not read back as what it is a copy of, and
    `OSError`.
    """
    folder = root / ARCHIVE
    files.make_folder(folder)
    if not tree.is_own(root, ARCHIVE.as_posix()):
        raise errors.InvalidInput(f"{folder} is a link.", "Take it away.")
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)  # for its owner alone
    try:
        with open(descriptor, "wb") as file:
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed, tree.reading(root, path) as source:
                digest = _copied(source, packed)
            file.flush()
            os.fsync(file.fileno())
        with gzip.open(temporary, "rb") as again:
            if _copied(again) != digest:
                raise errors.NotGood(f"{folder / name} does not read back as {path}.", "Look at the disk.")
        os.replace(temporary, folder / name)
    except BaseException:
        os.unlink(temporary)
        raise
    files.sync_folder(folder)
    return folder / name


def _copied(source: Any, target: Any = None) -> bytes:
    """Read a file to its end, perhaps into another one; the checksum."""
    digest = hashlib.sha256()
    while block := source.read(BLOCK):
        digest.update(block)
        if target:
            target.write(block)
    return digest.digest()


def _fold_events(outcome: Outcome, root: Path, wishes: Wishes, *, dry_run: bool = False) -> None:
    """Months past the retention become their daily sums."""

    def archive(path: Path) -> None:
        relative = path.relative_to(root).as_posix()
        kept = compressed(root, relative, f"events-{path.stem}-{wishes.now:%Y%m%dT%H%M%SZ}.jsonl.gz")
        outcome.archived.append(kept.relative_to(root).as_posix())

    try:
        found = retention.compact(
            root, wishes.now, wishes.retention_days, dry_run=dry_run, archive=archive if wishes.archive else None
        )
        for each in found:
            path = each.path.relative_to(root).as_posix()
            outcome.add("events", path, max(each.before - each.after, 0), each.events)
    except errors.DaglabError as error:
        outcome.fail(".daglab/events", error.message)
    except OSError as error:
        outcome.fail(".daglab/events", error.strerror or str(error))


def _archived(root: Path, found: leftovers.Leftover) -> str:
    """The copy of a log, named by when it was last written to: the next one of its name gets another."""
    at = datetime.fromtimestamp(found.changed, timezone.utc)
    name = f"{PurePosixPath(found.path).name}-{at:%Y%m%dT%H%M%SZ}.gz"
    return compressed(root, found.path, name).relative_to(root).as_posix()


def _leftovers(root: Path, wishes: Wishes) -> Iterator[leftovers.Leftover]:
    now = time.time()
    before = now + leftovers.DAY if wishes.before is None else wishes.before
    yield from leftovers.cache(root, before)
    yield from leftovers.temporary(root, before)
    yield from leftovers.logs(root, now - LOG_DAYS * leftovers.DAY if wishes.before is None else wishes.before)
    yield from leftovers.locks(root)
    if wishes.notebooks_dir is not None:
        yield from untouched.find(root, wishes.notebooks_dir, before, wishes.is_modified)


def _add_exports(outcome: Outcome, gone: export_record.Expired) -> None:
    for path, size in zip(gone.removed, gone.sizes, strict=True):
        outcome.add("exports", path, size)
    for path in gone.changed:
        outcome.keep(path, "it has expired, and was changed since it was made")
    for path in gone.attached:
        outcome.keep(path, "it has expired, and the page of an asset leads to it")
    for path, why in gone.failed:
        outcome.fail(path, why)

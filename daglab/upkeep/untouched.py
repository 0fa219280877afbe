"""Notebooks that `daglab scaffold` has made, and that nobody has changed or used since."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from daglab import events, files, state_files
from daglab.exported import export_record
from daglab.upkeep import leftovers

LARGEST = 1 << 24  # bytes; no template makes more


def find(
    root: Path, notebooks_dir: str, before: float, is_modified: Callable[[Path], bool]
) -> Iterator[leftovers.Leftover]:
    """Notebooks of the folder whose bytes are those that the events of `scaffold` tell of, last changed before a time.

    One that has a state, was exported, or is modified by git's account (`is_modified`), stays.
    """
    exported = {line.get("notebook") for line in export_record.read(root)}
    for path, digest in sorted(made(root).items()):
        is_notebook = PurePosixPath(path).is_relative_to(notebooks_dir)
        if is_notebook and path not in exported and not state_files.exists(state_files.place(root, path)[0]):
            found = leftovers.one(root, path, "notebooks")
            if found and found.changed < before and is_same(root, path, digest) and not is_modified(root / path):
                yield found


def made(root: Path) -> dict[str, str]:
    """The SHA-256 of what `scaffold` has written last under each path, by the events that are kept."""
    found: dict[str, str] = {}
    for line in events.newest(root, "scaffold"):
        detail = line.get("detail")
        listed = detail.get("made") if isinstance(detail, dict) else None
        for each in reversed(listed) if isinstance(listed, list) else ():
            if (entry := _entry(each)) is not None:
                found.setdefault(*entry)
    return found


def is_same(root: Path, path: str, digest: str) -> bool:
    """Whether a notebook has these bytes."""
    with contextlib.suppress(OSError):
        if os.lstat(root / path).st_size <= LARGEST:
            return hashlib.sha256(files.read_own(root / path)).hexdigest() == digest
    return False


def _entry(each: Any) -> tuple[str, str] | None:
    """What an event tells of a notebook, if it can be one of daglab's: a Python file below the project's root."""
    path, digest = (each.get("notebook"), each.get("sha256")) if isinstance(each, dict) else (None, None)
    if not isinstance(path, str) or not isinstance(digest, str) or "\0" in path:
        return None
    pure = PurePosixPath(path)
    is_inside = not pure.is_absolute() and ".." not in pure.parts and pure.suffix == ".py"
    return (path, digest) if is_inside and not pure.name.startswith(".") else None

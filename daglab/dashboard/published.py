"""The exports that the dashboard serves: what the record says daglab has made, as it was made, until it expires.

No path of a request is ever put together with a folder's: it is looked for among the record's own.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from daglab import files
from daglab.exported import export_record

LARGEST = 1 << 27  # bytes of one that is served
_room = threading.BoundedSemaphore(4)  # of those that are read at a time


@dataclass(frozen=True)
class Page:
    """The bytes of an export, and whether they are compressed by gzip."""

    content: bytes
    is_compressed: bool


def listed(root: Path, now: datetime) -> list[dict[str, Any]]:
    """The exports of the record that are there and may be seen, the newest first."""
    return [line for line in reversed(export_record.standing(root)) if _is_shown(root, line, now)]


def address(line: dict[str, Any]) -> str:
    """The path that an export is served at."""
    return "/" + quote(str(line["output"]))


def find(root: Path, path: str, now: datetime) -> Page | None:
    """The export at a path from the project's root; None for whatever is none on record, or not as it was made.

    Not expired, inside the project, an ordinary file, by no link, of the recorded size and hash.
    """
    line = next((line for line in export_record.standing(root) if line["output"] == path), None)
    if line is None or not _is_shown(root, line, now):
        return None
    try:
        with _room:
            content = files.read_own(root / path)
    except OSError:
        return None
    if len(content) != line["bytes"] or hashlib.sha256(content).hexdigest() != line.get("sha256"):
        return None
    return Page(content, content[:2] == b"\x1f\x8b")


def _is_shown(root: Path, line: dict[str, Any], now: datetime) -> bool:
    output, size = line["output"], line.get("bytes")
    if type(size) is not int or not 0 <= size <= LARGEST or export_record.is_over(line, now):
        return False
    try:
        place = files.inside(root, root / output)
        own = place is not None and place.as_posix() == output and not _is_hidden(place)
        about = os.lstat(root / output) if own else None
    except (OSError, ValueError):  # a name with what no path can hold
        return False
    return about is not None and about.st_size == size


def _is_hidden(place: Path) -> bool:
    """What is hidden, as .env and .daglab/ are, is no export, whoever wrote that it is."""
    return any(part.startswith(".") for part in place.parts)

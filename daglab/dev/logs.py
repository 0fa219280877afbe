"""What the services print: files that are kept short, and shown as they grow."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

MOST_SHOWN = 1 << 15  # bytes at a time of each file: nobody reads faster
TAIL_LINES = 20
_COLOUR = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


@dataclass
class Log:
    """A service's file, and how much of it was shown."""

    path: Path
    shown: int = 0


def unread(log: Log) -> tuple[str, int]:
    """The lines that have come since the last time, and how many bytes of them were left out for being too many."""
    try:
        size = log.path.stat().st_size
        skipped = max(size - log.shown - MOST_SHOWN, 0)
        start = log.shown + skipped
        with log.path.open("rb") as file:
            file.seek(start)
            piece = file.read(MOST_SHOWN)
    except OSError:
        return "", 0
    end = piece.rfind(b"\n") + 1 or len(piece) * (len(piece) == MOST_SHOWN)  # a line may still be on its way
    log.shown = start + end
    begin = piece.find(b"\n", 0, end) + 1 if skipped else 0
    return _COLOUR.sub("", piece[begin:end].decode("utf-8", "replace")), skipped + begin


def rotate(log: Log, largest: int, backups: int) -> None:
    """Keep a file below `largest` bytes, and `backups` older ones beside it (`dagster.log.1` is the newest).

    A service goes on writing to the very file, so that it is copied, and emptied then; at half the size, for it may
    grow fast. Raises `OSError`.
    """
    try:
        if log.path.stat().st_size < largest // 2:
            return
    except FileNotFoundError:
        return
    if backups:
        for number in range(backups - 1, 0, -1):
            older = _backup(log.path, number)
            if older.exists():
                older.replace(_backup(log.path, number + 1))
        with log.path.open("rb") as source, _backup(log.path, 1).open("wb") as target:
            target.truncate(0)
            shutil.copyfileobj(source, target, 1 << 20)
    with log.path.open("r+b") as file:
        file.truncate(0)
    log.shown = 0


def tail(path: Path) -> str:
    """The last lines."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - MOST_SHOWN, 0))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return _COLOUR.sub("", "\n".join(lines[-TAIL_LINES:]))


def _backup(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")

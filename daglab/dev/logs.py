"""What the services print: files that are kept short, and shown as they grow."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from daglab import parse

LOOKS_AHEAD = 4  # a busy machine may keep us from the next ones
MOST_SHOWN = 1 << 15  # bytes at a time of each file: nobody reads faster
TAIL_LINES = 20


@dataclass
class Log:
    """A service's file, how much of it was shown, and how large it was when that was last looked at."""

    path: Path
    shown: int = 0
    size: int = 0


def begin(path: Path, backups: int) -> Log:
    """A service's file, empty; what it has printed the last time is beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for each in (path, *(_backup(path, number) for number in range(1, backups + 1))):
        if each.is_symlink():  # nobody may lead what we write astray
            each.unlink()
    if path.exists():
        _make_room(path, backups)
        path.replace(_backup(path, 1)) if backups else path.unlink()
    return Log(path)


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
    return parse.without_colours(piece[begin:end].decode("utf-8", "replace")), skipped + begin


def rotate(log: Log, largest: int, backups: int) -> None:
    """Keep a file below `largest` bytes, and `backups` older ones beside it (`dagster.log.1` is the newest).

    A service goes on writing to the very file, so that it is copied, and emptied then: before it is too large, going
    by how much it has grown since the last look. Raises `OSError`.
    """
    try:
        size = log.path.stat().st_size
    except FileNotFoundError:
        return
    grown, log.size = max(size - log.size, 0), size
    if size + LOOKS_AHEAD * grown < largest:
        return
    if backups:
        _make_room(log.path, backups)
        with log.path.open("rb") as source, _backup(log.path, 1).open("wb") as target:
            source.seek(max(size - largest, 0))
            shutil.copyfileobj(source, target, 1 << 20)
    with log.path.open("r+b") as file:
        file.truncate(0)
    log.shown = log.size = 0


def _make_room(path: Path, backups: int) -> None:
    """Have no first backup: each goes one further, and the last one goes."""
    for number in range(backups - 1, 0, -1):
        older = _backup(path, number)
        if older.exists():
            older.replace(_backup(path, number + 1))


def tail(path: Path) -> str:
    """The last lines."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - MOST_SHOWN, 0))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return parse.without_colours("\n".join(lines[-TAIL_LINES:]))


def _backup(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")

"""JSON lines, a record each: appended so that none is lost and none torn, whoever is killed; and read again."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from daglab import files, redaction

log = logging.getLogger(__name__)

LONGEST_TAIL = 1 << 26  # bytes of a last line that is looked at


def append(path: Path, record: Mapping[str, Any], *, mode: int = 0o644, whole: Collection[str] = ()) -> None:
    """Append one JSON line under a lock; what a writer that was killed has left of its last line is taken away first.

    Once this returns, the line is there whole, whoever is killed after. The file is made with `mode` when it is
    missing. Secrets are left out, but for the members named in `whole`: those are what the file is kept for, and `mode`
    keeps it from others. Raises `OSError`: the caller knows what it means.
    """
    kept = {name: each for name, each in record.items() if name in whole}
    text = json.dumps(
        {**redaction.clean_values(record), **kept}, ensure_ascii=False, separators=(",", ":"), default=str
    )
    content = text.encode("utf-8", "replace") + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with held(path, mode) as file:
        ending, start = mended(file)
        if start is not None:
            log.warning("%s ended in half a line, which a killed writer had left; it was taken away.", path)
            os.ftruncate(file.fileno(), start)
        _write_whole(file.fileno(), ending + content)


@contextlib.contextmanager
def held(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """A JSON lines file, open for reading, while nobody appends to it; made with `mode` when it is missing.

    Whoever replaces or deletes the file (`files.write_atomic` with `follow=False`, `Path.unlink`) does it inside: a
    writer that waited meanwhile sees that its file is no longer the one at the path, and opens that. Raises `OSError`:
    for want of the file, without `mode`, and when somebody holds it for too long.
    """
    # Not through a symbolic link: one in somebody else's project may lead to a file of the user's.
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if mode else 0)
    deadline = time.monotonic() + files.LONGEST_LOCK
    while True:
        with open(os.open(path, flags, mode or 0), "r+b", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "it is no ordinary file")
            files.wait_for_lock(file.fileno(), deadline)
            try:
                if files.is_still_at(path, file.fileno()):
                    yield file
                    return
            finally:
                fcntl.flock(file.fileno(), fcntl.LOCK_UN)  # by name: a child forked meanwhile has it open, too


def read(path: Path, left_out: list[int] | None = None) -> list[dict[str, Any]]:
    """The records of a JSON lines file, oldest first; a torn or foreign line is left out, as is a missing file.

    `left_out` gets the numbers of such lines, from 1.
    """
    try:
        lines = files.read_own(path).splitlines()
    except FileNotFoundError:
        return []
    records = []
    for number, line in enumerate(lines, 1):
        if (record := parsed(line)) is not None:
            records.append(record)
        elif left_out is not None:
            left_out.append(number)
    return records


def backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file that daglab has made, the last one first; no more of it is read than is asked for.

    Raises `OSError` as `files.read_own` does.
    """
    with files.open_own(path) as file:
        position, block, first = file.seek(0, os.SEEK_END), files.BLOCK, b""
        while position:
            size = min(block, position)
            position -= size
            file.seek(position)
            first, *lines = (file.read(size) + first).split(b"\n")
            yield from reversed(lines)
            if not lines:  # a line longer than many blocks is not copied once for each
                block *= 2
        yield first


def parsed(text: bytes) -> dict[str, Any] | None:
    """The record in a line; None for what is torn, or no JSON object."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    return None


def mended(file: BinaryIO) -> tuple[bytes, int | None]:
    """What the last line of a file lacks (its newline), and from where on it is to be cut off, if it is torn.

    A tail too long to be looked at is no line of daglab's: it is ended, and left to the readers, which leave it out.
    """
    size = file.seek(0, os.SEEK_END)
    if not size or os.pread(file.fileno(), 1, size - 1) == b"\n":
        return b"", None
    start, tail = size, b""
    while start and b"\n" not in tail:
        if len(tail) > LONGEST_TAIL:
            return b"\n", None
        step = min(start, max(len(tail), files.BLOCK))
        start -= step
        tail = os.pread(file.fileno(), step, start) + tail
    last = tail[tail.rfind(b"\n") + 1 :]
    try:
        json.loads(last)
    except (ValueError, RecursionError):
        return b"", size - len(last)
    return b"\n", None


def _write_whole(descriptor: int, line: bytes) -> None:
    """A short write (a full disk) must not leave half a line for the next reader."""
    size = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, line) == len(line):
            return
        raise OSError(errno.ENOSPC, "the disk took only a part of the line")
    except OSError:
        os.ftruncate(descriptor, size)
        raise

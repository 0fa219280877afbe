"""What belongs to a backup of a project: `daglab.yaml`, notebooks, and of `.daglab/` what can't be made anew."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from daglab import errors, files
from daglab.upkeep import tree

CONFIG = "daglab.yaml"
# Of .daglab/: what can be made anew, what is of a running `dev` on this machine, tokens, and Dagster's own history.
LEFT_OUT = {
    *("backups", "cache", "dagster_home", "dev.json", "last_ports.json", "logs", "marimo.html", "marimo.token"),
    *("restore", "traces"),
}
NOT_NOTEBOOKS = {"__marimo__", "__pycache__", "node_modules"}
LONGEST_PART, LONGEST_PATH = 255, 1024  # bytes
BLOCK = 1 << 20  # bytes
TRIES = 5
LOCK_SECONDS = 5.0
NO_LONGER = ("", ".", "..")


@dataclass(frozen=True)
class Entry:
    """A file in a backup: its path from the project's root, its bytes, permissions and checksum."""

    path: str
    size: int
    mode: int
    sha256: str


def problem(path: str, notebooks_dir: str) -> str | None:
    """Why a backup can't hold a path, None where it can: it has to be one that daglab itself would put into it."""
    parts = path.split("/")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in path):  # half a letter has no bytes, either
        return "its name holds a character that does not show"
    if any(part in NO_LONGER or len(os.fsencode(part)) > LONGEST_PART for part in parts) or len(path) > LONGEST_PATH:
        return "it is no plain path within the project"
    if path == CONFIG:
        return None
    if parts[0] == tree.HOME and len(parts) > 1:
        return _problem_in_home(parts[1:])
    own = PurePosixPath(notebooks_dir).parts
    if folder_problem(notebooks_dir) or tuple(parts[: len(own)]) != own or len(parts) == len(own):
        return f"it is neither in {tree.HOME} nor in the notebooks folder {notebooks_dir}"
    return _problem_in_notebooks(parts[len(own) :])


def folder_problem(notebooks_dir: str) -> str | None:
    """Why a folder can't be the one of notebooks in a backup."""
    pure = PurePosixPath(notebooks_dir)
    if pure.is_absolute() or any(part.startswith(".") for part in pure.parts):
        return "it is hidden, or no folder of the project"
    return None


def folded(path: str) -> str:
    """A path as file systems see it that make no difference of case, or of how a letter is put together."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def find(root: Path, notebooks_dir: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The paths that belong to a backup, in order, and what was left out although it lies there, with the reason."""
    found: dict[str, str] = {}
    left: list[tuple[str, str]] = []
    if why := folder_problem(notebooks_dir):
        left.append((notebooks_dir, why))
    for path, its in _walk(root, notebooks_dir):
        why = _why_not(path, its, notebooks_dir)
        if not why and (other := found.get(folded(path))) not in (None, path):
            why = f"some file systems can't tell it from {other}"
        if why:
            left.append((path, why))
        else:
            found[folded(path)] = path
    return sorted(found.values()), left


def copy(root: Path, path: str, target: BinaryIO) -> Entry | None:
    """Append a file's bytes to `target`, whole whatever others do meanwhile; None when it is gone.

    Of JSON lines, to which others append, all whole lines that are there. A file that is replaced by renaming is the
    old one or the new one; one that is written to in place is read again. Raises `InvalidInput` for one that can't be
    read, and `Taken` for one that does not come to rest.
    """
    start = target.tell()
    try:
        for _ in range(TRIES):
            target.seek(start)
            target.truncate()
            with tree.reading(root, path) as file:
                before = os.fstat(file.fileno())
                end = _end_of_lines(file) if is_lines(path) else None
                size, digest = _copied(file, target, end)
                after = os.fstat(file.fileno())
                if end is not None or (_stamp(before) == _stamp(after) and size == after.st_size):
                    return Entry(path, size, stat.S_IMODE(before.st_mode) & 0o777, digest)
            time.sleep(0.05)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise errors.InvalidInput(
            f"{root / path} can't be read: {error.strerror or error}.", "Look at its permissions."
        ) from error
    raise errors.Taken(f"{root / path} is written to all the time.", "Try again when that has ended.")


def is_lines(path: str) -> bool:
    """Whether a file is one of those that daglab appends lines to."""
    return path.startswith(f"{tree.HOME}/") and path.endswith(".jsonl")


def _problem_in_home(parts: list[str]) -> str | None:
    if parts[0].casefold() in LEFT_OUT or parts[-1].casefold().endswith((".lock", ".json.new")):
        return "it is of this machine, secret, or can be made anew"
    return "it is hidden" if any(part.startswith(".") for part in parts) else None


def _problem_in_notebooks(parts: list[str]) -> str | None:
    if any(part.startswith(".") for part in parts):
        return "it is hidden"
    return "it can be made anew" if NOT_NOTEBOOKS & {part.casefold() for part in parts} else None


def _why_not(path: str, its: os.stat_result, notebooks_dir: str) -> str | None:
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if stat.S_ISLNK(its.st_mode):
        return "it is a link"
    return problem(path, notebooks_dir) if stat.S_ISREG(its.st_mode) else "it is no ordinary file"


def _walk(root: Path, notebooks_dir: str) -> Iterator[tuple[str, os.stat_result]]:
    """Everything that may belong to it, each once; what never does is not looked into."""
    config = next((its for name, its in tree.entries(root, ".") if name == CONFIG), None)
    if config:
        yield CONFIG, config
    for top, is_left_out in ((tree.HOME, _problem_in_home), (notebooks_dir, _problem_in_notebooks)):
        own = PurePosixPath(top).parts
        waiting = [] if top == notebooks_dir and folder_problem(top) else ["/".join(own)]
        while waiting:
            place = waiting.pop()
            for name, its in tree.entries(root, place or "."):
                path = f"{place}/{name}" if place else name
                if path in (CONFIG, "exports") or is_left_out(path.split("/")[len(own) :]):
                    continue
                if stat.S_ISDIR(its.st_mode):
                    waiting.append(path)
                else:
                    yield path, its


def _end_of_lines(file: BinaryIO) -> int:
    """Where the last whole line ends that is there now: nobody is in the middle of one while the lock is ours."""
    deadline = time.monotonic() + LOCK_SECONDS
    while not files.try_lock(file.fileno(), shared=True):
        if time.monotonic() >= deadline:
            raise errors.Taken("Somebody holds the lock of a file in .daglab/ for too long.", "Try again.")
        time.sleep(files.LOOK_SECONDS)
    end = os.fstat(file.fileno()).st_size
    fcntl.flock(file.fileno(), fcntl.LOCK_UN)
    while end:
        start = max(end - files.BLOCK, 0)
        newline = os.pread(file.fileno(), end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _copied(file: BinaryIO, target: BinaryIO, end: int | None) -> tuple[int, str]:
    """Copy up to `end`, or all of it; how many bytes, and their checksum."""
    digest, size = hashlib.sha256(), 0
    while block := file.read(BLOCK if end is None else min(BLOCK, end - size)):
        target.write(block)
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()


def _stamp(its: os.stat_result) -> tuple[int, int]:
    return its.st_size, its.st_mtime_ns

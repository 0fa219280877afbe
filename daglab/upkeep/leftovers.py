"""Files that daglab has made in a project and that nobody needs any more, and deleting them.

Only what lies where daglab writes, under a name that daglab gives, is looked at. No link is followed (`tree`), neither
when a file is found nor when it goes.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from daglab import errors, files, json_lines, process_table
from daglab.dev import record
from daglab.upkeep import tree

CACHE = f"{tree.HOME}/cache"
LOGS = f"{tree.HOME}/logs"
TRACES = f"{tree.HOME}/traces"
STATE = f"{tree.HOME}/state"
EXPORTS = "exports"
# Temporary files are not looked for in what is the user's, Dagster's, or looked after by itself.
NOT_SEARCHED = ("templates", "dagster_home", "cache", "restore")
DEV_LOCK = record.LOCK.as_posix()
DAY = 86400.0  # seconds; no writer holds a temporary file for as long
# As files.write_atomic names them (a dot, the file's own name, eight letters), and files.replace_held.
_IN_HOME = re.compile(r"\.(.+\.jsonl?|.+\.gz|marimo\.token|marimo\.html)\.[a-z0-9_]{8}|.+\.json\.new")
_AT_ROOT = re.compile(r"\.(daglab\.yaml|\.gitignore)\.[a-z0-9_]{8}")
_EXPORTED = re.compile(r"\..+\.html(\.gz)?\.[a-z0-9_]{8}")
_OF_EXPORT = re.compile(r"\.daglab-(\d{1,10})-[0-9a-f]{16}\.html")
_TRACE = re.compile(r"requests(\.1)?\.jsonl")
_LOG = re.compile(rf"({'|'.join(record.SERVICES)})\.log(\.\d{{1,4}})?")
_LOCK, _NEW = ".lock", ".json.new"


@dataclass(frozen=True)
class Leftover:
    """A file that may go: what it is, its path from the project's root, its bytes, when it was last changed.

    `identity` tells it from a file that takes its place, or from itself once somebody has written to it.
    """

    category: str
    path: str
    bytes: int
    changed: float
    identity: tuple[int, ...]


class Changed(Exception):
    """What is to be deleted is not the file that was found."""


def cache(root: Path, before: float) -> Iterator[Leftover]:
    """Files of the cache that were last changed before a time, in seconds since 1970."""
    yield from (each for each in below(root, CACHE, "cache") if each.changed < before)


def temporary(root: Path, before: float) -> Iterator[Leftover]:
    """What writers that were killed have left: a day old at least, and nobody has it open."""
    before = min(before, time.time() - DAY)
    found = [
        *_named(below(root, tree.HOME, "temporary", without=NOT_SEARCHED), is_temporary),
        *_named(_folder(root, ".", "temporary"), _AT_ROOT.fullmatch),
        *_named(below(root, EXPORTS, "temporary"), _is_left_by_an_export),
    ]
    found = [each for each in found if each.changed < before]
    busy = process_table.open_files() if found else set()
    yield from (each for each in found if each.identity[:2] not in busy)


def is_temporary(name: str) -> bool:
    """Whether a file in `.daglab/` has a name that daglab gives to what it is about to put in place."""
    return _IN_HOME.fullmatch(name) is not None


def locks(root: Path) -> Iterator[Leftover]:
    """Lock files whose owner is gone: of states, and of a `daglab dev` that has left no record."""
    for each in _folder(root, STATE, "locks"):
        if each.path.endswith(f".json{_LOCK}") and not _owner_is_there(root / each.path):
            yield each
    dev = one(root, DEV_LOCK, "locks")
    if dev and not os.path.lexists(root / record.FILE) and not record.is_running(root):
        yield dev


def logs(root: Path, before: float) -> Iterator[Leftover]:
    """What the services of `daglab dev` have printed, not while it runs, and traces; last written to before a time."""
    found = [*_named(_folder(root, TRACES, "logs"), _TRACE.fullmatch)]
    if not record.is_running(root):
        found += _named(_folder(root, LOGS, "logs"), _LOG.fullmatch)
    yield from (each for each in found if each.changed < before)


def below(root: Path, folder: str, category: str, without: tuple[str, ...] = ()) -> Iterator[Leftover]:
    """Every ordinary file below a folder of the project; of `without`, the folder's own folders, none."""
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        for name, its in tree.entries(root, place):
            if stat.S_ISDIR(its.st_mode):
                if not (place == folder and name in without):
                    waiting.append(f"{place}/{name}")
            elif stat.S_ISREG(its.st_mode):
                yield _leftover(category, f"{place}/{name}", its)


def one(root: Path, path: str, category: str) -> Leftover | None:
    """An ordinary file by its path from the project's root, which no link is a part of; None for what is none."""
    found = _folder(root, tree.parent(path), category)
    return next((each for each in found if each.path == path), None)


def remove(root: Path, found: Leftover) -> None:
    """Delete a file as it was found; it is no error when it is gone.

    Raises `Changed` when it is another one, or was written to, `Taken` for a lock that somebody holds, and `OSError`.
    """
    if found.category == "locks":
        _remove_lock(root, found)
        return
    with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
        if found.path.startswith(TRACES):
            stack.enter_context(json_lines.held(root / found.path))
        elif found.path.endswith(_NEW):  # whoever changes a state holds its lock
            if not tree.is_own(root, tree.parent(found.path)):
                raise Changed(found.path)
            stack.enter_context(files.held(root / f"{found.path.removesuffix(_NEW)}.json{_LOCK}", 0.0))
        elif found.category == "logs":
            stack.enter_context(_held(root))
        folder = stack.enter_context(tree.opened(root, tree.parent(found.path)))
        its = os.stat(tree.name(found.path), dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(its.st_mode) or _identity(its) != found.identity:
            raise Changed(found.path)
        os.unlink(tree.name(found.path), dir_fd=folder)


def remove_empty_folders(root: Path, folder: str) -> None:
    """Remove what holds nothing any more below a folder of the project, and leave that itself."""
    found, waiting = [], [folder]
    while waiting:
        place = waiting.pop()
        inside = [f"{place}/{name}" for name, its in tree.entries(root, place) if stat.S_ISDIR(its.st_mode)]
        found += inside
        waiting += inside
    for place in reversed(found):
        with contextlib.suppress(OSError), tree.opened(root, tree.parent(place)) as above:
            os.rmdir(tree.name(place), dir_fd=above)


def _remove_lock(root: Path, found: Leftover) -> None:
    """Who begins with the state meanwhile has the lock, or notices that its file is gone, and makes another one."""
    path = root / found.path
    if not tree.is_own(root, tree.parent(found.path)):
        raise Changed(found.path)
    if found.path == DEV_LOCK:
        with _held(root):
            return
    with files.held(path, 0.0):
        if _owner_is_there(path):
            raise Changed(found.path)
        path.unlink()


@contextlib.contextmanager
def _held(root: Path) -> Iterator[None]:
    """Nobody starts the environment meanwhile, which would write to its logs. Its lock goes, unless it has an owner."""
    try:
        with record.held(root):
            yield
            if not os.path.lexists(root / record.FILE):
                (root / record.LOCK).unlink(missing_ok=True)
    except errors.Taken:
        raise errors.Taken("`daglab dev` runs.", "Stop it first.") from None


def _owner_is_there(lock: Path) -> bool:
    owner = str(lock)[: -len(_LOCK)]
    return os.path.lexists(owner) or os.path.lexists(f"{owner}.bak")


def _is_left_by_an_export(name: str) -> bool:
    """The name may hold the number of the process that has made it."""
    found = _OF_EXPORT.fullmatch(name)
    if not found:
        return _EXPORTED.fullmatch(name) is not None
    try:
        os.kill(int(found[1]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def _named(found: Iterator[Leftover], fits: Callable[[str], object]) -> Iterator[Leftover]:
    return (each for each in found if fits(each.path.rpartition("/")[2]))


def _folder(root: Path, place: str, category: str) -> Iterator[Leftover]:
    """The ordinary files of one folder."""
    for name, its in tree.entries(root, place):
        if stat.S_ISREG(its.st_mode):
            yield _leftover(category, name if place == "." else f"{place}/{name}", its)


def _leftover(category: str, path: str, its: os.stat_result) -> Leftover:
    return Leftover(category, path, its.st_size, its.st_mtime, _identity(its))


def _identity(its: os.stat_result) -> tuple[int, ...]:
    return its.st_dev, its.st_ino, its.st_size, its.st_mtime_ns

"""Who runs the development environment of a project: `.daglab/dev.json`, and the lock that its process holds.

The lock is let go by the system when that process ends, however it does; what stands in the file without it is stale.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from daglab import errors, files, json_files, process_table

MARK = "DAGLAB_DEV"  # the variable that each child, and each of theirs, began with
FOLDER = Path(".daglab")
FILE = FOLDER / "dev.json"
LOCK = FOLDER / "dev.lock"
SERVICES = ("dagster", "daemon", "marimo", "dashboard")  # whose entries it has
START_SECONDS = 5.0  # for one that starts to write who it is
SHORTEST_MARK = 32
KEEPER_SECONDS = 12.0  # for a keeper whose supervisor was killed
LARGEST_PID = 2**31
STOP_SECONDS = 25.0  # for a stop that is asked for: runs are asked to end, and the tree is ended after that


def require_own_folder(root: Path) -> None:
    """Raises `InvalidInput` where `.daglab` leads out of the project: nothing is written there."""
    if files.inside(root, root / FOLDER / "logs") is None:
        raise errors.InvalidInput(f"{root / FOLDER} leads out of the project.", "Take the link away.")


@contextlib.contextmanager
def held(root: Path) -> Iterator[Callable[[], bool]]:
    """Be the one that runs the environment of this project; what is given says whether it still is.

    Somebody may take `.daglab` away. Raises `Taken`, and says where the other is, and as `require_own_folder` does.
    """
    require_own_folder(root)
    files.make_folder(root / FOLDER)
    deadline = time.monotonic() + 0.5  # who only looks holds it for a moment, too
    descriptor = files.open_lock(root / LOCK)
    try:
        # One that was taken away meanwhile excludes nobody any more, and another is made.
        while not (files.try_lock(descriptor) and files.is_still_at(root / LOCK, descriptor)):
            if time.monotonic() >= deadline:
                raise _taken(root)
            time.sleep(0.05)
            again = files.open_lock(root / LOCK)
            os.close(descriptor)
            descriptor = again
        yield lambda: files.is_still_at(root / LOCK, descriptor)
    finally:
        os.close(descriptor)


def is_running(root: Path) -> bool:
    """Whether somebody runs the environment of this project."""
    if not (root / LOCK).exists():
        return False
    descriptor = files.open_lock(root / LOCK)
    try:
        return not files.try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def find(root: Path) -> Path:
    """The project whose environment is meant in a folder: the nearest one, upwards, that has a record; else `root`."""
    return files.holder(root, FILE)


def refuse_second(root: Path) -> None:
    """Raises `Taken`, and says where it is, when somebody runs the environment of this project."""
    if is_running(root):
        raise _taken(root)


def _is_here(found: Mapping[str, Any]) -> bool:
    """Whether a record is of this machine, whose name may change while it runs."""
    return found.get("host") in (None, socket.gethostname()) or found.get("boot") == (process_table.boot() or None)


def read(root: Path) -> dict[str, Any]:
    """What is written about it; nothing for what is missing, and for what is no record, which is said once."""
    return json_files.read(root / FILE)


def write(root: Path, what: Mapping[str, Any]) -> None:
    """Write who we are, and what of."""
    who = {
        "v": 1,
        "pid": os.getpid(),
        "started": process_table.started(os.getpid()),
        "host": socket.gethostname(),
        "boot": process_table.boot(),
    }
    files.write_atomic(root / FILE, json.dumps({**who, **what}, indent=2) + "\n", mode=0o600, follow=False)


def remove(root: Path, mark: str) -> bool:
    """The one with this mark does not run any more; False where the record is another's, which stays."""
    is_its = read(root).get("mark") == mark
    if is_its:
        (root / FILE).unlink(missing_ok=True)
    return is_its


def clear_up(root: Path) -> list[int]:
    """End what a killed one has left behind, and forget it; the numbers of the processes that were left.

    For who holds the lock. A process counts as left behind when it began with the record's own mark; the record of
    another folder, as in a copy of a project, says nothing. Raises `Taken` when the one of the record lives, whose lock
    somebody has taken away, and `OutcomeUnknown` when something can't be ended.
    """
    found = read(root)
    left: set[int] = set()
    if _is_of(found, root) and _is_here(found):
        if _lives(found):
            raise _taken(root)
        left = process_table.marked(MARK, str(found["mark"]))
        end(found)
    (root / FILE).unlink(missing_ok=True)
    return sorted(left)


def end(found: Mapping[str, Any]) -> None:
    """End all that carries a record's mark, and its keeper. Raises `OutcomeUnknown` when something withstands."""
    keeper, began = found.get("keeper"), found.get("keeper_started")
    if isinstance(keeper, int) and isinstance(began, int) and process_table.started(keeper) == began:
        with contextlib.suppress(ProcessLookupError):
            os.kill(keeper, signal.SIGCONT)  # one that was stopped goes on with its work
        if not _wait_for(keeper, began):
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGKILL)
    if left := process_table.end(lambda: process_table.marked(MARK, str(found["mark"]))):
        raise errors.OutcomeUnknown(
            f"These processes could not be ended: {', '.join(map(str, sorted(left)))}.", "Look at them with `ps -ef`."
        )


def stop(root: Path) -> str | None:
    """Ask the one that runs to stop, and wait until all of it has; its mark, None where none runs.

    Raises `Taken` when it runs elsewhere, and `TimedOut` when it does not end.
    """
    found = _running(root)
    if found is None:
        return None
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 1.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(found["pid"], number)
            os.kill(found["pid"], signal.SIGCONT)  # one that was stopped hears it
        deadline = time.monotonic() + seconds
        while _lives(found) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not _lives(found):
            end(found)
            return str(found["mark"])
    raise errors.TimedOut(f"daglab dev (process {found['pid']}) does not end.", "End it yourself with `kill -9`.")


def _running(root: Path) -> dict[str, Any] | None:
    """The record of the one that runs, None without one. One that only just starts has none yet, and is waited for."""
    deadline = time.monotonic() + START_SECONDS
    while is_running(root):
        found = read(root)
        if not _is_here(found):
            raise _taken(root)
        if _is_of(found, root) and _lives(found):
            return found
        if time.monotonic() >= deadline:
            raise errors.TimedOut(
                f"daglab dev runs in {root}, and what it has written is not of it.", "Is it in another container?"
            )
        time.sleep(0.05)
    return None


def _is_of(found: Mapping[str, Any], root: Path) -> bool:
    """Whether a record is whole, and was written for this folder."""
    mark, pid = found.get("mark"), found.get("pid")
    whole = isinstance(mark, str) and len(mark) >= SHORTEST_MARK
    # 0 and what is below would mean whole groups of processes.
    return whole and type(pid) is int and 0 < pid < LARGEST_PID and found.get("project") == str(root)


def _lives(found: Mapping[str, Any]) -> bool:
    """Whether the process of a record is still there; without /proc, whether some process has its number."""
    started = process_table.started(found["pid"])
    if process_table.boot():
        return started is not None and started == found.get("started")
    try:
        os.kill(found["pid"], 0)
    except OSError:
        return False
    return True


def _wait_for(pid: int, started: int) -> bool:
    """Wait until a process, which is about to, has ended; whether it has."""
    deadline = time.monotonic() + KEEPER_SECONDS
    while process_table.started(pid) == started:
        if time.monotonic() >= deadline:
            return False
        time.sleep(process_table.LOOK_SECONDS)
    return True


def _taken(root: Path) -> errors.Taken:
    found = read(root)
    pages = [
        f"{name} at {page.get('url')}" for name in ("dagster", "marimo") if isinstance(page := found.get(name), dict)
    ]
    where = "" if _is_here(found) else f" on {found['host']}"
    return errors.Taken(
        f"daglab dev runs in {root} already{where}, as process {found.get('pid', 'unknown')}"
        f"{': ' if pages else ''}{', '.join(pages)}.",
        "`daglab stop` ends it, `daglab dev --status` says how it is.",
    )

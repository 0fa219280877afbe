"""The processes of this machine, as Linux's /proc shows them. Elsewhere (macOS) the table is empty."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
LOOK_SECONDS = 0.1
LISTENING = "0A"  # the state of a socket in /proc/net/tcp (proc_pid_net(5))


@dataclass(frozen=True)
class Process:
    """A process: its parent, when it began in ticks since the machine did, CPU seconds so far, bytes in memory."""

    pid: int
    parent: int
    started: int
    seconds: float
    memory: int


def look() -> dict[int, Process]:
    """All processes by their number."""
    found = (_process(pid) for pid in _pids())
    return {process.pid: process for process in found if process}


def started(pid: int) -> int | None:
    """When a process began, in ticks since the machine did: tells it from a later one of its number."""
    process = _process(pid)
    return process.started if process else None


def boot() -> str:
    """What tells this start of the machine from others; empty where there is no way to know."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def tree(table: Mapping[int, Process], pid: int) -> list[Process]:
    """A process and its descendants."""
    found = [table[pid]] if pid in table else []
    for parent in found:  # which grows
        found += [process for process in table.values() if process.parent == parent.pid]
    return found


def marked(variable: str, value: str) -> set[int]:
    """The processes that began with this variable in their environment; without us, and without what has ended."""
    name = os.fsencode(f"{variable}={value}")
    return {pid for pid in _pids() if pid != os.getpid() and name in _environ(pid)}


def with_folder(variable: str, folder: Path) -> set[int]:
    """The processes that began with this variable naming this folder, however it is written; without us."""
    begin, wanted = os.fsencode(f"{variable}="), os.path.realpath(folder)
    found = set()
    for pid in _pids():
        for entry in _environ(pid) if pid != os.getpid() else ():
            if entry.startswith(begin) and os.path.realpath(os.fsdecode(entry[len(begin) :])) == wanted:
                found.add(pid)
    return found


def command(pid: int) -> list[str]:
    """The arguments that a process was started with; none for one that has ended."""
    try:
        return os.fsdecode((PROC / str(pid) / "cmdline").read_bytes()).split("\0")[:-1]
    except OSError:
        return []


def listens(pids: Collection[int], port: int) -> bool | None:
    """Whether one of the processes has the socket that listens on a port; None where there is no way to know."""
    sockets = set(_listeners(port))
    if not sockets:
        return None
    return any(f"socket:[{inode}]" in _descriptors(pid) for pid in pids for inode in sockets)


def listeners(port: int) -> set[int]:
    """The processes that have a socket which listens on a port: those of this user, for others' are not shown."""
    wanted = {f"socket:[{inode}]" for inode in _listeners(port)}
    return {pid for pid in _pids() if wanted & _descriptors(pid)} if wanted else set()


def open_files() -> set[tuple[int, int]]:
    """The files that processes which we may look at have open, by device and inode."""
    found = set()
    for pid in _pids():
        folder = PROC / str(pid) / "fd"
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                with contextlib.suppress(OSError):
                    its = os.stat(folder / name)
                    found.add((its.st_dev, its.st_ino))
    return found


def end(find: Callable[[], set[int]], *, terminate: float = 2.0, kill: float = 5.0) -> set[int]:
    """End what `find` finds, until it finds nothing: SIGTERM, `terminate` seconds later SIGKILL; what is left."""
    for number, seconds in ((signal.SIGTERM, terminate), (signal.SIGKILL, kill)):
        deadline = time.monotonic() + seconds
        told: set[int] = set()
        while (left := find()) and time.monotonic() < deadline:
            for pid in left - told:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
            told |= left
            time.sleep(LOOK_SECONDS)
        if not left:
            time.sleep(LOOK_SECONDS)  # in the middle of its exec a process shows no environment
            left = find()
        if not left:
            return set()
    return left


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir(PROC) if name.isdigit()]
    except OSError:
        return []


def _process(pid: int) -> Process | None:
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The command's name, in parentheses, may hold anything; what follows is counted from the state (proc_pid_stat(5)).
    state, parent, *rest = text.rpartition(b")")[2].split()
    if state == b"Z":
        return None
    user, system, ticks, pages = (int(rest[number]) for number in (9, 10, 17, 19))
    seconds = (user + system) / os.sysconf("SC_CLK_TCK")
    return Process(pid, int(parent), ticks, seconds, pages * os.sysconf("SC_PAGE_SIZE"))


def _environ(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _listeners(port: int) -> Iterable[str]:
    """The inodes of the sockets that listen on a port, on whatever address."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _descriptors(pid: int) -> set[str]:
    found: set[str] = set()
    folder = PROC / str(pid) / "fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                found.add(os.readlink(folder / name))
    return found

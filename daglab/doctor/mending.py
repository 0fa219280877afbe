"""Mending what is safe to mend: modes, records that say nothing any more, torn ends, temporary files, .gitignore.

Nothing of the user's is deleted, and nothing that may be in use is touched: locks are taken first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from daglab import errors, json_lines
from daglab.authoring import projects
from daglab.dev import entrance, record
from daglab.doctor import folder, records
from daglab.doctor.findings import Project
from daglab.upkeep import leftovers, turns


def modes(project: Project) -> list[str]:
    """Files with secrets for their owner alone, folders not for everybody to write to."""
    done = []
    for path in folder.loose_files(project):
        with contextlib.suppress(OSError), _opened(path, os.O_RDONLY) as descriptor:
            status = os.fstat(descriptor)
            is_folder = stat.S_ISDIR(status.st_mode)
            private = any(path.match(each) for each in folder.PRIVATE)
            taken = folder.OTHERS if private and not is_folder else folder.WORLD_WRITES
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & ~taken)
            done.append(f"{folder.shown(project, path)}: mode {stat.S_IMODE(os.fstat(descriptor).st_mode):04o}")
    return done


def dev(project: Project) -> list[str]:
    """The record, the token and the page of an environment that does not run; not while it has processes left."""
    root = project.root
    try:
        with record.held(root):
            there = folder.remains_of_dev(root)
            if folder.processes_left(root):
                return []
            record.clear_up(root)
            entrance.close(root)
    except errors.DaglabError:
        return []  # it has just been started, or was not to be ended: the next look tells
    return [f".daglab/{name}: taken away" for name in there]


def broken(project: Project) -> list[str]:
    """Small records that can't be read, and that daglab makes anew by itself."""
    done = []
    try:
        with record.held(project.root):
            for path in records.broken_records(project):
                path.unlink()
                done.append(f"{folder.shown(project, path)}: taken away, it was no JSON")
    except errors.DaglabError:
        return []
    return done


def torn(project: Project) -> list[str]:
    """Last lines without an end: a whole one is ended, half a one, which nobody can read, is taken away."""
    done = []
    for path in records.torn_files(project):
        with contextlib.suppress(OSError), json_lines.held(path) as file:
            size = os.fstat(file.fileno()).st_size
            ending, start = json_lines.mended(file)
            if start is not None:
                os.ftruncate(file.fileno(), start)
                done.append(f"{folder.shown(project, path)}: {size - start} bytes of a torn line taken away")
            elif ending:
                os.pwrite(file.fileno(), ending, size)
                done.append(f"{folder.shown(project, path)}: the last line is ended")
    return done


def temporary(project: Project) -> list[str]:
    """Temporary files that nobody can have in use any more."""
    done = []
    for found in leftovers.temporary(project.root, time.time()):
        with contextlib.suppress(OSError, errors.DaglabError, leftovers.Changed):
            leftovers.remove(project.root, found)
            done.append(f"{found.path}: deleted")
    return done


def ignored(project: Project) -> list[str]:
    """The lines that `daglab init` would add to .gitignore."""
    change = projects.ignore(project.root)
    return [f"{change.path}: {change.what}"] if change.what != "kept" else []


def restore(project: Project) -> list[str]:
    """A restore that was killed is undone; one that is under way is waited for."""
    with turns.alone(project.root) as recovered:
        return ["the restore that was killed: undone, all is as it was before"] if recovered else []


# What is fixable, by the name of its finding; the same that was found is looked at again afterwards.
MENDERS: dict[str, Callable[[Project], list[str]]] = {
    "modes": modes,
    "dev": dev,
    "broken": broken,
    "restore": restore,
    "torn": torn,
    "leftovers": temporary,
    "git.ignored": ignored,
}


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise OSError(errno.EPERM, "not ours")
        yield descriptor
    finally:
        os.close(descriptor)

"""What lies in `.daglab/`: who may read it, what a crash has left, and who runs the environment."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from daglab import files, process_table, scales
from daglab.dev import entrance, record
from daglab.doctor import findings
from daglab.doctor.findings import Finding, Project
from daglab.upkeep import journal, leftovers

# What holds a token, signed links, or values of notebooks.
PRIVATE = (
    *("exports.jsonl", "dev.json", "dev.lock", "marimo.token", "marimo.html", "export.html"),
    *("state/*.json", "state/*.bak", "state/*.broken", "state/*.new", "traces/*"),
    *("backups/*", "archive/*"),
)
FOLDERS = ("events", "state", "logs", "traces", "backups", "archive")  # of files of daglab's own
OTHERS = 0o077
WORLD_WRITES = 0o002


def look_at_modes(project: Project) -> Iterator[Finding]:
    """Whether others can read what holds secrets, or write where daglab writes."""
    folder = project.folder
    if not folder.is_dir():
        yield findings.warning("daglab", f"There is no {folder}: nothing is recorded.", "Make it: daglab init")
        return
    if files.inside(project.root, folder) is None or folder.is_symlink():
        yield findings.problem("daglab", f"{folder} is a link.", f"Take it away: rm {findings.quoted(folder)}")
        return
    if foreign := foreign_files(project):
        yield findings.warning(
            "daglab.owner",
            f"Files in .daglab belong to other users: {findings.some(foreign)}.",
            f'sudo chown -R "$(id -un)" {findings.quoted(folder)}',
        )
    loose = loose_files(project)
    if loose:
        yield findings.problem(
            "modes",
            f"Others can read or write {findings.some(shown(project, path) for path in loose)}.",
            f"chmod go-rwx {' '.join(findings.quoted(path) for path in loose[: findings.MOST_NAMED])}",
            fixable=True,
        )
    else:
        yield findings.fine("modes", "what holds secrets is for you alone")


def loose_files(project: Project) -> list[Path]:
    """Files that others can read and should not, and folders that anybody can write to; no link is followed."""
    found = [
        path
        for pattern in PRIVATE
        for path in sorted(project.folder.glob(pattern))
        if not path.parent.is_symlink()  # which may lead to files of the user's
        if (status := _status(path)) and stat.S_ISREG(status.st_mode) and status.st_mode & OTHERS
    ]
    folders = [project.folder, *(path for path in sorted(project.folder.iterdir()))]
    for path in folders:
        status = _status(path)
        if status and not stat.S_ISLNK(status.st_mode) and status.st_mode & WORLD_WRITES and path not in found:
            found.append(path)
    return found


def foreign_files(project: Project) -> list[str]:
    """Files of daglab's that belong to another user."""
    folders = [project.folder, *(project.folder / name for name in FOLDERS)]
    there = [path for folder in folders if folder.is_dir() for path in (folder, *sorted(folder.iterdir()))]
    found = [path for path in there if (status := _status(path)) and status.st_uid not in (os.geteuid(), os.getuid())]
    return [shown(project, path) for path in dict.fromkeys(found)]


def look_at_dev(project: Project) -> Iterator[Finding]:
    """Whether `daglab dev` runs, or a killed one has left its record, its token or its processes."""
    root = project.root
    if not project.folder.is_dir():
        return
    if record.is_running(root):
        found = record.read(root)
        yield findings.fine("dev", f"daglab dev runs, as process {found.get('pid', 'unknown')}; it holds dev.lock")
        return
    left = processes_left(root)
    remains = remains_of_dev(root)
    if left:
        count = scales.counted(len(left), "process", "processes")
        yield findings.problem(
            "dev", f"A killed daglab dev has left {count}: {findings.some(map(str, left))}.", "daglab stop"
        )
    elif remains:
        yield findings.warning(
            "dev",
            f"daglab dev does not run, and has left {', '.join(remains)}.",
            "daglab stop",
            fixable=True,
        )
    else:
        yield findings.fine("dev", "daglab dev does not run, and has left nothing")


def processes_left(root: Path) -> list[int]:
    """The processes that a killed `daglab dev` has left, by the mark of its record."""
    mark = record.read(root).get("mark")
    if not isinstance(mark, str) or len(mark) < record.SHORTEST_MARK:
        return []
    return sorted(process_table.marked(record.MARK, mark))


def remains_of_dev(root: Path) -> list[str]:
    """The files that only a running `daglab dev` has."""
    return [path.name for path in (record.FILE, entrance.TOKEN, entrance.PAGE) if os.path.lexists(root / path)]


def look_at_restore(project: Project) -> Iterator[Finding]:
    """Whether a `daglab backup restore` was killed in the middle."""
    if journal.unfinished(project.root):
        yield findings.warning(
            "restore",
            "A restore was killed in the middle, or is under way: some files are the archive's, others are not.",
            "daglab doctor --fix",
            fixable=True,
        )


def look_at_leftovers(project: Project) -> Iterator[Finding]:
    """Temporary files that a killed daglab has left."""
    found = list(leftovers.temporary(project.root, time.time()))
    if found:
        yield findings.warning(
            "leftovers",
            f"{len(found)} temporary files were left by a crash: {findings.some(each.path for each in found)}.",
            "daglab clean takes them away, and more that nobody needs",
            fixable=True,
        )
    else:
        yield findings.fine("leftovers", "no temporary file was left")


def shown(project: Project, path: Path) -> str:
    """A path from the project's root."""
    try:
        return path.relative_to(project.root).as_posix()
    except ValueError:
        return str(path)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None

"""Everything that daglab has written, read to its end: each bad file and line by name."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daglab import errors, files, json_files, state_files
from daglab.debugging import traces
from daglab.dev import ports, record
from daglab.doctor import findings, folder, origins
from daglab.doctor.findings import Finding, Project
from daglab.exported import export_copies, export_record
from daglab.figures import days, lines, retention
from daglab.upkeep import leftovers

MOST_BAD = 100  # that are listed; all are counted
LONGEST_LINE = 1 << 24  # bytes
BLOCK = 1 << 20
# Dagster's history, the user's templates, what services print; what can be made anew; what carries its own checksums.
NOT_READ = {"dagster_home", "templates", "logs", "cache", "archive", "backups", "restore/new", "restore/old"}
SMALL = ("dev.json", "last_ports.json", "restore/journal.json")
KNOWN = ("marimo.token", "marimo.html", "export.html")
Check = Callable[[dict[str, Any]], "str | None"]


@dataclass(frozen=True)
class Bad:
    """A flaw: the file from the project's root, the line (None for the whole file), and what is wrong with it."""

    file: str
    line: int | None
    flaw: str


@dataclass
class Read:
    """What was read: files, lines, those of a newer version, the first flaws and how many there are, unknown files."""

    files: int = 0
    lines: int = 0
    newer: int = 0
    bad: list[Bad] = field(default_factory=list)
    bad_count: int = 0
    by_file: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    exports: int = 0

    def add(self, file: str, line: int | None, flaw: str) -> None:
        """Take a flaw down."""
        self.bad_count += 1
        self.by_file[file] = self.by_file.get(file, 0) + 1
        if len(self.bad) < MOST_BAD:
            self.bad.append(Bad(file, line, flaw))


def read_all(project: Project) -> Read:
    """Read every config file, event, export, state and other record of a project."""
    found = Read()
    for path, flaw in origins.flaws(project):
        found.add(folder.shown(project, path), None, flaw)
    if project.folder.is_dir() and files.inside(project.root, project.folder) is not None:
        for path in _files(project.folder, project.folder):
            _read(project, path, found)
    exports(project, found)
    return found


def document(found: Read) -> dict[str, Any]:
    """What was read, in JSON."""
    return {
        "files": found.files,
        "lines": found.lines,
        "newer": found.newer,
        "exports": found.exports,
        "bad_count": found.bad_count,
        "bad": [vars(each) for each in found.bad],
        "unknown": found.unknown,
    }


def look(found: Read) -> Iterator[Finding]:
    """A finding for each bad file, and one for what is unknown."""
    for name, count in found.by_file.items():
        first = next((each for each in found.bad if each.file == name), None)
        where = f" at line {first.line}" if first and first.line else ""
        what = f"{name}: {first.flaw if first else 'not good'}{where}"
        more = f"; {count} in all" if count > 1 else ""
        yield findings.warning("records", f"{what}{more}.", _remedy(name))
    if not found.bad_count:
        yield findings.fine("records", f"{found.files} files with {found.lines} lines are good")
    if found.unknown:
        yield findings.warning(
            "records.unknown",
            f"Not of daglab: {findings.some(found.unknown)}.",
            "Look at them; daglab leaves them alone.",
        )


TORN = "the last line has no end"


def torn_files(project: Project) -> list[Path]:
    """Files of JSON lines whose last line has no end."""
    if not project.folder.is_dir() or files.inside(project.root, project.folder) is None:
        return []
    found = []
    for path in _files(project.folder, project.folder):
        if path.suffix == ".jsonl" and (status := path.lstat()).st_size and stat.S_ISREG(status.st_mode):
            with files.open_own(path) as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    found.append(path)
    return found


def look_at_ends(project: Project) -> Iterator[Finding]:
    """Whether a crash has torn the last line of a record; quick, for it reads the ends alone."""
    torn = [folder.shown(project, path) for path in torn_files(project)]
    if torn:
        yield findings.warning(
            "torn",
            f"The last line has no end: {findings.some(torn)}. It is left out, until the next one is written.",
            "daglab doctor --fix",
            fixable=True,
        )
    broken = broken_records(project)
    if broken:
        yield findings.warning(
            "broken",
            f"No JSON, and taken for missing: {findings.some(folder.shown(project, path) for path in broken)}.",
            f"rm {' '.join(findings.quoted(path) for path in broken)}",
            fixable=not record.is_running(project.root),
        )


def broken_records(project: Project) -> list[Path]:
    """Small files that daglab makes anew by itself, and that can't be read."""
    paths = [project.root / ports.LAST, project.root / record.FILE]
    return [path for path in paths if _is_regular(path) and _json_flaw(path)]


def _files(top: Path, folder_of: Path) -> Iterator[Path]:
    """Every file in a folder of daglab's, by name, without what is not read."""
    for path in sorted(folder_of.iterdir()):
        if path.is_symlink() or not path.is_dir():
            yield path
        elif path.relative_to(top).as_posix() not in NOT_READ:
            yield from _files(top, path)


def _read(project: Project, path: Path, found: Read) -> None:
    name = folder.shown(project, path)
    if not _is_regular(path):
        found.add(name, None, "it is a link, a pipe or a device, which daglab does not read")
        return
    inside = path.relative_to(project.folder).as_posix()
    check, flaw = _check(inside), None
    try:
        if check:
            _read_lines(name, path, check, found)
        elif path.parent == project.root / state_files.FOLDER and path.name.endswith((".json", ".json.bak")):
            flaw = state_files.flaw(path)
        elif inside in SMALL:
            flaw = _json_flaw(path)
        else:
            if not _is_known(path):
                found.unknown.append(name)
            return
    except (OSError, errors.DaglabError) as error:
        flaw = f"it can't be read: {error}"
    found.files += 1
    if flaw:
        found.add(name, None, flaw)


def _is_known(path: Path) -> bool:
    beside = path.name.endswith((".lock", ".broken"))
    return path.name in KNOWN or beside or leftovers.is_temporary(path.name)


def _check(name: str) -> Check | None:
    """The check of a line in a file of this name; None for what is no file of JSON lines that daglab writes."""
    if name == "exports.jsonl":
        return _export_flaw
    if month := retention.month_of(name):
        return functools.partial(_event_flaw, month=month)
    folder_of, _, own = name.rpartition("/")
    return _version_flaw if folder_of == traces.FOLDER.name and own.endswith(".jsonl") else None


def _read_lines(name: str, path: Path, check: Check, found: Read) -> None:
    with files.open_own(path) as file:
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            found.lines += 1
            if not line.endswith(b"\n") and len(line) == LONGEST_LINE:
                found.add(name, number, "the line is far too long")
                while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
            elif not line.endswith(b"\n"):
                found.add(name, number, TORN)
            elif flaw := _line_flaw(line, check, found):
                found.add(name, number, flaw)


def _line_flaw(line: bytes, check: Check, found: Read) -> str | None:
    if not line.strip():
        return "it is empty"
    try:
        record_of = lines.parse(line)
    except lines.UNREADABLE:
        return "it is no JSON object"
    try:
        return check(record_of)
    except lines.NewerError:
        found.newer += 1
        return None


def _event_flaw(line: dict[str, Any], month: str) -> str | None:
    """As `stats` reads it: what is not counted there is named here, and nothing else."""
    try:
        if "kind" in line:
            days.read(line, month)
        else:
            lines.event(line, month)
    except lines.UNREADABLE:
        return f"it is no operation of {month}, and is not counted"
    return None


def _export_flaw(line: dict[str, Any]) -> str | None:
    if flaw := _version_flaw(line):
        return flaw
    if any(isinstance(line.get(kind), str) for kind in ("expired", "intent", "amends")):
        return None
    whole = all(isinstance(line.get(key), str) for key in ("id", "output", "sha256"))
    return None if whole else "it lacks its id, its output or its hash"


def _version_flaw(line: dict[str, Any]) -> str | None:
    try:
        lines.check_version(line.get("v"))
    except ValueError:
        return "it is no record of daglab"
    return None


def _json_flaw(path: Path) -> str | None:
    try:
        return None if json_files.is_whole(path) else "it is torn, or no record of daglab"
    except OSError as error:
        return f"it can't be read: {error.strerror or error}"


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def exports(project: Project, found: Read) -> None:
    """Whether each export that is still to be there is, with just the bytes that the record has."""
    for copy in export_record.copies(project.root):
        place, path = copy.place, project.root / copy.place
        if copy.where != export_copies.LOCAL or files.inside(project.root, path) is None:
            continue
        found.exports += 1
        if not _is_regular(path):
            found.add(place, None, "the export is gone, and the record has it")
        elif _hash(path) != copy.sha256:
            found.add(place, None, "the export was changed since it was made")


def _hash(path: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with files.open_own(path) as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def _remedy(name: str) -> str:
    if name.startswith(".daglab/state/"):
        return "`daglab state show NOTEBOOK` says what is left; `daglab state reset NOTEBOOK` begins anew."
    if name.endswith(".jsonl"):
        return "It is left out everywhere; `daglab doctor --fix` ends a torn last line."
    if name.startswith(".daglab/"):
        return "daglab makes it anew; delete it."
    return (
        "Export it again, or leave it." if not name.endswith((".yaml", ".yml")) else "Mend it: daglab config validate"
    )

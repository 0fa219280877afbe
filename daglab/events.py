"""What was done: one JSON line a command in `.daglab/events/YYYY-MM.jsonl`, where `.daglab/` exists.

The format is version 1. Recording never makes what is recorded fail: a full disk or a read-only folder is one warning.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daglab import errors, files, json_lines, redaction

if TYPE_CHECKING:  # it brings in requests, and not every command asks something
    from daglab import web

log = logging.getLogger(__name__)

VERSION = 1
STOPPED = (130, 143)  # by the user, by a SIGTERM
FOLDER = Path(".daglab", "events")
_LOTS = 256  # KiB; two figures of one peak may differ by so much
_complained: set[Path] = set()  # a notebook may record a thousand operations


@dataclass
class Event:
    """The line of a command that is running; the command fills in what it comes to know."""

    command: str
    id: str = field(default_factory=lambda: os.urandom(16).hex())
    target: str | None = None
    runs: list[str] = field(default_factory=list)
    traffic: web.Traffic | None = None
    bytes: int | None = None
    usage: list[dict[str, Any]] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)
    failed: type[errors.DaglabError] | None = None  # what was done is not good, and nothing is raised for it
    ends_by_stop: bool = False  # to be stopped is how it ends, and no failure


@contextlib.contextmanager
def recording(root: Path, command: str) -> Iterator[Event]:
    """Record what happens inside, with its outcome, below the project's `root`."""
    event = Event(command)
    log.info("%s, operation %s", command, event.id)
    if os.environ.get("DAGLAB_TRACE"):
        from daglab.debugging import traces

        traces.announce(event.id, command)
    at, started = datetime.now(timezone.utc), time.monotonic()
    error: BaseException | None = None
    try:
        yield event
    except BaseException as raised:  # whatever ends the command stands in its line
        error = raised
        raise
    finally:
        exit_code, code = _outcome(error) if error or not event.failed else (event.failed.exit_code, event.failed.code)
        append(root, event, at, time.monotonic() - started, exit_code=exit_code, error_code=code)


def append(
    root: Path, event: Event, at: datetime, seconds: float, *, exit_code: int = 0, error_code: str | None = None
) -> None:
    """Record what began `at` (with zone), took so many seconds and is over; nothing without `.daglab/` in `root`."""
    if not os.path.isdir(root / ".daglab"):
        return
    folder = root / FOLDER
    try:
        if _folder(root) is None:
            raise OSError("it leads out of the project")
        line = _line(event, at, seconds, exit_code, error_code)
        json_lines.append(folder / f"{line['at'][:7]}.jsonl", line)
    except OSError as error:
        if folder not in _complained:
            _complained.add(folder)
            log.warning("%s is not recorded in %s: %s.", event.command, folder, error.strerror or error)


def newest(root: Path, command: str | None = None) -> Iterator[dict[str, Any]]:
    """The recorded lines of a command, or of all, the newest first; no more is read than is asked for.

    What is torn, foreign or of a newer version is left out.
    """
    folder, mark = _folder(root), json.dumps(command).encode() if command else b""
    for path in sorted(folder.glob("????-??.jsonl"), reverse=True) if folder else ():
        with contextlib.suppress(OSError):
            for text in json_lines.backwards(path):
                # What is foreign costs next to nothing.
                line = json_lines.parsed(text) if mark in text and b'"v"' in text else None
                if line and line.get("v") == VERSION and command in (None, line.get("command")):
                    yield line


def signature(root: Path) -> tuple[tuple[str, int, int], ...]:
    """What is another one as soon as something was recorded: name, size and time of each file of events."""
    folder, found = _folder(root), []
    with contextlib.suppress(OSError), os.scandir(folder or os.devnull) as entries:
        for entry in entries:
            about = entry.stat(follow_symlinks=False)
            found.append((entry.name, about.st_size, about.st_mtime_ns))
    return tuple(sorted(found))


def peak_memory() -> int:
    """The most memory that this process has had so far, in bytes: its resident set, as getrusage(2) or Linux tells it.

    Linux counts in lots of pages: from one call to the next the figure may fall by as much as some 100 KB.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        return peak
    return 1024 * (peak if peak > _inherited() else _own_peak() or peak)  # Linux counts in KiB


@functools.cache
def _inherited() -> int:
    """What getrusage tells for as long as it tells of the process that started this one, in KiB; 0 when it does not.

    Its figure starts with what that process had, and once it grows it is our own. It is asked because the other way
    takes many times as long, and every operation that is tracked goes it twice.
    """
    told, own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, _own_peak()
    return told if own and told > own + _LOTS else 0


def _own_peak() -> int:
    """As Linux tells it, in KiB; 0 where there is no /proc."""
    with contextlib.suppress(OSError), open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1])
    return 0


def _line(event: Event, at: datetime, seconds: float, exit_code: int, error_code: str | None) -> dict[str, Any]:
    failed, times = (event.traffic.errors, event.traffic.milliseconds) if event.traffic else (0, [])
    return {
        "v": VERSION,
        "id": event.id,
        "at": at.isoformat(timespec="milliseconds"),
        "command": event.command,
        "target": _shown(event.target),
        "ok": exit_code == 0 or (event.ends_by_stop and exit_code in STOPPED),
        "exit_code": exit_code,
        "error_code": error_code,
        "seconds": round(seconds, 3),
        "runs": event.runs,
        "requests": {"n": len(times) + failed, "errors": failed, "ms": times},
        "bytes": event.bytes,
        "rss_peak": peak_memory(),
        "usage": _shown(event.usage),
        "detail": _shown(event.detail),
    }


def _shown(value: Any) -> Any:
    """Values without what opens an address in them: a path, a link, a label may be one that is signed."""
    if isinstance(value, str):
        return redaction.masked_text(value) if "://" in value else value
    if isinstance(value, dict):
        return {_shown(key): _shown(each) for key, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, (list, tuple)) else value


def _outcome(error: BaseException | None) -> tuple[int, str | None]:
    """The exit code that a command has after this error, and the error's own code."""
    if error is None:
        return 0, None
    if isinstance(error, errors.DaglabError):
        return error.exit_code, error.code
    for kind, code in ((KeyboardInterrupt, 130), (errors.Terminated, 143), (BrokenPipeError, 141)):
        if isinstance(error, kind):
            return code, None
    if type(error).__name__ == "Abort":  # click's: Ctrl-C at a question; click is not imported here
        return 130, None
    if isinstance(error, OSError):  # as `cli` tells it
        return errors.InvalidInput.exit_code, errors.InvalidInput.code
    code = getattr(error, "exit_code", 1)  # click's own errors have one, and its Exit, which may mean all is well
    return (code if isinstance(code, int) else 1), None


def _folder(root: Path) -> Path | None:
    """Where a project's events are; None without `.daglab/`, and where a link leads out of the project."""
    folder = root / FOLDER
    return folder if os.path.isdir(root / ".daglab") and files.inside(root, folder) is not None else None

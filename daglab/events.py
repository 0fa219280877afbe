"""What was done: one JSON line a command in `.daglab/events/YYYY-MM.jsonl`, where `.daglab/` exists.

The format is version 1. Recording never makes what is recorded fail: a full disk or a read-only folder is one warning.
"""

from __future__ import annotations

import contextlib
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

from daglab import errors, files

if TYPE_CHECKING:  # it brings in requests, and not every command asks something
    from daglab import web

log = logging.getLogger(__name__)

VERSION = 1
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


@contextlib.contextmanager
def recording(root: Path, command: str) -> Iterator[Event]:
    """Record what happens inside, with its outcome, below the project's `root`."""
    event = Event(command)
    log.info("%s, operation %s", command, event.id)
    at, started = datetime.now(timezone.utc), time.monotonic()
    error: BaseException | None = None
    try:
        yield event
    except BaseException as raised:  # whatever ends the command stands in its line
        error = raised
        raise
    finally:
        code = error.code if isinstance(error, errors.DaglabError) else None
        append(root, event, at, time.monotonic() - started, exit_code=_exit_code(error), error_code=code)


def append(
    root: Path, event: Event, at: datetime, seconds: float, *, exit_code: int = 0, error_code: str | None = None
) -> None:
    """Record what began `at` (with zone), took so many seconds and is over; nothing without `.daglab/` in `root`."""
    folder = _folder(root)
    if folder is None:
        return
    try:
        line = _line(event, at, seconds, exit_code, error_code)
        files.append_line(folder / f"{line['at'][:7]}.jsonl", line)
    except OSError as error:
        if folder not in _complained:
            _complained.add(folder)
            log.warning("%s is not recorded in %s: %s.", event.command, folder, error.strerror or error)


def newest(root: Path, command: str) -> Iterator[dict[str, Any]]:
    """The recorded lines of a command, the newest first; no more is read than is asked for.

    What is torn, foreign or of a newer version is left out.
    """
    folder, mark = _folder(root), json.dumps(command).encode()
    for path in sorted(folder.glob("????-??.jsonl"), reverse=True) if folder else ():
        with contextlib.suppress(OSError):
            for text in files.lines_backwards(path):
                line = _parsed(text) if mark in text else {}
                if line.get("v") == VERSION and line.get("command") == command:
                    yield line


def peak_memory() -> int:
    """The most memory that this process has had so far, in bytes: its resident set, as getrusage(2) tells it."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def _line(event: Event, at: datetime, seconds: float, exit_code: int, error_code: str | None) -> dict[str, Any]:
    failed, times = (event.traffic.errors, event.traffic.milliseconds) if event.traffic else (0, [])
    return {
        "v": VERSION,
        "id": event.id,
        "at": at.isoformat(timespec="milliseconds"),
        "command": event.command,
        "target": event.target,
        "ok": exit_code == 0,
        "exit_code": exit_code,
        "error_code": error_code,
        "seconds": round(seconds, 3),
        "runs": event.runs,
        "requests": {"n": len(times) + failed, "errors": failed, "ms": times},
        "bytes": event.bytes,
        "rss_peak": peak_memory(),
        "usage": event.usage,
        "detail": event.detail,
    }


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    for kind, code in ((KeyboardInterrupt, 130), (errors.Terminated, 143), (BrokenPipeError, 141)):
        if isinstance(error, kind):
            return code
    code = getattr(error, "exit_code", 1)  # click's own errors have one, too
    return code if isinstance(code, int) else 1


def _folder(root: Path) -> Path | None:
    """Where a project's events are; None without `.daglab/`, and where a link leads out of the project."""
    folder = root / ".daglab" / "events"
    return folder if os.path.isdir(root / ".daglab") and files.inside(root, folder) is not None else None


def _parsed(text: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        line = json.loads(text)
        if isinstance(line, dict):
            return line
    return {}

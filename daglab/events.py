"""What was done: one JSON line a command in `.daglab/events/YYYY-MM.jsonl`, where `.daglab/` exists.

The format is version 1. Recording never makes a command fail: a full disk or a read-only folder is one warning.
"""

from __future__ import annotations

import contextlib
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


@dataclass
class Event:
    """The line of a command that is running; the command fills in what it comes to know."""

    command: str
    id: str = field(default_factory=lambda: os.urandom(16).hex())
    target: str | None = None
    runs: list[str] = field(default_factory=list)
    traffic: web.Traffic | None = None
    bytes: int | None = None
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
        _append(root, _line(event, at, time.monotonic() - started, error))


def _line(event: Event, at: datetime, seconds: float, error: BaseException | None) -> dict[str, Any]:
    failed, times = (event.traffic.errors, event.traffic.milliseconds) if event.traffic else (0, [])
    return {
        "v": 1,
        "id": event.id,
        "at": at.isoformat(timespec="milliseconds"),
        "command": event.command,
        "target": event.target,
        "ok": error is None,
        "exit_code": _exit_code(error),
        "error_code": error.code if isinstance(error, errors.DaglabError) else None,
        "seconds": round(seconds, 3),
        "runs": event.runs,
        "requests": {"n": len(times) + failed, "errors": failed, "ms": times},
        "bytes": event.bytes,
        "rss_peak": _peak_memory(),
        "usage": [],
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


def _peak_memory() -> int:
    """Bytes; Linux counts it in KiB, macOS in bytes (getrusage(2))."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _append(root: Path, line: dict[str, Any]) -> None:
    folder = root / ".daglab"
    if not os.path.isdir(folder) or files.inside(root, folder / "events") is None:
        return
    try:
        files.append_line(folder / "events" / f"{line['at'][:7]}.jsonl", line)
    except OSError as error:
        log.warning("This command is not recorded in %s: %s.", folder / "events", error.strerror or error)

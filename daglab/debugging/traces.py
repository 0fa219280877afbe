"""The GraphQL requests of commands and their answers, kept redacted in `.daglab/traces/` where DAGLAB_TRACE=1.

JSON lines, version 1, for their owner alone. Two files of a bounded size: what is older goes. Nothing here makes a
command fail.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from daglab import errors, files, json_lines, parse, redaction

log = logging.getLogger(__name__)

VERSION = 1
VARIABLE = "DAGLAB_TRACE"
FOLDER = Path(".daglab", "traces")
NAME, OLDER = "requests.jsonl", "requests.1.jsonl"
LARGEST_FILE = 1 << 24  # bytes; there are two
LARGEST_ANSWER = 1 << 18  # bytes; of a larger one the hash is kept
LONGEST_MESSAGE = 2000
_OPERATION = re.compile(r"\b(?:query|mutation|subscription)\s+(\w+)")
_FIELD = re.compile(r"\{\s*(?:\w+\s*:\s*)?(\w+)")
_TEXTS = ("id", "at", "url", "query", "outcome")
_commands: dict[str, str] = {}  # by operation; a notebook has a few of them
_complained: set[Path] = set()


@dataclass(frozen=True)
class Trace:
    """Where the requests of a session are kept, and the operation that they belong to."""

    root: Path
    operation: str | None


def announce(operation: str, command: str) -> None:
    """Say what an operation is called, for the lines of its requests."""
    _commands[operation] = command


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether requests are to be kept: DAGLAB_TRACE=1."""
    return environ.get(VARIABLE, "").strip().lower() in ("1", "true", "yes", "on")


def of(root: Path, operation: str | None) -> Trace | None:
    """The trace of a session in the project `root`; None where nothing is to be kept."""
    return Trace(root, operation) if wanted(os.environ) and os.path.isdir(root / FOLDER.parent) else None


def around(trace: Trace | None, url: str, body: Mapping[str, Any], mutation: bool, send: Callable[[], Any]) -> Any:
    """What `send` gives or raises; with a trace, the request and what became of it are kept.

    `body` is GraphQL's: `query` and `variables`. What is given back is a `requests.Response`.
    """
    if trace is None:
        return send()
    at, started = datetime.now(timezone.utc), time.monotonic()
    request = {
        "v": VERSION,
        "id": os.urandom(6).hex(),
        "operation": trace.operation,
        "command": _commands.get(trace.operation or ""),
        "at": at.isoformat(timespec="milliseconds"),
        "url": parse.display_url(url),
        "name": operation_name(str(body["query"])),
        "kind": "mutation" if mutation else "query",
    }
    try:
        response = send()
    except BaseException as error:  # whatever ends it
        became = {"outcome": "failed", "error": _said(error)}
        _keep(trace.root, {**request, "ms": _since(started)}, body, became, None)
        raise
    _keep(trace.root, {**request, "ms": _since(started)}, body, {}, response)
    return response


def operation_name(query: str) -> str | None:
    """What a GraphQL document calls its operation, else the first field that it asks for."""
    named = _OPERATION.search(query) or _FIELD.search(query)
    return named[1] if named else None


def newest(root: Path) -> Iterator[dict[str, Any]]:
    """The requests that are kept, the newest first; what is torn, foreign or of a newer version is left out."""
    for path in _paths(root):
        with contextlib.suppress(OSError):
            for text in json_lines.backwards(path):
                if line := _parsed(text):
                    yield line


def unreadable(root: Path) -> int:
    """How many lines and files `newest` leaves out."""
    count = 0
    for path in _paths(root):
        try:
            count += sum(bool(text.strip()) and _parsed(text) is None for text in json_lines.backwards(path))
        except FileNotFoundError:
            continue
        except OSError:
            count += 1
    return count


def answered(content: bytes) -> Any:
    """The answer as it is kept and compared: parsed, and redacted; None for what is no JSON."""
    try:
        return redaction.clean_values(redaction.masked(json.loads(content)))
    except (ValueError, RecursionError):
        return None


def _paths(root: Path) -> list[Path]:
    folder = root / FOLDER
    return [folder / NAME, folder / OLDER] if files.inside(root, folder) is not None else []


def _keep(root: Path, request: dict[str, Any], body: Mapping[str, Any], became: dict[str, Any], response: Any) -> None:
    try:
        line = {**request, **_asked(body), **(became if response is None else _became(response))}
        _append(root, line)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        if root not in _complained:
            _complained.add(root)
            log.warning("Requests are not kept in %s: %s.", root / FOLDER, getattr(error, "strerror", "") or error)


def _asked(body: Mapping[str, Any]) -> dict[str, Any]:
    """The text and the variables; `masked` says whether they lack something that was sent."""
    sent = {"query": body["query"], "variables": body["variables"]}
    kept = redaction.clean_values(redaction.masked(sent))
    return {**kept, "masked": json.dumps(kept, default=str) != json.dumps(sent, default=str)}


def _became(response: Any) -> dict[str, Any]:
    content: bytes = response.content
    answer = answered(content) if len(content) <= LARGEST_ANSWER else None
    problems = answer.get("errors") if isinstance(answer, dict) else None
    first = problems[0] if isinstance(problems, list) and problems else problems
    message = first.get("message") if isinstance(first, dict) else first
    return {
        "status": response.status_code,
        "bytes": len(content),
        "outcome": "rejected" if problems or response.status_code >= 400 else "answered",
        "error": None if message is None else str(message)[:LONGEST_MESSAGE],
        "sha256": hashlib.sha256(content).hexdigest(),
        "answer": answer,
    }


def _append(root: Path, line: dict[str, Any]) -> None:
    folder = root / FOLDER
    if files.inside(root, folder) is None:
        raise OSError("it leads out of the project")
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / NAME
    with contextlib.suppress(FileNotFoundError):
        if path.lstat().st_size > LARGEST_FILE:
            with json_lines.held(path) as held:
                if os.fstat(held.fileno()).st_size > LARGEST_FILE:  # nobody else was faster
                    path.replace(folder / OLDER)
    json_lines.append(path, line, mode=0o600)


def _said(error: BaseException) -> str:
    message = error.message if isinstance(error, errors.DaglabError) else type(error).__name__
    return redaction.masked_text(message)[:LONGEST_MESSAGE]


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _parsed(text: bytes) -> dict[str, Any] | None:
    line = json_lines.parsed(text)
    good = line and line.get("v") == VERSION and all(isinstance(line.get(name), str) for name in _TEXTS)
    return line if good else None

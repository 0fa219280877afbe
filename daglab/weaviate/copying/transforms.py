"""A user's transform file, which changes objects on their way: run in one child process without tokens.

The child (`children/transformer.py`) is kept by a keeper, and spoken to over a socket; what it prints is passed on.
"""

from __future__ import annotations

import array
import base64
import contextlib
import hashlib
import json
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daglab import errors, processes

SCRIPT = Path(__file__).resolve().parents[2] / "children" / "transformer.py"
AT_ONCE = 100  # objects that are asked for at once: the time limit is for so many
LAST_LINES = 20  # of what was printed, that an error shows
READ = 1 << 18  # bytes

Say = Callable[[str], None]


@dataclass(frozen=True)
class Transform:
    """A running transform: `seconds` is how long it may take for `AT_ONCE` objects, `say` gets what it prints."""

    path: Path
    channel: socket.socket
    printed: int
    seconds: float
    say: Say
    torn: bytearray = field(default_factory=bytearray)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    functions: list[str] = field(default_factory=list)

    @property
    def changes_schema(self) -> bool:
        """Whether the file has a `transform_schema`."""
        return "transform_schema" in self.functions


@contextlib.contextmanager
def opened(path: Path, python: Sequence[str], env: Mapping[str, str], seconds: float, say: Say) -> Iterator[Transform]:
    """A transform file, loaded; nothing that it has started is left after the block.

    Raises `NotSetUp` when there is no such Python, `InvalidInput` for a file that can't be loaded.
    """
    with contextlib.ExitStack() as stack:
        channel, theirs = map(stack.enter_context, socket.socketpair())
        printed, written = os.pipe()
        stack.callback(os.close, printed)
        writing = stack.enter_context(os.fdopen(written, "wb"))
        kept = stack.enter_context(processes.keeper(pass_fds=(theirs.fileno(), written)))
        command: list[str | os.PathLike[str]] = [*python, "-u", SCRIPT, path.absolute()]
        processes.start_talking(kept, "transform", command, env, theirs.fileno(), written)
        stack.callback(channel.close)  # before the keeper is stopped: it ends by itself then
        theirs.close()
        writing.close()
        os.set_blocking(printed, False)
        transform = Transform(path, channel, printed, seconds, say)
        found = _answer(transform)
        if "flaw" in found:
            raise errors.InvalidInput(
                f"{_place(transform, found)} can't be used: {found['flaw']}.",
                "It has a function transform(obj), which gives back a dict, or None to drop the object.",
            )
        transform.functions.extend(["transform", *(["transform_schema"] if found["schema"] else [])])
        yield transform


def identity(path: Path) -> str:
    """The hash of the file: another one is another transform."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def schema(transform: Transform, before: Mapping[str, Any]) -> dict[str, Any]:
    """A schema as `transform_schema` changes it; as it is, without one. Raises as `changed` does."""
    if not transform.changes_schema:
        return dict(before)
    return _ask(transform, {"schema": before})["schema"]  # type: ignore[no-any-return]


def changed(transform: Transform, objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | None]:
    """Objects as `transform` changes them, None for each that it drops.

    Raises `NotGood` with the object's id, the file and the line when it fails or gives back something else than an
    object, and when its process ends; `TimedOut` when it takes too long.
    """
    found: list[dict[str, Any] | None] = []
    for start in range(0, len(objects), AT_ONCE):
        some = objects[start : start + AT_ONCE]
        results = _ask(transform, {"objects": [_packed(each) for each in some]})["objects"]
        found += [result and _unpacked(result, each) for result, each in zip(results, some, strict=True)]
    return found


def _ask(transform: Transform, request: Mapping[str, Any]) -> dict[str, Any]:
    transform.channel.settimeout(transform.seconds)
    with contextlib.suppress(OSError):  # that it has ended, or does not read, shows when its answer is awaited
        transform.channel.sendall(json.dumps(request, separators=(",", ":")).encode() + b"\n")
    found = _answer(transform)
    if "problem" in found:
        about = f", object {found['id']}" if found.get("id") else ""
        raise errors.NotGood(
            f"{_place(transform, found)}{about}: {found['problem']}",
            "Correct the file; --dry-run --limit 5 tries it without making anything.",
        )
    return found


def _place(transform: Transform, found: Mapping[str, Any]) -> str:
    return f"{transform.path}, line {found['line']}" if found.get("line") else str(transform.path)


def _answer(transform: Transform) -> dict[str, Any]:
    """The next line that the child says, while what it prints is passed on."""
    deadline, parts = time.monotonic() + transform.seconds, []
    waiting = [transform.channel.fileno(), transform.printed]
    while True:
        readable = select.select(waiting, [], [], max(deadline - time.monotonic(), 0))[0]
        if transform.printed in readable and not _pass_on(transform):
            waiting.remove(transform.printed)
        if transform.channel.fileno() in readable:
            part = _received(transform.channel)
            parts.append(part)
            if not part:
                raise _gone(transform)
            if part.endswith(b"\n"):
                _pass_on(transform)
                return json.loads(b"".join(parts))  # type: ignore[no-any-return]
        elif not readable or time.monotonic() > deadline:
            hint = "A larger weaviate.timeout gives it more time. " + _said(transform)
            raise errors.TimedOut(f"{transform.path} gave no answer within {transform.seconds:g} s.", hint.strip())


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(READ)
    except ConnectionError:
        return b""


def _gone(transform: Transform) -> errors.NotGood:
    deadline = time.monotonic() + 1.0  # what it printed last may come a moment later
    while select.select([transform.printed], [], [], max(deadline - time.monotonic(), 0))[0]:
        if not _pass_on(transform):
            break
    if transform.torn:  # the keeper holds the pipe open: that nobody prints any more does not show
        _tell(transform, transform.torn)
        transform.torn.clear()
    hint = _said(transform) or "It printed nothing; memory (a kill by the system), sys.exit, os._exit end it so."
    return errors.NotGood(f"The process that runs {transform.path} has ended.", hint)


def _pass_on(transform: Transform) -> bool:
    """Pass on the lines that were printed; False once nobody can print any more."""
    try:
        data = os.read(transform.printed, READ)
    except BlockingIOError:
        return True
    *lines, torn = (transform.torn + data).split(b"\n")
    transform.torn[:] = torn[-READ:]
    if not data and torn:
        lines, transform.torn[:] = [*lines, torn], b""
    for line in lines:
        _tell(transform, line)
    return bool(data)


def _tell(transform: Transform, line: bytes | bytearray) -> None:
    text = line.decode("utf-8", "replace")
    transform.last.append(text[:500])
    transform.say(text)


def _said(transform: Transform) -> str:
    return f"It printed last:\n{chr(10).join(transform.last)}" if transform.last else ""


def _packed(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": found["id"],
        "properties": found.get("properties") or {},
        "vector": _text(found.get("vector")),
        "vectors": {name: _text(each) for name, each in (found.get("vectors") or {}).items()},
    }


def _text(vector: Any) -> Any:
    """Numbers as the base64 of 64-bit floats: many times faster than as JSON."""
    if not vector:
        return None
    if isinstance(vector[0], list):
        return [_text(each) for each in vector]
    return base64.b64encode(array.array("d", vector).tobytes()).decode()


def _numbers(text: Any) -> Any:
    if isinstance(text, list):
        return [_numbers(each) for each in text]
    numbers = array.array("d")
    numbers.frombytes(base64.b64decode(text))
    return numbers.tolist()


def _unpacked(result: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """An object that came back, with the vectors that were left as they were."""
    found = {"id": result["id"], "properties": result["properties"]}
    if result["vector"]:
        found["vector"] = before["vector"] if result["vector"] is True else _numbers(result["vector"])
    old = before.get("vectors") or {}
    named = {name: old[name] if each is True else _numbers(each) for name, each in result["vectors"].items() if each}
    return {**found, "vectors": named} if named else found

"""Notebooks that share a start-up: marimo is imported once, and each notebook runs in a fresh process forked from that.

Where that can't be had (not on Linux, a marimo that can't be imported early), `python -m marimo` is run for each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import select
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from daglab import errors, processes

log = logging.getLogger(__name__)

SCRIPT = Path(__file__).resolve().parent.parent / "children" / "exporter.py"
SECONDS = 120.0  # in which marimo is imported, on a machine as busy as can be


@dataclass(frozen=True)
class Exporter:
    """What runs notebooks with one Python; without a `channel` each starts on its own.

    `running` are the keepers of those that are under way, `stopped` is set once all are to end.
    """

    python: Sequence[str]
    env: Mapping[str, str]
    channel: socket.socket | None
    lock: threading.Lock = field(default_factory=threading.Lock)
    running: dict[int, processes.Keeper] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def opened(python: Sequence[str], env: Mapping[str, str]) -> Iterator[Exporter]:
    """An exporter for a Python and its flags; nothing that it has started is left after the block.

    Raises NotSetUp when there is no such Python.
    """
    with contextlib.ExitStack() as stack:
        channel = None
        if sys.platform.startswith("linux"):  # elsewhere a process that is forked and goes on may not use the system
            channel, theirs = map(stack.enter_context, socket.socketpair())
            printed = stack.enter_context(tempfile.TemporaryFile())
            descriptors = (theirs.fileno(), printed.fileno())
            kept = stack.enter_context(processes.keeper(pass_fds=descriptors))
            processes.start_talking(kept, "exporter", [*python, SCRIPT], env, *descriptors)
            theirs.close()
            stack.callback(channel.close)  # before the keeper is stopped: it ends by itself then
            if why := _flaw(channel):
                log.info("Each notebook starts on its own: %s", why)
                channel = None
        exporter = Exporter(python, env, channel)
        stack.callback(stop, exporter)
        yield exporter


def run(
    exporter: Exporter, words: Sequence[str], timeout: float | None, *, side_file: bool = True
) -> processes.Finished:
    """Run `python -m marimo` with these words, as `processes.run` does, from any thread.

    Without `side_file` no `__marimo__/session` file is written beside the notebook, where marimo is forked.

    Raises Interrupted when the exporter was stopped meanwhile.
    """
    try:
        return _run(exporter, words, timeout, side_file=side_file)
    except _NotBegun:
        return _run(dataclasses.replace(exporter, channel=None), words, timeout, side_file=side_file)


class _NotBegun(Exception):
    """The process that was to fork the notebook has ended before it did."""


def _run(exporter: Exporter, words: Sequence[str], timeout: float | None, *, side_file: bool) -> processes.Finished:
    with contextlib.ExitStack() as stack, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        capture = _ordered(exporter, words, side_file, stack, out, err)
        command = [*exporter.python, "-m", "marimo", *words]
        own = capture or stack.enter_context(processes.capturing())
        exporter.running[id(own)] = own.kept
        try:
            if exporter.stopped.is_set():
                processes.tell_to_stop(own.kept)
            if capture is None:
                finished = processes.run(command, timeout=timeout, env=exporter.env, capture=own)
            else:
                finished = processes.finished(own, timeout)
        except errors.OutcomeUnknown:
            if exporter.stopped.is_set():  # its keeper was told to end before it had begun
                raise _interrupted() from None
            if capture is None or own.kept.reports:
                raise
            raise _NotBegun from None
        finally:
            exporter.running.pop(id(own), None)
    if exporter.stopped.is_set():
        raise _interrupted()
    return finished


def _interrupted() -> errors.Interrupted:
    return errors.Interrupted("It was stopped before its end.", "Run it again.")


def stop(exporter: Exporter) -> None:
    """Have all that is under way begin to end, and start nothing more."""
    exporter.stopped.set()
    for kept in list(exporter.running.values()):
        processes.tell_to_stop(kept)


def _flaw(channel: socket.socket) -> str | None:
    """Why the child can't be used, else None."""
    answer = b""
    while not answer.endswith(b"\n"):
        if not select.select([channel], [], [], SECONDS)[0]:
            return "importing marimo took too long"
        part = channel.recv(1 << 12)
        if not part:
            return "the process that imports marimo has ended"
        answer += part
    found = json.loads(answer)
    return None if found["ready"] else str(found["why"])


def _ordered(
    exporter: Exporter,
    words: Sequence[str],
    side_file: bool,
    stack: contextlib.ExitStack,
    out: IO[bytes],
    err: IO[bytes],
) -> processes.Capture | None:
    """The keeper of a notebook that was forked, and its files; None where none can be forked."""
    if exporter.channel is None:
        return None
    control, send = os.pipe()
    receive, status = os.pipe()
    kept = processes.forked(send, receive)
    stack.callback(processes.stop, kept)
    texts = [os.fsencode(word).decode("utf-8", "surrogateescape") for word in words]
    body = json.dumps({"words": texts, "side_file": side_file}).encode()
    passed = [control, status, out.fileno(), err.fileno()]
    try:
        with exporter.lock:
            socket.send_fds(exporter.channel, [struct.pack("!I", len(body))], passed)
            exporter.channel.sendall(body)
    except OSError:
        log.warning("The process that had imported marimo has ended: each notebook starts on its own from now on.")
        return None
    finally:
        os.close(control)
        os.close(status)
    return processes.Capture(kept, out, err)

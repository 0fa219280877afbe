"""Sixteen processes that record events and are killed with SIGKILL at random; new ones take their places.

Then each event that was acknowledged (recording it returned) must be there once, and each line must parse. Now and
then a writer kills itself in the middle of its write, half a line on the disk and the lock in its hand. Prints one
JSON document; exits with 1 when something is lost, doubled or torn.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import logging
import os
import random
import selectors
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from daglab import events

WRITERS = 16
IDENTITY = 33  # bytes of an id and its newline, which a pipe takes whole or not at all
LARGE = 200_000  # bytes of a line that takes the system long enough to be killed in
MEAN_PAUSE = 0.002  # seconds between two events of one writer
MEAN_LIFE = 0.25  # seconds until a writer is killed
write = os.write


def tear(descriptor: int, line: bytes) -> int:
    """Write a part of a line, and die."""
    if line.startswith(b"{") and random.random() < 0.002:
        write(descriptor, line[: random.randrange(1, len(line))])
        os.kill(os.getpid(), signal.SIGKILL)
    return write(descriptor, line)


def record(root: Path, pipe: int) -> NoReturn:
    """Record events until somebody kills us; each that is recorded is told on the pipe."""
    os.write = tear  # type: ignore[assignment]
    random.seed()
    while True:
        with events.recording(root, "write") as event:
            event.detail["text"] = "x" * (LARGE if random.random() < 0.003 else random.randrange(300))
        write(pipe, f"{event.id}\n".encode())
        time.sleep(random.expovariate(1 / MEAN_PAUSE))


def start(root: Path) -> tuple[int, int]:
    """A new writer: its pid, and the end of its pipe that is read."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(ours)
        record(root, theirs)
    os.close(theirs)
    return pid, ours


def kill(pid: int, pipe: int, told: collections.Counter[str]) -> None:
    """End a writer, and note what it has told to its end."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while read(pipe, told):
        pass
    os.close(pipe)


def read(pipe: int, told: collections.Counter[str]) -> bool:
    """Note the ids that have come; whether there was anything before the pipe's end."""
    text = os.read(pipe, 100 * IDENTITY)
    told.update(text.decode().split())
    return bool(text)


def run(root: Path, seconds: float) -> tuple[collections.Counter[str], int]:
    """The ids that were acknowledged, each with how many times, and how many writers were killed."""
    told: collections.Counter[str] = collections.Counter()
    killed, end = 0, time.monotonic() + seconds
    writers = dict(start(root)[::-1] for _ in range(WRITERS))  # pipe -> pid
    next_kill = time.monotonic()
    while time.monotonic() < end:
        with selectors.DefaultSelector() as selector:
            for pipe in writers:
                selector.register(pipe, selectors.EVENT_READ)
            ready = [key.fd for key, _ in selector.select(max(0.0, next_kill - time.monotonic()))]
        over = [pipe for pipe in ready if not read(pipe, told)]  # it has killed itself
        if time.monotonic() >= next_kill:
            next_kill += random.expovariate(WRITERS / MEAN_LIFE)
            over += [random.choice([pipe for pipe in writers if pipe not in over])]
        for pipe in over:
            kill(writers.pop(pipe), pipe, told)
            killed += 1
            pid, new = start(root)
            writers[new] = pid
    for pipe, pid in writers.items():
        kill(pid, pipe, told)
    return told, killed + len(writers)


def lines(root: Path) -> Iterator[bytes]:
    """All lines that are recorded."""
    for path in (root / ".daglab" / "events").glob("*.jsonl"):
        with path.open("rb") as file:
            yield from file


def parsed(line: bytes) -> str | None:
    """The id of a line; None when it does not parse."""
    try:
        return str(json.loads(line)["id"]) if line.endswith(b"\n") else None
    except (KeyError, TypeError, ValueError):
        return None


def check(root: Path, told: collections.Counter[str]) -> dict[str, int]:
    """What is wrong with what is recorded, in numbers."""
    with events.recording(root, "last"):  # it mends what the last one killed has left
        pass
    found = collections.Counter(map(parsed, lines(root)))
    return {
        "lines": found.total(),
        "unreadable": found[None],
        "lost": len(told.keys() - found.keys()),
        "doubled": sum(number > 1 for identity, number in found.items() if identity),
    }


def main() -> int:
    """Run, check, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="daglab-writers-") as folder:
        (Path(folder) / ".daglab").mkdir()
        mended = Path(folder) / "mended"
        logging.basicConfig(filename=mended, format="%(message)s")  # one line for each that was torn
        told, killed = run(Path(folder), options.seconds)
        figures = check(Path(folder), told)
        torn = mended.read_text().count("half a line")
    document = {"seconds": options.seconds, "killed": killed, "torn": torn, "acknowledged": told.total(), **figures}
    print(json.dumps(document, indent=2))
    return int(any(figures[name] for name in ("unreadable", "lost", "doubled")) or not told)


if __name__ == "__main__":
    sys.exit(main())

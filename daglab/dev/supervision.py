"""Looking after services: what they print, when they crash, and what they use."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daglab import errors, output, process_table, processes
from daglab.dev import logs, record

RESTARTS = 3  # in WINDOW seconds
WINDOW = 300.0
PAUSES = (1.0, 5.0, 15.0)
COLOURS = ("cyan", "magenta", "green", "blue")
SAMPLE_SECONDS = 0.3


@dataclass
class Watched:
    """A service that is looked after: its process, the times of its crashes, and when it is to be started again."""

    service: processes.Service
    log: logs.Log
    colour: str
    pid: int
    crashes: list[float] = field(default_factory=list)
    again_at: float | None = None

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name


def start(kept: processes.Keeper, service: processes.Service, number: int, backups: int) -> Watched:
    """Start a service, with an empty log; `number` says which colour it has.

    Raises `InvalidInput` where the log can't be written.
    """
    try:
        log = logs.begin(service.log, backups)
    except OSError as error:
        raise errors.InvalidInput(
            f"{service.log} can't be written: {error.strerror}.", "Look at the permissions of .daglab/logs."
        ) from None
    return Watched(service, log, COLOURS[number % len(COLOURS)], processes.start(kept, service))


def look(kept: processes.Keeper, watched: Iterable[Watched], *, restarts: bool) -> list[Watched]:
    """Take note of crashes, and start again what is due; the services that were.

    Raises `NotGood` with the end of its log for a service that has crashed too often; at once without `restarts`.
    """
    now, codes, fresh = time.monotonic(), processes.ended(kept), []
    for each in watched:
        if each.again_at is None and each.name in codes:
            _crashed(each, codes[each.name], now, restarts=restarts)
        elif each.again_at is not None and now >= each.again_at:
            each.again_at = None
            each.pid = processes.start(kept, each.service)
            fresh.append(each)
    return fresh


def _crashed(each: Watched, code: int, now: float, *, restarts: bool) -> None:
    recent = [at for at in each.crashes if now - at < WINDOW]
    if not restarts or len(recent) >= RESTARTS:
        raise failed(each, code, f" {len(recent) + 1} times in {WINDOW / 60:.0f} minutes" if recent else "")
    each.crashes = [*recent, now]
    pause = PAUSES[len(recent)]
    each.again_at = now + pause
    output.warn(
        f"{each.name} has ended with code {code}, and is started again in {pause:.0f} s "
        f"({len(recent) + 1} of {RESTARTS})."
    )


def failed(each: Watched, code: int, often: str = "") -> errors.NotGood:
    """The error for a service that does not run, with the end of its log."""
    return errors.NotGood(
        f"{each.name} has ended with code {code}{often}. The end of its log:\n{logs.tail(each.log.path)}",
        f"All of it is in {each.log.path}.",
    )


def show(watched: Iterable[Watched]) -> None:
    """Show what services have printed since the last time; what is too much for that stands in the file alone."""
    for each in watched:
        text, skipped = logs.unread(each.log)
        if skipped:
            output.labelled(each.name, f"({skipped} bytes more are in {each.log.path})", each.colour)
        if text:
            output.labelled(each.name, text.rstrip("\n"), each.colour)


def shorten(watched: Iterable[Watched], largest: int, backups: int) -> None:
    """Keep the logs below their limit. A log that can't be kept short is a warning."""
    for each in watched:
        try:
            logs.rotate(each.log, largest, backups)
        except OSError as error:
            output.warn(f"{each.log.path} can't be kept short: {error.strerror}.")


@dataclass(frozen=True)
class Usage:
    """What a service and all that it has started use: processes, bytes of memory, percent of a core."""

    processes: int
    memory: int
    cpu_percent: float


def usage(pids: Iterable[int]) -> dict[int, Usage]:
    """What the trees below these processes use, the CPU over a third of a second; without those that have ended."""
    wanted = list(pids)
    before, began = process_table.look(), time.monotonic()
    time.sleep(SAMPLE_SECONDS)
    after, passed = process_table.look(), time.monotonic() - began
    found = {}
    for pid in wanted:
        tree = process_table.tree(after, pid)
        spent = sum(each.seconds - before[each.pid].seconds for each in tree if each.pid in before)
        if tree:
            found[pid] = Usage(len(tree), sum(each.memory for each in tree), round(100 * spent / passed, 1))
    return found


def status(root: Path) -> dict[str, Any]:
    """How the environment of a project is: what its record says, and what each service uses."""
    found = record.read(root)
    if not record.is_running(root) or not found:
        return {"running": False}
    for name in record.SERVICES:
        each = found.get(name)
        if not isinstance(each, dict) or type(each.get("pid", 0)) is not int:  # somebody else has written it
            found.pop(name, None)
    pids = {name: found[name]["pid"] for name in record.SERVICES if "pid" in found.get(name, {})}
    used = usage(pids.values())
    for name, pid in pids.items():
        spent = used.get(pid)
        found[name]["alive"] = spent is not None or not process_table.boot()
        if spent:
            found[name].update(processes=spent.processes, memory_bytes=spent.memory, cpu_percent=spent.cpu_percent)
    hidden = ("v", "mark", "started", "host", "boot", "keeper", "keeper_started")
    return {"running": True, **{key: value for key, value in found.items() if key not in hidden}}

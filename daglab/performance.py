"""What an operation costs: wall time, CPU time and memory by the operating system's own accounting, its trend, and the
machine around it.

Tracking an operation writes nothing and takes a few microseconds; `record` keeps what was measured among the events.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from daglab import errors, events

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

COMMAND = "helpers.track"  # what the events of operations are recorded as


@dataclass(frozen=True)
class Measure:
    """What an operation has cost, once it is over; see `Operation`."""

    name: str
    path: tuple[str, ...]
    started: float
    wall: float
    cpu: float
    peak_memory: int
    memory_growth: int
    ok: bool
    error: str | None


class Operation:
    """An operation that is measured. While it runs its figures are those so far, and `ok` is None.

    `path` is its name after those of the operations around it; `started` is in seconds since 1970. `error` is the
    name of the type of the exception that ended it: a message may hold secrets.
    """

    __slots__ = ("_begun", "_ended", "_parent", "_tracker", "error", "name", "ok", "path", "started")

    def __init__(self, tracker: track, name: str, parent: Operation | None) -> None:
        self.name = name
        self.path: tuple[str, ...] = (*parent.path, name) if parent else (name,)
        self.ok: bool | None = None
        self.error: str | None = None
        self._tracker: track | None = tracker  # None once it is over
        self._parent = parent
        self._ended: tuple[float, float, int] | None = None
        self.started = time.time()
        self._begun = _figures()

    @property
    def wall(self) -> float:
        """Seconds by the clock."""
        return (self._ended or _figures())[0] - self._begun[0]

    @property
    def cpu(self) -> float:
        """CPU seconds of this process meanwhile, of all its threads together (not of its children)."""
        return (self._ended or _figures())[1] - self._begun[1]

    @property
    def peak_memory(self) -> int:
        """The most memory, in bytes, that the process has had from its start to the end of the operation."""
        return (self._ended or _figures())[2]

    @property
    def memory_growth(self) -> int:
        """By how many bytes the operation has raised that peak; 0 when it stayed below an earlier one."""
        return max(0, self.peak_memory - self._begun[2])

    def _end(self, kind: type[BaseException] | None) -> None:
        self._ended = _figures()
        self.ok, self.error = kind is None, kind.__name__ if kind else None
        self._tracker = None


_running: contextvars.ContextVar[Operation | None] = contextvars.ContextVar("operation", default=None)


class track:
    """Measure what is done in `with track("load") as operation:`, or each call of a function below `@track("load")`.

    It may be used any number of times, inside of itself and in several threads at once; each time gives an `Operation`
    of its own. What is measured inside of another operation has that one's name in its path; a new thread begins
    without. Exceptions go on. `on_end` is called with the `Measure`, after an exception too.

    Raises `InvalidInput` for a name that is no text, and for a generator or an async function to decorate: its call
    returns before the work is done.
    """

    __slots__ = ("_last", "_name", "_on_end")

    def __init__(self, name: str, on_end: Callable[[Measure], object] | None = None) -> None:
        if not isinstance(name, str):
            raise errors.InvalidInput("An operation that is measured needs a name.", 'Give it as text: ("load").')
        self._name = name
        self._on_end = on_end
        self._last: Operation | None = None

    def __enter__(self) -> Operation:
        self._last = operation = Operation(self, self._name, _innermost())
        _running.set(operation)
        return operation

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        operation = self._own()
        if operation is None:
            return
        operation._end(kind)
        _running.set(_innermost())
        if self._on_end:
            self._on_end(_measure(operation))

    def __call__(self, function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        """The function, each call of it measured."""
        name = getattr(function, "__qualname__", function)
        for is_kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            if is_kind(function):
                raise errors.InvalidInput(
                    f"A call of {name} returns before its work is done, so it can't be measured.",
                    "Measure inside of it, by `with`.",
                )

        @functools.wraps(function)
        def measured(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            with self:
                return function(*args, **kwargs)

        return measured

    def _own(self) -> Operation | None:
        """The innermost operation of this tracker that runs here; else the last, which another thread has begun."""
        operation = _running.get()
        while operation is not None and operation._tracker is not self:
            operation = operation._parent
        return operation or (self._last if self._last and self._last.ok is None else None)


def _innermost() -> Operation | None:
    """The operation that runs here. One around it may be over before it: that of a generator, or of another task."""
    operation = _running.get()
    while operation is not None and operation._tracker is None:
        operation = operation._parent
    return operation


def _figures() -> tuple[float, float, int]:
    return time.perf_counter(), time.process_time(), events.peak_memory()


def _measure(operation: Operation) -> Measure:
    return Measure(
        operation.name,
        operation.path,
        operation.started,
        operation.wall,
        operation.cpu,
        operation.peak_memory,
        operation.memory_growth,
        operation.ok is True,
        operation.error,
    )


def document(measure: Measure) -> dict[str, Any]:
    """A measure in JSON, as it stands in the `detail` of an event."""
    return {
        "name": measure.name,
        "path": list(measure.path),
        "started_at": datetime.fromtimestamp(measure.started, timezone.utc).isoformat(),
        "wall_s": round(measure.wall, 9),
        "cpu_s": round(measure.cpu, 9),
        "peak_memory_bytes": measure.peak_memory,
        "memory_growth_bytes": measure.memory_growth,
        "ok": measure.ok,
        "error": measure.error,
    }


def record(root: Path, measure: Measure) -> None:
    """Keep a measure among the events of the project in `root`; where `.daglab/` is missing nothing is kept.

    Raises nothing when it can't be written: that is one warning.
    """
    event = events.Event(COMMAND, target=measure.name, detail=document(measure))
    at = datetime.fromtimestamp(measure.started, timezone.utc)
    events.append(root, event, at, measure.wall, exit_code=0 if measure.ok else 1)


def read(root: Path, name: str | None = None, last: int = 20) -> list[Measure]:
    """The last measures that the project in `root` has kept, of the operations of this name or of all, oldest first."""
    found: list[Measure] = []
    for line in events.newest(root, COMMAND) if last > 0 else ():
        with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):  # somebody else may have written it
            measure = _parse(line["detail"])
            if name in (None, measure.name):
                found.append(measure)
                if len(found) == last:
                    break
    return found[::-1]


def _parse(detail: Mapping[str, Any]) -> Measure:
    """The measure that `document` has made this of. Raises one of several errors when it is something else."""
    wall, cpu = float(detail["wall_s"]), float(detail["cpu_s"])
    if not (math.isfinite(wall) and math.isfinite(cpu)):
        raise ValueError("not a number of seconds")
    return Measure(
        str(detail["name"]),
        tuple(map(str, detail["path"])),
        datetime.fromisoformat(detail["started_at"]).timestamp(),
        wall,
        cpu,
        int(detail["peak_memory_bytes"]),
        int(detail["memory_growth_bytes"]),
        detail["ok"] is True,
        None if detail["error"] is None else str(detail["error"]),
    )


@dataclass(frozen=True)
class Trend:
    """How an operation's wall times go.

    `count` measures, of which `failures` did not end well. The times are seconds and of the others alone, for what
    fails is often fast: their `mean`, median (`p50`) and 95th percentile (`p95`). `ratio` is the last of them over the
    median of those before. None where there is nothing to tell it by.
    """

    count: int
    failures: int
    mean: float | None
    p50: float | None
    p95: float | None
    ratio: float | None


def trend(measures: Sequence[Measure]) -> Trend:
    """The trend of measures of one operation, oldest first."""
    times = [measure.wall for measure in measures if measure.ok]
    before = quantile(sorted(times[:-1]), 0.5)
    return Trend(
        len(measures),
        len(measures) - len(times),
        math.fsum(times) / len(times) if times else None,
        quantile(sorted(times), 0.5),
        quantile(sorted(times), 0.95),
        times[-1] / before if before else None,
    )


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which this share of the ordered ones lies, between two of them in proportion; None of none."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


@dataclass(frozen=True)
class Memory:
    """Memory in bytes: what this process has now (`resident`), its `peak` since its start, and the machine's."""

    resident: int
    peak: int
    total: int
    available: int


@dataclass(frozen=True)
class Resources:
    """What this process and the machine use.

    `cpu_percent` is of one core (400 is four of them), `system_cpu_percent` of all cores together; both since the last
    look, None at the first. `load` is the average over 1, 5 and 15 minutes. `threads` are this process's; the bytes of
    the disk are those of the folder that was asked for, `disk_free` what this user may still write.
    """

    cpu_percent: float | None
    system_cpu_percent: float | None
    load: tuple[float, float, float]
    memory: Memory
    threads: int
    disk_total: int
    disk_free: int


@dataclass(frozen=True)
class _CpuTimes:
    """Seconds: by the clock; of this process's CPU; of all cores together; and those of them that were idle."""

    wall: float
    process: float
    system: float
    idle: float


_look_lock = threading.Lock()
_last_look: _CpuTimes | None = None


def memory_usage() -> Memory:
    """The memory of this process and of the machine. Raises `NotSetUp` without psutil, which comes with marimo."""
    psutil = _psutil()
    machine = psutil.virtual_memory()
    resident = int(psutil.Process().memory_info().rss)
    peak = max(resident, events.peak_memory())  # the system counts the peak less exactly
    return Memory(resident, peak, int(machine.total), int(machine.available))


def resource_usage(folder: Path) -> Resources:
    """What this process and the machine use, and the disk that `folder` lies on.

    Raises `NotSetUp` without psutil, which comes with marimo, and `InvalidInput` for a folder that is not there.
    """
    psutil = _psutil()
    try:
        disk = shutil.disk_usage(folder)
    except OSError as error:
        raise errors.InvalidInput(
            f"The disk of {folder} can't be asked about: {error.strerror}.", "Name a folder that is there."
        ) from error
    process, system = _cpu_percents(psutil)
    threads = psutil.Process().num_threads()
    return Resources(process, system, os.getloadavg(), memory_usage(), threads, disk.total, disk.free)


def _psutil() -> Any:
    try:
        import psutil
    except ImportError:
        raise errors.NotSetUp("psutil is not installed.", "It comes with marimo: pip install marimo") from None
    return psutil


def _cpu_percents(psutil: Any) -> tuple[float | None, float | None]:
    """psutil's own counts since the last look of the same thread; a dashboard answers from many."""
    global _last_look
    times = psutil.cpu_times()
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted in user and nice, too
    idle = times.idle + getattr(times, "iowait", 0.0)
    now = _CpuTimes(time.perf_counter(), time.process_time(), sum(times) - guests, idle)
    with _look_lock:
        last, _last_look = _last_look, now
    if last is None:
        return None, None
    wall, system = now.wall - last.wall, now.system - last.system
    return (
        100 * (now.process - last.process) / wall if wall > 0 else None,
        min(100.0, max(0.0, 100 * (1 - (now.idle - last.idle) / system))) if system > 0 else None,
    )

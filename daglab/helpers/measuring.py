"""What a notebook's own work costs, and what it keeps across restarts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from daglab import charts, errors, performance, state, state_files
from daglab.helpers import display
from daglab.settings import config

LONGEST_NAME = 200  # characters
HEADS = ("operation", "times", "failed", "mean", "median", "95 %", "last to median", "cpu", "peak memory")


@dataclass(frozen=True)
class Chart(display.Shown):
    """A chart: self-contained SVG, with the values where the mouse points."""

    svg: str
    title: str

    def html(self) -> str:
        """The SVG."""
        return self.svg

    def __str__(self) -> str:
        return f"{self.title} (a chart)"


@dataclass(frozen=True)
class Report(display.Shown):
    """Measured operations, oldest first: a table by name, and their times."""

    measures: tuple[performance.Measure, ...]

    def html(self) -> str:
        """The table, and a chart of the times."""
        if not self.measures:
            return '<p class="quiet">Nothing was measured yet.</p>'
        table = display.table(HEADS, self._rows())
        return f"<h3>Measured operations</h3>{table}{performance_chart(self.measures).svg}"

    def __str__(self) -> str:
        import tabulate

        rows = self._rows()
        return tabulate.tabulate(rows, headers=HEADS, disable_numparse=True) if rows else "Nothing was measured yet."

    def _rows(self) -> list[tuple[str, ...]]:
        rows = []
        for name, same in _by_name(self.measures).items():
            trend, last = performance.trend(same), same[-1]
            times = (display.seconds(value) for value in (trend.mean, trend.p50, trend.p95))
            ratio = "" if trend.ratio is None else f"{trend.ratio:.2f}"
            used = (display.seconds(last.cpu), display.size(last.peak_memory))
            rows.append((name, str(trend.count), str(trend.failures), *times, ratio, *used))
        return rows


@dataclass(frozen=True)
class MemoryUsage(performance.Memory, display.Shown):
    """Memory in bytes: this process's now and at its highest, the machine's in all and available."""

    def html(self) -> str:
        """A line."""
        return f"<p>{escape(str(self))}</p>"

    def __str__(self) -> str:
        machine = f"{display.size(self.available)} of {display.size(self.total)} available"
        return f"Memory: {display.size(self.resident)}, at its highest {display.size(self.peak)}; {machine}."


@dataclass(frozen=True)
class ResourceUsage(performance.Resources, display.Shown):
    """What this process and the machine use: percent, bytes, threads; see `performance.Resources`."""

    def html(self) -> str:
        """A table."""
        return "<h3>Resources</h3>" + display.table(("", "this process", "the machine"), self._rows())

    def __str__(self) -> str:
        return "\n".join(f"{name}: {own} / {machine}" for name, own, machine in self._rows())

    def _rows(self) -> list[tuple[str, str, str]]:
        memory = self.memory
        free = f"{display.size(self.disk_free)} of {display.size(self.disk_total)} free"
        return [
            ("CPU", _percent(self.cpu_percent), _percent(self.system_cpu_percent)),
            ("memory", display.size(memory.resident), f"{display.size(memory.available)} available"),
            ("threads", str(self.threads), f"load {self.load[0]:.2f}"),
            ("disk", "", free),
        ]


@dataclass(frozen=True)
class Known(display.Shown):
    """What a notebook has kept of the run that it launched last."""

    text: str

    def html(self) -> str:
        """The text as it was kept."""
        return f"<h3>The last known run</h3><pre>{escape(self.text)}</pre>" if self.text else ""

    def __str__(self) -> str:
        return self.text


def manage_state(
    notebook: Path | str,
    *,
    defaults: Mapping[str, Any] | None = None,
    version: int = 1,
    migrations: Mapping[int, Callable[[dict[str, Any]], dict[str, Any] | None]] | None = None,
    validate: Callable[[dict[str, Any]], object] | None = None,
    directory: Path | str | None = None,
) -> state.State:
    """What a notebook (`manage_state(__file__)`) keeps across restarts, in its project, or the one around `directory`.

    Values are JSON. `defaults` stand for what was never stored; `migrations[n]` makes values of `version` n + 1 of
    those of n; `validate` raises, or gives back False or a text, for values that are not valid. Raises `DaglabError`
    for a version that can't be, and, when it is used, for a state that can't be read.
    """
    path = Path(notebook).absolute()
    root = state_files.project(path.parent if directory is None else Path(directory).absolute())
    if not path.name.isprintable() or not path.suffix or not root.is_dir():
        raise errors.InvalidInput(f"{str(notebook)!r} is no notebook of a project.", "Give its path: __file__")
    checks: dict[str, Any] = {"version": version, "migrations": migrations, "validate": validate}
    return state.manage(root, path, defaults=defaults, **checks)


def recovery(kept: state.State) -> Any:
    """What has happened to a notebook's state, and what helps, as a callout; nothing when all is well. Needs marimo."""
    import marimo

    try:
        kept.values  # noqa: B018 (that it can be read)
    except errors.DaglabError as problem:
        return display.callout(problem)
    return marimo.callout(kept.recovered, kind="warn") if kept.recovered else None


def last_known(kept: state.State) -> Known:
    """What a notebook's state holds as `known` of its last run, for when no Dagster answers."""
    try:
        return Known(str(kept.get("known") or ""))
    except errors.DaglabError:  # `recovery` says so
        return Known("")


def track_performance(name: str, *, directory: Path | str | None = None) -> performance.track:
    """Measure what is done in `with track_performance("load") as t:`; as a decorator, each call of a function.

    `t` has `wall` and `cpu` seconds, `peak_memory` and `memory_growth` in bytes. It is kept in the record of the
    project around `directory` (default: the current one), where there is one, for `performance_report` and `daglab
    stats`.
    """
    if isinstance(name, str) and len(name) > LONGEST_NAME:
        raise errors.InvalidInput(f"An operation's name has at most {LONGEST_NAME} characters.", "Give a shorter one.")
    root = config.project_root(None if directory is None else Path(directory))
    return performance.track(name, lambda measure: performance.record(root, measure))


def performance_report(name: str | None = None, *, last: int = 100, directory: Path | str | None = None) -> Report:
    """The last operations that `track_performance` has recorded in the project, of one name or of all."""
    root = config.project_root(None if directory is None else Path(directory))
    return Report(tuple(performance.read(root, name, last)))


def performance_chart(
    measures: Sequence[performance.Measure] | Mapping[str, Sequence[float]], *, title: str = "Time", unit: str = "s"
) -> Chart:
    """A chart of measured times, or of numbers by name in their order; `unit` is s, bytes, or nothing."""
    if isinstance(measures, Mapping):
        series = {name: [(float(at), value) for at, value in enumerate(row, 1)] for name, row in measures.items()}
        return Chart(charts.line(series, title=title, unit=unit), title)
    timed = {name: [(each.started, each.wall) for each in same] for name, same in _by_name(measures).items()}
    return Chart(charts.line(timed, title=title, unit=unit, times=True), title)


def get_memory_usage() -> MemoryUsage:
    """The memory of this process and of the machine, now, in bytes."""
    return MemoryUsage(**vars(performance.memory_usage()))


def resource_usage(folder: Path | str = ".") -> ResourceUsage:
    """CPU and memory of this process and the machine, and the disk that `folder` lies on.

    CPU is since the last look, so the first one has none. Raises `DaglabError` for a folder that is not there.
    """
    return ResourceUsage(**vars(performance.resource_usage(Path(folder))))


def _by_name(measures: Sequence[performance.Measure]) -> dict[str, list[performance.Measure]]:
    found: dict[str, list[performance.Measure]] = {}
    for measure in measures:
        found.setdefault(measure.name, []).append(measure)
    return found


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} %"

"""How it went before: the last runs with their times, and what the last materializations say, as charts and tables."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from statistics import median
from typing import Any

from daglab import charts
from daglab.deployment import entities, materializations, run_logs, run_records, runs
from daglab.helpers import client as deployment
from daglab.helpers import display

SEARCHED = 300  # of the newest runs; Dagster can't be asked for the runs of an asset
MOST_CHARTS = 6
MOST_ROWS = 8
MOST_ASSETS = 50
MOST_METRICS = 10  # assets; each is a request


@dataclass(frozen=True)
class History(display.Shown):
    """The last runs of a target, the newest first; `local` are times of runs in this process, in seconds."""

    client: deployment.Client = field(repr=False, compare=False)
    target: str
    runs: tuple[runs.Run, ...]
    local: tuple[float, ...] = ()

    @property
    def success_rate(self) -> float | None:
        """The part of the ended runs that were good, 0 to 1; None where none has ended."""
        ended = [run for run in self.runs if run.has_ended]
        return sum(run.status == "SUCCESS" for run in ended) / len(ended) if ended else None

    @property
    def times(self) -> list[tuple[float, float]]:
        """When each good run began (seconds since 1970), and how long it took; the oldest first."""
        good = [run for run in reversed(self.runs) if run.status == "SUCCESS"]
        return [(run.started, run.seconds) for run in good if run.started is not None and run.seconds is not None]

    def html(self) -> str:
        """The rate, the times over time, those of the steps, a table."""
        if not self.runs:
            return f'<p class="quiet">No run of {escape(self.target)} among the newest {SEARCHED}.</p>'
        drawn = charts.line({"runs": self.times}, title="Run time", unit="s", times=True) if self.times else ""
        rows = [
            (display.Link(runs.url(self.client.api, run.id), run.id[:8]), run.status.lower(), *_when(run))
            for run in self.runs[:MOST_ROWS]
        ]
        listed = display.table(("run", "status", "started", "took"), rows)
        drawn_all = display.side_by_side([drawn, self._steps(), self._beside()])
        return f"<h3>Last runs</h3><p>{escape(self._summary())}</p>{drawn_all}{listed}"

    def __str__(self) -> str:
        return self._summary() if self.runs else f"No run of {self.target} among the newest {SEARCHED}."

    def _summary(self) -> str:
        rate, took = self.success_rate, [seconds for _, seconds in self.times]
        said = f"The last {'run' if len(self.runs) == 1 else f'{len(self.runs)} runs'} of {self.target}"
        said += "" if rate is None else f": {rate:.0%} of those that have ended were good"
        return said + (f", with a median of {display.seconds(median(took))}." if took else ".")

    def _steps(self) -> str:
        """The times of the steps in the last good runs, side by side; one step says what the run says."""
        good = [run for run in self.runs if run.status == "SUCCESS"][:3]
        rows: dict[str, dict[str, float]] = {}
        for run in good:
            for step in run.steps:
                if step.seconds is not None:
                    rows.setdefault(step.key, {})[run.id[:8]] = step.seconds
        if len(rows) < 2:
            return ""
        return charts.bars(list(rows.items()), title="Steps of the last runs", unit="s")

    def _beside(self) -> str:
        """Deployed beside in-process; the time of a deployed run holds the start of its process."""
        took = [seconds for _, seconds in self.times]
        if not self.local or not took:
            return ""
        rows = [(self.target, {"deployed": median(took), "in this process": median(self.local)})]
        return charts.bars(rows, title="Deployed and in this process", unit="s")


@dataclass(frozen=True)
class Made(display.Shown):
    """The last materializations of an asset, the oldest first."""

    asset: str
    materializations: tuple[materializations.Materialization, ...]

    @property
    def numbers(self) -> dict[str, list[tuple[float, float]]]:
        """The numeric metadata by label: when (seconds since 1970), and the value."""
        found: dict[str, list[tuple[float, float]]] = {}
        for each in self.materializations:
            for label, value in each.metadata.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    found.setdefault(label, []).append((each.at, float(value)))
        return found

    def html(self) -> str:
        """A chart for each number, and what the newest says."""
        if not self.materializations:
            return f'<p class="quiet">{escape(self.asset)} was never materialized.</p>'
        drawn = [
            charts.line({label: points}, title=label, times=True)
            for label, points in list(self.numbers.items())[:MOST_CHARTS]
        ]
        newest = self.materializations[-1]
        head = f"<h3>{escape(self.asset)}</h3><p>{escape(_made(newest))}</p>"
        return head + display.side_by_side(drawn) + display.table(("metadata", "newest"), _told(newest.metadata))

    def __str__(self) -> str:
        if not self.materializations:
            return f"{self.asset} was never materialized."
        newest = self.materializations[-1]
        return "\n  ".join([f"{self.asset}: {_made(newest)}", *(f"{k}: {v}" for k, v in _told(newest.metadata))])


@dataclass(frozen=True)
class Metrics(display.Shown):
    """The numbers of several assets beside each other over their runs: a chart for each, and a table, newest first."""

    made: tuple[Made, ...]

    def html(self) -> str:
        """Charts and the table."""
        labels = self._labels()
        if not labels:
            return '<p class="quiet">No materialization holds a number yet.</p>'
        drawn = [
            charts.line({f"{asset}: {label}": made.numbers[label]}, title=f"{asset}: {label}", times=True)
            for asset, label, made in labels[:MOST_CHARTS]
        ]
        return "<h3>Metrics over runs</h3>" + display.side_by_side(drawn) + display.table(*self.table())

    def __str__(self) -> str:
        return "\n".join(map(str, self.made))

    def evaluation(self) -> Evaluation:
        """The last numbers beside those before."""
        return Evaluation(self.made)

    def table(self) -> tuple[list[str], list[list[object]]]:
        """A row for each run, the newest first, a column for each number."""
        labels = self._labels()
        by_run: dict[str, list[object]] = {}
        order: dict[str, float] = {}
        for column, (_, label, made) in enumerate(labels):
            for each in made.materializations:
                if label in each.metadata:
                    by_run.setdefault(each.run_id, [None] * len(labels))[column] = _short(each.metadata[label])
                    order[each.run_id] = max(each.at, order.get(each.run_id, 0.0))
        newest = sorted(by_run, key=lambda run: -order[run])[:MOST_ROWS]
        heads = ["run", "at", *(f"{asset}: {label}" for asset, label, _ in labels)]
        return heads, [[run[:8], display.moment(order[run]), *by_run[run]] for run in newest]

    def _labels(self) -> list[tuple[str, str, Made]]:
        return [(made.asset, label, made) for made in self.made for label in made.numbers]


@dataclass(frozen=True)
class Evaluation(display.Shown):
    """The numbers of the last materializations beside those before, a chart for each."""

    made: tuple[Made, ...]

    def html(self) -> str:
        """Bars, each number on a scale of its own."""
        drawn = [
            charts.bars([(label, figures)], title=f"{each.asset}: {label}")
            for each in self.made
            for label, figures in self._rows(each)
        ]
        none = '<p class="quiet">No materialization holds a number yet.</p>'
        return f"<h3>Evaluation</h3>{display.side_by_side(drawn[:MOST_CHARTS]) if drawn else none}"

    def __str__(self) -> str:
        return "\n".join(f"{each.asset}: {row}" for each in self.made for row in self._rows(each))

    @staticmethod
    def _rows(made: Made) -> list[tuple[str, dict[str, float]]]:
        """The last values by label, and those before of the same partition."""
        if not made.materializations:
            return []
        partition = made.materializations[-1].partition
        same = Made(made.asset, tuple(each for each in made.materializations if each.partition == partition))
        return [
            (label, dict(zip(("last", "before"), (value for _, value in points[:-3:-1]), strict=False)))
            for label, points in same.numbers.items()
        ]


@dataclass(frozen=True)
class Failures(display.Shown):
    """Runs that failed, and why; the newest first."""

    client: deployment.Client = field(repr=False, compare=False)
    runs: tuple[tuple[runs.Run, tuple[run_logs.Failure, ...]], ...]

    def html(self) -> str:
        """A table with a line for each failed step."""
        rows = [
            (
                display.Link(runs.url(self.client.api, run.id), run.id[:8]),
                display.moment(run.ended),
                each.step,
                each.error,
            )
            for run, failures in self.runs
            for each in failures
        ]
        table = display.table(("failed run", "at", "step", "error"), rows, empty="No failure among the last runs.")
        return f"<h3>Failures</h3>{table}"

    def __str__(self) -> str:
        lines = [f"{run.id[:8]} {each.step}: {each.error}" for run, failures in self.runs for each in failures]
        return "\n".join(lines or ["No failure among the last runs."])


@dataclass(frozen=True)
class Overview(display.Shown):
    """Assets with their newest materialization, and how many there are in all."""

    made: tuple[Made, ...]
    count: int

    def html(self) -> str:
        """A table, a row for each asset."""
        rest = self.count - len(self.made)
        more = f'<p class="quiet">And {rest} more.</p>' if rest else ""
        return display.table(("asset", "materialized", "partition", "metadata"), self._rows()) + more

    def __str__(self) -> str:
        return "\n".join(": ".join(map(str, row[:2])) for row in self._rows())

    def _rows(self) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        for each in self.made:
            newest = each.materializations[-1] if each.materializations else None
            told = ", ".join(f"{label} {value}" for label, value in _told(newest.metadata)[:3]) if newest else ""
            rows.append(
                (each.asset, display.moment(newest.at) if newest else "never", newest and newest.partition, told)
            )
        return rows


def recent_runs(
    client: deployment.Client,
    target: deployment.Target,
    *,
    limit: int = 10,
    local: Sequence[float] = (),
) -> History:
    """The last runs of a job, or of what holds any of the assets, with their steps; `limit` is at most 10.

    `local` are times of runs in this process, in seconds, to be shown beside. Raises `DaglabError` when nothing
    answers.
    """
    limit = max(1, min(limit, runs.FEW))
    name = deployment.name_of(target)
    if isinstance(target, entities.Job):
        newest = run_records.search(client.api, job=target.name, limit=SEARCHED)
        wanted = (record for record in newest if record.location in (None, target.location))
    else:
        names = {asset.name for asset in deployment.several(target)}
        newest = run_records.search(client.api, limit=SEARCHED)
        wanted = (record for record in newest if names & set(record.assets))
    records = list(itertools.islice(wanted, limit))  # a page at a time: no more is asked than that
    found = runs.status(client.api, [record.id for record in records]) if records else {}
    return History(client, name, tuple(found[record.id] for record in records), tuple(local))


def last_materializations(
    client: deployment.Client, asset: entities.Asset | str, *, limit: int = 20, partition: str | None = None
) -> Made:
    """The last materializations of an asset, of one partition where it is named. Raises `DaglabError`."""
    found = deployment.find_asset(client, asset) if isinstance(asset, str) else asset
    return Made(found.name, tuple(materializations.latest(client.api, found.key, max(1, limit), partition=partition)))


def metrics(client: deployment.Client, assets: Sequence[entities.Asset], *, limit: int = 20) -> Metrics:
    """The numbers that assets, 10 at most, told of themselves in their last materializations, to compare runs by."""
    return Metrics(tuple(last_materializations(client, asset, limit=limit) for asset in assets[:MOST_METRICS]))


def recent_failures(past: History, *, limit: int = 3) -> Failures:
    """Why the last of the runs that failed did, the newest first: one request for each. Raises `DaglabError`."""
    failed = [run for run in past.runs if run.status == "FAILURE"][:limit]
    return Failures(past.client, tuple((run, tuple(run_logs.failures(past.client.api, run.id))) for run in failed))


def overview(client: deployment.Client, assets: Sequence[entities.Asset]) -> Overview:
    """Assets beside each other, each with its newest materialization: one request an asset, for 50 of them at most."""
    return Overview(tuple(last_materializations(client, asset, limit=1) for asset in assets[:MOST_ASSETS]), len(assets))


def _when(run: runs.Run) -> tuple[str, str]:
    return display.moment(run.started), display.seconds(run.seconds)


def _made(newest: materializations.Materialization) -> str:
    of = f" (partition {newest.partition})" if newest.partition else ""
    return f"Materialized at {display.moment(newest.at)}{of} by run {newest.run_id[:8]}."


def _told(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(label, _short(value)) for label, value in metadata.items()]


def _short(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str("" if value is None else value)
    return text if len(text) <= 200 else f"{text[:199]}…"

"""The pictures of the dashboard: charts over time, usage, and the operations of a day in lanes. Inline SVG, escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from daglab import charts, scales, snapshot, svg
from daglab.exported import export_record

HOURS, DAYS = 48, 30
DAY = 86400.0
MOST_LANES = 12
MOST_COUNTERS = 3
BREADTH, HEIGHT = 1000.0, 20.0  # of a lane, in units of its own
NARROWEST = 3.0
_STYLE = re.compile(r'^(<svg[^>]*?) style="[^"]*"')  # the page's policy allows no style attributes


def over_time(series: Sequence[Mapping[str, Any]] | None, now: datetime) -> list[str]:
    """Charts of what was done: operations and requests by hour, operations and durations by day, usage by day.

    `series` is that of `figures.summary.collect`, by the hour.
    """
    if series is None:
        return []
    hours = _buckets(series, now, timedelta(hours=1), HOURS)
    days = _buckets(series, now, timedelta(days=1), DAYS)
    drawn = [
        charts.line(_counts(hours), title=f"Operations by hour, {HOURS} hours", times=True),
        charts.line(_counts(days), title=f"Operations by day, {DAYS} days", times=True),
        charts.line({"mean": _column(days, "seconds")}, title="How long one took, mean by day", unit="s", times=True),
        charts.line({"requests": _column(hours, "requests")}, title="Requests by hour", times=True),
    ]
    names = sorted({name for _, each in days for name in each["usage"]})
    for name in names[:MOST_COUNTERS]:
        points = [(at, each["usage"].get(name, 0)) for at, each in days]
        drawn.append(charts.line({name: points}, title=f"{name} by day", times=True))
    return [bare(each) for each in drawn]


def usage(figures: Mapping[str, Any] | None) -> list[str]:
    """A chart for each counter that models have used: a row for each model, a bar for each kind."""
    counters: dict[str, list[tuple[str, dict[str, float | None]]]] = {}
    for row in snapshot.by_model(figures):
        if row["model"]:
            kinds = {kind or "all": amount for kind, amount in row["kinds"].items()}
            counters.setdefault(row["name"], []).append((row["model"], kinds))
    some = list(counters.items())[:MOST_COUNTERS]
    return [bare(charts.bars(rows, title=f"{name} by model and kind")) for name, rows in some]


def lanes(operations: Sequence[Mapping[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """The operations of the last day by command, the most frequent first: `name, told, svg`."""
    end = now.timestamp()
    found: dict[str, list[tuple[float, Mapping[str, Any]]]] = {}
    for each in operations:
        at = export_record.time_of(each["at"])
        if at and end - DAY <= at.timestamp() <= end + 60:
            found.setdefault(each["command"], []).append((at.timestamp() - end + DAY, each))
    most = sorted(found.items(), key=lambda lane: (-len(lane[1]), lane[0]))[:MOST_LANES]
    return [{"name": name, **_lane(name, lane)} for name, lane in most]


def bare(drawn: str) -> str:
    """A chart without the style attribute of its own: the page has a sheet for it."""
    return _STYLE.sub(r'\1 class="chart"', drawn, count=1)


def _lane(name: str, lane: Sequence[tuple[float, Mapping[str, Any]]]) -> dict[str, str]:
    failed = sum(not each["ok"] for _, each in lane)
    told = f"{len(lane)}, {failed} failed" if failed else str(len(lane))
    marks = "".join(_mark(place, each) for place, each in sorted(lane, key=lambda pair: not pair[1]["ok"]))
    look: dict[str, str | float] = {"class": "lane", "preserveAspectRatio": "none"}
    words = f"{svg.one_line(name)}: {told} in 24 hours"
    return {"told": told, "svg": svg.root(marks, viewBox=f"0 0 {BREADTH:.0f} {HEIGHT:.0f}", aria_label=words, **look)}


def _mark(place: float, each: Mapping[str, Any]) -> str:
    """A bar from its begin to its end; one that failed is higher, too."""
    x = max(0.0, place / DAY * BREADTH)
    width = max(NARROWEST, (each["seconds"] or 0.0) / DAY * BREADTH)
    took = "" if each["seconds"] is None else f", {scales.figure(each['seconds'], 's')}"
    outcome = "ok" if each["ok"] else each["error_code"] or f"exit {each['exit_code']}"
    title = svg.title(svg.one_line(f"{each['at'][:19]} {each['command']} {each['target'] or ''}: {outcome}{took}"))
    top, height = (5.0, 10.0) if each["ok"] else (0.0, HEIGHT)
    shape: dict[str, str | float] = {"x": min(x, BREADTH - NARROWEST), "y": top, "height": height}
    return svg.tag("rect", title, width=min(width, BREADTH), **shape, **{"class": "good" if each["ok"] else "bad"})


def _counts(buckets: Sequence[tuple[float, Mapping[str, Any]]]) -> dict[str, list[charts.Broken]]:
    return {"all": _column(buckets, "n"), "failed": _column(buckets, "failed")}


def _column(buckets: Sequence[tuple[float, Mapping[str, Any]]], key: str) -> list[charts.Broken]:
    return [(at, each[key]) for at, each in buckets]


def _buckets(
    series: Sequence[Mapping[str, Any]], now: datetime, step: timedelta, count: int
) -> list[tuple[float, dict[str, Any]]]:
    """The sums of the last so many steps of time, those without anything, too; a mean is None there."""
    size = step.total_seconds()
    last = int(now.astimezone(timezone.utc).timestamp() // size)
    found: dict[int, dict[str, Any]] = {
        number: {"n": 0, "failed": 0, "requests": 0, "spent": 0.0, "usage": {}}
        for number in range(last - count + 1, last + 1)
    }
    for each in series:
        bucket = found.get(int(datetime.fromisoformat(each["at"]).timestamp() // size))
        if bucket is not None:
            for key in ("n", "failed", "requests"):
                bucket[key] += each[key]
            bucket["spent"] += (each["seconds_mean"] or 0.0) * each["n"]
            for name, amount in each["usage"].items():
                bucket["usage"][name] = bucket["usage"].get(name, 0) + amount
    return [
        (number * size, {**each, "seconds": each["spent"] / each["n"] if each["n"] else None})
        for number, each in found.items()
    ]

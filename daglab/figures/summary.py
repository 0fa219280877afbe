"""What was done in a period, in figures: one document, made of what the ledger has counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from daglab import errors, parse, scales
from daglab.figures import cells, ledger, months, values

Period = tuple[datetime | None, datetime | None]
BY = ("day", "command", "target")
SPREAD = ("mean", "p50", "p95", "p99")


def collect(
    root: Path, periods: Sequence[Period], by: str | None = None, step: str | None = None
) -> list[dict[str, Any]]:
    """A document for each period (since, until; the second not included; None is no bound), all from one pass.

    `by` is one of `BY`: what `groups` has a row for. `step` is "minute", "hour" or "day" (of UTC): what `series` has a
    row for, where anything happened. Times have a zone. docs/numbers.md says what the figures are.
    """
    ends = [tuple(None if end is None else months.text(end) for end in period) for period in periods]
    bounds = sorted({end for pair in ends for end in pair if end is not None})
    book = ledger.Ledger(bounds, step or ("day" if by == "day" else None))
    for path in months.paths(root):
        if any(months.touches(path.stem, since, until) for since, until in ends):
            book.read(path)
    return [_document(book, since, until, by, step) for since, until in ends]


def flaws(document: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each thing that a document could not count in full."""
    skipped = document["skipped"]
    if skipped["unreadable"]:
        yield f"{skipped['unreadable']} lines can't be read: `daglab doctor --deep` names them."
    if skipped["newer"]:
        yield f"{skipped['newer']} lines were written by a newer daglab, and are not counted."
    if skipped["files"]:
        yield f"{skipped['files']} files of .daglab/events can't be read: look at their permissions."
    if document["seconds"]["measured"] < document["seconds"]["n"]:
        yield "Older events are kept as sums of days: p50, p95 and p99 are of the others."


def spread(numbers: Mapping[str, Any], factor: float = 1) -> list[str]:
    """The `SPREAD` of durations for people, times `factor` in seconds; empty text for what was not measured."""
    return [scales.figure(numbers[name] * factor, "s") if numbers[name] is not None else "" for name in SPREAD]


def period(since: str | None, until: str | None) -> Period:
    """The period that a person has written, each end as `parse.since` reads it; None is no bound.

    Raises `WrongUsage` for what is no time, and for a period that ends before it begins.
    """
    first, last = _moment(since, "--since"), _moment(until, "--until")
    if first is not None and last is not None and last < first:
        raise errors.WrongUsage(f"--until {until} is before --since {since}.", "Give the earlier one to --since.")
    return first, last


def _moment(text: str | None, flag: str) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromtimestamp(parse.since(text, flag), timezone.utc)
    except (ValueError, OverflowError, OSError):  # 999999w ago was no year
        return datetime(1, 1, 1, tzinfo=timezone.utc)


def _document(
    book: ledger.Ledger, since: str | None, until: str | None, by: str | None, step: str | None
) -> dict[str, Any]:
    first = book.bounds.index(since) + 1 if since else 0
    after = book.bounds.index(until) + 1 if until else len(book.bounds) + 1
    slots = range(first, after)
    found = book.slot(slots)
    every = _merged(found.values())
    more, timed = every.more or cells.More(), every.milliseconds or values.Values()
    in_process = _merged(cell for (command, _), cell in found.items() if command == cells.IN_PROCESS).rest().runs
    deployed = _merged(cell for (command, _), cell in found.items() if command in cells.LAUNCHING).rest().runs
    exports = _merged(cell for (command, _), cell in found.items() if command == cells.EXPORT)
    asked = [book.months[name] for name in book.months if months.touches(name, since, until)]
    return {
        "since": since,
        "until": until,
        "last": every.last or None,
        "events": every.n,
        "failed": every.failed,
        "success_rate": _rate(every),
        "skipped": {
            "newer": sum(month.newer for month in asked),
            "unreadable": sum(month.unreadable for month in asked),
            "files": sum(month.unread is not None for month in asked),
        },
        "seconds": every.seconds.document(),
        "requests": {**timed.document(), "n": every.requests, "errors": every.request_errors},
        "runs": {"launched": deployed.launched, "ok": deployed.ok, "failed": deployed.failed},
        "commands": _rows(found, "command"),
        "targets": _rows(found, "target"),
        "assets": _ran(more, "asset"),
        "jobs": _ran(more, "job"),
        "errors": [{"code": code, "n": n} for code, n in sorted(more.errors.items(), key=_most)],
        "exports": {
            "n": exports.n,
            "failed": exports.failed,
            "bytes": more.bytes,
            "seconds": exports.seconds.document(),
            "newest": [
                dict(zip(("at", "notebook", "ok", "bytes"), each, strict=True)) for each in exports.rest().newest()
            ],
        },
        "in_process": _runs(in_process),
        "deployed": _runs(deployed),
        "usage": _usage(more),
        "groups": _groups(book, slots, found, by),
        "series": _series(book, slots, step) if step else [],
    }


def _merged(found: Iterable[cells.Cell]) -> cells.Cell:
    into = cells.Cell()
    for cell in found:
        into.add(cell)
    return into


def _rate(cell: cells.Cell) -> float | None:
    return (cell.n - cell.failed) / cell.n if cell.n else None


def _runs(runs: cells.Runs) -> dict[str, Any]:
    return {"n": runs.launched, "failed": runs.failed, "seconds": runs.seconds.document()}


def _most(item: tuple[str, Any]) -> tuple[int, str]:
    """What occurs most comes first; what occurs as often, by name."""
    name, n = item
    return -(n[0] if isinstance(n, list) else n), name


def _row(name: str, value: str, cell: cells.Cell) -> dict[str, Any]:
    runs = cell.more.runs if cell.more and name != "target" else None
    launched = {"runs": {"launched": runs.launched, "ok": runs.ok, "failed": runs.failed}} if runs else {}
    return {
        name: value,
        "n": cell.n,
        "failed": cell.failed,
        "success_rate": _rate(cell),
        "seconds": cell.seconds.document(),
        **launched,
    }


def _rows(found: ledger.Cells, name: str) -> list[dict[str, Any]]:
    """A row for each command, or each target that is not None."""
    place = ("command", "target").index(name)
    sorted_out: dict[str, list[cells.Cell]] = {}
    for key, cell in found.items():
        if (value := key[place]) is not None:
            sorted_out.setdefault(value, []).append(cell)
    rows = [_row(name, value, each[0] if len(each) == 1 else _merged(each)) for value, each in sorted_out.items()]
    return sorted(rows, key=lambda row: (-row["n"], row[name]))


def _ran(more: cells.More, kind: str) -> list[dict[str, Any]]:
    chosen = {name: n for name, n in more.ran.items() if name.startswith(f"{kind}:")}
    return [
        {kind: name.partition(":")[2], "n": n, "failed": failed}
        for name, (n, failed) in sorted(chosen.items(), key=_most)
    ]


def _usage(more: cells.More) -> list[dict[str, Any]]:
    return [
        {"name": name, "labels": dict(labels), "amount": amount.total(), "n": amount.n}
        for (name, labels), amount in sorted(more.usage.items(), key=lambda item: item[0])
    ]


def _groups(book: ledger.Ledger, slots: Iterable[int], found: ledger.Cells, by: str | None) -> list[dict[str, Any]]:
    if by == "day":
        return [_row("day", day, cell) for day, cell in _times(book, slots, "day")]
    return _rows(found, by) if by else []


def _series(book: ledger.Ledger, slots: Iterable[int], step: str) -> list[dict[str, Any]]:
    rows = []
    for at, cell in _times(book, slots, step):
        used: dict[str, cells.Amount] = {}
        for (name, _), amount in (cell.more.usage if cell.more else {}).items():
            used.setdefault(name, cells.Amount()).add(amount)
        rows.append(
            {
                "at": f"{at}{'T00:00:00+00:00'[len(at) - 10 :]}",
                "n": cell.n,
                "failed": cell.failed,
                "seconds_mean": cell.seconds.mean(),
                "requests": cell.requests,
                "usage": {name: amount.total() for name, amount in sorted(used.items())},
            }
        )
    return rows


def _times(book: ledger.Ledger, slots: Iterable[int], step: str) -> list[tuple[str, cells.Cell]]:
    """What was counted of each minute, hour or day that has anything, in their order."""
    wanted, length = set(slots), ledger.STEPS[step]
    found: dict[str, list[cells.Cell]] = {}
    for (slot, begin), cell in book.times.items():
        if slot in wanted:
            found.setdefault(begin[:length], []).append(cell)
    return [(at, each[0] if len(each) == 1 else _merged(each)) for at, each in sorted(found.items())]

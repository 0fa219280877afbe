"""The sums of a day: a line for each command and target, which stands for the events that it was made of."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from daglab.figures import cells, lines, values

KIND, VERSION = "day", 1
MOST_TARGETS = 200  # of a command on a day that have a line each; the others have one together
MOST_LABELS = 200  # sets of labels of a line; the others are added up under the name alone
MOST_RAN = 200  # assets and jobs of a line
Key = tuple[str, str | None]


def write(day: str, found: Mapping[Key, cells.Cell]) -> Iterator[str]:
    """The lines of a day, as 2026-11-01, without their ends, in an order that is always the same."""
    commands: dict[str, dict[str | None, cells.Cell]] = {}
    for (command, target), cell in found.items():
        commands.setdefault(command, {})[target] = cell
    for command, targets in sorted(commands.items()):
        kept, others = _bounded(targets)
        for target in sorted(kept, key=lambda target: (target is not None, target or "")):
            yield _text(_line(day, command, target, kept[target]))
        if others:
            together = cells.Cell()
            for _, cell in sorted(others.items()):
                together.add(cell)
            yield _text({**_line(day, command, None, together), "others": len(others)})


def read(line: Mapping[str, Any], month: str) -> tuple[str, Key, cells.Cell]:
    """The time, the command and target, and what was counted. Raises `NewerError`, or one of `lines.UNREADABLE`."""
    if line["kind"] != KIND:
        if type(line["kind"]) is str:
            raise lines.NewerError  # each kind has versions of its own
        raise ValueError("no kind")
    lines.check_version(line["version"])
    day, command, target = line["at"], line["command"], line["target"]
    if not (type(day) is type(command) is str and command and (target is None or type(target) is str)):
        raise TypeError("a field is of another type")
    if len(day) != 10 or day[4:5] != "-" or day[7:8] != "-" or not day.startswith(month):
        raise ValueError("it is of another month")
    at = f"{day}T00:00:00.000+00:00"
    datetime.fromisoformat(at)
    cell = cells.Cell()
    cell.last = at
    _fill(cell, line)
    return at, (command, target), cell


def _fill(cell: cells.Cell, line: Mapping[str, Any]) -> None:
    count = lines.count
    _sums(cell.seconds, count(line["n"]), line["seconds"])
    cell.failed = count(line["failed"])
    requests, runs = line["requests"], line["runs"]
    cell.requests, cell.request_errors = count(requests["n"]), count(requests["errors"])
    if count(requests["timed"]):
        _sums(cell.timed(), requests["timed"], requests["ms"])
    more = cell.rest()
    for code, n in line["errors"].items():
        more.errors[code] = count(n)
    more.runs.launched, more.runs.ok, more.runs.failed = (count(runs[name]) for name in ("launched", "ok", "failed"))
    _sums(more.runs.seconds, count(runs["timed"]), runs["seconds"])
    for name, (n, failed) in line["ran"].items():
        more.run(name, count(n), count(failed))
    more.bytes = count(line["bytes"])
    if type(line["usage"]) is not list or cell.failed > cell.n:
        raise ValueError("no sums")
    for used in line["usage"]:
        name, whole = used["name"], used["whole"]
        if type(name) is not str or not name or type(whole) is not int or abs(whole) > lines.MOST_USED:
            raise ValueError("no usage")
        amount = cells.Amount()
        amount.n, amount.whole, amount.floats = count(used["n"]), whole, _floats(used["sum"])
        more.usage.setdefault((name, lines.named_labels(used["labels"])), cells.Amount()).add(amount)


def _sums(into: values.Values, n: int, given: object) -> None:
    into.others, into.sums = n, _floats(given)


def _floats(given: object) -> list[float]:
    """What `values.exact_sum` has made."""
    if type(given) is not list or not all(type(each) is float and abs(each) < lines.MOST_USED for each in given):
        raise ValueError("no sum")
    return given


def _line(day: str, command: str, target: str | None, cell: cells.Cell) -> dict[str, Any]:
    more, timed = cell.more or cells.More(), cell.milliseconds or values.Values()
    return {
        "kind": KIND,
        "version": VERSION,
        "at": day,
        "command": command,
        "target": target,
        "n": cell.n,
        "failed": cell.failed,
        "seconds": cell.seconds.exact_sum(),
        "requests": {"n": cell.requests, "errors": cell.request_errors, "timed": len(timed), "ms": timed.exact_sum()},
        "errors": dict(sorted(more.errors.items())),
        "runs": {
            "launched": more.runs.launched,
            "ok": more.runs.ok,
            "failed": more.runs.failed,
            "timed": len(more.runs.seconds),
            "seconds": more.runs.seconds.exact_sum(),
        },
        "ran": {name: more.ran[name] for name in sorted(_largest(more.ran, MOST_RAN, lambda each: each[0]))},
        "bytes": more.bytes,
        "usage": _usage(more),
    }


def _usage(more: cells.More) -> list[dict[str, Any]]:
    kept = _largest(more.usage, MOST_LABELS, lambda amount: amount.n)
    found: dict[tuple[str, cells.Labels], cells.Amount] = {}
    for (name, labels), amount in more.usage.items():
        key = (name, labels if (name, labels) in kept else ())
        found.setdefault(key, cells.Amount()).add(amount)
    return [
        {
            "name": name,
            "labels": dict(labels),
            "n": amount.n,
            "whole": amount.whole,
            "sum": values.exact_sum(amount.floats),
        }
        for (name, labels), amount in sorted(found.items(), key=lambda item: item[0])
    ]


def _bounded(
    targets: Mapping[str | None, cells.Cell],
) -> tuple[dict[str | None, cells.Cell], dict[str, cells.Cell]]:
    """Those targets that have a line each, none at all among them, and the others."""
    named = {target: cell for target, cell in targets.items() if target is not None}
    kept = _largest(named, MOST_TARGETS, lambda cell: cell.n)
    others = {target: cell for target, cell in named.items() if target not in kept}
    return {target: cell for target, cell in targets.items() if target is None or target in kept}, others


def _largest(found: Mapping[Any, Any], most: int, size: Any) -> set[Any]:
    """The keys of the largest, at most so many; of those of one size, the first ones."""
    if len(found) <= most:
        return set(found)
    return set(heapq.nsmallest(most, found, key=lambda key: (-size(found[key]), key)))


def _text(line: Mapping[str, Any]) -> str:
    """As ASCII: halves of letters, which UTF-8 has no form for, come back as they were."""
    return json.dumps(line, separators=(",", ":"))

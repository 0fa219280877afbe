"""Figures in the forms that other programs read: Prometheus text, CSV, Markdown.

The document is that of `summary.collect`. What comes of it holds no time of now, so that a file written again by cron
changes only when something was done.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from daglab import sheets

MOST_SERIES = 500  # of one family: who reads them keeps each for ever
OWN_LABELS = frozenset({"name", "command", "code", "quantile", "reason"})
QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}
_UNSEEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffd]")
Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels, float]


@dataclass(frozen=True)
class Family:
    """Figures of one kind: its name, Prometheus' type, what it is, and samples (the name's suffix, labels, value)."""

    name: str
    type: str
    help: str
    samples: tuple[Sample, ...]


def families(document: Mapping[str, Any]) -> list[Family]:
    """Everything that is counted in a document, in base units: seconds, bytes."""
    commands, runs, exports = document["commands"], document["runs"], document["exports"]
    in_process, requests = document["in_process"], document["requests"]
    last = document.get("last")
    return [
        _counter("events", "Operations recorded.", _by("command", commands, "n")),
        _counter("events_failed", "Operations that did not end well.", _by("command", commands, "failed")),
        _counter("errors", "Operations that failed, by the code of the error.", _by("code", document["errors"], "n")),
        Family(
            "daglab_operation_seconds",
            "summary",
            "How long operations took.",
            tuple(
                sample
                for row in commands[:MOST_SERIES]
                for sample in _summary((("command", row["command"]),), row["seconds"], 1.0)
            ),
        ),
        Family(
            "daglab_request_seconds",
            "summary",
            "How long requests to servers took.",
            tuple(_summary((), {**requests, "n": requests["n"] - requests["errors"]}, 0.001)),
        ),
        _counter("request_errors", "Requests without a good answer.", _one(requests["errors"])),
        _counter("runs_launched", "Runs launched on a deployment.", _one(runs["launched"])),
        _counter("runs_succeeded", "Runs that were followed to a good end.", _one(runs["ok"])),
        _counter("runs_failed", "Runs that were followed to a bad end.", _one(runs["failed"])),
        _counter("in_process_runs", "Runs in a notebook's own process.", _one(in_process["n"])),
        _counter("in_process_runs_failed", "Those of them that failed.", _one(in_process["failed"])),
        _counter("exports", "Notebooks exported.", _one(exports["n"])),
        _counter("exports_failed", "Exports that did not end well.", _one(exports["failed"])),
        _counter("exported_bytes", "Bytes of exports.", _one(exports["bytes"])),
        _counter("usage", "What was used, as it was recorded.", _usage(document["usage"])),
        _counter(
            "lines_skipped",
            "Lines of the record that were not counted.",
            [(((("reason", reason),)), float(document["skipped"][reason])) for reason in ("newer", "unreadable")],
        ),
        Family(
            "daglab_last_event_timestamp_seconds",
            "gauge",
            "When the last operation began.",
            (("", (), _timestamp(last)),) if last else (),
        ),
    ]


def text(document: Mapping[str, Any]) -> str:
    """Prometheus' text format, version 0.0.4."""
    lines = []
    for family in families(document):
        if family.samples:
            lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.type}"]
            lines += [f"{family.name}{suffix}{_labels(labels)} {value!r}" for suffix, labels, value in family.samples]
    return "\n".join(lines) + "\n"


def csv_text(document: Mapping[str, Any]) -> str:
    """A row for each figure: `at` (empty for the whole period), `metric`, `labels` (a=b;c=d), `value`.

    What a spreadsheet would take for a formula begins with an apostrophe.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("at", "metric", "labels", "value"))
    for family in families(document):
        for suffix, labels, value in family.samples:
            told = ";".join(f"{name}={_plain(label)}" for name, label in labels)
            writer.writerow(("", f"{family.name}{suffix}", sheets.cell(told), _number(value)))
    for row in document["series"]:
        for name, key in (("events", "n"), ("events_failed", "failed"), ("requests", "requests")):
            writer.writerow((row["at"], f"daglab_{name}", "", row[key]))
        for name, amount in row["usage"].items():
            writer.writerow((row["at"], "daglab_usage_total", sheets.cell(f"name={_plain(name)}"), amount))
    return buffer.getvalue()


def markdown(document: Mapping[str, Any]) -> str:
    """A report with a table for each kind of figure."""
    seconds, requests, runs, exports = (document[name] for name in ("seconds", "requests", "runs", "exports"))
    parts = [
        "# What was done\n",
        f"From {document['since'] or 'the beginning'} to {document['until'] or document.get('last') or 'now'}.\n",
        sheets.markdown(
            ("figure", "value"),
            [
                ("operations", document["events"]),
                ("failed", document["failed"]),
                *((f"seconds, {name}", seconds[name]) for name in ("mean", *QUANTILES)),
                ("requests", requests["n"]),
                ("requests that failed", requests["errors"]),
                *((f"milliseconds of a request, {name}", requests[name]) for name in ("mean", *QUANTILES)),
                ("runs launched", runs["launched"]),
                ("runs that succeeded", runs["ok"]),
                ("runs that failed", runs["failed"]),
                ("exports", exports["n"]),
                ("bytes of exports", exports["bytes"]),
            ],
        ),
        _section(
            "Commands",
            ("command", "n", "failed", "mean s", "p95 s"),
            [
                (row["command"], row["n"], row["failed"], row["seconds"]["mean"], row["seconds"]["p95"])
                for row in document["commands"]
            ],
        ),
        _section("Errors", ("code", "n"), [(row["code"], row["n"]) for row in document["errors"]]),
        _section(
            "Usage",
            ("name", "labels", "amount"),
            [
                (row["name"], ", ".join(f"{name}={label}" for name, label in row["labels"].items()), row["amount"])
                for row in document["usage"]
            ],
        ),
        _section(
            "Over time",
            ("at", "n", "failed", "mean s", "requests"),
            [(row["at"], row["n"], row["failed"], row["seconds_mean"], row["requests"]) for row in document["series"]],
        ),
    ]
    return "\n".join(filter(None, parts))


def _counter(name: str, help: str, samples: Iterable[tuple[Labels, float]]) -> Family:  # noqa: A002 (Prometheus' word)
    return Family(f"daglab_{name}_total", "counter", help, tuple(("", labels, value) for labels, value in samples))


def _one(value: float) -> list[tuple[Labels, float]]:
    return [((), float(value))]


def _by(label: str, rows: Iterable[Mapping[str, Any]], what: str) -> list[tuple[Labels, float]]:
    """A sample a row; the rows come with the most frequent first, and those beyond `MOST_SERIES` are left out."""
    found: list[tuple[Labels, float]] = [(((label, row[label]),), float(row[what])) for row in rows]
    return found[:MOST_SERIES]


def _summary(labels: Labels, seconds: Mapping[str, Any], factor: float) -> Iterator[Sample]:
    for name, quantile in QUANTILES.items():
        if seconds[name] is not None:
            yield "", (*labels, ("quantile", quantile)), seconds[name] * factor
    yield "_sum", labels, seconds["sum"] * factor
    yield "_count", labels, float(seconds["n"])


def _usage(rows: Iterable[Mapping[str, Any]]) -> list[tuple[Labels, float]]:
    """Amounts by name and labels. To Prometheus a label without text is none."""
    found: dict[Labels, float] = {}
    for row in sorted(rows, key=lambda row: -row["n"]):
        labels = ((_label_name(name), str(value)) for name, value in row["labels"].items() if value != "")
        key = (("name", row["name"]), *sorted(labels))
        if key in found or len(found) < MOST_SERIES:
            found[key] = found.get(key, 0.0) + row["amount"]
    return sorted(found.items())


def _label_name(name: str) -> str:
    """A label's name as Prometheus takes it, of each name another one.

    One that it does not take, or that it or we use ourselves, is written as Prometheus' own escaping by values does:
    `U__`, an underscore twice, what else is no letter or digit by its number, as in `U__a_2d_b`.
    """
    if re.fullmatch("(?!__|U__)[a-zA-Z_][a-zA-Z0-9_]*", name) and name not in OWN_LABELS:
        return name
    kept = re.sub(r"_|[^a-zA-Z0-9]|^[0-9]", lambda hit: "__" if hit[0] == "_" else f"_{ord(hit[0]):x}_", name)
    return f"U__{kept}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    """A label's value in quotes, of each value another one. What ends a line for some readers stands by its number."""
    plain = _UNSEEN.sub(lambda hit: f"\N{REPLACEMENT CHARACTER}{ord(hit[0]):04x}", value)
    return plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _plain(label: str) -> str:
    """A label in CSV, which may not look like a formula or like two labels."""
    return re.sub(r"[;=\r\n]", " ", label)


def _number(value: float) -> float | int:
    return int(value) if value == int(value) and abs(value) < 1e15 else value


def _timestamp(at: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(at).timestamp()


def _section(title: str, headers: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    return f"## {title}\n\n{sheets.markdown(headers, rows)}" if rows else ""

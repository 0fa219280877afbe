"""What a project has on record, as files for a spreadsheet, another program or a report: CSV, JSON, Markdown."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from daglab import events, files, json_lines, output, parse, redaction, scales, sheets
from daglab.exported import export_record
from daglab.figures import months, summary
from daglab.settings import config, config_keys

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s\"'<>]+")
_LONGEST = 1e15  # milliseconds of a request; what is more was never measured
# What neither names a secret nor is a formula: most cells are such, and there are many of them.
_PLAIN = re.compile(r"\w[\w./ ,]*|\d{4}-\d\d-\d\dT[\d:.+-]+|", re.ASCII)
Row = Mapping[str, Any]
COLUMNS = {
    "events.csv": (
        *("at", "id", "command", "target", "ok", "exit_code", "error_code", "seconds", "runs"),
        *("requests", "request_errors", "request_ms_mean", "bytes", "rss_peak"),
    ),
    "runs.csv": ("at", "run_id", "command", "target", "ok", "exit_code", "operation"),
    "usage.csv": ("at", "name", "amount", "labels", "command", "target", "operation"),
    "exports.csv": (
        *("exported_at", "id", "notebook", "output", "ok", "targets", "partition", "link", "bytes", "sha256"),
        *("seconds", "expires_at", "uploaded", "removed_at"),
    ),
    "metrics.csv": ("day", "events", "failed", "seconds_mean", "requests", "usage"),
}


def write(settings: config.Config, folder: Path) -> list[dict[str, Any]]:
    """Write all of it into a folder: each file's path, its bytes, and of tables how many rows.

    Each file is whole or as it was before, and the same again when nothing was done since. No secret is in them: what
    looks like one is masked, and addresses lose their queries. Raises `InvalidInput` when a file can't be written.
    """
    root = settings.root
    files.make_folder(folder)
    counted: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        rows = {name: stack.enter_context(_table(folder / name, columns, counted)) for name, columns in COLUMNS.items()}
        for line in lines(root):
            for name, each in _of_event(line):
                rows[name](each)
        for each in _exports(root):
            rows["exports.csv"](each)
        [figures] = summary.collect(root, [(None, None)], step="day")
        for each in figures["series"]:
            rows["metrics.csv"]({**each, "day": each["at"][:10], "events": each["n"]})
    shown = {name: settings.shown(name) for name in config_keys.known()}
    texts = {
        "config.json": output.json_text({"file": settings.file and str(settings.file), "values": _without(shown)}),
        "summary.md": _summary(root.name, figures, counted),
    }
    for name, text in texts.items():
        content = (output.clean(text).rstrip("\n") + "\n").encode("utf-8", "backslashreplace")
        files.write_atomic(folder / name, content, mode=0o600, follow=False)
    names = sorted((*COLUMNS, *texts))
    return [
        {"path": str(folder / name), "bytes": (folder / name).stat().st_size, "rows": counted.get(name)}
        for name in names
    ]


def lines(root: Path) -> Iterator[dict[str, Any]]:
    """The events on record, oldest first; what is torn, foreign, of another version, or a day's sum is left out."""
    for path in months.paths(root):
        with contextlib.suppress(OSError):
            for text in months.lines(months.blocks(path)):
                line = json_lines.parsed(text) if text else None
                if line and line.get("v") == events.VERSION and "command" in line:
                    yield line


def without_secrets(text: str) -> str:
    """Text without secrets, the queries of addresses cut off: one that is signed opens what it leads to."""
    if "://" in text:
        text = _ADDRESS.sub(lambda hit: parse.display_url(hit[0]), text)
    return output.clean(redaction.masked_text(text))


def _of_event(line: Row) -> Iterator[tuple[str, Row]]:
    """The rows that an event has in the tables."""
    requests = line.get("requests")
    asked = requests if isinstance(requests, dict) else {}
    times = [each for each in _list(asked.get("ms")) if isinstance(each, (int, float)) and 0 <= each < _LONGEST]
    yield (
        "events.csv",
        {
            **line,
            "runs": _list(line.get("runs")),
            "requests": asked.get("n"),
            "request_errors": asked.get("errors"),
            "request_ms_mean": round(sum(times) / len(times), 3) if times else None,
        },
    )
    own = {**line, "operation": line.get("id")}
    for run in _list(line.get("runs")):
        yield "runs.csv", {**own, "run_id": run}
    for used in _list(line.get("usage")):
        if isinstance(used, dict):
            yield "usage.csv", {**own, **{name: used.get(name) for name in ("name", "amount", "labels")}}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _exports(root: Path) -> Iterator[Row]:
    removed = {}
    with contextlib.suppress(OSError):
        for line in json_lines.read(root / export_record.FILE):
            if isinstance(line.get("expired"), str) and "kept" not in line:
                removed[line["expired"]] = line.get("at")
    for line in export_record.read(root):
        upload = line.get("upload")
        uploaded = upload.get("address") if isinstance(upload, dict) else None
        yield {**line, "uploaded": uploaded, "removed_at": removed.get(line["id"])}


@contextlib.contextmanager
def _table(path: Path, columns: Sequence[str], counted: dict[str, int]) -> Iterator[Callable[[Row], None]]:
    """Write rows to a file that takes its name when all are written; what is given takes one."""
    counted[path.name] = 0
    with files.replacing(path, mode=0o600, follow=False) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)

        def add(row: Row) -> None:
            writer.writerow([_cell(row.get(column)) for column in columns])
            counted[path.name] += 1

        yield add
        text.detach()  # it has written all by then


def _cell(value: Any) -> str:
    """A cell; of a mapping, a key that names a secret masks its value."""
    if isinstance(value, (int, float)) or value is None:
        return sheets.cell(value)
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    elif not isinstance(value, str):
        value = sheets.cell(redaction.masked(value)).removeprefix("'")
    return value if _PLAIN.fullmatch(value) and not redaction.occurs(value) else _told(value)


@functools.lru_cache(maxsize=1 << 12)
def _told(text: str) -> str:
    """What is the same in many rows is looked through once."""
    return sheets.cell(without_secrets(text))


def _without(value: Any) -> Any:
    """Values of the config without secrets; addresses keep their path alone."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {key: _without(each) for key, each in redaction.masked(value).items()}
    return [_without(each) for each in value] if isinstance(value, (list, tuple)) else value


def _summary(name: str, figures: Row, counted: Row) -> str:
    rate = figures["success_rate"]
    took, runs, exports = figures["seconds"], figures["runs"], figures["exports"]
    facts = [
        ("Operations", f"{figures['events']}, {figures['failed']} failed"),
        ("Success rate", "" if rate is None else f"{rate:.1%}"),
        ("Time of an operation", _times(took)),
        ("Runs launched", f"{runs['launched']}, {runs['ok']} succeeded, {runs['failed']} failed"),
        ("Exports", f"{exports['n']}, {exports['failed']} failed, {scales.figure(exports['bytes'], 'bytes')}"),
    ]
    skipped = figures["skipped"]
    parts = [
        f"# {sheets.plain(without_secrets(name))}\n",
        _markdown(("What", "How much"), facts),
        "## Commands\n",
        _markdown(
            ("Command", "Times", "Failed", "Time"),
            [(each["command"], each["n"], each["failed"], _times(each["seconds"])) for each in figures["commands"]],
        ),
        "## Errors\n",
        _markdown(("Code", "Times"), [(each["code"], each["n"]) for each in figures["errors"]]),
        "## Usage\n",
        _markdown(
            ("Name", "Labels", "Amount"),
            [(each["name"], sheets.cell(each["labels"]), each["amount"]) for each in figures["usage"]],
        ),
        "## Files\n",
        _markdown(("File", "Rows"), sorted(counted.items())),
        f"Left out: {skipped['newer']} lines of a newer daglab, {skipped['unreadable']} that can't be read.",
    ]
    return "\n".join(parts)


def _times(took: Row) -> str:
    if not took["n"] or took["mean"] is None:
        return ""
    ends = [("mean", took["mean"]), ("p95", took.get("p95"))]
    return ", ".join(f"{name} {scales.figure(value, 's')}" for name, value in ends if value is not None)


def _markdown(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return sheets.markdown(
        headers, ([without_secrets(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    )

"""`daglab metrics`: counters, latencies and how they go over time, for people, files and Prometheus."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, files, output, scales
from daglab.figures import exposition, ledger, retention, summary
from daglab.settings import config

STEPS = list(ledger.STEPS)
FORMATS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "json": lambda document: json.dumps(document, ensure_ascii=False, indent=1) + "\n",
    "csv": exposition.csv_text,
    "markdown": exposition.markdown,
    "prometheus": exposition.text,
}
BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-=*#"
MOST_BARS = 60  # columns
MOST_ROWS = 20  # of a table that has a row for each point in time


def figures(root: Path, since: str | None, until: str | None, step: str | None = None) -> dict[str, Any]:
    """The document of a period, which `since` and `until` name as a person writes them."""
    return summary.collect(root, [summary.period(since, until)], step=step)[0]


def bars(values: Sequence[float], letters: str) -> str:
    """Values as a line of letters, the lowest for zero; what is too long is cut to the newest."""
    shown = values[-MOST_BARS:]
    top = max(shown, default=0) or 1
    return "".join(letters[min(int(value / top * (len(letters) - 1) + 0.5), len(letters) - 1)] for value in shown)


def by_label(usage: Sequence[Mapping[str, Any]], by: str) -> list[dict[str, Any]]:
    """What was used, summed by its name and one of its labels (or by its name alone), the most first."""
    found: dict[tuple[str, str | None], list[Any]] = {}
    for row in usage:
        known = found.setdefault((row["name"], None if by == "name" else row["labels"].get(by)), [0, 0])
        known[0] += row["amount"]
        known[1] += row["n"]
    rows = [
        {"name": name, **({} if by == "name" else {by: label}), "amount": amount, "n": n}
        for (name, label), (amount, n) in found.items()
    ]
    return sorted(rows, key=lambda row: (row["name"], -row["amount"], str(row.get(by))))


def show(document: Mapping[str, Any], step: str) -> None:
    """Print the figures as tables."""
    seconds, requests, runs = document["seconds"], document["requests"], document["runs"]
    output.table(
        [
            ("operations", document["events"], document["failed"], *summary.spread(seconds)),
            ("requests", requests["n"], requests["errors"], *summary.spread(requests, 0.001)),
            ("runs", runs["launched"], runs["failed"], *summary.spread(document["deployed"]["seconds"])),
            ("exports", document["exports"]["n"], document["exports"]["failed"], "", "", "", ""),
        ],
        ("Counted", "All", "Failed", "Mean", "p50", "p95", "p99"),
    )
    series = document["series"]  # of what was counted, each has its point in time
    letters = BARS if _can_show(BARS) else PLAIN_BARS
    lines = [("operations", [row["n"] for row in series]), ("failed", [row["failed"] for row in series])]
    lines += [("requests", [row["requests"] for row in series])]
    lines += [("mean time", [row["seconds_mean"] or 0 for row in series])]
    for name in dict.fromkeys(name for row in series for name in row["usage"]):
        lines.append((name, [max(row["usage"].get(name, 0), 0) for row in series]))
    output.data("")
    output.table(
        [
            (name, bars(values, letters), scales.figure(max(values), "s" if name == "mean time" else ""))
            for name, values in lines
        ],
        (f"By {step}", f"{series[0]['at'][:16]} to {series[-1]['at'][:16]}", "Most"),
    )
    output.data("")
    output.table(
        [
            (
                row["at"][: {"minute": 16, "hour": 13, "day": 10}[step]],
                row["n"],
                row["failed"],
                row["requests"],
                scales.figure(row["seconds_mean"], "s") if row["seconds_mean"] is not None else "",
            )
            for row in series[-MOST_ROWS:]
        ],
        (f"{step.capitalize()} (UTC)", "Operations", "Failed", "Requests", "Mean"),
    )
    if len(series) > MOST_ROWS:
        output.note(f"The last {MOST_ROWS} of {len(series)}; --json has all.")


def _can_show(letters: str) -> bool:
    try:
        letters.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _period(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--until", metavar="TIME", help="Only what was done before.  [default: now]"),
        click.option("--since", metavar="TIME", help="Only what was done since: 7d, 12h, 2026-11-01."),
    ):
        command = option(command)
    return command


@click.group(name="metrics", cls=output.Group)
def command() -> None:
    """Print figures over time, also for other programs.

    \b
    Examples:
      daglab metrics show --since 7d
      daglab metrics usage --by model
      daglab metrics export --format prometheus --output /var/lib/node_exporter/daglab.prom
    """


@command.command(name="show")
@_period
@click.option("--step", type=click.Choice(STEPS), default="day", show_default=True, help="What a point in time spans.")
@output.json_option
def show_command(since: str | None, until: str | None, step: str, as_json: bool) -> None:
    """Show counters, latencies, and how they go over time.

    \b
    Example:
      daglab metrics show --since 24h --step hour
    """
    document = figures(config.load(output.flags()).root, since, until, step)
    if as_json:
        output.document({"ok": True, **document})
        return
    for flaw in summary.flaws(document):
        output.warn(flaw)
    if document["events"]:
        show(document, step)
    else:
        output.note("Nothing was recorded in this time.")


@command.command(name="usage")
@_period
@click.option("--by", default="model", show_default=True, metavar="LABEL", help="The label to sum by, or name.")
@output.json_option
def usage_command(since: str | None, until: str | None, by: str, as_json: bool) -> None:
    """Show what was used, as notebooks and assets have recorded it with record_usage: tokens, rows, credits.

    \b
    Example:
      daglab metrics usage --by kind --since 30d
    """
    document = figures(config.load(output.flags()).root, since, until)
    rows = by_label(document["usage"], by)
    if as_json:
        output.document({"ok": True, "since": document["since"], "until": document["until"], "by": by, "usage": rows})
        return
    for flaw in summary.flaws(document):
        output.warn(flaw)
    if not rows:
        output.note("No usage was recorded in this time; daglab.helpers.record_usage does it.")
        return
    columns = ["name", *([by] if by != "name" else []), "amount", "n"]
    output.table(
        [
            [scales.figure(row[c]) if c == "amount" else row[c] if row[c] is not None else "" for c in columns]
            for row in rows
        ],
        ("Name", *([by.capitalize()] if by != "name" else []), "Amount", "Times"),
    )


@command.command(name="export")
@_period
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="json", show_default=True, help="The form.")
@click.option("--step", type=click.Choice(STEPS), default="day", show_default=True, help="What a point in time spans.")
@click.option("--output", "path", type=click.Path(path_type=Path), metavar="FILE", help="Where to.  [default: stdout]")
@output.json_option
def export_command(
    since: str | None, until: str | None, form: str, step: str, path: Path | None, as_json: bool
) -> None:
    """Write all figures, for cron: the file is replaced as a whole, and the same events give the same bytes.

    Prometheus text suits node_exporter's textfile collector; json, csv and markdown have the series, too.

    \b
    Example:
      daglab metrics export --format prometheus --output /var/lib/node_exporter/daglab.prom
    """
    if as_json and path is None and form != "json":
        raise errors.WrongUsage("--json and --format say different things.", "Leave one of them out.")
    settings = config.load(output.flags())
    if path is not None:
        settings.refuse_own(path)
    document = figures(settings.root, since, until, step)
    for flaw in summary.flaws(document):
        output.warn(flaw)
    if as_json and path is None:
        output.document({"ok": True, **document})
        return
    content = output.clean(FORMATS[form](document))
    if path is None:
        output.text(content)
        return
    written = content.encode("utf-8", "replace")
    files.write_atomic(path, written)
    if as_json:
        output.document({"ok": True, "output": str(path), "format": form, "bytes": len(written)})
    else:
        output.data(str(path))


@command.command(name="reset")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.json_option
def reset_command(yes: bool, as_json: bool) -> None:
    """Begin to count anew. What was counted is put aside, in .daglab/events/, and nothing is lost.

    \b
    Example:
      daglab metrics reset --yes
    """
    output.require_answer(yes=yes, as_json=as_json)
    root = config.load(output.flags()).root
    if not output.agreed("Put all events aside and count anew?", yes=yes):
        output.note("Nothing was done.")
        return
    aside = retention.reset(root, datetime.now(timezone.utc))
    with events.recording(root, "metrics reset") as event:  # the first that counts again
        event.detail.update(months=len(aside))
        moved = [path.relative_to(root).as_posix() for path in aside]
        if as_json:
            output.document({"ok": True, "moved": moved})
        elif moved:
            output.data(
                f"Counting begins anew. Put aside in {Path(moved[0]).parent}: {scales.counted(len(moved), 'month')}."
            )
            output.note("To undo it, move them back to .daglab/events/ where no month of that name is.")
        else:
            output.data("There was nothing to put aside.")

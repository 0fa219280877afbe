"""`daglab stats`: what was done in a time, how fast, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from daglab import output, scales
from daglab.figures import summary
from daglab.settings import config

MOST = 10  # rows of a table of what there may be very many of


def result(document: Mapping[str, Any], by: str | None) -> dict[str, Any]:
    """The command's document."""
    shown = {name: value for name, value in document.items() if name not in ("series", "groups")}
    return {"ok": True, **shown, "by": by, "groups": document["groups"]}


def show(document: Mapping[str, Any], by: str | None) -> None:
    """Print the figures: one table each for what is asked, empty ones left out."""
    if by:
        _table(f"By {by}", [_row(row[by], row) for row in document["groups"]], (by.capitalize(), *_COLUMNS), None)
        return
    seconds = document["seconds"]
    failed, done = document["failed"], document["events"]
    output.data(f"{scales.counted(done, 'operation')}, {failed} failed{_share(failed, done)}; {_times(seconds)}")
    _runs(document)
    _table("Commands", [_row(row["command"], row) for row in document["commands"]], ("Command", *_COLUMNS))
    for kind in ("asset", "job"):
        rows = [(row[kind], row["n"], row["failed"], _rate(row)) for row in document[f"{kind}s"]]
        _table(f"Most used {kind}s", rows, (kind.capitalize(), "Runs", "Failed", "Well"))
    _table("Errors", [(row["code"], row["n"]) for row in document["errors"]], ("Code", "Times"))
    exports = document["exports"]
    if exports["n"]:
        what = f"Exports: {exports['n']}, {exports['failed']} failed, {scales.figure(exports['bytes'], 'bytes')}"
        rows = [
            (
                row["at"][:16].replace("T", " "),
                row["notebook"] or "",
                "ok" if row["ok"] else "failed",
                scales.figure(row["bytes"], "bytes"),
            )
            for row in exports["newest"]
        ]
        _table(what, rows, ("At (UTC)", "Notebook", "Ended", "Size"))
    usage = [(row["name"], _labels(row["labels"]), scales.figure(row["amount"])) for row in document["usage"]]
    _table("Usage", usage, ("Name", "Labels", "Amount"))


_COLUMNS = ("N", "Failed", "Well", "Mean", "p50", "p95", "p99")


def _runs(document: Mapping[str, Any]) -> None:
    """Deployed runs beside those in a notebook's own process."""
    runs, in_process = document["runs"], document["in_process"]
    if runs["launched"]:
        told = f"{scales.counted(runs['launched'], 'run')} launched: {runs['ok']} succeeded, {runs['failed']} failed"
        other = runs["launched"] - runs["ok"] - runs["failed"]
        output.data(told + (f", {other} not followed to their end" if other > 0 else ""))
    rows = [
        (name, each["n"], each["failed"], *summary.spread(each["seconds"]))
        for name, each in (("deployed", document["deployed"]), ("in process", in_process))
        if each["n"]
    ]
    _table("Runs", rows, ("Runs", "N", "Failed", "Mean", "p50", "p95", "p99"))


def _row(name: object, row: Mapping[str, Any]) -> tuple[object, ...]:
    return (name, row["n"], row["failed"], _rate(row), *summary.spread(row["seconds"]))


def _rate(row: Mapping[str, Any]) -> str:
    """How many per cent went well; 100 only where all did."""
    if not row["n"]:
        return ""
    return f"{min(100 * (row['n'] - row['failed']) / row['n'], 99.99):.4g} %" if row["failed"] else "100 %"


def _share(failed: int, done: int) -> str:
    return f" ({100 * failed / done:.3g} %)" if failed else ""


def _times(seconds: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {told}" for name, told in zip(summary.SPREAD, summary.spread(seconds), strict=True) if told
    )


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())


def _table(title: str, rows: Sequence[tuple[object, ...]], headers: Sequence[str], most: int | None = MOST) -> None:
    if not rows:
        return
    output.data(f"\n{title}")
    output.table(rows[:most], headers)
    if most and len(rows) > most:
        output.note(f"{len(rows) - most} more: --json has all.")


@click.command(name="stats")
@click.option("--since", metavar="TIME", help="Only what was done since: 7d, 12h, 2026-11-01.")
@click.option("--until", metavar="TIME", help="Only what was done before.  [default: now]")
@click.option("--by", type=click.Choice(summary.BY), help="A row for each day (of UTC), command or target instead.")
@output.json_option
def command(since: str | None, until: str | None, by: str | None, as_json: bool) -> None:
    """Show what was done, how fast, and what failed.

    The figures come from .daglab/events, where every command and every notebook's helper leaves a line.

    \b
    Examples:
      daglab stats --since 7d
      daglab stats --by day --since 30d
      daglab stats --json | jq .runs
    """
    asked = summary.period(since, until)
    [document] = summary.collect(config.load(output.flags()).root, [asked], by=by)
    if as_json:
        output.document(result(document, by))
        return
    for flaw in summary.flaws(document):
        output.warn(flaw)
    if document["events"]:
        show(document, by)
    else:
        output.note("Nothing was recorded in this time." if since or until else "Nothing is recorded here yet.")

"""`daglab status`: one screen of now."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from daglab import errors, events, output, scales, screen, snapshot
from daglab.exported import export_record
from daglab.settings import config

LABEL = 12  # columns
NARROW = 60
MOST_LINES = 3  # that one takes
SECONDS = 2.0


def lines(found: Mapping[str, Any], width: int) -> list[str]:
    """The screen for a terminal of so many columns."""
    shown = [f"{found['project']}  {_moment(found['at'])}", ""]
    for part in (_figures, _usage, _dagster, _models, _clusters, _dev, _operations, _exports, _disk):
        shown += part(found, width)
    shown += [_row("problem", f"{each['part']}: {each['message']}") for each in found["problems"]]
    return [each for line in shown for each in _fitted(line, width)]


def _row(label: str, text: str) -> str:
    return f"{label:<{LABEL}}{text}".rstrip()


def _fitted(line: str, width: int) -> list[str]:
    """A line in as many as it takes, three at most; what goes on stands below the values."""
    flat = output.one_line(line)
    found = textwrap.wrap(flat, width, subsequent_indent=" " * LABEL) if len(flat) > width else [flat]
    return found if len(found) <= MOST_LINES else [*found[: MOST_LINES - 1], f"{found[MOST_LINES - 1][: width - 1]}…"]


def _figures(found: Mapping[str, Any], width: int) -> Iterator[str]:
    if not found["all"]:
        return
    yield _row("", _pair(width, "today", "all"))
    both = (found["today"], found["all"])
    for label, unit, values in (
        ("operations", "", [each["events"] for each in both]),
        ("failed", "", [each["failed"] for each in both]),
        ("p95", "s", [each["seconds"]["p95"] for each in both]),
        ("requests", "", [each["requests"]["n"] for each in both]),
        ("errors", "", [each["requests"]["errors"] for each in both]),
        ("runs", "", [each["runs"]["launched"] for each in both]),
    ):
        yield _row(label, _pair(width, *("-" if value is None else scales.figure(value, unit) for value in values)))


def _pair(width: int, one: str, other: str) -> str:
    column = 14 if width >= NARROW else 10
    return f"{one:>{column}}{other:>{column}}"


def _usage(found: Mapping[str, Any], width: int) -> Iterator[str]:
    today = {(row["model"], row["name"]): row["amount"] for row in snapshot.by_model(found["today"])}
    rows = [
        (
            output.one_line(f"{row['name']} {row['model']}" if row["model"] else row["name"]),
            _pair(width, *map(scales.figure, (today.get((row["model"], row["name"]), 0), row["amount"]))),
        )
        for row in snapshot.by_model(found["all"])
    ]
    label = max([LABEL, *(len(said) + 1 for said, _ in rows)])
    if rows:
        yield from ("", "Usage by model")
    for said, figures in rows:
        if label + len(figures) <= width:
            yield f"{said:<{label}}{figures}"
        else:
            yield from (said, _row("", figures))


def _dagster(found: Mapping[str, Any], width: int) -> Iterator[str]:
    there = found["dagster"]
    if there is None:
        return
    yield ""
    if there["state"] != "up":
        yield _row("Dagster", f"{there['state']} at {there['url']}")
        yield _row("", there["error"])
        return
    yield _row("Dagster", f"up, {there['version']}, at {there['url']}")
    broken = [each for each in there["locations"] if not each["loaded"]]
    yield _row("locations", f"{len(there['locations']) - len(broken)} of {len(there['locations'])} loaded")
    yield from (_row("", f"{each['name']}: {each['error']}") for each in broken)
    needed = [each for each in there["daemons"] if each["required"]]
    ill = [each["name"] for each in needed if not each["healthy"]]
    yield _row("daemons", f"{len(needed) - len(ill)} of {len(needed)} healthy" + "".join(f", {name}" for name in ill))
    more = " or more" if there["more_runs"] else ""
    yield _row("in flight", f"{len(there['runs'])}{more} run{'s' if len(there['runs']) != 1 else ''}")
    for run in there["runs"][:5]:
        what = run["job"] or ", ".join(run["assets"])
        yield _row("", f"{run['run_id'][:8]} {run['status'].lower()} {what}")


def _models(found: Mapping[str, Any], _: int) -> Iterator[str]:
    if found["models"]:
        yield ""
    for number, each in enumerate(found["models"] or ()):
        yield _row("Models" if not number else "", f"{each['status']:<9}{each['name']}  {each['detail']}")


def _clusters(found: Mapping[str, Any], _: int) -> Iterator[str]:
    if found["clusters"]:
        yield ""
    for number, each in enumerate(found["clusters"] or ()):
        label = "Weaviate" if not number else ""
        if each["state"] != "up":
            yield _row(label, f"{each['name']}: {each['state']} at {each['url']}: {each['error']}")
            continue
        ill = [one["name"] for one in each["collections"] if one["health"] != "ok"]
        counted = sum(one["objects"] or 0 for one in each["collections"])
        there = f"{scales.counted(each['total'], 'collection')}, {scales.counted(counted, 'object')}"
        said = f"{each['name']}: up, {each['version']}, {there}"
        more = (
            " or more"
            if len(each["collections"]) < each["total"] or any(_is_part(one) for one in each["collections"])
            else ""
        )
        yield _row(label, f"{said}{more}" + "".join(f", {name} is not well" for name in ill[:3]))


def _is_part(collection: Mapping[str, Any]) -> bool:
    """Whether there may be more objects than were counted."""
    return collection["objects"] is None or bool(collection["uncounted_tenants"])


def _dev(found: Mapping[str, Any], width: int) -> Iterator[str]:
    there = found["dev"]
    if there is None:
        return
    if not there["running"]:
        yield from ("", _row("dev", "does not run"))
        return
    yield from ("", _row("dev", "runs" if there.get("ready") else "starts"))
    for name, each in there.items():
        if isinstance(each, dict) and "alive" in each:
            spent = ""
            if "memory_bytes" in each:
                spent = f"{scales.figure(each['memory_bytes'], 'bytes'):>10} {each['cpu_percent']:>4.0f} %"
            address = f"  {each['url']}" if isinstance(each.get("url"), str) and width >= NARROW else ""
            yield f"  {name:<{LABEL - 2}}{'runs' if each['alive'] else 'ended':<6}{spent}{address}"


def _operations(found: Mapping[str, Any], width: int) -> Iterator[str]:
    if not found["operations"]:
        return
    yield from ("", "Last operations")
    for each in found["operations"]:
        when = _moment(each["at"])[5:16] if width >= NARROW else _moment(each["at"])[11:16]
        outcome = "ok" if each["ok"] else each["error_code"] or f"exit {each['exit_code']}"
        took = "" if each["seconds"] is None else scales.figure(each["seconds"], "s")
        room = 20 if width >= NARROW else 13
        target = f"  {each['target']}" if each["target"] and width >= NARROW else ""
        yield f"{when}  {each['command'][:room]:<{room}}{took:>9} {outcome}{target}"


def _exports(found: Mapping[str, Any], width: int) -> Iterator[str]:
    there = found["exports"]
    if there is None:
        return
    expired = f", {there['expired']} expired" if there["expired"] else ""
    soon = f", {len(there['expiring'])} expire within {snapshot.SOON} days" if there["expiring"] else ""
    yield from ("", _row("exports", f"{there['kept']} kept{soon}{expired}"))
    for each in there["expiring"][:3]:
        yield _row("", f"{_moment(each['expires_at'])[:10]} {each['output']}")


def _disk(found: Mapping[str, Any], width: int) -> Iterator[str]:
    there = found["disk"]
    if there is None:
        return
    most = ", ".join(f"{row['name']} {scales.figure(row['bytes'], 'bytes')}" for row in there["folders"][:3])
    least = "" if there["counted_all"] else "more than "
    yield _row(".daglab", f"{least}{scales.figure(there['bytes'], 'bytes')}{': ' if most else ''}{most}")
    cache = there["cache"]
    yield _row("cache", f"{cache['entries']} entries, {scales.figure(cache['bytes'], 'bytes')}")


def _moment(text: str) -> str:
    """A time as it is here."""
    at = export_record.time_of(text)
    return f"{(at or datetime.now()).astimezone():%Y-%m-%d %H:%M:%S}"


def pictures(settings: config.Config, seconds: float | None) -> Iterator[dict[str, Any]]:
    """One picture, or one every so many seconds; the figures are reckoned anew only when there are new events."""
    rest = [name for name in snapshot.PARTS if name != "figures"]
    known: tuple[object, dict[str, Any]] | None = None
    while True:
        began, mark = time.monotonic(), (events.signature(settings.root), datetime.now().date())
        if known is None or known[0] != mark:
            known = (mark, snapshot.collect(settings, ["figures"]))
        now = snapshot.collect(settings, rest)
        yield {**known[1], **now, "problems": [*known[1]["problems"], *now["problems"]]}
        if seconds is None:
            return
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))


@click.command(name="status")
@click.option(
    "--watch",
    type=output.Seconds(),
    is_flag=False,
    flag_value=SECONDS,
    metavar="[SECONDS]",
    help="Look again every so many seconds, 2 where none are given, until Ctrl-C.",
)
@output.connection_options
@output.json_option
def command(watch: float | None, as_json: bool) -> None:
    """Show on one screen how things stand now.

    What is down is told, and the exit code stays 0: `daglab health` judges. With --watch and --json, each look is a
    line of JSON.

    \b
    Examples:
      daglab status
      daglab status --watch 5
      daglab status --json | jq .today.failed
    """
    settings = config.load(output.flags())
    try:
        if watch is None:
            [found] = pictures(settings, None)
            if as_json:
                output.document({"ok": True, **found})
            else:
                output.text("\n".join(lines(found, output.width())))
        elif as_json:
            for found in pictures(settings, watch):
                output.line({"ok": True, **found})
        else:
            _draw(settings, watch)
    except (KeyboardInterrupt, errors.Terminated) as stop:
        if watch is None:
            raise
        raise click.exceptions.Exit(errors.stop_code(stop)) from None


def _draw(settings: config.Config, seconds: float) -> None:
    with screen.shown() as draw:
        for found in pictures(settings, seconds):
            draw(lambda width, found=found: lines(found, width))  # type: ignore[misc]
            output.flush()

"""`daglab runs`: list runs, look at one, wait for it, read its logs, end it, run it again, compare two."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from daglab import errors, events, output, parse, scales
from daglab.deployment import dagster_api, run_logs, run_records, runs
from daglab.launching import backfills, cancellation, dispatch, launches, outcomes, progress, reexecution
from daglab.settings import config

STATUSES = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING", *runs.ENDED)


@click.group(name="runs", cls=output.Group)
def command() -> None:
    """List runs, look at one, wait for it, end it, run it again.

    RUN is a run's id, the beginning of one (of the newest 500), or the address of its page.

    \b
    Examples:
      daglab runs list --status failure --since 7d
      daglab runs logs cd72879b --level WARNING
      daglab runs retry cd72879b --from-failure
    """


@dataclass(frozen=True)
class Link:
    """What each command works with: the settings, the deployment, the event, and the ids of the runs that are meant."""

    settings: config.Config
    api: dagster_api.DagsterApi
    event: events.Event
    ids: list[str]


@contextlib.contextmanager
def _linked(name: str, *texts: str, needs: str | None = None) -> Iterator[Link]:
    """The link for a command; `needs` is the operation that it will carry out."""
    settings = config.load(output.flags())
    with events.recording(settings.root, f"runs {name}") as event:
        event.target = ",".join(texts) or None
        api = dagster_api.connect(settings, operation=event.id)
        event.traffic = api.traffic
        if needs:
            dagster_api.permit(api, needs)
        ids = list(dict.fromkeys(run_records.find(api, text) for text in texts))
        yield Link(settings, api, event, ids)


@command.command(name="list")
@click.option(
    "--status",
    multiple=True,
    type=click.Choice(STATUSES, case_sensitive=False),
    help="Only runs in this state. May be repeated.",
)
@click.option("--job", metavar="NAME", help="Only runs of this job.")
@click.option("--asset", metavar="KEY", help="Only runs that were to make this asset, or have made it.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="Only runs with this tag. May be repeated.")
@click.option("--since", metavar="TIME", help="Only runs to which something happened since: 7d, 12h, 2026-11-01.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=25, show_default=True, metavar="N", help="At most so many."
)
@output.connection_options
@output.json_option
def list_command(
    status: Sequence[str],
    job: str | None,
    asset: str | None,
    tags: Sequence[str],
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, the newest first.

    \b
    Example:
      daglab runs list --status failure --since 7d --json | jq -r '.runs[].run_id'
    """
    after = None if since is None else parse.since(since, "--since")
    wanted = parse.whole_pairs(tags, "--tag")
    name = "/".join(parse.asset_key(asset)) if asset else None
    with _linked("list") as link:
        api = link.api
        found = run_records.search(api, statuses=status, job=job, asset=name, tags=wanted, since=after, limit=limit)
        rows = [run_records.document(api, record) for record in found]
        if as_json:
            output.document({"ok": True, "runs": rows})
            return
        if not rows:
            output.note("There is no such run.")
        output.table(
            [
                (
                    row["run_id"],
                    row["status"],
                    row["job"] or ", ".join(row["assets"]),
                    row["partition"] or "",
                    (row["started_at"] or "")[:19].replace("T", " "),
                    scales.took(row["duration_s"]),
                )
                for row in rows
            ],
            ("Run", "Status", "Job or assets", "Partition", "Started (UTC)", "Took"),
        )


@command.command(name="show")
@click.argument("run")
@output.connection_options
@output.json_option
def show_command(run: str, as_json: bool) -> None:
    """Show a run: its steps with their times, what it made with metadata, and why it failed.

    \b
    Example:
      daglab runs show cd72879b
    """
    with _linked("show", run) as link:
        api, [run_id] = link.api, link.ids
        found = run_records.detail(api, run_id)
        failed = found.run.has_ended and found.run.status != "SUCCESS"
        result = {
            **run_records.document(api, found.record),
            **runs.document(found.run),
            "config": found.config,
            "parent": found.parent,
            "materializations": [
                {"asset": each.asset, "partition": each.partition, "metadata": dict(each.metadata)}
                for each in found.materializations
            ],
            "errors": [progress.failure(each) for each in run_logs.failures(api, run_id)] if failed else [],
        }
        if as_json:
            output.document({"ok": True, **result})
        else:
            progress.show_record(result)


@command.command(name="wait")
@click.argument("run", nargs=-1, required=True)
@output.timeout_option
@output.connection_options
@output.json_option
def wait_command(run: Sequence[str], timeout: float | None, as_json: bool) -> None:
    """Wait for the end of runs, and exit with 0 when all succeeded, 4 when not, 9 when the time is up.

    \b
    Example:
      daglab runs wait cd72879b c5489deb --timeout 600
    """
    with _linked("wait", *run) as link:
        link.event.runs.extend(link.ids)
        # Without its status each end is shown, also one that was there before.
        result = {"ok": True, "runs": [{**entry, "status": None} for entry in _entries(link, timeout)]}
        with dispatch.keeping(result):
            _follow(link, result, timeout, as_json)


def _follow(link: Link, result: dict[str, Any], timeout: float | None, as_json: bool) -> None:
    """Follow the runs of a result to their end, and tell how they ended."""
    entries, waits = {entry["run_id"]: entry for entry in result["runs"]}, link.settings.performance
    progress.follow(link.api, entries, timeout or waits.max_wait_time, waits.polling_interval)
    if bad := [entry for entry in result["runs"] if entry["status"] != "SUCCESS"]:
        messages = [progress.why_failed(link.api, entry) for entry in bad]
        raise errors.NotGood("\n".join(messages), f"See {bad[0]['url']}")
    progress.tell(result, as_json)


def _entries(link: Link, timeout: float | None = None) -> list[dict[str, Any]]:
    """What is known of the runs, before they are followed. Raises `InvalidInput` for one that is not there."""
    api = runs.until(link.api, time.monotonic() + timeout) if timeout else link.api
    return [progress.entry(api, run_records.detail(api, run_id).record) for run_id in link.ids]


@command.command(name="logs")
@click.argument("run")
@click.option("--step", metavar="KEY", help="Only what this step has logged, or what its process has printed.")
@click.option("--stdout", "stream", flag_value="stdout", help="What the steps have printed to standard output.")
@click.option("--stderr", "stream", flag_value="stderr", help="What the steps have printed to standard error.")
@click.option(
    "--level",
    type=click.Choice(run_logs.LEVELS, case_sensitive=False),
    default="DEBUG",
    show_default=True,
    help="Only events of this level or a higher one.",
)
@click.option("--follow", "follows", is_flag=True, help="Go on until the run has ended.")
@output.connection_options
@output.json_option
def logs_command(run: str, step: str | None, stream: str | None, level: str, follows: bool, as_json: bool) -> None:
    """Print what a run has logged, or what its steps have printed.

    With --follow and --json, each event is a line of JSON.

    \b
    Example:
      daglab runs logs cd72879b --level WARNING --follow
    """
    with _linked("logs", run) as link:
        api, [run_id] = link.api, link.ids
        interval = link.settings.performance.polling_interval if follows else None
        with _as_lines(follows and as_json):
            _require_step(runs.status(api, [run_id])[run_id], step)
            if stream:
                progress.print_stream(api, run_id, stream, step, interval, as_json)
            else:
                progress.print_events(api, run_id, step, run_logs.LEVELS.index(level.upper()), interval, as_json)


def _require_step(run: runs.Run, step: str | None) -> None:
    """Raises `InvalidInput` for a step that a run, which has ended, does not have; before, it may yet come."""
    steps = [each.key for each in run.steps]
    if step is not None and run.has_ended and step not in steps:
        near = parse.did_you_mean(step, steps)
        raise errors.InvalidInput(f"The run has no step {step}.", near or f"It has {', '.join(steps) or 'none'}.")


@contextlib.contextmanager
def _as_lines(lines: bool) -> Iterator[None]:
    """Where each line of the output is a document, the error is one, too."""
    try:
        yield
    except errors.DaglabError as error:
        if not lines:
            raise
        output.line({"ok": False, "error": error.document()})
        raise click.exceptions.Exit(error.exit_code) from None


@command.command(name="cancel")
@click.argument("run", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Mark them as cancelled at once; what they are doing may go on.")
@output.connection_options
@output.json_option
def cancel_command(run: Sequence[str], force: bool, as_json: bool) -> None:
    """End runs, and wait until they have ended. A run that is only just starting is waited for.

    Exits with 0 when all are cancelled, 4 when one had ended otherwise before, 9 when one goes on all the same.

    \b
    Example:
      daglab runs cancel cd72879b
    """
    with _linked("cancel", *run, needs="terminateRun") as link:
        api, ids = link.api, link.ids
        link.event.runs.extend(ids)
        result: dict[str, Any] = {"ok": True, "runs": _entries(link)}
        refused: list[errors.DaglabError] = []
        with dispatch.keeping(result):
            for entry in result["runs"]:
                before, entry["status"] = entry["status"], "CANCELING"
                try:
                    ended, marked = cancellation.cancel(api, entry["run_id"], force=force)
                except errors.DaglabError as error:
                    entry["status"] = before
                    refused.append(error)
                    continue
                entry.update(runs.document(ended), marked=marked)
                if marked:
                    output.warn(f"{entry['run_id']} is marked as cancelled; what it was doing may go on.")
            if refused:
                raise refused[0]
        others = [f"{entry['run_id']} ({entry['status']})" for entry in result["runs"] if entry["status"] != "CANCELED"]
        if others:
            raise errors.NotGood(
                f"Had ended already: {', '.join(others)}.", "There is nothing to cancel.", result=result
            )
        progress.tell(result, as_json)


@command.command(name="retry")
@click.argument("run")
@click.option("--from-failure", "how", flag_value="from-failure", help="Only what failed and what comes after it.")
@click.option("--all", "how", flag_value="all", help="Every step.")
@click.option("--wait/--no-wait", "waits", default=True, show_default=True, help="Wait for the end of the run.")
@output.timeout_option
@output.connection_options
@output.json_option
def retry_command(run: str, how: str | None, waits: bool, timeout: float | None, as_json: bool) -> None:
    """Run a run again: with --from-failure (the default for a failed one) or --all. Never more than one new run.

    \b
    Example:
      daglab runs retry cd72879b --from-failure
    """
    with _linked("retry", run, needs="launchRunReexecution") as link:
        api, [run_id] = link.api, link.ids
        old = runs.status(api, [run_id])[run_id]
        if not old.has_ended:
            raise errors.InvalidInput(f"The run {run_id} is {old.status}.", f"daglab runs wait {run_id}, or cancel it.")
        how = how or ("all" if old.status == "SUCCESS" else "from-failure")
        if how == "from-failure" and old.status == "SUCCESS":
            raise errors.InvalidInput(f"The run {run_id} has not failed.", "--all runs every step again.")
        entry: dict[str, Any] = {"run_id": None, "status": dispatch.LAUNCHING, "url": None}
        result: dict[str, Any] = {"ok": True, "runs": [entry]}
        with dispatch.keeping(result):
            new = reexecution.retry(api, run_id, how)
            entry.update(run_id=new.id, status="LAUNCHED", url=runs.url(api, new.id))
            link.event.runs.append(new.id)
            output.note(f"Launched {new.id}: {entry['url']}")
            record = runs.patiently(functools.partial(run_records.detail, api, new.id), "The run", interval=1.0).record
            entry.update({**progress.entry(api, record), "status": "LAUNCHED"})
            try:
                if waits:
                    _follow(link, result, timeout, as_json)
                else:
                    progress.tell(result, as_json)
            finally:
                link.event.detail.update(outcomes.of(result))


@command.command(name="compare")
@click.argument("one")
@click.argument("other")
@output.connection_options
@output.json_option
def compare_command(one: str, other: str, as_json: bool) -> None:
    """Tell what is different between two runs: status, config, each step's time, the metadata of what they made.

    \b
    Example:
      daglab runs compare cd72879b c5489deb
    """
    with _linked("compare", one, other) as link:
        api, ids = link.api, link.ids
        if len(ids) == 1:
            raise errors.WrongUsage("Both are the same run.", "Name two: `daglab runs list`.")
        found = run_records.compare(*(run_records.detail(api, run_id) for run_id in ids))
        if as_json:
            output.document({"ok": True, "runs": ids, **found})
        else:
            progress.show_comparison(found)


@command.command(name="settle")
@click.argument("launch_id", metavar="ID")
@output.connection_options
@output.json_option
def settle_command(launch_id: str, as_json: bool) -> None:
    """Find out whether a launch, whose answer was lost, has made a run or a backfill: ID is what was told then.

    Exits with 0 when there is one, whatever became of it, and with 4 when none was made.

    \b
    Example:
      daglab runs settle 9e5d915c-0b4f-44f4-8c66-d38959c79cb0
    """
    with _linked("settle") as link:
        api, link.event.target = link.api, launch_id
        launches.check_id(api, launch_id)
        result: dict[str, Any] = {"launch": "found", "launch_id": launch_id, "runs": []}
        found = launches.wait_for(api, lambda: _made_by(api, launch_id))
        if found is None:
            raise errors.NotGood(
                f"Nothing was launched with the id {launch_id}.",
                "Launch it again.",
                result={**result, "launch": "none"},
            )
        if isinstance(found, backfills.Backfill):
            result["backfill"] = backfills.document(found)
        elif isinstance(found, launches.Launched):
            link.event.runs.append(found.id)
            result["runs"] = [{"run_id": found.id, "status": found.status, "url": runs.url(api, found.id)}]
        progress.tell({"ok": True, **result}, as_json)


def _made_by(api: dagster_api.DagsterApi, launch_id: str) -> launches.Launched | backfills.Backfill | None:
    """The run or the backfill of a launch, whichever there is; a run of a backfill has its tags, too."""
    if backfill_id := backfills.by_tag(api, launch_id, most=None):
        return backfills.look(api, backfill_id)
    return launches.by_tag(api, launch_id)

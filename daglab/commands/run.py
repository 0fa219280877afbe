"""`daglab run`: launch a job or assets on the live deployment, follow the runs, exit with the truth."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from daglab import (
    cancellation,
    config,
    dagster_api,
    errors,
    events,
    files,
    launches,
    output,
    parse,
    plans,
    progress,
    runs,
    selection,
)

NOT_LAUNCHED, LAUNCHING = "NOT_LAUNCHED", "LAUNCHING"


def read_config(source: str | None, text: str | None) -> dict[str, Any] | None:
    """The run config of a file, of standard input for `-`, or of `text`; None for none of them."""
    if text is not None:
        return parse.run_config(text, "run config of --config-yaml")
    if source is None:
        return None
    if source == "-":
        return parse.run_config(_standard_input(), "run config on standard input")
    return parse.run_config(files.read_text(Path(source), "run config"), f"run config {source}")


def _standard_input() -> str:
    try:
        content: bytes | None = sys.stdin.buffer.read()
        if content is not None:  # as it is for a pipe that is empty and must not block
            return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise errors.InvalidInput("The run config on standard input is not UTF-8 text.", "Send UTF-8.") from None
    except OSError:
        pass
    raise errors.InvalidInput("Standard input can't be read.", "Send the run config through a pipe, or name a file.")


def carry_out(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    event: events.Event,
    every: Sequence[plans.Plan],
    result: dict[str, Any],
    *,
    timeout: float,
    cancels: bool,
) -> None:
    """Launch the runs in their order, as there is room, and follow them all to their end, keeping `result` up to date.

    Raises `NotGood` unless all succeeded, and `TimedOut` when the time is up; `cancels` ends what goes on then.
    """
    entries = result["runs"]
    flying: list[str] = []
    shown: set[tuple[str, str]] = set()

    def launch_more() -> None:
        for number in _ready(every, entries, settings.performance.max_concurrent_runs):
            _launch(api, event, every[number], entries[number], first=flying == [])
            flying.append(entries[number]["run_id"])

    try:
        launch_more()
        for changed in runs.follow(api, flying, timeout=timeout, interval=settings.performance.polling_interval):
            for run in changed:
                progress.show(api, run, _entry(entries, run.id), shown, several=len(entries) > 1)
            launch_more()
    except errors.TimedOut as late:
        if not cancels:
            raise
        _cancel(api, result, late)
    _judge(api, result, timeout)


def _ready(every: Sequence[plans.Plan], entries: Sequence[dict[str, Any]], room: int) -> Iterator[int]:
    """The places of what may be launched now: all that it needs has succeeded, and there is room."""
    for number, (plan, entry) in enumerate(zip(every, entries, strict=True)):
        under_way = sum(each["run_id"] is not None and each["status"] not in runs.OVER for each in entries)
        possible = all(entries[needed]["status"] == "SUCCESS" for needed in plan.after)
        if entry["run_id"] is None and under_way < room and possible:
            yield number


def _judge(api: dagster_api.DagsterApi, result: dict[str, Any], timeout: float) -> None:
    """Raise for what did not succeed, with the reasons."""
    entries = result["runs"]
    bad = [entry for entry in entries if entry["status"] != "SUCCESS"]
    if not bad:
        return
    if result.get("cancelled"):
        names = ", ".join(entry["run_id"] for entry in bad if entry["run_id"])
        raise errors.TimedOut(
            f"The run {names} had not ended after {timeout:g} s and was cancelled.",
            f"See {bad[0]['url']}, or give it more time with --timeout.",
        )
    messages = []
    for entry in bad:
        if entry["run_id"] is None:
            messages.append(f"Not launched, for what it needs was not made: {', '.join(entry['assets'])}.")
            continue
        messages.append(progress.why_failed(api, entry))
    raise errors.NotGood("\n".join(messages), f"See {bad[0]['url']}")


def entry_of(plan: plans.Plan, wanted: plans.Wanted, launch_id: str) -> dict[str, Any]:
    """A run in the result, as long as it was not launched."""
    return {
        "run_id": None,
        "launch_id": launch_id,
        "status": NOT_LAUNCHED,
        "job": wanted.job,
        "location": plan.target.location,
        "assets": ["/".join(key) for key in plan.target.assets],
        "partition": wanted.partition,
        "url": None,
        "started_at": None,
        "ended_at": None,
        "duration_s": None,
        "steps": [],
        "errors": [],
    }


def _launch(
    api: dagster_api.DagsterApi, event: events.Event, plan: plans.Plan, entry: dict[str, Any], *, first: bool = True
) -> launches.Launched:
    """Launch one run and put it into its entry."""
    entry["status"] = LAUNCHING
    run = launches.launch(api, plan.target, plan.body, plan.tags, launch_id=entry["launch_id"])
    event.runs.append(run.id)
    entry.update(run_id=run.id, status="LAUNCHED", url=runs.url(api, run.id))
    what = "" if first else f" ({', '.join(entry['assets'])})"
    output.note(f"Launched {run.id}{what}: {entry['url']}")
    return run


def _entry(entries: Sequence[dict[str, Any]], run_id: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["run_id"] == run_id)


def _cancel(api: dagster_api.DagsterApi, result: dict[str, Any], late: errors.TimedOut) -> None:
    """End what goes on; `cancelled` in the result is whether that did it, None as long as it is not known.

    `marked` is whether Dagster calls one cancelled, and its process has not answered.
    """
    going = [entry for entry in result["runs"] if entry["run_id"] and entry["status"] not in runs.OVER]
    output.note(f"The time is up: cancelling {'the run' if len(going) == 1 else f'{len(going)} runs'}.")
    result["cancelled"] = None
    result["marked"] = False
    outcomes = []
    for entry in going:
        try:
            run, marked = cancellation.cancel(api, entry["run_id"])
        except errors.DaglabError as error:
            result["cancelled"] = False if isinstance(error, errors.TimedOut) else None
            raise errors.TimedOut(f"{late.message} It was to be cancelled: {error.message}", error.hint) from error
        entry.update(runs.document(run))
        outcomes.append(run.status == "CANCELED")
        result["marked"] = result["marked"] or marked
        output.note(run.status if outcomes[-1] else f"It ended as {run.status} before it was cancelled.")
        if marked:
            output.warn("It is marked as cancelled and has not answered: what it was doing may go on.")
    result["cancelled"] = any(outcomes)


@contextlib.contextmanager
def _keeping(api: dagster_api.DagsterApi, result: dict[str, Any]) -> Iterator[None]:
    """Whatever ends the launching and waiting carries what is known of the runs, or how to find out."""
    try:
        yield
    except errors.DaglabError as error:
        launched = any(entry["run_id"] for entry in result["runs"])
        error.result = {**(error.result or {}), **result} if launched else error.result
        raise
    except Exception as bug:  # whatever it is, the run that was launched is told
        bug.result = result  # type: ignore[attr-defined]
        raise
    except (KeyboardInterrupt, errors.Terminated) as stop:
        raise _interrupted(api, result, errors.stop_code(stop)) from None


def _interrupted(api: dagster_api.DagsterApi, result: dict[str, Any], code: int) -> errors.Interrupted:
    launched = [entry for entry in result["runs"] if entry["run_id"]]
    going = [entry for entry in launched if entry["status"] not in runs.OVER] or launched
    messages, hints = [], []
    if going:
        state = "may go on, it was being cancelled" if "cancelled" in result else "goes on"
        messages.append(f"the run {', '.join(entry['run_id'] for entry in going)} {state}")
        hints.append(f"See {going[0]['url']}")
    for entry in result["runs"]:
        if entry["status"] == LAUNCHING:
            result["launch"] = "unknown"
            messages.append("a run was being launched, and may exist")
            hints.append(
                f"Look for the tag {launches.LAUNCH_TAG}={entry['launch_id']} among the runs at {api.url}/runs."
            )
    what = "; ".join(messages) or "nothing was launched"
    return errors.Interrupted(f"Interrupted; {what}.", " ".join(hints), result=result, exit_code=code)


def _one_target(**given: str | None) -> None:
    if sum(value is not None for value in given.values()) != 1:
        raise errors.WrongUsage(
            "One of --job, --asset-selection, --select and --asset-pattern is needed, and only one.",
            "daglab run --asset-selection orders, or daglab run --job report",
        )


def _refuse_both(one: str, first: object, other: str, second: object) -> None:
    if first and second:
        raise errors.WrongUsage(f"{one} and {other} do not go together.", "Give one of them.")


@click.command(name="run")
@click.option("--job", metavar="NAME", help="The job to launch.")
@click.option("--asset-selection", metavar="KEYS", help="The assets to materialize, such as orders,src/customers.")
@click.option(
    "--select", metavar="SELECTION", help="Those of Dagster's selection language, such as 'group:mart and +orders'."
)
@click.option("--asset-pattern", metavar="PATTERN", help="Those whose key matches a shell pattern, such as 'orders/*'.")
@click.option("--location", metavar="NAME", help="The code location, where several have that name.")
@click.option("--repo", metavar="NAME", help="The repository, where several have that name.")
@click.option("--run-config", metavar="FILE", help="Run config in YAML or JSON; - reads standard input.")
@click.option("--config-yaml", metavar="TEXT", help="Run config itself, in YAML or JSON.")
@click.option("--partition", metavar="KEY", help="The partition to run.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="A tag of the run. May be repeated.")
@click.option("--validate-only", is_flag=True, help="Check target, partition and run config, and launch nothing.")
@click.option("--wait/--no-wait", "waits", default=True, show_default=True, help="Wait for the end of the run.")
@output.timeout_option
@click.option("--cancel-on-timeout", is_flag=True, help="Cancel the run when the time is up.")
@output.connection_options
@output.json_option
def command(
    job: str | None,
    asset_selection: str | None,
    select: str | None,
    asset_pattern: str | None,
    location: str | None,
    repo: str | None,
    run_config: str | None,
    config_yaml: str | None,
    partition: str | None,
    tags: Sequence[str],
    validate_only: bool,
    waits: bool,
    timeout: float | None,
    cancel_on_timeout: bool,
    as_json: bool,
) -> None:
    """Launch a job or assets on the deployment, and wait for the end.

    Assets of several code locations, or partitioned in several ways, take several runs: each is launched when what it
    needs of the others is made, and all are followed together.

    Exits with 0 for a run that succeeded, 4 for one that did not (each failed step is shown with its exception),
    7 when partition or run config are not valid (all that is wrong is shown), 9 when the time is up (the run goes
    on, unless --cancel-on-timeout ended it), and 5 when it can't be known whether the run was launched.

    \b
    Examples:
      daglab run --asset-selection orders,customers
      daglab run --job report --run-config report.yaml --timeout 600 --json
      daglab run --select '+customer_orders and not group:raw'
      daglab run --asset-pattern 'mart/*' --partition 2026-11-01 --tag team=sales
    """
    _one_target(job=job, assets=asset_selection, select=select, pattern=asset_pattern)
    _refuse_both("--run-config", run_config is not None, "--config-yaml", config_yaml is not None)
    _refuse_both("--no-wait", not waits, "--cancel-on-timeout", cancel_on_timeout)
    wanted = plans.Wanted(
        job=job,
        assets=parse.asset_keys(asset_selection) if asset_selection is not None else (),
        pattern=asset_pattern,
        chosen=selection.read(select) if select is not None else None,
        partition=partition,
        tags=launches.read_tags(tags),
    )
    flags = {"dagster.repository_location_name": location, "dagster.repository_name": repo}
    settings = config.load(output.flags(flags))
    with events.recording(settings.root, "run") as event:
        event.target = f"job:{job}" if job else f"asset:{asset_selection or select or asset_pattern}"
        wanted = dataclasses.replace(
            wanted,
            body=read_config(run_config, config_yaml),
            repository=settings.dagster.repository_name,
            location=settings.dagster.repository_location_name,
        )
        api = dagster_api.connect(settings, operation=event.id)
        event.traffic = api.traffic
        if not validate_only:
            _permit(api, cancels=cancel_on_timeout)
        every = plans.prepare(api, wanted)
        if validate_only:
            _say_valid(every, wanted, as_json)
            return
        result = _fresh_result(every, wanted)
        with _keeping(api, result):
            if waits:
                limit = timeout or settings.performance.max_wait_time
                carry_out(api, settings, event, every, result, timeout=limit, cancels=cancel_on_timeout)
            else:
                _launch_all(api, settings, event, every, result)
        if as_json:
            output.document(result)
        else:
            for entry in result["runs"]:
                output.data("{run_id} {status}".format(**entry))


def _permit(api: dagster_api.DagsterApi, *, cancels: bool) -> None:
    dagster_api.permit(api, "launchRun")
    if cancels:
        dagster_api.permit(api, "terminateRun")


def _fresh_result(every: Sequence[plans.Plan], wanted: plans.Wanted) -> dict[str, Any]:
    """The result before anything is launched; each run has a launch id of its own."""
    launch_id = str(uuid.uuid4())
    ids = [launch_id, *(f"{launch_id}.{number}" for number in range(2, len(every) + 1))]
    entries = [entry_of(plan, wanted, each) for plan, each in zip(every, ids, strict=True)]
    if len(every) > 1:
        output.note(f"It takes {len(every)} runs:")
        for number, plan in enumerate(every, start=1):
            after = ", ".join(str(needed + 1) for needed in sorted(plan.after))
            names = ", ".join("/".join(key) for key in plan.target.assets)
            output.note(f"  {number}. in {plan.target.location}: {names}{f' (after {after})' if after else ''}")
    return {"ok": True, "launch_id": launch_id, "runs": entries}


def _launch_all(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    event: events.Event,
    every: Sequence[plans.Plan],
    result: dict[str, Any],
) -> None:
    """Launch the runs without waiting; warn of a queue that nobody works off."""
    room = settings.performance.max_concurrent_runs
    if any(plan.after for plan in every) or len(every) > room:
        result["runs"].clear()
        raise errors.InvalidInput(
            f"These {len(every)} runs wait for each other, and with --no-wait nobody would launch the later ones.",
            "Leave --no-wait out, or raise performance.max_concurrent_runs where no run needs another one.",
        )
    for plan, entry in zip(every, result["runs"], strict=True):
        progress.warn_of_queue(api, _launch(api, event, plan, entry).status)


def _say_valid(every: Sequence[plans.Plan], wanted: plans.Wanted, as_json: bool) -> None:
    output.note("Everything is valid; nothing was launched.")
    if as_json:
        assets = ["/".join(key) for plan in every for key in plan.target.assets]
        document = {"ok": True, "job": wanted.job, "assets": assets, "partition": wanted.partition, "errors": []}
        output.document(document)

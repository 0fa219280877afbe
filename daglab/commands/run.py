"""`daglab run`: launch a job or assets on the live deployment, follow the run, exit with the truth."""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from daglab import config, dagster_api, entities, errors, events, files, launches, output, parse, partitions, runs


@dataclass(frozen=True)
class Wanted:
    """What is asked for: one of job, assets and pattern; `body` is the run config, None for none given."""

    job: str | None
    assets: Sequence[tuple[str, ...]]
    pattern: str | None
    partition: str | None
    tags: Mapping[str, str]
    body: Mapping[str, Any] | None


@dataclass(frozen=True)
class Plan:
    """A launch of which everything is checked."""

    target: launches.Target
    tags: Mapping[str, str]
    body: Mapping[str, Any]


def prepare(api: dagster_api.DagsterApi, settings: config.Config, wanted: Wanted) -> Plan:
    """What to launch; everything is checked, nothing is launched."""
    found = _find(api, settings, wanted)
    target = launches.job_target(found) if isinstance(found, entities.Job) else launches.assets_target(found)
    tags: Mapping[str, str] = {}
    body, wrong = wanted.body, None
    try:
        if isinstance(found, entities.Job):
            tags, body = partitions.job_launch(api, found, wanted.partition, body)
        else:
            body = body or {}
            tags = partitions.asset_tags(api, found, wanted.partition)
    except errors.InvalidInput as error:
        wrong = error
    if body is None:  # the job makes it of a partition that is not there
        raise launches.invalid([], wrong) from wrong
    launches.check_config(api, target, body, wrong)
    return Plan(target, {**tags, **wanted.tags}, body)


def find_matching(
    api: dagster_api.DagsterApi, pattern: str, *, repository: str | None, location: str | None
) -> list[entities.Asset]:
    """The assets whose key a shell pattern matches, without those that Dagster can't execute.

    Raises `InvalidInput` with the nearest names where there are none.
    """
    every = [
        asset
        for asset in entities.assets(api)
        if repository in (None, asset.repository) and location in (None, asset.location)
    ]
    names = entities.matching((asset.name for asset in every), pattern)
    found = [asset for asset in every if asset.executable and asset.name in names]
    if found:
        return found
    if names:
        raise errors.InvalidInput(
            f"What {pattern} matches is external to Dagster and can't be materialized: {', '.join(sorted(names))}.",
            "Select its downstream assets.",
        )
    near = parse.did_you_mean(pattern.replace("*", ""), [asset.name for asset in every])
    raise errors.InvalidInput(
        f"No asset at {api.url} matches {pattern}.",
        near or f"`daglab discover --filter assets --pattern '{pattern}'` tries a pattern.",
    )


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


def wait(
    api: dagster_api.DagsterApi, settings: config.Config, result: dict[str, Any], timeout: float, *, cancels: bool
) -> None:
    """Follow the run of `result` to its end, keeping `result` up to date; when the time is up, `cancels` ends it.

    Raises `NotGood` unless it succeeded, and `TimedOut` when the time is up, also for a run that was cancelled then.
    """
    entry = result["runs"][0]
    try:
        _follow(api, entry, timeout, settings.performance.polling_interval)
    except errors.TimedOut as late:
        if not cancels:
            raise
        _cancel(api, result, late)
    if entry["status"] == "SUCCESS":
        return
    if result.get("cancelled"):
        raise errors.TimedOut(
            f"The run {entry['run_id']} had not ended after {timeout:g} s and was cancelled.",
            f"See {entry['url']}, or give it more time with --timeout.",
        )
    failures = _failures(api, entry["run_id"])
    entry["errors"] = [
        {"step": failure.step, "error": failure.error, "causes": list(failure.causes)} for failure in failures
    ]
    raise errors.NotGood(_failed(entry["run_id"], entry["status"], failures), f"See {entry['url']}")


def entry_of(run_id: str, target: launches.Target, job: str | None, partition: str | None, url: str) -> dict[str, Any]:
    """A run in the result, as long as nothing but its launch is known."""
    return {
        "run_id": run_id,
        "status": "LAUNCHED",
        "job": job,
        "assets": ["/".join(key) for key in target.assets],
        "partition": partition,
        "url": url,
        "started_at": None,
        "ended_at": None,
        "duration_s": None,
        "steps": [],
        "errors": [],
    }


def _find(
    api: dagster_api.DagsterApi, settings: config.Config, wanted: Wanted
) -> entities.Job | Sequence[entities.Asset]:
    repository, location = settings.dagster.repository_name, settings.dagster.repository_location_name
    if wanted.job:
        return entities.find_job(api, wanted.job, repository=repository, location=location)
    if wanted.pattern:
        return find_matching(api, wanted.pattern, repository=repository, location=location)
    return entities.find_assets(api, wanted.assets, repository=repository, location=location)


def _follow(api: dagster_api.DagsterApi, entry: dict[str, Any], timeout: float, interval: float) -> None:
    shown: set[str] = set()
    for run in runs.follow(api, entry["run_id"], timeout=timeout, interval=interval):
        if run.has_ended:  # the steps lead up to it
            _show_steps(run, shown)
        if run.status != entry["status"]:
            output.note(f"{run.status}")
            _warn_of_queue(api, run.status)
        _show_steps(run, shown)
        entry.update(_progress(run))


def _warn_of_queue(api: dagster_api.DagsterApi, status: str | None) -> None:
    if status == "QUEUED" and runs.waits_in_vain(api):
        output.warn(
            "The run is queued, and the daemon that would start it does not run. Start it beside the webserver with "
            "`dagster-daemon run`; `dagster dev` starts both."
        )


def _cancel(api: dagster_api.DagsterApi, result: dict[str, Any], late: errors.TimedOut) -> None:
    """End the run; `cancelled` in the result is whether that did it, None as long as it is not known.

    `marked` is whether Dagster calls it cancelled, and its process has not answered.
    """
    entry = result["runs"][0]
    output.note("The time is up: cancelling the run.")
    result["cancelled"] = None
    try:
        run, marked = runs.cancel(api, entry["run_id"])
    except errors.DaglabError as error:
        result["cancelled"] = False if isinstance(error, errors.TimedOut) else None
        raise errors.TimedOut(f"{late.message} It was to be cancelled: {error.message}", error.hint) from error
    entry.update(_progress(run))
    result["cancelled"], result["marked"] = run.status == "CANCELED", marked
    output.note(run.status if result["cancelled"] else f"It ended as {run.status} before it was cancelled.")
    if marked:
        output.warn("It is marked as cancelled and has not answered: what it was doing may go on.")


@contextlib.contextmanager
def _keeping(api: dagster_api.DagsterApi, result: dict[str, Any]) -> Iterator[None]:
    """Whatever ends the launching and waiting carries what is known of the run, or how to find out."""
    try:
        yield
    except errors.DaglabError as error:
        error.result = result if result["runs"] else error.result
        raise
    except Exception as bug:  # whatever it is, the run that was launched is told
        bug.result = result  # type: ignore[attr-defined]
        raise
    except (KeyboardInterrupt, errors.Terminated) as stop:
        if result["runs"]:
            entry = result["runs"][0]
            state = "may go on, it was being cancelled" if "cancelled" in result else "goes on"
            message, hint = f"Interrupted; the run {entry['run_id']} {state}.", f"See {entry['url']}"
        else:
            result["launch"] = "unknown"
            message = "Interrupted while the run was launched; it may exist."
            hint = f"Look for the tag {launches.LAUNCH_TAG}={result['launch_id']} among the runs at {api.url}/runs."
        raise errors.Interrupted(message, hint, result=result, exit_code=errors.stop_code(stop)) from None


def _failures(api: dagster_api.DagsterApi, run_id: str) -> list[runs.Failure]:
    """Why the run failed; that it failed stays true when the reasons can't be read."""
    try:
        return runs.failures(api, run_id)
    except errors.DaglabError as error:
        output.warn(f"The reasons can't be read: {error.message}")
        return []


def _progress(run: runs.Run) -> dict[str, Any]:
    return {
        "status": run.status,
        "started_at": runs.timestamp(run.started),
        "ended_at": runs.timestamp(run.ended),
        "duration_s": run.seconds,
        "steps": [
            {
                "key": step.key,
                "status": step.status,
                "started_at": runs.timestamp(step.started),
                "ended_at": runs.timestamp(step.ended),
            }
            for step in run.steps
        ],
    }


def _show_steps(run: runs.Run, shown: set[str]) -> None:
    """A step of a check is done, too, when the check has not passed: so no step is called a success."""
    words = {"SUCCESS": "done", "FAILURE": "failed", "SKIPPED": "skipped"}
    for step in run.steps:
        if step.key not in shown and step.status in words:
            shown.add(step.key)
            output.note(f"  {step.key}: {words[step.status]}")


def _failed(run_id: str, status: str, failures: Sequence[runs.Failure]) -> str:
    lines = [f"The run {run_id} ended as {status}."]
    for failure in failures:
        causes = "".join(f" (caused by {cause})" for cause in failure.causes)
        lines.append(f"  {failure.step or 'run'}: {failure.error}{causes}")
    return "\n".join(lines)


def _one_target(job: str | None, selection: str | None, pattern: str | None) -> list[tuple[str, ...]]:
    if sum(map(bool, (job, selection, pattern))) != 1:
        raise errors.WrongUsage(
            "One of --job, --asset-selection and --asset-pattern is needed, and only one.",
            "daglab run --asset-selection orders, or daglab run --job report",
        )
    return parse.asset_keys(selection) if selection else []


def _refuse_both(one: str, first: object, other: str, second: object) -> None:
    if first and second:
        raise errors.WrongUsage(f"{one} and {other} do not go together.", "Give one of them.")


@click.command(name="run")
@click.option("--job", metavar="NAME", help="The job to launch.")
@click.option("--asset-selection", metavar="KEYS", help="The assets to materialize, such as orders,src/customers.")
@click.option("--asset-pattern", metavar="PATTERN", help="Those whose key matches a shell pattern, such as 'orders/*'.")
@click.option("--location", metavar="NAME", help="The code location, where several have that name.")
@click.option("--repo", metavar="NAME", help="The repository, where several have that name.")
@click.option("--run-config", metavar="FILE", help="Run config in YAML or JSON; - reads standard input.")
@click.option("--config-yaml", metavar="TEXT", help="Run config itself, in YAML or JSON.")
@click.option("--partition", metavar="KEY", help="The partition to run.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="A tag of the run. May be repeated.")
@click.option("--validate-only", is_flag=True, help="Check target, partition and run config, and launch nothing.")
@click.option("--wait/--no-wait", "waits", default=True, show_default=True, help="Wait for the end of the run.")
@click.option(
    "--timeout",
    type=output.Seconds(),
    metavar="SECONDS",
    help="How long to wait at most.  [default: performance.max_wait_time]",
)
@click.option("--cancel-on-timeout", is_flag=True, help="Cancel the run when the time is up.")
@output.connection_options
@output.json_option
def command(
    job: str | None,
    asset_selection: str | None,
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

    Exits with 0 for a run that succeeded, 4 for one that did not (each failed step is shown with its exception),
    7 when partition or run config are not valid (all that is wrong is shown), 9 when the time is up (the run goes
    on, unless --cancel-on-timeout ended it), and 5 when it can't be known whether the run was launched.

    \b
    Examples:
      daglab run --asset-selection orders,customers
      daglab run --job report --run-config report.yaml --timeout 600 --json
      daglab run --asset-pattern 'mart/*' --partition 2026-11-01 --tag team=sales
    """
    keys = _one_target(job, asset_selection, asset_pattern)
    _refuse_both("--run-config", run_config is not None, "--config-yaml", config_yaml is not None)
    _refuse_both("--no-wait", not waits, "--cancel-on-timeout", cancel_on_timeout)
    run_tags = launches.read_tags(tags)
    flags = {"dagster.repository_location_name": location, "dagster.repository_name": repo}
    settings = config.load(output.flags(flags))
    with events.recording(settings.root, "run") as event:
        event.target = f"job:{job}" if job else f"asset:{asset_selection or asset_pattern}"
        wanted = Wanted(job, keys, asset_pattern, partition, run_tags, read_config(run_config, config_yaml))
        api = dagster_api.connect(settings, operation=event.id)
        event.traffic = api.traffic
        if not validate_only:
            dagster_api.permit(api, "launchRun")
        if cancel_on_timeout and not validate_only:
            dagster_api.permit(api, "terminateRun")
        plan = prepare(api, settings, wanted)
        if validate_only:
            _say_valid(plan, wanted, as_json)
            return
        result: dict[str, Any] = {"ok": True, "launch_id": str(uuid.uuid4()), "runs": []}
        with _keeping(api, result):
            _launch(api, event, plan, wanted, result, ask=not waits)
            if waits:
                limit = timeout or settings.performance.max_wait_time
                wait(api, settings, result, limit, cancels=cancel_on_timeout)
        if as_json:
            output.document(result)
        else:
            output.data("{run_id} {status}".format(**result["runs"][0]))


def _launch(
    api: dagster_api.DagsterApi, event: events.Event, plan: Plan, wanted: Wanted, result: dict[str, Any], *, ask: bool
) -> None:
    """Launch the run and put it into `result`; with `ask`, warn of a queue that nobody works off."""
    run = launches.launch(api, plan.target, plan.body, plan.tags, launch_id=result["launch_id"])
    event.runs.append(run.id)
    address = runs.url(api, run.id)
    result["runs"].append(entry_of(run.id, plan.target, wanted.job, wanted.partition, address))
    output.note(f"Launched {run.id}: {address}")
    if ask:
        _warn_of_queue(api, run.status)


def _say_valid(plan: Plan, wanted: Wanted, as_json: bool) -> None:
    output.note("Everything is valid; nothing was launched.")
    if as_json:
        assets = ["/".join(key) for key in plan.target.assets]
        document = {"ok": True, "job": wanted.job, "assets": assets, "partition": wanted.partition, "errors": []}
        output.document(document)

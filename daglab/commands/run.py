"""`daglab run`: launch a job or assets on the live deployment, follow the run, exit with the truth."""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from daglab import config, dagster_api, entities, errors, events, files, launches, output, parse, partitions, runs


def prepare(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    *,
    job: str | None,
    assets: Sequence[tuple[str, ...]],
    partition: str | None,
) -> tuple[launches.Target, dict[str, str]]:
    """What to launch and the tags of its partition; everything is checked, nothing is launched."""
    repository, location = settings.dagster.repository_name, settings.dagster.repository_location_name
    if job:
        found = entities.find_job(api, job, repository=repository, location=location)
        return launches.job_target(found), partitions.job_tags(api, found, partition)
    chosen = entities.find_assets(api, assets, repository=repository, location=location)
    return launches.assets_target(chosen), partitions.asset_tags(api, chosen, partition)


def read_config(source: str | None) -> dict[str, Any]:
    """The run config of a file, or of standard input for `-`; empty for none."""
    if source is None:
        return {}
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


def wait(api: dagster_api.DagsterApi, settings: config.Config, result: dict[str, Any], timeout: float) -> None:
    """Follow the run of `result` to its end, keeping `result` up to date. Raises `NotGood` unless it succeeded."""
    entry = result["runs"][0]
    interval = settings.performance.polling_interval
    shown: set[str] = set()
    for run in runs.follow(api, entry["run_id"], timeout=timeout, interval=interval):
        if run.status != entry["status"]:
            output.note(f"{run.status}")
        _show_steps(run, shown)
        entry.update(_progress(run))
    if entry["status"] == "SUCCESS":
        return
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


@contextlib.contextmanager
def _keeping(api: dagster_api.DagsterApi, result: dict[str, Any]) -> Iterator[None]:
    """Whatever ends the launching and waiting carries what is known of the run, or how to find out."""
    try:
        yield
    except errors.DaglabError as error:
        error.result = result if result["runs"] else error.result
        raise
    except Exception as bug:
        bug.result = result  # type: ignore[attr-defined]  # the run is told even then
        raise
    except (KeyboardInterrupt, errors.Terminated) as stop:
        code = 143 if isinstance(stop, errors.Terminated) else 130
        if result["runs"]:
            entry = result["runs"][0]
            message, hint = f"Interrupted; the run {entry['run_id']} goes on.", f"See {entry['url']}"
        else:
            result["launch"] = "unknown"
            message = "Interrupted while the run was launched; it may exist."
            hint = f"Look for the tag {launches.LAUNCH_TAG}={result['launch_id']} among the runs at {api.url}/runs."
        raise errors.Interrupted(message, hint, result=result, exit_code=code) from None


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


def _one_target(job: str | None, selection: str | None) -> list[tuple[str, ...]]:
    if bool(job) == bool(selection):
        raise errors.WrongUsage(
            "One of --job and --asset-selection is needed, and only one.",
            "daglab run --asset-selection orders, or daglab run --job report",
        )
    return parse.asset_keys(selection) if selection else []


@click.command(name="run")
@click.option("--job", metavar="NAME", help="The job to launch.")
@click.option("--asset-selection", metavar="KEYS", help="The assets to materialize, such as orders,src/customers.")
@click.option("--location", metavar="NAME", help="The code location, where several have that name.")
@click.option("--repo", metavar="NAME", help="The repository, where several have that name.")
@click.option("--run-config", metavar="FILE", help="Run config in YAML or JSON; - reads standard input.")
@click.option("--partition", metavar="KEY", help="The partition to run.")
@click.option("--wait/--no-wait", "waits", default=True, show_default=True, help="Wait for the end of the run.")
@click.option(
    "--timeout",
    type=output.Seconds(),
    metavar="SECONDS",
    help="How long to wait at most.  [default: performance.max_wait_time]",
)
@output.url_option
@output.json_option
def command(
    job: str | None,
    asset_selection: str | None,
    location: str | None,
    repo: str | None,
    run_config: str | None,
    partition: str | None,
    waits: bool,
    timeout: float | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Launch a job or assets on the deployment, and wait for the end.

    Exits with 0 for a run that succeeded, 4 for one that did not (each failed step is shown with its exception),
    9 when the time is up (the run goes on), and 5 when it can't be known whether the run was launched.

    \b
    Examples:
      daglab run --asset-selection orders,customers
      daglab run --job report --run-config report.yaml --timeout 600 --json
    """
    keys = _one_target(job, asset_selection)
    settings = config.load(
        {"dagster.url": url, "dagster.repository_location_name": location, "dagster.repository_name": repo}
    )
    with events.recording(settings.root, "run") as event:
        event.target = f"job:{job}" if job else f"asset:{asset_selection}"
        body = read_config(run_config)
        api = dagster_api.connect(settings, operation=event.id)
        event.traffic = api.traffic
        target, tags = prepare(api, settings, job=job, assets=keys, partition=partition)
        launches.check_config(api, target, body)
        result: dict[str, Any] = {"ok": True, "launch_id": str(uuid.uuid4()), "runs": []}
        with _keeping(api, result):
            run_id = launches.launch(api, target, body, tags, launch_id=result["launch_id"])
            event.runs.append(run_id)
            result["runs"].append(entry_of(run_id, target, job, partition, runs.url(api, run_id)))
            output.note(f"Launched {run_id}: {runs.url(api, run_id)}")
            if waits:
                wait(api, settings, result, timeout or settings.performance.max_wait_time)
        if as_json:
            output.document(result)
        else:
            output.data(f"{run_id} {result['runs'][0]['status']}")

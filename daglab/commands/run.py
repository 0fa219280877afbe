"""`daglab run`: launch a job or assets on the live deployment, follow the runs, exit with the truth."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, files, output, parse
from daglab.deployment import dagster_api, selection
from daglab.deployment import partitions as partition_keys
from daglab.launching import dispatch, launch_keys, launches, outcomes, plans, progress, run_config
from daglab.settings import config


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


def _one_target(**given: str | None) -> None:
    if sum(map(bool, given.values())) != 1:
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
@click.option("--select", metavar="SELECTION", help="Those of a selection, such as 'group:mart and not kind:sql'.")
@click.option("--asset-pattern", metavar="PATTERN", help="Those whose key matches a shell pattern, such as 'orders/*'.")
@click.option("--location", metavar="NAME", help="The code location, where several have that name.")
@click.option("--repo", metavar="NAME", help="The repository, where several have that name.")
@click.option("--run-config", "config_file", metavar="FILE", help="Run config in YAML or JSON; - reads standard input.")
@click.option("--config-yaml", metavar="TEXT", help="Run config itself, in YAML or JSON.")
@click.option("--partition", metavar="KEY", help="The partition to run; date=2026-01-01,region=eu for two dimensions.")
@click.option("--partition-range", metavar="A..B", help="The partitions from A to B: a backfill.")
@click.option("--partitions", metavar="KEYS", help="These partitions, such as eu,us: a backfill.")
@click.option("--all-partitions", is_flag=True, help="All partitions: a backfill.")
@click.option("--latest-partition", is_flag=True, help="The last partition.")
@click.option("--missing-only", is_flag=True, help="Of these partitions, or of all, those that were not made yet.")
@click.option("--single-run", is_flag=True, help="One run for a range of partitions, where the assets' code takes one.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="A tag of the run. May be repeated.")
@click.option("--launch-key", metavar="KEY", help="The same key, given again, finds the run that it made before.")
@click.option("--relaunch-failed", is_flag=True, help="Launch again what the key has made and has failed.")
@click.option("--print-config", is_flag=True, help="Print run config to fill in, as YAML, and launch nothing.")
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
    config_file: str | None,
    config_yaml: str | None,
    tags: Sequence[str],
    launch_key: str | None,
    relaunch_failed: bool,
    print_config: bool,
    validate_only: bool,
    waits: bool,
    timeout: float | None,
    cancel_on_timeout: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Launch a job or assets on the deployment, and wait for the end.

    Assets of several code locations, or partitioned in several ways, take several runs: each is launched when what it
    needs of the others is made, and all are followed together. More than one partition becomes a backfill, which the
    deployment's own daemon works off.

    Exits with 0 for a run that succeeded, 4 for one that did not (each failed step is shown with its exception),
    7 when partition or run config are not valid (all that is wrong is shown), 9 when the time is up (the run goes
    on, unless --cancel-on-timeout ended it), and 5 when it can't be known whether the run was launched.

    \b
    Examples:
      daglab run --asset-selection orders,customers
      daglab run --job report --run-config report.yaml --timeout 600 --json
      daglab run --select '+key:customer_orders and not group:raw'
      daglab run --asset-pattern 'mart/*' --partition 2026-11-01 --tag team=sales
      daglab run --asset-selection daily --partition-range 2026-11-01..2026-11-30 --missing-only
      daglab run --job nightly --launch-key nightly-2026-11-01
    """
    _one_target(job=job, assets=asset_selection, select=select, pattern=asset_pattern)
    _refuse_both("--run-config", config_file is not None, "--config-yaml", config_yaml is not None)
    _refuse_both("--no-wait", not waits, "--cancel-on-timeout", cancel_on_timeout)
    wanted = plans.Wanted(
        job=job,
        assets=parse.asset_keys(asset_selection) if asset_selection is not None else (),
        pattern=asset_pattern,
        chosen=selection.read(select) if select is not None else None,
        partition=given["partition"],
        choice=_choice(**given),
        single_run=given["single_run"],
        tags=launches.read_tags(tags),
    )
    key = launch_keys.read(launch_key, relaunches=relaunch_failed)
    flags = {"dagster.repository_location_name": location, "dagster.repository_name": repo}
    settings = config.load(output.flags(flags))
    with events.recording(settings.root, "run") as event:
        event.target = f"job:{job}" if job else f"asset:{asset_selection or select or asset_pattern}"
        wanted = dataclasses.replace(
            wanted,
            body=read_config(config_file, config_yaml),
            repository=settings.dagster.repository_name,
            location=settings.dagster.repository_location_name,
        )
        api = dagster_api.connect(settings, operation=event.id)
        event.traffic = api.traffic
        if print_config:
            _print_config(api, wanted, as_json)
            return
        key = key and launch_keys.of(key, wanted)
        if validate_only:
            _say_valid(plans.prepare(api, wanted), wanted, as_json)
            return
        prepared = _prepare(api, wanted, key, cancels=cancel_on_timeout or key is not None)
        result = dispatch.fresh_result(prepared, wanted)
        limit = (timeout or settings.performance.max_wait_time) if waits else None
        try:
            with dispatch.keeping(result):
                _launch(api, settings, prepared, result, limit, key, cancels=cancel_on_timeout)
        finally:
            event.runs.extend(entry["run_id"] for entry in result["runs"] if entry["run_id"])
            event.detail.update(outcomes.of(result))
        progress.tell(result, as_json)


def _prepare(
    api: dagster_api.DagsterApi, wanted: plans.Wanted, key: launch_keys.Key | None, *, cancels: bool
) -> plans.Prepared:
    """What is to be launched, or the backfill that the key has made. Raises for what the sandbox does not allow."""
    try:
        _permit(api, backfill=False, cancels=cancels)
    except errors.NotAuthorised:
        if wanted.choice is None or wanted.single_run:
            raise
        _permit(api, backfill=True, cancels=cancels)  # what it takes is known when the partitions are
    asked, made = launch_keys.recall(api, wanted, key)
    if made:
        return plans.Prepared(made=made)
    prepared = plans.prepare(api, asked)
    _permit(api, backfill=prepared.backfill is not None, cancels=cancels)
    return prepared


def _print_config(api: dagster_api.DagsterApi, wanted: plans.Wanted, as_json: bool) -> None:
    text = run_config.skeleton(api, plans.find_targets(api, wanted))
    if as_json:
        output.document({"ok": True, "config": text})
    else:
        output.text(text)


def _launch(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    prepared: plans.Prepared,
    result: dict[str, Any],
    limit: float | None,
    key: launch_keys.Key | None,
    *,
    cancels: bool,
) -> None:
    """Launch what is prepared, and follow it for at most `limit` seconds; None for not at all."""
    several = prepared.backfill or prepared.made
    if several and limit:
        dispatch.carry_out_backfill(api, settings, prepared, result, timeout=limit, cancels=cancels, key=key)
    elif several:
        dispatch.judge_backfill(api, dispatch.start_backfill(api, prepared, result, key), result)
    elif not prepared.runs:
        output.note("Nothing is missing; nothing was launched.")
    elif limit:
        dispatch.carry_out(api, settings, prepared.runs, result, timeout=limit, cancels=cancels, key=key)
    else:
        dispatch.launch_all(api, settings, prepared.runs, result, key=key)


def _permit(api: dagster_api.DagsterApi, *, backfill: bool, cancels: bool) -> None:
    dagster_api.permit(api, "launchPartitionBackfill" if backfill else "launchRun")
    if cancels:
        dagster_api.permit(api, "cancelPartitionBackfill" if backfill else "terminateRun")


def _choice(
    *,
    partition: str | None,
    partition_range: str | None,
    partitions: str | None,
    all_partitions: bool,
    latest_partition: bool,
    missing_only: bool,
    single_run: bool,
) -> partition_keys.Choice | None:
    """Which of several partitions are asked for; None where none of the options asks for them."""
    several = (partition_range, partitions, all_partitions or None, latest_partition or None)
    given = sum(value is not None for value in several)
    if given + (partition is not None) > 1:
        raise errors.WrongUsage("The options that choose partitions say different things.", "Give one of them.")
    if partition is not None and (missing_only or single_run):
        raise errors.WrongUsage(
            "--missing-only and --single-run are for several partitions.", "Leave them out, or give --partitions."
        )
    if not given and not missing_only:
        if single_run:
            raise errors.WrongUsage("--single-run is for several partitions.", "Add --partition-range A..B.")
        return None
    return partition_keys.Choice(
        keys=tuple(parse.names([partitions])) if partitions is not None else (),
        span=parse.span(partition_range, "--partition-range") if partition_range is not None else None,
        every=all_partitions,
        latest=latest_partition,
        missing=missing_only,
    )


def _say_valid(prepared: plans.Prepared, wanted: plans.Wanted, as_json: bool) -> None:
    output.note("Everything is valid; nothing was launched.")
    if as_json:
        keys = [key for plan in prepared.runs for key in plan.target.assets]
        assets = ["/".join(key) for key in (prepared.backfill.assets if prepared.backfill else keys)]
        several = {"partitions": list(prepared.partitions)} if wanted.choice else {}
        document = {"ok": True, "job": wanted.job, "assets": assets, "partition": wanted.partition, **several}
        output.document({**document, "errors": []})

"""Launching runs, and how they stand: nothing waits for longer than a request, but `follow` outside of a cell."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from daglab import errors, events, files, parse
from daglab.deployment import dagster_api, entities, partitions, run_logs, run_records, runs
from daglab.helpers import client as deployment
from daglab.helpers import display
from daglab.launching import launches, reexecution, run_config, targets

RunConfig = Mapping[str, Any] | str | None
Choice = deployment.Target | Sequence[str] | str
COMMAND = "helpers.run"  # what its events are recorded as
DONE = ("SUCCESS", "FAILURE", "SKIPPED")


@dataclass(frozen=True)
class Run(display.Shown):
    """A run as it stands, its page, and once it has failed, why. Times are seconds since 1970."""

    client: deployment.Client = field(repr=False, compare=False)
    run: runs.Run
    failures: tuple[run_logs.Failure, ...] = ()

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run.id

    @property
    def status(self) -> str:
        """Dagster's word for how it stands: QUEUED, STARTED, SUCCESS, FAILURE, CANCELED."""
        return self.run.status

    @property
    def url(self) -> str:
        """Its page in Dagster."""
        return runs.url(self.client.api, self.run.id)

    @property
    def has_ended(self) -> bool:
        """Whether it is in a terminal state."""
        return self.run.has_ended

    @property
    def succeeded(self) -> bool:
        """Whether it has ended well."""
        return self.run.status == "SUCCESS"

    @property
    def seconds(self) -> float | None:
        """How long it took, None before its end."""
        return self.run.seconds

    def look(self) -> Run:
        """The run as it stands now; one that has ended is not asked about. Raises `DaglabError` when it is gone."""
        return self if self.has_ended else run_status(self.client, self.id)

    def html(self) -> str:
        """Status and link, how far it is, its steps, and why it failed."""
        kind = "good" if self.succeeded else "bad" if self.has_ended else "going"
        took = f" in {display.seconds(self.seconds)}" if self.seconds is not None else ""
        link = display.cell(display.Link(self.url, self.id))
        head = f"<p>{display.mark(kind)}Run {link}: <strong>{escape(self.status)}</strong>{took}</p>"
        return head + self._progress() + display.table(("step", "status", "took"), self._steps()) + self._why()

    def __str__(self) -> str:
        took = f" in {display.seconds(self.seconds)}" if self.seconds is not None else ""
        lines = [f"Run {self.id}: {self.status}{took}"]
        lines += [f"  {key}: {status} {seconds}".rstrip() for key, status, seconds in self._steps()]
        for failure in self.failures:
            lines.append(f"  {failure.step or 'run'}: {failure.error}")
            lines += [f"    caused by {cause}" for cause in failure.causes]
        return "\n".join([*lines, f"  {self.url}"])

    def _progress(self) -> str:
        steps = self.run.steps
        if self.has_ended or not steps:
            return ""
        done = sum(step.status in DONE for step in steps)
        return f'<p><progress value="{done}" max="{len(steps)}"></progress>{done} of {len(steps)} steps</p>'

    def _steps(self) -> list[tuple[str, str, str]]:
        return [(step.key, (step.status or "").lower(), display.seconds(step.seconds)) for step in self.run.steps]

    def _why(self) -> str:
        lines = "".join(
            f"<li><strong>{escape(failure.step or 'run')}</strong>: {escape(failure.error)}"
            + "".join(f"<br>caused by {escape(cause)}" for cause in failure.causes)
            + "</li>"
            for failure in self.failures
        )
        return f"<ul>{lines}</ul>" if lines else ""


@dataclass(frozen=True)
class Checked(display.Shown):
    """Whether run config can be launched: the problems, each with its place; none for a good one."""

    problems: tuple[launches.Problem, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it can be launched."""
        return not self.problems

    def html(self) -> str:
        """A line, or a list of what is wrong."""
        if self.ok:
            return f"<p>{display.mark('good')}The run config is valid.</p>"
        lines = "".join(f"<li>{escape(problem.line)}</li>" for problem in self.problems)
        return f"<p>{display.mark('bad')}<strong>The run config is not valid.</strong></p><ul>{lines}</ul>"

    def __str__(self) -> str:
        if self.ok:
            return "The run config is valid."
        return "\n  ".join(["The run config is not valid:", *(problem.line for problem in self.problems)])


def run_assets(
    client: deployment.Client,
    assets: Sequence[entities.Asset] | Sequence[str] | str,
    *,
    partition: str | None = None,
    run_config: RunConfig = None,
    tags: Mapping[str, str] | None = None,
) -> Run:
    """Launch one run that materializes assets, without waiting: assets, their keys, or a selection.

    `run_config` is a mapping, or YAML text. Raises `DaglabError` when something is not valid, then nothing is launched,
    or when it is unknown whether the run was launched; it is never launched twice.
    """
    launches.check_tags(tags or {})
    chosen = _assets(client, assets)
    with deployment.recorded(client, COMMAND, deployment.name_of(chosen)) as (event, api):
        target = targets.assets_target(chosen)
        every = {**(tags or {}), **partitions.asset_tags(api, chosen, partition)}
        return _launch(client, api, event, target, every, _body(run_config) or {})


def run_job(
    client: deployment.Client,
    job: entities.Job | str,
    *,
    partition: str | None = None,
    run_config: RunConfig = None,
    tags: Mapping[str, str] | None = None,
) -> Run:
    """Launch a job, given or by its name, without waiting; otherwise as `run_assets`.

    Without `run_config`, the run of a partition has the config that the job's own code makes of it.
    """
    launches.check_tags(tags or {})
    found = deployment.find_job(client, job) if isinstance(job, str) else job
    with deployment.recorded(client, COMMAND, deployment.name_of(found)) as (event, api):
        own, body = partitions.job_launch(api, found, partition, _body(run_config))
        return _launch(client, api, event, targets.job_target(found), {**(tags or {}), **own}, body)


def retry(run: Run, *, from_failure: bool = True) -> Run:
    """Launch a run again with the same config: from what failed, or all of it. Raises as `run_assets` does."""
    with deployment.recorded(run.client, COMMAND, f"run:{run.id}") as (event, api):
        launched = reexecution.retry(api, run.id, "from-failure" if from_failure else "all")
        event.runs.append(launched.id)
    return Run(run.client, runs.Run(launched.id, launched.status or "QUEUED"))


def run_status(client: deployment.Client, run_id: str) -> Run:
    """The run as it stands. Raises `DaglabError` when it is not there, or nothing answers."""
    run = runs.status(client.api, [run_id])[run_id]
    failed = run.has_ended and run.status != "SUCCESS"
    return Run(client, run, tuple(run_logs.failures(client.api, run_id)) if failed else ())


def last_run(client: deployment.Client, run_id: str | None) -> Run | None:
    """The run of an id that was kept; None for none, and for one that Dagster does not have any more."""
    if run_id is None:
        return None
    try:
        return run_status(client, run_id)
    except errors.InvalidInput:
        return None


def follow(run: Run, *, interval: float | None = None) -> Iterator[Run]:
    """The run each time that it has changed, up to its end.

    In a cell it asks once and is done, so that the kernel stays free: let `mo.ui.refresh` run the cell again. In a
    script or a `mo.Thread` it waits `interval` seconds (`performance.polling_interval`) between two looks, and ends
    with the thread. Raises `DaglabError` when the run is gone, or nothing answers for a while.
    """
    pause = run.client.settings.performance.polling_interval if interval is None else interval
    known: Run | None = None
    while True:
        now = runs.patiently(run.look, f"The run {run.id}", interval=pause) if _may_wait() else run.look()
        if now != known:
            yield now
        known = now
        if now.has_ended or not _may_wait() or _should_end():
            return
        time.sleep(pause)


def config_template(client: deployment.Client, target: Choice, *, partition: str | None = None) -> str:
    """Run config for a job or assets as YAML to fill in: defaults, types, and what is required.

    Of a partitioned job, what its own code makes of the partition. Raises `DaglabError` for what can't be launched.
    """
    if isinstance(target, entities.Job) and target.partition_set and partition is not None:
        import yaml

        _, body = partitions.job_launch(client.api, target, partition, None)
        if body:
            return yaml.safe_dump(dict(body), sort_keys=False, allow_unicode=True)
    return run_config.skeleton(client.api, [_target(client, target)])


def validate_config(client: deployment.Client, target: Choice, config: RunConfig) -> Checked:
    """Whether run config, a mapping or YAML text, can be launched. Raises `DaglabError` when nothing answers."""
    try:
        body = _body(config) or {}
    except errors.InvalidInput as error:
        return Checked((launches.Problem((), "YAML", error.message),))
    return Checked(tuple(launches.config_problems(client.api, _target(client, target), body)))


def load_config_from_file(path: Path | str) -> dict[str, Any]:
    """Run config from a YAML or JSON file. Raises `DaglabError` when it is missing, or is no mapping."""
    return parse.run_config(files.read_text(Path(path), "run config"), str(path))


def compare_runs(first: Run | str, second: Run | str, *, client: deployment.Client | None = None) -> Comparison:
    """What is different from the first run to the second: status, config, each step's time, metadata.

    Runs by their ids need the `client`. Raises `DaglabError` when one is not there.
    """
    client = client or next((run.client for run in (first, second) if isinstance(run, Run)), None)
    if client is None:
        raise errors.InvalidInput("Runs by their ids need the client.", "compare_runs(first, second, client=client)")
    ids = [run if isinstance(run, str) else run.id for run in (first, second)]
    one, other = (run_records.detail(client.api, run_records.find(client.api, each)) for each in ids)
    return Comparison((one.record.id, other.record.id), run_records.compare(one, other))


@dataclass(frozen=True)
class Comparison(display.Shown):
    """What is different between two runs; `document` is as `daglab runs compare --json` prints it."""

    ids: tuple[str, str]
    document: Mapping[str, Any]

    def html(self) -> str:
        """Tables of what is not the same."""
        names = ("", self.ids[0][:8], self.ids[1][:8])
        config = "\n".join(self.document["config"])
        parts = [
            display.table(names, self._outline()),
            display.table(("step", *names[1:], "ratio"), self._steps()),
            display.table(("metadata", *names[1:]), self._metadata()),
            f"<h3>Config</h3><pre>{escape(config)}</pre>" if config else "<p>The config is the same.</p>",
        ]
        return "".join(parts)

    def __str__(self) -> str:
        rows = [*self._outline(), *self._steps(), *self._metadata()]
        lines = [f"{row[0]}: {' -> '.join(map(str, row[1:3]))}" for row in rows]
        return "\n".join([*lines, *self.document["config"]])

    def _outline(self) -> list[tuple[str, ...]]:
        took = (display.seconds(value) for value in self.document["duration_s"])
        return [("status", *self.document["status"]), ("took", *took)]

    def _steps(self) -> list[tuple[str, ...]]:
        return [
            (
                step["key"],
                *(display.seconds(value) for value in step["duration_s"]),
                "" if step["ratio"] is None else f"{step['ratio']:.2f}",
            )
            for step in self.document["steps"]
        ]

    def _metadata(self) -> list[tuple[str, ...]]:
        return [
            (
                f"{change['asset']}: {change['label']}",
                *("" if value is None else str(value) for value in change["values"]),
            )
            for change in self.document["metadata"]
        ]


def _launch(
    client: deployment.Client,
    api: dagster_api.DagsterApi,
    event: events.Event,
    target: targets.Target,
    tags: Mapping[str, str],
    body: Mapping[str, Any],
) -> Run:
    launches.check_config(api, target, body)
    launched = launches.launch(api, target, body, tags)
    event.runs.append(launched.id)
    return Run(client, runs.Run(launched.id, launched.status or "QUEUED"))


def _body(run_config: RunConfig) -> Mapping[str, Any] | None:
    return parse.run_config(run_config, "run config") if isinstance(run_config, str) else run_config


def _assets(client: deployment.Client, assets: Sequence[entities.Asset] | Sequence[str] | str) -> list[entities.Asset]:
    if isinstance(assets, str):
        return list(deployment.choose_assets(client, assets))
    given = [asset for asset in assets if isinstance(asset, entities.Asset)]
    return given if len(given) == len(assets) else list(deployment.find_assets(client, [str(key) for key in assets]))


def _target(client: deployment.Client, target: Choice) -> targets.Target:
    if isinstance(target, entities.Job):
        return targets.job_target(target)
    found = deployment.several(target) if isinstance(target, entities.Asset) else _assets(client, target)
    return targets.assets_target(found)


def _may_wait() -> bool:
    """Whether nobody's kernel is held up: outside of a notebook, and in a thread of one."""
    marimo = sys.modules.get("marimo")
    return marimo is None or not marimo.running_in_notebook() or _thread() is not None


def _should_end() -> bool:
    thread = _thread()
    return thread is not None and bool(thread.should_exit)


def _thread() -> Any:
    """The marimo.Thread that we are in, None in a cell or elsewhere."""
    marimo = sys.modules.get("marimo")
    if marimo is None:
        return None
    try:
        return marimo.current_thread()
    except RuntimeError:
        return None

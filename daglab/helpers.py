"""What notebooks import: connect to the deployment, find the target, launch it, look at the run.

No function blocks for longer than a request takes, so that a notebook stays alive while a run is under way:
launch, then call `run_status` whenever a `mo.ui.refresh` ticks. Errors are `DaglabError` with a hint; `show`
turns them, assets, jobs and runs into HTML in which every text from outside is escaped.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from daglab import (
    config,
    dagster_api,
    entities,
    events,
    export_record,
    launches,
    observations,
    parse,
    partitions,
    run_logs,
    runs,
    targets,
)
from daglab.errors import DaglabError

__all__ = [
    "Client",
    "DaglabError",
    "Look",
    "connect",
    "exploration_metadata",
    "find_asset",
    "find_job",
    "partition_keys",
    "run_assets",
    "run_job",
    "run_status",
    "show",
]


# marimo's page takes the browser's own look away from headings, tables and links.
STYLE = """<style>
.daglab { overflow-wrap: anywhere; }
.daglab h2 { font-size: 1.5em; font-weight: 600; margin: 0 0 0.4em; }
.daglab p { margin: 0 0 0.6em; white-space: pre-line; }
.daglab a { text-decoration: underline; }
.daglab table { border-collapse: collapse; margin: 0 0 0.6em; }
.daglab th, .daglab td { padding: 0.2em 1.5em 0.2em 0; text-align: left; vertical-align: top; }
.daglab th, .daglab td:first-child { font-weight: 600; overflow-wrap: normal; }
.daglab tr { border-bottom: 1px solid rgba(128, 128, 128, 0.3); }
.daglab ul { list-style: disc; margin: 0; padding-left: 1.5em; }
</style>"""


@dataclass(frozen=True)
class Client:
    """A deployment that has answered, the config it was found with, and what its AssetNode can tell."""

    api: dagster_api.DagsterApi
    settings: config.Config
    version: str
    asset_fields: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Look:
    """A run as it stands, its page, and once it has failed, why."""

    run: runs.Run
    url: str
    failures: tuple[run_logs.Failure, ...]

    @property
    def has_ended(self) -> bool:
        """Whether it is in a terminal state."""
        return self.run.has_ended


def connect(url: str | None = None, *, directory: Path | None = None) -> Client:
    """The deployment of the project around `directory` (default: the current one), or the one at `url`.

    Raises `DaglabError` when nothing answers there.
    """
    settings = config.load({"dagster.url": url}, directory=directory)
    api = dagster_api.connect(settings)
    workspace = entities.workspace(api)
    return Client(api, settings, workspace.version, workspace.asset_fields)


def find_asset(client: Client, key: str | Sequence[str]) -> entities.Asset:
    """The asset with the key `a/b` or `["a", "b"]`. Raises `DaglabError` with the nearest names."""
    parts = parse.asset_key(key) if isinstance(key, str) else tuple(key)
    dagster, fields = client.settings.dagster, client.asset_fields
    repository, location = dagster.repository_name, dagster.repository_location_name
    return entities.find_assets(client.api, [parts], repository=repository, location=location, fields=fields)[0]


def find_job(client: Client, name: str) -> entities.Job:
    """The job of this name. Raises `DaglabError` with the nearest names."""
    dagster = client.settings.dagster
    repository, location = dagster.repository_name, dagster.repository_location_name
    return entities.find_job(client.api, name, repository=repository, location=location)


def partition_keys(client: Client, target: entities.Asset | entities.Job) -> list[str]:
    """The partition keys of an asset or a job, in Dagster's order; none for one without partitions."""
    return partitions.keys(client.api, target)


def run_assets(
    client: Client,
    assets: Sequence[entities.Asset],
    *,
    partition: str | None = None,
    run_config: Mapping[str, Any] | str | None = None,
) -> str:
    """Launch one run that materializes the assets, and give back its id without waiting.

    `run_config` is a mapping, or YAML text. Raises `DaglabError` when config or partition are not valid, or
    when it is unknown whether the run was launched; it is never launched twice.
    """
    with _recorded(client, ",".join(asset.name for asset in assets)) as (event, api):
        target = targets.assets_target(assets)
        tags = partitions.asset_tags(api, assets, partition)
        return _launch(api, event, target, tags, _body(run_config) or {})


def run_job(
    client: Client,
    job: entities.Job,
    *,
    partition: str | None = None,
    run_config: Mapping[str, Any] | str | None = None,
) -> str:
    """Launch a job and give back the run's id without waiting; otherwise as `run_assets`.

    Without `run_config`, the run of a partition has the config that the job's own code makes of it.
    """
    with _recorded(client, f"job:{job.name}") as (event, api):
        tags, body = partitions.job_launch(api, job, partition, _body(run_config))
        return _launch(api, event, targets.job_target(job), tags, body)


def run_status(client: Client, run_id: str) -> Look:
    """The run as it stands. Raises `DaglabError` when it is not there, or nothing answers."""
    run = runs.status(client.api, [run_id])[run_id]
    failed = run.has_ended and run.status != "SUCCESS"
    failures = run_logs.failures(client.api, run_id) if failed else []
    return Look(run, runs.url(client.api, run_id), tuple(failures))


def exploration_metadata(
    key: str | Sequence[str], *, partition: str | None = None, directory: Path | None = None
) -> dict[str, Any]:
    """The metadata of an asset's newest good export, as Dagster's own values by label; empty where there is none.

    For the asset's own code: `context.add_output_metadata(exploration_metadata("orders"))`. It reads the record of the
    daglab project around `directory` (default: the current one), and needs dagster.
    """
    import dagster

    name = key if isinstance(key, str) else "/".join(key)
    settings = config.load(directory=directory)
    line = export_record.newest(settings.root, f"asset:{name}", partition) or {}
    entries = line.get("entries")
    found: dict[str, Any] = {}
    for entry in entries if isinstance(entries, list) else []:
        # Somebody else may have written the line, and no asset's run is to fail over it.
        with contextlib.suppress(KeyError, TypeError, ValueError):
            kind, value = entry["kind"], entry["value"]
            maker = getattr(dagster.MetadataValue, kind, None) if kind in observations.KINDS else None
            if kind == "timestamp" and maker:
                value = datetime.fromisoformat(value)
            found[str(entry["label"])] = maker(value) if maker else dagster.MetadataValue.text(str(value))  # as in 1.5
    return found


def show(thing: entities.Asset | entities.Job | Look | DaglabError) -> Any:
    """A thing as marimo shows it. Needs marimo."""
    import marimo

    if isinstance(thing, DaglabError):
        return marimo.callout(marimo.Html(_framed(_error(thing))), kind="warn")
    if isinstance(thing, Look):
        return marimo.Html(_framed(_look(thing)))
    return marimo.Html(_framed(_asset(thing) if isinstance(thing, entities.Asset) else _job(thing)))


@contextlib.contextmanager
def _recorded(client: Client, target: str) -> Iterator[tuple[events.Event, dagster_api.DagsterApi]]:
    """An event for what is done inside, and a session whose requests carry its id."""
    with events.recording(client.settings.root, "helpers.run") as event:
        event.target = target
        api = dagster_api.connect(client.settings, operation=event.id)
        event.traffic = api.traffic
        yield event, api


def _launch(
    api: dagster_api.DagsterApi,
    event: events.Event,
    target: targets.Target,
    tags: Mapping[str, str],
    body: Mapping[str, Any],
) -> str:
    launches.check_config(api, target, body)
    run_id = launches.launch(api, target, body, tags).id
    event.runs.append(run_id)
    return run_id


def _body(run_config: Mapping[str, Any] | str | None) -> Mapping[str, Any] | None:
    return parse.run_config(run_config, "run config") if isinstance(run_config, str) else run_config


def _framed(inner: str) -> str:
    return f'<div class="daglab">{STYLE}{inner}</div>'


def _error(error: DaglabError) -> str:
    hint = f"<p>{html.escape(error.hint)}</p>" if error.hint else ""
    return f"<p><strong>{html.escape(error.message)}</strong></p>{hint}"


def _asset(asset: entities.Asset) -> str:
    facts = {
        "group": asset.group,
        "kinds": ", ".join(asset.kinds),
        "owners": ", ".join(asset.owners),
        "partitions": (asset.partitions or "").lower().replace("_", " "),
        "depends on": ", ".join(asset.dependencies),
        "code location": asset.location,
    }
    return _card(asset.name, asset.description, facts)


def _job(job: entities.Job) -> str:
    facts = {
        "kind": "asset job" if job.is_asset_job else "op job",
        "partitioned": "yes" if job.partition_set else "",
        "tags": ", ".join(f"{key}={value}" for key, value in job.tags.items()),
        "code location": job.location,
    }
    return _card(job.name, job.description, facts)


def _look(look: Look) -> str:
    run = look.run
    link = f'<a href="{html.escape(look.url)}" target="_blank">{html.escape(run.id)}</a>'
    rows = [(step.key, (step.status or "").lower(), _seconds(step.started, step.ended)) for step in run.steps]
    failures = "".join(
        f"<li><strong>{html.escape(failure.step or 'run')}</strong>: {html.escape(failure.error)}"
        + "".join(f"<br>caused by {html.escape(cause)}" for cause in failure.causes)
        + "</li>"
        for failure in look.failures
    )
    took = _seconds(run.started, run.ended)
    head = f"<p>Run {link}: <strong>{html.escape(run.status)}</strong>{f' in {took}' if took else ''}</p>"
    return head + _table(("step", "status", "took"), rows) + (f"<ul>{failures}</ul>" if failures else "")


def _card(name: str, description: str | None, facts: Mapping[str, str | None]) -> str:
    text = f"<p>{html.escape(description)}</p>" if description else ""
    rows = [(key, value) for key, value in facts.items() if value]
    return f"<h2>{html.escape(name)}</h2>{text}{_table((), rows)}"


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(header)}</th>" for header in headers)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


def _seconds(started: float | None, ended: float | None) -> str:
    return "" if started is None or ended is None else f"{ended - started:.1f} s"

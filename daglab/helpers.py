"""What notebooks import: connect to the deployment, find the target, launch it, look at the run.

No function blocks for longer than a request takes, so that a notebook stays alive while a run is under way:
launch, then call `run_status` whenever a `mo.ui.refresh` ticks. Errors are `DaglabError` with a hint; `show`
turns them, assets, jobs and runs into HTML in which every text from outside is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daglab import config, dagster_api, entities, events, parse, partitions, runs
from daglab.errors import DaglabError

__all__ = [
    "Client",
    "DaglabError",
    "Look",
    "connect",
    "find_asset",
    "find_job",
    "partition_keys",
    "run_assets",
    "run_job",
    "run_status",
    "show",
]


@dataclass(frozen=True)
class Client:
    """A deployment that has answered, and the config it was found with."""

    api: dagster_api.DagsterApi
    settings: config.Config
    version: str


@dataclass(frozen=True)
class Look:
    """A run as it stands, its page, and once it has failed, why."""

    run: runs.Run
    url: str
    failures: tuple[runs.Failure, ...]

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
    return Client(api, settings, dagster_api.version(api))


def find_asset(client: Client, key: str | Sequence[str]) -> entities.Asset:
    """The asset with the key `a/b` or `["a", "b"]`. Raises `DaglabError` with the nearest names."""
    parts = parse.asset_key(key) if isinstance(key, str) else tuple(key)
    return entities.find_assets(client.api, [parts], **_place(client))[0]


def find_job(client: Client, name: str) -> entities.Job:
    """The job of this name. Raises `DaglabError` with the nearest names."""
    return entities.find_job(client.api, name, **_place(client))


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
    target = runs.assets_target(assets)
    tags = partitions.asset_tags(client.api, assets, partition)
    return _launch(client, target, tags, run_config)


def run_job(
    client: Client,
    job: entities.Job,
    *,
    partition: str | None = None,
    run_config: Mapping[str, Any] | str | None = None,
) -> str:
    """Launch a job and give back the run's id without waiting; otherwise as `run_assets`."""
    tags = partitions.job_tags(client.api, job, partition)
    return _launch(client, runs.job_target(job), tags, run_config)


def run_status(client: Client, run_id: str) -> Look:
    """The run as it stands. Raises `DaglabError` when it is not there, or nothing answers."""
    run = runs.status(client.api, [run_id])[run_id]
    failed = run.has_ended and run.status != "SUCCESS"
    failures = runs.failures(client.api, run_id) if failed else []
    return Look(run, runs.url(client.api, run_id), tuple(failures))


def show(thing: entities.Asset | entities.Job | Look | DaglabError) -> Any:
    """A thing as marimo shows it. Needs marimo."""
    import marimo

    if isinstance(thing, DaglabError):
        return marimo.callout(marimo.Html(_error(thing)), kind="warn")
    if isinstance(thing, Look):
        return marimo.Html(_look(thing))
    return marimo.Html(_asset(thing) if isinstance(thing, entities.Asset) else _job(thing))


def _place(client: Client) -> dict[str, str | None]:
    dagster = client.settings.dagster
    return {"repository": dagster.repository_name, "location": dagster.repository_location_name}


def _launch(
    client: Client, target: runs.Target, tags: Mapping[str, str], run_config: Mapping[str, Any] | str | None
) -> str:
    body = parse.run_config(run_config, "run config") if isinstance(run_config, str) else (run_config or {})
    with events.recording(client.settings.root, "helpers.run") as event:
        event.target = ",".join("/".join(key) for key in target.assets) or f"job:{target.job}"
        runs.check_config(client.api, target, body)
        event.runs.append(runs.launch(client.api, target, body, tags))
    return event.runs[0]


def _error(error: DaglabError) -> str:
    hint = f"<br><small>{html.escape(error.hint)}</small>" if error.hint else ""
    return f"<strong>{html.escape(error.message)}</strong>{hint}"


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
    rows = [(step.key, step.status.lower(), _seconds(step.started, step.ended)) for step in run.steps]
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

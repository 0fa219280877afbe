"""`daglab discover`: what a deployment holds, as a table or as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from daglab import config, dagster_api, entities, events, output

KINDS = ("all", "repos", "locations", "jobs", "assets", "groups")


def document(
    workspace: entities.Workspace, assets: Sequence[entities.Asset], *, kind: str, pattern: str | None
) -> dict[str, Any]:
    """The result by section, as asked: `kind` chooses the sections, `pattern` the names in them."""
    jobs = entities.visible(workspace.jobs)
    repositories = [(name, location.name) for location in workspace.locations for name in location.repositories]
    groups = {(asset.group or "default", asset.location, asset.repository) for asset in assets}
    sections = {
        "locations": [_location(location) for location in workspace.locations],
        "repositories": [{"name": name, "location": location} for name, location in repositories],
        "jobs": [_job(job) for job in jobs],
        "assets": [_asset(asset) for asset in assets],
        "groups": [_group(group, assets) for group in sorted(groups)],
    }
    wanted = {"repos": "repositories"}.get(kind, kind)
    return {
        "ok": True,
        "dagster_version": workspace.version,
        **{name: _named(rows, pattern) for name, rows in sections.items() if wanted in ("all", name)},
    }


def show(result: Mapping[str, Any]) -> None:
    """Print the sections as tables, what is missing said plainly."""
    output.note(f"Dagster {result['dagster_version']}")
    for name, (headers, row) in _TABLES.items():
        if name in result:
            output.data(f"\n{name.capitalize()} ({len(result[name])})")
            output.table([row(entry) for entry in result[name]], headers)


def _named(rows: list[dict[str, Any]], pattern: str | None) -> list[dict[str, Any]]:
    names = entities.matching([_name(row) for row in rows], pattern)
    return [row for row in rows if _name(row) in names]


def _name(row: Mapping[str, Any]) -> str:
    return str(row.get("key") or row["name"])


def _location(location: entities.Location) -> dict[str, Any]:
    return {
        "name": location.name,
        "loaded": location.error is None,
        "error": location.error,
        "repositories": list(location.repositories),
    }


def _job(job: entities.Job) -> dict[str, Any]:
    return {
        "name": job.name,
        "location": job.location,
        "repository": job.repository,
        "description": job.description,
        "is_asset_job": job.is_asset_job,
        "is_partitioned": job.partition_set is not None,
        "tags": dict(job.tags),
    }


def _asset(asset: entities.Asset) -> dict[str, Any]:
    return {
        "key": asset.name,
        "group": asset.group,
        "location": asset.location,
        "repository": asset.repository,
        "description": asset.description,
        "kinds": list(asset.kinds),
        "tags": dict(asset.tags),
        "owners": list(asset.owners),
        "is_executable": asset.executable,
        "partitions": asset.partitions,
        "dimensions": list(asset.dimensions),
        "dependencies": list(asset.dependencies),
        "jobs": [job for job in asset.jobs if not job.startswith("__ASSET_JOB")],
    }


def _group(group: tuple[str, str, str], assets: Sequence[entities.Asset]) -> dict[str, Any]:
    name, location, repository = group
    members = [asset.name for asset in assets if (asset.group or "default", asset.location, asset.repository) == group]
    return {"name": name, "location": location, "repository": repository, "assets": members}


def _summary(text: str | None) -> str:
    """The first line of a description, short enough for a table."""
    line = (text or "").strip().partition("\n")[0]
    return line if len(line) <= 60 else line[:59] + "…"


_TABLES: dict[str, Any] = {
    "locations": (
        ("Location", "Loaded", "Repositories or error"),
        lambda row: (row["name"], "yes" if row["loaded"] else "NO", row["error"] or ", ".join(row["repositories"])),
    ),
    "repositories": (("Repository", "Location"), lambda row: (row["name"], row["location"])),
    "jobs": (
        ("Job", "Location", "Kind", "Description"),
        lambda row: (
            row["name"],
            row["location"],
            ("asset job" if row["is_asset_job"] else "op job") + (", partitioned" if row["is_partitioned"] else ""),
            _summary(row["description"]),
        ),
    ),
    "assets": (
        ("Asset", "Group", "Location", "Kinds", "Partitions", "Description"),
        lambda row: (
            row["key"] if row["is_executable"] else f"{row['key']} (external)",
            row["group"],
            row["location"],
            ", ".join(row["kinds"]),
            (row["partitions"] or "").lower().replace("_", " "),
            _summary(row["description"]),
        ),
    ),
    "groups": (
        ("Group", "Location", "Assets"),
        lambda row: (row["name"], row["location"], len(row["assets"])),
    ),
}


@click.command(name="discover")
@click.option("--filter", "kind", type=click.Choice(KINDS), default="all", show_default=True, help="What to list.")
@click.option("--pattern", metavar="PATTERN", help="Only names that match, such as 'src/*' (* ? [abc], quoted).")
@output.url_option
@output.json_option
def command(kind: str, pattern: str | None, url: str | None, as_json: bool) -> None:
    """List code locations, jobs and assets of a deployment.

    Two requests, whatever the size. A location that failed to load is shown with its root cause.

    \b
    Examples:
      daglab discover --filter assets --pattern 'src/*'
      daglab discover --json | jq -r '.assets[].key'
    """
    settings = config.load({"dagster.url": url})
    with events.recording(settings.root, "discover") as event:
        api = dagster_api.connect(settings, operation=event.id)
        event.traffic = api.traffic
        workspace = entities.workspace(api)
        needs_assets = kind in ("all", "assets", "groups")
        assets = entities.assets(api, workspace.asset_fields) if needs_assets else []
        result = document(workspace, assets, kind=kind, pattern=pattern)
        if as_json:
            output.document(result)
        else:
            show(result)
        for location in workspace.broken:
            output.warn(f"The code location {location.name} is not loaded: {location.error}")

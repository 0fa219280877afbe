"""`daglab discover`: what a deployment holds, as a table, as JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, files, output, parse, sheets
from daglab.deployment import dagster_api, entities, filters, selection
from daglab.settings import config

KINDS = ("all", "repos", "locations", "jobs", "assets", "groups")
FORMATS = ("json", "csv", "md")
SECTIONS = {"repos": "repositories"}  # what --filter calls them, where that is not the section's own name


def document(
    workspace: entities.Workspace,
    assets: Sequence[entities.Asset],
    *,
    kind: str,
    asked: filters.Filters,
    limit: int | None = None,
    with_metadata: bool = False,
) -> dict[str, Any]:
    """The result by section: `kind` chooses the sections, `asked` what is in them, `limit` how much of it.

    With a limit, `total` tells how many there are of each.
    """
    chosen = filters.assets(assets, asked)
    jobs = [] if asked.only_assets else filters.jobs(entities.visible(workspace.jobs), asked)
    makers: dict[str, Any] = {
        "locations": lambda: _places(workspace, asked)[0],
        "repositories": lambda: _places(workspace, asked)[1],
        "jobs": lambda: [_job(job, with_metadata) for job in jobs],
        "assets": lambda: [_asset(asset, with_metadata) for asset in chosen],
        "groups": lambda: _groups(assets, asked),
    }
    wanted = SECTIONS.get(kind, kind)
    found = {name: make() for name, make in makers.items() if wanted in ("all", name)}
    total = {name: len(rows) for name, rows in found.items()}
    result = {"ok": True, "dagster_version": workspace.version, **{name: rows[:limit] for name, rows in found.items()}}
    return result if limit is None else {**result, "total": total}


def as_csv(result: Mapping[str, Any]) -> str:
    """The one section of the result as CSV; lists with commas, tags as k=v.

    What a spreadsheet would take for a formula has an apostrophe before it.
    """
    [name] = [name for name in _TABLES if name in result]
    text = io.StringIO()
    columns = list(result[name][0]) if result[name] else [_NAMES.get(name, "name")]
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(columns)
    rows.writerows([[sheets.cell(row[column]) for column in columns] for row in result[name]])
    return text.getvalue()


def as_markdown(result: Mapping[str, Any]) -> str:
    """The sections of the result as Markdown: a heading and a table each."""
    parts = [f"# Dagster {sheets.plain(result['dagster_version'])}\n"]
    for name, (headers, row) in _TABLES.items():
        if name in result:
            table = sheets.markdown(headers, map(row, result[name]))
            parts.append(f"## {name.capitalize()} ({_counted(result, name)})\n\n{table}")
    return "\n".join(parts)


def show(result: Mapping[str, Any]) -> None:
    """Print the sections as tables, what is missing said plainly."""
    output.note(f"Dagster {result['dagster_version']}")
    for name, (headers, row) in _TABLES.items():
        if name in result:
            output.data(f"\n{name.capitalize()} ({_counted(result, name)})")
            output.table([row(entry) for entry in result[name]], headers)


def _counted(result: Mapping[str, Any], name: str) -> str:
    """How many, and of how many where a limit has cut them."""
    shown, total = len(result[name]), result.get("total", {}).get(name)
    return str(shown) if total in (None, shown) else f"{shown} of {total}"


def _places(workspace: entities.Workspace, asked: filters.Filters) -> tuple[list[Any], list[Any]]:
    """The code locations and the repositories that are asked for."""
    locations = [place for place in workspace.locations if asked.location in (None, place.name)]
    names = entities.matching((place.name for place in locations), asked.pattern)
    repositories = [
        {"name": name, "location": place.name}
        for place in locations
        for name in place.repositories
        if asked.repository in (None, name) and entities.matching([name], asked.pattern)
    ]
    return [_location(place) for place in locations if place.name in names], repositories


def _location(location: entities.Location) -> dict[str, Any]:
    return {
        "name": location.name,
        "loaded": location.error is None,
        "error": location.error,
        "repositories": list(location.repositories),
    }


def _job(job: entities.Job, with_metadata: bool) -> dict[str, Any]:
    row = {
        "name": job.name,
        "location": job.location,
        "repository": job.repository,
        "description": job.description,
        "is_asset_job": job.is_asset_job,
        "is_partitioned": job.partition_set is not None,
        "tags": dict(job.tags),
    }
    return {**row, "metadata": dict(job.metadata)} if with_metadata else row


def _asset(asset: entities.Asset, with_metadata: bool) -> dict[str, Any]:
    row = {
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
    return {**row, "metadata": dict(asset.metadata)} if with_metadata else row


def _groups(assets: Sequence[entities.Asset], asked: filters.Filters) -> list[dict[str, Any]]:
    """The groups whose own names match, each with those of its assets that are asked for."""
    members: dict[tuple[str, str, str], list[str]] = {}
    for asset in filters.assets(assets, dataclasses.replace(asked, pattern=None)):
        members.setdefault((asset.group or "default", asset.location, asset.repository), []).append(asset.name)
    names = entities.matching((name for name, _, _ in members), asked.pattern)
    return [
        {"name": name, "location": location, "repository": repository, "assets": members[name, location, repository]}
        for name, location, repository in sorted(members)
        if name in names
    ]


def _summary(text: str | None) -> str:
    """The first line of a description, short enough for a table."""
    line = (text or "").strip().partition("\n")[0]
    return line if len(line) <= 60 else line[:59] + "…"


def _place(row: Mapping[str, Any]) -> str:
    """The code location, with the repository before it where that has a name of its own, as Dagster writes it."""
    own = row["repository"] not in ("__repository__", None)
    return f"{row['repository']}@{row['location']}" if own else str(row["location"])


def _metadata_line(row: Mapping[str, Any]) -> list[str]:
    """The metadata as one cell, where it is in the row at all."""
    return [_summary(sheets.cell(row["metadata"]))] if "metadata" in row else []


_NAMES = {"assets": "key"}
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
            _place(row),
            ("asset job" if row["is_asset_job"] else "op job") + (", partitioned" if row["is_partitioned"] else ""),
            " ".join([_summary(row["description"]), *_metadata_line(row)]).strip(),
        ),
    ),
    "assets": (
        ("Asset", "Group", "Location", "Kinds", "Partitions", "Description"),
        lambda row: (
            row["key"] if row["is_executable"] else f"{row['key']} (external)",
            row["group"],
            _place(row),
            ", ".join(row["kinds"]),
            (row["partitions"] or "").lower().replace("_", " "),
            " ".join([_summary(row["description"]), *_metadata_line(row)]).strip(),
        ),
    ),
    "groups": (
        ("Group", "Location", "Assets"),
        lambda row: (row["name"], _place(row), len(row["assets"])),
    ),
}


def _format(kind: str, chosen: str | None, target: Path | None) -> str | None:
    """The format to write: what is chosen, else what the file's name says; None for tables."""
    suffix = target.suffix.lstrip(".").lower() if target else ""
    form = chosen or (suffix if suffix in FORMATS else "json" if target else None)
    if form == "csv" and kind == "all":
        raise errors.WrongUsage(
            "CSV holds one section, and all are asked for.", "Choose one: --filter assets (or jobs, groups, ...)."
        )
    return form


def _asked(kind: str, given: Mapping[str, Any]) -> filters.Filters:
    asked = filters.Filters(
        chosen=None if given["select"] is None else selection.read(given["select"]),
        pattern=given["pattern"],
        tags=parse.pairs(given["tags"], "--tags") if given["tags"] else None,
        groups=tuple(parse.names(given["group"])),
        kinds=tuple(parse.names(given["asset_kind"])),
        owners=tuple(parse.names(given["owner"])),
        location=given["location"],
        repository=given["repo"],
    )
    if asked.only_assets and kind not in ("all", "assets", "groups"):
        raise errors.WrongUsage(
            f"--select, --group, --kind and --owner choose assets, and --filter {kind} lists none.",
            "Add --filter assets.",
        )
    return asked


def _deliver(result: Mapping[str, Any], form: str | None, target: Path | None, as_json: bool) -> None:
    """Write the result to the file where one is named, else to stdout."""
    texts = {"csv": as_csv, "md": as_markdown, "json": output.json_text}
    if target is None:
        if as_json or form == "json":
            output.document(result)
        elif form:
            output.text(texts[form](result))
        else:
            show(result)
        return
    files.write_atomic(target, output.clean(texts[form or "json"](result)).encode("utf-8", "backslashreplace"))
    counts = {name: len(result[name]) for name in _TABLES if name in result}
    if as_json:
        output.document({"ok": True, "output": str(target), "format": form, "counts": counts})
    else:
        output.data(str(target))


@click.command(name="discover")
@click.option("--filter", "kind", type=click.Choice(KINDS), default="all", show_default=True, help="What to list.")
@click.option("--select", metavar="SELECTION", help="Only assets of a selection, such as 'group:mart and kind:sql'.")
@click.option("--pattern", metavar="PATTERN", help="Only names that match, such as 'src/*' (* ? [abc], quoted).")
@click.option("--tags", metavar="K=V,...", help="Only jobs and assets with all of these tags; K alone for any value.")
@click.option("--group", metavar="NAME", multiple=True, help="Only assets of this group (or of these: a,b).")
@click.option("--kind", "asset_kind", metavar="NAME", multiple=True, help="Only assets of this kind (or of these).")
@click.option("--owner", metavar="NAME", multiple=True, help="Only assets of this owner (or of these).")
@click.option("--location", metavar="NAME", help="Only what this code location holds.")
@click.option("--repo", metavar="NAME", help="Only what this repository holds.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many of each section.")
@click.option("--metadata", "with_metadata", is_flag=True, help="Ask for the metadata of jobs and assets, too.")
@click.option("--output", "target", type=click.Path(path_type=Path), metavar="FILE", help="Write it to a file.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="How it is written.  [default: by FILE's name, else json]"
)
@output.connection_options
@output.json_option
def command(
    kind: str,
    limit: int | None,
    with_metadata: bool,
    target: Path | None,
    form: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """List code locations, jobs and assets of a deployment.

    Two requests, whatever the size. A location that failed to load is shown with its root cause. As JSON it is one
    object with dagster_version, locations, repositories, jobs, assets and groups, as asked.

    \b
    Examples:
      daglab discover --filter assets --pattern 'src/*' --kind python
      daglab discover --select 'tag:tier=gold and not group:raw' --json
      daglab discover --json | jq -r '.assets[].key'
      daglab discover --filter jobs --output jobs.csv
    """
    if as_json and form not in (None, "json") and target is None:
        raise errors.WrongUsage("--json and --format say different things.", "Leave one of them out.")
    form = _format(kind, form, target)
    asked = _asked(kind, given)
    settings = config.load(output.flags())
    if target is not None:
        settings.refuse_own(target)
    with events.recording(settings.root, "discover") as event:
        api = dagster_api.connect(settings, operation=event.id)
        event.traffic = api.traffic
        workspace = entities.workspace(api, with_metadata=with_metadata)
        filters.check_place(workspace, asked)
        if asked.chosen:
            selection.check_fields(asked.chosen, workspace)
        needs_assets = kind in ("all", "assets", "groups")
        assets = entities.assets(api, workspace.asset_fields, with_metadata=with_metadata) if needs_assets else []
        result = document(workspace, assets, kind=kind, asked=asked, limit=limit, with_metadata=with_metadata)
        for problem in filters.strangers(assets, asked) if needs_assets else ():
            output.warn(problem)
        _deliver(result, form, target, as_json)
        for location in workspace.broken:
            output.warn(f"The code location {location.name} is not loaded: {location.error}")

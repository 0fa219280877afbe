"""`daglab collections copy`: a collection made once more, in the same cluster or another, faithfully or transformed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daglab import errors, events, output, progress, scales
from daglab.commands.collection import options
from daglab.settings import config

if TYPE_CHECKING:  # they bring in requests
    from daglab.weaviate import rest
    from daglab.weaviate.copying import copies, transforms

MOST_SHOWN, MOST_LISTED = 20, 1000  # objects that could not be written


@dataclass(frozen=True)
class Given:
    """What the command line says."""

    source: str
    destination: str
    cluster: str | None
    auth: str | None
    target: str | None
    target_auth: str | None
    schema_only: bool
    overwrite: bool
    unprotect: bool
    script: Path | None
    dry_run: bool
    limit: int | None
    yes: bool
    as_json: bool


def connected(settings: config.Config, given: Given, event: events.Event) -> tuple[rest.Cluster, rest.Cluster]:
    """The clusters of both sides, which may be one."""
    from daglab.weaviate import clusters

    source = clusters.connect(settings, given.cluster, given.auth, event_id=event.id)
    event.traffic = source.session.traffic
    if given.target is None:
        if given.target_auth:
            raise errors.WrongUsage("--target-auth goes with --target.", "Name the cluster: --target URL.")
        return source, source
    return source, clusters.connect(settings, given.target, given.target_auth, event_id=event.id)


@contextlib.contextmanager
def transforming(settings: config.Config, given: Given) -> Iterator[transforms.Transform | None]:
    """The transform file in its child process; None without one."""
    from daglab import processes
    from daglab.weaviate.copying import transforms

    if given.script is None:
        yield None
        return
    keys = [each.partition(":")[2] for each in (given.auth, given.target_auth) if each and each.startswith("env:")]
    env = processes.without_secrets(os.environ, [*settings.token_variables, *keys])
    python = (settings.python_for(given.script), *settings.flags_for(given.script))
    with transforms.opened(given.script, python, env, settings.weaviate.timeout, output.note) as transform:
        yield transform


def planned(
    root: Path, given: Given, source: rest.Cluster, target: rest.Cluster, transform: transforms.Transform | None
) -> copies.Copy:
    """What is to be copied. Raises where the names or the target's cluster do not allow it."""
    from daglab.weaviate import placement, rest, schemas, transfers
    from daglab.weaviate.copying import copies, transforms

    into = transfers.Side(target, given.destination)
    copy = copies.Copy(
        transfers.Side(source, given.source),
        into,
        {},
        schema_only=given.schema_only,
        overwrite=given.overwrite,
        unprotect=given.unprotect,
        script=transforms.identity(given.script) if given.script else None,
        change=(lambda page: transforms.changed(transform, page)) if transform else None,
    )
    try:
        side, schema = copies.source_of(source, given.source)
    except rest.Missing:
        if copies.needs_no_source(root, copy):
            return copy
        raise
    copies.check_name(side, into)
    schema = schemas.portable(schema, into.name)
    if transform:
        schema = {**transforms.schema(transform, schema), "class": into.name}
    copy = dataclasses.replace(copy, source=side, schema=schema)
    placement.check(target, schema)
    return copy


def preview(root: Path, settings: config.Config, copy: copies.Copy, limit: int | None) -> dict[str, Any]:
    """What would be done; nothing is made to find out."""
    from daglab.weaviate import journals, transfers
    from daglab.weaviate.copying import copies, previews

    count, uncounted = copies.count_of(copy.source, active_only=True)
    goes_on = journals.is_there(root, copy.work)
    replaces = False if goes_on else copies.check_free(copy, settings)
    return {
        "ok": True,
        "dry_run": True,
        **transfers.sides(copy.source, copy.target),
        "count": count,
        "uncounted_tenants": uncounted,
        "replaces": replaces,
        "goes_on": goes_on,
        "schema_changes": previews.changes(copy),
        "samples": previews.samples(copy, limit) if limit else [],
    }


def show_preview(found: dict[str, Any]) -> None:
    """Tell a person what would be done."""
    from daglab.weaviate.copying import previews

    source, target = found["source"], found["target"]
    output.data(
        f"{source['collection']} ({source['cluster']}) to {target['collection']} ({target['cluster']}): "
        f"{found['count']:,} objects"
        + (f", and those of {found['uncounted_tenants']:,} inactive tenants" if found["uncounted_tenants"] else "")
        + (f"; {target['collection']} is replaced" if found["replaces"] else "")
        + ("; an earlier try is gone on with" if found["goes_on"] else "")
    )
    for kind, names in found["schema_changes"].items():
        if names:
            output.data(f"Schema, {kind}: {', '.join(names)}")
    for sample in found["samples"]:
        output.data(sample["before"]["id"])
        for line in previews.difference(sample):
            output.data(line)
    output.note("Nothing was done: --dry-run only tells.")


def carried_out(
    root: Path, settings: config.Config, copy: copies.Copy, given: Given, event: events.Event
) -> dict[str, Any]:
    """Copy, and what came of it, which an error has, too."""
    from daglab.weaviate import api, batches, journals
    from daglab.weaviate.copying import copies, steps

    started, outcome = time.monotonic(), copies.Outcome()
    copies.refuse_others(root, copy)
    api.permit_create(copy.target.cluster)
    try:
        with journals.opened(root, copy.work) as journal:
            if copies.begin(copy, journal, settings, lambda name: _confirm(name, given)):
                done = int((journal.last("objects") or {}).get("written") or 0)
                output.note(f"An earlier try is gone on with: {done:,} objects were written by it.")
            pace = batches.pace(settings.weaviate.batch.min, settings.weaviate.batch.max)
            steps.run(copy, journal, pace, progress.shown, outcome)
    except errors.DaglabError as error:
        error.result = _result(copy, outcome, time.monotonic() - started, event)
        _list_failed(outcome, given)
        raise
    except (KeyboardInterrupt, errors.Terminated) as stop:
        result = _result(copy, outcome, time.monotonic() - started, event)
        told = f"Stopped: {outcome.objects:,} objects of {copy.source.name} are written."
        hint = "The same command goes on from there."
        raise errors.Interrupted(told, hint, result={**result, "ok": False}, exit_code=errors.stop_code(stop)) from None
    return _result(copy, outcome, time.monotonic() - started, event)


def _confirm(name: str, given: Given) -> None:
    """Have the name of what is replaced typed. Raises `WrongUsage` for anything else."""
    output.require_answer(yes=given.yes, as_json=given.as_json)
    if given.yes:
        return
    output.warn(f"{name} is deleted and made anew, once all is copied and verified.")
    if click.prompt(f"Type {name} to go on", default="", show_default=False, err=True) != name:
        raise errors.WrongUsage("That is not its name; nothing was done.", "Type it as it stands, or add --yes.")


def _result(copy: copies.Copy, outcome: copies.Outcome, seconds: float, event: events.Event) -> dict[str, Any]:
    from daglab.weaviate import transfers

    fresh = outcome.objects - (outcome.resumed or 0)
    figures = {
        "objects": outcome.objects,
        "references": outcome.references,
        "dropped": outcome.dropped,
        "failed_count": len(outcome.failed),
        "seconds": round(seconds, 3),
        "objects_per_second": round(fresh / seconds, 1) if seconds > 0 else None,
        "resumed": outcome.resumed is not None,
    }
    event.detail = figures
    return {
        "ok": True,
        "dry_run": False,
        **transfers.sides(copy.source, copy.target),
        **figures,
        "source_count": outcome.source_count,
        "target_count": outcome.target_count,
        "source_changed": outcome.source_changed,
        "replaced": outcome.replaced,
        "schema_only": copy.schema_only,
        "failed": [{"id": each.id, "reason": each.reason} for each in outcome.failed[:MOST_LISTED]],
    }


def _list_failed(outcome: copies.Outcome, given: Given) -> None:
    for each in [] if given.as_json else outcome.failed[:MOST_SHOWN]:
        output.warn(f"{each.id}: {each.reason}")


def show(found: dict[str, Any]) -> None:
    """Tell a person what was copied."""
    if found["source_changed"]:
        output.warn("The source was written to meanwhile: it has what the copy may not have, or the other way round.")
    if found["schema_only"]:
        output.data(f"{found['target']['collection']} was made; no objects: --schema-only.")
        return
    rate = f", {found['objects_per_second']:,.0f} objects/s" if found["objects_per_second"] else ""
    dropped = f", {found['dropped']:,} dropped" if found["dropped"] else ""
    output.data(
        f"{found['target']['collection']}: {found['objects']:,} objects, {found['references']:,} references{dropped}"
        f" in {scales.took(found['seconds'])}{rate}"
    )


def copy_collection(settings: config.Config, given: Given, event: events.Event) -> dict[str, Any]:
    """Copy, or tell what would be copied."""
    source, target = connected(settings, given, event)
    with transforming(settings, given) as transform:
        copy = planned(settings.root, given, source, target, transform)
        if given.dry_run:
            return preview(settings.root, settings, copy, given.limit)
        return carried_out(settings.root, settings, copy, given, event)


@click.command(name="copy")
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@options.cluster_options
@click.option(
    "--target", metavar="NAME|URL", help="The cluster that DST is made in.  [default: the one that SRC is in]"
)
@click.option(
    "--target-auth", metavar="env:NAME|file:PATH", help="Where the key for --target's address stands, as --auth."
)
@click.option("--schema-only", is_flag=True, help="Make the collection, without tenants and objects.")
@click.option("--overwrite", is_flag=True, help="Replace DST, once all is copied beside it and verified.")
@click.option("--unprotect", is_flag=True, help="Replace it even where weaviate.protected protects it.")
@click.option(
    "--transform",
    "script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.py",
    help="Change each object by the function transform(obj) of this file.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be copied, and make nothing.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), metavar="N", help="With --dry-run: show so many objects.  [default: none]"
)
@click.option("--yes", is_flag=True, help="Overwrite without asking.")
@output.env_option
@output.json_option
def command(
    source: str,
    destination: str,
    cluster: str | None,
    auth: str | None,
    target: str | None,
    target_auth: str | None,
    schema_only: bool,
    overwrite: bool,
    unprotect: bool,
    script: Path | None,
    dry_run: bool,
    limit: int | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Copy a collection: schema, tenants, objects with all vectors, references.

    Nothing is vectorized anew. A copy that was stopped or killed goes on when the same command is given again.

    A transform file has `transform(obj)`: it gets a dict of id, properties, vector and vectors, and gives back one, or
    None to drop the object. `transform_schema(schema)` changes the schema. It gets no tokens.

    \b
    Examples:
      daglab collections copy Docs DocsNext
      daglab collections copy Docs Docs --target https://weaviate.example.com --target-auth env:DAGLAB_WEAVIATE_KEY
      daglab collections copy Docs DocsNext --transform rename.py --dry-run --limit 5
      daglab collections copy Staged Docs --overwrite
    """
    if limit and not dry_run:
        raise errors.WrongUsage("--limit says how many objects --dry-run shows.", "Add --dry-run, or leave it out.")
    settings = config.load(output.flags())
    given = Given(
        source, destination, cluster, auth, target, target_auth, schema_only, overwrite, unprotect, script, dry_run,
        limit, yes, as_json,
    )  # fmt: skip
    with events.recording(settings.root, "collections copy") as event:
        event.target = source
        found = copy_collection(settings, given, event)
    if as_json:
        output.document(found)
    elif dry_run:
        show_preview(found)
    else:
        show(found)

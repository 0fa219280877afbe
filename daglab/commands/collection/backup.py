"""`daglab collections backup` and `restore`: a collection in a file, and back from it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daglab import errors, events, output, progress, scales
from daglab.commands.collection import options
from daglab.settings import config

if TYPE_CHECKING:
    from daglab.weaviate import rest
    from daglab.weaviate.keeping import revivals

MOST_SHOWN = 20  # objects, to a person
AGAIN = "It was stopped: the same command goes on where it was."


@contextlib.contextmanager
def _resumable() -> Iterator[None]:
    """Tell who stops it that nothing is lost."""
    try:
        yield
    except (KeyboardInterrupt, errors.Terminated):
        output.note(AGAIN)
        raise


@contextlib.contextmanager
def _stages(name: str, total: int) -> Iterator[Callable[[str, int], None]]:
    """Progress of one stage after the other, each told how many objects it has come to."""
    with contextlib.ExitStack() as stack:
        shown: dict[str, Callable[[int], None]] = {}

        def tell(stage: str, done: int) -> None:
            if stage not in shown:
                shown[stage] = stack.enter_context(progress.shown(f"{stage} {name}", total))
            shown[stage](done)

        yield tell


@click.command(name="backup")
@click.argument("name")
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="The file, or its folder.  [default: NAME-YYYYMMDD-HHMMSS.jsonl.gz in the current folder]",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@options.cluster_options
@output.env_option
@output.json_option
def backup_command(
    name: str, path: Path | None, force: bool, cluster: str | None, auth: str | None, as_json: bool
) -> None:
    """Write a collection into a file: schema, tenants, objects with vectors and references.

    It is no snapshot: what others write meanwhile may be in the file or not, and where the counts say so, it is told.
    When it is stopped or killed, the same command goes on where it was, for a day. The file is read back before it gets
    its name.

    \b
    Examples:
      daglab collections backup Docs
      daglab collections backup Docs --output backups/docs.jsonl.gz --force
      daglab collections backup Docs --cluster https://weaviate.example.com --auth env:DAGLAB_WEAVIATE_KEY --json
    """
    from daglab.weaviate import clusters
    from daglab.weaviate.keeping import archives

    settings = config.load(output.flags())
    with events.recording(settings.root, "collections backup") as event, _resumable():
        event.target = name
        there = clusters.connect(settings, cluster, auth, event_id=event.id)
        event.traffic = there.session.traffic
        where = config.current_directory() / (path or "")
        with progress.shown(f"Backing up {name}", None) as tell:
            found = archives.write(there, name, where, root=settings.root, force=force, tell=tell)
        event.bytes = found.bytes
        event.detail = {"objects": found.objects, "resumed": found.resumed, "changed": len(found.changed)}
    if found.resumed:
        output.note(f"It went on with the backup that was begun at {found.began}.")
    for each in found.changed:
        output.warn(f"It changed meanwhile: {each}.")
    if as_json:
        output.document({"ok": True, **archives.document(found)})
    else:
        output.data(str(found.path))
        output.note(f"{found.objects:,} objects of {found.collection}, {scales.figure(found.bytes, 'bytes')}.")


def _planned(plan: revivals.Plan, there: rest.Cluster, *, dry_run: bool) -> dict[str, Any]:
    """What a file holds, as the document of a restore begins."""
    return {
        "ok": True,
        "dry_run": dry_run,
        "name": plan.name,
        "file": str(plan.path),
        "cluster": there.name,
        "backup": {
            "collection": plan.head.collection,
            "objects": plan.end.objects,
            "tenants": None if plan.head.tenants is None else len(plan.head.tenants),
            "made_at": plan.head.made_at,
            "weaviate": plan.head.weaviate,
            "sha256": plan.end.sha256,
            "changed_meanwhile": list(plan.end.changed),
        },
    }


def _restored(found: revivals.Outcome) -> dict[str, Any]:
    """What came of it."""
    differ = found.difference
    return {
        "resumed": found.resumed,
        "objects": found.objects,
        "references": found.references,
        "failed": [{"id": each.id, "reason": each.reason} for each in found.failed],
        "settings": found.settings,
        "tenants_failed": [{"tenant": each, "reason": reason} for each, reason in found.states.items()],
        "verified": {"same": differ.compared, **differ.counts},
    }


def _agree(plan: revivals.Plan, there: rest.Cluster, *, yes: bool, as_json: bool) -> None:
    """Ask where the server is older than the one of the file: it leaves out settings that it does not know.

    Raises `WrongUsage` for a no, and where nobody is there to answer.
    """
    from daglab.weaviate import api

    older = api.version(there)[:2]
    if older >= _numbers(plan.head.weaviate)[:2]:
        return
    output.require_answer(yes=yes, as_json=as_json)
    said = f"The file is of Weaviate {plan.head.weaviate}, this is {older[0]}.{older[1]}, and may leave out settings."
    if not output.agreed(f"{said} Restore it?", yes=yes):
        raise errors.WrongUsage("Nothing is done.", "A newer Weaviate takes all of it.")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) if each.isdecimal() and each.isascii() else 0 for each in version.split(".")[:3])


def _verdict(found: revivals.Outcome, plan: revivals.Plan, document: dict[str, Any]) -> errors.NotGood | None:
    """The error that says what is not as in the file; None where all is."""
    if found.is_good:
        return None
    differ = found.difference.counts
    said = [
        f"{len(found.failed)} were refused" if found.failed else "",
        *(f"{many} are {kind}" for kind, many in differ.items() if many),
        f"{len(found.states)} tenants could not be put to their state" if found.states else "",
    ]
    what = ", ".join(each for each in said if each)
    hint = "What the server says of each is listed; put it right, `daglab collections rm` it, and restore it again."
    return errors.NotGood(f"{plan.name} is not as in the file: {what}.", hint, result=document)


def _show(found: revivals.Outcome, plan: revivals.Plan) -> None:
    output.data(f"{found.objects:,} objects of {plan.name} are restored, {found.difference.compared:,} as in the file.")
    for each in found.settings:
        output.warn(f"The server has made {each} of the schema otherwise.")
    for failure in found.failed[:MOST_SHOWN]:
        output.warn(f"{failure.id}: {failure.reason}")
    for tenant, reason in list(found.states.items())[:MOST_SHOWN]:
        output.warn(f"{tenant}: {reason}")
    if len(found.failed) > MOST_SHOWN:
        output.note(f"... and {len(found.failed) - MOST_SHOWN} more: --json lists all.")


@click.command(name="restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--as", "name", metavar="NAME", help="The collection to make.  [default: as in the file]")
@click.option("--dry-run", is_flag=True, help="Read the whole file, tell what would be restored, and do nothing.")
@click.option("--yes", is_flag=True, help="Also into an older Weaviate than that of the file, without asking.")
@options.cluster_options
@output.env_option
@output.json_option
def restore_command(
    file: Path,
    name: str | None,
    dry_run: bool,
    yes: bool,
    cluster: str | None,
    auth: str | None,
    as_json: bool,
) -> None:
    """Make a collection from a file that `backup` wrote.

    The whole file is checked before anything is sent: one that is damaged is refused. The collection must not be there;
    references to itself follow --as. All of it is compared with the file in the end. When it is stopped or killed, the
    same command goes on where it was. Times of making and changing are new.

    \b
    Examples:
      daglab collections restore Docs-20261122-060000.jsonl.gz --dry-run
      daglab collections restore Docs-20261122-060000.jsonl.gz --as DocsOfYesterday
      daglab collections restore docs.jsonl.gz --cluster staging --json
    """
    from daglab.weaviate import api, batches, clusters
    from daglab.weaviate.keeping import revivals

    settings = config.load(output.flags())
    with events.recording(settings.root, "collections restore") as event, _resumable():
        event.target = str(file)
        there = clusters.connect(settings, cluster, auth, event_id=event.id)
        event.traffic = there.session.traffic
        plan = revivals.planned(config.current_directory() / file, name)
        document = _planned(plan, there, dry_run=dry_run)
        event.detail = {"name": plan.name, "objects": plan.end.objects, "dry_run": dry_run}
        if not revivals.is_begun(there, plan, settings.root):
            revivals.refuse(there, plan)
            _agree(plan, there, yes=yes or dry_run, as_json=as_json)
            if not dry_run:
                api.permit_create(there)
        if dry_run:
            _tell_plan(plan, there, document, as_json)
            return
        pace = batches.pace(settings.weaviate.batch.min, settings.weaviate.batch.max)
        with _stages(plan.name, plan.end.objects) as tell:
            found = revivals.restore(there, plan, pace, root=settings.root, tell=tell)
        document.update(_restored(found))
        if not as_json:
            _show(found, plan)
        if error := _verdict(found, plan, document):
            raise error
        if as_json:
            output.document(document)


def _tell_plan(plan: revivals.Plan, there: rest.Cluster, document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.document(document)
        return
    output.data(f"{plan.end.objects:,} objects would be restored as {plan.name} of {there.name}; the file is whole.")
    output.note(f"It was made of {plan.head.collection} at {plan.head.made_at}, on Weaviate {plan.head.weaviate}.")
    for each in plan.end.changed:
        output.note(f"It changed while it was written: {each}.")

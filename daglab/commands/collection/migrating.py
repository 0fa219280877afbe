"""`daglab collections migrate`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from daglab import errors, events, output, scales
from daglab.commands.collection import options
from daglab.settings import config

if TYPE_CHECKING:  # they bring in requests
    from daglab.weaviate import transfers
    from daglab.weaviate.moving import passes


def plan(source: transfers.Side, target: transfers.Side, alias: str | None, strategy: str) -> dict[str, Any]:
    """What a migration would do, with counts. Raises as `destinations.check` does."""
    from daglab.weaviate import tenants, transfers
    from daglab.weaviate.moving import destinations

    destinations.check(source, target)
    leads = destinations.check_alias(target, alias) if alias else None
    objects, states = tenants.counted(source.cluster, source.name)
    return {
        **transfers.sides(source, target),
        "strategy": strategy,
        "objects": objects,
        "tenants": len(states),
        "uncounted_tenants": sum(status != tenants.ACTIVE for status in states.values()),
        "alias": alias,
        "alias_leads_to": leads,
    }


def begun(settings: config.Config, here: transfers.Side, there: transfers.Side, alias: str | None) -> dict[str, Any]:
    """A migration that is gone on with, or undone. Raises `InvalidInput` for none, and as `check_alias` does."""
    from daglab.weaviate import journals, transfers
    from daglab.weaviate.moving import destinations, relocations

    if not journals.is_there(settings.root, relocations.work(here, there)):
        raise errors.InvalidInput(
            f"No migration of {here.name} to {there.cluster.name} was begun.", "Without --resume, one begins."
        )
    if alias:
        destinations.check_alias(there, alias)
    return dict(transfers.sides(here, there))


def refuse_options(*, resume: bool, abort: bool, dry_run: bool) -> None:
    """Raise `WrongUsage` for options that do not go together."""
    if resume and abort:
        raise errors.WrongUsage("--resume goes on and --abort undoes.", "Give one of them.")
    if dry_run and (resume or abort):
        raise errors.WrongUsage("--dry-run says what a new migration would do.", "Leave out --resume and --abort.")


def said(found: Mapping[str, Any]) -> list[str]:
    """A plan in words."""
    source, target = found["source"], found["target"]
    name, objects = source["collection"], f"{found['objects']:,} objects"
    if found["tenants"]:
        objects += f" in {found['tenants']} tenants"
    if found["uncounted_tenants"]:
        objects += f", without those of {found['uncounted_tenants']} tenants that are not active"
    lines = [f"{name} of {source['cluster']} becomes {target['collection']} of {target['cluster']}: {objects}."]
    if found["strategy"] == "offline":
        lines.append(f"{name} is read-only from the start until all is copied.")
    else:
        lines.append(f"{name} is read-only for a while at the end.")
    if found["alias"]:
        now = f", now to {found['alias_leads_to']}" if found["alias_leads_to"] else ""
        lines.append(f"The alias {found['alias']} of {target['cluster']} leads to {target['collection']} then{now}.")
    return [*lines, f"{name} stays where it is."]


def show(found: Mapping[str, Any]) -> None:
    """Print what was done."""
    rows = []
    for each in found["stages"]:
        names = ("shards", "objects", "read", "new", "changed", "deleted", "references", "dangling")
        told = [f"{each[name]:,} {name}" for name in names if each.get(name)]
        label = "last pass" if each.get("frozen") else each["stage"]
        rows.append((label, scales.took(each["seconds"]), ", ".join(told)))
    output.table(rows, ("Stage", "Took", "What"))
    for each in found["failed"]:
        output.data(f"not written: {each['id']}: {each['reason']}")
    checked = found["verification"] or {}
    for kind in checked.get("differences", {}):
        for each in checked[kind]:
            tenant = f" of {each['tenant']}" if each["tenant"] else ""
            output.data(f"{kind}: {each['id']}{tenant}")
    if found["frozen_seconds"] is not None:
        rate = f", {found['objects_per_second']:,} objects a second" if found["objects_per_second"] else ""
        output.data(
            f"Read-only for {scales.figure(found['frozen_seconds'], 's')}; {scales.figure(found['seconds'], 's')} in"
            f" all{rate}."
        )


@contextlib.contextmanager
def told(found: Mapping[str, Any], hint: str, report: passes.Report) -> Iterator[None]:
    """What goes wrong inside is told with what was done so far, and how to go on."""
    try:
        yield
    except (KeyboardInterrupt, errors.Terminated) as stop:
        result = {**found, **report.document()}
        raise errors.Interrupted(
            "Stopped.", f"Go on with {hint}", result=result, exit_code=errors.stop_code(stop)
        ) from None
    except errors.DaglabError as error:
        error.result = {**found, **report.document()}
        if "--resume" not in (error.hint or ""):
            error.hint = f"{error.hint or ''} Then go on with {hint}".strip()
        raise


def hint_of(name: str, given: Mapping[str, str | None]) -> str:
    """How to go on with a migration, or to undo it."""
    words = " ".join(f"{flag} {value}" for flag, value in given.items() if value)
    return f"`daglab collections migrate {name} {words} --resume`, or undo it with --abort."


@click.command(name="migrate")
@click.argument("name")
@options.cluster_options
@click.option("--target", required=True, metavar="NAME|URL", help="The cluster that it is moved to.")
@click.option("--target-auth", metavar="env:NAME|file:PATH", help="Where the key for the target's address stands.")
@click.option("--as", "new_name", metavar="NEWNAME", help="Its name there.  [default: the same]")
@click.option(
    "--strategy",
    type=click.Choice(["online", "offline"]),
    help="online: read-only at the end only; offline: from the start.  [default: online]",
)
@click.option("--verify/--no-verify", default=None, help="Compare every object at the end.  [default: verify]")
@click.option("--alias", metavar="ALIAS", help="Have this alias of the target lead to it at the end (1.32+).")
@click.option("--resume", is_flag=True, help="Go on with one that was stopped or killed.")
@click.option("--abort", is_flag=True, help="Undo one that was stopped: delete what it made, make the source writable.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.env_option
@output.json_option
def command(
    name: str,
    cluster: str | None,
    auth: str | None,
    target: str,
    target_auth: str | None,
    new_name: str | None,
    *,
    resume: bool,
    abort: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Move a collection to another cluster while it is in use.

    Objects, vectors, references and tenants are copied, and what changes meanwhile is, too; then the collection is
    read-only for a while, until the rest is copied and all is compared. It stays where it is: delete it with `rm`.
    A place in the journal lets a killed migration go on (--resume) or be undone (--abort).

    \b
    Examples:
      daglab collections migrate Docs --target other
      daglab collections migrate Docs --target https://weaviate.example.com --target-auth env:DAGLAB_WEAVIATE_KEY
      daglab collections migrate Docs_v1 --target main --as Docs_v2 --alias Docs
    """
    refuse_options(resume=resume, abort=abort, dry_run=dry_run)
    from daglab.weaviate import clusters, journals, transfers
    from daglab.weaviate.moving import passes, relocations

    settings = config.load(output.flags())
    with events.recording(settings.root, "collections migrate") as event:
        event.target = name
        here = transfers.Side(clusters.connect(settings, cluster, auth, event_id=event.id), name)
        there = transfers.Side(clusters.connect(settings, target, target_auth, event_id=event.id), new_name or name)
        event.traffic = there.cluster.session.traffic
        given = {"--cluster": cluster, "--auth": auth, "--target": target, "--target-auth": target_auth}
        hint = hint_of(name, {**given, "--as": new_name})
        work = relocations.work(here, there)
        if resume or abort:
            found = begun(settings, here, there, wanted["alias"] if resume else None)
        else:
            journals.refuse_unfinished(settings.root, work, f"Go on with {hint}")
            found = plan(here, there, wanted["alias"], wanted["strategy"] or passes.ONLINE)
            if not (dry_run or as_json):
                for line in said(found):
                    output.note(line)
        if dry_run:
            show_plan(found, as_json=as_json)
            return
        output.require_answer(yes=yes or resume or abort, as_json=as_json)
        if not output.agreed("Go on?", yes=yes or resume or abort):
            output.note("Nothing was done.")
            return
        event.detail = migrate(
            settings, here, there, {**wanted, "found": found, "hint": hint}, abort=abort, as_json=as_json
        )


def show_plan(found: dict[str, Any], *, as_json: bool) -> None:
    """Print a plan."""
    if as_json:
        output.document({"ok": True, "dry_run": True, **found})
        return
    for line in said(found):
        output.data(line)


def migrate(
    settings: config.Config,
    here: transfers.Side,
    there: transfers.Side,
    given: Mapping[str, Any],
    *,
    abort: bool,
    as_json: bool,
) -> dict[str, Any]:
    """Do it, or undo it; its small figures."""
    from daglab.weaviate import api, journals
    from daglab.weaviate.moving import relocations

    work = relocations.work(here, there)
    if not journals.is_there(settings.root, work):
        api.permit_create(there.cluster)
    with journals.opened(settings.root, work) as journal:
        move = moving(settings, here, there, journal, given)
        found = given["found"]
        with told(found, given["hint"], move.report):
            if abort:
                deleted = relocations.abort(move)
                result = {**found, "aborted": True, "target_deleted": deleted}
            else:
                relocations.run(move)
                result = {**found, **move.report.document()}
    if as_json:
        output.document({"ok": True, "dry_run": False, **result})
    elif abort:
        output.note(f"{here.name} is writable{', and ' + there.name + ' is deleted' if deleted else ''}.")
    else:
        show(result)
    names = ("objects", "written", "deleted", "references", "frozen_seconds", "objects_per_second", "aborted")
    return {name: result[name] for name in names if result.get(name) is not None}


def moving(
    settings: config.Config, here: transfers.Side, there: transfers.Side, journal: Any, given: Mapping[str, Any]
) -> passes.Move:
    """The migration with its options: those that are not given are as it was begun with."""
    from daglab import progress
    from daglab.weaviate import batches
    from daglab.weaviate.moving import passes

    kept = journal.last("options") or {}
    chosen = {
        "strategy": given["strategy"] or kept.get("strategy") or passes.ONLINE,
        "verify": kept.get("verify", True) if given["verify"] is None else given["verify"],
        "alias": given["alias"] or kept.get("alias"),
    }
    journal.note("options", **chosen)
    sizes = settings.weaviate.batch
    pace = batches.pace(sizes.min, sizes.max)
    return passes.Move(here, there, journal, pace, progress.shown, **chosen)

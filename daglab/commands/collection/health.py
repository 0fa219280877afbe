"""`daglab collections health`: whether collections are well, and what can be put right without a risk."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from daglab import errors, events, output
from daglab.commands.collection import options
from daglab.settings import config

if TYPE_CHECKING:  # they bring in requests
    from daglab.checks import findings
    from daglab.weaviate.examining import diagnoses, repairs, vitals


def examined(look: vitals.Look) -> list[diagnoses.Diagnosis]:
    """How the cluster is, and how each of the collections is that are looked at.

    Raises `Missing` for a collection that there is not, and `Unreachable`, with the document, where nothing answers.
    """
    from daglab.weaviate import rest
    from daglab.weaviate.examining import diagnoses, repairs

    try:
        names = repairs.names_of(look)
    except (rest.Missing, errors.NotAuthorised):
        raise
    except errors.DaglabError as error:
        error.result = {**result([]), "ok": False, "status": "down"}
        raise
    return [diagnoses.of_cluster(look), *(diagnoses.of_collection(look, name) for name in names)]


def result(found: Sequence[diagnoses.Diagnosis], mended: dict[str, Any] | None = None) -> dict[str, Any]:
    """The command's document."""
    from daglab.weaviate.examining import diagnoses

    status = diagnoses.overall(found)
    listed = [{"name": each.name, "status": each.status, "checks": _checks(each)} for each in found if each.name]
    cluster = next((_checks(each) for each in found if each.name is None), [])
    none: dict[str, Any] = {"planned": [], "fixed": [], "not_fixed": []}
    return {
        "ok": status == "healthy",
        "status": status,
        "cluster": cluster,
        "collections": listed,
        **(mended or none),
    }


def _checks(found: diagnoses.Diagnosis) -> list[dict[str, Any]]:
    return [{"name": name, **vars(each)} for name, each in found.checks.items()]


def verdict(found: Sequence[diagnoses.Diagnosis], document: dict[str, Any]) -> errors.DaglabError | None:
    """The error that says what is not well; None where all is."""
    for status, kind in (("down", errors.Unreachable), ("degraded", errors.NotGood)):
        bad = [each for each in found if each.status == status]
        if bad:
            first = next(each for each in bad[0].checks.values() if each.status == status)
            names = ", ".join(each.name or "the cluster" for each in bad)
            return kind(f"{status.capitalize()}: {names}.", first.hint, result=document)
    return None


def show(found: Sequence[diagnoses.Diagnosis], told: str | None, *, detailed: bool) -> None:
    """Print a line a collection with what is wrong, or each check; and what helps but for what is told anyway."""
    if detailed:
        rows = [(each.name or "-", *_row(name, check)) for each in found for name, check in each.checks.items()]
        output.table(rows, ("Collection", "Check", "Status", "Detail"))
    else:
        output.table([_line(each) for each in found if each.name], ("Collection", "Status", "What is wrong"))
        for each in found:
            if each.name is None and each.status != "healthy":
                output.data(f"The cluster is {each.status}: {_wrong(each)}")
    bad = [check for each in found for check in each.checks.values() if check.status in ("down", "degraded")]
    for hint in dict.fromkeys(check.hint for check in bad if check.hint not in (None, told)):
        output.note(str(hint))


def _row(name: str, check: findings.Finding) -> tuple[str, str, str]:
    return name, check.status, check.detail


def _line(found: diagnoses.Diagnosis) -> tuple[str, str, str]:
    return found.name or "", found.status, _wrong(found) or found.checks["availability"].detail


def _wrong(found: diagnoses.Diagnosis) -> str:
    bad = [f"{name}: {check.detail}" for name, check in found.checks.items() if check.status in ("down", "degraded")]
    return " ".join(bad)


def mend(look: vitals.Look, *, force: bool, dry_run: bool, yes: bool, as_json: bool) -> dict[str, Any]:
    """Tell what can be put right, ask, and do it; what was `planned`, `fixed` and `not_fixed`."""
    from daglab.weaviate.examining import repairs

    planned = repairs.plan(look, repairs.names_of(look), force=force)
    found: dict[str, Any] = {
        "planned": [_told(each) for each in planned.repairs],
        "fixed": [],
        "not_fixed": [{**vars(each), "afterwards": None} for each in planned.refused],
    }
    if not as_json:
        _tell(planned, dry_run=dry_run)
    if dry_run or not planned.repairs:
        return found
    if not output.agreed("Do that?", yes=yes):
        output.note("Nothing was done.")
        return found
    failed = {(each.collection, each.fault): why for each in planned.repairs if (why := repairs.do(each)) is not None}
    still = _still(look, planned, force=force)
    for each in planned.repairs:
        fault = each.collection, each.fault
        why = failed.get(fault) or still.get(fault)
        if why is None:
            found["fixed"].append(_told(each))
        else:
            found["not_fixed"].append({**_told(each), "why": why})
    if not as_json:
        _tell_done(found)
    return found


def _still(look: vitals.Look, planned: repairs.Plan, *, force: bool) -> dict[tuple[str, str], str]:
    """Which faults are there in a fresh look, with what is to be said of that."""
    from daglab.weaviate.examining import repairs

    again = dataclasses.replace(look, answers={})
    try:
        found = repairs.plan(again, dict.fromkeys(each.collection for each in planned.repairs), force=force)
    except errors.DaglabError as error:
        return {(each.collection, each.fault): f"It can't be told: {error.message}" for each in planned.repairs}
    why = "It is so again: something else made it so; its server's log says more."
    there = {(each.collection, each.fault): why for each in found.repairs}
    unread = {each.collection: each.why for each in found.refused if each.what == repairs.UNREAD}
    return {
        (each.collection, each.fault): there.get((each.collection, each.fault)) or unread[each.collection]
        for each in planned.repairs
        if (each.collection, each.fault) in there or each.collection in unread
    }


def _told(each: repairs.Repair) -> dict[str, Any]:
    return {"collection": each.collection, "what": each.what, "afterwards": each.afterwards}


def _tell(planned: repairs.Plan, *, dry_run: bool) -> None:
    for each in planned.repairs:
        then = f" Then: {each.afterwards}" if each.afterwards else ""
        output.note(f"{'Would' if dry_run else 'Will'} {each.what}.{then}")
    for refused in planned.refused:
        output.note(f"Left alone: {refused.what}. {refused.why}")
    if not planned.repairs:
        output.note("There is nothing that can be put right from here.")


def _tell_done(found: dict[str, Any]) -> None:
    for each in found["fixed"]:
        output.note(f"Done: {each['what']}.{' ' + each['afterwards'] if each['afterwards'] else ''}")
    for each in found["not_fixed"]:
        output.warn(f"Not done: {each['what']}. {each['why']}")


def _refuse_options(*, fix: bool, dry_run: bool, force: bool, yes: bool) -> None:
    given = [name for name, value in (("--dry-run", dry_run), ("--force", force), ("--yes", yes)) if value]
    if given and not fix:
        raise errors.WrongUsage(f"{given[0]} goes with --fix: without it, nothing is done.", "Add --fix.")


@click.command(name="health")
@click.argument("name", required=False)
@click.option("-d", "--detailed", is_flag=True, help="Each check with its figures, also what is well.")
@click.option("--fix", is_flag=True, help="Put right what can be without a risk: tell, ask, do it, look again.")
@click.option("--dry-run", is_flag=True, help="With --fix: tell what would be done, and do nothing.")
@click.option("--force", is_flag=True, help="With --fix: also shards of a node that looks short of disk or memory.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--timeout",
    type=output.Seconds(),
    metavar="SECONDS",
    help="How long to wait for each answer.  [default: health.timeout]",
)
@options.cluster_options
@output.env_option
@output.json_option
def command(
    name: str | None,
    detailed: bool,
    fix: bool,
    dry_run: bool,
    force: bool,
    yes: bool,
    timeout: float | None,
    cluster: str | None,
    auth: str | None,
    as_json: bool,
) -> None:
    """Check that collections are well: all of a cluster, or one.

    Looked at are nodes, shards, tenants, replicas, queues, a sample of the objects, how long queries take, and whether
    the nodes agree. Exits with 0 when all is healthy, 4 when something is degraded, 5 when something is down.

    --fix makes a READONLY shard READY, activates a tenant that is stuck, and undoes what killed copies and migrations
    have left; no object and no schema is changed.

    \b
    Examples:
      daglab collections health
      daglab collections health Docs --detailed
      daglab collections health --fix --dry-run
      daglab collections health --json | jq -r '.collections[] | select(.status != "healthy") | .name'
    """
    _refuse_options(fix=fix, dry_run=dry_run, force=force, yes=yes)
    if fix and not dry_run:
        output.require_answer(yes=yes, as_json=as_json)
    settings = config.load(output.flags())
    with events.recording(settings.root, "collections health") as event:
        look = _look(settings, name, timeout, cluster, auth, event)
        mended = mend(look, force=force, dry_run=dry_run, yes=yes, as_json=as_json) if fix else None
        found = examined(dataclasses.replace(look, answers={}) if fix else look)
        document = result(found, mended)
        event.detail = {"status": document["status"], "collections": len(document["collections"])}
        if mended:
            event.detail.update(fixed=len(mended["fixed"]), not_fixed=len(mended["not_fixed"]))
        error = verdict(found, document)
        if not as_json:
            show(found, error.hint if error else None, detailed=detailed)
        if error is not None:
            raise error
        if as_json:
            output.document(document)


def _look(
    settings: config.Config,
    name: str | None,
    timeout: float | None,
    cluster: str | None,
    auth: str | None,
    event: events.Event,
) -> vitals.Look:
    """The first look; an alias is looked at under its collection's name."""
    from daglab.weaviate import clusters
    from daglab.weaviate.examining import diagnoses, vitals

    connected = clusters.connect(settings, cluster, auth, event_id=event.id)
    event.traffic, event.target = connected.session.traffic, name
    bounded = vitals.bounded(connected, settings.health.timeout if timeout is None else timeout)
    look = vitals.Look(bounded, settings.root, vitals.limits(settings))
    if name is None:
        return look
    return dataclasses.replace(look, only=diagnoses.existing(look, name))

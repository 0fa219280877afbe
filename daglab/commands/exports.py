"""`daglab exports`: what was exported, where it is, until when; renewing links, taking away what is over, verifying."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daglab import errors, events, output, parse, scales
from daglab.exported import export_record, listing, opening, telling
from daglab.settings import config

if TYPE_CHECKING:  # what talks to Dagster brings in requests: a list does without
    from daglab.deployment import dagster_api
    from daglab.exported import latest, resigning, retention


def _refuse_empty(_context: click.Context, _param: click.Parameter, value: str | tuple[str, ...]) -> Any:
    """Every id begins with nothing."""
    if "" in (value if isinstance(value, tuple) else (value,)):
        raise errors.WrongUsage("The id is empty.", "Say which: is a variable unset?")
    return value


named_argument = click.argument("named", metavar="ID|PATH", callback=_refuse_empty)


def _settings() -> config.Config:
    """The config of the project, whose record can be read: what is told of half a record would be wrong."""
    settings = config.load(output.flags())
    export_record.check_readable(settings.root)
    return settings


@click.group(name="exports", cls=output.Group)
def command() -> None:
    """List what was exported, renew links, take away what is over, verify it.

    All of it is by the project's record, .daglab/exports.jsonl. ID is the beginning of an export's id, PATH its HTML.

    \b
    Examples:
      daglab exports list --since 7d
      daglab exports resign --within 2d
      daglab exports expire --yes
      daglab exports verify
    """


@command.command(name="list")
@click.option("--notebook", type=click.Path(path_type=Path), metavar="PATH", help="Only those of this notebook.")
@click.option(
    "--target", metavar="TARGET", help="Only those made for, or attached to, this target: asset:KEY, job:NAME."
)
@click.option("--since", metavar="TIME", help="Only those since then: 7d, 12h, or a date.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="So many of the newest.  [default: all]")
@click.option("--failed", is_flag=True, help="Only those whose notebook failed.")
@click.option("--all", "everything", is_flag=True, help="Also those that were taken away or written over.")
@output.env_option
@output.json_option
def list_command(
    notebook: Path | None,
    target: str | None,
    since: str | None,
    limit: int | None,
    failed: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """List exports, the newest first.

    The state is ok, failed (the notebook), unfinished (something was begun, and nobody knows what came of it), or gone.
    Nothing but the record is looked at; `daglab exports verify` looks at the rest.

    \b
    Examples:
      daglab exports list --target asset:orders
      daglab exports list --failed --since 7d --json | jq -r '.exports[].output'
    """
    settings = _settings()
    wanted = listing.Wanted(
        notebook=export_record.relative(settings.root, notebook.absolute()) if notebook else None,
        target=target,
        since=datetime.fromtimestamp(parse.since(since, "--since"), timezone.utc) if since else None,
        failed=failed,
        all=everything,
    )
    found = listing.chosen(listing.rows(settings.root), wanted)
    shown = found[:limit]
    if as_json:
        output.document({"ok": True, "total": len(found), "exports": shown})
        return
    output.table(telling.rows(shown), telling.HEADERS)
    if not found:
        output.note("There is no export yet. `daglab export NOTEBOOK` makes one; --all shows those that are gone, too.")
    elif len(shown) < len(found):
        output.note(f"These are {len(shown)} of {len(found)}.")


@command.command(name="show")
@named_argument
@output.env_option
@output.json_option
def show_command(named: str, as_json: bool) -> None:
    """Show one export: where it is, what it is attached to, its parameters, results, and what happened to it.

    A signed link is masked.

    \b
    Examples:
      daglab exports show exports/orders.html
      daglab exports show 3f2a --json
    """
    settings = _settings()
    row = listing.find(settings.root, named, config.current_directory())
    line = listing.line_of(settings.root, row["id"])
    found = telling.document(row, line, listing.history(settings.root, row["id"]))
    if as_json:
        output.document({"ok": True, **found})
    else:
        telling.show(found)


@command.command(name="open")
@named_argument
@click.option("--no-open", is_flag=True, help="Print where it is, and open nothing.")
@output.env_option
@output.json_option
def open_command(named: str, no_open: bool, as_json: bool) -> None:
    """Open an export in a browser: its signed link, else the file here, else its link.

    Without a terminal it only prints where it is. A signed link is printed masked: it opens what it leads to.

    \b
    Examples:
      daglab exports open exports/orders.html
      daglab exports open 3f2a --no-open
    """
    settings = _settings()
    row = listing.find(settings.root, named, config.current_directory())
    address, kind = opening.address(settings.root, row, datetime.now(timezone.utc))
    opens = not no_open and not as_json and sys.stderr.isatty()
    if as_json:
        output.document({"ok": True, "id": row["id"], "kind": kind, "address": parse.plain(address)})
    else:
        output.data(parse.plain(address) or "")
    if opens:
        if problem := opening.show(opening.leading_to(settings.root, address) if kind == opening.SIGNED else address):
            output.note(f"It could not be opened in a browser: {problem}.")
    elif kind == opening.SIGNED:
        output.note(f"The link is signed, and masked here; it stands in {settings.root / export_record.FILE}.")


def _api(settings: config.Config, event: events.Event) -> dagster_api.DagsterApi:
    from daglab.deployment import dagster_api

    api = dagster_api.connect(settings, operation=event.id)
    event.traffic = api.traffic
    return api


@command.command(name="resign")
@click.argument("ids", nargs=-1, metavar="[ID|PATH]...", callback=_refuse_empty)
@click.option("--within", default="2d", show_default=True, metavar="TIME", help="Links that run out within this time.")
@click.option("--sign", metavar="TIME", help="For how long the new ones are good.  [default: as long as the old one]")
@click.option("--dry-run", is_flag=True, help="Tell which links would be renewed, and do nothing.")
@output.connection_options
@output.json_option
def resign_command(ids: tuple[str, ...], within: str, sign: str | None, dry_run: bool, as_json: bool) -> None:
    """Renew signed links that run out, and attach the new ones to the assets that show the old.

    With ID, that one is renewed, whenever its link runs out. An asset that a newer export was attached to is left as it
    is. An object that is not what was uploaded gets no link.

    \b
    Examples:
      daglab exports resign --within 2d
      daglab exports resign 3f2a --sign 7d
    """
    from daglab.exported import resigning

    settings = _settings()
    span, seconds = parse.duration(within, "--within"), parse.duration(sign, "--sign") if sign else None
    here, now = config.current_directory(), datetime.now(timezone.utc)
    wanted = [listing.find(settings.root, each, here)["id"] for each in ids]
    found = resigning.due(settings.root, now, timedelta(seconds=span), wanted)
    if missing := [each for each in wanted if each not in {due.copy.id for due in found}]:
        raise errors.InvalidInput(
            f"{missing[0][:12]} has no signed link that can be renewed.", "`daglab exports show` tells what it has."
        )
    if dry_run:
        listed = telling.due(found)
        if as_json:
            output.document({"ok": True, "dry_run": True, "renewed": listed, "failed": []})
            return
        telling.show_due(listed)
        output.note("Nothing was done: --dry-run only tells.")
        return
    with events.recording(settings.root, "exports resign") as event:
        event.detail["due"] = len(found)
        result: dict[str, Any] = {"ok": True, "dry_run": False, "renewed": [], "failed": []}
        first = _renew(settings, found, seconds, event, result)
        event.detail["failed"] = len(result["failed"])
        if first:
            first.result = {**result, "ok": False}
            raise first
    if as_json:
        output.document(result)
    elif not found:
        output.note(f"No signed link runs out within {within}.")


def _renew(
    settings: config.Config,
    found: Sequence[resigning.Due],
    seconds: int | None,
    event: events.Event,
    result: dict[str, Any],
) -> errors.DaglabError | None:
    """Renew one after the other; the first error, after all were tried."""
    from daglab.exported import resigning

    known: list[dagster_api.DagsterApi] = []

    def connect() -> dagster_api.DagsterApi:
        known.extend([] if known else [_api(settings, event)])
        return known[0]

    first: errors.DaglabError | None = None
    for each in found:
        try:
            done = resigning.renew(settings, each, seconds or each.seconds, connect)
        except errors.DaglabError as error:
            first = first or error
            result["failed"].append({"id": each.copy.id, "place": each.copy.place, "why": error.message})
            output.warn(f"{each.copy.place}: {error.message}")
            continue
        except (KeyboardInterrupt, errors.Terminated) as stop:
            told, code = f"Stopped: {len(result['renewed'])} of {len(found)} were renewed.", errors.stop_code(stop)
            known_now = {**result, "ok": False}
            raise errors.Interrupted(told, "The same again goes on.", result=known_now, exit_code=code) from None
        result["renewed"].append(done)
        output.note(f"{done['place']}: good until {telling.moment(done['expires_at'])}{_attached_to(done['attached'])}")
    return first


def _attached_to(names: Sequence[str]) -> str:
    return f", attached to {', '.join(names)}" if names else ""


@command.command(name="expire")
@click.option("--dry-run", is_flag=True, help="Tell what would go, and do nothing.")
@click.option("--even-latest", is_flag=True, help="Also what is the latest attachment of its asset.")
@click.option(
    "--folder",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Also what was uploaded to this folder (file://) outside of the project. Repeatable.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.connection_options
@output.json_option
def expire_command(dry_run: bool, even_latest: bool, folders: tuple[Path, ...], yes: bool, as_json: bool) -> None:
    """Delete exports whose time is over, here and in clouds; by export.max_total_bytes the oldest, too.

    Only what the record says daglab has made goes, and only as it was made: an object is looked at first, and has to be
    marked as this export's. What is its asset's latest attachment stays: Dagster is asked, and where it does not
    answer, the record. What can't be deleted is told, and the rest goes.

    \b
    Examples:
      daglab exports expire --dry-run
      daglab exports expire --yes --json
    """
    if not dry_run:
        output.require_answer(yes=yes, as_json=as_json)
    settings = _settings()
    now = datetime.now(timezone.utc)
    with events.recording(settings.root, "exports expire") as event:
        linked = _linked(settings, now, event, even_latest=even_latest)
        if dry_run or not yes:
            found = expired(settings, now, linked, folders, dry_run=True)
            if not as_json:
                telling.show_expired(found)
            if dry_run:
                output.note("Nothing was done: --dry-run only tells.")
                _finish(found, linked, dry_run=True, as_json=as_json)
                return
            if not found.removed:
                output.note("There is nothing to take away.")
                return
        if not output.agreed("Delete them?", yes=yes):
            output.note("Nothing was done.")
            return
        done = expired(settings, now, linked, folders, dry_run=False)
        event.bytes = done.bytes
        event.detail.update(removed=len(done.removed), kept=len(done.kept), failed=len(done.failed))
        if not as_json:
            telling.show_kept(done)
            output.data(f"Removed {len(done.removed)}, freed {scales.figure(done.bytes, 'bytes')}.")
        _finish(done, linked, dry_run=False, as_json=as_json)


def _linked(settings: config.Config, now: datetime, event: events.Event, *, even_latest: bool) -> latest.Linked:
    from daglab.exported import latest, retention

    concerned = {copy.place for copy in retention.concerned(settings.root, now, settings.export.max_total_bytes)}
    if even_latest or not concerned:
        return latest.Linked({})
    try:
        api = _api(settings, event)
    except errors.DaglabError as error:
        found = latest.linked(None, settings.root, concerned)
        found = latest.Linked(found.places, error.message.rstrip("."))
    else:
        found = latest.linked(api, settings.root, concerned)
    if found.problem:
        output.warn(f"{found.problem}. So what was attached last by the record stays; --even-latest takes it, too.")
    return found


def expired(
    settings: config.Config, now: datetime, linked: latest.Linked, folders: Sequence[Path] = (), *, dry_run: bool
) -> retention.Outcome:
    """Take away what is over or too much, or look what that would be."""
    from daglab.exported import retention

    most = settings.export.max_total_bytes
    return retention.expire(settings.root, now, most, linked, folders=folders, dry_run=dry_run)


def _finish(found: retention.Outcome, linked: latest.Linked, *, dry_run: bool, as_json: bool) -> None:
    """Print the document; raise the first error of what could not be deleted."""
    result = {
        "ok": not found.failed,
        "dry_run": dry_run,
        "freed_bytes": found.bytes,
        "removed": found.removed,
        "kept": found.kept,
        "failed": found.failed,
        "asked_dagster": linked.problem is None,
    }
    for each in found.failed:
        output.warn(f"{each['place']}: {each['why']}")
    if found.error:
        found.error.result = result
        raise found.error
    if as_json:
        output.document(result)


@command.command(name="verify")
@output.env_option
@output.json_option
def verify_command(as_json: bool) -> None:
    """Compare the record with the files here and the objects in clouds.

    It tells what is missing or was changed, what was begun and nobody knows the end of, what should have gone by now,
    and HTML beside the uploads that the record does not know; nothing is changed. Exits with 4 for a difference, and
    with another code when a place can't be read and there is none elsewhere.

    \b
    Examples:
      daglab exports verify
      daglab exports verify --json | jq '.counts'
    """
    from daglab.exported import verification

    settings = config.load(output.flags())
    with events.recording(settings.root, "exports verify") as event:
        found = verification.verify(settings, datetime.now(timezone.utc))
        event.detail.update(differences=len(found.differences), unread=len(found.unread))
        result = {
            "ok": not found.differences and not found.unread,
            "compared": found.compared,
            "counts": {kind: found.count(kind) for kind in verification.KINDS},
            "differences": found.differences,
            "unread": found.unread,
            "out_of_sight": found.out_of_sight,
        }
        if not as_json:
            telling.show_verified(found)
        if found.differences:
            raise errors.NotGood(
                f"The record and what there is differ in {scales.counted(len(found.differences), 'place')}.",
                "Export again what is missing; `daglab exports show ID` tells what happened to one.",
                result=result,
            )
        if found.error:
            found.error.result = result
            raise found.error
    if as_json:
        output.document(result)

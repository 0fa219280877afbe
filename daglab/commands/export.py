"""`daglab export`: run notebooks, write them as HTML, bring them to where people look."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, output, parse, scales
from daglab.attaching import observations
from daglab.exported import export_record
from daglab.exporting import batch_reports, batches, crontab, export_parameters, exporters, exports, publishing
from daglab.settings import config, config_checks

BARE = {"--upload": "export.cloud_storage", "--print-cron": "daily"}  # without a value
LONGEST_WAIT = 86400.0  # seconds
NOT_TOLD = ("DAGSTER_HOME", "VIRTUAL_ENV", "PYTHONPATH")  # what cron does not hand on


class Command(click.Command):
    """What comes after -- is the notebook's; two options may stand without their value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, without the notebook's part, which is kept in `ctx.meta`."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta["daglab.arguments"] = tuple(args[end + 1 :])
        own = args[:end]
        for number, word in enumerate(own):
            after = own[number + 1] if number + 1 < len(own) else ""
            is_place, is_time = "://" in after, len(after.split()) > 1 or after.startswith("@")
            if (word == "--upload" and not is_place) or (word == "--print-cron" and not is_time):
                own[number] = f"{word}={BARE[word]}"
        return super().parse_args(ctx, own)


def clear(settings: config.Config, written: Sequence[Path]) -> None:
    """Take away the project's exports whose time is over, or that are too many, and say so."""
    now, most = datetime.now(timezone.utc), settings.export.max_total_bytes
    gone = export_record.expire(settings.root, now, written, most_bytes=most)
    if gone.removed:
        output.note(f"Removed {len(gone.removed)} expired: {', '.join(gone.removed)}")
    for path in gone.changed:
        output.note(f"{path} has expired and was changed since: it is left alone.")


def show(result: Mapping[str, Any], wish: publishing.Wish) -> None:
    """Print where the HTML is, and what became of it."""
    if result["skipped"]:
        output.note(f"Nothing has changed since {result['exported_at']}: not exported again.")
    if not _is_quiet():
        output.data(result["output"])
    for done in [] if result["skipped"] else result["attached"]:
        if done.get("already"):
            output.note(f"{done['target']} has the same already, attached at {done['at']}")
            continue
        output.note(f"Attached to {done['target']} by way of {done['via']}; read back: {done['link'] or 'no link'}")
        output.note(f"See {wish.page(parse.attach_target(done['target']).asset)}")
        if done["link_type"] != "UrlMetadataEntry" and done["link"]:
            output.warn("Dagster holds the link as text, which can't be clicked; `--via instance` writes a real one.")
    if "snippet" in result:
        if wish.aims and not wish.targets:
            output.warn(f"The job {wish.aims[0].job} has no assets, and Dagster keeps no metadata of jobs themselves.")
        output.note("Nothing is attached now. This makes an asset attach its newest export when it next runs:")
        output.data(result["snippet"])


def export_one(batch: batches.Batch, piece: batches.Piece, task: batches.Task, event: events.Event) -> None:
    """Export one notebook, and print its document or where it is."""
    output.note(f"Running {piece.notebook}")
    made = batches.stood(batch, piece, lambda: batches.made(batch, piece))
    if made.export:
        event.bytes = made.export.bytes
        output.note(f"Wrote {made.export.output}")
    result = batches.published(batch, piece, made)
    clear(batch.settings, [piece.output])
    if task.as_json:
        output.document(result)
    else:
        show(result, batch.wish)


def export_many(batch: batches.Batch, pieces: Sequence[batches.Piece], task: batches.Task, event: events.Event) -> None:
    """Export them side by side with a line for each; raises what is not good with the whole report."""
    started = time.monotonic()
    results: dict[Path, dict[str, Any]] = {}
    stopped = _carried_out(batch, pieces, task, results)
    report = batch_reports.document([piece.output for piece in pieces], results, time.monotonic() - started)
    event.bytes = sum(each.get("bytes") or 0 for each in report["exports"] if not each.get("skipped"))
    event.detail.update(report["counts"])
    if stopped:
        raise batch_reports.stopped(report, stopped) from None
    clear(batch.settings, [piece.output for piece in pieces])
    if not (task.as_json or _is_quiet()):
        output.text("\n".join(each["output"] for each in report["exports"] if "error" not in each))
    if not report["ok"]:
        raise batch_reports.not_good(report)
    if task.as_json:
        output.document(report)


def _carried_out(
    batch: batches.Batch,
    pieces: Sequence[batches.Piece],
    task: batches.Task,
    results: dict[Path, dict[str, Any]],
) -> BaseException | None:
    """Fill in what became of each, by its output; what has stopped it, else None."""
    width = len(str(len(pieces)))
    try:
        with contextlib.closing(batches.side_by_side(batch, pieces, task.jobs)) as running:
            for piece, outcome in running:
                result = batches.told(batch, piece, outcome)
                if result is None:
                    continue
                results[piece.output] = result
                output.note(f"[{len(results):{width}}/{len(pieces)}] {batch_reports.line(piece.notebook, result)}")
                if "error" in result and not task.keep_going:
                    batch.halted.set()
    except (KeyboardInterrupt, errors.Terminated) as stop:
        return stop
    except errors.Interrupted as stop:  # while one was published
        results[piece.output] = {**(stop.result or {}), "ok": False, "skipped": False, "error": stop.document()}
        return stop
    return None


def carry_out(task: batches.Task, settings: config.Config, wish: publishing.Wish, event: events.Event) -> None:
    """Find what is to be exported, refuse what can't be before anything runs, and export it."""
    parameters = export_parameters.seen(task.arguments)
    export_parameters.hide_secrets(parameters)
    notebooks = batches.every(settings) if task.everything else list(task.notebooks)
    if task.from_list is not None:
        notebooks += batches.listed(task.from_list)
    event.target = str(notebooks[0]) if not task.is_batch and notebooks else scales.counted(len(notebooks), "notebook")
    if not task.is_batch:
        exports.check_notebook(notebooks[0])
    pieces = batches.planned(settings, notebooks, task.target, parameters, wish)
    wish = _prepared(settings, wish, event)
    with contextlib.ExitStack() as stack:
        env = {**os.environ, **config.as_environment(output.flags()), exports.VARIABLE: "1"}
        pythons = dict.fromkeys(piece.python for piece in pieces)
        batch = batches.Batch(
            settings,
            task.arguments,
            export_parameters.recorded(parameters),
            wish,
            # The notebook asks the deployment that the export is for.
            {python: stack.enter_context(exporters.opened(python, env)) for python in pythons},
            task.interactive,
            task.if_changed,
            task.wait_lock,
            task.keep_going,
        )
        (export_many(batch, pieces, task, event) if task.is_batch else export_one(batch, pieces[0], task, event))


def _prepared(settings: config.Config, wish: publishing.Wish, event: events.Event) -> publishing.Wish:
    """The wish, with all that can be checked before the notebooks run."""
    api = None
    if wish.aims:
        from daglab.deployment import dagster_api  # it brings in requests: an export that is not attached does without

        api = dagster_api.connect(settings, operation=event.id)
        event.traffic = api.traffic
    return publishing.prepared(settings, wish, api)


def cron_line(schedule: str) -> str:
    """The line of a crontab that does what this command line does, quietly; --json is for the line itself."""
    words = crontab.without(crontab.without(sys.argv[1:], "--print-cron", schedule), "--json")
    context = click.get_current_context()
    named = export_parameters.words(None, context.params["pairs"], context.meta["daglab.arguments"])
    crontab.check(words, context.params, export_parameters.seen(named))
    missing = [name for name in os.environ if name in NOT_TOLD or name.startswith("DAGLAB_")]
    output.note("cron sends what is printed to MAILTO; set MAILTO=you@example.com above the line.")
    if missing:
        output.note(f"What is set here and cron does not hand on, set in the crontab: {', '.join(sorted(missing))}.")
    command = [*crontab.program(sys.argv[0]), *([] if _is_quiet() else ["-q"]), *words]
    when = crontab.SCHEDULE if schedule == BARE["--print-cron"] else schedule
    return crontab.line(when, Path.cwd(), command)


def _is_quiet() -> bool:  # cron sends a mail for whatever is printed
    return bool(click.get_current_context().meta.get("daglab.quiet"))


def _check(
    notebooks: Sequence[Path],
    everything: bool,
    from_list: str | None,
    attach_to: object,
    needs_attach: Mapping[str, object],
) -> None:
    if sum([bool(notebooks), everything, from_list is not None]) != 1:
        raise errors.WrongUsage(
            "Say which notebooks: their names, --all, or --from-list FILE.", "See `daglab export --help`."
        )
    for flag, value in needs_attach.items():
        if value and not attach_to:
            raise errors.WrongUsage(
                f"{flag} is about what is attached, and --attach is missing.", "Add --attach asset:KEY."
            )


def _place(settings: config.Config, upload: str) -> Any:
    """Where to upload to."""
    from daglab.storage import places

    place = places.from_config(settings) if upload == BARE["--upload"] else places.parse(upload)
    if place is None:
        raise errors.NotSetUp(
            "export.cloud_storage names no place to upload to.", "Set its provider and bucket, or give --upload URL."
        )
    return place


@click.command(name="export", cls=Command)
@click.argument("notebooks", nargs=-1, type=click.Path(path_type=Path), metavar="NOTEBOOK... [-- ARGS]")
@click.option("--all", "everything", is_flag=True, help="Export all notebooks of the notebooks folder.")
@click.option("--from-list", metavar="FILE", help="Export those in a file, a line each; - is standard input.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="How many run at a time.")
@click.option(
    "--keep-going/--fail-fast", default=True, help="After a failure, go on or begin no more.  [default: keep-going]"
)
@click.option(
    "--output",
    "target",
    metavar="FILE",
    help="The HTML file to write; {notebook} and {PARAMETER} are filled in.  [default: below exports/ in the project]",
)
@click.option("--compress/--no-compress", default=None, help="Write it as .html.gz.  [default: export.compress]")
@click.option(
    "--interactive",
    type=click.Choice(("cdn", "none")),
    default="cdn",
    show_default=True,
    help="Whether marimo's own page takes over where it can be loaded; the content shows either way.",
)
@click.option("-P", "--parameter", "pairs", multiple=True, metavar="KEY=VALUE", help="A parameter for mo.cli_args().")
@click.option("--params", type=click.Path(path_type=Path), metavar="FILE", help="Parameters in YAML; -P wins over it.")
@click.option("--if-changed", is_flag=True, help="Skip what is good and has not changed, nor have its assets.")
@click.option(
    "--attach",
    "attach_to",
    multiple=True,
    metavar="TARGET",
    help="What to attach it to: asset:KEY, asset:KEY@PARTITION (or asset://KEY:PARTITION), or job:NAME. Repeatable.",
)
@click.option("--attach-failure", is_flag=True, help="Tell the assets of a failed notebook, too.")
@click.option("--check", metavar="NAME", help="Report whether it failed as this asset check.")
@click.option(
    "--via",
    type=click.Choice((*observations.WAYS, observations.COMPUTE)),
    help="How to attach.  [default: instance where it is proven to be the deployment's own, else rest, else graphql]",
)
@click.option("--metadata-key", metavar="LABEL", help="The label of the link.  [default: defaults.attach_metadata_key]")
@click.option(
    "--upload",
    is_flag=False,
    flag_value=BARE["--upload"],
    default=None,
    metavar="[URL]",
    help="Upload it: s3://, gs://, az://, file://, a presigned https://.  [default: to export.cloud_storage]",
)
@click.option("--sign", metavar="TIME", help="Make a signed link to the uploaded file that lasts so long, as 7d.")
@click.option("--allow-errors", is_flag=True, help="Attach a notebook with failed cells, too, and exit with 0.")
@click.option(
    "--retention-days",
    type=click.IntRange(0, config_checks.LONGEST_KEPT),
    metavar="DAYS",
    help="How long to keep it; 0 is for ever.  [default: export.retention_days, 30]",
)
@click.option(
    "--timeout",
    type=output.Seconds(),
    metavar="SECONDS",
    help="How long a notebook may run at most.  [default: export.timeout, 3600]",
)
@click.option(
    "--wait-lock",
    type=output.Seconds(LONGEST_WAIT, or_nothing=True),
    default=0.0,
    show_default="0",
    metavar="SECONDS",
    help="How long to wait for another export of the same output.",
)
@click.option(
    "--print-cron",
    is_flag=False,
    flag_value=BARE["--print-cron"],
    default=None,
    metavar="[SCHEDULE]",
    help="Print the crontab line that does this, and do nothing.  [default: '0 3 * * *']",
)
@output.connection_options
@output.json_option
@click.pass_context
def command(
    context: click.Context,
    notebooks: tuple[Path, ...],
    everything: bool,
    from_list: str | None,
    jobs: int,
    keep_going: bool,
    target: str | None,
    compress: bool | None,
    interactive: str,
    pairs: tuple[str, ...],
    params: Path | None,
    if_changed: bool,
    attach_to: tuple[str, ...],
    attach_failure: bool,
    check: str | None,
    via: str | None,
    metadata_key: str | None,
    upload: str | None,
    sign: str | None,
    allow_errors: bool,
    retention_days: int | None,
    timeout: float | None,
    wait_lock: float,
    print_cron: str | None,
    as_json: bool,
) -> None:
    """Run notebooks, write them as HTML, attach them to assets.

    A failed cell exits with 4 and shows its traceback; the HTML is kept, and nothing is attached. What comes after --
    goes to the notebook (mo.cli_args), as parameters do. What the project's record says daglab has exported goes when
    its time is over, or there is more than export.max_total_bytes, unless it was changed.

    \b
    Examples:
      daglab export dagster/notebooks/asset_orders.py --attach asset:orders
      daglab export --all --jobs 2 -P date=2026-11-01 --output 'reports/{notebook}-{date}.html'
      daglab export daily.py --attach asset:daily@2026-11-01 --if-changed --print-cron '0 5 * * 1-5'
    """
    needs_attach = {"--via": via, "--attach-failure": attach_failure, "--check": check}
    _check(notebooks, everything, from_list, attach_to, needs_attach)
    if print_cron is not None:
        line = cron_line(print_cron)
        output.document({"ok": True, "line": line}) if as_json else output.data(line)
        return
    words = export_parameters.words(params, pairs, context.meta["daglab.arguments"])
    aims = tuple(parse.attach_target(text) for text in attach_to)
    seconds = parse.duration(sign, "--sign") if sign else None
    if sign and upload is None:
        raise errors.WrongUsage("--sign makes a link to what is uploaded, and --upload is missing.", "Add --upload.")
    settings = config.load(
        output.flags(
            {
                "defaults.attach_metadata_key": metadata_key,
                "export.compress": compress,
                "export.retention_days": retention_days,
                "export.timeout": timeout,
            }
        )
    )
    task = batches.Task(
        notebooks,
        everything,
        from_list,
        target,
        tuple(words),
        jobs,
        keep_going,
        if_changed,
        wait_lock,
        interactive,
        as_json,
    )
    wish = publishing.Wish(
        aims=aims,
        via=via,
        python=sys.executable,
        allow_errors=allow_errors,
        keep_days=settings.export.retention_days,
        place=_place(settings, upload) if upload else None,
        sign=seconds,
        attach_failure=attach_failure,
        check=check,
    )
    with events.recording(settings.root, "export") as event:
        carry_out(task, settings, wish, event)

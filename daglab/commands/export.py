"""`daglab export`: run a notebook, write it as HTML, attach it to assets."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daglab import (
    __version__,
    config,
    config_checks,
    errors,
    events,
    export_record,
    exports,
    git,
    observations,
    output,
    parse,
    processes,
)

if TYPE_CHECKING:  # what talks to Dagster brings in requests: an export that is not attached does without
    from daglab import dagster_api


@dataclass(frozen=True)
class Wish:
    """What is to become of an export: which assets it is attached to, by which way (None: the best), how it is kept."""

    api: dagster_api.DagsterApi | None = None
    assets: tuple[tuple[str, ...], ...] = ()
    target: parse.AttachTarget | None = None
    via: str | None = None
    python: str = ""
    allow_errors: bool = False
    keep_days: int = 0

    def page(self, key: tuple[str, ...]) -> str:
        """Where people see it: the asset's page in Dagster."""
        from daglab import attach

        return attach.page(self.api, key) if self.api else ""

    @property
    def names(self) -> list[str]:
        """The targets as they are recorded."""
        own = [f"job:{self.target.job}"] if self.target and self.target.job else []
        return [*own, *(f"asset:{'/'.join(key)}" for key in self.assets)]


def entries(
    settings: config.Config, export: exports.Export, link: str | None, commit: git.Commit | None
) -> list[observations.Entry]:
    """What is told of an export; where the link has the label of another entry, the link stays."""
    facts: list[tuple[str, str, str | int | float | None]] = [
        ("notebook", "path", _shown(export.notebook)),
        ("notebook_sha256", "text", export.notebook_sha256),
        ("html", "path", _shown(export.output)),
        ("html_sha256", "text", export.sha256),
        ("html_bytes", "int", export.bytes),
        ("exported_at", "timestamp", export.exported_at.isoformat()),
        ("duration_s", "float", round(export.seconds, 3)),
        ("git_commit", "text", commit.hash if commit else None),
        ("git_tree", "text", ("changed since" if commit.dirty else "clean") if commit else None),
        ("daglab_version", "text", __version__),
        ("marimo_version", "text", export.marimo_version),
        ("failed_cells", "int", len(export.failed) or None),
        (observations.ID_LABEL, "text", export.id),
    ]
    label = settings.defaults.attach_metadata_key
    if label == observations.ID_LABEL:
        raise errors.InvalidInput(f"The label of the link can't be {label}: that is daglab's own.", "Use another one.")
    found = [observations.Entry(name, kind, value) for name, kind, value in facts if value is not None]
    if link:
        found = [observations.Entry(label, "url", link), *(entry for entry in found if entry.label != label)]
    return found


def _shown(path: Path) -> str:
    """A path as text that Dagster can store and show: it can't where a name is no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def refuse_failed(export: exports.Export) -> None:
    """Raise `NotGood` with each failed cell and its traceback; those that never ran because of it are counted."""
    roots = [cell for cell in export.failed if not cell.caused_by_ancestor] or list(export.failed)
    if not roots:
        return
    shown = "\n\n".join(f"{cell.label}: {cell.error}\n{cell.traceback}".rstrip() for cell in roots)
    others = len(export.failed) - len(roots)
    more = f"\n\n{others} more did not run because of that." if others else ""
    raise errors.NotGood(
        f"{len(roots)} of the notebook's cells failed.\n{shown}{more}",
        f"The HTML is kept at {export.output}; nothing was attached. --allow-errors attaches it all the same.",
    )


def publish(
    settings: config.Config, export: exports.Export, wish: Wish, commit: git.Commit | None = None
) -> dict[str, Any]:
    """Attach an export that is good to its assets, and record it whatever comes of that.

    `attached` in the result lists what was done, also when it broke off in the middle.
    """
    link = exports.link(settings, export.output)
    told = entries(settings, export, link, commit)
    result: dict[str, Any] = {
        **exports.document(export),
        "link": link,
        "git": {"commit": commit.hash, "dirty": commit.dirty} if commit else None,
        "partition": wish.target.partition if wish.target else None,
        "expires_at": export_record.expires_at(export, wish.keep_days),
        "attached": [],
    }
    if wish.allow_errors:
        result["ok"] = True
    try:
        if not wish.allow_errors:
            refuse_failed(export)
        _attach(settings, export, wish, told, result)
    except (KeyboardInterrupt, errors.Terminated) as stop:
        if wish.api is None or not wish.assets or "snippet" in result:
            raise
        result["attach"] = "unknown"
        raise _interrupted(stop, wish, result) from None
    except errors.DaglabError as error:
        if isinstance(error, errors.OutcomeUnknown):
            result["attach"] = "unknown"
        error.result = result
        raise
    finally:
        outcome = {name: result[name] for name in ("link", "git", "partition", "expires_at", "attached")}
        unknown = {"attach": result["attach"]} if "attach" in result else {}
        record = {"targets": wish.names, "entries": [vars(entry) for entry in told], "ok": result["ok"]}
        export_record.append(settings.root, export, {**outcome, **record, **unknown})
    return result


def _attach(
    settings: config.Config,
    export: exports.Export,
    wish: Wish,
    told: Sequence[observations.Entry],
    result: dict[str, Any],
) -> None:
    if wish.target and (wish.via == observations.COMPUTE or not wish.assets):
        result["snippet"] = observations.snippet(wish.assets, wish.target.partition)
        return
    if wish.api is None or wish.target is None:
        return
    from daglab import attach

    for key in wish.assets:
        what = observations.Observation(key, export.id, result["link"], tuple(told), wish.target.partition)
        done = attach.attach(wish.api, settings, what, via=wish.via, python=wish.python)
        result["attached"].append({"target": f"asset:{'/'.join(key)}", **vars(done)})


def _interrupted(stop: BaseException, wish: Wish, result: Mapping[str, Any]) -> errors.Interrupted:
    page = wish.page(wish.assets[min(len(result["attached"]), len(wish.assets) - 1)])
    return errors.Interrupted(
        f"Interrupted; {result['output']} is written, and it may be attached.",
        f"Look at {page} before you attach again.",
        result=result,
        exit_code=errors.stop_code(stop),
    )


def clear(settings: config.Config, written: Path) -> None:
    """Take away the project's exports whose time is over, and say so."""
    gone = export_record.expire(settings.root, datetime.now(timezone.utc), keep=written)
    if gone.removed:
        output.note(f"Removed {len(gone.removed)} expired: {', '.join(gone.removed)}")
    for path in gone.changed:
        output.note(f"{path} has expired and was changed since: it is left alone.")


def show(result: Mapping[str, Any], wish: Wish) -> None:
    """Print where the HTML is, and what is attached where."""
    output.data(result["output"])
    for done in result["attached"]:
        output.note(f"Attached to {done['target']} by way of {done['via']}; read back: {done['link'] or 'no link'}")
        output.note(f"See {wish.page(parse.attach_target(done['target']).asset)}")
        if done["link_type"] != "UrlMetadataEntry" and done["link"]:
            output.warn("Dagster holds the link as text, which can't be clicked; `--via instance` writes a real one.")
    if "snippet" in result:
        if wish.target and wish.target.job and not wish.assets:
            output.warn(f"The job {wish.target.job} has no assets, and Dagster keeps no metadata of jobs themselves.")
        output.note("Nothing is attached now. This makes an asset attach its newest export when it next runs:")
        output.data(result["snippet"])


def _connected(settings: config.Config, wish: Wish, aim: parse.AttachTarget, event: events.Event) -> Wish:
    """The wish with the deployment and the assets: checked before the notebook runs, which may take long."""
    from daglab import attach, dagster_api

    api = dagster_api.connect(settings, operation=event.id)
    event.traffic = api.traffic
    attach.permit(api, wish.via)
    return dataclasses.replace(wish, api=api, assets=tuple(attach.targets(api, settings, aim)))


def _run(
    settings: config.Config,
    notebook: Path,
    html: Path,
    python: str,
    arguments: Sequence[str],
    capture: processes.Capture,
) -> tuple[exports.Export, git.Commit | None]:
    """Run the notebook, and ask git meanwhile what commit it is of."""
    asked = git.look(notebook.absolute(), processes.without_secrets(os.environ, settings.token_variables))
    try:
        done = exports.export_html(
            notebook,
            html,
            python=[python, *settings.flags_for(notebook)],
            arguments=arguments,
            timeout=settings.export.timeout,
            # The notebook asks the deployment that the export is for.
            env={**os.environ, **config.as_environment(output.flags())},
            compress=settings.export.compress,
            capture=capture,
        )
    finally:
        commit = git.found(asked)
    return done, commit


@click.command(name="export")
@click.argument("notebook", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGS]")
@click.option(
    "--output",
    "target",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The HTML file to write.  [default: below exports/ in the project]",
)
@click.option("--compress/--no-compress", default=None, help="Write it as .html.gz.  [default: export.compress]")
@click.option(
    "--attach",
    "attach_to",
    metavar="TARGET",
    help="What to attach it to: asset:KEY, asset:KEY@PARTITION (or asset://KEY:PARTITION), or job:NAME.",
)
@click.option(
    "--via",
    type=click.Choice((*observations.WAYS, observations.COMPUTE)),
    help="How to attach.  [default: instance where it is proven to be the deployment's own, else rest, else graphql]",
)
@click.option("--metadata-key", metavar="LABEL", help="The label of the link.  [default: defaults.attach_metadata_key]")
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
    help="How long the notebook may run at most.  [default: export.timeout, 3600]",
)
@output.connection_options
@output.json_option
def command(
    notebook: Path,
    arguments: Sequence[str],
    target: Path | None,
    compress: bool | None,
    attach_to: str | None,
    via: str | None,
    metadata_key: str | None,
    allow_errors: bool,
    retention_days: int | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Run a notebook, write it as HTML, and attach it to an asset.

    A failed cell exits with 4 and shows its traceback; the HTML is kept, and nothing is attached. What comes after --
    goes to the notebook (mo.cli_args). The page loads marimo's own code from the network and is blank without. What
    the project's record says daglab has exported goes when its time is over, unless it was changed.

    \b
    Examples:
      daglab export dagster/notebooks/asset_orders.py --attach asset:orders
      daglab export daily.py --attach asset:daily@2026-11-01 --retention-days 90
      daglab export report.py --output build/report.html --timeout 600 -- --days 7
    """
    if via and not attach_to:
        raise errors.WrongUsage("--via says how to attach, and --attach is missing.", "Add --attach asset:KEY.")
    aim = parse.attach_target(attach_to) if attach_to else None
    flags = output.flags(
        {
            "defaults.attach_metadata_key": metadata_key,
            "export.compress": compress,
            "export.retention_days": retention_days,
            "export.timeout": timeout,
        }
    )
    with contextlib.ExitStack() as stack:
        capture = stack.enter_context(processes.capturing())  # it starts up while we find out what to run
        settings = config.load(flags)
        event = stack.enter_context(events.recording(settings.root, "export"))
        event.target = str(notebook)
        exports.check_notebook(notebook)
        html = exports.with_suffix(
            target or exports.default_output(settings, notebook), compress=settings.export.compress
        )
        wish = Wish(
            target=aim,
            via=via,
            python=settings.python_for(notebook),
            allow_errors=allow_errors,
            keep_days=settings.export.retention_days,
        )
        if aim:
            wish = _connected(settings, wish, aim, event)
        output.note(f"Running {notebook}")
        done, commit = _run(settings, notebook, html, wish.python, arguments, capture)
        event.bytes = done.bytes
        output.note(f"Wrote {done.output}")
        result = publish(settings, done, wish, commit)
        clear(settings, done.output)
        if allow_errors and done.failed:
            output.warn(f"{len(done.failed)} of the notebook's cells failed: {done.failed[0].error}")
        if as_json:
            output.document(result)
        else:
            show(result, wish)

"""`daglab export`: run a notebook, write it as HTML, attach it to an asset."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from daglab import attach, config, dagster_api, errors, events, exports, output, parse


def observation(
    settings: config.Config, export: exports.Export, link: str | None, key: tuple[str, ...]
) -> attach.Observation:
    """What is put on the asset's page; where the link has the label of another entry, the link stays."""
    entries = [
        attach.Entry("notebook", "path", _shown(export.notebook)),
        attach.Entry("html", "path", _shown(export.output)),
        attach.Entry("html_sha256", "text", export.sha256),
        attach.Entry("exported_at", "text", export.exported_at.isoformat()),
        attach.Entry(attach.ID_LABEL, "text", export.id),
    ]
    label = settings.defaults.attach_metadata_key
    if label == attach.ID_LABEL:
        raise errors.InvalidInput(f"defaults.attach_metadata_key can't be {label}: that is daglab's own.", "Rename it.")
    if link:
        entries = [attach.Entry(label, "url", link), *(entry for entry in entries if entry.label != label)]
    return attach.Observation(key, export.id, link, tuple(entries))


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
        f"The HTML is kept at {export.output}; nothing was attached.",
    )


def publish(
    settings: config.Config,
    api: dagster_api.DagsterApi | None,
    export: exports.Export,
    key: tuple[str, ...],
    via: str | None,
    python: str,
) -> dict[str, Any]:
    """Attach an export that is good to the asset `key`, where there is one, and record it whatever comes of that."""
    link = exports.link(settings, export.output)
    result: dict[str, Any] = {**exports.document(export), "link": link, "attached": None}
    try:
        refuse_failed(export)
        if api:
            what = observation(settings, export, link, key)
            done = attach.attach(api, settings, what, via=via, python=python)
            result["attached"] = {"target": f"asset:{'/'.join(key)}", **vars(done)}
    except (KeyboardInterrupt, errors.Terminated) as stop:
        if api is None:
            raise
        result["attach"] = "unknown"
        raise _interrupted(stop, attach.page(api, key), result) from None
    except errors.DaglabError as error:
        if isinstance(error, errors.OutcomeUnknown):
            result["attach"] = "unknown"
        error.result = result
        raise
    finally:
        outcome = {name: value for name, value in result.items() if name in ("link", "attached", "attach")}
        exports.record(settings.root, export, outcome)
    return result


def _interrupted(stop: BaseException, page: str, result: Mapping[str, Any]) -> errors.Interrupted:
    code = 143 if isinstance(stop, errors.Terminated) else 130
    return errors.Interrupted(
        f"Interrupted; {result['output']} is written, and it may be attached.",
        f"Look at {page} before you attach again.",
        result=result,
        exit_code=code,
    )


def show(result: Mapping[str, Any], page: str | None) -> None:
    """Print where the HTML is, and what is attached where."""
    output.data(result["output"])
    done = result["attached"]
    if done:
        output.note(f"Attached to {done['target']} by way of {done['via']}; read back: {done['link'] or 'no link'}")
        output.note(f"See {page}")
        if done["link_type"] == "TextMetadataEntry":
            output.warn("Dagster holds the link as text, which can't be clicked; `--via instance` writes a real one.")


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
@click.option("--attach", "attach_to", metavar="asset:KEY", help="The asset to attach the export to.")
@click.option(
    "--via",
    type=click.Choice(attach.WAYS),
    help="How to attach.  [default: instance where it is proven to be the deployment's own, else rest]",
)
@click.option(
    "--timeout",
    type=output.Seconds(),
    metavar="SECONDS",
    help="How long the notebook may run at most.  [default: export.timeout, 3600]",
)
@output.url_option
@output.json_option
def command(
    notebook: Path,
    arguments: Sequence[str],
    target: Path | None,
    attach_to: str | None,
    via: str | None,
    timeout: float | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Run a notebook, write it as HTML, and attach it to an asset.

    A failed cell exits with 4 and shows its traceback; the HTML is kept, and nothing is attached. What comes after --
    goes to the notebook (mo.cli_args). The page loads marimo's own code from the network and is blank without.

    \b
    Examples:
      daglab export dagster/notebooks/asset_orders.py --attach asset:orders
      daglab export report.py --output build/report.html --timeout 600 -- --days 7
    """
    if via and not attach_to:
        raise errors.WrongUsage("--via says how to attach, and --attach is missing.", "Add --attach asset:KEY.")
    key = parse.attach_target(attach_to) if attach_to else ()
    settings = config.load({"dagster.url": url})
    with events.recording(settings.root, "export") as event:
        event.target = str(notebook)
        exports.check_notebook(notebook)
        html = target or exports.default_output(settings, notebook)
        api = None
        if key:
            api = dagster_api.connect(settings, operation=event.id)
            event.traffic = api.traffic
            attach.check(api, key)  # before the notebook runs, which may take long
        output.note(f"Running {notebook}")
        python = settings.python_for(notebook)
        flags = settings.flags_for(notebook)
        # The notebook asks the deployment that the export is for.
        env = {**os.environ, "DAGLAB_DAGSTER__URL": url} if url else None
        limit = timeout or settings.export.timeout
        done = exports.export_html(
            notebook, html, python=python, arguments=arguments, timeout=limit, env=env, flags=flags
        )
        event.bytes = done.bytes
        output.note(f"Wrote {done.output}")
        result = publish(settings, api, done, key, via, python)
        if as_json:
            output.document(result)
        else:
            show(result, attach.page(api, key) if api else None)

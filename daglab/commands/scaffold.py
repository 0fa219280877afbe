"""`daglab scaffold`: write a marimo notebook for an asset or a job."""

from __future__ import annotations

import re
import shlex
from importlib import metadata
from pathlib import Path, PurePath

import click

from daglab import config, errors, events, files, output, parse, render

LONGEST_SLUG = 100  # bytes


def file_name(asset: tuple[str, ...] | None, job: str | None) -> str:
    """The notebook's name: it starts with the kind of its target, so that no `json.py` hides a module.

    The parts of a key are joined by two underscores, as Dagster does in the name of an asset's op.
    """
    kind, parts = ("asset", asset) if asset else ("job", (job or "",))
    slug = "__".join(re.sub(r"\W+", "_", part).strip("_") for part in parts).strip("_")
    # A file's name has room for 255 bytes, and a temporary one beside it needs some of them.
    slug = slug.encode("utf-8", "ignore")[:LONGEST_SLUG].decode("utf-8", "ignore")
    return f"{kind}_{slug or 'unnamed'}.py"


def notebook(asset: tuple[str, ...] | None, job: str | None, path: str) -> str:
    """The notebook's code; names are data in it, whatever they hold. `path` is its own, from the project's root."""
    name = "/".join(asset) if asset else job
    attach = f" --attach {shlex.quote(f'asset:{name}')}" if asset else ""
    text = render.render(
        "notebook/default.py.j2",
        asset=list(asset) if asset else None,
        job=job,
        title=f"Explore {name}",
        export=f"daglab export {shlex.quote(path)}{attach}",
        depth=len(PurePath(path).parent.parts),
        marimo_version=metadata.version("marimo"),
    )
    compile(text, path, "exec")
    return text


def write(settings: config.Config, asset: tuple[str, ...] | None, job: str | None) -> Path:
    """Write the notebook into the project's notebooks folder. Raises `Taken` when there is one of that name."""
    path = settings.root / settings.notebooks_dir / file_name(asset, job)
    relative = files.inside(settings.root, path)
    if relative is None:
        raise errors.InvalidInput(
            f"{path} lies outside of the project {settings.root}.", "Set notebooks_dir to a folder of the project."
        )
    files.write_new(path, notebook(asset, job, str(relative)))
    return path


@click.command(name="scaffold")
@click.option("--asset", metavar="KEY", help="The asset, such as orders or src/customers.")
@click.option("--job", metavar="NAME", help="The job.")
@output.json_option
def command(asset: str | None, job: str | None, as_json: bool) -> None:
    """Write a marimo notebook for an asset or a job.

    The notebook connects to the deployment, shows its target, launches it with a button and follows the run. A
    notebook that is there is never written over.

    \b
    Examples:
      daglab scaffold --asset orders
      daglab scaffold --job report && marimo edit dagster/notebooks/job_report.py
    """
    if bool(asset) == bool(job):
        raise errors.WrongUsage("One of --asset and --job is needed, and only one.", "daglab scaffold --asset orders")
    key = parse.asset_key(asset) if asset else None
    settings = config.load()
    with events.recording(settings.root, "scaffold") as event:
        event.target = f"asset:{asset}" if asset else f"job:{job}"
        path = write(settings, key, job)
        if as_json:
            output.document({"ok": True, "notebook": str(path), "target": event.target})
        else:
            output.data(str(path))
            output.note(f"Open it with: marimo edit {shlex.quote(str(path))}")

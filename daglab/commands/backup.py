"""`daglab backup`: a project's own files in one archive, bringing them back, and its data as CSV."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, files, output, scales
from daglab.dev import record
from daglab.settings import config
from daglab.upkeep import archives, restoring, tree, turns

MOST_SHOWN = 20  # paths, to a person
folder_option = click.option(
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of the archives.  [default: .daglab/backups in the project]",
)


def archive_folder(root: Path, folder: Path | None) -> Path:
    """Where archives lie. Raises `InvalidInput` where the project's own folder leads out of it."""
    if folder is not None:
        return folder.absolute()
    turns.require_own(root)
    own = root / archives.FOLDER
    if own.is_symlink():
        raise errors.InvalidInput(f"{own} is a link.", "Take it away, or name a folder with --output.")
    return own


def find_archive(root: Path, named: Path) -> Path:
    """The archive of a path, or of a name alone in the project's own folder."""
    own = root / archives.FOLDER / named
    return own if len(named.parts) == 1 and not os.path.lexists(named) and os.path.lexists(own) else named.absolute()


def document(path: Path, changes: Sequence[restoring.Change], *, dry_run: bool, recovered: bool) -> dict[str, Any]:
    """What became of each file, or would."""
    found = [{"path": each.entry.path, "change": each.what, "bytes": each.entry.size} for each in changes]
    return {
        "ok": True,
        "archive": str(path),
        "dry_run": dry_run,
        "counts": {kind: sum(each.what == kind for each in changes) for kind in restoring.KINDS},
        "files": found,
        "recovered": recovered,
    }


def show(changes: Sequence[restoring.Change]) -> None:
    """Print what is new and what is replaced, and how many there are of each kind."""
    wanted = [each for each in changes if each.what in (restoring.NEW, restoring.CHANGED)]
    for each in wanted[:MOST_SHOWN]:
        output.data(f"{each.what:9} {each.entry.path}")
    if len(wanted) > MOST_SHOWN:
        output.note(f"... and {len(wanted) - MOST_SHOWN} more: --dry-run --json lists all.")
    counts = {kind: sum(each.what == kind for each in changes) for kind in restoring.KINDS}
    output.note(", ".join(f"{number} {kind}" for kind, number in counts.items() if number) or "It holds no files.")


@click.group(name="backup", cls=output.Group)
def command() -> None:
    """Archive a project's files, and bring them back.

    An archive holds daglab.yaml, the notebooks, and of .daglab/ what can't be made anew: events, the record of exports,
    states, templates. Not in it: Dagster's history, exports, code, logs, the cache, tokens.

    \b
    Examples:
      daglab backup create
      daglab backup restore daglab-shop-20261121T060000Z.tar.gz --dry-run
    """


@command.command(name="create")
@folder_option
@output.env_option
@output.json_option
def create_command(folder: Path | None, as_json: bool) -> None:
    """Write an archive of the project, and read it back before it gets its name.

    Others may go on working meanwhile: each file is taken whole. It is for its owner alone (0600), for states and
    links are in it.

    \b
    Example:
      daglab backup create --output /mnt/backups
    """
    settings = config.load(output.flags())
    root = settings.root
    with events.recording(root, "backup create") as event, turns.alone(root) as recovered:
        if folder is None and not (root / tree.HOME).is_dir():
            raise errors.NotSetUp(f"{root} has no .daglab/.", "`daglab init` makes it, or name a folder: --output DIR")
        path, manifest, left = archives.create(root, settings.notebooks_dir, archive_folder(root, folder))
        event.bytes = path.stat().st_size
        event.detail.update(archive=path.name, files=len(manifest.entries))
        if as_json:
            output.document(
                {
                    "ok": True,
                    "archive": str(path),
                    "created": manifest.created,
                    "bytes": event.bytes,
                    "files": len(manifest.entries),
                    "content_bytes": manifest.bytes,
                    "left_out": [{"path": each, "why": why} for each, why in left],
                    "recovered": recovered,
                }
            )
            return
        for each, why in left:
            output.warn(f"{each} is left out: {why}.")
        output.data(str(path))
        count = scales.counted(len(manifest.entries), "file")
        output.note(f"{count}, {scales.figure(event.bytes, 'bytes')}, read back and whole.")


@command.command(name="list")
@folder_option
@output.json_option
def list_command(folder: Path | None, as_json: bool) -> None:
    """List the archives, and read each to its end: whether it is whole.

    \b
    Example:
      daglab backup list --json | jq -r '.archives[-1].path'
    """
    found = list(archives.every(archive_folder(config.project_root(), folder)))
    if as_json:
        output.document({"ok": True, "archives": found})
        return
    rows = [
        (
            Path(each["path"]).name,
            each["created"] or "",
            scales.figure(each["bytes"], "bytes"),
            "" if each["files"] is None else each["files"],
            "yes" if each["whole"] else "no",
        )
        for each in found
    ]
    output.table(rows, ("Archive", "Made", "Size", "Files", "Whole"))
    for each in found:
        if each["problem"]:
            output.warn(each["problem"])
    if not found:
        output.note("There are no archives: `daglab backup create` makes one.")


@command.command(name="restore")
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Tell what would be new and what replaced, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.json_option
def restore_command(archive: Path, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Put the files of an archive back in their places: all of them, or none.

    What is not in the archive stays. Events and the record of exports that have only grown since stay, too, for
    nothing of the archive is missing in them. ARCHIVE is a path, or a name alone that `daglab backup list` shows.

    \b
    Examples:
      daglab backup restore daglab-shop-20261121T060000Z.tar.gz --dry-run
      daglab backup restore /mnt/backups/daglab-shop-20261121T060000Z.tar.gz --yes
    """
    if not dry_run:
        output.require_answer(yes=yes, as_json=as_json)
    root = config.project_root()
    turns.require_own(root)
    path = find_archive(root, archive)
    if dry_run or not yes:
        changes = restoring.compare(root, path, restoring.own_notebooks_dir(root))
        if as_json:
            output.document(document(path, changes, dry_run=True, recovered=False))
            return
        show(changes)
        if dry_run:
            output.note("Nothing was done: --dry-run only tells.")
            return
        record.refuse_second(root)
    if output.agreed(f"Restore them into {root}?", yes=yes):
        _restore(root, path, as_json=as_json)
    else:
        output.note("Nothing was done.")


def _restore(root: Path, path: Path, *, as_json: bool) -> None:
    with events.recording(root, "backup restore") as event:
        files.make_folder(root / tree.HOME)
        with turns.alone(root) as recovered:
            changes = restoring.restore(root, path, restoring.own_notebooks_dir(root))
        result = document(path, changes, dry_run=False, recovered=recovered)
        event.target = path.name
        event.detail.update(result["counts"])
        if as_json:
            output.document(result)
        else:
            show(changes)
            output.note(f"Restored {path}.")


@command.command(name="data")
@click.option(
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="The folder to write to; files of these names in it are replaced.",
)
@output.env_option
@output.json_option
def data_command(folder: Path, as_json: bool) -> None:
    """Write runs, exports, events, usage and figures as CSV, the config and a summary.

    In DIR: runs.csv, exports.csv, events.csv, usage.csv, metrics.csv (a row a day), config.json (without secrets),
    summary.md. Each file is whole at every moment. Addresses are without their queries, which may be signed.

    \b
    Example:
      daglab backup data --output exports/data
    """
    from daglab.upkeep import tables

    settings = config.load(output.flags())
    with events.recording(settings.root, "backup data") as event:
        found = tables.write(settings, folder.absolute())
        event.bytes = sum(each["bytes"] for each in found)
        if as_json:
            output.document({"ok": True, "output": str(folder.absolute()), "files": found})
            return
        rows = [(Path(each["path"]).name, "" if each["rows"] is None else each["rows"]) for each in found]
        output.table(rows, ("File", "Rows"))
        output.note(f"In {folder.absolute()}.")

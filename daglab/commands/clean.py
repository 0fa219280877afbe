"""`daglab clean`: take away what daglab has made and nobody needs any more."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, git, output, parse, processes, scales
from daglab.settings import config
from daglab.upkeep import cleaning, turns

MOST_SHOWN = 20  # paths, to a person


def wishes(settings: config.Config, older_than: str | None, *, notebooks: bool, archive: bool) -> cleaning.Wishes:
    """What is to go."""
    environ = processes.without_secrets(os.environ, settings.token_variables)
    return cleaning.Wishes(
        now=datetime.now(timezone.utc),
        before=parse.since(older_than, "--older-than") if older_than else None,
        notebooks_dir=settings.notebooks_dir if notebooks else None,
        is_modified=lambda path: git.is_modified(path, environ),
        archive=archive,
        retention_days=settings.events.retention_days,
    )


def document(outcome: cleaning.Outcome, *, dry_run: bool, recovered: bool = False) -> dict[str, Any]:
    """What went, or would go."""
    return {
        "ok": not outcome.failed,
        "dry_run": dry_run,
        "freed_bytes": outcome.bytes,
        "categories": outcome.categories,
        "removed": outcome.removed,
        "archived": outcome.archived,
        "kept": outcome.kept,
        "failed": outcome.failed,
        "recovered": recovered,
    }


def show(outcome: cleaning.Outcome) -> None:
    """Print each category with its number and size, and what stays."""
    rows = [(each["category"], each["n"], scales.figure(each["bytes"], "bytes")) for each in outcome.categories]
    total = sum(each["n"] for each in outcome.categories)
    output.table([*rows, ("all", total, scales.figure(outcome.bytes, "bytes"))], ("What", "Number", "Size"))
    for each in outcome.removed[:MOST_SHOWN]:
        output.note(f"{each['category']}: {each['path']} ({scales.figure(each['bytes'], 'bytes')})")
    if len(outcome.removed) > MOST_SHOWN:
        output.note(f"... and {len(outcome.removed) - MOST_SHOWN} more: --dry-run --json lists all.")
    for each in outcome.kept:
        output.note(f"{each['path']} stays: {each['why']}.")


def refuse_failed(outcome: cleaning.Outcome, result: dict[str, Any]) -> None:
    """Raises `NotGood` where something could not be deleted; the rest is."""
    for each in outcome.failed:
        output.warn(f"{each['path']} can't be deleted: {each['why'].rstrip('.')}.")
    if outcome.failed:
        raise errors.NotGood(
            f"{len(outcome.failed)} of them could not be deleted; the rest is.",
            "Look at their permissions, and clean again.",
            result=result,
        )


def _clean(root: Path, wished: cleaning.Wishes, *, as_json: bool) -> None:
    with events.recording(root, "clean") as event, turns.alone(root) as recovered:
        outcome = cleaning.carry_out(root, wished)
        event.bytes = outcome.bytes
        event.detail.update(
            removed={each["category"]: each["n"] for each in outcome.categories if each["n"]},
            kept=len(outcome.kept),
            failed=len(outcome.failed),
        )
        result = document(outcome, dry_run=False, recovered=recovered)
        if as_json and not outcome.failed:
            output.document(result)
        elif not as_json:
            for path in outcome.archived:
                output.note(f"Archived: {path}")
            for each in outcome.kept:
                output.note(f"{each['path']} stays: {each['why']}.")
            output.data(f"Removed {len(outcome.removed)}, freed {scales.figure(outcome.bytes, 'bytes')}.")
        refuse_failed(outcome, result)


@click.command(name="clean")
@click.option(
    "--older-than",
    metavar="AGE",
    help="Take caches, logs and notebooks that were last changed so long ago (7d, 12h), or before a date."
    "  [default: logs 7d, the others of any age]",
)
@click.option("--notebooks", is_flag=True, help="Take scaffolded notebooks, too, that nobody has changed or used.")
@click.option("--archive", is_flag=True, help="Keep logs and events compressed in .daglab/archive/ first.")
@click.option("--dry-run", is_flag=True, help="Tell what would go, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.env_option
@output.json_option
def command(older_than: str | None, notebooks: bool, archive: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Take away what daglab has made and nobody needs any more.

    These go: exports whose time is over, the cache, temporary files that killed commands have left, locks without an
    owner, old logs, and events past events.retention_days, of which daily sums stay. Only what daglab has made goes,
    nothing of it that was changed since, and nothing outside of the project. It shows what would go, and asks.

    \b
    Examples:
      daglab clean --dry-run
      daglab clean --yes --archive --older-than 30d
    """
    if not dry_run:
        output.require_answer(yes=yes, as_json=as_json)
    settings = config.load(output.flags())
    wished = wishes(settings, older_than, notebooks=notebooks, archive=archive)
    if dry_run or not yes:
        found = cleaning.look(settings.root, wished)
        if as_json:
            output.document(document(found, dry_run=True))
            return
        show(found)
        if dry_run:
            output.note("Nothing was done: --dry-run only tells.")
            return
        if not found.removed:
            output.note("There is nothing to take away.")
            return
    if output.agreed("Delete them?", yes=yes):
        _clean(settings.root, wished, as_json=as_json)
    else:
        output.note("Nothing was done.")

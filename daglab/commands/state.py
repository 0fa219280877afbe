"""`daglab state`: look at what a notebook keeps across restarts, go back to an earlier revision, begin anew."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, json_values, output, parse, state_files
from daglab.settings import config

LONGEST_VALUE = 120  # characters of one in a table
notebook_argument = click.argument("notebook", metavar="NOTEBOOK")


def find(root: Path, notebook: str) -> tuple[Path, str]:
    """The file of a notebook's state, and the notebook's path from the project's root.

    The notebook is named from where we are or from the root, and may be gone. Raises `InvalidInput` with the notebooks
    that have a state when it has none.
    """
    for start in (config.current_directory(), root):
        path, name = state_files.place(root, start / notebook)
        if state_files.exists(path):
            return path, name
    there = state_files.notebooks(root)
    hint = f"These have one: {', '.join(there)}." if there else "None has one yet: a notebook makes it with its code."
    if near := parse.did_you_mean(notebook, there):
        hint = f"{near} {hint}"
    raise errors.InvalidInput(f"{notebook} has no state in the project {root}.", hint)


def document(path: Path, name: str, stored: state_files.Stored) -> dict[str, Any]:
    """What a state is, without its history."""
    return {"ok": True, "notebook": name, "file": str(path), "recovered": stored.recovered, **vars(stored.now)}


def show(rows: Iterable[tuple[object, ...]], headers: Sequence[str]) -> None:
    """Print a table whose last column holds values, as JSON, cut to a length that a table can bear."""
    whole = [([*row[:-1]], json_values.text(row[-1])) for row in rows]
    output.table(
        [(*head, text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…") for head, text in whole], headers
    )
    if any(len(text) > LONGEST_VALUE for _, text in whole):
        output.note("--json shows the values whole.")


@click.group(name="state", cls=output.Group)
def command() -> None:
    """Show what notebooks keep across restarts, and go back to an earlier state.

    A notebook keeps its state with the help of daglab's manage_state. NOTEBOOK is its path; the notebook may be gone.

    \b
    Examples:
      daglab state show dagster/notebooks/orders.py
      daglab state rollback dagster/notebooks/orders.py --to 12
    """


@command.command(name="show")
@notebook_argument
@output.json_option
def show_command(notebook: str, as_json: bool) -> None:
    """Show the values of a notebook's state, as they are stored.

    \b
    Example:
      daglab state show dagster/notebooks/orders.py --json | jq .values
    """
    path, name = find(state_files.project(config.current_directory()), notebook)
    stored = state_files.read(path)
    if as_json:
        output.document(document(path, name, stored))
        return
    now = stored.now
    output.note(f"{name}: revision {now.revision} of {now.saved}, version {now.version} of its values.")
    show(now.values.items(), ("Name", "Value"))
    if not now.values:
        output.note("It holds no values.")


@command.command(name="history")
@notebook_argument
@output.json_option
def history_command(notebook: str, as_json: bool) -> None:
    """List the revisions of a notebook's state that are kept, the newest first: the one in force.

    \b
    Example:
      daglab state history dagster/notebooks/orders.py
    """
    path, name = find(state_files.project(config.current_directory()), notebook)
    stored = state_files.read(path)
    revisions = [vars(each) for each in (stored.now, *stored.earlier)]
    if as_json:
        result = {"ok": True, "notebook": name, "file": str(path), "recovered": stored.recovered}
        output.document({**result, "revisions": revisions})
        return
    show([tuple(each.values()) for each in revisions], ("Revision", "Version", "Saved", "Values"))


@command.command(name="rollback")
@notebook_argument
@click.option(
    "--to",
    type=click.IntRange(min=1),
    metavar="REVISION",
    help="The revision to go back to.  [default: the one before]",
)
@output.json_option
def rollback_command(notebook: str, to: int | None, as_json: bool) -> None:
    """Bring back the values of an earlier revision, as a new one: nothing is lost.

    They keep their version, and the notebook migrates them again when it reads them.

    \b
    Example:
      daglab state rollback dagster/notebooks/orders.py --to 12
    """
    root = state_files.project(config.current_directory())
    with events.recording(root, "state rollback") as event:
        path, name = find(root, notebook)
        event.target = name
        stored, restored = state_files.rollback(path, name, to)
        event.detail.update(revision=stored.now.revision, restored=restored.revision)
        result = {**document(path, name, stored), "restored": restored.revision}
        _tell(result, f"The values of revision {restored.revision} are in force again", stored, notebook, as_json)


@command.command(name="reset")
@notebook_argument
@output.json_option
def reset_command(notebook: str, as_json: bool) -> None:
    """Take all values away, as a new revision; the notebook goes on with its defaults.

    A state that can't be read is put aside, as a file that ends in .broken.

    \b
    Example:
      daglab state reset dagster/notebooks/orders.py
    """
    root = state_files.project(config.current_directory())
    with events.recording(root, "state reset") as event:
        path, name = find(root, notebook)
        event.target = name
        stored = state_files.reset(path, name)
        event.detail.update(revision=stored.now.revision)
        _tell(document(path, name, stored), f"The state of {name} is empty", stored, notebook, as_json)


def _tell(result: dict[str, Any], done: str, stored: state_files.Stored, notebook: str, as_json: bool) -> None:
    """Say what was done, and the command that undoes it."""
    before = stored.earlier[0].revision if stored.earlier else None
    if as_json:
        output.document({**result, "before": before})
        return
    output.data(f"{done}, as revision {stored.now.revision}.")
    if before:
        output.note(f"To undo it: daglab state rollback {shlex.quote(notebook)} --to {before}")
    else:
        output.note(f"What could not be read lies beside {result['file']}, in files that end in .broken.")

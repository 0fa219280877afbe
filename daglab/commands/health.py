"""`daglab health`: whether all that a project needs is there, for scripts and monitors."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, output, scales, web
from daglab.checks import project, running
from daglab.settings import config


def settings_of(flags: dict[str, Any]) -> config.Config | None:
    """The config; None where its files are not valid, which is for the check of it to tell.

    Raises as `config.load` does where the command line alone is wrong.
    """
    try:
        return config.load(flags)
    except errors.DaglabError:
        if project.inspect(config.current_directory())[0] is None:
            raise
        return None


def result(outcomes: Sequence[running.Outcome]) -> dict[str, Any]:
    """The command's document."""
    status = running.overall(outcomes)
    return {"ok": status == "healthy", "status": status, "checks": [running.document(each) for each in outcomes]}


def verdict(found: dict[str, Any]) -> errors.DaglabError | None:
    """The error that says what is not well; None where all is."""
    for status, kind in (("down", errors.Unreachable), ("degraded", errors.NotGood)):
        bad = [check for check in found["checks"] if check["status"] == status]
        if bad:
            names = ", ".join(check["name"] for check in bad)
            return kind(f"{status.capitalize()}: {names}.", bad[0]["hint"], result=found)
    return None


def root_of(directory: Path) -> Path:
    """The project's root, also where its config can't be read."""
    with contextlib.suppress(errors.DaglabError):
        return config.project_root(directory)
    return directory


@click.command(name="health")
@click.option(
    "--only", metavar="NAME", multiple=True, help="Only this check, or all of a kind (models). May be repeated."
)
@click.option(
    "--timeout",
    type=output.Seconds(),
    metavar="SECONDS",
    help="How long the checks may take, side by side.  [default: health.timeout]",
)
@click.option(
    "--max-export-age",
    type=click.IntRange(min=0),
    metavar="DAYS",
    help="How old the last good export may be; 0: any age.  [default: health.export_max_age_days]",
)
@output.connection_options
@output.json_option
def command(only: Sequence[str], timeout: float | None, max_export_age: int | None, as_json: bool) -> None:
    """Check that all the project needs is there.

    Exits with 0 when it is healthy, 4 when it is degraded, 5 when something is down.

    \b
    Examples:
      daglab health
      daglab health --only dagster --only models --timeout 2
      daglab health --json | jq -r '.checks[] | select(.status == "down") | .name'
    """
    settings = settings_of(output.flags({"health.export_max_age_days": max_export_age}))
    directory = config.current_directory()
    with events.recording(settings.root if settings else root_of(directory), "health") as event:
        event.target = ",".join(only) or None
        if settings is None:
            outcomes = running.run_without_config(root_of(directory), only, timeout)
        else:
            event.traffic = web.Traffic()
            outcomes = running.run(settings, only, timeout, operation=event.id, traffic=event.traffic)
        found = result(outcomes)
        told = [{name: check[name] for name in ("name", "status", "seconds")} for check in found["checks"]]
        event.detail = {"status": found["status"], "checks": told}
        error = verdict(found)
        if not as_json:
            show(outcomes, error.hint if error else None)
        elif error is None:
            output.document(found)
        if error is not None:
            raise error


def show(outcomes: Sequence[running.Outcome], told: str | None) -> None:
    """Print a table, and what helps but for the hint that is told anyway; several checks may need the same."""
    rows = [(each.name, each.status, scales.took(each.seconds), each.detail) for each in outcomes]
    output.table(rows, ("Check", "Status", "Took", "Detail"))
    for hint in dict.fromkeys(each.hint for each in outcomes if each.hint not in (None, told)):
        names = ", ".join(each.name for each in outcomes if each.hint == hint)
        output.note(f"{names}: {hint}")

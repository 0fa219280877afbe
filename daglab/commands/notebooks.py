"""`daglab notebooks`: the project's notebooks."""

from __future__ import annotations

from typing import Any

import click

from daglab import inventory, output
from daglab.exported import export_record
from daglab.settings import config


def rows(found: list[dict[str, Any]]) -> list[list[str]]:
    """A row for each notebook: path, target, template, last run, last export."""
    return [
        [
            each["notebook"],
            each["target"] or ("(can't be read)" if each["problem"] else ""),
            each["template"] or "",
            _moment(each["last_run"]["at"]) if each["last_run"] else "",
            _exported(each["last_export"]),
        ]
        for each in found
    ]


def _exported(export: dict[str, Any] | None) -> str:
    if not export:
        return ""
    state = "" if export["ok"] else ", failed"
    return f"{_moment(export['exported_at'])}{state}{'' if export['is_there'] else ', expired'}"


def _moment(text: str | None) -> str:
    """A time as it is here."""
    at = export_record.time_of(text)
    return f"{at.astimezone():%Y-%m-%d %H:%M}" if at else ""


@click.command(name="notebooks")
@click.option("--target", metavar="TARGET", help="Only those for this target: asset:KEY, job:NAME.")
@output.json_option
def command(target: str | None, as_json: bool) -> None:
    """List the project's notebooks.

    Those of notebooks_dir, and those that were exported from elsewhere in the project. What a scaffolded notebook is
    for stands in it; the last run is the newest that it has launched and remembers.

    \b
    Examples:
      daglab notebooks
      daglab notebooks --target asset:orders --json | jq -r '.notebooks[].notebook'
    """
    settings = config.load(output.flags())
    found = [each for each in inventory.every(settings) if target in (None, each["target"])]
    if as_json:
        output.document({"ok": True, "notebooks": found})
        return
    if not found:
        output.note("There is no notebook yet. `daglab scaffold --asset KEY` writes one.")
    output.table(rows(found), ("Notebook", "Target", "Template", "Last run", "Last export"))
    for each in found:
        if each["problem"]:
            output.warn(f"{each['notebook']}: {each['problem']}")

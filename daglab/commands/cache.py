"""`daglab cache`: what `.daglab/cache/` holds, and emptying it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, output, scales
from daglab.settings import config
from daglab.upkeep import leftovers, turns


def contents(root: Path) -> dict[str, Any]:
    """How many entries the cache has, their bytes, and the ages of the oldest and the newest in seconds."""
    found = list(leftovers.cache(root, float("inf")))
    ages = [max(time.time() - each.changed, 0.0) for each in found]
    return {
        "ok": True,
        "path": str(root / leftovers.CACHE),
        "entries": len(found),
        "bytes": sum(each.bytes for each in found),
        "oldest_s": round(max(ages), 3) if ages else None,
        "newest_s": round(min(ages), 3) if ages else None,
    }


def clear(root: Path) -> tuple[int, int, list[str]]:
    """Delete the entries: how many and of how many bytes went, and the paths of those that can't be deleted."""
    removed, size, failed = 0, 0, []
    for each in leftovers.cache(root, float("inf")):
        try:
            leftovers.remove(root, each)
            removed, size = removed + 1, size + each.bytes
        except (leftovers.Changed, OSError):
            failed.append(each.path)
    leftovers.remove_empty_folders(root, leftovers.CACHE)
    return removed, size, failed


@click.group(name="cache", cls=output.Group)
def command() -> None:
    """Show what the cache holds, and empty it.

    The cache is the folder .daglab/cache/; whatever lies there can be made anew.

    \b
    Examples:
      daglab cache show
      daglab cache clear --yes
    """


@command.command(name="show")
@output.json_option
def show_command(as_json: bool) -> None:
    """Show how many entries the cache has, how large they are and how old.

    \b
    Example:
      daglab cache show --json | jq .bytes
    """
    found = contents(config.project_root())
    if as_json:
        output.document(found)
        return
    output.data(f"{found['entries']} entries, {scales.figure(found['bytes'], 'bytes')}, in {found['path']}")
    if found["entries"]:
        ages = [scales.figure(found[key], "s") for key in ("oldest_s", "newest_s")]
        output.note(f"The oldest was written {ages[0]} ago, the newest {ages[1]}.")


@command.command(name="clear")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.json_option
def clear_command(yes: bool, as_json: bool) -> None:
    """Delete what the cache holds.

    \b
    Example:
      daglab cache clear --yes
    """
    output.require_answer(yes=yes, as_json=as_json)
    root = config.project_root()
    found = contents(root)
    question = (
        f"Delete {scales.counted(found['entries'], 'entry', 'entries')} ({scales.figure(found['bytes'], 'bytes')})?"
    )
    if not output.agreed(question, yes=yes):
        output.note("Nothing was done.")
        return
    with events.recording(root, "cache clear") as event, turns.alone(root):
        removed, size, failed = clear(root)
        event.bytes = size
        event.detail.update(removed=removed, failed=len(failed))
        result = {"ok": not failed, "removed": removed, "freed_bytes": size, "failed": failed}
        if failed:
            raise errors.NotGood(
                f"{scales.counted(len(failed), 'entry', 'entries')} could not be deleted: {failed[0]}",
                "Look at its permissions.",
                result=result,
            )
        if as_json:
            output.document(result)
        else:
            output.data(f"Removed {removed}, freed {scales.figure(size, 'bytes')}.")

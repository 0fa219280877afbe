"""Whether an export is still what it would be if it were made anew."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from daglab import files
from daglab.attaching import observations
from daglab.exported import export_copies, export_record
from daglab.exporting import publication, publishing
from daglab.settings import config

# What the record has of a result: it holds more, and a signed link whole.
MEMBERS = (
    *("id", "notebook", "output", "ok", "exported_at", "seconds", "bytes", "sha256", "notebook_sha256"),
    *("marimo_version", "parameters", "content_sha256", "interactive", "results", "failed", "link", "git"),
    *("partition", "expires_at", "upload", "signed", "attached", "check"),
)


def last_good(
    settings: config.Config,
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    interactive: str,
    wish: publishing.Wish,
) -> dict[str, Any] | None:
    """The record of the last export of this output, where nothing has changed since it was begun; else None.

    It was good, and of the same notebook with the same content and parameters; its file still stands as it was made,
    and is to be kept; it was exported with the same flags, to the same places, and got there; a signed link is good for
    more than half of its time; and none of its assets was materialized since. Secrets among the parameters are not
    compared: they are not kept.
    """
    line = _newest(settings.root, output)
    if line is None or export_record.is_over(line, datetime.now(timezone.utc)):
        return None
    asked = publication.line(settings, notebook, output, parameters, wish, interactive)
    if line.get("line") != asked or not _same(line, notebook, output, interactive):
        return None
    began = _began(line)
    if began is None or not _published(line, wish) or _materialized_since(wish, began):
        return None
    return line


def document(settings: config.Config, line: Mapping[str, Any]) -> dict[str, Any]:
    """The record of an export as the result of an export that was skipped; a signed link without its address."""
    kept = {name: line.get(name) for name in MEMBERS}
    paths = {name: str(settings.root / str(line[name])) for name in ("notebook", "output")}
    signed = line.get("signed")
    shown = {name: signed.get(name) for name in ("expires_at", "seconds")} if isinstance(signed, dict) else None
    return {**kept, **paths, "signed": shown, "skipped": True}


def _newest(root: Path, output: Path) -> dict[str, Any] | None:
    place = export_record.relative(root, output.absolute())
    return next((line for line in reversed(export_record.standing(root)) if line.get("output") == place), None)


def _same(line: Mapping[str, Any], notebook: Path, output: Path, interactive: str) -> bool:
    """Whether the notebook is, and the file stands as it was made."""
    wanted = {"ok": True, "notebook_sha256": files.sha256(notebook), "interactive": interactive}
    wanted["sha256"] = files.sha256(output)
    return all(value is not None and line.get(name) == value for name, value in wanted.items()) and not line.get(
        "failed"
    )


def _began(line: Mapping[str, Any]) -> float | None:
    """When the notebook began to run: what was materialized after that, it may not have seen."""
    at, seconds = export_record.time_of(line.get("exported_at")), line.get("seconds")
    return at.timestamp() - seconds if at and isinstance(seconds, (int, float)) else None


def _published(line: Mapping[str, Any], wish: publishing.Wish) -> bool:
    """Whether all that is asked for now came of it, and still stands."""
    wanted = () if wish.via == observations.COMPUTE else wish.targets  # of which the asset's own code attaches it
    if not {(target.name, target.partition) for target in wanted} <= {*export_copies.aims(line)}:
        return False
    told = line.get("check")
    checked = [each.get("target") for each in told if isinstance(each, dict)] if isinstance(told, list) else []
    if wish.check is not None and not all(observations.Target(asset).name in checked for asset in wish.assets):
        return False
    uploaded = isinstance(line.get("upload"), dict) and not isinstance(line.get("removed"), dict)
    return (uploaded or wish.place is None) and (wish.sign is None or _lasts(line.get("signed"), wish.sign))


def _lasts(signed: object, seconds: int) -> bool:
    """Whether a signed link is good for more than half of the time that is asked for, as where it is attached again."""
    until = export_record.time_of(signed.get("expires_at")) if isinstance(signed, dict) else None
    return until is not None and until - datetime.now(timezone.utc) > timedelta(seconds=seconds / 2)


def _materialized_since(wish: publishing.Wish, began: float) -> bool:
    if wish.api is None:
        return False
    from daglab.deployment import materializations

    for target in wish.targets:
        found = materializations.latest(wish.api, target.asset, 1, partition=target.partition)
        if any(each.at >= began for each in found):
            return True
    return False

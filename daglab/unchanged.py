"""Whether an export is still what it would be if it were made anew."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daglab import config, export_record, publishing


def last_good(
    settings: config.Config,
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    interactive: str,
    wish: publishing.Wish,
) -> dict[str, Any] | None:
    """The record of the last export of this output, where nothing has changed since it was begun; else None.

    It was good, and of the same notebook with the same content and parameters; its file still stands as it was made;
    it went to where it is to go now; and none of its assets was materialized since. Secrets among the parameters are
    not compared: they are not kept.
    """
    line = _newest(settings.root, output)
    if line is None or not _same(settings, line, notebook, output, parameters, interactive):
        return None
    began = _began(line)
    if began is None or not _published(line, wish) or _materialized_since(wish, began):
        return None
    return line


def document(settings: config.Config, line: Mapping[str, Any]) -> dict[str, Any]:
    """The record of an export as the result of an export that was skipped."""
    kept = {name: value for name, value in line.items() if name not in ("v", "entries", "targets")}
    paths = {name: str(settings.root / str(line[name])) for name in ("notebook", "output")}
    return {**kept, **paths, "skipped": True}


def _newest(root: Path, output: Path) -> dict[str, Any] | None:
    place = export_record.relative(root, output.absolute())
    return next((line for line in reversed(export_record.standing(root)) if line.get("output") == place), None)


def _same(
    settings: config.Config,
    line: Mapping[str, Any],
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    interactive: str,
) -> bool:
    """Whether the notebook and its parameters are, and the file stands as it was made."""
    wanted = {
        "ok": True,
        "notebook": export_record.relative(settings.root, notebook.absolute()),
        "notebook_sha256": _hash(notebook),
        "parameters": dict(parameters),
        "interactive": interactive,
        "sha256": _hash(output),
    }
    return all(value is not None and line.get(name) == value for name, value in wanted.items()) and not line.get(
        "failed"
    )


def _hash(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _began(line: Mapping[str, Any]) -> float | None:
    """When the notebook began to run: what was materialized after that, it may not have seen."""
    at, seconds = export_record.time_of(line.get("exported_at")), line.get("seconds")
    return at.timestamp() - seconds if at and isinstance(seconds, (int, float)) else None


def _published(line: Mapping[str, Any], wish: publishing.Wish) -> bool:
    """Whether it went to all the places that are asked for now."""
    attached = line.get("attached")
    there = {
        (each.get("target"), each.get("partition"))
        for each in (attached if isinstance(attached, list) else [])
        if isinstance(each, dict)
    }
    known = isinstance(line.get("partition"), str)
    wanted = {(target.name, target.partition) for target in wish.targets}
    if not wanted <= {(name, partition or (line["partition"] if known else None)) for name, partition in there}:
        return False
    uploaded = isinstance(line.get("upload"), dict)
    return (uploaded or wish.place is None) and (isinstance(line.get("signed"), dict) or wish.sign is None)


def _materialized_since(wish: publishing.Wish, began: float) -> bool:
    if wish.api is None:
        return False
    from daglab import materializations

    for target in wish.targets:
        found = materializations.latest(wish.api, target.asset, 1, partition=target.partition)
        if any(each.at >= began for each in found):
            return True
    return False

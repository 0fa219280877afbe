"""One picture of now: what was done, what runs, what answers, what is kept. Each part is looked at on its own, so that
one that can't be had is told, and the rest is there all the same.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from daglab import __version__, errors, events, files
from daglab.checks import running
from daglab.deployment import deployments
from daglab.dev import supervision
from daglab.exported import export_record
from daglab.figures import summary
from daglab.settings import config
from daglab.weaviate.measuring import standing

PATIENCE = 3.0  # seconds for Dagster, and for the models
OPERATIONS = 10
LONGEST = 1e12  # seconds that an operation may have taken; what is more was never measured
SOON = 7  # days within which an export that expires does so soon
MOST_SEARCHED = 5000  # operations that those of a kind are looked for in
MOST_FILES = 200_000  # that are counted
MODELS = "models"
NO_FIGURES: dict[str, Any] = {"today": None, "all": None}


def collect(settings: config.Config, only: Collection[str] = ()) -> dict[str, Any]:
    """The picture, or `only` some of its parts, as a JSON document; nothing is written.

    The parts: `figures` (as `today` and `all`), `dev`, `dagster`, `models`, `clusters`, `operations`, `exports`,
    `disk`. One that failed is null, and `problems` says why. They are looked at side by side.
    """
    wanted = [name for name in PARTS if not only or name in only]
    result: dict[str, Any] = {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "project": str(settings.root),
        "environment": settings.environment,
        "daglab": __version__,
        "problems": [],
    }
    with ThreadPoolExecutor(len(wanted) or 1) as pool:
        begun = {name: pool.submit(_looked_at, PARTS[name], settings) for name in wanted}
    for name, future in begun.items():
        found, problem = future.result()
        if problem:
            result["problems"].append({"part": name, "message": problem})
        result.update((found or NO_FIGURES) if name == "figures" else {name: found})
    return result


def _looked_at(look: Callable[[config.Config], Any], settings: config.Config) -> tuple[Any, str | None]:
    """What a part finds, or what is wrong with it: nothing that lies in a project may take the whole picture away."""
    try:
        return look(settings), None
    except errors.DaglabError as error:
        return None, error.message
    except OSError as error:
        return None, f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    except Exception as error:  # a hostile file, that a part takes for its own
        return None, f"It can't be read ({type(error).__name__})."


def figures(settings: config.Config, days: int = 0) -> dict[str, Any]:
    """The figures of the events: `today` (since midnight here) and `all`, from one pass over the files.

    And for so many `days`, `series`: what was done in each hour of them.
    """
    now = datetime.now().astimezone()
    periods = [(now.replace(hour=0, minute=0, second=0, microsecond=0), None), (None, None)]
    if not days:
        today, every = summary.collect(settings.root, periods)
        return {"today": today, "all": every}
    periods.append((now - timedelta(days=days), None))
    today, every, last = summary.collect(settings.root, periods, step="hour")
    return {"today": {**today, "series": []}, "all": {**every, "series": []}, "series": last["series"]}


def dagster(settings: config.Config) -> dict[str, Any]:
    """How Dagster stands; that it does not answer is a state of it, and no error."""
    began = time.monotonic()
    known: dict[str, Any] = {"url": settings.url, "state": "up", "error": None, "hint": None}
    try:
        known.update(deployments.standing(deployments.connect(settings, PATIENCE)))
    except errors.DaglabError as error:
        state = "unreachable" if isinstance(error, (errors.Unreachable, errors.TimedOut)) else error.code
        known.update(state=state, error=error.message, hint=error.hint)
    return {**known, "ms": round(1000 * (time.monotonic() - began))}


def models(settings: config.Config) -> list[dict[str, Any]]:
    """Each of `models[]`, as the health check finds it; none where there are none."""
    if not settings.models:
        return []
    return [running.document(each) for each in running.run(settings, only=[MODELS], timeout=PATIENCE)]


def clusters(settings: config.Config) -> list[dict[str, Any]]:
    """Each of `weaviate.clusters` with its collections; none where there are none."""
    return standing.collect(settings, settings.health.timeout) if settings.weaviate.clusters else []


def operations(settings: config.Config) -> list[dict[str, Any]]:
    """The last operations, the newest first."""
    return last_operations(settings.root, OPERATIONS)


def last_operations(root: Path, most: int, begin: str = "") -> list[dict[str, Any]]:
    """So many of the recorded operations, the newest first; somebody else may have written them.

    With `begin`, those whose command begins so, among the newest.
    """
    if not begin:
        return list(itertools.islice(_sound(events.newest(root)), most))
    newest = _sound(itertools.islice(events.newest(root), MOST_SEARCHED))
    return list(itertools.islice((line for line in newest if line["command"].startswith(begin)), most))


def _sound(lines: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for line in lines:
        seconds, runs = line.get("seconds"), line.get("runs")
        if export_record.time_of(line.get("at")) is None or not isinstance(line.get("command"), str):
            continue
        is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        known = is_number and abs(seconds or 0) < LONGEST
        yield {
            "id": _text(line.get("id")),
            "at": line["at"],
            "command": line["command"],
            "target": _text(line.get("target")),
            "ok": line.get("ok") is True,
            "exit_code": line["exit_code"] if type(line.get("exit_code")) is int else None,
            "error_code": _text(line.get("error_code")),
            "seconds": seconds if known else None,
            "runs": [run for run in runs if isinstance(run, str)] if isinstance(runs, list) else [],
        }


def exports(settings: config.Config) -> dict[str, Any]:
    """How many exports are kept, those that expire soon, the first of them first, and how many have expired."""
    now = datetime.now(timezone.utc)
    lines = export_record.standing(settings.root)
    left = [(until, line) for line in lines if (until := export_record.time_of(line.get("expires_at")))]
    soon = [(until, line) for until, line in left if now < until <= now + timedelta(days=SOON)]
    return {
        "kept": len(lines),
        "expired": sum(until <= now for until, _ in left),
        "expiring": [
            {
                "output": line["output"],
                "expires_at": until.isoformat(),
                "targets": [each for each in _list(line.get("targets")) if isinstance(each, str)],
                "link": _text(line.get("link")),
            }
            for until, line in sorted(soon, key=lambda each: each[0])
        ],
    }


def disk(settings: config.Config) -> dict[str, Any]:
    """What `.daglab/` takes, by folder, and its cache; `counted_all` is false where there is more than was counted."""
    top, budget = settings.root / ".daglab", [MOST_FILES]
    folders: dict[str, list[int]] = {}
    if files.inside(settings.root, top) is not None:
        for name, size in _sizes(top, budget):
            entry = folders.setdefault(name, [0, 0])
            entry[0] += 1
            entry[1] += size
    rows = [{"name": name, "files": count, "bytes": size} for name, (count, size) in folders.items()]
    count, size = folders.get("cache", [0, 0])
    return {
        "bytes": sum(size for _, size in folders.values()),
        "free_bytes": shutil.disk_usage(settings.root).free,
        "folders": sorted(rows, key=lambda row: (-int(str(row["bytes"])), row["name"])),
        "cache": {"entries": count, "bytes": size},
        "counted_all": budget[0] > 0,
    }


def _sizes(top: Path, budget: list[int]) -> Iterator[tuple[str, int]]:
    """The bytes of each file below, with the folder of `top` that it lies in (`.` for none); no link is followed."""
    left = [(str(top), "")]
    while left and budget[0] > 0:
        folder, name = left.pop()
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                budget[0] -= 1
                if budget[0] <= 0:
                    return
                with contextlib.suppress(OSError):
                    about = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(about.st_mode):
                        left.append((entry.path, name or _text(entry.name) or ""))
                    else:
                        yield name or ".", about.st_size


def by_model(document: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The usage in a document of figures by model and counter: `model` (None for none), `name`, `amount`, `kinds`."""
    found: dict[tuple[str | None, str], dict[str, Any]] = {}
    for each in (document or {}).get("usage", ()):
        labels = each["labels"]
        model, name = _text(labels.get("model")), str(each["name"])
        row = found.setdefault((model, name), {"model": model, "name": name, "amount": 0, "kinds": {}})
        row["amount"] += each["amount"]
        kind = _text(labels.get("kind")) or ""
        row["kinds"][kind] = row["kinds"].get(kind, 0) + each["amount"]
    return sorted(found.values(), key=lambda row: (row["model"] is None, row["model"] or "", row["name"]))


def _text(value: object) -> str | None:
    """Text that can be written; None for nothing."""
    return None if value is None else str(value).encode("utf-8", "backslashreplace").decode()


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


PARTS: dict[str, Callable[[config.Config], Any]] = {
    "figures": figures,
    "dev": lambda settings: supervision.status(settings.root),
    "dagster": dagster,
    MODELS: models,
    "clusters": clusters,
    "operations": operations,
    "exports": exports,
    "disk": disk,
}

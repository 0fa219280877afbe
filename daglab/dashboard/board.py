"""What the dashboard knows: looked at only when somebody asks, kept in memory, written nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from daglab import errors, events, snapshot
from daglab.checks import running
from daglab.dashboard import drawing
from daglab.dashboard.latest import Latest
from daglab.settings import config

LIVE_SECONDS = 2.0
CHECK_SECONDS = 30.0
DISK_SECONDS = 30.0
CLUSTER_SECONDS = 10.0
MOST_OPERATIONS = 2000  # that a timeline is drawn of
READY, STORAGE = "ready", "storage"
SLOW = ("clusters", "disk", "figures")
NO_FIGURES: dict[str, Any] = {**snapshot.NO_FIGURES, "series": None}

Found = Latest[dict[str, Any]]


@dataclass(frozen=True)
class Board:
    """The settings of a project, and what was last found of it: its figures, how it stands, its health by check."""

    settings: config.Config
    figures: Found
    live: Found
    disk: Found
    clusters: Found
    checks: dict[str, Found] = field(default_factory=dict)


def make(settings: config.Config) -> Board:
    """A board for a project; nothing is looked at yet."""
    return Board(
        settings,
        Latest(lambda: _figures(settings), lambda: (events.signature(settings.root), time.time() // 3600)),
        Latest(lambda: _live(settings), _every(LIVE_SECONDS)),
        Latest(lambda: snapshot.collect(settings, ["disk"]), _every(DISK_SECONDS)),
        Latest(lambda: snapshot.collect(settings, ["clusters"]), _every(CLUSTER_SECONDS)),
        {name: _checked(settings, name) for name in (READY, *_names(settings))},
    )


def document(board: Board, patience: float) -> dict[str, Any]:
    """The snapshot as it was last found; a part that is still looked at is null, and `pending` names it."""
    has_clusters = bool(board.settings.weaviate.clusters)
    empty: dict[str, Any] = {
        **dict.fromkeys(snapshot.PARTS),
        "clusters": None if has_clusters else [],
        **NO_FIGURES,
        "problems": [],
    }
    del empty["figures"]
    found, pending = {}, []
    deadline = time.monotonic() + patience
    for name, each in (
        ("live", board.live),
        ("figures", board.figures),
        ("disk", board.disk),
        *([("clusters", board.clusters)] if has_clusters else []),
    ):
        there = each.get(max(0.0, deadline - time.monotonic()))
        if there is None:
            pending.append(name)
        found[name] = there or {}
    problems = [problem for each in found.values() for problem in each.get("problems", ())]
    head = {"at": datetime.now().astimezone().isoformat(timespec="seconds"), "project": str(board.settings.root)}
    return {
        **empty,
        **found["disk"],
        **found.get("clusters", {}),
        **found["figures"],
        **found["live"],
        **head,
        "problems": problems,
        "pending": pending,
    }


def health(board: Board, name: str, patience: float) -> dict[str, Any] | None:
    """How a check stands (`ready` is all of them): `status, detail, ms, checks`; None while it is first looked at."""
    return board.checks[name].get(patience)


def _every(seconds: float) -> Callable[[], object]:
    """A mark that is another one after so many seconds."""
    return lambda: time.monotonic() // seconds


def _live(settings: config.Config) -> dict[str, Any]:
    """What changes by itself; `lanes` are the operations that a timeline is drawn of."""
    found = snapshot.collect(settings, [name for name in snapshot.PARTS if name not in SLOW])
    try:
        lanes = snapshot.last_operations(settings.root, MOST_OPERATIONS)
    except OSError:
        lanes = []
    return {**found, "lanes": lanes}


def _figures(settings: config.Config) -> dict[str, Any]:
    try:
        return {**snapshot.figures(settings, drawing.DAYS + 1), "problems": []}
    except (errors.DaglabError, OSError) as error:
        return {**NO_FIGURES, "problems": [{"part": "figures", "message": str(error)}]}


def _names(settings: config.Config) -> list[str]:
    names = running.names(settings)
    groups = [name.partition(".")[0].partition(":")[0] for name in names]
    return list(dict.fromkeys([*names, *groups, snapshot.MODELS, STORAGE]))


def _checked(settings: config.Config, name: str) -> Found:
    return Latest(lambda: _check(settings, name), _every(CHECK_SECONDS if name == READY else LIVE_SECONDS))


def _check(settings: config.Config, name: str) -> dict[str, Any]:
    began = time.monotonic()
    try:
        outcomes: Sequence[running.Outcome] = running.run(settings, only=() if name == READY else [name])
        status, detail = running.overall(outcomes), "; ".join(f"{each.name}: {each.detail}" for each in outcomes)
    except errors.DaglabError as error:
        outcomes, status, detail = [], "down", error.message
    ms = round(1000 * (time.monotonic() - began))
    checks = [running.document(each) for each in outcomes]
    return {
        "check": name,
        "status": status,
        "detail": detail or "There is nothing to check.",
        "ms": ms,
        "checks": checks,
    }

"""`daglab stats` beside a Python process that reads the same file and calls `json.loads` for each line.

The bound: 2.2, over 1,000,000 events. Two files: events of commands alone, whose lines are short, and with what
notebooks leave among them. Whole processes in turn. Prints a table and, with --json, one JSON document.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pairs

ROUNDS, EVENTS, BOUND = 5, 1_000_000, 2.2
BARE = """
import json, sys
with open(sys.argv[1], "rb") as file:
    for line in file:
        json.loads(line)
"""
COMMANDS = ("run", "export", "discover", "runs list", "helpers.run")


def lines(count: int, *, notebooks: bool) -> Iterator[dict[str, Any]]:
    """Events of one month, in their order; with `notebooks`, half of them are operations and usage."""
    chance = random.Random(7)
    gap, at = timedelta(days=27) / count, datetime(2026, 10, 1, tzinfo=timezone.utc)
    for number in range(count):
        at += gap
        line = event(chance, number, at)
        if notebooks and chance.random() < 0.5:
            line.update((tracked if chance.random() < 0.5 else used)(chance, at))
        yield line


def event(chance: random.Random, number: int, at: datetime) -> dict[str, Any]:
    """The line of a command."""
    command, failed, sent = chance.choice(COMMANDS), chance.random() < 0.1, chance.randrange(8)
    return {
        "v": 1,
        "id": f"{chance.getrandbits(128):032x}",
        "at": at.isoformat(timespec="milliseconds"),
        "command": command,
        "target": f"asset:orders{chance.randrange(50)}",
        "ok": not failed,
        "exit_code": 4 if failed else 0,
        "error_code": "not_good" if failed else None,
        "seconds": round(chance.lognormvariate(0, 1), 3),
        "runs": [f"5f0c1d2e-0000-4000-8000-{number:012}"] if command in ("run", "helpers.run") else [],
        "requests": {"n": sent, "errors": 0, "ms": [chance.randrange(3, 200) for _ in range(sent)]},
        "bytes": 123456 if command == "export" else None,
        "rss_peak": 41943040,
        "usage": [],
        "detail": {},
    }


def tracked(chance: random.Random, at: datetime) -> dict[str, Any]:
    """What is different in the line of an operation that a notebook tracked."""
    name, wall = f"load{chance.randrange(20)}", round(chance.lognormvariate(0, 1), 6)
    measured = {"wall_s": wall, "cpu_s": wall / 2, "peak_memory_bytes": 123456789, "memory_growth_bytes": 0}
    detail = {"name": name, "path": ["all", name], "started_at": at.isoformat(), **measured, "ok": True, "error": None}
    return {**NOTHING, "command": "helpers.track", "target": name, "seconds": round(wall, 3), "detail": detail}


def used(chance: random.Random, _at: datetime) -> dict[str, Any]:
    """What is different in the line of what a notebook used."""
    labels = {"model": chance.choice(("small", "large")), "kind": chance.choice(("prompt", "completion"))}
    usage = [{"name": "tokens", "amount": chance.randrange(5000), "labels": labels}]
    return {**NOTHING, "command": "helpers.record_usage", "target": "tokens", "seconds": 0.001, "usage": usage}


NOTHING: dict[str, Any] = {
    "ok": True,
    "exit_code": 0,
    "error_code": None,
    "runs": [],
    "requests": {"n": 0, "errors": 0, "ms": []},
    "bytes": None,
}


def measure(folder: Path, count: int, rounds: int, *, notebooks: bool) -> pairs.Row:
    """One file, in a project of its own."""
    path = folder / ".daglab" / "events" / "2026-10.jsonl"
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="utf-8") as file:
        for line in lines(count, notebooks=notebooks):
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
    base = pairs.Command([sys.executable, "-c", BARE, str(path)])
    ours = pairs.Command([*pairs.DAGLAB, "stats", "--json"], cwd=str(folder))
    return pairs.compare(base, ours, rounds, bound=BOUND)


def main() -> None:
    """Print the figures."""
    parser = pairs.arguments(__doc__, ROUNDS)
    parser.add_argument("--events", type=int, default=EVENTS, help="how many events a file has")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        figures = {
            name: measure(Path(folder) / str(number), options.events, options.rounds, notebooks=number == 1)
            for number, name in enumerate(("events of commands", "half of them of notebooks"))
        }
    pairs.show(figures, options)


if __name__ == "__main__":
    main()

"""What the dashboard costs over many events: until the first page is there, later ones, one after a new event.

Beside each a bare `json.loads` of every line of the same files. Makes a project of its own with --events (100,000) over
90 days. Prints a table and, with --json, one JSON document.
"""

from __future__ import annotations

import functools
import json
import os
import random
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pairs

from daglab import processes

COMMANDS = ("run", "export", "discover", "helpers.run", "helpers.record_usage", "runs list")


def project(root: Path, count: int) -> None:
    """A project with so many events."""
    folder, rng, now = root / ".daglab" / "events", random.Random(1), datetime.now(timezone.utc)
    folder.mkdir(parents=True)
    (root / "daglab.yaml").write_text("dagster:\n  url: http://127.0.0.1:9\n", encoding="utf-8")
    months: dict[str, list[str]] = {}
    for number in range(count):
        at = now - timedelta(days=90) * (1 - number / count)
        line = event(rng, at)
        months.setdefault(at.isoformat()[:7], []).append(line)
    for month, lines in months.items():
        (folder / f"{month}.jsonl").write_text("".join(lines), encoding="utf-8")


def event(rng: random.Random, at: datetime) -> str:
    """A line as commands leave it."""
    ok = rng.random() > 0.05
    usage = {"name": "tokens", "amount": rng.randrange(4000), "labels": {"model": rng.choice("abc"), "kind": "prompt"}}
    line = {
        "v": 1,
        "id": rng.randbytes(16).hex(),
        "at": at.isoformat(timespec="milliseconds"),
        "command": rng.choice(COMMANDS),
        "target": f"asset:{rng.randrange(200)}",
        "ok": ok,
        "exit_code": 0 if ok else 4,
        "error_code": None if ok else "not_good",
        "seconds": round(rng.lognormvariate(0, 1), 3),
        "runs": [rng.randbytes(16).hex()] if rng.random() < 0.3 else [],
        "requests": {"n": 4, "errors": 0, "ms": [rng.randrange(200) for _ in range(4)]},
        "bytes": None,
        "rss_peak": 41943040,
        "usage": [usage] if rng.random() < 0.2 else [],
        "detail": {},
    }
    return json.dumps(line) + "\n"


def bare(root: Path) -> None:
    """Every line as JSON, and nothing made of it."""
    for path in (root / ".daglab" / "events").iterdir():
        with path.open("rb") as file:
            for line in file:
                json.loads(line)


def took(work: Callable[[], object], times: int = 1) -> float:
    """The median of seconds."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def ask(url: str) -> bytes:
    """What is answered."""
    with urllib.request.urlopen(url, timeout=120) as answer:
        return bytes(answer.read())


def wait_for(url: str) -> None:
    """Until the server answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            ask(f"{url}/health")
            return
        except (OSError, urllib.error.URLError):
            time.sleep(0.01)
    sys.exit("The dashboard does not answer.")


def measure(root: Path, times: int) -> dict[str, pairs.Row]:
    """Each figure beside `json.loads` of every line, in turn; and the most memory of the server."""
    found: dict[str, list[tuple[float, float]]] = {}
    peaks = []
    for _ in range(times):
        base = took(lambda: bare(root))
        port = processes.find_free_port()
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "daglab", "dashboard", "--port", str(port)]
        with processes.keeper() as kept:
            began = time.perf_counter()
            service = processes.Service("dashboard", command, root, dict(os.environ), root / "log")
            pid = processes.start(kept, service)
            wait_for(url)
            row = {"from the start until it answers": time.perf_counter() - began}
            row["the first page"] = took(functools.partial(ask, f"{url}/"))
            row["the first page with all its figures"] = row["the first page"] + took(
                functools.partial(ask, f"{url}/metrics")
            )
            row["a later page"] = took(functools.partial(ask, f"{url}/"), 5)
            at = datetime.now(timezone.utc)
            with (root / ".daglab" / "events" / f"{at.isoformat()[:7]}.jsonl").open("a") as file:
                file.write(event(random.Random(2), at))
            row["the page after a new event"] = took(functools.partial(ask, f"{url}/"))
            peaks.append(pairs.peak(pid))
        for name, value in row.items():
            found.setdefault(name, []).append((1000 * base, 1000 * value))
    return {name: {**pairs.seconds(rows, "ms"), "peak_mib": max(peaks)} for name, rows in found.items()}


def main() -> None:
    """Print the table."""
    parser = pairs.arguments(__doc__, 3)
    parser.add_argument("--events", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        project(root, options.events)
        pairs.show(measure(root, options.rounds), options)


if __name__ == "__main__":
    main()

"""What recording costs a command: the first event of a process, later ones, and whole commands with and without.

The bound: 5 ms for a command. Each process imports what every command imports anyway (click, the config, logging), then
records one event around nothing: milliseconds from the import of `daglab.events` to the line on the disk. Below, a
whole command beside itself in a folder without `.daglab/`, in turn. Prints a table and, with --json, one document.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pairs

ROUNDS = 60
LATER = 200  # events of one process after its first
CODE = """
import logging, sys, time
import click
from daglab import cli, output
from daglab.settings import config
started = time.perf_counter()
from pathlib import Path
from daglab import events
times = []
for _ in range(int(sys.argv[2])):
    with events.recording(Path(sys.argv[1]), "nothing"):
        pass
    times.append(time.perf_counter() - started)
    started = time.perf_counter()
print(*(1000 * each for each in times))
"""


def events_of(root: str, count: int) -> list[float]:
    """Milliseconds for each event of one process; the first holds the imports."""
    command = [sys.executable, "-c", CODE, root, str(count)]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as in `pairs`
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
    return [float(each) for each in done.stdout.split()]


def row(times: list[float]) -> pairs.Row:
    """Median, and what 95 of 100 are below."""
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]
    return {"ms": statistics.median(times), "p95_ms": p95, "rounds": len(times)}


def project(folder: str, name: str, *, records: bool) -> str:
    """A folder with a config, and with `.daglab/` where events are to be recorded."""
    root = Path(folder) / name
    (root / (".daglab" if records else "")).mkdir(parents=True, exist_ok=True)
    (root / "daglab.yaml").write_text("version: 1\n", encoding="utf-8")
    return str(root)


def main() -> None:
    """Print the figures."""
    options = pairs.arguments(__doc__, ROUNDS).parse_args()
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        without, recording = (project(folder, str(each), records=each) for each in (False, True))
        events_of(recording, 1)  # compiles
        firsts = [events_of(recording, 1)[0] for _ in range(options.rounds)]
        bare = [events_of(without, 1)[0] for _ in range(options.rounds)]
        later = events_of(recording, LATER + 1)[1:]
        stop = [*pairs.DAGLAB, "stop"]
        whole = pairs.compare(pairs.Command(stop, without), pairs.Command(stop, recording), options.rounds)
    figures = {
        "the first event of a process": row(firsts),
        "the same without .daglab/": row(bare),
        "a later event": row(later),
        "daglab stop, beside the same without .daglab/": whole,
    }
    pairs.show(figures, options)


if __name__ == "__main__":
    main()

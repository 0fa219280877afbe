"""What `daglab dev` costs: until both pages answer, beside Dagster's webserver alone; and, with --logs, in ten minutes.

Alone means: the same command that daglab starts, until it answers. With --logs SECONDS a code location prints 10 MB a
second for so long; daglab's own memory and CPU are told, and how large the logs were. Needs daglab[dagster]. Prints a
table and, with --json, one JSON document.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pairs

from daglab import process_table, processes
from daglab.dev import services

ROUNDS = 5
PROJECT = """
from dagster import Definitions, asset

@asset
def orders() -> int:
    return 1

defs = Definitions(assets=[orders])
"""
LOUD = """
import sys, threading, time

def shout():
    line = b"x" * 99 + b"\\n"
    while True:
        started = time.monotonic()
        sys.stderr.buffer.write(line * 10_000)
        sys.stderr.buffer.flush()
        time.sleep(max(0.1 - (time.monotonic() - started), 0))

threading.Thread(target=shout, daemon=True).start()
"""
NOTEBOOK = "import marimo\n\napp = marimo.App()\n"


def project(root: Path, code: str) -> None:
    """A project of one location, and a notebook."""
    (root / "main.py").write_text(code, encoding="utf-8")
    (root / "nb.py").write_text(NOTEBOOK, encoding="utf-8")
    (root / "workspace.yaml").write_text("load_from: [{python_file: {relative_path: main.py}}]\n", encoding="utf-8")


def alone(root: Path) -> tuple[float, float]:
    """Seconds until the webserver, started by itself, answers, and the MiB that it has needed."""
    home = services.dagster_home(root, {})
    port = processes.find_free_port()
    env = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    wanted = services.Wanted(root, sys.executable, "127.0.0.1", env, "INFO")
    with processes.keeper() as kept:
        (root / services.LOGS).mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        pid = processes.start(kept, services.dagster(wanted, port))
        while not services.answers(services.DAGSTER, f"http://127.0.0.1:{port}"):
            time.sleep(0.02)
        return time.perf_counter() - started, pairs.peak(pid)


def both(root: Path) -> tuple[float, float]:
    """Seconds until both pages of `daglab dev` answer, and the MiB that daglab itself has needed.

    It calls itself ready when the daemon is there, too.
    """
    found = {services.DAGSTER: processes.find_free_port(), services.MARIMO: processes.find_free_port()}
    ports = [word for name, port in found.items() for word in (f"--{name}-port", str(port))]
    command = [*pairs.DAGLAB, "dev", "--no-open", "--notebook", "nb.py", *ports]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not all(services.answers(name, f"http://127.0.0.1:{port}") for name, port in found.items()):
            time.sleep(0.02)
        return time.perf_counter() - started, pairs.peak(process.pid)
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def running(root: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """`daglab dev`, and its document."""
    command = [*pairs.DAGLAB, "dev", "--json", "--no-open", "--notebook", "nb.py", *options]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        text = ""
        for line in process.stdout or ():
            text += line.decode()
            with contextlib.suppress(ValueError):
                yield process, json.loads(text)
                return
        sys.exit(f"daglab dev has ended with {process.wait()}: {text}")
    finally:
        process.terminate()
        process.wait()


def start_up(rounds: int) -> pairs.Row:
    """Both pages beside the webserver alone, in turn, after one of each that does not count."""
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        root = Path(folder)
        project(root, PROJECT)
        _, *measured = [(alone(root), both(root)) for _ in range(rounds + 1)]
        return {
            **pairs.seconds([(base[0], ours[0]) for base, ours in measured], bound=1.15),
            "peak_mib": max(ours[1] for _, ours in measured),
            "base_peak_mib": max(base[1] for base, _ in measured),
        }


def size(folder: Path) -> int:
    """Bytes of all files, of which some are being renamed."""
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def under_load(seconds: float) -> pairs.Row:
    """daglab's memory after a minute and at the end, its CPU in between, and the largest that the logs were."""
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        root = Path(folder)
        project(root, LOUD + PROJECT)
        with running(root, "--no-marimo") as (process, _):
            largest, first, began = 0, None, time.monotonic()
            while (passed := time.monotonic() - began) < seconds:
                largest = max(largest, size(root / services.LOGS))
                if first is None and passed >= min(60, seconds / 2):
                    first = process_table.look()[process.pid], time.monotonic()
                time.sleep(0.05)
            last = process_table.look()[process.pid]
            first = first or (last, began)
            spent = (last.seconds - first[0].seconds) / (time.monotonic() - first[1])
            return {
                "first_mib": first[0].memory / 2**20,
                "last_mib": last.memory / 2**20,
                "cpu_percent": 100 * spent,
                "largest_logs_mb": largest / 1e6,
            }


def main() -> None:
    """Print the figures."""
    parser = pairs.arguments(__doc__, ROUNDS)
    parser.add_argument("--logs", type=float, metavar="SECONDS", help="only the logs, for so long")
    options = parser.parse_args()
    if options.logs:
        pairs.show({f"{options.logs:g} s of output": under_load(options.logs)}, options)
    else:
        pairs.show({"both pages": start_up(options.rounds)}, options)


if __name__ == "__main__":
    main()

"""Two commands side by side: whole processes in turn, and the median of the ratios pair by pair.

So a machine that slows down in the middle tilts neither of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SCRIPT = os.path.join(os.path.dirname(sys.executable), "daglab")
DAGLAB = [SCRIPT] if os.path.exists(SCRIPT) else [sys.executable, "-m", "daglab"]


@dataclass(frozen=True)
class Command:
    """What is run: its arguments, its folder (None for the current one), and variables over the environment."""

    arguments: Sequence[str]
    cwd: str | None = None
    env: Mapping[str, str] | None = None


def measure(command: Command) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and peak memory in KiB of one process. Exits when it fails."""
    env = {**os.environ, **(command.env or {})}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled
    started = time.perf_counter()
    process = subprocess.Popen(command.arguments, cwd=command.cwd, env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command.arguments)} failed with {process.returncode}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def compare(base: Command, ours: Command, rounds: int, *, pause: float = 0.0) -> dict[str, float]:
    """Ours beside the base, one after the other, `rounds` times after one that does not count.

    `pause` is seconds before each pair, for a command whose children still end when it has ended.
    """
    measure(base)
    measure(ours)
    return beside(base, ours, rounds, pause=pause)


def beside(base: Command, ours: Command, rounds: int, *, pause: float = 0.0) -> dict[str, float]:
    """As `compare`, without a pair that does not count: for commands that run for long."""
    pairs = []
    for _ in range(rounds):
        time.sleep(pause)
        pairs.append((measure(base), measure(ours)))
    return {
        "base_ms": 1000 * statistics.median(base[0] for base, _ in pairs),
        "ms": 1000 * statistics.median(ours[0] for _, ours in pairs),
        "wall_ratio": statistics.median(ours[0] / base[0] for base, ours in pairs),
        "cpu_ratio": statistics.median(ours[1] / base[1] for base, ours in pairs),
        "base_peak_mib": max(base[2] for base, _ in pairs) / 1024,
        "peak_mib": max(ours[2] for _, ours in pairs) / 1024,
    }


def arguments(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """What every benchmark takes: how many pairs, and --json."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--rounds", type=int, default=rounds, help="how many pairs are measured")
    parser.add_argument("--json", action="store_true", help="one JSON document, no table")
    return parser


def show(figures: Mapping[str, Mapping[str, float]], options: argparse.Namespace) -> None:
    """Print the figures of each case: a row, or a member of the JSON document."""
    if options.json:
        print(json.dumps({"rounds": options.rounds, "cases": figures}, indent=2))
        return
    width = max(map(len, figures))
    print(f"{'case':{width}}        ms   base ms  wall ratio  cpu ratio  peak MiB  base MiB")
    for name, row in figures.items():
        print(
            f"{name:{width}}  {row['ms']:8.1f}  {row['base_ms']:8.1f}  {row['wall_ratio']:10.3f}"
            f"  {row['cpu_ratio']:9.2f}  {row['peak_mib']:8.1f}  {row['base_peak_mib']:8.1f}"
        )

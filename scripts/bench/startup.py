"""What `daglab --help` and `--version` cost beside `python -c 'import click'`: whole processes, in turn, in one run.

Prints a table and, with --json, one JSON document. The ratio is the median of the ratios pair by pair, so that a
machine that slows down in the middle does not tilt it.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

ROUNDS = 40
BASE = [sys.executable, "-c", "import click"]
SCRIPT = os.path.join(os.path.dirname(sys.executable), "daglab")
DAGLAB = [SCRIPT] if os.path.exists(SCRIPT) else [sys.executable, "-m", "daglab"]
CASES = {"daglab --help": [*DAGLAB, "--help"], "daglab --version": [*DAGLAB, "--version"]}


def measure(command: list[str]) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and peak memory in KiB of one process."""
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - started
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def compare(command: list[str]) -> dict[str, float]:
    """The command beside the base, one after the other, `ROUNDS` times."""
    measure(BASE)
    measure(command)
    pairs = [(measure(BASE), measure(command)) for _ in range(ROUNDS)]
    return {
        "base_ms": 1000 * statistics.median(base[0] for base, _ in pairs),
        "ms": 1000 * statistics.median(ours[0] for _, ours in pairs),
        "wall_ratio": statistics.median(ours[0] / base[0] for base, ours in pairs),
        "cpu_ratio": statistics.median(ours[1] / base[1] for base, ours in pairs),
        "base_peak_mib": max(base[2] for base, _ in pairs) / 1024,
        "peak_mib": max(ours[2] for _, ours in pairs) / 1024,
    }


def main() -> None:
    """Print the figures."""
    figures = {name: compare(command) for name, command in CASES.items()}
    if "--json" in sys.argv:
        print(json.dumps({"rounds": ROUNDS, "base": "python -c 'import click'", "cases": figures}, indent=2))
        return
    print("command              ms  import click  wall ratio  cpu ratio  peak MiB  base MiB")
    for name, row in figures.items():
        print(
            f"{name:16} {row['ms']:6.1f}  {row['base_ms']:12.1f}  {row['wall_ratio']:10.2f}  {row['cpu_ratio']:9.2f}"
            f"  {row['peak_mib']:8.1f}  {row['base_peak_mib']:8.1f}"
        )


if __name__ == "__main__":
    main()

"""Two commands side by side: whole processes in turn, and the median of the ratios pair by pair.

So a machine that slows down in the middle tilts neither of them. Each benchmark gives a row of figures for each case:
ours (`ms`, `s`, `us` or `mib`), what stands beside it (`base_...`), and `ratio`, ours by the other: less is better.
`bound` is what the ratio should stay below, `peak_mib` the most memory of a process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROFILE = "DAGLAB_BENCH_PROFILE"  # a folder: each daglab that is started leaves a profile there; see profiles.py
SCRIPT = os.path.join(os.path.dirname(sys.executable), "daglab")
PROFILED = [sys.executable, os.path.join(os.path.dirname(__file__), "profiles.py"), "--one"]
PLAIN = [SCRIPT] if os.path.exists(SCRIPT) else [sys.executable, "-m", "daglab"]
DAGLAB = PROFILED if PROFILE in os.environ else PLAIN

# A process inherits the peak of the one that has started it. So a small one stands between, and tells on descriptor N.
LAUNCHER = """
import os, sys, time
os.set_inheritable(int(sys.argv[1]), False)
started = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ), 0)
wall = time.perf_counter() - started
code = os.waitstatus_to_exitcode(status)
os.write(int(sys.argv[1]), b"%d %f %f %d" % (code, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss))
"""
Row = dict[str, float]


@dataclass(frozen=True)
class Command:
    """What is run: its arguments, its folder (None for the current one), and variables over the environment."""

    arguments: Sequence[str]
    cwd: str | None = None
    env: Mapping[str, str] | None = None


def measure(command: Command, codes: Collection[int] = (0,)) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and peak memory in KiB of one process. Exits when it ends with none of the codes."""
    env = {**os.environ, **(command.env or {})}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled
    told, tells = os.pipe()
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(tells), *command.arguments]
    with os.fdopen(told) as answer:
        with subprocess.Popen(launcher, cwd=command.cwd, env=env, stdout=subprocess.DEVNULL, pass_fds=[tells]):
            os.close(tells)
        code, wall, cpu, peak = answer.read().split() or ("1", "0", "0", "0")
    if int(code) not in codes:
        sys.exit(f"{' '.join(command.arguments)} failed with {code}")
    return float(wall), float(cpu), int(peak)


def compare(base: Command, ours: Command, rounds: int, *, pause: float = 0.0, bound: float | None = None) -> Row:
    """Ours beside the base, one after the other, `rounds` times after one that does not count.

    `pause` is seconds before each pair, for a command whose children still end when it has ended.
    """
    measure(base)
    measure(ours)
    return beside(base, ours, rounds, pause=pause, bound=bound)


def beside(base: Command, ours: Command, rounds: int, *, pause: float = 0.0, bound: float | None = None) -> Row:
    """As `compare`, without a pair that does not count: for commands that run for long."""
    pairs = []
    for _ in range(rounds):
        time.sleep(pause)
        pairs.append((measure(base), measure(ours)))
    return {
        "ms": 1000 * statistics.median(ours[0] for _, ours in pairs),
        "base_ms": 1000 * statistics.median(base[0] for base, _ in pairs),
        "ratio": statistics.median(ours[0] / base[0] for base, ours in pairs),
        **({"bound": bound} if bound else {}),
        "cpu_ratio": statistics.median(ours[1] / base[1] for base, ours in pairs),
        "peak_mib": max(ours[2] for _, ours in pairs) / 1024,
        "base_peak_mib": max(base[2] for base, _ in pairs) / 1024,
        "rounds": rounds,
    }


def seconds(rows: Sequence[tuple[float, float]], unit: str = "s", bound: float | None = None) -> Row:
    """The medians of pairs of (base, ours), and of their ratios."""
    return {
        unit: statistics.median(ours for _, ours in rows),
        f"base_{unit}": statistics.median(base for base, _ in rows),
        "ratio": statistics.median(ours / base for base, ours in rows),
        **({"bound": bound} if bound else {}),
        "rounds": len(rows),
    }


def allocated(function: Callable[[], object]) -> float:
    """The most memory in KiB that a call asks for, by tracemalloc; of the second one, which imports nothing more."""
    function()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1] / 1024
    finally:
        tracemalloc.stop()


def peak(pid: int) -> float:
    """The most memory in MiB of a process that is running, where /proc tells it, else 0."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def arguments(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """What every benchmark takes: how many pairs, and --json."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--rounds", type=int, default=rounds, help="how many pairs are measured")
    parser.add_argument("--json", action="store_true", help="one JSON document, no table")
    return parser


def columns(cases: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The figures that any of the cases has, in the order in which they come, but how many rounds at the end."""
    return sorted(dict.fromkeys(key for row in cases.values() for key in row), key=lambda key: key == "rounds")


def text(value: float | None) -> str:
    """A figure as it is shown: three digits, and no more."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def show(cases: Mapping[str, Mapping[str, float]], options: argparse.Namespace) -> None:
    """Print the figures: a line for each case, or one JSON document."""
    if options.json:
        print(json.dumps({"cases": cases}, indent=2))
        return
    keys, width = columns(cases), max(map(len, cases))
    print("".join([f"{'case':{width}}", *(f"{key:>15}" for key in keys)]))
    for name, row in cases.items():
        print("".join([f"{name:{width}}", *(f"{text(row.get(key)):>15}" for key in keys)]))

"""Measures what the tests run of each module, in daglab's own processes too, and compares it with what is asked for.

    python scripts/quality/check_coverage.py [TESTS ...]

Over 90 % of the lines and of the branches of every module by all tests, and over 95 % of the lines by the unit tests
alone for all that lies below the commands, but for the modules in ELSEWHERE. The tests run in two processes at a time.
With TESTS only these are run, and what they came to is shown and not judged. Writes coverage.json and coverage.xml.
Exits with 1 when a module has too little, or is in ELSEWHERE without need, and with pytest's code when a test failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent
ALL, UNIT = 90.0, 95.0
# Modules whose work is to talk to a real server or child process. What stands in for that in a unit test would prove
# itself only, so integration tests run them. One that the unit tests run to over 95 % does not stay here.
ELSEWHERE: dict[str, str] = {
    "daglab/children/comparison.py": "a process of its own, that runs notebooks by nbclient and by marimo",
    "daglab/children/converter.py": "a process of its own, that converts by the marimo of the project's Python",
    "daglab/children/exporter.py": "a process of its own, that forks marimo's export",
    "daglab/children/observation.py": "a process of its own, that writes to a Dagster instance",
    "daglab/dev/environment.py": "starts, watches and ends Dagster, its daemon and marimo",
    "daglab/exporting/batches.py": "exports notebooks by marimo, several at a time",
}
ABOVE = ("daglab/commands/", "daglab/cli.py", "daglab/__main__.py")


@dataclass(frozen=True)
class Module:
    """How much of a module was run, in percent."""

    path: str
    lines: float
    branches: float


def measure(name: str, tests: Sequence[str], log: IO[bytes] | None = None) -> int:
    """Run tests under measurement, adding to .coverage-NAME; pytest's exit code. Prints to `log`, if any."""
    # Absolute, so that a process in any folder adds to the same data of the same code.
    env = {**os.environ, "COVERAGE_FILE": str(CHECKOUT / f".coverage-{name}")}
    source = f"--source={CHECKOUT / 'daglab'}"
    command = [sys.executable, "-m", "coverage", "run", source, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=CHECKOUT, env=env, stdout=log, stderr=log, check=False).returncode


def measure_all() -> int:
    """The unit tests beside the rest, of which the process that has done the unit tests then takes its share."""
    with tempfile.TemporaryDirectory() as claims, tempfile.TemporaryFile() as log, ThreadPoolExecutor() as threads:
        rest = ["tests", "--ignore=tests/unit", f"--claims={claims}"]
        beside = threads.submit(lambda: [measure("unit", ["tests/unit"], log), measure("rest", rest, log)])
        codes = [measure("rest", rest), *beside.result()]
        log.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(log.read())
    codes = [code for code in codes if code != pytest.ExitCode.NO_TESTS_COLLECTED] or codes
    return next(filter(None, codes), 0)  # one that was killed has a code below 0


def report(name: str) -> list[Module]:
    """The modules of a measurement."""
    _coverage("json", "--quiet", "-o", "coverage.json", data=name)
    files = json.loads((CHECKOUT / "coverage.json").read_text(encoding="utf-8"))["files"]
    return [
        Module(path, *_percents(each["summary"]))
        for path, each in sorted(files.items())
        if each["summary"]["num_statements"]
    ]


def short(modules: Sequence[Module], least: float, *, branches: bool) -> list[Module]:
    """Those that do not have over `least` percent of their lines, or of their branches where these count."""
    return [each for each in modules if each.lines <= least or (branches and each.branches <= least)]


def idle(modules: Sequence[Module], least: float, excepted: Mapping[str, str]) -> list[str]:
    """The exceptions that nothing needs: of modules that have over `least` percent of their lines, or are not there."""
    needed = {each.path for each in short(modules, least, branches=False)}
    return sorted(set(excepted) - needed)


def show(title: str, modules: Sequence[Module]) -> None:
    """Print them, the least covered first."""
    print(f"\n{title}")
    for each in sorted(modules, key=lambda each: (each.lines, each.branches)):
        print(f"{each.lines:6.1f} % of lines {each.branches:6.1f} % of branches  {each.path}")


def main() -> int:
    """Measure and judge."""
    if tests := sys.argv[1:]:
        _coverage("erase", data="some")
        code = measure("some", tests)
        _combine("some")
        show("Run by these tests", [each for each in report("some") if each.lines])
        return code
    for name in ("unit", "rest", "all"):
        _coverage("erase", data=name)
    code = measure_all()
    for name in ("unit", "rest"):
        _combine(name)
    below = [each for each in report("unit") if not each.path.startswith(ABOVE)]
    _coverage("combine", "--keep", "--quiet", ".coverage-unit", ".coverage-rest", data="all")
    _coverage("xml", "--quiet", "-o", "coverage.xml", data="all")
    unit = [each for each in short(below, UNIT, branches=False) if each.path not in ELSEWHERE]
    every = short(report("all"), ALL, branches=True)
    show(f"At most {UNIT:.0f} % by unit tests alone", unit)
    show(f"At most {ALL:.0f} % by all tests", every)
    unneeded = idle(below, UNIT, ELSEWHERE)
    print("\nIn ELSEWHERE without need:", ", ".join(unneeded) or "none")
    return code or int(bool(unit or every or unneeded))


def _combine(data: str) -> None:
    """Make one file of those of all processes; what a killed one has written by half is no data, and is taken away."""
    _coverage("combine", "--quiet", data=data)
    for part in CHECKOUT.glob(f".coverage-{data}.*"):
        part.unlink()


def _coverage(*arguments: str, data: str) -> None:
    env = {**os.environ, "COVERAGE_FILE": str(CHECKOUT / f".coverage-{data}")}
    subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=CHECKOUT, env=env, check=True)


def _percents(summary: dict[str, int]) -> tuple[float, float]:
    lines, branches = summary["num_statements"], summary["num_branches"]
    return (
        100 * summary["covered_lines"] / lines if lines else 100.0,
        100 * summary["covered_branches"] / branches if branches else 100.0,
    )


if __name__ == "__main__":
    sys.exit(main())

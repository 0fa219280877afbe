"""Measures what the tests run of each module, in daglab's own processes too, and compares it with what is asked for.

    python scripts/quality/check_coverage.py [TESTS ...]

Over 90 % of the lines and of the branches of every module by all tests, and over 95 % of the lines by the unit tests
alone for all that lies below the commands. With TESTS only these are run, and what they came to is shown
and not judged. Writes coverage.json and coverage.xml. Exits with 1 when a module has too little, and with pytest's code
when a test failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
ALL, UNIT = 90.0, 95.0
ABOVE = ("daglab/commands/", "daglab/cli.py", "daglab/__main__.py")


@dataclass(frozen=True)
class Module:
    """How much of a module was run, in percent."""

    path: str
    lines: float
    branches: float


def measure(name: str, tests: Sequence[str]) -> int:
    """Run tests under measurement, into .coverage.NAME; pytest's exit code."""
    # Absolute and in the environment, so that a process in any folder adds to the same data.
    env = {**os.environ, "COVERAGE_FILE": str(CHECKOUT / f".coverage-{name}")}
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    subprocess.run([sys.executable, "-m", "coverage", "erase"], cwd=CHECKOUT, env=env, check=True)
    done = subprocess.run([sys.executable, "-m", "coverage", "run", *pytest], cwd=CHECKOUT, env=env, check=False)
    _coverage("combine", "--quiet", data=name)
    return done.returncode


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


def show(title: str, modules: Sequence[Module]) -> None:
    """Print them, the least covered first."""
    print(f"\n{title}")
    for each in sorted(modules, key=lambda each: (each.lines, each.branches)):
        print(f"{each.lines:6.1f} % of lines {each.branches:6.1f} % of branches  {each.path}")


def main() -> int:
    """Measure and judge."""
    if tests := sys.argv[1:]:
        code = measure("some", tests)
        show("Run by these tests", [each for each in report("some") if each.lines])
        return code
    codes = [measure("unit", ["tests/unit"]), measure("rest", ["tests", "--ignore=tests/unit"])]
    below = [each for each in report("unit") if not each.path.startswith(ABOVE)]
    _coverage("combine", "--keep", "--quiet", ".coverage-unit", ".coverage-rest", data="all")
    _coverage("xml", "--quiet", "-o", "coverage.xml", data="all")
    lacking = {
        f"At most {UNIT:.0f} % by unit tests alone": short(below, UNIT, branches=False),
        f"At most {ALL:.0f} % by all tests": short(report("all"), ALL, branches=True),
    }
    for title, modules in lacking.items():
        show(title, modules)
    return max(codes) or int(any(lacking.values()))


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

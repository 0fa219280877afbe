"""Installs a wheel into a fresh environment of each Python that the machine has, and tries it there.

Without extras on each Python, and with each extra alone on the newest. What runs inside is smoke.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
EXTRAS = ("dagster", "migrate")
SMOKE = Path(__file__).resolve().parent / "smoke.py"


def find(version: str) -> str | None:
    """A Python of this version that can make environments: from PATH, else one of pyenv's; None without any."""
    for candidate in _candidates(version):
        asked = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([candidate, "-c", asked], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


def try_out(wheel: Path, versions: Sequence[str]) -> int:
    """Try a wheel, print a table, and say how it went: 0 when all that could be tried is well."""
    found = {version: find(version) for version in versions}
    newest = next((version for version in reversed(versions) if found[version]), None)
    rows = []
    for version in versions:
        for extra in ("", *(EXTRAS if version == newest else ())):
            python = found[version]
            outcome = "NOT TRIED: this machine has no such Python" if python is None else attempt(python, wheel, extra)
            rows.append((version, f"daglab[{extra}]" if extra else "daglab", outcome))
    for row in rows:
        print("{:6} {:18} {}".format(*row))
    return int(newest is None or any(outcome.startswith("FAILED") for *_, outcome in rows))


def attempt(python: str, wheel: Path, extra: str) -> str:
    """Install and try it once: `passed`, or what failed."""
    with tempfile.TemporaryDirectory(prefix="daglab-wheel-") as scratch:
        inside = Path(scratch, "venv")
        what = f"{wheel}[{extra}]" if extra else str(wheel)
        steps = (
            ("venv", [python, "-m", "venv", str(inside)]),
            ("install", [str(inside / "bin/pip"), "install", "-q", "--no-compile", what]),
            ("pip check", [str(inside / "bin/pip"), "check"]),
            ("smoke", [str(inside / "bin/python"), "-W", "error::DeprecationWarning:daglab", str(SMOKE), extra]),
        )
        for name, command in steps:
            done = subprocess.run(command, env=_environment(), cwd=scratch, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"FAILED at {name}\n{done.stdout}{done.stderr}"
    return "passed"


def _candidates(version: str) -> Iterator[str]:
    if path := shutil.which(f"python{version}"):
        yield path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}")))


def _environment() -> dict[str, str]:
    """Without what would lead a Python back to a checkout, or daglab to somebody's deployment."""
    foreign = ("PYTHON", "DAGLAB_", "DAGSTER_", "COVERAGE_", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}

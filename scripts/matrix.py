"""Tries the commands on several versions of Dagster, each in an environment of its own, and prints a table.

The environments are made once, in a cache outside of the checkout. Versions may be named on the command line.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

VERSIONS = ("1.5.14", "1.8.13", "newest")
# 1.5 imports pkg_resources, which newer setuptools don't have; and runs on Python 3.8 to 3.11.
PINS = {"1.5.14": ["setuptools<81"]}
OLDEST_PYTHONS = ("python3.11", "python3.10")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "daglab", "matrix")


def environment(version: str) -> Path:
    """The Python that has this version, made where it is not there yet."""
    folder = CACHE / f"dagster-{version}"
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        base = sys.executable if version == "newest" or sys.version_info < (3, 12) else _older_python()
        subprocess.run([base, "-m", "venv", "--clear", folder], check=True)
        pin = "" if version == "newest" else f"=={version}"
        packages = [f"dagster{pin}", f"dagster-webserver{pin}", "marimo", *PINS.get(version, [])]
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], check=True)
        (folder / ".ready").touch()
    return python


def _older_python() -> str:
    found = next((path for name in OLDEST_PYTHONS if (path := shutil.which(name))), None)
    if found is None:
        sys.exit(f"Dagster 1.5 needs one of {', '.join(OLDEST_PYTHONS)}, and none is installed.")
    return found


def main() -> int:
    """Run the matrix; 0 when all of it passed."""
    rows = []
    for version in sys.argv[1:] or VERSIONS:
        started = time.monotonic()
        env = {**os.environ, "DAGLAB_MATRIX_PYTHON": str(environment(version))}
        done = subprocess.run([sys.executable, "-m", "pytest", "tests/matrix", "-q"], env=env, check=False)
        rows.append((version, "passed" if done.returncode == 0 else "FAILED", f"{time.monotonic() - started:.0f} s"))
    for row in rows:
        print("{:10} {:8} {:>8}".format(*row))
    return int(any(outcome != "passed" for _, outcome, _ in rows))


if __name__ == "__main__":
    sys.exit(main())

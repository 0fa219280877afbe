"""Runs unit tests on the lowest versions that pyproject.toml allows, in an environment of its own.

    python scripts/lowest.py [--print] [TESTS ...]

Each `name>=1.2` of the dependencies, of `migrate`, and of what the tests import becomes `name==1.2`; what these need
in turn is the newest that fits. The oldest Python that the machine has and daglab allows is taken. The environment is
kept in ~/.cache/daglab/lowest and made anew when the versions change. Without TESTS: all unit tests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import environments

CHECKOUT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "daglab", "lowest")
# What only checks, builds or measures daglab has to be new, not old; the lowest Dagster is tried by matrix.py.
OTHERS = ("mypy", "ruff", "types-", "hatchling", "coverage", "daglab", "dagster")


def pins(pyproject: str) -> list[str]:
    """The requirements of a pyproject.toml as `name==lowest`, without those that are not tried here."""
    project = pyproject.partition("[project]")[2].partition("[project.scripts]")[0]
    lowest = re.findall(r'"([A-Za-z0-9_.-]+)>=([0-9.]+)"', project)
    return [f"{name}=={version}" for name, version in lowest if not name.startswith(OTHERS)]


def environment(versions: list[str]) -> Path:
    """The Python that has these versions, made where it is not there yet."""
    python, ready = CACHE / "bin" / "python", CACHE / ".ready"
    wanted = "\n".join(versions)
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        base = next(filter(None, map(environments.find, environments.VERSIONS)), sys.executable)
        subprocess.run([base, "-m", "venv", "--clear", CACHE], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *versions], check=True)
        ready.write_text(wanted, encoding="utf-8")
    return python


def main() -> int:
    """Run the tests; pytest's exit code."""
    versions = pins((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    print("\n".join(versions), flush=True)
    if "--print" in sys.argv:
        return 0
    python = environment(versions)
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "DAGLAB_REQUIRE": ""}  # what Dagster is needed for is skipped
    # A warning of an old library is no fault of daglab's.
    pytest = [str(python), "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider"]
    return subprocess.run([*pytest, *(sys.argv[1:] or ["tests/unit"])], cwd=CHECKOUT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

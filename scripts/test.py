"""Runs the tests in two halves side by side, and shows one after the other: two cores, half the time.

What is given on the command line goes to both halves. Exits with 0 when both are good.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

# Those that launch or start most, beside the others; together they are all there is. Each half has its own Dagster,
# and its own Weaviates.
LAUNCHING = [
    f"tests/integration/test_{name}.py"
    for name in (
        "run",
        "runs_command",
        "backfills",
        "launch_keys",
        "strangers",
        "outages",
        "keeper_dagster",
        "scaffold",
        "coverage",
        "dashboard_page",
        "doctor",
        "health",
        "readable_pages",
        "exports_command",
        "uploads",
        "collections_copy",
        "collections_core",
        "collections_listing",
        "collections_making",
        "collections_optimize",
        "s3",
        "migrate",
        "migrate_corpus",
        "migrate_displays",
        "migrate_magics",
        "migrate_mutations",
        "migrate_run",
        "migrate_sessions",
    )
]
HALVES = (LAUNCHING, [f"--ignore={path}" for path in LAUNCHING])


def main() -> int:
    """Run both; the exit code of the first that is not good."""
    with tempfile.TemporaryFile() as log:
        pytest = [sys.executable, "-m", "pytest", *sys.argv[1:]]
        beside = subprocess.Popen([*pytest, "-p", "no:cacheprovider", *HALVES[0]], stdout=log, stderr=log)
        try:
            here = subprocess.run([*pytest, *HALVES[1]], check=False).returncode
            there = beside.wait()
        finally:
            beside.terminate()
            beside.wait()
            log.seek(0)
            sys.stdout.flush()
            sys.stdout.buffer.write(log.read())
    return here or there


if __name__ == "__main__":
    sys.exit(main())

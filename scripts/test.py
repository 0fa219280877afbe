"""Runs the tests in two processes that share them, and shows one after the other: two cores, half the time.

What is given on the command line goes to both. Exits with 0 when both are good.
"""

from __future__ import annotations

import compileall
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "daglab"


def main() -> int:
    """Run both; the exit code of the first that is not good."""
    compileall.compile_dir(PACKAGE, quiet=1)  # hundreds of processes import it, some where Python may not write
    with tempfile.TemporaryDirectory() as claims, tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "pytest", *sys.argv[1:], f"--claims={claims}"]
        beside = subprocess.Popen([*command, "-p", "no:cacheprovider"], stdout=log, stderr=log)
        try:
            here = subprocess.run(command, check=False).returncode
            there = beside.wait()
        finally:
            beside.terminate()
            beside.wait()
            log.seek(0)
            sys.stdout.flush()
            sys.stdout.buffer.write(log.read())
    codes = [code for code in (here, there) if code != pytest.ExitCode.NO_TESTS_COLLECTED] or [here]
    return next(filter(None, codes), 0)  # one that was killed has a code below 0


if __name__ == "__main__":
    sys.exit(main())

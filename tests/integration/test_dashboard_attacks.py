"""A few seconds of the attacks that `scripts/attack_dashboard.py` makes for a minute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "attack_dashboard.py"


def test_the_dashboard_holds() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--seconds", "3"], capture_output=True, text=True, timeout=180, check=False
    )
    assert (done.returncode, done.stdout.rstrip().endswith("It has held.")) == (0, True), done.stdout + done.stderr
    for what in ("foreign 421", "honest 200", "huge 431", "other 405", "traversal 404"):
        assert what in done.stdout

"""Prints a report in Markdown: how each check went, and what the last `make coverage` measured.

    python scripts/quality/generate_report.py [TARGET ...] > report.md

TARGETs are make's; without any: lint, types and docs. Exits with 1 when one failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
TARGETS = ("lint", "types", "docs")


def check(target: str) -> tuple[bool, float, str]:
    """Whether `make TARGET` is good, its seconds, and what it printed."""
    started = time.monotonic()
    done = subprocess.run(["make", "-s", target], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.returncode == 0, time.monotonic() - started, done.stdout + done.stderr


def coverage(path: Path) -> list[str]:
    """A table of the modules that coverage.json tells of, the least covered first; empty without the file."""
    if not path.exists():
        return []
    files = json.loads(path.read_text(encoding="utf-8"))["files"]
    rows = sorted((each["summary"]["percent_covered"], name) for name, each in files.items())
    head = ["", "## Coverage", "", "| module | lines and branches |", "|---|---|"]
    return head + [f"| `{name}` | {percent:.1f} % |" for percent, name in rows]


def main() -> int:
    """Run, print; 0 when all is good."""
    results = {target: check(target) for target in sys.argv[1:] or TARGETS}
    print("# Quality\n\n| check | outcome | seconds |\n|---|---|---|")
    for target, (good, seconds, _) in results.items():
        print(f"| `make {target}` | {'passed' if good else 'FAILED'} | {seconds:.0f} |")
    for target, (good, _, text) in results.items():
        if not good:
            print(f"\n## `make {target}`\n\n```\n{text.strip()}\n```")
    print("\n".join(coverage(CHECKOUT / "coverage.json")))
    return int(not all(good for good, *_ in results.values()))


if __name__ == "__main__":
    sys.exit(main())

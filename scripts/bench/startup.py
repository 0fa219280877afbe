"""What `daglab --help` and `--version` cost beside `python -c 'import click'`: whole processes, in turn, in one run.

Prints a table and, with --json, one JSON document. The ratio is the median of the ratios pair by pair, so that a
machine that slows down in the middle does not tilt it.
"""

from __future__ import annotations

import json
import sys

import pairs

ROUNDS = 40
BASE = pairs.Command([sys.executable, "-c", "import click"])
CASES = {f"daglab {flag}": pairs.Command([*pairs.DAGLAB, flag]) for flag in ("--help", "--version")}


def main() -> None:
    """Print the figures."""
    figures = {name: pairs.compare(BASE, command, ROUNDS) for name, command in CASES.items()}
    if "--json" in sys.argv:
        print(json.dumps({"rounds": ROUNDS, "base": "python -c 'import click'", "cases": figures}, indent=2))
        return
    print("command              ms  import click  wall ratio  cpu ratio  peak MiB  base MiB")
    for name, row in figures.items():
        print(
            f"{name:16} {row['ms']:6.1f}  {row['base_ms']:12.1f}  {row['wall_ratio']:10.2f}  {row['cpu_ratio']:9.2f}"
            f"  {row['peak_mib']:8.1f}  {row['base_peak_mib']:8.1f}"
        )


if __name__ == "__main__":
    main()

"""What `daglab --help` and `--version` cost beside `python -c 'import click'`: whole processes, in turn, in one run.

Prints a table and, with --json, one JSON document. The ratio is the median of the ratios pair by pair, so that a
machine that slows down in the middle does not tilt it.
"""

from __future__ import annotations

import sys

import pairs

ROUNDS = 40
BASE = pairs.Command([sys.executable, "-c", "import click"])
CASES = {f"daglab {flag}": pairs.Command([*pairs.DAGLAB, flag]) for flag in ("--help", "--version")}


def main() -> None:
    """Print the figures."""
    options = pairs.arguments(__doc__, ROUNDS).parse_args()
    pairs.show({name: pairs.compare(BASE, command, options.rounds) for name, command in CASES.items()}, options)


if __name__ == "__main__":
    main()

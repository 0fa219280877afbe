"""What `daglab --help` and `--version` cost beside `python -c 'import click'`: whole processes, in turn, in one run.

Below, daglab's `--help` beside those of dagster, dg and marimo, a quarter as often. Prints a table and, with --json,
one JSON document.
"""

from __future__ import annotations

import sys

import pairs
import peers

ROUNDS, BOUND = 40, 1.3
BASE = pairs.Command([sys.executable, "-c", "import click"])
HELP, VERSION = (pairs.Command([*pairs.DAGLAB, flag]) for flag in ("--help", "--version"))


def measure(rounds: int) -> dict[str, pairs.Row]:
    """Beside click, and beside the peers."""
    found = {
        "`--help` / import click": pairs.compare(BASE, HELP, rounds, bound=BOUND),
        "`--version` / import click": pairs.compare(BASE, VERSION, rounds, bound=BOUND),
    }
    others = {name: [sys.executable, "-m", name, "--help"] for name in ("dagster", "marimo")}
    if dg := peers.dg():
        others["dg"] = [dg, "--help"]
    for name, arguments in others.items():
        found[f"`--help` / {name}"] = pairs.compare(pairs.Command(arguments), HELP, -(-rounds // 4))
    return found


def main() -> None:
    """Print the figures."""
    options = pairs.arguments(__doc__, ROUNDS).parse_args()
    pairs.show(measure(options.rounds), options)


if __name__ == "__main__":
    main()

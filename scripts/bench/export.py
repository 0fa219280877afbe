"""What `daglab export` costs beside `marimo export html` of the same notebook, as whole processes in turn.

Two notebooks: one that does nothing, and one that computes for 20 s (`--seconds N`); --quick leaves the second out.
Prints a table and, with --json, one JSON document. `--rounds N` sets how many pairs of the first are measured.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pairs

ROUNDS = 10
ROUNDS_OF_LONG = 3
SECONDS = 20.0

NOTEBOOK = """
import marimo

__generated_with = "0.25.0"
app = marimo.App()


@app.cell
def work():
    import time

    ends = time.monotonic() + {seconds}
    total = 0
    while time.monotonic() < ends:
        total += sum(range(10_000))
    return


if __name__ == "__main__":
    app.run()
"""


def compare(root: Path, seconds: float, rounds: int, bound: float) -> pairs.Row:
    """daglab beside marimo, on a notebook that computes for so many seconds, inside of a project with its record."""
    notebook = root / f"work_{seconds:g}.py"
    notebook.write_text(NOTEBOOK.format(seconds=seconds), encoding="utf-8")
    page = str(root / "page.html")
    marimo = [sys.executable, "-m", "marimo", "export", "html", str(notebook), "-o", page, "-f", "--no-sandbox"]
    ours = [*pairs.DAGLAB, "-q", "export", str(notebook), "--output", page]
    return pairs.compare(pairs.Command(marimo, str(root)), pairs.Command(ours, str(root)), rounds, bound=bound)


def measure(rounds: int, seconds: float, *, quick: bool) -> dict[str, pairs.Row]:
    """Both notebooks, or the trivial one alone."""
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        root = Path(folder)
        (root / ".daglab").mkdir()
        (root / "daglab.yaml").write_text("version: 1\n", encoding="utf-8")
        figures = {"a notebook that does nothing": compare(root, 0, rounds, 1.10)}
        if not quick:
            figures[f"one that takes {seconds:g} s"] = compare(root, seconds, min(rounds, ROUNDS_OF_LONG), 1.02)
        return figures


def main() -> None:
    """Print the figures."""
    parser = pairs.arguments(__doc__, ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--quick", action="store_true", help="the trivial notebook only")
    options = parser.parse_args()
    pairs.show(measure(options.rounds, options.seconds, quick=options.quick), options)


if __name__ == "__main__":
    main()

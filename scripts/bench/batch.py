"""What a batch of thirty notebooks costs with `daglab export --jobs 2`, beside a shell loop over `marimo export html`.

Both are run whole, in turn, `--rounds` times; `--notebooks N` sets how many there are, `--jobs N` how many daglab runs
at a time. The batch with one job shows what sharing the start-up saves by itself; one notebook alone stands beside.
Prints a table and, with --json, one JSON document.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path

import pairs

ROUNDS, BOUND = 1, 0.6
NOTEBOOKS = 30
JOBS = 2

NOTEBOOK = """
import marimo

__generated_with = "0.25.0"
app = marimo.App()


@app.cell
def start():
    import marimo as mo

    rows = [{{"n": n, "square": n * n}} for n in range({number}, {number} + 50)]
    return mo, rows


@app.cell
def show(mo, rows):
    mo.vstack([mo.md(f"# Notebook {number}: {{len(rows)}} rows"), mo.ui.table(rows)])
    return


if __name__ == "__main__":
    app.run()
"""


def write(root: Path, count: int) -> None:
    """A project with so many notebooks."""
    (root / ".daglab").mkdir()
    (root / "daglab.yaml").write_text("notebooks_dir: notebooks\n", encoding="utf-8")
    (root / "notebooks").mkdir()
    for number in range(count):
        notebook = root / "notebooks" / f"nb{number:02}.py"
        notebook.write_text(NOTEBOOK.format(number=number), encoding="utf-8")


def measure(rounds: int, count: int, jobs: int) -> dict[str, pairs.Row]:
    """The loop beside the batch with several jobs, with one, and one notebook beside one."""
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        root = Path(folder)
        write(root, count)
        marimo = f"{shlex.quote(sys.executable)} -m marimo export html"
        export = f'{marimo} "$nb" -o "loop/$(basename "$nb").html" -f --no-sandbox || exit 1'
        each = f"for nb in notebooks/*.py; do {export}; done"
        loop = pairs.Command(["sh", "-c", f"mkdir -p loop; {each}"], str(root))
        batch = [*pairs.DAGLAB, "-q", "export", "--all", "--output", "batch/{notebook}.html", "--jobs"]
        one = [
            sys.executable,
            "-m",
            "marimo",
            "export",
            "html",
            "notebooks/nb00.py",
            "-o",
            "one.html",
            "-f",
            "--no-sandbox",
        ]
        ours = [*pairs.DAGLAB, "-q", "export", "notebooks/nb00.py", "--output", "one.html"]
        return {
            f"{count} notebooks, --jobs {jobs}": pairs.beside(
                loop, pairs.Command([*batch, str(jobs)], str(root)), rounds, bound=BOUND
            ),
            f"{count} notebooks, --jobs 1": pairs.beside(
                loop, pairs.Command([*batch, "1"], str(root)), rounds, bound=BOUND
            ),
            "1 notebook": pairs.compare(pairs.Command(one, str(root)), pairs.Command(ours, str(root)), 5 * rounds),
        }


def main() -> None:
    """Print the figures."""
    parser = pairs.arguments(__doc__, ROUNDS)
    parser.add_argument("--notebooks", type=int, default=NOTEBOOKS)
    parser.add_argument("--jobs", type=int, default=JOBS)
    options = parser.parse_args()
    pairs.show(measure(options.rounds, options.notebooks, options.jobs), options)


if __name__ == "__main__":
    main()

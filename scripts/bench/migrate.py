"""What a hundred Jupyter notebooks cost with `daglab migrate`, beside a shell loop over `marimo convert`.

The loop converts, daglab converts, checks and writes a report. `--notebooks N` sets how many there are; the loop takes
a minute or three, so `--sample N` has it convert the first N only and reckons with as much for the others. Prints a
table and, with --json, one JSON document.
"""

from __future__ import annotations

import json
import random
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import pairs

ROUNDS, BOUND = 1, 0.1
NOTEBOOKS = 100
# Cells as they are found in analyses; each notebook is a dozen or two of them, in a random order of topics.
TOPICS = (
    ("import pandas as pd\nimport numpy as np", "%matplotlib inline\nimport matplotlib.pyplot as plt"),
    (
        "df = pd.DataFrame({{'a': range({n}), 'b': np.arange({n}) ** 2}})",
        "df = df[df['a'] > 2]\ndf.head()",
        "df.describe()",
    ),
    ("for i in range({n}):\n    total = i * 2\nprint(total)", "for i, row in df.iterrows():\n    pass"),
    ("fig, ax = plt.subplots()\nax.plot(df['a'], df['b'])\nplt.show()", "plt.figure()\nplt.hist(df['b'])\nplt.show()"),
    (
        "def clean(frame):\n    frame = frame.copy()\n    return frame.dropna()",
        "df = clean(df)",
        "df['c'] = df['a'] + {n}",
    ),
    ("!ls -la | head -{n}", "%pip install tabulate==0.9.0"),
    ("results = []", "results.append(df['b'].mean())", "results.append({n})\nprint(results)"),
    ("%%time\nsquares = [x ** 2 for x in range({n})]", "from IPython.display import display\ndisplay(df)"),
    (
        "with open('out_{n}.txt', 'w') as f:\n    f.write(str(total))",
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    print(e)",
    ),
)


def notebook(number: int) -> dict[str, Any]:
    """A notebook of nbformat 4.5, always the same for a number, with outputs."""
    chance = random.Random(number)
    chosen = [TOPICS[0], TOPICS[1], TOPICS[2], *chance.sample(TOPICS[3:], chance.randint(3, len(TOPICS) - 3))]
    cells: list[dict[str, Any]] = []
    for count, topic in enumerate(chosen, 1):
        cells.append({"cell_type": "markdown", "metadata": {}, "source": f"## Part {count}\n\nWhat *this* is about."})
        for source in topic:
            shown = {"output_type": "stream", "name": "stdout", "text": "a line of output\n" * chance.randint(0, 200)}
            cells.append(
                {
                    "cell_type": "code",
                    "metadata": {},
                    "execution_count": len(cells),
                    "source": source.format(n=number + 3),
                    "outputs": [shown],
                }
            )
    named = [{"id": f"c{index}", **cell} for index, cell in enumerate(cells)]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": named}


def measure(rounds: int, count: int, sample: int) -> dict[str, pairs.Row]:
    """The loop beside the batch, and one notebook beside one."""
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        root = Path(folder)
        (root / "nb").mkdir()
        (root / "loop").mkdir()
        for number in range(count):
            (root / "nb" / f"nb{number:03}.ipynb").write_text(json.dumps(notebook(number)), encoding="utf-8")
        marimo = f"{shlex.quote(sys.executable)} -m marimo -q convert"
        convert = f'{marimo} "$nb" -o "loop/$(basename "$nb" .ipynb).py" || exit 1'
        some = f"ls nb/*.ipynb | head -{sample} | while read nb; do {convert}; done"
        loop = pairs.Command(["sh", "-c", some], folder)
        batch = [*pairs.DAGLAB, "-q", "migrate", "--force", "--report", "report.md", "--to", "out"]
        found = pairs.beside(loop, pairs.Command([*batch, "nb"], folder), rounds, bound=BOUND)
        if sample < count:
            found["base_ms"] *= count / sample
            found["ratio"] *= sample / count
            found["cpu_ratio"] *= sample / count
        one = [sys.executable, "-m", "marimo", "-q", "convert", "nb/nb000.ipynb", "-o", "one.py"]
        ours = [*pairs.DAGLAB, "-q", "migrate", "--force", "--to", "ours.py", "nb/nb000.ipynb"]
        reckoned = f" (loop reckoned from {sample})" if sample < count else ""
        return {
            f"{count} notebooks{reckoned}": found,
            "1 notebook": pairs.compare(pairs.Command(one, folder), pairs.Command(ours, folder), 3 * rounds),
        }


def main() -> None:
    """Print the figures."""
    parser = pairs.arguments(__doc__, ROUNDS)
    parser.add_argument("--notebooks", type=int, default=NOTEBOOKS)
    parser.add_argument("--sample", type=int, help="how many of them the loop converts  [default: all]")
    options = parser.parse_args()
    sample = min(options.sample or options.notebooks, options.notebooks)
    pairs.show(measure(options.rounds, options.notebooks, sample), options)


if __name__ == "__main__":
    main()

"""What keeping a value in a notebook's state costs, and reading it: beside the same by hand, in turn in one run.

By hand is a JSON file that is read, written beside, synced and renamed; without a lock, a history and a check. Prints a
table of milliseconds and, with --json, one JSON document.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pairs

from daglab import state

ROUNDS, TIMES = 20, 20
VALUES = {f"name{number}": {"rows": list(range(20)), "note": "a sentence or two " * 4} for number in range(50)}


def each(function: Callable[[], object]) -> float:
    """Milliseconds a call."""
    started = time.perf_counter()
    for _ in range(TIMES):
        function()
    return 1000 * (time.perf_counter() - started) / TIMES


def measure(rounds: int) -> dict[str, pairs.Row]:
    """Writing and reading one value among fifty."""
    with tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder:
        root, numbers = Path(folder), itertools.count()
        (root / ".daglab").mkdir()
        kept, own = state.manage(root, "notebook.py", defaults={"n": 0}), root / "own.json"
        kept.update(VALUES)
        own.write_text(json.dumps(VALUES), encoding="utf-8")

        def read() -> object:
            return json.loads(own.read_text(encoding="utf-8")).get("n")

        def write() -> None:
            values = {**json.loads(own.read_text(encoding="utf-8")), "n": next(numbers)}
            with Path(folder, "new.json").open("w", encoding="utf-8") as file:
                json.dump(values, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(file.name, own)

        works: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "set a value": (write, lambda: kept.set("n", next(numbers))),
            "read a value": (read, lambda: kept["n"]),
        }
        return {
            name: {
                **pairs.seconds([(each(base), each(ours)) for _ in range(rounds)], "ms"),
                "peak_kib": pairs.allocated(ours),
                "base_peak_kib": pairs.allocated(base),
            }
            for name, (base, ours) in works.items()
        }


def main() -> None:
    """Print the figures."""
    options = pairs.arguments(__doc__, ROUNDS).parse_args()
    pairs.show(measure(options.rounds), options)


if __name__ == "__main__":
    main()

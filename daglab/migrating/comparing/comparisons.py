"""Whether a marimo notebook does what the Jupyter notebook did that it was made of: both are run and compared."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daglab.migrating import cells
from daglab.migrating.comparing import likeness, probes, trials
from daglab.migrating.comparing.likeness import Verdict


@dataclass(frozen=True)
class Stop:
    """Where a run ended early: the Jupyter cell, None for one that daglab has added, and the exception's type.

    Instead of a type, "timeout" or "died" for a cell that came to no end.
    """

    cell: int | None
    error: str


@dataclass(frozen=True)
class Comparison:
    """Two runs, a verdict for each code cell of the original; the stops are None for a run that came to its end.

    `ran_as_far` says that each cell which ran in the original ran in the new one. `flaw` says why they could not be
    compared, `seconds` is what it all took.
    """

    cells: tuple[Verdict, ...] = ()
    ran_as_far: bool = False
    original_stop: Stop | None = None
    new_stop: Stop | None = None
    seconds: float = 0.0
    flaw: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many cells are the same, different, unknown."""
        return {name: sum(each.verdict == name for each in self.cells) for name in likeness.VERDICTS}

    @property
    def verdict(self) -> str:
        """That of the notebook: "different" for one cell, or when it did not run as far; "same" for one at least."""
        if self.flaw:
            return likeness.UNKNOWN
        if self.counts[likeness.DIFFERENT] or not self.ran_as_far:
            return likeness.DIFFERENT
        return likeness.SAME if self.counts[likeness.SAME] or not self.cells else likeness.UNKNOWN

    def document(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "verdict": self.verdict,
            "counts": self.counts,
            "ran_as_far": self.ran_as_far,
            "original_stop": dataclasses.asdict(self.original_stop) if self.original_stop else None,
            "new_stop": dataclasses.asdict(self.new_stop) if self.new_stop else None,
            "cells": [dataclasses.asdict(each) for each in self.cells],
            "seconds": round(self.seconds, 3),
            "flaw": self.flaw,
        }


def compare(
    original: cells.Jupyter,
    draft: cells.Draft,
    notebook: Path,
    python: Sequence[str],
    env: Mapping[str, str],
    timeout: float,
) -> Comparison:
    """Run both notebooks, each for at most `timeout` seconds, and compare what their cells print and show.

    `draft` is what `notebook` was made of in the end. Where a cell differs the original is run once more: one that
    changes from run to run tells nothing. Raises NotSetUp when the Python can't be started.
    """
    started = time.monotonic()
    made = _compared(original, draft, notebook, trials.Place(python, env, timeout))
    return dataclasses.replace(made, seconds=time.monotonic() - started)


def _compared(original: cells.Jupyter, draft: cells.Draft, notebook: Path, place: trials.Place) -> Comparison:
    probed = probes.probe(notebook.read_text(encoding="utf-8"))
    if probed is None:
        return Comparison(flaw=f"{notebook.name} is no marimo notebook that daglab's own Python can read")
    idle = likeness.not_run(draft)
    before = trials.run_original(original, idle, place)
    if before.flaw and not before.cells and before.last is None:
        return Comparison(flaw=before.flaw)
    after = trials.run_new(original, draft, notebook, probed, place)
    if after.flaw and not after.cells and after.last is None:
        return Comparison(flaw=f"marimo does not run it: {after.flaw}")
    found = likeness.verdicts(draft, before, after)
    if any(each.verdict == likeness.DIFFERENT for each in found):
        found = _steady(found, likeness.unsteady(before, trials.run_original(original, idle, place)))
    return Comparison(
        tuple(found), likeness.as_far(draft, before, after), _stop(before, {}), _stop(after, _numbers(draft))
    )


def _steady(found: Sequence[Verdict], unsteady: frozenset[int]) -> list[Verdict]:
    """The verdicts without those on what changes by itself."""
    return [
        Verdict(each.cell, likeness.UNKNOWN, "it changes from run to run")
        if each.verdict == likeness.DIFFERENT and each.cell in unsteady
        else each
        for each in found
    ]


def _numbers(draft: cells.Draft) -> dict[int, int | None]:
    return {place: cell.origins[-1] if cell.origins else None for place, cell in enumerate(draft.cells)}


def _stop(ran: trials.Ran, numbers: Mapping[int, int | None]) -> Stop | None:
    for place, line in ran.cells.items():
        if line["stopped"]:
            return Stop(numbers.get(place, place), line["error"]["type"])
    if ran.last is not None:
        return Stop(numbers.get(ran.last, ran.last), trials.TIMEOUT if ran.flaw == trials.TIMEOUT else "died")
    return None

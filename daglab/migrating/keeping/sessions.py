"""marimo's session record: with it `marimo edit` shows what the Jupyter notebook had shown, and runs nothing.

The record holds for these very cells, requirements and version of marimo; any other and marimo leaves it aside.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from daglab.migrating import cells
from daglab.migrating.converting import conversions
from daglab.migrating.keeping import shown_outputs

LARGEST = 50_000_000  # characters of what all cells show


def path(notebook: Path) -> Path:
    """Where marimo looks for the record of a notebook."""
    return notebook.parent / "__marimo__" / "session" / f"{notebook.name}.json"


def record(conversion: conversions.Conversion, draft: cells.Draft) -> tuple[str, tuple[cells.Note, ...]]:
    """The record as JSON, and notes about outputs that it can't hold; `draft` is the conversion's own."""
    originals = {each.number: each for each in draft.original.cells}
    homes = _homes(draft)
    hashes = [hashlib.md5(code.encode(), usedforsecurity=False).hexdigest() for code in conversion.codes]
    found, left = [], LARGEST
    notes = list(_homeless(draft, homes))
    for place, (cell, code_hash) in enumerate(zip(draft.cells, hashes, strict=True)):
        numbers = [number for number in cell.origins if homes.get(number) == place]
        outputs = [output for number in numbers for output in originals[number].outputs]
        is_drawn = conversion.codes[place].startswith("mo.md(")  # by marimo itself, at once, over any output
        text = None if cell.kind == "code" or is_drawn else cell.code
        before = [shown_outputs.markdown(text, f"m{place}-")] if text else []
        shown = shown_outputs.shown(outputs, f"o{place}-", before)
        size = len(json.dumps([shown.output, shown.console])) if outputs else 0
        left -= size
        if left < 0 and outputs:
            shown, left = shown_outputs.shown([], "", before), left + size
            notes.append(_note(numbers[-1], "Its outputs are left out: all together are too large."))
        notes += [_note(number, remark) for remark in shown.remarks for number in numbers[-1:]]
        if is_drawn and shown.output and not all(_is_text(each) for each in outputs):
            notes.append(
                _note(numbers[-1], "What it showed is not kept, but for what it printed: the cell is text now.")
            )
        if outputs and code_hash in hashes[place + 1 :]:
            notes.append(_note(numbers[-1], "Its outputs are not shown: marimo shows those of a later cell alike."))
        found.append(_cell(place, code_hash, shown))
    about = {"marimo_version": conversion.marimo_version, "script_metadata_hash": conversion.header_hash}
    return json.dumps({"version": "1", "metadata": about, "cells": found}, indent=2), tuple(notes)


def _is_text(output: Mapping[str, Any]) -> bool:
    data = output.get("data")
    return isinstance(data, Mapping) and bool({"text/markdown", "text/latex"} & set(data))


def _cell(place: int, code_hash: str, shown: shown_outputs.Shown) -> dict[str, Any]:
    outputs = [shown.output] if shown.output else []
    return {"id": f"c{place}", "code_hash": code_hash, "outputs": outputs, "console": list(shown.console)}


def _homes(draft: cells.Draft) -> dict[int, int]:
    """For the Jupyter cells the cell that shows what they showed: the last that comes of each, code before text."""
    homes: dict[int, int] = {}
    for is_code in (False, True):
        for place, cell in enumerate(draft.cells):
            if (cell.kind == "code") is is_code:
                homes.update(dict.fromkeys(cell.origins, place))
    return homes


def _homeless(draft: cells.Draft, homes: Mapping[int, int]) -> Iterator[cells.Note]:
    for each in draft.original.cells:
        if each.outputs and each.number not in homes:
            yield _note(each.number, "Its outputs are left out: nothing is left of the cell.")


def _note(number: int, text: str) -> cells.Note:
    return cells.Note("output", text, number)

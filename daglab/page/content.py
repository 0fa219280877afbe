"""The hash of what a notebook shows: the same for two executions that show the same.

What is random in each was measured, by exporting the same notebooks twice with marimo and the libraries that draw in
it. It gets a number in the order in which it first appears, so that what refers to what still counts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from daglab.page import notebook
from daglab.page.notebook import Cell, Printed

QUOTE = r"(?:&[a-z0-9#]{1,8};|[^\w&]){0,20}"  # around a value in JSON in an attribute, in any number of escapes
# The first group is where the id begins. A pattern begins with letters, which re looks for many times faster than for a
# border of words: what was printed may be long.
NAMED = tuple(
    re.compile(pattern)
    for pattern in (
        # of marimo's elements, of bokeh's, of Dagster's runs
        r"-(?<=\b([0-9a-f]{8})-)[0-9a-f]{4}(?:-[0-9a-f]{4}){2}-[0-9a-f]{12}\b",
        rf"model[_-]id{QUOTE}([0-9a-f]{{32}})",  # anywidget's
        r"T_(?<=\b(T_))[0-9a-f]{5}(?![0-9a-f])",  # pandas' styles
        r"[#\"]([mpc][0-9a-f]{10})\b",  # matplotlib's drawings
        r"altair-viz-([0-9a-f]{32})\b",
        r"at (0x[0-9a-f]{6,16})\b",  # where an object lies in memory
    )
)
# What is left out: of a progress its speed, of a path its temporary folder, of a virtual file its name.
DROPPED = (
    (re.compile(rf"data-(?:rate|eta)={QUOTE}[0-9.]+"), ""),
    (re.compile(r"marimo_[0-9]{1,10}/(?=__marimo__cell_)"), ""),
    (re.compile(r"@file/([0-9]{1,20})-[\w-]{1,100}"), r"@file/\1"),
    (re.compile(r"<dc:date>[^<]{0,100}"), ""),
    (re.compile(r"\[[0-9]{2,}:[0-9]{2}<[^\]\n]{0,100}\]"), ""),  # tqdm's
)
# A picture: looking into it for what is random would take longer than all else, and change it.
LONG = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{500,}")


def digest(html: str) -> str:
    """The sha256, in hex, of codes, outputs, console and errors in an HTML that marimo wrote.

    Raises InvalidInput when this is not an HTML of marimo's, or not all of it.
    """
    cells = notebook.read(html).cells
    shown = json.dumps([_shown(cell) for cell in cells], sort_keys=True)
    for escape in (r"\n", r"\t", r"\r"):
        shown = shown.replace(escape, f"{escape} ")  # the letter of it is no part of the word behind it
    shown = LONG.sub(lambda found: hashlib.sha256(found[0].encode()).hexdigest(), shown)
    for pattern, replacement in DROPPED:
        shown = pattern.sub(replacement, shown)
    for pattern in NAMED:
        shown = _numbered(pattern, shown)
    codes = json.dumps([cell.code for cell in cells])  # of which every letter counts
    return hashlib.sha256(f"{codes}\n{shown}".encode()).hexdigest()


def _numbered(pattern: re.Pattern[str], text: str) -> str:
    """The text with a number in place of each id: the same for the same id."""
    numbers: dict[str, int] = {}
    pieces, at = [], 0
    for found in pattern.finditer(text):
        start, end = found.start(1), found.end()
        pieces += [text[at:start], f"#{numbers.setdefault(text[start:end], len(numbers))}"]
        at = end
    return "".join([*pieces, text[at:]])


def _shown(cell: Cell) -> list[Any]:
    """What became of a cell. Its name, and whether its code is folded, change nothing of what it says."""
    errors = [[error.kind, error.message] for error in cell.errors]
    return [list(cell.outputs), errors, list(cell.tracebacks), _printed(cell.console)]


def _printed(console: Iterable[Printed]) -> list[Any]:
    """The text of each stream as one: into which pieces it falls, and how these mix, is a matter of time."""
    streams: dict[str, list[str]] = {}
    others = []
    for item in console:
        if item.mime.startswith("text/"):
            streams.setdefault(item.stream, []).append(item.text)
        else:
            others.append([item.mime, item.text])
    return [{name: "".join(texts) for name, texts in streams.items()}, others]

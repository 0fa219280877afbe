"""The nouns of a migration: the Jupyter notebook as it was, the marimo notebook to be, and what was done on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What a note is about, in the order of the report's summary.
KINDS = (
    "format",
    "text",
    "markdown",
    "attachment",
    "tag",
    "magic",
    "shell",
    "install",
    "display",
    "widget",
    "dagster",
    "syntax",
    "name",
    "merge",
    "mutation",
    "order",
    "output",
    "check",
)


@dataclass(frozen=True)
class Original:
    """A cell of a Jupyter notebook, as nbformat 4.5 has it; `number` counts all cells from 1, as people do.

    `kind` is "code", "markdown" or "raw"; `outputs` have nbformat's shape, texts joined; `attachments` are base64 texts
    by file name and mime type.
    """

    number: int
    kind: str
    source: str
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    execution_count: int | None = None
    outputs: tuple[Mapping[str, Any], ...] = ()
    attachments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Jupyter:
    """A Jupyter notebook in Python; `nbformat` is what the file said ("4.5"), `content` the file's bytes.

    `notes` tell what had to be put right to read it.
    """

    path: Path
    nbformat: str
    cells: tuple[Original, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    title: str | None = None
    content: bytes = field(default=b"", repr=False)
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A cell of the marimo notebook to be.

    `kind` is "code" (Python), "markdown" (its text), or "text": what can't become Python, shown with `why`. `origins`
    are the numbers of the Jupyter cells that it comes from, none for one that daglab adds. A code cell's last
    expression is what it shows.
    """

    code: str
    kind: str = "code"
    origins: tuple[int, ...] = ()
    hidden: bool = False
    disabled: bool = False
    why: str = ""


@dataclass(frozen=True)
class Note:
    """What was done, or is left to do, in a sentence; `cell` is the Jupyter cell's number, None for the notebook."""

    kind: str
    text: str
    cell: int | None = None
    needs_person: bool = False


@dataclass(frozen=True)
class Draft:
    """A notebook under way; each stage makes another of it.

    `requirements` are PEP 508 lines for the PEP 723 header; `files` lie beside the notebook, by relative name.
    """

    original: Jupyter
    cells: tuple[Cell, ...]
    notes: tuple[Note, ...] = ()
    requirements: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


Stage = Callable[[Draft], Draft]


def with_notes(draft: Draft, *notes: Note) -> Draft:
    """The draft with more notes."""
    return dataclasses.replace(draft, notes=(*draft.notes, *notes))

"""Notebooks of nbformat 1 to 3 as nbformat 4, by nbformat's own converter."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from daglab import errors

_TEXT_KINDS = {"code", "text", "markdown", "raw", "heading", "html"}


def upgraded(path: Path, body: Mapping[str, Any], major: int) -> dict[str, Any]:
    """A notebook of `major` 1, 2 or 3 as nbformat 4; what has a wrong type in it is put right or left out first.

    Its metadata get a `language` where the cells name one. Raises NotSetUp without nbformat, InvalidInput when it
    can't be upgraded.
    """
    try:
        import nbformat.converter
        import nbformat.reader
    except ImportError:
        raise errors.NotSetUp(
            f"{path} is of nbformat {major}, and nbformat, which can upgrade it, is not installed.",
            "pip install 'daglab[migrate]'",
        ) from None
    sheets = [_cells(major, sheet) for sheet in _sheets(major, body)]
    ready = _ready(major, body, sheets)
    try:
        with _quiet():
            old = nbformat.reader.reads(json.dumps(ready))  # type: ignore[no-untyped-call]
            made = nbformat.converter.convert(old, 4)  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever nbformat stumbles over is the file's fault
        raise errors.InvalidInput(
            f"{path} can't be upgraded from nbformat {major}: {type(error).__name__}: {error}.",
            "Open it in a Jupyter of its time and save it anew.",
        ) from None
    plain: dict[str, Any] = json.loads(json.dumps(made))
    languages = [cell["language"] for sheet in sheets for cell in sheet if cell.get("language")]
    if languages:
        plain["metadata"].setdefault("language", max(languages, key=languages.count))
    elif major == 1:
        plain["metadata"].setdefault("language", "python")  # there was no other
    return plain


def _sheets(major: int, body: Mapping[str, Any]) -> list[Any]:
    if major == 1:
        return [body.get("cells")]
    sheets = body.get("worksheets")
    return [each.get("cells") for each in sheets if isinstance(each, Mapping)] if isinstance(sheets, list) else []


def _ready(major: int, body: Mapping[str, Any], sheets: list[list[dict[str, Any]]]) -> dict[str, Any]:
    metadata = body.get("metadata")
    metadata = dict(metadata) if isinstance(metadata, Mapping) else {}
    if major == 1:
        return {"nbformat": 1, "cells": sheets[0]}
    made = [{"metadata": {}, "cells": sheet} for sheet in sheets]
    return {"nbformat": major, "nbformat_minor": 0, "metadata": metadata, "worksheets": made}


def _cells(major: int, found: Any) -> list[dict[str, Any]]:
    return [_cell(major, each) for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _cell(major: int, cell: Mapping[str, Any]) -> dict[str, Any]:
    """The cell with the members that the converter asks for, of the types that it asks for."""
    kind = cell.get("cell_type")
    if kind == "code":
        name = "code" if major == 1 else "input"
        made = {"cell_type": kind, name: text(cell.get(name)), "language": cell.get("language")}
        if not isinstance(made["language"], str):
            del made["language"]
        number = cell.get("prompt_number")
        if isinstance(number, int):
            made["prompt_number"] = number
        outputs = cell.get("outputs")
        made["outputs"] = (
            [_output(each) for each in outputs if isinstance(each, Mapping)] if isinstance(outputs, list) else []
        )
        if isinstance(cell.get("collapsed"), bool):
            made["collapsed"] = cell["collapsed"]
    else:
        name = "text" if major == 1 else "source"
        known = isinstance(kind, str) and kind in _TEXT_KINDS
        made = {"cell_type": kind if known else "raw", name: text(cell.get(name))}
        if major == 1:
            made["cell_type"] = "text"
        elif kind == "text":
            made["cell_type"] = "markdown"
        if kind == "heading":
            level = cell.get("level")
            made["level"] = level if isinstance(level, int) and 1 <= level <= 6 else 1
    metadata = cell.get("metadata")
    return {**made, "metadata": dict(metadata) if isinstance(metadata, Mapping) else {}}


def _output(output: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(output)
    if not isinstance(made.get("output_type"), str):
        made["output_type"] = "none"  # the reader of nbformat 4 leaves out what it does not know
    if not isinstance(made.get("metadata", {}), Mapping):
        made["metadata"] = {}
    if isinstance(made.get("json"), (str, list)):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text(made["json"]))
            return made
    made.pop("json", None)
    return made


def text(value: Any) -> str:
    """A text of nbformat 1 to 3: one, or a list of lines with or without their ends."""
    if isinstance(value, list):
        lines = [each for each in value if isinstance(each, str)]
        return ("" if lines and lines[0].endswith(("\n", "\r")) else "\n").join(lines)
    return value if isinstance(value, str) else ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """nbformat logs what it finds wrong with an old notebook, at length."""
    from traitlets import log

    logger = log.get_logger()
    plain = logger.logger if isinstance(logger, logging.LoggerAdapter) else logger
    before = plain.disabled
    plain.disabled = True
    try:
        yield
    finally:
        plain.disabled = before

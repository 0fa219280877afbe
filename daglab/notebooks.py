"""The outcome of a marimo notebook, read from the HTML that `marimo export html` writes.

marimo prints no traceback and exits with 1 both for "written, but cells failed" and for "crashed, nothing
written". The HTML holds the whole session as JSON, in the last script block that marimo marks as its own; its
form was seen in marimo 0.17 to 0.25, and is the same in all of them but for the call around it.
"""

from __future__ import annotations

import html as markup
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from daglab import errors

# `<` is escaped inside marimo's JSON, and so are quotes: what a cell prints can't look like this.
MOUNT_CONFIG = re.compile(
    r'<script data-marimo="true">\s*'
    r'(?:Object\.defineProperty\(window,\s*"__MARIMO_MOUNT_CONFIG__",\s*\{\s*value:\s*Object\.freeze\('
    r"|window\.__MARIMO_MOUNT_CONFIG__\s*=\s*)\{"
)
SPACE = re.compile(r"[\s,]*")
COLON = re.compile(r"\s*:\s*")
TAG = re.compile(r"<[^<>]*>")  # without the first of the two, many `<` cost their square
# Bounded, so that a line of a megabyte costs no more than its length.
CELL_FILE = re.compile(r'File "[^"\n]*__marimo__cell_(\w{1,64}?)_\.py"')
EXCEPTION_LINE = re.compile(r"^\s*(?:[|+] )?([^\W\d][\w.]*)(?:: (.*))?$")
TRACEBACK = "application/vnd.marimo+traceback"
ANCESTOR_RAISED = "An ancestor raised an exception"
# Errors of a cell that ran; every other kind is found before anything runs, and explains those that follow.
AT_RUN_TIME = frozenset({"exception", "interruption"})

Record = Mapping[str, Any]


@dataclass(frozen=True)
class FailedCell:
    """A cell that did not do its work.

    `index` is its position in the notebook, from 1. `name` is empty for a cell without one. `error` is like
    "ZeroDivisionError: division by zero". `traceback` is plain text, and empty where marimo has none.
    `caused_by_ancestor`: it never ran, because a cell that it depends on had failed, or one that came before it
    was interrupted.
    """

    index: int
    name: str
    error: str
    traceback: str
    code: str
    caused_by_ancestor: bool

    @property
    def label(self) -> str:
        """What people call the cell: `cell 2 (load)`."""
        return label(self.index, self.name)


def failed_cells(html: str) -> list[FailedCell]:
    """The cells that failed, what explains the rest first: invalid code, then exceptions, then what hung on them.

    `mo.stop` is no failure, nor are the cells that it keeps from running; a cell that was interrupted is one.
    The first of them is never `caused_by_ancestor`.

    Raises InvalidInput when this is not an HTML of marimo's, or not all of it.
    """
    config = mount_config(html)
    notebook, session = cells(config, "notebook"), cells(config, "session")
    places = {str(cell.get("id")): (index, cell) for index, cell in enumerate(notebook, start=1)}
    labels = {key: label(index, name_of(cell)) for key, (index, cell) in places.items()}
    failures = []
    for position, ran in enumerate(session, start=1):
        found = [output for output in records(ran, "outputs") if _is_failure(output)]
        if not found and any(item.get("mimetype") == TRACEBACK for item in records(ran, "console")):
            # marimo calls the cell good, and shows a traceback in place of its output.
            found = [{"ename": "exception", "evalue": ""}]
        if found:
            index, cell = places.get(str(ran.get("id")), (position, {}))
            failures.append(_failure(found, ran, index, cell, labels))
    found_cells = [cell for _, cell in sorted(failures, key=lambda pair: (pair[0], pair[1].index))]
    if found_cells and found_cells[0].caused_by_ancestor:  # marimo has lost the traceback of the root
        found_cells[0] = replace(found_cells[0], caused_by_ancestor=False)
    return found_cells


def has_code(html: str) -> bool:
    """Whether any cell holds code. Raises InvalidInput as `failed_cells` does."""
    return any(text(cell.get("code")).strip() for cell in cells(mount_config(html), "notebook"))


def marimo_version(html: str) -> str | None:
    """The marimo that wrote the HTML, as its session says; None where it does not."""
    found = re.search(r'"marimo_version": *"([\w.+-]{1,40})"', html)
    return found[1] if found else None


def mount_config(html: str) -> dict[str, Any]:
    """The members of the object that marimo's page starts from; a page may bring scripts of its own before it.

    Raises InvalidInput as `failed_cells` does.
    """
    places = list(MOUNT_CONFIG.finditer(html))
    if not places:
        _unreadable("it is not a notebook that marimo has exported")
    try:
        return _members(html, places[-1].end())
    except (ValueError, IndexError, RecursionError):
        _unreadable("it is damaged or not complete")


def _members(html: str, at: int) -> dict[str, Any]:
    """The members of a JavaScript object whose keys and values are JSON. `at` is behind its opening brace."""
    decoder = json.JSONDecoder()
    members: dict[str, Any] = {}
    while html[at := _skip(SPACE, html, at)] != "}":
        key, at = decoder.raw_decode(html, at)
        members[key], at = decoder.raw_decode(html, _skip(COLON, html, at))
    return members


def _skip(pattern: re.Pattern[str], html: str, at: int) -> int:
    match = pattern.match(html, at)
    if match is None:
        raise ValueError(at)
    return match.end()


def cells(config: Record, part: str) -> list[Record]:
    """The cells of a mount config's `notebook` (their code) or `session` (what became of them).

    Raises InvalidInput where the part is missing.
    """
    value = config.get(part)
    if not isinstance(value, dict):
        _unreadable(f"its {part} is missing")
    return records(value, "cells")


def records(owner: Record, key: str) -> list[Record]:
    """A list of objects. One that is not there would read as "nothing failed", so it must be: else InvalidInput."""
    value = owner.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        _unreadable(f"its {key} are missing")
    return value


def _unreadable(why: str) -> NoReturn:
    raise errors.InvalidInput(
        f"The outcome of the notebook can't be read from the HTML: {why}.",
        "Export the notebook again. If it stays so, the installed marimo is not one that daglab knows.",
    )


def _is_failure(output: Record) -> bool:
    return output.get("type") == "error" and output.get("ename") != "ancestor-stopped"


def _failure(
    found: list[Record], ran: Record, index: int, cell: Record, labels: Mapping[str, str]
) -> tuple[int, FailedCell]:
    """The failed cell and its rank: the lower, the more it explains."""
    traceback = _traceback(ran, found, labels)
    hung = not traceback and all(_is_consequence(output) for output in found)
    error = "; ".join(_error(output, traceback) for output in found)
    rank = 2 if hung else int(all(text(output.get("ename")) in AT_RUN_TIME for output in found))
    return rank, FailedCell(index, name_of(cell), error, traceback, text(cell.get("code")), hung)


def _is_consequence(output: Record) -> bool:
    """For a cell without a traceback. An interrupt marks every cell that was still to run."""
    return output.get("ename") in ("ancestor-prevented", "interruption") or (
        output.get("ename") == "exception" and text(output.get("evalue")).startswith(ANCESTOR_RAISED)
    )


def _traceback(ran: Record, found: Iterable[Record], labels: Mapping[str, str]) -> str:
    """The traceback of a cell as text; its threads may have left others."""
    for output in found:
        if output.get("ename") == "syntax":
            return text(output.get("evalue")).rstrip()
    streams = [item for item in records(ran, "console") if item.get("mimetype") == TRACEBACK]
    plain = [plain_traceback(text(item.get("text")), labels) for item in streams]
    values = [text(output.get("evalue")) for output in found]
    return next((each for each in plain for value in values if value and value in each), "".join(plain[-1:]))


def plain_traceback(highlighted: str, labels: Mapping[str, str]) -> str:
    """The text of a highlighted traceback, with the cells (`labels` by their id) in place of marimo's own files."""
    plain = markup.unescape(TAG.sub("", highlighted)).strip("\n")
    return CELL_FILE.sub(lambda match: f'File "{labels[match[1]]}"' if match[1] in labels else match[0], plain)


def _error(output: Record, traceback: str) -> str:
    """The error in one phrase; marimo's own has no exception type, its traceback has."""
    value = text(output.get("evalue")).strip()
    if not traceback:
        return value.removesuffix(":") or text(output.get("ename"))
    matches = [match for line in traceback.splitlines() if (match := EXCEPTION_LINE.match(line))]
    for match in reversed(matches):
        if value and (match[2] or "").strip() == value.splitlines()[0]:
            return f"{match[1]}: {value}"
    return matches[-1][0].strip() if matches else value


def label(index: int, name: str) -> str:
    """What people call a cell: `cell 2 (load)`."""
    return f"cell {index} ({name})" if name else f"cell {index}"


def name_of(cell: Record) -> str:
    """marimo calls a nameless cell `_`, and puts a star before the name of a cell that is one function."""
    name = text(cell.get("name")).lstrip("*")
    return name if name.strip("_") else ""


def text(value: object) -> str:
    """Text that can be printed: a cell's own may hold halves of characters."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""

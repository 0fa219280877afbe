"""What became of Jupyter notebooks: a document, lines for a terminal, a Markdown page."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from daglab import __version__, errors
from daglab.migrating import cells
from daglab.migrating.comparing import comparisons
from daglab.migrating.converting import conversions

CONVERTED, NEEDS_PERSON, REFUSED = "converted", "needs_person", "refused"
OUTCOMES = (CONVERTED, NEEDS_PERSON, REFUSED)
SUFFIXES = (".md", ".json")
HEADING = "# Migration from Jupyter to marimo"
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_MARKDOWN = re.compile(r"([\\`*\[\]<|~$&]|(?<![^\W_])_|_(?![^\W_])|^[#>+=-])")


@dataclass(frozen=True)
class Result:
    """What became of one notebook; `error` says why there is none.

    `written` are the paths that were written or, with nothing to be written, would be, and `unchanged` those that
    hold the same already. `sha256` is the notebook's, in hex.
    """

    source: Path
    target: Path | None = None
    draft: cells.Draft | None = None
    conversion: conversions.Conversion | None = None
    files: tuple[Path, ...] = ()
    session: Path | None = None
    replaced: bool = False
    unchanged: bool = False
    sha256: str | None = None
    comparison: comparisons.Comparison | None = None
    error: errors.DaglabError | None = None
    notes: tuple[cells.Note, ...] = field(default=())  # of what came after the draft

    @property
    def all_notes(self) -> list[cells.Note]:
        """What was done, by cell; what is about the whole notebook stands first."""
        found = [*(self.draft.notes if self.draft else ()), *self.notes]
        return sorted(found, key=lambda note: note.cell or 0)

    @property
    def outcome(self) -> str:
        """One of OUTCOMES."""
        if self.error:
            return REFUSED
        issues = self.conversion.issues if self.conversion else ()
        differs = bool(self.comparison and self.comparison.verdict == "different")
        open_ends = bool(issues) or differs or any(note.needs_person for note in self.all_notes)
        return NEEDS_PERSON if open_ends else CONVERTED


def document(results: Sequence[Result], *, dry_run: bool = False) -> dict[str, Any]:
    """All of it: the notebooks in the order that they were asked for, and how many of each outcome and kind."""
    outcomes = Counter(each.outcome for each in results)
    kinds = Counter(note.kind for each in results for note in each.all_notes)
    return {
        "ok": not outcomes[REFUSED],
        "dry_run": dry_run,
        "notebooks": [entry(each, dry_run=dry_run) for each in results],
        "counts": {outcome: outcomes[outcome] for outcome in OUTCOMES},
        "kinds": {kind: kinds[kind] for kind in cells.KINDS if kinds[kind]},
    }


def entry(result: Result, *, dry_run: bool = False) -> dict[str, Any]:
    """What became of one notebook, as a part of the document; `text` is the notebook that would be written."""
    draft, made = result.draft, result.conversion
    found: dict[str, Any] = {
        "source": str(result.source.absolute()),
        "target": str(result.target.absolute()) if result.target else None,
        "outcome": result.outcome,
        "nbformat": draft.original.nbformat if draft else None,
        "cells": len(draft.original.cells) if draft else None,
        "notes": [
            {"cell": note.cell, "kind": note.kind, "text": note.text, "needs_person": note.needs_person}
            for note in result.all_notes
        ],
        "issues": [
            {"code": issue.code, "message": issue.message, "line": issue.line}
            for issue in (made.issues if made else ())
        ],
        "requirements": list(draft.requirements) if draft else [],
        "files": [str(path.absolute()) for path in result.files],
        "session": str(result.session.absolute()) if result.session else None,
        "replaced": result.replaced,
        "unchanged": result.unchanged,
        "sha256": result.sha256,
        "comparison": result.comparison.document() if result.comparison else None,
    }
    if dry_run:
        found["text"] = made.text if made else None
    if result.error:
        found["error"] = result.error.document()
    return found


def line(result: Result) -> str:
    """What became of a notebook, on one line whatever its name is."""
    if result.error:
        said = f"{result.source}: refused: {result.error.message}"
        return " ".join(said.split())
    size = _number(len(result.draft.original.cells) if result.draft else 0, "cell")
    notes = result.all_notes
    waiting = sum(note.needs_person for note in notes)
    parts = [size, _number(len(notes), "note"), *([f"{waiting} for a person"] if waiting else [])]
    if result.unchanged:
        parts.append("unchanged")
    if result.comparison:
        parts.append(f"run: {_verdict(result.comparison)}")
    return " ".join(f"{result.source} -> {result.target} ({', '.join(parts)})".split())


def remarks(result: Result, *, verbose: bool) -> Iterator[str]:
    """What needs a person, a line each; with `verbose` all that was done."""
    for note in result.all_notes:
        if note.needs_person or verbose:
            yield f"{_place(note.cell)}, {note.kind}: {note.text}"
    for each in result.comparison.cells if result.comparison else ():
        if each.verdict == "different" or (verbose and each.verdict != "same"):
            yield f"{_place(each.cell)}, run, {each.verdict}: {each.why}"
    for issue in result.conversion.issues if result.conversion else ():
        yield f"{_line(issue)}marimo check, {issue.code}: {issue.message}"


def summary(results: Sequence[Result]) -> str:
    """How many there are of each outcome."""
    counts = Counter(each.outcome for each in results)
    words = {CONVERTED: "converted", NEEDS_PERSON: "converted and to be looked at", REFUSED: "refused"}
    return ", ".join(f"{counts[outcome]} {words[outcome]}" for outcome in OUTCOMES if counts[outcome] or not results)


def refused(results: Sequence[Result], found: dict[str, Any]) -> errors.DaglabError:
    """The error of a batch in which something was refused: a bug of daglab's is one, whatever else there is."""
    failed = [(each.source, each.error) for each in results if each.error]
    bugs = [error for _, error in failed if error.exit_code == 1]
    lines = [f"{source}: {error.message}" for source, error in failed]
    kind = errors.DaglabError if bugs else errors.InvalidInput
    hint = bugs[0].hint if bugs else "The others are done. Leave these out, or mend them."
    return kind("\n".join([f"{len(failed)} of {len(results)} notebooks were refused.", *lines]), hint, result=found)


def written(results: Sequence[Result], suffix: str) -> str:
    """The report as a file: Markdown or JSON, by its suffix. The day is the one thing that two runs may differ in."""
    if suffix == ".json":
        found = {"report": HEADING.lstrip("# "), "daglab": __version__, "made": date.today().isoformat()}
        return json.dumps({**found, **document(results)}, indent=2, ensure_ascii=True) + "\n"
    return markdown(results)


def is_own(text: str) -> bool:
    """Whether a file's text is an earlier report, which may be written over."""
    begin = text.lstrip("{ \n")
    return begin.startswith((HEADING, f'"report": "{HEADING.lstrip("# ")}"'))


def markdown(results: Sequence[Result]) -> str:
    """The report as a Markdown page."""
    found = document(results)
    parts = [
        HEADING,
        f"Made by daglab {__version__} on {date.today().isoformat()}.",
        _table(("outcome", "notebooks"), [(outcome.replace("_", " "), n) for outcome, n in found["counts"].items()]),
    ]
    if found["kinds"]:
        waiting = Counter(note.kind for each in results for note in each.all_notes if note.needs_person)
        rows = [(kind, n, waiting[kind]) for kind, n in found["kinds"].items()]
        parts += ["## By kind", _table(("kind", "notes", "for a person"), rows)]
    for each in results:
        parts += _section(each)
    return "\n\n".join(parts) + "\n"


def _section(result: Result) -> Iterator[str]:
    yield f"## {_shown(str(result.source))}"
    if result.error:
        yield f"Refused: {_shown(result.error.message)}"
        if result.error.hint:
            yield _shown(result.error.hint)
        return
    size = len(result.draft.original.cells) if result.draft else 0
    outcome = result.outcome.replace("_", " ").capitalize()
    yield f"{outcome}: {_shown(str(result.target))}, from {_number(size, 'cell')}."
    beside = [*result.files, *([result.session] if result.session else [])]
    if beside:
        yield f"Beside it: {', '.join(_shown(str(path)) for path in beside)}."
    if result.draft and result.draft.requirements:
        yield f"Requirements in its header: {', '.join(map(_shown, result.draft.requirements))}."
    rows = [(_place(n.cell), n.kind, n.text, "yes" if n.needs_person else "") for n in result.all_notes]
    if rows:
        yield _table(("where", "kind", "what", "for a person"), rows)
    issues = [(each.line or "", each.code, each.message) for each in (result.conversion or NOTHING).issues]
    if issues:
        yield _table(("line", "marimo check", "what"), issues)
    if result.comparison:
        yield from _compared(result.comparison)


def _compared(comparison: comparisons.Comparison) -> Iterator[str]:
    yield f"Run beside the original: {_shown(_verdict(comparison))}."
    rows = [(_place(each.cell), each.verdict, each.why) for each in comparison.cells if each.verdict != "same"]
    if rows:
        yield _table(("where", "result", "why"), rows)


def _verdict(comparison: comparisons.Comparison) -> str:
    """The verdict on two runs, and how many cells have which."""
    counts = ", ".join(f"{count} {name}" for name, count in comparison.counts.items() if count)
    stop = "" if comparison.ran_as_far or comparison.flaw else "; it does not run as far as the original"
    flaw = f": {comparison.flaw}" if comparison.flaw else ""
    return f"{comparison.verdict}{f' ({counts})' if counts else ''}{stop}{flaw}"


NOTHING = conversions.Conversion()


def _table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [headers, ["---"] * len(headers), *[[_shown(str(value)) for value in row] for row in rows]]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)


def _shown(text: str) -> str:
    """Text that means nothing to Markdown, but for code between backticks, on one line."""
    pieces = _CODE.split(" ".join(text.split()))
    pieces[::2] = [_MARKDOWN.sub(r"\\\1", each) for each in pieces[::2]]
    pieces[1::2] = [f"`{each}`".replace("|", r"\|") for each in pieces[1::2]]  # a table's cells end at any other
    return "".join(pieces)


def _place(number: int | None) -> str:
    return "notebook" if number is None else f"cell {number}"


def _line(issue: conversions.Issue) -> str:
    return f"line {issue.line}, " if issue.line else ""


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"

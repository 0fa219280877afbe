"""Cells that are no Python code: markdown as it is, and what could not become code, shown as text that says so."""

from __future__ import annotations

import ast
import dataclasses
import html
import re
import warnings

from daglab.migrating import cells, edits, imports
from daglab.migrating.reading import attachments, kernels

# What marimo's Markdown sees in a fence too: marks of changes, and fences of Python's prompts.
_SEEN = re.compile(r"\{(?:--|\+\+|~~|==|>>)|^[ \t]*```", re.MULTILINE)
_ENTITIES = str.maketrans({each: f"&#{ord(each)};" for each in "&<>{`~\\$"})
_FENCE = re.compile(r"`{3,}|~{3,}")
_BY_HAND = "It is Python 2: 2to3 -w makes Python 3 of most of it, or rewrite it by hand."
_PYTHON_2 = re.compile(
    r"^[ \t]*print[ \t]+[^\s(=.,:)\]]|^[ \t]*print[ \t]*>>|^[ \t]*except [\w., ()]+,[ \t]*\w+[ \t]*:|<>"
    r"|^[ \t]*exec[ \t]+[\"'\w]|^[ \t]*raise [\w.]+,|\b0[0-7]+\b|\b\d+[lL]\b|\bur[\"']|`\w[^`\n]*`|\blambda[ \t]*\(",
    re.MULTILINE,
)


def begin(original: cells.Jupyter) -> cells.Draft:
    """The notebook as it comes in, a cell for each that is not empty; attachments become files beside it."""
    shelf = attachments.Shelf(original.path.stem)
    drafted, notes = [], list(original.notes)
    for each in original.cells:
        if each.kind == "markdown" or each.attachments:
            source, said = attachments.turned(each, shelf)
            each = dataclasses.replace(each, source=source)
            notes += said
        if each.source.strip():
            cell, said = _begun(each)
            drafted.append(cell)
            notes += said
    return cells.Draft(original, tuple(drafted), tuple(notes), (), shelf.files)


def keep(draft: cells.Draft) -> cells.Draft:
    """What is no Python after all is kept as text, so that the rest of the notebook runs."""
    kept, notes = [], []
    for cell in draft.cells:
        flaw = _flaw(cell.code) if cell.kind == "code" else None
        if flaw is None:
            kept.append(cell)
            continue
        kept.append(dataclasses.replace(cell, kind="text", why=f"it is no Python, {flaw}"))
        hint = f" {_BY_HAND}" if _PYTHON_2.search(kernels.beginning(cell.code)) else ""
        origin = cell.origins[0] if cell.origins else None
        notes.append(cells.Note("syntax", f"{_sentence(f'Kept as text: it is no Python, {flaw}')}{hint}", origin, True))
    return cells.with_notes(dataclasses.replace(draft, cells=tuple(kept)), *notes)


def show(draft: cells.Draft) -> cells.Draft:
    """What is kept as text becomes markdown."""
    return dataclasses.replace(draft, cells=tuple(map(shown, draft.cells)))


def shown(cell: cells.Cell) -> cells.Cell:
    """A cell as `show` makes it: what is kept as text stands within a fence, with why."""
    return dataclasses.replace(cell, kind="markdown", code=_markdown(cell)) if cell.kind == "text" else cell


def _begun(each: cells.Original) -> tuple[cells.Cell, list[cells.Note]]:
    """The cell of one that is not empty, and what is to be said of it."""
    if each.kind == "raw":
        return _raw(each)
    other = kernels.language(each) if each.kind == "code" else None
    if other is None and each.kind == "code" and imports.is_placeholder(each.source):
        why = f"it has a name of its own that begins with {imports.PREFIX}, as daglab's do"
        note = cells.Note("text", f"Kept as text: {why}. Rename it.", each.number, True)
        return cells.Cell(each.source, "text", (each.number,), why=why), [note]
    if other is None:
        return cells.Cell(each.source, each.kind, (each.number,)), []
    named = "".join(part if part.isprintable() else "?" for part in other)[:80]
    note = cells.Note("text", f"Kept as text: it is {named}, not Python.", each.number, True)
    return cells.Cell(each.source, "text", (each.number,), why=f"it is {named}, not Python"), [note]


def _raw(each: cells.Original) -> tuple[cells.Cell, list[cells.Note]]:
    """A raw cell: shown where it is Markdown or HTML, else kept as text.

    HTML goes through Markdown too, which leaves it as it is, because marimo then takes scripts out of it.
    """
    named = each.metadata.get("raw_mimetype") or each.metadata.get("format")
    mime = named.strip().lower() if isinstance(named, str) else ""
    if mime in ("text/markdown", "text/html", "markdown", "html"):
        note = cells.Note("text", f"A raw cell of {mime}, shown as such.", each.number)
        return cells.Cell(each.source, "markdown", (each.number,)), [note]
    why = "it is a raw cell"
    if mime:
        why += f" for {''.join(part if part.isprintable() else '?' for part in mime)[:80]}"
    elif each.number == 1 and each.source.lstrip().startswith("---"):
        why = "it is front matter for another program"
    note = cells.Note("text", f"Kept as text: {why}.", each.number)
    return cells.Cell(each.source, "text", (each.number,), why=why), [note]


def _flaw(code: str) -> str | None:
    """Where and why a cell's code is no Python; None when it is."""
    if edits.parsed(code) is not None:
        return None
    if "\0" in code:
        return f"line {code[: code.index(chr(0))].count(chr(10)) + 1} holds a NUL character"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
            compile(code, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        where = f"line {error.lineno}: " if error.lineno else ""
        return where + "".join(each if each.isprintable() else " " for each in error.msg)[:200].rstrip(".")
    except ValueError as error:
        return str(error).rstrip(".")
    except (RecursionError, MemoryError):
        pass
    return "it is nested too deeply"


def _markdown(cell: cells.Cell) -> str:
    why = _literal(_sentence(f"Kept as text: {cell.why}" if cell.why else "Kept as text"))
    if _SEEN.search(cell.code):
        return f"{why}\n\n<pre>{cell.code.translate(_ENTITIES)}</pre>"
    longest = max((len(fence) for fence in _FENCE.findall(cell.code)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{why}\n\n{fence}text\n{cell.code}\n{fence}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _literal(text: str) -> str:
    """A sentence in which nothing is HTML, and without backticks nothing Markdown either."""
    said = html.escape(" ".join(text.split()), quote=False)
    return said if "`" in said else re.sub(r"([\\*_\[\]#])", r"\\\1", said)

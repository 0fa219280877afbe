"""The outputs that a Jupyter notebook had, in the marimo notebook's own file: as comments, or as markdown.

Nothing in an output is trusted: no line of it ends a comment, no HTML of it comes through, and each has a bound.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daglab.migrating import cells, edits
from daglab.migrating.keeping import pictures, printed
from daglab.migrating.reading import attachments

COMMENTS, MARKDOWN = "comments", "markdown"
LINES = 40  # of one cell's outputs
INLINE = 50_000  # bytes of a picture that stands in the file; a bigger one lies beside it
IMPORT = "import marimo as mo"


@dataclass(frozen=True)
class Kept:
    """What is kept of a cell's outputs, in order, and what is told of the rest."""

    pieces: tuple[printed.Text | printed.Table | pictures.Picture, ...]
    notes: tuple[str, ...]


def apply(draft: cells.Draft, how: str) -> cells.Draft:
    """The draft with its cells' old outputs, each by the last cell that comes of the one that had it.

    `how` is "comments", at the end of the cell's code, or "markdown", in a cell below it; any other changes nothing. At
    most `LINES` lines are kept of a cell. What is cut or left out is noted.
    """
    if how not in (COMMENTS, MARKDOWN):
        return draft
    had = {each.number: each for each in draft.original.cells if each.kind == "code" and each.outputs}
    place = {number: at for at, cell in enumerate(draft.cells) for number in cell.origins if number in had}
    notes = [
        cells.Note("output", "Its outputs are left out, as the cell is.", number)
        for number in had
        if number not in place
    ]
    if how == MARKDOWN and place and not _can_show(draft):
        how = COMMENTS
        notes.append(cells.Note("output", "Outputs are kept as comments: the notebook has its own mo."))
    made: list[cells.Cell] = []
    files: dict[str, bytes] = {}
    for at, cell in enumerate(draft.cells):
        numbers = sorted(number for number, last in place.items() if last == at)
        kept = {number: _kept(had[number].outputs) for number in numbers}
        notes += [cells.Note("output", said, number) for number in numbers for said in kept[number].notes]
        pieces = [
            _placed(each, _name(draft, number, index), files, how)
            for number in numbers
            for index, each in enumerate(kept[number].pieces, 1)
        ]
        made += _with(cell, pieces, how) if pieces else [cell]
    done = dataclasses.replace(draft, cells=tuple(made), files={**draft.files, **files})
    return cells.with_notes(_importing(done) if how == MARKDOWN else done, *notes)


def _kept(outputs: Sequence[Mapping[str, Any]]) -> Kept:
    """What a cell had, within its bounds."""
    pieces: list[printed.Text | printed.Table | pictures.Picture] = []
    notes: list[str] = []
    left, cut = LINES, 0
    for output in outputs:
        for piece in _pieces(output, notes):
            if isinstance(piece, pictures.Picture):
                pieces.append(piece)
                continue
            size = printed.size(piece)
            cut += max(0, size - left)
            if left:
                pieces.append(printed.cut(piece, left))
            left = max(0, left - size)
    if cut:
        notes.append(f"Of its outputs, {cut} lines are left out.")
    return Kept(tuple(pieces), tuple(dict.fromkeys(notes)))


def _pieces(output: Mapping[str, Any], notes: list[str]) -> Iterator[printed.Text | printed.Table | pictures.Picture]:
    kind = output.get("output_type")
    data = output.get("data")
    if kind == "stream":
        yield from printed.texts(output.get("text"))
    elif kind == "error":
        said = f"{output['ename']}: {output.get('evalue', '')}" if output.get("ename") else ""
        yield from printed.texts(output.get("traceback"), "\n", last=True) or printed.texts(said)
    elif isinstance(data, Mapping):
        picture = pictures.find(data)
        if isinstance(picture, pictures.Picture):
            yield picture
        elif picture:
            notes.append(picture)
        words = printed.said(data)
        if words and not (isinstance(picture, pictures.Picture) and printed.is_mere_name(words)):
            yield words
        elif not words and not picture:
            notes.append(f"An output is left out: {', '.join(sorted(map(str, data)))[:200] or 'it is empty'}.")


def _placed(
    piece: printed.Text | printed.Table | pictures.Picture, name: str, files: dict[str, bytes], how: str
) -> str:
    """A piece as text in a comment or in markdown; `files` gets what lies beside the notebook."""
    if not isinstance(piece, pictures.Picture):
        return printed.markdown(piece) if how == MARKDOWN else printed.plain(piece)
    if how == MARKDOWN and len(piece.content) <= INLINE:
        return f"![{piece.told}]({piece.uri})"
    if not piece.suffix:
        return piece.told if how == COMMENTS else printed.markdown(printed.Text((piece.told,)))
    path = f"{name}{piece.suffix}"
    files[path] = piece.content
    return f"![{piece.told}]({path})" if how == MARKDOWN else f"{piece.told}: {path}"


def _name(draft: cells.Draft, number: int, index: int) -> str:
    """A file's name, without its suffix, where marimo shows it from."""
    return f"{attachments.FOLDER}/{attachments.plain(draft.original.path.stem, 'notebook')}/output-{number}-{index}"


def _with(cell: cells.Cell, pieces: Sequence[str], how: str) -> list[cells.Cell]:
    """The cell with what it had."""
    below = "\n\n".join(pieces)
    if cell.kind != "code":  # kept as text
        text = below if how == MARKDOWN else printed.markdown(printed.Text(tuple(below.split("\n"))))
        return [dataclasses.replace(cell, code=f"{cell.code}\n\n{text}")]
    if how == MARKDOWN:
        return [cell, cells.Cell(below, "markdown", hidden=True)]
    lines = [line for piece in pieces for line in piece.split("\n")]
    code = "\n".join([cell.code.rstrip("\n"), "", "# Output:", *(f"# > {line}".rstrip() for line in lines)])
    return [dataclasses.replace(cell, code=code) if _same_code(cell.code, code) else cell]


def _same_code(before: str, after: str) -> bool:
    trees = [edits.parsed(code) for code in (before, after)]
    try:
        return all(trees) and ast.dump(trees[0]) == ast.dump(trees[1])  # type: ignore[arg-type]
    except edits.TOO_MUCH:
        return False


def _can_show(draft: cells.Draft) -> bool:
    """Whether markdown may use `mo`: it is marimo there, or nothing at all."""
    return _imports(draft.cells) or not any(re.search(r"\bmo\b", cell.code) for cell in draft.cells if _is_code(cell))


def _importing(draft: cells.Draft) -> cells.Draft:
    """With the import that its markdown needs."""
    if _imports(draft.cells) or all(_is_code(cell) for cell in draft.cells):
        return draft
    return dataclasses.replace(draft, cells=(cells.Cell(IMPORT), *draft.cells))


def _imports(drafted: Iterable[cells.Cell]) -> bool:
    return any(re.search(rf"^{IMPORT}$", cell.code, re.MULTILINE) for cell in drafted if _is_code(cell))


def _is_code(cell: cells.Cell) -> bool:
    return cell.kind == "code"

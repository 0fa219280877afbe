"""Texts and tables among the outputs of a Jupyter notebook, bounded, and harmless in a comment and in markdown."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from daglab.migrating.comparing import noise

CHARACTERS = 200_000  # of one output that are looked at
LONGEST = 400  # characters of a line
ROWS, COLUMNS = 40, 20  # of a table
# What is of use to nobody, or shows a line as another: controls, marks of direction, halves of characters.
_HARMFUL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_NAME = re.compile(
    r"<[\w.]+(?: object)?(?: at 0x[0-9a-f]+)?>|<Figure size [^>]*>|<IPython\.[^>]*>|\[?<[^<>]* at 0x\w+>\]?"
)
_TOKEN = re.compile(r"<(/?)([a-zA-Z][\w-]{0,20})[^<>]*>|<!--|[^<]+|<")
_ACTIVE = re.compile(r"[\\`*_{}\[\]<>&$~^|=!#@]|:(?=[A-Za-z+-])")
_TICKS = re.compile(r"`+")


@dataclass(frozen=True)
class Text:
    """Lines without ends; of `last` ones, the end is what counts. `more` are lines that were left out."""

    lines: tuple[str, ...]
    last: bool = False
    more: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of texts, the first the head; `plain` is the same as lines. `more` are rows that were left out."""

    rows: tuple[tuple[str, ...], ...]
    plain: tuple[str, ...]
    more: int = 0


def texts(found: Any, between: str = "", *, last: bool = False) -> list[Text]:
    """What was printed, as a terminal would show it; nothing for nothing."""
    text = between.join(map(str, found)) if isinstance(found, list) else found if isinstance(found, str) else ""
    text = text[-CHARACTERS:] if last else text[:CHARACTERS]
    lines = _lines("\n".join(noise.overwritten(line) for line in noise.stripped(text).split("\n")))
    return [Text(lines, last)] if lines else []


def said(data: Mapping[str, Any]) -> Text | Table | None:
    """What an output with several forms says, in its best that is harmless: a table, text, or the words of its HTML."""
    plain, rich = (texts(data.get(mime)) for mime in ("text/plain", "text/html"))
    if rich:
        source = _text(data["text/html"])
        rows = table(source)
        if rows:
            return Table(tuple(rows), plain[0].lines if plain else tuple("  ".join(row) for row in rows))
    if plain and not is_mere_name(plain[0]):
        return plain[0]
    for mime in ("text/markdown", "text/latex", "application/json"):
        other = texts(_text(data.get(mime)))
        if other:
            return other[0]
    last = (texts(words_of(_text(data["text/html"]))) if rich else []) or plain
    return last[0] if last else None


def is_mere_name(piece: Text | Table) -> bool:
    """Whether a text only says of what kind an object is."""
    return isinstance(piece, Text) and len(piece.lines) == 1 and bool(_NAME.fullmatch(piece.lines[0]))


def size(piece: Text | Table) -> int:
    """How many lines it takes."""
    return len(piece.lines) if isinstance(piece, Text) else max(len(piece.rows), len(piece.plain))


def cut(piece: Text | Table, lines: int) -> Text | Table:
    """At most so many lines of it."""
    if size(piece) <= lines:
        return piece
    more = size(piece) - lines
    if isinstance(piece, Table):
        return Table(piece.rows[:lines], piece.plain[:lines], more)
    return Text(piece.lines[-lines:] if piece.last else piece.lines[:lines], piece.last, more)


def plain(piece: Text | Table) -> str:
    """As lines of text."""
    more = [f"... {piece.more} more lines"] if piece.more else []
    if isinstance(piece, Table):
        return "\n".join([*piece.plain, *more])
    return "\n".join([*more, *piece.lines] if piece.last else [*piece.lines, *more])


def markdown(piece: Text | Table) -> str:
    """As markdown in which nothing of it is markdown or HTML."""
    if isinstance(piece, Text):
        text = plain(piece)
        fence = "`" * max([3, *(len(each) + 1 for each in _TICKS.findall(text))])
        return f"{fence}text\n{text}\n{fence}"
    head, *rows = [[_quoted(each) for each in row] for row in piece.rows]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join([*lines, *(["", f"{piece.more} more rows"] if piece.more else [])])


def table(source: str) -> list[tuple[str, ...]]:
    """The rows of the only table in a text of HTML; none where it is not simple."""
    rows: list[list[str]] = []
    inside = tables = 0
    for kind, value in _tokens(source):
        if kind == "<table":
            tables += 1
        elif kind == "<tr":
            rows.append([])
        elif kind in ("<td", "<th") and rows:
            rows[-1].append("")
            inside = 1
        elif kind in ("</td", "</th", "</tr", "</table"):
            inside = 0
        elif not kind and inside and rows and rows[-1]:
            rows[-1][-1] += value
    found = [tuple(" ".join(_line(each).split()) for each in row) for row in rows if row]
    width = max((len(row) for row in found), default=0)
    if tables != 1 or len(found) < 2 or not 0 < width <= COLUMNS:
        return []
    return [(*row, *[""] * (width - len(row))) for row in found]


def words_of(source: str) -> str:
    """The text of HTML, a line for each of its blocks."""
    parts = []
    for kind, value in _tokens(source):
        block = kind.lstrip("</") in ("p", "div", "br", "tr", "li", "table", "ul", "ol", "pre", "h1", "h2", "h3", "h4")
        parts.append("\n" if kind and block else value)
    return "\n".join(filter(None, map(str.strip, "".join(parts).split("\n"))))


def _tokens(source: str) -> Iterator[tuple[str, str]]:
    """Tags ("<td", "</td") and texts of HTML, without styles and scripts; not what a browser makes of it, but safe."""
    skipped = ""
    for match in _TOKEN.finditer(source[:CHARACTERS]):
        name = (match[2] or "").lower()
        if skipped:
            skipped = "" if match[1] and name == skipped else skipped
        elif name in ("style", "script") and not match[1]:
            skipped = name
        elif name:
            yield f"<{match[1]}{name}", ""
        else:
            yield "", html.unescape(match[0])


def _text(found: Any) -> str:
    if isinstance(found, str):
        return found[:CHARACTERS]
    if isinstance(found, list) and all(isinstance(each, str) for each in found):
        return "".join(found)[:CHARACTERS]
    try:
        return "" if found is None else json.dumps(found, indent=1, ensure_ascii=False)[:CHARACTERS]
    except (TypeError, ValueError, RecursionError):
        return ""


def _lines(text: str) -> tuple[str, ...]:
    """Its lines, each without what could end it for anybody."""
    lines = [_line(line).rstrip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    return tuple(lines)


def _line(line: str) -> str:
    line = _HARMFUL.sub("\ufffd", line)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}... {len(line) - LONGEST} more characters"


def _quoted(text: str) -> str:
    """A table's cell without meaning to markdown or HTML."""
    return _ACTIVE.sub(lambda match: f"&#{ord(match[0])};", text) or " "

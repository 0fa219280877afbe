"""Where IPython's own syntax stands in a cell: `%magic`, `!command`, `name?` and their like.

An escape begins a logical line, or stands right of the first `=` of one; never in a string, in brackets, or in a line
that continues another. `pieces` finds them in one pass over the text, whatever stands in it.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import cast

MARKS = ("!!", "??", "!", "?", "%", ",", ";", "/")
LONGEST_NAME = 300  # characters of what help is asked about
_NO_MARKS = ("!=", "%=", "//", "/=")  # one token to Python
_TOKEN = re.compile(
    r"""(?P<quote>\"""|'''|"|')|(?P<comment>\#[^\n]*)|(?P<continued>\\\r?\n)|(?P<newline>\n)|(?P<open>[(\[{])"""
    r"""|(?P<close>[)\]}])|(?P<operator>//=|\*\*=|<<=|>>=|[-+*/%&|^@:=<>!]=)|(?P<equals>=)|(?P<word>\w+)"""
    r"""|(?P<space>[ \t\f\r]+)|(?:\\(?!\r?\n))+|.""",
    re.DOTALL,
)
_ENDS = {
    quote: re.compile(rf"\\.|{quote}" + ("" if len(quote) == 3 else r"|(?=\n)"), re.DOTALL)
    for quote in ("'''", '"""', "'", '"')
}
_HELP = re.compile(r"%{0,2}(?!\d)[\w*]+(?:\.(?!\d)[\w*]+|\[-?[0-9]+\])*\?\??$")
_ASSIGNED = re.compile(r"[ \t]*(?:%(?=[ \t]*[^\W\d])|!(?!=))")
_BLANK = re.compile(r"[ \t\f]*")
_PYTHON_PROMPT = re.compile(r"^[ \t]*>>>[ \t]?")
_CONTINUED_PROMPT = re.compile(r"^[ \t]*\.\.\.[ \t]?")
_IPYTHON_PROMPT = re.compile(r"^(?:(?:(?:\[nav\]|\[ins\])? )?In \[\d+\]: |\s*\.{3,}: ?)")


@dataclass(frozen=True)
class Escape:
    """One escape: what stands before it on its line (an indent, or `x = `), its mark, and its text, put together.

    `source` are its lines as they were written; `open` says that the line's beginning lies on a line above.
    """

    before: str
    mark: str
    text: str
    source: str
    open: bool = False

    @property
    def indent(self) -> str:
        """The white space at the line's beginning."""
        return self.before[: len(self.before) - len(self.before.lstrip())]

    @property
    def target(self) -> str:
        """What it is assigned to, with the `=`; empty when it is a statement by itself."""
        return self.before.strip()

    @property
    def name(self) -> str:
        """A magic's name."""
        return self.text.partition(" ")[0]

    @property
    def arguments(self) -> str:
        """What follows a magic's name."""
        return self.text.partition(" ")[2]


@dataclass(frozen=True)
class CellMagic:
    """A `%%magic` that has the whole cell."""

    name: str
    arguments: str
    body: str


def cleaned(code: str) -> str:
    """A cell as IPython takes it: without leading empty lines, common indent, and prompts that were pasted."""
    lines = code.replace("\r\n", "\n").split("\n")
    if lines[-1] and not lines[-1].strip():
        lines.append("")  # IPython ends a cell with a newline before it looks at the indent
    first = next((at for at, line in enumerate(lines) if line.strip()), 0)
    lines = lines[first:]
    text = textwrap.dedent("\n".join(lines))
    if ">>>" in text:
        text = _without_prompts(text)
    lines = text.split("\n")
    if any(_IPYTHON_PROMPT.match(line) for line in lines[:2]):
        lines = [_IPYTHON_PROMPT.sub("", line, count=1) for line in lines]
    return "\n".join(lines)


def cell_magic(code: str) -> CellMagic | None:
    """The cell magic of a cleaned cell: on its first line, before any comment; None without one."""
    first, _, body = (code if code.endswith("\n") else f"{code}\n").partition("\n")
    if not first.startswith("%%") or re.match(r"%%\w+\?", first):
        return None
    name, _, arguments = first[2:].rstrip().partition(" ")
    return CellMagic(name, arguments, body)


def pieces(code: str) -> list[str | Escape]:
    """A cleaned cell in pieces of whole lines, in order: Python as it is, and escapes."""
    found: list[str | Escape] = []
    done = at = 0
    while at < len(code):
        escape = _first(code, at)
        if escape is None:
            begin, equals, at = _logical(code, at)
            if equals is None:
                continue
            start, line = equals, code.rfind("\n", 0, equals) + 1
            escape = _at(code, start, line, opened=line > begin)
        else:
            line = at
        if line > done:
            found.append(code[done:line])
        found.append(escape)
        done = at = line + len(escape.source)
    if done < len(code):
        found.append(code[done:])
    return found


def _first(code: str, at: int) -> Escape | None:
    """The escape that begins the logical line at this place."""
    start = _BLANK.match(code, at).end()  # type: ignore[union-attr]
    if code.startswith(MARKS, start) and not code.startswith(_NO_MARKS, start):
        return _at(code, start, at)
    end = code.find("\n", start)
    line = code[start : len(code) if end < 0 else end]
    if line.endswith("?") and _ends_asking(line):
        return Escape(code[at:start], "?", line, code[at : start + len(line) + 1])
    return None


def _at(code: str, start: int, line: int, *, opened: bool = False) -> Escape:
    """The escape at a place, its continued lines put together as IPython does."""
    end = start
    parts = []
    while True:
        newline = code.find("\n", end)
        stop = len(code) if newline < 0 else newline
        parts.append(code[end:stop])
        end = min(stop + 1, len(code))
        if newline < 0 or not parts[-1].endswith("\\") or end == len(code):
            break
    text = " ".join([*(part[:-1] for part in parts[:-1]), parts[-1].rstrip()])
    before, source = code[line:start], code[line:end]
    if not before.strip() and text.endswith("?") and _ends_asking(text):
        return Escape(before, "?", text, source)
    mark = next(each for each in MARKS if text.startswith(each) and (len(each) == 1 or not before.strip()))
    return Escape(before, mark, text[len(mark) :], source, opened)


def _ends_asking(line: str) -> bool:
    """Whether a line ends in `name?`, outside of strings, brackets and comments."""
    if not _HELP.search(line[-LONGEST_NAME:]):
        return False
    depth = at = 0
    while at < len(line):
        token = _token(line, at)
        kind = token.lastgroup
        if kind == "comment":
            return False
        depth = max(0, depth + (kind == "open") - (kind == "close"))
        at = _string_end(line, token) if kind == "quote" else token.end()
        if kind == "quote" and at >= len(line):
            return False
    return depth == 0


def _logical(code: str, at: int) -> tuple[int, int | None, int]:
    """A logical line of Python: its beginning, where an escape is assigned in it, and where the next one begins."""
    begin, depth, assigns = at, 0, True
    while at < len(code):
        token = _token(code, at)
        kind = token.lastgroup
        at = _string_end(code, token) if kind == "quote" else token.end()
        if kind == "newline" and not depth:
            break
        depth = max(0, depth + (kind == "open") - (kind == "close"))
        if kind == "equals" and not depth and assigns:
            assigns = False
            hit = _ASSIGNED.match(code, at)
            if hit and _allowed(code, token.start(), hit):
                return begin, hit.end() - 1, at
    return begin, None, at


def _token(code: str, at: int) -> re.Match[str]:
    return cast("re.Match[str]", _TOKEN.match(code, at))  # any character is one


def _allowed(code: str, equals: int, hit: re.Match[str]) -> bool:
    """A command is assigned only where its `=` does not begin a line."""
    return hit[0].endswith("%") or bool(code[code.rfind("\n", 0, equals) + 1 : equals].strip())


def _string_end(code: str, token: re.Match[str]) -> int:
    """Where the string that begins here ends: one that is never closed, with its line or with the text."""
    end = token.end()
    while hit := _ENDS[token[0]].search(code, end):
        end = hit.end()
        if not hit[0].startswith("\\"):
            return end
    return len(code)


def _without_prompts(text: str) -> str:
    lines, inside = text.split("\n"), ""
    kept, stripped = [], any(_PYTHON_PROMPT.match(line) for line in _outside(text))
    if not stripped:
        return text
    for line in lines:
        plain = line
        if not inside:
            plain = _PYTHON_PROMPT.sub("", line, count=1)
            plain = _CONTINUED_PROMPT.sub("", line, count=1) if plain == line else plain
        kept.append(plain)
        inside = _quote_after(plain, inside)
    return textwrap.dedent("\n".join(kept))


def _outside(text: str) -> list[str]:
    """The lines that do not begin within a string of three quotes."""
    lines, inside = [], ""
    for line in text.split("\n"):
        if not inside:
            lines.append(line)
        inside = _quote_after(line, inside)
    return lines


def _quote_after(line: str, inside: str) -> str:
    for quote in re.findall(r"(?<!\\)(\"\"\"|''')", line):
        inside = quote if not inside else "" if quote == inside else inside
    return inside

"""A markdown text in a form in which it comes through marimo's converter, and its editor's saving, unchanged."""

from __future__ import annotations

import dataclasses
import re

from daglab.migrating import cells

_BARE_TAG = re.compile(r"</?p\s*>", re.IGNORECASE)  # marimo strips these
_CHANGED = re.compile(
    r"""
    ""                  # escaped, in a raw text where an escape is two characters
    | \n\n\n            # made one blank line, in code too
    | ^[%!]             # taken for a magic
    | ^[ ]*mo\.md\(     # taken for a second text
    | (?<![ ])[ ]{2,}\n # a line break of Markdown, which marimo strips
    | [\x00-\x08\x0b-\x1f\x7f-\xa0\u2028\u2029\ufeff]  # taken for the end of a line, or replaced
    """,
    re.MULTILINE | re.VERBOSE,
)
_CODE = re.compile(r"^ {4}|```|~~~|<pre", re.IGNORECASE)  # where an empty line more means something
_ANCHOR = "<!-- -->\n\n"  # what stands at the margin, shows nothing, and keeps code behind it from being dedented


def settled(cell: cells.Cell) -> cells.Cell:
    """The cell with its text trimmed, as markdown where that keeps it, else as code that says `mo.md(text=...)`.

    By the name of its argument marimo does not take the code for a markdown cell, and leaves it as it is.
    """
    text = trimmed(cell.code)
    if _plain(text):
        return dataclasses.replace(cell, code=text)
    lines = text.split("\n")
    pieces = [repr(line + "\n") for line in lines[:-1]] + [repr(lines[-1])]
    # The first line is empty: by it alone cleandoc, through which marimo sends the text, would not know the margin.
    code = "\n".join(["daglab__mo.md(", '    text="\\n"', *(f"    {piece}" for piece in pieces), ")"])
    return dataclasses.replace(cell, kind="code", code=code, hidden=True)


def trimmed(text: str) -> str:
    """The text without blank lines around it, and without blanks and blank lines where they mean nothing."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs().split("\n")
    told = [index for index, line in enumerate(lines) if line.strip(" ")]
    if not told:
        return ""
    lines = lines[told[0] : told[-1] + 1]
    margin = min(len(line) - len(line.lstrip(" ")) for line in lines if line.strip(" "))
    if not any(_CODE.search(line) for line in lines):
        lines = [
            line for line, before in zip(lines, ["", *lines], strict=False) if line.strip(" ") or before.strip(" ")
        ]
    lines = [_ended(line, after) for line, after in zip(lines, [*lines[1:], ""], strict=True)]
    if margin >= 4:  # a block of code
        return _ANCHOR + "\n".join(lines)
    return "\n".join(line[margin:] for line in lines)


def _ended(line: str, after: str) -> str:
    """The line with the two blanks at its end that break it, or none."""
    bare = line.rstrip(" ")
    return f"{bare}  " if bare and after.strip(" ") and len(line) - len(bare) >= 2 else bare


def _plain(text: str) -> bool:
    """Whether marimo leaves the text as it is when it is the text of a markdown cell."""
    return not (_CHANGED.search(text) or _BARE_TAG.search(text) or text.startswith(" "))

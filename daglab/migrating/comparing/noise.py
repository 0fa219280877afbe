"""What differs between two runs of the very same code and means nothing: addresses, clocks, temporary places."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# Where a warning was given, and the line of code that Python shows below it.
_WARNING = re.compile(r"^[^\n:]*:\d+: (\w*Warning: [^\n]*)(?:\n  [^\n]*)?", re.MULTILINE)
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
# What `print(__doc__)` prints where a notebook has no text of its own for it.
_DOC = re.compile(
    r"^(?:Automatically created module for IPython interactive environment|Created for the marimo kernel\.)$",
    re.MULTILINE,
)
_FILES = re.compile(r"(?:/[^\s\"'<>]{0,200}/)?ipykernel_\d+/\d+\.py|<ipython-input-\d+-[0-9a-f]+>|<cell line: \d+>")


def stripped(text: str) -> str:
    """A text without a terminal's colours."""
    return _ANSI.sub("", text)


def settled(text: str, folders: Sequence[tuple[str, str]] = ()) -> str:
    """A printed text as it would be in any run; `folders` are temporary ones and what stands for them."""
    for folder, meant in folders:
        text = text.replace(folder, meant)
    lines = (overwritten(line) for line in stripped(text).replace("\r\n", "\n").split("\n"))
    text = "\n".join(line for line in lines if not _is_clock(line))
    text = _ADDRESS.sub("at 0x", _WARNING.sub(r"\1", _FILES.sub("CELL.py", text)))
    text = _DOC.sub("None", text)
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def _is_clock(line: str) -> bool:
    """Whether a line is what `%%time`, `%timeit` or tqdm tells."""
    return line.startswith(("CPU times: ", "Wall time: ")) or "%|" in line or " per loop (mean " in line


def overwritten(line: str) -> str:
    """What a terminal shows of a line that goes back to its beginning."""
    parts = [part for part in line.split("\r") if part]
    return parts[-1] if parts else ""


def difference(one: str, other: str, longest: int = 80) -> str:
    """The first lines at which two texts differ, cut."""
    before, after = one.split("\n"), other.split("\n")
    for number in range(max(len(before), len(after))):
        pair = [lines[number] if number < len(lines) else None for lines in (before, after)]
        if pair[0] != pair[1]:
            said = [_cut(line, longest) for line in pair]
            return f"line {number + 1}: {said[0]} before, {said[1]} now"
    return "no difference"


def _cut(line: str | None, longest: int) -> str:
    if line is None:
        return "nothing"
    return repr(line if len(line) <= longest else f"{line[: longest - 3]}...")

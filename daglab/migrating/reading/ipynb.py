"""The file of a Jupyter notebook: its bytes, its encoding, its JSON, and what it is instead where it is none."""

from __future__ import annotations

import codecs
import difflib
import errno
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from daglab import errors
from daglab.migrating import cells

LARGEST = 1 << 28  # bytes
DEEPEST = 200  # objects and lists within each other; every later stage may recurse this far
LONGEST_NUMBER = 400  # digits; Python itself refuses to print an int of more than 4300
NAME_ONE = "Name an .ipynb file."

# How a file begins that is something else -> what it is, and what helps.
_MAGIC = (
    (b"\x1f\x8b", "gzip", "Unpack it first: gunzip"),
    (b"PK\x03\x04", "a zip archive", "Unpack it first: unzip"),
    (b"BZh", "bzip2", "Unpack it first: bunzip2"),
    (b"\xfd7zXZ", "xz", "Unpack it first: unxz"),
    (b"\x28\xb5\x2f\xfd", "zstd", "Unpack it first: unzstd"),
    (b"\x89PNG", "a PNG picture", NAME_ONE),
    (b"\xff\xd8\xff", "a JPEG picture", NAME_ONE),
    (b"GIF8", "a GIF picture", NAME_ONE),
    (b"%PDF", "a PDF", NAME_ONE),
    (b"\x7fELF", "a program", NAME_ONE),
    (b"SQLite format 3", "an SQLite database", NAME_ONE),
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONFLICT = re.compile(r"^(?:<{7}|>{7}|={7})(?: |$)", re.MULTILINE)
_SCRIPT = re.compile(r"^# %%|^# In\[|^# ---\s*\n# jupyter:|^(?:import|from|def|class) \w", re.MULTILINE)
_LONE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Loaded:
    """The JSON object in a file, the file's bytes, and what had to be done to read it."""

    body: dict[str, Any]
    content: bytes
    notes: tuple[cells.Note, ...] = ()


def load(path: Path) -> Loaded:
    """Read a file's JSON object, its texts fit to be written as UTF-8.

    Raises NotSetUp when there is no such file, InvalidInput when it can't be read or holds something else.
    """
    content = _content(path)
    text, notes = _text(path, content)
    body = _parsed(path, text)
    if not isinstance(body, dict):
        kind = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(body), "a number")
        raise errors.InvalidInput(f"{path} is no Jupyter notebook: its JSON is {kind}, not an object.", NAME_ONE)
    if _settle(path, body, bool(_LONE.search(text))):
        notes.append(cells.Note("format", "Half characters (lone surrogates) in it were replaced by \ufffd."))
    return Loaded(body, content, tuple(notes))


def _content(path: Path) -> bytes:
    """The bytes of an ordinary file; a pipe or a device is never waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            _look(path, found)
            content = file.read(LARGEST + 1)  # it may grow under us
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        _unreadable(path, error)
    if len(content) > LARGEST:
        _too_large(path)
    return content


def _look(path: Path, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise errors.InvalidInput(f"{path} is a folder.", "Name the notebooks in it, or add --recursive.")
    if not stat.S_ISREG(found.st_mode):
        raise errors.InvalidInput(f"{path} is no ordinary file.", NAME_ONE)
    if found.st_size > LARGEST:
        _too_large(path)


def _too_large(path: Path) -> NoReturn:
    raise errors.InvalidInput(
        f"{path} is larger than {LARGEST >> 20} MB.",
        "Take its outputs out first, in a copy: jupyter nbconvert --clear-output --to notebook FILE",
    )


def _unreadable(path: Path, error: OSError | ValueError) -> NoReturn:
    if isinstance(error, FileNotFoundError):
        raise errors.NotSetUp(f"There is no file {path}.", _nearest(path)) from None
    if isinstance(error, IsADirectoryError):
        raise errors.InvalidInput(f"{path} is a folder.", "Name the notebooks in it, or add --recursive.") from None
    if isinstance(error, OSError) and error.errno in (errno.ENXIO, errno.ENODEV):  # a socket
        raise errors.InvalidInput(f"{path} is no ordinary file.", NAME_ONE) from None
    if isinstance(error, OSError):
        why = os.strerror(error.errno) if error.errno else str(error)
        hint = f"Make it readable: chmod u+r {path}" if isinstance(error, PermissionError) else NAME_ONE
        raise errors.InvalidInput(f"{path} can't be read: {why}.", hint) from None
    raise errors.InvalidInput(f"{str(path)!r} is no name of a file: {error}.", NAME_ONE) from None


def _nearest(path: Path) -> str:
    try:
        there = [each for each in os.listdir(path.parent) if each.endswith(".ipynb")]
    except OSError:
        return NAME_ONE
    near = difflib.get_close_matches(path.name, there, 3)
    return f"Did you mean {', '.join(near)}?" if near else NAME_ONE


def _text(path: Path, content: bytes) -> tuple[str, list[cells.Note]]:
    """The text in a file and how it was found: by its mark, as UTF-8, as UTF-16 without a mark, at last as cp1252."""
    for magic, what, hint in _MAGIC:
        if content.startswith(magic):
            raise errors.InvalidInput(f"{path} is no Jupyter notebook: it is {what}.", hint)
    mark = next((encoding for start, encoding in _MARKS if content.startswith(start)), None)
    encoding = mark or json.detect_encoding(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8" or content.lstrip()[:1] not in (b"{", b"["):
            raise errors.InvalidInput(
                f"{path} is no Jupyter notebook: it is no text (see byte {error.start}).", NAME_ONE
            ) from None
        text = "".join(_byte(each) for each in re.split(rb"([\x80-\xff]+)", content))
        notes = [cells.Note("format", f"Not UTF-8 (byte {error.start}): read as Windows-1252.", None, True)]
        return text, notes
    named = {"utf-8": None, "utf-8-sig": "has a byte order mark"}.get(encoding, f"is {encoding.upper()}")
    return text, [cells.Note("format", f"The file {named}.")] if named else []


def _byte(piece: bytes) -> str:
    try:
        return piece.decode("cp1252")
    except UnicodeDecodeError:  # a few bytes are none in cp1252
        return piece.decode("latin-1")


def _parsed(path: Path, text: str) -> Any:
    text = text.rstrip("\0")  # a file system that crashed leaves a tail of these
    if not text.strip():
        raise errors.InvalidInput(f"{path} is empty.", NAME_ONE)
    try:
        return json.loads(text, strict=False, parse_int=_number)
    except json.JSONDecodeError as error:
        _not_json(path, text, error)
    except (RecursionError, MemoryError):
        _too_deep(path)


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < LONGEST_NUMBER else float(digits)


def _too_deep(path: Path) -> NoReturn:
    raise errors.InvalidInput(
        f"{path} is no Jupyter notebook: its JSON is nested more than {DEEPEST} deep.",
        "Clear the outputs of the cell that holds it.",
    )


def _not_json(path: Path, text: str, error: json.JSONDecodeError) -> NoReturn:
    conflict = _CONFLICT.search(text)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        raise errors.InvalidInput(
            f"{path} has an unresolved git merge conflict at line {line}.",
            "Settle it first: git checkout --ours FILE, --theirs, or nbdime's nbmerge.",
        )
    what, hint = _instead(path, text)
    if what:
        raise errors.InvalidInput(f"{path} is no Jupyter notebook: it is {what}.", hint)
    where = f"line {error.lineno} column {error.colno}"
    if not text.rstrip().endswith(("}", "]")):
        raise errors.InvalidInput(
            f"{path} is no Jupyter notebook: its JSON is cut off ({error.msg} at {where}).",
            "Take a whole copy of it, from .ipynb_checkpoints or version control.",
        )
    raise errors.InvalidInput(
        f"{path} is no Jupyter notebook: its JSON is wrong at {where}: {error.msg}.",
        "Mend it there, or take a whole copy of it, from .ipynb_checkpoints or version control.",
    )


def _instead(path: Path, text: str) -> tuple[str, str]:
    """What a text that is no JSON is, and what helps; empty where nothing is known of it."""
    start = text.lstrip()[:1000]
    if start.startswith("<"):
        return "HTML or XML", "Name the notebook that it was made of."
    if start.startswith("version https://git-lfs"):
        return "a pointer of Git LFS", "Fetch the file itself: git lfs pull"
    if "marimo.App(" in text[:100_000] and "import marimo" in text[:100_000]:
        return "a marimo notebook already", f"Open it: marimo edit {path}"
    if start[:1] not in ("{", "[") and (path.suffix in (".py", ".md", ".Rmd", ".qmd") or _SCRIPT.search(start)):
        return "a script or a text", "marimo makes a notebook of a .py or .md file itself: marimo convert FILE"
    return "", NAME_ONE


def _settle(path: Path, body: dict[str, Any], half: bool) -> bool:
    """Look how deep an object goes, and with `half` replace lone surrogates in it; whether there were some."""
    found = False
    todo: list[tuple[Any, int]] = [(body, 1)]
    while todo:
        holder, depth = todo.pop()
        if depth > DEEPEST:
            _too_deep(path)
        if half and isinstance(holder, dict) and any(_SURROGATE.search(key) for key in holder):
            items = [(_SURROGATE.sub("\ufffd", key), value) for key, value in holder.items()]
            holder.clear()
            holder.update(items)
            found = True
        for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            if isinstance(value, (dict, list)):
                todo.append((value, depth + 1))
            elif half and isinstance(value, str) and _SURROGATE.search(value):
                holder[key] = _SURROGATE.sub("\ufffd", value)
                found = True
    return found

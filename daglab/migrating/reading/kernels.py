"""The language of a Jupyter notebook, by what it says of its kernel and, where it says nothing, by its code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daglab import errors
from daglab.migrating import cells, edits

LONGEST_TEXT = 20_000  # characters
LONGEST_LINE = 200
# How kernels of Python call themselves or their language; an environment's kernel may be called anything.
_PYTHON = re.compile(r"x?i?python[\d. ]*|pypy[\d.]*|pyodide|pyolite|py\d*|metakernel_python", re.IGNORECASE)
_PYTHON_KERNEL = re.compile(r"python|conda|venv|\bpy\d|ipykernel", re.IGNORECASE)
# Kernels that call their language Python although their code is none, or runs elsewhere.
_NOT_QUITE = (
    (re.compile(r"sage", re.IGNORECASE), "SageMath"),
    (
        re.compile(r"py3?spark3?kernel|pyspark3kernel|glue_pyspark|synapse_pyspark", re.IGNORECASE),
        "PySpark on a server",
    ),
    (re.compile(r"^sos$", re.IGNORECASE), "SoS"),
)
_FOREIGN_KERNEL = re.compile(
    r"ir\b|ir\d*|irkernel|r|ark|xr|julia.*|ijulia.*|bash|zsh|sh|calysto_.*|octave|xoctave|(?:imatlab|matlab).*|xcpp.*|xc\d*|"
    r"cling.*|\.net.*|gophernotes|go|gonb|rust|evcxr|deno|javascript|jslab|typescript|tslab|node.*|scala.*|almond.*|"
    r"spylon.*|apache_toree.*|spark.*|java|kotlin|ruby|perl|iperl|php|haskell|ihaskell|ocaml.*|lua|xlua|xsql.*|sql|"
    r"sas|stata|mathematica|wolframlanguage.*|maxima|racket|clojure|elixir|erlang|raku|swift|nim|coq|lean.*|powershell",
    re.IGNORECASE,
)
# What stands at the beginning of a line of other languages, and of no Python.
_SIGNS = (
    ("R", re.compile(r"^[ \t]*[\w.$]+\s*<-\s*\S|^[ \t]*library\(\w+\)[ \t]*$|%>%|<-\s*function\(", re.MULTILINE)),
    ("Julia", re.compile(r"^[ \t]*using \w|^[ \t]*end[ \t]*$|^[ \t]*println\(|^[ \t]*function \w", re.MULTILINE)),
    ("bash", re.compile(r"^#!.*\bsh\b|^[ \t]*(?:echo |fi\b|done\b|export \w+=|esac\b|sudo )", re.MULTILINE)),
    (
        "JavaScript",
        re.compile(r"^[ \t]*(?:const|let|var) \w+ ?=|console\.log\(|=>\s*\{|^[ \t]*function \w", re.MULTILINE),
    ),
    ("Scala", re.compile(r"^[ \t]*(?:val|var|object|case class) \w+\b.*[={]|^import \w[\w.]*\._", re.MULTILINE)),
    ("C++", re.compile(r"^[ \t]*#include\b|\bstd::|;[ \t]*$", re.MULTILINE)),
    ("SQL", re.compile(r"^[ \t]*(?:select|insert into|create table|with \w+ as \()\b", re.MULTILINE | re.IGNORECASE)),
)
_IPYTHON = re.compile(r"^[ \t]*[%!?].*$|^.*\?[ \t]*$|=[ \t]*[!%].*$", re.MULTILINE)
# Names by which a cell says its language -> the language, where it isn't simply the name.
_CALLED = {"shellscript": "bash", "ir": "R", "csharp": "C#", "fsharp": "F#", "cpp": "C++"}


def check(path: Path, metadata: Mapping[str, Any], found: Sequence[cells.Original]) -> tuple[cells.Note, ...]:
    """See that a notebook is in Python; notes for what is to know. Raises InvalidInput with the kernel's name."""
    spec, info = _mapping(metadata, "kernelspec"), _mapping(metadata, "language_info")
    kernel = _text(spec, "name") or _text(spec, "display_name")
    for name in (kernel, _text(spec, "display_name"), _text(info, "name"), _text(spec, "language")):
        for sign, what in _NOT_QUITE:
            if sign.search(name):
                _refuse(path, what, kernel or name)
    claims = [claim for claim in (_text(spec, "language"), _text(info, "name"), _text(metadata, "language")) if claim]
    foreign = [claim for claim in claims if not _PYTHON.fullmatch(claim)]
    if foreign and len(foreign) == len(claims):
        _refuse(path, foreign[0], kernel)
    if not claims and kernel and not _PYTHON_KERNEL.search(kernel) and _FOREIGN_KERNEL.fullmatch(kernel):
        _refuse(path, None, kernel)
    codes = [each for each in found if each.kind == "code" and each.source.strip()]
    of_cells = [language(each) for each in codes]
    if codes and all(of_cells):
        _refuse(path, of_cells[0], kernel)
    if foreign or not (claims or _PYTHON_KERNEL.search(kernel)):
        guess = guessed(codes)
        if guess:
            _refuse(path, guess, kernel, by_code=not foreign)
    return _old(kernel, _text(info, "version"))


def language(cell: cells.Original) -> str | None:
    """The other language than Python that a cell says it is in; None for Python."""
    said = (
        _text(_mapping(cell.metadata, "vscode"), "languageId"),
        _text(_mapping(cell.metadata, "polyglot_notebook"), "kernelName"),
        _text(_mapping(cell.metadata, "dotnet_interactive"), "language"),
        _text(cell.metadata, "kernel"),
        _text(cell.metadata, "language"),
    )
    for name in said:
        if name and not (_PYTHON.fullmatch(name) or _PYTHON_KERNEL.search(name)):
            return _CALLED.get(name.lower(), name)
    return None


def guessed(codes: Sequence[cells.Original]) -> str | None:
    """The other language that the code of a notebook looks to be in, by at least half of its cells; None for Python."""
    whole = [each.source for each in codes if not each.source.lstrip().startswith("%%")]
    plain = list(map(beginning, whole))
    broken = sum(len(source) <= LONGEST_TEXT and edits.parsed(_IPYTHON.sub("", source)) is None for source in whole)
    for name, sign in _SIGNS:
        signed = sum(bool(sign.search(source)) for source in plain)
        # `x <- 5` is Python, of which nothing comes: R needs no cell that is none.
        if plain and 2 * signed >= len(plain) and (name == "R" or 2 * broken >= len(plain)):
            return name
    return None


def beginning(source: str) -> str:
    """As much of a cell's text as tells its language: an expression may take its time for a line without end."""
    return "\n".join(line[:LONGEST_LINE] for line in source[:LONGEST_TEXT].split("\n"))


def _refuse(path: Path, name: str | None, kernel: str, *, by_code: bool = False) -> None:
    by = f" (kernel {kernel})" if kernel and kernel.lower() != (name or "").lower() else ""
    looks = "looks to be in" if by_code else "is in"
    said = f"{path} {looks} {_clean(name)}{_clean(by)}" if name else f"{path} is for the kernel {_clean(kernel)}"
    hint = "Only Python notebooks can become marimo's."
    if by_code:
        hint += ' If it is Python, say so in its metadata: "kernelspec": {"name": "python3", "language": "python"}.'
    raise errors.InvalidInput(f"{said}, not in Python.", hint)


def _old(kernel: str, version: str) -> tuple[cells.Note, ...]:
    if not (re.fullmatch(r"i?python ?2[\d.]*", kernel, re.IGNORECASE) or version.startswith("2.")):
        return ()
    text = "Written for Python 2: what means another thing in Python 3, such as 1/2, is left as it is."
    return (cells.Note("format", text, None, True),)


def _mapping(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, Mapping) else {}


def _text(holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name)
    return value.strip() if isinstance(value, str) else ""


def _clean(text: str | None) -> str:
    """A name out of the file as one short printable line."""
    return "".join(each if each.isprintable() else "?" for each in text or "")[:80]

"""Environment files, in python-dotenv's syntax, which Dagster reads `.env` with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from daglab import errors, files

# One assignment, comment or empty line. A quoted value may go over several lines, an unquoted one ends before ` #`.
_LINE = re.compile(
    r"""
    \s*
    (?:export[^\S\r\n]+(?![^\S\r\n]*(?:[\r\n]|\Z))|(?!export[^\S\r\n]))
    (?:
        (?:'(?P<quoted>[^']+)'|(?!')(?P<name>[^=\#\s]+))
        [^\S\r\n]*
        (?P<assigned>=
            (?:
                [^\S\r\n]+(?=\#)
                |[^\S\r\n]*'(?P<single>(?:\\.|[^'\\])*)'
                |[^\S\r\n]*"(?P<double>(?:\\.|[^"\\])*)"
                |(?![^\S\r\n]*['"])(?P<plain>[^\r\n]*)
            )
        )?
    )?
    (?:[^\S\r\n]*\#[^\r\n]*)?
    [^\S\r\n]*(?:\r\n|\n|\r|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_VARIABLE = re.compile(r"\$\{(?P<name>[^}:]*)(?::-(?P<default>[^}]*))?\}")


def read(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file, by name; `${NAME}` and `${NAME:-default}` are put in, `environ` first.

    A name without `=` has no value and is left out. Raises `NotSetUp` for a file that is missing, and `InvalidInput`,
    with the line, for one that can't be read.
    """
    return parse(files.read_text(path, "environment file"), environ, str(path))


def parse(text: str, environ: Mapping[str, str], place: str) -> dict[str, str]:
    """As `read`, of a text; errors start with `place`."""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise errors.InvalidInput(f"{place}:{line}: no variable can hold a NUL.", "Take it out.")
    text = text.removeprefix("\ufeff")
    found: dict[str, str | None] = {}
    position = 0
    while position < len(text):
        match = _LINE.match(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise errors.InvalidInput(
                f"{place}:{line}: this is not NAME=VALUE.", "A value with blanks, # or quotes stands in quotes."
            )
        position = match.end()
        name = match["quoted"] or match["name"]
        if name:
            found[name] = _value(match, {**found, **environ}) if match["assigned"] else None
    return {name: value for name, value in found.items() if value is not None}


def _value(match: re.Match[str], known: Mapping[str, str | None]) -> str:
    if match["single"] is not None:
        text = re.sub(r"\\([\\'])", r"\1", match["single"])
    elif match["double"] is not None:
        text = re.sub(r"""\\([\\'"abfnrtv])""", lambda found: _ESCAPES.get(found[1], found[1]), match["double"])
    else:
        text = re.sub(r"(?<!\s)\s+#.*", "", match["plain"] or "").strip()
    # Behind the last } there is no variable, and each ${ would be looked at to the end.
    end = text.rfind("}") + 1
    return _VARIABLE.sub(lambda found: known.get(found["name"], found["default"]) or "", text[:end]) + text[end:]

"""Parameters of a notebook: from a YAML file, `-P key=value`, and the words after `--`, as marimo hands them over.

A notebook reads them with `mo.cli_args()`. marimo makes a number of what looks like one and true or false of these
words, whatever it was before; what is recorded is what the notebook sees.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daglab import errors, files, parse, redaction

_NAME = re.compile(r"[^\W\d][\w.-]{0,99}")
_HINT = "A parameter is KEY=VALUE, its value text, a number, true, false or null."


def words(file: Path | None, pairs: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """What the notebook gets as its command line: parameters as `--key=value`, and the arguments as they are.

    A pair wins over the file. Raises NotSetUp or InvalidInput for the file, InvalidInput for what is no parameter, and
    for one that is among the arguments, too.
    """
    found = _from_file(file) if file else {}
    for name, text in parse.whole_pairs(pairs, "-P", "parameter").items():
        found[name] = _scalar(text)
    made = [word for name, value in found.items() for word in _words(name, value)]
    if twice := sorted(found.keys() & seen(arguments).keys()):
        raise errors.InvalidInput(f"The parameter {twice[0]} is given twice.", "Give it before -- or after it.")
    return [*made, *arguments]


def seen(arguments: Sequence[str]) -> dict[str, Any]:
    """What a notebook finds in `mo.cli_args()`: text, whole numbers, others, true and false; lists of what is repeated.

    A word without a dash belongs to the one before it.
    """
    joined: list[str] = []
    for word in arguments:
        if word.startswith("-"):
            joined.append(word)
        elif joined:
            joined[-1] += f" {word}"
    found: dict[str, Any] = {}
    for word in joined:
        bare = word.lstrip("-")
        if "=" in bare:
            name, _, text = bare.partition("=")
        else:
            name, _, text = (part.strip() for part in bare.partition(" ")) if " " in bare else (bare, "", "")
        value = _read(text)
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def recorded(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they may be kept and shown: stars for what looks like a secret by its name."""
    return {
        name: redaction.MASK if redaction.looks_secret(name) else _json(value) for name, value in parameters.items()
    }


def hide_secrets(parameters: Mapping[str, Any]) -> None:
    """Leave the values of parameters that look like secrets out of all that daglab prints and keeps."""
    for name, value in parameters.items():
        if redaction.looks_secret(name):
            for each in value if isinstance(value, list) else [value]:
                redaction.hide(str(each))


def _from_file(path: Path) -> dict[str, Any]:
    text = files.read_text(path, "file of parameters")
    return parse.run_config(text, f"file of parameters {path}") if text.strip() else {}


def _scalar(text: str) -> Any:
    """Text as YAML reads it where that is a single value, else as it is; a date stays text."""
    if "\n" in text or not text.strip():
        return text
    try:
        value = parse.run_config(f"value: {text}", "parameter").get("value")
    except errors.InvalidInput:
        return text
    return text if isinstance(value, (dict, list)) else value


def _words(name: str, value: Any) -> list[str]:
    if not _NAME.fullmatch(name):
        raise errors.InvalidInput(
            f"{name!r:.60} is no name of a parameter.", "Letters, digits, '_', '-' and '.' make one, a letter first."
        )
    each = value if isinstance(value, list) else [value]
    return [f"--{name}={_text(name, item)}" for item in each]


def _text(name: str, value: Any) -> str:
    """The word that marimo reads as the value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and "\0" not in value:
        return value
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    raise errors.InvalidInput(f"The parameter {name} holds what no command line can.", _HINT)  # it may be a secret


def _read(text: str) -> Any:
    """As marimo does."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "True": True, "false": False, "False": False}.get(text, text)


def _json(value: Any) -> Any:
    """JSON has no endless numbers, and daglab none too long to be read back."""
    if isinstance(value, list):
        return [_json(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, int) and abs(value) >= 2**63 else value

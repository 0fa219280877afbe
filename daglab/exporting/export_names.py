"""Names of exports with the notebook's own name and its parameters in them: `reports/{notebook}-{date}.html`.

What is filled in is data: it never leads into another folder, and two notebooks never get the same name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daglab import errors, files, parse, redaction
from daglab.settings import config

LONGEST = 255  # bytes of one part of a path, as file systems have it
NOTEBOOK = "notebook"
_PLACE = re.compile(r"\{\{|\}\}|\{([^{}/]*)\}")
_UNFIT = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")


def filled(template: str, settings: config.Config, notebook: Path, parameters: Mapping[str, Any]) -> Path:
    """The path that a template stands for: `{notebook}` is its path in the notebooks folder without the ending.

    `{{` and `}}` are braces. Raises InvalidInput for a name that is neither that nor a parameter, and for a value that
    can't be a part of a file's name.
    """
    values = {**parameters, NOTEBOOK: name_of(settings, notebook)}
    parts = []
    for part in template.split("/"):
        made = _PLACE.sub(lambda hit: _value(hit, values), part)
        if made != part:
            _check(made, template)
        parts.append(made)
    return Path("/".join(parts))


def is_template(text: str) -> bool:
    """Whether something is filled into a name."""
    return _PLACE.search(text) is not None


def name_of(settings: config.Config, notebook: Path) -> str:
    """What `{notebook}` stands for: one that lies elsewhere than in the notebooks folder has no folders in it."""
    place = files.inside(settings.root / settings.notebooks_dir, notebook)
    return place.with_suffix("").as_posix() if place else notebook.stem


def check_apart(outputs: Sequence[tuple[Path, Path]]) -> None:
    """Raise InvalidInput where two notebooks (each with its output) would be written to one file."""
    taken: dict[str, Path] = {}
    for notebook, output in outputs:
        place = os.path.realpath(output).casefold()  # some file systems take a letter and its capital for the same
        if place in taken:
            raise errors.InvalidInput(
                f"{taken[place]} and {notebook} would both be written to {output}.",
                "Name each notebook once, and put {notebook} into --output.",
            )
        taken[place] = notebook


def _value(hit: re.Match[str], values: Mapping[str, Any]) -> str:
    name = hit[1]
    if name is None:
        return hit[0][0]
    if name not in values:
        there = ", ".join(sorted(values))
        raise errors.InvalidInput(
            f"There is no {{{name}}} to put into the name of the output.",
            parse.did_you_mean(name, values) or f"There are: {there}. -P {name or 'KEY'}=VALUE adds one.",
        )
    value = values[name]
    if redaction.looks_secret(name):
        raise errors.InvalidInput(f"{{{name}}} looks like a secret, which no file's name is to hold.", "Leave it out.")
    if isinstance(value, bool):
        value = "true" if value else "false"
    text = str(value)
    unfit = isinstance(value, list) or text == "" or (name != NOTEBOOK and _UNFIT.search(text))
    if unfit:
        raise errors.InvalidInput(
            f"The parameter {name} is {text!r:.60}, which can't be a part of a file's name.",
            "Leave it out of --output, or give a value without slashes.",
        )
    return text


def _check(made: str, template: str) -> None:
    for part in made.split("/"):
        if part in ("", ".", "..") or len(os.fsencode(part)) > LONGEST:
            raise errors.InvalidInput(
                f"{template} would become {part!r:.60}, which is no name of a file.", "Give shorter or other values."
            )

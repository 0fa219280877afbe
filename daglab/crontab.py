"""The line of a crontab that does what a command line does."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from daglab import errors

SCHEDULE = "0 3 * * *"
_FIELD = r"(?:\*|[0-9A-Za-z]+(?:-[0-9A-Za-z]+)?)(?:/\d+)?"
_FIELDS = re.compile(rf"{_FIELD}(?:,{_FIELD})*(?:[ \t]+{_FIELD}(?:,{_FIELD})*){{4}}")
_NAMED = re.compile(r"@(?:reboot|yearly|annually|monthly|weekly|daily|midnight|hourly)")


def check_schedule(text: str) -> str:
    """Five fields, or one of cron's names; raises WrongUsage for anything else."""
    schedule = text.strip()
    if _FIELDS.fullmatch(schedule) or _NAMED.fullmatch(schedule):
        return schedule
    raise errors.WrongUsage(
        f"{text!r:.60} is no schedule of cron's.",
        f"Give its five fields, such as --print-cron '{SCHEDULE}', or @daily.",
    )


def line(schedule: str, folder: Path, command: Sequence[str]) -> str:
    """The line that runs a command in a folder; cron makes an end of the line of a bare '%'.

    Raises InvalidInput where a word holds a new line, which a crontab can't.
    """
    words = [str(folder), *command]
    if bad := next((word for word in words if "\n" in word or "\r" in word or "\0" in word), None):
        raise errors.InvalidInput(f"{bad!r:.60} holds an end of a line.", "A line of a crontab can't: leave it out.")
    text = f"cd {shlex.quote(words[0])} && {shlex.join(words[1:])}"
    return f"{check_schedule(schedule)} {text}".replace("%", r"\%")


def program(called: str) -> list[str]:
    """How to call, from anywhere, the program that was called by this name."""
    found = shutil.which(called)
    if found is None or found.endswith(".py"):  # python -m daglab
        return [sys.executable, "-m", "daglab"]
    return [os.path.abspath(found)]


def without(arguments: Sequence[str], flag: str, value: str | None) -> list[str]:
    """A command line without a flag and its value; what comes after -- is left as it is."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept: list[str] = []
    skip = False
    for number, word in enumerate(arguments):
        if skip:
            skip = False
        elif number < end and word == flag:
            skip = number + 1 < end and arguments[number + 1] == value
        elif not (number < end and word.startswith(f"{flag}=")):
            kept.append(word)
    return kept

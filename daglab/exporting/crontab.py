"""The line of a crontab that does what a command line does."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from daglab import errors, redaction

SCHEDULE = "0 3 * * *"
_FIELD = r"(?:\*|[0-9A-Za-z]+(?:-[0-9A-Za-z]+)?)(?:/\d+)?"
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))  # minute, hour, day, month, day of the week
_FIELDS = re.compile(rf"{_FIELD}(?:,{_FIELD})*(?:[ \t]+{_FIELD}(?:,{_FIELD})*){{4}}")
_UNFIT = re.compile(r"[\n\r\0\ud800-\udfff]")
_NAMED = re.compile(r"@(?:reboot|yearly|annually|monthly|weekly|daily|midnight|hourly)")


def check_schedule(text: str) -> str:
    """Five fields, or one of cron's names; raises WrongUsage for anything else."""
    schedule = text.strip()
    if _NAMED.fullmatch(schedule) or (_FIELDS.fullmatch(schedule) and _is_in_range(schedule)):
        return schedule
    raise errors.WrongUsage(
        f"{text!r:.60} is no schedule of cron's.",
        f"Give its five fields, such as --print-cron '{SCHEDULE}', or @daily.",
    )


def _is_in_range(schedule: str) -> bool:
    """Whether each number of the five fields is one that its field has; a step is one from 1."""
    for field, (least, most) in zip(schedule.split(), _RANGES, strict=True):
        for part in field.split(","):
            times, _, step = part.partition("/")
            if any(each.isdecimal() and not least <= int(each) <= most for each in times.split("-")):
                return False
            if step and int(step) == 0:
                return False
    return True


def check(words: Sequence[str], options: Mapping[str, Any], named: Iterable[str]) -> None:
    """Raise WrongUsage for an export that no crontab is to hold: one with a secret, or with a list that is typed in.

    `words` are the command line, `options` what it says, `named` the names of its parameters. Secrets are a literal
    token, a presigned address (which ends before long, too), and a parameter that looks like one by its name.
    """
    if options["from_list"] == "-":
        raise errors.WrongUsage("Nothing is typed in for cron: --from-list - has no list there.", "Name a file.")
    tokens = _auth_tokens(words)
    secrets = (
        (any(not token.startswith(("env:", "file:")) for token in tokens), "a token", "Say where it is: file:PATH."),
        (
            (options["upload"] or "").startswith(("https://", "http://")),
            "a presigned address",
            "Name the place itself, such as s3://BUCKET/PREFIX.",
        ),
        (any(map(redaction.looks_secret, named)), "a secret", "Put it into a file for your eyes alone: --params FILE."),
    )
    for is_there, what, hint in secrets:
        if is_there:
            raise errors.WrongUsage(f"A crontab is no place for {what}.", hint)


def _auth_tokens(words: Sequence[str]) -> list[str]:
    end = words.index("--") if "--" in words else len(words)
    own = words[:end]
    apart = [words[number + 1] for number, word in enumerate(own[:-1]) if word == "--auth-token"]
    return [*apart, *(word.partition("=")[2] for word in own if word.startswith("--auth-token="))]


def line(schedule: str, folder: Path, command: Sequence[str]) -> str:
    """The line that runs a command in a folder; cron makes an end of the line of a bare '%'.

    Raises InvalidInput where a word holds a new line, or is no UTF-8, which can't stand in a printed line.
    """
    words = [str(folder), *command]
    if bad := next((word for word in words if _UNFIT.search(word)), None):
        raise errors.InvalidInput(
            f"{bad!r:.60} holds an end of a line, or is no UTF-8.", "A line of a crontab can't: leave it out."
        )
    text = f"cd {shlex.quote(words[0])} && {shlex.join(words[1:])}"
    # A backslash that stands before the one for cron would take it away; such a word is in quotes, which are parted.
    return f"{check_schedule(schedule)} {text}".replace("\\%", "\\''%").replace("%", r"\%")


def program(called: str) -> list[str]:
    """How to call, from anywhere, the program that was called by this name."""
    found = shutil.which(called)
    if found is None or found.endswith(".py"):  # python -m daglab
        return [sys.executable, "-m", "daglab"]
    return [os.path.abspath(found)]


def without(arguments: Sequence[str], flag: str, value: str | None = None) -> list[str]:
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

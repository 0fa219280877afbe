"""A line of events, read: all that is counted of it is what it must be, or the line is not counted at all."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from datetime import datetime
from json import scanner
from operator import itemgetter
from typing import Any

from daglab.figures import cells, months

VERSION = 1
MOST = 10**15  # of seconds, milliseconds, bytes, and of how often something was done
MOST_USED = 1e300  # of an amount, as `helpers.record_usage` takes it
# What a line that can't be read makes the code below raise.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, StopIteration)
_FIELDS = itemgetter(
    "at", "command", "target", "ok", "exit_code", "error_code", "seconds", "runs", "requests", "bytes", "usage",
    "detail",
)  # fmt: skip
_REQUESTS = itemgetter("n", "errors", "ms")
_NUMBERS, _TEXT, _LABELS = frozenset((int, float)), frozenset((str,)), frozenset((str, int, float, bool))
_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?([+-]\d\d:\d\d|Z)", re.ASCII)
_KEY = re.compile(r"[\w.-]+(/[\w.-]+)*")
_EXIT_CODES = {2: "usage", 130: "interrupted", 141: "closed_pipe", 143: "interrupted"}  # where there is no error code
Used = tuple[str, cells.Labels, float]
# Plain tuples, for there are many of them. Of an event: the time in the form of `months.text`, command, target, error
# code (None where all was well), seconds, requests, those of them that failed, milliseconds, usage, and what
# `cells.SPECIAL` commands have or None: bytes, runs launched, ended well, failed, their seconds, assets and jobs.
Special = tuple[int, int, int, int, Sequence[float], Sequence[str]]
Event = tuple[str, str, "str | None", "str | None", float, int, int, Sequence[float], Sequence[Used], "Special | None"]


class NewerError(Exception):
    """A line of a version of the format that this daglab does not know."""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


_decode: Any = scanner.make_scanner(json.JSONDecoder(parse_constant=_refuse))  # type: ignore[arg-type]  # as it does


def parse(raw: bytes) -> dict[str, Any]:
    """The object in a line. Raises one of `UNREADABLE` when it is something else."""
    text = raw.decode()
    found, end = _decode(text, 0)
    if type(found) is not dict or (end != len(text) and text[end:].strip(" \t\r\n")):
        raise ValueError("no JSON object")
    return found


def check_version(version: object) -> None:
    """Raises `NewerError` for a newer version than ours, and `ValueError` for what is none."""
    if version != VERSION or type(version) is not int:
        if type(version) is int and version > VERSION:
            raise NewerError
        raise ValueError("no version")


def event(line: dict[str, Any], month: str) -> Event:
    """What is counted of an event in the file of this month. Raises `NewerError`, or one of `UNREADABLE`."""
    version = line["v"]
    if version != VERSION or type(version) is not int:
        check_version(version)
    at, command, target, ok, exit_code, error, seconds, runs, requests, size, usage, detail = _FIELDS(line)
    if at[23:] == "+00:00" and at[19] == "." and at[10] == "T" and at[7] == "-":
        datetime.fromisoformat(at)
    else:
        at = _normal(at)
    n, failed, milliseconds = _REQUESTS(requests)
    # JSON's true is no number, though Python's bool is an int.
    if not (
        at[:7] == month
        and type(command) is str
        and command
        and (target is None or type(target) is str)
        and (type(seconds) is float or type(seconds) is int)
        and 0 <= seconds < MOST
        and type(n) is type(failed) is int
        and 0 <= failed <= n < MOST
        and type(milliseconds) is type(runs) is type(usage) is list
        and type(detail) is dict
    ):
        raise ValueError("it is not what it must be")
    if milliseconds:
        figures(milliseconds)
    return (
        at,
        command,
        target,
        None if ok is True else _error(ok, exit_code, error),
        seconds,
        n,
        failed,
        milliseconds,
        [_used(each) for each in usage] if usage else usage,
        _special(command, target, ok, runs, size, detail) if command in cells.SPECIAL else None,
    )


def _error(ok: object, exit_code: object, error: object) -> str:
    """The code of what has gone wrong."""
    if ok is not False or type(exit_code) is not int or not (error is None or type(error) is str):
        raise ValueError("no outcome")
    return error or _EXIT_CODES.get(exit_code, "error")


def _normal(at: str) -> str:
    """A time in another form, in that of `months.text`."""
    if not _AT.fullmatch(at):
        raise ValueError("no time with a zone")
    return months.text(datetime.fromisoformat(at.replace("Z", "+00:00")))


def count(value: object) -> int:
    """A count. Raises one of `UNREADABLE` when it is none."""
    if type(value) is not int or not 0 <= value < MOST:
        raise ValueError("no count")
    return value


def figures(given: object) -> list[float]:
    """A list of seconds, milliseconds. Raises one of `UNREADABLE` when it is none."""
    if type(given) is not list or not _NUMBERS.issuperset(map(type, given)):
        raise TypeError("no list of numbers")
    if given and not (min(given) >= 0 and max(given) < MOST):
        raise ValueError("a figure is out of bounds")
    return given


def texts(given: object) -> list[str]:
    """A list of texts. Raises one of `UNREADABLE` when it is none."""
    if type(given) is not list or not _TEXT.issuperset(map(type, given)):
        raise TypeError("no list of texts")
    return given


def named_labels(given: dict[str, Any]) -> cells.Labels:
    """Labels as they are counted. Raises one of `UNREADABLE` when a value is a list, say."""
    if type(given) is not dict or not _LABELS.issuperset(map(type, given.values())):
        raise TypeError("no labels")
    return cells.labels(given)


def _used(given: dict[str, Any]) -> Used:
    name, amount = given["name"], given["amount"]
    if type(name) is not str or not name or type(amount) not in _NUMBERS or not -MOST_USED < amount < MOST_USED:
        raise ValueError("no usage")
    return name, named_labels(given["labels"]), amount


def _special(
    command: str, target: str | None, ok: bool, runs: list[str], size: int | None, detail: dict[str, Any]
) -> Special:
    if command == cells.EXPORT:
        return 0 if size is None else count(size), 0, 0, 0, (), ()
    if command == cells.IN_PROCESS:
        good = ok and detail.get("succeeded", True)
        if type(good) is not bool:
            raise TypeError("no outcome")
        took = figures([detail["seconds"]]) if "seconds" in detail else ()
        return 0, 1, int(good), int(not good), took, _named(target)
    launched = len(texts(runs)) if runs else 0
    names = _named(target)
    if not detail:
        return 0, launched, 0, 0, (), names if launched else ()
    if "assets" in detail:
        names = tuple(name for name in names if name.startswith("job:"))
        names += tuple(f"asset:{key}" for key in texts(detail["assets"]))
    launched = count(detail.get("launched", launched))
    ended = count(detail.get("succeeded", 0)), count(detail.get("failed", 0))
    took = figures(detail["run_seconds"]) if "run_seconds" in detail else ()
    return 0, launched, *ended, took, names if launched else ()


@functools.lru_cache(1000)
def _named(target: str | None) -> tuple[str, ...]:
    """The assets and jobs that a target names; none for a selection, or the id of a run."""
    if target is None or target.startswith("run:"):
        return ()
    if target.startswith("job:"):
        return (target,)
    names = target.removeprefix("asset:").split(",")
    return tuple(f"asset:{name}" for name in names) if all(map(_KEY.fullmatch, names)) else ()

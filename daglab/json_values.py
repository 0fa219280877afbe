"""Values that JSON can hold and give back as they were, and where one is that it can't."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from daglab import errors

DEEPEST = 100  # levels
LARGEST_BITS = 2000  # of an integer; Python reads no longer ones back without being asked to
LONGEST_PATH = 200  # characters of one that is shown
LONGEST_KEY = 40
_WORD = re.compile(r"[^\W\d]\w*", re.ASCII)
_HALVES = re.compile("[\ud800-\udfff]")
_HINT = (
    "JSON knows dict, list, str, int, float, bool and None: store list(...) of a tuple or a set, .item() or .tolist()"
    " of a numpy value, .isoformat() of a time."
)


def checked(value: object, name: str) -> dict[str, Any]:
    """The value, an object that is called `name` in errors; raises `InvalidInput` with the path to what is not JSON.

    A value is taken for what it is and not for what it derives from: it must come back as the same.
    """
    flaw = _flaw(value, ())
    if flaw is None and isinstance(value, dict):
        return value
    path, reason = flaw or ("", f"{_article(type(value).__name__)} is no object with names")
    path = name + path
    shown = path if len(path) <= LONGEST_PATH else f"{path[:LONGEST_PATH]}…"
    raise errors.InvalidInput(f"{shown}: {reason}.", _HINT)


def text(value: object) -> str:
    """A value that was checked as compact JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def copied(value: Any) -> Any:
    """A value that was checked, with objects and lists of its own: five times as fast as copy.deepcopy."""
    if type(value) is dict:
        return {key: copied(each) for key, each in value.items()}
    return [copied(each) for each in value] if type(value) is list else value


def _flaw(value: object, above: tuple[int, ...]) -> tuple[str, str] | None:
    """The path to the first value that is not JSON, and what is wrong with it; `above` are the ids of what holds it."""
    if type(value) not in (dict, list):
        reason = _scalar_flaw(value)
        return ("", reason) if reason else None
    if id(value) in above:
        return "", "it holds itself"
    if len(above) >= DEEPEST:
        return "", f"it lies deeper than {DEEPEST} levels"
    return _flaw_inside(value, (*above, id(value)))


def _flaw_inside(value: Any, above: tuple[int, ...]) -> tuple[str, str] | None:
    pairs: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in pairs:
        if isinstance(value, dict) and type(key) is not str:
            return "", f"the key {str(key)[:LONGEST_KEY]!r} is {_article(type(key).__name__)}, and a key is text"
        if isinstance(value, dict) and _scalar_flaw(key):
            return "", f"the key {key[:LONGEST_KEY]!r} is not text: {_scalar_flaw(key)}"
        if found := _flaw(each, above):
            return _step(key) + found[0], found[1]
    return None


def _scalar_flaw(value: object) -> str | None:
    if value is None or type(value) is bool:
        return None
    if type(value) is int:
        return "the number is too large" if value.bit_length() > LARGEST_BITS else None
    if type(value) is float:
        return None if math.isfinite(value) else f"{value} is no JSON value"
    if type(value) is str:
        return "half of a surrogate pair stands alone" if _HALVES.search(value) else None
    return f"{_article(type(value).__name__)} is no JSON value"


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    short = key if len(key) <= LONGEST_KEY else f"{key[:LONGEST_KEY]}…"
    return f".{key}" if _WORD.fullmatch(short) else f"[{json.dumps(short)}]"


def _article(name: str) -> str:
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"

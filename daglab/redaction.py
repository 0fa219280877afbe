"""Tokens that must not show: remembered once they are read, and left out of all text that leaves daglab.

daglab prints no token itself; a server that repeats what it was sent, or a notebook's traceback, may.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

SHORTEST_ECHO = 6  # what is shorter is not looked for elsewhere
SHORTEST = 4  # what is shorter is no secret, and would blot out ordinary words
_secrets: set[str] = set()
_WORD = re.compile("[a-z_]{1,20}")  # as daglab's own keys are; a token has a digit, or more letters
MASK = "***"
_NO_SECRET_KEYS = ("asset", "step", "partition", "primary", "foreign", "sort", "join", "group", "event", "run", "node")
_SECRET_NAME = re.compile(
    r"token(?!s($|[_-]))|secret|passw|passphrase|pwd|credential|bearer|cookie|signature|authorization|^auth$|^sig$|dsn$"
    r"|conn(ection)?[_-]?str|(api|access|private|account|encryption|signing)[_-]?key"
    r"|" + "".join(f"(?<!{name})" for name in _NO_SECRET_KEYS) + r"[_-]key$",
    re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"(\w://)[^\s/@\"'<>]+@")  # postgres://me:secret@host
_IN_QUERY = re.compile(r"([?&]([\w.-]+)=)([^&\s\"'<>]+)")  # ...?sig=...
_NAMED = re.compile(r"(?<![\w.-])([\w.-]+)(\\*[\"']?[ \t]*[:=][ \t]*)(?=\S|\n)")
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:[^']|'')*'")
_NAMES_OF_PAIRS = ("key", "label", "name")  # {"key": "password", "value": "..."}: a tag, a metadata entry, a variable


def hide(secret: str) -> None:
    """Leave this out of all text from now on, and as JSON and addresses write it, too."""
    if len(secret) >= SHORTEST:
        _secrets.update(
            (secret, secret.replace("\\", "\\\\").replace('"', '\\"'), quote(secret, safe=""), quote(secret))
        )


def clean(text: str) -> str:
    """`text` with three stars in place of each secret."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def occurs(text: str) -> bool:
    """Whether a secret stands in JSON text: most often none does, and nothing has to be taken apart for it."""
    return any(secret in text for secret in _secrets)


def clean_values(value: Any) -> Any:
    """What will become JSON, without secrets in its texts; a key that is a plain word is no secret, nor is a number."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {
            key if _WORD.fullmatch(str(key)) else clean(str(key)): clean_values(each) for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [clean_values(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float)) else clean(str(value))


def looks_secret(name: str) -> bool:
    """Whether the value of this name is a secret, by the name alone: `password`, `api_key`, `SLACK_TOKEN`.

    `token_env` and `token_file` say where one is, and hold none.
    """
    return _SECRET_NAME.search(name) is not None and not name.lower().endswith(("_env", "_file"))


def masked(value: Any) -> Any:
    """What will become JSON, without what looks like a secret: by its name, or as a part of an address.

    A value of the name stands masked wherever else it occurs, too: servers repeat in messages what they were sent.
    """
    found: set[str] = set()
    result = _masked(value, found, secret=False)
    return _without(result, sorted(found, key=len, reverse=True)) if found else result


def masked_text(text: str) -> str:
    """Text without what looks like a secret: `password: ...`, `"token": "..."`, `https://me:pass@host`, `?sig=...`."""
    text = _IN_ADDRESS.sub(rf"\1{MASK}@", text)
    text = _IN_QUERY.sub(lambda hit: hit[1] + (MASK if looks_secret(hit[2]) else hit[3]), text)
    parts, place = [], 0
    for hit in _NAMED.finditer(text):
        if hit.start() >= place and looks_secret(hit[1]):
            end = _end_of_value(text, hit)
            parts += [text[place : hit.end()], MASK if end > hit.end() else ""]
            place = end
    return "".join([*parts, text[place:]])


def _end_of_value(text: str, hit: re.Match[str]) -> int:
    """Where the value after a name ends: at its quote, else with the line and, as in YAML, the deeper ones after it."""
    if quoted := _QUOTED.match(text, hit.end()):
        return quoted.end()
    line = text.rfind("\n", 0, hit.start()) + 1
    depth = len(text[line : hit.start()]) - len(text[line : hit.start()].lstrip(" "))
    end = text.find("\n", hit.end())
    while end >= 0:
        following = text.find("\n", end + 1)
        after = text[end + 1 : following if following >= 0 else len(text)]
        if after.strip() and len(after) - len(after.lstrip(" ")) <= depth:
            return end
        end = following
    return len(text)


def _masked(value: Any, found: set[str], *, secret: bool) -> Any:
    if isinstance(value, Mapping):
        named = next((str(value[key]) for key in _NAMES_OF_PAIRS if isinstance(value.get(key), str)), "")
        pair = looks_secret(named)
        return {
            key: _masked(each, found, secret=secret or looks_secret(str(key)) or (pair and _holds(str(key))))
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_masked(each, found, secret=secret) for each in value]
    if value is None or isinstance(value, bool):
        return value
    if secret:
        found.update([str(value)] if len(str(value)) >= SHORTEST_ECHO else [])
        return MASK
    return masked_text(value) if isinstance(value, str) else value


def _holds(key: str) -> bool:
    """Whether the value of a pair stands under this key, and not its name or its kind."""
    return key not in (*_NAMES_OF_PAIRS, "__typename", "description")


def _without(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, Mapping):
        return {key: _without(each, secrets) for key, each in value.items()}
    return [_without(each, secrets) for each in value] if isinstance(value, list) else value

"""Tokens that must not show: remembered once they are read, and left out of all text that leaves daglab.

daglab prints no token itself; a server that repeats what it was sent, or a notebook's traceback, may.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

SHORTEST = 4  # what is shorter is no secret, and would blot out ordinary words
_secrets: set[str] = set()
_WORD = re.compile("[a-z_]{1,20}")  # as daglab's own keys are; a token has a digit, or more letters


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

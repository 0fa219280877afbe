"""Tokens that must not show: remembered once they are read, and left out of all text that leaves daglab.

daglab prints no token itself; a server that repeats what it was sent, or a notebook's traceback, may.
"""

from __future__ import annotations

SHORTEST = 4  # what is shorter is no secret, and would blot out ordinary words
_secrets: set[str] = set()


def hide(secret: str) -> None:
    """Leave this out of all text from now on, and as JSON writes it, too."""
    if len(secret) >= SHORTEST:
        _secrets.update((secret, secret.replace("\\", "\\\\").replace('"', '\\"')))


def clean(text: str) -> str:
    """`text` with three stars in place of each secret."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text

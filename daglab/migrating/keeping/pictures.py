"""Pictures among the outputs of a Jupyter notebook: only what is one by its bytes, with its size in pixels."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BYTES = 10_000_000  # of a picture that is kept
# Mime type -> suffix of its file; an SVG may hold scripts, which run where it is opened as a file by itself.
SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/svg+xml": ""}
_SVG = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*|<!--(?:(?!-->).)*-->\s*|<!DOCTYPE[^>\[]*>\s*)*<svg\b", re.DOTALL | re.IGNORECASE
)


@dataclass(frozen=True)
class Picture:
    """A picture; `told` says what it is ("image/png, 200 x 60, 3 kB"), `suffix` is empty where it makes no file."""

    mime: str
    content: bytes = field(repr=False)
    told: str
    suffix: str

    @property
    def uri(self) -> str:
        """As a data URI."""
        return f"data:{self.mime};base64,{base64.b64encode(self.content).decode()}"


def find(data: Mapping[str, Any]) -> Picture | str | None:
    """The picture of an output; a sentence where it is none after all or too big, None where there is none."""
    said = None
    for mime, suffix in SUFFIXES.items():
        text = data.get(mime)
        text = "".join(map(str, text)) if isinstance(text, list) else text
        if not isinstance(text, str):
            continue
        if len(text) > BYTES * 4 // 3:
            said = f"A picture is left out: it is bigger than {BYTES // 1_000_000} MB."
            continue
        content = text.encode(errors="replace") if mime == "image/svg+xml" else _decoded(text)
        size = _pixels(mime, content)
        if size is None:
            said = f"A picture is left out: it is no {mime}."
            continue
        parts = [mime, *([f"{size[0]} x {size[1]}"] if size != (0, 0) else []), f"{-(-len(content) // 1000)} kB"]
        return Picture(mime, content, ", ".join(parts), suffix)
    return said


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _pixels(mime: str, content: bytes) -> tuple[int, int] | None:
    """Width and height; (0, 0) where it is a picture without, None where it is none."""
    if mime == "image/svg+xml":
        return (0, 0) if _SVG.match(content[:5000].decode(errors="replace")) else None
    if mime == "image/png" and content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    if mime == "image/gif" and content[:6] in (b"GIF87a", b"GIF89a") and len(content) >= 10:
        width, height = struct.unpack("<HH", content[6:10])
        return width, height
    if mime == "image/jpeg" and content[:3] == b"\xff\xd8\xff":
        return _jpeg(content)
    return None


def _jpeg(content: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + max(length, 2)
    return 0, 0

"""Long lists of numbers, left as the text that they came in: a vector that is only handed on is never worked out.

`taken_out` puts a mark into each one's place, `put_back` the text into that of each mark. It is done to the text of the
JSON, whatever the list belongs to, and even within a string it comes out as it went in: such a list has no character
that is written in another way there.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

_EDGE = b"922337203685477"  # how the largest int begins, which can't be handed on as it comes
_LONG = re.compile(rb"\[[-+0-9.eE,]{40,}\]")


@dataclass(frozen=True)
class Texts:
    """What was taken out; each mark is a list of one number, which begins with `mark`."""

    mark: int = field(default_factory=lambda: 10**18 + random.getrandbits(59))
    found: list[bytes] = field(default_factory=list)


def taken_out(content: bytes) -> tuple[bytes, Texts]:
    """The JSON with marks in the places of long lists of numbers, and those lists."""
    texts = Texts()

    def marked(match: re.Match[bytes]) -> bytes:
        if _EDGE in match[0]:
            return match[0]
        texts.found.append(match[0])
        return b"[%d%09d]" % (texts.mark, len(texts.found) - 1)

    return _LONG.sub(marked, content), texts


def put_back(content: bytes, texts: Texts) -> bytes:
    """The JSON with the lists in the places of their marks."""
    if not texts.found:
        return content
    return re.sub(rb"\[%d([0-9]{9})\]" % texts.mark, lambda match: texts.found[int(match[1])], content)


def left_out(content: bytes) -> bytes:
    """The JSON with nothing in the place of each long list of numbers, for who looks at the rest alone."""
    return _LONG.sub(b"[]", content)

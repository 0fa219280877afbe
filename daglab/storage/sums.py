"""Whether what a store says of an object agrees with what was sent, and what is to be made of a lost answer."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from daglab import errors
from daglab.storage import places, transfers

_AGAIN = "The same command again settles it."


@dataclass(frozen=True)
class Seen:
    """What a store says of an object: what is found there, and its MD5 in base64 where it has one."""

    found: places.Found
    md5: str | None


def md5_header(sent: transfers.Sent) -> str:
    """The MD5 as headers have it: in base64."""
    return base64.b64encode(bytes.fromhex(sent.md5)).decode()


def verified(address: str, sent: transfers.Sent, put: Callable[[], str], look: Callable[[], Seen | None]) -> str:
    """Put, then compare what was sent with what lies there, and give what `put` gives.

    An answer that was lost is made up for by what is found. Who may write and not read has the word of the store, which
    compares the MD5 as it takes the object. Raises `OutcomeUnknown` where they differ, or nobody can tell.
    """
    lost: errors.OutcomeUnknown | None = None
    via = "http"
    try:
        via = put()
    except errors.OutcomeUnknown as error:
        lost = error
    try:
        seen = look()
    except errors.NotAuthorised:
        if lost:
            raise lost from None
        return via
    except errors.DaglabError as error:
        raise lost or errors.OutcomeUnknown(
            f"{address} was sent, and can't be looked at: {error.message}", _AGAIN
        ) from None
    found, ours = (seen.found if seen else None), md5_header(sent)
    if found and seen and (found.bytes, found.sha256, seen.md5 or ours) == (sent.bytes, sent.sha256, ours):
        return via
    raise lost or errors.OutcomeUnknown(f"{address} was sent, and something else lies there, or nothing.", _AGAIN)

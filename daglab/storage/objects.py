"""Objects at a place, whichever kind it is: put, look, delete, listing, sign, check.

Each scheme has a module with functions of these names. Of all of them: `NotSetUp` where there is neither the
provider's program nor credentials, `NotAuthorised` where they are refused or have expired, `Unreachable` where there
was no answer, `OutcomeUnknown` where something was sent and nobody can tell what became of it, `InvalidInput` for what
can't be: no such bucket, a key that leads elsewhere, a link that would live too long.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from daglab.storage import places

_MODULES = {"s3": "s3", "gs": "gcs", "az": "azure", "file": "local", "https": "presigned"}


def put(
    place: places.Place,
    key: str,
    path: Path,
    *,
    content_type: str,
    content_encoding: str | None = None,
    metadata: Mapping[str, str] | None = None,
    timeout: float,
) -> places.Stored:
    """Upload a file under a key, and verify by what the store says of it; an object of that key is replaced.

    It may be done again with the same key, whatever became of the first time. `content_type` is sent as it is
    (`text/html; charset=utf-8`), `content_encoding` is gzip or None; `metadata` has plain ASCII names and texts, and
    sha256 is added. `timeout` is in seconds, for all tries together.
    """
    found: places.Stored = _of(place).put(
        place,
        places.checked_key(key) if place.scheme != "https" else key,
        path,
        content_type=content_type,
        content_encoding=content_encoding,
        metadata=metadata,
        timeout=timeout,
    )
    return found


def look(place: places.Place, key: str) -> places.Found | None:
    """What lies under a key; None where nothing does. A bucket that is not there is `InvalidInput`."""
    found: places.Found | None = _of(place).look(place, places.checked_key(key))
    return found


def delete(place: places.Place, key: str) -> bool:
    """Delete the object under a key; whether there was one."""
    gone: bool = _of(place).delete(place, places.checked_key(key))
    return gone


def listing(place: places.Place) -> Iterator[places.Found]:
    """All objects under the place's prefix, page by page."""
    yield from _of(place).listing(place)


def sign(place: places.Place, key: str, seconds: int) -> places.Signed:
    """A link that lets whoever has it read the object for so many seconds; `InvalidInput` for longer than it can be."""
    signed: places.Signed = _of(place).sign(place, places.checked_key(key), seconds)
    return signed


def check(place: places.Place, timeout: float = 30.0) -> str:
    """Whether the place can be used, asked without writing to it: says how in a few words, or raises."""
    said: str = _of(place).check(place, timeout)
    return said


def _of(place: places.Place) -> Any:
    return importlib.import_module(f"daglab.storage.{_MODULES[place.scheme]}")

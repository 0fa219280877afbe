"""A presigned address that one file may be put to: whoever knows it may write there, and do nothing else."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NoReturn
from urllib.parse import parse_qs, urlsplit

from daglab import errors
from daglab.storage import places, transfers

_ONLY_PUT = "A presigned address lets a file be put there, and nothing else."
_ANOTHER = "Upload to s3://, gs:// or az:// for that."


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
    """See `objects.put`. The store compares the MD5 that is sent; metadata is not sent, for it would have to be signed.

    The key is not used: the address names the object.
    """
    del metadata
    url = place.secret_url
    if url is None:
        raise errors.InvalidInput(f"{place.prefix} came without its signature.", "Give the whole presigned address.")
    _refuse_expired(place)
    sent = transfers.measured(path)
    transfers.check_headers({"content type": content_type, "content encoding": content_encoding})
    headers = {
        "Content-Type": content_type,
        "Content-MD5": base64.b64encode(bytes.fromhex(sent.md5)).decode(),
        **({"Content-Encoding": content_encoding} if content_encoding else {}),
        **({"x-ms-blob-type": "BlockBlob"} if _pairs(place).get("sig") else {}),  # Azure wants to know
    }
    answer = transfers.exchange(lambda: transfers.Request("PUT", url, headers, path), timeout=timeout)
    if answer.status_code not in (200, 201, 204):
        raise _refusal(place, answer.status_code)
    tag = answer.headers.get("ETag", "").strip('"').lower()
    encrypted = answer.headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
    if re.fullmatch("[0-9a-f]{32}", tag) and tag != sent.md5 and not encrypted:
        raise errors.OutcomeUnknown(f"{place.prefix} says of the upload that it is something else.", "Upload it again.")
    return places.Stored(place.prefix, key, place.prefix, sent.bytes, sent.sha256, "http")


def look(place: places.Place, key: str) -> places.Found | None:
    """See `objects.look`: it can't be done."""
    _refuse(place, key)


def delete(place: places.Place, key: str) -> bool:
    """See `objects.delete`: it can't be done."""
    _refuse(place, key)


def listing(place: places.Place) -> Iterator[places.Found]:
    """See `objects.listing`: it can't be done."""
    _refuse(place, "")


def sign(place: places.Place, key: str, seconds: int) -> places.Signed:
    """See `objects.sign`: it can't be done."""
    raise errors.InvalidInput(f"{place.prefix} can't be signed by daglab: {_ONLY_PUT}", _ANOTHER)


def check(place: places.Place, timeout: float) -> str:
    """See `objects.check`: there is only its own time to be looked at."""
    del timeout
    ends = _refuse_expired(place)
    return f"{place.prefix} is valid until {ends.isoformat()}" if ends else f"{place.prefix} does not say until when"


def _refuse(place: places.Place, key: str) -> NoReturn:
    del key
    raise errors.NotSetUp(f"{place.prefix} can't be looked at: {_ONLY_PUT}", _ANOTHER)


def _refuse_expired(place: places.Place) -> datetime | None:
    """When the address ends, as far as it says so. Raises `NotAuthorised` when that was before now."""
    ends = expires_at(place)
    if ends and ends <= datetime.now(timezone.utc):
        raise errors.NotAuthorised(
            f"{place.prefix}: the address has expired ({ends.isoformat()}).", "Ask for a new one."
        )
    return ends


def expires_at(place: places.Place) -> datetime | None:
    """When a presigned address ends, by its query: S3's, Cloud Storage's or Azure's; None where that is not said."""
    pairs = _pairs(place)
    for kind in ("x-amz", "x-goog"):
        try:
            start = datetime.strptime(pairs[f"{kind}-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
            return start + timedelta(seconds=int(pairs[f"{kind}-expires"]))
        except (KeyError, ValueError, OverflowError):
            continue
    try:
        found = datetime.fromisoformat(pairs["se"].replace("Z", "+00:00"))
    except (KeyError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _pairs(place: places.Place) -> dict[str, str]:
    """The query by its names in small letters."""
    query = urlsplit(place.secret_url or "").query
    return {name.lower(): values[0] for name, values in parse_qs(query).items()}


def _refusal(place: places.Place, status: int) -> errors.DaglabError:
    if status in (400, 401, 403):
        hint = "It may have expired, be for another method than PUT, or want another content type: ask for a new one."
        return errors.NotAuthorised(f"{place.prefix} refused the upload ({status}).", hint)
    if 300 <= status < 400:
        return errors.Unreachable(
            f"{place.prefix} leads elsewhere ({status}); daglab does not follow.", "Ask for the right address."
        )
    if status >= 500 or status == 429:
        return errors.Unreachable(f"{place.prefix} can't serve the request now ({status}).", "Try again later.")
    return errors.InvalidInput(f"{place.prefix} does not take the upload ({status}).", "Ask for another address.")

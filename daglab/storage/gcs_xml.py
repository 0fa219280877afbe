"""Cloud Storage's XML API, for those who have a key: each request goes to an address that it has signed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from daglab.storage import gcs_answers, google_accounts, google_keys, places, sums, transfers

if TYPE_CHECKING:
    import requests

PAGE = 1000  # objects
VALID = 900  # seconds of a request's own address
META = "x-goog-meta-"


def put(
    who: google_keys.Signer,
    place: places.Place,
    key: str,
    path: Path,
    known: transfers.Sent,
    headers: Mapping[str, str],
    metadata: Mapping[str, str],
    *,
    timeout: float,
) -> None:
    """Put a file; the MD5 is compared by the store."""
    said = {**headers, "Content-MD5": sums.md5_header(known), **{META + name: text for name, text in metadata.items()}}
    answer = _ask(who, "PUT", address(place, key), headers=said, body=path, timeout=timeout)
    gcs_answers.expect(answer, place, (200,))


def look(who: google_keys.Signer, place: places.Place, key: str) -> sums.Seen | None:
    """What lies under a key."""
    answer = gcs_answers.expect(_ask(who, "HEAD", address(place, key)), place, (200, 404))
    if answer.status_code == 404:
        page(who, place, key)  # raises where the bucket is not there
        return None
    said = {name.lower(): text for name, text in answer.headers.items()}
    own = {name.removeprefix(META): text for name, text in said.items() if name.startswith(META)}
    sizes = (said.get("x-goog-stored-content-length"), said.get("content-length"))
    hashes = dict(each.strip().partition("=")[::2] for each in said.get("x-goog-hash", "").split(","))
    with transfers.readable():
        size = int(next((each for each in sizes if each is not None), ""))
        found = places.Found(key, size, own.get("sha256"), parsedate_to_datetime(said["last-modified"]), own)
    return sums.Seen(found, hashes.get("md5"))


def delete(who: google_keys.Signer, place: places.Place, key: str) -> bool:
    """Delete an object; whether there was one."""
    answer = gcs_answers.expect(_ask(who, "DELETE", address(place, key)), place, (200, 204, 404))
    if answer.status_code == 404:
        page(who, place, key)
    return answer.status_code != 404


def listing(who: google_keys.Signer, place: places.Place) -> list[places.Found]:
    """All objects under the place's prefix; their metadata is not told."""
    prefix = f"{place.prefix}/" if place.prefix else ""
    return list(transfers.all_pages(lambda token: page(who, place, prefix, PAGE, token)))


def page(
    who: google_keys.Signer,
    place: places.Place,
    prefix: str,
    most: int = 1,
    token: str = "",
    *,
    timeout: float = transfers.LOOK_SECONDS,
) -> tuple[list[places.Found], str]:
    """Some objects, and the token of those that follow, empty for none."""
    from xml.etree import ElementTree

    query = {"list-type": "2", "prefix": prefix, "max-keys": str(most)}
    if token:
        query["continuation-token"] = token
    answer = gcs_answers.expect(_ask(who, "GET", address(place, None), query=query, timeout=timeout), place, (200,))
    with transfers.readable():
        said = ElementTree.fromstring(answer.content)  # noqa: S314 (expat refuses entities that grow)
        for element in said.iter():
            element.tag = element.tag.rpartition("}")[2]
        if said.tag != "ListBucketResult":
            raise ValueError("this is no listing")
        found = [
            places.Found(
                each.findtext("Key") or "",
                int(each.findtext("Size") or ""),
                None,
                datetime.fromisoformat((each.findtext("LastModified") or "").replace("Z", "+00:00")),
            )
            for each in said.iter("Contents")
        ]
        return found, said.findtext("NextContinuationToken") or ""


def address(place: places.Place, key: str | None) -> str:
    """The plain address of an object, or of its bucket."""
    base = f"{google_accounts.endpoint()}/{place.bucket}"
    return base if key is None else f"{base}/{quote(key)}"


def _ask(
    who: google_keys.Signer,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    body: Path | bytes = b"",
    timeout: float = transfers.LOOK_SECONDS,
) -> requests.Response:
    def make() -> transfers.Request:
        at = datetime.now(timezone.utc)
        signed = google_keys.signed_url(who, method, url, VALID, at, headers=headers, query=query)
        return transfers.Request(method, signed, headers or {}, body)

    return transfers.exchange(make, timeout=timeout)

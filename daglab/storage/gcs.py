"""Google Cloud Storage: by gcloud where it is installed, by plain HTTP where credentials are in the usual variables.

An upload goes by gcloud first. What takes one short request (look, delete, listing) goes by HTTP first: a start of
gcloud takes two seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

from daglab import errors, redaction
from daglab.storage import gcs_json, gcs_program, gcs_xml, google_accounts, google_keys, places, sums, transfers, ways


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
    """See `objects.put`."""
    known = transfers.measured(path)
    transfers.check_headers({**(metadata or {}), "content type": content_type, "content encoding": content_encoding})
    headers = {"Content-Type": content_type, **({"Content-Encoding": content_encoding} if content_encoding else {})}
    own = {**{name.lower(): text for name, text in (metadata or {}).items()}, "sha256": known.sha256}

    def by_http() -> str:
        who = google_accounts.credentials()
        if isinstance(who, google_keys.Signer):
            gcs_xml.put(who, place, key, path, known, headers, own, timeout=timeout)
        else:
            gcs_json.put(who, place, key, path, known, headers, own, timeout=timeout)
        return "http"

    def by_program() -> str:
        gcs_program.put(place, key, path, known, headers, own, timeout=timeout)
        return "gcloud"

    address = places.address(place, key)
    via = sums.verified(address, known, lambda: ways.first(by_program, by_http), lambda: _look(place, key))
    return places.Stored(address, key, gcs_xml.address(place, key), known.bytes, known.sha256, via)


def look(place: places.Place, key: str) -> places.Found | None:
    """See `objects.look`."""
    seen = _look(place, key)
    return seen.found if seen else None


def delete(place: places.Place, key: str) -> bool:
    """See `objects.delete`."""

    def by_http() -> bool:
        who = google_accounts.credentials()
        if isinstance(who, google_keys.Signer):
            return gcs_xml.delete(who, place, key)
        return gcs_json.delete(who, place, key)

    return ways.first(by_http, lambda: gcs_program.delete(place, key))


def listing(place: places.Place) -> Iterator[places.Found]:
    """See `objects.listing`."""

    def by_http() -> list[places.Found]:
        who = google_accounts.credentials()
        if isinstance(who, google_keys.Signer):
            return gcs_xml.listing(who, place)
        return gcs_json.listing(who, place)

    yield from ways.first(by_http, lambda: gcs_program.listing(place))


def sign(place: places.Place, key: str, seconds: int) -> places.Signed:
    """See `objects.sign`: for 7 days at most, by a service account's key, an HMAC key, or gcloud."""
    if seconds > google_keys.LONGEST:
        raise errors.InvalidInput(
            f"A link to Cloud Storage lives for 7 days at most, and not {seconds} s.",
            "Sign for `7d` or less; `daglab exports resign` renews links that run out.",
        )
    at = datetime.now(timezone.utc).replace(microsecond=0)

    def by_key() -> str:
        who = google_accounts.signer()
        return google_keys.signed_url(who, "GET", gcs_xml.address(place, key), seconds, at)

    url = ways.first(by_key, lambda: gcs_program.signed_url(place, key, seconds))
    redaction.hide(url.rpartition("X-Goog-Signature=")[2])
    return places.Signed(url, at + timedelta(seconds=seconds))


def check(place: places.Place, timeout: float) -> str:
    """See `objects.check`: asks for one name in the bucket."""

    def by_http() -> str:
        who = google_accounts.credentials()
        if isinstance(who, google_keys.Signer):
            gcs_xml.page(who, place, place.prefix, timeout=timeout)
        else:
            gcs_json.page(who, place, place.prefix, timeout=timeout)
        return f"http, with {who.origin}"

    return ways.first(lambda: gcs_program.check(place, timeout), by_http)


def _look(place: places.Place, key: str) -> sums.Seen | None:
    def by_http() -> sums.Seen | None:
        who = google_accounts.credentials()
        if isinstance(who, google_keys.Signer):
            return gcs_xml.look(who, place, key)
        return gcs_json.look(who, place, key)

    return ways.first(by_http, lambda: gcs_program.look(place, key))

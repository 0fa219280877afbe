"""Azure Blob Storage: by `az` where it is installed, by plain HTTP where credentials are in the usual variables.

An upload goes by `az` first. What takes one short request (look, delete, listing) goes by HTTP first: a start of `az`
takes a second. The credentials are those that `az` itself reads: AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY
and AZURE_STORAGE_SAS_TOKEN with AZURE_STORAGE_ACCOUNT, or the same in its config file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode

from daglab import errors
from daglab.storage import azure_accounts, azure_program, places, shared_keys, sums, transfers, ways

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    import requests

META = azure_program.META
PAGE = 5000  # blobs in a page of a listing: the most that there may be
LONG = 7 * 24 * 3600  # seconds: what a link may live where its key doesn't live for ever


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
    md5 = sums.md5_header(known)
    transfers.check_headers({**(metadata or {}), "content type": content_type, "content encoding": content_encoding})
    headers = {
        "x-ms-blob-content-type": content_type,
        **({"x-ms-blob-content-encoding": content_encoding} if content_encoding else {}),
        "x-ms-blob-content-md5": md5,
        **{f"x-ms-meta-{_name(each)}": text for each, text in (metadata or {}).items()},
        "x-ms-meta-sha256": known.sha256,
    }

    def by_http() -> str:
        account = azure_accounts.account(place.account)
        sent = {**headers, "x-ms-blob-type": "BlockBlob", "Content-MD5": md5}
        _expect(_ask(account, "PUT", place, key, sent, body=path, timeout=timeout), place, (201,))
        return "http"

    def by_program() -> str:
        azure_program.upload(place, key, path, headers, md5, timeout=timeout)
        return "az"

    address = places.address(place, key)
    via = sums.verified(address, known, lambda: ways.first(by_program, by_http), lambda: _look(place, key))
    link = _url(azure_accounts.endpoint(place.account), place, key)
    return places.Stored(address, key, link, known.bytes, known.sha256, via)


def look(place: places.Place, key: str) -> places.Found | None:
    """See `objects.look`."""
    seen = _look(place, key)
    return seen.found if seen else None


def delete(place: places.Place, key: str) -> bool:
    """See `objects.delete`."""

    def by_http() -> bool:
        answer = _ask(azure_accounts.account(place.account), "DELETE", place, key)
        return _expect(answer, place, (202, 404)).status_code == 202

    return ways.first(by_http, lambda: azure_program.delete(place, key))


def listing(place: places.Place) -> Iterator[places.Found]:
    """See `objects.listing`."""
    yield from ways.first(lambda: _listed(place), lambda: azure_program.listing(place))


def sign(place: places.Place, key: str, seconds: int) -> places.Signed:
    """See `objects.sign`. An account's key signs for any time; `az login` alone for 7 days at most."""
    expires_at = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=seconds)
    endpoint = azure_accounts.endpoint(place.account)
    until = f"{expires_at:%Y-%m-%dT%H:%M:%SZ}"

    def by_key() -> tuple[str, str | None]:
        account = azure_accounts.account(place.account)
        if account.key is None:
            raise errors.NotSetUp(
                "A shared access signature can't sign links, only an account's key can.", azure_accounts.HINT
            )
        https = endpoint.startswith("https://")
        note = "Only a new key of the account ends it earlier." if seconds > LONG else None
        return shared_keys.link_query(account.name, account.key, place.bucket, key, until, https=https), note

    def by_login() -> tuple[str, str | None]:
        if seconds > LONG:
            raise errors.InvalidInput(
                f"Without the account's key a link lives for 7 days at most, and not {seconds} s.",
                "Sign for `7d` or less, or set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY.",
            )
        return azure_program.link_query(place, key, until), None

    query, note = ways.first(by_key, by_login)
    azure_accounts.hide_signature(query)
    return places.Signed(f"{_url(endpoint, place, key)}?{query}", expires_at, note)


def check(place: places.Place, timeout: float) -> str:
    """See `objects.check`: asks for one name in the container."""

    def by_http() -> str:
        account = azure_accounts.account(place.account)
        query = {"restype": "container", "comp": "list", "maxresults": "1", "prefix": place.prefix}
        _expect(_ask(account, "GET", place, None, query=query, timeout=timeout), place, (200,))
        return f"http, with {account.origin}"

    return ways.first(lambda: azure_program.check(place, timeout), by_http)


def _look(place: places.Place, key: str) -> sums.Seen | None:
    def by_http() -> sums.Seen | None:
        answer = _ask(azure_accounts.account(place.account), "HEAD", place, key)
        if _expect(answer, place, (200, 404)).status_code == 404:
            return None
        said = {name.lower(): text for name, text in answer.headers.items()}
        own = {name.removeprefix(META): text for name, text in said.items() if name.startswith(META)}
        with transfers.readable():
            changed_at = parsedate_to_datetime(said["last-modified"])
            found = azure_program.found(key, int(said["content-length"]), own, changed_at)
        return sums.Seen(found, said.get("content-md5"))

    return ways.first(by_http, lambda: azure_program.look(place, key))


def _listed(place: places.Place) -> list[places.Found]:
    from xml.etree import ElementTree

    account = azure_accounts.account(place.account)
    asked = {"restype": "container", "comp": "list", "include": "metadata", "maxresults": str(PAGE)}
    if place.prefix:
        asked["prefix"] = f"{place.prefix}/"

    def page(marker: str) -> tuple[list[places.Found], str]:
        query = {**asked, **({"marker": marker} if marker else {})}
        answer = _expect(_ask(account, "GET", place, None, query=query), place, (200,))
        with transfers.readable():
            said = ElementTree.fromstring(answer.content)  # noqa: S314
            if said.tag != "EnumerationResults":
                raise ValueError("this is no listing")
            return [_of_page(blob) for blob in said.iter("Blob")], said.findtext("NextMarker") or ""

    return list(transfers.all_pages(page))


def _of_page(blob: Element) -> places.Found:
    """One blob of a listing; a name that XML can't hold is written in percents."""
    name = blob.find("Name")
    key = (name.text if name is not None else None) or ""
    if name is not None and name.get("Encoded") == "true":
        key = unquote(key)
    own = {each.tag: each.text or "" for each in blob.findall("Metadata/*")}
    changed_at = parsedate_to_datetime(blob.findtext("Properties/Last-Modified") or "")
    return azure_program.found(key, int(blob.findtext("Properties/Content-Length") or ""), own, changed_at)


def _ask(
    account: azure_accounts.Account,
    method: str,
    place: places.Place,
    key: str | None,
    headers: Mapping[str, str] | None = None,
    *,
    query: Mapping[str, str] | None = None,
    body: Path | None = None,
    timeout: float = transfers.LOOK_SECONDS,
) -> requests.Response:
    """Send one request, with the account's key or its shared access signature."""
    url = _url(account.endpoint, place, key)
    if query:
        url += "?" + urlencode(query, quote_via=quote, safe="")
    size = body.stat().st_size if body else 0

    def make() -> transfers.Request:
        now = format_datetime(datetime.now(timezone.utc), usegmt=True)
        said = {**(headers or {}), "x-ms-date": now, "x-ms-version": shared_keys.VERSION}
        if account.key is None:
            return transfers.Request(method, f"{url}{'&' if query else '?'}{account.sas}", said, body or b"")
        counted = {**said, "Content-Length": str(size)}
        said["Authorization"] = shared_keys.authorization(account.name, account.key, method, url, counted)
        return transfers.Request(method, url, said, body or b"")

    return transfers.exchange(make, timeout=timeout)


def _expect(answer: requests.Response, place: places.Place, statuses: Collection[int]) -> requests.Response:
    """The answer, where its status is one of these; a container that is not there is an error in any case."""
    code, status = answer.headers.get("x-ms-error-code", ""), answer.status_code
    if code == "ContainerNotFound":
        raise azure_program.no_container(place)
    if status in statuses and (status != 404 or code in ("", "BlobNotFound", "ResourceNotFound")):
        return answer
    where = f"The storage account {place.account}"
    if status in (401, 403):
        hint = "Renew the credentials, or ask for the right; a clock that is 15 minutes off is refused, too."
        raise errors.NotAuthorised(f"{where} refused the credentials ({status}{code and ' '}{code}).", hint)
    if status in transfers.AGAIN or status < 400:
        raise errors.Unreachable(f"{where} can't answer now ({status}{code and ' '}{code}).", "Try again later.")
    raise errors.InvalidInput(f"{where} took it for wrong ({status}{code and ' '}{code}).", "Look at the names.")


def _url(endpoint: str, place: places.Place, key: str | None) -> str:
    base = f"{endpoint}/{quote(place.bucket, safe='$')}"
    return base if key is None else f"{base}/{quote(key)}"


def _name(text: str) -> str:
    """A metadata's name as Azure takes it: of letters, digits and underscores."""
    return text.lower().replace("-", "_")

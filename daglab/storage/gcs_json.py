"""Cloud Storage's JSON API, for those who have an OAuth token, and for emulators, which ask for nobody."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from daglab import errors
from daglab.storage import gcs_answers, google_accounts, places, sums, transfers

if TYPE_CHECKING:
    import requests

PAGE = 1000  # objects


def put(
    who: google_accounts.Bearer,
    place: places.Place,
    key: str,
    path: Path,
    known: transfers.Sent,
    headers: Mapping[str, str],
    metadata: Mapping[str, str],
    *,
    timeout: float,
) -> None:
    """Put a file with its description, in one request of two parts; the MD5 is compared by the store."""
    about = {
        "name": key,
        "md5Hash": sums.md5_header(known),
        "contentType": headers["Content-Type"],
        "metadata": dict(metadata),
    }
    if "Content-Encoding" in headers:
        about["contentEncoding"] = headers["Content-Encoding"]
    mark = f"daglab-{secrets.token_hex(16)}"
    first = f"--{mark}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(about)}\r\n"
    second = f"--{mark}\r\nContent-Type: {headers['Content-Type']}\r\n\r\n"
    try:
        with tempfile.TemporaryDirectory(prefix="daglab-") as folder:
            body = Path(folder, "body")
            with body.open("wb") as file, path.open("rb") as content:
                file.write((first + second).encode())
                shutil.copyfileobj(content, file)
                file.write(f"\r\n--{mark}--\r\n".encode())
            url = f"/upload/storage/v1/b/{place.bucket}/o?uploadType=multipart"
            kind = {"Content-Type": f"multipart/related; boundary={mark}"}
            answer = _ask(who, "POST", url, kind, body, timeout=timeout)
    except OSError as error:
        message = f"A copy of {path} for the upload can't be written: {error.strerror}."
        raise errors.InvalidInput(message, "Make room in the folder for temporary files (TMPDIR).") from None
    gcs_answers.expect(answer, place, (200,))


def look(who: google_accounts.Bearer, place: places.Place, key: str) -> sums.Seen | None:
    """What lies under a key."""
    answer = gcs_answers.expect(_ask(who, "GET", _object(place, key)), place, (200, 404))
    if answer.status_code == 404:
        page(who, place, key)  # raises where the bucket is not there
        return None
    with transfers.readable():
        return gcs_answers.of_resource(answer.json())


def delete(who: google_accounts.Bearer, place: places.Place, key: str) -> bool:
    """Delete an object; whether there was one."""
    answer = gcs_answers.expect(_ask(who, "DELETE", _object(place, key)), place, (200, 204, 404))
    if answer.status_code == 404:
        page(who, place, key)
    return answer.status_code != 404


def listing(who: google_accounts.Bearer, place: places.Place) -> list[places.Found]:
    """All objects under the place's prefix."""
    prefix = f"{place.prefix}/" if place.prefix else ""
    return list(transfers.all_pages(lambda token: page(who, place, prefix, PAGE, token)))


def page(
    who: google_accounts.Bearer,
    place: places.Place,
    prefix: str,
    most: int = 1,
    token: str = "",
    *,
    timeout: float = transfers.LOOK_SECONDS,
) -> tuple[list[places.Found], str]:
    """Some objects, and the token of those that follow, empty for none."""
    query = {"prefix": prefix, "maxResults": str(most), **({"pageToken": token} if token else {})}
    url = f"/storage/v1/b/{place.bucket}/o?{urlencode(query, quote_via=quote, safe='')}"
    answer = gcs_answers.expect(_ask(who, "GET", url, timeout=timeout), place, (200,))
    with transfers.readable():
        said = answer.json()
        following = said.get("nextPageToken") or ""
        following.encode()  # half a letter can't be sent back
        return [gcs_answers.of_resource(each).found for each in said.get("items", ())], following


def _object(place: places.Place, key: str) -> str:
    return f"/storage/v1/b/{place.bucket}/o/{quote(key, safe='')}"


def _ask(
    who: google_accounts.Bearer,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: Path | bytes = b"",
    *,
    timeout: float = transfers.LOOK_SECONDS,
) -> requests.Response:
    identity = {"Authorization": f"Bearer {who.token}"} if who.token else {}
    request = transfers.Request(method, google_accounts.endpoint() + path, {**(headers or {}), **identity}, body)
    return transfers.exchange(lambda: request, timeout=timeout)

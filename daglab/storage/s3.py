"""Amazon S3 and what speaks its language: through the AWS CLI where it is installed, else over plain HTTP.

A bucket stands in the host's name on AWS itself, and in the path at any other address (and where its name has dots:
no certificate is for those). The right region of a bucket is taken from the answer that says that ours is wrong, and
is used in an address of our own making: where the answer points is never followed.
"""

from __future__ import annotations

import base64
import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from daglab import errors
from daglab.storage import aws_answers, aws_program, aws_settings, places, sigv4, transfers

if TYPE_CHECKING:
    import requests

_FIRST_REGION = "us-east-1"  # where no other is named
_WITH_CHECKSUM = {"x-amz-checksum-mode": "ENABLED"}
_regions: dict[tuple[str | None, str], str] = {}  # by endpoint and bucket: what a store has said


@dataclass(frozen=True)
class Bucket:
    """A bucket, where it is, and who asks."""

    name: str
    region: str
    endpoint: str | None
    style: str
    keys: sigv4.Keys

    def url(self, key: str = "") -> str:
        """The address of an object, or of the bucket."""
        return address(self.name, self.region, self.endpoint, self.style) + sigv4.quoted(key)


def address(bucket: str, region: str | None, endpoint: str | None, style: str) -> str:
    """The address of a bucket with a slash at its end; without a region, the one that AWS leads on from."""
    domain = "amazonaws.com.cn" if (region or "").startswith("cn-") else "amazonaws.com"
    base = endpoint or (f"https://s3.{region}.{domain}" if region else f"https://s3.{domain}")
    if style == "path" or (style == "auto" and endpoint) or "." in bucket:
        return f"{base}/{bucket}/"
    scheme, _, host = base.partition("://")
    return f"{scheme}://{bucket}.{host}/"


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
    """See `objects.put`. One request, for 5 GB at most; S3 itself compares the checksum, and is asked for it after."""
    sent = transfers.measured(path)
    noted = {**(metadata or {}), "sha256": sent.sha256}
    transfers.check_headers({**noted, "content type": content_type, "content encoding": content_encoding})
    where = places.address(place, key)
    if program := aws_program.find():
        link = _link(place.bucket) + sigv4.quoted(key)
        upload = aws_program.Upload(path, content_type, content_encoding, noted)
        aws_answers.verify(where, sent, aws_program.put(program, place, key, upload, sent, timeout))
        return places.Stored(where, key, link, sent.bytes, sent.sha256, "aws")
    headers = {
        "Content-Type": content_type,
        **({"Content-Encoding": content_encoding} if content_encoding else {}),
        **{f"x-amz-meta-{name}": text for name, text in noted.items()},
        "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(sent.sha256)).decode(),
    }
    bucket = _put(_bucket(place), key, path, headers, sent, timeout)
    return places.Stored(where, key, bucket.url(key), sent.bytes, sent.sha256, "http")


def look(place: places.Place, key: str) -> places.Found | None:
    """See `objects.look`."""
    if program := aws_program.find():
        said = aws_program.look(program, place, key)
    else:
        answer, bucket = _send(_bucket(place), "HEAD", key, headers=_WITH_CHECKSUM)
        if answer.status_code == 404:
            _require(bucket)
            return None
        if answer.status_code != 200:
            raise aws_answers.refusal(answer, places.address(place, key))
        said = aws_answers.of_headers(answer.headers)
    if said is None:
        return None
    return places.Found(key, said.bytes, said.sha256 or said.noted, said.changed_at, said.metadata)


def delete(place: places.Place, key: str) -> bool:
    """See `objects.delete`. S3 itself does not say whether there was one, so it is looked for first."""
    if look(place, key) is None:
        return False
    if program := aws_program.find():
        aws_program.delete(program, place, key)
        return True
    answer, _ = _send(_bucket(place), "DELETE", key)
    if answer.status_code not in (200, 204, 404):
        raise aws_answers.refusal(answer, places.address(place, key))
    return True


def listing(place: places.Place) -> Iterator[places.Found]:
    """See `objects.listing`. A thousand a page; what only stands for a folder is left out."""
    if program := aws_program.find():
        yield from aws_program.listing(program, place)
        return
    bucket = _bucket(place)

    def page(token: str) -> tuple[list[places.Found], str]:
        nonlocal bucket
        pairs = {"encoding-type": "url", "list-type": "2", "prefix": _beginning(place)}
        answer, bucket = _send(bucket, "GET", query={**pairs, **({"continuation-token": token} if token else {})})
        if answer.status_code != 200:
            raise aws_answers.refusal(answer, places.address(place, place.prefix))
        return parse_listing(answer.content, places.address(place, place.prefix))

    yield from transfers.all_pages(page)


def parse_listing(content: bytes, where: str) -> tuple[list[places.Found], str]:
    """The objects of a page, and the token of the next one, empty for none. Raises `Unreachable` for anything else."""
    root = aws_answers.document(content)
    if root is None or root.tag != "ListBucketResult":
        raise errors.Unreachable(f"{where}: the answer is no listing of S3.", "Is it the address of an S3 store?")
    encoded = root.findtext("EncodingType") == "url"
    found = []
    for each in root.findall("Contents"):
        key, size = each.findtext("Key") or "", each.findtext("Size") or ""
        if key and not key.endswith("/") and size.isdecimal() and len(size) < 20:
            changed = aws_answers.when(each.findtext("LastModified") or "")
            found.append(places.Found(unquote_plus(key) if encoded else key, int(size), None, changed))
    more = root.findtext("IsTruncated") == "true"
    token = (root.findtext("NextContinuationToken") or "") if more else ""
    if more and not token:
        raise errors.Unreachable(f"{where}: the listing does not say how it goes on.", "Is it an S3 store?")
    return found, token


def sign(place: places.Place, key: str, seconds: int) -> places.Signed:
    """See `objects.sign`. At most 7 days, and no longer than the credentials live where they end."""
    if not 1 <= seconds <= sigv4.LONGEST:
        raise errors.InvalidInput(
            f"A link of S3 is valid for 1 to {sigv4.LONGEST} seconds (7 days), not {seconds}.",
            "Sign it for 7d at most; `daglab exports resign` renews it.",
        )
    keys, program = aws_settings.keys(os.environ), aws_program.find()
    if keys is None and program:
        keys = aws_program.keys(program)
        if keys is None:  # an older AWS CLI tells nobody its keys, and signs by itself
            return aws_program.sign(program, place, key, seconds)
    bucket = _with_region(_bucket(place, keys))
    now = datetime.now(timezone.utc)
    life, note = _life(bucket.keys, seconds, now)
    url = sigv4.signed_url(bucket.keys, bucket.region, "GET", bucket.url(key), life, now)
    return places.Signed(url, now.replace(microsecond=0) + timedelta(seconds=life), note)


def check(place: places.Place, timeout: float) -> str:
    """See `objects.check`. Asks for the first object under the prefix."""
    if program := aws_program.find():
        aws_program.check(program, place, timeout)
        return f"{places.address(place, place.prefix)} answers the AWS CLI"
    pairs = {"list-type": "2", "max-keys": "1", "prefix": _beginning(place)}
    bucket = _bucket(place)
    answer, bucket = _send(bucket, "GET", query=pairs, timeout=timeout)
    if answer.status_code != 200:
        raise aws_answers.refusal(answer, places.address(place, place.prefix))
    parse_listing(answer.content, places.address(place, place.prefix))
    return f"{places.address(place, place.prefix)} answers over HTTP to the key of {bucket.keys.origin}"


def _put(
    bucket: Bucket, key: str, path: Path, headers: Mapping[str, str], sent: transfers.Sent, timeout: float
) -> Bucket:
    """Put, and look at what is there after; that tells, too, what became of a request whose answer was lost."""
    where = f"s3://{bucket.name}/{key}"
    lost: errors.OutcomeUnknown | None = None
    taken: aws_answers.Said | None = None
    try:
        answer, bucket = _send(bucket, "PUT", key, headers=headers, body=path, sha256=sent.sha256, timeout=timeout)
        if answer.status_code != 200:
            raise aws_answers.refusal(answer, where)
        taken = aws_answers.of_headers(answer.headers, sent.bytes)
    except errors.OutcomeUnknown as error:
        lost = error
    try:
        answer, bucket = _send(bucket, "HEAD", key, headers=_WITH_CHECKSUM)
    except errors.Unreachable as error:
        unread = f"{where} was sent, and can't be read back: {error.message}"
        raise lost or errors.OutcomeUnknown(unread, aws_answers.AGAIN) from None
    if answer.status_code == 200:
        said = aws_answers.of_headers(answer.headers)
    elif answer.status_code == 403 and taken:  # we may write and not read: what it said when it took it has to do
        said = taken
    else:
        raise lost or errors.OutcomeUnknown(f"{where} was uploaded, and is not there.", aws_answers.AGAIN)
    try:
        aws_answers.verify(where, sent, said)
    except errors.OutcomeUnknown as error:
        raise lost or error from None
    return bucket


def _send(
    bucket: Bucket,
    method: str,
    key: str = "",
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: Path | bytes = b"",
    sha256: str = sigv4.EMPTY,
    timeout: float = transfers.LOOK_SECONDS,
) -> tuple[requests.Response, Bucket]:
    """Send one request; once more where the answer says that the bucket is in another region, which it then has."""

    def make() -> transfers.Request:
        url = bucket.url(key) + (f"?{sigv4.query(query)}" if query else "")
        now = datetime.now(timezone.utc)
        signed = sigv4.signed_headers(bucket.keys, bucket.region, method, url, headers or {}, sha256, now)
        return transfers.Request(method, url, signed, body)

    answer = transfers.exchange(make, timeout=timeout)
    region = _said_region(answer)
    if region and region != bucket.region and answer.status_code in (301, 302, 307, 400, 403):
        bucket = dataclasses.replace(bucket, region=region)
        answer = transfers.exchange(make, timeout=timeout)
        if answer.status_code < 300:
            _regions[bucket.endpoint, bucket.name] = region
    return answer, bucket


def _said_region(answer: requests.Response) -> str | None:
    """The region of a bucket, where an answer names it."""
    region = answer.headers.get("x-amz-bucket-region")
    if not region and answer.status_code >= 300:
        root = aws_answers.document(answer.content)
        region = root.findtext("Region") if root is not None else None
    return region if region and aws_settings.is_region(region) else None


def _bucket(place: places.Place, keys: sigv4.Keys | None = None) -> Bucket:
    """The bucket of a place as variables and files say. Raises `NotSetUp` without credentials."""
    keys = keys or aws_settings.keys(os.environ)
    if keys is None:
        raise errors.NotSetUp("Nothing says who you are to S3, and the AWS CLI is not installed.", aws_settings.WAYS)
    if keys.expires_at and keys.expires_at <= datetime.now(timezone.utc):
        raise errors.NotAuthorised(f"The credentials of {keys.origin} have expired.", "Sign in anew, or renew them.")
    said = aws_settings.settings(os.environ)
    region = _regions.get((said.endpoint, place.bucket)) or said.region or _FIRST_REGION
    return Bucket(place.bucket, region, said.endpoint, said.style, keys)


def _link(bucket: str) -> str:
    """The plain address of a bucket where the AWS CLI is used, which keeps the region to itself."""
    said = aws_settings.settings(os.environ)
    china = (said.region or "").startswith("cn-")
    return address(bucket, said.region if china else None, said.endpoint, said.style)


def _with_region(bucket: Bucket) -> Bucket:
    """The bucket with its own region, which AWS is asked for: a link that is signed for another one is dead."""
    if bucket.endpoint or (None, bucket.name) in _regions:
        return bucket
    answer, found = _send(bucket, "HEAD")
    if answer.status_code == 404:
        raise aws_answers.refusal(answer, f"s3://{bucket.name}")
    region = _said_region(answer) or found.region
    _regions[None, bucket.name] = region
    return dataclasses.replace(bucket, region=region)


def _life(keys: sigv4.Keys, seconds: int, now: datetime) -> tuple[int, str | None]:
    """For how many seconds a link is valid, and what is to be said of it."""
    if keys.expires_at is not None:
        left = int((keys.expires_at - now).total_seconds())
        if left < seconds:
            return max(left, 1), f"The link ends with the credentials of {keys.origin}, in {left} s."
    elif keys.token:
        return seconds, f"The link ends with the session of {keys.origin}, which does not say when that is."
    return seconds, None


def _require(bucket: Bucket) -> None:
    """That there is the bucket, and that we are known: an answer to HEAD says 404 for all of it, without a reason."""
    answer, _ = _send(bucket, "GET", query={"list-type": "2", "max-keys": "1"})
    if answer.status_code not in (200, 403) or aws_answers.code(answer.content) in aws_answers.UNKNOWN:
        raise aws_answers.refusal(answer, f"s3://{bucket.name}")


def _beginning(place: places.Place) -> str:
    return f"{place.prefix}/" if place.prefix else ""

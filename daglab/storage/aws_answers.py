"""What S3 answers: errors in a person's words, and what it says of an object."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from daglab import errors, redaction
from daglab.storage import transfers

if TYPE_CHECKING:
    import requests

OTHER = "{where} was uploaded, and what lies there now is something else than what was sent."
AGAIN = "Upload it again. Somebody else may write to the same name."
_EXPIRED = ("ExpiredToken", "RequestExpired", "TokenRefreshRequired", "ExpiredTokenException")
_METADATA = "x-amz-meta-"
UNKNOWN = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", *_EXPIRED)
_HINTS = {
    "InvalidAccessKeyId": "There is no such key: look at AWS_ACCESS_KEY_ID, AWS_PROFILE, and for whom the address is.",
    "XAdminUserNotFound": "There is no such key: look at AWS_ACCESS_KEY_ID.",  # versitygw's
    "SignatureDoesNotMatch": "The secret does not belong to the key: look at AWS_SECRET_ACCESS_KEY, or the profile.",
    "RequestTimeTooSkewed": "The clock of this machine is wrong: set it.",
    "AccessDenied": "The key lacks the right: it needs s3:PutObject, GetObject, DeleteObject and ListBucket there.",
}


@dataclass(frozen=True)
class Said:
    """What a store says of an object: its size, its own SHA-256 of all of it, its MD5, and the metadata.

    That has a SHA-256 of our own, `noted`.
    """

    bytes: int
    sha256: str | None
    metadata: Mapping[str, str]
    md5: str | None
    changed_at: datetime

    @property
    def noted(self) -> str | None:
        """The SHA-256 that was noted when it was uploaded."""
        return self.metadata.get("sha256")


def of_headers(headers: Mapping[str, str], size: int | None = None) -> Said:
    """The same from an answer's headers. Of an upload in several parts, neither checksum is of all of it."""
    plain = {name.lower(): text for name, text in headers.items()}
    length = plain.get("content-length", "") if size is None else str(size)
    return Said(
        _whole(length),
        _sha256(plain.get("x-amz-checksum-sha256"), plain.get("x-amz-checksum-type")),
        {name.removeprefix(_METADATA): text for name, text in plain.items() if name.startswith(_METADATA)},
        _md5(plain.get("etag"), plain.get("x-amz-server-side-encryption"), plain),
        _date(plain.get("last-modified")),
    )


def of_document(document: Mapping[str, Any], size: int | None = None) -> Said:
    """The same from what the AWS CLI prints."""
    said = document.get("Metadata")
    metadata = said if isinstance(said, dict) else {}
    encryption = "customer" if document.get("SSECustomerAlgorithm") else _text(document, "ServerSideEncryption")
    return Said(
        _whole(document.get("ContentLength")) if size is None else size,
        _sha256(_text(document, "ChecksumSHA256"), _text(document, "ChecksumType")),
        {str(name).lower(): str(text) for name, text in metadata.items()},
        _md5(_text(document, "ETag"), encryption, {}),
        when(str(document.get("LastModified", ""))),
    )


def verify(where: str, sent: transfers.Sent, said: Said) -> None:
    """That what a store says is what was sent: its own checksum, else MD5, else what we have noted there ourselves.

    Raises `OutcomeUnknown` where it is not.
    """
    pairs = [(said.sha256, sent.sha256), (said.md5, sent.md5), (said.noted, sent.sha256)]
    found, ours = next((pair for pair in pairs if pair[0] is not None), (None, ""))
    if said.bytes != sent.bytes or found != ours:
        raise errors.OutcomeUnknown(OTHER.format(where=where), AGAIN)


def refusal(answer: requests.Response, where: str) -> errors.DaglabError:
    """What an answer that is not good means. An answer to HEAD has no text, and less is known of it."""
    return refused(code(answer.content), answer.status_code, where)


def code(content: bytes) -> str:
    """The code of an error (NoSuchBucket); empty where there is none."""
    found = document(content)
    return (found.findtext("Code") if found is not None else None) or ""


def refused(named: str, status: int, where: str) -> errors.DaglabError:
    """What a code of S3 (NoSuchBucket), with the answer's status, means."""
    said = redaction.clean(f"{named} {status}" if re.fullmatch(r"\w{1,80}", named) else str(status)).strip()
    if named in _EXPIRED or named == "InvalidToken":
        return errors.NotAuthorised(f"{where}: the credentials have expired ({said}).", "Sign in anew, or renew them.")
    if named in _HINTS or status in (401, 403):
        return errors.NotAuthorised(
            f"{where}: S3 refused the request ({said}).", _HINTS.get(named, _HINTS["AccessDenied"])
        )
    if named == "NoSuchBucket" or (status == 404 and not named):
        bucket = where.removeprefix("s3://").partition("/")[0]
        hint = "Look at its name, and at AWS_ENDPOINT_URL: each store has buckets of its own."
        return errors.InvalidInput(f"There is no bucket {bucket!r}.", hint)
    if 300 <= status < 400:
        hint = "Name the bucket's own region in AWS_REGION, or the right address in AWS_ENDPOINT_URL_S3."
        return errors.Unreachable(f"{where}: the store leads elsewhere ({said}); daglab does not follow.", hint)
    if status >= 500 or status == 429 or named in ("SlowDown", "RequestTimeout"):
        return errors.Unreachable(f"{where}: the store can't serve the request now ({said}).", "Try again later.")
    if named in ("BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest", "XAmzContentChecksumMismatch"):
        return errors.Unreachable(f"{where}: other bytes arrived than were sent ({said}).", "Try again.")
    return errors.InvalidInput(
        f"{where}: the store does not take the request ({said}).", "Look at the name and the file."
    )


def document(content: bytes) -> ElementTree.Element | None:
    """XML without its namespaces; None for anything else, and for what defines entities of its own."""
    if b"<!" in content.replace(b"<![CDATA[", b""):
        return None
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 (no entities)
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    for element in root.iter():
        element.tag = str(element.tag).rpartition("}")[2]
    return root


def when(text: str) -> datetime:
    """A time as S3 writes it in documents; the beginning of time for none."""
    try:
        found = datetime.fromisoformat(re.sub(r"\.\d+", "", text.strip()).replace("Z", "+00:00"))
    except ValueError:
        return datetime.fromtimestamp(0, timezone.utc)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _text(document: Mapping[str, Any], name: str) -> str | None:
    return str(document[name]) if document.get(name) else None


def _whole(value: object) -> int:
    """A size; -1, which none has, for what is none."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1


def _date(text: str | None) -> datetime:
    try:
        found = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return datetime.fromtimestamp(0, timezone.utc)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _sha256(text: str | None, kind: str | None) -> str | None:
    if not text or kind == "COMPOSITE" or "-" in text:
        return None
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found.hex() if len(found) == 32 else None


def _md5(etag: str | None, encryption: str | None, headers: Mapping[str, str]) -> str | None:
    """An ETag is the MD5 of what was put in one part, where no key of the customer's encrypts it."""
    encrypted = encryption not in (None, "", "AES256") or "x-amz-server-side-encryption-customer-algorithm" in headers
    text = (etag or "").strip('"').lower()
    return text if re.fullmatch("[0-9a-f]{32}", text) and not encrypted else None

"""AWS Signature Version 4: headers that sign a request to S3, and addresses that are signed themselves.

The path of an address is signed as it stands: `quoted` is how a key is written there, once and not twice.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlsplit

from daglab import redaction

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY = hashlib.sha256(b"").hexdigest()
LONGEST = 604_800  # seconds, 7 days: no S3 takes a link that is valid for longer


@dataclass(frozen=True)
class Keys:
    """Who we are: `origin` says where that was read, `expires_at` when it ends, where that is known."""

    access: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    origin: str = ""


def quoted(text: str, safe: str = "/") -> str:
    """Text as it stands in a signed address: all but letters, digits, `-._~` and `safe` as UTF-8 in percents."""
    return quote(text, safe=safe)


def query(pairs: Mapping[str, str]) -> str:
    """The query of an address, in the order of the pairs."""
    return "&".join(f"{quoted(name, '')}={quoted(value, '')}" for name, value in pairs.items())


def signed_headers(
    keys: Keys, region: str, method: str, url: str, headers: Mapping[str, str], sha256: str, at: datetime
) -> dict[str, str]:
    """The headers of a request with its signature: all of them are signed. `sha256` is the body's, in hex."""
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    found = {**headers, "X-Amz-Date": stamp, "X-Amz-Content-SHA256": sha256}
    if keys.token:
        found["X-Amz-Security-Token"] = keys.token
    canonical, names = _canonical_headers(url, found)
    text = "\n".join([method, _path(url), _sorted(urlsplit(url).query), canonical, names, sha256])
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    signature = _signature(keys, region, stamp, scope, text)
    found["Authorization"] = (
        f"{ALGORITHM} Credential={keys.access}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return found


def signed_url(keys: Keys, region: str, method: str, url: str, seconds: int, at: datetime) -> str:
    """An address, with or without a query, that is valid for so many seconds from `at` (UTC)."""
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    pairs = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{keys.access}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
        **({"X-Amz-Security-Token": keys.token} if keys.token else {}),
    }
    base, _, before = url.partition("?")
    said = "&".join(filter(None, [before, query(pairs)]))
    canonical, names = _canonical_headers(url, {})
    text = "\n".join([method, _path(url), _sorted(said), canonical, names, UNSIGNED])
    signature = _signature(keys, region, stamp, scope, text)
    redaction.hide(signature)
    return f"{base}?{said}&X-Amz-Signature={signature}"


def _path(url: str) -> str:
    return urlsplit(url).path or "/"


def _sorted(text: str) -> str:
    """A query in canonical order; it is encoded already."""
    return "&".join("=".join(pair) for pair in sorted(part.partition("=")[::2] for part in text.split("&") if part))


def _canonical_headers(url: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """The headers' lines, each with its end, and their names; the host is one of them, as an HTTP client sends it."""
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.netloc.rpartition("@")[2].lower()
    host = host.removesuffix(f":{usual}") if parts.port == usual else host
    found = {"host": host, **{name.lower(): " ".join(text.split()) for name, text in headers.items()}}
    return "".join(f"{name}:{found[name]}\n" for name in sorted(found)), ";".join(sorted(found))


def _signature(keys: Keys, region: str, stamp: str, scope: str, canonical: str) -> str:
    key = f"AWS4{keys.secret}".encode()
    for text in (stamp[:8], region, "s3", "aws4_request"):
        key = hmac.digest(key, text.encode(), "sha256")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return hmac.new(key, "\n".join([ALGORITHM, stamp, scope, digest]).encode(), "sha256").hexdigest()

"""What a Google service account's private key, or an HMAC key, signs: addresses that are valid for a while (V4).

RSA needs no library for this: a signature is one power of a padded digest (PKCS #1 v1.5), and is checked at once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlsplit

LONGEST = 604_800  # seconds, 7 days: no address is valid for longer
_DIGEST = bytes.fromhex("3031300d060960864801650304020105000420")  # that what follows is a SHA-256
_INTEGER, _OCTETS, _SEQUENCE = 0x02, 0x04, 0x30


@dataclass(frozen=True)
class Signer:
    """Who signs: `name` is public, `sign` makes the hex signature of a text of one day (20260131)."""

    name: str
    algorithm: str
    sign: Callable[[str, bytes], str] = field(repr=False)
    origin: str = ""


def of_hmac(access: str, secret: str, origin: str) -> Signer:
    """A signer with an HMAC key of Cloud Storage."""

    def sign(day: str, text: bytes) -> str:
        key = f"GOOG4{secret}".encode()
        for part in (day, "auto", "storage", "goog4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, text, "sha256").hex()

    return Signer(access, "GOOG4-HMAC-SHA256", sign, origin)


def of_rsa(email: str, pem: str, origin: str) -> Signer:
    """A signer with a service account's key. Raises `ValueError` for what is no RSA key."""
    modulus, public, private = _numbers(pem)
    return Signer(email, "GOOG4-RSA-SHA256", lambda _day, text: _rsa(modulus, public, private, text).hex(), origin)


def signed_url(
    signer: Signer,
    method: str,
    url: str,
    seconds: int,
    at: datetime,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
) -> str:
    """An address that is valid for so many seconds from `at` (UTC), for requests that have these headers.

    `url` has no query, and its path is signed as it stands: quoted.
    """
    parts = urlsplit(url)
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/auto/storage/goog4_request"
    signed = {"host": parts.netloc, **{name.lower(): " ".join(text.split()) for name, text in (headers or {}).items()}}
    names = ";".join(sorted(signed))
    pairs = {
        **(query or {}),
        "X-Goog-Algorithm": signer.algorithm,
        "X-Goog-Credential": f"{signer.name}/{scope}",
        "X-Goog-Date": stamp,
        "X-Goog-Expires": str(seconds),
        "X-Goog-SignedHeaders": names,
    }
    asked = "&".join(sorted(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in pairs.items()))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    canonical = "\n".join([method, parts.path, asked, lines, names, "UNSIGNED-PAYLOAD"])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([signer.algorithm, stamp, scope, digest]).encode()
    return f"{url}?{asked}&X-Goog-Signature={signer.sign(stamp[:8], text)}"


def _rsa(modulus: int, public: int, private: int, text: bytes) -> bytes:
    size = (modulus.bit_length() + 7) // 8
    digest = _DIGEST + hashlib.sha256(text).digest()
    padded = int.from_bytes(b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest, "big")
    signature = pow(padded, private, modulus)
    if pow(signature, public, modulus) != padded:
        raise ValueError("the parts of the private key do not belong together")
    return signature.to_bytes(size, "big")


def _numbers(pem: str) -> tuple[int, int, int]:
    """Modulus, public and private exponent of a key in PKCS #8 or PKCS #1."""
    lines = [line.strip() for line in pem.strip().splitlines()]
    try:
        if not lines or lines[0] not in ("-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----"):
            raise ValueError
        content = _value(base64.b64decode("".join(lines[1:-1]), validate=True), _SEQUENCE)[0]
        if lines[0] == "-----BEGIN PRIVATE KEY-----":
            rest = _value(_value(content, _INTEGER)[1], _SEQUENCE)[1]  # past its version and the algorithm
            content = _value(_value(rest, _OCTETS)[0], _SEQUENCE)[0]
        numbers = []
        for _ in range(4):
            number, content = _value(content, _INTEGER)
            numbers.append(int.from_bytes(number, "big"))
    except (ValueError, IndexError, binascii.Error):
        raise ValueError("what stands there is no RSA private key") from None
    _version, modulus, public, private = numbers
    if modulus.bit_length() < 1024:
        raise ValueError("the RSA key is too short")
    return modulus, public, private


def _value(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first element, which must be of this kind, and what follows it."""
    if der[0] != tag:
        raise ValueError
    size, start = der[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[2:start], "big")
    if start + size > len(der):
        raise ValueError
    return der[start : start + size], der[start + size :]

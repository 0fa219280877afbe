"""What an Azure storage account's key signs: requests (Shared Key), and links to one blob (service SAS)."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

VERSION = "2021-12-02"  # of the service: it says what is signed, and in which order
_PLAIN = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def authorization(account: str, key: bytes, method: str, url: str, headers: Mapping[str, str]) -> str:
    """The Authorization header of a request; `headers` are all that it will have, Content-Length among them."""
    parts = urlsplit(url)
    said = {name.lower(): text for name, text in headers.items()}
    if said.get("content-length") == "0":
        del said["content-length"]
    own = sorted((name for name in said if name.startswith("x-ms-")), key=_place)
    query = sorted(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
    lines = [
        method,
        *(said.get(name, "") for name in _PLAIN),
        *(f"{name}:{said[name]}" for name in own),
        f"/{account}{parts.path}",
        *(f"{name.lower()}:{unquote(text)}" for name, text in query),
    ]
    return f"SharedKey {account}:{_signature(key, lines)}"


def link_query(account: str, key: bytes, container: str, blob: str, expiry: str, *, https: bool) -> str:
    """The query that lets whoever has it read one blob until `expiry` (2026-01-31T00:00:00Z); `https` by TLS alone."""
    protocol = "https" if https else ""
    lines = ["r", "", expiry, f"/blob/{account}/{container}/{blob}", "", "", protocol, VERSION, "b", *[""] * 7]
    pairs = {"se": expiry, "sp": "r", "spr": protocol, "sv": VERSION, "sr": "b", "sig": _signature(key, lines)}
    return "&".join(f"{name}={quote(text)}" for name, text in pairs.items() if text)


def _place(name: str) -> tuple[str, str]:
    """Where a header stands among the others: hyphens count last, and an underscore comes before digits and letters."""
    return name.replace("-", "").replace("_", " "), name


def _signature(key: bytes, lines: list[str]) -> str:
    return base64.b64encode(hmac.digest(key, "\n".join(lines).encode(), "sha256")).decode()

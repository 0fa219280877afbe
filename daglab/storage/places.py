"""Where uploads go: places and keys in them, what users write for them, and what is known of what lies there.

A key is the whole name of an object in its bucket or container, the place's prefix included; in a folder it is the
path from the folder. `s3://bucket/prefix` + `a.html` is the key `prefix/a.html` and the address
`s3://bucket/prefix/a.html`; `file:///srv` + `a.html` is the key `a.html` and the address `file:///srv/a.html`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, unquote_to_bytes, urlsplit

from daglab import errors, redaction
from daglab import parse as texts
from daglab.settings import config

LONGEST_KEY = 1024  # bytes of UTF-8: the bound of S3 and Cloud Storage
SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "az"}  # by export.cloud_storage.provider
_SPOOFS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFFFE, 0xFFFF}  # text that reads otherwise than it is
_FORMS = (
    "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://ACCOUNT/CONTAINER/PREFIX, file:///FOLDER, "
    "or a presigned https:// address"
)
_NAMES = {
    "s3": (r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "bucket"),
    "gs": (r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", "bucket"),
    "az": (r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]|\$web|\$root", "container"),
}
_ACCOUNT = r"[a-z0-9]{3,24}"


@dataclass(frozen=True)
class Place:
    """A place: `scheme` is s3, gs, az, https or file; `bucket` is the bucket or container, empty for https and file.

    `account` is for az alone. `prefix` is the key's beginning; for file it is the folder's absolute path, for https
    the address without its query. `secret_url` is the presigned address: who knows it may write there.
    """

    scheme: str
    bucket: str = ""
    prefix: str = ""
    account: str = ""
    secret_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Stored:
    """An object that was put and verified: `link` is its plain address on the web, or None.

    `via` says what was used: the program's name (aws, gcloud, az), http, or file.
    """

    address: str
    key: str
    link: str | None
    bytes: int
    sha256: str
    via: str


@dataclass(frozen=True)
class Found:
    """An object that is there. `sha256` is in hex, and None where the store does not say it.

    `metadata` are the names, in small letters, and texts that it was put with; a listing does not tell them.
    """

    key: str
    bytes: int
    sha256: str | None
    changed_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Signed:
    """A signed link: a secret. `expires_at` is when it ends; `note` says why that is earlier than asked."""

    url: str = field(repr=False)
    expires_at: datetime
    note: str | None = None


def parse(text: str) -> Place:
    """The place that a user has written. Raises `InvalidInput`, which never repeats a presigned address."""
    scheme, separator, rest = text.strip().partition("://")
    if scheme in ("https", "http"):
        return _presigned(text.strip())
    if scheme == "file" and separator:
        return Place("file", prefix=_folder(rest))
    if scheme not in _NAMES or not separator:
        raise errors.InvalidInput(f"{texts.display_url(text)!r} is no place to upload to.", f"Write {_FORMS}.")
    account = ""
    if scheme == "az":
        account, _, rest = rest.partition("/")
    bucket, _, prefix = rest.partition("/")
    return _checked(Place(scheme, bucket, prefix.removesuffix("/"), account))


def from_config(settings: config.Config) -> Place | None:
    """The place of export.cloud_storage, None where no provider is set. Raises `InvalidInput` for half of one."""
    chosen = settings.export.cloud_storage
    if chosen.provider is None:
        return None
    return _checked(
        Place(SCHEMES[chosen.provider], chosen.bucket or "", (chosen.prefix or "").strip("/"), chosen.account or "")
    )


def key(place: Place, name: str) -> str:
    """The key of a file's name (`a.html`, `reports/a.html`) at a place. Raises `InvalidInput` for one that can't be."""
    beginning = f"{place.prefix}/" if place.bucket and place.prefix else ""
    return checked_key(beginning + name)


def checked_key(text: str) -> str:
    """A key as it is. Raises `InvalidInput` where it leads elsewhere, or reads otherwise than it is."""
    problem = _problem(text)
    if problem:
        raise errors.InvalidInput(f"{text!r} can't be the name of an upload: {problem}.", "Name it another way.")
    return text


def address(place: Place, key: str) -> str:
    """What is recorded and shown of an object: never a secret. `located` is the way back."""
    if place.scheme == "https":
        return place.prefix
    if place.scheme == "file":
        return "file://" + quote(f"{place.prefix.rstrip('/')}/{key}")
    account = f"{place.account}/" if place.scheme == "az" else ""
    return f"{place.scheme}://{account}{place.bucket}/{key}"


def located(address: str) -> tuple[Place, str]:
    """The place and the key of an address that `address` has made. Raises `InvalidInput` for any other text.

    The place has no prefix: the key is the whole one. Of a file the place is its folder.
    """
    place = parse(address)
    if place.scheme == "https":
        return place, ""
    if place.scheme == "file":
        folder, _, name = place.prefix.rpartition("/")
        return Place("file", prefix=folder or "/"), checked_key(name)
    return Place(place.scheme, place.bucket, "", place.account), checked_key(place.prefix)


def _presigned(url: str) -> Place:
    """The place of a presigned address. Plain http is for this machine alone: whoever listens could use it."""
    shown = texts.display_url(url)
    hint = "Give the whole presigned https:// address, in quotes: it has & in it."
    try:
        parts = urlsplit(url)
        plain = bool(parts.hostname) and not parts.username and parts.port != 0 and "#" not in url
    except ValueError:
        plain = False
    if not plain or any(c <= " " or c > "~" for c in url):
        raise errors.InvalidInput("The presigned address is not a valid one.", hint)
    if parts.scheme == "http" and not texts.is_loopback(url):
        raise errors.InvalidInput(f"{shown} is http, which anybody on the way can read.", hint)
    if parts.query:
        redaction.hide(parts.query)
        for name, value in (pair.partition("=")[::2] for pair in parts.query.split("&")):
            if redaction.looks_secret(name) or name.lower() in ("x-amz-credential", "x-amz-security-token"):
                redaction.hide(value)
    return Place("https", prefix=shown, secret_url=url)


def _folder(rest: str) -> str:
    """The folder of a file:// address: absolute, and nothing else in it."""
    text = rest.removeprefix("localhost")
    path = unquote_to_bytes(text).decode("utf-8", errors="replace")
    segments = path.strip("/").split("/")
    if not path.startswith("/") or ".." in segments or "\ufffd" in path or any(_is_hostile(c) for c in path):
        raise errors.InvalidInput(
            f"file://{rest!r} is no folder to upload to.", "Write an absolute one: file:///srv/exports"
        )
    return "/" + "/".join(segment for segment in segments if segment not in ("", "."))


def _checked(place: Place) -> Place:
    pattern, noun = _NAMES[place.scheme]
    if place.scheme == "az" and not re.fullmatch(_ACCOUNT, place.account):
        raise errors.InvalidInput(
            f"{place.account!r} can't be a storage account: it has 3 to 24 small letters and digits.",
            "Write az://ACCOUNT/CONTAINER/PREFIX.",
        )
    if not re.fullmatch(pattern, place.bucket):
        raise errors.InvalidInput(f"{place.bucket!r} can't be the name of a {noun}.", f"Write {_FORMS}.")
    if place.prefix:
        checked_key(place.prefix)
    return place


def _problem(text: str) -> str | None:
    segments = text.split("/")
    if any(_is_hostile(c) for c in text):
        return "it holds a control character"
    if "\\" in text:
        return "a backslash is a separator to some"
    if any(segment in ("", ".", "..") for segment in segments):
        return "it must lead straight down, without empty parts, . and .."
    if len(text.encode()) > LONGEST_KEY:
        return f"it has more than {LONGEST_KEY} bytes"
    return None


def _is_hostile(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or ord(character) in _SPOOFS

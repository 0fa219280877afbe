"""Who we are to Google Cloud Storage, as the user's environment says it, and where the store is.

An OAuth token: CLOUDSDK_AUTH_ACCESS_TOKEN, GOOGLE_OAUTH_ACCESS_TOKEN, or the file that CLOUDSDK_AUTH_ACCESS_TOKEN_FILE
names. A file of credentials: GOOGLE_APPLICATION_CREDENTIALS, else the one that `gcloud auth application-default login`
writes; a service account's key signs, a user's refresh token is exchanged for an OAuth token. An HMAC key:
GS_ACCESS_KEY_ID and GS_SECRET_ACCESS_KEY, or gs_access_key_id and gs_secret_access_key under [Credentials] of the file
that BOTO_CONFIG names, else ~/.boto. They are looked for in this order.
"""

from __future__ import annotations

import configparser
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from daglab import errors, redaction
from daglab.storage import google_keys, transfers

HINT = (
    "Install gcloud and run `gcloud auth login`, or set GOOGLE_APPLICATION_CREDENTIALS (a service account's key file), "
    "GS_ACCESS_KEY_ID and GS_SECRET_ACCESS_KEY (an HMAC key), or CLOUDSDK_AUTH_ACCESS_TOKEN."
)
SIGNING_HINT = (
    "Set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file, or GS_ACCESS_KEY_ID and GS_SECRET_ACCESS_KEY; "
    "or let gcloud borrow a service account: gcloud config set auth/impersonate_service_account NAME@PROJECT..., or "
    "gcloud auth activate-service-account."
)
TOKENS = "https://oauth2.googleapis.com/token"
STORE = "https://storage.googleapis.com"
LARGEST_FILE = 1 << 20  # bytes
_EARLY = 300.0  # seconds before its end when a token is exchanged anew
_exchanged: dict[str, tuple[str, float]] = {}  # by refresh token: the OAuth token, and until when by time.monotonic()


@dataclass(frozen=True)
class Bearer:
    """An OAuth token; None is nobody, as emulators want it."""

    origin: str
    token: str | None = field(default=None, repr=False)


def endpoint() -> str:
    """The store's address, without a path: an emulator's, one that gcloud is told, or the usual one."""
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    if emulator and "://" not in emulator:
        emulator = f"http://{emulator}"
    text = emulator or os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE") or STORE
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.username and parts.port != 0
    except ValueError:
        good = False
    if not good:
        hint = "Correct STORAGE_EMULATOR_HOST or CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE."
        raise errors.NotSetUp("The address that is set for Cloud Storage is none.", hint)
    return f"{parts.scheme}://{parts.netloc}"


def credentials() -> Bearer | google_keys.Signer:
    """Who we are. Raises `NotSetUp` where nothing says it, or what says it can't be read."""
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return Bearer("STORAGE_EMULATOR_HOST")
    if os.environ.get("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "").lower() in ("true", "1", "yes", "on"):
        return Bearer("CLOUDSDK_AUTH_DISABLE_CREDENTIALS")
    for origin in ("CLOUDSDK_AUTH_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN"):
        if token := os.environ.get(origin):
            return Bearer(origin, _sendable(token, origin))
    origin = "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"
    if path := os.environ.get(origin):
        return Bearer(origin, _sendable(_text(Path(path), origin), origin))
    found = _named_file() or _hmac() or _usual_file()
    if found is None:
        raise errors.NotSetUp("There are no credentials for Cloud Storage in the environment.", HINT)
    return found


def signer() -> google_keys.Signer:
    """Who can sign a link. Raises `NotSetUp` where there is no key."""
    for look in (_named_file, _hmac, _usual_file):
        found = look()
        if isinstance(found, google_keys.Signer):
            return found
    raise errors.NotSetUp("There is no key in the environment that could sign a link.", SIGNING_HINT)


def variables() -> dict[str, str]:
    """What gcloud has to be told, for it does not know of the variable that names an emulator."""
    if not os.environ.get("STORAGE_EMULATOR_HOST"):
        return {}
    return {
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{endpoint()}/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
    }


def _named_file() -> Bearer | google_keys.Signer | None:
    name = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    return _file(Path(name), "GOOGLE_APPLICATION_CREDENTIALS") if name else None


def _usual_file() -> Bearer | google_keys.Signer | None:
    folder = os.environ.get("CLOUDSDK_CONFIG") or os.path.expanduser("~/.config/gcloud")
    path = Path(folder, "application_default_credentials.json")
    return _file(path, str(path)) if path.is_file() else None


def _file(path: Path, origin: str) -> Bearer | google_keys.Signer:
    """A file of credentials: a service account's key, or a user's refresh token."""
    hint = "Write it anew: `gcloud auth application-default login`, or a new key of the service account."
    try:
        said: Any = json.loads(_text(path, origin))
        if said["type"] == "service_account":
            redaction.hide(said["private_key"])
            return google_keys.of_rsa(str(said["client_email"]), str(said["private_key"]), origin)
        if said["type"] == "authorized_user":
            form = {name: str(said[name]) for name in ("client_id", "client_secret", "refresh_token")}
            return Bearer(origin, _exchange(form, origin))
    except (KeyError, TypeError, ValueError):
        raise errors.NotSetUp(f"The credentials that {origin} names can't be read.", hint) from None
    raise errors.NotSetUp(f"Credentials of the kind that {origin} names are for gcloud alone.", HINT)


def _exchange(form: dict[str, str], origin: str) -> str:
    """An OAuth token for a user's refresh token, kept until shortly before its end."""
    refresh = form["refresh_token"]
    token, until = _exchanged.get(refresh, ("", 0.0))
    if time.monotonic() < until:
        return token
    for secret in (refresh, form["client_secret"]):
        redaction.hide(secret)
    body = urlencode({**form, "grant_type": "refresh_token"}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = transfers.exchange(
        lambda: transfers.Request("POST", TOKENS, headers, body), timeout=transfers.LOOK_SECONDS
    )
    hint = "Log in again: gcloud auth application-default login"
    if answer.status_code != 200:
        raise errors.NotAuthorised(f"Google has refused the login of {origin} ({answer.status_code}).", hint)
    try:
        said = answer.json()
        token, seconds = _sendable(said["access_token"], origin), float(said.get("expires_in", 0))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        raise errors.Unreachable(f"{TOKENS} has answered with what can't be read.", "Try again.") from None
    _exchanged[refresh] = (token, time.monotonic() + seconds - _EARLY)
    return token


def _hmac() -> google_keys.Signer | None:
    access, secret = os.environ.get("GS_ACCESS_KEY_ID", ""), os.environ.get("GS_SECRET_ACCESS_KEY", "")
    origin = "GS_ACCESS_KEY_ID"
    if not (access and secret):
        path = Path(os.environ.get("BOTO_CONFIG") or os.path.expanduser("~/.boto"))
        if not path.is_file():
            return None
        origin = str(path)
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(_text(path, origin))
        except configparser.Error:
            return None
        access = parser.get("Credentials", "gs_access_key_id", fallback="").strip()
        secret = parser.get("Credentials", "gs_secret_access_key", fallback="").strip()
        if not (access and secret):
            return None
    redaction.hide(secret)
    return google_keys.of_hmac(access, secret, origin)


def _text(path: Path, origin: str) -> str:
    try:
        with path.expanduser().open("rb") as file:
            return file.read(LARGEST_FILE).decode()
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "it is not text"
        raise errors.NotSetUp(f"The file that {origin} names can't be read: {why}.", "Correct its path.") from None


def _sendable(token: str, origin: str) -> str:
    token = token.strip()
    redaction.hide(token)
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise errors.NotSetUp(f"{origin} holds no OAuth token.", "Set it anew: gcloud auth print-access-token")
    return token

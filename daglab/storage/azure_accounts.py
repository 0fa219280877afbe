"""Azure storage accounts: their addresses, and the credentials for them that the user's environment holds.

They are read as `az` reads them: AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or
AZURE_STORAGE_SAS_TOKEN, or connection_string, account, key and sas_token under [storage] of `az`'s config file.
Credentials of another account than the one asked for are never used.
"""

from __future__ import annotations

import base64
import binascii
import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from daglab import errors, redaction

HINT = (
    "Install the Azure CLI and run `az login`, or set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and "
    "AZURE_STORAGE_KEY (or AZURE_STORAGE_SAS_TOKEN)."
)
_SUFFIX = "core.windows.net"
_ENDPOINTS = ("AZURE_STORAGE_SERVICE_ENDPOINT", "AZURE_STORAGE_ACCOUNT_URL")


@dataclass(frozen=True)
class Account:
    """A storage account with what lets us in: its key, or a shared access signature. `origin` names the variable."""

    name: str
    endpoint: str
    origin: str
    key: bytes | None = field(default=None, repr=False)
    sas: str | None = field(default=None, repr=False)


def account(name: str) -> Account:
    """The account of this name and its credentials. Raises `NotSetUp` where there are none, or they can't be read."""
    where = endpoint(name)
    said = _connection(name)
    if said.get("AccountKey"):
        return Account(name, where, _variable("connection_string"), key=_key(said["AccountKey"], "connection_string"))
    if said.get("SharedAccessSignature"):
        return Account(name, where, _variable("connection_string"), sas=_sas(said["SharedAccessSignature"]))
    chosen = _setting("account")
    if chosen in ("", name):
        if key := _setting("key"):
            return Account(name, where, _variable("key"), key=_key(key, "key"))
        if sas := _setting("sas_token"):
            return Account(name, where, _variable("sas_token"), sas=_sas(sas))
    other = chosen or _account_of(_pairs(_setting("connection_string")))
    if other and other != name:
        raise errors.NotSetUp(f"The credentials in the environment are for the account {other}, not {name}.", HINT)
    raise errors.NotSetUp(f"There are no credentials for the storage account {name} in the environment.", HINT)


def endpoint(name: str) -> str:
    """The address of an account's blobs, without a slash at its end. Raises `NotSetUp` for one that can't be."""
    said = _connection(name)
    usual = f"{said.get('DefaultEndpointsProtocol', 'https')}://{name}.blob.{said.get('EndpointSuffix', _SUFFIX)}"
    named = next((os.environ[variable] for variable in _ENDPOINTS if os.environ.get(variable)), None)
    text = (said.get("BlobEndpoint") or named or usual).rstrip("/")
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.username and parts.port != 0
    except ValueError:
        good = False
    if not good or "?" in text or "#" in text:
        hint = f"Correct BlobEndpoint in AZURE_STORAGE_CONNECTION_STRING, or {_ENDPOINTS[0]}."
        raise errors.NotSetUp(f"The address that is set for the storage account {name} is none.", hint)
    return text


def variables(name: str, *, login: bool = False) -> dict[str, str]:
    """The variables that make `az` use these credentials and no others, or its login: empty ones count as not set."""
    names = ("ACCOUNT", "KEY", "SAS_TOKEN", "SERVICE_ENDPOINT", "ACCOUNT_URL", "CONNECTION_STRING", "AUTH_MODE")
    found = dict.fromkeys((f"AZURE_STORAGE_{each}" for each in names), "")
    if login:
        return found
    try:
        used = account(name)
    except errors.NotSetUp:
        return found
    secret = f"SharedAccessSignature={used.sas}"
    if used.key is not None:
        secret = f"AccountKey={base64.b64encode(used.key).decode()}"
    text = f"AccountName={name};BlobEndpoint={used.endpoint};{secret}"
    redaction.hide(text)
    return {**found, "AZURE_STORAGE_CONNECTION_STRING": text, "AZURE_STORAGE_AUTH_MODE": "key"}


def hide_signature(query: str) -> None:
    """Leave the signature in a query out of all text from now on."""
    for name, _, text in (pair.partition("=") for pair in query.split("&")):
        if name == "sig":
            redaction.hide(text)


def _connection(name: str) -> dict[str, str]:
    """The connection string's parts; none where it is another account's."""
    found = _pairs(_setting("connection_string"))
    return found if _account_of(found) == name else {}


def _pairs(text: str) -> dict[str, str]:
    return dict(part.strip().partition("=")[::2] for part in text.split(";") if "=" in part)


def _account_of(said: Mapping[str, str]) -> str:
    """Whose connection string it is; one with a shared access signature names its account in the address alone."""
    if said.get("AccountName"):
        return said["AccountName"]
    host, _, path = said.get("BlobEndpoint", "").partition("://")[2].partition("/")
    return path.strip("/") if path.strip("/") else host.partition(".")[0]


def _setting(name: str) -> str:
    """A setting as `az` finds it: the variable, else what its config file says."""
    if found := os.environ.get(f"AZURE_STORAGE_{name.upper()}"):
        return found.strip()
    folder = os.environ.get("AZURE_CONFIG_DIR") or os.path.expanduser("~/.azure")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(Path(folder, "config").read_text(encoding="utf-8"))
        return parser.get("storage", name, fallback="").strip()
    except (OSError, ValueError, configparser.Error):  # none, or not one that we can read
        return ""


def _variable(name: str) -> str:
    return f"AZURE_STORAGE_{name.upper()}"


def _key(text: str, setting: str) -> bytes:
    redaction.hide(text)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        message = f"The account's key in {_variable(setting)} is none: it is not base64."
        raise errors.NotSetUp(
            message, "Copy it again from the portal, or from `az storage account keys list`."
        ) from None


def _sas(text: str) -> str:
    found = text.lstrip("?")
    redaction.hide(found)
    hide_signature(found)
    if not found.isascii() or not found.isprintable() or " " in found:
        raise errors.NotSetUp("The shared access signature that is set is none.", "Copy it again.")
    return found

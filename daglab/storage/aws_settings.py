"""What AWS's own variables and files say: who we are, the region, the address of the store.

By the rules of AWS's programs: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY win, then the profile (AWS_PROFILE, else
default) of ~/.aws/credentials, then that of ~/.aws/config; AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name others.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from daglab import errors, parse, redaction
from daglab.storage import sigv4

WAYS = (
    "Install the AWS CLI (`aws`) and sign in with it, or export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
    "(or write them into ~/.aws/credentials; AWS_PROFILE chooses the profile)."
)
# A profile that has one of these gets its keys from elsewhere, which the AWS CLI knows to ask.
_ELSEWHERE = ("role_arn", "sso_session", "sso_start_url", "credential_process", "login_session")
_STYLES = ("path", "virtual", "auto")


@dataclass(frozen=True)
class Settings:
    """`region` and `endpoint` are None where nothing names one; `style` is how a bucket stands in an address."""

    region: str | None
    endpoint: str | None
    style: str = "auto"


def settings(environ: Mapping[str, str]) -> Settings:
    """The region, the address and its style. Raises `InvalidInput` for one that can't be."""
    profile = _profile(environ, _config(environ))
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or profile.get("region")
    if region and not is_region(region):
        raise errors.InvalidInput(f"{region!r} is no AWS region.", "Write one such as eu-central-1 into AWS_REGION.")
    style = _nested(profile.get("s3", "")).get("addressing_style", "auto")
    endpoint = _endpoint(environ, profile)
    try:
        checked = parse.base_url(endpoint).rstrip("/") if endpoint else None
    except errors.InvalidInput as error:
        raise errors.InvalidInput(
            f"The address of S3 is not valid: {error.message}", "Correct AWS_ENDPOINT_URL_S3."
        ) from None
    return Settings(region, checked, style if style in _STYLES else "auto")


def is_region(text: str) -> bool:
    """Whether this can be the name of a region: it becomes a part of a host's name."""
    return re.fullmatch("[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", text) is not None


def keys(environ: Mapping[str, str]) -> sigv4.Keys | None:
    """Who we are, where variables or files say it plainly; None where they do not. What is read is hidden from output.

    Raises `NotSetUp` for half of a pair, and for a profile or a file that is named and not there.
    """
    access, secret = environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", "")
    if bool(access) != bool(secret):
        raise errors.NotSetUp(
            "Of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set.", "Set both, or neither."
        )
    if access:
        token = environ.get("AWS_SESSION_TOKEN") or environ.get("AWS_SECURITY_TOKEN")
        until = moment(environ.get("AWS_CREDENTIAL_EXPIRATION", ""))
        return known(access, secret, token, until, "$AWS_ACCESS_KEY_ID")
    if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") and environ.get("AWS_ROLE_ARN"):
        return None
    path = _path(environ, "AWS_SHARED_CREDENTIALS_FILE", "credentials")
    name, config = environ.get("AWS_PROFILE") or "default", _config(environ)
    own, profile = _section(_read(path), name), _profile(environ, config)
    if environ.get("AWS_PROFILE") and own is None and _section(config, f"profile {name}", name) is None:
        raise errors.NotSetUp(f"There is no profile {name!r} (AWS_PROFILE).", f"Write it into {path}. {WAYS}")
    if any(each in profile or each in (own or {}) for each in _ELSEWHERE):
        return None
    for found, where in ((own or {}, f"{path} [{name}]"), (profile, f"the AWS config [{name}]")):
        if found.get("aws_access_key_id") and found.get("aws_secret_access_key"):
            token = found.get("aws_session_token") or found.get("aws_security_token")
            return known(found["aws_access_key_id"], found["aws_secret_access_key"], token, None, where)
    if environ.get("AWS_SHARED_CREDENTIALS_FILE") and not path.exists():
        raise errors.NotSetUp(f"There is no file {path} (AWS_SHARED_CREDENTIALS_FILE).", WAYS)
    return None


def known(access: str, secret: str, token: str | None, until: datetime | None, origin: str) -> sigv4.Keys:
    """Keys, once their secrets are hidden. Raises `NotSetUp` for what no request can carry."""
    if not all(text.isascii() and text.isprintable() and " " not in text for text in (access, secret, token or "")):
        raise errors.NotSetUp(f"The keys of {origin} hold characters that no key has.", "Copy them anew.")
    redaction.hide(secret)
    if token:
        redaction.hide(token)
    return sigv4.Keys(access, secret, token, until, origin)


def moment(text: str) -> datetime | None:
    """A time as AWS writes it; None for what is none."""
    try:
        found = datetime.fromisoformat(re.sub(r"\.\d+", "", text.strip()).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _endpoint(environ: Mapping[str, str], profile: Mapping[str, str]) -> str | None:
    ignored = environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or profile.get("ignore_configured_endpoint_urls", "")
    if ignored.lower() == "true":
        return None
    services = _section(_config(environ), f"services {profile.get('services', '')}") or {}
    return (
        environ.get("AWS_ENDPOINT_URL_S3")
        or environ.get("AWS_ENDPOINT_URL")
        or _nested(services.get("s3", "")).get("endpoint_url")
        or profile.get("endpoint_url")
    )


def _profile(environ: Mapping[str, str], config: configparser.RawConfigParser) -> dict[str, str]:
    name = environ.get("AWS_PROFILE") or "default"
    return _section(config, *(["default", "profile default"] if name == "default" else [f"profile {name}"])) or {}


def _config(environ: Mapping[str, str]) -> configparser.RawConfigParser:
    return _read(_path(environ, "AWS_CONFIG_FILE", "config"))


def _path(environ: Mapping[str, str], variable: str, name: str) -> Path:
    named = environ.get(variable)
    return Path(named).expanduser() if named else Path(environ.get("HOME", "~")).expanduser() / ".aws" / name


def _read(path: Path) -> configparser.RawConfigParser:
    """A file of sections, without any where there is none. What is wrong in it is not quoted: it may be a secret."""
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise errors.NotSetUp(f"{path} can't be read: {error.strerror}.", f"Look at it: ls -ld {path}") from None
    except (configparser.Error, UnicodeDecodeError):
        raise errors.InvalidInput(f"{path} is not a file of AWS settings.", "Correct it, or move it away.") from None
    return parser


def _section(parser: configparser.RawConfigParser, *names: str) -> dict[str, str] | None:
    """The first section of these names; quotes around a profile's name are none of it."""
    for name in names:
        kind, _, rest = name.partition(" ")
        for each in (name, f'{kind} "{rest}"', f"{kind} '{rest}'"):
            if parser.has_section(each):
                return dict(parser.items(each))
    return None


def _nested(text: str) -> dict[str, str]:
    """The indented settings under a name, such as `s3 =`."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}

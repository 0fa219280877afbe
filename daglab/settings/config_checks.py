"""What a config value must be: each check gives what is wrong with one in a few words, or None."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from daglab import errors, parse

LONGEST = 2_000_000  # seconds, 23 days: sockets can't wait longer (milliseconds in 31 bits)
LONGEST_KEPT = 36_500  # days, a hundred years: dates end in the year 9999
AUTH_TYPES = ("bearer", "basic", "custom", "dagster-plus")
PROVIDERS = ("s3", "gcs", "azure")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
SMALLEST_LOG = 100_000  # bytes
FROM_VARIABLE = "env:"  # a header's value that starts so names the variable that holds it
# Those that requests writes itself; another value would make another request of it.
_OWN_HEADERS = {"host", "content-length", "content-type", "transfer-encoding", "connection"}


def port(value: int) -> str | None:
    """A port."""
    return None if 1 <= value <= 65535 else "a port is a number from 1 to 65535"


def seconds(value: float) -> str | None:
    """A span of time: more than nothing, and no more than a socket can wait."""
    return None if 0 < value <= LONGEST else f"it must be more than 0 and at most {LONGEST}"


def not_negative(value: int) -> str | None:
    """Nothing or more."""
    return None if value >= 0 else "it must not be less than 0"


def positive(value: int) -> str | None:
    """More than nothing."""
    return None if value > 0 else "it must be more than 0"


def version(value: int) -> str | None:
    """The version of the format that this daglab reads."""
    return None if value == 1 else "this daglab reads version 1"


def address(value: str) -> str | None:
    """An address of http or https."""
    try:
        parse.base_url(value)
    except errors.InvalidInput as error:
        return error.message.rstrip(".")
    return None


def host(value: str) -> str | None:
    """The name or the number of a host."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        alone = not set(value) & set("/?#@:[] ")
        return address(f"http://{value}") if alone else "a host is a name or a number alone"
    return None


def prefix(value: str) -> str | None:
    """A path alone."""
    if set(value) & set("?#@ ") or "//" in value:
        return "it must be a path alone"
    return None


def not_empty(value: str) -> str | None:
    """Text that says something."""
    return None if value.strip() else "it must not be empty"


def variable(value: str) -> str | None:
    """The name of an environment variable."""
    return None if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", value) else "it must be the name of a variable"


def auth_type(value: str) -> str | None:
    """One of the ways to send a token."""
    return None if value in AUTH_TYPES else f"it must be one of {', '.join(AUTH_TYPES)}"


def header_name(value: str) -> str | None:
    """The name of a header that daglab does not set itself."""
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value):
        return "it must be the name of a header"
    return f"{value} is set by daglab itself" if value.lower() in _OWN_HEADERS else None


def headers(value: Mapping[str, str]) -> str | None:
    """Headers that can be sent, by name."""
    for name, text in value.items():
        if problem := header_name(name):
            return problem
        if text.startswith(FROM_VARIABLE) and (problem := variable(text.removeprefix(FROM_VARIABLE))):
            return f"{problem} that stands after {FROM_VARIABLE}"
        if not (text and text.isascii() and text.isprintable() and text == text.strip()):
            return f"{name} can't be sent: a header is plain ASCII text"
    return None


def is_secret_header(name: str) -> bool:
    """Whether a header's value is a secret, by its name."""
    return re.search("auth|token|key|secret|cookie|password", name, re.IGNORECASE) is not None


def provider(value: str) -> str | None:
    """One of the clouds."""
    return None if value in PROVIDERS else f"it must be one of {', '.join(PROVIDERS)}"


def bucket(value: str) -> str | None:
    """What may be the name of a bucket or a container; each cloud has rules of its own besides."""
    valid = re.fullmatch(r"[a-z0-9$][a-z0-9._-]*", value) and ".." not in value
    return None if valid else "it must be a name alone, of small letters, digits, and . _ - within"


def key(value: str) -> str | None:
    """The beginning of an object's name, which leads straight down."""
    parts = value.removesuffix("/").split("/")
    return "it must be a path without empty parts, . and .." if {"", ".", ".."} & {*parts} else None


def account(value: str) -> str | None:
    """A storage account."""
    return None if re.fullmatch("[a-z0-9]{3,24}", value) else "it must be 3 to 24 small letters and digits"


def kept(value: int) -> str | None:
    """Days that something is kept."""
    return None if 0 <= value <= LONGEST_KEPT else f"it must be from 0 to {LONGEST_KEPT}"


def level(value: str) -> str | None:
    """A level of logging."""
    return None if value in LEVELS else f"it must be one of {', '.join(LEVELS)}"


def log_size(value: int) -> str | None:
    """Bytes of a log."""
    return None if value >= SMALLEST_LOG else f"it must be {SMALLEST_LOG} at least"


def names(value: tuple[str, ...]) -> str | None:
    """Names of GraphQL operations."""
    wrong = next((name for name in value if not re.fullmatch(r"\w+", name)), None)
    return None if wrong is None else f"{wrong!r} is no name of an operation, such as launchRun"


def patterns(value: tuple[str, ...]) -> str | None:
    """Patterns of collections' names."""
    wrong = next((each for each in value if not re.fullmatch(r"[\w*?]+", each)), None)
    return None if wrong is None else f"{wrong!r} is no pattern of names, such as Docs*"


def models(value: tuple[Mapping[str, Any], ...]) -> str | None:
    """Models with a name each, and text."""
    return _named(value, "model")


def clusters(value: tuple[Mapping[str, Any], ...]) -> str | None:
    """Clusters with a name and an address each."""
    if problem := _named(value, "cluster"):
        return problem
    if not all("url" in each for each in value):
        return "each cluster needs a url"
    return next(filter(None, (address(each["metrics"]) for each in value if "metrics" in each)), None)


def _named(value: tuple[Mapping[str, Any], ...], kind: str) -> str | None:
    """Mappings of text with a name of its own each, and with an address and a variable that can be ones."""
    names = [each.get("name") for each in value]
    if not all(isinstance(name, str) and name for name in names):
        return f"each {kind} needs a name"
    if any(not isinstance(text, str) for each in value for text in each.values()):
        return f"what is said of a {kind} must be text"
    if len(set(names)) != len(names):
        return f"two {kind}s have the same name"
    for key, check in (("url", address), ("token_env", variable)):
        if problem := next(filter(None, (check(each[key]) for each in value if key in each)), None):
            return f"{key} of a {kind}: {problem}"
    return None

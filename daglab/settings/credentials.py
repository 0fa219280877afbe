"""Secrets: read from where the config names them, and made into the headers that say who we are.

What is read is hidden from all output (`redaction`). What is named is not shown in an error: it may be the secret
itself, put in the wrong place.
"""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Callable
from pathlib import Path

from daglab import errors, redaction
from daglab.settings import config_checks, config_keys, trust

COMMAND_TIMEOUT = 30.0
AUTHORIZATION = "Authorization"
CLOUD_HEADER = "Dagster-Cloud-Api-Token"
_TYPE = "dagster.auth.type"

LONGEST_TOKEN = 1 << 16  # bytes


def kind(auth: config_keys.Auth, url: str) -> str | None:
    """How the secret of `auth` is sent to `url`, one of `config_checks.AUTH_TYPES`; None when it names none.

    Raises `InvalidInput` for a type that does not go with what is named.
    """
    token = auth.token_env or auth.token_file or auth.token_command
    if auth.username_env:
        if auth.type not in (None, "basic"):
            raise errors.InvalidInput(
                f"{_TYPE} is {auth.type}, but a name and a password are named.", f"Leave {_TYPE} out, or name a token."
            )
        return "basic"
    if not token:
        return None
    if auth.type == "basic":
        raise errors.InvalidInput(
            f"{_TYPE} is basic, but a token is named.",
            "Name dagster.auth.username_env and dagster.auth.password_env, or leave the type out.",
        )
    if auth.type or auth.header_name:
        return auth.type or "custom"
    cloud = trust.is_cloud(url) or auth.token_env == trust.CLOUD_VARIABLE
    return "dagster-plus" if cloud else "bearer"


def headers(auth: config_keys.Auth, origin: str, url: str, *, timeout: float = COMMAND_TIMEOUT) -> dict[str, str]:
    """The headers that say who we are to `url`, read anew; a command has `timeout` seconds.

    `origin` says in errors where `auth` stands. Raises `NotSetUp` when something named is missing or can't be sent.
    """
    how = kind(auth, url)
    found = {name: _header(name, text) for name, text in (auth.headers or {}).items()}
    if how == "basic":
        found[auth.header_name or AUTHORIZATION] = f"Basic {_name_and_password(auth, origin)}"
    elif how is not None:
        token = read_token(auth, origin, timeout=timeout)
        usual = CLOUD_HEADER if how == "dagster-plus" else AUTHORIZATION
        found[auth.header_name or usual] = f"Bearer {token}" if how == "bearer" else token
    return found


def may_change(auth: config_keys.Auth) -> bool:
    """Whether reading again may give another token; the variables of a process stay what they are."""
    return bool(auth.token_file or auth.token_command)


def read_token(auth: config_keys.Auth, origin: str, *, timeout: float = COMMAND_TIMEOUT) -> str:
    """The token that `auth` names, as `origin` says. Raises `NotSetUp` when it is missing or can't be a header."""
    if auth.token_env:
        token, source = os.environ.get(auth.token_env, ""), "variable"
        hint = "Set that variable: export NAME=..., its name alone belongs into the config."
    elif auth.token_file:
        token, source = _file_token(Path(os.path.expanduser(auth.token_file)), origin), "file"
        hint = "Write the token into it, readable for you alone."
    else:
        token, source = _command_token(auth.token_command or "", origin, timeout), "command"
        hint = "Run the command by hand: it has to print the token and exit with 0."
    token = token.strip()
    if not token:
        raise errors.NotSetUp(f"The {source} that {origin} names has no token.", hint)
    if not _can_be_sent(token):
        raise errors.NotSetUp(
            f"The {source} that {origin} names holds no token, but line breaks or special characters.", hint
        )
    redaction.hide(token)
    return token


def _name_and_password(auth: config_keys.Auth, origin: str) -> str:
    """Both in base64. The name is no secret: it may be a word such as `dagster`, which must not be blotted out."""
    name = _variable(auth.username_env, f"{origin} names for the user's name", _is_name)
    password = _variable(auth.password_env, f"{origin} names for the password", str.isprintable)
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    redaction.hide(password)
    redaction.hide(encoded)
    return encoded


def _header(name: str, text: str) -> str:
    """The value of one of the further headers: as it stands, or what the variable that it names holds."""
    if not text.startswith(config_checks.FROM_VARIABLE):
        if config_checks.is_secret_header(name):
            redaction.hide(text)
        return text
    variable = text.removeprefix(config_checks.FROM_VARIABLE)
    value = _variable(variable, f"dagster.auth.headers names for {name}", _can_be_sent)
    redaction.hide(value)
    return value


def _variable(name: str | None, named: str, good: Callable[[str], bool]) -> str:
    value = os.environ.get(name or "", "").strip("\r\n")
    hint = "Set that variable: export NAME=..., its name alone belongs into the config."
    if not value:
        raise errors.NotSetUp(f"The variable that {named} is not set.", hint)
    if not good(value):
        raise errors.NotSetUp(f"The variable that {named} holds what can't be sent.", hint)
    return value


def _is_name(text: str) -> bool:
    """A colon ends the name, so it can't be in one."""
    return text.isprintable() and ":" not in text


def _can_be_sent(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()


def _file_token(path: Path, origin: str) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_TOKEN).decode("utf-8", "replace")
    except OSError as error:
        raise errors.NotSetUp(
            f"The token file that {origin} names can't be read: {error.strerror}.", "Check its path."
        ) from None


def _command_token(command: str, origin: str, timeout: float) -> str:
    """What the user's own command prints; its stderr is not shown, it may say too much."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise errors.NotSetUp(f"The command that {origin} names can't be read: {error}.", "Close its quotes.") from None
    from daglab import processes  # few need it, and all who connect import this module

    finished = processes.run(words, timeout=timeout)
    return finished.stdout if finished.returncode == 0 and not finished.timed_out else ""

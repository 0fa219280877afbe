"""The keys of the config: one dataclass a section, each key with its type, default, meaning and check."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from daglab import errors, parse

LONGEST = 2_000_000  # seconds, 23 days: sockets can't wait longer (milliseconds in 31 bits)


def _key(default: Any, doc: str, check: Callable[[Any], str | None] | None = None) -> Any:
    return field(default=default, metadata={"doc": doc, "check": check})


def _port(value: int) -> str | None:
    return None if 1 <= value <= 65535 else "a port is a number from 1 to 65535"


def _seconds(value: float) -> str | None:
    return None if 0 < value <= LONGEST else f"it must be more than 0 and at most {LONGEST}"


def _not_negative(value: int) -> str | None:
    return None if value >= 0 else "it must not be less than 0"


def _version(value: int) -> str | None:
    return None if value == 1 else "this daglab reads version 1"


def _address(value: str) -> str | None:
    try:
        parse.base_url(value)
    except errors.InvalidInput as error:
        return error.message.rstrip(".")
    return None


def _host(value: str) -> str | None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        alone = not set(value) & set("/?#@:[] ")
        return _address(f"http://{value}") if alone else "a host is a name or a number alone"
    return None


def _prefix(value: str) -> str | None:
    if set(value) & set("?#@ ") or "//" in value:
        return "it must be a path alone"
    return None


def _not_empty(value: str) -> str | None:
    return None if value.strip() else "it must not be empty"


def _variable(value: str) -> str | None:
    return None if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", value) else "it must be the name of a variable"


@dataclass(frozen=True)
class Auth:
    """Where a bearer token is read from; at most one of them is set."""

    token_env: str | None = _key(None, "The environment variable that holds the token.", _variable)
    token_file: str | None = _key(None, "The file that holds the token.")
    token_command: str | None = _key(None, "The command that prints the token (run without a shell).")


@dataclass(frozen=True)
class Graphql:
    """How Dagster is asked."""

    timeout: float = _key(30.0, "Seconds to wait for an answer.", _seconds)
    max_retries: int = _key(3, "How often a query is asked again.", _not_negative)


@dataclass(frozen=True)
class Dagster:
    """The deployment that daglab talks to."""

    host: str = _key("127.0.0.1", "The host of Dagster's webserver.", _host)
    port: int = _key(3000, "The port of Dagster's webserver.", _port)
    url: str | None = _key(None, "The whole address; wins over host and port.", _address)
    path_prefix: str | None = _key(None, "The path that the webserver lies under, such as /dagster.", _prefix)
    repository_name: str | None = _key(None, "The repository to use where several have the name.")
    repository_location_name: str | None = _key(None, "The code location to use where several have the name.")
    python: str | None = _key(None, "The project's Python; default: .venv in the project, else daglab's own.")
    auth: Auth = Auth()
    graphql: Graphql = Graphql()


@dataclass(frozen=True)
class Defaults:
    """What is done where no flag says otherwise."""

    attach_metadata_key: str = _key("exploration", "The label of the link on the asset's page.", _not_empty)


@dataclass(frozen=True)
class Performance:
    """How runs are waited for."""

    polling_interval: float = _key(1.0, "Seconds between two looks at a run.", _seconds)
    max_wait_time: float = _key(300.0, "Seconds that `run` waits at most.", _seconds)


@dataclass(frozen=True)
class Export:
    """Where exports can be reached."""

    base_url: str | None = _key(None, "The address under which the project's folder is served.", _address)
    timeout: float = _key(3600.0, "Seconds that a notebook may run at most.", _seconds)


@dataclass(frozen=True)
class Dashboard:
    """The project's own pages."""

    port: int = _key(3030, "The port of the address that links point to without export.base_url.", _port)


@dataclass(frozen=True)
class Values:
    """Every key of the config."""

    version: int = _key(1, "The version of the file's format.", _version)
    notebooks_dir: str = _key("dagster/notebooks", "The folder of the notebooks, from the project's root.", _not_empty)
    dagster: Dagster = Dagster()
    defaults: Defaults = Defaults()
    performance: Performance = Performance()
    export: Export = Export()
    dashboard: Dashboard = Dashboard()


@dataclass(frozen=True)
class Key:
    """One key: its type, default, meaning, and the check that its values pass."""

    name: str
    type: type
    optional: bool
    default: Any
    doc: str
    check: Callable[[Any], str | None] | None


def known() -> dict[str, Key]:
    """Every key by its dotted name, in the order of the sections."""
    return {key.name: key for key in _section_keys(Values, "")}


def checked(key: Key, value: Any, place: str) -> Any:
    """`value` as the key takes it; a whole number will do for a float.

    Raises `InvalidInput` that starts with `place` (file and line, a variable, a flag).
    """
    if value is None and key.optional:
        return None
    if key.type is float and type(value) is int:
        value = float(value)
    if type(value) is not key.type:
        raise errors.InvalidInput(f"{place}: {key.name} is {_named(value)}, not {KINDS[key.type]}.", _instead(key))
    control = isinstance(value, str) and any(unicodedata.category(c) in ("Cc", "Cs") for c in value)
    problem = "it holds a control character" if control else key.check(value) if key.check else None
    if problem:
        raise errors.InvalidInput(f"{place}: {key.name} is not valid: {problem}.", _instead(key))
    return value


def from_text(key: Key, text: str, place: str) -> Any:
    """The value that an environment variable's text stands for; empty text is no value where that is allowed.

    Raises `InvalidInput` that starts with `place`.
    """
    if not text and key.optional:
        return None
    try:
        return key.type(text)
    except ValueError:
        raise errors.InvalidInput(f"{place}: {key.name} is text, not {KINDS[key.type]}.", _instead(key)) from None


KINDS = {str: "text", int: "a whole number", float: "a number"}


def _instead(key: Key) -> str:
    example = "" if key.default is None else f" such as {key.default}"
    return f"Write {KINDS[key.type]}{example}, or leave it out. {key.name}: {key.doc}"


def _named(value: Any) -> str:
    """A value's kind, in a person's words; the value itself may be a secret put in the wrong place."""
    return {bool: "true or false", dict: "a section", list: "a list", type(None): "empty"}.get(
        type(value), KINDS.get(type(value), type(value).__name__)
    )


def _section_keys(section: type, prefix: str) -> list[Key]:
    hints = get_type_hints(section)
    found: list[Key] = []
    for item in dataclasses.fields(section):
        hint = hints[item.name]
        if dataclasses.is_dataclass(hint):
            found += _section_keys(hint, f"{prefix}{item.name}.")  # type: ignore[arg-type]
        elif "doc" in item.metadata:
            kinds = [kind for kind in getattr(hint, "__args__", (hint,)) if kind is not type(None)]
            found.append(
                Key(
                    f"{prefix}{item.name}",
                    kinds[0],
                    item.default is None,
                    item.default,
                    item.metadata["doc"],
                    item.metadata["check"],
                )
            )
    return found

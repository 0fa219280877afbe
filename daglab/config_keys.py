"""The keys of the config: one dataclass a section, each key with its type, default, meaning and check."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import json
import re
import typing
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from daglab import errors, parse

LONGEST = 2_000_000  # seconds, 23 days: sockets can't wait longer (milliseconds in 31 bits)
LONGEST_KEPT = 36_500  # days, a hundred years: dates end in the year 9999
AUTH_TYPES = ("bearer", "basic", "custom", "dagster-plus")
SOURCES = ("token_env", "token_file", "token_command", "username_env", "password_env")  # of a secret
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
SMALLEST_LOG = 100_000  # bytes
FROM_VARIABLE = "env:"  # a header's value that starts so names the variable that holds it
# Those that requests writes itself; another value would make another request of it.
_OWN_HEADERS = {"host", "content-length", "content-type", "transfer-encoding", "connection"}


def _key(default: Any, doc: str, check: Callable[[Any], str | None] | None = None) -> Any:
    return field(default=default, metadata={"doc": doc, "check": check})


def _port(value: int) -> str | None:
    return None if 1 <= value <= 65535 else "a port is a number from 1 to 65535"


def _seconds(value: float) -> str | None:
    return None if 0 < value <= LONGEST else f"it must be more than 0 and at most {LONGEST}"


def _not_negative(value: int) -> str | None:
    return None if value >= 0 else "it must not be less than 0"


def _positive(value: int) -> str | None:
    return None if value > 0 else "it must be more than 0"


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


def _auth_type(value: str) -> str | None:
    return None if value in AUTH_TYPES else f"it must be one of {', '.join(AUTH_TYPES)}"


def _header_name(value: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value):
        return "it must be the name of a header"
    return f"{value} is set by daglab itself" if value.lower() in _OWN_HEADERS else None


def _headers(value: Mapping[str, str]) -> str | None:
    for name, text in value.items():
        if problem := _header_name(name):
            return problem
        if text.startswith(FROM_VARIABLE) and (problem := _variable(text.removeprefix(FROM_VARIABLE))):
            return f"{problem} that stands after {FROM_VARIABLE}"
        if not (text and text.isascii() and text.isprintable() and text == text.strip()):
            return f"{name} can't be sent: a header is plain ASCII text"
    return None


def is_secret_header(name: str) -> bool:
    """Whether a header's value is a secret, by its name."""
    return re.search("auth|token|key|secret|cookie|password", name, re.IGNORECASE) is not None


def _kept(value: int) -> str | None:
    return None if 0 <= value <= LONGEST_KEPT else f"it must be from 0 to {LONGEST_KEPT}"


def _level(value: str) -> str | None:
    return None if value in LEVELS else f"it must be one of {', '.join(LEVELS)}"


def _log_size(value: int) -> str | None:
    return None if value >= SMALLEST_LOG else f"it must be {SMALLEST_LOG} at least"


def _names(value: tuple[str, ...]) -> str | None:
    wrong = next((name for name in value if not re.fullmatch(r"\w+", name)), None)
    return None if wrong is None else f"{wrong!r} is no name of an operation, such as launchRun"


def _models(value: tuple[Mapping[str, Any], ...]) -> str | None:
    names = [model.get("name") for model in value]
    if not all(isinstance(name, str) and name for name in names):
        return "each model needs a name"
    if any(not isinstance(text, str) for model in value for text in model.values()):
        return "what is said of a model must be text"
    return None if len(set(names)) == len(names) else "two models have the same name"


@dataclass(frozen=True)
class Auth:
    """Who daglab is to the deployment: at most one source of a token, or a user's name and password."""

    type: str | None = _key(
        None, f"How the token is sent: {', '.join(AUTH_TYPES)}; default: what the other keys tell.", _auth_type
    )
    token_env: str | None = _key(None, "The environment variable that holds the token.", _variable)
    token_file: str | None = _key(None, "The file that holds the token; read again when the token is refused.")
    token_command: str | None = _key(None, "The command that prints the token (run without a shell).")
    username_env: str | None = _key(None, "The environment variable that holds the user's name.", _variable)
    password_env: str | None = _key(None, "The environment variable that holds the password.", _variable)
    header_name: str | None = _key(None, "The header that the token is sent in, as it is.", _header_name)
    headers: Mapping[str, str] | None = _key(
        None, "Further headers; the value env:NAME is what the variable NAME holds.", _headers
    )

    @property
    def variables(self) -> list[str]:
        """The environment variables that hold its secrets."""
        texts = (self.headers or {}).values()
        inside = [text.removeprefix(FROM_VARIABLE) for text in texts if text.startswith(FROM_VARIABLE)]
        return [name for name in (self.token_env, self.username_env, self.password_env, *inside) if name]


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
    url: str | None = _key(None, "The whole address; wins over host and port beside it.", _address)
    path_prefix: str | None = _key(None, "The path that the webserver lies under, such as /dagster.", _prefix)
    repository_name: str | None = _key(None, "The repository to use where several have the name.")
    repository_location_name: str | None = _key(None, "The code location to use where several have the name.")
    python: str | None = _key(None, "The project's Python; default: .venv in the project, else daglab's own.")
    auth: Auth = Auth()
    graphql: Graphql = Graphql()


@dataclass(frozen=True)
class Marimo:
    """The notebooks' editor."""

    port: int = _key(3010, "The port that marimo is to be opened on.", _port)


@dataclass(frozen=True)
class Defaults:
    """What is done where no flag says otherwise."""

    attach_metadata_key: str = _key("exploration", "The label of the link on the asset's page.", _not_empty)
    notebook_template: str = _key("default", "The template of scaffolded notebooks, by its name.", _not_empty)
    open_browser: bool = _key(True, "Whether `dev`, on a terminal, opens its pages in a browser.")


@dataclass(frozen=True)
class Performance:
    """How runs are waited for."""

    max_concurrent_runs: int = _key(10, "Runs of one command that are under way at a time, at most.", _positive)
    polling_interval: float = _key(1.0, "Seconds between two looks at a run.", _seconds)
    max_wait_time: float = _key(300.0, "Seconds that `run` waits at most.", _seconds)


@dataclass(frozen=True)
class Export:
    """How notebooks are exported, how long that is kept, and where it can be reached."""

    base_url: str | None = _key(None, "The address under which the project's folder is served.", _address)
    timeout: float = _key(3600.0, "Seconds that a notebook may run at most.", _seconds)
    compress: bool = _key(False, "Write exports compressed, as .html.gz.")
    retention_days: int = _key(30, "Days that an export is kept; 0 means for ever.", _kept)


@dataclass(frozen=True)
class Logging:
    """What `dev` has Dagster and marimo log, and how much of it is kept."""

    level: str = _key("INFO", f"What is logged from: {', '.join(LEVELS)}.", _level)
    max_bytes: int = _key(10_000_000, "Bytes that a log grows to at most.", _log_size)
    backup_count: int = _key(3, "Older logs that are kept beside each.", _not_negative)


@dataclass(frozen=True)
class Dashboard:
    """The project's own pages."""

    port: int = _key(3030, "The port of the address that links point to without export.base_url.", _port)


@dataclass(frozen=True)
class Security:
    """What may be changed in the deployment."""

    sandbox_mode: bool = _key(False, "Ask the deployment, and change nothing there.")
    allowed_operations: tuple[str, ...] = _key(
        (), "The operations that are allowed all the same, such as launchRun.", _names
    )


@dataclass(frozen=True)
class Values:
    """Every key of the config."""

    version: int = _key(1, "The version of the file's format.", _version)
    notebooks_dir: str = _key("dagster/notebooks", "The folder of the notebooks, from the project's root.", _not_empty)
    dagster: Dagster = Dagster()
    defaults: Defaults = Defaults()
    performance: Performance = Performance()
    export: Export = Export()
    logging: Logging = Logging()
    dashboard: Dashboard = Dashboard()
    security: Security = Security()
    marimo: Marimo = Marimo()
    models: tuple[Mapping[str, str], ...] = _key(
        (), "The language models that the project uses: a name each, and what else is to be known.", _models
    )


@dataclass(frozen=True)
class Key:
    """One key: its type, default, meaning, and the check that its values pass."""

    name: str
    type: type
    optional: bool
    default: Any
    doc: str
    check: Callable[[Any], str | None] | None


@functools.cache
def known() -> Mapping[str, Key]:
    """Every key by its dotted name, in the order of the sections."""
    return {key.name: key for key in _section_keys(Values, "")}


def checked(key: Key, value: Any, place: str) -> Any:
    """`value` as the key takes it; a whole number will do for a float, a list becomes a tuple.

    Raises `InvalidInput` that starts with `place` (file and line, a variable, a flag).
    """
    if value is None and key.optional:
        return None
    if key.type is float and type(value) is int:
        value = float(value)
    if key.type in (tuple, list) and isinstance(value, (list, tuple)):
        inside: type = str if key.type is tuple else dict
        value = tuple(value) if all(isinstance(item, inside) for item in value) else [*value]
    expected = tuple if key.type is list else key.type
    texts = value.values() if isinstance(value, dict) else ()
    if type(value) is not expected or not all(isinstance(text, str) for text in texts):
        raise errors.InvalidInput(f"{place}: {key.name} is {_named(value)}, not {KINDS[key.type]}.", _instead(key))
    control = isinstance(value, str) and any(unicodedata.category(c) in ("Cc", "Cs") for c in value)
    problem = "it holds a control character" if control else key.check(value) if key.check else None
    if problem:
        raise errors.InvalidInput(f"{place}: {key.name} is not valid: {problem}.", _instead(key))
    return value


def from_text(key: Key, text: str, place: str) -> Any:
    """The value that an environment variable's text stands for; empty text is no value where that is allowed.

    A list is written with commas, a mapping as `name=value,name=value`, models as JSON. Raises `InvalidInput` that
    starts with `place`.
    """
    if not text and key.optional:
        return None
    try:
        return _FROM_TEXT.get(key.type, key.type)(text)
    except ValueError:
        raise errors.InvalidInput(f"{place}: {key.name} is text, not {KINDS[key.type]}.", _instead(key)) from None


def to_text(value: Any) -> str:
    """The text that stands for a value, the other way round; empty for None."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ",".join(f"{name}={text}" for name, text in value.items())
    if isinstance(value, tuple):
        return ",".join(value) if all(isinstance(item, str) for item in value) else json.dumps(value)
    return "" if value is None else str(value)


def _truth(text: str) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if text.strip().lower() not in words:
        raise ValueError(text)
    return words[text.strip().lower()]


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _mapping(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError(text)
    return {name.strip(): value.strip() for name, _, value in pairs}


KINDS: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "a list of text",
    dict: "a mapping of text",
    list: "a list of mappings",
}
_FROM_TEXT: dict[type, Callable[[str], Any]] = {bool: _truth, tuple: _list, dict: _mapping, list: json.loads}


def _instead(key: Key) -> str:
    example = "" if key.default in (None, ()) else f" such as {to_text(key.default)}"
    return f"Write {KINDS[key.type]}{example}, or leave it out. {key.name}: {key.doc}"


def _named(value: Any) -> str:
    """A value's kind, in a person's words; the value itself may be a secret put in the wrong place."""
    return {dict: "a section", list: "a list", tuple: "a list", type(None): "empty"}.get(
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
            found.append(
                Key(
                    f"{prefix}{item.name}",
                    _kind(hint),
                    item.default is None,
                    item.default,
                    item.metadata["doc"],
                    item.metadata["check"],
                )
            )
    return found


def _kind(hint: Any) -> type:
    """The kind of value that a field's type stands for: tuple for a list of text, list for one of mappings."""
    if type(None) in typing.get_args(hint):
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    origin = typing.get_origin(hint)
    if origin is tuple:
        return tuple if typing.get_args(hint)[0] is str else list
    return hint if origin is None else dict

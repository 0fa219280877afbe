"""The keys of the config: one dataclass a section, each key with its type, default, meaning and check."""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from daglab import errors
from daglab.settings import config_checks

SOURCES = ("token_env", "token_file", "token_command", "username_env", "password_env")  # of a secret


def _key(default: Any, doc: str, check: Callable[[Any], str | None] | None = None) -> Any:
    return field(default=default, metadata={"doc": doc, "check": check})


@dataclass(frozen=True)
class Auth:
    """Who daglab is to the deployment: at most one source of a token, or a user's name and password."""

    type: str | None = _key(
        None,
        f"How the token is sent: {', '.join(config_checks.AUTH_TYPES)}; default: what the other keys tell.",
        config_checks.auth_type,
    )
    token_env: str | None = _key(None, "The environment variable that holds the token.", config_checks.variable)
    token_file: str | None = _key(None, "The file that holds the token; read again when the token is refused.")
    token_command: str | None = _key(None, "The command that prints the token (run without a shell).")
    username_env: str | None = _key(
        None, "The environment variable that holds the user's name.", config_checks.variable
    )
    password_env: str | None = _key(None, "The environment variable that holds the password.", config_checks.variable)
    header_name: str | None = _key(None, "The header that the token is sent in, as it is.", config_checks.header_name)
    headers: Mapping[str, str] | None = _key(
        None, "Further headers; the value env:NAME is what the variable NAME holds.", config_checks.headers
    )

    @property
    def variables(self) -> list[str]:
        """The environment variables that hold its secrets."""
        texts = (self.headers or {}).values()
        inside = [
            text.removeprefix(config_checks.FROM_VARIABLE)
            for text in texts
            if text.startswith(config_checks.FROM_VARIABLE)
        ]
        return [name for name in (self.token_env, self.username_env, self.password_env, *inside) if name]


@dataclass(frozen=True)
class Graphql:
    """How Dagster is asked."""

    timeout: float = _key(30.0, "Seconds to wait for an answer.", config_checks.seconds)
    max_retries: int = _key(3, "How often a query is asked again.", config_checks.not_negative)


@dataclass(frozen=True)
class Dagster:
    """The deployment that daglab talks to."""

    host: str = _key("127.0.0.1", "The host of Dagster's webserver.", config_checks.host)
    port: int = _key(3000, "The port of Dagster's webserver.", config_checks.port)
    url: str | None = _key(
        None, "The whole address (https://dagster.example.com); wins over host and port.", config_checks.address
    )
    path_prefix: str | None = _key(
        None, "The path that the webserver lies under, such as /dagster.", config_checks.prefix
    )
    repository_name: str | None = _key(None, "The repository to use where several have the name.")
    repository_location_name: str | None = _key(None, "The code location to use where several have the name.")
    python: str | None = _key(None, "The project's Python; default: .venv in the project, else daglab's own.")
    auth: Auth = Auth()
    graphql: Graphql = Graphql()


@dataclass(frozen=True)
class Marimo:
    """The notebooks' editor."""

    port: int = _key(3010, "The port that marimo is to be opened on.", config_checks.port)


@dataclass(frozen=True)
class Defaults:
    """What is done where no flag says otherwise."""

    attach_metadata_key: str = _key(
        "exploration", "The label of the link on the asset's page.", config_checks.not_empty
    )
    notebook_template: str = _key(
        "default", "The template of scaffolded notebooks, by its name.", config_checks.not_empty
    )
    open_browser: bool = _key(True, "Whether `dev`, on a terminal, opens its pages in a browser.")


@dataclass(frozen=True)
class Performance:
    """How runs are waited for."""

    max_concurrent_runs: int = _key(
        10, "Runs of one command that are under way at a time, at most.", config_checks.positive
    )
    polling_interval: float = _key(1.0, "Seconds between two looks at a run.", config_checks.seconds)
    max_wait_time: float = _key(300.0, "Seconds that `run` waits at most.", config_checks.seconds)


@dataclass(frozen=True)
class CloudStorage:
    """Where `export --upload` without an address puts exports."""

    provider: str | None = _key(
        None, f"Whose storage it is: {', '.join(config_checks.PROVIDERS)}.", config_checks.provider
    )
    bucket: str | None = _key(None, "The bucket; of azure the container.", config_checks.bucket)
    prefix: str | None = _key(None, "What the names of uploads begin with, such as `reports/daily`.", config_checks.key)
    account: str | None = _key(None, "The storage account; of azure alone.", config_checks.account)


@dataclass(frozen=True)
class Export:
    """How notebooks are exported, how long that is kept, and where it can be reached."""

    base_url: str | None = _key(None, "The address under which the project's folder is served.", config_checks.address)
    timeout: float = _key(3600.0, "Seconds that a notebook may run at most.", config_checks.seconds)
    compress: bool = _key(False, "Write exports compressed, as .html.gz.")
    retention_days: int = _key(30, "Days that an export is kept; 0 means for ever.", config_checks.kept)
    max_total_bytes: int = _key(
        0, "Bytes that all exports, here and in clouds, may have; 0 means any.", config_checks.not_negative
    )
    cloud_storage: CloudStorage = CloudStorage()


@dataclass(frozen=True)
class Logging:
    """What `dev` has Dagster and marimo log, and how much of it is kept."""

    level: str = _key("INFO", f"What is logged from: {', '.join(config_checks.LEVELS)}.", config_checks.level)
    max_bytes: int = _key(10_000_000, "Bytes that a log grows to at most.", config_checks.log_size)
    backup_count: int = _key(3, "Older logs that are kept beside each.", config_checks.not_negative)


@dataclass(frozen=True)
class Dashboard:
    """The project's own pages."""

    port: int = _key(3030, "The port of the address that links point to without export.base_url.", config_checks.port)


@dataclass(frozen=True)
class Events:
    """The record of what was done."""

    retention_days: int = _key(
        365, "Days after which `clean` replaces a month of events by its daily sums; 0 means never.", config_checks.kept
    )


@dataclass(frozen=True)
class Health:
    """What `daglab health` asks for."""

    timeout: float = _key(5.0, "Seconds that a check may take at most.", config_checks.seconds)
    min_free_bytes: int = _key(
        100_000_000, "Bytes that are to be free where .daglab/ and the exports are.", config_checks.not_negative
    )
    export_max_age_days: int = _key(
        0, "Days that the last good export may be old; 0 means that it is not asked for.", config_checks.kept
    )


@dataclass(frozen=True)
class WeaviateBatch:
    """How many objects are written in one request; between the two daglab finds what suits the server."""

    min: int = _key(10, "Objects that a batch has at least.", config_checks.positive)
    max: int = _key(1000, "Objects that a batch has at most.", config_checks.positive)


@dataclass(frozen=True)
class Weaviate:
    """The Weaviate clusters that the project fills."""

    clusters: tuple[Mapping[str, str], ...] = _key(
        (),
        "The clusters: name and url of each, and as needed token_env, and metrics, its Prometheus listener.",
        config_checks.clusters,
    )
    protected: tuple[str, ...] = _key(
        ("ELYSIA_*", "*_SYSTEM"),
        "Patterns of collections that are not deleted without --unprotect.",
        config_checks.patterns,
    )
    timeout: float = _key(60.0, "Seconds to wait for an answer.", config_checks.seconds)
    max_retries: int = _key(3, "How often a request that may be sent twice is sent again.", config_checks.not_negative)
    max_query_ms: float = _key(
        500.0, "Milliseconds that 95 of 100 queries may take before `health` finds them slow.", config_checks.seconds
    )
    max_queue: int = _key(
        10_000, "Vectors that may wait for their index before `health` says so.", config_checks.not_negative
    )
    batch: WeaviateBatch = WeaviateBatch()


@dataclass(frozen=True)
class Security:
    """What may be changed in the deployment."""

    sandbox_mode: bool = _key(False, "Ask the deployment, and change nothing there.")
    allowed_operations: tuple[str, ...] = _key(
        (), "The operations that are allowed all the same, such as launchRun.", config_checks.names
    )


@dataclass(frozen=True)
class Values:
    """Every key of the config."""

    version: int = _key(1, "The version of the file's format.", config_checks.version)
    notebooks_dir: str = _key(
        "dagster/notebooks", "The folder of the notebooks, from the project's root.", config_checks.not_empty
    )
    dagster: Dagster = Dagster()
    defaults: Defaults = Defaults()
    performance: Performance = Performance()
    export: Export = Export()
    logging: Logging = Logging()
    dashboard: Dashboard = Dashboard()
    events: Events = Events()
    health: Health = Health()
    security: Security = Security()
    marimo: Marimo = Marimo()
    weaviate: Weaviate = Weaviate()
    models: tuple[Mapping[str, str], ...] = _key(
        (),
        "The language models that the project uses: a name each, and as needed url, token_env, provider.",
        config_checks.models,
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
    list: 'a list of mappings such as [{"name": "main"}]',
}
_FROM_TEXT: dict[type, Callable[[str], Any]] = {bool: _truth, tuple: _list, dict: _mapping, list: json.loads}


def _instead(key: Key) -> str:
    if key.type is str and key.default is None:
        return f"{key.name}: {key.doc}"  # that it is text says nothing
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

"""Which secret goes to which address: what the user chose is trusted, what a project's file chose is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from daglab import errors, parse
from daglab.settings import config, config_checks, config_keys

# Read when no other is named; that of Dagster+ for Dagster+ alone.
TOKEN_VARIABLE, CLOUD_VARIABLE = "DAGSTER_GRAPHQL_TOKEN", "DAGSTER_CLOUD_API_TOKEN"
_CLOUD_HOSTS = (".dagster.cloud", ".dagster.plus")
_AUTH = "dagster.auth."
_DEFAULT_ADDRESS = f"http://{config_keys.Dagster.host}:{config_keys.Dagster.port}"


@dataclass(frozen=True)
class Credential:
    """Who daglab is to the deployment (never the secret itself), or why what is named is withheld from it."""

    auth: config_keys.Auth | None
    origin: str
    withheld: str | None = None


def is_cloud(url: str) -> bool:
    """Whether an address is one of Dagster+."""
    return (urlsplit(url).hostname or "").endswith(_CLOUD_HOSTS)


def credential(settings: config.Config, environ: Mapping[str, str]) -> Credential | None:
    """Which token, or name and password, to send to `settings.url`, by these rules; None for none.

    1. one named by a flag or a DAGLAB_ variable
    2. one that the user's config holds for just this origin
    3. one named in the project's file
    4. one of Dagster's own variables, that of Dagster+ to Dagster+ alone

    All but the second are withheld from an address that only the project's file names. How it is sent (`type`,
    `header_name`, `headers`) is said beside it, or in the config as any other value. Raises `InvalidInput` for a name
    without a password, and the other way round.
    """
    here = parse.origin(settings.url)
    bound = settings.credentials.get(here)
    foreign = _project_address(settings)
    manner = _manner(settings)
    if bound and (foreign or _named_auth(settings, "flag", "environment") is None):
        own = {name: value for name, value in vars(bound).items() if value}
        return Credential(_paired(config_keys.Auth(**{**manner, **own})), f"your config, for {here}")
    named = _named_auth(settings, "flag", "environment", "project") or _default_auth(settings, environ)
    if named is None and not manner["headers"]:
        return None
    auth, origin = named or ({}, settings.origins[f"{_AUTH}headers"])
    complete = _paired(config_keys.Auth(**{**manner, **auth}))
    if not foreign:
        return Credential(complete, origin)
    headers = (complete.headers or {}).items()
    public = {name: text for name, text in headers if not text.startswith(config_checks.FROM_VARIABLE)}
    why = f"the address {settings.url} comes from {foreign}" if complete.variables or auth else None
    return Credential(config_keys.Auth(headers=public) if public else None, origin, why)


def endpoint_credential(settings: config.Config, key: str, entry: Mapping[str, str]) -> Credential | None:
    """Which token to send to an `entry` of the list `key` (`models`), by the same rules; None for none.

    The whole list stands in one layer. What the project's file names is withheld, for its address stands beside it;
    what the user's config holds for the origin goes there all the same.
    """
    origin = f"{settings.origins[key]} ({key}: {entry['name']})"
    named = entry.get("token_env")
    if named and settings.layers[key] != "project":
        return Credential(config_keys.Auth(token_env=named), origin)
    here = parse.origin(parse.base_url(entry["url"]))
    if bound := settings.credentials.get(here):
        return Credential(_paired(bound), f"your config, for {here}")
    return Credential(None, origin, f"its address comes from {settings.origins[key]}, too") if named else None


def _manner(settings: config.Config) -> dict[str, Any]:
    """How a secret is sent. The headers of the user's own config are for the address beside them, and come with it."""
    auth = settings.dagster.auth
    headers = auth.headers if settings.layers[f"{_AUTH}headers"] != "user" else None
    return {"type": auth.type, "header_name": auth.header_name, "headers": headers or None}


def _paired(auth: config_keys.Auth) -> config_keys.Auth:
    if bool(auth.username_env) != bool(auth.password_env):
        raise errors.InvalidInput(
            "Of dagster.auth.username_env and dagster.auth.password_env only one is set.", "Set both, or neither."
        )
    return auth


def _named_auth(settings: config.Config, *layers: str) -> tuple[dict[str, str], str] | None:
    """The token, or name and password, named in the first of these layers that names any, and where."""
    for layer in layers:
        for name in config_keys.SOURCES:
            if settings.value(f"{_AUTH}{name}") and settings.layers[f"{_AUTH}{name}"] == layer:
                pair = name.startswith(("username", "password"))
                names = config_keys.SOURCES[3:] if pair else (name,)
                found = {each: settings.value(f"{_AUTH}{each}") for each in names}
                return found, settings.origins[f"{_AUTH}{name}"]
    return None


def _default_auth(settings: config.Config, environ: Mapping[str, str]) -> tuple[dict[str, str], str] | None:
    """The first of Dagster's own variables that is set and is meant for this address."""
    cloud = settings.dagster.auth.type == "dagster-plus" or (
        settings.dagster.auth.type is None and is_cloud(settings.url)
    )
    names = [CLOUD_VARIABLE, TOKEN_VARIABLE] if cloud else [TOKEN_VARIABLE]
    found = next((name for name in names if environ.get(name)), None)
    return None if found is None else ({"token_env": found}, f"${found}")


def _project_address(settings: config.Config) -> str | None:
    """The file and line that chose the address, when that is the project's file; the default's own is nobody's."""
    if parse.origin(settings.url) == parse.origin(_DEFAULT_ADDRESS):
        return None
    deciding = ["dagster.url"] if settings.dagster.url else ["dagster.host", "dagster.port"]
    return next((settings.origins[name] for name in deciding if settings.layers[name] == "project"), None)

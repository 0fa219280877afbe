"""Which Weaviate a command works on, and as whom: by a name in the config, or by an address."""

from __future__ import annotations

import os

from daglab import errors, parse, redaction, web
from daglab.settings import config, config_keys, credentials, trust
from daglab.weaviate import rest

KEY = "weaviate.clusters"
DEFAULT = "default"


def connect(
    settings: config.Config, named: str | None = None, auth: str | None = None, *, event_id: str | None = None
) -> rest.Cluster:
    """The cluster that a command line names, by its name in the config or its address; nothing is sent.

    Without a name: the only one of the config, or the one called `default`. `auth` (`env:NAME`, `file:PATH`) goes with
    an address. Raises `NotSetUp` where none is configured, `WrongUsage` for a name that there is not and for a literal
    key, `NotSetUp` when the key that is named is missing.
    """
    if named and "://" in named:
        return _by_address(settings, named, auth, event_id)
    if auth:
        raise errors.WrongUsage(
            "The key of a cluster in the config is named there.", "--auth goes with an address: --cluster URL."
        )
    entry = _entry(settings, named)
    found = trust.endpoint_credential(settings, KEY, entry)
    headers: dict[str, str] = {}
    url = _address(entry["url"])
    if found and found.auth:
        headers = credentials.headers(found.auth, found.origin, url)
    session = _session(settings, headers, event_id, found.withheld if found else None)
    return rest.Cluster(entry["name"], url, session, entry.get("metrics"))


def names(settings: config.Config) -> list[str]:
    """The clusters of the config, in their order."""
    return [entry["name"] for entry in settings.weaviate.clusters]


def _entry(settings: config.Config, named: str | None) -> dict[str, str]:
    entries = {entry["name"]: dict(entry) for entry in settings.weaviate.clusters}
    if not entries:
        hint = "Name it in daglab.yaml, weaviate: {clusters: [{name: main, url: http://...}]}, or with --cluster URL."
        raise errors.NotSetUp("The config names no Weaviate cluster.", hint)
    if named is None:
        if len(entries) == 1:
            return next(iter(entries.values()))
        if DEFAULT in entries:
            return entries[DEFAULT]
        raise errors.WrongUsage(
            f"The config names {len(entries)} clusters.", f"Say which: --cluster {' or '.join(entries)}."
        )
    if named not in entries:
        hint = parse.did_you_mean(named, entries) or f"There are {', '.join(entries)}; an address begins with http://."
        raise errors.WrongUsage(f"The config names no cluster {named!r}.", hint)
    return entries[named]


def _by_address(settings: config.Config, address: str, auth: str | None, event_id: str | None) -> rest.Cluster:
    url = _address(address)
    headers: dict[str, str] = {}
    named = _named(auth)
    if named is not None:
        headers = credentials.headers(named, "--auth", url)
    elif bound := settings.credentials.get(parse.origin(url)):
        headers = credentials.headers(bound, f"your config, for {parse.origin(url)}", url)
    entry = next((each for each in settings.weaviate.clusters if _address(each["url"]) == url), {})
    return rest.Cluster(parse.display_url(url), url, _session(settings, headers, event_id, None), entry.get("metrics"))


def _named(auth: str | None) -> config_keys.Auth | None:
    if auth is None:
        return None
    kind, colon, name = auth.partition(":")
    if not colon or kind not in ("env", "file") or not name:
        redaction.hide(auth)
        raise errors.WrongUsage(
            "--auth takes no key itself: other users of the machine could see it.",
            "Name a variable or a file: --auth env:NAME, --auth file:PATH.",
        )
    return config_keys.Auth(token_env=name) if kind == "env" else config_keys.Auth(token_file=os.path.expanduser(name))


def _address(text: str) -> str:
    return parse.base_url(text).removesuffix("/v1")


def _session(
    settings: config.Config, headers: dict[str, str], event_id: str | None, withheld: str | None
) -> web.Session:
    return web.service(
        settings,
        headers,
        timeout=settings.weaviate.timeout,
        retries=settings.weaviate.max_retries,
        operation=event_id,
        withheld=f"the key of weaviate.clusters was not sent, because {withheld}" if withheld else None,
    )

"""The two config files: what stands in them and where, and what they may not say."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from daglab import errors, files, parse
from daglab.settings import config_checks

# Beside those that start with DAGLAB_, the only variables that a project's file may name.
PROJECT_VARIABLES = ("DAGSTER_GRAPHQL_TOKEN", "DAGSTER_CLOUD_API_TOKEN")
LARGEST = 1_000_000
_SECRETS = ("token", "password", "secret", "api_key", "apikey")
NAMED_ENDPOINTS = ("models", "weaviate.clusters")  # lists of mappings with name, url, token_env
_NAMES_A_VARIABLE = ("token_env", "username_env", "password_env")


@dataclass(frozen=True)
class Entry:
    """One value of a file: its path of keys, and the place as `file:line`."""

    path: tuple[str, ...]
    value: Any
    place: str

    @property
    def key(self) -> str:
        """The dotted key."""
        return ".".join(self.path)


def read(path: Path | None) -> list[Entry]:
    """The values of a config file, in its order; none for no file.

    Raises `InvalidInput` for what is not YAML, a key given twice and a literal secret, `NotAuthorised` for a
    file that belongs to another user.
    """
    if path is None:
        return []
    _refuse_foreign(path)
    if path.stat().st_size > LARGEST:
        raise errors.InvalidInput(f"The config file {path} is larger than {LARGEST} bytes.", "Is it the right file?")
    return entries(files.read_text(path, "config file"), path)


def entries(text: str, path: Path) -> list[Entry]:
    """The values that `text` holds, as they stand in `path`; raises as `read` does."""
    found = [Entry(s.path, s.value, f"{path}:{s.line}") for s in parse.yaml_scalars(text, str(path))]
    for entry in found:
        _refuse_secret(entry)
    return _fold(found)


def alone(entry: Entry) -> list[Entry]:
    """A value as `entries` gives it. Raises `InvalidInput` for a literal secret."""
    _refuse_secret(entry)
    return _fold([entry])


def _fold(entries: list[Entry]) -> list[Entry]:
    """What stands below `auth.headers` made one value, a mapping, at the place of its first line."""
    folded: list[Entry] = []
    for entry in entries:
        if entry.path[-3:-1] != ("auth", "headers") and not _in_credential_headers(entry):
            folded.append(entry)
            continue
        path, header = entry.path[:-1], {entry.path[-1]: entry.value}
        if folded and folded[-1].path == path:
            folded[-1] = replace(folded[-1], value={**folded[-1].value, **header})
        else:
            folded.append(Entry(path, header, entry.place))
    return folded


def _in_credential_headers(entry: Entry) -> bool:
    return len(entry.path) == 4 and entry.path[0] == "credentials" and entry.path[2] == "headers"


def split_environments(entries: Iterable[Entry]) -> tuple[list[Entry], dict[str, list[Entry]]]:
    """The values without those of `environments`, and these by the environment's name, as if they stood alone.

    Raises `InvalidInput` where an environment is no section.
    """
    values: list[Entry] = []
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.path[0] != "environments":
            values.append(entry)
        elif len(entry.path) > 2:
            place = f"{entry.place} (environment {entry.path[1]})"
            found.setdefault(entry.path[1], []).append(Entry(entry.path[2:], entry.value, place))
        elif entry.value in (None, {}):
            found.update({name: [] for name in entry.path[1:] if name not in found})
        else:
            raise errors.InvalidInput(
                f"{entry.place}: {entry.key} is a section, not a value.",
                "Write environments: {staging: {dagster: {url: ...}}}.",
            )
    return values, found


def split_credentials(entries: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The user's values without, and those with, what stands under `credentials`."""
    entries = list(entries)
    values = [entry for entry in entries if entry.path[0] != "credentials"]
    return values, [entry for entry in entries if entry.path[0] == "credentials"]


def credential_name(entry: Entry, known: Iterable[str]) -> tuple[str, str]:
    """The address and the key of a value under `credentials`. Raises `InvalidInput` for another shape."""
    known = sorted(known)
    if len(entry.path) != 3 or entry.path[2] not in known or not isinstance(entry.value, (str, dict)):
        raise errors.InvalidInput(
            f"{entry.place}: this is not a credential.",
            f"Write credentials: {{https://dagster.example.com: {{{known[0]}: ...}}}} with one of {', '.join(known)}.",
        )
    return entry.path[1], entry.path[2]


def refuse_unknown(entry: Entry, known: Iterable[str]) -> None:
    """Raise `InvalidInput` for a key that is neither known nor an empty section, with the nearest known ones."""
    known = list(known)
    is_section = any(name.startswith(f"{entry.key}.") for name in known)
    if entry.key in known or (is_section and entry.value in (None, {})):
        return
    if is_section:
        raise errors.InvalidInput(f"{entry.place}: {entry.key} is a section, not a value.", "Put its keys below it.")
    raise errors.InvalidInput(
        f"{entry.place}: unknown key {entry.key}.",
        parse.did_you_mean(entry.key, known) or "`daglab config show` lists the keys there are.",
    )


def refuse_untrusted(entry: Entry) -> None:
    """Raise `NotAuthorised` where a project's file would make daglab read another variable, a file, a command.

    The value is not shown: it may be a token put in the wrong place.
    """
    if entry.path[0] == "credentials" or entry.key in ("dagster.auth.token_file", "dagster.auth.token_command"):
        raise errors.NotAuthorised(
            f"{entry.place}: a project's file may not set {entry.path[0] if len(entry.path) < 3 else entry.key}.",
            "Put it into your own ~/.config/daglab/config.yaml, or into the environment.",
        )
    name = entry.key.removeprefix("dagster.auth.")
    variables = [entry.value] if name in _NAMES_A_VARIABLE else []
    if name == "headers" and isinstance(entry.value, dict):
        texts = [str(text) for text in entry.value.values()]
        mark = config_checks.FROM_VARIABLE
        variables = [text.removeprefix(mark) for text in texts if text.startswith(mark)]
    if entry.key in NAMED_ENDPOINTS:
        _refuse_untrusted_endpoints(entry)
    if not all(map(_may_be_named, variables)):
        raise errors.NotAuthorised(
            f"{entry.place}: a project's file may not name this variable as {entry.key}.",
            f"Name one that starts with DAGLAB_, or {' or '.join(PROJECT_VARIABLES)}.",
        )


def _refuse_untrusted_endpoints(entry: Entry) -> None:
    """Dagster's own tokens are for Dagster: no model and no cluster gets them."""
    items = [item for item in entry.value if isinstance(item, dict)] if _is_list(entry) else []
    if not all(str(item["token_env"]).startswith("DAGLAB_") for item in items if "token_env" in item):
        raise errors.NotAuthorised(
            f"{entry.place}: a project's file may not name this variable as token_env in {entry.key}.",
            "Name one that starts with DAGLAB_, or put the token under credentials in your own config.",
        )


def _may_be_named(variable: Any) -> bool:
    return isinstance(variable, str) and (variable.startswith("DAGLAB_") or variable in PROJECT_VARIABLES)


def _refuse_secret(entry: Entry) -> None:
    """A token written out in a file ends up in version control; the value is not shown either."""
    if entry.path[-2:-1] == ("headers",):
        literal = not str(entry.value).startswith(config_checks.FROM_VARIABLE)
        if literal and config_checks.is_secret_header(entry.path[-1]):
            raise errors.InvalidInput(
                f"{entry.place}: {entry.key} would hold a secret in a file.",
                f"Name the variable that holds it instead: {entry.path[-1]}: {config_checks.FROM_VARIABLE}DAGLAB_...",
            )
        return
    inside = [name for item in entry.value if isinstance(item, dict) for name in item] if _is_list(entry) else []
    if any(str(name).lower() in _SECRETS for name in (entry.path[-1], *inside)):
        raise errors.InvalidInput(
            f"{entry.place}: {entry.key} would hold a secret in a file.",
            f"Name the variable that holds it instead: {'.'.join((*entry.path[:-1], 'token_env'))}.",
        )


def _is_list(entry: Entry) -> bool:
    return isinstance(entry.value, list)


def _refuse_foreign(path: Path) -> None:
    """Somebody else's file must not steer this user's daglab; sudo keeps the user's own files theirs."""
    owner = path.stat().st_uid
    if owner in (os.geteuid(), 0) or str(owner) == os.environ.get("SUDO_UID"):
        return
    raise errors.NotAuthorised(
        f"The config file {path} belongs to another user (uid {owner}).",
        "Run daglab as its owner, or take it over with chown.",
    )

"""The two config files: what stands in them and where, and what they may not say."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daglab import errors, files, parse

# Beside those that start with DAGLAB_, the only variables that a project's file may name.
PROJECT_VARIABLES = ("DAGSTER_GRAPHQL_TOKEN", "DAGSTER_CLOUD_API_TOKEN")
LARGEST = 1_000_000
_SECRETS = ("token", "password", "secret", "api_key", "apikey")


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
    text = files.read_text(path, "config file")
    entries = [Entry(s.path, s.value, f"{path}:{s.line}") for s in parse.yaml_scalars(text, str(path))]
    for entry in entries:
        _refuse_secret(entry)
    return entries


def split_credentials(entries: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The user's values without, and those with, what stands under `credentials`."""
    entries = list(entries)
    values = [entry for entry in entries if entry.path[0] != "credentials"]
    return values, [entry for entry in entries if entry.path[0] == "credentials"]


def credential_name(entry: Entry, known: Iterable[str]) -> tuple[str, str]:
    """The address and the key of a value under `credentials`. Raises `InvalidInput` for another shape."""
    known = sorted(known)
    if len(entry.path) != 3 or entry.path[2] not in known or not isinstance(entry.value, str):
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
    if entry.key == "dagster.auth.token_env" and not _may_be_named(entry.value):
        raise errors.NotAuthorised(
            f"{entry.place}: a project's file may not name this variable as {entry.key}.",
            f"Name one that starts with DAGLAB_, or {' or '.join(PROJECT_VARIABLES)}.",
        )


def _may_be_named(variable: Any) -> bool:
    return isinstance(variable, str) and (variable.startswith("DAGLAB_") or variable in PROJECT_VARIABLES)


def _refuse_secret(entry: Entry) -> None:
    """A token written out in a file ends up in version control; the value is not shown either."""
    if entry.path[-1].lower() in _SECRETS:
        raise errors.InvalidInput(
            f"{entry.place}: {entry.key} would hold a secret in a file.",
            f"Name the variable that holds it instead: {'.'.join((*entry.path[:-1], 'token_env'))}.",
        )


def _refuse_foreign(path: Path) -> None:
    """Somebody else's file must not steer this user's daglab; sudo keeps the user's own files theirs."""
    owner = path.stat().st_uid
    if owner in (os.geteuid(), 0) or str(owner) == os.environ.get("SUDO_UID"):
        return
    raise errors.NotAuthorised(
        f"The config file {path} belongs to another user (uid {owner}).",
        "Run daglab as its owner, or take it over with chown.",
    )

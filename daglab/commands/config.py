"""`daglab config`: what is in force, where it comes from, whether it is valid, and changing it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, files, output, parse
from daglab.settings import config, config_edit, config_files, config_keys

BYTE_ORDER_MARK = "\ufeff"


def document(settings: config.Config, *, origin: bool) -> dict[str, Any]:
    """Every key with its value, and with `origin` where that comes from."""
    result: dict[str, Any] = {
        "ok": True,
        "file": str(settings.file) if settings.file else None,
        "environment": settings.environment,
        "url": settings.url,
        "values": {name: settings.shown(name) for name in config_keys.known()},
    }
    if origin:
        result["origins"] = dict(settings.origins)
    return result


def show(result: dict[str, Any]) -> None:
    """Print the keys as a table."""
    origins = result.get("origins")
    rows = [
        (name, config_keys.to_text(value), *([origins[name]] if origins else []))
        for name, value in result["values"].items()
    ]
    output.table(rows, ("Key", "Value", *(["Origin"] if origins else [])))


def _environment() -> str | None:
    """The environment that is written to: that of --env, else of the variable; None for none."""
    return output.flags().get("env") or os.environ.get(config.ENVIRONMENT) or None


def _place(key: str) -> str:
    """Where a key is written, for people: a variable of the shell may have chosen an environment unseen."""
    environment = _environment()
    return f"environments.{environment}.{key}" if environment else key


def known_key(name: str) -> config_keys.Key:
    """The key of this name. Raises `InvalidInput` with the nearest ones."""
    known = config_keys.known()
    if name not in known:
        hint = parse.did_you_mean(name, known) or "`daglab config docs` lists the keys there are."
        raise errors.InvalidInput(f"There is no key {name}.", hint)
    return known[name]


def set_key(path: Path, name: str, text: str, environment: str | None, *, trusted: bool) -> Any:
    """Write a key's value into a config file, which is made where there is none. The value as it was understood.

    Raises `InvalidInput` and `NotAuthorised` as reading the file would, and then changes nothing.
    """
    key = known_key(name)
    value = config_keys.checked(key, config_keys.from_text(key, text, "VALUE"), "VALUE")
    with files.locked(path.parent):
        mark, old = _read(path) if path.exists() else ("", "version: 1\n")
        new = config_edit.set_value(old, _path(name, environment), value, str(path))
        _write(path, mark + new, trusted=trusted)
    return value


def unset_key(path: Path, name: str, environment: str | None, *, trusted: bool) -> bool:
    """Take a key out of a config file; whether it was there."""
    known_key(name)
    with files.locked(path.parent):
        mark, old = _read(path) if path.exists() else ("", "")
        new = config_edit.unset(old, _path(name, environment), str(path))
        if new != old:
            _write(path, mark + new, trusted=trusted)
    return new != old


def _read(path: Path) -> tuple[str, str]:
    """The byte order mark that the file may begin with, and its text with the line ends that it has.

    Raises as reading the config does: another user's file, once it is edited, would pass for one's own.
    """
    config_files.read(path)
    text = path.read_bytes().decode("utf-8")
    old = text.removeprefix(BYTE_ORDER_MARK)
    return text[: len(text) - len(old)], old


def _path(name: str, environment: str | None) -> tuple[str, ...]:
    return (*(("environments", environment) if environment else ()), *name.split("."))


def _write(path: Path, text: str, *, trusted: bool) -> None:
    config.check_text(text, path, trusted=trusted)
    if path.exists():
        files.write_atomic(path, text.encode("utf-8"))
    else:
        files.write_new(path, text)


def _target(user: bool) -> Path:
    """The file that is edited: the user's own, else the project's; where there is none, one is made here."""
    if user:
        return config.user_path(os.environ)
    here = config.current_directory()
    return config.find_project_file(here) or here / config.FILE_NAME


@contextlib.contextmanager
def _recording(name: str, key: str, path: Path) -> Iterator[None]:
    """The event of a change, in the project that we are in; the value is not kept, as it may be private."""
    with events.recording(config.project_root(), f"config {name}") as event:
        event.target = key
        event.detail["file"] = str(path)
        yield


def _complete(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in config_keys.known() if name.startswith(incomplete)]


key_argument = click.argument("key", shell_complete=_complete)
user_option = click.option("--user", is_flag=True, help="Change your own config, not the project's.")


@click.group(name="config", cls=output.Group)
def command() -> None:
    """Show, check and change the config.

    A value is taken from a flag, else a variable DAGLAB_<SECTION>__<KEY>, else daglab.yaml in the directory or its
    parents up to the git root, else the user's own ~/.config/daglab/config.yaml, else the default.

    \b
    Examples:
      daglab config show --origin
      daglab config set dagster.port 3001
      DAGLAB_DAGSTER__PORT=3001 daglab config show --json
    """


@command.command(name="show")
@click.option("--origin", is_flag=True, help="Show where each value comes from.")
@output.env_option
@output.json_option
def show_command(origin: bool, as_json: bool) -> None:
    """Show every key and the value in force.

    \b
    Example:
      daglab config show --origin
    """
    result = document(config.load(output.flags()), origin=origin)
    if as_json:
        output.document(result)
    else:
        show(result)


@command.command(name="get")
@key_argument
@click.option("--origin", is_flag=True, help="Say on stderr where it comes from.")
@output.env_option
@output.json_option
def get_command(key: str, origin: bool, as_json: bool) -> None:
    """Print the value of one key; an empty line for none.

    \b
    Example:
      curl "http://127.0.0.1:$(daglab config get dagster.port)/server_info"
    """
    name = known_key(key).name
    settings = config.load(output.flags())
    value = settings.shown(name)
    if as_json:
        output.document({"ok": True, "key": name, "value": value, "origin": settings.origins[name]})
        return
    output.data(config_keys.to_text(value))
    if origin:
        output.note(settings.origins[name])


@command.command(name="set")
@key_argument
@click.argument("value")
@user_option
@output.env_option
@output.json_option
def set_command(key: str, value: str, user: bool, as_json: bool) -> None:
    """Write a value into the config file.

    The rest of it stays as it is, comments too. A list is written with commas, a mapping as name=value,name=value.
    With --env it is written below that environment.

    \b
    Examples:
      daglab config set dagster.url https://dagster.example.com
      daglab config set security.sandbox_mode true --env prod
    """
    path = _target(user)
    made = not path.exists()
    with _recording("set", key, path):
        result = set_key(path, key, value, _environment(), trusted=user)
    if as_json:
        output.document({"ok": True, "file": str(path), "key": key, "value": result, "created": made})
    else:
        output.note(f"{'Made' if made else 'Changed'} {path}: {_place(key)} is {config_keys.to_text(result)}")


@command.command(name="unset")
@key_argument
@user_option
@output.env_option
@output.json_option
def unset_command(key: str, user: bool, as_json: bool) -> None:
    """Take a key out of the config file.

    \b
    Example:
      daglab config unset dagster.url
    """
    path = _target(user)
    with _recording("unset", key, path):
        changed = unset_key(path, key, _environment(), trusted=user)
    if as_json:
        output.document({"ok": True, "file": str(path), "key": key, "changed": changed})
    else:
        output.note(f"Changed {path}: {_place(key)} is gone" if changed else f"{_place(key)} is not in {path}.")


@command.command(name="path")
@output.json_option
def path_command(as_json: bool) -> None:
    """Print where the config files are, or would be.

    \b
    Example:
      $EDITOR "$(daglab config path --json | jq -r .project.path)"
    """
    paths = {"project": _target(user=False), "user": _target(user=True)}
    found = {name: {"path": str(path), "exists": path.is_file()} for name, path in paths.items()}
    if as_json:
        output.document({"ok": True, **found})
    else:
        rows = [(name, "yes" if row["exists"] else "no", row["path"]) for name, row in found.items()]
        output.table(rows, ("File", "There", "Path"))


@command.command(name="docs")
@click.argument("key", required=False, shell_complete=_complete)
@output.json_option
def docs_command(key: str | None, as_json: bool) -> None:
    """Say what each key means, or one of them.

    \b
    Example:
      daglab config docs export.retention_days
    """
    keys = [known_key(key)] if key else list(config_keys.known().values())
    rows = [(each.name, config_keys.KINDS[each.type], config_keys.to_text(each.default), each.doc) for each in keys]
    if as_json:
        names = ("key", "type", "default", "meaning")
        output.document({"ok": True, "keys": [dict(zip(names, row, strict=True)) for row in rows]})
    else:
        output.table(rows, ("Key", "Type", "Default", "Meaning"))


@command.command(name="models")
@output.env_option
@output.json_option
def models_command(as_json: bool) -> None:
    """List the language models that the config names.

    Each has a name, and as needed url (an OpenAI-compatible endpoint), token_env and provider. `daglab health` asks
    whether they are there.

    \b
    Example:
      daglab config models --json | jq -r '.models[].name'
    """
    models = [dict(model) for model in config.load(output.flags()).models]
    if as_json:
        output.document({"ok": True, "models": models})
        return
    if not models:
        output.note("The config names no models; add them to daglab.yaml: models: [{name: ..., url: ...}]")
    columns = list(dict.fromkeys(name for model in models for name in model))
    output.table([[model.get(name, "") for name in columns] for model in models], [c.capitalize() for c in columns])


@command.command(name="validate")
@output.env_option
@output.json_option
def validate_command(as_json: bool) -> None:
    """Check the config; exits with 7 for what is not valid.

    \b
    Example:
      daglab config validate && make deploy
    """
    settings = config.load(output.flags())
    if as_json:
        output.document({"ok": True, "file": str(settings.file) if settings.file else None})
    else:
        output.data(f"The config is valid: {settings.file or 'no daglab.yaml here, the defaults hold'}.")

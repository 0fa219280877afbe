"""`daglab config`: what is in force, where it comes from, and whether it is valid."""

from __future__ import annotations

from typing import Any

import click

from daglab import config, config_keys, output


def document(settings: config.Config, *, origin: bool) -> dict[str, Any]:
    """Every key with its value, and with `origin` where that comes from."""
    values = {name: settings.value(name) for name in config_keys.known()}
    if values["dagster.auth.token_command"]:  # its arguments may hold a secret
        values["dagster.auth.token_command"] = values["dagster.auth.token_command"].split()[0] + " ..."
    result: dict[str, Any] = {
        "ok": True,
        "file": str(settings.file) if settings.file else None,
        "url": settings.url,
        "values": values,
    }
    if origin:
        result["origins"] = dict(settings.origins)
    return result


def show(result: dict[str, Any]) -> None:
    """Print the keys as a table."""
    origins = result.get("origins")
    rows = [
        (name, "" if value is None else value, *([origins[name]] if origins else []))
        for name, value in result["values"].items()
    ]
    output.table(rows, ("Key", "Value", *(["Origin"] if origins else [])))


@click.group(name="config", cls=output.Group)
def command() -> None:
    """Show and check the config.

    A value is taken from a flag, else a variable DAGLAB_<SECTION>__<KEY>, else daglab.yaml in the directory or its
    parents up to the git root, else the user's own ~/.config/daglab/config.yaml, else the default.

    \b
    Examples:
      daglab config show --origin
      DAGLAB_DAGSTER__PORT=3001 daglab config show --json
    """


@command.command(name="show")
@click.option("--origin", is_flag=True, help="Show where each value comes from.")
@output.json_option
def show_command(origin: bool, as_json: bool) -> None:
    """Show every key and the value in force.

    \b
    Example:
      daglab config show --origin
    """
    result = document(config.load(), origin=origin)
    if as_json:
        output.document(result)
    else:
        show(result)


@command.command(name="validate")
@output.json_option
def validate_command(as_json: bool) -> None:
    """Check the config files and variables; exits with 7 for what is not valid.

    \b
    Example:
      daglab config validate && make deploy
    """
    settings = config.load()
    if as_json:
        output.document({"ok": True, "file": str(settings.file) if settings.file else None})
    else:
        output.data(f"The config is valid: {settings.file or 'no daglab.yaml here, the defaults hold'}.")

"""What a person or a script sees: data on stdout, messages on stderr, one JSON document where it is asked for."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

# Options that several commands have, so that they are named and explained the same everywhere.
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
url_option = click.option(
    "--url", metavar="URL", help="Address of Dagster's webserver.  [default: dagster.url, else host and port]"
)

# Terminals act on these, and a server's text must not: C0 but tab and newline, DEL, C1.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """`text` with what a terminal would act on made visible."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def document(result: Mapping[str, Any]) -> None:
    """Print the one JSON document of a command."""
    import json

    text = json.dumps(result, ensure_ascii=False, indent=2, default=str)
    click.echo(text.encode("utf-8", "backslashreplace"))


def data(text: str) -> None:
    """Print a piece of the result for a person."""
    click.echo(plain(text))


def note(text: str) -> None:
    """Say on stderr what is being done; silenced by -q."""
    if not _meta("quiet"):
        click.echo(plain(text), err=True)


def warn(text: str) -> None:
    """Say on stderr what may be wrong; silenced by -q."""
    if not _meta("quiet"):
        click.echo(f"{_style('Warning:', 'yellow')} {plain(text)}", err=True, color=True)


def error(message: str, hint: str | None) -> None:
    """Say on stderr what went wrong and what helps; never silenced."""
    click.echo(f"{_style('Error:', 'red')} {plain(message)}", err=True, color=True)
    if hint:
        click.echo(f"{_style('Hint:', 'cyan')} {plain(hint)}", err=True, color=True)


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> None:
    """Print rows as a table, cut to the terminal's width on a terminal only; nothing for no rows."""
    if not rows:
        return
    import tabulate

    cells = [[plain(str(cell)).replace("\n", " ") for cell in row] for row in rows]
    text = tabulate.tabulate(cells, headers=headers, tablefmt="simple", disable_numparse=True)
    width = _terminal_width()
    for line in text.splitlines():
        click.echo(line if width is None or len(line) <= width else line[: width - 1] + "…")


def set_meta(name: str) -> None:
    """Remember `quiet` or `verbose` for this command line."""
    click.get_current_context().meta[f"daglab.{name}"] = True


def log_to_stderr() -> None:
    """Show daglab's own log, which says each request, on stderr; -q wins."""
    import logging

    logger = logging.getLogger("daglab")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.ERROR if _meta("quiet") else logging.DEBUG)


def _meta(name: str) -> bool:
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(f"daglab.{name}"))


def _style(text: str, colour: str) -> str:
    """Coloured on a terminal; NO_COLOR switches it off, FORCE_COLOR on."""
    wanted = bool(os.environ.get("FORCE_COLOR")) or sys.stderr.isatty()
    return click.style(text, fg=colour) if wanted and not os.environ.get("NO_COLOR") else text


def _terminal_width() -> int | None:
    if not sys.stdout.isatty():
        return None
    import shutil

    return max(shutil.get_terminal_size().columns, 20)

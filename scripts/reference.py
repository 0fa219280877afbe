"""Writes what the docs say of commands and config keys from the code, or with --check fails when the two differ."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from daglab import cli, config_keys

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- keys: written by make docs WRITE=1 -->\n", "<!-- end of keys -->\n"
HEAD = """# The commands

Written by `make docs WRITE=1` from the commands' own help.
"""


def sections(command: click.Command, context: click.Context) -> list[str]:
    """The help of a command and of those below it, as Markdown."""
    found = [f"## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                below = click.Context(child, info_name=name, parent=context, max_content_width=100)
                found += sections(child, below)
    return found


def commands_page(_now: str) -> str:
    """The whole of docs/cli.md."""
    context = click.Context(cli.main, info_name="daglab", terminal_width=100, **cli.main.context_settings)
    return "\n".join([HEAD, *sections(cli.main, context)])


def config_page(now: str) -> str:
    """docs/config.md with its table of keys written anew."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key in config_keys.known().values():
        default = config_keys.to_text(key.default)
        default = f"`{default}`" if default else ""
        rows.append(f"| `{key.name}` | {config_keys.KINDS[key.type]} | {default} | {key.doc} |")
    before, _, rest = now.partition(BEGIN)
    return before + BEGIN + "\n".join(rows) + "\n" + END + rest.partition(END)[2]


PAGES = {"cli.md": commands_page, "config.md": config_page}


def main() -> None:
    """Write the pages, or check them."""
    for name, page in PAGES.items():
        path = DOCS / name
        now = path.read_text(encoding="utf-8") if path.exists() else ""
        text = page(now)
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif now != text:
            sys.exit(f"{path} does not say what the code does; write it anew with: make docs WRITE=1")


if __name__ == "__main__":
    main()

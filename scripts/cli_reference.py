"""Writes docs/cli.md from the help of every command, or with --check fails when the two differ."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from daglab import cli

TARGET = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
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


def reference() -> str:
    """The whole page."""
    context = click.Context(cli.main, info_name="daglab", terminal_width=100, **cli.main.context_settings)
    return "\n".join([HEAD, *sections(cli.main, context)])


def main() -> None:
    """Write the page, or check it."""
    text = reference()
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit(f"{TARGET} does not say what the commands do; write it anew with: make docs WRITE=1")


if __name__ == "__main__":
    main()

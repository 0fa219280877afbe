"""Writes what the docs say of commands and config keys from the code, or with --check fails when the two differ."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import click

from daglab import assets, cli, explanations, helpers
from daglab.settings import config_keys

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- keys: written by make docs WRITE=1 -->\n", "<!-- end of keys -->\n"
HEAD = """# The commands

Written by `make docs WRITE=1` from the commands' own help.
"""


HELPERS_HEAD = """# The Python interface

Written by `make docs WRITE=1` from the docstrings of the two modules that are meant to be imported: `daglab.helpers`,
for notebooks, scripts and tests, and [`daglab.assets`](#daglabassets), for your own Dagster code. All else may change
with any version.

```python
from daglab import helpers

client = helpers.connect()
run = helpers.run_assets(client, "+key:orders")
for now in helpers.follow(run):
    print(now)
```

They work in a notebook, a script, a test or an op. What is given back shows itself in a notebook, and prints as text
elsewhere. Errors are `DaglabError` with a `message` and a `hint`; in a cell `with helpers.explained():` shows one as a
callout, and stops the cells that need what is missing. Times are seconds, sizes bytes. See also
[notebooks.md](notebooks.md) and [state.md](state.md).
"""

ASSETS_HEAD = """# `daglab.assets`

For your own Dagster code: notebooks as assets. See [notebook-assets.md](notebook-assets.md).
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


def helpers_page(_now: str) -> str:
    """The whole of docs/helpers.md: each name that is meant to be imported, how it is called, and its docstring."""
    return "\n".join([HELPERS_HEAD, *_names(helpers), ASSETS_HEAD, *_names(assets)])


def _names(module: ModuleType) -> list[str]:
    """A section for each name that a module promises."""
    found = []
    for name in module.__all__:
        thing = getattr(module, name)
        call = f"{name}{_signature(thing)}" if inspect.isfunction(thing) else f"class {name}"
        found.append(f"## `{name}`\n\n```python\n{call}\n```\n\n{inspect.getdoc(thing)}\n")
        if inspect.isclass(thing):
            found += [f"- `{member}`: {said}" for member, said in _members(thing)]
            found.append("")
    return found


def _signature(function: object) -> str:
    """As it is written: what is named after a module of ours is shown by its own name."""
    text = str(inspect.signature(function)).replace("'", "")  # type: ignore[arg-type]
    return re.sub(r"\b(?:deployment|entities|performance|state|observations|display)\.(?=[A-Za-z])", "", text)


def _members(kind: type) -> list[tuple[str, str]]:
    """The public methods and properties of a class, in their order, each with the first line of its docstring."""
    named = {name: value for name, value in vars(kind).items() if not name.startswith("_") and name != "html"}
    members = {name: value for name, value in named.items() if callable(value) or isinstance(value, property)}
    told = {name: inspect.getdoc(value) for name, value in members.items()}
    return [(name, said.partition("\n")[0]) for name, said in told.items() if said]


PAGES = {
    "cli.md": commands_page,
    "config.md": config_page,
    "helpers.md": helpers_page,
    "troubleshooting.md": explanations.page,
}


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

"""Each option of each command is tried in some test, and named alike everywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from daglab import cli

TESTS = Path(__file__).parent


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Every command below, with its path."""
    if not isinstance(command, click.Group):
        yield context.command_path, command
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from commands(child, click.Context(child, info_name=name, parent=context))


COMMANDS = dict(commands(cli.main, click.Context(cli.main, info_name="daglab")))
# What the first plans call for; --upload comes with the storage that it uploads to.
PLANNED = {
    "daglab discover": ["--filter", "--pattern", "--tags", "--json", "--dagster-port", "--auth-token", "--verbose"],
    "daglab run": [
        "--job",
        "--asset-selection",
        "--asset-pattern",
        "--repo",
        "--location",
        "--run-config",
        "--config-yaml",
        "--validate-only",
        "--wait",
        "--timeout",
        "--cancel-on-timeout",
        "--json",
        "--verbose",
    ],
    "daglab export": ["--output", "--attach", "--metadata-key", "--retention-days", "--compress", "--verbose"],
}


def words() -> set[str]:
    """Every text in the tests, split at spaces; what parametrised tests put together is found by its parts."""
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        if path.name != Path(__file__).name:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
            found.update(word for text in constants if isinstance(text, str) for word in text.split())
    return found


WORDS = words()


def options(command: click.Command) -> Iterator[click.Option]:
    return (param for param in command.params if isinstance(param, click.Option))


@pytest.mark.parametrize("path", COMMANDS)
def test_each_option_is_tried(path: str) -> None:
    names = [name for option in options(COMMANDS[path]) for name in option.opts if name.startswith("--")]
    assert [name for name in names if name not in WORDS] == []


@pytest.mark.parametrize("path", PLANNED)
def test_what_was_planned_is_there(path: str) -> None:
    there = {name for option in options(COMMANDS[path]) for name in (*option.opts, *option.secondary_opts)}
    assert set(PLANNED[path]) <= there


@pytest.mark.parametrize("path", COMMANDS)
def test_each_option_is_explained(path: str) -> None:
    assert [option.name for option in options(COMMANDS[path]) if not option.help] == []

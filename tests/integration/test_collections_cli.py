"""What all of `daglab collections` has in common on the command line, against a real Weaviate."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from daglab.commands import collection
from tests import weaviates

Cli = Callable[..., Any]
SANDBOX = {"DAGLAB_SECURITY__SANDBOX_MODE": "true"}


@pytest.fixture
def docs(weaviate: weaviates.Server) -> str:
    """A collection with one object."""
    name = f"Lined{uuid.uuid4().hex[:8]}"
    schema = {"class": name, "vectorizer": "none", "properties": [{"name": "title", "dataType": ["text"]}]}
    weaviate.ask("POST", "schema", schema)
    weaviate.ask("POST", "objects", {"class": name, "properties": {"title": "x"}, "vector": [1, 2]})
    return name


@pytest.mark.parametrize(
    "words",
    [
        ["copy", "NAME", "NAMENext"],
        ["migrate", "NAME", "--as", "NAMENext", "--target", "URL", "--yes"],
        ["restore", "docs.jsonl.gz", "--as", "NAMENext"],
    ],
)
def test_what_the_sandbox_refuses_leaves_nothing_behind(
    weaviate: weaviates.Server, cli: Cli, docs: str, tmp_path: Path, words: list[str]
) -> None:
    kept = cli("collections", "backup", docs, "--output", "docs.jsonl.gz", "--cluster", weaviate.url)
    assert kept.exit_code == 0, kept.stderr
    given = [word.replace("NAME", docs).replace("URL", weaviate.url) for word in words]
    done = cli("collections", *given, "--cluster", weaviate.url, "--json", env=SANDBOX)
    error = json.loads(done.stdout)["error"]
    assert (done.exit_code, error["exit_code"]) == (6, 6)
    assert "security.allowed_operations" in error["hint"]
    assert not (tmp_path / ".daglab").exists()
    again = cli("collections", *given, "--cluster", weaviate.url, "--json")
    assert again.exit_code == 0, again.stdout


def test_set_does_not_name_another_collection(weaviate: weaviates.Server, cli: Cli) -> None:
    name = f"Lined{uuid.uuid4().hex[:8]}"
    done = cli("collections", "create", name, "--set", f"class={name}Other", "--cluster", weaviate.url, "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (2, "usage")
    there = [each["class"] for each in weaviate.ask("GET", "schema")["classes"]]
    assert not [each for each in there if each.startswith(name)]


def test_a_name_that_no_collection_has_is_invalid_input(weaviate: weaviates.Server, cli: Cli, docs: str) -> None:
    for words in (["copy", docs, "../x"], ["migrate", docs, "--as", "../x", "--target", weaviate.url, "--yes"]):
        done = cli("collections", *words, "--cluster", weaviate.url)
        assert done.exit_code == 7, done.stderr


def test_each_example_names_the_key_beside_its_address() -> None:
    examples = [line for command in _all(collection.command) for line in (command.help or "").splitlines()]
    assert any("--target-auth" in line for line in examples)
    for line in examples:
        words = line.split()
        assert "--auth" not in words or "--cluster" in words, line
        assert "--target-auth" not in words or "--target" in words, line


def test_no_option_is_called_required_twice() -> None:
    for command in _all(collection.command):
        with click.Context(command) as context:
            for param in command.params:
                record = param.get_help_record(context)
                assert record is None or record[1].count("[required]") <= 1, (command.name, param.name)


def _all(command: click.Command) -> list[click.Command]:
    below = getattr(command, "commands", {}).values()
    return [command, *(each for one in below for each in _all(one))]

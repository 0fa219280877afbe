"""`daglab explain`, and the page of the docs that comes of the same text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import cli, errors, explanations
from daglab.settings import config_keys

Cli = Callable[..., Any]
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DaglabError)]
SYMPTOMS = [
    *("location-failed", "daemon-not-running", "launch-unknown", "token-refused", "untrusted-file", "port-taken"),
    *("package-hidden", "notebook-failed", "attach-unknown", "torn-line", "broken-state", "sandbox-refused"),
    *("clock-skew", "secret-in-file", "dagster-home", "left-behind", "lock-held", "proxy", "in-git"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_code_and_its_exit_code_is_explained(kind: type[errors.DaglabError]) -> None:
    assert explanations.find(kind.code)
    number = explanations.find(str(kind.exit_code))
    assert number
    if kind is not errors.DaglabError:
        assert f"`{kind.code}`" in number.cause


@pytest.mark.parametrize("name", ["0", "141", "143", *SYMPTOMS])
def test_what_has_no_class_of_its_own_is_explained(name: str) -> None:
    assert explanations.find(name)


def test_each_is_whole() -> None:
    every = explanations.every()
    assert len({each.name for each in every}) == len(every)
    assert explanations.SOURCE.read_text().count("\n## ") == len(every)
    for each in every:
        assert each.title, each
        assert each.cause, each
        assert all(each.remedies), each
        assert not each.title.endswith("."), each
        assert "Page:" not in "".join([each.cause, *each.remedies])
        assert each.page is None or (explanations.SOURCE.parent.parent / "docs" / each.page).exists()


def test_what_they_tell_to_do_is_there() -> None:
    """Commands, options and config keys that are named, and other explanations that are referred to."""
    text = explanations.SOURCE.read_text()
    for name in re.findall(r"`daglab ([a-z]+)", text):
        assert name in cli.NAMES
    for name in re.findall(r"`daglab explain ([\w-]+)`", text):
        assert explanations.find(name)
    for name in re.findall(r"\b((?:dagster|export|security|performance)\.[a-z_.]*[a-z])\b", text):
        assert name in config_keys.known() or name in ("dagster.yaml",), name


def test_the_page_of_the_docs_holds_all_of_it() -> None:
    page = (explanations.SOURCE.parent.parent / "docs" / "troubleshooting.md").read_text()
    assert page == explanations.page()
    for each in explanations.every():
        assert f"### {each.name}\n" in page
        assert all(remedy in page for remedy in each.remedies)


@pytest.mark.parametrize("code", ["not_set_up", "NOT-SET-UP"])
def test_one_is_shown(cli: Cli, code: str) -> None:
    done = cli("explain", code)
    assert done.exit_code == 0
    assert done.stdout.startswith("not_set_up: Something is not installed or not set up\n\nA program,")
    assert "\n- Make what a project needs: `daglab init`.\n" in done.stdout
    document = json.loads(cli("explain", code, "--json").stdout)
    assert document["ok"]
    assert document["name"] == "not_set_up"
    assert set(document) == {"ok", "name", "title", "cause", "remedies", "page"}


def test_all_are_listed(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    lines = cli("explain").stdout.splitlines()[2:]
    document = json.loads(cli("explain", "--json").stdout)
    assert [line.split()[0] for line in lines] == [each["name"] for each in document["explanations"]]
    assert [each["name"] for each in document["explanations"]] == explanations.names()
    assert list((tmp_path / ".daglab").iterdir()) == []  # what only reads records nothing


def test_an_unknown_code_names_the_nearest(cli: Cli) -> None:
    done = cli("explain", "unreachible", "--json")
    assert done.exit_code == 2
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "usage"
    assert "Did you mean unreachable" in error["hint"]
    assert "`daglab explain` lists them" in json.loads(cli("explain", "~~~~", "--json").stdout)["error"]["hint"]

"""`daglab collections` ls and show, against a real Weaviate."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import weaviates

Cli = Callable[..., Any]


@pytest.fixture
def tenants(weaviate: weaviates.Server) -> str:
    """A collection with a tenant that is active and one that is not, 3 objects each."""
    name = f"Listed{uuid.uuid4().hex[:8]}"
    schema = {
        "class": name,
        "vectorizer": "none",
        "multiTenancyConfig": {"enabled": True},
        "properties": [{"name": "title", "dataType": ["text"], "description": "What it is called."}],
    }
    weaviate.ask("POST", "schema", schema)
    weaviate.ask("POST", f"schema/{name}/tenants", [{"name": "a"}, {"name": "b"}])
    objects = [{"class": name, "tenant": each, "properties": {"title": "x"}, "vector": [1, 2]} for each in "aaabbb"]
    weaviate.ask("POST", "batch/objects", {"objects": objects})
    weaviate.ask("PUT", f"schema/{name}/tenants", [{"name": "b", "activityStatus": "INACTIVE"}])
    return name


def test_what_can_not_be_counted_is_said(weaviate: weaviates.Server, cli: Cli, tenants: str, tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("weaviate: {protected: ['Listed*'], clusters: []}")
    listed = json.loads(cli("collections", "ls", "--cluster", weaviate.url, "--json").stdout)["collections"]
    found = next(each for each in listed if each["name"] == tenants)
    assert (found["objects"], found["uncounted_tenants"], found["protected"]) == (3, 1, "Listed*")
    assert found["tenants"] == {"ACTIVE": 1, "INACTIVE": 1}
    table = cli("col", "ls", "--cluster", weaviate.url).stdout
    assert next(line.split()[1] for line in table.splitlines() if line.startswith(tenants)) == "3+"


def test_one_is_shown_with_its_properties(weaviate: weaviates.Server, cli: Cli, tenants: str) -> None:
    shown = cli("col", "show", tenants, "--cluster", weaviate.url)
    assert shown.exit_code == 0, shown.stderr
    assert "What it is called." in shown.stdout
    assert "hnsw, 2 dimensions" in shown.stdout
    schema = json.loads(cli("col", "show", tenants, "--schema", "--cluster", weaviate.url).stdout)
    assert schema == weaviate.ask("GET", f"schema/{tenants}")


def test_a_wrong_name_has_the_nearest(weaviate: weaviates.Server, cli: Cli, tenants: str) -> None:
    done = cli("col", "show", f"{tenants[:-1]}", "--cluster", weaviate.url)
    assert (done.exit_code, tenants in done.stderr) == (7, True)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        ([], 3, "names no Weaviate cluster"),
        (["--cluster", "main"], 3, "names no Weaviate cluster"),
        (["--cluster", "http://127.0.0.1:1"], 5, "Is it running?"),
        (["--cluster", "http://127.0.0.1:1/v1?x=1"], 7, "ends in a query"),
        (["--cluster", "http://user:word@127.0.0.1:1"], 7, "holds credentials"),
        (["--cluster", "http://127.0.0.1:1", "--auth", "env:DAGLAB_NOT_SET"], 3, "has no token"),
        (["--cluster", "http://127.0.0.1:1", "--auth", "env:"], 2, "takes no key itself"),
    ],
)
def test_which_cluster(cli: Cli, arguments: list[str], exit_code: int, said: str) -> None:
    done = cli("col", "ls", *arguments)
    assert (done.exit_code, said in done.stderr) == (exit_code, True), done.stderr
    assert "word" not in done.stderr


def test_a_key_that_is_missing_or_wrong(keyed_weaviate: weaviates.Server, cli: Cli, tmp_path: Path) -> None:
    none = cli("col", "ls", "--cluster", keyed_weaviate.url)
    assert (none.exit_code, "--auth env:NAME" in none.stderr) == (6, True)
    wrong = cli("col", "ls", "--cluster", keyed_weaviate.url, "--auth", "env:K", env={"K": "wrong-key"})
    assert (wrong.exit_code, "wrong-key" in wrong.stderr) == (6, False)
    (tmp_path / "key").write_text(f"{weaviates.KEY}\n")
    assert cli("col", "ls", "--cluster", keyed_weaviate.url, "--auth", "file:key").exit_code == 0


def test_the_key_of_a_projects_own_address_is_withheld(
    keyed_weaviate: weaviates.Server, cli: Cli, tmp_path: Path
) -> None:
    entry = f"{{name: main, url: '{keyed_weaviate.url}', token_env: DAGLAB_KEY}}"
    (tmp_path / "daglab.yaml").write_text(f"weaviate: {{clusters: [{entry}]}}")
    env = {"DAGLAB_KEY": weaviates.KEY}
    assert cli("col", "ls", env=env).exit_code == 6
    own = Path.home() / ".config" / "daglab" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(f"credentials: {{'{keyed_weaviate.url}': {{token_env: DAGLAB_KEY}}}}")
    assert cli("col", "ls", env=env).exit_code == 0


def test_what_is_no_weaviate(cli: Cli, deployment: Any) -> None:
    done = cli("col", "ls", "--cluster", deployment.url)
    assert (done.exit_code, "Traceback" in done.stderr) in ((5, False), (7, False))

"""`daglab collections` create, rm, clear, template: against a real Weaviate."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import weaviate_faults, weaviates

Cli = Callable[..., Any]


@pytest.fixture
def name() -> str:
    return f"Making{uuid.uuid4().hex[:8]}"


def filled(weaviate: weaviates.Server, name: str, count: int, **schema: Any) -> None:
    """A collection with some objects."""
    weaviate.ask("POST", "schema", {"class": name, "vectorizer": "none", **schema})
    written = [{"class": name, "properties": {"n": number}} for number in range(count)]
    if written:
        weaviate.ask("POST", "batch/objects", {"objects": written})


def counted(weaviate: weaviates.Server, name: str) -> int:
    query = f"{{Aggregate{{{name}{{meta{{count}}}}}}}}"
    count: int = weaviate.ask("POST", "graphql", {"query": query})["data"]["Aggregate"][name][0]["meta"]["count"]
    return count


def there(weaviate: weaviates.Server) -> set[str]:
    return {each["class"] for each in weaviate.ask("GET", "schema")["classes"]}


@pytest.mark.parametrize("template", ["documents", "tenants", "two-vectors"])
def test_each_template_makes_a_collection(weaviate: weaviates.Server, cli: Cli, name: str, template: str) -> None:
    done = cli("collections", "create", name, "--template", template, "--cluster", weaviate.url, "--json")
    assert done.exit_code == 0, done.stderr
    made = weaviate.ask("GET", f"schema/{name}")
    assert json.loads(done.stdout)["schema"] == made
    assert {"title", "text", "source"} <= {each["name"] for each in made["properties"]}


def test_a_value_of_the_schema_is_set(weaviate: weaviates.Server, cli: Cli, name: str) -> None:
    done = cli(
        *("col", "create", name, "--template", "documents", "--cluster", weaviate.url),
        *("--set", "properties.title.tokenization=field", "--set", "vectorIndexConfig.ef=64"),
    )
    assert done.exit_code == 0, done.stderr
    made = weaviate.ask("GET", f"schema/{name}")
    title = next(each for each in made["properties"] if each["name"] == "title")
    assert (title["tokenization"], made["vectorIndexConfig"]["ef"]) == ("field", 64)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("properties.titel.tokenization=field", "Did you mean title?"),
        ("vectorizer.deep=1", "is a value, and nothing is below it"),
        ("nothing", "is not a path with its value"),
    ],
)
def test_a_wrong_path_is_said(weaviate: weaviates.Server, cli: Cli, name: str, assignment: str, said: str) -> None:
    done = cli("col", "create", name, "--template", "documents", "--set", assignment, "--cluster", weaviate.url)
    assert done.exit_code in (2, 7)
    assert said in done.stderr
    assert name not in there(weaviate)


def test_like_another_one(weaviate: weaviates.Server, cli: Cli, name: str) -> None:
    filled(weaviate, name, 3, description="the first")
    done = cli("col", "create", f"{name}B", "--like", name, "--cluster", weaviate.url)
    assert done.exit_code == 0, done.stderr
    assert weaviate.ask("GET", f"schema/{name}B")["description"] == "the first"
    assert counted(weaviate, f"{name}B") == 0


def test_of_a_schema_in_a_file(weaviate: weaviates.Server, cli: Cli, name: str, tmp_path: Path) -> None:
    (tmp_path / "schema.yaml").write_text("vectorizer: none\nproperties:\n  - {name: a, dataType: [int]}\n")
    shown = cli("col", "create", name, "--schema-file", "schema.yaml", "--dry-run", "--cluster", weaviate.url)
    assert json.loads(shown.stdout)["properties"][0]["dataType"] == ["int"]
    assert name not in there(weaviate)
    assert cli("col", "create", name, "--schema-file", "schema.yaml", "--cluster", weaviate.url).exit_code == 0
    again = cli("col", "create", name, "--schema-file", "schema.yaml", "--cluster", weaviate.url)
    assert (again.exit_code, "already" in again.stderr) == (8, True)


@pytest.mark.parametrize(
    ("text", "exit_code"), [("- a", 7), ("properties: {a: b}", 7), ("{", 7), (None, 3), ("x" * 10, 7)]
)
def test_a_file_that_is_no_schema(
    weaviate: weaviates.Server, cli: Cli, name: str, tmp_path: Path, text: str | None, exit_code: int
) -> None:
    if text is not None:
        (tmp_path / "schema.yaml").write_text(text)
    done = cli("col", "create", name, "--schema-file", "schema.yaml", "--cluster", weaviate.url)
    assert (done.exit_code, "Traceback" in done.stderr) == (exit_code, False)


@pytest.mark.parametrize("wrong", ["docs", "Do cs", "../Docs", "Docs;", "É"])
def test_a_name_that_weaviate_does_not_take(weaviate: weaviates.Server, cli: Cli, wrong: str) -> None:
    done = cli("col", "create", wrong, "--cluster", weaviate.url)
    assert (done.exit_code, "is no name of a collection" in done.stderr) == (7, True)


def test_nothing_is_deleted_unasked(weaviate: weaviates.Server, cli: Cli, name: str) -> None:
    filled(weaviate, name, 3)
    done = cli("col", "rm", name, "--cluster", weaviate.url)
    assert (done.exit_code, "--yes" in done.stderr) == (2, True)
    dry = cli("col", "rm", name, "--dry-run", "--cluster", weaviate.url, "--json")
    assert json.loads(dry.stdout)["removed"] == [{"name": name, "objects": 3}]
    assert counted(weaviate, name) == 3
    assert cli("col", "rm", name, "--yes", "--cluster", weaviate.url).exit_code == 0
    assert name not in there(weaviate)


def test_what_is_protected_needs_its_own_word(weaviate: weaviates.Server, cli: Cli, name: str, tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text(f"weaviate: {{protected: ['{name[:8]}*'], clusters: []}}")
    filled(weaviate, name, 1)
    for command in ("rm", "clear"):
        done = cli("col", command, name, "--yes", "--cluster", weaviate.url)
        assert (done.exit_code, "--unprotect" in done.stderr) == (6, True)
    assert cli("col", "rm", name, "--yes", "--force", "--cluster", weaviate.url).exit_code == 6
    assert counted(weaviate, name) == 1
    assert cli("col", "rm", name, "--yes", "--unprotect", "--cluster", weaviate.url).exit_code == 0
    assert name not in there(weaviate)


def test_a_name_that_is_not_there(weaviate: weaviates.Server, cli: Cli, name: str) -> None:
    filled(weaviate, name, 1)
    done = cli("col", "rm", name, f"{name}x", "--yes", "--cluster", weaviate.url)
    assert (done.exit_code, name in done.stderr) == (7, True)
    assert name in there(weaviate)
    assert cli("col", "rm", f"{name}x", name, "--yes", "--force", "--cluster", weaviate.url).exit_code == 0
    assert name not in there(weaviate)


def test_a_collection_that_an_alias_leads_to_stays(weaviate: weaviates.Server, cli: Cli, name: str) -> None:
    if weaviates.VERSION < "1.32":
        pytest.skip("aliases came with 1.32")
    filled(weaviate, name, 1)
    weaviate.ask("POST", "aliases", {"alias": f"{name}Alias", "class": name})
    done = cli("col", "rm", name, "--yes", "--cluster", weaviate.url)
    assert (done.exit_code, f"{name}Alias" in done.stderr) == (8, True)
    done = cli("col", "rm", f"{name}Alias", "--yes", "--cluster", weaviate.url)
    assert (done.exit_code, f"It is an alias, of {name}: name that." in done.stderr) == (7, True)
    weaviate.ask("DELETE", f"aliases/{name}Alias")


def test_what_was_deleted_before_an_error_is_told(weaviate: weaviates.Server, cli: Cli, name: str) -> None:
    names = [f"{name}{number}" for number in range(3)]
    for number, each in enumerate(names):
        filled(weaviate, each, number)
    refused = weaviate_faults.Fault("DELETE", f"schema/{names[1]}", weaviate_faults.status(403))
    with weaviate_faults.before(weaviate.url, [refused]) as proxy:
        done = cli("col", "rm", *names, "--yes", "--json", "--cluster", proxy.url)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"], found["removed"]) == (6, False, [{"name": names[0], "objects": 0}])
    assert {names[1], names[2]} <= there(weaviate)


def test_clearing_keeps_schema_and_tenants(weaviate: weaviates.Server, cli: Cli, name: str) -> None:
    filled(weaviate, name, 0, multiTenancyConfig={"enabled": True})
    weaviate.ask("POST", f"schema/{name}/tenants", [{"name": "a"}, {"name": "b"}])
    written = [{"class": name, "tenant": tenant, "properties": {"n": 1}} for tenant in "ab" for _ in range(1200)]
    weaviate.ask("POST", "batch/objects", {"objects": written})
    weaviate.ask("PUT", f"schema/{name}/tenants", [{"name": "b", "activityStatus": "INACTIVE"}])
    done = cli("col", "clear", name, "--yes", "--json", "--cluster", weaviate.url)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["deleted"] == 2400
    states = {each["name"]: each["activityStatus"] for each in weaviate.ask("GET", f"schema/{name}/tenants")}
    assert states == {"a": "ACTIVE", "b": "INACTIVE"} or states == {"a": "HOT", "b": "COLD"}
    weaviate.ask("PUT", f"schema/{name}/tenants", [{"name": "b", "activityStatus": "ACTIVE"}])
    for tenant in "ab":
        left = weaviate.ask("GET", "objects", **{"class": name, "tenant": tenant, "limit": 5})
        assert left["objects"] == []


def test_a_template_comes_and_goes(weaviate: weaviates.Server, cli: Cli, name: str, tmp_path: Path) -> None:
    filled(weaviate, name, 2, properties=[{"name": "self", "dataType": ["text"]}])
    weaviate.ask("POST", f"schema/{name}/properties", {"name": "next", "dataType": [name]})
    saved = cli("col", "template", "save", "mine", name, "--cluster", weaviate.url, "--json")
    assert saved.exit_code == 0, saved.stderr
    path = Path(json.loads(saved.stdout)["path"])
    assert path == tmp_path / ".daglab" / "templates" / "collections" / "mine.json"
    assert "actualCount" not in path.read_text()
    assert cli("col", "template", "save", "mine", name, "--cluster", weaviate.url).exit_code == 8
    assert cli("col", "template", "save", "mine", name, "--cluster", weaviate.url, "--force").exit_code == 0
    assert "mine" in cli("col", "template", "list").stdout
    assert json.loads(cli("col", "template", "show", "mine").stdout)["class"] == name
    assert cli("col", "create", f"{name}C", "--template", "mine", "--cluster", weaviate.url).exit_code == 0
    kinds = {each["name"]: each["dataType"] for each in weaviate.ask("GET", f"schema/{name}C")["properties"]}
    assert kinds["next"] == [f"{name}C"]  # what referred to itself refers to the new one
    assert cli("col", "template", "rm", "mine").exit_code == 0
    assert cli("col", "template", "rm", "mine").exit_code == 7
    assert cli("col", "template", "rm", "documents").exit_code == 7


@pytest.mark.parametrize("hostile", ["../x", "a/b", "", ".hidden", "x" * 300])
def test_a_template_stays_in_its_folder(weaviate: weaviates.Server, cli: Cli, name: str, hostile: str) -> None:
    filled(weaviate, name, 0)
    done = cli("col", "template", "save", hostile, name, "--cluster", weaviate.url)
    assert (done.exit_code, "Traceback" in done.stderr) == (7, False)


def test_a_literal_key_is_refused_and_not_shown(weaviate: weaviates.Server, cli: Cli) -> None:
    done = cli("col", "rm", "Docs", "--yes", "--cluster", weaviate.url, "--auth", "sk-literal-secret")
    assert (done.exit_code, "sk-literal-secret" in done.stderr) == (2, False)

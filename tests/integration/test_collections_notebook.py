"""A notebook for a Weaviate collection, what notebooks can ask of one, and what is told Dagster of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster
import pytest

from daglab import errors, helpers, notebooks
from tests import weaviates

Cli = Callable[..., Any]


@pytest.fixture
def docs(weaviate: weaviates.Server, tmp_path: Path) -> str:
    """A collection of a project whose config names the cluster."""
    name = f"Docs{uuid.uuid4().hex[:8]}"
    properties = [{"name": "title", "dataType": ["text"]}, {"name": "n", "dataType": ["int"]}]
    weaviate.ask("POST", "schema", {"class": name, "vectorizer": "none", "properties": properties})
    objects = [
        {
            "class": name,
            "id": str(uuid.UUID(int=number + 1)),
            "properties": {"title": f"<b>the {'apple' if number == 3 else 'pear'}</b>", "n": number},
            "vector": [1.0, float(number)],
        }
        for number in range(30)
    ]
    weaviate.ask("POST", "batch/objects", {"objects": objects})
    (tmp_path / "daglab.yaml").write_text(f"weaviate: {{clusters: [{{name: main, url: '{weaviate.url}'}}]}}")
    return name


def test_the_notebook_shows_the_collection(cli: Cli, docs: str, tmp_path: Path) -> None:
    done = cli("scaffold", "--collection", docs, "--json")
    assert done.exit_code == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["target"], made["checked"]) == (f"collection:{docs}", True)
    exported = cli("export", made["notebook"], "--output", str(tmp_path / "out.html"))
    assert exported.exit_code == 0, exported.stderr
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert docs in page
    assert "the apple" in page
    assert "<b>the apple" not in page
    assert notebooks.__name__  # the page was read by it, or the export would have failed


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["--collection", "Nowhere"], 7, "There is no collection 'Nowhere'"),
        (["--collection", "Docs", "--job", "a"], 2, "--job means nothing here"),
        (["--asset", "orders", "--template", "collection"], 2, "is for a Weaviate collection"),
        (["--collection", "Docs", "--attach"], 2, "means nothing here"),
        (["--collection", "Docs", "--cluster", "other"], 2, "names no cluster 'other'"),
    ],
)
def test_what_can_not_be_scaffolded(cli: Cli, docs: str, arguments: list[str], exit_code: int, said: str) -> None:
    done = cli("scaffold", *arguments)
    assert (done.exit_code, said.lower() in done.stderr.lower()) == (exit_code, True), done.stderr


def test_without_a_server_it_is_written_all_the_same(cli: Cli, tmp_path: Path) -> None:
    done = cli("scaffold", "--collection", "Docs", "--cluster", "http://127.0.0.1:1", "--json")
    assert (done.exit_code, json.loads(done.stdout)["checked"]) == (0, False)


def test_objects_are_found_by_words_and_by_likeness(docs: str) -> None:
    found = helpers.collection(docs)
    assert found.figures.objects == 30
    first = helpers.collection_objects(found, limit=5)
    assert [each["properties"]["n"] for each in first] == [0, 1, 2, 3, 4]
    assert [each["properties"]["n"] for each in helpers.search_collection(found, text='apple "} x')] == [3]
    near = helpers.search_collection(found, like=str(uuid.UUID(int=8)), limit=3)
    assert near[0]["properties"]["n"] == 7
    with pytest.raises(errors.WrongUsage):
        helpers.search_collection(found)
    assert "&lt;b&gt;" in helpers.search_collection(found, text="apple").html()


def test_dagster_is_told_how_many_objects_there_are(docs: str) -> None:
    @dagster.asset
    def filled(context) -> None:  # type: ignore[no-untyped-def]  # dagster looks at the annotation itself
        context.add_output_metadata(helpers.collection_metadata(docs))

    result = dagster.materialize([filled])
    [event] = result.asset_materializations_for_node("filled")
    values = {label: value.value for label, value in event.metadata.items()}
    assert values == {"collection": docs, "cluster": "main", "dagster/row_count": 30, "dimensions": 2}


def test_what_can_not_be_counted_is_an_error(docs: str, weaviate: weaviates.Server) -> None:
    weaviate.ask("DELETE", f"schema/{docs}")
    with pytest.raises(errors.DaglabError):
        helpers.collection_metadata(docs)

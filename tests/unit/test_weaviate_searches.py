"""What is found in a collection, what a notebook shows of it, and how its indexes and replicas are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import responses

from daglab import errors, helpers
from daglab.helpers import vector_store
from daglab.settings import config
from daglab.weaviate import api, clusters, rest, searches
from daglab.weaviate.improving import indexes, plans, replication, tunings

URL = "http://weaviate.test:8080"
SCHEMA = {
    "class": "Docs",
    "description": "What is <written>.",
    "vectorizer": "none",
    "vectorIndexType": "hnsw",
    "properties": [
        {"name": "title", "dataType": ["text"], "description": "Its title."},
        {"name": "sizes", "dataType": ["int[]"]},
        {"name": "of", "dataType": ["Docs"]},
        {"name": "place", "dataType": ["geoCoordinates"]},
    ],
}


@pytest.fixture
def mocked() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def cluster() -> rest.Cluster:
    return clusters.connect(config.load({}), URL)


def sent(mocked: responses.RequestsMock) -> Any:
    return json.loads(mocked.calls[-1].request.body)


# --- searches, and a collection in a notebook


def hits(mocked: responses.RequestsMock, *found: dict[str, Any]) -> None:
    mocked.post(f"{URL}/v1/graphql", json={"data": {"Get": {"Docs": list(found)}}})


def test_a_search_by_words_is_data_in_its_query(cluster: rest.Cluster, mocked: responses.RequestsMock) -> None:
    more = {"id": "1", "score": "1.25", "distance": None}
    hits(mocked, {"title": "A", "sizes": None, "_additional": more}, {"_additional": {**more, "score": None}})
    found = searches.search(cluster, SCHEMA, text='a "b"}) {x', tenant='t"', limit=3)
    assert found == [
        {"id": "1", "properties": {"title": "A"}, "score": 1.25},
        {"id": "1", "properties": {}, "score": 0.0},
    ]
    assert sent(mocked)["query"] == (
        '{Get {Docs(bm25: {query: "a \\"b\\"}) {x"}, limit: 3, tenant: "t\\"") '
        "{title sizes _additional {id score distance}}}}"
    )


def test_a_search_by_likeness_names_the_vector(cluster: rest.Cluster, mocked: responses.RequestsMock) -> None:
    hits(mocked, {"title": "A", "_additional": {"id": "2", "score": None, "distance": 0.5}})
    assert searches.search(cluster, SCHEMA, like="1", vector="v") == [
        {"id": "2", "properties": {"title": "A"}, "distance": 0.5}
    ]
    assert 'nearObject: {id: "1", targetVectors: ["v"]}' in sent(mocked)["query"]
    for wrong in ({}, {"text": "a", "like": "1"}):
        with pytest.raises(errors.WrongUsage, match="for a text or for the id"):
            searches.search(cluster, SCHEMA, **wrong)


@pytest.fixture
def docs(mocked: responses.RequestsMock) -> dict[str, Any]:
    """A collection Docs of one vector of 3 numbers, whose objects are 7; what a test may change of it."""
    there: dict[str, Any] = {"schema": SCHEMA, "count": 7, "vector": [1, 2, 3], "tenants": [], "shards": ["s"]}

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        path = urlsplit(request.url).path.removeprefix("/v1/")
        shards = [
            {"name": name, "class": "Docs", "objectCount": 7, "vectorIndexingStatus": "READY"}
            for name in there["shards"]
        ]
        found: dict[str, Any] = {
            "schema": {"classes": [there["schema"]]},
            "schema/Docs": there["schema"],
            "schema/Docs/tenants": there["tenants"],
            "nodes": {"nodes": [{"name": "n1", "status": "HEALTHY", "shards": shards}]},
            "objects": {"objects": [{"id": "1", "properties": {"title": "x" * 500, "sizes": None}}, {"id": "2"}]},
        }
        return 200, {}, json.dumps(found[path])

    def graphql(request: Any) -> tuple[int, dict[str, str], str]:
        query = json.loads(request.body)["query"]
        names = [part.split(":")[0].split()[-1] for part in query.replace("{", " ").split("Docs")[:-1]]
        counted = {name: [{"meta": {"count": there["count"]}}] for name in names}
        first = {name: [{"_additional": {"vector": there["vector"]}}] for name in names}
        return 200, {}, json.dumps({"data": {"Aggregate": counted, "Get": first}})

    for path in ("schema", "schema/Docs", "schema/Docs/tenants", "nodes", "objects"):
        mocked.add_callback("GET", f"{URL}/v1/{path}", callback=answer)
    mocked.add_callback("POST", f"{URL}/v1/graphql", callback=graphql)
    return there


def test_a_collection_in_a_notebook(docs: dict[str, Any]) -> None:
    found = helpers.collection("Docs", cluster=URL)
    assert (found.name, found.properties, found.vectors, found.tenants) == ("Docs", ["title", "sizes"], [], [])
    assert str(found).startswith(f"Docs: cluster {URL}, objects 7")
    assert "3 dimensions, hnsw" in str(found)
    assert "What is &lt;written&gt;." in found.html()
    assert "Its title." in found.html()


def test_the_objects_of_a_collection_in_a_notebook(docs: dict[str, Any]) -> None:
    found = helpers.collection_objects(helpers.collection("Docs", cluster=URL))
    assert [each["id"] for each in found] == ["1", "2"]
    assert "x" * (vector_store.LONGEST_TEXT - 1) + "…" in found.html()
    assert "x" * vector_store.LONGEST_TEXT not in found.html()


def test_what_a_search_finds_is_shown_with_its_figure(docs: dict[str, Any], mocked: responses.RequestsMock) -> None:
    collection = helpers.collection("Docs", cluster=URL)
    mocked.remove("POST", f"{URL}/v1/graphql")
    hits(mocked, {"title": "A", "_additional": {"id": "1", "score": "1.23456"}})
    found = helpers.search_collection(collection, text="a")
    assert "score" in str(found)
    assert "1.235" in str(found)


def test_what_an_asset_tells_of_its_collection(docs: dict[str, Any]) -> None:
    dagster = pytest.importorskip("dagster")
    told = helpers.collection_metadata("Docs", cluster=URL)
    assert {name: each.value for name, each in told.items()} == {
        "collection": "Docs",
        "cluster": URL,
        "dagster/row_count": 7,
        "dimensions": 3,
    }
    docs["schema"] = {**SCHEMA, "multiTenancyConfig": {"enabled": True}}
    docs["tenants"] = [{"name": "a", "activityStatus": "HOT"}, {"name": "b", "activityStatus": "COLD"}]
    docs["shards"] = ["a", "b"]
    told = helpers.collection_metadata("Docs", cluster=URL)
    assert told["objects in active tenants"] == dagster.MetadataValue.int(7)
    assert told["tenants"] == dagster.MetadataValue.int(2)
    assert "dagster/row_count" not in told  # the tenant that is not active may have more
    found = helpers.collection("Docs", cluster=URL)
    assert found.tenants == ["a"]
    assert "those of 1 tenants that are not active" in str(found)
    docs["count"] = None
    with pytest.raises(errors.Unreachable, match="could not be counted"):
        helpers.collection_metadata("Docs", cluster=URL)


def test_an_asset_tells_no_dimensions_of_a_collection_without_vectors(docs: dict[str, Any]) -> None:
    pytest.importorskip("dagster")
    docs.update(count=0, vector=[])
    assert helpers.collection_metadata("Docs", cluster=URL).keys() == {"collection", "cluster", "dagster/row_count"}
    assert "no object with it, hnsw" in str(helpers.collection("Docs", cluster=URL))


# --- indexes, replicas, plans


def test_the_indexes_of_a_collection(cluster: rest.Cluster, mocked: responses.RequestsMock) -> None:
    of = [
        {"type": "searchable", "status": "ready", "algorithm": "wand"},
        {"type": "filterable", "status": "indexing", "taskId": "t"},
    ]
    properties = [{"name": "title", "dataType": "text", "indexes": of}, {"name": "n", "indexes": None}]
    mocked.get(f"{URL}/v1/schema/Docs/indexes", json={"properties": properties})
    found = indexes.listed(cluster, "Docs")
    assert [(each.property, each.kind, each.task) for each in found] == [
        ("title", "filterable", "t"),
        ("title", "searchable", None),
    ]
    assert indexes.path("Do/cs", found[0]) == "schema/Do%2Fcs/properties/title/index/filterable"


@pytest.mark.parametrize(
    ("answer", "task"), [({"taskId": "t1"}, "t1"), ({}, None), (None, None), ({"taskId": ""}, None)]
)
def test_the_task_of_a_rebuilt_index(
    cluster: rest.Cluster, mocked: responses.RequestsMock, answer: Any, task: str | None
) -> None:
    mocked.post(f"{URL}/v1/schema/Docs/x", json=answer)
    assert indexes.start(cluster, "POST", "schema/Docs/x", None) == task


def test_a_task_says_how_far_it_is_and_what_is_wrong(cluster: rest.Cluster, mocked: responses.RequestsMock) -> None:
    units = [{"progress": 1.0, "error": "no disk"}, {"progress": 0.5, "error": "no disk"}]
    payload = {"collection": "Docs", "migrationType": "repair-filterable", "properties": ["title"]}
    task = {"id": "t", "status": "FAILED", "units": units, "error": "it failed", "payload": payload}
    mocked.get(f"{URL}/v1/tasks", json={"reindex": [task]})
    found = indexes.tasks(cluster)["t"]
    assert (found.progress, found.problem, found.collection) == (0.75, "it failed; no disk", "Docs")


def test_replicas_and_their_moves(cluster: rest.Cluster, mocked: responses.RequestsMock) -> None:
    shards = [{"shard": "a", "replicas": ["n1", "n2"]}, {"shard": "b", "replicas": None}]
    mocked.get(f"{URL}/v1/replication/sharding-state", json={"shardingState": {"shards": shards}})
    assert replication.replicas(cluster, "Docs") == {"a": ("n1", "n2"), "b": ()}
    status = {"state": "CANCELLED", "errors": [{"message": "first"}, {"message": "last"}]}
    of = {"id": "o/1", "shard": "a", "sourceNode": "n1", "targetNode": "n2", "type": "MOVE", "status": status}
    mocked.get(f"{URL}/v1/replication/replicate/list", json=[of, {**of, "status": None}])
    mocked.get(f"{URL}/v1/replication/replicate/o%2F1", json=of)
    one, other = replication.operations(cluster, "Docs")
    assert one == replication.operation(cluster, "o/1")
    assert (one.state, one.problem, other.state, other.problem) == ("CANCELLED", "last", "", None)
    mocked.post(f"{URL}/v1/replication/replicate", json={"id": "o2"})
    assert replication.begin(cluster, replication.request("Docs", "a", "n1", "n2")) == "o2"
    assert sent(mocked)["type"] == "MOVE"
    mocked.replace(
        responses.GET,
        f"{URL}/v1/replication/sharding-state",
        json={"shardingState": {"shards": [{"shard": "a", "replicas": "n1"}]}},
    )
    with pytest.raises(rest.Failed, match="'replicas' that no Weaviate has"):
        replication.replicas(cluster, "Docs")


def test_a_plan_as_a_document() -> None:
    index = indexes.Index("title", "filterable", "failed", "text")
    nodes = [api.Node("n1", "HEALTHY", "1.39.0", (api.Shard("Docs", "a", "n1", 5, True, "READY", 0, False),))]
    picture = plans.Picture("main", "Docs", (1, 39, 0), SCHEMA, nodes, 5, None, {"a": ("n1",)}, (index,))
    found = tunings.document(tunings.Tuning(picture, "auto", plans.actions(picture, "auto"), []))
    assert found["figures"] == {
        "objects": 5,
        "tenants": None,
        "shards": 1,
        "nodes": {"n1": 5},
        "nodes_bear": "objects",
        "imbalance": 0.0,
        "indexes": 1,
        "indexes_not_ready": 1,
        "tombstones": None,
        "segments": None,
    }
    [action] = found["actions"]
    assert (action["possible"], action["request"]["method"]) == (True, "PUT")
    assert action["request"]["path"].startswith("/v1/schema/Docs/")
    waiting = dataclasses.replace(index, status="indexing", task="t1")
    picture = dataclasses.replace(picture, indexes=(waiting,))
    [action] = tunings.document(tunings.Tuning(picture, "auto", plans.actions(picture, "auto"), []))["actions"]
    assert (action["request"], action["task"]) == (None, "t1")

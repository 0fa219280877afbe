"""What is seen of a collection before it is improved, on servers that tell less than the newest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import responses

from daglab import errors
from daglab.settings import config
from daglab.weaviate import clusters, rest
from daglab.weaviate.improving import surveys, tunings

URL = "http://weaviate.test:8080"
METRICS = "http://weaviate.test:2112/metrics"


@pytest.fixture
def mocked() -> Iterator[responses.RequestsMock]:
    """A server of one collection A with three objects in two shards, which knows of nothing newer than 1.30."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{URL}/v1/schema/A", json={"class": "A"})
        shards = [{"name": name, "class": "A", "objectCount": count} for name, count in (("s2", 1), ("s1", 2))]
        nodes = [{"name": "n1", "shards": shards}, {"name": "n2", "shards": shards[1:]}]
        mock.get(f"{URL}/v1/nodes/A", json={"nodes": nodes})
        mock.get(f"{URL}/v1/meta", json={"version": "1.30.0"})
        mock.post(f"{URL}/v1/graphql", json={"data": {"Aggregate": {"c0": [{"meta": {"count": 3}}]}}})
        vectors = {"vector": [0.5] * 8, "vectors": {"one": [1, 2, 3], "many": [[1, 2], [3, 4]]}}
        mock.get(f"{URL}/v1/objects", json={"objects": [{"id": "1", **vectors}]})
        for path in ("schema/A/indexes", "tasks", "replication/sharding-state"):
            mock.get(f"{URL}/v1/{path}", status=404)
        yield mock


def cluster(metrics: str | None = None) -> rest.Cluster:
    return dataclasses.replace(clusters.connect(config.load({}), URL), metrics=metrics)


def test_an_old_server_tells_little_and_is_surveyed_all_the_same(mocked: responses.RequestsMock) -> None:
    found = surveys.survey(cluster(), "A")
    assert (found.version, found.objects, found.tenants) == ((1, 30, 0), 3, None)
    assert (found.indexes, found.rebuilt, found.moving) == (None, [], [])
    assert found.replicas == {"s1": ("n1", "n2"), "s2": ("n1",)}  # as the nodes tell
    assert found.hindrance == "This server is too old to move replicas."
    assert found.dimensions == {None: 8, "one": 3}
    assert (found.tombstones, found.segments) == (None, None)


def test_what_is_switched_off_says_how_it_is_switched_on(mocked: responses.RequestsMock) -> None:
    mocked.replace(responses.GET, f"{URL}/v1/replication/sharding-state", status=501)
    found = surveys.survey(cluster(), "A")
    assert found.replicas == {"s1": ("n1", "n2"), "s2": ("n1",)}
    assert "it is switched off" in str(found.hindrance)
    assert "REPLICA_MOVEMENT_ENABLED=true" in str(found.hindrance)


def test_objects_of_tenants_are_counted_once_and_no_inactive_one_is_read(mocked: responses.RequestsMock) -> None:
    mocked.replace(responses.GET, f"{URL}/v1/schema/A", json={"class": "A", "multiTenancyConfig": {"enabled": True}})
    mocked.get(f"{URL}/v1/schema/A/tenants", json=[{"name": "s1", "activityStatus": "COLD"}])
    found = surveys.survey(cluster(), "A")
    assert (found.objects, found.tenants, found.dimensions) == (3, {"s1": "INACTIVE"}, {})
    assert not any("/v1/objects" in str(call.request.url) for call in mocked.calls)


def test_tasks_that_lose_what_others_made_are_named_with_their_properties(mocked: responses.RequestsMock) -> None:
    payloads = [
        {"collection": "A", "migrationType": "repair-filterable", "properties": ["b", "a"]},
        {"collection": "A", "migrationType": "rebuild-searchable", "properties": ["a"]},
        {"collection": "Other", "migrationType": "repair-filterable", "properties": ["c"]},
    ]
    tasks = [{"id": str(number), "payload": each} for number, each in enumerate(payloads)]
    mocked.replace(responses.GET, f"{URL}/v1/tasks", json={"reindex": tasks})
    assert surveys.survey(cluster(), "A").rebuilt == [("repair-filterable", "a"), ("repair-filterable", "b")]


def test_a_listener_that_is_silent_is_no_error(mocked: responses.RequestsMock) -> None:
    text = 'vector_index_tombstones{class_name="A"} 4\nlsm_active_segments{class_name="A",strategy="replace"} 2\n'
    told = mocked.get(METRICS, body=text)
    found = surveys.survey(cluster(METRICS), "A")
    assert (found.tombstones, found.segments) == (4, 2)
    mocked.remove(told)
    mocked.get(METRICS, status=500)
    found = surveys.survey(cluster(METRICS), "A")
    assert (found.tombstones, found.segments) == (None, None)


def test_a_count_that_can_not_be_read_is_an_error(mocked: responses.RequestsMock) -> None:
    mocked.replace(responses.POST, f"{URL}/v1/graphql", json={"data": {"Aggregate": {"c0": None}}})
    with pytest.raises(errors.Unreachable, match="could not be counted"):
        surveys.survey(cluster(), "A")


def test_a_collection_is_looked_at_and_planned_for(mocked: responses.RequestsMock) -> None:
    found = tunings.analyze(cluster(), "A")
    assert (found.picture, found.operation) == (surveys.survey(cluster(), "A"), "auto")
    assert tunings.document(found)["figures"]["objects"] == 3

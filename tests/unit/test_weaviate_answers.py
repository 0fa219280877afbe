"""What is said of servers that are no Weaviate, and of what stands between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import responses

from daglab import errors, web
from daglab.settings import config
from daglab.weaviate import api, clusters, rest
from daglab.weaviate.improving import indexes, replication

URL = "http://weaviate.test:8080"


@pytest.fixture
def cluster() -> rest.Cluster:
    return clusters.connect(config.load({}), URL)


@responses.activate
@pytest.mark.parametrize(
    ("path", "ask", "answer"),
    [
        ("schema", api.schemas, {"classes": [1]}),
        ("schema", api.schemas, {"classes": [{"class": 5}]}),
        ("schema/A", lambda cluster: api.schema(cluster, "A"), {"class": 5}),
        ("schema/A", lambda cluster: api.schema(cluster, "A"), {"class": "A", "properties": 5}),
        ("schema/A", lambda cluster: api.schema(cluster, "A"), {"class": "A", "properties": [{}]}),
        ("schema/A", lambda cluster: api.schema(cluster, "A"), {"class": "A", "vectorConfig": 7}),
        ("schema", api.schemas, {"classes": [{"class": "A", "properties": [{"name": "p", "dataType": 5}]}]}),
        ("schema", api.schemas, {"classes": [{"class": "A", "properties": [{"name": "p", "dataType": [5]}]}]}),
        ("schema", api.schemas, {"classes": [{"class": "A", "vectorConfig": {"v": 5}}]}),
        ("schema", api.schemas, {"classes": [{"class": "A", "replicationConfig": {"factor": "x"}}]}),
        ("schema/A/tenants/a", lambda cluster: api.tenant(cluster, "A", "a"), [5]),
        ("schema/A/indexes", lambda cluster: indexes.listed(cluster, "A"), {"properties": [{"indexes": 5}]}),
        ("tasks", indexes.tasks, [5]),
        ("tasks", indexes.tasks, {"reindex": [{}]}),
        ("replication/sharding-state", lambda cluster: replication.replicas(cluster, "A"), {"shardingState": 5}),
        ("replication/replicate/list", lambda cluster: replication.operations(cluster, "A"), [5]),
        ("schema/A/tenants", lambda cluster: api.tenants(cluster, "A"), [{"nom": "a"}]),
        ("aliases", api.aliases, {"aliases": [{}]}),
        ("nodes", api.nodes, {"nodes": [1]}),
        ("nodes", api.nodes, {"nodes": [{"name": "n", "shards": [{"name": []}]}]}),
    ],
)
def test_other_json_is_no_answer(cluster: rest.Cluster, path: str, ask: Callable[..., Any], answer: Any) -> None:
    responses.get(f"{URL}/v1/{path}", json=answer)
    with pytest.raises(rest.Failed, match="answers with"):
        ask(cluster)


@responses.activate
@pytest.mark.parametrize("answer", [[], {}, {"message": "welcome"}, None])
def test_nothing_is_made_by_a_server_that_takes_everything(cluster: rest.Cluster, answer: Any) -> None:
    responses.post(f"{URL}/v1/schema", json=answer)
    responses.get(f"{URL}/v1/schema/A", json=answer)
    with pytest.raises(rest.Failed, match="without 'class'"):
        api.create(cluster, {"class": "A"})


@responses.activate
def test_objects_that_are_no_number_are_not_told(cluster: rest.Cluster) -> None:
    shard = {"name": "s", "class": "A", "objectCount": "x", "vectorQueueLength": "y"}
    responses.get(f"{URL}/v1/nodes", json={"nodes": [{"name": "n", "shards": [shard]}]})
    [found] = api.nodes(cluster)[0].shards
    assert (found.objects, found.queue) == (None, None)


@responses.activate
def test_what_the_sandbox_refuses_needs_no_key() -> None:
    sandboxed = clusters.connect(config.load({"security.sandbox_mode": True}), URL)
    with pytest.raises(errors.NotAuthorised, match="nothing was sent") as refused:
        api.delete(sandboxed, "A")
    assert "security.allowed_operations" in str(refused.value.hint)
    assert not responses.calls


def test_a_proxy_that_wants_a_name_is_helped_with(cluster: rest.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(*_: Any, **__: Any) -> None:
        raise errors.NotAuthorised("The proxy wants to know who you are (407).", "Write it in HTTP_PROXY.")

    monkeypatch.setattr(web, "send", send)
    with pytest.raises(errors.NotAuthorised) as refused:
        api.schemas(cluster)
    assert refused.value.hint == "Write it in HTTP_PROXY."

"""Servers with modules: tenants that are offloaded to a store, and collections whose vectors are made there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daglab.settings import config
from daglab.weaviate import api, batches, clusters, comparisons, journals, rest, schemas, tenants, transfers
from tests import weaviate_objects, weaviates


@pytest.fixture(scope="module")
def server(s3_server: Any, need: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[weaviates.Server]:
    need(weaviates.program().exists(), "Weaviate is not installed")
    env = {
        **s3_server.env,
        "ENABLE_MODULES": "offload-s3,text2vec-bigram",
        "OFFLOAD_S3_ENDPOINT": s3_server.url,
        "OFFLOAD_S3_BUCKET": "offloaded",
        "OFFLOAD_S3_BUCKET_AUTO_CREATE": "true",
    }
    with weaviates.serving(tmp_path_factory.mktemp("modules"), env=env) as [server]:
        yield server


@pytest.fixture
def cluster(server: weaviates.Server) -> rest.Cluster:
    return clusters.connect(config.load(), server.url)


def copied(cluster: rest.Cluster, source: str, target: str, root: Path) -> transfers.Tally:
    api.create(cluster, schemas.portable(api.schema(cluster, source), target))
    sides = transfers.Side(cluster, source), transfers.Side(cluster, target)
    with journals.opened(root, {"kind": "copy", "collection": source}) as journal:
        return transfers.objects_of(*sides, journal, batches.pace(10, 100), lambda _: None)


def settled(cluster: rest.Cluster, name: str) -> dict[str, str]:
    """The states of tenants when none is on its way any more."""
    while set(found := api.tenants(cluster, name).values()) & set(tenants.GOES_TO):
        pass
    assert found
    return api.tenants(cluster, name)


def test_tenants_in_every_state_are_copied_and_put_back(
    server: weaviates.Server, cluster: rest.Cluster, tmp_path: Path
) -> None:
    states = {"active": tenants.ACTIVE, "inactive": tenants.INACTIVE, "offloaded": tenants.OFFLOADED}
    server.ask("POST", "schema", {"class": "Far", "vectorizer": "none", "multiTenancyConfig": {"enabled": True}})
    server.ask("POST", "schema/Far/tenants", [{"name": each} for each in states])
    for each in states:
        made = [{"class": "Far", "id": str(uuid.uuid4()), "tenant": each, "vector": [n, 1]} for n in range(40)]
        weaviate_objects.put(server, made)
    tenants.put_states(cluster, "Far", states)
    assert settled(cluster, "Far") == states
    tally = copied(cluster, "Far", "FarCopy", tmp_path)
    assert (tally.written, tally.failed, tally.gone) == (120, [], [])
    assert settled(cluster, "Far") == states
    tenants.put_states(cluster, "FarCopy", api.tenants(cluster, "Far"))
    assert settled(cluster, "FarCopy") == states
    assert comparisons.compare(transfers.Side(cluster, "Far"), transfers.Side(cluster, "FarCopy")).is_none
    assert settled(cluster, "Far") == settled(cluster, "FarCopy") == states


def test_nothing_is_vectorized_anew(server: weaviates.Server, cluster: rest.Cluster, tmp_path: Path) -> None:
    text = [{"name": "t", "dataType": ["text"]}]
    made_there = {"vectorizer": {"text2vec-bigram": {}}, "vectorIndexType": "hnsw"}
    server.ask("POST", "schema", {"class": "Made", "properties": text, "vectorConfig": {"v": made_there}})
    own = {"class": "Made", "id": str(uuid.uuid4()), "properties": {"t": "abc"}, "vectors": {"v": [1.0, 2.0, 3.0]}}
    weaviate_objects.put(server, [own])
    assert copied(cluster, "Made", "MadeCopy", tmp_path).failed == []
    assert weaviate_objects.held(server, "MadeCopy") == weaviate_objects.held(server, "Made")

    plain = {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw"}
    server.ask("POST", "schema", {"class": "Bare", "properties": text, "vectorConfig": {"v": plain}})
    bare = {"class": "Bare", "id": str(uuid.uuid4()), "properties": {"t": "abc"}}
    weaviate_objects.put(server, [bare])
    server.ask("POST", "schema", {"class": "BareCopy", "properties": text, "vectorConfig": {"v": made_there}})
    sides = transfers.Side(cluster, "Bare"), transfers.Side(cluster, "BareCopy")
    with journals.opened(tmp_path, {"kind": "copy", "collection": "Bare"}) as journal:
        tally = transfers.objects_of(*sides, journal, batches.pace(10, 100), lambda _: None)
    assert [each.id for each in tally.failed] == [bare["id"]]
    assert weaviate_objects.held(server, "BareCopy") == {}

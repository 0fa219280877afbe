"""What is looked at before a collection is made, replaced or deleted, and what a copy of it would look like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from daglab import errors
from daglab.settings import config
from daglab.weaviate import clusters, lifecycle, placement, rest, transfers
from daglab.weaviate.copying import copies, previews

URL = "http://weaviate.test:8080"
PLAIN = {"class": "A", "properties": [{"name": "t", "dataType": ["text"]}]}
TENANTS = {**PLAIN, "multiTenancyConfig": {"enabled": True}}


class Weaviate:
    """A server of a few collections, its objects by collection and tenant; None is the tenant of one without."""

    def __init__(self, mocked: responses.RequestsMock) -> None:
        self.schemas: dict[str, dict[str, Any]] = {"A": PLAIN}
        self.objects: dict[tuple[str, str | None], list[dict[str, Any]]] = {}
        self.tenants: dict[str, str] = {}
        self.aliases: dict[str, str] | None = {}
        self.nodes = 1
        self.changes: list[tuple[str, str, str | None]] = []  # of what, its state, and whose
        for method in ("GET", "PUT", "DELETE"):
            mocked.add_callback(method, re.compile(f"{URL}/.*"), callback=self.answer)

    def put(self, tenant: str | None, *ids: str, **more: Any) -> None:
        self.objects["A", tenant] = [{"id": each, "properties": {"t": each}, **more} for each in ids]

    def answer(self, request: Any) -> tuple[int, dict[str, str], str]:
        path, query = urlsplit(request.url).path.removeprefix("/v1/"), parse_qs(urlsplit(request.url).query)
        tenant = query.get("tenant", [None])[0]
        if request.method == "DELETE":
            ids = json.loads(request.body)["match"]["where"]["valueTextArray"]
            self.changes.append(("deleted", ",".join(ids), tenant))
            return self.found({"results": {"successful": len(ids), "failed": 0}})
        if request.method == "PUT":
            for each in json.loads(request.body):
                self.tenants[each["name"]] = each["activityStatus"]
                self.changes.append(("tenant", each["activityStatus"], each["name"]))
            return self.found([])
        kind, _, name = path.partition("/")
        if kind == "aliases":
            there = self.aliases
            return (
                (404, {}, "")
                if there is None
                else self.found({"aliases": [{"alias": alias, "class": leads} for alias, leads in there.items()]})
            )
        if kind == "nodes":
            return self.found({"nodes": [{"name": f"n{number}", "status": "HEALTHY"} for number in range(self.nodes)]})
        if kind == "objects":
            after = query.get("after", [""])[0]
            listed = [each for each in self.objects.get(("A", tenant), []) if each["id"] > after]
            return self.found({"objects": listed[: int(query["limit"][0])]})
        return self.of_schema(*name.split("/")) if name else self.found({"classes": list(self.schemas.values())})

    def of_schema(self, name: str, *rest_of: str) -> tuple[int, dict[str, str], str]:
        states = [{"name": each, "activityStatus": status} for each, status in self.tenants.items()]
        if rest_of:
            return self.found(next(one for one in states if one["name"] == rest_of[1]) if rest_of[1:] else states)
        return self.found(self.schemas[name]) if name in self.schemas else (404, {}, "")

    @staticmethod
    def found(document: Any) -> tuple[int, dict[str, str], str]:
        return 200, {}, json.dumps(document)


@pytest.fixture
def server() -> Iterator[Weaviate]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        yield Weaviate(mocked)


@pytest.fixture
def cluster(server: Weaviate) -> rest.Cluster:
    return clusters.connect(config.load({}), URL)


def test_a_collection_that_refers_to_what_is_not_there_is_not_made(cluster: rest.Cluster) -> None:
    schema = {"class": "B", "properties": [{"name": "of", "dataType": ["A", "B", "C"]}]}
    with pytest.raises(errors.InvalidInput, match="B refers to C, which"):
        placement.check(cluster, schema)


def test_more_replicas_than_nodes_are_not_made(server: Weaviate, cluster: rest.Cluster) -> None:
    schema = {"class": "B", "replicationConfig": {"factor": 3}}
    with pytest.raises(errors.InvalidInput, match=r"B has 3 replicas, and .* has 1 node\."):
        placement.check(cluster, schema)
    server.nodes = 3
    placement.check(cluster, schema)


def test_an_alias_is_no_name_of_a_new_collection(server: Weaviate, cluster: rest.Cluster) -> None:
    server.aliases = {"B": "A"}
    with pytest.raises(errors.InvalidInput, match=r"B is an alias in .*, of A"):
        placement.check(cluster, {"class": "B"})
    server.aliases = None  # as before 1.32
    placement.check(cluster, {"class": "B"})


def test_a_name_that_is_taken_is_refused_with_what_helps(cluster: rest.Cluster) -> None:
    with pytest.raises(errors.Taken, match="There is a collection A") as refused:
        placement.refuse_taken(cluster, "A", "Take another.")
    assert refused.value.hint == "Take another."
    placement.refuse_taken(cluster, "B", "Take another.")


def test_what_an_alias_leads_to_is_not_deleted(server: Weaviate, cluster: rest.Cluster) -> None:
    server.aliases = {"Live": "A"}
    lifecycle.refuse_aliased(cluster, ["B"])
    with pytest.raises(errors.Taken, match="The alias Live leads to A"):
        lifecycle.refuse_aliased(cluster, ["B", "A"])
    server.aliases = None
    lifecycle.refuse_aliased(cluster, ["A"])


def test_objects_are_deleted_by_their_ids(server: Weaviate, cluster: rest.Cluster) -> None:
    server.put(None, "1", "2", "3")
    told: list[int] = []
    assert lifecycle.clear(cluster, "A", told.append) == 3
    assert (server.changes, told) == ([("deleted", "1,2,3", None)], [3])


def test_tenants_that_are_cleared_are_as_they_were(server: Weaviate, cluster: rest.Cluster) -> None:
    server.schemas["A"] = TENANTS
    server.tenants = {"a": "ACTIVE", "b": "INACTIVE", "c": "ACTIVE"}
    server.put("a", "1", "2")
    server.put("b", "3")
    told: list[int] = []
    assert lifecycle.clear(cluster, "A", told.append) == 3
    assert told == [2, 3]
    assert server.changes == [
        ("deleted", "1,2", "a"),
        ("tenant", "ACTIVE", "b"),
        ("deleted", "3", "b"),
        ("tenant", "INACTIVE", "b"),
    ]


def copy_of(cluster: rest.Cluster, schema: dict[str, Any], change: transfers.Change | None = None) -> copies.Copy:
    return copies.Copy(transfers.Side(cluster, "A"), transfers.Side(cluster, "B"), schema, change=change)


def test_a_preview_tells_what_changes_in_the_schema(server: Weaviate, cluster: rest.Cluster) -> None:
    properties = [{"name": name, "dataType": ["text"]} for name in ("kept", "other", "gone")]
    server.schemas["A"] = {"class": "A", "properties": properties, "vectorizer": "none"}
    other = [{"name": "kept", "dataType": ["text"]}, {"name": "other", "dataType": ["int"]}, {"name": "new"}]
    schema = {"class": "B", "properties": other, "vectorizer": "none", "description": "Anew."}
    assert previews.changes(copy_of(cluster, schema)) == {
        "added": ["new"],
        "removed": ["gone"],
        "changed": ["other"],
        "config": ["description"],
    }


def test_a_preview_shows_objects_before_and_after(server: Weaviate, cluster: rest.Cluster) -> None:
    server.put(None, "1", "2", "3", vector=[0.5] * 8, vectors={"m": [1, 2]})
    server.objects["A", None][0]["properties"]["t"] = "x" * 5000

    def change(objects: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
        objects[1]["properties"]["t"] = "changed in place"
        return [objects[0], objects[1], None]

    long, changed, dropped = previews.samples(copy_of(cluster, PLAIN, change), 3)  # type: ignore[arg-type]
    assert long["before"] == long["after"]
    assert long["before"]["properties"]["t"] == "x" * previews.LONGEST + "…"
    assert (long["before"]["vector"], long["before"]["vectors"]) == (8, {"m": 2})
    assert previews.difference(long) == ["  the same"]
    assert [line.split() for line in previews.difference(changed)] == [
        ["-", '"t":', '"2"'],
        ["+", '"t":', '"changed', "in", 'place"'],
    ]
    assert (dropped["after"], previews.difference(dropped)) == (None, ["  dropped"])


def test_a_preview_is_of_the_first_active_tenant(server: Weaviate, cluster: rest.Cluster) -> None:
    server.schemas["A"], server.tenants = TENANTS, {"a": "INACTIVE", "b": "ACTIVE"}
    server.put("a", "1")
    server.put("b", "2")
    assert [each["before"]["id"] for each in previews.samples(copy_of(cluster, TENANTS), 5)] == ["2"]
    server.tenants = {"a": "INACTIVE"}
    assert previews.samples(copy_of(cluster, TENANTS), 5) == []
    assert not server.changes

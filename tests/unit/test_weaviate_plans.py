"""Plans for collections, from canned pictures of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from daglab import errors
from daglab.commands.collection import batch
from daglab.weaviate import api
from daglab.weaviate.improving import advice, balances, improvements, indexes, plans, replication

GIB = 1 << 30


def shard(name: str, node: str, objects: int | None) -> api.Shard:
    return api.Shard("Docs", name, node, objects, objects is not None, "READY", 0, False)


def node(name: str, *shards: api.Shard, status: str = "HEALTHY") -> api.Node:
    return api.Node(name, status, "1.39.0", shards)


def picture(**more: Any) -> plans.Picture:
    schema = {
        "class": "Docs",
        "vectorIndexType": "hnsw",
        "invertedIndexConfig": {"usingBlockMaxWAND": True},
        "properties": [
            {"name": "title", "dataType": ["text"], "indexFilterable": True, "indexSearchable": True},
            {"name": "n", "dataType": ["int"], "indexFilterable": True},
            {"name": "b", "dataType": ["blob"], "indexFilterable": True},
        ],
        **more.pop("schema", {}),
    }
    there = {
        "cluster": "main",
        "name": "Docs",
        "version": (1, 39, 0),
        "schema": schema,
        "nodes": [node("n1", shard("a", "n1", 1000))],
        "objects": 1000,
        "tenants": None,
        "replicas": {"a": ("n1",)},
        "indexes": indexes.of_schema(schema),
    }
    return plans.Picture(**{**there, **more})


def index(status: str = "ready", **more: Any) -> indexes.Index:
    return indexes.Index(**{"property": "title", "kind": "filterable", "data_type": "text", "status": status, **more})


def uneven(**more: Any) -> plans.Picture:
    """Four shards of 250 objects on the first of two nodes."""
    shards = [shard(name, "n1", 250) for name in "abcd"]
    replicas = dict.fromkeys("abcd", ("n1",))
    return picture(**{"nodes": [node("n1", *shards), node("n2")], "replicas": replicas, **more})


def test_what_is_well_needs_nothing() -> None:
    assert plans.actions(picture(), "auto") == []
    assert advice.of(picture()) == []


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_index_that_is_not_ready_is_rebuilt(status: str) -> None:
    [found] = plans.actions(picture(indexes=[index(status), index(property="n")]), "auto")
    assert (found.method, found.path) == ("POST", "schema/Docs/properties/title/index/filterable/rebuild")
    assert (found.hindrance, status in found.reason) == (None, True)


def test_what_is_being_built_is_followed() -> None:
    [found] = plans.actions(picture(indexes=[index("indexing", task="t1")]), "auto")
    assert (found.task, found.method) == ("t1", "")


def test_an_index_that_never_came_to_be_is_made() -> None:
    schema = {"properties": [{"name": "title", "dataType": ["text"]}]}
    there = [index("failed"), index("failed", kind="searchable", tokenization="word")]
    found = plans.actions(picture(indexes=there, schema=schema), "auto")
    assert [(each.method, each.body) for each in found] == [("PUT", {}), ("PUT", {"tokenization": "word"})]


def test_the_old_form_of_a_searchable_index_is_turned() -> None:
    old = index(kind="searchable", algorithm="wand")
    [found] = plans.actions(picture(indexes=[old]), "auto")
    assert (found.method, found.body) == ("PUT", {"algorithm": "blockmax"})
    assert plans.actions(picture(indexes=[old], objects=0), "auto") == []


def test_indexes_without_a_bucket_are_left_alone() -> None:
    names = {each.figures["property"] for each in plans.actions(picture(), "reindex")}
    assert names == {"title", "n"}


@pytest.mark.parametrize("version", [(1, 30, 0), (1, 38, 2)])
def test_an_older_server_is_told_to_be_one(version: tuple[int, int, int]) -> None:
    found = plans.actions(picture(version=version, indexes=None), "reindex")
    assert found
    assert {each.hindrance for each in found} == {f"It needs Weaviate 1.39; this is {plans.version_text(version)}."}
    assert improvements.steps_of(found) == []


def test_one_propertys_filterable_index_is_rebuilt_between_restarts() -> None:
    def possible(restarted: bool = False, **more: Any) -> list[str]:
        found = plans.actions(picture(**more), "reindex", restarted=restarted)
        return [each.what for each in found if each.hindrance is None]

    searchable = "Rebuild the searchable index of title"
    assert possible() == ["Rebuild the filterable index of n", searchable]
    assert possible(rebuilt=[("repair-filterable", "title")]) == [searchable]
    assert possible(rebuilt=[("repair-filterable", "n")]) == ["Rebuild the filterable index of n", searchable]
    assert possible(rebuilt=[("change-algorithm", "title")]) == ["Rebuild the filterable index of n", searchable]
    after = possible(restarted=True, rebuilt=[("repair-filterable", "title")])
    assert after == ["Rebuild the filterable index of n", searchable]


def test_one_property_gets_the_new_form_between_restarts() -> None:
    old = [index(kind="searchable", algorithm="wand"), index(property="body", kind="searchable", algorithm="wand")]
    found = plans.actions(picture(indexes=old), "auto")
    assert [each.hindrance for each in found] == [None, plans.LOSS]


def test_a_rebuild_leaves_inactive_tenants_out() -> None:
    tenants = {**{f"t{number:03}": "ACTIVE" for number in range(150)}, "off": "INACTIVE"}
    found = plans.actions(picture(indexes=[index("failed")], tenants=tenants), "auto")
    assert [each.path.count("t1") for each in found] == [0, 50]
    assert not any("off" in each.path for each in found)
    old = plans.actions(picture(indexes=[index(kind="searchable", algorithm="wand")], tenants=tenants), "auto")
    assert "activate" in str(old[0].hindrance)


def test_shards_are_moved_to_the_node_that_bears_less() -> None:
    found = plans.actions(uneven(), "auto")
    assert [(each.body or {})["targetNode"] for each in found] == ["n2", "n2"]
    assert "imbalance 1.00, after all moves 0.00" in found[0].reason
    assert found[0].figures["objects"] == 250


@pytest.mark.parametrize(
    "more",
    [
        {"nodes": [node("n1")]},
        {"nodes": [node("n1", shard("a", "n1", 9)), node("n2", status="UNAVAILABLE")]},
        {"replicas": {**dict.fromkeys("abcd", ("n1",)), "e": ("n3",)}},
        {"replicas": {"a": ("n1",)}},
        {"replicas": {"a": ("n1", "n2"), "b": ("n2", "n1")}},
    ],
    ids=["one node", "a node is down", "a node is gone", "one shard", "on all nodes"],
)
def test_there_is_nothing_to_move(more: dict[str, Any]) -> None:
    assert plans.actions(uneven(**more), "rebalance") == []


def test_while_a_replica_moves_nothing_else_is_moved() -> None:
    move = replication.Operation("id", "a", "n1", "n2", "MOVE", "HYDRATING", None)
    [found] = plans.actions(uneven(moving=[move]), "auto")
    assert (found.task, found.method) == ("id", "")
    assert len(plans.actions(uneven(moving=[dataclasses.replace(move, state="READY")]), "auto")) == 2


def test_shards_are_equal_where_nodes_tell_of_too_few_objects() -> None:
    nodes = [node("n1", *(shard(name, "n1", 700 if name == "a" else 0) for name in "abcd")), node("n2")]
    bears, unit, _ = plans.spread(uneven(nodes=nodes))
    assert (bears, unit) == ({"n1": 4, "n2": 0}, "shards")
    assert len(plans.actions(uneven(nodes=nodes), "auto")) == 2


def test_a_move_that_is_switched_off_is_planned_and_said_to_be() -> None:
    found = plans.actions(uneven(hindrance="It is switched off."), "auto")
    assert {each.hindrance for each in found} == {"It is switched off."}


def test_shards_of_tenants_that_are_not_active_stay() -> None:
    tenants = dict.fromkeys("abcd", "INACTIVE")
    assert plans.actions(uneven(tenants=tenants), "rebalance") == []
    assert len(plans.actions(uneven(tenants=dict.fromkeys("abcd", "ACTIVE")), "rebalance")) == 2


def test_moves_never_put_two_replicas_on_a_node_and_always_help() -> None:
    replicas = {"a": ("n1", "n2"), "b": ("n1", "n2"), "c": ("n1", "n3"), "d": ("n1", "n2")}
    weights = {"a": 5.0, "b": 3.0, "c": 4.0, "d": 1.0}
    names = ["n1", "n2", "n3", "n4"]
    done = balances.moves(replicas, weights, names)
    assert done
    for number in range(len(done)):
        there = balances.after(replicas, done[: number + 1])
        assert all(len(set(of)) == 2 for of in there.values())
    before, later = (balances.loads(each, weights, names) for each in (replicas, balances.after(replicas, done)))
    assert balances.imbalance(later) < balances.imbalance(before)
    assert len({each.shard for each in done}) == len(done)


def test_little_is_to_be_compacted_where_the_listener_says_so() -> None:
    assert not plans.is_tidy(picture())
    assert plans.is_tidy(picture(objects=0))
    assert plans.is_tidy(picture(tombstones=0.0, segments=5.0))
    assert not plans.is_tidy(picture(tombstones=3.0, segments=5.0))
    assert not plans.is_tidy(picture(tombstones=0.0, segments=500.0))
    assert not plans.is_tidy(uneven(tombstones=0.0, segments=5.0))


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"schema": {"vectorIndexType": "flat"}, "objects": 20_000}, "dynamic one becomes hnsw"),
        ({"tenants": {"a": "ACTIVE", "b": "ACTIVE"}, "schema": {"vectorIndexType": "hnsw"}}, "graph of its own"),
        ({"dimensions": {None: 1536}, "objects": 1_000_000}, "5.722 GiB"),
        ({"nodes": [node("n1"), node("n2")]}, "single replica"),
        ({"tenants": {f"t{n}": "INACTIVE" for n in range(100)}, "nodes": [node("n1")], "objects": 0}, "offloaded"),
        ({"tombstones": 900.0}, "searches pass through"),
    ],
    ids=["flat", "tenants", "memory", "replicas", "inactive", "tombstones"],
)
def test_advice_has_reasons_and_figures(more: dict[str, Any], word: str) -> None:
    [found] = advice.of(picture(**more))
    assert word in found.reason
    assert found.figures


def test_what_is_compressed_or_small_needs_no_advice() -> None:
    compressed = {"vectorIndexConfig": {"rq": {"enabled": True}}}
    assert advice.of(picture(dimensions={None: 1536}, objects=1_000_000, schema=compressed)) == []
    assert advice.of(picture(dimensions={None: 4}, objects=1000)) == []
    assert advice.of(picture(schema={"vectorIndexType": "flat"}, objects=10_000)) == []


def test_batch_takes_what_matches_and_names_the_nearest() -> None:
    there = ["Docs", "DocsOld", "docs", "Notes"]
    assert batch.matching(there, "Docs*") == ["Docs", "DocsOld"]
    with pytest.raises(errors.InvalidInput) as raised:
        batch.matching(there, "Nots*")
    assert "Notes" in str(raised.value.hint)


def test_a_bug_at_one_collection_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def operate(name: str) -> dict[str, Any]:
        if name == "a":
            raise KeyError(name)
        if name == "b":
            raise OSError(28, "No space left on device")
        return {"name": name}

    outcomes = sorted(batch.each(["a", "b", "c"], operate, 1), key=lambda each: each.name)
    assert [each.error and each.error.exit_code for each in outcomes] == [1, 7, None]
    assert "KeyError" in capsys.readouterr().err
    assert outcomes[2].document == {"name": "c"}


def test_batch_ends_as_the_worst_of_all() -> None:
    def operate(name: str) -> dict[str, Any]:
        kinds = {"a": errors.NotGood, "b": errors.Unreachable, "c": errors.InvalidInput}
        if name in kinds:
            raise kinds[name](f"{name} fails", result={"seen": name})
        return {"name": name}

    outcomes = sorted(batch.each(["a", "b", "c", "d"], operate, 2), key=lambda each: each.name)
    assert [each.document for each in outcomes] == [{"seen": "a"}, {"seen": "b"}, {"seen": "c"}, {"name": "d"}]
    assert type(batch.worst(outcomes)) is errors.Unreachable
    assert batch.worst(outcomes[3:]) is None

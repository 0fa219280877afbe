"""`daglab collections optimize` on real Weaviates: rebuilds and moves really run."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import processes
from daglab.settings import config
from daglab.weaviate import api, clusters
from daglab.weaviate.improving import improvements, indexes, plans, replication, tunings
from tests import weaviates

Cli = Callable[..., Any]
NEW = weaviates.VERSION.split(".")[1] >= "39"
only_new = pytest.mark.skipif(not NEW, reason="only Weaviate 1.39 and newer rebuild an index")


def fill(server: weaviates.Server, name: str, count: int = 200, **schema: Any) -> None:
    properties = [
        {"name": "title", "dataType": ["text"]},
        {"name": "n", "dataType": ["int"], "indexRangeFilters": True},
        {"name": "place", "dataType": ["geoCoordinates"]},
    ]
    server.ask("POST", "schema", {"class": name, "vectorizer": "none", "properties": properties, **schema})
    made = random.Random(1)
    written = [
        {"class": name, "properties": {"title": f"word {n}", "n": n}, "vector": [made.random() for _ in range(4)]}
        for n in range(count)
    ]
    server.ask("POST", "batch/objects", {"objects": written})


def restart(server: weaviates.Server) -> None:
    os.kill(server.pid, signal.SIGTERM)
    while server.name not in processes.ended(server.keeper):
        time.sleep(0.02)
    server.start()


@pytest.fixture(scope="module")
def docs(weaviate: weaviates.Server) -> str:
    fill(weaviate, "OptimizeDocs")
    return "OptimizeDocs"


def test_the_plan_of_what_is_well_is_empty(cli: Cli, weaviate: weaviates.Server, docs: str) -> None:
    done = cli("collections", "optimize", docs, "--analyze", "--cluster", weaviate.url, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"], found["actions"], found["done"]) == (0, True, [], [])
    assert found["figures"]["objects"] == 200
    assert found["figures"]["shards"] == 1
    assert found["figures"]["indexes_not_ready"] == (0 if NEW else None)
    assert "LSM" in found["by_itself"][0]["what"]
    shown = cli("collections", "optimize", docs, "--analyze", "--cluster", weaviate.url)
    assert "There is nothing to do" in shown.stdout
    assert "PERSISTENCE_LSM_MAX_SEGMENT_SIZE" in shown.stdout


def test_a_dry_run_tells_the_requests_and_sends_none(cli: Cli, weaviate: weaviates.Server, docs: str) -> None:
    before = requests.get(f"{weaviate.url}/v1/tasks", timeout=10).content
    done = cli("collections", "optimize", docs, "--operation", "reindex", "--dry-run", "--cluster", weaviate.url)
    assert done.exit_code == 0
    assert "filterable index of title" in done.stdout
    assert ("POST /v1/schema/OptimizeDocs/properties/n/index/rangeFilters/rebuild" in done.stdout) == NEW
    assert requests.get(f"{weaviate.url}/v1/tasks", timeout=10).content == before


@only_new
def test_indexes_are_rebuilt_and_their_tasks_followed(cli: Cli, weaviate: weaviates.Server, docs: str) -> None:
    done = cli("col", "optimize", docs, "--operation", "reindex", "--yes", "--cluster", weaviate.url, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["undone"]) == (4, []), done.stderr
    # A geo property has a filterable index by its name only.
    assert {each["what"] for each in found["done"]} == {
        *("Rebuild the filterable index of n", "Rebuild the rangeFilters index of n"),
        "Rebuild the searchable index of title",
    }
    [left] = [each["what"] for each in found["actions"] if each["hindrance"]]
    assert left == "Rebuild the filterable index of title"
    assert "restart" in found["error"]["message"]
    ended = {each["id"]: each["status"] for each in weaviate.ask("GET", "tasks")["reindex"]}
    assert {ended[each["task"]] for each in found["done"]} == {"FINISHED"}
    query = 'Get {OptimizeDocs(where: {path: ["n"], operator: LessThan, valueInt: 3}, limit: 9) {n}}'
    answered = weaviate.ask("POST", "graphql", {"query": f"{{{query}}}"})
    assert sorted(each["n"] for each in answered["data"]["Get"]["OptimizeDocs"]) == [0, 1, 2]


@only_new
def test_an_index_whose_task_was_cancelled_is_rebuilt_by_itself(cli: Cli, weaviate: weaviates.Server) -> None:
    fill(weaviate, "OptimizeCancelled", 20)
    path = "schema/OptimizeCancelled/properties/title/index/filterable"
    while True:  # the server may be faster
        weaviate.ask("POST", f"{path}/rebuild")
        if weaviate.ask("POST", f"{path}/cancel")["status"] == "CANCELLED":
            break
    done = cli("collections", "optimize", "OptimizeCancelled", "--yes", "--cluster", weaviate.url, "--json")
    assert done.exit_code == 0, done.stderr
    [step] = json.loads(done.stdout)["done"]
    assert (step["what"], step["state"]) == ("Rebuild the filterable index of title", "done")
    cluster = clusters.connect(config.load(), weaviate.url)
    assert {each.status for each in indexes.listed(cluster, "OptimizeCancelled")} == {"ready"}


@pytest.mark.slow
@only_new
def test_the_old_form_of_a_searchable_index_becomes_blockmax(tmp_path: Path) -> None:
    with weaviates.serving(tmp_path, env={"USE_INVERTED_SEARCHABLE": "false"}) as [server]:
        fill(server, "OptimizeWand", 50, invertedIndexConfig={"usingBlockMaxWAND": False})
        cluster = clusters.connect(config.load(), server.url)
        found = tunings.analyze(cluster, "OptimizeWand")
        assert [each.what for each in found.actions] == ["Turn the searchable index of title into BlockMax"]
        steps = improvements.steps_of(found.actions)
        improvements.carry_out(cluster, steps, lambda _: None, 60)
        assert [each.state for each in steps] == ["done"]
        # The words of its properties are found as before, also when what was made is read from disk.
        restart(server)
        answered = server.ask("POST", "graphql", {"query": '{Get {OptimizeWand(bm25: {query: "7"}) {n}}}'})
        assert [each["n"] for each in answered["data"]["Get"]["OptimizeWand"]] == [7]
        assert tunings.analyze(cluster, "OptimizeWand").actions == []


@pytest.mark.slow
@only_new
def test_no_rebuilt_index_is_lost_at_a_restart(cli: Cli, tmp_path: Path) -> None:
    with weaviates.serving(tmp_path) as [server]:
        fill(server, "OptimizeKept", 40)
        where = ("--operation", "reindex", "--yes", "--cluster", server.url)
        for more in ([], [], ["--restarted"]):
            assert cli("collections", "optimize", "OptimizeKept", *where, *more).exit_code == 4  # one is left for later
            restart(server)
            for prop, value in (("title", 'valueText: "word"'), ("n", "valueInt: 3")):
                query = f'OptimizeKept(where: {{path: ["{prop}"], operator: Equal, {value}}}) {{meta {{count}}}}'
                answered = server.ask("POST", "graphql", {"query": f"{{Aggregate {{{query}}}}}"})
                count = answered["data"]["Aggregate"]["OptimizeKept"][0]["meta"]["count"]
                assert count == {"title": 40, "n": 1}[prop], (prop, more)


@only_new
def test_a_property_that_is_busy_fails_alone(weaviate: weaviates.Server, docs: str) -> None:
    cluster = clusters.connect(config.load(), weaviate.url)
    steps = improvements.steps_of(tunings.analyze(cluster, docs, "reindex").actions)
    assert len(steps) == 3
    lost = next(each for each in steps if "title" in each.action.what)
    broken = plans.Action(**{**vars(lost.action), "path": lost.action.path.replace("title", "titel")})
    steps = [improvements.Step(broken), *steps]
    improvements.carry_out(cluster, steps, lambda _: None, 60)
    problems = [each.problem for each in steps]
    assert [each.state for each in steps] == ["failed", *["done"] * (len(steps) - 1)], problems
    assert "titel" in str(steps[0].problem)


def test_what_can_not_be_asked_for_is_no_success(cli: Cli, weaviate: weaviates.Server, docs: str) -> None:
    where = ("--operation", "compact", "--cluster", weaviate.url)
    done = cli("collections", "optimize", docs, *where, "--yes", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"], found["done"], found["error"]["code"]) == (4, False, [], "not_good")
    assert "by itself" in found["error"]["message"]
    assert cli("collections", "optimize", docs, *where, "--analyze").exit_code == 0
    weaviate.ask("POST", "schema", {"class": "OptimizeEmpty", "vectorizer": "none"})
    assert cli("collections", "optimize", "OptimizeEmpty", *where, "--yes").exit_code == 0


def test_on_one_node_there_is_nothing_to_move(cli: Cli, weaviate: weaviates.Server, docs: str) -> None:
    where = ("--operation", "rebalance", "--cluster", weaviate.url, "--yes", "--json")
    done = cli("collections", "optimize", docs, *where)
    assert (done.exit_code, json.loads(done.stdout)["actions"]) == (0, [])


def test_it_asks_first(cli: Cli, weaviate: weaviates.Server, docs: str) -> None:
    done = cli("collections", "optimize", docs, "--cluster", weaviate.url)
    assert (done.exit_code, "--yes" in done.stderr) == (2, True)


def test_a_collection_that_there_is_not_is_named(cli: Cli, weaviate: weaviates.Server, docs: str) -> None:
    done = cli("collections", "optimize", "OptimizeDoc", "--analyze", "--cluster", weaviate.url)
    assert (done.exit_code, docs in done.stderr) == (7, True)


def test_tenants_are_looked_at_as_they_are(weaviate: weaviates.Server) -> None:
    made = {"class": "OptimizeTenants", "vectorizer": "none", "multiTenancyConfig": {"enabled": True}}
    weaviate.ask("POST", "schema", {**made, "properties": [{"name": "title", "dataType": ["text"]}]})
    cluster = clusters.connect(config.load(), weaviate.url)
    assert tunings.analyze(cluster, "OptimizeTenants").actions == []
    names = [{"name": "on"}, {"name": "off", "activityStatus": "INACTIVE"}]
    weaviate.ask("POST", "schema/OptimizeTenants/tenants", names)
    written = {"class": "OptimizeTenants", "tenant": "on", "properties": {"title": "a"}, "vector": [1, 2]}
    weaviate.ask("POST", "batch/objects", {"objects": [written]})
    found = tunings.analyze(cluster, "OptimizeTenants", "reindex")
    assert found.picture.dimensions == {None: 2}
    steps = improvements.steps_of(found.actions)
    improvements.carry_out(cluster, steps, lambda _: None, 60)
    assert [each.state for each in steps] == (["done", "done"] if NEW else []), steps
    assert api.tenants(cluster, "OptimizeTenants") == {"off": "INACTIVE", "on": "ACTIVE"}


@pytest.mark.skipif(NEW, reason="a newer server can")
def test_what_an_old_server_lacks_is_said_with_the_version(cli: Cli, weaviate: weaviates.Server, docs: str) -> None:
    where = ("--operation", "reindex", "--yes", "--cluster", weaviate.url, "--json")
    done = cli("collections", "optimize", docs, *where)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"], found["done"]) == (4, False, [])
    assert {each["hindrance"] for each in found["actions"]} == {"It needs Weaviate 1.39; this is 1.30.0."}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, need: Callable[..., None]) -> Iterator[list[weaviates.Server]]:
    need(weaviates.program().exists(), f"Weaviate {weaviates.VERSION} is not installed")
    with weaviates.serving(tmp_path_factory.mktemp("three"), nodes=3) as servers:
        yield servers


@pytest.mark.slow
@only_new
def test_replicas_are_moved_until_the_nodes_bear_the_same(cli: Cli, three: list[weaviates.Server]) -> None:
    server = three[0]
    fill(server, "OptimizeSpread", 300, shardingConfig={"desiredCount": 6}, replicationConfig={"factor": 1})
    cluster = clusters.connect(config.load(), server.url)
    for shard, [node] in replication.replicas(cluster, "OptimizeSpread").items():
        if node != "n1":
            replication.begin(cluster, replication.request("OptimizeSpread", shard, node, "n1"))
    gathering = tunings.analyze(cluster, "OptimizeSpread")
    assert all(each.what.startswith("Follow the move") for each in gathering.actions)
    improvements.carry_out(cluster, improvements.steps_of(gathering.actions), lambda _: None, 60)
    assert set(replication.replicas(cluster, "OptimizeSpread").values()) == {("n1",)}

    where = ("--cluster", server.url, "--json", "--yes")
    done = cli("collections", "optimize", "OptimizeSpread", *where)
    found = json.loads(done.stdout)
    assert done.exit_code == 0, done.stderr
    assert found["figures"]["imbalance"] == 1
    there = list(replication.replicas(cluster, "OptimizeSpread").values())
    assert {there.count((node,)) for node in ("n1", "n2", "n3")} == {2}
    assert api.counts(cluster, ["OptimizeSpread"]) == {"OptimizeSpread": 300}
    ids = {each["id"] for each in server.ask("GET", "objects", **{"class": "OptimizeSpread", "limit": 500})["objects"]}
    assert len(ids) == 300
    assert json.loads(cli("collections", "optimize", "OptimizeSpread", *where).stdout)["actions"] == []


@pytest.mark.slow
@only_new
def test_no_node_gets_a_second_replica(three: list[weaviates.Server]) -> None:
    server = three[0]
    fill(server, "OptimizeTwice", 30, shardingConfig={"desiredCount": 1}, replicationConfig={"factor": 3})
    cluster = clusters.connect(config.load(), server.url)
    assert tunings.analyze(cluster, "OptimizeTwice", "rebalance").actions == []


@pytest.mark.slow
@only_new
def test_a_move_that_does_not_begin_runs_out_of_time(cli: Cli, three: list[weaviates.Server]) -> None:
    server = three[0]
    fill(server, "OptimizeStuck", 30, shardingConfig={"desiredCount": 1}, replicationConfig={"factor": 1})
    cluster = clusters.connect(config.load(), server.url)
    [(shard, [node])] = replication.replicas(cluster, "OptimizeStuck").items()
    # The server takes a node that there is not.
    replication.begin(cluster, replication.request("OptimizeStuck", shard, node, "n9"))
    done = cli("collections", "optimize", "OptimizeStuck", "--yes", "--timeout", "1", "--cluster", server.url, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"], found["undone"][0]["state"]) == (9, False, "running")
    assert "goes on in the server" in found["error"]["hint"]


@pytest.mark.slow
@only_new
def test_moves_that_are_switched_off_are_said_to_be(cli: Cli, tmp_path: Path) -> None:
    with weaviates.serving(tmp_path, env={"REPLICA_MOVEMENT_ENABLED": "false"}, nodes=2) as servers:
        fill(servers[0], "OptimizeOff", 30, shardingConfig={"desiredCount": 3}, replicationConfig={"factor": 1})
        where = ("--cluster", servers[0].url, "--json")
        done = cli("collections", "optimize", "OptimizeOff", "--operation", "rebalance", "--analyze", *where)
        found = json.loads(done.stdout)
        assert (done.exit_code, found["figures"]["shards"]) == (0, 3)
        assert found["figures"]["nodes_bear"] in ("shards", "objects")

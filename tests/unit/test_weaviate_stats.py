"""What collections' figures are made of: a listener's text, few requests, two looks, and lines that fit."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import re
from datetime import datetime, timezone
from typing import Any

import pytest
import requests
import responses

from daglab import errors, web
from daglab.settings import config
from daglab.weaviate import api, clusters, rest
from daglab.weaviate.measuring import board, listener, looks, measures, standing

URL = "http://weaviate.test:8080"
METRICS = "http://weaviate.test:2112"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=timezone.utc)


# The listener's text.


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('queue_size{class_name="A",shard_name="s"} 5', {"A": 5.0}),
        ('queue_size{class_name="A"} 5 1700000000000', {"A": 5.0}),
        ('queue_size{class_name="A"} 5 # {trace_id="x"} 0.5', {"A": 5.0}),
        ('queue_size{ class_name="A" , shard_name="s", } 5', {"A": 5.0}),
        ('queue_size{class_name="A}{,\\"\\\\\\n"} 5', {'A}{,"\\\n': 5.0}),
        ('queue_size{class_name="A b=\\"c\\""} 1.5e3', {'A b="c"': 1500.0}),
        ("queue_size 7", {"n/a": 7.0}),
        ("queue_size{} 7", {"n/a": 7.0}),
        ('queue_size{class_name="n/a",shard_name="n/a"} 7', {"n/a": 7.0}),
        ('queue_size{class_name="A"} NaN', {}),
        ('queue_size{class_name="A"} +Inf', {}),
        ('queue_size{class_name="A"} 1e300', {}),
        ('queue_size{class_name="A"}', {}),
        ('queue_size{class_name="A"', {}),
        ('queue_size{class_name="A" 55', {}),
        ('queue_size{class_name="A} 5', {}),
        ("queue_size{class_name=A} 5", {}),
        ('queue_size_of_another{class_name="A"} 5', {}),
        ('# HELP queue_size{class_name="A"} 5', {}),
        ('another{class_name="A"} 5', {}),
        ("queue_size", {}),
        ("", {}),
    ],
)
def test_a_line_of_a_listener(line: str, found: dict[str, float]) -> None:
    assert {name: each.queue for name, each in listener.read(f"other 1\n{line}\nother 2").items()} == found


def test_shards_are_summed_and_parts_kept_apart() -> None:
    found = listener.read(
        "\n".join(
            [
                'lsm_active_segments{class_name="A",path="/a",shard_name="1",strategy="replace"} 2',
                'lsm_active_segments{class_name="A",path="/b",shard_name="2",strategy="replace"} 3',
                'vector_index_operations{class_name="A",operation="create",shard_name="1"} 10',
                'vector_index_operations{class_name="A",operation="delete",shard_name="1"} 4',
                'vector_index_operations{class_name="A",operation="other",shard_name="1"} 99',
                'vector_index_tombstones{class_name="A",shard_name="1"} 4',
                'batch_durations_ms_bucket{class_name="A",operation="object_storage",shard_name="1",le="10"} 1',
                'batch_durations_ms_bucket{class_name="A",operation="object_storage",shard_name="2",le="10"} 2',
                'batch_durations_ms_bucket{class_name="A",operation="vector_storage",shard_name="1",le="+Inf"} 5',
                'batch_durations_ms_bucket{class_name="n/a",operation="total_api_level",shard_name="n/a",le="+Inf"} 6',
                'batch_durations_ms_bucket{class_name="A",operation="object_storage",shard_name="1",le="x"} 9',
                'batch_durations_ms_bucket{class_name="A",operation="object_storage",shard_name="1",le="NaN"} 9',
            ]
        )
    )
    one = found["A"]
    assert (one.segments, one.created, one.deleted, one.tombstones, one.queue) == (5, 10, 4, 4, None)
    assert (one.objects, one.vectors, found["n/a"].batches) == ({0.01: 3}, {math.inf: 5}, {math.inf: 6})


def test_garbage_is_harmless() -> None:
    made = random.Random(1)
    good = 'queries_durations_ms_bucket{class_name="A",query_type="get_graphql",le="10"} 61'
    letters = '{}"\\,= \n\t\0+Infe#NaN-1.5_é漢' + "queue_size" + "class_name"
    for _ in range(3000):
        text = list(good)
        for _ in range(made.randrange(1, 12)):
            text[made.randrange(len(text))] = made.choice(letters)
        noise = "".join(made.choice(letters) for _ in range(made.randrange(200)))
        for each in listener.read(f"{''.join(text)}\nqueue_size{noise}\n{noise}").values():
            assert all(math.isfinite(number) for number in each.queries.values())
            assert each.queue is None or math.isfinite(each.queue)


def test_a_line_without_an_end_is_left_out() -> None:
    long = 'queue_size{class_name="' + "a" * listener.LONGEST + '"} 1'
    many = "queue_size{" + 'a="' * 20_000
    assert listener.read(f'{long}\n{many}\nqueue_size{{class_name="B"}} 2').keys() == {"B"}


@pytest.mark.parametrize(
    ("buckets", "share", "seconds"),
    [
        ({0.01: 10, 0.05: 10, math.inf: 10}, 0.5, 0.005),
        ({0.01: 0, 0.05: 10, math.inf: 10}, 0.5, 0.03),
        ({0.01: 50, 0.05: 100, math.inf: 100}, 0.95, 0.046),
        ({0.01: 0, 0.05: 0, math.inf: 10}, 0.5, 0.05),  # it took longer than any bucket tells
        ({0.01: 0, 0.05: 0, math.inf: 0}, 0.5, None),
        ({0.01: 10}, 0.5, None),
        ({}, 0.5, None),
        ({0.01: 5, 0.05: 3, math.inf: 10}, 0.5, 0.01),  # counts that fall are none
    ],
)
def test_quantiles(buckets: dict[float, float], share: float, seconds: float | None) -> None:
    assert listener.quantile(buckets, share) == (None if seconds is None else pytest.approx(seconds))


def test_quantiles_lie_in_the_bucket_that_holds_them() -> None:
    made = random.Random(2)
    bounds = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, math.inf]
    for _ in range(300):
        took = sorted(made.choice([0.005, 0.03, 0.07, 0.3, 0.7, 3.0]) for _ in range(made.randrange(1, 60)))
        buckets = {bound: float(sum(each <= bound for each in took)) for bound in bounds}
        known = []
        for share in (0.5, 0.95, 0.99):
            exact = took[max(0, math.ceil(share * len(took)) - 1)]
            upper = next(bound for bound in bounds if exact <= bound)
            lower = max([0.0, *(bound for bound in bounds if bound < exact)])
            told = listener.quantile(buckets, share)
            assert told is not None
            assert lower - 1e-9 <= told <= upper + 1e-9
            known.append(told)
        assert known == sorted(known)


def test_what_came_since_an_earlier_look() -> None:
    assert listener.between({0.01: 1, math.inf: 2}, {0.01: 4, math.inf: 9}) == {0.01: 3, math.inf: 7}
    assert listener.between({0.01: 5, math.inf: 9}, {0.01: 1, math.inf: 2}) == {0.01: 1, math.inf: 2}  # a new server


# What is asked, and what is made of the answers.


@pytest.fixture
def served() -> Any:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        yield mocked


class Server:
    """A Weaviate of canned answers, which a test changes before it asks."""

    def __init__(self, mocked: Any, names: list[str]) -> None:
        self.asked: list[str] = []
        self.schemas: dict[str, dict[str, Any]] = {
            name: {"class": name, "vectorIndexType": "hnsw", "shardingConfig": {"actualCount": 1}} for name in names
        }
        self.shards: list[dict[str, Any]] = [self.shard(name) for name in names]
        self.nodes: list[str] = ["n1"]
        self.nodes_later: list[str] | None = None
        self.tenants: dict[str, dict[str, str]] = {}
        self.objects: dict[str, int] = dict.fromkeys(names, 3)
        self.refused: set[str] = set()
        self.nodes_status = 200
        for method in ("GET", "POST"):
            mocked.add_callback(method, re.compile(f"{URL}/.*"), callback=self.answer)

    @staticmethod
    def shard(name: str, node: str = "n1", tenant: str | None = None, **more: Any) -> dict[str, Any]:
        whole = {"class": name, "name": tenant or f"{name}-1", "objectCount": 0, "loaded": True, "vectorQueueLength": 0}
        return {**whole, "vectorIndexingStatus": "READY", "compressed": False, "node": node, **more}

    def answer(self, request: Any) -> tuple[int, dict[str, str], str]:
        path = request.path_url.removeprefix("/v1/")
        self.asked.append(path)
        if path == "graphql":
            return self.graphql(json.loads(request.body)["query"])
        found: Any = {"classes": list(self.schemas.values())}
        if path.startswith("nodes") and self.nodes_status != 200:
            return self.nodes_status, {}, ""
        if path.startswith("nodes"):
            minimal = "minimal" in path
            names = self.nodes_later if minimal and self.nodes_later is not None else self.nodes
            found = {"nodes": [self.node(name, minimal=minimal) for name in names]}
        elif path.endswith("/tenants"):
            there = self.tenants[path.split("/")[1]]
            found = [{"name": name, "activityStatus": status} for name, status in there.items()]
        elif path.startswith("schema/"):
            return 404, {}, ""
        return 200, {}, json.dumps(found)

    def node(self, name: str, *, minimal: bool) -> dict[str, Any]:
        shards = None if minimal else [each for each in self.shards if each["node"] == name]
        return {"name": name, "status": "HEALTHY", "version": "1.39.0", "shards": shards}

    def graphql(self, query: str) -> tuple[int, dict[str, str], str]:
        kind = "Aggregate" if "Aggregate" in query else "Get"
        data: dict[str, Any] = {}
        problems = []
        for key, name, rest_of in re.findall(r"(c\d+): (\w+)(\([^)]*\))?", query):
            if name in self.refused:
                data[key] = None
                problems.append({"message": f"{name} is broken", "path": [kind, key]})
            elif kind == "Aggregate":
                data[key] = [{"meta": {"count": self.objects[name]}}]
            else:
                data[key] = [{"_additional": {"vector": [0.5] * 8, "vectors": {"m": [[1, 2], [3, 4]], "a": []}}}]
            assert rest_of is not None
        found = {"data": {kind: data}, **({"errors": problems} if problems else {})}
        return 200, {}, json.dumps(found)


def cluster(metrics: str | None = None) -> rest.Cluster:
    found = clusters.connect(config.load({}, environ={}), URL)
    return rest.Cluster(found.name, found.url, found.session, metrics)


def test_many_collections_take_five_requests(served: Any) -> None:
    """One for all each: the schema, the nodes with their shards, the counts, the vectors, the nodes that are left."""
    server = Server(served, [f"C{number:02}" for number in range(50)])
    found = measures.collect(cluster())
    assert len(found) == 50
    assert {each.objects for each in found} == {3}
    assert {each.vectors for each in found} == {(measures.Vector(None, 8, "hnsw"),)}
    assert sorted(server.asked) == ["graphql", "graphql", "nodes?output=minimal", "nodes?output=verbose", "schema"]


def test_known_vectors_are_not_asked_for_again(served: Any) -> None:
    server = Server(served, ["A", "B"])
    first = looks.take(cluster())
    del server.asked[:]
    second = looks.take(cluster(), None, first)
    assert server.asked.count("graphql") == 1
    assert [each.found.measures[0].vectors[0].dimensions for each in (first, second) if each.found] == [8, 8]


def test_what_can_not_be_counted_is_named_and_the_rest_is_there(served: Any) -> None:
    server = Server(served, ["Bad", "Good"])
    server.refused = {"Bad"}
    bad, good = measures.collect(cluster())
    assert (bad.objects, good.objects) == (None, 3)
    assert "Bad is broken" in (bad.problem or "")
    assert (bad.vectors[0].dimensions, good.vectors[0].dimensions) == (None, 8)


def test_the_count_of_a_cluster_that_lost_a_node_is_none(served: Any) -> None:
    """Its Aggregate leaves out the shards of that node, and says nothing of it."""
    server = Server(served, ["A", "B"])
    server.schemas["A"]["shardingConfig"]["actualCount"] = 3
    one, other = measures.collect(cluster())
    assert (one.objects, one.absent, one.shards, other.objects) == (None, 2, 3, 3)
    assert "2 of the 3 shards of A" in (one.problem or "")


def test_a_node_that_leaves_between_the_requests_is_seen(served: Any) -> None:
    server = Server(served, ["A"])
    server.nodes, server.nodes_later = ["n1", "n2"], ["n2"]
    [found] = measures.collect(cluster())
    assert (found.objects, found.absent) == (None, 1)


def test_replicas_are_counted_once(served: Any) -> None:
    server = Server(served, ["A"])
    server.nodes = ["n1", "n2"]
    server.schemas["A"]["replicationConfig"] = {"factor": 2}
    server.shards = [server.shard("A", "n1", vectorQueueLength=5), server.shard("A", "n2", vectorQueueLength=7)]
    [found] = measures.collect(cluster())
    assert (found.objects, found.shards, found.replicas, found.nodes, found.queue) == (3, 1, 2, ("n1", "n2"), 7)


def test_a_shard_that_is_not_loaded_has_no_figures(served: Any) -> None:
    server = Server(served, ["A"])
    server.shards = [server.shard("A", loaded=False)]
    [found] = measures.collect(cluster())
    assert (found.unloaded, found.queue, found.compressed, found.objects) == (1, None, None, 3)


def test_tenants(served: Any) -> None:
    server = Server(served, ["A"])
    server.schemas["A"]["multiTenancyConfig"] = {"enabled": True}
    server.tenants["A"] = {"x": "HOT", "y": "COLD", "z": "ACTIVE"}
    server.shards = [server.shard("A", tenant="x"), server.shard("A", tenant="z")]
    [found] = measures.collect(cluster())
    assert (found.objects, found.uncounted, found.tenants) == (6, 1, {"ACTIVE": 2, "INACTIVE": 1})
    server.shards = server.shards[:1]  # of z, no node knows
    [found] = measures.collect(cluster())
    assert (found.objects, found.absent) == (None, 1)


def test_named_vectors_and_vectors_of_several(served: Any) -> None:
    server = Server(served, ["A"])
    del server.schemas["A"]["vectorIndexType"]
    server.schemas["A"]["vectorConfig"] = {"a": {"vectorIndexType": "flat"}, "m": {"vectorIndexType": "hnsw"}}
    [found] = measures.collect(cluster())
    assert found.vectors == (measures.Vector("a", None, "flat"), measures.Vector("m", 2, "hnsw"))


def test_nodes_that_are_not_told(served: Any) -> None:
    Server(served, ["A"]).nodes_status = 403
    found = measures.look(cluster())
    assert found.nodes is None
    assert "403" in (found.problem or "")
    assert (found.measures[0].objects, found.measures[0].shards) == (3, None)


def test_a_name_that_there_is_not(served: Any) -> None:
    Server(served, ["Docs"])
    with pytest.raises(rest.Missing) as caught:
        measures.collect(cluster(), ["Dosc"])
    assert "Docs" in str(caught.value.hint)
    assert measures.look(cluster(), ["Dosc"], strict=False).measures == []


# Looks, and what stands on a screen.


def measure(name: str, objects: int | None, **more: Any) -> measures.Measure:
    whole: dict[str, Any] = {"problem": None, "tenants": None, "uncounted": 0, "shards": 1, "unloaded": 0, "absent": 0}
    whole |= {"statuses": {"READY": 1}, "replicas": 1, "nodes": ("n1",), "queue": 0, "compressed": False}
    return measures.Measure(name=name, objects=objects, vectors=(), **{**whole, **more})


def look(*found: measures.Measure, **more: Any) -> looks.Look:
    nodes = [api.Node("n1", "HEALTHY", "1.39.0")]
    connected = rest.Cluster("main", URL, web.plain({}, timeout=1, largest=10), METRICS)
    return looks.Look(connected, NOW, more.pop("moment", 10.0), measures.Found(nodes, None, list(found)), **more)


@pytest.mark.parametrize(
    ("made", "word"),
    [
        ({}, "ok"),
        ({"unloaded": 1}, "ok"),
        ({"queue": 11}, "queue"),
        ({"statuses": {"INDEXING": 1}}, "ok"),
        ({"statuses": {"READY": 1, "READONLY": 1}}, "read-only"),
        ({"statuses": {"LOADING": 1}}, "not ready"),
        ({"absent": 1}, "not ready"),
        ({"problem": "x"}, "not ready"),
        ({"nodes": ("n1", "ill")}, "not ready"),
    ],
)
def test_how_a_collection_is(made: dict[str, Any], word: str) -> None:
    nodes = [api.Node("n1", "HEALTHY", "1"), api.Node("ill", "TIMEOUT", None)]
    assert looks.health(measure("A", 1, **made), nodes, 10) == word


def test_a_look_that_failed_does_not_call_a_collection_well() -> None:
    failed = look(measure("A", 1), error=errors.Unreachable("gone"))
    assert looks.state(failed, measure("A", 1), 10) == looks.NO_ANSWER
    [said] = looks.document(failed, 10)["collections"]
    assert said["health"] == "no answer"
    assert "no answer" in board.basic(failed, 10)[1][0]


@pytest.mark.parametrize(("status", "absent"), [("HEALTHY", 0), ("UNHEALTHY", 0), ("TIMEOUT", 1), ("UNAVAILABLE", 1)])
def test_a_node_that_is_lost_while_objects_are_counted_has_not_been_counted(status: str, absent: int) -> None:
    there = [api.Shard("A", name, node, 1, True, "READY", 0, False) for name, node in (("s1", "n1"), ("s2", "n2"))]
    nodes = [api.Node("n1", "HEALTHY", "1", (there[0],)), api.Node("n2", status, "1", (there[1],))]
    schema = {"class": "A", "shardingConfig": {"actualCount": 2}}
    found = measures._measure(cluster(), schema, nodes, None, 5, {})
    assert (found.absent, found.objects) == (absent, None if absent else 5)


def test_rates_are_of_what_both_looks_could_count() -> None:
    before = look(measure("A", 100), measure("B", None), measure("C", 5), measure("D", 0), moment=10.0)
    now = [measure("A", 150), measure("B", 5), measure("C", 7, uncounted=1), measure("D", 4), measure("New", 1)]
    found = looks._changes(before, look(*now).found, 20.0)  # type: ignore[arg-type]
    assert found == {"A": looks.Change(5.0, 50.0), "D": looks.Change(0.4, None)}
    assert looks._changes(None, look(*now).found, 20.0) is None  # type: ignore[arg-type]


def test_latencies_are_of_the_last_minute_once_there_is_an_earlier_look() -> None:
    first = {"A": listener.Figures(queries={0.01: 0, 0.05: 10, math.inf: 10})}
    now = {"A": listener.Figures(queries={0.01: 4, 0.05: 14, math.inf: 14})}
    alone, later = look(told=first), look(told=now, recent=((0.0, first),))
    assert looks.latencies(alone, "A", "queries") == {"n": 10, "p50": 0.03, "p95": 0.048, "p99": pytest.approx(0.0496)}
    assert looks.latencies(later, "A", "queries") == {"n": 4, "p50": 0.005, "p95": 0.0095, "p99": 0.0099}
    assert looks.latencies(later, "B", "queries") is None


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("height", [5, 8, 15, 24])
def test_the_screen_fits(width: int, height: int) -> None:
    many = [measure(f"A_very_long_name_of_a_collection_{number}", 10**9 + number) for number in range(60)]
    bad = measure("Bad\x1b[31m\n", None, problem="It can't be counted. " * 20)
    one = {"at": NOW.isoformat(), "command": "collections copy", "ok": True, "error_code": None, "exit_code": 0}
    done = [{**one, "seconds": 2.0, "target": "A\n -> B"}] * 9
    looked = [look(*many, bad, changes={}), look(error=errors.Unreachable("Nothing answers. " * 9))]
    found = board.screen(looked, done, NOW, 10, width, height)
    assert max(map(len, found)) <= width
    assert not any("\x1b" in line or "\n" in line for line in found)
    assert found[-1] != "Last operations"
    if height == 24:
        assert len(found) <= height
        assert any("more" in line for line in found)
    assert len(board.screen(looked, done, NOW, 10, width)) > 60
    for metrics in ("all", "basic", board.PERFORMANCE):
        assert max(map(len, board.lines(looked[0], 10, metrics, width))) <= width


def test_what_is_ill_comes_first() -> None:
    found = board.screen([look(measure("A", 1), measure("Z", 1, statuses={"READONLY": 1}))], [], NOW, 10, 80)
    rows = [line.split()[0] for line in found if line.startswith(("A ", "Z "))]
    assert rows == ["Z", "A"]


def test_clusters_that_do_not_answer_are_a_state(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Server(served, [f"C{number:02}" for number in range(30)])
    served.add("GET", "http://gone.test/v1/schema", body=requests.ConnectionError("no"))
    environ = {
        "DAGLAB_WEAVIATE__CLUSTERS": json.dumps(
            [{"name": "up", "url": URL}, {"name": "gone", "url": "http://gone.test"}]
        )
    }
    found = standing.collect(config.load({}, environ=environ), 5.0)
    assert [(each["name"], each["state"], each["total"]) for each in found] == [
        ("up", "up", 30),
        ("gone", "unreachable", None),
    ]
    assert [len(each["collections"]) for each in found] == [20, 0]


@pytest.mark.parametrize(("most", "word"), [("0", "queue"), ("9", "ok")])
def test_how_long_a_queue_may_be_is_configured(served: Any, most: str, word: str) -> None:
    server = Server(served, ["A"])
    server.shards = [server.shard("A", vectorQueueLength=5)]
    environ = {
        "DAGLAB_WEAVIATE__CLUSTERS": json.dumps([{"name": "up", "url": URL}]),
        "DAGLAB_WEAVIATE__MAX_QUEUE": most,
    }
    [found] = standing.collect(config.load({}, environ=environ), 5.0)
    assert found["collections"][0]["health"] == word


def test_a_look_that_fails_still_shows_what_was_found_last(servers: list[Any], sides: tuple[Any, Any]) -> None:
    servers[0].make("Docs")
    servers[0].put("Docs", 1)
    connected = looks.hasty(sides[0].cluster, 0.1)
    assert connected.session.timeout < sides[0].cluster.session.timeout
    first = looks.attempt(connected, None, None)
    assert (first.error, [each.objects for each in first.found.measures]) == (None, [1])  # type: ignore[union-attr]

    def on(*_: str) -> None:
        raise requests.ConnectionError("gone")

    servers[0].on = on
    later = looks.attempt(connected, None, first)
    assert later.found == first.found
    assert isinstance(later.error, errors.Unreachable)
    assert looks.attempt(connected, None, None).found is None


def test_a_listener_that_is_silent_is_told_beside_the_figures(
    servers: list[Any], sides: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers[0].make("Docs")
    connected = dataclasses.replace(sides[0].cluster, metrics=METRICS)
    problem: list[Exception] = [errors.Unreachable("nobody listens", "")]

    def fetch(*_: Any) -> None:
        raise problem[0]

    monkeypatch.setattr(looks.listener, "fetch", fetch)
    found = looks.take(connected)
    assert (found.told, found.untold) == (None, "nobody listens")
    assert looks.document(found, 10)["listener"]["answers"] is False
    problem[0] = KeyError("a bug")
    with pytest.raises(KeyError):
        looks.take(connected)


def test_a_fault_of_our_own_is_no_state_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(standing.api, "schemas", fail)
    environ = {"DAGLAB_WEAVIATE__CLUSTERS": json.dumps([{"name": "up", "url": URL}])}
    with pytest.raises(ZeroDivisionError, match="ours"):
        standing.collect(config.load({}, environ=environ), 5.0)

"""`daglab collections health` on a real Weaviate: injected faults are told, and those that can be are fixed."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab.settings import config
from daglab.weaviate import api, clusters, journals, rest
from daglab.weaviate.examining import diagnoses, repairs, samples, vitals
from tests import weaviates

pytestmark = pytest.mark.long

Cli = Callable[..., Any]
REASON = f"Weaviate {weaviates.VERSION} is not installed"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, need: Callable[[object, str], None]) -> Iterator[weaviates.Server]:
    """A server of its own: all of its collections are looked at, and put right."""
    need(weaviates.program().exists(), REASON)
    with weaviates.serving(tmp_path_factory.mktemp("alone")) as [server]:
        yield server


@pytest.fixture(scope="module")
def three(
    tmp_path_factory: pytest.TempPathFactory, need: Callable[[object, str], None]
) -> Iterator[list[weaviates.Server]]:
    need(weaviates.program().exists(), REASON)
    with weaviates.serving(tmp_path_factory.mktemp("three"), nodes=3) as servers:
        yield servers


def make(server: weaviates.Server, name: str, *, tenants: dict[str, str] | None = None, **more: Any) -> list[str]:
    """A collection of 30 objects, of each tenant where there are some; their ids."""
    server.ask("DELETE", f"schema/{name}")
    multi = {"multiTenancyConfig": {"enabled": True}} if tenants else {}
    properties = [{"name": "n", "dataType": ["int"]}, {"name": "other", "dataType": [name]}]
    server.ask("POST", "schema", {"class": name, "vectorizer": "none", "properties": properties[:1], **multi, **more})
    server.ask("POST", f"schema/{name}/properties", properties[1])
    if tenants:
        server.ask("POST", f"schema/{name}/tenants", [{"name": each} for each in tenants])
    made, ids = random.Random(name), []
    for tenant in tenants or [None]:
        some = [str(uuid.UUID(int=made.getrandbits(128), version=4)) for _ in range(30)]
        write(server, name, some, [1.0, 2.0, 3.0], tenant)
        ids += some
    for tenant, state in (tenants or {}).items():
        if state != "ACTIVE":
            server.ask("PUT", f"schema/{name}/tenants", [{"name": tenant, "activityStatus": state}])
    return ids


def write(
    server: weaviates.Server, name: str, ids: list[str], vector: list[float] | None, tenant: str | None = None
) -> None:
    of = {**({"vector": vector} if vector else {}), **({"tenant": tenant} if tenant else {})}
    body = {"objects": [{"class": name, "id": each, "properties": {"n": 1}, **of} for each in ids]}
    assert [each["result"].get("errors") for each in server.ask("POST", "batch/objects", body)] == [None] * len(ids)


def shards(server: weaviates.Server, name: str) -> dict[str, set[str]]:
    """The states of each shard on its nodes."""
    found: dict[str, set[str]] = {}
    for node in server.ask("GET", f"nodes/{name}", output="verbose")["nodes"]:
        for each in node.get("shards") or []:
            found.setdefault(each["name"], set()).add(each["vectorIndexingStatus"])
    return found


def healthy(server: weaviates.Server) -> int:
    """How many nodes are healthy; 1.30 answers 500 until it has noticed that one is gone."""
    told = requests.get(f"{server.url}/v1/nodes", timeout=60)
    return [each["status"] for each in told.json()["nodes"]].count("HEALTHY") if told.ok else -1


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def freeze(server: weaviates.Server, name: str, *only: str) -> list[str]:
    """Make shards READONLY; which."""
    frozen = list(only or shards(server, name))
    for each in frozen:
        server.ask("PUT", f"schema/{name}/shards/{each}", {"status": "READONLY"})
    return frozen


def work_of(server: weaviates.Server, name: str, kind: str = "migrate") -> dict[str, str]:
    return {"kind": kind, "collection": name, "source": server.url, "target": "http://other:8080", "as": name}


def killed(root: Path, work: dict[str, str], *stages: dict[str, Any]) -> None:
    """The journal that a killed work leaves."""
    with journals.opened(root, work) as journal:
        for each in stages:
            journal.note(**each)


def looked(server: weaviates.Server, root: Path, only: str | None = None) -> vitals.Look:
    limits = vitals.Limits(500, 10_000)
    return vitals.Look(vitals.bounded(clusters.connect(config.load(), server.url), 10), root, limits, only)


def checks(document: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    [found] = [each for each in document["collections"] if each["name"] == name]
    return {each["name"]: each for each in found["checks"]}


def test_what_is_well_is_said_to_be_well(weaviate: weaviates.Server, cli: Cli) -> None:
    make(weaviate, "HealthWell")
    done = cli("collections", "health", "HealthWell", "--cluster", weaviate.url, "--json", "--timeout", "20")
    found = json.loads(done.stdout)
    said = checks(found, "HealthWell")
    assert {name: each["status"] for name, each in said.items()} == {
        "availability": "ok",
        "shards": "ok",
        "tenants": "skipped",
        "replicas": "skipped",
        "queue": "ok",
        "integrity": "ok",
        "performance": "skipped",
    }
    assert said["availability"]["detail"] == "30 objects"
    assert said["integrity"]["detail"] == "30 objects looked at (all)"
    assert [each["name"] for each in found["cluster"]] == list(diagnoses.OF_CLUSTER)
    assert done.exit_code in (0, 4)  # the cluster is shared: a test may have left something in it


def test_a_name_that_is_wrong_names_the_nearest(weaviate: weaviates.Server, cli: Cli) -> None:
    make(weaviate, "HealthWell")
    done = cli("collections", "health", "HealthWel", "--cluster", weaviate.url)
    assert done.exit_code == 7
    assert "HealthWell" in done.stderr


def test_what_is_wrong_with_objects_is_told_and_not_changed(weaviate: weaviates.Server, tmp_path: Path) -> None:
    ids = make(weaviate, "HealthBroken")
    write(weaviate, "HealthBroken", [str(uuid.uuid4()) for _ in range(3)], None)
    beacon = "weaviate://localhost/HealthBroken/"
    to = [ids[1], str(uuid.uuid4()), "x"]
    added = [{"from": f"{beacon}{ids[0]}/other", "to": f"{beacon}{each}"} for each in to[:2]]
    weaviate.ask("POST", "batch/references", added)
    look = looked(weaviate, tmp_path, "HealthBroken")
    found = diagnoses.of_collection(look, "HealthBroken").checks["integrity"]
    assert found.status == "degraded"
    assert "33 objects looked at (all): 3 without a vector; 1 of 2 references lead nowhere" in found.detail
    assert repairs.plan(look, ["HealthBroken"], force=False).repairs == []


def test_a_sample_is_from_all_over_the_ids(weaviate: weaviates.Server) -> None:
    weaviate.ask("DELETE", "schema/HealthMany")
    weaviate.ask("POST", "schema", {"class": "HealthMany", "vectorizer": "none"})
    many = [str(uuid.UUID(int=(0x019A << 112) + (n << 70))) for n in range(1000)]  # they begin alike, as by the time
    write(weaviate, "HealthMany", many, [1.0, 2.0])
    cluster = clusters.connect(config.load(), weaviate.url)
    found, is_all = samples.spread(cluster, "HealthMany", None, 200, random.Random(3))
    places = [many.index(str(each["id"])) for each in found]
    assert (len(set(places)), is_all) == (200, False)
    assert {place // 250 for place in places} == {0, 1, 2, 3}


def test_slow_queries_and_a_listener_that_is_gone_are_told(weaviate: weaviates.Server, cli: Cli) -> None:
    make(weaviate, "HealthSlow")
    for _ in range(3):
        weaviate.ask("POST", "graphql", {"query": "{Get{HealthSlow(limit: 30){n}}}"})
    entry = {"name": "main", "url": weaviate.url, "metrics": weaviate.metrics}
    env = {"DAGLAB_WEAVIATE__CLUSTERS": json.dumps([entry]), "DAGLAB_WEAVIATE__MAX_QUERY_MS": "0.001"}
    done = cli("collections", "health", "HealthSlow", "--json", env=env)
    assert done.exit_code == 4
    assert "0.001 ms are allowed" in checks(json.loads(done.stdout), "HealthSlow")["performance"]["detail"]
    entry["metrics"] = "http://127.0.0.1:9"
    env["DAGLAB_WEAVIATE__CLUSTERS"] = json.dumps([entry])
    found = checks(json.loads(cli("collections", "health", "HealthSlow", "--json", env=env).stdout), "HealthSlow")
    assert found["performance"]["status"] == "degraded"
    assert found["performance"]["detail"].startswith("It can't be told")


def break_shards(alone: weaviates.Server) -> None:
    """Five faults: of shards."""
    sharded = {"shardingConfig": {"desiredCount": 3}}
    active = {"a": "ACTIVE", "b": "ACTIVE", "c": "INACTIVE"}
    make(alone, "One")
    freeze(alone, "One")
    make(alone, "All", **sharded)
    freeze(alone, "All")
    make(alone, "Some", **sharded)
    freeze(alone, "Some", next(iter(shards(alone, "Some"))))
    make(alone, "Tenant", tenants=active)
    freeze(alone, "Tenant", "a")
    make(alone, "Tenants", tenants=active)
    freeze(alone, "Tenants", "a", "b")


def break_works(alone: weaviates.Server, root: Path) -> None:
    """Five faults: what killed works have left."""
    active = {"a": "ACTIVE", "b": "ACTIVE", "c": "INACTIVE"}
    make(alone, "Moved")
    before = dict.fromkeys(freeze(alone, "Moved"), "READY")
    killed(root, work_of(alone, "Moved"), {"stage": "frozen", "shards": before})
    make(alone, "MovedTenants", tenants=active)
    before = dict.fromkeys(freeze(alone, "MovedTenants"), "READY")
    killed(root, work_of(alone, "MovedTenants"), {"stage": "frozen", "shards": before})
    make(alone, "LeftActive", tenants={"a": "ACTIVE"})
    killed(
        root,
        work_of(alone, "LeftActive", "copy"),
        {"stage": "activated", "tenant": "a", "status": "INACTIVE"},
    )
    make(alone, "LeftInactive", tenants={"a": "INACTIVE", "b": "INACTIVE"})
    killed(
        root,
        work_of(alone, "LeftInactive", "copy"),
        {"stage": "activated", "tenant": "a", "status": "ACTIVE"},
        {"stage": "activated", "tenant": "b", "status": "ACTIVE"},
        {"stage": "put back", "tenant": "b"},
    )
    killed(root, work_of(alone, "Gone"))


def test_faults_that_have_a_safe_fix_are_fixed(alone: weaviates.Server, cli: Cli, tmp_path: Path) -> None:
    """Ten faults at a time in one cluster; and what a migration that is running holds stays as it is."""
    break_shards(alone)
    break_works(alone, tmp_path)
    make(alone, "Held")
    before = dict.fromkeys(freeze(alone, "Held"), "READY")

    with journals.opened(tmp_path, work_of(alone, "Held")) as running:
        running.note("frozen", shards=before)
        told = cli("collections", "health", "--cluster", alone.url, "--fix", "--dry-run", "--json", "--timeout", "20")
        assert shards(alone, "One").popitem()[1] == {"READONLY"}
        done = cli("collections", "health", "--cluster", alone.url, "--fix", "--yes", "--json", "--timeout", "20")
    found = json.loads(done.stdout)
    assert json.loads(told.stdout)["planned"] == found["planned"]
    assert json.loads(told.stdout)["fixed"] == []
    assert [each["what"] for each in found["not_fixed"]] == [
        f"shard {next(iter(before))} of Held, READONLY on n1",
    ]
    fixed = {each["collection"] for each in found["fixed"]}
    assert fixed == {
        "One", "All", "Some", "Tenant", "Tenants", "Moved", "MovedTenants", "LeftActive", "LeftInactive", "Gone"
    }  # fmt: skip
    for name in ("One", "All", "Some", "Tenant", "Tenants", "Moved", "MovedTenants"):
        assert set().union(*shards(alone, name).values()) == {"READY"}, name
    assert shards(alone, "Held").popitem()[1] == {"READONLY"}
    cluster = clusters.connect(config.load(), alone.url)
    assert api.tenants(cluster, "LeftActive") == {"a": "INACTIVE"}
    assert api.tenants(cluster, "LeftInactive") == {"a": "ACTIVE", "b": "INACTIVE"}
    assert not journals.frozen_shards(journals.lines_of(tmp_path / journals.FOLDER / folder(alone, "Moved")))
    assert not (tmp_path / journals.FOLDER / folder(alone, "Gone")).exists()
    assert (done.exit_code, found["status"]) == (4, "degraded")  # killed works are to be ended
    said = {each["name"]: each["detail"] for each in found["cluster"]}
    assert "copy of LeftActive" in said["leftovers"]
    assert {each["name"]: each["status"] for each in found["collections"]} == dict.fromkeys(
        ["All", "Held", "LeftActive", "LeftInactive", "Moved", "MovedTenants", "One", "Some", "Tenant", "Tenants"],
        "healthy",
    )
    freeze(alone, "Held", *before)  # it was READONLY all the time, and is one for the next test


def folder(server: weaviates.Server, name: str) -> str:
    return journals.name_of(work_of(server, name))


def test_a_killed_migration_is_named_with_what_ends_it(alone: weaviates.Server, cli: Cli, tmp_path: Path) -> None:
    make(alone, "Named")
    killed(tmp_path, work_of(alone, "Named"), {"stage": "frozen", "shards": dict.fromkeys(freeze(alone, "Named"), "X")})
    done = cli("collections", "health", "Named", "--cluster", alone.url)
    assert done.exit_code == 4
    assert "A migration to http://other:8080 was killed and has left Named READONLY" in done.stdout
    assert "daglab collections migrate Named --target http://other:8080 --resume" in done.stderr
    assert "--abort" in done.stderr
    assert "Named" in cli("collections", "health", "--cluster", alone.url, "--detailed").stdout
    alone.ask("DELETE", "schema/Named")


def test_nobody_is_asked_without_a_terminal(alone: weaviates.Server, cli: Cli) -> None:
    make(alone, "Asked")
    freeze(alone, "Asked")
    done = cli("collections", "health", "Asked", "--cluster", alone.url, "--fix")
    assert done.exit_code == 2
    assert "--yes" in done.stderr
    assert shards(alone, "Asked").popitem()[1] == {"READONLY"}
    wrong = cli("collections", "health", "Asked", "--cluster", alone.url, "--dry-run")
    assert (wrong.exit_code, "--fix" in wrong.stderr) == (2, True)
    alone.ask("DELETE", "schema/Asked")


def test_a_cluster_that_does_not_answer_is_down(cli: Cli) -> None:
    done = cli("collections", "health", "--cluster", "http://127.0.0.1:9", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["status"], found["collections"]) == (5, "down", [])
    assert found["error"]["code"] == "unreachable"


def test_a_server_that_seems_short_of_disk_is_left_alone(alone: weaviates.Server, cli: Cli) -> None:
    """It makes all shards that it has loaded read-only, once, and does not look again when one is made READY."""
    for each in alone.ask("GET", "schema")["classes"]:
        alone.ask("DELETE", f"schema/{each['class']}")
    for name in ("A", "B"):
        make(alone, name)
        freeze(alone, name)
    done = cli("collections", "health", "--cluster", alone.url, "--fix", "--yes", "--json", "--timeout", "20")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["fixed"], len(found["not_fixed"])) == (4, [], 2)
    assert "disk or memory seems short" in found["not_fixed"][0]["why"]
    assert {each["name"]: each["status"] for each in found["cluster"]}["resources"] == "degraded"
    done = cli("collections", "health", "--cluster", alone.url, "--fix", "--force", "--yes", "--json")
    assert len(json.loads(done.stdout)["fixed"]) == 2


@pytest.mark.slow
def test_a_node_that_is_gone_and_comes_back(three: list[weaviates.Server], cli: Cli, tmp_path: Path) -> None:
    first, _, third = three
    make(first, "Copied", replicationConfig={"factor": 3, "asyncEnabled": False})
    make(first, "Single", shardingConfig={"desiredCount": 3}, replicationConfig={"factor": 1})
    freeze(first, "Copied")
    done = cli("collections", "health", "Copied", "--cluster", first.url, "--fix", "--yes", "--json", "--timeout", "20")
    assert json.loads(done.stdout)["not_fixed"] == []
    assert done.exit_code == 0, done.stdout
    assert shards(first, "Copied").popitem()[1] == {"READY"}

    third.kill()
    until(lambda: healthy(first) == 2)
    done = cli("collections", "health", "--cluster", first.url, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["status"]) == (5, "down")
    told = "N3 can't be asked" if weaviates.VERSION == weaviates.OLDEST else "n3 UNAVAILABLE"  # 1.30 lists it no more
    assert told in " ".join(each["detail"] for each in found["cluster"])
    copied, single = checks(found, "Copied"), checks(found, "Single")
    assert copied["shards"]["status"] == "ok"
    assert (copied["replicas"]["status"], "2 of 3" in copied["replicas"]["detail"]) == ("degraded", True)
    assert single["shards"]["detail"] == "1 of 3 shards are on no node that answers."

    added = [str(uuid.uuid4()) for _ in range(40)]
    write(first, "Copied", added, [1.0, 2.0, 3.0])
    third.start()
    until(lambda: healthy(first) == 3)
    nodes = {None: ["n1", "n2", "n3"]}
    cluster = clusters.connect(config.load(), first.url)
    lacks = samples.lacking_copies(cluster, "Copied", [(each, None) for each in added], nodes)
    assert set(lacks) <= {"n3"}
    if lacks.get("n3") == 40:  # nobody has repaired them yet
        found = diagnoses.of_collection(looked(first, tmp_path, "Copied"), "Copied").checks["replicas"]
        assert (found.status, "n3 lacks" in found.detail) == ("degraded", True)


@pytest.mark.slow
def test_without_a_leader_it_is_down(three: list[weaviates.Server], cli: Cli) -> None:
    first, *others = three
    make(first, "Leaderless", replicationConfig={"factor": 3})
    for each in others:
        each.kill()
    try:
        until(lambda: requests.get(f"{first.url}/v1/.well-known/ready", timeout=20).status_code == 503)
        done = cli("collections", "health", "Leaderless", "--cluster", first.url, "--json", "--timeout", "3")
        found = json.loads(done.stdout)
        assert (done.exit_code, found["status"]) == (5, "down")
        assert {each["name"]: each["status"] for each in found["cluster"]}["nodes"] == "down"
        assert "not ready" in found["cluster"][0]["detail"]
    finally:
        for each in others:
            each.begin()
        for each in others:
            each.wait()


def test_health_asks_a_server_that_cuts_a_check_short(weaviate: weaviates.Server, tmp_path: Path) -> None:
    make(weaviate, "HealthCut")
    look = looked(weaviate, tmp_path, "HealthCut")
    look.answers["sample HealthCut"] = rest.Failed("cut", "x")
    found = diagnoses.of_collection(look, "HealthCut").checks
    assert (found["integrity"].status, found["availability"].status) == ("degraded", "ok")

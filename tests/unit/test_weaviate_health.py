"""What is said of what a Weaviate has told: every judgement of `daglab collections health`, without a server."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import responses

from daglab import errors
from daglab.checks import findings
from daglab.commands.collection import health
from daglab.settings import config
from daglab.weaviate import api, clusters, journals, rest
from daglab.weaviate.examining import diagnoses, judgements, repairs, samples, vitals


def shard(name: str = "s", node: str = "n1", status: str | None = "READY", **more: Any) -> api.Shard:
    given = {"collection": "C", "objects": 1, "loaded": True, "queue": 0, "compressed": False, **more}
    return api.Shard(name=name, node=node, indexing=status, **given)


def work(kind: str = "migrate", *, running: bool = False, **more: Any) -> vitals.Work:
    said = {"kind": kind, "collection": "C", "source": "http://a", "target": "http://b"}
    return vitals.Work(Path("x"), said, running, more.get("frozen", {}), more.get("tenants", {}))


def begun(**said: Any) -> vitals.Work:
    return vitals.Work(Path("x"), {"collection": "C", "source": "http://a", **said}, False, {}, {})


@pytest.mark.parametrize(
    ("said", "command"),
    [
        ({"kind": "migrate", "target": "http://b", "as": "C"}, "migrate C --target http://b --resume"),
        ({"kind": "migrate", "target": "http://b", "as": "D"}, "migrate C --target http://b --as D --resume"),
        ({"kind": "copy", "target": "http://a", "to": "D"}, "copy C D"),
        ({"kind": "copy", "target": "http://b", "to": "D"}, "copy C D --target http://b"),
        ({"kind": "backup", "output": "/there"}, "backup C --output /there"),
        ({"kind": "restore", "source": None, "file": "/f.gz"}, "restore /f.gz --as C"),
    ],
)
def test_what_ends_a_killed_work_is_a_command_that_there_is(said: dict[str, Any], command: str) -> None:
    assert f"`daglab collections {command}`" in judgements.how_to_end(begun(**said))


def node(name: str, *shards: api.Shard, status: str = "HEALTHY", version: str | None = "1.39.0") -> api.Node:
    return api.Node(name, status, version, shards)


def member(name: str, applied: str = "5", leader: str = "n1", status: str = "HEALTHY") -> vitals.Raft:
    return vitals.Raft(name, status, "Follower", leader, applied, True)


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        (judgements.nodes(True, [node("n1")]), "ok", "1 node HEALTHY"),
        (judgements.nodes(True, [node("n1"), node("n2", status="UNAVAILABLE")]), "degraded", "n2 UNAVAILABLE"),
        (judgements.nodes(False, [node("n1")]), "down", "503"),
        (judgements.availability("3 objects", True, [node("n2", status="TIMEOUT")]), "degraded", "n2 TIMEOUT"),
        (judgements.availability("3 objects", False, []), "down", "not ready"),
        (judgements.consensus(True, [member("n1"), member("n2")], [], []), "ok", "leader n1"),
        (judgements.consensus(True, [member("n1"), member("n2", "4")], [], []), "degraded", "n1 5, n2 4"),
        (judgements.consensus(True, [member("n1", leader="")], [], []), "degraded", "No node knows of a leader"),
        (judgements.consensus(True, [member("n1"), member("n2", leader="n2")], [], []), "degraded", "n1, n2"),
        (
            judgements.consensus(True, [member("n1")], [node("n1"), node("n2", version="1.38.0")], []),
            "degraded",
            "1.38",
        ),
        (judgements.consensus(True, [member("n1")], [], ["Docs"]), "degraded", "another schema"),
        (judgements.consensus(False, [member("n1")], [], []), "degraded", "not synchronized"),
        (judgements.consensus(True, [member("n1"), member("n2", status="TIMEOUT")], [], []), "degraded", "N2 can't be"),
        (judgements.shards("C", [shard()], 1, []), "ok", "1 shard"),
        (judgements.shards("C", [shard(status="LAZY_LOADING", loaded=False)], 1, []), "ok", "1 replica not loaded"),
        (judgements.shards("C", [shard(status="READONLY")], 1, []), "degraded", "shard s is READONLY on n1"),
        (judgements.shards("C", [shard(status=None)], 1, []), "degraded", "in no known state"),
        (judgements.shards("C", [shard()], 2, []), "down", "1 of 2 shards"),
        (
            judgements.shards("C", [shard(status="READONLY")], 1, [work(frozen={"s": "READY"}, running=True)]),
            "ok",
            "held READONLY by a migration that is running",
        ),
        (
            judgements.shards("C", [shard(status="READONLY")], 1, [work(frozen={"s": "READY"})]),
            "degraded",
            "A migration to http://b was killed",
        ),
        (judgements.tenants("C", {"a": "ACTIVE"}, ["a"], []), "ok", "1 of 1 tenant active"),
        (judgements.tenants("C", {"a": "INACTIVE"}, [], []), "ok", "0 of 1 tenant active"),
        (judgements.tenants("C", {"a": "ONLOADING"}, [], []), "degraded", "a ONLOADING"),
        (judgements.tenants("C", {"a": "OFFLOADING"}, [], []), "degraded", "a OFFLOADING"),
        (judgements.tenants("C", {"a": "ACTIVE"}, [], []), "degraded", "on no node"),
        (
            judgements.tenants("C", {"a": "ACTIVE"}, ["a"], [work("copy", tenants={"a": "INACTIVE"})]),
            "degraded",
            "a ACTIVE (was INACTIVE)",
        ),
        (judgements.tenants("C", {"b": "ACTIVE"}, ["b"], [work("copy", tenants={"a": "INACTIVE"})]), "ok", "1 of 1"),
        (judgements.replicas(3, {}, {}, {}, 20), "ok", "20 objects looked up"),
        (judgements.replicas(3, {"s": 2}, {}, {}, 20), "degraded", "s has 2 of 3"),
        (judgements.replicas(3, {}, {"s": {"n1": 5, "n2": 3}}, {}, 20), "ok", "n1 5, n2 3"),
        (judgements.replicas(3, {}, {"s": {"n1": 5, "n2": 3}}, {}, 0), "degraded", "n1 5, n2 3"),
        (judgements.replicas(3, {}, {}, {"n3": 4}, 20), "degraded", "n3 lacks 4"),
        (judgements.queue({("s", "n1"): 0}, None, 5), "ok", "0 vectors"),
        (judgements.queue({("s", "n1"): None}, None, 5), "degraded", "does not tell"),
        (judgements.queue({("s", "n1"): 4}, {("s", "n1"): 3}, 5), "ok", "3 vectors"),
        (judgements.queue({("s", "n1"): 4}, {("s", "n1"): 4}, 5), "degraded", "does not become less"),
        (judgements.queue({("s", "n1"): 9}, {("s", "n1"): 6}, 5), "degraded", "More than 5"),
        (judgements.performance(None, 500), "skipped", "no query"),
        (judgements.performance(0.4, 500), "ok", "400 ms"),
        (judgements.performance(0.6, 500), "degraded", "500 ms are allowed"),
        (judgements.resources(["n1"], None), "degraded", "All shards of n1"),
        (judgements.resources([], None), "skipped", "disk"),
        (judgements.resources([], (95, 100)), "degraded", "of 100 B"),
        (judgements.resources([], (50, 0)), "ok", "50 B of memory"),
        (judgements.aliases({"a": "C"}, {"C": {}}), "ok", "1 alias"),
        (judgements.aliases({"a": "D"}, {"C": {}}), "degraded", "a to D"),
        (judgements.leftovers([], ["C"], is_busy=False), "ok", "nothing is left"),
        (judgements.leftovers([], ["C_daglab_1"], is_busy=False), "degraded", "C_daglab_1"),
        (judgements.leftovers([], ["C_daglab_1"], is_busy=True), "ok", "nothing is left"),
        (judgements.leftovers([work()], ["C"], is_busy=False), "degraded", "migrate of C"),
        (judgements.leftovers([work()], [], is_busy=False), "degraded", "is gone"),
        (judgements.leftovers([work(running=True)], ["C"], is_busy=True), "ok", "running: migrate of C"),
    ],
)
def test_a_judgement(found: findings.Finding, status: str, said: str) -> None:
    assert (found.status, said in found.detail) == (status, True), found.detail
    assert (found.hint is not None) == (status in ("degraded", "down"))


def test_vectors_that_are_missing_or_of_another_length() -> None:
    some = samples.Sample({None: [{}] * 5}, is_all=False)
    found = samples.Faults({None: 2, "title": 0}, {None: Counter({3: 2, 4: 1}), "title": Counter({3: 5})})
    said = judgements.integrity(found, some)
    assert said.status == "degraded"
    assert said.detail == "5 objects looked at: 2 without a vector; a vector has different lengths (2 of 3, 1 of 4)."


def test_a_node_is_short_where_shards_of_several_collections_are_read_only() -> None:
    both = [shard(status="READONLY"), shard("t", status="READONLY", collection="D")]
    assert judgements.pressed([node("n1", *both)], []) == ["n1"]
    assert judgements.pressed([node("n1", both[0])], []) == []
    assert judgements.pressed([node("n1", *both, shard("u"))], []) == []
    assert judgements.pressed([node("n1", *both)], [work(frozen={"s": "READY"})]) == []


def test_who_has_which_objects() -> None:
    found = [shard("s", "n1"), shard("s", "n2"), shard("t", "n2"), shard("t", "n3"), shard("t", "n1")]
    assert judgements.holding(found, [None]) == {None: ["n1", "n2"]}
    assert judgements.holding(found, ["t", "s", "u"]) == {"t": ["n1", "n2", "n3"], "s": ["n1", "n2"]}


@responses.activate
def test_a_member_that_nothing_is_told_of_is_one_that_is_gone(tmp_path: Path) -> None:
    """1.30 lists a node that has gone no more."""
    config_of_raft = [{"id": "n1"}, {"id": "n2"}]
    told = {"name": "n1", "status": "HEALTHY", "leaderId": "n1", "raft": {"latestConfiguration": config_of_raft}}
    answer = {"synchronized": True, "statistics": [told]}
    responses.get("http://127.0.0.1:9/v1/cluster/statistics", json=answer)
    look = vitals.Look(clusters.connect(config.load(), "http://127.0.0.1:9"), tmp_path, vitals.Limits(1, 1))
    synchronized, members = vitals.raft(look)
    found = judgements.consensus(synchronized, members, [node("n1", version="1.30.0")], [])
    assert (found.status, found.detail.startswith("N2 can't be asked")) == ("degraded", True)


def test_a_cluster_that_is_not_ready_is_down_whatever_it_tells_of_its_nodes(tmp_path: Path) -> None:
    look = vitals.Look(clusters.connect(config.load(), "http://127.0.0.1:9"), tmp_path, vitals.Limits(1, 1))
    look.answers.update({"ready": False, "nodes": rest.Failed("n3: connection refused", "x")})
    assert diagnoses.cluster_nodes(look).status == "down"
    look.answers["ready"] = True
    with pytest.raises(rest.Failed):
        diagnoses.cluster_nodes(look)


def looking(tmp_path: Path, **answers: Any) -> vitals.Look:
    """A look that has its answers already, and asks of nobody."""
    look = vitals.Look(clusters.connect(config.load(), "http://127.0.0.1:9"), tmp_path, vitals.Limits(1, 1))
    look.answers.update(answers)
    return look


@responses.activate
@pytest.mark.parametrize(("applied", "status"), [("6", "ok"), ("5", "degraded")])
def test_a_node_that_is_a_moment_behind_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, applied: str, status: str
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    found = [{"name": name, "status": "HEALTHY", "leaderId": "n1"} for name in ("n1", "n2")]
    for each, index in zip(found, ("6", applied), strict=True):
        each["raft"] = {"state": "Follower", "appliedIndex": index, "latestConfiguration": []}  # type: ignore[assignment]
    responses.get("http://127.0.0.1:9/v1/cluster/statistics", json={"synchronized": True, "statistics": found})
    there = {"schemas": {}, "leading schemas": {}, "nodes": [node("n1"), node("n2")]}
    look = looking(tmp_path, raft=(True, [member("n1", "6"), member("n2", "5")]), **there)
    assert diagnoses.consensus(look).status == status
    assert waited == [diagnoses.SECOND_LOOK]


def test_a_queue_is_looked_at_twice_and_for_all_collections_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    look = looking(
        tmp_path, nodes=[node("n1", shard(queue=50), shard(collection="D", queue=50), shard(collection="E"))]
    )

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        look.answers["nodes again"] = [node("n1", shard(queue=0), shard(collection="D", queue=70))]

    monkeypatch.setattr(time, "sleep", sleep)
    assert diagnoses.queue(look, "E").status == "ok"
    assert waited == []
    assert [diagnoses.queue(look, name).status for name in ("C", "D")] == ["ok", "degraded"]
    assert len(waited) == 1


def test_what_a_server_does_not_tell_is_left_out(tmp_path: Path) -> None:
    look = looking(tmp_path, aliases=None)
    assert diagnoses.aliases(look).status == "skipped"
    assert diagnoses.performance(look, "C").status == "skipped"


def test_a_collection_is_found_by_its_alias_where_a_leader_tells_of_it(tmp_path: Path) -> None:
    assert diagnoses.existing(looking(tmp_path, schemas={"Docs": {}}, aliases={"Live": "Docs"}), "Live") == "Docs"
    leaderless = looking(tmp_path, schemas={"Docs": {}}, aliases=rest.Failed("no leader", "x"))
    assert diagnoses.existing(leaderless, "Docs") == "Docs"
    with pytest.raises(rest.Missing, match="Doc"):
        diagnoses.existing(leaderless, "Doc")


def test_one_check_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = clusters.connect(config.load(), "http://127.0.0.1:9")
    look = vitals.Look(cluster, tmp_path, vitals.Limits(1, 1))
    look.answers.update(
        {
            "schemas": {"C": {"class": "C"}},
            "nodes": [node("n1", shard())],
            "ready": True,
            "works": [],
            "raft": (True, []),
        }
    )
    look.answers["leading schemas"] = rest.Failed("no leader", "x")
    monkeypatch.setattr(diagnoses.samples, "take", lambda *_: 1 / 0)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    found = diagnoses.of_collection(look, "C")
    assert {name: each.status for name, each in found.checks.items()} == {
        "availability": "down",
        "shards": "ok",
        "tenants": "skipped",
        "replicas": "skipped",
        "queue": "ok",
        "integrity": "degraded",
        "performance": "skipped",
    }
    assert "ZeroDivisionError" in found.checks["integrity"].detail
    assert diagnoses.of_cluster(look).checks["schema"].detail == "It can't be told: no leader"


def test_each_repair_is_told_as_it_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise rest.Failed("no", "x")

    made = [
        repairs.Repair("C", "tenant a", "activate", lambda: None),
        repairs.Repair("D", "tenant a", "activate", fail),
    ]
    left = [repairs.Refusal("C", "tenant b of C is OFFLOADING", "Only its server can end that.")]
    plans = [repairs.Plan(made, left), repairs.Plan([], [*left, repairs.Refusal("E", repairs.UNREAD, "x")])]
    monkeypatch.setattr(repairs, "plan", lambda *_, **__: plans.pop(0))
    monkeypatch.setattr(repairs, "names_of", lambda _: ["C", "D"])
    look = vitals.Look(clusters.connect(config.load(), "http://127.0.0.1:9"), tmp_path, vitals.Limits(1, 1))
    found = health.mend(look, force=False, dry_run=False, yes=True, as_json=True)
    assert [each["collection"] for each in found["fixed"]] == ["C"]
    assert [(each["collection"], each["why"]) for each in found["not_fixed"]] == [
        ("C", "Only its server can end that."),
        ("D", "no"),
    ]


def test_a_journal_that_was_ended_meanwhile_is_not_begun_anew(tmp_path: Path) -> None:
    look = vitals.Look(clusters.connect(config.load(), "http://127.0.0.1:9"), tmp_path, vitals.Limits(1, 1))
    with pytest.raises(errors.Taken, match="ended meanwhile"), repairs._journal(look, work()):
        pass
    assert journals.unfinished(tmp_path) == []

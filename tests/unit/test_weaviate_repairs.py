"""A Weaviate in memory looked at as a whole: every check is good, each fault is found, and what can be put right is."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import responses

from daglab import errors, web
from daglab.settings import config
from daglab.weaviate import clusters, journals, rest, tenants
from daglab.weaviate.examining import diagnoses, repairs, samples, vitals
from daglab.weaviate.moving import freezing
from tests.weaviate_in_memory import BEACON, Server

URL = "http://weaviate.test:8080"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Docs, of 3 objects."""
    monkeypatch.setattr(web, "delay", lambda *_: 0.0)
    for module in (tenants, freezing):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        found = Server(mocked, URL)
        found.make("Docs")
        for number in (1, 2, 3):
            found.put("Docs", number)
        yield found


@pytest.fixture
def cluster(server: Server) -> rest.Cluster:
    return clusters.connect(config.load({}), URL)


def look(cluster: rest.Cluster, root: Path, only: str | None = None) -> vitals.Look:
    return vitals.Look(cluster, root, vitals.limits(config.load({})), only)


def statuses(found: diagnoses.Diagnosis) -> dict[str, str]:
    """The checks that are neither good nor left out."""
    return {name: each.detail for name, each in found.checks.items() if each.status not in ("ok", "skipped")}


def killed(root: Path, kind: str, *, source: str = URL, collection: str = "Docs", **stages: Any) -> None:
    """A work that did not end, with lines of these stages in its journal."""
    with journals.opened(
        root, {"kind": kind, "collection": collection, "source": source, "target": "http://b"}
    ) as found:
        for stage, said in stages.items():
            found.note(stage, **said)


# --- the look


@pytest.mark.parametrize("states", [None, {"a": "ACTIVE", "b": "INACTIVE"}], ids=["plain", "tenants"])
def test_of_what_is_well_nothing_is_said(
    server: Server, cluster: rest.Cluster, tmp_path: Path, states: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if states:
        server.make("Docs", states)
        server.put("Docs", 1, "a")
    found = look(cluster, tmp_path)
    of_all, of_one = diagnoses.of_cluster(found), diagnoses.of_collection(found, "Docs")
    assert (statuses(of_all), statuses(of_one)) == ({}, {})
    assert diagnoses.overall([of_all, of_one]) == "healthy"
    assert repairs.plan(found, repairs.names_of(found), force=False) == repairs.Plan([], [])
    counted = "1 object in 1 of 2 tenants" if states else "3 objects"
    assert counted in of_one.checks["availability"].detail


def test_what_is_asked_for_is_asked_once(server: Server, cluster: rest.Cluster, tmp_path: Path) -> None:
    asked: list[str] = []
    server.on = lambda method, path: asked.append(path)
    found = look(cluster, tmp_path)
    for _ in range(2):
        vitals.schemas(found)
        with pytest.raises(rest.Failed):
            found.once("x", lambda: rest.graphql(cluster, "{Aggregate {c0: Gone {meta {count}}}}"))
    assert (asked.count("schema"), asked.count("graphql")) == (1, 1)


def test_a_check_that_can_not_be_told_or_fails_itself_does_not_hide_the_others(
    server: Server, cluster: rest.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("x")

    monkeypatch.setitem(diagnoses.OF_COLLECTION, "shards", broken)
    server.there["Docs"].schema["replicationConfig"] = {"factor": 2}
    found = diagnoses.of_collection(look(cluster, tmp_path), "Docs")
    assert "The check itself failed: KeyError." in statuses(found)["shards"]
    assert "has 1 of 2" in statuses(found)["replicas"]
    assert "availability" not in statuses(found)
    del server.there["Docs"]
    gone = diagnoses.of_collection(look(cluster, tmp_path), "Docs")
    assert gone.status == "down"


def test_a_collection_is_looked_at_by_its_alias_too(server: Server, cluster: rest.Cluster, tmp_path: Path) -> None:
    server.aliases = {"Live": "Docs", "Lost": "Gone"}
    found = look(cluster, tmp_path, "Live")
    assert diagnoses.existing(found, "Docs") == "Docs"
    assert repairs.names_of(found) == ["Docs"]
    for name in ("Lost", "Dosc"):
        with pytest.raises(rest.Missing, match=f"no collection '{name}'"):
            diagnoses.existing(found, name)
    assert "Lost" in statuses(diagnoses.of_cluster(found))["aliases"]


def test_the_memory_of_a_node_comes_from_its_listener(server: Server, cluster: rest.Cluster, tmp_path: Path) -> None:
    assert vitals.memory(look(cluster, tmp_path)) is None
    for text, found in (
        ("process_resident_memory_bytes 1.5e+09\ngo_gc_gomemlimit_bytes 2e+09\n", (1_500_000_000, 2_000_000_000)),
        ("process_resident_memory_bytes 5\ngo_gc_gomemlimit_bytes 9.2e+18\n", (5, 0)),
        ("nothing 1\n", None),
    ):
        there = look(cluster, tmp_path)
        object.__setattr__(there.cluster, "metrics", "http://weaviate.test:2112/metrics")
        there.answers["listener"] = text
        assert vitals.memory(there) == found


def test_a_member_that_nothing_is_told_of_is_lost(
    server: Server, cluster: rest.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = {"name": "n1", "status": "HEALTHY", "raft": {"latestConfiguration": [{"id": "n1"}, {"id": "n2"}]}}
    monkeypatch.setattr(vitals.rest, "get", lambda *_: {"synchronized": False, "statistics": [member]})
    synchronized, found = vitals.raft(look(cluster, tmp_path))
    assert not synchronized
    assert [(each.name, each.status, each.is_ready) for each in found] == [
        ("n1", "HEALTHY", True),
        ("n2", "UNAVAILABLE", False),
    ]


# --- samples


def test_a_sample_is_all_there_is_or_from_all_over(
    server: Server, cluster: rest.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(7)
    assert samples.take(cluster, "Docs", None, draw).is_all
    monkeypatch.setattr(samples, "MOST", 8)
    monkeypatch.setattr(samples, "PAGE", 2)
    for _ in range(40):
        server.put("Docs", draw.randrange(1 << 127))
    found = samples.take(cluster, "Docs", None, draw)
    assert (found.size, found.is_all) == (8, False)
    ids = [each["id"] for each in found.objects[None]]
    assert len(set(ids)) == 8
    assert any(uuid.UUID(each).int > 1000 for each in ids)


def test_a_sample_of_tenants_is_of_some_of_them(
    server: Server, cluster: rest.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MOST_TENANTS", 2)
    server.make("Docs", dict.fromkeys("abc", "ACTIVE"))
    for tenant in "abc":
        server.put("Docs", 1, tenant)
    found = samples.take(cluster, "Docs", ["a", "b", "c"], random.Random(7))
    assert (len(found.objects), found.size, found.is_all) == (2, 2, False)
    assert samples.take(cluster, "Docs", ["a", "b"], random.Random(7)).is_all


def test_what_lacks_a_vector_or_leads_nowhere_is_found(server: Server, cluster: rest.Cluster, tmp_path: Path) -> None:
    there = server.there["Docs"].objects[None]
    one, two, three = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
    del there[one]["vector"]
    there[two]["vector"] = [0.5] * 5
    gone = str(uuid.UUID(int=9))
    there[three]["properties"]["of"] = [
        {"beacon": f"{BEACON}Docs/{one}"},
        {"beacon": f"{BEACON}{two}"},  # an old one names no collection
        {"beacon": f"{BEACON}Docs/{gone}"},
        {"beacon": f"{BEACON}Gone/{one}"},
    ]
    sample = samples.take(cluster, "Docs", None, random.Random(7))
    schemas = {name: each.schema for name, each in server.there.items()}
    found = samples.faults(cluster, schemas["Docs"], schemas, sample)
    assert (found.lacking, dict(found.lengths[None]), found.followed) == ({None: 1}, {2: 1, 5: 1}, 4)
    assert [beacon.removeprefix(BEACON) for *_, beacon in found.dangling] == [f"Docs/{gone}", f"Gone/{one}"]
    assert "integrity" in statuses(diagnoses.of_collection(look(cluster, tmp_path), "Docs"))


def test_the_copies_of_objects_that_nodes_lack(cluster: rest.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """n1 has both, n2 lacks one, n3 has no replica, and what no node has was deleted meanwhile."""

    def get(_: Any, path: str, *, node_name: str, tenant: str | None) -> None:
        uid = path.rpartition("/")[2]
        if uid == "gone" or (node_name, uid) == ("n2", "one"):
            raise rest.Missing("no such object", "")
        if node_name == "n3":
            raise rest.Failed("shard s does not exist locally", "")

    monkeypatch.setattr(samples.rest, "get", get)
    nodes: dict[str | None, list[str]] = {None: ["n1", "n2", "n3"]}
    listed: list[tuple[str, str | None]] = [("one", None), ("two", None), ("gone", None), ("one", "other")]
    assert samples.lacking_copies(cluster, "Docs", listed, nodes) == {"n2": 1}
    monkeypatch.setattr(samples.rest, "get", lambda *_, **__: (_ for _ in ()).throw(rest.Failed("no disk", "")))
    with pytest.raises(rest.Failed, match="no disk"):
        samples.has_copy(cluster, "Docs", "one", "n1", None)


# --- repairs


def plan(cluster: rest.Cluster, root: Path, **more: Any) -> repairs.Plan:
    found = look(cluster, root, more.pop("only", None))
    return repairs.plan(found, repairs.names_of(found), force=more.get("force", True))


def test_a_shard_is_made_ready(server: Server, cluster: rest.Cluster, tmp_path: Path) -> None:
    there, other = server.there["Docs"], server.make("Other")
    for each in (there, other):
        each.readonly.add(each.shard)
    full = plan(cluster, tmp_path, force=False)  # all of the node's are: it looks short of disk
    assert (full.repairs, [each.collection for each in full.refused]) == ([], ["Docs", "Other"])
    assert "--force" in full.refused[0].why
    assert len(plan(cluster, tmp_path).repairs) == 2
    other.readonly.clear()
    [repair] = plan(cluster, tmp_path, force=False).repairs
    assert f"make READY: shard {there.shard} of Docs" in repair.what
    assert repairs.do(repair) is None
    assert not there.readonly


def test_what_a_killed_migration_has_frozen_is_thawed_and_noted(
    server: Server, cluster: rest.Cluster, tmp_path: Path
) -> None:
    there = server.there["Docs"]
    there.readonly.add(there.shard)
    killed(tmp_path, "migrate", **{journals.FROZEN: {"shards": {there.shard: "READY"}}})
    assert journals.unfinished(tmp_path)[0]["frozen"]
    [repair] = plan(cluster, tmp_path).repairs
    assert "which a killed migration has frozen" in repair.what
    assert "--resume" in str(repair.afterwards)
    assert repairs.do(repair) is None
    assert not there.readonly
    assert not journals.unfinished(tmp_path)[0]["frozen"]


def test_what_a_migration_holds_that_is_running_is_left(server: Server, cluster: rest.Cluster, tmp_path: Path) -> None:
    there = server.there["Docs"]
    there.readonly.add(there.shard)
    said = {"kind": "migrate", "collection": "Docs", "source": URL, "target": "http://b"}
    with journals.opened(tmp_path, said) as journal:
        journal.note(journals.FROZEN, shards={there.shard: "READY"})
        found = plan(cluster, tmp_path)
        assert (found.repairs, [each.why for each in found.refused]) == (
            [],
            ["A migration that is running holds it."],
        )


def test_tenants_are_put_back_as_a_killed_copy_has_found_them(
    server: Server, cluster: rest.Cluster, tmp_path: Path
) -> None:
    server.make("Docs", {"a": "ACTIVE", "b": "ACTIVE", "c": "OFFLOADING"})
    killed(tmp_path, "copy", **{journals.ACTIVATED: {"tenant": "a", "status": "INACTIVE"}})
    found = plan(cluster, tmp_path)
    [repair] = found.repairs
    assert "as a killed copy has found them: a INACTIVE" in repair.what
    assert [each.what for each in found.refused] == ["tenant c of Docs is OFFLOADING"]
    assert repairs.do(repair) is None
    assert server.there["Docs"].tenants["a"] == "INACTIVE"
    assert server.there["Docs"].tenants["b"] == "ACTIVE"
    assert plan(cluster, tmp_path).repairs == []


def test_a_tenant_that_is_on_its_way_is_activated(server: Server, cluster: rest.Cluster, tmp_path: Path) -> None:
    server.make("Docs", {"a": "ONLOADING", "b": "INACTIVE"})
    [repair] = plan(cluster, tmp_path).repairs
    assert repair.what == "activate: tenant a of Docs, ONLOADING"
    assert repairs.do(repair) is None
    assert server.there["Docs"].tenants == {"a": "ACTIVE", "b": "INACTIVE"}


def test_the_journal_of_a_collection_that_is_gone_is_taken_away_once(
    server: Server, cluster: rest.Cluster, tmp_path: Path
) -> None:
    killed(tmp_path, "copy", collection="Gone")
    killed(tmp_path, "copy", collection="Elsewhere", source="http://other.test")
    assert plan(cluster, tmp_path, only="Docs").repairs == []
    [repair] = plan(cluster, tmp_path).repairs
    assert "Gone, which it is of, is gone" in repair.what
    assert repairs.do(repair) is None
    assert [each["collection"] for each in journals.unfinished(tmp_path)] == ["Elsewhere"]
    assert "was ended meanwhile" in str(repairs.do(repair))


def test_a_journal_that_tells_of_what_is_gone_is_a_leftover(
    server: Server, cluster: rest.Cluster, tmp_path: Path
) -> None:
    killed(tmp_path, "copy", collection="Gone")
    assert "Gone" in statuses(diagnoses.of_cluster(look(cluster, tmp_path)))["leftovers"]


def test_what_is_wrong_with_what_can_not_be_read_is_not_guessed(
    server: Server, cluster: rest.Cluster, tmp_path: Path
) -> None:
    found = look(cluster, tmp_path)
    names = repairs.names_of(found)
    found.answers["nodes"] = errors.Unreachable("no node answers", "")
    found.answers["leading schemas"] = errors.Unreachable("no leader", "")
    done = repairs.plan(found, names, force=False)
    assert done.repairs == []
    assert [(each.what, each.why) for each in done.refused] == [(repairs.UNREAD, "no node answers")]


def test_a_server_that_loads_its_data_is_not_ready(
    server: Server, cluster: rest.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = rest.Failed("not ready", "")

    def answer(*_: Any) -> None:
        raise problem

    monkeypatch.setattr(vitals.rest, "answer", answer)
    problem.status = 503
    assert not vitals.is_ready(look(cluster, tmp_path))
    problem.status = 500
    with pytest.raises(rest.Failed):
        vitals.is_ready(look(cluster, tmp_path))

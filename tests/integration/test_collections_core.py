"""The pieces that collections' commands share, on a real Weaviate: what is copied is the same, whatever happens."""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from daglab.settings import config
from daglab.weaviate import (
    api,
    batches,
    clusters,
    comparisons,
    cursors,
    journals,
    objects,
    rest,
    schemas,
    store,
    tenants,
    transfers,
)
from tests import weaviate_faults, weaviate_objects, weaviates
from tests.weaviate_faults import Fault

pytestmark = pytest.mark.long


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def cluster(weaviate: weaviates.Server) -> rest.Cluster:
    return clusters.connect(config.load(), weaviate.url)


def copied(
    source: transfers.Side,
    target: transfers.Side,
    root: Path,
    tell: Callable[[transfers.Tally], None] = lambda _: None,
    change: transfers.Change | None = None,
) -> transfers.Tally:
    """What a copy does with these pieces; called again it goes on."""
    work = {"kind": "copy", "collection": source.name, "to": target.name}
    with journals.opened(root, work) as journal:
        tally = transfers.objects_of(source, target, journal, batches.pace(10, 100), tell, change)
        transfers.references_of(source, target, journal, tally, tell)
    return tally


def made_like(cluster: rest.Cluster, source: str, target: str) -> None:
    api.create(cluster, schemas.portable(api.schema(cluster, source), target))


def plain(cluster: rest.Cluster, name: str, number: int, **more: Any) -> list[dict[str, Any]]:
    """A collection of small objects."""
    api.create(cluster, {"class": name, "vectorizer": "none", **more})
    made = random.Random(name)
    written = [
        {"class": name, "id": str(uuid.UUID(int=made.getrandbits(128), version=4)), "properties": {"n": n}}
        for n in range(number)
    ]
    assert batches.write(cluster, written, batches.pace(10, 200)) == []
    return written


def test_what_is_written_is_counted_and_read(cluster: rest.Cluster) -> None:
    plain(cluster, "CoreCounted", 250)
    assert api.counts(cluster, ["CoreCounted"]) == {"CoreCounted": 250}


def test_the_key_is_sent_where_it_is_named(keyed_weaviate: weaviates.Server, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("DAGLAB_KEY", weaviates.KEY)
    cluster = clusters.connect(config.load(), keyed_weaviate.url, "env:DAGLAB_KEY")
    assert api.version(cluster) >= (1, 30, 0)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
@pytest.mark.parametrize("changed", [False, True])
def test_every_data_type_comes_out_the_same(
    weaviate: weaviates.Server, cluster: rest.Cluster, tmp_path: Path, seed: int, changed: bool
) -> None:
    """`changed` goes by way of a transformation, which sees the vectors as numbers."""
    rng = random.Random(seed)
    name, target = f"CoreRich{seed}{changed}", f"CoreRichCopy{seed}{changed}"
    weaviate.ask("POST", "schema", weaviate_objects.schema(name))
    weaviate_objects.put(weaviate, weaviate_objects.objects(rng, 80, name))
    made_like(cluster, name, target)
    sides = transfers.Side(cluster, name), transfers.Side(cluster, target)
    tally = copied(*sides, tmp_path, change=(lambda page: page) if changed else None)
    assert (tally.read, tally.written, tally.failed) == (80, 80, [])
    assert weaviate_objects.held(weaviate, target) == weaviate_objects.held(weaviate, name)
    found = comparisons.compare(*sides)
    assert found.is_none, found
    assert found.compared == 80


def test_the_digest_tells_apart_what_differs_and_nothing_else() -> None:
    one = {"id": "a", "properties": {"a": 1, "b": [0.5], "o": {"x": None}}, "vectors": {"v": [0.1, 2]}}
    same = [
        {"vectors": {"v": [0.1, 2.0]}, "id": "a", "properties": {"b": [0.5], "o": {"x": None}, "a": 1}},
        {**one, "properties": {**one["properties"], "none": None}, "vector": []},
        {**one, "creationTimeUnix": 5, "lastUpdateTimeUnix": 6},
    ]
    other = [
        {**one, "id": "b"},
        {**one, "properties": {**one["properties"], "a": 2}},
        {**one, "properties": {**one["properties"], "a": "1"}},
        {**one, "properties": {**one["properties"], "b": []}},
        {**one, "properties": {**one["properties"], "o": {}}},
        {**one, "properties": {**one["properties"], "c": ""}},
        {**one, "vectors": {"v": [0.1, 2.0000002]}},
        {**one, "vectors": {"v": [[0.1, 2]]}},
        {**one, "vectors": {"w": [0.1, 2]}},
        {**one, "vectors": {}, "vector": [0.1, 2]},
        {**one, "vectors": {"v": [0.1, 2], "w": [1]}},
    ]
    assert {objects.digest(each) for each in same} == {objects.digest(one)}
    assert len({objects.digest(each) for each in [one, *other]}) == len(other) + 1
    numbers = [{"id": "a", "properties": {"n": n}, "vector": [n]} for n in (0, -0.0)]
    assert len({objects.digest(each) for each in numbers}) == 2
    referring = [{"id": "a", "properties": {"r": r}} for r in ([], None)]
    assert len({objects.digest(each, ["r"]) for each in referring}) == 1


def test_large_numbers_that_a_server_tells_are_sent_as_it_takes_them(cluster: rest.Cluster, tmp_path: Path) -> None:
    api.create(cluster, {"class": "CoreEdge", "properties": [{"name": "n", "dataType": ["int[]"]}]})
    edge = {"class": "CoreEdge", "id": str(uuid.uuid4()), "properties": {"n": [2**63 - 1, -(2**63)] * 5}}
    assert batches.write(cluster, [edge], batches.pace(1, 10)) == []
    made_like(cluster, "CoreEdge", "CoreEdgeCopy")
    tally = copied(transfers.Side(cluster, "CoreEdge"), transfers.Side(cluster, "CoreEdgeCopy"), tmp_path)
    assert tally.failed == []


def test_what_would_be_hashed_again_is_listed(cluster: rest.Cluster, tmp_path: Path) -> None:
    if api.version(cluster) < (1, 37, 0):
        pytest.skip("it knows no blobHash")
    properties = [{"name": "h", "dataType": ["blobHash"]}]
    plain(cluster, "CoreHash", 2, properties=properties)
    kept = {"class": "CoreHash", "id": str(uuid.uuid4()), "properties": {"h": "aGVsbG8="}}
    assert batches.write(cluster, [kept], batches.pace(1, 10)) == []
    made_like(cluster, "CoreHash", "CoreHashCopy")
    tally = copied(transfers.Side(cluster, "CoreHash"), transfers.Side(cluster, "CoreHashCopy"), tmp_path)
    assert [each.id for each in tally.failed] == [kept["id"]]
    assert "hash it again" in tally.failed[0].reason
    assert tally.written == 2


# References


def referring(weaviate: weaviates.Server, name: str, tenant: str | None = None, number: int = 60) -> list[str]:
    """A collection whose objects refer to themselves, to others, to what is not there, and to one twice."""
    rng, other = random.Random(name), f"{name}Other"
    made = weaviate_objects.objects(rng, number, name, tenant)
    ids = [each["id"] for each in made]
    others = [{"class": other, "id": weaviate_objects.uid(rng), "properties": {}} for _ in range(10)]
    weaviate_objects.put(weaviate, made)
    weaviate_objects.put(weaviate, others)
    pairs = [(one, f"{name}/{rng.choice(ids)}") for one in ids for _ in range(rng.randint(0, 2))]
    pairs += [(one, f"{other}/{rng.choice(others)['id']}") for one in ids for _ in range(rng.randint(0, 2))]
    weaviate_objects.refer(weaviate, name, [*pairs, *pairs[:5]], tenant)
    if not tenant:
        weaviate.ask("DELETE", f"objects/{other}/{others[0]['id']}")
    return sorted(ids)


def referring_schemas(weaviate: weaviates.Server, name: str, *, tenants: bool = False) -> None:
    weaviate.ask("POST", "schema", {"class": f"{name}Other", "vectorizer": "none"})
    weaviate.ask("POST", "schema", weaviate_objects.schema(name, tenants=tenants))
    weaviate.ask("POST", f"schema/{name}/properties", {"name": "ref", "dataType": [name, f"{name}Other"]})


def test_references_are_the_same_and_lead_to_the_new_name(
    weaviate: weaviates.Server, cluster: rest.Cluster, tmp_path: Path
) -> None:
    referring_schemas(weaviate, "CoreRef")
    referring(weaviate, "CoreRef")
    made_like(cluster, "CoreRef", "CoreRefCopy")
    sides = transfers.Side(cluster, "CoreRef"), transfers.Side(cluster, "CoreRefCopy")
    tally = copied(*sides, tmp_path)
    assert tally.failed == []
    held = weaviate_objects.held(weaviate, "CoreRef")
    assert weaviate_objects.held(weaviate, "CoreRefCopy") == held
    assert tally.references == sum(each.count("weaviate://") for each in held.values())
    assert comparisons.compare(*sides).is_none


@pytest.mark.parametrize("stage", ["objects", "references"])
@pytest.mark.parametrize("many", [False, True])
def test_a_transfer_that_was_killed_goes_on(
    weaviate: weaviates.Server, cluster: rest.Cluster, tmp_path: Path, monkeypatch: Any, stage: str, many: bool
) -> None:
    """It is killed after each page in turn, before that is noted; pages have other sizes each time."""
    name = f"CoreKilled{stage}{many}"
    referring_schemas(weaviate, name, tenants=many)
    for tenant in ("a", "b", "empty", "z") if many else (None,):
        if tenant:
            weaviate.ask("POST", f"schema/{name}/tenants", [{"name": tenant}])
        if tenant != "empty":
            referring(weaviate, name, tenant, 20 if many else 50)
    made_like(cluster, name, f"{name}Copy")
    source, target = transfers.Side(cluster, name), transfers.Side(cluster, f"{name}Copy")
    note = transfers._note
    left = [0]

    def noted(journal: journals.Journal, at: str, *rest_of: Any) -> None:
        if at == stage:
            left[0] -= 1
            if left[0] < 0:
                raise KilledError
        note(journal, at, *rest_of)

    monkeypatch.setattr(transfers, "_note", noted)
    for tries in range(20):
        left[0] = 1
        monkeypatch.setattr(cursors, "FIRST_PAGE", 5 + 7 * (tries % 3))
        try:
            copied(source, target, tmp_path)
            break
        except KilledError:
            pass
    else:
        raise AssertionError
    assert tries > 2
    for tenant in ("a", "b", "empty", "z") if many else (None,):
        held = weaviate_objects.held(weaviate, name, tenant)
        assert weaviate_objects.held(weaviate, f"{name}Copy", tenant) == held
    assert comparisons.compare(source, target).is_none


def test_what_a_server_looks_for_in_a_tenant_and_does_not_find_is_listed(
    weaviate: weaviates.Server, cluster: rest.Cluster, tmp_path: Path
) -> None:
    referring_schemas(weaviate, "CoreDangling", tenants=True)
    weaviate.ask("POST", "schema/CoreDangling/tenants", [{"name": "a"}])
    ids = referring(weaviate, "CoreDangling", "a", 10)
    weaviate_objects.refer(weaviate, "CoreDangling", [(ids[0], f"CoreDangling/{ids[1]}")], "a")
    weaviate.ask("DELETE", f"objects/CoreDangling/{ids[1]}", tenant="a")
    made_like(cluster, "CoreDangling", "CoreDanglingCopy")
    tally = copied(transfers.Side(cluster, "CoreDangling"), transfers.Side(cluster, "CoreDanglingCopy"), tmp_path)
    lead_there = [each for each in tally.failed if f"CoreDanglingCopy/{ids[1]}" in each.reason]
    assert lead_there == tally.failed != []
    held = weaviate_objects.held(weaviate, "CoreDangling", "a")
    assert tally.references + len(tally.failed) == sum(each.count("weaviate://") for each in held.values())


@pytest.mark.parametrize("fault", [weaviate_faults.lost(), weaviate_faults.fewer(), weaviate_faults.truncated()])
def test_references_whose_answer_was_lost_are_there_once(
    weaviate: weaviates.Server, cluster: rest.Cluster, tmp_path: Path, fault: Any
) -> None:
    name = f"CoreLost{uuid.uuid4().hex[:8]}"
    referring_schemas(weaviate, name)
    referring(weaviate, name)
    made_like(cluster, name, f"{name}Copy")
    with weaviate_faults.before(weaviate.url, [Fault("POST", "batch/references", fault, {1, 3})]) as proxy:
        target = transfers.Side(clusters.connect(config.load(), proxy.url), f"{name}Copy")
        assert copied(transfers.Side(cluster, name), target, tmp_path).failed == []
    assert weaviate_objects.held(weaviate, f"{name}Copy") == weaviate_objects.held(weaviate, name)


# Faults


def odd(each: Mapping[str, Any]) -> bool:
    return int(each["id"][:2], 16) % 16 == 3


FAULTS: dict[str, list[Fault]] = {
    "busy": [Fault("POST", "batch/objects", weaviate_faults.status(429, Retry_After="0"), range(1, 3))],
    "busy reader": [Fault("GET", "objects", weaviate_faults.status(503, Retry_After="0"), {1, 3})],
    "broken": [Fault("POST", "batch/objects", weaviate_faults.status(500), {1, 2, 5})],
    "cut": [Fault("POST", "batch/objects", weaviate_faults.cut(), {1, 3})],
    "lost": [Fault("POST", "batch/objects", weaviate_faults.lost(), {1, 3})],
    "half": [Fault("POST", "batch/objects", weaviate_faults.half(), {1, 3})],
    "half a page": [Fault("GET", "objects", weaviate_faults.half(), {1, 3})],
    "truncated": [Fault("POST", "batch/objects", weaviate_faults.truncated(), {1, 3})],
    "a truncated page": [Fault("GET", "objects", weaviate_faults.truncated(), {1, 3})],
    "portal": [Fault("POST", "batch/objects", weaviate_faults.page(), {1, 3})],
    "a portal's page": [Fault("GET", "objects", weaviate_faults.page(), {1, 3})],
    "fewer": [Fault("POST", "batch/objects", weaviate_faults.fewer(), {1, 3})],
    "large": [Fault("POST", "batch/objects", weaviate_faults.larger_than(3000))],
    "large, and cut": [Fault("POST", "batch/objects", weaviate_faults.larger_than(3000, early=True))],
    "passing": [
        Fault("POST", "batch/objects", weaviate_faults.refused(odd, "broadcast: cannot reach enough replicas"), {1, 2})
    ],
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_goes_wrong_on_the_way_is_made_good(
    weaviate: weaviates.Server, cluster: rest.Cluster, tmp_path: Path, name: str
) -> None:
    source, target = f"CoreF{list(FAULTS).index(name)}", f"CoreFaultCopy{list(FAULTS).index(name)}"
    written = plain(cluster, source, 150)
    made_like(cluster, source, target)
    faults = FAULTS[name]
    with weaviate_faults.before(weaviate.url, faults) as proxy:
        there = clusters.connect(config.load(), proxy.url)
        tally = copied(transfers.Side(there, source), transfers.Side(there, target), tmp_path)
    assert tally.failed == []
    assert sorted(weaviate_objects.held(weaviate, target)) == sorted(each["id"] for each in written)
    assert sum(fault.done for fault in faults) > 0


@pytest.mark.parametrize("whole", [False, True])
def test_objects_that_are_refused_are_listed_and_the_rest_is_written(
    weaviate: weaviates.Server, cluster: rest.Cluster, tmp_path: Path, whole: bool
) -> None:
    source, target = f"CoreRefused{whole}", f"CoreRefusedCopy{whole}"
    written = plain(cluster, source, 150)
    made_like(cluster, source, target)
    act = weaviate_faults.refused_whole(odd) if whole else weaviate_faults.refused(odd, "bad batch")
    with weaviate_faults.before(weaviate.url, [Fault("POST", "batch/objects", act)]) as proxy:
        there = transfers.Side(clusters.connect(config.load(), proxy.url), target)
        tally = copied(transfers.Side(cluster, source), there, tmp_path)
    bad = {each["id"] for each in written if odd(each)}
    assert bad
    assert {each.id for each in tally.failed} == bad
    assert all("bad batch" in each.reason for each in tally.failed)
    assert set(weaviate_objects.held(weaviate, target)) == {each["id"] for each in written} - bad


def test_a_read_only_target_is_an_error_after_not_too_many(
    weaviate: weaviates.Server, cluster: rest.Cluster, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(transfers, "MANY_FAILED", 50)
    plain(cluster, "CoreFrozen", 150)
    made_like(cluster, "CoreFrozen", "CoreFrozenCopy")
    for shard in weaviate.ask("GET", "schema/CoreFrozenCopy/shards"):
        api.set_shard_status(cluster, "CoreFrozenCopy", shard["name"], api.READONLY)
    with pytest.raises(transfers.TooManyFailed, match="read-only"):
        copied(transfers.Side(cluster, "CoreFrozen"), transfers.Side(cluster, "CoreFrozenCopy"), tmp_path)
    assert api.counts(cluster, ["CoreFrozenCopy"]) == {"CoreFrozenCopy": 0}


def test_vectors_of_another_length_are_refused_one_by_one(cluster: rest.Cluster) -> None:
    api.create(cluster, {"class": "CoreLengths", "vectorizer": "none"})
    made = random.Random(5)
    written = [
        {
            "class": "CoreLengths",
            "id": weaviate_objects.uid(made),
            "properties": {},
            "vector": [1.0] * (4 if n % 9 else 3),
        }
        for n in range(1, 60)
    ]
    failed = batches.write(cluster, written, batches.pace(10, 100))
    assert {each.id for each in failed} == {each["id"] for each in written if len(each["vector"]) == 3}


# Tenants


STATES = {"t-active": tenants.ACTIVE, "t-empty": tenants.ACTIVE, "t-inactive": tenants.INACTIVE}


def with_tenants(weaviate: weaviates.Server, name: str, states: Mapping[str, str]) -> None:
    weaviate.ask("POST", "schema", {"class": name, "vectorizer": "none", "multiTenancyConfig": {"enabled": True}})
    weaviate.ask("POST", f"schema/{name}/tenants", [{"name": each} for each in states])
    rng = random.Random(name)
    for each in states:
        if "empty" not in each:
            of_all = {"class": name, "tenant": each}
            made = [
                {**of_all, "id": weaviate_objects.uid(rng), "properties": {"n": n}, "vector": [n, 1]} for n in range(30)
            ]
            weaviate_objects.put(weaviate, made)


def test_tenants_are_copied_in_their_states(weaviate: weaviates.Server, cluster: rest.Cluster, tmp_path: Path) -> None:
    name, target = "CoreStates", "CoreStatesCopy"
    with_tenants(weaviate, name, STATES)
    api.set_tenants(cluster, name, {"t-inactive": tenants.INACTIVE})
    made_like(cluster, name, target)
    states = tenants.create_like(cluster, name, cluster, target)
    assert states == STATES
    source, there = transfers.Side(cluster, name), transfers.Side(cluster, target)
    tally = copied(source, there, tmp_path)
    assert (tally.read, tally.failed, tally.gone) == (60, [], [])
    tenants.put_states(cluster, target, states)
    assert api.tenants(cluster, name) == STATES
    assert api.tenants(cluster, target) == STATES
    assert comparisons.compare(source, there).is_none
    assert api.tenants(cluster, name) == STATES
    assert api.tenants(cluster, target) == STATES


def test_a_tenant_is_put_back_by_who_resumes_or_gives_up(
    weaviate: weaviates.Server, cluster: rest.Cluster, tmp_path: Path, monkeypatch: Any
) -> None:
    """Nothing is put back by the one that is killed."""
    for given_up in (False, True):
        name = f"CorePutBack{given_up}"
        with_tenants(weaviate, name, STATES)
        api.set_tenants(cluster, name, {"t-inactive": tenants.INACTIVE})
        made_like(cluster, name, f"{name}Copy")
        source, target = transfers.Side(cluster, name), transfers.Side(cluster, f"{name}Copy")

        def killed(tally: transfers.Tally) -> None:
            if tally.read > 30:
                raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(tenants, "_put_differing", lambda *_: None)
            patch.setattr(journals.Journal, "note", _not_after_the_kill)
            with pytest.raises(KilledError):
                copied(source, target, tmp_path / str(given_up), killed)
        assert api.tenants(cluster, name)["t-inactive"] == tenants.ACTIVE
        if given_up:
            work = {"kind": "copy", "collection": source.name, "to": target.name}
            with journals.opened(tmp_path / str(given_up), work) as journal:
                assert journals.owed(journal.lines) == {"t-inactive": tenants.INACTIVE}
                transfers.put_back(source, journal)
                assert journals.owed(journal.lines) == {}
        else:
            copied(source, target, tmp_path / str(given_up))
            assert comparisons.compare(source, target).is_none
        assert api.tenants(cluster, name) == STATES


_note = journals.Journal.note


def _not_after_the_kill(journal: journals.Journal, stage: str, **said: Any) -> None:
    if stage != "put back":
        _note(journal, stage, **said)


def test_tenants_come_and_go_meanwhile(weaviate: weaviates.Server, cluster: rest.Cluster, tmp_path: Path) -> None:
    name, target = "CoreComing", "CoreComingCopy"
    with_tenants(weaviate, name, {"b": "", "c": "", "d": ""})
    made_like(cluster, name, target)
    source, there = transfers.Side(cluster, name), transfers.Side(cluster, target)
    seen: list[int] = []

    def meanwhile(tally: transfers.Tally) -> None:
        if not seen:
            weaviate.ask("POST", f"schema/{name}/tenants", [{"name": "a"}])
            made = [{"class": name, "id": str(uuid.uuid4()), "tenant": "a", "properties": {}} for _ in range(7)]
            weaviate_objects.put(weaviate, made)
            weaviate.ask("DELETE", f"schema/{name}/tenants", ["c"])
        seen.append(tally.read)

    tally = copied(source, there, tmp_path, meanwhile)
    assert tally.gone == ["c"]
    assert tally.written == 67
    for each in ("a", "b", "d"):
        assert weaviate_objects.held(weaviate, target, each) == weaviate_objects.held(weaviate, name, each)


def test_a_server_that_can_not_offload_makes_tenants_inactive(
    weaviate: weaviates.Server, cluster: rest.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    with_tenants(weaviate, "CoreOffload", {"empty-a": "", "empty-b": ""})
    with caplog.at_level(logging.WARNING):
        tenants.put_states(cluster, "CoreOffload", {"empty-a": tenants.OFFLOADED, "gone": tenants.INACTIVE})
    assert api.tenants(cluster, "CoreOffload") == {"empty-a": tenants.INACTIVE, "empty-b": tenants.ACTIVE}
    assert "can't offload" in caplog.text


def test_many_tenants_are_changed_at_once(cluster: rest.Cluster) -> None:
    for name in ("CoreMany", "CoreManyCopy"):
        api.create(cluster, {"class": name, "multiTenancyConfig": {"enabled": True}})
    api.create_tenants(cluster, "CoreMany", [f"t{n:03}" for n in range(230)])
    api.set_tenants(cluster, "CoreMany", {f"t{n:03}": tenants.INACTIVE for n in range(0, 230, 2)})
    states = tenants.create_like(cluster, "CoreMany", cluster, "CoreManyCopy")
    assert set(api.tenants(cluster, "CoreManyCopy").values()) == {tenants.ACTIVE}
    tenants.put_states(cluster, "CoreManyCopy", states)
    assert api.tenants(cluster, "CoreManyCopy") == states == api.tenants(cluster, "CoreMany")


def test_minus_nothing_and_the_order_of_members_are_kept(weaviate: weaviates.Server, cluster: rest.Cluster) -> None:
    api.create(cluster, {"class": "CoreMinus", "properties": [{"name": "n", "dataType": ["number"]}]})
    made = {"class": "CoreMinus", "id": str(uuid.uuid4()), "properties": {"n": -0.0}, "vector": [-0.0, 1]}
    assert batches.write(cluster, [made], batches.pace(1, 10)) == []
    [found] = store.page(cluster, "CoreMinus", "", 5, vectors=True).objects
    assert str(found["properties"]["n"]) == "-0.0"
    assert str(found["vector"]) == "[-0.0, 1]"

"""Collections moved between servers in memory while they are written to, killed at any request, resumed and aborted."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import errors
from daglab.weaviate import api, batches, journals, rest, tenants, transfers
from daglab.weaviate.improving import replication
from daglab.weaviate.moving import destinations, freezing, passes, relocations
from tests.weaviate_in_memory import Killed, Refusal, Server

URLS = ("http://one.test:8080", "http://other.test:8080")
STATES = {"a": "ACTIVE", "b": "INACTIVE"}


def fill(server: Server, states: dict[str, str] | None = None) -> None:
    """Docs, of 9 objects; each but the first refers to the one before."""
    server.make("Docs", states)
    for tenant in states or [None]:  # type: ignore[list-item]
        for number in range(1, 10):
            server.put("Docs", number, tenant, of=number - 1 if number > 1 else None)


@contextlib.contextmanager
def begun(root: Path, sides: tuple[transfers.Side, transfers.Side], **more: Any) -> Iterator[passes.Move]:
    def show(*_: Any) -> Any:
        return contextlib.nullcontext(lambda _: None)

    with journals.opened(root, relocations.work(*sides)) as journal:
        yield passes.Move(*sides, journal, batches.pace(1, 10), show, **more)


def move(root: Path, sides: tuple[transfers.Side, transfers.Side], **more: Any) -> passes.Report:
    with begun(root, sides, **more) as under_way:
        relocations.run(under_way)
    return under_way.report


def kill_at(number: int) -> Callable[[str, str], None]:
    """Killed at the request of this number that changes something, and at all after it: not even tidied up."""
    left = [number]

    def on(method: str, path: str) -> None:
        left[0] -= method != "GET" and path != "graphql"
        if left[0] <= 0:
            raise Killed

    return on


@pytest.mark.parametrize("states", [None, STATES], ids=["plain", "tenants"])
@pytest.mark.parametrize("strategy", [passes.ONLINE, passes.OFFLINE])
def test_a_moved_collection_is_the_same_and_the_source_writable(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path, states: Any, strategy: str
) -> None:
    fill(servers[0], states)
    servers[1].aliases = {"Live": "Old"}
    before = servers[0].contents("Docs")
    destinations.check(*sides)
    found = move(tmp_path, sides, strategy=strategy, alias="Live").document()
    count = 9 * len(states or [None])
    assert servers[1].contents("Docs") == before
    assert servers[0].contents("Docs") == before
    assert [each.there["Docs"].tenants for each in servers] == [states or {}, states or {}]
    assert not any(each.there["Docs"].readonly for each in servers)
    assert servers[1].aliases == {"Live": "Docs"}
    assert (found["objects"], found["written"], found["alias"], found["failed"]) == (count, count, "Live", [])
    assert found["verification"]["ok"]
    assert not (tmp_path / ".daglab").exists()


def test_what_is_written_meanwhile_comes_with_it(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    """Each write of a batch to the target sees one more object in the source, up to the freeze."""
    fill(servers[0])
    there = servers[0].there["Docs"]

    def on(method: str, path: str) -> None:
        if path == "batch/objects" and not there.readonly:
            servers[0].put("Docs", 100, text=f"at {servers[0].now}")
            there.objects[None].pop(str(uuid.UUID(int=5)), None)

    servers[1].on = on
    found = move(tmp_path, sides)
    assert servers[1].contents("Docs") == servers[0].contents("Docs")
    assert found.deleted == 1
    assert found.frozen_seconds is not None


@pytest.mark.parametrize("states", [None, STATES], ids=["plain", "tenants"])
def test_a_move_that_is_killed_at_any_request_goes_on(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path, states: Any
) -> None:
    fill(servers[0], states)
    before = servers[0].contents("Docs")
    killed = 0
    while True:
        for server in servers:
            server.on = kill_at(killed + 1)
        try:
            move(tmp_path, sides, alias="Live")
            break
        except Killed:
            killed += 1
    assert killed > 2
    assert servers[1].contents("Docs") == before
    assert [each.there["Docs"].tenants for each in servers] == [states or {}, states or {}]
    assert not servers[0].there["Docs"].readonly
    assert servers[1].aliases == {"Live": "Docs"}
    assert not (tmp_path / ".daglab").exists()


@pytest.mark.parametrize("at", range(1, 9))
def test_an_aborted_move_leaves_the_source_as_it_was(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path, at: int
) -> None:
    fill(servers[0], STATES)
    before = servers[0].contents("Docs")
    for server in servers:
        server.on = kill_at(at)
    with contextlib.suppress(Killed):
        move(tmp_path, sides)
    for server in servers:
        server.on = lambda *_: None
    was_there = "Docs" in servers[1].there
    with begun(tmp_path, sides) as under_way:
        assert relocations.abort(under_way) is was_there
    assert (servers[0].contents("Docs"), servers[0].there["Docs"].tenants) == (before, STATES)
    assert not servers[0].there["Docs"].readonly
    assert "Docs" not in servers[1].there
    assert not (tmp_path / ".daglab").exists()


def test_what_the_target_refuses_stops_the_move(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    servers[1].refuse = lambda found: "too long" if found.get("id") == str(uuid.UUID(int=3)) else None
    with pytest.raises(errors.NotGood, match="does not take 1 objects") as refused:
        move(tmp_path, sides)
    assert "too long" in str(refused.value)
    assert not servers[0].there["Docs"].readonly
    assert journals.unfinished(tmp_path)[0]["frozen"] is False
    servers[1].refuse = lambda _: None
    assert move(tmp_path, sides).difference is not None
    assert servers[1].contents("Docs") == servers[0].contents("Docs")


def test_a_target_that_takes_nothing_stops_the_first_pass(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    servers[1].refuse = lambda _: "too long"
    with pytest.raises((errors.NotGood, rest.Refused)):
        move(tmp_path, sides)
    assert not servers[0].there["Docs"].readonly


def test_a_tenant_that_goes_is_taken_away_and_a_property_that_comes_is_made(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0], {"a": "ACTIVE", "b": "ACTIVE"})
    with begun(tmp_path, sides) as under_way:
        relocations._make(under_way)
        passes.over(under_way)
        del servers[0].there["Docs"].tenants["b"]
        del servers[0].there["Docs"].objects["b"]
        servers[0].there["Docs"].schema["properties"].append({"name": "new", "dataType": ["int"]})
        found = passes.over(under_way)
        assert found.deleted == 9
        relocations.run(under_way)
    assert servers[1].contents("Docs") == servers[0].contents("Docs")
    assert list(servers[1].there["Docs"].tenants) == ["a"]
    assert servers[1].there["Docs"].schema["properties"][-1]["name"] == "new"


def test_a_target_that_is_changed_by_somebody_else_is_not_the_same(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])

    def on(method: str, path: str) -> None:
        if path.startswith("schema/Docs/shards") and method == "PUT":
            servers[1].put("Docs", 77)

    servers[0].on = on
    with pytest.raises(errors.NotGood, match="is not the same: 1 extra"):
        move(tmp_path, sides)
    assert not servers[0].there["Docs"].readonly


@pytest.mark.parametrize("path", ["batch/objects", "batch/references"])
@pytest.mark.parametrize("lost", ["on", "after"])
def test_a_lost_answer_makes_nothing_twice(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path, path: str, lost: str
) -> None:
    fill(servers[0])
    left = [2]

    def break_off(_: str, asked: str) -> None:
        left[0] -= asked == path
        if asked == path and left[0] >= 0:
            raise requests.ReadTimeout("no answer")

    setattr(servers[1], lost, break_off)
    move(tmp_path, sides)
    assert servers[1].contents("Docs") == servers[0].contents("Docs")


def test_a_tenant_that_others_deactivate_meanwhile_is_read_again_or_left_for_the_next_pass(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0], {"a": "ACTIVE"})
    there, times = servers[0].there["Docs"], [0]

    def on(method: str, path: str) -> None:
        if path == "objects" and times[0] < 2:
            times[0] += 1
            there.tenants["a"] = "INACTIVE"
        elif path == "schema/Docs/tenants" and times[0] == 2:
            times[0] += 1
            there.tenants["a"] = "ACTIVE"

    with begun(tmp_path, sides) as under_way:
        relocations._make(under_way)
        servers[0].on = on
        found = passes.over(under_way)
        assert found.left == ["a"]
        assert servers[1].contents("Docs") == {}
        relocations.run(under_way)
    assert servers[1].contents("Docs") == servers[0].contents("Docs")


def test_an_alias_whose_answer_is_lost_was_switched(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])

    def lose(_: str, path: str) -> None:
        if path == "aliases" and servers[1].aliases:
            servers[1].after = lambda *_: None
            raise requests.ReadTimeout("no answer")

    servers[1].after = lose
    assert move(tmp_path, sides, alias="Live").alias == "Live"
    assert servers[1].aliases == {"Live": "Docs"}


def test_a_target_that_appears_while_it_is_made_is_not_taken_for_ones_own(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])

    def on(method: str, path: str) -> None:
        if (method, path) == ("POST", "schema"):
            servers[1].make("Docs")

    servers[1].on = on
    with pytest.raises(rest.Refused, match="it is there already"):
        move(tmp_path, sides)
    with begun(tmp_path, sides) as under_way:
        assert not relocations.abort(under_way)
    assert "Docs" in servers[1].there


# --- where it may go


def test_where_a_collection_can_not_go(servers: list[Server], sides: tuple[transfers.Side, transfers.Side]) -> None:
    fill(servers[0])
    one, other = sides
    with pytest.raises(errors.WrongUsage, match="That is where it is"):
        destinations.check(one, one)
    with pytest.raises(errors.InvalidInput, match="no name of a collection"):
        destinations.check(one, dataclasses.replace(other, name="docs"))
    servers[1].version = "1.29.4"
    with pytest.raises(errors.NotSetUp, match=r"older than Weaviate 1\.30"):
        destinations.check(one, other)
    servers[1].version = "1.30.0"
    servers[1].make("Docs")
    with pytest.raises(errors.Taken, match="There is a collection Docs"):
        destinations.check(one, other)
    servers[0].there["Live"] = servers[0].there["Docs"]  # as a server answers for an alias
    with pytest.raises(errors.WrongUsage, match="Live is an alias of Docs"):
        destinations.check(dataclasses.replace(one, name="Live"), dataclasses.replace(other, name="New"))
    assert destinations.check(one, dataclasses.replace(other, name="New"))["class"] == "Docs"


def test_what_can_be_an_alias(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = sides[1]
    servers[1].make("Other")
    servers[1].aliases = {"Live": "Other"}
    assert destinations.check_alias(target, "Live") == "Other"
    assert destinations.check_alias(target, "New") is None
    for alias, said in (("live", "can't be an alias"), ("Docs", "name of a collection"), ("Other", "name of a coll")):
        with pytest.raises(errors.WrongUsage, match=said):
            destinations.check_alias(target, alias)
    monkeypatch.setattr(destinations.api, "known_aliases", lambda _: None)
    with pytest.raises(errors.NotSetUp, match=r"Weaviate 1\.32"):
        destinations.check_alias(target, "Live")


def test_a_shard_that_takes_no_status_is_an_error_unless_it_has_gone(
    servers: list[Any], sides: tuple[transfers.Side, transfers.Side]
) -> None:
    """That of a tenant is there while the tenant is active; one of a collection always is."""
    servers[0].make("Docs", {"a": "ACTIVE", "b": "INACTIVE"})

    def refuse(method: str, path: str) -> None:
        if method == "PUT":
            raise Refusal(422, "no such shard")

    servers[0].on = refuse
    freezing.put(sides[0], ["b"], api.READONLY)
    with pytest.raises(rest.Refused, match="no such shard"):
        freezing.put(sides[0], ["a"], api.READONLY)


def test_what_became_writable_meanwhile_is_no_whole_freeze(
    servers: list[Any], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    docs = servers[0].make("Docs")
    with journals.opened(tmp_path, {"kind": "migrate", "collection": "Docs"}) as journal:
        freezing.freeze(journal, sides[0])
        assert freezing.is_whole(sides[0], {})
        docs.readonly.clear()
        assert not freezing.is_whole(sides[0], {})


def test_a_tenant_that_does_not_become_active_or_is_gone_is_an_error(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers[0].make("Docs", {"a": "OFFLOADING"})
    with pytest.raises(rest.Missing, match="There is no tenant b of Docs any more"):
        tenants.activate(sides[0].cluster, "Docs", "b")
    monkeypatch.setattr(tenants, "LONGEST", -1.0)
    with pytest.raises(errors.TimedOut, match="a of Docs did not become active"):
        tenants.activate(sides[0].cluster, "Docs", "a")


def test_a_cluster_that_can_not_move_replicas_says_what_switches_it_on(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side]
) -> None:
    servers[0].make("Docs")
    said = [501, 500]

    def refuse(method: str, path: str) -> None:
        if path.startswith("replication"):
            raise Refusal(said[0], "not here")

    servers[0].on = refuse
    with pytest.raises(errors.NotSetUp, match="it is switched off"):
        replication.replicas(sides[0].cluster, "Docs")
    said.pop(0)
    with pytest.raises(rest.Failed, match="not here"):
        replication.replicas(sides[0].cluster, "Docs")


# --- what others do meanwhile


def test_a_switch_whose_request_never_came_leaves_the_alias_and_is_gone_on_with(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    """The target's tenants have their last states by then; what goes meanwhile is taken away by the next try."""
    fill(servers[0], {"a": "ACTIVE", "b": "INACTIVE", "c": "INACTIVE"})

    def lose(method: str, path: str) -> None:
        if (method, path) == ("POST", "aliases"):
            raise requests.ReadTimeout("no answer")

    servers[1].on = lose
    with pytest.raises(errors.OutcomeUnknown):
        move(tmp_path, sides, alias="Live")
    source, target = (each.there["Docs"] for each in servers)
    assert (servers[1].aliases, source.readonly) == ({}, set())
    assert target.tenants == {"a": "ACTIVE", "b": "INACTIVE", "c": "INACTIVE"}
    servers[1].on = lambda *_: None
    del source.tenants["c"], source.objects["c"]
    servers[0].put("Docs", 50, "b")
    found = move(tmp_path, sides, alias="Live")
    assert found.deleted == 9
    assert servers[1].contents("Docs") == servers[0].contents("Docs")
    assert (source.tenants, target.tenants) == (STATES, STATES)
    assert servers[1].aliases == {"Live": "Docs"}


def test_a_target_that_was_made_just_before_the_kill_is_taken_for_ones_own(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    asked = []

    def kill(method: str, path: str) -> None:
        asked.append((method, path))
        if (method, path) == ("POST", "schema"):
            raise Killed

    servers[1].after = kill
    with pytest.raises(Killed):
        move(tmp_path, sides)
    assert servers[1].contents("Docs") == {}
    servers[1].after = lambda method, path: asked.append((method, path))
    move(tmp_path, sides)
    assert asked.count(("POST", "schema")) == 1
    assert servers[1].contents("Docs") == servers[0].contents("Docs")


def test_a_source_that_does_not_stay_read_only_is_not_moved(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    """As where its server begins anew again and again: nobody knows then what was written meanwhile."""
    fill(servers[0])
    there, frozen = servers[0].there["Docs"], []

    def on(method: str, path: str) -> None:
        if path == "graphql" and there.readonly:
            frozen.append(path)
            there.readonly.clear()

    servers[0].on = on
    with pytest.raises(errors.NotGood, match="Docs was written to while it was read-only") as refused:
        move(tmp_path, sides, alias="Live")
    assert "--resume" in str(refused.value.hint)
    assert len(frozen) == relocations.MOST_ROUNDS
    assert (servers[1].aliases, there.readonly) == ({}, set())


def test_a_source_that_counts_more_than_it_lists_is_not_moved(
    servers: list[Server],
    sides: tuple[transfers.Side, transfers.Side],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(servers[0])
    monkeypatch.setattr(relocations.comparisons, "counted", lambda side: 12 if side == sides[0] else 9)
    with pytest.raises(rest.Failed, match="has 12 objects, and 9 of them could be read"):
        move(tmp_path, sides, alias="Live")
    assert (servers[1].aliases, servers[0].there["Docs"].readonly) == ({}, set())


def test_a_tenant_that_is_active_and_can_not_be_read_stops_the_move(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0], {"a": "ACTIVE"})
    asked = []

    def refuse(method: str, path: str) -> None:
        if path == "objects":
            asked.append(path)
            raise Refusal(422, "the shard is broken")

    servers[0].on = refuse
    with pytest.raises(rest.Refused, match="the shard is broken"):
        move(tmp_path, sides)
    assert len(asked) == passes.TRIES
    assert not servers[0].there["Docs"].readonly


def test_a_tenant_that_sleeps_at_each_try_is_left_for_the_next_pass(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    """As where somebody makes it active and inactive all the time: whenever its state is looked at, it is active."""
    fill(servers[0], {"a": "ACTIVE"})
    asked = []

    def sleep(method: str, path: str) -> None:
        if path == "objects":
            asked.append(path)
            raise Refusal(422, "tenant not active: 'a'")

    with begun(tmp_path, sides) as under_way:
        relocations._make(under_way)
        servers[0].on = sleep
        assert passes.over(under_way).left == ["a"]
        assert len(asked) == passes.TRIES
        servers[0].on = lambda *_: None
        relocations.run(under_way)
    assert servers[1].contents("Docs") == servers[0].contents("Docs")


@pytest.mark.parametrize(("path", "status"), [("objects", 422), ("objects", 404), ("graphql", 500)])
def test_a_tenant_that_sleeps_while_it_is_verified_is_frozen_and_verified_again(
    servers: list[Server],
    sides: tuple[transfers.Side, transfers.Side],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    status: int,
) -> None:
    fill(servers[0], {"a": "ACTIVE"})
    there, verify, begun_times = servers[0].there["Docs"], relocations._verify, []

    def sleep(method: str, asked: str) -> None:
        if asked == path:
            there.readonly.clear()  # it is loaded anew
            raise Refusal(status, "tenant not active: 'a'")

    def verified(under_way: passes.Move) -> Any:
        begun_times.append(there.readonly.copy())
        servers[0].on = sleep if len(begun_times) == 1 else servers[0].on
        try:
            return verify(under_way)
        finally:
            servers[0].on = lambda *_: None

    monkeypatch.setattr(relocations, "_verify", verified)
    report = move(tmp_path, sides)
    assert begun_times == [{"a"}, {"a"}]
    assert report.difference is not None
    assert report.difference.is_none
    assert servers[1].contents("Docs") == servers[0].contents("Docs")


# --- tenants


def test_tenants_that_can_not_be_counted_are_an_error_once_none_of_them_comes_or_goes(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side]
) -> None:
    fill(servers[0], {"a": "ACTIVE"})
    there, looks = servers[0].there["Docs"], []

    def on(method: str, path: str) -> None:
        if path == "graphql":
            looks.append(path)
            if len(looks) == 1:
                there.tenants["new"] = "ACTIVE"
            raise Refusal(500, "no memory")

    servers[0].on = on
    with pytest.raises(rest.Failed, match="no memory"):
        tenants.counted(sides[0].cluster, "Docs")
    assert len(looks) > 1  # the first time, a tenant came meanwhile
    servers[0].on = lambda *_: None
    assert tenants.counted(sides[0].cluster, "Docs") == (9, {"a": "ACTIVE", "new": "ACTIVE"})


def test_a_tenant_on_its_way_back_is_waited_for_and_not_told_again(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side]
) -> None:
    there, told = servers[0].make("Docs", {"a": "ONLOADING"}), []
    looks = iter(["ONLOADING", "ONLOADING", "ACTIVE"])

    def on(method: str, path: str) -> None:
        told.append(method)
        there.tenants["a"] = next(looks)

    servers[0].on = on
    tenants.activate(sides[0].cluster, "Docs", "a")
    assert told == ["GET"] * 3


def test_tenants_that_are_there_already_are_made_active(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side]
) -> None:
    servers[0].make("Docs", {"a": "ACTIVE", "b": "INACTIVE", "other": "INACTIVE"})
    tenants.make(sides[0].cluster, "Docs", ["a", "b", "c"])
    assert servers[0].there["Docs"].tenants == {"a": "ACTIVE", "b": "ACTIVE", "other": "INACTIVE", "c": "ACTIVE"}


def test_a_state_that_is_refused_is_an_error_and_a_store_that_is_lacking_none(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], caplog: pytest.LogCaptureFixture
) -> None:
    there = servers[0].make("Docs", {"a": "ACTIVE", "b": "ACTIVE"})
    left = [1]

    def refuse(method: str, path: str) -> None:
        left[0] -= method == "PUT"
        if method == "PUT" and left[0] >= 0:
            raise Refusal(422, "not here")

    servers[0].on = refuse
    tenants.put_states(sides[0].cluster, "Docs", {"a": "OFFLOADED", "gone": "INACTIVE"})
    assert there.tenants == {"a": "INACTIVE", "b": "ACTIVE"}
    assert "can't offload tenants of Docs; they become inactive" in caplog.text
    left[0] = 1
    with pytest.raises(rest.Refused, match="not here"):
        tenants.put_states(sides[0].cluster, "Docs", {"b": "INACTIVE"})
    assert there.tenants["b"] == "ACTIVE"

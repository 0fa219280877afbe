"""Collections copied and compared, over servers in memory: what breaks off at any request is gone on with."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import responses

from daglab import errors, web
from daglab.settings import config
from daglab.weaviate import batches, clusters, comparisons, journals, rest, tenants, transfers
from daglab.weaviate.copying import copies, steps
from tests.weaviate_in_memory import Killed, Refusal, Server

URLS = ("http://one.test:8080", "http://other.test:8080")
STATES = {"a": "ACTIVE", "b": "INACTIVE"}


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Server]]:
    """Two of them; nothing is waited for."""
    monkeypatch.setattr(web, "delay", lambda *_: 0.0)
    monkeypatch.setattr(tenants, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(transfers, "MOST_REFERENCES", 2)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        yield [Server(mocked, url) for url in URLS]


@pytest.fixture
def sides(servers: list[Server]) -> tuple[transfers.Side, transfers.Side]:
    """Docs of the one, and Docs of the other server."""
    one, other = (transfers.Side(clusters.connect(config.load({}), url), "Docs") for url in URLS)
    return one, other


def fill(server: Server, states: dict[str, str] | None = None) -> None:
    """Docs, of 12 objects; each but the first refers to the one before."""
    server.make("Docs", states)
    for tenant in states or [None]:  # type: ignore[list-item]
        for number in range(1, 13):
            server.put("Docs", number, tenant, of=number - 1 if number > 1 else None, text=f"text {number}")


def copy_of(sides: tuple[transfers.Side, transfers.Side], **more: Any) -> copies.Copy:
    found, schema = copies.source_of(sides[0].cluster, sides[0].name)
    return copies.Copy(found, sides[1], schema, **more)


def run(root: Path, copy: copies.Copy, **settings: Any) -> copies.Outcome:
    """As the command does it."""
    outcome = copies.Outcome()
    with journals.opened(root, copy.work) as journal:
        copies.begin(copy, journal, config.load(settings))
        steps.run(copy, journal, batches.pace(1, 10), lambda *_: contextlib.nullcontext(lambda _: None), outcome)
    return outcome


def kill_at(number: int) -> Callable[[str, str], None]:
    """Killed at the request of this number that changes something."""
    left = [number]

    def on(method: str, path: str) -> None:
        left[0] -= method != "GET" and path != "graphql"
        if left[0] == 0:
            raise Killed

    return on


@pytest.mark.parametrize("states", [None, STATES], ids=["plain", "tenants"])
def test_a_copy_is_the_same_with_its_references_and_tenants(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path, states: Any
) -> None:
    fill(servers[0], states)
    before = servers[0].contents("Docs")
    found = run(tmp_path, copy_of(sides))
    assert servers[1].contents("Docs") == before
    assert servers[0].contents("Docs") == before
    assert [each.there["Docs"].tenants for each in servers] == [states or {}, states or {}]
    count = 12 * len(states or [None])
    assert (found.objects, found.read, found.source_count, found.target_count) == (count,) * 4
    assert found.references == count - len(states or [None])
    assert not (tmp_path / ".daglab").exists()
    assert comparisons.compare(*sides).is_none


@pytest.mark.parametrize("states", [None, STATES], ids=["plain", "tenants"])
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwriting"])
def test_a_copy_that_is_killed_at_any_request_goes_on(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path, states: Any, overwrite: bool
) -> None:
    """Killed again and again, one request further each time; in the end nothing is there twice, and none is lost."""
    fill(servers[0], states)
    if overwrite:
        servers[1].make("Docs")
        servers[1].put("Docs", 99)
        servers[1].aliases = {"Live": "Docs"}
    before = servers[0].contents("Docs")
    killed = 0
    while True:
        for server in servers:
            server.on = kill_at(killed + 1)
        try:
            run(tmp_path, copy_of(sides, overwrite=overwrite))
            break
        except Killed:
            killed += 1
    assert killed > 3
    assert servers[1].contents("Docs") == before
    assert servers[0].contents("Docs") == before
    assert [each.there["Docs"].tenants for each in servers] == [states or {}, states or {}]
    assert list(servers[1].there) == ["Docs"]
    assert servers[1].aliases == ({"Live": "Docs"} if overwrite else {})
    assert not (tmp_path / ".daglab").exists()


def test_a_destination_that_is_there_is_replaced_only_when_asked_for(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    servers[1].make("Docs")
    kept = servers[1].put("Docs", 99)
    with pytest.raises(errors.Taken, match="There is a collection Docs"):
        run(tmp_path, copy_of(sides))
    with pytest.raises(errors.NotAuthorised, match="Docs is protected"):
        run(tmp_path, copy_of(sides, overwrite=True), **{"weaviate.protected": ["Docs"]})
    assert list(servers[1].there["Docs"].objects[None]) == [kept]
    assert not (tmp_path / ".daglab").exists()
    assert run(tmp_path, copy_of(sides, overwrite=True)).replaced
    assert comparisons.compare(*sides).is_none


def test_what_is_refused_fails_the_copy_and_leaves_what_it_was_to_replace(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    servers[1].make("Docs")
    servers[1].put("Docs", 99)
    servers[1].refuse = lambda found: "too long" if found["id"] == str(uuid.UUID(int=3)) else None
    with pytest.raises(errors.NotGood, match="of the objects and references of Docs could not be written"):
        run(tmp_path, copy_of(sides, overwrite=True))
    assert list(servers[1].contents("Docs")[None]) == [str(uuid.UUID(int=99))]
    assert list(servers[1].there) == ["Docs"]
    assert not (tmp_path / ".daglab").exists()


def test_a_copy_is_gone_on_with_as_it_was_begun(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    servers[1].on = kill_at(3)
    with pytest.raises(Killed):
        run(tmp_path, copy_of(sides))
    servers[1].on = lambda *_: None
    with pytest.raises(errors.InvalidInput, match="begun in another way: --overwrite was different"):
        run(tmp_path, copy_of(sides, overwrite=True))
    another = dataclasses.replace(copy_of(sides), source=transfers.Side(sides[0].cluster, "Other"))
    with pytest.raises(errors.Taken, match="A copy of Docs to Docs was begun"):
        copies.refuse_others(tmp_path, another)
    del servers[1].there["Docs"]  # somebody has cleared it away: what comes there now is another one's
    copies.refuse_others(tmp_path, another)
    assert not journals.unfinished(tmp_path)
    assert run(tmp_path, copy_of(sides)).resumed is None


def test_a_schema_alone(servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path) -> None:
    fill(servers[0])
    run(tmp_path, copy_of(sides, schema_only=True))
    assert servers[1].there["Docs"].schema == servers[0].there["Docs"].schema
    assert servers[1].contents("Docs") == {}


def test_what_a_transform_makes_is_copied(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    def change(found: Any) -> list[Any]:
        kept = [{**each, "properties": {**each["properties"], "t": "new"}} for each in found]
        return [None if each["id"] == str(uuid.UUID(int=12)) else each for each in kept]

    fill(servers[0])
    found = run(tmp_path, copy_of(sides, change=change, script="abc"))
    assert (found.read, found.objects, found.dropped) == (12, 11, 1)
    assert {each[0] for each in servers[1].contents("Docs")[None].values()} == {"new"}


def test_a_name_that_can_not_be_copied_to(sides: tuple[transfers.Side, transfers.Side], servers: list[Server]) -> None:
    with pytest.raises(errors.WrongUsage, match="to itself"):
        copies.check_name(sides[0], sides[0])
    copies.check_name(*sides)
    fill(servers[0])
    servers[0].make("Notes", properties=[{"name": "of", "dataType": ["Docs"]}])
    notes, schema = copies.source_of(sides[0].cluster, "Notes")
    into = copies.Copy(notes, sides[0], schema, overwrite=True)
    with pytest.raises(errors.InvalidInput, match="refers to objects of Docs, and can't take its place"):
        copies.check_free(into, config.load({}))


# --- comparing


def test_each_difference_is_counted_and_named(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side]
) -> None:
    for server, numbers in zip(servers, [(1, 2, 3, 5), (2, 3, 4)], strict=True):
        server.make("Docs")
        for number in numbers:
            server.put("Docs", number)
    servers[1].put("Docs", 3, text="another")
    told: list[int] = []
    found = comparisons.compare(*sides, told.append)
    ids = {number: str(uuid.UUID(int=number)) for number in range(6)}
    assert (found.source, found.target, found.compared, found.is_none) == (4, 3, 1, False)
    assert found.missing == [(None, ids[1]), (None, ids[5])]
    assert (found.extra, found.changed) == ([(None, ids[4])], [(None, ids[3])])
    document = comparisons.document(found)
    assert (document["ok"], document["differences"]) == (False, {"missing": 2, "extra": 1, "changed": 1})
    assert copies.differences(found) == f"2 missing ({ids[1]}), 1 extra ({ids[4]}), 1 changed ({ids[3]})"


def test_a_tenant_of_one_side_alone_is_a_difference_and_all_are_as_they_were(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side]
) -> None:
    servers[0].make("Docs", {"a": "INACTIVE", "b": "ACTIVE"})
    servers[1].make("Docs", {"a": "ACTIVE", "c": "INACTIVE"})
    for server, tenant in ((servers[0], "a"), (servers[0], "b"), (servers[1], "a"), (servers[1], "c")):
        server.put("Docs", 1, tenant)
    found = comparisons.compare(*sides)
    assert ([each for each, _ in found.missing], [each for each, _ in found.extra]) == (["b"], ["c"])
    assert found.compared == 1
    assert servers[0].there["Docs"].tenants == {"a": "INACTIVE", "b": "ACTIVE"}
    assert servers[1].there["Docs"].tenants == {"a": "ACTIVE", "c": "INACTIVE"}


def test_a_reference_of_a_tenant_that_leads_nowhere_is_no_difference(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side]
) -> None:
    for server in servers:
        server.make("Docs", {"a": "ACTIVE"})
        server.put("Docs", 1, "a")
        server.put("Docs", 2, "a", of=1)
    servers[0].put("Docs", 2, "a", of=77)  # no server takes such a reference
    servers[1].put("Docs", 2, "a")
    assert comparisons.compare(*sides).is_none
    servers[0].put("Docs", 2, "a", of=1)
    assert comparisons.compare(*sides).counts == {"missing": 0, "extra": 0, "changed": 1}


def test_only_so_many_differences_are_listed(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "MOST_LISTED", 2)
    fill(servers[0])
    servers[1].make("Docs")
    found = comparisons.compare(*sides)
    assert (len(found.missing), found.counts["missing"]) == (2, 12)


# --- tenants


def test_a_tenant_that_can_not_be_offloaded_becomes_inactive(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], caplog: pytest.LogCaptureFixture
) -> None:
    there = servers[0].make("Docs", {"a": "ACTIVE", "b": "ACTIVE", "c": "ACTIVE"})
    original = servers[0]._tenants

    def no_offload(found: Any, method: str, rest_of: list[str], body: Any) -> Any:
        if method == "PUT" and any(each["activityStatus"] == "OFFLOADED" for each in body):
            raise Refusal(422, "no offload module")
        return original(found, method, rest_of, body)

    servers[0]._tenants = no_offload  # type: ignore[method-assign]
    tenants.put_states(
        sides[0].cluster, "Docs", {"a": "OFFLOADED", "b": "OFFLOADING", "c": "ONLOADING", "gone": "ACTIVE"}
    )
    assert there.tenants == {"a": "INACTIVE", "b": "INACTIVE", "c": "ACTIVE"}
    assert "can't offload tenants of Docs" in caplog.text


def test_a_tenant_that_is_gone_or_stays_on_its_way_is_not_waited_for(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = servers[0].make("Docs", {"a": "ONLOADING"})
    with pytest.raises(rest.Missing, match="no tenant gone"):
        tenants.activate(sides[0].cluster, "Docs", "gone")
    monkeypatch.setattr(tenants, "LONGEST", -1.0)
    with pytest.raises(errors.TimedOut, match="did not become active"):
        tenants.activate(sides[0].cluster, "Docs", "a")
    assert there.tenants == {"a": "ONLOADING"}


def test_tenants_that_come_and_go_while_they_are_counted(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side]
) -> None:
    there = servers[0].make("Docs", {"a": "ACTIVE", "b": "ACTIVE"})
    for tenant in "ab":
        servers[0].put("Docs", 1, tenant)

    def on(_: str, path: str) -> None:
        if path == "graphql":
            there.tenants["b"] = "INACTIVE"

    servers[0].on = on
    assert tenants.counted(sides[0].cluster, "Docs") == (1, {"a": "ACTIVE", "b": "INACTIVE"})

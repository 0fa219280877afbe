"""Collections compared object by object, and tenants put into their states, over servers in memory."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from daglab import errors
from daglab.weaviate import comparisons, lifecycle, rest, tenants, transfers
from daglab.weaviate.copying import copies
from tests.weaviate_in_memory import Refusal, Server


def fill(server: Server) -> None:
    """Docs, of 12 objects; each but the first refers to the one before."""
    server.make("Docs")
    for number in range(1, 13):
        server.put("Docs", number, of=number - 1 if number > 1 else None)


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


def test_objects_that_an_inactive_tenant_may_have_are_not_counted(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side]
) -> None:
    fill(servers[0])
    assert lifecycle.objects_of(sides[0].cluster, "Docs") == 12
    servers[0].make("Docs", {"a": "ACTIVE", "b": "INACTIVE"})
    assert lifecycle.objects_of(sides[0].cluster, "Docs") is None

"""Collections copied over servers in memory: what breaks off at any request is gone on with."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import errors
from daglab.settings import config
from daglab.weaviate import batches, comparisons, journals, rest, transfers
from daglab.weaviate.copying import copies, steps
from tests.weaviate_in_memory import Killed, Server

pytestmark = pytest.mark.usefixtures("few_at_a_time")
URLS = ("http://one.test:8080", "http://other.test:8080")
STATES = {"a": "ACTIVE", "b": "INACTIVE"}


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """References are sent by twos."""
    monkeypatch.setattr(transfers, "MOST_REFERENCES", 2)


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
    servers[1].refuse = lambda found: "too long" if found.get("id") == str(uuid.UUID(int=3)) else None
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


# --- what goes wrong on the way


def once(path: str, error: BaseException, *, times: int = 1) -> Callable[[str, str], None]:
    """Raises at the first requests below a path."""
    left = [times]

    def on(_: str, asked: str) -> None:
        if asked.startswith(path) and left[0]:
            left[0] -= 1
            raise error

    return on


@pytest.mark.parametrize("states", [None, STATES], ids=["plain", "tenants"])
@pytest.mark.parametrize("lost", ["before", "after"])
@pytest.mark.parametrize("path", ["batch/objects", "batch/references"])
def test_a_lost_answer_makes_nothing_twice(
    servers: list[Server],
    sides: tuple[transfers.Side, transfers.Side],
    tmp_path: Path,
    states: Any,
    lost: str,
    path: str,
) -> None:
    """Whether it was done or not: what may have been added is taken away before it is added again."""
    fill(servers[0], states)
    setattr(servers[1], "on" if lost == "before" else "after", once(path, requests.ReadTimeout("no answer")))
    run(tmp_path, copy_of(sides))
    assert servers[1].contents("Docs") == servers[0].contents("Docs")


def test_answers_to_references_that_are_lost_for_good_end_the_copy(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    servers[1].after = once("batch/references", requests.ReadTimeout("no answer"), times=999)
    with pytest.raises(errors.DaglabError):
        run(tmp_path, copy_of(sides))
    servers[1].after = lambda *_: None
    run(tmp_path, copy_of(sides))
    assert servers[1].contents("Docs") == servers[0].contents("Docs")


def test_a_reference_is_tried_again_where_the_trouble_may_pass(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    said = iter(["timeout", "shard busy"])
    servers[1].refuse = lambda found: next(said, None) if "from" in found else None
    found = run(tmp_path, copy_of(sides))
    assert (found.references, found.failed) == (11, [])
    assert servers[1].contents("Docs") == servers[0].contents("Docs")


def test_a_reference_that_is_refused_is_listed_with_where_it_leads(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    one = str(uuid.UUID(int=3))
    servers[1].refuse = lambda found: "no such object" if one in found.get("to", "") else None
    outcome = copies.Outcome()
    copy = copy_of(sides)
    with journals.opened(tmp_path, copy.work) as journal:
        copies.begin(copy, journal, config.load({}))
        with pytest.raises(errors.NotGood, match="could not be written"):
            steps.run(copy, journal, batches.pace(1, 10), lambda *_: contextlib.nullcontext(lambda _: None), outcome)
    [failure] = outcome.failed
    assert failure.id == f"Docs/{uuid.UUID(int=4)}/of"
    assert failure.reason.endswith(f"{one}: no such object")
    assert outcome.references == 10


def test_a_tenant_that_is_deleted_while_it_is_read_is_left(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0], {"a": "ACTIVE", "b": "ACTIVE"})
    there = servers[0].there["Docs"]

    def on(_: str, path: str) -> None:
        if path == "batch/objects":
            there.tenants.pop("b", None)

    servers[1].on = on
    copy = copy_of(sides)
    servers[1].make("Docs", {})
    with journals.opened(tmp_path, copy.work) as journal:
        pace = batches.pace(1, 10)
        tally = transfers.objects_of(sides[0], sides[1], journal, pace, lambda _: None)
    assert (tally.gone, tally.written) == (["b"], 12)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"vectorizer": "text2vec-x"}, "the server would make one"),
        ({"properties": [{"name": "t", "dataType": ["blobHash"]}]}, "its t is a hash"),
    ],
    ids=["vector", "hash"],
)
def test_an_object_that_would_not_be_the_same_is_not_written(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path, schema: Any, reason: str
) -> None:
    servers[0].make("Docs", **schema)
    servers[0].put("Docs", 1)
    servers[0].there["Docs"].objects[None][str(uuid.UUID(int=1))].pop("vector")
    servers[1].make("Docs", **schema)
    with journals.opened(tmp_path, copy_of(sides).work) as journal:
        tally = transfers.objects_of(*sides, journal, batches.pace(1, 10), lambda _: None)
        transfers.references_of(*sides, journal, tally, lambda _: None)  # there are none
    [failure] = tally.failed
    assert reason in failure.reason
    assert servers[1].contents("Docs") == {}


def test_a_transfer_of_which_too_much_fails_is_stopped(sides: tuple[transfers.Side, transfers.Side]) -> None:
    failed = [batches.Failure("1", "too long")] * transfers.MANY_FAILED
    transfers.refuse_many(sides[1], failed, written=transfers.MANY_FAILED)
    transfers.refuse_many(sides[1], failed[1:], written=0)
    with pytest.raises(transfers.TooManyFailed, match="refused 1000 objects of Docs, the last one so: too long"):
        transfers.refuse_many(sides[1], failed, written=transfers.MANY_FAILED - 1)
    with pytest.raises(transfers.TooManyFailed):
        transfers.refuse_many(sides[1], failed * 10, written=10**9)
    assert transfers.sides(*sides)["target"] == {"cluster": URLS[1], "collection": "Docs"}


def test_a_collection_that_somebody_else_makes_first_is_not_taken_for_the_copy(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])

    def on(method: str, path: str) -> None:
        if (method, path) == ("POST", "schema"):
            servers[1].make("Docs")
            servers[1].put("Docs", 99)

    servers[1].on = on
    with pytest.raises(rest.Refused, match="it is there already"):
        run(tmp_path, copy_of(sides))
    assert list(servers[1].contents("Docs")[None]) == [str(uuid.UUID(int=99))]
    assert not (tmp_path / ".daglab").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [({"number": 50}, "12 objects were written, and Docs has 13"), ({"number": 3, "text": "other"}, None)],
    ids=["another", "the same"],
)
def test_what_somebody_else_writes_to_a_copy_meanwhile(
    servers: list[Server],
    sides: tuple[transfers.Side, transfers.Side],
    tmp_path: Path,
    more: Any,
    message: str | None,
) -> None:
    fill(servers[0])

    def on(_: str, path: str) -> None:
        if path == "batch/references":
            servers[1].put("Docs", **more)

    servers[1].on = on
    if message is None:
        run(tmp_path, copy_of(sides))  # it is counted alone, and `verify` compares
        assert comparisons.compare(*sides).counts["changed"] == 1
        return
    with pytest.raises(errors.NotGood, match=message):
        run(tmp_path, copy_of(sides))


def test_an_overwriting_copy_that_is_not_the_same_replaces_nothing(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    servers[1].make("Docs")
    kept = servers[1].put("Docs", 99)
    beside = copy_of(sides, overwrite=True).beside

    def on(_: str, path: str) -> None:
        if path == "batch/references":
            servers[1].there[beside].objects[None][str(uuid.UUID(int=3))]["properties"]["t"] = "other"

    servers[1].on = on
    with pytest.raises(errors.NotGood, match="Docs and its copy differ: 1 changed"):
        run(tmp_path, copy_of(sides, overwrite=True))
    assert list(servers[1].there) == ["Docs"]
    assert list(servers[1].there["Docs"].objects[None]) == [kept]


def test_a_collection_of_a_copy_whose_journal_is_gone_is_left(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    servers[1].make("Docs")
    copy = copy_of(sides, overwrite=True)
    servers[1].make(copy.beside)
    with pytest.raises(errors.InvalidInput, match=f"There is a collection {copy.beside}"):
        run(tmp_path, copy)
    assert sorted(servers[1].there) == ["Docs", copy.beside]


def test_a_copy_that_is_proven_needs_no_source_any_more(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    """Killed while it replaces: the source goes, and what was copied of it is put into its place all the same."""
    fill(servers[0])
    servers[1].make("Docs")
    copy = copy_of(sides, overwrite=True)
    before = servers[0].contents("Docs")

    def on(method: str, path: str) -> None:
        if (method, path) == ("DELETE", "schema/Docs"):
            raise Killed

    servers[1].on = on
    assert not copies.needs_no_source(tmp_path, copy)
    with pytest.raises(Killed):
        run(tmp_path, copy)
    servers[1].on = lambda *_: None
    assert copies.needs_no_source(tmp_path, copy)
    del servers[0].there["Docs"]
    assert run(tmp_path, copy).replaced
    assert servers[1].contents("Docs") == before
    assert list(servers[1].there) == ["Docs"]


def test_a_replaced_collection_that_is_not_the_same_keeps_all_in_the_one_beside(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    servers[1].make("Docs")
    copy = copy_of(sides, overwrite=True)
    before = servers[0].contents("Docs")
    one = str(uuid.UUID(int=3))
    servers[1].refuse = lambda found: "no disk" if found.get("class") == "Docs" and found.get("id") == one else None
    with pytest.raises(errors.NotGood, match="Docs was not replaced as it should be: no disk"):
        run(tmp_path, copy)
    assert servers[1].contents(copy.beside) == before
    servers[1].refuse = lambda _: None
    assert run(tmp_path, copy).replaced
    assert servers[1].contents("Docs") == before


@pytest.mark.parametrize("states", [None, STATES], ids=["plain", "tenants"])
def test_a_copy_whose_place_was_made_anew_is_not_gone_on_with(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path, states: Any
) -> None:
    fill(servers[0], states)
    servers[1].on = once("batch/references", Killed())
    with pytest.raises(Killed):
        run(tmp_path, copy_of(sides))
    servers[1].make("Docs", {} if states else None)
    with pytest.raises(errors.InvalidInput, match="lacks what an earlier try had written there"):
        run(tmp_path, copy_of(sides))
    del servers[1].there["Docs"]
    run(tmp_path, copy_of(sides))
    assert servers[1].contents("Docs") == servers[0].contents("Docs")


@pytest.mark.parametrize("states", [None, STATES], ids=["plain", "tenants"])
def test_a_copy_that_is_killed_once_its_place_is_made_takes_it_for_its_own(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path, states: Any
) -> None:
    fill(servers[0], states)

    def after(method: str, path: str) -> None:
        if (method, path) == ("POST", "schema"):
            raise Killed

    servers[1].after = after
    with pytest.raises(Killed):
        run(tmp_path, copy_of(sides))
    assert servers[1].contents("Docs") == {}
    servers[1].after = lambda *_: None
    run(tmp_path, copy_of(sides))
    assert servers[1].contents("Docs") == servers[0].contents("Docs")


def test_a_schema_alone_replaces_a_collection_and_its_objects(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    servers[1].make("Docs", description="the old one")
    servers[1].put("Docs", 99)
    servers[1].aliases = {"Live": "Docs"}
    copy = copy_of(sides, overwrite=True, schema_only=True)
    assert run(tmp_path, copy).replaced
    assert list(servers[1].there) == ["Docs"]
    assert servers[1].there["Docs"].schema == servers[0].there["Docs"].schema
    assert (servers[1].contents("Docs"), servers[1].aliases) == ({}, {"Live": "Docs"})


def test_a_replaced_collection_is_written_once_though_what_was_beside_it_stays_at_first(
    servers: list[Server], sides: tuple[transfers.Side, transfers.Side], tmp_path: Path
) -> None:
    fill(servers[0])
    servers[1].make("Docs")
    copy = copy_of(sides, overwrite=True)

    def kill(method: str, path: str) -> None:
        if (method, path) == ("DELETE", f"schema/{copy.beside}"):
            raise Killed

    servers[1].on = kill
    with pytest.raises(Killed):
        run(tmp_path, copy)
    assert set(servers[1].there) == {"Docs", copy.beside}
    asked: list[tuple[str, str]] = []
    servers[1].on = lambda method, path: asked.append((method, path))
    assert run(tmp_path, copy).replaced
    assert not [path for _, path in asked if path.startswith("batch")]
    assert list(servers[1].there) == ["Docs"]
    assert servers[1].contents("Docs") == servers[0].contents("Docs")

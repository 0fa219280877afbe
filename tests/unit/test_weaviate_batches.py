"""Batches, cursors and references against a server that does not do as it should: no object is lost in silence."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses

from daglab import errors, web
from daglab.settings import config
from daglab.weaviate import batches, clusters, cursors, rest, store, verbatim

URL = "http://127.0.0.1:9"
BATCH = f"{URL}/v1/batch/objects"
GOOD = {"result": {"status": "SUCCESS"}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> rest.Cluster:
    monkeypatch.setattr(web, "delay", lambda *_: 0.0)
    return clusters.connect(config.load(), URL)


@pytest.fixture
def server() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def made(number: int, **more: Any) -> list[dict[str, Any]]:
    return [{"class": "A", "id": str(uuid.UUID(int=n)), "properties": {"n": n}, **more} for n in range(number)]


def bad(words: str) -> dict[str, Any]:
    return {"result": {"status": "FAILED", "errors": {"error": [{"message": words}]}}}


class Store:
    """A server that takes objects, and answers as `judge` says for a batch: None for as usual."""

    def __init__(self, mock: responses.RequestsMock, judge: Callable[[list[Any], int], Any]) -> None:
        self.held: dict[str, Any] = {}
        self.sizes: list[int] = []
        self.judge = judge
        mock.add_callback(responses.POST, BATCH, self.answer)

    def answer(self, request: Any) -> Any:
        listed = json.loads(request.body)["objects"]
        self.sizes.append(len(listed))
        judged = self.judge(listed, len(self.sizes))
        if isinstance(judged, tuple):
            return judged
        results = judged if judged is not None else [GOOD] * len(listed)
        self.held.update(
            {
                each["id"]: each
                for each, one in zip(listed, results, strict=False)
                if one.get("result") == GOOD["result"]
            }
        )
        return 200, {}, json.dumps(results)


def ids(objects: list[dict[str, Any]]) -> list[str]:
    return [each["id"] for each in objects]


@pytest.mark.parametrize(
    "answer",
    [
        (429, {"Retry-After": "0"}, "{}"),
        (500, {}, '{"error":[{"message":"oh"}]}'),
        (503, {}, ""),
        (200, {}, ""),
        (200, {}, "<html>"),
        (200, {}, "[{]"),
        (200, {}, "{}"),
        (200, {}, json.dumps([GOOD])),
        (200, {}, json.dumps([GOOD] * 500)),
    ],
)
def test_a_batch_that_was_not_answered_is_sent_again(
    cluster: rest.Cluster, server: responses.RequestsMock, answer: Any
) -> None:
    found = Store(server, lambda _, number: answer if number <= 3 else None)
    written = made(250)
    assert batches.write(cluster, written, batches.pace(10, 100)) == []
    assert sorted(found.held) == ids(written)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((429, {}, "{}"), rest.Failed),
        ((500, {}, "{}"), rest.Failed),
        ((200, {}, "<html>"), rest.Failed),
        ((200, {}, "[]"), rest.Failed),
        ((422, {}, '{"error":[{"message":"no such class"}]}'), rest.Refused),
        ((401, {}, "{}"), errors.NotAuthorised),
        ((302, {"Location": "http://other.test"}, ""), errors.Unreachable),
    ],
)
def test_a_server_that_takes_nothing_is_an_error(
    cluster: rest.Cluster, server: responses.RequestsMock, answer: Any, kind: type[errors.DaglabError]
) -> None:
    found = Store(server, lambda *_: answer)
    with pytest.raises(kind):
        batches.write(cluster, made(100), batches.pace(10, 100))
    assert not found.held
    assert len(found.sizes) < 600


def test_what_passes_is_tried_again_and_the_rest_is_listed_with_the_servers_words(
    cluster: rest.Cluster, server: responses.RequestsMock
) -> None:
    tries: dict[str, int] = {}

    def judge(listed: list[Any], _: int) -> Any:
        results = []
        for each in listed:
            number = each["properties"]["n"]
            tries[each["id"]] = tries.get(each["id"], 0) + 1
            if number % 10 == 3:
                results.append(bad("new node has a vector with length 2"))
            elif number % 10 == 4 and tries[each["id"]] < 3:
                results.append(bad("broadcast: cannot reach enough replicas"))
            else:
                results.append(GOOD)
        return results

    found = Store(server, judge)
    written = made(95)
    failed = batches.write(cluster, written, batches.pace(10, 30))
    assert [each.id for each in failed] == [each["id"] for each in written if each["properties"]["n"] % 10 == 3]
    assert {each.reason for each in failed} == {"new node has a vector with length 2"}
    assert len(found.held) == 85


def test_what_does_not_pass_in_time_is_listed(cluster: rest.Cluster, server: responses.RequestsMock) -> None:
    Store(server, lambda listed, _: [bad("leader not found")] * len(listed))
    failed = batches.write(cluster, made(5), batches.pace(1, 10))
    assert [each.reason for each in failed] == ["leader not found"] * 5


@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_batch_refused_as_a_whole_is_divided_until_the_bad_ones_are_known(
    cluster: rest.Cluster, server: responses.RequestsMock, status: int
) -> None:
    poison = {3, 77, 78}

    def judge(listed: list[Any], _: int) -> Any:
        if any(each["properties"]["n"] in poison for each in listed):
            return status, {}, '{"error":[{"message":"must be of type uuid"}]}'
        return None

    found = Store(server, judge)
    written = made(100)
    failed = batches.write(cluster, written, batches.pace(10, 100))
    assert {each.id for each in failed} == {written[n]["id"] for n in poison}
    assert all("must be of type uuid" in each.reason for each in failed)
    assert len(found.held) == 97


def test_batches_are_halved_where_they_are_too_large(cluster: rest.Cluster, server: responses.RequestsMock) -> None:
    def judge(listed: list[Any], _: int) -> Any:
        return (413, {}, "") if len(json.dumps(listed)) > 20_000 else None

    found = Store(server, judge)
    written = [*made(100, text="x" * 900), {"class": "A", "id": "huge", "properties": {}, "text": "x" * 30_000}]
    pace = batches.pace(1, 1000)
    failed = batches.write(cluster, written, pace)
    assert [each.id for each in failed] == ["huge"]
    assert len(found.held) == 100
    assert pace.most_bytes <= 20_000
    before = len(found.sizes)
    batches.write(cluster, written[:50], pace)
    assert len(found.sizes) - before <= 6  # none is refused again


def test_a_batch_holds_no_more_bytes_than_the_pace_says(cluster: rest.Cluster, server: responses.RequestsMock) -> None:
    found = Store(server, lambda *_: None)
    pace = batches.pace(1, 1000)
    pace.size, pace.most_bytes = 1000, 5000
    batches.write(cluster, made(30, text="x" * 900), pace)
    assert set(found.sizes) == {5}


def test_sizes_grow_to_the_most_and_shrink_to_the_least(cluster: rest.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = batches.pace(20, 700)
    for _ in range(6):
        batches._adapt(pace, pace.size, 0.1)
    assert pace.size == 700
    for _ in range(8):
        batches._adapt(pace, pace.size, 10.0)
    assert pace.size == 20
    assert batches.pace(200, 100).most == 200


def test_what_is_no_json_is_listed(cluster: rest.Cluster, server: responses.RequestsMock) -> None:
    found = Store(server, lambda *_: None)
    odd = [{"class": "A", "id": "nan", "n": float("nan")}, {"class": "A", "id": "half", "t": "\ud800"}]
    failed = batches.write(cluster, [*odd, *made(2)], batches.pace(1, 10))
    assert [each.id for each in failed] == ["nan", "half"]
    assert len(found.held) == 2


def test_vectors_pass_as_they_came() -> None:
    rows = [{"id": "a", "t": 'say "vector":[' + "1.5," * 20 + "2]", "v": [1e-07, -0.0, 12345678.0] * 9, "s": [1, 2]}]
    text = json.dumps(rows).replace(" ", "").replace("1e-07", "1E-7").encode()
    marked, texts = verbatim.taken_out(text)
    assert len(texts.found) == 2
    assert len(marked) < len(text)
    again = json.dumps(json.loads(marked), separators=(",", ":")).encode()
    assert verbatim.put_back(again, texts) == text
    assert json.loads(verbatim.left_out(text))[0]["s"] == [1, 2]


def pages(server: responses.RequestsMock, *answers: Any) -> None:
    for answer in answers:
        body = answer if isinstance(answer, str) else json.dumps({"objects": [{"id": each} for each in answer]})
        server.get(f"{URL}/v1/objects", body=body)


def test_a_page_that_was_cut_is_read_again(cluster: rest.Cluster, server: responses.RequestsMock) -> None:
    pages(server, ["a", "b"], '{"objects": [{"id"', "<html>", ["c"], [])
    found = [each["id"] for page in cursors.pages(cluster, "A", vectors=False) for each in page.objects]
    assert found == ["a", "b", "c"]


@pytest.mark.parametrize("answer", ["<html>", "{}", '{"objects": 3}', '{"objects": [{}]}', ""])
def test_a_page_that_stays_wrong_is_an_error_and_no_end(
    cluster: rest.Cluster, server: responses.RequestsMock, answer: str
) -> None:
    pages(server, ["a"], *[answer] * 10)
    with pytest.raises(rest.Failed):
        list(cursors.pages(cluster, "A", vectors=False))


def test_a_list_that_does_not_go_on_is_an_error(cluster: rest.Cluster, server: responses.RequestsMock) -> None:
    pages(server, ["a", "b"], ["a", "b"])
    with pytest.raises(rest.Failed, match="again"):
        list(cursors.pages(cluster, "A", vectors=False))


def test_fewer_objects_are_asked_for_where_there_are_too_many_bytes(
    cluster: rest.Cluster, server: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursors, "MOST_SIZE", 5000)
    held = [{"id": f"{n:03}", "text": "x" * (9000 if n == 30 else 1000)} for n in range(40)]

    def answer(request: Any) -> Any:
        rest_of = [each for each in held if each["id"] > request.params["after"]]
        return 200, {}, json.dumps({"objects": rest_of[: int(request.params["limit"])]})

    server.add_callback(responses.GET, f"{URL}/v1/objects", answer)
    found = [each["id"] for page in cursors.pages(cluster, "A", vectors=False) for each in page.objects]
    assert found == [each["id"] for each in held]


def test_minus_nothing_stays(cluster: rest.Cluster, server: responses.RequestsMock) -> None:
    server.get(f"{URL}/v1/objects", body='{"objects":[{"id":"a","n":-0,"l":[-0,0,1],"t":"-0","m":3}]}')
    [found] = store.page(cluster, "A", "", 1, vectors=False).objects
    assert json.dumps(found) == '{"id": "a", "n": -0.0, "l": [-0.0, 0, 1], "t": "-0", "m": 3}'


def test_what_is_called_good_beside_what_is_refused_is_not_taken_for_written(
    cluster: rest.Cluster, server: responses.RequestsMock
) -> None:
    """Of a shard that is read-only a server refuses the first object, and calls the others good."""
    frozen = {each["id"] for each in made(120) if each["properties"]["n"] % 3 == 1}

    class Shards(Store):
        def answer(self, request: Any) -> Any:
            listed = json.loads(request.body)["objects"]
            results, told = [], False
            for each in listed:
                if each["id"] in frozen:
                    results.append(GOOD if told else bad("store is read-only"))
                    told = True
                else:
                    results.append(GOOD)
                    self.held[each["id"]] = each
            return 200, {}, json.dumps(results)

    found = Shards(server, lambda *_: None)
    failed = batches.write(cluster, made(120), batches.pace(10, 50))
    assert {each.id for each in failed} == frozen
    assert len(failed) == len(frozen)
    assert len(found.held) == 80

"""Plans carried out against a server that fails, from canned answers."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
import requests
import responses

from daglab import errors
from daglab.commands.collection import optimize
from daglab.settings import config
from daglab.weaviate import clusters, rest
from daglab.weaviate.improving import improvements, indexes, plans, replication, tunings

URL = "http://weaviate.test"
MOVES = f"{URL}/v1/replication/replicate"


@pytest.fixture
def cluster() -> rest.Cluster:
    return clusters.connect(config.load(), URL)


def step(kind: str, task: str | None = None) -> improvements.Step:
    path = replication.PATH if kind == "rebalance" else "schema/Docs/properties/n/index/filterable/rebuild"
    figures = {"property": "n", "index": "filterable"}
    return improvements.Step(
        plans.Action(kind, "Do it", "Why", figures, (1, 39, 0), None, None, "POST", path, {"a": 1}, task)
    )


def task(status: str, error: str = "") -> dict[str, Any]:
    return {"reindex": [{"id": "t", "status": status, "error": error, "units": [{"progress": 0.5}], "payload": {}}]}


@responses.activate
@pytest.mark.parametrize(
    ("answer", "state", "problem"),
    [
        (task("FINISHED"), "done", None),
        (task("FAILED", "a disk is full"), "failed", "a disk is full"),
        (task("CANCELLED"), "cancelled", None),
        ({}, "failed", "The server does not know its task any more."),
    ],
)
def test_a_task_is_followed_to_each_of_its_ends(
    cluster: rest.Cluster, answer: dict[str, Any], state: str, problem: str | None
) -> None:
    responses.get(f"{URL}/v1/tasks", json=task("STARTED"))
    responses.get(f"{URL}/v1/tasks", json=answer)
    it, seen = step("reindex", "t"), []
    improvements.carry_out(cluster, [it], lambda each: seen.append(each.state), 60)
    assert (it.state, it.problem, seen[0], seen[-1]) == (state, problem, "running", state)


@responses.activate
@pytest.mark.parametrize(("state", "ends"), [("READY", "done"), ("CANCELLED", "cancelled")])
def test_a_move_is_followed_to_each_of_its_ends(cluster: rest.Cluster, state: str, ends: str) -> None:
    responses.post(MOVES, json={"id": "m"})
    status = {"state": state, "errors": [{"message": "no room"}]}
    responses.get(f"{MOVES}/m", json={"id": "m", "status": {"state": "HYDRATING"}})
    responses.get(f"{MOVES}/m", json={"id": "m", "status": status})
    it = step("rebalance")
    improvements.carry_out(cluster, [it], lambda _: None, 60)
    assert (it.state, it.problem) == (ends, None if ends == "done" else "no room")


@responses.activate
def test_a_move_whose_answer_is_lost_is_not_asked_for_again(cluster: rest.Cluster) -> None:
    responses.post(MOVES, body=requests.ConnectionError("cut"))
    with pytest.raises(errors.OutcomeUnknown):
        improvements.carry_out(cluster, [step("rebalance")], lambda _: None, 60)
    assert len(responses.calls) == 1


@responses.activate
def test_moves_that_are_off_are_not_set_up(cluster: rest.Cluster) -> None:
    responses.get(f"{URL}/v1/replication/sharding-state", status=501)
    with pytest.raises(errors.NotSetUp, match="switched off"):
        replication.replicas(cluster, "Docs")


@responses.activate
def test_an_older_server_has_no_indexes_to_tell(cluster: rest.Cluster) -> None:
    responses.get(f"{URL}/v1/schema/Docs/indexes", status=404, json={"code": 404, "message": "not found"})
    with pytest.raises(rest.Missing):
        indexes.listed(cluster, "Docs")


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (errors.Terminated, 143)])
def test_who_stops_it_is_told_that_it_goes_on(
    cluster: rest.Cluster, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException], code: int
) -> None:
    def stopped(*_: Any) -> None:
        raise stop

    monkeypatch.setattr(improvements, "carry_out", stopped)
    picture = plans.Picture("main", "Docs", (1, 39, 0), {"class": "Docs"}, [], 0, None, {}, ())
    steps = [step("reindex", "t")]
    with pytest.raises(errors.Interrupted) as raised:
        optimize.carry_out(cluster, tunings.Tuning(picture, "auto", [], []), 60, steps, {"name": "Docs"})
    assert (raised.value.exit_code, "goes on in the server" in raised.value.message) == (code, True)
    assert "--analyze" in str(raised.value.hint)
    result = json.loads(json.dumps(raised.value.result))
    assert (result["ok"], [each["task"] for each in result["undone"]], result["done"]) == (False, [None], [])


@responses.activate
@pytest.mark.parametrize(
    ("status", "answer", "state"),
    [(422, {"error": [{"message": "it has a task already"}]}, "failed"), (200, {}, "done")],
)
def test_what_is_refused_has_failed_and_what_needs_no_task_is_done(
    cluster: rest.Cluster, status: int, answer: dict[str, Any], state: str
) -> None:
    it = step("reindex")
    responses.post(f"{URL}/v1/{it.action.path}", json=answer, status=status)
    improvements.carry_out(cluster, [it], lambda _: None, 60)
    assert it.state == state
    assert (it.problem is not None and "it has a task already" in it.problem) is (state == "failed")


@responses.activate
def test_a_move_that_the_server_has_forgotten_has_failed(cluster: rest.Cluster) -> None:
    responses.post(MOVES, json={"id": "m"})
    responses.get(f"{MOVES}/m", status=404)
    it = step("rebalance")
    improvements.carry_out(cluster, [it], lambda _: None, 60)
    assert (it.state, it.problem) == ("failed", "The server does not know this move any more.")


@responses.activate
def test_what_is_not_done_in_time_goes_on_without_us(cluster: rest.Cluster) -> None:
    responses.get(f"{URL}/v1/tasks", json=task("STARTED"))
    it = step("reindex", "t")
    with pytest.raises(errors.TimedOut, match="Do it: it is not done in the time given"):
        improvements.carry_out(cluster, [it], lambda _: None, -1)
    assert it.state == "running"


PICTURE = plans.Picture("main", "Docs", (1, 39, 0), {"class": "Docs"}, [], 0, None, {}, ())


def done(cluster: rest.Cluster, steps: list[improvements.Step], seconds: float = 60) -> dict[str, Any]:
    """What the command knows after it has carried out a plan of these steps."""
    result: dict[str, Any] = {"name": "Docs"}
    optimize.carry_out(cluster, tunings.Tuning(PICTURE, "auto", [], []), seconds, steps, result)
    return result


@responses.activate
def test_the_command_says_that_what_took_too_long_goes_on(cluster: rest.Cluster) -> None:
    responses.get(f"{URL}/v1/tasks", json=task("STARTED"))
    with pytest.raises(errors.TimedOut) as raised:
        done(cluster, [step("reindex", "t")], seconds=-1)
    assert str(raised.value.hint).startswith("It goes on in the server. `daglab collections optimize Docs --analyze`")
    assert [each["state"] for each in (raised.value.result or {})["undone"]] == ["running"]


@responses.activate
def test_the_command_says_what_is_known_when_the_server_is_gone(cluster: rest.Cluster) -> None:
    responses.get(f"{URL}/v1/tasks", json=task("FINISHED"))
    responses.post(MOVES, body=requests.ConnectionError("cut"))
    with pytest.raises(errors.OutcomeUnknown) as raised:
        done(cluster, [step("reindex", "t"), step("rebalance")])
    assert "It goes on in the server" not in str(raised.value.hint)
    result = raised.value.result or {}
    assert (result["ok"], result["name"], [each["kind"] for each in result["undone"]][-1:]) == (
        False,
        "Docs",
        ["rebalance"],
    )


@responses.activate
def test_the_command_ends_with_what_failed_of_several(
    cluster: rest.Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    responses.get(f"{URL}/v1/tasks", json=task("FAILED", "a disk is full"))
    responses.post(MOVES, json={"id": "m"})
    responses.get(f"{MOVES}/m", json={"id": "m", "status": {"state": "READY"}})
    with click.Context(click.Command("optimize")), pytest.raises(errors.NotGood) as raised:
        done(cluster, [step("reindex", "t"), step("rebalance")])
    assert raised.value.message == "1 of 2 actions failed: Do it: a disk is full"
    result = raised.value.result or {}
    assert (result["ok"], len(result["done"]), len(result["undone"])) == (False, 1, 1)
    assert "Do it: failed: a disk is full" in capsys.readouterr().err

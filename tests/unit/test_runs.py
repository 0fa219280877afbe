"""Runs: how they stand, following one to its end, why it failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses
from responses import registries

from daglab import errors, web
from daglab.deployment import dagster_api, run_logs, runs
from daglab.launching import cancellation

URL = "http://dagster.test:3000"
GRAPHQL = f"{URL}/graphql"


class Clock:
    """Time that passes only while somebody sleeps; it has no wall's clock that could be asked."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (runs, cancellation, web):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[dagster_api.DagsterApi]:
    monkeypatch.setattr(web, "delay", lambda *_: 0.0)
    with requests.Session() as http:
        yield dagster_api.DagsterApi(URL, web.Session(http, timeout=5.0, retries=1))


def run(status: str, run_id: str = "r1", **more: Any) -> dict[str, Any]:
    return {"runId": run_id, "status": status, "startTime": None, "endTime": None, "stepStats": [], **more}


def step(key: str, status: str | None = "SUCCESS") -> dict[str, Any]:
    return {"stepKey": key, "status": status, "startTime": 1.0, "endTime": 2.0}


def answer(*results: Any) -> None:
    responses.post(GRAPHQL, json={"data": {"runsOrError": {"__typename": "Runs", "results": list(results)}}})


def statuses(*each: str) -> None:
    for status in each:
        answer(run(status))


def follow(api: dagster_api.DagsterApi, timeout: float = 60, interval: float = 1) -> list[str]:
    looks = runs.follow(api, ["r1"], timeout=timeout, interval=interval)
    return [each.status for changed in looks for each in changed]


# --- how a run stands


@responses.activate
def test_a_run(api: dagster_api.DagsterApi) -> None:
    answer(run("SUCCESS", startTime=10.0, endTime=12.5, stepStats=[step("a"), step("b", None)]))
    found = runs.status(api, ["r1"])["r1"]
    assert found == runs.Run(
        "r1",
        "SUCCESS",
        10.0,
        12.5,
        (runs.Step("a", "SUCCESS", 1.0, 2.0), runs.Step("b", None, 1.0, 2.0)),
    )
    assert (found.has_ended, found.seconds) == (True, 2.5)


@responses.activate
def test_a_run_that_has_not_begun(api: dagster_api.DagsterApi) -> None:
    answer(run("QUEUED", stepStats=None))
    found = runs.status(api, ["r1"])["r1"]
    assert (found.has_ended, found.seconds, found.steps) == (False, None, ())


@responses.activate
def test_runs_that_are_not_there(api: dagster_api.DagsterApi) -> None:
    answer(run("SUCCESS"))
    with pytest.raises(errors.InvalidInput, match="does not know the run r2, r3") as caught:
        runs.status(api, ["r2", "r1", "r3"])
    assert caught.value.hint


@responses.activate
@pytest.mark.parametrize(
    ("member", "kind"),
    [
        ({"__typename": "PythonError", "message": "x"}, dagster_api.ServerFailed),
        ({"__typename": "InvalidPipelineRunsFilterError", "message": "x"}, dagster_api.Refused),
        ({"__typename": "Newfangled"}, dagster_api.Refused),
        (None, errors.Unreachable),
        ({"__typename": "Runs"}, errors.Unreachable),
        ({"__typename": "Runs", "results": None}, errors.Unreachable),
        ({"__typename": "Runs", "results": [None]}, errors.Unreachable),
        ({"__typename": "Runs", "results": [{"runId": "r1"}]}, errors.Unreachable),
        ({"__typename": "Runs", "results": [run("SUCCESS", stepStats=[{}])]}, errors.Unreachable),
    ],
)
def test_an_answer_that_is_none(member: Any, kind: type[Exception], api: dagster_api.DagsterApi) -> None:
    responses.post(GRAPHQL, json={"data": {"runsOrError": member}})
    for ask in (lambda: runs.status(api, ["r1"]), lambda: follow(api, timeout=300)):
        with pytest.raises(kind) as caught:
            ask()
        assert caught.value.hint  # type: ignore[attr-defined]


def test_times_are_told_with_their_zone() -> None:
    assert runs.timestamp(None) is None
    assert runs.timestamp(0.0) == "1970-01-01T00:00:00+00:00"
    assert runs.timestamp(1.5) == "1970-01-01T00:00:01.500000+00:00"


# --- following


@responses.activate
@pytest.mark.parametrize("end", ["SUCCESS", "FAILURE", "CANCELED"])
def test_following_ends_at_any_end(end: str, api: dagster_api.DagsterApi, clock: Clock) -> None:
    statuses("QUEUED", "STARTING", "STARTED", "STARTED", end, "NEVER ASKED")
    assert follow(api) == ["QUEUED", "STARTING", "STARTED", end]
    assert clock.slept == [1, 1, 1, 1]


@responses.activate
@pytest.mark.parametrize(
    "status", ["QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "SUSPENDED", "CANCELING", "NEWFANGLED", ""]
)
def test_any_other_status_is_not_the_end(status: str, api: dagster_api.DagsterApi) -> None:
    statuses(status, status, "SUCCESS")
    assert follow(api) == [status, "SUCCESS"]


@responses.activate
def test_a_run_that_has_ended_already(api: dagster_api.DagsterApi, clock: Clock) -> None:
    statuses("FAILURE")
    assert follow(api) == ["FAILURE"]
    assert clock.slept == []


@responses.activate
def test_each_change_of_a_step_is_told(api: dagster_api.DagsterApi) -> None:
    answer(run("STARTED"))
    answer(run("STARTED", stepStats=[step("a", "IN_PROGRESS")]))
    answer(run("STARTED", stepStats=[step("a")]))
    answer(run("STARTED", stepStats=[step("a")]))
    answer(run("SUCCESS", stepStats=[step("a")]))
    looks = [each for changed in runs.follow(api, ["r1"], timeout=60, interval=1) for each in changed]
    told = [each.steps[0].status if each.steps else "" for each in looks]
    assert told == ["", "IN_PROGRESS", "SUCCESS", "SUCCESS"]


@responses.activate
@pytest.mark.parametrize(
    ("timeout", "interval", "slept"),
    [(3, 1, [1, 1, 1]), (2.5, 1, [1, 1, 0.5]), (0.2, 1, [0.2]), (1, 5, [1])],
)
def test_the_time_is_up(
    timeout: float, interval: float, slept: list[float], api: dagster_api.DagsterApi, clock: Clock
) -> None:
    statuses("STARTED")
    with pytest.raises(errors.TimedOut, match=rf"The run r1 is STARTED after {timeout:g} s; it goes on") as caught:
        follow(api, timeout, interval)
    assert clock.slept == pytest.approx(slept)
    assert f"{URL}/runs/r1" in str(caught.value.hint)
    assert "--timeout" in str(caught.value.hint)
    assert len(responses.calls) == len(slept) + 1  # a last look when the time is up


@responses.activate
def test_an_end_at_the_last_look_counts(api: dagster_api.DagsterApi) -> None:
    statuses("STARTED", "STARTED", "SUCCESS")
    assert follow(api, timeout=2) == ["STARTED", "SUCCESS"]


@responses.activate
@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_run_that_is_deleted_while_it_is_followed(before: int, api: dagster_api.DagsterApi) -> None:
    """Nobody can say how it would have ended."""
    for _ in range(before):
        answer(run("STARTED"))
    answer()
    with pytest.raises(errors.OutcomeUnknown, match="does not know the run r1 any more") as caught:
        follow(api)
    assert caught.value.hint


@responses.activate
def test_a_look_that_fails_is_made_again(api: dagster_api.DagsterApi) -> None:
    statuses("STARTED")
    responses.post(GRAPHQL, body=requests.ConnectionError("reset"))
    statuses("SUCCESS")
    assert follow(api) == ["STARTED", "SUCCESS"]


@responses.activate
def test_a_server_that_makes_us_wait_does_not_move_the_end(
    api: dagster_api.DagsterApi, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "delay", lambda *_: 30.0)
    statuses("STARTED")
    responses.post(GRAPHQL, status=503)
    with pytest.raises(errors.TimedOut):
        follow(api, timeout=5)
    assert clock.now <= 1006


@responses.activate
def test_a_server_that_is_gone_ends_the_following(api: dagster_api.DagsterApi) -> None:
    statuses("STARTED")
    responses.post(GRAPHQL, body=requests.ConnectionError("reset"))
    with pytest.raises(errors.Unreachable):
        follow(api, timeout=300)


@responses.activate
def test_the_time_is_up_while_the_server_is_gone(api: dagster_api.DagsterApi) -> None:
    statuses("STARTED")
    responses.post(GRAPHQL, body=requests.ConnectionError("reset"))
    with pytest.raises(errors.TimedOut, match="r1 could not be asked about"):
        follow(api, timeout=30)


@responses.activate
def test_a_server_that_does_not_answer_the_first_look_is_waited_for(api: dagster_api.DagsterApi) -> None:
    """It has answered before: it has launched the run."""
    for _ in range(10):
        responses.post(GRAPHQL, status=502)
    statuses("SUCCESS")
    assert follow(api, timeout=300) == ["SUCCESS"]


@responses.activate
def test_a_server_that_starts_again_is_waited_for(api: dagster_api.DagsterApi, clock: Clock) -> None:
    statuses("STARTED")
    for _ in range(100):
        responses.post(GRAPHQL, status=503)
    statuses("SUCCESS")
    assert follow(api, timeout=300) == ["STARTED", "SUCCESS"]


@responses.activate
def test_that_it_is_waited_for_is_said_once(
    api: dagster_api.DagsterApi, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on while nobody sleeps, as a real one does."""

    def ticking() -> float:
        clock.now += 0.001
        return clock.now

    monkeypatch.setattr(clock, "monotonic", ticking)
    statuses("STARTED")
    for _ in range(10):
        responses.post(GRAPHQL, status=503)
    statuses("SUCCESS")
    assert follow(api, timeout=300) == ["STARTED", "SUCCESS"]
    assert caplog.text.count("Dagster does not answer, and is waited for") == 1


# --- following several


@responses.activate
def test_several_are_asked_about_together(api: dagster_api.DagsterApi) -> None:
    """One that has ended is not asked about again, and one may come while the others are followed."""
    answer(run("STARTED"), run("SUCCESS", "r2"))
    answer(run("STARTED"), run("QUEUED", "r3"))
    answer(run("SUCCESS"), run("FAILURE", "r3"))
    ids, told = ["r1", "r2"], []
    for changed in runs.follow(api, ids, timeout=60, interval=1):
        told.append([(each.id, each.status) for each in changed])
        if "r3" not in ids:
            ids.append("r3")
    assert told == [[("r1", "STARTED"), ("r2", "SUCCESS")], [("r3", "QUEUED")], [("r1", "SUCCESS"), ("r3", "FAILURE")]]
    asked = [json.loads(call.request.body or "{}")["variables"]["ids"] for call in responses.calls]
    assert asked == [["r1", "r2"], ["r1", "r3"], ["r1", "r3"]]


@responses.activate
def test_one_that_is_deleted_does_not_end_the_following_of_the_others(api: dagster_api.DagsterApi) -> None:
    answer(run("STARTED"))
    answer(run("SUCCESS"))
    looks = runs.follow(api, ["r1", "r2"], timeout=60, interval=1)
    told = [f"{each.id} {each.status}" for changed in (next(looks), next(looks)) for each in changed]
    with pytest.raises(errors.OutcomeUnknown, match="does not know the run r2"):
        next(looks)
    assert told == ["r1 STARTED", "r2 DELETED", "r1 SUCCESS"]


@responses.activate
def test_of_many_the_steps_are_asked_about_at_their_end(api: dagster_api.DagsterApi) -> None:
    ids = [f"r{number}" for number in range(100)]
    answer(*(run("STARTED", each) for each in ids))
    answer(*(run("SUCCESS", each) for each in ids))
    answer(*(run("SUCCESS", each, stepStats=[step("a")]) for each in ids))
    looks = list(runs.follow(api, ids, timeout=60, interval=1))
    assert [len(each.steps) for each in looks[-1]] == [1] * 100
    assert [json.loads(call.request.body or "{}")["variables"]["steps"] for call in responses.calls] == [
        False,
        False,
        True,
    ]


# --- ending one

DONE = {"__typename": "TerminateRunSuccess", "run": {"runId": "r1"}}
# As Dagster 1.13 says it to a run that is STARTING, and to a reader of a read-only webserver.
NOT_YET = "Run r1 could not be terminated due to having status STARTING."
NO_RIGHT = "You do not have permission to terminate this run"


def refused(message: str) -> dict[str, Any]:
    return {"__typename": "TerminateRunFailure", "message": message}


class Ending:
    """A Dagster whose run changes as the test says: `script` is what each look shows, the last one for ever."""

    def __init__(self, *script: str, answers: Any = (), then: str | None = None) -> None:
        self.script, self.answers, self.then = list(script), list(answers), then
        self.asked: list[str] = []
        responses.add_callback(responses.POST, GRAPHQL, self.answer)

    def answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body or "{}")
        if " Terminate(" in body["query"]:
            return self.terminate(body["variables"])
        status = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        results = [] if status == "GONE" else [run(status, canTerminate=status in ("QUEUED", "STARTED"))]
        return 200, {}, json.dumps({"data": {"runsOrError": {"__typename": "Runs", "results": results}}})

    def terminate(self, variables: dict[str, str]) -> tuple[int, dict[str, str], str]:
        assert variables["id"] == "r1"
        self.asked.append(variables["policy"])
        member = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if member is DONE and self.then:
            self.script = [self.then]
        if member == "LOST":
            return 502, {}, "<html>"
        return 200, {}, json.dumps({"data": {"terminateRun": member}})


def cancelled(api: dagster_api.DagsterApi) -> tuple[str, bool]:
    found, marked = cancellation.cancel(api, "r1")
    return found.status, marked


SAFE, FORCE = "SAFE_TERMINATE", "MARK_AS_CANCELED_IMMEDIATELY"


@responses.activate
@pytest.mark.parametrize("status", ["QUEUED", "STARTED"])
def test_a_run_is_asked_to_end(status: str, api: dagster_api.DagsterApi) -> None:
    dagster = Ending(status, answers=[DONE], then="CANCELED")
    assert cancelled(api) == ("CANCELED", False)
    assert dagster.asked == [SAFE]


@responses.activate
def test_a_run_that_starts_is_asked_when_it_has_started(api: dagster_api.DagsterApi) -> None:
    dagster = Ending("STARTING", "STARTING", "STARTING", "STARTED", answers=[DONE], then="CANCELED")
    assert cancelled(api) == ("CANCELED", False)
    assert dagster.asked == [SAFE]


@responses.activate
def test_a_run_that_starts_for_ever_is_marked(api: dagster_api.DagsterApi, clock: Clock) -> None:
    dagster = Ending("STARTING", answers=[DONE], then="CANCELED")
    assert cancelled(api) == ("CANCELED", True)
    assert dagster.asked == [FORCE]
    assert sum(clock.slept) == pytest.approx(cancellation.ENDINGS[0][1] + cancellation.SETTLING, abs=2)


@responses.activate
def test_a_run_that_comes_back_after_it_was_marked(api: dagster_api.DagsterApi) -> None:
    """As Dagster 1.13 has it: the process that was starting reports its start, whatever the run is marked as."""
    seen = ["STARTING"] * 62 + ["CANCELED", "CANCELED", "STARTED"]
    dagster = Ending(*seen, "CANCELED", answers=[{**DONE}])
    assert cancelled(api) == ("CANCELED", True)
    assert dagster.asked == [FORCE, FORCE]


@responses.activate
def test_a_run_that_does_not_listen_is_marked(api: dagster_api.DagsterApi, clock: Clock) -> None:
    dagster = Ending("STARTED", answers=[{**DONE}, DONE], then="CANCELED")  # only the second one does it
    assert cancelled(api) == ("CANCELED", True)
    assert dagster.asked == [SAFE, FORCE]
    assert sum(clock.slept) >= cancellation.ENDINGS[0][1]


@responses.activate
def test_a_question_that_was_lost_is_asked_again(api: dagster_api.DagsterApi, clock: Clock) -> None:
    """After a while in which it may have arrived late; nothing is marked for it."""
    dagster = Ending("STARTED", answers=["LOST", DONE], then="CANCELED")
    assert cancelled(api) == ("CANCELED", False)
    assert dagster.asked == [SAFE, SAFE]
    assert sum(clock.slept) >= cancellation.SETTLING


@responses.activate
def test_a_server_that_is_away_while_a_run_is_cancelled(api: dagster_api.DagsterApi) -> None:
    for _ in range(10):
        responses.post(GRAPHQL, status=503)
    dagster = Ending("STARTED", answers=[DONE], then="CANCELED")
    assert cancelled(api) == ("CANCELED", False)
    assert dagster.asked == [SAFE]


@responses.activate
def test_a_refusal_between_two_looks_is_asked_again(api: dagster_api.DagsterApi) -> None:
    dagster = Ending("STARTED", answers=[refused(NOT_YET), DONE], then="CANCELED")
    assert cancelled(api) == ("CANCELED", False)
    assert dagster.asked == [SAFE, SAFE]


@responses.activate
@pytest.mark.parametrize("end", ["SUCCESS", "FAILURE", "CANCELED"])
def test_a_run_that_has_ended_by_itself(end: str, api: dagster_api.DagsterApi) -> None:
    dagster = Ending(end, answers=[DONE])
    assert cancelled(api) == (end, False)
    assert dagster.asked == []


@responses.activate
def test_a_run_that_ends_while_it_is_asked_to(api: dagster_api.DagsterApi) -> None:
    gone = refused("Run r1 could not be terminated due to having status SUCCESS.")
    dagster = Ending("STARTED", "SUCCESS", answers=[gone])
    assert cancelled(api) == ("SUCCESS", False)
    assert dagster.asked == [SAFE]


@responses.activate
def test_a_lost_answer_is_not_sent_again(api: dagster_api.DagsterApi) -> None:
    dagster = Ending("STARTED", "STARTED", "CANCELING", "CANCELED", answers=["LOST"])
    assert cancelled(api) == ("CANCELED", False)
    assert dagster.asked == [SAFE]


@responses.activate
@pytest.mark.parametrize(
    "member", [refused(NO_RIGHT), {"__typename": "PythonError", "message": NO_RIGHT}], ids=["refused", "failed"]
)
def test_a_run_that_may_not_be_ended(member: Any, api: dagster_api.DagsterApi, clock: Clock) -> None:
    dagster = Ending("STARTED", answers=[member])
    with pytest.raises(errors.NotAuthorised, match=NO_RIGHT):
        cancellation.cancel(api, "r1")
    assert dagster.asked == [SAFE]


@responses.activate
def test_a_run_that_goes_on_all_the_same(api: dagster_api.DagsterApi, clock: Clock) -> None:
    dagster = Ending("CANCELING", answers=[DONE])
    with pytest.raises(errors.TimedOut, match="r1 is CANCELING and could not be cancelled"):
        cancellation.cancel(api, "r1")
    assert set(dagster.asked) == {FORCE}
    assert sum(clock.slept) <= sum(seconds for _, seconds in cancellation.ENDINGS) + 1


@responses.activate
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"__typename": "UnauthorizedError", "message": "x"}, errors.NotAuthorised),
        (None, errors.Unreachable),
    ],
)
def test_an_ending_that_is_no_answer(answer: Any, kind: type[Exception], api: dagster_api.DagsterApi) -> None:
    Ending("STARTED", answers=[answer])
    with pytest.raises(kind):
        cancellation.cancel(api, "r1")


@responses.activate
def test_a_run_that_is_deleted_meanwhile(api: dagster_api.DagsterApi) -> None:
    Ending("GONE", answers=[DONE])
    with pytest.raises(errors.OutcomeUnknown):
        cancellation.cancel(api, "r1")


# --- a queue that nobody works off


def daemons(queues: bool, **health: Any) -> dict[str, Any]:
    found = [{"daemonType": name, "healthy": healthy} for name, healthy in health.items()]
    return {"instance": {"runQueuingSupported": queues, "daemonHealth": {"allDaemonStatuses": found}}}


@responses.activate
@pytest.mark.parametrize(
    ("data", "in_vain"),
    [
        (daemons(True, SENSOR=False, QUEUED_RUN_COORDINATOR=False), True),
        (daemons(True, SENSOR=False, QUEUED_RUN_COORDINATOR=True), False),
        (daemons(True, QUEUED_RUN_COORDINATOR=None), False),
        (daemons(False, QUEUED_RUN_COORDINATOR=False), False),
        (daemons(True, SENSOR=False), False),
        (daemons(True), False),
        ({"instance": None}, False),
        ({}, False),
    ],
)
def test_whether_a_queued_run_waits_in_vain(data: Any, in_vain: bool, api: dagster_api.DagsterApi) -> None:
    """What can't be known, as on Dagster+, is no reason to warn."""
    responses.post(GRAPHQL, json={"data": data})
    assert runs.waits_in_vain(api) is in_vain


@responses.activate
@pytest.mark.parametrize("status", [400, 401, 500])
def test_daemons_that_can_not_be_asked_about(status: int, api: dagster_api.DagsterApi) -> None:
    responses.post(GRAPHQL, status=status)
    assert runs.waits_in_vain(api) is False


# --- why it failed


def failure(key: str | None, message: str | None, *causes: str, kind: str = "ExecutionStepFailureEvent") -> Any:
    error = {"message": message, "causes": [{"message": cause} for cause in causes]} if message is not None else None
    event = {"__typename": kind, "message": "Execution of step failed.", "error": error}
    return {**event, "stepKey": key} if kind.startswith("ExecutionStep") else event


def page(*events: Any, cursor: str = "1", more: bool = False) -> None:
    connection = {"__typename": "EventConnection", "cursor": cursor, "hasMore": more, "events": list(events)}
    responses.post(GRAPHQL, json={"data": {"logsForRun": connection}})


OTHER = {"__typename": "LogMessageEvent"}


@responses.activate
def test_the_users_exception_and_its_cause(api: dagster_api.DagsterApi) -> None:
    page(OTHER, failure("a", "DagsterExecutionStepExecutionError: ...", "ValueError: boom é\n", "KeyError: 'x'\n"))
    assert run_logs.failures(api, "r1") == [run_logs.Failure("a", "ValueError: boom é", ("KeyError: 'x'",))]


@responses.activate
def test_a_failure_of_dagster_itself_has_no_cause(api: dagster_api.DagsterApi) -> None:
    page(failure("a", "DagsterTypeCheckDidNotPass: x\n"), failure("b", None), failure("c", ""))
    assert [(each.step, each.error, each.causes) for each in run_logs.failures(api, "r1")] == [
        ("a", "DagsterTypeCheckDidNotPass: x", ()),
        ("b", "Execution of step failed.", ()),
        ("c", "no reason given", ()),
    ]


@responses.activate
def test_what_the_run_says_counts_only_without_a_failed_step(api: dagster_api.DagsterApi) -> None:
    whole = failure(None, "Could not start", kind="RunFailureEvent")
    page(whole)
    assert run_logs.failures(api, "r1") == [run_logs.Failure(None, "Could not start", ())]
    responses.reset()
    page(failure("a", "x"), whole)
    assert [each.step for each in run_logs.failures(api, "r1")] == ["a"]
    responses.reset()
    page(OTHER)
    assert run_logs.failures(api, "r1") == []


@responses.activate
def test_failures_are_gathered_from_all_pages(api: dagster_api.DagsterApi) -> None:
    page(*[OTHER] * 1000, cursor="1", more=True)
    page(failure("a", "x"), cursor="2", more=True)
    page(cursor="3", more=True)
    page(failure("b", "y"), failure(None, "z", kind="RunFailureEvent"), cursor="4")
    page(failure("never asked", "x"))
    assert [each.step for each in run_logs.failures(api, "r1")] == ["a", "b"]
    sent = [json.loads(call.request.body or "{}")["variables"] for call in responses.calls]
    assert sent == [{"id": "r1", "cursor": cursor} for cursor in (None, "1", "2", "3")]


@responses.activate(registry=registries.OrderedRegistry)
@pytest.mark.parametrize("cursor", ["1", None])
def test_a_page_that_leads_nowhere_is_the_last(cursor: Any, api: dagster_api.DagsterApi) -> None:
    page(failure("a", "x"), cursor="1", more=True)
    page(failure("b", "y"), cursor=cursor, more=True)
    assert [each.step for each in run_logs.failures(api, "r1")] == ["a", "b"]
    assert len(responses.calls) == 2


@responses.activate
def test_a_long_message_is_cut(api: dagster_api.DagsterApi) -> None:
    page(failure("a", "wrapper", "ValueError: " + "x" * 100_000))
    assert len(run_logs.failures(api, "r1")[0].error) < 1000


@responses.activate
@pytest.mark.parametrize(
    ("member", "kind"),
    [
        ({"__typename": "RunNotFoundError", "message": "gone"}, dagster_api.Refused),
        ({"__typename": "PythonError", "message": "bogus cursor"}, dagster_api.ServerFailed),
        ({"__typename": "Newfangled"}, dagster_api.Refused),
        (None, errors.Unreachable),
        ({"__typename": "EventConnection"}, errors.Unreachable),
        ({"__typename": "EventConnection", "events": [], "cursor": "1"}, errors.Unreachable),
        ({"__typename": "EventConnection", "events": [{}], "cursor": "1", "hasMore": False}, errors.Unreachable),
    ],
)
def test_logs_that_are_none(member: Any, kind: type[Exception], api: dagster_api.DagsterApi) -> None:
    responses.post(GRAPHQL, json={"data": {"logsForRun": member}})
    with pytest.raises(kind) as caught:
        run_logs.failures(api, "r1")
    assert caught.value.hint  # type: ignore[attr-defined]


def test_the_page_of_a_run(api: dagster_api.DagsterApi) -> None:
    assert runs.url(api, "r1") == f"{URL}/runs/r1"


@responses.activate
def test_what_was_seen_of_a_run_stays_true_when_it_is_deleted(api: dagster_api.DagsterApi) -> None:
    answer({**run("STARTED"), "startTime": 5.0})
    answer()
    followed = runs.follow(api, ["r1"], timeout=30, interval=1)
    seen = [*next(followed), *next(followed)]
    assert [(each.status, each.started) for each in seen] == [("STARTED", 5.0), ("DELETED", 5.0)]
    with pytest.raises(errors.OutcomeUnknown):
        next(followed)

"""Launches that are cut short: what was made is told, whatever comes after it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from daglab import errors
from daglab.commands import runs as runs_command
from daglab.deployment import dagster_api, run_records, runs
from daglab.launching import backfills, cancellation, dispatch, launches, plans, reexecution, targets
from daglab.settings import config

PLAN = plans.Plan(targets.Target("j", "r", "l", (("a",),)), {}, {})
WANTED = backfills.Wanted(("a", "b"), (("x",),))


@pytest.fixture
def settings(dagster: Any, monkeypatch: pytest.MonkeyPatch) -> config.Config:
    monkeypatch.setenv("DAGLAB_PERFORMANCE__POLLING_INTERVAL", "0.01")
    return config.load({"dagster.url": dagster.url})


@pytest.fixture
def api(settings: config.Config) -> dagster_api.DagsterApi:
    return dagster_api.connect(settings)


def fresh(count: int) -> dict[str, Any]:
    return dispatch.fresh_result(plans.Prepared((PLAN,) * count), plans.Wanted())


def launching(monkeypatch: pytest.MonkeyPatch, *outcomes: Any) -> None:
    """Each launch ends as the next of the outcomes says: a run's id, or what is raised."""
    left = iter(outcomes)

    def launch(*_: Any, **__: Any) -> launches.Launched:
        outcome = next(left)
        if isinstance(outcome, BaseException):
            raise outcome
        return launches.Launched(outcome, "STARTING")

    monkeypatch.setattr(launches, "launch", launch)


def ending(monkeypatch: pytest.MonkeyPatch, **statuses: str) -> None:
    def looks(_api: Any, ids: list[str]) -> list[runs.Run]:
        return [runs.Run(run_id, statuses[run_id], 1.0, 2.0) for run_id in ids]

    monkeypatch.setattr(runs, "_looks", looks)


def carried(api: Any, settings: config.Config, result: dict[str, Any], **more: Any) -> None:
    with dispatch.keeping(result):
        every = [PLAN] * len(result["runs"])
        dispatch.carry_out(api, settings, every, result, timeout=0.05, cancels=True, **more)


# --- cancelling several


def test_one_that_can_not_be_cancelled_does_not_keep_the_others(
    api: Any, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def cancel(_api: Any, run_id: str, **_: Any) -> tuple[runs.Run, bool]:
        tried.append(run_id)
        if run_id == "r1":
            raise errors.TimedOut("r1 could not be cancelled.", "h")
        return runs.Run(run_id, "CANCELED", 1.0, 2.0), False

    launching(monkeypatch, "r1", "r2", "r3")
    ending(monkeypatch, r1="STARTED", r2="STARTED", r3="STARTED")
    monkeypatch.setattr(cancellation, "cancel", cancel)
    result = fresh(3)
    with pytest.raises(errors.TimedOut, match="r1 could not be cancelled") as caught:
        carried(api, settings, result)
    assert tried == ["r1", "r2", "r3"]
    assert caught.value.result is not None
    assert caught.value.result["cancelled"] is False
    assert [entry["status"] for entry in caught.value.result["runs"]] == ["STARTED", "CANCELED", "CANCELED"]


def test_a_run_that_had_failed_before_is_told_beside_what_was_cancelled(
    api: Any, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    launching(monkeypatch, "r1", "r2")
    ending(monkeypatch, r1="FAILURE", r2="STARTED")
    monkeypatch.setattr(cancellation, "cancel", lambda _api, run_id: (runs.Run(run_id, "CANCELED", 1.0, 2.0), False))
    monkeypatch.setattr(dispatch.progress, "why_failed", lambda _api, entry: f"{entry['run_id']} had its reason")
    with pytest.raises(errors.TimedOut, match=r"(?s)The run r2 had not ended.*\nr1 had its reason"):
        carried(api, settings, fresh(2))


# --- a launch that fails after others


def test_what_goes_on_is_said_when_a_later_launch_fails(
    api: Any, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(dispatch.output, "warn", warned.append)
    launching(monkeypatch, "r1", errors.Unreachable("boom", "h"))
    with pytest.raises(errors.Unreachable) as caught:
        carried(api, settings, fresh(2))
    assert caught.value.result is not None
    assert [entry["run_id"] for entry in caught.value.result["runs"]] == ["r1", None]
    assert warned == ["Already launched, and going on: r1. `daglab runs wait` follows them."]


def test_the_id_that_is_not_settled_is_the_one_that_is_told(
    api: Any, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = {"launch": "unknown", "launch_id": "second", "runs": []}
    launching(monkeypatch, "r1", errors.OutcomeUnknown("lost", "h", result=unknown))
    with pytest.raises(errors.OutcomeUnknown) as caught:
        carried(api, settings, fresh(2))
    assert caught.value.result is not None
    assert (caught.value.result["launch"], caught.value.result["launch_id"]) == ("unknown", "second")


# --- what nobody launches any more


def test_what_was_not_launched_when_the_time_is_up_is_told(
    api: Any, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    launching(monkeypatch, "r1")
    ending(monkeypatch, r1="STARTED")
    second = plans.Plan(targets.Target("j", "r", "l", (("second",),)), {}, {}, frozenset({0}))
    result = dispatch.fresh_result(plans.Prepared((PLAN, second)), plans.Wanted())
    with pytest.raises(errors.TimedOut, match=r"it goes on\. Not launched: second\."), dispatch.keeping(result):
        dispatch.carry_out(api, settings, (PLAN, second), result, timeout=0.05, cancels=False)


@pytest.mark.parametrize(("after", "why"), [({0}, "some of them need others"), ((), "no more than 1 may be under way")])
def test_without_waiting_nobody_launches_the_later_ones(
    after: Any, why: str, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.load({"performance.max_concurrent_runs": 1})
    second = plans.Plan(PLAN.target, {}, {}, frozenset(after))
    result = dispatch.fresh_result(plans.Prepared((PLAN, second)), plans.Wanted())
    with pytest.raises(errors.InvalidInput, match=f"Of these 2 runs {why}"):
        dispatch.launch_all(api, settings, (PLAN, second), result)


def test_a_run_that_is_one_too_many_and_can_not_be_ended_is_told(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancel() -> None:
        raise errors.TimedOut("it goes on", "h")

    with pytest.raises(errors.OutcomeUnknown, match="with older, and ours could not be cancelled: it goes on"):
        dispatch._give_way(cancel, "ours", "older")


# --- a backfill


@pytest.mark.parametrize("problem", [errors.Unreachable("gone", "h"), KeyboardInterrupt()])
def test_a_backfill_is_told_although_it_can_not_be_looked_at(
    problem: BaseException, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*_: Any) -> backfills.Backfill:
        raise problem

    monkeypatch.setattr(backfills, "launch", lambda *_, **__: "abc")
    monkeypatch.setattr(backfills, "look", look)
    monkeypatch.setattr(runs, "PATIENCE", 0.0)
    prepared = plans.Prepared(backfill=WANTED, partitions=("a", "b"))
    result = dispatch.fresh_result(prepared, plans.Wanted())
    with pytest.raises(errors.DaglabError) as caught, dispatch.keeping(result):
        dispatch.start_backfill(api, prepared, result)
    assert caught.value.result is not None
    assert caught.value.result["backfill"]["backfill_id"] == "abc"


def test_a_backfill_that_failed_stays_one_when_its_runs_can_not_be_read(
    api: Any, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = backfills.Backfill("abc", "COMPLETED_FAILED", 2, {"FAILURE": 2}, None, "http://x/runs/b/abc")
    monkeypatch.setattr(backfills, "launch", lambda *_, **__: "abc")
    monkeypatch.setattr(backfills, "look", lambda *_: ended)
    prepared = plans.Prepared(backfill=WANTED, partitions=("a", "b"))
    result = dispatch.fresh_result(prepared, plans.Wanted())
    with pytest.raises(errors.NotGood, match="abc ended as COMPLETED_FAILED: 2 failed"), dispatch.keeping(result):
        dispatch.carry_out_backfill(api, settings, prepared, result, timeout=5, cancels=False)


def backfilling(monkeypatch: pytest.MonkeyPatch, status: str, error: str | None = None) -> backfills.Backfill:
    """One that was made, and stands so."""
    made = backfills.Backfill("abc", status, 2, {"FAILURE": 1, "SUCCESS": 1}, error, "http://x/runs/b/abc")
    monkeypatch.setattr(backfills, "launch", lambda *_, **__: "abc")
    monkeypatch.setattr(backfills, "look", lambda *_: made)
    return made


def carried_backfill(api: Any, settings: config.Config, *, cancels: bool) -> dict[str, Any]:
    prepared = plans.Prepared(backfill=WANTED, partitions=("a", "b"))
    result = dispatch.fresh_result(prepared, plans.Wanted())
    with dispatch.keeping(result):
        dispatch.carry_out_backfill(api, settings, prepared, result, timeout=0.05, cancels=cancels)
    return result


@pytest.mark.parametrize(
    ("cancels", "ends", "said", "cancelled"),
    [
        (False, "", "it goes on", False),
        (True, "CANCELED", "was cancelled: 1 failed, 1 made", True),
        (True, "raises", "It was to be cancelled: no right", None),
    ],
)
def test_a_backfill_that_is_not_over_in_time(
    cancels: bool,
    ends: str,
    said: str,
    cancelled: bool | None,
    api: Any,
    settings: config.Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = backfilling(monkeypatch, "REQUESTED")

    def cancel(*_: Any) -> backfills.Backfill:
        if ends == "raises":
            raise errors.NotAuthorised("no right", "h")
        return dataclasses.replace(made, status=ends)

    monkeypatch.setattr(backfills, "cancel", cancel)
    with pytest.raises(errors.TimedOut, match=said) as caught:
        carried_backfill(api, settings, cancels=cancels)
    assert caught.value.result is not None
    assert caught.value.result.get("cancelled", False) is cancelled
    assert caught.value.result["backfill"]["status"] == (ends if cancelled else "REQUESTED")


def test_a_backfill_that_is_over_while_it_is_cancelled_is_judged_as_it_ended(
    api: Any, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = backfilling(monkeypatch, "REQUESTED")
    good = dataclasses.replace(made, status="COMPLETED_SUCCESS", counts={"SUCCESS": 2})
    monkeypatch.setattr(backfills, "cancel", lambda *_: good)
    result = carried_backfill(api, settings, cancels=True)
    assert (result["cancelled"], result["backfill"]["status"]) == (False, "COMPLETED_SUCCESS")


def test_why_a_backfill_failed_is_told_with_the_first_of_its_runs(
    api: Any, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    backfilling(monkeypatch, "COMPLETED_FAILED", error="the daemon's own reason")
    failed = run_records.Record("r1", "FAILURE", "j", "l", (), {"dagster/partition": "a"}, 1.0, 2.0, None)
    monkeypatch.setattr(run_records, "search", lambda *_, **__: [failed])
    monkeypatch.setattr(dispatch.progress, "why_failed", lambda _api, entry: f"{entry['run_id']} had its reason")
    with pytest.raises(errors.NotGood, match=r"(?s)the daemon's own reason.*\na r1 had its reason") as caught:
        carried_backfill(api, settings, cancels=False)
    assert caught.value.result is not None
    assert [entry["run_id"] for entry in caught.value.result["runs"]] == ["r1"]


def test_a_signal_while_a_backfill_is_made_leaves_its_id(
    api: Any, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch(*_: Any, **__: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(backfills, "launch", launch)
    with pytest.raises(errors.Interrupted, match="a backfill was being made, and may exist") as caught:
        carried_backfill(api, settings, cancels=False)
    assert caught.value.result is not None
    assert caught.value.result["launch"] == "unknown"
    assert f"daglab runs settle {caught.value.result['launch_id']}" in str(caught.value.hint)


def test_a_bug_does_not_lose_what_was_launched() -> None:
    result = fresh(1)
    with pytest.raises(ZeroDivisionError) as caught, dispatch.keeping(result):
        raise ZeroDivisionError
    assert caught.value.result is result  # type: ignore[attr-defined]


# --- running again


@pytest.mark.parametrize("moment", ["while it is launched", "while it is followed"])
def test_a_retry_that_is_interrupted(moment: str, dagster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old = "00000000-0000-4000-8000-000000000001"
    run = {"runId": old, "status": "FAILURE", "startTime": 1.0, "endTime": 2.0, "stepStats": []}
    dagster.answers["Status"] = {"runsOrError": {"__typename": "Runs", "results": [run]}}

    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    if moment == "while it is launched":
        monkeypatch.setattr(reexecution, "retry", stop)
    else:
        monkeypatch.setattr(reexecution, "retry", lambda *_: launches.Launched("new", "STARTING"))
        monkeypatch.setattr(runs_command.progress, "follow", stop)
        record = run_records.Record("new", "STARTING", "j", "l", (), {}, None, None, None)
        detail = run_records.Detail(record, runs.Run("new", "STARTING"), "", old, ())
        monkeypatch.setattr(run_records, "detail", lambda *_: detail)
    with pytest.raises(errors.Interrupted) as caught:
        runs_command.command.main(["retry", old, "--url", dagster.url], standalone_mode=False)
    result = caught.value.result
    assert result is not None
    if moment == "while it is launched":
        assert (result["launch"], result["runs"][0]["run_id"]) == ("unknown", None)
        assert "daglab runs list" in str(caught.value.hint)
    else:
        assert result["runs"][0]["run_id"] == "new"
        assert "the run new goes on" in caught.value.message


# --- settling


def test_a_backfill_that_appears_while_it_is_settled_is_found(dagster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([None, None, "abc"])
    made = backfills.Backfill("abc", "REQUESTED", 2, {}, None, "http://x/runs/b/abc")
    dagster.answers["Status"] = {"runsOrError": {"__typename": "Runs", "results": []}}
    monkeypatch.setattr(backfills, "by_tag", lambda *_, **__: next(found))
    monkeypatch.setattr(backfills, "look", lambda *_: made)
    monkeypatch.setattr(launches, "by_tag", lambda *_: None)
    launch_id = "00000000-0000-4000-8000-000000000002"
    runs_command.command.main(["settle", launch_id, "--url", dagster.url], standalone_mode=False)
    assert next(found, "asked until it was there") == "asked until it was there"

"""Running a run again when the answer is lost: the new run is found, or it is said that nobody knows."""

from __future__ import annotations

from typing import Any

import pytest

from daglab import errors
from daglab.deployment import dagster_api
from daglab.launching import reexecution
from daglab.settings import config

OLD, NEW = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


def record(run_id: str) -> dict[str, Any]:
    return {"runId": run_id, "status": "STARTING", "jobName": "j", "tags": []}


def listed(*ids: str) -> dict[str, Any]:
    return {"runsOrError": {"__typename": "Runs", "results": [record(each) for each in ids]}}


@pytest.fixture
def api(dagster: Any, monkeypatch: pytest.MonkeyPatch) -> dagster_api.DagsterApi:
    monkeypatch.setenv("DAGLAB_DAGSTER__GRAPHQL__TIMEOUT", "0.5")
    return dagster_api.connect(config.load({"dagster.url": dagster.url}))


def asked(dagster: Any, word: str) -> int:
    return sum(word in request.body["query"] for request in dagster.requests)


def test_the_answer_tells_the_run(api: dagster_api.DagsterApi, dagster: Any) -> None:
    run = {"runId": NEW, "status": "STARTING"}
    dagster.answers["Runs"] = listed()
    dagster.answers["Retry"] = {"launchRunReexecution": {"__typename": "LaunchRunSuccess", "run": run}}
    assert reexecution.retry(api, OLD, "all").id == NEW


def test_a_lost_answer_and_the_run_is_there(api: dagster_api.DagsterApi, dagster: Any) -> None:
    """An earlier retry of the same run is not taken for this one."""
    dagster.answers["Runs"] = lambda _: listed(NEW, OLD) if asked(dagster, "launchRunReexecution") else listed(OLD)
    dagster.answers["Retry"] = {"something": "else"}
    assert reexecution.retry(api, OLD, "from-failure").id == NEW
    assert asked(dagster, "launchRunReexecution") == 1


def test_a_lost_answer_and_no_run(api: dagster_api.DagsterApi, dagster: Any) -> None:
    dagster.answers["Runs"] = listed(OLD)
    dagster.answers["Retry"] = {"something": "else"}
    with pytest.raises(errors.OutcomeUnknown, match=f"No run carries the tag dagster/parent_run_id={OLD}") as caught:
        reexecution.retry(api, OLD, "all")
    assert f"dagster/parent_run_id={OLD}" in str(caught.value.hint)
    assert caught.value.result == {"launch": "unknown", "runs": []}
    assert asked(dagster, "launchRunReexecution") == 1


def test_a_server_that_failed_after_it_had_made_the_run(api: dagster_api.DagsterApi, dagster: Any) -> None:
    dagster.answers["Runs"] = lambda _: listed(NEW, OLD) if asked(dagster, "launchRunReexecution") else listed(OLD)
    dagster.answers["Retry"] = {"launchRunReexecution": {"__typename": "PythonError", "message": "no space"}}
    assert reexecution.retry(api, OLD, "all").id == NEW


def test_a_server_that_failed_and_made_none(api: dagster_api.DagsterApi, dagster: Any) -> None:
    dagster.answers["Runs"] = listed(OLD)
    dagster.answers["Retry"] = {"launchRunReexecution": {"__typename": "PythonError", "message": "no space"}}
    with pytest.raises(dagster_api.ServerFailed, match="no space"):
        reexecution.retry(api, OLD, "all")


def test_dagster_refuses(api: dagster_api.DagsterApi, dagster: Any) -> None:
    dagster.answers["Runs"] = listed()
    dagster.answers["Retry"] = {"launchRunReexecution": {"__typename": "RunNotFoundError", "message": "no"}}
    with pytest.raises(errors.InvalidInput, match="Dagster says: no"):
        reexecution.retry(api, OLD, "all")

"""Asset checks: which there are, what each way of telling one sends, and that only what is read back counts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from daglab import errors, web
from daglab.attaching import asset_checks, attach, observations, reports
from daglab.deployment import dagster_api
from daglab.settings import config

URL = "http://127.0.0.1:3999"
GRAPHQL = f"{URL}/graphql"
REPORT = f"{URL}/report_asset_check/a/b"
EVALUATION = observations.Evaluation(("a", "b"), "good", "id1", True, (observations.Entry("n", "int", 3),), "d")


@pytest.fixture
def settings(tmp_path: Path) -> config.Config:
    return config.load({"dagster.url": URL}, directory=tmp_path, environ={})


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[dagster_api.DagsterApi]:
    monkeypatch.setattr(web, "delay", lambda *_: 0.0)
    monkeypatch.setattr(attach, "READ_BACK_TIMEOUT", 0.0)
    monkeypatch.setattr(attach, "SETTLED_AFTER", 0.0)
    with requests.Session() as http:
        yield dagster_api.DagsterApi(URL, web.Session(http, timeout=5.0, retries=0))


def checks(*names: str) -> dict[str, Any]:
    there = {"__typename": "AssetChecks", "checks": [{"name": name} for name in names]}
    return {"assetNodeOrError": {"__typename": "AssetNode", "assetChecksOrError": there}}


def executions(*found: tuple[str | None, bool, str]) -> dict[str, Any]:
    """One for each id, whether it passed, and the type of a second entry."""
    listed = []
    for identity, passed, kind in found:
        entries = [{"__typename": kind, "label": "output"}]
        entries += [{"__typename": "TextMetadataEntry", "label": observations.ID_LABEL, "text": identity}]
        listed.append({"evaluation": {"success": passed, "metadataEntries": entries}})
    return {"assetCheckExecutions": listed}


def answer(data: dict[str, Any]) -> None:
    responses.upsert(responses.POST, GRAPHQL, json={"data": data})


def report(api: dagster_api.DagsterApi, settings: config.Config, via: str | None) -> str:
    return asset_checks.report(api, settings, EVALUATION, via=via, python="python-of-nobody")


# --- which checks there are


@responses.activate
def test_a_check_that_the_asset_has(api: dagster_api.DagsterApi) -> None:
    answer(checks("other", "good"))
    asset_checks.require(api, [("a", "b"), ("c",)], "good")
    assert [b'"c"' in (call.request.body or b"") for call in responses.calls] == [False, True]


@pytest.mark.parametrize(
    ("there", "hint"),
    [(["goods"], "goods"), (["x", "y"], "Its checks: x, y. Define it"), ([], "It has none. Define it")],
)
@responses.activate
def test_a_check_that_the_asset_has_not(there: list[str], hint: str, api: dagster_api.DagsterApi) -> None:
    answer(checks(*there))
    with pytest.raises(errors.InvalidInput, match="a/b has no asset check good") as caught:
        asset_checks.require(api, [("a", "b")], "good")
    assert hint in str(caught.value.hint)


@responses.activate
@pytest.mark.parametrize("kind", ["AssetCheckNeedsMigrationError", "AssetNotFoundError"])
def test_what_dagster_can_not_say_is_an_error(kind: str, api: dagster_api.DagsterApi) -> None:
    problem = {"__typename": kind, "message": "run the migration"}
    whole = {"__typename": "AssetNode", "assetChecksOrError": problem}
    answer({"assetNodeOrError": problem if kind == "AssetNotFoundError" else whole})
    with pytest.raises(dagster_api.Refused, match="run the migration"):
        asset_checks.require(api, [("a", "b")], "good")


# --- telling one


@responses.activate
def test_what_is_sent_over_rest(api: dagster_api.DagsterApi, settings: config.Config) -> None:
    told = responses.post(REPORT, json={})
    answer(executions(("other", True, "TextMetadataEntry"), ("id1", True, "TextMetadataEntry")))
    for via in (None, "rest"):  # without DAGSTER_HOME nothing can be written to the instance
        assert report(api, settings, via) == "rest"
    assert told.calls[0].request.body == b'{"check_name": "good", "passed": true, "metadata": {"n": 3}}'


@responses.activate
def test_what_is_written_by_the_instance(
    api: dagster_api.DagsterApi, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []
    monkeypatch.setattr(reports, "by_instance", lambda _api, _settings, event, *_, **__: written.append(event))
    answer(executions(("id1", True, "PathMetadataEntry")))
    assert report(api, settings, None) == "instance"
    entries = [{"label": "n", "kind": "int", "value": 3}]
    about = {"asset_key": ("a", "b"), "description": "d", "check": "good", "passed": True}
    assert written == [{**about, "entries": entries}]


@responses.activate
@pytest.mark.parametrize(
    ("via", "kind", "said"),
    [
        ("graphql", errors.InvalidInput, "--via graphql can't report to an asset check"),
        ("instance", reports.NothingWritten, "DAGSTER_HOME"),
    ],
)
def test_a_way_that_can_not_be_taken(
    via: str, kind: type[errors.DaglabError], said: str, api: dagster_api.DagsterApi, settings: config.Config
) -> None:
    with pytest.raises(kind) as caught:
        report(api, settings, via)
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert len(responses.calls) == 0


@responses.activate
@pytest.mark.parametrize(
    ("status", "shown", "said"),
    [
        (200, executions(), "it is not among the newest evaluations"),
        (500, executions(("other", True, "TextMetadataEntry")), "answered 500; it is not among"),
        (200, {"assetCheckExecutions": None}, "can't be read back"),
    ],
)
def test_what_can_not_be_read_back_is_an_unknown_outcome(
    status: int, shown: dict[str, Any], said: str, api: dagster_api.DagsterApi, settings: config.Config
) -> None:
    responses.post(REPORT, json={}, status=status)
    answer(shown)
    with pytest.raises(errors.OutcomeUnknown, match=said) as caught:
        report(api, settings, "rest")
    assert "good" in caught.value.message


# --- finding one that was begun


@responses.activate
def test_one_that_was_told_is_found_by_its_id_and_by_which_way(api: dagster_api.DagsterApi) -> None:
    answer(executions((None, True, "TextMetadataEntry"), ("id1", False, "PathMetadataEntry")))
    assert asset_checks.find(api, EVALUATION) == "instance"
    answer(executions(("id1", False, "TextMetadataEntry")))
    assert asset_checks.find(api, EVALUATION, datetime.now(timezone.utc) - timedelta(days=1)) == "rest"
    answer({"assetCheckExecutions": [{"evaluation": None}]})  # one that is under way
    assert asset_checks.find(api, EVALUATION) is None


@responses.activate
def test_nobody_can_tell_whether_it_was_told(api: dagster_api.DagsterApi) -> None:
    responses.post(GRAPHQL, status=500)
    with pytest.raises(errors.OutcomeUnknown, match="can't be found out whether good was told"):
        asset_checks.find(api, EVALUATION)


def test_a_way_that_can_not_tell_of_checks_is_refused(api: dagster_api.DagsterApi, settings: config.Config) -> None:
    with pytest.raises(errors.InvalidInput, match="--via graphql can't report to an asset check") as caught:
        report(api, settings, "graphql")
    assert caught.value.hint == "Use --via instance or --via rest."


# --- what comes a moment later


@pytest.fixture
def second_look(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Dagster shows the evaluation once it was waited for, and for how long that was."""
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        answer(executions(("id1", True, "TextMetadataEntry")))

    monkeypatch.setattr(asset_checks.time, "sleep", wait)
    monkeypatch.setattr(attach, "READ_BACK_TIMEOUT", 60.0)
    monkeypatch.setattr(attach, "SETTLED_AFTER", 60.0)
    return waited


@responses.activate
def test_an_evaluation_that_dagster_shows_late_is_waited_for(
    api: dagster_api.DagsterApi, settings: config.Config, second_look: list[float]
) -> None:
    responses.post(REPORT, json={})
    answer(executions())
    assert report(api, settings, "rest") == "rest"
    assert second_look == [0.5]


@responses.activate
def test_one_that_may_be_under_way_is_waited_for_before_it_is_told_again(
    api: dagster_api.DagsterApi, second_look: list[float]
) -> None:
    answer(executions(("other", True, "TextMetadataEntry")))
    assert asset_checks.find(api, EVALUATION, datetime.now(timezone.utc)) == "rest"
    assert second_look == [0.5]

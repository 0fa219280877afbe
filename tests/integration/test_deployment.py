"""The fixture project itself: what the other integration tests take for granted."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.long

WORKSPACE = """{ workspaceOrError { __typename ... on Workspace { locationEntries { name
  locationOrLoadError { __typename
    ... on PythonError { message causes { message } }
    ... on RepositoryLocation { repositories { name
      jobs { name isAssetJob } schedules { name } sensors { name } } } } } } } }"""
ASSETS = """{ assetNodes { assetKey { path } groupName description isExecutable opNames kinds
  tags { key value } owners { ... on UserAssetOwner { email } ... on TeamAssetOwner { team } }
  partitionDefinition { type name } dependencyKeys { path }
  repository { location { name } } } }"""
LAUNCH = """mutation Launch($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }"""
RUN = """query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status
  stepStats { stepKey status } } } }"""
LOGS = """query Logs($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events { __typename
  ... on ErrorEvent { error { cause { message } causes { message } } }
  ... on AssetCheckEvaluationEvent { evaluation { checkName success } }
  ... on MaterializationEvent { metadataEntries { __typename label } } } } } }"""

BACKFILL = """mutation Backfill($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on Error { message } } }"""
BACKFILL_STATUS = """query Backfill($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status } } }"""


@pytest.fixture
def ask(deployment: Any) -> Any:
    """Ask the deployment something and get the data of its answer."""

    def asked(query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        response = requests.post(f"{deployment.url}/graphql", json=body, timeout=60)
        answer = response.json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    return asked


@pytest.fixture
def run(ask: Any) -> Any:
    """Launch a run, wait for its end, and get its id and how it ended."""

    def ran(job: str, config: dict[str, Any] | None = None, assets: list[list[str]] | None = None) -> Any:
        selector: dict[str, Any] = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "main",
            "jobName": job,
        }
        if assets:
            selector["assetSelection"] = [{"path": path} for path in assets]
        launched = ask(LAUNCH, p={"selector": selector, "runConfigData": config or {}})["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id = launched["run"]["runId"]
        return run_id, _finished(ask, run_id)

    return ran


def _finished(ask: Any, run_id: str) -> Any:
    deadline = time.monotonic() + 120
    while True:
        run = ask(RUN, id=run_id)["runOrError"]
        if run["status"] in {"SUCCESS", "FAILURE", "CANCELED"}:
            return run
        assert time.monotonic() < deadline, run
        time.sleep(0.1)


def _locations(ask: Any) -> dict[str, Any]:
    entries = ask(WORKSPACE)["workspaceOrError"]["locationEntries"]
    return {entry["name"]: entry["locationOrLoadError"] for entry in entries}


def _assets(ask: Any, location: str) -> dict[str, Any]:
    nodes = [n for n in ask(ASSETS)["assetNodes"] if n["repository"]["location"]["name"] == location]
    return {"/".join(node["assetKey"]["path"]): node for node in nodes}


def test_locations(ask: Any) -> None:
    locations = _locations(ask)
    assert {name: location["__typename"] for name, location in locations.items()} == {
        "main": "RepositoryLocation",
        "second": "RepositoryLocation",
        "broken": "PythonError",
    }
    assert any("broken location" in cause["message"] for cause in locations["broken"]["causes"])


def test_jobs(ask: Any) -> None:
    locations = _locations(ask)
    main, second = (locations[name]["repositories"][0] for name in ("main", "second"))
    assert {job["name"]: job["isAssetJob"] for job in main["jobs"]} == {
        "__ASSET_JOB": True,
        "mart_job": True,
        "daily_job": True,
        "op_job": False,
        "fail_job": False,
        "slow_job": False,
        "part_job": False,
        "shared_job": False,
    }
    assert {job["name"] for job in second["jobs"]} == {"__ASSET_JOB", "shared_job"}
    assert [schedule["name"] for schedule in main["schedules"]] == ["mart_schedule"]
    assert "idle_sensor" in {sensor["name"] for sensor in main["sensors"]}


def test_assets(ask: Any) -> None:
    assets = _assets(ask, "main")
    assert set(assets) == {
        *("src/customers", "raw_orders", "prices", "orders", "customer_orders", "suspicious"),
        *("left", "right", "tea", "rich", "daily", "regional", "daily_regional", "coloured"),
        *("failing", "after_failing", "slow", "odd-key/v1.2", "outer space/größe <b>&"),
    }
    assert {"inventory", "reorders"} <= set(_assets(ask, "second"))
    assert {node["groupName"] for node in assets.values()} == {"raw", "mart", "partitioned", "odd"}
    outside = {key for key, node in assets.items() if not node["isExecutable"]}
    assert outside == {"prices", "outer space/größe <b>&"}
    assert assets["left"]["opNames"] == assets["right"]["opNames"] == ["both_sides"]
    assert '東京, <b>bold</b> & "quoted"' in assets["src/customers"]["description"]


def test_partitions(ask: Any) -> None:
    types = {
        key: node["partitionDefinition"]["type"]
        for key, node in _assets(ask, "main").items()
        if node["partitionDefinition"]
    }
    assert types == {
        "daily": "TIME_WINDOW",
        "regional": "STATIC",
        "daily_regional": "MULTIPARTITIONED",
        "coloured": "DYNAMIC",
    }


def test_a_run_that_succeeds(ask: Any, run: Any) -> None:
    keys = ["src/customers", "raw_orders", "orders", "customer_orders", "suspicious", "left", "right", "tea"]
    run_id, ended = run("__ASSET_JOB", assets=[key.split("/") for key in [*keys, "odd-key/v1.2"]])
    assert ended["status"] == "SUCCESS"
    events = ask(LOGS, id=run_id)["logsForRun"]["events"]
    checks = {e["evaluation"]["checkName"]: e["evaluation"]["success"] for e in events if "evaluation" in e}
    assert checks == {"orders_ok": True, "suspicious_is_positive": False}


def test_a_run_that_fails(ask: Any, run: Any) -> None:
    run_id, ended = run("__ASSET_JOB", assets=[["failing"], ["after_failing"]])
    assert ended["status"] == "FAILURE"
    assert {s["stepKey"]: s["status"] for s in ended["stepStats"]}["failing"] == "FAILURE"
    events = ask(LOGS, id=run_id)["logsForRun"]["events"]
    errors = [event["error"] for event in events if event.get("error") and event["error"]["cause"]]
    assert "ValueError: boom é" in errors[0]["cause"]["message"]
    assert "KeyError" in errors[0]["causes"][1]["message"]


@pytest.mark.slow
def test_a_job_that_fails_when_told_to(run: Any) -> None:
    told = {"ops": {"may_fail": {"config": {"fail": True}}}}
    assert run("fail_job")[1]["status"] == "SUCCESS"
    assert run("fail_job", told)[1]["status"] == "FAILURE"


def test_a_job_needs_its_config(ask: Any) -> None:
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "main",
        "jobName": "op_job",
    }
    launched = ask(LAUNCH, p={"selector": selector, "runConfigData": {}})["launchRun"]
    assert launched["__typename"] == "RunConfigValidationInvalid", json.dumps(launched)


def test_rich_metadata(ask: Any, run: Any) -> None:
    run_id, ended = run("__ASSET_JOB", assets=[["rich"]])
    assert ended["status"] == "SUCCESS"
    events = ask(LOGS, id=run_id)["logsForRun"]["events"]
    entries = {entry["label"]: entry["__typename"] for e in events for entry in e.get("metadataEntries", [])}
    assert {entries[label] for label in ("url", "md", "path", "json", "timestamp", "table", "int", "float")} == {
        "UrlMetadataEntry",
        "MarkdownMetadataEntry",
        "PathMetadataEntry",
        "JsonMetadataEntry",
        "TimestampMetadataEntry",
        "TableMetadataEntry",
        "IntMetadataEntry",
        "FloatMetadataEntry",
    }


@pytest.mark.slow
def test_the_daemon_works_on_backfills(ask: Any) -> None:
    wanted = {"assetSelection": [{"path": ["daily"]}], "partitionNames": ["2026-11-02", "2026-11-03"]}
    launched = ask(BACKFILL, p=wanted)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    deadline = time.monotonic() + 120
    while True:
        status = ask(BACKFILL_STATUS, id=launched["backfillId"])["partitionBackfillOrError"]["status"]
        if status.startswith("COMPLETED"):
            break
        assert time.monotonic() < deadline, status
        time.sleep(0.1)
    assert status == "COMPLETED_SUCCESS"

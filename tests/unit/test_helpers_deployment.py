"""What a notebook asks of a deployment: what it holds, how it is, and its runs: launched, looked at, remembered."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, helpers, web
from daglab.deployment import entities, runs
from daglab.helpers import client as deployment
from daglab.helpers import launching

KEYS = ["2026-01-01", "2026-01-02"]


@pytest.fixture
def client(dagster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> helpers.Client:
    """A deployment of the jobs `report` and `daily`, and the assets `orders` and `days`; two of them by the day."""
    monkeypatch.setattr(web, "delay", lambda *_: 0.0)
    (tmp_path / ".daglab").mkdir()
    entry = dagster.answers["Workspace"]["workspaceOrError"]["locationEntries"][0]
    repository = entry["locationOrLoadError"]["repositories"][0]
    repository["jobs"].append({**repository["jobs"][0], "name": "daily", "tags": [{"key": "team", "value": "<ops>"}]})
    repository["partitionSets"].append({"name": "daily_set", "pipelineName": "daily"})
    [orders] = dagster.answers["Assets"]["assetNodes"]
    by_day = {"type": "TIME_WINDOW", "description": "Daily", "dimensionTypes": []}
    days = {**orders, "assetKey": {"path": ["days"]}, "jobNames": ["daily"], "partitionDefinition": by_day}

    def assets(body: Any) -> dict[str, Any]:
        keys = (body.get("variables") or {}).get("keys")
        return {"assetNodes": [each for each in (orders, days) if keys is None or each["assetKey"] in keys]}

    dagster.answers["Assets"] = assets
    dagster.answers["AssetPartitions"] = {"assetNodes": [{**days, "partitionKeys": KEYS}]}
    there = {"__typename": "Partitions", "results": [{"name": key} for key in KEYS]}
    dagster.answers["JobPartitions"] = {
        "partitionSetOrError": {"__typename": "PartitionSet", "partitionsOrError": there}
    }
    return helpers.connect(dagster.url, directory=tmp_path)


def recorded(root: Path) -> list[dict[str, Any]]:
    """The events, the oldest first."""
    [file] = (root / ".daglab" / "events").iterdir()
    return [json.loads(line) for line in file.read_text().splitlines()]


def location(dagster: Any, **more: Any) -> None:
    """A code location `broken` beside the good one."""
    error = {"__typename": "PythonError", "message": "wrapped", "causes": [{"message": "ImportError: <pandas>"}]}
    entry = {"name": "broken", "locationOrLoadError": error, **more}
    dagster.answers["Workspace"]["workspaceOrError"]["locationEntries"].append(entry)


# --- the deployment


def test_a_client_says_where_it_is(client: helpers.Client, dagster: Any) -> None:
    assert str(client) == f"Dagster 1.13.0 at {dagster.url}"
    assert f'href="{dagster.url}"' in client.html()


def test_a_query_of_ones_own_is_asked_and_a_mutation_is_recorded(
    client: helpers.Client, dagster: Any, tmp_path: Path
) -> None:
    dagster.answers["Mine"] = lambda body: {"mine": body["variables"]}
    assert client.execute("query Mine { mine }", {"n": 1}) == {"mine": {"n": 1}}
    assert [each["command"] for each in recorded(tmp_path)] == ["helpers.connect"]
    assert client.execute("mutation Mine { mine }", {"n": 2}) == {"mine": {"n": 2}}
    assert [each["command"] for each in recorded(tmp_path)] == ["helpers.connect", "helpers.execute"]
    assert dagster.requests[-1].headers["x-daglab-operation"] == recorded(tmp_path)[-1]["id"]


def test_the_sandbox_sends_no_mutation_of_ones_own(client: helpers.Client, dagster: Any, tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("security: {sandbox_mode: true, allowed_operations: [launchRun, execute]}\n")
    sandboxed = helpers.connect(dagster.url, directory=tmp_path)
    before = len(dagster.requests)
    with pytest.raises(errors.NotAuthorised, match="no mutation of your own"):
        sandboxed.execute("mutation Mine { mine }")
    assert len(dagster.requests) == before


def test_the_health_of_a_good_deployment(client: helpers.Client, dagster: Any) -> None:
    found = helpers.health(client)
    assert found.is_good
    assert str(found) == f"Dagster 1.13.0 at {dagster.url}: 1 of 1 code locations loaded"
    assert "<ul>" not in found.html()


def test_the_health_names_what_is_not_loaded_and_a_queue_that_nobody_empties(
    client: helpers.Client, dagster: Any
) -> None:
    location(dagster)
    queue = {"daemonType": "QUEUED_RUN_COORDINATOR", "healthy": False}
    health = {"runQueuingSupported": True, "daemonHealth": {"allDaemonStatuses": [queue]}}
    dagster.answers["Daemons"] = {"instance": health}
    found = helpers.health(client)
    assert not found.is_good
    assert "1 of 2 code locations loaded" in str(found)
    assert "broken: ImportError: <pandas>" in str(found)
    assert "dagster-daemon run" in str(found)
    assert found.html().count("<li>") == 2
    assert "&lt;pandas&gt;" in found.html()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("", (None, None)),
        ("dagster: {repository_location_name: shop, repository_name: __repository__}\n", ("shop", "__repository__")),
        ("dagster: {repository_location_name: gone, repository_name: gone}\n", (None, None)),
    ],
)
def test_the_places_there_are_and_those_of_the_config(
    client: helpers.Client, dagster: Any, tmp_path: Path, settings: str, named: tuple[str | None, str | None]
) -> None:
    (tmp_path / "daglab.yaml").write_text(settings)
    found = deployment.places(helpers.connect(dagster.url, directory=tmp_path))
    assert (found.locations, found.repositories, found.jobs) == (("shop",), ("__repository__",), ("daily", "report"))
    assert (found.location, found.repository) == named


def test_all_that_a_deployment_holds(client: helpers.Client, dagster: Any) -> None:
    location(dagster)
    found = helpers.discover(client)
    assert [each.name for each in (*found.jobs, *found.assets)] == ["report", "daily", "orders", "days"]
    assert "Code locations: shop, broken" in str(found)
    for text in ("orders", "time window", "op job"):
        assert text in str(found)
        assert text in found.html()
    assert "&lt;pandas&gt;" in found.html()


def test_jobs_and_assets_by_what_is_asked_for(client: helpers.Client) -> None:
    assert [each.name for each in helpers.discover_jobs(client, "rep*")] == ["report"]
    assert [each.name for each in helpers.discover_assets(client, "key:days")] == ["days"]
    assert len(helpers.discover_assets(client, location="shop")) == 2
    assert str(helpers.discover_assets(client, "key:gone")) == "There is none."
    for ask in (helpers.discover_jobs, helpers.discover_assets):
        with pytest.raises(errors.InvalidInput, match="shup"):
            ask(client, location="shup")


def test_a_selection_that_holds_nothing_names_the_nearest(client: helpers.Client) -> None:
    with pytest.raises(errors.InvalidInput, match="holds no asset") as refused:
        deployment.choose_assets(client, 'key:"ordres"')
    assert "orders" in str(refused.value.hint)
    with pytest.raises(errors.InvalidInput) as refused:
        deployment.choose_assets(client, "group:nowhere")
    assert "daglab discover --select" in str(refused.value.hint)


def test_the_assets_and_the_name_of_a_target(client: helpers.Client) -> None:
    daily, [orders, days] = helpers.find_job(client, "daily"), helpers.find_assets(client, ["orders", "days"])
    assert [each.name for each in deployment.assets_of(client, daily)] == ["days"]
    assert list(deployment.assets_of(client, orders)) == [orders]
    assert (deployment.name_of(daily), deployment.name_of([orders, days])) == ("job:daily", "orders,days")


def test_the_partitions_of_a_target(client: helpers.Client, dagster: Any) -> None:
    orders, days = helpers.find_assets(client, ["orders", "days"])
    assert helpers.partition_keys(client, helpers.find_job(client, "daily")) == KEYS
    assert helpers.partition_keys(client, helpers.find_job(client, "report")) == []
    assert helpers.partition_keys(client, [orders, days]) == KEYS
    assert helpers.partition_keys(client, orders) == []
    other = entities.Asset(**{**vars(days), "key": ("weeks",), "partitioning": "weekly"})
    with pytest.raises(errors.InvalidInput, match="Not partitioned alike: days and weeks"):
        helpers.partition_keys(client, [days, other])
    dagster.answers["AssetPartitions"]["assetNodes"][0]["partitionKeys"] = []
    with pytest.raises(errors.InvalidInput, match="days has no partition yet"):
        helpers.partition_keys(client, days)


def test_a_job_and_a_single_asset_are_shown_as_cards(client: helpers.Client) -> None:
    job, assets = helpers.find_job(client, "daily"), helpers.find_assets(client, ["orders"])
    assert "team=&lt;ops&gt;" in helpers.show(job).text
    assert "All orders." in helpers.show(assets).text


# --- runs


def test_a_run_is_launched_with_tags_and_looked_at_until_its_end(
    client: helpers.Client, dagster: Any, tmp_path: Path
) -> None:
    run = helpers.run_job(client, "report", tags={"why": "test"})
    assert (run.status, run.has_ended, run.succeeded) == ("STARTED", False, False)
    sent = next(each.body for each in dagster.requests if each.body["query"].lstrip().startswith("mutation Launch"))
    assert {"key": "why", "value": "test"} in sent["variables"]["params"]["executionMetadata"]["tags"]
    assert recorded(tmp_path)[-1]["runs"] == [run.id]
    ended = run.look()
    assert (ended.id, ended.status, ended.seconds) == (run.id, "SUCCESS", 1.0)
    asked = len(dagster.requests)
    assert ended.look() is ended
    assert len(dagster.requests) == asked
    assert "SUCCESS in 1 s" in str(ended)


@pytest.mark.parametrize("chosen", [["orders"], "key:orders"])
def test_assets_are_launched_by_their_keys_and_by_a_selection(
    client: helpers.Client, dagster: Any, chosen: Any
) -> None:
    helpers.run_assets(client, chosen)
    sent = dagster.requests[-1].body["variables"]["params"]["selector"]
    assert sent["assetSelection"] == [{"path": ["orders"]}]


def test_how_far_a_run_is(client: helpers.Client) -> None:
    steps = (runs.Step("load", "SUCCESS", 1.0, 2.5), runs.Step("<make>", None, None, None))
    going = helpers.Run(client, runs.Run("r1", "STARTED", 1.0, None, steps))
    assert '<progress value="1" max="2">' in going.html()
    assert "1 of 2 steps" in going.html()
    assert "&lt;make&gt;" in going.html()
    assert str(going).splitlines()[:3] == ["Run r1: STARTED", "  load: success 1.5 s", "  <make>:"]


def test_a_run_is_launched_again_from_what_failed(client: helpers.Client, dagster: Any, tmp_path: Path) -> None:
    dagster.answers["Runs"] = {"runsOrError": {"__typename": "Runs", "results": []}}
    again = {"__typename": "LaunchRunSuccess", "run": {"runId": "r2", "status": None}}
    dagster.answers["Retry"] = {"launchRunReexecution": again}
    run = helpers.retry(helpers.Run(client, runs.Run("r1", "FAILURE")))
    assert (run.id, run.status) == ("r2", "QUEUED")
    helpers.retry(run, from_failure=False)
    asked = [each.body["variables"]["params"] for each in dagster.requests if "mutation Retry" in each.body["query"]]
    assert asked == [
        {"parentRunId": "r1", "strategy": "FROM_FAILURE"},
        {"parentRunId": "r2", "strategy": "ALL_STEPS"},
    ]
    assert (recorded(tmp_path)[-1]["target"], recorded(tmp_path)[-1]["runs"]) == ("run:r2", ["r2"])


def test_the_last_run_that_was_kept(client: helpers.Client, dagster: Any) -> None:
    run = dagster.answers["Status"]["runsOrError"]["results"][0]["runId"]
    found = launching.last_run(client, run)
    assert found is not None
    assert found.status == "SUCCESS"
    assert launching.last_run(client, None) is None
    assert launching.last_run(client, "gone") is None  # Dagster has deleted it


def test_following_a_run_tells_each_change_once(client: helpers.Client, dagster: Any) -> None:
    ended = dagster.answers["Status"]["runsOrError"]["results"][0]
    states = iter(["QUEUED", "QUEUED", "STARTED", "SUCCESS"])
    dagster.answers["Status"] = lambda _: {
        "runsOrError": {"__typename": "Runs", "results": [{**ended, "status": next(states)}]}
    }
    run = helpers.Run(client, runs.Run(ended["runId"], "QUEUED"))
    assert [each.status for each in helpers.follow(run, interval=0)] == ["QUEUED", "STARTED", "SUCCESS"]


@pytest.mark.parametrize("thread", [None, types.SimpleNamespace(should_exit=True)], ids=["cell", "thread"])
def test_a_cell_and_a_thread_that_shall_end_look_once(
    client: helpers.Client, dagster: Any, monkeypatch: pytest.MonkeyPatch, thread: Any
) -> None:
    """In a cell the kernel would be held up; marimo says that there is no thread by an error."""

    def current() -> Any:
        if thread is None:
            raise RuntimeError("not in a thread")
        return thread

    stand = types.SimpleNamespace(running_in_notebook=lambda: True, current_thread=current)
    monkeypatch.setitem(sys.modules, "marimo", stand)
    ended = dagster.answers["Status"]["runsOrError"]["results"][0]
    ended["status"] = "STARTED"
    run = helpers.Run(client, runs.Run(ended["runId"], "QUEUED"))
    assert [each.status for each in helpers.follow(run, interval=0)] == ["STARTED"]


def test_run_config_is_checked_before_it_is_launched(client: helpers.Client, dagster: Any) -> None:
    [orders] = helpers.find_assets(client, ["orders"])
    good = helpers.validate_config(client, orders, {"ops": {}})
    assert (good.ok, str(good)) == (True, "The run config is valid.")
    assert "valid" in good.html()
    torn = helpers.validate_config(client, ["orders"], "ops: [")
    assert not torn.ok
    assert str(torn).startswith("The run config is not valid:\n  ")
    wrong = {"message": "Expected <int>", "path": ["ops"], "stack": {"entries": []}, "reason": "RUNTIME_TYPE_MISMATCH"}
    dagster.answers["Validate"] = {
        "isPipelineConfigValid": {"__typename": "RunConfigValidationInvalid", "errors": [wrong]}
    }
    bad = helpers.validate_config(client, helpers.find_job(client, "report"), "ops: {}")
    assert not bad.ok
    assert "Expected &lt;int&gt;" in bad.html()


def test_the_template_of_a_partition_is_what_the_jobs_code_makes_of_it(client: helpers.Client, dagster: Any) -> None:
    of = {
        "tagsOrError": {"__typename": "PartitionTags", "results": []},
        "runConfigOrError": {"__typename": "PartitionRunConfig", "yaml": "ops: {load: {config: {day: '2026-01-02'}}}"},
    }
    dagster.answers["PartitionLaunch"] = {"partitionSetOrError": {"__typename": "PartitionSet", "partition": of}}
    types_of = [{"__typename": "CompositeConfigType", "key": "root", "fields": []}]
    schema = {"__typename": "RunConfigSchema", "rootConfigType": {"key": "root"}, "allConfigTypes": types_of}
    dagster.answers["ConfigSchema"] = {"runConfigSchemaOrError": schema}
    daily = helpers.find_job(client, "daily")
    text = helpers.config_template(client, daily, partition=KEYS[1])
    assert text == "ops:\n  load:\n    config:\n      day: '2026-01-02'\n"
    nothing = "{}  # nothing can be configured\n"
    assert helpers.config_template(client, daily) == nothing
    of["runConfigOrError"]["yaml"] = "{}"  # its code makes nothing of it
    assert helpers.config_template(client, daily, partition=KEYS[1]) == nothing


def test_run_config_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("ops: {a: {config: {n: 1}}}\n")
    assert helpers.load_config_from_file(tmp_path / "run.yaml") == {"ops": {"a": {"config": {"n": 1}}}}
    with pytest.raises(errors.NotSetUp, match=r"gone\.yaml"):
        helpers.load_config_from_file(tmp_path / "gone.yaml")

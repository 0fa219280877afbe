"""Backfills: what is refused before one is made, how one that is under way is read, and which partitions are meant."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from daglab import errors
from daglab.deployment import dagster_api, partitions
from daglab.launching import backfills, launches
from daglab.settings import config

PARAMETERS = {"__type": {"inputFields": [{"name": "partitionNames"}, {"name": "tags"}]}}
WANTED = backfills.Wanted(("a", "b"), (("orders",),))


@pytest.fixture
def api(dagster: Any) -> dagster_api.DagsterApi:
    return dagster_api.connect(config.load({"dagster.url": dagster.url}))


def daemons(healthy: bool) -> dict[str, Any]:
    status = {"daemonType": "BACKFILL", "healthy": healthy}
    return {"instance": {"runQueuingSupported": False, "daemonHealth": {"allDaemonStatuses": [status]}}}


# --- before one is made


def test_without_a_daemon_it_is_refused(api: dagster_api.DagsterApi, dagster: Any) -> None:
    dagster.answers["Daemons"] = daemons(False)
    with pytest.raises(errors.NotSetUp, match="daemon that works off backfills does not run") as caught:
        backfills.check(api, WANTED)
    assert "dagster-daemon run" in str(caught.value.hint)
    dagster.answers["Daemons"] = daemons(True)
    backfills.check(api, WANTED)


def test_a_deployment_that_does_not_tell_of_daemons_is_trusted(api: dagster_api.DagsterApi, dagster: Any) -> None:
    backfills.check(api, WANTED)


def test_an_old_version_takes_no_run_config(api: dagster_api.DagsterApi, dagster: Any) -> None:
    dagster.answers["BackfillParameters"] = PARAMETERS
    wanted = backfills.Wanted(("a", "b"), (("orders",),), body={"ops": {}})
    with pytest.raises(errors.NotSetUp, match="takes no run config for a backfill"):
        backfills.check(api, wanted)
    PARAMETERS["__type"]["inputFields"].append({"name": "runConfigData"})
    backfills.check(api, wanted)


# --- making it


def test_what_is_sent_for_one(api: dagster_api.DagsterApi, dagster: Any) -> None:
    dagster.answers["Backfill"] = {
        "launchPartitionBackfill": {"__typename": "LaunchBackfillSuccess", "backfillId": "abc"}
    }
    tags = {"team": "x", launches.LAUNCH_TAG: "id"}
    assert (
        backfills.launch(api, dataclasses.replace(WANTED, tags={"team": "x"}, body={"ops": {}}), launch_id="id")
        == "abc"
    )
    sent = dagster.requests[-1].body["variables"]["params"]
    assert {each["key"]: each["value"] for each in sent["tags"]} == tags
    assert (sent["assetSelection"], sent["runConfigData"]) == ([{"path": ["orders"]}], {"ops": {}})
    job = backfills.Wanted(("a", "b"), partition_set="days", repository="r", location="l")
    assert backfills.launch(api, job, launch_id="id") == "abc"
    sent = dagster.requests[-1].body["variables"]["params"]
    place = {"repositoryName": "r", "repositoryLocationName": "l"}
    assert sent["selector"] == {"partitionSetName": "days", "repositorySelector": place}
    assert "assetSelection" not in sent


def test_one_that_dagster_refuses_is_not_looked_for_and_one_that_may_be_there_is(
    api: dagster_api.DagsterApi, dagster: Any
) -> None:
    refused = {"__typename": "PartitionKeysNotFoundError", "message": "no such keys"}
    dagster.answers["Backfill"] = {"launchPartitionBackfill": refused}
    with pytest.raises(dagster_api.Refused, match="no such keys"):
        backfills.launch(api, WANTED, launch_id="id")
    assert not any("query Backfills" in str(request.body) for request in dagster.requests)
    listed = {"id": "abc", "status": "REQUESTED", "tags": [{"key": launches.LAUNCH_TAG, "value": "id"}]}
    dagster.answers["Backfills"] = {
        "partitionBackfillsOrError": {"__typename": "PartitionBackfills", "results": [listed]}
    }
    dagster.answers["Backfill"] = {"launchPartitionBackfill": {"__typename": "PythonError", "message": "after it"}}
    assert backfills.launch(api, WANTED, launch_id="id") == "abc"


def test_one_that_is_cancelled_is_waited_for(api: dagster_api.DagsterApi, dagster: Any) -> None:
    dagster.answers["BackfillStatus"] = stand("CANCELED")
    dagster.answers["CancelBackfill"] = {
        "cancelPartitionBackfill": {"__typename": "CancelBackfillSuccess", "backfillId": "abc"}
    }
    assert backfills.cancel(api, "abc").status == "CANCELED"
    dagster.answers["CancelBackfill"] = {
        "cancelPartitionBackfill": {"__typename": "UnauthorizedError", "message": "not you"}
    }
    with pytest.raises(errors.DaglabError, match="not you"):
        backfills.cancel(api, "abc")


# --- how it stands


def stand(status: str, version: str = "1.13.27", **more: Any) -> dict[str, Any]:
    found = {"__typename": "PartitionBackfill", "id": "abc", "status": status, "numPartitions": 4, "error": None}
    return {"version": version, "partitionBackfillOrError": {**found, "partitionStatusCounts": [], **more}}


def test_the_counts_of_assets(api: dagster_api.DagsterApi) -> None:
    names = ("Targeted", "InProgress", "Materialized", "Failed")
    daily = {f"numPartitions{name}": count for name, count in zip(names, (10, 2, 3, 1), strict=True)}
    plain = {"inProgress": False, "materialized": True, "failed": False}
    data = {"assetBackfillStatuses": [daily, plain]}
    found = backfills.parse_status(api, stand("REQUESTED", assetBackfillData=data))
    assert found.counts == {"SUCCESS": 4, "FAILURE": 1, "STARTED": 2, "NOT_STARTED": 4}
    assert (found.is_over, found.is_good) == (False, False)


@pytest.mark.parametrize(
    ("status", "counts", "good"),
    [
        ("COMPLETED_SUCCESS", {"SUCCESS": 2}, True),
        ("COMPLETED", {"SUCCESS": 2}, True),
        ("COMPLETED", {"SUCCESS": 1, "FAILURE": 1}, False),
        ("COMPLETED_FAILED", {"FAILURE": 2}, False),
        ("FAILED", {}, False),
        ("CANCELED", {"SUCCESS": 2}, False),
    ],
)
def test_the_end_of_one(status: str, counts: dict[str, int], good: bool, api: dagster_api.DagsterApi) -> None:
    """Before 1.8 there is one word for both ends, and the counts tell."""
    told = [{"runStatus": each, "count": count} for each, count in counts.items()]
    found = backfills.parse_status(api, stand(status, partitionStatusCounts=told))
    assert (found.is_over, found.is_good) == (True, good)


@pytest.mark.parametrize(
    ("version", "place"),
    [("1.5.14", "overview/backfills"), ("1.8.13", "runs/b"), ("1.13.27", "runs/b"), ("", "runs/b")],
)
def test_its_page_has_moved(version: str, place: str, api: dagster_api.DagsterApi) -> None:
    assert backfills.parse_status(api, stand("REQUESTED", version)).url == f"{api.url}/{place}/abc"


def test_one_that_is_gone(api: dagster_api.DagsterApi, dagster: Any) -> None:
    gone = {"__typename": "BackfillNotFoundError", "message": "x"}
    dagster.answers["BackfillStatus"] = {"version": "1", "partitionBackfillOrError": gone}
    with pytest.raises(errors.OutcomeUnknown, match="does not know the backfill abc"):
        backfills.look(api, "abc")
    dagster.answers["BackfillStatus"] = {
        "version": "1",
        "partitionBackfillOrError": {"__typename": "SomeNewError", "message": "not now"},
    }
    with pytest.raises(dagster_api.Refused, match="not now"):  # it may be there
        backfills.look(api, "abc")


def test_one_that_goes_on_when_the_time_is_up(api: dagster_api.DagsterApi, dagster: Any) -> None:
    dagster.answers["BackfillStatus"] = stand("REQUESTED")
    with pytest.raises(errors.TimedOut, match=r"abc is REQUESTED after 0\.05 s; it goes on"):
        list(backfills.follow(api, "abc", timeout=0.05, interval=0.01))


# --- which partitions

KEYS = ["2026-11-01|eu", "2026-11-01|us", "2026-11-02|eu", "2026-11-02|us"]


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        (partitions.Choice(keys=("2026-11-02|us", "2026-11-01|eu")), [KEYS[0], KEYS[3]]),
        (partitions.Choice(span=("2026-11-01|us", "2026-11-02|us")), [KEYS[1], KEYS[3]]),
        (partitions.Choice(span=("2026-11-01|eu", "2026-11-02|us")), KEYS),
        (partitions.Choice(every=True), KEYS),
        (partitions.Choice(latest=True), KEYS[-1:]),
        (partitions.Choice(missing=True), KEYS),
        (partitions.Choice(keys=("2026-11-02|us", "2026-11-02|us")), [KEYS[3]]),
    ],
)
def test_the_keys_that_are_chosen(choice: partitions.Choice, chosen: list[str]) -> None:
    assert partitions.chosen_keys(choice, KEYS, "a") == chosen


def test_a_range_over_several_dimensions_is_one_in_each() -> None:
    """As Dagster has it: the keys between two ends, in the order in which they are listed, would be others."""
    with pytest.raises(errors.InvalidInput, match=r"2026-11-01\|us comes after 2026-11-02\|eu in a"):
        partitions.chosen_keys(partitions.Choice(span=("2026-11-01|us", "2026-11-02|eu")), KEYS, "a")
    chosen = partitions.chosen_keys(partitions.Choice(span=(KEYS[0], KEYS[2])), KEYS, "a")
    assert list(partitions.range_tags(chosen, KEYS, ("day", "region")).values()) == [KEYS[0], KEYS[2]]
    with pytest.raises(errors.InvalidInput, match="have gaps"):
        partitions.range_tags(KEYS[:3], KEYS, ("day", "region"))
    one = partitions.Choice(span=(KEYS[1], KEYS[2]))
    assert partitions.chosen_keys(one, KEYS, "a", ()) == KEYS[1:3]  # a bar in the keys of one dimension


def test_the_parts_of_a_key_may_come_in_any_order() -> None:
    assert partitions.key_of("region=us, day=2026-11-02", KEYS, "a") == "2026-11-02|us"
    assert partitions.key_of("2026-11-02|us", KEYS, "a") == "2026-11-02|us"
    with pytest.raises(errors.InvalidInput, match="a has no partition day=2026-11-02"):
        partitions.key_of("day=2026-11-02", KEYS, "a")
    assert partitions.key_of("x=1,y=2", ["x=1,y=2"], "a") == "x=1,y=2"  # somebody's own key


def test_the_names_of_the_parts_are_those_of_the_dimensions() -> None:
    """In another order of names the parts would be those of another partition."""
    names = ("day", "region")
    assert partitions.key_of("region=us,day=2026-11-02", KEYS, "a", names) == "2026-11-02|us"
    with pytest.raises(errors.InvalidInput, match="a is partitioned by day and region, not by date, region") as caught:
        partitions.key_of("date=2026-11-02,region=us", KEYS, "a", names)
    assert caught.value.hint == "Write day=KEY,region=KEY."


def test_one_run_takes_no_gaps() -> None:
    assert partitions.range_tags(["b", "c"], ["a", "b", "c"]) == {
        "dagster/asset_partition_range_start": "b",
        "dagster/asset_partition_range_end": "c",
    }
    with pytest.raises(errors.InvalidInput, match="have gaps"):
        partitions.range_tags(["a", "c"], ["a", "b", "c"])


# --- finding one


def test_one_is_looked_for_on_all_pages(api: dagster_api.DagsterApi, dagster: Any) -> None:
    """The newest come first, a page at a time; one that was made just now is among the first."""
    every = [
        {"id": f"b{number}", "status": "X", "tags": [{"key": "daglab/launch_id", "value": f"l{number}"}]}
        for number in range(230)
    ]

    def page(body: Any) -> dict[str, Any]:
        cursor, limit = body["variables"]["cursor"], body["variables"]["limit"]
        start = next((place + 1 for place, each in enumerate(every) if each["id"] == cursor), 0)
        return {
            "partitionBackfillsOrError": {"__typename": "PartitionBackfills", "results": every[start : start + limit]}
        }

    dagster.answers["Backfills"] = page
    assert [each.id for each in backfills.search(api)] == [each["id"] for each in every]
    assert backfills.by_tag(api, "l99") == "b99"
    assert backfills.by_tag(api, "l200") is None
    assert backfills.by_tag(api, "l200", most=None) == "b200"


def test_a_server_that_shows_one_page_again_and_again(api: dagster_api.DagsterApi, dagster: Any) -> None:
    every = [{"id": f"b{number}", "status": "X", "tags": []} for number in range(backfills.PAGE)]
    dagster.answers["Backfills"] = {"partitionBackfillsOrError": {"__typename": "PartitionBackfills", "results": every}}
    assert len(list(backfills.search(api))) == 2 * backfills.PAGE

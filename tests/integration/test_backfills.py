"""Several partitions against a real deployment: chosen, worked off by its daemon, waited for, cancelled, settled."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.long

Run = Callable[..., Any]
DAYS = ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05"]


@pytest.fixture
def daglab(cli: Run, deployment: Any) -> Run:
    """`daglab(*arguments)` ends as `exit_code` says; the document that it prints."""

    def ran(*arguments: str, exit_code: int = 0, url: str | None = None, **more: Any) -> Any:
        done = cli(*arguments, "--url", url or deployment.url, "--json", **more)
        assert done.exit_code == exit_code, done.stdout + done.stderr
        result = json.loads(done.stdout)
        assert result["ok"] is (exit_code == 0)
        return result

    return ran


@pytest.fixture
def made(daglab: Run) -> Run:
    """The partitions of a backfill's runs."""

    def of(result: Any) -> set[str]:
        tag = f"dagster/backfill={result['backfill']['backfill_id']}"
        return {each["partition"] for each in daglab("runs", "list", "--tag", tag)["runs"]}

    return of


# --- which ones


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["--partition-range", "2026-11-02..2026-11-04"], DAYS[1:4]),
        (["--partitions", "2026-11-04, 2026-11-01"], [DAYS[0], DAYS[3]]),
        (["--all-partitions"], DAYS),
        (["--latest-partition"], DAYS[-1:]),
        (["--partitions", "2026-11-03"], DAYS[2:3]),
    ],
)
def test_the_partitions_that_are_chosen(arguments: list[str], keys: list[str], daglab: Run) -> None:
    result = daglab("run", "--asset-selection", "daily", "--validate-only", *arguments)
    assert (result["partitions"], result["assets"]) == (keys, ["daily"])


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--asset-selection", "daily", "--partition-range", "2026-11-04..2026-11-02"], 7, "comes after"),
        (["--asset-selection", "daily", "--partition-range", "2026-11-04..2027-11-02"], 7, "no partition 2027-11-02"),
        (["--asset-selection", "daily", "--partition-range", "2026-11-04"], 2, "is no range"),
        (["--asset-selection", "daily", "--partitions", "2026-11-04,x"], 7, "no partition x"),
        (["--asset-selection", "raw_orders", "--all-partitions"], 7, "has no partitions"),
        (["--select", "key:daily or key:regional", "--all-partitions"], 7, "not partitioned alike"),
        (["--asset-selection", "daily", "--all-partitions", "--latest-partition"], 2, "say different things"),
        (["--asset-selection", "daily", "--partition", "x", "--missing-only"], 2, "are for several"),
        (["--asset-selection", "daily", "--single-run"], 2, "is for several"),
        (["--asset-selection", "daily", "--partitions", "2026-11-01,2026-11-03", "--single-run"], 7, "have gaps"),
        (["--job", "part_job", "--all-partitions", "--single-run"], 7, "one partition a run"),
        (["--job", "part_job", "--all-partitions", "--config-yaml", "{}"], 7, "makes the run config"),
        (["--asset-selection", "daily", "--all-partitions", "--config-yaml", "{ops: {slow: {}}}"], 7, "not selected"),
    ],
)
def test_what_makes_no_sense(arguments: list[str], exit_code: int, message: str, daglab: Run) -> None:
    error = daglab("run", *arguments, exit_code=exit_code)["error"]
    assert message in error["message"]
    assert error["hint"]


def test_a_key_of_two_dimensions(daglab: Run) -> None:
    result = daglab("run", "--asset-selection", "daily_regional", "--partition", "region=asia pacific, day=2026-11-02")
    run = daglab("runs", "show", result["runs"][0]["run_id"])
    assert run["partition"] == "2026-11-02|asia pacific"
    assert run["tags"]["dagster/partition/region"] == "asia pacific"


# --- to the end


def test_a_backfill_of_assets(daglab: Run, made: Run) -> None:
    """What is not partitioned is made once, along with it."""
    result = daglab(
        "run", "--asset-selection", "daily,raw_orders", "--partition-range", "2026-11-01..2026-11-02", "--tag", "a=b"
    )
    backfill = result["backfill"]
    assert (backfill["status"], backfill["counts"], result["runs"]) == ("COMPLETED_SUCCESS", {"SUCCESS": 3}, [])
    assert backfill["url"].endswith(f"/runs/b/{backfill['backfill_id']}")
    assert made(result) == {"2026-11-01", "2026-11-02", None}
    tagged = daglab("runs", "list", "--tag", f"dagster/backfill={backfill['backfill_id']}")["runs"]
    assert {each["tags"]["a"] for each in tagged} == {"b"}
    assert {each["tags"]["daglab/launch_id"] for each in tagged} == {result["launch_id"]}


@pytest.mark.slow
def test_a_backfill_of_a_job(daglab: Run, made: Run) -> None:
    result = daglab("run", "--job", "part_job", "--partitions", "a,c")
    assert result["backfill"]["counts"] == {"SUCCESS": 2}
    assert made(result) == {"a", "c"}


@pytest.fixture
def colours(graphql: Run) -> Any:
    """Three dynamic partitions of `coloured`, which has none before and after."""
    place = '{repositoryName: "__repository__", repositoryLocationName: "main"}, partitionsDefName: "colours"'
    keys = [f"k{uuid.uuid4().hex[:6]}" for _ in range(3)]
    for key in keys:
        add = f"addDynamicPartition(repositorySelector: {place}, partitionKey: $key)"
        graphql(f"mutation Add($key: String!) {{ {add} {{ __typename }} }}", key=key)
    yield keys
    drop = f"deleteDynamicPartitions(repositorySelector: {place}, partitionKeys: $keys)"
    graphql(f"mutation Drop($keys: [String!]!) {{ {drop} {{ __typename }} }}", keys=keys)


@pytest.mark.slow
def test_what_is_missing_is_made_and_then_nothing(daglab: Run, colours: list[str]) -> None:
    chosen = ["--asset-selection", "coloured", "--partitions", ",".join(colours), "--missing-only"]
    daglab("run", "--asset-selection", "coloured", "--partition", colours[0])
    assert daglab("run", *chosen, "--validate-only")["partitions"] == colours[1:]
    assert daglab("run", *chosen)["backfill"]["counts"] == {"SUCCESS": 2}
    result = daglab("run", *chosen)
    assert (result["runs"], "backfill" in result) == ([], False)


def test_one_run_for_a_range(daglab: Run) -> None:
    """Its code asks for one partition, and so it fails; Dagster has launched it for the range."""
    result = daglab(
        "run", "--asset-selection", "daily", "--partition-range", "2026-11-01..2026-11-02", "--single-run", exit_code=4
    )
    [entry] = result["runs"]
    tags = daglab("runs", "show", entry["run_id"])["tags"]
    assert tags["dagster/asset_partition_range_start"] == "2026-11-01"
    assert tags["dagster/asset_partition_range_end"] == "2026-11-02"
    assert "range of partitions" in entry["errors"][0]["error"]


def test_not_waiting_and_settling(daglab: Run) -> None:
    result = daglab("run", "--asset-selection", "regional", "--partitions", "eu,us", "--no-wait")
    assert result["backfill"]["status"] == "REQUESTED"
    settled = daglab("runs", "settle", result["launch_id"])
    assert settled["backfill"]["backfill_id"] == result["backfill"]["backfill_id"]


def test_the_time_is_up_and_the_backfill_is_cancelled(daglab: Run) -> None:
    result = daglab(
        *("run", "--asset-selection", "daily_regional", "--all-partitions", "--timeout", "0.1", "--cancel-on-timeout"),
        exit_code=9,
    )
    assert (result["cancelled"], result["backfill"]["status"]) == (True, "CANCELED")


# --- lost answers


def cut_after(client: socket.socket, forward: Callable[[], bytes]) -> None:
    forward()
    client.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
def test_a_backfill_whose_answer_is_lost_is_found(daglab: Run, proxy: Any) -> None:
    proxy.faults["Backfill"] = cut_after
    result = daglab("run", "--job", "part_job", "--partitions", "a,b", url=proxy.url)
    assert result["backfill"]["status"] == "COMPLETED_SUCCESS"
    assert proxy.forwarded.count("Backfill") == 1


@pytest.mark.slow
def test_a_backfill_that_never_arrives(daglab: Run, proxy: Any) -> None:
    proxy.faults["Backfill"] = lambda client, _: client.shutdown(socket.SHUT_RDWR)
    env = {"DAGLAB_DAGSTER__GRAPHQL__TIMEOUT": "3"}
    result = daglab("run", "--job", "part_job", "--partitions", "a,b", exit_code=5, url=proxy.url, env=env)
    assert result["launch"] == "unknown"
    assert f"daglab runs settle {result['launch_id']}" in result["error"]["hint"]
    assert daglab("runs", "settle", result["launch_id"], exit_code=4, env=env)["launch"] == "none"


def test_the_sandbox_refuses(daglab: Run, proxy: Any) -> None:
    result = daglab("run", "--job", "part_job", "--all-partitions", "--sandbox", exit_code=6, url=proxy.url)
    assert "launchPartitionBackfill" in result["error"]["message"]
    assert proxy.seen == []

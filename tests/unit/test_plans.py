"""Plans: what is asked for, of several partitions too, as the launches or the backfill that it takes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from daglab import errors
from daglab.deployment import dagster_api, partitions
from daglab.launching import backfills, plans
from daglab.settings import config

EVERY = partitions.Choice(every=True)
DAYS = ("2026-11-01", "2026-11-02", "2026-11-03")
RANGE = {"dagster/asset_partition_range_start": DAYS[0], "dagster/asset_partition_range_end": DAYS[1]}
DAILY = {"name": None, "type": "TIME_WINDOW", "description": "Daily.", "dimensionTypes": [{"name": "default"}]}
WRONG = {
    "__typename": "RunConfigValidationInvalid",
    "pipelineName": "report",
    "errors": [{"message": "no such field", "reason": "FIELD_NOT_DEFINED", "path": [], "stack": {"entries": []}}],
}


@pytest.fixture
def api(dagster: Any) -> dagster_api.DagsterApi:
    """A Dagster with the job `report` and the asset `orders`, both by day, and the asset `raw`, which is not."""
    [location] = dagster.answers["Workspace"]["workspaceOrError"]["locationEntries"]
    [repository] = location["locationOrLoadError"]["repositories"]
    repository["partitionSets"] = [{"name": "report_days", "pipelineName": "report"}]
    [node] = dagster.answers["Assets"]["assetNodes"]
    raw = {**copy.deepcopy(node), "assetKey": {"path": ["raw"]}, "opNames": ["raw"]}
    node.update(isPartitioned=True, partitionDefinition=DAILY)
    dagster.answers["Assets"]["assetNodes"].append(raw)
    keyed = {"assetKey": node["assetKey"], "repository": node["repository"], "partitionKeys": list(DAYS)}
    dagster.answers["AssetPartitions"] = {"assetNodes": [keyed]}
    days = {"__typename": "Partitions", "results": [{"name": day} for day in DAYS]}
    dagster.answers["JobPartitions"] = {
        "partitionSetOrError": {"__typename": "PartitionSet", "partitionsOrError": days}
    }
    made = {**keyed, "latestMaterializationByPartition": [{"partition": day} for day in DAYS]}
    dagster.answers["MadePartitions"] = {"assetNodes": [made]}
    said = {"tagsOrError": {"__typename": "PartitionTags", "results": [{"key": "dagster/partition", "value": DAYS[0]}]}}
    said["runConfigOrError"] = {"__typename": "PartitionRunConfig", "yaml": "{}"}
    dagster.answers["PartitionLaunch"] = {"partitionSetOrError": {"__typename": "PartitionSet", "partition": said}}
    dagster.answers["BackfillParameters"] = {"__type": {"inputFields": [{"name": "runConfigData"}]}}
    return dagster_api.connect(config.load({"dagster.url": dagster.url}))


def orders(**more: Any) -> plans.Wanted:
    return plans.Wanted(assets=(("orders",),), **more)


def test_several_partitions_of_assets_are_one_backfill(api: dagster_api.DagsterApi) -> None:
    found = plans.prepare(api, orders(choice=EVERY, tags={"team": "x"}, body={"ops": {"orders": {}}}))
    assert (found.runs, found.partitions) == ((), DAYS)
    assert found.backfill == backfills.Wanted(DAYS, (("orders",),), tags={"team": "x"}, body={"ops": {"orders": {}}})


def test_several_partitions_of_a_job_are_one_backfill_of_its_partition_set(api: dagster_api.DagsterApi) -> None:
    found = plans.prepare(api, plans.Wanted(job="report", choice=EVERY))
    assert found.backfill == backfills.Wanted(DAYS, (), "report_days", "__repository__", "shop")


def test_one_partition_is_a_run(api: dagster_api.DagsterApi) -> None:
    for wanted in (orders(choice=partitions.Choice(latest=True)), orders(partition=DAYS[2])):
        found = plans.prepare(api, wanted)
        assert found.backfill is None
        assert [run.tags for run in found.runs] == [{"dagster/partition": DAYS[2]}]


def test_nothing_is_launched_where_nothing_is_missing(api: dagster_api.DagsterApi, dagster: Any) -> None:
    wanted = orders(choice=partitions.Choice(missing=True))
    assert plans.prepare(api, wanted) == plans.Prepared()
    del dagster.answers["MadePartitions"]["assetNodes"][0]["latestMaterializationByPartition"][1:]
    assert plans.prepare(api, wanted).partitions == DAYS[1:]


def test_one_run_for_a_range_has_its_tags_where_the_assets_are_partitioned(api: dagster_api.DagsterApi) -> None:
    choice = partitions.Choice(span=(DAYS[0], DAYS[1]))
    both = plans.Wanted(assets=(("orders",), ("raw",)), choice=choice, single_run=True, tags={"team": "x"})
    found = plans.prepare(api, both)
    assert (found.backfill, found.partitions) == (None, DAYS[:2])
    ranged = [run for run in found.runs if ("orders",) in run.target.assets]
    assert [run.tags for run in ranged] == [{**RANGE, "team": "x"}]
    assert all(run.tags == {"team": "x"} for run in found.runs if run not in ranged)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (plans.Wanted(job="report", choice=EVERY, single_run=True), "takes one partition a run"),
        (plans.Wanted(job="report", choice=EVERY, body={}), "makes the run config of each partition itself"),
        (plans.Wanted(assets=(("raw",),), choice=EVERY), "raw has no partitions"),
        (orders(choice=partitions.Choice(keys=("2026-11-01", "2026-11-03")), single_run=True), "have gaps"),
    ],
)
def test_what_can_not_be_launched_is_said_before_anything_is(
    wanted: plans.Wanted, said: str, api: dagster_api.DagsterApi, dagster: Any
) -> None:
    with pytest.raises(errors.InvalidInput, match=said) as caught:
        plans.prepare(api, wanted)
    assert caught.value.hint
    assert not any("mutation" in str(request.body) for request in dagster.requests)


def test_run_config_that_dagster_refuses_is_told(api: dagster_api.DagsterApi, dagster: Any) -> None:
    dagster.answers["Validate"] = {"isPipelineConfigValid": WRONG}
    for wanted in (
        plans.Wanted(job="report", partition=DAYS[0], body={"x": 1}),
        orders(choice=EVERY, body={"x": 1}),
        orders(partition=DAYS[0], body={"x": 1}),
    ):
        with pytest.raises(errors.InvalidInput) as caught:
            plans.prepare(api, wanted)
        assert "no such field" in str(caught.value.result)


def test_the_targets_of_what_is_asked_for_are_found_without_checking_it(
    api: dagster_api.DagsterApi, dagster: Any
) -> None:
    dagster.answers["Validate"] = {"isPipelineConfigValid": WRONG}
    [job] = plans.find_targets(api, plans.Wanted(job="report"))
    assert (job.job, job.assets) == ("report", ())
    [assets] = plans.find_targets(api, orders())
    assert assets.assets == (("orders",),)

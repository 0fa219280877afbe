"""Partitions: which keys there are, and the tags of a run for one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses

from daglab import errors, parse, web
from daglab.deployment import dagster_api, entities, partitions

URL = "http://dagster.test:3000"
GRAPHQL = f"{URL}/graphql"
PYTHON_ERROR = {"__typename": "PythonError", "message": "ValueError: x"}


@pytest.fixture
def api() -> Iterator[dagster_api.DagsterApi]:
    with requests.Session() as http:
        yield dagster_api.DagsterApi(URL, web.Session(http, timeout=5.0, retries=0))


def answer(data: Any) -> None:
    responses.post(GRAPHQL, json={"data": data})


def asset(*key: str, kind: str | None = "STATIC", location: str = "main", dimensions: tuple[str, ...] = ()) -> Any:
    return entities.Asset(
        key, None, None, (), {}, (), True, kind, dimensions, ("__ASSET_JOB",), (), "__repository__", location
    )


def node(*path: str, keys: Any, location: str = "main") -> dict[str, Any]:
    repository = {"name": "__repository__", "location": {"name": location}}
    return {"assetKey": {"path": list(path)}, "repository": repository, "partitionKeys": keys}


def nodes(*found: Any) -> dict[str, Any]:
    return {"assetNodes": list(found)}


JOB = entities.Job("report", "__repository__", "main", None, {}, False, "report_partition_set")
PLAIN = entities.Job("plain", "__repository__", "main", None, {}, False, None)


def keys_of_job(*names: str) -> dict[str, Any]:
    results = {"__typename": "Partitions", "results": [{"name": name} for name in names]}
    return {"partitionSetOrError": {"__typename": "PartitionSet", "partitionsOrError": results}}


def tags_of_job(*, config: Any = None, **tags: str) -> dict[str, Any]:
    results = [{"key": key, "value": value} for key, value in tags.items()]
    partition: dict[str, Any] = {"tagsOrError": {"__typename": "PartitionTags", "results": results}}
    if config is not None:
        partition["runConfigOrError"] = config
    return {"partitionSetOrError": {"__typename": "PartitionSet", "partition": partition}}


# --- assets


@responses.activate
def test_an_asset_without_partitions_asks_nothing(api: dagster_api.DagsterApi) -> None:
    plain = asset("a", kind=None)
    assert partitions.asset_tags(api, [plain], None) == {}
    assert partitions.keys(api, plain) == []


@responses.activate
def test_an_asset_with_partitions(api: dagster_api.DagsterApi) -> None:
    answer(nodes(node("a", "b", keys=["eu", "us"])))
    assert partitions.keys(api, asset("a", "b")) == ["eu", "us"]
    assert partitions.asset_tags(api, [asset("a", "b")], "us") == {"dagster/partition": "us"}
    sent = json.loads(responses.calls[0].request.body or "{}")
    assert sent["variables"] == {"keys": [{"path": ["a", "b"]}]}


@responses.activate
def test_an_asset_of_several_dimensions(api: dagster_api.DagsterApi) -> None:
    """The key's parts are in the order of the dimensions' names, whatever the order of the dimensions."""
    answer(nodes(node("a", keys=["2026-11-01|eu"])))
    several = asset("a", kind="MULTIPARTITIONED", dimensions=("region", "day"))
    assert partitions.asset_tags(api, [several], "2026-11-01|eu") == {
        "dagster/partition": "2026-11-01|eu",
        "dagster/partition/day": "2026-11-01",
        "dagster/partition/region": "eu",
    }


@pytest.mark.parametrize(
    ("partition", "dimensions"), [("a|b", ()), ("a|b", ("one",)), ("a", ("one", "two")), ("a|b|c", ("one", "two"))]
)
def test_a_key_that_is_no_key_of_dimensions(partition: str, dimensions: tuple[str, ...]) -> None:
    assert partitions.tags(partition, dimensions) == {"dagster/partition": partition}


@responses.activate
def test_each_asset_has_to_have_the_partition(api: dagster_api.DagsterApi) -> None:
    answer(nodes(node("a", keys=["eu", "us"]), node("b", keys=["eu"])))
    two = [asset("a"), asset("plain", kind=None), asset("b")]
    assert partitions.asset_tags(api, two, "eu") == {"dagster/partition": "eu"}
    with pytest.raises(errors.InvalidInput, match="b has no partition us"):
        partitions.asset_tags(api, two, "us")


@responses.activate
def test_assets_of_one_name_are_told_apart(api: dagster_api.DagsterApi) -> None:
    answer(
        nodes(
            node("a", keys=["1"], location="main"),
            node("a", keys=["2"], location="second"),
            node("x", "y", keys=["3"]),
            node("x/y", keys=["4"]),
        )
    )
    assert partitions.keys(api, asset("a", location="second")) == ["2"]
    assert partitions.keys(api, asset("a", location="main")) == ["1"]
    assert partitions.keys(api, asset("x", "y")) == ["3"]
    assert partitions.keys(api, asset("x/y")) == ["4"]
    assert partitions.keys(api, asset("gone")) == []


@responses.activate
@pytest.mark.parametrize(
    ("wanted", "available", "message", "hint"),
    [
        ("ue", ["eu", "us"], "a has no partition ue.", "Did you mean"),
        ("xyz", ["eu", "us"], "a has no partition xyz.", "It has 2: eu to us."),
        ("xyz", ["eu"], "a has no partition xyz.", "It has 1: eu."),
        ("xyz", [], "a has no partitions yet.", "Add one in Dagster first."),
        ("", ["eu"], "a has no partition .", "It has 1: eu."),
    ],
)
def test_a_wrong_partition(
    wanted: str, available: list[str], message: str, hint: str, api: dagster_api.DagsterApi
) -> None:
    answer(nodes(node("a", keys=available)))
    with pytest.raises(errors.InvalidInput) as caught:
        partitions.asset_tags(api, [asset("a")], wanted)
    assert caught.value.message == message
    assert hint in str(caught.value.hint)


@responses.activate
def test_of_very_many_partitions_the_nearest_are_not_looked_for(
    api: dagster_api.DagsterApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    monkeypatch.setattr(parse, "did_you_mean", lambda _name, names: looked.append(len(names)))
    for count in (partitions.MANY, partitions.MANY + 1):
        responses.reset()
        answer(nodes(node("a", keys=[f"{n:06}" for n in range(count)])))
        with pytest.raises(errors.InvalidInput) as caught:
            partitions.asset_tags(api, [asset("a")], "x")
        assert caught.value.hint == f"It has {count}: 000000 to {count - 1:06}."
    assert looked == [partitions.MANY]


@responses.activate
def test_a_partition_that_is_not_named(api: dagster_api.DagsterApi) -> None:
    with pytest.raises(errors.InvalidInput, match="a, b is partitioned, and no partition is named") as caught:
        partitions.asset_tags(api, [asset("a"), asset("plain", kind=None), asset("b")], None)
    assert "--partition" in str(caught.value.hint)


@responses.activate
def test_a_partition_that_is_not_needed(api: dagster_api.DagsterApi) -> None:
    with pytest.raises(errors.InvalidInput, match="a is not partitioned") as caught:
        partitions.asset_tags(api, [asset("a", kind=None)], "eu")
    assert "--partition" in str(caught.value.hint)
    with pytest.raises(errors.InvalidInput, match="plain is not partitioned"):
        partitions.job_launch(api, PLAIN, "eu", None)


@responses.activate
@pytest.mark.parametrize(
    "data",
    [
        {},
        {"assetNodes": None},
        nodes(None),
        nodes({}),
        nodes({**node("a", keys=[]), "assetKey": None}),
        nodes(node("a", keys=None)),
    ],
)
def test_partitions_of_assets_that_are_none(data: Any, api: dagster_api.DagsterApi) -> None:
    answer(data)
    with pytest.raises(errors.Unreachable, match="assetNodes") as caught:
        partitions.asset_tags(api, [asset("a")], "eu")
    assert caught.value.hint


# --- jobs


@responses.activate
def test_a_job_without_partitions_asks_nothing(api: dagster_api.DagsterApi) -> None:
    assert partitions.job_launch(api, PLAIN, None, None) == ({}, {})
    assert partitions.job_launch(api, PLAIN, None, {"ops": {}}) == ({}, {"ops": {}})
    assert partitions.keys(api, PLAIN) == []


@responses.activate
def test_a_job_with_partitions(api: dagster_api.DagsterApi) -> None:
    """Dagster knows the tags itself: those of the dimensions are not in the job's listing."""
    wanted = {"dagster/partition": "a|b", "dagster/partition/x": "a", "dagster/partition/y": "b"}
    answer(keys_of_job("a|b", "a|c"))
    answer(tags_of_job(**wanted))
    assert partitions.job_launch(api, JOB, "a|b", {"ops": {}}) == (wanted, {"ops": {}})
    sent = json.loads(responses.calls[1].request.body or "{}")["variables"]
    assert sent == {
        "repository": {"repositoryName": "__repository__", "repositoryLocationName": "main"},
        "name": "report_partition_set",
        "partition": "a|b",
        "config": False,
    }


@responses.activate
@pytest.mark.parametrize(
    ("text", "config"), [("ops:\n  one: {n: 2026-11-01}\n", {"ops": {"one": {"n": "2026-11-01"}}}), ("{}", {})]
)
def test_a_job_has_run_config_for_each_partition(text: str, config: Any, api: dagster_api.DagsterApi) -> None:
    """Dagster's page puts it in, its launch does not; it is used where none is given, and an empty one is one."""
    for _ in range(2):
        answer(keys_of_job("a"))
        answer(tags_of_job(config={"__typename": "PartitionRunConfig", "yaml": text}))
    assert partitions.job_launch(api, JOB, "a", None) == ({}, config)
    assert partitions.job_launch(api, JOB, "a", {}) == ({}, {})
    asked = [json.loads(call.request.body or "{}")["variables"].get("config") for call in responses.calls]
    assert asked == [None, True, None, False]


@responses.activate
@pytest.mark.parametrize(
    ("member", "kind"),
    [
        (PYTHON_ERROR, dagster_api.ServerFailed),
        ({"__typename": "PartitionRunConfig"}, errors.Unreachable),
        ({"__typename": "PartitionRunConfig", "yaml": None}, errors.Unreachable),
        ({"__typename": "PartitionRunConfig", "yaml": "- a"}, errors.InvalidInput),
        (None, errors.Unreachable),
    ],
)
def test_run_config_of_a_partition_that_is_none(
    member: Any, kind: type[Exception], api: dagster_api.DagsterApi
) -> None:
    answer(keys_of_job("a"))
    answer(tags_of_job(config=member))
    with pytest.raises(kind) as caught:
        partitions.job_launch(api, JOB, "a", None)
    assert caught.value.hint  # type: ignore[attr-defined]


@responses.activate
def test_a_wrong_partition_of_a_job(api: dagster_api.DagsterApi) -> None:
    answer(keys_of_job("a", "b"))
    with pytest.raises(errors.InvalidInput, match="report has no partition c"):
        partitions.job_launch(api, JOB, "c", {})
    with pytest.raises(errors.InvalidInput, match="report is partitioned, and no partition is named"):
        partitions.job_launch(api, JOB, None, {})
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize(
    ("member", "kind"),
    [
        (PYTHON_ERROR, dagster_api.ServerFailed),
        ({"__typename": "PartitionSetNotFoundError", "message": "gone"}, dagster_api.Refused),
        ({"__typename": "Newfangled"}, dagster_api.Refused),
        (None, errors.Unreachable),
        ({"__typename": "PartitionSet"}, errors.Unreachable),
        ({"__typename": "PartitionSet", "partitionsOrError": None}, errors.Unreachable),
        ({"__typename": "PartitionSet", "partitionsOrError": PYTHON_ERROR}, dagster_api.ServerFailed),
        ({"__typename": "PartitionSet", "partitionsOrError": {"__typename": "Partitions"}}, errors.Unreachable),
    ],
)
def test_partitions_of_a_job_that_are_none(member: Any, kind: type[Exception], api: dagster_api.DagsterApi) -> None:
    answer({"partitionSetOrError": member})
    with pytest.raises(kind) as caught:
        partitions.keys(api, JOB)
    assert caught.value.hint  # type: ignore[attr-defined]


@responses.activate
@pytest.mark.parametrize(
    ("member", "kind"),
    [
        (PYTHON_ERROR, dagster_api.ServerFailed),
        ({"__typename": "PartitionSetNotFoundError", "message": "gone"}, dagster_api.Refused),
        (None, errors.Unreachable),
        ({"__typename": "PartitionSet"}, errors.Unreachable),
        ({"__typename": "PartitionSet", "partition": None}, errors.Unreachable),
        ({"__typename": "PartitionSet", "partition": {"tagsOrError": PYTHON_ERROR}}, dagster_api.ServerFailed),
        (
            {"__typename": "PartitionSet", "partition": {"tagsOrError": {"__typename": "PartitionTags"}}},
            errors.Unreachable,
        ),
    ],
)
def test_tags_of_a_job_that_are_none(member: Any, kind: type[Exception], api: dagster_api.DagsterApi) -> None:
    answer(keys_of_job("a"))
    answer({"partitionSetOrError": member})
    with pytest.raises(kind) as caught:
        partitions.job_launch(api, JOB, "a", {})
    assert caught.value.hint  # type: ignore[attr-defined]


# --- several partitions


def chosen(api: dagster_api.DagsterApi, *found: Any, **choice: Any) -> list[str]:
    return partitions.choose(api, found, partitions.Choice(**choice))


@responses.activate
def test_assets_have_to_have_the_same_keys(api: dagster_api.DagsterApi) -> None:
    """What Dagster says of their partitions is the same for two that end on different days."""
    answer(nodes(node("a", keys=["1", "2"]), node("b", keys=["1", "2", "3"])))
    for order in ([asset("a"), asset("b")], [asset("b"), asset("a")]):
        with pytest.raises(errors.InvalidInput, match="not partitioned alike"):
            chosen(api, *order, every=True)
    assert chosen(api, asset("a"), asset("plain", kind=None), every=True) == ["1", "2"]


@responses.activate
def test_partitions_that_are_none_yet(api: dagster_api.DagsterApi) -> None:
    answer(nodes(node("a", keys=[])))
    with pytest.raises(errors.InvalidInput, match="a has no partitions yet"):
        chosen(api, asset("a"), latest=True)
    with pytest.raises(errors.InvalidInput, match=r"plain has no partitions\."):
        chosen(api, asset("plain", kind=None), latest=True)


def made_of(name: str, *keys: str | None) -> dict[str, Any]:
    found = [None if key is None else {"partition": key} for key in keys]
    return {**node(name, keys=[]), "latestMaterializationByPartition": found}


@responses.activate
def test_missing_is_what_one_of_several_assets_lacks(api: dagster_api.DagsterApi) -> None:
    answer(nodes(node("a", keys=["1", "2", "3"]), node("b", keys=["1", "2", "3"])))
    answer(nodes(made_of("a", "1", "2", None), made_of("b", "2", None, "3")))
    assert chosen(api, asset("a"), asset("b"), missing=True) == ["1", "3"]


@responses.activate
def test_missing_of_a_job_is_where_the_last_run_did_not_succeed(api: dagster_api.DagsterApi) -> None:
    statuses = {"a": "SUCCESS", "b": "FAILURE", "c": "STARTED", "d": None}
    results = [{"partitionName": name, "runStatus": status} for name, status in statuses.items()]
    answer(keys_of_job(*statuses))
    told = {"__typename": "PartitionStatuses", "results": results}
    answer({"partitionSetOrError": {"__typename": "PartitionSet", "partitionStatusesOrError": told}})
    assert partitions.choose(api, JOB, partitions.Choice(missing=True)) == ["b", "c", "d"]


@responses.activate
def test_a_job_s_dimensions_are_known_by_its_tags(api: dagster_api.DagsterApi) -> None:
    """By another name in the same order it would be a partition that was not meant."""
    tags = {"dagster/partition": "a|b", "dagster/partition/source": "a", "dagster/partition/target": "b"}
    for _ in range(2):
        answer(keys_of_job("a|b", "b|a"))
        answer(tags_of_job(**tags))
    assert partitions.job_launch(api, JOB, "target=b, source=a", {})[0] == tags
    with pytest.raises(errors.InvalidInput, match="report is partitioned by source and target, not by target, zource"):
        partitions.job_launch(api, JOB, "target=a,zource=b", {})

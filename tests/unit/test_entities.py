"""What a deployment holds: each answer read, each broken one said, names found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses

from daglab import errors, web
from daglab.deployment import dagster_api, entities

URL = "http://dagster.test:3000"
GRAPHQL = f"{URL}/graphql"


@pytest.fixture
def api() -> Iterator[dagster_api.DagsterApi]:
    with requests.Session() as http:
        yield dagster_api.DagsterApi(URL, web.Session(http, timeout=5.0, retries=0))


def answer(data: Any) -> None:
    responses.post(GRAPHQL, json={"data": data})


def job(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": None, "isAssetJob": False, "tags": [], **more}


def loaded(name: str, jobs: list[dict[str, Any]], sets: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    repository = {"name": "__repository__", "jobs": jobs, "partitionSets": sets or []}
    return {
        "name": name,
        "locationOrLoadError": {"__typename": "RepositoryLocation", "name": name, "repositories": [repository]},
    }


def broken(name: str, message: str, *causes: str) -> dict[str, Any]:
    error = {"__typename": "PythonError", "message": message, "causes": [{"message": cause} for cause in causes]}
    return {"name": name, "locationOrLoadError": error}


def workspace(*entries: Any, version: Any = "1.13.27", fields: Any = ()) -> dict[str, Any]:
    return {
        "version": version,
        "assetNodeType": {"fields": [{"name": name} for name in fields]},
        "workspaceOrError": {"__typename": "Workspace", "locationEntries": list(entries)},
    }


def node(*path: str, location: str = "main", **more: Any) -> dict[str, Any]:
    return {
        "assetKey": {"path": list(path)},
        "groupName": "default",
        "description": None,
        "computeKind": None,
        "isExecutable": True,
        "isPartitioned": False,
        "opNames": ["__".join(path)],
        "jobNames": ["__ASSET_JOB"],
        "partitionDefinition": None,
        "dependencyKeys": [],
        "repository": {"name": "__repository__", "location": {"name": location}},
        **more,
    }


def nodes(*found: Any) -> dict[str, Any]:
    return {"assetNodes": list(found)}


# --- the workspace


@responses.activate
def test_a_workspace(api: dagster_api.DagsterApi) -> None:
    daily = job("daily", isAssetJob=True, description="Each day.", tags=[{"key": "kind", "value": "x"}])
    sets = [{"name": "daily_partition_set", "pipelineName": "daily"}]
    answer(workspace(loaded("main", [daily, job("report")], sets), fields=["kinds", "id"]))
    found = entities.workspace(api)
    assert found.version == "1.13.27"
    assert found.locations == (entities.Location("main", ("__repository__",), None),)
    assert found.jobs == (
        entities.Job("daily", "__repository__", "main", "Each day.", {"kind": "x"}, True, "daily_partition_set"),
        entities.Job("report", "__repository__", "main", None, {}, False, None),
    )
    assert found.asset_fields == {"kinds", "id"}
    assert found.broken == []


@responses.activate
def test_locations_that_are_not_loaded(api: dagster_api.DagsterApi) -> None:
    answer(
        workspace(
            broken("wrapped", "DagsterUserCodeLoadError: ...", "RuntimeError: root\n", "KeyError: deeper\n"),
            broken("plain", "RuntimeError: root\n"),
            {"name": "loading", "locationOrLoadError": None},
            loaded("main", []),
        )
    )
    found = entities.workspace(api)
    assert {each.name: each.error for each in found.broken} == {
        "wrapped": "KeyError: deeper",
        "plain": "RuntimeError: root",
        "loading": "still loading",
    }
    assert found.jobs == ()


@responses.activate
def test_an_empty_workspace(api: dagster_api.DagsterApi) -> None:
    answer({**workspace(), "assetNodeType": None})
    found = entities.workspace(api)
    assert (found.locations, found.jobs, found.asset_fields) == ((), (), frozenset())


@responses.activate
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({**workspace(), "workspaceOrError": {"__typename": "PythonError", "message": "x"}}, dagster_api.ServerFailed),
        ({**workspace(), "workspaceOrError": {"__typename": "Newfangled"}}, dagster_api.Refused),
        ({**workspace(), "workspaceOrError": None}, errors.Unreachable),
        ({"version": "1"}, errors.Unreachable),
        ({"workspaceOrError": workspace()["workspaceOrError"]}, errors.Unreachable),
        (workspace(None), errors.Unreachable),
        (workspace({"name": "main"}, {}), errors.Unreachable),
        (workspace({"name": "x", "locationOrLoadError": {"__typename": "RepositoryLocation"}}), errors.Unreachable),
        (workspace(loaded("main", [{"description": "no name"}])), errors.Unreachable),
        (workspace(loaded("main", [3])), errors.Unreachable),  # type: ignore[list-item]
        ({**workspace(), "assetNodeType": [3]}, errors.Unreachable),
    ],
)
def test_a_workspace_that_is_none(data: Any, kind: type[Exception], api: dagster_api.DagsterApi) -> None:
    answer(data)
    with pytest.raises(kind) as caught:
        entities.workspace(api)
    assert caught.value.hint  # type: ignore[attr-defined]


# --- assets


@responses.activate
def test_an_asset(api: dagster_api.DagsterApi) -> None:
    whole = node(
        "src",
        "orders",
        groupName="mart",
        description="Clean.",
        kinds=["python", "duckdb"],
        tags=[{"key": "tier", "value": "gold"}, {"key": "dagster/kind/python", "value": ""}],
        owners=[
            {"__typename": "UserAssetOwner", "email": "a@example.com"},
            {"__typename": "TeamAssetOwner", "team": "sales"},
        ],
        partitionDefinition={
            "name": None,
            "type": "MULTIPARTITIONED",
            "description": "Daily by region",
            "dimensionTypes": [{"name": "day"}, {"name": "region"}],
        },
        dependencyKeys=[{"path": ["a", "b"]}],
        jobNames=["__ASSET_JOB", "mart_job"],
        opNames=["tea.boil", "tea.pour"],
        isMaterializable=False,
    )
    answer(nodes(whole))
    [asset] = entities.assets(api, ["kinds", "tags", "owners"])
    assert asset == entities.Asset(
        key=("src", "orders"),
        group="mart",
        description="Clean.",
        kinds=("python", "duckdb"),
        tags={"tier": "gold"},
        owners=("a@example.com", "team:sales"),
        executable=True,
        partitions="MULTIPARTITIONED",
        dimensions=("day", "region"),
        jobs=("__ASSET_JOB", "mart_job"),
        dependencies=("a/b",),
        repository="__repository__",
        location="main",
        materializable=False,
        partitioning="MULTIPARTITIONED\nNone\nDaily by region",
        ops=("tea",),
    )
    assert asset.name == "src/orders"


@responses.activate
def test_an_asset_of_an_older_dagster(api: dagster_api.DagsterApi) -> None:
    answer(nodes(node("a", computeKind="sql"), node("b", jobNames=None, dependencyKeys=None)))
    first, second = entities.assets(api)
    assert (first.kinds, first.tags, first.owners, first.partitions) == (("sql",), {}, (), None)
    assert (second.kinds, second.jobs, second.dependencies) == ((), (), ())
    assert (first.materializable, first.partitioning, second.materializable) == (True, None, True)


@responses.activate
def test_assets_by_key_ask_for_them_alone(api: dagster_api.DagsterApi) -> None:
    answer(nodes())
    assert entities.assets(api, keys=[("a", "b"), ("c",)]) == []
    sent = json.loads(responses.calls[0].request.body or "{}")
    assert sent["variables"] == {"keys": [{"path": ["a", "b"]}, {"path": ["c"]}]}
    assert "assetNodes(assetKeys: $keys)" in sent["query"]


@responses.activate
@pytest.mark.parametrize(
    "data",
    [
        {},
        {"assetNodes": None},
        {"assetNodes": {}},
        nodes(None),
        nodes({}),
        nodes({**node("a"), "assetKey": None}),
        nodes({**node("a"), "repository": None}),
        nodes({**node("a"), "tags": [None]}),
        nodes({**node("a"), "partitionDefinition": {"dimensionTypes": [{}]}}),
    ],
)
def test_assets_that_are_none(data: Any, api: dagster_api.DagsterApi) -> None:
    answer(data)
    with pytest.raises(errors.Unreachable, match="assetNodes") as caught:
        entities.assets(api)
    assert caught.value.hint


# --- finding by name

NOWHERE: dict[str, Any] = {"repository": None, "location": None}


@responses.activate
def test_assets_are_found_in_the_order_asked(api: dagster_api.DagsterApi) -> None:
    answer(nodes(node("b"), node("a"), node("a", "b")))
    found = entities.find_assets(api, [("a", "b"), ("b",), ("a",)], **NOWHERE)
    assert [asset.name for asset in found] == ["a/b", "b", "a"]


@responses.activate
def test_an_unknown_asset(api: dagster_api.DagsterApi) -> None:
    answer(nodes())
    answer(nodes(node("orders"), node("customers")))
    answer(workspace(loaded("main", []), broken("second", "x")))
    with pytest.raises(errors.InvalidInput, match=f"There is no asset ordrs at {URL}") as caught:
        entities.find_assets(api, [("ordrs",)], **NOWHERE)
    assert str(caught.value.hint).startswith("Did you mean orders?")
    assert "what second holds is not loaded" in str(caught.value.hint)


@responses.activate
def test_nothing_near_an_unknown_asset(api: dagster_api.DagsterApi) -> None:
    answer(nodes())
    answer(nodes(node("orders")))
    answer(workspace(loaded("main", [])))
    with pytest.raises(errors.InvalidInput) as caught:
        entities.find_assets(api, [("xyz",)], **NOWHERE)
    assert caught.value.hint == "`daglab discover --filter assets` lists the assets there are."


@responses.activate
def test_a_slash_inside_a_part_of_a_key_is_explained(api: dagster_api.DagsterApi) -> None:
    """Its name reads as that of another key: the nearest right name would be the same again."""
    answer(nodes())
    answer(nodes(node("a/b")))
    answer(workspace(loaded("main", [])))
    with pytest.raises(errors.InvalidInput, match="There is no asset a/b") as caught:
        entities.find_assets(api, [("a", "b")], **NOWHERE)
    assert "a slash inside a part of its key" in str(caught.value.hint)
    assert "Did you mean" not in str(caught.value.hint)


@responses.activate
def test_an_asset_in_two_places(api: dagster_api.DagsterApi) -> None:
    both = nodes(node("a", location="main"), node("a", location="second"))
    answer(both)
    with pytest.raises(errors.InvalidInput, match="The asset a is in several places") as caught:
        entities.find_assets(api, [("a",)], **NOWHERE)
    assert caught.value.message.endswith(": __repository__ in main, __repository__ in second.")
    assert "--location NAME" in str(caught.value.hint)
    assert entities.find_assets(api, [("a",)], repository=None, location="second")[0].location == "second"
    with pytest.raises(errors.InvalidInput, match="The asset a is not in the place asked for") as caught:
        entities.find_assets(api, [("a",)], repository="other", location="second")
    assert caught.value.message.endswith(", but in __repository__ in main, __repository__ in second.")


@responses.activate
def test_a_job(api: dagster_api.DagsterApi) -> None:
    answer(workspace(loaded("main", [job("report"), job("shared")]), loaded("second", [job("shared")])))
    assert entities.find_job(api, "report", **NOWHERE).location == "main"
    assert entities.find_job(api, "shared", repository=None, location="second").location == "second"
    with pytest.raises(errors.InvalidInput, match="The job shared is in several places"):
        entities.find_job(api, "shared", **NOWHERE)
    with pytest.raises(
        errors.InvalidInput, match="The job report is not in the place asked for, but in __repository__ in main"
    ):
        entities.find_job(api, "report", repository=None, location="second")


@responses.activate
def test_an_unknown_job(api: dagster_api.DagsterApi) -> None:
    loading = {"name": "slow", "locationOrLoadError": None}
    jobs = [job("report"), job("__ASSET_JOB", isAssetJob=True)]
    answer({**workspace(loaded("main", jobs), loading), "assetNodes": []})
    with pytest.raises(errors.InvalidInput, match="There is no job reprot") as caught:
        entities.find_job(api, "reprot", **NOWHERE)
    assert str(caught.value.hint).startswith("Did you mean report?")
    assert "what slow holds is not loaded" in str(caught.value.hint)
    with pytest.raises(errors.InvalidInput, match="There is no job __ASSET_JOB"):
        entities.find_job(api, "__ASSET_JOB", **NOWHERE)


@responses.activate
def test_an_asset_is_no_job_and_a_job_no_asset(api: dagster_api.DagsterApi) -> None:
    answer({**workspace(loaded("main", [job("report")])), "assetNodes": [node("src", "a b")]})
    with pytest.raises(errors.InvalidInput, match="There is no job src/a b") as caught:
        entities.find_job(api, "src/a b", **NOWHERE)
    assert caught.value.hint == "src/a b is an asset, not a job: name it as one (--asset-selection, asset:KEY)."
    with pytest.raises(errors.InvalidInput, match="There is no asset report") as caught:
        entities.find_assets(api, [("report",)], **NOWHERE)
    assert caught.value.hint == "report is a job, not an asset: name it as one (--job, job:NAME)."


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (None, {"src/a", "src/B", "mart"}),
        ("src/*", {"src/a", "src/B"}),
        ("src/[ab]", {"src/a"}),
        ("*?rt", {"mart"}),
        ("SRC/*", set()),
        ("mart", {"mart"}),
        ("mar", set()),
    ],
)
def test_patterns(pattern: str | None, names: set[str]) -> None:
    assert entities.matching(["src/a", "src/B", "mart"], pattern) == names

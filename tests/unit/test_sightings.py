"""What is known of the target of a notebook to be, where a server answers, and where none does."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import responses

from daglab import errors
from daglab.authoring import scaffolds, sightings
from daglab.deployment import dagster_api
from daglab.settings import config
from daglab.weaviate import clusters, rest

URL = "http://weaviate.test:8080"


def see(url: str, target: scaffolds.Target, *, validate: bool = False) -> sightings.Seen | None:
    api = dagster_api.connect(config.load({"dagster.url": url}))
    return sightings.in_dagster(api, target, validate=validate, columns=False)


def test_an_asset_and_a_job_that_are_there(dagster: Any) -> None:
    seen = see(dagster.url, scaffolds.Target(assets=(("orders",),)))
    assert seen is not None
    assert ([each.key for each in seen.assets], seen.job, seen.location) == ([("orders",)], None, "shop")
    seen = see(dagster.url, scaffolds.Target(job="report"))
    assert seen is not None
    assert (seen.assets, seen.job and seen.job.name, seen.location) == ((), "report", "shop")


@pytest.mark.parametrize(
    ("target", "near"),
    [(scaffolds.Target(assets=(("order",),)), "orders"), (scaffolds.Target(job="reprot"), "report")],
    ids=["asset", "job"],
)
def test_what_is_not_there_is_refused_with_the_nearest_name(dagster: Any, target: scaffolds.Target, near: str) -> None:
    [node] = dagster.answers["Assets"]["assetNodes"]
    # Those that are asked for by their keys: there is none of either name.
    dagster.answers["Assets"] = lambda body: {"assetNodes": [] if body.get("variables") else [node]}
    with pytest.raises(errors.InvalidInput) as refused:
        see(dagster.url, target)
    assert near in str(refused.value.hint)


def test_a_selection_that_holds_nothing_is_refused(dagster: Any) -> None:
    seen = see(dagster.url, scaffolds.Target(selection='key:"ord*"'))
    assert seen is not None
    assert [each.key for each in seen.assets] == [("orders",)]
    with pytest.raises(errors.InvalidInput, match="holds no asset"):
        see(dagster.url, scaffolds.Target(selection='key:"x*"'))


def test_of_jobs_of_one_name_none_is_chosen_and_none_validated(dagster: Any) -> None:
    [entry] = dagster.answers["Workspace"]["workspaceOrError"]["locationEntries"]
    other = copy.deepcopy(entry)
    other["name"] = other["locationOrLoadError"]["name"] = "other"
    dagster.answers["Workspace"]["workspaceOrError"]["locationEntries"] = [entry, other]
    assert see(dagster.url, scaffolds.Target(job="report"), validate=True) == sightings.Seen()  # type: ignore[arg-type]


def test_assets_of_two_locations_have_no_location(dagster: Any) -> None:
    there = {"name": "__repository__", "location": {"name": "other"}}
    [node] = dagster.answers["Assets"]["assetNodes"]
    more = {**node, "assetKey": {"path": ["sales"]}, "repository": there}
    dagster.answers["Assets"] = {"assetNodes": [node, more]}
    seen = see(dagster.url, scaffolds.Target(assets=(("orders",), ("sales",))))
    assert seen is not None
    assert (len(seen.assets), seen.location) == (2, None)


def test_a_notebook_is_made_without_a_deployment_and_says_so(dagster: Any, capsys: pytest.CaptureFixture[str]) -> None:
    dagster.status = 401
    assert see(dagster.url, scaffolds.Target(job="report")) is None
    assert see("http://127.0.0.1:1", scaffolds.Target(assets=(("a", "b"),))) is None
    said = capsys.readouterr().err
    assert "Not checked, whether report is there" in said
    assert "Not checked, whether a/b is there" in said


@responses.activate
def test_a_collection_is_looked_for_where_a_weaviate_answers(capsys: pytest.CaptureFixture[str]) -> None:
    there = clusters.connect(config.load({}), URL)
    responses.get(f"{URL}/v1/schema/Article", json={"class": "Article"})
    assert sightings.in_weaviate(there, "Article")
    responses.get(f"{URL}/v1/schema/Artikel", status=404)
    responses.get(f"{URL}/v1/schema", json={"classes": [{"class": "Article"}]})
    with pytest.raises(rest.Missing) as refused:
        sightings.in_weaviate(there, "Artikel")
    assert "Article" in str(refused.value.hint)
    responses.get(f"{URL}/v1/schema/Locked", status=401)
    assert not sightings.in_weaviate(there, "Locked")
    assert not sightings.in_weaviate(clusters.connect(config.load({}), "http://127.0.0.1:1"), "Article")
    assert capsys.readouterr().err.count("Not checked") == 2

"""How it went before: runs on record and why they failed, materializations and their figures, columns and samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daglab import errors, helpers
from daglab.deployment import dagster_api, materializations, run_logs, run_records, samples
from daglab.helpers import history


@pytest.fixture
def client(dagster: Any, tmp_path: Path) -> helpers.Client:
    return helpers.connect(dagster.url, directory=tmp_path)


def run_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000001"


def records(*of: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs as they are listed: successes of the asset `orders` where nothing else is said."""
    common = {
        "status": "SUCCESS",
        "jobName": "__ASSET_JOB",
        "startTime": 10.0,
        "endTime": 12.5,
        "updateTime": 12.5,
        "assetSelection": [{"path": ["orders"]}],
        "repositoryOrigin": {"repositoryName": "__repository__", "repositoryLocationName": "shop"},
        "tags": [{"key": "dagster/partition", "value": "a"}],
    }
    return [{**common, "runId": run_id(number), **each} for number, each in enumerate(of)]


def listing(dagster: Any, listed: list[dict[str, Any]]) -> None:
    """What Dagster answers where runs are listed, in pages, and where some are asked about."""

    def runs(body: Any) -> dict[str, Any]:
        asked = body["variables"]
        ids = [each["runId"] for each in listed]
        begin = ids.index(asked["cursor"]) + 1 if asked["cursor"] else 0
        return {"runsOrError": {"__typename": "Runs", "results": listed[begin : begin + asked["limit"]]}}

    def status(body: Any) -> dict[str, Any]:
        found = [{**each, "stepStats": []} for each in listed if each["runId"] in body["variables"]["ids"]]
        return {"runsOrError": {"__typename": "Runs", "results": found}}

    dagster.answers.update({"Runs": runs, "Status": status})


def event(number: int, **more: Any) -> dict[str, Any]:
    entries = [
        {"__typename": "IntMetadataEntry", "label": "rows", "intRepr": str(number * 10)},
        {"__typename": "TextMetadataEntry", "label": "note", "text": "<b>"},
        {"__typename": "FloatMetadataEntry", "label": "loss", "floatValue": 0.5 / number},
    ]
    return {"runId": run_id(number), "timestamp": f"{number}000", "partition": None, "metadataEntries": entries, **more}


def made(dagster: Any, *newest_first: dict[str, Any]) -> None:
    found = {"__typename": "Asset", "assetMaterializations": list(newest_first)}
    dagster.answers["Materializations"] = {"assetOrError": found}


# --- runs


def test_the_last_runs_of_an_asset_are_found_among_all(client: helpers.Client, dagster: Any) -> None:
    other = {"assetSelection": [{"path": ["other"]}]}
    selected = {"assetSelection": [], "assets": [{"key": {"path": ["orders"]}}]}  # older than its selection is kept
    listing(dagster, records({}, other, selected, {"status": "FAILURE"}))
    [orders] = helpers.find_assets(client, ["orders"])
    found = helpers.recent_runs(client, orders, limit=2)
    assert [each.id for each in found.runs] == [run_id(0), run_id(2)]
    assert found.success_rate == 1.0
    assert len(helpers.recent_runs(client, orders, limit=999).runs) == 3
    assert len(helpers.recent_runs(client, orders, limit=0).runs) == 1


def test_the_last_runs_of_a_job_are_those_of_its_place(client: helpers.Client, dagster: Any) -> None:
    elsewhere = {"repositoryOrigin": {"repositoryName": "x", "repositoryLocationName": "other"}}
    of_job = {"jobName": "report", "assetSelection": None}
    listing(dagster, records({**of_job}, {**of_job, **elsewhere}, {**of_job, "repositoryOrigin": None}))
    found = helpers.recent_runs(client, helpers.find_job(client, "report"), local=(0.5,))
    assert [each.id for each in found.runs] == [run_id(0), run_id(2)]
    asked = next(each.body for each in dagster.requests if "query Runs(" in each.body["query"])
    assert asked["variables"]["filter"] == {"pipelineName": "report"}
    assert found.html().count("<svg") == 2  # the times over time, and deployed beside in this process
    assert f'href="{dagster.url}/runs/{run_id(0)}"' in found.html()


def test_no_run_is_asked_about_where_there_is_none(client: helpers.Client, dagster: Any) -> None:
    listing(dagster, [])
    found = helpers.recent_runs(client, helpers.find_job(client, "report"))
    assert found.runs == ()
    assert "No run of job:report" in found.html()
    assert "query Status" not in dagster.requests[-1].body["query"]


def test_why_the_last_runs_failed(client: helpers.Client, dagster: Any) -> None:
    listing(dagster, records({"status": "FAILURE"}, {}, {"status": "FAILURE"}))
    cause = {"message": "ValueError: <boom>\n"}
    failure = {
        "__typename": "ExecutionStepFailureEvent",
        "stepKey": "load",
        "error": {"message": "w", "causes": [cause]},
    }
    of_run = {"__typename": "RunFailureEvent", "message": "Steps failed.", "error": None}
    pages = {None: ([of_run], "1", True), "1": ([failure, {"__typename": "StepStart"}], "2", False)}

    def failures(body: Any) -> dict[str, Any]:
        events, cursor, more = pages[body["variables"]["cursor"]]
        page = {"__typename": "EventConnection", "events": events, "cursor": cursor, "hasMore": more}
        return {"logsForRun": page}

    dagster.answers["Failures"] = failures
    past = helpers.recent_runs(client, helpers.find_assets(client, ["orders"]))
    found = helpers.recent_failures(past, limit=1)
    assert str(found) == f"{run_id(0)[:8]} load: ValueError: <boom>"  # the step says why, the run only that
    assert "&lt;boom&gt;" in found.html()
    assert len(helpers.recent_failures(past).runs) == 2
    none = helpers.recent_failures(history.History(client, "orders", ()))
    assert str(none) == "No failure among the last runs."
    assert "No failure" in none.html()


def test_a_run_is_found_by_its_beginning_and_by_its_page(client: helpers.Client, dagster: Any) -> None:
    listing(dagster, records({}, {}, {"runId": "abcdef01-0000-4000-8000-000000000001"}))
    find = run_records.find
    assert find(client.api, f"{dagster.url}/runs/{run_id(7)}?tab=x") == run_id(7)
    assert find(client.api, "abcdef") == "abcdef01-0000-4000-8000-000000000001"
    with pytest.raises(errors.InvalidInput, match="Several runs begin with 000000"):
        find(client.api, "000000")
    with pytest.raises(errors.InvalidInput, match="None of the newest 500 runs"):
        find(client.api, "ffffff")
    for text in ("abc", "abcdef/..", ""):
        with pytest.raises(errors.InvalidInput, match="is no run's id"):
            find(client.api, text)


def test_the_runs_of_an_asset_are_read_page_by_page(
    client: helpers.Client, dagster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_records, "PAGE", 2)
    other = {"assetSelection": [{"path": ["other"]}]}
    listing(dagster, records(other, {}, other, other, {}))
    found = run_records.search(client.api, asset="orders", statuses=["SUCCESS"], tags={"a": "b"}, since=5.0)
    assert [each.id for each in found] == [run_id(1), run_id(4)]
    asked = [each.body["variables"] for each in dagster.requests if "query Runs(" in each.body["query"]]
    assert [each["cursor"] for each in asked] == [None, run_id(1), run_id(3)]
    assert asked[0]["filter"] == {
        "statuses": ["SUCCESS"],
        "tags": [{"key": "a", "value": "b"}],
        "updatedAfter": 5.0,
    }
    [first] = run_records.search(client.api, limit=1)
    document = run_records.document(client.api, first)
    assert (document["job"], document["partition"], document["duration_s"]) == (None, "a", 2.5)
    assert document["started_at"] == "1970-01-01T00:00:10+00:00"


def test_two_runs_beside_each_other(client: helpers.Client, dagster: Any) -> None:
    listed = records({}, {"endTime": 15.0})
    configs = {run_id(0): "n: 1\n", run_id(1): "n: 2\n"}

    def detail(body: Any) -> dict[str, Any]:
        found = [each for each in listed if each["runId"] == body["variables"]["id"]]
        if not found:
            return {"runOrError": {"__typename": "RunNotFoundError", "message": "gone"}}
        number = listed.index(found[0]) + 1
        of = {"assetKey": {"path": ["orders"]}, **event(number)}
        more = {"runConfigYaml": configs[found[0]["runId"]], "stepStats": [], "assetMaterializations": [of]}
        return {"runOrError": {"__typename": "Run", **found[0], **more}}

    dagster.answers["Run"] = detail
    one = helpers.run_status(client, dagster.answers["Status"]["runsOrError"]["results"][0]["runId"])
    found = helpers.compare_runs(run_id(0), run_id(1), client=client)
    assert found.document["duration_s"] == [2.5, 5.0]
    assert [line for line in found.document["config"] if line[1:] in ("n: 1", "n: 2")] == ["-n: 1", "+n: 2"]
    assert "orders: rows: 10 -> 20" in str(found)
    assert "orders: loss" in found.html()
    with pytest.raises(errors.InvalidInput, match="need the client"):
        helpers.compare_runs(run_id(0), run_id(1))
    with pytest.raises(errors.InvalidInput, match=f"does not know the run {one.id}"):
        helpers.compare_runs(one, run_id(1))
    dagster.answers["Run"] = {"runOrError": {"__typename": "PythonError", "message": "the storage is locked"}}
    with pytest.raises(dagster_api.ServerFailed, match="the storage is locked"):
        helpers.compare_runs(run_id(0), run_id(1), client=client)
    dagster.answers["Run"] = {"runOrError": {"__typename": "QuotaError", "message": "too many questions"}}
    with pytest.raises(dagster_api.Refused, match="too many questions"):  # what a newer Dagster may say
        helpers.compare_runs(run_id(0), run_id(1), client=client)


# --- what is logged


def test_a_log_is_followed_to_the_end_of_the_run(client: helpers.Client, dagster: Any) -> None:
    """The state is asked for before the events: what is logged in the last moment comes, too."""
    ended = dagster.answers["Status"]["runsOrError"]["results"][0]
    states = iter(["STARTED", "SUCCESS"])
    pages = iter([(["a"], "1", True), (["b"], "2", False), (["the last"], "3", False)])

    def status(_: Any) -> dict[str, Any]:
        return {"runsOrError": {"__typename": "Runs", "results": [{**ended, "status": next(states)}]}}

    def events(_: Any) -> dict[str, Any]:
        messages, cursor, more = next(pages)
        found = [{"__typename": "E", "timestamp": "1000", "message": each} for each in messages]
        return {"logsForRun": {"__typename": "EventConnection", "events": found, "cursor": cursor, "hasMore": more}}

    dagster.answers.update({"Status": status, "Events": events})
    found = list(run_logs.follow(client.api, ended["runId"], 0.0))
    assert [[each.message for each in page] for page in found] == [["a"], ["b"], [], ["the last"]]
    assert found[0][0].document == {
        "at": "1970-01-01T00:00:01+00:00",
        "level": "DEBUG",
        "step": None,
        "kind": None,
        "message": "a",
    }


def test_an_error_in_a_log_has_its_causes() -> None:
    error = {"message": "wrapper", "causes": [{"message": "ValueError: boom"}, {"message": "KeyError: 'x'"}]}
    of = {"__typename": "E", "timestamp": "1000", "message": "", "error": error, "fileKey": "f", "stepKeys": ["a"]}
    page = {"__typename": "EventConnection", "events": [of], "cursor": "c", "hasMore": True}
    [found], cursor, more = run_logs.parse_events({"logsForRun": page})
    assert found.message == "ValueError: boom\ncaused by KeyError: 'x'"
    assert (found.file, found.steps, cursor, more) == ("f", ("a",), "c", True)


# --- materializations


def test_the_materializations_of_an_asset_the_oldest_first(client: helpers.Client, dagster: Any) -> None:
    made(dagster, event(2), event(1, partition="a"))
    found = helpers.last_materializations(client, "orders", limit=0, partition="a")
    assert dagster.requests[-1].body["variables"]["partitions"] == ["a"]
    assert dagster.requests[-1].body["variables"]["limit"] == 1
    assert found.numbers == {"rows": [(1.0, 10.0), (2.0, 20.0)], "loss": [(1.0, 0.5), (2.0, 0.25)]}
    assert "rows: 20\n  note: <b>\n  loss: 0.25" in str(found)
    assert found.html().count("<svg") == 2
    assert "&lt;b&gt;" in found.html()


def test_an_asset_that_was_never_made(client: helpers.Client, dagster: Any) -> None:
    dagster.answers["Materializations"] = {"assetOrError": {"__typename": "AssetNotFoundError", "message": "never"}}
    assets = helpers.find_assets(client, ["orders"])
    found = helpers.last_materializations(client, assets[0])
    assert str(found) == "orders was never materialized."
    assert "never materialized" in found.html()
    metrics = helpers.metrics(client, assets)
    assert "No materialization holds a number" in metrics.html()
    assert "No materialization holds a number" in metrics.evaluation().html()
    assert str(metrics.evaluation()) == ""
    overview = helpers.overview(client, assets)
    assert str(overview) == "orders: never"


def test_the_figures_of_assets_beside_each_other(client: helpers.Client, dagster: Any) -> None:
    made(dagster, event(2, partition="a"), event(1, partition="a"))
    assets = helpers.find_assets(client, ["orders"])
    metrics = helpers.metrics(client, assets)
    assert "orders: Materialized at" in str(metrics)
    assert metrics.html().count("<svg") == 2
    assert "orders: rows" in metrics.html()
    assert "('rows', {'last': 20.0, 'before': 10.0})" in str(metrics.evaluation())
    assert metrics.evaluation().html().count("<svg") == 2
    overview = helpers.overview(client, [*assets] * (history.MOST_ASSETS + 2))
    assert len(overview.made) == history.MOST_ASSETS
    assert "And 2 more." in overview.html()
    assert "rows 20, note &lt;b&gt;, loss 0.25" in overview.html()


def test_a_long_value_of_metadata_is_cut() -> None:
    newest = materializations.Materialization("r1", 1.0, "p", {"text": "x" * 500, "none": None})
    found = str(history.Made("orders", (newest,)))
    assert "(partition p)" in found
    assert "x" * 199 + "…" in found
    assert "x" * 200 not in found


# --- columns, and rows made up of them


def table(*names: tuple[str, str]) -> dict[str, Any]:
    columns = [{"name": name, "type": kind} for name, kind in names]
    return {"metadataEntries": [{"__typename": "Other"}, {"__typename": "T", "schema": {"columns": columns}}]}


@pytest.mark.parametrize(
    ("newest", "defined", "found"),
    [
        ([table(("made", "int"))], [table(("defined", "int"))], "made"),
        ([{"metadataEntries": []}], [table(("defined", "int"))], "defined"),
        ([], [table(("defined", "int"))], "defined"),
        (None, [table(("defined", "int"))], "defined"),
        (None, [{}], None),
        (None, None, None),
    ],
)
def test_the_columns_are_those_of_the_newest_materialization_else_of_the_definition(
    client: helpers.Client, dagster: Any, newest: Any, defined: Any, found: str | None
) -> None:
    gone = {"__typename": "AssetNotFoundError", "message": "never made"}
    asset = gone if newest is None else {"__typename": "Asset", "assetMaterializations": newest}
    dagster.answers["Columns"] = {"assetOrError": asset, "assetNodes": defined}
    columns = materializations.columns(client.api, ("orders",))
    assert [(each.name, each.type) for each in columns] == ([(found, "int")] if found else [])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("BOOLEAN", [True, False, True]),
        ("decimal(10, 2)", [1.5, 2.5, 3.5]),
        ("timestamp with time zone", ["2026-01-01T12:00:00", "2026-01-02T12:00:00", "2026-01-03T12:00:00"]),
        ("Date32", ["2026-01-01", "2026-01-02", "2026-01-03"]),
        ("UInt64", [1, 2, 3]),
        ("bigserial", [1, 2, 3]),
        ("point", ["c 1", "c 2", "c 3"]),  # holds `int`, and is none
        ("", ["c 1", "c 2", "c 3"]),
    ],
)
def test_made_up_rows_are_of_the_columns_kinds(kind: str, values: list[Any]) -> None:
    assert [row["c"] for row in samples.rows([materializations.Column("c", kind)])] == values

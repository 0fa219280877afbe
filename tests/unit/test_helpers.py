"""What notebooks import: text from outside is text in the HTML, errors have a hint, and a run is asked for once."""

from __future__ import annotations

import html.parser
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from daglab import errors, helpers, web
from daglab.deployment import dagster_api, entities, run_logs, runs
from daglab.helpers import display
from daglab.launching import launches
from daglab.settings import config

URL = "http://127.0.0.1:3999"
EVIL = "<script>alert(1)</script>\"'&{{ x }}</td></table>"

ASSET = entities.Asset(
    key=("a", "b"),
    group="g",
    description=None,
    kinds=("python",),
    tags={},
    owners=(),
    executable=True,
    partitions=None,
    dimensions=(),
    jobs=("__ASSET_JOB",),
    dependencies=(),
    repository="__repository__",
    location="main",
)
JOB = entities.Job("report", "__repository__", "main", None, {}, False, None)


class Reader(html.parser.HTMLParser):
    """Collects the tags, the attributes and the text that a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(thing: Any) -> Reader:
    reader = Reader(helpers.show(thing).text)
    assert "script" not in reader.tags
    return reader


def look(status: str = "SUCCESS", *failures: run_logs.Failure, steps: tuple[runs.Step, ...] = ()) -> helpers.Run:
    return run_of(runs.Run("r1", status, 10.0, 12.5, steps), *failures)


def run_of(run: runs.Run, *failures: run_logs.Failure, url: str = URL) -> helpers.Run:
    api = dagster_api.DagsterApi(url, None)  # type: ignore[arg-type]  # nothing is asked
    return helpers.Run(helpers.Client(api, None, "1.13.0"), run, failures)  # type: ignore[arg-type]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[helpers.Client]:
    monkeypatch.setattr(web, "delay", lambda *_: 0.0)
    settings = config.load({"dagster.url": URL}, directory=tmp_path, environ={})
    with requests.Session() as http:
        api = dagster_api.DagsterApi(URL, web.Session(http, timeout=5.0, retries=0))
        yield helpers.Client(api, settings, "1.13.0", frozenset({"kinds"}))


def answer(*data: dict[str, Any]) -> None:
    for each in data:
        responses.post(f"{URL}/graphql", json={"data": each})


def asked() -> list[dict[str, Any]]:
    return [json.loads(str(call.request.body, "utf-8")) for call in responses.calls]


# --- what is shown


@pytest.mark.parametrize(
    "field", ["key", "group", "description", "kinds", "owners", "partitions", "dependencies", "location"]
)
def test_an_assets_texts_are_text(field: str) -> None:
    value: Any = EVIL if field in ("group", "description", "partitions", "location") else (EVIL,)
    reader = shown(entities.Asset(**{**vars(ASSET), field: value}))
    wanted = EVIL.lower() if field == "partitions" else EVIL
    assert wanted in reader.text
    assert reader.tags.count("table") == 1


@pytest.mark.parametrize("field", ["name", "description", "location", "tags"])
def test_a_jobs_texts_are_text(field: str) -> None:
    reader = shown(entities.Job(**{**vars(JOB), field: {EVIL: EVIL} if field == "tags" else EVIL}))
    assert EVIL in reader.text


def test_a_runs_texts_are_text() -> None:
    step = runs.Step(EVIL, EVIL, 1.0, 2.0)
    failure = run_logs.Failure(EVIL, EVIL, (EVIL,))
    reader = shown(run_of(runs.Run(EVIL, EVIL, 1.0, 2.0, (step,)), failure, url=f'{URL}/"><script>'))
    assert reader.text.count(EVIL) == 7
    assert any(name == "href" and '"><script>' in str(value) for name, value in reader.attributes)


def test_an_errors_texts_are_text() -> None:
    inner = Reader(display.error(errors.DaglabError(EVIL, EVIL)))
    assert inner.text.count(EVIL) == 2
    assert set(inner.tags) == {"p", "strong"}
    assert "callout" in helpers.show(errors.DaglabError("x")).text


def test_an_asset() -> None:
    reader = shown(entities.Asset(**{**vars(ASSET), "partitions": "TIME_WINDOW", "dependencies": ("x", "y/z")}))
    for text in ("a/b", "python", "time window", "x, y/z", "main"):
        assert text in reader.text
    assert "owners" not in reader.text  # there are none


def test_a_failed_run_shows_the_root_error() -> None:
    step = runs.Step("load", "FAILURE", 1.0, 2.0)
    reader = shown(look("FAILURE", run_logs.Failure("load", "ValueError: boom", ("KeyError: 'x'",)), steps=(step,)))
    for text in ("FAILURE", "in 2.5 s", "load", "ValueError: boom", "caused by KeyError: 'x'"):
        assert text in reader.text
    assert ("href", f"{URL}/runs/r1") in reader.attributes


def test_a_failure_of_the_run_itself() -> None:
    assert "run: it never started" in shown(look("FAILURE", run_logs.Failure(None, "it never started", ()))).text


def test_a_run_that_has_not_begun() -> None:
    reader = shown(run_of(runs.Run("r1", "QUEUED")))
    assert "QUEUED" in reader.text
    assert "table" not in reader.tags


# --- connecting and finding


WORKSPACE = {
    "version": "1.13.0",
    "assetNodeType": {"fields": [{"name": "kinds"}]},
    "workspaceOrError": {"__typename": "Workspace", "locationEntries": []},
}
NODE = {
    "assetKey": {"path": ["a", "b"]},
    "repository": {"name": "__repository__", "location": {"name": "main"}},
    "jobNames": ["__ASSET_JOB"],
    "isExecutable": True,
}


@responses.activate
def test_connect_takes_the_config_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text(f"dagster:\n  url: {URL}\n")
    answer(WORKSPACE)
    client = helpers.connect(directory=tmp_path)
    assert (client.version, client.api.url, client.asset_fields) == ("1.13.0", URL, {"kinds"})


@responses.activate
def test_connect_where_nothing_answers() -> None:
    responses.post(f"{URL}/graphql", body=requests.ConnectionError("no"))
    with pytest.raises(helpers.DaglabError) as caught:
        helpers.connect(URL)
    assert caught.value.hint


@responses.activate
@pytest.mark.parametrize("key", ["a/b", ["a", "b"]])
def test_find_asset_with_what_newer_versions_know(client: helpers.Client, key: Any) -> None:
    answer({"assetNodes": [{**NODE, "kinds": ["csv"]}]})
    assert helpers.find_asset(client, key).kinds == ("csv",)
    assert "kinds" in asked()[0]["query"]


@responses.activate
def test_find_asset_that_is_not_there_names_the_nearest(client: helpers.Client) -> None:
    answer({"assetNodes": []}, {"assetNodes": [NODE]}, WORKSPACE)
    with pytest.raises(helpers.DaglabError, match="no asset a/c") as caught:
        helpers.find_asset(client, "a/c")
    assert "a/b" in (caught.value.hint or "")


@responses.activate
def test_find_job_that_is_not_there(client: helpers.Client) -> None:
    answer(WORKSPACE, WORKSPACE, {"assetNodes": []})
    with pytest.raises(helpers.DaglabError, match="no job report") as caught:
        helpers.find_job(client, "report")
    assert caught.value.hint


# --- launching and looking


@responses.activate
@pytest.mark.parametrize(
    ("run_config", "sent"),
    [
        (None, {}),
        ("", {}),
        ("# nothing\n", {}),
        (
            "ops:\n  one:\n    config: {n: 3, day: 2026-01-05}\n",
            {"ops": {"one": {"config": {"n": 3, "day": "2026-01-05"}}}},
        ),
        ({"ops": {}}, {"ops": {}}),
    ],
)
def test_run_config_as_text_or_mapping(client: helpers.Client, run_config: Any, sent: Any) -> None:
    answer(
        {"isPipelineConfigValid": {"__typename": "PipelineConfigValidationValid"}},
        {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "r1", "status": "STARTING"}}},
    )
    assert helpers.run_job(client, JOB, run_config=run_config).id == "r1"
    assert asked()[1]["variables"]["params"]["runConfigData"] == sent


@pytest.mark.parametrize("run_config", ["ops: [", "- a", "just text", "ops: {a: .nan}"])
def test_run_config_that_is_none(client: helpers.Client, run_config: str) -> None:
    """Nothing is sent: any request would fail here."""
    with pytest.raises(helpers.DaglabError, match="run config") as caught:
        helpers.run_job(client, JOB, run_config=run_config)
    assert isinstance(caught.value, errors.InvalidInput)


@responses.activate
def test_a_launch_of_assets_is_recorded(client: helpers.Client, tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    answer(
        {"isPipelineConfigValid": {"__typename": "PipelineConfigValidationValid"}},
        {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "r1", "status": "STARTING"}}},
    )
    assert helpers.run_assets(client, [ASSET]).id == "r1"
    tags = asked()[1]["variables"]["params"]["executionMetadata"]["tags"]
    assert launches.LAUNCH_TAG in {tag["key"] for tag in tags}
    [file] = (tmp_path / ".daglab" / "events").iterdir()
    event = json.loads(file.read_text())
    assert (event["command"], event["target"], event["runs"], event["ok"]) == ("helpers.run", "a/b", ["r1"], True)


def run_answer(status: str) -> dict[str, Any]:
    result = {"runId": "r1", "status": status, "startTime": 1.0, "endTime": None, "stepStats": []}
    return {"runsOrError": {"__typename": "Runs", "results": [result]}}


FAILURE = {
    "__typename": "ExecutionStepFailureEvent",
    "stepKey": "load",
    "message": "x",
    "error": {"message": "wrapper", "causes": [{"message": "ValueError: boom\n"}]},
}
EVENTS = {"logsForRun": {"__typename": "EventConnection", "cursor": "c", "hasMore": False, "events": [FAILURE]}}


@responses.activate
@pytest.mark.parametrize(
    ("status", "ended", "failures"),
    [("STARTED", False, 0), ("SUCCESS", True, 0), ("FAILURE", True, 1), ("CANCELED", True, 1), ("BRAND_NEW", False, 0)],
)
def test_run_status(client: helpers.Client, status: str, ended: bool, failures: int) -> None:
    answer(run_answer(status), EVENTS)
    look = helpers.run_status(client, "r1")
    assert (look.run.status, look.has_ended, len(look.failures)) == (status, ended, failures)
    assert look.url == f"{URL}/runs/r1"
    assert len(responses.calls) == 1 + failures  # one question for a run that is fine


@responses.activate
def test_a_run_that_is_gone(client: helpers.Client) -> None:
    answer({"runsOrError": {"__typename": "Runs", "results": []}})
    with pytest.raises(helpers.DaglabError, match="r1") as caught:
        helpers.run_status(client, "r1")
    assert caught.value.hint


def test_all_names_are_there() -> None:
    assert sorted(helpers.__all__) == helpers.__all__
    assert all(getattr(helpers, name).__doc__ for name in helpers.__all__)

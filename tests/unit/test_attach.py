"""Attaching: what each answer means, which way is taken, and that nothing is ever written twice."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import responses

from daglab import errors, parse, web
from daglab.attaching import attach, observations, reports
from daglab.children import observation as observation_child
from daglab.deployment import dagster_api
from daglab.settings import config

URL = "http://127.0.0.1:3999"
GRAPHQL = f"{URL}/graphql"
REPORT = f"{URL}/report_asset_observation/a/b%20c"
LINK = "https://pages.example/x.html"
PAGE = "<!doctype html><title>Dagster</title>"

Child = Callable[[str], Path]


@pytest.fixture
def settings(tmp_path: Path) -> config.Config:
    return config.load({"dagster.url": URL}, directory=tmp_path, environ={})


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[dagster_api.DagsterApi]:
    monkeypatch.setattr(web, "delay", lambda *_: 0.0)
    monkeypatch.setattr(attach, "READ_BACK_TIMEOUT", 0.0)
    with requests.Session() as http:
        yield dagster_api.DagsterApi(URL, web.Session(http, timeout=5.0, retries=1))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGSTER_HOME; what stands for a child here never opens it."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Child:
    """Puts a script in the place of the child; the path given back is there once it has been started."""

    def put(code: str) -> Path:
        script, started = tmp_path / "child.py", tmp_path / "started"
        script.write_text(f"import sys, time\nopen({str(started)!r}, 'w').close()\n{code}\n")
        monkeypatch.setattr(reports, "CHILD", script)
        return started

    return put


def observation(link: str | None = LINK) -> observations.Observation:
    entries = [observations.Entry(observations.ID_LABEL, "text", "id1"), observations.Entry("n", "int", 3)]
    if link:
        entries.append(observations.Entry("exploration", "url", link))
    return observations.Observation(("a", "b c"), "id1", link, tuple(entries))


def node(*observations: list[dict[str, Any]] | dict[str, Any]) -> dict[str, Any]:
    found = [each if isinstance(each, dict) else {"metadataEntries": each} for each in observations]
    return {"assetNodeOrError": {"__typename": "AssetNode", "assetObservations": found}}


def shown(identity: str = "id1", kind: str = "UrlMetadataEntry", link: str = LINK) -> list[dict[str, Any]]:
    value = {"url": link} if kind == "UrlMetadataEntry" else {"text": link}
    return [
        {"__typename": "TextMetadataEntry", "label": observations.ID_LABEL, "text": identity},
        {"__typename": kind, "label": "exploration", **value},
    ]


def answer_graphql(
    *, runs: dict[str, Any] | None = None, node: dict[str, Any] | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """Answer both queries, each always the same; gives back what is asked."""
    asked = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body)
        name = body["query"].split()[1].partition("(")[0]
        asked.append((name, body["variables"]))
        return 200, {}, json.dumps({"data": {"NewestRun": runs, "Observations": node}[name]})

    responses.add_callback(responses.POST, GRAPHQL, callback=answer)
    return asked


def newest(*ids: str) -> dict[str, Any]:
    return {"runsOrError": {"__typename": "Runs", "results": [{"runId": run_id} for run_id in ids]}}


def sent() -> list[Any]:
    return [call.request for call in responses.calls if "/report_asset_observation" in str(call.request.url)]


def refused(call: Callable[[], object], kind: type[errors.DaglabError], *texts: str) -> errors.DaglabError:
    """The error that `call` ends with; every one has a hint."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert caught.value.hint
    for text in texts:
        assert text in f"{caught.value.message} {caught.value.hint}"
    return caught.value


# --- the members of both answers


def test_the_newest_run() -> None:
    assert reports.parse_newest_run(newest("r1")) == "r1"
    assert reports.parse_newest_run(newest()) is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"__typename": "InvalidPipelineRunsFilterError", "message": "wrong filter"}, dagster_api.Refused),
        ({"__typename": "PythonError", "message": "wrong filter"}, dagster_api.ServerFailed),
        ({"__typename": "Runs"}, errors.Unreachable),
        (None, errors.Unreachable),
    ],
)
def test_no_newest_run(answer: Any, kind: type[errors.DaglabError]) -> None:
    text = "wrong filter" if answer and "message" in answer else "Dagster answered"
    refused(lambda: reports.parse_newest_run({"runsOrError": answer}), kind, text)


def test_observations_newest_first() -> None:
    found = attach.parse_observations(node(shown("id2"), shown("id1")))
    assert [entries[observations.ID_LABEL]["text"] for entries in found] == ["id2", "id1"]
    assert found[0]["exploration"]["url"] == LINK
    assert attach.parse_observations(node()) == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"__typename": "AssetNotFoundError", "message": "Asset key is gone"}, dagster_api.Refused),
        ({"__typename": "UnauthorizedError", "message": "Asset key is gone"}, errors.NotAuthorised),
        ({"__typename": "AssetNode", "assetObservations": None}, errors.Unreachable),
    ],
)
def test_no_observations(answer: Any, kind: type[errors.DaglabError]) -> None:
    text = answer.get("message", "Dagster answered")
    refused(lambda: attach.parse_observations({"assetNodeOrError": answer}), kind, text)


# --- REST


@responses.activate
def test_rest_sends_values_that_json_has(api: dagster_api.DagsterApi, settings: config.Config) -> None:
    responses.post(REPORT, json={})
    asked = answer_graphql(node=node(shown(kind="TextMetadataEntry")))
    done = attach.attach(api, settings, observation(), via="rest", python=sys.executable)
    assert done == observations.Attached("rest", LINK, "TextMetadataEntry")
    assert asked == [("Observations", {"key": {"path": ["a", "b c"]}, "limit": 20})]
    [request] = sent()
    assert request.headers["Content-Type"] == "application/json"  # Dagster takes no other
    assert json.loads(request.body) == {
        "description": f"Notebook export: {LINK}",
        "metadata": {observations.ID_LABEL: "id1", "n": 3, "exploration": LINK},
    }


@responses.activate
def test_rest_without_a_link(api: dagster_api.DagsterApi, settings: config.Config) -> None:
    responses.post(REPORT, json={})
    answer_graphql(node=node(shown()))
    wanted = observation(None)
    done = attach.attach(api, settings, wanted, via="rest", python=sys.executable)
    assert done == observations.Attached("rest", None, None)
    assert json.loads(sent()[0].body)["description"] == "Notebook export"


@responses.activate
def test_the_newest_observation_of_somebody_else_is_not_ours(
    api: dagster_api.DagsterApi, settings: config.Config
) -> None:
    responses.post(REPORT, json={})
    answer_graphql(node=node(shown("id9", link="https://other.example"), shown("id1")))
    assert attach.attach(api, settings, observation(), via="rest", python=sys.executable).link == LINK


@responses.activate
@pytest.mark.parametrize(
    ("status", "body", "kind", "texts"),
    [
        (400, {"error": "Param metadata is wrong"}, errors.InvalidInput, ["Param metadata is wrong"]),
        (400, PAGE, reports.NoWay, ["answered 400", "nothing was attached", "webserver"]),
        (404, PAGE, reports.NoWay, ["answered 404", "nothing was attached", "proxy"]),
        (405, "", reports.NoWay, ["answered 405"]),
        (401, {"error": "Not authorized"}, errors.NotAuthorised, ["401", "--read-only", "token"]),
        (403, PAGE, errors.NotAuthorised, ["403", "--read-only"]),
    ],
)
def test_rest_refused(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    status: int,
    body: Any,
    kind: type[errors.DaglabError],
    texts: list[str],
) -> None:
    responses.post(REPORT, status=status, **({"json": body} if isinstance(body, dict) else {"body": body}))
    answer_graphql(node=node(shown()))
    refused(lambda: attach.attach(api, settings, observation(), via="rest", python=sys.executable), kind, *texts)
    assert len(sent()) == 1


BROKEN_ANSWERS = {
    "500": {"status": 500, "body": "Internal Server Error"},
    "502": {"status": 502, "body": PAGE},
    "200 with a page": {"status": 200, "body": PAGE},
    "a cut connection": {"body": requests.ConnectionError("reset")},
    "no answer in time": {"body": requests.ReadTimeout("slow")},
}


@responses.activate
@pytest.mark.parametrize("answer", BROKEN_ANSWERS.values(), ids=BROKEN_ANSWERS)
def test_rest_answer_lost_but_read_back(
    api: dagster_api.DagsterApi, settings: config.Config, answer: dict[str, Any]
) -> None:
    responses.post(REPORT, **answer)
    answer_graphql(node=node(shown(kind="TextMetadataEntry")))
    assert attach.attach(api, settings, observation(), via="rest", python=sys.executable).link == LINK
    assert len(sent()) == 1


@responses.activate
@pytest.mark.parametrize("answer", BROKEN_ANSWERS.values(), ids=BROKEN_ANSWERS)
def test_rest_answer_lost_and_not_read_back(
    api: dagster_api.DagsterApi, settings: config.Config, answer: dict[str, Any]
) -> None:
    responses.post(REPORT, **answer)
    answer_graphql(node=node(shown("id2")))
    error = refused(
        lambda: attach.attach(api, settings, observation(), via="rest", python=sys.executable),
        errors.OutcomeUnknown,
        "id1",
        "report_asset",
    )
    assert error.exit_code == 5
    assert len(sent()) == 1


@responses.activate
def test_a_server_that_dies_after_the_write_leaves_the_outcome_unknown(
    api: dagster_api.DagsterApi, settings: config.Config
) -> None:
    responses.post(REPORT, json={})
    responses.post(GRAPHQL, body=requests.ConnectionError("gone"))
    refused(
        lambda: attach.attach(api, settings, observation(), via="rest", python=sys.executable),
        errors.OutcomeUnknown,
        "read back",
        GRAPHQL,
    )


@responses.activate
def test_what_is_seen_late_is_waited_for(
    api: dagster_api.DagsterApi, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "READ_BACK_TIMEOUT", 60.0)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    responses.post(REPORT, json={})
    for answer in (node(), node(shown("id2")), node(shown())):
        responses.post(GRAPHQL, json={"data": answer})
    assert attach.attach(api, settings, observation(), via="rest", python=sys.executable).link == LINK


# --- which way


@responses.activate
def test_no_dagster_home_takes_rest(api: dagster_api.DagsterApi, settings: config.Config, child: Child) -> None:
    started = child("")
    responses.post(REPORT, json={})
    asked = answer_graphql(node=node(shown()))
    assert attach.attach(api, settings, observation(), via=None, python=sys.executable).via == "rest"
    assert ("NewestRun", {}) not in asked
    assert not started.exists()


@responses.activate
def test_another_machine_takes_rest_unless_asked(settings: config.Config, home: Path, child: Child) -> None:
    started = child("print('{\"written\": true}')")
    remote = "https://dagster.example"
    responses.post(f"{remote}/report_asset_observation/a/b%20c", json={})
    responses.post(f"{remote}/graphql", json={"data": {**node(shown()), **newest("r1")}})
    with requests.Session() as http:
        api = dagster_api.DagsterApi(remote, web.Session(http, timeout=5.0, retries=0))
        assert attach.attach(api, settings, observation(), via=None, python=sys.executable).via == "rest"
        assert not started.exists()
        assert attach.attach(api, settings, observation(), via="instance", python=sys.executable).via == "instance"
    assert started.exists()


@responses.activate
def test_no_run_yet_is_no_proof(api: dagster_api.DagsterApi, settings: config.Config, home: Path, child: Child) -> None:
    started = child("")
    responses.post(REPORT, json={})
    answer_graphql(runs=newest(), node=node(shown()))
    assert attach.attach(api, settings, observation(), via=None, python=sys.executable).via == "rest"
    refused(
        lambda: attach.attach(api, settings, observation(), via="instance", python=sys.executable),
        reports.NothingWritten,
        "no run",
        "--via rest",
    )
    assert not started.exists()


def test_asked_for_without_dagster_home(api: dagster_api.DagsterApi, settings: config.Config) -> None:
    error = refused(
        lambda: attach.attach(api, settings, observation(), via="instance", python=sys.executable),
        reports.NothingWritten,
        "DAGSTER_HOME",
    )
    assert error.exit_code == 3


WROTE_NOTHING = {
    "proof fails": ('print(\'{"refused": "their newest runs differ"}\')', "their newest runs differ"),
    "crash before the write": ("raise OSError('no storage')", "OSError: no storage"),
    "killed before the write": ("import os; os.kill(os.getpid(), 9)", "it ended with -9 and no word"),
    "a torn word": ("print('{\"writing\": tr')", "it ended with 0 and no word"),
    "words of others": ("print('[1]'); print('written'); print('3'); print('null')", "it ended with 0"),
}


@responses.activate
@pytest.mark.parametrize(("code", "reason"), WROTE_NOTHING.values(), ids=WROTE_NOTHING)
def test_a_child_that_wrote_nothing_lets_rest_be_tried(
    api: dagster_api.DagsterApi, settings: config.Config, home: Path, child: Child, code: str, reason: str
) -> None:
    child(code)
    responses.post(REPORT, json={})
    answer_graphql(runs=newest("r1"), node=node(shown(kind="TextMetadataEntry")))
    assert attach.attach(api, settings, observation(), via=None, python=sys.executable).via == "rest"
    assert len(sent()) == 1
    refused(
        lambda: attach.attach(api, settings, observation(), via="instance", python=sys.executable),
        reports.NothingWritten,
        reason,
    )
    assert len(sent()) == 1


WRITING = "print('{\"writing\": true}', flush=True); "
OUTCOME_UNKNOWN = {
    "crash in the write": (WRITING + "raise OSError('database is locked')", "OSError: database is locked"),
    "killed in the write": (WRITING + "import os; os.kill(os.getpid(), 9)", "it ended with -9"),
}


@responses.activate
@pytest.mark.parametrize("via", [None, "instance"])
@pytest.mark.parametrize(("code", "reason"), OUTCOME_UNKNOWN.values(), ids=OUTCOME_UNKNOWN)
def test_after_a_write_whose_outcome_is_unknown_no_second_way_is_tried(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    home: Path,
    child: Child,
    code: str,
    reason: str,
    via: str | None,
) -> None:
    child(code)
    answer_graphql(runs=newest("r1"), node=node(shown("id2")))
    refused(
        lambda: attach.attach(api, settings, observation(), via=via, python=sys.executable),
        errors.OutcomeUnknown,
        reason,
        "id1",
    )
    assert sent() == []


@responses.activate
def test_a_write_that_broke_off_and_is_there_is_attached(
    api: dagster_api.DagsterApi, settings: config.Config, home: Path, child: Child
) -> None:
    child(WRITING + "sys.exit(1)")
    answer_graphql(runs=newest("r1"), node=node(shown()))
    done = attach.attach(api, settings, observation(), via=None, python=sys.executable)
    assert done == observations.Attached("instance", LINK, "UrlMetadataEntry")
    assert sent() == []


@pytest.mark.long
@responses.activate
@pytest.mark.parametrize("writing", [True, False])
def test_a_child_that_hangs(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    home: Path,
    child: Child,
    monkeypatch: pytest.MonkeyPatch,
    writing: bool,
) -> None:
    monkeypatch.setattr(reports, "CHILD_TIMEOUT", 3.0)
    child((WRITING if writing else "") + "time.sleep(600)")
    responses.post(REPORT, json={})
    answer_graphql(runs=newest("r1"), node=node(shown("id2")))
    kind = errors.OutcomeUnknown if writing else reports.NothingWritten
    refused(
        lambda: attach.attach(api, settings, observation(), via="instance", python=sys.executable),
        kind,
        "not done after 3 s",
    )
    assert sent() == []


@responses.activate
def test_a_python_without_dagster(
    api: dagster_api.DagsterApi, settings: config.Config, tmp_path: Path, home: Path
) -> None:
    (home / "history").mkdir()
    (home / "history" / "runs.db").touch()
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    answer_graphql(runs=newest("r1"), node=node(shown()))
    refused(
        lambda: attach.attach(api, settings, observation(), via="instance", python=str(bare)),
        reports.NothingWritten,
        "has no dagster",
    )


@responses.activate
def test_a_python_that_is_not_there(
    api: dagster_api.DagsterApi, settings: config.Config, tmp_path: Path, home: Path
) -> None:
    answer_graphql(runs=newest("r1"), node=node(shown()))
    missing = str(tmp_path / "no" / "python")
    refused(
        lambda: attach.attach(api, settings, observation(), via="instance", python=missing), errors.NotSetUp, missing
    )


@responses.activate
@pytest.mark.parametrize("settings_file", [None, "telemetry:\n  enabled: false\n"])
def test_a_dagster_home_that_was_never_used_stays_as_it_is(
    api: dagster_api.DagsterApi, settings: config.Config, home: Path, settings_file: str | None
) -> None:
    """Dagster would make its databases there at once."""
    if settings_file:
        (home / "dagster.yaml").write_text(settings_file)
    before = os.listdir(home)
    answer_graphql(runs=newest("r1"), node=node(shown()))
    refused(
        lambda: attach.attach(api, settings, observation(), via="instance", python=sys.executable),
        reports.NothingWritten,
        "no Dagster has ever",
    )
    assert os.listdir(home) == before


@responses.activate
def test_a_dagster_home_that_is_no_folder(
    api: dagster_api.DagsterApi, settings: config.Config, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(home / "missing"))
    answer_graphql(runs=newest("r1"), node=node(shown()))
    refused(
        lambda: attach.attach(api, settings, observation(), via="instance", python=sys.executable),
        reports.NothingWritten,
        str(home / "missing"),
    )
    assert os.listdir(home) == []


@responses.activate
def test_the_child_gets_no_token_and_its_request_by_the_environment(
    api: dagster_api.DagsterApi,
    tmp_path: Path,
    home: Path,
    child: Child,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DAGSTER_GRAPHQL_TOKEN", "DAGSTER_CLOUD_API_TOKEN", "DAGLAB_TOKEN", "MY_SPECIAL"):
        monkeypatch.setenv(name, "s3cret")
    settings = config.load(
        {"dagster.url": URL}, directory=tmp_path, environ={"DAGLAB_DAGSTER__AUTH__TOKEN_ENV": "MY_SPECIAL"}
    )
    child(f"import os, json; json.dump([dict(os.environ), sys.argv], open({str(tmp_path / 'seen')!r}, 'w'))")
    answer_graphql(runs=newest("r1"), node=node(shown()))
    refused(
        lambda: attach.attach(api, settings, observation(), via="instance", python=sys.executable),
        reports.NothingWritten,
    )
    environ, argv = json.loads((tmp_path / "seen").read_text())
    assert "s3cret" not in environ.values()
    assert argv == [str(reports.CHILD)]
    request = json.loads(environ["DAGLAB_OBSERVATION"])
    assert (request["asset_key"], request["newest_run"]) == (["a", "b c"], "r1")
    assert {"label": "exploration", "kind": "url", "value": LINK} in request["entries"]


ASKED_AT = 1_790_000_000


@pytest.fixture
def far_from_utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("records", "same"),
    [
        ([("r1", -50)], True),
        ([("r1", 0), ("r0", -50)], True),
        ([("r3", 2), ("r2", 0), ("r1", -50)], True),  # launched while the child started
        ([("r2", -1), ("r1", -50)], False),  # a copy of the home that has gone its own way
        ([("r0", -50)], False),
        ([("r3", 2)], False),
        ([], False),
    ],
)
@pytest.mark.parametrize("zone", [timezone.utc, None])
def test_which_instance_is_the_servers(
    records: list[tuple[str, int]], same: bool, zone: timezone | None, far_from_utc: None
) -> None:
    def record(run_id: str, seconds: int) -> Any:
        created = datetime.fromtimestamp(ASKED_AT + seconds, timezone.utc).replace(tzinfo=zone)
        return SimpleNamespace(dagster_run=SimpleNamespace(run_id=run_id), create_timestamp=created)

    instance = SimpleNamespace(get_run_records=lambda limit: [record(*each) for each in records[:limit]])
    assert observation_child.is_the_servers(instance, {"newest_run": "r1", "asked_at": ASKED_AT}) is same


@pytest.mark.parametrize(
    ("settings_file", "database", "unused"),
    [
        (None, False, True),
        (None, True, False),
        ("telemetry: {enabled: false}", False, True),
        ("# storage:\nrun_queue:\n  storage: 1", False, True),
        ("storage:\n  postgres: {}", False, False),
        ("run_storage:\n  module: x", False, False),
    ],
)
def test_which_homes_are_unused(home: Path, settings_file: str | None, database: bool, unused: bool) -> None:
    if settings_file:
        (home / "dagster.yaml").write_text(settings_file)
    if database:
        (home / "history").mkdir()
        (home / "history" / "runs.db").touch()
    assert observation_child.is_unused(str(home)) is unused


def test_the_page_of_an_asset(api: dagster_api.DagsterApi) -> None:
    assert attach.page(api, ("a/b", "größe <b>&")) == f"{URL}/assets/a%2Fb/gr%C3%B6%C3%9Fe%20%3Cb%3E%26?view=events"


# further ways, partitions, jobs


def described(text: str, partition: str | None = None) -> dict[str, Any]:
    return {"partition": partition, "description": text, "metadataEntries": []}


def by_graphql(found: dict[str, Any], *observations: dict[str, Any]) -> list[Any]:
    """Answers the mutation and the look at the observations; what was sent is collected."""
    sent: list[Any] = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body)
        sent.append(body)
        data = {"reportRunlessAssetEvents": found} if "mutation" in body["query"] else node(*observations)
        return 200, {}, json.dumps({"data": data})

    responses.add_callback("POST", f"{URL}/graphql", answer)
    return sent


DONE = {"__typename": "ReportRunlessAssetEventsSuccess", "assetKey": {"path": ["a", "b c"]}}


@responses.activate
def test_graphql_says_all_of_it_in_the_description(api: dagster_api.DagsterApi, settings: config.Config) -> None:
    what = dataclasses.replace(observation(), partition="2026-11-01")
    sent = by_graphql(DONE, described(what.full_description), described(what.full_description, "2026-11-01"))
    done = attach.attach(api, settings, what, via="graphql", python=sys.executable)
    assert done == observations.Attached("graphql", LINK, "description")
    params = sent[0]["variables"]["params"]
    assert params["partitionKeys"] == ["2026-11-01"]
    assert params["description"].splitlines() == [
        f"Notebook export: {LINK}",
        "daglab/export_id: id1",
        "n: 3",
        f"exploration: {LINK}",
    ]


@responses.activate
def test_graphql_refused(api: dagster_api.DagsterApi, settings: config.Config) -> None:
    sent = by_graphql({"__typename": "UnauthorizedError", "message": "no"})
    with pytest.raises(errors.NotAuthorised):
        attach.attach(api, settings, observation(), via="graphql", python=sys.executable)
    assert len(sent) == 1


@responses.activate
def test_graphql_comes_after_a_rest_that_is_not_there(api: dagster_api.DagsterApi, settings: config.Config) -> None:
    responses.post(REPORT, status=404, body=PAGE)
    by_graphql(DONE, described(observation().full_description))
    assert attach.attach(api, settings, observation(), via=None, python=sys.executable).via == "graphql"


@responses.activate
def test_graphql_does_not_come_after_a_rest_that_may_have_written(
    api: dagster_api.DagsterApi, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "READ_BACK_TIMEOUT", 0.0)
    responses.post(REPORT, status=502, body=PAGE)
    sent = by_graphql(DONE)
    with pytest.raises(errors.OutcomeUnknown):
        attach.attach(api, settings, observation(), via=None, python=sys.executable)
    assert not any("mutation" in body["query"] for body in sent)


@responses.activate
def test_another_partition_s_observation_is_not_ours(
    api: dagster_api.DagsterApi, settings: config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "READ_BACK_TIMEOUT", 0.0)
    what = dataclasses.replace(observation(), partition="b")
    by_graphql(DONE, described(what.full_description, "a"))
    with pytest.raises(errors.OutcomeUnknown):
        attach.attach(api, settings, what, via="graphql", python=sys.executable)


@pytest.mark.parametrize(
    ("allowed", "via", "refused_operation"),
    [
        ([], None, "report_asset_observation"),
        ([], "rest", "report_asset_observation"),
        ([], "graphql", "reportRunlessAssetEvents"),
        (["reportRunlessAssetEvents"], "instance", "report_asset_observation"),
        (["reportRunlessAssetEvents"], None, None),
        (["report_asset_observation"], "instance", None),
        ([], "compute", None),
    ],
)
def test_the_sandbox_refuses_each_way(
    api: dagster_api.DagsterApi, allowed: list[str], via: str | None, refused_operation: str | None
) -> None:
    session = dataclasses.replace(api.session, allowed=frozenset(allowed))
    inside = dataclasses.replace(api, session=session)
    if refused_operation is None:
        attach.permit(inside, via)
        return
    with pytest.raises(errors.NotAuthorised, match=refused_operation):
        attach.permit(inside, via)


@responses.activate
def test_the_sandbox_leaves_the_ways_that_it_allows(api: dagster_api.DagsterApi, settings: config.Config) -> None:
    session = dataclasses.replace(api.session, allowed=frozenset(["reportRunlessAssetEvents"]))
    by_graphql(DONE, described(observation().full_description))
    inside = dataclasses.replace(api, session=session)
    assert attach.attach(inside, settings, observation(), via=None, python=sys.executable).via == "graphql"
    with pytest.raises(errors.NotAuthorised):
        attach.attach(inside, settings, observation(), via="rest", python=sys.executable)


def test_the_snippet_is_code() -> None:
    text = observations.snippet([observations.Target(("a", 'b"c'), "2026-11-01"), observations.Target(("d",))])
    compile(text.replace("    context.", "context."), "snippet", "exec")
    assert "exploration_metadata('a/b\"c', partition='2026-11-01')" in text
    assert "exploration_metadata('KEY')" in observations.snippet([])


@responses.activate
@pytest.mark.parametrize("key", [("..", "..", "etc"), ("a", "."), ("..",)])
def test_a_key_that_would_lead_elsewhere_is_not_sent(
    key: tuple[str, ...], api: dagster_api.DagsterApi, settings: config.Config
) -> None:
    """The dots are taken out of an address on the way, and with them the path prefix."""
    with pytest.raises(errors.InvalidInput, match="can't stand in an address") as caught:
        attach._report(api, settings, dataclasses.replace(observation(), asset=key), "rest", "", asked_for=True)
    assert "--via graphql" in str(caught.value.hint)
    assert len(responses.calls) == 0


# --- what broke off


@responses.activate
@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (shown(), observations.Attached("rest", LINK, "UrlMetadataEntry")),
        (
            [*shown(), {"__typename": "PathMetadataEntry", "label": "output", "path": "/x"}],
            observations.Attached("instance", LINK, "UrlMetadataEntry"),
        ),
        (
            {"description": f"{LINK}\n{observations.ID_LABEL}: id1", "metadataEntries": []},
            observations.Attached("graphql", LINK, "description"),
        ),
        (shown("id2"), None),
        ({"partition": "2026-11-01", "metadataEntries": shown()}, None),
    ],
    ids=["rest", "instance", "graphql", "another", "another partition"],
)
def test_an_observation_is_found_by_its_id(
    entries: Any, found: observations.Attached | None, api: dagster_api.DagsterApi
) -> None:
    answer_graphql(node=node(shown("id0"), entries))
    assert attach.find(api, observation()) == found


@responses.activate
def test_an_older_observation_is_looked_for_among_all(
    api: dagster_api.DagsterApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "MANY", 2)
    every = [shown("a"), shown("b"), shown("id1")]

    def look(request: Any) -> tuple[int, dict[str, str], str]:
        limit = json.loads(request.body)["variables"]["limit"]
        return 200, {}, json.dumps({"data": node(*every[:limit])})

    responses.add_callback(responses.POST, GRAPHQL, callback=look)
    assert attach.find(api, observation()) == observations.Attached("rest", LINK, "UrlMetadataEntry")
    assert len(responses.calls) == 2


@responses.activate
def test_what_may_be_under_way_is_waited_for(api: dagster_api.DagsterApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach.time, "sleep", lambda _: None)
    looks = [node(), node(shown())]
    responses.add_callback(responses.POST, GRAPHQL, lambda _: (200, {}, json.dumps({"data": looks.pop(0)})))
    assert attach.find(api, observation(), datetime.now(timezone.utc)) is not None
    assert looks == []


@responses.activate
def test_an_asset_that_is_gone_has_nothing_attached_and_a_dagster_that_is_gone_can_not_tell(
    api: dagster_api.DagsterApi,
) -> None:
    gone = responses.post(
        GRAPHQL, json={"data": {"assetNodeOrError": {"__typename": "AssetNotFoundError", "message": "x"}}}
    )
    assert attach.find(api, observation()) is None
    responses.remove(gone)
    responses.post(GRAPHQL, body=requests.ConnectionError("broken off"))
    with pytest.raises(errors.OutcomeUnknown, match="can't be found out whether id1 is attached"):
        attach.find(api, observation())


# --- what it is attached to


@pytest.fixture
def partitioned(dagster: Any, tmp_path: Path) -> tuple[dagster_api.DagsterApi, config.Config, Any]:
    """The asset orders, by day, and the job report, which makes nothing."""
    [there] = dagster.answers["Assets"]["assetNodes"]
    by_day = {"name": None, "type": "STATIC", "description": "", "dimensionTypes": [{"name": "default"}]}
    there.update(isPartitioned=True, partitionDefinition=by_day)
    keyed = {"assetKey": there["assetKey"], "repository": there["repository"], "partitionKeys": ["2026-11-01"]}
    dagster.answers["AssetPartitions"] = {"assetNodes": [keyed]}
    settings = config.load({"dagster.url": dagster.url}, directory=tmp_path)
    return dagster_api.connect(settings), settings, there


@pytest.mark.parametrize(
    ("keys", "hint"),
    [(["2026-11-02"], "2026-11-02"), (["eu", "us"], "It has 2, the last one is us"), ([], "It has none: leave it out")],
)
def test_a_partition_that_the_asset_has_not(keys: list[str], hint: str, partitioned: Any, dagster: Any) -> None:
    api, settings, _ = partitioned
    aim = parse.AttachTarget(asset=("orders",), partition="2026-11-01")
    assert attach.targets(api, settings, aim) == [observations.Target(("orders",), "2026-11-01")]
    dagster.answers["AssetPartitions"]["assetNodes"][0]["partitionKeys"] = keys
    refused(lambda: attach.targets(api, settings, aim), errors.InvalidInput, "no partition 2026-11-01", hint)


def test_a_job_stands_for_its_assets(partitioned: Any) -> None:
    api, settings, there = partitioned
    aim = parse.AttachTarget(job="report")
    assert attach.targets(api, settings, aim) == []
    there["jobNames"] = ["__ASSET_JOB", "report"]
    assert attach.targets(api, settings, aim) == [observations.Target(("orders",))]
    there["repository"] = {"name": "__repository__", "location": {"name": "elsewhere"}}
    assert attach.targets(api, settings, aim) == []


@responses.activate
def test_a_partition_is_sent_over_rest(api: dagster_api.DagsterApi, settings: config.Config) -> None:
    responses.post(REPORT, json={})
    answer_graphql(node=node({"partition": "eu", "metadataEntries": shown()}))
    what = dataclasses.replace(observation(), partition="eu")
    assert attach.attach(api, settings, what, via="rest", python=sys.executable).link == LINK
    assert json.loads(sent()[0].body)["partition"] == "eu"

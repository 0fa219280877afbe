"""Requests are kept where DAGLAB_TRACE=1: what of them, what not, and that keeping them never gets in the way."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from daglab import errors, events, redaction, web
from daglab.debugging import traces
from daglab.deployment import dagster_api
from daglab.settings import config

URL = "http://dagster.test:3000"
QUERY = "query Things($config: RunConfigData) { things(config: $config) { __typename } }"
LAUNCH = "mutation Launch { launchRun { __typename } }"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    traces._complained.clear()
    yield
    redaction._secrets.clear()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGLAB_TRACE", "1")
    (tmp_path / ".daglab").mkdir()
    return tmp_path


def kept(root: Path) -> list[dict[str, Any]]:
    path = root / ".daglab" / "traces" / "requests.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def connected(operation: str | None = "op") -> dagster_api.DagsterApi:
    settings = config.load({"dagster.url": URL, "dagster.graphql.max_retries": 0})
    return dagster_api.connect(settings, operation=operation)


def ask(answer: Any = None, text: str = QUERY, variables: Any = None, **more: Any) -> None:
    with responses.RequestsMock() as server:
        server.post(f"{URL}/graphql", json={"data": {}} if answer is None else answer, **more)
        dagster_api.query(connected(), text, variables)


def test_a_query_and_its_answer(project: Path) -> None:
    with events.recording(project, "discover") as event, responses.RequestsMock() as server:
        server.post(f"{URL}/graphql", json={"data": {"things": []}})
        dagster_api.query(connected(event.id), QUERY, {"config": {"a": 1}})
    [line] = kept(project)
    assert list(line) == ["v", "id", "operation", "command", "at", "url", "name", "kind", "ms", "query", "variables",
                          "masked", "status", "bytes", "outcome", "error", "sha256", "answer"]  # fmt: skip
    expected = {"v": 1, "operation": event.id, "command": "discover", "url": f"{URL}/graphql", "name": "Things",
                "kind": "query", "query": QUERY, "variables": {"config": {"a": 1}}, "masked": False, "status": 200,
                "outcome": "answered", "error": None, "answer": {"data": {"things": []}}}  # fmt: skip
    assert {name: line[name] for name in expected} == expected
    assert list(traces.newest(project)) == [line]
    modes = [path.stat().st_mode & 0o777 for path in (project / traces.FOLDER, project / traces.FOLDER / traces.NAME)]
    assert modes == [0o700, 0o600]


@pytest.mark.parametrize("value", [None, "", "0", "no"])
def test_nothing_is_kept_unless_it_is_asked_for(
    project: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("DAGLAB_TRACE") if value is None else monkeypatch.setenv("DAGLAB_TRACE", value)
    ask()
    assert list((project / ".daglab").iterdir()) == []


def test_nothing_is_kept_outside_of_a_project(project: Path) -> None:
    (project / ".daglab").rmdir()
    ask()
    assert list(project.iterdir()) == []


def test_what_goes_wrong_is_kept(project: Path) -> None:
    with pytest.raises(errors.Unreachable):
        ask({"errors": [{"message": "Cannot query field 'x'"}]}, status=400)
    with pytest.raises(errors.NotAuthorised):
        ask(status=401)
    with responses.RequestsMock() as server:
        server.post(f"{URL}/graphql", body=requests.ConnectionError("gone"))
        with pytest.raises(errors.Unreachable):
            dagster_api.query(connected(), QUERY)
    with responses.RequestsMock() as server:
        server.post(f"{URL}/graphql", json={"data": {"launchRun": {}}})
        dagster_api.mutate(connected(), "launchRun", LAUNCH)
    rejected, refused, failed, launched = kept(project)
    assert (rejected["outcome"], rejected["status"], rejected["error"]) == ("rejected", 400, "Cannot query field 'x'")
    assert (refused["outcome"], "401" in refused["error"]) == ("failed", True)
    assert (failed["outcome"], "status" in failed) == ("failed", False)
    assert (launched["kind"], launched["name"]) == ("mutation", "Launch")


SECRET = "hunter2-planted"
PLACES: list[Any] = [
    {"password": SECRET},
    {"ops": {"load": {"config": {"api_key": SECRET}}}},
    {"db_password": {"nested": [SECRET]}},
    {"resources": {"openai_key": SECRET}},
    [{"key": "slack_token", "value": SECRET}],
    [{"label": "the secret", "text": SECRET}],
    [{"name": "DB_PASSWORD", "value": SECRET}],
    f"ops:\n  load:\n    config:\n      password: {SECRET}\n      rows: 3\n",
    f"password: |\n  {SECRET}\n  more\nrows: 3\n",
    f"password:\n  inner: {SECRET}\nrows: 3\n",
    f"token: 'it''s {SECRET}'\n",
    f'{{"password": "{SECRET}", "rows": 3}}',
    json.dumps(json.dumps({"password": SECRET})),
    f"Authorization: Bearer {SECRET}",
    f"postgres://me:{SECRET}@db.test/shop",
    f"https://bucket.test/file?X-Amz-Signature={SECRET}&x=1",
    f"https://bucket.test/file?a=1&sig={SECRET}",
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: json.dumps(place)[:50])
def test_what_looks_like_a_secret_is_not_kept(project: Path, place: Any) -> None:
    ask({"data": {"there": place}}, variables={"config": place, "rows": 3})
    text = (project / traces.FOLDER / traces.NAME).read_text(encoding="utf-8")
    assert SECRET not in text
    assert "***" in text
    [line] = kept(project)
    assert (line["masked"], line["variables"]["rows"]) == (True, 3)


def test_a_secret_that_the_server_repeats_is_not_kept(project: Path) -> None:
    answer = {"data": {"message": f"the value {SECRET} at ops:load is no number"}}
    secret = traces.redaction.masked({"sent": {"password": SECRET}, **answer})
    assert SECRET not in json.dumps(secret)
    redaction.hide("a-token-of-a-header")
    ask({"data": {"message": "you sent a-token-of-a-header"}})
    assert "a-token-of-a-header" not in (project / traces.FOLDER / traces.NAME).read_text(encoding="utf-8")


def test_what_is_no_secret_stays() -> None:
    innocent = {
        "assetKey": {"path": ["a"]}, "tags": [{"key": "team", "value": "x"}], "max_tokens": 12, "partition_key": "2026",
        "token_env": "DAGLAB_TOKEN", "text": "keys: 3\nname: https://host.test/x?page=2", "none": None, "yes": True,
    }  # fmt: skip
    assert redaction.masked(innocent) == innocent


def test_text_of_any_kind_takes_no_long_time_to_mask() -> None:
    for text in ("x" * 300_000, "password" * 40_000, "password: x\n" * 20_000, "a://" * 80_000, "?" * 300_000,
                 "password:\n " * 20_000):  # fmt: skip
        redaction.masked_text(text)


def test_a_large_answer_is_kept_as_its_hash(project: Path) -> None:
    ask({"data": {"text": "x" * traces.LARGEST_ANSWER}})
    [line] = kept(project)
    assert (line["answer"], len(line["sha256"])) == (None, 64)
    assert line["bytes"] > traces.LARGEST_ANSWER


def test_the_files_are_bounded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "LARGEST_FILE", 2000)
    for number in range(16):
        ask(variables={"n": number})
    sizes = {path.name: path.stat().st_size for path in (project / traces.FOLDER).iterdir()}
    assert set(sizes) == {"requests.jsonl", "requests.1.jsonl"}
    assert max(sizes.values()) < 3000
    numbers = [line["variables"]["n"] for line in traces.newest(project)]
    assert numbers == list(range(15, 15 - len(numbers), -1))
    assert len(numbers) > 4


@pytest.mark.parametrize("kind", ["a file", "a link out", "a link below", "a pipe"])
def test_what_can_t_be_kept_is_one_warning(
    project: Path, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    folder, elsewhere = project / traces.FOLDER, tmp_path_factory.mktemp("elsewhere")
    if kind == "a file":
        folder.touch()
    elif kind == "a link out":
        folder.symlink_to(elsewhere)
    else:
        folder.mkdir()
        (folder / traces.NAME).symlink_to(elsewhere / "x") if kind == "a link below" else os.mkfifo(
            folder / "requests.jsonl"
        )
    for _ in range(3):
        ask()
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "Requests are not kept" in warnings[0].getMessage()
    assert list(elsewhere.iterdir()) == []
    assert list(traces.newest(project)) == []


def test_hostile_lines_are_left_out_and_counted(project: Path) -> None:
    ask()
    [line] = kept(project)
    bad = [b"\x00", b"[1]", b'{"v":1}', json.dumps({**line, "v": 2}).encode(), b'{"torn', b"[" * 100_000,
           json.dumps({**line, "query": 7}).encode()]  # fmt: skip
    with (project / traces.FOLDER / traces.NAME).open("ab") as file:
        file.write(b"\n".join(bad))
    assert list(traces.newest(project)) == [line]
    assert traces.unreadable(project) == len(bad)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("query A { b }", "A"),
        ("mutation A($x: Int) { b }", "A"),
        ("{ version }", "version"),
        ("{ v: version }", "version"),
        ("", None),
    ],
)
def test_the_name_of_a_query(text: str, name: str | None) -> None:
    assert traces.operation_name(text) == name


def test_asking_again_is_no_way_around_the_sandbox() -> None:
    settings = config.load({"dagster.url": URL, "security.sandbox_mode": True})
    with responses.RequestsMock(), pytest.raises(errors.NotAuthorised, match="does not allow Launch"):
        dagster_api.ask_again(dagster_api.DagsterApi(URL, web.session(settings)), LAUNCH, {})

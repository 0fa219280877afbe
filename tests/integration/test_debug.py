"""Requests to a real Dagster: kept, shown, sent again; and no secret among what is kept."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

Run = Callable[..., Any]
TRACED = {"DAGLAB_TRACE": "1"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".daglab").mkdir()
    return tmp_path


@pytest.fixture
def daglab(cli: Run, deployment: Any, project: Path) -> Run:
    """`daglab(*arguments)` ends as `exit_code` says; the document that it prints."""

    def ran(*arguments: str, exit_code: int = 0, **env: str) -> Any:
        done = cli(*arguments, "--json", env={"DAGLAB_DAGSTER__URL": deployment.url, **TRACED, **env})
        assert done.exit_code == exit_code, done.stdout + done.stderr
        return json.loads(done.stdout)

    return ran


def test_a_command_is_traced_and_its_query_gets_the_same_answer_again(
    daglab: Run, cli: Run, deployment: Any, project: Path
) -> None:
    daglab("discover")
    kept = daglab("debug", "requests")["requests"]
    [event] = map(json.loads, next((project / ".daglab" / "events").iterdir()).read_text().splitlines())
    assert {each["operation"] for each in kept} == {event["id"]}
    assert len(kept) == event["requests"]["n"] == len(event["requests"]["ms"])
    assert [(each["command"], each["status"], each["outcome"]) for each in kept] == [("discover", 200, "answered")] * 2
    for each in kept:
        result = daglab("debug", "replay", each["id"])
        assert (result["ok"], result["same"], result["differences"]) == (True, True, [])
    done = cli("debug", "replay", kept[0]["id"][:8], "--url", deployment.url)
    assert (done.exit_code, done.stdout) == (0, "The answer is the same.\n")
    events = [json.loads(line) for line in next((project / ".daglab" / "events").iterdir()).read_text().splitlines()]
    assert [each["command"] for each in events] == ["discover", *["debug replay"] * 3]
    assert events[-1]["detail"] == {"same": True}


@pytest.mark.slow
def test_after_a_change_the_answer_is_another_one(daglab: Run, cli: Run, deployment: Any) -> None:
    mark = uuid.uuid4().hex
    daglab("runs", "list", "--tag", f"mark={mark}")
    [*_, listed] = daglab("debug", "requests")["requests"]
    daglab("run", "--asset-selection", "src/customers", "--tag", f"mark={mark}")
    result = daglab("debug", "replay", listed["id"], exit_code=4)
    assert (result["ok"], result["same"], result["error"]["code"]) == (False, False, "not_good")
    [added] = result["differences"]
    assert added["kind"] == "added"
    assert re.fullmatch(r"data\.\w+\.results\[0\]", added["path"])
    assert mark in json.dumps(added["after"])
    done = cli("debug", "replay", listed["id"], "--url", deployment.url)
    assert (done.exit_code, done.stdout.startswith(f"{added['path']}: added {{")) == (4, True)


def test_a_mutation_is_not_sent_again(daglab: Run) -> None:
    mark = uuid.uuid4().hex
    daglab("run", "--asset-selection", "src/customers", "--tag", f"mark={mark}")
    [launch] = [each for each in daglab("debug", "requests", "--last", "100")["requests"] if each["kind"] == "mutation"]
    error = daglab("debug", "replay", launch["id"], exit_code=2)["error"]
    assert (error["code"], "is a mutation" in error["message"]) == ("usage", True)
    assert len(daglab("runs", "list", "--tag", f"mark={mark}")["runs"]) == 1


def test_a_mutation_in_the_clothes_of_a_query_is_stopped_by_the_sandbox(
    daglab: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second guard, seen without the first one."""
    from daglab import errors, events
    from daglab.commands import debug
    from daglab.debugging import traces
    from daglab.deployment import dagster_api
    from daglab.settings import config

    mark = uuid.uuid4().hex
    daglab("run", "--asset-selection", "src/customers", "--tag", f"mark={mark}")
    [line] = [each for each in traces.newest(project) if each["kind"] == "mutation"]
    settings = config.load({"dagster.url": line["url"].removesuffix("/graphql")})
    is_mutation, asked = dagster_api.is_mutation, []

    def once_blind(text: str) -> bool:
        asked.append(text)
        return len(asked) > 1 and is_mutation(text)

    monkeypatch.setattr(dagster_api, "is_mutation", once_blind)
    with pytest.raises(errors.NotAuthorised, match="nothing was sent"):
        debug.replay(settings, {**line, "kind": "query"}, events.Event("debug replay"), anywhere=False)
    assert len(daglab("runs", "list", "--tag", f"mark={mark}")["runs"]) == 1


def test_no_secret_is_in_the_traces(daglab: Run, cli: Run, deployment: Any, project: Path) -> None:
    config = {"ops": {"one": {"config": {"password": "planted-config"}}}}
    planted = {
        "DAGSTER_GRAPHQL_TOKEN": "planted-header", "DAGLAB_DAGSTER__AUTH__TOKEN_ENV": "DAGSTER_GRAPHQL_TOKEN"
    }  # fmt: skip
    tags = ["--tag", "api_token=planted-tag", "--tag", "db=postgres://me:planted-url@db.test/x"]
    run = daglab("run", "--asset-selection", "src/customers", *tags, **planted)["runs"][0]["run_id"]
    cli("run", "--job", "op_job", "--config-yaml", json.dumps(config), "--validate-only", "--json",
        env={"DAGLAB_DAGSTER__URL": deployment.url, **TRACED, **planted})  # fmt: skip
    daglab("runs", "show", run)
    done = cli("run", "--job", "x", "--url", f"http://me:planted-userinfo@127.0.0.1:{deployment.port}", env=TRACED)
    assert done.exit_code == 7
    kept = (project / ".daglab" / "traces" / "requests.jsonl").read_text(encoding="utf-8")
    assert "planted" not in kept
    assert "***" in kept
    assert run in kept
    shown = cli("debug", "requests", "--last", "100", "--json").stdout
    assert "planted" not in shown
    [launch] = [each for each in json.loads(shown)["requests"] if each["kind"] == "mutation"]
    assert launch["masked"] is True


def test_what_was_masked_is_said_when_it_is_sent_again(daglab: Run, cli: Run, deployment: Any) -> None:
    daglab("runs", "list", "--tag", "api_token=planted-tag-of-none")
    [*_, listed] = daglab("debug", "requests")["requests"]
    assert listed["masked"] is True
    done = cli("debug", "replay", listed["id"], "--url", deployment.url, "--json")
    assert "secrets were not kept" in done.stderr
    assert json.loads(done.stdout)["masked"] is True

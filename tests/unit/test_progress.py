"""What is printed of runs: as they go on, in full, two of them compared, and what they have logged and printed."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest

from daglab.deployment import dagster_api, runs
from daglab.launching import progress
from daglab.settings import config

RUN = "5f0c1d2e-0000-4000-8000-000000000001"
OTHER = "6a0c1d2e-0000-4000-8000-000000000002"


@pytest.fixture(autouse=True)
def context() -> Any:
    with click.Context(click.Command("runs")) as found:
        yield found


@pytest.fixture
def api(dagster: Any) -> dagster_api.DagsterApi:
    return dagster_api.connect(config.load({"dagster.url": dagster.url}))


def step(key: str, status: str, ended: float | None = 2.0) -> dict[str, Any]:
    return {"stepKey": key, "status": status, "startTime": 1.0, "endTime": ended}


def answer(run_id: str, status: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"runId": run_id, "status": status, "startTime": 1.0, "endTime": None, "stepStats": list(steps)}


@pytest.mark.parametrize("several", [False, True])
def test_each_step_and_status_is_said_once(
    several: bool, api: dagster_api.DagsterApi, dagster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = [
        ["STARTED", [step("load", "SUCCESS"), step("check", "IN_PROGRESS", None)]],
        ["STARTED", [step("load", "SUCCESS"), step("check", "IN_PROGRESS", None)]],
        ["FAILURE", [step("load", "SUCCESS"), step("check", "FAILURE"), step("send", "SKIPPED")]],
    ]

    def look(body: Any) -> dict[str, Any]:
        status, steps = looks.pop(0) if len(looks) > 1 else looks[0]
        results = [answer(RUN, status, *steps), answer(OTHER, "SUCCESS")]
        return {"runsOrError": {"__typename": "Runs", "results": [each for each in results if each["runId"] in asked]}}

    asked = [RUN, OTHER] if several else [RUN]
    dagster.answers["Status"] = look
    entries: dict[str, dict[str, Any]] = {run_id: {"run_id": run_id, "status": "STARTING"} for run_id in asked}
    progress.follow(api, entries, timeout=10, interval=0.01)
    said = [line.rpartition("5f0c1d2e ")[2].strip() for line in capsys.readouterr().err.splitlines()]
    own = [line for line in said if not line.startswith(OTHER[:8])]
    assert own == ["STARTED", "load: done", "check: failed", "send: skipped", "FAILURE"]
    assert (f"{OTHER[:8]} SUCCESS" in said) is several
    assert entries[RUN]["status"] == "FAILURE"


def test_a_run_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    nothing: dict[str, Any] = dict.fromkeys(("job", "partition", "location", "started_at", "parent", "url"))
    shown = {**nothing, "run_id": RUN, "status": "FAILURE", "assets": ["a/b", "c"], "duration_s": 61.0, "errors": []}
    progress.show_record({**shown, "steps": [], "materializations": []})
    assert capsys.readouterr().out.splitlines() == [
        f"Run:       {RUN}",
        "Status:    FAILURE",
        "Assets:    a/b, c",
        "Took:      1:01 min",
    ]
    shown["steps"] = [{"key": "load", "status": None, "duration_s": None}]
    made = {"asset": "a/b", "partition": "2026-11-01", "metadata": {"rows": 3}}
    failed = {"step": None, "error": "KeyError: 'x'", "causes": ["OSError: disk"]}
    progress.show_record({**shown, "materializations": [made], "errors": [failed, {**failed, "step": "load"}]})
    told = capsys.readouterr().out
    assert "a/b 2026-11-01 was made\n  rows: 3\n" in told
    assert "run: KeyError: 'x' (caused by OSError: disk)" in told
    assert "load: KeyError: 'x' (caused by OSError: disk)" in told
    assert [line.split() for line in told.splitlines() if line.startswith("Step ")] == [["Step", "Status", "Took"]]


def test_two_runs_compared(capsys: pytest.CaptureFixture[str]) -> None:
    same: dict[str, Any] = {"status": ["SUCCESS", "FAILURE"], "duration_s": [61.0, None], "config": [], "metadata": []}
    step = {"key": "load", "status": ["SUCCESS", None], "duration_s": [2.0, None], "ratio": None}
    progress.show_comparison({**same, "steps": [step]})
    told = capsys.readouterr().out
    assert told.startswith("Status: SUCCESS -> FAILURE\nTook:   1:01 min -> -\n\nThe config is the same.\n")
    assert ["load", "SUCCESS", "-", "2.00", "s", "-", "-"] in [line.split() for line in told.splitlines()]
    assert told.endswith("The metadata is the same.\n")
    change = {"asset": "a/b", "partition": "eu", "label": "rows", "values": [1, 2]}
    steps = [{**step, "ratio": 1.5}]
    progress.show_comparison({**same, "steps": steps, "config": ["-x: 1", "+x: 2"], "metadata": [change]})
    told = capsys.readouterr().out
    assert "\nConfig\n-x: 1\n+x: 2\n" in told
    assert "1.50" in told
    assert "\nMetadata\n  a/b eu rows: 1 -> 2\n" in told


def event(level: str, message: str, step: str | None = None, **more: Any) -> dict[str, Any]:
    told = {"__typename": "LogMessageEvent", "timestamp": "1769817600000", "level": level, "message": message}
    return {**told, "stepKey": step, **more}


@pytest.fixture
def logged(dagster: Any) -> Any:
    """A run that is over, and what it has logged."""
    events = [event("DEBUG", "fine"), event("ERROR", "wrong", "load"), event("CRITICAL", "lost", "send")]
    events.append(event("INFO", "", eventType="LOGS_CAPTURED", fileKey="abc", stepKeys=["load"]))
    page = {"__typename": "EventConnection", "events": events, "cursor": "c", "hasMore": False}
    dagster.answers["Events"] = {"logsForRun": page}
    dagster.answers["Printed"] = lambda body: {
        "capturedLogs": {"stdout": "" if body["variables"]["cursor"] else "hello\n", "stderr": None, "cursor": "1"}
    }
    return dagster


@pytest.mark.parametrize("interval", [None, 0.01])
@pytest.mark.parametrize(
    ("step", "least", "messages"),
    [
        (None, 0, ["fine", "wrong", "lost", ""]),
        (None, 3, ["wrong", "lost"]),
        ("load", 0, ["wrong"]),
        ("nope", 0, []),
    ],
)
@pytest.mark.usefixtures("logged")
def test_what_a_run_has_logged(
    interval: float | None,
    step: str | None,
    least: int,
    messages: list[str],
    api: dagster_api.DagsterApi,
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress.print_events(api, RUN, step, least, interval, as_json=True)
    out = capsys.readouterr().out
    found = [json.loads(line) for line in out.splitlines()] if interval else json.loads(out)["events"]
    assert [each["message"] for each in found] == messages
    progress.print_events(api, RUN, step, least, interval, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(messages)
    assert all(line.startswith("2026-01-31 00:00:00.000 ") for line in lines)
    assert ("2026-01-31 00:00:00.000 ERROR    load: wrong" in lines) is ("wrong" in messages)


@pytest.mark.parametrize(("step", "text"), [(None, "hello\n"), ("load", "hello\n"), ("send", "")])
@pytest.mark.usefixtures("logged")
def test_what_a_run_has_printed(
    step: str | None, text: str, api: dagster_api.DagsterApi, capsys: pytest.CaptureFixture[str]
) -> None:
    progress.print_stream(api, RUN, "stdout", step, None, as_json=False)
    assert capsys.readouterr().out == text
    progress.print_stream(api, RUN, "stdout", step, 0.01, as_json=True)
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == ([text] if text else [])
    progress.print_stream(api, RUN, "stdout", step, None, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"ok": True, "run_id": RUN, "stdout": text}


def test_a_queued_run_that_nobody_takes_is_warned_of(
    api: dagster_api.DagsterApi, dagster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    status = {"daemonType": "QUEUED_RUN_COORDINATOR", "healthy": False}
    daemons = {"instance": {"runQueuingSupported": True, "daemonHealth": {"allDaemonStatuses": [status]}}}
    dagster.answers["Daemons"] = daemons
    progress.show(api, runs.Run(RUN, "QUEUED"), {"status": None}, set(), several=False)
    assert "dagster-daemon run" in capsys.readouterr().err

"""`daglab runs` against a real deployment: listing, looking, waiting, reading logs, ending, retrying, comparing."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.long

Run = Callable[..., Any]


@pytest.fixture
def daglab(cli: Run, deployment: Any) -> Run:
    """`daglab(*arguments)` ends as `exit_code` says; the document that it prints."""

    def ran(*arguments: str, exit_code: int = 0, url: str | None = None) -> Any:
        done = cli(*arguments, "--url", url or deployment.url, "--json")
        assert done.exit_code == exit_code, done.stdout + done.stderr
        result = json.loads(done.stdout)
        assert result["ok"] is (exit_code == 0)
        return result

    return ran


@pytest.fixture
def text(cli: Run, deployment: Any) -> Run:
    def ran(*arguments: str, exit_code: int = 0) -> str:
        done = cli(*arguments, "--url", deployment.url)
        assert done.exit_code == exit_code, done.stdout + done.stderr
        return str(done.stdout)

    return ran


@pytest.fixture
def launched(daglab: Run) -> Run:
    """Launches a run with a tag of its own; its id and the tag's value."""

    def launch(*arguments: str, exit_code: int = 0) -> tuple[str, str]:
        mark = uuid.uuid4().hex
        result = daglab("run", *arguments, "--tag", f"mark={mark}", exit_code=exit_code)
        return result["runs"][0]["run_id"], mark

    return launch


# --- listing


def test_what_is_listed(daglab: Run, launched: Run) -> None:
    good, mark = launched("--asset-selection", "src/customers")
    [row] = daglab("runs", "list", "--tag", f"mark={mark}")["runs"]
    assert (row["run_id"], row["status"], row["job"], row["location"]) == (good, "SUCCESS", None, "main")
    assert (row["assets"], row["partition"], row["tags"]["mark"]) == (["src/customers"], None, mark)
    assert row["started_at"] < row["ended_at"] <= row["updated_at"]
    assert row["duration_s"] > 0
    for arguments in (
        ["--status", "success"],
        ["--asset", "src/customers"],
        ["--since", "1h"],
        ["--since", row["started_at"]],
        ["--limit", "1"],
    ):
        assert [each["run_id"] for each in daglab("runs", "list", "--tag", f"mark={mark}", *arguments)["runs"]] == [
            good
        ]
    for arguments in (["--status", "failure"], ["--asset", "orders"], ["--since", "2100-01-01"], ["--job", "op_job"]):
        assert daglab("runs", "list", "--tag", f"mark={mark}", *arguments)["runs"] == []


def test_a_tag_without_a_value_is_refused(daglab: Run) -> None:
    assert "is not a tag with its value" in daglab("runs", "list", "--tag", "mark", exit_code=2)["error"]["message"]


def test_runs_of_a_job_and_of_a_partition(daglab: Run, launched: Run) -> None:
    run, mark = launched("--job", "part_job", "--partition", "b")
    [row] = daglab("runs", "list", "--job", "part_job", "--tag", f"mark={mark}")["runs"]
    assert (row["run_id"], row["job"], row["partition"], row["assets"]) == (run, "part_job", "b", [])


@pytest.mark.slow
def test_more_than_a_page_of_runs(daglab: Run, launched: Run, monkeypatch: pytest.MonkeyPatch, deployment: Any) -> None:
    """In this process, with small pages; the newest first, none twice."""
    from daglab.deployment import dagster_api, run_records
    from daglab.settings import config

    _, mark = launched("--asset-selection", "raw_orders")
    for _ in range(2):
        daglab("run", "--asset-selection", "raw_orders", "--tag", f"mark={mark}")
    monkeypatch.setattr(run_records, "PAGE", 2)
    api = dagster_api.connect(config.load({"dagster.url": deployment.url}))
    every = [record.id for record in run_records.search(api, tags={"mark": mark})]
    assert len(every) == len(set(every)) == 3
    assert [record.id for record in run_records.search(api, tags={"mark": mark}, limit=2)] == every[:2]
    by_asset = run_records.search(api, tags={"mark": mark}, asset="raw_orders", limit=3)
    assert [record.id for record in by_asset] == every


# --- one run


def test_a_run_in_full(daglab: Run, launched: Run, text: Run) -> None:
    run, _ = launched("--asset-selection", "raw_orders,rich,orders")
    result = daglab("runs", "show", run)
    assert {step["key"]: step["status"] for step in result["steps"]}["rich"] == "SUCCESS"
    made = {each["asset"]: each["metadata"] for each in result["materializations"]}
    assert made["orders"]["row_count"] == 3
    assert (made["rich"]["int"], made["rich"]["text"]) == (2**40, "plain <b>text</b>")
    assert (result["errors"], result["parent"]) == ([], None)
    shown = text("runs", "show", run[:8])
    assert run in shown
    assert "row_count: 3" in shown


def test_a_failed_run_in_full(daglab: Run, launched: Run, text: Run) -> None:
    run, _ = launched("--asset-selection", "failing", exit_code=4)
    result = daglab("runs", "show", f"http://127.0.0.1:1/px/runs/{run}?x=y")
    assert result["errors"] == [{"step": "failing", "error": "ValueError: boom é", "causes": ["KeyError: 'missing'"]}]
    assert "ValueError: boom é (caused by KeyError: 'missing')" in text("runs", "show", run)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("00000000-0000-0000-0000-000000000000", "Dagster does not know the run"),
        ("zzzzzzzz", "begins with zzzzzzzz"),
        ("abc", "is no run's id"),
        ("../../etc", "is no run's id"),
    ],
)
def test_a_run_that_is_not_there(name: str, message: str, daglab: Run) -> None:
    for command in ("show", "wait", "logs", "cancel", "retry"):
        error = daglab("runs", command, name, exit_code=7)["error"]
        assert message in error["message"]
        assert error["hint"]


# --- waiting


@pytest.mark.slow
def test_waiting_for_several(daglab: Run, launched: Run) -> None:
    good, _ = launched("--asset-selection", "raw_orders", "--no-wait")
    bad, _ = launched("--asset-selection", "failing", "--no-wait")
    result = daglab("runs", "wait", good, bad, exit_code=4)
    assert {entry["run_id"]: entry["status"] for entry in result["runs"]} == {good: "SUCCESS", bad: "FAILURE"}
    assert "ValueError: boom é" in result["error"]["message"]
    assert daglab("runs", "wait", good)["runs"][0]["status"] == "SUCCESS"


@pytest.mark.slow
def test_the_time_is_up(daglab: Run, launched: Run) -> None:
    run, _ = launched("--job", "slow_job", "--no-wait")
    result = daglab("runs", "wait", run, "--timeout", "0.5", exit_code=9)
    assert run in result["error"]["message"]
    assert daglab("runs", "cancel", run)["runs"][0]["status"] == "CANCELED"


# --- logs


def test_what_was_logged(daglab: Run, launched: Run, text: Run) -> None:
    run, _ = launched("--asset-selection", "failing,raw_orders", exit_code=4)
    every = daglab("runs", "logs", run)["events"]
    assert next(event for event in every if event["message"] == "reading orders: é")["step"] == "raw_orders"
    assert [event["at"] for event in every] == sorted(event["at"] for event in every)
    warned = daglab("runs", "logs", run, "--step", "failing", "--level", "warning")["events"]
    assert {event["level"] for event in warned} == {"WARNING", "ERROR"}
    assert {event["step"] for event in warned} == {"failing"}
    assert "ValueError: boom é\ncaused by KeyError: 'missing'" in warned[-1]["message"]
    assert "WARNING  failing: about to fail" in text("runs", "logs", run)


def test_what_was_printed(daglab: Run, launched: Run, text: Run) -> None:
    run, _ = launched("--asset-selection", "raw_orders")
    assert text("runs", "logs", run, "--stdout") == "raw_orders writes to stdout\n"
    assert text("runs", "logs", run, "--stdout", "--step", "raw_orders") == "raw_orders writes to stdout\n"
    told = daglab("runs", "logs", run, "--stdout", "--step", "raw_order", exit_code=7)["error"]
    assert (told["message"], told["hint"]) == ("The run has no step raw_order.", "Did you mean raw_orders?")
    assert daglab("runs", "logs", run, "--stdout")["stdout"] == "raw_orders writes to stdout\n"
    assert "reading orders: é" in text("runs", "logs", run, "--stderr")


def test_following_what_is_logged(launched: Run, cli: Run, deployment: Any) -> None:
    run, _ = launched("--job", "slow_job", "--config-yaml", "ops: {slow_op: {config: {seconds: 3}}}", "--no-wait")
    done = cli("runs", "logs", run, "--follow", "--json", "--url", deployment.url)
    assert done.exit_code == 0, done.stderr
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert kinds.index("RUN_STARTING") < kinds.index("STEP_START") < kinds.index("RUN_SUCCESS")
    assert len([kind for kind in kinds if kind == "RUN_SUCCESS"]) == 1


# --- ending


def test_a_run_is_cancelled_through_its_start(daglab: Run, launched: Run) -> None:
    run, _ = launched("--job", "slow_job", "--no-wait")
    [entry] = daglab("runs", "cancel", run)["runs"]
    assert (entry["run_id"], entry["status"], entry["marked"]) == (run, "CANCELED", False)
    assert daglab("runs", "cancel", run)["runs"][0]["status"] == "CANCELED"  # it is what was wanted


@pytest.mark.slow
def test_a_run_that_has_ended_is_not_cancelled(daglab: Run, launched: Run) -> None:
    run, _ = launched("--asset-selection", "raw_orders")
    result = daglab("runs", "cancel", run, exit_code=4)
    assert f"{run} (SUCCESS)" in result["error"]["message"]


@pytest.mark.slow
def test_a_run_is_marked_at_once(daglab: Run, launched: Run) -> None:
    run, _ = launched("--job", "slow_job", "--no-wait")
    [entry] = daglab("runs", "cancel", run, "--force")["runs"]
    assert (entry["status"], entry["marked"]) == ("CANCELED", True)


@pytest.mark.parametrize(("command", "operation"), [("cancel", "terminateRun"), ("retry", "launchRunReexecution")])
def test_the_sandbox_refuses(command: str, operation: str, daglab: Run, proxy: Any) -> None:
    result = daglab("runs", command, str(uuid.uuid4()), "--sandbox", exit_code=6, url=proxy.url)
    assert operation in result["error"]["message"]
    assert proxy.seen == []


# --- running again


def test_a_failed_run_goes_on_where_it_failed(daglab: Run, launched: Run) -> None:
    run, _ = launched("--job", "fail_job", "--config-yaml", "ops: {may_fail: {config: {fail: true}}}", exit_code=4)
    again = daglab("runs", "retry", run, exit_code=4)["runs"][0]["run_id"]
    assert [step["key"] for step in daglab("runs", "show", again)["steps"]] == ["may_fail"]
    assert daglab("runs", "show", again)["parent"] == run
    whole = daglab("runs", "retry", run, "--all", exit_code=4)["runs"][0]["run_id"]
    assert [step["key"] for step in daglab("runs", "show", whole)["steps"]] == ["prepare", "may_fail"]


@pytest.mark.slow
def test_a_run_that_has_not_failed(daglab: Run, launched: Run) -> None:
    run, _ = launched("--asset-selection", "raw_orders")
    assert "has not failed" in daglab("runs", "retry", run, "--from-failure", exit_code=7)["error"]["message"]
    again = daglab("runs", "retry", run, "--no-wait")["runs"][0]
    assert again["status"] == "LAUNCHED"
    assert daglab("runs", "wait", again["run_id"])["runs"][0]["status"] == "SUCCESS"


def test_a_retry_whose_answer_is_lost_is_found(daglab: Run, launched: Run, proxy: Any) -> None:
    run, _ = launched("--asset-selection", "raw_orders")

    def cut_after(client: socket.socket, forward: Callable[[], bytes]) -> None:
        forward()
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    proxy.faults["Retry"] = cut_after
    again = daglab("runs", "retry", run, url=proxy.url)["runs"][0]
    assert proxy.forwarded.count("Retry") == 1
    assert (again["status"], daglab("runs", "show", again["run_id"])["parent"]) == ("SUCCESS", run)


# --- comparing


@pytest.mark.slow
def test_two_runs_of_one_job(daglab: Run, launched: Run, text: Run) -> None:
    one, _ = launched("--job", "op_job", "--config-yaml", "ops: {one: {config: {n: 1}}}")
    other, _ = launched("--job", "op_job", "--config-yaml", "ops: {one: {config: {n: 2}}}")
    result = daglab("runs", "compare", one, other)
    assert result["status"] == ["SUCCESS", "SUCCESS"]
    assert [line.strip() for line in result["config"] if line[:1] in "+-" and line[1:2] == " "] == [
        "-      n: 1",
        "+      n: 2",
    ]
    assert [step["key"] for step in result["steps"]] == ["one", "two"]
    for step in result["steps"]:
        assert step["ratio"] == pytest.approx(step["duration_s"][1] / step["duration_s"][0])
    shown = text("runs", "compare", one, other)
    assert "+      n: 2" in shown
    assert "same run" in daglab("runs", "compare", one, one, exit_code=2)["error"]["message"]


@pytest.mark.slow
def test_what_they_made(daglab: Run, launched: Run) -> None:
    one, _ = launched("--asset-selection", "raw_orders,orders")
    other, _ = launched("--asset-selection", "src/customers")
    changes = {
        (each["asset"], each["label"]): each["values"] for each in daglab("runs", "compare", one, other)["metadata"]
    }
    assert changes["orders", "row_count"] == [3, None]


# --- settling


@pytest.mark.slow
def test_a_launch_is_settled(daglab: Run, launched: Run) -> None:
    """A retry has the tag of the run that it repeats; it is not the one that was launched."""
    run, _ = launched("--asset-selection", "raw_orders")
    launch_id = daglab("runs", "show", run)["tags"]["daglab/launch_id"]
    daglab("runs", "retry", run)
    result = daglab("runs", "settle", launch_id)
    assert (result["launch"], [entry["run_id"] for entry in result["runs"]]) == ("found", [run])


def test_a_launch_that_made_no_run(daglab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGLAB_DAGSTER__GRAPHQL__TIMEOUT", "2")
    result = daglab("runs", "settle", str(uuid.uuid4()), exit_code=4)
    assert (result["launch"], result["runs"]) == ("none", [])


@pytest.mark.slow
def test_what_is_no_launch_is_not_called_one_that_made_nothing(daglab: Run, launched: Run) -> None:
    """Its hint would be to launch it again."""
    run, _ = launched("--asset-selection", "raw_orders")
    assert "is the id of a run" in daglab("runs", "settle", run, exit_code=7)["error"]["message"]
    for text in (run[:8], "x y"):
        assert "is no launch's id" in daglab("runs", "settle", text, exit_code=7)["error"]["message"]


def test_stopping_to_follow_leaves_the_run_alone(launched: Run, daglab: Run, deployment: Any) -> None:
    run, _ = launched("--job", "slow_job", "--no-wait")
    command = [sys.executable, "-m", "daglab", "runs", "logs", run, "--follow", "--url", deployment.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert daglab("runs", "show", run)["status"] in ("STARTING", "STARTED")
    daglab("runs", "cancel", run)

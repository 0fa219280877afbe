"""`daglab run` against a real deployment: the truth about each run, and never two for one."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, processes
from daglab.commands.run import command
from daglab.deployment import dagster_api, runs
from daglab.launching import launches, targets
from daglab.settings import config
from tests import tiers

pytestmark = pytest.mark.long

TAGS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status jobName tags { key value } } } }"
BY_TAG = """query($id: String!) { runsOrError(filter: { tags: [{ key: "daglab/launch_id", value: $id }] }) {
  ... on Runs { results { runId } } } }"""
CONFIG = "query($id: ID!) { runOrError(runId: $id) { ... on Run { runConfigYaml } } }"
MATERIALIZED = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
  ... on MaterializationEvent { assetKey { path } partition } } } } }"""
Run = Callable[..., Any]


@pytest.fixture
def run(cli: Run, deployment: Any) -> Run:
    def ran(*arguments: str, url: str | None = None, **more: Any) -> Any:
        return cli("run", "--url", url or deployment.url, *arguments, **more)

    return ran


@pytest.fixture
def document(run: Run) -> Run:
    """Run with --json: the exit code is as expected, and so says the document."""

    def ran(*arguments: str, exit_code: int = 0, **more: Any) -> Any:
        done = run("--json", *arguments, **more)
        assert done.exit_code == exit_code, done.stdout + done.stderr
        result = json.loads(done.stdout)
        assert result["ok"] is (exit_code == 0)
        assert result.get("error", {}).get("exit_code", 0) == exit_code
        assert exit_code == 0 or result["error"]["hint"]
        return result

    return ran


@pytest.fixture
def refusal(proxy: Any) -> Run:
    """Run in this process, which is quicker; the error that ends it. Nothing is launched."""

    def of(*arguments: str) -> errors.DaglabError:
        with pytest.raises(errors.DaglabError) as caught:
            command.main(["--url", proxy.url, *arguments], standalone_mode=False)
        assert "Launch" not in proxy.seen
        return caught.value

    return of


@pytest.fixture
def tags(graphql: Run) -> Run:
    def of(run_id: str) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in graphql(TAGS, id=run_id)["runOrError"]["tags"]}

    return of


@pytest.fixture
def materialized(graphql: Run) -> Run:
    def of(run_id: str) -> set[tuple[str, str | None]]:
        events = graphql(MATERIALIZED, id=run_id)["logsForRun"]["events"]
        return {("/".join(each["assetKey"]["path"]), each["partition"]) for each in events if each}

    return of


# --- runs that succeed


def test_assets(document: Run, tags: Run, materialized: Run, deployment: Any) -> None:
    """One of each make: a long key, an odd one, two keys of one op, a graph of ops."""
    keys = ["src/customers", "odd-key/v1.2", "left", "right", "tea"]
    result = document("--asset-selection", ",".join(keys))
    assert list(result) == ["ok", "launch_id", "runs"]
    [entry] = result["runs"]
    assert entry["status"] == "SUCCESS"
    assert entry["assets"] == keys
    assert (entry["job"], entry["partition"], entry["errors"]) == (None, None, [])
    assert entry["url"] == f"{deployment.url}/runs/{entry['run_id']}"
    assert entry["started_at"].endswith("+00:00")
    assert entry["started_at"] < entry["ended_at"]
    assert entry["duration_s"] > 0
    steps = ["src__customers", "odd_key__v1_2", "both_sides", "tea.boil", "tea.pour"]
    assert {step["key"]: step["status"] for step in entry["steps"]} == dict.fromkeys(steps, "SUCCESS")
    assert materialized(entry["run_id"]) == {(key, None) for key in keys}
    assert tags(entry["run_id"])["daglab/launch_id"] == result["launch_id"]


def test_one_key_of_two_that_one_op_makes(run: Run) -> None:
    done = run("--asset-selection", "left")
    assert done.exit_code == 7
    assert "Dagster says" in done.stderr
    assert "right" in done.stderr


def test_a_job_with_config_from_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("ops:\n  one:\n    config:\n      n: 3\n      name: 2026-11-01\n")
    done = run("--job", "op_job", "--run-config", "config.yaml")
    assert done.exit_code == 0, done.stderr
    assert re.fullmatch(r"[0-9a-f-]{36} SUCCESS\n", done.stdout)
    assert re.search(r"^Launched [0-9a-f-]{36}: http://", done.stderr)
    assert "  one: done\n" in done.stderr
    assert "  two: done\n" in done.stderr


def test_a_job_with_config_from_standard_input(document: Run, tags: Run, graphql: Run) -> None:
    config = {"ops": {"one": {"config": {"n": 3}}}}
    given = ["--run-config", "-", "--tag", "team=é = <b>", "--tag", "bad key !="]
    [entry] = document("--job", "op_job", "--no-wait", *given, input=json.dumps(config))["runs"]
    assert entry["job"] == "op_job"
    found = tags(entry["run_id"])
    assert (found["kind"], found["team"], found["bad key !"]) == ("op", "é = <b>", "")
    assert "n: 3" in graphql(CONFIG, id=entry["run_id"])["runOrError"]["runConfigYaml"]


def test_a_failing_check_is_not_called_a_success_of_more_than_the_run(run: Run) -> None:
    """Dagster calls the run a success, and so does the exit code; nothing says that the check has passed."""
    done = run("--asset-selection", "suspicious")
    assert done.exit_code == 0
    assert done.stdout.endswith(" SUCCESS\n")
    assert "pass" not in done.stderr
    assert "success" not in done.stderr.replace("SUCCESS", "")


def test_not_waiting(document: Run, graphql: Run, tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    [entry] = document("--asset-pattern", "raw_*", "--no-wait")["runs"]
    assert (entry["status"], entry["assets"]) == ("LAUNCHED", ["raw_orders"])
    assert (entry["started_at"], entry["ended_at"], entry["steps"]) == (None, None, [])
    assert graphql(TAGS, id=entry["run_id"])["runOrError"]["status"] in ("STARTING", "STARTED", "SUCCESS")
    [log] = (tmp_path / ".daglab" / "events").iterdir()
    event = json.loads(log.read_text())
    assert (event["command"], event["target"], event["ok"]) == ("run", "asset:raw_*", True)
    assert event["runs"] == [entry["run_id"]]


# --- partitions


@pytest.mark.parametrize(
    ("asset", "key"), tiers.few([("daily", "2026-11-02"), ("regional", "asia pacific")], [("regional", "asia pacific")])
)
def test_a_partition_of_an_asset(asset: str, key: str, document: Run, tags: Run) -> None:
    [entry] = document("--asset-selection", asset, "--partition", key, "--no-wait")["runs"]
    assert entry["partition"] == key
    assert tags(entry["run_id"])["dagster/partition"] == key


@pytest.mark.slow
def test_a_partition_of_several_dimensions(document: Run, tags: Run, materialized: Run) -> None:
    [entry] = document("--asset-selection", "daily_regional", "--partition", "2026-11-01|eu")["runs"]
    assert entry["status"] == "SUCCESS"
    assert materialized(entry["run_id"]) == {("daily_regional", "2026-11-01|eu")}
    found = tags(entry["run_id"])
    assert (found["dagster/partition/day"], found["dagster/partition/region"]) == ("2026-11-01", "eu")


@pytest.mark.parametrize(
    ("job", "key", "config"),
    tiers.few([("part_job", "b", "letter: b"), ("daily_job", "2026-11-03", "{}")], [("part_job", "b", "letter: b")]),
)
def test_a_partition_of_a_job(job: str, key: str, config: str, document: Run, tags: Run, graphql: Run) -> None:
    """With the run config that the job's own code makes of it."""
    [entry] = document("--job", job, "--partition", key, "--no-wait")["runs"]
    assert tags(entry["run_id"])["dagster/partition"] == key
    assert config in graphql(CONFIG, id=entry["run_id"])["runOrError"]["runConfigYaml"]


# --- a selection, and what takes several runs


@pytest.mark.slow
def test_a_selection_through_two_locations(document: Run, materialized: Run, graphql: Run) -> None:
    """`reorders` needs `orders` of the other location: its run begins when that one has ended."""
    result = document("--select", "orders, key:inventory+")
    first, second = result["runs"]
    assert (first["location"], first["assets"]) == ("main", ["orders"])
    assert (second["location"], sorted(second["assets"])) == ("second", ["inventory", "reorders"])
    assert first["ended_at"] < second["started_at"]
    assert {entry["status"] for entry in result["runs"]} == {"SUCCESS"}
    for entry in result["runs"]:
        assert materialized(entry["run_id"]) == {(key, None) for key in entry["assets"]}


def test_each_way_to_partition_has_to_have_the_partition(document: Run) -> None:
    result = document("--select", "key:daily or key:regional", "--partition", "2026-11-01", exit_code=7)
    assert "regional has no partition" in result["error"]["message"]


@pytest.mark.slow
def test_what_is_not_partitioned_goes_along(document: Run) -> None:
    result = document("--select", "key:failing or key:daily", "--partition", "2026-11-01", exit_code=4)
    assert [sorted(entry["assets"]) for entry in result["runs"]] == [["daily", "failing"]]


@pytest.mark.parametrize(
    "target",
    [
        *(["--job", job] for job in ("op_job", "fail_job", "slow_job", "mart_job")),
        ["--job", "shared_job", "--location", "second"],
        ["--select", "key:slow or key:tea or key:inventory or key:failing"],
        ["--asset-selection", "orders,rich"],
    ],
)
def test_the_skeleton_of_run_config_is_valid(target: list[str], run: Run, document: Run) -> None:
    done = run(*target, "--print-config")
    assert done.exit_code == 0, done.stderr
    assert document(*target, "--print-config")["config"] == done.stdout
    document(*target, "--validate-only", "--config-yaml", done.stdout)


def test_config_for_an_asset_that_is_not_selected(document: Run) -> None:
    config = "ops: {slow: {config: {seconds: 1}}}"
    result = document("--asset-selection", "orders", "--config-yaml", config, exit_code=7)
    assert result["error"]["code"] == "invalid_input"
    assert result["errors"][0]["path"] == ["ops", "slow"]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--asset-selection", "daily"], "daily is partitioned, and no partition is named", "--partition"),
        (
            ["--asset-selection", "daily", "--partition", "2026-11-22"],
            "daily has no partition 2026-11-22",
            "It has 5: 2026-11-01 to 2026-11-05",
        ),
        (["--asset-selection", "orders", "--partition", "eu"], "orders is not partitioned", "Leave --partition out"),
        (["--asset-selection", "coloured", "--partition", "red"], "coloured has no partitions yet", "Add one"),
        (
            ["--asset-selection", "daily,regional", "--partition", "eu"],
            "daily has no partition eu",
            "It has 5",
        ),
        (["--job", "part_job"], "part_job is partitioned, and no partition is named", "--partition"),
        (["--job", "part_job", "--partition", "d"], "part_job has no partition d", "It has 3: a to c"),
        (["--job", "slow_job", "--partition", "a"], "slow_job is not partitioned", "Leave --partition out"),
    ],
)
def test_a_wrong_partition(arguments: list[str], message: str, hint: str, refusal: Run) -> None:
    error = refusal(*arguments)
    assert error.exit_code == 7
    assert message in error.message
    assert hint in error.hint


# --- runs that fail


@pytest.mark.slow
def test_a_failing_asset(document: Run) -> None:
    result = document("--asset-selection", "failing,after_failing", exit_code=4)
    [entry] = result["runs"]
    assert (entry["status"], result["error"]["code"]) == ("FAILURE", "not_good")
    assert entry["errors"] == [{"step": "failing", "error": "ValueError: boom é", "causes": ["KeyError: 'missing'"]}]
    assert {step["key"]: step["status"] for step in entry["steps"]}["failing"] == "FAILURE"
    assert result["error"]["hint"] == f"See {entry['url']}"


def test_a_failing_job(run: Run) -> None:
    config = "ops: {may_fail: {config: {fail: true}}}"
    done = run("--job", "fail_job", "--run-config", "-", input=config)
    assert (done.exit_code, done.stdout) == (4, "")
    assert "ended as FAILURE." in done.stderr
    assert "  may_fail: ValueError: boom é (caused by KeyError: 'missing')" in done.stderr
    assert "  prepare: done" in done.stderr
    assert "  may_fail: failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failed_run_stays_failed_when_its_reasons_can_not_be_read(document: Run, proxy: Any) -> None:
    proxy.faults["Failures"] = lambda client, _forward: client.sendall(b"HTTP/1.1 404 Gone\r\n\r\n")
    config = "ops: {may_fail: {config: {fail: true}}}"
    result = document("--job", "fail_job", "--run-config", "-", input=config, exit_code=4, url=proxy.url)
    assert (result["runs"][0]["status"], result["runs"][0]["errors"]) == ("FAILURE", [])
    assert "ended as FAILURE" in result["error"]["message"]


# --- what is refused before anything is launched


@pytest.mark.parametrize(
    ("arguments", "config", "message", "hint"),
    [
        (["--job", "op_job"], None, 'Missing required config entry "ops"', "--run-config"),
        (["--job", "op_job"], "ops: {one: {config: {n: many}}}", "at ops.one.config.n: ", "--run-config"),
        (["--job", "op_job"], "ops: {one: {config: {n: 1, m: 2}}}", "at ops.one.config: ", "--run-config"),
        (["--job", "op_job"], "- a list", "is a list, not a mapping", "`ops:`"),
        (["--asset-selection", "ordrs"], None, "There is no asset ordrs", "Did you mean orders"),
        (["--asset-selection", "xyzzy"], None, "There is no asset xyzzy", "daglab discover --filter assets"),
        (["--job", "op_jbo"], None, "There is no job op_jbo", "Did you mean op_job"),
        (["--asset-selection", "prices"], None, "prices can't be materialized", "downstream"),
        (["--asset-selection", "outer space/größe <b>&"], None, "can't be materialized", "downstream"),
        (["--job", "shared_job"], None, "__repository__ in main, __repository__ in second", "--location"),
        (["--job", "op_job", "--location", "second"], None, "is not in the place asked for, but in", "--location"),
    ],
)
def test_refused(arguments: list[str], config: str | None, message: str, hint: str, refusal: Run) -> None:
    error = refusal(*arguments, *([] if config is None else ["--config-yaml", config]))
    assert error.exit_code == 7
    assert message in error.message
    assert hint in error.hint


def test_all_that_is_wrong_is_told_at_once(document: Run, proxy: Any) -> None:
    config = "ops: {one: {config: {m: 1}}, three: {}, two: 3}"
    result = document("--job", "op_job", "--config-yaml", config, "--validate-only", exit_code=7, url=proxy.url)
    found = {(".".join(each["path"]), each["reason"]): each for each in result["errors"]}
    missing = found["ops.one.config", "MISSING_REQUIRED_FIELD"]
    assert missing["example"] == {"ops": {"one": {"config": {"n": 0}}}}
    assert 'entry "n"' in missing["message"]
    unknown = found["ops.one.config", "FIELD_NOT_DEFINED"]
    assert unknown["expected"].startswith("{ n: (Int | ")
    assert unknown["expected"] not in unknown["message"]
    assert ("ops", "FIELD_NOT_DEFINED") in found
    assert ("ops.two", "RUNTIME_TYPE_MISMATCH") in found
    assert result["error"]["hint"].endswith("ops:\n  one:\n    config:\n      n: 0")
    assert set(proxy.seen) == {"Workspace", "Validate"}
    assert document("--job", "fail_job", "--validate-only", url=proxy.url)["errors"] == []
    assert "Launch" not in proxy.seen


def test_what_the_broken_location_holds_is_not_known(document: Run) -> None:
    error = document("--job", "of_the_broken_location", exit_code=7)["error"]
    assert "what broken holds is not loaded" in error["hint"]


def test_a_config_file_that_is_not_there(run: Run) -> None:
    done = run("--job", "op_job", "--run-config", "nowhere.yaml")
    assert done.exit_code in (3, 7)
    assert "nowhere.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_location_decides_between_two_jobs(document: Run, graphql: Run) -> None:
    [entry] = document("--job", "shared_job", "--location", "second", "--no-wait")["runs"]
    query = """query($id: ID!) { runOrError(runId: $id) { ... on Run {
      repositoryOrigin { repositoryLocationName } } } }"""
    assert graphql(query, id=entry["run_id"])["runOrError"]["repositoryOrigin"]["repositoryLocationName"] == "second"


# --- the end of the waiting


def seconds(number: float) -> str:
    return json.dumps({"ops": {"slow_op": {"config": {"seconds": number}}}})


@pytest.mark.slow
def test_the_time_is_up(document: Run, graphql: Run) -> None:
    arguments = ["--job", "slow_job", "--run-config", "-", "--timeout", "0.1"]
    result = document(*arguments, exit_code=9, input=seconds(3))
    [entry] = result["runs"]
    assert entry["status"] in ("STARTING", "STARTED")
    assert entry["run_id"] in result["error"]["message"]
    assert "--timeout" in result["error"]["hint"]
    assert graphql(TAGS, id=entry["run_id"])["runOrError"]["status"] in ("STARTING", "STARTED", "SUCCESS")


def test_the_time_is_up_and_the_run_is_cancelled(document: Run, graphql: Run, proxy: Any) -> None:
    """It is starting when the time is up: Dagster can't be asked to end it before it has started."""
    arguments = ["--job", "slow_job", "--run-config", "-", "--timeout", "0.01", "--cancel-on-timeout"]
    result = document(*arguments, exit_code=9, input=seconds(60), url=proxy.url)
    [entry] = result["runs"]
    assert (result["cancelled"], entry["status"], result["error"]["code"]) == (True, "CANCELED", "timed_out")
    assert entry["ended_at"]
    assert graphql(TAGS, id=entry["run_id"])["runOrError"]["status"] == "CANCELED"
    assert proxy.seen.count("Terminate") == 1


def test_a_deployment_that_does_not_queue(graphql: Run) -> None:
    assert runs.parse_daemons(graphql(runs.DAEMONS_QUERY))[0] is False


@pytest.mark.parametrize(("number", "exit_code"), tiers.STOPS)
def test_stopping_to_wait_leaves_the_run_alone(
    number: signal.Signals, exit_code: int, deployment: Any, graphql: Run, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(seconds(3))
    daglab = [sys.executable, "-m", "daglab", "run", "--url", deployment.url, "--job", "slow_job", "--json"]
    with subprocess.Popen(
        [*daglab, "--run-config", "config.json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        launched = process.stderr.readline()
        assert launched.startswith("Launched ")
        assert process.stderr.readline().strip() in ("STARTING", "STARTED")  # it waits now
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == exit_code, stderr
    assert "Traceback" not in stderr
    result = json.loads(stdout)
    run_id = result["runs"][0]["run_id"]
    assert run_id in launched
    assert (result["ok"], result["error"]["exit_code"], result["error"]["code"]) == (False, exit_code, "interrupted")
    assert f"the run {run_id} goes on" in result["error"]["message"]
    assert graphql(TAGS, id=run_id)["runOrError"]["status"] in ("STARTING", "STARTED", "SUCCESS")


def test_stopping_in_the_middle_of_the_launch(proxy: Any, graphql: Run) -> None:
    def hold(_client: socket.socket, forward: Callable[[], bytes]) -> None:
        forward()
        proxy.over.wait(60)

    proxy.faults["Launch"] = hold
    daglab = [sys.executable, "-m", "daglab", "run", "--url", proxy.url, "--asset-selection", "raw_orders", "--json"]
    with subprocess.Popen(daglab, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        proxy.wait_until(lambda: "Launch" in proxy.forwarded)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    result = json.loads(stdout)
    assert (result["launch"], result["runs"][0]["run_id"]) == ("unknown", None)
    assert result["launch_id"] in result["error"]["hint"]
    assert len(made(graphql, result["launch_id"])) <= 1


# --- faults on the way: exactly one run, or the id that tells later


def made(graphql: Run, launch_id: str) -> list[str]:
    """The runs that carry this launch's tag."""
    return [each["runId"] for each in graphql(BY_TAG, id=launch_id)["runsOrError"]["results"]]


def cut_before(_proxy: Any, _client: socket.socket, _forward: Callable[[], bytes]) -> None:
    """Read the request, and close."""


def cut_after(_proxy: Any, _client: socket.socket, forward: Callable[[], bytes]) -> None:
    forward()


def garble(_proxy: Any, client: socket.socket, forward: Callable[[], bytes]) -> None:
    head, _, body = forward().partition(b"\r\n\r\n")
    client.sendall(head + b"\r\n\r\n" + bytes(byte ^ 0x55 for byte in body))


def hold_answer(proxy: Any, _client: socket.socket, forward: Callable[[], bytes]) -> None:
    forward()
    proxy.over.wait(60)


def forward_late(proxy: Any, _client: socket.socket, forward: Callable[[], bytes]) -> None:
    """The request reaches Dagster when daglab has given up on its answer and asks for the run."""
    proxy.wait_until(lambda: "RunByTag" in proxy.seen)
    forward()


FAULTS = {
    "cut after forwarding": cut_after,
    "garbled": garble,
    "no answer in time": hold_answer,
    "forwarded late": forward_late,
}


def inject(proxy: Any, operation: str, fault: Callable[..., None]) -> None:
    proxy.faults[operation] = lambda client, forward: fault(proxy, client, forward)


def impatient(number: float) -> dict[str, str]:
    return {"DAGLAB_DAGSTER__GRAPHQL__TIMEOUT": str(number)}


@pytest.mark.parametrize("name", tiers.few(FAULTS, ["no answer in time", "cut after forwarding"]))
def test_a_launch_whose_answer_is_lost_is_found(name: str, document: Run, graphql: Run, tags: Run, proxy: Any) -> None:
    inject(proxy, "Launch", FAULTS[name])
    wait = 4 if name in ("no answer in time", "forwarded late") else 30
    arguments = ["--asset-selection", "raw_orders", "--no-wait"]
    [entry] = document(*arguments, url=proxy.url, env=impatient(wait))["runs"]
    launch_id = tags(entry["run_id"])["daglab/launch_id"]
    assert made(graphql, launch_id) == [entry["run_id"]]
    assert proxy.seen.count("Launch") == 1
    assert "RunByTag" in proxy.seen


def test_a_launch_that_never_arrives(document: Run, graphql: Run, proxy: Any) -> None:
    inject(proxy, "Launch", cut_before)
    result = document("--asset-selection", "raw_orders", exit_code=5, url=proxy.url, env=impatient(2))
    assert (result["launch"], result["runs"], result["error"]["code"]) == ("unknown", [], "outcome_unknown")
    assert result["launch_id"] in result["error"]["hint"]
    assert made(graphql, result["launch_id"]) == []
    assert proxy.seen.count("Launch") == 1


@pytest.mark.slow
def test_a_launch_that_arrives_when_daglab_has_given_up(document: Run, graphql: Run, proxy: Any) -> None:
    """The id that was told finds the run later."""

    def forward_after_all(proxy: Any, _client: socket.socket, forward: Callable[[], bytes]) -> None:
        proxy.over.wait(60)
        forward()
        proxy.note(proxy.seen, "done")

    inject(proxy, "Launch", forward_after_all)
    result = document("--asset-selection", "raw_orders", exit_code=5, url=proxy.url, env=impatient(2))
    assert result["launch"] == "unknown"
    proxy.over.set()
    proxy.wait_until(lambda: "done" in proxy.seen)
    assert len(made(graphql, result["launch_id"])) == 1


@pytest.mark.slow
def test_a_lost_launch_and_a_look_up_that_fails(document: Run, graphql: Run, proxy: Any) -> None:
    inject(proxy, "Launch", cut_after)
    inject(proxy, "RunByTag", cut_before)
    env = {**impatient(2), "DAGLAB_DAGSTER__GRAPHQL__MAX_RETRIES": "0"}
    result = document("--asset-selection", "raw_orders", exit_code=5, url=proxy.url, env=env)
    assert result["launch"] == "unknown"
    assert "Asking for the run failed, too" in result["error"]["message"]
    assert len(made(graphql, result["launch_id"])) == 1
    assert proxy.seen.count("Launch") == 1


def test_looks_that_break_off_are_made_again(document: Run, proxy: Any) -> None:
    def once(proxy: Any, _client: socket.socket, _forward: Callable[[], bytes]) -> None:
        proxy.faults.clear()

    inject(proxy, "Status", once)
    [entry] = document("--asset-selection", "raw_orders", url=proxy.url)["runs"]
    assert entry["status"] == "SUCCESS"


@pytest.mark.slow
def test_a_deployment_that_goes_away_while_daglab_waits(document: Run, graphql: Run, proxy: Any) -> None:
    inject(proxy, "Status", cut_before)
    result = document("--asset-selection", "raw_orders", exit_code=5, url=proxy.url)
    [entry] = result["runs"]
    assert result["error"]["code"] == "unreachable"
    assert graphql(TAGS, id=entry["run_id"])["runOrError"]["status"] in ("STARTING", "STARTED", "SUCCESS")


def test_a_deployment_that_is_not_there(document: Run) -> None:
    url = f"http://127.0.0.1:{processes.find_free_port()}"
    result = document("--asset-selection", "raw_orders", exit_code=5, url=url)
    assert list(result) == ["ok", "error"]
    assert "connection refused" in result["error"]["message"]


@pytest.mark.slow
def test_twenty_launches_with_random_faults(proxy: Any, graphql: Run) -> None:
    """Cut off before or after it was forwarded, garbled, or forwarded late: never two runs, never a lie."""
    dice = random.Random(11)
    late: list[threading.Thread] = []

    def much_later(_proxy: Any, client: socket.socket, forward: Callable[[], bytes]) -> None:
        thread = threading.Thread(target=lambda: (time.sleep(dice.choice((0.5, 4))), forward()))
        thread.start()
        late.append(thread)
        client.shutdown(socket.SHUT_RDWR)

    api = dagster_api.connect(config.load({"dagster.url": proxy.url, "dagster.graphql.timeout": 3.0}))
    target = targets.Target("__ASSET_JOB", "__repository__", "main", (("raw_orders",),))
    told: dict[str, str | None] = {}
    for _ in range(20):
        launch_id = str(uuid.uuid4())
        inject(proxy, "Launch", dice.choice((cut_before, cut_after, garble, much_later)))
        try:
            told[launch_id] = launches.launch(api, target, {}, {}, launch_id=launch_id).id
        except errors.OutcomeUnknown as unknown:
            told[launch_id] = None
            assert unknown.result == {"launch": "unknown", "launch_id": launch_id, "runs": []}  # noqa: PT017
    for thread in late:
        thread.join()
    for launch_id, run_id in told.items():
        there = made(graphql, launch_id)
        assert len(there) <= 1
        assert run_id in (None, *there)
        found = launches.by_tag(api, launch_id)
        assert (found.id if found else None) == next(iter(there), None)

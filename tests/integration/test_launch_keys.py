"""The same launch, given again and by two hosts at once: there is one run, and it is told how it ended."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from daglab import errors
from daglab.launching import launch_keys

pytestmark = pytest.mark.long

Run = Callable[..., Any]


@pytest.fixture
def daglab(cli: Run, deployment: Any) -> Run:
    def ran(*arguments: str, exit_code: int = 0) -> Any:
        done = cli(*arguments, "--url", deployment.url, "--json")
        assert done.exit_code == exit_code, done.stdout + done.stderr
        return json.loads(done.stdout)

    return ran


@pytest.fixture
def key() -> str:
    return f"nightly é {uuid.uuid4().hex}"


def runs_of(daglab: Run, key: str) -> list[str]:
    return [each["status"] for each in daglab("runs", "list", "--tag", f"daglab/launch_key={key}")["runs"]]


def test_a_command_that_is_repeated_makes_one_run(daglab: Run, key: str) -> None:
    command = ["run", "--asset-selection", "raw_orders", "--launch-key", key]
    [first], [second], [third] = (daglab(*command)["runs"] for command in (command, command, [*command, "--no-wait"]))
    assert (first["existing"], second["existing"], third["existing"]) == (False, True, True)
    assert first["run_id"] == second["run_id"] == third["run_id"]
    assert (second["status"], third["status"]) == ("SUCCESS", "SUCCESS")
    assert runs_of(daglab, key) == ["SUCCESS"]


@pytest.mark.slow
def test_one_that_failed_is_not_launched_again_until_it_is_said(daglab: Run, key: str) -> None:
    command = ["run", "--asset-selection", "failing", "--launch-key", key]
    [first] = daglab(*command, exit_code=4)["runs"]
    for more in ([], ["--no-wait"]):
        result = daglab(*command, *more, exit_code=4)
        assert (result["runs"][0]["run_id"], result["runs"][0]["existing"]) == (first["run_id"], True)
        assert "--relaunch-failed" in result["error"]["hint"]
        assert result["runs"][0]["errors"][0]["step"] == "failing"
    [again] = daglab(*command, "--relaunch-failed", exit_code=4)["runs"]
    assert again["run_id"] != first["run_id"]
    assert runs_of(daglab, key) == ["FAILURE", "FAILURE"]


def test_two_hosts_at_once(daglab: Run, key: str, deployment: Any) -> None:
    """The older run wins, the younger is cancelled, and both commands tell the end of the older one."""
    config = "ops: {slow_op: {config: {seconds: 4}}}"
    command = [
        "run",
        "--job",
        "slow_job",
        "--config-yaml",
        config,
        "--launch-key",
        key,
        "--url",
        deployment.url,
        "--json",
    ]
    started = [
        subprocess.Popen([sys.executable, "-m", "daglab", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    results = [json.loads(process.communicate(timeout=200)[0]) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len({result["runs"][0]["run_id"] for result in results}) == 1
    assert [result["runs"][0]["status"] for result in results] == ["SUCCESS"] * 3
    statuses = runs_of(daglab, key)
    assert statuses[-1] == "SUCCESS"
    assert set(statuses[:-1]) <= {"CANCELED"}


@pytest.mark.slow
def test_a_backfill_that_is_repeated(daglab: Run, key: str) -> None:
    command = ["run", "--job", "part_job", "--partitions", "a,b", "--launch-key", key]
    first, second = daglab(*command)["backfill"], daglab(*command)["backfill"]
    assert (first["existing"], second["existing"]) == (False, True)
    assert first["backfill_id"] == second["backfill_id"]


@pytest.mark.slow
def test_several_runs_have_a_key_each(daglab: Run, key: str) -> None:
    command = ["run", "--select", "raw_orders, key:inventory", "--launch-key", key]
    first, second = ([run["run_id"] for run in daglab(*command)["runs"]] for _ in range(2))
    assert first == second
    assert len(set(first)) == 2


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_what_is_no_key(name: str) -> None:
    with pytest.raises(errors.WrongUsage, match="A launch key is text"):
        launch_keys.read(name, relaunches=False)


def test_relaunching_needs_a_key() -> None:
    with pytest.raises(errors.WrongUsage, match="--relaunch-failed is for a launch with a key"):
        launch_keys.read(None, relaunches=True)
    assert launch_keys.read(None, relaunches=False) is None

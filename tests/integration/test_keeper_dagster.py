"""The keeper with what it is for: a `dagster dev` in the middle of a run, whose supervisor is killed."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import processes

pytestmark = pytest.mark.long

MARK = "TEST_KEEPER_MARK"
SETTINGS = """
telemetry:
  enabled: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: DefaultRunCoordinator
"""
DEFINITIONS = """
import subprocess, sys, time
from dagster import Definitions, job, op

CHILD = "import pathlib, time; pathlib.Path('in_flight').touch(); time.sleep(600)"

@op
def sleeper():
    subprocess.Popen([sys.executable, "-c", CHILD], start_new_session=True)
    time.sleep(600)

@job
def long_job():
    sleeper()

defs = Definitions(jobs=[long_job])
"""
SUPERVISOR = """
import signal, sys
from pathlib import Path
from daglab import processes

command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", sys.argv[1], "-f", "defs.py"]
with processes.keeper() as kept:
    processes.start(kept, processes.Service("dagster", command, None, None, Path("dagster.log")))
    signal.pause()
"""
RUN_STATUS = """
import sys
from dagster import DagsterInstance

with DagsterInstance.get() as instance:
    print(instance.get_run_by_id(sys.argv[1]).status.value)
"""
LAUNCH = """mutation ($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }"""
STEPS = """query ($id: ID!) { runOrError(runId: $id) { ... on Run { status
  stepStats { stepKey status } } } }"""


@pytest.fixture
def mark() -> Iterator[str]:
    """The value of a variable that the processes of one test carry; those that outlive it are killed."""
    value = uuid.uuid4().hex
    yield value
    for pid in marked(value):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def environ(tmp_path: Path, mark: str) -> dict[str, str]:
    home = tmp_path / "dagster_home"
    home.mkdir()
    (home / "dagster.yaml").write_text(SETTINGS)
    (tmp_path / "defs.py").write_text(DEFINITIONS)
    root = Path(processes.__file__).parents[1]
    return {**os.environ, MARK: mark, "DAGSTER_HOME": str(home), "PYTHONPATH": str(root)}


def marked(value: str) -> dict[int, str]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={value}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            pass
    return found


def wait_until(condition: Callable[[], object], what: str, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/server_info", timeout=10).ok
    except requests.RequestException:
        return False


def ask(url: str, query: str, **variables: Any) -> Any:
    answer = requests.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=60)
    return answer.json()["data"]


def launch(url: str) -> str:
    selector = {
        "repositoryLocationName": "defs.py",
        "repositoryName": "__repository__",
        "jobName": "long_job",
    }
    launched = ask(url, LAUNCH, p={"selector": selector, "runConfigData": {}})["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])


def in_flight(url: str, run_id: str) -> bool:
    run = ask(url, STEPS, id=run_id)["runOrError"]
    assert run["status"] in ("STARTING", "STARTED"), run
    return any(step["status"] == "IN_PROGRESS" for step in run["stepStats"])


def recorded_status(run_id: str, environ: dict[str, str]) -> str:
    command = [sys.executable, "-c", RUN_STATUS, run_id]
    return subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
def test_killed_supervisor_takes_dagster_and_its_runs_with_it(
    environ: dict[str, str], mark: str, tmp_path: Path, need: Callable[[object, str], None]
) -> None:
    need(importlib.util.find_spec("dagster_webserver"), "dagster-webserver is not installed")
    port = processes.find_free_port()
    url = f"http://127.0.0.1:{port}"
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(port)], env=environ, cwd=tmp_path)
    wait_until(lambda: is_up(url) or supervisor.poll() is not None, "Dagster answers")
    run_id = launch(url)
    wait_until(lambda: in_flight(url, run_id), "the step runs")
    wait_until((tmp_path / "in_flight").exists, "the step's own child runs")
    assert any("keeper.py" in line for line in marked(mark).values())

    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not marked(mark), "nothing is left", 30)
    assert recorded_status(run_id, environ) in ("FAILURE", "CANCELED")

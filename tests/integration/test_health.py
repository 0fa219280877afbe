"""`daglab health` as a process, against a real Dagster whose code, daemon and webserver fail."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import events

pytestmark = pytest.mark.long

Health = Callable[..., dict[str, Any]]
# Makes Dagster's record of its daemons' last signs of life so old as if nobody had looked for a day.
AGED = """
import dataclasses, sys, time
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat
with DagsterInstance.get() as instance:
    for kind, beat in instance.get_daemon_heartbeats().items():
        old = DaemonHeartbeat(time.time() - 86400, beat.daemon_type, beat.daemon_id, beat.errors)
        instance.add_daemon_heartbeat(old)
"""


@pytest.fixture
def health(cli: Callable[..., Any], tmp_path: Path) -> Health:
    """Runs it in a project of its own, and gives its document by check, with the exit code."""
    (tmp_path / ".daglab").mkdir()

    def run(*arguments: str, **settings: Any) -> dict[str, Any]:
        done = cli("health", "--json", "--timeout", "60", *arguments, **settings)
        found = json.loads(done.stdout)
        assert found["ok"] == (done.exit_code == 0) == (found["status"] == "healthy")
        checks = {check["name"]: check for check in found["checks"]}
        return {"exit_code": done.exit_code, "status": found["status"], "error": found.get("error"), **checks}

    return run


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_location_that_failed(deployment: Any, health: Health, tmp_path: Path) -> None:
    until(lambda: health("--only", "daemons", "--url", deployment.url)["daemons"]["status"] == "ok")
    found = health("--url", deployment.url)
    assert (found["exit_code"], found["status"], found["error"]["code"]) == (4, "degraded", "not_good")
    assert found["error"]["message"] == "Degraded: locations."
    assert "2 of 3 loaded. broken: " in found["locations"]["detail"]
    assert "missing" in found["locations"]["detail"]
    assert found["dagster"]["detail"].startswith("Dagster 1.")
    good = ("config", "dagster", "daemons", "marimo", "storage")
    assert [found[name]["status"] for name in good] == ["ok"] * len(good), found
    [line] = [line for line in events.newest(tmp_path, "health") if line["target"] is None]
    assert (line["exit_code"], line["error_code"], line["detail"]["status"]) == (4, "not_good", "degraded")
    assert line["requests"]["n"] == 3
    told = {check["name"]: check for check in line["detail"]["checks"]}
    assert told["locations"].keys() == {"name", "status", "seconds"}
    assert told["locations"]["status"] == "degraded"


@pytest.mark.slow
def test_all_locations_the_daemon_and_the_webserver_fail(serving: Any, health: Health) -> None:
    with serving("broken", daemon=True) as served:
        only = ("--only", "dagster", "--only", "locations", "--only", "daemons", "--url", served.url)
        until(lambda: health(*only)["daemons"]["status"] == "ok")
        found = health(*only)
        assert (found["exit_code"], found["status"], found["locations"]["status"]) == (5, "down", "down")
        assert found["error"]["message"] == "Down: locations."

        served.kill("daemon")
        env = {"DAGSTER_HOME": str(served.home), "PATH": "/usr/bin:/bin"}
        subprocess.run([sys.executable, "-c", AGED], env=env, check=True, timeout=120)
        found = health(*only)
        assert found["daemons"]["status"] == "degraded"  # runs are started by the webserver itself here
        assert "0 of " in found["daemons"]["detail"]
        assert "SENSOR" in found["daemons"]["detail"]
        assert "dagster-daemon run" in found["daemons"]["hint"]

        served.kill("webserver")
        found = health(*only)
        assert [found[name]["status"] for name in ("dagster", "locations", "daemons")] == ["down"] * 3


@pytest.mark.slow
def test_a_deployment_that_has_no_daemon(serving: Any, health: Health) -> None:
    with serving("strangers/jobs") as served:
        found = health("--only", "daemons", "--only", "locations", "--url", served.url)
        assert (found["exit_code"], found["locations"]["status"], found["daemons"]["status"]) == (4, "ok", "degraded")

"""Each exit code once, through the installed command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(sys.executable).parent / "daglab"
FAILURES = {
    "logsForRun": {
        "__typename": "EventConnection",
        "cursor": "1",
        "hasMore": False,
        "events": [{"__typename": "RunFailureEvent", "message": "no", "error": {"message": "no", "causes": []}}],
    }
}


@pytest.fixture
def daglab(need: Callable[[object, str], None]) -> Callable[..., int]:
    """Runs the installed command and gives its exit code."""
    need(SCRIPT.exists(), "daglab is not installed")

    def run(*arguments: str, **settings: Any) -> int:
        done = subprocess.run([SCRIPT, *arguments], capture_output=True, check=False, timeout=120, **settings)
        return done.returncode

    return run


def status(dagster: Any, word: str) -> None:
    dagster.answers["Status"]["runsOrError"]["results"][0].update(status=word, endTime=None)


def test_done_and_wrong_usage(daglab: Callable[..., int]) -> None:
    assert daglab("--version") == 0
    assert daglab("discover", "--bogus") == 2


def test_a_bug(daglab: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import daglab.settings.config\ndaglab.settings.config.load = None\n")
    assert daglab("config", "validate", env={**os.environ, "PYTHONPATH": str(tmp_path)}) == 1


def test_not_set_up_invalid_and_taken(daglab: Callable[..., int], tmp_path: Path, dagster: Any) -> None:
    assert daglab("export", "missing.py") == 3
    assert daglab("scaffold", "--asset", "orders", "--url", dagster.url) == 0
    assert daglab("scaffold", "--asset", "orders", "--url", dagster.url) == 8
    (tmp_path / "daglab.yaml").write_text("nonsense: 1\n")
    assert daglab("config", "validate") == 7


def test_unreachable_and_not_authorised(daglab: Callable[..., int], dagster: Any) -> None:
    assert (
        daglab(
            "discover", "--url", "http://127.0.0.1:1", env={**os.environ, "DAGLAB_DAGSTER__GRAPHQL__MAX_RETRIES": "0"}
        )
        == 5
    )
    dagster.status = 401
    assert daglab("discover", "--url", dagster.url) == 6


def test_not_good_and_timed_out(daglab: Callable[..., int], dagster: Any) -> None:
    command = ("run", "--job", "report", "--url", dagster.url)
    assert daglab(*command) == 0
    dagster.answers["Failures"] = FAILURES
    status(dagster, "FAILURE")
    assert daglab(*command) == 4
    status(dagster, "STARTED")
    assert daglab(*command, "--timeout", "0.2") == 9


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped(daglab: Callable[..., int], dagster: Any, number: int, code: int) -> None:
    status(dagster, "STARTED")
    command = [SCRIPT, "run", "--job", "report", "--url", dagster.url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        assert "Launched" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait(60) == code


def test_nobody_reads(daglab: Callable[..., int]) -> None:
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen([SCRIPT, "config", "show"], stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        assert process.wait(60) == 141

"""What a command does that waits, when a part of the real deployment goes down, or changes, in the meantime."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import IO, Any

import pytest
import requests

pytestmark = pytest.mark.long

Begin = Callable[..., AbstractContextManager[subprocess.Popen[str]]]

RELOAD = 'mutation { reloadRepositoryLocation(repositoryLocationName: "held") { __typename } }'
WAITED_FOR = "Dagster does not answer, and is waited for"


@pytest.fixture(scope="module")
def served(serving: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    with serving("held", daemon=True) as served:
        yield served


@pytest.fixture
def held(served: Any) -> Any:
    """A deployment with its daemon that may be broken, if it is mended again; its runs go on until released."""
    (served.project / "release").unlink(missing_ok=True)
    return served


@pytest.fixture
def begin(held: Any) -> Begin:
    """`with begin("run", ...) as process` is daglab at work."""

    @contextlib.contextmanager
    def begun(*arguments: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "daglab", *arguments, "--url", held.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    return begun


def release(held: Any) -> None:
    (held.project / "release").touch()


def read_to(stream: IO[str] | None, text: str) -> str:
    """The lines up to the one with `text`, which is waited for."""
    assert stream
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"{text!r} is not in {lines}")


def run_id(process: subprocess.Popen[str]) -> str:
    """The run that `daglab run` says it has launched."""
    found = re.search(r"Launched ([0-9a-f-]+)", read_to(process.stderr, "Launched"))
    assert found
    return found[1]


@pytest.mark.slow
def test_a_webserver_that_crashes_and_starts_again(held: Any, begin: Begin) -> None:
    """Who waits for the run, and who follows its events or what it prints, goes on where it was."""
    with begin("run", "--job", "held_job", "--json") as run:
        logs = ["runs", "logs", run_id(run), "--follow"]
        with begin(*logs) as events, begin(*logs, "--stdout") as printed:
            seen = read_to(events.stdout, ": held")
            read_to(printed.stdout, "printed while held")
            held.kill("webserver")
            for process in (run, events, printed):
                read_to(process.stderr, WAITED_FOR)
            release(held)
            held.start("webserver")
            assert run.stdout
            assert events.stdout
            assert printed.stdout
            assert json.loads(run.stdout.read())["runs"][0]["status"] == "SUCCESS"
            seen += events.stdout.read()
            assert [seen.count(text) for text in (": held\n", ": released\n", "RUN_SUCCESS")] == [1, 1, 0]
            assert printed.stdout.read().splitlines() == ["printed after it"]
            assert [process.wait() for process in (run, events, printed)] == [0, 0, 0]


@pytest.mark.slow
def test_a_code_location_that_is_reloaded(held: Any, begin: Begin) -> None:
    with begin("run", "--job", "held_job", "--json") as run, begin("runs", "logs", run_id(run), "--follow") as events:
        read_to(events.stdout, ": held")
        requests.post(f"{held.url}/graphql", json={"query": RELOAD}, timeout=60).raise_for_status()
        release(held)
        assert run.stdout
        assert json.loads(run.stdout.read())["runs"][0]["status"] == "SUCCESS"
        read_to(events.stdout, ": released")
        assert [process.wait() for process in (run, events)] == [0, 0]


@pytest.mark.slow
def test_a_daemon_that_is_killed_while_its_backfill_is_waited_for(held: Any, begin: Begin) -> None:
    """The time runs out, and that is said; when the daemon is there again, the same command waits on for the same."""
    command = ["run", "--asset-selection", "held_parts", "--all-partitions", "--launch-key", "nightly", "--json"]
    with begin(*command, "--timeout", "6") as run:
        read_to(run.stderr, "backfill")
        held.kill("daemon")
        assert run.stdout
        before = json.loads(run.stdout.read())
        assert run.wait() == 9
    assert before["error"]["code"] == "timed_out"
    release(held)
    held.start("daemon")
    with begin(*command) as again:
        assert again.stdout
        after = json.loads(again.stdout.read())
        assert again.wait() == 0
    assert after["backfill"]["backfill_id"] == before["backfill"]["backfill_id"]
    assert after["backfill"]["status"] == "COMPLETED_SUCCESS"

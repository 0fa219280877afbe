"""Commands that are stopped in the middle, or whose messages nobody takes: what was done is said all the same."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import json_lines
from daglab.attaching import attach, observations
from tests import tiers

pytestmark = pytest.mark.long

DAGLAB = [sys.executable, "-m", "daglab"]
NOTEBOOK = """
import marimo

__generated_with = "0.25.0"
app = marimo.App()


@app.cell
def a():
    {code}
    return


if __name__ == "__main__":
    app.run()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "daglab.yaml").touch()
    (tmp_path / ".daglab").mkdir()
    (tmp_path / "nb.py").write_text(NOTEBOOK.format(code="1"))
    return tmp_path


@pytest.mark.parametrize("messages", tiers.few(["a full disk", "a closed pipe"], ["a closed pipe"]))
def test_a_launched_run_is_told_where_messages_can_not_be(messages: str, deployment: Any, graphql: Any) -> None:
    closed, stderr = os.pipe()
    os.close(closed)
    if messages == "a full disk":
        os.close(stderr)
        stderr = os.open("/dev/full", os.O_WRONLY)
    command = [*DAGLAB, "run", "--url", deployment.url, "--asset-selection", "raw_orders", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, check=False, timeout=120)
    os.close(stderr)
    assert done.returncode == 0
    [run] = json.loads(done.stdout)["runs"]
    query = "query Q($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
    assert graphql(query, id=run["run_id"])["runOrError"]["status"] == run["status"] == "SUCCESS"


@pytest.mark.parametrize(("number", "exit_code"), tiers.STOPS)
def test_stopping_while_it_attaches(
    number: signal.Signals, exit_code: int, project: Path, proxy: Any, graphql: Any
) -> None:
    def hold(_client: socket.socket, forward: Callable[[], bytes]) -> None:
        forward()
        proxy.note(proxy.seen, "written")
        proxy.over.wait(60)

    proxy.faults["other"] = hold  # the REST report
    command = [*DAGLAB, "export", "nb.py", "--attach", "asset:rich", "--via", "rest", "--url", proxy.url, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        proxy.wait_until(lambda: "written" in proxy.seen)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == exit_code, stderr
    result = json.loads(stdout)
    assert (result["ok"], result["attach"], result["attached"]) == (False, "unknown", [])
    assert "may be attached" in result["error"]["message"]
    assert "/assets/rich" in result["error"]["hint"]
    assert Path(result["output"]).exists()
    written = attach.parse_observations(graphql(attach.OBSERVATIONS_QUERY, key={"path": ["rich"]}))
    assert result["id"] in [entries.get(observations.ID_LABEL, {}).get("text") for entries in written]
    *_, record = json_lines.read(project / ".daglab" / "exports.jsonl")
    assert (record["id"], record["attach"]) == (result["id"], "unknown")


def test_a_closed_terminal_leaves_no_half_written_file(project: Path) -> None:
    (project / "nb.py").write_text(NOTEBOOK.format(code="open('runs', 'w').close(); import time; time.sleep(600)"))
    os.mkfifo(project / "runs")
    with subprocess.Popen([*DAGLAB, "export", "nb.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        (project / "runs").read_bytes()  # waits until the cell has opened it
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert list((project / "exports" / "project").iterdir()) == []


def test_the_notebook_asks_the_deployment_that_the_export_is_for(project: Path, deployment: Any, cli: Any) -> None:
    code = "print(__import__('daglab.helpers').helpers.connect().api.url)"
    (project / "nb.py").write_text(NOTEBOOK.format(code=code))
    (project / "daglab.yaml").write_text("dagster: {port: 1}\n")
    assert cli("export", "nb.py").exit_code == 4
    done = cli("export", "nb.py", "--url", deployment.url)
    assert done.exit_code == 0, done.stderr
    assert deployment.url in (project / "exports" / "project" / "nb.html").read_text()


def test_a_cell_whose_output_fails_is_not_attached(project: Path, deployment: Any, cli: Any) -> None:
    (project / "nb.py").write_text(NOTEBOOK.format(code="type('B', (), {'_repr_html_': lambda self: 1 / 0})()"))
    done = cli("export", "nb.py", "--attach", "asset:rich", "--url", deployment.url, "--json")
    assert done.exit_code == 4, done.stderr
    result = json.loads(done.stdout)
    assert result["attached"] == []
    assert result["failed"][0]["error"].startswith("ZeroDivisionError")

"""How long a page of `marimo run` takes to show its first words, and all of them: scaffolded, beside an empty notebook.

In a headless Chromium that has opened marimo's page before, in turn. Needs chromedriver. Prints a table and, with
--json, one JSON document.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deployments
import pairs
import requests

from daglab import processes

ROUNDS = 8
PROJECT = """
from dagster import Definitions, asset

@asset
def orders(context):
    context.add_output_metadata({"row_count": 3})
    return [1, 2, 3]

defs = Definitions(assets=[orders])
"""
EMPTY = """
import marimo

app = marimo.App()


@app.cell
def words():
    import marimo as mo

    mo.md("Explore orders. Exploration.")
    return
"""
FIRST, LAST = "Explore orders", "Exploration"


def wait_for(answers: Callable[[], object]) -> None:
    """Until it does; a connection that is refused is no answer."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if answers():
                return
        except requests.RequestException:
            pass
        time.sleep(0.005)
    sys.exit("the page does not show what it should")


def opened(session: str, url: str) -> tuple[float, float]:
    """Seconds until the first and the last words of the page can be read."""
    requests.post(f"{session}/url", json={"url": "about:blank"}, timeout=60)
    began = time.perf_counter()
    requests.post(f"{session}/url", json={"url": url}, timeout=60)
    body = {"script": "return document.body.innerText", "args": []}

    def text() -> str:
        return str(requests.post(f"{session}/execute/sync", json=body, timeout=60).json()["value"])

    wait_for(lambda: FIRST in text())
    first = time.perf_counter() - began
    wait_for(lambda: LAST in text())
    return first, time.perf_counter() - began


def measure(root: Path, dagster: str, rounds: int) -> dict[str, pairs.Row]:
    """The empty notebook, then the scaffolded one, in each round."""
    (root / "daglab.yaml").write_text(f"dagster:\n  url: {dagster}\n", encoding="utf-8")
    (root / "empty.py").write_text(EMPTY, encoding="utf-8")
    command = [sys.executable, "-m", "daglab", "-q", "scaffold", "--asset", "orders"]
    made = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()
    with processes.keeper() as kept:
        (empty, first), (page, second) = serve(kept, root, root / "empty.py"), serve(kept, root, Path(made))
        session = browser(kept, root)
        for each in (empty, page):
            opened(session, each)
        found = [(opened(session, empty), opened(session, page)) for _ in range(rounds)]
        requests.delete(session, timeout=60)
        peaks = {"peak_mib": pairs.peak(second), "base_peak_mib": pairs.peak(first)}
    return {
        what: {**pairs.seconds([(base[at], ours[at]) for base, ours in found]), **peaks}
        for at, what in enumerate(("the first words", "all of it"))
    }


def serve(kept: Any, root: Path, notebook: Path) -> tuple[str, int]:
    """`marimo run` of a notebook; its address, once it answers, and its pid."""
    port = processes.find_free_port()
    options = ["--headless", "--no-token", "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "marimo", "run", str(notebook), *options]
    log = root / f"{notebook.stem}.log"
    pid = processes.start(kept, processes.Service(notebook.name, command, root, dict(os.environ), log))
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: requests.get(f"{url}/health", timeout=5).ok)
    return url, pid


def browser(kept: Any, root: Path) -> str:
    """A session of a headless Chromium."""
    port = processes.find_free_port()
    command = ["chromedriver", f"--port={port}"]
    processes.start(kept, processes.Service("driver", command, root, dict(os.environ), root / "driver.log"))
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: requests.get(f"{url}/status", timeout=5).json()["value"]["ready"])
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": flags}}}}
    return f"{url}/session/{requests.post(f'{url}/session', json=wanted, timeout=60).json()['value']['sessionId']}"


def main() -> None:
    """Print the figures."""
    options = pairs.arguments(__doc__, ROUNDS).parse_args()
    with tempfile.TemporaryDirectory() as folder, deployments.deployment(Path(folder), PROJECT) as url:
        pairs.show(measure(Path(folder), url, options.rounds), options)


if __name__ == "__main__":
    main()

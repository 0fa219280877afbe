"""A real Dagster for a benchmark: a webserver over one file, on a free port, gone when the benchmark ends."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from daglab import processes

LONGEST_START = 1200  # seconds; 5,000 assets take half a minute, 50,000 ten times that


@contextlib.contextmanager
def deployment(root: Path, project: str, instance: str = "telemetry: {enabled: false}\n") -> Iterator[str]:
    """Serves the code `project`, with the dagster.yaml `instance`, from the folder `root`; gives the address."""
    (root / "home").mkdir()
    (root / "home" / "dagster.yaml").write_text(instance, encoding="utf-8")
    (root / "main.py").write_text(project, encoding="utf-8")
    workspace = "load_from: [{python_file: {relative_path: main.py, location_name: main}}]\n"
    (root / "workspace.yaml").write_text(workspace, encoding="utf-8")
    port = processes.find_free_port()
    url, log = f"http://127.0.0.1:{port}", root / "webserver.log"
    command = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml"]
    room = {f"DAGSTER_GRPC_MAX_{way}_BYTES": str(1 << 30) for way in ("RX", "SEND")}  # 50,000 assets in one message
    env = {**os.environ, **room, "DAGSTER_HOME": str(root / "home")}
    with processes.keeper() as keeper:
        processes.start(keeper, processes.Service("webserver", command, root, env, log))
        deadline = time.monotonic() + LONGEST_START
        while not _answers(url):
            if processes.ended(keeper) or time.monotonic() > deadline:
                sys.exit(f"Dagster did not start:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}")
            time.sleep(0.1)
        yield url


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5) as answer:
            return "dagster_version" in json.load(answer)
    except (OSError, ValueError):
        return False

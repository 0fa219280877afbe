"""One Dagster of the version that DAGLAB_MATRIX_PYTHON has: a webserver and a daemon over tests/fixtures/matrix."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from daglab import processes

PYTHON = os.environ.get("DAGLAB_MATRIX_PYTHON", "")
FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "matrix"
collect_ignore_glob = [] if PYTHON else ["test_*.py"]


@dataclass(frozen=True)
class Old:
    """A running deployment: its address, DAGSTER_HOME, and the Python that it runs with."""

    url: str
    home: Path
    python: str
    version: str


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    yield from _serve(tmp_path_factory.mktemp("old"), "DefaultRunCoordinator", daemon=True)


@pytest.fixture(scope="session")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    """One that queues its runs, and has no daemon to take them."""
    yield from _serve(tmp_path_factory.mktemp("queue"), "QueuedRunCoordinator", daemon=False)


def _serve(root: Path, coordinator: str, *, daemon: bool) -> Iterator[Old]:
    project, home, port = root / "project", root / "home", processes.find_free_port()
    shutil.copytree(FIXTURE, project)
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        f"run_coordinator: {{module: dagster.core.run_coordinator, class: {coordinator}}}\n"
    )
    path = f"{Path(PYTHON).parent}:/usr/bin:/bin"
    env = {"PATH": path, "HOME": str(root), "DAGSTER_HOME": str(home), "LANG": "C.UTF-8"}
    info = [PYTHON, "-m", "dagster", "instance", "info"]
    subprocess.run(info, cwd=project, env=env, check=True, capture_output=True, timeout=180)
    commands = {"webserver": ["-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-f", "shop.py"]}
    if daemon:
        commands["daemon"] = ["-m", "dagster._daemon", "run", "-f", "shop.py"]
    with processes.keeper() as kept:
        for name, command in commands.items():
            processes.start(kept, processes.Service(name, [PYTHON, *command], project, env, root / f"{name}.log"))
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 180
        while (version := _version(url)) is None:
            assert not processes.ended(kept), (root / "webserver.log").read_text()
            assert time.monotonic() < deadline, (root / "webserver.log").read_text()
            time.sleep(0.1)
        yield Old(url, home, PYTHON, version)


def _version(url: str) -> str | None:
    try:
        return str(requests.get(f"{url}/server_info", timeout=10).json()["dagster_version"])
    except (requests.RequestException, ValueError):
        return None

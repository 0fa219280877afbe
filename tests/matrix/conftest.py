"""One Dagster of the version that DAGLAB_MATRIX_PYTHON has: a webserver and a daemon over tests/fixtures/matrix."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from daglab import processes

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("DAGLAB_MATRIX_PYTHON", "")
FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "matrix"
collect_ignore_glob = [] if PYTHON else ["test_*.py"]

_spec = importlib.util.spec_from_file_location("browsing", REPOSITORY / "tests" / "integration" / "conftest.py")
assert _spec
assert _spec.loader
_browsing = importlib.util.module_from_spec(_spec)
sys.modules["browsing"] = _browsing  # its dataclasses look themselves up
_spec.loader.exec_module(_browsing)
browser = _browsing.browser


@dataclass(frozen=True)
class Old:
    """A running deployment: its address, DAGSTER_HOME, and the Python that it runs with."""

    url: str
    home: Path
    python: str
    version: str
    project: Path = Path()
    env: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    yield from _serve(tmp_path_factory.mktemp("old"), "DefaultRunCoordinator", daemon=True)


@pytest.fixture(scope="session")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    """One that queues its runs, and has no daemon to take them."""
    yield from _serve(tmp_path_factory.mktemp("queue"), "QueuedRunCoordinator", daemon=False)


def _serve(root: Path, coordinator: str, *, daemon: bool) -> Iterator[Old]:
    project, home, env = _project(root, coordinator)
    port = processes.find_free_port()
    commands = {"webserver": ["-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-f", "shop.py"]}
    if daemon:
        commands["daemon"] = ["-m", "dagster._daemon", "run", "-f", "shop.py"]
    yield from _running(root, commands, port, Old("", home, PYTHON, "", project, env))


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    """What `dagster dev` starts."""
    root = tmp_path_factory.mktemp("dev")
    project, home, env = _project(root, "DefaultRunCoordinator")
    (project / "daglab.yaml").write_text("version: 1\n")
    (project / ".daglab").mkdir()
    port = processes.find_free_port()
    commands = {"dev": ["-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-f", "shop.py"]}
    yield from _running(root, commands, port, Old("", home, PYTHON, "", project, env))


def _project(root: Path, coordinator: str) -> tuple[Path, Path, dict[str, str]]:
    project, home = root / "project", root / "home"
    shutil.copytree(FIXTURE, project)
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        f"run_coordinator: {{module: dagster.core.run_coordinator, class: {coordinator}}}\n"
    )
    path = f"{Path(PYTHON).parent}:/usr/bin:/bin"
    env = {"PATH": path, "HOME": str(root), "DAGSTER_HOME": str(home), "LANG": "C.UTF-8", "PYTHONPATH": str(REPOSITORY)}
    info = [PYTHON, "-m", "dagster", "instance", "info"]
    subprocess.run(info, cwd=project, env=env, check=True, capture_output=True, timeout=180)
    return project, home, env


def _running(root: Path, commands: Mapping[str, list[str]], port: int, old: Old) -> Iterator[Old]:
    with processes.keeper() as kept:
        for name, command in commands.items():
            service = processes.Service(name, [PYTHON, *command], old.project, old.env, root / f"{name}.log")
            processes.start(kept, service)
        url, log = f"http://127.0.0.1:{port}", root / f"{next(iter(commands))}.log"
        deadline = time.monotonic() + 180
        while (version := _version(url)) is None:
            assert not processes.ended(kept), log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield dataclasses.replace(old, url=url, version=version)


def _version(url: str) -> str | None:
    try:
        return str(requests.get(f"{url}/server_info", timeout=10).json()["dagster_version"])
    except (requests.RequestException, ValueError):
        return None

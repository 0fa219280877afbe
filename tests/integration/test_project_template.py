"""The project that `daglab init --bootstrap` writes: it loads, runs and passes its own tests as it stands."""

from __future__ import annotations

import compileall
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daglab.authoring import projects
from tests import tiers

pytestmark = pytest.mark.long

NAMES = {"shop-data": "minimal", "weather": "standard", "x": "ml", "bare": projects.EMPTY}
# What each template has beside what all of them have, and the jobs that Dagster finds in it.
PARTS = {
    "minimal": ({"assets", "jobs", "orders"}, {"data/orders.csv"}, {"refresh", "report"}),
    "standard": ({"assets", "readings", "resources"}, {"data/readings.csv"}, {"refresh"}),
    "ml": ({"assets", "learning"}, set(), {"train"}),
    projects.EMPTY: (set(), set(), set()),
}


@pytest.fixture(scope="module", params=tiers.few(NAMES, ["weather", "bare"]))
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name: str = request.param
    root, _ = projects.bootstrap(tmp_path_factory.mktemp("projects"), name, template=NAMES[name])
    return root


def python(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *args]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_all_of_it_is_there(project: Path) -> None:
    package = project.name.replace("-", "_")
    modules, data, _ = PARTS[NAMES[project.name]]
    files = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    assert files == {
        *(".gitignore", "README.md", "daglab.yaml", "pyproject.toml", *data),
        *("dagster/notebooks/.gitkeep", "tests/test_definitions.py"),
        *(f"{package}/{name}.py" for name in ("__init__", "definitions", *modules)),
    }


def test_nothing_hides_the_installed_dagster(project: Path) -> None:
    assert not list((project / "dagster").rglob("*.py"))
    done = python(project, "-c", "import dagster; print(dagster.__file__)")
    assert done.returncode == 0, done.stderr
    assert str(project) not in done.stdout


def test_it_compiles(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    assert compileall.compile_dir(project, quiet=1)


def test_it_is_clean(project: Path, need: Any) -> None:
    need(importlib.util.find_spec("ruff"), "ruff is not installed")
    rules = ("--select", "A,B,C4,E,F,I,PT,RUF,SIM,T20,UP,W")
    for command in (("check", "--no-cache", *rules), ("format", "--check", "--no-cache")):
        done = python(project, "-m", "ruff", *command, ".")
        assert done.returncode == 0, done.stdout + done.stderr


def test_dagster_loads_it(project: Path, need: Any) -> None:
    need(importlib.util.find_spec("dagster"), "dagster is not installed")
    [module] = re.findall(r'^module_name = "(.*)"$', (project / "pyproject.toml").read_text(), re.MULTILINE)
    code = (
        f"from {module} import defs;"
        "print(*(job.name for job in defs.get_repository_def().get_all_jobs() if not job.name.startswith('__')))"
    )
    done = python(project, "-c", code)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == PARTS[NAMES[project.name]][2]


def test_its_own_tests_pass(project: Path) -> None:
    done = python(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout

"""What the docs show, done: the pages that are a walk, the blocks of Python. See test_doc_commands.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import processes
from tests import doc_pages
from tests.doc_pages import REPOSITORY

pytestmark = pytest.mark.long

DOCS = REPOSITORY / "docs"
EXAMPLES = REPOSITORY / "examples"
# Blocks of Python that need what is not here: dagster-k8s, or a project that has been given a notebook as an asset.
COMPILED_ALONE = ("dagster_k8s", "notebook_assets")
WITHOUT_SERVER = [("--version",)]


def python_blocks(page: Path) -> list[str]:
    """The blocks of a page that can be run here."""
    if page.name == "helpers.md":
        return doc_pages.blocks(page, "python")[:1]  # the rest are signatures
    return [code for code in doc_pages.blocks(page, "python") if not re.search("|".join(COMPILED_ALONE), code)]


WITH_PYTHON = [page for page in doc_pages.DOCS if python_blocks(page)]


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A folder with the program `daglab`, as an installation has it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    daglab = folder / "daglab"
    daglab.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m daglab "$@"\n')
    daglab.chmod(0o755)
    return folder


@pytest.fixture
def shell(bin_folder: Path, deployment: Any) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script with daglab on the PATH, against the deployment of all tests."""

    def run(line: list[str], cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        variables = {
            **os.environ,
            "PATH": f"{bin_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "DAGLAB_DAGSTER__URL": deployment.url,
            **env,
        }
        return subprocess.run(line, cwd=cwd, env=variables, capture_output=True, text=True, timeout=400, check=False)

    return run


@pytest.fixture
def project(tmp_path: Path, cli: Callable[..., Any]) -> Path:
    """A new project with a notebook, and something on record."""
    assert cli("init", "--bootstrap", "shop", cwd=tmp_path).exit_code == 0
    root = tmp_path / "shop"
    offline = {"DAGLAB_DAGSTER__URL": "http://127.0.0.1:9"}
    assert cli("scaffold", "--asset", "orders", cwd=root, env=offline).exit_code == 0
    return root


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_the_blocks_of_python_run(page: Path, project: Path, deployment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a reader would type them; what a page takes for given stands here."""
    pytest.importorskip("dagster")
    monkeypatch.chdir(project)
    monkeypatch.setenv("DAGLAB_DAGSTER__URL", deployment.url)
    namespace: dict[str, Any] = {"__file__": str(project / "dagster/notebooks/asset_orders.py"), "load": lambda: [1]}
    for code in python_blocks(page):
        exec(compile(re.sub(r'"\+\S*orders"', '"raw_orders"', code), page.name, "exec"), namespace)


@pytest.mark.slow
def test_the_quickstart_goes_its_whole_way(bin_folder: Path, tmp_path: Path) -> None:
    ports = {
        name: str(processes.find_free_port()) for name in ("DAGSTER_PORT", "MARIMO_PORT", "DAGLAB_DASHBOARD__PORT")
    }
    path = f"{bin_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", EXAMPLES / "quickstart.sh", tmp_path / "new" / "shop"],
        cwd=tmp_path,
        env={**os.environ, **ports, "PATH": path, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done
    assert "Attached to asset:orders" in done.stderr
    assert "Stopped: nothing is left running." in done.stdout
    assert (tmp_path / "new" / "shop" / "exports" / "asset_orders.html").stat().st_size


def test_getting_started_and_the_readme_go_the_same_way() -> None:
    """So they are right as long as the quickstart is: it differs by its ports, and stops by a trap."""
    quick = _words(EXAMPLES / "quickstart.sh")
    walk = [words for words in _words(DOCS / "getting-started.md") if words not in WITHOUT_SERVER]
    assert walk.pop() == ("stop",)
    assert [words[0] for words in quick] == [words[0] for words in walk]
    assert [words for words in quick if words[0] not in ("init", "dev")] == [
        words for words in walk if words[0] not in ("init", "dev")
    ]
    section = doc_pages.read(REPOSITORY / "README.md").partition("## Use it")[2].partition("\n## ")[0]
    shown = [words for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[:1] for words in _found(block)]
    assert shown.pop() == ("stop",)
    assert shown == [words for words in walk if words not in (("exports", "list"), ("status",))]


def _words(page: Path) -> list[tuple[str, ...]]:
    return [line.words for line in doc_pages.lines(page) if line.is_whole]


def _found(block: str) -> list[tuple[str, ...]]:
    return [words for line in block.splitlines() for words in doc_pages.commands(line)]


def test_the_script_on_the_helpers(shell: Callable[..., Any], project: Path) -> None:
    script = str(EXAMPLES / "advanced_usage.py")
    done = shell([sys.executable, script, "raw_orders"], project)
    assert done.returncode == 0, done
    assert "  SUCCESS\n" in done.stdout
    assert shell([sys.executable, script, "failing"], project).returncode == 4
    wrong = shell([sys.executable, script, "raw_order"], project)
    assert (wrong.returncode, "raw_orders" in wrong.stderr) == (7, True), wrong


def test_the_template_of_a_team(shell: Callable[..., Any], project: Path) -> None:
    code = doc_pages.read(EXAMPLES / "custom-templates" / "team.py.j2")
    assert code in [f"{block}" for block in doc_pages.blocks(DOCS / "templates.md", "jinja")]
    folder = project / ".daglab" / "templates"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "team.py.j2").write_text(code)
    line = next(line for line in doc_pages.blocks(DOCS / "templates.md", "sh")[0].splitlines() if "team" in line)
    done = shell(["sh", "-c", line.replace("orders", "raw_orders")], project)
    assert done.returncode == 0, done
    notebook = (project / "dagster" / "notebooks" / "team.py").read_text()
    assert '    ON_CALL = "Ada"\n' in notebook
    assert "def on_call()" in notebook


@pytest.mark.slow
def test_the_night(shell: Callable[..., Any], project: Path) -> None:
    """Exported, quietly; a run that fails is told, and what there is is exported all the same."""
    script = str(EXAMPLES / "cron" / "nightly.sh")
    good = shell(["sh", script, str(project)], project)
    assert (good.returncode, good.stdout, good.stderr) == (0, "", ""), good
    page = project / "exports" / "asset_orders.html"
    page.unlink()
    bad = shell(["sh", script, str(project), "failing"], project)
    assert (bad.returncode, page.exists()) == (4, True), bad
    assert "failing" in bad.stderr

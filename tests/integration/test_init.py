"""`daglab init` as a command: in a fresh folder, in a project, and where it must not touch anything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


def tree(root: Path) -> dict[str, bytes]:
    """Every file below `root` but the events, which each command adds to."""
    found = (path for path in root.rglob("*") if path.is_file() and "events" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def error(done: Any) -> dict[str, Any]:
    document = json.loads(done.stdout)
    assert document["ok"] is False
    found: dict[str, Any] = document["error"]
    assert found["exit_code"] == done.exit_code
    assert found["hint"]
    assert "Traceback" not in done.stderr
    return found


# --- a new project


def test_bootstrap_twice(tmp_path: Path, cli: Cli) -> None:
    first = cli("init", "--bootstrap", "shop")
    assert first.exit_code == 0, first.stderr
    assert "created   daglab.yaml" in first.stdout
    assert "cd shop" in first.stderr
    files = tree(tmp_path / "shop")
    assert {"daglab.yaml", "shop/definitions.py", "pyproject.toml", ".gitignore"} <= set(files)
    assert not [path for path in files if path.startswith("dagster/") and path.endswith(".py")]

    second = cli("init", "--bootstrap", "shop")
    assert (second.exit_code, second.stdout) == (0, "")
    assert "nothing was changed" in second.stderr
    assert tree(tmp_path / "shop") == files


def test_bootstrap_says_in_json_what_it_did(tmp_path: Path, cli: Cli) -> None:
    assert cli("init", "--bootstrap", "shop").exit_code == 0
    (tmp_path / "shop" / "shop" / "jobs.py").unlink()
    (tmp_path / "shop" / "README.md").write_text("mine")
    done = cli("init", "--bootstrap", "shop", "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["ok"], document["project"]) == (True, str(tmp_path / "shop"))
    changed = [file for file in document["files"] if file["change"] != "kept"]
    assert changed == [{"path": "shop/jobs.py", "change": "created"}]
    assert (tmp_path / "shop" / "README.md").read_text() == "mine"


def test_a_bootstrapped_project_is_ready(tmp_path: Path, cli: Cli) -> None:
    assert cli("init", "--bootstrap", "shop").exit_code == 0
    root = tmp_path / "shop"
    done = cli("init", cwd=root)
    assert (done.exit_code, done.stdout) == (0, "")
    assert cli("config", "validate", cwd=root).exit_code == 0
    [events] = (root / ".daglab" / "events").iterdir()
    assert [json.loads(line)["command"] for line in events.read_text().splitlines()][:2] == ["init", "init"]


def test_a_folder_of_somebody_else(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "notes.txt").write_text("mine")
    done = cli("init", "--bootstrap", "shop", "--json")
    assert done.exit_code == 8
    assert error(done)["code"] == "taken"
    assert tree(tmp_path) == {"shop/notes.txt": b"mine"}


@pytest.mark.parametrize(
    "name", ["", "json", "class", "dagster", "größe", "../x", "a/b", ".", "-x", "x" * 5000, "x\ny", "\x1b[31m"]
)
def test_a_bad_name(tmp_path: Path, cli: Cli, name: str) -> None:
    done = cli("init", f"--bootstrap={name}", "--json")
    assert done.exit_code == (7 if name else 2), done.stderr
    assert len(error(done)["message"]) < 300
    assert os.listdir(tmp_path) == []
    assert not (tmp_path.parent / "x").exists()


def test_a_name_that_is_a_path_leaves_no_event_where_it_leads(tmp_path: Path, cli: Cli) -> None:
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    (other / ".daglab").mkdir(parents=True)
    for name in ("../other", str(other)):
        assert cli("init", "--bootstrap", name, cwd=here).exit_code == 7
    assert os.listdir(other / ".daglab") == []


# --- an existing project

FILES = {
    "pyproject with dagster": ("pyproject.toml", '[project]\ndependencies = ["dagster"]\n'),
    "workspace.yaml": ("workspace.yaml", "load_from: []\n"),
}


@pytest.mark.parametrize(("name", "text"), FILES.values(), ids=FILES)
def test_an_existing_project(tmp_path: Path, cli: Cli, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    done = cli("init")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / name).read_text() == text
    assert (tmp_path / "dagster" / "notebooks").is_dir()
    assert done.stdout.splitlines() == [
        "created   daglab.yaml",
        "created   dagster/notebooks/",
        "created   .daglab/",
        "created   .gitignore",
    ]
    assert cli("config", "validate").exit_code == 0
    before = tree(tmp_path)
    assert cli("init").stdout == ""
    assert tree(tmp_path) == before


def test_no_project(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "notes.txt").write_text("dagster")
    done = cli("init", "--json")
    assert done.exit_code == 7
    assert "--bootstrap" in error(done)["hint"]
    assert "workspace.yaml" in error(done)["message"]
    assert tree(tmp_path) == {"notes.txt": b"dagster"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"x", b"x\n.daglab/\n__marimo__/\n/exports/\n"),
        (b"x\r\n", b"x\r\n.daglab/\r\n__marimo__/\r\n/exports/\r\n"),
        (b"exports/\n__marimo__/\n.daglab/\n", b"exports/\n__marimo__/\n.daglab/\n"),
    ],
)
def test_the_gitignore_there_is(tmp_path: Path, cli: Cli, before: bytes, after: bytes) -> None:
    (tmp_path / "workspace.yaml").touch()
    (tmp_path / ".gitignore").write_bytes(before)
    assert cli("init").exit_code == 0
    assert (tmp_path / ".gitignore").read_bytes() == after


def test_a_package_that_hides_dagster_is_told(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "workspace.yaml").touch()
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "__init__.py").touch()
    done = cli("init")
    assert done.exit_code == 0
    assert "dagster/__init__.py hides" in done.stderr
    assert (tmp_path / "dagster" / "__init__.py").exists()
    (tmp_path / "dagster" / "__init__.py").unlink()
    assert "__init__.py" not in cli("init").stderr


def test_a_config_that_is_broken_is_named_and_nothing_else_is_made(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "daglab.yaml").write_text("notebook_dir: x\n")
    done = cli("init", "--json")
    assert done.exit_code == 7
    assert "daglab.yaml:1" in error(done)["message"]
    assert tree(tmp_path) == {"daglab.yaml": b"notebook_dir: x\n"}


@pytest.mark.parametrize("arguments", [["init"], ["init", "--bootstrap", "shop"]])
def test_a_folder_that_can_not_be_written(
    tmp_path: Path, need: Callable[[object, str], None], arguments: list[str]
) -> None:
    as_root = os.geteuid() == 0
    need(not as_root or shutil.which("setpriv"), "setpriv is not there to take root's rights away")
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "workspace.yaml").touch()
    folder.chmod(0o555)
    harmless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if as_root else []
    done = subprocess.run(
        [*harmless, sys.executable, "-m", "daglab", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    folder.chmod(0o755)
    assert done.returncode == 7, done.stderr
    assert "can't be written" in done.stderr
    assert "Hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(folder) == ["workspace.yaml"]


# --- what is asked for


def test_every_option_at_once(tmp_path: Path, cli: Cli) -> None:
    options = ("--template", "ml", "--notebooks-dir", "nb", "--ports", "dagster=4001,marimo=4002", "--makefile")
    dry = cli("init", "--bootstrap", "leaves", *options, "--dry-run", "--json")
    assert dry.exit_code == 0, dry.stderr
    assert os.listdir(tmp_path) == []
    done = cli("init", "--bootstrap", "leaves", *options, "--json")
    assert json.loads(done.stdout)["files"] == json.loads(dry.stdout)["files"]
    assert {"leaves/learning.py", "Makefile", "nb/"} <= {each["path"] for each in json.loads(done.stdout)["files"]}
    assert (json.loads(dry.stdout)["dry_run"], json.loads(done.stdout)["dry_run"]) == (True, False)
    again = cli("init", "--bootstrap", "leaves", "--template", "ml", "--ports", "dagster=5001")
    assert (again.exit_code, "daglab config set dagster.port 5001" in again.stderr) == (0, True)
    assert cli("init", "--bootstrap", "leaves", "--template", "ml", "--ports", "dagster=5001", "--force").exit_code == 0
    assert "port: 5001" in (tmp_path / "leaves" / "daglab.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--template", "ml"], 2),
        (["--no-examples"], 2),
        (["--bootstrap", "x", "--no-examples", "--template", "ml"], 2),
        (["--bootstrap", "x", "--ports", "dagster=0"], 2),
        (["--bootstrap", "x", "--ports", "dagster=1,dagster=2"], 2),
        (["--bootstrap", "x", "--ports", "dagster=1,marimo=1"], 2),
        (["--bootstrap", "x", "--ports", "other=1"], 2),
        (["--bootstrap", "x", "--notebooks-dir", "../out"], 7),
        (["--bootstrap", "x", "--notebooks-dir", "/out"], 7),
        (["--bootstrap", "x", "--notebooks-dir", ""], 2),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, cli: Cli, arguments: list[str], code: int) -> None:
    done = cli("init", *arguments, "--json")
    assert done.exit_code == code, done.stderr
    assert error(done)
    assert os.listdir(tmp_path) == []

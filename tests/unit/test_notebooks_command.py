"""`daglab notebooks`: what lies in a project, told without running any of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import inventory, state
from daglab.authoring import scaffolds
from daglab.settings import config

Cli = Callable[..., Any]
NOW = datetime.now(timezone.utc)
FOLDER = "dagster/notebooks"
PLAIN = "import marimo\n\napp = marimo.App()\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / ".daglab" / "events").mkdir(parents=True)
    (tmp_path / "daglab.yaml").write_text("version: 1\n")
    return tmp_path


def scaffold(root: Path, name: str = "orders.py", **target: Any) -> str:
    settings = config.load({}, directory=root, environ={})
    wanted = scaffolds.Target(**(target or {"assets": (("orders",),)}))
    path, *_ = scaffolds.write(settings, wanted, scaffolds.Wishes(title='It\'s "all" é'), name=name)
    return path.relative_to(root).as_posix()


def listed(root: Path) -> dict[str, dict[str, Any]]:
    found = inventory.every(config.load({}, directory=root, environ={}))
    return {each["notebook"]: each for each in found}


def exported(root: Path, notebook: str, at: str = "2026-01-02T00:00:00+00:00", **more: Any) -> None:
    line = {"v": 1, "id": os.urandom(8).hex(), "notebook": notebook, "output": "exports/x.html", "exported_at": at}
    with (root / ".daglab" / "exports.jsonl").open("a") as file:
        file.write(json.dumps({**line, "ok": True, "expires_at": None, "link": None, **more}) + "\n")


def test_scaffolded_ones_say_what_they_are_for(project: Path, cli: Cli) -> None:
    scaffold(project)
    scaffold(project, "job.py", job="report")
    (project / FOLDER / "deep").mkdir()
    (project / FOLDER / "deep" / "own.py").write_text(PLAIN)
    (project / FOLDER / "helper.py").write_text("x = 1\n")
    (project / FOLDER / "__pycache__").mkdir()
    (project / FOLDER / "__pycache__" / "x.py").write_text(PLAIN)
    (project / FOLDER / "text.md").write_text("---\nmarimo-version: 0.20.0\n---\n")
    (project / FOLDER / "README.md").write_text("# Notebooks\n")
    found = listed(project)
    assert list(found) == [f"{FOLDER}/{name}" for name in ("deep/own.py", "job.py", "orders.py", "text.md")]
    told = found[f"{FOLDER}/orders.py"]
    assert (told["target"], told["template"], told["title"]) == ("asset:orders", "default", 'It\'s "all" é')
    assert (found[f"{FOLDER}/job.py"]["target"], found[f"{FOLDER}/deep/own.py"]["target"]) == ("job:report", None)
    done = cli("notebooks", "--target", "job:report", "--json", cwd=project)
    assert [each["notebook"] for each in json.loads(done.stdout)["notebooks"]] == [f"{FOLDER}/job.py"]
    table = cli("notebooks", cwd=project)
    assert (table.exit_code, "asset:orders" in table.stdout, table.stderr) == (0, True, "")
    assert not list((project / ".daglab" / "events").iterdir())


def test_nothing_of_them_is_run(project: Path) -> None:
    (project / FOLDER / "evil.py").write_text(
        f"{PLAIN}open({str(project / 'ran')!r}, 'w')\n"
        f"NOTEBOOK = {{'target': __import__('os').system('touch {project}/ran')}}\n"
    )
    assert "can't be read" in listed(project)[f"{FOLDER}/evil.py"]["problem"]
    assert not (project / "ran").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"import marimo\nx = (\n", "no Python in line 2"),
        (b"import marimo\nx = '\xff'\n", "not UTF-8"),
        (b"import marimo\n\0\n", "It is no Python|can't be read"),
        (b"import marimo\nNOTEBOOK = " + b"(" * 5000, "can't be read|no Python"),
        (b"import marimo\nNOTEBOOK = {'target': name}\n", "can't be read"),
        pytest.param(b"import marimo\n" + b"# x\n" * (1 << 20) + b"x", "larger than 4 MiB", id="large"),
    ],
)
def test_one_that_can_not_be_read_is_told(project: Path, content: bytes, said: str, cli: Cli) -> None:
    (project / FOLDER / "bad.py").write_bytes(content)
    problem = listed(project)[f"{FOLDER}/bad.py"]["problem"]
    assert any(word in problem for word in said.split("|")), problem
    done = cli("notebooks", cwd=project)
    assert (done.exit_code, problem in done.stderr) == (0, True)


@pytest.mark.parametrize(
    "text", ["NOTEBOOK = 5", "NOTEBOOK = {'target': 5, 'title': None}", "NOTEBOOK: int = 5", "x = 1"]
)
def test_one_that_says_something_else(project: Path, text: str) -> None:
    (project / FOLDER / "own.py").write_text(f"{PLAIN}{text}\n")
    found = listed(project)[f"{FOLDER}/own.py"]
    assert (found["target"], found["title"], found["problem"]) == (None, None, None)


def test_the_last_export_also_of_one_that_lies_elsewhere(project: Path) -> None:
    name = scaffold(project)
    (project / "other.py").write_text(PLAIN)
    exported(project, name, "2026-01-01T00:00:00+00:00")
    exported(project, name, "2026-01-03T00:00:00+00:00", ok=False, id="a")
    exported(project, "other.py", output="o.html", expires_at=["odd"])
    exported(project, "gone.py", output="g.html")
    exported(project, "../outside.py", output="p.html")
    exported(project, "/etc/hosts", output="q.html")
    found = listed(project)
    assert list(found) == [name, "other.py"]
    last = found[name]["last_export"]
    assert (last["exported_at"][:10], last["ok"], last["is_there"]) == ("2026-01-03", False, True)
    assert found["other.py"]["last_export"]["expires_at"] is None
    with (project / ".daglab" / "exports.jsonl").open("a") as file:
        file.write('{"v": 1, "expired": "a", "at": "2026-01-04"}\n')
    assert listed(project)[name]["last_export"]["is_there"] is False


def test_the_last_run_is_what_the_notebook_remembers(project: Path) -> None:
    name, other = scaffold(project), scaffold(project, "job.py", job="report")
    state.manage(project, name).update(runs={"orders": "run-1", "customers": "run-2", "x": 5})
    state.manage(project, other).update(runs={"job:report": "run-3"})
    (project / ".daglab" / "events" / "2026-01.jsonl").write_text(
        "".join(
            json.dumps({"v": 1, "at": f"2026-01-0{day}T00:00:00+00:00", "command": "helpers.run", "runs": runs}) + "\n"
            for day, runs in ((1, ["run-2"]), (2, ["run-1", 5]), (3, None), (4, ["run-9"]))
        )
    )
    found = listed(project)
    assert found[name]["last_run"] == {"run_id": "run-1", "at": "2026-01-02T00:00:00+00:00"}
    assert found[other]["last_run"]["run_id"] == "run-3"
    assert found[other]["last_run"]["at"][:4] == f"{NOW:%Y}"


def test_without_any(project: Path, cli: Cli) -> None:
    done = cli("notebooks", cwd=project)
    assert (done.exit_code, done.stdout, "daglab scaffold" in done.stderr) == (0, "", True)
    assert json.loads(cli("notebooks", "--json", cwd=project).stdout) == {"ok": True, "notebooks": []}


def test_a_folder_outside_of_the_project_is_refused(project: Path, cli: Cli) -> None:
    (project / "daglab.yaml").write_text("notebooks_dir: ../elsewhere\n")
    assert cli("notebooks", cwd=project).exit_code == 7


def test_one_that_nobody_may_read_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scaffold(project)

    def refused(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(inventory.files, "read_own", refused)
    assert listed(project)[f"{FOLDER}/orders.py"]["problem"] == "It can't be read: Permission denied."


def test_no_more_are_looked_at_than_a_person_could(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MOST", 2)
    for name in ("a.py", "b.py", "c.py", "deep/d.py"):
        (project / FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (project / FOLDER / name).write_text(PLAIN)
    assert list(listed(project)) == [f"{FOLDER}/a.py", f"{FOLDER}/b.py"]

"""The whole corpus in one `daglab migrate`: each ends as a sound notebook that runs as the original, or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import jupyter_notebooks
from tests.jupyter_notebooks import ANYHOW, CORPUS, SAME

pytestmark = pytest.mark.long

RUNNING = Path(jupyter_notebooks.__file__).with_name("jupyter_running.py")
CONVERTED = [case for case in CORPUS if case.refused is None]
REFUSED = [case for case in CORPUS if case.refused is not None]
SECONDS = 600
# One or more of each kind of notebook; both are run, which takes seconds for each.
RUN = (
    (
        "v3_headings",
        "attachments_odd_names",
        "parameters",
        "raises",
        "capture",
        "env",
        "bash",
        "shell_captured",
        "time",
    ),
    ("display", "display_handles", "widgets_many", "interact", "rebound", "global", "star", "await", "matplotlib"),
)


@dataclass
class Migrated:
    """The folders, the document of the command, how it ended, and what `marimo check` says of each file."""

    root: Path
    found: dict[str, dict[str, Any]]
    exit_code: int
    stderr: str
    issues: dict[str, list[str]] = field(default_factory=dict)
    before: dict[str, bytes] = field(default_factory=dict)


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A Python with these words, without what steers daglab."""
    foreign = ("DAGLAB_", "DAGSTER_", "MARIMO_", "XDG_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    env.update(HOME=str(root / "home"), MPLBACKEND="Agg", PYTHONIOENCODING="utf-8")
    return subprocess.run(
        [sys.executable, *words], cwd=root, env=env, capture_output=True, text=True, timeout=SECONDS, check=False
    )


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    """The corpus migrated, checked and run: three processes in all."""
    root = tmp_path_factory.mktemp("corpus")
    for name in ("nb", "home"):
        (root / name).mkdir()
    for case in CORPUS:
        (root / "nb" / f"{case.name}.ipynb").write_bytes(case.content)
    done = run(root, "-m", "daglab", "migrate", "nb", "--to", "out", "--preserve-outputs", "--json")
    document = json.loads(done.stdout)
    found = {Path(each["source"]).stem: each for each in document["notebooks"]}
    made = Migrated(root, found, done.returncode, done.stderr)
    made.issues = _checked(root)
    made.before = {path.stem: path.read_bytes() for path in (root / "nb").iterdir()}
    _run_all(root, made)
    return made


def _checked(root: Path) -> dict[str, list[str]]:
    files = sorted(str(path) for path in (root / "out").glob("*.py"))
    done = run(root, "-m", "marimo", "check", "--strict", "--format", "json", *files)
    issues: dict[str, list[str]] = {}
    for issue in json.loads(done.stdout)["issues"]:
        issues.setdefault(Path(issue.get("filename") or "?").stem, []).append(str(issue.get("message")))
    return issues


def _run_all(root: Path, made: Migrated) -> None:
    jobs = []
    for case in CONVERTED:
        target = made.found[case.name]["target"]
        kinds = [("marimo", target)] if target and Path(target).exists() else []
        kinds += [("jupyter", str(root / "nb" / f"{case.name}.ipynb"))] if case.prints == SAME else []
        for kind, path in kinds:
            folder = root / kind / case.name
            folder.mkdir(parents=True)
            jobs.append({"kind": kind, "path": path, "folder": str(folder)})
    (root / "jobs.json").write_text(json.dumps(jobs))
    done = run(root, str(RUNNING), "jobs.json")
    assert done.returncode == 0, done.stderr


def ran(made: Migrated, kind: str, name: str) -> tuple[str, str, str]:
    """What it has printed, how it has ended, and what stands on stderr."""
    folder = made.root / kind / name
    ended = (folder / "ended").read_text() if (folder / "ended").exists() else "(no end)"
    printed, told = ((folder / each).read_text("utf-8", "replace") for each in ("printed", "told"))
    return printed, ended, told


def test_there_is_no_traceback_and_the_exit_code_is_that_of_refusals(migrated: Migrated) -> None:
    assert "Traceback" not in migrated.stderr
    assert migrated.exit_code == 7
    assert migrated.found.keys() == {case.name for case in CORPUS}


def test_the_originals_are_as_they_were(migrated: Migrated) -> None:
    assert migrated.before == {case.name: case.content for case in CORPUS}


def test_nothing_was_executed_on_the_way_and_nothing_lies_elsewhere(migrated: Migrated) -> None:
    assert sorted(path.name for path in migrated.root.iterdir()) == sorted(
        ["nb", "home", "out", "jobs.json", "marimo", "jupyter"]
    )
    before = [migrated.root / name for name in ("nb", "home", "out")]  # in the others they have run
    assert [path for each in before for path in each.rglob("evil*") if path.suffix != ".png"] == []


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_it_is_refused(migrated: Migrated, case: jupyter_notebooks.Case) -> None:
    found = migrated.found[case.name]
    assert found["outcome"] == "refused"
    assert found["error"]["exit_code"] == case.refused
    assert found["error"]["hint"]
    assert case.says.lower() in found["error"]["message"].lower()
    assert list((migrated.root / "out").glob(f"{case.name}*")) == []


@pytest.mark.parametrize("case", CONVERTED, ids=lambda case: case.name)
def test_marimo_accepts_it(migrated: Migrated, case: jupyter_notebooks.Case) -> None:
    found = migrated.found[case.name]
    assert "error" not in found
    assert found["issues"] == []
    assert migrated.issues.get(Path(found["target"]).stem, []) == []
    assert Path(found["target"]).read_bytes().endswith(b"\n")


@pytest.mark.parametrize("case", CONVERTED, ids=lambda case: case.name)
def test_what_was_done_is_told(migrated: Migrated, case: jupyter_notebooks.Case) -> None:
    notes = migrated.found[case.name]["notes"]
    assert case.kinds <= {note["kind"] for note in notes}
    numbers = range(1, (migrated.found[case.name]["cells"] or 0) + 1)
    assert [note for note in notes if note["cell"] is not None and note["cell"] not in numbers] == []
    if case.person is not None:
        assert any(note["needs_person"] for note in notes) is case.person, notes


@pytest.mark.parametrize("case", CONVERTED, ids=lambda case: case.name)
def test_it_runs_to_the_same_end(migrated: Migrated, case: jupyter_notebooks.Case) -> None:
    printed, ended, told = ran(migrated, "marimo", case.name)
    if case.prints == SAME:
        original, original_end, _ = ran(migrated, "jupyter", case.name)
        assert (printed, ended) == (original, original_end), told
        return
    assert case.fails == ANYHOW or ended == (case.fails or ""), told
    assert case.prints is None or printed == case.prints, told


@pytest.mark.slow
def test_most_run_as_the_originals(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()
    contents = {case.name: case.content for case in CONVERTED}
    kept = {"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "home")}
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DAGLAB_", "DAGSTER_"))}
    started = []
    for number, names in enumerate(RUN):
        folder = tmp_path / f"nb{number}"
        folder.mkdir()
        for name in names:
            (folder / f"{name}.ipynb").write_bytes(contents[name])
        words = [sys.executable, "-m", "daglab", "migrate", str(folder), "--run", "--json"]
        started.append(subprocess.Popen(words, cwd=tmp_path, env={**env, **kept}, stdout=subprocess.PIPE))
    found = [each for child in started for each in json.loads(child.communicate(timeout=SECONDS)[0])["notebooks"]]
    assert len(found) == sum(map(len, RUN))
    runnable = [each for each in found if not each["comparison"]["flaw"] and not each["comparison"]["original_stop"]]
    assert len(runnable) >= len(found) - 2, [each["comparison"] for each in found if each not in runnable]
    others = [each for each in runnable if each["comparison"]["verdict"] != "same"]
    assert 10 * len(others) <= len(runnable), [(each["source"], each["comparison"]) for each in others]
    assert list((tmp_path / "tmp").iterdir()) == []

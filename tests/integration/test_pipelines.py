"""The workflows, the hooks and the scripts of quality call what there is."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parent.parent.parent
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
QUALITY = sorted((REPOSITORY / "scripts" / "quality").glob("*.sh"))
HOOKS = REPOSITORY / ".pre-commit-config.yaml"
FORMS = sorted((REPOSITORY / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in read(workflow)["jobs"].values():
        yield from job.get("steps", ())


def commands(path: Path) -> list[str]:
    """The command lines of a workflow, of the hooks, or of a script."""
    if path == HOOKS:
        return [hook["entry"] for repository in read(path)["repos"] for hook in repository["hooks"]]
    if path.suffix == ".sh":
        return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [step["run"] for step in steps(path) if "run" in step]


def targets() -> set[str]:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))


def wanted(command: str) -> list[str]:
    """The targets that a command line asks make for."""
    words = re.sub(r'-C "[^"]*(\$\([^)]*\))?[^"]*"', "", command.partition("make ")[2]).split()
    return [word for word in words if re.fullmatch("[a-z-]+", word)]


@pytest.mark.parametrize("path", [*WORKFLOWS, *QUALITY, HOOKS], ids=lambda path: path.name)
def test_the_targets_and_the_files_that_are_called_are_there(path: Path) -> None:
    called = commands(path)
    assert called
    for command in called:
        asked = wanted(command)
        assert asked or "make " not in command, command
        assert set(asked) <= targets(), command
        for file in re.findall(r"(?<![\w/$\"])\.?[a-z]+/[\w./]+", command):
            assert (REPOSITORY / file).exists() or file.startswith("dist/"), command


def test_each_pipeline_is_there() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "docs", "release", "security"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_unless_a_job_says_more(path: Path) -> None:
    assert read(path)["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_text_of_strangers_gets_into_a_shell(path: Path) -> None:
    for command in commands(path):
        assert set(re.findall(r"\$\{\{ *(\w+)", command)) <= {"matrix"}, command


def test_ci_tries_the_versions_that_the_package_names() -> None:
    jobs = read(REPOSITORY / ".github" / "workflows" / "ci.yml")["jobs"]
    pyproject = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', pyproject)
    assert jobs["test"]["strategy"]["matrix"]["python"] == named
    matrix = (REPOSITORY / "scripts" / "matrix.py").read_text(encoding="utf-8")
    tried = re.findall(r'"([^"]+)"', re.search(r"^VERSIONS = \((.*)\)$", matrix, flags=re.MULTILINE)[1])  # type: ignore[index]
    assert jobs["dagster"]["strategy"]["matrix"]["version"] == tried


def test_what_is_uploaded_was_built_checked_and_tried_first() -> None:
    jobs = read(REPOSITORY / ".github" / "workflows" / "release.yml")["jobs"]
    publishing = {name for name, job in jobs.items() if "id-token" in job.get("permissions", {})}
    assert publishing == {"testpypi", "pypi"}
    assert set(jobs["testpypi"]["needs"]) == {"ci", "security", "build"}
    assert (jobs["pypi"]["needs"], jobs["page"]["needs"]) == ("testpypi", "pypi")
    built = [step["run"] for step in jobs["build"]["steps"] if "run" in step]
    assert [command.split()[1] for command in built] == ["release-dry-run", "package"]


def test_actionlint_finds_nothing(server_program: Callable[[str], str]) -> None:
    linter = server_program("go/actionlint")
    done = subprocess.run([linter, *WORKFLOWS], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", QUALITY, ids=lambda path: path.name)
def test_a_script_runs_from_any_folder(path: Path, tmp_path: Path) -> None:
    assert os.access(path, os.X_OK)
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\ncd "$2" && pwd -P\n')
    make.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([str(path)], env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == REPOSITORY


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_asks_for_something(path: Path) -> None:
    form = read(path)
    if path.name == "config.yml":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= set(form)
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids) > 0

"""What git knows of a notebook."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from daglab import git


@pytest.fixture
def repository(tmp_path: Path, need: Callable[[object, str], None]) -> Path:
    """A repository with one commit, of nb.py."""
    need(shutil.which("git"), "git is not installed")
    root = tmp_path / "repository"
    root.mkdir()
    (root / "nb.py").write_text("1\n")
    run(root, "init", "-q")
    run(root, "add", ".")
    run(root, "-c", "user.name=n", "-c", "user.email=e@example.com", "commit", "-qm", "m")
    return root


def commit(path: Path) -> git.Commit | None:
    return git.found(git.look(path, os.environ))


def run(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_clean_and_a_changed_tree(repository: Path) -> None:
    head = run(repository, "rev-parse", "HEAD")
    assert commit(repository / "nb.py") == git.Commit(head, dirty=False)
    (repository / "new.py").write_text("2\n")
    assert commit(repository / "nb.py") == git.Commit(head, dirty=True)
    (repository / "new.py").unlink()
    (repository / "nb.py").write_text("3\n")
    assert commit(repository / "nb.py") == git.Commit(head, dirty=True)


def test_other_variables_of_git_do_not_lead_elsewhere(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(repository.parent / "nowhere"))
    assert commit(repository / "nb.py") is not None


def test_a_repository_runs_nothing_of_its_own(repository: Path, tmp_path: Path) -> None:
    run(repository, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    assert commit(repository / "nb.py") is not None
    assert not (tmp_path / "ran").exists()


def test_nothing_is_known(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit(tmp_path / "nb.py") is None  # no repository
    assert commit(tmp_path / "gone" / "nb.py") is None
    empty = tmp_path / "empty"
    empty.mkdir()
    run(empty, "init", "-q")
    assert commit(empty / "nb.py") is None  # no commit yet
    monkeypatch.setenv("PATH", os.devnull)
    assert commit(repository / "nb.py") is None  # no git


def test_git_gets_the_environment_that_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DAGLAB_AUTH_TOKEN", "hunter2222")
    given = {"PATH": os.environ["PATH"], "MARK": "1", "GIT_DIR": "/elsewhere"}
    git.found(git.look(tmp_path / "nb.py", given))
    seen = (tmp_path / "seen").read_text()
    assert "MARK=1" in seen
    assert "hunter2222" not in seen
    assert "/elsewhere" not in seen

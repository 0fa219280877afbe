"""What git knows of a notebook."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from daglab import errors, git


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


@pytest.mark.parametrize("place", [".git/hooks", "own"])
def test_no_hook_runs_while_git_is_asked(repository: Path, tmp_path: Path, place: str) -> None:
    """`status` writes the index where only the time of a file has changed, and that is what fires one."""
    hook, mark, path = repository / place / "post-index-change", tmp_path / "ran", repository / "nb.py"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    hook.chmod(0o755)
    if place == "own":
        run(repository, "config", "core.hooksPath", str(hook.parent))
    os.utime(path, (1, 1))
    run(repository, "status")
    assert mark.exists()  # so it does, where nobody forbids it
    mark.unlink()
    questions: list[Callable[[], object]] = [
        lambda: git.is_modified(path, os.environ),
        lambda: commit(path),
        lambda: git.ask(repository, os.environ, "status", "--porcelain"),
        lambda: git.ask(repository, os.environ, "ls-files", "-z"),
        lambda: git.ignored(repository, os.environ, ["a.log"]),
        lambda: git.author(repository, os.environ),
        lambda: git.is_inside(repository, os.environ),
    ]
    for number, ask in enumerate(questions):
        os.utime(path, (number + 2, number + 2))
        ask()
        assert not mark.exists(), number


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


def staged(root: Path) -> list[str]:
    return run(root, "diff", "--cached", "--name-only").splitlines()


@pytest.fixture
def named(repository: Path) -> Path:
    for name, value in (("user.name", "Some\tBody"), ("user.email", "e@example.com")):
        run(repository, "config", name, value)
    (repository / "other.py").write_text("1\n")
    run(repository, "add", "other.py")
    return repository


@pytest.mark.parametrize("name", ["nb.py", "new [1].py"])
def test_one_file_is_committed_and_what_is_staged_stays_staged(named: Path, name: str) -> None:
    (named / name).write_text("2\n")
    assert git.is_modified(named / name, os.environ) is (name == "nb.py")
    git.commit_file(named / name, "A notebook", os.environ)
    assert run(named, "show", "--name-only", "--format=%s").split("\n\n") == ["A notebook", name]
    assert staged(named) == ["other.py"]
    head = run(named, "rev-parse", "HEAD")
    git.commit_file(named / name, "Again", os.environ)
    assert run(named, "rev-parse", "HEAD") == head  # as it was: there is nothing to commit


@pytest.mark.parametrize("name", ["nb.py", "new.py"])
@pytest.mark.parametrize(("hook", "said"), [("echo no tabs here >&2", "no tabs here"), ("", "it gave no reason")])
def test_a_file_that_a_hook_refuses_is_to_git_what_it_was(named: Path, name: str, hook: str, said: str) -> None:
    path = named / ".git" / "hooks" / "pre-commit"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{hook}\nexit 1\n")
    path.chmod(0o755)
    before, head = run(named, "ls-files", "--stage"), run(named, "rev-parse", "HEAD")
    (named / name).write_text("2\n")
    with pytest.raises(errors.NotGood, match=said):
        git.commit_file(named / name, "m", os.environ)
    assert (run(named, "ls-files", "--stage"), run(named, "rev-parse", "HEAD")) == (before, head)
    assert (named / name).read_text() == "2\n"


def test_what_git_says_of_a_folder(named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (named / ".gitignore").write_text("*.log\n")
    assert git.author(named, os.environ) == "Some Body"
    assert (git.is_inside(named, os.environ), git.is_inside(tmp_path, os.environ)) == (True, False)
    assert git.ignored(named, os.environ, ["a.log", "b.py"]) == ["a.log"]
    assert git.is_modified(named / "unknown.py", os.environ) is False
    assert git.is_modified(tmp_path / "elsewhere.py", os.environ) is False
    monkeypatch.setenv("PATH", os.devnull)  # no git
    assert git.author(named, os.environ) is None
    assert git.ignored(named, os.environ, ["a.log"]) == []
    assert git.is_modified(named / "nb.py", os.environ) is True  # nobody can tell
    assert git.is_modified(tmp_path / "elsewhere.py", os.environ) is False


def test_a_git_that_takes_too_long_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexec /bin/sleep 600\n")
    fake.chmod(0o755)
    monkeypatch.setattr(git, "TIMEOUT", 0.05)
    monkeypatch.setenv("PATH", str(fake.parent))
    asked = git.look(tmp_path / "nb.py", os.environ)
    assert asked is not None
    assert git.found(asked) is None
    assert asked.returncode == -9

"""What git knows of a file: the commit that is checked out around it, and whether the tree was changed since."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daglab import errors, processes

TIMEOUT = 5.0  # seconds; a tree that takes longer to look at is not told of
HOOK_TIMEOUT = 600.0  # seconds; the user's hooks may test a lot
# No hook and no monitor that the repository names is run.
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


@dataclass(frozen=True)
class Commit:
    """A commit by its hash, and whether files of its tree were changed, added or taken away since."""

    hash: str
    dirty: bool


def look(path: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    """Start to ask what commit is around `path`, for `found` to take the answer later; None without git.

    `environ` has no secrets: the repository may name filters that git runs.
    """
    command = ["git", *_SAFE, "-C", str(path.parent), "status", "--porcelain=v2", "--branch"]
    env = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
    env.update(GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", LC_ALL="C")
    try:
        return subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except (OSError, ValueError):
        return None


def found(asked: subprocess.Popen[bytes] | None) -> Commit | None:
    """The commit; None without git, outside of a repository, before its first commit, or when git takes too long."""
    if asked is None:
        return None
    with asked:
        try:
            answer, _ = asked.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            asked.kill()
            return None
    lines = answer.decode("utf-8", "replace").splitlines()
    head = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    if asked.returncode or not head.isalnum():
        return None
    return Commit(head, any(not line.startswith("#") for line in lines))


def author(folder: Path, environ: Mapping[str, str]) -> str | None:
    """Who works here, by the name in git's config; None without git, and where it does not say."""
    return " ".join(ask(folder, environ, "config", "--get", "user.name").split()) or None


def is_inside(folder: Path, environ: Mapping[str, str]) -> bool:
    """Whether a folder belongs to a repository's working tree."""
    return ask(folder, environ, "rev-parse", "--is-inside-work-tree").strip() == "true"


def ask(folder: Path, environ: Mapping[str, str], *words: str) -> str:
    """What git answers to a question, without hooks; nothing where it refuses."""
    try:
        done = _do(folder, environ, *words, safely=True)
    except errors.NotSetUp:  # there is no git
        return ""
    return done.stdout if done.returncode == 0 else ""


def ignored(folder: Path, environ: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """Those of these paths that git would ignore if they were there; none where it can't tell."""
    try:
        done = _do(folder, environ, "check-ignore", "--no-index", "--", *names, safely=True, literally=False)
    except errors.NotSetUp:
        return []
    return done.stdout.splitlines()


def is_modified(path: Path, environ: Mapping[str, str]) -> bool:
    """Whether a file is otherwise, staged or on disk, than the last commit has it; True where git does not say.

    A file that git does not know, and one outside of a repository, is not.
    """
    words = ("status", "--porcelain", "--untracked-files=all", "--", path.name)
    try:
        done = _do(path.parent, environ, *words, safely=True)
    except errors.NotSetUp:  # without git, nobody can tell
        return any((folder / ".git").exists() for folder in path.parents)
    if done.returncode or done.timed_out:
        return "not a git repository" not in done.stderr
    return any(line[:2] != "??" for line in done.stdout.splitlines())


def commit_file(path: Path, message: str, environ: Mapping[str, str]) -> None:
    """Commit one file and nothing else; what is staged otherwise stays staged, and a file as it was is no error.

    The user's own hooks run. Raises `NotGood` with what git says, and then the file is to git what it was before.
    """
    folder, name = path.parent, path.name
    before = ask(folder, environ, "ls-files", "--stage", "--", name).split()
    try:
        done = _do(folder, environ, "add", "--", name)
        if done.returncode == 0 and not ask(folder, environ, "status", "--porcelain", "--", name).strip():
            return
        if done.returncode == 0:
            done = _do(folder, environ, "commit", "--quiet", "--message", message, "--only", "--", name)
        if done.returncode:
            said = "its hook does not end" if done.timed_out else (done.stderr or done.stdout).strip()
            raise errors.NotGood(
                f"{path} is written, and git does not commit it: {said or 'it gave no reason'}", "Commit it yourself."
            )
    except BaseException:  # whatever ends it, the index is as it was
        if before:
            prefix = ask(folder, environ, "rev-parse", "--show-prefix").strip("\n")
            _do(folder, environ, "update-index", "--cacheinfo", f"{before[0]},{before[1]},{prefix}{name}")
        else:
            _do(folder, environ, "rm", "--cached", "--quiet", "--ignore-unmatch", "--", name)
        raise


def _do(
    folder: Path, environ: Mapping[str, str], *words: str, safely: bool = False, literally: bool = True
) -> processes.Finished:
    """Run git, and end what it leaves running; `safely` runs no hook, and waits for a short time alone.

    Paths mean themselves; not every command of git takes that (`literally`).
    """
    env = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
    if literally:
        env["GIT_LITERAL_PATHSPECS"] = "1"
    return processes.run(
        ["git", *(_SAFE if safely else ()), "-C", str(folder), *words],
        env={**env, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        timeout=TIMEOUT if safely else HOOK_TIMEOUT,
    )

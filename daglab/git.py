"""What git knows of a file: the commit that is checked out around it, and whether the tree was changed since."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 5.0  # seconds; a tree that takes longer to look at is not told of
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

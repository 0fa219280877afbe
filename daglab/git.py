"""What git knows of a file: the commit that is checked out around it, and whether the tree was changed since."""

from __future__ import annotations

import os
import subprocess
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


def commit(path: Path) -> Commit | None:
    """The commit around `path`; None without git, outside of a repository, before its first commit, or too late."""
    command = ["git", *_SAFE, "-C", str(path.parent), "status", "--porcelain=v2", "--branch"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env.update(GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", LC_ALL="C")
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    found = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    if done.returncode or not found.isalnum():
        return None
    return Commit(found, any(not line.startswith("#") for line in lines))

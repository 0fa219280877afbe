"""One at a time looks after a project: the lock `.daglab/upkeep.lock`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from daglab import errors, files
from daglab.upkeep import journal, tree

LOCK = f"{tree.HOME}/upkeep.lock"
LONGEST_WAIT = 30.0  # seconds for another one


@contextlib.contextmanager
def alone(root: Path) -> Iterator[bool]:
    """Nobody else cleans, backs up or restores the project meanwhile; a restore that was killed is undone first.

    What is given says whether there was one. Raises `Taken` when another one takes too long.
    """
    require_own(root)
    if not (root / tree.HOME).exists():
        yield False
        return
    with files.held(root / LOCK, LONGEST_WAIT):
        yield journal.recover(root)


def require_own(root: Path) -> None:
    """Raises `InvalidInput` where `.daglab` is anything but a folder of the project."""
    if (root / tree.HOME).is_symlink() or ((root / tree.HOME).exists() and not tree.is_own(root, tree.HOME)):
        raise errors.InvalidInput(f"{root / tree.HOME} is no folder, but a link perhaps.", "Take it away.")

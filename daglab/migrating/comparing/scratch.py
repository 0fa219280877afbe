"""A copy of a notebook's folder to run it in, so that what it writes is written twice nowhere."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Collection
from pathlib import Path

FILES = 500
BYTES = 100_000_000
LEVELS = 3  # folders above that a path like ../../data leads to
ENTRIES = 1000
LEFT_OUT = {
    ".git", "__pycache__", ".ipynb_checkpoints", "__marimo__", ".daglab", "node_modules", ".venv", "venv"
}  # fmt: skip


def copy(folder: Path, place: Path) -> Path:
    """A copy of a folder below `place`; one with more than `FILES` files or `BYTES` bytes is a folder of links to what
    it holds, and where those were more than `ENTRIES`, the folder itself is used.

    The folders above, as far as `LEVELS`, are stood for by ones whose entries are links to theirs: `../data` is there.
    """
    small = _is_small(folder)
    if not small and len(os.listdir(folder)) > ENTRIES:
        return folder
    chain = [folder, *folder.parents[:LEVELS]][::-1]
    inside = place
    inside.mkdir()
    for above, below in itertools.pairwise(chain):
        _link(above, inside, {below.name})
        inside = inside / below.name
        inside.mkdir()
    if not small:
        _link(folder, inside, LEFT_OUT)
        return inside
    with contextlib.suppress(shutil.Error, OSError):  # what can't be read or is no file is not there, then
        shutil.copytree(folder, inside, symlinks=True, ignore=_left_out, dirs_exist_ok=True)
    return inside


def _link(folder: Path, place: Path, without: Collection[str]) -> None:
    with contextlib.suppress(OSError):
        entries = os.listdir(folder)
        for name in entries if len(entries) <= ENTRIES else ():
            if name not in without:
                os.symlink(folder / name, place / name)


def _left_out(_: str, names: list[str]) -> set[str]:
    return LEFT_OUT & set(names)


def _is_small(folder: Path) -> bool:
    files = size = 0
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(path, name)).st_size
            files += 1
        if files > FILES or size > BYTES or len(folders) > FILES:
            return False
    return True

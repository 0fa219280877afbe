"""A restore that is under way, in `.daglab/restore/`: what it does, so that one that was killed is undone.

`new/` holds the files of the archive, checked, `old/` what they take the place of. `journal.json` is written before the
first file is put in place, and deleted after the last: as long as it is there, the restore has not happened. Without
it, the folder is worth nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from daglab import errors, files
from daglab.upkeep import contents, tree

log = logging.getLogger(__name__)

STAGE = f"{tree.HOME}/restore"
NEW, OLD, FILE = f"{STAGE}/new", f"{STAGE}/old", f"{STAGE}/journal.json"
ASIDE = ".before-restore"
LARGEST = 1 << 26  # bytes


@dataclass(frozen=True)
class Move:
    """A file that is put in place: its path, the checksum of what comes, and whether something is there before."""

    path: str
    sha256: str
    replaces: bool


def write(root: Path, notebooks_dir: str, moves: Sequence[Move], folders: Sequence[str]) -> None:
    """Note what is about to be done; `folders` are those that are made for it, the upper ones first."""
    told = {"v": 1, "notebooks_dir": notebooks_dir, "moves": [vars(move) for move in moves], "folders": [*folders]}
    files.write_atomic(root / FILE, json.dumps(told, ensure_ascii=False), mode=0o600, follow=False)
    files.sync_folder(root / STAGE)


def unfinished(root: Path) -> bool:
    """Whether a restore was killed in the middle: the next clean, backup or restore undoes it."""
    return os.path.lexists(root / FILE)


def forget(root: Path) -> None:
    """All of it is done, or undone: from here on, the folder is worth nothing."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(root / FILE)
    files.sync_folder(root / STAGE)


def clear(root: Path) -> None:
    """Remove the folder. Raises `InvalidInput` for a link, or where that can't be."""
    if not os.path.lexists(root / STAGE):
        return
    try:
        if not tree.is_own(root, STAGE):
            raise NotADirectoryError(0, "it is no folder")
        shutil.rmtree(root / STAGE)
    except OSError as error:
        raise errors.InvalidInput(
            f"{root / STAGE} can't be removed: {error.strerror or error}.", "Look at it, and delete it yourself."
        ) from error


def recover(root: Path) -> bool:
    """Undo a restore that was killed in the middle, for who holds the lock; whether there was one.

    Raises `NotGood` for a journal that can't be read.
    """
    found = unfinished(root)
    if found:
        try:
            roll_back(root)
        except OSError as error:
            raise errors.NotGood(
                f"A restore was killed, and can't be undone: {error.strerror or error}: {error.filename}.",
                f"What was there before it lies in {root / OLD}: put it back, then delete {root / STAGE}.",
            ) from error
        log.warning("A restore was killed before it was done; it is undone, and all is as it was before.")
    else:
        clear(root)
    return found


def roll_back(root: Path) -> None:
    """Put back what was there before, as the journal says; can be done again, however often it is broken off."""
    moves, folders = _read(root)
    for move in reversed(moves):
        if move.replaces:
            _put_back(root, move)
        else:
            _take_away(root, move)
    for folder in reversed(folders):
        with contextlib.suppress(OSError), tree.opened(root, tree.parent(folder)) as above:
            os.rmdir(tree.name(folder), dir_fd=above)
    forget(root)
    clear(root)


def has(root: Path, path: str, sha256: str) -> bool:
    """Whether a file of the project has these bytes."""
    try:
        with tree.reading(root, path) as file:
            digest = hashlib.sha256()
            while block := file.read(contents.BLOCK):
                digest.update(block)
    except OSError:
        return False
    return digest.hexdigest() == sha256


def _put_back(root: Path, move: Move) -> None:
    """The file as it was. Where somebody has worked on the one that came, that stays, and the old one is put beside."""
    old = tree.look(root, f"{OLD}/{move.path}")
    if old is None or not stat.S_ISREG(old.st_mode):
        return
    now = tree.look(root, move.path)
    target = move.path
    if now and not os.path.samestat(now, old) and not has(root, move.path, move.sha256):
        target = f"{move.path}{ASIDE}"
        log.warning("%s was changed after it was restored, and stays; what was there before is %s.", move.path, target)
    if now is None:
        os.makedirs((root / move.path).parent, exist_ok=True)
    with (
        tree.opened(root, tree.parent(f"{OLD}/{move.path}")) as source,
        tree.opened(root, tree.parent(move.path)) as place,
    ):
        os.replace(tree.name(move.path), tree.name(target), src_dir_fd=source, dst_dir_fd=place)


def _take_away(root: Path, move: Move) -> None:
    """A file that was put where nothing was, and that is still what came: one file with that in `new/`."""
    new, now = tree.look(root, f"{NEW}/{move.path}"), _look(root, move.path)
    if new and now and os.path.samestat(new, now) and has(root, move.path, move.sha256):
        with tree.opened(root, tree.parent(move.path)) as place:
            os.unlink(tree.name(move.path), dir_fd=place)


def _look(root: Path, path: str) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return tree.look(root, path)
    return None


def _read(root: Path) -> tuple[list[Move], list[str]]:
    """What the journal says; nobody's journal leads elsewhere than a restore does."""
    try:
        if (root / FILE).lstat().st_size > LARGEST or not tree.is_own(root, STAGE):
            raise ValueError(FILE)
        found = json.loads(files.read_own(root / FILE))
        notebooks_dir = str(found["notebooks_dir"])
        moves = [_move(each, notebooks_dir) for each in found["moves"]]
        folders = [str(each) for each in found["folders"]]
        if any(contents.problem(f"{each}/x", notebooks_dir) and not _is_above(each, notebooks_dir) for each in folders):
            raise ValueError(folders)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise errors.NotGood(
            f"{root / FILE}, of a restore that was killed, can't be read.",
            f"What was there before it lies in {root / OLD}: look at it, then delete {root / STAGE}.",
        ) from None
    return moves, folders


def _is_above(folder: str, notebooks_dir: str) -> bool:
    return PurePosixPath(folder) in (PurePosixPath(notebooks_dir), *PurePosixPath(notebooks_dir).parents)


def _move(each: Any, notebooks_dir: str) -> Move:
    move = Move(str(each["path"]), str(each["sha256"]), bool(each["replaces"]))
    if contents.problem(move.path, notebooks_dir):
        raise ValueError(move.path)
    return move

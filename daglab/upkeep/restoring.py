"""Bringing back what an archive holds: all of it or nothing, and nowhere but where a backup takes from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from daglab import errors, files, json_lines
from daglab.dev import record
from daglab.settings import config
from daglab.upkeep import archives, contents, journal, tree

SPARE_ROOM = 1 << 24  # bytes that stay free
NEW, CHANGED, SAME, GROWN = "new", "changed", "same", "grown"
KINDS = (NEW, CHANGED, SAME, GROWN)


@dataclass(frozen=True)
class Change:
    """What becomes of a file of the archive: `new`, `changed` (what is there is replaced), `same`.

    Or `grown`: lines were added to it since, and it stays, for all that the archive has is in it.
    """

    entry: contents.Entry
    what: str


def compare(root: Path, path: Path, notebooks_dir: str | None) -> list[Change]:
    """What restoring an archive would do; it is read to its end, and nothing is written.

    `notebooks_dir` is the project's own, None where it has no config that can be read; then the archive's counts.
    Raises as `archives.read` does, and `InvalidInput` where a file can't be put in its place.
    """
    manifest = archives.read(path)
    _require_folder(manifest, notebooks_dir)
    return [_compared(root, entry) for entry in manifest.entries]


def restore(root: Path, path: Path, notebooks_dir: str | None) -> list[Change]:
    """Put the files of an archive in their places, for who holds the lock; what became of each.

    Whatever goes wrong, and whatever stops it, all is then as it was before; after a SIGKILL or a power cut, once
    `journal.recover` was there. Raises as `compare` does, and `Taken` while `daglab dev` runs.
    """
    files.make_folder(root / tree.HOME)
    with record.held(root):
        journal.clear(root)
        try:
            manifest = archives.read(
                path,
                begin=lambda told: _begin(root, told, notebooks_dir),
                take=lambda entry, blocks: _unpack(root, entry, blocks),
            )
            changes = [_compared(root, entry) for entry in manifest.entries]
            _put_in_place(root, manifest.notebooks_dir, [each for each in changes if each.what in (NEW, CHANGED)])
        except OSError as error:
            raise errors.InvalidInput(
                f"The archive can't be restored: {error.strerror or error}.", "Nothing was changed."
            ) from error
        finally:
            if not journal.unfinished(root):
                journal.clear(root)
    return changes


def own_notebooks_dir(root: Path) -> str | None:
    """The notebooks folder that the project's config names; None where there is none that can be read."""
    with contextlib.suppress(errors.DaglabError):
        if (root / contents.CONFIG).is_file():
            return config.load({"env": ""}, directory=root).notebooks_dir
    return None


def _unpack(root: Path, entry: contents.Entry, blocks: Iterator[bytes]) -> None:
    """Write a file of the archive where it waits."""
    path = root / journal.NEW / entry.path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:
        for block in blocks:
            file.write(block)
        os.fchmod(file.fileno(), entry.mode)
        file.flush()
        os.fsync(file.fileno())


def _begin(root: Path, manifest: archives.Manifest, notebooks_dir: str | None) -> None:
    _require_folder(manifest, notebooks_dir)
    free = shutil.disk_usage(root).free
    if manifest.bytes + SPARE_ROOM > free:
        raise errors.InvalidInput(
            f"The archive holds {manifest.bytes} bytes, and the disk has room for {free}.", "Make room first."
        )
    for folder in (journal.STAGE, journal.NEW, journal.OLD):
        (root / folder).mkdir(mode=0o700)


def _require_folder(manifest: archives.Manifest, notebooks_dir: str | None) -> None:
    """The project says where its notebooks are. Without a config of its own, no archive takes all of it for that."""
    theirs = PurePosixPath(manifest.notebooks_dir)
    if notebooks_dir is None and theirs.parts:
        return
    if notebooks_dir is None or PurePosixPath(notebooks_dir) != theirs:
        raise errors.InvalidInput(
            f"The archive's notebooks lie in {manifest.notebooks_dir}, the project's in {notebooks_dir or 'none'}.",
            f"Write notebooks_dir: {manifest.notebooks_dir} into daglab.yaml first, if that is right.",
        )


def _compared(root: Path, entry: contents.Entry) -> Change:
    """Raises `InvalidInput` where something else than a file lies at a path, or than folders on the way to it."""
    try:
        its = tree.look(root, entry.path)
        if its is None:
            return Change(entry, NEW)
        if not stat.S_ISREG(its.st_mode):
            raise OSError("it is there, and no ordinary file")
        if its.st_size < entry.size or (its.st_size > entry.size and not contents.is_lines(entry.path)):
            return Change(entry, CHANGED)
        is_begin = _digest(root, entry.path, entry.size) == entry.sha256
    except OSError as error:
        raise errors.InvalidInput(
            f"{root / entry.path} can't be restored: {error.strerror or error}.", "Look at it; nothing was changed."
        ) from error
    if not is_begin:
        return Change(entry, CHANGED)
    return Change(entry, SAME if its.st_size == entry.size else GROWN)


def _digest(root: Path, path: str, size: int) -> str:
    """The checksum of the first bytes of a file."""
    digest = hashlib.sha256()
    with tree.reading(root, path) as file:
        while size and (block := file.read(min(size, contents.BLOCK))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()


def _put_in_place(root: Path, notebooks_dir: str, changes: Sequence[Change]) -> None:
    if not changes:
        return
    moves = [journal.Move(each.entry.path, each.entry.sha256, each.what == CHANGED) for each in changes]
    folders = _missing_folders(root, [move.path for move in moves])
    try:
        journal.write(root, notebooks_dir, moves, folders)
        for folder in folders:
            (root / folder).mkdir()
        for move in moves:
            _put(root, move)
        for place in {tree.parent(move.path) for move in moves}:
            files.sync_folder(root / place)
        journal.forget(root)
    except BaseException:  # a signal, too
        if journal.unfinished(root):
            journal.roll_back(root)
        raise


def _put(root: Path, move: journal.Move) -> None:
    """At every moment there is a whole file, the old one or the new one, where there was one before."""
    new, name = root / journal.NEW / move.path, tree.name(move.path)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tree.opened(root, tree.parent(move.path)))
        if not move.replaces:
            os.link(new, name, dst_dir_fd=place, follow_symlinks=False)
            return
        if contents.is_lines(move.path):
            stack.enter_context(json_lines.held(root / move.path))
        old = root / journal.OLD / move.path
        old.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.link(name, old, src_dir_fd=place, follow_symlinks=False)
        os.replace(new, name, dst_dir_fd=place)


def _missing_folders(root: Path, paths: Sequence[str]) -> list[str]:
    """The folders that are to be made, the upper ones first."""
    wanted = {str(above) for path in paths for above in PurePosixPath(path).parents if above.parts}
    return sorted(folder for folder in wanted if not os.path.lexists(root / folder))

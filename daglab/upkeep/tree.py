"""The folders of a project, looked into without following a link: each one on the way is opened as a folder."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

HOME = ".daglab"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def opened(root: Path, place: str) -> Iterator[int]:
    """The descriptor of a folder by its path from the project's root. Raises `OSError` for what is none."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in PurePosixPath(place).parts:
            below = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def entries(root: Path, place: str) -> list[tuple[str, os.stat_result]]:
    """What a folder of the project holds, by name; nothing of one that is missing, or can't be looked into."""
    found = []
    with contextlib.suppress(OSError), opened(root, place) as folder:
        for name in sorted(os.listdir(folder)):
            with contextlib.suppress(OSError):
                found.append((name, os.stat(name, dir_fd=folder, follow_symlinks=False)))
    return found


def is_own(root: Path, place: str) -> bool:
    """Whether a folder of the project is there, and no part of the way to it is a link."""
    try:
        with opened(root, place):
            return True
    except OSError:
        return False


def look(root: Path, path: str) -> os.stat_result | None:
    """What lies at a path, None for nothing. Raises `OSError` where the way to it is none of folders."""
    try:
        with opened(root, parent(path)) as folder:
            return os.stat(name(path), dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def reading(root: Path, path: str) -> Iterator[BinaryIO]:
    """An ordinary file of the project, open for reading. Raises `OSError`, for what is none, too."""
    with opened(root, parent(path)) as folder:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name(path), flags, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no ordinary file")
        with open(descriptor, "rb", closefd=False) as file:  # it would leave one open that it refuses
            yield file
    finally:
        os.close(descriptor)


def parent(path: str) -> str:
    """The folder of a path."""
    return str(PurePosixPath(path).parent)


def name(path: str) -> str:
    """The last part of a path."""
    return PurePosixPath(path).name

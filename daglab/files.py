"""Files that survive a crash: atomic writes, locks, paths that stay inside their folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from daglab import errors

PROJECT_MARKS = ("daglab.yaml", ".git")
LONGEST_TEXT = 1 << 26  # bytes
LONGEST_LOCK = 5.0  # seconds
BLOCK = 1 << 16  # bytes that are read at a time
LOOK_SECONDS = 0.001  # between two looks whether a lock is free
LONG_HOLD = 0.02  # seconds


def is_special(path: Path) -> bool:
    """Whether a path is something else than an ordinary file, there or to be made: a folder, a device, a pipe.

    All of /dev and /proc: /dev/stdout may lead to the very file that our output goes to.
    """
    inside = Path(os.path.abspath(path)).parts[1:2]
    return inside in (("dev",), ("proc",)) or (os.path.exists(path) and not os.path.isfile(path))


def write_atomic(path: Path, content: str | bytes, *, mode: int | None = None, follow: bool = True) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of one; text becomes UTF-8.

    As `replacing` does it, and raises as that does.
    """
    with replacing(path, mode=mode, follow=follow) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path, *, mode: int | None = None, follow: bool = True) -> Iterator[BinaryIO]:
    """What is written inside takes the place of a file once it is whole; when it ends with an error, nothing does.

    Keeps the mode of a file that is there unless `mode` says another. Makes missing folders. A symbolic link stays,
    and its target is replaced; without `follow` it is the link: nobody may lead daglab's own files astray.
    Raises `InvalidInput` when the folder can't be written, and for a folder or a device: /dev/null must stay one.
    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        target = Path(os.path.realpath(path)) if follow else path
        if is_special(path):
            raise errors.InvalidInput(f"{path} is not an ordinary file.", "Name a file that may be replaced.")
        descriptor, temporary = tempfile.mkstemp(prefix=_temporary(target), dir=target.parent)
        try:
            with open(descriptor, "wb") as file:
                yield file
                os.fchmod(file.fileno(), _mode(target) if mode is None else mode)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:  # a signal, too, leaves no temporary file behind
            os.unlink(temporary)
            raise


def write_new(path: Path, content: str | bytes) -> None:
    """Write a file that must not be there yet, whole or not at all, also when two do so at once; text becomes UTF-8.

    Makes missing folders. Raises `Taken` when there is one, `InvalidInput` when the folder can't be written.
    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=_temporary(path)) as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), _mode(path))
            try:
                os.link(file.name, path)
            except FileExistsError:
                raise errors.Taken(
                    f"{path} is there already.", "It is left as it is: delete or rename it first."
                ) from None


def make_folder(path: Path) -> None:
    """Make a folder and the ones above it. Raises `InvalidInput` when that can't be."""
    with _named(path):
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Two that change files of a folder do so one after the other. Raises `Taken` when one is at it for too long."""
    make_folder(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        wait_for_lock(descriptor, time.monotonic() + LONGEST_LOCK)
        yield
    except BlockingIOError:
        raise errors.Taken(f"Somebody is changing files in {folder}.", "Try again when they have done.") from None
    finally:
        os.close(descriptor)


def open_lock(path: Path) -> int:
    """The descriptor of a file that stands for a lock; it is made when it is missing, and no link is followed."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock, which goes with the descriptor, however the process ends; whether it could be had at once."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(descriptor: int, deadline: float) -> None:
    """Take the lock that goes with the descriptor. Raises `BlockingIOError` when it can't be had by `deadline`.

    That is by time.monotonic(): who holds it longer than a line takes does not hold up a command for ever.
    """
    while not try_lock(descriptor):
        if time.monotonic() >= deadline:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        time.sleep(LOOK_SECONDS)


def is_still_at(path: Path, descriptor: int) -> bool:
    """Whether a file that is open is still the one at its path: somebody may have replaced or deleted it."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    return False


@contextlib.contextmanager
def held(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock that the file `path` stands for; it is made when it is missing, in a folder that is there.

    Threads of one process exclude each other, too. Raises `Taken` when it could not be had in so many `seconds`, and
    `InvalidInput` when the folder can't be written.
    """
    descriptor = _take(path, time.monotonic() + seconds)
    began = time.monotonic()
    try:
        yield
    finally:
        # Let go by name: a child that was forked meanwhile has the descriptor, too, and would keep the lock with it.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
        if time.monotonic() - began > LONG_HOLD:  # who comes again at once would leave no gap for those who look
            time.sleep(2 * LOOK_SECONDS)


def replace_held(path: Path, content: bytes, kept_as: Path) -> None:
    """Write a file for its owner alone as `write_atomic` does, and keep what was there under the name `kept_as`.

    For who holds a lock: the temporary file's name is always the same, so that one that was killed leaves nothing that
    the next does not clear away. At every moment there is a whole file at `path`, once there was one.
    """
    new = path.with_name(f"{path.name}.new")
    with _named(path):
        new.unlink(missing_ok=True)
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if os.path.lexists(path):
                kept_as.unlink(missing_ok=True)
                os.link(path, kept_as, follow_symlinks=False)
            os.replace(new, path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def read_own(path: Path) -> bytes:
    """A file that daglab has made: not through a link, and no pipe or device that somebody has put there."""
    with open_own(path) as file:
        return file.read()


def read_text(path: Path, what: str) -> str:
    """The text of a file that the user named; `what` says what it is for ("run config").

    Raises `NotSetUp` for a file that is missing, `InvalidInput` for one that is unreadable or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_TEXT + 1)
        if len(content) > LONGEST_TEXT:
            raise errors.InvalidInput(f"The {what} {path} is larger than 64 MB.", "Name another file.")
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise errors.NotSetUp(f"The {what} {path} does not exist.", "Check the path.") from None
    except OSError as error:
        raise errors.InvalidInput(
            f"The {what} {path} can't be read: {error.strerror}.", "Name a file that you may read."
        ) from error
    except UnicodeDecodeError:
        raise errors.InvalidInput(f"The {what} {path} is not UTF-8 text.", "Save it as UTF-8.") from None


def holder(start: Path, own: Path) -> Path:
    """The nearest folder, upwards from `start`, with the user's file or folder `own` in it; else `start`.

    It is not looked for beyond the folder of a project's file or of a git repository, which is it then. What somebody
    else has put there does not count.
    """
    for folder in (start, *start.parents):
        with contextlib.suppress(OSError):
            if (folder / own).lstat().st_uid == os.getuid():
                return folder
        if any(os.path.exists(folder / name) for name in PROJECT_MARKS):
            return folder
    return start


def inside(root: Path, path: Path) -> Path | None:
    """`path` relative to `root`, both with symbolic links resolved; None when it lies outside."""
    try:
        return Path(os.path.realpath(path)).relative_to(os.path.realpath(root))
    except ValueError:
        return None


def sha256(path: Path) -> str | None:
    """The hash of an ordinary file's content, in hex; None for what is none, or can't be read."""
    import hashlib

    digest = hashlib.sha256()
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


@contextlib.contextmanager
def open_own(path: Path) -> Iterator[BinaryIO]:
    """Open a file that daglab has made for reading, as `read_own` does."""
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is no ordinary file")
        yield file


def _take(path: Path, deadline: float) -> int:
    """The descriptor of a lock that is ours, and that still stands at its path: somebody may have deleted the file."""
    while True:
        with _named(path):
            descriptor = open_lock(path)
        try:
            while not try_lock(descriptor):
                if time.monotonic() >= deadline:
                    raise errors.Taken(f"Somebody else holds the lock {path}.", "Try again when they have done.")
                time.sleep(LOOK_SECONDS)
            if is_still_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Have the names of a folder outlast a power cut, where the file system can; they are in place all the same."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _temporary(path: Path) -> str:
    """How the temporary file for a path begins: short, as the name itself may be as long as a name can be."""
    return f".{path.name[:50]}."


def _mode(path: Path) -> int:
    """The mode of a file that is there, else what a new one would get."""
    try:
        return path.stat().st_mode & 0o7777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        a_file = isinstance(error, (FileExistsError, NotADirectoryError))
        reason = "a part of its path is a file, not a folder" if a_file else error.strerror or str(error)
        raise errors.InvalidInput(
            f"{path} can't be written: {reason}.",
            "Choose a folder that you may write to, or make room on the disk.",
        ) from error

"""A folder of this machine, or one that is mounted there, as a place to upload to."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path

from daglab import errors, files
from daglab.storage import places, transfers

_TEMPORARY = ".daglab-upload-"  # what a put that was killed may leave, and no listing shows


def put(
    place: places.Place,
    key: str,
    path: Path,
    *,
    content_type: str,
    content_encoding: str | None = None,
    metadata: Mapping[str, str] | None = None,
    timeout: float,
) -> places.Stored:
    """See `objects.put`. Who reads sees the old file or the new one; the types and the metadata have no place there."""
    del content_type, content_encoding, metadata, timeout
    sent = transfers.measured(path)
    target = _target(place, key, new=True)
    with _named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=target.parent)
        try:
            with open(descriptor, "wb") as file, path.open("rb") as source:
                while piece := source.read(1 << 20):
                    file.write(piece)
                os.fchmod(file.fileno(), 0o666 & ~_umask())
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:  # a signal, too, leaves no temporary file behind
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        files.sync_folder(target.parent)
    where = places.address(place, key)
    if transfers.measured(target) != sent:
        raise errors.OutcomeUnknown(f"{where} is not what was written there.", "Write it again; look at the disk.")
    return places.Stored(where, key, where, sent.bytes, sent.sha256, "file")


def look(place: places.Place, key: str) -> places.Found | None:
    """See `objects.look`. The checksum is that of the file as it is now."""
    target = _target(place, key)
    with _named(target):
        try:
            found = target.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
    if files.is_special(target):
        raise errors.InvalidInput(f"{target} is not an ordinary file.", f"Look at it: ls -ld {target}")
    return places.Found(key, found.st_size, transfers.measured(target).sha256, _moment(found.st_mtime))


def delete(place: places.Place, key: str) -> bool:
    """See `objects.delete`."""
    target = _target(place, key)
    with _named(target):
        try:
            target.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        files.sync_folder(target.parent)
    return True


def listing(place: places.Place) -> Iterator[places.Found]:
    """See `objects.listing`. No symbolic link is followed; checksums are for `look`."""
    root = _root(place)
    for folder, names, inside in os.walk(root):
        names.sort()
        for name in sorted(inside):
            path = Path(folder, name)
            if name.startswith(_TEMPORARY) or path.is_symlink() or not path.is_file():
                continue
            found = path.stat()
            yield places.Found(path.relative_to(root).as_posix(), found.st_size, None, _moment(found.st_mtime))


def sign(place: places.Place, key: str, seconds: int) -> places.Signed:
    """See `objects.sign`: nobody asks for a signature there."""
    del seconds
    raise errors.InvalidInput(
        f"{places.address(place, key)} is a file: there is nothing to sign.", "Leave out --sign, or upload to a cloud."
    )


def check(place: places.Place, timeout: float) -> str:
    """See `objects.check`."""
    del timeout
    root = _root(place)
    if not os.access(root, os.W_OK | os.X_OK):
        raise errors.InvalidInput(f"{root} can't be written.", f"Look at its permissions: ls -ld {root}")
    return f"{root} can be written"


def _root(place: places.Place) -> Path:
    """The folder, which has to be there: what is not mounted must not be filled."""
    root = Path(place.prefix)
    if not root.is_dir():
        raise errors.InvalidInput(f"There is no folder {root}.", f"Make it, or mount it: mkdir -p {root}")
    return root


def _target(place: places.Place, key: str, *, new: bool = False) -> Path:
    """The file of a key, which symbolic links do not lead out of the folder. A new one replaces no folder or device."""
    root = _root(place)
    target = root / places.checked_key(key)
    if files.inside(root, target.parent) is None:
        raise errors.InvalidInput(f"{target} leads out of {root}.", "A symbolic link there does; remove it.")
    if new and files.is_special(target):
        raise errors.InvalidInput(f"{target} is not an ordinary file.", "Name it another way.")
    return target


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of the file system as `InvalidInput` that names the file."""
    try:
        yield
    except OSError as error:
        raise errors.InvalidInput(
            f"{path} can't be written or read: {error.strerror or error}.", f"Look at it: ls -ld {path.parent}; df -h"
        ) from None

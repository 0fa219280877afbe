"""Archives of a project: a gzipped tar whose first member, `manifest.json`, tells of all the others.

What is read may be anybody's: nothing of a tar's many forms but ordinary files is taken, each must be just what the
manifest says, in its order, and no more is read of it than that.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from daglab import __version__, errors, files
from daglab.upkeep import contents

VERSION = 1
MANIFEST = "manifest.json"
FOLDER = ".daglab/backups"
NAME = re.compile(r"daglab-[\w-]{1,60}-\d{8}T\d{6}Z(-\d+)?\.tar\.gz")
LARGEST_MANIFEST = 1 << 26  # bytes
LARGEST_HEADER = 1 << 16  # bytes of what may be said of a long name
LONGEST_SIZE = 20  # digits; Python itself refuses to read very many
MOST_PADDING = 1 << 16  # bytes
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Manifest:
    """What an archive says it holds: of which project, when it was made, its notebooks folder, and each file."""

    project: str
    created: str
    notebooks_dir: str
    entries: tuple[contents.Entry, ...]

    @property
    def bytes(self) -> int:
        """The bytes of all files."""
        return sum(entry.size for entry in self.entries)


class _Broken(Exception):
    """An archive is not what daglab makes."""


def project_name(root: Path) -> str:
    """The project's name as it stands in the names of its archives."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", root.name)[:60] or "project"


def create(root: Path, notebooks_dir: str, folder: Path) -> tuple[Path, Manifest, list[tuple[str, str]]]:
    """Write an archive of a project into a folder; where it is, what it holds, and what was left out and why.

    It gets its name once it was read back. Raises `InvalidInput` when it can't be written or a file can't be read,
    and `NotGood` when it does not read back.
    """
    files.make_folder(folder)
    now = datetime.now(timezone.utc).replace(microsecond=0)
    paths, left = contents.find(root, notebooks_dir)
    project = project_name(root)
    _clear_up(folder, project)
    try:
        # The manifest comes first, so that no byte is unpacked that it does not tell of: all is copied once before.
        with tempfile.TemporaryFile(dir=folder) as copies:
            copied = (contents.copy(root, path, copies) for path in paths)
            manifest = Manifest(project, now.isoformat(), notebooks_dir, tuple(entry for entry in copied if entry))
            copies.seek(0)
            path = _write(folder, f"daglab-{project}-{now:%Y%m%dT%H%M%SZ}", manifest, copies)
    except OSError as error:
        raise errors.InvalidInput(
            f"The archive can't be written to {folder}: {error.strerror or error}.",
            "Make room, or name another folder with --output. Nothing is left of it.",
        ) from error
    return path, manifest, left


def read(
    path: Path,
    begin: Callable[[Manifest], None] | None = None,
    take: Callable[[contents.Entry, Iterator[bytes]], None] | None = None,
) -> Manifest:
    """Read an archive to its end, and make sure that it is whole and just what daglab could have made.

    `begin` gets the manifest before anything else is read, `take` each file with its bytes, which it has to read; their
    checksum is compared after that. Raises `NotSetUp` for an archive that is missing, and `InvalidInput` for one that
    can't be read, is torn, or holds anything else.
    """
    if not os.path.lexists(path):
        raise errors.NotSetUp(f"There is no archive {path}.", "`daglab backup list` lists those of this project.")
    if files.is_special(path):
        raise errors.InvalidInput(f"{path} is no ordinary file.", "Name an archive.")
    try:
        with gzip.GzipFile(path, "rb") as stream:
            return _read(stream, begin, take)
    except (_Broken, EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as flaw:
        why = "it ends too early" if isinstance(flaw, EOFError) else str(flaw)
        raise errors.InvalidInput(
            f"{path} is not a whole archive of daglab's: {why}.", "Take another one: `daglab backup list`."
        ) from None
    except OSError as error:
        raise errors.InvalidInput(f"{path} can't be read: {error.strerror or error}.", "Look at it.") from error


def every(folder: Path) -> Iterator[dict[str, Any]]:
    """The archives in a folder by name: path, when it was made, its bytes and number of files, whether it is whole."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in sorted(os.listdir(folder)):
            path = folder / name
            if NAME.fullmatch(name) and path.is_file() and not path.is_symlink():
                yield _looked_at(path)


def _looked_at(path: Path) -> dict[str, Any]:
    found = {"path": str(path), "created": None, "bytes": path.stat().st_size, "files": None, "whole": False}
    told: list[Manifest] = []
    problem = None
    try:
        read(path, begin=told.append)
        found["whole"] = True
    except errors.DaglabError as error:
        problem = error.message
    if told:
        found.update(created=told[0].created, files=len(told[0].entries))
    return {**found, "problem": problem}


def _write(folder: Path, stem: str, manifest: Manifest, copies: BinaryIO) -> Path:
    """Write it under a temporary name, read it back, and give it its own: it is there whole, or not at all."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{stem}.tar.gz.", dir=folder)
    try:
        with open(descriptor, "wb") as file:
            files.try_lock(file.fileno())  # one that nobody holds was left by a killed one
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                _pack(packed, manifest, copies)
            file.flush()
            os.fsync(file.fileno())
            try:
                same = read(Path(temporary)) == manifest
            except errors.InvalidInput as error:
                raise errors.NotGood(f"The archive does not read back: {error.message}", "Look at the disk.") from None
            if not same:
                raise errors.NotGood("The archive does not read back as it was written.", "Look at the disk.")
            path = _named(folder, stem, temporary)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    files.sync_folder(folder)
    return path


def _named(folder: Path, stem: str, temporary: str) -> Path:
    """Its name, which no archive has: two of one second get a number."""
    number = 1
    while True:
        path = folder / (f"{stem}.tar.gz" if number == 1 else f"{stem}-{number}.tar.gz")
        try:
            os.link(temporary, path)
            return path
        except FileExistsError:
            number += 1


def _clear_up(folder: Path, project: str) -> None:
    """Remove what killed ones have left here: nobody holds its lock."""
    left = re.compile(rf"\.daglab-{re.escape(project)}-\d{{8}}T\d{{6}}Z\.tar\.gz\.[a-z0-9_]{{8}}")
    for name in os.listdir(folder):
        if left.fullmatch(name):
            with contextlib.suppress(OSError):
                descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    if files.try_lock(descriptor):
                        os.unlink(folder / name)
                finally:
                    os.close(descriptor)


def _pack(target: Any, manifest: Manifest, copies: BinaryIO) -> None:
    head = {
        "v": VERSION,
        "daglab": __version__,
        **{name: getattr(manifest, name) for name in ("project", "created", "notebooks_dir")},
        "files": [vars(entry) for entry in manifest.entries],
    }
    text = json.dumps(head, ensure_ascii=False, indent=1).encode()
    at = int(datetime.fromisoformat(manifest.created).timestamp())
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path, size, mode in ((MANIFEST, len(text), 0o600), *((e.path, e.size, e.mode) for e in manifest.entries)):
            member = tarfile.TarInfo(path)
            member.size, member.mode, member.mtime = size, mode, at
            tar.addfile(member, io.BytesIO(text) if path == MANIFEST else copies)


def _read(
    stream: gzip.GzipFile,
    begin: Callable[[Manifest], None] | None,
    take: Callable[[contents.Entry, Iterator[bytes]], None] | None,
) -> Manifest:
    first = _header(stream)
    if first is None or first[0] != MANIFEST or first[1] > LARGEST_MANIFEST:
        raise _Broken("it does not begin with a manifest")
    manifest = _manifest(b"".join(_content(stream, first[1])))
    if begin:
        begin(manifest)
    for entry in manifest.entries:
        if _header(stream) != (entry.path, entry.size):
            raise _Broken(f"what follows is not the manifest's {entry.path!r}")
        digest = hashlib.sha256()
        content = _watched(_content(stream, entry.size), digest)
        if take:
            take(entry, content)
        for _ in content:
            pass
        if digest.hexdigest() != entry.sha256:
            raise _Broken(f"{entry.path!r} has another checksum")
    if _header(stream) is not None:
        raise _Broken("it holds more than its manifest tells of")
    rest = stream.read(MOST_PADDING + 1)
    if len(rest) > MOST_PADDING or rest.strip(b"\0"):
        raise _Broken("something follows its end")
    return manifest


def _header(stream: gzip.GzipFile) -> tuple[str, int] | None:
    """The name and size of the next member, which is an ordinary file; None at the end."""
    long: dict[str, str] = {}
    while True:
        block = stream.read(_BLOCK)
        if len(block) < _BLOCK:
            raise _Broken("it ends too early")
        if not block.strip(b"\0"):
            return None
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if member.type == tarfile.XHDTYPE and 0 < member.size <= LARGEST_HEADER and not long:
            long = _pax(b"".join(_content(stream, member.size)))
            continue
        if member.type != tarfile.REGTYPE or block[156:157] != tarfile.REGTYPE:
            raise _Broken(f"it holds {member.name!r}, which is no ordinary file")
        return long.get("path", member.name), int(long.get("size", member.size))


def _pax(text: bytes) -> dict[str, str]:
    """What an extended header says of the next member: its name, its size; nothing else is taken."""
    found: dict[str, str] = {}
    for line in text.split(b"\n")[:-1]:
        key, equals, value = line.partition(b" ")[2].partition(b"=")
        is_number = value.isdigit() and len(value) <= LONGEST_SIZE
        if not equals or key not in (b"path", b"size") or (key == b"size" and not is_number):
            raise _Broken("it says something strange of a file")
        found[key.decode()] = value[:LARGEST_HEADER].decode("utf-8", "surrogateescape")
    return found


def _content(stream: gzip.GzipFile, size: int) -> Iterator[bytes]:
    """The bytes of a member, and past what fills its last block."""
    left = size
    while left:
        block = stream.read(min(left, contents.BLOCK))
        if not block:
            raise _Broken("it ends too early")
        left -= len(block)
        yield block
    stream.read(-size % _BLOCK)


def _watched(blocks: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for block in blocks:
        digest.update(block)
        yield block


def _manifest(text: bytes) -> Manifest:
    """The manifest, and that each of its paths is one that a backup may hold. Raises `_Broken`."""
    try:
        found = json.loads(text)
        version = found["v"]
        if type(version) is int and version > VERSION:
            raise _Broken(f"a newer daglab has made it (format {version})")
        texts = {name: found[name] for name in ("project", "created", "notebooks_dir")}
        entries = tuple(_entry(each) for each in found["files"])
        if version != VERSION or not all(isinstance(text, str) for text in texts.values()):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _Broken("its manifest is none") from None
    _check_paths(entries, texts["notebooks_dir"])
    return Manifest(entries=entries, **texts)


def _entry(each: Any) -> contents.Entry:
    path, size, mode, digest = each["path"], each["size"], each["mode"], each["sha256"]
    kinds = isinstance(path, str) and isinstance(digest, str) and type(size) is int and type(mode) is int
    if not kinds or size < 0 or not _SHA256.fullmatch(digest):
        raise ValueError(path)
    if mode & ~0o777 or mode < 0:
        raise _Broken(f"{path!r} would have a mode that no file of a project has")
    return contents.Entry(path, size, mode, digest)


def _check_paths(entries: Sequence[contents.Entry], notebooks_dir: str) -> None:
    """No path leads elsewhere, is there twice, or goes through another one as if that were a folder."""
    seen: set[str] = set()
    for entry in entries:
        if why := contents.problem(entry.path, notebooks_dir):
            raise _Broken(f"{entry.path!r} has no place in it: {why}")
        folded = contents.folded(entry.path)
        if folded in seen:
            raise _Broken(f"{entry.path!r} is there twice, for some file systems at least")
        seen.add(folded)
    for path in seen:
        parts = path.split("/")
        if any("/".join(parts[:number]) in seen for number in range(1, len(parts))):
            raise _Broken(f"{path!r} would lie in a file")

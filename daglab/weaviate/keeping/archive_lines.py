"""The file that a collection is kept in, version 1: JSON lines in gzip members, and a sum of every byte of them.

The first line is the head, the last one the end, each in a member of its own; between them each line is an object, in
the order of tenants and ids. `sha256` in the end is h(n), n being the members before it: h(0) is 32 zero bytes, h(i)
the SHA-256 of h(i-1) and the SHA-256 of member i as it is in the file. The end is stored, not compressed: there is one
way only to write it, so that no byte of the file can be another one unnoticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from daglab import errors
from daglab.weaviate import objects, schemas

FORMAT, VERSION = "daglab-collection", 1
START = bytes(32)  # h(0)
LEVEL = 4  # of zlib: vectors as text hardly get smaller above it
LONGEST_LINE = 1 << 26  # bytes
MOST_VALUES = 4_000_000  # in a line: many more than the longest vectors have
BLOCK = 1 << 18  # bytes that are read, or unpacked, at a time
_GZIP = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, an unknown system
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PROPERTY = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,230}")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STATES = ("ACTIVE", "INACTIVE", "OFFLOADED")
_ESCAPED = re.compile(rb"\\u[dD][89a-fA-F]")  # half a letter of two, perhaps, which is none alone
_HINT = "Take another copy of it; nothing was sent to the server."


class Broken(errors.InvalidInput):
    """A file that is no backup, or not as it was written: nothing of it is used."""

    code = "broken_backup"


@dataclass(frozen=True)
class Head:
    """What the objects of a file belong to; `tenants` are by name, with their states, None where there are none."""

    collection: str
    schema: Mapping[str, Any]
    tenants: Mapping[str, str] | None
    weaviate: str
    daglab: str
    made_at: str


@dataclass(frozen=True)
class End:
    """How many objects there are, and what had changed in the collection by the time they were all written."""

    objects: int
    sha256: str
    changed: Sequence[str] = field(default_factory=tuple)


def member(lines: Sequence[Mapping[str, Any]]) -> bytes:
    """Lines as one gzip member."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(_text(each)) for each in lines), packer.flush()])


def head_member(head: Head) -> bytes:
    """The member that a file begins with."""
    return member([{"format": FORMAT, "version": VERSION, **asdict(head)}])


def end_member(end: End) -> bytes:
    """The member that it ends with."""
    text = _text({"end": VERSION, **asdict(end)})
    if len(text) > 0xFFFF:
        raise ValueError("the end of a backup is too long to be stored as it is")
    stored = b"\x01" + struct.pack("<HH", len(text), len(text) ^ 0xFFFF) + text
    return _GZIP + stored + struct.pack("<II", zlib.crc32(text), len(text))


def summed(before: bytes, content: bytes) -> bytes:
    """h(i) of h(i-1) and member i."""
    return _chained(before, hashlib.sha256(content).digest())


def read_head(path: Path) -> Head:
    """What a file begins with; the rest is not looked at. Raises as `lines` does."""
    source = lines(path)
    return _head(path, next(source))


def check(path: Path) -> tuple[Head, End]:
    """Read a whole file, and give back what it begins and ends with.

    Each object has to be one of the collection and of a tenant that the head names, in the order of ids, so that none
    is there twice. Raises as `lines` does.
    """
    source = lines(path)
    head = _head(path, next(source))
    referring = schemas.references(head.schema)
    tenants: Iterator[str] = iter(head.tenants or ())
    tenant, last, number, end = None, "", 0, End(-1, "")
    for number, line in enumerate(source):
        if isinstance(line, End):
            end = line
            break
        found = _object(path, line, number + 1, head, referring)
        if found.get("tenant") != tenant:
            tenant, last = found.get("tenant"), ""
            if str(tenant) not in tenants:  # goes on where it was: each tenant stands once, and in the head's order
                raise Broken(f"{path}: object {number + 1} is of a tenant that has no place there.", _HINT)
        if found["id"] <= last:
            raise Broken(f"{path}: object {number + 1} is there twice, or out of order.", _HINT)
        last = found["id"]
    if end.objects != number:
        raise Broken(f"{path} has {number} objects, and says that it has {end.objects}.", _HINT)
    return head, end


def found_in(path: Path, after: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    """The objects of a file that was checked, behind so many, each with its size in bytes.

    Raises `Broken` where it is another file by now.
    """
    for number, line in enumerate(lines(path)):
        if number > after and isinstance(line, bytes):
            yield _json(path, line), len(line)


def lines(path: Path) -> Iterator[bytes | End]:
    """The lines of a file: its head, its objects, then its end once the sum of all is proved. In bounded memory.

    Raises `Broken` where anything is not as it was written, `NotSetUp` where there is no such file.
    """
    with _opened(path) as file:
        chain, before, start, held = START, START, 0, None
        for line, digest, offset in _split(path, _pieces(path, file)):
            if digest is not None:
                before, chain, start = chain, _chained(chain, digest), offset
                continue
            if held is not None:
                yield held
            held = line
        end = _end(path, held or b"")
        expected = end_member(end)
        file.seek(start)
        if end.sha256 != before.hex() or file.read(len(expected) + 1) != expected:
            raise Broken(f"{path} is damaged: its checksum is not that of its content.", _HINT)
        yield end


def _split(path: Path, pieces: Iterator[tuple[bytes, bytes | None, int]]) -> Iterator[tuple[bytes, bytes | None, int]]:
    """The lines of what is unpacked; the digests of members between them, each at the end of a line."""
    begun: list[bytes] = []
    size = 0
    for piece, digest, offset in pieces:
        if digest is not None:
            if size:
                raise Broken(f"{path} has a member that ends within a line.", _HINT)
            yield b"", digest, offset
            continue
        first, *more = piece.split(b"\n")
        for each in more:
            yield b"".join([*begun, first]), None, offset
            begun, size, first = [], 0, each
        begun, size = [*begun, first] if size else [first], size + len(first)
        if size > LONGEST_LINE:
            raise Broken(f"{path} has a line of more than {LONGEST_LINE >> 20} MB.", _HINT)


def _pieces(path: Path, file: BinaryIO) -> Iterator[tuple[bytes, bytes | None, int]]:
    """What is unpacked, a bounded piece at a time; at the end of each member its digest, and where it began."""
    rest, place = b"", 0
    while rest := rest or file.read(BLOCK):
        unpacker, hashed, start = zlib.decompressobj(31), hashlib.sha256(), place
        while not unpacker.eof:
            rest = rest or file.read(BLOCK)
            if not rest:
                raise Broken(f"{path} is cut off: it ends in the middle.", _HINT)
            try:
                piece = unpacker.decompress(rest, BLOCK)
            except zlib.error:
                what = "is damaged" if place else "is no backup of a collection"
                raise Broken(f"{path} {what}: it can't be unpacked.", _HINT) from None
            left = unpacker.unconsumed_tail or unpacker.unused_data
            used = len(rest) - len(left)
            hashed.update(memoryview(rest)[:used])
            if not place and not piece.startswith(_BEGINS[: len(piece)] or b"?"):
                raise Broken(f"{path} is no backup of a collection by daglab.", _HINT)
            place, rest = place + used, left
            yield piece, None, start
        yield b"", hashed.digest(), start


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    hint = "Name a file that `daglab collections backup` has written (NAME-YYYYMMDD-HHMMSS.jsonl.gz)."
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise errors.NotSetUp(f"The backup {path} does not exist.", "Check the path.") from None
    except OSError as error:
        raise errors.InvalidInput(f"The backup {path} can't be read: {error.strerror}.", hint) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Broken(f"{path} is no ordinary file, and no backup of a collection by daglab.", hint)
    with open(descriptor, "rb") as file:
        if file.read(2) != _GZIP[:2]:
            raise Broken(f"{path} is no backup of a collection by daglab.", hint)
        file.seek(0)
        yield file


def _head(path: Path, line: bytes | End) -> Head:
    """The head in a line. Raises `Broken` for one that nothing can be made of."""
    found = {} if isinstance(line, End) else _json(path, line, "is no backup of a collection by daglab")
    if found.get("format") != FORMAT:
        raise Broken(f"{path} is no backup of a collection by daglab.", _HINT)
    if found.get("version") != VERSION:
        raise Broken(f"{path} is a backup of version {found.get('version')!r}.", "A newer daglab reads it.")
    try:
        head = Head(**{key: found[key] for key in Head.__dataclass_fields__})
        good = _is_schema(head) and _are_tenants(head) and all(isinstance(each, str) for each in _told(head))
    except (KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise Broken(f"{path} begins with no schema of a collection.", _HINT)
    return head


def _told(head: Head) -> tuple[Any, ...]:
    return head.weaviate, head.daglab, head.made_at


def _is_schema(head: Head) -> bool:
    """Whether the schema is one, as far as it is used here: the rest is the server's to judge."""
    listed = head.schema["properties"] if head.schema.get("properties") is not None else []
    return (
        isinstance(head.collection, str)
        and bool(schemas.NAME.fullmatch(head.collection))
        and head.schema["class"] == head.collection
        and isinstance(head.schema.get("vectorConfig") or {}, dict)
        and isinstance(head.schema.get("vectorizer") or "", str)
        and all(_is_property(each) for each in listed)
        and len({each["name"] for each in listed}) == len(listed)
    )


def _is_property(found: Any) -> bool:
    kinds = found["dataType"]
    return (
        bool(_PROPERTY.fullmatch(found["name"]))
        and isinstance(kinds, list)
        and all(isinstance(kind, str) and kind for kind in kinds)
        and all(_is_property(each) for each in found.get("nestedProperties") or ())
    )


def _are_tenants(head: Head) -> bool:
    if not schemas.is_multi_tenant(head.schema):
        return head.tenants is None
    found = head.tenants or {}
    return isinstance(head.tenants, dict) and all(
        _TENANT.fullmatch(each) and state in _STATES for each, state in found.items()
    )


def _end(path: Path, line: bytes) -> End:
    found = _json(path, line) if line.startswith(_END_BEGINS) else {}
    changed = found.get("changed")
    known = type(found.get("objects")) is int and isinstance(found.get("sha256"), str)
    if not known or not isinstance(changed, list):
        raise Broken(f"{path} is cut off: its last line is missing.", _HINT)
    return End(found["objects"], found["sha256"], changed)


def _object(path: Path, line: bytes, number: int, head: Head, referring: Mapping[str, Any]) -> dict[str, Any]:
    """The object in a line. Raises `Broken` for what is none of this collection."""
    found = _json(path, line)
    tenant = found.get("tenant")
    try:
        good = (
            found["class"] == head.collection
            and bool(_ID.fullmatch(found["id"]))
            and (tenant is None if head.tenants is None else tenant in head.tenants)
            and (not _ESCAPED.search(line) or bool(_text(found)))
            and all(isinstance(found.get(each) or {}, dict) for each in ("properties", "vectors"))
            and isinstance(found.get("vector") or [], list)
            and bool(objects.digest(found, referring))
        )
    except (KeyError, TypeError, ValueError, AttributeError, LookupError, OverflowError, struct.error):
        good = False
    if not good:
        raise Broken(f"{path}: line {number + 1} is no object of {head.collection}.", _HINT)
    return found


def _json(path: Path, line: bytes, otherwise: str = "is damaged: a line is no JSON object") -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        if line.count(b",") + line.count(b"[") <= MOST_VALUES:
            found = json.loads(line, parse_constant=_refuse)
            if isinstance(found, dict):
                return found
    raise Broken(f"{path} {otherwise}.", _HINT)


def _refuse(name: str) -> None:
    raise ValueError(name)  # NaN, Infinity: no JSON


def _text(found: Mapping[str, Any]) -> bytes:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _chained(before: bytes, digest: bytes) -> bytes:
    return hashlib.sha256(before + digest).digest()


_BEGINS, _END_BEGINS = b'{"format":', b'{"end":'

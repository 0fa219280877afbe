"""The file that a collection is kept in: what is read back, and what is refused."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import tarfile
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from daglab import errors
from daglab.weaviate.keeping import archive_lines, revivals

SCHEMA = {"class": "Docs", "properties": [{"name": "n", "dataType": ["int"]}], "vectorizer": "none"}
IDS = [str(uuid.UUID(int=number)) for number in range(1, 9)]
TENANTS = {"class": "Docs", "multiTenancyConfig": {"enabled": True}}


def head(schema: Any = SCHEMA, tenants: Any = None, **more: Any) -> archive_lines.Head:
    said = {"collection": "Docs", "weaviate": "1.39.0", "daglab": "0.1", "made_at": "2026-11-22T00:00:00+00:00", **more}
    return archive_lines.Head(schema=schema, tenants=tenants, **said)


def item(uuid: str, **more: Any) -> dict[str, Any]:
    return {"class": "Docs", "id": uuid, "properties": {"n": 1}, "vector": [0.5, 1], **more}


def packed(members: Sequence[bytes], objects: int) -> bytes:
    """A file of these members, and an end that is true of them."""
    chain = archive_lines.START
    for each in members:
        chain = archive_lines.summed(chain, each)
    return b"".join(members) + archive_lines.end_member(archive_lines.End(objects, chain.hex()))


def file_of(tmp_path: Path, found: Sequence[dict[str, Any]], about: archive_lines.Head | None = None) -> Path:
    path = tmp_path / "file.gz"
    members = [archive_lines.head_member(about or head())]
    members += [archive_lines.member(found[start : start + 3]) for start in range(0, len(found), 3)]
    path.write_bytes(packed(members, len(found)))
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    found = [item(each, properties={"text": 'a\u2028"\\\n😀', "n": place}) for place, each in enumerate(IDS)]
    path = file_of(tmp_path, found)
    about, end = archive_lines.check(path)
    assert (about, end.objects) == (head(), 8)
    assert [each for each, _ in archive_lines.found_in(path)] == found
    assert [each for each, _ in archive_lines.found_in(path, 5)] == found[5:]
    lines = gzip.decompress(path.read_bytes()).splitlines()
    assert [json.loads(each) for each in lines[1:-1]] == found


def test_each_byte_counts(tmp_path: Path) -> None:
    path = file_of(tmp_path, [item(each) for each in IDS])
    good, made = path.read_bytes(), random.Random(3)
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ (1 << made.randrange(8))]) + good[place + 1 :])
        with pytest.raises(archive_lines.Broken):
            archive_lines.check(path)
    for size in range(0, len(good), 7):
        path.write_bytes(good[:size])
        with pytest.raises(archive_lines.Broken):
            archive_lines.check(path)
    for more in (b"\0", b"x", good, zlib.compress(b"")):
        path.write_bytes(good + more)
        with pytest.raises(archive_lines.Broken):
            archive_lines.check(path)
    path.write_bytes(gzip.compress(gzip.decompress(good)))
    with pytest.raises(archive_lines.Broken):
        archive_lines.check(path)


@pytest.mark.parametrize(
    "found",
    [
        [item(IDS[0]), item(IDS[0])],
        [item(IDS[1]), item(IDS[0])],
        [item(IDS[0], **{"class": "Others"})],
        [item(IDS[0], tenant="a")],
        [item("../../schema/Docs")],
        [item(IDS[0].upper().replace("0", "A"))],
        [item(IDS[0], id=7)],
        [item(IDS[0], properties=[1])],
        [item(IDS[0], properties={"n": "\ud800"})],
        [item(IDS[0], vector=["a"])],
        [item(IDS[0], vector={"a": 1})],
        [item(IDS[0], vector=[1e300])],
        [item(IDS[0], vectors={"a": [[1], 2]})],
        [{"end": 1, "objects": 0, "sha256": "", "changed": []}],
        [{"id": IDS[0]}],
    ],
)
def test_an_object_that_does_not_belong_there(tmp_path: Path, found: list[dict[str, Any]]) -> None:
    members = [archive_lines.head_member(head())]
    text = b"".join(json.dumps(each).encode() + b"\n" for each in found)
    path = tmp_path / "file.gz"
    path.write_bytes(packed([*members, gzip.compress(text)], len(found)))
    with pytest.raises(archive_lines.Broken):
        archive_lines.check(path)


@pytest.mark.parametrize("line", [b"[]", b"{", b"NaN", b'{"n": NaN}', b"[" * 100_000, b"\xff", b"9" * 5000, b""])
def test_a_line_that_is_no_object(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(packed([archive_lines.head_member(head()), gzip.compress(line + b"\n")], 1))
    with pytest.raises(archive_lines.Broken):
        archive_lines.check(path)


@pytest.mark.parametrize(
    "about",
    [
        head(collection="../etc"),
        head(collection="Other"),
        head(collection=7),
        head({}),
        head([]),
        head({**SCHEMA, "properties": [{"name": "../x", "dataType": ["int"]}]}),
        head({**SCHEMA, "properties": [{"name": "n", "dataType": "int"}]}),
        head({**SCHEMA, "properties": 7}),
        head({**SCHEMA, "vectorConfig": [1]}),
        head({**SCHEMA, "multiTenancyConfig": [1]}),
        head(tenants={"a": "ACTIVE"}),
        head(TENANTS),
        head(TENANTS, {"../a": "ACTIVE"}),
        head(TENANTS, {"a": "GONE"}),
        head(TENANTS, ["a"]),
        head(weaviate=1),
    ],
)
def test_a_head_that_nothing_can_be_made_of(tmp_path: Path, about: archive_lines.Head) -> None:
    with pytest.raises(archive_lines.Broken):
        revivals.planned(file_of(tmp_path, [], about))


def test_tenants_stand_in_their_order(tmp_path: Path) -> None:
    about = head(TENANTS, {"a": "ACTIVE", "b": "INACTIVE", "c": "ACTIVE"})
    good = [item(IDS[0], tenant="a"), item(IDS[1], tenant="a"), item(IDS[0], tenant="c")]
    assert archive_lines.check(file_of(tmp_path, good, about))[1].objects == 3
    for bad in (
        [item(IDS[0], tenant="d")],
        [item(IDS[0])],
        [item(IDS[0], tenant="b"), item(IDS[0], tenant="a")],
        [item(IDS[0], tenant="a"), item(IDS[0], tenant="b"), item(IDS[1], tenant="a")],
    ):
        with pytest.raises(archive_lines.Broken):
            archive_lines.check(file_of(tmp_path, bad, about))


def test_what_is_no_backup_is_told(tmp_path: Path) -> None:
    (tmp_path / "elysiactl.json").write_text('{"collection": "Docs", "objects": []}')
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "other.gz").write_bytes(gzip.compress(b'{"collection": "Docs"}\n'))
    with tarfile.open(tmp_path / "tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "elysiactl.json")
    for name in ("elysiactl.json", "folder", "empty", "other.gz", "tar.gz"):
        with pytest.raises(archive_lines.Broken, match="no backup of a collection"):
            archive_lines.check(tmp_path / name)
    with pytest.raises(errors.NotSetUp):
        archive_lines.check(tmp_path / "missing")
    newer = archive_lines.member([{"format": archive_lines.FORMAT, "version": 2}])
    (tmp_path / "newer.gz").write_bytes(packed([newer], 0))
    with pytest.raises(archive_lines.Broken, match="version 2"):
        archive_lines.check(tmp_path / "newer.gz")
    with pytest.raises(errors.InvalidInput, match="no name"):
        revivals.planned(file_of(tmp_path, []), "../x")


def test_a_bomb_takes_little_memory(tmp_path: Path) -> None:
    """A line of 128 MB in a small file, and many lines in one member: read in a process with little memory."""
    bomb, many = tmp_path / "bomb.gz", tmp_path / "many.gz"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = packer.compress(b'{"n": "') + b"".join(packer.compress(bytes(1 << 20)) for _ in range(128)) + packer.flush()
    bomb.write_bytes(packed([archive_lines.head_member(head()), block], 1))
    made = random.Random(1)
    some = sorted(str(uuid.UUID(int=made.getrandbits(128), version=4)) for _ in range(40_000))
    many.write_bytes(
        packed([archive_lines.head_member(head()), archive_lines.member([item(each) for each in some])], 40_000)
    )
    code = (
        "import sys, pathlib; from daglab import errors, events; from daglab.weaviate.keeping import archive_lines\n"
        "try: print(archive_lines.check(pathlib.Path(sys.argv[1]))[1].objects, end=' ')\n"
        "except errors.InvalidInput as error: print(error.message, end=' ')\n"
        "print(events.peak_memory())"
    )
    for path, said in ((bomb, "more than 64 MB"), (many, "40000 ")):
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        assert said in done.stdout
        assert int(done.stdout.split()[-1]) < 200_000_000

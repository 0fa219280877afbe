"""JSON lines under killed writers, full disks and several processes at once: real files, real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from daglab import files, json_lines

AtOnce = Callable[[Sequence[list[str]]], list[int]]
WAIT = "print('ready', flush=True)\nsys.stdin.readline()\n"


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", f"import os, sys\nfrom daglab import files, json_lines\n{code}", *map(str, arguments)]


def test_lines_of_several_processes_stay_whole(tmp_path: Path, at_once: AtOnce) -> None:
    code = f"""
from pathlib import Path
{WAIT}
for number in range(60):
    json_lines.append(Path(sys.argv[1]), {{"who": sys.argv[2], "n": number, "pad": sys.argv[2] * 9000}})
"""
    path = tmp_path / "folder" / "lines.jsonl"
    assert at_once([python(code, path, who) for who in "abcd"]) == [0, 0, 0, 0]
    assert len(path.read_bytes().splitlines()) == 240
    records = json_lines.read(path)
    assert all(record["pad"] == record["who"] * 9000 for record in records)
    for who in "abcd":
        assert [record["n"] for record in records if record["who"] == who] == list(range(60))


@pytest.mark.parametrize("block", [1, 7, 1 << 16])
@pytest.mark.parametrize(
    ("tail", "kept"),
    [
        (b'{"n":2,"te', b""),
        (b"{", b""),
        (b"\0" * 300, b""),  # what a power cut leaves of a line
        (b'{"n":2,"text":"\xc3', b""),
        (b'{"n":2}', b'{"n":2}\n'),  # whole, but for its newline
    ],
)
def test_what_a_killed_writer_has_left_is_mended_first(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tail: bytes,
    kept: bytes,
    block: int,
) -> None:
    monkeypatch.setattr(files, "BLOCK", block)
    for before in (b"", b'{"n":1}\n'):
        path = tmp_path / "lines.jsonl"
        path.write_bytes(before + tail)
        caplog.clear()
        json_lines.append(path, {"n": 3})
        json_lines.append(path, {"n": 4})
        assert path.read_bytes() == before + kept + b'{"n":3}\n{"n":4}\n'
        said = [record.getMessage() for record in caplog.records]
        assert said == (
            [] if kept else [f"{path} ended in half a line, which a killed writer had left; it was taken away."]
        )


def test_a_tail_that_no_line_is_as_long_as_is_left_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "LONGEST_TAIL", 1000)
    monkeypatch.setattr(files, "BLOCK", 100)
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"x" * 5000)
    json_lines.append(path, {"n": 1})
    assert path.read_bytes() == b"x" * 5000 + b'\n{"n":1}\n'


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_who_waited_while_the_file_was_put_away_writes_into_the_new_one(tmp_path: Path, change: str) -> None:
    path = tmp_path / "lines.jsonl"
    json_lines.append(path, {"n": 1})
    with json_lines.held(path) as file:
        assert file.read() == b'{"n":1}\n'
        writer = threading.Thread(target=json_lines.append, args=(path, {"n": 2}))
        writer.start()
        writer.join(0.05)
        assert writer.is_alive()
        if change == "replaced":
            files.write_atomic(path, b'{"sum":1}\n', follow=False)
        else:
            path.unlink()
    writer.join()
    assert json_lines.read(path) == [*([{"sum": 1}] if change == "replaced" else []), {"n": 2}]


def test_no_line_is_lost_where_the_file_is_replaced_again_and_again(tmp_path: Path, at_once: AtOnce) -> None:
    """Writers in processes of their own, and one who moves what is there elsewhere, as retention and `clean` do."""
    code = f"""
from pathlib import Path
{WAIT}
for number in range(300):
    json_lines.append(Path(sys.argv[1]), {{"who": sys.argv[2], "n": number}})
"""
    mover = f"""
import time
from pathlib import Path
path, away = Path(sys.argv[1]), Path(sys.argv[2])
{WAIT}
for number in range(60):
    try:
        with json_lines.held(path) as file, away.open("ab") as kept:
            kept.write(file.read())
            path.unlink() if number % 2 else files.write_atomic(path, b"", follow=False)
    except FileNotFoundError:
        pass
    time.sleep(0.005)
"""
    path, away = tmp_path / "lines.jsonl", tmp_path / "away.jsonl"
    commands = [python(code, path, who) for who in "abcd"] + [python(mover, path, away)]
    assert at_once(commands) == [0] * 5
    records = [*json_lines.read(away), *json_lines.read(path)]
    for who in "abcd":
        assert [record["n"] for record in records if record["who"] == who] == list(range(300))


def test_no_file_is_made_unless_its_mode_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), json_lines.held(tmp_path / "missing"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_no_line_goes_into_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lines")
    with pytest.raises(OSError, match="no ordinary file"):
        json_lines.append(tmp_path / "lines", {"n": 1})


@pytest.mark.parametrize("room", [0, 10])
def test_a_full_disk_leaves_no_half_line(tmp_path: Path, room: int) -> None:
    """The limit on a file's size does what a full disk does: a short write, then an error."""
    path = tmp_path / "lines.jsonl"
    json_lines.append(path, {"n": 1})
    before = path.read_bytes()
    code = """
import resource
from pathlib import Path
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    json_lines.append(Path(sys.argv[1]), {"text": "x" * 1000})
except OSError:
    sys.exit(3)
"""
    done = subprocess.run(python(code, path, len(before) + room), check=False)
    assert (done.returncode, path.read_bytes()) == (3, before)


def test_the_first_line_makes_the_file_with_its_mode(tmp_path: Path) -> None:
    json_lines.append(tmp_path / "open", {})
    json_lines.append(tmp_path / "secret", {}, mode=0o600)
    assert [(tmp_path / name).stat().st_mode & 0o077 for name in ("open", "secret")] == [0o044, 0]


def test_appending_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("text")
    (tmp_path / "lines").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic links"):
        json_lines.append(tmp_path / "lines", {"n": 1})
    assert (tmp_path / "mine").read_text() == "text"


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    "content", [b"", b"\n", b"one", b"one\n", b"one\n\ntwo\n" + b"x" * 50 + b"\nthree", b"\n\n\r\n"]
)
def test_backwards_they_are_the_same_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, block: int
) -> None:
    monkeypatch.setattr(files, "BLOCK", block)
    path = tmp_path / "lines"
    path.write_bytes(content)
    assert list(json_lines.backwards(path)) == content.split(b"\n")[::-1]


def test_backwards_reads_the_end_alone(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte that takes no room
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast\nline")
    lines = json_lines.backwards(path)
    assert [next(lines), next(lines)] == [b"line", b"last"]
    lines.close()


def test_backwards_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("text")
    (tmp_path / "lines").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic links"):
        next(json_lines.backwards(tmp_path / "lines"))


def test_a_line_takes_any_text_and_any_value(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    record = {"text": "a\nb\u2028c\x85 é 🎉", "path": Path("x"), "lone": "\ud800"}
    json_lines.append(path, record)
    json_lines.append(path, {"n": 2})
    first, second = json_lines.read(path)
    assert (first, second) == ({**record, "path": "x", "lone": "?"}, {"n": 2})


def test_reading_leaves_out_what_is_foreign(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    foreign = [b"", b"\xff\xfe", b"[1]", b'"text"', b"null", b"{'a': 1}", b"[" * 100_000, b'{"a":1}{"b":2}', b'{"torn']
    path.write_bytes(b"\n".join([b'{"n":1}', *foreign]) + b'\n{"n":2}')
    assert json_lines.read(path) == [{"n": 1}, {"n": 2}]


def test_lines_of_a_missing_file_are_none(tmp_path: Path) -> None:
    assert json_lines.read(tmp_path / "missing") == []


def test_the_record_format_is_one_compact_line(tmp_path: Path) -> None:
    json_lines.append(tmp_path / "lines", {"a": [1, {"b": "é"}]})
    text = (tmp_path / "lines").read_text(encoding="utf-8")
    assert text == '{"a":[1,{"b":"é"}]}\n'
    assert json.loads(text) == {"a": [1, {"b": "é"}]}


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_lines_of_what_somebody_has_put_there(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "exports.jsonl"
    if kind == "link":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    with pytest.raises(OSError):  # noqa: PT011 (the caller knows what it means)
        json_lines.read(path)

"""Files under crashes, full disks and several processes at once: real files, real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from daglab import errors, files

AtOnce = Callable[[Sequence[list[str]]], list[int]]
# Root may write everywhere, so what needs a read-only folder goes on as nobody.
AS_NOBODY = "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)"


def python(code: str, *arguments: object) -> list[str]:
    return [
        sys.executable,
        "-c",
        f"import os, signal, sys\nfrom daglab import errors, files\n{code}",
        *map(str, arguments),
    ]


WAIT = "print('ready', flush=True)\nsys.stdin.readline()\n"


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that the nobody may read and not write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


# write_atomic


def test_write_atomic_writes_utf8_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "naïve.txt"
    files.write_atomic(path, "ünïcode ✓\n")
    assert path.read_bytes() == "ünïcode ✓\n".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["naïve.txt"]


def test_write_atomic_writes_bytes_as_they_are(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "file", b"\xff\r\n\0")
    assert (tmp_path / "file").read_bytes() == b"\xff\r\n\0"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o444])
def test_write_atomic_keeps_the_mode_of_a_file(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    files.write_atomic(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o7777) == ("new", mode)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_gets_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        files.write_atomic(tmp_path / "atomic", "x")
        files.write_new(tmp_path / "new", "x")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("atomic", "new")] == [mode, mode]


def test_write_atomic_leaves_the_file_alone_that_the_output_goes_to(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "try: files.write_atomic(Path('/dev/stdout'), 'x')\n"
        "except errors.InvalidInput: print('no')"
    )
    with (tmp_path / "out").open("w") as out:
        subprocess.run(python(code), stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "no\n"


@pytest.mark.parametrize("kind", ["fifo", "link to a fifo", "folder"])
def test_write_atomic_replaces_ordinary_files_only(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "output"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:  # as /dev/stdout is one
        os.mkfifo(tmp_path / "fifo")
        path.symlink_to("fifo")
    before = {each.name: each.lstat().st_mode for each in tmp_path.iterdir()}
    with pytest.raises(errors.InvalidInput, match="not an ordinary file"):
        files.write_atomic(path, "x")
    assert {each.name: each.lstat().st_mode for each in tmp_path.iterdir()} == before


def test_write_atomic_takes_a_mode(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "secret", "x", mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_write_atomic_writes_through_a_symbolic_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "folder" / "link"
    link.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    files.write_atomic(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_link_to_itself_is_invalid_input(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(errors.InvalidInput, match="symbolic links"):
        files.write_atomic(link, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["link"]


@pytest.mark.parametrize(("point", "expected"), [("fsync", "old"), ("replace", "old"), ("after", "new")])
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path: Path, point: str, expected: str) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    code = """
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "after":
    replace = os.replace
    os.replace = lambda *both: (replace(*both), die())
else:
    setattr(os, sys.argv[2], die)
from pathlib import Path
files.write_atomic(Path(sys.argv[1]), "new")
"""
    done = subprocess.run(python(code, path, point), check=False)
    assert (done.returncode, path.read_text()) == (-9, expected)


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path, contents = tmp_path / "file", ["a" * 300_000, "b" * 300_000]
    path.write_text(contents[0])
    seen: set[str] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(40):
            files.write_atomic(path, contents[number % 2])
    finally:
        stop.set()
        reader.join()
    assert seen <= set(contents)


def test_what_fails_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    for write in (files.write_atomic, files.write_new):
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "file", "text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [files.write_atomic, files.write_new])
@pytest.mark.parametrize("path", ["file/below", "file/deeper/below"])
def test_a_file_in_the_place_of_a_folder_is_said_plainly(tmp_path: Path, write: object, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.InvalidInput, match="a part of its path is a file") as caught:
        write(tmp_path / path, "text")  # type: ignore[operator]
    assert str(tmp_path / path) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("call", ["write_atomic(path, 'x')", "write_new(path, 'x')", "make_folder(path)"])
def test_a_read_only_folder_is_invalid_input(read_only: Path, call: str) -> None:
    code = f"""
from pathlib import Path
path = Path(sys.argv[1]) / "new"
{AS_NOBODY}
try:
    files.{call}
except errors.InvalidInput as error:
    print(error.message, "|", error.hint)
"""
    done = subprocess.run(python(code, read_only), capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{read_only / 'new'} can't be written: Permission denied. | Choose a folder")
    assert list(read_only.iterdir()) == []


# write_new


def test_write_new_leaves_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(errors.Taken) as caught:
        files.write_new(path, "new")
    assert (path.read_text(), caught.value.exit_code) == ("old", 8)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_write_new_does_not_follow_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.Taken):
        files.write_new(tmp_path / "link", "new")
    assert not (tmp_path / "elsewhere").exists()


def test_of_several_writers_of_one_new_file_exactly_one_wins(tmp_path: Path, at_once: AtOnce) -> None:
    code = f"""
from pathlib import Path
{WAIT}
try:
    files.write_new(Path(sys.argv[1]), sys.argv[2] * 100_000)
except errors.Taken:
    sys.exit(8)
"""
    path = tmp_path / "file"
    codes = at_once([python(code, path, letter) for letter in "abcdef"])
    assert sorted(codes) == [0, 8, 8, 8, 8, 8]
    assert path.read_text() == "abcdef"[codes.index(0)] * 100_000


# read_text, inside


def test_read_text_takes_a_byte_order_mark_away(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert files.read_text(tmp_path / "file", "run config") == "a: 1\n"


@pytest.mark.parametrize(
    ("name", "exit_code", "said"),
    [
        ("missing", 3, "does not exist"),
        ("folder", 7, "can't be read: Is a directory"),
        ("latin", 7, "is not UTF-8 text"),
    ],
)
def test_read_text_says_why_not(tmp_path: Path, name: str, exit_code: int, said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin").write_bytes(b"\xe9")
    with pytest.raises(errors.DaglabError, match=said) as caught:
        files.read_text(tmp_path / name, "run config")
    assert caught.value.exit_code == exit_code
    assert caught.value.message.startswith(f"The run config {tmp_path / name} ")
    assert caught.value.hint


def test_inside_resolves_links(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "sub").mkdir(parents=True)
    outside.mkdir()
    (root / "way_out").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    assert files.inside(root, root / "sub" / "file") == Path("sub/file")
    assert files.inside(root, root / "loop" / "file") is not None
    assert files.inside(root, root / "sub" / ".." / ".." / "outside") is None
    assert files.inside(root, root / "way_out" / "file") is None
    assert files.inside(root, tmp_path / "root2") is None


def test_read_text_has_an_end() -> None:
    with pytest.raises(errors.InvalidInput, match="larger than 64 MB"):
        files.read_text(Path("/dev/zero"), "run config")


def test_two_that_are_locked_go_one_after_the_other(tmp_path: Path) -> None:
    seen = []

    def change(number: int) -> None:
        with files.locked(tmp_path):
            seen.append(number)
            path = tmp_path / "count"
            old = int(path.read_text()) if path.exists() else 0
            path.write_text(str(old + 1))

    threads = [threading.Thread(target=change, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "count").read_text() == "20"


# held, replace_held


def test_threads_that_hold_a_lock_go_one_after_the_other(tmp_path: Path) -> None:
    path, count = tmp_path / "lock", tmp_path / "count"
    count.write_text("0")

    def change() -> None:
        for _ in range(25):
            with files.held(path, 60):
                count.write_text(str(int(count.read_text()) + 1))

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.read_text() == "100"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_that_somebody_holds_is_taken(tmp_path: Path) -> None:
    said = pytest.raises(errors.Taken, match="Somebody else holds the lock")
    with files.held(tmp_path / "lock", 0), said, files.held(tmp_path / "lock", 0.05):
        pass
    with files.held(tmp_path / "lock", 0):
        pass


def test_a_lock_whose_file_was_deleted_is_not_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waited for the deleted file must not go on beside one that holds the new one."""
    path, order, looked = tmp_path / "lock", [], threading.Event()
    old = files.open_lock(path)
    assert files.try_lock(old)
    real = files.try_lock

    def try_lock(descriptor: int) -> bool:
        free = real(descriptor)
        looked.set()
        return free

    monkeypatch.setattr(files, "try_lock", try_lock)

    def wait() -> None:
        with files.held(path, 60):
            order.append("waiter")

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert looked.wait(60)
    path.unlink()
    with files.held(path, 0):
        os.close(old)
        waiter.join(0.05)
        order.append("holder")
    waiter.join()
    assert order == ["holder", "waiter"]


def test_a_child_that_was_forked_meanwhile_does_not_keep_the_lock(tmp_path: Path) -> None:
    code = """
from pathlib import Path
path = Path(sys.argv[1])
with files.held(path, 0):
    child = os.fork()
    if not child:
        os.close(1)
        sys.stdin.read()
        os._exit(0)
with files.held(path, 0):
    print("free", flush=True)
"""
    process = subprocess.Popen(python(code, tmp_path / "lock"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"free\n"
    process.communicate(timeout=60)


def test_held_says_why_not(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.InvalidInput, match="can't be written"), files.held(tmp_path / "link", 0):
        pass
    with pytest.raises(errors.InvalidInput, match="can't be written"), files.held(tmp_path / "no" / "lock", 0):
        pass


def test_what_is_done_under_a_lock_fails_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="mine"), files.held(tmp_path / "lock", 0):
        raise FileNotFoundError("mine")
    with files.held(tmp_path / "lock", 0):
        pass


def test_replace_held_keeps_what_was_there(tmp_path: Path) -> None:
    path, old = tmp_path / "file", tmp_path / "old"
    for content in (b"1", b"2", b"3"):
        files.replace_held(path, content, old)
    assert (path.read_bytes(), old.read_bytes()) == (b"3", b"2")
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "old"]


def test_replace_held_clears_away_what_a_killed_one_has_left(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "file.new").symlink_to(tmp_path / "elsewhere")
    files.replace_held(tmp_path / "file", b"1", tmp_path / "old")
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert not os.path.lexists(tmp_path / "file.new")


@pytest.mark.parametrize("broken", ["fsync", "link", "replace"])
def test_replace_held_changes_nothing_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path, old = tmp_path / "file", tmp_path / "old"
    files.replace_held(path, b"1", old)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(errors.InvalidInput, match="No space left on device"):
        files.replace_held(path, b"2", old)
    assert path.read_bytes() == b"1"
    assert not (tmp_path / "file.new").exists()


@pytest.mark.parametrize("write", [files.write_atomic, files.write_new])
@pytest.mark.parametrize("name", ["a" * 255, "é" * 127])
def test_a_name_as_long_as_names_can_be(tmp_path: Path, write: Callable[[Path, str], None], name: str) -> None:
    write(tmp_path / name, "text")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "text")]

"""The table of processes, beside what Python and the processes themselves say."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from daglab import process_table

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the table is Linux's")
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"
)
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
time.sleep(300)
"""


@pytest.fixture
def mark() -> Iterator[str]:
    value = uuid.uuid4().hex
    yield value
    for pid in process_table.marked("TABLE_TEST", value):
        os.kill(pid, signal.SIGKILL)


def start(mark: str, code: str) -> subprocess.Popen[str]:
    env = {**os.environ, "TABLE_TEST": mark}
    return subprocess.Popen([sys.executable, "-c", code, "(a b) c"], env=env, stdout=subprocess.PIPE, text=True)


def wait_until(condition: object, what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_what_is_said_of_this_process() -> None:
    table = process_table.look()
    ours = table[os.getpid()]
    assert ours.parent == os.getppid()
    assert abs(ours.seconds - time.process_time()) < 5
    assert 5_000_000 < ours.memory < 5_000_000_000
    assert process_table.started(os.getpid()) == ours.started
    assert process_table.boot() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_tree_and_its_marks(mark: str) -> None:
    with start(mark, PARENT) as parent:
        wait_until(lambda: len(process_table.marked("TABLE_TEST", mark)) == 2, "both are up")
        found = [process.pid for process in process_table.tree(process_table.look(), parent.pid)]
        assert (found[0], len(found)) == (parent.pid, 2)
        assert set(found) == process_table.marked("TABLE_TEST", mark)
        assert process_table.marked("TABLE_TEST", mark[:-1]) == set()  # the whole value
        assert process_table.command(parent.pid)[-1] == "(a b) c"
        assert process_table.end(lambda: process_table.marked("TABLE_TEST", mark)) == set()
        assert parent.wait() == -signal.SIGTERM


def test_one_that_withstands_sigterm(mark: str) -> None:
    with start(mark, STUBBORN) as stubborn:
        assert stubborn.stdout
        assert stubborn.stdout.readline() == "up\n"
        assert process_table.end(lambda: process_table.marked("TABLE_TEST", mark), terminate=0.2) == set()
        assert stubborn.wait() == -signal.SIGKILL


def test_what_is_left_is_told() -> None:
    assert process_table.end(lambda: {2**22 + 1}, terminate=0.1, kill=0.1) == {2**22 + 1}


def test_what_has_ended_is_nothing(mark: str) -> None:
    process = start(mark, "pass")
    wait_until(lambda: process_table.started(process.pid) is None, "a zombie does not count")
    assert process_table.command(process.pid) == []
    assert process_table.tree(process_table.look(), process.pid) == []
    process.communicate()


def test_who_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert process_table.listens([os.getpid()], port) is True
        assert process_table.listens([1], port) is False
    assert process_table.listens([os.getpid()], port) is None


def test_a_folder_however_it_is_written(mark: str, tmp_path: Path) -> None:
    folder = tmp_path / "größe \udcff"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    for text in (f"{folder}/", str(tmp_path / "link"), f"{tmp_path}/./link/../link"):
        env = {**os.environ, "TABLE_TEST": mark, "TABLE_HOME": text}
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], env=env) as process:
            wait_until(lambda: process_table.marked("TABLE_HOME", text), "it is up")  # noqa: B023
            assert process_table.with_folder("TABLE_HOME", folder) == {process.pid}
            process.kill()


def test_without_a_table_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    monkeypatch.setattr(process_table, "PROC", tmp_path / "none")
    assert (process_table.look(), process_table.boot(), process_table.command(os.getpid())) == ({}, "", [])
    assert process_table.started(os.getpid()) is None
    assert process_table.listens([os.getpid()], 1) is None
    assert process_table.listeners(1) == set()
    assert process_table.open_files() == set()

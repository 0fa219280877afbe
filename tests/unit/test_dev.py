"""The parts of `daglab dev`: ports, logs, the record, who is started how, and what happens at a crash."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from daglab import errors, process_table, processes
from daglab.commands import dev, stop
from daglab.deployment import dagster_api, run_logs, run_records, runs
from daglab.dev import entrance, environment, in_flight, logs, ports, record, services, supervision
from daglab.launching import cancellation
from daglab.settings import config

LARGEST = 100_000


# --- ports


@pytest.mark.parametrize("text", ["", "3000", "3100-3000", "a-b", "0-10", "1-70000", "3000-", "-3000", "1-2-3"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(errors.WrongUsage, match="is no range of ports"):
        ports.parse_range(text)


def test_a_range() -> None:
    assert ports.parse_range("3000-3000") == (3000, 3000)
    assert ports.parse_range(" 1 - 65535 ") == (1, 65535)


@pytest.fixture
def free() -> int:
    """The first of two free ports beside each other."""
    while True:
        port = processes.find_free_port()
        if port < 65535 and ports.is_free(port, "127.0.0.1") and ports.is_free(port + 1, "127.0.0.1"):
            return port


def choose(free: int, *without: int, preferred: int | None = None) -> int:
    with contextlib.ExitStack() as held:
        return ports.choose(preferred or free, (free, free + 1), "127.0.0.1", held, without)


def test_the_preferred_port_else_the_next(free: int) -> None:
    assert choose(free) == free
    assert choose(free, preferred=free + 1) == free + 1
    assert choose(free, free) == free + 1
    with socket.create_server(("127.0.0.1", free)):
        assert choose(free) == free + 1
        with pytest.raises(errors.Taken, match=f"No port from {free} to {free + 1} is free") as caught:
            choose(free, free + 1)
    assert "--port-range" in str(caught.value.hint)


def test_a_port_that_is_asked_for_may_lie_outside_of_the_range(free: int) -> None:
    with contextlib.ExitStack() as held:
        assert ports.choose(free, (1, 1), "127.0.0.1", held, ()) == free


def test_a_port_is_held_until_its_service_has_it(free: int) -> None:
    """Another daglab of this user, at the same time, takes another one; it is let go with the process."""
    code = f"""
import contextlib, sys
from daglab.dev import ports
with contextlib.ExitStack() as held:
    print(ports.choose({free}, ({free}, {free + 1}), "127.0.0.1", held, ()), flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert int(other.stdout.readline()) == free
        assert choose(free) == free + 1
        other.kill()
    assert choose(free) == free


@pytest.mark.parametrize(
    ("host", "said"),
    [("nowhere.invalid", "is no host"), ("a..b", "is no host"), ("203.0.113.1", "is no address of this")],
)
def test_a_host_that_is_not_ours(host: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    if host.endswith("invalid"):
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(errors.InvalidInput, match=said):
        ports.is_free(3000, host)


@pytest.mark.parametrize("content", [None, "", "[]", '{"dagster": "3"}', '{"dagster": 0}', '{"dagster": true}', "\0"])
def test_ports_that_are_not_remembered(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / ".daglab").mkdir()
        (tmp_path / ports.LAST).write_text(content)
    assert ports.remembered(tmp_path) == {}
    ports.remember(tmp_path, {"dagster": 3001})
    ports.remember(tmp_path, {"marimo": 3011})
    assert ports.remembered(tmp_path) == {"dagster": 3001, "marimo": 3011}


def test_which_port_is_tried_first(tmp_path: Path) -> None:
    """The flag's, the config's where it says one, that of the last time, the default."""

    def preferred(flag: int | None = None, **said: Any) -> int:
        return dev._preferred(config.load(said, directory=tmp_path, environ={}), "dagster", flag)

    assert preferred() == 3000
    ports.remember(tmp_path, {"dagster": 3005})
    assert preferred() == 3005
    assert preferred(**{"dagster.port": 3006}) == 3006
    assert preferred(3007, **{"dagster.port": 3006}) == 3007
    assert dev._preferred(settings(tmp_path), "dagster", None, (3100, 3110)) == 3100
    assert dev._preferred(settings(tmp_path), "dagster", None, (3000, 3010)) == 3005


# --- logs


@pytest.fixture
def log(tmp_path: Path) -> logs.Log:
    return logs.Log(tmp_path / "service.log")


def append(log: logs.Log, text: bytes) -> None:
    with log.path.open("ab") as file:
        file.write(text)


def test_lines_are_shown_once_and_whole(log: logs.Log) -> None:
    assert logs.unread(log) == ("", 0)
    append(log, b"one\ntw")
    assert logs.unread(log) == ("one\n", 0)
    assert logs.unread(log) == ("", 0)
    append(log, "o é\n\x1b[32mgreen\x1b[0m \xff\n".encode("latin-1"))
    assert logs.unread(log) == ("two \ufffd\ngreen \ufffd\n", 0)
    assert logs.unread(log) == ("", 0)


def test_what_is_too_much_is_left_out(log: logs.Log) -> None:
    lines = [b"%07d\n" % number for number in range(20_000)]
    append(log, b"".join(lines))
    text, skipped = logs.unread(log)
    assert len(text) <= logs.MOST_SHOWN
    assert text.endswith("0019999\n")
    assert text.encode() == b"".join(lines)[skipped:]
    assert logs.unread(log) == ("", 0)


def test_a_line_without_an_end(log: logs.Log) -> None:
    append(log, b"x" * logs.MOST_SHOWN)
    assert logs.unread(log) == ("x" * logs.MOST_SHOWN, 0)
    append(log, b"y" * 10)
    assert logs.unread(log) == ("", 0)
    append(log, b"\n")
    assert logs.unread(log) == ("y" * 10 + "\n", 0)


def test_a_log_is_kept_short_while_it_is_written(log: logs.Log) -> None:
    """By a service that has it open; each line is in one of the files, until there are too many."""
    with log.path.open("ab", buffering=0) as file:
        for number in range(20_000):
            file.write(b"%015d\n" % number)
            if number % 100 == 0:
                logs.rotate(log, LARGEST, 2)
    files = [log.path.with_name(name) for name in ("service.log.2", "service.log.1", "service.log")]
    assert sorted(log.path.parent.iterdir()) == sorted(files)
    assert all(path.stat().st_size <= LARGEST for path in files)
    kept = [int(line) for path in files for line in path.read_text().split()]
    assert kept == list(range(kept[0], 20_000))
    assert len(kept) > 2 * LARGEST * 0.8 / 16


def test_a_log_that_grows_fast_is_shortened_early(log: logs.Log) -> None:
    append(log, b"x" * (LARGEST // 8))
    logs.rotate(log, LARGEST, 1)
    assert log.path.stat().st_size
    append(log, b"x" * (LARGEST // 4))
    logs.rotate(log, LARGEST, 1)
    assert log.path.stat().st_size == 0


def test_one_that_has_grown_too_large_at_once_keeps_its_end(log: logs.Log) -> None:
    append(log, b"old\n" * LARGEST + b"the end\n")
    logs.rotate(log, LARGEST, 2)
    backup = log.path.with_name("service.log.1").read_bytes()
    assert len(backup) == LARGEST
    assert backup.endswith(b"the end\n")


def test_what_was_printed_the_last_time_is_kept(log: logs.Log) -> None:
    for number in range(4):
        logs.begin(log.path, 2)
        append(log, b"session %d\n" % number)
    found = {path.name: path.read_text() for path in log.path.parent.iterdir()}
    assert found == {"service.log": "session 3\n", "service.log.1": "session 2\n", "service.log.2": "session 1\n"}
    logs.begin(log.path, 0)
    assert not log.path.exists()


def test_no_backups(log: logs.Log) -> None:
    append(log, b"x" * LARGEST)
    logs.rotate(log, LARGEST, 0)
    assert log.path.read_bytes() == b""
    assert list(log.path.parent.iterdir()) == [log.path]


def test_a_log_that_is_not_there(log: logs.Log) -> None:
    logs.rotate(log, LARGEST, 1)
    assert logs.tail(log.path) == ""
    assert list(log.path.parent.iterdir()) == []


def test_a_log_that_can_not_be_kept_short_is_a_warning(
    log: logs.Log, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logs, "rotate", full)
    service = processes.Service("a", [], None, None, log.path)
    supervision.shorten([supervision.Watched(service, log, "cyan", 1)], LARGEST, 1)
    assert "can't be kept short: No space left on device" in capsys.readouterr().err


def test_the_end_of_a_log(log: logs.Log) -> None:
    append(log, b"".join(b"\x1b[1mline %d\x1b[0m\n" % number for number in range(50)))
    assert logs.tail(log.path).splitlines() == [f"line {number}" for number in range(30, 50)]


# --- the record


def test_one_at_a_time(tmp_path: Path) -> None:
    assert not record.is_running(tmp_path)
    with record.held(tmp_path):
        record.write(tmp_path, {"dagster": {"url": "http://x:1"}, "mark": "m"})
        assert record.is_running(tmp_path)
        with pytest.raises(errors.Taken, match=f"process {os.getpid()}: dagster at http://x:1"), record.held(tmp_path):
            pass
    assert not record.is_running(tmp_path)
    assert (tmp_path / record.FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "[]", "{", '{"mark": 1}', '{"pid": "x"}'])
def test_a_record_that_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    (tmp_path / record.FILE).write_text(content)
    assert not record.stop(tmp_path)
    with record.held(tmp_path):
        assert record.clear_up(tmp_path) == []
    assert not (tmp_path / record.FILE).exists()


def test_one_of_another_machine_is_not_touched(tmp_path: Path) -> None:
    """On a shared folder: numbers mean other processes there."""
    with record.held(tmp_path):
        found = {"host": "elsewhere", "boot": "another", "pid": os.getpid(), "mark": "m"}
        (tmp_path / record.FILE).write_text(json.dumps(found))
        with pytest.raises(errors.Taken, match="already on elsewhere"):
            record.stop(tmp_path)


def test_another_project_s_is_not_found(tmp_path: Path) -> None:
    """One that runs above, in the home folder say, is not of a project below it."""
    record.write(tmp_path, {})
    inner = tmp_path / "inner" / "deep"
    inner.mkdir(parents=True)
    assert record.find(inner) == tmp_path
    (inner.parent / "daglab.yaml").touch()
    assert record.find(inner) == inner.parent


def test_a_machine_whose_name_has_changed_is_the_same(tmp_path: Path) -> None:
    with record.held(tmp_path):
        record.write(tmp_path, {})
        found = {**record.read(tmp_path), "host": "an old name"}
        (tmp_path / record.FILE).write_text(json.dumps(found))
        with pytest.raises(errors.Taken, match="already, as process"):
            record.refuse_second(tmp_path)


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the mark that the record of the project says."""
    env = {**os.environ, record.MARK: "5" * 32}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], env=env) as process:
        yield process
        process.kill()


def of_a_killed_one(root: Path, **more: Any) -> None:
    """A record whose process is gone."""
    record.write(root, {"mark": "5" * 32, "project": str(root)})
    (root / record.FILE).write_text(json.dumps({**record.read(root), "started": 1, **more}))


def test_what_a_killed_one_has_left_is_ended(tmp_path: Path, orphan: Any) -> None:
    of_a_killed_one(tmp_path)
    with record.held(tmp_path):
        assert record.clear_up(tmp_path) == [orphan.pid]
    assert orphan.wait() < 0
    assert record.read(tmp_path) == {}


@pytest.mark.parametrize("more", [{"project": "/elsewhere"}, {"mark": None}, {"mark": ""}, {"pid": "x"}])
def test_the_record_of_a_copy_says_nothing(more: dict[str, Any], tmp_path: Path, orphan: Any) -> None:
    of_a_killed_one(tmp_path, **more)
    with record.held(tmp_path):
        assert record.clear_up(tmp_path) == []
    assert orphan.poll() is None
    assert record.read(tmp_path) == {}


def test_one_whose_lock_was_taken_away_is_not_cleared_up(tmp_path: Path, orphan: Any) -> None:
    """It lives: its record names this very process."""
    with record.held(tmp_path) as is_ours:
        record.write(tmp_path, {"mark": "5" * 32, "project": str(tmp_path)})
        assert is_ours()
        (tmp_path / record.LOCK).unlink()
        assert not is_ours()
        with record.held(tmp_path), pytest.raises(errors.Taken):
            record.clear_up(tmp_path)
        record.remove(tmp_path, "another mark")
        assert record.read(tmp_path)["mark"] == "5" * 32
    assert orphan.poll() is None


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the user's that has nothing to do with daglab."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]) as process:
        yield process
        process.kill()


@pytest.mark.skipif(not process_table.boot(), reason="without /proc a number alone tells")
@pytest.mark.parametrize("locked", [True, False])
def test_a_strangers_record_ends_nobody(
    locked: bool, stranger: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names a number; who does not see the processes of this machine does not know when each began."""
    kill, told = os.kill, list[Any]()

    def tell(pid: int, number: int) -> None:
        told.append(number)
        kill(pid, number)

    monkeypatch.setattr(os, "kill", tell)
    monkeypatch.setattr(record, "START_SECONDS", 0.0)
    hostile = {"v": 1, "pid": stranger.pid, "keeper": stranger.pid, "mark": "6" * 32, "project": str(tmp_path)}
    (tmp_path / ".daglab").mkdir()
    for more in ({}, {"started": 1, "keeper_started": 1}, {"started": None, "keeper_started": None}):
        (tmp_path / record.FILE).write_text(json.dumps({**hostile, **more}))
        with record.held(tmp_path):
            if locked:
                with pytest.raises(errors.TimedOut, match="is not of it"):
                    record.stop(tmp_path)
            else:
                assert record.clear_up(tmp_path) == []
        if not locked:
            assert record.stop(tmp_path) is None
        assert (told, stranger.poll()) == ([], None)


@pytest.mark.parametrize("pid", [0, -1, True, 2**40, "1", 1.0, None])
def test_a_strangers_record_means_no_group_of_processes(
    pid: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there is no /proc, as on macOS, and a number alone tells."""
    told: list[Any] = []
    monkeypatch.setattr(process_table, "PROC", tmp_path / "none")
    monkeypatch.setattr(record, "START_SECONDS", 0.0)
    monkeypatch.setattr(os, "kill", lambda *each: told.append(each))
    hostile = {"pid": pid, "keeper": pid, "mark": "6" * 32, "project": str(tmp_path), "keeper_started": 1}
    (tmp_path / ".daglab").mkdir()
    (tmp_path / record.FILE).write_text(json.dumps(hostile))
    with record.held(tmp_path), pytest.raises(errors.TimedOut):
        record.stop(tmp_path)
    with record.held(tmp_path):
        assert record.clear_up(tmp_path) == []
    assert told == []


def test_a_keeper_that_was_stopped_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "KEEPER_SECONDS", 0.3)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]) as keeper:
        os.kill(keeper.pid, signal.SIGSTOP)
        began = process_table.started(keeper.pid)
        record.end({"mark": "5" * 32, "keeper": keeper.pid, "keeper_started": began})
        assert keeper.wait() == -signal.SIGKILL


def test_a_pipe_in_place_of_the_record(tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    for name in (record.FILE, ports.LAST):
        os.mkfifo(tmp_path / name)
    assert record.read(tmp_path) == {}
    assert ports.remembered(tmp_path) == {}


def test_links_do_not_lead_astray(tmp_path: Path, log: logs.Log) -> None:
    """A repository may come with them: what they lead to stays as it is."""
    victim, root = tmp_path / "victim", tmp_path / "project"
    victim.write_text("mine")
    for name in (entrance.TOKEN, entrance.PAGE, ports.LAST, record.FILE, "logs/dagster.log", "logs/dagster.log.1"):
        path = root / (name if isinstance(name, Path) else Path(".daglab") / name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(victim)
    entrance.make_token(root)
    entrance.write_page(root, "http://x", "token")
    ports.remember(root, {"dagster": 1})
    record.write(root, {})
    found = logs.begin(root / ".daglab/logs/dagster.log", 1)
    append(found, b"x" * LARGEST)
    logs.rotate(found, LARGEST, 1)
    assert victim.read_text() == "mine"
    assert not any(path.is_symlink() for path in root.rglob("*"))


def test_a_folder_that_leads_out_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "project").mkdir()
    (tmp_path / "project/.daglab").symlink_to(tmp_path / "outside")
    with pytest.raises(errors.InvalidInput, match="leads out of the project"), record.held(tmp_path / "project"):
        pass
    assert list((tmp_path / "outside").iterdir()) == []


def test_the_project_is_found_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert record.find(deep) == deep
    record.write(tmp_path, {})
    assert record.find(deep) == tmp_path
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)  # it belongs to somebody else
    assert record.find(deep) == deep


# --- what is started


def settings(root: Path, **more: Any) -> config.Config:
    return config.load(more, directory=root, environ={})


def test_the_project_s_python(tmp_path: Path) -> None:
    for name in ("uv", "active", ".venv"):
        (tmp_path / name / "bin").mkdir(parents=True)
    environ: dict[str, str] = {}

    def found(named: str | None = None, **more: Any) -> str:
        return services.find_python(settings(tmp_path, **more), named, environ).removeprefix(f"{tmp_path}/")

    assert found() == sys.executable
    environ["VIRTUAL_ENV"] = str(tmp_path / "active")
    (tmp_path / "active/bin/python").touch()
    assert found() == "active/bin/python"
    (tmp_path / ".venv/bin/python").touch()
    assert found() == ".venv/bin/python"
    environ["UV_PROJECT_ENVIRONMENT"] = "uv"
    (tmp_path / "uv/bin/python").touch()
    assert found() == "uv/bin/python"
    assert found(**{"dagster.python": "/own/python"}) == "/own/python"
    assert found("/named/python") == "/named/python"


def test_a_python_that_lacks_something(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(errors.NotSetUp, match="has no dagster-webserver and no marimo") as caught:
        services.check_python(str(bare), ["dagster", "marimo"])
    assert f"{bare} -m pip install dagster-webserver marimo" in str(caught.value.hint)
    services.check_python(sys.executable, ["marimo"])
    for wrong in ("/nowhere/python", "/bin/true", "/bin/false"):
        with pytest.raises(errors.NotSetUp, match="does not work as a Python"):
            services.check_python(wrong, ["marimo"])


def test_dagster_s_folder(tmp_path: Path) -> None:
    assert services.dagster_home(tmp_path, {"DAGSTER_HOME": str(tmp_path)}) == tmp_path
    for wrong in ("relative", str(tmp_path / "missing")):
        with pytest.raises(errors.NotSetUp, match="DAGSTER_HOME is"):
            services.dagster_home(tmp_path, {"DAGSTER_HOME": wrong})
    home = services.dagster_home(tmp_path, {})
    (home / "dagster.yaml").write_text("own: 1\n")
    assert services.dagster_home(tmp_path, {}) == home
    assert (home / "dagster.yaml").read_text() == "own: 1\n"


def test_which_notebook_is_opened(tmp_path: Path) -> None:
    there = settings(tmp_path)
    assert services.choose_notebook(there, None) == tmp_path
    folder = tmp_path / "dagster/notebooks"
    folder.mkdir(parents=True)
    assert services.choose_notebook(there, None) == folder
    (tmp_path / ".daglab/events").mkdir(parents=True)
    lines = [{"command": "scaffold", "detail": {"notebook": f"dagster/notebooks/{name}.py"}} for name in "abc"]
    (tmp_path / ".daglab/events/2026-11.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert services.choose_notebook(there, None) == folder
    (folder / "b.py").touch()
    assert services.choose_notebook(there, None) == folder / "b.py"
    with pytest.raises(errors.NotSetUp, match=r"There is no notebook missing\.py"):
        services.choose_notebook(there, "missing.py")
    with pytest.raises(errors.NotSetUp) as caught:
        services.choose_notebook(there, "dagster/notebooks/bb.py")
    assert caught.value.hint == "Did you mean b.py?"
    assert sorted(path.name for path in folder.iterdir()) == ["b.py"]  # marimo would have made it


def test_a_token_is_of_no_argument(tmp_path: Path) -> None:
    token = entrance.make_token(tmp_path)
    wanted = services.Wanted(tmp_path, "python", "127.0.0.1", {}, "WARNING")
    service = services.marimo(wanted, 3010, tmp_path / "nb.py")
    assert token not in " ".join(map(str, service.command))
    assert {"--quiet", "--headless", "--no-sandbox", "--token-password-file"} <= set(map(str, service.command))
    assert "warn" in service.command
    page = Path(entrance.write_page(tmp_path, 'http://x:1/"><script>', token).removeprefix("file://"))
    assert "<script>" not in page.read_text()
    entrance.close(tmp_path)
    entrance.close(tmp_path)
    assert not page.exists()


@pytest.mark.parametrize(
    ("host", "prefix", "url"),
    [
        ("127.0.0.1", "", "http://127.0.0.1:1"),
        ("0.0.0.0", "/dagster/", "http://127.0.0.1:1/dagster"),
        ("::", "", "http://[::1]:1"),
        ("box.local", "x", "http://box.local:1/x"),
    ],
)
def test_the_address_to_open(host: str, prefix: str, url: str) -> None:
    assert services.url(host, 1, prefix) == url


def test_who_answers(dagster: Any) -> None:
    """Something else on that port is not the service."""
    assert not services.answers("dagster", dagster.url)
    assert not services.answers("marimo", "http://127.0.0.1:9")


def test_where_dagster_finds_nothing(tmp_path: Path) -> None:
    with pytest.raises(errors.NotSetUp, match="Dagster finds nothing to load"):
        services.require_project(tmp_path)
    (tmp_path / "pyproject.toml").write_text('# [tool.dagster]\n[project]\nname = "x"\n')
    with pytest.raises(errors.NotSetUp):
        services.require_project(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.dagster]\nmodule_name = "x"\n')
    services.require_project(tmp_path)


# --- crashes


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "PAUSES", (0.0, 0.0, 0.0))


def service(tmp_path: Path, code: str) -> processes.Service:
    return processes.Service("shaky", [sys.executable, "-c", code], tmp_path, None, tmp_path / "logs" / "shaky.log")


def watch(kept: Any, each: supervision.Watched, *, restarts: bool = True, until: int | None = None) -> None:
    """Look after a service until it was started again so many times."""
    deadline, fresh = time.monotonic() + 60, 0
    while fresh != until:
        assert time.monotonic() < deadline
        fresh += len(supervision.look(kept, [each], restarts=restarts))
        time.sleep(0.01)


def test_a_service_is_started_again_three_times(tmp_path: Path, pauses: None, capsys: Any) -> None:
    with processes.keeper() as kept:
        each = supervision.start(kept, service(tmp_path, "print('é and out'); raise SystemExit(3)"), 0, 1)
        with pytest.raises(errors.NotGood, match="shaky has ended with code 3 4 times in 5 minutes") as caught:
            watch(kept, each)
    assert caught.value.message.count("é and out") == 4
    assert str(each.log.path) in str(caught.value.hint)
    said = capsys.readouterr().err
    assert all(f"({number} of 3)" in said for number in (1, 2, 3))


def test_crashes_of_long_ago_do_not_count(tmp_path: Path, pauses: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "WINDOW", 0.0)
    with processes.keeper() as kept:
        each = supervision.start(kept, service(tmp_path, "pass"), 0, 1)
        watch(kept, each, until=6)


def test_without_restarts_the_first_crash_is_the_end(tmp_path: Path) -> None:
    with processes.keeper() as kept:
        each = supervision.start(kept, service(tmp_path, "raise SystemExit(3)"), 0, 1)
        with pytest.raises(errors.NotGood, match=r"shaky has ended with code 3\. The end"):
            watch(kept, each, restarts=False)


def test_what_is_printed_is_shown_with_its_name(tmp_path: Path, capsys: Any, log: logs.Log) -> None:
    watched = supervision.Watched(processes.Service("shaky", [], None, None, log.path), log, "cyan", 1)
    append(log, b"one\n\x1b]0;title\x07two\n")
    supervision.show([watched])
    supervision.show([watched])
    assert capsys.readouterr().err == "shaky | one\nshaky | \\x1b]0;title\\x07two\n"
    append(log, b"z\n" * logs.MOST_SHOWN)
    supervision.show([watched])
    assert f"bytes more are in {log.path})" in capsys.readouterr().err


def test_what_a_tree_uses() -> None:
    used = supervision.usage([os.getpid(), 2**22 + 1])
    assert list(used) == [os.getpid()]
    assert used[os.getpid()].memory > 5_000_000


# --- behind us


@pytest.mark.parametrize("text", [b"", b"no json\n", b"[1]\n"])
def test_no_document(text: bytes) -> None:
    assert dev._first_document(text.splitlines(keepends=True)) is None


def test_the_first_document_of_a_stream_that_goes_on() -> None:
    lines = b'{\n  "ok": true,\n  "a": {"b": 1}\n}\n'.splitlines(keepends=True)
    assert dev._first_document(lines) == {"ok": True, "a": {"b": 1}}


def test_an_error_of_the_one_behind_us_is_ours() -> None:
    raised = dev._as_raised(errors.Taken("m", "h").document())
    assert raised.document() == errors.Taken("m", "h").document()


def test_a_browser_that_is_not_there_is_noted(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    done: list[Any] = []

    class AtOnce:
        def __init__(self, target: Any, args: Any, daemon: bool) -> None:
            self.run = lambda: target(*args)

        def start(self) -> None:
            self.run()

    monkeypatch.setattr(dev.threading, "Thread", AtOnce)
    dev.open_pages(["http://x"], "no-such-browser")
    assert "http://x could not be opened in a browser: could not locate runnable browser" in capsys.readouterr().err
    opener = type("B", (), {"open": lambda _, url: done.append(url) or True})()
    monkeypatch.setattr(dev.webbrowser, "get", lambda name: opener)
    dev.open_pages(["http://x", "file:///y"], None)
    assert done == ["http://x", "file:///y"]


# --- stopping


def test_what_a_later_one_has_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that starts while another is stopped: its record and its token are its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(record, "stop", lambda _: "the mark of the one that was stopped")
    record.write(tmp_path, {"mark": "another mark"})
    entrance.make_token(tmp_path)
    stop.command.main(["--json"], standalone_mode=False)
    assert record.read(tmp_path)["mark"] == "another mark"
    assert (tmp_path / entrance.TOKEN).exists()
    record.write(tmp_path, {"mark": "the mark of the one that was stopped"})  # it had to be killed
    stop.command.main(["--json"], standalone_mode=False)
    assert record.read(tmp_path) == {}
    assert not (tmp_path / entrance.TOKEN).exists()


def test_stopping_asks_no_server() -> None:
    code = "import sys, daglab.commands.stop; sys.exit('requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


# --- runs under way


class History:
    """The runs of a Dagster, the process of each, and what was asked of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **pids: int | None) -> None:
        self.asked: list[tuple[str, str]] = []
        self.pids = pids
        self.statuses = dict.fromkeys(pids, "STARTED")
        monkeypatch.setattr(run_records, "search", self.search)
        monkeypatch.setattr(run_logs, "follow", self.follow)
        monkeypatch.setattr(runs, "status", lambda _, ids: {each: runs.Run(each, self.statuses[each]) for each in ids})
        monkeypatch.setattr(cancellation, "ask", self.ask)

    def search(self, _: Any, *, statuses: Any) -> Any:
        every = (
            run_records.Record(each, status, "j", "l", (), {}, 1.0, None, 5.0) for each, status in self.statuses.items()
        )
        return (record for record in every if record.status in statuses)

    def follow(self, _: Any, run_id: str, __: Any) -> Any:
        pid = self.pids[run_id]
        said = ["A first message."] if pid is None else ["Another.", f"Started process for run (pid: {pid})."]
        yield [run_logs.Event(1.0, "DEBUG", None, "ENGINE_EVENT", message) for message in said]

    def ask(self, _: Any, run_id: str, policy: str) -> str | None:
        self.asked.append((run_id, policy))
        if run_id != "stubborn" or policy != "SAFE_TERMINATE":
            self.statuses[run_id] = "CANCELED"
        return None


SAFE, MARKED = "SAFE_TERMINATE", "MARK_AS_CANCELED_IMMEDIATELY"


@pytest.fixture
def there() -> dagster_api.DagsterApi:
    return in_flight.api("http://dagster.test", 1.0)


def test_all_runs_of_our_own_history_end(there: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Those that wait in the queue, too; one that does not listen is marked before its process is ended."""
    history = History(monkeypatch, one=1, stubborn=2, waiting=None, done=3)
    history.statuses.update(waiting="QUEUED", done="SUCCESS")
    in_flight.end(there, 0.3)
    assert history.asked == [("one", SAFE), ("stubborn", SAFE), ("waiting", SAFE), ("stubborn", MARKED)]
    said = capsys.readouterr().err
    assert "The run waiting (j) is under way, and is asked to end." in said
    assert "The run stubborn (j) is marked as cancelled." in said


def test_the_runs_of_others_are_left_alone(there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a history that several have: ours are those whose process is, and one that has none yet is not."""
    history = History(monkeypatch, ours=11, theirs=22, starting=None)
    in_flight.end(there, 0.3, {11, 12})
    assert history.asked == [("ours", SAFE)]


def test_runs_that_can_not_be_asked_hold_up_nothing(there: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise errors.Unreachable("nothing answers", "h")

    monkeypatch.setattr(run_records, "search", gone)
    in_flight.end(there, 0.3)
    assert "Runs under way could not be asked to end: nothing answers" in capsys.readouterr().err


@pytest.fixture
def plan(tmp_path: Path) -> environment.Plan:
    home = services.dagster_home(tmp_path, {})
    more = {"notebook": None, "url": None, "prefix": "", "read_only": False, "restarts": True, "shows": True}
    sizes = {"largest_log": LARGEST, "backups": 1}
    return environment.Plan(tmp_path, "python", "127.0.0.1", "INFO", {}, (1, 2), {}, home, **more, **sizes)  # type: ignore[arg-type]


def test_a_range_without_a_port_for_the_dashboard_does_without_it(plan: environment.Plan, capsys: Any) -> None:
    port = processes.find_free_port()
    narrow = dataclasses.replace(plan, among=(port, port))
    with contextlib.ExitStack() as held:
        both = dataclasses.replace(narrow, preferred={"marimo": port, "dashboard": port})
        assert environment._ports(both, held, []) == {"marimo": port}
    assert "left out" in capsys.readouterr().err
    with contextlib.ExitStack() as held, pytest.raises(errors.Taken):
        environment._ports(dataclasses.replace(narrow, preferred={"dagster": port, "marimo": port}), held, [])


def running(**more: Any) -> environment.Running:
    return environment.Running("5" * 32, {"dagster": "http://dagster.test"}, {}, **more)


def test_what_a_killed_one_has_left_in_the_history_is_marked(
    plan: environment.Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    """In our own history, where nobody else is at work; and not what has been launched since."""
    history = History(monkeypatch, left=1)
    environment._clear_history(plan, running(began=4.0))
    assert history.asked == []
    foreign = dataclasses.replace(plan, home=tmp_path / "own")
    environment._clear_history(foreign, running(began=6.0))
    assert history.asked == []
    assert "daglab runs cancel left --force" in capsys.readouterr().err
    environment._clear_history(plan, running(began=6.0))
    assert history.asked == [("left", MARKED)]


def test_a_daemon_that_runs_already_is_the_only_one(
    plan: environment.Plan, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(environment, "_launch", lambda *given: started.append(given[-1].name))
    monkeypatch.setattr(environment, "_write", lambda *_: None)
    code = ["-c", "import time; print(flush=True); time.sleep(300)", "dagster._daemon", "run"]
    env = {**os.environ, "DAGSTER_HOME": f"{plan.home}/"}
    with subprocess.Popen([sys.executable, *code], env=env, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        environment._start_daemon(plan, running(), None)  # type: ignore[arg-type]
        assert started == []
        assert f"Process {other.pid} is a daemon of {plan.home} already" in capsys.readouterr().err
        other.kill()
    environment._start_daemon(plan, running(), None)  # type: ignore[arg-type]
    assert started == ["daemon"]


# --- what else each of them says


def test_a_port_that_is_roots_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", bind)
    assert ports.is_free(80, "127.0.0.1") is False


@pytest.mark.parametrize("trouble", ["a file", "somebody else's"])
def test_where_no_port_can_be_held_it_is_taken_all_the_same(
    trouble: str, free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = tmp_path / f"daglab-{os.getuid()}"
    if trouble == "a file":
        folder.write_text("")
    else:
        (tmp_path / "theirs").mkdir()
        folder.symlink_to(tmp_path / "theirs")
    assert choose(free) == free
    assert list(tmp_path.rglob("port-*")) == []


def test_how_each_is_started(tmp_path: Path) -> None:
    wanted = services.Wanted(tmp_path, "python", "0.0.0.0", {}, "INFO")
    plain = services.dagster(wanted, 3001).command
    assert plain[:7] == ["python", "-m", "dagster_webserver", "--host", "0.0.0.0", "--port", "3001"]
    assert not {"--path-prefix", "--read-only"} & {*plain}
    careful = services.dagster(dataclasses.replace(wanted, prefix="/d", read_only=True), 3001).command
    assert [*careful[-3:]] == ["--path-prefix", "/d", "--read-only"]
    assert services.dashboard(wanted, 3030).command[-4:] == ["--quiet", "dashboard", "--port", "3030"]
    assert services.dashboard(wanted, 3030).command[0] == sys.executable  # daglab's own, whatever the project has


def test_a_record_of_events_that_can_not_be_read_names_no_notebook(tmp_path: Path) -> None:
    (tmp_path / "nb.py").touch()
    folder = tmp_path / ".daglab" / "events"
    folder.mkdir(parents=True)
    line = {"v": 1, "command": "scaffold", "detail": {"notebook": "nb.py"}}
    (folder / "2026-01.jsonl").write_text(json.dumps(line) + "\n")
    (folder / "2026-02.jsonl").mkdir()
    assert services.last_notebook(tmp_path) == tmp_path / "nb.py"
    assert services.choose_notebook(settings(tmp_path), str(tmp_path / "nb.py")) == tmp_path / "nb.py"


def test_a_log_that_can_not_be_begun_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    service = processes.Service("dagster", ["true"], tmp_path, {}, tmp_path / "file" / "log")
    with processes.keeper() as kept, pytest.raises(errors.InvalidInput, match="log can't be written"):
        supervision.start(kept, service, 0, 1)


def test_the_status_tells_what_each_uses(tmp_path: Path) -> None:
    with record.held(tmp_path):
        own = {"pid": os.getpid(), "url": "http://x"}
        record.write(tmp_path, {"dagster": own, "marimo": {"pid": 2**22 + 1}, "daemon": "x"})
        found = supervision.status(tmp_path)
    assert found["running"] is True
    assert (found["dagster"]["alive"], found["dagster"]["url"]) == (True, "http://x")
    assert found["dagster"]["memory_bytes"] > 0
    assert found["marimo"] == {"pid": 2**22 + 1, "alive": False}
    assert not {"daemon", "mark", "boot"} & {*found}
    assert supervision.status(tmp_path) == {"running": False}


def test_stopping_one_that_was_stopped(tmp_path: Path) -> None:
    """It hears the signal although it stands still; what it has started goes with it."""
    code = (
        "import sys, time; from pathlib import Path; from daglab.dev import record\n"
        "with record.held(Path(sys.argv[1])):\n"
        "    record.write(Path(sys.argv[1]), {'mark': '7' * 32, 'project': sys.argv[1]})\n"
        "    print('up', flush=True)\n"
        "    time.sleep(300)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    child = [sys.executable, "-c", "import time; time.sleep(300)"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as running,
        subprocess.Popen(child, env={**os.environ, record.MARK: "7" * 32}) as left,
    ):
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        os.kill(running.pid, signal.SIGSTOP)
        assert record.stop(tmp_path) == "7" * 32
        assert running.wait() == -signal.SIGTERM
        assert left.wait() == -signal.SIGTERM
    assert record.stop(tmp_path) is None


def test_without_a_table_of_processes_the_number_alone_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    monkeypatch.setattr(process_table, "PROC", tmp_path / "none")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]) as running:
        assert record._lives({"pid": running.pid})
        running.kill()
    assert not record._lives({"pid": running.pid})


def test_a_daemon_that_is_not_well_holds_up_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running = environment.Running("mark", {}, {}, awaited={"daemon", "marimo"})
    log: Any = SimpleNamespace(log=SimpleNamespace(path=tmp_path / "daemon.log"))
    running.watched["daemon"] = log
    environment.give_up_on_daemon(running, 100)
    assert running.awaited == {"daemon", "marimo"}  # which may still need longer
    running.awaited.discard("marimo")
    environment.give_up_on_daemon(running, environment.DAEMON_SECONDS - 1)
    assert running.awaited == {"daemon"}
    environment.give_up_on_daemon(running, environment.DAEMON_SECONDS)
    assert running.awaited == set()
    assert str(tmp_path / "daemon.log") in capsys.readouterr().err


def test_where_everything_is_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = config.load({}, directory=tmp_path)
    dagster = {"url": "http://127.0.0.1:3007", "pid": 1}
    marimo = {"url": "http://127.0.0.1:3010", "page": "http://127.0.0.1:3010/?file=a.py", "token_file": "/t"}
    board = {"url": "http://127.0.0.1:1", "port": 1}
    found = {"dagster": dagster, "marimo": marimo, "dashboard": board, "read_only": False}
    dev.tell(found, settings)
    out, err = capsys.readouterr()
    assert out.split()[1::2] == [dagster["url"], marimo["page"], "http://127.0.0.1:1/"]
    assert "its token is in /t" in err
    assert "dashboard.port" in err
    assert "export DAGLAB_DAGSTER__URL=http://127.0.0.1:3007" in err
    assert "sandbox" not in err
    dev.tell({"dagster": dagster, "read_only": True}, settings)
    assert "No daemon runs." in capsys.readouterr().err
    dev.tell({"marimo": marimo, "read_only": True}, settings)
    assert "Dagster itself takes them" in capsys.readouterr().err


def test_a_row_for_each_that_runs(capsys: pytest.CaptureFixture[str]) -> None:
    each = {"url": "http://127.0.0.1:3000", "pid": 7, "alive": True, "memory_bytes": 3 * 2**20, "cpu_percent": 2.0}
    dev.tell_status({"dagster": each, "daemon": {"pid": 8, "alive": False}, "marimo": {"url": "http://127.0.0.1:3010"}})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    told = {row[0]: row[1:] for row in rows}
    assert {"runs", "3", "7"} <= set(told["dagster"])
    assert {"ended", "8"} <= set(told["daemon"])
    assert "http://127.0.0.1:3010" in told["marimo"]


def test_one_that_does_not_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(record, "_running", lambda _: {"pid": 4711, "mark": "m"})
    monkeypatch.setattr(record, "_lives", lambda _: True)
    monkeypatch.setattr(record, "STOP_SECONDS", 0.0)
    monkeypatch.setattr(record.os, "kill", lambda _, number: sent.append(number))
    with pytest.raises(errors.TimedOut, match="process 4711"):
        record.stop(tmp_path)
    assert sent[0] == signal.SIGTERM
    assert signal.SIGKILL in sent


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--no-dagster", "--no-marimo"], "leave nothing to start"),
        (["--url", "http://127.0.0.1:9"], "names a Dagster that runs already"),
    ],
)
def test_what_can_not_be_started_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "daglab.yaml").touch()
    (tmp_path / "definitions.py").write_text("import dagster\n\ndefs = dagster.Definitions()\n")
    (tmp_path / "pyproject.toml").write_text("[tool.dagster]\nmodule_name = 'definitions'\n")
    done = CliRunner().invoke(dev.command, words)
    assert isinstance(done.exception, errors.WrongUsage)
    assert said in done.exception.message


def test_ports_that_are_taken_as_fast_as_they_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    ports_lost = iter(range(3000, 3100))
    seen: list[list[int]] = []
    warned: list[str] = []

    def attempt(_: object, lost: list[int], *__: object) -> None:
        seen.append(list(lost))
        raise environment.PortLost("dagster", next(ports_lost))

    monkeypatch.setattr(environment, "_attempt", attempt)
    monkeypatch.setattr(environment.output, "warn", warned.append)
    with pytest.raises(errors.Taken, match="as fast as they are found: 3000, 3001") as caught:
        environment.serve(None, lambda _: None, lambda: True)  # type: ignore[arg-type]
    assert caught.value.hint == "Name others with --port-range."
    assert seen[1] == [3000]
    assert warned[0] == "Port 3000 was taken while dagster started: trying another."

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, processes

ROOT = Path(processes.__file__).parents[1]
MARK = "TEST_PROCESSES_MARK"

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")

# Two processes, the second in a session of its own, which say that they are up by making a file.
TREE = "setsid sh -c 'touch ready; exec sleep 600' & exec sleep 600"
STUBBORN_TREE = f"trap '' INT TERM; {TREE}"
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("ready", "w").close()
        time.sleep(600)
    os._exit(0)
while not os.path.exists("ready"):
    time.sleep(0.01)
"""
# A daemon that answers SIGTERM with a fork of itself, which ends at the next one.
FORKS_WHEN_TOLD = """
import os, signal, time

def told(signum, frame):
    if os.path.exists("first"):
        open("second", "w").close()
        os._exit(0)
    open("first", "w").close()
    # A signal that comes while Python is still busy with the fork would be forgotten.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    if os.fork():
        os._exit(0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

if os.fork() == 0:
    signal.signal(signal.SIGTERM, told)
    open("ready", "w").close()
    while True:
        time.sleep(600)
while not os.path.exists("ready"):
    time.sleep(0.01)
"""
# A supervisor that prints what is left of its children at the moment `run` raises.
INTERRUPTED = """
import signal, sys
from pathlib import Path
from daglab import processes

def marked():
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if sys.argv[1].encode() in (folder / "environ").read_bytes():
                yield (folder / "cmdline").read_bytes()
        except OSError:
            pass

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
try:
    processes.run(["sh", "-c", sys.argv[2]])
except BaseException as error:
    print(type(error).__name__, len(list(marked())) - 1)
"""


@pytest.fixture
def mark() -> Iterator[str]:
    """The value of a variable that the processes of one test carry; those that outlive it are killed."""
    value = uuid.uuid4().hex
    yield value
    for pid in marked(value):
        os.kill(pid, signal.SIGKILL)


def marked(value: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={value}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            pass
    return found


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        time.sleep(0.02)


def marked_environ(mark: str) -> dict[str, str]:
    return {**os.environ, MARK: mark, "PYTHONPATH": str(ROOT)}


def supervisor(mark: str, code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(
        command, env=marked_environ(mark), stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def service(name: str, script: str, folder: Path, mark: str = "") -> processes.Service:
    env = marked_environ(mark)
    return processes.Service(name, ["sh", "-c", script], folder, env, folder / f"{name}.log")


def bare_keeper(mark: str, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, *(options or ("-I", str(processes.SCRIPT)))]  # with -S nothing could measure it
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=marked_environ(mark), stdin=pipe, stdout=pipe, bufsize=0, start_new_session=True
    )


def order(name: str, *argv: str, **others: Any) -> bytes:
    blank = {"cwd": None, "env": None, "stdout": None, "stderr": None}
    return json.dumps({"name": name, "argv": argv, **blank, **others}).encode() + b"\n"


def channel(process: subprocess.Popen[bytes], *lines: bytes) -> None:
    assert process.stdin
    for line in lines:
        process.stdin.write(line)


def finish(process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    assert process.stdin
    assert process.stdout
    process.stdin.close()
    with process.stdout:
        reports = [json.loads(line) for line in process.stdout]
    process.wait(60)
    return reports


# A command to its end.


def test_run_keeps_code_and_both_outputs() -> None:
    finished = processes.run(["sh", "-c", "echo out; echo err >&2; exit 42"])
    assert (finished.returncode, finished.stdout, finished.stderr) == (42, "out\n", "err\n")
    assert not finished.timed_out
    assert finished.seconds >= 0


def test_run_tells_the_signal() -> None:
    assert processes.run(["sh", "-c", "kill -KILL $$"]).returncode == -signal.SIGKILL


def test_run_takes_much_output_on_both_streams() -> None:
    code = "import sys; [(sys.stdout.write('o' * 2**20), sys.stderr.write('e' * 2**20)) for _ in range(10)]"
    finished = processes.run([sys.executable, "-c", code])
    assert finished.stdout == "o" * 10 * 2**20
    assert finished.stderr == "e" * 10 * 2**20


def test_run_replaces_what_is_not_utf8_and_takes_such_arguments() -> None:
    word = os.fsdecode(b"a\xffb")
    assert processes.run(["printf", "%s", word]).stdout == "a\ufffdb"


def test_run_uses_folder_environment_and_empty_input(tmp_path: Path) -> None:
    big = "x" * 100_000  # with it, the order does not fit into a pipe at once
    finished = processes.run(
        ["sh", "-c", 'pwd; echo "$ONE${#BIG}"; cat'], cwd=tmp_path, env={**os.environ, "ONE": "1", "BIG": big}
    )
    assert finished.stdout.splitlines() == [str(tmp_path.resolve()), "1100000"]


def test_run_without_environment_hands_on_the_present_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "1")
    monkeypatch.delenv("HOME")
    assert processes.run(["sh", "-c", "echo $ONE ${HOME-none}"]).stdout == "1 none\n"


def test_program_is_looked_for_on_the_path_of_its_own_environment(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "here").symlink_to(shutil.which("true") or "")
    assert processes.run(["here"], env={"PATH": f"/nowhere:{folder}"}).returncode == 0
    with pytest.raises(errors.NotSetUp, match="here"):
        processes.run(["here"], cwd=folder)


def no_program(folder: Path) -> list[str]:
    return ["no-such-program"]


def no_file(folder: Path) -> list[str]:
    return ["./absent"]


def not_executable(folder: Path) -> list[str]:
    (folder / "plain").write_text("#!/bin/sh\n")
    return ["./plain"]


def no_interpreter(folder: Path) -> list[str]:
    (folder / "moved").write_text("#!/no/such/python\n")
    (folder / "moved").chmod(0o755)
    return ["./moved"]


def no_first_line(folder: Path) -> list[str]:
    (folder / "text").write_text("echo hi\n")
    (folder / "text").chmod(0o755)
    return ["./text"]


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (no_program, "no-such-program", "PATH"),
        (no_file, "absent", "Look"),
        (not_executable, "Permission", "ls -ld"),
        (no_interpreter, "moved", "interpreter"),
        (no_first_line, "format", "Look"),
    ],
)
def test_what_cannot_be_run_is_not_set_up(
    make: Callable[[Path], list[str]], message: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(errors.NotSetUp, match=message) as caught:
        processes.run(make(tmp_path), cwd=tmp_path)
    assert hint in (caught.value.hint or "")


def test_missing_folder_is_not_set_up(tmp_path: Path) -> None:
    with pytest.raises(errors.NotSetUp, match="nowhere"):
        processes.run(["true"], cwd=tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["command", "service"])
def test_what_a_shell_would_run_is_text(kind: str, tmp_path: Path) -> None:
    """In the program's path, its folder and its arguments: all is given on as it stands."""
    hostile = "a $(touch ran) `touch ran`; touch ran & touch ran | touch ran\n' \" * ~ $HOME > ran #"
    folder = tmp_path / hostile.replace("/", "")
    folder.mkdir()
    program, said = folder / "$(touch ran);program", folder / "said.log"
    program.write_text(f"#!{sys.executable}\nimport os, sys\nprint([os.getcwd(), *sys.argv])\n")
    program.chmod(0o755)
    if kind == "command":
        printed = processes.run([program, hostile, "$(touch ran)"], cwd=folder).stdout
    else:
        with processes.keeper() as kept:
            service = processes.Service("one", [program, hostile, "$(touch ran)"], folder, None, said)
            processes.start(kept, service)
            wait_until(lambda: processes.ended(kept), "the service has ended")
        printed = said.read_text()
    assert ast.literal_eval(printed) == [str(folder), str(program), hostile, "$(touch ran)"]
    assert list(tmp_path.rglob("ran")) == []


# Nothing is left.


@pytest.mark.long
@needs_proc
def test_timeout_ends_what_ignores_signals_and_left_the_session(tmp_path: Path, mark: str) -> None:
    command = ["sh", "-c", f"echo before; {STUBBORN_TREE}"]
    finished = processes.run(command, timeout=1, cwd=tmp_path, env=marked_environ(mark))
    assert (tmp_path / "ready").exists()
    assert marked(mark) == []
    assert finished.timed_out
    assert (finished.returncode, finished.stdout) == (-signal.SIGKILL, "before\n")


@needs_proc
def test_timeout_lets_a_command_end_by_itself(tmp_path: Path, mark: str) -> None:
    script = "trap 'echo tidy; exit 7' INT; touch ready; while :; do sleep 0.05; done"
    finished = processes.run(["sh", "-c", script], timeout=1, cwd=tmp_path, env=marked_environ(mark))
    assert (tmp_path / "ready").exists()
    assert (finished.timed_out, finished.returncode, finished.stdout) == (True, 7, "tidy\n")


@needs_proc
def test_daemon_goes_with_the_command(tmp_path: Path, mark: str) -> None:
    finished = processes.run([sys.executable, "-c", DAEMON], cwd=tmp_path, env=marked_environ(mark))
    assert (tmp_path / "ready").exists()
    assert marked(mark) == []
    assert finished.returncode == 0


@needs_proc
def test_process_made_while_the_tree_is_ended_is_told_too(tmp_path: Path, mark: str) -> None:
    command = [sys.executable, "-c", FORKS_WHEN_TOLD]
    processes.run(command, cwd=tmp_path, env=marked_environ(mark))
    assert (tmp_path / "second").exists()
    assert marked(mark) == []


@needs_proc
def test_killed_supervisor_leaves_nothing(tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    process = supervisor(mark, INTERRUPTED, mark, TREE)
    wait_until((tmp_path / "ready").exists, "the tree is up")
    assert len(marked(mark)) >= 4
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not marked(mark), "nothing is left")


@needs_proc
@pytest.mark.parametrize(("signum", "raised"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "SystemExit")])
def test_interrupted_run_leaves_nothing(
    signum: int, raised: str, tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process = supervisor(mark, INTERRUPTED, mark, TREE)
    wait_until((tmp_path / "ready").exists, "the tree is up")
    process.send_signal(signum)
    assert process.communicate()[0].split() == [raised, "0"]
    assert marked(mark) == []


@needs_proc
def test_signals_are_fresh_whatever_the_supervisor_ignores() -> None:
    status = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
    code = f"""
import signal
from daglab import processes
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGCHLD])
print(processes.run({status}).stdout)
"""
    trap = ["sh", "-c", "trap '' INT TERM HUP QUIT CHLD; exec \"$@\"", "sh", sys.executable, "-c", code]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    shown = subprocess.run(trap, env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
    _, blocked, _, ignored = shown.split()
    # glibc's posix_spawn ignores signals 32 and 33, its own, until the program makes a thread.
    assert (int(blocked, 16), int(ignored, 16) & ~0x180000000) == (0, 0)


@needs_proc
def test_command_inherits_no_descriptor() -> None:
    assert processes.run(["sh", "-c", "ls /proc/$$/fd"]).stdout.split() == ["0", "1", "2"]


# Services.


def test_service_appends_to_its_log_and_ends(tmp_path: Path) -> None:
    (tmp_path / "one.log").write_text("before\n")
    with processes.keeper() as kept:
        pid = processes.start(kept, service("one", "echo $$; echo err >&2; exit 3", tmp_path))
        wait_until(lambda: processes.ended(kept), "the service has ended")
        assert processes.ended(kept) == {"one": 3}
    assert (tmp_path / "one.log").read_text() == f"before\n{pid}\nerr\n"
    assert processes.ended(kept) == {"one": 3}


def test_service_started_again_has_not_ended(tmp_path: Path) -> None:
    with processes.keeper() as kept:
        processes.start(kept, service("one", "exit 3", tmp_path))
        wait_until(lambda: processes.ended(kept), "the service has ended")
        processes.start(kept, service("one", "exec sleep 600", tmp_path))
        assert processes.ended(kept) == {}
    assert processes.ended(kept) == {"one": -signal.SIGINT}
    assert (tmp_path / "one.log").stat().st_mode & 0o777 == 0o600


def test_service_that_cannot_start_leaves_the_others(tmp_path: Path) -> None:
    with processes.keeper() as kept:
        processes.start(kept, service("one", "exec sleep 600", tmp_path))
        absent = processes.Service("two", ["no-such-program"], tmp_path, None, tmp_path / "two.log")
        with pytest.raises(errors.NotSetUp, match="no-such-program"):
            processes.start(kept, absent)
        unlogged = processes.Service("three", ["true"], tmp_path, None, tmp_path / "no" / "three.log")
        with pytest.raises(errors.NotSetUp, match=r"three\.log"):
            processes.start(kept, unlogged)
        assert processes.ended(kept) == {}


def test_two_keepers_do_not_hold_each_other(tmp_path: Path) -> None:
    with processes.keeper() as first, processes.keeper() as second:
        processes.start(first, service("one", "exec sleep 600", tmp_path))
        processes.start(second, service("two", "exec sleep 600", tmp_path))
        first.control.close()
        assert first.process.wait(60) == 0
        assert processes.ended(second) == {}


def test_stop_works_while_a_fork_holds_the_channel(tmp_path: Path) -> None:
    with processes.keeper() as kept:
        processes.start(kept, service("one", "exec sleep 600", tmp_path))
        copy = os.dup(kept.control.fileno())
        assert processes.stop(kept)
        os.close(copy)
    assert processes.ended(kept) == {"one": -signal.SIGINT}


def test_interrupted_stop_still_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close = processes._close

    def interrupted(kept: processes.Keeper) -> bool:
        monkeypatch.setattr(processes, "_close", close)
        raise KeyboardInterrupt

    with processes.keeper() as kept:
        processes.start(kept, service("one", "exec sleep 600", tmp_path))
        monkeypatch.setattr(processes, "_close", interrupted)
        with pytest.raises(KeyboardInterrupt):
            processes.stop(kept)
        assert kept.process.returncode == 0


@needs_proc
def test_killed_keeper_is_an_error(tmp_path: Path, mark: str) -> None:
    with processes.keeper() as kept:
        processes.start(kept, service("one", "exec sleep 600", tmp_path, mark))
        kept.process.kill()
        kept.process.wait(60)
        with pytest.raises(errors.DaglabError, match="killed"):
            processes.ended(kept)
        with pytest.raises(errors.DaglabError, match="killed"):
            processes.start(kept, service("two", "true", tmp_path))


@needs_proc
def test_no_command_line_shows_a_secret(tmp_path: Path) -> None:
    secret = uuid.uuid4().hex
    env = {**os.environ, "SOME_KEY": secret}
    with processes.keeper() as kept:
        one = processes.Service("one", ["sleep", "600"], tmp_path, env, tmp_path / "log")
        pid = processes.start(kept, one)
        environ = Path(f"/proc/{pid}/environ")
        wait_until(lambda: secret.encode() in environ.read_bytes(), "the service has its environment")
        assert secret.encode() not in Path(f"/proc/{kept.process.pid}/environ").read_bytes()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            assert secret.encode() not in read_if_there(path)


def read_if_there(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


# The keeper itself, with a supervisor that misbehaves.


@needs_proc
def test_keeper_outlives_the_reader_of_its_reports(tmp_path: Path, mark: str) -> None:
    process = bare_keeper(mark)
    assert process.stdout
    process.stdout.close()
    for name in ("one", "two"):
        channel(process, order(name, "sh", "-c", f"touch {name}; exec sleep 600", cwd=str(tmp_path)))
        wait_until((tmp_path / name).exists, f"service {name} runs")
    assert process.poll() is None
    assert process.stdin
    process.stdin.close()
    assert process.wait(60) == 0
    assert marked(mark) == []


@needs_proc
def test_keeper_does_not_wait_for_the_reader_of_its_reports(tmp_path: Path, mark: str) -> None:
    process = bare_keeper(mark)
    channel(process, *[b"?\n"] * 5_000)
    channel(process, order("one", "sh", "-c", "touch one; exec sleep 600", cwd=str(tmp_path)))
    wait_until((tmp_path / "one").exists, "the service runs")
    assert process.stdin
    assert process.stdout
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()
    assert marked(mark) == []


@needs_proc
def test_keeper_survives_garbled_orders(tmp_path: Path, mark: str) -> None:
    process = bare_keeper(mark)
    channel(process, order("one", "sh", "-c", "touch one; exec sleep 600", cwd=str(tmp_path)))
    garbled = [
        b"\n",
        b"\xff\xfe\n",
        b'{"name": "two", "argv"\n',
        b"[]\n",
        b"null\n",
        b"{}\n",
        b"[" * 100_000 + b"\n",
        order("no arguments"),
        order("folder is a number", "true", cwd=5),
        order("keeper's own channel", "true", stdout=1),
        order("closed descriptor", "true", stdout=999),
        order("no mapping", "true", env=[1]),
        order("null byte", "tr\0ue"),
        order("number", "true").replace(b'"true"', b"7"),
    ]
    channel(process, *garbled, b'{"name": "torn", "argv": ["tou')
    wait_until((tmp_path / "one").exists, "the service runs")
    reports = finish(process)
    events = [report["event"] for report in reports]
    assert events == ["started", *["failed"] * len(garbled), "ended"]
    assert all(report["error"] for report in reports[1:-1])
    assert process.returncode == 0
    assert marked(mark) == []


@needs_proc
def test_keeper_ignores_the_signals_of_a_terminal(tmp_path: Path, mark: str) -> None:
    process = bare_keeper(mark)
    channel(process, order("one", "sh", "-c", "touch one; exec sleep 600", cwd=str(tmp_path)))
    wait_until((tmp_path / "one").exists, "the service runs")
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(signum)
    channel(process, order("two", "sh", "-c", "touch two; exec sleep 600", cwd=str(tmp_path)))
    wait_until((tmp_path / "two").exists, "the other service runs")
    assert sorted(report["event"] for report in finish(process)) == ["ended"] * 2 + ["started"] * 2
    assert marked(mark) == []


@needs_proc
def test_keeper_ends_what_left_its_session(tmp_path: Path, mark: str) -> None:
    process = bare_keeper(mark)
    channel(process, order("one", "sh", "-c", "setsid sh -c 'touch away; exec sleep 600' &", cwd=str(tmp_path)))
    wait_until((tmp_path / "away").exists, "the one that left runs")
    assert [report["event"] for report in finish(process)] == ["started", "ended"]
    assert (process.returncode, marked(mark)) == (0, [])


@needs_proc
def test_keeper_looks_for_programs_in_the_path_of_the_service(tmp_path: Path, mark: str) -> None:
    process = bare_keeper(mark)
    (tmp_path / "tool").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "tool").chmod(0o755)
    channel(process, order("one", "tool", env={"PATH": str(tmp_path)}), order("two", "tool", env={"PATH": "/nowhere"}))
    began = {report["name"]: report.get("error") for report in finish(process) if report["event"] != "ended"}
    assert began == {"one": None, "two": "ENOENT"}


@needs_proc
def test_process_groups_where_there_is_no_subreaper(tmp_path: Path, mark: str) -> None:
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("keeper", {str(processes.SCRIPT)!r})
keeper = importlib.util.module_from_spec(spec)
spec.loader.exec_module(keeper)
keeper.become_subreaper = lambda: False
sys.exit(keeper.main())
"""
    process = bare_keeper(mark, "-c", code)
    script = "sh -c 'trap \"\" INT; touch one; exec sleep 600' & exec sleep 600"
    channel(process, order("one", "sh", "-c", script, cwd=str(tmp_path)))
    # This one's group is empty long before the end.
    channel(process, order("two", "true"))
    wait_until((tmp_path / "one").exists, "the service runs")
    ended = [report["name"] for report in finish(process) if report["event"] == "ended"]
    assert sorted(ended) == ["one", "two"]
    assert process.returncode == 0
    wait_until(lambda: not marked(mark), "nothing is left")


# Ports and environments.


def test_ports() -> None:
    port = processes.find_free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert processes.find_free_port() != port


def test_environment_without_secrets() -> None:
    kept = {"PATH": "/bin", "DAGLAB_ENV": "dev", "DAGSTER_HOME": "/d", "MY_TOKEN": "the child's own business"}
    secret = {
        "DAGLAB_TOKEN": "3",
        "DAGLAB_DAGSTER__AUTH__PASSWORD": "4",
        "DAGLAB_WEAVIATE_secret_KEY": "5",
        "NAMED": "6",
    }
    environ = {**kept, **secret}
    assert processes.without_secrets(environ, ["NAMED", "ABSENT"]) == kept
    assert len(environ) == 8

"""`daglab dev` with a real Dagster and marimo: how it starts, what it tells, that nothing is left however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import processes
from daglab.deployment import runs
from daglab.dev import in_flight
from tests import tiers

pytestmark = pytest.mark.long

MARK = "DEV_TEST_MARK"
FIXTURE = Path(__file__).parents[1] / "fixtures" / "held"
DAGLAB = [sys.executable, "-m", "daglab"]
LOUD = """
import sys, threading

def shout():
    while True:
        print("x" * 999, file=sys.stderr, flush=True)
        time.sleep(0.001)

threading.Thread(target=shout, daemon=True).start()
"""
LAUNCH = """
mutation {
  launchRun(executionParams: {mode: "default", selector: {
    repositoryLocationName: "held", repositoryName: "__repository__", jobName: "held_job_with_a_child"
  }}) { __typename }
}
"""


@dataclass
class Dev:
    """A `daglab dev` at work: its process, its document when it is ready, and the project that it runs in."""

    process: subprocess.Popen[bytes]
    project: Path
    mark: str
    document: dict[str, Any] = field(default_factory=dict)

    def ready(self) -> dict[str, Any]:
        """Wait for the document."""
        text = ""
        for line in self.process.stdout or ():
            text += line.decode()
            with contextlib.suppress(ValueError):
                self.document = json.loads(text)
                return self.document
        raise AssertionError(f"it has ended with {self.process.wait()}: {text}{self.messages()}")

    def messages(self) -> str:
        return (self.project / "messages").read_text()

    def record(self) -> dict[str, Any]:
        return dict(json.loads((self.project / ".daglab" / "dev.json").read_text()))

    def ended(self) -> int:
        return self.process.wait(timeout=60)


Begin = Callable[..., AbstractContextManager[Dev]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(FIXTURE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "nb.py").write_text("import marimo\n\napp = marimo.App()\n")
    return folder


@pytest.fixture
def begin(project: Path) -> Iterator[Begin]:
    """`with begin(*options) as dev` starts one; what is left of it at the end is killed."""
    marks = []

    @contextlib.contextmanager
    def begun(*options: str, cwd: Path = project, sigint: Any = signal.SIG_DFL, **env: str) -> Iterator[Dev]:
        mark = uuid.uuid4().hex
        marks.append(mark)
        command = [*DAGLAB, "dev", "--json", "--no-open", *options]
        with (cwd / "messages").open("wb") as messages:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, MARK: mark, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=messages,
                preexec_fn=lambda: signal.signal(signal.SIGINT, sigint),
            )
            try:
                yield Dev(process, cwd, mark)
            finally:
                process.terminate()
                process.communicate(timeout=60)

    yield begun
    for mark in marks:
        for pid in processes_of(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def processes_of(mark: str, folder: Path | None = None) -> dict[int, str]:
    """The processes that began with the mark, or work in the folder; counted without daglab's own way of doing it."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            there = folder is not None and os.readlink(entry / "cwd").startswith(str(folder))
            if there or f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    return found


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def statuses(dev: Dev) -> list[str]:
    """The runs in the history, as its file has them."""
    home = Path(dev.document["dagster"].get("home", dev.project / ".daglab/dagster_home"))
    with contextlib.closing(sqlite3.connect(home / "history/runs.db")) as database:
        return [status for (status,) in database.execute("select status from runs")]


def launch(dev: Dev) -> None:
    """A run that is under way, with a child that has left its process group."""
    url = dev.document["dagster"]["url"]
    requests.post(f"{url}/graphql", json={"query": LAUNCH}, timeout=60).raise_for_status()
    wait_until(lambda: any("time.sleep(300)" in command for command in processes_of(dev.mark).values()), "it is held")
    assert statuses(dev) == ["STARTED"]


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def assert_nothing_is_left(dev: Dev, *, within: float = 10) -> None:
    wait_until(lambda: not processes_of(dev.mark, dev.project), processes_of(dev.mark, dev.project), within)
    for name in ("dagster", "marimo", "dashboard"):
        if name in dev.document:
            assert is_free(dev.document[name]["port"])
    assert not {"STARTING", "STARTED", "CANCELING"} & set(statuses(dev))


# --- starting


def environ(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


def test_marimo_s_token_stays_secret(begin: Begin, project: Path) -> None:
    (project / "own.env").write_text("OF_THE_FILE=from the file\nHOME=/nowhere\n")
    with begin("--notebook", "nb.py", "--env-file", "own.env") as dev:
        found = dev.ready()
        marimo, page = found["marimo"], Path(found["marimo"]["page"].removeprefix("file://"))
        assert marimo["notebook"] == str(project / "nb.py")
        token = Path(marimo["token_file"]).read_text()
        assert [path.stat().st_mode & 0o777 for path in (Path(marimo["token_file"]), page)] == [0o600, 0o600]
        assert requests.get(marimo["url"], timeout=30).url.startswith(f"{marimo['url']}/auth/login")
        assert requests.get(f"{marimo['url']}/?access_token={token}", timeout=30).url == f"{marimo['url']}/"
        assert f"{marimo['url']}/?access_token={token}" in page.read_text()
        logs = "".join(path.read_text() for path in (project / ".daglab/logs").iterdir())
        assert token not in logs + dev.messages() + json.dumps(found) + json.dumps(processes_of(dev.mark))
        told = environ(marimo["pid"])
        assert told["DAGLAB_DAGSTER__URL"] == found["dagster"]["url"]
        assert (told["OF_THE_FILE"], told["HOME"]) == ("from the file", os.environ["HOME"])
        dev.process.send_signal(signal.SIGINT)
        assert dev.ended() == 130
        assert_nothing_is_left(dev)
    assert not page.exists()
    assert not Path(marimo["token_file"]).exists()


def test_what_it_tells_of_itself(begin: Begin, project: Path, cli: Callable[..., Any]) -> None:
    deep = project / "deep"
    deep.mkdir()
    with begin() as dev:
        found = dev.ready()
        url = found["dagster"]["url"]
        assert (found["ok"], found["pid"], found["project"]) == (True, dev.process.pid, str(project))
        assert "dagster_version" in requests.get(f"{url}/server_info", timeout=30).json()
        assert found["dagster"]["home"] == str(project / ".daglab/dagster_home")
        assert found["marimo"]["notebook"] == str(project)

        board = found["dashboard"]["url"]
        assert board.startswith("http://127.0.0.1:")

        def seen() -> tuple[str, str, str]:
            found = requests.get(f"{board}/api/snapshot", timeout=30).json()
            return found["project"], found["dagster"]["url"], found["dagster"]["state"]

        wait_until(lambda: seen() == (str(project), url, "up"), "the dashboard sees Dagster")

        status = json.loads(cli("dev", "--status", "--json", cwd=deep).stdout)
        assert (status["running"], status["ready"], status["pid"]) == (True, True, dev.process.pid)
        assert all(status[name]["alive"] for name in ("dagster", "daemon", "marimo", "dashboard"))
        assert all(status[name]["memory_bytes"] > 30_000_000 for name in ("dagster", "daemon", "marimo"))
        table = cli("dev", "--status", cwd=project).stdout
        assert all(word in table for word in ("dagster", "daemon", "marimo", "MiB", url, board))

        second = cli("dev", "--json", cwd=project)
        assert (second.exit_code, url in json.loads(second.stdout)["error"]["message"]) == (8, True)

        (project / "daglab.yaml").write_text("wrong: {\n")  # who wants to stop it need not mend that first
        stopped = json.loads(cli("stop", "--json", cwd=deep).stdout)
        assert (stopped["stopped"], dev.ended()) == (True, 143)
        assert_nothing_is_left(dev)
    assert cli("dev", "--status", cwd=project).exit_code == 4
    assert json.loads(cli("stop", "--json", cwd=project).stdout)["stopped"] is False
    ports = json.loads((project / ".daglab/last_ports.json").read_text())
    assert ports == {name: int(found[name]["url"].rpartition(":")[2]) for name in ("dagster", "marimo")}


@pytest.mark.slow
def test_both_pages_are_opened_and_others_may_reach_them(begin: Begin, project: Path) -> None:
    """The browser's argument list, which all users of the machine can see, holds no token."""
    browser, opened = project / "browser", project / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o755)
    one, other = processes.find_free_port(), processes.find_free_port()
    where = ["--host", "0.0.0.0", "--port-range", "3050-3060", "--dagster-port", f"{one}", "--marimo-port", f"{other}"]
    with begin("--open", "--browser", f"{browser} %s", "--notebook", "nb.py", *where) as dev:
        found = dev.ready()
        assert (found["dagster"]["port"], found["marimo"]["port"]) == (one, other)
        assert (found["dagster"]["url"], found["marimo"]["url"]) == (
            f"http://127.0.0.1:{one}",
            f"http://127.0.0.1:{other}",
        )
        pages = [found["dagster"]["url"], found["marimo"]["page"]]
        wait_until(lambda: opened.exists() and len(opened.read_text().split()) == 2, "both were opened")
        assert sorted(opened.read_text().split()) == sorted(pages)
        assert "0.0.0.0 can be reached by others, and Dagster asks nobody who they are" in dev.messages()


@pytest.mark.slow
def test_a_port_that_is_taken_meanwhile(begin: Begin, project: Path) -> None:
    """Dagster binds its port only when everything is loaded, and ends; another Dagster may even answer there."""
    with begin("--no-marimo", "--no-dashboard", "-v") as dev:
        wait_until(lambda: "Starting dagster at" in dev.messages(), "it starts")
        taken = int(dev.messages().partition("Starting dagster at http://127.0.0.1:")[2].split(".")[0])
        with socket.create_server(("127.0.0.1", taken)):
            found = dev.ready()
        assert found["dagster"]["url"] != f"http://127.0.0.1:{taken}"
        assert "dashboard" not in found
        assert f"Port {taken} was taken while dagster started" in dev.messages()
        dev.process.send_signal(signal.SIGINT)
        assert dev.ended() == 130
        assert_nothing_is_left(dev)


def test_what_does_not_load_is_shown(begin: Begin, project: Path) -> None:
    (project / "broken.py").write_text("raise ValueError('broken é')\n")
    with (project / "workspace.yaml").open("a") as file:
        file.write("  - python_file: {relative_path: broken.py, location_name: broken}\n")
    with begin("--no-marimo") as dev:
        assert "broken é" in dev.ready()["dagster"]["failed_locations"]["broken"]
        assert "The code location broken did not load" in dev.messages()


@pytest.mark.slow
def test_a_dagster_that_does_not_start(begin: Begin, project: Path) -> None:
    (project / "workspace.yaml").write_text("load_from: 1\n")
    with begin("--no-marimo") as dev:
        assert dev.ended() == 4
        document = json.loads(dev.process.stdout.read())  # type: ignore[union-attr]
        assert "dagster has ended with code 1" in document["error"]["message"]
        assert "load_from" in document["error"]["message"]  # the end of its log
        assert_none_but_history(dev)


def assert_none_but_history(dev: Dev) -> None:
    assert processes_of(dev.mark, dev.project) == {}
    assert not (dev.project / ".daglab" / "dev.json").exists()


@pytest.mark.slow
def test_several_at_once(begin: Begin, tmp_path: Path) -> None:
    """Each has its own port and history, and one that stops leaves the others alone."""
    folders = [tmp_path / f"p{number}" for number in range(4)]
    for folder in folders:
        shutil.copytree(FIXTURE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with contextlib.ExitStack() as stack:
        devs = [stack.enter_context(begin("--no-marimo", cwd=folder)) for folder in folders]
        for dev in devs:
            dev.ready()
        assert len({dev.document["dagster"]["url"] for dev in devs}) == len(devs)
        assert {dev.document["dagster"]["home"] for dev in devs} == {str(f / ".daglab/dagster_home") for f in folders}
        first, *others = devs
        first.process.send_signal(signal.SIGTERM)
        assert first.ended() == 143
        assert_nothing_is_left(first)
        for dev in others:
            assert requests.get(f"{dev.document['dagster']['url']}/server_info", timeout=30).ok


def test_a_sandbox_changes_nothing(begin: Begin, project: Path) -> None:
    with begin("--sandbox", "--notebook", "nb.py", "--log-level", "warning", "--python", sys.executable) as dev:
        found = dev.ready()
        assert found["python"] == sys.executable
        commands = processes_of(dev.mark)
        assert "--dagster-log-level warning" in commands[found["dagster"]["pid"]]
        assert "--log-level warn " in commands[found["marimo"]["pid"]]
        assert found["read_only"]
        assert "daemon" not in found
        answer = requests.post(f"{found['dagster']['url']}/graphql", json={"query": LAUNCH}, timeout=60).json()
        assert answer["data"]["launchRun"]["__typename"] == "UnauthorizedError"
        assert environ(found["marimo"]["pid"])["DAGLAB_SECURITY__SANDBOX_MODE"] == "true"


def test_marimo_beside_a_dagster_that_runs(begin: Begin, deployment: Any) -> None:
    with begin("--no-dagster", "--url", deployment.url, "--notebook", "nb.py", DAGSTER_HOME="/own/home") as dev:
        found = dev.ready()
        assert environ(found["marimo"]["pid"])["DAGSTER_HOME"] == "/own/home"
        assert found["dagster"] == {"url": deployment.url}
        assert environ(found["marimo"]["pid"])["DAGLAB_DAGSTER__URL"] == deployment.url
    assert requests.get(f"{deployment.url}/server_info", timeout=30).ok


def test_detached(cli: Callable[..., Any], project: Path, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    started = cli("dev", "--detach", "--no-marimo", "--json", cwd=project, env={MARK: mark})
    found = json.loads(started.stdout)
    assert requests.get(f"{found['dagster']['url']}/server_info", timeout=30).ok
    assert runs.are_daemons_healthy(in_flight.api(found["dagster"]["url"], 30))  # what is launched now is not in vain
    assert processes_of(mark)[found["pid"]].endswith("--json --behind --no-open ")
    assert cli("dev", "--detach", "--json", cwd=project, env={MARK: mark}).exit_code == 8
    assert cli("stop", cwd=project).stdout == "Stopped: nothing is left running.\n"
    assert processes_of(mark, project) == {}


# --- ending

ENDS: dict[str, Callable[[Dev], None]] = {
    "Ctrl-C": lambda dev: dev.process.send_signal(signal.SIGINT),
    "SIGTERM": lambda dev: dev.process.send_signal(signal.SIGTERM),
    "SIGKILL": lambda dev: dev.process.kill(),
}


@pytest.mark.slow
@pytest.mark.parametrize("end", tiers.few(ENDS, ["SIGKILL"]))
def test_nothing_is_left_when_a_run_is_under_way(end: str, begin: Begin, project: Path, tmp_path: Path) -> None:
    """In a history of the user's own, too, where the runs of others are left alone."""
    (tmp_path / "home").mkdir()
    own = {"DAGSTER_HOME": str(tmp_path / "home")} if end == "SIGTERM" else {}
    with begin("--notebook", "nb.py", **own) as dev:
        dev.ready()
        launch(dev)
        ENDS[end](dev)
        assert dev.ended() == {"Ctrl-C": 130, "SIGTERM": 143, "SIGKILL": -9}[end]
        wait_until(lambda: not processes_of(dev.mark, project), "nothing is left", 10)
        if end != "SIGKILL":
            assert "is under way, and is asked to end" in dev.messages()
            assert_nothing_is_left(dev)
    assert not {"STARTING", "STARTED", "CANCELING"} & set(statuses(dev))


@pytest.mark.slow
def test_messages_that_nobody_reads_hold_up_nothing(begin: Begin, project: Path) -> None:
    """A pager that stands still, a terminal with Ctrl-S: what is too much is dropped, and a signal still ends it."""
    with (project / "definitions.py").open("a") as code:
        code.write(LOUD)
    (project / "daglab.yaml").write_text("logging: {max_bytes: 1000000, backup_count: 1}\n")
    mark = uuid.uuid4().hex
    command = [*DAGLAB, "dev", "--json", "--no-open", "--no-marimo"]
    with subprocess.Popen(
        command, cwd=project, env={**os.environ, MARK: mark}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        dev = Dev(process, project, mark)
        try:
            (project / "messages").touch()
            pid = dev.ready()["dagster"]["pid"]
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: dev.record()["dagster"]["pid"] != pid, "it is started again")
            process.terminate()
            assert process.wait(timeout=20) == 143
            assert_nothing_is_left(dev)
        finally:
            process.kill()


@pytest.mark.slow
def test_it_ends_by_sigterm_where_sigint_was_ignored(begin: Begin) -> None:
    """As a shell script starts what runs behind it; Dagster itself would not end then."""
    with begin("--no-marimo", sigint=signal.SIG_IGN) as dev:
        dev.ready()
        dev.process.send_signal(signal.SIGINT)
        assert requests.get(f"{dev.document['dagster']['url']}/server_info", timeout=30).ok
        dev.process.send_signal(signal.SIGTERM)
        assert dev.ended() == 143
        assert_nothing_is_left(dev)


@pytest.mark.slow
def test_a_closed_terminal(project: Path) -> None:
    mark = uuid.uuid4().hex
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project)
        os.execve(sys.executable, [*DAGLAB, "dev", "--no-open", "--no-marimo"], {**os.environ, MARK: mark})
    shown = b""
    while b"`daglab stop` ends it" not in shown:
        shown += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 143
    wait_until(lambda: not processes_of(mark, project), "nothing is left", 10)


@pytest.mark.slow
def test_a_crash_is_mended_and_a_second_one_too(begin: Begin) -> None:
    with begin("--no-marimo") as dev:
        url = dev.ready()["dagster"]["url"]
        os.kill(dev.document["dagster"]["pid"], signal.SIGKILL)
        wait_until(lambda: "dagster has ended with code -9, and is started again" in dev.messages(), "it is noticed")
        wait_until(lambda: dev.messages().count("dagster answers.") == 2, "it answers again")
        assert requests.get(f"{url}/server_info", timeout=30).ok
        assert dev.record()["dagster"]["pid"] != dev.document["dagster"]["pid"]
        dev.process.send_signal(signal.SIGINT)
        assert dev.ended() == 130
        assert_nothing_is_left(dev)


@pytest.mark.slow
def test_a_copy_of_the_project_and_a_folder_that_is_taken_away(
    begin: Begin, project: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    """The record that is copied says nothing of the copy; and without its folder it ends, and touches no other."""
    with begin("--no-marimo") as dev:
        dev.ready()
        copy = tmp_path / "copy"
        shutil.copytree(project, copy)
        assert cli("stop", cwd=copy).stdout == "Nothing was running.\n"
        assert requests.get(f"{dev.document['dagster']['url']}/server_info", timeout=30).ok
        shutil.rmtree(project / ".daglab")
        assert dev.ended() == 4
        assert "was taken away, with the history" in dev.messages()
        wait_until(lambda: not processes_of(dev.mark, project), "nothing is left", 10)


@pytest.mark.slow
def test_in_ci_the_first_crash_ends_it(begin: Begin) -> None:
    with begin("--no-marimo", "--ci") as dev:
        os.kill(dev.ready()["dagster"]["pid"], signal.SIGKILL)
        assert dev.ended() == 4
        assert "dagster has ended with code -9. The end of its log:" in dev.messages()
        assert_nothing_is_left(dev)


@pytest.mark.slow
@pytest.mark.parametrize("mends", tiers.few(["stop", "dev"], ["stop"]))
def test_when_both_supervisor_and_keeper_are_killed_the_next_clears_up(
    mends: str, begin: Begin, project: Path, cli: Callable[..., Any]
) -> None:
    with begin("--no-marimo") as dev:
        dev.ready()
        launch(dev)
        keeper = dev.record()["keeper"]
        os.kill(keeper, signal.SIGSTOP)  # so that it does not end anything between the two
        dev.process.kill()
        os.kill(keeper, signal.SIGKILL)
        dev.ended()
        wait_until(lambda: keeper not in processes_of(dev.mark), "the keeper is gone")
        assert processes_of(dev.mark)
        if mends == "stop":
            assert "behind, now ended" in cli("stop", cwd=project).stdout
            assert processes_of(dev.mark, project) == {}
        with begin("--no-marimo") as again:
            again.ready()
            assert processes_of(dev.mark) == {}
            assert ("behind, now ended" in again.messages()) is (mends == "dev")
            wait_until(lambda: not {"STARTING", "STARTED", "CANCELING"} & set(statuses(dev)), "no run is left")


def test_a_record_of_processes_that_are_not_ours_any_more(begin: Begin, project: Path, cli: Callable[..., Any]) -> None:
    """A number that has come again belongs to somebody else: it does not carry the mark."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    record = {
        "v": 1,
        "pid": other.pid,
        "started": 1,
        "host": socket.gethostname(),
        "mark": "0" * 32,
        "keeper": other.pid,
    }
    try:
        (project / ".daglab").mkdir()
        (project / ".daglab/dev.json").write_text(json.dumps(record))
        assert cli("stop", cwd=project).stdout == "Nothing was running.\n"
        assert other.poll() is None
        assert not (project / ".daglab/dev.json").exists()
    finally:
        other.kill()
        other.wait()

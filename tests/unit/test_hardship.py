"""What clumsy users, hostile servers and bad moments bring: each has its exit code, and nothing is lost."""

from __future__ import annotations

import contextlib
import fcntl
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, events, files, json_lines, processes, web
from daglab.settings import config
from tests import tiers

DAGLAB = [sys.executable, "-m", "daglab"]
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@pytest.fixture
def server() -> Iterator[Callable[[Answer], str]]:
    """`server(answer)` serves POSTs on loopback by calling `answer` with the handler, and gives its address."""
    running = []

    def serve(answer: Answer) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((found, thread))
        return f"http://127.0.0.1:{found.server_port}"

    yield serve
    for found, thread in running:
        found.shutdown()
        thread.join()
        found.server_close()


def says(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_an_answer_without_end_is_refused(server: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LARGEST_ANSWER", 10)
    session = web.session(config.load({"dagster.graphql.max_retries": 0}))
    with pytest.raises(errors.Unreachable):
        web.send(session, "POST", server(says(b"x" * 11)), json={})
    assert web.send(session, "POST", server(says(b"x" * 10)), json={}).content == b"x" * 10


@pytest.mark.parametrize("mutation", [False, True])
def test_a_redirect_that_can_not_be_read(mutation: bool, server: Callable[[Answer], str]) -> None:
    session = web.session(config.load())
    url = server(says(b"", 302, Location="http://["))
    with pytest.raises(errors.OutcomeUnknown if mutation else errors.Unreachable) as caught:
        web.send(session, "POST", url, operation="launchRun" if mutation else None, json={})
    assert caught.value.exit_code == 5


def test_a_server_that_repeats_the_token(server: Callable[[Answer], str], cli: Any) -> None:
    def echo(handler: http.server.BaseHTTPRequestHandler) -> None:
        message = f"bad credentials: {handler.headers['Authorization']}"
        says(json.dumps({"errors": [{"message": message}]}).encode(), 400)(handler)

    url = server(echo)
    for flags in ([], ["--json"], ["-v"]):
        done = cli("discover", "--url", url, *flags, env={"DAGSTER_GRAPHQL_TOKEN": "s3cr3t-token"})
        assert done.exit_code == 5
        assert "bad credentials: Bearer ***" in done.stdout + done.stderr
        assert "s3cr3t" not in done.stdout + done.stderr


@pytest.mark.parametrize("seconds", ["nan", "0", "-1", "inf", "1e308"])
@pytest.mark.parametrize("command", [["run", "--job", "x"], ["export", "x.py"]])
def test_a_timeout_that_is_none(command: list[str], seconds: str, cli: Any) -> None:
    assert cli(*command, "--timeout", seconds).exit_code == 2


@pytest.mark.parametrize("url", ["http://a..b", f"http://{'a' * 64}", "http://-:99999"])
def test_an_address_that_no_resolver_takes(url: str, cli: Any) -> None:
    assert cli("discover", "--url", url).exit_code == 7


def test_text_that_is_no_text_is_refused_in_a_config(tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text('defaults: {attach_metadata_key: "\\ud800"}\n')
    with pytest.raises(errors.InvalidInput):
        config.load(directory=tmp_path)


def test_a_config_file_that_is_far_too_large(tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("# " + "x" * 1_000_000)
    with pytest.raises(errors.InvalidInput, match="larger than"):
        config.load(directory=tmp_path)


def test_a_lock_that_is_not_let_go_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "LONGEST_LOCK", 0.0)
    (tmp_path / ".daglab").mkdir()
    with events.recording(tmp_path, "try"):
        pass
    [line] = (tmp_path / ".daglab" / "events").iterdir()
    with line.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with events.recording(tmp_path, "try"):
            pass
    assert "not recorded" in caplog.text
    assert len(json_lines.read(line)) == 1


def test_a_killed_keeper_takes_what_it_started_with_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "alive")
    command = ["sh", "-c", f"exec sleep 600 > {tmp_path}/alive"]
    with pytest.raises(errors.OutcomeUnknown), processes.keeper() as kept:  # noqa: PT012
        service = processes.Service("sleeper", command, None, None, tmp_path / "log")
        processes.start(kept, service)
        with (tmp_path / "alive").open("rb") as alive:
            kept.process.kill()
            kept.process.wait()
            with pytest.raises(errors.OutcomeUnknown):  # noqa: PT012
                while True:
                    processes.ended(kept)
            assert alive.read() == b""  # the end of file: nobody holds the other end any more
        processes.ended(kept)


def test_standard_input_that_can_not_be_read(tmp_path: Path) -> None:
    with (tmp_path / "w").open("w") as written:
        done = subprocess.run(
            [*DAGLAB, "run", "--job", "x", "--run-config", "-", "--json"],
            stdin=written,
            capture_output=True,
            check=False,
        )
    assert (done.returncode, json.loads(done.stdout)["error"]["exit_code"]) == (7, 7)


@tiers.unmeasured
def test_a_second_signal_changes_nothing(server: Callable[[Answer], str]) -> None:
    arrived, over = threading.Event(), threading.Event()

    def wait(_: http.server.BaseHTTPRequestHandler) -> None:
        arrived.set()
        over.wait(60)

    command = [*DAGLAB, "discover", "--url", server(wait), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert arrived.wait(60)
        for _ in range(20):  # so close together that the handler is itself interrupted
            process.send_signal(signal.SIGTERM)
        # Python looks for signals between two of its steps: one that comes just before a system call waits with it.
        for _ in range(200):
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        stdout, stderr = process.communicate(timeout=60)
        over.set()
    assert (process.returncode, json.loads(stdout)["error"]["code"]) == (143, "interrupted"), stderr
    assert b"Traceback" not in stderr


def test_too_few_open_files_are_no_bug(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import marimo\napp = marimo.App()\n")
    code = "ulimit -n 8; exec " + " ".join([*DAGLAB, "export", "a.py", "--json"])
    done = subprocess.run(["sh", "-c", code], capture_output=True, check=False)
    assert done.returncode == 7, done.stderr
    assert json.loads(done.stdout)["ok"] is False

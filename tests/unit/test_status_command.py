"""`daglab status`: one screen of now, at any width, once or again and again."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab.commands import status

Cli = Callable[..., Any]
NOW = datetime.now(timezone.utc)
LONG = "asset:" + "a_very_long_name/" * 9 + "\x1b[31mred"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / ".daglab" / "events").mkdir(parents=True)
    (root / "daglab.yaml").write_text("dagster:\n  url: http://127.0.0.1:9\nmodels: [{name: small}]\n")
    record(root, "run", ok=False, exit_code=4, error_code="not_good", target=LONG)
    usage = [{"name": "tokens", "amount": 1200, "labels": {"model": "small", "kind": "prompt"}}]
    record(root, "helpers.record_usage", usage=usage)
    return root


def record(root: Path, command: str, **more: Any) -> None:
    line = {"v": 1, "id": "0", "at": NOW.isoformat(), "command": command, "target": None, "ok": True, "exit_code": 0}
    rest = {"error_code": None, "seconds": 1.0, "runs": [], "bytes": None, "rss_peak": 1, "usage": [], "detail": {}}
    requests = {"n": 1, "errors": 0, "ms": [5]}
    with (root / ".daglab" / "events" / f"{NOW:%Y-%m}.jsonl").open("a") as file:
        file.write(json.dumps({**line, **rest, "requests": requests, **more}) + "\n")


def test_the_document(cli: Cli, project: Path) -> None:
    done = cli("status", "--json", cwd=project)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["ok"], found["all"]["events"], found["all"]["failed"]) == (True, 2, 1)
    assert (found["dagster"]["state"], found["dev"], found["problems"]) == ("unreachable", {"running": False}, [])
    assert [each["name"] for each in found["models"]] == ["models:small"]
    assert [each["command"] for each in found["operations"]] == ["helpers.record_usage", "run"]
    assert {"at", "project", "environment", "today", "exports", "disk"} <= set(found)
    assert len((project / ".daglab" / "events" / f"{NOW:%Y-%m}.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_the_screen_fits_its_width(cli: Cli, project: Path, width: int) -> None:
    done = cli("status", cwd=project, env={"COLUMNS": str(width), "FORCE_COLOR": "1"})
    assert (done.exit_code, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= width
    assert "\x1b" not in done.stdout
    words = ["operations", "failed", "requests", "tokens", "Dagster", "unreachable", "not_good"]
    assert all(word in done.stdout for word in words if width >= 40)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_times_that_no_zone_can_tell(cli: Cli, project: Path, zone: str) -> None:
    for at in ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59-14:00"):
        record(project, "run", at=at)
    done = cli("status", cwd=project, env={"TZ": zone})
    assert (done.exit_code, done.stderr) == (0, "")


def test_without_a_project(cli: Cli, tmp_path: Path) -> None:
    done = cli("status", "--url", "http://127.0.0.1:9", cwd=tmp_path)
    assert (done.exit_code, "unreachable" in done.stdout) == (0, True)


def test_watching_as_lines_of_json(project: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "daglab", "status", "--watch", "0.1", "--json"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout
    first = json.loads(process.stdout.readline())
    record(project, "export")
    for line in process.stdout:  # until it is seen
        if json.loads(line)["all"]["events"] == first["all"]["events"] + 1:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")


def test_watching_in_plain_blocks(project: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "daglab", "status", "--watch"], cwd=project, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    heads = 0
    for line in process.stdout:
        heads += line.startswith(str(project))
        assert "\x1b" not in line
        if heads == 2:
            break
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_watching_on_a_terminal_is_in_place(project: Path, number: int, code: int) -> None:
    """A second screen without a cursor, which is left again however it ends."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 40, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "daglab", "status", "--watch", "0.1"],
        cwd=project,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 60
    while shown.count(b"\x1b[H") < 2 and time.monotonic() < deadline:
        shown += os.read(ours, 65536)
    process.send_signal(number)
    while select.select([ours], [], [], 30)[0]:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    assert process.wait(timeout=60) == code
    os.close(ours)
    assert shown.startswith(b"\x1b[?1049h\x1b[?25l\x1b[H")
    assert shown.rstrip().endswith(b"\x1b[?25h\x1b[?1049l")
    frames = shown.split(b"\x1b[H")[1:3]
    for frame in frames:
        assert frame.count(b"\r\n") <= 11
        assert b"operations" in frame


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "x"])
def test_what_is_no_span_of_time(cli: Cli, project: Path, seconds: str) -> None:
    assert cli("status", f"--watch={seconds}", cwd=project).exit_code == 2


def whole(**more: Any) -> dict[str, Any]:
    """A picture of which nothing is known, but for these parts."""
    parts = ("usage", "dagster", "models", "clusters", "dev", "operations", "exports", "disk", "today", "all")
    return {"project": "/shop", "at": NOW.isoformat(), **dict.fromkeys(parts), "problems": [], **more}


def shown(**more: Any) -> str:
    return "\n".join(status.lines(whole(**more), 100))


def test_what_is_not_known_yet_is_left_out() -> None:
    assert "Dagster" not in shown()
    assert "dev " not in shown()


def test_a_deployment_that_is_up_with_what_is_wrong_in_it() -> None:
    run = {"run_id": "0123456789ab", "status": "STARTED", "job": None, "assets": ["a", "b"]}
    there = {
        "state": "up",
        "version": "1.13.0",
        "url": "http://d.test",
        "locations": [{"name": "good", "loaded": True}, {"name": "bad", "loaded": False, "error": "SyntaxError"}],
        "daemons": [
            {"name": "SENSOR", "required": True, "healthy": False},
            {"name": "SCHEDULER", "required": True, "healthy": True},
            {"name": "UNUSED", "required": False, "healthy": False},
        ],
        "more_runs": True,
        "runs": [run] * 7,
    }
    text = shown(dagster=there)
    assert "up, 1.13.0, at http://d.test" in text
    assert "1 of 2 loaded" in text
    assert "bad: SyntaxError" in text
    assert "1 of 2 healthy, SENSOR" in text
    assert "7 or more runs" in text
    assert text.count("01234567 started a, b") == 5
    one = shown(dagster={**there, "more_runs": False, "runs": [{**run, "job": "nightly"}]})
    assert "1 run\n" in one
    assert "started nightly" in one


def test_clusters_that_are_up_and_one_that_is_not() -> None:
    docs = {"name": "Docs", "health": "degraded", "objects": None, "uncounted_tenants": 0}
    up = {"name": "main", "state": "up", "version": "1.39.0", "url": "http://w.test", "total": 1, "collections": [docs]}
    down = {"name": "far", "state": "unreachable", "url": "http://far.test", "error": "connection refused"}
    text = shown(clusters=[up, down])
    assert "main: up, 1.39.0, 1 collection, 0 objects or more, Docs is not well" in text
    assert "far: unreachable at http://far.test: connection refused" in text


def test_the_parts_of_dev() -> None:
    dagster = {"alive": True, "memory_bytes": 2**20, "cpu_percent": 3.0, "url": "http://127.0.0.1:3000"}
    there = {"running": True, "ready": False, "pid": 1, "dagster": dagster, "marimo": {"alive": False}}
    text = shown(dev=there)
    assert "starts" in text
    assert "http://127.0.0.1:3000" in text
    assert "ended" in text
    assert "http://127.0.0.1:3000" not in "\n".join(status.lines(whole(dev=there), 40))
    assert "does not run" in shown(dev={"running": False})


def test_exports_that_expire() -> None:
    one = {"output": "exports/a.html", "expires_at": "2026-11-25T00:00:00+00:00"}
    text = shown(exports={"kept": 9, "expired": 2, "expiring": [one] * 5})
    assert "9 kept, 5 expire within" in text
    assert "2 expired" in text
    assert text.count("exports/a.html") == 3

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

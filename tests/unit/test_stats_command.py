"""`daglab stats`: the figures as a person and a script get them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import events, web
from daglab.figures import retention

UTC = timezone.utc
Cli = Callable[..., Any]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".daglab").mkdir()
    return tmp_path


def add(project: Path, command: str, at: datetime, seconds: float = 1.0, error: str | None = None, **more: Any) -> None:
    detail = more.pop("detail", {})
    event = events.Event(command, detail=detail, **more)
    events.append(project, event, at, seconds, exit_code=4 if error else 0, error_code=error)


@pytest.fixture
def history(project: Path) -> Path:
    first, second = datetime(2026, 11, 2, 9, tzinfo=UTC), datetime(2026, 11, 3, 9, tzinfo=UTC)
    ended = {"launched": 2, "succeeded": 1, "failed": 1, "run_seconds": [30.0, 90.0], "assets": ["orders", "items"]}
    add(project, "run", first, 100, "not_good", target="asset:orders,items", detail=ended, runs=["a", "b"])
    add(project, "helpers.run", second, 2, target="job:report", runs=["c"])
    done = {"succeeded": True, "seconds": 0.25}
    add(project, "helpers.run_inprocess", second, 3, target="orders", detail=done)
    add(project, "export", second, 5, target="nb.py", bytes=2048, traffic=web.Traffic([10, 30], 1))
    usage = [{"name": "tokens", "amount": 1200, "labels": {"model": "small"}}]
    add(project, "helpers.record_usage", second, 0.001, target="tokens", usage=usage)
    return project


def asked(cli: Cli, *arguments: str) -> dict[str, Any]:
    done = cli("stats", "--json", *arguments)
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_document(cli: Cli, history: Path) -> None:
    found = asked(cli)
    assert (found["ok"], found["events"], found["failed"], found["success_rate"]) == (True, 5, 1, 0.8)
    assert found["runs"] == {"launched": 3, "ok": 1, "failed": 1}
    assert (found["deployed"]["n"], found["deployed"]["seconds"]["mean"]) == (3, 60.0)
    assert (found["in_process"]["n"], found["in_process"]["seconds"]["p50"]) == (1, 0.25)
    assert (found["exports"]["n"], found["exports"]["bytes"]) == (1, 2048)
    assert (found["requests"]["n"], found["requests"]["errors"], found["requests"]["mean"]) == (3, 1, 20.0)
    assert found["assets"] == [{"asset": "orders", "n": 2, "failed": 1}, {"asset": "items", "n": 1, "failed": 1}]
    assert found["jobs"] == [{"job": "report", "n": 1, "failed": 0}]
    assert found["errors"] == [{"code": "not_good", "n": 1}]
    assert found["usage"] == [{"name": "tokens", "labels": {"model": "small"}, "amount": 1200, "n": 1}]


def test_a_period(cli: Cli, history: Path) -> None:
    assert asked(cli, "--since", "2026-11-03T00:00:00Z")["events"] == 4
    assert asked(cli, "--until", "2026-11-03T00:00:00Z")["events"] == 1
    assert asked(cli, "--since", "2026-11-03T09:00:00+00:00", "--until", "2026-11-03T10:00:00+01:00")["events"] == 0


def test_since_a_span(cli: Cli, project: Path) -> None:
    now = datetime.now(UTC)
    for days in (1, 10):
        add(project, "run", now - timedelta(days=days))
    assert [asked(cli, "--since", since)["events"] for since in ("7d", "2w", "1h", "999999w")] == [1, 2, 0, 2]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("day", [("2026-11-02", 1), ("2026-11-03", 4)]),
        (
            "command",
            [("export", 1), ("helpers.record_usage", 1), ("helpers.run", 1), ("helpers.run_inprocess", 1), ("run", 1)],
        ),
        ("target", [("asset:orders,items", 1), ("job:report", 1), ("nb.py", 1), ("orders", 1), ("tokens", 1)]),
    ],
)
def test_rows_by(by: str, expected: list[tuple[str, int]], cli: Cli, history: Path) -> None:
    assert [(row[by], row["n"]) for row in asked(cli, "--by", by)["groups"]] == expected
    shown = cli("stats", "--by", by).stdout
    assert all(name in shown for name, _ in expected)


def test_what_a_person_sees_fits_80_columns(cli: Cli, history: Path) -> None:
    done = cli("stats")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "5 operations, 1 failed (20 %)" in done.stdout
    assert "3 runs launched: 1 succeeded, 1 failed, 1 not followed to their end" in done.stdout
    for word in ("orders", "report", "not_good", "nb.py", "2 KiB", "tokens", "model=small", "1,200", "in process"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_narrow_terminal(history: Path) -> None:
    add(history, "x" * 100, datetime(2026, 11, 4, tzinfo=UTC), target="y" * 200)
    leader, follower = pty.openpty()
    with os.fdopen(follower, "wb") as out:
        command = [sys.executable, "-m", "daglab", "stats"]
        env = {**os.environ, "COLUMNS": "40"}
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, env=env, cwd=history, check=False)
    text = b""
    try:
        while piece := os.read(leader, 65536):
            text += piece
    except OSError:  # the other end is closed
        pass
    os.close(leader)
    assert (done.returncode, done.stderr) == (0, b"")
    tables = [line for line in text.decode().splitlines() if "  " in line]
    assert tables
    assert max(map(len, tables)) <= 40


@pytest.mark.parametrize("options", [[], ["--by", "day"], ["--since", "1h"], ["--json"], ["--json", "--by", "target"]])
def test_an_empty_history_says_so(options: list[str], cli: Cli, project: Path) -> None:
    done = cli("stats", *options)
    assert done.exit_code == 0
    if "--json" in options:
        assert not done.stderr
        found = json.loads(done.stdout)
        assert (found["events"], found["success_rate"], found["seconds"]["mean"], found["groups"]) == (
            0,
            None,
            None,
            [],
        )
    else:
        assert "Nothing" in done.stderr
    assert list((project / ".daglab").iterdir()) == []  # looking leaves no line


def test_outside_of_a_project(cli: Cli) -> None:
    assert "Nothing is recorded" in cli("stats").stderr


@pytest.mark.parametrize(
    "options",
    [["--since", "soon"], ["--until", "5x"], ["--since", "2026-11-03", "--until", "2026-11-02"], ["--by", "month"]],
)
def test_what_makes_no_sense(options: list[str], cli: Cli, project: Path) -> None:
    assert cli("stats", *options).exit_code == 2


def test_what_is_not_counted_is_said(cli: Cli, history: Path) -> None:
    folder = history / ".daglab" / "events"
    with (folder / "2026-11.jsonl").open("a") as file:
        file.write('torn\n{"v": 9}\n')
    (folder / "2026-09.jsonl").mkdir()
    done = cli("stats")
    assert "1 lines can't be read" in done.stderr
    assert "1 lines were written by a newer daglab" in done.stderr
    assert "1 files" in done.stderr
    assert asked(cli)["skipped"] == {"newer": 1, "unreadable": 1, "files": 1}


def test_sums_of_days_are_said(cli: Cli, history: Path) -> None:
    list(retention.compact(history, datetime(2028, 1, 1, tzinfo=UTC), 365))
    done = cli("stats")
    assert "5 operations" in done.stdout
    assert "sums of days" in done.stderr


def test_hostile_names_do_nothing_to_a_terminal(cli: Cli, project: Path) -> None:
    at = datetime(2026, 11, 2, tzinfo=UTC)
    add(project, "run\x1b[2J", at, error="bad\x1b]0;x\x07", target="asset:\u202eevil\n|x")
    add(project, "export", at, target="\x9b31m", bytes=1)
    for arguments in (["stats"], ["stats", "--by", "target"], ["stats", "--json"]):
        shown = cli(*arguments).stdout
        assert not set("\x1b\x07\x9b\u202e") & set(shown)


def test_rates_are_not_rounded_to_all(cli: Cli, project: Path) -> None:
    line = {
        "v": 1, "at": "2026-11-02T00:00:00.000+00:00", "command": "run", "target": None, "ok": True, "exit_code": 0,
        "error_code": None, "seconds": 1, "runs": [], "requests": {"n": 0, "errors": 0, "ms": []}, "bytes": None,
        "usage": [], "detail": {},
    }  # fmt: skip
    path = project / ".daglab" / "events" / "2026-11.jsonl"
    path.parent.mkdir()
    bad = {**line, "ok": False, "exit_code": 1}
    path.write_text(f"{json.dumps(line)}\n" * 30_000 + json.dumps(bad) + "\n")
    shown = cli("stats").stdout
    assert "99.99 %" in shown
    assert "100 %" not in shown

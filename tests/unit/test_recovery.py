"""What a crash, a full disk or a hostile hand leaves in `.daglab/`: no command fails over it, and it is said."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import json_files, json_lines
from daglab.dev import ports, record, services
from daglab.exported import export_record

Cli = Callable[..., Any]

DAMAGE = {
    "empty": b"",
    "torn": b'{"v": 1, "mark": "',
    "a list": b"[1, 2]",
    "a number": b"7",
    "not text": b"\xff\xfe\x00\x01" * 50,
    "nested too deep": b"[" * 200_000,
    "zeros": b"\0" * 4096,
    "too large": b'{"a":"' + b"x" * (json_files.LARGEST + 1) + b'"}',
}
# Objects with other things in them than daglab writes.
FOREIGN: list[dict[str, Any]] = [
    {"mark": 5, "pid": "x", "dagster": 3, "marimo": [], "daemon": None},
    {"mark": "m" * 32, "pid": -1, "project": "HERE", "started": None},
    {"mark": "m" * 32, "pid": 0, "project": "HERE"},
    {"mark": "m" * 32, "pid": 10**30, "project": "HERE", "started": 1, "keeper": -1, "keeper_started": -1},
    {"mark": "m" * 32, "pid": True, "project": "HERE", "dagster": {}, "marimo": {"pid": "x"}, "host": ["a"]},
]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    (tmp_path / "daglab.yaml").write_text("version: 1\n")
    (tmp_path / ".daglab" / "events").mkdir(parents=True)
    json_files._said.clear()
    export_record._warn_once.cache_clear()
    return tmp_path / ".daglab"


def damaged() -> list[Any]:
    return [pytest.param(content, id=name) for name, content in DAMAGE.items()]


@pytest.mark.parametrize("content", damaged())
def test_the_last_ports(content: bytes, tmp_path: Path, kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    (kept / "last_ports.json").write_bytes(content)
    with caplog.at_level(logging.WARNING, "daglab"):
        assert ports.remembered(tmp_path) == {}
        assert ports.remembered(tmp_path) == {}
    assert len(caplog.messages) == 1
    assert f"{kept / 'last_ports.json'} can't be read" in caplog.text
    ports.remember(tmp_path, {"dagster": 3001})
    assert ports.remembered(tmp_path) == {"dagster": 3001}


@pytest.mark.parametrize("content", damaged())
def test_the_record_of_dev(content: bytes, cli: Cli, tmp_path: Path, kept: Path) -> None:
    (kept / "dev.json").write_bytes(content)
    status = cli("dev", "--status", "--json")
    assert (status.exit_code, json.loads(status.stdout)["running"]) == (4, False)
    stopped = cli("stop", "--json")
    assert stopped.exit_code == 0, stopped.stderr
    assert "can't be read" in stopped.stderr


@pytest.mark.long
@pytest.mark.parametrize("content", FOREIGN)
def test_a_foreign_record_of_dev_while_its_lock_is_held(
    content: dict[str, Any], cli: Cli, tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds the lock: nothing is ended by the number of a process that is none."""
    text = json.dumps({**content, **({"project": str(tmp_path)} if "project" in content else {})})
    (kept / "dev.json").write_text(text)
    monkeypatch.setattr(record, "START_SECONDS", 0.2)
    killed: list[Any] = []
    monkeypatch.setattr(record.os, "kill", lambda *what: killed.append(what))
    with record.held(tmp_path):
        status = cli("dev", "--status", "--json")
        assert status.exit_code == 0, status.stderr
        assert "Traceback" not in cli("dev", "--status").stderr
        assert "Traceback" not in cli("doctor").stderr
        with pytest.raises(Exception, match="daglab dev runs") as caught:
            record.stop(tmp_path)
        assert caught.value.exit_code in (8, 9)  # type: ignore[attr-defined]
    assert killed == []
    assert json.loads(cli("stop", "--json").stdout)["stopped"] is False


@pytest.mark.parametrize("content", damaged())
def test_the_record_of_exports(content: bytes, tmp_path: Path, kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = [
        json.dumps(
            {"v": 1, "id": identity, "output": "x\0y", "sha256": "", "targets": ["asset:a"], "ok": True}
        ).encode()
        for identity in "ab"
    ]
    (kept / "exports.jsonl").write_bytes(b"\n".join([good[0], content, good[1], b""]))
    with caplog.at_level(logging.WARNING, "daglab"):
        assert [line["id"] for line in export_record.read(tmp_path)] == ["a", "b"]
        export_record.read(tmp_path)
    assert len(caplog.messages) == (0 if content.startswith(b'{"a"') else 1)
    if caplog.messages:
        assert "the first is line 2" in caplog.text


def test_a_record_of_exports_that_is_no_file(tmp_path: Path, kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(kept / "exports.jsonl")
    assert export_record.read(tmp_path) == []
    assert "can't be read" in caplog.text


@pytest.mark.parametrize("content", damaged())
def test_events(content: bytes, cli: Cli, tmp_path: Path, kept: Path) -> None:
    (kept / "events" / "2020-01.jsonl").write_bytes(content + b"\n")
    (kept / "events" / "9999-12.jsonl").write_bytes(content)
    assert services.last_notebook(tmp_path) is None
    done = cli("config", "validate", "--json")
    assert done.exit_code == 0, done.stderr
    assert cli("stop").exit_code == 0


@pytest.mark.parametrize("content", damaged())
def test_the_doctor_itself(content: bytes, cli: Cli, tmp_path: Path, kept: Path) -> None:
    for name in ("dev.json", "last_ports.json", "exports.jsonl", "events/2026-01.jsonl", "marimo.token"):
        (kept / name).write_bytes(content)
        (kept / name).chmod(0o600)
    (kept / "state").mkdir(mode=0o700)
    (kept / "state" / "a-123456789012.json").write_bytes(content)
    (kept / "state" / "a-123456789012.json").chmod(0o600)
    done = cli("doctor", "--deep", "--fix", "--json", "--report", "report.md")
    assert done.exit_code == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["deep"]["bad"], document["deep"]
    assert not (kept / "dev.json").exists()
    assert not (kept / "last_ports.json").exists() or content == DAMAGE["too large"]
    assert document["fixable"] == 0


def test_lines_that_are_left_out_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"a":1}\n{\n[]\n{"b":2}\n\n{"c"')
    left_out: list[int] = []
    assert json_lines.read(tmp_path / "x.jsonl", left_out) == [{"a": 1}, {"b": 2}]
    assert left_out == [2, 3, 5, 6]

"""The line that a command leaves in `.daglab/events`, and that leaving it never gets in the way."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click
import pytest

from daglab import errors, events, web

MEMBERS = {
    "v", "id", "at", "command", "target", "ok", "exit_code", "error_code", "seconds", "runs", "requests", "bytes",
    "rss_peak", "usage", "detail",
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".daglab").mkdir()
    return tmp_path


def lines(project: Path) -> list[dict[str, Any]]:
    files = sorted((project / ".daglab" / "events").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_line_of_a_command(project: Path) -> None:
    with events.recording(project, "run") as event:
        event.target = "asset:orders"
        event.runs.append("r1")
        event.traffic = web.Traffic([12, 30], errors=1)
        event.bytes = 5
        event.detail["anything"] = Path("x")
    (line,) = lines(project)
    assert set(line) == MEMBERS
    at = datetime.fromisoformat(line["at"])
    assert at.utcoffset() == timedelta(0)
    assert [path.name for path in (project / ".daglab" / "events").iterdir()] == [f"{at:%Y-%m}.jsonl"]
    assert line["id"] == event.id
    assert line["seconds"] >= 0
    assert line["rss_peak"] > 1_000_000
    expected = {
        "v": 1, "command": "run", "target": "asset:orders", "ok": True, "exit_code": 0, "error_code": None,
        "runs": ["r1"], "requests": {"n": 3, "errors": 1, "ms": [12, 30]}, "bytes": 5, "usage": [],
        "detail": {"anything": "x"},
    }  # fmt: skip
    assert {name: line[name] for name in expected} == expected


def test_a_command_that_fills_in_nothing_has_a_line_too(project: Path) -> None:
    for _ in range(2):
        with events.recording(project, "init"):
            pass
    first, second = lines(project)
    assert first["id"] != second["id"]
    assert (first["target"], first["runs"], first["requests"]) == (None, [], {"n": 0, "errors": 0, "ms": []})


@pytest.mark.parametrize(
    ("error", "exit_code", "error_code"),
    [
        (errors.NotGood("no"), 4, "not_good"),
        (errors.TimedOut("no"), 9, "timed_out"),
        (errors.Interrupted("no", exit_code=143), 143, "interrupted"),
        (KeyboardInterrupt(), 130, None),
        (errors.Terminated(), 143, None),
        (BrokenPipeError(), 141, None),
        (click.UsageError("no"), 2, None),
        (click.Abort(), 130, None),
        (click.exceptions.Exit(4), 4, None),
        (PermissionError("no"), 7, "invalid_input"),
        (ZeroDivisionError("no"), 1, None),
    ],
)
def test_a_failure_is_recorded_and_goes_on(
    project: Path, error: BaseException, exit_code: int, error_code: str | None
) -> None:
    with pytest.raises(type(error)) as caught, events.recording(project, "run"):
        raise error
    assert caught.value is error
    (line,) = lines(project)
    assert (line["ok"], line["exit_code"], line["error_code"]) == (False, exit_code, error_code)


def test_an_exit_that_is_no_failure_is_recorded_as_none(project: Path) -> None:
    with pytest.raises(click.exceptions.Exit), events.recording(project, "run"):
        raise click.exceptions.Exit(0)
    assert [(line["ok"], line["exit_code"]) for line in lines(project)] == [(True, 0)]


def test_what_is_not_good_need_not_raise(project: Path) -> None:
    with events.recording(project, "helpers.run_inprocess") as event:
        event.failed = errors.NotGood
    assert [(line["ok"], line["exit_code"], line["error_code"]) for line in lines(project)] == [(False, 4, "not_good")]


def test_nothing_is_recorded_outside_of_a_project(tmp_path: Path) -> None:
    with events.recording(tmp_path, "run"):
        pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".daglab").touch()
    with events.recording(tmp_path, "run"):
        pass
    assert (tmp_path / ".daglab").is_file()


def test_a_folder_that_can_t_be_written_is_one_warning(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    (project / ".daglab" / "events").touch()
    with events.recording(project, "run") as event:
        event.target = "reached"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(project / ".daglab" / "events") in caplog.text


def test_what_can_t_be_written_again_and_again_is_one_warning(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    (project / ".daglab" / "events").touch()
    for _ in range(3):
        events.append(project, events.Event("helpers.track"), datetime.now(timezone.utc), 0.1)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "helpers.track is not recorded" in caplog.text


def test_a_line_without_a_command_around_it(project: Path) -> None:
    at = datetime(2026, 11, 2, 3, 4, 5, 678_900, timezone.utc)
    events.append(project, events.Event("helpers.track", target="load"), at, 1.23456, exit_code=1)
    (line,) = lines(project)
    assert set(line) == MEMBERS
    expected = {"v": 1, "at": "2026-11-02T03:04:05.678+00:00", "seconds": 1.235, "ok": False, "exit_code": 1}
    assert {name: line[name] for name in expected} == expected
    assert (project / ".daglab" / "events" / "2026-11.jsonl").exists()


def test_the_newest_lines_of_a_command_come_first(project: Path) -> None:
    for month in (11, 9, 10):
        for day in (1, 2):
            for command in ("run", "export"):
                event = events.Event(command, target=f"{month}-{day}")
                events.append(project, event, datetime(2026, month, day, tzinfo=timezone.utc), 0.1)
    found = [line["target"] for line in events.newest(project, "run")]
    assert found == ["11-2", "11-1", "10-2", "10-1", "9-2", "9-1"]


def test_no_more_is_read_than_is_asked_for(project: Path) -> None:
    for month in (10, 11):
        events.append(project, events.Event("run"), datetime(2026, month, 1, tzinfo=timezone.utc), 0.1)
    found = events.newest(project, "run")
    assert next(found)["at"].startswith("2026-11")
    (project / ".daglab" / "events" / "2026-10.jsonl").unlink()
    assert list(found) == []


def test_foreign_torn_and_newer_lines_are_left_out(project: Path) -> None:
    folder = project / ".daglab" / "events"
    folder.mkdir()
    foreign = ['["run"]', '"run"', '{"v":1,"command":"run', '{"v":2,"command":"run"}', '{"command":"run"}', "\x00", "",
               '{"v":1,"command":"other","target":"run"}', '"run"' + "[" * 100_000]  # fmt: skip
    (folder / "2026-11.jsonl").write_text("\n".join(['{"v":1,"command":"run"}', *foreign]), encoding="utf-8")
    (folder / "2026-12.jsonl").mkdir()
    os.mkfifo(folder / "2026-10.jsonl")
    (folder / "notes.txt").write_text('{"v":1,"command":"run"}', encoding="utf-8")
    assert list(events.newest(project, "run")) == [{"v": 1, "command": "run"}]


def test_there_is_nothing_to_read_outside_of_a_project(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert list(events.newest(tmp_path, "run")) == []
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "2026-11.jsonl").write_text('{"v":1,"command":"run"}', encoding="utf-8")
    (tmp_path / ".daglab").mkdir()
    assert list(events.newest(tmp_path, "run")) == []
    (tmp_path / ".daglab" / "events").symlink_to(elsewhere)
    assert list(events.newest(tmp_path, "run")) == []


def test_a_link_out_of_the_project_is_not_followed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (project / ".daglab" / "events").symlink_to(elsewhere)
    with events.recording(project, "run"):
        pass
    assert list(elsewhere.iterdir()) == []


def test_it_does_not_hide_the_error_of_the_command(project: Path) -> None:
    (project / ".daglab" / "events").touch()
    with pytest.raises(errors.NotGood), events.recording(project, "run"):
        raise errors.NotGood("no")


@pytest.fixture
def read_only_project() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    (folder / ".daglab").mkdir()
    folder.chmod(0o755)
    (folder / ".daglab").chmod(0o555)
    yield folder
    (folder / ".daglab").chmod(0o755)
    (folder / ".daglab").rmdir()
    folder.rmdir()


@pytest.mark.parametrize("options", [[], ["--json"], ["-q"]])
def test_a_command_in_a_read_only_project_does_its_work(read_only_project: Path, options: list[str]) -> None:
    """Root may write everywhere, so it goes on as nobody once all is imported."""
    code = """
import os, sys
import daglab.commands.discover, daglab.processes, encodings.idna, json, logging, requests, stringprep, traceback, yaml
from daglab.cli import main
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    os.environ["HOME"] = "/"
    del os.environ["XDG_CONFIG_HOME"]
main(["discover", *sys.argv[1:]], "daglab")
"""
    # Nobody may not write down what is measured either, and coverage says so on stderr.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", code, *options],
        cwd=read_only_project,
        env={**kept, "DAGLAB_DAGSTER__URL": "http://127.0.0.1:1", "DAGLAB_DAGSTER__GRAPHQL__MAX_RETRIES": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    said = [line for line in done.stderr.splitlines() if "is not recorded" in line]
    assert len(said) == (0 if options == ["-q"] else 1), done.stderr
    assert "Traceback" not in done.stderr
    if options == ["--json"]:
        assert json.loads(done.stdout)["error"]["code"] == "unreachable"


def test_each_event_acknowledged_is_there_once_though_writers_are_killed(request: pytest.FixtureRequest) -> None:
    """A few seconds of what `make check-slow` does for a minute."""
    script = request.config.rootpath / "scripts" / "faults" / "writers.py"
    done = subprocess.run(
        [sys.executable, str(script), "--seconds", "4"], capture_output=True, text=True, timeout=120, check=False
    )
    figures = json.loads(done.stdout)
    assert (done.returncode, figures["unreadable"], figures["lost"], figures["doubled"]) == (0, 0, 0, 0), done
    assert figures["killed"] > 16
    assert figures["acknowledged"] > 100


def test_the_id_is_in_the_log_the_event_and_the_requests(project: Path, cli: Callable[..., Any]) -> None:
    told: list[str | None] = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.headers["X-Daglab-Operation"])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        for command in (["discover"], ["run", "--job", "x"], ["runs", "list"], ["runs", "cancel", "0123456789"]):
            assert cli(*command, "-v", "--url", url).exit_code == 5
            *_, line = lines(project)
            assert told[-1] == line["id"]
            done = cli(*command, "-v", "--url", url)
            *_, line = lines(project)
            assert f"{line['command']}, operation {line['id']}" in done.stderr
        server.shutdown()


@pytest.mark.parametrize(
    ("arguments", "command", "target"),
    [
        (["config", "set", "dagster.port", "3001"], "config set", "dagster.port"),
        (["config", "unset", "dagster.port"], "config unset", "dagster.port"),
        (["stop"], "stop", None),
        (["init"], "init", "."),
        (["scaffold", "--eject", "minimal"], "scaffold", "template:minimal"),
    ],
)
def test_what_changes_something_leaves_a_line(
    project: Path, cli: Callable[..., Any], arguments: list[str], command: str, target: str | None
) -> None:
    (project / "workspace.yaml").touch()  # a Dagster project
    done = cli(*arguments)
    assert done.exit_code == 0, done.stderr
    [line] = lines(project)
    assert (set(line), line["command"], line["target"], line["ok"]) == (MEMBERS, command, target, True)
    assert "3001" not in json.dumps(line["detail"])


@pytest.mark.parametrize(
    "arguments",
    [["config", "show"], ["config", "path"], ["completion", "bash"], ["init", "--dry-run"], ["dev", "--status"]],
)
def test_what_only_reads_leaves_none(project: Path, cli: Callable[..., Any], arguments: list[str]) -> None:
    cli(*arguments)
    assert list((project / ".daglab").iterdir()) == []


def test_a_clock_that_jumps_changes_the_time_and_not_the_seconds(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        """A wall clock that is years off."""

        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls(2031, 1, 2, tzinfo=tz)

    with events.recording(project, "before"):
        pass
    monkeypatch.setattr(events, "datetime", Clock)
    with events.recording(project, "after"):
        pass
    _, after = lines(project)
    assert after["at"].startswith("2031-01-02")
    assert 0 <= after["seconds"] < 60
    assert [line["command"] for line in events.newest(project)] == ["after", "before"]


@pytest.mark.parametrize("kind", ["a file", "a link", "a pipe in its place", "a link in its place"])
def test_a_command_goes_on_whatever_stands_where_events_should(
    project: Path, tmp_path_factory: pytest.TempPathFactory, cli: Callable[..., Any], kind: str
) -> None:
    folder, elsewhere = project / ".daglab" / "events", tmp_path_factory.mktemp("elsewhere")
    if kind == "a file":
        folder.touch()
    elif kind == "a link":
        folder.symlink_to(elsewhere)
    else:
        folder.mkdir()
        month = folder / f"{datetime.now(timezone.utc):%Y-%m}.jsonl"
        os.mkfifo(month) if kind.startswith("a pipe") else month.symlink_to(elsewhere / "x")
    done = cli("stop", timeout=60)
    assert (done.exit_code, done.stdout) == (0, "Nothing was running.\n")
    assert done.stderr.count("is not recorded in") == 1, done.stderr
    assert list(elsewhere.iterdir()) == []


@pytest.fixture
def full_disk(tmp_path: Path, need: Callable[[object, str], None]) -> Iterator[Path]:
    """A folder with room for a project and a few lines."""
    need(os.geteuid() == 0 and sys.platform == "linux", "only root can mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    need(mounted.returncode == 0, "no file system can be mounted here")
    (folder / ".daglab").mkdir()
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_on_a_full_disk_each_line_is_whole_and_the_command_goes_on(
    full_disk: Path, cli: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(300):
        with events.recording(full_disk, "write") as event:
            event.detail["text"] = "x" * 500
    assert sum("is not recorded" in record.getMessage() for record in caplog.records) == 1
    held = lines(full_disk)
    assert 10 < len(held) < 300
    done = cli("stop", cwd=full_disk)
    assert (done.exit_code, done.stderr.count("is not recorded in")) == (0, 1)
    assert lines(full_disk) == held


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (errors.Terminated(), 143)])
@pytest.mark.parametrize("expected", [True, False])
def test_to_be_stopped_is_no_failure_of_what_ends_so(
    project: Path, stop: BaseException, code: int, expected: bool
) -> None:
    def stopped() -> None:
        with events.recording(project, "dev") as event:
            event.ends_by_stop = expected
            raise stop

    with pytest.raises(type(stop)):
        stopped()
    line = lines(project)[-1]
    assert (line["ok"], line["exit_code"]) == (expected, code)


def test_no_signed_address_is_recorded(project: Path) -> None:
    address = "https://me:hunter22@s3.test/a?X-Amz-Signature=d0d0cafe99"
    with events.recording(project, "export") as event:
        event.target = address
        event.usage = [{"name": "bytes", "amount": 3, "labels": {"source": address, "kind": "a/b"}}]
        event.detail = {"link": [address], "left": None}
    [line] = lines(project)
    assert "hunter22" not in json.dumps(line)
    assert "d0d0cafe99" not in json.dumps(line)
    assert line["target"] == line["usage"][0]["labels"]["source"] == line["detail"]["link"][0]
    assert (line["target"][:8], line["usage"][0]["labels"]["kind"], line["detail"]["left"]) == ("https://", "a/b", None)


def test_the_peak_is_not_that_of_who_started_it() -> None:
    asked = "from daglab import events; print(events.peak_memory())"
    parent = (
        "import subprocess, sys\n"
        "much = b'x' * (300 << 20)\n"
        f"sys.exit(subprocess.run([sys.executable, '-c', {asked!r}]).returncode)"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert 1_000_000 < int(done.stdout) < 200_000_000

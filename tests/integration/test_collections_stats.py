"""`daglab collections stats` and `dashboard` on a real Weaviate: figures, watching, terminals, a server that dies."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import weaviates

Cli = Callable[..., Any]


def objects(collection: str, count: int, **more: Any) -> dict[str, Any]:
    return {
        "objects": [
            {"class": collection, "id": str(uuid.uuid4()), "properties": {"t": f"number {number}"}, **more}
            for number in range(count)
        ]
    }


@pytest.fixture(scope="module")
def filled(weaviate: weaviates.Server) -> weaviates.Server:
    text = {"properties": [{"name": "t", "dataType": ["text"]}]}
    kinds: dict[str, Any] = {"a": {"vectorizer": {"none": {}}, "vectorIndexType": "flat"}}
    kinds["m"] = {
        "vectorizer": {"none": {}},
        "vectorIndexType": "hnsw",
        "vectorIndexConfig": {"multivector": {"enabled": True}},
    }
    weaviate.ask("POST", "schema", {"class": "StatsPlain", "vectorizer": "none", **text})
    weaviate.ask("POST", "schema", {"class": "StatsNamed", "vectorConfig": kinds, **text})
    weaviate.ask("POST", "schema", {"class": "StatsBare", "vectorizer": "none", **text})
    tenants = {"multiTenancyConfig": {"enabled": True}}
    weaviate.ask("POST", "schema", {"class": "StatsTenants", "vectorizer": "none", **tenants, **text})
    weaviate.ask("POST", "schema/StatsTenants/tenants", [{"name": name} for name in ("x", "y", "z")])
    weaviate.ask("POST", "batch/objects", objects("StatsPlain", 120, vector=[0.1] * 8))
    weaviate.ask("POST", "batch/objects", objects("StatsNamed", 30, vectors={"a": [1, 2, 3], "m": [[1, 2], [3, 4]]}))
    weaviate.ask("POST", "batch/objects", objects("StatsBare", 10))
    for name in ("x", "y", "z"):
        weaviate.ask("POST", "batch/objects", objects("StatsTenants", 7, tenant=name, vector=[1, 2]))
    weaviate.ask("PUT", "schema/StatsTenants/tenants", [{"name": "y", "activityStatus": "INACTIVE"}])
    return weaviate


@pytest.fixture
def project(tmp_path: Path, filled: weaviates.Server) -> Path:
    return configured(tmp_path / "shop", filled)


def configured(root: Path, *servers: weaviates.Server, metrics: bool = True) -> Path:
    lines = [
        f"  - {{name: main{number or ''}, url: '{each.url}'" + (f", metrics: '{each.metrics}'}}" if metrics else "}")
        for number, each in enumerate(servers)
    ]
    (root / ".daglab" / "events").mkdir(parents=True)
    (root / "daglab.yaml").write_text("weaviate:\n  clusters:\n" + "\n".join(lines) + "\n")
    return root


NAMES = ("StatsBare", "StatsNamed", "StatsPlain", "StatsTenants")


def test_the_figures(cli: Cli, project: Path) -> None:
    done = cli("collections", "stats", *NAMES, "--json", cwd=project)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["ok"], found["cluster"], found["version"]) == (True, "main", weaviates.VERSION)
    bare, named, plain, tenants = found["collections"]
    assert [each["objects"] for each in found["collections"]] == [10, 30, 120, 14]
    assert bare["vectors"] == [{"name": None, "dimensions": None, "index": "hnsw"}]
    assert plain["vectors"] == [{"name": None, "dimensions": 8, "index": "hnsw"}]
    assert {each["name"]: (each["dimensions"], each["index"]) for each in named["vectors"]} == {
        "a": (3, "flat"),
        "m": (2, "hnsw"),
    }
    assert (tenants["tenants"], tenants["uncounted_tenants"], tenants["shards"]) == ({"ACTIVE": 2, "INACTIVE": 1}, 1, 2)
    assert (plain["shards"], plain["replicas"], plain["nodes"], plain["unloaded"]) == (1, 1, ["n1"], 0)
    assert {each["health"] for each in found["collections"]} == {"ok"}
    assert (plain["objects_per_second"], plain["growth_percent"]) == (None, None)


def test_what_the_listener_tells(cli: Cli, project: Path, filled: weaviates.Server) -> None:
    query = {"query": "{Get {StatsPlain(limit: 2, nearVector: {vector: [1,1,1,1,1,1,1,1]}) {t}}}"}
    for _ in range(20):
        filled.ask("POST", "graphql", query)
    lines = requests.get(f"{filled.metrics}/metrics", timeout=60).text.splitlines()
    flushed = [line for line in lines if line.startswith("lsm_active_segments{") and '"StatsPlain"' in line]
    done = cli("collections", "stats", "StatsPlain", "--json", cwd=project)
    told = json.loads(done.stdout)["collections"][0]["performance"]
    assert told["queries"]["n"] >= 20
    assert 0 < told["queries"]["p50"] <= told["queries"]["p95"] <= told["queries"]["p99"] < 60
    assert (told["batch_objects"]["n"], told["batch_vectors"]["n"]) == (1, 1)
    assert (told["created"], told["deleted"], told["tombstones"], told["queue"]) == (120, 0, 0, 0)
    assert told["segments"] is not None or not flushed  # before the first is on disk, there is nothing to tell
    assert json.loads(done.stdout)["listener"]["batches"]["n"] >= 6


def test_tables(cli: Cli, project: Path) -> None:
    done = cli("collections", "stats", *NAMES, cwd=project)
    assert (done.exit_code, done.stderr) == (0, "")
    assert re.search(r"^StatsTenants +14 \+ 1 tenant +ok +2 hnsw +2 active, 1 inactive +2 ", done.stdout, re.MULTILINE)
    assert re.search(r"^StatsBare +10 +ok +- hnsw +- ", done.stdout, re.MULTILINE)
    assert "Tombstones" in done.stdout
    basic = cli("col", "stats", "StatsPlain", "--metrics", "basic", cwd=project).stdout
    assert ("Replicas" in basic, "Tombstones" in basic) == (True, False)
    performance = cli("col", "stats", "StatsPlain", "--metrics", "performance", cwd=project).stdout
    assert ("Replicas" in performance, "Tombstones" in performance) == (False, True)


def test_without_a_listener(cli: Cli, tmp_path: Path, filled: weaviates.Server) -> None:
    root = configured(tmp_path / "bare", filled, metrics=False)
    done = cli("collections", "stats", "StatsPlain", "--metrics", "performance", cwd=root)
    assert done.exit_code == 0
    assert re.search(r"^StatsPlain( +-){14}$", done.stdout, re.MULTILINE)
    assert "Prometheus" in done.stderr
    found = json.loads(cli("collections", "stats", "StatsPlain", "--json", cwd=root).stdout)
    assert (found["listener"], found["collections"][0]["performance"]) == (None, None)


def test_a_listener_that_is_gone(cli: Cli, tmp_path: Path, filled: weaviates.Server) -> None:
    root = configured(tmp_path / "gone", filled)
    text = (root / "daglab.yaml").read_text().replace(filled.metrics, f"{filled.metrics}/nothing")
    (root / "daglab.yaml").write_text(text)
    done = cli("collections", "stats", "StatsPlain", "--json", cwd=root)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["listener"]["answers"], found["collections"][0]["objects"]) == (0, False, 120)
    assert "404" in found["problems"][0]


@pytest.mark.parametrize(
    ("args", "code"),
    [(["StatsPlan"], 7), (["--interval", "2"], 2), (["--metrics", "some"], 2), (["-w", "--interval", "0"], 2)],
)
def test_wrong_usage(cli: Cli, project: Path, args: list[str], code: int) -> None:
    done = cli("collections", "stats", *args, cwd=project)
    assert done.exit_code == code
    assert "StatsPlain" in done.stderr or code == 2


@pytest.mark.parametrize("command", ["stats", "dashboard"])
def test_a_key_itself_is_refused(cli: Cli, command: str) -> None:
    done = cli("collections", command, "--cluster", "http://127.0.0.1:9", "--auth", "a-key-of-mine")
    assert (done.exit_code, "a-key-of-mine" in done.stderr) == (2, False)


def test_nobody_answers(cli: Cli) -> None:
    done = cli("collections", "stats", "--cluster", "http://127.0.0.1:9", "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (5, "unreachable")


def test_watching_tells_the_rate(project: Path, filled: weaviates.Server) -> None:
    filled.ask("POST", "schema", {"class": "StatsGrowing", "vectorizer": "none"})
    filled.ask("POST", "batch/objects", objects("StatsGrowing", 10))
    command = [
        sys.executable,
        "-m",
        "daglab",
        "collections",
        "stats",
        "StatsGrowing",
        "-w",
        "--json",
        "--interval",
        "0.3",
    ]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        first = json.loads(process.stdout.readline())["collections"][0]
        assert (first["objects"], first["objects_per_second"]) == (10, None)
        filled.ask("POST", "batch/objects", objects("StatsGrowing", 10))
        for line in process.stdout:
            found = json.loads(line)["collections"][0]
            if found["objects"] == 20:
                break
        assert found["objects_per_second"] > 0
        assert found["growth_percent"] == 100
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 143


@dataclass
class Screen:
    """A command on a terminal, and the frames that it has drawn."""

    process: subprocess.Popen[bytes]
    ours: int
    shown: bytes = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds: float = 0.2) -> bool:
        """Whether the terminal is still open."""
        if not select.select([self.ours], [], [], seconds)[0]:
            return True
        try:
            self.shown += os.read(self.ours, 65536)
        except OSError:
            return False
        return True

    def frames(self) -> list[list[str]]:
        """Those that are whole."""
        found = self.shown.decode("utf-8", "replace").split("\x1b[H")[1:]
        return [re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", each).split("\r\r\n") for each in found if "\x1b[J" in each]

    def until(self, holds: Callable[[list[str]], bool]) -> list[str]:
        """The first frame from now on that it holds for."""
        seen, deadline = len(self.frames()), time.monotonic() + 60
        while time.monotonic() < deadline:
            for frame in self.frames()[seen:]:
                if holds(frame):
                    return frame
            assert self.read(), self.shown
        raise AssertionError(f"no such frame; the last one is {self.frames()[-1:]}")

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        while self.read(30):
            pass
        return self.process.wait(timeout=60)


@pytest.fixture
def on_screen() -> Iterator[Callable[..., Screen]]:
    made: list[Screen] = []

    def start(root: Path, *args: str, rows: int = 24, columns: int = 80) -> Screen:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        # A session of its own with this terminal, so that a resize reaches it as it does in life.
        process = subprocess.Popen(
            [sys.executable, "-m", "daglab", "collections", *args],
            cwd=root,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm"},
            start_new_session=True,
            preexec_fn=lambda: (fcntl.ioctl(0, termios.TIOCSCTTY, 0), signal.signal(signal.SIGINT, signal.SIG_DFL))[0],
        )
        os.close(theirs)
        made.append(Screen(process, ours))
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        os.close(each.ours)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("args", [["dashboard"], ["stats", "--watch"]])
def test_a_screen_is_left_as_it_was(
    project: Path, on_screen: Callable[..., Screen], args: list[str], number: int, code: int
) -> None:
    shown = on_screen(project, *args, "--interval", "0.2")
    shown.until(lambda frame: any(line.startswith("StatsPlain") for line in frame))
    assert shown.end(number) == code
    assert shown.shown.startswith(b"\x1b[?1049h\x1b[?25l\x1b[H")
    assert shown.shown.rstrip().endswith(b"\x1b[?25h\x1b[?1049l")


def test_a_resized_terminal_is_drawn_at_once(project: Path, on_screen: Callable[..., Screen]) -> None:
    """The interval is an hour: nothing but the resize draws a second time."""
    event = {"v": 1, "id": "0", "at": "2026-11-20T10:00:00+00:00", "command": "collections copy", "target": "A -> B"}
    rest = {"ok": True, "exit_code": 0, "error_code": None, "seconds": 2.0, "runs": []}
    (project / ".daglab" / "events" / "2026-11.jsonl").write_text(json.dumps({**event, **rest}) + "\n")
    shown = on_screen(project, "dashboard", "--interval", "3600", rows=40, columns=100)
    frame = shown.until(lambda _: True)
    assert any("collections copy" in line for line in frame)
    for rows, columns in ((12, 40), (6, 20), (30, 120)):
        shown.resize(rows, columns)
        frame = shown.until(lambda _: True)
        assert max(map(len, frame)) <= columns
        assert len(frame) <= rows
    assert shown.end(signal.SIGINT) == 130


@pytest.mark.slow
def test_a_server_that_dies_and_comes_back(tmp_path: Path, on_screen: Callable[..., Screen], need: Any) -> None:
    need(weaviates.program().exists(), "Weaviate is not installed")
    with weaviates.serving(tmp_path / "server") as [server]:
        server.ask("POST", "schema", {"class": "StatsKept", "vectorizer": "none"})
        server.ask("POST", "batch/objects", objects("StatsKept", 5))
        root = configured(tmp_path / "shop", server)
        shown = on_screen(root, "dashboard", "--interval", "0.2")
        row = re.compile(r"StatsKept +5 +ok")
        shown.until(lambda frame: any(row.match(line) for line in frame))
        server.kill()
        frame = shown.until(lambda frame: any("no answer" in line for line in frame))
        assert any(re.match(r"StatsKept +5 +no answer", line) for line in frame)
        server.start()
        shown.until(lambda frame: any(row.match(line) for line in frame))
        assert shown.end(signal.SIGINT) == 130


@pytest.mark.long
def test_the_dashboard_in_blocks_and_lines(cli: Cli, project: Path, filled: weaviates.Server) -> None:
    for args in ([], ["--json"]):
        command = [sys.executable, "-m", "daglab", "collections", "dashboard", "StatsPlain", *args, "--interval", "0.1"]
        with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(8 if not args else 2)]
            process.send_signal(signal.SIGTERM)
        assert process.returncode == 143
        if args:
            found = json.loads(lines[1])
            assert [each["name"] for each in found["clusters"][0]["collections"]] == ["StatsPlain"]
            assert found["ok"] is True
        else:
            assert sum(line.startswith("StatsPlain") for line in lines) >= 1
            assert not any("\x1b" in line for line in lines)
    assert cli("collections", "dashboard", "StatsPlan", cwd=project).exit_code == 7


def test_the_snapshot_has_the_clusters(cli: Cli, project: Path) -> None:
    (project / "daglab.yaml").write_text(
        (project / "daglab.yaml").read_text() + "  - {name: gone, url: 'http://127.0.0.1:9'}\n"
    )
    done = cli("status", "--json", cwd=project)
    up, gone = json.loads(done.stdout)["clusters"]
    assert (up["state"], up["version"], gone["state"]) == ("up", weaviates.VERSION, "unreachable")
    assert up["total"] >= len(NAMES)
    assert "gone: unreachable" in cli("status", cwd=project).stdout
    page = project / "page.html"
    assert cli("dashboard", "--output", str(page), cwd=project).exit_code == 0
    assert "<h3>main</h3>" in page.read_text()
    assert "unreachable" in page.read_text()

"""Every command that docs/coverage.md answers a wish with, tried as it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import processes
from tests import jupyter_notebooks, weaviates

pytestmark = pytest.mark.long

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"
SERVES = "daglab dashboard"  # it serves until it is stopped, and has a test of its own
# The deployment has a code location that does not load, so not all is well there: 4 is the truth.
JUDGING = ("daglab health", "daglab doctor", "daglab collections health", "daglab collections batch")


def commands() -> list[str]:
    """The commands in the second column, each once."""
    rows = [line.split("|")[2] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    found = [command for cell in rows for command in re.findall("`(daglab [^`]+)`", cell)]
    return sorted({*found} - {SERVES})


@pytest.fixture(scope="module")
def models() -> Iterator[str]:
    """An endpoint that lists one model."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps({"data": [{"id": "small"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def clusters(weaviate: weaviates.Server, keyed_weaviate: weaviates.Server) -> list[dict[str, str]]:
    """Two clusters: one with a collection of three wares, one that wants a key, which the user's config names."""
    schema = {"class": "Wares", "vectorizer": "none", "properties": [{"name": "title", "dataType": ["text"]}]}
    weaviate.ask("DELETE", "schema/Wares")  # both servers are there for the whole run
    weaviate.ask("POST", "schema", schema)
    wares = [{"class": "Wares", "properties": {"title": each}, "vector": [1, 2]} for each in ("a", "b", "c")]
    weaviate.ask("POST", "batch/objects", {"objects": wares})
    own = Path.home() / ".config" / "daglab" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(json.dumps({"credentials": {keyed_weaviate.url: {"token_env": "WARES_KEY"}}}))
    return [{"name": "default", "url": weaviate.url}, {"name": "other", "url": keyed_weaviate.url}]


@pytest.fixture
def project(tmp_path: Path, deployment: Any, models: str, clusters: list[dict[str, str]]) -> Path:
    """A project with something to tell: a config with a model, and the events of what was done."""
    root = tmp_path / "shop"
    (root / ".daglab").mkdir(parents=True)
    (root / "dagster" / "notebooks").mkdir(parents=True)
    config = {
        "version": 1,
        "dagster": {"url": deployment.url},
        "models": [{"name": "small", "url": models}],
        "health": {"timeout": 60},
        "weaviate": {"clusters": clusters},
        "dashboard": {"port": processes.find_free_port()},
    }
    (root / "daglab.yaml").write_text(json.dumps(config))
    (root / "rename.py").write_text(
        "def transform(obj):\n    return obj if obj['properties']['title'] != 'b' else None\n"
    )
    (root / "analysis.ipynb").write_bytes(jupyter_notebooks.written(jupyter_notebooks.notebook("x = 1", "print(x)")))
    (root / "prompts.jsonl").write_text(json.dumps({"text": "four words are here", "tokens": 5, "model": "small"}))
    return root


@pytest.fixture
def filled(project: Path, cli: Callable[..., Any]) -> dict[str, str]:
    """What stands for ID, FILE and ARCHIVE, after a few commands that leave something behind."""
    done = cli("discover", "--json", cwd=project, env={"DAGLAB_TRACE": "1"})
    assert done.exit_code == 0, done.stderr
    traced = json.loads(cli("debug", "requests", "--json", cwd=project).stdout)["requests"]
    backup = json.loads(cli("backup", "create", "--json", cwd=project).stdout)
    return {"ID": traced[0]["id"], "FILE": "prompts.jsonl", "ARCHIVE": backup["archive"]}


def test_there_are_commands_for_every_part() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for part in ("(3A)", "(3B)", "(3C)", "(3D)", "(5.4)", "(3)"):
        assert "`daglab " in text.split(part)[1].split("\n## ")[0]


@pytest.mark.slow
def test_each_command_does_what_it_is_named_for(project: Path, filled: dict[str, str], cli: Callable[..., Any]) -> None:
    for command in commands():
        words = [filled.get(word, word) for word in shlex.split(command)[1:]]
        done = cli(*words, cwd=project, env={"WARES_KEY": weaviates.KEY})
        good = (0, 4) if command.startswith(JUDGING) else (0,)
        assert done.exit_code in good, (command, done)
        assert "bug" not in done.stderr, (command, done.stderr)
        if "--output" in words and "backup" not in words:
            assert (project / words[words.index("--output") + 1]).stat().st_size


def test_the_dashboard_answers_where_the_page_says(project: Path) -> None:
    serving = subprocess.Popen(
        [sys.executable, "-m", "daglab", "dashboard", "--json"],
        cwd=project,
        stdout=subprocess.PIPE,
        env={**os.environ, "WARES_KEY": weaviates.KEY},
    )
    try:
        told = ""
        while not told.rstrip().endswith("}"):
            told += serving.stdout.readline().decode() if serving.stdout else "}"
        url = json.loads(told)["url"].rstrip("/")
        for path in ("/dashboard", "/health", "/health/ready", "/health/models", "/health/storage", "/metrics"):
            assert requests.get(f"{url}{path}", timeout=60).status_code == 200, path
    finally:
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=60)

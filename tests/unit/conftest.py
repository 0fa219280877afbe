"""A stand-in for Dagster's webserver that remembers all it was sent; for what a real one can't be made to do."""

from __future__ import annotations

import copy
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import responses

from tests import weaviate_in_memory

RUN = "5f0c1d2e-0000-4000-8000-000000000001"
NODE = {
    "assetKey": {"path": ["orders"]},
    "groupName": "default",
    "description": "All orders.",
    "computeKind": None,
    "isExecutable": True,
    "isPartitioned": False,
    "opNames": ["orders"],
    "jobNames": ["__ASSET_JOB"],
    "partitionDefinition": None,
    "dependencyKeys": [],
    "repository": {"name": "__repository__", "location": {"name": "shop"}},
}
JOB = {"name": "report", "description": "A report.", "isAssetJob": False, "tags": []}


@dataclass
class Request:
    """What arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class StandIn:
    """The server's address, what it was sent, and the answers by the query's name, which a test may change."""

    url: str
    port: int
    requests: list[Request] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def authorizations(self) -> list[str | None]:
        """The Authorization header of each request."""
        return [request.headers.get("authorization") for request in self.requests]


@pytest.fixture
def stand_in() -> Iterator[Callable[[], StandIn]]:
    """Starts a server of its own at each call."""
    servers: list[ThreadingHTTPServer] = []

    def start() -> StandIn:
        server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        port = server.server_address[1]
        standing = StandIn(f"http://127.0.0.1:{port}", port, answers=copy.deepcopy(_answers()))
        server.RequestHandlerClass = _handler(standing)
        server.block_on_close = False  # a handler may wait for a client that is gone
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return standing

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def dagster(stand_in: Callable[[], StandIn]) -> StandIn:
    """One such server, which holds the job `report` and the asset `orders`, and whose runs succeed."""
    return stand_in()


def _answers() -> dict[str, Any]:
    repository = {"name": "__repository__", "jobs": [JOB], "partitionSets": []}
    location = {"__typename": "RepositoryLocation", "name": "shop", "repositories": [repository]}
    run = {"runId": RUN, "status": "SUCCESS", "startTime": 1.0, "endTime": 2.0, "stepStats": []}
    return {
        "Version": {"version": "1.13.0"},
        "Workspace": {
            "version": "1.13.0",
            "assetNodeType": {"fields": []},
            "workspaceOrError": {
                "__typename": "Workspace",
                "locationEntries": [{"name": "shop", "locationOrLoadError": location}],
            },
        },
        "Assets": {"assetNodes": [NODE]},
        "Validate": {
            "isPipelineConfigValid": {"__typename": "PipelineConfigValidationValid", "pipelineName": "report"}
        },
        "Launch": {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": RUN, "status": "STARTED"}}},
        "Status": {"runsOrError": {"__typename": "Runs", "results": [run]}},
    }


def _handler(standing: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(raw or b"null")
            headers = {name.lower(): value for name, value in self.headers.items()}
            standing.requests.append(Request(self.command, self.path, headers, body))
            name = body["query"].split("(")[0].split("{")[0].split()[1] if body and "query" in body else ""
            found = standing.answers.get(name)
            found = found(body) if callable(found) else found
            document = {"data": found} if found else {"errors": [{"message": f"no answer to {name!r} is known"}]}
            text = json.dumps(document).encode()
            self.send_response(standing.status)
            for header, value in {**standing.headers, "Content-Length": str(len(text))}.items():
                self.send_header(header, value)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def at_once() -> Callable[[Sequence[list[str]]], list[int]]:
    """Run commands of Python side by side."""
    return _codes_of


def _codes_of(commands: Sequence[list[str]]) -> list[int]:
    """The exit codes of processes that all wait for a line on stdin before they begin."""
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for command in commands]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=60)
    return [process.returncode for process in started]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weaviate_in_memory.Server]]:
    """Two Weaviates in memory; nothing is waited for."""
    from daglab import web
    from daglab.weaviate import tenants
    from daglab.weaviate.moving import freezing, relocations

    monkeypatch.setattr(web, "delay", lambda *_: 0.0)
    for module in (tenants, freezing):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(relocations, "GRACE_SECONDS", 0.0)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        yield [weaviate_in_memory.Server(mocked, f"http://{name}.test:8080") for name in ("one", "other")]


@pytest.fixture
def sides(servers: list[weaviate_in_memory.Server]) -> tuple[Any, Any]:
    """The collection Docs in the one, and in the other of them."""
    from daglab.settings import config
    from daglab.weaviate import clusters, transfers

    one, other = (transfers.Side(clusters.connect(config.load({}), server.url), "Docs") for server in servers)
    return one, other

"""A TCP proxy before the real deployment that injects faults, and a way to ask the deployment itself."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

# What is done with one request: it gets the client's socket, and `forward`, which sends the request on and
# gives back the deployment's whole answer.
Fault = Callable[[socket.socket, Callable[[], bytes]], None]


@dataclass
class Proxy:
    """A proxy: what came through it so far, and the faults by GraphQL operation (Launch, RunByTag)."""

    url: str
    faults: dict[str, Fault] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    forwarded: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, names: list[str], name: str) -> None:
        with self.changed:
            names.append(name)
            self.changed.notify_all()

    def wait_until(self, condition: Callable[[], bool], timeout: float = 60) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout), (self.seen, self.forwarded)


@pytest.fixture
def proxy(deployment: Any) -> Iterator[Proxy]:
    """A proxy that passes everything on until its `faults` say otherwise."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            _handle(kept, self.request, deployment.port)

    class Threaded(socketserver.ThreadingTCPServer):
        daemon_threads = False  # joined at the end: none outlives its test

    with Threaded(("127.0.0.1", 0), Handler) as tcp:
        kept = Proxy(f"http://127.0.0.1:{tcp.server_address[1]}")
        thread = threading.Thread(target=tcp.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield kept
        finally:
            kept.over.set()
            tcp.shutdown()
            thread.join()


@pytest.fixture
def graphql(deployment: Any) -> Callable[..., Any]:
    """Ask the deployment itself something, past any proxy, and get the data of its answer."""

    def ask(query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        answer = requests.post(f"{deployment.url}/graphql", json=body, timeout=60).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    return ask


def _handle(proxy: Proxy, client: socket.socket, port: int) -> None:
    """One request a connection: the answer closes it."""
    try:
        request = _request(client)
    except ConnectionError:
        return
    if not request:
        return
    name = (re.search(rb'"query": *"(?:\\n)?(?:query|mutation) (\w+)', request) or (b"", b"other"))[1].decode()
    proxy.note(proxy.seen, name)

    def forward() -> bytes:
        proxy.note(proxy.forwarded, name)
        return _ask(port, request)

    try:
        proxy.faults.get(name, _pass)(client, forward)
    except OSError:
        return  # the client has gone, as some faults make it


def _pass(client: socket.socket, forward: Callable[[], bytes]) -> None:
    client.sendall(forward())


def _request(client: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := client.recv(65536)):
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int((re.search(rb"(?i)\r\ncontent-length: *(\d+)", head) or (b"", b"0"))[1])
    while len(body) < length:
        body += client.recv(65536)
    return re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head) + b"\r\nConnection: close\r\n\r\n" + body


def _ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as upstream:
        upstream.sendall(request)
        pieces = []
        while piece := upstream.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)

"""A proxy in front of a real Weaviate that does what servers and networks do on a bad day.

    with weaviate_faults.before(server.url, [Fault("POST", "batch/objects", lost(), range(2, 4))]) as proxy:
        cluster = clusters.connect(settings, proxy.url)

The first fault whose method, path and number fit a request is done to it; all else goes through. Requests are counted
from 1 for each fault, by its method and path.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Exchange:
    """A request, and the ways to go on with it."""

    handler: Any
    method: str
    target: str
    body: bytes
    number: int = 0

    def forward(self, body: bytes | None = None) -> tuple[int, bytes]:
        """What the real server answers, to another body where one is given."""
        upstream = urlsplit(self.handler.server.upstream)
        connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=60)
        try:
            headers = {
                name: text
                for name, text in self.handler.headers.items()
                if name.lower() not in ("host", "content-length", "accept-encoding", "connection")
            }
            connection.request(self.method, self.target, self.body if body is None else body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def answer(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        """Answer; `length` is what is said of the body's, where that is not so."""
        self.handler.send_response(status)
        for name, text in {"Content-Type": "application/json", **headers}.items():
            self.handler.send_header(name.replace("_", "-"), text)
        self.handler.send_header("Content-Length", str(len(body) if length is None else length))
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def cut(self) -> None:
        """End the connection."""
        self.handler.close_connection = True
        with contextlib.suppress(OSError):
            self.handler.wfile.flush()
            self.handler.connection.shutdown(socket.SHUT_RDWR)


Act = Callable[[Exchange], None]


@dataclass
class Fault:
    """What is done to requests of a method whose path below `/v1/` begins so; `when` are their numbers, None is all."""

    method: str
    path: str
    act: Act
    when: Container[int] | None = None
    seen: int = 0
    done: int = 0


@dataclass
class Proxy:
    """`url` is its address; `requests` are all that came, each as (method, path with query, bytes of the body)."""

    url: str
    requests: list[tuple[str, str, int]] = field(default_factory=list)


def status(code: int, body: bytes = b'{"error":[{"message":"a fault"}]}', **headers: str) -> Act:
    """Answer with this, and forward nothing: `status(429, Retry_After="0")`."""
    return lambda exchange: exchange.answer(code, body, **headers)


def cut() -> Act:
    """End the connection before anything is forwarded."""
    return Exchange.cut


def lost() -> Act:
    """Forward it, and end the connection without an answer."""

    def act(exchange: Exchange) -> None:
        exchange.forward()
        exchange.cut()

    return act


def half() -> Act:
    """Forward it, and end the connection in the middle of the answer."""

    def act(exchange: Exchange) -> None:
        code, body = exchange.forward()
        exchange.answer(code, body[: len(body) // 2], length=len(body))
        exchange.cut()

    return act


def truncated() -> Act:
    """Forward it, and answer with half of the JSON as if it were all."""

    def act(exchange: Exchange) -> None:
        code, body = exchange.forward()
        exchange.answer(code, body[: len(body) // 2])

    return act


def page(text: bytes = b"<html><body>Please sign in.</body></html>") -> Act:
    """Answer with a page of a portal, and with 200."""
    return lambda exchange: exchange.answer(200, text, Content_Type="text/html")


def fewer(number: int = 1) -> Act:
    """Forward it, and leave out the last results, or the last objects of a page."""

    def act(exchange: Exchange) -> None:
        code, body = exchange.forward()
        exchange.answer(code, json.dumps(json.loads(body)[:-number]).encode())

    return act


def larger_than(most: int, *, early: bool = False) -> Act:
    """413 for a body with more bytes than `most`; `early` ends the connection as well, as some servers do."""

    def act(exchange: Exchange) -> None:
        if len(exchange.body) <= most:
            exchange.answer(*exchange.forward())
            return
        exchange.answer(413, b'{"error":[{"message":"too large"}]}')
        if early:
            exchange.cut()

    return act


def refused(which: Callable[[Mapping[str, Any]], bool], words: str) -> Act:
    """Of a batch of objects, those that fit are not forwarded; their results say these words."""

    def act(exchange: Exchange) -> None:
        listed = json.loads(exchange.body)["objects"]
        kept = [each for each in listed if not which(each)]
        answered: Sequence[Any] = []
        if kept:
            _, body = exchange.forward(json.dumps({"objects": kept}).encode())
            answered = json.loads(body)
        good = iter(answered)
        failure = {"status": "FAILED", "errors": {"error": [{"message": words}]}}
        results = [{**each, "result": failure} if which(each) else next(good) for each in listed]
        exchange.answer(200, json.dumps(results).encode())

    return act


def refused_whole(which: Callable[[Mapping[str, Any]], bool], code: int = 422, words: str = "bad batch") -> Act:
    """A batch with an object that fits is refused as a whole."""

    def act(exchange: Exchange) -> None:
        if any(which(each) for each in json.loads(exchange.body)["objects"]):
            exchange.answer(code, json.dumps({"error": [{"message": words}]}).encode())
        else:
            exchange.answer(*exchange.forward())

    return act


def slow(seconds: float) -> Act:
    """Forward it later."""

    def act(exchange: Exchange) -> None:
        time.sleep(seconds)
        exchange.answer(*exchange.forward())

    return act


@contextlib.contextmanager
def before(url: str, faults: Sequence[Fault]) -> Iterator[Proxy]:
    """A proxy before the server at `url` while the block lasts."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.upstream, server.faults = url, faults
    server.proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    upstream: str
    faults: Sequence[Fault]
    proxy: Proxy

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.lock = threading.Lock()

    def fault(self, exchange: Exchange) -> Fault | None:
        """What is done to a request."""
        found = None
        path = exchange.target.removeprefix("/v1/")
        with self.lock:
            self.proxy.requests.append((exchange.method, path, len(exchange.body)))
            for each in self.faults:
                if exchange.method == each.method and path.startswith(each.path):
                    each.seen += 1
                    if found is None and (each.when is None or each.seen in each.when):
                        each.done += 1
                        found = each
        return found

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is nothing to tell of."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        exchange = Exchange(self, self.command, self.path, body)
        fault = self.server.fault(exchange)
        if fault:
            fault.act(exchange)
        else:
            exchange.answer(*exchange.forward())

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _handle

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name is the base class's)
        """Say nothing."""

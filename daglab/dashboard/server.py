"""The dashboard's server: the standard library's, on loopback, for one request a connection, bounded in every way.

It refuses what was not meant for it (another Host, as a name that was bound anew to this machine sends it), takes GET
and HEAD alone, waits for no slow client, and tells nobody what went wrong inside.
"""

from __future__ import annotations

import contextlib
import errno
import http.server
import io
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from typing import Any

from daglab import errors
from daglab.dashboard import routes

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost", "[::1]")
LONGEST_HEAD = 1 << 14  # bytes of a request's first line and headers together
HEAD_SECONDS = 5.0  # for all of it
SEND_SECONDS = 20.0
REST_SECONDS = 0.5  # for what comes after the head, and is not read
MOST_CONNECTIONS = 64

log = logging.getLogger(__name__)


class Server(http.server.ThreadingHTTPServer):
    """A server for a function that answers targets; the oldest of those that do not come to an end makes room."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, port: int, answer: Callable[[str], routes.Answer]) -> None:
        self.answer = answer
        self._slots = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._waiting: dict[socket.socket, None] = {}  # whose head is being read, the oldest first
        self._lock = threading.Lock()
        super().__init__((HOST, port), Handler)

    def server_bind(self) -> None:
        """As the library does, without asking who this machine is."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Each in a thread of its own, as long as there is room; else the one that dawdles longest has to go."""
        if not self._slots.acquire(blocking=False):
            self._end_oldest()
            if not self._slots.acquire(timeout=1.0):
                self.shutdown_request(request)
                return
        with self._lock:
            self._waiting[request] = None
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As the library does; the place is free afterwards."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.heard(request)
            self._slots.release()

    def heard(self, request: Any) -> None:
        """The head of a request has come."""
        with self._lock:
            self._waiting.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""
        log.debug("a request came to no end", exc_info=True)

    def _end_oldest(self) -> None:
        with self._lock:
            oldest = next(iter(self._waiting), None)
            self._waiting.pop(oldest, None)  # type: ignore[arg-type]
        if oldest is not None:
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)


class Handler(http.server.BaseHTTPRequestHandler):
    """One request, and its answer."""

    server: Server
    timeout = SEND_SECONDS
    protocol_version = "HTTP/1.0"  # the answer ends the connection

    def setup(self) -> None:
        """Read the head whole, within its time and its size, before anything is made of it."""
        super().setup()
        head = read_head(self.connection)
        self.server.heard(self.connection)
        self.connection.settimeout(SEND_SECONDS)
        self.rfile = io.BufferedReader(io.BytesIO(head or b""))
        self.is_whole = head is not None

    def handle(self) -> None:
        """Answer it."""
        self.command, self.request_version, self.requestline = "", "HTTP/1.0", ""
        if not self.is_whole:
            self._send(routes.refused(431, "The request is too large, or did not come in time."))
            return
        self.raw_requestline = self.rfile.readline(LONGEST_HEAD)
        if not self.raw_requestline or not self.parse_request():
            return
        self._send(self._answer())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library finds wrong with a request, without its page."""
        self._send(routes.refused(code, "The request can't be understood."))

    def version_string(self) -> str:
        """Who answers, without which Python does."""
        return "daglab"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's own name)
        """Shown with -v alone."""

    def _answer(self) -> routes.Answer:
        if self.request_version not in ("HTTP/1.0", "HTTP/1.1"):
            return routes.refused(505, "HTTP/1.1 is spoken here.")
        if not self._is_meant():
            return routes.refused(421, "This server goes by another name.")
        if self.command not in ("GET", "HEAD"):
            return routes.refused(405, "Nothing can be changed here.", Allow="GET, HEAD")
        began = time.monotonic()
        try:
            answer = self.server.answer(self.path)
        except Exception:  # whatever it is stays here
            log.warning("A page of the dashboard could not be made.", exc_info=log.isEnabledFor(logging.DEBUG))
            return routes.refused(500, "This page could not be made; `daglab dashboard -v` says why.")
        path = self.path.partition("?")[0]
        log.debug("%s %s %d, %.0f ms", self.command, path, answer.status, 1000 * (time.monotonic() - began))
        return answer

    def _is_meant(self) -> bool:
        """Whether the one Host header names this server: a foreign name that leads here sends itself."""
        hosts = self.headers.get_all("Host") or []
        port = self.server.server_port
        names = {f"{name}:{port}" for name in NAMES} | (set(NAMES) if port == 80 else set())
        return len(hosts) == 1 and hosts[0].strip().lower() in names

    def _send(self, answer: routes.Answer) -> None:
        self.request_version = "HTTP/1.0"  # for what is older, the library would leave out the head
        with contextlib.suppress(OSError):  # who does not read it has gone
            self.send_response(answer.status)
            for name, value in answer.fields().items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.content)
            self._end()

    def _end(self) -> None:
        """Say that it is over, and take in a little of what still comes: a reset would take the answer away."""
        self.connection.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + REST_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            self.connection.settimeout(left)
            if not self.connection.recv(1 << 16):
                return


def read_head(connection: socket.socket) -> bytes | None:
    """A request's head, with the empty line behind it; None for one that is too large, too slow, or not whole."""
    deadline, head = time.monotonic() + HEAD_SECONDS, bytearray()
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        left = deadline - time.monotonic()
        if left <= 0 or len(head) > LONGEST_HEAD:
            return None
        connection.settimeout(left)
        try:
            piece = connection.recv(1 << 12)
        except OSError:
            return None
        if not piece:
            return None
        head += piece
    return bytes(head) if len(head) <= LONGEST_HEAD + (1 << 12) else None


def make(port: int, answer: Callable[[str], routes.Answer]) -> Server:
    """A server that listens on this port of loopback, 0 for any. Raises `Taken` when somebody else does."""
    try:
        return Server(port, answer)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is taken: address already in use" if error.errno == errno.EADDRINUSE else "may not be used"
        raise errors.Taken(
            f"Port {port} {why}.", f"Name another one with --port, or see who is there: ss -ltnp 'sport = :{port}'"
        ) from None

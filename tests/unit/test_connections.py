"""Exchanges that end when their time is up, and their threads with them."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from daglab import connections


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def serve(listener: socket.socket, answer: Callable[[socket.socket], None]) -> threading.Thread:
    """Answer one connection; the thread ends when the client has gone."""

    def work() -> None:
        with listener.accept()[0] as client:
            client.settimeout(30)
            client.recv(65536)
            try:
                answer(client)
            except OSError:
                return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def drip(begin: bytes) -> Callable[[socket.socket], None]:
    def answer(client: socket.socket) -> None:
        client.sendall(begin)
        while True:
            client.sendall(b"a")
            time.sleep(0.01)

    return answer


def ask(listener: socket.socket, http: requests.Session, seconds: float, scheme: str = "http") -> requests.Response:
    url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/"

    def exchange() -> requests.Response:
        response = http.get(url, timeout=30, stream=True)
        response._content = connections.body(response, 1000)
        return response

    return connections.within(seconds, http, exchange)


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"),
        drip(b"HTTP/1.0 200 OK\r\n\r\n"),
        lambda client: client.recv(1),
    ],
    ids=["in a header", "in the body", "to the end of the connection", "nothing at all"],
)
def test_the_connection_is_cut_and_the_thread_ends(
    answer: Callable[[socket.socket], None], listener: socket.socket
) -> None:
    before = threading.active_count()
    served = serve(listener, answer)
    http = connections.session()
    with pytest.raises(requests.ReadTimeout):
        ask(listener, http, 0.2)
    served.join(20)
    assert not served.is_alive()
    deadline = time.monotonic() + 20
    while threading.active_count() > before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)
    adapter = http.get_adapter("http://")
    assert isinstance(adapter, connections.Adapter)
    assert adapter.in_use == {}


def test_a_safe_connection_is_cut(listener: socket.socket, tmp_path: Path, need: Callable[[object, str], None]) -> None:
    need(shutil.which("openssl"), "openssl is not installed")
    both = tmp_path / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(both), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    both.write_text(both.read_text() + (tmp_path / "cert.pem").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    gone = threading.Event()

    def answer(client: socket.socket) -> None:
        try:
            drip(b"HTTP/1.1 200 OK\r\n\r\n")(client)
        finally:
            gone.set()

    with context.wrap_socket(listener, server_side=True) as safe:
        serve(safe, answer)
        http = connections.session()
        http.trust_env = False  # REQUESTS_CA_BUNDLE would win
        http.verify = str(tmp_path / "cert.pem")
        with pytest.raises(requests.ReadTimeout):
            ask(safe, http, 1.0, "https")
        assert gone.wait(20)


def test_an_answer_in_time(listener: socket.socket) -> None:
    serve(listener, lambda client: client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
    assert ask(listener, connections.session(), 20).content == b"hi"


def test_an_answer_without_end(listener: socket.socket) -> None:
    def answer(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            client.sendall(b"a" * 65536)

    serve(listener, answer)
    with pytest.raises(connections.TooLarge):
        ask(listener, connections.session(), 20)

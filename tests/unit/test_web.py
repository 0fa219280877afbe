"""HTTP: which requests arrive how often at a real server that goes wrong, and what is said about it."""

from __future__ import annotations

import logging
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from daglab import errors, redaction, web
from daglab.settings import config

URL = "http://dagster.test:3000/graphql"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
RETRIES = 2


@dataclass
class Server:
    """A TCP server that does to each connection what `deeds` say in turn, the last one again and again."""

    port: int
    deeds: list[Callable[[socket.socket], None]]
    connections: int = 0
    received: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    def do(self, connection: socket.socket) -> None:
        self.connections += 1
        self.deeds[min(self.connections, len(self.deeds)) - 1](connection)

    def read(self, connection: socket.socket) -> None:
        """Take in one request whole."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                raise ConnectionError("the client has gone")
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = int((re.search(rb"(?i)content-length: (\d+)", head) or [b"", b"0"])[1])
        while len(body) < length:
            body += connection.recv(65536)
        self.received.append(head + b"\r\n\r\n" + body)

    def close_unread(self, _connection: socket.socket) -> None:
        """What has arrived is left unread."""

    def close_read(self, connection: socket.socket) -> None:
        self.read(connection)

    def answer(self, data: bytes) -> Callable[[socket.socket], None]:
        def deed(connection: socket.socket) -> None:
            self.read(connection)
            connection.sendall(data)

        return deed

    def silence(self, connection: socket.socket) -> None:
        self.read(connection)
        self.over.wait(60)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on a port of its own; its answers are chosen by setting `deeds`."""
    yield from _serve(0)


def _serve(port: int) -> Iterator[Server]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            kept.do(self.request)

    class Threaded(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = False  # joined at the end: none outlives its test

    with Threaded(("127.0.0.1", port), Handler) as tcp:
        kept = Server(tcp.server_address[1], [])
        kept.deeds = [kept.answer(OK)]
        thread = threading.Thread(target=tcp.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield kept
        finally:
            kept.over.set()
            tcp.shutdown()
            thread.join()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The one place where tests stop waiting: what each pause was asked with."""
    asked: list[tuple[Any, ...]] = []

    def none(*arguments: Any) -> float:
        asked.append(arguments)
        return 0.0

    monkeypatch.setattr(web, "delay", none)
    return asked


@pytest.fixture
def session(pauses: list[tuple[Any, ...]]) -> Iterator[web.Session]:
    with requests.Session() as http:
        yield web.Session(http, timeout=5.0, retries=RETRIES)


@pytest.fixture
def hasty(session: web.Session) -> web.Session:
    """A session that gives up on an answer at once."""
    return web.Session(session.http, timeout=0.2, retries=RETRIES)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What one test has hidden shows in the next."""
    yield
    redaction._secrets.clear()


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def send(session: web.Session, url: str = URL, *, mutation: bool = False, body: Any = None) -> requests.Response:
    operation = "launchRun" if mutation else None
    return web.send(session, "POST", url, operation=operation, json={"query": "secret text"} if body is None else body)


# --- how often a request arrives at a server that goes wrong

FAULTS = {
    "accepted and closed": (lambda server: server.close_unread, 0),
    "closed after reading": (lambda server: server.close_read, 1),
    "half a status line": (lambda server: server.answer(b"HTTP/1.1 20"), 1),
    "half a body": (lambda server: server.answer(OK.replace(b"Length: 2", b"Length: 900")), 1),
    "half a chunk": (
        lambda server: server.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"),
        1,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_query_that_breaks_off_is_asked_again(fault: str, server: Server, session: web.Session) -> None:
    deed, reads = FAULTS[fault]
    server.deeds = [deed(server), deed(server), server.answer(OK)]
    assert send(session, server.url).status_code == 200
    assert (server.connections, len(server.received)) == (3, 2 * reads + 1)
    assert session.traffic.errors == 2
    assert len(session.traffic.milliseconds) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_query_is_given_up_after_its_retries(fault: str, server: Server, session: web.Session) -> None:
    server.deeds = [FAULTS[fault][0](server)]
    with pytest.raises(errors.Unreachable, match="broke off without an answer") as caught:
        send(session, server.url)
    assert server.connections == 1 + RETRIES
    assert caught.value.hint


@pytest.mark.parametrize("fault", FAULTS)
def test_a_mutation_that_may_have_arrived_is_sent_once(fault: str, server: Server, session: web.Session) -> None:
    deed, reads = FAULTS[fault]
    server.deeds = [deed(server)]
    with pytest.raises(web.AnswerLost):
        send(session, server.url, mutation=True)
    assert (server.connections, len(server.received)) == (1, reads)


def test_a_slow_answer_to_a_query_is_asked_for_again(server: Server, hasty: web.Session) -> None:
    server.deeds = [server.silence]
    with pytest.raises(errors.Unreachable, match="did not answer in time") as caught:
        send(hasty, server.url)
    assert len(server.received) == 1 + RETRIES
    assert "dagster.graphql.timeout" in str(caught.value.hint)


def test_a_slow_answer_to_a_mutation_is_lost(server: Server, hasty: web.Session) -> None:
    server.deeds = [server.silence]
    with pytest.raises(web.AnswerLost):
        send(hasty, server.url, mutation=True)
    assert len(server.received) == 1


def test_an_answer_that_stops_in_the_middle_is_asked_for_again(server: Server, hasty: web.Session) -> None:
    def begin(connection: socket.socket) -> None:
        server.answer(OK.replace(b"Length: 2", b"Length: 900"))(connection)
        server.over.wait(60)

    server.deeds = [begin, server.answer(OK)]
    assert send(hasty, server.url).status_code == 200
    server.deeds = [begin]
    with pytest.raises(web.AnswerLost):
        send(hasty, server.url, mutation=True)
    assert len(server.received) == 3


@pytest.mark.parametrize(
    "whole", [b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 600, OK.replace(b": 2", b": 600") + b"x" * 600]
)
@pytest.mark.parametrize("mutation", [False, True])
def test_an_answer_that_drips_is_not_waited_for_beyond_the_deadline(
    mutation: bool, whole: bytes, server: Server, session: web.Session
) -> None:
    """Each byte comes in time, and all of them together would take a minute."""
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        server.read(connection)
        for byte in whole:
            connection.send(bytes([byte]))
            if server.over.wait(0.1):
                return
        ended.set()

    server.deeds = [drip]
    with pytest.raises(web.AnswerLost if mutation else errors.Unreachable):
        send(replace(session, deadline=time.monotonic() + 0.3), server.url, mutation=mutation)
    assert len(server.received) == 1
    assert not ended.is_set()


def test_half_a_header_is_no_answer_to_trust(server: Server, session: web.Session) -> None:
    """Python's http.client takes it for a whole one: what comes back is empty, and no JSON."""
    server.deeds = [server.answer(b"HTTP/1.1 200 OK\r\nContent-Ty")]
    assert send(session, server.url, mutation=True).content == b""
    assert len(server.received) == 1


@pytest.mark.parametrize("mutation", [False, True])
def test_a_refused_connection_is_tried_again(
    mutation: bool, free_port: int, session: web.Session, pauses: list[tuple[Any, ...]]
) -> None:
    with pytest.raises(errors.Unreachable, match=r"Nothing answers at http.*connection refused") as caught:
        send(session, f"http://127.0.0.1:{free_port}/graphql", mutation=mutation)
    assert not isinstance(caught.value, web.AnswerLost)
    assert pauses == [(0,), (1,)]
    assert session.traffic.errors == 3
    assert "--url" in str(caught.value.hint)


@pytest.mark.parametrize("mutation", [False, True])
def test_a_server_that_comes_up_meanwhile_gets_the_request_once(
    mutation: bool, free_port: int, session: web.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Iterator[Server]] = []
    up: list[Server] = []

    def start_server(_seconds: float) -> None:
        started.append(_serve(free_port))
        up.append(next(started[0]))

    monkeypatch.setattr(web.time, "sleep", start_server)
    try:
        assert send(session, f"http://127.0.0.1:{free_port}/graphql", mutation=mutation).status_code == 200
    finally:
        for serving in started:
            next(serving, None)
    assert len(up[0].received) == 1


def test_a_mutation_takes_no_kept_connection(server: Server, session: web.Session) -> None:
    """The server may just have closed it, and the request would be lost without having been read."""

    def keep(connection: socket.socket) -> None:
        try:
            for _ in range(3):
                server.answer(OK)(connection)
        except ConnectionError:
            return

    server.deeds = [keep]
    for mutation in (False, False, True):
        send(session, server.url, mutation=mutation)
    assert (server.connections, len(server.received)) == (2, 3)


@responses.activate
@pytest.mark.parametrize("mutation", [False, True])
def test_a_connection_that_takes_too_long_is_tried_again(mutation: bool, session: web.Session) -> None:
    sent = responses.post(URL, body=requests.ConnectTimeout("no route"))
    with pytest.raises(errors.Unreachable, match="the connection timed out"):
        send(session, mutation=mutation)
    assert sent.call_count == 1 + RETRIES


def test_a_name_that_is_not_known_is_tried_again(session: web.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def unknown(host: str, *_rest: Any, **_more: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(errors.Unreachable, match=r"Nothing answers at http://no.such.host:1/graphql: name or service"):
        send(session, "http://no.such.host:1/graphql", mutation=True)
    assert len(asked) == 1 + RETRIES


# --- statuses


@responses.activate
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_query_is_asked_again_after(status: int, session: web.Session) -> None:
    for _ in range(RETRIES):
        responses.post(URL, status=status)
    responses.post(URL, json={})
    assert send(session).status_code == 200


@responses.activate
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_query_gets_the_last_answer_in_the_end(status: int, session: web.Session) -> None:
    sent = responses.post(URL, status=status)
    assert send(session).status_code == status
    assert sent.call_count == 1 + RETRIES


@responses.activate
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_mutation_is_sent_once_whatever_the_status(status: int, session: web.Session) -> None:
    sent = responses.post(URL, status=status, headers={"Retry-After": "0"})
    assert send(session, mutation=True).status_code == status
    assert sent.call_count == 1


@responses.activate
@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_another_status_is_an_answer(status: int, session: web.Session) -> None:
    sent = responses.post(URL, status=status)
    assert send(session).status_code == status
    assert sent.call_count == 1


@responses.activate
def test_what_the_server_asks_for_is_heard(session: web.Session, pauses: list[tuple[Any, ...]]) -> None:
    responses.post(URL, status=503, headers={"Retry-After": "7"})
    responses.post(URL, status=429)
    responses.post(URL, json={})
    send(session)
    assert pauses == [(0, "7"), (1, None)]


def _in(seconds: float) -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("0", 0, 0),
        ("7", 7, 7),
        (" 7 ", 7, 7),
        ("86400", web.LONGEST_PAUSE, web.LONGEST_PAUSE),
        (_in(-3600), 0, 0),
        (_in(86400), web.LONGEST_PAUSE, web.LONGEST_PAUSE),
        ("Fri, 31 Dec 1999 23:59:59", 0, 0),
    ],
)
def test_a_pause_that_the_server_asks_for(asked: str, least: float, most: float) -> None:
    assert least <= web.delay(0, asked) <= most


@pytest.mark.parametrize("asked", [None, "", "soon", "-5", "1.5", "²", "Fri, 99 Xyz 1999 23:59:59 GMT"])
def test_a_pause_of_our_own_grows_and_has_an_end(asked: str | None) -> None:
    for attempt in range(8):
        longest = min(0.2 * 2**attempt, web.LONGEST_PAUSE)
        for _ in range(20):
            assert longest / 2 <= web.delay(attempt, asked) <= longest
    assert web.delay(60) <= web.LONGEST_PAUSE


def test_pauses_differ() -> None:
    assert len({web.delay(3) for _ in range(20)}) > 1


# --- redirects, certificates, authorisation


@responses.activate
@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("mutation", [False, True])
def test_a_redirect_is_not_followed(status: int, mutation: bool, session: web.Session) -> None:
    responses.post(URL, status=status, headers={"Location": "https://me:hunter2@login.test/in?token=t0ken"})
    other = responses.get("https://login.test/in", json={})
    with pytest.raises(errors.Unreachable, match=r"redirects to https://login\.test/in;") as caught:
        send(session, mutation=mutation)
    assert other.call_count == 0
    assert "hunter2" not in caught.value.message
    assert "t0ken" not in caught.value.message
    assert "--url" in str(caught.value.hint)


@pytest.fixture
def certificate(need: Callable[[object, str], None], tmp_path: Path) -> Path:
    """A certificate with its key, signed by nobody but itself."""
    need(shutil.which("openssl"), "openssl is not installed")
    path = tmp_path / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", path, "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "cert.pem").read_text())
    return path


def _tls(server: Server, certificate: Path) -> str:
    """Make the server speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def deed(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as wrapped:
                server.answer(OK)(wrapped)
        except (ssl.SSLError, ConnectionError):
            return

    server.deeds = [deed]
    return server.url.replace("http:", "https:")


@pytest.mark.parametrize("mutation", [False, True])
def test_an_untrusted_certificate(mutation: bool, server: Server, certificate: Path, session: web.Session) -> None:
    url = _tls(server, certificate)
    with pytest.raises(errors.Unreachable, match=r"certificate of https://.* is not trusted: self.signed") as caught:
        send(session, url, mutation=mutation)
    assert not isinstance(caught.value, web.AnswerLost)
    assert "REQUESTS_CA_BUNDLE" in str(caught.value.hint)
    assert (server.connections, server.received) == (1, [])


def test_a_certificate_that_the_user_trusts(
    server: Server, certificate: Path, session: web.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
    assert send(session, _tls(server, certificate)).status_code == 200


def test_the_bundle_of_openssl_s_own_variable(
    server: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = _tls(server, certificate)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert send(web.session(_config(url)), url).status_code == 200
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(errors.NotSetUp, match=r"/nowhere/ca.pem") as caught:
        send(web.session(_config(url)), url)
    assert "SSL_CERT_FILE" in str(caught.value.hint)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))  # it goes first
    assert send(web.session(_config(url)), url).status_code == 200


def test_a_bundle_that_is_not_there(session: web.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(errors.NotSetUp, match=r"/nowhere/ca.pem") as caught:
        send(session, "https://127.0.0.1:1/graphql")
    assert "REQUESTS_CA_BUNDLE" in str(caught.value.hint)


def test_https_to_a_server_without_it(server: Server, session: web.Session) -> None:
    server.deeds = [lambda connection: (connection.recv(65536), connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"))[1]]
    with pytest.raises(errors.Unreachable, match="does not speak TLS") as caught:
        send(session, server.url.replace("http:", "https:"))
    assert "http://" in str(caught.value.hint)
    assert server.connections == 1


@responses.activate
@pytest.mark.parametrize("mutation", [False, True])
def test_tls_that_breaks_after_the_handshake_may_have_carried_the_request(mutation: bool, session: web.Session) -> None:
    sent = responses.post(URL, body=requests.exceptions.SSLError("decryption failed or bad record mac"))
    with pytest.raises(web.AnswerLost if mutation else errors.Unreachable):
        send(session, mutation=mutation)
    assert sent.call_count == 1


@responses.activate
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("mutation", [False, True])
def test_not_authorised(status: int, mutation: bool, session: web.Session) -> None:
    sent = responses.post(URL, status=status, body="token hunter2 refused")
    with pytest.raises(errors.NotAuthorised) as caught:
        send(session, mutation=mutation)
    assert caught.value.message == f"{URL} refused the request ({status})."
    assert "DAGSTER_GRAPHQL_TOKEN" in str(caught.value.hint)
    assert sent.call_count == 1
    session.http.auth = web.Identity({"Authorization": "Bearer hunter2"})
    with pytest.raises(errors.NotAuthorised) as caught:
        send(session, mutation=mutation)
    assert ("renew it" if status == 401 else "lacks the right") in str(caught.value.hint)
    assert sent.call_count == 2
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


@responses.activate
def test_not_authorised_because_the_token_was_withheld(session: web.Session) -> None:
    responses.post(URL, status=401)
    kept = web.Session(session.http, 5, 0, withheld="the token named by X was not sent, because of Y")
    with pytest.raises(errors.NotAuthorised) as caught:
        send(kept)
    assert "the token named by X was not sent, because of Y" in str(caught.value.hint)


@responses.activate
def test_what_dagster_plus_wants_is_said(session: web.Session) -> None:
    responses.post("https://shop.dagster.cloud/prod/graphql", status=401)
    with pytest.raises(errors.NotAuthorised) as caught:
        send(session, "https://shop.dagster.cloud/prod/graphql")
    assert "DAGSTER_CLOUD_API_TOKEN" in str(caught.value.hint)


# --- a token that is renewed


# Each request has a connection, and so a deed, of its own.
DONE = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def _status(status: int) -> bytes:
    return b"HTTP/1.1 %d Something\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status


@dataclass
class Secret:
    """Stands in for a file or a command: what it gives in turn, and how often it was read."""

    values: list[str | errors.NotSetUp]
    reads: int = 0

    def read(self, _timeout: float) -> dict[str, str]:
        value = self.values[min(self.reads, len(self.values) - 1)]
        self.reads += 1
        if isinstance(value, errors.NotSetUp):
            raise value
        return {"Authorization": value}


@pytest.fixture
def renewing(session: web.Session) -> Callable[..., Secret]:
    """The session has the token `old`, and reads these when it is refused."""

    def start(*values: str | errors.NotSetUp) -> Secret:
        secret = Secret(list(values))
        session.http.auth = web.Identity({"Authorization": "old"}, secret.read)
        return secret

    return start


@pytest.mark.parametrize("mutation", [False, True])
def test_a_refused_token_is_read_again(
    mutation: bool, server: Server, session: web.Session, renewing: Callable[..., Secret]
) -> None:
    """401 says that nothing was done, so a mutation goes out again, too; then the new token is kept."""
    secret = renewing("new", "newer")
    server.deeds = [server.answer(_status(401)), server.answer(DONE), server.answer(DONE), server.answer(_status(401))]
    for _ in range(2):
        assert send(session, server.url, mutation=mutation).status_code == 200
    assert _authorizations(server) == ["old", "new", "new"]
    with pytest.raises(errors.NotAuthorised):
        send(session, server.url, mutation=mutation)
    assert _authorizations(server)[3:] == ["new", "newer"]
    assert secret.reads == 2


@pytest.mark.parametrize(
    ("status", "value", "reads", "said"),
    [
        (401, "old", 1, r"refused the request \(401\)"),
        (
            401,
            errors.NotSetUp("The file is gone.", "Write it."),
            1,
            r"and there is no other: The file is gone",
        ),
        (403, "new", 0, r"refused the request \(403\)"),
    ],
)
def test_without_a_new_token_nothing_is_sent_again(
    status: int,
    value: Any,
    reads: int,
    said: str,
    server: Server,
    session: web.Session,
    renewing: Callable[..., Secret],
) -> None:
    secret = renewing(value)
    server.deeds = [server.answer(_status(status))]
    with pytest.raises(errors.NotAuthorised, match=said):
        send(session, server.url)
    assert (_authorizations(server), secret.reads) == (["old"], reads)


def test_a_mutation_whose_second_answer_is_lost_is_not_sent_a_third_time(
    server: Server, session: web.Session, renewing: Callable[..., Secret]
) -> None:
    renewing("new")
    server.deeds = [server.answer(_status(401)), server.close_read]
    with pytest.raises(web.AnswerLost):
        send(session, server.url, mutation=True)
    assert _authorizations(server) == ["old", "new"]


@pytest.mark.parametrize("way", ["token_file", "token_command", "token_env"])
def test_what_can_change_is_read_when_the_session_is_made_and_at_a_401(
    way: str, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token, calls = tmp_path / "token", tmp_path / "calls"
    token.write_text("one-1\n")
    monkeypatch.setenv("DAGLAB_MINE", "one-1")
    named = {"token_file": str(token), "token_command": f"sh -c 'echo x >>{calls}; cat {token}'"}
    flags = {"dagster.url": server.url, f"dagster.auth.{way}": named.get(way, "DAGLAB_MINE")}
    session = web.session(config.load(flags, environ={}))
    server.deeds = [server.answer(DONE), server.answer(_status(401)), server.answer(DONE)]
    with session.http:
        send(session, server.url)
        token.write_text("two-2\n")
        monkeypatch.setenv("DAGLAB_MINE", "two-2")
        if way == "token_env":
            with pytest.raises(errors.NotAuthorised):
                send(session, server.url)
        else:
            send(session, server.url)
    changed = [] if way == "token_env" else ["Bearer two-2"]
    assert _authorizations(server) == ["Bearer one-1", "Bearer one-1", *changed]
    assert not calls.exists() or calls.read_text() == "x\nx\n"
    assert "two-2" not in f"{session!r}{session.http.auth!r}"
    assert redaction.clean("one-1, two-2") == ("***, two-2" if way == "token_env" else "***, ***")


def _authorizations(server: Server) -> list[str]:
    return [re.findall(rb"(?m)^Authorization: (.*)\r$", request)[0].decode() for request in server.received]


# --- the sandbox


@pytest.mark.parametrize("operation", ["launchRun", "terminateRun", "report_asset_observation", "anything"])
def test_the_sandbox_sends_no_mutation(operation: str, server: Server) -> None:
    session = web.session(config.load({"security.sandbox_mode": True}, environ={}))
    for attempt in (
        lambda: web.permit(session, operation),
        lambda: web.send(session, "POST", server.url, operation=operation, json={}),
    ):
        with pytest.raises(errors.NotAuthorised, match=f"does not allow {operation}; nothing was sent") as caught:
            attempt()
        assert "security.allowed_operations" in str(caught.value.hint)
    assert server.connections == 0
    assert send(session, server.url).status_code == 200


def test_the_sandbox_sends_what_is_allowed(server: Server) -> None:
    flags = {"security.sandbox_mode": True, "security.allowed_operations": ("launchRun", "other")}
    session = web.session(config.load(flags, environ={}))
    assert send(session, server.url, mutation=True).status_code == 200
    with pytest.raises(errors.NotAuthorised):
        web.permit(session, "terminateRun")


def test_without_a_sandbox_its_list_means_nothing(server: Server) -> None:
    session = web.session(config.load({"security.allowed_operations": ("terminateRun",)}, environ={}))
    web.permit(session, "launchRun")
    assert send(session, server.url, mutation=True).status_code == 200


# --- proxies

TUNNEL_REFUSED = b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def through(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server is the proxy that the variables name."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:pr0xy-word@127.0.0.1:{server.port}")
    return server


def test_a_proxy_of_the_environment_is_used_and_gets_its_own_password(
    through: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_GRAPHQL_TOKEN", "hunter2")
    session = web.session(_config("http://dagster.test:3000"))
    with session.http:
        assert send(session).status_code == 200
    assert through.received[0].startswith(b"POST http://dagster.test:3000/graphql HTTP/1.1\r\n")
    headers = _arrived(through)
    assert headers["Authorization"] == "Bearer hunter2"
    assert headers["Proxy-Authorization"].startswith("Basic ")


def test_a_host_of_no_proxy_is_asked_itself(through: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    session = web.session(_config(through.url))
    with session.http:
        send(session, through.url)
    assert through.received[0].startswith(b"POST /graphql HTTP/1.1\r\n")
    assert "Proxy-Authorization" not in _arrived(through)


@pytest.mark.parametrize("mutation", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_to_know_who_we_are(
    mutation: bool, scheme: str, through: Server, session: web.Session
) -> None:
    through.deeds = [through.answer(TUNNEL_REFUSED % b"407 Proxy Authentication Required")]
    with pytest.raises(errors.NotAuthorised, match=rf"The proxy before {scheme}://.* wants to know who you") as caught:
        send(session, f"{scheme}://dagster.test/graphql", mutation=mutation)
    assert "HTTPS_PROXY" in str(caught.value.hint)
    assert "pr0xy-word" not in f"{caught.value.message}{caught.value.hint}"
    assert through.connections == 1


@pytest.mark.parametrize("mutation", [False, True])
def test_a_proxy_that_makes_no_tunnel_has_sent_nothing_on(
    mutation: bool, through: Server, session: web.Session
) -> None:
    through.deeds = [through.answer(TUNNEL_REFUSED % b"503 Service Unavailable")]
    with pytest.raises(errors.Unreachable, match=r"The proxy before https://.* can't be used: 503") as caught:
        send(session, "https://dagster.test/graphql", mutation=mutation)
    assert not isinstance(caught.value, web.AnswerLost)
    assert through.connections == 1 + RETRIES


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there(
    scheme: str, free_port: int, session: web.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{free_port}")
    with pytest.raises(errors.Unreachable, match=r"The proxy before .* can't be used: connection refused") as caught:
        send(session, f"{scheme}://dagster.test/graphql", mutation=True)
    assert "NO_PROXY" in str(caught.value.hint)


def test_a_mutation_whose_answer_a_proxy_loses_may_have_been_carried_out(through: Server, session: web.Session) -> None:
    """urllib3 says of this, too, that the proxy could not be connected to."""
    through.deeds = [through.close_read]
    with pytest.raises(web.AnswerLost):
        send(session, mutation=True)
    assert through.connections == 1


# --- what is sent, and what never shows


def _config(url: str, **environ: str) -> config.Config:
    return config.load({"dagster.url": url}, environ=environ)


def _arrived(server: Server) -> dict[str, str]:
    head = server.received[-1].partition(b"\r\n\r\n")[0].decode("latin-1")
    return dict(line.split(": ", 1) for line in head.split("\r\n")[1:])


def test_the_headers_of_a_request(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_GRAPHQL_TOKEN", " hunter2\n")
    session = web.session(_config(server.url), operation="0123abc")
    with session.http:
        send(session, server.url)
    headers = _arrived(server)
    assert headers["Authorization"] == "Bearer hunter2"
    assert headers["X-Daglab-Operation"] == "0123abc"
    assert headers["User-Agent"].startswith("daglab/")
    assert headers["Content-Type"] == "application/json"
    assert "hunter2" not in repr(session)
    assert "hunter2" not in repr(session.http.auth)


def test_a_netrc_is_not_read(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    session = web.session(_config(server.url))
    with session.http:
        send(session, server.url)
    assert "Authorization" not in _arrived(server)


def test_limits_come_from_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = {"dagster.graphql.timeout": 1.5, "dagster.graphql.max_retries": 7}
    session = web.session(config.load(flags, environ={}))
    session.http.close()
    assert (session.timeout, session.retries) == (1.5, 7)


@pytest.mark.parametrize("fault", [*FAULTS, "refused", "silent"])
@pytest.mark.parametrize("mutation", [False, True])
def test_errors_show_no_header_credential_or_query(
    fault: str, mutation: bool, server: Server, hasty: web.Session, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "daglab")
    hasty.http.auth = web.Identity({"Authorization": "Bearer hunter2"})
    server.deeds = [server.silence if fault in ("refused", "silent") else FAULTS[fault][0](server)]
    port = free_port if fault == "refused" else server.port
    with pytest.raises(errors.DaglabError) as caught:
        send(hasty, f"http://me:s3cret@127.0.0.1:{port}/graphql?sig=s1gnature", mutation=mutation)
    said = f"{caught.value.message} {caught.value.hint} {caught.value.result} {caplog.text}"
    assert f"http://127.0.0.1:{port}/graphql" in said
    for secret in ("hunter2", "s3cret", "s1gnature", "secret text", "Bearer"):
        assert secret not in said


@responses.activate
def test_the_log_lines(session: web.Session, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "daglab")
    responses.post(URL, status=503)
    responses.post(URL, body=requests.ConnectionError("x"))
    responses.post(URL, json={})
    send(session, f"{URL}?sig=s1gnature")
    lines = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(rf"POST {URL} 503 \d+ ms", lines[0])
    assert lines[1] == "again in 0.0 s"
    assert lines[2] == f"POST {URL} failed: ConnectionError"
    assert re.fullmatch(rf"POST {URL} 200 \d+ ms", lines[4])
    assert (len(lines), len(session.traffic.milliseconds), session.traffic.errors) == (5, 2, 1)


@pytest.mark.parametrize(
    ("url", "body"),
    [("http://[::1", None), ("nonsense://x/", None), ("http:///graphql", None), (URL, {"n": float("nan")})],
)
@pytest.mark.parametrize("mutation", [False, True])
def test_what_can_not_be_sent_was_not_sent(url: str, body: Any, mutation: bool, session: web.Session) -> None:
    with pytest.raises(errors.InvalidInput, match="can't be written"):
        send(session, url, mutation=mutation, body=body)

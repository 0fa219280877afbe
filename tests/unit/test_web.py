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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from daglab import config, errors, web

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

    monkeypatch.setattr(web, "_pause", none)
    return asked


@pytest.fixture
def session(pauses: list[tuple[Any, ...]]) -> Iterator[web.Session]:
    with requests.Session() as http:
        yield web.Session(http, timeout=5.0, retries=RETRIES)


@pytest.fixture
def hasty(session: web.Session) -> web.Session:
    """A session that gives up on an answer at once."""
    return web.Session(session.http, timeout=0.2, retries=RETRIES)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def send(session: web.Session, url: str = URL, *, mutation: bool = False, body: Any = None) -> requests.Response:
    return web.send(session, "POST", url, mutation=mutation, json={"query": "secret text"} if body is None else body)


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
    assert least <= web._pause(0, asked) <= most


@pytest.mark.parametrize("asked", [None, "", "soon", "-5", "1.5", "²", "Fri, 99 Xyz 1999 23:59:59 GMT"])
def test_a_pause_of_our_own_grows_and_has_an_end(asked: str | None) -> None:
    for attempt in range(8):
        longest = min(0.2 * 2**attempt, web.LONGEST_PAUSE)
        for _ in range(20):
            assert longest / 2 <= web._pause(attempt, asked) <= longest
    assert web._pause(60) <= web.LONGEST_PAUSE


def test_pauses_differ() -> None:
    assert len({web._pause(3) for _ in range(20)}) > 1


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
    session.http.auth = web._Bearer("hunter2")
    with pytest.raises(errors.NotAuthorised) as caught:
        send(session, mutation=mutation)
    assert "renew it" in str(caught.value.hint)
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


@responses.activate
def test_not_authorised_because_the_token_was_withheld(session: web.Session) -> None:
    responses.post(URL, status=401)
    kept = web.Session(session.http, 5, 0, withheld="the token named by X was not sent, because of Y")
    with pytest.raises(errors.NotAuthorised) as caught:
        send(kept)
    assert "the token named by X was not sent, because of Y" in str(caught.value.hint)


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


@pytest.mark.parametrize("token", ["two\nlines", "carriage\rreturn", "schlüssel", "nul\0", "tab\there", "\x1b[31m"])
def test_an_invalid_token_is_refused_and_not_shown(token: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token, encoding="utf-8")
    auth = config_auth(token_file=str(tmp_path / "token"))
    with pytest.raises(errors.NotSetUp, match="a test") as caught:
        web.read_token(auth, "a test")
    assert token not in f"{caught.value.message}{caught.value.hint}"
    assert caught.value.hint


@pytest.mark.parametrize("content", ["", "  \n"])
def test_an_empty_token_is_none(content: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(content)
    monkeypatch.setenv("MY_TOKEN", content)
    for auth in (config_auth(token_file=str(tmp_path / "token")), config_auth(token_env="MY_TOKEN")):
        with pytest.raises(errors.NotSetUp, match="that a test names has no token"):
            web.read_token(auth, "a test")


def test_a_token_of_a_command(tmp_path: Path) -> None:
    assert web.read_token(config_auth(token_command="printf '%s\\n' hunter2"), "a test") == "hunter2"
    for broken in ("sh -c 'echo hunter2; exit 1'", "true"):
        with pytest.raises(errors.NotSetUp, match="The command that a test names has no token"):
            web.read_token(config_auth(token_command=broken), "a test")
    with pytest.raises(errors.NotSetUp, match="can't be read: No closing quotation"):
        web.read_token(config_auth(token_command="echo 'hunter2"), "a test")


def test_a_token_file_that_is_not_there() -> None:
    with pytest.raises(errors.NotSetUp, match="that a test names can't be read: No such file"):
        web.read_token(config_auth(token_file="/nowhere/token"), "a test")


def config_auth(**named: str) -> Any:
    from daglab import config_keys

    return config_keys.Auth(**named)


@pytest.mark.parametrize("fault", [*FAULTS, "refused", "silent"])
@pytest.mark.parametrize("mutation", [False, True])
def test_errors_show_no_header_credential_or_query(
    fault: str, mutation: bool, server: Server, hasty: web.Session, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "daglab")
    hasty.http.auth = web._Bearer("hunter2")
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

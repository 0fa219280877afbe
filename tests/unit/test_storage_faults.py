"""What becomes of uploads to an S3 that is slow, gone, overloaded, elsewhere, or says what is not so."""

from __future__ import annotations

import base64
import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, web
from daglab.storage import objects, places, s3, transfers

HTML = b"<!doctype html>" + bytes(range(256)) * 2000
PLACE = places.Place("s3", "bucket", "p")
KEY = "p/a.html"
Fault = Callable[[Any], bool]  # given the request; whether that was all


@dataclass
class Server:
    """A store in memory: what came to it, and what goes wrong, in turn, with each request of a method."""

    url: str
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    kept: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def asked(self, method: str) -> list[dict[str, str]]:
        return [headers for each, _, headers in self.seen if each == method]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_test: Server

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> bool:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)
        return True

    def cut(self) -> bool:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True
        return True

    def serve(self) -> None:
        headers = {name.lower(): text for name, text in self.headers.items()}
        self.server_of_test.seen.append((self.command, self.path, headers))
        waiting = self.server_of_test.faults.get(self.command, [])
        if waiting:
            fault = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if fault(self):
                return
        body = self.rfile.read(int(headers.get("content-length", 0)))
        self.good(body, headers)

    def good(self, body: bytes, headers: dict[str, str]) -> None:
        if self.command == "PUT":
            self.server_of_test.kept[self.path] = body, headers
            self.answer(200, ETag=f'"{hashlib.md5(body).hexdigest()}"')
        elif self.path not in self.server_of_test.kept:
            self.answer(404)
        else:
            data, noted = self.server_of_test.kept[self.path]
            found = {"x_amz_meta_sha256": noted["x-amz-meta-sha256"], "Content_Length": str(len(data))}
            self.answer(200, ETag=f'"{hashlib.md5(data).hexdigest()}"', **found)

    do_PUT = do_GET = do_HEAD = do_DELETE = serve


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    kept = Server("")

    class Own(Handler):
        server_of_test = kept

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own) as listening:
        listening.daemon_threads = True
        kept.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", kept.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret-of-aws")
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(web, "delay", lambda *_: 0.0)
        monkeypatch.setattr(s3, "_regions", {})
        try:
            yield kept
        finally:
            kept.over.set()
            listening.shutdown()
            thread.join()


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "a.html"
    path.write_bytes(HTML)
    return path


def put(report: Path, timeout: float = 30) -> places.Stored:
    return objects.put(PLACE, KEY, report, content_type="text/html", timeout=timeout)


def ok(_: Any) -> bool:
    return False


def status(code: int, body: str = "", **headers: str) -> Fault:
    def fault(request: Any) -> bool:
        request.close_connection = True
        request.rfile.read(int(request.headers.get("Content-Length", 0)))
        request.answer(code, body.encode(), **headers)
        return True

    return fault


def cut_in_the_middle(request: Any) -> bool:
    request.rfile.read(1000)
    request.cut()
    return True


def cut_after(request: Any) -> bool:
    body = request.rfile.read(int(request.headers["Content-Length"]))
    headers = {name.lower(): text for name, text in request.headers.items()}
    request.server_of_test.kept[request.path] = body, headers
    request.cut()
    return True


def hang(request: Any) -> bool:
    request.server_of_test.over.wait(30)
    request.close_connection = True
    return True


SLOW = status(503, "<Error><Code>SlowDown</Code></Error>", Retry_After="1")


def test_what_is_sent(server: Server, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_GRAPHQL_TOKEN", "dagster-t0ken")
    (Path.home() / ".netrc").write_text("machine 127.0.0.1 login ann password netrc-s3cret\n")
    stored = put(report)
    digest = hashlib.sha256(HTML)
    assert stored.sha256 == digest.hexdigest()
    assert server.kept["/bucket/p/a.html"][0] == HTML
    (sent,) = server.asked("PUT")
    assert sent["x-amz-checksum-sha256"] == base64.b64encode(digest.digest()).decode()
    assert sent["x-amz-content-sha256"] == sent["x-amz-meta-sha256"] == digest.hexdigest()
    assert sent["content-type"] == "text/html"
    said = str(server.seen)
    assert "dagster-t0ken" not in said
    assert "netrc" not in said
    assert "s3cret-of-aws" not in said


@pytest.mark.parametrize(
    "faults",
    [[SLOW, SLOW, ok], [cut_in_the_middle, ok], [cut_after, ok], [status(500), ok], [status(429), status(502), ok]],
    ids=["slow-down", "cut", "answer-lost", "internal-error", "too-many"],
)
def test_an_upload_is_tried_again(server: Server, report: Path, faults: list[Fault]) -> None:
    server.faults["PUT"] = [*faults]
    assert put(report).bytes == len(HTML)
    assert len(server.asked("PUT")) == len(faults)
    assert [*server.kept] == ["/bucket/p/a.html"]


def test_an_answer_that_is_lost_each_time_is_settled_by_looking(server: Server, report: Path) -> None:
    server.faults["PUT"] = [cut_after]
    assert put(report).bytes == len(HTML)
    assert len(server.asked("PUT")) == transfers.TRIES


@pytest.mark.parametrize("before", [b"", b"something older"])
def test_nobody_can_tell(server: Server, report: Path, before: bytes) -> None:
    if before:
        server.kept["/bucket/p/a.html"] = before, {"x-amz-meta-sha256": hashlib.sha256(before).hexdigest()}
    server.faults["PUT"] = [cut_in_the_middle]
    with pytest.raises(errors.OutcomeUnknown, match="its answer was lost") as caught:
        put(report)
    assert "AKID" not in str(vars(caught.value))


def test_a_store_that_stays_overloaded(server: Server, report: Path) -> None:
    server.faults["PUT"] = server.faults["HEAD"] = [SLOW]
    with pytest.raises(errors.Unreachable, match="SlowDown 503"):
        put(report)
    with pytest.raises(errors.Unreachable, match="503"):
        objects.look(PLACE, KEY)


def test_a_store_that_is_gone(server: Server, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    with pytest.raises(errors.Unreachable, match="Nothing answers"):
        put(report)
    with pytest.raises(errors.Unreachable, match="Nothing answers"):
        objects.look(PLACE, KEY)


def test_a_store_that_hangs(server: Server, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.faults["PUT"] = [hang]
    started = time.monotonic()
    with pytest.raises(errors.OutcomeUnknown):
        put(report, timeout=0.6)
    assert time.monotonic() - started < 20


WRONG = hashlib.sha256(b"else").digest()


@pytest.mark.parametrize(
    "said",
    [
        {"ETag": f'"{"0" * 32}"'},
        {"x_amz_checksum_sha256": base64.b64encode(WRONG).decode(), "ETag": f'"{hashlib.md5(HTML).hexdigest()}"'},
        {"x_amz_meta_sha256": WRONG.hex()},
        {"Content_Length": "7", "ETag": f'"{hashlib.md5(HTML).hexdigest()}"'},
        {},
    ],
    ids=["md5", "sha256", "metadata", "size", "nothing"],
)
def test_a_store_that_says_something_else(server: Server, report: Path, said: dict[str, str]) -> None:
    server.faults["HEAD"] = [status(200, **{"Content_Length": str(len(HTML)), **said})]
    with pytest.raises(errors.OutcomeUnknown, match="something else than what was sent"):
        put(report)


@pytest.mark.parametrize(
    "said",
    [
        {"ETag": '"0123456789abcdef0123456789abcdef"', "x_amz_server_side_encryption": "aws:kms"},
        {"ETag": '"0123456789abcdef0123456789abcdef-2"'},
    ],
    ids=["encrypted", "in-parts"],
)
def test_what_is_no_checksum_is_not_taken_for_one(server: Server, report: Path, said: dict[str, str]) -> None:
    own = {"Content_Length": str(len(HTML)), "x_amz_meta_sha256": hashlib.sha256(HTML).hexdigest()}
    server.faults["HEAD"] = [status(200, **own, **said)]
    assert put(report).bytes == len(HTML)


def test_who_may_write_and_not_read(server: Server, report: Path) -> None:
    server.faults["HEAD"] = [status(403)]
    assert put(report).bytes == len(HTML)
    with pytest.raises(errors.NotAuthorised):
        objects.look(PLACE, KEY)


@pytest.mark.parametrize(
    "answer",
    [
        status(301, "<Error><Code>PermanentRedirect</Code></Error>", x_amz_bucket_region="eu-west-3"),
        status(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>"),
    ],
    ids=["redirect", "malformed"],
)
def test_a_bucket_of_another_region(server: Server, report: Path, answer: Fault) -> None:
    server.faults["PUT"] = [answer, ok]
    assert put(report).bytes == len(HTML)
    first, second = (each["authorization"] for each in server.asked("PUT"))
    assert "/us-east-1/s3/" in first
    assert "/eu-west-3/s3/" in second
    assert all("/eu-west-3/s3/" in each["authorization"] for each in server.asked("HEAD"))


@pytest.mark.parametrize("region", ["evil.example/x", "a b", ""])
def test_no_redirect_is_followed(server: Server, report: Path, region: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0)
        target = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/bucket/p/a.html"
        server.faults["PUT"] = [status(307, Location=target, x_amz_bucket_region=region)]
        with pytest.raises(errors.Unreachable, match="does not follow"):
            put(report)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert len(server.asked("PUT")) == 1


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        (400, "ExpiredToken", errors.NotAuthorised),
        (403, "AccessDenied", errors.NotAuthorised),
        (403, "RequestTimeTooSkewed", errors.NotAuthorised),
        (404, "NoSuchBucket", errors.InvalidInput),
        (400, "EntityTooLarge", errors.InvalidInput),
        (400, "BadDigest", errors.Unreachable),
        (418, "<b>&\x1b[31m", errors.InvalidInput),
    ],
)
def test_refusals(server: Server, report: Path, code: int, said: str, kind: type[errors.DaglabError]) -> None:
    server.faults["PUT"] = [status(code, f"<Error><Code>{said}</Code><Message>x</Message></Error>")]
    with pytest.raises(kind) as caught:
        put(report)
    assert type(caught.value) is kind
    assert caught.value.hint
    assert "\x1b" not in caught.value.message


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult><Contents><Key>&a;</Key></Contents></ListBucketResult>'


@pytest.mark.parametrize(
    "body",
    ["", "<html></html>", "{}", BOMB, "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", "\x00"],
)
def test_what_is_no_listing(server: Server, body: str) -> None:
    server.faults["GET"] = [status(200, body)]
    with pytest.raises(errors.Unreachable, match="listing"):
        list(objects.listing(PLACE))


def test_an_answer_without_an_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "LARGEST_ANSWER", 1000)
    server.faults["GET"] = [status(200, "x" * 2000)]
    with pytest.raises(errors.Unreachable):
        list(objects.listing(PLACE))


def test_a_file_that_is_too_large(server: Server, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "LARGEST_BODY", 1000)
    with pytest.raises(errors.InvalidInput, match="1,000 at most"):
        put(report)
    assert server.seen == []


@pytest.mark.parametrize("text", ["ü", "a\r\nX-Evil: 1", " a", "a\x00"])
def test_metadata_that_no_header_can_carry(server: Server, report: Path, text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="can't be sent"):
        objects.put(PLACE, KEY, report, content_type="text/html", metadata={"notebook": text}, timeout=5)
    assert server.seen == []


def test_a_presigned_address_against_the_same(server: Server, report: Path) -> None:
    secret = "f00df00df00df00d"
    place = places.parse(f"{server.url}/bucket/in.html?X-Amz-Signature={secret}")

    def send() -> places.Stored:
        return objects.put(place, "x", report, content_type="text/html", metadata={"a": "b"}, timeout=5)

    assert send().address == f"{server.url}/bucket/in.html"
    sent = server.asked("PUT")[0]
    assert sent["content-md5"] == base64.b64encode(hashlib.md5(HTML).digest()).decode()
    assert not {"authorization", "x-amz-meta-a", "x-amz-date"} & {*sent}
    wrong = {
        status(403): errors.NotAuthorised,
        status(302, Location="http://127.0.0.1:1/"): errors.Unreachable,
        status(200, ETag=f'"{"0" * 32}"'): errors.OutcomeUnknown,
        cut_in_the_middle: errors.OutcomeUnknown,
        SLOW: errors.Unreachable,
    }
    for fault, kind in wrong.items():
        server.faults["PUT"] = [fault]
        with pytest.raises(kind) as caught:
            send()
        assert type(caught.value) is kind
        assert secret not in str(vars(caught.value)) + repr(place)

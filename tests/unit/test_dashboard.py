"""The dashboard: what it answers, what it refuses, and that whatever a name holds stays text."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import gzip
import hashlib
import html.parser
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import errors, processes, redaction, snapshot
from daglab.dashboard import board, drawing, pages, published, routes, server
from daglab.dashboard.latest import Latest
from daglab.exported import export_record
from daglab.settings import config

Cli = Callable[..., Any]
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;{{ 7*7 }}\u202e\x1b[31m"
SECRET = "the-secret-of-a-file"
NOW = datetime.now(timezone.utc)


def event(number: int = 0, at: datetime | None = None, **more: Any) -> dict[str, Any]:
    line = {
        "v": 1,
        "id": f"{number:032x}",
        "at": (at or NOW - timedelta(minutes=number)).isoformat(timespec="milliseconds"),
        "command": "run",
        "target": "asset:orders",
        "ok": True,
        "exit_code": 0,
        "error_code": None,
        "seconds": 1.5,
        "runs": [],
        "requests": {"n": 1, "errors": 0, "ms": [7]},
        "bytes": None,
        "rss_peak": 1,
        "usage": [],
        "detail": {},
    }
    return {**line, **more}


def record(root: Path, *lines: dict[str, Any]) -> None:
    for line in lines:
        path = root / ".daglab" / "events" / f"{line['at'][:7]}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def export(root: Path, output: str, content: bytes = b"<p>hello</p>", write: bool = True, **more: Any) -> None:
    """An export on record, as `daglab export` writes it."""
    path = root / output
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    line = {
        "v": 1,
        "id": os.urandom(16).hex(),
        "notebook": "dagster/notebooks/orders.py",
        "output": output,
        "ok": True,
        "exported_at": NOW.isoformat(),
        "expires_at": (NOW + timedelta(days=30)).isoformat(),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "targets": ["asset:orders"],
        "link": f"http://127.0.0.1:3030/{output}",
    }
    (root / ".daglab").mkdir(exist_ok=True)
    with (root / export_record.FILE).open("a") as file:
        file.write(json.dumps({**line, **more}) + "\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / ".daglab" / "events").mkdir(parents=True)
    (root / "daglab.yaml").write_text("version: 1\ndagster:\n  url: http://127.0.0.1:9\n")
    (root / "secret.txt").write_text(SECRET)
    (tmp_path / "outside.txt").write_text(SECRET)
    return root


def settings(root: Path, **more: Any) -> config.Config:
    return config.load(more, directory=root, environ={})


@pytest.fixture
def serve(project: Path) -> Iterator[Callable[..., int]]:
    """`serve()` starts a server over the project in this process; its port."""
    with contextlib.ExitStack() as stack:

        def start(**more: Any) -> int:
            what = board.make(settings(project, **more))
            serving = stack.enter_context(server.make(0, functools.partial(routes.answer, what)))
            threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True).start()
            stack.callback(serving.shutdown)
            return serving.server_port

        yield start


def raw(port: int, request: bytes, seconds: float = 30) -> bytes:
    """What is answered to these bytes, to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := sock.recv(65536):
                answer += piece
    return answer


def get(port: int, target: str | bytes, *headers: str, method: str = "GET", host: str | None = None) -> bytes:
    line = target if isinstance(target, bytes) else target.encode("utf-8")
    named = f"Host: {host or f'127.0.0.1:{port}'}"
    rest = "".join(f"{each}\r\n" for each in (named, *headers)).encode()
    return raw(port, method.encode() + b" " + line + b" HTTP/1.1\r\n" + rest + b"\r\n")


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# --- what it answers


def test_the_routes(serve: Callable[..., int], project: Path) -> None:
    record(project, event(2, ok=False, exit_code=4, error_code="not_good"), event(1))
    url = f"http://127.0.0.1:{serve()}"
    assert requests.get(f"{url}/health", timeout=30).json()["status"] == "ok"
    storage = requests.get(f"{url}/health/storage", timeout=30)
    assert (storage.status_code, storage.json()["status"]) == (200, "healthy")
    assert {"check", "status", "detail", "ms", "checks"} == set(storage.json())
    ready = requests.get(f"{url}/health/ready", timeout=60)
    assert (ready.status_code, ready.json()["status"]) == (503, "down")
    assert requests.get(f"{url}/health/models", timeout=30).status_code == 200
    assert requests.get(f"{url}/health/dagster", timeout=30).status_code == 503
    unknown = requests.get(f"{url}/health/nope", timeout=30)
    assert (unknown.status_code, unknown.json()["status"]) == (404, "unknown")
    metrics = requests.get(f"{url}/metrics", timeout=30)
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "daglab_" in metrics.text
    found = requests.get(f"{url}/api/snapshot", timeout=30).json()
    assert (found["ok"], found["all"]["events"], found["dagster"]["state"]) == (True, 2, "unreachable")
    assert [each["error_code"] for each in found["operations"]] == [None, "not_good"]
    for path in ("/", "/dashboard", "/?x=1"):
        page = requests.get(url + path, timeout=30)
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "not_good" in page.text
    parts = requests.get(f"{url}/parts", timeout=30).json()
    assert set(parts["parts"]) == set(pages.LABELS) - {"collections"}  # no cluster in the config
    head = requests.head(f"{url}/health", timeout=30)
    assert (head.status_code, head.content, int(head.headers["Content-Length"]) > 10) == (200, b"", True)


def test_the_headers_of_every_answer(serve: Callable[..., int], project: Path) -> None:
    export(project, "exports/a.html")
    port = serve()
    for path in ("/", "/parts", "/health", "/health/nope", "/metrics", "/exports/a.html", "/nothing"):
        headers = requests.get(f"http://127.0.0.1:{port}{path}", timeout=60).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        assert (headers["Server"], "Python" in str(headers)) == ("daglab", False)
    page = requests.get(f"http://127.0.0.1:{port}/", timeout=30)
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        [text] = re.findall(f"<{tag}>(.*?)</{tag}>", page.text, re.DOTALL)
        assert f"{tag}-src '{pages._hash(text)}'" in policy
    assert re.findall(r"\sstyle=|\son\w+=|javascript:", page.text) == []


@pytest.mark.parametrize("is_packed", [False, True])
def test_an_export_on_record_is_served_without_an_origin(
    serve: Callable[..., int], project: Path, is_packed: bool
) -> None:
    content = b"<p>caf\xc3\xa9</p>"
    name = "exports/caf\u00e9 #1?.html" + (".gz" if is_packed else "")
    export(project, name, gzip.compress(content) if is_packed else content)
    export(project, "build/elsewhere.html")
    port = serve()
    [line] = [each for each in published.listed(project, NOW) if each["output"] == name]
    answer = requests.get(f"http://127.0.0.1:{port}{published.address(line)}", timeout=30)
    assert (answer.status_code, answer.content) == (200, content)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "same-origin" not in policy
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert requests.get(f"http://127.0.0.1:{port}/build/elsewhere.html", timeout=30).status_code == 200


def wrong_exports(project: Path, tmp_path: Path) -> None:
    """One good export on record, and each that is not to be served."""
    export(project, "exports/good.html")
    export(project, "exports/expired.html", expires_at=(NOW - timedelta(seconds=1)).isoformat())
    export(project, "exports/changed.html")
    (project / "exports/changed.html").write_bytes(b"<p>HELLO</p>")
    export(project, "exports/gone.html", write=False)
    export(project, "exports/folder.html", write=False, bytes=4096)
    (project / "exports/folder.html").mkdir()
    os.mkfifo(project / "exports/pipe.html")
    export(project, "exports/pipe.html", b"", write=False)
    text = SECRET.encode()
    (project / "exports/link.html").symlink_to(project / "secret.txt")
    export(project, "exports/link.html", text, write=False)
    (project / "linked").symlink_to(tmp_path)
    export(project, "linked/outside.txt", text, write=False)
    for hostile in (str(tmp_path / "outside.txt"), "../outside.txt", "exports/../../outside.txt", "./secret.txt"):
        export(project, hostile, text, write=False)
    export(project, "secret.txt", text, write=False, sha256="0" * 64)
    export(project, ".env", text)
    export(project, "exports/nul\0.html", write=False)
    export(project, "exports/" + "x" * 5000, write=False)
    for wrong in ({"bytes": "12"}, {"bytes": True}, {"bytes": -1}, {"bytes": None}, {"sha256": None}):
        export(project, f"exports/{len(str(wrong))}{next(iter(wrong.values()))}.html", **wrong)
    with (project / export_record.FILE).open("a") as file:
        file.write('[]\n{"v": 1, "id": 5, "output": "x"}\n{"v": 1, "id": "x", "output": ["x"]}\n{torn\n')


def test_what_is_on_record_and_not_served(serve: Callable[..., int], project: Path, tmp_path: Path) -> None:
    """Each is refused; the same without what is wrong with it is served."""
    wrong_exports(project, tmp_path)
    port = serve()
    lines = export_record.standing(project)
    assert len(lines) > 15
    for line in lines:
        good = line["output"] == "exports/good.html"
        answer = get(port, published.address(line))
        assert status(answer) == (200 if good else 404 if "\0" not in line["output"] else 400), line["output"][:60]
        assert SECRET.encode() not in answer
    assert status(get(port, "/")) == 200
    assert SECRET.encode() not in get(port, "/parts")


def test_an_export_that_was_taken_away_is_not_served(serve: Callable[..., int], project: Path) -> None:
    export(project, "exports/a.html", id="a" * 32)
    port = serve()
    assert status(get(port, "/exports/a.html")) == 200
    with (project / export_record.FILE).open("a") as file:
        file.write(json.dumps({"v": 1, "expired": "a" * 32, "at": NOW.isoformat()}) + "\n")
    assert status(get(port, "/exports/a.html")) == 404


# --- what it refuses


@pytest.mark.parametrize(
    "host",
    ["evil.test", "evil.test:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.test:{port}", "0.0.0.0:{port}", ""],
)
def test_a_foreign_host_is_refused(serve: Callable[..., int], host: str) -> None:
    port = serve()
    for path in ("/", "/health", "/api/snapshot", "/nothing"):
        named = host.format(port=port)
        answer = raw(port, f"GET {path} HTTP/1.1\r\nHost: {named}\r\n\r\n".encode())
        assert status(answer) == 421


def test_our_own_names_are_taken(serve: Callable[..., int]) -> None:
    port = serve()
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        assert status(get(port, "/health", host=f"{name}:{port}")) == 200


def test_a_request_with_no_host_or_with_two(serve: Callable[..., int]) -> None:
    port = serve()
    assert status(raw(port, b"GET /health HTTP/1.1\r\n\r\n")) == 421
    assert status(get(port, "/health", "Host: evil.test")) == 421
    assert status(get(port, "/health", "X: y", host=f"127.0.0.1:{port}\r\nHost: 127.0.0.1:{port}")) == 421
    assert status(raw(port, f"GET http://evil.test/health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())) == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"])
def test_nothing_but_get_and_head(serve: Callable[..., int], method: str) -> None:
    answer = get(serve(), "/health", "Content-Length: 5", method=method)
    assert (status(answer), b"Allow: GET, HEAD" in answer) == (405, True)


def test_a_body_does_not_take_the_answer_away(serve: Callable[..., int]) -> None:
    port = serve()
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 200000\r\n\r\n"
    assert status(raw(port, head.encode() + b"x" * 200_000)) == 405


TRAVERSALS = [
    "/../secret.txt",
    "/exports/../secret.txt",
    "/exports/..%2fsecret.txt",
    "/exports/%2e%2e/secret.txt",
    "/exports/%2e%2e%2fsecret.txt",
    "/exports/%252e%252e%252fsecret.txt",
    "/exports/..%252fsecret.txt",
    "/exports/..\\secret.txt",
    "/exports/..%5csecret.txt",
    "/exports/%c0%ae%c0%ae/secret.txt",
    "/exports/%e0%80%ae%e0%80%ae/secret.txt",
    "/exports/%u002e%u002e/secret.txt",
    "/exports/....//secret.txt",
    "/exports/..;/secret.txt",
    "/exports/a.html%00/../../secret.txt",
    "/exports/a.html/../../secret.txt",
    "/exports/a.html/",
    "/exports//a.html",
    "/exports/./a.html",
    "/exports/a.html%0d%0aX-Evil: 1",
    "/exports/\uff0e\uff0e/secret.txt",
    "//etc/passwd",
    "/%2fetc/passwd",
    "///etc/passwd",
    "/exports/",
    "/exports",
    "/.daglab/exports.jsonl",
    "/daglab.yaml",
    "/secret.txt",
    "/health/../secret.txt",
    "/health/ready/../../secret.txt",
    "/health/%2e%2e/secret.txt",
    "/dashboard/../secret.txt",
    "file:///etc/passwd",
    "*",
    "",
    "secret.txt",
    "/%",
    "/%zz",
    "/%ff",
    "/\x7f",
    "/\x01",
]


@pytest.mark.parametrize("target", TRAVERSALS)
def test_no_path_leads_elsewhere(serve: Callable[..., int], project: Path, target: str) -> None:
    export(project, "exports/a.html")
    answer = get(serve(), target)
    assert status(answer) in (400, 404, 505), answer[:200]
    assert SECRET.encode() not in answer
    assert b"root:" not in answer
    assert b"Traceback" not in answer
    assert b"X-Evil" not in answer.partition(b"\r\n\r\n")[0]


def test_whatever_comes_it_goes_on(serve: Callable[..., int]) -> None:
    port, rng = serve(), random.Random(7)
    for _ in range(200):
        junk = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 300)))
        answer = raw(port, junk + b"\r\n\r\n")
        assert b"Traceback" not in answer
        assert not answer or status(answer) >= 400
    assert status(get(port, "/health")) == 200


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /{long} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nX: {long}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\n{many}\r\n",
    ],
)
def test_a_huge_head_is_refused(serve: Callable[..., int], request_text: str) -> None:
    port = serve()
    many = "".join(f"X-{number}: y\r\n" for number in range(5000))
    text = request_text.format(host=f"127.0.0.1:{port}", long="x" * 100_000, many=many)
    answer = raw(port, text.encode())
    assert not answer or status(answer) == 431
    assert status(get(port, "/health")) == 200


@pytest.mark.parametrize(
    "line", ["GET /", "GET / HTTP/0.9", "GET / HTTP/2.0", "GET / HTTP/x", "GET", "GET / / HTTP/1.1"]
)
def test_what_is_no_http_of_ours(serve: Callable[..., int], line: str) -> None:
    port = serve()
    answer = raw(port, f"{line}\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    assert b"<html" not in answer
    assert not answer.startswith(b"HTTP") or status(answer) in (400, 421, 505)


def test_slow_clients_do_not_keep_others_out(serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than there are places, each with a letter now and then: who has something to ask is answered."""
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 8)
    monkeypatch.setattr(server, "HEAD_SECONDS", 3600.0)
    port = serve()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(30)]
        for _ in range(3):
            for sock in slow:
                with contextlib.suppress(OSError):
                    sock.sendall(b"G")
            assert status(get(port, "/health")) == 200


def test_a_slow_head_is_not_waited_for(serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is for all of it, however often a letter comes."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    port = serve()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        over = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not over.wait(0.05):
                    sock.sendall(b"G")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with contextlib.suppress(ConnectionError):
                answer = sock.recv(4096)
                assert not answer or status(answer) == 431
        finally:
            over.set()
            thread.join()


# --- what stays text


class Markup(html.parser.HTMLParser):
    """The tags of a page, and the attributes that could do something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.active: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            leads = name in ("href", "src", "action", "xlink:href") and not re.match(
                r"https?://|/|#|data:,$", value or ""
            )
            if name.startswith("on") or name in ("style", "srcdoc", "formaction") or leads:
                self.active.append((name, value))


def hostile(project: Path) -> config.Config:
    """A project where every name is an attack."""
    usage = [{"name": EVIL, "amount": 5, "labels": {"model": EVIL, "kind": EVIL}}]
    lines = [event(n, command=EVIL, target=EVIL, ok=False, error_code=EVIL, runs=[EVIL], usage=usage) for n in (1, 2)]
    record(project, *lines)
    record(project, event(3, id=[EVIL], target={"a": EVIL}, seconds=EVIL, exit_code=EVIL, usage=[]))
    export(
        project, f"exports/{EVIL.replace('/', '_')}.html", targets=[EVIL, 5], notebook=EVIL, link=f"javascript:{EVIL}"
    )
    export(
        project, "exports/b.html", link="javascript:alert(1)", targets="x", notebook=5, exported_at=5, expires_at=[5]
    )
    for name in (EVIL.replace("/", "_"), "cache"):
        (project / ".daglab" / name).mkdir()
        (project / ".daglab" / name / "x").write_text("x")
    more = settings(project)
    return dataclasses.replace(more, models=({"name": EVIL},))


def standing() -> dict[str, Any]:
    """A deployment where every name is an attack."""
    run = {"run_id": EVIL, "status": EVIL, "job": None, "assets": [EVIL], "partition": EVIL}
    return {
        "version": EVIL,
        "locations": [{"name": EVIL, "loaded": False, "error": EVIL}],
        "daemons": [{"name": EVIL, "required": True, "healthy": False}],
        "runs": [{**run, "url": "javascript:alert(1)", "started_at": EVIL}],
        "more_runs": True,
    }


@pytest.mark.parametrize("served", [True, False])
def test_script_in_every_name_stays_text(project: Path, monkeypatch: pytest.MonkeyPatch, served: bool) -> None:
    monkeypatch.setattr(snapshot.deployments, "connect", lambda *_: None)
    monkeypatch.setattr(snapshot.deployments, "standing", lambda _: standing())
    dev = {"running": True, "ready": True, EVIL: {"alive": True, "url": f"javascript:{EVIL}", "pid": 1}}
    monkeypatch.setitem(snapshot.PARTS, "dev", lambda _: dev)
    what = board.make(hostile(project))
    text = routes.whole(what, 60.0, served=served)
    found = Markup()
    found.feed(text)
    assert found.active == []
    assert found.tags.count("script") == (1 if served else 0)
    assert "img" not in found.tags
    assert text.count("alert(1)") > 20
    shown = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)
    assert "<script>alert" not in shown
    assert "49" not in re.findall(r"amp;(.{2,10})", shown)
    assert ("http-equiv" in text) is not served
    parts = json.loads(routes.answer(what, "/parts").content)["parts"]
    for name, part in parts.items():
        look = Markup()
        look.feed(part["html"])
        assert (look.active, "script" in look.tags, "img" in look.tags) == ([], False, False), name


def test_a_secret_reaches_no_page(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_secrets", set())
    redaction.hide("tok-123456")
    record(project, event(1, target="asset:tok-123456"))
    what = board.make(settings(project))
    for target in ("/", "/parts", "/api/snapshot", "/metrics"):
        assert b"tok-123456" not in routes.answer(what, target).content


def test_an_error_inside_says_nothing(serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(routes, "whole", broken)
    answer = get(serve(), "/")
    assert (status(answer), SECRET.encode() in answer, b"Traceback" in answer) == (500, False, False)


def test_a_disk_that_fails_takes_nothing_else_away(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has what can be had, and says what can't."""
    what = board.make(settings(project))

    def fail(*_: object, **__: object) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(snapshot, "figures", fail)
    monkeypatch.setattr(snapshot, "last_operations", fail)
    found = board.document(what, 30)
    assert found["pending"] == []
    assert found["lanes"] == []
    assert [each["message"] for each in found["problems"] if each["part"] == "figures"] == [
        "[Errno 5] Input/output error"
    ]
    assert found["series"] == board.NO_FIGURES["series"]
    assert found["disk"] is not None


def test_hostile_files_take_nothing_away(serve: Callable[..., int], project: Path) -> None:
    record(project, event(1))
    folder = project / ".daglab" / "events"
    (folder / "2020-01.jsonl").write_bytes(b"\0\xff" * 1000 + b'\n{"v": 1}\n[]\n' + b"[" * 100_000 + b"\n")
    (folder / "2020-02.jsonl").symlink_to(project / "secret.txt")
    os.mkfifo(folder / "2020-03.jsonl")
    (project / ".daglab" / "dev.json").write_text('{"dagster": {"pid": "x"}}')
    port = serve()
    assert status(get(port, "/")) == 200
    found = requests.get(f"http://127.0.0.1:{port}/api/snapshot", timeout=60).json()
    assert found["operations"][0]["command"] == "run"


def test_it_writes_nothing(serve: Callable[..., int], project: Path) -> None:
    record(project, event(1))
    export(project, "exports/a.html")

    def look() -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in project.rglob("*") if path.is_file()
        }

    before = look()
    port = serve()
    for path in ("/", "/parts", "/health", "/health/dagster", "/metrics", "/api/snapshot", "/exports/a.html", "/x"):
        get(port, path)
    assert look() == before


# --- what is kept in memory


def test_figures_are_reckoned_anew_for_new_events_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(project, event(1))
    counted: list[int] = []
    inner = snapshot.figures
    monkeypatch.setattr(snapshot, "figures", lambda *given: counted.append(1) or inner(*given))
    what = board.make(settings(project))
    for _ in range(5):
        assert what.figures.get(60.0)["all"]["events"] == 1  # type: ignore[index]
    assert len(counted) == 1
    record(project, event(2))
    assert what.figures.get(60.0)["all"]["events"] == 2  # type: ignore[index]
    assert len(counted) == 2


def test_many_that_ask_are_one_that_looks() -> None:
    looks: list[int] = []
    go = threading.Event()

    def find() -> int:
        looks.append(1)
        go.wait(30)
        return len(looks)

    latest = Latest(find, lambda: 0)
    assert latest.get(0.0) is None
    found: list[int | None] = []
    threads = [threading.Thread(target=lambda: found.append(latest.get(30))) for _ in range(10)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert (found, looks) == ([1] * 10, [1])


def test_what_fails_leaves_the_value_before() -> None:
    marks, values = [0], [5]

    def find() -> int:
        if marks[0] == 1:
            raise ValueError
        return values[0]

    latest = Latest(find, lambda: marks[0])
    assert latest.get(30) == 5
    marks[0], values[0] = 1, 6
    assert latest.get(30) == 5
    marks[0] = 2
    assert latest.get(30) == 6


# --- what is drawn


def test_buckets_hold_the_sums_of_their_hours() -> None:
    now = datetime(2026, 3, 4, 12, 30, tzinfo=timezone.utc)
    rng = random.Random(3)
    series, oracle = [], {}
    for hours in range(100):
        at = now.replace(minute=0) - timedelta(hours=hours)
        n = rng.randrange(1, 9)
        row = {"n": n, "failed": 0, "seconds_mean": 3.0, "requests": 2 * n, "usage": {"tokens": n}}
        series.append({"at": at.isoformat(), **row})
        oracle[at.timestamp()] = n
    old = {"at": (now - timedelta(days=40)).isoformat(), "n": 9, "failed": 0, "seconds_mean": None, "requests": 0}
    series.append({**old, "usage": {}})
    found = drawing._buckets(series, now, timedelta(hours=1), 48)
    assert all(each["requests"] == 2 * each["n"] for _, each in found)
    assert [at for at, _ in found] == sorted(oracle)[-48:]
    assert all(each["n"] == oracle[at] == each["usage"]["tokens"] for at, each in found)
    days = drawing._buckets(series, now, timedelta(days=1), 30)
    assert sum(each["n"] for _, each in days) == sum(oracle.values())
    assert days[-1][1]["n"] == sum(n for at, n in oracle.items() if at >= now.replace(hour=0, minute=0).timestamp())
    assert {each["seconds"] for _, each in days if each["n"]} == {3.0}
    assert days[0][1]["seconds"] is None


def test_lanes_hold_the_operations_of_a_day() -> None:
    lines = [event(n, command=f"c{n % 3}", ok=n % 5 > 0, seconds=None if n == 1 else 60.0) for n in range(40)]
    lines.append(event(9, at=NOW - timedelta(days=2)))
    lanes = drawing.lanes(lines, NOW)
    assert [lane["name"] for lane in lanes] == ["c0", "c1", "c2"]
    assert sum(lane["svg"].count("<rect") for lane in lanes) == 40
    assert sum(lane["svg"].count('class="bad"') for lane in lanes) == 8
    for x, width in re.findall(r'width="([\d.]+)" x="([\d.]+)"', "".join(lane["svg"] for lane in lanes)):
        assert float(x) <= 1000 >= float(width)


# --- the command


def test_the_command_serves_and_ends(cli: Cli, project: Path) -> None:
    port = processes.find_free_port()
    command = [sys.executable, "-m", "daglab", "dashboard", "--port", str(port), "--json"]
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = subprocess.Popen(
            command,
            cwd=project,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        text = ""
        while not text.endswith("}\n"):
            line = (process.stdout or sys.stdin).readline()
            assert line, process.communicate()
            text += line
        found = json.loads(text)
        assert (found["ok"], found["url"], found["pid"]) == (True, f"http://127.0.0.1:{port}", process.pid)
        assert requests.get(f"{found['url']}/health", timeout=30).status_code == 200
        taken = cli("dashboard", "--port", str(port), "--json", cwd=project)
        assert (taken.exit_code, "--port" in json.loads(taken.stdout)["error"]["hint"]) == (8, True)
        with socket.create_connection(("127.0.0.1", port)):  # who dawdles does not keep it
            process.send_signal(number)
            assert process.wait(timeout=30) == code
        assert "dashboard.port" in (process.stderr or sys.stdin).read()
        for stream in (process.stdout, process.stderr):
            assert stream
            stream.close()


def test_the_page_as_one_file(cli: Cli, project: Path) -> None:
    record(project, event(1))
    done = cli("dashboard", "--output", "out/page.html", "--json", cwd=project)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    text = (project / "out" / "page.html").read_text()
    assert (found["bytes"], found["output"]) == (len(text.encode()), str(project / "out" / "page.html"))
    assert "http-equiv" in text
    assert "<script" not in text
    assert "asset:orders" in text
    assert re.findall(r'(?:src|href)="(?!#|data:,|http://127)', text) == []
    before = json.loads((project / ".daglab/events" / f"{NOW:%Y-%m}.jsonl").read_text().splitlines()[-1])
    assert (before["command"], before["bytes"]) == ("dashboard", found["bytes"])
    assert cli("dashboard", "--output", "x.html", "--open", cwd=project).exit_code == 2
    assert cli("dashboard", "--output", "/dev/full", cwd=project).exit_code == 7
    assert os.listdir(project / "out") == ["page.html"]


def test_the_page_is_opened(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from daglab.commands import dashboard

    opened: list[str] = []
    monkeypatch.setattr(dashboard.webbrowser, "open", lambda address: opened.append(address) or True)
    monkeypatch.setattr(dashboard, "_tell", lambda *_, **__: None)
    port = processes.find_free_port()

    def stop(*_: object) -> None:
        deadline = time.monotonic() + 30
        while not opened and time.monotonic() < deadline:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "is_alive", stop)  # what it asks while it waits
    with pytest.raises(KeyboardInterrupt):
        dashboard.serve(settings(project), port, opens=True, as_json=False)
    assert opened == [f"http://127.0.0.1:{port}/"]


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(errors.Taken, match=f"Port {port} is taken"):
            server.make(port, lambda _: routes.refused(404, "x"))


@pytest.mark.parametrize("address", [None, 7, "http://[half", "javascript:alert(1)", "http:/x", "file:///etc/passwd"])
def test_only_addresses_of_the_web_become_links(address: object) -> None:
    assert pages._link(address) is None
    assert pages._link("https://x.test/a") == "https://x.test/a"


def test_what_is_not_known_yet_has_no_chart_and_no_rows() -> None:
    assert drawing.over_time(None, NOW) == []
    assert pages._clusters(None) is None


def test_a_port_that_can_not_be_had_for_another_reason_is_the_systems_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    monkeypatch.setattr(server, "Server", fail)
    with pytest.raises(OSError, match="requested address"):
        server.make(0, lambda *_: None)  # type: ignore[arg-type,return-value]

"""A reverse proxy as companies put it before Dagster: it lives under a path, and lets nobody through without a secret.

A process of its own, which repeats a token that it refuses, as some do. What it demands stands in a JSON file, which
is read at each request:

    kind     bearer, basic, custom (in X-Api-Key), or dagster-plus
    secret   what has to be sent; NAME:PASSWORD for basic
    also     further headers that have to be there
    rotate   {at, nth, secret, file}: at the nth request of the GraphQL operation `at`, the secret is another one from
             now on, and stands in that file
    busy     {at, nth, seconds}: the nth request of `at` gets 429 with Retry-After
    log      the file that gets a line of JSON for each request
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ANSWERS = {401: "no secret, or a wrong one:", 404: "nothing here", 429: "not so fast"}
DROPPED = ("host", "connection", "authorization", "x-api-key", "dagster-cloud-api-token", "accept-encoding")


class Gate:
    """What is demanded now, and what came so far; both begin anew with another file."""

    def __init__(self, control: Path) -> None:
        self.control = control
        self.text = ""
        self.demands: dict[str, Any] = {}
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()

    def judge(self, headers: Any, name: str) -> tuple[int, dict[str, str]]:
        """The status that a request gets, 200 for one that is let through, and the headers of a refusal."""
        with self.lock:
            self._reread()
            self.counts[name] += 1
            if self._is_due("rotate", name):
                self._rotate(**self.demands["rotate"])
            if not self._is_let_through(headers):
                return 401, {"WWW-Authenticate": 'Basic realm="shop"'}
            if self._is_due("busy", name):
                return 429, {"Retry-After": str(self.demands["busy"]["seconds"])}
            return 200, {}

    def note(self, **said: Any) -> None:
        with self.lock, open(self.demands["log"], "a", encoding="utf-8") as log:
            log.write(json.dumps(said) + "\n")

    def _reread(self) -> None:
        text = self.control.read_text(encoding="utf-8")
        if text != self.text:
            self.text, self.demands = text, json.loads(text)
            self.counts.clear()

    def _is_due(self, what: str, name: str) -> bool:
        event = self.demands.get(what)
        return bool(event and event["at"] == name and event["nth"] == self.counts[name])

    def _rotate(self, *, secret: str, file: str, **_when: Any) -> None:
        Path(f"{file}.new").write_text(f"{secret}\n", encoding="utf-8")
        os.replace(f"{file}.new", file)  # as a mounted secret changes: all at once
        self.demands["secret"] = secret

    def _is_let_through(self, headers: Any) -> bool:
        kind, secret = self.demands["kind"], self.demands["secret"]
        scheme, _, rest = headers.get("Authorization", "").partition(" ")
        if kind == "basic":
            sent = base64.b64decode(rest).decode() if scheme == "Basic" else None
        elif kind == "bearer":
            sent = rest if scheme == "Bearer" else None
        else:
            sent = headers.get("X-Api-Key" if kind == "custom" else "Dagster-Cloud-Api-Token")
        also: dict[str, str] = self.demands.get("also", {})
        return sent == secret and all(headers.get(name) == value for name, value in also.items())


def handler(gate: Gate, upstream: str, prefix: str) -> type[BaseHTTPRequestHandler]:
    """What is done with a request: refused, or sent on without the secret and without the prefix."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = re.search(r'"query": *"(?:\\n| )*(query|mutation) (\w+)', body.decode())
            kind, name = found.groups() if found else ("", "")
            status, extra = gate.judge(self.headers, name)
            status = status if self.path.startswith(f"{prefix}/") else 404
            repeated = self.headers.get("Authorization", "").partition(" ")[2] if status == 401 else ""
            text, content_type = f"{ANSWERS.get(status, '')} {repeated}".encode(), "text/plain"
            if status == 200:
                status, text, content_type = self.forward(body)
            gate.note(path=self.path, name=name, mutation=kind == "mutation", status=status)
            self.send_response(status)
            for header, value in {**extra, "Content-Type": content_type, "Content-Length": str(len(text))}.items():
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(text)

        def forward(self, body: bytes) -> tuple[int, bytes, str]:
            kept = {name: value for name, value in self.headers.items() if name.lower() not in DROPPED}
            connection = http.client.HTTPConnection(upstream, timeout=60)
            try:
                connection.request(self.command, self.path.removeprefix(prefix), body, kept)
                answer = connection.getresponse()
                return answer.status, answer.read(), answer.headers.get("Content-Type", "")
            finally:
                connection.close()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main() -> None:
    """Serve until somebody ends this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, metavar="HOST:PORT")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--control", type=Path, required=True)
    given = parser.parse_args()
    found = handler(Gate(given.control), given.upstream, given.prefix)
    with ThreadingHTTPServer(("127.0.0.1", given.port), found) as server:
        server.daemon_threads = True
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()

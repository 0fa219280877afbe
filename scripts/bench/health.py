"""What `daglab health` costs when 10 of 20 endpoints hang: whole processes, beside the same 20 when none does, in turn.

What stands beside is one timeout more than where none hangs; one after the other, they would take ten.
Prints a table and, with --json, one JSON document.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pairs

ENDPOINTS = 20
TIMEOUT = 3.0  # seconds
ROUNDS = 5


class Handler(BaseHTTPRequestHandler):
    """Lists its models, or below /hang/ says nothing for as long as the client waits."""

    def do_GET(self) -> None:
        """Answer."""
        if self.path.startswith("/hang/"):
            self.connection.recv(1)
            return
        body = json.dumps({"data": [{"id": "m"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def seconds(url: str, hanging: int, folder: str) -> float:
    """Wall seconds of one command. Exits when it does not find just those endpoints down that hang."""
    models = [
        {"name": f"m{number}", "url": f"{url}/{'hang' if number < hanging else 'good'}/{number}"}
        for number in range(ENDPOINTS)
    ]
    command = [*pairs.DAGLAB, "health", "--only", "models", "--timeout", str(TIMEOUT), "--json"]
    started = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, "DAGLAB_MODELS": json.dumps(models)}, cwd=folder, capture_output=True, check=False
    )
    spent = time.perf_counter() - started
    down = sum(check["status"] == "down" for check in json.loads(done.stdout)["checks"])
    if down != hanging:
        sys.exit(f"{down} were found down, and {hanging} hang")
    return spent


def main() -> None:
    """Measure both in turn."""
    options = pairs.arguments(__doc__, ROUNDS).parse_args()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, tempfile.TemporaryDirectory() as folder:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        seconds(url, 0, folder)
        both = [(seconds(url, 0, folder), seconds(url, ENDPOINTS // 2, folder)) for _ in range(options.rounds)]
        server.shutdown()
    # What hangs may cost one timeout more, and the beginning of another.
    rows = [(good + TIMEOUT, hung) for good, hung in both]
    pairs.show({f"{ENDPOINTS // 2} of {ENDPOINTS} hang": pairs.seconds(rows, bound=1.1)}, options)


if __name__ == "__main__":
    main()

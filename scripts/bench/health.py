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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pairs

from daglab import errors

ENDPOINTS, HANGING = 20, 10
DOWN = errors.Unreachable.exit_code
TIMEOUT = 3.0  # seconds
ROUNDS = 5


class Handler(BaseHTTPRequestHandler):
    """Lists its models, or below /hang/ says nothing for as long as the client waits."""

    def do_GET(self) -> None:
        """Answer."""
        if self.path.startswith("/hang/"):
            self.connection.recv(1)
            return
        body = json.dumps({"data": [{"id": f"m{number}"} for number in range(ENDPOINTS)]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def command(url: str, hanging: int, folder: str) -> pairs.Command:
    """`daglab health` over all endpoints, of which the first ones hang."""
    models = [
        {"name": f"m{number}", "url": f"{url}/{'hang' if number < hanging else 'good'}/{number}"}
        for number in range(ENDPOINTS)
    ]
    words = [*pairs.DAGLAB, "health", "--only", "models", "--timeout", str(TIMEOUT), "--json"]
    return pairs.Command(words, folder, {"DAGLAB_MODELS": json.dumps(models)})


def try_once(wanted: pairs.Command, hanging: int) -> None:
    """Exits when it does not find just those endpoints down that hang."""
    env = {**os.environ, **(wanted.env or {})}
    done = subprocess.run(wanted.arguments, env=env, cwd=wanted.cwd, capture_output=True, check=False)
    down = sum(check["status"] == "down" for check in json.loads(done.stdout)["checks"])
    if down != hanging:
        sys.exit(f"{down} were found down, and {hanging} hang")


def main() -> None:
    """Measure both in turn."""
    options = pairs.arguments(__doc__, ROUNDS).parse_args()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, tempfile.TemporaryDirectory() as folder:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        good, bad = command(url, 0, folder), command(url, HANGING, folder)
        try_once(good, 0)
        try_once(bad, HANGING)
        both = [(pairs.measure(good), pairs.measure(bad, codes=[DOWN])) for _ in range(options.rounds)]
        server.shutdown()
    row = {
        # What hangs may cost one timeout more, and the beginning of another.
        **pairs.seconds([(none[0] + TIMEOUT, some[0]) for none, some in both], bound=1.1),
        "peak_mib": max(some[2] for _, some in both) / 1024,
        "base_peak_mib": max(none[2] for none, _ in both) / 1024,
    }
    pairs.show({f"{HANGING} of {ENDPOINTS} hang": row}, options)


if __name__ == "__main__":
    main()

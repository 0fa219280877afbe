"""Attacks a dashboard for a while, and says whether it has held: nothing leaks, and it still answers.

Foreign names, paths in every encoding, huge and slow requests, junk, bodies, half-closed connections, from many
threads at once over a project of its own whose every name is an attack. Exits with 1 when anything of a file that is
not to be served is seen, a traceback, markup from a name, or an honest question goes without its answer. `--seconds`
says how long.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from daglab import processes

SECRET = "a-secret-that-no-answer-holds"
EVIL = "'\"><script>alert(1)</script><img src=x onerror=alert(1)>"
PLACES = ("secret.txt", "daglab.yaml", ".daglab/exports.jsonl", "etc/passwd", "../secret.txt", "link.html", ".env")
DOTS = ("..", "%2e%2e", "%252e%252e", ".%2e", "%c0%ae%c0%ae", "..;", "....", "\\..", "%5c..", "%00..", "\uff0e\uff0e")
SLASHES = ("/", "%2f", "%252f", "\\", "%5c", "//", "/./", "%c0%af", "\u2215")
LEAK = re.compile(SECRET.encode() + b'|root:[^ ]*:0:0|Traceback|File "|<script>alert|<img src=x', re.IGNORECASE)

Attack = Callable[[random.Random, int], bytes]


def project(root: Path) -> None:
    """A project where every name is an attack, and files lie that are not to be served."""
    (root / ".daglab" / "events").mkdir(parents=True)
    (root / "exports").mkdir()
    (root / "daglab.yaml").write_text(f"# {SECRET}\ndagster:\n  url: http://127.0.0.1:9\n", encoding="utf-8")
    for name in ("secret.txt", ".env"):
        (root / name).write_text(SECRET, encoding="utf-8")
    (root / "exports" / "link.html").symlink_to(root / "secret.txt")
    at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    line = {"v": 1, "id": "0", "at": at, "command": EVIL, "target": EVIL, "ok": False, "exit_code": 4, "seconds": 1.0}
    usage = [{"name": EVIL, "amount": 1, "labels": {"model": EVIL, "kind": EVIL}}]
    more = {
        "error_code": EVIL,
        "runs": [EVIL],
        "requests": {"n": 0, "errors": 0, "ms": []},
        "usage": usage,
        "detail": {},
    }
    rest = {"bytes": None, "rss_peak": 1}
    (root / ".daglab" / "events" / f"{at[:7]}.jsonl").write_text(json.dumps({**line, **more, **rest}) + "\n")
    with (root / ".daglab" / "exports.jsonl").open("w") as record:
        for output in ("exports/good.html", "exports/link.html", "../outside.txt", "secret.txt", ".env"):
            content = b"<p>good</p>" if "good" in output else SECRET.encode()
            about = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "targets": [EVIL]}
            if output == "secret.txt":
                about["sha256"] = "0" * 64
            line = {"v": 1, "id": os.urandom(8).hex(), "output": output, "ok": True, "exported_at": at, **about}
            record.write(json.dumps(line) + "\n")
    (root / "exports" / "good.html").write_bytes(b"<p>good</p>")


def traversal(rng: random.Random, port: int) -> bytes:
    """A path that tries to lead elsewhere."""
    steps = "".join(rng.choice(DOTS) + rng.choice(SLASHES) for _ in range(rng.randrange(5)))
    head = rng.choice(("/", "/exports/", "/exports/good.html/", "/health/", "//", "", "/api/", "file://", "/%2f"))
    return _get(head + steps + rng.choice(PLACES), port)


def foreign(rng: random.Random, port: int) -> bytes:
    """A request for somebody else."""
    host = rng.choice(("evil.test", f"evil.test:{port}", "127.0.0.1", f"127.0.0.1.evil.test:{port}", "", EVIL))
    path = rng.choice(("/", "/api/snapshot", "/exports/good.html", "/parts"))
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def huge(rng: random.Random, port: int) -> bytes:
    """A head without an end, or nearly."""
    size = rng.choice((10_000, 17_000, 100_000, 2_000_000))
    kind = rng.choice(("path", "header", "headers"))
    if kind == "path":
        return _get("/" + "x" * size, port)
    more = f"X: {'y' * size}\r\n" if kind == "header" else "X: y\r\n" * (size // 6)
    return f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{more}\r\n".encode()


def junk(rng: random.Random, port: int) -> bytes:
    """Anything."""
    return bytes(rng.randrange(256) for _ in range(rng.randrange(400))) + b"\r\n\r\n"


def other(rng: random.Random, port: int) -> bytes:
    """Another method, with a body or the promise of one."""
    method = rng.choice(("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "X" * 300))
    length = rng.choice(("5", "99999999999", "-1", "x", "0"))
    body = f"Content-Length: {length}\r\nTransfer-Encoding: chunked"
    head = f"{method} / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{body}\r\n\r\n"
    return head.encode() + b"x" * rng.randrange(100_000)


def honest(rng: random.Random, port: int) -> bytes:
    """What shows every name there is."""
    return _get(rng.choice(("/", "/parts")), port)


ATTACKS: tuple[Attack, ...] = (traversal, traversal, traversal, foreign, huge, junk, other, honest)


def _get(path: str, port: int) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode("utf-8", "replace")


def ask(port: int, request: bytes, seconds: float = 10.0) -> bytes:
    """All that is answered."""
    answer = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=seconds) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(request)
        while piece := sock.recv(65536):
            answer += piece
    return answer


def attack(port: int, seed: int, deadline: float, seen: Counter[str], bad: list[str]) -> None:
    """One attacker, until the time is up."""
    rng = random.Random(seed)
    while time.monotonic() < deadline:
        kind = rng.choice(ATTACKS)
        request = kind(rng, port)
        answer = ask(port, request)
        seen[f"{kind.__name__} {answer[9:12].decode('latin-1') or 'closed'}"] += 1
        shown = answer if kind is not honest else re.sub(rb"\\u003c|&lt;", b"(", answer)
        if leak := LEAK.search(shown.replace(b'\\"', b'"')):
            bad.append(f"{leak[0]!r} in the answer to {request[:200]!r}")


def dawdle(port: int, deadline: float) -> None:
    """Many connections that say a letter now and then."""
    held: list[socket.socket] = []
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            held.append(socket.create_connection(("127.0.0.1", port), timeout=5))
        for sock in held[-100:]:
            with contextlib.suppress(OSError):
                sock.send(b"G")
        if len(held) > 150:
            held.pop(0).close()
        time.sleep(0.01)
    for sock in held:
        sock.close()


def watch(port: int, deadline: float, times: list[float], bad: list[str]) -> None:
    """An honest question now and then; each is to be answered."""
    while time.monotonic() < deadline:
        began = time.monotonic()
        answers = [ask(port, _get("/health", port)) for _ in range(2)]  # whoever is turned away asks again
        if not any(b'"status": "ok"' in each for each in answers):
            bad.append(f"/health was not answered: {answers!r}")
        times.append((time.monotonic() - began) / 2)
        time.sleep(0.2)


def run(seconds: float, threads: int = 8) -> tuple[Counter[str], list[float], list[str]]:
    """Attack a dashboard of our own: what was answered how often, seconds of honest questions, and what is wrong."""
    seen: Counter[str] = Counter()
    times: list[float] = []
    bad: list[str] = []
    with tempfile.TemporaryDirectory() as folder, processes.keeper() as kept:
        root = Path(folder) / "shop"
        root.mkdir()
        (Path(folder) / "outside.txt").write_text(SECRET, encoding="utf-8")
        project(root)
        port = processes.find_free_port()
        command = [sys.executable, "-m", "daglab", "dashboard", "--port", str(port)]
        log = Path(folder) / "log"
        processes.start(kept, processes.Service("dashboard", command, root, None, log))
        begin = time.monotonic() + 60
        while b'"status": "ok"' not in ask(port, _get("/health", port)):
            if time.monotonic() > begin:
                sys.exit(f"The dashboard does not answer: {log.read_text()}")
            time.sleep(0.1)
        deadline = time.monotonic() + seconds
        workers = [threading.Thread(target=attack, args=(port, seed, deadline, seen, bad)) for seed in range(threads)]
        workers += [
            threading.Thread(target=dawdle, args=(port, deadline)),
            threading.Thread(target=watch, args=(port, deadline, times, bad)),
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if b"<p>good</p>" not in ask(port, _get("/exports/good.html", port)):
            bad.append("the export is not served any more")
        if processes.ended(kept):
            bad.append("the dashboard has ended")
        if "Traceback" in log.read_text(errors="replace"):
            bad.append(f"a traceback: {log.read_text(errors='replace')[-2000:]}")
    return seen, times, bad


def main() -> None:
    """Print what was answered, and exit with 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    seen, times, bad = run(parser.parse_args().seconds)
    for name, count in sorted(seen.items()):
        print(f"{count:8}  {name}")
    times.sort()
    print(f"{sum(seen.values())} attacks; {len(times)} honest questions, the slowest in {1000 * times[-1]:.0f} ms")
    print("\n".join(sorted(set(bad))) or "It has held.")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()

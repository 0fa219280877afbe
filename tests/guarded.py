"""A deployment behind the reverse proxy of tests/integration/reverse_proxy.py, and what the proxy demands."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daglab import processes

PREFIX = "/team/dagster"
SCRIPT = Path(__file__).parent / "integration" / "reverse_proxy.py"


@dataclass(frozen=True)
class Guarded:
    """The proxy's address, its path prefix inside, and the file that steers it."""

    url: str
    control: Path

    @property
    def log(self) -> Path:
        return self.control.with_suffix(".log")

    def demand(self, kind: str, **more: Any) -> None:
        """From now on the proxy demands this, and has seen nothing yet."""
        self.log.write_text("")
        self.control.write_text(json.dumps({"kind": kind, "log": str(self.log), "since": time.time_ns(), **more}))

    @property
    def seen(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def statuses(self, name: str) -> list[int]:
        return [each["status"] for each in self.seen if each["name"] == name]

    @property
    def mutations(self) -> list[str]:
        return [each["name"] for each in self.seen if each["mutation"]]


@contextlib.contextmanager
def guarding(upstream: int, folder: Path) -> Iterator[Guarded]:
    """The proxy before that port, a process of its own."""
    port, control = processes.find_free_port(), folder / "control.json"
    options = ["--port", str(port), "--upstream", f"127.0.0.1:{upstream}", "--prefix", PREFIX]
    command = [sys.executable, str(SCRIPT), *options, "--control", str(control)]
    with processes.keeper() as keeper:
        processes.start(keeper, processes.Service("proxy", command, folder, dict(os.environ), folder / "log"))
        while not _listens(port):
            assert not processes.ended(keeper), (folder / "log").read_text()
            time.sleep(0.02)
        yield Guarded(f"http://127.0.0.1:{port}{PREFIX}", control)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0

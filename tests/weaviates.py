"""Real Weaviate servers on loopback, one node or several, each with its own ports and data folder.

The program is installed by scripts/servers.py into ~/.cache/daglab/servers.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from daglab import processes

SERVERS = Path(os.environ.get("DAGLAB_SERVERS") or Path.home() / ".cache" / "daglab" / "servers")  # before isolation
NEWEST, OLDEST = "1.39.0", "1.30.0"
VERSION = os.environ.get("DAGLAB_TEST_WEAVIATE") or NEWEST
START_SECONDS = 120
PORTS = range(20000, 32000)
KEY = "weaviate-key-of-the-tests"


def program(version: str = VERSION) -> Path:
    """Where the server of a version is, installed or not."""
    return SERVERS / "go" / f"weaviate-{version}" / "weaviate-server"


@dataclass
class Server:
    """One node. `url` is its address without `/v1`, `metrics` that of its Prometheus listener."""

    name: str
    url: str
    metrics: str
    debug: str
    data: Path
    log: Path
    keeper: Any
    service: Any
    pid: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    def kill(self) -> None:
        """End it as a crash does."""
        os.kill(self.pid, signal.SIGKILL)
        while self.name not in processes.ended(self.keeper):
            time.sleep(0.02)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it. Nodes of one cluster become ready together."""
        self.pid = processes.start(self.keeper, self.service)

    def wait(self) -> None:
        """Wait until it is ready."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{self.url}/v1/.well-known/ready", timeout=2).status_code == 200:
                    return
            if time.monotonic() > deadline or self.name in processes.ended(self.keeper):
                raise AssertionError(f"{self.name} did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Ask it past daglab: the JSON of its answer, which must be a good one."""
        response = requests.request(
            method, f"{self.url}/v1/{path}", json=body, params=query, headers=self.headers, timeout=60
        )
        assert response.status_code < 300, (method, path, response.status_code, response.text[:2000])
        return response.json() if response.content else None


@contextlib.contextmanager
def serving(
    root: Path, *, version: str = VERSION, nodes: int = 1, env: Mapping[str, str] | None = None, key: bool = False
) -> Iterator[list[Server]]:
    """Servers of one cluster, ready; with `key` they want the key `KEY`. All end when the block does."""
    ports = _free_ports(8 * nodes)
    gossip, raft = ports[: 2 * nodes : 2], ports[2 * nodes : 4 * nodes : 2]  # the next ones are theirs, too
    joined = ",".join(f"n{number + 1}:{port}" for number, port in enumerate(raft))
    with processes.keeper() as keeper:
        servers = []
        for number in range(nodes):
            name = f"n{number + 1}"
            folder = root / name
            folder.mkdir(parents=True, exist_ok=True)
            port, metrics, debug, grpc = ports[4 * (nodes + number) :][:4]
            variables = {
                **{each: value for each, value in os.environ.items() if each in ("PATH", "HOME", "TMPDIR")},
                "PERSISTENCE_DATA_PATH": str(folder / "data"),
                "CLUSTER_HOSTNAME": name,
                "CLUSTER_IN_LOCALHOST": "true",
                "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
                "CLUSTER_ADVERTISE_PORT": str(gossip[number]),  # 1.30 says 7946 otherwise, whatever it listens on
                "RAFT_TIMEOUTS_MULTIPLIER": "1",
                "CLUSTER_GOSSIP_BIND_PORT": str(gossip[number]),
                "CLUSTER_DATA_BIND_PORT": str(gossip[number] + 1),
                **({"CLUSTER_JOIN": f"127.0.0.1:{gossip[0]}"} if number else {}),
                "RAFT_PORT": str(raft[number]),
                "RAFT_INTERNAL_RPC_PORT": str(raft[number] + 1),
                "RAFT_JOIN": joined,
                "RAFT_BOOTSTRAP_EXPECT": str(nodes),
                "GRPC_PORT": str(grpc),
                "GO_PROFILING_PORT": str(debug),
                "PROMETHEUS_MONITORING_ENABLED": "true",
                "PROMETHEUS_MONITORING_PORT": str(metrics),
                "DISABLE_TELEMETRY": "true",
                "RUNTIME_REINDEX_ENABLED": "true",
                "REPLICA_MOVEMENT_ENABLED": "true",
                "DISK_USE_READONLY_PERCENTAGE": "99",
                "DISK_USE_WARNING_PERCENTAGE": "98",
                "LOG_LEVEL": "warning",
                **(_keyed() if key else {"AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true"}),
                **(env or {}),
            }
            command = [str(program(version)), "--host", "127.0.0.1", "--port", str(port), "--scheme", "http"]
            service = processes.Service(name, command, folder, variables, folder / "log")
            url = f"http://127.0.0.1:{port}"
            listens = (f"http://127.0.0.1:{metrics}", f"http://127.0.0.1:{debug}")
            server = Server(name, url, *listens, folder / "data", folder / "log", keeper, service)
            if key:
                server.headers["Authorization"] = f"Bearer {KEY}"
            server.begin()
            servers.append(server)
            if nodes > 1 and not number:
                _await_listener(gossip[0], server)
        for server in servers:
            server.wait()
        yield servers


def _await_listener(port: int, server: Server) -> None:
    """Until the first node can be joined: on 1.30, others that find nobody there end at once."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
            return
        assert time.monotonic() < deadline, server.log.read_text()[-3000:]
        time.sleep(0.05)


def _keyed() -> dict[str, str]:
    return {
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
        "AUTHENTICATION_APIKEY_ENABLED": "true",
        "AUTHENTICATION_APIKEY_ALLOWED_KEYS": KEY,
        "AUTHENTICATION_APIKEY_USERS": "tester",
        "AUTHORIZATION_ADMINLIST_ENABLED": "true",
        "AUTHORIZATION_ADMINLIST_USERS": "tester",
    }


def _free_ports(count: int) -> list[int]:
    """Free ports in a row, all held until the last one is: nodes on one machine look for each other's data port next to
    the gossip port. They are none that the system gives to clients, so a server finds them free when it starts again.
    """
    while True:
        first = secrets.choice(PORTS[:-count])
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for port in range(first, first + count):
                held.enter_context(socket.create_server(("", port)))
            return list(range(first, first + count))

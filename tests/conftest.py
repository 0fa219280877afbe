"""What every test stands on: nothing of the machine gets in, nothing but loopback gets out.

Fixtures: `cli` runs daglab as a process, `deployment` is a real Dagster (one for the whole pytest run),
`need` skips a test for want of something, or fails it where DAGLAB_REQUIRE=all.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import ipaddress
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

REPOSITORY = Path(__file__).resolve().parent.parent
FIXTURES = REPOSITORY / "tests" / "fixtures"
# Read before the isolation takes it away.
REQUIRE_ALL = os.environ.get("DAGLAB_REQUIRE") == "all"

FOREIGN_PREFIXES = ("DAGLAB_", "DAGSTER_", "MARIMO_", "WEAVIATE_", "AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "XDG_")
FOREIGN_NAMES = {"NO_COLOR", "FORCE_COLOR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}

# `python -m dagster._daemon`, but it looks for backfills each second: 30 seconds can't be configured away. And it does
# not start all code servers anew each minute.
DAEMON = """
import dagster._daemon.controller
dagster._daemon.controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 1
dagster._daemon.controller.RELOAD_WORKSPACE_INTERVAL = 86400
from dagster._daemon.cli import main
main()
"""

if importlib.util.find_spec("daglab") is None:
    sys.path.insert(0, str(REPOSITORY))

from tests import forks, weaviates  # noqa: E402 (they need daglab)

_homes = itertools.count()
_servers: list[weaviates.Server] = []  # those that all tests share


@dataclass(frozen=True)
class Result:
    """How a daglab process ended."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Deployment:
    """A running Dagster over a copy of a project in tests/fixtures."""

    url: str
    home: Path
    project: Path
    port: int
    services: _Services

    def kill(self, name: str) -> None:
        """End the webserver or the daemon as a crash does; what it has started goes on."""
        from daglab import processes

        os.kill(self.services.pids[name], signal.SIGKILL)
        while name not in processes.ended(self.services.keeper):
            time.sleep(0.05)

    def start(self, name: str) -> None:
        """Start it again. Returns before it answers."""
        self.services.start(name)


@dataclass(frozen=True)
class _Services:
    """The processes of a deployment, and how each is started."""

    keeper: Any
    commands: Mapping[str, Any]
    pids: dict[str, int] = field(default_factory=dict)

    def start(self, name: str) -> None:
        from daglab import processes

        self.pids[name] = processes.start(self.keeper, self.commands[name])


class NotLoopbackError(AssertionError):
    """A test tried to leave this machine. No OSError: the code under test must not take it for a network error."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--claims", type=Path, help="the folder by which several processes share the tests among them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest first, so that processes that share the tests end at the same time."""
    if config.getoption("claims"):
        items.sort(key=lambda item: item.path.parent.name != "integration")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Leave out the modules that another process has begun; else as pytest's own loop."""
    claims = session.config.getoption("claims")
    if claims is None or session.testsfailed or session.config.option.collectonly:
        return None
    claimed = (item for item in session.items if _is_claimed(claims, item.path))
    item = next(claimed, None)
    while item:
        following = next(claimed, None)
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldstop or session.shouldfail:
            raise session.Interrupted(session.shouldstop or session.shouldfail)
        item = following
    return True


@functools.cache
def _is_claimed(claims: Path, module: Path) -> bool:
    """Whether this process is the first that comes to a module."""
    try:
        (claims / str(module).replace("/", "%")).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, `tmp_path` as the current folder, no variables that steer daglab.

    It knows no secrets, and drops no messages because a supervisor ran in this process before.
    """
    # Numbered here: `mktemp` looks at every folder that there is, and there are two for each of ten thousand tests.
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_homes))
    home.mkdir(parents=True)
    for name in list(os.environ):
        if name.startswith(FOREIGN_PREFIXES) or name.upper() in FOREIGN_NAMES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.chdir(tmp_path)
    from daglab import output, redaction

    monkeypatch.setattr(redaction, "_secrets", set())
    monkeypatch.setattr(output, "_hasty", [])


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets of this process reach loopback and Unix sockets, nothing else."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _check_loopback(self, address)
        return connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _check_loopback(self, address)
        return connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)


@pytest.fixture(scope="session")
def weaviate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[weaviates.Server]:
    """One Weaviate for the whole pytest run. It is shared: a test names its collections as nobody else does."""
    with _weaviate(tmp_path_factory.mktemp("weaviate")) as server:
        yield server


@pytest.fixture(scope="session")
def keyed_weaviate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[weaviates.Server]:
    """Another one, which wants the key `weaviates.KEY`."""
    with _weaviate(tmp_path_factory.mktemp("keyed"), key=True) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def no_collections_left() -> Iterator[None]:
    """What a module's tests have made goes with it: a server with hundreds of collections is a slow one."""
    yield
    for server in _servers:
        for each in server.ask("GET", "schema")["classes"]:
            server.ask("DELETE", f"schema/{each['class']}")


@pytest.fixture(scope="session")
def need() -> Callable[[object, str], None]:
    """`need(condition, reason)` skips the test without the condition; with DAGLAB_REQUIRE=all it fails it."""
    return _need


@pytest.fixture(scope="session")
def forked() -> Iterator[forks.Server]:
    """daglab, imported once, for all of its processes."""
    server = forks.Server()
    yield server
    server.close()


@pytest.fixture
def cli(forked: forks.Server) -> Callable[..., Result]:
    """`cli("discover", "--json", env=..., cwd=..., input=...)` runs daglab as a process of its own."""
    return functools.partial(_run_cli, forked)


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One Dagster for the whole pytest run. It is shared: a test looks at its own runs, not at all of them."""
    with _serving(tmp_path_factory.mktemp("deployment"), "deployment", daemon=True) as served:
        yield served


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[Deployment]]:
    """`with serving("strangers/jobs") as served:` is a webserver over a copy of that fixture."""
    return lambda fixture, daemon=False: _serving(tmp_path_factory.mktemp("serving"), fixture, daemon=daemon)


@contextlib.contextmanager
def _serving(root: Path, fixture: str, *, daemon: bool) -> Iterator[Deployment]:
    """Dagster as it starts in the project's folder: it finds workspace.yaml or pyproject.toml by itself."""
    _need(importlib.util.find_spec("dagster_webserver"), "dagster-webserver is not installed")
    from daglab import processes

    project, home, port = root / "project", root / "dagster_home", processes.find_free_port()
    shutil.copytree(FIXTURES / fixture, project, ignore=shutil.ignore_patterns("__pycache__"))
    home.mkdir()
    shutil.copy(FIXTURES / "deployment" / "dagster.yaml", home)
    env = _deployment_env(root, home)
    _make_storage(project, env)
    commands = {"webserver": ["-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port)]}
    if daemon:
        commands["daemon"] = ["-c", DAEMON, "run"]
    logs = {name: root / f"{name}.log" for name in commands}
    with processes.keeper() as keeper:
        services = _Services(
            keeper,
            {
                name: processes.Service(name, [sys.executable, *command], project, env, logs[name])
                for name, command in commands.items()
            },
        )
        for name in commands:
            services.start(name)
        url = f"http://127.0.0.1:{port}"
        _wait_until_up(url, lambda: processes.ended(keeper), logs, daemon=daemon)
        yield Deployment(url, home, project, port, services)


@contextlib.contextmanager
def _weaviate(root: Path, *, key: bool = False) -> Iterator[weaviates.Server]:
    _need(weaviates.program(weaviates.VERSION).exists(), f"Weaviate {weaviates.VERSION} is not installed")
    with weaviates.serving(root, key=key) as [server]:
        _servers.append(server)
        yield server
        _servers.remove(server)


def _check_loopback(sock: socket.socket, address: Any) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    host = address[0]
    try:
        inside = ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = host == "localhost"
    if not inside:
        sock.close()  # urllib3 closes it after an OSError only
        raise NotLoopbackError(f"a test tried to connect to {address}")


def _need(condition: object, reason: str) -> None:
    if condition:
        return
    if REQUIRE_ALL:
        pytest.fail(f"DAGLAB_REQUIRE=all, but {reason}", pytrace=False)
    pytest.skip(reason)


def _run_cli(
    forked: forks.Server,
    *args: str,
    env: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    input: str | None = None,  # noqa: A002 - the name that subprocess.run has
    timeout: float = 300,
) -> Result:
    """`env` is laid over this process's environment; None takes a variable away."""
    laid: dict[str, str | None] = {**os.environ, **_pythonpath(), **(env or {})}
    variables = {name: value for name, value in laid.items() if value is not None}
    run = forked.run if forked.fits(variables, cwd or Path.cwd()) else _run_anew
    done = run(args, variables, cwd or Path.cwd(), input, timeout)
    return Result(done.returncode, done.stdout, done.stderr)


def _run_anew(
    args: Sequence[str], env: Mapping[str, str], cwd: Path, given: str | None, timeout: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "daglab", *args],
        env=env,
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
        **({"stdin": subprocess.DEVNULL} if given is None else {"input": given}),
    )


def _pythonpath() -> dict[str, str]:
    try:
        importlib.metadata.distribution("daglab")
    except importlib.metadata.PackageNotFoundError:
        above = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        return {"PYTHONPATH": os.pathsep.join([*above, str(REPOSITORY)])}
    return {}


def _deployment_env(root: Path, home: Path) -> dict[str, str]:
    """Said in full: a fixture of the session sees the real environment, its children shall not."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(root),
        "DAGSTER_HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(REPOSITORY / "tests" / "forked_runs"),
        "PYTHONUNBUFFERED": "1",
    }


def _make_storage(project: Path, env: Mapping[str, str]) -> None:
    """Processes that make the databases of a fresh DAGSTER_HOME at the same time get in each other's way."""
    command = [sys.executable, "-m", "dagster", "instance", "info"]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.fail(f"DAGSTER_HOME could not be made:\n{done.stderr}", pytrace=False)


def _wait_until_up(url: str, ended: Callable[[], Mapping[str, int]], logs: Mapping[str, Path], *, daemon: bool) -> None:
    deadline = time.monotonic() + 180
    while not (_is_up(url) and (not daemon or _works_off_backfills(url))):
        if gone := ended():
            pytest.fail(f"Dagster ended while it started: {gone}\n{_tails(logs)}", pytrace=False)
        if time.monotonic() > deadline:
            pytest.fail(f"Dagster did not answer at {url} in time\n{_tails(logs)}", pytrace=False)
        time.sleep(0.1)


def _is_up(url: str) -> bool:
    with _session() as session:
        try:
            return "dagster_version" in session.get(f"{url}/server_info", timeout=10).json()
        except (requests.RequestException, ValueError):
            return False


def _works_off_backfills(url: str) -> bool:
    """Whether the daemon has given its first sign of life: it starts beside the webserver."""
    query = "{instance{daemonHealth{allDaemonStatuses{daemonType healthy}}}}"
    with _session() as session:
        data = session.post(f"{url}/graphql", json={"query": query}, timeout=60).json()["data"]
    statuses = data["instance"]["daemonHealth"]["allDaemonStatuses"]
    return any(each["daemonType"] == "BACKFILL" and each["healthy"] for each in statuses)


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


def _tails(logs: Mapping[str, Path], lines: int = 40) -> str:
    tails = []
    for name, log in logs.items():
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        tails.append(f"--- the end of {name}'s log\n" + "\n".join(text.splitlines()[-lines:]))
    return "\n".join(tails)

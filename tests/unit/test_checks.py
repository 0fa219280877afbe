"""The checks of `daglab health` against servers, folders and programs that fail in every way; Dagster is elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import responses

from daglab import errors, processes, web
from daglab.checks import deployment, endpoints, findings, running, uploads
from daglab.settings import config

LONG = 30.0  # seconds: nothing here takes so long but for what hangs
LISTED = {"object": "list", "data": [{"id": "small"}, {"id": "large"}]}


@dataclass
class Servers:
    """A server whose first path segment says how it behaves, and what it was sent."""

    url: str
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    gone: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    changed: threading.Condition = field(default_factory=threading.Condition)
    held: int = 0
    most_held: int = 0
    sent: int = 0  # bytes of what has no end

    def hold(self, by: int) -> None:
        with self.changed:
            self.held += by
            self.most_held = max(self.most_held, self.held)


class Handler(BaseHTTPRequestHandler):
    """One request a connection."""

    servers: Servers

    def do_GET(self) -> None:
        behaviour = self.path.split("/")[1]
        self.servers.seen.append((self.path, {name.lower(): text for name, text in self.headers.items()}))
        try:
            getattr(self, behaviour)()
        except OSError:
            self.servers.gone.release()  # the client has

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def send(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), "Content-Type": kind, **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def good(self) -> None:
        self.send(200, json.dumps(LISTED).encode())

    def empty(self) -> None:
        self.send(200, b"")

    def hang(self) -> None:
        self.servers.hold(1)
        self.servers.over.wait(LONG)
        self.servers.hold(-1)

    def drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.servers.over.wait(0.005):
            self.wfile.write(b" ")

    def moved(self) -> None:
        self.send(302, b"", Location=f"{self.servers.url}/good/models")

    def garbage(self) -> None:
        self.send(200, b"\xff\x00[[[" * 100)

    def other(self) -> None:
        self.send(200, b'{"data": {"a": 1}}')

    def page(self) -> None:
        self.send(200, b"<html>", "text/html; charset=utf-8")

    def refused(self) -> None:
        self.send(401, b"{}")

    def unready(self) -> None:
        self.send(503, b"")

    def missing(self) -> None:
        self.send(404, b"")

    def huge(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.servers.over.is_set():
            self.servers.sent += self.wfile.write(b" " * 100_000)

    def cut(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def servers() -> Iterator[Servers]:
    class Own(Handler):
        pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 300

    with Server(("127.0.0.1", 0), Own) as server:
        server.block_on_close = False
        Own.servers = found = Servers(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield found
        found.over.set()
        server.shutdown()


def load(directory: Path, **more: Any) -> config.Config:
    """The config with these keys, as a flag has them."""
    return config.load(more, directory=directory)


def models(directory: Path, *entries: Mapping[str, str]) -> config.Config:
    """The config whose models the user has named."""
    return config.load(directory=directory, environ={**os.environ, "DAGLAB_MODELS": json.dumps(entries)})


def one(settings: config.Config, name: str, timeout: float = LONG) -> running.Outcome:
    [outcome] = running.run(settings, [name], timeout)
    assert outcome.name == name
    return outcome


# --- models, clusters, links


def model(servers: Servers, directory: Path, behaviour: str, timeout: float = LONG) -> running.Outcome:
    settings = models(directory, {"name": "small", "url": f"{servers.url}/{behaviour}"})
    return one(settings, "models:small", timeout)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("moved", "does not follow"),
        ("garbage", "no list of models"),
        ("other", "no list of models"),
        ("page", "no list of models"),
        ("empty", "no list of models"),
        ("refused", "refused the request (401)"),
        ("unready", "answers 503"),
        ("missing", "answers 404"),
        ("huge", "longer answer than it may"),
        ("cut", "broke off"),
    ],
)
def test_an_endpoint_that_is_down(behaviour: str, said: str, servers: Servers, tmp_path: Path) -> None:
    found = model(servers, tmp_path, behaviour)
    assert (found.status, said in found.detail) == ("down", True), found
    assert found.hint
    assert "Dagster" not in found.hint
    assert "dagster" not in found.hint
    assert servers.sent < 10 * endpoints.LARGEST


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_an_endpoint_without_end(
    behaviour: str, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "GRACE", LONG)  # the check's own word is waited for
    found = model(servers, tmp_path, behaviour, 0.6)
    assert (found.status, "did not answer in time" in found.detail) == ("down", True), found


def test_a_model_that_is_listed_or_not(servers: Servers, tmp_path: Path) -> None:
    url = f"{servers.url}/good/v1"
    settings = models(tmp_path, {"name": "small", "url": url}, {"name": "smal", "url": url}, {"name": "none"})
    small, smal, none = running.run(settings, ["models"], LONG)
    assert (small.name, small.status, small.hint) == ("models:small", "ok", None)
    assert (smal.status, smal.hint) == ("degraded", "Did you mean small?")
    assert (none.status, none.detail) == ("skipped", "It has no url.")
    assert [path for path, _ in servers.seen] == ["/good/v1/models"]  # asked once for both


def test_nothing_listens_there(tmp_path: Path) -> None:
    settings = models(tmp_path, {"name": "m", "url": f"http://127.0.0.1:{processes.find_free_port()}"})
    assert (one(settings, "models:m").status, "Nothing answers" in one(settings, "models:m").detail) == ("down", True)


def clusters(directory: Path, url: str) -> config.Config:
    return load(directory, **{"weaviate.clusters": [{"name": "main", "url": url}]})


@pytest.mark.parametrize(
    ("behaviour", "status", "said"),
    [
        ("empty", "ok", "ready"),
        ("unready", "down", "not ready (503)"),
        ("page", "down", "an HTML page"),
        ("missing", "down", "404"),
        ("moved", "down", "does not follow"),
        ("refused", "down", "401"),
        ("huge", "down", "longer answer"),
    ],
)
def test_a_cluster(behaviour: str, status: str, said: str, servers: Servers, tmp_path: Path) -> None:
    for suffix in ("", "/", "/v1"):
        found = one(clusters(tmp_path, f"{servers.url}/{behaviour}{suffix}"), "weaviate:main")
        assert (found.status, said in found.detail) == (status, True), found
    assert {path for path, _ in servers.seen} == {f"/{behaviour}/v1/.well-known/ready"}


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [("empty", "ok"), ("missing", "ok"), ("moved", "ok"), ("refused", "ok"), ("unready", "down"), ("cut", "down")],
)
def test_where_links_lead_to(behaviour: str, status: str, servers: Servers, tmp_path: Path) -> None:
    found = one(load(tmp_path, **{"export.base_url": f"{servers.url}/{behaviour}"}), "links")
    assert found.status == status, found


def test_no_links_and_no_entries_are_skipped(tmp_path: Path) -> None:
    settings = load(tmp_path)
    for name in ("links", "models", "weaviate", "exports"):
        assert one(settings, name).status == "skipped"
    assert running.overall(running.run(settings, ["links", "models"], LONG)) == "healthy"


# --- secrets


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGLAB_KEY", "k-one-2345")
    monkeypatch.setenv("MINE", "mine-6789")


def sent(servers: Servers) -> str | None:
    [(_, headers)] = servers.seen
    return headers.get("authorization")


def test_a_key_that_the_user_names_goes_to_the_address_beside_it(servers: Servers, tmp_path: Path, keyed: None) -> None:
    one(models(tmp_path, {"name": "m", "url": f"{servers.url}/good", "token_env": "MINE"}), "models:m")
    assert sent(servers) == "Bearer mine-6789"


@pytest.mark.parametrize("key", ["models", "weaviate"])
def test_a_projects_file_sends_no_key_to_an_address_of_its_own(
    key: str, servers: Servers, tmp_path: Path, keyed: None
) -> None:
    entry = f"[{{name: m, url: '{servers.url}/refused', token_env: DAGLAB_KEY}}]"
    text = f"models: {entry}" if key == "models" else f"weaviate: {{clusters: {entry}}}"
    (tmp_path / "daglab.yaml").write_text(text)
    found = one(config.load(directory=tmp_path), f"{key}:m")
    assert sent(servers) is None
    assert found.status == "down"
    assert "DAGLAB_KEY was not sent, because its address comes from" in str(found.hint)
    assert "k-one-2345" not in str(found)


def test_what_the_user_holds_for_an_address_goes_there(servers: Servers, tmp_path: Path, keyed: None) -> None:
    path = Path(os.environ["XDG_CONFIG_HOME"], "daglab", "config.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(f"credentials: {{'{servers.url}': {{token_env: MINE}}}}\n")
    entry = {"name": "m", "url": f"{servers.url}/good", "token_env": "DAGLAB_KEY"}
    (tmp_path / "daglab.yaml").write_text(f"models: {json.dumps([entry])}")
    one(config.load(directory=tmp_path), "models:m")
    assert sent(servers) == "Bearer mine-6789"


@pytest.mark.parametrize("name", ["HOME", "DAGSTER_GRAPHQL_TOKEN", "OPENAI_API_KEY"])
@pytest.mark.parametrize("key", ["models", "weaviate"])
def test_a_projects_file_names_no_other_variable(name: str, key: str, tmp_path: Path) -> None:
    entry = f"[{{name: m, url: 'http://x.test', token_env: {name}}}]"
    text = f"models: {entry}" if key == "models" else f"weaviate: {{clusters: {entry}}}"
    (tmp_path / "daglab.yaml").write_text(f"environments: {{prod: {{{text}}}}}")
    with pytest.raises(errors.NotAuthorised, match="may not name this variable"):
        config.load(directory=tmp_path)


def test_a_key_does_not_follow_a_redirect(servers: Servers, tmp_path: Path, keyed: None) -> None:
    one(models(tmp_path, {"name": "m", "url": f"{servers.url}/moved", "token_env": "MINE"}), "models:m")
    assert len(servers.seen) == 1


def test_a_key_that_is_missing(servers: Servers, tmp_path: Path) -> None:
    settings = models(tmp_path, {"name": "m", "url": f"{servers.url}/good", "token_env": "MINE"})
    assert "has no token" in one(settings, "models:m").detail
    assert servers.seen == []


def test_netrc_is_not_read(servers: Servers, tmp_path: Path) -> None:
    path = Path(os.environ["HOME"], ".netrc")
    path.write_text("machine 127.0.0.1 login me password pass\n")
    path.chmod(0o600)
    model(servers, tmp_path, "good")
    assert sent(servers) is None


# --- side by side


def test_half_of_twenty_hang(servers: Servers, tmp_path: Path, cli: Callable[..., Any]) -> None:
    entries = [{"name": f"m{n}", "url": f"{servers.url}/{'hang' if n % 2 else 'good'}"} for n in range(20)]
    entries = [{**entry, "url": f"{entry['url']}/{n}"} for n, entry in enumerate(entries)]
    env = {"DAGLAB_MODELS": json.dumps(entries)}
    done = cli("health", "--only", "models", "--timeout", "3", "--json", env=env, timeout=60)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"], found["status"]) == (5, False, "down")
    assert found["error"]["code"] == "unreachable"
    assert [check["status"] for check in found["checks"]] == ["degraded", "down"] * 10
    assert servers.most_held == 10  # all at once, not one after the other


def test_more_than_there_are_threads(servers: Servers, tmp_path: Path) -> None:
    entries = [{"name": f"m{n}", "url": f"{servers.url}/good/{n}"} for n in range(running.MOST * 2)]
    found = running.run(models(tmp_path, *entries), ["models"], LONG)
    assert {outcome.status for outcome in found} == {"degraded"}
    assert [outcome.name for outcome in found] == [f"models:m{n}" for n in range(running.MOST * 2)]


def test_all_threads_hang_and_the_rest_is_told(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "MOST", 4)
    entries = [{"name": f"m{n}", "url": f"{servers.url}/hang/{n}"} for n in range(12)]
    found = running.run(models(tmp_path, *entries), ["models"], 0.6)
    assert [outcome.status for outcome in found] == ["down"] * 12
    assert servers.most_held == 4
    assert len(servers.seen) == 4  # no second round, which would be a second timeout


def test_nothing_is_left_of_what_was_cut(servers: Servers, tmp_path: Path) -> None:
    before = threading.active_count()
    entries = [{"name": f"m{n}", "url": f"{servers.url}/drip/{n}"} for n in range(5)]
    for _ in range(3):
        running.run(models(tmp_path, *entries), ["models"], 0.6)
    for _ in range(15):
        assert servers.gone.acquire(timeout=LONG)
    servers.over.set()
    deadline = time.monotonic() + LONG
    while threading.active_count() > before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)


def test_a_name_that_is_never_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(LONG) or [])
    monkeypatch.setattr(running, "GRACE", LONG)
    settings = models(tmp_path, {"name": "m", "url": "https://models.test/v1"})
    assert "did not answer in time" in one(settings, "models:m", 0.6).detail
    over.set()


def test_tls_that_never_begins(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = models(tmp_path, {"name": "m", "url": f"https://127.0.0.1:{silent.getsockname()[1]}/v1"})
        assert one(settings, "models:m", 0.6).status == "down"


def test_a_check_that_breaks_or_hangs_keeps_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hangs(_: findings.Inquiry) -> findings.Finding:
        over.wait(LONG)
        return findings.ok("")

    def breaks(_: findings.Inquiry) -> findings.Finding:
        raise KeyError("secret")

    monkeypatch.setitem(running.CHECKS, "dagster", hangs)
    monkeypatch.setitem(running.CHECKS, "marimo", breaks)
    found = {each.name: each for each in running.run(load(tmp_path), ["dagster", "marimo", "config"], 0.3)}
    over.set()
    assert {name: each.status for name, each in found.items()} == {"dagster": "down", "marimo": "down", "config": "ok"}
    assert "has not ended within 0.3 s" in found["dagster"].detail
    assert found["marimo"].detail == "The check itself failed: KeyError."


def test_what_several_ask_is_asked_once(tmp_path: Path) -> None:
    inquiry = findings.Inquiry(load(tmp_path), time.monotonic() + LONG)
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        raise errors.NotSetUp("no")

    for _ in range(3):
        with pytest.raises(errors.NotSetUp):
            inquiry.once("key", ask)
    assert asked == [1]


def test_names_and_choosing(tmp_path: Path) -> None:
    settings = models(tmp_path, {"name": "llama3:8b"}, {"name": "b"})
    assert running.names(settings)[-3:] == ["models:llama3:8b", "models:b", "weaviate"]
    assert [each.name for each in running.run(settings, ["models:llama3:8b"], LONG)] == ["models:llama3:8b"]
    assert [each.name for each in running.run(settings, ["models", "storage"], LONG)] == [
        "storage",
        "models:llama3:8b",
        "models:b",
    ]
    with pytest.raises(errors.WrongUsage) as unknown:
        running.run(settings, ["storge"])
    assert unknown.value.hint == "Did you mean storage?"


# --- daemons


@pytest.mark.parametrize(
    ("queues", "sick", "status"),
    [
        (True, [], "ok"),
        (False, ["SENSOR"], "degraded"),
        (True, ["SENSOR"], "degraded"),
        (True, [deployment.QUEUE], "down"),
        (False, ["SENSOR", "BACKFILL"], "degraded"),
    ],
)
def test_what_the_daemons_come_to(queues: bool, sick: list[str], status: str) -> None:
    kinds = ["SENSOR", "BACKFILL", *([deployment.QUEUE] if queues else [])]
    daemons = [deployment.Daemon(kind, True, kind not in sick) for kind in kinds]
    found = deployment.judge(queues, [*daemons, deployment.Daemon("MONITORING", False, False)])
    assert found.status == status
    assert all(kind in found.detail for kind in sick)
    assert "MONITORING" not in found.detail


def test_no_daemon_is_required() -> None:
    found = deployment.judge(False, [deployment.Daemon("SENSOR", False, False)])
    assert (found.status, found.detail) == ("ok", "This instance requires no daemon.")


@pytest.mark.parametrize("data", [{}, {"instance": None}, {"instance": {"daemonHealth": {"allDaemonStatuses": [1]}}}])
def test_an_answer_of_another_shape(data: dict[str, Any]) -> None:
    with pytest.raises(errors.Unreachable, match="form that daglab does not know"):
        deployment.parse_daemons(data)


def test_dagster_is_asked_with_one_token_for_all(dagster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = tmp_path / "count"
    monkeypatch.setenv("DAGLAB_DAGSTER__AUTH__TOKEN_COMMAND", f"sh -c 'echo x >> {count}; echo t0ken-1234'")
    traffic = web.Traffic()
    settings = load(tmp_path, **{"dagster.url": dagster.url})
    found = running.run(settings, ["dagster", "locations", "daemons"], LONG, operation="op-1", traffic=traffic)
    assert [each.status for each in found] == ["ok", "ok", "down"]  # the stand-in has no daemons
    assert count.read_text() == "x\n"
    assert dagster.authorizations == ["Bearer t0ken-1234"] * 3
    assert {request.headers["x-daglab-operation"] for request in dagster.requests} == {"op-1"}
    assert len(traffic.milliseconds) == 3


def test_dagster_is_not_asked_again(dagster: Any, tmp_path: Path) -> None:
    dagster.status = 503
    assert one(load(tmp_path, **{"dagster.url": dagster.url}), "dagster").status == "ok"  # its body is an answer
    dagster.answers.clear()
    assert one(load(tmp_path, **{"dagster.url": dagster.url}), "dagster").status == "down"
    assert len(dagster.requests) == 2


# --- marimo


def test_marimo_is_there(tmp_path: Path) -> None:
    found = one(load(tmp_path), "marimo")
    assert found.status == "ok", found


def test_a_python_without_marimo(tmp_path: Path) -> None:
    venv.create(tmp_path / ".venv", with_pip=False)
    (tmp_path / "daglab.yaml").touch()
    found = one(config.load(directory=tmp_path), "marimo")
    assert (found.status, found.detail) == ("down", f"{tmp_path}/.venv/bin/python has no marimo.")
    assert found.hint == f"Install it: {tmp_path}/.venv/bin/python -m pip install --upgrade marimo"


def test_a_python_that_is_not_there(tmp_path: Path) -> None:
    found = one(load(tmp_path, **{"dagster.python": str(tmp_path / "none")}), "marimo")
    assert (found.status, "can't be used" in found.detail) == ("down", True)


def test_a_file_that_hides_marimo(tmp_path: Path) -> None:
    (tmp_path / "marimo.py").touch()
    found = one(load(tmp_path), "marimo")
    assert (found.status, found.detail) == ("down", f"{tmp_path}/marimo.py hides the installed marimo.")


def test_a_python_that_hangs_is_ended(tmp_path: Path) -> None:
    python, started = tmp_path / "python", tmp_path / "started"
    python.write_text(f"#!/bin/sh\necho $$ > {started}\nexec sleep 300\n")
    python.chmod(0o755)
    found = one(load(tmp_path, **{"dagster.python": str(python)}), "marimo", 1.0)
    assert found.status == "down"
    pid, deadline = int(started.read_text()), time.monotonic() + LONG
    while os.path.exists(f"/proc/{pid}") if sys.platform == "linux" else False:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_marimo_s_python_gets_no_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python, seen = tmp_path / "python", tmp_path / "seen"
    python.write_text(f"#!/bin/sh\nenv > {seen}\n")
    python.chmod(0o755)
    monkeypatch.setenv("MINE", "mine-6789")
    monkeypatch.setenv("DAGLAB_MODELS", '[{"name": "m", "token_env": "MINE"}]')
    one(load(tmp_path, **{"dagster.python": str(python)}), "marimo")
    assert "MINE" not in [line.partition("=")[0] for line in seen.read_text().splitlines()]


# --- storage


@pytest.fixture
def small_disk(tmp_path: Path, need: Callable[[object, str], None]) -> Iterator[Callable[..., Path]]:
    """`small_disk("size=1m")` is a file system in memory."""
    need(os.geteuid() == 0 and sys.platform == "linux", "only root may mount a file system")
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=False)
        need(done.returncode == 0, "no file system can be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_storage_with_room(tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    found = one(load(tmp_path, **{"health.min_free_bytes": 1}), "storage")
    assert (found.status, str(tmp_path / ".daglab") in found.detail) == ("ok", True)
    assert list((tmp_path / ".daglab").iterdir()) == []


def test_a_full_disk(small_disk: Callable[..., Path]) -> None:
    root = small_disk("size=1m")
    (root / ".daglab").mkdir()
    settings = load(root, **{"health.min_free_bytes": 100_000})
    assert one(settings, "storage").status == "ok"
    (root / "large").write_bytes(b"a" * 1_000_000)
    found = one(settings, "storage")
    assert (found.status, "left, of" in found.detail) == ("degraded", True), found
    with contextlib.suppress(OSError), (root / "rest").open("wb", buffering=0) as rest:
        while rest.write(b"a" * 4096):
            continue
    found = one(settings, "storage")
    assert (found.status, "No space left" in found.detail) == ("down", True), found


def test_no_inodes_left(small_disk: Callable[..., Path]) -> None:
    root = small_disk("size=1m,nr_inodes=100")
    found = one(load(root, **{"health.min_free_bytes": 1}), "storage")
    assert (found.status, "files more" in found.detail) == ("degraded", True), found


def test_a_read_only_folder(small_disk: Callable[..., Path]) -> None:
    root = small_disk("size=1m")
    (root / "exports").mkdir()
    (root / ".daglab").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
    found = one(load(root, **{"health.min_free_bytes": 1}), "storage")
    assert (found.status, "Read-only file system" in found.detail) == ("down", True), found


def test_a_folder_that_leads_away(tmp_path: Path) -> None:
    root, away = tmp_path / "project", tmp_path / "away"
    root.mkdir()
    away.mkdir()
    (root / "exports").symlink_to(away)
    assert one(load(root, **{"health.min_free_bytes": 1}), "storage").status == "degraded"


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".daglab").touch()
    assert one(load(tmp_path), "storage").status == "down"


# --- exports


def record(root: Path, *lines: object) -> None:
    (root / ".daglab").mkdir(exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (root / ".daglab" / "exports.jsonl").write_text("\n".join(texts) + "\n")


def export(days: float, ok: object = True) -> dict[str, Any]:
    at = datetime.now(timezone.utc) - timedelta(days=days)
    return {"v": 1, "id": "a", "ok": ok, "exported_at": at.isoformat()}


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([export(0.5)], "ok"),
        ([export(1.5)], "degraded"),
        ([export(5), export(0.5)], "ok"),
        ([export(1.5), export(0.1, ok=False)], "degraded"),
        ([export(0.5), {"v": 1, "expired": "a"}, "torn {", [1], {"ok": True, "exported_at": 7}], "ok"),
        ([{"v": 2, **export(0.5), "v": 2}], "degraded"),  # noqa: F601
        ([{**export(0.5), "exported_at": "soon"}], "degraded"),
        ([], "degraded"),
    ],
)
def test_how_old_the_last_export_is(lines: list[object], status: str, tmp_path: Path) -> None:
    record(tmp_path, *lines)
    assert one(load(tmp_path, **{"health.export_max_age_days": 1}), "exports").status == status


def test_no_record_or_one_that_is_no_file(tmp_path: Path) -> None:
    settings = load(tmp_path, **{"health.export_max_age_days": 1})
    assert one(settings, "exports").status == "degraded"
    (tmp_path / ".daglab" / "exports.jsonl").mkdir(parents=True)
    assert one(settings, "exports").status == "degraded"


# --- config


def test_an_environment_that_is_not_valid(tmp_path: Path) -> None:
    file = tmp_path / "daglab.yaml"
    file.write_text("environments: {prod: {dagster: {port: 7}}}\n")
    settings = config.load(directory=tmp_path)
    assert one(settings, "config").detail == f"{file} is valid; environments: prod"
    file.write_text("environments: {prod: {dagster: {port: 0}}}\n")  # a server may have loaded it before
    found = one(settings, "config")
    assert (found.status, "daglab.yaml:1 (environment prod)" in found.detail) == ("down", True), found


def test_what_is_not_looked_at_on_loading(tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("environments: {prod: {dagster: {auth: {username_env: DAGLAB_U}}}}\n")
    assert "only one is set" in one(config.load(directory=tmp_path), "config").detail


@pytest.mark.parametrize("content", [b"null", b"[]", b'{"data": null}', b'{"data": [1]}', b"[" * 100_000, b""])
def test_what_is_no_list_of_models(content: bytes) -> None:
    class Response:
        status_code = 200

    Response.content = content  # type: ignore[attr-defined]
    with pytest.raises(errors.Unreachable, match="no list of models"):
        endpoints.parse_models(Response, "http://x.test")


@pytest.mark.parametrize(
    ("broken", "status", "said"),
    [
        ([], "degraded", "has no code location"),
        ([False, False], "ok", "2 of 2 loaded"),
        ([True, False], "degraded", "1 of 2 loaded. l0: SyntaxError: wrong"),
        ([True, True], "down", "0 of 2 loaded. l0: SyntaxError: wrong; l1"),
    ],
)
def test_code_locations(broken: list[bool], status: str, said: str, dagster: Any, tmp_path: Path) -> None:
    entries = dagster.answers["Workspace"]["workspaceOrError"]["locationEntries"]
    good = entries[0]["locationOrLoadError"]
    bad = {"__typename": "PythonError", "message": "SyntaxError: wrong"}
    entries[:] = [
        {"name": f"l{number}", "locationOrLoadError": bad if each else good} for number, each in enumerate(broken)
    ]
    settings = config.load({"dagster.url": dagster.url}, directory=tmp_path)
    found = deployment.locations(findings.Inquiry(settings, time.monotonic() + LONG))
    assert (found.status, said in found.detail) == (status, True), found


@responses.activate
def test_the_place_of_uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("ACCESS_KEY_ID", "AKID"), ("SECRET_ACCESS_KEY", "x"), ("ENDPOINT_URL", "http://s3.test")):
        monkeypatch.setenv(f"AWS_{name}", text)
    monkeypatch.setenv("PATH", str(tmp_path))
    responses.get("http://s3.test/box/", body="<ListBucketResult/>")
    storage = {"export.cloud_storage.provider": "s3", "export.cloud_storage.bucket": "box"}
    found = [
        uploads.target(findings.Inquiry(config.load(each, directory=tmp_path), time.monotonic() + LONG))
        for each in ({}, storage)
    ]
    assert [each.status for each in found] == ["skipped", "ok"]
    assert found[1].detail.startswith("s3://box/ answers")

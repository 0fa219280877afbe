"""A TCP proxy before the real deployment that injects faults, a way to ask the deployment itself, and a browser."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import socket
import socketserver
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import processes
from daglab.storage import places, sigv4
from tests import tiers

# What is done with one request: it gets the client's socket, and `forward`, which sends the request on and
# gives back the deployment's whole answer.
Fault = Callable[[socket.socket, Callable[[], bytes]], None]


@dataclass
class Proxy:
    """A proxy: what came through it so far, and the faults by GraphQL operation (Launch, RunByTag)."""

    url: str
    faults: dict[str, Fault] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    forwarded: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, names: list[str], name: str) -> None:
        with self.changed:
            names.append(name)
            self.changed.notify_all()

    def wait_until(self, condition: Callable[[], bool], timeout: float = 60) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout), (self.seen, self.forwarded)


@pytest.fixture
def proxy(deployment: Any) -> Iterator[Proxy]:
    """A proxy that passes everything on until its `faults` say otherwise."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            _handle(kept, self.request, deployment.port)

    class Threaded(socketserver.ThreadingTCPServer):
        daemon_threads = False  # joined at the end: none outlives its test

    with Threaded(("127.0.0.1", 0), Handler) as tcp:
        kept = Proxy(f"http://127.0.0.1:{tcp.server_address[1]}")
        thread = threading.Thread(target=tcp.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield kept
        finally:
            kept.over.set()
            tcp.shutdown()
            thread.join()


@pytest.fixture
def graphql(deployment: Any) -> Callable[..., Any]:
    """Ask the deployment itself something, past any proxy, and get the data of its answer."""

    def ask(query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        answer = requests.post(f"{deployment.url}/graphql", json=body, timeout=60).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    return ask


def _handle(proxy: Proxy, client: socket.socket, port: int) -> None:
    """One request a connection: the answer closes it."""
    try:
        request = _request(client)
    except ConnectionError:
        return
    if not request:
        return
    name = (re.search(rb'"query": *"(?:\\n)?(?:query|mutation) (\w+)', request) or (b"", b"other"))[1].decode()
    proxy.note(proxy.seen, name)

    def forward() -> bytes:
        proxy.note(proxy.forwarded, name)
        return _ask(port, request)

    try:
        proxy.faults.get(name, _pass)(client, forward)
    except OSError:
        return  # the client has gone, as some faults make it


def _pass(client: socket.socket, forward: Callable[[], bytes]) -> None:
    client.sendall(forward())


def _request(client: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := client.recv(65536)):
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int((re.search(rb"(?i)\r\ncontent-length: *(\d+)", head) or (b"", b"0"))[1])
    while len(body) < length:
        body += client.recv(65536)
    return re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head) + b"\r\nConnection: close\r\n\r\n" + body


def _ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as upstream:
        upstream.sendall(request)
        pieces = []
        while piece := upstream.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


# --- a browser, and marimo

# Through shadow roots, too: marimo's elements have them.
ALL = """
const all = (root) => [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
"""
BUTTON = (
    ALL
    + """
const found = all(document).filter((e) => e.tagName === "BUTTON" && e.innerText.trim() === arguments[0] && !e.disabled);
if (found.length && arguments[1]) found[0].click();
return found.length;
"""
)
TEXT = (
    ALL
    + """
const inner = all(document).flatMap((e) => (e.shadowRoot ? [...e.shadowRoot.children] : []));
const shown = inner.filter((e) => !["STYLE", "LINK", "SCRIPT"].includes(e.tagName)).map((e) => e.innerText);
return [document.body.innerText, ...shown].join("\\n");
"""
)
# `mo.output` of a table, a chart or text that broke: marimo's and React's own words.
BROKEN = ("Something went wrong", "Minified React error", "Failed to load", "Unknown component")


class Browser:
    """A headless Chromium, driven over the WebDriver protocol."""

    def __init__(self, driver: str) -> None:
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        # It asks nobody but the page: neither for updates nor for anything of its maker's.
        arguments += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        # And no name but this machine's leads anywhere.
        arguments += [
            "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        ]
        options = {"args": arguments}
        capabilities = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        answer = requests.post(f"{driver}/session", json={"capabilities": capabilities}, timeout=120).json()
        self.session = f"{driver}/session/{answer['value']['sessionId']}"

    def open(self, url: str) -> None:
        requests.post(f"{self.session}/url", json={"url": url}, timeout=120).raise_for_status()

    def run(self, script: str, *arguments: object) -> Any:
        body = {"script": script, "args": list(arguments)}
        return requests.post(f"{self.session}/execute/sync", json=body, timeout=120).json()["value"]

    def text(self) -> str:
        """What can be read, in marimo's own elements, too: they have shadow roots."""
        return str(self.run(TEXT))

    def wait_for(self, text: str, seconds: float = 60) -> None:
        wait_until(lambda: text in self.text(), f"the page shows {text!r}", seconds)

    def wait_until(self, condition: Callable[[], Any], what: str) -> Any:
        return wait_until(condition, what)

    def press(self, label: str) -> None:
        wait_until(lambda: self.run(BUTTON, label, False), f"the button {label}")
        self.run(BUTTON, label, True)

    def type(self, text: str, *, held: str = "") -> None:
        """Into what has the focus, while a key is held."""
        letters = [{"type": kind, "value": letter} for letter in text for kind in ("keyDown", "keyUp")]
        around = [[{"type": kind, "value": held}] if held else [] for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keyboard", "actions": [*around[0], *letters, *around[1]]}]
        requests.post(f"{self.session}/actions", json={"actions": actions}, timeout=120).raise_for_status()

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of Chromium's own protocol."""
        body = {"cmd": name, "params": parameters}
        answer = requests.post(f"{self.session}/goog/cdp/execute", json=body, timeout=120)
        return answer.json()["value"]

    def resize(self, width: int, height: int = 900) -> None:
        sizes = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **sizes)

    def shoot(self, path: Path, width: int, height: int) -> None:
        self.resize(width, height)
        wait_until(lambda: self.run("return window.innerWidth") == width, "the page has its new width")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))

    def complaints(self) -> list[str]:
        """What the page says of components that failed, and errors that its scripts have logged."""
        logged = requests.post(f"{self.session}/se/log", json={"type": "browser"}, timeout=120).json()["value"]
        severe = [entry["message"] for entry in logged if entry["level"] == "SEVERE"]
        return [word for word in BROKEN if word in self.text()] + [each for each in severe if "favicon" not in each]

    def close(self) -> None:
        requests.delete(self.session, timeout=60)


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds * (5 if tiers.MEASURED else 1)
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return found


@pytest.fixture
def browser(tmp_path: Path, need: Callable[[object, str], None]) -> Iterator[Browser]:
    with _browser(tmp_path, need) as found:
        yield found


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory, need: Callable[[object, str], None]) -> Iterator[Browser]:
    """A browser for the whole run, for tests that open a page of their own and look at nothing before it."""
    with _browser(tmp_path_factory.mktemp("reader"), need) as found:
        yield found


@contextlib.contextmanager
def _browser(folder: Path, need: Callable[[object, str], None]) -> Iterator[Browser]:
    need(shutil.which("chromedriver"), "chromedriver is not installed")
    port = processes.find_free_port()
    url, log = f"http://127.0.0.1:{port}", folder / "chromedriver.log"
    with processes.keeper() as kept:
        processes.start(kept, processes.Service("driver", ["chromedriver", f"--port={port}"], None, None, log))
        wait_until(lambda: _answers(f"{url}/status"), "chromedriver answers")
        found = Browser(url)
        yield found
        found.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """`served(notebook)` runs it with `marimo run`, or `served(notebook, "edit")`, and gives its address."""
    with processes.keeper() as kept:

        def serve(notebook: Path, mode: str = "run", theme: str = "light") -> str:
            port = processes.find_free_port()
            options = ["--headless", "--no-token", "--host", "127.0.0.1", "--port", str(port)]
            options += ["--skip-update-check"] if mode == "edit" else []
            config = tmp_path / f"config-{theme}" / "marimo" / "marimo.toml"
            config.parent.mkdir(parents=True, exist_ok=True)
            config.write_text(f'[display]\ntheme = "{theme}"\n')
            env = {**os.environ, "XDG_CONFIG_HOME": str(config.parent.parent)}
            command = [sys.executable, "-m", "marimo", mode, str(notebook), *options]
            name = f"{mode}-{port}"
            processes.start(kept, processes.Service(name, command, None, env, tmp_path / f"{name}.log"))
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(f"{url}/health"), "marimo answers")
            return url

        yield serve


def _answers(url: str) -> bool:
    try:
        answer = requests.get(url, timeout=10)
        return answer.ok and answer.json().get("value", {"ready": True})["ready"] is True
    except requests.RequestException:
        return False


# --- stores to upload to; `python scripts/servers.py` installs them

# As they were before a test's isolation.
SERVERS = Path(os.environ.get("DAGLAB_SERVERS") or Path.home() / ".cache" / "daglab" / "servers")
# The key of Azurite's account, which is in its documentation and opens nothing else.
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SYSTEM_PATH = os.environ.get("PATH", os.defpath)


@dataclass(frozen=True)
class Store:
    """A running store: its address, the variables with which its provider's programs find it, and its files."""

    url: str
    env: dict[str, str]
    folder: Path


@pytest.fixture(scope="session")
def server_program(need: Callable[[object, str], None]) -> Callable[[str], str]:
    """`server_program("go/versitygw")` is what scripts/servers.py has installed, or what PATH has of that name."""

    def find(name: str) -> str:
        found = SERVERS / name
        path = str(found) if found.exists() else shutil.which(found.name, path=SYSTEM_PATH)
        need(path, f"{found.name} is not installed: python scripts/servers.py")
        return str(path)

    return find


@pytest.fixture
def only_programs(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, str]]:
    """`only_programs(aws)` makes these the only ones that PATH leads to; with none there are none."""

    def choose(*paths: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("bin")
        for path in paths:
            (folder / Path(path).name).symlink_to(path)
        monkeypatch.setenv("PATH", str(folder))
        return {"PATH": str(folder)}

    return choose


@pytest.fixture(scope="session")
def s3_server(server_program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """versitygw: an S3 that checks signatures."""
    program, folder = server_program("go/versitygw"), tmp_path_factory.mktemp("s3")
    (folder / "data").mkdir()
    (folder / "meta").mkdir()
    port = processes.find_free_port()
    keys = {"AWS_ACCESS_KEY_ID": "daglab-test", "AWS_SECRET_ACCESS_KEY": "t3st/s3cret+k3y"}
    command = [program, "--port", f"127.0.0.1:{port}", "--access", keys["AWS_ACCESS_KEY_ID"], "--quiet"]
    command += ["--secret", keys["AWS_SECRET_ACCESS_KEY"], "--region", "eu-central-1"]
    command += ["posix", "--sidecar", str(folder / "meta"), str(folder / "data")]
    url = f"http://127.0.0.1:{port}"
    env = {**keys, "AWS_ENDPOINT_URL": url, "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
    with _store(command, folder, url):
        yield Store(url, {**env, "AWS_EC2_METADATA_DISABLED": "true"}, folder / "data")


@pytest.fixture(scope="session")
def moto_server(server_program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """moto: an S3 that checks no signature, for the AWS CLI."""
    program, folder = server_program("clients/bin/moto_server"), tmp_path_factory.mktemp("moto")
    port = processes.find_free_port()
    url = f"http://127.0.0.1:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "moto-test", "AWS_SECRET_ACCESS_KEY": "m0to-s3cret-k3y"}
    env = {**keys, "AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    with _store([program, "-H", "127.0.0.1", "-p", str(port)], folder, url):
        yield Store(url, {**env, "AWS_EC2_METADATA_DISABLED": "true"}, folder)


@pytest.fixture(scope="session")
def azurite(server_program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Azurite's blob service, with the account and the key that its documentation names."""
    program, folder = server_program("npm/node_modules/.bin/azurite-blob"), tmp_path_factory.mktemp("azurite")
    port = processes.find_free_port()
    account, key = "devstoreaccount1", AZURITE_KEY
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "-l", str(folder), "--silent"]
    command += ["--disableTelemetry", "--skipApiVersionCheck"]
    url = f"http://127.0.0.1:{port}/{account}"
    connection = f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};BlobEndpoint={url};"
    env = {"AZURE_STORAGE_CONNECTION_STRING": connection, "AZURE_CORE_COLLECT_TELEMETRY": "0"}
    with _store(command, folder, url):
        yield Store(url, env, folder)


@pytest.fixture(scope="session")
def gcs_server(server_program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """fake-gcs-server: Cloud Storage that checks no signature."""
    program, folder = server_program("go/fake-gcs-server"), tmp_path_factory.mktemp("gcs")
    port = processes.find_free_port()
    host = f"127.0.0.1:{port}"
    command = [program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    command += ["-public-host", host, "-external-url", f"http://{host}"]
    with _store(command, folder, f"http://{host}/storage/v1/b?project=p"):
        yield Store(f"http://{host}", {"STORAGE_EMULATOR_HOST": f"http://{host}"}, folder)


@pytest.fixture
def s3_place(s3_server: Store, monkeypatch: pytest.MonkeyPatch) -> places.Place:
    """A fresh bucket of the S3 that checks signatures, and the variables for it set."""
    for name, text in s3_server.env.items():
        monkeypatch.setenv(name, text)
    return places.Place("s3", make_bucket(s3_server), "reports")


def make_bucket(store: Store) -> str:
    """A new bucket of an S3 store."""
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    keys = sigv4.Keys(store.env["AWS_ACCESS_KEY_ID"], store.env["AWS_SECRET_ACCESS_KEY"])
    url, now = f"{store.url}/{bucket}", datetime.now(timezone.utc)
    headers = sigv4.signed_headers(keys, store.env["AWS_REGION"], "PUT", url, {}, sigv4.EMPTY, now)
    requests.put(url, headers=headers, timeout=60).raise_for_status()
    return bucket


@contextlib.contextmanager
def _store(command: list[str], folder: Path, probe: str) -> Iterator[None]:
    """A store until the block ends, from when it answers; its environment is small, for a session sees the real one."""
    env = {"PATH": SYSTEM_PATH, "HOME": str(folder), "LANG": "C.UTF-8"}
    log = folder / "server.log"
    with processes.keeper() as kept:
        processes.start(kept, processes.Service("store", command, folder, env, log))

        def answers() -> bool:
            assert not processes.ended(kept), log.read_text(errors="replace")[-3000:]
            with contextlib.suppress(requests.RequestException):
                return bool(requests.get(probe, timeout=10).status_code)
            return False

        wait_until(answers, f"{command[0]} answers")
        yield

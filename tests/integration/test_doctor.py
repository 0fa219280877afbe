"""`daglab doctor` on the real thing: an environment that lacks something, a held port, a wrong clock, a killed dev."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from daglab.doctor import origins, packages

Cli = Callable[..., Any]
DAGLAB = [sys.executable, "-m", "daglab"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project that Dagster finds something to load in."""
    root = tmp_path / "shop"
    (root / ".daglab").mkdir(parents=True)
    (root / "daglab.yaml").write_text("version: 1\n")
    (root / "workspace.yaml").write_text("load_from: []\n")
    return root


def doctor(cli: Cli, root: Path, *arguments: str, exit_code: int = 0, **more: Any) -> dict[str, dict[str, Any]]:
    """The findings by name; of several with a name the worst."""
    done = cli("doctor", "--json", *arguments, cwd=root, **more)
    assert done.exit_code == exit_code, done.stdout + done.stderr
    order = ["ok", "skipped", "warning", "problem"]
    found = sorted(json.loads(done.stdout)["findings"], key=lambda finding: order.index(finding["status"]))
    return {finding["name"]: finding for finding in found}


def test_all_is_well_in_an_environment_that_has_everything(cli: Cli, shop: Path) -> None:
    found = doctor(cli, shop)
    for name in ("config", "daglab.python", "dagster.python", "dagster", "marimo", "hidden", "modes", "dev"):
        assert found[name]["status"] == "ok", found[name]


@pytest.mark.slow
def test_an_environment_that_lacks_them_and_the_command_that_mends_it(cli: Cli, shop: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(shop / ".venv")], check=True)
    found = doctor(cli, shop, exit_code=4)
    python = shop / ".venv" / "bin" / "python"
    assert found["dagster.python"]["status"] == "ok"
    assert found["marimo"]["detail"] == f"{python} has no marimo."
    assert found["marimo"]["remedy"] == f"{python} -m pip install 'marimo>=0.22'"
    assert found["dagster"]["remedy"] == f"{python} -m pip install dagster dagster-webserver"
    # The commands are those that pip takes; nothing is asked for on the network.
    words = ["-m", "pip", "install", "--no-index", "--dry-run", "marimo>=0.22"]
    done = subprocess.run([str(python), *words], capture_output=True, text=True, check=False)
    assert "No matching distribution found for marimo>=0.22" in done.stderr
    # What depends on something that is not there.
    (library,) = (shop / ".venv" / "lib").glob("python*/site-packages")
    (library / "lonely-1.0.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: lonely\nVersion: 1.0\nRequires-Dist: nowhere>=2\n"
    (library / "lonely-1.0.dist-info" / "METADATA").write_text(metadata)
    found = doctor(cli, shop, "--check-deps", exit_code=4)
    assert found["dependencies"]["status"] == "problem"
    assert "lonely 1.0 requires nowhere, which is not installed" in found["dependencies"]["detail"]
    (library / "lonely-1.0.dist-info" / "METADATA").write_text(metadata.partition("Requires")[0])
    assert doctor(cli, shop, "--check-deps", exit_code=4)["dependencies"]["status"] == "ok"


def test_an_environment_without_pip(cli: Cli, shop: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(shop / ".venv")], check=True)
    found = doctor(cli, shop, "--check-deps", exit_code=4)
    assert found["marimo"]["remedy"].startswith("uv pip install --python ")
    assert found["dependencies"]["status"] == "skipped"


def test_a_package_that_is_hidden(cli: Cli, shop: Path) -> None:
    """What the doctor says would break does break, and is mended by what it says."""
    (shop / "dagster").mkdir()
    hides = shop / "dagster" / "__init__.py"
    hides.touch()
    use = [sys.executable, "-c", "import dagster; dagster.Definitions"]
    assert subprocess.run(use, cwd=shop, capture_output=True, check=False).returncode == 1
    found = doctor(cli, shop, exit_code=4)["hidden"]
    assert found["status"] == "problem"
    assert found["remedy"] == f"Delete it: rm {hides}"
    subprocess.run(found["remedy"].partition(": ")[2].split(), check=True)
    assert doctor(cli, shop)["hidden"]["status"] == "ok"


def test_the_projects_code_is_not_run(shop: Path) -> None:
    """Not even a module of the project that has the name of one that the look needs."""
    for name in ("json", "importlib", "marimo", "dagster", "definitions"):
        (shop / f"{name}.py").write_text("open('ran', 'w')\n")
    examined = origins.load(shop, {})
    assert packages.installed(examined).flaw is None
    assert [finding.status for finding in packages.dependencies(examined)] != ["skipped"]
    assert not (shop / "ran").exists()
    assert not Path("ran").exists()


@pytest.fixture
def holder() -> Iterator[tuple[int, int]]:
    """A process that listens on a port: its number, and the port."""
    listen = "import socket, time; held = socket.create_server(('127.0.0.1', 0)); "
    code = listen + "print(held.getsockname()[1], flush=True); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", code, "s3cr3t-argument"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield process.pid, int(process.stdout.readline())
        process.kill()


def test_a_port_that_somebody_holds(cli: Cli, shop: Path, holder: tuple[int, int]) -> None:
    pid, port = holder
    (shop / "daglab.yaml").write_text(f"marimo:\n  port: {port}\n")
    found = doctor(cli, shop)["marimo.port"]
    assert found["status"] == "warning"
    if sys.platform == "linux":
        assert f"process {pid} (python" in found["detail"]
    assert "s3cr3t-argument" not in found["detail"]
    assert "daglab config set marimo.port PORT" in found["remedy"]


@pytest.fixture
def server() -> Iterator[Callable[..., str]]:
    """`server(offset=..., status=...)` answers with a clock of its own, and gives its address."""
    running = []

    def serve(offset: float = 0.0, status: int = 200) -> str:
        class Handler(BaseHTTPRequestHandler):
            def date_time_string(self, timestamp: float | None = None) -> str:
                return formatdate(time.time() + offset, usegmt=True)

            def do_GET(self) -> None:
                self.send_response(status)
                body = b'{"dagster_version": "1.13.27"}'
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((found, thread))
        return f"http://127.0.0.1:{found.server_port}"

    yield serve
    for found, thread in running:
        found.shutdown()
        thread.join()
        found.server_close()


@pytest.mark.parametrize(("offset", "status"), [(0, "ok"), (300, "warning"), (-300, "warning")])
def test_a_clock_that_is_wrong(cli: Cli, shop: Path, server: Callable[..., str], offset: float, status: str) -> None:
    found = doctor(cli, shop, "--url", server(offset))["clock"]
    assert found["status"] == status
    if offset:
        assert ("ahead of" if offset > 0 else "behind") in found["detail"]
        seconds = float(found["detail"].split(" is ")[1].split()[0])
        assert 270 <= seconds <= 301  # the machine may be busy


def test_no_clock_to_compare_with(cli: Cli, shop: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert doctor(cli, shop, "--url", url)["clock"]["status"] == "skipped"


def test_tokens(cli: Cli, shop: Path, server: Callable[..., str]) -> None:
    found = doctor(cli, shop, "--url", server(), "--auth-token", "env:NOT_THERE", exit_code=4)["token"]
    assert found["status"] == "problem"
    assert "--auth-token" in found["detail"]
    refused = doctor(
        cli, shop, "--url", server(status=401), "--auth-token", "env:MY", exit_code=4, env={"MY": "s3cr3t-token"}
    )
    assert "refused the request (401)" in refused["token"]["detail"]
    assert "s3cr3t-token" not in str(refused)


def test_a_proxy_between_the_machine_and_itself(cli: Cli, shop: Path, server: Callable[..., str]) -> None:
    url, dead = server(), "http://u:s3cr3t@127.0.0.1:9"
    found = doctor(cli, shop, "--url", url, exit_code=4, env={"HTTP_PROXY": dead, "http_proxy": dead})
    assert found["proxy"]["status"] == "problem"
    assert "s3cr3t" not in str(found)
    passes = doctor(cli, shop, "--url", url, env={"HTTP_PROXY": dead, "http_proxy": dead, "NO_PROXY": "127.0.0.1"})
    assert passes["proxy"]["status"] == "ok"
    assert passes["clock"]["status"] == "ok"
    # One that carries it on, as it seems: there is an answer.
    carried = doctor(cli, shop, "--url", url, env={"HTTP_PROXY": server(), "http_proxy": server()})
    assert carried["proxy"]["status"] == "warning"


def test_a_dagster_that_runs_already(cli: Cli, shop: Path, deployment: Any) -> None:
    (shop / "daglab.yaml").write_text(f"dagster:\n  port: {deployment.port}\n")
    found = doctor(cli, shop)
    assert found["dagster.port"]["status"] == "ok"
    assert f"dagster answers at port {deployment.port}" in found["dagster.port"]["detail"]
    assert found["clock"]["status"] == "ok"


@pytest.mark.skipif(sys.platform != "linux", reason="without /proc nobody can tell what a killed one has left")
def test_a_dev_that_was_killed(cli: Cli, shop: Path, deployment: Any) -> None:
    """Killed with its keeper, it has left all; `--fix` ends no process, and `daglab stop` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (shop / "daglab.yaml").write_text(f"marimo:\n  port: {port}\n")
    command = [*DAGLAB, "dev", "--no-dagster", "--url", deployment.url, "--no-open", "--json"]
    with (
        (shop / "messages").open("w") as messages,
        subprocess.Popen(
            [*command, "--port-range", f"{port}-{port}"], cwd=shop, stdout=subprocess.PIPE, stderr=messages, text=True
        ) as dev,
    ):
        try:
            assert dev.stdout
            for line in dev.stdout:
                if line.startswith("}"):
                    break
            else:
                pytest.fail((shop / "messages").read_text())
            found = doctor(cli, shop)
            assert f"process {dev.pid}" in found["dev"]["detail"]
            assert found["marimo.port"]["detail"].endswith("held by the daglab dev of this project")
            os.kill(dev.pid, signal.SIGSTOP)
            os.kill(json.loads((shop / ".daglab" / "dev.json").read_text())["keeper"], signal.SIGKILL)
        finally:
            dev.kill()
    found = doctor(cli, shop, "--fix", exit_code=4)["dev"]
    assert (found["status"], found["remedy"]) == ("problem", "daglab stop")
    assert cli("stop", cwd=shop).exit_code == 0
    assert doctor(cli, shop)["dev"]["status"] == "ok"


def test_the_real_versions_are_those_that_were_tried() -> None:
    """The table of versions is about what the tests here run with."""
    for name, (oldest, newest) in packages.TRIED.items():
        version = packages.release(metadata.version(name))
        assert oldest <= version[:2] <= newest

"""`daglab scaffold`: the notebook is clean, runs with and without a Dagster, launches its target, follows the run."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import notebooks, processes

FIXTURES = Path(__file__).parents[1] / "fixtures"
Cli = Callable[..., Any]
TARGETS = {"orders": "asset", "daily": "asset", "op_job": "job"}
RULES = "A,B,C4,E,F,I,PT,RUF,SIM,T20,UP,W"
# Presses the button: `app.run` takes the values of the controls from outside. Then it follows, as the clock does.
DRIVER = """
import importlib.util, json, sys, time
from types import SimpleNamespace
from daglab import helpers

spec = importlib.util.spec_from_file_location("nb", sys.argv[1])
notebook = importlib.util.module_from_spec(spec)
spec.loader.exec_module(notebook)
partition, run_config = json.loads(sys.argv[2])
pressed = {"launch": True, "partition": partition, "run_config": run_config}
outputs, names = notebook.app.run(defs={name: SimpleNamespace(value=value) for name, value in pressed.items()})
shown = "".join(output.text for output in outputs if hasattr(output, "text"))
run_id = names["get_run_id"]()
look = None
while run_id and not (look := helpers.run_status(names["client"], run_id)).has_ended:
    time.sleep(0.2)
print(json.dumps([shown, run_id, look and look.run.status, look and helpers.show(look).text]))
"""
RUN = "query R($id: ID!) { runOrError(runId: $id) { ... on Run { status tags { key value } } } }"
FIND = """
const all = (root) => [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
const found = all(document).filter((e) => e.tagName === "BUTTON" && e.innerText.trim() === arguments[0]);
if (found.length && arguments[1]) found[0].click();
return found.length;
"""

RUN_ALL = """
const found = [...document.querySelectorAll("[data-testid=run-button]")];
if (found.length > 1) found.pop().click();
return found.length > 1;
"""


@pytest.fixture
def project(tmp_path: Path, deployment: Any) -> Path:
    (tmp_path / "daglab.yaml").write_text(f"dagster:\n  url: {deployment.url}\n")
    return tmp_path


def scaffold(cli: Cli, kind: str, name: str) -> Path:
    done = cli("scaffold", f"--{kind}", name)
    assert done.exit_code == 0, done.stderr
    return Path(done.stdout.strip())


def python(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    environ = {**os.environ, **(env or {})}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return found


def is_healthy(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=10).ok
    except requests.RequestException:
        return False


# --- as it is written


def test_a_notebook_is_clean(project: Path, cli: Cli, need: Callable[[object, str], None]) -> None:
    need(importlib.util.find_spec("ruff"), "ruff is not installed")
    written = [scaffold(cli, kind, name) for name, kind in TARGETS.items()]
    checks = (
        ["marimo", "check", "--strict"],
        # A cell shows its last expression, a name alone, too: B018 is not for notebooks.
        ["ruff", "check", "--isolated", "--no-cache", "--select", RULES, "--ignore", "B018"],
        ["ruff", "format", "--isolated", "--no-cache", "--check"],
    )
    for check in checks:
        done = python("-m", *check, *written)
        assert done.returncode == 0, f"{check}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize(("name", "kind"), TARGETS.items())
def test_a_notebook_runs_with_a_dagster(project: Path, cli: Cli, name: str, kind: str) -> None:
    notebook = scaffold(cli, kind, name)
    done = python(notebook)
    assert done.returncode == 0, done.stderr
    assert_exports(cli, notebook, {}, "code location")


@pytest.mark.parametrize("name", ["orders", "op_job"])
def test_a_notebook_runs_without_a_dagster(project: Path, cli: Cli, name: str) -> None:
    nowhere = {"DAGLAB_DAGSTER__URL": "http://127.0.0.1:1", "DAGLAB_DAGSTER__GRAPHQL__MAX_RETRIES": "0"}
    notebook = scaffold(cli, TARGETS[name], name)
    done = python(notebook, env=nowhere)
    assert done.returncode == 0, done.stderr
    assert_exports(cli, notebook, nowhere, "Nothing answers at")


def assert_exports(cli: Cli, notebook: Path, env: dict[str, str], shown: str) -> None:
    done = cli("export", str(notebook), "--output", "page.html", env=env)
    assert done.exit_code == 0, done.stderr  # 4 for a failed cell
    page = Path("page.html").read_text(encoding="utf-8")
    assert notebooks.failed_cells(page) == []
    assert shown in page


def test_a_notebook_that_is_there_is_left_alone(project: Path, cli: Cli) -> None:
    notebook = scaffold(cli, "asset", "orders")
    notebook.write_text("mine")
    done = cli("scaffold", "--asset", "orders", "--json")
    assert done.exit_code == 8
    document = json.loads(done.stdout)
    assert (document["ok"], document["error"]["code"]) == (False, "taken")
    assert document["error"]["hint"]
    assert notebook.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        ([], 2),
        (["--asset", "a", "--job", "b"], 2),
        (["--asset", ""], 2),
        (["--asset", "a//b"], 7),
        (["--asset", "/"], 7),
        (["orders"], 2),
    ],
)
def test_wrong_input(tmp_path: Path, cli: Cli, arguments: list[str], exit_code: int) -> None:
    done = cli("scaffold", *arguments, "--json")
    assert done.exit_code == exit_code, done.stderr
    assert json.loads(done.stdout)["error"]["hint"]
    assert os.listdir(tmp_path) == []


def test_json_and_the_event(project: Path, cli: Cli) -> None:
    (project / ".daglab").mkdir()
    done = cli("scaffold", "--asset", "src/customers", "--json")
    path = project / "dagster" / "notebooks" / "asset_src__customers.py"
    assert json.loads(done.stdout) == {
        "ok": True,
        "notebook": str(path),
        "target": "asset:src/customers",
        "checked": True,
        "replaced": False,
    }
    [file] = (project / ".daglab" / "events").iterdir()
    event = json.loads(file.read_text())
    assert (event["command"], event["target"], event["ok"]) == ("scaffold", "asset:src/customers", True)


def test_the_deployment_is_asked_where_one_answers(project: Path, cli: Cli) -> None:
    for wrong, near in ((["--asset", "raw_order"], "raw_orders"), (["--job", "mart_jb"], "mart_job")):
        done = cli("scaffold", *wrong, "--json")
        assert (done.exit_code, near in json.loads(done.stdout)["error"]["hint"]) == (7, True)
    assert not (project / "dagster").exists()
    options = ("--from-selection", "raw_orders,src/customers", "--filename", "shop.py", "--title", "The <shop>")
    done = cli("scaffold", *options, "--dagster-port", "1", "--json")
    assert (done.exit_code, json.loads(done.stdout)["checked"]) == (0, False)
    assert "Not checked" in done.stderr
    done = cli("scaffold", *options, "--force")
    assert (done.exit_code, "Replaced" in done.stderr) == (0, True)
    assert f"marimo edit --port 3010 {project}/dagster/notebooks/shop.py" in done.stderr
    checked = subprocess.run(
        [sys.executable, "-m", "marimo", "check", "--strict", "dagster/notebooks/shop.py"], check=False
    )
    assert checked.returncode == 0
    assert cli("export", "dagster/notebooks/shop.py").exit_code == 0
    page = (project / "exports" / "shop.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("raw_orders", "src/customers", "Materialize", "The &lt;shop&gt;"))
    assert "There is no asset" not in page


# --- launching, without a browser


@pytest.mark.parametrize(
    ("kind", "name", "partition", "run_config", "status", "text"),
    [
        ("asset", "daily", "2026-11-02", "", "SUCCESS", "daily"),
        ("asset", "failing", None, "", "FAILURE", "ValueError: boom é"),
        ("job", "op_job", None, "ops:\n  one:\n    config:\n      n: 3\n", "SUCCESS", "two"),
    ],
)
def test_it_launches_its_target_and_follows_the_run(
    project: Path,
    deployment: Any,
    cli: Cli,
    kind: str,
    name: str,
    partition: str | None,
    run_config: str,
    status: str,
    text: str,
) -> None:
    notebook = scaffold(cli, kind, name)
    done = python("-c", DRIVER, notebook, json.dumps([partition, run_config]))
    assert done.returncode == 0, done.stderr
    shown, run_id, ended, looked = json.loads(done.stdout)
    assert run_id in shown  # the following cell looked at it at once
    assert ended == status
    assert text in looked
    body = {"query": RUN, "variables": {"id": run_id}}
    run = requests.post(f"{deployment.url}/graphql", json=body, timeout=60).json()["data"]["runOrError"]
    assert run["status"] == status
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags.get("dagster/partition") == partition


@pytest.mark.parametrize(("run_config", "text"), [("", "run config is not valid"), ("ops: [", "is not YAML")])
def test_what_can_not_be_launched_is_shown_and_fails_no_cell(
    project: Path, cli: Cli, run_config: str, text: str
) -> None:
    done = python("-c", DRIVER, scaffold(cli, "job", "op_job"), json.dumps([None, run_config]))
    assert done.returncode == 0, done.stderr
    shown, run_id, _, _ = json.loads(done.stdout)
    assert run_id is None
    assert text in shown


def test_a_target_that_is_not_there_is_told_with_the_nearest(project: Path, cli: Cli) -> None:
    assert cli("scaffold", "--asset", "raw_order", "--dagster-port", "1").exit_code == 0
    notebook = project / "dagster" / "notebooks" / "asset_raw_order.py"
    assert cli("export", str(notebook)).exit_code == 0
    page = (project / "exports" / "asset_raw_order.html").read_text(encoding="utf-8")
    assert "There is no asset raw_order" in page
    assert "Did you mean raw_orders" in page


# --- in a browser


class Browser:
    """A headless Chromium, driven over the WebDriver protocol."""

    def __init__(self, driver: str) -> None:
        self.driver = driver
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        # It asks nobody but the page: neither for updates nor for anything of its maker's.
        arguments += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        capabilities = {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}
        answer = requests.post(f"{driver}/session", json={"capabilities": capabilities}, timeout=120).json()
        self.session = f"{driver}/session/{answer['value']['sessionId']}"

    def open(self, url: str) -> None:
        requests.post(f"{self.session}/url", json={"url": url}, timeout=120).raise_for_status()

    def run(self, script: str, *arguments: object) -> Any:
        body = {"script": script, "args": list(arguments)}
        return requests.post(f"{self.session}/execute/sync", json=body, timeout=120).json()["value"]

    def text(self) -> str:
        return str(self.run("return document.body.innerText"))

    def press(self, label: str) -> None:
        wait_until(lambda: self.run(FIND, label, False), f"the button {label}")
        self.run(FIND, label, True)

    def close(self) -> None:
        requests.delete(self.session, timeout=60)


@pytest.fixture
def browser(tmp_path: Path, need: Callable[[object, str], None]) -> Iterator[Browser]:
    need(shutil.which("chromedriver"), "chromedriver is not installed")
    port = processes.find_free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path / "chromedriver.log"
    with processes.keeper() as kept:
        processes.start(kept, processes.Service("driver", ["chromedriver", f"--port={port}"], None, None, log))
        wait_until(lambda: is_ready(url), "chromedriver answers")
        found = Browser(url)
        yield found
        found.close()


def is_ready(url: str) -> bool:
    try:
        return bool(requests.get(f"{url}/status", timeout=10).json()["value"]["ready"])
    except requests.RequestException:
        return False


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """`served(notebook)` runs it with `marimo run` and gives its address."""
    with processes.keeper() as kept:

        def serve(notebook: Path) -> str:
            port = processes.find_free_port()
            options = ["--headless", "--no-token", "--host", "127.0.0.1", "--port", str(port)]
            command = [sys.executable, "-m", "marimo", "run", str(notebook), *options]
            processes.start(kept, processes.Service(notebook.name, command, None, None, tmp_path / "marimo.log"))
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: is_healthy(url), "marimo answers")
            return url

        yield serve


def test_the_button_launches_and_the_page_follows_to_the_end(
    project: Path, cli: Cli, browser: Browser, served: Callable[[Path], str]
) -> None:
    browser.open(served(scaffold(cli, "asset", "failing")))
    wait_until(lambda: "Always fails." in browser.text(), "the asset is shown")
    assert "FAILURE" not in browser.text()
    for _ in range(2):  # a second press follows the second run
        before = links(browser)
        browser.press("Materialize")
        wait_until(lambda: links(browser) != before, "the run is shown")  # noqa: B023
        wait_until(lambda: "FAILURE" in browser.text(), "the run has failed")
        assert "ValueError: boom é" in browser.text()
        assert "caused by KeyError: 'missing'" in browser.text()
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")


def test_the_pages_of_dev_and_a_run_from_one_to_the_other(tmp_path: Path, cli: Cli, browser: Browser) -> None:
    """Dagster's page, and the last notebook with its token, which launches on the Dagster beside it."""
    folder = tmp_path / "project"
    shutil.copytree(FIXTURES / "deployment", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".daglab").mkdir()
    assert cli("scaffold", "--asset", "raw_orders", "--dagster-port", "1", cwd=folder).exit_code == 0
    command = [sys.executable, "-m", "daglab", "dev", "--json", "--no-open"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            text = process.stdout.readline()
            while not text.endswith("\n}\n"):
                text += process.stdout.readline()
            found = json.loads(text)
            browser.open(f"{found['dagster']['url']}/assets/raw_orders")
            wait_until(lambda: "raw_orders" in browser.text(), "Dagster shows the asset")
            browser.open(found["marimo"]["page"])
            wait_until(lambda: browser.run(RUN_ALL), "marimo shows the notebook, and its last button runs all of it")
            wait_until(lambda: "Raw orders." in browser.text(), "the asset is shown")
            assert browser.run("return location.origin") == found["marimo"]["url"]
            browser.press("Materialize")
            wait_until(lambda: links(browser), "the run is shown")
            assert all(link.startswith(f"{found['dagster']['url']}/runs/") for link in links(browser))
            wait_until(lambda: "SUCCESS" in browser.text(), "the run has succeeded")
        finally:
            process.terminate()


def links(browser: Browser) -> set[str]:
    return {link for link in browser.run("return [...document.links].map((link) => link.href)") if "/runs/" in link}

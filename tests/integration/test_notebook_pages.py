"""Scaffolded notebooks in a real browser, on a real Dagster: what they show, and what their buttons do."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import helpers
from tests import tiers

pytestmark = pytest.mark.long

FIXTURES = Path(__file__).parents[1] / "fixtures"
Cli = Callable[..., Any]
Serve = Callable[..., str]
CONTROL, ENTER = "\ue009", "\ue007"
ALL = """
const all = (root) => [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
"""
FOCUS_CONFIG = (
    ALL
    + """
const editor = all(document).find((e) => e.tagName === "MARIMO-CODE-EDITOR");
const found = editor && all(editor.shadowRoot).find((e) => e.classList.contains("cm-content"));
if (found) found.focus();
return Boolean(found);
"""
)
BUTTONS = (
    ALL + "return all(document).filter((e) => e.tagName === 'BUTTON' && !e.disabled).map((e) => e.innerText.trim())"
)
SLIDE = (
    ALL
    + """
const found = all(document).find((e) => e.getAttribute && e.getAttribute("role") === "slider");
if (found) found.focus();
return Boolean(found);
"""
)
RUN_ALL = """
const found = [...document.querySelectorAll("[data-testid=run-button]")];
if (found.length > 1) found.pop().click();
return found.length > 1;
"""
# The run that is followed stands there by its whole id, those before it by the beginning of theirs.
LINKS = """
const links = [...document.links].filter((link) => link.href.includes("/runs/") && link.innerText.length === 36);
return links.map((link) => link.href);
"""
VIEW = "return document.documentElement.dataset.daglabView || null"


@pytest.fixture
def project(tmp_path: Path, deployment: Any) -> Path:
    """A project with the deployment's code, so that it runs in the kernel, too."""
    folder = tmp_path / "project"
    shutil.copytree(FIXTURES / "deployment", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "daglab.yaml").write_text(f"dagster:\n  url: {deployment.url}\n")
    (folder / ".daglab").mkdir()
    return folder


def scaffold(cli: Cli, project: Path, *arguments: str) -> Path:
    done = cli("scaffold", *arguments, cwd=project)
    assert done.exit_code == 0, done.stderr
    return Path(done.stdout.strip())


def newest(browser: Any) -> str:
    """The address of the run that is followed, nothing where none is."""
    found = browser.run(LINKS)
    return str(found[0]) if found else ""


def launch(browser: Any, label: str = "Materialize") -> str:
    """Press the button, and wait until the page shows a run that it did not show before."""
    before = newest(browser)
    browser.press(label)
    return str(browser.wait_until(lambda: newest(browser) not in ("", before) and newest(browser), "a run is shown"))


def write_config(browser: Any, text: str) -> None:
    browser.wait_until(lambda: browser.run(FOCUS_CONFIG), "the editor is there")
    browser.type("a", held=CONTROL)
    browser.type(text)


def run_of(deployment: Any, address: str) -> dict[str, Any]:
    query = "query R($id: ID!) { runOrError(runId: $id) { ... on Run { status tags { key value } } } }"
    body = {"query": query, "variables": {"id": address.rpartition("/")[2]}}
    found = requests.post(f"{deployment.url}/graphql", json=body, timeout=60).json()["data"]["runOrError"]
    return {"status": found["status"], **{tag["key"]: tag["value"] for tag in found["tags"]}}


@pytest.mark.parametrize("mode", tiers.few(["run", "edit"], ["edit"]))
def test_the_whole_way_in_the_page(
    project: Path, deployment: Any, cli: Cli, browser: Any, served: Serve, mode: str
) -> None:
    """A partition is picked, a wrong config is shown before the launch, a run succeeds, is exported and attached."""
    notebook = scaffold(cli, project, "--asset", "daily")
    browser.open(served(notebook, mode))
    if mode == "edit":
        browser.wait_until(
            lambda: browser.run(RUN_ALL), "marimo shows the notebook, and its last button runs all of it"
        )
    browser.wait_for("One partition a day.")
    browser.wait_for("The run config is valid.")
    browser.wait_for("Nothing was launched from this notebook yet.")
    browser.press("2026-11-05")  # the last one
    browser.type("2026-11-03" + ENTER)
    browser.wait_until(lambda: "2026-11-03" in browser.run(BUTTONS), "the partition is picked")
    write_config(browser, "ops: 5")
    browser.wait_for("The run config is not valid.")
    browser.wait_for("Value at path root:ops must be dict")
    browser.wait_until(lambda: "Materialize" not in browser.run(BUTTONS), "what is not valid can't be launched")
    write_config(browser, "# nothing")
    browser.wait_for("The run config is valid.")
    found = run_of(deployment, launch(browser))
    assert found["dagster/partition"] == "2026-11-03"
    browser.wait_for("SUCCESS")
    browser.wait_for("Materialized at")
    browser.press("Export and attach")
    browser.wait_for("Exported.")
    browser.wait_for("attached to asset:daily")
    exported = project / "exports" / "asset_daily.html"
    assert "SUCCESS" in exported.read_text(encoding="utf-8")  # the last known run
    assert browser.complaints() == []


@pytest.mark.slow
def test_a_run_that_fails_shows_the_root_error_and_is_retried(
    project: Path, deployment: Any, cli: Cli, browser: Any, served: Serve
) -> None:
    browser.open(served(scaffold(cli, project, "--asset", "failing")))
    browser.wait_for("Always fails.")
    browser.wait_for("The run config is valid.")
    first = launch(browser)
    browser.wait_for("FAILURE")
    browser.wait_for("ValueError: boom é")
    browser.wait_for("caused by KeyError: 'missing'")
    second = launch(browser, "Retry from failure")
    browser.wait_until(lambda: run_of(deployment, second)["status"] == "FAILURE", "the retry has failed, too")
    assert run_of(deployment, second)["dagster/parent_run_id"] == first.rpartition("/")[2]
    browser.press("Reset this notebook")
    browser.wait_for("Nothing was launched from this notebook yet.")
    assert browser.complaints() == []
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.slow
def test_in_the_kernel_nothing_is_recorded(
    project: Path, deployment: Any, cli: Cli, browser: Any, served: Serve
) -> None:
    asked = {"query": "{ runsOrError { ... on Runs { results { runId } } } }"}
    before = requests.post(f"{deployment.url}/graphql", json=asked, timeout=60).json()
    browser.open(served(scaffold(cli, project, "--asset", "raw_orders", "--module", "main.py")))
    browser.wait_for("The run config is valid.")
    browser.press("Run in this kernel")
    browser.wait_for("Not recorded in Dagster, and nothing was stored.")
    browser.wait_for("In this process: SUCCESS")
    assert requests.post(f"{deployment.url}/graphql", json=asked, timeout=60).json() == before


@pytest.mark.slow
def test_the_kernel_stays_responsive_while_a_run_is_followed(
    project: Path, deployment: Any, cli: Cli, browser: Any, served: Serve
) -> None:
    """A slider moved during a run is answered at once; each time is measured in the page, from the key to the text."""
    notebook = scaffold(cli, project, "--asset", "slow")
    text = notebook.read_text()
    cells = """
@app.cell
def slider():
    slider = mo.ui.slider(0, 100, label="Slider")
    slider
    return (slider,)


@app.cell
def answered(slider):
    mo.md(f"answer {slider.value}.")
    return


"""
    notebook.write_text(text.replace('if __name__ == "__main__"', cells.lstrip() + 'if __name__ == "__main__"'))
    browser.open(served(notebook))
    browser.wait_for("The run config is valid.")
    browser.wait_for("answer 0.")
    write_config(browser, "ops: {slow: {config: {seconds: 20}")
    browser.wait_for("The run config is valid.")
    address = launch(browser)
    browser.wait_for("STARTED")
    took = []
    for number in range(1, 11):
        assert browser.run(SLIDE)
        began = time.monotonic()
        browser.type("\ue014")  # arrow right
        browser.wait_for(f"answer {number}.")
        took.append(time.monotonic() - began)
    assert run_of(deployment, address)["status"] == "STARTED"
    print("slider answered after", [round(each, 3) for each in took])
    requests.post(
        f"{deployment.url}/graphql",
        json={
            "query": "mutation T($id: String!) { terminateRun(runId: $id) { __typename } }",
            "variables": {"id": address.rpartition("/")[2]},
        },
        timeout=60,
    )
    browser.wait_for("CANCELED")


class Static(http.server.SimpleHTTPRequestHandler):
    """marimo's own files, as the network would give them to an exported page."""

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """`network(page)` is the address of an exported page whose CDN is this machine."""
    import marimo

    files = tmp_path / "static"
    files.mkdir()
    (files / "cdn").symlink_to(Path(marimo.__file__).parent / "_static")
    handler = functools.partial(Static, directory=str(files))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        ours = f"{address}/cdn"

        def serve(page: Path) -> str:
            text = page.read_text(encoding="utf-8")
            here, count = re.subn(r"https://cdn\.jsdelivr\.net/npm/@marimo-team/[^\s\"']*?/dist", ours, text)
            assert count
            (files / page.name).write_text(here, encoding="utf-8")
            return f"{address}/{page.name}"

        try:
            yield serve
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
def test_an_exported_page_shows_all_of_it(
    project: Path, cli: Cli, browser: Any, network: Callable[[Path], str]
) -> None:
    """With the last known run, the charts and the tables, and with no component that failed; and without a Dagster."""
    launched = cli("run", "--select", "+orders", "--json", cwd=project)
    assert launched.exit_code == 0, launched.stderr
    [run] = json.loads(launched.stdout)["runs"]
    for template in ("minimal", "ml", "asset-group", "default"):
        notebook = scaffold(cli, project, "--asset", "orders", "--template", template, "--force")
        helpers.manage_state(notebook).set("runs", {"orders": run["run_id"]})
        assert cli("export", str(notebook), cwd=project).exit_code == 0
        browser.open(network(project / "exports" / "asset_orders.html"))
        browser.wait_until(lambda: browser.run(VIEW) == "interactive", "marimo's page has taken over")
        browser.wait_for("Clean orders.")
        browser.wait_for(run["run_id"])
        if template != "minimal":
            browser.wait_for("Last runs")
            assert browser.run("return document.querySelectorAll('.daglab svg').length") >= 2
        assert browser.complaints() == []
    nowhere = {"DAGLAB_DAGSTER__URL": "http://127.0.0.1:1", "DAGLAB_DAGSTER__GRAPHQL__MAX_RETRIES": "0"}
    assert cli("export", str(notebook), cwd=project, env=nowhere).exit_code == 0
    browser.open(network(project / "exports" / "asset_orders.html"))
    browser.wait_until(lambda: browser.run(VIEW) == "interactive", "marimo's page has taken over")
    browser.wait_for("Nothing answers at")
    browser.wait_for("The last known run")
    browser.wait_for(run["run_id"])
    assert browser.complaints() == []

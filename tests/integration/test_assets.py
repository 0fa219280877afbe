"""A notebook made an asset by `daglab scaffold --as-asset`, run by a real Dagster with a process for each step."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import asset_pages, processes
from daglab.assets import notebook_asset

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).resolve().parents[2]
MADE = """
query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { kinds
  assetMaterializations(limit: 5) { runId metadataEntries { __typename label
    ... on UrlMetadataEntry { url } ... on IntMetadataEntry { intRepr } } } } } }
"""
LINKS = "return [...document.querySelectorAll('a')].filter((a) => a.href === arguments[0] && a.offsetWidth).length"
NOTEBOOK = """
import marimo

app = marimo.App()

with app.setup:
    NOTEBOOK = {"title": "Orders", "target": "asset:orders"}


@app.cell
def _():
    import marimo as mo
    from daglab import helpers
    from shop import orders as shop  # the project's own code

    given = mo.cli_args().to_dict()
    helpers.result("rows", len(shop.read()))
    return (given,)


@app.cell
def _(given):
    import os
    import subprocess
    import time
    from pathlib import Path

    if given.get("wait"):
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        Path(given["wait"]).write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)
    return


if __name__ == "__main__":
    app.run()
"""


@dataclass(frozen=True)
class Shop:
    """A project of `daglab init` under `dagster dev`, with what scaffolding said."""

    root: Path
    url: str
    said: dict[str, Any]
    env: dict[str, str] = field(default_factory=dict)

    def daglab(self, *arguments: str, code: int = 0) -> Any:
        return daglab(self.root, self.env, *arguments, "--url", self.url, code=code)


def daglab(root: Path, env: dict[str, str], *arguments: str, code: int = 0) -> Any:
    command = [sys.executable, "-m", "daglab", *arguments, "--json"]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    base = tmp_path_factory.mktemp("shop")
    root, home = base / "shop", base / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}\n"
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    env = {"PATH": path, "HOME": str(base), "DAGSTER_HOME": str(home), "LANG": "C.UTF-8", "PYTHONPATH": str(REPOSITORY)}
    daglab(base, env, "init", "--bootstrap", "shop")
    notebook = root / "dagster" / "notebooks" / "orders_page.py"
    notebook.write_text(NOTEBOOK)
    dashboard = processes.find_free_port()
    with (root / "daglab.yaml").open("a") as file:
        file.write(f"dashboard: {{port: {dashboard}}}\n")
    said = daglab(root, env, "scaffold", "--as-asset", str(notebook), "--asset", "reports/orders")
    definitions = root / "shop" / "definitions.py"
    use, line = said["add"]
    text = definitions.read_text().replace("from shop import assets, jobs", f"from shop import assets, jobs\n{use}")
    text = text.replace("assets=[", f"assets=[{line.partition(',')[0]}, ")
    definitions.write_text(text.replace("    executor=in_process_executor,\n", ""))  # Dagster's default: multiprocess
    port = processes.find_free_port()
    commands = {
        "dev": ["-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)],
        "dashboard": ["-m", "daglab", "dashboard"],
    }
    with processes.keeper() as kept:
        for name, command in commands.items():
            processes.start(kept, processes.Service(name, [sys.executable, *command], root, env, base / f"{name}.log"))
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(f"{url}/server_info"), lambda: (base / "dev.log").read_text())
        yield Shop(root, url, {**said, "dashboard": f"http://127.0.0.1:{dashboard}"}, env)


def wait_until(condition: Callable[[], Any], why: Callable[[], object], seconds: float = 180) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)
    return found


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).ok
    except requests.RequestException:
        return False


def ask(shop: Shop, query: str, **variables: Any) -> Any:
    body = {"query": query, "variables": variables}
    answer = requests.post(f"{shop.url}/graphql", json=body, timeout=60).json()
    assert "errors" not in answer, answer
    return answer["data"]


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_its_code_is_sound_and_loads(shop: Shop) -> None:
    assert (shop.said["asset"], shop.said["deps"], shop.said["notebook"]) == (
        "reports/orders",
        ["orders"],
        "dagster/notebooks/orders_page.py",
    )
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["dagster", "definitions", "validate"]):
        paths = [] if command[0] == "dagster" else shop.said["files"]
        done = subprocess.run(
            [sys.executable, "-m", *command, *paths], cwd=shop.root, env=shop.env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_link_on_the_assets_page_opens_what_the_notebook_showed(shop: Shop, browser: Any) -> None:
    [run] = shop.daglab("run", "--asset-selection", "reports/orders")["runs"]
    node = ask(shop, MADE, key={"path": ["reports", "orders"]})["assetNodeOrError"]
    entries = {entry["label"]: entry for entry in node["assetMaterializations"][0]["metadataEntries"]}
    link = f"{shop.said['dashboard']}/exports/assets/reports/orders.html"
    assert node["kinds"] == ["marimo"]
    assert node["assetMaterializations"][0]["runId"] == run["run_id"]
    assert (entries["exploration"]["__typename"], entries["exploration"]["url"]) == ("UrlMetadataEntry", link)
    assert int(entries["result/rows"]["intRepr"]) > 0
    ask(shop, "mutation { setNuxSeen }")
    browser.open(f"{shop.url}/assets/reports/orders?view=events")
    browser.wait_until(lambda: browser.run(LINKS, link), "the link can be clicked")
    wait_until(lambda: answers(f"{shop.said['dashboard']}/health"), lambda: "the dashboard answers")
    browser.open(link)
    browser.wait_for("rows")


@pytest.mark.slow
def test_a_cancelled_run_leaves_nothing_of_the_notebook(shop: Shop) -> None:
    pids = shop.root / "pids"
    config = json.dumps({"ops": {"reports__orders": {"config": {"wait": str(pids)}}}})
    [run] = shop.daglab("run", "--asset-selection", "reports/orders", "--no-wait", "--config-yaml", config)["runs"]
    wait_until(pids.exists, lambda: shop.daglab("runs", "show", run["run_id"]))
    both = [int(pid) for pid in wait_until(pids.read_text, lambda: "they are written").split()]
    assert all(map(is_there, both))
    shop.daglab("runs", "cancel", run["run_id"])
    wait_until(lambda: not any(map(is_there, both)), lambda: both)


@pytest.mark.slow
def test_it_is_uploaded_and_its_signed_link_is_clickable(
    tmp_path: Path, s3_place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where exports/ can't be written, as on many pods."""
    dagster = pytest.importorskip("dagster")
    (tmp_path / "daglab.yaml").write_text("version: 1\n")
    (tmp_path / "exports").write_text("not a folder")
    notebook = tmp_path / "nb.py"
    notebook.write_text("import marimo\napp = marimo.App()\n@app.cell\ndef _():\n    6 * 7\n    return\n")
    monkeypatch.setenv("DAGSTER_RUN_JOB_NAME", "as-in-a-pod")
    upload = f"s3://{s3_place.bucket}/reports"
    one = notebook_asset(notebook, key="reports/nb", upload=upload, sign=timedelta(hours=1))
    with warnings.catch_warnings(), dagster.DagsterInstance.ephemeral() as instance:
        warnings.simplefilter("ignore")  # Dagster's own
        done = dagster.materialize([one], instance=instance)
    [event] = done.asset_materializations_for_node("reports__nb")
    told = event.metadata
    assert told["uploaded_to"].value == f"{upload}/{asset_pages.FOLDER}/reports/nb.html"
    assert not {"html", "warning"} & told.keys()
    link = told["exploration"].value
    answer = requests.get(link, timeout=60)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"42" in answer.content
    tampered = re.sub("X-Amz-Expires=3600", "X-Amz-Expires=360000", link)
    assert tampered != link
    assert requests.get(tampered, timeout=60).status_code == 403
    assert told["link_expires_at"].value > time.time() + 3000

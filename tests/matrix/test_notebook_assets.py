"""A notebook as an asset: under `dagster dev` with a process for each step, by Dagster's own command, in its page."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

LATEST = """
query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { computeKind
  assetMaterializations(limit: 9) { partition runId metadataEntries { __typename label
    ... on UrlMetadataEntry { url } ... on PathMetadataEntry { path } ... on TextMetadataEntry { text }
    ... on JsonMetadataEntry { jsonString } } } } } }
"""


def ask(dev: Any, *key: str) -> Any:
    body = {"query": LATEST, "variables": {"key": {"path": key}}}
    answer = requests.post(f"{dev.url}/graphql", json=body, timeout=60).json()
    assert "errors" not in answer, answer
    return answer["data"]["assetNodeOrError"]


@pytest.fixture
def launch(dev: Any, cli: Callable[..., Any]) -> Callable[..., Any]:
    """`daglab run` against what `dagster dev` has started; its document."""

    def run(*arguments: str, code: int = 0) -> Any:
        done = cli("run", *arguments, "--url", dev.url, "--json", cwd=dev.project)
        assert done.exit_code == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


def test_it_materialises_with_a_process_for_each_step(dev: Any, launch: Callable[..., Any], browser: Any) -> None:
    [run] = launch("--job", "pages")["runs"]
    assert run["status"] == "SUCCESS"
    node = ask(dev, "page")
    [made] = [each for each in node["assetMaterializations"] if each["runId"] == run["run_id"]]
    entries = {entry["label"]: entry for entry in made["metadataEntries"]}
    assert entries["exploration"]["__typename"] == "UrlMetadataEntry"
    link = "http://127.0.0.1:3030/exports/assets/page.html"
    assert entries["exploration"]["url"] == link
    assert json.loads(entries["parameters"]["jsonString"]) == {"days": 7}
    assert Path(entries["html"]["path"]).samefile(dev.project / "exports" / "assets" / "page.html")
    [kind] = {node["computeKind"], *kinds(dev)} - {None}
    assert kind == "marimo"
    sees_the_link(dev, browser, link)


def kinds(dev: Any) -> list[str]:
    if dev.version.startswith("1.5."):
        return []
    query = '{ assetNodeOrError(assetKey: {path: ["page"]}) { ... on AssetNode { kinds } } }'
    answer = requests.post(f"{dev.url}/graphql", json={"query": query}, timeout=60).json()
    return list(answer["data"]["assetNodeOrError"]["kinds"])


def sees_the_link(dev: Any, browser: Any, link: str) -> None:
    requests.post(f"{dev.url}/graphql", json={"query": "mutation { setNuxSeen }"}, timeout=60)
    browser.open(f"{dev.url}/assets/page?view=events")
    found = "return [...document.querySelectorAll('a')].filter((a) => a.href === arguments[0] && a.offsetWidth).length"
    browser.wait_until(lambda: browser.run(found, link), "the link can be clicked")


def test_a_partition_is_a_parameter(dev: Any, launch: Callable[..., Any]) -> None:
    launch("--asset-selection", "pages/daily", "--partition", "2026-11-02")
    [made] = ask(dev, "pages", "daily")["assetMaterializations"]
    given = next(entry["jsonString"] for entry in made["metadataEntries"] if entry["label"] == "parameters")
    assert (made["partition"], json.loads(given)["partition"]) == ("2026-11-02", "2026-11-02")
    page = (dev.project / "exports/assets/pages/daily@2026-11-02.html").read_text()
    assert "partition=2026-11-02, partition_end=2026-11-03T00:00:00+00:00" in page


def test_a_cell_that_fails_fails_the_step(dev: Any, launch: Callable[..., Any]) -> None:
    config = "{ops: {page: {config: {fail: true, days: 3}}}}"
    [run] = launch("--job", "pages", "--config-yaml", config, code=4)["runs"]
    [problem] = run["errors"]
    assert "cell 2: ValueError: boom é" in problem["error"], problem
    assert "days=3, fail=True" in (dev.project / "exports/assets/page.failed.html").read_text()
    launch("--job", "pages", "--validate-only", "--config-yaml", "{ops: {page: {config: {days: x}}}}", code=7)


def test_by_dagsters_own_command(dev: Any) -> None:
    command = [dev.python, "-m", "dagster", "asset", "materialize", "--select", "page", "-f", "shop.py"]
    done = subprocess.run(command, cwd=dev.project, env=dev.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "exports/assets/page.html" in (dev.project / ".daglab" / "exports.jsonl").read_text().splitlines()[-1]

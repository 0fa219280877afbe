"""`daglab export --attach` against a real Dagster: what stands on the asset's page afterwards, and what does not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import processes
from tests import tiers

pytestmark = pytest.mark.long

NOTEBOOK = """
import marimo

__generated_with = "0.25.0"
app = marimo.App()


@app.cell
def a():
    open("ran", "w").close()
    return


if __name__ == "__main__":
    app.run()
"""
WRAPPER = """#!{python}
import json, os, sys
with open({folder!r} + f"/{{os.getpid()}}.json", "w") as file:
    json.dump([sys.argv, dict(os.environ)], file)
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""
OTHER_RUN = """
from dagster import DagsterInstance, job

@job
def somebody_elses():
    pass

with DagsterInstance.get() as instance:
    assert somebody_elses.execute_in_process(instance=instance).success
"""
OBSERVATIONS = """query O($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetObservations(limit: 100) { description metadataEntries { __typename label
    ... on UrlMetadataEntry { url } ... on PathMetadataEntry { path } ... on TextMetadataEntry { text } } } } } }"""
GHOST = """query G($key: [String!]!) { assetsOrError(prefix: $key) { ... on AssetConnection { nodes { key { path } } } }
  assetOrError(assetKey: { path: $key }) { ... on Asset { assetObservations(limit: 1) { runId } } } }"""
RUNS = "{ runsOrError(limit: 1) { ... on Runs { results { runId } } } }"

Cli = Callable[..., Any]


def ask(url: str, query: str, **variables: Any) -> Any:
    answer = requests.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
    assert "errors" not in answer, answer
    return answer["data"]


def observations(url: str, key: str) -> list[dict[str, dict[str, Any]]]:
    found = ask(url, OBSERVATIONS, key={"path": key.split("/")})["assetNodeOrError"]["assetObservations"]
    return [{entry["label"]: entry for entry in each["metadataEntries"]} for each in found]


def of(url: str, key: str, identity: str) -> dict[str, dict[str, Any]]:
    """The entries of the one observation that the export with this id has made."""
    [found] = [each for each in observations(url, key) if each.get("daglab/export_id", {}).get("text") == identity]
    return found


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".db-wal", ".db-shm"))
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def error(result: Any) -> dict[str, Any]:
    document = json.loads(result.stdout)
    assert document["ok"] is False
    found: dict[str, Any] = document["error"]
    assert found["exit_code"] == result.exit_code
    assert found["hint"]
    return found


@pytest.fixture
def project(tmp_path: Path, deployment: Any, cli: Cli) -> Path:
    """The current folder as a project with a notebook; the deployment has had a run."""
    (tmp_path / "daglab.yaml").write_text(
        f"dagster:\n  url: {deployment.url}\nexport:\n  base_url: https://pages.example\n"
    )
    (tmp_path / ".daglab").mkdir()
    (tmp_path / "nb.py").write_text(NOTEBOOK)
    if not ask(deployment.url, RUNS)["runsOrError"]["results"]:
        assert cli("run", "--asset-selection", "raw_orders").exit_code == 0
    return tmp_path


@pytest.fixture(scope="module")
def other_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DAGSTER_HOME of another deployment, which has had a run, too."""
    home = tmp_path_factory.mktemp("other_home")
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    env = {**os.environ, "DAGSTER_HOME": str(home)}
    subprocess.run([sys.executable, "-c", OTHER_RUN], env=env, check=True, capture_output=True, timeout=120)
    return home


@pytest.mark.slow
def test_instance_is_taken_by_itself_and_writes_a_link_that_can_be_clicked(
    project: Path, deployment: Any, cli: Cli
) -> None:
    key = "outer space/größe <b>&"
    home = {"DAGSTER_HOME": str(deployment.home)}
    done = cli("export", "nb.py", "--attach", f"asset:{key}", "--json", env=home)
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    link = "https://pages.example/exports/project/nb.html"
    [attached] = document["attached"]
    told = {"target": f"asset:{key}", "partition": None, "via": "instance", "link": link}
    assert attached == {**told, "link_type": "UrlMetadataEntry", "at": attached["at"]}
    entries = of(deployment.url, key, document["id"])
    assert (entries["exploration"]["__typename"], entries["exploration"]["url"]) == ("UrlMetadataEntry", link)
    for label, path in (("notebook", project / "nb.py"), ("html", project / "exports" / "project" / "nb.html")):
        assert (entries[label]["__typename"], entries[label]["path"]) == ("PathMetadataEntry", str(path))
    assert entries["html_sha256"]["text"] == hashlib.sha256(Path(document["output"]).read_bytes()).hexdigest()
    *_, record = (project / ".daglab" / "exports.jsonl").read_text().splitlines()
    assert json.loads(record)["attached"] == document["attached"]


def test_the_child_of_instance_sees_no_token(project: Path, deployment: Any, cli: Cli, tmp_path: Path) -> None:
    seen, wrapper = tmp_path / "seen", tmp_path / "python"
    seen.mkdir()
    wrapper.write_text(WRAPPER.format(python=sys.executable, folder=str(seen)))
    wrapper.chmod(0o755)
    env = {
        "DAGSTER_HOME": str(deployment.home),
        "DAGLAB_DAGSTER__PYTHON": str(wrapper),
        "DAGLAB_DAGSTER__AUTH__TOKEN_ENV": "DAGLAB_MY_TOKEN",
        "DAGLAB_MY_TOKEN": "s3cret",
        "DAGSTER_GRAPHQL_TOKEN": "s3cret",
        "DAGSTER_CLOUD_API_TOKEN": "s3cret",
    }
    done = cli("export", "nb.py", "--attach", "asset:src/customers", "--via", "instance", env=env)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{project / 'exports' / 'project' / 'nb.html'}\n"
    assert "by way of instance" in done.stderr
    assert f"{deployment.url}/assets/src/customers?view=events" in done.stderr
    children = [json.loads(path.read_text()) for path in seen.iterdir()]
    [(argv, environ)] = [child for child in children if "observation.py" in child[0][-1]]
    assert environ["DAGSTER_HOME"] == str(deployment.home)
    assert "s3cret" not in str([argv, environ])
    assert len(argv) == 2
    assert "s3cret" not in done.stdout + done.stderr
    assert "s3cret" not in str([path.read_text() for path in (project / ".daglab").rglob("*.jsonl")])


def test_without_dagster_home_rest_is_taken(project: Path, deployment: Any, cli: Cli) -> None:
    done = cli("export", "nb.py", "--attach", "asset:odd-key/v1.2")
    assert done.exit_code == 0, done.stderr
    assert "by way of rest" in done.stderr
    assert "can't be clicked" in done.stderr
    *_, record = (project / ".daglab" / "exports.jsonl").read_text().splitlines()
    entries = of(deployment.url, "odd-key/v1.2", json.loads(record)["id"])
    kinds = {entry["__typename"] for entry in entries.values()}
    assert kinds == {"TextMetadataEntry", "IntMetadataEntry", "FloatMetadataEntry"}
    assert entries["exploration"]["text"] == "https://pages.example/exports/project/nb.html"
    assert entries["notebook"]["text"] == str(project / "nb.py")


@pytest.mark.parametrize("which", tiers.few(["empty", "other"], ["other"]))
def test_a_foreign_dagster_home_is_never_written_to(
    project: Path, deployment: Any, cli: Cli, other_home: Path, which: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = other_home if which == "other" else tmp_path_factory.mktemp("empty_home")
    before, key = content(home), "regional"
    written = len(observations(deployment.url, key))
    env = {"DAGSTER_HOME": str(home)}

    refused = cli("export", "nb.py", "--attach", f"asset:{key}", "--via", "instance", "--json", env=env)
    assert refused.exit_code == 3, refused.stderr
    assert "--via rest" in error(refused)["hint"]
    document = json.loads(refused.stdout)
    assert document["attached"] == []
    assert Path(document["output"]).exists()
    assert len(observations(deployment.url, key)) == written

    done = cli("export", "nb.py", "--attach", f"asset:{key}", "--json", env=env)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["attached"][0]["via"] == "rest"
    assert of(deployment.url, key, json.loads(done.stdout)["id"])
    assert content(home) == before


@pytest.mark.parametrize("via", [[], ["--via", "rest"], ["--via", "instance"]])
def test_an_unknown_asset_is_refused_before_the_notebook_runs(
    project: Path, deployment: Any, cli: Cli, via: list[str]
) -> None:
    key, home = "raw_order", {"DAGSTER_HOME": str(deployment.home)}
    done = cli("export", "nb.py", "--attach", f"asset:{key}", *via, "--json", env=home)
    assert done.exit_code == 7
    assert "raw_orders" in error(done)["hint"]
    assert not (project / "ran").exists()
    assert not (project / "exports").exists()
    ghost = ask(deployment.url, GHOST, key=[key])
    assert ghost == {"assetsOrError": {"nodes": []}, "assetOrError": {"assetObservations": []}}


@pytest.fixture
def read_only(deployment: Any, tmp_path: Path) -> Iterator[str]:
    """A second webserver over the same home, one that refuses to write."""
    port = processes.find_free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path / "read_only.log"
    command = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "--read-only"]
    env = {**os.environ, "DAGSTER_HOME": str(deployment.home)}
    with processes.keeper() as kept:
        service = processes.Service("webserver", [*command, "-f", "main.py"], deployment.project, env, log)
        processes.start(kept, service)
        deadline = time.monotonic() + 180
        while not is_up(url):
            assert not processes.ended(kept), log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield url


def is_up(url: str) -> bool:
    try:
        return "dagster_version" in requests.get(f"{url}/server_info", timeout=10).json()
    except (requests.RequestException, ValueError):
        return False


@pytest.mark.slow
def test_a_read_only_server_refuses(project: Path, deployment: Any, cli: Cli, read_only: str) -> None:
    written = len(observations(deployment.url, "coloured"))
    done = cli("export", "nb.py", "--attach", "asset:coloured", "--url", read_only, "--json")
    assert done.exit_code == 6, done.stderr
    assert "--read-only" in error(done)["hint"]
    assert json.loads(done.stdout)["attached"] == []
    assert len(observations(deployment.url, "coloured")) == written

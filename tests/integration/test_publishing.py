"""Publishing against a real Dagster and real stores: what is there afterwards, whatever broke in the middle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab.exported import export_record
from tests import tiers

pytestmark = pytest.mark.long

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def a():
    with open("ran", "a") as file:
        file.write("x")
    return
"""
FAILING = NOTEBOOK.replace("    return", "    1 / 0\n    return")
OBSERVATIONS = """query O($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetObservations(limit: 1000) { description partition metadataEntries { __typename label
    ... on UrlMetadataEntry { url } ... on PathMetadataEntry { path } ... on TextMetadataEntry { text } } } } } }"""
EVALUATIONS = """query E($key: AssetKeyInput!, $name: String!) {
  assetCheckExecutions(assetKey: $key, checkName: $name, limit: 99) {
    evaluation { success metadataEntries { label ... on TextMetadataEntry { text } } }
  }
}"""
RUNS = "{ runsOrError(limit: 1) { ... on Runs { results { runId } } } }"

Cli = Callable[..., Any]


def ask(url: str, query: str, **variables: Any) -> Any:
    answer = requests.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
    assert "errors" not in answer, answer
    return answer["data"]


def observations(url: str, key: str, notebook: Path) -> list[dict[str, Any]]:
    """The observations of this notebook, newest first: entries by label, partition and description."""
    node = ask(url, OBSERVATIONS, key={"path": key.split("/")})["assetNodeOrError"]
    found = [
        {**each, **{entry["label"]: entry for entry in each["metadataEntries"]}} for each in node["assetObservations"]
    ]
    paths = ({each["notebook"].get("path"), each["notebook"].get("text")} for each in found)
    return [each for each, names in zip(found, paths, strict=True) if str(notebook) in names]


def evaluations(url: str, key: str, name: str, identity: str) -> list[bool]:
    """Whether each of the evaluations with this id has passed."""
    found = ask(url, EVALUATIONS, key={"path": key.split("/")}, name=name)["assetCheckExecutions"]
    return [
        each["evaluation"]["success"]
        for each in found
        if any(entry.get("text") == identity for entry in each["evaluation"]["metadataEntries"])
    ]


def lines(project: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (project / ".daglab" / "exports.jsonl").read_text().splitlines()]


@pytest.fixture
def project(tmp_path: Path, deployment: Any, cli: Cli) -> Path:
    """The current folder as a project with a notebook; the deployment has had a run."""
    (tmp_path / "daglab.yaml").write_text(f"dagster:\n  url: {deployment.url}\n")
    (tmp_path / ".daglab").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "nb.py").write_text(NOTEBOOK)
    if not ask(deployment.url, RUNS)["runsOrError"]["results"]:
        assert cli("run", "--asset-selection", "raw_orders").exit_code == 0
    return tmp_path


def test_upload_attach_check_and_the_same_again(project: Path, deployment: Any, cli: Cli) -> None:
    line = ["export", "nb.py", "--upload", f"file://{project}/store", "--json", "--check", "orders_ok"]
    line += ["--attach", "asset:orders"]
    env = {"DAGSTER_HOME": str(deployment.home)}
    done = cli(*line, env=env)
    assert done.exit_code == 0, done.stderr + done.stdout
    document = json.loads(done.stdout)
    stored = project / "store" / "project" / "nb.html"
    assert document["upload"]["address"] == f"file://{stored}"
    assert document["upload"]["sha256"] == hashlib.sha256(stored.read_bytes()).hexdigest() == document["sha256"]
    [attached] = document["attached"]
    assert (attached["target"], attached["via"], "already" in attached) == ("asset:orders", "instance", False)
    [check] = document["check"]
    assert (check["passed"], check["via"], check["name"]) == (True, "instance", "orders_ok")
    assert evaluations(deployment.url, "orders", "orders_ok", document["id"]) == [True]
    assert [each["step"] for each in lines(project) if "intent" in each] == ["publish", "upload", "attach", "check"]


# --- killed at each point, and the same line again; `published.py` is the line, "running the notebook" is quick there

SCRIPT = Path(__file__).with_name("published.py")


def publish(project: Path, options: dict[str, Any], point: str = "", **env: str) -> tuple[int, dict[str, Any]]:
    """How the process ended, and what it printed."""
    command = [sys.executable, SCRIPT, project, point, json.dumps(options)]
    variables = {**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent.parent), **env}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    if point:
        assert done.returncode == -signal.SIGKILL, done.stderr
        return done.returncode, {}
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


@pytest.fixture
def options(project: Path, deployment: Any) -> dict[str, Any]:
    """REST is the quickest way."""
    place = f"file://{project}/store"
    return {"url": deployment.url, "attach": ["asset:orders"], "upload": place, "check": "orders_ok"}


def ran(project: Path) -> int:
    return len((project / "ran").read_text())


def ids(project: Path, url: str) -> list[str]:
    return [each["daglab/export_id"]["text"] for each in observations(url, "orders", project / "nb.py")]


def agrees(project: Path, url: str, document: dict[str, Any]) -> None:
    """One object, one observation, one evaluation for the export; the record says so, and nothing is left open."""
    [stored] = [path for path in (project / "store").rglob("*") if path.is_file()]
    recorded = export_record.read(project)[-1]
    assert recorded["id"] == document["id"]
    assert recorded["upload"]["address"] == f"file://{stored}"
    assert recorded["upload"]["sha256"] == hashlib.sha256(stored.read_bytes()).hexdigest()
    assert len(ids(project, url)) == 1
    assert [each["target"] for each in recorded["attached"]] == ["asset:orders"]
    assert evaluations(url, "orders", "orders_ok", document["id"]) == [True]
    assert export_record.unfinished(project) == []
    assert not [line for line in export_record.read(project) if line.get("pending")]


# The point, and whether the notebook runs a second time after it.
KILLED = [
    ("intend publish", False),
    ("intend upload", False),
    ("after put", False),
    ("intend attach", False),
    ("after sent", False),
    ("after attach", False),
    ("intend check", False),
    ("after told", False),
    ("before append", False),
    ("after append", True),
]


@pytest.mark.parametrize(
    ("point", "again"),
    tiers.few(KILLED, [("after put", False), ("intend attach", False), ("after told", False), ("after append", True)]),
    ids=[point for point, _ in KILLED],
)
def test_killed_and_the_same_line_again(
    project: Path, deployment: Any, options: dict[str, Any], point: str, again: bool
) -> None:
    publish(project, options, point)
    code, document = publish(project, options)
    assert code == 0, document
    assert document["taken_up"] is not again
    assert ran(project) == 1 + again
    agrees(project, deployment.url, document)
    if not again:
        assert ids(project, deployment.url) == [document["id"]]


@pytest.mark.parametrize("point", ["after put", "after sent", "after attach"])
def test_killed_long_ago_or_changed_since_is_settled_and_not_taken_up(
    project: Path, deployment: Any, options: dict[str, Any], point: str
) -> None:
    """The content is the same, so the observation that was made before the kill is the only one."""
    publish(project, options, point)
    (project / "nb.py").write_text(NOTEBOOK + "# changed\n")
    code, document = publish(project, options)
    assert (code, document["taken_up"], ran(project)) == (0, False, 2), document
    agrees(project, deployment.url, document)
    before, now = export_record.read(project)
    assert bool(before["attached"]) is (point != "after put")
    assert bool(now["attached"][0].get("already")) is (point != "after put")
    assert before["upload"]["address"] == now["upload"]["address"]


def test_killed_twice(project: Path, deployment: Any, options: dict[str, Any]) -> None:
    publish(project, options, "after put")
    publish(project, options, "after sent")
    code, document = publish(project, options)
    assert (code, document["taken_up"], ran(project)) == (0, True, 1), document
    agrees(project, deployment.url, document)


def test_what_cannot_be_found_out_sends_nothing(
    project: Path, deployment: Any, options: dict[str, Any], proxy: Any
) -> None:
    """Dagster's queries of observations fail: nobody can tell whether the report was written, so none is sent."""
    options["url"] = proxy.url
    publish(project, options, "after sent")
    proxy.faults["Observations"] = lambda client, _forward: client.close()
    code, document = publish(project, options)
    assert (code, document["error"]["code"]) == (5, "outcome_unknown"), document
    assert document["attached"] == []
    assert document["upload"]
    assert len(ids(project, deployment.url)) == 1
    assert publish(project, options)[0] == 5
    proxy.faults.clear()
    code, document = publish(project, options)
    assert code == 0, document
    agrees(project, deployment.url, document)


# --- the same content, several targets, failures


def test_the_same_content_is_not_attached_twice(project: Path, deployment: Any, options: dict[str, Any]) -> None:
    first = publish(project, options)[1]
    code, second = publish(project, options)
    [attached] = second["attached"]
    assert (code, attached["already"], attached["link"]) == (0, True, first["link"])
    assert ids(project, deployment.url) == [first["id"]]
    third = publish(project, {**options, "html": "<p>another</p>"})[1]
    assert "already" not in third["attached"][0]
    back = publish(project, options)[1]
    assert "already" not in back["attached"][0]  # the newest there shows the other one
    assert ids(project, deployment.url) == [back["id"], third["id"], first["id"]]


def test_several_targets_each_with_its_partition(project: Path, deployment: Any, options: dict[str, Any]) -> None:
    targets = ["asset:orders", "asset:regional@eu", "asset:regional@us"]
    code, document = publish(project, {**options, "attach": targets, "check": None})
    assert code == 0, document
    told = [(each["target"], each["partition"]) for each in document["attached"]]
    assert told == [("asset:orders", None), ("asset:regional", "eu"), ("asset:regional", "us")]
    found = observations(deployment.url, "regional", project / "nb.py")
    assert sorted(each["partition"] for each in found) == ["eu", "us"]
    assert publish(project, {**options, "attach": ["asset:regional@mars"], "check": None})[0] == 7
    assert ran(project) == 1


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"check": "order_ok"}, 7, "orders_ok"),
        ({"upload": "file:///proc/nowhere"}, 7, "nowhere"),
        ({"upload": None, "sign": 60}, 2, "--upload"),
        ({"via": "graphql"}, 2, "--via"),
    ],
)
def test_what_cannot_be_is_said_before_the_notebook_runs(
    project: Path, options: dict[str, Any], change: dict[str, Any], code: int, text: str
) -> None:
    found, document = publish(project, {**options, **change})
    assert found == code, document
    assert text in f"{document['error']['message']} {document['error']['hint']}"
    assert not (project / "ran").exists()


def test_a_failed_notebook_is_reported(project: Path, deployment: Any, cli: Cli) -> None:
    (project / "nb.py").write_text(FAILING)
    line = ["export", "nb.py", "--upload", f"file://{project}/store", "--json", "--check", "orders_ok"]
    line += ["--attach", "asset:orders", "--via", "rest", "--attach-failure"]
    done = cli(*line)
    document = json.loads(done.stdout)
    assert (done.exit_code, document["ok"], document["error"]["code"]) == (4, False, "not_good")
    assert document["upload"]["address"].endswith("/nb.failed.html")
    [found] = observations(deployment.url, "orders", project / "nb.py")
    assert found["description"].startswith("Notebook export failed")
    assert "ZeroDivisionError" in found["error"]["text"]
    assert evaluations(deployment.url, "orders", "orders_ok", document["id"]) == [False]


# --- signed links, on a store that checks signatures


@pytest.fixture
def bucket(s3_server: Any) -> str:
    name = f"b{uuid.uuid4().hex[:12]}"
    (s3_server.folder / name).mkdir()
    return name


@pytest.mark.slow
def test_a_signed_link_is_attached_and_shown_nowhere(
    project: Path, deployment: Any, options: dict[str, Any], s3_server: Any, bucket: str
) -> None:
    options.update(upload=f"s3://{bucket}/nightly", sign=3600)
    code, document = publish(project, options, **s3_server.env)
    assert code == 0, document
    assert "?" not in document["link"]
    assert document["signed"].keys() == {"expires_at", "seconds"}
    [found] = observations(deployment.url, "orders", project / "nb.py")
    link = found["exploration"]["text"]
    answer = requests.get(link, timeout=30)
    assert (answer.status_code, answer.text) == (200, "<p>the same</p>")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert requests.get(document["link"], timeout=30).status_code == 403
    signature = link.partition("X-Amz-Signature=")[2].partition("&")[0]
    assert signature
    assert signature not in json.dumps(document)
    path = project / ".daglab" / "exports.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert export_record.read(project)[-1]["signed"]["url"] == link
    again = publish(project, options, **s3_server.env)[1]
    assert (again["attached"][0]["already"], again["signed"]) == (True, document["signed"])
    assert signature not in json.dumps(again)
    for each in export_record.read(project):  # a link that is about to run out is no reason to leave it at that
        export_record.amend(project, each["id"], signed={**each["signed"], "expires_at": "2026-01-01T00:00:00+00:00"})
    anew = publish(project, options, **s3_server.env)[1]
    assert "already" not in anew["attached"][0]
    assert publish(project, {**options, "sign": 700_000}, **s3_server.env)[0] == 7


@pytest.mark.slow
@pytest.mark.parametrize("point", tiers.few(["after signed", "intend attach", "after sent"], ["after signed"]))
def test_killed_with_a_signed_link(
    project: Path, deployment: Any, options: dict[str, Any], s3_server: Any, bucket: str, point: str
) -> None:
    options.update(upload=f"s3://{bucket}/nightly", sign=3600)
    publish(project, options, point, **s3_server.env)
    code, document = publish(project, options, **s3_server.env)
    assert (code, document["taken_up"]) == (0, True), document
    [found] = observations(deployment.url, "orders", project / "nb.py")
    assert requests.get(found["exploration"]["text"], timeout=30).status_code == 200
    assert export_record.read(project)[-1]["signed"]["url"] == found["exploration"]["text"]
    assert [path.name for path in (s3_server.folder / bucket).rglob("*") if path.is_file()] == ["nb.html"]


# --- what breaks without a kill


@pytest.mark.slow
def test_credentials_that_end_in_the_middle(
    project: Path, deployment: Any, options: dict[str, Any], s3_server: Any, bucket: str
) -> None:
    options.update(upload=f"s3://{bucket}/nightly")
    code, document = publish(project, options, **{**s3_server.env, "AWS_SECRET_ACCESS_KEY": "another"})
    assert (code, ran_at_all(project)) == (6, False), document
    code, document = publish(project, {**options, "break": "credentials"}, **s3_server.env)
    assert (code, document["upload"], document["attached"]) == (6, None, []), document
    assert ids(project, deployment.url) == []
    code, document = publish(project, options, **s3_server.env)
    assert (code, len(ids(project, deployment.url))) == (0, 1), document


@pytest.mark.slow
def test_a_bucket_that_goes_in_the_middle(
    project: Path, deployment: Any, options: dict[str, Any], s3_server: Any, bucket: str
) -> None:
    options.update(upload=f"s3://{bucket}/nightly")
    code, document = publish(project, {**options, "break": f"bucket {s3_server.folder / bucket}"}, **s3_server.env)
    assert (code, document["upload"], document["attached"]) == (7, None, []), document
    (s3_server.folder / bucket).mkdir()
    code, document = publish(project, options, **s3_server.env)
    assert (code, len(ids(project, deployment.url))) == (0, 1), document


@pytest.fixture
def cut(s3_server: Any) -> Iterator[str]:
    """The store behind a wire that is cut once a request has gone through: whatever it answers is lost."""
    port = int(s3_server.url.rpartition(":")[2])

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(1)
            with socket.create_connection(("127.0.0.1", port), timeout=10) as store, contextlib.suppress(OSError):
                while piece := self.request.recv(65536):
                    store.sendall(piece)

    class Threaded(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Threaded(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_the_network_to_the_store_is_cut_in_the_middle(
    project: Path,
    deployment: Any,
    options: dict[str, Any],
    s3_server: Any,
    bucket: str,
    cut: str,
    only_programs: Callable[..., dict[str, str]],
) -> None:
    options.update(upload=f"s3://{bucket}/nightly")
    env = {**s3_server.env, **only_programs()}
    code, document = publish(project, {**options, "break": f"network {cut}"}, **env)
    assert (code, document["upload"], document["attached"]) == (5, None, []), document
    assert ids(project, deployment.url) == []
    [line] = export_record.read(project)
    assert [step["step"] for step in line["pending"]] == ["upload"]
    code, document = publish(project, options, **env)
    assert (code, len(ids(project, deployment.url))) == (0, 1), document
    assert [path.name for path in (s3_server.folder / bucket).rglob("*") if path.is_file()] == ["nb.html"]


def test_a_full_disk_before_a_step_takes_no_step(project: Path, deployment: Any, options: dict[str, Any]) -> None:
    code, document = publish(project, {**options, "break": "disk"})
    assert (code, document["upload"], document["attached"]) == (7, None, []), document
    assert not list((project / "store").rglob("*.html"))
    assert ids(project, deployment.url) == []


def test_dagster_gone_in_the_middle(project: Path, deployment: Any, options: dict[str, Any], proxy: Any) -> None:
    options["url"] = proxy.url
    code, document = publish(project, {**options, "break": "dagster"})
    assert (code, document["attached"]) == (5, []), document
    assert document["upload"]
    assert ids(project, deployment.url) == []
    code, document = publish(project, options)
    assert code == 0, document
    agrees(project, deployment.url, document)


def ran_at_all(project: Path) -> bool:
    return (project / "ran").exists()

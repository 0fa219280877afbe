"""`daglab export` as a command: what a script can rely on, whatever becomes of the notebook."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import errors, helpers
from daglab.attaching import observations
from daglab.exporting import export_entries, exports
from daglab.settings import config

pytestmark = pytest.mark.long

Cli = Callable[..., Any]

OBSERVATIONS = """query O($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetObservations(limit: 100) { timestamp } } } }"""


def write(path: Path, *cells: str) -> Path:
    """A notebook with a cell for each piece of code, called c1, c2 and so on."""
    parts = ['import marimo\n\n__generated_with = "0.25.0"\napp = marimo.App()\n\n']
    for number, code in enumerate(cells, start=1):
        body = textwrap.indent(textwrap.dedent(code).strip(), "    ")
        parts.append(f"\n@app.cell\ndef c{number}():\n{body}\n    return\n\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join([*parts, '\nif __name__ == "__main__":\n    app.run()\n']), encoding="utf-8")
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The current folder as a project that nothing answers to."""
    (tmp_path / "daglab.yaml").write_text("dagster:\n  port: 1\n")
    (tmp_path / ".daglab").mkdir()
    return tmp_path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def records(project: Path) -> list[dict[str, Any]]:
    return lines(project / ".daglab" / "exports.jsonl")


def events(project: Path) -> list[dict[str, Any]]:
    [file] = (project / ".daglab" / "events").iterdir()
    return lines(file)


def observed(url: str, key: str) -> list[Any]:
    body = {"query": OBSERVATIONS, "variables": {"key": {"path": [key]}}}
    answer = requests.post(f"{url}/graphql", json=body, timeout=60).json()
    found: list[Any] = answer["data"]["assetNodeOrError"]["assetObservations"]
    return found


def test_a_failed_cell(project: Path, cli: Cli) -> None:
    write(project / "nb.py", "x = {}\nx['missing é']", "y = 1")
    done = cli("export", "nb.py")
    assert done.exit_code == 4
    assert done.stdout == ""
    for text in ("cell 1 (c1): KeyError: 'missing é'", "Traceback", 'File "cell 1 (c1)", line 2', "HTML is kept at"):
        assert text in done.stderr
    assert (project / "exports" / "project" / "nb.html").stat().st_size > 1000
    [record] = records(project)
    assert (record["ok"], record["attached"], record["output"]) == (False, [], "exports/project/nb.html")
    [event] = events(project)
    assert (event["command"], event["exit_code"], event["error_code"]) == ("export", 4, "not_good")
    assert event["bytes"] == (project / "exports" / "project" / "nb.html").stat().st_size


def test_a_failed_notebook_is_not_attached(project: Path, cli: Cli, deployment: Any) -> None:
    write(project / "nb.py", "1 / 0")
    before = observed(deployment.url, "suspicious")
    env = {"DAGSTER_HOME": str(deployment.home)}
    done = cli("export", "nb.py", "--attach", "asset:suspicious", "--url", deployment.url, "--json", env=env)
    assert done.exit_code == 4, done.stderr
    document = json.loads(done.stdout)
    assert (document["ok"], document["attached"]) == (False, [])
    assert document["error"]["code"] == "not_good"
    [failed] = document["failed"]
    assert (failed["cell"], failed["name"], failed["error"]) == (1, "c1", "ZeroDivisionError: division by zero")
    assert 'File "cell 1 (c1)", line 1' in failed["traceback"]
    assert Path(document["output"]).is_file()
    assert observed(deployment.url, "suspicious") == before
    assert records(project)[0]["attached"] == []


def test_arguments_the_default_place_and_the_dashboards_link(project: Path, cli: Cli) -> None:
    (project / "daglab.yaml").write_text("dashboard:\n  port: 4567\n")
    code = """
        import json, sys
        import marimo as mo
        json.dump([mo.cli_args().to_dict(), sys.argv[1:]], open("args.json", "w"))
    """
    write(project / "notebooks" / "größe 1.py", code)
    words = ["--days", "7", "--name", "a b", "-q", "--json"]
    done = cli("export", "notebooks/größe 1.py", "--", *words)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{project / 'exports' / 'project' / 'notebooks' / 'größe 1.html'}\n"
    assert json.loads((project / "args.json").read_text())[1] == words
    assert json.loads((project / "args.json").read_text())[0]["days"] == 7
    [record] = records(project)
    assert record["link"] == "http://127.0.0.1:4567/exports/project/notebooks/gr%C3%B6%C3%9Fe%201.html"
    assert (record["notebook"], record["attached"]) == ("notebooks/größe 1.py", [])


def test_a_base_url_json_and_the_record(project: Path, cli: Cli) -> None:
    write(project / "nb.py", "x = 1")
    env = {"DAGLAB_EXPORT__BASE_URL": "https://pages.example/p/"}
    done = cli("export", "nb.py", "--output", "build/report.html", "--json", env=env)
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert document["output"] == str(project / "build" / "report.html")
    assert document["link"] == "https://pages.example/p/build/report.html"
    assert document["attached"] == []
    record = project / ".daglab" / "exports.jsonl"
    assert record.stat().st_mode & 0o777 == 0o600
    assert records(project)[0]["id"] == document["id"]
    [event] = events(project)
    assert (event["v"], event["command"], event["target"], event["ok"]) == (1, "export", "nb.py", True)
    assert (event["exit_code"], event["error_code"], event["bytes"]) == (0, None, document["bytes"])
    assert event["requests"] == {"n": 0, "errors": 0, "ms": []}


def test_outside_of_the_project_there_is_no_link_and_a_record_that_fails_is_a_warning(
    project: Path, cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(project / "nb.py", "x = 1")
    (project / ".daglab" / "exports.jsonl").mkdir()
    (project / ".daglab" / "events").write_text("")
    output = tmp_path_factory.mktemp("outside") / "x.html"
    done = cli("export", "nb.py", "--output", str(output), "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["output"], document["link"]) == (str(output), None)
    assert output.is_file()
    assert "is not recorded in" in done.stderr
    assert str(project / ".daglab" / "exports.jsonl") in done.stderr
    assert str(project / ".daglab" / "events") in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_project_nothing_is_recorded(tmp_path: Path, cli: Cli) -> None:
    write(tmp_path / "nb.py", "x = 1")
    assert cli("export", "nb.py").exit_code == 0
    assert sorted(os.listdir(tmp_path)) == ["__marimo__", "exports", "nb.py"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who is left")
def test_a_timeout_ends_everything(project: Path, cli: Cli) -> None:
    code = """
        import subprocess, time
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        open("started", "w").close()
        time.sleep(600)
    """
    write(project / "nb.py", code)
    mark = uuid.uuid4().hex
    for seconds in ("5", "60"):  # the second one for a machine so busy that the cell did not start in the first
        done = cli("export", "nb.py", "--timeout", seconds, "--json", env={"TEST_MARK": mark})
        if (project / "started").exists():
            break
    assert (project / "started").exists()
    assert done.exit_code == 9
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["exit_code"]) == ("timed_out", 9)
    assert "--timeout" in error["hint"]
    deadline = time.monotonic() + 10
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []
    assert os.listdir(project / "exports" / "project") == []
    assert not (project / ".daglab" / "exports.jsonl").exists()
    assert events(project)[-1]["exit_code"] == 9


def marked(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TEST_MARK={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


WRONG = {
    "via without attach": (["nb.py", "--via", "rest"], 2, "--attach"),
    "an unknown way": (["nb.py", "--attach", "asset:a", "--via", "pigeon"], 2, "--help"),
    "a key alone": (["nb.py", "--attach", "orders"], 2, "asset:KEY"),
    "an empty key": (["nb.py", "--attach", "asset:"], 7, "a/b"),
    "an empty part": (["nb.py", "--attach", "asset:a//b"], 7, "a/b"),
    "no time at all": (["nb.py", "--timeout", "0"], 2, "--help"),
    "time as text": (["nb.py", "--timeout", "soon"], 2, "--help"),
    "no notebook": ([], 2, "--help"),
    "no such notebook": (["missing.py"], 3, "scaffold"),
    "a folder": (["folder.py"], 7, "ls -ld"),
    "a Jupyter notebook": (["nb.ipynb"], 7, "daglab migrate"),
    "the notebook as output": (["nb.py", "--output", "nb.py"], 7, ".html"),
    "a folder as output": (["nb.py", "--output", "folder.py"], 7, ".html"),
    "a file in the place of a folder": (["nb.py", "--output", "nb.py/x.html"], 7, "folder"),
    "an address that is none": (["nb.py", "--attach", "asset:a", "--url", "nowhere"], 7, "web server"),
    "a Dagster that is not there": (["nb.py", "--attach", "asset:a"], 5, "dagster dev"),
}


@pytest.mark.parametrize(("arguments", "exit_code", "help_for"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_told_once_with_a_next_step(
    project: Path, cli: Cli, arguments: list[str], exit_code: int, help_for: str
) -> None:
    write(project / "nb.py", "open('ran', 'w').close()")
    (project / "nb.ipynb").write_text("{}")
    (project / "folder.py").mkdir()
    before = sorted(os.listdir(project))
    done = cli("export", *arguments, "--json", env={"DAGLAB_DAGSTER__GRAPHQL__MAX_RETRIES": "0"})
    assert done.exit_code == exit_code, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert help_for in f"{document['error']['message']} {document['error']['hint']}"
    assert document["error"]["hint"]
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(project)) == before


@pytest.mark.parametrize(("label", "link"), [("exploration", "https://x"), ("html", "https://x"), ("html", None)])
def test_the_link_stays_where_its_label_is_taken(tmp_path: Path, label: str, link: str | None) -> None:
    now = datetime.now(timezone.utc)
    done = exports.Export("id1", tmp_path / "nb.py", tmp_path / "nb.html", 1.0, 2, "sum", now, ())
    settings = config.load(directory=tmp_path, environ={"DAGLAB_DEFAULTS__ATTACH_METADATA_KEY": label})
    entries = {entry.label: entry for entry in export_entries.entries(settings, done, link, None)}
    wanted = ("url", link) if link else ("path", str(tmp_path / "nb.html"))
    assert entries[observations.ID_LABEL].value == "id1"
    if link or label == "html":
        assert (entries[label].kind, entries[label].value) == wanted


def test_the_label_of_the_id_can_not_be_taken(tmp_path: Path) -> None:
    now = datetime.now(timezone.utc)
    done = exports.Export("id1", tmp_path / "nb.py", tmp_path / "nb.html", 1.0, 2, "sum", now, ())
    settings = config.load(directory=tmp_path, environ={"DAGLAB_DEFAULTS__ATTACH_METADATA_KEY": observations.ID_LABEL})
    with pytest.raises(errors.InvalidInput, match="daglab's own"):
        export_entries.entries(settings, done, "https://x", None)


def test_partition_compression_errors_and_another_label(project: Path, cli: Cli, deployment: Any, graphql: Any) -> None:
    """One export with all of them: it fails, is attached all the same, to a partition, compressed, with a label."""
    write(project / "nb.py", "1 / 0")
    url = ("--url", deployment.url, "--json", "--compress")
    options = ("--metadata-key", "look", "--allow-errors", "--retention-days", "1", "--via", "rest")
    done = cli("export", "nb.py", "--output", "o.html", "--attach", "asset:daily@1999-01-01", *options, *url)
    assert done.exit_code == 7, done.stderr  # no such partition
    [node] = graphql('{ assetNodes(assetKeys: [{path: ["daily"]}]) { partitionKeys } }')["assetNodes"]
    day = node["partitionKeys"][0]
    done = cli("export", "nb.py", "--output", "o.html", "--attach", f"asset://daily:{day}", *options, *url)
    assert done.exit_code == 0, done.stderr
    assert "1 of the cells of nb.py failed: ZeroDivisionError: division by zero" in done.stderr
    result = json.loads(done.stdout)
    assert (result["ok"], len(result["failed"]), result["partition"]) == (True, 1, day)
    assert result["output"] == str(project / "o.html.gz")
    content = (project / "o.html.gz").read_bytes()
    assert (result["bytes"], result["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert b"ZeroDivisionError" in gzip.decompress(content)
    assert datetime.fromisoformat(result["expires_at"]) - datetime.fromisoformat(result["exported_at"]) == timedelta(1)
    found = graphql(
        "query Look($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode {"
        " assetObservations(limit: 5) { partition metadataEntries {"
        " label ... on TextMetadataEntry { text } ... on IntMetadataEntry { intValue } } } } } }",
        k={"path": ["daily"]},
    )["assetNodeOrError"]["assetObservations"]
    told = {entry["label"]: entry.get("text", entry.get("intValue")) for entry in found[0]["metadataEntries"]}
    assert (found[0]["partition"], told["daglab/export_id"]) == (day, result["id"])
    assert (told["failed_cells"], told["html_bytes"], told["look"]) == (1, len(content), result["link"])


def test_a_job_s_assets_graphql_and_the_snippet(project: Path, cli: Cli, deployment: Any) -> None:
    write(project / "nb.py", "1 + 1")
    where = ("--url", deployment.url, "--json")
    done = cli("export", "nb.py", "--attach", "job:daily_job", "--via", "graphql", *where)
    assert done.exit_code == 0, done.stderr
    [attached] = json.loads(done.stdout)["attached"]
    assert (attached["target"], attached["via"], attached["link_type"]) == ("asset:daily", "graphql", "description")
    done = cli("export", "nb.py", "--attach", "asset:orders", "--via", "compute", "--sandbox", *where)
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["attached"], "exploration_metadata('orders')" in result["snippet"]) == ([], True)
    found = helpers.exploration_metadata("orders", directory=project)
    assert found["exploration"].value == result["link"]
    assert (found["html_bytes"].value, found["exported_at"].value > 0) == (result["bytes"], True)
    assert helpers.exploration_metadata("prices", directory=project) == {}


def test_the_sandbox_refuses_before_the_notebook_runs(project: Path, cli: Cli, deployment: Any) -> None:
    write(project / "nb.py", "open('ran', 'w').close()")
    done = cli("export", "nb.py", "--attach", "asset:orders", "--sandbox", "--url", deployment.url, "--json")
    assert done.exit_code == 6
    assert "report_asset_observation" in json.loads(done.stdout)["error"]["message"]
    assert not (project / "ran").exists()

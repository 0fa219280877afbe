"""Discovery, launch, wait, validate, cancel and attach on another version of Dagster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab.attaching import attach
from daglab.deployment import entities, materializations, partitions, run_logs, run_records, runs
from daglab.launching import backfills, cancellation, launches, reexecution, run_config

Cli = Callable[..., Any]

NOTEBOOK = """import marimo
app = marimo.App()
@app.cell
def _():
    1 + 1
    return
if __name__ == "__main__":
    app.run()
"""
VALIDATE = """
import json, sys
from dagster_graphql.schema import create_schema
import graphql
schema = create_schema()
schema = getattr(schema, "graphql_schema", schema)
for text in json.load(sys.stdin):
    found = graphql.validate(schema, graphql.parse(text))
    if found:
        sys.exit(f"{text}: {found}")
"""


@pytest.fixture
def daglab(old: Any, cli: Cli, tmp_path: Path) -> Callable[..., Any]:
    """Runs a command against the deployment, in a project whose Python is the deployment's; its JSON document."""
    (tmp_path / "daglab.yaml").write_text("version: 1\n")
    (tmp_path / ".daglab").mkdir(exist_ok=True)

    def run(*arguments: str, code: int = 0, url: str = "", env: dict[str, str] | None = None) -> Any:
        done = cli(*arguments, "--url", url or old.url, "--json", env=env)
        assert done.exit_code == code, done.stdout + done.stderr
        return {**json.loads(done.stdout), "stderr": done.stderr}

    return run


def test_every_query_is_valid(old: Any) -> None:
    texts = [entities.workspace_query(with_metadata=True), entities.WORKSPACE_QUERY]
    fields = () if old.version.startswith("1.5.") else ("kinds", "tags", "owners")
    texts += [entities.assets_query(fields, by_key=by_key, with_metadata=True) for by_key in (False, True)]
    modules = (
        launches,
        partitions,
        runs,
        attach,
        cancellation,
        reexecution,
        run_logs,
        run_records,
        backfills,
        run_config,
        materializations,
    )
    for module in modules:
        found = (value for name, value in vars(module).items() if name.endswith(("_QUERY", "_MUTATION")))
        texts += [value for value in found if isinstance(value, str)]
    assert len(texts) > 18
    done = subprocess.run(
        [old.python, "-c", VALIDATE], input=json.dumps(texts), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_discovery(daglab: Callable[..., Any], old: Any) -> None:
    found = daglab("discover", "--metadata")
    assert found["dagster_version"] == old.version
    assert {each["key"] for each in found["assets"]} == {
        *("orders", "src/totals", "daily", "regional", "crossed", "failing", "page", "pages/daily")
    }
    assert {each["name"] for each in found["jobs"]} == {"greeting", "endless", "shop_job", "pages"}
    assets = {each["key"]: each for each in found["assets"]}
    assert (assets["orders"]["kinds"], assets["orders"]["metadata"]["rows"]) == (["csv"], 3)
    assert (assets["src/totals"]["dependencies"], assets["src/totals"]["group"]) == (["orders"], "mart")
    assert [assets[key]["partitions"] for key in ("daily", "regional", "crossed", "orders")] == [
        *("TIME_WINDOW", "STATIC", "MULTIPARTITIONED"),
        None,
    ]
    [greeting] = [each for each in found["jobs"] if each["name"] == "greeting"]
    assert (greeting["tags"]["team"], greeting["description"]) == ("shop", "Greets.")
    assert [each["key"] for each in daglab("discover", "--filter", "assets", "--group", "raw")["assets"]] == ["orders"]


@pytest.mark.parametrize(
    ("arguments", "assets"),
    [
        (["--asset-selection", "orders,src/totals"], ["orders", "src/totals"]),
        (["--asset-selection", "daily", "--partition", "2026-11-02"], ["daily"]),
        (["--asset-selection", "regional", "--partition", "south"], ["regional"]),
        (["--asset-selection", "crossed", "--partition", "2026-11-02|south"], ["crossed"]),
        (["--asset-pattern", "ord*", "--tag", "team=shop"], ["orders"]),
        (["--job", "shop_job"], []),
        (["--job", "greeting", "--config-yaml", "{ops: {greet: {config: {name: x}}}}"], []),
    ],
)
def test_a_run_that_succeeds(daglab: Callable[..., Any], arguments: list[str], assets: list[str]) -> None:
    [run] = daglab("run", *arguments)["runs"]
    assert (run["status"], run["assets"], run["errors"]) == ("SUCCESS", assets, [])
    assert all(step["status"] == "SUCCESS" for step in run["steps"])


def test_a_run_that_fails(daglab: Callable[..., Any]) -> None:
    result = daglab("run", "--asset-selection", "failing", code=4)
    [problem] = result["runs"][0]["errors"]
    assert (problem["step"], "boom é" in problem["error"]) == ("failing", True)


def test_what_is_not_valid(daglab: Callable[..., Any]) -> None:
    wrong = "{ops: {greet: {config: {times: many}}}}"
    result = daglab("run", "--job", "greeting", "--validate-only", "--config-yaml", wrong, code=7)
    found = {(".".join(map(str, each["path"])), each["reason"]) for each in result["errors"]}
    assert ("ops.greet.config.times", "RUNTIME_TYPE_MISMATCH") in found
    assert ("ops.greet.config", "MISSING_REQUIRED_FIELD") in found
    assert any(each.get("example") for each in result["errors"]), result["errors"]
    right = "{ops: {greet: {config: {name: x}}}}"
    assert daglab("run", "--job", "greeting", "--validate-only", "--config-yaml", right)["ok"] is True
    assert daglab("run", "--asset-selection", "daily", "--partition", "1999-01-01", code=7)["ok"] is False


def test_a_run_is_cancelled_when_its_time_is_up(daglab: Callable[..., Any]) -> None:
    result = daglab("run", "--job", "endless", "--timeout", "3", "--cancel-on-timeout", code=9)
    assert (result["cancelled"], result["runs"][0]["status"]) == (True, "CANCELED")


def test_a_queue_without_a_daemon_is_warned_of(daglab: Callable[..., Any], queue: Any) -> None:
    result = daglab(
        "run", "--asset-selection", "orders", "--timeout", "4", "--cancel-on-timeout", url=queue.url, code=9
    )
    assert "daemon" in result["stderr"]
    assert result["runs"][0]["status"] == "CANCELED"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("*src/totals", {"orders", "src/totals"}),
        ('key:"src/*" or kind:csv', {"orders", "src/totals"}),
        ("partitions:static", {"regional"}),
        ('job:shop_job and not key:"src/*"', {"orders"}),
    ],
)
def test_a_selection(daglab: Callable[..., Any], text: str, keys: set[str]) -> None:
    assert {each["key"] for each in daglab("discover", "--select", text)["assets"]} == keys


def test_a_selection_by_what_an_old_version_does_not_tell(daglab: Callable[..., Any], old: Any) -> None:
    if old.version.startswith("1.5."):
        assert "does not tell the tags" in daglab("discover", "--select", "tag:tier=gold", code=3)["error"]["message"]
    else:
        assert daglab("discover", "--select", "tag:tier=gold")["ok"] is True


def test_a_selection_that_takes_several_runs(daglab: Callable[..., Any]) -> None:
    """Up to 1.7 each way to partition has a job of its own."""
    result = daglab("run", "--select", "orders, src/totals, failing", code=4)
    assert sorted(result["runs"][0]["assets"]) == ["failing", "orders", "src/totals"]
    result = daglab("run", "--select", "key:daily or key:orders", "--partition", "2026-11-02")
    assert [sorted(run["assets"]) for run in result["runs"]] == [["daily", "orders"]]


def test_looking_at_runs(daglab: Callable[..., Any]) -> None:
    [run] = daglab("run", "--asset-selection", "orders", "--tag", "mark=x")["runs"]
    listed = daglab("runs", "list", "--tag", "mark=x", "--asset", "orders", "--status", "success", "--since", "1h")
    assert run["run_id"] in {each["run_id"] for each in listed["runs"]}
    shown = daglab("runs", "show", run["run_id"])
    assert shown["materializations"][0]["asset"] == "orders"
    assert daglab("runs", "wait", run["run_id"][:8])["runs"][0]["status"] == "SUCCESS"
    assert "RUN_SUCCESS" in {event["kind"] for event in daglab("runs", "logs", run["run_id"])["events"]}
    assert isinstance(daglab("runs", "logs", run["run_id"], "--stdout")["stdout"], str)
    assert daglab("runs", "settle", run["launch_id"])["runs"][0]["run_id"] == run["run_id"]


def test_running_again_and_comparing(daglab: Callable[..., Any]) -> None:
    [failed] = daglab("run", "--asset-selection", "failing", code=4)["runs"]
    [again] = daglab("runs", "retry", failed["run_id"], code=4)["runs"]
    assert daglab("runs", "show", again["run_id"])["parent"] == failed["run_id"]
    assert daglab("runs", "compare", failed["run_id"], again["run_id"])["status"] == ["FAILURE", "FAILURE"]
    [endless] = daglab("run", "--job", "endless", "--no-wait")["runs"]
    assert daglab("runs", "cancel", endless["run_id"])["runs"][0]["status"] == "CANCELED"


def test_the_skeleton_of_run_config(daglab: Callable[..., Any]) -> None:
    text = daglab("run", "--job", "greeting", "--print-config")["config"]
    assert "name:" in text
    assert daglab("run", "--job", "greeting", "--validate-only", "--config-yaml", text)["ok"] is True


def test_a_repeated_launch(daglab: Callable[..., Any]) -> None:
    command = ["run", "--asset-selection", "orders", "--launch-key", "matrix"]
    assert [daglab(*command)["runs"][0]["existing"] for _ in range(2)][1] is True


def test_a_backfill(daglab: Callable[..., Any], queue: Any) -> None:
    result = daglab("run", "--asset-selection", "regional", "--all-partitions", "--timeout", "200")
    assert set(result["backfill"]["counts"]) == {"SUCCESS"}
    assert daglab("run", "--asset-selection", "regional", "--missing-only")["runs"] == []
    assert daglab("runs", "settle", result["launch_id"])["backfill"]["status"].startswith("COMPLETED")
    no_daemon = ["run", "--asset-selection", "regional", "--all-partitions"]
    assert "daemon" in daglab(*no_daemon, url=queue.url, code=3)["error"]["message"]


def test_a_backfill_with_run_config(daglab: Callable[..., Any], old: Any) -> None:
    arguments = ["run", "--asset-selection", "regional", "--all-partitions", "--config-yaml", "{loggers: {}}"]
    if old.version.startswith(("1.5.", "1.8.")):
        assert "takes no run config" in daglab(*arguments, code=3)["error"]["message"]
    else:
        assert daglab(*arguments, "--timeout", "200")["ok"] is True


def test_an_export_is_attached_in_each_way(daglab: Callable[..., Any], old: Any, tmp_path: Path) -> None:
    daglab("run", "--asset-selection", "orders")
    (tmp_path / "nb.py").write_text(NOTEBOOK)
    # The notebook runs with daglab's own Python; the child that reports needs the deployment's.
    env = {"DAGSTER_HOME": str(old.home), "DAGLAB_DAGSTER__PYTHON": old.python}
    for via, target, kind in (
        ("instance", "asset:orders", "UrlMetadataEntry"),
        ("rest", "asset:daily@2026-11-02", "TextMetadataEntry"),
        ("graphql", "asset://src/totals", "description"),
    ):
        result = daglab("export", "nb.py", "--output", f"{via}.html", "--attach", target, "--via", via, env=env)
        [attached] = result["attached"]
        assert (attached["via"], attached["link_type"], attached["link"]) == (via, kind, result["link"])

"""The helpers on a real Dagster, from a plain script: what they give back, and what they leave alone."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, helpers

pytestmark = pytest.mark.long

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def client(tmp_path: Path, deployment: Any) -> helpers.Client:
    (tmp_path / "daglab.yaml").write_text(f"dagster:\n  url: {deployment.url}\n")
    (tmp_path / ".daglab").mkdir()
    return helpers.connect()


def ended(run: helpers.Run) -> helpers.Run:
    return list(helpers.follow(run, interval=0.2))[-1]


def test_what_there_is(client: helpers.Client) -> None:
    found = helpers.discover(client)
    assert {"orders", "daily"} <= {asset.name for asset in found.assets}
    assert "missing" in found.html()  # the root cause of the broken location
    assert "code location" in str(found)
    assert helpers.places(client).locations == ("main", "second", "broken")
    assert [job.name for job in helpers.discover_jobs(client, "mart_*")] == ["mart_job"]
    assert {asset.name for asset in helpers.discover_assets(client, "key:raw_orders+1")} >= {"raw_orders", "orders"}
    assert not helpers.discover_assets(client, "group:nothing")
    assert {asset.name for asset in helpers.assets_of(client, helpers.find_job(client, "daily_job"))} == {"daily"}
    health = helpers.health(client)
    assert not health.is_good  # one code location is broken
    assert "2 of 3 code locations loaded" in str(health)
    for wrong in (
        lambda: helpers.discover_assets(client, "key:"),
        lambda: helpers.discover_jobs(client, location="gone"),
        lambda: helpers.choose_assets(client, "key:raw_order"),
        lambda: helpers.find_asset(client, "raw_order"),
    ):
        with pytest.raises(errors.DaglabError) as caught:
            wrong()
        assert caught.value.hint


@pytest.mark.slow
def test_graphql_of_ones_own_and_the_sandbox(client: helpers.Client, tmp_path: Path) -> None:
    assert client.execute("query V($a: Boolean!) { version @include(if: $a) }", {"a": True}) == {
        "version": client.version
    }
    with pytest.raises(errors.DaglabError, match="nothingOfTheKind"):
        client.execute("{ nothingOfTheKind }")
    own = "mutation { reloadWorkspace { __typename } }"
    assert client.execute(own)["reloadWorkspace"]["__typename"] == "Workspace"
    with (tmp_path / "daglab.yaml").open("a") as file:
        file.write("security:\n  sandbox_mode: true\n  allowed_operations: [execute, reloadWorkspace]\n")
    guarded = helpers.connect()
    for text in (own, f"# query\n{own}", "query Q { version } " + own):
        with pytest.raises(errors.NotAuthorised):
            guarded.execute(text)
    assert guarded.execute("{ version }")
    with pytest.raises(errors.NotAuthorised):
        helpers.run_assets(guarded, "key:raw_orders")


def test_a_run_is_launched_followed_and_compared(client: helpers.Client, tmp_path: Path) -> None:
    first = helpers.run_assets(client, "key:raw_orders", tags={"of": "test"})
    seen = list(helpers.follow(first, interval=0.1))
    assert seen[-1].succeeded
    assert all(before != after for before, after in itertools.pairwise(seen))
    second = ended(helpers.run_assets(client, [helpers.find_asset(client, "raw_orders")]))
    assert "raw_orders: success" in str(second)
    compared = helpers.compare_runs(first, second)
    assert compared.ids == (first.id, second.id)
    assert "raw_orders" in compared.html()
    recorded = map(json.loads, next((tmp_path / ".daglab" / "events").iterdir()).read_text().splitlines())
    assert [line["runs"] for line in recorded if line["command"] == "helpers.run"] == [[first.id], [second.id]]
    with pytest.raises(errors.InvalidInput):
        helpers.compare_runs(first.id, second.id)
    assert helpers.last_run(client, second.id) == second
    assert helpers.last_run(client, "00000000-0000-0000-0000-000000000000") is None
    with pytest.raises(errors.InvalidInput, match="holds no asset"):
        helpers.run_assets(client, "group:nothing")


@pytest.mark.slow
def test_a_failed_run_is_retried(client: helpers.Client) -> None:
    first = ended(helpers.run_job(client, "fail_job", run_config="ops: {may_fail: {config: {fail: true}}}"))
    assert first.failures[0].error.startswith("ValueError: boom é")
    second = ended(helpers.retry(first))
    assert [step.key for step in second.run.steps] == ["may_fail"]
    job = helpers.find_job(client, "fail_job")
    past = helpers.recent_runs(client, job)
    assert [run.id for run in past.runs if run.id in (first.id, second.id)] == [second.id, first.id]
    assert "boom é" in str(helpers.recent_failures(past))


def test_the_runs_of_a_job_of_the_same_name_elsewhere_are_not_its_own(client: helpers.Client) -> None:
    here, there = (helpers.find_job(client, "shared_job", location=place) for place in ("main", "second"))
    run = ended(helpers.run_job(client, here))
    assert run.id in {each.id for each in helpers.recent_runs(client, here).runs}
    assert run.id not in {each.id for each in helpers.recent_runs(client, there).runs}


def test_run_config(client: helpers.Client, tmp_path: Path) -> None:
    job = helpers.find_job(client, "op_job")
    template = helpers.config_template(client, job)
    assert helpers.validate_config(client, job, template).ok
    assert "ops.one" in str(helpers.validate_config(client, job, {"ops": {"one": {"config": {"n": "text"}}}}))
    assert "YAML" in str(helpers.validate_config(client, job, "ops: ["))
    partitioned = helpers.find_job(client, "part_job")
    assert "letter: b" in helpers.config_template(client, partitioned, partition="b")
    assert helpers.config_template(client, helpers.find_job(client, "daily_job"), partition="2026-11-01")
    (tmp_path / "config.yaml").write_text("ops: {one: {config: {n: 1}}}")
    assert helpers.validate_config(client, job, helpers.load_config_from_file("config.yaml")).ok
    with pytest.raises(errors.NotSetUp):
        helpers.load_config_from_file("gone.yaml")


def test_partitions(client: helpers.Client) -> None:
    assert helpers.partition_keys(client, helpers.find_asset(client, "daily"))[0] == "2026-11-01"
    assert helpers.partition_keys(client, helpers.find_job(client, "part_job")) == ["a", "b", "c"]
    assert helpers.partition_keys(client, helpers.find_assets(client, ["raw_orders"])) == []
    with pytest.raises(errors.InvalidInput, match="has no partition yet"):
        helpers.partition_keys(client, helpers.find_asset(client, "coloured"))
    with pytest.raises(errors.InvalidInput, match="Not partitioned alike"):
        helpers.partition_keys(client, helpers.find_assets(client, ["daily", "regional"]))


def test_metadata_comes_and_goes(client: helpers.Client) -> None:
    assert ended(helpers.run_assets(client, "key:rich")).succeeded
    made = helpers.last_materializations(client, "rich")
    assert made.numbers["float"][-1][1] == 0.25
    assert "plain <b>text</b>" in str(made)
    assert "&lt;b&gt;" in made.html()
    assert "<b>" not in made.html()
    overview = helpers.overview(client, helpers.find_assets(client, ["rich", "after_failing"]))
    assert "never" in str(overview)
    assert "float" in helpers.metrics(client, helpers.find_assets(client, ["rich"])).html()
    when = datetime(2026, 11, 1, tzinfo=timezone.utc)
    values = {"rows": 3, "share": 0.5, "link": "https://example.com/x", "note": "é", "when": when, "file": Path("/x")}
    attached = helpers.attach_metadata(client, "rich", values)
    assert attached.link == "https://example.com/x"
    for wrong in ({"x": [1]}, {"x": float("nan")}):
        with pytest.raises(errors.InvalidInput):
            helpers.attach_metadata(client, "rich", wrong)
    with pytest.raises(errors.InvalidInput, match="no partition"):
        helpers.attach_metadata(client, "rich", {"x": 1}, partition="gone")


FOLLOWING = """
import marimo

app = marimo.App()


@app.cell
def following():
    from daglab import helpers

    client = helpers.connect()
    run = helpers.run_assets(client, "key:slow", run_config="ops: {slow: {config: {seconds: 60}}}")
    seen = list(helpers.follow(run))
    print("looks:", len(seen), "of", run.id)
    return
"""


@pytest.mark.slow
def test_following_never_holds_up_a_kernel(client: helpers.Client, tmp_path: Path, cli: Callable[..., Any]) -> None:
    """In a cell it looks once: the notebook is done long before the run is."""
    (tmp_path / "following.py").write_text(FOLLOWING)
    done = cli("export", "following.py", "--output", "page.html")
    assert done.exit_code == 0, done.stderr
    said = re.search(r"looks: 1 of ([0-9a-f-]{36})", (tmp_path / "page.html").read_text())
    assert said
    run = helpers.run_status(client, said[1])
    assert not run.has_ended
    assert cli("runs", "cancel", run.id).exit_code == 0


# --- in this process: each in a process of its own, for the modules that it imports


IN_PROCESS = """
import json, sys
from daglab import helpers

client = helpers.connect()
def here(target, **options):
    run = helpers.run_inprocess(client, target, "main.py", **options)
    return [run.succeeded, {key: repr(value) for key, value in run.values.items()}, str(run), list(run.failures)]
asset = lambda *keys: helpers.find_assets(client, keys)
"""


@pytest.fixture
def inside(client: helpers.Client, tmp_path: Path, deployment: Any) -> Iterator[Callable[[str], Any]]:
    """`inside(expression)` is its value in a process that has the helpers, and the deployment's home and code."""
    for path in (FIXTURES / "deployment").glob("*.py"):
        shutil.copy(path, tmp_path)

    def kept() -> set[tuple[str, int]]:
        files = [path for path in (deployment.home / "storage").rglob("*") if path.is_file()]
        return {(str(path), path.stat().st_mtime_ns) for path in files if "compute_logs" not in path.parts}

    def run(expression: str) -> Any:
        script = f"{IN_PROCESS}\nprint('\\n' + json.dumps({expression}))"
        env = {**os.environ, "DAGSTER_HOME": str(deployment.home)}
        done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    before = kept()
    yield run
    assert {path for path, _ in kept() - before} == set()  # nothing was written to what the deployment stores


def test_assets_run_here_from_their_code(inside: Callable[[str], Any]) -> None:
    succeeded, values, said, _ = inside("here(asset('raw_orders', 'orders'))")
    assert (succeeded, values) == (True, {"raw_orders": "[1, 2, 3]", "orders": "[1, 2, 3]"})
    assert "not recorded in Dagster" in said
    assert inside("here(asset('daily'), partition='2026-11-02')")[1] == {"daily": "'2026-11-02'"}
    assert inside("here(asset('left', 'right', 'tea'))")[0]
    config = "{'ops': {'slow': {'config': {'seconds': 0.0}}}}"
    assert inside(f"here(asset('slow'), run_config={config})")[1] == {"slow": "0.0"}


def test_what_fails_here_is_told(inside: Callable[[str], Any]) -> None:
    succeeded, values, _, [failure] = inside("here(asset('failing'))")
    assert (succeeded, values) == (False, {})
    assert "ValueError: boom é" in failure


@pytest.mark.slow
def test_jobs_run_here(inside: Callable[[str], Any]) -> None:
    job = "here(helpers.find_job(client, '{}'){})"
    config = ", run_config='ops: {one: {config: {n: 4}}}'"
    assert inside(job.format("op_job", config))[1] == {"one": "4", "two": "8"}
    assert inside(job.format("part_job", ", partition='b'"))[1] == {"part_op": "'bb'"}
    assert inside(job.format("mart_job", ""))[0]


@pytest.fixture
def stored(client: helpers.Client) -> None:
    assert ended(helpers.run_assets(client, "key:raw_orders")).succeeded


@pytest.mark.slow
@pytest.mark.usefixtures("stored")
def test_what_is_stored_is_loaded_and_nothing_else(inside: Callable[[str], Any]) -> None:
    assert inside("helpers.load_value(client, *asset('raw_orders'), 'main.py')") == [1, 2, 3]
    # It needs what it does not make itself: that is loaded, and what it makes stays in memory.
    assert inside("here(asset('orders'))")[1] == {"orders": "[1, 2, 3]"}


def test_code_that_was_edited_is_run_as_it_is_now(
    client: helpers.Client, inside: Callable[[str], Any], tmp_path: Path
) -> None:
    edited = "[here(asset('odd-key/v1.2'))[1], open('other.py', 'w').write('N = 2'), here(asset('odd-key/v1.2'))[1]]"
    main = (tmp_path / "main.py").read_text()
    (tmp_path / "other.py").write_text("N = 1.5")
    changed = main.replace(
        "def odd_key() -> int:\n    return 1\n", "def odd_key():\n    import other\n\n    return other.N\n"
    )
    assert changed != main
    (tmp_path / "main.py").write_text(changed)
    assert inside(edited) == [{"odd-key/v1.2": "1.5"}, 5, {"odd-key/v1.2": "2"}]


HARD = """
import dagster as dg

class Storage(dg.IOManager):
    def handle_output(self, context, obj):
        raise SystemExit("stored for real")

    def load_input(self, context):
        return f"stored {context.asset_partition_keys[0] if context.has_asset_partitions else ''}"

@dg.io_manager
def storage():
    return Storage()

days = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-05")
before = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)

@dg.op(out=dg.DynamicOut())
def produce():
    for n in range(3):
        yield dg.DynamicOutput(n, mapping_key=f"k{n}")

@dg.op
def double(n): return n * 2

@dg.op
def total(ns): return sum(ns)

@dg.job(resource_defs={"io_manager": storage})
def dynamic(): total(produce().map(double).collect())

@dg.asset(partitions_def=days)
def up(context) -> str: return context.partition_key

@dg.asset(partitions_def=days, ins={"up": dg.AssetIn(partition_mapping=before)})
def after(up) -> str: return up

@dg.asset(io_manager_def=storage)
def brings_its_own(): return 1

@dg.definitions
def defs():
    return dg.Definitions(assets=[up, after, brings_its_own], jobs=[dynamic], resources={"io_manager": storage})
"""


def test_hard_shapes_run_here_as_they_do_deployed(tmp_path: Path) -> None:
    """Dynamic outputs, a mapping between partitions, storage of an asset's own, definitions as `dg` writes them."""
    (tmp_path / "hard.py").write_text(HARD)
    script = """
import json
from types import SimpleNamespace
from daglab import helpers
from daglab.deployment import dagster_api, entities
from daglab.settings import config

settings = config.load({"dagster.url": "http://127.0.0.1:1"})
client = helpers.Client(dagster_api.connect(settings), settings, "1.13")
def asset(name):
    return entities.Asset((name,), None, None, (), {}, (), True, None, (), (), (), "r", "l")
job = entities.Job("dynamic", "r", "l", None, {}, False, None)
found = [helpers.run_inprocess(client, job, "hard.py", run_config={}).values]
found.append(helpers.run_inprocess(client, [asset("up"), asset("after")], "hard.py", partition="2026-01-03").values)
try:
    helpers.run_inprocess(client, [asset("brings_its_own")], "hard.py")
except helpers.DaglabError as error:
    found.append(error.message)
print("\\n" + json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    dynamic, partitioned, refused = json.loads(done.stdout.splitlines()[-1])
    assert dynamic["total"] == 6
    assert [dynamic[f"produce[k{n}]"] for n in range(3)] == [0, 1, 2]
    assert partitioned == {"up": "2026-01-03", "after": "stored 2026-01-02"}
    assert "brings its own IO manager" in refused


def test_an_export_from_a_notebook(client: helpers.Client, tmp_path: Path) -> None:
    cells = "from daglab import helpers\n    helpers.result('rows', 42)"
    text = f"import marimo\napp = marimo.App()\n\n@app.cell\ndef _():\n    {cells}\n    return\n"
    (tmp_path / "nb.py").write_text(text)
    done = helpers.export(client, "nb.py", attach_to="asset:raw_orders")
    assert done.attached == ["asset:raw_orders"]
    assert (done.document["results"], done.document["skipped"]) == ({"rows": 42}, False)
    assert (done.document["upload"], done.document["signed"], done.document["check"]) == (None, None, [])
    assert b"42" in done.path.read_bytes()
    assert str(done.path) in str(done)
    assert "asset:raw_orders" in done.html()
    (tmp_path / "nb.py").write_text(text.replace("42", "1 / 0"))
    with pytest.raises(errors.NotGood, match="ZeroDivisionError") as caught:
        helpers.export(client, "nb.py", attach_to="asset:raw_orders")
    assert (caught.value.result["ok"], caught.value.result["attached"]) == (False, [])

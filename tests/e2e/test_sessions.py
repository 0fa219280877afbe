"""What users do in a day, through the command as it is installed, on a real Dagster and a real marimo."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import processes
from tests import users
from tests.guarded import PREFIX, Guarded, guarding

pytestmark = pytest.mark.long

NIGHTLY = Path(__file__).parents[2] / "examples" / "cron" / "nightly.sh"
OBSERVED = """
query Observed($key: AssetKeyInput!) {
  assetOrError(assetKey: $key) {
    ... on Asset { assetObservations(limit: 1) { metadataEntries {
      __typename label ... on UrlMetadataEntry { url } ... on TextMetadataEntry { text }
    } } }
  }
}
"""
RUN = "query Run($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status jobName } } }"
NOTEBOOK = """
import marimo

__generated_with = "0.25.0"
app = marimo.App()


@app.cell
def a():
    {code}
    return


if __name__ == "__main__":
    app.run()
"""


def observed(url: str, *key: str) -> dict[str, Any]:
    """What the newest observation on an asset's page shows, by label."""
    [newest] = users.graphql(url, OBSERVED, key={"path": key})["assetOrError"]["assetObservations"]
    return {entry["label"]: entry for entry in newest["metadataEntries"]}


@pytest.mark.slow
def test_a_new_project_its_notebook_and_dev(user: users.User) -> None:
    """init, scaffold, dev: both pages are served, the notebook is the one that marimo opens, Ctrl-C ends all."""
    numbers = {name: processes.find_free_port() for name in ("dagster", "marimo")}
    ports = ",".join(f"{name}={number}" for name, number in numbers.items())
    user.types("init", "--bootstrap", "shop", "--ports", ports)
    shop = user.at("shop")
    scaffolded = shop.types("scaffold", "--asset", "orders")
    notebook = Path(scaffolded.stdout.strip())
    assert notebook == shop.folder / "dagster" / "notebooks" / "asset_orders.py"
    assert "Not checked, whether orders is there" in scaffolded.stderr

    with shop.begins("dev", "--no-dashboard", "--json") as dev:
        ready = users.document(dev)
        url, marimo = ready["dagster"]["url"], ready["marimo"]
        assert (ready["ok"], ready["dagster"]["failed_locations"], marimo["notebook"]) == (True, {}, str(notebook))
        found = shop.asks("discover", "--filter", "assets", "--url", url)["assets"]
        assert {"orders", "raw_orders"} <= {asset["key"] for asset in found}
        page = requests.get(marimo["url"], params={"access_token": Path(marimo["token_file"]).read_text()}, timeout=60)
        assert (page.status_code, notebook.name in page.text) == (200, True)
        assert shop.asks("dev", "--status")["pid"] == dev.pid
        dev.send_signal(signal.SIGINT)
        assert dev.wait(timeout=60) == 130
        assert users.marked(shop.variables[users.MARK]) == {}
    for address in (url, marimo["url"]):
        with pytest.raises(requests.ConnectionError):
            requests.get(address, timeout=10)
    shop.types("dev", "--status", exit_code=4)
    assert notebook.exists()


def test_the_round_trip(shop: users.User) -> None:
    """dev, scaffold, run, export --attach: the link stands on the asset's page, and leads to the page that was made."""
    ready = shop.asks("dev", "--detach", "--no-marimo")
    try:
        url = ready["dagster"]["url"]
        shop = shop.at("", DAGLAB_DAGSTER__URL=url, DAGSTER_HOME=ready["dagster"]["home"])
        scaffolded = shop.asks("scaffold", "--asset", "orders")
        assert scaffolded["checked"]
        [run] = shop.asks("run", "--asset-selection", "raw_orders,orders")["runs"]
        assert run["status"] == users.graphql(url, RUN, id=run["run_id"])["runOrError"]["status"] == "SUCCESS"

        exported = shop.asks("export", "dagster/notebooks/asset_orders.py", "--attach", "asset:orders")
        output = Path(exported["output"])
        assert output == shop.folder / "exports" / "asset_orders.html"
        assert run["run_id"][:8] in output.read_text()  # it was there when the notebook ran
        shown = observed(url, "orders")["exploration"]
        assert (shown["__typename"], shown["url"]) == ("UrlMetadataEntry", exported["attached"][0]["link"])
        assert requests.get(shown["url"], timeout=60).content == output.read_bytes()
    finally:
        assert shop.types("stop").stdout == "Stopped: nothing is left running.\n"
    [listed] = shop.asks("exports", "list")["exports"]
    assert (listed["id"], listed["state"], listed["attached"]) == (exported["id"], "ok", ["asset:orders"])


@pytest.mark.slow
def test_discover_run_and_monitor(shop: users.User, deployment: Any) -> None:
    """What there is, a run that is good and one that is not, and how each command of the watch tells them."""
    here = shop.at("", DAGLAB_DAGSTER__URL=deployment.url)
    found = here.asks("discover", "--filter", "assets", "--select", "+key:orders and group:raw")["assets"]
    assert [asset["key"] for asset in found if asset["is_executable"]] == ["raw_orders"]
    [good] = here.asks("run", "--asset-selection", "raw_orders")["runs"]
    failed = here.asks("run", "--asset-selection", "failing", exit_code=4)
    [bad] = failed["runs"]
    assert failed["error"]["code"] == "not_good"

    listed = {run["run_id"]: run for run in here.asks("runs", "list", "--asset", "raw_orders")["runs"]}
    assert (listed[good["run_id"]]["status"], bad["run_id"] in listed) == ("SUCCESS", False)
    shown = here.types("runs", "show", bad["run_id"][:8]).stdout
    assert "boom é" in shown
    assert "FAILURE" in shown
    logged = here.types("runs", "logs", bad["url"], "--level", "WARNING").stdout
    assert "about to fail" in logged
    assert here.types("runs", "logs", good["run_id"], "--stdout").stdout == "raw_orders writes to stdout\n"

    now = here.asks("status")
    assert now["dagster"]["state"] == "up"
    assert [(each["exit_code"], each["runs"]) for each in now["operations"] if each["command"] == "run"] == [
        (4, [bad["run_id"]]),
        (0, [good["run_id"]]),
    ]
    stats = here.asks("stats")
    assert stats["runs"] == {"launched": 2, "ok": 1, "failed": 1}
    assert sum(point["n"] for point in here.asks("metrics", "show")["series"]) == stats["events"]
    assert "daglab_runs_failed_total 1.0\n" in here.types("metrics", "export", "--format", "prometheus").stdout


@pytest.fixture
def cron(shop: users.User, held: Any) -> Callable[[str], tuple[int, str, str]]:
    """Runs a line as cron does: no terminal, its own environment, and what the crontab sets beside it."""
    given = {"HOME": shop.variables["HOME"], "LOGNAME": "shop", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
    in_crontab = {"DAGLAB": str(users.DAGLAB), "DAGLAB_DAGSTER__URL": held.url}
    env = ["env", "-i", *(f"{name}={value}" for name, value in {**given, **in_crontab}.items())]

    def ran(line: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*env, "/bin/sh", "-c", line],
            cwd=given["HOME"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            start_new_session=True,
        )
        return done.returncode, done.stdout, done.stderr

    return ran


@pytest.mark.slow
def test_two_nights_of_cron(shop: users.User, cron: Callable[[str], tuple[int, str, str]], held: Any) -> None:
    """Quiet when all is good, nothing made twice, and told with a true exit code when it is not."""
    notebook = shop.folder / "dagster" / "notebooks" / "report.py"
    notebook.write_text(NOTEBOOK.format(code="'all is well'"))
    nightly = f"sh {NIGHTLY} {shop.folder} key:raw_orders"
    assert cron(nightly) == (0, "", "")
    [first] = shop.asks("exports", "list")["exports"]
    page = shop.folder / first["output"]
    written = page.stat().st_mtime_ns

    assert cron(nightly) == (0, "", "")
    assert [each["id"] for each in shop.asks("exports", "list", "--all")["exports"]] == [first["id"]]
    assert page.stat().st_mtime_ns == written
    runs = shop.asks("runs", "list", "--asset", "raw_orders", "--url", held.url)["runs"]
    assert [run["status"] for run in runs if any("nightly" in value for value in run["tags"].values())] == ["SUCCESS"]

    notebook.write_text(NOTEBOOK.format(code="1 / 0"))
    printed = shop.types("export", "--all", "--if-changed", "--print-cron", "30 4 * * 1-5").stdout
    *when, line = printed.split(None, 5)
    assert when == ["30", "4", "*", "*", "1-5"]
    code, out, said = cron(line.replace(r"\%", "%"))
    assert (code, out) == (4, "")
    assert "ZeroDivisionError" in said


@pytest.fixture
def guarded(deployment: Any, tmp_path: Path) -> Iterator[Guarded]:
    with guarding(deployment.port, tmp_path) as found:
        yield found


def test_a_deployment_that_wants_a_token(shop: users.User, guarded: Guarded, deployment: Any) -> None:
    """Nothing goes through without it, all does with it, and it stands nowhere but in its own file."""
    secret, wrong = "s3cret-t0ken", "wr0ng-t0ken"
    guarded.demand("bearer", secret=secret)
    (shop.folder / "daglab.yaml").write_text(f"dagster: {{url: {guarded.url!r}}}\n")
    (shop.folder / "dagster" / "notebooks" / "connects.py").write_text(
        NOTEBOOK.format(code="print(__import__('daglab.helpers').helpers.connect().api.url)")
    )
    home = Path(shop.variables["HOME"])
    kept, own = home / "token", home / ".config" / "daglab" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(f"credentials:\n  {guarded.url.removesuffix(PREFIX)}:\n    token_file: {kept}\n")
    kept.write_text(f"{wrong}\n")
    kept.chmod(0o600)
    traced = shop.at("", DAGLAB_TRACE="1")
    for arguments in (["discover"], ["run", "--asset-selection", "raw_orders"], ["discover", "-v"]):
        refused = traced.types(*arguments, exit_code=6)
        assert "Hint:" in refused.stderr
    assert {each["status"] for each in guarded.seen} == {401}
    assert guarded.mutations == []

    kept.write_text(f"{secret}\n")
    [run] = traced.asks("run", "--asset-selection", "raw_orders", "-v")["runs"]
    assert users.graphql(deployment.url, RUN, id=run["run_id"])["runOrError"]["status"] == "SUCCESS"
    exported = traced.asks("export", "dagster/notebooks/connects.py", "-v", "--attach", "asset:raw_orders")
    assert (guarded.url in Path(exported["output"]).read_text(), exported["attached"][0]["via"]) == (True, "rest")
    traced.types("doctor", "--report", "report.md")
    written = {
        path: path.read_bytes() for folder in (home, shop.folder) for path in folder.rglob("*") if path.is_file()
    }
    assert written.pop(kept) == f"{secret}\n".encode()
    assert shop.folder / ".daglab" / "traces" / "requests.jsonl" in written
    for token in (secret, wrong):
        assert [path for path, content in written.items() if token.encode() in content] == []
        assert token not in "".join(shop.said)


def test_health_figures_and_upkeep(shop: users.User, deployment: Any) -> None:
    """A week's round: what is ill is told by the exit code, old things are archived, what is lost comes back."""
    shop.types("health", exit_code=5)
    here = shop.at("", DAGLAB_DAGSTER__URL=deployment.url)
    found = here.asks("health", exit_code=4)
    assert [check["name"] for check in found["checks"] if check["status"] == "degraded"] == ["locations"]  # broken.py
    here.types("health", "--only", "dagster", "--only", "storage", "-q")

    here.types("metrics", "export", "--format", "prometheus", "--output", "daglab.prom")
    figures = (here.folder / "daglab.prom").read_text()
    assert 'daglab_events_total{command="health"} 3.0\n' in figures
    assert 'daglab_events_failed_total{command="health"} 2.0\n' in figures

    log = here.folder / ".daglab" / "logs" / "dagster.log"
    log.parent.mkdir()
    log.write_text("of last month\n")
    os.utime(log, (0, 0))
    cleaned = here.asks("clean", "--archive", "--yes")
    assert [each["category"] for each in cleaned["removed"]] == ["logs"]
    assert gzip.decompress((here.folder / cleaned["archived"][0]).read_bytes()) == b"of last month\n"
    assert not log.exists()

    notebook = Path(here.types("scaffold", "--asset", "raw_orders").stdout.strip())
    config, kept = here.folder / "daglab.yaml", notebook.read_bytes()
    before = config.read_bytes()
    made = here.asks("backup", "create")
    notebook.unlink()
    config.write_text("dagster: {prot: 1}\n")
    here.types("config", "validate", exit_code=7)
    here.types("backup", "restore", made["archive"], "--yes")
    assert (notebook.read_bytes(), config.read_bytes()) == (kept, before)
    here.types("doctor", "--deep")


def test_two_deployments_chosen_by_env(shop: users.User, deployment: Any, held: Any) -> None:
    """Both have an asset of that name: the run is on the chosen one, and on no other."""
    (shop.folder / "daglab.yaml").write_text(
        "dagster: {url: 'http://127.0.0.1:9'}\n"
        "environments:\n"
        f"  dev:\n    dagster: {{url: {deployment.url!r}}}\n"
        f"  prod:\n    dagster: {{url: {held.url!r}}}\n"
    )
    launch = ["run", "--asset-selection", "raw_orders"]
    for options, there, not_there in (([], deployment.url, held.url), (["--env", "prod"], held.url, deployment.url)):
        [run] = shop.asks(*launch, *options, DAGLAB_ENV="dev")["runs"]
        assert users.graphql(there, RUN, id=run["run_id"])["runOrError"]["status"] == "SUCCESS"
        assert users.graphql(not_there, RUN, id=run["run_id"])["runOrError"]["__typename"] == "RunNotFoundError"
    unknown = shop.types(*launch, "--env", "prd", exit_code=7)
    assert "prod" in unknown.stderr
    shop.types(*launch, exit_code=5)

"""`daglab discover` against a real deployment of many shapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MAIN_ASSETS = {
    *("src/customers", "raw_orders", "prices", "orders", "customer_orders", "suspicious"),
    *("left", "right", "tea", "rich", "daily", "regional", "daily_regional", "coloured"),
    *("failing", "after_failing", "slow", "odd-key/v1.2", "outer space/größe <b>&"),
}
Discover = Callable[..., Any]


@pytest.fixture
def discover(cli: Callable[..., Any], deployment: Any) -> Discover:
    def run(*arguments: str, url: str | None = None) -> Any:
        return cli("discover", "--url", url or deployment.url, *arguments)

    return run


@pytest.fixture
def document(discover: Discover) -> Callable[..., Any]:
    def read(*arguments: str) -> Any:
        done = discover("--json", *arguments)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    return read


def test_everything(document: Callable[..., Any], graphql: Callable[..., Any]) -> None:
    result = document()
    assert list(result) == ["ok", "dagster_version", "locations", "repositories", "jobs", "assets", "groups"]
    assert result["ok"] is True
    assert result["dagster_version"] == graphql("{ version }")["version"]
    assert [each["name"] for each in result["locations"]] == ["main", "second", "broken"]
    assert {(each["name"], each["location"]) for each in result["repositories"]} == {
        ("__repository__", "main"),
        ("__repository__", "second"),
    }
    assert {each["key"] for each in result["assets"] if each["location"] == "main"} == MAIN_ASSETS
    assert {each["key"] for each in result["assets"] if each["location"] == "second"} == {"inventory", "reorders"}
    assert {(each["name"], each["location"]) for each in result["groups"]} == {
        *((name, "main") for name in ("raw", "mart", "partitioned", "odd")),
        ("stock", "second"),
    }


def test_an_asset(document: Callable[..., Any]) -> None:
    assets = {each["key"]: each for each in document("--filter", "assets")["assets"]}
    assert assets["orders"] == {
        "key": "orders",
        "group": "mart",
        "location": "main",
        "repository": "__repository__",
        "description": "Clean orders.\n\nA second paragraph.",
        "kinds": ["duckdb", "python"],
        "tags": {"domain": "shop", "tier": "gold"},
        "owners": ["team:sales", "data@example.com"],
        "is_executable": True,
        "partitions": None,
        "dimensions": [],
        "dependencies": ["prices", "raw_orders"],
        "jobs": ["mart_job"],
    }
    assert "Müller, 東京, <b>bold</b>" in assets["src/customers"]["description"]
    assert assets["odd-key/v1.2"]["is_executable"] is True
    assert assets["outer space/größe <b>&"]["is_executable"] is False
    assert assets["prices"]["is_executable"] is False
    assert assets["reorders"]["dependencies"] == ["inventory", "orders"]
    assert {key: each["partitions"] for key, each in assets.items() if each["partitions"]} == {
        "daily": "TIME_WINDOW",
        "regional": "STATIC",
        "daily_regional": "MULTIPARTITIONED",
        "coloured": "DYNAMIC",
    }
    assert sorted(assets["daily_regional"]["dimensions"]) == ["day", "region"]


def test_jobs(document: Callable[..., Any]) -> None:
    jobs = document("--filter", "jobs")["jobs"]
    listed = {(each["name"], each["location"]): each for each in jobs}
    assert set(listed) == {
        *((name, "main") for name in ("op_job", "fail_job", "slow_job", "part_job", "mart_job", "daily_job")),
        ("shared_job", "main"),
        ("shared_job", "second"),
    }
    assert listed["mart_job", "main"] == {
        "name": "mart_job",
        "location": "main",
        "repository": "__repository__",
        "description": "Orders and what is made of them.",
        "is_asset_job": True,
        "is_partitioned": False,
        "tags": {"kind": "assets"},
    }
    assert {name for (name, _), each in listed.items() if each["is_partitioned"]} == {"part_job", "daily_job"}


def test_the_location_that_failed_to_load(discover: Discover) -> None:
    done = discover("--json")
    broken = json.loads(done.stdout)["locations"][2]
    assert (broken["name"], broken["loaded"], broken["repositories"]) == ("broken", False, [])
    assert "missing" in broken["error"]
    assert "KeyError" in broken["error"]
    assert "The code location broken is not loaded" in done.stderr
    assert "KeyError" in done.stderr


@pytest.mark.parametrize(
    ("kind", "sections"),
    [
        ("all", ["locations", "repositories", "jobs", "assets", "groups"]),
        ("repos", ["repositories"]),
        ("locations", ["locations"]),
        ("jobs", ["jobs"]),
        ("assets", ["assets"]),
        ("groups", ["groups"]),
    ],
)
def test_filters(kind: str, sections: list[str], document: Callable[..., Any]) -> None:
    assert list(document("--filter", kind)) == ["ok", "dagster_version", *sections]


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        ("*order*", {"raw_orders", "orders", "customer_orders", "reorders"}),
        ("outer space/*", {"outer space/größe <b>&"}),
        ("odd-key/v[0-9].?", {"odd-key/v1.2"}),
    ],
)
def test_patterns(pattern: str, keys: set[str], document: Callable[..., Any]) -> None:
    assert {each["key"] for each in document("--filter", "assets", "--pattern", pattern)["assets"]} == keys


def test_a_pattern_holds_for_each_section(document: Callable[..., Any]) -> None:
    result = document("--pattern", "*ma*")
    assert [each["name"] for each in result["locations"]] == ["main"]
    assert {each["name"] for each in result["jobs"]} == {"mart_job"}
    assert {each["name"] for each in result["groups"]} == {"mart"}
    assert result["repositories"] == []


def test_the_tables(discover: Discover) -> None:
    done = discover()
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    titles = ["Locations (3)", "Repositories (2)", "Jobs (8)", "Assets (21)", "Groups (5)"]
    assert [line for line in lines if line in titles] == titles
    assert any(line.split()[:2] == ["broken", "NO"] and "KeyError" in line for line in lines)
    assert any(line.startswith("outer space/größe <b>& (external)") for line in lines)
    assert any(line.split()[:3] == ["daily", "partitioned", "main"] and "time window" in line for line in lines)
    assert any(line.split()[:2] == ["part_job", "main"] and "op job, partitioned" in line for line in lines)
    assert any("Clean orders." in line for line in lines)
    assert "A second paragraph" not in done.stdout
    assert "__ASSET_JOB" not in done.stdout
    assert done.stderr.startswith("Dagster ")


def test_quiet_leaves_the_data(discover: Discover) -> None:
    done = discover("-q", "--filter", "jobs")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "shared_job" in done.stdout


@pytest.mark.parametrize(("kind", "count"), [("all", 2), ("jobs", 1)])
def test_the_number_of_requests(kind: str, count: int, discover: Discover, proxy: Any, tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    done = discover("--filter", kind, url=proxy.url)
    assert done.exit_code == 0, done.stderr
    assert proxy.seen == ["Workspace", "Assets"][:count]
    [log] = (tmp_path / ".daglab" / "events").iterdir()
    event = json.loads(log.read_text())
    assert (event["command"], event["ok"], event["exit_code"]) == ("discover", True, 0)
    assert (event["requests"]["n"], event["requests"]["errors"]) == (count, 0)
    assert len(event["requests"]["ms"]) == count


def test_what_is_asked_is_shown(discover: Discover, deployment: Any) -> None:
    done = discover("-v", "--filter", "jobs")
    assert f"POST {deployment.url}/graphql 200 " in done.stderr
    assert done.stderr.count("POST ") == 1
    assert "POST" not in done.stdout


def test_a_port_where_nothing_listens(discover: Discover) -> None:
    from daglab import processes

    url = f"http://127.0.0.1:{processes.find_free_port()}"
    done = discover("--json", url=url)
    assert done.exit_code == 5
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["exit_code"]) == ("unreachable", 5)
    assert f"Nothing answers at {url}/graphql: connection refused" in error["message"]
    assert error["hint"]


def test_a_path_of_the_deployment_that_is_not_graphql(discover: Discover, deployment: Any) -> None:
    """Dagster's webserver answers any path that it does not know with its page, or refuses the method."""
    done = discover(url=f"{deployment.url}/somewhere")
    assert done.exit_code == 5
    assert "not Dagster's GraphQL" in done.stderr
    assert "Hint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_connection_that_breaks_once(discover: Discover, proxy: Any) -> None:
    def once(client: Any, forward: Callable[[], bytes]) -> None:
        forward()
        proxy.faults.clear()

    proxy.faults["Workspace"] = once
    assert discover("--filter", "jobs", url=proxy.url).exit_code == 0
    assert proxy.seen == ["Workspace", "Workspace"]


def test_half_of_a_large_answer(discover: Discover, proxy: Any) -> None:
    def half(client: Any, forward: Callable[[], bytes]) -> None:
        answer = forward()
        client.sendall(answer[: len(answer) // 2])

    proxy.faults["Assets"] = half
    done = discover("--json", url=proxy.url)
    assert done.exit_code == 5
    assert json.loads(done.stdout)["ok"] is False
    assert proxy.seen == ["Workspace", *["Assets"] * 4]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("+orders", {"raw_orders", "orders"}),
        ("*orders*", {"raw_orders", "orders", "customer_orders", "reorders"}),  # reorders: in the other location
        ("group:raw", {"src/customers", "raw_orders"}),
        ('key:"*rices"', {"prices"}),  # external
        ("tag:tier=gold and not kind:duckdb", {"customer_orders"}),
        ('owner:"team:sales"', {"prices", "orders"}),
        ("code_location:second", {"inventory", "reorders"}),
        ("partitions:time or partitions:multipartitions", {"daily", "daily_regional"}),
        ("job:mart_job and sinks(*)", {"customer_orders"}),
        ("roots(job:mart_job), suspicious", {"src/customers", "raw_orders", "suspicious"}),
    ],
)
def test_a_selection(document: Callable[..., Any], text: str, keys: set[str]) -> None:
    found = document("--select", text)
    assert ({each["key"] for each in found["assets"]}, found["jobs"]) == (keys, [])
    assert {key for each in found["groups"] for key in each["assets"]} == keys


def test_a_selection_that_is_refused(discover: Discover) -> None:
    done = discover("--select", "group:mart and status:healthy")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "only Dagster+ knows that" in done.stderr
    done = discover("--select", "group:", "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (2, "usage")
    assert discover("--select", "ordrs").exit_code == 7
    assert discover("--select", "orders", "--filter", "jobs").exit_code == 2


def test_what_is_asked_for_alone(document: Callable[..., Any], discover: Discover) -> None:
    asked = ("--filter", "assets", "--location", "main", "--repo", "__repository__", "--kind", "python,csv")
    result = document(*asked, "--limit", "1", "--metadata")
    assert set(result) == {"ok", "dagster_version", "assets", "total"}
    assert len(result["assets"]) == 1
    assert result["total"]["assets"] > 0
    assert "metadata" in result["assets"][0]
    by_group = document("--group", "mart", "--tags", "tier=gold", "--owner", "team:sales", "--pattern", "o*")
    assert by_group["jobs"] == []
    assert [each["key"] for each in by_group["assets"]] == ["orders"]
    done = discover("--group", "matr")
    assert (done.exit_code, "Did you mean mart?" in done.stderr) == (0, True)
    done = discover("--location", "mian", "--json")
    assert (done.exit_code, "Did you mean main?" in json.loads(done.stdout)["error"]["hint"]) == (7, True)


def test_metadata_of_assets_and_jobs(document: Callable[..., Any]) -> None:
    result = document("--metadata", "--location", "main")
    told = {each["key"]: each["metadata"] for each in result["assets"]}
    assert told["orders"] == {"schema_version": 3, "docs": "https://example.com/orders"}
    assert {each["name"]: each["metadata"] for each in result["jobs"]}["mart_job"] == {
        "runbook": "https://example.com/r"
    }


def test_it_is_written_to_a_file(discover: Discover, tmp_path: Path, deployment: Any) -> None:
    done = discover("--filter", "assets", "--output", "assets.csv")
    assert (done.exit_code, done.stdout) == (0, "assets.csv\n")
    lines = (tmp_path / "assets.csv").read_text().splitlines()
    assert lines[0].startswith("key,group,location")
    assert any(line.startswith("src/customers,") for line in lines)
    done = discover("--output", "all.txt", "--format", "md", "--json")
    assert json.loads(done.stdout)["counts"]["locations"] == 3
    assert "## Groups (5)" in (tmp_path / "all.txt").read_text()
    done = discover("--filter", "jobs", "--format", "csv", "--dagster-port", str(deployment.port), url="")
    assert done.exit_code == 2  # both an address and a port


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "csv"], "--filter assets"),
        (["--filter", "jobs", "--group", "a"], "--filter assets"),
        (["--json", "--format", "md"], "Leave one of them out"),
        (["--tags", "=x"], "--tags team=sales"),
    ],
)
def test_what_makes_no_sense(discover: Discover, arguments: list[str], said: str) -> None:
    done = discover(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr + done.stdout


def test_by_port_and_environment(cli: Callable[..., Any], deployment: Any, tmp_path: Path) -> None:
    done = cli("discover", "--filter", "repos", "--format", "csv", "--dagster-port", str(deployment.port))
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "name,location")
    text = f"dagster: {{port: 1}}\nenvironments: {{live: {{dagster: {{port: {deployment.port}}}}}}}\n"
    (tmp_path / "daglab.yaml").write_text(text)
    assert cli("discover", "--filter", "locations", "--env", "live", "--sandbox").exit_code == 0
    assert cli("discover", env={"DAGLAB_ENV": "live"}).exit_code == 0
    done = cli("discover", "--env", "lvie")
    assert (done.exit_code, "Did you mean live?" in done.stderr) == (7, True)

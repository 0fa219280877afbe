"""`daglab run` before a stand-in for Dagster: what is asked, what is refused, and what is said of the run."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, output
from daglab.commands import run
from daglab.deployment import runs
from daglab.launching import cancellation, launches

RUN = "5f0c1d2e-0000-4000-8000-000000000001"
NO_DAEMON = {
    "instance": {
        "runQueuingSupported": True,
        "daemonHealth": {"allDaemonStatuses": [{"daemonType": "QUEUED_RUN_COORDINATOR", "healthy": False}]},
    }
}
Ran = Callable[..., str]


@pytest.fixture
def ran(dagster: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Runs the command in this process, raises what it raises, and gives what it prints on stdout."""
    monkeypatch.setenv("DAGLAB_PERFORMANCE__POLLING_INTERVAL", "0.01")

    def of(*arguments: str) -> str:
        run.command.main(["--url", dagster.url, *arguments], standalone_mode=False)
        return capsys.readouterr().out

    return of


def asked(dagster: Any) -> list[str]:
    """The names of what the stand-in was asked."""
    return [request.body["query"].split("(")[0].split("{")[0].split()[1] for request in dagster.requests]


def status(dagster: Any, word: str) -> None:
    dagster.answers["Status"]["runsOrError"]["results"][0].update(status=word, endTime=None)


def sent(dagster: Any) -> dict[str, Any]:
    """The parameters of the launch."""
    [found] = [request.body for request in dagster.requests if "launchRun" in request.body["query"]]
    params: dict[str, Any] = found["variables"]["params"]
    return params


# --- what is given on the command line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "One of --job, --asset-selection, --select and --asset-pattern"),
        (["--job", "report", "--asset-pattern", "*"], "One of --job, --asset-selection, --select and --asset-pattern"),
        (["--asset-selection", "orders", "--asset-pattern", "*"], "One of"),
        (["--job", "report", "--run-config", "-", "--config-yaml", ""], "--run-config and --config-yaml"),
        (["--job", "report", "--no-wait", "--cancel-on-timeout"], "--no-wait and --cancel-on-timeout"),
        (["--job", "report", "--tag", "novalue"], "'novalue' is not a tag"),
        (["--job", "report", "--tag", "=x"], "'=x' is not a tag"),
        (["--job", "report", "--tag", "a=1", "--tag", "a=2"], "The tag a is given twice"),
        (["--job", "report", "--tag", "daglab/launch_id=x"], "is daglab's own"),
        (["--job", "report", "--tag", "dagster/partition=x"], "says which partition runs"),
        (["--job", "report", "--tag", "dagster/partition/day=x"], "says which partition runs"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], message: str, ran: Ran, dagster: Any) -> None:
    with pytest.raises(errors.WrongUsage, match=message) as caught:
        ran(*arguments)
    assert caught.value.hint
    assert dagster.requests == []


def test_tags_are_data(ran: Ran, dagster: Any) -> None:
    ran(
        "--job", "report", "--no-wait", "--tag", "team=a=b, é <b>", "--tag", "bad key !=", "--tag", "dagster/priority=3"
    )
    tags = {tag["key"]: tag["value"] for tag in sent(dagster)["executionMetadata"]["tags"]}
    assert tags.pop("daglab/launch_id")
    assert tags == {"team": "a=b, é <b>", "bad key !": "", "dagster/priority": "3"}


def test_run_config_as_text(ran: Ran, dagster: Any) -> None:
    ran("--job", "report", "--no-wait", "--config-yaml", "ops: {one: {config: {day: 2026-11-01}}}")
    assert sent(dagster)["runConfigData"] == {"ops": {"one": {"config": {"day": "2026-11-01"}}}}
    with pytest.raises(errors.InvalidInput, match="run config of --config-yaml is not YAML"):
        ran("--job", "report", "--config-yaml", "ops: [")


# --- a pattern


@pytest.fixture
def shop(dagster: Any) -> Any:
    [node] = dagster.answers["Assets"]["assetNodes"]
    nodes = []
    for key, location, executable in [
        ("orders/raw", "shop", True),
        ("orders/clean", "shop", True),
        ("orders/prices", "shop", False),
        ("stock", "store", True),
        ("Orders/raw", "store", True),
    ]:
        place = {"name": "__repository__", "location": {"name": location}}
        new = {"assetKey": {"path": key.split("/")}, "repository": place, "isExecutable": executable}
        nodes.append({**copy.deepcopy(node), **new})
    dagster.answers["Assets"] = {"assetNodes": nodes}
    return dagster


def test_a_pattern_takes_what_can_be_executed(ran: Ran, shop: Any) -> None:
    result = json.loads(ran("--asset-pattern", "orders/*", "--no-wait", "--json"))
    assert result["runs"][0]["assets"] == ["orders/raw", "orders/clean"]
    assert sent(shop)["selector"]["assetSelection"] == [{"path": ["orders", "raw"]}, {"path": ["orders", "clean"]}]
    assert asked(shop) == ["Assets", "Validate", "Launch"]


@pytest.mark.parametrize(
    ("place", "assets"), [("shop", ["orders/raw", "orders/clean"]), ("store", ["stock", "Orders/raw"])]
)
def test_a_pattern_in_one_location(place: str, assets: list[str], ran: Ran, shop: Any) -> None:
    result = json.loads(
        ran("--asset-pattern", "*", "--location", place, "--repo", "__repository__", "--validate-only", "--json")
    )
    assert result["assets"] == assets


@pytest.mark.parametrize(
    ("pattern", "message", "hint"),
    [
        ("ordres/*", "No asset at .* matches ordres", "Did you mean "),
        ("xyzzy*", "No asset at .* matches xyzzy", "daglab discover --filter assets --pattern 'xyzzy"),
        ("ORDERS/*", "No asset at .* matches ORDERS", ""),
        ("*/prices", r"external to Dagster and can't be materialized: orders/prices\.", "downstream"),
    ],
)
def test_a_pattern_that_can_not_be_launched(pattern: str, message: str, hint: str, ran: Ran, shop: Any) -> None:
    with pytest.raises(errors.InvalidInput, match=message) as caught:
        ran("--asset-pattern", pattern)
    assert hint in str(caught.value.hint)
    assert "Launch" not in asked(shop)


# --- several runs


@pytest.fixture
def several(shop: Any) -> Any:
    """Each launch makes a run of its own, named by its place; `ends` says how one ends that does not succeed."""
    made: list[str] = []
    ends = shop.answers["ends"] = {}

    def launched(body: Any) -> dict[str, Any]:
        made.append(f"run{len(made) + 1}")
        return {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": made[-1], "status": "STARTING"}}}

    def stand(body: Any) -> dict[str, Any]:
        results = [
            {"runId": run_id, "status": ends.get(run_id, "SUCCESS"), "startTime": 1.0, "endTime": 2.0}
            for run_id in body["variables"]["ids"]
        ]
        return {"runsOrError": {"__typename": "Runs", "results": results}}

    shop.answers.update(Launch=launched, Status=stand)
    return shop


def needs(shop: Any, name: str, *above: str) -> None:
    [node] = [each for each in shop.answers["Assets"]["assetNodes"] if "/".join(each["assetKey"]["path"]) == name]
    node["dependencyKeys"] = [{"path": key.split("/")} for key in above]


def launches_sent(shop: Any) -> list[list[str]]:
    return [
        ["/".join(key["path"]) for key in request.body["variables"]["params"]["selector"]["assetSelection"]]
        for request in shop.requests
        if "launchRun" in request.body["query"]
    ]


def test_two_locations_are_two_runs_that_are_followed_together(ran: Ran, several: Any) -> None:
    result = json.loads(ran("--asset-pattern", "*[ro][ac][wk]", "--json"))
    assert [(each["run_id"], each["location"], each["assets"]) for each in result["runs"]] == [
        ("run1", "shop", ["orders/raw"]),
        ("run2", "store", ["stock", "Orders/raw"]),
    ]
    assert result["runs"][0]["launch_id"] == result["launch_id"]
    assert result["runs"][1]["launch_id"] == f"{result['launch_id']}.2"
    assert asked(several).count("Status") == 1


def test_what_is_needed_is_made_first(ran: Ran, several: Any) -> None:
    needs(several, "orders/raw", "stock")
    ran("--asset-pattern", "*[ro][ac][wk]")
    assert launches_sent(several) == [["stock", "Orders/raw"], ["orders/raw"]]
    order = [name for name in asked(several) if name in ("Launch", "Status")]
    assert order == ["Launch", "Status", "Launch", "Status"]


def test_what_needs_a_failed_run_is_not_launched(ran: Ran, several: Any) -> None:
    needs(several, "orders/raw", "stock")
    several.answers["ends"]["run1"] = "FAILURE"
    with pytest.raises(errors.NotGood, match=r"(?s)run1 ended as FAILURE.*Not launched.*orders/raw") as caught:
        ran("--asset-pattern", "*[ro][ac][wk]", "--json")
    assert launches_sent(several) == [["stock", "Orders/raw"]]
    assert caught.value.result is not None
    assert [(each["run_id"], each["status"]) for each in caught.value.result["runs"]] == [
        ("run1", "FAILURE"),
        (None, "NOT_LAUNCHED"),
    ]


def test_no_more_are_under_way_than_there_is_room(ran: Ran, several: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGLAB_PERFORMANCE__MAX_CONCURRENT_RUNS", "1")
    ran("--asset-pattern", "*[ro][ac][wk]")
    order = [name for name in asked(several) if name in ("Launch", "Status")]
    assert order == ["Launch", "Status", "Launch", "Status"]


def recorded(project: Path) -> dict[str, Any]:
    """The detail of the one event."""
    [path] = (project / ".daglab" / "events").iterdir()
    detail: dict[str, Any] = json.loads(path.read_text())["detail"]
    return detail


def test_the_event_tells_what_became_of_the_runs(ran: Ran, several: Any, tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    several.answers["ends"]["run2"] = "FAILURE"
    with pytest.raises(errors.NotGood):
        ran("--asset-pattern", "*[ro][ac][wk]")
    assert recorded(tmp_path) == {
        "launched": 2,
        "succeeded": 1,
        "failed": 1,
        "run_seconds": [1.0, 1.0],
        "assets": ["orders/raw", "stock", "Orders/raw"],
    }


def test_runs_that_nobody_waited_for_have_no_outcome(ran: Ran, several: Any, tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    ran("--asset-pattern", "*[ro][ac][wk]", "--no-wait")
    detail = recorded(tmp_path)
    assert [detail[name] for name in ("launched", "succeeded", "failed", "run_seconds")] == [2, 0, 0, []]


def test_without_waiting_nobody_would_launch_the_later_ones(ran: Ran, several: Any) -> None:
    needs(several, "orders/raw", "stock")
    with pytest.raises(errors.InvalidInput, match="with --no-wait nobody would launch"):
        ran("--asset-pattern", "*[ro][ac][wk]", "--no-wait")
    assert launches_sent(several) == []
    needs(several, "orders/raw")
    assert ran("--asset-pattern", "*[ro][ac][wk]", "--no-wait") == "run1 LAUNCHED\nrun2 LAUNCHED\n"


def test_each_run_has_the_config_of_its_own_ops(ran: Ran, several: Any) -> None:
    for node in several.answers["Assets"]["assetNodes"]:
        node["opNames"] = ["__".join(node["assetKey"]["path"])]
    ran("--asset-pattern", "*[ro][ac][wk]", "--config-yaml", "ops: {stock: {config: {a: 1}}, orders__raw: {}}")
    sent_configs = [
        request.body["variables"]["params"]["runConfigData"]
        for request in several.requests
        if "launchRun" in request.body["query"]
    ]
    assert sent_configs == [{"ops": {"orders__raw": {}}}, {"ops": {"stock": {"config": {"a": 1}}}}]


def test_config_for_what_is_not_launched_is_refused(ran: Ran, several: Any) -> None:
    """Dagster takes it without a word."""
    for node in several.answers["Assets"]["assetNodes"]:
        node["opNames"] = ["__".join(node["assetKey"]["path"])]
    with pytest.raises(errors.InvalidInput, match=r"at ops\.stock: it makes stock, which is not selected"):
        ran("--asset-pattern", "orders/raw", "--config-yaml", "ops: {stock: {}, a_check: {}}")
    assert launches_sent(several) == []


def test_interrupted_while_the_second_is_launched(ran: Ran, several: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter([launches.Launched("run1", "STARTING")])

    def launch(*_: Any, **__: Any) -> launches.Launched:
        if (run := next(made, None)) is None:
            raise KeyboardInterrupt
        return run

    monkeypatch.setattr(launches, "launch", launch)
    with pytest.raises(errors.Interrupted, match="the run run1 goes on; a run was being launched") as caught:
        ran("--asset-pattern", "*[ro][ac][wk]")
    assert caught.value.result is not None
    assert caught.value.result["launch"] == "unknown"
    assert f"{caught.value.result['launch_id']}.2" in str(caught.value.hint)


# --- a selection


def test_a_selection(ran: Ran, shop: Any) -> None:
    result = json.loads(ran("--select", 'key:"orders/*" and not key:"*clean"', "--no-wait", "--json"))
    assert result["runs"][0]["assets"] == ["orders/raw"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key:nothing", "The selection key:nothing holds no asset"),
        ('key:"*prices"', "external to Dagster"),
        ("stok", "There is no asset stok"),
    ],
)
def test_a_selection_that_can_not_be_launched(text: str, message: str, ran: Ran, shop: Any) -> None:
    with pytest.raises(errors.InvalidInput, match=message):
        ran("--select", text)


def test_a_selection_is_read_before_anything_is_asked(ran: Ran, shop: Any) -> None:
    with pytest.raises(errors.WrongUsage, match="column 7"):
        ran("--select", "group:")
    assert shop.requests == []


# --- checking alone


def test_validating_launches_nothing(ran: Ran, dagster: Any) -> None:
    arguments = ["--job", "report", "--validate-only", "--cancel-on-timeout"]
    assert json.loads(ran(*arguments, "--json")) == {
        "ok": True,
        "job": "report",
        "assets": [],
        "partition": None,
        "errors": [],
    }
    assert ran(*arguments) == ""
    assert set(asked(dagster)) == {"Workspace", "Validate"}


def test_partition_and_config_are_told_at_once(ran: Ran, dagster: Any) -> None:
    problem = {"message": "not an int", "reason": "RUNTIME_TYPE_MISMATCH", "stack": {"entries": []}}
    member = {"__typename": "RunConfigValidationInvalid", "errors": [problem]}
    dagster.answers["Validate"] = {"isPipelineConfigValid": member}
    for arguments in (["--validate-only"], []):
        with pytest.raises(errors.InvalidInput, match=r"orders is not partitioned\.(?s:.*)not an int") as caught:
            ran("--asset-selection", "orders", "--partition", "x", *arguments)
        assert caught.value.result is not None
        assert [each["reason"] for each in caught.value.result["errors"]] == ["PARTITION", "RUNTIME_TYPE_MISMATCH"]
    assert "Launch" not in asked(dagster)


def partition(dagster: Any) -> None:
    """The job has the partition `a`, with a tag and run config of its own."""
    [entry] = dagster.answers["Workspace"]["workspaceOrError"]["locationEntries"]
    [repository] = entry["locationOrLoadError"]["repositories"]
    repository["partitionSets"] = [{"name": "report_partition_set", "pipelineName": "report"}]
    keys = {"partitionsOrError": {"__typename": "Partitions", "results": [{"name": "a"}]}}
    tags = [{"key": "dagster/partition", "value": "a"}, {"key": "team", "value": "the job's"}]
    launch = {
        "tagsOrError": {"__typename": "PartitionTags", "results": tags},
        "runConfigOrError": {"__typename": "PartitionRunConfig", "yaml": "ops: {}"},
    }
    for name, found in (("JobPartitions", keys), ("PartitionLaunch", {"partition": launch})):
        dagster.answers[name] = {"partitionSetOrError": {"__typename": "PartitionSet", **found}}


def test_what_is_given_goes_before_what_the_partition_has(ran: Ran, dagster: Any) -> None:
    partition(dagster)
    ran("--job", "report", "--partition", "a", "--tag", "team=mine", "--no-wait")
    tags = {tag["key"]: tag["value"] for tag in sent(dagster)["executionMetadata"]["tags"]}
    assert (tags["team"], tags["dagster/partition"]) == ("mine", "a")
    assert sent(dagster)["runConfigData"] == {"ops": {}}


def test_a_job_that_makes_its_config_of_the_partition_is_not_checked_without_one(ran: Ran, dagster: Any) -> None:
    """Its config would be called incomplete, which it is not."""
    partition(dagster)
    with pytest.raises(errors.InvalidInput, match="report is partitioned, and no partition is named") as caught:
        ran("--job", "report", "--validate-only")
    assert caught.value.result == {"errors": [{"path": [], "reason": "PARTITION", "message": str(caught.value)}]}
    assert asked(dagster) == ["Workspace"]


# --- the sandbox


def test_the_sandbox_refuses_before_anything_is_asked(ran: Ran, dagster: Any) -> None:
    with pytest.raises(errors.NotAuthorised, match="launchRun"):
        ran("--job", "report", "--sandbox")
    assert dagster.requests == []
    ran("--job", "report", "--sandbox", "--validate-only")


def test_the_sandbox_has_to_allow_the_cancelling_too(ran: Ran, dagster: Any, tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("security: {sandbox_mode: true, allowed_operations: [launchRun]}\n")
    with pytest.raises(errors.NotAuthorised, match="terminateRun"):
        ran("--job", "report", "--cancel-on-timeout")
    assert dagster.requests == []
    ran("--job", "report")
    assert "Launch" in asked(dagster)


# --- a queue that nobody works off


@pytest.mark.parametrize("first", ["QUEUED", "STARTING"])
def test_a_queue_without_a_daemon(first: str, ran: Ran, dagster: Any) -> None:
    """Without waiting, one more request, and only where the launch's answer says that the run is queued."""
    dagster.answers["Launch"]["launchRun"]["run"]["status"] = first
    dagster.answers["Daemons"] = NO_DAEMON
    ran("--job", "report", "--no-wait")
    assert asked(dagster) == ["Workspace", "Validate", "Launch", *["Daemons"] * (first == "QUEUED")]


def test_a_queue_is_warned_of_once(ran: Ran, dagster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr(output, "warn", warned.append)
    dagster.answers["Launch"]["launchRun"]["run"]["status"] = "QUEUED"
    dagster.answers["Daemons"] = NO_DAEMON
    status(dagster, "QUEUED")
    with pytest.raises(errors.TimedOut):
        ran("--job", "report", "--timeout", "0.3")
    assert asked(dagster).count("Status") > 1
    assert asked(dagster).count("Daemons") == 1
    [text] = warned
    assert "dagster-daemon run" in text
    assert "daglab dev" in text


# --- the time is up


def cancelling(monkeypatch: pytest.MonkeyPatch, outcome: Any, *, marked: bool = False) -> None:
    """`cancellation.cancel` is tried in test_runs; here it ends as the test says."""

    def cancel(_api: Any, run_id: str) -> tuple[runs.Run, bool]:
        assert run_id == RUN
        if isinstance(outcome, BaseException):
            raise outcome
        return runs.Run(RUN, outcome, 1.0, 3.0), marked

    monkeypatch.setattr(cancellation, "cancel", cancel)


def late(ran: Ran, *arguments: str) -> Any:
    return ran("--job", "report", "--wait", "--timeout", "0.05", "--cancel-on-timeout", "--json", *arguments)


@pytest.mark.parametrize("marked", [True, False])
def test_a_run_that_was_cancelled(marked: bool, ran: Ran, dagster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr(output, "warn", warned.append)
    status(dagster, "STARTED")
    cancelling(monkeypatch, "CANCELED", marked=marked)
    with pytest.raises(errors.TimedOut, match=r"had not ended after 0\.05 s and was cancelled") as caught:
        late(ran)
    assert "--timeout" in str(caught.value.hint)
    result = caught.value.result
    assert result is not None
    assert (result["cancelled"], result["marked"]) == (True, marked)
    assert (result["runs"][0]["status"], result["runs"][0]["duration_s"]) == ("CANCELED", 2.0)
    assert len(warned) == marked


def test_a_run_that_succeeded_before_it_was_cancelled(ran: Ran, dagster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    status(dagster, "STARTED")
    cancelling(monkeypatch, "SUCCESS")
    result = json.loads(late(ran))
    assert (result["ok"], result["cancelled"], result["runs"][0]["status"]) == (True, False, "SUCCESS")


def test_a_run_that_failed_before_it_was_cancelled(ran: Ran, dagster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    status(dagster, "STARTED")
    cancelling(monkeypatch, "FAILURE")
    with pytest.raises(errors.NotGood, match="ended as FAILURE") as caught:
        late(ran)
    assert caught.value.result is not None
    assert caught.value.result["cancelled"] is False


@pytest.mark.parametrize(
    ("problem", "cancelled"),
    [
        (errors.TimedOut("It could not be cancelled.", "End it."), False),
        (errors.Unreachable("Nothing answers.", "Try."), None),
        (errors.NotAuthorised("Refused.", "Ask."), None),
    ],
)
def test_a_run_that_can_not_be_cancelled(
    problem: errors.DaglabError, cancelled: Any, ran: Ran, dagster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code stays that of the time that is up; what is known of the run is said."""
    status(dagster, "STARTED")
    cancelling(monkeypatch, problem)
    with pytest.raises(errors.TimedOut, match=f"is STARTED after 0.05 s.*{problem.message}") as caught:
        late(ran)
    assert caught.value.hint == problem.hint
    assert caught.value.result is not None
    assert caught.value.result["cancelled"] is cancelled
    assert caught.value.result["runs"][0]["run_id"] == RUN


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (errors.Terminated(), 143)])
def test_stopping_while_it_is_cancelled(
    stop: BaseException, code: int, ran: Ran, dagster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    status(dagster, "STARTED")
    cancelling(monkeypatch, stop)
    with pytest.raises(errors.Interrupted, match=f"{RUN} may go on, it was being cancelled") as caught:
        late(ran)
    assert caught.value.exit_code == code
    assert caught.value.result is not None
    assert caught.value.result["cancelled"] is None


def test_the_time_is_that_of_the_config(ran: Ran, dagster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGLAB_PERFORMANCE__MAX_WAIT_TIME", "0.07")
    status(dagster, "STARTED")
    with pytest.raises(errors.TimedOut, match=r"after 0\.07 s; it goes on"):
        ran("--job", "report")
    assert launches.LAUNCH_TAG in {tag["key"] for tag in sent(dagster)["executionMetadata"]["tags"]}

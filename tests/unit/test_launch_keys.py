"""Launch keys: which run is meant, whatever two hosts do at once. The deployment is a list of what it holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from daglab import errors
from daglab.deployment import dagster_api, partitions, run_records, selection
from daglab.launching import backfills, cancellation, dispatch, launch_keys, launches, plans, targets
from daglab.settings import config

PLAN = plans.Plan(targets.Target("j", "r", "l", (("a",),)), {"dagster/partition": "eu"}, {})
PREPARED = plans.Prepared((PLAN,))
WANTED = plans.Wanted(assets=(("a",),), partition="eu")
MISSING = plans.Wanted(assets=(("a",),), choice=partitions.Choice(missing=True))
KEY = launch_keys.of(launch_keys.Key("k"), WANTED)
SEVERAL = backfills.Wanted(("eu", "us"), (("a",),))


class Deployment:
    """What was launched, the newest first; `rivals` come at the moment that we launch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: list[run_records.Record] = []
        self.backfills: list[backfills.Listed] = []
        self.rivals: list[Any] = []
        self.cancelled: list[str] = []
        self.problems: list[errors.DaglabError] = []
        monkeypatch.setattr(run_records, "search", self.search)
        monkeypatch.setattr(backfills, "search", lambda _: iter(self.backfills))
        monkeypatch.setattr(launches, "launch", self.launch)
        monkeypatch.setattr(backfills, "launch", self.launch_backfill)
        monkeypatch.setattr(backfills, "look", lambda _, name: backfill(name, self.status(name)))
        monkeypatch.setattr(backfills, "cancel", lambda _, name: self.cancelled.append(name))
        monkeypatch.setattr(cancellation, "cancel", lambda _, name: self.cancelled.append(name))

    def search(self, _: Any, *, tags: dict[str, str], **__: Any) -> Any:
        if self.problems:
            raise self.problems.pop()
        return (each for each in self.runs if tags.items() <= each.tags.items())

    def status(self, name: str) -> str:
        return next(each.status for each in self.backfills if each.id == name)

    def launch(self, _: Any, __: Any, ___: Any, tags: Any, *, launch_id: str) -> launches.Launched:
        self.runs[:0] = [
            *self.rivals[1:],
            record("ours", "STARTING", {**tags, "daglab/launch_id": launch_id}),
            *self.rivals[:1],
        ]
        return launches.Launched("ours", "STARTING")

    def launch_backfill(self, _: Any, wanted: backfills.Wanted, *, launch_id: str) -> str:
        self.backfills[:0] = [backfills.Listed("ours", "REQUESTED", wanted.tags), *self.rivals]
        return "ours"


def record(name: str, status: str, tags: Any) -> run_records.Record:
    return run_records.Record(name, status, None, "l", ("a",), tags, 1.0, 2.0, None)


def backfill(name: str, status: str) -> backfills.Backfill:
    return backfills.Backfill(name, status, 2, {"SUCCESS": 2}, None, f"http://x/{name}")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    return Deployment(monkeypatch)


@pytest.fixture
def api() -> dagster_api.DagsterApi:
    return dagster_api.connect(config.load({}))


def launched(api: dagster_api.DagsterApi, key: launch_keys.Key = KEY) -> dict[str, Any]:
    """The entry of a run that is launched with the key."""
    result = dispatch.fresh_result(PREPARED, WANTED)
    with dispatch.keeping(result):
        dispatch._launch(api, PLAN, result["runs"][0], 0, key)
    return dict(result["runs"][0])


def made(api: dagster_api.DagsterApi, prepared: plans.Prepared, key: launch_keys.Key = KEY) -> dict[str, Any]:
    result = dispatch.fresh_result(prepared, MISSING)
    dispatch.judge_backfill(api, dispatch.start_backfill(api, prepared, result, key), result)
    return dict(result["backfill"])


# --- one run


def test_the_first_launch_and_its_repetition(there: Deployment, api: Any) -> None:
    first, second = launched(api), launched(api)
    assert (first["run_id"], first["existing"]) == ("ours", False)
    assert (second["run_id"], second["existing"], second["launch_id"]) == ("ours", True, first["launch_id"])
    assert len(there.runs) == 1
    assert there.runs[0].tags == {**PLAN.tags, **KEY.tags(), "daglab/launch_id": first["launch_id"]}


@pytest.mark.parametrize(
    "other",
    [
        {"assets": (("b",),)},
        {"partition": "us"},
        {"job": "j", "assets": ()},
        {"choice": partitions.Choice(every=True), "partition": None},
        {"location": "elsewhere"},
        {"chosen": selection.read("key:a"), "assets": ()},
    ],
)
def test_a_key_that_was_used_for_something_else(other: dict[str, Any], there: Deployment, api: Any) -> None:
    launched(api)
    with pytest.raises(errors.InvalidInput, match="The launch key k was used for something else: the run ours"):
        launched(api, launch_keys.of(KEY, dataclasses.replace(WANTED, **other)))
    assert len(there.runs) == 1


def test_config_and_tags_are_not_what_a_key_is_for() -> None:
    other = dataclasses.replace(WANTED, body={"ops": {}}, tags={"team": "a"})
    assert launch_keys.of(KEY, other) == KEY


def test_runs_of_a_backfill_and_of_other_places_are_not_meant(there: Deployment, api: Any) -> None:
    there.runs = [
        record("of a backfill", "SUCCESS", {**KEY.tags(), backfills.BACKFILL_TAG: "b"}),
        record("the second", "SUCCESS", KEY.tags(1)),
    ]
    assert launched(api)["run_id"] == "ours"


@pytest.mark.parametrize("relaunches", [False, True])
def test_what_has_failed_is_launched_again_when_that_is_said(relaunches: bool, there: Deployment, api: Any) -> None:
    """Of several the one that failed by itself is told, and not the one that lost against another."""
    there.runs = [record("cancelled", "CANCELED", KEY.tags()), record("failed", "FAILURE", KEY.tags())]
    entry = launched(api, dataclasses.replace(KEY, relaunches=relaunches))
    assert entry["run_id"] == ("ours" if relaunches else "failed")
    assert entry["status"] == ("LAUNCHED" if relaunches else "FAILURE")


@pytest.mark.parametrize("status", ["STARTED", "SUCCESS", "FAILURE"])
def test_of_two_hosts_the_older_run_stands(status: str, there: Deployment, api: Any) -> None:
    """Also when it has failed before we look: it was there first, and nobody has said --relaunch-failed."""
    there.rivals = [record("older", status, KEY.tags())]
    entry = launched(api)
    assert (entry["run_id"], entry["existing"], there.cancelled) == ("older", True, ["ours"])


def test_a_younger_run_of_another_host_is_for_that_one_to_cancel(there: Deployment, api: Any) -> None:
    there.rivals = [record("failed long ago", "FAILURE", {}), record("younger", "STARTED", KEY.tags())]
    entry = launched(api)
    assert (entry["run_id"], entry["existing"], there.cancelled) == ("ours", False, [])


def test_a_failed_run_of_before_is_no_rival(there: Deployment, api: Any) -> None:
    there.runs = [record("before", "FAILURE", KEY.tags())]
    assert launched(api, dataclasses.replace(KEY, relaunches=True))["run_id"] == "ours"
    assert there.cancelled == []


def test_a_launched_run_is_told_although_rivals_can_not_be_looked_for(
    there: Deployment, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daglab.deployment.runs.PATIENCE", 0.0)
    launch = there.launch

    def then_gone(*given: Any, **more: Any) -> launches.Launched:
        there.problems = [errors.Unreachable("gone", "h")]
        return launch(*given, **more)

    monkeypatch.setattr(launches, "launch", then_gone)
    with pytest.raises(errors.Unreachable) as caught:
        launched(api)
    assert caught.value.result is not None
    assert caught.value.result["runs"][0]["run_id"] == "ours"


# --- a backfill


def test_a_backfill_and_its_repetition(there: Deployment, api: Any) -> None:
    prepared = plans.Prepared(backfill=SEVERAL)
    assert made(api, prepared)["existing"] is False
    assert made(api, prepared) == {**made(api, prepared), "backfill_id": "ours", "existing": True}
    assert len(there.backfills) == 1


def test_of_two_hosts_the_older_backfill_stands(there: Deployment, api: Any) -> None:
    there.rivals = [backfills.Listed("older", "REQUESTED", KEY.tags())]
    entry = made(api, plans.Prepared(backfill=SEVERAL))
    assert (entry["backfill_id"], entry["existing"], there.cancelled) == ("older", True, ["ours"])


def test_a_backfill_that_has_failed_is_told(there: Deployment, api: Any) -> None:
    """Without waiting, too: as it is for a run."""
    there.backfills = [backfills.Listed("before", "COMPLETED_FAILED", KEY.tags())]
    with pytest.raises(errors.NotGood, match="before ended as COMPLETED_FAILED") as caught:
        made(api, plans.Prepared(backfill=SEVERAL))
    assert "--relaunch-failed" in str(caught.value.hint)


# --- what a key was used for before


def test_nothing_is_remembered_without_a_key(there: Deployment, api: Any) -> None:
    there.backfills = [backfills.Listed("b", "REQUESTED", launch_keys.of(KEY, MISSING).tags())]
    assert launch_keys.recall(api, MISSING, None) == (MISSING, None)


@pytest.mark.parametrize("asked", [WANTED, MISSING])
@pytest.mark.parametrize("kind", ["run", "backfill"])
def test_a_key_is_for_one_kind_of_launch_too(asked: plans.Wanted, kind: str, there: Deployment, api: Any) -> None:
    """A run and a backfill of one key would be two launches."""
    if kind == "run":
        there.runs = [record("r", "SUCCESS", {launch_keys.TAG: "k", launch_keys.REQUEST_TAG: "another/0"})]
    else:
        there.backfills = [backfills.Listed("b", "REQUESTED", {launch_keys.TAG: "k"})]
    with pytest.raises(errors.InvalidInput, match=f"used for something else: the {kind}"):
        launch_keys.recall(api, asked, launch_keys.of(KEY, asked))


def test_what_was_missing_is_not_chosen_again(there: Deployment, api: Any) -> None:
    """It may be one partition now, or none, and the key's backfill is meant all the same."""
    key = launch_keys.of(KEY, MISSING)
    assert launch_keys.recall(api, MISSING, key) == (MISSING, None)
    there.runs = [record("one", "STARTED", {**key.tags(), "dagster/partition": "us"})]
    assert launch_keys.recall(api, MISSING, key)[0] == dataclasses.replace(MISSING, choice=None, partition="us")
    ends = dict(zip(partitions.RANGE_TAGS, ("eu", "us"), strict=True))
    there.runs = [record("ranged", "STARTED", {**key.tags(), **ends})]
    asked, found = launch_keys.recall(api, MISSING, key)
    assert (asked.choice, asked.single_run, found) == (partitions.Choice(span=("eu", "us")), True, None)
    there.backfills = [backfills.Listed("b", "COMPLETED_FAILED", key.tags())]
    assert launch_keys.recall(api, MISSING, key) == (MISSING, "b")
    again = dataclasses.replace(key, relaunches=True)
    there.runs = []
    assert launch_keys.recall(api, MISSING, again) == (MISSING, None)


def test_of_a_choice_without_missing_the_run_is_found_when_it_is_launched(there: Deployment, api: Any) -> None:
    latest = dataclasses.replace(WANTED, partition=None, choice=partitions.Choice(latest=True))
    key = launch_keys.of(KEY, latest)
    there.runs = [record("one", "STARTED", {**key.tags(), "dagster/partition": "us"})]
    assert launch_keys.recall(api, latest, key) == (latest, None)


def test_no_tag_is_set_that_a_key_or_a_range_is_read_from() -> None:
    for name in ("daglab/launch_key", "daglab/launch_request", "daglab/launch_id", *partitions.RANGE_TAGS):
        with pytest.raises(errors.WrongUsage):
            launches.read_tags([f"{name}=x"])

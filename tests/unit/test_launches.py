"""Launches: one run and never two, and the truth about what is not known."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import requests
import responses

from daglab import errors, web
from daglab.deployment import dagster_api, entities
from daglab.launching import launches, targets

URL = "http://dagster.test:3000"
GRAPHQL = f"{URL}/graphql"
TIMEOUT = 30.0
TARGET = targets.Target("report", "__repository__", "main")
ASSETS = targets.Target("__ASSET_JOB", "__repository__", "main", (("src", "a"), ("b",)))
SUCCESS = {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "r1", "status": "STARTING"}}}
NONE = {"runsOrError": {"__typename": "Runs", "results": []}}
FOUND = {"runsOrError": {"__typename": "Runs", "results": [{"runId": "r1"}]}}


class Clock:
    """Time that passes only while somebody sleeps; the wall's clock may not be asked."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(launches, "time", clock)
    return clock


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[dagster_api.DagsterApi]:
    monkeypatch.setattr(web, "delay", lambda *_: 0.0)
    with requests.Session() as http:
        yield dagster_api.DagsterApi(URL, web.Session(http, timeout=TIMEOUT, retries=1))


def asked(operation: str) -> list[dict[str, Any]]:
    """The variables of each request of this operation so far."""
    bodies = [json.loads(call.request.body or "{}") for call in responses.calls]
    return [body["variables"] for body in bodies if f" {operation}(" in body["query"]]


def on(operation: str, answer: Any = None, **raw: Any) -> responses.BaseResponse:
    """Answer requests of one operation: the launch and the look-up go to the same address."""

    def matches(request: requests.PreparedRequest) -> tuple[bool, str]:
        return f" {operation}(" in str(json.loads(request.body or "{}")["query"]), "another operation"

    raw = raw or {"json": {"data": answer}}
    return responses.post(GRAPHQL, match=[matches], **raw)


# --- targets


def asset(*key: str, location: str = "main", executable: bool = True, jobs: Any = ("__ASSET_JOB", "mart")) -> Any:
    return entities.Asset(
        key, None, None, (), {}, (), executable, None, (), tuple(jobs), (), "__repository__", location
    )


def test_the_target_of_a_job() -> None:
    job = entities.Job("report", "__repository__", "main", None, {}, False, None)
    assert targets.job_target(job) == TARGET


def test_the_target_of_assets() -> None:
    assert targets.assets_target([asset("src", "a"), asset("b")]) == ASSETS


def test_the_target_of_assets_before_1_8() -> None:
    """There was a job for each kind of partitions, and one for what has none was in all of them."""
    first = asset("a", jobs=["__ASSET_JOB_0", "__ASSET_JOB_1", "mart"])
    second = asset("b", jobs=["__ASSET_JOB_1", "mart"])
    assert targets.assets_target([first, second]).job == "__ASSET_JOB_1"


def test_an_external_asset() -> None:
    with pytest.raises(errors.InvalidInput, match="b can't be materialized") as caught:
        targets.assets_target([asset("a"), asset("b", executable=False, jobs=())])
    assert caught.value.hint


@pytest.mark.parametrize("other", [asset("b", location="second"), asset("b", jobs=["__ASSET_JOB_1"])])
def test_assets_that_can_not_share_a_run(other: entities.Asset) -> None:
    with pytest.raises(errors.InvalidInput, match=f"can't share one run: a in main, b in {other.location}") as caught:
        targets.assets_target([asset("a"), other])
    assert "one after another" in str(caught.value.hint)


# --- config


def problem(message: str, *place: str | int, reason: str = "RUNTIME_TYPE_MISMATCH") -> dict[str, Any]:
    entries = [
        {"__typename": "EvaluationStackPathEntry", "fieldName": entry}
        if isinstance(entry, str)
        else {"__typename": "EvaluationStackListItemEntry", "listIndex": entry}
        for entry in place
    ]
    return {"message": message, "reason": reason, "stack": {"entries": entries}}


def not_valid(*problems: Any) -> dict[str, Any]:
    return {"isPipelineConfigValid": {"__typename": "RunConfigValidationInvalid", "errors": list(problems)}}


def read(message: str, *place: str | int, reason: str = "RUNTIME_TYPE_MISMATCH") -> launches.Problem:
    [found] = launches.parse_config_problems(not_valid(problem(message, *place, reason=reason)))
    return found


@responses.activate
def test_a_config_that_is_valid(api: dagster_api.DagsterApi) -> None:
    on("Validate", {"isPipelineConfigValid": {"__typename": "PipelineConfigValidationValid", "pipelineName": "x"}})
    launches.check_config(api, ASSETS, {"ops": {}})
    assert asked("Validate") == [
        {
            "pipeline": {
                "pipelineName": "__ASSET_JOB",
                "repositoryName": "__repository__",
                "repositoryLocationName": "main",
                "assetSelection": [{"path": ["src", "a"]}, {"path": ["b"]}],
            },
            "config": {"ops": {}},
        }
    ]


@responses.activate
def test_a_config_that_is_not_valid(api: dagster_api.DagsterApi) -> None:
    """All that is wrong is told at once, each with its place."""
    problems = [problem("not an int\n", "ops", "one", "config", "n", 2), problem("root"), problem("x" * 10_000, "a")]
    on("Validate", not_valid(*problems))
    with pytest.raises(errors.InvalidInput) as caught:
        launches.check_config(api, TARGET, {})
    head, first, second, third = caught.value.message.split("\n")
    assert head == "The run config is not valid:"
    assert (first, second) == ("  at ops.one.config.n.2: not an int", "  root")
    assert third.startswith("  at a: xxx")
    assert len(third) < 1000
    assert "--run-config" in str(caught.value.hint)
    assert caught.value.result is not None
    [one, two, _] = caught.value.result["errors"]
    assert one == {
        "path": ["ops", "one", "config", "n", 2],
        "reason": "RUNTIME_TYPE_MISMATCH",
        "message": "not an int",
    }
    assert two["path"] == []


@responses.activate
def test_what_is_missing_is_shown_in_one_example(api: dagster_api.DagsterApi) -> None:
    """Dagster writes an example for each place; together they are one piece of YAML that can be filled in."""
    missing = 'Missing required config entry "{0}" at path root. You must ... Example config for the missing entry: {1}'
    problems = [
        problem(missing.format("n", "{'n': 0}"), "ops", "one", "config", reason="MISSING_REQUIRED_FIELD"),
        problem(missing.format("m", "{'m': 'é'}"), "ops", "two", "config", reason="MISSING_REQUIRED_FIELD"),
    ]
    on("Validate", not_valid(*problems))
    with pytest.raises(errors.InvalidInput) as caught:
        launches.check_config(api, TARGET, {})
    example = "ops:\n  one:\n    config:\n      n: 0\n  two:\n    config:\n      m: é"
    assert str(caught.value.hint).endswith(f"missing:\n{example}")
    assert "Example config" not in caught.value.message
    assert caught.value.result is not None
    assert caught.value.result["errors"][0]["example"] == {"ops": {"one": {"config": {"n": 0}}}}


@responses.activate
@pytest.mark.parametrize("valid", [True, False])
def test_a_wrong_partition_is_told_with_the_config(valid: bool, api: dagster_api.DagsterApi) -> None:
    found = {"isPipelineConfigValid": {"__typename": "PipelineConfigValidationValid", "pipelineName": "x"}}
    on("Validate", found if valid else not_valid(problem("not an int", "ops")))
    partition = errors.InvalidInput("a has no partition x.", "It has 2.")
    with pytest.raises(errors.InvalidInput) as caught:
        raise launches.invalid(launches.config_problems(api, TARGET, {}), partition)
    assert caught.value.result is not None
    [first, *more] = caught.value.result["errors"]
    assert first == {"path": [], "reason": "PARTITION", "message": "a has no partition x."}
    assert str(caught.value.hint).startswith("It has 2.")
    assert (len(more), "at ops: not an int" in caught.value.message) == ((0, False) if valid else (1, True))
    assert ("--run-config" in str(caught.value.hint)) is not valid


# Messages of Dagster 1.13, with what is made of them: the message's end, what was expected.
MESSAGES = {
    'Invalid scalar at path root:n. Value "x" of type "<class \'str\'>" is not valid for expected type "Int".': (
        'is not valid for expected type "Int".',
        "Int",
    ),
    'Received unexpected config entry "m" at path root. Expected: "{ n: (Int | { env: String }) }".': (
        'entry "m" at path root.',
        "{ n: (Int | { env: String }) }",
    ),
    "Received unexpected config entries \"['l', 'm']\" at path root. Expected: \"['n', 'o'].\"": (
        "at path root.",
        "['n', 'o']",
    ),
    'Value at path root:ops must be dict. Expected: "{ one: Any }".': ("must be dict.", "{ one: Any }"),
    'Value at path root:ops must be list. Expected: "[Int]"': ("must be list.", "[Int]"),
    'Value at path root:n must not be None. Expected "Int"': ("must not be None.", "Int"),
    "Value at path root:c not in enum type Colour got blue": ("got blue", "Colour"),
    "You can only specify a single field at the root. You specified ['a']. The available fields are ['a', 'b']": (
        "The available fields are ['a', 'b']",
        "['a', 'b']",
    ),
    "Must specify the required field at the root. Defined fields: ['a']": ("Defined fields: ['a']", "['a']"),
    "Something new": ("Something new", None),
}


@pytest.mark.parametrize("message", MESSAGES)
def test_what_dagster_expected(message: str) -> None:
    found = read(message, "ops")
    end, expected = MESSAGES[message]
    assert found.message.endswith(end)
    assert found.expected == expected
    assert found.line.count(expected or "Something") == 1


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ("{'n': 0, 'l': [], 'b': True, 'f': 0.0, 't': None}", {"n": 0, "l": [], "b": True, "f": 0.0, "t": None}),
        ("{'n': __import__('os').getcwd()}", None),
        ("{'n': open}", None),
        ("{'n': 0", None),
        ("{'n': b'x'}", None),
        ("{'n': 1e999}", None),
        ("[" * 9_000, None),
        ("-" * 9_000 + "1", None),
        (f"{{'n': '{'x' * 100_000}'}}", None),
        ("...", None),
    ],
)
def test_an_example_is_data_or_left_out(text: str, example: Any) -> None:
    found = read(f"Missing. Example config for the missing entry: {text}", reason="MISSING_REQUIRED_FIELD")
    assert (found.message, found.example) == ("Missing.", example)


def test_an_example_for_several_entries_and_in_a_list() -> None:
    text = "Missing. Example config for the missing entries: {'a': 0, 'b': 0}"
    found = read(text, "ops", 2, "config", reason="MISSING_REQUIRED_FIELDS")
    assert found.example == {"ops": [{"config": {"a": 0, "b": 0}}]}


def test_an_example_as_versions_up_to_1_8_write_it() -> None:
    found = read("Missing. Sample config for missing entry: {'n': 0}", "ops", reason="MISSING_REQUIRED_FIELD")
    assert (found.message, found.example) == ("Missing.", {"ops": {"n": 0}})


def test_an_example_in_the_text_of_another_problem_is_none() -> None:
    """It would be the user's own text."""
    text = "Value x Example config for the missing entry: {}"
    assert (read(text).example, read(text).message) == (None, text)


@responses.activate
@pytest.mark.parametrize(
    ("member", "kind"),
    [
        ({"__typename": "PipelineNotFoundError", "message": "gone"}, dagster_api.Refused),
        ({"__typename": "InvalidSubsetError", "message": "no such asset"}, dagster_api.Refused),
        ({"__typename": "PythonError", "message": "ValueError: x"}, dagster_api.ServerFailed),
        ({"__typename": "Newfangled"}, dagster_api.Refused),
        ({"__typename": "RunConfigValidationInvalid", "errors": []}, errors.InvalidInput),
        ({"__typename": "RunConfigValidationInvalid"}, errors.Unreachable),
        ({"__typename": "RunConfigValidationInvalid", "errors": [{"message": "x"}]}, errors.Unreachable),
        ({}, errors.Unreachable),
        ([], errors.Unreachable),
        (None, errors.Unreachable),
    ],
)
def test_a_config_that_can_not_be_checked(member: Any, kind: type[Exception], api: dagster_api.DagsterApi) -> None:
    on("Validate", {"isPipelineConfigValid": member})
    with pytest.raises(kind) as caught:
        launches.check_config(api, TARGET, {})
    assert caught.value.hint  # type: ignore[attr-defined]


@responses.activate
@pytest.mark.parametrize("value", [datetime(2026, 1, 1), float("nan"), {1, 2}])
def test_a_config_that_json_can_not_hold(value: Any, api: dagster_api.DagsterApi) -> None:
    with pytest.raises(errors.InvalidInput, match="holds a value that JSON can't") as caught:
        launches.check_config(api, TARGET, {"ops": value})
    assert caught.value.hint
    assert len(responses.calls) == 0


# --- a launch that is answered


@responses.activate
def test_a_launch(api: dagster_api.DagsterApi) -> None:
    on("Launch", SUCCESS)
    assert launches.launch(api, ASSETS, {"ops": {}}, {"dagster/partition": "eu"}, launch_id="id1").id == "r1"
    [variables] = asked("Launch")
    assert variables["params"] == {
        "selector": {
            "jobName": "__ASSET_JOB",
            "repositoryName": "__repository__",
            "repositoryLocationName": "main",
            "assetSelection": [{"path": ["src", "a"]}, {"path": ["b"]}],
        },
        "runConfigData": {"ops": {}},
        "executionMetadata": {
            "tags": [
                {"key": "dagster/partition", "value": "eu"},
                {"key": "daglab/launch_id", "value": "id1"},
            ]
        },
    }


@responses.activate
@pytest.mark.parametrize("status", ["QUEUED", "STARTING", None])
def test_a_launch_tells_what_dagster_said_of_the_run(status: str | None, api: dagster_api.DagsterApi) -> None:
    on("Launch", {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "r1", "status": status}}})
    assert launches.launch(api, TARGET, {}, {}) == launches.Launched("r1", status)


@responses.activate
def test_each_launch_has_an_id_of_its_own(api: dagster_api.DagsterApi) -> None:
    on("Launch", SUCCESS)
    for _ in range(2):
        launches.launch(api, TARGET, {}, {"daglab/launch_id": "not this one"})
    ids = {tag["value"] for each in asked("Launch") for tag in each["params"]["executionMetadata"]["tags"]}
    assert len(ids) == 2
    assert "not this one" not in ids


@responses.activate
@pytest.mark.parametrize("kind", launches.NOT_LAUNCHED)
def test_dagster_refuses(kind: str, api: dagster_api.DagsterApi) -> None:
    on("Launch", {"launchRun": {"__typename": kind, "message": "so it is", "errors": [{"message": "so it is"}]}})
    with pytest.raises(dagster_api.Refused, match="so it is") as caught:
        launches.launch(api, TARGET, {}, {})
    assert caught.value.hint
    assert asked("RunByTag") == []


@responses.activate
def test_dagster_is_read_only(api: dagster_api.DagsterApi) -> None:
    on("Launch", {"launchRun": {"__typename": "UnauthorizedError", "message": "Authorization failed"}})
    with pytest.raises(errors.NotAuthorised, match="Authorization failed"):
        launches.launch(api, TARGET, {}, {})
    assert asked("RunByTag") == []


@responses.activate
@pytest.mark.parametrize("status", [401, 403])
def test_the_token_is_refused(status: int, api: dagster_api.DagsterApi) -> None:
    on("Launch", status=status)
    with pytest.raises(errors.NotAuthorised):
        launches.launch(api, TARGET, {}, {})
    assert len(responses.calls) == 1


def test_the_mutation_of_the_installed_dagster_has_no_other_members(need: Callable[[object, str], None]) -> None:
    """A new one would have to be sorted: whether the run may be there after it."""
    import importlib.util

    need(importlib.util.find_spec("dagster_graphql"), "dagster-graphql is not installed")
    from dagster_graphql.schema import create_schema

    members = {each.name for each in create_schema().graphql_schema.type_map["LaunchRunResult"].types}
    assert members == {*launches.NOT_LAUNCHED, "LaunchRunSuccess", "UnauthorizedError", "PythonError"}


# --- errors after which the run may be there

BROKEN = {
    "PythonError": {"__typename": "PythonError", "message": "OSError: no space"},
    "a member that is new": {"__typename": "Newfangled", "message": "OSError: no space"},
}


@responses.activate
@pytest.mark.parametrize("name", BROKEN)
def test_an_error_before_the_run_was_made(name: str, api: dagster_api.DagsterApi, clock: Clock) -> None:
    on("Launch", {"launchRun": BROKEN[name]})
    on("RunByTag", NONE)
    with pytest.raises((dagster_api.ServerFailed, dagster_api.Refused), match="no space"):
        launches.launch(api, TARGET, {}, {}, launch_id="id1")
    assert asked("RunByTag") == [{"tags": [{"key": "daglab/launch_id", "value": "id1"}]}]
    assert clock.slept == []


@responses.activate
@pytest.mark.parametrize("name", BROKEN)
def test_an_error_after_the_run_was_made(
    name: str, api: dagster_api.DagsterApi, caplog: pytest.LogCaptureFixture
) -> None:
    on("Launch", {"launchRun": BROKEN[name]})
    on("RunByTag", FOUND)
    with caplog.at_level(logging.WARNING, "daglab"):
        assert launches.launch(api, TARGET, {}, {}).id == "r1"
    assert "no space" in caplog.text
    assert len(asked("Launch")) == 1


@responses.activate
@pytest.mark.parametrize("name", BROKEN)
def test_an_error_and_nobody_knows_more(name: str, api: dagster_api.DagsterApi) -> None:
    on("Launch", {"launchRun": BROKEN[name]})
    on("RunByTag", status=502)
    with pytest.raises(errors.OutcomeUnknown, match=r"no space.*Asking for the run failed, too") as caught:
        launches.launch(api, TARGET, {}, {}, launch_id="id1")
    assert caught.value.result == {"launch": "unknown", "launch_id": "id1", "runs": []}


# --- answers that are lost

RESOLVER = {"data": None, "errors": [{"message": "it broke", "locations": [{"line": 1}], "path": ["launchRun"]}]}
LOST: dict[str, dict[str, Any]] = {
    "broken off": {"body": requests.ConnectionError("reset")},
    "too slow": {"body": requests.ReadTimeout("slow")},
    "half a body": {"body": requests.exceptions.ChunkedEncodingError("half")},
    "a 502": {"status": 502, "body": "<html>bad gateway"},
    "a 503": {"status": 503},
    "a 504": {"status": 504},
    "a 500 in plain text": {"status": 500, "body": "Internal Server Error"},
    "an HTML page": {"body": "<html>", "content_type": "text/html"},
    "half a document": {"body": '{"data": {"launchRun"'},
    "nothing": {"body": ""},
    "a list": {"json": []},
    "a number": {"json": 1},
    "a string": {"json": "x"},
    "errors": {"json": {"errors": [{"message": "upstream"}]}},
    "a resolver's error, 200": {"json": RESOLVER},
    "a resolver's error, 500": {"json": RESOLVER, "status": 500},
    "a run and an error": {"json": {"data": SUCCESS, "errors": [{"message": "x", "path": ["launchRun", "run"]}]}},
    "no data": {"json": {"data": None}},
    "no member": {"json": {"data": {}}},
    "a member that is null": {"json": {"data": {"launchRun": None}}},
    "a member without type": {"json": {"data": {"launchRun": {}}}},
    "success without a run": {"json": {"data": {"launchRun": {"__typename": "LaunchRunSuccess"}}}},
    "a run that is null": {"json": {"data": {"launchRun": {"__typename": "LaunchRunSuccess", "run": None}}}},
    "a run without an id": {"json": {"data": {"launchRun": {"__typename": "LaunchRunSuccess", "run": {}}}}},
    "an id that is null": {"json": {"data": {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": None}}}}},
}


@responses.activate
@pytest.mark.parametrize("name", LOST)
def test_a_lost_answer_and_the_run_is_there(
    name: str, api: dagster_api.DagsterApi, caplog: pytest.LogCaptureFixture
) -> None:
    on("Launch", **LOST[name])
    on("RunByTag", FOUND)
    assert launches.launch(api, TARGET, {}, {}, launch_id="id1").id == "r1"
    assert len(asked("Launch")) == 1
    assert asked("RunByTag") == [{"tags": [{"key": "daglab/launch_id", "value": "id1"}]}]
    assert "The run r1 was made, although" in caplog.text


@responses.activate
@pytest.mark.parametrize("name", LOST)
def test_a_lost_answer_and_no_run(name: str, api: dagster_api.DagsterApi, clock: Clock) -> None:
    on("Launch", **LOST[name])
    on("RunByTag", NONE)
    with pytest.raises(errors.OutcomeUnknown) as caught:
        launches.launch(api, TARGET, {}, {}, launch_id="id1")
    assert caught.value.exit_code == 5
    assert caught.value.result == {"launch": "unknown", "launch_id": "id1", "runs": []}
    assert "No run carries the tag daglab/launch_id=id1 so far" in caught.value.message
    assert "daglab runs settle id1" in str(caught.value.hint)
    assert len(asked("Launch")) == 1
    assert sum(clock.slept) == pytest.approx(TIMEOUT, abs=1)


@responses.activate
def test_a_run_that_is_made_late_is_found(api: dagster_api.DagsterApi, clock: Clock) -> None:
    on("Launch", **LOST["too slow"])
    for _ in range(5):
        on("RunByTag", NONE)
    on("RunByTag", FOUND)
    assert launches.launch(api, TARGET, {}, {}).id == "r1"
    assert len(asked("RunByTag")) == 6
    assert 0 < sum(clock.slept) < TIMEOUT


LOOKUPS: dict[str, dict[str, Any]] = {
    "broken off": {"body": requests.ConnectionError("reset")},
    "refused": {"status": 401},
    "a page": {"body": "<html>", "content_type": "text/html"},
    "PythonError": {"json": {"data": {"runsOrError": {"__typename": "PythonError", "message": "x"}}}},
    "wrong filter": {"json": {"data": {"runsOrError": {"__typename": "InvalidPipelineRunsFilterError"}}}},
    "null": {"json": {"data": {"runsOrError": None}}},
    "no results": {"json": {"data": {"runsOrError": {"__typename": "Runs"}}}},
    "no id": {"json": {"data": {"runsOrError": {"__typename": "Runs", "results": [{}]}}}},
}


@responses.activate
@pytest.mark.parametrize("name", LOOKUPS)
def test_a_lost_answer_and_the_look_up_fails(name: str, api: dagster_api.DagsterApi) -> None:
    on("Launch", **LOST["broken off"])
    on("RunByTag", **LOOKUPS[name])
    with pytest.raises(errors.OutcomeUnknown, match="Asking for the run failed, too") as caught:
        launches.launch(api, TARGET, {}, {}, launch_id="id1")
    assert caught.value.result == {"launch": "unknown", "launch_id": "id1", "runs": []}


@responses.activate
@pytest.mark.parametrize("name", LOOKUPS)
def test_a_look_up_that_fails_is_tried_again(name: str, api: dagster_api.DagsterApi) -> None:
    on("Launch", **LOST["broken off"])
    for _ in range(3):
        on("RunByTag", **LOOKUPS[name])
    on("RunByTag", FOUND)
    assert launches.launch(api, TARGET, {}, {}).id == "r1"


# --- launches that surely were not made

NOT_MADE: dict[str, dict[str, Any]] = {
    "never connected": {"body": requests.ConnectTimeout("x")},
    "a 429": {"status": 429},
    "a 404": {"status": 404, "body": "<html>"},
    "a 413": {"status": 413},
    "a 400 in plain text": {"status": 400, "body": "No GraphQL query found"},
    "a text that does not fit": {"status": 400, "json": {"data": None, "errors": [{"message": "x"}]}},
    "a variable of a wrong shape": {
        "status": 500,
        "json": {"data": None, "errors": [{"message": "x", "locations": [{"line": 1, "column": 1}]}]},
    },
    "a redirect": {"status": 307, "headers": {"Location": "/px/graphql"}},
}


@responses.activate
@pytest.mark.parametrize("name", NOT_MADE)
def test_a_launch_that_was_not_made(name: str, api: dagster_api.DagsterApi) -> None:
    on("Launch", **NOT_MADE[name])
    with pytest.raises(errors.Unreachable) as caught:
        launches.launch(api, TARGET, {}, {}, launch_id="id1")
    assert caught.value.result is None
    assert caught.value.hint
    assert asked("RunByTag") == []
    assert len(asked("Launch")) == (2 if name == "never connected" else 1)

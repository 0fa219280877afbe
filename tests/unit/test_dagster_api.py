"""GraphQL: which answer is taken, and what each other one means for a query and for a mutation."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import responses

import daglab
from daglab import errors, web
from daglab.attaching import asset_checks, observations
from daglab.checks import deployment
from daglab.deployment import (
    dagster_api,
    deployments,
    entities,
    materializations,
    partitions,
    run_logs,
    run_records,
    runs,
)
from daglab.launching import backfills, cancellation, launches, reexecution, run_config, targets
from daglab.settings import config

URL = "http://dagster.test:3000"
GRAPHQL = f"{URL}/graphql"
VALIDATION = {"message": "Cannot query field 'x'", "locations": [{"line": 1, "column": 2}]}
RESOLVER = {"message": "it broke", "locations": [{"line": 1, "column": 2}], "path": ["launchRun"]}
PAGE = "<!doctype html><title>Dagster</title>"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[dagster_api.DagsterApi]:
    monkeypatch.setattr(web, "delay", lambda *_: 0.0)
    with requests.Session() as http:
        yield dagster_api.DagsterApi(URL, web.Session(http, timeout=5.0, retries=1))


def member(api: dagster_api.DagsterApi, answer: Any) -> Any:
    """What `expect` makes of the answer's member `it`, of which `Good` is wanted."""
    responses.post(GRAPHQL, json={"data": {"it": answer}})
    return dagster_api.expect(dagster_api.query(api, "{ it { __typename } }"), "it", "Good")


# --- the members of an answer


@responses.activate
def test_the_expected_member(api: dagster_api.DagsterApi) -> None:
    assert member(api, {"__typename": "Good", "n": 1}) == {"__typename": "Good", "n": 1}


@responses.activate
def test_what_is_asked(api: dagster_api.DagsterApi) -> None:
    responses.post(GRAPHQL, json={"data": {}})
    dagster_api.query(api, "query Q($n: Int) { n }", {"n": 1})
    request = responses.calls[0].request
    assert request.body == b'{"query": "query Q($n: Int) { n }", "variables": {"n": 1}}'
    assert api.traffic.milliseconds != []


@responses.activate
@pytest.mark.parametrize(
    ("answer", "kind", "message", "hint"),
    [
        ({"__typename": "PythonError", "message": "ValueError: x\n"}, dagster_api.ServerFailed, "ValueError: x", "log"),
        (
            {"__typename": "UnauthorizedError", "message": "Authorization failed"},
            errors.NotAuthorised,
            "Authorization failed",
            "read-only",
        ),
        ({"__typename": "PipelineNotFoundError", "message": "no x"}, dagster_api.Refused, "no x", "discover"),
        ({"__typename": "InvalidSubsetError", "message": "no y"}, dagster_api.Refused, "no y", "discover"),
        ({"__typename": "RunConflict", "message": "twice"}, dagster_api.Refused, "twice", "log"),
        ({"__typename": "Wrong", "errors": [{"message": "a\n"}, {"message": "b"}]}, dagster_api.Refused, "a; b", "log"),
        ({"__typename": "Wrong", "errors": ["a", None]}, dagster_api.Refused, "Wrong", "log"),
        ({"__typename": "Newfangled"}, dagster_api.Refused, "Newfangled", "log"),
        ({"__typename": "Newfangled", "message": None}, dagster_api.Refused, "Newfangled", "log"),
    ],
)
def test_another_member(api: dagster_api.DagsterApi, answer: Any, kind: type, message: str, hint: str) -> None:
    with pytest.raises(kind) as caught:
        member(api, answer)
    assert message in str(caught.value)
    assert hint in caught.value.hint  # type: ignore[attr-defined]
    if isinstance(caught.value, dagster_api.Refused):
        assert caught.value.kind == answer["__typename"]


def test_the_exit_codes_of_error_members() -> None:
    """A server that broke is nobody's wrong input."""
    assert (dagster_api.ServerFailed.exit_code, dagster_api.Refused.exit_code) == (5, 7)


@responses.activate
@pytest.mark.parametrize("answer", [None, [], "Good", 3, {}, {"__typename": None}, {"__typename": 3}])
def test_a_member_in_another_shape(api: dagster_api.DagsterApi, answer: Any) -> None:
    with pytest.raises(errors.Unreachable, match="Dagster answered without it") as caught:
        member(api, answer)
    assert caught.value.hint


@responses.activate
def test_a_member_that_is_missing(api: dagster_api.DagsterApi) -> None:
    responses.post(GRAPHQL, json={"data": {"other": {"__typename": "Good"}}})
    with pytest.raises(errors.Unreachable, match="Dagster answered without it"):
        dagster_api.expect(dagster_api.query(api, "{ it }"), "it", "Good")


@responses.activate
def test_a_long_message_is_cut(api: dagster_api.DagsterApi) -> None:
    with pytest.raises(dagster_api.Refused) as caught:
        member(api, {"__typename": "InvalidSubsetError", "message": "x" * 100_000})
    assert len(caught.value.message) < 1000
    assert caught.value.message.endswith(" …")


@pytest.mark.parametrize("wrong", [AttributeError, IndexError, KeyError, TypeError, ValueError])
def test_reading_an_answer_in_an_unknown_form(wrong: type[Exception]) -> None:
    @dagster_api.reading("it")
    def parse() -> None:
        raise wrong("inner")

    for _ in range(2):
        with pytest.raises(errors.Unreachable, match=rf"answered it in a form .*{wrong.__name__}.*inner") as caught:
            parse()
        assert caught.value.hint


# --- answers that are none


def _answers() -> dict[str, tuple[dict[str, Any], bool]]:
    """By name: the answer, and whether a mutation that gets it was surely not carried out."""
    html = {"body": PAGE, "content_type": "text/html; charset=utf-8"}
    return {
        "an HTML page": ({**html}, False),
        "a proxy's 502": ({**html, "status": 502}, False),
        "a proxy's 503": ({**html, "status": 503}, False),
        "a proxy's 504": ({**html, "status": 504}, False),
        "a proxy's 429": ({**html, "status": 429}, True),
        "an unknown path": ({**html, "status": 404}, True),
        "a wrong method": ({**html, "status": 405}, True),
        "too large": ({**html, "status": 413}, True),
        "text and 400": ({"body": "No GraphQL query found in the request", "status": 400}, True),
        "text and 500": ({"body": "Internal Server Error", "status": 500}, False),
        "half a document": ({"body": '{"data": {"launchRun": {"__type', "content_type": "application/json"}, False),
        "nothing": ({"body": ""}, False),
        "nothing and 204": ({"body": "", "status": 204}, False),
        "no text": ({"body": b"\xff\xfe\x00\x81", "content_type": "application/json"}, False),
        "a list": ({"json": [{"data": {}}]}, False),
        "a number": ({"json": 3}, False),
        "a string": ({"json": "data"}, False),
        "null": ({"json": None}, False),
        "too deep": ({"body": "[" * 200_000, "content_type": "application/json"}, False),
        "another API": ({"json": {"detail": "Not Found"}}, False),
        "another API's 404": ({"json": {"detail": "Not Found"}, "status": 404}, True),
        "data that is null": ({"json": {"data": None}}, False),
        "data that is a list": ({"json": {"data": []}}, False),
        "errors, 400": ({"json": {"data": None, "errors": [VALIDATION]}, "status": 400}, True),
        "errors, 400, no place": ({"json": {"errors": [{"message": "no"}]}, "status": 400}, True),
        "errors, 200": ({"json": {"errors": [{"message": "upstream timed out"}]}}, False),
        "errors as text": ({"json": {"errors": ["upstream timed out"]}}, False),
        "errors that are text": ({"json": {"errors": "upstream timed out"}}, False),
        "a text that does not fit, 200": ({"json": {"data": None, "errors": [VALIDATION]}}, True),
        "a wrong variable, 500": ({"json": {"data": None, "errors": [VALIDATION]}, "status": 500}, True),
        "a gateway's errors, 500": ({"json": {"errors": [{"message": "upstream"}]}, "status": 500}, False),
        "a resolver's error, 200": ({"json": {"data": None, "errors": [RESOLVER]}}, False),
        "a resolver's error, 400": ({"json": {"data": None, "errors": [RESOLVER]}, "status": 400}, False),
        "a resolver's error, 500": ({"json": {"data": None, "errors": [RESOLVER]}, "status": 500}, False),
        "data and errors": ({"json": {"data": {"launchRun": {"__typename": "x"}}, "errors": [VALIDATION]}}, False),
    }


ANSWERS = _answers()
WITH_REASON = [name for name in ANSWERS if "rror" in name or "text that" in name or "variable" in name]


@responses.activate
@pytest.mark.parametrize("name", ANSWERS)
def test_a_query_without_an_answer(name: str, api: dagster_api.DagsterApi) -> None:
    responses.post(GRAPHQL, **ANSWERS[name][0])
    with pytest.raises(errors.Unreachable) as caught:
        dagster_api.query(api, "{ it }")
    assert URL in caught.value.message
    assert caught.value.hint
    assert PAGE not in caught.value.message


@responses.activate
@pytest.mark.parametrize("name", ANSWERS)
def test_a_mutation_without_an_answer(name: str, api: dagster_api.DagsterApi) -> None:
    answer, surely_not_done = ANSWERS[name]
    sent = responses.post(GRAPHQL, **answer)
    with pytest.raises(errors.Unreachable if surely_not_done else web.AnswerLost) as caught:
        dagster_api.mutate(api, "launchRun", "mutation { launchRun }")
    assert isinstance(caught.value, web.AnswerLost) is not surely_not_done
    assert sent.call_count == 1
    assert caught.value.hint


@responses.activate
@pytest.mark.parametrize("name", WITH_REASON)
def test_graphqls_own_reason_is_said(name: str, api: dagster_api.DagsterApi) -> None:
    responses.post(GRAPHQL, **ANSWERS[name][0])
    with pytest.raises(errors.Unreachable, match=r"can't answer: (Cannot query|it broke|upstream|no$)"):
        dagster_api.query(api, "{ it }")


@responses.activate
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("an HTML page", "answered 200 with an HTML page"),
        ("a proxy's 502", "answered 502 with an HTML page"),
        ("text and 400", "answered 400 with something that is not JSON"),
    ],
)
def test_what_answered_is_said(name: str, part: str, api: dagster_api.DagsterApi) -> None:
    responses.post(GRAPHQL, **ANSWERS[name][0])
    with pytest.raises(errors.Unreachable, match=part) as caught:
        dagster_api.query(api, "{ it }")
    assert ("try again later" if "502" in part else "--url") in str(caught.value.hint)


@responses.activate
@pytest.mark.parametrize("name", ["a proxy's 502", "a proxy's 503", "a proxy's 504", "a proxy's 429"])
def test_a_query_is_asked_again_and_a_broken_text_is_not(name: str, api: dagster_api.DagsterApi) -> None:
    again = responses.post(GRAPHQL, **ANSWERS[name][0])
    responses.post(GRAPHQL, json={"data": {"version": "1"}})
    assert dagster_api.query(api, "{ version }") == {"version": "1"}
    assert again.call_count == 1
    responses.reset()
    broken = responses.post(GRAPHQL, **ANSWERS["a wrong variable, 500"][0])
    with pytest.raises(errors.Unreachable):
        dagster_api.query(api, "{ version }")
    assert broken.call_count == 1


@responses.activate
@pytest.mark.parametrize("status", [401, 403])
def test_not_authorised(status: int, api: dagster_api.DagsterApi) -> None:
    responses.post(GRAPHQL, json={"error": "no"}, status=status)
    with pytest.raises(errors.NotAuthorised):
        dagster_api.query(api, "{ it }")
    with pytest.raises(errors.NotAuthorised):
        dagster_api.mutate(api, "launchRun", "mutation { it }")


@responses.activate
def test_the_sandbox(api: dagster_api.DagsterApi) -> None:
    sent = responses.post(GRAPHQL, json={"data": {"it": 1}})
    guarded = dataclasses.replace(api, session=dataclasses.replace(api.session, allowed=frozenset({"launchRun"})))
    dagster_api.permit(guarded, "launchRun")
    assert dagster_api.mutate(guarded, "launchRun", "mutation { it }") == {"it": 1}
    with pytest.raises(errors.NotAuthorised, match="terminateRun"):
        dagster_api.permit(guarded, "terminateRun")
    with pytest.raises(errors.NotAuthorised, match="terminateRun"):
        dagster_api.mutate(guarded, "terminateRun", "mutation { it }")
    assert sent.call_count == 1


@responses.activate
def test_a_python_error_comes_with_500_and_is_an_answer(api: dagster_api.DagsterApi) -> None:
    """As Dagster's webserver has it: the status says 500, and the data holds the error."""
    responses.post(GRAPHQL, json={"data": {"it": {"__typename": "PythonError", "message": "x"}}}, status=500)
    with pytest.raises(dagster_api.ServerFailed, match="x"):
        dagster_api.expect(dagster_api.mutate(api, "launchRun", "mutation { it }"), "it", "Good")


def test_connecting_sends_nothing() -> None:
    api = dagster_api.connect(config.load({"dagster.url": "http://127.0.0.1:1/px/"}, environ={}), operation="abc")
    api.session.http.close()
    assert api.url == "http://127.0.0.1:1/px"
    assert api.session.http.headers["X-Daglab-Operation"] == "abc"


# --- every query of the package against the schema of the Dagster that is installed


def _texts() -> dict[str, str]:
    """All module constants that are GraphQL, and the queries that functions write."""
    found = {}
    for info in pkgutil.walk_packages(daglab.__path__, "daglab."):
        if info.name.startswith(("daglab.children", "daglab.templates", "daglab.__main__")):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if isinstance(value, str) and re.match(r"\s*(query|mutation|subscription)\b[^.]*{", value):
                found[f"{info.name}.{name}"] = value
    every = ["kinds", "tags", "owners"]
    for fields in ([], *([name] for name in every), every):
        for by_key in (False, True):
            found[f"assets_query {fields} {by_key}"] = entities.assets_query(fields, by_key=by_key)
    found["assets_query metadata"] = entities.assets_query([], with_metadata=True)
    found["version metadata"] = entities.workspace_query(with_metadata=True)
    found["version"] = "query Version { version }"
    return found


TEXTS = _texts()


@pytest.fixture(scope="module")
def schema(need: Callable[[object, str], None]) -> Any:
    need(importlib.util.find_spec("dagster_graphql"), "dagster-graphql is not installed")
    from dagster_graphql.schema import create_schema

    return create_schema().graphql_schema


def test_all_queries_are_found() -> None:
    assert {
        "daglab.deployment.entities.WORKSPACE_QUERY",
        "daglab.launching.launches.BY_TAG_QUERY",
        "daglab.launching.launches.LAUNCH_MUTATION",
        "daglab.launching.launches.VALIDATE_QUERY",
        "daglab.deployment.partitions.ASSETS_QUERY",
        "daglab.deployment.partitions.JOB_QUERY",
        "daglab.deployment.partitions.LAUNCH_QUERY",
        "daglab.deployment.runs.DAEMONS_QUERY",
        "daglab.deployment.run_logs.FAILURES_QUERY",
        "daglab.deployment.runs.STATUS_QUERY",
        "daglab.launching.cancellation.TERMINATE_MUTATION",
        "daglab.launching.reexecution.RETRY_MUTATION",
        "daglab.deployment.run_logs.EVENTS_QUERY",
        "daglab.deployment.run_logs.PRINTED_QUERY",
        "daglab.deployment.run_records.DETAIL_QUERY",
        "daglab.deployment.run_records.LIST_QUERY",
    } <= set(TEXTS)
    assert any(name.startswith("daglab.attaching.attach.") for name in TEXTS)


@pytest.mark.parametrize("name", TEXTS)
def test_a_query_is_valid(name: str, schema: Any) -> None:
    import graphql

    assert graphql.validate(schema, graphql.parse(TEXTS[name])) == []


@pytest.mark.parametrize("name", TEXTS)
def test_every_union_is_asked_for_its_type(name: str, schema: Any) -> None:
    """Where an answer may be of several types, `__typename` is asked."""
    import graphql

    info = graphql.TypeInfo(schema)
    missing = []

    class Look(graphql.Visitor):
        def enter_selection_set(self, node: Any, _key: Any, parent: Any, *_: Any) -> None:
            kind = info.get_parent_type()
            asked = {getattr(getattr(each, "name", None), "value", None) for each in node.selections}
            if isinstance(kind, graphql.GraphQLUnionType) and "__typename" not in asked:
                missing.append(f"{kind} in {parent}")

    graphql.visit(graphql.parse(TEXTS[name]), graphql.TypeInfoVisitor(info, Look()))
    assert missing == []


def _recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What each function that asks something sends, with values of every shape that it may send."""
    sent: list[tuple[str, dict[str, Any]]] = []

    class Enough(Exception):
        pass

    def record(_api: Any, text: str, variables: Any = None) -> Any:
        sent.append((text, dict(variables or {})))
        raise Enough

    monkeypatch.setattr(dagster_api, "query", record)
    monkeypatch.setattr(dagster_api, "mutate", lambda api, _operation, *sent: record(api, *sent))
    api = dagster_api.DagsterApi(URL, web.Session(requests.Session(), 1, 0))
    job = entities.Job("j", "__repository__", "main", None, {}, False, "j_partition_set")
    one_partition = {**partitions._partition_set(job), "partition": "p"}
    key = ("a", "b")
    one = entities.Asset(key, *([None] * 2), (), {}, (), True, "STATIC", (), (), (), "__repository__", "main")
    bodies: list[Any] = [{}, {"ops": {"one": {"config": {"n": 1, "f": 0.5, "l": [None, "é"]}}}}]
    calls: list[Callable[[], Any]] = [
        lambda: entities.workspace(api),
        lambda: entities.assets(api, ["kinds"]),
        lambda: entities.assets(api, keys=[key]),
        lambda: partitions.keys(api, job),
        lambda: partitions.keys(api, one),
        lambda: dagster_api.query(api, partitions.LAUNCH_QUERY, {**one_partition, "config": True}),
        *(lambda body=body: launches.check_config(api, targets.Target("j", "r", "l"), body) for body in bodies),
        *(lambda body=body: launches.launch(api, targets.Target("j", "r", "l", (key,)), body, {}) for body in bodies),
        lambda: launches.by_tag(api, "id"),
        lambda: runs.status(api, ["a", "b"]),
        lambda: runs.waits_in_vain(api),
        lambda: deployments.standing(api),
        lambda: dagster_api.query(api, deployment.VERSION_QUERY),
        lambda: dagster_api.query(api, deployment.DAEMONS_QUERY),
        lambda: cancellation.ask(api, "a", "SAFE_TERMINATE"),
        lambda: run_logs.failures(api, "a"),
        lambda: dagster_api.query(api, run_logs.FAILURES_QUERY, {"id": "a", "cursor": "c"}),
        lambda: next(run_logs.follow(api, "a", None)),
        lambda: next(run_logs.printed(api, "a", "file", "stdout", None, None)),
        lambda: next(run_records.search(api)),
        lambda: next(run_records.search(api, statuses=["FAILURE"], job="j", tags={"k": "v"}, since=1.5, limit=3)),
        lambda: run_records.detail(api, "a"),
        lambda: materializations.latest(api, key, 3),
        lambda: materializations.latest(api, key, 3, partition="p"),
        lambda: materializations.columns(api, key),
        lambda: backfills.launch(api, backfills.Wanted(("p",), (key,), body={"ops": {}})),
        lambda: backfills.launch(api, backfills.Wanted(("p",), (), "set", "r", "l", {"k": "v"})),
        lambda: backfills.look(api, "a"),
        lambda: run_config._schema(api, targets.Target("j", "r", "l", (key,))),
        lambda: backfills.by_tag(api, "id"),
        lambda: backfills.cancel(api, "a"),
        lambda: dagster_api.query(api, backfills.PARAMETERS_QUERY),
        lambda: asset_checks.require(api, [key], "c"),
        lambda: asset_checks.find(api, observations.Evaluation(key, "c", "id", True, ())),
        lambda: partitions._made(api, [one], ["p"]),
        lambda: partitions._made(api, job, ["p"]),
        lambda: dagster_api.query(
            api, reexecution.RETRY_MUTATION, {"params": {"parentRunId": "a", "strategy": reexecution.STRATEGIES["all"]}}
        ),
    ]
    for call in calls:
        with pytest.raises(Enough):
            call()
    return sent


def test_the_variables_fit(schema: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import graphql
    from graphql.execution.values import get_variable_values

    sent = _recorded(monkeypatch)
    for text, variables in sent:
        operation = graphql.parse(text).definitions[0]
        assert isinstance(operation, graphql.OperationDefinitionNode)
        declared = {each.variable.name.value for each in operation.variable_definitions or ()}
        assert set(variables) == declared, text
        coerced = get_variable_values(schema, operation.variable_definitions or (), variables)
        assert isinstance(coerced, dict), coerced
    elsewhere = ("daglab.attaching.attach.", "daglab.attaching.reports.", "daglab.exported.", "assets_query", "version")
    assert {text for name, text in TEXTS.items() if not name.startswith(elsewhere)} <= {text for text, _ in sent}


def _older(schema: Any) -> Any:
    """The schema as it was before AssetNode had kinds, tags and owners."""
    import graphql

    older = graphql.build_schema(graphql.print_schema(schema), assume_valid=True)
    node = older.type_map["AssetNode"]
    assert isinstance(node, graphql.GraphQLObjectType)
    for name in ("kinds", "tags", "owners"):
        del node.fields[name]
    for name in ("UserAssetOwner", "TeamAssetOwner", "AssetOwner"):
        older.type_map.pop(name, None)
    return older


def test_an_older_dagster_is_not_asked_for_what_it_lacks(schema: Any, api: dagster_api.DagsterApi) -> None:
    import graphql

    older = _older(schema)
    document = graphql.parse('{ version assetNodeType: __type(name: "AssetNode") { fields { name } } }')
    known = graphql.execute_sync(older, document, root_value={"version": "1.5.14"}).data
    workspace = {"__typename": "Workspace", "locationEntries": []}
    with responses.RequestsMock() as mocked:
        mocked.post(GRAPHQL, json={"data": {**(known or {}), "workspaceOrError": workspace}})
        fields = entities.workspace(api).asset_fields
        mocked.post(GRAPHQL, json={"data": {"assetNodes": []}})
        entities.assets(api, fields)
        asked = json.loads(mocked.calls[1].request.body or "{}")["query"]
    assert graphql.validate(older, graphql.parse(asked)) == []
    assert not re.search(r"\b(kinds|tags|owners)\b", asked)
    newer = entities.assets_query(["kinds", "tags", "owners"])
    assert graphql.validate(older, graphql.parse(newer)) != []


def test_bytes_that_are_no_text_are_not_sent(api: dagster_api.DagsterApi) -> None:
    with pytest.raises(errors.InvalidInput, match="bytes that are no UTF-8; nothing was sent"):
        dagster_api.query(api, "query X { version }", {"tags": ["\udcff"]})

"""Properties of what reads Dagster's answers: one that is wrong anywhere is refused in words, or harmless."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings

import daglab
from daglab import errors, web
from daglab.attaching import asset_checks, attach, observations, reports
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
from daglab.exported import latest
from daglab.launching import backfills, cancellation, launches, reexecution, run_config, targets
from tests.properties import changed, fits, hints, outcome, tried, variants

API = dagster_api.DagsterApi("http://dagster.test", web.Session(web._http(web.Identity()), timeout=0.0, retries=0))
# What a parser may raise, by what was asked for: a launch that may have been made is never just unreachable.
READING: tuple[type[errors.DaglabError], ...] = (errors.Unreachable, errors.NotAuthorised, dagster_api.Refused)
LAUNCHING = (web.AnswerLost, dagster_api.ServerFailed, errors.NotAuthorised, dagster_api.Refused)
FINDING = (errors.OutcomeUnknown,)


@dataclasses.dataclass(frozen=True)
class Case:
    """A parser with an answer as Dagster gives it, what it makes of that, and what it may raise for others."""

    parser: Callable[..., Any]
    good: dict[str, Any]
    expected: Any
    refusals: tuple[type[errors.DaglabError], ...] = READING
    before: tuple[Any, ...] = ()
    after: tuple[Any, ...] = ()
    asks: bool = False  # whether it asks for the answer itself

    def read(self, data: Any) -> Any:
        if not self.asks:
            return self.parser(*self.before, data, *self.after)

        def answer(*_: Any) -> Any:
            return data

        with mock.patch.object(dagster_api, "_execute", answer):
            return self.parser(*self.before)


def of(kind: str, **fields: Any) -> dict[str, Any]:
    return {"__typename": kind, **fields}


def answered(member: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {member: of(kind, **fields)}


def sets(**fields: Any) -> dict[str, Any]:
    return answered("partitionSetOrError", "PartitionSet", **fields)


def entry(label: str, kind: str = "TextMetadataEntry", **fields: Any) -> dict[str, Any]:
    return of(kind, label=label, **fields)


ID = "5f0c1d2e-0000-4000-8000-000000000001"
ORIGIN = {"name": "r", "location": {"name": "l"}}
PLACE = ("l", "r", ("a", "b"))
KEY = {"path": ["a", "b"]}
STEP = {"stepKey": "s", "status": "SUCCESS", "startTime": 1.5, "endTime": 2.5}
RUN = {"runId": ID, "status": "SUCCESS", "startTime": 1.0, "endTime": 4.0, "stepStats": [STEP], "canTerminate": False}
STOOD = runs.Run(ID, "SUCCESS", 1.0, 4.0, (runs.Step("s", "SUCCESS", 1.5, 2.5),))
LISTED = {
    **{name: RUN[name] for name in ("runId", "status", "startTime", "endTime")},
    "jobName": "j",
    "updateTime": 5.0,
    "assetSelection": [KEY],
    "assets": [{"key": {"path": ["c"]}}],
    "repositoryOrigin": {"repositoryName": "r", "repositoryLocationName": "l"},
    "tags": [{"key": "dagster/partition", "value": "p"}],
}
RECORD = run_records.Record(ID, "SUCCESS", "j", "l", ("a/b", "c"), {"dagster/partition": "p"}, 1.0, 4.0, 5.0)
METADATA = [
    entry("rows", "IntMetadataEntry", intRepr="3"),
    entry("share", "FloatMetadataEntry", floatValue=0.5),
    entry("sizes", "JsonMetadataEntry", jsonString="[1]"),
    entry("of", "AssetMetadataEntry", assetKey=KEY),
    entry("said", text="x"),
]
TOLD = {"rows": 3, "share": 0.5, "sizes": [1], "of": "a/b", "said": "x"}
MADE = {"assetKey": KEY, "partition": "p", "metadataEntries": METADATA}
DAEMON = {"daemonType": "SENSOR", "required": True, "healthy": True}
INSTANCE = {"instance": {"runQueuingSupported": True, "daemonHealth": {"allDaemonStatuses": [DAEMON]}}}
NODES = {"assetNodes": [{"assetKey": KEY, "repository": ORIGIN, "partitionKeys": ["p", "q"]}]}
WERE_MADE = {
    "assetNodes": [
        {"assetKey": KEY, "repository": ORIGIN, "latestMaterializationByPartition": [{"partition": "p"}, None]}
    ]
}
STATUSES = of("PartitionStatuses", results=[{"partitionName": name, "runStatus": "SUCCESS"} for name in "pq"])
OF_PARTITION = {
    "tagsOrError": of("PartitionTags", results=[{"key": "k", "value": "v"}]),
    "runConfigOrError": of("PartitionRunConfig", yaml="ops: {a: 1}\n"),
}
SCHEMA = {"columns": [{"name": "id", "type": "int"}]}
BROKEN = {"message": "outer", "causes": [{"message": "m"}, {"message": "n"}]}
FAILED = of("ExecutionStepFailureEvent", stepKey="s", message="x", error=BROKEN)
LOGGED = of(
    "LogsCapturedEvent",
    timestamp="1500",
    level="INFO",
    stepKey="s",
    eventType="LOGS_CAPTURED",
    message="x",
    error=BROKEN,
    fileKey="f",
    stepKeys=["s"],
)
LOCATION = of(
    "RepositoryLocation",
    name="l",
    repositories=[
        {
            "name": "r",
            "jobs": [{"name": "j", "description": None, "isAssetJob": False, "tags": [{"key": "k", "value": "v"}]}],
            "partitionSets": [{"pipelineName": "j", "name": "s"}],
        }
    ],
)
ENTRIES = [
    {"name": "l", "locationOrLoadError": LOCATION},
    {"name": "m", "locationOrLoadError": of("PythonError", **BROKEN)},
]
WORKSPACE = {
    "version": "1.13.27",
    "assetNodeType": {"fields": [{"name": "kinds"}]},
    "workspaceOrError": of("Workspace", locationEntries=ENTRIES),
}
NODE = {
    "assetKey": KEY,
    "groupName": "g",
    "description": "d",
    "kinds": ["python"],
    "tags": [{"key": "k", "value": "v"}],
    "owners": [{"email": "a@example.com"}, {"team": "t"}],
    "isExecutable": True,
    "isMaterializable": True,
    "opNames": ["a__b"],
    "jobNames": ["j"],
    "partitionDefinition": {"type": "STATIC", "name": None, "description": "x", "dimensionTypes": [{"name": "n"}]},
    "dependencyKeys": [{"path": ["c"]}],
    "repository": ORIGIN,
    "metadataEntries": METADATA,
}
ASSET = entities.Asset(
    ("a", "b"),
    "g",
    "d",
    ("python",),
    {"k": "v"},
    ("a@example.com", "team:t"),
    True,
    "STATIC",
    ("n",),
    ("j",),
    ("c",),
    "r",
    "l",
    TOLD,
    partitioning="STATIC\nNone\nx",
    ops=("a__b",),
)
MISSED = "Missing required config entry \"n\". Sample config for missing entry: {'n': 0}"
PROBLEMS = [
    {"message": MISSED, "reason": "MISSING_REQUIRED_FIELD", "stack": {"entries": [{"fieldName": "ops"}]}},
    {"message": 'Wrong. Expected: "Int".', "reason": "R", "stack": {"entries": [{"listIndex": 2}]}},
]
FIELDS = [
    {"name": name, "description": "d", "isRequired": True, "configTypeKey": kind, "defaultValueAsJson": default}
    for name, kind, default in (("n", "Maybe", None), ("m", "Mode", '"fast"'), ("t", "Table", None))
]
TYPES = [
    of("CompositeConfigType", key="Root", fields=[{**FIELDS[0], "name": "ops", "configTypeKey": "Ops"}]),
    of("CompositeConfigType", key="Ops", isSelector=False, fields=FIELDS),
    of("NullableConfigType", key="Maybe", typeParamKeys=["Source"]),
    of("ScalarUnionConfigType", key="Source", scalarTypeKey="Int"),
    of("RegularConfigType", key="Int", givenName="Int"),
    of("EnumConfigType", key="Mode", values=[{"value": "fast"}]),
    of("MapConfigType", key="Table", typeParamKeys=["Int", "List"]),
    of("ArrayConfigType", key="List", typeParamKeys=["Int"]),
]
CONFIG = answered("runConfigSchemaOrError", "RunConfigSchema", rootConfigType={"key": "Root"}, allConfigTypes=TYPES)
SKELETON = """\
ops:
  n: 0  # Int, required: d
  m: "fast"  # one of fast: d
  t: {}  # {Int: [Int]}, required: d
"""
LAUNCHED = of("LaunchRunSuccess", run={"runId": ID, "status": "QUEUED"})
BACKFILL = of(
    "PartitionBackfill",
    id="b",
    status="REQUESTED",
    numPartitions=4,
    error={"message": "daemon", "causes": []},
    partitionStatusCounts=[{"runStatus": "SUCCESS", "count": 1}],
    assetBackfillData={
        "assetBackfillStatuses": [
            {f"numPartitions{name}": n for n, name in enumerate(("Failed", "InProgress", "Materialized"))}
            | {"numPartitionsTargeted": 4},
            {"inProgress": False, "materialized": False, "failed": True},
        ]
    },
)
COUNTS = {"SUCCESS": 3, "STARTED": 1, "NOT_STARTED": 1, "FAILURE": 1}
TAG = {"key": "k", "value": "v"}
TEXT = entry(observations.ID_LABEL, text="e1+2")
SHOWN = {"description": f"{observations.ID_LABEL}: e2", "partition": "p", "metadataEntries": [TEXT]}
OBSERVED = answered("assetNodeOrError", "AssetNode", assetObservations=[SHOWN])
OBSERVATION = observations.Observation(("a",), "e1", "e1+2", (), "p")
ENTRY_BY_LABEL = {observations.ID_LABEL: TEXT, "": {k: SHOWN[k] for k in ("description", "partition")}}
CHECKS = of("AssetNode", assetChecksOrError=of("AssetChecks", checks=[{"name": "c"}]))
EVALUATED = {
    "assetCheckExecutions": [{"evaluation": {"success": True, "metadataEntries": [TEXT]}}, {"evaluation": None}]
}
EVALUATION = observations.Evaluation(("a",), "c", "e1+2", True, ())
TARGET = targets.Target("j", "r", "l")


CASES = [
    Case(
        entities.parse_workspace,
        WORKSPACE,
        entities.Workspace(
            "1.13.27",
            (entities.Location("l", ("r",), None), entities.Location("m", (), "n")),
            (entities.Job("j", "r", "l", None, {"k": "v"}, False, "s"),),
            frozenset(["kinds"]),
        ),
    ),
    Case(entities.parse_assets, {"assetNodes": [NODE]}, [ASSET]),
    Case(
        deployments.parse_standing,
        {**WORKSPACE, **INSTANCE},
        {
            "version": "1.13.27",
            "locations": [{"name": "l", "loaded": True, "error": None}, {"name": "m", "loaded": False, "error": "n"}],
            "daemons": [{"name": "SENSOR", "required": True, "healthy": True}],
        },
    ),
    Case(partitions.parse_made, WERE_MADE, {PLACE: {"p"}}),
    Case(partitions.parse_job_made, sets(partitionStatusesOrError=STATUSES), {"p", "q"}),
    Case(partitions.parse_asset_partitions, NODES, {PLACE: ["p", "q"]}),
    Case(partitions.parse_job_partitions, sets(partitionsOrError=of("Partitions", results=[{"name": "p"}])), ["p"]),
    Case(partitions.parse_job_tags, sets(partition=OF_PARTITION), {"k": "v"}),
    Case(partitions.parse_job_config, sets(partition=OF_PARTITION), {"ops": {"a": 1}}, (*READING, errors.InvalidInput)),
    Case(runs.parse_status, answered("runsOrError", "Runs", results=[RUN]), {ID: STOOD}),
    Case(runs.parse_daemons, INSTANCE, (True, {"SENSOR": True})),
    Case(run_records.parse_list, answered("runsOrError", "Runs", results=[LISTED]), [RECORD]),
    Case(
        run_records.parse_detail,
        answered(
            "runOrError",
            "Run",
            **{**RUN, **LISTED, "runConfigYaml": "ops: {}", "parentRunId": None, "assetMaterializations": [MADE]},
        ),
        run_records.Detail(RECORD, STOOD, "ops: {}", None, (run_records.Materialization("a/b", "p", TOLD),)),
    ),
    Case(
        run_logs.parse_failures,
        answered("logsForRun", "EventConnection", cursor="c", hasMore=True, events=[FAILED]),
        ([run_logs.Failure("s", "m", ("n",))], "c"),
    ),
    Case(
        run_logs.parse_events,
        answered("logsForRun", "EventConnection", cursor="c", hasMore=True, events=[LOGGED]),
        ([run_logs.Event(1.5, "INFO", "s", "LOGS_CAPTURED", "x\nm\ncaused by n", "f", ("s",))], "c", True),
    ),
    Case(
        run_logs.parse_printed,
        {"capturedLogs": {"stdout": "o", "stderr": None, "cursor": "c"}},
        {"stdout": "o", "stderr": None, "cursor": "c"},
    ),
    Case(
        materializations.parse_latest,
        answered("assetOrError", "Asset", assetMaterializations=[{**MADE, "runId": ID, "timestamp": "1500"}]),
        [materializations.Materialization(ID, 1.5, "p", TOLD)],
    ),
    Case(
        materializations.parse_columns,
        answered("assetOrError", "Asset", assetMaterializations=[{"metadataEntries": [{"schema": SCHEMA}]}]),
        [materializations.Column("id", "int")],
    ),
    Case(
        launches.parse_config_problems,
        answered("isPipelineConfigValid", "RunConfigValidationInvalid", errors=PROBLEMS),
        [
            launches.Problem(
                ("ops",), "MISSING_REQUIRED_FIELD", 'Missing required config entry "n".', None, {"ops": {"n": 0}}
            ),
            launches.Problem((2,), "R", "Wrong.", "Int"),
        ],
    ),
    Case(launches.parse_launch, {"launchRun": LAUNCHED}, launches.Launched(ID, "QUEUED"), LAUNCHING),
    Case(launches.parse_launched, {"x": LAUNCHED}, launches.Launched(ID, "QUEUED"), LAUNCHING, after=("x",)),
    Case(
        launches.by_tag,
        answered("runsOrError", "Runs", results=[RUN]),
        launches.Launched(ID, "SUCCESS"),
        before=(API, "i"),
        asks=True,
    ),
    Case(reexecution.parse_retry, {"launchRunReexecution": LAUNCHED}, launches.Launched(ID, "QUEUED"), LAUNCHING),
    Case(
        cancellation.ask,
        answered("terminateRun", "TerminateRunSuccess", run={"runId": ID}),
        None,
        before=(API, ID, "SAFE_TERMINATE"),
        asks=True,
    ),
    Case(run_config.parse_schema, CONFIG, ({each["key"]: each for each in TYPES}, TYPES[0]["fields"])),
    Case(run_config.skeleton, CONFIG, SKELETON, before=(API, [TARGET]), asks=True),
    Case(
        backfills.parse_launch,
        answered("launchPartitionBackfill", "LaunchBackfillSuccess", backfillId="b"),
        "b",
        LAUNCHING,
    ),
    Case(
        backfills.parse_status,
        {"version": "1.13.27", "partitionBackfillOrError": BACKFILL},
        backfills.Backfill("b", "REQUESTED", 4, COUNTS, "daemon", "http://dagster.test/runs/b/b"),
        before=(API,),
    ),
    Case(
        backfills.parse_page,
        answered(
            "partitionBackfillsOrError", "PartitionBackfills", results=[{"id": "b", "status": "FAILED", "tags": [TAG]}]
        ),
        [backfills.Listed("b", "FAILED", {"k": "v"})],
    ),
    Case(backfills.parse_parameters, {"__type": {"inputFields": [{"name": "tags"}]}}, {"tags"}),
    Case(reports.parse_newest_run, answered("runsOrError", "Runs", results=[{"runId": ID}]), ID),
    Case(attach.parse_observations, OBSERVED, [ENTRY_BY_LABEL]),
    Case(
        attach.find,
        OBSERVED,
        observations.Attached("rest", "e1+2", "TextMetadataEntry"),
        FINDING,
        before=(API, OBSERVATION),
        asks=True,
    ),
    Case(asset_checks.parse_checks, {"assetNodeOrError": CHECKS}, ["c"]),
    Case(asset_checks.parse_evaluations, EVALUATED, {"e1+2": (True, "rest")}),
    Case(asset_checks.find, EVALUATED, "rest", FINDING, before=(API, EVALUATION), asks=True),
    Case(
        latest.parse_attachments,
        answered(
            "assetNodeOrError",
            "AssetNode",
            assetObservations=[SHOWN],
            assetMaterializations=[{**SHOWN, "metadataEntries": []}],
        ),
        {"e1", "e2"},
        after=("p",),
    ),
    Case(deployment.parse_version, {"version": "1.13.27"}, "1.13.27"),
    Case(deployment.parse_daemons, INSTANCE, (True, [deployment.Daemon("SENSOR", True, True)])),
]
every = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parser.__module__}.{case.parser.__name__}")


def test_no_parser_is_left_out() -> None:
    root = Path(daglab.__file__).parent
    there = {
        (".".join(path.relative_to(root.parent).with_suffix("").parts), name)
        for path in root.rglob("*.py")
        for name in re.findall(r"^def (parse\w*)\([^)]*\bdata: Mapping", path.read_text("utf-8"), re.MULTILINE)
    }
    assert there <= {(case.parser.__module__, case.parser.__name__) for case in CASES}


@every
def test_a_good_answer_is_read(case: Case) -> None:
    assert case.read(case.good) == case.expected


@every
def test_an_answer_that_is_wrong_at_one_place_is_read_or_refused(case: Case) -> None:
    """Each wrong value at each place of a good answer: what is read is of the type that was promised."""
    for data in variants(case.good):
        check(case, data)


@every
def test_an_answer_that_is_wrong_at_several_places_is_read_or_refused(case: Case) -> None:
    @settings(tried, max_examples=20)
    @given(changed(case.good))
    def tried_on(data: Any) -> None:
        check(case, data)

    tried_on()


def check(case: Case, data: Any) -> None:
    """An answer's data is always an object: `dagster_api.query` sees to that."""
    if isinstance(data, dict):
        found = outcome(case.read, data)
        kind = hints(case.parser)["return"]
        assert fits(found, kind) or isinstance(found, case.refusals), (found, data)

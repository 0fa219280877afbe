"""The skeleton of run config: what stands in it, what is a comment, and that it is YAML."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import yaml

from daglab import errors
from daglab.deployment import dagster_api
from daglab.launching import run_config, targets
from daglab.settings import config

TARGET = targets.Target("report", "__repository__", "shop")


def field(
    name: str, kind: str, *, required: bool = False, default: Any = None, doc: str | None = None
) -> dict[str, Any]:
    value = None if default is None else json.dumps(default)
    return {
        "name": name,
        "description": doc,
        "isRequired": required,
        "configTypeKey": kind,
        "defaultValueAsJson": value,
    }


def shape(key: str, *fields: dict[str, Any], selector: bool = False) -> dict[str, Any]:
    return {
        "__typename": "CompositeConfigType",
        "key": key,
        "isSelector": selector,
        "typeParamKeys": [],
        "fields": list(fields),
    }


def plain(name: str) -> dict[str, Any]:
    return {"__typename": "RegularConfigType", "key": name, "givenName": name, "typeParamKeys": []}


def wrapping(typename: str, key: str, *inner: str) -> dict[str, Any]:
    return {"__typename": typename, "key": key, "typeParamKeys": list(inner)}


COMMON = [
    *map(plain, ("Int", "String", "Float", "Bool", "Any")),
    wrapping("NullableConfigType", "Maybe", "Float"),
    {**wrapping("ScalarUnionConfigType", "IntSource"), "scalarTypeKey": "Int"},
    wrapping("ArrayConfigType", "Ints", "Int"),
    wrapping("MapConfigType", "Table", "String", "Int"),
    {
        **wrapping("EnumConfigType", "Mode"),
        "givenName": "Mode",
        "values": [{"value": "fast"}, {"value": "slow: # x"}],
    },
]


@pytest.fixture
def skeleton(dagster: Any) -> Any:
    def of(*fields: dict[str, Any], types: tuple[dict[str, Any], ...] = ()) -> str:
        root = shape("Root", *fields)
        found = {
            "__typename": "RunConfigSchema",
            "rootConfigType": {"key": "Root"},
            "allConfigTypes": [root, *types, *COMMON],
        }
        dagster.answers["ConfigSchema"] = {"runConfigSchemaOrError": found}
        return run_config.skeleton(dagster_api.connect(config.load({"dagster.url": dagster.url})), [TARGET])

    return of


def test_what_is_required_and_what_has_a_default_stands(skeleton: Any) -> None:
    inside = shape(
        "Ops",
        field("n", "IntSource", required=True, doc="How many.\nA second line."),
        field("name", "String", default="bob: # é"),
        field("share", "Maybe"),
        field("mode", "Mode", required=True),
        field("sizes", "Ints", required=True),
        field("table", "Table", default={"a": 1}),
        field("deep", "Bool", default=False),
    )
    text = skeleton(field("ops", "Ops", required=True), types=(inside,))
    assert yaml.safe_load(text) == {
        "ops": {"n": 0, "name": "bob: # é", "mode": "fast", "sizes": [], "table": {"a": 1}, "deep": False}
    }
    assert "  n: 0  # Int, required: How many. A second line.\n" in text
    assert "  # share: 0.0  # Float\n" in text
    assert "# one of fast, slow: # x, required" in text
    assert "# [Int], required" in text
    assert "# {String: Int}" in text


def test_what_may_be_left_out_is_a_comment_that_can_be_taken_away(skeleton: Any) -> None:
    store = shape("Store", field("base_dir", "String"), field("x-y", "Int"))
    text = skeleton(field("ops", "Ops"), field("resources", "Store"), types=(shape("Ops"), store))
    assert yaml.safe_load(text) is None
    opened = "\n".join(line.removeprefix("# ") for line in text.split("\n"))
    assert yaml.safe_load(opened) == {"resources": {"base_dir": "", "x-y": 0}}


def test_execution_and_loggers_are_left_out_unless_something_is_required(skeleton: Any) -> None:
    execution = shape("Execution", field("limit", "Int", default=4))
    assert skeleton(field("execution", "Execution"), types=(execution,)) == "{}  # nothing can be configured\n"
    text = skeleton(field("execution", "Execution", required=True), types=(execution,))
    assert yaml.safe_load(text) == {"execution": {"limit": 4}}


def test_a_choice_of_one_is_said(skeleton: Any) -> None:
    choice = shape("Choice", field("enabled", "Int", default=1), selector=True)
    text = skeleton(field("ops", "Ops", required=True), types=(shape("Ops", field("retries", "Choice")), choice))
    assert "  retries:  # one of these\n" in text


def test_an_op_that_takes_no_config_is_left_out(skeleton: Any) -> None:
    op = shape("Op", field("config", "Any"))
    text = skeleton(field("ops", "Ops"), types=(shape("Ops", field("one", "Op")), op))
    assert text == "{}  # nothing can be configured\n"


def test_a_schema_that_holds_itself_ends(skeleton: Any) -> None:
    loop = shape("Loop", field("again", "Loop", required=True), field("n", "Int", default=1))
    assert "again" in skeleton(field("ops", "Loop", required=True), types=(loop,))


def test_a_server_s_names_are_data(skeleton: Any) -> None:
    inside = shape("Ops", field('a: b"\n#', "Int", required=True, doc="x\x1b[2J\ny: z"), field("1st", "Int", default=2))
    text = skeleton(field("ops", "Ops", required=True), types=(inside,))
    assert yaml.safe_load(text.replace("\x1b", "")) == {"ops": {'a: b"\n#': 0, "1st": 2}}


def test_numbers_and_names_stay_what_they_are(skeleton: Any) -> None:
    """YAML takes 1e-05 for text, and a bare `no` or `off` for false."""
    names = ("no", "off", "True", "null", "normal")
    inside = shape(
        "Ops",
        field("rate", "Float", default=1e-05),
        field("sizes", "Table", default={"a": [1e20, -1e-7, 2.5], "e": "1e5"}),
        *(field(name, "Int", default=number) for number, name in enumerate(names)),
    )
    found = yaml.safe_load(skeleton(field("ops", "Ops", required=True), types=(inside,)))["ops"]
    assert found["rate"] == 1e-05
    assert found["sizes"] == {"a": [1e20, -1e-7, 2.5], "e": "1e5"}
    assert [found[name] for name in names] == list(range(len(names)))


def test_of_several_choices_one_stands(skeleton: Any) -> None:
    inner = shape("Inner", field("n", "Int", required=True))
    choice = shape(
        "Choice", field("one", "Inner"), field("two", "Inner"), field("three", "Int", default=1), selector=True
    )
    ops = shape("Ops", field("pick", "Choice", required=True))
    text = skeleton(field("ops", "Ops", required=True), types=(ops, choice, inner))
    assert yaml.safe_load(text) == {"ops": {"pick": {"one": {"n": 0}}}}
    assert "    # two:" in text
    assert "    #   n: 0" in text


def test_several_targets_have_what_is_equal_in_them_once(dagster: Any) -> None:
    """Lines that are equal in two ops belong to both; what is a resource of both stands once."""
    roots = []
    for name in ("first", "second"):
        config = shape("Config", field("seconds", "Int", required=True))
        op = shape("Op", field("config", "Config", required=True))
        ops, resources = shape("Ops", field(name, "Op", required=True)), shape("Resources", field("io", "Config"))
        fields = field("ops", "Ops", required=True), field("resources", "Resources", required=True)
        types = [shape("Root", *fields), ops, op, config, resources, *COMMON]
        found = {"__typename": "RunConfigSchema", "rootConfigType": {"key": "Root"}, "allConfigTypes": types}
        roots.append({"runConfigSchemaOrError": found})
    dagster.answers["ConfigSchema"] = lambda _: roots.pop(0)
    api = dagster_api.connect(config_of(dagster))
    assert yaml.safe_load(run_config.skeleton(api, [TARGET, TARGET])) == {
        "ops": {name: {"config": {"seconds": 0}} for name in ("first", "second")},
        "resources": {"io": {"seconds": 0}},
    }


@pytest.mark.parametrize("key", ["typeParamKeys", "values", "__typename", "fields"])
def test_a_schema_of_another_shape(key: str, dagster: Any) -> None:
    """It is read, or refused as what no Dagster says; nothing else is raised."""
    types = [{**each} for each in (shape("Root", field("ops", "Mode")), shape("Ops"), *COMMON)]
    for each in types:
        each[key] = 1
    found = {"__typename": "RunConfigSchema", "rootConfigType": {"key": "Root"}, "allConfigTypes": types}
    dagster.answers["ConfigSchema"] = {"runConfigSchemaOrError": found}
    with contextlib.suppress(errors.Unreachable):
        run_config.skeleton(dagster_api.connect(config_of(dagster)), [TARGET])


def config_of(dagster: Any) -> config.Config:
    return config.load({"dagster.url": dagster.url})

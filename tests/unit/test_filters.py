"""Which jobs and assets are asked for, and how the result is written."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from typing import Any

import pytest

from daglab import errors, output, parse
from daglab.commands import discover
from daglab.deployment import entities, filters, metadata, selection

BLANK = entities.Asset(
    key=("x",),
    group=None,
    description=None,
    kinds=(),
    tags={},
    owners=(),
    executable=True,
    partitions=None,
    dimensions=(),
    jobs=("__ASSET_JOB",),
    dependencies=(),
    repository="__repository__",
    location="main",
)


def asset(name: str, **more: Any) -> entities.Asset:
    return dataclasses.replace(BLANK, key=tuple(name.split("/")), **more)


ASSETS = [
    asset("src/a", group="raw", kinds=("python", "csv"), tags={"tier": "1", "pii": ""}, owners=("team:data",)),
    asset("src/b", group="raw", kinds=("sql",), tags={"tier": "2"}, owners=("ann@example.com", "team:data")),
    asset("mart", group="mart", kinds=("sql",), location="other"),
    asset("loose", repository="old"),
]
JOBS = [
    entities.Job("nightly", "__repository__", "main", "At night.", {"tier": "1"}, True, None),
    entities.Job("weekly", "old", "main", None, {}, False, "weekly_partition_set"),
]
WORKSPACE = entities.Workspace(
    "1.13.0",
    (
        entities.Location("main", ("__repository__", "old"), None),
        entities.Location("other", ("__repository__",), None),
        entities.Location("broken", (), "ValueError: no"),
    ),
    tuple(JOBS),
    frozenset(),
)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, "src/a src/b mart loose"),
        ({"pattern": "src/*"}, "src/a src/b"),
        ({"groups": ("raw",)}, "src/a src/b"),
        ({"groups": ("default", "mart")}, "mart loose"),
        ({"kinds": ("csv", "sql")}, "src/a src/b mart"),
        ({"owners": ("ann@example.com",)}, "src/b"),
        ({"tags": {"tier": "1"}}, "src/a"),
        ({"tags": {"tier": None}}, "src/a src/b"),
        ({"tags": {"tier": "1", "pii": None}}, "src/a"),
        ({"tags": {"tier": "3"}}, ""),
        ({"location": "other"}, "mart"),
        ({"repository": "old"}, "loose"),
        ({"groups": ("raw",), "kinds": ("sql",), "pattern": "*b"}, "src/b"),
        ({"groups": ("raw",), "kinds": ("dbt",)}, ""),
        ({"chosen": selection.read("group:raw or key:mart")}, "src/a src/b mart"),
        ({"chosen": selection.read("group:raw or key:mart"), "kinds": ("sql",)}, "src/b mart"),
    ],
)
def test_the_assets_that_are_asked_for(asked: dict[str, Any], names: str) -> None:
    assert [each.name for each in filters.assets(ASSETS, filters.Filters(**asked))] == names.split()


def test_the_jobs_that_are_asked_for() -> None:
    for asked, names in (
        ({}, ["nightly", "weekly"]),
        ({"pattern": "n*"}, ["nightly"]),
        ({"tags": {"tier": "1"}}, ["nightly"]),
        ({"repository": "old"}, ["weekly"]),
        ({"location": "other"}, []),
    ):
        assert [job.name for job in filters.jobs(JOBS, filters.Filters(**asked))] == names  # type: ignore[arg-type]


def test_a_place_that_is_not_there() -> None:
    filters.check_place(WORKSPACE, filters.Filters(location="broken", repository="old"))
    for asked, hint in (
        ({"location": "mian"}, "Did you mean main?"),
        ({"repository": "xyz"}, "There are __repository__"),
    ):
        with pytest.raises(errors.InvalidInput) as caught:
            filters.check_place(WORKSPACE, filters.Filters(**asked))
        assert hint in (caught.value.hint or "")


def test_a_value_that_no_asset_has_is_told_with_the_nearest() -> None:
    asked = filters.Filters(groups=("rwa", "mart"), kinds=("sqll",), owners=("nobody@example.com",))
    said = filters.strangers(ASSETS, asked)
    assert said[0] == "No asset has the group rwa. Did you mean raw?"
    assert said[1] == "No asset has the kind sqll. Did you mean sql?"
    assert said[2].startswith("No asset has the owner nobody@example.com.")
    assert len(said) == 3


def document(**more: Any) -> dict[str, Any]:
    settings = {"kind": "all", "asked": filters.Filters(), **more}
    return discover.document(WORKSPACE, ASSETS, **settings)


def test_a_limit_cuts_each_section_and_says_of_how_many() -> None:
    result = document(limit=1)
    assert {name: len(result[name]) for name in ("locations", "repositories", "jobs", "assets", "groups")} == {
        "locations": 1,
        "repositories": 1,
        "jobs": 1,
        "assets": 1,
        "groups": 1,
    }
    assert result["total"] == {"locations": 3, "repositories": 3, "jobs": 2, "assets": 4, "groups": 3}
    assert "## Assets (1 of 4)" in discover.as_markdown(result)
    assert "total" not in document()


def test_what_only_assets_have_leaves_no_jobs() -> None:
    result = document(asked=filters.Filters(groups=("raw",)))
    assert (result["jobs"], len(result["assets"])) == ([], 2)
    assert [each["assets"] for each in result["groups"]] == [["src/a", "src/b"]]


def test_csv_reads_back() -> None:
    result = document(kind="assets")
    rows = list(csv.DictReader(io.StringIO(discover.as_csv(result))))
    assert [row["key"] for row in rows] == ["src/a", "src/b", "mart", "loose"]
    assert rows[0]["tags"] == "tier=1, pii="
    assert rows[1]["kinds"] == "sql"
    assert list(rows[0]) == list(result["assets"][0])
    empty = document(kind="assets", asked=filters.Filters(pattern="none"))
    assert discover.as_csv(empty) == "key\n"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_nothing_is_a_formula_in_csv(text: str) -> None:
    found = discover.document(
        WORKSPACE, [asset("a", description=text)], kind="assets", asked=filters.Filters(), with_metadata=True
    )
    [row] = csv.DictReader(io.StringIO(discover.as_csv(found)))
    assert row["description"] == f"'{text}"


def test_nothing_is_markup_in_markdown() -> None:
    found = discover.document(
        WORKSPACE, [asset("a|b", description="<b>*x*\n`y`|")], kind="assets", asked=filters.Filters()
    )
    [line] = [line for line in discover.as_markdown(found).splitlines() if line.startswith("| a")]
    assert line.startswith(r"| a\|b |")
    assert r"\<b\>\*x\*" in line


def test_the_text_of_json_holds_what_the_result_does() -> None:
    result = {**document(limit=2), "empty": [], "plain": [1, "ä\u2028\x1b"], "nested": {"a": [{"b": None}]}}
    assert json.loads(output.json_text(result)) == result
    assert len(output.json_text(result).splitlines()) < 40


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ({"__typename": "UrlMetadataEntry", "url": "http://x"}, "http://x"),
        ({"intRepr": "12345678901234567890"}, 12345678901234567890),
        ({"intRepr": "0"}, 0),
        ({"floatValue": 0.0}, 0.0),
        ({"boolValue": False}, False),
        ({"jsonString": '{"a": [1]}'}, {"a": [1]}),
        ({"jsonString": '{"a": NaN, "b": [-Infinity]}'}, {"a": None, "b": [None]}),
        ({"jsonString": "not json"}, "not json"),
        ({"text": ""}, ""),
        ({"assetKey": {"path": ["a", "b"]}}, "a/b"),
        ({"__typename": "TableMetadataEntry"}, None),
    ],
)
def test_metadata_become_plain_values(entry: dict[str, Any], value: Any) -> None:
    assert metadata.values([{"label": "x", **entry}]) == {"x": value}


def test_tags_and_names_as_they_are_typed() -> None:
    assert parse.pairs("a=b, c = d=e ,f,", "--tags") == {"a": "b", "c": "d=e", "f": None}
    assert parse.names(["a, b", "b", ",c"]) == ["a", "b", "c"]
    with pytest.raises(errors.WrongUsage):
        parse.pairs("=x", "--tags")

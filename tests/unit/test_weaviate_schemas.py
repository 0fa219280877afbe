"""Schemas of collections, the templates that they are made of, and which collections are not deleted by mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daglab import errors
from daglab.settings import config
from daglab.weaviate import objects, protection, schemas, templates, verbatim

INNER = {"name": "inner", "dataType": ["Docs", "int"], "searchableBlockmax": True}
SCHEMA = {
    "class": "Docs",
    "replicationConfig": {"factor": 1},
    "shardingConfig": {"desiredCount": 2, "actualCount": 2},
    "properties": [
        {"name": "title", "dataType": ["text"], "bucketGeneration": 4, "tokenization": "word"},
        {"name": "of", "dataType": ["Docs", "Authors"]},
        {"name": "nested", "dataType": ["object"], "nestedProperties": [INNER]},
    ],
}


@pytest.mark.parametrize(
    ("name", "told"),
    [("docs", "Take Docs"), ("Do cs!", "Take Do_cs_"), ("9docs", ""), ("", ""), ("D" * 300, "")],
)
def test_a_name_that_weaviate_does_not_take(name: str, told: str) -> None:
    with pytest.raises(errors.InvalidInput, match="no name of a collection") as refused:
        schemas.check_name(name)
    assert told in str(refused.value.hint)
    assert ("Take" in str(refused.value.hint)) is bool(told)
    schemas.check_name("D" * 255)


def test_what_belongs_to_a_server_is_not_sent_to_another() -> None:
    before = json.dumps(SCHEMA)
    found = schemas.portable(SCHEMA, "New")
    title, of, nested = found["properties"]
    assert (found["class"], found["shardingConfig"]) == ("New", {"desiredCount": 2})
    assert title == {"name": "title", "dataType": ["text"], "tokenization": "word"}
    assert of["dataType"] == ["New", "Authors"]  # references to itself lead to the new name
    assert nested["nestedProperties"] == [{"name": "inner", "dataType": ["New", "int"]}]
    assert json.dumps(SCHEMA) == before
    tenants = schemas.portable({**SCHEMA, "multiTenancyConfig": {"enabled": True}})
    assert (tenants["class"], "shardingConfig" in tenants) == ("Docs", False)
    assert schemas.references(SCHEMA) == {"of": ["Docs", "Authors"]}


@pytest.mark.parametrize(
    ("schema", "made", "types"),
    [
        ({"vectorizer": "none", "vectorIndexType": "hnsw"}, [], {None: "hnsw"}),
        ({"vectorizer": "text2vec-x", "vectorIndexType": "flat"}, [None], {None: "flat"}),
        ({}, [], {}),
        (
            {
                "vectorConfig": {
                    "a": {"vectorizer": {"none": {}}},
                    "b": {"vectorizer": {"x": {}}, "vectorIndexType": "hnsw"},
                }
            },
            ["b"],
            {"a": "", "b": "hnsw"},
        ),
    ],
)
def test_the_vectors_that_a_server_makes_itself(schema: Any, made: list[Any], types: dict[Any, str]) -> None:
    assert schemas.vectorized(schema) == made
    assert schemas.vector_indexes(schema) == types


def test_a_hash_is_hashed_again_where_it_is_written() -> None:
    schema = {"properties": [{"name": "a", "dataType": ["blobHash"]}, {"name": "b", "dataType": ["blob"]}]}
    assert schemas.hashed(schema) == ["a"]


# --- objects as they are sent


def test_an_object_is_sent_as_a_batch_takes_it() -> None:
    phone = {"input": "030 1", "defaultCountry": "de", "internationalFormatted": "+49 30 1", "national": 301}
    properties = {"phone": [phone], "of": [{"beacon": "x"}], "n": 1, "deep": {"list": [1, {"a": 2}]}}
    found = {"id": "1", "properties": properties, "vector": [0.5], "vectors": {}, "creationTimeUnix": 5}
    sent = objects.outgoing(found, "New", tenant="t", without=["of"])
    assert sent == {
        "class": "New",
        "id": "1",
        "properties": {
            "phone": [{"input": "030 1", "defaultCountry": "de"}],
            "n": 1,
            "deep": {"list": [1, {"a": 2}]},
        },
        "vector": [0.5],
        "tenant": "t",
    }


def test_references_lead_to_the_new_name_of_a_collection() -> None:
    there = {
        "properties": {"of": [{"beacon": "weaviate://localhost/Docs/1"}, {"beacon": "weaviate://localhost/2"}, {}]}
    }
    renamed = {"Docs": "New"}
    assert objects.beacons(there, "of", renamed) == ["weaviate://localhost/New/1", "weaviate://localhost/2"]
    assert objects.beacons(there, "gone", renamed) == []
    assert objects.rewritten("weaviate://localhost/Docs2/1", renamed) == "weaviate://localhost/Docs2/1"


def test_long_vectors_are_handed_on_as_the_text_that_they_came_in() -> None:
    vector = b"[" + b",".join([b"0.10000000149011612"] * 8) + b"]"
    edge = b"[9223372036854775807," + b"1," * 30 + b"1]"  # the largest int has to be worked out
    content = b'{"short":[1,2],"long":' + vector + b',"edge":' + edge + b',"again":' + vector + b"}"
    marked, texts = verbatim.taken_out(content)
    assert len(texts.found) == 2
    assert vector not in marked
    assert edge in marked
    assert verbatim.put_back(marked, texts) == content
    assert json.loads(verbatim.left_out(content)) == {"short": [1, 2], "long": [], "edge": [], "again": []}
    nothing, none = verbatim.taken_out(b'{"a":[1]}')
    assert verbatim.put_back(nothing, none) == b'{"a":[1]}'


# --- what is protected


def test_a_protected_collection_is_refused_by_its_pattern() -> None:
    settings = config.load({"weaviate.protected": ["Live*", "Docs"]})
    assert protection.pattern_of(settings, "LiveDocs") == "Live*"
    assert protection.pattern_of(settings, "docs") is None
    protection.refuse(settings, ["Other"], unprotect=False)
    protection.refuse(settings, ["Docs"], unprotect=True)
    with pytest.raises(errors.NotAuthorised, match=r"LiveDocs is protected: it matches 'Live\*'") as refused:
        protection.refuse(settings, ["Other", "LiveDocs"], unprotect=False)
    assert "--unprotect" in str(refused.value.hint)


# --- templates


def test_a_template_is_kept_once_and_without_what_is_the_servers(tmp_path: Path) -> None:
    path = templates.save(tmp_path, "mine", SCHEMA, force=False)
    assert templates.load(tmp_path, "mine") == schemas.portable(SCHEMA)
    with pytest.raises(errors.Taken):
        templates.save(tmp_path, "mine", {"class": "Other"}, force=False)
    templates.save(tmp_path, "mine", {"class": "Other"}, force=True)
    assert templates.read(path) == {"class": "Other"}
    with pytest.raises(errors.InvalidInput, match="no name of a template"):
        templates.save(tmp_path, "../out", SCHEMA, force=True)
    assert [each.name for each in templates.listed(tmp_path) if not each.is_own] == ["mine"]


def test_a_projects_template_hides_daglabs_own_until_it_is_deleted(tmp_path: Path) -> None:
    own = next(each for each in templates.listed(tmp_path) if each.is_own)
    before = templates.load(tmp_path, own.name)
    path = templates.save(tmp_path, own.name, {"class": "Other"}, force=False)
    assert templates.load(tmp_path, own.name) == {"class": "Other"}
    assert templates.remove(tmp_path, own.name) == path
    assert templates.load(tmp_path, own.name) == before
    with pytest.raises(errors.InvalidInput, match="comes with daglab"):
        templates.remove(tmp_path, own.name)
    for lookup in (templates.load, templates.remove):
        with pytest.raises(errors.InvalidInput, match="There is no template 'gone'"):
            lookup(tmp_path, "gone")


@pytest.mark.parametrize(
    "text", ["properties: 5", "properties: [5]", "properties: [{dataType: [text]}]", "- a", "a: ["], ids=str
)
def test_what_is_no_schema(tmp_path: Path, text: str) -> None:
    (tmp_path / "schema.yaml").write_text(text)
    with pytest.raises(errors.InvalidInput) as refused:
        templates.read(tmp_path / "schema.yaml")
    assert "each with a `name` and a `dataType`" in str(refused.value.hint)


def test_a_schema_gets_its_name_and_keeps_its_references() -> None:
    assert templates.named({"properties": []}, "New")["class"] == "New"
    assert templates.named(SCHEMA, "New")["properties"][1]["dataType"] == ["New", "Authors"]
    with pytest.raises(errors.InvalidInput, match="no name of a collection"):
        templates.named({}, "new")


def test_values_are_put_at_paths() -> None:
    found = templates.changed(
        SCHEMA,
        {
            "replicationConfig.factor": "3",
            "properties.title.tokenization": "field",
            "properties.1.dataType.Authors": '"Writers"',
            "made.on.the.way": "true",
        },
    )
    assert found["replicationConfig"] == {"factor": 3}
    assert found["properties"][0]["tokenization"] == "field"
    assert found["properties"][1]["dataType"] == ["Docs", "Writers"]
    assert found["made"] == {"on": {"the": {"way": True}}}
    assert SCHEMA["replicationConfig"] == {"factor": 1}


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("class.name", "class is a value", "Correct the path"),
        ("properties.titel.tokenization", "there is no 'titel'", "title"),
        ("properties.7", "there is no '7'", "There are title, of, nested"),
        ("properties.-1", "there is no '-1'", "There are"),
        ("properties.title.dataType.text.more", "text is a value", ""),
    ],
)
def test_a_path_that_leads_nowhere(path: str, message: str, hint: str) -> None:
    with pytest.raises(errors.InvalidInput, match=message) as refused:
        templates.changed(SCHEMA, {path: "1"})
    assert hint in str(refused.value.hint)

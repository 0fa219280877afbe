"""`daglab collections batch` on a real Weaviate."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from daglab import errors
from daglab.commands.collection import batch
from tests import weaviates

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def many(weaviate: weaviates.Server) -> list[str]:
    names = [f"BatchDocs{letter}" for letter in "ABC"]
    for number, name in enumerate(names):
        properties = [{"name": "title", "dataType": ["text"]}]
        weaviate.ask("POST", "schema", {"class": name, "vectorizer": "none", "properties": properties})
        written = [{"class": name, "properties": {"title": "a"}, "vector": [1, 2]} for _ in range(number)]
        if written:
            weaviate.ask("POST", "batch/objects", {"objects": written})
    return names


def test_all_that_match_are_measured(cli: Cli, weaviate: weaviates.Server, many: list[str]) -> None:
    where = ("--cluster", weaviate.url, "--operation", "stats", "--parallel", "2")
    done = cli("collections", "batch", "--pattern", "BatchDocs*", *where, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["counts"]) == (0, {"collections": 3, "failed": 0})
    told = {each["name"]: each["result"]["objects"] for each in found["collections"]}
    assert told == dict(zip(many, range(3), strict=True))
    shown = cli("collections", "batch", "--pattern", "BatchDocs[AB]", *where)
    assert "BatchDocsB" in shown.stdout
    assert "BatchDocsC" not in shown.stdout
    assert "2 of 2: " in shown.stderr


def test_all_that_match_are_planned(cli: Cli, weaviate: weaviates.Server, many: list[str]) -> None:
    where = ("--cluster", weaviate.url, "--operation", "optimize", "--json")
    done = cli("collections", "batch", "--pattern", "BatchDocs*", *where)
    found = json.loads(done.stdout)
    assert [each["result"]["actions"] for each in found["collections"]] == [[], [], []]
    assert "done" not in found["collections"][0]["result"]
    done = cli("collections", "batch", "--pattern", "BatchDocs*", *where, "--yes", "--timeout", "60")
    found = json.loads(done.stdout)
    assert [each["result"]["done"] for each in found["collections"]] == [[], [], []]


def test_none_that_matches_is_no_success(cli: Cli, weaviate: weaviates.Server, many: list[str]) -> None:
    where = ("--cluster", weaviate.url, "--operation", "stats")
    done = cli("collections", "batch", "--pattern", "batchdocsa*", *where)
    assert (done.exit_code, "BatchDocsA" in done.stderr) == (7, True)


def test_a_backup_needs_its_folder(cli: Cli, weaviate: weaviates.Server) -> None:
    where = ("--cluster", weaviate.url, "--pattern", "*")
    assert cli("collections", "batch", *where, "--operation", "backup").exit_code == 2
    assert cli("collections", "batch", *where, "--operation", "stats", "--output", "there").exit_code == 2


def test_so_many_at_a_time_and_no_more() -> None:
    lock, now, most, met = threading.Lock(), 0, 0, threading.Barrier(2, timeout=10)

    def operate(name: str) -> dict[str, Any]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        met.wait()
        with lock:
            now -= 1
        if name == "b":
            raise errors.NotGood("no")
        return {}

    assert len(list(batch.each(list("abcdef"), operate, 2))) == 6
    assert most == 2


def test_when_it_is_stopped_no_other_one_is_begun() -> None:
    begun = []

    def operate(name: str) -> dict[str, Any]:
        begun.append(name)
        time.sleep(0.01)  # all of them would take 10 seconds
        return {}

    outcomes = batch.each([str(number) for number in range(1000)], operate, 1)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(begun) < 1000

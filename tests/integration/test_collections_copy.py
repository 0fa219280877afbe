"""`daglab collections copy` on a real Weaviate: faithful, transformed, overwriting, and killed at any moment."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import progress
from daglab.settings import config
from daglab.weaviate import api, batches, clusters, comparisons, journals, rest, schemas, store, tenants, transfers
from daglab.weaviate.copying import copies, steps
from tests import tiers, weaviates

pytestmark = pytest.mark.long

Cli = Callable[..., Any]
COUNT = 120
PRIMITIVE = ("text", "int", "number", "boolean", "date", "uuid")
NESTED = [
    {"name": "a", "dataType": ["text"]},
    {"name": "deep", "dataType": ["object"], "nestedProperties": [{"name": "d", "dataType": ["date"]}]},
]


def ids(count: int, seed: int) -> list[str]:
    made = random.Random(seed)
    return [str(uuid.UUID(int=made.getrandbits(128), version=4)) for _ in range(count)]


def value_of(kind: str, n: int) -> Any:
    return {
        "text": f'héllo "{n}" \u2028 😀',
        "int": n - 2**40,
        "number": n / 7,
        "boolean": n % 2 == 0,
        "date": f"2024-02-{n % 28 + 1:02}T23:59:59.123456+05:30",
        "uuid": ids(1, n)[0],
    }[kind]


def make(cluster: rest.Cluster, name: str, count: int = COUNT) -> list[str]:
    """A collection with every data type, named and multi-vectors, and references to itself."""
    api.delete(cluster, name)
    listed = [
        *({"name": f"p_{kind}", "dataType": [kind]} for kind in PRIMITIVE),
        *({"name": f"l_{kind}", "dataType": [f"{kind}[]"]} for kind in PRIMITIVE),
        *({"name": kind, "dataType": [kind]} for kind in ("blob", "geoCoordinates", "phoneNumber")),
        {"name": "one", "dataType": ["object"], "nestedProperties": NESTED},
        {"name": "many", "dataType": ["object[]"], "nestedProperties": NESTED},
        {"name": "n", "dataType": ["int"]},
    ]
    vector = {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw"}
    multi = {**vector, "vectorIndexConfig": {"multivector": {"enabled": True}}}
    api.create(cluster, {"class": name, "properties": listed, "vectorConfig": {"v": vector, "m": multi}})
    rest.change(cluster, "POST", f"schema/{name}/properties", "addProperty", {"name": "to", "dataType": [name]})
    found = ids(count, sum(map(ord, name)))
    written = [{"class": name, "id": each, **content(n)} for n, each in enumerate(found)]
    assert batches.write(cluster, written, batches.pace(10, 100)) == []
    refer(cluster, name, found)
    return found


def content(n: int) -> dict[str, Any]:
    made = random.Random(n)
    properties: dict[str, Any] = {"n": n, **{f"p_{kind}": value_of(kind, n) for kind in PRIMITIVE}}
    properties.update({f"l_{kind}": [value_of(kind, n), value_of(kind, n + 1)] for kind in PRIMITIVE if n % 3})
    properties.update({"blob": "aGVsbG8=", "geoCoordinates": {"latitude": 52.3, "longitude": n / 10}})
    properties["phoneNumber"] = {"input": "020 1234567", "defaultCountry": "nl"}
    properties["one"] = {"a": "x", "deep": {"d": "2020-01-01T00:00:00Z"}}
    properties["many"] = [{"a": "y"}, {"a": str(n)}]
    vectors: dict[str, Any] = {"v": [made.gauss(0, 1) for _ in range(8)]} if n % 4 else {}
    if n % 5:
        vectors["m"] = [[made.gauss(0, 1) for _ in range(3)] for _ in range(n % 3 + 1)]
    return {"properties": properties, "vectors": vectors}


def refer(cluster: rest.Cluster, name: str, found: list[str]) -> None:
    made = random.Random(len(found))
    wanted = [
        {"from": f"weaviate://localhost/{name}/{each}/to", "to": f"weaviate://localhost/{name}/{made.choice(found)}"}
        for each in found
        for _ in range(made.randint(0, 3))
    ]
    assert not any(store.put_references(cluster, wanted))


def make_small(cluster: rest.Cluster, name: str, count: int, **more: Any) -> list[str]:
    api.delete(cluster, name)
    properties = [{"name": "n", "dataType": ["int"]}, {"name": "title", "dataType": ["text"]}]
    api.create(cluster, {"class": name, "vectorizer": "none", "properties": properties, **more})
    found = ids(count, sum(map(ord, name)))
    written = [
        {"class": name, "id": each, "properties": {"n": n, "title": f"t {n}"}, "vector": [n / 3, 1.5, -2]}
        for n, each in enumerate(found)
    ]
    if count:
        assert batches.write(cluster, written, batches.pace(10, 100)) == []
    return found


def is_same(cluster: rest.Cluster, one: str, other: str) -> comparisons.Difference:
    """Raises unless both hold the same, and refer to the same, as often."""
    found = comparisons.compare(transfers.Side(cluster, one), transfers.Side(cluster, other))
    assert found.is_none, found
    assert references(cluster, one) == references(cluster, other)
    return found


def references(cluster: rest.Cluster, name: str) -> int:
    page = store.page(cluster, name, "", 1000, vectors=False).objects
    return sum(len(each["properties"].get("to") or ()) for each in page)


@pytest.fixture
def cluster(weaviate: weaviates.Server, tmp_path: Path) -> rest.Cluster:
    (tmp_path / "daglab.yaml").write_text(f"weaviate: {{clusters: [{{name: main, url: '{weaviate.url}'}}]}}\n")
    return clusters.connect(config.load())


@pytest.fixture
def copy(cli: Cli, cluster: rest.Cluster) -> Cli:
    """`copy("A", "B", ...)` gives the exit code and the document."""

    def run(*args: str, **more: Any) -> tuple[int, dict[str, Any]]:
        done = cli("collections", "copy", *args, "--json", **more)
        assert "Traceback" not in done.stderr, done.stderr
        return done.exit_code, json.loads(done.stdout)

    return run


def unfinished(root: Path) -> list[dict[str, Any]]:
    return journals.unfinished(root, "copy")


def test_a_copy_is_faithful(cluster: rest.Cluster, copy: Cli, cli: Cli, tmp_path: Path) -> None:
    make(cluster, "CopyRich")
    api.delete(cluster, "CopyRich2")
    code, found = copy("CopyRich", "CopyRich2")
    assert (code, found["ok"], found["objects"], found["failed"]) == (0, True, COUNT, [])
    assert found["references"] == references(cluster, "CopyRich") > 0
    assert found["source_count"] == found["target_count"] == COUNT
    assert not found["source_changed"]
    is_same(cluster, "CopyRich", "CopyRich2")
    beacon = next(
        each["properties"]["to"][0]["beacon"]
        for each in store.page(cluster, "CopyRich2", "", 1000, vectors=False).objects
        if each["properties"].get("to")
    )
    assert "/CopyRich2/" in beacon
    assert unfinished(tmp_path) == []
    assert not (tmp_path / ".daglab").exists()
    code, found = copy("CopyRich", "CopyRich2")
    assert (code, found["error"]["code"]) == (8, "taken")
    assert "--overwrite" in found["error"]["hint"]
    said = cli("collections", "copy", "CopyRich", "CopyRich3", "--schema-only")
    assert (said.exit_code, api.counts(cluster, ["CopyRich3"])) == (0, {"CopyRich3": 0})


def test_what_can_not_be_is_refused_before_anything_is_made(cluster: rest.Cluster, copy: Cli, tmp_path: Path) -> None:
    make_small(cluster, "CopyPlain", 3)
    before = set(api.schemas(cluster))
    for args, code, words in (
        (("CopyPlain", "copyPlain2"), 7, "CopyPlain2"),
        (("CopyPlain", "CopyPlain"), 2, "itself"),
        (("CopyPlian", "CopyOther"), 7, "CopyPlain"),
        (("CopyPlain", "Copy-Other"), 7, "Copy_Other"),
        (("CopyPlain", "CopyOther", "--limit", "5"), 2, "--dry-run"),
        (("CopyPlain", "CopyOther", "--target-auth", "env:X"), 2, "--target"),
    ):
        got, found = copy(*args)
        assert got == code, found
        assert words in found["error"]["message"] + found["error"]["hint"]
    assert set(api.schemas(cluster)) == before
    assert not (tmp_path / ".daglab").exists()


def test_references_to_what_the_target_lacks_are_named(cluster: rest.Cluster, copy: Cli, keyed_weaviate: Any) -> None:
    make_small(cluster, "CopyFar", 3)
    make_small(cluster, "CopyNear", 3)
    prop = {"name": "far", "dataType": ["CopyFar"]}
    rest.change(cluster, "POST", "schema/CopyNear/properties", "addProperty", prop)
    options = ("--target", keyed_weaviate.url, "--target-auth", "env:DAGLAB_KEY")
    env = {"DAGLAB_KEY": weaviates.KEY}
    code, found = copy("CopyNear", "CopyNear", *options, env=env)
    assert (code, "CopyFar" in found["error"]["message"]) == (7, True)
    keyed_weaviate.ask("DELETE", "schema/CopyFar")
    code, found = copy("CopyFar", "CopyFar", *options, env=env)
    assert (code, found["objects"]) == (0, 3)
    assert len(keyed_weaviate.ask("GET", "objects", **{"class": "CopyFar"})["objects"]) == 3
    keyed_weaviate.ask("DELETE", "schema/CopyFar")


def test_an_alias_is_no_destination(cluster: rest.Cluster, copy: Cli) -> None:
    if api.version(cluster) < (1, 32, 0):
        pytest.skip("aliases came with 1.32")
    make_small(cluster, "CopyNamed", 3)
    api.set_alias(cluster, "CopyAlias", "CopyNamed")
    code, found = copy("CopyNamed", "CopyAlias", "--overwrite", "--yes")
    assert (code, "alias" in found["error"]["message"]) == (7, True)


def test_tenants_are_copied_in_every_state(cluster: rest.Cluster, copy: Cli) -> None:
    api.delete(cluster, "CopyTenants")
    api.delete(cluster, "CopyTenants2")
    many = {"multiTenancyConfig": {"enabled": True}}
    api.create(cluster, {"class": "CopyTenants", "vectorizer": "none", "properties": [], **many})
    api.create_tenants(cluster, "CopyTenants", ["a", "b", "c"])
    for n, tenant in enumerate("abb"):
        one = {"class": "CopyTenants", "id": ids(3, 5)[n], "properties": {"n": n}, "tenant": tenant, "vector": [n, 1]}
        assert batches.write(cluster, [one], batches.pace(1, 10)) == []
    api.set_tenants(cluster, "CopyTenants", {"b": "INACTIVE"})
    code, found = copy("CopyTenants", "CopyTenants2")
    assert (code, found["objects"], found["target_count"]) == (0, 3, 3), found
    states = {"a": "ACTIVE", "b": "INACTIVE", "c": "ACTIVE"}
    assert api.tenants(cluster, "CopyTenants2") == api.tenants(cluster, "CopyTenants") == states
    sides = (transfers.Side(cluster, name) for name in ("CopyTenants", "CopyTenants2"))
    assert comparisons.compare(*sides).is_none


def test_objects_that_are_refused_are_listed(cluster: rest.Cluster, copy: Cli, cli: Cli, tmp_path: Path) -> None:
    found_ids = make_small(cluster, "CopyWide", 30)
    api.delete(cluster, "CopyWide2")
    script = tmp_path / "bad.py"
    script.write_text(
        "def transform(obj):\n"
        "    if obj['properties']['n'] in (3, 4):\n"
        "        obj['properties']['n'] = 'no number'\n"
        "    return obj\n"
    )
    code, found = copy("CopyWide", "CopyWide2", "--transform", str(script))
    assert (code, found["error"]["code"], found["failed_count"]) == (4, "not_good", 2)
    assert {each["id"] for each in found["failed"]} == {found_ids[3], found_ids[4]}
    assert all("n" in each["reason"] for each in found["failed"])
    api.delete(cluster, "CopyWide2")
    said = cli("collections", "copy", "CopyWide", "CopyWide2", "--transform", str(script))
    assert (said.exit_code, found_ids[3] in said.stderr) == (4, True)


def test_a_transform_changes_drops_and_keeps_references(cluster: rest.Cluster, copy: Cli, tmp_path: Path) -> None:
    make(cluster, "CopyFrom")
    api.delete(cluster, "CopyTo")
    script = tmp_path / "rename.py"
    script.write_text(
        "import os\n"
        "print('{\"objects\": []}')\n"
        "def transform_schema(schema):\n"
        "    for each in schema['properties']:\n"
        "        if each['name'] == 'n': each['name'] = 'number'\n"
        "    return schema\n"
        "def transform(obj):\n"
        "    assert set(obj) == {'id', 'properties', 'vector', 'vectors'}, set(obj)\n"
        "    obj['properties']['number'] = obj['properties'].pop('n')\n"
        "    if obj['properties']['number'] % 10 == 9: return None\n"
        "    if obj['vectors'].get('v'): obj['vectors']['v'][0] = 0.5\n"
        "    obj['properties']['p_text'] = ' '.join(sorted(k for k in os.environ if 'KEY' in k or 'TOKEN' in k))\n"
        "    return obj\n"
    )
    env = {"DAGLAB_SOME_TOKEN": "t", "DAGLAB_AUTH_TOKEN": "t", "DAGSTER_CLOUD_API_TOKEN": "t"}
    code, found = copy("CopyFrom", "CopyTo", "--transform", str(script), env=env)
    assert (code, found["objects"], found["dropped"]) == (0, COUNT * 9 // 10, COUNT // 10), found
    before = {each["id"]: each for each in store.page(cluster, "CopyFrom", "", 1000, vectors=True).objects}
    after = store.page(cluster, "CopyTo", "", 1000, vectors=True).objects
    for each in after:
        old = before[each["id"]]
        assert each["properties"]["number"] == old["properties"]["n"]
        assert each["properties"].get("p_text") in (None, "")
        assert each["properties"]["l_int" if "l_int" in old["properties"] else "number"] is not None
        assert len(each["properties"].get("to") or ()) == len(old["properties"].get("to") or ())
        vectors = old.get("vectors") or {}
        assert (each.get("vectors") or {}) == (
            {**vectors, "v": [0.5, *vectors["v"][1:]]} if "v" in vectors else vectors
        )


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("def transform(obj):\n    return obj['nothing']\n", 4, ["line 2", "KeyError", "object "]),
        ("def transform(obj):\n    return [obj]\n", 4, ["line 1", "a list"]),
        ("def transform(obj):\n    return {**obj, 'id': 'x'}\n", 4, ["keeps its id"]),
        ("def transform(obj):\n    return {**obj, 'properties': {'a': {1, 2}}}\n", 4, ["JSON"]),
        ("def transform(obj):\n    return {**obj, 'vector': [float('nan')]}\n", 4, ["finite"]),
        ("import os\ndef transform(obj):\n    print('the end')\n    os._exit(3)\n", 4, ["ended", "the end"]),
        ("import time\ndef transform(obj):\n    time.sleep(60)\n", 9, ["2 s"]),
        ("def other(obj):\n    return obj\n", 7, ["transform(obj)"]),
        ("def transform(\n", 7, ["SyntaxError", "line 1"]),
    ],
)
def test_what_is_wrong_with_a_transform_is_told(
    cluster: rest.Cluster, copy: Cli, tmp_path: Path, body: str, code: int, words: list[str]
) -> None:
    if not api.exists(cluster, "CopyBroken"):
        make_small(cluster, "CopyBroken", 5)
    api.delete(cluster, "CopyBroken2")
    (tmp_path / "t.py").write_text(body)
    env = {"DAGLAB_WEAVIATE__TIMEOUT": "2"} if code == 9 else {}
    got, found = copy("CopyBroken", "CopyBroken2", "--transform", "t.py", env=env)
    said = f"{found['error']['message']} {found['error']['hint']}"
    assert (got, [each for each in words if each not in said]) == (code, [])
    assert api.exists(cluster, "CopyBroken2") == bool(unfinished(tmp_path)) == (code in (4, 9))
    if code == 4:  # what was begun in another way is not mixed up
        (tmp_path / "t.py").write_text("def transform(obj):\n    return obj\n")
        got, found = copy("CopyBroken", "CopyBroken2", "--transform", "t.py")
        assert (got, "rm CopyBroken2" in found["error"]["hint"]) == (7, True)
        api.delete(cluster, "CopyBroken2")
        got, found = copy("CopyBroken", "CopyBroken2", "--transform", "t.py")
        assert (got, found["objects"], found["resumed"]) == (0, 5, False)


def test_a_dry_run_shows_before_and_after(cluster: rest.Cluster, copy: Cli, cli: Cli, tmp_path: Path) -> None:
    make_small(cluster, "CopyDry", 20)
    (tmp_path / "t.py").write_text(
        "def transform(obj):\n    obj['properties']['title'] = 'new'\n    return obj\n"
        "def transform_schema(schema):\n    schema['description'] = 'x'\n    return schema\n"
    )
    args = ("CopyDry", "CopyDry2", "--transform", "t.py", "--dry-run", "--limit", "5")
    code, found = copy(*args)
    assert (code, found["count"], len(found["samples"])) == (0, 20, 5)
    sample = found["samples"][0]
    assert sample["before"]["vector"] == sample["after"]["vector"] == 3
    assert (sample["before"]["properties"]["title"][:2], sample["after"]["properties"]["title"]) == ("t ", "new")
    assert found["schema_changes"]["config"] == ["description"]
    said = cli("collections", "copy", *args)
    assert '+     "title": "new"' in said.stdout
    assert not api.exists(cluster, "CopyDry2")
    assert not (tmp_path / ".daglab").exists()


def test_overwriting_replaces_and_aliases_stay(cluster: rest.Cluster, copy: Cli, cli: Cli, tmp_path: Path) -> None:
    make(cluster, "CopyNew", 60)
    make_small(cluster, "CopyOld", 7)
    aliased = api.version(cluster) >= (1, 32, 0)
    if aliased:
        api.set_alias(cluster, "CopyOldAlias", "CopyOld")
    before = set(api.schemas(cluster))
    asked = cli("collections", "copy", "CopyNew", "CopyOld", "--overwrite")
    assert (asked.exit_code, "--yes" in asked.stderr) == (2, True)
    env = {"DAGLAB_WEAVIATE__PROTECTED": "Copy*"}
    code, found = copy("CopyNew", "CopyOld", "--overwrite", "--yes", env=env)
    assert (code, "protected" in found["error"]["message"]) == (6, True)
    assert api.counts(cluster, ["CopyOld"]) == {"CopyOld": 7}
    code, found = copy("CopyNew", "CopyOld", "--overwrite", "--yes", "--unprotect", env=env)
    assert (code, found["objects"], found["replaced"]) == (0, 60, True), found
    is_same(cluster, "CopyNew", "CopyOld")
    assert set(api.schemas(cluster)) == before
    assert unfinished(tmp_path) == []
    if aliased:
        assert api.aliases(cluster)["CopyOldAlias"] == "CopyOld"


def test_a_failed_overwrite_leaves_the_old_one(cluster: rest.Cluster, copy: Cli, tmp_path: Path) -> None:
    make_small(cluster, "CopyNext", 30)
    kept = make_small(cluster, "CopyKept", 4)
    before = set(api.schemas(cluster))
    (tmp_path / "t.py").write_text("def transform(obj):\n    obj['properties']['n'] = 'x'\n    return obj\n")
    code, found = copy("CopyNext", "CopyKept", "--overwrite", "--yes", "--transform", "t.py")
    assert (code, found["failed_count"]) == (4, 30)
    assert set(api.schemas(cluster)) == before
    assert {each["id"] for each in store.page(cluster, "CopyKept", "", 10, vectors=False).objects} == set(kept)
    assert unfinished(tmp_path) == []


def begin(*args: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "daglab", "collections", "copy", *args]
    return subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_stage(root: Path, stage: str, process: subprocess.Popen[str]) -> None:
    """Wait until a copy has come so far, or to its end."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):  # it is over just then
            paths = root.glob(".daglab/collections/*/journal.jsonl")
            if any(f'"stage":"{stage}"' in path.read_text() for path in paths):
                return
        if process.poll() is not None:
            return
        time.sleep(0.002)
    raise AssertionError(f"never came to {stage}")


RARELY = pytest.mark.slow
KILLED = [(0, "objects"), (1, "references")]
KILLED += [pytest.param(seed, stage, marks=RARELY) for seed, stage in ((2, "options"), (3, "making"), (4, "made"))]


@pytest.mark.parametrize(("seed", "stage"), KILLED)
def test_a_killed_copy_goes_on(cluster: rest.Cluster, copy: Cli, tmp_path: Path, seed: int, stage: str) -> None:
    if not api.exists(cluster, "CopyKilled"):
        make(cluster, "CopyKilled", 400)
    api.delete(cluster, "CopyKilled2")
    process = begin("CopyKilled", "CopyKilled2")
    wait_for_stage(tmp_path, stage, process)
    time.sleep(random.Random(seed).random() * 0.1)
    process.kill()
    process.communicate()
    was_over = not unfinished(tmp_path)
    if was_over:
        api.delete(cluster, "CopyKilled2")
    code, found = copy("CopyKilled", "CopyKilled2")
    assert (code, found["objects"]) == (0, 400), json.dumps(found)[:1500]
    is_same(cluster, "CopyKilled", "CopyKilled2")
    assert unfinished(tmp_path) == []


@pytest.mark.parametrize("stage", tiers.few(["replacing", "remade", "objects", "verified", "kept"], ["replacing"]))
def test_a_killed_overwrite_goes_on(cluster: rest.Cluster, copy: Cli, tmp_path: Path, stage: str) -> None:
    if not api.exists(cluster, "CopyFresh"):
        make(cluster, "CopyFresh", 200)
    old = make_small(cluster, "CopyStale", 5)
    before = set(api.schemas(cluster))
    process = begin("CopyFresh", "CopyStale", "--overwrite", "--yes")
    wait_for_stage(tmp_path, stage, process)
    process.kill()
    process.communicate()
    if unfinished(tmp_path):
        there = [each for each in api.schemas(cluster) if each.startswith("CopyStale")]
        counts = api.counts(cluster, there)
        assert any(count in (len(old), 200) for count in counts.values()), counts
        code, found = copy("CopyFresh", "CopyStale", "--overwrite", "--yes")
        assert (code, found["replaced"]) == (0, True), found
    is_same(cluster, "CopyFresh", "CopyStale")
    assert set(api.schemas(cluster)) == before
    assert unfinished(tmp_path) == []


# After two pages of 20 and 40 objects it waits, for as long as there is a file of this name beside it.
HELD = """\
import pathlib, time
held, seen = pathlib.Path(__file__).with_name("held"), []

def transform(obj):
    seen.append(obj)
    while len(seen) > 60 and held.exists():
        time.sleep(0.01)
    return obj
"""


def test_two_at_once_and_a_stop(cluster: rest.Cluster, copy: Cli, tmp_path: Path) -> None:
    make_small(cluster, "CopyTwice", 300)
    api.delete(cluster, "CopyTwice2")
    (tmp_path / "held.py").write_text(HELD)
    (tmp_path / "held").touch()
    process = begin("CopyTwice", "CopyTwice2", "--transform", "held.py")
    wait_for_stage(tmp_path, "objects", process)
    code, found = copy("CopyTwice", "CopyTwice2", "--transform", "held.py")
    assert (code, found["error"]["code"]) == (8, "taken")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert (process.returncode, "same command goes on" in said) == (130, True)
    (tmp_path / "held").unlink()
    (tmp_path / "held.py").write_text(HELD + "# changed")
    code, found = copy("CopyTwice", "CopyTwice2", "--transform", "held.py")
    assert (code, "--transform" in found["error"]["message"]) == (7, True)
    (tmp_path / "held.py").write_text(HELD)
    code, found = copy("CopyTwice", "CopyTwice2", "--transform", "held.py")
    assert (code, found["objects"], found["resumed"]) == (0, 300, True)
    is_same(cluster, "CopyTwice", "CopyTwice2")


@pytest.mark.slow
def test_what_was_deleted_meanwhile_begins_anew(cluster: rest.Cluster, copy: Cli, tmp_path: Path) -> None:
    make_small(cluster, "CopyGone", 300)
    api.delete(cluster, "CopyGone2")
    (tmp_path / "held.py").write_text(HELD)
    (tmp_path / "held").touch()
    process = begin("CopyGone", "CopyGone2", "--transform", "held.py")
    wait_for_stage(tmp_path, "objects", process)
    process.kill()
    process.communicate()
    other, found = copy("CopyTwice", "CopyGone2")
    assert (other, found["error"]["code"]) == (8, "taken")
    api.delete(cluster, "CopyGone2")
    code, found = copy("CopyGone", "CopyGone2")
    assert (code, found["objects"], found["resumed"]) == (0, 300, False)
    is_same(cluster, "CopyGone", "CopyGone2")


def make_replacing(cluster: rest.Cluster, source: str, target: str, root: Path) -> str:
    """A copy that was killed once it had begun to replace its target; the name of the collection beside."""
    make_small(cluster, source, 40)
    make_small(cluster, target, 5)
    for name in (each for each in api.schemas(cluster) if each.startswith(f"{target}_daglab")):
        api.delete(cluster, name)
    process = begin(source, target, "--overwrite", "--yes")
    wait_for_stage(root, "verified", process)
    process.kill()
    process.communicate()
    [work] = unfinished(root)
    journal = journals.Journal(Path(work["folder"]), work, journals.lines_of(Path(work["folder"])))
    if journal.last("replacing") is None:
        journal.note("replacing", aliases=[])
    api.delete(cluster, target)
    return str((journal.last("options") or {})["into"])


@pytest.mark.slow
def test_a_source_that_is_gone_does_not_stop_the_replacing(
    cluster: rest.Cluster, copy: Cli, cli: Cli, tmp_path: Path
) -> None:
    beside = make_replacing(cluster, "CopyLeft", "CopyPlace", tmp_path)
    there = [each["id"] for each in store.page(cluster, "CopyLeft", "", 100, vectors=False).objects]
    (tmp_path / "t.py").write_text("def transform(obj):\n    return obj\n")
    code, found = copy("CopyLeft", "CopyPlace", "--overwrite", "--yes", "--transform", "t.py")
    assert (code, f" rm {beside}" in found["error"]["hint"], beside in found["error"]["hint"]) == (7, False, True)
    api.delete(cluster, "CopyLeft")
    fixed = cli("collections", "health", "CopyPlace", "--fix", "--yes", "--json")
    assert len(unfinished(tmp_path)) == 1, fixed.stdout
    cli("collections", "health", "--fix", "--yes", "--json")
    assert len(unfinished(tmp_path)) == 1
    code, found = copy("CopyLeft", "CopyPlace", "--overwrite", "--yes")
    assert (code, found["replaced"], found["objects"]) == (0, True, 40), found
    assert [each["id"] for each in store.page(cluster, "CopyPlace", "", 100, vectors=False).objects] == there
    assert (api.exists(cluster, beside), unfinished(tmp_path)) == (False, [])
    code, found = copy("CopyLeft", "CopyPlace", "--overwrite", "--yes")
    assert (code, found["error"]["code"]) == (7, "missing")


def test_what_lies_beside_without_a_journal_is_named(cluster: rest.Cluster, copy: Cli, tmp_path: Path) -> None:
    beside = make_replacing(cluster, "CopyLost", "CopyLostPlace", tmp_path)
    [work] = unfinished(tmp_path)
    shutil.rmtree(work["folder"])
    code, found = copy("CopyLost", "CopyLostPlace", "--overwrite", "--yes")
    assert (code, beside in found["error"]["message"]) == (7, True)
    assert api.counts(cluster, [beside]) == {beside: 40}
    assert not api.exists(cluster, "CopyLostPlace")


@pytest.mark.parametrize("source", ["CopyWoken", "CopyOther"])
def test_tenants_of_a_copy_that_begins_anew_are_put_back(
    cluster: rest.Cluster, copy: Cli, tmp_path: Path, source: str
) -> None:
    for name in ("CopyWoken", "CopyWoken2", "CopyOther"):
        api.delete(cluster, name)
    make_small(cluster, "CopyOther", 1)
    many = {"multiTenancyConfig": {"enabled": True}}
    api.create(cluster, {"class": "CopyWoken", "vectorizer": "none", "properties": [], **many})
    api.create_tenants(cluster, "CopyWoken", ["a", "b"])
    one = {"class": "CopyWoken", "id": ids(1, 5)[0], "tenant": "b", "properties": {}, "vector": [1, 2]}
    assert batches.write(cluster, [one], batches.pace(1, 10)) == []
    api.set_tenants(cluster, "CopyWoken", {"b": "INACTIVE"})
    (tmp_path / "slow.py").write_text("import time\ndef transform(obj):\n    time.sleep(60)\n")
    process = begin("CopyWoken", "CopyWoken2", "--transform", "slow.py")
    wait_for_stage(tmp_path, "activated", process)
    while api.tenant(cluster, "CopyWoken", "b") != "ACTIVE":
        assert process.poll() is None
    process.kill()
    process.communicate()
    api.delete(cluster, "CopyWoken2")
    code, found = copy(source, "CopyWoken2")
    assert (code, found["objects"]) == (0, 1), found
    assert api.tenants(cluster, "CopyWoken") == {"a": "ACTIVE", "b": "INACTIVE"}
    if source == "CopyWoken":
        assert api.tenants(cluster, "CopyWoken2") == {"a": "ACTIVE", "b": "INACTIVE"}


def test_a_copy_killed_while_it_counts_leaves_no_tenant_awake(
    cluster: rest.Cluster, copy: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {"multiTenancyConfig": {"enabled": True}}
    api.create(cluster, {"class": "CopyCounted", "vectorizer": "none", "properties": [], **many})
    api.create_tenants(cluster, "CopyCounted", ["a"])
    one = {"class": "CopyCounted", "id": ids(1, 5)[0], "tenant": "a", "properties": {}, "vector": [1, 2]}
    assert batches.write(cluster, [one], batches.pace(1, 10)) == []
    api.set_tenants(cluster, "CopyCounted", {"a": "INACTIVE"})
    work = copies.Copy(
        transfers.Side(cluster, "CopyCounted"),
        transfers.Side(cluster, "CopyCounted2"),
        schemas.portable(api.schema(cluster, "CopyCounted"), "CopyCounted2"),
    )
    real, woken = tenants.activate, []

    def killed(cluster: rest.Cluster, name: str, tenant: str) -> None:
        real(cluster, name, tenant)
        woken.append(name)
        if woken == ["CopyCounted", "CopyCounted"]:  # for its objects, then to count them
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, journals.opened(tmp_path, work.work) as journal:
        patched.setattr(tenants, "activate", killed)
        copies.begin(work, journal, config.load())
        with pytest.raises(KeyboardInterrupt):
            steps.run(work, journal, batches.pace(10, 100), progress.shown, copies.Outcome())
        assert journals.owed(journal.lines) == {"a": "INACTIVE"}
    assert api.tenants(cluster, "CopyCounted") == {"a": "ACTIVE"}
    code, found = copy("CopyCounted", "CopyCounted2")
    assert (code, found["objects"], found["source_changed"]) == (0, 1, False), found
    for name in ("CopyCounted", "CopyCounted2"):
        assert api.tenants(cluster, name) == {"a": "INACTIVE"}


@pytest.mark.slow
def test_who_makes_the_destination_first_has_it(cluster: rest.Cluster, copy: Cli, tmp_path: Path) -> None:
    make_small(cluster, "CopyLate", 5)
    api.delete(cluster, "CopyFirst")
    sides = (transfers.Side(cluster, name) for name in ("CopyLate", "CopyFirst"))
    late = copies.Copy(*sides, schemas.portable(api.schema(cluster, "CopyLate"), "CopyFirst"))
    with journals.opened(tmp_path, late.work) as journal:
        assert copies.begin(late, journal, config.load()) is False
        made = make_small(cluster, "CopyFirst", 3)  # by somebody else, after it was looked for
        with pytest.raises(rest.Refused):
            steps.run(late, journal, batches.pace(10, 100), progress.shown, copies.Outcome())
    assert not journals.is_there(tmp_path, late.work), "a next try would take it for its own where it is empty"
    there = [each["id"] for each in store.page(cluster, "CopyFirst", "", 10, vectors=False).objects]
    assert there == sorted(made)
    code, found = copy("CopyLate", "CopyFirst")
    assert (code, unfinished(tmp_path)) == (8, []), found

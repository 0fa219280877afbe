"""Collections kept in files and brought back, on a real Weaviate, by the real command line."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import errors
from daglab.settings import config
from daglab.weaviate import api, batches, clusters, comparisons, journals, rest, store, tenants, transfers
from daglab.weaviate.keeping import archive_lines, archives, revivals
from tests import weaviates

Cli = Callable[..., Any]
PRIMITIVE = ["text", "int", "number", "boolean", "date", "uuid"]
NESTED = [
    {"name": "a", "dataType": ["text"]},
    {"name": "n", "dataType": ["int[]"]},
    {"name": "deep", "dataType": ["object"], "nestedProperties": [{"name": "d", "dataType": ["date"]}]},
]
VALUES: dict[str, Any] = {
    "text": 'héllo \u2028 " \\ 😀\n',
    "int": 9007199254740993,
    "number": 0.1,
    "boolean": False,
    "date": "2024-02-29T23:59:59.123456789+05:30",
    "uuid": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "blob": "aGVsbG8=",
    "geoCoordinates": {"latitude": 52.3, "longitude": -4.9},
    "phoneNumber": {"input": "020 1234567", "defaultCountry": "nl"},
    "texts": ["a", ""],
    "ints": [1, -(2**40)],
    "numbers": [1e-300, 1.5e300],
    "booleans": [True, False],
    "dates": ["2020-01-01T00:00:00Z"],
    "uuids": ["3f2504e0-4f89-41d3-9a0c-0305e82c3301"],
    "object": {"a": "x", "n": [1, 2], "deep": {"d": "2020-01-01T00:00:00Z"}},
    "objects": [{"a": "y"}, {"n": [3]}],
}


@pytest.fixture
def cluster(weaviate: weaviates.Server) -> rest.Cluster:
    return clusters.connect(config.load(), weaviate.url)


@pytest.fixture
def run(cli: Cli, weaviate: weaviates.Server) -> Callable[..., Any]:
    """`daglab collections ...` on the server: the exit code, and the document."""

    def run(*args: str, **more: Any) -> tuple[int, dict[str, Any]]:
        done = cli("collections", *args, "--cluster", weaviate.url, "--json", **more)
        assert "Traceback" not in done.stderr, done.stderr
        return done.exit_code, json.loads(done.stdout)

    return run


def ids(made: random.Random, number: int) -> list[str]:
    return [str(uuid.UUID(int=made.getrandbits(128), version=4)) for _ in range(number)]


def make_rich(cluster: rest.Cluster, name: str, number: int = 60) -> list[str]:
    """A collection of every data type with named and multi-vectors, references to itself and to another one."""
    made, other = random.Random(name), f"{name}Other"
    api.create(cluster, {"class": other, "vectorizer": "none"})
    kinds = [*PRIMITIVE, "blob", "geoCoordinates", "phoneNumber"]
    properties: list[dict[str, Any]] = [{"name": kind, "dataType": [kind]} for kind in kinds]
    properties += [{"name": f"{kind}s", "dataType": [f"{kind}[]"]} for kind in PRIMITIVE]
    properties += [{"name": "object", "dataType": ["object"], "nestedProperties": NESTED}]
    properties += [{"name": "objects", "dataType": ["object[]"], "nestedProperties": NESTED}]
    plain = {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw"}
    many = {**plain, "vectorIndexConfig": {"multivector": {"enabled": True}}}
    vectors = {"one": plain, "two": {**plain, "vectorIndexType": "flat"}, "many": many}
    api.create(cluster, {"class": name, "properties": properties, "vectorConfig": vectors})
    reference = {"name": "ref", "dataType": [other, name]}
    rest.change(cluster, "POST", f"schema/{name}/properties", "addProperty", reference)
    there, others, found = ids(made, number), ids(made, 10), []
    for place, each in enumerate(there):
        some = {key: value for key, value in VALUES.items() if place == 0 or made.random() < 0.6}
        item: dict[str, Any] = {"class": name, "id": each, "properties": some, "vectors": {}}
        if place % 3:
            item["vectors"]["one"] = [made.gauss(0, 1) for _ in range(8)]
        if place % 4:
            item["vectors"]["two"] = [made.gauss(0, 1) for _ in range(4)]
        if place % 5:
            item["vectors"]["many"] = [[made.gauss(0, 1) for _ in range(3)] for _ in range(made.randint(1, 4))]
        found.append(item)
    pace = batches.pace(10, 1000)
    assert batches.write(cluster, found, pace) == []
    assert batches.write(cluster, [{"class": other, "id": each} for each in others], pace) == []
    references = [
        {
            "from": f"weaviate://localhost/{name}/{each}/ref",
            "to": f"weaviate://localhost/{kind}/{made.choice(targets)}",
        }
        for each in there
        for kind, targets in made.choices([(name, there), (other, others)], k=made.randint(0, 3))
    ]
    assert set(store.put_references(cluster, references)) == {None}
    return there


def make_plain(cluster: rest.Cluster, name: str, number: int) -> None:
    """Small objects with a vector, half of which refer to another one."""
    made = random.Random(name)
    api.create(cluster, {"class": name, "vectorizer": "none", "properties": [{"name": "n", "dataType": ["int"]}]})
    rest.change(cluster, "POST", f"schema/{name}/properties", "addProperty", {"name": "next", "dataType": [name]})
    there = ids(made, number)
    found = [
        {"class": name, "id": each, "properties": {"n": place}, "vector": [made.gauss(0, 1), 1.0]}
        for place, each in enumerate(there)
    ]
    assert batches.write(cluster, found, batches.pace(100, 1000)) == []
    begin = f"weaviate://localhost/{name}"
    pairs = [{"from": f"{begin}/{each}/next", "to": f"{begin}/{made.choice(there)}"} for each in there[::2]]
    for start in range(0, len(pairs), 1000):
        assert set(store.put_references(cluster, pairs[start : start + 1000])) == {None}


def make_tenants(cluster: rest.Cluster, name: str) -> dict[str, int]:
    """Tenants that are active, not active, and empty; each with objects of the same ids."""
    made = random.Random(name)
    reference = {"name": "ref", "dataType": [name]}
    api.create(cluster, {"class": name, "vectorizer": "none", "multiTenancyConfig": {"enabled": True}})
    rest.change(cluster, "POST", f"schema/{name}/properties", "addProperty", reference)
    sizes = {"a-1": 30, "b_2": 40, "c3": 0, "d4": 20, "e5": 0}
    api.create_tenants(cluster, name, sizes)
    there = ids(made, 40)
    for tenant, number in sizes.items():
        found = [
            {"class": name, "id": each, "tenant": tenant, "properties": {"t": tenant}, "vector": [made.random(), 1]}
            for each in there[:number]
        ]
        assert batches.write(cluster, found, batches.pace(10, 1000)) == []
        begin = f"weaviate://localhost/{name}"
        pairs = [
            {"from": f"{begin}/{each}/ref", "to": f"{begin}/{there[0]}", "tenant": tenant} for each in there[:number]
        ]
        assert not pairs or set(store.put_references(cluster, pairs)) == {None}
    api.set_tenants(cluster, name, {"b_2": "INACTIVE", "e5": "INACTIVE"})
    return sizes


def hashes(server: weaviates.Server, name: str, *tenants: str) -> dict[tuple[str | None, str], str]:
    """What a collection holds, read past daglab by its own paging: what each object is but its times."""
    found = {}
    for tenant in tenants or (None,):
        after = ""
        query = {"tenant": tenant} if tenant else {}
        while page := server.ask(
            "GET", "objects", None, limit=500, after=after, include="vector", **query, **{"class": name}
        )["objects"]:
            for each in page:
                kept = {key: each.get(key) for key in ("properties", "vector", "vectors")}
                for prop in kept["properties"].values():
                    if isinstance(prop, list) and prop and isinstance(prop[0], dict) and "beacon" in prop[0]:
                        prop.sort(key=lambda one: str(one["beacon"]))
                found[tenant, each["id"]] = json.dumps(kept, sort_keys=True)
            after = page[-1]["id"]
    return found


def test_every_kind_comes_back(
    cluster: rest.Cluster, weaviate: weaviates.Server, run: Callable[..., Any], tmp_path: Path
) -> None:
    make_rich(cluster, "KeptRich")
    before = hashes(weaviate, "KeptRich")
    schema = api.schema(cluster, "KeptRich")
    code, written = run("backup", "KeptRich", "--output", "kept.jsonl.gz")
    assert code == 0
    assert written["objects"] == 60
    assert written["changed_meanwhile"] == []
    assert written["file"] == str(tmp_path / "kept.jsonl.gz")
    assert os.listdir(tmp_path) == ["kept.jsonl.gz"], "neither a part nor a journal is left"
    api.delete(cluster, "KeptRich")
    code, found = run("restore", "kept.jsonl.gz")
    assert code == 0
    assert found["verified"] == {"same": 60, "missing": 0, "extra": 0, "changed": 0}
    assert found["settings"] == []
    assert hashes(weaviate, "KeptRich") == before
    assert api.schema(cluster, "KeptRich") == schema
    code, found = run("restore", "kept.jsonl.gz", "--as", "KeptRichTwo")
    assert code == 0
    sides = [transfers.Side(cluster, name) for name in ("KeptRich", "KeptRichTwo")]
    assert comparisons.compare(*sides).is_none
    text = json.dumps(list(hashes(weaviate, "KeptRichTwo").values()))
    assert "localhost/KeptRichTwo/" in text
    assert "localhost/KeptRich/" not in text


def test_tenants_come_back_in_their_states(
    cluster: rest.Cluster, weaviate: weaviates.Server, run: Callable[..., Any]
) -> None:
    sizes = make_tenants(cluster, "KeptTenants")
    states = api.tenants(cluster, "KeptTenants")
    assert sorted(states.values()) == ["ACTIVE", "ACTIVE", "ACTIVE", "INACTIVE", "INACTIVE"]
    code, written = run("backup", "KeptTenants", "--output", "tenants.gz")
    assert (code, written["objects"], written["tenants"]) == (0, 90, 5)
    assert written["changed_meanwhile"] == []
    assert api.tenants(cluster, "KeptTenants") == states
    api.set_tenants(cluster, "KeptTenants", dict.fromkeys(states, "ACTIVE"))
    before = hashes(weaviate, "KeptTenants", *sizes)
    assert len(before) == 90
    api.delete(cluster, "KeptTenants")
    code, found = run("restore", "tenants.gz")
    assert (code, found["verified"]["same"], found["references"]) == (0, 90, 90)
    assert api.tenants(cluster, "KeptTenants") == states
    api.set_tenants(cluster, "KeptTenants", dict.fromkeys(states, "ACTIVE"))
    assert hashes(weaviate, "KeptTenants", *sizes) == before


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "daglab", "collections", *args]


def kill_at(lines: int, pause: float, *args: str) -> bool:
    """Run a command, and kill it once its journal has so many lines and a moment later; whether it was still there."""
    with subprocess.Popen(command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            journal = next(Path.cwd().glob(f"{journals.FOLDER}/*/{journals.NAME}"), None)
            if journal and len(journal.read_bytes().splitlines()) >= lines:
                time.sleep(pause)
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        return process.wait() == -signal.SIGKILL


def objects_in(path: Path) -> list[dict[str, Any]]:
    return [each for each, _ in archive_lines.found_in(path)]


def test_a_killed_backup_goes_on(
    cluster: rest.Cluster, weaviate: weaviates.Server, run: Callable[..., Any], tmp_path: Path
) -> None:
    make_plain(cluster, "KilledBackup", 2000)
    assert run("backup", "KilledBackup", "--output", "whole.gz")[0] == 0
    whole = objects_in(tmp_path / "whole.gz")
    assert len(whole) == 2000
    for seed in range(2):
        made, killed, path = random.Random(seed), 0, f"part{seed}.gz"
        args = ("backup", "KilledBackup", "--output", path, "--cluster", weaviate.url)
        for _ in range(3):
            killed += kill_at(made.randint(2, 7), made.random() * 0.05, *args)
            if not (tmp_path / journals.FOLDER).exists():
                break
        if (tmp_path / path).exists() and not (tmp_path / journals.FOLDER).exists():
            continue
        code, found = run("backup", "KilledBackup", "--output", path)
        assert code == 0
        assert killed
        assert found["changed_meanwhile"] == []
        assert objects_in(tmp_path / path) == whole
        assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_a_killed_restore_goes_on(
    cluster: rest.Cluster, weaviate: weaviates.Server, run: Callable[..., Any], tmp_path: Path
) -> None:
    make_plain(cluster, "KilledRestore", 3000)
    assert run("backup", "KilledRestore", "--output", "whole.gz")[0] == 0
    before, resumed = hashes(weaviate, "KilledRestore"), 0
    for seed in range(2):
        api.delete(cluster, "KilledRestore")
        made = random.Random(seed)
        for _ in range(3):
            lines, pause = made.randint(2, 18), made.random() * 0.1
            if not kill_at(lines, pause, "restore", "whole.gz", "--cluster", weaviate.url):
                break
        if not (tmp_path / journals.FOLDER).exists():
            assert hashes(weaviate, "KilledRestore") == before
            continue
        code, found = run("restore", "whole.gz")
        assert code == 0, json.dumps({k: v for k, v in found.items() if k != "failed"}) + str(found.get("failed"))[:600]
        resumed += found["resumed"]
        assert hashes(weaviate, "KilledRestore") == before, f"seed {seed}"
        assert not list(tmp_path.glob(".*"))
    assert resumed


def test_references_that_may_have_been_written_are_there_once(
    cluster: rest.Cluster,
    weaviate: weaviates.Server,
    run: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also those to what is not there, and those of the portions before."""
    make_plain(cluster, "InDoubt", 1200)
    one = sorted(hashes(weaviate, "InDoubt"))[700]  # of the second portion
    begin = "weaviate://localhost/InDoubt"
    dangling = {"from": f"{begin}/{one[1]}/next", "to": f"{begin}/{uuid.UUID(int=9)}"}
    assert store.put_references(cluster, [dangling]) == [None]
    before = hashes(weaviate, "InDoubt")
    assert run("backup", "InDoubt", "--output", "doubt.gz")[0] == 0
    api.delete(cluster, "InDoubt")
    real, calls = transfers.write_references, []

    def lost(*args: Any, **kwargs: Any) -> Any:
        calls.append(real(*args, **kwargs))
        if len(calls) == 2:
            raise errors.Unreachable("The answer is lost.", "Try again.")
        return calls[-1]

    with monkeypatch.context() as patched:
        patched.setattr(transfers, "write_references", lost)
        plan = revivals.planned(tmp_path / "doubt.gz")
        with pytest.raises(errors.Unreachable):
            revivals.restore(cluster, plan, batches.pace(10, 1000), root=tmp_path, tell=lambda *_: None)
    code, found = run("restore", "doubt.gz")
    assert (code, found["resumed"], found["references"], found["failed"]) == (0, True, 601, [])
    assert hashes(weaviate, "InDoubt") == before


def test_a_restore_ends_where_most_objects_are_refused(
    cluster: rest.Cluster, run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_plain(cluster, "MostRefused", 600)
    assert run("backup", "MostRefused", "--output", "refused.gz")[0] == 0
    api.delete(cluster, "MostRefused")
    monkeypatch.setattr(transfers, "MANY_FAILED", 50)
    sent: list[str] = []

    def refused(cluster: rest.Cluster, found: list[dict[str, Any]], pace: batches.Pace) -> list[batches.Failure]:
        sent.extend(each["id"] for each in found)
        return [batches.Failure(each["id"], "shard is read-only") for each in found]

    monkeypatch.setattr(batches, "write", refused)
    plan = revivals.planned(tmp_path / "refused.gz")
    with pytest.raises(transfers.TooManyFailed, match="read-only"):
        revivals.restore(cluster, plan, batches.pace(10, 1000), root=tmp_path, tell=lambda *_: None)
    assert len(sent) == revivals.PORTION


def test_a_killed_backup_puts_its_tenant_back(
    cluster: rest.Cluster, weaviate: weaviates.Server, run: Callable[..., Any], tmp_path: Path
) -> None:
    make_tenants(cluster, "KilledTenants")
    states = api.tenants(cluster, "KilledTenants")
    assert run("backup", "KilledTenants", "--output", "whole.gz")[0] == 0
    for lines in range(3, 7):
        args = ("backup", "KilledTenants", "--output", f"{lines}.gz", "--cluster", weaviate.url)
        if kill_at(lines, 0.0, *args):
            assert run("backup", "KilledTenants", "--output", f"{lines}.gz")[0] == 0
        assert objects_in(tmp_path / f"{lines}.gz") == objects_in(tmp_path / "whole.gz")
        assert api.tenants(cluster, "KilledTenants") == states


def test_tenants_that_are_deleted_meanwhile_are_told(cluster: rest.Cluster, tmp_path: Path) -> None:
    """One that is being read, another whose turn is to come, a third that is not active."""
    make_tenants(cluster, "GoneTenants")
    gone: list[str] = []

    def delete(_: int) -> None:
        if not gone:
            gone.extend(["a-1", "b_2", "d4"])
            api.delete_tenants(cluster, "GoneTenants", gone)

    written = archives.write(cluster, "GoneTenants", tmp_path / "gone.gz", root=tmp_path, tell=delete)
    told = [re.sub(r"\d+ of its", "N of its", each) for each in written.changed]
    assert told == [f"the tenant {each} was deleted; N of its objects are in the file" for each in ("a-1", "b_2", "d4")]
    assert {each["tenant"] for each in objects_in(tmp_path / "gone.gz")} == {"a-1"}
    assert revivals.planned(tmp_path / "gone.gz").end.objects == written.objects
    assert set(api.tenants(cluster, "GoneTenants")) == {"c3", "e5"}


def test_a_backup_that_begins_anew_knows_the_tenants_that_were_woken(
    cluster: rest.Cluster, run: Callable[..., Any], tmp_path: Path
) -> None:
    make_tenants(cluster, "WokenTenants")
    states = api.tenants(cluster, "WokenTenants")
    work = {"kind": "backup", "collection": "WokenTenants", "source": cluster.url, "output": str(tmp_path / "w.gz")}
    real, woken = tenants.activate, []

    def killed(cluster: rest.Cluster, name: str, tenant: str) -> None:
        real(cluster, name, tenant)
        woken.append(tenant)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(tenants, "activate", killed)
        archives.write(cluster, "WokenTenants", tmp_path / "w.gz", root=tmp_path)
    assert (woken, api.tenants(cluster, "WokenTenants")["b_2"]) == (["b_2"], "ACTIVE")
    with journals.opened(tmp_path, work) as journal:
        assert journals.owed(journal.lines) == {"b_2": "INACTIVE"}
    rest.change(cluster, "POST", "schema/WokenTenants/properties", "addProperty", {"name": "x", "dataType": ["int"]})
    code, found = run("backup", "WokenTenants", "--output", "w.gz")
    assert (code, found["resumed"]) == (0, False)
    assert api.tenants(cluster, "WokenTenants") == states
    assert archive_lines.read_head(tmp_path / "w.gz").tenants == states


@pytest.mark.long
def test_what_is_damaged_is_refused_before_anything_is_sent(
    cluster: rest.Cluster, run: Callable[..., Any], tmp_path: Path
) -> None:
    make_plain(cluster, "Damaged", 200)
    assert run("backup", "Damaged", "--output", "good.gz")[0] == 0
    good = (tmp_path / "good.gz").read_bytes()
    there = api.schemas(cluster)
    bad = tmp_path / "bad.gz"
    made = random.Random(5)
    for content in (
        good[: len(good) // 2],
        good + b"\0",
        good + good,
        good.replace(b'"objects":200', b'"objects":201'),
        _flipped(good, made.randrange(len(good)), 1 << made.randrange(8)),
    ):
        bad.write_bytes(content)
        code, found = run("restore", "bad.gz", "--as", "DamagedTwo")
        assert (code, found["error"]["code"]) == (7, "broken_backup")
    assert api.schemas(cluster) == there
    assert not (tmp_path / ".daglab").exists()
    for place in [*range(12), *range(len(good) - 160, len(good)), *(made.randrange(len(good)) for _ in range(600))]:
        bad.write_bytes(_flipped(good, place, 1 << made.randrange(8)))
        with pytest.raises(archive_lines.Broken):
            archive_lines.check(bad)


def _flipped(content: bytes, place: int, bits: int) -> bytes:
    return content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :]


def test_what_the_server_refuses_is_listed(cluster: rest.Cluster, run: Callable[..., Any], tmp_path: Path) -> None:
    """Two vectors of other lengths than the first: a file by hand, whole, and not what the server takes."""
    api.create(cluster, {"class": "Refusing", "vectorizer": "none", "properties": [{"name": "n", "dataType": ["int"]}]})
    schema = api.schema(cluster, "Refusing")
    api.delete(cluster, "Refusing")
    head = archive_lines.Head("Refusing", schema, None, "1.30.0", "0", "2026-11-22T00:00:00+00:00")
    some = [
        {"class": "Refusing", "id": each, "properties": {"n": "x" if place in (3, 4) else place}, "vector": [1.0, 2.0]}
        for place, each in enumerate(sorted(ids(random.Random(1), 20)))
    ]
    _write(tmp_path / "refused.gz", head, some)
    code, found = run("restore", "refused.gz")
    assert (code, found["error"]["code"]) == (4, "not_good")
    assert [each["id"] for each in found["failed"]] == [some[3]["id"], some[4]["id"]]
    assert (found["objects"], found["verified"]["missing"]) == (18, 2)


def _write(path: Path, head: archive_lines.Head, found: list[dict[str, Any]]) -> None:
    chain, content = archive_lines.START, b""
    for member in (archive_lines.head_member(head), archive_lines.member(found)):
        chain, content = archive_lines.summed(chain, member), content + member
    path.write_bytes(content + archive_lines.end_member(archive_lines.End(len(found), chain.hex())))


def test_a_full_disk_keeps_what_is_written(
    cluster: rest.Cluster, weaviate: weaviates.Server, run: Callable[..., Any], tmp_path: Path
) -> None:
    make_plain(cluster, "FullDisk", 3000)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    args = command("backup", "FullDisk", "--output", "full.gz", "--cluster", weaviate.url, "--json")
    done = subprocess.run(args, preexec_fn=limit, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert (done.returncode, found["error"]["code"]) == (7, "invalid_input")
    assert "goes on" in found["error"]["hint"]
    assert (tmp_path / ".full.gz.part").exists()
    assert not (tmp_path / "full.gz").exists()
    code, written = run("backup", "FullDisk", "--output", "full.gz")
    assert (code, written["resumed"], written["objects"]) == (0, True, 3000)
    assert archive_lines.check(tmp_path / "full.gz")[1].objects == 3000


def test_two_at_once(
    cluster: rest.Cluster, run: Callable[..., Any], tmp_path: Path, weaviate: weaviates.Server
) -> None:
    make_plain(cluster, "AtOnce", 20)
    schema = {"kind": "backup", "collection": "AtOnce", "source": weaviate.url, "output": str(tmp_path / "one.gz")}
    with journals.opened(tmp_path, schema):
        code, found = run("backup", "AtOnce", "--output", "one.gz")
    assert (code, found["error"]["code"]) == (8, "taken")
    code, _ = run("backup", "AtOnce", "--output", "one.gz")
    assert code == 0
    code, found = run("backup", "AtOnce", "--output", "one.gz")
    assert (code, found["error"]["code"]) == (8, "taken")
    assert not (tmp_path / journals.FOLDER).exists()
    code, found = run("backup", "AtOnce", "--output", "one.gz", "--force")
    assert (code, found["objects"]) == (0, 20)
    code, found = run("restore", "one.gz", "--yes")
    assert (code, found["error"]["code"]) == (8, "taken")
    assert not (tmp_path / journals.FOLDER).exists()


def test_what_it_refers_to_has_to_be_there(cluster: rest.Cluster, run: Callable[..., Any], tmp_path: Path) -> None:
    make_rich(cluster, "Referring", 10)
    assert run("backup", "Referring", "--output", "r.gz")[0] == 0
    api.delete(cluster, "Referring")
    api.delete(cluster, "ReferringOther")
    code, found = run("restore", "r.gz", "--dry-run")
    assert code == 7
    assert "ReferringOther" in found["error"]["message"]
    api.create(cluster, {"class": "ReferringOther", "vectorizer": "none"})
    code, found = run("restore", "r.gz", "--dry-run")
    assert (code, found["dry_run"], found["backup"]["objects"]) == (0, True, 10)
    assert "Referring" not in api.schemas(cluster)
    assert not (tmp_path / ".daglab").exists()


def test_the_default_name_and_a_person(
    cli: Cli, cluster: rest.Cluster, weaviate: weaviates.Server, tmp_path: Path
) -> None:
    make_plain(cluster, "Defaulted", 20)
    done = cli("collections", "backup", "Defaulted", "--cluster", weaviate.url)
    assert done.exit_code == 0
    [path] = tmp_path.glob("Defaulted-*.jsonl.gz")
    assert done.stdout.strip() == str(path)
    done = cli("collections", "restore", path.name, "--as", "DefaultedTwo", "--cluster", weaviate.url)
    assert "20 objects of DefaultedTwo are restored, 20 as in the file." in done.stdout
    lines = zlib.decompress(path.read_bytes(), 31).splitlines()
    assert json.loads(lines[0])["collection"] == "Defaulted"


def test_an_older_server_is_asked_about(cluster: rest.Cluster, run: Callable[..., Any], tmp_path: Path) -> None:
    schema = {"class": "Newer", "vectorizer": "none"}
    head = archive_lines.Head("Newer", schema, None, "9.1.0", "0", "2026-11-22T00:00:00+00:00")
    _write(tmp_path / "newer.gz", head, [{"class": "Newer", "id": str(uuid.UUID(int=7)), "properties": {}}])
    code, found = run("restore", "newer.gz")
    assert (code, found["error"]["code"]) == (2, "usage")
    assert "Newer" not in api.schemas(cluster)
    code, found = run("restore", "newer.gz", "--yes")
    assert (code, found["objects"]) == (0, 1)

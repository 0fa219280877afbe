"""Collections on three nodes: a freeze makes all replicas read-only, and what is lost is noticed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daglab.settings import config
from daglab.weaviate import api, clusters, comparisons, journals, rest, transfers
from daglab.weaviate.moving import freezing
from tests import migrations, weaviates

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def three(
    tmp_path_factory: pytest.TempPathFactory, need: Callable[[object, str], None]
) -> Iterator[list[weaviates.Server]]:
    need(weaviates.program().exists(), f"Weaviate {weaviates.VERSION} is not installed")
    with weaviates.serving(tmp_path_factory.mktemp("three"), nodes=3) as servers:
        yield servers


def side(server: weaviates.Server, name: str) -> transfers.Side:
    return transfers.Side(clusters.connect(config.load(), server.url), name)


def make(server: weaviates.Server, name: str, *, factor: int, shards: int, tenants: bool = False) -> None:
    server.ask(
        "POST",
        "schema",
        {
            "class": name,
            "vectorizer": "none",
            "properties": [{"name": "t", "dataType": ["text"]}],
            "replicationConfig": {"factor": factor},
            **({"multiTenancyConfig": {"enabled": True}} if tenants else {"shardingConfig": {"desiredCount": shards}}),
        },
    )


def told(servers: list[weaviates.Server], name: str) -> dict[str, list[str]]:
    """What each node says of its own replicas."""
    found: dict[str, list[str]] = {}
    for server in servers:
        for node in server.ask("GET", f"nodes/{name}", output="verbose")["nodes"]:
            for each in node["shards"] or () if node["name"] == server.name else ():
                found.setdefault(each["name"], []).append(each["vectorIndexingStatus"])
    return found


def is_member(cluster: rest.Cluster, node: str) -> bool:
    """Whether a cluster lists a node; 1.30 answers with 500 as long as it lists one that has gone."""
    try:
        return any(each.name == node for each in api.nodes(cluster, shards=False))
    except rest.Failed:
        return True


def test_each_replica_is_read_only_when_a_freeze_returns(three: list[weaviates.Server], tmp_path: Path) -> None:
    make(three[0], "MigReplicas", factor=2, shards=3)
    here = side(three[1], "MigReplicas")
    with journals.opened(tmp_path, {"kind": "migrate", "collection": "MigReplicas"}) as journal:
        [kept, *others] = sorted(freezing.freeze(journal, here))
        freezing.thaw(journal, here)
        api.set_shard_status(here.cluster, here.name, kept, api.READONLY)
        while told(three, here.name)[kept] != [api.READONLY] * 2:
            time.sleep(0.05)
        for _ in range(3):
            assert set(freezing.freeze(journal, here)) == {kept, *others}
            assert told(three, here.name) == {each: [api.READONLY] * 2 for each in (kept, *others)}
            assert freezing.is_whole(here, {})
            freezing.thaw(journal, here)
            assert {each: told(three, here.name)[each] for each in others} == {each: [api.READY] * 2 for each in others}
            assert told(three, here.name)[kept] == [api.READONLY] * 2


@pytest.mark.slow
def test_a_collection_with_replicas_is_moved_with_its_tenants(
    three: list[weaviates.Server], cli: Callable[..., Any], tmp_path: Path
) -> None:
    make(three[0], "MigThree", factor=3, shards=1, tenants=True)
    three[0].ask("POST", "schema/MigThree/tenants", [{"name": each} for each in ("a", "cold")])
    for number, tenant in enumerate(("a", "cold")):
        made = migrations.ids(random.Random(number), 50)
        migrations.put(three[0], [{"class": "MigThree", "id": each, "tenant": tenant} for each in made])
    three[0].ask("PUT", "schema/MigThree/tenants", [{"name": "cold", "activityStatus": "COLD"}])
    (tmp_path / "daglab.yaml").touch()
    words = ["--cluster", three[0].url, "--target", three[1].url, "--as", "MigThreeNew", "--yes"]
    done = cli("collections", "migrate", "MigThree", *words)
    assert done.exit_code == 0, (done.stdout, done.stderr)
    for name in ("MigThree", "MigThreeNew"):
        listed = three[2].ask("GET", f"schema/{name}/tenants")
        assert {each["name"]: each["activityStatus"] for each in listed} == {"a": "HOT", "cold": "COLD"}
        three[2].ask("PUT", f"schema/{name}/tenants", [{"name": "cold", "activityStatus": "HOT"}])
    assert len(migrations.state(three[2], "MigThreeNew")) == 100
    assert set(told(three, "MigThree")["a"]) == {api.READY}


@pytest.mark.slow
def test_what_is_left_of_a_collection_is_not_called_whole(
    three: list[weaviates.Server], cli: Callable[..., Any], tmp_path: Path
) -> None:
    made = migrations.ids(random.Random(7), 200)
    for name in ("MigHalf", "MigOtherHalf"):
        make(three[0], name, factor=1, shards=3)
        migrations.put(three[0], [{"class": name, "id": each} for each in made])
    one, other = side(three[0], "MigHalf"), side(three[0], "MigOtherHalf")
    assert comparisons.compare(one, other).is_none
    three[2].kill()
    while is_member(one.cluster, "n3"):
        time.sleep(0.1)
    says_so = api.version(one.cluster) < (1, 31, 0)  # newer ones list what is left, and say no word of the rest
    words = "resolve node name" if says_so else "not all is counted"
    assert says_so or len(migrations.state(three[0], "MigHalf")) < 200
    with pytest.raises(rest.Failed, match=words):
        comparisons.compare(one, other)
    (tmp_path / "daglab.yaml").touch()
    with weaviates.serving(tmp_path / "other") as [other_server]:
        done = cli("collections", "copy", "MigHalf", "Half", "--cluster", three[0].url, "--target", other_server.url)
    assert (done.exit_code, words in done.stderr) == (5, True), (done.stdout, done.stderr)
    done = cli("collections", "backup", "MigHalf", "--output", "half.gz", "--cluster", three[0].url)
    assert (done.exit_code, words in done.stderr) == (5, True), (done.stdout, done.stderr)
    assert not (tmp_path / "half.gz").exists()
    sides = ["--cluster", three[0].url, "--target", three[1].url, "--as", "MigHalfNew", "--yes"]
    for more in ([], ["--no-verify"], *([] if says_so else [["--resume"]])):  # 1.30 begins nothing
        if "--resume" not in more:
            cli("collections", "migrate", "MigHalf", *sides, "--abort")
        done = cli("collections", "migrate", "MigHalf", *sides, *more)
        assert done.exit_code == 5, (done.stdout, done.stderr)
    assert migrations.is_writable(three[0], "MigHalf")

"""`daglab collections migrate` between real servers: faithful, while it is written to, killed, and resumed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daglab.weaviate import journals
from tests import migrations, tiers, weaviates

pytestmark = pytest.mark.long

OLD = weaviates.VERSION.startswith("1.30")
no_alias = pytest.mark.skipif(OLD, reason="aliases came with Weaviate 1.32")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".daglab").mkdir()
    (tmp_path / "daglab.yaml").touch()
    monkeypatch.setenv("DAGLAB_KEY", weaviates.KEY)
    return tmp_path


def line(server: weaviates.Server, target: weaviates.Server, name: str, *more: str) -> list[str]:
    words = ["collections", "migrate", name, "--cluster", server.url, "--target", target.url, *more]
    words += ["--auth", "env:DAGLAB_KEY"] if server.headers else []
    return [*words, "--target-auth", "env:DAGLAB_KEY"] if target.headers else words


def migrated(cli: Callable[..., Any], *args: Any) -> dict[str, Any]:
    done = cli(*line(*args, "--yes", "--json"))
    assert done.exit_code == 0, f"{done.stdout[-2000:]}\n{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["ok"]
    return found


def test_every_type_vector_and_reference_comes_out_the_same(
    weaviate: weaviates.Server, keyed_weaviate: weaviates.Server, cli: Callable[..., Any], project: Path
) -> None:
    for server in (weaviate, keyed_weaviate):
        migrations.make_plain(server, "MigOther")
    migrations.make_rich(weaviate, "MigRich", "MigOther")
    migrations.fill_rich(weaviate, "MigRich", "MigOther", 60)
    before = migrations.state(weaviate, "MigRich")
    found = migrated(cli, weaviate, keyed_weaviate, "MigRich", "--as", "MigRicher")
    after = migrations.state(keyed_weaviate, "MigRicher", "MigRich")
    assert after == before
    assert (found["objects"], found["verification"]["same"]) == (60, 60)
    assert found["references"] >= sum(len(each[0].get("ref", ())) for each in before.values())
    assert found["frozen_seconds"] > 0
    assert migrations.state(weaviate, "MigRich") == before
    assert migrations.is_writable(weaviate, "MigRich")
    assert not (project / ".daglab" / "collections").exists()


def test_tenants_are_moved_in_whatever_state_they_are(
    weaviate: weaviates.Server, keyed_weaviate: weaviates.Server, cli: Callable[..., Any]
) -> None:
    for server in (weaviate, keyed_weaviate):
        migrations.make_plain(server, "MigOtherT")
    migrations.make_rich(weaviate, "MigTenants", "MigOtherT", tenants=True)
    weaviate.ask("POST", "schema/MigTenants/tenants", [{"name": each} for each in ("a", "b", "empty", "cold")])
    for number, each in enumerate(("a", "b", "cold")):
        others = migrations.ids(random.Random(number), 35)[30:]  # the references of tenants are looked at
        migrations.put(keyed_weaviate, [{"class": "MigOtherT", "id": o, "properties": {"t": "o"}} for o in others])
        made = migrations.fill_rich(weaviate, "MigTenants", "MigOtherT", 30, tenant=each, seed=number)
        weaviate.ask("DELETE", f"objects/MigTenants/{made[7]}", tenant=each)  # some refer to it
    before = migrations.state(weaviate, "MigTenants")
    weaviate.ask("PUT", "schema/MigTenants/tenants", [{"name": "cold", "activityStatus": "COLD"}])
    found = migrated(cli, weaviate, keyed_weaviate, "MigTenants", "--strategy", "offline")
    assert found["objects"] == 87
    for server in (weaviate, keyed_weaviate):
        states = {each["name"]: each["activityStatus"] for each in server.ask("GET", "schema/MigTenants/tenants")}
        assert states == {"a": "HOT", "b": "HOT", "empty": "HOT", "cold": "COLD"}
    keyed_weaviate.ask("PUT", "schema/MigTenants/tenants", [{"name": "cold", "activityStatus": "HOT"}])
    assert without_dangling(migrations.state(keyed_weaviate, "MigTenants")) == without_dangling(before)
    assert migrations.is_writable(weaviate, "MigTenants")


def without_dangling(found: migrations.State) -> migrations.State:
    """Without what leads to objects of the same tenant that are not there."""
    for (tenant, _), (properties, *_) in found.items():
        kept = [
            each
            for each in properties.pop("ref", [])
            if "/MigTenants/" not in each or (tenant, each.rsplit("/", 1)[1]) in found
        ]
        if kept:
            properties["ref"] = kept
    return found


@contextlib.contextmanager
def writing(writers: list[migrations.Writer]) -> Iterator[None]:
    threads = [threading.Thread(target=each.run) for each in writers]
    for thread in threads:
        thread.start()
    try:
        while any(each.done < 15 and each.problem is None for each in writers):
            time.sleep(0.01)
        yield
    finally:
        for each in writers:
            each.stop.set()
        for thread in threads:
            thread.join()
    assert [each.problem for each in writers] == [None] * len(writers)


def make_written(server: weaviates.Server, name: str, other: str, *, tenants: int = 0) -> list[str]:
    migrations.make_plain(server, other)
    others = migrations.ids(random.Random(other), 6)
    migrations.put(server, [{"class": other, "id": each, "properties": {"t": "x"}} for each in others])
    schema = {"class": name, "vectorizer": "none", "properties": [{"name": "t", "dataType": ["text"]}]}
    server.ask("POST", "schema", {**schema, **({"multiTenancyConfig": {"enabled": True}} if tenants else {})})
    server.ask("POST", f"schema/{name}/properties", {"name": "ref", "dataType": [other, name]})
    if tenants:
        server.ask("POST", f"schema/{name}/tenants", [{"name": f"t{number}"} for number in range(tenants)])
    return others


def fill(server: weaviates.Server, name: str, count: int, tenant: str | None = None) -> migrations.State:
    """Objects that refer to themselves."""
    chosen = random.Random(f"{name} {tenant}")
    made = migrations.ids(chosen, count)
    more = {"tenant": tenant} if tenant else {}
    values = {each: migrations.vector(chosen, 4) for each in made}
    migrations.put(
        server, [{"class": name, "id": e, "properties": {"t": "s"}, "vector": values[e], **more} for e in made]
    )
    beacon = f"{migrations.BEACON}{name}/"
    links = [{"from": f"{beacon}{each}/ref", "to": f"{beacon}{each}", **more} for each in made[::5]]
    assert all(each["result"]["status"] == "SUCCESS" for each in server.ask("POST", "batch/references", links))
    return {
        (tenant, each): (
            {"t": "s", **({"ref": [f"{beacon}{each}"]} if each in made[::5] else {})},
            migrations._packed(values[each]),
            {},
        )
        for each in made
    }


@pytest.mark.slow
@no_alias
def test_what_is_written_by_the_alias_meanwhile_is_all_there(
    weaviate: weaviates.Server, cli: Callable[..., Any]
) -> None:
    others = make_written(weaviate, "MigLive_1", "MigLiveOther")
    still = fill(weaviate, "MigLive_1", 200)
    weaviate.ask("POST", "aliases", {"alias": "MigLive", "class": "MigLive_1"})
    writers = [migrations.Writer(weaviate, "MigLive", ("MigLiveOther", others), seed) for seed in range(3)]
    with writing(writers):
        found = migrated(cli, weaviate, weaviate, "MigLive_1", "--as", "MigLive_2", "--alias", "MigLive")
        time.sleep(0.3)  # they go on in the new one
    expected = {**still, **{key: each for writer in writers for key, each in writer.expected().items()}}
    assert migrations.state(weaviate, "MigLive_2", "MigLive_1") == expected
    assert found["alias"] == "MigLive"
    assert sum(each.refused for each in writers) > 0
    assert len(found["passes"]) > 2
    assert weaviate.ask("GET", "aliases/MigLive")["class"] == "MigLive_2"
    assert migrations.is_writable(weaviate, "MigLive_1")


def test_what_was_accepted_before_the_freeze_is_all_there(
    weaviate: weaviates.Server, keyed_weaviate: weaviates.Server, cli: Callable[..., Any], project: Path
) -> None:
    others = make_written(weaviate, "MigBusy", "MigBusyOther", tenants=6)
    migrations.make_plain(keyed_weaviate, "MigBusyOther")
    migrations.put(keyed_weaviate, [{"class": "MigBusyOther", "id": e, "properties": {"t": "x"}} for e in others])
    still = {**fill(weaviate, "MigBusy", 100, "t3"), **fill(weaviate, "MigBusy", 100, "t4")}
    fill(weaviate, "MigBusy", 100, "t5")
    weaviate.ask("PUT", "schema/MigBusy/tenants", [{"name": "t3", "activityStatus": "COLD"}])
    writers = [
        migrations.Writer(weaviate, "MigBusy", ("MigBusyOther", others), seed, f"t{seed}", gives_up=True)
        for seed in range(3)
    ]
    over = threading.Event()
    mover = threading.Thread(target=move_tenants, args=(weaviate, project, still, over))
    with writing(writers):
        mover.start()
        try:
            found = migrated(cli, weaviate, keyed_weaviate, "MigBusy")
        finally:
            over.set()
            mover.join()
    keyed_weaviate.ask("PUT", "schema/MigBusy/tenants", [{"name": "t3", "activityStatus": "HOT"}])
    expected = {**still, **{key: each for writer in writers for key, each in writer.expected().items()}}
    moved = migrations.state(keyed_weaviate, "MigBusy")
    unknown = {(each.tenant, uid) for each in writers for uid in each.unknown}
    assert known(moved, unknown) == known(expected, unknown)
    weaviate.ask("PUT", "schema/MigBusy/tenants", [{"name": "t3", "activityStatus": "HOT"}])
    assert moved == migrations.state(weaviate, "MigBusy")
    assert sum(each.refused for each in writers) == 3
    assert len(found["passes"]) > 2


def move_tenants(server: weaviates.Server, project: Path, still: migrations.State, over: threading.Event) -> None:
    """Tenants come, go, and fall asleep, until the source is frozen."""
    number = 0
    while not over.is_set() and not frozen(project):
        name, number = f"n{number}", number + 1
        server.ask("POST", "schema/MigBusy/tenants", [{"name": name}])
        still.update(fill(server, "MigBusy", 10, name))
        if number == 2:
            server.ask("DELETE", "schema/MigBusy/tenants", ["t5"])
        if number > 3 and not frozen(project):
            gone = f"n{number - 4}"
            server.ask("DELETE", "schema/MigBusy/tenants", [gone])
            for key in [key for key in still if key[0] == gone]:
                del still[key]
        for status in ("COLD", "HOT"):
            server.ask("PUT", "schema/MigBusy/tenants", [{"name": "t4", "activityStatus": status}])


def known(found: migrations.State, unknown: set[tuple[str | None, str]]) -> migrations.State:
    return {key: each for key, each in found.items() if key not in unknown}


def frozen(project: Path) -> bool:
    return any(each["frozen"] for each in journals.unfinished(project, "migrate"))


@pytest.mark.parametrize(
    ("stage", "then"),
    tiers.few(
        [(stage, "--resume") for stage in ("making", "made", "part", "frozen", "switching")]
        + [(stage, "--abort") for stage in ("part", "frozen", "switching")],
        [("switching", "--resume"), ("frozen", "--abort")],
    ),
)
def test_killed_anywhere_it_goes_on_or_is_undone(
    weaviate: weaviates.Server, cli: Callable[..., Any], project: Path, stage: str, then: str
) -> None:
    if stage == "switching" and OLD:
        pytest.skip("aliases came with Weaviate 1.32")
    name = f"MigKilled{stage.title()}{then[2:].title()}"
    migrations.make_plain(weaviate, f"{name}Other")
    migrations.make_rich(weaviate, name, f"{name}Other")
    made = migrations.fill_rich(weaviate, name, f"{name}Other", 120)
    before = migrations.state(weaviate, name)
    more = [] if OLD else ["--alias", f"{name}Alias"]
    words = line(weaviate, weaviate, name, "--as", f"{name}New", *more)
    kill_at(words, project, stage)
    refuse_again(cli, words)
    assert frozen(project) or migrations.is_writable(weaviate, name)
    if migrations.is_writable(weaviate, name):
        migrations.put(weaviate, [{"class": name, "id": made[0], "properties": {"text": "later"}}])
        weaviate.ask("DELETE", f"objects/{name}/{made[1]}")
    if not is_switched(weaviate, name):
        before = migrations.state(weaviate, name)
    elif then == "--abort":
        assert cli(*words, then).exit_code == 8
        then = "--resume"
    done = cli(*words, then, "--json")
    assert done.exit_code == 0, (done.stdout, done.stderr)
    assert migrations.is_writable(weaviate, name)
    assert not (project / ".daglab" / "collections").exists()
    assert not frozen(project)
    names = [each["class"] for each in weaviate.ask("GET", "schema")["classes"]]
    assert (f"{name}New" in names) == (then == "--resume")
    if then == "--resume":
        assert migrations.state(weaviate, f"{name}New", name) == before


@pytest.mark.parametrize(("number", "code"), tiers.STOPS)
def test_stopped_in_the_freeze_the_source_is_writable_and_it_goes_on(
    weaviate: weaviates.Server, cli: Callable[..., Any], project: Path, number: int, code: int
) -> None:
    name = f"MigStopped{code}"
    schema = {"class": name, "vectorizer": "none", "shardingConfig": {"desiredCount": 2}}
    weaviate.ask("POST", "schema", {**schema, "properties": [{"name": "t", "dataType": ["text"]}]})
    made = migrations.ids(random.Random(code), 300)
    migrations.put(weaviate, [{"class": name, "id": each, "properties": {"t": "x"}} for each in made])
    [kept, other] = sorted(shards(weaviate, name))
    weaviate.ask("PUT", f"schema/{name}/shards/{kept}", {"status": "READONLY"})  # by somebody else
    words = line(weaviate, weaviate, name, "--as", f"{name}New")
    with begun(words) as child:
        await_stage(child, project, "frozen")
        child.send_signal(number)
    assert child.returncode == code
    assert shards(weaviate, name) == {kept: "READONLY", other: "READY"}
    assert not any(each["frozen"] for each in journals.unfinished(project))
    done = cli(*words, "--resume", "--json")
    assert done.exit_code == 0, (done.stdout, done.stderr)
    assert shards(weaviate, name) == {kept: "READONLY", other: "READY"}
    assert migrations.state(weaviate, f"{name}New") == migrations.state(weaviate, name)


def shards(server: weaviates.Server, name: str) -> dict[str, str]:
    nodes = server.ask("GET", f"nodes/{name}", output="verbose")["nodes"]
    return {each["name"]: each["vectorIndexingStatus"] for node in nodes for each in node["shards"]}


def refuse_again(cli: Callable[..., Any], words: list[str]) -> None:
    again = cli(*words, "--yes")
    assert again.exit_code == 8, again.stderr
    assert "--resume" in again.stderr
    assert "--abort" in again.stderr


def is_switched(server: weaviates.Server, name: str) -> bool:
    aliases = [] if OLD else server.ask("GET", "aliases")["aliases"]
    return {"alias": f"{name}Alias", "class": f"{name}New"} in aliases


def test_what_cannot_be_moved_is_refused_and_a_plan_changes_nothing(
    weaviate: weaviates.Server, keyed_weaviate: weaviates.Server, cli: Callable[..., Any], project: Path
) -> None:
    migrations.make_plain(weaviate, "MigPlanOther")
    migrations.make_rich(weaviate, "MigPlan", "MigPlanOther")
    migrations.put(weaviate, [{"class": "MigPlanOther", "id": each} for each in migrations.ids(random.Random(1), 4)])
    away = line(weaviate, keyed_weaviate, "MigPlanOther")
    done = cli(*away, "--dry-run", "--json")
    assert (done.exit_code, json.loads(done.stdout)["objects"]) == (0, 4)
    assert cli(*away).exit_code == 2  # nobody is there to say yes
    for words, code, said in (
        (line(weaviate, keyed_weaviate, "MigPlan"), 7, "refers to MigPlanOther"),
        (line(weaviate, keyed_weaviate, "MigPlanOthr"), 7, "MigPlanOther"),
        (line(keyed_weaviate, weaviate, "MigPlanNone"), 7, "no collection"),
        (line(weaviate, weaviate, "MigPlan"), 2, "where it is"),
        (line(weaviate, weaviate, "MigPlan", "--as", "MigPlanOther"), 8, "There is a collection MigPlanOther"),
        (line(weaviate, weaviate, "MigPlan", "--as", "mig-plan"), 7, "is no name of a collection"),
        ([*away, "--resume"], 7, "was begun"),
        ([*away, "--resume", "--abort"], 2, "one of them"),
        ([*away, "--resume", "--dry-run"], 2, "new migration"),
        ([*away, "--abort", "--dry-run"], 2, "new migration"),
        ([*away, "--alias", "MigPlanOther"], 3 if OLD else 2, "1.32" if OLD else "name of a collection"),
    ):
        done = cli(*words, "--yes")
        assert done.exit_code == code, done.stderr
        assert said in done.stderr
    assert not (project / ".daglab" / "collections").exists()
    assert "MigPlanOther" not in [each["class"] for each in keyed_weaviate.ask("GET", "schema")["classes"]]


@pytest.mark.slow
def test_a_difference_is_listed_and_nothing_is_switched(
    weaviate: weaviates.Server, cli: Callable[..., Any], project: Path
) -> None:
    migrations.make_plain(weaviate, "MigDiffers")
    made = migrations.ids(random.Random(3), 60)
    migrations.put(weaviate, [{"class": "MigDiffers", "id": each, "properties": {"t": "x"}} for each in made])
    more = [] if OLD else ["--alias", "MigDiffersAlias"]
    words = line(weaviate, weaviate, "MigDiffers", "--as", "MigDiffersNew", *more)
    kill_at(words, project, "frozen")
    [stranger] = migrations.ids(random.Random(4), 1)
    migrations.put(weaviate, [{"class": "MigDiffersNew", "id": stranger, "properties": {"t": "x"}}])
    done = cli(*words, "--resume", "--verify", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["error"]["code"]) == (4, "not_good")
    assert found["verification"]["extra"] == [{"tenant": None, "id": stranger}]
    assert not is_switched(weaviate, "MigDiffers")
    assert migrations.is_writable(weaviate, "MigDiffers")
    done = cli(*words, "--resume", "--no-verify", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["verification"] is None
    assert len(migrations.state(weaviate, "MigDiffersNew")) == 61


@pytest.mark.slow
@pytest.mark.parametrize("dies", ["target", "source"])
def test_a_server_that_dies_in_the_middle_is_gone_on_with(
    weaviate: weaviates.Server, cli: Callable[..., Any], project: Path, tmp_path: Path, dies: str
) -> None:
    with weaviates.serving(tmp_path / "server") as [mortal]:
        source, target = (weaviate, mortal) if dies == "target" else (mortal, weaviate)
        name = f"MigDies{dies.title()}"
        migrations.make_plain(source, name)
        made = migrations.ids(random.Random(5), 1500)
        migrations.put(source, [{"class": name, "id": each, "properties": {"t": "x" * 2000}} for each in made])
        words = line(source, target, name)
        run_until(words, project, "part" if dies == "target" else "frozen", mortal.kill)
        assert not frozen(project) or dies == "source"
        mortal.start()
        assert migrations.is_writable(source, name)
        done = cli(*words, "--resume", "--json")
        assert done.exit_code == 0, (done.stdout, done.stderr)
        assert migrations.state(target, name) == migrations.state(source, name)
        assert not frozen(project)


def kill_at(words: list[str], project: Path, stage: str) -> None:
    """Run a migration, and kill it as soon as it has come so far."""
    with begun(words) as child:
        await_stage(child, project, stage)
        os.kill(child.pid, signal.SIGKILL)


def run_until(words: list[str], project: Path, stage: str, then: Callable[[], None]) -> None:
    """Run a migration; when it has come so far, something happens that it can't survive."""
    with begun(words) as child:
        await_stage(child, project, stage)
        then()
    assert child.returncode == 5


@contextlib.contextmanager
def begun(words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "daglab", *words, "--yes"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also where the tests run behind a shell
    )
    try:
        yield child
        child.wait(120)
    finally:
        child.kill()
        child.wait()


def await_stage(child: subprocess.Popen[bytes], project: Path, stage: str) -> None:
    while child.poll() is None:
        folders = list((project / journals.FOLDER).glob("*"))
        if any(line.get("stage") == stage for each in folders for line in journals.lines_of(each)):
            break
        if stage == "part" and any(size(path) for each in folders for path in each.glob("*.part")):
            break
    assert child.poll() is None, "it was over before it came so far"


def size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
